//! The AdamW update (Loshchilov and Hutter, arXiv 1711.05101) of one tensor, and the norm that clips gradients.

use super::cpu::{Cpu, for_each_isa};
use super::math::sum;
use super::shared::SharedSlice;

/// Elements a task handles: 64 KB each of weight, gradient and two moments. Part of the result of [`sum_of_squares`].
const PIECE: usize = 16_384;

/// What an update needs besides the tensors.
#[derive(Debug, Clone, Copy)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f32,
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of squared gradients.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay: the weight shrinks by `lr * weight_decay` of itself.
    pub weight_decay: f32,
    /// Updates made so far, this one included (1 for the first): for the bias correction.
    pub step: u64,
    /// Factor on the gradient: clipping, and the mean over accumulated batches.
    pub gradient_scale: f32,
}

/// The same, with the bias corrections worked out.
#[derive(Clone, Copy)]
struct Update {
    beta1: f32,
    beta2: f32,
    eps: f32,
    gradient_scale: f32,
    step_size: f32,
    inverse_correction2: f32,
    keep: f32,
}

/// Updates `weight` and both moments from `gradient`; all have one shape.
pub fn adamw(cpu: &Cpu, s: AdamW, weight: &mut [f32], gradient: &[f32], moment1: &mut [f32], moment2: &mut [f32]) {
    let n = weight.len();
    assert!(
        gradient.len() == n && moment1.len() == n && moment2.len() == n,
        "weight, gradient and moments of one shape"
    );
    let correction = |beta: f32| 1.0 - (beta as f64).powf(s.step as f64);
    let update = Update {
        beta1: s.beta1,
        beta2: s.beta2,
        eps: s.eps,
        gradient_scale: s.gradient_scale,
        step_size: (s.lr as f64 / correction(s.beta1)) as f32,
        inverse_correction2: (1.0 / correction(s.beta2)) as f32,
        keep: 1.0 - s.lr * s.weight_decay,
    };
    let (weight, moment1, moment2) = (SharedSlice::new(weight), SharedSlice::new(moment1), SharedSlice::new(moment2));
    let isa = cpu.isa;
    cpu.pool.for_pieces(n, PIECE, |_, range| {
        // SAFETY: tasks have disjoint ranges.
        let (w, m, v) =
            unsafe { (weight.range(range.clone()), moment1.range(range.clone()), moment2.range(range.clone())) };
        piece(isa, update, w, &gradient[range], m, v);
    });
}

for_each_isa! {
    fn piece(u: Update, weight: &mut [f32], gradient: &[f32], moment1: &mut [f32], moment2: &mut [f32]) {
        let n = weight.len();
        let (gradient, moment1, moment2) = (&gradient[..n], &mut moment1[..n], &mut moment2[..n]);
        for i in 0..n {
            let g = gradient[i] * u.gradient_scale;
            let m = u.beta1 * moment1[i] + (1.0 - u.beta1) * g;
            let v = u.beta2 * moment2[i] + (1.0 - u.beta2) * g * g;
            moment1[i] = m;
            moment2[i] = v;
            weight[i] = weight[i] * u.keep - u.step_size * m / ((v * u.inverse_correction2).sqrt() + u.eps);
        }
    }
}

/// The sum of squares of `x`, in an order that no number of threads changes.
pub fn sum_of_squares(cpu: &Cpu, x: &[f32]) -> f64 {
    let mut partials = cpu.partials.borrow_mut();
    let partials = partials.at_least(x.len().div_ceil(PIECE));
    {
        let (shared, isa) = (SharedSlice::new(partials), cpu.isa);
        cpu.pool.for_pieces(x.len(), PIECE, |task, range| {
            // SAFETY: each task has its own partial sum.
            let partial = unsafe { shared.range(task..task + 1) };
            partial[0] = squares(isa, &x[range]);
        });
    }
    partials.iter().map(|&p| p as f64).sum()
}

for_each_isa! {
    fn squares(x: &[f32]) -> f32 {
        sum([x], |[x]| x * x)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Isa;
    use super::super::gradient_check::noise;
    use super::*;

    /// The formulas of the paper's algorithm 2, in double precision.
    fn specification(s: &AdamW, w: f64, g: f64, m: f64, v: f64) -> [f64; 3] {
        let (b1, b2, lr) = (s.beta1 as f64, s.beta2 as f64, s.lr as f64);
        let g = g * s.gradient_scale as f64;
        let (m, v) = (b1 * m + (1.0 - b1) * g, b2 * v + (1.0 - b2) * g * g);
        let m_hat = m / (1.0 - b1.powi(s.step as i32));
        let v_hat = v / (1.0 - b2.powi(s.step as i32));
        [w - lr * (m_hat / (v_hat.sqrt() + s.eps as f64) + s.weight_decay as f64 * w), m, v]
    }

    #[test]
    fn equals_the_paper_on_every_instruction_set() {
        let s = AdamW { lr: 0.01, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, step: 3, gradient_scale: 0.7 };
        for isa in Isa::all() {
            for n in [1, 17, 40_000] {
                let (w, g, m) = (noise(n, 1), noise(n, 2), noise(n, 3));
                let v: Vec<f32> = noise(n, 4).iter().map(|x| x * x).collect();
                let (mut w2, mut m2, mut v2) = (w.clone(), m.clone(), v.clone());
                adamw(&Cpu::with_isa(2, isa), s, &mut w2, &g, &mut m2, &mut v2);
                for i in 0..n {
                    let wanted = specification(&s, w[i] as f64, g[i] as f64, m[i] as f64, v[i] as f64);
                    for (found, wanted) in [w2[i], m2[i], v2[i]].iter().zip(wanted) {
                        assert!(
                            (*found as f64 - wanted).abs() < 1e-5 * (1.0 + wanted.abs()),
                            "{} element {i} of {n}",
                            isa.name()
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_norm_does_not_depend_on_threads() {
        let x = noise(100_001, 1);
        let one = sum_of_squares(&Cpu::new(1), &x);
        assert_eq!(one.to_bits(), sum_of_squares(&Cpu::new(3), &x).to_bits());
        let wanted: f64 = x.iter().map(|&v| (v as f64).powi(2)).sum();
        assert!((one / wanted - 1.0).abs() < 1e-6);
    }
}
