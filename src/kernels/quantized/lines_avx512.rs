//! Quantizing activations with AVX-512: what `activations` does, by hand, because the compiler makes no vector
//! instructions of sums over the lanes of a register, and took 75 ns for 32 activations where this takes about 10.

use super::activations::{LANES, Line, MOST_SHARED, ROUND, Strided, scales};
use super::layout::BLOCK;
use crate::kernels::norm::inverse_rms;
use std::arch::x86_64::*;

/// As `activations::quantize_row`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn quantize_row(x: &[f32], shared: usize, mut out: Strided) {
    for x in x.chunks(shared) {
        quantize_shared(x, &mut out);
    }
}

/// As `activations::norm_row`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn norm_row(x: &[f32], weight: &[f32], eps: f32, shared: usize, mut out: Strided) {
    let scale = inverse_rms(x, eps);
    let mut normed = [0.0; MOST_SHARED];
    for (x, weight) in x.chunks(shared).zip(weight.chunks(shared)) {
        let normed = &mut normed[..x.len()];
        for ((normed, x), weight) in normed.iter_mut().zip(x).zip(weight) {
            *normed = x * scale * weight;
        }
        quantize_shared(normed, &mut out);
    }
}

/// Activations of which all have one scale.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn quantize_shared(x: &[f32], out: &mut Strided) {
    let magnitudes = _mm512_set1_epi32(0x7fff_ffff);
    let mut largest = _mm512_setzero_si512();
    for x in x.as_chunks::<LANES>().0 {
        // SAFETY: a chunk has 16 floats.
        let bits = unsafe { _mm512_loadu_si512(x.as_ptr().cast()) };
        largest = _mm512_max_epu32(largest, _mm512_and_si512(bits, magnitudes));
    }
    let (scale, inverse) = scales(_mm512_reduce_max_epu32(largest));
    let inverse = _mm512_set1_ps(inverse);
    for x in x.as_chunks::<BLOCK>().0 {
        let mut codes = [0i8; BLOCK];
        let mut sums = [0; 2];
        for (half, sum) in sums.iter_mut().enumerate() {
            // SAFETY: half a block of floats, and of bytes, begins there.
            unsafe {
                let x = _mm512_loadu_ps(x.as_ptr().add(LANES * half));
                let rounded = _mm512_add_ps(_mm512_mul_ps(x, inverse), _mm512_set1_ps(ROUND));
                let wide = _mm512_sub_epi32(_mm512_castps_si512(rounded), _mm512_set1_epi32(ROUND.to_bits() as i32));
                _mm_storeu_si128(codes.as_mut_ptr().add(LANES * half).cast(), _mm512_cvtepi32_epi8(wide));
                *sum = _mm512_reduce_add_epi32(wide);
            }
        }
        out.push(Line::new(codes, scale, sums));
    }
}
