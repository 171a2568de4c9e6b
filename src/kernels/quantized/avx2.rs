//! Products of panels for AVX2, which has no instruction for four products at once: the same bits as `portable`.
//!
//! `vpmaddubsw` multiplies unsigned by signed bytes and adds neighbouring products to 16 bits, where a sum must stay
//! below 32,768. Codes are at most 127 on the token's side, so how many groups of four columns can be added before
//! `vpmaddwd` widens the sums depends on the bits of the weights:
//!
//! ```text
//! bits   largest pair of products   groups added in 16 bits
//! 4      2 * 15 * 127 =  3,810      8
//! 5      2 * 31 * 127 =  7,874      4
//! 6      2 * 63 * 127 = 16,002      2
//! 8      2 * 255 * 127 = 64,770     none: the sign moves to the other operand, |q - 128| <= 128, 32,512, then 1
//! ```
//!
//! A register holds 8 rows, half a tile. Three tokens at a time keep their sums, in 16 and 32 bits and in f32, in 9 of the
//! 16 registers.

use super::Place;
use super::activations::{GROUP, Line};
use super::layout::{GROUPS, TILE_ROWS};
use super::panel::{Panel, Shape};
use super::portable::Step;
use std::arch::x86_64::*;

/// Rows of a register.
const ROWS: usize = 8;

/// Tokens at once.
const TOKENS: usize = 3;

/// Unpacks the codes of a block, which has as many words as its codes have bits: as `panel` does, by hand, as the compiler
/// would collect the vectors' elements one by one.
#[target_feature(enable = "avx2,fma")]
pub(super) fn unpack_codes(bits: usize, words: &[[u32; TILE_ROWS]], out: &mut [[u32; TILE_ROWS]; GROUPS]) {
    assert_eq!(words.len(), bits);
    match bits {
        4 => unpack_bits::<4>(words, out),
        5 => unpack_bits::<5>(words, out),
        6 => unpack_bits::<6>(words, out),
        _ => out.copy_from_slice(words),
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn unpack_bits<const BITS: usize>(words: &[[u32; TILE_ROWS]], out: &mut [[u32; TILE_ROWS]; GROUPS]) {
    // SAFETY: half a tile of a word is as long as a register.
    let load = |word: usize, half: usize| unsafe { _mm256_loadu_si256(words[word].as_ptr().add(ROWS * half).cast()) };
    for half in 0..2 {
        for g in 0..GROUPS {
            let masked = |word, shift: usize, mask: i8| {
                let shifted = _mm256_srlv_epi32(load(word, half), _mm256_set1_epi32(shift as i32));
                _mm256_and_si256(shifted, _mm256_set1_epi8(mask))
            };
            let low = masked(g / 2, 4 * (g % 2), 15);
            let upper = match BITS {
                5 => masked(4, g, 1),
                6 => masked(4 + g / 4, 2 * (g % 4), 3),
                _ => _mm256_setzero_si256(),
            };
            let codes = _mm256_or_si256(low, _mm256_slli_epi32::<4>(upper));
            // SAFETY: as above.
            unsafe { _mm256_storeu_si256(out[g].as_mut_ptr().add(ROWS * half).cast(), codes) };
        }
    }
}

/// Products of panels with a group of tokens, over all blocks that `step` has lines for.
///
/// # Safety
/// The CPU has AVX2 and FMA; the panels hold the step's blocks, of codes of `step.bits`; the place is readable and
/// writable and nobody else's.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn multiply(step: Step, panels: &[Panel], place: Place) {
    assert!(step.lines.len() <= step.n_tokens * panels[0].codes.len() && step.n_tokens <= GROUP);
    for (p, panel) in panels.iter().enumerate() {
        for half in 0..2 {
            let first = p * TILE_ROWS + half * ROWS;
            let n_rows = place.n_rows.saturating_sub(first).min(ROWS);
            for token in (0..step.n_tokens).step_by(TOKENS).filter(|_| n_rows > 0) {
                let sums = place.sums.wrapping_add(token * place.stride + first);
                // SAFETY: passed on from the caller.
                unsafe { by_bits(step, token, panel, half, Place { sums, n_rows, ..place }) };
            }
        }
    }
}

/// Up to [`TOKENS`] tokens of the group, from `token` on.
///
/// # Safety
/// As for [`multiply`].
#[target_feature(enable = "avx2,fma")]
unsafe fn by_bits(step: Step, token: usize, panel: &Panel, half: usize, place: Place) {
    macro_rules! by_size {
        ($bits:literal: $($n:literal)*) => {
            match (step.n_tokens - token).min(TOKENS) {
                // SAFETY: passed on from the caller.
                $($n => unsafe { multiply_as::<$bits, $n>(step, token, panel, half, place) },)*
                n => unreachable!("{n} tokens at once"),
            }
        };
    }
    match step.bits {
        4 => by_size!(4: 1 2 3),
        5 => by_size!(5: 1 2 3),
        6 => by_size!(6: 1 2 3),
        8 => by_size!(8: 1 2 3),
        bits => unreachable!("codes of {bits} bits"),
    }
}

/// Groups whose products may be added in 16 bits.
const fn groups_at_once(bits: usize) -> usize {
    match bits {
        4 => 8,
        5 => 4,
        6 => 2,
        _ => 1,
    }
}

/// The micro-kernel: half a tile times `N` tokens.
///
/// # Safety
/// As for [`multiply`], with at least `N` tokens from `token` on.
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_as<const BITS: usize, const N: usize>(
    step: Step,
    token: usize,
    panel: &Panel,
    half: usize,
    place: Place,
) {
    let mut sums = [_mm256_setzero_ps(); N];
    let mut rows = [0.0f32; ROWS];
    for n in 0..if place.continues { N } else { 0 } {
        // SAFETY: the place is readable where rows exist; a row of eight is readable as a register.
        unsafe {
            std::ptr::copy_nonoverlapping(place.sums.add(n * place.stride), rows.as_mut_ptr(), place.n_rows);
            sums[n] = _mm256_loadu_ps(rows.as_ptr());
        }
    }
    let n_parts = if step.shape == Shape::Halves { 2 } else { 1 };
    let n_steps = GROUPS / n_parts / groups_at_once(BITS);
    let mut lines = step.lines.as_ptr().wrapping_add(token);
    for block in 0..step.lines.len() / step.n_tokens {
        let codes = panel.codes[block].as_ptr().cast::<u32>().wrapping_add(ROWS * half);
        for part in 0..n_parts {
            // Codes of 8 bits are multiplied without their bias, so there is none to make up for.
            let start = if BITS == 8 { 0 } else { step.start + part };
            // SAFETY: the panel has such a block, and the step N lines for it.
            unsafe {
                let mut dots: [__m256i; N] = std::array::from_fn(|n| _mm256_set1_epi32((*lines.add(n)).starts[start]));
                for i in 0..n_steps {
                    let first = (part * n_steps + i) * groups_at_once(BITS);
                    add_groups::<BITS, N>(codes.add(first * TILE_ROWS), lines, first, &mut dots);
                }
                let scale = _mm256_loadu_ps(panel.scales[block][part].as_ptr().add(ROWS * half));
                for n in 0..N {
                    let scale = _mm256_mul_ps(scale, _mm256_set1_ps((*lines.add(n)).scale));
                    sums[n] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[n]), scale, sums[n]);
                }
            }
        }
        // SAFETY: as above.
        unsafe {
            if step.shape == Shape::Offset {
                let offset = _mm256_loadu_ps(panel.offsets[block].as_ptr().add(ROWS * half));
                for n in 0..N {
                    sums[n] = _mm256_fmadd_ps(offset, _mm256_set1_ps((*lines.add(n)).weighted_sum), sums[n]);
                }
            }
            lines = lines.wrapping_add(step.n_tokens);
        }
    }
    for n in 0..N {
        // SAFETY: the place is writable where rows exist.
        unsafe {
            _mm256_storeu_ps(rows.as_mut_ptr(), sums[n]);
            std::ptr::copy_nonoverlapping(rows.as_ptr(), place.sums.add(n * place.stride), place.n_rows);
        }
    }
}

/// Adds the products of as many groups as can be added in 16 bits, from group `first` on, whose words begin at `codes`.
///
/// # Safety
/// The CPU has AVX2; there are words for as many groups, 16 apart, and N lines.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn add_groups<const BITS: usize, const N: usize>(
    codes: *const u32,
    lines: *const Line,
    first: usize,
    dots: &mut [__m256i; N],
) {
    let mut pairs = [_mm256_setzero_si256(); N];
    for g in 0..groups_at_once(BITS) {
        // SAFETY: passed on from the caller.
        let q = unsafe { _mm256_loadu_si256(codes.add(g * TILE_ROWS).cast()) };
        for n in 0..N {
            // SAFETY: a line has eight groups of four codes.
            let a = unsafe { (&raw const (*lines.add(n)).codes).cast::<i32>().add(first + g).read_unaligned() };
            let a = _mm256_set1_epi32(a);
            let products = if BITS == 8 {
                let signed = _mm256_xor_si256(q, _mm256_set1_epi8(-128));
                _mm256_maddubs_epi16(_mm256_abs_epi8(signed), _mm256_sign_epi8(a, signed))
            } else {
                _mm256_maddubs_epi16(q, a)
            };
            pairs[n] = if g == 0 { products } else { _mm256_add_epi16(pairs[n], products) };
        }
    }
    for n in 0..N {
        dots[n] = _mm256_add_epi32(dots[n], _mm256_madd_epi16(pairs[n], _mm256_set1_epi16(1)));
    }
}
