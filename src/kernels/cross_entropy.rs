//! Softmax and cross-entropy over rows of logits, forward and backward in one pass.

use super::cpu::{Cpu, for_each_isa};
use super::math::{exp, max, sum};
use super::shared::SharedSlice;

/// A target that is not counted: the padding of a last, shorter window.
pub const IGNORED: u32 = u32::MAX;

/// For each row of `logits` (N, V): writes the cross-entropy against its target in nats to `nats` (0 where the target is
/// [`IGNORED`]) and turns the row into the gradient of `scale` times that: (softmax - one-hot) * scale.
pub fn cross_entropy(cpu: &Cpu, logits: &mut [f32], targets: &[u32], scale: f32, nats: &mut [f32]) {
    assert_eq!(targets.len(), nats.len(), "a target for every row");
    let v = logits.len() / targets.len().max(1);
    let (logits, nats, isa) = (SharedSlice::new(logits), SharedSlice::new(nats), cpu.isa);
    cpu.pool.for_pieces(targets.len(), 8, |_, rows| {
        for row in rows {
            // SAFETY: tasks have disjoint rows.
            let (logits, nats) = unsafe { (logits.range(row * v..(row + 1) * v), nats.range(row..row + 1)) };
            nats[0] = one_row(isa, logits, targets[row], scale);
        }
    });
}

for_each_isa! {
    /// The cross-entropy of one row against its target in nats.
    pub fn nats_of(logits: &[f32], target: u32) -> f32 {
        let max = max(logits);
        sum([logits], |[logit]| exp(logit - max)).ln() - (logits[target as usize] - max)
    }
}

for_each_isa! {
    fn one_row(logits: &mut [f32], target: u32, scale: f32) -> f32 {
        if target == IGNORED {
            logits.fill(0.0);
            return 0.0;
        }
        let target = target as usize;
        let max = max(logits);
        let wanted = logits[target] - max;
        for logit in logits.iter_mut() {
            *logit = exp(*logit - max);
        }
        let total = sum([logits], |[p]| p);
        let factor = scale / total;
        for logit in logits.iter_mut() {
            *logit *= factor;
        }
        logits[target] -= scale;
        total.ln() - wanted
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
            for v in [1, 2, 16, 17, 1000] {
                let logits: Vec<f32> = noise(v * 3, 1).iter().map(|x| x * 5.0).collect();
                let targets = [0, (v - 1) as u32, (v / 2) as u32];
                let (mut work, mut nats) = (logits.clone(), [0.0; 3]);
                cross_entropy(&Cpu::with_isa(2, isa), &mut work, &targets, 1.0, &mut nats);
                for row in 0..3 {
                    let wanted = scalar::cross_entropy(&logits[row * v..(row + 1) * v], targets[row] as usize);
                    assert!((nats[row] as f64 - wanted).abs() < 1e-5 * (1.0 + wanted), "{} {v} logits", isa.name());
                }
            }
        }
    }

    #[test]
    fn the_gradient_agrees_with_finite_differences_and_ignored_rows_have_none() {
        let cpu = Cpu::new(1);
        let (logits, v, targets) = (noise(3 * 20, 1), 20, [3, IGNORED, 19]);
        let run = |logits: &[f32], scale: f32| {
            let (mut work, mut nats) = (logits.to_vec(), vec![0.0; 3]);
            cross_entropy(&cpu, &mut work, &targets, scale, &mut nats);
            (work, nats)
        };
        let (gradient, nats) = run(&logits, 0.5);
        assert_eq!(nats[1], 0.0);
        assert!(gradient[v..2 * v].iter().all(|&g| g == 0.0));
        check("logits", &logits, &gradient, &[0.5; 3], |x| run(x, 1.0).1);
    }
}
