//! Times whole training steps (forward, backward, clipping, update) on random tokens.

use super::network::{Batch, Network};
use super::optimizer::{Optimizer, OptimizerSettings};
use crate::kernels::Cpu;
use crate::kernels::random::Random;
use crate::model::{Config, initial_weights};
use serde::Serialize;
use std::time::Instant;

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Weights of the model.
    pub n_params: usize,
    /// Sequences in a batch.
    pub batch: usize,
    /// Steps timed.
    pub n_steps: usize,
    /// Median milliseconds of a step.
    pub ms_per_step: f64,
    /// The fastest step.
    pub ms_least: f64,
    /// The slowest step.
    pub ms_most: f64,
    /// Tokens learned from in a second, at the median.
    pub tokens_per_second: f64,
    /// 6 x weights x tokens a second: the customary count of a step's arithmetic, attention left out.
    pub gflops: f64,
    /// Bytes of weights, gradients, moments and activations.
    pub arena_bytes: usize,
    /// The instruction set in use.
    pub instruction_set: &'static str,
    /// The arithmetic of matrix products.
    pub precision: &'static str,
    /// Threads in use.
    pub n_threads: usize,
}

/// Times `n_steps` steps after two that warm up.
pub fn measure_training(config: &Config, batch: usize, n_steps: usize, n_threads: usize) -> Measured {
    let cpu = Cpu::new(n_threads);
    let n_rows = batch * config.block_size;
    let mut random = Random::new(0, 0);
    let ids: Vec<u32> = (0..2 * n_rows).map(|_| random.below(config.vocab_size as u64) as u32).collect();
    let mut network = Network::new(config, &initial_weights(config, 0), n_rows);
    // AdamW throughout: what the peers that this is compared with do.
    let settings = OptimizerSettings::default();
    let mut optimizer = Optimizer::new(settings, network.layout());
    let batch_ids = Batch { ids: &ids[..n_rows], targets: &ids[n_rows..], n_positions: config.block_size };
    let mut times: Vec<f64> = (0..n_steps.max(1) as u64 + 2)
        .map(|step| {
            let began = Instant::now();
            network.gradients.fill(0.0);
            network.loss_and_gradients(&cpu, batch_ids);
            let norm = optimizer.grad_norm(&cpu, &network.gradients, 1);
            let (weights, gradients) = network.parts();
            optimizer.step(&cpu, weights, gradients, (step + 1, 1e-3), (norm, 1));
            began.elapsed().as_secs_f64() * 1e3
        })
        .skip(2)
        .collect();
    times.sort_by(f64::total_cmp);
    let ms_per_step = times[times.len() / 2];
    let tokens_per_second = n_rows as f64 / ms_per_step * 1e3;
    Measured {
        n_params: config.n_params(),
        batch,
        n_steps: times.len(),
        ms_per_step,
        ms_least: times[0],
        ms_most: times[times.len() - 1],
        tokens_per_second,
        gflops: 6.0 * config.n_params() as f64 * tokens_per_second / 1e9,
        arena_bytes: network.n_bytes() + 8 * config.n_params(),
        instruction_set: cpu.isa.name(),
        precision: "f32",
        n_threads,
    }
}
