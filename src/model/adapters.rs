//! Where low-rank adapters (LoRA, Hu et al., arXiv 2106.09685) lie in the one flat block that holds all of them.
//!
//! Every matrix inside the blocks has an adapter: A (rank, in) and then B (out, rank), so that the matrix is used as
//! W + scale · B · A. Embedding, head and norms have none. Only places and names; the arithmetic is `training`'s.

use super::{Config, Layout};
use std::ops::Range;

/// The adapter of one matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// The name of the linear layer, such as `model.layers.0.self_attn.q_proj`.
    pub module: String,
    /// The matrix (out, in) in the model's flat block.
    pub weight: Range<usize>,
    /// Outputs of the linear layer.
    pub n_out: usize,
    /// Its inputs.
    pub n_in: usize,
    /// A (rank, in) in the adapters' flat block.
    pub a: Range<usize>,
    /// B (out, rank) in the adapters' flat block.
    pub b: Range<usize>,
}

/// All adapters of a model in the order in which they lie in their flat block.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterLayout {
    /// Rows of each A and columns of each B.
    pub rank: usize,
    /// Every adapter, in the order of the model's own layout, without gaps.
    pub adapters: Vec<Adapter>,
    /// Elements of the whole block.
    pub n_elements: usize,
}

impl AdapterLayout {
    /// Lays out adapters of `rank` for a model of shape `config`.
    pub fn new(config: &Config, rank: usize) -> AdapterLayout {
        let mut layout = AdapterLayout { rank, adapters: Vec::new(), n_elements: 0 };
        for tensor in Layout::new(config).tensors {
            if tensor.layer.is_none() || !tensor.is_matrix() {
                continue;
            }
            let (n_out, n_in) = (tensor.shape[0], tensor.shape[1]);
            let a = layout.n_elements..layout.n_elements + rank * n_in;
            let b = a.end..a.end + n_out * rank;
            layout.n_elements = b.end;
            let module = tensor.name.trim_end_matches(".weight").to_owned();
            layout.adapters.push(Adapter { module, weight: tensor.range, n_out, n_in, a, b });
        }
        layout
    }

    /// The shorter side of the smallest matrix: a higher rank than that adds nothing.
    pub fn max_rank(config: &Config) -> usize {
        AdapterLayout::new(config, 0).adapters.iter().map(|matrix| matrix.n_out.min(matrix.n_in)).min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Preset;

    #[test]
    fn every_matrix_of_the_blocks_has_an_adapter_and_nothing_else_has() {
        for tied in [true, false] {
            let config = Config { n_kv_head: 2, tied, ..Preset::Nano.config(300, 64) };
            let (layout, places) = (Layout::new(&config), AdapterLayout::new(&config, 3));
            assert_eq!(places.adapters.len(), 7 * config.n_layer);
            let mut end = 0;
            for adapter in &places.adapters {
                assert_eq!((adapter.a.start, adapter.b.start), (end, adapter.a.end), "{}", adapter.module);
                assert_eq!((adapter.a.len(), adapter.b.len()), (3 * adapter.n_in, 3 * adapter.n_out));
                assert_eq!(adapter.weight.len(), adapter.n_in * adapter.n_out);
                assert!([&layout.embed, &layout.head].iter().all(|other| **other != adapter.weight));
                end = adapter.b.end;
            }
            assert_eq!(end, places.n_elements);
            assert_eq!(AdapterLayout::max_rank(&config), config.kv_dim());
        }
    }
}
