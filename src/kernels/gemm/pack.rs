//! Copies of operand blocks in the order in which the micro-kernel reads them.

use super::{AlignedBuf, Cpu, Matrix, PANEL};
use std::ops::Range;

/// Packs rows `k..k + depth` of `b` into panels: panel j holds columns 32j..32j+32, row after row, padded with zeros.
pub(super) fn pack_block(cpu: &Cpu, b: Matrix, k: usize, depth: usize, out: &mut [f32]) {
    let n_panels = b.n_cols.div_ceil(PANEL);
    let shared = super::SharedSlice::new(&mut out[..n_panels * depth * PANEL]);
    // At least 64 KB a task, so that small matrices are not torn apart.
    let panels_per_task = (16_384 / (depth * PANEL).max(1)).max(1);
    cpu.pool.for_pieces(n_panels, panels_per_task, |_, panels| {
        for panel in panels {
            let range = panel * depth * PANEL..(panel + 1) * depth * PANEL;
            // SAFETY: panels do not overlap, and each is packed by one task.
            let out = unsafe { shared.range(range) };
            pack_panel(b, k, panel, out);
        }
    });
}

/// Packs rows `k..` of panel `panel` of `b`, as many as `out` has room for.
pub(super) fn pack_panel(b: Matrix, k: usize, panel: usize, out: &mut [f32]) {
    let n_cols = PANEL.min(b.n_cols - panel * PANEL);
    let first = k * b.row_stride + panel * PANEL * b.col_stride;
    if b.col_stride == 1 {
        copy_rows(&b.data[first..], b.row_stride, n_cols, out);
    } else {
        transpose_rows(&b.data[first..], b.row_stride, b.col_stride, n_cols, out);
    }
}

fn copy_rows(data: &[f32], row_stride: usize, n_cols: usize, out: &mut [f32]) {
    for (row, out) in out.chunks_exact_mut(PANEL).enumerate() {
        let source = &data[row * row_stride..row * row_stride + n_cols];
        out[..n_cols].copy_from_slice(source);
        out[n_cols..].fill(0.0);
    }
}

/// Columns of the panel lie `col_stride` apart and its rows `row_stride` apart (1 for a transposed weight). Goes through
/// the panel in squares of 16, so that both the reads and the writes stay within a few cache lines.
fn transpose_rows(data: &[f32], row_stride: usize, col_stride: usize, n_cols: usize, out: &mut [f32]) {
    const SQUARE: usize = 16;
    let depth = out.len() / PANEL;
    if n_cols < PANEL {
        out.fill(0.0);
    }
    for row in (0..depth).step_by(SQUARE) {
        let rows = row..(row + SQUARE).min(depth);
        for col in (0..n_cols).step_by(SQUARE) {
            for c in col..(col + SQUARE).min(n_cols) {
                let column = &data[c * col_stride..];
                for r in rows.clone() {
                    out[r * PANEL + c] = column[r * row_stride];
                }
            }
        }
    }
}

/// Floats after which addresses fall on the same sets of an L1 cache of 64 sets with lines of 16 floats.
const SET_STRIDE: usize = 1024;

/// A dense copy of some rows of A over one block of inner elements.
///
/// A row-major A is read where it lies, unless its rows are whole pages apart: then all rows of a tile would fall on the
/// same cache sets, and it is copied row by row with 16 floats of padding. A transposed A is copied column by column, so
/// that what a tile reads lies together.
pub(super) struct ABlock<'a> {
    data: &'a [f32],
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl<'a> ABlock<'a> {
    pub(super) fn copy(
        buf: &'a mut AlignedBuf,
        a: Matrix<'a>,
        rows: Range<usize>,
        k: usize,
        depth: usize,
    ) -> ABlock<'a> {
        let n_rows = rows.len();
        if a.col_stride == 1 && !a.row_stride.is_multiple_of(SET_STRIDE) {
            let first = rows.start * a.row_stride + k;
            ABlock { data: &a.data[first..], row_stride: a.row_stride, col_stride: 1 }
        } else if a.col_stride == 1 {
            let stride = depth + 16;
            let data = buf.at_least(n_rows * stride);
            for (row, out) in rows.zip(data.chunks_exact_mut(stride)) {
                let first = row * a.row_stride + k;
                out[..depth].copy_from_slice(&a.data[first..first + depth]);
            }
            ABlock { data, row_stride: stride, col_stride: 1 }
        } else {
            assert_eq!(a.row_stride, 1, "A has unit stride in one direction");
            let data = buf.at_least(n_rows * depth);
            for (l, out) in data.chunks_exact_mut(n_rows).take(depth).enumerate() {
                let first = rows.start + (k + l) * a.col_stride;
                out.copy_from_slice(&a.data[first..first + n_rows]);
            }
            ABlock { data, row_stride: 1, col_stride: n_rows }
        }
    }

    pub(super) fn row_ptr(&self, row: usize) -> *const f32 {
        self.data[row * self.row_stride..].as_ptr()
    }
}
