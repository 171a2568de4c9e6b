//! Copies of operand blocks in the order in which the micro-kernel reads them.
//!
//! A micro-kernel goes through the inner dimension in steps. In f32 a step is one inner element; in bf16 it is two, which
//! lie together as the halves of one 32-bit word (the earlier in the low half), as `vdpbf16ps` takes them. So both
//! precisions have the same layout, words of 32 bits, and bf16 has half as many steps; the words of pairs are kept in
//! `f32` buffers, where nothing but the micro-kernel looks at them. f16 has pairs too, and behind a block's steps one more
//! with the scales that undo those of its operands. In int8 a word is four codes, and scales follow likewise.

use super::transpose::transpose;
use super::{AlignedBuf, BLOCK_STEPS, COPY_STRIDE, Cpu, Isa, LONG_COPY_STRIDE, Matrix, PANEL, Precision};
#[cfg(target_arch = "x86_64")]
use super::{amx, avx512_bf16, avx512_f16, avx512_int8};
use crate::kernels::cpu::for_each_isa;
use crate::kernels::element::Elements;
use std::cell::RefCell;
use std::ops::Range;

/// Steps of the micro-kernel over `depth` inner elements.
pub(super) fn n_steps(precision: Precision, depth: usize) -> usize {
    match precision {
        Precision::F32 => depth,
        Precision::Bf16 | Precision::F16 => depth.div_ceil(2),
        Precision::Int8 => depth.div_ceil(4),
    }
}

/// Steps that are stored for `depth` inner elements: in f16 and int8 one more than are multiplied, for the scales; in bf16 zeros up
/// to a multiple of [`WHOLE_STEPS`].
pub(super) fn stored_steps(precision: Precision, depth: usize) -> usize {
    let n_steps = n_steps(precision, depth);
    match precision {
        Precision::F32 => n_steps,
        Precision::Bf16 => n_steps.next_multiple_of(WHOLE_STEPS),
        Precision::F16 | Precision::Int8 => n_steps + 1,
    }
}

/// Steps that a tile register takes at once.
pub(super) const WHOLE_STEPS: usize = 16;

/// Words that a task packs at least, 64 KB, so that small matrices are not torn apart.
const TASK_WORDS: usize = 16_384;

/// Packs rows `k..k + depth` of `b` into panels: panel j holds columns 32j..32j+32, step after step, padded with zeros.
pub(super) fn pack_block(cpu: &Cpu, precision: Precision, b: Matrix, k: usize, depth: usize, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if precision == Precision::Bf16 && b.col_stride == 1 {
        return sweep(cpu, b, k, depth, Order::Steps(PANEL), out);
    }
    let n_panels = b.n_cols.div_ceil(PANEL);
    let panel_len = stored_steps(precision, depth) * PANEL;
    let shared = super::SharedSlice::new(&mut out[..n_panels * panel_len]);
    let panels_per_task = (TASK_WORDS / panel_len.max(1)).max(1);
    let isa = cpu.isa;
    cpu.pool.for_pieces(n_panels, panels_per_task, |_, panels| {
        for panel in panels {
            // SAFETY: panels do not overlap, and each is packed by one task.
            let out = unsafe { shared.range(panel * panel_len..(panel + 1) * panel_len) };
            pack_panel(isa, precision, b, k, depth, panel, out);
        }
    });
}

/// Copies rows `k..k + depth` of a row-major matrix to pairs of bf16 in groups of `width` columns, one after the other.
/// Tasks are of whole rows, which memory gives several times faster than pieces of them that lie a row apart.
#[cfg(target_arch = "x86_64")]
fn sweep(cpu: &Cpu, x: Matrix, k: usize, depth: usize, order: Order, out: &mut [f32]) {
    let (isa, width) = (cpu.isa, order.width());
    let (n_steps, n_groups) = (stored_steps(Precision::Bf16, depth), x.n_cols.div_ceil(width));
    let stride = n_steps * width;
    let shared = super::SharedSlice::new(&mut out[..n_groups * stride]);
    // As many tasks for each thread.
    let n_tasks = (n_groups * stride / TASK_WORDS).max(1).next_multiple_of(cpu.n_threads());
    let steps_per_task = n_steps.div_ceil(n_tasks).max(1);
    let steps_per_task =
        if order == Order::Tiles { steps_per_task.next_multiple_of(WHOLE_STEPS) } else { steps_per_task };
    cpu.pool.for_pieces(n_steps, steps_per_task, |_, steps| {
        let rows = (2 * steps.start).min(depth)..(2 * steps.end).min(depth);
        let data = x.data.from((k + rows.start) * x.row_stride);
        let size = (x.row_stride, rows.len(), x.n_cols);
        match order {
            Order::Steps(width) => {
                let groups = avx512_bf16::Groups { width, stride, n_steps: steps.len() };
                // SAFETY: each step is written by one task, and there is room for those of all groups.
                unsafe { avx512_bf16::copy_rows(isa, data, size, shared.as_ptr_at(steps.start * width), groups) };
            }
            Order::Tiles => copy_tiles(isa, data, size, &shared, steps.start * width, stride),
        }
    });
}

/// How the words of a group of columns follow each other.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Step by step, those of so many columns.
    Steps(usize),
    /// For tile registers: [`amx::ROWS`] columns, of which each has [`amx::WORDS`] steps before the next column follows.
    Tiles,
}

#[cfg(target_arch = "x86_64")]
impl Order {
    /// That of the left-hand side when it is transposed.
    fn of_left(isa: Isa) -> Order {
        let in_tiles = Precision::Bf16.is_in_tiles(isa);
        if in_tiles { Order::Tiles } else { Order::Steps(super::tile_rows(isa, Precision::Bf16)) }
    }

    fn width(self) -> usize {
        match self {
            Order::Steps(width) => width,
            Order::Tiles => amx::ROWS,
        }
    }
}

/// Copies rows to groups of columns in the order [`Order::Tiles`], the first at word `first` and each `stride` words behind the one
/// before it. The caller's thread alone writes there.
#[cfg(target_arch = "x86_64")]
fn copy_tiles(
    isa: Isa,
    data: Elements,
    (row_stride, depth, n_cols): (usize, usize, usize),
    out: &super::SharedSlice<f32>,
    first: usize,
    stride: usize,
) {
    const SQUARE: usize = amx::WORDS * amx::WORDS;
    PAIRS.with_borrow_mut(|buf| {
        let n_squares = n_cols.div_ceil(amx::WORDS);
        let steps = buf.at_least(n_squares * SQUARE);
        let groups = avx512_bf16::Groups { width: amx::WORDS, stride: SQUARE, n_steps: amx::WORDS };
        for (block, row) in (0..depth).step_by(2 * amx::WORDS).enumerate() {
            let size = (row_stride, depth.min(row + 2 * amx::WORDS) - row, n_cols);
            // SAFETY: there is room for all groups.
            unsafe { avx512_bf16::copy_rows(isa, data.from(row * row_stride), size, steps.as_mut_ptr(), groups) };
            for (i, square) in steps[..n_squares * SQUARE].chunks_exact(SQUARE).enumerate() {
                let at = first + i / 2 * stride + (2 * block + i % 2) * SQUARE;
                // SAFETY: as the caller promised.
                let out = unsafe { out.range(at..at + SQUARE) };
                transpose(isa, (square, amx::WORDS), (amx::WORDS, amx::WORDS), (out, amx::WORDS));
            }
        }
    });
}

/// Packs columns `k..k + depth` of a transposed `a` tile by tile: for bf16, where that is faster than if each task copied what it
/// needs. Then [`ABlock::of_tiles`] finds a task's rows.
#[cfg(target_arch = "x86_64")]
pub(super) fn pack_tiles<'a>(cpu: &Cpu, a: Matrix, k: usize, depth: usize, buf: &'a mut AlignedBuf) -> &'a [f32] {
    let order = Order::of_left(cpu.isa);
    let tiles = buf.at_least(a.n_rows.next_multiple_of(order.width()) * stored_steps(Precision::Bf16, depth));
    sweep(cpu, a.transposed(), k, depth, order, tiles);
    tiles
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
    let data = b.data.from(first);
    if b.col_stride == 1 {
        let size = (b.row_stride, depth, n_cols);
        match precision {
            #[cfg(target_arch = "x86_64")]
            Precision::F16 => avx512_f16::copy_columns(isa, data.floats(), size, out, avx512_f16::Vectors::OF_PANELS),
            #[cfg(target_arch = "x86_64")]
            Precision::Int8 => avx512_int8::copy_columns(isa, data.floats(), size, out),
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

/// Copies `depth` rows of `n_cols` elements, `row_stride` apart, to steps of `width` words each, padded with zeros.
fn copy_rows(
    isa: Isa,
    precision: Precision,
    data: Elements,
    size: (usize, usize, usize),
    out: &mut [f32],
    width: usize,
) {
    match precision {
        #[cfg(target_arch = "x86_64")]
        Precision::Bf16 => {
            let (_, depth, n_cols) = size;
            let n_steps = stored_steps(precision, depth);
            assert!(n_cols <= width && n_steps * width <= out.len(), "room for {depth} rows of {n_cols} columns");
            let groups = avx512_bf16::Groups { width, stride: n_steps * width, n_steps };
            // SAFETY: it is all one group, for which there is room.
            unsafe { avx512_bf16::copy_rows(isa, data, size, out.as_mut_ptr(), groups) }
        }
        _ => copy_rows_f32(isa, data.floats(), size, out, width),
    }
}

for_each_isa! {
    fn copy_rows_f32(data: &[f32], size: (usize, usize, usize), out: &mut [f32], width: usize) {
        let (row_stride, depth, n_cols) = size;
        for (r, out) in out.chunks_exact_mut(width).take(depth).enumerate() {
            copy_row(&data[r * row_stride..r * row_stride + n_cols], out);
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
    data: Elements,
    (col_stride, depth, n_cols): (usize, usize, usize),
    out: &mut [f32],
    width: usize,
) {
    if precision == Precision::F32 {
        return transpose(isa, (data.floats(), col_stride), (n_cols, depth), (out, width));
    }
    PAIRS.with_borrow_mut(|buf| {
        // Whole squares of 16 words where there is room for them: those go through registers.
        let n_steps = stored_steps(precision, depth);
        let stride = n_steps.next_multiple_of(16);
        let (height, n_copied) = if out.len() >= stride * width { (width, stride) } else { (n_cols, n_steps) };
        let pairs = buf.at_least(height * stride);
        narrow_rows(isa, precision, data, (col_stride, n_cols, depth), pairs, stride);
        transpose(isa, (pairs, stride), (height, n_copied), (out, width));
    });
}

/// Neighbours in a row become pairs or fours, at the beginning of rows of `width` words; in f16 and int8 a row's scale
/// follows. `size` is (`row_stride`, rows, columns).
#[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables))]
fn narrow_rows(
    isa: Isa,
    precision: Precision,
    data: Elements,
    size: (usize, usize, usize),
    out: &mut [f32],
    width: usize,
) {
    match precision {
        #[cfg(target_arch = "x86_64")]
        Precision::Bf16 => avx512_bf16::narrow_rows(isa, data, size, out, width),
        #[cfg(target_arch = "x86_64")]
        Precision::F16 => {
            let ((row_stride, n_rows, n_cols), data) = (size, data.floats());
            for (r, out) in out.chunks_exact_mut(width.max(1)).take(n_rows).enumerate() {
                avx512_f16::narrow_row(isa, &data[r * row_stride..][..n_cols], out);
            }
        }
        #[cfg(target_arch = "x86_64")]
        Precision::Int8 => avx512_int8::narrow_rows(isa, avx512_int8::Side::B, data.floats(), size, out, width),
        _ => unreachable!("{} is not narrow", precision.name()),
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
    /// All of a matrix in f32, where it lies.
    pub(super) fn in_place(a: Matrix<'a>) -> ABlock<'a> {
        ABlock { data: a.data.floats(), row_stride: a.row_stride, col_stride: a.col_stride, tile_stride: None }
    }

    /// Rows from `first` on, a multiple of `tile_rows`, of what [`pack_tiles`] made of `depth` inner elements.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn of_tiles(isa: Isa, tiles: &'a [f32], first: usize, depth: usize) -> ABlock<'a> {
        let (order, n_steps) = (Order::of_left(isa), stored_steps(Precision::Bf16, depth));
        let row_stride = if order == Order::Tiles { amx::WORDS } else { 1 };
        let tile_stride = Some((order.width(), n_steps * order.width()));
        ABlock { data: &tiles[first * n_steps..], row_stride, col_stride: order.width(), tile_stride }
    }

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
        #[cfg(target_arch = "x86_64")]
        if precision == Precision::Int8 {
            return ABlock::codes(isa, buf, a, rows, k, depth);
        }
        let (n_rows, n_steps) = (rows.len(), stored_steps(precision, depth));
        let n_whole = n_rows.next_multiple_of(super::tile_rows(isa, precision));
        if a.col_stride != 1 {
            assert_eq!(a.row_stride, 1, "A has unit stride in one direction");
            let data = buf.at_least(n_whole * n_steps);
            #[cfg(target_arch = "x86_64")]
            if precision.is_in_tiles(isa) {
                let stride = n_steps * amx::ROWS;
                let (from, out) = (a.data.from(rows.start + k * a.col_stride), super::SharedSlice::new(data));
                copy_tiles(isa, from, (a.col_stride, depth, n_rows), &out, 0, stride);
                return ABlock::of_tiles(isa, data, 0, depth);
            }
            let first = rows.start + k * a.col_stride;
            copy_rows(isa, precision, a.data.from(first), (a.col_stride, depth, n_rows), data, n_rows);
            return ABlock { data, row_stride: 1, col_stride: n_rows, tile_stride: None };
        }
        let first = rows.start * a.row_stride + k;
        if precision == Precision::F32 && !a.row_stride.is_multiple_of(SET_STRIDE) {
            return ABlock {
                data: &a.data.floats()[first..],
                row_stride: a.row_stride,
                col_stride: 1,
                tile_stride: None,
            };
        }
        let stride = if n_steps <= BLOCK_STEPS { COPY_STRIDE } else { LONG_COPY_STRIDE.max(n_steps + 16) };
        let data = buf.at_least(n_whole * stride);
        if precision == Precision::F32 {
            let from = a.data.floats();
            for (r, out) in data.chunks_exact_mut(stride).take(n_rows).enumerate() {
                out[..depth].copy_from_slice(&from[first + r * a.row_stride..][..depth]);
            }
        } else {
            narrow_rows(isa, precision, a.data.from(first), (a.row_stride, n_rows, depth), data, stride);
        }
        ABlock { data, row_stride: stride, col_stride: 1, tile_stride: None }
    }

    /// Rows of codes, each with its scale and where its sums start.
    #[cfg(target_arch = "x86_64")]
    fn codes(
        isa: Isa,
        buf: &'a mut AlignedBuf,
        a: Matrix<'a>,
        rows: Range<usize>,
        k: usize,
        depth: usize,
    ) -> ABlock<'a> {
        let data = buf.at_least(rows.len() * COPY_STRIDE);
        let from = &a.data.floats()[rows.start * a.row_stride + k * a.col_stride..];
        let narrow = |from: &[f32], stride, data: &mut [f32]| {
            avx512_int8::narrow_rows(isa, avx512_int8::Side::A, from, (stride, rows.len(), depth), data, COPY_STRIDE);
        };
        if a.col_stride == 1 {
            narrow(from, a.row_stride, data);
        } else {
            // No product that is made often has A so, and this is the shortest way.
            PAIRS.with_borrow_mut(|mirrored| {
                let mirrored = mirrored.at_least(rows.len() * depth);
                transpose(isa, (from, a.col_stride), (depth, rows.len()), (&mut *mirrored, depth));
                narrow(mirrored, depth, data);
            });
        }
        ABlock { data, row_stride: COPY_STRIDE, col_stride: 1, tile_stride: None }
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
        let (tile_rows, n_steps) = (super::tile_rows(isa, Precision::F16), stored_steps(Precision::F16, depth));
        let tile_stride = n_steps.next_multiple_of(16) * TILE_WORDS;
        let data = buf.at_least(rows.len().div_ceil(tile_rows) * tile_stride);
        if a.col_stride != 1 {
            assert_eq!(a.row_stride, 1, "A has unit stride in one direction");
            let vectors = avx512_f16::Vectors { n_cols: tile_rows, stride: tile_stride, step_stride: TILE_WORDS };
            let from = &a.data.floats()[rows.start + k * a.col_stride..];
            avx512_f16::copy_columns(isa, from, (a.col_stride, depth, rows.len()), data, vectors);
        } else {
            for (first, tile) in rows.clone().step_by(tile_rows).zip(data.chunks_exact_mut(tile_stride)) {
                let n_rows = tile_rows.min(rows.end - first);
                let from = a.data.from(first * a.row_stride + k);
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
