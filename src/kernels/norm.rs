//! RMSNorm over rows, forward and backward (Zhang and Sennrich, arXiv 1910.07467).
//!
//! y = x * r * w with r = 1 / sqrt(mean(x^2) + eps). Its gradient: with g = dy * w and x' = x * r,
//! dx = r * (g - x' * mean(g * x')) and dw = sum over rows of dy * x'.

use super::cpu::{Cpu, Isa, for_each_isa};
use super::element::{Element, write_floats};
use super::math::sum;
use super::shared::SharedSlice;

/// Floats of a few rows: 8 KB, which stay in the L1 cache.
const ROW_WORDS: usize = 2048;

/// Rows a task handles; also the size of the pieces over which weight gradients are summed, so it is part of the result.
pub(super) const ROWS_PER_TASK: usize = 64;

/// y (N, C) = RMSNorm of x (N, C).
pub fn rms_norm<E: Element>(cpu: &Cpu, x: &[f32], weight: &[f32], eps: f32, y: &mut [E]) {
    let c = weight.len();
    assert_eq!(x.len(), y.len(), "input and output have one shape");
    let (y, isa) = (SharedSlice::new(y), cpu.isa);
    cpu.pool.for_pieces(x.len() / c, ROWS_PER_TASK, |_, rows| {
        let range = rows.start * c..rows.end * c;
        // SAFETY: tasks have disjoint rows.
        rms_norm_rows(isa, &x[range.clone()], weight, eps, unsafe { y.range(range) });
    });
}

/// Adds the gradients of [`rms_norm`]: `dx` += through the norm, `d_weight` +=.
pub fn rms_norm_backward(
    cpu: &Cpu,
    x: &[f32],
    weight: &[f32],
    eps: f32,
    dy: &[f32],
    dx: &mut [f32],
    d_weight: &mut [f32],
) {
    let c = weight.len();
    assert!(x.len() == dy.len() && x.len() == dx.len(), "input and gradients have one shape");
    let n_rows = x.len() / c;
    let mut partials = cpu.partials.borrow_mut();
    let partials = partials.at_least(n_rows.div_ceil(ROWS_PER_TASK) * c);
    partials.fill(0.0);
    {
        let (dx, partials) = (SharedSlice::new(dx), SharedSlice::new(partials));
        let isa = cpu.isa;
        cpu.pool.for_pieces(n_rows, ROWS_PER_TASK, |task, rows| {
            let range = rows.start * c..rows.end * c;
            // SAFETY: tasks have disjoint rows, and each its own partial sum.
            let (dx, partial) = unsafe { (dx.range(range.clone()), partials.range(task * c..(task + 1) * c)) };
            rows_backward(isa, &x[range.clone()], weight, eps, &dy[range], dx, partial);
        });
    }
    add_partials(partials, d_weight);
}

/// Adds partial sums in the order of their pieces, which no number of threads changes.
pub(super) fn add_partials(partials: &[f32], total: &mut [f32]) {
    for partial in partials.chunks_exact(total.len()) {
        for (t, p) in total.iter_mut().zip(partial) {
            *t += p;
        }
    }
}

/// [`rms_norm`] of some rows on the calling thread.
pub fn rms_norm_rows<E: Element>(isa: Isa, x: &[f32], weight: &[f32], eps: f32, y: &mut [E]) {
    // As many rows at once as scratch should hold, if they go by way of it.
    let rows = (ROW_WORDS / weight.len()).max(1) * weight.len();
    for (x, y) in x.chunks(rows).zip(y.chunks_mut(rows)) {
        write_floats(isa, y, |y| rows_forward(isa, x, weight, eps, y));
    }
}

for_each_isa! {
    fn rows_forward(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
        let c = weight.len();
        for (x, y) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)) {
            let scale = inverse_rms(x, eps);
            for i in 0..c {
                y[i] = x[i] * scale * weight[i];
            }
        }
    }
}

for_each_isa! {
    /// y = RMSNorm of a single row x, with the bits of [`rms_norm`].
    pub(super) fn rms_norm_row(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
        let scale = inverse_rms(x, eps);
        for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
            *y = x * scale * weight;
        }
    }
}

for_each_isa! {
    /// y = LayerNorm of a single row x (Ba, Kiros and Hinton, arXiv 1607.06450).
    pub(super) fn layer_norm_row(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, y: &mut [f32]) {
        let n = x.len() as f32;
        let mean = sum([x], |[x]| x) / n;
        let scale = 1.0 / (sum([x], |[x]| (x - mean) * (x - mean)) / n + eps).sqrt();
        for (((y, x), weight), bias) in y.iter_mut().zip(x).zip(weight).zip(bias) {
            *y = (x - mean) * scale * weight + bias;
        }
    }
}

for_each_isa! {
    fn rows_backward(x: &[f32], weight: &[f32], eps: f32, dy: &[f32], dx: &mut [f32], d_weight: &mut [f32]) {
        let c = weight.len();
        for ((x, dy), dx) in x.chunks_exact(c).zip(dy.chunks_exact(c)).zip(dx.chunks_exact_mut(c)) {
            row_backward(x, weight, eps, dy, dx, d_weight, true);
        }
    }
}

/// 1 / sqrt(mean(x^2) + eps) of one row.
#[inline(always)]
pub(super) fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (sum([x], |[x]| x * x) / x.len() as f32 + eps).sqrt()
}

/// The gradients of one row: `dx` is added to or overwritten, `d_weight` is added to.
#[inline(always)]
pub(super) fn row_backward(
    x: &[f32],
    weight: &[f32],
    eps: f32,
    dy: &[f32],
    dx: &mut [f32],
    d_weight: &mut [f32],
    accumulate: bool,
) {
    let c = weight.len();
    let (x, dy, dx, d_weight) = (&x[..c], &dy[..c], &mut dx[..c], &mut d_weight[..c]);
    let scale = inverse_rms(x, eps);
    let mean = sum([dy, weight, x], |[dy, w, x]| dy * w * x) * scale / c as f32;
    for i in 0..c {
        let normed = x[i] * scale;
        d_weight[i] += dy[i] * normed;
        let gradient = scale * (dy[i] * weight[i] - normed * mean);
        dx[i] = if accumulate { dx[i] + gradient } else { gradient };
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{check, noise};
    use super::super::{Isa, scalar};
    use super::*;

    #[test]
    fn equals_the_specification_on_every_instruction_set() {
        for isa in Isa::all() {
            let cpu = Cpu::with_isa(2, isa);
            for c in [1, 2, 15, 16, 17, 33, 256] {
                let (x, weight) = (noise(130 * c, 1), noise(c, 2));
                let mut y = vec![0.0; x.len()];
                rms_norm(&cpu, &x, &weight, 1e-6, &mut y);
                for (x, y) in x.chunks(c).zip(y.chunks(c)) {
                    for (found, wanted) in y.iter().zip(scalar::rms_norm(x, &weight, 1e-6)) {
                        assert!((found - wanted).abs() < 1e-5 * (1.0 + wanted.abs()), "{} width {c}", isa.name());
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let (c, n) = (12, 70);
        let cpu = Cpu::new(2);
        let (x, weight, dy) = (noise(n * c, 1), noise(c, 2), noise(n * c, 3));
        let (mut dx, mut dw) = (vec![0.0; n * c], vec![0.0; c]);
        rms_norm_backward(&cpu, &x, &weight, 1e-6, &dy, &mut dx, &mut dw);
        let forward = |x: &[f32], w: &[f32]| {
            let mut y = vec![0.0; n * c];
            rms_norm(&cpu, x, w, 1e-6, &mut y);
            y
        };
        check("x", &x, &dx, &dy, |x| forward(x, &weight));
        check("weight", &weight, &dw, &dy, |w| forward(&x, w));
    }
}
