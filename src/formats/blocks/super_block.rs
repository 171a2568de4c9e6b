//! The types with blocks of 256 elements, whose scales are themselves quantized: Q4_K, Q5_K, Q6_K.
//!
//! Layouts (ggml `src/ggml-common.h`), all numbers little-endian:
//!
//! ```text
//! Q4_K  f16 d, f16 dmin, 12 bytes of scales and mins,                    128 bytes of nibbles
//! Q5_K  f16 d, f16 dmin, 12 bytes of scales and mins, 32 bytes of fifth bits, 128 bytes of nibbles
//!       value (d scale[i / 32]) q - (dmin min[i / 32])
//! Q6_K  128 bytes of nibbles, 64 bytes of upper bit pairs, 16 x i8 scale, f16 d
//!       value (d scale[i / 16]) (q - 32)
//! ```
//!
//! Q4_K, Q5_K: of each 64 elements, the first 32 are in the low halves of 32 bytes and the others in their high halves.
//! Byte l of the fifth bits has those of elements l, l + 32, l + 64 ... from its lowest bit up. The scales and mins of
//! the 8 sub-blocks are 6 bits each, see [`unpack_scales`].
//!
//! Q6_K: of each 128 elements, the first 64 are in the low halves of 64 bytes and the others in their high halves; byte l
//! of 32 has the upper bit pairs of elements l, l + 32, l + 64, l + 96 from its lowest bits up.

use super::block32::{f16_at, put_f16};
use super::search::{LEN, Limits, Scales, search};

/// Elements that share a scale: `SUB` in Q4_K and Q5_K, `SUB_6` in Q6_K.
const SUB: usize = 32;
const SUB_6: usize = 16;

/// Bytes of a block of each type.
pub(super) const Q4_K_BYTES: usize = 2 + 2 + 12 + LEN / 2;
pub(super) const Q5_K_BYTES: usize = 2 + 2 + 12 + LEN / 8 + LEN / 2;
pub(super) const Q6_K_BYTES: usize = LEN / 2 + LEN / 4 + LEN / SUB_6 + 2;

/// One code for each element.
type Codes = [u8; LEN];

pub(super) fn dequantize_q4_k(block: &[u8; Q4_K_BYTES], out: &mut [f32; LEN]) {
    widen(block, &nibbles(&block[16..]), out);
}

pub(super) fn dequantize_q5_k(block: &[u8; Q5_K_BYTES], out: &mut [f32; LEN]) {
    let (fifth, low) = (&block[16..48], nibbles(&block[48..]));
    widen(block, &std::array::from_fn(|i| low[i] | (fifth[i % 32] >> (i / 32) & 1) << 4), out);
}

pub(super) fn dequantize_q6_k(block: &[u8; Q6_K_BYTES], out: &mut [f32; LEN]) {
    let (low, upper, scales, d) = (&block[..128], &block[128..192], &block[192..208], f16_at(block, 208));
    for (i, value) in out.iter_mut().enumerate() {
        let Places { byte, shift, pair_byte, pair_shift } = places_6(i);
        let code = low[byte] >> shift & 15 | (upper[pair_byte] >> pair_shift & 3) << 4;
        *value = d * f32::from(scales[i / SUB_6] as i8) * (f32::from(code) - 32.0);
    }
}

pub(super) fn quantize_q4_k(x: &[f32; LEN], block: &mut [u8; Q4_K_BYTES]) {
    let (scales, codes) = search::<8, SUB>(x, Limits::affine(15));
    put_head(block, &scales);
    put_nibbles(&mut block[16..], &codes);
}

pub(super) fn quantize_q5_k(x: &[f32; LEN], block: &mut [u8; Q5_K_BYTES]) {
    let (scales, codes) = search::<8, SUB>(x, Limits::affine(31));
    put_head(block, &scales);
    block[16..48].fill(0);
    for (i, code) in codes.iter().enumerate() {
        block[16 + i % 32] |= (code >> 4) << (i / 32);
    }
    put_nibbles(&mut block[48..], &codes);
}

pub(super) fn quantize_q6_k(x: &[f32; LEN], block: &mut [u8; Q6_K_BYTES]) {
    let (scales, codes) = search::<16, SUB_6>(x, Limits::symmetric());
    block.fill(0);
    for (i, code) in codes.iter().enumerate() {
        let Places { byte, shift, pair_byte, pair_shift } = places_6(i);
        block[byte] |= (code & 15) << shift;
        block[128 + pair_byte] |= (code >> 4) << pair_shift;
    }
    for (byte, scale) in block[192..208].iter_mut().zip(scales.scales) {
        *byte = scale as i8 as u8;
    }
    put_f16(block, 208, scales.d);
}

/// The values of a Q4_K or Q5_K block, whose first 16 bytes are the same.
fn widen(block: &[u8], codes: &Codes, out: &mut [f32; LEN]) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    let (scales, mins) = unpack_scales(&block[4..16]);
    for (i, (value, code)) in out.iter_mut().zip(codes).enumerate() {
        *value = d * f32::from(scales[i / SUB]) * f32::from(*code) - dmin * f32::from(mins[i / SUB]);
    }
}

/// Stores what a Q4_K and a Q5_K block have in common.
fn put_head(block: &mut [u8], scales: &Scales<8>) {
    put_f16(block, 0, scales.d);
    put_f16(block, 2, scales.dmin);
    block[4..16].copy_from_slice(&pack_scales(&scales.scales.map(|n| n as u8), &scales.mins.map(|n| n as u8)));
}

/// The 6-bit scales and mins of 8 sub-blocks. The low 6 bits of bytes 0 to 3 are scales 0 to 3, those of bytes 4 to 7
/// mins 0 to 3. Bytes 8 to 11 have the low halves of scales (low) and mins (high) 4 to 7, whose upper pairs are the
/// upper pairs of bytes 0 to 3 and 4 to 7.
pub(super) fn unpack_scales(bytes: &[u8]) -> ([u8; 8], [u8; 8]) {
    let scale = |j: usize| if j < 4 { bytes[j] & 63 } else { bytes[j + 4] & 15 | bytes[j - 4] >> 6 << 4 };
    let min = |j: usize| if j < 4 { bytes[j + 4] & 63 } else { bytes[j + 4] >> 4 | bytes[j] >> 6 << 4 };
    (std::array::from_fn(scale), std::array::from_fn(min))
}

/// The inverse of [`unpack_scales`].
pub(super) fn pack_scales(scales: &[u8; 8], mins: &[u8; 8]) -> [u8; 12] {
    std::array::from_fn(|byte| match byte {
        0..4 => scales[byte] | scales[byte + 4] >> 4 << 6,
        4..8 => mins[byte - 4] | mins[byte] >> 4 << 6,
        _ => scales[byte - 4] & 15 | mins[byte - 4] << 4,
    })
}

/// The low halves of the codes of a Q4_K or Q5_K block.
fn nibbles(bytes: &[u8]) -> Codes {
    std::array::from_fn(|i| bytes[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15)
}

fn put_nibbles(bytes: &mut [u8], codes: &Codes) {
    for (at, byte) in bytes.iter_mut().enumerate() {
        let first = at / 32 * 64 + at % 32;
        *byte = codes[first] & 15 | codes[first + 32] << 4;
    }
}

/// Where the low half of a code of a Q6_K block and its upper pair are.
struct Places {
    byte: usize,
    shift: usize,
    pair_byte: usize,
    pair_shift: usize,
}

fn places_6(i: usize) -> Places {
    let (half, within) = (i / 128, i % 128);
    Places {
        byte: half * 64 + within % 64,
        shift: within / 64 * 4,
        pair_byte: half * 32 + within % 32,
        pair_shift: within / 32 * 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scale_and_min_of_six_bits_comes_back() {
        for value in 0..64 {
            let scales: [u8; 8] = std::array::from_fn(|j| (value + 9 * j as u8) % 64);
            let mins: [u8; 8] = std::array::from_fn(|j| (63 - value + 5 * j as u8) % 64);
            assert_eq!(unpack_scales(&pack_scales(&scales, &mins)), (scales, mins), "{scales:?} {mins:?}");
        }
    }
}
