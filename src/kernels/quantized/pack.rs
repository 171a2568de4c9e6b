//! From a file's rows to tiles: [`super::layout`] draws what is written here.
//!
//! The blocks that are read are those of ggml (`src/ggml-common.h`), all numbers little-endian:
//!
//! ```text
//! Q8_0  f16 d, 32 x i8
//! Q4_0  f16 d, 16 bytes of nibbles          Q4_1  the same with f16 m after d
//! Q5_0  f16 d, u32 of fifth bits, nibbles   Q5_1  the same with f16 m after d
//! Q4_K  f16 d, f16 dmin, 12 bytes of scales and mins, 128 bytes of nibbles
//! Q5_K  f16 d, f16 dmin, 12 bytes of scales and mins, 32 bytes of fifth bits, 128 bytes of nibbles
//! Q6_K  128 bytes of nibbles, 64 bytes of upper bit pairs, 16 x i8 scale, f16 d
//! ```
//!
//! Codes are handled four at a time, in a 32-bit word: element 4g + i of a block is byte i of word g, counted from the
//! lowest.

use super::layout::{BLOCK, Coding, GROUPS, SUPER, Scales, TILE_ROWS, WORD, WeightType};

/// The codes of a block of one row.
type Words = [u32; GROUPS];

const LOW_HALVES: u32 = 0x0f0f_0f0f;
const LOW_PAIRS: u32 = 0x0303_0303;
const LOW_BITS: u32 = 0x0101_0101;

/// Packs up to 16 rows of codes, each as a file has it, into a tile that is all zeros.
pub(super) fn pack_codes<'a>(kind: WeightType, coding: Coding, rows: impl Iterator<Item = &'a [u8]>, tile: &mut [u8]) {
    let (len, n_bytes) = kind.file_block();
    let per_file_block = len / BLOCK;
    for (r, row) in rows.enumerate() {
        let n_blocks = row.len() / n_bytes * per_file_block;
        let (scales, codes) = tile.split_at_mut(coding.scales.plane_bytes(n_blocks));
        let entries = scales.chunks_exact_mut(coding.scales.entry().1);
        let code_blocks = codes.chunks_exact_mut(per_file_block * coding.code_bytes());
        for ((block, entry), codes) in row.chunks_exact(n_bytes).zip(entries).zip(code_blocks) {
            put_scales(kind, block, r, entry);
            for (sub, codes) in codes.chunks_exact_mut(coding.code_bytes()).enumerate() {
                put_words(coding.bits, read_words(kind, block, sub), r, codes);
            }
        }
    }
}

/// Packs up to 16 rows of floats of `size` bytes: element by element, those of the 16 rows side by side.
pub(super) fn pack_floats<'a>(size: usize, rows: impl Iterator<Item = &'a [u8]>, tile: &mut [u8]) {
    for (r, row) in rows.enumerate() {
        for (to, from) in tile.chunks_exact_mut(size * TILE_ROWS).zip(row.chunks_exact(size)) {
            to[size * r..size * (r + 1)].copy_from_slice(from);
        }
    }
}

/// The codes of 32 elements of a file's block, of which `sub` are before them.
#[inline(always)]
fn read_words(kind: WeightType, block: &[u8], sub: usize) -> Words {
    match kind {
        WeightType::Q8_0 => words_at(block, 2).map(|word| word ^ 0x8080_8080),
        WeightType::Q4_0 => nibbles(block, 2),
        WeightType::Q4_1 => nibbles(block, 4),
        WeightType::Q5_0 => with_fifth_bits(nibbles(block, 6), word_at(block, 2)),
        WeightType::Q5_1 => with_fifth_bits(nibbles(block, 8), word_at(block, 4)),
        WeightType::Q4_K => nibbles_of_64(block, 16, sub),
        WeightType::Q5_K => {
            let (low, fifth) = (nibbles_of_64(block, 48, sub), words_at(block, 16));
            std::array::from_fn(|g| low[g] | (fifth[g] >> sub & LOW_BITS) << 4)
        }
        WeightType::Q6_K => {
            let (half, quarter) = (sub / 4, sub % 4);
            let low = words_at(block, 64 * half + 32 * (quarter % 2));
            let pairs = words_at(block, 128 + 32 * half);
            std::array::from_fn(|g| {
                low[g] >> (4 * (quarter / 2)) & LOW_HALVES | (pairs[g] >> (2 * quarter) & LOW_PAIRS) << 4
            })
        }
        WeightType::F32 | WeightType::F16 | WeightType::BF16 => unreachable!("floats have no codes"),
    }
}

#[inline(always)]
fn word_at(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

#[inline(always)]
fn words_at(block: &[u8], at: usize) -> Words {
    let bytes = &block[at..at + BLOCK];
    std::array::from_fn(|g| word_at(bytes, 4 * g))
}

/// 32 codes of 16 bytes: the first 16 in the low halves, the others in the high.
#[inline(always)]
fn nibbles(block: &[u8], at: usize) -> Words {
    let bytes = &block[at..at + BLOCK / 2];
    std::array::from_fn(|g| word_at(bytes, 4 * (g % 4)) >> (4 * (g / 4)) & LOW_HALVES)
}

/// 32 of 64 codes in 32 bytes.
#[inline(always)]
fn nibbles_of_64(block: &[u8], at: usize, sub: usize) -> Words {
    words_at(block, at + 32 * (sub / 2)).map(|word| word >> (4 * (sub % 2)) & LOW_HALVES)
}

/// Bit j of `fifth` is that of code j.
#[inline(always)]
fn with_fifth_bits(low: Words, fifth: u32) -> Words {
    // Four bits times 1 + 2^7 + 2^14 + 2^21: bit i lands on bit 8i, among others that the mask removes.
    std::array::from_fn(|g| low[g] | (((fifth >> (4 * g) & 15) * 0x0020_4081) & LOW_BITS) << 4)
}

/// Stores the codes of row `r` among a tile's codes of one block.
#[inline(always)]
fn put_words(bits: usize, words: Words, r: usize, codes: &mut [u8]) {
    let mut put = |word: usize, value: u32| {
        let at = WORD * word + 4 * r;
        codes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    };
    if bits == 8 {
        return (0..GROUPS).for_each(|g| put(g, words[g]));
    }
    for v in 0..GROUPS / 2 {
        put(v, words[2 * v] & LOW_HALVES | (words[2 * v + 1] & LOW_HALVES) << 4);
    }
    if bits == 5 {
        put(4, (0..GROUPS).fold(0, |all, g| all | (words[g] >> 4 & LOW_BITS) << g));
    }
    if bits == 6 {
        for half in 0..2 {
            put(4 + half, (0..4).fold(0, |all, g| all | (words[4 * half + g] >> 4 & LOW_PAIRS) << (2 * g)));
        }
    }
}

/// Stores the scales of a file's block of row `r` in an entry of the scale plane.
fn put_scales(kind: WeightType, block: &[u8], r: usize, entry: &mut [u8]) {
    // f16 number `n` of row `r` is that of the block at byte `from`.
    let mut put_half = |n: usize, from: usize| {
        let at = 2 * (n * TILE_ROWS + r);
        let half = u16::from_le_bytes([block[from], block[from + 1]]);
        entry[at..at + 2].copy_from_slice(&half.to_ne_bytes());
    };
    let coding = kind.coding().expect("floats have no scales");
    match coding.scales {
        Scales::Plain => put_half(0, 0),
        Scales::Offset => [(0, 0), (1, 2)].into_iter().for_each(|(n, from)| put_half(n, from)),
        Scales::Nested => {
            [(0, 0), (1, 2)].into_iter().for_each(|(n, from)| put_half(n, from));
            let (scales, mins) = six_bit_scales(&block[4..16]);
            for sub in 0..SUPER {
                entry[WORD + sub * TILE_ROWS + r] = scales[sub];
                entry[WORD + (SUPER + sub) * TILE_ROWS + r] = mins[sub];
            }
        }
        Scales::Halves => {
            put_half(0, 208);
            for (half, &scale) in block[192..208].iter().enumerate() {
                entry[WORD + half * TILE_ROWS + r] = scale;
            }
        }
    }
}

/// The scales and mins of eight sub-blocks. The low 6 bits of bytes 0 to 3 are scales 0 to 3, those of bytes 4 to 7
/// mins 0 to 3; bytes 8 to 11 have the low halves of scales (low) and mins (high) 4 to 7, whose upper pairs are the
/// upper pairs of bytes 0 to 3 and 4 to 7.
fn six_bit_scales(bytes: &[u8]) -> ([u8; SUPER], [u8; SUPER]) {
    let scale = |j: usize| if j < 4 { bytes[j] & 63 } else { bytes[j + 4] & 15 | bytes[j - 4] >> 6 << 4 };
    let min = |j: usize| if j < 4 { bytes[j + 4] & 63 } else { bytes[j + 4] >> 4 | bytes[j] >> 6 << 4 };
    (std::array::from_fn(scale), std::array::from_fn(min))
}
