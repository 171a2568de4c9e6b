//! The micro-kernel for AVX-512: up to 14 rows by 32 columns.
//!
//! 14 x 2 accumulators, two vectors of B and one broadcast element of A fill 31 of the 32 registers. Per inner step it
//! issues 28 multiply-adds and 16 loads, so two multiply-add ports are never starved by two load ports.

use super::Tile;
use std::arch::x86_64::*;

/// Rows of a full tile.
pub(super) const ROWS: usize = 14;

/// Computes one tile.
///
/// # Safety
/// As for [`super::tile`]; the CPU has AVX-512 F.
#[target_feature(enable = "avx512f")]
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
    by_rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14)
}

/// # Safety
/// As for [`tile`], with `t.n_rows == R`.
#[target_feature(enable = "avx512f")]
unsafe fn rows<const R: usize>(t: Tile) {
    let left = lane_mask(t.n_cols);
    let right = lane_mask(t.n_cols.saturating_sub(16));
    let mut acc = [[_mm512_setzero_ps(); 2]; R];
    // SAFETY: the caller's promise covers A over R x k, B over k full panels rows, and the masked part of C and start.
    unsafe {
        if !t.start.is_null() {
            for r in 0..R {
                let start = t.start.add(r * t.c_row);
                acc[r] = [_mm512_maskz_loadu_ps(left, start), _mm512_maskz_loadu_ps(right, start.wrapping_add(16))];
            }
        }
        let (mut a, mut b) = (t.a, t.b);
        for _ in 0..t.k {
            let columns = [_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16))];
            for r in 0..R {
                let element = _mm512_set1_ps(*a.add(r * t.a_row));
                acc[r][0] = _mm512_fmadd_ps(element, columns[0], acc[r][0]);
                acc[r][1] = _mm512_fmadd_ps(element, columns[1], acc[r][1]);
            }
            a = a.wrapping_add(t.a_col);
            b = b.wrapping_add(t.b_row);
        }
        for r in 0..R {
            let c = t.c.add(r * t.c_row);
            _mm512_mask_storeu_ps(c, left, acc[r][0]);
            _mm512_mask_storeu_ps(c.wrapping_add(16), right, acc[r][1]);
        }
    }
}

fn lane_mask(n: usize) -> __mmask16 {
    if n >= 16 { !0 } else { (1 << n) - 1 }
}
