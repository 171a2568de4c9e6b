//! The shape of a model and its validation.
//!
//! Field names follow nanoGPT.

use super::Family;
use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// The shape of a model: everything needed to know how many weights there are and how they are used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Transformer blocks.
    pub n_layer: usize,
    /// Query heads in a block.
    pub n_head: usize,
    /// Key/value heads in a block; divides `n_head`.
    pub n_kv_head: usize,
    /// Width of the residual stream (C).
    pub n_embd: usize,
    /// Width of a head (D); even, because rotary positions turn pairs.
    pub head_dim: usize,
    /// Width of the feed-forward layer (F).
    pub n_ffn: usize,
    /// Entries of the vocabulary (V).
    pub vocab_size: usize,
    /// Longest context in tokens (T).
    pub block_size: usize,
    /// Base of the rotary frequencies (10,000 in the RoFormer paper, arXiv 2104.09864).
    pub rope_theta: f32,
    /// Added to the mean square under RMSNorm's root.
    pub norm_eps: f32,
    /// Whether the output head is the embedding matrix.
    pub tied: bool,
    /// Whose arithmetic it is.
    #[serde(default)]
    pub family: Family,
}

impl Config {
    /// Rejects a shape that no model can have; each error names both numbers.
    pub fn validate(&self) -> Result<()> {
        for (name, value) in [
            ("layers", self.n_layer),
            ("heads", self.n_head),
            ("kv-heads", self.n_kv_head),
            ("width", self.n_embd),
            ("head width", self.head_dim),
            ("ffn", self.n_ffn),
            ("vocab", self.vocab_size),
        ] {
            ensure!(value > 0, "{name} is 0, but a model needs at least 1");
            ensure!(value <= 1 << 24, "{name} is {value}, above the limit of {}", 1 << 24);
        }
        ensure!(
            self.block_size >= 2,
            "context is {}, but learning to continue needs at least 2 tokens",
            self.block_size
        );
        ensure!(
            self.n_head.is_multiple_of(self.n_kv_head),
            "{} heads cannot share {} kv-heads evenly: choose a divisor of {}",
            self.n_head,
            self.n_kv_head,
            self.n_head
        );
        ensure!(
            self.family.rotates() || self.q_dim() == self.n_embd && self.n_kv_head == self.n_head,
            "a {} model has heads of its width ({}), each with its own keys, not {} of {} over {} kv-heads",
            self.family.name(),
            self.n_embd,
            self.n_head,
            self.head_dim,
            self.n_kv_head
        );
        ensure!(
            self.head_dim.is_multiple_of(2) || !self.family.rotates(),
            "a head is {} wide, but rotary positions turn pairs: width {} over {} heads must be even",
            self.head_dim,
            self.n_embd,
            self.n_head
        );
        ensure!(
            self.rope_theta > 1.0 && self.rope_theta.is_finite(),
            "rope theta is {}, but must be above 1",
            self.rope_theta
        );
        ensure!(
            self.norm_eps > 0.0 && self.norm_eps < 1.0,
            "norm epsilon is {}, but must lie in (0, 1)",
            self.norm_eps
        );
        Ok(())
    }

    /// The width of a head when `n_embd` is split evenly, or an error that names both numbers.
    pub fn even_head_dim(n_embd: usize, n_head: usize) -> Result<usize> {
        ensure!(n_head > 0, "heads is 0, but a model needs at least 1");
        if !n_embd.is_multiple_of(n_head) {
            bail!("width {n_embd} is not divisible by {n_head} heads");
        }
        Ok(n_embd / n_head)
    }

    /// Width of all query heads together (H * D).
    pub fn q_dim(&self) -> usize {
        self.n_head * self.head_dim
    }

    /// Width of all key heads together (KV * D).
    pub fn kv_dim(&self) -> usize {
        self.n_kv_head * self.head_dim
    }

    /// Number of trainable weights; a tied head is counted once.
    pub fn n_params(&self) -> usize {
        let (c, f, qkv) = (self.n_embd, self.n_ffn, self.q_dim() + 2 * self.kv_dim());
        let family = self.family;
        let only_if = |has: bool, n: usize| if has { n } else { 0 };
        let vectors_of_a_norm = if family.has_all_biases() { 2 } else { 1 };
        let attention = c * (qkv + self.q_dim())
            + only_if(family.has_qk_norm(), 2 * self.head_dim)
            + only_if(family.has_qkv_bias(), qkv)
            + only_if(family.has_all_biases(), c);
        let ffn = family.n_ffn_matrices() * c * f + only_if(family.has_all_biases(), f + c);
        let block = attention + ffn + 2 * vectors_of_a_norm * c;
        let heads = if self.tied { 1 } else { 2 };
        let positions = only_if(!family.rotates(), self.block_size * c);
        heads * self.vocab_size * c + positions + self.n_layer * block + vectors_of_a_norm * c
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Preset;

    #[test]
    fn shape_errors_name_both_numbers() {
        let good = Preset::Nano.config(512, 64);
        let cases: [(Config, &[&str]); 3] = [
            (Config { n_head: 6, n_kv_head: 4, ..good.clone() }, &["6 heads", "4 kv-heads"]),
            (Config { head_dim: 33, ..good.clone() }, &["33 wide", "over 2 heads"]),
            (Config { block_size: 1, ..good.clone() }, &["context is 1", "at least 2"]),
        ];
        for (config, words) in cases {
            let message = config.validate().unwrap_err().to_string();
            assert!(words.iter().all(|w| message.contains(w)), "{message:?} lacks one of {words:?}");
        }
        let message = Config::even_head_dim(250, 4).unwrap_err().to_string();
        assert!(message.contains("250") && message.contains('4'), "{message}");
    }
}
