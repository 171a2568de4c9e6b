//! The memory of a training step: one block, allocated once, divided into the buffers that the passes use.

use crate::kernels::AlignedBuf;
use crate::kernels::qk_norm_rope::Heads;
use crate::model::Config;
use std::ops::{Index, IndexMut};

/// The sizes that decide how long each buffer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    n_layer: usize,
    n_embd: usize,
    n_ffn: usize,
    heads: Heads,
    /// Rows that are in memory at once: those of the largest part of a batch.
    n_rows: usize,
    /// Rows of logits held at once.
    pub(super) head_rows: usize,
    vocab_size: usize,
}

/// Bytes of activations above which a batch is worked on in parts, and bytes of a part. Each part reads and writes all
/// gradients once more and packs all weights once more, so batches that fit stay whole: halves of 400 MB cost 2 to 4 % (widths of
/// 256 and 384), but four parts instead of two at width 512 only 1 to 2 %, for a quarter less of the process' memory.
const WHOLE_BYTES: usize = 512 << 20;
const PART_BYTES: usize = 320 << 20;

impl Sizes {
    /// The sizes for batches of `max_rows` rows, in sequences of up to the model's context.
    pub(super) fn new(config: &Config, max_rows: usize) -> Sizes {
        let whole = Sizes::with_rows(config, max_rows);
        let n_bytes = 4 * Activations::n_elements(&whole);
        let n_parts = if n_bytes <= WHOLE_BYTES { 1 } else { n_bytes.div_ceil(PART_BYTES) };
        let whole_sequences = max_rows / n_parts / config.block_size * config.block_size;
        Sizes::with_rows(config, whole_sequences.max(config.block_size).min(max_rows))
    }

    /// Rows of a part of a batch whose sequences have `n_positions` tokens: whole sequences, as many as there is memory
    /// for.
    pub(super) fn part_rows(&self, n_positions: usize) -> usize {
        (self.n_rows / n_positions).max(1) * n_positions
    }

    /// The sizes for `n_rows` rows at once.
    pub(super) fn with_rows(config: &Config, n_rows: usize) -> Sizes {
        Sizes {
            n_layer: config.n_layer,
            n_embd: config.n_embd,
            n_ffn: config.n_ffn,
            heads: heads(config),
            n_rows,
            // About a million logits, 4 MB: enough rows to keep the matrix product efficient, few enough for the cache.
            head_rows: ((1 << 20) / config.vocab_size).clamp(64, 1024).min(n_rows),
            vocab_size: config.vocab_size,
        }
    }
}

/// The heads of a model in the form that the kernels take.
pub(super) fn heads(config: &Config) -> Heads {
    Heads { n_head: config.n_head, n_kv_head: config.n_kv_head, head_dim: config.head_dim }
}

/// All buffers of a step. N rows of a part of a batch, L layers; a smaller part uses the front of each.
///
/// All are f32. With `gate_up`, `normed` and `hidden` in bf16, where the network learns in it, a step was measured to take a
/// percent less at most (AMD Zen 4, widths from 128 to 512): the products hide that traffic.
///
/// What the backward pass can make again for little (normalised rows, the SwiGLU product) is kept once, not per layer.
pub(super) struct Activations<'a> {
    /// Residual stream entering each layer, and leaving the last: (L + 1, N, C).
    pub(super) residual: Layers<'a>,
    /// Residual stream between attention and feed-forward: (L, N, C).
    pub(super) middle: Layers<'a>,
    /// Queries, keys and values as projected: (L, N, (H+2KV)*D).
    pub(super) qkv: Layers<'a>,
    /// Queries and keys, normalised and turned: (L, N, (H+KV)*D).
    pub(super) qk: Layers<'a>,
    /// What attention gives: (L, N, H*D).
    pub(super) attention: Layers<'a>,
    /// Logarithms of attention's sums: (L, N*H).
    pub(super) log_sums: Layers<'a>,
    /// gate and up; in the backward pass their gradients: (L, N, 2F).
    pub(super) gate_up: Layers<'a>,
    /// Normalised rows of the layer at hand: (N, C).
    pub(super) normed: &'a mut [f32],
    /// The SwiGLU product of the layer at hand: (N, F).
    pub(super) hidden: &'a mut [f32],
    /// Gradients, in the backward pass, of the buffers of like name.
    pub(super) d_residual: &'a mut [f32],
    pub(super) d_normed: &'a mut [f32],
    pub(super) d_hidden: &'a mut [f32],
    pub(super) d_qkv: &'a mut [f32],
    pub(super) d_qk: &'a mut [f32],
    pub(super) d_attention: &'a mut [f32],
    /// Logits of some rows, then their gradients: (head rows, V).
    pub(super) logits: &'a mut [f32],
}

impl<'a> Activations<'a> {
    /// Floats that [`Activations::carve`] needs.
    pub(super) fn n_elements(s: &Sizes) -> usize {
        let lengths = Lengths::new(s);
        lengths.per_layer.iter().map(|(length, n)| length * n).sum::<usize>() + lengths.shared.iter().sum::<usize>()
    }

    /// Divides `block` into buffers.
    pub(super) fn carve(block: &'a mut AlignedBuf, s: &Sizes) -> Activations<'a> {
        let Lengths { per_layer, shared } = Lengths::new(s);
        let mut rest: &mut [f32] = block;
        let [residual, middle, qkv, qk, attention, log_sums, gate_up] =
            per_layer.map(|(length, n_layers)| Layers { data: take(&mut rest, length * n_layers), length });
        let [normed, hidden, d_residual, d_normed, d_hidden, d_qkv, d_qk, d_attention, logits] =
            shared.map(|length| take(&mut rest, length));
        Activations {
            residual,
            middle,
            qkv,
            qk,
            attention,
            log_sums,
            gate_up,
            normed,
            hidden,
            d_residual,
            d_normed,
            d_hidden,
            d_qkv,
            d_qk,
            d_attention,
            logits,
        }
    }
}

/// Lengths in the order of the fields of [`Activations`].
struct Lengths {
    /// A layer's length, and the number of layers.
    per_layer: [(usize, usize); 7],
    shared: [usize; 9],
}

impl Lengths {
    fn new(s: &Sizes) -> Lengths {
        // Whole cache lines, so that every buffer is aligned as the block is.
        let rows = |width: usize| (s.n_rows * width).next_multiple_of(16);
        let (c, f, h) = (s.n_embd, s.n_ffn, s.heads);
        let (qkv, qk, out) = (rows(h.qkv_width()), rows(h.qk_width()), rows(h.n_head * h.head_dim));
        Lengths {
            per_layer: [
                (rows(c), s.n_layer + 1),
                (rows(c), s.n_layer),
                (qkv, s.n_layer),
                (qk, s.n_layer),
                (out, s.n_layer),
                (rows(h.n_head), s.n_layer),
                (rows(2 * f), s.n_layer),
            ],
            shared: [
                rows(c),
                rows(f),
                rows(c),
                rows(c),
                rows(f),
                qkv,
                qk,
                out,
                (s.head_rows * s.vocab_size).next_multiple_of(16),
            ],
        }
    }
}

/// One buffer for each layer; indexed by the layer.
pub(super) struct Layers<'a> {
    data: &'a mut [f32],
    length: usize,
}

impl Index<usize> for Layers<'_> {
    type Output = [f32];

    fn index(&self, layer: usize) -> &[f32] {
        &self.data[layer * self.length..(layer + 1) * self.length]
    }
}

impl IndexMut<usize> for Layers<'_> {
    fn index_mut(&mut self, layer: usize) -> &mut [f32] {
        &mut self.data[layer * self.length..(layer + 1) * self.length]
    }
}

fn take<'a>(rest: &mut &'a mut [f32], length: usize) -> &'a mut [f32] {
    let (taken, left) = std::mem::take(rest).split_at_mut(length);
    *rest = left;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Preset;

    #[test]
    fn a_batch_stays_whole_until_it_is_too_large_and_is_then_cut_between_sequences() {
        let config = Preset::Small.config(2048, 256);
        let rows = |n_sequences: usize| Sizes::new(&config, n_sequences * 256).n_rows;
        let n_bytes = |n_rows| 4 * Activations::n_elements(&Sizes::with_rows(&config, n_rows));
        for n_sequences in 1..100 {
            let (whole, found) = (n_sequences * 256, rows(n_sequences));
            match n_bytes(whole) <= WHOLE_BYTES {
                true => assert_eq!(found, whole),
                false => assert!(found % 256 == 0 && n_bytes(found) <= PART_BYTES, "{n_sequences}: {found} rows"),
            }
        }
        assert!(n_bytes(100 * 256) > WHOLE_BYTES && rows(100) > 256, "large batches were among them");
    }
}
