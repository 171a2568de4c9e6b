//! Low-rank adapters: W = W0 + scale · B · A for every matrix inside the blocks, of which only A and B learn (LoRA, Hu et al.,
//! arXiv 2106.09685).
//!
//! The network knows nothing of them: it holds the merged weights, runs both passes over them, and the gradients of A and B
//! come from those of W (dB = scale · dW · A^T, dA = scale · B^T · dW). So all that works on weights works here too, and a
//! step costs the products of rank r besides. Shapes: W (out, in), A (r, in), B (out, r).

use super::optimizer::OptimizerSettings;
use super::profile::{Part, Profile};
use crate::kernels::adamw::{AdamW, adamw, sum_of_squares};
use crate::kernels::gemm::{Matrix, Precision, Start, gemm};
use crate::kernels::random::Random;
use crate::kernels::{AlignedBuf, Cpu};
use crate::model::{Adapter, AdapterLayout, Config};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Parts the first values of adapters from all other random numbers of the same seed.
const STREAM: u64 = 1 << 34;

/// How large adapters are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LoraSettings {
    /// Rows of A and columns of B.
    pub rank: usize,
    /// The scale of B · A, as a multiple of 1/rank.
    pub alpha: f64,
}

impl LoraSettings {
    /// Adapters of `rank` whose products count twice.
    pub fn of_rank(rank: usize) -> LoraSettings {
        LoraSettings { rank, alpha: 2.0 * rank as f64 }
    }

    /// Rejects what makes no adapters of a model of shape `config`; each error names the value and its limits.
    pub fn validate_for(&self, config: &Config) -> Result<()> {
        let LoraSettings { rank, alpha } = *self;
        let most = AdapterLayout::max_rank(config);
        ensure!(rank >= 1, "lora is 0, but adapters need a rank of at least 1: leave --lora out to change all weights");
        ensure!(
            rank <= most,
            "lora is {rank}, but the smallest matrix of this model has a side of {most}, and a rank must be at most that: \
             choose a smaller one (8 is customary), or leave --lora out to change all weights"
        );
        ensure!(alpha > 0.0 && alpha <= 1e6, "lora-alpha is {alpha}, but must be above 0 and at most 1000000");
        Ok(())
    }

    /// The places of the adapters in a model of shape `config`.
    pub fn layout(&self, config: &Config) -> AdapterLayout {
        AdapterLayout::new(config, self.rank)
    }

    /// What B · A is multiplied by.
    fn scale(&self) -> f32 {
        (self.alpha / self.rank as f64) as f32
    }
}

/// The first values of adapters: A normal with a deviation of 1/sqrt(in), so that A · x is as large as x, and B zero, so that
/// the model begins as its base.
pub fn initial_adapters(layout: &AdapterLayout, seed: u64) -> Vec<f32> {
    let mut values = vec![0.0; layout.n_elements];
    for (i, adapter) in layout.adapters.iter().enumerate() {
        let mut random = Random::new(seed, STREAM + i as u64);
        let deviation = 1.0 / (adapter.n_in as f64).sqrt();
        for value in &mut values[adapter.a.clone()] {
            *value = (random.normal() * deviation) as f32;
        }
    }
    values
}

/// Bytes of the adapters, their gradients and moments and the frozen weights.
pub fn bytes_for(settings: &LoraSettings, config: &Config) -> usize {
    4 * (config.n_params() + 4 * settings.layout(config).n_elements)
}

/// The adapters of a model, with what updates them.
pub struct Lora {
    scale: f32,
    optimizer: OptimizerSettings,
    layout: AdapterLayout,
    /// W0, in the model's layout.
    frozen: Vec<f32>,
    /// A and B of all adapters.
    pub values: AlignedBuf,
    /// Mean of gradients.
    pub moment1: AlignedBuf,
    /// Mean of squared gradients.
    pub moment2: AlignedBuf,
    /// Gradients of the values, without the scale.
    gradients: AlignedBuf,
    /// scale · B of one adapter.
    scaled: AlignedBuf,
}

impl Lora {
    /// Adapters that change nothing yet, and fresh moments, for the weights `frozen` of a model of shape `config`.
    pub fn new(settings: LoraSettings, optimizer: OptimizerSettings, config: &Config, frozen: Vec<f32>) -> Lora {
        assert_eq!(frozen.len(), config.n_params(), "weights for this configuration");
        let layout = settings.layout(config);
        let zeros = || AlignedBuf::zeros(layout.n_elements);
        let (values, gradients, moment1, moment2) = (zeros(), zeros(), zeros(), zeros());
        let scale = settings.scale();
        Lora { scale, optimizer, frozen, values, gradients, moment1, moment2, scaled: AlignedBuf::default(), layout }
    }

    /// The places of the adapters.
    pub fn layout(&self) -> &AdapterLayout {
        &self.layout
    }

    /// The weights that the adapters are added to.
    pub fn frozen(&self) -> &[f32] {
        &self.frozen
    }

    /// Makes `weights`, in the model's layout, those that the adapters' values stand for. The others it leaves alone.
    pub fn merge(&mut self, cpu: &Cpu, weights: &mut [f32]) {
        let rank = self.layout.rank;
        for Adapter { weight, n_out, n_in, a, b, .. } in &self.layout.adapters {
            let scaled = self.scaled.at_least(b.len());
            scaled.iter_mut().zip(&self.values[b.clone()]).for_each(|(scaled, b)| *scaled = self.scale * b);
            let (a, b) = (Matrix::new(&self.values[a.clone()], rank, *n_in), Matrix::new(scaled, *n_out, rank));
            let start = Start::From(&self.frozen[weight.clone()]);
            gemm(cpu, Precision::F32, b, a, &mut weights[weight.clone()], start); // (out, in)
        }
    }

    /// Takes over `of_weights`, the sum of the gradients of the merged weights over `n_batches`. Returns the norm of the
    /// mean gradient of the adapters.
    pub fn grad_norm(&mut self, cpu: &Cpu, of_weights: &[f32], n_batches: usize) -> f64 {
        let rank = self.layout.rank;
        for Adapter { weight, n_out, n_in, a, b, .. } in &self.layout.adapters {
            let of_weight = Matrix::new(&of_weights[weight.clone()], *n_out, *n_in);
            let (of_a, of_b) = self.gradients[a.start..b.end].split_at_mut(a.len());
            let (a, b) = (&self.values[a.clone()], &self.values[b.clone()]);
            let (a, b) = (Matrix::new(a, rank, *n_in), Matrix::new(b, *n_out, rank));
            gemm(cpu, Precision::F32, of_weight, a.transposed(), of_b, Start::Zero); // (out, r)
            gemm(cpu, Precision::F32, b.transposed(), of_weight, of_a, Start::Zero); // (r, in)
        }
        self.scale as f64 * sum_of_squares(cpu, &self.gradients).sqrt() / n_batches as f64
    }

    /// Makes update number `step` (from 1) of the adapters with rate `lr`, from the gradients that [`Lora::grad_norm`] took
    /// over and the norm that it gave, and brings `weights` up to date.
    pub fn step(
        &mut self,
        cpu: &Cpu,
        (weights, profile): (&mut [f32], &Profile),
        (step, lr): (u64, f64),
        (grad_norm, n_batches): (f64, usize),
    ) {
        let s = &self.optimizer;
        let clip = (s.max_grad_norm / grad_norm.max(1e-12)).min(1.0);
        let update = AdamW {
            lr: lr as f32,
            beta1: s.beta1,
            beta2: s.beta2,
            eps: 1e-8,
            weight_decay: s.weight_decay,
            step,
            gradient_scale: self.scale * (clip / n_batches as f64) as f32,
        };
        adamw(cpu, update, &mut self.values, &self.gradients, &mut self.moment1, &mut self.moment2);
        self.merge(cpu, weights);
        profile.lap(Part::Optimizer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::gradient_check::{check, noise};
    use crate::model::Preset;

    fn config() -> Config {
        Config {
            n_layer: 1,
            n_embd: 24,
            n_head: 2,
            n_kv_head: 1,
            head_dim: 12,
            n_ffn: 40,
            ..Preset::Nano.config(20, 8)
        }
    }

    fn lora(settings: LoraSettings) -> Lora {
        Lora::new(settings, OptimizerSettings::default(), &config(), noise(config().n_params(), 1))
    }

    fn merged(lora: &mut Lora, values: &[f32]) -> Vec<f32> {
        lora.values.copy_from_slice(values);
        let mut weights = lora.frozen().to_vec();
        lora.merge(&Cpu::new(1), &mut weights);
        weights
    }

    #[test]
    fn the_gradients_of_a_and_b_are_those_of_finite_differences() {
        let mut lora = lora(LoraSettings { rank: 3, alpha: 4.5 });
        let (values, of_weights) = (noise(lora.layout.n_elements, 2), noise(lora.frozen.len(), 3));
        lora.values.copy_from_slice(&values);
        let norm = lora.grad_norm(&Cpu::new(1), &of_weights, 2);
        let gradients: Vec<f32> = lora.gradients.iter().map(|gradient| 1.5 * gradient).collect();
        check("adapters", &values, &gradients, &of_weights, |values| merged(&mut lora, values));
        let wanted = gradients.iter().map(|&g| (g as f64).powi(2)).sum::<f64>().sqrt() / 2.0;
        assert!((norm / wanted - 1.0).abs() < 1e-5, "norm {norm}, but {wanted} is wanted");
    }

    #[test]
    fn what_is_merged_is_the_base_and_the_scaled_product() {
        let mut lora = lora(LoraSettings { rank: 2, alpha: 3.0 });
        let values = noise(lora.layout.n_elements, 2);
        let (weights, layout) = (merged(&mut lora, &values), lora.layout.clone());
        let mut wanted = lora.frozen.clone();
        for Adapter { weight, n_in, a, b, .. } in &layout.adapters {
            for (i, weight) in wanted[weight.clone()].iter_mut().enumerate() {
                let (row, col) = (i / n_in, i % n_in);
                *weight +=
                    (0..2).map(|k| 1.5 * values[b.start + row * 2 + k] * values[a.start + k * n_in + col]).sum::<f32>();
            }
        }
        for (i, (found, wanted)) in weights.iter().zip(&wanted).enumerate() {
            assert!(
                (found - wanted).abs() < 1e-5 * (1.0 + wanted.abs()),
                "weight {i}: {found}, but {wanted} is wanted"
            );
        }
    }

    #[test]
    fn new_adapters_change_nothing_and_are_decided_by_the_seed() {
        let mut lora = lora(LoraSettings::of_rank(4));
        let first = initial_adapters(&lora.layout, 1);
        assert!(first == initial_adapters(&lora.layout, 1) && first != initial_adapters(&lora.layout, 2));
        assert!(merged(&mut lora, &first) == lora.frozen);
    }

    #[test]
    fn a_step_goes_down_and_its_bits_do_not_depend_on_threads() {
        let run = |n_threads| {
            let (cpu, mut lora) = (Cpu::new(n_threads), lora(LoraSettings::of_rank(4)));
            lora.values.copy_from_slice(&initial_adapters(&lora.layout, 1));
            let (mut weights, of_weights) = (lora.frozen.clone(), noise(lora.frozen.len(), 3));
            for step in 1..=3 {
                let norm = lora.grad_norm(&cpu, &of_weights, 1);
                lora.step(&cpu, (&mut weights, &Profile::default()), (step, 0.01), (norm, 1));
            }
            let slope: f32 = (0..weights.len()).map(|i| (weights[i] - lora.frozen[i]) * of_weights[i]).sum();
            (weights, slope)
        };
        let (weights, slope) = run(1);
        assert!(slope < 0.0, "{slope}");
        assert!(weights == run(3).0);
    }

    #[test]
    fn ranks_and_scales_that_make_no_adapters_are_errors_that_name_value_and_limit() {
        let cases: [(LoraSettings, &[&str]); 4] = [
            (LoraSettings::of_rank(0), &["lora is 0", "at least 1"]),
            (LoraSettings::of_rank(13), &["lora is 13", "side of 12", "smaller"]),
            (LoraSettings { rank: 4, alpha: 0.0 }, &["lora-alpha is 0", "above 0"]),
            (LoraSettings { rank: 4, alpha: f64::NAN }, &["lora-alpha is NaN", "above 0"]),
        ];
        for (settings, words) in cases {
            let message = settings.validate_for(&config()).unwrap_err().to_string();
            assert!(words.iter().all(|word| message.contains(word)), "{message:?} lacks one of {words:?}");
        }
        assert!(LoraSettings::of_rank(12).validate_for(&config()).is_ok());
    }
}
