//! Which type each tensor gets when a model is written as GGUF: llama.cpp's mixtures of the same names
//! (`src/llama-quant.cpp`), so that a file of a type here means what it means elsewhere.
//!
//! Vectors stay F32, as do learned positions. Of the quantized mixtures the output head (the embedding where it is tied)
//! gets Q6_K, unless all is Q8_0. Q4_K_M and Q5_K_M give more bits to half of the matrices that a model feels most: the
//! values of attention and the feed-forward's way down, in the first eighth of the blocks, the last eighth, and every third
//! between. A row that is no number of 256-element blocks gets a type of 32-element blocks with about as many bits, and one
//! that is no number of those either F16.

use super::{Config, Part, TensorSpec};
use crate::formats::blocks::TensorType;
use std::fmt;

/// A mixture of types, by the name of the one that most weights have.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// Single precision: exact for what was trained here.
    F32,
    /// Half precision.
    F16,
    /// The upper half of single precision.
    BF16,
    /// 8.5 bits.
    Q8_0,
    /// 6.6 bits.
    Q6_K,
    /// 5.7 bits.
    Q5_K_M,
    /// 6 bits.
    Q5_1,
    /// 5.5 bits.
    Q5_0,
    /// 4.8 bits.
    Q4_K_M,
    /// 5 bits.
    Q4_1,
    /// 4.5 bits.
    Q4_0,
}

/// How a tensor is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Its type.
    pub kind: TensorType,
    /// The type that the mixture would give it if its rows were longer.
    pub instead_of: Option<TensorType>,
}

impl Mix {
    /// All of them, the most bits first.
    pub const ALL: [Mix; 11] = [
        Mix::F32,
        Mix::F16,
        Mix::BF16,
        Mix::Q8_0,
        Mix::Q6_K,
        Mix::Q5_1,
        Mix::Q5_K_M,
        Mix::Q5_0,
        Mix::Q4_1,
        Mix::Q4_K_M,
        Mix::Q4_0,
    ];

    /// As typed on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Mix::F32 => "f32",
            Mix::F16 => "f16",
            Mix::BF16 => "bf16",
            Mix::Q8_0 => "q8_0",
            Mix::Q6_K => "q6_k",
            Mix::Q5_K_M => "q5_k_m",
            Mix::Q5_1 => "q5_1",
            Mix::Q5_0 => "q5_0",
            Mix::Q4_K_M => "q4_k_m",
            Mix::Q4_1 => "q4_1",
            Mix::Q4_0 => "q4_0",
        }
    }

    /// The mixture of that name, in upper or lower case.
    pub fn named(name: &str) -> Option<Mix> {
        Mix::ALL.into_iter().find(|mix| mix.name().eq_ignore_ascii_case(name))
    }

    /// llama.cpp's number of the mixture (`general.file_type`).
    pub fn file_type(self) -> u32 {
        match self {
            Mix::F32 => 0,
            Mix::F16 => 1,
            Mix::Q4_0 => 2,
            Mix::Q4_1 => 3,
            Mix::Q8_0 => 7,
            Mix::Q5_0 => 8,
            Mix::Q5_1 => 9,
            Mix::Q4_K_M => 15,
            Mix::Q5_K_M => 17,
            Mix::Q6_K => 18,
            Mix::BF16 => 32,
        }
    }

    /// The type of most matrices.
    fn main(self) -> TensorType {
        match self {
            Mix::F32 => TensorType::F32,
            Mix::F16 => TensorType::F16,
            Mix::BF16 => TensorType::BF16,
            Mix::Q8_0 => TensorType::Q8_0,
            Mix::Q6_K => TensorType::Q6_K,
            Mix::Q5_K_M => TensorType::Q5_K,
            Mix::Q5_1 => TensorType::Q5_1,
            Mix::Q5_0 => TensorType::Q5_0,
            Mix::Q4_K_M => TensorType::Q4_K,
            Mix::Q4_1 => TensorType::Q4_1,
            Mix::Q4_0 => TensorType::Q4_0,
        }
    }

    /// How `tensor` of a model of shape `config` is stored.
    pub fn stored(self, config: &Config, tensor: &TensorSpec) -> Stored {
        if !tensor.is_matrix() || tensor.part == Part::Positions {
            return Stored { kind: TensorType::F32, instead_of: None };
        }
        let (wanted, row_len) = (self.wanted(config, tensor), tensor.shape[1]);
        let fits = |kind: TensorType| row_len.is_multiple_of(kind.block_len());
        if fits(wanted) {
            return Stored { kind: wanted, instead_of: None };
        }
        let shorter = match wanted {
            TensorType::Q4_K => TensorType::Q5_0,
            TensorType::Q5_K => TensorType::Q5_1,
            TensorType::Q6_K => TensorType::Q8_0,
            other => other,
        };
        let kind = if fits(shorter) { shorter } else { TensorType::F16 };
        Stored { kind, instead_of: Some(wanted) }
    }

    fn wanted(self, config: &Config, tensor: &TensorSpec) -> TensorType {
        let main = self.main();
        let is_output = tensor.part == Part::Head || config.tied && tensor.part == Part::Embed;
        if is_output && main.is_quantized() && main != TensorType::Q8_0 {
            return TensorType::Q6_K;
        }
        let deserves_more = tensor.layer.is_some_and(|layer| gets_more_bits(layer, config.n_layer));
        match (self, tensor.part) {
            (Mix::Q4_K_M | Mix::Q5_K_M, Part::V | Part::Down) if deserves_more => TensorType::Q6_K,
            (Mix::Q4_K_M, Part::Qkv) => TensorType::Q5_K,
            (Mix::Q5_K_M, Part::Qkv) => TensorType::Q6_K,
            _ => main,
        }
    }
}

/// The first eighth of the blocks, the last, and every third between.
fn gets_more_bits(layer: usize, n_layer: usize) -> bool {
    let eighth = n_layer / 8;
    layer < eighth || layer >= 7 * n_layer / 8 || (layer - eighth) % 3 == 2
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, Layout, Preset};

    fn stored(mix: Mix, config: &Config, name: &str) -> Stored {
        let layout = Layout::new(config);
        mix.stored(config, layout.tensors.iter().find(|tensor| tensor.gguf_name() == name).unwrap())
    }

    fn kind(mix: Mix, config: &Config, name: &str) -> TensorType {
        stored(mix, config, name).kind
    }

    #[test]
    fn names_and_numbers_are_those_of_llama_cpp() {
        for mix in Mix::ALL {
            assert_eq!(Mix::named(&mix.name().to_uppercase()), Some(mix));
        }
        assert_eq!((Mix::named("q3_k"), Mix::Q4_K_M.file_type(), Mix::Q8_0.file_type()), (None, 15, 7));
    }

    #[test]
    fn the_head_and_half_of_the_values_get_more_bits() {
        let config = Config { n_layer: 16, n_embd: 512, n_ffn: 1024, tied: false, ..Preset::Base.config(600, 64) };
        assert_eq!(kind(Mix::Q4_K_M, &config, "output.weight"), TensorType::Q6_K);
        assert_eq!(kind(Mix::Q4_K_M, &config, "token_embd.weight"), TensorType::Q4_K);
        assert_eq!(kind(Mix::Q4_0, &config, "output.weight"), TensorType::Q6_K);
        assert_eq!(kind(Mix::Q8_0, &config, "output.weight"), TensorType::Q8_0);
        assert_eq!(kind(Mix::Q4_K_M, &Config { tied: true, ..config.clone() }, "token_embd.weight"), TensorType::Q6_K);
        let layers: Vec<usize> = (0..16)
            .filter(|layer| kind(Mix::Q4_K_M, &config, &format!("blk.{layer}.attn_v.weight")) == TensorType::Q6_K)
            .collect();
        assert_eq!(layers, [0, 1, 4, 7, 10, 13, 14, 15]);
        assert_eq!(kind(Mix::Q4_K_M, &config, "blk.0.ffn_down.weight"), TensorType::Q6_K);
        assert_eq!(kind(Mix::Q4_K_M, &config, "blk.0.attn_q.weight"), TensorType::Q4_K);
        assert_eq!(kind(Mix::Q4_K_M, &config, "blk.0.attn_norm.weight"), TensorType::F32);
        let gpt2 = Config { family: Family::Gpt2, n_layer: 16, n_embd: 512, n_ffn: 1024, ..config };
        assert_eq!(kind(Mix::Q4_K_M, &gpt2, "blk.3.attn_qkv.weight"), TensorType::Q5_K);
        assert_eq!(kind(Mix::Q4_K_M, &gpt2, "position_embd.weight"), TensorType::F32);
    }

    #[test]
    fn rows_of_another_width_get_shorter_blocks_and_it_is_said() {
        let config = Config { n_embd: 192, n_ffn: 512, ..Preset::Tiny.config(600, 64) };
        let found = stored(Mix::Q4_K_M, &config, "blk.0.attn_q.weight");
        assert_eq!(found, Stored { kind: TensorType::Q5_0, instead_of: Some(TensorType::Q4_K) });
        assert_eq!(kind(Mix::Q5_K_M, &config, "blk.0.attn_q.weight"), TensorType::Q5_1);
        assert_eq!(kind(Mix::Q4_0, &config, "token_embd.weight"), TensorType::Q8_0);
        assert_eq!(stored(Mix::Q4_0, &config, "blk.0.attn_q.weight").instead_of, None);
        let narrow = Config { n_embd: 40, ..config };
        assert_eq!(kind(Mix::Q8_0, &narrow, "blk.0.attn_q.weight"), TensorType::F16);
        assert_eq!(kind(Mix::F32, &narrow, "blk.0.attn_q.weight"), TensorType::F32);
    }
}
