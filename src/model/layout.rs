//! Where each tensor lies in the one flat block that holds all weights, under its Hugging Face name.
//!
//! Gradients and optimizer moments use the same layout. Within a block the matrices that are multiplied together lie
//! next to each other (q, k, v; gate, up), so that one matrix product serves all of them.

use super::{Config, Family};
use std::ops::Range;

/// What a tensor is in the network, whatever it is called in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Token embedding.
    Embed,
    /// Learned positions, added to the embedding.
    Positions,
    /// Norm before attention.
    AttnNorm,
    /// Query projection.
    Q,
    /// Key projection.
    K,
    /// Value projection.
    V,
    /// All three under each other.
    Qkv,
    /// Norm of each query head.
    QNorm,
    /// Norm of each key head.
    KNorm,
    /// Attention's output projection.
    O,
    /// Norm before the feed-forward layer.
    FfnNorm,
    /// Gate projection.
    Gate,
    /// Up projection.
    Up,
    /// Down projection.
    Down,
    /// The last norm.
    FinalNorm,
    /// Output head.
    Head,
}

/// A tensor's name, shape and place.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorSpec {
    /// The name in `model.safetensors`, such as `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// Rows and columns of a matrix (out, in), or the length of a vector.
    pub shape: Vec<usize>,
    /// Elements of the flat block that it takes.
    pub range: Range<usize>,
    /// What it is.
    pub part: Part,
    /// The block that it belongs to.
    pub layer: Option<usize>,
    /// Whether it is added and not multiplied.
    pub is_bias: bool,
    /// Whether `model.safetensors` has it as (in, out): GPT-2's matrices.
    pub is_transposed_in_file: bool,
}

impl TensorSpec {
    /// Matrices are decayed and vectors (norm weights) are not, as is customary since GPT-2.
    pub fn is_matrix(&self) -> bool {
        self.shape.len() == 2
    }
}

/// The places of one block's weights; shapes are (out, in). What the model's family does not have is an empty range.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layer {
    /// Norm before attention: (C).
    pub attn_norm: Range<usize>,
    /// Its bias: (C).
    pub attn_norm_bias: Range<usize>,
    /// q, k and v projections under each other: (H*D + 2*KV*D, C).
    pub qkv: Range<usize>,
    /// Their biases: (H*D + 2*KV*D).
    pub qkv_bias: Range<usize>,
    /// RMSNorm of each query head: (D).
    pub q_norm: Range<usize>,
    /// RMSNorm of each key head: (D).
    pub k_norm: Range<usize>,
    /// Attention's output projection: (C, H*D).
    pub o: Range<usize>,
    /// Its bias: (C).
    pub o_bias: Range<usize>,
    /// Norm before the feed-forward layer: (C).
    pub ffn_norm: Range<usize>,
    /// Its bias: (C).
    pub ffn_norm_bias: Range<usize>,
    /// gate and up projections under each other: (2*F, C); up alone where the family has no gate: (F, C).
    pub gate_up: Range<usize>,
    /// The bias of up alone: (F).
    pub up_bias: Range<usize>,
    /// down projection: (C, F).
    pub down: Range<usize>,
    /// Its bias: (C).
    pub down_bias: Range<usize>,
}

/// All tensors of a model in the order in which they lie in the flat block.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// Every tensor, in order, without gaps.
    pub tensors: Vec<TensorSpec>,
    /// Token embedding: (V, C).
    pub embed: Range<usize>,
    /// Learned positions: (T, C); empty where positions are rotations.
    pub positions: Range<usize>,
    /// The blocks.
    pub layers: Vec<Layer>,
    /// The last norm: (C).
    pub final_norm: Range<usize>,
    /// Its bias: (C), or empty.
    pub final_norm_bias: Range<usize>,
    /// Output head: (V, C); the embedding's own range when tied.
    pub head: Range<usize>,
    /// Elements of the whole block.
    pub n_elements: usize,
}

impl Layout {
    /// Lays out the weights of `config`.
    pub fn new(config: &Config) -> Layout {
        match config.family {
            Family::Gpt2 => gpt2(config),
            _ => llama(config),
        }
    }
}

/// The llama shape, with QK-norm or biases where the family has them.
fn llama(config: &Config) -> Layout {
    let (c, d, f) = (config.n_embd, config.head_dim, config.n_ffn);
    let mut at = Builder::default();
    let embed = at.add(Part::Embed, "model.embed_tokens.weight", &[config.vocab_size, c]);
    let mut layers = Vec::with_capacity(config.n_layer);
    for i in 0..config.n_layer {
        at.layer = Some(i);
        let p = format!("model.layers.{i}");
        let mut layer = Layer {
            attn_norm: at.add(Part::AttnNorm, &format!("{p}.input_layernorm.weight"), &[c]),
            ..Layer::default()
        };
        let rows = [(Part::Q, "q", config.q_dim()), (Part::K, "k", config.kv_dim()), (Part::V, "v", config.kv_dim())];
        layer.qkv = at.joined(rows.map(|(part, x, n)| (part, format!("{p}.self_attn.{x}_proj.weight"), vec![n, c])));
        if config.family.has_qkv_bias() {
            layer.qkv_bias =
                at.joined(rows.map(|(part, x, n)| (part, format!("{p}.self_attn.{x}_proj.bias"), vec![n])));
        }
        if config.family.has_qk_norm() {
            layer.q_norm = at.add(Part::QNorm, &format!("{p}.self_attn.q_norm.weight"), &[d]);
            layer.k_norm = at.add(Part::KNorm, &format!("{p}.self_attn.k_norm.weight"), &[d]);
        }
        layer.o = at.add(Part::O, &format!("{p}.self_attn.o_proj.weight"), &[c, config.q_dim()]);
        layer.ffn_norm = at.add(Part::FfnNorm, &format!("{p}.post_attention_layernorm.weight"), &[c]);
        let rows = [(Part::Gate, "gate"), (Part::Up, "up")];
        layer.gate_up = at.joined(rows.map(|(part, x)| (part, format!("{p}.mlp.{x}_proj.weight"), vec![f, c])));
        layer.down = at.add(Part::Down, &format!("{p}.mlp.down_proj.weight"), &[c, f]);
        layers.push(layer);
    }
    at.layer = None;
    let final_norm = at.add(Part::FinalNorm, "model.norm.weight", &[c]);
    at.finish(config, embed, 0..0, layers, (final_norm, 0..0))
}

fn gpt2(config: &Config) -> Layout {
    let (c, f) = (config.n_embd, config.n_ffn);
    let mut at = Builder::default();
    let embed = at.add(Part::Embed, "transformer.wte.weight", &[config.vocab_size, c]);
    let positions = at.add(Part::Positions, "transformer.wpe.weight", &[config.block_size, c]);
    let mut layers = Vec::with_capacity(config.n_layer);
    for i in 0..config.n_layer {
        at.layer = Some(i);
        let p = format!("transformer.h.{i}");
        let (attn_norm, attn_norm_bias) = at.add_norm(Part::AttnNorm, &format!("{p}.ln_1"), c);
        let (qkv, qkv_bias) = at.add_conv1d(Part::Qkv, &format!("{p}.attn.c_attn"), [3 * c, c]);
        let (o, o_bias) = at.add_conv1d(Part::O, &format!("{p}.attn.c_proj"), [c, c]);
        let (ffn_norm, ffn_norm_bias) = at.add_norm(Part::FfnNorm, &format!("{p}.ln_2"), c);
        let (gate_up, up_bias) = at.add_conv1d(Part::Up, &format!("{p}.mlp.c_fc"), [f, c]);
        let (down, down_bias) = at.add_conv1d(Part::Down, &format!("{p}.mlp.c_proj"), [c, f]);
        layers.push(Layer {
            attn_norm,
            attn_norm_bias,
            qkv,
            qkv_bias,
            o,
            o_bias,
            ffn_norm,
            ffn_norm_bias,
            gate_up,
            up_bias,
            down,
            down_bias,
            ..Layer::default()
        });
    }
    at.layer = None;
    let final_norm = at.add_norm(Part::FinalNorm, "transformer.ln_f", c);
    at.finish(config, embed, positions, layers, final_norm)
}

#[derive(Default)]
struct Builder {
    tensors: Vec<TensorSpec>,
    end: usize,
    layer: Option<usize>,
}

impl Builder {
    fn add(&mut self, part: Part, name: &str, shape: &[usize]) -> Range<usize> {
        let range = self.end..self.end + shape.iter().product::<usize>();
        self.end = range.end;
        self.tensors.push(TensorSpec {
            name: name.to_owned(),
            shape: shape.to_vec(),
            range: range.clone(),
            part,
            layer: self.layer,
            is_bias: name.ends_with(".bias"),
            is_transposed_in_file: false,
        });
        range
    }

    /// Tensors that are used as one.
    fn joined<const N: usize>(&mut self, tensors: [(Part, String, Vec<usize>); N]) -> Range<usize> {
        let start = self.end;
        for (part, name, shape) in tensors {
            self.add(part, &name, &shape);
        }
        start..self.end
    }

    /// Weight and bias of a LayerNorm.
    fn add_norm(&mut self, part: Part, name: &str, n: usize) -> (Range<usize>, Range<usize>) {
        (self.add(part, &format!("{name}.weight"), &[n]), self.add(part, &format!("{name}.bias"), &[n]))
    }

    /// Matrix (out, in) and bias of what transformers calls `Conv1D`, and keeps the other way round.
    fn add_conv1d(&mut self, part: Part, name: &str, shape: [usize; 2]) -> (Range<usize>, Range<usize>) {
        let weight = self.add(part, &format!("{name}.weight"), &shape);
        self.tensors.last_mut().expect("one was added").is_transposed_in_file = true;
        (weight, self.add(part, &format!("{name}.bias"), &shape[..1]))
    }

    fn finish(
        mut self,
        config: &Config,
        embed: Range<usize>,
        positions: Range<usize>,
        layers: Vec<Layer>,
        (final_norm, final_norm_bias): (Range<usize>, Range<usize>),
    ) -> Layout {
        let head = match config.tied {
            true => embed.clone(),
            false => self.add(Part::Head, "lm_head.weight", &[config.vocab_size, config.n_embd]),
        };
        let (tensors, n_elements) = (self.tensors, self.end);
        Layout { tensors, embed, positions, layers, final_norm, final_norm_bias, head, n_elements }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Preset;

    #[test]
    fn tensors_fill_the_block_without_gaps_and_agree_with_the_count() {
        for (tied, family) in [true, false].into_iter().flat_map(|tied| Family::ALL.map(|family| (tied, family))) {
            let config = Config { tied, family, n_kv_head: 2, ..Preset::Nano.config(300, 64) };
            let n_in_blocks = Layout::new(&config).tensors.iter().filter(|tensor| tensor.layer.is_some()).count();
            assert_eq!(n_in_blocks, config.n_layer * family.tensors_per_layer(), "{family:?}");
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
