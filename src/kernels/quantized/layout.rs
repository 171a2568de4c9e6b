//! Where the numbers of a packed matrix lie: tiles of 16 rows, so that one vector register holds 16 outputs.
//!
//! A file stores each row by itself, block after block. A product that read it so would have to add up the lanes of its
//! registers at the end of each block. Here 16 rows are woven together: a 64-byte word holds 4 neighbouring codes of
//! each of 16 rows, which is what one `vpdpbusd` multiplies by 4 activations, and lane r of every register belongs
//! to row r from the first code to the last sum.
//!
//! ```text
//! matrix   | tile 0: rows 0..16 | tile 1: rows 16..32 | ...   (rows that do not exist are zeros)
//! tile     | scale plane: blocks 0, 1, 2, ... | code plane: blocks 0, 1, 2, ... |
//!
//! codes of a block (32 codes of 16 rows; group g is codes 4g..4g+4)
//!                     row 0         row 1              row 15
//!   8 bits   word g  | c0 c1 c2 c3 | c0 c1 c2 c3 | ... | c0 c1 c2 c3 |     8 words, one for each group
//!   4 bits   word v  | the same, group 2v in the low halves of the bytes and group 2v + 1 in the high |   4 words
//!   5 bits   as 4 bits, and a word of fifth bits: bit g of byte i is that of code 4g + i
//!   6 bits   as 4 bits, and two words of upper pairs: bits 2g and 2g + 1 of byte i of word h are those of code
//!            16h + 4g + i
//!
//! scales of a block, or of eight in a row where the type has super-blocks
//!   plain    f16 d[16]                                   value d (q - bias)      Q8_0, Q4_0, Q5_0
//!   offset   f16 d[16], f16 m[16]                        value d q + m           Q4_1, Q5_1
//!   nested   f16 d[16], f16 dmin[16], u8 s[8][16], u8 m[8][16]   (d s) q - dmin m   Q4_K, Q5_K
//!   halves   f16 d[16], 32 bytes of nothing, i8 s[16][16]        (d s) (q - 32)     Q6_K: a scale for 16 codes
//! ```
//!
//! Bits per weight are the file's, but for the 6-bit scales of Q4_K and Q5_K, which get a byte each (4.625 and 5.625
//! bits instead of 4.5 and 5.5), and for the filling of a plane to whole cache lines.

use std::ops::Range;

/// Rows of a tile: the 32-bit lanes of a 512-bit register.
pub const TILE_ROWS: usize = 16;

/// Codes of a block.
pub const BLOCK: usize = 32;

/// Blocks of a super-block.
pub(super) const SUPER: usize = 8;

/// Bytes of a cache line, of a 512-bit register, and of a word in the drawing above.
pub(super) const WORD: usize = 64;

/// Words of a block of 8-bit codes: groups of 4 codes.
pub(super) const GROUPS: usize = 8;

/// How a weight is stored in a file; the names are ggml's.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    BF16,
    /// 8-bit codes, one scale for 32.
    Q8_0,
    /// 4-bit codes, one scale for 32.
    Q4_0,
    /// 4-bit codes, a scale and an offset for 32.
    Q4_1,
    /// 5-bit codes, one scale for 32.
    Q5_0,
    /// 5-bit codes, a scale and an offset for 32.
    Q5_1,
    /// 4-bit codes, a 6-bit scale and a 6-bit offset for 32, two f16 factors for 256.
    Q4_K,
    /// 5-bit codes, otherwise as Q4_K.
    Q5_K,
    /// 6-bit codes, an 8-bit scale for 16, an f16 factor for 256.
    Q6_K,
}

impl WeightType {
    /// Every type, floats first.
    pub const ALL: [WeightType; 11] = {
        use WeightType::*;
        [F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K]
    };

    /// Elements and bytes of a block in a file.
    pub const fn file_block(self) -> (usize, usize) {
        match self {
            WeightType::F32 => (1, 4),
            WeightType::F16 | WeightType::BF16 => (1, 2),
            WeightType::Q8_0 => (32, 34),
            WeightType::Q4_0 => (32, 18),
            WeightType::Q4_1 => (32, 20),
            WeightType::Q5_0 => (32, 22),
            WeightType::Q5_1 => (32, 24),
            WeightType::Q4_K => (256, 144),
            WeightType::Q5_K => (256, 176),
            WeightType::Q6_K => (256, 210),
        }
    }

    /// Bytes of a row of `n_columns` in a file. Panics where that is no whole number of blocks.
    pub fn row_bytes(self, n_columns: usize) -> usize {
        let (len, n_bytes) = self.file_block();
        assert!(n_columns.is_multiple_of(len), "a row of {n_columns} elements in {self:?}, whose blocks have {len}");
        n_columns / len * n_bytes
    }

    /// Whether the elements are codes, which are multiplied by activations that are codes too.
    pub fn is_quantized(self) -> bool {
        self.coding().is_some()
    }

    /// How codes and scales of the type are packed; none for floats.
    pub(super) fn coding(self) -> Option<Coding> {
        use WeightType::*;
        let (bits, scales, bias) = match self {
            F32 | F16 | BF16 => return None,
            Q8_0 => (8, Scales::Plain, 128),
            Q4_0 => (4, Scales::Plain, 8),
            Q5_0 => (5, Scales::Plain, 16),
            Q4_1 => (4, Scales::Offset, 0),
            Q5_1 => (5, Scales::Offset, 0),
            Q4_K => (4, Scales::Nested, 0),
            Q5_K => (5, Scales::Nested, 0),
            Q6_K => (6, Scales::Halves, 32),
        };
        Some(Coding { bits, scales, bias })
    }
}

/// Codes of some bits and their scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coding {
    /// Bits of a code.
    pub(super) bits: usize,
    pub(super) scales: Scales,
    /// What is subtracted from a code, where all codes are biased alike.
    pub(super) bias: i32,
}

/// How the scales of a type are arranged: see the drawing in the file's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scales {
    Plain,
    Offset,
    Nested,
    Halves,
}

impl Scales {
    /// Blocks that an entry of the scale plane serves, and its bytes.
    pub(super) const fn entry(self) -> (usize, usize) {
        match self {
            Scales::Plain => (1, 2 * TILE_ROWS),
            Scales::Offset => (1, 4 * TILE_ROWS),
            Scales::Nested => (SUPER, 4 * TILE_ROWS + 2 * SUPER * TILE_ROWS),
            Scales::Halves => (SUPER, 4 * TILE_ROWS + 2 * SUPER * TILE_ROWS),
        }
    }

    /// Bytes of the scale plane of `n_blocks`.
    pub(super) const fn plane_bytes(self, n_blocks: usize) -> usize {
        let (blocks, n_bytes) = self.entry();
        (n_blocks.div_ceil(blocks) * n_bytes).next_multiple_of(WORD)
    }
}

impl Coding {
    /// Bytes of the codes of a block of a tile.
    pub(super) const fn code_bytes(self) -> usize {
        self.bits * BLOCK * TILE_ROWS / 8
    }

    /// Bytes of a tile of `n_blocks`.
    pub(super) const fn tile_bytes(self, n_blocks: usize) -> usize {
        self.scales.plane_bytes(n_blocks) + n_blocks * self.code_bytes()
    }

    /// Where the scales and the codes of `blocks` lie in a tile of `n_blocks`.
    pub(super) fn stretches(self, blocks: Range<usize>, n_blocks: usize) -> [Range<usize>; 2] {
        let (per_entry, entry_bytes) = self.scales.entry();
        let plane = self.scales.plane_bytes(n_blocks);
        [
            blocks.start / per_entry * entry_bytes..blocks.end.div_ceil(per_entry) * entry_bytes,
            plane + blocks.start * self.code_bytes()..plane + blocks.end * self.code_bytes(),
        ]
    }
}
