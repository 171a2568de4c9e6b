//! The network at rest: weights packed for the CPU, a KV cache, prefill and decode.
//!
//! Token ids in, logits out; this module knows no text and no sampling. What siskin has kernels for runs in [`Engine`];
//! other families of GGUF files run in [`candle_backend`], behind the same trait.

pub mod bench;
pub mod candle_backend;
mod engine;
mod lookup;
mod weights;

pub use crate::kernels::transformer::CacheType;
pub use engine::{Engine, Settings};
pub use lookup::{Drafted, Lookup};
pub use weights::{FlatWeights, StoredTensor, WeightSource, weight_type};

use crate::model::Family;
use anyhow::{Result, bail};

/// A language model with a cache of what it has read. Generation needs no more than this.
pub trait LanguageModel {
    /// Entries of the vocabulary: the length of the logits.
    fn vocab_size(&self) -> usize;
    /// Tokens that the cache can hold.
    fn context_len(&self) -> usize;
    /// Tokens that the cache holds.
    fn n_cached(&self) -> usize;
    /// Forgets all tokens after the first `n_tokens`.
    fn truncate(&mut self, n_tokens: usize);
    /// Reads `ids` after what was read before and returns the logits that follow the last of them.
    ///
    /// The caller sees to it that there is at least one id, that all ids are below `vocab_size`, and that
    /// `n_cached + ids.len() <= context_len`.
    fn feed(&mut self, ids: &[u32]) -> &[f32];
    /// Reads `ids` after what was read before, and shows `each` the logits that follow each of them, in order. The caller
    /// sees to what [`feed`](Self::feed) asks for.
    fn feed_each(&mut self, ids: &[u32], each: &mut dyn FnMut(&[f32])) {
        ids.iter().for_each(|&id| each(self.feed(&[id])));
    }
    /// The same for a model that can fail at it, with the reason. The model is then as it was before; [`Self::feed`] of such
    /// a model returns logits that are no numbers, so that nothing can be drawn from them.
    fn try_feed(&mut self, ids: &[u32]) -> Result<&[f32]> {
        Ok(self.feed(ids))
    }
    /// Sequences that it holds side by side, each with a cache of its own; all that is above is about the first.
    fn n_sequences(&self) -> usize {
        1
    }
    /// [`truncate`](Self::truncate) of one sequence.
    fn truncate_sequence(&mut self, sequence: usize, n_tokens: usize) {
        assert_eq!(sequence, 0, "there is one sequence");
        self.truncate(n_tokens);
    }
    /// [`try_feed`](Self::try_feed) of one sequence.
    fn feed_sequence(&mut self, sequence: usize, ids: &[u32]) -> Result<&[f32]> {
        assert_eq!(sequence, 0, "there is one sequence");
        self.try_feed(ids)
    }
    /// Reads one more id of each of some sequences (B), and returns the logits that follow each (B, V): the same as if each
    /// were fed alone.
    fn step_sequences(&mut self, next: &[(usize, u32)]) -> Result<&[f32]> {
        let [(0, id)] = next else { panic!("there is one sequence") };
        self.try_feed(&[*id])
    }
    /// How guesses have fared, for a model that makes any: see [`Lookup`].
    fn drafted(&self) -> Drafted {
        Drafted::default()
    }
}

/// What runs an architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// siskin's own engine.
    Native,
    /// candle: see [`candle_backend`].
    Candle,
}

impl Backend {
    /// What runs files of `architecture` (`general.architecture`); an error lists all that are known.
    pub fn of(architecture: &str) -> Result<Backend> {
        if Family::ALL.iter().any(|family| family.name() == architecture) {
            return Ok(Backend::Native);
        }
        if candle_backend::supports(architecture) {
            return Ok(Backend::Candle);
        }
        let candle = candle_backend::architectures().collect::<Vec<_>>().join(", ");
        let native = Family::ALL.map(Family::name).join(", ");
        bail!(
            "the model's architecture is {architecture:?}, which nothing here runs: siskin itself runs {native}, and \
             candle runs {candle}"
        )
    }

    /// Its name for people: `native` or `candle`.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Native => "native",
            Backend::Candle => "candle",
        }
    }
}
