//! Copies of operand blocks in the order in which the micro-kernel reads them.
//!
//! A micro-kernel goes through the inner dimension in steps. In f32 a step is one inner element; in bf16 it is two, which
//! lie together as the halves of one 32-bit word (the earlier in the low half), as `vdpbf16ps` takes them. So both
//! precisions have the same layout, words of 32 bits, and bf16 has half as many steps; the words of pairs are kept in
//! `f32` buffers, where nothing but the micro-kernel looks at them. f16 has pairs too, and behind a block's steps one more
//! with the scales that undo those of its operands.

#[cfg(target_arch = "x86_64")]
use super::avx512_f16;
use super::transpose::transpose;
use super::{AlignedBuf, Cpu, Isa, Matrix, PANEL, Precision};
use crate::kernels::cpu::for_each_isa;
use std::cell::RefCell;
use std::ops::Range;

/// Steps of the micro-kernel over `depth` inner elements.
pub(super) fn n_steps(precision: Precision, depth: usize) -> usize {
    match precision {
        Precision::F32 => depth,
        Precision::Bf16 | Precision::F16 => depth.div_ceil(2),
    }
}

/// Steps that are stored for `depth` inner elements: in f16 one more than are multiplied, for the scales.
pub(super) fn stored_steps(precision: Precision, depth: usize) -> usize {
    n_steps(precision, depth) + usize::from(precision == Precision::F16)
}

/// Packs rows `k..k + depth` of `b` into panels: panel j holds columns 32j..32j+32, step after step, padded with zeros.
pub(super) fn pack_block(cpu: &Cpu, precision: Precision, b: Matrix, k: usize, depth: usize, out: &mut [f32]) {
    let n_panels = b.n_cols.div_ceil(PANEL);
    let panel_len = stored_steps(precision, depth) * PANEL;
    let shared = super::SharedSlice::new(&mut out[..n_panels * panel_len]);
    // At least 64 KB a task, so that small matrices are not torn apart.
    let panels_per_task = (16_384 / panel_len.max(1)).max(1);
    let isa = cpu.isa;
    cpu.pool.for_pieces(n_panels, panels_per_task, |_, panels| {
        for panel in panels {
            // SAFETY: panels do not overlap, and each is packed by one task.
            let out = unsafe { shared.range(panel * panel_len..(panel + 1) * panel_len) };
            pack_panel(isa, precision, b, k, depth, panel, out);
        }
    });
}

/// Packs rows `k..k + depth` of panel `panel` of `b`.
pub(super) fn pack_panel(
    isa: Isa,
    precision: Precision,
    b: Matrix,
    k: usize,
    depth: usize,
    panel: usize,
    out: &mut [f32],
) {
    let n_cols = PANEL.min(b.n_cols - panel * PANEL);
    let first = k * b.row_stride + panel * PANEL * b.col_stride;
    let data = &b.data[first..];
    if b.col_stride == 1 {
        let size = (b.row_stride, depth, n_cols);
        match precision {
            #[cfg(target_arch = "x86_64")]
            Precision::F16 => avx512_f16::copy_columns(isa, data, size, out, avx512_f16::Vectors::OF_PANELS),
            _ => copy_rows(isa, precision, data, size, out, PANEL),
        }
    } else {
        assert_eq!(b.row_stride, 1, "B has unit stride in one direction");
        if n_cols < PANEL {
            out.fill(0.0);
        }
        transpose_rows(isa, precision, data, (b.col_stride, depth, n_cols), out, PANEL);
    }
}

for_each_isa! {
    /// Copies `depth` rows of `n_cols` elements, `row_stride` apart, to steps of `width` words each, padded with zeros.
    fn copy_rows(
        precision: Precision,
        data: &[f32],
        size: (usize, usize, usize),
        out: &mut [f32],
        width: usize,
    ) {
        let (row_stride, depth, n_cols) = size;
        let row = |r: usize| &data[r * row_stride..r * row_stride + n_cols];
        for (step, out) in out.chunks_exact_mut(width).take(n_steps(precision, depth)).enumerate() {
            match precision {
                Precision::F32 => copy_row(row(step), out),
                _ if 2 * step + 1 < depth => pair_rows(row(2 * step), row(2 * step + 1), out),
                _ => pair_last_row(row(2 * step), out),
            }
            out[n_cols..].fill(0.0);
        }
    }
}

/// Copies a row; a whole panel's without a call into the C library, which takes longer than so short a copy.
#[inline(always)]
fn copy_row(row: &[f32], out: &mut [f32]) {
    match row.first_chunk::<PANEL>() {
        Some(whole) if row.len() == PANEL => out[..PANEL].copy_from_slice(whole),
        _ => out[..row.len()].copy_from_slice(row),
    }
}

thread_local! {
    /// A panel's columns as pairs, before they are transposed.
    static PAIRS: RefCell<AlignedBuf> = RefCell::default();
}

/// Turns `n_cols` columns of `depth` elements each, `col_stride` apart, into steps of `width` words.
fn transpose_rows(
    isa: Isa,
    precision: Precision,
    data: &[f32],
    (col_stride, depth, n_cols): (usize, usize, usize),
    out: &mut [f32],
    width: usize,
) {
    if precision == Precision::F32 {
        return transpose(isa, (data, col_stride), (n_cols, depth), (out, width));
    }
    PAIRS.with_borrow_mut(|buf| {
        // Whole squares of 16 words where there is room for them: those go through registers.
        let n_steps = stored_steps(precision, depth);
        let stride = n_steps.next_multiple_of(16);
        let (height, n_copied) = if out.len() >= stride * width { (width, stride) } else { (n_cols, n_steps) };
        let pairs = buf.at_least(height * stride);
        for (c, pairs) in pairs.chunks_exact_mut(stride.max(1)).take(n_cols).enumerate() {
            narrow_row(isa, precision, &data[c * col_stride..c * col_stride + depth], pairs);
        }
        transpose(isa, (pairs, stride), (height, n_copied), (out, width));
    });
}

/// `x` rounded to bf16, to nearest and to even at ties, in the upper half; the lower half is not cleared.
#[inline(always)]
fn round(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    // Rounding could carry a NaN over into the sign; a NaN keeps its upper half and becomes a quiet one.
    if x.is_nan() { bits | 0x0040_0000 } else { rounded }
}

/// Words of two rows: `low` in the lower halves, `high` in the upper.
#[inline(always)]
fn pair_rows(low: &[f32], high: &[f32], out: &mut [f32]) {
    for ((low, high), out) in low.iter().zip(high).zip(out) {
        *out = f32::from_bits(round(*low) >> 16 | round(*high) & 0xffff_0000);
    }
}

/// Words of a last row without a partner.
#[inline(always)]
fn pair_last_row(low: &[f32], out: &mut [f32]) {
    for (low, out) in low.iter().zip(out) {
        *out = f32::from_bits(round(*low) >> 16);
    }
}

/// Neighbours in a row become pairs at the beginning of `out`; in f16 the scale follows.
fn narrow_row(isa: Isa, precision: Precision, x: &[f32], out: &mut [f32]) {
    match precision {
        #[cfg(target_arch = "x86_64")]
        Precision::F16 => avx512_f16::narrow_row(isa, x, out),
        _ => narrow(isa, x, &mut out[..n_steps(precision, x.len())]),
    }
}

for_each_isa! {
    /// Neighbours become pairs: words of (x0, x1), (x2, x3) and so on.
    fn narrow(x: &[f32], out: &mut [f32]) {
        let halves: &mut [u16] = bytemuck::cast_slice_mut(out);
        for (half, &x) in halves.iter_mut().zip(x) {
            *half = (round(x) >> 16) as u16;
        }
        halves[x.len()..].fill(0);
    }
}

/// Floats after which addresses fall on the same sets of an L1 cache of 64 sets with lines of 16 floats.
const SET_STRIDE: usize = 1024;

/// Some rows of A over one block of inner elements, in words as the micro-kernel takes them.
///
/// A row-major A in f32 is read where it lies, unless its rows are whole pages apart: then all rows of a tile would fall
/// on the same cache sets, and it is copied row by row with 16 words of padding. A transposed A is copied column by
/// column, so that what a tile reads lies together.
pub(super) struct ABlock<'a> {
    data: &'a [f32],
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
    /// The rows of a tile and the words from one tile to the next, where tiles were packed one by one.
    tile_stride: Option<(usize, usize)>,
}

impl<'a> ABlock<'a> {
    pub(super) fn copy(
        (isa, precision): (Isa, Precision),
        buf: &'a mut AlignedBuf,
        a: Matrix<'a>,
        rows: Range<usize>,
        k: usize,
        depth: usize,
    ) -> ABlock<'a> {
        #[cfg(target_arch = "x86_64")]
        if precision == Precision::F16 {
            return ABlock::tiles(isa, buf, a, rows, k, depth);
        }
        let (n_rows, n_steps) = (rows.len(), n_steps(precision, depth));
        if a.col_stride != 1 {
            assert_eq!(a.row_stride, 1, "A has unit stride in one direction");
            let data = buf.at_least(n_rows * n_steps);
            let first = rows.start + k * a.col_stride;
            copy_rows(isa, precision, &a.data[first..], (a.col_stride, depth, n_rows), data, n_rows);
            return ABlock { data, row_stride: 1, col_stride: n_rows, tile_stride: None };
        }
        let first = rows.start * a.row_stride + k;
        if precision == Precision::F32 && !a.row_stride.is_multiple_of(SET_STRIDE) {
            return ABlock { data: &a.data[first..], row_stride: a.row_stride, col_stride: 1, tile_stride: None };
        }
        let stride = n_steps + 16;
        let data = buf.at_least(n_rows * stride);
        for (row, out) in rows.zip(data.chunks_exact_mut(stride)) {
            let first = row * a.row_stride + k;
            let row = &a.data[first..first + depth];
            match precision {
                Precision::F32 => out[..depth].copy_from_slice(row),
                _ => narrow(isa, row, &mut out[..n_steps]),
            }
        }
        ABlock { data, row_stride: stride, col_stride: 1, tile_stride: None }
    }

    /// The block tile by tile, each with all its steps.
    #[cfg(target_arch = "x86_64")]
    fn tiles(
        isa: Isa,
        buf: &'a mut AlignedBuf,
        a: Matrix<'a>,
        rows: Range<usize>,
        k: usize,
        depth: usize,
    ) -> ABlock<'a> {
        use avx512_f16::TILE_WORDS;
        let (tile_rows, n_steps) = (super::tile_rows(isa), stored_steps(Precision::F16, depth));
        let tile_stride = n_steps.next_multiple_of(16) * TILE_WORDS;
        let data = buf.at_least(rows.len().div_ceil(tile_rows) * tile_stride);
        if a.col_stride != 1 {
            assert_eq!(a.row_stride, 1, "A has unit stride in one direction");
            let vectors = avx512_f16::Vectors { n_cols: tile_rows, stride: tile_stride, step_stride: TILE_WORDS };
            let from = &a.data[rows.start + k * a.col_stride..];
            avx512_f16::copy_columns(isa, from, (a.col_stride, depth, rows.len()), data, vectors);
        } else {
            for (first, tile) in rows.clone().step_by(tile_rows).zip(data.chunks_exact_mut(tile_stride)) {
                let n_rows = tile_rows.min(rows.end - first);
                let from = &a.data[first * a.row_stride + k..];
                transpose_rows(isa, Precision::F16, from, (a.row_stride, depth, n_rows), tile, TILE_WORDS);
            }
        }
        ABlock { data, row_stride: 1, col_stride: TILE_WORDS, tile_stride: Some((tile_rows, tile_stride)) }
    }

    /// Where the tile begins whose first row is `row`.
    pub(super) fn row_ptr(&self, row: usize) -> *const f32 {
        let at = match self.tile_stride {
            Some((tile_rows, stride)) => row / tile_rows * stride,
            None => row * self.row_stride,
        };
        self.data[at..].as_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_to_bf16_is_to_nearest_and_even_and_keeps_infinity_and_nan() {
        let rounded = |x: f32| f32::from_bits(round(x) & 0xffff_0000);
        let one_up = f32::from_bits(0x3f81_0000);
        let cases = [
            (1.0, 1.0),
            (f32::from_bits(0x3f80_7fff), 1.0),
            (f32::from_bits(0x3f80_8000), 1.0),
            (f32::from_bits(0x3f80_8001), one_up),
            (f32::from_bits(0x3f81_8000), f32::from_bits(0x3f82_0000)),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
            (f32::MAX, f32::INFINITY),
            (-0.0, -0.0),
        ];
        for (x, wanted) in cases {
            assert_eq!(rounded(x).to_bits(), wanted.to_bits(), "{x:e}");
        }
        assert!(rounded(f32::NAN).is_nan() && rounded(f32::from_bits(0xffff_ffff)).is_nan());
    }
}
