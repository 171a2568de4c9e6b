//! AdamW over all tensors of a model: matrices are decayed, vectors are not.

use crate::kernels::adamw::{AdamW, adamw, sum_of_squares};
use crate::kernels::{AlignedBuf, Cpu};
use crate::model::Layout;
use serde::{Deserialize, Serialize};

/// What stays the same over a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OptimizerSettings {
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of squared gradients.
    pub beta2: f32,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f32,
    /// Gradients whose norm over all weights exceeds this are scaled down to it.
    pub max_grad_norm: f64,
}

/// The moments of every weight.
pub struct Optimizer {
    settings: OptimizerSettings,
    /// Mean of gradients.
    pub moment1: AlignedBuf,
    /// Mean of squared gradients.
    pub moment2: AlignedBuf,
}

impl Optimizer {
    /// Fresh moments for `n_weights` weights.
    pub fn new(settings: OptimizerSettings, n_weights: usize) -> Optimizer {
        Optimizer { settings, moment1: AlignedBuf::zeros(n_weights), moment2: AlignedBuf::zeros(n_weights) }
    }

    /// The norm of the mean gradient, when `gradients` is the sum of `n_batches` batches.
    pub fn grad_norm(&self, cpu: &Cpu, gradients: &[f32], n_batches: usize) -> f64 {
        sum_of_squares(cpu, gradients).sqrt() / n_batches as f64
    }

    /// Makes update number `step` (from 1) with rate `lr`; `grad_norm` is what [`Optimizer::grad_norm`] gave.
    pub fn step(
        &mut self,
        cpu: &Cpu,
        layout: &Layout,
        weights: &mut [f32],
        gradients: &[f32],
        (step, lr): (u64, f64),
        (grad_norm, n_batches): (f64, usize),
    ) {
        let clip = (self.settings.max_grad_norm / grad_norm.max(1e-12)).min(1.0);
        for tensor in &layout.tensors {
            let range = tensor.range.clone();
            let update = AdamW {
                lr: lr as f32,
                beta1: self.settings.beta1,
                beta2: self.settings.beta2,
                eps: 1e-8,
                weight_decay: if tensor.is_matrix() { self.settings.weight_decay } else { 0.0 },
                step,
                gradient_scale: (clip / n_batches as f64) as f32,
            };
            let (moment1, moment2) = (&mut self.moment1[range.clone()], &mut self.moment2[range.clone()]);
            adamw(cpu, update, &mut weights[range.clone()], &gradients[range], moment1, moment2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Preset;

    #[test]
    fn only_matrices_are_decayed() {
        let layout = Layout::new(&Preset::Nano.config(64, 16));
        let settings = OptimizerSettings { beta1: 0.9, beta2: 0.95, weight_decay: 0.5, max_grad_norm: 1.0 };
        let mut optimizer = Optimizer::new(settings, layout.n_elements);
        let (mut weights, gradients) = (vec![1.0; layout.n_elements], vec![0.0; layout.n_elements]);
        optimizer.step(&Cpu::new(1), &layout, &mut weights, &gradients, (1, 0.1), (0.0, 1));
        for tensor in &layout.tensors {
            let wanted = if tensor.is_matrix() { 0.95 } else { 1.0 };
            assert!(weights[tensor.range.clone()].iter().all(|&w| (w - wanted).abs() < 1e-6), "{}", tensor.name);
        }
    }
}
