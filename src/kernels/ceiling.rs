//! Multiply-adds on registers alone, on every thread at once: the most that this machine's arithmetic can do.
//!
//! A kernel's speed says little by itself; its share of this ceiling says how much is left to gain. Timing is left to
//! the caller, as everywhere in [`crate::kernels`].

use super::cpu::{Cpu, Isa};
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
    let (n_tasks, isa) = (cpu.n_threads(), cpu.isa);
    cpu.pool.run(n_tasks, |_| {
        black_box(run_chains(isa, precision));
    });
    let lanes = match (isa, precision) {
        (Isa::Scalar, _) => PORTABLE_LANES,
        (Isa::Avx2(_), _) => 8,
        (Isa::Avx512(_), Precision::F32) => 16,
        (Isa::Avx512(_), Precision::Bf16 | Precision::F16) => 32,
    };
    (2 * lanes * N_CHAINS * N_PASSES * n_tasks) as f64
}

fn run_chains(isa: Isa, precision: Precision) -> f32 {
    match (isa, precision) {
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
        (Isa::Avx512(_), Precision::F32) => unsafe { x86::avx512() },
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
