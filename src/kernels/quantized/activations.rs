//! Activations as codes of 8 bits: what a matrix of codes is multiplied by.
//!
//! 32 neighbouring activations of a token become one cache line, which holds all that a weight of any type needs of
//! them:
//!
//! ```text
//! | 32 x i8 code | f32 scale | f32 scale * sum | i32 0 | -8 sum | -16 sum | -128 sum | -32 sum(0..16) | -32 sum(16..32) |
//! ```
//!
//! Weights are stored as unsigned codes q, of which a bias b is to be subtracted. As the sum of (q - b) a is the sum of q a
//! plus -b times the sum of a, the products' accumulator starts from the last six numbers, and the bias costs nothing.
//! The product of scale and sum is for types whose weights have an offset.
//!
//! Tokens are taken in groups of up to [`GROUP`], as many as a micro-kernel multiplies at once, and lines lie in the
//! order in which it reads them: for each group, for each block, the group's tokens.
//!
//! One scale serves 32 activations, or 256 as in llama.cpp's products with Q4_K, Q5_K and Q6_K.

use super::layout::BLOCK;
use crate::kernels::cpu::{Isa, for_each_isa};
use crate::kernels::norm::inverse_rms;
use crate::kernels::shared::SharedSlice;
use std::ops::Range;

/// Tokens that a micro-kernel multiplies at once: with 32 rows, 12 accumulators, enough to hide the latency of 5 cycles
/// at two `vpdpbusd` a cycle, and with 12 sums in f32 the 32 registers are nearly full.
pub const GROUP: usize = 6;

/// Activations that share a scale at most.
const MOST_SHARED: usize = 256;

/// 32 activations of one token; the file's head explains the fields.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub struct Line {
    pub(super) codes: [i8; BLOCK],
    pub(super) scale: f32,
    pub(super) weighted_sum: f32,
    pub(super) starts: [i32; 6],
}

const _: () = assert!(size_of::<Line>() == 64);

impl Line {
    /// Zeros.
    pub const ZERO: Line = Line { codes: [0; BLOCK], scale: 0.0, weighted_sum: 0.0, starts: [0; 6] };

    /// Which of `starts` serves codes with `bias`; with a scale for each half of the block, the next one serves the
    /// second half.
    pub(super) fn start_for(bias: i32) -> usize {
        match bias {
            0 => 0,
            8 => 1,
            16 => 2,
            128 => 3,
            32 => 4,
            _ => unreachable!("no type has a bias of {bias}"),
        }
    }
}

/// How many activations share a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// 32: the finest, and what llama.cpp does for types with blocks of 32.
    Block,
    /// 256: what llama.cpp does for types with blocks of 256.
    SuperBlock,
}

impl Sharing {
    fn len(self) -> usize {
        match self {
            Sharing::Block => BLOCK,
            Sharing::SuperBlock => MOST_SHARED,
        }
    }
}

/// Lines enough for `n_tokens` of `n_columns`: a buffer to be allocated once and viewed as [`Activations`].
pub fn line_buffer(n_tokens: usize, n_columns: usize) -> Vec<Line> {
    vec![Line::ZERO; n_tokens * n_columns.div_ceil(BLOCK)]
}

/// A view of lines as activations of `n_tokens` x `n_columns`. Copies view the same lines.
#[derive(Clone, Copy)]
pub struct Activations<'a> {
    lines: SharedSlice<'a, Line>,
    n_tokens: usize,
    n_columns: usize,
}

impl<'a> Activations<'a> {
    /// Views `lines`, of which there are at least as many as [`line_buffer`] has. `n_columns` is a multiple of 32.
    pub fn new(lines: SharedSlice<'a, Line>, n_tokens: usize, n_columns: usize) -> Activations<'a> {
        assert!(n_columns.is_multiple_of(BLOCK), "{n_columns} columns are no whole number of blocks of {BLOCK}");
        let needed = n_tokens * (n_columns / BLOCK);
        assert!(lines.len() >= needed, "{n_tokens} x {n_columns} activations take {needed} lines, not {}", lines.len());
        Activations { lines, n_tokens, n_columns }
    }

    /// Tokens, which are rows of activations.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Activations of a token.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// Lines of a token.
    pub(super) fn n_blocks(&self) -> usize {
        self.n_columns / BLOCK
    }

    pub(super) fn n_groups(&self) -> usize {
        self.n_tokens.div_ceil(GROUP)
    }

    /// The tokens of a group: sizes differ by one at most, so that no group is much too small for the micro-kernel.
    pub(super) fn group(&self, group: usize) -> Range<usize> {
        let n_groups = self.n_groups();
        group * self.n_tokens / n_groups..(group + 1) * self.n_tokens / n_groups
    }

    /// Where the lines of block `block` of the group that consists of `tokens` begin.
    pub(super) fn lines_of(&self, tokens: &Range<usize>, block: usize) -> *const Line {
        self.lines.as_ptr_at(tokens.start * self.n_blocks() + block * tokens.len())
    }

    /// The index of a token's first line, and the distance to its next ones.
    fn place(&self, token: usize) -> (usize, usize) {
        assert!(token < self.n_tokens, "token {token} of {}", self.n_tokens);
        // The inverse of `group`: the last group that begins at or before the token.
        let group = ((token + 1) * self.n_groups() - 1) / self.n_tokens;
        let tokens = self.group(group);
        debug_assert!(tokens.contains(&token));
        (tokens.start * self.n_blocks() + token - tokens.start, tokens.len())
    }

    /// Stores `x` as the activations of `token` from column `first_column` on. Both ends are multiples of 32, and
    /// `first_column` is one of what `sharing` says.
    ///
    /// # Safety
    /// Meanwhile no other thread reads or writes these activations.
    pub unsafe fn quantize(&self, isa: Isa, sharing: Sharing, token: usize, first_column: usize, x: &[f32]) {
        self.check_part(sharing, first_column, x.len());
        let (first, stride) = self.place(token);
        // SAFETY: passed on from the caller.
        let out = unsafe { Strided::new(self, first + first_column / BLOCK * stride, stride, x.len()) };
        quantize_row(isa, x, sharing.len(), out);
    }

    /// Stores RMSNorm of `x` times `weight` as the activations of `token`: [`quantize`](Self::quantize) after
    /// [`crate::kernels::norm::rms_norm`] with the same bits, without the row between them. `x` has all columns.
    ///
    /// # Safety
    /// As for [`quantize`](Self::quantize).
    pub unsafe fn norm_and_quantize(
        &self,
        isa: Isa,
        sharing: Sharing,
        token: usize,
        x: &[f32],
        weight: &[f32],
        eps: f32,
    ) {
        assert!(x.len() == self.n_columns && weight.len() == x.len(), "{} of {} columns", x.len(), self.n_columns);
        let (first, stride) = self.place(token);
        // SAFETY: passed on from the caller.
        let out = unsafe { Strided::new(self, first, stride, x.len()) };
        norm_row(isa, x, weight, eps, sharing.len(), out);
    }

    fn check_part(&self, sharing: Sharing, first_column: usize, len: usize) {
        let fits = first_column.checked_add(len).is_some_and(|end| end <= self.n_columns);
        assert!(fits, "columns {first_column} and {len} more, of {}", self.n_columns);
        let whole = first_column.is_multiple_of(sharing.len()) && len.is_multiple_of(BLOCK);
        assert!(whole, "columns {first_column} and {len} more are no whole blocks");
    }

    /// The values that the codes of `token` stand for.
    ///
    /// # Safety
    /// Meanwhile no other thread writes these activations.
    pub unsafe fn dequantize(&self, token: usize) -> Vec<f32> {
        let (first, stride) = self.place(token);
        let blocks = 0..self.n_blocks();
        // SAFETY: the place is within the lines; the caller promises that nobody writes.
        let lines = blocks.map(|block| unsafe { *self.lines.as_ptr_at(first + block * stride) });
        lines.flat_map(|line| line.codes.map(|code| f32::from(code) * line.scale)).collect()
    }
}

/// The lines of one token.
struct Strided {
    next: *mut Line,
    stride: usize,
    n_left: usize,
}

impl Strided {
    /// # Safety
    /// Meanwhile no other thread reads or writes these lines.
    unsafe fn new(of: &Activations, first: usize, stride: usize, n_columns: usize) -> Strided {
        let n_left = n_columns / BLOCK;
        assert!(n_left == 0 || first + (n_left - 1) * stride < of.lines.len(), "lines beyond the buffer");
        Strided { next: of.lines.as_ptr_at(first), stride, n_left }
    }

    #[inline(always)]
    fn push(&mut self, line: Line) {
        assert!(self.n_left > 0, "a line more than there is room for");
        self.n_left -= 1;
        // SAFETY: `new` checked that `n_left` lines are within the buffer, and its caller promised that they are ours.
        unsafe { self.next.write(line) };
        self.next = self.next.wrapping_add(self.stride);
    }
}

for_each_isa! {
    fn quantize_row(x: &[f32], shared: usize, out: Strided) {
        let mut out = out;
        for x in x.chunks(shared) {
            quantize_shared(x, &mut out);
        }
    }
}

for_each_isa! {
    fn norm_row(x: &[f32], weight: &[f32], eps: f32, shared: usize, out: Strided) {
        let (mut out, scale) = (out, inverse_rms(x, eps));
        let mut normed = [0.0; MOST_SHARED];
        for (x, weight) in x.chunks(shared).zip(weight.chunks(shared)) {
            let normed = &mut normed[..x.len()];
            for i in 0..x.len() {
                normed[i] = x[i] * scale * weight[i];
            }
            quantize_shared(normed, &mut out);
        }
    }
}

/// Activations of which all have one scale.
#[inline(always)]
fn quantize_shared(x: &[f32], out: &mut Strided) {
    let (scale, inverse) = scales(largest(x));
    for x in x.as_chunks().0 {
        out.push(line(x, scale, inverse));
    }
}

/// The bits of the largest magnitude, which order as magnitudes do; infinity and NaN come last and are not hidden.
#[inline(always)]
fn largest(x: &[f32]) -> u32 {
    let mut lanes = [0u32; BLOCK];
    for x in x.as_chunks::<BLOCK>().0 {
        for i in 0..BLOCK {
            lanes[i] = lanes[i].max(x[i].to_bits() & 0x7fff_ffff);
        }
    }
    lanes.into_iter().fold(0, u32::max)
}

/// The scale of codes up to 127, and what values are multiplied by. Below 2^-120, where the inverse might overflow, all
/// codes are 0.
#[inline(always)]
fn scales(largest: u32) -> (f32, f32) {
    const LEAST: f32 = f32::from_bits((127 - 120) << 23);
    let largest = f32::from_bits(largest);
    if largest < LEAST { (0.0, 0.0) } else { (largest / 127.0, 127.0 / largest) }
}

#[inline(always)]
fn line(x: &[f32; BLOCK], scale: f32, inverse: f32) -> Line {
    // Adding 1.5 * 2^23 rounds to the nearest integer, ties to even, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let mut codes = [0i8; BLOCK];
    let mut wide = [0i32; BLOCK];
    for i in 0..BLOCK {
        wide[i] = (x[i] * inverse + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i8 as i32;
        codes[i] = wide[i] as i8;
    }
    let first: i32 = wide[..BLOCK / 2].iter().sum();
    let second: i32 = wide[BLOCK / 2..].iter().sum();
    let sum = first + second;
    let starts = [0, -8 * sum, -16 * sum, -128 * sum, -32 * first, -32 * second];
    Line { codes, scale, weighted_sum: scale * sum as f32, starts }
}

#[cfg(test)]
mod tests {
    use super::super::super::Isa;
    use super::super::super::gradient_check::noise;
    use super::super::super::norm::rms_norm;
    use super::super::super::{Cpu, shared::SharedSlice};
    use super::*;

    fn quantized(isa: Isa, sharing: Sharing, x: &[f32]) -> Vec<Line> {
        let mut lines = line_buffer(1, x.len());
        let view = Activations::new(SharedSlice::new(&mut lines), 1, x.len());
        // SAFETY: one thread.
        unsafe { view.quantize(isa, sharing, 0, 0, x) };
        lines
    }

    #[test]
    fn codes_are_within_half_a_step_and_sums_are_theirs_on_every_instruction_set() {
        for isa in Isa::all() {
            for (sharing, n) in [(Sharing::Block, 96), (Sharing::SuperBlock, 512), (Sharing::SuperBlock, 288)] {
                let x = noise(n, 3);
                let lines = quantized(isa, sharing, &x);
                assert_eq!(lines, quantized(Isa::Scalar, sharing, &x), "{}", isa.name());
                for (line, x) in lines.iter().zip(x.as_chunks::<BLOCK>().0) {
                    for (code, x) in line.codes.iter().zip(x) {
                        assert!((f32::from(*code) * line.scale - x).abs() <= 0.5001 * line.scale);
                    }
                    let sum = |range: Range<usize>| line.codes[range].iter().map(|&c| i32::from(c)).sum::<i32>();
                    let (first, second) = (sum(0..16), sum(16..32));
                    let all = first + second;
                    assert_eq!(line.starts, [0, -8 * all, -16 * all, -128 * all, -32 * first, -32 * second]);
                    assert_eq!(line.weighted_sum, line.scale * all as f32);
                }
            }
        }
    }

    #[test]
    fn a_scale_serves_as_many_activations_as_asked() {
        let x = noise(512, 4);
        let n_scales = |sharing| {
            let mut scales: Vec<u32> =
                quantized(Isa::Scalar, sharing, &x).iter().map(|line| line.scale.to_bits()).collect();
            scales.dedup();
            scales.len()
        };
        assert_eq!((n_scales(Sharing::Block), n_scales(Sharing::SuperBlock)), (16, 2));
    }

    #[test]
    fn zeros_and_tiny_numbers_become_zeros_and_what_is_not_finite_is_not_hidden() {
        for isa in Isa::all() {
            for tiny in [0.0, 1e-45, -1e-38] {
                assert_eq!(quantized(isa, Sharing::Block, &[tiny; 32]), [Line::ZERO], "{tiny:e}");
            }
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut x = [1.0; 32];
                x[7] = bad;
                assert!(!quantized(isa, Sharing::Block, &x)[0].scale.is_finite(), "{bad}");
            }
        }
    }

    #[test]
    fn norm_and_quantize_equals_the_norm_and_then_quantize() {
        for isa in Isa::all() {
            let (n_tokens, n_columns) = (9, 288);
            let (x, weight) = (noise(n_tokens * n_columns, 1), noise(n_columns, 2));
            let mut normed = vec![0.0; x.len()];
            rms_norm(&Cpu::with_isa(1, isa), &x, &weight, 1e-6, &mut normed);
            for sharing in [Sharing::Block, Sharing::SuperBlock] {
                let [mut fused, mut apart] = [(); 2].map(|()| line_buffer(n_tokens, n_columns));
                let fused_view = Activations::new(SharedSlice::new(&mut fused), n_tokens, n_columns);
                let apart_view = Activations::new(SharedSlice::new(&mut apart), n_tokens, n_columns);
                for token in 0..n_tokens {
                    let row = token * n_columns..(token + 1) * n_columns;
                    // SAFETY: one thread.
                    unsafe {
                        fused_view.norm_and_quantize(isa, sharing, token, &x[row.clone()], &weight, 1e-6);
                        apart_view.quantize(isa, sharing, token, 0, &normed[row.start..row.start + 256]);
                        apart_view.quantize(isa, sharing, token, 256, &normed[row.start + 256..row.end]);
                    }
                }
                assert_eq!(fused, apart, "{} {sharing:?}", isa.name());
            }
        }
    }

    #[test]
    fn each_token_has_its_own_lines() {
        for n_tokens in 1..40 {
            let mut lines = line_buffer(n_tokens, 64);
            let view = Activations::new(SharedSlice::new(&mut lines), n_tokens, 64);
            for token in 0..n_tokens {
                // SAFETY: one thread.
                unsafe { view.quantize(Isa::Scalar, Sharing::Block, token, 0, &[token as f32 + 1.0; 64]) };
            }
            for token in 0..n_tokens {
                // SAFETY: one thread.
                let found = unsafe { view.dequantize(token) };
                assert!(found.iter().all(|x| (x / (token as f32 + 1.0) - 1.0).abs() < 1e-6), "{token} of {n_tokens}");
            }
        }
    }
}
