//! Products in f16 for AVX-512 FP16: the micro-kernel, and the narrowing of operands that goes with it.
//!
//! `vfmadd231ph` multiplies and adds 32 halves at once, on every port that multiplies f32: four times the work of
//! `vdpbf16ps` on the Intel cores that have both (Sapphire and Emerald Rapids), twice that of f32. Two things make f16
//! (11 bits of precision, largest number 65,504) fit for training:
//!
//! - **Scales.** Each row of A and each column of B, within a block, is multiplied by the power of two that brings its
//!   largest element to between 8 and 16. The powers' inverses are kept as one more step behind the block's steps, and
//!   the finished sums are multiplied by them. So any f32 can be an operand, and no sum can overflow: 64 products of at
//!   most 256 stay below 16,384. Elements below 2^-28 of the largest become zero.
//! - **Short chains.** Sums stay in f16 for at most [`CHAIN`] additions and are then added up in f32. With operands from
//!   a normal distribution the error of a product is 0.0012 of its standard deviation (0.0023 in bf16, whose operands
//!   have 8 bits).
//!
//! A is packed tile by tile, so that the words of a step lie in one cache line. Words are pairs, as for bf16 ([`super::pack`]), so a register of sums holds two for each of 16 columns: one over the
//! even elements and one over the odd.

use super::avx512::lane_mask;
use super::{PANEL, Tile};
use crate::kernels::cpu::Isa;
use std::arch::x86_64::*;
use std::hint::black_box;
use std::mem::MaybeUninit;

/// Additions that a sum sees in f16 before it is widened.
const CHAIN: usize = 64;

/// Chains of the longest tile.
const MAX_CHAINS: usize = super::BLOCK_STEPS / CHAIN;

/// Words of a step of a packed tile of A: its rows, padded to a cache line.
pub(super) const TILE_WORDS: usize = 16;

/// Columns that [`copy_columns`] takes at once: as many as a block of A has rows.
pub(super) const MAX_COLUMNS: usize = 8 * super::avx512::ROWS;

const _: () = assert!(PANEL <= MAX_COLUMNS);

/// Computes one tile, whose operands end in a step of inverse scales.
///
/// # Safety
/// As for [`super::tile`]; `t.k` is not 0; A and B are readable one step beyond it; the CPU has AVX-512 FP16.
#[target_feature(enable = "avx512f,avx512fp16")]
pub(super) unsafe fn tile(t: Tile) {
    super::avx512::by_rows!(t, rows)
}

/// # Safety
/// As for [`tile`], with `t.n_rows == R`.
#[target_feature(enable = "avx512f,avx512fp16")]
unsafe fn rows<const R: usize>(t: Tile) {
    debug_assert!(t.k > 0 && t.k <= MAX_CHAINS * CHAIN);
    debug_assert!(t.a_row == 1 && t.a_col == TILE_WORDS && t.b_row == PANEL);
    // SAFETY: the caller's promise covers A over R rows, B over full panel rows, the masked part of C and start.
    unsafe {
        for r in 0..R {
            let c = t.c.wrapping_add(r * t.c_row);
            _mm_prefetch::<_MM_HINT_ET0>(c.cast());
            _mm_prefetch::<_MM_HINT_ET0>(c.wrapping_add(16).cast());
        }
        let (mut a, mut b) = (t.a, t.b);
        let n_chains = t.k.div_ceil(CHAIN);
        // Too many for registers; they rest in the L1 cache.
        let mut chains = [const { MaybeUninit::<[[__m512i; 2]; R]>::uninit() }; MAX_CHAINS];
        for (chain, stored) in chains[..n_chains].iter_mut().enumerate() {
            let mut acc = [[_mm512_setzero_ph(); 2]; R];
            for _ in 0..CHAIN.min(t.k - chain * CHAIN) {
                let columns = [_mm512_castps_ph(_mm512_load_ps(b)), _mm512_castps_ph(_mm512_load_ps(b.add(16)))];
                for r in 0..R {
                    let word = _mm512_castps_ph(_mm512_set1_ps(*a.add(r)));
                    acc[r][0] = _mm512_fmadd_ph(word, columns[0], acc[r][0]);
                    acc[r][1] = _mm512_fmadd_ph(word, columns[1], acc[r][1]);
                }
                (a, b) = (a.add(TILE_WORDS), b.add(PANEL));
            }
            // By way of a pointer that hides what it points to: else the loop would keep its sums there throughout.
            let stored = black_box(stored.as_mut_ptr());
            for r in 0..R {
                (*stored)[r] = [_mm512_castph_si512(acc[r][0]), _mm512_castph_si512(acc[r][1])];
            }
        }
        let chains = chains.as_ptr().cast::<[[__m512i; 2]; R]>();
        let column_scales = [_mm512_load_ps(b), _mm512_load_ps(b.add(16))];
        let masks = [lane_mask(t.n_cols), lane_mask(t.n_cols.saturating_sub(16))];
        for r in 0..R {
            let row_scale = _mm512_set1_ps(*a.add(r));
            for half in 0..2 {
                let at = r * t.c_row + 16 * half;
                let start = match t.start.is_null() {
                    true => _mm512_setzero_ps(),
                    false => _mm512_maskz_loadu_ps(masks[half], t.start.wrapping_add(at)),
                };
                let mut sums = widened((*chains)[r][half]);
                for chain in 1..n_chains {
                    let more = widened((*chains.add(chain))[r][half]);
                    sums = [_mm512_add_ps(sums[0], more[0]), _mm512_add_ps(sums[1], more[1])];
                }
                let scale = _mm512_mul_ps(row_scale, column_scales[half]);
                let finished = _mm512_fmadd_ps(add_pairs(sums), scale, start);
                _mm512_mask_storeu_ps(t.c.wrapping_add(at), masks[half], finished);
            }
        }
    }
}

/// 32 halves as floats.
#[target_feature(enable = "avx512f")]
#[inline]
fn widened(halves: __m512i) -> [__m512; 2] {
    [_mm512_castsi512_si256(halves), _mm512_extracti64x4_epi64::<1>(halves)].map(|x| _mm512_cvtph_ps(x))
}

/// (x0 + x1, x2 + x3, ...) over the 32 elements of both.
#[target_feature(enable = "avx512f")]
#[inline]
fn add_pairs([first, last]: [__m512; 2]) -> __m512 {
    let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    _mm512_add_ps(_mm512_permutex2var_ps(first, even, last), _mm512_permutex2var_ps(first, odd, last))
}

/// The power of two that brings a largest magnitude to [8, 16), and its inverse. The bits of magnitudes order as they do;
/// infinity and NaN come last. Infinity and NaN survive it.
#[inline(always)]
fn scales(largest: u32) -> (f32, f32) {
    // 8 is 2^3, and exponents are kept plus 127: 3 + 127 - (e - 127), kept within those of normal numbers.
    let exponent = (257 - (largest >> 23) as i32).clamp(1, 253);
    (f32::from_bits((exponent as u32) << 23), f32::from_bits(((254 - exponent) as u32) << 23))
}

/// The largest magnitude of a row.
#[target_feature(enable = "avx512f")]
pub(super) fn largest(x: &[f32]) -> u32 {
    let without_sign = _mm512_set1_epi32(0x7fff_ffff);
    let larger =
        |most, x: &[f32; 16]| _mm512_max_epu32(most, _mm512_and_si512(_mm512_castps_si512(load(x)), without_sign));
    let (whole, rest) = x.as_chunks::<16>();
    let mut last = [0.0; 16];
    last[..rest.len()].copy_from_slice(rest);
    // Four chains, because a maximum takes as long as four loads.
    let zero = _mm512_setzero_si512();
    let mut most = [larger(zero, &last), zero, zero, zero];
    for four in whole.chunks(4) {
        for (most, x) in most.iter_mut().zip(four) {
            *most = larger(*most, x);
        }
    }
    _mm512_reduce_max_epu32(most.into_iter().fold(zero, |a, b| _mm512_max_epu32(a, b)))
}

/// The largest magnitudes of up to 16 N columns over `n_rows` rows that are `row_stride` apart.
///
/// # Safety
/// `data` is readable for `n_cols` columns of that many rows; the CPU has AVX-512 F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn largest_by_column<const N: usize>(
    data: *const f32,
    (row_stride, n_rows, n_cols): (usize, usize, usize),
    largest: &mut [u32],
) {
    let masks: [__mmask16; N] = std::array::from_fn(|i| lane_mask(n_cols.saturating_sub(16 * i)));
    let without_sign = _mm512_set1_epi32(0x7fff_ffff);
    let mut most = [_mm512_setzero_si512(); N];
    for row in 0..n_rows {
        let row = data.wrapping_add(row * row_stride);
        for i in 0..N {
            // SAFETY: masks keep to the columns that there are.
            let x = unsafe { _mm512_maskz_loadu_epi32(masks[i], row.wrapping_add(16 * i).cast()) };
            most[i] = _mm512_max_epu32(most[i], _mm512_and_si512(x, without_sign));
        }
    }
    for (most, largest) in most.iter().zip(largest.chunks_mut(16)) {
        // SAFETY: masked to the length of the chunk.
        unsafe { _mm512_mask_storeu_epi32(largest.as_mut_ptr().cast(), lane_mask(largest.len()), *most) };
    }
}

/// `x` as pairs of scaled halves, and behind them the inverse scale: `out` has ⌈n/2⌉ + 1 words.
pub(super) fn narrow_row(isa: Isa, x: &[f32], out: &mut [f32]) {
    assert!(matches!(isa, Isa::Avx512(_)));
    // SAFETY: as asserted.
    let (scale, inverse) = scales(unsafe { largest(x) });
    let n_words = x.len().div_ceil(2);
    out[n_words] = inverse;
    let halves: &mut [u16] = bytemuck::cast_slice_mut(&mut out[..n_words]);
    halves[x.len()..].fill(0);
    // SAFETY: as asserted.
    unsafe { narrow(x, scale, &mut halves[..x.len()]) };
}

#[target_feature(enable = "avx512f")]
fn narrow(x: &[f32], scale: f32, out: &mut [u16]) {
    let scale = _mm512_set1_ps(scale);
    let (whole, rest) = x.as_chunks::<16>();
    let (whole_out, rest_out) = out.as_chunks_mut::<16>();
    for (x, out) in whole.iter().zip(whole_out) {
        *out = to_halves(_mm512_mul_ps(load(x), scale));
    }
    let mut last = [0.0; 16];
    last[..rest.len()].copy_from_slice(rest);
    rest_out.copy_from_slice(&to_halves(_mm512_mul_ps(load(&last), scale))[..rest.len()]);
}

/// Where the words of some columns go: a step's words of `n_cols` columns begin a vector of 16 of its own.
pub(super) struct Vectors {
    /// Columns of a vector, up to 16.
    pub(super) n_cols: usize,
    /// Words from one vector to the next of the same step.
    pub(super) stride: usize,
    /// Words from one step to the next.
    pub(super) step_stride: usize,
}

impl Vectors {
    /// Panels of B: two vectors a step.
    pub(super) const OF_PANELS: Vectors = Vectors { n_cols: 16, stride: 16, step_stride: PANEL };
}

/// Columns as vectors of pairs, scaled by column, and behind the steps one more of the inverse scales.
///
/// Step s holds elements 2s and 2s + 1 of each column; `size` is (`row_stride`, `depth`, `n_cols`).
pub(super) fn copy_columns(isa: Isa, data: &[f32], size: (usize, usize, usize), out: &mut [f32], vectors: Vectors) {
    let (row_stride, depth, n_cols) = size;
    assert!(matches!(isa, Isa::Avx512(_)));
    assert!(n_cols <= MAX_COLUMNS, "{n_cols} columns");
    assert!(depth > 0 && (depth - 1) * row_stride + n_cols <= data.len(), "{depth} rows of {n_cols} columns");
    let mut largest = [0; MAX_COLUMNS];
    // SAFETY: as asserted.
    unsafe {
        match n_cols {
            0..=32 => largest_by_column::<2>(data.as_ptr(), size, &mut largest[..n_cols]),
            _ => largest_by_column::<{ MAX_COLUMNS.div_ceil(16) }>(data.as_ptr(), size, &mut largest[..n_cols]),
        }
    }
    let (mut scale, mut inverse) = ([0.0; MAX_COLUMNS + 16], [0.0; MAX_COLUMNS + 16]);
    for (c, &largest) in largest[..n_cols].iter().enumerate() {
        (scale[c], inverse[c]) = scales(largest);
    }
    let (n_steps, n_vectors) = (depth.div_ceil(2), n_cols.div_ceil(vectors.n_cols));
    assert!((n_vectors - 1) * vectors.stride + n_steps * vectors.step_stride + 16 <= out.len(), "room for {n_cols}");
    for vector in 0..n_vectors {
        let inverse = &inverse[vector * vectors.n_cols..][..16];
        out[vector * vectors.stride + n_steps * vectors.step_stride..][..16].copy_from_slice(inverse);
    }
    // SAFETY: as asserted.
    unsafe { pair_rows(data, size, &scale, out, vectors) }
}

/// The steps of [`copy_columns`].
///
/// # Safety
/// `data` and `out` reach as far as asserted there; the CPU has AVX-512 F.
#[target_feature(enable = "avx512f")]
unsafe fn pair_rows(
    data: &[f32],
    (row_stride, depth, n_cols): (usize, usize, usize),
    scale: &[f32; MAX_COLUMNS + 16],
    out: &mut [f32],
    vectors: Vectors,
) {
    // SAFETY: masks keep to the `n_cols` columns of a row, and off the row behind the last.
    let half = |row: *const f32, mask, scale| unsafe {
        let scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, row), scale);
        _mm512_cvtepu16_epi32(_mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(scaled))
    };
    for step in 0..depth.div_ceil(2) {
        let low = data.as_ptr().wrapping_add(2 * step * row_stride);
        let has_high = 2 * step + 1 < depth;
        for (vector, col) in (0..n_cols).step_by(vectors.n_cols).enumerate() {
            let mask = lane_mask(vectors.n_cols.min(n_cols - col));
            let high_mask = if has_high { mask } else { 0 };
            // SAFETY: the scales have room for a vector behind the last column, and `out` for every vector.
            unsafe {
                let scale = _mm512_loadu_ps(scale.as_ptr().add(col));
                let high = half(low.wrapping_add(row_stride + col), high_mask, scale);
                let words = _mm512_or_si512(half(low.wrapping_add(col), mask, scale), _mm512_slli_epi32::<16>(high));
                let place = vector * vectors.stride + step * vectors.step_stride;
                _mm512_storeu_ps(out.as_mut_ptr().add(place), _mm512_castsi512_ps(words));
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(x: &[f32; 16]) -> __m512 {
    // SAFETY: both are 64 bytes, any of which are valid.
    unsafe { std::mem::transmute_copy(x) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn to_halves(x: __m512) -> [u16; 16] {
    // SAFETY: both are 32 bytes, any of which are valid.
    unsafe { std::mem::transmute(_mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x)) }
}
