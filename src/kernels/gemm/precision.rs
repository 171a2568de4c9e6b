//! In which numbers a product is computed, and where that is possible.

use super::{BLOCK_STEPS, LONG_BLOCK_STEPS};
use crate::kernels::cpu::Isa;
use serde::{Deserialize, Serialize};

/// The numbers that a product multiplies; its sums are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32 throughout.
    #[default]
    F32,
    /// Both operands rounded to bf16 (8 bits of precision, f32's range) while they are packed.
    Bf16,
    /// Both operands scaled and rounded to f16 (11 bits of precision) while they are packed; sums of a few dozen products
    /// are in f16 too.
    F16,
    /// Rows of A and columns of B scaled and rounded to 8-bit codes while they are packed; sums of their products are exact.
    Int8,
}

impl Precision {
    /// Every precision, the most exact first.
    pub const ALL: [Precision; 4] = [Precision::F32, Precision::F16, Precision::Bf16, Precision::Int8];

    /// The name that reports show.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::F16 => "f16",
            Precision::Int8 => "int8",
        }
    }

    /// Inner elements that a block holds at most.
    pub(super) fn block_k(self) -> usize {
        match self {
            Precision::F32 => BLOCK_STEPS,
            Precision::Bf16 => 2 * LONG_BLOCK_STEPS,
            Precision::F16 => 2 * BLOCK_STEPS,
            Precision::Int8 => 4 * BLOCK_STEPS,
        }
    }

    /// The precision of what should not be rounded to 8 bits where this one does: itself, or else the fastest of floats.
    pub fn of_floats(self, isa: Isa) -> Precision {
        if self == Precision::Int8 { Precision::fastest_of_floats(isa) } else { self }
    }

    /// The precision in which `isa` multiplies floats fastest.
    pub fn fastest_of_floats(isa: Isa) -> Precision {
        if Precision::Bf16.is_in_tiles(isa) {
            return Precision::Bf16;
        }
        let halves = [Precision::F16, Precision::Bf16];
        halves.into_iter().find(|precision| precision.is_available(isa)).unwrap_or(Precision::F32)
    }

    /// Whether `isa` multiplies this precision in tile registers, an order of magnitude faster than anything in vectors.
    pub fn is_in_tiles(self, isa: Isa) -> bool {
        self == Precision::Bf16 && matches!(isa, Isa::Avx512(token) if token.has_amx())
    }

    /// Whether `isa` can multiply in this precision.
    pub fn is_available(self, isa: Isa) -> bool {
        match (self, isa) {
            (Precision::F32, _) => true,
            (Precision::Bf16, Isa::Avx512(token)) => token.has_bf16(),
            (Precision::F16, Isa::Avx512(token)) => token.has_f16(),
            (Precision::Int8, Isa::Avx512(token)) => token.has_vnni(),
            (Precision::Bf16 | Precision::F16 | Precision::Int8, _) => false,
        }
    }
}
