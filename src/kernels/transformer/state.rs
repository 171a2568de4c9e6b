//! What a pass works in: the cache of what was read, and rows for the chunk under way, allocated once.

use super::super::aligned::AlignedBuf;
use super::super::quantized::{Line, line_buffer};
use super::super::shared::SharedSlice;
use super::Transformer;
use super::attend::scratch_len;
use super::cache::{CacheType, CacheView, KvCache, PANEL, Room};
use std::ops::Range;

/// The cache and the buffers of a transformer.
pub struct State {
    pub(super) n_sequences: usize,
    /// Rows that a pass may have.
    pub(super) n_rows: usize,
    pub(super) context_len: usize,
    cache: KvCache,
    buffers: Buffers,
}

/// Rows of the chunk under way.
struct Buffers {
    residual: AlignedBuf,
    /// Normalised rows, where a matrix of floats needs them.
    normed: AlignedBuf,
    qkv: AlignedBuf,
    attention: AlignedBuf,
    product: AlignedBuf,
    gate: AlignedBuf,
    up: AlignedBuf,
    lines: Vec<Line>,
    /// Of each thread: a row, activations as codes, scores.
    rows: AlignedBuf,
    own_lines: Vec<Line>,
    scores: AlignedBuf,
    logits: AlignedBuf,
}

/// Views of all buffers for the threads of a pass.
#[derive(Clone, Copy)]
pub(super) struct Views<'a> {
    n_rows: usize,
    pub(super) cache: CacheView<'a>,
    /// (N, C)
    pub(super) residual: SharedSlice<'a, f32>,
    /// (N, C)
    pub(super) normed: SharedSlice<'a, f32>,
    /// (N, (H+2KV)*D)
    pub(super) qkv: SharedSlice<'a, f32>,
    /// (N, H*D)
    pub(super) attention: SharedSlice<'a, f32>,
    /// (N, C)
    pub(super) product: SharedSlice<'a, f32>,
    /// (N, F)
    pub(super) gate: SharedSlice<'a, f32>,
    /// (N, F)
    pub(super) up: SharedSlice<'a, f32>,
    /// Activations of all rows as codes.
    pub(super) lines: SharedSlice<'a, Line>,
    /// A row (of the widest) for each thread.
    pub(super) own_rows: SharedSlice<'a, f32>,
    /// A row's codes for each thread.
    pub(super) own_lines: SharedSlice<'a, Line>,
    /// Attention's scratch for each thread.
    pub(super) scores: SharedSlice<'a, f32>,
    /// (judged, V)
    pub(super) logits: SharedSlice<'a, f32>,
}

impl State {
    /// Memory for `n_sequences` of up to `context_len` positions each, and for passes of up to `n_rows` rows, `n_judged`
    /// of which give logits, on `n_threads` threads.
    pub fn new(
        model: &Transformer,
        kind: CacheType,
        context_len: usize,
        n_sequences: usize,
        n_rows: usize,
        n_judged: usize,
        n_threads: usize,
    ) -> State {
        let shape = model.shape();
        let (c, f, heads) = (shape.n_embd, shape.n_ffn, shape.heads);
        let room = Room {
            n_layer: model.blocks.len(),
            n_sequences,
            n_kv_head: heads.n_kv_head,
            head_dim: heads.head_dim,
            capacity: context_len.next_multiple_of(PANEL),
        };
        let widest = c.max(f).max(shape.q_width());
        let rows = |width: usize| AlignedBuf::zeros(n_rows * width);
        let buffers = Buffers {
            residual: rows(c),
            normed: rows(c),
            qkv: rows(heads.qkv_width()),
            attention: rows(shape.q_width()),
            product: rows(c),
            gate: rows(f),
            up: rows(f),
            lines: line_buffer(n_rows, widest),
            rows: AlignedBuf::zeros(n_threads * widest),
            own_lines: line_buffer(n_threads, widest),
            scores: AlignedBuf::zeros(n_threads * scratch_len(context_len)),
            logits: AlignedBuf::zeros(n_judged * shape.vocab_size),
        };
        State { n_sequences, n_rows, context_len, cache: KvCache::new(kind, room), buffers }
    }

    /// Bytes of the cache.
    pub fn cache_bytes(&self) -> usize {
        self.cache.n_bytes()
    }

    /// Makes room for `len` logits, should there be less.
    pub fn make_room(&mut self, len: usize) {
        if self.buffers.logits.len() < len {
            self.buffers.logits = AlignedBuf::zeros(len);
        }
    }

    /// The logits of the last pass, of as many rows as it judged.
    pub fn logits(&self) -> &[f32] {
        &self.buffers.logits
    }

    pub(super) fn views(&mut self) -> Views<'_> {
        let b = &mut self.buffers;
        Views {
            cache: self.cache.view(),
            residual: SharedSlice::new(&mut b.residual),
            normed: SharedSlice::new(&mut b.normed),
            qkv: SharedSlice::new(&mut b.qkv),
            attention: SharedSlice::new(&mut b.attention),
            product: SharedSlice::new(&mut b.product),
            gate: SharedSlice::new(&mut b.gate),
            up: SharedSlice::new(&mut b.up),
            lines: SharedSlice::new(&mut b.lines),
            own_rows: SharedSlice::new(&mut b.rows),
            n_rows: self.n_rows,
            own_lines: SharedSlice::new(&mut b.own_lines),
            scores: SharedSlice::new(&mut b.scores),
            logits: SharedSlice::new(&mut b.logits),
        }
    }
}

impl<'a> Views<'a> {
    /// The same with some of the rows.
    pub(super) fn rows(&self, rows: Range<usize>) -> Views<'a> {
        let part = |all: SharedSlice<'a, f32>| {
            let width = all.len() / self.n_rows;
            all.part(rows.start * width..rows.end * width)
        };
        let lines = self.lines.len() / self.n_rows;
        Views {
            n_rows: rows.len(),
            residual: part(self.residual),
            normed: part(self.normed),
            qkv: part(self.qkv),
            attention: part(self.attention),
            product: part(self.product),
            gate: part(self.gate),
            up: part(self.up),
            lines: self.lines.part(rows.start * lines..rows.end * lines),
            ..*self
        }
    }
}
