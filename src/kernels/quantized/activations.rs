//! Activations as codes of 8 bits: what a matrix of codes is multiplied by.
//!
//! 32 neighbouring activations of a token become one cache line, which holds all that a weight of any type needs of
//! them:
//!
//! ```text
//! | 32 x i8 code | f32 scale | f32 scale * sum | i32 0 | -8 sum | -16 sum | -128 sum | -32 sum(0..16) | -32
//! sum(16..32) |
//! ```
//!
//! Weights are stored as unsigned codes q, of which a bias b is to be subtracted. As the sum of (q - b) a is the sum
//! of q a plus -b times the sum of a, the products' accumulator starts from the last six numbers, and the bias costs
//! nothing. The product of scale and sum is for types whose weights have an offset.
//!
//! Tokens are taken in groups of up to [`GROUP`], as many as a micro-kernel multiplies at once, and lines lie in the
//! order in which it reads them: for each group, for each block, the group's tokens.
//!
//! One scale serves 32 activations, or 256 as in llama.cpp's products with Q4_K, Q5_K and Q6_K.

use super::layout::BLOCK;
#[cfg(target_arch = "x86_64")]
use super::lines_avx512;
use crate::kernels::cpu::{Cpu, Isa, for_each_isa};
use crate::kernels::norm::inverse_rms;
use crate::kernels::shared::SharedSlice;
use std::ops::Range;

/// Tokens that a micro-kernel multiplies at once: with 32 rows, 12 accumulators, enough to hide the latency of 5 cycles
/// at two `vpdpbusd` a cycle, and with 12 sums in f32 the 32 registers are nearly full.
pub const GROUP: usize = 6;

/// Adding 1.5 * 2^23 to a smaller f32 rounds it to the nearest integer, ties to even, which is then in the low bits.
pub(super) const ROUND: f32 = 12_582_912.0;

/// Activations that share a scale at most.
pub(super) const MOST_SHARED: usize = 256;

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

    /// A line of codes with their scale; `sums` are those of the codes of each half.
    #[inline(always)]
    pub(super) fn new(codes: [i8; BLOCK], scale: f32, [first, second]: [i32; 2]) -> Line {
        let sum = first.wrapping_add(second);
        let of_all = |bias: i32| sum.wrapping_mul(bias);
        let starts = [0, of_all(-8), of_all(-16), of_all(-128), first.wrapping_mul(-32), second.wrapping_mul(-32)];
        Line { codes, scale, weighted_sum: scale * sum as f32, starts }
    }

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
        match isa {
            // SAFETY: the token proves the instruction set.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => unsafe { lines_avx512::quantize_row(x, sharing.len(), out) },
            _ => quantize_row(isa, x, sharing.len(), out),
        }
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
        match isa {
            // SAFETY: the token proves the instruction set.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => unsafe { lines_avx512::norm_row(x, weight, eps, sharing.len(), out) },
            _ => norm_row(isa, x, weight, eps, sharing.len(), out),
        }
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

/// Quantizes all tokens of `x`, each of `n_columns`, on all threads, to `lines` from [`line_buffer`].
pub fn quantize<'a>(
    cpu: &Cpu,
    sharing: Sharing,
    x: &[f32],
    n_columns: usize,
    lines: &'a mut [Line],
) -> Activations<'a> {
    for_each_token(cpu, x, n_columns, lines, |isa, to, token, x| {
        // SAFETY: each token is one task's.
        unsafe { to.quantize(isa, sharing, token, 0, x) };
    })
}

/// As [`quantize`], of RMSNorm of each token times `weight`, which has a number for each column.
pub fn norm_and_quantize<'a>(
    cpu: &Cpu,
    sharing: Sharing,
    x: &[f32],
    weight: &[f32],
    eps: f32,
    lines: &'a mut [Line],
) -> Activations<'a> {
    for_each_token(cpu, x, weight.len(), lines, |isa, to, token, x| {
        // SAFETY: each token is one task's.
        unsafe { to.norm_and_quantize(isa, sharing, token, x, weight, eps) };
    })
}

/// Tokens that a task quantizes.
const TOKENS_PER_TASK: usize = 8;

fn for_each_token<'a>(
    cpu: &Cpu,
    x: &[f32],
    n_columns: usize,
    lines: &'a mut [Line],
    work: impl Fn(Isa, &Activations, usize, &[f32]) + Sync,
) -> Activations<'a> {
    let n_tokens = x.len() / n_columns;
    assert_eq!(x.len(), n_tokens * n_columns, "tokens of {n_columns} columns each");
    let (to, isa) = (Activations::new(SharedSlice::new(lines), n_tokens, n_columns), cpu.isa);
    cpu.pool.for_pieces(n_tokens, TOKENS_PER_TASK, |_, tokens| {
        for token in tokens {
            work(isa, &to, token, &x[token * n_columns..(token + 1) * n_columns]);
        }
    });
    to
}

/// The lines of one token.
pub(super) struct Strided {
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
    pub(super) fn push(&mut self, line: Line) {
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
    let mut lanes = [0u32; LANES];
    for x in x.as_chunks::<LANES>().0 {
        for i in 0..LANES {
            lanes[i] = lanes[i].max(x[i].to_bits() & 0x7fff_ffff);
        }
    }
    lanes.into_iter().fold(0, u32::max)
}

/// Lanes of a 512-bit register, and half a block.
pub(super) const LANES: usize = 16;

/// The scale of codes up to 127, and what values are multiplied by. Below 2^-120, where the inverse might overflow, all
/// codes are 0.
#[inline(always)]
pub(in crate::kernels) fn scales(largest: u32) -> (f32, f32) {
    const LEAST: f32 = f32::from_bits((127 - 120) << 23);
    let largest = f32::from_bits(largest);
    if largest < LEAST { (0.0, 0.0) } else { (largest / 127.0, 127.0 / largest) }
}

#[inline(always)]
fn line(x: &[f32; BLOCK], scale: f32, inverse: f32) -> Line {
    let mut codes = [0i8; BLOCK];
    let mut sums = [0i32; 2];
    for (half, x) in x.as_chunks::<LANES>().0.iter().enumerate() {
        for i in 0..LANES {
            let code = (x[i] * inverse + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i32;
            codes[LANES * half + i] = code as i8;
            // Wraps for the meaningless codes of infinity and NaN only.
            sums[half] = sums[half].wrapping_add(code);
        }
    }
    Line::new(codes, scale, sums)
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
        quantize(&Cpu::with_isa(1, isa), sharing, x, x.len(), &mut lines);
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
            let (n_tokens, n_columns, cpu) = (9, 288, Cpu::with_isa(2, isa));
            let (x, weight) = (noise(n_tokens * n_columns, 1), noise(n_columns, 2));
            let mut normed = vec![0.0; x.len()];
            rms_norm(&cpu, &x, &weight, 1e-6, &mut normed);
            for sharing in [Sharing::Block, Sharing::SuperBlock] {
                let [mut fused, mut apart] = [(); 2].map(|()| line_buffer(n_tokens, n_columns));
                norm_and_quantize(&cpu, sharing, &x, &weight, 1e-6, &mut fused);
                quantize(&cpu, sharing, &normed, n_columns, &mut apart);
                assert_eq!(fused, apart, "{} {sharing:?}", isa.name());
            }
        }
    }

    #[test]
    fn a_row_may_be_quantized_in_parts() {
        for isa in Isa::all() {
            let x = noise(288, 1);
            let [mut whole, mut parts] = [(); 2].map(|()| line_buffer(1, 288));
            quantize(&Cpu::with_isa(1, isa), Sharing::SuperBlock, &x, 288, &mut whole);
            let view = Activations::new(SharedSlice::new(&mut parts), 1, 288);
            // SAFETY: one thread.
            unsafe {
                view.quantize(isa, Sharing::SuperBlock, 0, 256, &x[256..]);
                view.quantize(isa, Sharing::SuperBlock, 0, 0, &x[..256]);
            }
            assert_eq!(whole, parts);
        }
    }

    #[test]
    fn each_token_has_its_own_lines() {
        for n_tokens in 1..40 {
            let mut lines = line_buffer(n_tokens, 64);
            let x: Vec<f32> = (0..n_tokens * 64).map(|i| (i / 64 + 1) as f32).collect();
            let view = quantize(&Cpu::with_isa(1, Isa::Scalar), Sharing::Block, &x, 64, &mut lines);
            for token in 0..n_tokens {
                // SAFETY: one thread.
                let found = unsafe { view.dequantize(token) };
                assert!(found.iter().all(|x| (x / (token as f32 + 1.0) - 1.0).abs() < 1e-6), "{token} of {n_tokens}");
            }
        }
    }
}
