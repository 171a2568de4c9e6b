//! Products of weights as a model file stores them (codes of 4 to 8 bits, or floats) with activations: the hot path of
//! inference.
//!
//! ```text
//! a file's rows --pack--> tiles of 16 rows      activations --quantize--> lines of 32 codes
//!                            \                        /
//!                  one token: codes are unpacked in registers and multiplied at once
//!                  a batch:   512 columns of two tiles are unpacked to a panel, for all tokens
//! ```
//!
//! [`PackedMatrix`] holds the weights, [`Activations`] the other operand; `layout` draws how codes lie, `avx512` and
//! `avx2` are the kernels, `portable` says what they compute. Each output is one chain of additions over the blocks of
//! its row, in ascending order, and dot products inside a block are exact: so the sums have the same bits for one
//! token and for many, for any chunks of a prompt, any division among threads, and every instruction set.
//!
//! Only bytes and shapes are known here: which file a matrix came from, and what is done with the product, is the
//! caller's business.

mod activations;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod floats;
#[cfg(target_arch = "x86_64")]
mod floats_avx512;
mod layout;
#[cfg(target_arch = "x86_64")]
mod lines_avx512;
mod pack;
mod panel;
mod portable;
#[cfg(test)]
mod tests;

pub(super) use activations::scales;
pub use activations::{Activations, GROUP, Line, Sharing, line_buffer, norm_and_quantize, quantize};
pub use layout::{BLOCK, TILE_ROWS, WeightType};

use super::aligned::AlignedBuf;
use super::cpu::{Cpu, Isa};
use super::shared::SharedSlice;
use floats::FloatPanel;
use layout::Coding;
use panel::{PANEL_BLOCKS, Panel};
use portable::Step;
use std::cell::RefCell;
use std::ops::Range;

/// Tiles that a batch's micro-kernel takes at once: ranges of tiles that begin at multiples of it leave none alone.
pub const TILES_AT_ONCE: usize = 2;

/// Tiles that a task of [`PackedMatrix::pack`] packs.
const TILES_PER_TASK: usize = 8;

/// Bytes packed before the caller is told.
const STRIP_BYTES: usize = 4 << 20;

/// A matrix of weights in tiles of 16 rows, at the bits per weight of the file.
pub struct PackedMatrix {
    kind: WeightType,
    n_rows: usize,
    n_columns: usize,
    tile_bytes: usize,
    data: AlignedBuf,
}

/// The other operand of a product.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// For a matrix of codes.
    Codes(Activations<'a>),
    /// For a matrix of floats: the columns of all tokens, one token after the other.
    Floats(&'a [f32]),
}

/// Where products go: that of token t and row r to `values[t * stride + r]`.
#[derive(Clone, Copy)]
pub struct Output<'a> {
    /// Room for all tokens.
    pub values: SharedSlice<'a, f32>,
    /// Distance between tokens, at least the number of rows.
    pub stride: usize,
}

thread_local! {
    /// A thread's unpacked stretches of two tiles, of codes and of floats.
    static PANELS: RefCell<Box<[Panel; TILES_AT_ONCE]>> = RefCell::new(Box::new([Panel::ZERO; TILES_AT_ONCE]));
    static FLOAT_PANELS: RefCell<Box<[FloatPanel; TILES_AT_ONCE]>> =
        RefCell::new(Box::new([FloatPanel::ZERO; TILES_AT_ONCE]));
}

impl PackedMatrix {
    /// Packs `n_rows` x `n_columns` weights of `kind`, whose rows follow each other in `bytes` as in a file. Panics
    /// where the bytes are not that many, or a row is no whole number of blocks.
    pub fn pack(cpu: &Cpu, kind: WeightType, n_rows: usize, n_columns: usize, bytes: &[u8]) -> PackedMatrix {
        let row_bytes = kind.row_bytes(n_columns);
        assert_eq!(Some(bytes.len()), row_bytes.checked_mul(n_rows), "{n_rows} x {n_columns} weights of {kind:?}");
        let row = |r: usize| &bytes[r * row_bytes..(r + 1) * row_bytes];
        PackedMatrix::pack_rows(cpu, kind, (n_rows, n_columns), &row, &mut |_| ())
    }

    /// As [`pack`](Self::pack), with row r where `row(r)` says. Tells `packed` which rows will not be asked for again,
    /// a few megabytes at a time, so that the caller can let go of them. Panics where a row is not as long as `n_columns`
    /// of `kind` are.
    pub fn pack_rows<'a>(
        cpu: &Cpu,
        kind: WeightType,
        (n_rows, n_columns): (usize, usize),
        row: &(dyn Fn(usize) -> &'a [u8] + Sync),
        packed: &mut dyn FnMut(Range<usize>),
    ) -> PackedMatrix {
        let row_bytes = kind.row_bytes(n_columns);
        assert!(n_columns > 0, "a matrix without columns");
        let tile_bytes = match kind.coding() {
            Some(coding) => coding.tile_bytes(n_columns / BLOCK),
            None => floats::tile_bytes(kind, n_columns),
        };
        let n_tiles = n_rows.div_ceil(TILE_ROWS);
        let mut data = AlignedBuf::zeros(n_tiles * tile_bytes / size_of::<f32>());
        let rows_of = |tile: usize| tile * TILE_ROWS..((tile + 1) * TILE_ROWS).min(n_rows);
        let strip = (STRIP_BYTES / tile_bytes).next_multiple_of(TILES_PER_TASK).max(TILES_PER_TASK);
        for first in (0..n_tiles).step_by(strip) {
            let n_taken = strip.min(n_tiles - first);
            let words = first * tile_bytes / size_of::<f32>()..(first + n_taken) * tile_bytes / size_of::<f32>();
            let shared = SharedSlice::new(&mut data[words]);
            cpu.pool.for_pieces(n_taken, TILES_PER_TASK, |_, tiles| {
                for tile in tiles {
                    let words = tile * tile_bytes / size_of::<f32>()..(tile + 1) * tile_bytes / size_of::<f32>();
                    // SAFETY: tasks have disjoint tiles.
                    let out = bytemuck::cast_slice_mut(unsafe { shared.range(words) });
                    let rows = rows_of(first + tile).map(|r| {
                        let bytes = row(r);
                        assert_eq!(bytes.len(), row_bytes, "bytes of row {r}");
                        bytes
                    });
                    match kind.coding() {
                        Some(coding) => pack::pack_codes(kind, coding, rows, out),
                        None => pack::pack_floats(floats::size(kind), rows, out),
                    }
                }
            });
            packed(rows_of(first).start..rows_of(first + n_taken - 1).end);
        }
        PackedMatrix { kind, n_rows, n_columns, tile_bytes, data }
    }

    /// How the weights are stored.
    pub fn kind(&self) -> WeightType {
        self.kind
    }

    /// Rows, which are outputs.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Columns, which are inputs.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// Tiles of [`TILE_ROWS`] rows, the last one perhaps in part.
    pub fn n_tiles(&self) -> usize {
        self.n_rows.div_ceil(TILE_ROWS)
    }

    /// Bytes held, all of which a product with one token reads.
    pub fn n_bytes(&self) -> usize {
        self.n_tiles() * self.tile_bytes
    }

    /// Row `row` as f32: an embedding.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.n_rows, "row {row} of {}", self.n_rows);
        assert_eq!(out.len(), self.n_columns, "a row has a value for each column");
        let (tile, row) = (self.tiles(row / TILE_ROWS..row / TILE_ROWS + 1), row % TILE_ROWS);
        if let Some(coding) = self.kind.coding() {
            return panel::dequantize_row(coding, tile, row, out);
        }
        let size = floats::size(self.kind);
        for (out, column) in out.iter_mut().zip(tile.chunks_exact(size * TILE_ROWS)) {
            *out = floats::widen(self.kind, &column[size * row..]);
        }
    }

    fn tiles(&self, tiles: Range<usize>) -> &[u8] {
        &bytemuck::cast_slice(&self.data)[tiles.start * self.tile_bytes..tiles.end * self.tile_bytes]
    }

    /// The products of the rows of `tiles` with all tokens of `input`. The bits of each do not depend on `isa`, on
    /// which other rows are computed, nor on which other tokens are in `input`.
    ///
    /// # Safety
    /// Meanwhile no other thread writes to the input, or uses the places of these rows in the output.
    pub unsafe fn multiply(&self, isa: Isa, tiles: Range<usize>, input: Input, output: Output) {
        // SAFETY: passed on from the caller.
        unsafe {
            match (self.kind.coding(), input) {
                (Some(coding), Input::Codes(x)) => self.multiply_codes(isa, coding, tiles, x, output),
                (None, Input::Floats(x)) => self.multiply_floats(isa, tiles, x, output),
                (_, Input::Codes(_)) => panic!("weights of {:?} are multiplied by floats", self.kind),
                (_, Input::Floats(_)) => panic!("weights of {:?} are multiplied by codes", self.kind),
            }
        }
    }

    /// # Safety
    /// As for [`multiply`](Self::multiply).
    unsafe fn multiply_codes(&self, isa: Isa, coding: Coding, tiles: Range<usize>, x: Activations, output: Output) {
        self.check(&tiles, x.n_tokens(), x.n_columns(), output);
        if x.n_tokens() == 0 {
            return;
        }
        #[cfg(target_arch = "x86_64")]
        if let (Isa::Avx512(token), 1) = (isa, x.n_tokens())
            && token.has_vnni()
        {
            let rows = self.rows_of(&tiles);
            let sums = output.values.as_ptr_at(rows.start);
            // SAFETY: the token proves the instruction set; the tiles lie in an aligned buffer and are a multiple of 64
            // bytes; the caller promises that nobody writes to the lines, and that these sums are ours.
            unsafe {
                let lines = std::slice::from_raw_parts(x.lines_of(&(0..1), 0), x.n_blocks());
                avx512::multiply_one(coding, self.tiles(tiles), lines, sums, rows.len());
            }
            return;
        }
        PANELS.with_borrow_mut(|panels| {
            for tiles in in_pairs(tiles) {
                // SAFETY: passed on from the caller.
                unsafe { self.multiply_tiles(isa, coding, tiles, x, output, &mut panels[..]) };
            }
        });
    }

    /// # Safety
    /// As for [`multiply`](Self::multiply).
    unsafe fn multiply_floats(&self, isa: Isa, tiles: Range<usize>, x: &[f32], output: Output) {
        let n_tokens = x.len().checked_div(self.n_columns).unwrap_or(0);
        assert_eq!(x.len(), n_tokens * self.n_columns, "activations for all {} columns", self.n_columns);
        self.check(&tiles, n_tokens, self.n_columns, output);
        #[cfg(target_arch = "x86_64")]
        if let (Isa::Avx512(_), 1) = (isa, n_tokens) {
            let rows = self.rows_of(&tiles);
            let sums = output.values.as_ptr_at(rows.start);
            // SAFETY: the token proves the instruction set; the tiles lie in an aligned buffer and are a multiple of 64
            // bytes; the caller promises that these sums are ours.
            return unsafe { floats_avx512::multiply_one(self.kind, self.tiles(tiles), x, sums, rows.len()) };
        }
        FLOAT_PANELS.with_borrow_mut(|panels| {
            for tiles in in_pairs(tiles) {
                let (rows, panels) = (self.rows_of(&tiles), &mut panels[..tiles.len()]);
                let sums = output.values.as_ptr_at(rows.start);
                let place = Place { sums, stride: output.stride, n_rows: rows.len(), continues: false };
                // SAFETY: the output has room for all tokens, and the caller promises that these rows are ours.
                unsafe { floats::multiply(isa, self.kind, self.tiles(tiles), self.n_columns, x, panels, place) };
            }
        });
    }

    fn check(&self, tiles: &Range<usize>, n_tokens: usize, n_columns: usize, output: Output) {
        assert!(tiles.start <= tiles.end && tiles.end <= self.n_tiles(), "tiles {tiles:?} of {}", self.n_tiles());
        assert_eq!(n_columns, self.n_columns, "activations of as many columns as the weights have");
        assert!(n_tokens <= 1 || output.stride >= self.n_rows, "{} rows in {}", self.n_rows, output.stride);
        let needed = if n_tokens == 0 { 0 } else { (n_tokens - 1) * output.stride + self.n_rows };
        assert!(output.values.len() >= needed, "{needed} products, room for {}", output.values.len());
    }

    fn rows_of(&self, tiles: &Range<usize>) -> Range<usize> {
        tiles.start * TILE_ROWS..(tiles.end * TILE_ROWS).min(self.n_rows)
    }

    /// What is unpacked after the blocks of `tiles` before `first`: scales and codes of their next blocks, or of the first
    /// blocks of the tiles that follow.
    fn next_stretches(&self, coding: Coding, tiles: &Range<usize>, first: usize, n_blocks: usize) -> [&[u8]; 4] {
        let (tiles, first) =
            if first < n_blocks { (tiles.clone(), first) } else { (tiles.end..tiles.end + tiles.len(), 0) };
        let mut stretches = [&[][..]; 4];
        for (i, tile) in tiles.enumerate().filter(|&(_, tile)| tile < self.n_tiles()) {
            let bytes = self.tiles(tile..tile + 1);
            let [scales, codes] = coding.stretches(first..(first + PANEL_BLOCKS).min(n_blocks), n_blocks);
            (stretches[2 * i], stretches[2 * i + 1]) = (&bytes[scales], &bytes[codes]);
        }
        stretches
    }

    /// One or two tiles and all tokens: panel by panel, so that each is unpacked once, and group by group.
    ///
    /// # Safety
    /// As for [`multiply`](Self::multiply); the tiles exist, the output has room.
    unsafe fn multiply_tiles(
        &self,
        isa: Isa,
        coding: Coding,
        tiles: Range<usize>,
        activations: Activations,
        output: Output,
        panels: &mut [Panel],
    ) {
        let n_blocks = activations.n_blocks();
        let rows = self.rows_of(&tiles);
        let panels = &mut panels[..tiles.len()];
        for first in (0..n_blocks).step_by(PANEL_BLOCKS) {
            let blocks = first..(first + PANEL_BLOCKS).min(n_blocks);
            for (tile, panel) in tiles.clone().zip(panels.iter_mut()) {
                unpack(isa, coding, self.tiles(tile..tile + 1), n_blocks, blocks.clone(), panel);
            }
            let next = self.next_stretches(coding, &tiles, blocks.end, n_blocks);
            let n_groups = activations.n_groups();
            for group in 0..n_groups {
                for stretch in &next {
                    fetch_part(stretch, group, n_groups);
                }
                let tokens = activations.group(group);
                let n_lines = tokens.len() * blocks.len();
                let lines = activations.lines_of(&tokens, first);
                // SAFETY: a group has a line for each token and block; nobody writes to them, as the caller promises.
                let lines = unsafe { std::slice::from_raw_parts(lines, n_lines) };
                let (shape, bits, start) = (coding.shape(), coding.bits, coding.start());
                let step = Step { shape, bits, start, lines, n_tokens: tokens.len() };
                let sums = output.values.as_ptr_at(tokens.start * output.stride + rows.start);
                let place = Place { sums, stride: output.stride, n_rows: rows.len(), continues: first > 0 };
                // SAFETY: the places of these rows and tokens are within the output and ours.
                unsafe { multiply_panels(isa, step, panels, place) };
            }
        }
    }
}

/// Asks for part `i` of `n` of bytes of this matrix, to lie in the L2 cache when they are unpacked.
#[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables))]
fn fetch_part(bytes: &[u8], i: usize, n: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(layout::WORD).skip(i).step_by(n) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: every CPU of this kind has SSE, and a hint changes nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
}

/// Pairs of tiles, and the last one alone where their number is odd.
fn in_pairs(tiles: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = tiles.end;
    tiles.step_by(TILES_AT_ONCE).map(move |first| first..(first + TILES_AT_ONCE).min(end))
}

/// Where the sums of a step go: those of token t and row r to `sums[t * stride + r]`.
#[derive(Clone, Copy)]
struct Place {
    sums: *mut f32,
    stride: usize,
    /// Rows that exist, of all tiles together.
    n_rows: usize,
    /// Whether there are sums already, to which is added.
    continues: bool,
}

fn unpack(isa: Isa, coding: Coding, tile: &[u8], n_blocks: usize, blocks: Range<usize>, panel: &mut Panel) {
    match isa {
        // SAFETY: the token proves the instruction set; tiles lie in an aligned buffer, and their size is a multiple
        // of 64.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) => unsafe { avx512::unpack(coding, tile, n_blocks, blocks, panel) },
        _ => panel::unpack(isa, coding, tile, n_blocks, blocks, panel),
    }
}

/// # Safety
/// The panels hold the step's blocks; the place is readable and writable and nobody else's.
unsafe fn multiply_panels(isa: Isa, step: Step, panels: &[Panel], place: Place) {
    match isa {
        // SAFETY: the token proves the instruction set; the rest is passed on from the caller.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(token) if token.has_vnni() => unsafe { avx512::multiply(step, panels, place) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(_) | Isa::Avx512(_) => unsafe { avx2::multiply(step, panels, place) },
        // SAFETY: passed on from the caller.
        _ => unsafe { portable::multiply_panels(step, panels, place) },
    }
}

/// The products of all rows with all tokens, on all threads: token t's begin at `out[t * n_rows]`.
pub fn matmul(cpu: &Cpu, weights: &PackedMatrix, input: Input, out: &mut [f32]) {
    let output = Output { values: SharedSlice::new(out), stride: weights.n_rows };
    // A few tasks for each thread, so that one which is late can be helped; whole pairs of tiles each.
    let n_pairs = weights.n_tiles().div_ceil(TILES_AT_ONCE);
    let (n_tasks, isa) = ((8 * cpu.n_threads()).min(n_pairs), cpu.isa);
    cpu.pool.run(n_tasks, |task| {
        let first = task * n_pairs / n_tasks * TILES_AT_ONCE;
        let end = ((task + 1) * n_pairs / n_tasks * TILES_AT_ONCE).min(weights.n_tiles());
        // SAFETY: tasks have disjoint tiles, and the input is only read: it is borrowed until this returns.
        unsafe { weights.multiply(isa, first..end, input, output) };
    });
}
