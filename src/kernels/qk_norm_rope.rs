//! QK-norm and rotary positions in one pass: each query and key head is RMS-normalised over its own width (as in
//! Qwen3) and turned by its position (RoFormer, arXiv 2104.09864; half rotation).
//!
//! A row of `qkv` holds H query heads, KV key heads and KV value heads; values pass by untouched. The backward pass
//! turns the gradient back (a rotation's transpose is its inverse) and goes through the norm.

use super::cpu::{Cpu, Isa, for_each_isa};
use super::element::{Element, as_floats, with_floats, write_floats};
use super::norm::{ROWS_PER_TASK, add_partials, inverse_rms, row_backward};
use super::shared::SharedSlice;
use std::ops::Range;

/// Sines and cosines of every position: (T, D/2) each.
#[derive(Debug, Clone)]
pub struct RopeTable {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

impl RopeTable {
    /// The table for positions `0..n_positions` of heads `head_dim` wide. Angles are computed in double precision.
    pub fn new(n_positions: usize, head_dim: usize, theta: f32) -> RopeTable {
        let half = head_dim / 2;
        let angle = |i: usize| (i / half) as f64 / (theta as f64).powf((i % half) as f64 / half as f64);
        let (sin, cos) = (0..n_positions * half).map(|i| angle(i).sin_cos()).map(|(s, c)| (s as f32, c as f32)).unzip();
        RopeTable { cos, sin, half }
    }

    #[inline(always)]
    fn at(&self, position: usize) -> (&[f32], &[f32]) {
        let range = position * self.half..(position + 1) * self.half;
        (&self.cos[range.clone()], &self.sin[range])
    }
}

/// The heads in a row of `qkv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Query heads (H).
    pub n_head: usize,
    /// Key/value heads (KV).
    pub n_kv_head: usize,
    /// Width of a head (D).
    pub head_dim: usize,
}

impl Heads {
    /// Width of a row of q and k: (H + KV) * D.
    pub fn qk_width(self) -> usize {
        (self.n_head + self.n_kv_head) * self.head_dim
    }

    /// Width of a row of q, k and v: (H + 2 KV) * D.
    pub fn qkv_width(self) -> usize {
        (self.n_head + 2 * self.n_kv_head) * self.head_dim
    }
}

/// The norm weights of the two kinds of heads.
#[derive(Clone, Copy)]
pub struct QkNorm<'a> {
    /// For query heads: (D).
    pub q: &'a [f32],
    /// For key heads: (D).
    pub k: &'a [f32],
    /// Added to the mean square under the root.
    pub eps: f32,
}

/// Norm and rotation of some `columns` of one row at `position`, whole heads, on the calling thread. `qkv` are those columns of
/// queries, keys and values; those of queries and keys go to their places in `qk` ((H+KV)*D).
pub fn qk_norm_rope<E: Element>(
    isa: Isa,
    heads: Heads,
    table: &RopeTable,
    position: usize,
    norm: QkNorm,
    columns: Range<usize>,
    qkv: &[f32],
    qk: &mut [E],
) {
    let d = heads.head_dim;
    assert!(columns.start.is_multiple_of(d) && columns.end.is_multiple_of(d), "columns {columns:?} of heads of {d}");
    let n_head = heads.n_head.saturating_sub(columns.start / d);
    let columns = columns.start.min(qk.len())..columns.end.min(qk.len());
    let qkv = &qkv[..columns.len()];
    write_floats(isa, &mut qk[columns], |qk| forward_row(isa, n_head, d, table, position, norm, qkv, qk));
}

/// The call for heads of a width that the compiler knows, where it is a usual one: loops over a known few elements
/// become straight code, which takes a third to a half of the time.
macro_rules! for_usual_widths {
    ($width:expr, $known:ident or $any:ident($($argument:expr),*)) => {
        match $width {
            32 => $known::<32>($($argument),*),
            64 => $known::<64>($($argument),*),
            128 => $known::<128>($($argument),*),
            width => $any(width, $($argument),*),
        }
    };
}

for_each_isa! {
    fn forward_row(
        n_head: usize,
        head_dim: usize,
        table: &RopeTable,
        position: usize,
        norm: QkNorm<'_>,
        row: &[f32],
        out: &mut [f32],
    ) {
        let turn = table.at(position);
        for_usual_widths!(head_dim, forward_heads or forward_any(n_head, turn, norm, row, out));
    }
}

/// The heads of a row, each `D` wide, of which the first `n_head` are queries.
#[inline(always)]
fn forward_heads<const D: usize>(n_head: usize, turn: (&[f32], &[f32]), norm: QkNorm, row: &[f32], out: &mut [f32]) {
    let (cos, sin) = (&turn.0[..D / 2], &turn.1[..D / 2]);
    for (h, (x, y)) in row.as_chunks::<D>().0.iter().zip(out.as_chunks_mut::<D>().0).enumerate() {
        let weight = as_array::<D>(if h < n_head { norm.q } else { norm.k });
        let scale = inverse_rms(x, norm.eps);
        for i in 0..D / 2 {
            let (a, b) = (x[i] * scale * weight[i], x[i + D / 2] * scale * weight[i + D / 2]);
            y[i] = a * cos[i] - b * sin[i];
            y[i + D / 2] = a * sin[i] + b * cos[i];
        }
    }
}

/// [`forward_heads`] of any width.
#[inline(always)]
fn forward_any(d: usize, n_head: usize, turn: (&[f32], &[f32]), norm: QkNorm, row: &[f32], out: &mut [f32]) {
    for (h, (x, y)) in row.chunks_exact(d).zip(out.chunks_exact_mut(d)).enumerate() {
        y.copy_from_slice(x);
        normalise(if h < n_head { norm.q } else { norm.k }, norm.eps, y);
        turn_by(turn, y);
    }
}

/// x * weight / rms(x) in place.
#[inline(always)]
fn normalise(weight: &[f32], eps: f32, x: &mut [f32]) {
    let scale = inverse_rms(x, eps);
    for (x, weight) in x.iter_mut().zip(weight) {
        *x = *x * scale * weight;
    }
}

/// Turns a head, in place.
#[inline(always)]
fn turn_by((cos, sin): (&[f32], &[f32]), x: &mut [f32]) {
    let (x1, x2) = x.split_at_mut(cos.len());
    for (((x1, x2), cos), sin) in x1.iter_mut().zip(x2).zip(cos).zip(sin) {
        (*x1, *x2) = (*x1 * cos - *x2 * sin, *x1 * sin + *x2 * cos);
    }
}

/// The first `D` of `values`, as many as there must be.
#[inline(always)]
fn as_array<const D: usize>(values: &[f32]) -> &[f32; D] {
    values.first_chunk().expect("a head's weights have its width")
}

for_each_isa! {
    /// One head in place, at `position`: normalised if there are weights (D), and turned.
    pub(super) fn norm_and_turn(table: &RopeTable, position: usize, weight: &[f32], eps: f32, x: &mut [f32]) {
        if !weight.is_empty() {
            normalise(weight, eps, x);
        }
        turn_by(table.at(position), x);
    }
}

/// The gradients of [`qk_norm_rope`] for sequences that begin at position 0: overwrites the q and k columns of `d_qkv`,
/// adds to the norms' gradients, and destroys `d_qk`.
pub fn qk_norm_rope_backward<E: Element>(
    cpu: &Cpu,
    heads: Heads,
    table: &RopeTable,
    n_positions: usize,
    norm: QkNorm,
    qkv: &[E],
    d_qk: &mut [f32],
    d_qkv: &mut [E],
    (d_q_norm, d_k_norm): (&mut [f32], &mut [f32]),
) {
    let (d, n_rows) = (heads.head_dim, qkv.len() / heads.qkv_width());
    assert_eq!((d_qk.len(), d_qkv.len()), (n_rows * heads.qk_width(), qkv.len()), "gradients of {n_rows} rows");
    let mut partials = cpu.partials.borrow_mut();
    let n_partials = n_rows.div_ceil(ROWS_PER_TASK);
    let partials = partials.at_least(n_partials * 2 * d);
    partials.fill(0.0);
    {
        let (d_qk, d_qkv, partials) = (SharedSlice::new(d_qk), SharedSlice::new(d_qkv), SharedSlice::new(partials));
        let isa: Isa = cpu.isa;
        cpu.pool.for_pieces(n_rows, ROWS_PER_TASK, |task, rows| {
            // SAFETY: tasks have disjoint rows, and each its own partial sums: d for q before all of those for k.
            let (d_q_norm, d_k_norm) = unsafe {
                (
                    partials.range(task * d..(task + 1) * d),
                    partials.range((n_partials + task) * d..(n_partials + task + 1) * d),
                )
            };
            let (width, wide) = (heads.qk_width(), heads.qkv_width());
            for row in rows {
                // SAFETY: as above.
                let (d_qk, d_qkv) = unsafe {
                    (d_qk.range(row * width..(row + 1) * width), d_qkv.range(row * wide..row * wide + width))
                };
                with_floats(width, |buf| {
                    let x = as_floats(isa, &qkv[row * wide..row * wide + width], buf);
                    write_floats(isa, d_qkv, |d_qkv| {
                        backward_row(isa, heads, table, row % n_positions, norm, x, d_qk, d_qkv, d_q_norm, d_k_norm);
                    });
                });
            }
        });
    }
    add_partials(&partials[..n_partials * d], d_q_norm);
    add_partials(&partials[n_partials * d..n_partials * 2 * d], d_k_norm);
}

for_each_isa! {
    fn backward_row(
        heads: Heads,
        table: &RopeTable,
        position: usize,
        norm: QkNorm<'_>,
        x: &[f32],
        dy: &mut [f32],
        dx: &mut [f32],
        d_q_norm: &mut [f32],
        d_k_norm: &mut [f32],
    ) {
        let (turn, into) = (table.at(position), (d_q_norm, d_k_norm));
        for_usual_widths!(heads.head_dim, backward_heads or backward_any(heads.n_head, turn, norm, x, dy, dx, into));
    }
}

/// As [`forward_heads`]; the norms' gradients go `into` that of queries and that of keys.
#[inline(always)]
fn backward_heads<const D: usize>(
    n_head: usize,
    turn: (&[f32], &[f32]),
    norm: QkNorm,
    x: &[f32],
    dy: &mut [f32],
    dx: &mut [f32],
    into: (&mut [f32], &mut [f32]),
) {
    let (cos, sin) = (&turn.0[..D / 2], &turn.1[..D / 2]);
    let gradients = dy.as_chunks::<D>().0.iter().zip(dx.as_chunks_mut::<D>().0);
    for (h, (x, (dy, dx))) in x.as_chunks::<D>().0.iter().zip(gradients).enumerate() {
        let mut turned = [0.0; D];
        for i in 0..D / 2 {
            let (a, b) = (dy[i], dy[i + D / 2]);
            turned[i] = a * cos[i] + b * sin[i];
            turned[i + D / 2] = b * cos[i] - a * sin[i];
        }
        let (weight, d_weight) = if h < n_head { (norm.q, &mut *into.0) } else { (norm.k, &mut *into.1) };
        row_backward(x, as_array::<D>(weight), norm.eps, &turned, dx, d_weight, false);
    }
}

/// [`backward_heads`] of any width.
#[inline(always)]
fn backward_any(
    d: usize,
    n_head: usize,
    (cos, sin): (&[f32], &[f32]),
    norm: QkNorm,
    x: &[f32],
    dy: &mut [f32],
    dx: &mut [f32],
    into: (&mut [f32], &mut [f32]),
) {
    let gradients = dy.chunks_exact_mut(d).zip(dx.chunks_exact_mut(d));
    for (h, (x, (dy, dx))) in x.chunks_exact(d).zip(gradients).enumerate() {
        let (dy1, dy2) = dy.split_at_mut(d / 2);
        for (((a, b), cos), sin) in dy1.iter_mut().zip(dy2).zip(cos).zip(sin) {
            (*a, *b) = (*a * cos + *b * sin, *b * cos - *a * sin);
        }
        let (weight, d_weight) = if h < n_head { (norm.q, &mut *into.0) } else { (norm.k, &mut *into.1) };
        row_backward(x, weight, norm.eps, dy, dx, d_weight, false);
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{check, noise};
    use super::super::scalar;
    use super::*;

    const HEADS: Heads = Heads { n_head: 4, n_kv_head: 2, head_dim: 6 };

    #[test]
    fn equals_the_specification_on_every_instruction_set() {
        for isa in Isa::all() {
            for head_dim in [2, 6, 32, 34, 64, 128] {
                let heads = Heads { head_dim, ..HEADS };
                let (n_rows, first) = (5, 3);
                let table = RopeTable::new(n_rows + first, head_dim, 10_000.0);
                let (qkv, wq, wk) = (noise(n_rows * heads.qkv_width(), 1), noise(head_dim, 2), noise(head_dim, 3));
                let mut qk = vec![0.0; n_rows * heads.qk_width()];
                let norm = QkNorm { q: &wq, k: &wk, eps: 1e-6 };
                let rows = qkv.chunks_exact(heads.qkv_width()).zip(qk.chunks_exact_mut(heads.qk_width()));
                for (row, (qkv, qk)) in rows.enumerate() {
                    // In two pieces: three of the queries, and the rest.
                    for columns in [0..3 * head_dim, 3 * head_dim..heads.qkv_width()] {
                        let part = &qkv[columns.clone()];
                        qk_norm_rope(isa, heads, &table, first + row, norm, columns, part, qk);
                    }
                }
                for row in 0..n_rows {
                    for h in 0..heads.n_head + heads.n_kv_head {
                        let x = &qkv[row * heads.qkv_width() + h * head_dim..][..head_dim];
                        let normed = scalar::rms_norm(x, if h < heads.n_head { &wq } else { &wk }, 1e-6);
                        let wanted = scalar::rope(&normed, first + row, 10_000.0);
                        let found = &qk[row * heads.qk_width() + h * head_dim..][..head_dim];
                        for (f, w) in found.iter().zip(&wanted) {
                            assert!(
                                (f - w).abs() < 1e-5 * (1.0 + w.abs()),
                                "{} width {head_dim} row {row} head {h}",
                                isa.name()
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn heads_of_a_usual_width_have_the_bits_of_any_width() {
        fn compare<const D: usize>() {
            let (n_head, width) = (2, 3 * D);
            let (x, dy) = (noise(width, 1), noise(width, 2));
            let (q, k) = (noise(D, 3), noise(D, 4));
            let (cos, sin) = (noise(D / 2, 5), noise(D / 2, 6));
            let (norm, turn) = (QkNorm { q: &q, k: &k, eps: 1e-6 }, (&cos[..], &sin[..]));
            let (mut known, mut any) = (vec![0.0; width], vec![0.0; width]);
            forward_heads::<D>(n_head, turn, norm, &x, &mut known);
            forward_any(D, n_head, turn, norm, &x, &mut any);
            assert_eq!(known, any, "forward, width {D}");
            let (mut known_norms, mut any_norms) = ([vec![0.1; D], vec![0.2; D]], [vec![0.1; D], vec![0.2; D]]);
            let [into_q, into_k] = &mut known_norms;
            backward_heads::<D>(n_head, turn, norm, &x, &mut dy.clone(), &mut known, (into_q, into_k));
            let [into_q, into_k] = &mut any_norms;
            backward_any(D, n_head, turn, norm, &x, &mut dy.clone(), &mut any, (into_q, into_k));
            assert_eq!((known, known_norms), (any, any_norms), "backward, width {D}");
        }
        compare::<32>();
        compare::<64>();
        compare::<128>();
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let (n_rows, n_positions) = (70, 35);
        let cpu = Cpu::new(2);
        let table = RopeTable::new(n_positions, HEADS.head_dim, 100.0);
        let (qkv, wq, wk) = (noise(n_rows * HEADS.qkv_width(), 1), noise(HEADS.head_dim, 2), noise(HEADS.head_dim, 3));
        let dy = noise(n_rows * HEADS.qk_width(), 4);
        let forward = |qkv: &[f32], q: &[f32], k: &[f32]| {
            let mut qk = vec![0.0; n_rows * HEADS.qk_width()];
            let norm = QkNorm { q, k, eps: 1e-6 };
            let rows = qkv.chunks_exact(HEADS.qkv_width()).zip(qk.chunks_exact_mut(HEADS.qk_width()));
            for (row, (qkv, qk)) in rows.enumerate() {
                qk_norm_rope(cpu.isa, HEADS, &table, row % n_positions, norm, 0..qkv.len(), qkv, qk);
            }
            qk
        };
        let (mut dx, mut dq, mut dk) = (vec![0.0; qkv.len()], vec![0.0; HEADS.head_dim], vec![0.0; HEADS.head_dim]);
        let norm = QkNorm { q: &wq, k: &wk, eps: 1e-6 };
        let into = (&mut dq[..], &mut dk[..]);
        qk_norm_rope_backward(&cpu, HEADS, &table, n_positions, norm, &qkv, &mut dy.clone(), &mut dx, into);
        check("qkv", &qkv, &dx, &dy, |x| forward(x, &wq, &wk));
        check("q norm", &wq, &dq, &dy, |w| forward(&qkv, w, &wk));
        check("k norm", &wk, &dk, &dy, |w| forward(&qkv, &wq, w));
    }
}
