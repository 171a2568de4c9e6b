//! The published architectures whose weights have a place here, and the switches in which they differ.
//!
//! | | norm | positions | attention | feed-forward | biases |
//! |---|---|---|---|---|---|
//! | qwen3 (what is trained here) | RMSNorm | rotary | QK-norm | SwiGLU | none |
//! | llama | RMSNorm | rotary | | SwiGLU | none |
//! | qwen2 | RMSNorm | rotary | | SwiGLU | q, k, v |
//! | gpt2 | LayerNorm | learned | one matrix for q, k, v | GELU | all |
//!
//! Rotary positions turn the two halves of a head against each other, as transformers does. Meta's own llama weights, and
//! with them GGUF files of `llama` and llama2.c's, turn neighbours instead, with the rows of q and k in another order
//! ([`interleave`]): the same network.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// An architecture, by the name that `config.json` (`model_type`) and GGUF (`general.architecture`) give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Qwen3, dense: what siskin trains.
    #[default]
    Qwen3,
    /// Llama 1 to 3 (without rotary scaling), and what has its shape: SmolLM2, TinyLlama, Mistral without a window.
    Llama,
    /// Qwen2 and Qwen2.5, dense.
    Qwen2,
    /// GPT-2.
    Gpt2,
}

impl Family {
    /// All of them.
    pub const ALL: [Family; 4] = [Family::Qwen3, Family::Llama, Family::Qwen2, Family::Gpt2];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Family::Qwen3 => "qwen3",
            Family::Llama => "llama",
            Family::Qwen2 => "qwen2",
            Family::Gpt2 => "gpt2",
        }
    }

    /// The family called `name`; an error lists those that are known.
    pub fn named(name: &str) -> Result<Family> {
        match Family::ALL.into_iter().find(|family| family.name() == name) {
            Some(family) => Ok(family),
            None => bail!(
                "the model is of the family {name:?}, but the known families are {}",
                Family::ALL.map(Family::name).join(", ")
            ),
        }
    }

    /// Whether query and key heads are normalised.
    pub fn has_qk_norm(self) -> bool {
        self == Family::Qwen3
    }

    /// Whether q, k and v have biases.
    pub fn has_qkv_bias(self) -> bool {
        matches!(self, Family::Qwen2 | Family::Gpt2)
    }

    /// Whether every other matrix and every norm has one too. Norms are then LayerNorm, else RMSNorm.
    pub fn has_all_biases(self) -> bool {
        self == Family::Gpt2
    }

    /// Whether positions are rotations of q and k; else they are learned and added to the embedding.
    pub fn rotates(self) -> bool {
        self != Family::Gpt2
    }

    /// Matrices of a feed-forward layer: gate, up and down, or up and down with GELU (its tanh form) between.
    pub fn n_ffn_matrices(self) -> usize {
        if self == Family::Gpt2 { 2 } else { 3 }
    }

    /// Tensors of a block under their Hugging Face names.
    pub fn tensors_per_layer(self) -> usize {
        match self {
            Family::Qwen3 => 11,
            Family::Llama => 9,
            Family::Qwen2 | Family::Gpt2 => 12,
        }
    }

    /// Whether a GGUF file has the rows of q and k in the order of [`interleave`].
    pub fn is_interleaved_in_gguf(self) -> bool {
        self == Family::Llama
    }
}

/// The rows of q or k, one head of `head_dim` rows after the other, reordered so that what lay half a head apart lies side
/// by side: from transformers' order to Meta's.
pub fn interleave(rows: &[f32], head_dim: usize, row_len: usize) -> Vec<f32> {
    reorder(rows, head_dim, row_len, |i| i % 2 * (head_dim / 2) + i / 2)
}

/// The inverse of [`interleave`]: from Meta's order to transformers'.
pub fn deinterleave(rows: &[f32], head_dim: usize, row_len: usize) -> Vec<f32> {
    reorder(rows, head_dim, row_len, |i| deinterleaved_row(i, head_dim))
}

/// Which row of a matrix in Meta's order is row `r` in transformers' order.
pub fn deinterleaved_row(r: usize, head_dim: usize) -> usize {
    let i = r % head_dim;
    r - i + i % (head_dim / 2) * 2 + i / (head_dim / 2)
}

/// Row i of each head comes from row `from(i)` of the same head.
fn reorder(rows: &[f32], head_dim: usize, row_len: usize, from: impl Fn(usize) -> usize) -> Vec<f32> {
    let n_rows = rows.len() / row_len;
    let row = |r: usize| &rows[(r - r % head_dim + from(r % head_dim)) * row_len..][..row_len];
    (0..n_rows).flat_map(row).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_were_half_a_head_apart() {
        // Two heads of four rows, two numbers a row.
        let rows: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let mixed = interleave(&rows, 4, 2);
        assert_eq!(mixed[..8], [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
        assert_eq!(mixed[8..12], [8.0, 9.0, 12.0, 13.0]);
        assert_eq!(deinterleave(&mixed, 4, 2), rows);
    }

    #[test]
    fn an_unknown_family_is_told_the_known_ones() {
        let message = Family::named("mamba").unwrap_err().to_string();
        assert!(message.contains("\"mamba\"") && message.ends_with("qwen3, llama, qwen2, gpt2"), "{message}");
        for family in Family::ALL {
            assert_eq!(serde_json::to_value(family).unwrap(), family.name());
        }
    }
}
