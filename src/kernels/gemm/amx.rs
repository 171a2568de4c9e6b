//! Products of bf16 in the tile registers of AMX (Intel Sapphire Rapids and later): the micro-kernel.
//!
//! `tdpbf16ps` multiplies 16 rows of 32 numbers by 32 rows of 16 and adds the products to 16 x 16 sums in f32: 16,384 operations
//! in 16 cycles, sixteen times as many as AVX-512 makes in f32. Four of the eight registers hold sums, a tile of C of 32 x 32;
//! two hold A and two B, so each operand that is loaded is multiplied twice (Intel 64 and IA-32 Architectures Optimization Reference
//! Manual, on AMX). With so quick a product the time goes to bringing operands and sums from and to memory.
//!
//! Rust has no stable intrinsics for these instructions, and values cannot stay in tile registers between two `asm!` blocks:
//! hence one block from the first sums to the last.

use super::{PANEL, Tile};
use std::arch::asm;

/// Rows of a full tile of C.
pub(super) const ROWS: usize = 32;

/// Words of a row of a register: pairs along the inner dimension, or sums of neighbouring columns.
pub(super) const WORDS: usize = super::pack::WHOLE_STEPS;

/// The tile registers of this thread, each of 16 rows of 64 bytes, for as long as this value lives. Released, they need not be saved
/// when threads are switched.
pub(in crate::kernels) struct Registers(());

impl Registers {
    /// # Safety
    /// The CPU has AMX, and the system lets this process use it: [`crate::kernels::cpu::Avx512::has_amx`].
    pub(in crate::kernels) unsafe fn configure() -> Registers {
        /// What `ldtilecfg` reads: palette 1, and the size of each register.
        #[repr(C, align(64))]
        struct Configuration {
            palette: u8,
            start_row: u8,
            reserved: [u8; 14],
            row_bytes: [u16; 16],
            rows: [u8; 16],
        }
        const ALL: Configuration = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
            rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
        };
        const { assert!(size_of::<Configuration>() == 64) };
        // SAFETY: the configuration is valid, and the caller promised AMX.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &ALL, options(nostack, readonly, preserves_flags)) };
        Registers(())
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        // SAFETY: who has a value of this type has AMX.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
    }
}

/// Computes one tile. Rows of A are of whole registers: `t.a_row` words apart, [`WORDS`] of each are taken at once, and the next
/// lie [`WORDS`] x `t.a_col` words on.
///
/// # Safety
/// As for [`super::tile`], but A is readable over [`ROWS`] rows, and A and B are readable, and zero in one of them, up to the next
/// multiple of [`WORDS`] steps; this thread's [`Registers`] are configured.
pub(super) unsafe fn tile(t: Tile) {
    debug_assert!(t.b_row == PANEL && t.n_rows > 0 && t.n_cols > 0);
    if t.n_rows == ROWS && t.n_cols == PANEL {
        // SAFETY: passed on from the caller.
        return unsafe { whole_tile(t) };
    }
    // The edge of C: its sums go by way of a tile that is whole.
    let mut sums = Sums([0.0; ROWS * PANEL]);
    let c = sums.0.as_mut_ptr();
    for r in 0..t.n_rows * usize::from(!t.start.is_null()) {
        // SAFETY: the caller's promise covers these columns of this row.
        unsafe { t.start.add(r * t.c_row).copy_to_nonoverlapping(c.add(r * PANEL), t.n_cols) };
    }
    // SAFETY: `sums` has room for a whole tile; the rest is passed on from the caller.
    unsafe { whole_tile(Tile { c, start: c, c_row: PANEL, ..t }) };
    for r in 0..t.n_rows {
        // SAFETY: as above.
        unsafe { t.c.add(r * t.c_row).copy_from_nonoverlapping(c.add(r * PANEL), t.n_cols) };
    }
}

#[repr(align(64))]
struct Sums([f32; ROWS * PANEL]);

/// # Safety
/// As for [`tile`], and C and `start` reach over [`ROWS`] rows of [`PANEL`] columns.
unsafe fn whole_tile(t: Tile) {
    let lower = |c: *const f32| c.wrapping_add(t.c_row * (ROWS / 2));
    // SAFETY: the caller's promise covers all that is loaded and stored. Null as the start is tested before it is used.
    unsafe {
        asm!(
            // Sums: tmm0 and tmm1 above tmm2 and tmm3.
            "test {start}, {start}",
            "jz 2f",
            "tileloadd tmm0, [{start} + {c_row}]",
            "tileloadd tmm1, [{start} + {c_row} + 64]",
            "tileloadd tmm2, [{start_low} + {c_row}]",
            "tileloadd tmm3, [{start_low} + {c_row} + 64]",
            "jmp 3f",
            "2:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "3:",
            "test {n_blocks}, {n_blocks}",
            "jz 5f",
            "4:",
            // The panel's next 32 lines.
            ".irp line, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
            "prefetcht0 [{b} + {b_block} + 64 * \\line]",
            ".endr",
            "tileloadd tmm6, [{b} + {b_row}]",
            "tileloadd tmm4, [{a} + {a_row}]",
            "tileloadd tmm7, [{b} + {b_row} + 64]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{a_low} + {a_row}]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a}, {a_block}",
            "add {a_low}, {a_block}",
            "add {b}, {b_block}",
            "dec {n_blocks}",
            "jnz 4b",
            "5:",
            "tilestored [{c} + {c_row}], tmm0",
            "tilestored [{c} + {c_row} + 64], tmm1",
            "tilestored [{c_low} + {c_row}], tmm2",
            "tilestored [{c_low} + {c_row} + 64], tmm3",
            start = in(reg) t.start,
            start_low = in(reg) lower(t.start),
            c = in(reg) t.c,
            c_low = in(reg) lower(t.c),
            c_row = in(reg) 4 * t.c_row,
            a = inout(reg) t.a => _,
            a_low = inout(reg) t.a.wrapping_add(t.a_row * (ROWS / 2)) => _,
            a_row = in(reg) 4 * t.a_row,
            a_block = in(reg) 4 * t.a_col * WORDS,
            b = inout(reg) t.b => _,
            b_row = in(reg) 4 * PANEL,
            n_blocks = inout(reg) t.k.div_ceil(WORDS) => _,
            b_block = const 4 * PANEL * WORDS,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
