//! What is done with a product while it is in the cache of the thread that made it.
//!
//! Rows of C go to memory and come back for what follows: an activation, a norm, rounding. Here what follows is given along, and sees
//! each row when it is finished. Where it can do with pieces of rows ([`Cut`]), and C itself is not kept in f32, C never is in
//! memory at all: a task makes the columns of a few panels, for a row tile at a time, in a block that stays in the L1 cache.

use super::{
    Division, GROUP_WORDS, Left, Matrix, Operands, PANEL, PackedBlock, Precision, Sink, Start, product, tile_rows,
    with_rows,
};
use crate::kernels::aligned::AlignedBuf;
use crate::kernels::cpu::Cpu;
use crate::kernels::element::{Element, ElementsMut, narrow};
use crate::kernels::shared::SharedSlice;
use std::cell::RefCell;
use std::ops::Range;

/// Where rows of a product may be cut: behind every so many columns of each of so many equal parts of a row (as of gate and up).
/// A piece has the same columns of all parts, side by side.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Columns that stay together.
    pub columns: usize,
    /// Parts of a row.
    pub parts: usize,
}

impl Cut {
    /// Between any two columns.
    pub const ANYWHERE: Cut = Cut { columns: 1, parts: 1 };
}

/// What is seen of a product at once: some rows, or the same piece of each.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The numbers of the rows.
    pub rows: Range<usize>,
    /// Columns; where rows have several parts, those of each.
    pub columns: Range<usize>,
}

/// What sees a product: a piece, and its elements, row by row without gaps.
pub(super) type Then<'a> = dyn Fn(Piece, &mut [f32]) + Sync + 'a;

/// As [`super::gemm`], and what comes `then`: it is called with blocks of rows of C that together are all, and with the rows of the
/// same numbers of the row-major matrices `beside` it. It must do with a row what it would do with it alone.
pub fn gemm_then<E: Element, const N: usize>(
    cpu: &Cpu,
    precision: Precision,
    a: Matrix,
    b: Matrix,
    c: &mut [f32],
    start: Start,
    beside: [&mut [E]; N],
    then: impl Fn(Piece, &mut [f32], [&mut [E]; N]) + Sync,
) {
    let beside = Beside::new(a.n_rows, beside);
    // SAFETY: each row is finished once, by one thread, and nobody else has it meanwhile.
    let then = |piece: Piece, c: &mut [f32]| then(piece.clone(), c, unsafe { beside.rows(piece.rows) });
    product(cpu, precision, a, b, Sink::Kept(c, Some(&then)), start);
}

/// C = A · B, kept as `C`; `then` sees its rows in f32 before, maybe in pieces.
pub fn gemm_into<C: Element, E: Element, const N: usize>(
    cpu: &Cpu,
    precision: Precision,
    a: Matrix,
    b: Matrix,
    c: &mut [C],
    cut: Cut,
    beside: [&mut [E]; N],
    then: impl Fn(Piece, &mut [f32], [&mut [E]; N]) + Sync,
) {
    let (isa, n_cols, parts) = (cpu.isa, b.n_cols, cut.parts);
    assert_eq!(c.len(), a.n_rows * n_cols, "C of {} x {n_cols}", a.n_rows);
    match C::elements_mut(c) {
        ElementsMut::F32(c) => {
            let whole = |piece: Piece, c: &mut [f32], beside: [&mut [E]; N]| {
                then(Piece { columns: 0..n_cols / parts, ..piece }, c, beside);
            };
            gemm_then(cpu, precision, a, b, c, Start::Zero, beside, whole);
        }
        ElementsMut::Bf16(c) => {
            let kept = SharedSlice::new(c);
            gemm_passing(cpu, precision, a, b, cut, beside, |piece, c, beside| {
                let Piece { rows, columns } = piece.clone();
                then(piece, c, beside);
                for (i, c) in c.chunks_exact(columns.len()).enumerate() {
                    let first = (rows.start + i / parts) * n_cols + i % parts * (n_cols / parts);
                    // SAFETY: each piece is finished once, by one thread, and nobody else has it meanwhile.
                    narrow(isa, c, unsafe { kept.range(first + columns.start..first + columns.end) });
                }
            });
        }
    }
}

/// A · B, which nobody keeps: `then` sees its rows, maybe in pieces.
pub fn gemm_passing<E: Element, const N: usize>(
    cpu: &Cpu,
    precision: Precision,
    a: Matrix,
    b: Matrix,
    cut: Cut,
    beside: [&mut [E]; N],
    then: impl Fn(Piece, &mut [f32], [&mut [E]; N]) + Sync,
) {
    let (n_cols, parts) = (b.n_cols, cut.parts);
    assert!(n_cols.is_multiple_of(parts), "{n_cols} columns in {parts} parts");
    let beside = Beside::new(a.n_rows, beside);
    let then = |piece: Piece, c: &mut [f32]| {
        // A whole row has all parts among its columns.
        let n_columns = c.len() / piece.rows.len() / parts;
        let columns = piece.columns.start..piece.columns.start + n_columns;
        // SAFETY: the pieces of a row are finished one after the other, by one thread, and nobody else has it meanwhile.
        then(Piece { columns, ..piece.clone() }, c, unsafe { beside.rows(piece.rows) });
    };
    product(cpu, precision, a, b, Sink::Seen(cut, &then), Start::Zero);
}

/// Row-major matrices that have as many rows as a product, to be worked on beside it.
struct Beside<'a, E, const N: usize>([(usize, SharedSlice<'a, E>); N]);

impl<'a, E, const N: usize> Beside<'a, E, N> {
    fn new(n_rows: usize, matrices: [&'a mut [E]; N]) -> Beside<'a, E, N> {
        let n_rows = n_rows.max(1);
        Beside(matrices.map(|matrix| {
            assert!(matrix.len().is_multiple_of(n_rows), "{} elements in {n_rows} rows", matrix.len());
            (matrix.len() / n_rows, SharedSlice::new(matrix))
        }))
    }

    /// # Safety
    /// While the result lives, nobody else has these rows.
    #[allow(clippy::mut_from_ref)]
    unsafe fn rows(&self, rows: Range<usize>) -> [&mut [E]; N] {
        // SAFETY: the caller's promise.
        std::array::from_fn(|i| unsafe {
            let (width, matrix) = &self.0[i];
            matrix.range(rows.start * width..rows.end * width)
        })
    }
}

/// Columns that are made together: the same of each part of a row, whole panels.
struct Strip {
    columns: Range<usize>,
    n_parts: usize,
    /// Columns of a part.
    part: usize,
}

impl Strip {
    /// All strips of rows of `n_cols` columns, whose panels have `panel_len` words each: as wide as panels of [`GROUP_WORDS`] allow,
    /// and whole rows where these cannot be cut between panels.
    fn all(cut: Cut, n_cols: usize, panel_len: usize) -> impl Iterator<Item = Strip> {
        let part = n_cols / cut.parts;
        let unit = cut.columns * PANEL / gcd(cut.columns, PANEL);
        let n_panels = GROUP_WORDS / panel_len.max(1) / cut.parts;
        let width = (n_panels * PANEL / unit).max(1).saturating_mul(unit);
        let is_cut = width < part && (cut.parts == 1 || part.is_multiple_of(PANEL));
        let (n_parts, part, width) = if is_cut { (cut.parts, part, width) } else { (1, n_cols, n_cols.max(1)) };
        (0..part).step_by(width).map(move |first| Strip { columns: first..(first + width).min(part), n_parts, part })
    }

    /// Columns of the strip.
    fn width(&self) -> usize {
        self.n_parts * self.columns.len()
    }

    /// Its panels, each with the place of its first column.
    fn panels(&self) -> impl Iterator<Item = (usize, usize)> {
        let n = self.columns.len();
        let columns = (0..self.n_parts).flat_map(move |part| (0..n).step_by(PANEL).map(move |col| (part, col)));
        columns.map(move |(part, col)| ((part * self.part + self.columns.start + col) / PANEL, part * n + col))
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

thread_local! {
    /// The columns of a row tile that are being made.
    static C_TILE: RefCell<AlignedBuf> = RefCell::default();
}

/// Multiplies rows of A with a packed block, the only one, and shows `then` the product in pieces.
pub(super) fn multiply_and_show(
    cpu: &Cpu,
    precision: Precision,
    division: &Division,
    a: Left,
    b: PackedBlock,
    cut: Cut,
    then: &Then,
) {
    let unit @ (isa, _) = (cpu.isa, precision);
    cpu.pool.run(division.n_tasks(), |task| {
        let (rows, _) = division.part(task);
        with_rows(unit, a, b, rows.clone(), |operands| {
            for strip in Strip::all(cut, b.n_cols, b.panel_len(precision)) {
                show_strip(operands, rows.clone(), &strip, tile_rows(isa, precision), then);
            }
        });
    });
}

/// The columns of one strip, a row tile at a time.
fn show_strip(operands: &Operands, rows: Range<usize>, strip: &Strip, tile_rows: usize, then: &Then) {
    let width = strip.width();
    C_TILE.with_borrow_mut(|buf| {
        let c = buf.at_least(tile_rows * width);
        for first in rows.clone().step_by(tile_rows) {
            for (panel, at) in strip.panels() {
                // SAFETY: C has room for the tile.
                unsafe { operands.tile(first, panel, std::ptr::null(), c[at..].as_mut_ptr(), width) };
            }
            let rows = first..rows.end.min(first + tile_rows);
            let n = rows.len() * width;
            then(Piece { rows, columns: strip.columns.clone() }, &mut c[..n]);
        }
    });
}
