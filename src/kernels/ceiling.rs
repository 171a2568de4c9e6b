//! Multiply-adds on registers alone, on every thread at once: the most that this machine's arithmetic can do. And
//! reading without computing: the most that its caches and its memory can deliver.
//!
//! A kernel's speed says little by itself; its share of these ceilings says how much is left to gain. Timing is left to
//! the caller, as everywhere in [`crate::kernels`].

use super::cpu::{Cpu, Isa, for_each_isa};
use super::gemm::Precision;
use std::hint::black_box;

/// Passes of the loop; all of them take a few milliseconds.
const N_PASSES: usize = 500_000;

/// Independent chains: enough to hide the latency of a multiply-add on two ports, and few enough that 16 registers hold
/// them and the operands.
const N_CHAINS: usize = 12;

/// Lanes of the portable loop.
const PORTABLE_LANES: usize = 8;

/// Runs the matrix instructions of `precision` on all threads of `cpu` and returns how many floating-point operations
/// that were; a multiply-add counts as two.
pub fn multiply_adds(cpu: &Cpu, precision: Precision) -> f64 {
    if precision == Precision::Int8 {
        return byte_multiply_adds(cpu);
    }
    let (n_tasks, isa) = (cpu.n_threads(), cpu.isa);
    cpu.pool.run(n_tasks, |_| {
        black_box(run_chains(isa, precision));
    });
    let lanes = match (isa, precision) {
        #[cfg(target_arch = "x86_64")]
        _ if precision.is_in_tiles(isa) => x86::TILE_PRODUCTS,
        (Isa::Scalar, _) => PORTABLE_LANES,
        (Isa::Avx2(_), _) => 8,
        (Isa::Avx512(_), Precision::Bf16 | Precision::F16) => 32,
        (Isa::Avx512(_), _) => 16,
    };
    (2 * lanes * N_CHAINS * N_PASSES * n_tasks) as f64
}

/// Multiplies codes of 8 bits on all threads of `cpu`, with the instructions of [`super::quantized`], and returns how
/// many operations that were; a multiply-add counts as two.
pub fn byte_multiply_adds(cpu: &Cpu) -> f64 {
    let (n_tasks, isa) = (cpu.n_threads(), cpu.isa);
    cpu.pool.run(n_tasks, |_| {
        black_box(run_byte_chains(isa));
    });
    let products = match isa {
        Isa::Scalar => PORTABLE_LANES,
        Isa::Avx512(token) if token.has_vnni() => 64,
        Isa::Avx2(_) | Isa::Avx512(_) => 32,
    };
    (2 * products * N_CHAINS * N_PASSES * n_tasks) as f64
}

/// Reads all of `data` on all threads of `cpu`, each its own stretch, `n_passes` times, and returns how many bytes that
/// were. Data of a few megabytes stay in a cache, so that the first pass is slower than the others.
pub fn read(cpu: &Cpu, data: &[f32], n_passes: usize) -> f64 {
    let isa = cpu.isa;
    cpu.pool.together(|member| {
        let part = &data[member.part(data.len())];
        for _ in 0..n_passes {
            black_box(all_bits(isa, black_box(part)));
        }
    });
    (size_of_val(data) * n_passes) as f64
}

for_each_isa! {
    /// An operation on every word that needs no more than a port for it: enough registers that loads do not wait.
    fn all_bits(data: &[f32]) -> u32 {
        let mut lanes = [0u32; 128];
        let (chunks, _) = data.as_chunks::<128>();
        for chunk in chunks {
            for l in 0..128 {
                lanes[l] |= chunk[l].to_bits();
            }
        }
        lanes.into_iter().fold(0, |all, lane| all | lane)
    }
}

fn run_byte_chains(isa: Isa) -> i32 {
    match isa {
        // SAFETY: the token proves AVX-512 F and VNNI.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(token) if token.has_vnni() => unsafe { x86::avx512_bytes() },
        // SAFETY: the token proves AVX2.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(_) | Isa::Avx512(_) => unsafe { x86::avx2_bytes() },
        _ => portable_bytes(),
    }
}

fn portable_bytes() -> i32 {
    let (a, b) = (black_box([1i32; PORTABLE_LANES]), black_box([3i32; PORTABLE_LANES]));
    let mut chains = [[0i32; PORTABLE_LANES]; N_CHAINS];
    for _ in 0..N_PASSES {
        for chain in &mut chains {
            for l in 0..PORTABLE_LANES {
                chain[l] = black_box(a)[l].wrapping_mul(b[l]).wrapping_add(chain[l]);
            }
        }
    }
    chains.iter().flatten().fold(0, |sum, x| sum.wrapping_add(*x))
}

fn run_chains(isa: Isa, precision: Precision) -> f32 {
    match (isa, precision) {
        // SAFETY: AMX is there.
        #[cfg(target_arch = "x86_64")]
        _ if precision.is_in_tiles(isa) => unsafe { x86::amx_bf16() },
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512(token), Precision::Bf16) => {
            assert!(token.has_bf16(), "bf16 products need AVX-512 BF16");
            // SAFETY: as asserted.
            unsafe { x86::avx512_bf16() }
        }
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512(token), Precision::F16) => {
            assert!(token.has_f16(), "f16 products need AVX-512 FP16");
            // SAFETY: as asserted.
            unsafe { x86::avx512_f16() }
        }
        // SAFETY: the token proves AVX-512 F.
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512(_), _) => unsafe { x86::avx512() },
        // SAFETY: the token proves AVX2 and FMA.
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2(_), _) => unsafe { x86::avx2() },
        _ => portable(),
    }
}

fn portable() -> f32 {
    let (a, b) = (black_box([0.999f32; PORTABLE_LANES]), black_box([1e-3f32; PORTABLE_LANES]));
    let mut chains = [[0.0f32; PORTABLE_LANES]; N_CHAINS];
    for _ in 0..N_PASSES {
        for chain in &mut chains {
            for l in 0..PORTABLE_LANES {
                chain[l] = chain[l] * a[l] + b[l];
            }
        }
    }
    chains.iter().flatten().sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::gemm::amx::Registers;
    use super::{N_CHAINS, N_PASSES, black_box};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f")]
    pub(super) fn avx512() -> f32 {
        let (a, b) = (black_box(_mm512_set1_ps(0.999)), black_box(_mm512_set1_ps(1e-3)));
        let mut chains = [_mm512_setzero_ps(); N_CHAINS];
        for _ in 0..N_PASSES {
            for chain in &mut chains {
                *chain = _mm512_fmadd_ps(a, b, *chain);
            }
        }
        chains.iter().map(|&chain| _mm512_reduce_add_ps(chain)).sum()
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) fn avx512_bf16() -> f32 {
        let a = black_box(_mm512_set1_ps(1e-3));
        let pairs = _mm512_cvtne2ps_pbh(a, a);
        let mut chains = [_mm512_setzero_ps(); N_CHAINS];
        for _ in 0..N_PASSES {
            for chain in &mut chains {
                *chain = _mm512_dpbf16_ps(*chain, pairs, pairs);
            }
        }
        chains.iter().map(|&chain| _mm512_reduce_add_ps(chain)).sum()
    }

    /// How many fewer tile instructions are made than others, since each takes so much longer.
    const TILE_SHARE: usize = 32;
    /// Products of a tile instruction, spread over those of the others that it stands for.
    pub(super) const TILE_PRODUCTS: usize = 16 * 16 * 32 / TILE_SHARE;

    /// # Safety
    /// The CPU has AMX, and the system lets this process use it.
    pub(super) unsafe fn amx_bf16() -> f32 {
        // SAFETY: the caller's promise; the registers are configured, and hold zeros.
        unsafe {
            let _registers = Registers::configure();
            std::arch::asm!(
                "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", "tilezero tmm4", "tilezero tmm5",
                "2:",
                "tdpbf16ps tmm0, tmm4, tmm5",
                "tdpbf16ps tmm1, tmm4, tmm5",
                "tdpbf16ps tmm2, tmm4, tmm5",
                "tdpbf16ps tmm3, tmm4, tmm5",
                "dec {n}",
                "jnz 2b",
                n = inout(reg) N_CHAINS * N_PASSES / TILE_SHARE / 4 => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _,
                options(nostack, nomem),
            );
        }
        0.0
    }

    #[target_feature(enable = "avx512f,avx512fp16")]
    pub(super) fn avx512_f16() -> f32 {
        let pairs = black_box(_mm512_castsi512_ph(_mm512_set1_epi16(0x1419))); // 0.001
        let mut chains = [_mm512_setzero_ph(); N_CHAINS];
        for _ in 0..N_PASSES {
            for chain in &mut chains {
                *chain = _mm512_fmadd_ph(pairs, pairs, *chain);
            }
        }
        let widened = chains.iter().map(|&chain| _mm512_cvtxph_ps(_mm512_castph512_ph256(chain)));
        widened.map(|chain| _mm512_reduce_add_ps(chain)).sum()
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn avx512_bytes() -> i32 {
        let (a, b) = (black_box(_mm512_set1_epi8(3)), black_box(_mm512_set1_epi8(-1)));
        let mut chains = [_mm512_setzero_si512(); N_CHAINS];
        for _ in 0..N_PASSES {
            for chain in &mut chains {
                *chain = _mm512_dpbusd_epi32(*chain, a, b);
            }
        }
        chains.iter().fold(0, |sum, &chain| sum ^ _mm512_reduce_add_epi32(chain))
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn avx2_bytes() -> i32 {
        let (a, ones) = (black_box(_mm256_set1_epi8(3)), black_box(_mm256_set1_epi16(1)));
        let mut chains = [_mm256_setzero_si256(); N_CHAINS];
        for _ in 0..N_PASSES {
            for chain in &mut chains {
                // The other operand is the sum so far, as without it the products would be the same in every pass.
                let products = _mm256_madd_epi16(_mm256_maddubs_epi16(a, *chain), ones);
                *chain = _mm256_add_epi32(*chain, products);
            }
        }
        let mut lanes = [0i32; 8];
        let mut total = 0i32;
        for chain in chains {
            // SAFETY: eight numbers have room for one 256-bit store.
            unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), chain) };
            total = lanes.iter().fold(total, |sum, lane| sum.wrapping_add(*lane));
        }
        total
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2() -> f32 {
        let (a, b) = (black_box(_mm256_set1_ps(0.999)), black_box(_mm256_set1_ps(1e-3)));
        let mut chains = [_mm256_setzero_ps(); N_CHAINS];
        for _ in 0..N_PASSES {
            for chain in &mut chains {
                *chain = _mm256_fmadd_ps(a, b, *chain);
            }
        }
        let mut lanes = [0.0; 8];
        let mut total = 0.0;
        for chain in chains {
            // SAFETY: eight floats have room for one 256-bit store.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), chain) };
            total += lanes.iter().sum::<f32>();
        }
        total
    }
}
