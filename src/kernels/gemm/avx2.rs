//! The micro-kernel for AVX2: up to 6 rows by 32 columns, as two halves of 6 x 16.
//!
//! 6 x 2 accumulators, two vectors of B and one broadcast element of A fill 15 of the 16 registers.

use super::{PANEL, Tile};
use std::arch::x86_64::*;

/// Rows of a full tile.
pub(super) const ROWS: usize = 6;

/// Computes one tile.
///
/// # Safety
/// As for [`super::tile`]; the CPU has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn tile(t: Tile) {
    macro_rules! by_rows {
        ($($rows:literal)*) => {
            match t.n_rows {
                // SAFETY: passed on from the caller; R is the tile's number of rows.
                $($rows => unsafe { rows::<$rows>(t) },)*
                0 => {}
                n => unreachable!("a tile of {n} rows"),
            }
        };
    }
    by_rows!(1 2 3 4 5 6)
}

/// # Safety
/// As for [`tile`], with `t.n_rows == R`.
#[target_feature(enable = "avx2,fma")]
unsafe fn rows<const R: usize>(t: Tile) {
    for half in (0..t.n_cols).step_by(16) {
        // SAFETY: `half` is a column of the tile; the rest is passed on from the caller.
        unsafe { half_panel::<R>(t, half, (t.n_cols - half).min(16)) };
    }
}

/// # Safety
/// As for [`rows`], for the `n_cols` columns from `first`.
#[target_feature(enable = "avx2,fma")]
unsafe fn half_panel<const R: usize>(t: Tile, first: usize, n_cols: usize) {
    debug_assert!(first + n_cols <= PANEL);
    let mut acc = [[_mm256_setzero_ps(); 2]; R];
    // SAFETY: the caller's promise covers A over R x k, B over k full panel rows, and `n_cols` columns of C and start;
    // partial columns go through a buffer of 16 on the stack.
    unsafe {
        if !t.start.is_null() {
            for r in 0..R {
                let mut row = [0.0f32; 16];
                std::ptr::copy_nonoverlapping(t.start.add(r * t.c_row + first), row.as_mut_ptr(), n_cols);
                acc[r] = [_mm256_loadu_ps(row.as_ptr()), _mm256_loadu_ps(row.as_ptr().add(8))];
            }
        }
        let (mut a, mut b) = (t.a, t.b.add(first));
        for _ in 0..t.k {
            let columns = [_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8))];
            for r in 0..R {
                let element = _mm256_broadcast_ss(&*a.add(r * t.a_row));
                acc[r][0] = _mm256_fmadd_ps(element, columns[0], acc[r][0]);
                acc[r][1] = _mm256_fmadd_ps(element, columns[1], acc[r][1]);
            }
            a = a.wrapping_add(t.a_col);
            b = b.wrapping_add(t.b_row);
        }
        for r in 0..R {
            let mut row = [0.0f32; 16];
            _mm256_storeu_ps(row.as_mut_ptr(), acc[r][0]);
            _mm256_storeu_ps(row.as_mut_ptr().add(8), acc[r][1]);
            std::ptr::copy_nonoverlapping(row.as_ptr(), t.c.add(r * t.c_row + first), n_cols);
        }
    }
}
