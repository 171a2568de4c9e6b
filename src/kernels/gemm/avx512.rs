//! The micro-kernels for AVX-512: up to 14 rows by 32 columns, in f32 and in bf16.
//!
//! 14 x 2 accumulators, two vectors of B and one broadcast word of A fill 31 of the 32 registers. Per step a kernel issues
//! 28 multiply-adds and 16 loads, so two multiply-add ports are never starved by two load ports. The two kernels differ
//! in one instruction: `vfmadd231ps` multiplies sixteen numbers, `vdpbf16ps` sixteen pairs.

use super::{COPY_STRIDE, LONG_COPY_STRIDE, PANEL, Tile};
use std::arch::x86_64::*;
use std::hint::black_box;

/// Rows of a full tile.
pub(super) const ROWS: usize = 14;

/// Steps of B that are fetched into the L1 cache ahead: a panel does not stay there beside the tiles of A that pass by.
const AHEAD: usize = 16;

/// A stride of A's rows that is not known when the kernel is compiled.
const ANY: usize = 0;

#[target_feature(enable = "avx512f")]
#[inline]
fn multiply_add_f32(acc: __m512, a: __m512, b: __m512) -> __m512 {
    _mm512_fmadd_ps(a, b, acc)
}

#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn multiply_add_bf16(acc: __m512, a: __m512, b: __m512) -> __m512 {
    // SAFETY: both types are 512 bits, of which any are valid.
    let (a, b) = unsafe { (std::mem::transmute::<__m512, __m512bh>(a), std::mem::transmute::<__m512, __m512bh>(b)) };
    _mm512_dpbf16_ps(acc, a, b)
}

/// Calls `$rows` with the tile's number of rows as a constant, and another constant before it if one is given.
macro_rules! by_rows {
    ($t:ident, $rows:ident $(<$constant:ident>)?) => {
        $crate::kernels::gemm::avx512::by_rows!(@ $t, $rows, ($($constant)?), 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
    };
    (@ $t:ident, $rows:ident, $constant:tt, $($n:literal)*) => {
        match $t.n_rows {
            $($n => $crate::kernels::gemm::avx512::by_rows!(@call $t, $rows, $constant, $n),)*
            0 => {}
            n => unreachable!("a tile of {n} rows"),
        }
    };
    (@call $t:ident, $rows:ident, ($($constant:ident)?), $n:literal) => {
        // SAFETY: passed on from the caller; R is the tile's number of rows.
        unsafe { $rows::<$($constant,)? $n>($t) }
    };
}

pub(super) use by_rows;

macro_rules! micro_kernel {
    ($tile:ident, $with_stride:ident, $rows:ident, $features:literal, $multiply_add:ident) => {
        /// Computes one tile.
        ///
        /// # Safety
        /// As for [`super::tile`]; the CPU has the features named here.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $tile(t: Tile) {
            // SAFETY: passed on from the caller.
            unsafe {
                match t.a_row {
                    1 => $with_stride::<1>(t),
                    COPY_STRIDE => $with_stride::<COPY_STRIDE>(t),
                    LONG_COPY_STRIDE => $with_stride::<LONG_COPY_STRIDE>(t),
                    _ => $with_stride::<ANY>(t),
                }
            }
        }

        /// # Safety
        /// As for the function above, with `t.a_row == A_ROW` unless that is [`ANY`].
        #[target_feature(enable = $features)]
        unsafe fn $with_stride<const A_ROW: usize>(t: Tile) {
            by_rows!(t, $rows<A_ROW>)
        }

        /// # Safety
        /// As for the function above, with `t.n_rows == R`.
        #[target_feature(enable = $features)]
        unsafe fn $rows<const A_ROW: usize, const R: usize>(t: Tile) {
            let (left, right) = (lane_mask(t.n_cols), lane_mask(t.n_cols.saturating_sub(16)));
            // SAFETY: the caller's promise covers A over R rows, B over full panel rows, the masked part of C and start.
            unsafe {
                // Written out here: were `acc` filled by a function of its own, it would live in memory.
                let mut acc = [[_mm512_setzero_ps(); 2]; R];
                for r in 0..R {
                    // The lines of C are fetched now, so that they are there when the sums are done.
                    let c = t.c.wrapping_add(r * t.c_row);
                    _mm_prefetch::<_MM_HINT_ET0>(c.cast());
                    _mm_prefetch::<_MM_HINT_ET0>(c.wrapping_add(16).cast());
                }
                if !t.start.is_null() {
                    for r in 0..R {
                        let start = t.start.add(r * t.c_row);
                        let more = start.wrapping_add(16);
                        acc[r] = [_mm512_maskz_loadu_ps(left, start), _mm512_maskz_loadu_ps(right, more)];
                    }
                }
                // Rows that lie a known number of words apart are constants in the addresses. Others get a pointer each and
                // one common offset, and the compiler must not see how the pointers relate: it would make each of them of the
                // one before, a chain of additions as long as the multiply-adds take.
                let a: [*const f32; R] = match A_ROW {
                    ANY => std::array::from_fn(|r| black_box(t.a.wrapping_add(r * t.a_row))),
                    _ => std::array::from_fn(|r| t.a.wrapping_add(r * A_ROW)),
                };
                let (mut offset, mut b) = (0, t.b);
                for _ in 0..t.k {
                    let columns = [_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16))];
                    let ahead = b.wrapping_add(AHEAD * PANEL);
                    _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
                    _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(16).cast());
                    for r in 0..R {
                        let word = _mm512_set1_ps(*a[r].wrapping_add(offset));
                        acc[r][0] = $multiply_add(acc[r][0], word, columns[0]);
                        acc[r][1] = $multiply_add(acc[r][1], word, columns[1]);
                    }
                    offset += t.a_col;
                    b = b.wrapping_add(t.b_row);
                }
                for r in 0..R {
                    let c = t.c.add(r * t.c_row);
                    _mm512_mask_storeu_ps(c, left, acc[r][0]);
                    _mm512_mask_storeu_ps(c.wrapping_add(16), right, acc[r][1]);
                }
            }
        }
    };
}

micro_kernel!(tile, with_stride, rows, "avx512f", multiply_add_f32);
micro_kernel!(tile_bf16, with_stride_bf16, rows_bf16, "avx512f,avx512bf16", multiply_add_bf16);

/// A mask of the first `n` of 16 lanes, of all where there are more.
pub(super) fn lane_mask(n: usize) -> __mmask16 {
    if n >= 16 { !0 } else { (1 << n) - 1 }
}
