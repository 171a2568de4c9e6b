//! Sixteen floats at a time: the few vector operations that attention over a cache is written in, for each instruction
//! set.
//!
//! The compiler makes vector instructions of plain loops over f32, but not of conversions from f16, which is what a
//! cache holds; so the kernels of [`super::attend`] are generic over this trait, and the rest is plain loops.
//! Methods are inlined into functions that are compiled for the instruction set; called elsewhere they would be slow.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Floats in a vector.
pub(super) const LANES: usize = 16;

/// Sixteen floats.
///
/// # Safety
/// Of every method: the CPU has the instruction set of the type. Of loads and stores: 16 elements are there.
pub(super) trait Vector: Copy {
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(at: *const f32) -> Self;
    unsafe fn load_half(at: *const u16) -> Self;
    unsafe fn load_bytes(at: *const i8) -> Self;
    unsafe fn store(self, at: *mut f32);
    /// Rounds to the nearest f16, ties to even.
    unsafe fn store_half(self, at: *mut u16);
    /// self * factor
    unsafe fn mul(self, factor: Self) -> Self;
    /// self * factor + term; with one rounding where the CPU can.
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self;
}

/// AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Wide(__m512);

#[cfg(target_arch = "x86_64")]
impl Vector for Wide {
    #[inline(always)]
    unsafe fn splat(x: f32) -> Wide {
        // SAFETY: passed on from the caller, as in all that follow.
        Wide(unsafe { _mm512_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> Wide {
        // SAFETY: as above.
        Wide(unsafe { _mm512_loadu_ps(at) })
    }

    #[inline(always)]
    unsafe fn load_half(at: *const u16) -> Wide {
        // SAFETY: as above.
        Wide(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())) })
    }

    #[inline(always)]
    unsafe fn load_bytes(at: *const i8) -> Wide {
        // SAFETY: as above.
        Wide(unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(at.cast()))) })
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(at, self.0) }
    }

    #[inline(always)]
    unsafe fn store_half(self, at: *mut u16) {
        // SAFETY: as above.
        unsafe { _mm256_storeu_si256(at.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0)) }
    }

    #[inline(always)]
    unsafe fn mul(self, factor: Wide) -> Wide {
        // SAFETY: as above.
        Wide(unsafe { _mm512_mul_ps(self.0, factor.0) })
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Wide, term: Wide) -> Wide {
        // SAFETY: as above.
        Wide(unsafe { _mm512_fmadd_ps(self.0, factor.0, term.0) })
    }
}

/// AVX2, FMA and F16C.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Pair(__m256, __m256);

#[cfg(target_arch = "x86_64")]
impl Vector for Pair {
    #[inline(always)]
    unsafe fn splat(x: f32) -> Pair {
        // SAFETY: passed on from the caller, as in all that follow.
        let half = unsafe { _mm256_set1_ps(x) };
        Pair(half, half)
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> Pair {
        // SAFETY: as above.
        unsafe { Pair(_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(8))) }
    }

    #[inline(always)]
    unsafe fn load_half(at: *const u16) -> Pair {
        // SAFETY: as above.
        unsafe { Pair(_mm256_cvtph_ps(_mm_loadu_si128(at.cast())), _mm256_cvtph_ps(_mm_loadu_si128(at.add(8).cast()))) }
    }

    #[inline(always)]
    unsafe fn load_bytes(at: *const i8) -> Pair {
        // SAFETY: as above.
        unsafe {
            let widened = |at: *const i8| _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(at.cast())));
            Pair(widened(at), widened(at.add(8)))
        }
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        // SAFETY: as above.
        unsafe {
            _mm256_storeu_ps(at, self.0);
            _mm256_storeu_ps(at.add(8), self.1);
        }
    }

    #[inline(always)]
    unsafe fn store_half(self, at: *mut u16) {
        // SAFETY: as above.
        unsafe {
            _mm_storeu_si128(at.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0));
            _mm_storeu_si128(at.add(8).cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.1));
        }
    }

    #[inline(always)]
    unsafe fn mul(self, factor: Pair) -> Pair {
        // SAFETY: as above.
        unsafe { Pair(_mm256_mul_ps(self.0, factor.0), _mm256_mul_ps(self.1, factor.1)) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Pair, term: Pair) -> Pair {
        // SAFETY: as above.
        unsafe { Pair(_mm256_fmadd_ps(self.0, factor.0, term.0), _mm256_fmadd_ps(self.1, factor.1, term.1)) }
    }
}

/// Whatever the compiler's baseline is.
#[derive(Clone, Copy)]
pub(super) struct Plain([f32; LANES]);

impl Vector for Plain {
    #[inline(always)]
    unsafe fn splat(x: f32) -> Plain {
        Plain([x; LANES])
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> Plain {
        // SAFETY: passed on from the caller, as in all that follow.
        Plain(unsafe { at.cast::<[f32; LANES]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_half(at: *const u16) -> Plain {
        // SAFETY: as above.
        let halves = unsafe { at.cast::<[u16; LANES]>().read_unaligned() };
        Plain(halves.map(|half| half::f16::from_bits(half).to_f32()))
    }

    #[inline(always)]
    unsafe fn load_bytes(at: *const i8) -> Plain {
        // SAFETY: as above.
        Plain(unsafe { at.cast::<[i8; LANES]>().read_unaligned() }.map(f32::from))
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        // SAFETY: as above.
        unsafe { at.cast::<[f32; LANES]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn store_half(self, at: *mut u16) {
        let halves = self.0.map(|x| half::f16::from_f32(x).to_bits());
        // SAFETY: as above.
        unsafe { at.cast::<[u16; LANES]>().write_unaligned(halves) }
    }

    #[inline(always)]
    unsafe fn mul(self, factor: Plain) -> Plain {
        Plain(std::array::from_fn(|i| self.0[i] * factor.0[i]))
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Plain, term: Plain) -> Plain {
        // Two roundings: a fused one would be a call into the C library.
        Plain(std::array::from_fn(|i| self.0[i] * factor.0[i] + term.0[i]))
    }
}

/// A function that is generic over a vector, compiled for each instruction set and chosen by the first argument.
macro_rules! for_each_vector {
    (
        $(#[$meta:meta])*
        unsafe fn $name:ident($($arg:ident: $ty:ty),* $(,)?) => $generic:ident;
    ) => {
        $(#[$meta])*
        unsafe fn $name(isa: $crate::kernels::cpu::Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn avx2($($arg: $ty),*) {
                // SAFETY: passed on from the caller.
                unsafe { $generic::<$crate::kernels::transformer::vector::Pair>($($arg),*) }
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            unsafe fn avx512($($arg: $ty),*) {
                // SAFETY: passed on from the caller.
                unsafe { $generic::<$crate::kernels::transformer::vector::Wide>($($arg),*) }
            }

            match isa {
                // SAFETY: the token proves the instruction set; the rest is passed on from the caller.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::cpu::Isa::Avx512(_) => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::cpu::Isa::Avx2(_) => unsafe { avx2($($arg),*) },
                // SAFETY: passed on from the caller.
                _ => unsafe { $generic::<$crate::kernels::transformer::vector::Plain>($($arg),*) },
            }
        }
    };
}
pub(super) use for_each_vector;
