//! The matrix product C = A · B (+ C, or + another matrix) in f32: blocking, packing and the division among threads.
//!
//! The scheme is near that of Goto and van de Geijn ("Anatomy of high-performance matrix multiplication", 2008). B is packed
//! block by block into panels of [`PANEL`] columns; a task takes a block of rows of A, copies it to dense scratch and
//! runs the micro-kernel (`tile`) over row tiles and panels:
//!
//! ```text
//! for each block of inner elements:
//!     pack B's block into panels                       (all threads)
//!     for each block of rows, for each group of panels (all threads, in any order)
//!         copy A's block, unless A is transposed and all threads packed it, too
//!         for each row tile, for each panel (from L2): C tile += A tile · B panel
//! ```
//!
//! Goto and van de Geijn let the row tiles pass by one panel, which then stays in the L1 cache. Here the panels pass by one
//! row tile: they come from the L2 cache fast enough (two lines for every 28 multiply-adds), and C, which no cache holds
//! in a linear layer over thousands of tokens, is written in the order of its memory. A step of training takes 2 to 7 % less
//! time (AMD Zen 4, bf16).
//!
//! Each element of C is one chain of multiply-adds over the inner dimension in ascending order; between blocks it rests in
//! C, in full precision. (In tile registers it is a chain of sums of 32 products each.) So its value depends on nothing but its
//! row of A and its column of B: not on the number of rows computed with it, nor on threads. Training, prefill and decode
//! therefore agree bit for bit.

#[cfg(target_arch = "x86_64")]
pub(super) mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
#[cfg(target_arch = "x86_64")]
mod avx512_f16;
#[cfg(target_arch = "x86_64")]
mod avx512_int8;
mod epilogue;
mod pack;
mod portable;
mod precision;
mod small;
pub(super) mod transpose;

pub use epilogue::{Cut, Piece, gemm_into, gemm_passing, gemm_then};
pub use precision::Precision;
pub(super) use small::{Panels, Rows, small_gemm};

use super::aligned::AlignedBuf;
use super::cpu::{Cpu, Isa};
use super::element::{Element, Elements};
use super::shared::SharedSlice;
use epilogue::Then;
use std::cell::RefCell;
use std::ops::Range;

/// Columns of a packed panel: two 512-bit or four 256-bit vectors.
pub const PANEL: usize = 32;

/// Steps of a block at most ([`pack`] says what a step is): a panel of 512 x 32 words is 64 KB and streams from the L2 cache,
/// two lines for every 28 multiply-adds. More than would fit the L1 cache, because each block reads and writes all of C.
const BLOCK_STEPS: usize = 512;

/// The same in bf16, where the inner dimensions of most layers then need one block only.
const LONG_BLOCK_STEPS: usize = 768;

/// Words between the rows of a copy of A, in blocks of the one and of the other length: numbers that the AVX-512 kernels know
/// beforehand. Sixteen more than steps, so that the rows of a tile do not fall on the same sets of the cache.
const COPY_STRIDE: usize = BLOCK_STEPS + 16;
const LONG_COPY_STRIDE: usize = LONG_BLOCK_STEPS + 16;

/// A read-only matrix with any strides, in elements. One in bf16 is multiplied in bf16 only.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    data: Elements<'a>,
    n_rows: usize,
    n_cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix (`n_rows`, `n_cols`) without gaps.
    pub fn new<E: Element>(data: &'a [E], n_rows: usize, n_cols: usize) -> Matrix<'a> {
        Matrix::strided(data, n_rows, n_cols, n_cols)
    }

    /// A row-major matrix whose rows begin `row_stride` elements apart.
    pub fn strided<E: Element>(data: &'a [E], n_rows: usize, n_cols: usize, row_stride: usize) -> Matrix<'a> {
        let needed = if n_rows == 0 || n_cols == 0 { 0 } else { (n_rows - 1) * row_stride + n_cols };
        assert!(data.len() >= needed, "a {n_rows} x {n_cols} matrix needs {needed} elements, not {}", data.len());
        Matrix { data: E::elements(data), n_rows, n_cols, row_stride, col_stride: 1 }
    }

    /// The same elements, mirrored at the diagonal.
    pub fn transposed(self) -> Matrix<'a> {
        Matrix {
            n_rows: self.n_cols,
            n_cols: self.n_rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// What is added to the product before it is stored.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// Nothing: C is overwritten.
    Zero,
    /// What C holds: for gradients.
    Accumulate,
    /// Another matrix of C's shape and layout: for residual connections.
    From(&'a [f32]),
}

/// One call of the micro-kernel: C (rows, cols) = start + A (rows, k) · B panel (k, [`PANEL`]), where A and B consist of
/// words as [`pack`] makes them.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) a: *const f32,
    pub(super) a_row: usize,
    pub(super) a_col: usize,
    pub(super) b: *const f32,
    pub(super) b_row: usize,
    pub(super) c: *mut f32,
    /// Where the starting values lie, with C's row stride; null for zero.
    pub(super) start: *const f32,
    pub(super) c_row: usize,
    /// Steps over the inner dimension.
    pub(super) k: usize,
    pub(super) n_rows: usize,
    pub(super) n_cols: usize,
}

/// Rows that the micro-kernel of `isa` and `precision` computes at once.
#[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables))]
pub(super) fn tile_rows(isa: Isa, precision: Precision) -> usize {
    match isa {
        Isa::Scalar => portable::ROWS,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(_) => avx2::ROWS,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) if precision.is_in_tiles(isa) => amx::ROWS,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) => avx512::ROWS,
        #[cfg(not(target_arch = "x86_64"))]
        _ => portable::ROWS,
    }
}

/// Runs the micro-kernel of `isa` and `precision`.
///
/// # Safety
/// `precision` is available on `isa`; `n_rows <= tile_rows(isa, precision)` and `n_cols <= PANEL`; A, B and `start` (if not null)
/// are readable and C writable at all places that the strides reach, B over full panels; no other thread writes to them. What
/// multiplies in tile registers has them configured, and [`amx::tile`] says what else it reads.
pub(super) unsafe fn tile(isa: Isa, precision: Precision, t: Tile) {
    debug_assert!(t.n_rows <= tile_rows(isa, precision) && t.n_cols <= PANEL);
    match isa {
        // SAFETY: passed on from the caller.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) if precision.is_in_tiles(isa) => unsafe { amx::tile(t) },
        // SAFETY: passed on from the caller, who also made sure that this CPU multiplies bf16.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) if precision == Precision::Bf16 => unsafe { avx512::tile_bf16(t) },
        // SAFETY: as above, for f16.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) if precision == Precision::F16 => unsafe { avx512_f16::tile(t) },
        // SAFETY: as above, for codes of 8 bits.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) if precision == Precision::Int8 => unsafe { avx512_int8::tile(t) },
        // SAFETY: passed on from the caller; the token proves the instruction set.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) => unsafe { avx512::tile(t) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(_) => unsafe { avx2::tile(t) },
        // SAFETY: passed on from the caller.
        _ => unsafe { portable::tile(t) },
    }
}

/// What the micro-kernel needs of its thread while it is called.
#[cfg(target_arch = "x86_64")]
fn registers(isa: Isa, precision: Precision) -> Option<amx::Registers> {
    // SAFETY: the CPU has AMX.
    precision.is_in_tiles(isa).then(|| unsafe { amx::Registers::configure() })
}

#[cfg(not(target_arch = "x86_64"))]
fn registers(_: Isa, _: Precision) {}

/// A right-hand side packed once and used many times: the weights of an inference engine, or of a head that is applied
/// chunk by chunk.
#[derive(Debug, Clone, Default)]
pub struct PackedMatrix {
    panels: AlignedBuf,
    n_rows: usize,
    n_cols: usize,
    precision: Precision,
}

impl PackedMatrix {
    /// Packs `b` (K, N) for products in `precision`, reusing the memory held so far.
    pub fn pack(&mut self, cpu: &Cpu, precision: Precision, b: Matrix) {
        check_available(cpu, precision);
        let n_padded = b.n_cols.next_multiple_of(PANEL);
        let panels = self.panels.at_least(n_stored_steps(precision, b.n_rows) * n_padded);
        for_each_block(precision, precision.block_k(), b.n_rows, |k, depth, steps| {
            pack::pack_block(cpu, precision, b, k, depth, &mut panels[steps.start * n_padded..steps.end * n_padded]);
        });
        (self.n_rows, self.n_cols, self.precision) = (b.n_rows, b.n_cols, precision);
    }
}

/// C (M, N) = `start` + A (M, K) · B (K, N) in `precision`, which must be available; C is row-major without gaps.
pub fn gemm(cpu: &Cpu, precision: Precision, a: Matrix, b: Matrix, c: &mut [f32], start: Start) {
    product(cpu, precision, a, b, Sink::Kept(c, None), start);
}

/// Where the product goes, and what is done with it while it is in the cache.
enum Sink<'a> {
    /// To C, row-major without gaps.
    Kept(&'a mut [f32], Option<&'a Then<'a>>),
    /// Nowhere: pieces of rows, cut as `Cut` allows, are seen once.
    Seen(Cut, &'a Then<'a>),
}

fn product(cpu: &Cpu, precision: Precision, a: Matrix, b: Matrix, sink: Sink, start: Start) {
    assert_eq!(a.n_cols, b.n_rows, "A is {} x {}, B is {} x {}", a.n_rows, a.n_cols, b.n_rows, b.n_cols);
    check_available(cpu, precision);
    let n_padded = b.n_cols.next_multiple_of(PANEL);
    let (mut panels, mut tiles, mut whole) =
        (cpu.panels.borrow_mut(), cpu.tiles.borrow_mut(), cpu.product.borrow_mut());
    // Where A is transposed, C is a weight's gradient: small enough for a cache that both packed operands should fit too.
    let block_k = if a.col_stride == 1 { precision.block_k() } else { precision.block_k().min(2 * BLOCK_STEPS) };
    let panels = panels.at_least(pack::stored_steps(precision, b.n_rows.min(block_k)) * n_padded);
    let division = Division::new(cpu, precision, a, b.n_cols);
    // Only what one task finishes at once need not be kept.
    let passes = b.n_rows <= block_k && division.n_groups == 1;
    let mut sink = match sink {
        Sink::Seen(_, then) if !passes => Sink::Kept(whole.at_least(a.n_rows * b.n_cols), Some(then)),
        sink => sink,
    };
    for_each_block(precision, block_k, b.n_rows, |k, depth, _| {
        pack::pack_block(cpu, precision, b, k, depth, panels);
        let is_last = k + depth == b.n_rows;
        let left = Left::new(cpu, precision, a, k, depth, &mut tiles);
        let b = PackedBlock { panels, n_cols: b.n_cols, k, depth };
        match &mut sink {
            Sink::Kept(c, then) => {
                multiply_block(cpu, precision, &division, left, b, c, start, then.filter(|_| is_last));
            }
            Sink::Seen(cut, then) => epilogue::multiply_and_show(cpu, precision, &division, left, b, *cut, *then),
        }
    });
}

/// As [`gemm`], with B packed beforehand.
pub fn gemm_packed(cpu: &Cpu, a: Matrix, b: &PackedMatrix, c: &mut [f32], start: Start) {
    assert_eq!(a.n_cols, b.n_rows, "A is {} x {}, B is {} x {}", a.n_rows, a.n_cols, b.n_rows, b.n_cols);
    let n_padded = b.n_cols.next_multiple_of(PANEL);
    let precision = b.precision;
    let division = Division::new(cpu, precision, a, b.n_cols);
    for_each_block(precision, precision.block_k(), b.n_rows, |k, depth, steps| {
        let panels = &b.panels[steps.start * n_padded..steps.end * n_padded];
        let left = Left { matrix: a, tiles: None };
        let b = PackedBlock { panels, n_cols: b.n_cols, k, depth };
        multiply_block(cpu, precision, &division, left, b, c, start, None);
    });
}

fn check_available(cpu: &Cpu, precision: Precision) {
    assert!(precision.is_available(cpu.isa), "{} products on {}", precision.name(), cpu.isa.name());
}

/// Calls `work` with the first inner element of each block of at most `block_k`, their number, and the block's place among
/// the steps that are stored. Blocks are as good as equal, so that none pays for passing through C with little to add.
fn for_each_block(
    precision: Precision,
    block_k: usize,
    n_inner: usize,
    mut work: impl FnMut(usize, usize, Range<usize>),
) {
    let block_k = n_inner.div_ceil(n_inner.div_ceil(block_k).max(1)).next_multiple_of(2).max(2);
    let mut first = 0;
    for k in (0..n_inner).step_by(block_k) {
        let depth = block_k.min(n_inner - k);
        let end = first + pack::stored_steps(precision, depth);
        work(k, depth, first..end);
        first = end;
    }
}

/// Steps that all blocks of a matrix with `n_inner` rows store.
fn n_stored_steps(precision: Precision, n_inner: usize) -> usize {
    let mut n_steps = 0;
    for_each_block(precision, precision.block_k(), n_inner, |_, _, steps| n_steps = steps.end);
    n_steps
}

thread_local! {
    /// A thread's dense copy of a block of A.
    static A_BLOCK: RefCell<AlignedBuf> = RefCell::default();
}

/// A packed block of B.
#[derive(Clone, Copy)]
struct PackedBlock<'a> {
    panels: &'a [f32],
    n_cols: usize,
    /// The first of its inner elements, and their number.
    k: usize,
    depth: usize,
}

impl PackedBlock<'_> {
    /// Words of a panel.
    fn panel_len(&self, precision: Precision) -> usize {
        pack::stored_steps(precision, self.depth) * PANEL
    }
}

/// A left-hand side: the matrix, of which tasks copy what they need, and maybe all of it that the block needs, packed.
#[derive(Clone, Copy)]
struct Left<'a> {
    matrix: Matrix<'a>,
    tiles: Option<&'a [f32]>,
}

impl<'a> Left<'a> {
    /// Whether all threads pack it beforehand.
    fn is_packed(precision: Precision, matrix: Matrix) -> bool {
        precision == Precision::Bf16 && matrix.col_stride != 1
    }

    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables))]
    fn new(
        cpu: &Cpu,
        precision: Precision,
        matrix: Matrix<'a>,
        k: usize,
        depth: usize,
        buf: &'a mut AlignedBuf,
    ) -> Left<'a> {
        #[cfg(target_arch = "x86_64")]
        if Left::is_packed(precision, matrix) {
            return Left { matrix, tiles: Some(pack::pack_tiles(cpu, matrix, k, depth, buf)) };
        }
        Left { matrix, tiles: None }
    }
}

/// What of C is computed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    /// The panels of columns up to and with the one that the diagonal goes through.
    LowerPanels,
}

/// Row tiles that a task takes at most: with AVX-512, 112 x 768 words of A, 344 KB, which stay in the L2 cache while panels pass by.
const MAX_TILES: usize = 8;

/// Words of the panels that pass by all row tiles of a task before the next panels come: 512 KB, which stay in the L2 cache
/// beside the block of A.
const GROUP_WORDS: usize = 131_072;

/// Rows of C in blocks of whole tiles, whose numbers differ by at most one, so that no thread waits for a last large one.
struct RowBlocks {
    n_rows: usize,
    tile_rows: usize,
    n_blocks: usize,
}

impl RowBlocks {
    /// At least `n_tasks` blocks where there are as many tiles, and as many for each thread.
    fn new(n_rows: usize, tile_rows: usize, n_tasks: usize, n_threads: usize) -> RowBlocks {
        let n_tiles = n_rows.div_ceil(tile_rows);
        let n_blocks = n_tiles.div_ceil(MAX_TILES).max(n_tasks).next_multiple_of(n_threads).min(n_tiles);
        RowBlocks { n_rows, tile_rows, n_blocks }
    }

    fn rows(&self, block: usize) -> Range<usize> {
        let n_tiles = self.n_rows.div_ceil(self.tile_rows);
        let first_row = |block: usize| (block * n_tiles / self.n_blocks * self.tile_rows).min(self.n_rows);
        first_row(block)..first_row(block + 1)
    }
}

/// How a product is divided into tasks: blocks of rows, and where rows are few (decode) groups of panels, too.
struct Division {
    blocks: RowBlocks,
    n_panels: usize,
    n_groups: usize,
}

impl Division {
    fn new(cpu: &Cpu, precision: Precision, a: Matrix, n_cols: usize) -> Division {
        let n_tasks = 4 * cpu.n_threads();
        let n_panels = n_cols.div_ceil(PANEL);
        // Where tasks need not copy their rows of A, long blocks pay, each with some of the panels: every panel is then brought
        // to fewer tasks.
        let n_least = if Left::is_packed(precision, a) { cpu.n_threads() } else { n_tasks };
        let blocks = RowBlocks::new(a.n_rows, tile_rows(cpu.isa, precision), n_least, cpu.n_threads());
        let n_groups = n_tasks.div_ceil(blocks.n_blocks.max(1)).clamp(1, n_panels.max(1));
        Division { blocks, n_panels, n_groups }
    }

    fn n_tasks(&self) -> usize {
        self.blocks.n_blocks * self.n_groups
    }

    /// The rows and the panels of a task.
    fn part(&self, task: usize) -> (Range<usize>, Range<usize>) {
        let (group, size) = (task % self.n_groups, self.n_panels.div_ceil(self.n_groups));
        (self.blocks.rows(task / self.n_groups), group * size..((group + 1) * size).min(self.n_panels))
    }
}

/// C += A[.., k..k + depth] · the packed block, where the first block starts from `start`; and what comes `then`.
fn multiply_block(
    cpu: &Cpu,
    precision: Precision,
    division: &Division,
    a: Left,
    b: PackedBlock,
    c: &mut [f32],
    start: Start,
    then: Option<&Then>,
) {
    let (isa, n_rows, n_cols) = (cpu.isa, a.matrix.n_rows, b.n_cols);
    check_shapes(a.matrix, n_cols, c, start);
    let c = SharedSlice::new(c);
    let finish = |rows: Range<usize>, then: &Then| {
        // SAFETY: all of these rows is computed, and no other task has them.
        let c = unsafe { c.range(rows.start * n_cols..rows.end * n_cols) };
        then(Piece { rows, columns: 0..n_cols }, c);
    };
    cpu.pool.run(division.n_tasks(), |task| {
        let (rows, panels) = division.part(task);
        // SAFETY: no two tasks have the same rows and panels.
        unsafe { multiply_rows((isa, precision), a, b, rows.clone(), panels, &c, start, Part::Whole) };
        if let (1, Some(then)) = (division.n_groups, then) {
            finish(rows, then);
        }
    });
    if let (2.., Some(then)) = (division.n_groups, then) {
        cpu.pool.for_pieces(n_rows, tile_rows(isa, precision), |_, rows| finish(rows, then));
    }
}

fn check_shapes(a: Matrix, n_cols: usize, c: &[f32], start: Start) {
    assert_eq!(c.len(), a.n_rows * n_cols, "C of {} x {n_cols}", a.n_rows);
    if let Start::From(values) = start {
        assert_eq!(values.len(), c.len(), "the starting values have C's shape");
    }
}

/// The part of [`multiply_block`] that concerns some rows of A and some panels of B.
///
/// # Safety
/// C and `start` have the shapes that [`check_shapes`] asks for, and no other thread uses these rows and columns of C.
unsafe fn multiply_rows(
    unit: (Isa, Precision),
    a: Left,
    b: PackedBlock,
    rows: Range<usize>,
    panels: Range<usize>,
    c: &SharedSlice<f32>,
    start: Start,
    part: Part,
) {
    let tile_rows = tile_rows(unit.0, unit.1);
    let group = (GROUP_WORDS / b.panel_len(unit.1).max(1)).max(1);
    with_rows(unit, a, b, rows.clone(), |operands| {
        for (row, panel) in in_order(rows.clone(), tile_rows, panels, group) {
            let col = panel * PANEL;
            if part == Part::LowerPanels && col >= row + tile_rows {
                continue;
            }
            let at = row * b.n_cols + col;
            let c = c.as_ptr_at(at);
            let start = match start {
                Start::Zero if b.k == 0 => std::ptr::null(),
                Start::From(values) if b.k == 0 => values[at..].as_ptr(),
                _ => c,
            };
            // SAFETY: the tile of C lies inside C and is this thread's alone, as the caller promised.
            unsafe { operands.tile(row, panel, start, c, b.n_cols) };
        }
    });
}

/// Some rows of A, ready to be multiplied with a packed block.
struct Operands<'a> {
    unit: (Isa, Precision),
    a: pack::ABlock<'a>,
    rows: Range<usize>,
    b: PackedBlock<'a>,
}

/// Gives `work` some rows of A, copied as the micro-kernel takes them.
fn with_rows(unit: (Isa, Precision), a: Left, b: PackedBlock, rows: Range<usize>, work: impl FnOnce(&Operands)) {
    let _registers = registers(unit.0, unit.1);
    A_BLOCK.with_borrow_mut(|buf| {
        let a = match a.tiles {
            #[cfg(target_arch = "x86_64")]
            Some(tiles) => pack::ABlock::of_tiles(unit.0, tiles, rows.start, b.depth),
            _ => pack::ABlock::copy(unit, buf, a.matrix, rows.clone(), b.k, b.depth),
        };
        work(&Operands { unit, a, rows, b });
    });
}

impl Operands<'_> {
    /// C = start + the product of the row tile that begins with `row` and a panel. Rows of C and `start`, if it is not null, lie
    /// `c_row` apart.
    ///
    /// # Safety
    /// C has room for the tile, and `start` is readable where C is; no other thread uses those elements of C.
    unsafe fn tile(&self, row: usize, panel: usize, start: *const f32, c: *mut f32, c_row: usize) {
        let ((isa, precision), b) = (self.unit, self.b);
        let tile = Tile {
            a: self.a.row_ptr(row - self.rows.start),
            a_row: self.a.row_stride,
            a_col: self.a.col_stride,
            b: b.panels[panel * b.panel_len(precision)..].as_ptr(),
            b_row: PANEL,
            c,
            start,
            c_row,
            k: pack::n_steps(precision, b.depth),
            n_rows: tile_rows(isa, precision).min(self.rows.end - row),
            n_cols: PANEL.min(b.n_cols - panel * PANEL),
        };
        // SAFETY: the block of A and the panel were packed for `depth`; the rest is the caller's promise.
        unsafe { self::tile(isa, precision, tile) }
    }
}

/// Row tiles and panels in the order in which their products are made: all of a group of panels for one row tile, then for the
/// next, then the next group.
fn in_order(
    rows: Range<usize>,
    tile_rows: usize,
    panels: Range<usize>,
    group: usize,
) -> impl Iterator<Item = (usize, usize)> {
    let groups = panels.clone().step_by(group).map(move |first| first..(first + group).min(panels.end));
    groups.flat_map(move |group| {
        rows.clone().step_by(tile_rows).flat_map(move |row| group.clone().map(move |panel| (row, panel)))
    })
}

/// As [`gemm`], on the calling thread alone: for a kernel whose tasks are whole matrices. `buf` holds B's panels.
pub(super) fn gemm_on_thread(
    unit: (Isa, Precision),
    a: Matrix,
    b: Matrix,
    c: &mut [f32],
    start: Start,
    buf: &mut AlignedBuf,
) {
    multiply_on_thread(unit, a, b, c, start, buf, Part::Whole);
}

/// C (M, M) = A · B on the calling thread alone, where C is known to be symmetric: about half the work.
pub(super) fn symmetric_on_thread(
    (isa, precision): (Isa, Precision),
    a: Matrix,
    b: Matrix,
    c: &mut [f32],
    buf: &mut AlignedBuf,
) {
    assert_eq!(a.n_rows, b.n_cols, "a symmetric matrix is square");
    multiply_on_thread((isa, precision), a, b, c, Start::Zero, buf, Part::LowerPanels);
    let m = a.n_rows;
    for col in (PANEL..m).step_by(PANEL) {
        // What lies right of the panel on the diagonal mirrors what lies below it.
        let (above, below) = c.split_at_mut(col * m);
        let (from, to) = (&below[col - PANEL..], &mut above[(col - PANEL) * m + col..]);
        transpose::transpose(isa, (from, m), (m - col, PANEL), (to, m));
    }
}

fn multiply_on_thread(
    (isa, precision): (Isa, Precision),
    a: Matrix,
    b: Matrix,
    c: &mut [f32],
    start: Start,
    buf: &mut AlignedBuf,
    part: Part,
) {
    assert_eq!(a.n_cols, b.n_rows, "A is {} x {}, B is {} x {}", a.n_rows, a.n_cols, b.n_rows, b.n_cols);
    assert!(precision.is_available(isa), "{} products on {}", precision.name(), isa.name());
    check_shapes(a, b.n_cols, c, start);
    let tile_rows = tile_rows(isa, precision);
    let (n_panels, block_rows) = (b.n_cols.div_ceil(PANEL), MAX_TILES * tile_rows);
    let c = SharedSlice::new(c);
    for_each_block(precision, precision.block_k(), b.n_rows, |k, depth, _| {
        let panel_len = pack::stored_steps(precision, depth) * PANEL;
        let panels = &mut buf.at_least(n_panels * panel_len)[..n_panels * panel_len];
        for (panel, out) in panels.chunks_exact_mut(panel_len).enumerate() {
            pack::pack_panel(isa, precision, b, k, depth, panel, out);
        }
        let (left, block) = (Left { matrix: a, tiles: None }, PackedBlock { panels, n_cols: b.n_cols, k, depth });
        for first in (0..a.n_rows).step_by(block_rows) {
            let rows = first..(first + block_rows).min(a.n_rows);
            // SAFETY: C is borrowed exclusively, and its shape was checked.
            unsafe { multiply_rows((isa, precision), left, block, rows, 0..n_panels, &c, start, part) };
        }
    });
}

#[cfg(test)]
mod tests;
