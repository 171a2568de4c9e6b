//! Prefill and decode on packed `f32` weights: the Qwen3 shape, and without its QK-norm, with or without biases, those of
//! llama and Qwen2.
//!
//! One code path serves one token and many: kernels give a row the same bits whatever rows are computed with it, so the
//! logits do not depend on how a prompt is cut into chunks or on what the cache held before.
//!
//! Several sequences can grow in step, one token each at a time: the weights are then read once for all of them, which
//! is what makes many samples cheap.

use super::LanguageModel;
use crate::kernels::Cpu;
use crate::kernels::attention::{KvPanels, cached_attention};
use crate::kernels::embedding::gather;
use crate::kernels::gemm::{Matrix, PackedMatrix, Precision, Start, gemm_packed};
use crate::kernels::norm::rms_norm;
use crate::kernels::qk_norm_rope::{Heads, QkNorm, RopeTable, qk_norm_rope};
use crate::kernels::swiglu::swiglu;
use crate::model::{Config, Layout};
use anyhow::{Result, ensure};

/// Prompt tokens computed together: enough rows to use each packed weight well, few enough to keep buffers in the cache.
const CHUNK: usize = 64;

/// A model ready to run.
pub struct Engine {
    cpu: Cpu,
    config: Config,
    heads: Heads,
    rope: RopeTable,
    embedding: Vec<f32>,
    layers: Vec<EngineLayer>,
    final_norm: Vec<f32>,
    head: PackedMatrix,
    context_len: usize,
    n_sequences: usize,
    n_cached: usize,
    buffers: Buffers,
    logits: Vec<f32>,
}

/// One block: packed matrices, norms, and for each sequence a cache for each key/value head.
struct EngineLayer {
    attn_norm: Vec<f32>,
    qkv: PackedMatrix,
    qkv_bias: Vec<f32>,
    q_norm: Vec<f32>,
    k_norm: Vec<f32>,
    o: PackedMatrix,
    ffn_norm: Vec<f32>,
    gate_up: PackedMatrix,
    down: PackedMatrix,
    caches: Vec<Vec<KvPanels>>,
}

/// Rows of the chunk under way, allocated once.
struct Buffers {
    residual: Vec<f32>,
    middle: Vec<f32>,
    normed: Vec<f32>,
    qkv: Vec<f32>,
    qk: Vec<f32>,
    attention: Vec<f32>,
    gate_up: Vec<f32>,
    hidden: Vec<f32>,
}

impl Engine {
    /// Packs `weights` (in the order of [`Layout`]) for a cache of `context_len` tokens on `n_threads` threads.
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
        ensure!(
            config.family.rotates(),
            "models of the family {} are not run by this version: export and quantize can write them",
            config.family.name()
        );
        let layout = Layout::new(config);
        ensure!(
            weights.len() == layout.n_elements,
            "{} weights given, but this shape has {}",
            weights.len(),
            layout.n_elements
        );
        ensure!(
            (1..=config.block_size).contains(&context_len),
            "a context of {context_len} tokens was asked for, but this model was trained for 1 to {}",
            config.block_size
        );
        ensure!(n_sequences > 0, "there must be at least one sequence");
        let cpu = Cpu::new(n_threads);
        let cache = vec![KvPanels::new(context_len, config.head_dim); config.n_kv_head];
        let pack = |range: &std::ops::Range<usize>, n_in: usize| {
            let weights = &weights[range.clone()];
            let mut packed = PackedMatrix::default();
            packed.pack(&cpu, Precision::F32, Matrix::new(weights, weights.len() / n_in, n_in).transposed());
            packed
        };
        let copy = |range: &std::ops::Range<usize>| weights[range.clone()].to_vec();
        let layers = layout
            .layers
            .iter()
            .map(|l| EngineLayer {
                attn_norm: copy(&l.attn_norm),
                qkv: pack(&l.qkv, config.n_embd),
                qkv_bias: copy(&l.qkv_bias),
                q_norm: copy(&l.q_norm),
                k_norm: copy(&l.k_norm),
                o: pack(&l.o, config.q_dim()),
                ffn_norm: copy(&l.ffn_norm),
                gate_up: pack(&l.gate_up, config.n_embd),
                down: pack(&l.down, config.n_ffn),
                caches: vec![cache.clone(); n_sequences],
            })
            .collect();
        let head = pack(&layout.head, config.n_embd);
        let heads = Heads { n_head: config.n_head, n_kv_head: config.n_kv_head, head_dim: config.head_dim };
        Ok(Engine {
            heads,
            rope: RopeTable::new(context_len, config.head_dim, config.rope_theta),
            embedding: copy(&layout.embed),
            layers,
            final_norm: copy(&layout.final_norm),
            head,
            context_len,
            n_sequences,
            n_cached: 0,
            buffers: Buffers::new(config, heads, CHUNK.min(context_len).max(n_sequences)),
            logits: vec![0.0; n_sequences * config.vocab_size],
            config: config.clone(),
            cpu,
        })
    }

    /// Reads one more id of each sequence (B) and returns the logits that follow each (B, V).
    ///
    /// The caller sees to it that there is an id for each sequence, that all are below the vocabulary's size, and that
    /// the cache has room for one more.
    pub fn step(&mut self, ids: &[u32]) -> &[f32] {
        assert_eq!(ids.len(), self.n_sequences, "an id for each sequence");
        assert!(self.n_cached < self.context_len, "the context of {} tokens is full", self.context_len);
        self.rows(ids, ids.len());
        &self.logits[..ids.len() * self.config.vocab_size]
    }

    /// Reads `ids` after what was read before, and shows `each` the logits (V) that follow each of them, in order.
    ///
    /// The caller sees to what [`LanguageModel::feed`] asks for.
    pub fn feed_each(&mut self, ids: &[u32], each: &mut dyn FnMut(&[f32])) {
        assert!(self.n_cached + ids.len() <= self.context_len, "{} ids do not fit", ids.len());
        assert_eq!(self.n_sequences, 1, "several sequences grow by `step`");
        let v = self.config.vocab_size;
        for chunk in ids.chunks(CHUNK) {
            self.logits.resize(self.logits.len().max(chunk.len() * v), 0.0);
            self.rows(chunk, chunk.len());
            self.logits[..chunk.len() * v].chunks_exact(v).for_each(&mut *each);
        }
    }

    /// Reads ids, as many of each sequence as of the others, and judges what follows the last `n_judged` rows.
    fn rows(&mut self, ids: &[u32], n_judged: usize) {
        let (n, c, v) = (ids.len(), self.config.n_embd, self.config.vocab_size);
        gather(&self.cpu, &self.embedding, ids, &mut self.buffers.residual[..n * c]);
        for l in 0..self.layers.len() {
            self.attention(l, n);
            self.ffn(l, n);
        }
        self.n_cached += n / self.n_sequences;
        if n_judged > 0 {
            let last = &self.buffers.residual[(n - n_judged) * c..n * c];
            let normed = &mut self.buffers.normed[..n_judged * c];
            rms_norm(&self.cpu, last, &self.final_norm, self.config.norm_eps, normed);
            let logits = &mut self.logits[..n_judged * v];
            gemm_packed(&self.cpu, Matrix::new(normed, n_judged, c), &self.head, logits, Start::Zero); // (B, V)
        }
    }

    /// middle = residual + attention(norm(residual)) · Wo^T
    fn attention(&mut self, l: usize, n: usize) {
        let (cpu, heads, layer, b) = (&self.cpu, self.heads, &mut self.layers[l], &mut self.buffers);
        let (c, width, eps) = (self.config.n_embd, heads.n_head * heads.head_dim, self.config.norm_eps);
        let (residual, normed) = (&b.residual[..n * c], &mut b.normed[..n * c]);
        let (qkv, qk) = (&mut b.qkv[..n * heads.qkv_width()], &mut b.qk[..n * heads.qk_width()]);
        let out = &mut b.attention[..n * width];
        rms_norm(cpu, residual, &layer.attn_norm, eps, normed);
        let start = if layer.qkv_bias.is_empty() { Start::Zero } else { Start::Accumulate };
        if !layer.qkv_bias.is_empty() {
            qkv.chunks_exact_mut(layer.qkv_bias.len()).for_each(|row| row.copy_from_slice(&layer.qkv_bias));
        }
        gemm_packed(cpu, Matrix::new(normed, n, c), &layer.qkv, qkv, start); // (N, (H+2KV)*D)
        let has_norm = self.config.family.has_qk_norm();
        let norm = has_norm.then_some(QkNorm { q: &layer.q_norm, k: &layer.k_norm, eps });
        // The rows of one sequence follow each other, and all sequences begin where the cache ends.
        let n_each = n / self.n_sequences;
        qk_norm_rope(cpu, heads, &self.rope, (self.n_cached, n_each), norm, qkv, qk);
        for (s, caches) in layer.caches.iter_mut().enumerate() {
            let rows = |width: usize| s * n_each * width..(s + 1) * n_each * width;
            let (qk, qkv) = (&qk[rows(heads.qk_width())], &qkv[rows(heads.qkv_width())]);
            for (head, cache) in caches.iter_mut().enumerate() {
                store(cache, heads, head, self.n_cached, qk, qkv);
            }
            cached_attention(cpu, heads, caches, self.n_cached, qk, &mut out[rows(width)]); // (N, H*D)
        }
        gemm_packed(cpu, Matrix::new(out, n, width), &layer.o, &mut b.middle[..n * c], Start::From(residual)); // (N, C)
    }

    /// residual = middle + swiglu(norm(middle) · Wgu^T) · Wdown^T
    fn ffn(&mut self, l: usize, n: usize) {
        let (cpu, layer, b) = (&self.cpu, &self.layers[l], &mut self.buffers);
        let (c, f) = (self.config.n_embd, self.config.n_ffn);
        let (middle, normed) = (&b.middle[..n * c], &mut b.normed[..n * c]);
        let (gate_up, hidden) = (&mut b.gate_up[..n * 2 * f], &mut b.hidden[..n * f]);
        rms_norm(cpu, middle, &layer.ffn_norm, self.config.norm_eps, normed);
        gemm_packed(cpu, Matrix::new(normed, n, c), &layer.gate_up, gate_up, Start::Zero); // (N, 2F)
        swiglu(cpu, f, gate_up, hidden); // (N, F)
        gemm_packed(cpu, Matrix::new(hidden, n, f), &layer.down, &mut b.residual[..n * c], Start::From(middle)); // (N, C)
    }
}

impl LanguageModel for Engine {
    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn context_len(&self) -> usize {
        self.context_len
    }

    fn n_cached(&self) -> usize {
        self.n_cached
    }

    fn truncate(&mut self, n_tokens: usize) {
        self.n_cached = self.n_cached.min(n_tokens);
    }

    fn feed(&mut self, ids: &[u32]) -> &[f32] {
        assert!(!ids.is_empty() && self.n_cached + ids.len() <= self.context_len, "{} ids do not fit", ids.len());
        assert_eq!(self.n_sequences, 1, "several sequences grow by `step`");
        let n_chunks = ids.len().div_ceil(CHUNK);
        for (i, chunk) in ids.chunks(CHUNK).enumerate() {
            self.rows(chunk, usize::from(i + 1 == n_chunks));
        }
        &self.logits[..self.config.vocab_size]
    }
}

impl Buffers {
    fn new(config: &Config, heads: Heads, n_rows: usize) -> Buffers {
        let rows = |width: usize| vec![0.0; n_rows * width];
        Buffers {
            residual: rows(config.n_embd),
            middle: rows(config.n_embd),
            normed: rows(config.n_embd),
            qkv: rows(heads.qkv_width()),
            qk: rows(heads.qk_width()),
            attention: rows(config.q_dim()),
            gate_up: rows(2 * config.n_ffn),
            hidden: rows(config.n_ffn),
        }
    }
}

/// Stores the keys and values of a chunk for one key/value head.
fn store(cache: &mut KvPanels, heads: Heads, head: usize, first: usize, qk: &[f32], qkv: &[f32]) {
    let d = heads.head_dim;
    for (r, (qk, qkv)) in qk.chunks_exact(heads.qk_width()).zip(qkv.chunks_exact(heads.qkv_width())).enumerate() {
        let key = &qk[(heads.n_head + head) * d..][..d];
        let value = &qkv[(heads.n_head + heads.n_kv_head + head) * d..][..d];
        cache.store(first + r, key, value);
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
        for family in [Family::Qwen3, Family::Llama, Family::Qwen2] {
            let config = Config { family, ..config() };
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
    fn a_family_with_learned_positions_is_refused() {
        let config = Config { family: Family::Gpt2, n_kv_head: 4, ..config() };
        let error =
            Engine::new(&config, &vec![0.0; config.n_params()], 10, 1).err().expect("it is not run").to_string();
        assert!(error.contains("gpt2"), "{error}");
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
    fn a_wrong_number_of_weights_or_context_is_an_error() {
        assert!(Engine::new(&config(), &[0.0; 3], 10, 1).is_err());
        let weights = initial_weights(&config(), 3);
        let message = Engine::new(&config(), &weights, 161, 1).err().expect("too long").to_string();
        assert!(message.contains("161") && message.contains("160"), "{message}");
    }
}
