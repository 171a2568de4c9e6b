//! The network at rest: weights packed for the CPU, a KV cache, prefill and decode.
//!
//! Token ids in, logits out; this module knows no text, no sampling and no files.

mod engine;
mod weights;

pub use crate::kernels::transformer::CacheType;
pub use engine::{Engine, Settings};
pub use weights::{FlatWeights, StoredTensor, WeightSource};

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
}
