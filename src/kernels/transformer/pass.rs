//! One pass through all layers, as each thread goes through it.
//!
//! Between two barriers a thread writes what no other thread touches, and reads what was written before the last one:
//!
//! | step | one token: divided by | a few tokens: divided by | writes |
//! |---|---|---|---|
//! | embedding | not: thread 0 | tokens | `residual` |
//! | norm, codes | not: each thread for itself | tokens, then a barrier | `own_lines`, `rows`; `lines`, `normed` |
//! | q, k, v | heads | rows of weights, then a barrier | `qkv` |
//! | norm of heads, rotation, cache | heads | tokens | `qkv`, the cache |
//! | attention | heads | a few tokens of heads that share keys | `attention` |
//! | codes | not | tokens, then a barrier | `own_lines`; `lines` |
//! | o, residual | rows of weights | rows of weights | `product`, `residual` |
//! | gate, up, activation | rows of weights | rows of weights | `gate`, `up` |
//! | down, residual | rows of weights | rows of weights | `product`, `residual` |
//! | logits | rows of weights | rows of weights | `logits` |
//!
//! Of many tokens of one sequence each thread takes some through all steps, in rows of its own in all buffers, so that a
//! layer has one barrier: before attention, when all keys and values are in the cache. Every thread then unpacks all
//! weights, which costs as much as one token more.

use super::super::cpu::{Cpu, Isa, for_each_isa};
use super::super::gelu::gelu;
use super::super::norm::{layer_norm_row, rms_norm_row};
use super::super::pool::Member;
use super::super::qk_norm_rope::norm_and_turn;
use super::super::quantized::{Activations, Input, Output, PackedMatrix, TILE_ROWS};
use super::super::shared::SharedSlice;
use super::super::swiglu::swiglu_in_place;
use super::attend::{Query, ROWS, attend};
use super::cache::Slot;
use super::network::{Block, Needs, Norm, Projection, Transformer};
use super::state::{State, Views};
use std::ops::Range;

/// From so many tokens for each thread on, tokens are divided and not rows of weights.
const LEAST_TOKENS: usize = 8;

/// Tiles of gate and of up that are computed before their activation: products still in the cache.
const STRIP: usize = 8;

impl Transformer {
    /// Reads `ids`, as many for each of `places` as for the others and one place after the other, and returns the logits
    /// (judged, V) that follow the last `n_judged` rows.
    ///
    /// Panics where ids are outside the vocabulary, two places are of one sequence, or there are more of anything than the
    /// state has room for.
    pub fn pass<'s>(
        &self,
        cpu: &Cpu,
        state: &'s mut State,
        ids: &[u32],
        places: &[Place],
        n_judged: usize,
    ) -> &'s [f32] {
        let (n, n_places, v) = (ids.len(), places.len(), self.shape.vocab_size);
        let n_each = n / n_places.max(1);
        assert!(n > 0 && n == n_each * n_places && n <= state.n_rows, "{n} ids for {n_places} places");
        for (i, place) in places.iter().enumerate() {
            let Place { sequence, first_position } = *place;
            assert!(sequence < state.n_sequences, "sequence {sequence} of {}", state.n_sequences);
            assert!(first_position + n_each <= state.context_len, "{n_each} ids from position {first_position}");
            assert!(places[..i].iter().all(|other| other.sequence != sequence), "sequence {sequence} twice");
        }
        assert!(ids.iter().all(|&id| (id as usize) < v), "ids are below {v}");
        assert!(n_judged <= n && n_judged * v <= state.logits().len(), "{n_judged} of {n} rows judged");
        let (views, isa) = (state.views(), cpu.isa);
        cpu.pool.together(|member| {
            let divides_tokens = n_places == 1 && n_judged <= 1 && n >= LEAST_TOKENS * member.n_threads;
            let own = if divides_tokens { Own::some(n, member.thread, member.n_threads) } else { Own::all(n) };
            let whole = views;
            let views = if divides_tokens { views.rows(own.first_row..own.first_row + own.n) } else { views };
            let thread = Thread { model: self, whole, views, isa, member, ids, places, n_each, own, divides_tokens };
            // SAFETY: the views are exclusive borrows for as long as the threads work; these follow the table above.
            unsafe { thread.go(n_judged) };
        });
        &state.logits()[..n_judged * v]
    }
}

/// Where the ids of one sequence go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The sequence, below the state's number of them.
    pub sequence: usize,
    /// The position of the first id.
    pub first_position: usize,
}

/// The tokens that a thread computes.
struct Own {
    /// How many.
    n: usize,
    /// The row of the buffers that the first has.
    first_row: usize,
    /// Which tokens: two stretches, one after the other.
    tokens: [Range<usize>; 2],
}

impl Own {
    /// All of them, which the threads work on together.
    fn all(n: usize) -> Own {
        Own { n, first_row: 0, tokens: [0..n, n..n] }
    }

    /// A thread's part: one stretch from the front and one from the back, as later tokens see more keys.
    fn some(n: usize, thread: usize, n_threads: usize) -> Own {
        let stretch = |i: usize| i * n / (2 * n_threads)..(i + 1) * n / (2 * n_threads);
        let both = |thread: usize| [stretch(thread), stretch(2 * n_threads - 1 - thread)];
        let len = |thread: usize| both(thread).iter().map(Range::len).sum::<usize>();
        Own { n: len(thread), first_row: (0..thread).map(len).sum(), tokens: both(thread) }
    }

    fn token(&self, row: usize) -> usize {
        let n_first = self.tokens[0].len();
        if row < n_first { self.tokens[0].start + row } else { self.tokens[1].start + row - n_first }
    }
}

/// A thread in a pass.
struct Thread<'a> {
    model: &'a Transformer,
    /// All rows of the buffers.
    whole: Views<'a>,
    /// The rows of this thread's tokens, first to last.
    views: Views<'a>,
    isa: Isa,
    member: Member<'a>,
    ids: &'a [u32],
    places: &'a [Place],
    n_each: usize,
    own: Own,
    /// Whether this thread has its tokens to itself.
    divides_tokens: bool,
}

/// Activations ready to be multiplied.
#[derive(Clone, Copy)]
struct Ready<'a> {
    codes: Option<Activations<'a>>,
    floats: &'a [f32],
    n_tokens: usize,
}

impl<'a> Ready<'a> {
    fn input(&self, matrix: &PackedMatrix) -> Input<'a> {
        match self.codes {
            Some(codes) if matrix.kind().is_quantized() => Input::Codes(codes),
            _ => Input::Floats(self.floats),
        }
    }
}

/// All methods are `unsafe` for one reason, which the file's head explains: the threads share the views.
impl<'a> Thread<'a> {
    unsafe fn go(&self, n_judged: usize) {
        // SAFETY: the steps are in the order of the table.
        unsafe {
            self.embed();
            for (layer, block) in self.model.blocks.iter().enumerate() {
                self.attention(layer, block);
                self.feed_forward(block);
            }
            if n_judged > 0 {
                self.judge(n_judged);
            }
        }
    }

    /// residual = rows of the embedding
    unsafe fn embed(&self) {
        let c = self.model.shape.n_embd;
        for row in self.part(self.own.n) {
            // SAFETY: each row, and this scratch, is one thread's.
            let (x, scratch) = unsafe { (self.views.residual.range(row * c..(row + 1) * c), self.own_row(c)) };
            self.model.embed(self.ids[self.own.token(row)] as usize, self.position(row), scratch, x);
        }
        self.wait();
    }

    /// residual += attention(norm(residual)) · Wo^T
    unsafe fn attention(&self, layer: usize, block: &Block) {
        let (heads, n, v) = (self.model.shape.heads, self.own.n, &self.views);
        let n_heads = heads.n_head + 2 * heads.n_kv_head;
        // SAFETY: the steps are in the order of the table.
        unsafe {
            let ready = self.normed(&block.attn_norm, block.qkv.needs(), v.residual, 0..n);
            if n == 1 && heads.head_dim.is_multiple_of(TILE_ROWS) {
                let (own, tiles) = (self.member.part(n_heads), heads.head_dim / TILE_ROWS);
                self.multiply(&block.qkv, own.start * tiles..own.end * tiles, ready, v.qkv);
                own.for_each(|head| self.place_head(layer, block, 0, head));
            } else {
                self.multiply(&block.qkv, self.tiles(&block.qkv), ready, v.qkv);
                self.wait();
                for row in self.part(n) {
                    (0..n_heads).for_each(|head| self.place_head(layer, block, row, head));
                }
            }
            self.member.barrier();
            self.attend(layer);
            self.wait();
            let ready = self.ready(v.attention, block.o.needs(), self.model.shape.q_width());
            self.add_product(&block.o, ready);
        }
    }

    /// residual += activation(norm(residual) · W^T) · Wdown^T
    unsafe fn feed_forward(&self, block: &Block) {
        let (f, n, v) = (self.model.shape.n_ffn, self.own.n, &self.views);
        // SAFETY: the steps are in the order of the table.
        unsafe {
            let ready = self.normed(&block.ffn_norm, block.ffn_needs(), v.residual, 0..n);
            let own = self.tiles(&block.up);
            for first in own.clone().step_by(STRIP) {
                let tiles = first..(first + STRIP).min(own.end);
                let rows = block.up.rows_of(tiles.clone());
                self.multiply(&block.up, tiles.clone(), ready, v.up);
                if let Some(gate) = &block.gate {
                    self.multiply(gate, tiles, ready, v.gate);
                }
                for row in 0..n {
                    let place = row * f + rows.start..row * f + rows.end;
                    let up = v.up.range(place.clone());
                    match block.gate {
                        Some(_) => swiglu_in_place(self.isa, v.gate.range(place), up),
                        None => gelu(self.isa, up),
                    }
                }
            }
            self.wait();
            let hidden = if block.gate.is_some() { v.gate } else { v.up };
            let ready = self.ready(hidden, block.down.needs(), f);
            self.add_product(&block.down, ready);
        }
    }

    /// logits = norm(residual) · Whead^T of the last rows
    unsafe fn judge(&self, n_judged: usize) {
        let (model, v, n) = (self.model, &self.whole, self.ids.len());
        if self.divides_tokens {
            self.member.barrier();
        }
        // The last token is the last of the first thread's.
        let end = if self.divides_tokens { Own::some(n, 0, self.member.n_threads).n } else { n };
        // SAFETY: the steps are in the order of the table.
        unsafe {
            let ready = self.normed(&model.final_norm, model.head.needs(), v.residual, end - n_judged..end);
            let tiles = if n_judged == 1 { self.member.part(model.head.n_tiles()) } else { self.tiles(&model.head) };
            self.multiply(&model.head, tiles, ready, v.logits);
        }
    }

    fn position(&self, row: usize) -> usize {
        let token = self.own.token(row);
        self.places[token / self.n_each].first_position + token % self.n_each
    }

    /// This thread's part of `n` things to do with its tokens.
    fn part(&self, n: usize) -> Range<usize> {
        if self.divides_tokens { 0..n } else { self.member.part(n) }
    }

    /// Waits for the other threads, where they have this thread's tokens too.
    fn wait(&self) {
        if !self.divides_tokens {
            self.member.barrier();
        }
    }

    /// A thread's own row of floats.
    unsafe fn own_row(&self, width: usize) -> &'a mut [f32] {
        let widest = self.views.own_rows.len() / self.member.n_threads;
        let first = self.member.thread * widest;
        // SAFETY: no other thread has this row, and no two uses of it overlap.
        unsafe { self.views.own_rows.range(first..first + width) }
    }

    /// A thread's own codes of one row.
    fn own_codes(&self, width: usize) -> Activations<'a> {
        let lines = self.views.own_lines;
        let each = lines.len() / self.member.n_threads;
        Activations::new(lines.part(self.member.thread * each..(self.member.thread + 1) * each), 1, width)
    }

    /// The norm of rows of the residual stream. A single row every thread computes for itself; of several each a part,
    /// and then they wait for each other.
    unsafe fn normed(
        &self,
        norm: &Norm,
        needs: Needs,
        residual: SharedSlice<'a, f32>,
        rows: Range<usize>,
    ) -> Ready<'a> {
        let (c, eps, n, v) = (self.model.shape.n_embd, self.model.shape.norm_eps, rows.len(), &self.views);
        let codes = needs.codes.map(|_| if n == 1 { self.own_codes(c) } else { Activations::new(v.lines, n, c) });
        let own = if n == 1 { 0..1 } else { self.part(n) };
        for token in own {
            let row = rows.start + token;
            // SAFETY: nobody writes to the residual stream now; the results are this thread's.
            unsafe {
                let x = residual.read(row * c..(row + 1) * c);
                if let (Some(codes), Some(sharing), false, true) =
                    (codes, needs.codes, needs.floats, norm.bias.is_empty())
                {
                    codes.norm_and_quantize(self.isa, sharing, token, x, &norm.weight, eps);
                    continue;
                }
                let keeps = needs.floats && n > 1;
                let out = if keeps { v.normed.range(token * c..(token + 1) * c) } else { self.own_row(c) };
                match norm.bias.is_empty() {
                    true => rms_norm_row(self.isa, x, &norm.weight, eps, out),
                    false => layer_norm_row(self.isa, x, &norm.weight, &norm.bias, eps, out),
                }
                if let (Some(codes), Some(sharing)) = (codes, needs.codes) {
                    codes.quantize(self.isa, sharing, token, 0, out);
                }
            }
        }
        if n > 1 {
            self.wait();
        }
        let floats: &[f32] = match (needs.floats, n) {
            (false, _) => &[],
            // SAFETY: the row is this thread's, and not written to before it has been multiplied.
            (true, 1) => unsafe { self.own_row(c) },
            // SAFETY: nobody writes to them before the next barrier but one.
            (true, _) => unsafe { v.normed.read(0..n * c) },
        };
        Ready { codes, floats, n_tokens: n }
    }

    /// Rows of a buffer, as they are needed.
    unsafe fn ready(&self, x: SharedSlice<'a, f32>, needs: Needs, width: usize) -> Ready<'a> {
        let n = self.own.n;
        // SAFETY: nobody writes to them before the next barrier but one.
        let floats = unsafe { x.read(0..n * width) };
        let Some(sharing) = needs.codes else { return Ready { codes: None, floats, n_tokens: n } };
        let codes = if n == 1 { self.own_codes(width) } else { Activations::new(self.views.lines, n, width) };
        for row in if n == 1 { 0..1 } else { self.part(n) } {
            // SAFETY: these codes are this thread's.
            unsafe { codes.quantize(self.isa, sharing, row, 0, &floats[row * width..(row + 1) * width]) };
        }
        if n > 1 {
            self.wait();
        }
        Ready { codes: Some(codes), floats, n_tokens: n }
    }

    /// This thread's tiles: of several tokens whole pairs, which the kernel for batches takes at once.
    fn tiles(&self, projection: &Projection) -> Range<usize> {
        let n_tiles = projection.n_tiles();
        if self.divides_tokens {
            return 0..n_tiles;
        }
        if self.own.n == 1 {
            return self.member.part(n_tiles);
        }
        let pairs = self.member.part(n_tiles.div_ceil(2));
        2 * pairs.start..(2 * pairs.end).min(n_tiles)
    }

    /// out (N, rows) = x · W^T + bias, of some tiles of W.
    unsafe fn multiply(&self, of: &Projection, tiles: Range<usize>, x: Ready, out: SharedSlice<'a, f32>) {
        let stride = of.n_rows();
        for (part, tiles, first_row) in of.parts_of(tiles.clone()) {
            let output = Output { values: out.part(first_row..out.len()), stride };
            // SAFETY: nobody writes to the activations now; these rows of the output are this thread's.
            unsafe { part.multiply(self.isa, tiles, x.input(part), output) };
        }
        if of.bias().is_empty() {
            return;
        }
        let rows = of.rows_of(tiles);
        for token in 0..x.n_tokens {
            // SAFETY: as above.
            let out = unsafe { out.range(token * stride + rows.start..token * stride + rows.end) };
            add(self.isa, out, &of.bias()[rows.clone()]);
        }
    }

    /// residual += x · W^T + bias, of this thread's rows of W; and then the threads wait for each other.
    unsafe fn add_product(&self, of: &Projection, x: Ready) {
        let (tiles, c) = (self.tiles(of), self.model.shape.n_embd);
        let rows = of.rows_of(tiles.clone());
        // SAFETY: nobody reads the residual stream now; these columns of it and of the product are this thread's.
        unsafe {
            self.multiply(of, tiles, x, self.views.product);
            for token in 0..x.n_tokens {
                let place = token * c + rows.start..token * c + rows.end;
                add(self.isa, self.views.residual.range(place.clone()), self.views.product.range(place));
            }
        }
        self.wait();
    }

    /// Normalises and turns a head of q or k, and stores one of k or v in the cache. Heads of q come first, then those
    /// of k, then those of v.
    unsafe fn place_head(&self, layer: usize, block: &Block, row: usize, head: usize) {
        let (heads, d, position) = (self.model.shape.heads, self.model.shape.heads.head_dim, self.position(row));
        let at = row * heads.qkv_width() + head * d;
        // SAFETY: this row of this head is this thread's, in the products and in the cache.
        unsafe {
            let x = self.views.qkv.range(at..at + d);
            let (is_q, is_v) = (head < heads.n_head, head >= heads.n_head + heads.n_kv_head);
            if let Some(rope) = self.model.rope.as_ref().filter(|_| !is_v) {
                let weight = &block.qk_norms[usize::from(!is_q)];
                norm_and_turn(self.isa, rope, position, weight, self.model.shape.norm_eps, x);
            }
            let sequence = self.places[self.own.token(row) / self.n_each].sequence;
            let slot = |head: usize| Slot { layer, sequence, head };
            if is_v {
                self.views.cache.store_value(self.isa, slot(head - heads.n_head - heads.n_kv_head), position, x);
            } else if !is_q {
                self.views.cache.store_key(self.isa, slot(head - heads.n_head), position, x);
            }
        }
    }

    unsafe fn attend(&self, layer: usize) {
        let (heads, n_threads) = (self.model.shape.heads, self.member.n_threads);
        let group = heads.n_head / heads.n_kv_head;
        // SAFETY: the queries are this thread's.
        unsafe {
            if self.divides_tokens {
                (0..heads.n_kv_head).for_each(|head| self.attend_queries(layer, 0, head, 0..self.own.n * group));
                return;
            }
            if self.own.n == 1 {
                let own = self.member.part(heads.n_head);
                for kv_head in own.start / group..own.end.div_ceil(group) {
                    let of_head = (kv_head * group).max(own.start)..((kv_head + 1) * group).min(own.end);
                    self.attend_queries(
                        layer,
                        0,
                        kv_head,
                        of_head.start % group..of_head.start % group + of_head.len(),
                    );
                }
                return;
            }
            // Later queries see more. Threads take turns from both ends, so that each gets early and late ones.
            let n_queries = self.n_each * group;
            let mut n_taken = 0;
            for place in 0..self.places.len() {
                for kv_head in 0..heads.n_kv_head {
                    for first in (0..n_queries).step_by(ROWS) {
                        let turn = n_taken % (2 * n_threads);
                        if turn.min(2 * n_threads - 1 - turn) == self.member.thread {
                            self.attend_queries(layer, place, kv_head, first..(first + ROWS).min(n_queries));
                        }
                        n_taken += 1;
                    }
                }
            }
        }
    }

    /// Query g of a key/value head is that of position g / group, of the head's query head g % group.
    unsafe fn attend_queries(&self, layer: usize, place: usize, kv_head: usize, queries: Range<usize>) {
        let (heads, d) = (self.model.shape.heads, self.model.shape.heads.head_dim);
        let group = heads.n_head / heads.n_kv_head;
        let sequence = self.places[place].sequence;
        let stored = self.views.cache.stored(Slot { layer, sequence, head: kv_head });
        let query = |g: usize| {
            let (row, head) = (place * self.n_each + g / group, kv_head * group + g % group);
            Query {
                q: self.views.qkv.as_ptr_at(row * heads.qkv_width() + head * d),
                out: self.views.attention.as_ptr_at((row * heads.n_head + head) * d),
                n_keys: self.position(row) + 1,
            }
        };
        let each = self.views.scores.len() / self.member.n_threads;
        let first = self.member.thread * each;
        for start in queries.clone().step_by(ROWS) {
            let mut taken = [query(start); ROWS];
            let n = ROWS.min(queries.end - start);
            for i in 1..n {
                taken[i] = query(start + i);
            }
            // SAFETY: the scratch and the results are this thread's, and the cache is only read now.
            unsafe { attend(self.isa, stored, &taken[..n], self.views.scores.range(first..first + each)) };
        }
    }
}

for_each_isa! {
    /// x += y
    fn add(x: &mut [f32], y: &[f32]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x += *y;
        }
    }
}
