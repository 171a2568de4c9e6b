//! Causal attention with grouped queries, forward and backward, without a T x T matrix in memory.
//!
//! Work is divided by sequence and key/value head. Within one, queries go by in blocks of `ROW_BLOCK` rows whose
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
use super::gemm::transpose::transpose;
use super::gemm::{PANEL, Panels, small_gemm};
use super::math::{exp, max, sum};
use super::qk_norm_rope::Heads;
use super::shared::SharedSlice;
use std::cell::RefCell;
use std::ops::Range;

/// Query rows handled together: two tiles of the widest micro-kernel.
const ROW_BLOCK: usize = 28;

/// The keys and values of one head, packed for the matrix products of attention.
///
/// Keys lie transposed, 32 positions to a panel: `[position / 32][d][position % 32]`; values by 32 columns to a panel:
/// `[d / 32][position][d % 32]`.
#[derive(Debug, Clone, Default)]
struct KvPanels {
    keys: AlignedBuf,
    values: AlignedBuf,
    head_dim: usize,
    capacity: usize,
}

impl KvPanels {
    /// Makes room for `capacity` positions; what was stored is lost. Allocates only to grow.
    fn reset(&mut self, capacity: usize, head_dim: usize) {
        self.keys.at_least(capacity.next_multiple_of(PANEL) * head_dim);
        self.values.at_least(capacity * head_dim.next_multiple_of(PANEL));
        (self.capacity, self.head_dim) = (capacity, head_dim);
    }

    fn keys(&self) -> Panels<'_> {
        Panels { data: &self.keys, panel_stride: self.head_dim * PANEL }
    }

    fn values(&self) -> Panels<'_> {
        Panels { data: &self.values, panel_stride: self.capacity * PANEL }
    }
}

/// Rows (n, D) of `x`, `stride` apart, as panels of 32 positions.
fn store_transposed(isa: Isa, (x, stride): (&[f32], usize), (n, d): (usize, usize), panels: &mut [f32]) {
    for (first, panel) in (0..n).step_by(PANEL).zip(panels.chunks_exact_mut(d * PANEL)) {
        transpose(isa, (&x[first * stride..], stride), (PANEL.min(n - first), d), (panel, PANEL));
    }
}

fn store_by_columns(panels: &mut [f32], capacity: usize, position: usize, row: &[f32]) {
    for (panel, columns) in row.chunks(PANEL).enumerate() {
        let first = (panel * capacity + position) * PANEL;
        let out = &mut panels[first..first + PANEL];
        // A whole panel's columns without a call into the C library, which takes longer than so short a copy.
        match columns.first_chunk::<PANEL>() {
            Some(whole) => out.copy_from_slice(whole),
            None => {
                out[..columns.len()].copy_from_slice(columns);
                out[columns.len()..].fill(0.0);
            }
        }
    }
}

/// Attention of consecutive query rows of one head over the keys and values stored so far.
///
/// Row r of `q` (rows `q_stride` apart) sees positions from `first_seen(r)` up to r. Writes D columns of `out` (rows
/// `out_stride` apart) and the logarithm of each row's sum of exponentials.
fn attend_rows(
    isa: Isa,
    kv: &KvPanels,
    (q, q_stride): (&[f32], usize),
    n_rows: usize,
    first_seen: impl Fn(usize) -> usize,
    scores: &mut AlignedBuf,
    (out, out_stride): (&mut [f32], usize),
    log_sums: &mut [f32],
) {
    let d = kv.head_dim;
    let scale = 1.0 / (d as f32).sqrt();
    for row in (0..n_rows).step_by(ROW_BLOCK) {
        let rows = ROW_BLOCK.min(n_rows - row);
        let n_keys = row + rows;
        let stride = n_keys.next_multiple_of(16);
        let scores = scores.at_least(rows * stride);
        small_gemm(isa, (rows, n_keys, d), &q[row * q_stride..], (q_stride, 1), kv.keys(), scores, stride, false);
        for (r, scores) in scores.chunks_exact_mut(stride).enumerate() {
            let seen = first_seen(row + r)..row + r + 1;
            log_sums[row + r] = softmax_row(isa, &mut scores[..n_keys], seen, scale);
        }
        let out = &mut out[row * out_stride..];
        small_gemm(isa, (rows, d, n_keys), scores, (stride, 1), kv.values(), out, out_stride, false);
    }
}

/// The `seen` part of a row; the rest becomes zero.
#[inline(always)]
fn only(seen: Range<usize>, row: &mut [f32]) -> &mut [f32] {
    row[..seen.start].fill(0.0);
    row[seen.end..].fill(0.0);
    &mut row[seen]
}

for_each_isa! {
    /// Turns the scores of `seen` keys into probabilities and the rest into zeros; returns the logarithm of the sum of
    /// exponentials of the scaled scores.
    fn softmax_row(scores: &mut [f32], seen: Range<usize>, scale: f32) -> f32 {
        let seen = only(seen, scores);
        let max = max(seen) * scale;
        for s in seen.iter_mut() {
            *s = exp(*s * scale - max);
        }
        let total = sum([seen], |[p]| p);
        let inverse = 1.0 / total;
        for s in seen.iter_mut() {
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
    /// V transposed like the keys, for dP = dO · V^T.
    values_t: AlignedBuf,
    /// K by columns, for dQ = dS · K.
    keys: AlignedBuf,
    /// Q and dO of one query head by columns, for dK = dS^T · Q and dV = P^T · dO.
    queries: AlignedBuf,
    d_out: AlignedBuf,
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
/// `out` (N, H*D), `log_sums` (N, H) in the order sequence, head, position.
pub fn causal_attention(
    cpu: &Cpu,
    heads: Heads,
    sequences: Sequences,
    qk: &[f32],
    qkv: &[f32],
    out: &mut [f32],
    log_sums: &mut [f32],
) {
    let (n_rows, n_positions) = (qk.len() / heads.qk_width(), sequences.n_positions);
    assert_eq!((out.len(), log_sums.len()), (n_rows * heads.n_head * heads.head_dim, n_rows * heads.n_head));
    let (out, log_sums, isa) = (SharedSlice::new(out), SharedSlice::new(log_sums), cpu.isa);
    for_each_kv_head(cpu, heads, n_rows / n_positions, |sequence, kv_head, scratch| {
        let rows = sequence * n_positions..(sequence + 1) * n_positions;
        let place = Place { heads, rows: rows.clone(), kv_head };
        place.pack_kv(isa, qk, qkv, &mut scratch.kv);
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
                isa,
                &scratch.kv,
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
pub fn causal_attention_backward(
    cpu: &Cpu,
    heads: Heads,
    sequences: Sequences,
    qk: &[f32],
    qkv: &[f32],
    out: &[f32],
    log_sums: &[f32],
    d_out: &[f32],
    d_qk: &mut [f32],
    d_qkv: &mut [f32],
) {
    let (n_rows, n_positions) = (qk.len() / heads.qk_width(), sequences.n_positions);
    assert_eq!((d_qk.len(), d_qkv.len(), d_out.len()), (qk.len(), qkv.len(), out.len()), "gradients of {n_rows} rows");
    let (d_qk, d_qkv, isa) = (SharedSlice::new(d_qk), SharedSlice::new(d_qkv), cpu.isa);
    for_each_kv_head(cpu, heads, n_rows / n_positions, |sequence, kv_head, scratch| {
        let rows = sequence * n_positions..(sequence + 1) * n_positions;
        let place = Place { heads, rows, kv_head };
        let d = heads.head_dim;
        place.pack_kv(isa, qk, qkv, &mut scratch.kv);
        place.pack_for_backward(isa, qk, qkv, &mut scratch.backward);
        for head in place.query_heads() {
            let sums = (sequence * heads.n_head + head) * n_positions;
            let log_sums = &log_sums[sums..sums + n_positions];
            place.head_backward(isa, head, sequences, qk, out, log_sums, d_out, d_qk, scratch);
        }
        for (t, row) in place.rows.clone().enumerate() {
            let key = row * heads.qk_width() + (heads.n_head + kv_head) * d;
            let value = row * heads.qkv_width() + (heads.n_head + heads.n_kv_head + kv_head) * d;
            // SAFETY: only this task writes the columns of its key/value head.
            let (d_key, d_value) = unsafe { (d_qk.range(key..key + d), d_qkv.range(value..value + d)) };
            d_key.copy_from_slice(&scratch.backward.d_keys[t * d..(t + 1) * d]);
            d_value.copy_from_slice(&scratch.backward.d_values[t * d..(t + 1) * d]);
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

    /// The head's keys: the first begins the slice, and they lie that far apart.
    fn keys<'a>(&self, qk: &'a [f32]) -> (&'a [f32], usize) {
        let width = self.heads.qk_width();
        (&qk[self.rows.start * width + (self.heads.n_head + self.kv_head) * self.heads.head_dim..], width)
    }

    /// Its values, likewise.
    fn values<'a>(&self, qkv: &'a [f32]) -> (&'a [f32], usize) {
        let (width, before) = (self.heads.qkv_width(), self.heads.n_head + self.heads.n_kv_head + self.kv_head);
        (&qkv[self.rows.start * width + before * self.heads.head_dim..], width)
    }

    fn pack_kv(&self, isa: Isa, qk: &[f32], qkv: &[f32], kv: &mut KvPanels) {
        let (n, d) = (self.rows.len(), self.heads.head_dim);
        kv.reset(n, d);
        store_transposed(isa, self.keys(qk), (n, d), &mut kv.keys);
        let (values, stride) = self.values(qkv);
        for t in 0..n {
            store_by_columns(&mut kv.values, n, t, &values[t * stride..][..d]);
        }
    }

    fn pack_for_backward(&self, isa: Isa, qk: &[f32], qkv: &[f32], s: &mut BackwardScratch) {
        let (d, n) = (self.heads.head_dim, self.rows.len());
        let values_t = s.values_t.at_least(n.next_multiple_of(PANEL) * d);
        let by_columns = s.keys.at_least(n * d.next_multiple_of(PANEL));
        store_transposed(isa, self.values(qkv), (n, d), values_t);
        let (keys, stride) = self.keys(qk);
        for t in 0..n {
            store_by_columns(by_columns, n, t, &keys[t * stride..][..d]);
        }
        s.d_keys.at_least(n * d).fill(0.0);
        s.d_values.at_least(n * d).fill(0.0);
    }

    /// One query head: writes its part of `d_qk`, adds to the gradients of keys and values.
    ///
    /// With P the probabilities, dP = dO · V^T and delta = sum over d of dO * O: dS = P * (dP - delta) / sqrt(D),
    /// dV += P^T · dO, dK += dS^T · Q, dQ = dS · K.
    fn head_backward(
        &self,
        isa: Isa,
        head: usize,
        sequences: Sequences,
        qk: &[f32],
        out: &[f32],
        log_sums: &[f32],
        d_out: &[f32],
        d_qk: SharedSlice<f32>,
        scratch: &mut Scratch,
    ) {
        let (d, n) = (self.heads.head_dim, self.rows.len());
        let (q_width, out_width) = (self.heads.qk_width(), self.heads.n_head * d);
        let (kv, s) = (&scratch.kv, &mut scratch.backward);
        let q = &qk[self.rows.start * q_width + head * d..];
        let at = self.rows.start * out_width + head * d;
        let (out, d_out) = (&out[at..], &d_out[at..]);
        let by_columns = n * d.next_multiple_of(PANEL);
        let (queries, d_outs) = (s.queries.at_least(by_columns), s.d_out.at_least(by_columns));
        for t in 0..n {
            store_by_columns(queries, n, t, &q[t * q_width..][..d]);
            store_by_columns(d_outs, n, t, &d_out[t * out_width..][..d]);
        }
        for row in (0..n).step_by(ROW_BLOCK) {
            let rows = ROW_BLOCK.min(n - row);
            let n_keys = row + rows;
            let stride = n_keys.next_multiple_of(16);
            let p = scratch.scores.at_least(rows * stride);
            let ds = s.d_scores.at_least(rows * stride);
            let values_t = Panels { data: &s.values_t, panel_stride: d * PANEL };
            small_gemm(isa, (rows, n_keys, d), &q[row * q_width..], (q_width, 1), kv.keys(), p, stride, false);
            small_gemm(isa, (rows, n_keys, d), &d_out[row * out_width..], (out_width, 1), values_t, ds, stride, false);
            for r in 0..rows {
                let t = row + r;
                let (o, d_o) = (&out[t * out_width..][..d], &d_out[t * out_width..][..d]);
                let range = r * stride..r * stride + n_keys;
                let seen = sequences.first_seen(self.rows.start + t)..t + 1;
                score_gradient_row(isa, &mut p[range.clone()], &mut ds[range], seen, log_sums[t], o, d_o);
            }
            let block = |panels: &'_ [f32]| -> Range<usize> { row * PANEL..panels.len() };
            let d_outs = Panels { data: &d_outs[block(d_outs)], panel_stride: n * PANEL };
            let queries = Panels { data: &queries[block(queries)], panel_stride: n * PANEL };
            small_gemm(isa, (n_keys, d, rows), p, (1, stride), d_outs, &mut s.d_values, d, true);
            small_gemm(isa, (n_keys, d, rows), ds, (1, stride), queries, &mut s.d_keys, d, true);
            let first = (self.rows.start + row) * q_width + head * d;
            // SAFETY: rows interleave with those of other heads, but only this task writes its own heads' columns.
            let dq = unsafe { d_qk.range(first..first + (rows - 1) * q_width + d) };
            let keys = Panels { data: &s.keys, panel_stride: n * PANEL };
            small_gemm(isa, (rows, d, n_keys), ds, (stride, 1), keys, dq, q_width, false);
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
        let (p, ds) = (only(seen.clone(), p), only(seen, ds));
        let ds = &mut ds[..p.len()];
        for i in 0..p.len() {
            p[i] = exp(p[i] * scale - log_sum);
            ds[i] = p[i] * (ds[i] - delta) * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{check, noise};
    use super::super::scalar;
    use super::*;

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

        fn forward(&self, cpu: &Cpu, qk: &[f32], qkv: &[f32]) -> (Vec<f32>, Vec<f32>) {
            self.forward_of(cpu, self.sequences(), qk, qkv)
        }

        fn forward_of(&self, cpu: &Cpu, sequences: Sequences, qk: &[f32], qkv: &[f32]) -> (Vec<f32>, Vec<f32>) {
            let n_rows = self.n_sequences * self.n_positions;
            let mut out = vec![0.0; n_rows * self.heads.n_head * self.heads.head_dim];
            let mut log_sums = vec![0.0; n_rows * self.heads.n_head];
            causal_attention(cpu, self.heads, sequences, qk, qkv, &mut out, &mut log_sums);
            (out, log_sums)
        }

        /// Gradients of qk and qkv.
        fn backward(&self, cpu: &Cpu, sequences: Sequences, qk: &[f32], qkv: &[f32], d_out: &[f32]) -> [Vec<f32>; 2] {
            let (out, log_sums) = self.forward_of(cpu, sequences, qk, qkv);
            let (mut d_qk, mut d_qkv) = (vec![9.0; qk.len()], vec![0.0; qkv.len()]);
            let into = (&mut d_qk, &mut d_qkv);
            causal_attention_backward(cpu, self.heads, sequences, qk, qkv, &out, &log_sums, d_out, into.0, into.1);
            [d_qk, d_qkv]
        }
    }

    fn columns(x: &[f32], n_rows: usize, width: usize, head: usize, d: usize) -> Vec<f32> {
        (0..n_rows).flat_map(|r| x[r * width + head * d..][..d].to_vec()).collect()
    }

    #[test]
    fn equals_the_specification_on_every_instruction_set() {
        for isa in Isa::all() {
            for case in [
                Case::new(1, 1, 2, 1, 1),
                Case::new(4, 2, 6, 2, 45),
                Case::new(2, 2, 64, 1, 70),
                Case::new(3, 1, 34, 2, 29),
            ] {
                let (heads, n, d) = (case.heads, case.n_positions, case.heads.head_dim);
                let (qk, qkv) = case.inputs();
                let (out, _) = case.forward(&Cpu::with_isa(2, isa), &qk, &qkv);
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
                            assert!((f - w).abs() < 2e-5 * (1.0 + w.abs()), "{} {heads:?}: {f} is not {w}", isa.name());
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let case = Case::new(4, 2, 6, 2, 40);
        let cpu = Cpu::new(2);
        let (qk, qkv) = case.inputs();
        let d_out = noise(case.forward(&cpu, &qk, &qkv).0.len(), 3);
        let [d_qk, d_qkv] = case.backward(&cpu, case.sequences(), &qk, &qkv, &d_out);
        check("qk", &qk, &d_qk, &d_out, |qk| case.forward(&cpu, qk, &qkv).0);
        check("qkv", &qkv, &d_qkv, &d_out, |qkv| case.forward(&cpu, &qk, qkv).0);
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
        for isa in Isa::all() {
            let cpu = Cpu::with_isa(2, isa);
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
                    assert!((found - wanted).abs() < 1e-4, "{}: {found} is not {wanted}", isa.name());
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_whatever_rows_follow_it() {
        let case = Case::new(1, 1, 40, 1, 90);
        let (qk, qkv) = case.inputs();
        for isa in Isa::all() {
            let cpu = Cpu::with_isa(1, isa);
            let (whole, _) = case.forward(&cpu, &qk, &qkv);
            let mut kv = KvPanels::default();
            Place { heads: case.heads, rows: 0..90, kv_head: 0 }.pack_kv(isa, &qk, &qkv, &mut kv);
            for n in 1..=90 {
                let (mut out, mut log_sums) = (vec![0.0; n * 40], vec![0.0; n]);
                let scores = &mut AlignedBuf::default();
                attend_rows(isa, &kv, (&qk, 80), n, |_| 0, scores, (&mut out, 40), &mut log_sums);
                assert_eq!(out, whole[..n * 40], "{} the first {n}", isa.name());
            }
        }
    }
}
