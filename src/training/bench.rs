//! Times whole training steps (forward, backward, clipping, update) on random tokens, beside what the machine can do.

use super::network::{Batch, Network};
use super::optimizer::{Optimizer, OptimizerSettings};
use super::profile::PartTime;
use crate::kernels::Cpu;
use crate::kernels::ceiling::multiply_adds;
use crate::kernels::gemm::Precision;
use crate::kernels::random::Random;
use crate::model::{Config, initial_weights};
use serde::Serialize;
use std::time::Instant;

/// Rounds in which a ceiling is measured; the best counts, since whatever disturbs a round makes it slower.
const N_CEILING_ROUNDS: usize = 10;

/// Steps that warm up caches, pages and clocks, and are not counted.
pub const N_WARMUP: usize = 2;

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
    /// Billions of operations a second by the customary count, 6 x weights x tokens: attention is left out.
    pub gflops: f64,
    /// What the same threads reach with multiply-adds on registers alone, in the precisions of the step's products.
    pub ceiling_gflops: f64,
    /// The most memory that the process held, in bytes; what the step's buffers take where the system does not say.
    pub peak_bytes: u64,
    /// Bytes of weights, gradients, moments and activations.
    pub arena_bytes: usize,
    /// The instruction set in use.
    pub instruction_set: &'static str,
    /// The numbers that matrix products multiply: `f32`, `bf16`, `f16`, or `int8` in linear layers and floats elsewhere.
    pub precision: &'static str,
    /// Threads in use.
    pub n_threads: usize,
    /// Where the time went.
    pub profile: Vec<PartTime>,
}

/// Steps that were timed.
pub struct Timed {
    /// Seconds of each, the fastest first.
    times: Vec<f64>,
    network: Network,
}

impl Timed {
    /// The median of the seconds.
    pub fn median_s(&self) -> f64 {
        self.times[self.times.len() / 2]
    }
}

/// Times `n_steps` steps of `batch` sequences of random tokens, after two that warm up.
pub fn time_steps(
    cpu: &Cpu,
    config: &Config,
    batch: usize,
    n_steps: usize,
    precision: Precision,
    optimizer: OptimizerSettings,
) -> Timed {
    let n_rows = batch * config.block_size;
    let mut random = Random::new(0, 0);
    let ids: Vec<u32> = (0..2 * n_rows).map(|_| random.below(config.vocab_size as u64) as u32).collect();
    let mut network = Network::new(config, &initial_weights(config, 0), n_rows).with_precision(precision);
    let mut optimizer = Optimizer::new(optimizer, network.layout()).with_precision(precision);
    let batch_ids = Batch::of(&ids[..n_rows], &ids[n_rows..], config.block_size);
    let mut times = Vec::with_capacity(n_steps);
    for step in 0..N_WARMUP + n_steps.max(1) {
        if step == N_WARMUP {
            network.profile().clear();
        }
        let began = Instant::now();
        optimizer.learn(cpu, &mut network, batch_ids, (step as u64 + 1, 1e-3));
        if step >= N_WARMUP {
            times.push(began.elapsed().as_secs_f64());
        }
    }
    times.sort_by(f64::total_cmp);
    Timed { times, network }
}

/// Times `n_steps` steps, with all that `siskin bench train` reports.
pub fn measure_training(
    config: &Config,
    batch: usize,
    n_steps: usize,
    n_threads: usize,
    precision: Precision,
    optimizer: OptimizerSettings,
) -> Measured {
    let cpu = Cpu::new(n_threads);
    let timed = time_steps(&cpu, config, batch, n_steps, precision, optimizer);
    let (times, network) = (&timed.times, &timed.network);
    let ms_per_step = 1e3 * timed.median_s();
    let tokens_per_second = (batch * config.block_size) as f64 / timed.median_s();
    let arena_bytes = network.n_bytes() + 8 * config.n_params();
    Measured {
        n_params: config.n_params(),
        batch,
        n_steps: times.len(),
        ms_per_step,
        ms_least: 1e3 * times[0],
        ms_most: 1e3 * times[times.len() - 1],
        tokens_per_second,
        gflops: 6.0 * config.n_params() as f64 * tokens_per_second / 1e9,
        ceiling_gflops: ceiling_of_step(&cpu, config, precision),
        peak_bytes: peak_bytes().unwrap_or(arena_bytes as u64),
        arena_bytes,
        instruction_set: cpu.isa.name(),
        precision: precision.name(),
        n_threads,
        profile: network.profile().parts(times.len()),
    }
}

/// As [`ceiling_gflops`], of the mix of products that a step consists of: in int8, two thirds of those with the layers' weights
/// are in codes, the rest and the head's in floats.
fn ceiling_of_step(cpu: &Cpu, config: &Config, precision: Precision) -> f64 {
    let of_floats = ceiling_gflops(cpu, precision.of_floats(cpu.isa));
    if precision != Precision::Int8 {
        return of_floats;
    }
    let head = (config.vocab_size * config.n_embd) as f64 / config.n_params() as f64;
    let in_codes = (1.0 - head) * 2.0 / 3.0;
    1.0 / (in_codes / ceiling_gflops(cpu, precision) + (1.0 - in_codes) / of_floats)
}

/// Billions of operations a second that the multiply-adds of `precision` reach on registers alone.
pub fn ceiling_gflops(cpu: &Cpu, precision: Precision) -> f64 {
    let round = |_| {
        let began = Instant::now();
        multiply_adds(cpu, precision) / began.elapsed().as_secs_f64() / 1e9
    };
    (0..N_CEILING_ROUNDS).map(round).fold(0.0, f64::max)
}

/// The process' highest resident memory so far, where the system tells (Linux: `VmHWM` in proc(5), in kB).
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| 1024 * kilobytes)
}
