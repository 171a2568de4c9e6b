//! Products of weights that are floats (F32, F16, BF16) with activations in f32, and what they compute:
//!
//! ```text
//! tile     | column 0: 16 rows | column 1: 16 rows | ...
//! sum = weight * activation + sum     one rounding: a fused multiply-add, from the first column to the last
//! ```
//!
//! Weights are widened, which is exact. A batch widens 128 columns of two tiles at a time, 16 KB, for all its tokens.

use super::Place;
use super::activations::GROUP;
use super::layout::{TILE_ROWS, WORD, WeightType};
use crate::kernels::cpu::Isa;
use half::{bf16, f16};
use std::ops::Range;

/// Columns of a panel.
pub(super) const PANEL_COLUMNS: usize = 128;

/// A stretch of a tile in f32: 16 rows of each column.
#[repr(C, align(64))]
pub(super) struct FloatPanel(pub(super) [[f32; TILE_ROWS]; PANEL_COLUMNS]);

impl FloatPanel {
    pub(super) const ZERO: FloatPanel = FloatPanel([[0.0; TILE_ROWS]; PANEL_COLUMNS]);
}

/// Bytes of a float of `kind`.
pub(super) fn size(kind: WeightType) -> usize {
    kind.file_block().1
}

/// Bytes of a tile of `n_columns`.
pub(super) fn tile_bytes(kind: WeightType, n_columns: usize) -> usize {
    (size(kind) * TILE_ROWS * n_columns).next_multiple_of(WORD)
}

/// A float of `kind`, of which `bytes` has the bytes of a file: little-endian.
pub(super) fn widen(kind: WeightType, bytes: &[u8]) -> f32 {
    match kind {
        WeightType::F16 => f16::from_le_bytes([bytes[0], bytes[1]]).to_f32(),
        WeightType::BF16 => bf16::from_le_bytes([bytes[0], bytes[1]]).to_f32(),
        WeightType::F32 => f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
        _ => unreachable!("{kind:?} is no float"),
    }
}

/// What is multiplied in one call: the columns of a panel, and those of a group of tokens.
#[derive(Clone, Copy)]
pub(super) struct FloatStep<'a> {
    /// All columns of the group's tokens.
    pub(super) x: &'a [f32],
    pub(super) n_tokens: usize,
    /// Columns in the panel.
    pub(super) columns: &'a Range<usize>,
}

impl<'a> FloatStep<'a> {
    /// The panel's columns of token `n`.
    pub(super) fn token(&self, n: usize) -> &'a [f32] {
        let n_columns = self.x.len() / self.n_tokens;
        &self.x[n * n_columns..(n + 1) * n_columns][self.columns.clone()]
    }
}

/// Products of one or two tiles with all tokens of `x`, which go to `place`.
///
/// # Safety
/// The place has room for all tokens and the rows that exist, and is nobody else's.
pub(super) unsafe fn multiply(
    isa: Isa,
    kind: WeightType,
    tiles: &[u8],
    n_columns: usize,
    x: &[f32],
    panels: &mut [FloatPanel],
    place: Place,
) {
    for first in (0..n_columns).step_by(PANEL_COLUMNS) {
        let columns = first..(first + PANEL_COLUMNS).min(n_columns);
        for (tile, panel) in tiles.chunks_exact(tile_bytes(kind, n_columns)).zip(panels.iter_mut()) {
            let bytes = &tile[size(kind) * TILE_ROWS * columns.start..size(kind) * TILE_ROWS * columns.end];
            for (to, from) in panel.0.as_flattened_mut().iter_mut().zip(bytes.chunks_exact(size(kind))) {
                *to = widen(kind, from);
            }
        }
        for (group, x) in x.chunks(GROUP * n_columns).enumerate() {
            let step = FloatStep { x, n_tokens: x.len() / n_columns, columns: &columns };
            let sums = place.sums.wrapping_add(group * GROUP * place.stride);
            let place = Place { sums, continues: first > 0, ..place };
            // SAFETY: these tokens are within the place.
            unsafe { multiply_panels(isa, step, panels, place) };
        }
    }
}

/// # Safety
/// The place is readable and writable for the step's tokens, and nobody else's.
unsafe fn multiply_panels(isa: Isa, step: FloatStep, panels: &[FloatPanel], place: Place) {
    match isa {
        // SAFETY: the token proves the instruction set; the rest is passed on from the caller.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) => unsafe { super::floats_avx512::multiply(step, panels, place) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(_) => unsafe { avx2(step, panels, place) },
        // SAFETY: passed on from the caller.
        _ => unsafe { plain(step, panels, place) },
    }
}

/// [`plain`] compiled for AVX2.
///
/// # Safety
/// As for [`multiply_panels`]; the CPU has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(step: FloatStep, panels: &[FloatPanel], place: Place) {
    // SAFETY: passed on from the caller.
    unsafe { plain(step, panels, place) }
}

/// The specification.
///
/// # Safety
/// As for [`multiply_panels`].
#[inline(always)]
unsafe fn plain(step: FloatStep, panels: &[FloatPanel], place: Place) {
    for (p, panel) in panels.iter().enumerate() {
        let n_rows = place.n_rows.saturating_sub(p * TILE_ROWS).min(TILE_ROWS);
        for token in 0..step.n_tokens {
            // SAFETY: the place is ours, where rows exist.
            let out =
                unsafe { std::slice::from_raw_parts_mut(place.sums.add(token * place.stride + p * TILE_ROWS), n_rows) };
            let mut sums = [0.0f32; TILE_ROWS];
            if place.continues {
                sums[..n_rows].copy_from_slice(out);
            }
            for (w, &x) in panel.0.iter().zip(step.token(token)) {
                for r in 0..TILE_ROWS {
                    sums[r] = w[r].mul_add(x, sums[r]);
                }
            }
            out.copy_from_slice(&sums[..n_rows]);
        }
    }
}
