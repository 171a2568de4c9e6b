//! Products of codes for AVX-512 VNNI: one kernel for a single token, one for batches, the same sums from both.
//!
//! `vpdpbusd` multiplies 64 unsigned bytes by 64 signed ones and adds the products by fours to 16 sums. With a word
//! of a tile (four codes of each of 16 rows) as the first operand and four activations, repeated 16 times on the way
//! from memory, as the second, it advances 16 outputs by four columns. Nothing is shuffled and no lanes are added up:
//!
//! ```text
//!                 row 0         row 1              row 15
//! codes          | q0 q1 q2 q3 | q0 q1 q2 q3 | ... | q0 q1 q2 q3 |
//! activations    | a0 a1 a2 a3 | a0 a1 a2 a3 | ... | a0 a1 a2 a3 |     {1to16}
//! dot           += |   sum     |   sum       | ... |   sum       |     begins with -bias sum(a)
//! ```
//!
//! What a block of 32 columns costs on ports 0 and 5, the only ones that do 512-bit arithmetic on Intel's cores (for
//! each token in a batch; Zen 4 has as many in 256-bit halves): 8 products, a conversion to f32, the product of two
//! scales, a fused multiply-add: 11, that is 5.5 cycles for 16 x 32 multiply-adds, or 73 % of the ceiling of
//! [`crate::kernels::ceiling`]; offsets and second scales make it 12 and 14. A single token also pays for unpacking: 12
//! for nibbles, 27 with fifth bits, 26 with upper pairs.

use super::Place;
use super::activations::{GROUP, Line};
use super::layout::{BLOCK, Coding, GROUPS, SUPER, Scales, TILE_ROWS, WORD};
use super::panel::{Panel, Shape};
use super::portable::Step;
use std::arch::x86_64::*;
use std::ops::Range;

/// How far ahead of the codes in use the next ones are asked for, into the L2 cache: half a microsecond at 15 GB/s, which
/// is what a core reads from memory. Asked for into the L1 cache, each line would hold one of its few buffers for misses
/// until memory answers: reading 76 MB of Q4_0 went at 18 GB/s instead of 26 (Zen 4, two threads).
const FAR: usize = 8192;

/// How far ahead they are asked for into the L1 cache.
const NEAR: usize = 1024;

/// Rows that exist of the last tile.
fn row_mask(n_rows: usize) -> __mmask16 {
    if n_rows >= TILE_ROWS { !0 } else { (1 << n_rows) - 1 }
}

/// Codes of some bits.
trait Codes {
    /// Words that hold a block.
    const WORDS: usize;

    /// The codes of a block as bytes.
    ///
    /// # Safety
    /// `words` is readable for [`Self::WORDS`] words; the CPU has AVX-512 F and BW.
    unsafe fn unpack(words: *const __m512i) -> [__m512i; GROUPS];

    /// Whether [`unpack_in_place`](Self::unpack_in_place) leaves the codes of odd groups times 16.
    const IN_PLACE: bool = false;

    /// The codes of a block as bytes, for a single use: what need not be shifted stays where it is.
    ///
    /// # Safety
    /// As for [`unpack`](Self::unpack).
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn unpack_in_place(words: *const __m512i) -> [__m512i; GROUPS] {
        // SAFETY: passed on from the caller.
        unsafe { Self::unpack(words) }
    }
}

struct Bits4;
struct Bits5;
struct Bits6;
struct Bits8;

impl Codes for Bits4 {
    const WORDS: usize = 4;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn unpack(words: *const __m512i) -> [__m512i; GROUPS] {
        let low_halves = _mm512_set1_epi8(15);
        std::array::from_fn(|g| {
            // SAFETY: passed on from the caller.
            let word = unsafe { _mm512_load_si512(words.add(g / 2)) };
            let low = if g % 2 == 0 { word } else { _mm512_srli_epi16::<4>(word) };
            _mm512_and_si512(low, low_halves)
        })
    }

    const IN_PLACE: bool = true;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn unpack_in_place(words: *const __m512i) -> [__m512i; GROUPS] {
        let (low_halves, high_halves) = (_mm512_set1_epi8(15), _mm512_set1_epi8(-16));
        std::array::from_fn(|g| {
            // SAFETY: passed on from the caller.
            let word = unsafe { _mm512_load_si512(words.add(g / 2)) };
            _mm512_and_si512(word, if g % 2 == 0 { low_halves } else { high_halves })
        })
    }
}

/// `low | (upper & mask)` in one instruction.
#[inline]
#[target_feature(enable = "avx512f")]
fn with_upper(low: __m512i, upper: __m512i, mask: __m512i) -> __m512i {
    _mm512_ternarylogic_epi64::<0b1111_1000>(low, upper, mask)
}

impl Codes for Bits5 {
    const WORDS: usize = 5;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn unpack(words: *const __m512i) -> [__m512i; GROUPS] {
        // SAFETY: passed on from the caller.
        let (low, fifth) = unsafe { (Bits4::unpack(words), _mm512_load_si512(words.add(4))) };
        // Bit g of each byte to bit 4. Shifts are of 16 bits; the mask removes what crosses from byte to byte.
        let upper = [
            _mm512_slli_epi16::<4>(fifth),
            _mm512_slli_epi16::<3>(fifth),
            _mm512_slli_epi16::<2>(fifth),
            _mm512_slli_epi16::<1>(fifth),
            fifth,
            _mm512_srli_epi16::<1>(fifth),
            _mm512_srli_epi16::<2>(fifth),
            _mm512_srli_epi16::<3>(fifth),
        ];
        let mask = _mm512_set1_epi8(16);
        std::array::from_fn(|g| with_upper(low[g], upper[g], mask))
    }
}

impl Codes for Bits6 {
    const WORDS: usize = 6;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn unpack(words: *const __m512i) -> [__m512i; GROUPS] {
        // SAFETY: passed on from the caller.
        let low = unsafe { Bits4::unpack(words) };
        let mask = _mm512_set1_epi8(0x30);
        std::array::from_fn(|g| {
            // SAFETY: as above.
            let pairs = unsafe { _mm512_load_si512(words.add(4 + g / 4)) };
            let upper = match g % 4 {
                0 => _mm512_slli_epi16::<4>(pairs),
                1 => _mm512_slli_epi16::<2>(pairs),
                2 => pairs,
                _ => _mm512_srli_epi16::<2>(pairs),
            };
            with_upper(low[g], upper, mask)
        })
    }
}

impl Codes for Bits8 {
    const WORDS: usize = 8;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn unpack(words: *const __m512i) -> [__m512i; GROUPS] {
        // SAFETY: passed on from the caller.
        std::array::from_fn(|g| unsafe { _mm512_load_si512(words.add(g)) })
    }
}

/// Scales of a block: one of the whole or two of the halves, and the offset where the type has one.
struct Scaling {
    scales: [__m512; 2],
    offset: __m512,
}

/// An arrangement of scales.
trait Plane {
    const KIND: Scales;
    const SHAPE: Shape;

    /// The scales of block `sub` of an entry, whose f16 factors are `factors`: those themselves where an entry serves one
    /// block.
    ///
    /// # Safety
    /// `entry` is readable for an entry of this kind; the CPU has AVX-512 F.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn scaling(_entry: *const u8, factors: [__m512; 2], _sub: usize) -> Scaling {
        Scaling { scales: factors, offset: factors[1] }
    }
}

/// The f16 numbers that an entry begins with, of which plain scales have one for each row.
///
/// # Safety
/// `entry` is readable for an entry of this kind.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn factors(kind: Scales, entry: *const u8) -> [__m512; 2] {
    // SAFETY: passed on from the caller.
    unsafe {
        let first = _mm512_cvtph_ps(_mm256_load_si256(entry.cast()));
        match kind {
            Scales::Plain | Scales::Halves => [first, _mm512_setzero_ps()],
            Scales::Offset | Scales::Nested => [first, _mm512_cvtph_ps(_mm256_load_si256(entry.add(32).cast()))],
        }
    }
}

struct Plain;
struct Offset;
struct Nested;
struct Halves;

impl Plane for Plain {
    const KIND: Scales = Scales::Plain;
    const SHAPE: Shape = Shape::Whole;
}

impl Plane for Offset {
    const KIND: Scales = Scales::Offset;
    const SHAPE: Shape = Shape::Offset;
}

impl Plane for Nested {
    const KIND: Scales = Scales::Nested;
    const SHAPE: Shape = Shape::Offset;

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn scaling(entry: *const u8, [d, dmin]: [__m512; 2], sub: usize) -> Scaling {
        // SAFETY: passed on from the caller.
        let wide = |n: usize| unsafe {
            let bytes = _mm_load_si128(entry.add(WORD + n * TILE_ROWS).cast());
            _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))
        };
        let scale = _mm512_mul_ps(d, wide(sub));
        // The sign of a product is that of its factors', so this has the bits of -(dmin * m).
        let offset = _mm512_mul_ps(_mm512_sub_ps(_mm512_set1_ps(-0.0), dmin), wide(SUPER + sub));
        Scaling { scales: [scale; 2], offset }
    }
}

impl Plane for Halves {
    const KIND: Scales = Scales::Halves;
    const SHAPE: Shape = Shape::Halves;

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn scaling(entry: *const u8, [d, _]: [__m512; 2], sub: usize) -> Scaling {
        let scales = [0, 1].map(|h| {
            // SAFETY: passed on from the caller.
            let bytes = unsafe { _mm_load_si128(entry.add(WORD + (2 * sub + h) * TILE_ROWS).cast()) };
            _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)))
        });
        Scaling { scales, offset: d }
    }
}

/// Calls a function that is generic over codes and scales with those of a type.
macro_rules! for_coding {
    ($coding:expr, $function:ident($($arg:expr),* $(,)?)) => {
        match ($coding.bits, $coding.scales) {
            (8, Scales::Plain) => $function::<Bits8, Plain>($($arg),*),
            (4, Scales::Plain) => $function::<Bits4, Plain>($($arg),*),
            (5, Scales::Plain) => $function::<Bits5, Plain>($($arg),*),
            (4, Scales::Offset) => $function::<Bits4, Offset>($($arg),*),
            (5, Scales::Offset) => $function::<Bits5, Offset>($($arg),*),
            (4, Scales::Nested) => $function::<Bits4, Nested>($($arg),*),
            (5, Scales::Nested) => $function::<Bits5, Nested>($($arg),*),
            (6, Scales::Halves) => $function::<Bits6, Halves>($($arg),*),
            (bits, scales) => unreachable!("no type has {bits} bits and {scales:?} scales"),
        }
    };
}

/// Unpacks `blocks` of a tile of `n_blocks`, which begin with a super-block: as [`super::panel::unpack`].
///
/// # Safety
/// The CPU has AVX-512 F and BW; `tile` is aligned to 64 bytes.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn unpack(coding: Coding, tile: &[u8], n_blocks: usize, blocks: Range<usize>, panel: &mut Panel) {
    assert!(tile.len() >= coding.tile_bytes(n_blocks) && blocks.end <= n_blocks && blocks.len() <= panel.codes.len());
    // SAFETY: the tile has all blocks, and the panel room for these; alignment is the caller's promise.
    unsafe { for_coding!(coding, unpack_as(tile.as_ptr(), n_blocks, blocks, panel)) }
}

/// # Safety
/// As for [`unpack`]; the tile has `n_blocks` of this coding and the panel room for `blocks`.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn unpack_as<C: Codes, P: Plane>(tile: *const u8, n_blocks: usize, blocks: Range<usize>, panel: &mut Panel) {
    let (per_entry, entry_bytes) = P::KIND.entry();
    for (to, block) in blocks.enumerate() {
        // SAFETY: passed on from the caller.
        unsafe {
            let codes = C::unpack(tile.add(P::KIND.plane_bytes(n_blocks) + block * C::WORDS * WORD).cast());
            for g in 0..GROUPS {
                _mm512_store_si512(panel.codes[to][g].as_mut_ptr().cast(), codes[g]);
            }
            let entry = tile.add(block / per_entry * entry_bytes);
            let Scaling { scales, offset } = P::scaling(entry, factors(P::KIND, entry), block % per_entry);
            _mm512_store_ps(panel.scales[to][0].as_mut_ptr(), scales[0]);
            match P::SHAPE {
                Shape::Whole => {}
                Shape::Offset => _mm512_store_ps(panel.offsets[to].as_mut_ptr(), offset),
                Shape::Halves => _mm512_store_ps(panel.scales[to][1].as_mut_ptr(), scales[1]),
            }
        }
    }
}

/// Four activations, 16 times.
///
/// # Safety
/// `line` is readable.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn four(line: *const Line, g: usize) -> __m512i {
    // SAFETY: passed on from the caller; a line has 8 groups of 4 codes.
    unsafe { _mm512_set1_epi32((&raw const (*line).codes).cast::<i32>().add(g).read_unaligned()) }
}

/// Products of whole tiles with one token.
///
/// # Safety
/// The CPU has AVX-512 F, BW and VNNI; `tiles` have as many blocks as there are lines, and are aligned to 64 bytes;
/// `out` is writable for 16 sums of each tile, the last `n_rows` short of that, and nobody else's.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn multiply_one(coding: Coding, tiles: &[u8], lines: &[Line], out: *mut f32, n_rows: usize) {
    let start = coding.start();
    // SAFETY: passed on from the caller.
    unsafe { for_coding!(coding, multiply_one_as(tiles, lines, start, out, n_rows)) }
}

/// # Safety
/// As for [`multiply_one`].
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn multiply_one_as<C: Codes, P: Plane>(
    tiles: &[u8],
    lines: &[Line],
    start: usize,
    out: *mut f32,
    n_rows: usize,
) {
    let n_blocks = lines.len();
    let (per_entry, entry_bytes) = P::KIND.entry();
    let plane_bytes = P::KIND.plane_bytes(n_blocks);
    let tile_bytes = plane_bytes + n_blocks * C::WORDS * WORD;
    for (t, tile) in tiles.chunks_exact(tile_bytes).enumerate() {
        let mut sum = _mm512_setzero_ps();
        let mut entry = tile.as_ptr();
        let mut codes = tile.as_ptr().wrapping_add(plane_bytes);
        for lines in lines.chunks(per_entry) {
            // SAFETY: the tile has an entry for so many blocks, and codes for each; addresses ahead are only hints.
            unsafe {
                let factors = factors(P::KIND, entry);
                _mm_prefetch::<_MM_HINT_T0>(entry.wrapping_add(tile_bytes).cast());
                for (sub, line) in lines.iter().enumerate() {
                    for word in 0..C::WORDS {
                        _mm_prefetch::<_MM_HINT_T1>(codes.wrapping_add(FAR + word * WORD).cast());
                        _mm_prefetch::<_MM_HINT_T0>(codes.wrapping_add(NEAR + word * WORD).cast());
                    }
                    let q = C::unpack_in_place(codes.cast());
                    let scaling = P::scaling(entry, factors, sub);
                    sum = add_block::<C, P>(q, &scaling, line, start, sum);
                    codes = codes.wrapping_add(C::WORDS * WORD);
                }
                entry = entry.wrapping_add(entry_bytes);
            }
        }
        let rows = row_mask(n_rows - TILE_ROWS * t);
        // SAFETY: `out` has room for the rows that exist.
        unsafe { _mm512_mask_storeu_ps(out.add(TILE_ROWS * t), rows, sum) };
    }
}

/// `sum` plus the products of a block with one line.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_block<C: Codes, P: Plane>(
    q: [__m512i; GROUPS],
    scaling: &Scaling,
    line: &Line,
    start: usize,
    sum: __m512,
) -> __m512 {
    let n_parts = if P::SHAPE == Shape::Halves { 2 } else { 1 };
    let (mut sum, token_scale) = (sum, _mm512_set1_ps(line.scale));
    for part in 0..n_parts {
        let mut dots = [_mm512_set1_epi32(line.starts[start + part]), _mm512_setzero_si512()];
        for g in part * GROUPS / n_parts..(part + 1) * GROUPS / n_parts {
            let of_group = if C::IN_PLACE { g % 2 } else { 0 };
            // SAFETY: a reference is readable.
            dots[of_group] = _mm512_dpbusd_epi32(dots[of_group], q[g], unsafe { four(line, g) });
        }
        // Products of codes times 16 are multiples of 16.
        let dot = if C::IN_PLACE { _mm512_add_epi32(dots[0], _mm512_srai_epi32::<4>(dots[1])) } else { dots[0] };
        let scale = _mm512_mul_ps(scaling.scales[part], token_scale);
        sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, sum);
    }
    if P::SHAPE == Shape::Offset {
        sum = _mm512_fmadd_ps(scaling.offset, _mm512_set1_ps(line.weighted_sum), sum);
    }
    sum
}

/// Products of one or two panels with a group of tokens, over all blocks that `step` has lines for.
///
/// # Safety
/// The CPU has AVX-512 F, BW and VNNI; the panels hold the step's blocks; the place is readable and writable and nobody
/// else's.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn multiply(step: Step, panels: &[Panel], place: Place) {
    assert!(step.lines.len() <= step.n_tokens * panels[0].codes.len() && step.n_tokens <= GROUP);
    macro_rules! by_size {
        ($($n:literal)*) => {
            match (panels.len(), step.n_tokens) {
                $(
                    // SAFETY: passed on from the caller.
                    (1, $n) => unsafe { by_shape::<1, $n>(step, panels, place) },
                    // SAFETY: passed on from the caller.
                    (2, $n) => unsafe { by_shape::<2, $n>(step, panels, place) },
                )*
                (panels, tokens) => unreachable!("{panels} panels and {tokens} tokens"),
            }
        };
    }
    by_size!(1 2 3 4 5 6)
}

const WHOLE: u8 = 0;
const OFFSET: u8 = 1;
const HALVES: u8 = 2;

/// # Safety
/// As for [`multiply`].
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn by_shape<const R: usize, const N: usize>(step: Step, panels: &[Panel], place: Place) {
    // SAFETY: passed on from the caller.
    unsafe {
        match step.shape {
            Shape::Whole => multiply_as::<R, N, WHOLE>(step, panels, place),
            Shape::Offset => multiply_as::<R, N, OFFSET>(step, panels, place),
            Shape::Halves => multiply_as::<R, N, HALVES>(step, panels, place),
        }
    }
}

/// The micro-kernel: `R` tiles times `N` tokens, of which 2 x 6 keep their 24 accumulators in registers.
///
/// # Safety
/// As for [`multiply`], with `R` panels and `N` tokens.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn multiply_as<const R: usize, const N: usize, const SHAPE: u8>(step: Step, panels: &[Panel], place: Place) {
    let n_blocks = step.lines.len() / N;
    let masks: [__mmask16; R] = std::array::from_fn(|r| row_mask(place.n_rows.saturating_sub(TILE_ROWS * r)));
    let at = |n: usize, r: usize| place.sums.wrapping_add(n * place.stride + TILE_ROWS * r);
    let mut sums = [[_mm512_setzero_ps(); R]; N];
    if place.continues {
        for n in 0..N {
            for r in 0..R {
                // SAFETY: the place is readable where rows exist.
                sums[n][r] = unsafe { _mm512_maskz_loadu_ps(masks[r], at(n, r)) };
            }
        }
    }
    let panels: [*const Panel; R] = std::array::from_fn(|r| &raw const panels[r]);
    // One loop over whole or half blocks: two nested ones would be unrolled into one that spills registers.
    let n_parts = if SHAPE == HALVES { 2 } else { 1 };
    let n_groups = GROUPS / n_parts;
    for i in 0..n_blocks * n_parts {
        let (block, part) = (i / n_parts, i % n_parts);
        // SAFETY: panels hold so many blocks; there are N lines for each block.
        unsafe {
            let lines = step.lines.as_ptr().add(block * N);
            let mut dots = [[_mm512_setzero_si512(); R]; N];
            for n in 0..N {
                let start = (&raw const (*lines.add(n)).starts).cast::<i32>().add(step.start + part);
                dots[n] = [_mm512_set1_epi32(*start); R];
            }
            for g in 0..n_groups {
                let q: [__m512i; R] = std::array::from_fn(|r| {
                    let codes = (&raw const (*panels[r]).codes).cast::<__m512i>();
                    _mm512_load_si512(codes.add(i * n_groups + g))
                });
                for n in 0..N {
                    let a = four(lines.add(n), part * n_groups + g);
                    for r in 0..R {
                        dots[n][r] = _mm512_dpbusd_epi32(dots[n][r], q[r], a);
                    }
                }
            }
            let scales: [__m512; R] = std::array::from_fn(|r| {
                let scales = (&raw const (*panels[r]).scales).cast::<f32>();
                _mm512_load_ps(scales.add((2 * block + part) * TILE_ROWS))
            });
            for n in 0..N {
                let token_scale = _mm512_set1_ps((*lines.add(n)).scale);
                for r in 0..R {
                    let scale = _mm512_mul_ps(scales[r], token_scale);
                    sums[n][r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[n][r]), scale, sums[n][r]);
                }
            }
            if SHAPE == OFFSET {
                let offsets: [__m512; R] = std::array::from_fn(|r| {
                    let offsets = (&raw const (*panels[r]).offsets).cast::<f32>();
                    _mm512_load_ps(offsets.add(block * TILE_ROWS))
                });
                for n in 0..N {
                    let weighted_sum = _mm512_set1_ps((*lines.add(n)).weighted_sum);
                    for r in 0..R {
                        sums[n][r] = _mm512_fmadd_ps(offsets[r], weighted_sum, sums[n][r]);
                    }
                }
            }
        }
    }
    for n in 0..N {
        for r in 0..R {
            // SAFETY: the place is writable where rows exist.
            unsafe { _mm512_mask_storeu_ps(at(n, r), masks[r], sums[n][r]) };
        }
    }
}

const _: () = assert!(BLOCK == 4 * GROUPS);
