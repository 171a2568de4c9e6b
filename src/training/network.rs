//! The network in training: forward and backward, written by hand over one block each of weights, gradients and
//! activations. The backward pass stands below the forward pass, step for step in reverse.
//!
//! Shapes: N = B * T rows, C width, F feed-forward width, V vocabulary; weights are (out, in), so a linear layer is
//! y = x · W^T, its gradients dx = dy · W and dW = dy^T · x. Passes are generic over the numbers `E` that activations are kept in:
//! f32, or bf16 where that is what products multiply in tile registers.

use super::activations::{Activations, Sizes, heads, n_floats};
use super::profile::{Part, Profile};
use crate::kernels::attention::{Sequences, causal_attention, causal_attention_backward};
use crate::kernels::cross_entropy::{IGNORED, cross_entropy};
use crate::kernels::dropout::Dropout;
use crate::kernels::element::{Element, bf16, change_floats, write_floats};
use crate::kernels::embedding::{gather, scatter_add};
use crate::kernels::fill::clear;
use crate::kernels::gemm::{
    Cut, Matrix, PackedMatrix, Piece, Precision, Start, gemm, gemm_into, gemm_packed, gemm_passing, gemm_then,
};
use crate::kernels::norm::{rms_norm, rms_norm_backward, rms_norm_rows};
use crate::kernels::qk_norm_rope::{QkNorm, RopeTable, qk_norm_rope, qk_norm_rope_backward};
use crate::kernels::swiglu::{swiglu_backward, swiglu_rows};
use crate::kernels::{AlignedBuf, Cpu, Isa};
use crate::model::{Config, Layer, Layout};
use std::ops::Range;

/// A batch of sequences: `ids` and `targets` are (B, T); a target of [`IGNORED`] does not count.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Token ids.
    pub ids: &'a [u32],
    /// The token that follows each id.
    pub targets: &'a [u32],
    /// What in it sees what.
    pub sequences: Sequences<'a>,
}

impl<'a> Batch<'a> {
    /// Sequences of `n_positions` tokens, each one text.
    pub fn of(ids: &'a [u32], targets: &'a [u32], n_positions: usize) -> Batch<'a> {
        Batch { ids, targets, sequences: Sequences::whole(n_positions) }
    }
}

/// A model's weights and gradients with the memory to run it on batches of up to a given size.
pub struct Network {
    config: Config,
    layout: Layout,
    precision: Precision,
    /// All weights, in the order of the layout.
    pub weights: AlignedBuf,
    /// Gradients of the weights, in the same order.
    pub gradients: AlignedBuf,
    /// Dropout of the next [`Network::loss_and_gradients`]; judging ([`Network::nats`]) never drops anything.
    pub dropout: Option<Dropout>,
    /// Rows of the largest batch.
    max_rows: usize,
    /// Where what products multiply is kept as f32, and as bf16.
    sizes: [Sizes; 2],
    block: AlignedBuf,
    /// Cross-entropy of each row of a batch.
    nats: AlignedBuf,
    rope: RopeTable,
    /// The head, packed once a pass since it is applied to one group of rows after another.
    head: PackedMatrix,
    head_transposed: PackedMatrix,
    profile: Profile,
}

impl Network {
    /// A network with `weights` for batches of up to `max_rows` = B * T rows.
    pub fn new(config: &Config, weights: &[f32], max_rows: usize) -> Network {
        let layout = Layout::new(config);
        assert_eq!(weights.len(), layout.n_elements, "weights for this configuration");
        let sizes = [Sizes::new::<f32>(config, max_rows), Sizes::new::<bf16>(config, max_rows)];
        Network {
            weights: AlignedBuf::from(weights),
            gradients: AlignedBuf::zeros(layout.n_elements),
            dropout: None,
            // What is never touched takes no memory.
            block: AlignedBuf::zeros(sizes.iter().map(n_floats).max().unwrap_or(0)),
            rope: RopeTable::new(config.block_size, config.head_dim, config.rope_theta),
            head: PackedMatrix::default(),
            head_transposed: PackedMatrix::default(),
            profile: Profile::default(),
            config: config.clone(),
            precision: Precision::F32,
            layout,
            max_rows,
            sizes,
            nats: AlignedBuf::zeros(max_rows),
        }
    }

    /// The same network, learning with matrix products of `precision`; it is judged in f32 all the same.
    pub fn with_precision(self, precision: Precision) -> Network {
        Network { precision, ..self }
    }

    /// The places of all tensors.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What an optimizer needs: weights to change, gradients to use up, and a watch.
    pub fn parts(&mut self) -> (&mut [f32], &mut [f32], &Profile) {
        (&mut self.weights, &mut self.gradients, &self.profile)
    }

    /// Sets all gradients to zero.
    pub fn clear_gradients(&mut self, cpu: &Cpu) {
        self.profile.start();
        clear(cpu, &mut self.gradients);
        self.profile.lap(Part::Optimizer);
    }

    /// Where the time of passes went.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Bytes that a network of this shape, learning in `precision`, takes for batches of up to `max_rows` rows: at most, in bf16 on a
    /// CPU that has no tile registers for it.
    pub fn bytes_for(config: &Config, max_rows: usize, precision: Precision) -> usize {
        let (n_weights, n_head) = (config.n_params(), config.vocab_size * config.n_embd);
        // It is judged in f32, whatever it learns in.
        let n_judging = n_floats(&Sizes::new::<f32>(config, max_rows));
        let n_learning = match precision {
            Precision::Bf16 => n_floats(&Sizes::new::<bf16>(config, max_rows)),
            _ => n_judging,
        };
        4 * (2 * n_weights + n_judging.max(n_learning) + 2 * n_head)
    }

    /// Bytes of weights, gradients and activations.
    pub fn n_bytes(&self) -> usize {
        4 * (self.weights.len() + self.gradients.len() + self.block.len())
    }

    /// The cross-entropy of each row in nats (0 where ignored).
    pub fn nats(&mut self, cpu: &Cpu, batch: Batch) -> &[f32] {
        self.for_parts::<f32>(cpu, batch, |pass, a, _| {
            pass.forward(a);
            pass.head(a, None);
        })
    }

    /// The mean cross-entropy over the rows that count, in nats; adds its gradients to [`Network::gradients`].
    pub fn loss_and_gradients(&mut self, cpu: &Cpu, batch: Batch) -> f64 {
        let n_counted = batch.targets.iter().filter(|&&t| t != IGNORED).count().max(1);
        let scale = 1.0 / n_counted as f32;
        let nats = match self.precision.is_in_tiles(cpu.isa) {
            true => self.learn_from::<bf16>(cpu, batch, scale),
            false => self.learn_from::<f32>(cpu, batch, scale),
        };
        nats.iter().map(|&n| n as f64).sum::<f64>() / n_counted as f64
    }

    /// Both passes; the gradients are of `scale` times the sum of the cross-entropies that are returned.
    fn learn_from<E: Element>(&mut self, cpu: &Cpu, batch: Batch, scale: f32) -> &[f32] {
        let (dropout, precision) = (self.dropout, self.precision);
        self.for_parts::<E>(cpu, batch, |pass, a, part| {
            pass.dropout = dropout.map(|dropout| dropout.at(part));
            (pass.precision, pass.of_floats) = (precision, precision.of_floats(cpu.isa));
            pass.forward(a);
            pass.head(a, Some(scale));
            pass.backward(a);
        })
    }

    /// Does `work` with one part of `batch` after the other, so that memory is needed for the activations of a part
    /// only; it also gets the part's number. Returns the cross-entropies that it left behind.
    fn for_parts<E: Element>(
        &mut self,
        cpu: &Cpu,
        batch: Batch,
        work: impl Fn(&mut Pass, &mut Activations<E>, u64),
    ) -> &[f32] {
        let n = batch.ids.len();
        assert!(n <= self.max_rows, "a batch of {n} rows in memory for {}", self.max_rows);
        self.profile.start();
        let mut nats = std::mem::take(&mut self.nats);
        let n_part = self.sizes_of::<E>().part_rows(batch.sequences.n_positions);
        for (part, first) in (0..n).step_by(n_part).enumerate() {
            let rows = first..(first + n_part).min(n);
            let (ids, targets) = (&batch.ids[rows.clone()], &batch.targets[rows.clone()]);
            let part_batch = Batch { ids, targets, sequences: batch.sequences.of_rows(rows.clone()) };
            let (mut pass, mut a) = self.pass(cpu, part_batch, &mut nats[rows]);
            work(&mut pass, &mut a, part as u64);
        }
        self.nats = nats;
        &self.nats[..n]
    }

    fn sizes_of<E: Element>(&self) -> Sizes {
        self.sizes[usize::from(size_of::<E>() < size_of::<f32>())]
    }

    fn pass<'s: 'p, 'p, E: Element>(
        &'s mut self,
        cpu: &'p Cpu,
        batch: Batch<'p>,
        nats: &'p mut [f32],
    ) -> (Pass<'p>, Activations<'s, E>) {
        let (n, n_positions) = (batch.ids.len(), batch.sequences.n_positions);
        let are_whole = batch.targets.len() == n && n.is_multiple_of(n_positions);
        assert!(are_whole, "{n} ids in sequences of {n_positions}");
        let n_most = self.config.block_size;
        assert!(n_positions <= n_most, "{n_positions} positions of {n_most}");
        let sizes = self.sizes_of::<E>();
        let pass = Pass {
            cpu,
            batch,
            nats,
            config: &self.config,
            layout: &self.layout,
            weights: &self.weights,
            gradients: &mut self.gradients,
            rope: &self.rope,
            head: &mut self.head,
            head_transposed: &mut self.head_transposed,
            profile: &self.profile,
            precision: Precision::F32,
            of_floats: Precision::F32,
            head_rows: sizes.head_rows,
            dropout: None,
        };
        (pass, Activations::carve(&mut self.block, &sizes))
    }
}

/// One forward (and backward) pass over one batch.
struct Pass<'a> {
    cpu: &'a Cpu,
    batch: Batch<'a>,
    /// Receives the cross-entropy of each row.
    nats: &'a mut [f32],
    config: &'a Config,
    layout: &'a Layout,
    weights: &'a [f32],
    gradients: &'a mut [f32],
    rope: &'a RopeTable,
    head: &'a mut PackedMatrix,
    head_transposed: &'a mut PackedMatrix,
    profile: &'a Profile,
    /// Of linear layers, forward and for the gradients of their inputs.
    precision: Precision,
    /// Of everything else.
    of_floats: Precision,
    head_rows: usize,
    /// Drops inputs of the two linear layers that write to the residual stream. There both passes are exact, but for
    /// the rounding of what is kept, at no cost in memory: `hidden` is made again in the backward pass anyway, and attention's output is dropped in a copy, because
    /// the backward pass of attention needs it whole. The stream itself and the scores of attention stay undisturbed.
    dropout: Option<Dropout>,
}

/// Places of dropout in a block.
#[derive(Clone, Copy)]
enum Dropped {
    Attention,
    Hidden,
}

/// How rows of (N, 2F) may be cut: gate and up of the same columns stay together.
const GATE_AND_UP: Cut = Cut { columns: 1, parts: 2 };

/// Dropout, if there is any, of a matrix whose rows come in pieces.
#[derive(Clone, Copy)]
struct DropPieces {
    dropout: Option<Dropout>,
    isa: Isa,
    width: usize,
}

impl DropPieces {
    /// Drops elements of a piece of row `row` that begins with column `first`.
    fn apply<E: Element>(self, row: usize, first: usize, piece: &mut [E]) {
        if let Some(dropout) = self.dropout {
            let first = row * self.width + first;
            change_floats(self.isa, piece, |piece| dropout.apply_to_part(self.isa, first, piece));
        }
    }
}

impl Pass<'_> {
    fn n_rows(&self) -> usize {
        self.batch.ids.len()
    }

    /// Ids to the residual stream that leaves the last layer.
    fn forward<E: Element>(&mut self, a: &mut Activations<E>) {
        let n = self.n_rows();
        let embedding = &self.weights[self.layout.embed.clone()];
        gather(self.cpu, embedding, self.batch.ids, &mut a.residual[0][..n * self.config.n_embd]); // (N, C)
        self.profile.lap(Part::Embedding);
        let (residual, normed) = (&a.residual[0][..n * self.config.n_embd], &mut a.normed[..n * self.config.n_embd]);
        rms_norm(self.cpu, residual, self.norm_before(0), self.config.norm_eps, normed);
        self.profile.lap(Part::Norm);
        for l in 0..self.config.n_layer {
            self.attention_forward(l, a);
            self.ffn_forward(l, a);
        }
    }

    /// Weights of the norm that layer `l` begins with, or the head behind the last layer.
    fn norm_before(&self, l: usize) -> &[f32] {
        let layer = self.layout.layers.get(l);
        &self.weights[layer.map_or(&self.layout.final_norm, |layer| &layer.attn_norm).clone()]
    }

    /// middle = residual + attention(normed) · Wo^T, and the norm of it
    fn attention_forward<E: Element>(&self, l: usize, a: &mut Activations<E>) {
        let (n, cpu, layer, heads) = (self.n_rows(), self.cpu, &self.layout.layers[l], heads(self.config));
        let (c, width, eps) = (self.config.n_embd, heads.n_head * heads.head_dim, self.config.norm_eps);
        let residual = &a.residual[l][..n * c];
        let normed = &mut a.normed[..n * c];
        let (qkv, qk) = (&mut a.qkv[l][..n * heads.qkv_width()], &mut a.qk[l][..n * heads.qk_width()]);
        let attention = &mut a.attention[l][..n * width];
        let (isa, rope, norm, n_positions) =
            (cpu.isa, self.rope, self.qk_norm(layer), self.batch.sequences.n_positions);
        let heads_apart = Cut { columns: heads.head_dim, parts: 1 };
        self.linear_into(normed, &layer.qkv, qkv, heads_apart, [&mut *qk], |piece, qkv, [qk]| {
            let Piece { rows, columns } = piece;
            let qkv = qkv.chunks_exact(columns.len());
            for (row, (qkv, qk)) in rows.zip(qkv.zip(qk.chunks_exact_mut(heads.qk_width()))) {
                qk_norm_rope(isa, heads, rope, row % n_positions, norm, columns.clone(), qkv, qk);
            }
        }); // (N, (H+2KV)*D)
        let log_sums = &mut a.log_sums[l][..n * heads.n_head];
        causal_attention(cpu, self.of_floats, heads, self.batch.sequences, qk, qkv, attention, log_sums); // (N, H*D)
        self.profile.lap(Part::Attention);
        let attention = match self.dropout_at(l, Dropped::Attention) {
            Some(dropout) => {
                let copy = &mut a.d_attention[..n * width];
                dropout.apply_to_copy(cpu, attention, copy);
                &*copy
            }
            None => &*attention,
        };
        let (middle, norm) = (&mut a.middle[l][..n * c], &self.weights[layer.ffn_norm.clone()]);
        self.linear_then(attention, &layer.o, middle, Start::From(residual), [normed], |_, middle, [normed]| {
            rms_norm_rows(isa, middle, norm, eps, normed);
        }); // (N, C)
    }

    /// next residual = middle + swiglu(normed · Wgu^T) · Wdown^T, and the norm of it that comes next
    fn ffn_forward<E: Element>(&self, l: usize, a: &mut Activations<E>) {
        let (n, c, f, layer) = (self.n_rows(), self.config.n_embd, self.config.n_ffn, &self.layout.layers[l]);
        let (isa, eps, norm) = (self.cpu.isa, self.config.norm_eps, self.norm_before(l + 1));
        let middle = &a.middle[l][..n * c];
        let (normed, hidden) = (&mut a.normed[..n * c], &mut a.hidden[..n * f]);
        let gate_up = &mut a.gate_up[l][..n * 2 * f];
        let drop = self.drop_hidden(l);
        self.linear_into(normed, &layer.gate_up, gate_up, GATE_AND_UP, [&mut *hidden], |piece, gate_up, [hidden]| {
            let Piece { rows, columns } = piece;
            let gate_up = gate_up.chunks_exact(2 * columns.len());
            for (row, (gate_up, hidden)) in rows.zip(gate_up.zip(hidden.chunks_exact_mut(f))) {
                write_floats(isa, &mut hidden[columns.clone()], |hidden| {
                    swiglu_rows(isa, columns.len(), gate_up, hidden);
                    drop.apply(row, columns.start, hidden);
                });
            }
        }); // (N, 2F), (N, F)
        let residual = &mut a.residual[l + 1][..n * c];
        self.linear_then(&*hidden, &layer.down, residual, Start::From(middle), [normed], |_, residual, [normed]| {
            rms_norm_rows(isa, residual, norm, eps, normed);
        }); // (N, C)
    }

    /// Logits of what the forward pass left normalised, and cross-entropy, some rows at a time so that N x V logits are never held.
    ///
    /// With `scale`, also the backward pass through all three: `d_residual` receives the gradient of `scale` times the
    /// sum of cross-entropies.
    fn head<E: Element>(&mut self, a: &mut Activations<E>, scale: Option<f32>) {
        let (n, cpu, c, v) = (self.n_rows(), self.cpu, self.config.n_embd, self.config.vocab_size);
        let residual = &a.residual[self.config.n_layer][..n * c];
        let norm_weight = &self.weights[self.layout.final_norm.clone()];
        let normed = &a.normed[..n * c];
        let weight = Matrix::new(&self.weights[self.layout.head.clone()], v, c);
        self.head.pack(cpu, self.of_floats, weight.transposed());
        if scale.is_some() {
            self.head_transposed.pack(cpu, self.of_floats, weight);
        }
        for first in (0..n).step_by(self.head_rows) {
            let rows = first..(first + self.head_rows).min(n);
            let m = rows.len();
            let x = &normed[rows.start * c..rows.end * c];
            let logits = &mut a.logits[..m * v];
            gemm_packed(cpu, Matrix::new(x, m, c), self.head, logits, Start::Zero); // (m, V)
            self.profile.lap(Part::Matmul);
            let (targets, nats) = (&self.batch.targets[rows.clone()], &mut self.nats[rows.clone()]);
            cross_entropy(cpu, logits, targets, scale.unwrap_or(1.0), nats);
            self.profile.lap(Part::CrossEntropy);
            if scale.is_some() {
                let d_logits = Matrix::new(logits, m, v);
                let dx = &mut a.d_normed[rows.start * c..rows.end * c];
                gemm_packed(cpu, d_logits, self.head_transposed, dx, Start::Zero); // (m, C)
                let d_weight = &mut self.gradients[self.layout.head.clone()];
                gemm(cpu, self.of_floats, d_logits.transposed(), Matrix::new(x, m, c), d_weight, Start::Accumulate); // (V, C)
                self.profile.lap(Part::Matmul);
            }
        }
        if scale.is_some() {
            let (dy, dx) = (&a.d_normed[..n * c], &mut a.d_residual[..n * c]);
            dx.fill(0.0);
            let d_weight = &mut self.gradients[self.layout.final_norm.clone()];
            rms_norm_backward(cpu, residual, norm_weight, self.config.norm_eps, dy, dx, d_weight);
            self.profile.lap(Part::Norm);
        }
    }

    /// From the gradient of the last residual stream to the gradients of all weights.
    fn backward<E: Element>(&mut self, a: &mut Activations<E>) {
        for l in (0..self.config.n_layer).rev() {
            self.ffn_backward(l, a);
            self.attention_backward(l, a);
        }
        let dx = &a.d_residual[..self.n_rows() * self.config.n_embd];
        scatter_add(self.cpu, self.batch.ids, dx, &mut self.gradients[self.layout.embed.clone()]);
        self.profile.lap(Part::Embedding);
    }

    fn ffn_backward<E: Element>(&mut self, l: usize, a: &mut Activations<E>) {
        let (n, cpu, c, f, layer) =
            (self.n_rows(), self.cpu, self.config.n_embd, self.config.n_ffn, &self.layout.layers[l]);
        let (middle, d_residual) = (&a.middle[l][..n * c], &mut a.d_residual[..n * c]);
        let (normed, d_normed) = (&mut a.normed[..n * c], &mut a.d_normed[..n * c]);
        let hidden = &mut a.hidden[..n * f];
        let gate_up = &mut a.gate_up[l][..n * 2 * f];
        let norm_weight = &self.weights[layer.ffn_norm.clone()];
        let (isa, drop) = (cpu.isa, self.drop_hidden(l));
        let (weight, beside) = (self.weight(&layer.down, c, f), [&mut *gate_up, &mut *hidden]);
        let dy = Matrix::new(d_residual, n, c);
        gemm_passing(cpu, self.precision, dy, weight, Cut::ANYWHERE, beside, |piece, d_hidden, [gate_up, hidden]| {
            let Piece { rows, columns } = piece;
            let d_hidden = d_hidden.chunks_exact_mut(columns.len());
            let kept = gate_up.chunks_exact_mut(2 * f).zip(hidden.chunks_exact_mut(f));
            for (row, (d_hidden, (gate_up, hidden))) in rows.zip(d_hidden.zip(kept)) {
                drop.apply(row, columns.start, d_hidden);
                // gate_up holds its gradient from here on.
                swiglu_backward(isa, columns.clone(), gate_up, d_hidden, hidden);
                drop.apply(row, columns.start, &mut hidden[columns.clone()]);
            }
        });
        self.profile.lap(Part::Matmul);
        self.weight_gradient(hidden, &layer.down, d_residual);
        rms_norm(cpu, middle, norm_weight, self.config.norm_eps, normed); // made again: (N, C)
        self.profile.lap(Part::Norm);
        self.linear_backward(normed, &layer.gate_up, gate_up, d_normed);
        let d_weight = &mut self.gradients[layer.ffn_norm.clone()];
        rms_norm_backward(cpu, middle, norm_weight, self.config.norm_eps, d_normed, d_residual, d_weight);
        self.profile.lap(Part::Norm);
    }

    fn attention_backward<E: Element>(&mut self, l: usize, a: &mut Activations<E>) {
        let (n, cpu, layer, heads) = (self.n_rows(), self.cpu, &self.layout.layers[l], heads(self.config));
        let (c, width) = (self.config.n_embd, heads.n_head * heads.head_dim);
        let (residual, d_residual) = (&a.residual[l][..n * c], &mut a.d_residual[..n * c]);
        let (normed, d_normed) = (&mut a.normed[..n * c], &mut a.d_normed[..n * c]);
        let (qkv, d_qkv) = (&a.qkv[l][..n * heads.qkv_width()], &mut a.d_qkv[..n * heads.qkv_width()]);
        let (qk, d_qk) = (&a.qk[l][..n * heads.qk_width()], &mut a.d_qk[..n * heads.qk_width()]);
        let (out, d_out) = (&a.attention[l][..n * width], &mut a.d_attention[..n * width]);
        let log_sums = &a.log_sums[l][..n * heads.n_head];
        let norm_weight = &self.weights[layer.attn_norm.clone()];
        match self.dropout_at(l, Dropped::Attention) {
            Some(dropout) => {
                // Free until attention's backward pass writes it.
                let dropped = &mut d_qkv[..n * width];
                dropout.apply_to_copy(cpu, out, dropped);
                self.linear_backward(dropped, &layer.o, d_residual, d_out);
                dropout.apply(cpu, d_out);
            }
            None => self.linear_backward(out, &layer.o, d_residual, d_out),
        }
        let (precision, sequences) = (self.of_floats, self.batch.sequences);
        causal_attention_backward(cpu, precision, heads, sequences, qk, qkv, out, log_sums, d_out, d_qk, d_qkv);
        self.profile.lap(Part::Attention);
        self.qk_norm_backward(layer, qkv, d_qk, d_qkv);
        rms_norm(cpu, residual, norm_weight, self.config.norm_eps, normed); // made again: (N, C)
        self.profile.lap(Part::Norm);
        self.linear_backward(normed, &layer.qkv, d_qkv, d_normed);
        let d_weight = &mut self.gradients[layer.attn_norm.clone()];
        rms_norm_backward(cpu, residual, norm_weight, self.config.norm_eps, d_normed, d_residual, d_weight);
        self.profile.lap(Part::Norm);
    }

    fn dropout_at(&self, l: usize, place: Dropped) -> Option<Dropout> {
        self.dropout.map(|dropout| dropout.at(l as u64).at(place as u64))
    }

    /// What drops elements of rows of the input of `down` (N, F) or its gradient.
    fn drop_hidden(&self, l: usize) -> DropPieces {
        DropPieces { dropout: self.dropout_at(l, Dropped::Hidden), isa: self.cpu.isa, width: self.config.n_ffn }
    }

    fn qk_norm(&self, layer: &Layer) -> QkNorm<'_> {
        let (q, k) = (&self.weights[layer.q_norm.clone()], &self.weights[layer.k_norm.clone()]);
        QkNorm { q, k, eps: self.config.norm_eps }
    }

    fn qk_norm_backward<E: Element>(&mut self, layer: &Layer, qkv: &[E], d_qk: &mut [f32], d_qkv: &mut [E]) {
        // The two norms' weights lie next to each other in the layout.
        let (heads, n_positions) = (heads(self.config), self.batch.sequences.n_positions);
        let norm = QkNorm {
            q: &self.weights[layer.q_norm.clone()],
            k: &self.weights[layer.k_norm.clone()],
            eps: self.config.norm_eps,
        };
        let both = &mut self.gradients[layer.q_norm.start..layer.k_norm.end];
        let into = both.split_at_mut(heads.head_dim);
        qk_norm_rope_backward(self.cpu, heads, self.rope, n_positions, norm, qkv, d_qk, d_qkv, into);
        self.profile.lap(Part::Rope);
    }

    /// y (N, out) = start + x (N, in) · W^T, and what comes `then`: see [`gemm_then`].
    fn linear_then<X: Element, E: Element, const N: usize>(
        &self,
        x: &[X],
        weight: &Range<usize>,
        y: &mut [f32],
        start: Start,
        beside: [&mut [E]; N],
        then: impl Fn(Piece, &mut [f32], [&mut [E]; N]) + Sync,
    ) {
        let n = self.n_rows();
        let (n_in, n_out) = (x.len() / n, y.len() / n);
        let weight = self.weight(weight, n_out, n_in).transposed();
        gemm_then(self.cpu, self.precision, Matrix::new(x, n, n_in), weight, y, start, beside, then);
        self.profile.lap(Part::Matmul);
    }

    /// y (N, out) = x (N, in) · W^T, kept as `Y`, and what comes `then`: see [`gemm_into`].
    fn linear_into<X: Element, Y: Element, E: Element, const N: usize>(
        &self,
        x: &[X],
        weight: &Range<usize>,
        y: &mut [Y],
        cut: Cut,
        beside: [&mut [E]; N],
        then: impl Fn(Piece, &mut [f32], [&mut [E]; N]) + Sync,
    ) {
        let n = self.n_rows();
        let (n_in, n_out) = (x.len() / n, y.len() / n);
        let weight = self.weight(weight, n_out, n_in).transposed();
        gemm_into(self.cpu, self.precision, Matrix::new(x, n, n_in), weight, y, cut, beside, then);
        self.profile.lap(Part::Matmul);
    }

    /// dW += dy^T · x and dx = dy · W.
    fn linear_backward<X: Element, Y: Element, D: Element>(
        &mut self,
        x: &[X],
        weight: &Range<usize>,
        dy: &[Y],
        dx: &mut [D],
    ) {
        self.weight_gradient(x, weight, dy);
        let n = self.n_rows();
        let (n_in, n_out) = (dx.len() / n, dy.len() / n);
        let weight = self.weight(weight, n_out, n_in);
        let beside: [&mut [f32]; 0] = [];
        gemm_into(
            self.cpu,
            self.precision,
            Matrix::new(dy, n, n_out),
            weight,
            dx,
            Cut::ANYWHERE,
            beside,
            |_, _, []| (),
        );
        self.profile.lap(Part::Matmul);
    }

    /// dW (out, in) += dy^T · x.
    fn weight_gradient<X: Element, Y: Element>(&mut self, x: &[X], weight: &Range<usize>, dy: &[Y]) {
        let n = self.n_rows();
        let (x, dy) = (Matrix::new(x, n, x.len() / n), Matrix::new(dy, n, dy.len() / n));
        let d_weight = &mut self.gradients[weight.clone()];
        gemm(self.cpu, self.of_floats, dy.transposed(), x, d_weight, Start::Accumulate);
        self.profile.lap(Part::Matmul);
    }

    /// The weights of a linear layer (out, in).
    fn weight(&self, weight: &Range<usize>, n_out: usize, n_in: usize) -> Matrix<'_> {
        Matrix::new(&self.weights[weight.clone()], n_out, n_in)
    }
}

#[cfg(test)]
mod tests;
