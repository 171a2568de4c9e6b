//! Times how fast a model reads and writes, beside what this machine's memory and arithmetic can do at most.
//!
//! It knows a model only as a [`LanguageModel`] and by the [`Facts`] of what one pass through it costs. Operations are
//! counted as is customary, two for each weight of a matrix and token: attention is left out.

use super::LanguageModel;
use crate::formats::gguf::{Gguf, TensorInfo};
use crate::kernels::Cpu;
use crate::kernels::arg_max::arg_max;
use crate::kernels::ceiling::{byte_multiply_adds, multiply_adds, read};
use crate::kernels::cpu::Isa;
use crate::kernels::gemm::Precision;
use crate::kernels::random::Random;
use anyhow::Result;
use serde::Serialize;
use std::time::Instant;

/// Lengths of the prompts that are timed.
pub const PREFILL: [usize; 3] = [32, 128, 512];

/// Tokens written one by one.
pub const DECODE: usize = 64;

/// The prompt that the first token waits for.
const FIRST_TOKEN_PROMPT: usize = 128;

/// Fewest and most rounds of a measurement, and the seconds after which there are enough.
const ROUNDS: (usize, usize) = (3, 100);
const ENOUGH_S: f64 = 0.8;

/// Rounds in which a ceiling is measured; the best counts, since whatever disturbs a round makes it slower.
const N_CEILING_ROUNDS: usize = 6;

/// Bytes that lie in memory only, and bytes that the last cache holds but the ones before it do not.
const DRAM_BYTES: usize = 256 << 20;
const CACHE_BYTES: usize = 12 << 20;

/// What matrix products multiply, which says what arithmetic bounds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arithmetic {
    /// Weights and activations in single precision.
    F32,
    /// Both as bf16, or f16 where that is faster.
    Bf16,
    /// Codes of at most 8 bits.
    Int8,
}

/// What one pass through a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Weights of the matrices that every token is multiplied with.
    pub n_body_weights: usize,
    /// Their bytes in memory.
    pub body_bytes: usize,
    /// Weights of the matrix that makes logits, which only the last token of a prompt needs.
    pub n_head_weights: usize,
    /// Its bytes in memory.
    pub head_bytes: usize,
    /// What is multiplied.
    pub arithmetic: Arithmetic,
}

impl Facts {
    /// Of weights as a file stores them.
    pub fn of_file(gguf: &Gguf) -> Facts {
        const EMBEDDING: &str = "token_embd.weight";
        let head = if gguf.tensor("output.weight").is_some() { "output.weight" } else { EMBEDDING };
        let size = |of: &dyn Fn(&TensorInfo) -> bool| {
            let chosen = gguf.tensors().iter().filter(|tensor| of(tensor));
            chosen.fold((0, 0), |(n, bytes), tensor| (n + tensor.n_elements(), bytes + tensor.range.len()))
        };
        let is_body = |t: &TensorInfo| t.shape.len() > 1 && t.name != EMBEDDING && t.name != head;
        let (n_body_weights, body_bytes) = size(&is_body);
        let (n_head_weights, head_bytes) = size(&|t| t.name == head);
        Facts { n_body_weights, body_bytes, n_head_weights, head_bytes, arithmetic: Arithmetic::Int8 }
    }

    fn n_operations(&self, n_tokens: usize) -> f64 {
        2.0 * (self.n_body_weights * n_tokens + self.n_head_weights) as f64
    }

    fn n_bytes(&self) -> f64 {
        (self.body_bytes + self.head_bytes) as f64
    }
}

/// The most that this machine can do with so many threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Ceilings {
    /// Billions of bytes a second out of memory.
    pub dram_gb_per_second: f64,
    /// The same out of the last cache.
    pub cache_gb_per_second: f64,
    /// Bytes of the last cache, where the system tells.
    pub cache_bytes: Option<usize>,
    /// Billions of operations a second on bytes.
    pub int8_gops: f64,
    /// The same on bf16, where the CPU has it.
    pub bf16_gops: Option<f64>,
    /// The same on f16, where the CPU has it.
    pub f16_gops: Option<f64>,
    /// The same in single precision.
    pub f32_gops: f64,
}

/// How fast something went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Speed {
    /// Tokens of a round.
    pub tokens: usize,
    /// Tokens a second: the median of the rounds.
    pub tokens_per_second: f64,
    /// The slowest round.
    pub least_tokens_per_second: f64,
    /// The fastest round.
    pub most_tokens_per_second: f64,
    /// Rounds.
    pub n_rounds: usize,
    /// Billions of bytes of weights a second: all weights once for a prompt, and once for each token that is written.
    pub gb_per_second: f64,
    /// Billions of operations a second.
    pub gops: f64,
    /// Share of what the memory can deliver where the weights lie: the last cache if they fit, else DRAM.
    pub share_of_memory: f64,
    /// Share of what the arithmetic in use can do.
    pub share_of_arithmetic: f64,
}

/// All that was measured of a model on one instruction set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// What one pass takes.
    pub facts: Facts,
    /// The instruction set in use.
    pub instruction_set: &'static str,
    /// Threads in use.
    pub n_threads: usize,
    /// Reading prompts of the lengths of [`PREFILL`] that fit the context, or one that fills it.
    pub prefill: Vec<Speed>,
    /// Writing [`DECODE`] tokens, or as many as fit behind the first.
    pub decode: Speed,
    /// Length of the prompt that the first token waits for, and milliseconds until it is known.
    pub first_token_prompt: usize,
    /// See `first_token_prompt`.
    pub first_token_ms: f64,
    /// Memory that the process holds with the model loaded; none where the system does not tell.
    pub resident_bytes: Option<u64>,
    /// What the machine can do.
    pub ceilings: Ceilings,
}

/// Measures the ceilings of `isa` on `n_threads` threads. It takes about a second, and 256 MB of memory.
pub fn ceilings(isa: Isa, n_threads: usize) -> Ceilings {
    let cpu = Cpu::with_isa(n_threads, isa);
    let (has_bf16, has_f16) = match isa {
        Isa::Avx512(token) => (token.has_bf16(), token.has_f16()),
        _ => (false, false),
    };
    let gops = |precision| best(|| multiply_adds(&cpu, precision));
    let data = vec![1.0f32; DRAM_BYTES / 4];
    Ceilings {
        dram_gb_per_second: best(|| read(&cpu, &data, 1)),
        cache_gb_per_second: best(|| read(&cpu, &data[..CACHE_BYTES / 4], 20)),
        cache_bytes: last_cache_bytes(),
        int8_gops: best(|| byte_multiply_adds(&cpu)),
        bf16_gops: has_bf16.then(|| gops(Precision::Bf16)),
        f16_gops: has_f16.then(|| gops(Precision::F16)),
        f32_gops: gops(Precision::F32),
    }
}

/// Billions a second of what `work` says it did, in its best round.
fn best(work: impl Fn() -> f64) -> f64 {
    let round = |_| {
        let began = Instant::now();
        let n = work();
        n / began.elapsed().as_secs_f64() / 1e9
    };
    (0..N_CEILING_ROUNDS).map(round).fold(0.0, f64::max)
}

/// Measures `model`, which runs on `isa` with `n_threads` threads; `ceilings` are those of the same.
///
/// A model with a shorter context is measured on what that holds. Fails where the model does.
pub fn measure(
    model: &mut dyn LanguageModel,
    facts: Facts,
    isa: Isa,
    n_threads: usize,
    ceilings: Ceilings,
) -> Result<Measured> {
    let n_context = model.context_len();
    anyhow::ensure!(n_context > 1, "a context of {n_context} tokens has no room for one that is written");
    let n_decode = DECODE.min(n_context - 1);
    let mut lengths: Vec<usize> = PREFILL.into_iter().filter(|&n| n <= n_context).collect();
    if lengths.is_empty() {
        lengths.push(n_context);
    }
    let mut random = Random::new(0, 0);
    let n_ids = n_context.min(PREFILL[PREFILL.len() - 1]);
    let ids: Vec<u32> = (0..n_ids).map(|_| random.below(model.vocab_size() as u64) as u32).collect();
    let mut prefill = Vec::new();
    for n in lengths {
        let times = rounds(|| {
            model.truncate(0);
            timed(|| model.try_feed(&ids[..n]).map(drop))
        })?;
        prefill.push(speed(n, &times, facts.n_operations(n), facts.n_bytes(), facts, &ceilings));
    }
    let times = rounds(|| write(model, &ids[..=n_decode]))?;
    let (n_operations, n_bytes) = (n_decode as f64 * facts.n_operations(1), n_decode as f64 * facts.n_bytes());
    let decode = speed(n_decode, &times, n_operations, n_bytes, facts, &ceilings);
    let first_token_prompt = FIRST_TOKEN_PROMPT.min(n_context - 1).min(n_ids);
    let first = rounds(|| {
        model.truncate(0);
        timed(|| model.try_feed(&ids[..first_token_prompt]).map(|logits| _ = arg_max(isa, logits)))
    })?;
    Ok(Measured {
        facts,
        instruction_set: isa.name(),
        n_threads,
        prefill,
        decode,
        first_token_prompt,
        first_token_ms: 1e3 * median(&first),
        resident_bytes: resident_bytes(),
        ceilings,
    })
}

/// Tokens a second that `model` writes, a median; its context must hold two.
pub fn writing_speed(model: &mut dyn LanguageModel) -> Result<f64> {
    let ids = vec![0; DECODE.min(model.context_len() - 1) + 1];
    let times = rounds(|| write(model, &ids))?;
    Ok((ids.len() - 1) as f64 / median(&times))
}

/// Seconds that a model takes for all of `ids` but the first, one by one.
fn write(model: &mut dyn LanguageModel, ids: &[u32]) -> Result<f64> {
    model.truncate(0);
    model.try_feed(&ids[..1])?;
    timed(|| ids[1..].iter().try_for_each(|id| model.try_feed(&[*id]).map(drop)))
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}

/// Seconds of each round, the fastest first; the first round warms up and does not count.
fn rounds(mut round: impl FnMut() -> Result<f64>) -> Result<Vec<f64>> {
    round()?;
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < ROUNDS.0 || (times.len() < ROUNDS.1 && began.elapsed().as_secs_f64() < ENOUGH_S) {
        times.push(round()?);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// Of sorted seconds, `n_operations` and `n_bytes` in each.
fn speed(n: usize, times: &[f64], n_operations: f64, n_bytes: f64, facts: Facts, ceilings: &Ceilings) -> Speed {
    let (median, rate) = (median(times), |seconds: f64| n as f64 / seconds);
    let (gb_per_second, gops) = (n_bytes / median / 1e9, n_operations / median / 1e9);
    let in_cache = ceilings.cache_bytes.is_some_and(|cache| facts.n_bytes() <= cache as f64);
    let memory = if in_cache { ceilings.cache_gb_per_second } else { ceilings.dram_gb_per_second };
    let arithmetic = match facts.arithmetic {
        Arithmetic::F32 => ceilings.f32_gops,
        Arithmetic::Bf16 => ceilings.bf16_gops.into_iter().chain(ceilings.f16_gops).fold(ceilings.f32_gops, f64::max),
        Arithmetic::Int8 => ceilings.int8_gops,
    };
    Speed {
        tokens: n,
        tokens_per_second: rate(median),
        least_tokens_per_second: rate(times[times.len() - 1]),
        most_tokens_per_second: rate(times[0]),
        n_rounds: times.len(),
        gb_per_second,
        gops,
        share_of_memory: gb_per_second / memory,
        share_of_arithmetic: gops / arithmetic,
    }
}

/// Memory that the process holds, where the system tells (Linux: `VmRSS` in proc(5), in kB).
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| 1024 * kilobytes)
}

/// Bytes of the last cache of the first core, where the system tells (Linux: sysfs, such as `32768K`).
fn last_cache_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index3/size").ok()?;
    text.trim().strip_suffix('K')?.parse::<usize>().ok().map(|kilobytes| 1024 * kilobytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::Engine;
    use crate::model::{Preset, initial_weights};

    const CEILINGS: Ceilings = Ceilings {
        dram_gb_per_second: 20.0,
        cache_gb_per_second: 100.0,
        cache_bytes: Some(1000),
        int8_gops: 400.0,
        bf16_gops: Some(200.0),
        f16_gops: None,
        f32_gops: 100.0,
    };

    fn facts(n_bytes: usize, arithmetic: Arithmetic) -> Facts {
        Facts { n_body_weights: 600, body_bytes: n_bytes - 100, n_head_weights: 400, head_bytes: 100, arithmetic }
    }

    #[test]
    fn rates_and_shares_are_those_of_the_median_round() {
        let times = [1e-9, 2e-9, 8e-9];
        let small = facts(1000, Arithmetic::Int8);
        assert_eq!((small.n_operations(1), small.n_operations(10)), (2000.0, 12_800.0));
        let found = speed(10, &times, 400.0, 50.0, small, &CEILINGS);
        assert_eq!((found.tokens_per_second, found.least_tokens_per_second), (5e9, 1.25e9));
        assert_eq!((found.most_tokens_per_second, found.n_rounds), (1e10, 3));
        assert_eq!((found.gops, found.gb_per_second), (200.0, 25.0));
        assert_eq!((found.share_of_arithmetic, found.share_of_memory), (0.5, 0.25));
        let large = speed(10, &times, 400.0, 50.0, facts(1001, Arithmetic::F32), &CEILINGS);
        assert_eq!((large.share_of_arithmetic, large.share_of_memory), (2.0, 1.25));
        assert_eq!(speed(10, &times, 400.0, 50.0, facts(500, Arithmetic::Bf16), &CEILINGS).share_of_arithmetic, 1.0);
    }

    #[test]
    fn every_length_that_fits_is_measured_and_the_model_is_left_usable() {
        let config = Preset::Nano.config(128, 160);
        let mut engine = Engine::new(&config, &initial_weights(&config, 1), 160, 1).unwrap();
        let found = measure(&mut engine, facts(500, Arithmetic::F32), Isa::best(), 1, CEILINGS).unwrap();
        assert_eq!(found.prefill.iter().map(|speed| speed.tokens).collect::<Vec<_>>(), [32, 128]);
        assert_eq!((found.decode.tokens, found.first_token_prompt), (DECODE, 128));
        assert!(found.prefill.iter().chain([&found.decode]).all(|speed| speed.tokens_per_second > 0.0));
        assert!(found.first_token_ms > 0.0);
        let mut short = Engine::new(&config, &initial_weights(&config, 1), 20, 1).unwrap();
        let found = measure(&mut short, facts(500, Arithmetic::F32), Isa::best(), 1, CEILINGS).unwrap();
        assert_eq!((found.prefill[0].tokens, found.decode.tokens, found.first_token_prompt), (20, 19, 19));
        let mut none = Engine::new(&config, &initial_weights(&config, 1), 1, 1).unwrap();
        let error = measure(&mut none, facts(500, Arithmetic::F32), Isa::best(), 1, CEILINGS).unwrap_err();
        assert!(error.to_string().contains("a context of 1 tokens"));
    }
}
