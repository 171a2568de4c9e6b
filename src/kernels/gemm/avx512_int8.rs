//! Products of 8-bit codes for AVX-512 VNNI: the micro-kernel, and the rounding of operands that goes with it.
//!
//! `vpdpbusd` multiplies 64 unsigned bytes by 64 signed ones and adds the products by fours to 16 integers: twice the work
//! of `vdpbf16ps`, four times that of `vfmadd231ps`. Words hold four codes of neighbouring inner elements ([`super::pack`]).
//!
//! - **Scales.** Each row of A and each column of B, within a block, is divided by 1/127 of its largest magnitude and
//!   rounded to the nearest integer. Sums are exact; a finished one is multiplied by both scales.
//! - **Signs.** One operand of the instruction has no sign: codes of B are stored with 128 added, and each sum starts from
//!   -128 times the sum of A's codes.
//!
//! Behind the words of a row of A lie its scale and that start, behind those of a panel of B a step of scales. With operands
//! from a normal distribution the error of a product over 512 elements is 0.0105 of its standard deviation (0.0023 in bf16);
//! what that does to learning, and which products are made so, is in `docs/recipe.md`.

use super::avx512::{by_rows, lane_mask};
use super::avx512_f16::{largest, largest_by_column};
use super::{COPY_STRIDE, PANEL, Tile};
use crate::kernels::cpu::Isa;
use crate::kernels::quantized::scales;
use std::arch::x86_64::*;

/// Steps of B that are fetched into the L1 cache ahead.
const AHEAD: usize = 16;

/// Words behind those of a row of A.
const FOOTER: usize = 2;

/// Computes one tile, whose operands end in their scales.
///
/// # Safety
/// As for [`super::tile`]; rows of A are readable [`FOOTER`] words and B one step beyond `t.k`; the CPU has AVX-512 F and
/// VNNI.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) unsafe fn tile(t: Tile) {
    by_rows!(t, rows)
}

/// # Safety
/// As for [`tile`], with `t.n_rows == R`.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn rows<const R: usize>(t: Tile) {
    debug_assert!(t.a_row == COPY_STRIDE && t.a_col == 1 && t.b_row == PANEL);
    let masks = [lane_mask(t.n_cols), lane_mask(t.n_cols.saturating_sub(16))];
    // SAFETY: the caller's promise covers A over R rows, B over full panel rows, the masked part of C and start.
    unsafe {
        for r in 0..R {
            // The lines of C are fetched now, so that they are there when the sums are done.
            let c = t.c.wrapping_add(r * t.c_row);
            _mm_prefetch::<_MM_HINT_ET0>(c.cast());
            _mm_prefetch::<_MM_HINT_ET0>(c.wrapping_add(16).cast());
        }
        let (a, mut b) = (t.a.cast::<i32>(), t.b);
        let mut acc = [[_mm512_setzero_si512(); 2]; R];
        for r in 0..R {
            acc[r] = [_mm512_set1_epi32(*a.add(r * COPY_STRIDE + t.k + 1)); 2];
        }
        for step in 0..t.k {
            let columns = [_mm512_load_si512(b.cast()), _mm512_load_si512(b.add(16).cast())];
            let ahead = b.wrapping_add(AHEAD * PANEL);
            _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
            _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(16).cast());
            for r in 0..R {
                let word = _mm512_set1_epi32(*a.add(r * COPY_STRIDE + step));
                acc[r][0] = _mm512_dpbusd_epi32(acc[r][0], columns[0], word);
                acc[r][1] = _mm512_dpbusd_epi32(acc[r][1], columns[1], word);
            }
            b = b.add(PANEL);
        }
        let column_scales = [_mm512_load_ps(b), _mm512_load_ps(b.add(16))];
        for r in 0..R {
            let row_scale = _mm512_set1_ps(*t.a.add(r * COPY_STRIDE + t.k));
            for half in 0..2 {
                let at = r * t.c_row + 16 * half;
                let start = match t.start.is_null() {
                    true => _mm512_setzero_ps(),
                    false => _mm512_maskz_loadu_ps(masks[half], t.start.wrapping_add(at)),
                };
                let scale = _mm512_mul_ps(row_scale, column_scales[half]);
                let finished = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[r][half]), scale, start);
                _mm512_mask_storeu_ps(t.c.wrapping_add(at), masks[half], finished);
            }
        }
    }
}

/// Whose rows are rounded: codes of A have a sign, those of B have 128 added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    A,
    B,
}

/// Neighbours in a row become words of four codes, ⌈n/4⌉ of them, behind which follow the row's scale and, for A, where sums
/// start. Rows of words are `width` words apart; `size` is (`row_stride`, rows, columns).
pub(super) fn narrow_rows(
    isa: Isa,
    side: Side,
    data: &[f32],
    size: (usize, usize, usize),
    out: &mut [f32],
    width: usize,
) {
    let (row_stride, n_rows, n_cols) = size;
    assert!(n_rows * width <= out.len(), "room for {n_rows} rows of {width} words");
    check(isa);
    for (r, out) in out.chunks_exact_mut(width.max(1)).take(n_rows).enumerate() {
        // SAFETY: the CPU has what is needed, as checked.
        unsafe { narrow_row(side, &data[r * row_stride..][..n_cols], out) };
    }
}

fn check(isa: Isa) {
    assert!(matches!(isa, Isa::Avx512(token) if token.has_vnni()), "codes of 8 bits on {}", isa.name());
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn narrow_row(side: Side, x: &[f32], out: &mut [f32]) {
    let (scale, inverse) = scales(largest(x));
    let (words, footer) = out.split_at_mut(x.len().div_ceil(4));
    let bytes: &mut [i8] = bytemuck::cast_slice_mut(words);
    let flip = _mm512_set1_epi8(if side == Side::B { -128 } else { 0 });
    let mut sums = _mm512_setzero_si512();
    let (whole, rest) = x.as_chunks::<64>();
    let (whole_bytes, rest_bytes) = bytes.as_chunks_mut::<64>();
    let mut next = |x: &[f32; 64], bytes: &mut [i8; 64]| {
        let codes = codes(x, inverse);
        sums = _mm512_dpbusd_epi32(sums, _mm512_set1_epi8(1), codes);
        // SAFETY: 64 bytes.
        unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), _mm512_xor_si512(codes, flip)) };
    };
    for (x, bytes) in whole.iter().zip(whole_bytes) {
        next(x, bytes);
    }
    if !rest.is_empty() {
        let (mut last, mut last_bytes) = ([0.0; 64], [0; 64]);
        last[..rest.len()].copy_from_slice(rest);
        next(&last, &mut last_bytes);
        rest_bytes.copy_from_slice(&last_bytes[..rest_bytes.len()]);
    }
    footer[0] = scale;
    if side == Side::A {
        footer[1] = f32::from_bits(_mm512_reduce_add_epi32(sums).wrapping_mul(-128) as u32);
    }
}

/// The codes of 64 neighbours.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn codes(x: &[f32; 64], inverse: f32) -> __m512i {
    let inverse = _mm512_set1_ps(inverse);
    // SAFETY: there are four times sixteen.
    let rounded =
        |i: usize| unsafe { _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x.as_ptr().add(16 * i)), inverse)) };
    let halves = [_mm512_packs_epi32(rounded(0), rounded(1)), _mm512_packs_epi32(rounded(2), rounded(3))];
    // Packing goes by lanes of 128 bits: the fours of neighbours are those of x[0..4], x[16..20], x[32..36], x[48..52],
    // x[4..8] and so on.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_permutexvar_epi32(order, _mm512_packs_epi16(halves[0], halves[1]))
}

/// Columns become a panel: word c of step s holds the codes of rows 4 s to 4 s + 3 of column c, padded with zeros; behind the
/// steps lie the columns' scales. `size` is (`row_stride`, rows, columns), of which there are [`PANEL`] at most.
pub(super) fn copy_columns(isa: Isa, data: &[f32], size: (usize, usize, usize), out: &mut [f32]) {
    let (row_stride, depth, n_cols) = size;
    assert!(n_cols <= PANEL, "{n_cols} columns in a panel of {PANEL}");
    assert!(depth == 0 || (depth - 1) * row_stride + n_cols <= data.len(), "{depth} rows of {n_cols} columns");
    assert!((depth.div_ceil(4) + 1) * PANEL <= out.len(), "room for {depth} rows");
    check(isa);
    // SAFETY: as asserted.
    unsafe { pack_columns(data.as_ptr(), size, out) }
}

/// # Safety
/// `data` and `out` reach as far as asserted in [`copy_columns`]; the CPU has AVX-512 F.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn pack_columns(data: *const f32, size: (usize, usize, usize), out: &mut [f32]) {
    let (row_stride, depth, n_cols) = size;
    let mut most = [0; PANEL];
    // SAFETY: passed on from the caller.
    unsafe { largest_by_column::<2>(data, size, &mut most) };
    let both = most.map(scales);
    let (inverse, n_steps) = (both.map(|(_, inverse)| inverse), depth.div_ceil(4));
    out[n_steps * PANEL..][..PANEL].copy_from_slice(&both.map(|(scale, _)| scale));
    for (step, out) in out.chunks_exact_mut(PANEL).take(n_steps).enumerate() {
        for col in [0, 16] {
            let mask = lane_mask(n_cols.saturating_sub(col));
            let mut words = _mm512_setzero_si512();
            for i in 0..4.min(depth - 4 * step) {
                let row = data.wrapping_add((4 * step + i) * row_stride + col);
                // SAFETY: masks keep to the columns that there are.
                let x = unsafe { _mm512_maskz_loadu_ps(mask, row) };
                // SAFETY: there are 16 inverses from `col` on.
                let inverse = unsafe { _mm512_loadu_ps(inverse.as_ptr().add(col)) };
                let byte = _mm512_and_si512(_mm512_cvtps_epi32(_mm512_mul_ps(x, inverse)), _mm512_set1_epi32(255));
                words = _mm512_or_si512(words, _mm512_sllv_epi32(byte, _mm512_set1_epi32(8 * i as i32)));
            }
            let words = _mm512_xor_si512(words, _mm512_set1_epi8(-128));
            // SAFETY: a step has 32 words.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(col).cast(), words) };
        }
    }
}

const _: () = assert!(super::BLOCK_STEPS + FOOTER <= COPY_STRIDE);
