//! Mirrors a matrix at its diagonal: how a weight (out, in) becomes panels of W^T.
//!
//! Where the CPU has AVX-512, squares of 16 x 16 go through registers; elsewhere, and at the edges, element by element in
//! squares small enough that both sides stay within a few cache lines.

use super::Isa;

/// Side of a square.
const SQUARE: usize = 16;

/// `out` (columns, rows) = `x` (rows, columns) mirrored; rows of either lie `stride` elements apart.
pub(in crate::kernels) fn transpose(
    isa: Isa,
    (x, x_stride): (&[f32], usize),
    (n_rows, n_cols): (usize, usize),
    (out, out_stride): (&mut [f32], usize),
) {
    if n_rows == 0 || n_cols == 0 {
        return;
    }
    assert!((n_rows - 1) * x_stride + n_cols <= x.len(), "{n_rows} x {n_cols} elements of {}", x.len());
    assert!((n_cols - 1) * out_stride + n_rows <= out.len(), "room for {n_cols} x {n_rows} in {}", out.len());
    for row in (0..n_rows).step_by(SQUARE) {
        for col in (0..n_cols).step_by(SQUARE) {
            let (height, width) = (SQUARE.min(n_rows - row), SQUARE.min(n_cols - col));
            let (x, out) = (&x[row * x_stride + col..], &mut out[col * out_stride + row..]);
            match isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512(_) if height == SQUARE && width == SQUARE => {
                    // SAFETY: the token proves AVX-512 F; both squares lie inside, as asserted above.
                    unsafe { x86::square(x.as_ptr(), x_stride, out.as_mut_ptr(), out_stride) }
                }
                _ => square(x, x_stride, (height, width), out, out_stride),
            }
        }
    }
}

fn square(x: &[f32], x_stride: usize, (height, width): (usize, usize), out: &mut [f32], out_stride: usize) {
    for r in 0..height {
        for c in 0..width {
            out[c * out_stride + r] = x[r * x_stride + c];
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::SQUARE;
    use std::arch::x86_64::*;

    /// Four rounds, each of which doubles the side of the blocks that lie mirrored: elements, pairs, and quarters of a
    /// register twice.
    ///
    /// # Safety
    /// 16 rows of 16 elements are readable at `x` and writable at `out`; the CPU has AVX-512 F.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn square(x: *const f32, x_stride: usize, out: *mut f32, out_stride: usize) {
        // SAFETY: the caller's promise.
        let rows: [__m512; SQUARE] = std::array::from_fn(|r| unsafe { _mm512_loadu_ps(x.add(r * x_stride)) });
        let mut pairs = rows;
        for i in 0..8 {
            pairs[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
        }
        let mut fours = pairs;
        for i in 0..4 {
            for half in 0..2 {
                let (low, high) = (as_f64(pairs[4 * i + half]), as_f64(pairs[4 * i + 2 + half]));
                fours[4 * i + 2 * half] = as_f32(_mm512_unpacklo_pd(low, high));
                fours[4 * i + 2 * half + 1] = as_f32(_mm512_unpackhi_pd(low, high));
            }
        }
        // fours[4 i + c] holds, in quarter q, column 4 q + c of rows 4 i .. 4 i + 4.
        for c in 0..4 {
            let low = [fours[c], fours[4 + c]];
            let high = [fours[8 + c], fours[12 + c]];
            let even = |a: [__m512; 2]| _mm512_shuffle_f32x4::<0b10_00_10_00>(a[0], a[1]);
            let odd = |a: [__m512; 2]| _mm512_shuffle_f32x4::<0b11_01_11_01>(a[0], a[1]);
            let (even, odd) = ([even(low), even(high)], [odd(low), odd(high)]);
            let columns = [
                _mm512_shuffle_f32x4::<0b10_00_10_00>(even[0], even[1]),
                _mm512_shuffle_f32x4::<0b10_00_10_00>(odd[0], odd[1]),
                _mm512_shuffle_f32x4::<0b11_01_11_01>(even[0], even[1]),
                _mm512_shuffle_f32x4::<0b11_01_11_01>(odd[0], odd[1]),
            ];
            for (q, column) in columns.into_iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { _mm512_storeu_ps(out.add((4 * q + c) * out_stride), column) };
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    fn as_f64(x: __m512) -> __m512d {
        _mm512_castps_pd(x)
    }

    #[target_feature(enable = "avx512f")]
    fn as_f32(x: __m512d) -> __m512 {
        _mm512_castpd_ps(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_lands_at_its_mirrored_place_on_every_instruction_set() {
        for isa in Isa::all() {
            for (n_rows, n_cols) in [(1, 1), (16, 16), (17, 40), (48, 31), (3, 100), (32, 512)] {
                let (x_stride, out_stride) = (n_cols + 3, n_rows + 5);
                let x: Vec<f32> = (0..n_rows * x_stride).map(|i| i as f32).collect();
                let mut out = vec![-1.0; n_cols * out_stride];
                transpose(isa, (&x, x_stride), (n_rows, n_cols), (&mut out, out_stride));
                for c in 0..n_cols {
                    for r in 0..out_stride {
                        let wanted = if r < n_rows { x[r * x_stride + c] } else { -1.0 };
                        assert_eq!(out[c * out_stride + r], wanted, "{} {n_rows}x{n_cols}: {r}, {c}", isa.name());
                    }
                }
            }
        }
    }
}
