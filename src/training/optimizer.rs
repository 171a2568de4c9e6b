//! The update of all tensors of a model: Muon for the matrices inside the blocks, AdamW for embedding, head and norms.
//!
//! Decay groups: matrices are decayed, vectors are not. Where Muon is off, AdamW updates everything.

use super::network::{Batch, Network};
use super::profile::{Part, Profile};
use crate::kernels::adamw::{AdamW, adamw, sum_of_squares};
use crate::kernels::gemm::Precision;
use crate::kernels::muon::{self, MatrixPlace, Muon};
use crate::kernels::{AlignedBuf, Cpu};
use crate::model::{Layout, TensorSpec};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// What stays the same over a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OptimizerSettings {
    /// AdamW's decay of the mean of gradients.
    pub beta1: f32,
    /// AdamW's decay of the mean of squared gradients.
    pub beta2: f32,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f32,
    /// Gradients whose norm over all weights exceeds this are scaled down to it.
    pub max_grad_norm: f64,
    /// Rate of embedding and head, as a multiple of the learning rate.
    #[serde(default = "one")]
    pub embed_lr_factor: f64,
    /// Muon's constants, if it updates the blocks' matrices.
    pub muon: Option<MuonSettings>,
}

/// Muon's constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MuonSettings {
    /// Its learning rate, as a multiple of AdamW's.
    pub lr_factor: f64,
    /// Decay of the mean of gradients.
    pub momentum: f32,
    /// Decay of each row's mean square.
    pub beta2: f32,
    /// Whether each row is divided by the root of its mean square (NorMuon).
    #[serde(default = "yes")]
    pub normalises_rows: bool,
    /// Whether a weight decays only where that does not work against its update.
    #[serde(default = "yes")]
    pub is_cautious: bool,
}

impl OptimizerSettings {
    /// Rejects constants with which no run can be made; each error names the value and its limits.
    pub fn validate(&self) -> Result<()> {
        let OptimizerSettings { beta1, beta2, weight_decay, max_grad_norm, embed_lr_factor, .. } = *self;
        ensure!((0.0..1.0).contains(&beta1), "beta1 is {beta1}, but must be at least 0 and below 1");
        ensure!(beta2 > 0.0 && beta2 < 1.0, "beta2 is {beta2}, but must be above 0 and below 1");
        ensure!((0.0..=10.0).contains(&weight_decay), "weight-decay is {weight_decay}, but must be between 0 and 10");
        ensure!(
            max_grad_norm > 0.0 && max_grad_norm.is_finite(),
            "max-grad-norm is {max_grad_norm}, but must be above 0"
        );
        ensure!(
            embed_lr_factor > 0.0 && embed_lr_factor <= 100.0,
            "embed-lr is {embed_lr_factor}, but must be above 0 and at most 100"
        );
        if let Some(MuonSettings { lr_factor, momentum, .. }) = self.muon {
            ensure!(
                lr_factor > 0.0 && lr_factor <= 100.0,
                "muon-factor is {lr_factor}, but must be above 0 and at most 100"
            );
            ensure!((0.0..1.0).contains(&momentum), "momentum is {momentum}, but must be at least 0 and below 1");
        }
        Ok(())
    }
}

impl Default for OptimizerSettings {
    /// AdamW throughout, as is customary for GPTs.
    fn default() -> OptimizerSettings {
        OptimizerSettings {
            beta1: 0.9,
            beta2: 0.95,
            weight_decay: 0.1,
            max_grad_norm: 1.0,
            embed_lr_factor: 1.0,
            muon: None,
        }
    }
}

impl Default for MuonSettings {
    fn default() -> MuonSettings {
        MuonSettings { lr_factor: 1.0, momentum: 0.95, beta2: 0.95, normalises_rows: true, is_cautious: false }
    }
}

/// What runs had before `embed_lr_factor` was recorded.
fn one() -> f64 {
    1.0
}

/// What runs did before Muon's parts could be switched off.
fn yes() -> bool {
    true
}

/// The moments of every weight.
pub struct Optimizer {
    settings: OptimizerSettings,
    /// What Muon's products multiply.
    precision: Precision,
    /// Tensors that AdamW updates, and the factors on their rates.
    by_adamw: Vec<(TensorSpec, f64)>,
    /// Matrices that Muon updates.
    by_muon: Vec<MatrixPlace>,
    /// Mean of gradients.
    pub moment1: AlignedBuf,
    /// Mean of squared gradients; for a matrix of Muon's, its first elements are the mean squares of its rows.
    pub moment2: AlignedBuf,
}

impl Optimizer {
    /// Fresh moments for the tensors of `layout`.
    pub fn new(settings: OptimizerSettings, layout: &Layout) -> Optimizer {
        let is_embedding = |t: &TensorSpec| t.range == layout.embed || t.range == layout.head;
        let is_for_muon = |t: &TensorSpec| settings.muon.is_some() && t.is_matrix() && !is_embedding(t);
        let (matrices, by_adamw): (Vec<TensorSpec>, Vec<_>) = layout.tensors.iter().cloned().partition(is_for_muon);
        let factor = |t: &TensorSpec| if is_embedding(t) { settings.embed_lr_factor } else { 1.0 };
        let with_factor = |t: TensorSpec| (t.clone(), factor(&t));
        Optimizer {
            settings,
            precision: Precision::F32,
            by_adamw: by_adamw.into_iter().map(with_factor).collect(),
            by_muon: matrices.into_iter().map(|t| MatrixPlace { n_rows: t.shape[0], range: t.range }).collect(),
            moment1: AlignedBuf::zeros(layout.n_elements),
            moment2: AlignedBuf::zeros(layout.n_elements),
        }
    }

    /// The same, with Muon's products in `precision`.
    pub fn with_precision(self, precision: Precision) -> Optimizer {
        Optimizer { precision, ..self }
    }

    /// The norm of the mean gradient, when `gradients` is the sum of `n_batches` batches.
    pub fn grad_norm(&self, cpu: &Cpu, gradients: &[f32], n_batches: usize) -> f64 {
        sum_of_squares(cpu, gradients).sqrt() / n_batches as f64
    }

    /// Learns from one batch: gradients, their norm, and update number `step` (from 1) with rate `lr`.
    pub fn learn(&mut self, cpu: &Cpu, network: &mut Network, batch: Batch, (step, lr): (u64, f64)) {
        network.clear_gradients(cpu);
        network.loss_and_gradients(cpu, batch);
        let norm = self.grad_norm(cpu, &network.gradients, 1);
        self.step(cpu, network.parts(), (step, lr), (norm, 1));
    }

    /// Makes update number `step` (from 1) of the weights with rate `lr`, and leaves nothing of use in the gradients;
    /// `grad_norm` is what [`Optimizer::grad_norm`] gave.
    pub fn step(
        &mut self,
        cpu: &Cpu,
        (weights, gradients, profile): (&mut [f32], &mut [f32], &Profile),
        (step, lr): (u64, f64),
        (grad_norm, n_batches): (f64, usize),
    ) {
        let s = &self.settings;
        let clip = (s.max_grad_norm / grad_norm.max(1e-12)).min(1.0);
        let gradient_scale = (clip / n_batches as f64) as f32;
        if let Some(m) = s.muon {
            let update = Muon {
                lr: (lr * m.lr_factor) as f32,
                momentum: m.momentum,
                beta2: m.beta2,
                normalises_rows: m.normalises_rows,
                weight_decay: s.weight_decay,
                is_cautious: m.is_cautious,
                step,
                gradient_scale,
            };
            muon::momentum(cpu, update, &self.by_muon, gradients, &mut self.moment1);
            profile.lap(Part::Optimizer);
            muon::orthogonalise(cpu, self.precision, &self.by_muon, gradients);
            profile.lap(Part::Muon);
            muon::apply(cpu, update, &self.by_muon, weights, gradients, &mut self.moment2);
        }
        for (tensor, lr_factor) in &self.by_adamw {
            let range = tensor.range.clone();
            let update = AdamW {
                lr: (lr * lr_factor) as f32,
                beta1: s.beta1,
                beta2: s.beta2,
                eps: 1e-8,
                weight_decay: if tensor.is_matrix() { s.weight_decay } else { 0.0 },
                step,
                gradient_scale,
            };
            let (moment1, moment2) = (&mut self.moment1[range.clone()], &mut self.moment2[range.clone()]);
            adamw(cpu, update, &mut weights[range.clone()], &gradients[range], moment1, moment2);
        }
        profile.lap(Part::Optimizer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Preset;

    fn adamw() -> OptimizerSettings {
        OptimizerSettings { weight_decay: 0.5, ..OptimizerSettings::default() }
    }

    #[test]
    fn only_matrices_are_decayed() {
        let layout = Layout::new(&Preset::Nano.config(64, 16));
        let mut optimizer = Optimizer::new(adamw(), &layout);
        let (mut weights, mut gradients) = (vec![1.0; layout.n_elements], vec![0.0; layout.n_elements]);
        optimizer.step(&Cpu::new(1), (&mut weights, &mut gradients, &Profile::default()), (1, 0.1), (0.0, 1));
        for tensor in &layout.tensors {
            let wanted = if tensor.is_matrix() { 0.95 } else { 1.0 };
            assert!(weights[tensor.range.clone()].iter().all(|&w| (w - wanted).abs() < 1e-6), "{}", tensor.name);
        }
    }

    #[test]
    fn the_embedding_can_have_a_rate_of_its_own() {
        let layout = Layout::new(&Preset::Nano.config(64, 16));
        let muon = Some(MuonSettings::default());
        let run = |embed_lr_factor| {
            let settings = OptimizerSettings { embed_lr_factor, muon, weight_decay: 0.0, ..adamw() };
            let mut weights = vec![0.0; layout.n_elements];
            let mut gradients: Vec<f32> = (0..layout.n_elements).map(|i| ((i * 7919) % 1009) as f32 - 504.3).collect();
            Optimizer::new(settings, &layout).step(
                &Cpu::new(1),
                (&mut weights, &mut gradients, &Profile::default()),
                (1, 0.1),
                (1.0, 1),
            );
            weights
        };
        let (once, thrice) = (run(1.0), run(3.0));
        for i in 0..layout.n_elements {
            let factor = if layout.embed.contains(&i) || layout.head.contains(&i) { 3.0 } else { 1.0 };
            assert!((thrice[i] - factor * once[i]).abs() < 1e-6, "weight {i}: {} and {}", thrice[i], once[i]);
        }
    }

    #[test]
    fn each_tensor_is_updated_by_one_of_the_two_and_bits_do_not_depend_on_threads() {
        let layout = Layout::new(&Preset::Nano.config(64, 16));
        let muon = Some(MuonSettings::default());
        let gradients: Vec<f32> = (0..layout.n_elements).map(|i| ((i * 7919) % 1009) as f32 / 504.0 - 1.0).collect();
        let run = |n_threads| {
            let mut optimizer = Optimizer::new(OptimizerSettings { muon, ..adamw() }, &layout);
            let mut weights = vec![0.5; layout.n_elements];
            let cpu = Cpu::new(n_threads);
            let norm = optimizer.grad_norm(&cpu, &gradients, 1);
            let mut gradients = gradients.clone();
            optimizer.step(&cpu, (&mut weights, &mut gradients, &Profile::default()), (1, 0.1), (norm, 1));
            weights
        };
        let weights = run(1);
        assert_eq!(weights, run(3));
        for tensor in &layout.tensors {
            let n_same = weights[tensor.range.clone()].iter().filter(|&&w| w == 0.5).count();
            assert!(n_same * 50 < tensor.range.len(), "{n_same} weights of {} did not move", tensor.name);
        }
    }
}
