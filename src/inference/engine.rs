//! Prefill and decode on weights as they are stored, floats or codes: llama, Qwen2, Qwen3 and GPT-2.
//!
//! One code path serves one token and many: kernels give a row the same bits whatever rows are computed with it, so the
//! logits do not depend on how a prompt is cut into chunks or on what the cache held before.
//!
//! Several sequences can grow side by side, one token each at a time: the weights are then read once for all of them,
//! which is what makes many samples cheap.

use super::LanguageModel;
use super::bench::{Arithmetic, Facts};
use super::weights::{FlatWeights, WeightSource, pack};
use crate::kernels::quantized::WeightType;
use crate::kernels::transformer::{CacheType, Place, State, Transformer};
use crate::kernels::{Cpu, Isa};
use crate::model::Config;
use anyhow::{Result, ensure};

/// Prompt tokens computed together, for each thread: enough to use each unpacked weight well, few enough to keep their rows
/// in the thread's own cache.
const CHUNK_PER_THREAD: usize = 96;

/// Most prompt tokens computed together.
const MOST_CHUNK: usize = 768;

/// How a model is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Tokens that the cache can hold.
    pub context_len: usize,
    /// Sequences that grow side by side.
    pub n_sequences: usize,
    /// Threads to compute with.
    pub n_threads: usize,
    /// How the cache keeps keys and values.
    pub cache: CacheType,
    /// The instruction set to compute with.
    pub isa: Isa,
}

/// A model ready to run.
pub struct Engine {
    cpu: Cpu,
    config: Config,
    settings: Settings,
    model: Transformer,
    state: State,
    chunk: usize,
    /// Of each sequence.
    n_cached: Vec<usize>,
    /// What a step reads and where it goes: kept from step to step.
    ids: Vec<u32>,
    places: Vec<Place>,
}

impl Engine {
    /// A model of `config` with the weights of `source`.
    pub fn open(config: &Config, source: &dyn WeightSource, settings: Settings) -> Result<Engine> {
        config.validate()?;
        let Settings { context_len, n_sequences, n_threads, cache, isa } = settings;
        ensure!(
            (1..=config.block_size).contains(&context_len),
            "a context of {context_len} tokens was asked for, but this model was trained for 1 to {}",
            config.block_size
        );
        ensure!(n_sequences > 0, "there must be at least one sequence");
        let cpu = Cpu::with_isa(n_threads, isa);
        let model = pack(&cpu, config, source, context_len)?;
        let chunk = (CHUNK_PER_THREAD * cpu.n_threads()).clamp(1, MOST_CHUNK).min(context_len);
        let n_rows = chunk.max(n_sequences);
        let state = State::new(&model, cache, context_len, n_sequences, n_rows, n_sequences, cpu.n_threads());
        let (n_cached, ids, places) = (vec![0; n_sequences], Vec::new(), Vec::new());
        Ok(Engine { cpu, config: config.clone(), settings, model, state, chunk, n_cached, ids, places })
    }

    /// Packs `weights` (in the order of [`crate::model::Layout`]) for a cache of `context_len` tokens on `n_threads`
    /// threads. Weights and cache are f32, so nothing is rounded.
    pub fn new(config: &Config, weights: &[f32], context_len: usize, n_threads: usize) -> Result<Engine> {
        Engine::in_step(config, weights, context_len, 1, n_threads)
    }

    /// The same for `n_sequences` that grow in step, each with a cache of its own: see [`Engine::step`].
    pub fn in_step(
        config: &Config,
        weights: &[f32],
        context_len: usize,
        n_sequences: usize,
        n_threads: usize,
    ) -> Result<Engine> {
        config.validate()?;
        let n_params = config.n_params();
        ensure!(weights.len() == n_params, "{} weights given, but this shape has {n_params}", weights.len());
        let settings = Settings { context_len, n_sequences, n_threads, cache: CacheType::F32, isa: Isa::best() };
        Engine::open(config, &FlatWeights(weights), settings)
    }

    /// The network itself: what it is made of, in bytes and weights.
    pub fn network(&self) -> &Transformer {
        &self.model
    }

    /// What a pass through it takes.
    pub fn facts(&self) -> Facts {
        let (n_head_weights, head_bytes) = self.model.head_size();
        Facts {
            n_body_weights: self.model.weights_per_token() - n_head_weights,
            body_bytes: self.model.bytes_per_token() - head_bytes,
            n_head_weights,
            head_bytes,
            arithmetic: match self.model.kind() {
                WeightType::F32 => Arithmetic::F32,
                WeightType::F16 | WeightType::BF16 => Arithmetic::Bf16,
                _ => Arithmetic::Int8,
            },
        }
    }

    /// The model's shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Bytes of keys and values.
    pub fn cache_bytes(&self) -> usize {
        self.state.cache_bytes()
    }

    /// Reads one more id of each sequence (B) and returns the logits that follow each (B, V).
    ///
    /// The caller sees to it that there is an id for each sequence, that all are below the vocabulary's size, and that
    /// the cache has room for one more.
    pub fn step(&mut self, ids: &[u32]) -> &[f32] {
        assert_eq!(ids.len(), self.settings.n_sequences, "an id for each sequence");
        self.step_some(ids.iter().copied().enumerate())
    }

    fn step_some(&mut self, next: impl Iterator<Item = (usize, u32)>) -> &[f32] {
        self.ids.clear();
        self.places.clear();
        for (sequence, id) in next {
            let first_position = self.n_cached[sequence];
            let n_context = self.settings.context_len;
            assert!(first_position < n_context, "the context of {n_context} tokens is full");
            self.n_cached[sequence] += 1;
            self.ids.push(id);
            self.places.push(Place { sequence, first_position });
        }
        self.model.pass(&self.cpu, &mut self.state, &self.ids, &self.places, self.ids.len())
    }

    /// Reads ids of a sequence and judges what follows the last `n_judged`.
    fn rows(&mut self, sequence: usize, ids: &[u32], n_judged: usize) -> &[f32] {
        let place = Place { sequence, first_position: self.n_cached[sequence] };
        self.n_cached[sequence] += ids.len();
        self.model.pass(&self.cpu, &mut self.state, ids, &[place], n_judged)
    }

    /// Reads ids of a sequence, in chunks, and judges what follows the last.
    fn read(&mut self, sequence: usize, ids: &[u32]) -> &[f32] {
        assert!(!ids.is_empty(), "there is no id to read");
        self.check_room(sequence, ids);
        let n_first = (ids.len() - 1) / self.chunk * self.chunk;
        for chunk in ids[..n_first].chunks(self.chunk) {
            self.rows(sequence, chunk, 0);
        }
        self.rows(sequence, &ids[n_first..], 1)
    }

    fn check_room(&self, sequence: usize, ids: &[u32]) {
        assert!(self.n_cached[sequence] + ids.len() <= self.settings.context_len, "{} ids do not fit", ids.len());
    }
}

impl LanguageModel for Engine {
    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn context_len(&self) -> usize {
        self.settings.context_len
    }

    fn n_cached(&self) -> usize {
        self.n_cached[0]
    }

    fn truncate(&mut self, n_tokens: usize) {
        self.truncate_sequence(0, n_tokens);
    }

    fn feed(&mut self, ids: &[u32]) -> &[f32] {
        self.read(0, ids)
    }

    fn feed_each(&mut self, ids: &[u32], each: &mut dyn FnMut(&[f32])) {
        self.check_room(0, ids);
        let v = self.config.vocab_size;
        // As many rows of logits as fit 16 MB, which is the CPU's nearest large cache.
        let n_rows = ((4 << 20) / v).clamp(1, self.chunk);
        self.state.make_room(n_rows.min(ids.len()) * v);
        for chunk in ids.chunks(n_rows) {
            self.rows(0, chunk, chunk.len()).chunks_exact(v).for_each(&mut *each);
        }
    }

    fn n_sequences(&self) -> usize {
        self.settings.n_sequences
    }

    fn truncate_sequence(&mut self, sequence: usize, n_tokens: usize) {
        self.n_cached[sequence] = self.n_cached[sequence].min(n_tokens);
    }

    fn feed_sequence(&mut self, sequence: usize, ids: &[u32]) -> Result<&[f32]> {
        Ok(self.read(sequence, ids))
    }

    fn step_sequences(&mut self, next: &[(usize, u32)]) -> Result<&[f32]> {
        Ok(self.step_some(next.iter().copied()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, initial_weights};

    fn config() -> Config {
        Config {
            n_layer: 2,
            n_head: 4,
            n_kv_head: 2,
            n_embd: 48,
            head_dim: 12,
            n_ffn: 80,
            vocab_size: 50,
            block_size: 160,
            rope_theta: 10_000.0,
            norm_eps: 1e-6,
            tied: true,
            family: Family::Qwen3,
        }
    }

    fn engine(n_threads: usize) -> Engine {
        let weights: Vec<f32> = initial_weights(&config(), 3).iter().map(|w| w * 5.0).collect();
        Engine::new(&config(), &weights, 160, n_threads).unwrap()
    }

    fn ids() -> Vec<u32> {
        (0..150u32).map(|i| i * i * 7 % 50).collect()
    }

    #[test]
    fn logits_have_the_same_bits_for_any_chunking_threads_and_history() {
        let ids = ids();
        let whole = engine(1).feed(&ids).to_vec();
        for n_threads in [1, 2] {
            for chunk in [1, 3, 64, 100] {
                let mut engine = engine(n_threads);
                engine.feed(&ids[20..90]);
                engine.truncate(0);
                let (last, first) =
                    ids.chunks(chunk).collect::<Vec<_>>().split_last().map(|(l, f)| (*l, f.to_vec())).unwrap();
                first.iter().for_each(|chunk| {
                    engine.feed(chunk);
                });
                assert_eq!(engine.feed(last), whole, "{n_threads} threads, chunks of {chunk}");
            }
        }
    }

    #[test]
    fn the_logits_after_each_id_are_those_of_reading_up_to_it() {
        for family in Family::ALL {
            let n_kv_head = if family.rotates() { 2 } else { 4 };
            let config = Config { family, n_kv_head, ..config() };
            let weights: Vec<f32> = (0..config.n_params()).map(|i| ((i * i % 83) as f32 - 41.0) * 0.01).collect();
            let mut engine = Engine::new(&config, &weights, 160, 2).unwrap();
            let mut found = Vec::new();
            engine.feed_each(&ids(), &mut |logits| found.push(logits.to_vec()));
            assert_eq!(found.len(), 150);
            for n in [1, 64, 65, 150] {
                engine.truncate(0);
                assert!(engine.feed(&ids()[..n]) == found[n - 1], "{family:?}, {n} ids");
            }
        }
    }

    #[test]
    fn a_truncated_cache_forgets_what_came_after() {
        let mut engine = engine(1);
        let wanted = engine.feed(&[1, 2, 3, 4]).to_vec();
        engine.truncate(2);
        engine.feed(&[9, 9, 9]);
        engine.truncate(2);
        assert_eq!(engine.feed(&[3, 4]), wanted);
    }

    #[test]
    fn sequences_in_step_have_the_bits_of_each_alone() {
        let weights: Vec<f32> = initial_weights(&config(), 3).iter().map(|w| w * 5.0).collect();
        let sequences: [Vec<u32>; 3] = [3, 7, 11].map(|k| (0..30).map(|i| i * k % 50).collect());
        let mut together = Engine::in_step(&config(), &weights, 30, 3, 2).unwrap();
        let mut alone: Vec<Engine> = sequences.iter().map(|_| engine(1)).collect();
        for i in 0..30 {
            let logits = together.step(&[0, 1, 2].map(|s| sequences[s][i])).to_vec();
            for (s, logits) in logits.chunks_exact(50).enumerate() {
                assert_eq!(alone[s].feed(&[sequences[s][i]]), logits, "sequence {s} after {i} ids");
            }
        }
    }

    #[test]
    fn sequences_of_any_length_side_by_side_have_the_bits_of_each_alone() {
        let weights: Vec<f32> = initial_weights(&config(), 3).iter().map(|w| w * 5.0).collect();
        let prompts: [Vec<u32>; 3] = [(5, 3), (40, 7), (1, 11)].map(|(n, k)| (0..n).map(|i| i * k % 50).collect());
        for n_threads in [1, 2] {
            let mut together = Engine::in_step(&config(), &weights, 60, 3, n_threads).unwrap();
            let mut alone: Vec<Engine> = prompts.iter().map(|_| engine(1)).collect();
            together.feed_sequence(1, &[9; 20]).unwrap();
            together.truncate_sequence(1, 0);
            for (s, prompt) in prompts.iter().enumerate() {
                assert_eq!(
                    together.feed_sequence(s, prompt).unwrap(),
                    alone[s].feed(prompt),
                    "the prompt of sequence {s}"
                );
            }
            for (i, who) in [&[0, 1, 2][..], &[2, 0], &[1], &[1, 2], &[2, 1, 0]].iter().enumerate() {
                let next: Vec<(usize, u32)> = who.iter().map(|&s| (s, (i * 7 + s) as u32)).collect();
                let logits = together.step_sequences(&next).unwrap().to_vec();
                for (&(s, id), logits) in next.iter().zip(logits.chunks_exact(50)) {
                    assert_eq!(alone[s].feed(&[id]), logits, "sequence {s} at step {i}, {n_threads} threads");
                }
            }
        }
    }

    #[test]
    fn a_wrong_number_of_weights_or_context_is_an_error() {
        assert!(Engine::new(&config(), &[0.0; 3], 10, 1).is_err());
        let weights = initial_weights(&config(), 3);
        let message = Engine::new(&config(), &weights, 161, 1).err().expect("too long").to_string();
        assert!(message.contains("161") && message.contains("160"), "{message}");
    }
}
