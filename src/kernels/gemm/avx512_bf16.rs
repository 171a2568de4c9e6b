//! Operands of AVX-512 BF16 in pairs: f32 is narrowed to bf16 on the way, and what is kept in bf16 stays what it is. The
//! micro-kernel is in [`super::avx512`].
//!
//! bf16 is the upper half of an f32. The conversion instructions round to nearest, to even at ties; infinity and NaN stay
//! what they are, and numbers below the smallest normal one (1.2e-38) become zero, as `vdpbf16ps` would take them.

use super::avx512::lane_mask;
use crate::kernels::cpu::Isa;
use crate::kernels::element::x86::halves;
use crate::kernels::element::{Element, Elements};
use std::arch::x86_64::*;

/// Neighbours in a row become pairs: words of (x0, x1), (x2, x3) and so on, and zeros up to a multiple of 16 words. Rows of words
/// are `width` words apart; `size` is (`row_stride`, rows, columns).
pub(super) fn narrow_rows(isa: Isa, data: Elements, size: (usize, usize, usize), out: &mut [f32], width: usize) {
    let (row_stride, n_rows, n_cols) = size;
    let n_words = n_cols.div_ceil(2).next_multiple_of(16);
    assert!(n_rows == 0 || (n_rows - 1) * row_stride + n_cols <= data.len(), "{n_rows} rows of {n_cols} columns");
    assert!(n_rows == 0 || (n_rows - 1) * width + n_words <= out.len(), "room for {n_rows} rows of {n_words} words");
    check(isa);
    // SAFETY: as asserted.
    unsafe {
        match data {
            Elements::F32(data) => pair_neighbours(data.as_ptr(), size, out.as_mut_ptr(), width),
            Elements::Bf16(data) => pair_neighbours(data.as_ptr(), size, out.as_mut_ptr(), width),
        }
    }
}

/// Columns in groups, each with all its steps: panels of B, tiles of A.
#[derive(Clone, Copy)]
pub(super) struct Groups {
    /// Columns of a group, and words of its steps; what the last group lacks is padded with zeros.
    pub(super) width: usize,
    /// Words from one group to the next.
    pub(super) stride: usize,
    /// Steps of a group; those that no row is left for are zeros.
    pub(super) n_steps: usize,
}

/// Rows become steps of pairs: word c of step s holds elements c of rows 2 s and 2 s + 1, which lie `row_stride` apart.
/// The words go to `out` in `groups`; `size` is (`row_stride`, rows, columns).
///
/// # Safety
/// `out` is writable at all steps of all groups, and no other thread uses those meanwhile.
pub(super) unsafe fn copy_rows(isa: Isa, data: Elements, size: (usize, usize, usize), out: *mut f32, groups: Groups) {
    let (row_stride, depth, n_cols) = size;
    assert!(depth == 0 || (depth - 1) * row_stride + n_cols <= data.len(), "{depth} rows of {n_cols} columns");
    check(isa);
    // SAFETY: as asserted and as promised.
    unsafe {
        match data {
            Elements::F32(data) => pair_rows(data.as_ptr(), size, out, groups),
            Elements::Bf16(data) => pair_rows(data.as_ptr(), size, out, groups),
        }
    }
}

/// Words that are fetched ahead, in whole rows: where only a few columns are taken, as of a head of attention, rows lie too far
/// apart for the hardware to see them coming.
const AHEAD: usize = 256;

fn check(isa: Isa) {
    assert!(matches!(isa, Isa::Avx512(token) if token.has_bf16()), "bf16 on {}", isa.name());
}

/// # Safety
/// `data` and `out` reach as far as asserted in [`narrow_rows`]; the CPU has these features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pair_neighbours<E: Element>(
    data: *const E,
    (row_stride, n_rows, n_cols): (usize, usize, usize),
    out: *mut f32,
    width: usize,
) {
    let ahead = (2 * AHEAD / n_cols.max(1)).max(1) * row_stride;
    for row in 0..n_rows {
        for first in (0..n_cols).step_by(32) {
            let left = n_cols - first;
            let x = data.wrapping_add(row * row_stride + first);
            // SAFETY: masks keep to the elements and words that there are; a prefetch may miss.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(x.wrapping_add(ahead).cast());
                _mm_prefetch::<_MM_HINT_T0>(x.wrapping_add(ahead + 16).cast());
                let high = (x.wrapping_add(16), lane_mask(left.saturating_sub(16)));
                _mm512_storeu_ps(out.add(row * width + first / 2), halves((x, lane_mask(left)), high));
            }
        }
    }
}

/// # Safety
/// As for [`copy_rows`], and `data` reaches as far as asserted there; the CPU has these features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pair_rows<E: Element>(
    data: *const E,
    (row_stride, depth, n_cols): (usize, usize, usize),
    out: *mut f32,
    groups: Groups,
) {
    let Groups { width, stride, n_steps } = groups;
    let ahead = 2 * (AHEAD / n_cols.max(1)).max(1) * row_stride;
    for step in 0..depth.div_ceil(2) {
        let low = data.wrapping_add(2 * step * row_stride);
        let high = low.wrapping_add(row_stride);
        // A step's rows are read from end to end: memory gives that fastest.
        for group in 0..n_cols.div_ceil(width) {
            let n_left = n_cols - group * width;
            for col in (0..width).step_by(16) {
                let mask = lane_mask(n_left.min(width).saturating_sub(col));
                let high_mask = if 2 * step + 1 < depth { mask } else { 0 };
                let at = group * width + col;
                // SAFETY: masks keep to the columns that there are, and off the row behind the last; a prefetch may miss.
                unsafe {
                    _mm_prefetch::<_MM_HINT_T0>(low.wrapping_add(ahead + at).cast());
                    _mm_prefetch::<_MM_HINT_T0>(high.wrapping_add(ahead + at).cast());
                    let high = (high.wrapping_add(at), high_mask);
                    let words = interleaved(halves((low.wrapping_add(at), mask), high));
                    let out = out.add(group * stride + step * width + col);
                    // Two steps on; the lines of groups lie far apart, as those of a head do.
                    _mm_prefetch::<_MM_HINT_ET0>(out.wrapping_add(2 * width).cast());
                    _mm512_mask_storeu_ps(out, lane_mask(width - col), words);
                }
            }
        }
    }
    let n_written = depth.div_ceil(2).min(n_steps);
    for group in 0..n_cols.div_ceil(width) {
        // SAFETY: `out` is writable at all steps of all groups.
        unsafe { out.add(group * stride + n_written * width).write_bytes(0, (n_steps - n_written) * width) };
    }
}

/// Halves (0, 16, 1, 17, ...) of 32.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn interleaved(x: __m512) -> __m512 {
    let low = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    // Each index is a pair of indices: c in the lower half and 16 + c in the upper.
    let order = _mm512_or_si512(low, _mm512_slli_epi32::<16>(_mm512_add_epi32(low, _mm512_set1_epi32(16))));
    _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, _mm512_castps_si512(x)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::element::tests::rounded;

    fn samples() -> Vec<f32> {
        let ties = [0x3f80_7fff, 0x3f80_8000, 0x3f80_8001, 0x3f81_8000, 0x7f7f_ffff, 0xff80_0000, 0x8000_0000];
        let mut random = crate::kernels::random::Random::new(1, 1);
        ties.into_iter().map(f32::from_bits).chain((0..150).map(|_| random.normal() as f32)).collect()
    }

    fn isa() -> Option<Isa> {
        Isa::all().into_iter().find(|isa| matches!(isa, Isa::Avx512(token) if token.has_bf16()))
    }

    #[test]
    fn neighbours_are_rounded_to_nearest_and_even_and_zeros_follow() {
        let Some(isa) = isa() else { return };
        let x = samples();
        for n in 0..x.len() {
            let mut out = vec![f32::NAN; n.div_ceil(2).next_multiple_of(16)];
            narrow_rows(isa, Elements::F32(&x), (n, 1, n), &mut out, 0);
            let mut wanted: Vec<u16> = x[..n].iter().map(|&x| rounded(x)).collect();
            wanted.resize(2 * out.len(), 0);
            assert_eq!(bytemuck::cast_slice::<f32, u16>(&out), wanted, "{n} elements");
        }
    }

    #[test]
    fn rows_become_pairs_in_groups_padded_with_zeros_on_both_sides() {
        let Some(isa) = isa() else { return };
        let x = samples();
        let sizes: [(usize, usize, usize, usize); 6] =
            [(32, 4, 32, 32), (20, 5, 7, 32), (50, 3, 50, 50), (40, 1, 33, 112), (40, 3, 37, 14), (70, 2, 70, 32)];
        for (row_stride, depth, n_cols, width) in sizes {
            let (n_steps, n_groups) = (depth.div_ceil(2) + 1, n_cols.div_ceil(width));
            let groups = Groups { width, stride: n_steps * width, n_steps };
            let mut out = vec![f32::NAN; n_groups * groups.stride];
            // SAFETY: there is room for all groups.
            unsafe { copy_rows(isa, Elements::F32(&x), (row_stride, depth, n_cols), out.as_mut_ptr(), groups) };
            let found: &[u16] = bytemuck::cast_slice(&out);
            for (i, &found) in found.iter().enumerate() {
                let (step, group) = (i / 2 / width % n_steps, i / 2 / groups.stride);
                let (row, col) = (2 * step + i % 2, group * width + i / 2 % width);
                let wanted = if row < depth && col < n_cols { rounded(x[row * row_stride + col]) } else { 0 };
                assert_eq!(found, wanted, "row {row} column {col} of {depth} x {n_cols} in groups of {width}");
            }
        }
    }

    #[test]
    fn infinity_and_nan_are_kept_and_what_is_too_small_becomes_zero() {
        let Some(isa) = isa() else { return };
        let mut out = [0.0; 16];
        let x = [f32::INFINITY, f32::from_bits(0xffff_ffff), f32::NEG_INFINITY, 1e-40];
        narrow_rows(isa, Elements::F32(&x), (4, 1, 4), &mut out, 16);
        let found: &[u16] = bytemuck::cast_slice(&out);
        assert_eq!((found[0], found[2], found[3]), (0x7f80, 0xff80, 0));
        assert!(f32::from_bits((found[1] as u32) << 16).is_nan());
    }
}
