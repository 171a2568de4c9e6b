//! Small products on one thread, over a right-hand side that is packed once: those of attention.

use super::{A_BLOCK, AlignedBuf, Isa, Matrix, PANEL, Precision, Tile, pack, registers, tile, tile_rows};

/// A right-hand side for [`small_gemm`]: panels of [`PANEL`] columns, each over all inner elements.
#[derive(Debug, Clone, Default)]
pub(in crate::kernels) struct Panels {
    data: AlignedBuf,
    n_rows: usize,
    n_cols: usize,
    precision: Precision,
}

impl Panels {
    /// Packs `b` (K, N) on the calling thread, reusing the memory held so far. Not for f16 and int8, whose scales are of a
    /// whole column and would make a product's parts depend on each other.
    pub(in crate::kernels) fn pack(&mut self, (isa, precision): (Isa, Precision), b: Matrix) {
        let is_local = matches!(precision, Precision::F32 | Precision::Bf16);
        assert!(is_local && precision.is_available(isa), "small products in {}", precision.name());
        (self.n_rows, self.n_cols, self.precision) = (b.n_rows, b.n_cols, precision);
        let len = self.panel_len();
        let panels = &mut self.data.at_least(b.n_cols.div_ceil(PANEL) * len)[..b.n_cols.div_ceil(PANEL) * len];
        for (panel, out) in panels.chunks_exact_mut(len.max(1)).enumerate() {
            pack::pack_panel(isa, precision, b, 0, b.n_rows, panel, out);
        }
    }

    fn panel_len(&self) -> usize {
        pack::stored_steps(self.precision, self.n_rows) * PANEL
    }
}

/// The part of a right-hand side that a small product takes: some rows, of which the first has an even number (in tile registers a
/// multiple of 32), and as many columns from the first on as C has.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Rows<'a>(pub(in crate::kernels) &'a Panels, pub(in crate::kernels) usize);

/// C (M, N) = (accumulate ? C : 0) + A (M, K) · B on the calling thread alone, for the small products of attention.
/// C's rows are `c_row` apart.
pub(in crate::kernels) fn small_gemm(
    isa: Isa,
    a: Matrix,
    Rows(b, first): Rows,
    c: &mut [f32],
    (n, c_row): (usize, usize),
    accumulate: bool,
) {
    let (m, precision) = (a.n_rows, b.precision);
    if m == 0 || n == 0 {
        return;
    }
    assert!(first.is_multiple_of(2) && first + a.n_cols <= b.n_rows, "rows {first} + {} of {}", a.n_cols, b.n_rows);
    assert!(n <= b.n_cols && (m - 1) * c_row + n <= c.len(), "C of {} elements is too short", c.len());
    let is_whole = first.is_multiple_of(2 * pack::WHOLE_STEPS);
    assert!(!precision.is_in_tiles(isa) || is_whole, "row {first} is within a tile");
    let (tile_rows, first) = (tile_rows(isa, precision), pack::n_steps(precision, first) * PANEL);
    let _registers = registers(isa, precision);
    A_BLOCK.with_borrow_mut(|buf| {
        let block = match precision {
            Precision::F32 => pack::ABlock::in_place(a),
            _ => pack::ABlock::copy((isa, precision), buf, a, 0..m, 0, a.n_cols),
        };
        for col in (0..n).step_by(PANEL) {
            let panel = &b.data[col / PANEL * b.panel_len() + first..(col / PANEL + 1) * b.panel_len()];
            for row in (0..m).step_by(tile_rows) {
                let c = &mut c[row * c_row + col..];
                let t = Tile {
                    a: block.row_ptr(row),
                    a_row: block.row_stride,
                    a_col: block.col_stride,
                    b: panel.as_ptr(),
                    b_row: PANEL,
                    c: c.as_mut_ptr(),
                    start: if accumulate { c.as_ptr() } else { std::ptr::null() },
                    c_row,
                    k: pack::n_steps(precision, a.n_cols),
                    n_rows: tile_rows.min(m - row),
                    n_cols: PANEL.min(n - col),
                };
                // SAFETY: the matrix reaches as far as its sizes say, the panel as asserted, and C is borrowed
                // exclusively; the precision was available when B was packed.
                unsafe { tile(isa, precision, t) };
            }
        }
    });
}
