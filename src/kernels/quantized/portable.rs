//! The product of a panel and a group of tokens in plain loops: the specification that the vector kernels equal, bit
//! for bit.
//!
//! With q the codes of a row, a those of a token, all over one block (or half of one, where it has two scales):
//!
//! ```text
//! dot = -bias sum(a) + sum(q a)                       exact, in i32
//! sum = dot * (scale of the row * scale of the token) + sum     one rounding: a fused multiply-add
//! sum = offset of the row * (scale * sum(a)) + sum              likewise, for types with offsets
//! ```
//!
//! from the first block to the last. The order does not depend on how many rows, tokens or columns are taken at once.

use super::Place;
use super::activations::{GROUP, Line};
use super::layout::{GROUPS, TILE_ROWS};
use super::panel::{Panel, Shape};

/// What is multiplied in one call: a panel, and the lines of a group of tokens for the panel's blocks.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) shape: Shape,
    /// Bits of the panels' codes.
    pub(super) bits: usize,
    /// Which of a line's starts accumulators begin with.
    pub(super) start: usize,
    /// For each block, one line of each token.
    pub(super) lines: &'a [Line],
    pub(super) n_tokens: usize,
}

/// Products of panels with a group of tokens, over all blocks that `step` has lines for.
///
/// # Safety
/// The panels hold the step's blocks; the place is readable and writable and nobody else's.
pub(super) unsafe fn multiply_panels(step: Step, panels: &[Panel], place: Place) {
    for (p, panel) in panels.iter().enumerate() {
        let n_rows = place.n_rows.saturating_sub(p * TILE_ROWS).min(TILE_ROWS);
        let mut sums = [[0.0; TILE_ROWS]; GROUP];
        // SAFETY: the place is ours, where rows exist.
        let rows = |token: usize| unsafe {
            std::slice::from_raw_parts_mut(place.sums.add(token * place.stride + p * TILE_ROWS), n_rows)
        };
        for (token, sums) in sums[..step.n_tokens].iter_mut().enumerate().filter(|_| place.continues) {
            sums[..n_rows].copy_from_slice(rows(token));
        }
        multiply(step, panel, &mut sums[..step.n_tokens]);
        for (token, sums) in sums[..step.n_tokens].iter().enumerate() {
            rows(token).copy_from_slice(&sums[..n_rows]);
        }
    }
}

/// Adds the products of a panel's rows to `sums`, which has 16 for each token.
fn multiply(step: Step, panel: &Panel, sums: &mut [[f32; TILE_ROWS]]) {
    for (block, lines) in step.lines.chunks_exact(step.n_tokens).enumerate() {
        for (line, sums) in lines.iter().zip(sums.iter_mut()) {
            multiply_block(step, panel, block, line, sums);
        }
    }
}

fn multiply_block(step: Step, panel: &Panel, block: usize, line: &Line, sums: &mut [f32; TILE_ROWS]) {
    let n_parts = if step.shape == Shape::Halves { 2 } else { 1 };
    for part in 0..n_parts {
        let mut dots = [line.starts[step.start + part]; TILE_ROWS];
        for g in part * GROUPS / n_parts..(part + 1) * GROUPS / n_parts {
            let a: [i32; 4] = std::array::from_fn(|i| i32::from(line.codes[4 * g + i]));
            for r in 0..TILE_ROWS {
                let word = panel.codes[block][g][r];
                let q = |i: u32| (word >> (8 * i) & 255) as i32;
                dots[r] += q(0) * a[0] + q(1) * a[1] + q(2) * a[2] + q(3) * a[3];
            }
        }
        for r in 0..TILE_ROWS {
            let scale = panel.scales[block][part][r] * line.scale;
            sums[r] = (dots[r] as f32).mul_add(scale, sums[r]);
        }
    }
    if step.shape == Shape::Offset {
        for r in 0..TILE_ROWS {
            sums[r] = panel.offsets[block][r].mul_add(line.weighted_sum, sums[r]);
        }
    }
}
