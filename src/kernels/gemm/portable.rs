//! The micro-kernel for any CPU: up to 4 rows by 32 columns in arrays that the compiler keeps in what registers it has.
//!
//! Multiply and add are separate operations here: a fused one would be a slow library call where the CPU has none.

use super::{PANEL, Tile};

/// Rows of a full tile.
pub(super) const ROWS: usize = 4;

/// Computes one tile, row by row and 8 columns at a time.
///
/// # Safety
/// As for [`super::tile`].
pub(super) unsafe fn tile(t: Tile) {
    const LANES: usize = 8;
    for row in 0..t.n_rows {
        for first in (0..t.n_cols).step_by(LANES) {
            debug_assert!(first + LANES <= PANEL);
            let n_cols = LANES.min(t.n_cols - first);
            let at = row * t.c_row + first;
            let mut acc = [0.0f32; LANES];
            // SAFETY: the caller's promise covers A over n_rows x k, B over k full panel rows, and `n_cols` columns of
            // C and start from `first`.
            unsafe {
                if !t.start.is_null() {
                    std::ptr::copy_nonoverlapping(t.start.add(at), acc.as_mut_ptr(), n_cols);
                }
                for l in 0..t.k {
                    let element = *t.a.add(row * t.a_row + l * t.a_col);
                    let columns = &*t.b.add(l * t.b_row + first).cast::<[f32; LANES]>();
                    for (acc, column) in acc.iter_mut().zip(columns) {
                        *acc += element * column;
                    }
                }
                std::ptr::copy_nonoverlapping(acc.as_ptr(), t.c.add(at), n_cols);
            }
        }
    }
}
