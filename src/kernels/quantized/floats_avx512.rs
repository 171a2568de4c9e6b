//! Products of floats for AVX-512: the same bits as the plain loops of [`super::floats`].
//!
//! A sum is one chain of multiply-adds, each of which takes 4 cycles, while two can begin in every one. So at least 8
//! chains are needed: a batch has 2 tiles times 6 tokens; a single token takes up to 8 tiles at once.

use super::Place;
use super::floats::{FloatPanel, FloatStep, size, tile_bytes};
use super::layout::{TILE_ROWS, WeightType};
use std::arch::x86_64::*;

/// How far ahead of the columns in use the next ones are asked for.
const AHEAD: usize = 1024;

/// Tiles that a single token is multiplied by at once.
const TILES: usize = 8;

fn row_mask(n_rows: usize) -> __mmask16 {
    if n_rows >= TILE_ROWS { !0 } else { (1 << n_rows) - 1 }
}

/// Products of one or two panels with a group of tokens.
///
/// # Safety
/// The CPU has AVX-512 F; the place is readable and writable for the step's tokens, and nobody else's.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn multiply(step: FloatStep, panels: &[FloatPanel], place: Place) {
    macro_rules! by_size {
        ($($n:literal)*) => {
            match (panels, step.n_tokens) {
                $(
                    // SAFETY: passed on from the caller.
                    ([one], $n) => unsafe { multiply_as::<1, $n>(step, [one], place) },
                    // SAFETY: passed on from the caller.
                    ([one, two], $n) => unsafe { multiply_as::<2, $n>(step, [one, two], place) },
                )*
                (panels, tokens) => unreachable!("{} panels and {tokens} tokens", panels.len()),
            }
        };
    }
    by_size!(1 2 3 4 5 6)
}

/// # Safety
/// As for [`multiply`], with `N` tokens.
#[target_feature(enable = "avx512f")]
unsafe fn multiply_as<const R: usize, const N: usize>(step: FloatStep, panels: [&FloatPanel; R], place: Place) {
    let masks: [__mmask16; R] = std::array::from_fn(|r| row_mask(place.n_rows.saturating_sub(TILE_ROWS * r)));
    let at = |n: usize, r: usize| place.sums.wrapping_add(n * place.stride + TILE_ROWS * r);
    let mut sums = [[_mm512_setzero_ps(); R]; N];
    if place.continues {
        for n in 0..N {
            for r in 0..R {
                // SAFETY: the place is readable where rows exist.
                sums[n][r] = unsafe { _mm512_maskz_loadu_ps(masks[r], at(n, r)) };
            }
        }
    }
    let tokens: [*const f32; N] = std::array::from_fn(|n| step.token(n).as_ptr());
    assert!(step.columns.len() <= panels[0].0.len());
    for column in 0..step.columns.len() {
        // SAFETY: panels and tokens have so many columns.
        unsafe {
            let w: [__m512; R] = std::array::from_fn(|r| _mm512_load_ps(panels[r].0.as_ptr().add(column).cast()));
            for n in 0..N {
                let x = _mm512_set1_ps(*tokens[n].add(column));
                for r in 0..R {
                    sums[n][r] = _mm512_fmadd_ps(w[r], x, sums[n][r]);
                }
            }
        }
    }
    for n in 0..N {
        for r in 0..R {
            // SAFETY: the place is writable where rows exist.
            unsafe { _mm512_mask_storeu_ps(at(n, r), masks[r], sums[n][r]) };
        }
    }
}

/// Products of whole tiles with one token.
///
/// # Safety
/// The CPU has AVX-512 F; tiles are aligned to 64 bytes; `out` is writable for the `n_rows` that exist, and nobody
/// else's.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn multiply_one(kind: WeightType, tiles: &[u8], x: &[f32], out: *mut f32, n_rows: usize) {
    let tile_bytes = tile_bytes(kind, x.len());
    let (mut out, mut left) = (out, n_rows);
    for tiles in tiles.chunks(TILES * tile_bytes) {
        // SAFETY: passed on from the caller.
        unsafe {
            match kind {
                WeightType::F32 => by_tiles::<F32>(tiles, tile_bytes, x, out, left),
                WeightType::F16 => by_tiles::<F16>(tiles, tile_bytes, x, out, left),
                WeightType::BF16 => by_tiles::<BF16>(tiles, tile_bytes, x, out, left),
                _ => unreachable!("{kind:?} is no float"),
            }
        }
        out = out.wrapping_add(TILES * TILE_ROWS);
        left = left.saturating_sub(TILES * TILE_ROWS);
    }
}

/// A type of floats.
trait Float {
    const KIND: WeightType;

    /// 16 floats, widened.
    ///
    /// # Safety
    /// They are readable; the CPU has AVX-512 F.
    unsafe fn load(at: *const u8) -> __m512;
}

struct F32;
struct F16;
struct BF16;

impl Float for F32 {
    const KIND: WeightType = WeightType::F32;

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load(at: *const u8) -> __m512 {
        // SAFETY: passed on from the caller.
        unsafe { _mm512_loadu_ps(at.cast()) }
    }
}

impl Float for F16 {
    const KIND: WeightType = WeightType::F16;

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load(at: *const u8) -> __m512 {
        // SAFETY: passed on from the caller.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(at.cast()) })
    }
}

impl Float for BF16 {
    const KIND: WeightType = WeightType::BF16;

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load(at: *const u8) -> __m512 {
        // SAFETY: passed on from the caller.
        let wide = _mm512_cvtepu16_epi32(unsafe { _mm256_loadu_si256(at.cast()) });
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
    }
}

/// # Safety
/// As for [`multiply_one`], with at most [`TILES`] tiles.
#[target_feature(enable = "avx512f")]
unsafe fn by_tiles<F: Float>(tiles: &[u8], tile_bytes: usize, x: &[f32], out: *mut f32, n_rows: usize) {
    // SAFETY: passed on from the caller.
    unsafe {
        match tiles.len().checked_div(tile_bytes).unwrap_or(0) {
            1 => one_as::<F, 1>(tiles, tile_bytes, x, out, n_rows),
            2 => one_as::<F, 2>(tiles, tile_bytes, x, out, n_rows),
            3 => one_as::<F, 3>(tiles, tile_bytes, x, out, n_rows),
            4 => one_as::<F, 4>(tiles, tile_bytes, x, out, n_rows),
            5 => one_as::<F, 5>(tiles, tile_bytes, x, out, n_rows),
            6 => one_as::<F, 6>(tiles, tile_bytes, x, out, n_rows),
            7 => one_as::<F, 7>(tiles, tile_bytes, x, out, n_rows),
            TILES => one_as::<F, TILES>(tiles, tile_bytes, x, out, n_rows),
            n => unreachable!("{n} tiles at once"),
        }
    }
}

/// # Safety
/// As for [`multiply_one`], with `T` tiles.
#[target_feature(enable = "avx512f")]
unsafe fn one_as<F: Float, const T: usize>(tiles: &[u8], tile_bytes: usize, x: &[f32], out: *mut f32, n_rows: usize) {
    let bytes = size(F::KIND) * TILE_ROWS;
    assert!(tiles.len() == T * tile_bytes && x.len() * bytes <= tile_bytes);
    let mut sums = [_mm512_setzero_ps(); T];
    for (column, &x) in x.iter().enumerate() {
        let x = _mm512_set1_ps(x);
        for t in 0..T {
            let at = tiles.as_ptr().wrapping_add(t * tile_bytes + column * bytes);
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD).cast());
            // SAFETY: each tile has so many columns.
            sums[t] = _mm512_fmadd_ps(unsafe { F::load(at) }, x, sums[t]);
        }
    }
    for t in 0..T {
        let mask = row_mask(n_rows.saturating_sub(TILE_ROWS * t));
        // SAFETY: `out` is writable for the rows that exist.
        unsafe { _mm512_mask_storeu_ps(out.wrapping_add(TILE_ROWS * t), mask, sums[t]) };
    }
}
