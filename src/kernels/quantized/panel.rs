//! A stretch of a tile unpacked to bytes and f32 scales: what the micro-kernels of a batch multiply.
//!
//! Unpacking costs as much as multiplying by one token, so a batch does it once for all its tokens, 512 columns at a
//! time, which stay in the L1 cache. After that all types are alike but for three things ([`Shape`]): whether there is
//! a scale for each half of a block, whether there are offsets, and where accumulators start.

use super::activations::Line;
use super::layout::{Coding, GROUPS, SUPER, Scales, TILE_ROWS, WORD};
use crate::kernels::cpu::{Isa, for_each_isa};
use std::ops::Range;

/// Blocks of a panel: codes of 16 x 512 bytes. With two tiles at work, and 6 tokens' lines, 26 KB of an L1 cache of 32
/// or 48.
pub(super) const PANEL_BLOCKS: usize = 16;

const _: () = assert!(PANEL_BLOCKS.is_multiple_of(SUPER));

/// Up to [`PANEL_BLOCKS`] blocks of a tile.
#[repr(C, align(64))]
pub(super) struct Panel {
    /// For each block and group, four codes of each row.
    pub(super) codes: [[[u32; TILE_ROWS]; GROUPS]; PANEL_BLOCKS],
    /// For each block, one scale of each row, or one for each half of the block.
    pub(super) scales: [[[f32; TILE_ROWS]; 2]; PANEL_BLOCKS],
    /// For each block, what is added to each weight of a row.
    pub(super) offsets: [[f32; TILE_ROWS]; PANEL_BLOCKS],
}

impl Panel {
    pub(super) const ZERO: Panel = Panel {
        codes: [[[0; TILE_ROWS]; GROUPS]; PANEL_BLOCKS],
        scales: [[[0.0; TILE_ROWS]; 2]; PANEL_BLOCKS],
        offsets: [[0.0; TILE_ROWS]; PANEL_BLOCKS],
    };
}

/// How the types differ once they are unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One scale a block.
    Whole,
    /// One scale a block, and an offset.
    Offset,
    /// Two scales a block.
    Halves,
}

impl Coding {
    pub(super) fn shape(self) -> Shape {
        match self.scales {
            Scales::Plain => Shape::Whole,
            Scales::Offset | Scales::Nested => Shape::Offset,
            Scales::Halves => Shape::Halves,
        }
    }

    /// Which of a line's starts its accumulators begin with.
    pub(super) fn start(self) -> usize {
        Line::start_for(self.bias)
    }
}

/// Unpacks `blocks` of a tile of `n_blocks`, which begin with a super-block.
pub(super) fn unpack(isa: Isa, coding: Coding, tile: &[u8], n_blocks: usize, blocks: Range<usize>, panel: &mut Panel) {
    let (scales, codes) = tile.split_at(coding.scales.plane_bytes(n_blocks));
    let code_bytes = coding.code_bytes();
    for (to, block) in blocks.clone().enumerate() {
        let words: &[[u32; TILE_ROWS]] = bytemuck::cast_slice(&codes[block * code_bytes..(block + 1) * code_bytes]);
        unpack_codes(isa, coding.bits, words, &mut panel.codes[to]);
    }
    unpack_all_scales(isa, coding.scales, scales, blocks, &mut panel.scales, &mut panel.offsets);
}

fn unpack_codes(isa: Isa, bits: usize, words: &[[u32; TILE_ROWS]], out: &mut [[u32; TILE_ROWS]; GROUPS]) {
    match isa {
        // SAFETY: the token proves the instruction set.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(_) => unsafe { super::avx2::unpack_codes(bits, words, out) },
        _ => {
            for g in 0..GROUPS {
                for r in 0..TILE_ROWS {
                    out[g][r] = unpack_word(bits, words, g, r);
                }
            }
        }
    }
}

for_each_isa! {
    fn unpack_all_scales(
        kind: Scales,
        plane: &[u8],
        blocks: Range<usize>,
        scales: &mut [[[f32; TILE_ROWS]; 2]],
        offsets: &mut [[f32; TILE_ROWS]],
    ) {
        for ((block, scales), offsets) in blocks.zip(scales).zip(offsets) {
            unpack_scales(kind, plane, block, scales, offsets);
        }
    }
}

/// The codes 4g..4g+4 of row `r`.
#[inline(always)]
fn unpack_word(bits: usize, words: &[[u32; TILE_ROWS]], g: usize, r: usize) -> u32 {
    if bits == 8 {
        return words[g][r];
    }
    let low = words[g / 2][r] >> (4 * (g % 2)) & 0x0f0f_0f0f;
    match bits {
        4 => low,
        5 => low | (words[4][r] >> g & 0x0101_0101) << 4,
        6 => low | (words[4 + g / 4][r] >> (2 * (g % 4)) & 0x0303_0303) << 4,
        _ => unreachable!("codes of {bits} bits"),
    }
}

#[inline(always)]
fn unpack_scales(
    kind: Scales,
    plane: &[u8],
    block: usize,
    scales: &mut [[f32; TILE_ROWS]; 2],
    offsets: &mut [f32; TILE_ROWS],
) {
    let (blocks, n_bytes) = kind.entry();
    let (entry, sub) = (&plane[block / blocks * n_bytes..][..n_bytes], block % blocks);
    let first = halves(entry, 0);
    match kind {
        Scales::Plain => scales[0] = first,
        Scales::Offset => (scales[0], *offsets) = (first, halves(entry, 1)),
        Scales::Nested => {
            let (second, own, min) = (halves(entry, 1), bytes(entry, sub), bytes(entry, SUPER + sub));
            for r in 0..TILE_ROWS {
                scales[0][r] = first[r] * f32::from(own[r]);
                offsets[r] = -(second[r] * f32::from(min[r]));
            }
        }
        Scales::Halves => {
            for h in 0..2 {
                let own = bytes(entry, 2 * sub + h);
                for r in 0..TILE_ROWS {
                    scales[h][r] = first[r] * f32::from(own[r] as i8);
                }
            }
        }
    }
}

/// The n-th byte of each row behind the f16 numbers of an entry.
#[inline(always)]
fn bytes(entry: &[u8], n: usize) -> &[u8; TILE_ROWS] {
    &entry[WORD..].as_chunks().0[n]
}

/// The n-th f16 of each row at the start of an entry, widened.
///
/// Not by the `half` crate, whose conversion is not made into vector instructions; and not by arithmetic on subnormal
/// numbers, each of which would take the CPU some 150 cycles.
#[inline(always)]
fn halves(entry: &[u8], n: usize) -> [f32; TILE_ROWS] {
    const SUBNORMAL_UNIT: f32 = f32::from_bits((127 - 24) << 23);
    let halves: &[u8; 2 * TILE_ROWS] = &entry.as_chunks().0[n];
    std::array::from_fn(|r| {
        let half = u32::from(u16::from_ne_bytes([halves[2 * r], halves[2 * r + 1]]));
        let magnitude = half & 0x7fff;
        let subnormal = (magnitude as i32 as f32 * SUBNORMAL_UNIT).to_bits();
        // The fraction moves to its place in an f32, and the exponent's bias from 15 to 127.
        let normal = (magnitude << 13) + ((127 - 15) << 23);
        // Infinity and NaN have the largest exponent of either format.
        let special = if magnitude >= 0x7c00 { 0x7f80_0000 } else { 0 };
        let number = if magnitude < 0x400 { subnormal } else { normal };
        f32::from_bits(number | special | (half & 0x8000) << 16)
    })
}

/// Row `row` of a tile as f32.
pub(super) fn dequantize_row(coding: Coding, tile: &[u8], row: usize, out: &mut [f32]) {
    let n_blocks = out.len().div_ceil(32);
    let (plane, codes) = tile.split_at(coding.scales.plane_bytes(n_blocks));
    let (mut scales, mut offsets) = ([[0.0; TILE_ROWS]; 2], [0.0; TILE_ROWS]);
    let code_blocks = codes.chunks_exact(coding.code_bytes());
    for (block, (out, codes)) in out.as_chunks_mut::<32>().0.iter_mut().zip(code_blocks).enumerate() {
        unpack_scales(coding.scales, plane, block, &mut scales, &mut offsets);
        let words: &[[u32; TILE_ROWS]] = bytemuck::cast_slice(codes);
        for (i, out) in out.iter_mut().enumerate() {
            let code = unpack_word(coding.bits, words, i / 4, row) >> (8 * (i % 4)) & 255;
            let half = if coding.scales == Scales::Halves { i / 16 } else { 0 };
            *out = scales[half][row] * (code as i32 - coding.bias) as f32 + offsets[row];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    #[test]
    fn every_f16_is_widened_exactly() {
        for bits in 0..=u16::MAX {
            let wanted = f16::from_bits(bits).to_f32();
            let [found, ..] = halves(&[bits.to_ne_bytes(); TILE_ROWS].concat(), 0);
            assert!(found.to_bits() == wanted.to_bits() || (found.is_nan() && wanted.is_nan()), "{bits:04x}");
        }
    }
}
