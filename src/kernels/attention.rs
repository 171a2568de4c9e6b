//! Causal attention with grouped queries, forward and backward, without a T x T matrix in memory.
//!
//! Work is divided by sequence and key/value head. Within one, queries go by in blocks of 28 or 64 rows whose
//! scores against all earlier keys (rows x T floats, in the L2 cache) are computed, turned into probabilities and used at
//! once; keys after the block's last row are never touched, which saves half of the arithmetic. For the backward pass only
//! the logarithm of each row's sum is kept and the probabilities are computed again, as in FlashAttention-2 (Dao, arXiv
//! 2307.08691).
//!
//! A row's result depends on its query and on the keys and values up to its position, and on nothing else: not on the
//! rows computed with it. What runs a trained model has kernels of its own, on a cache in half precision
//! (`transformer/attend.rs`).

use super::aligned::AlignedBuf;
use super::cpu::{Cpu, Isa, for_each_isa};
use super::element::{Element, ElementsMut, as_floats, narrow, with_floats};
use super::gemm::{Matrix, Panels, Precision, Rows, small_gemm};
use super::math::{exp, max, sum};
use super::qk_norm_rope::Heads;
use super::shared::SharedSlice;
use std::cell::RefCell;
use std::ops::Range;

/// Query rows handled together: two tiles of the widest micro-kernel of vectors, or of the one of tile registers.
fn row_block((isa, precision): (Isa, Precision)) -> usize {
    if precision.is_in_tiles(isa) { 64 } else { 28 }
}

/// What the products of attention are computed with: bf16 where the network learns in it, else f32. (The scales of f16 are
/// of whole columns, and a causal row must not depend on what follows it.)
fn precision_of(precision: Precision) -> Precision {
    if precision == Precision::Bf16 { precision } else { Precision::F32 }
}

/// The keys and values of one head as right-hand sides: K^T (D, T) for scores and V (T, D).
#[derive(Debug, Clone, Default)]
struct KvPanels {
    keys: Panels,
    values: Panels,
}

/// Attention of consecutive query rows of one head over the keys and values stored so far.
///
/// Row r of `q` (rows `q_stride` apart) sees positions from `first_seen(r)` up to r. Writes D columns of `out` (rows
/// `out_stride` apart) and the logarithm of each row's sum of exponentials.
fn attend_rows<E: Element>(
    (isa, precision): (Isa, Precision),
    kv: &KvPanels,
    d: usize,
    (q, q_stride): (&[E], usize),
    n_rows: usize,
    first_seen: impl Fn(usize) -> usize,
    scores: &mut AlignedBuf,
    (out, out_stride): (&mut [E], usize),
    log_sums: &mut [f32],
) {
    let scale = 1.0 / (d as f32).sqrt();
    let row_block = row_block((isa, precision));
    for row in (0..n_rows).step_by(row_block) {
        let rows = row_block.min(n_rows - row);
        let n_keys = row + rows;
        let stride = n_keys.next_multiple_of(16);
        let scores = scores.at_least(rows * stride);
        let q = Matrix::strided(&q[row * q_stride..], rows, d, q_stride);
        small_gemm(isa, q, Rows(&kv.keys, 0), scores, (n_keys, stride), false);
        for (r, scores) in scores.chunks_exact_mut(stride).enumerate() {
            let seen = first_seen(row + r)..row + r + 1;
            log_sums[row + r] = softmax_row(isa, scores, seen, scale);
        }
        let out = &mut out[row * out_stride..];
        let p = Matrix::strided(scores, rows, n_keys, stride);
        match E::elements_mut(out) {
            ElementsMut::F32(out) => small_gemm(isa, p, Rows(&kv.values, 0), out, (d, out_stride), false),
            ElementsMut::Bf16(out) => with_floats(rows * d, |sums| {
                small_gemm(isa, p, Rows(&kv.values, 0), sums, (d, d), false);
                for (sums, out) in sums.chunks_exact(d).zip(out.chunks_mut(out_stride)) {
                    narrow(isa, sums, &mut out[..d]);
                }
            }),
        }
    }
}

/// The `seen` part of a row, and where the row has them the few after it that make whole chunks of sixteen; the rest becomes
/// zero. (Loops over whole chunks have no remainder, which takes as long as two chunks.)
#[inline(always)]
fn in_chunks<'a>(seen: &Range<usize>, row: &'a mut [f32]) -> &'a mut [f32] {
    let whole = seen.start + seen.len().next_multiple_of(16);
    let end = if whole <= row.len() { whole } else { seen.end };
    row[..seen.start].fill(0.0);
    row[end..].fill(0.0);
    &mut row[seen.start..end]
}

/// What [`in_chunks`] took beyond the first `n` is hidden behind `value`.
#[inline(always)]
fn hide_after(n: usize, row: &mut [f32], value: f32) {
    // A row that ends within a chunk has nothing more than was seen.
    if let (chunks, []) = row.as_chunks_mut::<16>()
        && let Some((last, before)) = chunks.split_last_mut()
    {
        let n = n - 16 * before.len();
        for l in 0..16 {
            last[l] = if l < n { last[l] } else { value };
        }
    }
}

for_each_isa! {
    /// Turns the scores of `seen` keys into probabilities and the rest into zeros; returns the logarithm of the sum of
    /// exponentials of the scaled scores.
    fn softmax_row(scores: &mut [f32], seen: Range<usize>, scale: f32) -> f32 {
        let row = in_chunks(&seen, scores);
        hide_after(seen.len(), row, f32::NEG_INFINITY);
        let max = max(row) * scale;
        for s in row.iter_mut() {
            *s = exp(*s * scale - max);
        }
        let total = sum([row], |[p]| p);
        let inverse = 1.0 / total;
        for s in row.iter_mut() {
            *s *= inverse;
        }
        max + total.ln()
    }
}

/// Buffers of one thread for one (sequence, key/value head).
#[derive(Default)]
struct Scratch {
    kv: KvPanels,
    scores: AlignedBuf,
    backward: BackwardScratch,
}

#[derive(Default)]
struct BackwardScratch {
    /// V^T (D, T), for dP = dO · V^T.
    values_t: Panels,
    /// K (T, D), for dQ = dS · K.
    keys: Panels,
    /// Q and dO of one query head (T, D), for dK = dS^T · Q and dV = P^T · dO.
    queries: Panels,
    d_out: Panels,
    d_scores: AlignedBuf,
    d_keys: AlignedBuf,
    d_values: AlignedBuf,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// How rows (N) are divided into sequences, which do not see each other.
#[derive(Debug, Clone, Copy)]
pub struct Sequences<'a> {
    /// Rows of each (T), at positions from 0.
    pub n_positions: usize,
    /// Where several texts stand in a sequence and a row is to see its own only: for each row, the position of its text's
    /// first (N). That a text then does not begin at position 0 makes no difference, since rotary positions are relative.
    pub starts: Option<&'a [u32]>,
}

impl<'a> Sequences<'a> {
    /// Each is one text.
    pub fn whole(n_positions: usize) -> Sequences<'a> {
        Sequences { n_positions, starts: None }
    }

    /// Those of some rows, which begin and end where sequences do.
    pub fn of_rows(self, rows: Range<usize>) -> Sequences<'a> {
        Sequences { starts: self.starts.map(|starts| &starts[rows]), ..self }
    }

    fn first_seen(self, row: usize) -> usize {
        self.starts.map_or(0, |starts| starts[row] as usize)
    }
}

/// Attention of whole sequences.
///
/// `qk` is (N, (H+KV)*D) with queries and keys normalised and turned, `qkv` (N, (H+2KV)*D) of which the values are read,
/// `out` (N, H*D), `log_sums` (N, H) in the order sequence, head, position. Products are in bf16 where `precision` is, else
/// in f32.
pub fn causal_attention<E: Element>(
    cpu: &Cpu,
    precision: Precision,
    heads: Heads,
    sequences: Sequences,
    qk: &[E],
    qkv: &[E],
    out: &mut [E],
    log_sums: &mut [f32],
) {
    let (n_rows, n_positions) = (qk.len() / heads.qk_width(), sequences.n_positions);
    assert_eq!((out.len(), log_sums.len()), (n_rows * heads.n_head * heads.head_dim, n_rows * heads.n_head));
    let (out, log_sums, unit) = (SharedSlice::new(out), SharedSlice::new(log_sums), (cpu.isa, precision_of(precision)));
    for_each_kv_head(cpu, heads, n_rows / n_positions, |sequence, kv_head, scratch| {
        let rows = sequence * n_positions..(sequence + 1) * n_positions;
        let place = Place { heads, rows: rows.clone(), kv_head };
        place.pack_kv(unit, qk, qkv, &mut scratch.kv);
        for head in place.query_heads() {
            let out_width = heads.n_head * heads.head_dim;
            let first = rows.start * out_width + head * heads.head_dim;
            let last = (rows.end - 1) * out_width + (head + 1) * heads.head_dim;
            let sums = (sequence * heads.n_head + head) * n_positions;
            // SAFETY: rows interleave with those of other heads, but this task writes only its own heads' columns, and
            // only this call reads them while it runs.
            let (out, log_sums) = unsafe { (out.range(first..last), log_sums.range(sums..sums + n_positions)) };
            let q = &qk[rows.start * heads.qk_width() + head * heads.head_dim..];
            attend_rows(
                unit,
                &scratch.kv,
                heads.head_dim,
                (q, heads.qk_width()),
                n_positions,
                |row| sequences.first_seen(rows.start + row),
                &mut scratch.scores,
                (out, out_width),
                log_sums,
            );
        }
    });
}

/// The gradients of [`causal_attention`]: overwrites `d_qk` (N, (H+KV)*D) and the value columns of `d_qkv`
/// (N, (H+2KV)*D).
pub fn causal_attention_backward<E: Element>(
    cpu: &Cpu,
    precision: Precision,
    heads: Heads,
    sequences: Sequences,
    qk: &[E],
    qkv: &[E],
    out: &[E],
    log_sums: &[f32],
    d_out: &[E],
    d_qk: &mut [f32],
    d_qkv: &mut [E],
) {
    let (n_rows, n_positions) = (qk.len() / heads.qk_width(), sequences.n_positions);
    assert_eq!((d_qk.len(), d_qkv.len(), d_out.len()), (qk.len(), qkv.len(), out.len()), "gradients of {n_rows} rows");
    let (d_qk, d_qkv, unit) = (SharedSlice::new(d_qk), SharedSlice::new(d_qkv), (cpu.isa, precision_of(precision)));
    for_each_kv_head(cpu, heads, n_rows / n_positions, |sequence, kv_head, scratch| {
        let rows = sequence * n_positions..(sequence + 1) * n_positions;
        let place = Place { heads, rows, kv_head };
        let d = heads.head_dim;
        place.pack_for_backward(unit, qk, qkv, scratch);
        for head in place.query_heads() {
            let sums = (sequence * heads.n_head + head) * n_positions;
            let log_sums = &log_sums[sums..sums + n_positions];
            place.head_backward(unit, head, sequences, qk, out, log_sums, d_out, d_qk, scratch);
        }
        for (t, row) in place.rows.clone().enumerate() {
            let key = row * heads.qk_width() + (heads.n_head + kv_head) * d;
            let value = row * heads.qkv_width() + (heads.n_head + heads.n_kv_head + kv_head) * d;
            // SAFETY: only this task writes the columns of its key/value head.
            let (d_key, d_value) = unsafe { (d_qk.range(key..key + d), d_qkv.range(value..value + d)) };
            d_key.copy_from_slice(&scratch.backward.d_keys[t * d..(t + 1) * d]);
            narrow(unit.0, &scratch.backward.d_values[t * d..(t + 1) * d], d_value);
        }
    });
}

fn for_each_kv_head(cpu: &Cpu, heads: Heads, n_sequences: usize, work: impl Fn(usize, usize, &mut Scratch) + Sync) {
    cpu.pool.run(n_sequences * heads.n_kv_head, |task| {
        SCRATCH.with_borrow_mut(|scratch| work(task / heads.n_kv_head, task % heads.n_kv_head, scratch));
    });
}

/// One key/value head of one sequence.
struct Place {
    heads: Heads,
    rows: Range<usize>,
    kv_head: usize,
}

impl Place {
    fn query_heads(&self) -> Range<usize> {
        let group = self.heads.n_head / self.heads.n_kv_head;
        self.kv_head * group..(self.kv_head + 1) * group
    }

    /// The head's keys (T, D).
    fn keys<'a, E: Element>(&self, qk: &'a [E]) -> Matrix<'a> {
        let before = self.heads.n_head + self.kv_head;
        self.columns(qk, self.heads.qk_width(), before)
    }

    /// Its values (T, D).
    fn values<'a, E: Element>(&self, qkv: &'a [E]) -> Matrix<'a> {
        let before = self.heads.n_head + self.heads.n_kv_head + self.kv_head;
        self.columns(qkv, self.heads.qkv_width(), before)
    }

    /// The sequence's rows in a matrix with rows of `width`: the columns that follow those of `before` heads (T, D).
    fn columns<'a, E: Element>(&self, x: &'a [E], width: usize, before: usize) -> Matrix<'a> {
        let d = self.heads.head_dim;
        Matrix::strided(&x[self.rows.start * width + before * d..], self.rows.len(), d, width)
    }

    fn pack_kv<E: Element>(&self, unit: (Isa, Precision), qk: &[E], qkv: &[E], kv: &mut KvPanels) {
        kv.keys.pack(unit, self.keys(qk).transposed());
        kv.values.pack(unit, self.values(qkv));
    }

    fn pack_for_backward<E: Element>(&self, unit: (Isa, Precision), qk: &[E], qkv: &[E], scratch: &mut Scratch) {
        let (size, s) = (self.rows.len() * self.heads.head_dim, &mut scratch.backward);
        scratch.kv.keys.pack(unit, self.keys(qk).transposed());
        s.values_t.pack(unit, self.values(qkv).transposed());
        s.keys.pack(unit, self.keys(qk));
        s.d_keys.at_least(size).fill(0.0);
        s.d_values.at_least(size).fill(0.0);
    }

    /// One query head: writes its part of `d_qk`, adds to the gradients of keys and values.
    ///
    /// With P the probabilities, dP = dO · V^T and delta = sum over d of dO * O: dS = P * (dP - delta) / sqrt(D),
    /// dV += P^T · dO, dK += dS^T · Q, dQ = dS · K.
    fn head_backward<E: Element>(
        &self,
        unit: (Isa, Precision),
        head: usize,
        sequences: Sequences,
        qk: &[E],
        out: &[E],
        log_sums: &[f32],
        d_out: &[E],
        d_qk: SharedSlice<f32>,
        scratch: &mut Scratch,
    ) {
        let (d, n, isa) = (self.heads.head_dim, self.rows.len(), unit.0);
        let (q_width, out_width) = (self.heads.qk_width(), self.heads.n_head * d);
        let (kv, s) = (&scratch.kv, &mut scratch.backward);
        s.queries.pack(unit, self.columns(qk, q_width, head));
        s.d_out.pack(unit, self.columns(d_out, out_width, head));
        let q = &qk[self.rows.start * q_width + head * d..];
        let at = self.rows.start * out_width + head * d;
        let (out, d_out) = (&out[at..], &d_out[at..]);
        let row_block = row_block(unit);
        for row in (0..n).step_by(row_block) {
            let rows = row_block.min(n - row);
            let n_keys = row + rows;
            let stride = n_keys.next_multiple_of(16);
            let p = scratch.scores.at_least(rows * stride);
            let ds = s.d_scores.at_least(rows * stride);
            let q = Matrix::strided(&q[row * q_width..], rows, d, q_width);
            let d_rows = Matrix::strided(&d_out[row * out_width..], rows, d, out_width);
            small_gemm(isa, q, Rows(&kv.keys, 0), p, (n_keys, stride), false);
            small_gemm(isa, d_rows, Rows(&s.values_t, 0), ds, (n_keys, stride), false);
            with_floats(2 * d, |buf| {
                let (o_buf, d_buf) = buf.split_at_mut(d);
                for r in 0..rows {
                    let t = row + r;
                    let o = as_floats(isa, &out[t * out_width..][..d], o_buf);
                    let d_o = as_floats(isa, &d_out[t * out_width..][..d], d_buf);
                    let range = r * stride..(r + 1) * stride;
                    let seen = sequences.first_seen(self.rows.start + t)..t + 1;
                    score_gradient_row(isa, &mut p[range.clone()], &mut ds[range], seen, log_sums[t], o, d_o);
                }
            });
            let [p, ds] = [p, ds].map(|x| Matrix::strided(x, rows, n_keys, stride));
            small_gemm(isa, p.transposed(), Rows(&s.d_out, row), &mut s.d_values, (d, d), true);
            small_gemm(isa, ds.transposed(), Rows(&s.queries, row), &mut s.d_keys, (d, d), true);
            let first = (self.rows.start + row) * q_width + head * d;
            // SAFETY: rows interleave with those of other heads, but only this task writes its own heads' columns.
            let dq = unsafe { d_qk.range(first..first + (rows - 1) * q_width + d) };
            small_gemm(isa, ds, Rows(&s.keys, 0), dq, (d, q_width), false);
        }
    }
}

for_each_isa! {
    /// Scores to probabilities and, in `ds`, dP to dS; keys outside of `seen` are hidden and get zero in both.
    fn score_gradient_row(
        p: &mut [f32],
        ds: &mut [f32],
        seen: Range<usize>,
        log_sum: f32,
        out: &[f32],
        d_out: &[f32],
    ) {
        let scale = 1.0 / (out.len() as f32).sqrt();
        let delta = sum([out, d_out], |[o, d]| o * d);
        let (p, ds) = (in_chunks(&seen, p), in_chunks(&seen, ds));
        hide_after(seen.len(), p, f32::NEG_INFINITY);
        let ds = &mut ds[..p.len()];
        for i in 0..p.len() {
            p[i] = exp(p[i] * scale - log_sum);
            ds[i] = p[i] * (ds[i] - delta) * scale;
        }
        // The product with a hidden key may have been anything.
        hide_after(seen.len(), ds, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{check, noise};
    use super::super::scalar;
    use super::*;

    type Way = (Cpu, Precision);

    /// Every instruction set with every precision that attention has on it.
    fn ways(n_threads: usize) -> Vec<Way> {
        let both = |isa| [Precision::F32, Precision::Bf16].map(|precision| (Cpu::with_isa(n_threads, isa), precision));
        let all = Isa::all().into_iter().flat_map(both);
        all.filter(|(cpu, precision)| precision.is_available(cpu.isa)).collect()
    }

    struct Case {
        heads: Heads,
        n_sequences: usize,
        n_positions: usize,
    }

    impl Case {
        fn new(n_head: usize, n_kv_head: usize, head_dim: usize, n_sequences: usize, n_positions: usize) -> Case {
            Case { heads: Heads { n_head, n_kv_head, head_dim }, n_sequences, n_positions }
        }

        fn inputs(&self) -> (Vec<f32>, Vec<f32>) {
            let n_rows = self.n_sequences * self.n_positions;
            (noise(n_rows * self.heads.qk_width(), 1), noise(n_rows * self.heads.qkv_width(), 2))
        }

        fn sequences(&self) -> Sequences<'static> {
            Sequences::whole(self.n_positions)
        }

        fn forward(&self, way: &Way, qk: &[f32], qkv: &[f32]) -> (Vec<f32>, Vec<f32>) {
            self.forward_of(way, self.sequences(), qk, qkv)
        }

        fn forward_of(&self, way: &Way, sequences: Sequences, qk: &[f32], qkv: &[f32]) -> (Vec<f32>, Vec<f32>) {
            let (cpu, precision) = way;
            let n_rows = self.n_sequences * self.n_positions;
            let mut out = vec![0.0; n_rows * self.heads.n_head * self.heads.head_dim];
            let mut log_sums = vec![0.0; n_rows * self.heads.n_head];
            causal_attention(cpu, *precision, self.heads, sequences, qk, qkv, &mut out, &mut log_sums);
            (out, log_sums)
        }

        /// Gradients of qk and qkv.
        fn backward(&self, way: &Way, sequences: Sequences, qk: &[f32], qkv: &[f32], d_out: &[f32]) -> [Vec<f32>; 2] {
            let (cpu, precision) = way;
            let (out, log_sums) = self.forward_of(way, sequences, qk, qkv);
            let (mut d_qk, mut d_qkv) = (vec![9.0; qk.len()], vec![0.0; qkv.len()]);
            let into = (&mut d_qk, &mut d_qkv);
            let (heads, sums) = (self.heads, &log_sums);
            causal_attention_backward(cpu, *precision, heads, sequences, qk, qkv, &out, sums, d_out, into.0, into.1);
            [d_qk, d_qkv]
        }
    }

    fn columns(x: &[f32], n_rows: usize, width: usize, head: usize, d: usize) -> Vec<f32> {
        (0..n_rows).flat_map(|r| x[r * width + head * d..][..d].to_vec()).collect()
    }

    #[test]
    fn equals_the_specification_on_every_instruction_set() {
        for way in ways(2) {
            // bf16 has 8 bits, and a sum of products is wrong by less than each of them.
            let tolerance = if way.1 == Precision::Bf16 { 2e-2 } else { 2e-5 };
            for case in [
                Case::new(1, 1, 2, 1, 1),
                Case::new(4, 2, 6, 2, 45),
                Case::new(2, 2, 64, 1, 70),
                Case::new(3, 1, 34, 2, 29),
                Case::new(1, 1, 2, 1, 1100), // more keys than a block of a product has
            ] {
                let (heads, n, d) = (case.heads, case.n_positions, case.heads.head_dim);
                let (qk, qkv) = case.inputs();
                let (out, _) = case.forward(&way, &qk, &qkv);
                for sequence in 0..case.n_sequences {
                    let part = |x: &[f32], width: usize| x[sequence * n * width..(sequence + 1) * n * width].to_vec();
                    let (qk, qkv) = (part(&qk, heads.qk_width()), part(&qkv, heads.qkv_width()));
                    let out = part(&out, heads.n_head * d);
                    for head in 0..heads.n_head {
                        let kv = head / (heads.n_head / heads.n_kv_head);
                        let q = columns(&qk, n, heads.qk_width(), head, d);
                        let k = columns(&qk, n, heads.qk_width(), heads.n_head + kv, d);
                        let v = columns(&qkv, n, heads.qkv_width(), heads.n_head + heads.n_kv_head + kv, d);
                        let found = columns(&out, n, heads.n_head * d, head, d);
                        for (f, w) in found.iter().zip(scalar::attention(&q, &k, &v, d)) {
                            let name = (way.0.isa.name(), way.1.name());
                            assert!((f - w).abs() < tolerance * (1.0 + w.abs()), "{name:?} {heads:?}: {f} is not {w}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let case = Case::new(4, 2, 6, 2, 40);
        let cpu = (Cpu::new(2), Precision::F32);
        let (qk, qkv) = case.inputs();
        let d_out = noise(case.forward(&cpu, &qk, &qkv).0.len(), 3);
        let [d_qk, d_qkv] = case.backward(&cpu, case.sequences(), &qk, &qkv, &d_out);
        check("qk", &qk, &d_qk, &d_out, |qk| case.forward(&cpu, qk, &qkv).0);
        check("qkv", &qkv, &d_qkv, &d_out, |qkv| case.forward(&cpu, &qk, qkv).0);
    }

    #[test]
    fn gradients_in_bf16_are_near_those_in_f32() {
        let case = Case::new(4, 2, 34, 2, 75);
        let (qk, qkv) = case.inputs();
        for way in ways(2).into_iter().filter(|way| way.1 == Precision::Bf16) {
            let d_out = noise(case.forward(&way, &qk, &qkv).0.len(), 3);
            let wanted = case.backward(&(Cpu::new(1), Precision::F32), case.sequences(), &qk, &qkv, &d_out);
            let found = case.backward(&way, case.sequences(), &qk, &qkv, &d_out);
            for (found, wanted) in found.iter().zip(&wanted) {
                let largest = wanted.iter().fold(0.0f32, |m, x| m.max(x.abs()));
                let error = found.iter().zip(wanted).fold(0.0f32, |m, (f, w)| m.max((f - w).abs()));
                assert!(error < 0.02 * largest && error > 0.0, "{error} of {largest}");
            }
        }
    }

    #[test]
    fn texts_in_one_sequence_do_not_see_each_other_forward_or_backward() {
        let lengths = [3, 40, 1, 26];
        let case = Case::new(4, 2, 6, 2, lengths.iter().sum());
        let (heads, n) = (case.heads, case.n_positions);
        let firsts: Vec<usize> = lengths.iter().scan(0, |end, len| Some(std::mem::replace(end, *end + len))).collect();
        let of_one: Vec<u32> = firsts.iter().zip(lengths).flat_map(|(&first, len)| vec![first as u32; len]).collect();
        let starts = [of_one.clone(), of_one].concat();
        let together = Sequences { n_positions: n, starts: Some(&starts) };
        let (qk, qkv) = case.inputs();
        for cpu in ways(2) {
            let (out, _) = case.forward_of(&cpu, together, &qk, &qkv);
            let d_out = noise(out.len(), 3);
            let [d_qk, d_qkv] = case.backward(&cpu, together, &qk, &qkv, &d_out);
            for (sequence, (&first, len)) in (0..2).flat_map(|s| firsts.iter().zip(lengths).map(move |text| (s, text)))
            {
                let part = |x: &[f32]| {
                    let width = x.len() / (2 * n);
                    x[(sequence * n + first) * width..(sequence * n + first + len) * width].to_vec()
                };
                let alone = Case { heads, n_sequences: 1, n_positions: len };
                let (wanted, _) = alone.forward(&cpu, &part(&qk), &part(&qkv));
                let wanted_gradients = alone.backward(&cpu, alone.sequences(), &part(&qk), &part(&qkv), &part(&d_out));
                let found = [part(&out), part(&d_qk), part(&d_qkv)];
                for (found, wanted) in
                    found.iter().flatten().zip([&[wanted], &wanted_gradients[..]].concat().iter().flatten())
                {
                    assert!((found - wanted).abs() < 1e-4, "{}: {found} is not {wanted}", cpu.0.isa.name());
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_whatever_rows_follow_it() {
        let case = Case::new(1, 1, 40, 1, 90);
        let (qk, qkv) = case.inputs();
        for way in ways(1) {
            let unit @ (isa, precision) = (way.0.isa, way.1);
            let (whole, _) = case.forward(&way, &qk, &qkv);
            let mut kv = KvPanels::default();
            Place { heads: case.heads, rows: 0..90, kv_head: 0 }.pack_kv(unit, &qk, &qkv, &mut kv);
            for n in 1..=90 {
                let (mut out, mut log_sums) = (vec![0.0; n * 40], vec![0.0; n]);
                let scores = &mut AlignedBuf::default();
                attend_rows(unit, &kv, 40, (&qk, 80), n, |_| 0, scores, (&mut out, 40), &mut log_sums);
                assert_eq!(out, whole[..n * 40], "{} {} the first {n}", isa.name(), precision.name());
            }
        }
    }
}
