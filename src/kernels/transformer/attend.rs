//! Attention of a few queries over one head's cache.
//!
//! A query's scores with all keys that it sees become probabilities at once, as contexts are short and scores few; then
//! the values are mixed. Up to [`ROWS`] queries share each key and value that is read: those of the heads that share
//! keys and values, and in a prompt those of neighbouring positions.
//!
//! Scores are chains of additions over a head's dimensions, mixed values chains over the positions, both in ascending
//! order, and a query sees its own positions only. So its result does not depend on the queries beside it.

use super::super::cpu::{Isa, for_each_isa};
use super::super::math::{exp, max, sum_of_lanes};
use super::cache::{CacheType, PANEL, Stored};
use super::vector::{LANES, Vector, for_each_vector};

/// Queries handled together: with 4 vectors of values each, 24 accumulators.
pub(super) const ROWS: usize = 6;

/// Vectors of a value mixed at once.
const VECTORS: usize = 4;

/// A query, what it sees, and where its result goes.
#[derive(Clone, Copy)]
pub(super) struct Query {
    /// D numbers.
    pub(super) q: *const f32,
    /// Room for D numbers.
    pub(super) out: *mut f32,
    /// The first positions of the cache, which it sees.
    pub(super) n_keys: usize,
}

/// Floats of scratch that [`attend`] needs for a cache of `capacity` positions.
pub(super) fn scratch_len(capacity: usize) -> usize {
    ROWS * capacity.next_multiple_of(PANEL)
}

/// Attention of up to [`ROWS`] queries, which are in ascending order of the positions that they see.
///
/// # Safety
/// Queries are readable and results writable and nobody else's; the cache holds the positions that are seen, and
/// nobody writes to them meanwhile.
pub(super) unsafe fn attend(isa: Isa, stored: Stored, queries: &[Query], scratch: &mut [f32]) {
    let Some(last) = queries.last() else { return };
    let at_once = match queries.len() {
        n @ (1..=3 | ROWS) => n,
        4..ROWS => 3,
        n => panic!("{n} queries at once"),
    };
    if at_once < queries.len() {
        let (first, rest) = queries.split_at(at_once);
        // SAFETY: passed on from the caller.
        return unsafe {
            attend(isa, stored, first, scratch);
            attend(isa, stored, rest, scratch);
        };
    }
    let stride = last.n_keys.next_multiple_of(PANEL);
    assert!(scratch.len() >= queries.len() * stride, "scratch of {} for {} queries", scratch.len(), queries.len());
    // SAFETY: there is room for the scores of all queries; the rest is passed on from the caller.
    unsafe { scores(isa, stored, queries, scratch.as_mut_ptr(), stride) };
    let scale = 1.0 / (stored.head_dim as f32).sqrt();
    let mut totals = [1.0; ROWS];
    for ((query, scores), total) in queries.iter().zip(scratch.chunks_exact_mut(stride)).zip(&mut totals) {
        // Whole vectors: what is not seen counts nothing.
        let n = query.n_keys.next_multiple_of(LANES);
        scores[query.n_keys..n].fill(f32::NEG_INFINITY);
        *total = exponentials(isa, &mut scores[..n], scale);
    }
    // SAFETY: the exponentials have been written; the rest is passed on from the caller.
    unsafe { mix(isa, stored, queries, scratch.as_ptr(), stride, &totals) };
}

for_each_isa! {
    /// Turns scores into exponentials of what they are below the largest, times `scale`; returns their sum. The number of
    /// scores is a multiple of 16.
    fn exponentials(scores: &mut [f32], scale: f32) -> f32 {
        let most = max(scores) * scale;
        let mut sums = [0.0f32; LANES];
        for scores in scores.as_chunks_mut::<LANES>().0 {
            for l in 0..LANES {
                scores[l] = exp(scores[l] * scale - most);
                sums[l] += scores[l];
            }
        }
        sum_of_lanes(sums)
    }
}

for_each_vector! {
    /// Scores of each query with whole panels of keys; those of query r begin at `out[r * stride]`.
    ///
    /// # Safety
    /// As for [`attend`]; `out` is writable for all.
    unsafe fn scores(stored: Stored, queries: &[Query], out: *mut f32, stride: usize) => scores_by_type;
}

for_each_vector! {
    /// Values mixed by the exponentials of each query, over their sum; those of query r begin at `p[r * stride]`.
    ///
    /// # Safety
    /// As for [`attend`]; `p` is readable for all.
    unsafe fn mix(stored: Stored, queries: &[Query], p: *const f32, stride: usize, totals: &[f32; ROWS]) => mix_by_type;
}

/// How a cache stores numbers.
trait Numbers {
    type Number: Copy;
    const HAS_SCALES: bool;

    /// # Safety
    /// 16 numbers are readable; the CPU has the instruction set.
    unsafe fn load<V: Vector>(at: *const Self::Number) -> V;
}

struct F32;
struct F16;
struct Q8;

impl Numbers for F32 {
    type Number = f32;
    const HAS_SCALES: bool = false;

    #[inline(always)]
    unsafe fn load<V: Vector>(at: *const f32) -> V {
        // SAFETY: passed on from the caller.
        unsafe { V::load(at) }
    }
}

impl Numbers for F16 {
    type Number = u16;
    const HAS_SCALES: bool = false;

    #[inline(always)]
    unsafe fn load<V: Vector>(at: *const u16) -> V {
        // SAFETY: passed on from the caller.
        unsafe { V::load_half(at) }
    }
}

impl Numbers for Q8 {
    type Number = i8;
    const HAS_SCALES: bool = true;

    #[inline(always)]
    unsafe fn load<V: Vector>(at: *const i8) -> V {
        // SAFETY: passed on from the caller.
        unsafe { V::load_bytes(at) }
    }
}

/// # Safety
/// As for [`scores`]; the CPU has the instruction set.
#[inline(always)]
unsafe fn scores_by_type<V: Vector>(stored: Stored, queries: &[Query], out: *mut f32, stride: usize) {
    // SAFETY: passed on from the caller.
    unsafe {
        match stored.kind {
            CacheType::F32 => scores_by_rows::<V, F32>(stored, queries, out, stride),
            CacheType::F16 => scores_by_rows::<V, F16>(stored, queries, out, stride),
            CacheType::Q8 => scores_by_rows::<V, Q8>(stored, queries, out, stride),
        }
    }
}

/// # Safety
/// As for [`scores`]; the CPU has the instruction set.
#[inline(always)]
unsafe fn scores_by_rows<V: Vector, N: Numbers>(stored: Stored, queries: &[Query], out: *mut f32, stride: usize) {
    // SAFETY: passed on from the caller.
    unsafe {
        match queries.len() {
            1 => scores_as::<V, N, 1>(stored, queries, out, stride),
            2 => scores_as::<V, N, 2>(stored, queries, out, stride),
            3 => scores_as::<V, N, 3>(stored, queries, out, stride),
            ROWS => scores_as::<V, N, ROWS>(stored, queries, out, stride),
            n => unreachable!("{n} queries at once"),
        }
    }
}

/// # Safety
/// As for [`scores`], of `R` queries; the CPU has the instruction set.
#[inline(always)]
unsafe fn scores_as<V: Vector, N: Numbers, const R: usize>(
    stored: Stored,
    queries: &[Query],
    out: *mut f32,
    stride: usize,
) {
    let q: [*const f32; R] = std::array::from_fn(|r| queries[r].q);
    let (d, mut keys) = (stored.head_dim, stored.keys.cast::<N::Number>());
    for first in (0..stride).step_by(PANEL) {
        // SAFETY: the cache has whole panels; queries have D numbers; `out` has room for a panel of each.
        unsafe {
            let mut sums = [[V::splat(0.0); 2]; R];
            for i in 0..d {
                let k: [V; 2] = [N::load(keys), N::load(keys.add(LANES))];
                keys = keys.add(PANEL);
                for r in 0..R {
                    let q = V::splat(*q[r].add(i));
                    sums[r] = [k[0].mul_add(q, sums[r][0]), k[1].mul_add(q, sums[r][1])];
                }
            }
            for half in 0..2 {
                let at = first + half * LANES;
                for r in 0..R {
                    let mut sum = sums[r][half];
                    if N::HAS_SCALES {
                        sum = sum.mul(V::load(stored.key_scales.add(at)));
                    }
                    sum.store(out.add(r * stride + at));
                }
            }
        }
    }
}

/// # Safety
/// As for [`mix`]; the CPU has the instruction set.
#[inline(always)]
unsafe fn mix_by_type<V: Vector>(
    stored: Stored,
    queries: &[Query],
    p: *const f32,
    stride: usize,
    totals: &[f32; ROWS],
) {
    // SAFETY: passed on from the caller.
    unsafe {
        match stored.kind {
            CacheType::F32 => mix_by_columns::<V, F32>(stored, queries, p, stride, totals),
            CacheType::F16 => mix_by_columns::<V, F16>(stored, queries, p, stride, totals),
            CacheType::Q8 => mix_by_columns::<V, Q8>(stored, queries, p, stride, totals),
        }
    }
}

/// # Safety
/// As for [`mix`]; the CPU has the instruction set.
#[inline(always)]
unsafe fn mix_by_columns<V: Vector, N: Numbers>(
    stored: Stored,
    queries: &[Query],
    p: *const f32,
    stride: usize,
    totals: &[f32; ROWS],
) {
    for first in (0..stored.value_stride).step_by(VECTORS * LANES) {
        // SAFETY: passed on from the caller.
        unsafe {
            match ((stored.value_stride - first) / LANES).min(VECTORS) {
                1 => mix_by_rows::<V, N, 1>(stored, queries, p, stride, totals, first),
                2 => mix_by_rows::<V, N, 2>(stored, queries, p, stride, totals, first),
                3 => mix_by_rows::<V, N, 3>(stored, queries, p, stride, totals, first),
                _ => mix_by_rows::<V, N, VECTORS>(stored, queries, p, stride, totals, first),
            }
        }
    }
}

/// # Safety
/// As for [`mix`]; the CPU has the instruction set, and values have `C` vectors from column `first` on.
#[inline(always)]
unsafe fn mix_by_rows<V: Vector, N: Numbers, const C: usize>(
    stored: Stored,
    queries: &[Query],
    p: *const f32,
    stride: usize,
    totals: &[f32; ROWS],
    first: usize,
) {
    // SAFETY: passed on from the caller.
    unsafe {
        match queries.len() {
            1 => mix_as::<V, N, C, 1>(stored, queries, p, stride, totals, first),
            2 => mix_as::<V, N, C, 2>(stored, queries, p, stride, totals, first),
            3 => mix_as::<V, N, C, 3>(stored, queries, p, stride, totals, first),
            ROWS => mix_as::<V, N, C, ROWS>(stored, queries, p, stride, totals, first),
            n => unreachable!("{n} queries at once"),
        }
    }
}

/// # Safety
/// As for [`mix_by_rows`], of `R` queries.
#[inline(always)]
unsafe fn mix_as<V: Vector, N: Numbers, const C: usize, const R: usize>(
    stored: Stored,
    queries: &[Query],
    p: *const f32,
    stride: usize,
    totals: &[f32; ROWS],
    first: usize,
) {
    // SAFETY: the cache holds the positions that are seen, each with C vectors; there are as many probabilities.
    unsafe {
        let mut sums = [[V::splat(0.0); C]; R];
        // The positions that all see, then those that some see: neighbours in a prompt differ by a few.
        let n_common = queries[0].n_keys;
        for j in 0..n_common {
            let v = value::<V, N, C>(stored, j, first);
            for r in 0..R {
                sums[r] = added::<V, N, C>(stored, *p.add(r * stride + j), j, v, sums[r]);
            }
        }
        for r in 0..R {
            for j in n_common..queries[r].n_keys {
                let v = value::<V, N, C>(stored, j, first);
                sums[r] = added::<V, N, C>(stored, *p.add(r * stride + j), j, v, sums[r]);
            }
        }
        let n_columns = (stored.head_dim - first).min(C * LANES);
        for r in 0..R {
            let (out, share) = (queries[r].out.add(first), V::splat(1.0 / totals[r]));
            for c in 0..C {
                sums[r][c] = sums[r][c].mul(share);
            }
            if n_columns == C * LANES {
                for c in 0..C {
                    sums[r][c].store(out.add(c * LANES));
                }
            } else {
                let mut wide = [[0.0f32; LANES]; VECTORS];
                for c in 0..C {
                    sums[r][c].store(wide[c].as_mut_ptr());
                }
                std::ptr::copy_nonoverlapping(wide.as_ptr().cast(), out, n_columns);
            }
        }
    }
}

/// # Safety
/// Position `j` is in the cache, with `C` vectors from column `first` on; the CPU has the instruction set.
#[inline(always)]
unsafe fn value<V: Vector, N: Numbers, const C: usize>(stored: Stored, j: usize, first: usize) -> [V; C] {
    let at = stored.values.cast::<N::Number>().wrapping_add(j * stored.value_stride + first);
    // SAFETY: passed on from the caller.
    unsafe {
        // No closure, which would be compiled without the instruction set.
        let mut v = [N::load(at); C];
        for c in 1..C {
            v[c] = N::load(at.add(c * LANES));
        }
        v
    }
}

/// `sums` and the value `v` of position `j`, times its exponential.
///
/// # Safety
/// As for [`value`].
#[inline(always)]
unsafe fn added<V: Vector, N: Numbers, const C: usize>(
    stored: Stored,
    p: f32,
    j: usize,
    v: [V; C],
    sums: [V; C],
) -> [V; C] {
    // SAFETY: passed on from the caller.
    unsafe {
        let (p, mut sums) = (V::splat(if N::HAS_SCALES { p * *stored.value_scales.add(j) } else { p }), sums);
        for c in 0..C {
            sums[c] = v[c].mul_add(p, sums[c]);
        }
        sums
    }
}
