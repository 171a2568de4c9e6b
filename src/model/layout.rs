//! Where each tensor lies in the one flat block that holds all weights, under its Hugging Face name.
//!
//! Gradients and optimizer moments use the same layout. Within a block the matrices that are multiplied together lie
//! next to each other (q, k, v; gate, up), so that one matrix product serves all of them.

use super::Config;
use std::ops::Range;

/// A tensor's name, shape and place.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorSpec {
    /// The name in `model.safetensors`, such as `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// Rows and columns of a matrix (out, in), or the length of a vector.
    pub shape: Vec<usize>,
    /// Elements of the flat block that it takes.
    pub range: Range<usize>,
}

impl TensorSpec {
    /// Matrices are decayed and vectors (norm weights) are not, as is customary since GPT-2.
    pub fn is_matrix(&self) -> bool {
        self.shape.len() == 2
    }
}

/// The places of one block's weights. Shapes are (out, in).
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// RMSNorm before attention: (C).
    pub attn_norm: Range<usize>,
    /// q, k and v projections under each other: (H*D + 2*KV*D, C).
    pub qkv: Range<usize>,
    /// RMSNorm of each query head: (D).
    pub q_norm: Range<usize>,
    /// RMSNorm of each key head: (D).
    pub k_norm: Range<usize>,
    /// Attention's output projection: (C, H*D).
    pub o: Range<usize>,
    /// RMSNorm before the feed-forward layer: (C).
    pub ffn_norm: Range<usize>,
    /// gate and up projections under each other: (2*F, C).
    pub gate_up: Range<usize>,
    /// down projection: (C, F).
    pub down: Range<usize>,
}

/// All tensors of a model in the order in which they lie in the flat block.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// Every tensor, in order, without gaps.
    pub tensors: Vec<TensorSpec>,
    /// Token embedding: (V, C).
    pub embed: Range<usize>,
    /// The blocks.
    pub layers: Vec<Layer>,
    /// The last RMSNorm: (C).
    pub final_norm: Range<usize>,
    /// Output head: (V, C); the embedding's own range when tied.
    pub head: Range<usize>,
    /// Elements of the whole block.
    pub n_elements: usize,
}

impl Layout {
    /// Lays out the weights of `config`.
    pub fn new(config: &Config) -> Layout {
        let (c, d, f) = (config.n_embd, config.head_dim, config.n_ffn);
        let mut at = Builder::default();
        let embed = at.add("model.embed_tokens.weight", &[config.vocab_size, c]);
        let mut layers = Vec::with_capacity(config.n_layer);
        for i in 0..config.n_layer {
            let p = format!("model.layers.{i}");
            let attn_norm = at.add(&format!("{p}.input_layernorm.weight"), &[c]);
            let q = at.add(&format!("{p}.self_attn.q_proj.weight"), &[config.q_dim(), c]);
            at.add(&format!("{p}.self_attn.k_proj.weight"), &[config.kv_dim(), c]);
            let v = at.add(&format!("{p}.self_attn.v_proj.weight"), &[config.kv_dim(), c]);
            let q_norm = at.add(&format!("{p}.self_attn.q_norm.weight"), &[d]);
            let k_norm = at.add(&format!("{p}.self_attn.k_norm.weight"), &[d]);
            let o = at.add(&format!("{p}.self_attn.o_proj.weight"), &[c, config.q_dim()]);
            let ffn_norm = at.add(&format!("{p}.post_attention_layernorm.weight"), &[c]);
            let gate = at.add(&format!("{p}.mlp.gate_proj.weight"), &[f, c]);
            let up = at.add(&format!("{p}.mlp.up_proj.weight"), &[f, c]);
            let down = at.add(&format!("{p}.mlp.down_proj.weight"), &[c, f]);
            layers.push(Layer {
                attn_norm,
                qkv: q.start..v.end,
                q_norm,
                k_norm,
                o,
                ffn_norm,
                gate_up: gate.start..up.end,
                down,
            });
        }
        let final_norm = at.add("model.norm.weight", &[c]);
        let head = if config.tied { embed.clone() } else { at.add("lm_head.weight", &[config.vocab_size, c]) };
        Layout { tensors: at.tensors, embed, layers, final_norm, head, n_elements: at.end }
    }
}

#[derive(Default)]
struct Builder {
    tensors: Vec<TensorSpec>,
    end: usize,
}

impl Builder {
    fn add(&mut self, name: &str, shape: &[usize]) -> Range<usize> {
        let range = self.end..self.end + shape.iter().product::<usize>();
        self.end = range.end;
        self.tensors.push(TensorSpec { name: name.to_owned(), shape: shape.to_vec(), range: range.clone() });
        range
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Preset;

    #[test]
    fn tensors_fill_the_block_without_gaps_and_agree_with_the_count() {
        for tied in [true, false] {
            let config = Config { tied, n_kv_head: 2, ..Preset::Nano.config(300, 64) };
            let layout = Layout::new(&config);
            let mut end = 0;
            for tensor in &layout.tensors {
                assert_eq!(tensor.range.start, end, "{}", tensor.name);
                end = tensor.range.end;
            }
            assert_eq!((end, layout.n_elements), (config.n_params(), config.n_params()));
        }
    }
}
