//! The micro-kernels for AVX-512: up to 14 rows by 32 columns, in f32 and in bf16.
//!
//! 14 x 2 accumulators, two vectors of B and one broadcast word of A fill 31 of the 32 registers. Per step a kernel issues
//! 28 multiply-adds and 16 loads, so two multiply-add ports are never starved by two load ports. The two kernels differ
//! in one instruction: `vfmadd231ps` multiplies sixteen numbers, `vdpbf16ps` sixteen pairs.

use super::Tile;
use std::arch::x86_64::*;
use std::hint::black_box;

/// Rows of a full tile.
pub(super) const ROWS: usize = 14;

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

macro_rules! by_rows {
    ($t:ident, $rows:ident, $($n:literal)*) => {
        match $t.n_rows {
            // SAFETY: passed on from the caller; R is the tile's number of rows.
            $($n => unsafe { $rows::<$n>($t) },)*
            0 => {}
            n => unreachable!("a tile of {n} rows"),
        }
    };
}

pub(super) use by_rows;

macro_rules! micro_kernel {
    ($tile:ident, $rows:ident, $features:literal, $multiply_add:ident) => {
        /// Computes one tile.
        ///
        /// # Safety
        /// As for [`super::tile`]; the CPU has the features named here.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $tile(t: Tile) {
            by_rows!(t, $rows, 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
        }

        /// # Safety
        /// As for the function above, with `t.n_rows == R`.
        #[target_feature(enable = $features)]
        unsafe fn $rows<const R: usize>(t: Tile) {
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
                // A pointer for each row and one common offset. The compiler must not see how the pointers relate: it
                // would make each of them of the one before, a chain of additions as long as the multiply-adds take.
                let a: [*const f32; R] = std::array::from_fn(|r| black_box(t.a.wrapping_add(r * t.a_row)));
                let (mut offset, mut b) = (0, t.b);
                for _ in 0..t.k {
                    let columns = [_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16))];
                    for r in 0..R {
                        let word = _mm512_set1_ps(*a[r].add(offset));
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

micro_kernel!(tile, rows, "avx512f", multiply_add_f32);
micro_kernel!(tile_bf16, rows_bf16, "avx512f,avx512bf16", multiply_add_bf16);

/// A mask of the first `n` of 16 lanes, of all where there are more.
pub(super) fn lane_mask(n: usize) -> __mmask16 {
    if n >= 16 { !0 } else { (1 << n) - 1 }
}
