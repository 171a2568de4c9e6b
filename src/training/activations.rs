//! The memory of a training step: one block, allocated once, divided into the buffers that the passes use.

use crate::kernels::AlignedBuf;
use crate::kernels::element::Element;
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
    /// Bytes of an element of what is kept in the numbers that products multiply.
    element_bytes: usize,
}

/// Bytes of activations above which a batch is worked on in parts, and bytes of a part. Each part reads and writes all
/// gradients once more and packs all weights once more, so batches that fit stay whole: halves of 400 MB cost 2 to 4 % (widths of
/// 256 and 384), but four parts instead of two at width 512 only 1 to 2 %, for a quarter less of the process' memory.
const WHOLE_BYTES: usize = 512 << 20;
const PART_BYTES: usize = 320 << 20;

impl Sizes {
    /// The sizes for batches of `max_rows` rows, in sequences of up to the model's context; products multiply what is kept as `E`.
    pub(super) fn new<E: Element>(config: &Config, max_rows: usize) -> Sizes {
        let whole = Sizes::with_rows::<E>(config, max_rows);
        let n_bytes = 4 * n_floats(&whole);
        let n_parts = if n_bytes <= WHOLE_BYTES { 1 } else { n_bytes.div_ceil(PART_BYTES) };
        let whole_sequences = max_rows / n_parts / config.block_size * config.block_size;
        Sizes::with_rows::<E>(config, whole_sequences.max(config.block_size).min(max_rows))
    }

    /// Rows of a part of a batch whose sequences have `n_positions` tokens: whole sequences, as many as there is memory
    /// for.
    pub(super) fn part_rows(&self, n_positions: usize) -> usize {
        (self.n_rows / n_positions).max(1) * n_positions
    }

    /// The sizes for `n_rows` rows at once.
    pub(super) fn with_rows<E: Element>(config: &Config, n_rows: usize) -> Sizes {
        Sizes {
            n_layer: config.n_layer,
            n_embd: config.n_embd,
            n_ffn: config.n_ffn,
            heads: heads(config),
            n_rows,
            // About a million logits, 4 MB: enough rows to keep the matrix product efficient, few enough for the cache.
            head_rows: ((1 << 20) / config.vocab_size).clamp(64, 1024).min(n_rows),
            vocab_size: config.vocab_size,
            element_bytes: size_of::<E>(),
        }
    }
}

/// The heads of a model in the form that the kernels take.
pub(super) fn heads(config: &Config) -> Heads {
    Heads { n_head: config.n_head, n_kv_head: config.n_kv_head, head_dim: config.head_dim }
}

/// All buffers of a step. N rows of a part of a batch, L layers; a smaller part uses the front of each.
///
/// What products multiply, or pass on to be multiplied, is kept as `E`: f32, or bf16 where bf16 is multiplied in tile registers. There
/// the products are so quick that a step's time is that of memory. (Elsewhere the products hide that traffic: with
/// AVX-512 BF16 a step took a percent less at most, AMD Zen 4, widths from 128 to 512.) Sums over many rows or layers are f32: the
/// residual stream and the gradients that come down it.
///
/// What the backward pass can make again for little (normalised rows, the SwiGLU product) is kept once, not per layer.
pub(super) struct Activations<'a, E> {
    /// Residual stream entering each layer, and leaving the last: (L + 1, N, C).
    pub(super) residual: Layers<'a, f32>,
    /// Residual stream between attention and feed-forward: (L, N, C).
    pub(super) middle: Layers<'a, f32>,
    /// Queries, keys and values as projected: (L, N, (H+2KV)*D).
    pub(super) qkv: Layers<'a, E>,
    /// Queries and keys, normalised and turned: (L, N, (H+KV)*D).
    pub(super) qk: Layers<'a, E>,
    /// What attention gives: (L, N, H*D).
    pub(super) attention: Layers<'a, E>,
    /// Logarithms of attention's sums: (L, N*H).
    pub(super) log_sums: Layers<'a, f32>,
    /// gate and up; in the backward pass their gradients: (L, N, 2F).
    pub(super) gate_up: Layers<'a, E>,
    /// Normalised rows of the layer at hand: (N, C).
    pub(super) normed: &'a mut [E],
    /// The SwiGLU product of the layer at hand: (N, F).
    pub(super) hidden: &'a mut [E],
    /// Gradients, in the backward pass, of the buffers of like name.
    pub(super) d_residual: &'a mut [f32],
    pub(super) d_normed: &'a mut [f32],
    pub(super) d_qkv: &'a mut [E],
    pub(super) d_qk: &'a mut [f32],
    pub(super) d_attention: &'a mut [E],
    /// Logits of some rows, then their gradients: (head rows, V).
    pub(super) logits: &'a mut [f32],
}

impl<'a, E: Element> Activations<'a, E> {
    /// Divides `block`, which has room for [`n_floats`], into buffers.
    pub(super) fn carve(block: &'a mut AlignedBuf, s: &Sizes) -> Activations<'a, E> {
        assert_eq!(s.element_bytes, size_of::<E>(), "the sizes are of what is kept");
        let (mut rest, lengths): (&mut [f32], Lengths) = (block, Lengths::new(s));
        let rest = &mut rest;
        let [residual, middle, log_sums] = lengths.sums_of_layers.map(|(length, n)| Layers::take(rest, length, n));
        let [qkv, qk, attention, gate_up] = lengths.kept_of_layers.map(|(length, n)| Layers::take(rest, length, n));
        let [normed, hidden, d_qkv, d_attention] = lengths.kept.map(|length| take(rest, length));
        let [d_residual, d_normed, d_qk, logits] = lengths.sums.map(|length| take(rest, length));
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
            d_qkv,
            d_qk,
            d_attention,
            logits,
        }
    }
}

/// Floats that [`Activations::carve`] needs.
pub(super) fn n_floats(s: &Sizes) -> usize {
    let Lengths { sums_of_layers, kept_of_layers, kept, sums } = Lengths::new(s);
    let layers = sums_of_layers.into_iter().chain(kept_of_layers).map(|(length, n)| length * n);
    layers.chain(kept).chain(sums).sum()
}

/// Lengths in floats of memory, of what is always f32 and of what is kept as the elements of [`Activations`]; for layers with
/// their number.
struct Lengths {
    sums_of_layers: [(usize, usize); 3],
    kept_of_layers: [(usize, usize); 4],
    kept: [usize; 4],
    sums: [usize; 4],
}

impl Lengths {
    fn new(s: &Sizes) -> Lengths {
        // Whole cache lines, so that every buffer is aligned as the block is.
        let rows = |width: usize| (s.n_rows * width).next_multiple_of(16);
        let kept = |width: usize| (s.n_rows * width).div_ceil(4 / s.element_bytes).next_multiple_of(16);
        let (n, c, f, h) = (s.n_layer, s.n_embd, s.n_ffn, s.heads);
        let (qkv, qk, out) = (h.qkv_width(), h.qk_width(), h.n_head * h.head_dim);
        let logits = (s.head_rows * s.vocab_size).next_multiple_of(16);
        Lengths {
            sums_of_layers: [(rows(c), n + 1), (rows(c), n), (rows(h.n_head), n)],
            kept_of_layers: [(kept(qkv), n), (kept(qk), n), (kept(out), n), (kept(2 * f), n)],
            kept: [kept(c), kept(f), kept(qkv), kept(out)],
            sums: [rows(c), rows(c), rows(qk), logits],
        }
    }
}

/// One buffer for each layer; indexed by the layer.
pub(super) struct Layers<'a, E> {
    data: &'a mut [E],
    length: usize,
}

impl<'a, E: Element> Layers<'a, E> {
    fn take(rest: &mut &'a mut [f32], n_floats: usize, n_layers: usize) -> Layers<'a, E> {
        let data: &mut [E] = take(rest, n_floats * n_layers);
        Layers { length: data.len() / n_layers, data }
    }
}

impl<E> Index<usize> for Layers<'_, E> {
    type Output = [E];

    fn index(&self, layer: usize) -> &[E] {
        &self.data[layer * self.length..(layer + 1) * self.length]
    }
}

impl<E> IndexMut<usize> for Layers<'_, E> {
    fn index_mut(&mut self, layer: usize) -> &mut [E] {
        &mut self.data[layer * self.length..(layer + 1) * self.length]
    }
}

fn take<'a, E: Element>(rest: &mut &'a mut [f32], n_floats: usize) -> &'a mut [E] {
    let (taken, left) = std::mem::take(rest).split_at_mut(n_floats);
    *rest = left;
    bytemuck::cast_slice_mut(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Preset;

    #[test]
    fn a_batch_stays_whole_until_it_is_too_large_and_is_then_cut_between_sequences() {
        let config = Preset::Small.config(2048, 256);
        let rows = |n_sequences: usize| Sizes::new::<f32>(&config, n_sequences * 256).n_rows;
        let n_bytes = |n_rows| 4 * n_floats(&Sizes::with_rows::<f32>(&config, n_rows));
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
