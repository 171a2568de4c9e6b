//! The numbers that kernels keep in memory between them: f32, or bf16 where half the traffic is worth more than the bits.
//!
//! Kernels compute in f32 either way, a row at a time: what is kept in bf16 is widened to a row of scratch, and rounded from one.
//! bf16 is the upper half of an f32; rounding is to nearest, to even at ties.

use super::aligned::AlignedBuf;
use super::cpu::{Isa, for_each_isa};
use std::cell::RefCell;

pub use half::bf16;

/// A number as it is kept.
pub trait Element: bytemuck::Pod + Send + Sync {
    /// The number itself.
    fn widen(self) -> f32;

    /// The number of this kind nearest to `x`.
    fn narrow(x: f32) -> Self;

    /// `slice`, whatever it is of.
    fn elements(slice: &[Self]) -> Elements<'_>;

    /// `slice`, whatever it is of, to be written to.
    fn elements_mut(slice: &mut [Self]) -> ElementsMut<'_>;
}

impl Element for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn narrow(x: f32) -> f32 {
        x
    }

    fn elements(slice: &[f32]) -> Elements<'_> {
        Elements::F32(slice)
    }

    fn elements_mut(slice: &mut [f32]) -> ElementsMut<'_> {
        ElementsMut::F32(slice)
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits((self.to_bits() as u32) << 16)
    }

    #[inline(always)]
    fn narrow(x: f32) -> bf16 {
        bf16::from_f32(x)
    }

    fn elements(slice: &[bf16]) -> Elements<'_> {
        Elements::Bf16(slice)
    }

    fn elements_mut(slice: &mut [bf16]) -> ElementsMut<'_> {
        ElementsMut::Bf16(slice)
    }
}

/// A slice of either kind.
#[derive(Debug, Clone, Copy)]
pub enum Elements<'a> {
    /// f32.
    F32(&'a [f32]),
    /// bf16.
    Bf16(&'a [bf16]),
}

impl<'a> Elements<'a> {
    /// How many there are.
    pub fn len(self) -> usize {
        match self {
            Elements::F32(slice) => slice.len(),
            Elements::Bf16(slice) => slice.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Those from number `first` on: none if there are fewer.
    pub fn from(self, first: usize) -> Elements<'a> {
        match self {
            Elements::F32(slice) => Elements::F32(slice.get(first..).unwrap_or_default()),
            Elements::Bf16(slice) => Elements::Bf16(slice.get(first..).unwrap_or_default()),
        }
    }

    /// The slice, which must be of f32: what multiplies anything but bf16 takes no other.
    pub(super) fn floats(self) -> &'a [f32] {
        match self {
            Elements::F32(slice) => slice,
            Elements::Bf16(_) => panic!("numbers in bf16 are multiplied in bf16 only"),
        }
    }
}

/// A slice of either kind that is written to.
pub enum ElementsMut<'a> {
    /// f32.
    F32(&'a mut [f32]),
    /// bf16.
    Bf16(&'a mut [bf16]),
}

thread_local! {
    /// Scratch that is not in use.
    static SCRATCH: RefCell<Vec<AlignedBuf>> = RefCell::default();
}

/// Gives `work` `n` floats of this thread's scratch, of unspecified value. What `work` takes of it in turn is other scratch.
pub(super) fn with_floats<R>(n: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buf = SCRATCH.with_borrow_mut(Vec::pop).unwrap_or_default();
    let result = work(buf.at_least(n));
    SCRATCH.with_borrow_mut(|free| free.push(buf));
    result
}

/// `x` as f32: where it lies, or copied to the front of `buf`.
pub(super) fn as_floats<'a, E: Element>(isa: Isa, x: &'a [E], buf: &'a mut [f32]) -> &'a [f32] {
    match E::elements(x) {
        Elements::F32(x) => x,
        Elements::Bf16(x) => {
            let buf = &mut buf[..x.len()];
            widen(isa, x, buf);
            buf
        }
    }
}

/// Has `work` write f32 to `out`: where it lies, or to scratch, from where it is rounded.
pub fn write_floats<E: Element>(isa: Isa, out: &mut [E], work: impl FnOnce(&mut [f32])) {
    match E::elements_mut(out) {
        ElementsMut::F32(out) => work(out),
        ElementsMut::Bf16(out) => with_floats(out.len(), |buf| {
            work(buf);
            narrow(isa, buf, out);
        }),
    }
}

/// Has `work` change `x` as f32: where it lies, or in scratch, from where it is rounded.
pub fn change_floats<E: Element>(isa: Isa, x: &mut [E], work: impl FnOnce(&mut [f32])) {
    match E::elements_mut(x) {
        ElementsMut::F32(x) => work(x),
        ElementsMut::Bf16(x) => with_floats(x.len(), |buf| {
            widen(isa, x, buf);
            work(buf);
            narrow(isa, buf, x);
        }),
    }
}

/// `out` = `x`, element by element.
pub(super) fn widen<E: Element>(isa: Isa, x: &[E], out: &mut [f32]) {
    match E::elements(x) {
        Elements::F32(x) => out.copy_from_slice(x),
        Elements::Bf16(x) => widen_halves(isa, x, out),
    }
}

for_each_isa! {
    fn widen_halves(x: &[bf16], out: &mut [f32]) {
        for (x, out) in x.iter().zip(out) {
            *out = x.widen();
        }
    }
}

/// `out` = `x`, rounded where that is what `out` keeps. Where the CPU has an instruction for it, numbers below the smallest normal
/// one (1.2e-38) become zero, as they are when bf16 is multiplied.
pub(super) fn narrow<E: Element>(isa: Isa, x: &[f32], out: &mut [E]) {
    assert_eq!(x.len(), out.len(), "a copy of the same length");
    match (E::elements_mut(out), isa) {
        (ElementsMut::F32(out), _) => out.copy_from_slice(x),
        // SAFETY: the token says that the CPU has the instructions, and the lengths are one.
        #[cfg(target_arch = "x86_64")]
        (ElementsMut::Bf16(out), Isa::Avx512(token)) if token.has_bf16() => unsafe { x86::narrow(x, out) },
        (ElementsMut::Bf16(out), _) => {
            for (x, out) in x.iter().zip(out) {
                *out = bf16::narrow(*x);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::{Element, bf16};
    use std::arch::x86_64::*;

    /// 32 numbers as bf16: 16 from one place, then 16 from another, each with zeros where its mask is 0.
    ///
    /// # Safety
    /// What the masks admit is readable; the CPU has these features.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    #[inline]
    pub(in crate::kernels) unsafe fn halves<E: Element>(low: (*const E, u16), high: (*const E, u16)) -> __m512 {
        // SAFETY: the caller's promise; and the types between which is transmuted are 512 bits, of which any are valid.
        unsafe {
            if size_of::<E>() == 2 {
                let [low, high] = [low, high].map(|(x, mask)| _mm256_maskz_loadu_epi16(mask, x.cast()));
                return _mm512_castsi512_ps(_mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high));
            }
            let [low, high] = [low, high].map(|(x, mask)| _mm512_maskz_loadu_ps(mask, x.cast()));
            std::mem::transmute::<__m512bh, __m512>(_mm512_cvtne2ps_pbh(high, low))
        }
    }

    /// # Safety
    /// `out` is as long as `x`; the CPU has these features.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(super) unsafe fn narrow(x: &[f32], out: &mut [bf16]) {
        let lanes = |n: usize| if n >= 32 { !0 } else { (1u32 << n) - 1 };
        for first in (0..x.len()).step_by(32) {
            let mask = lanes(x.len() - first);
            let (from, to) = (x.as_ptr().wrapping_add(first), out.as_mut_ptr().wrapping_add(first));
            // SAFETY: the mask keeps to the elements that there are.
            unsafe {
                let numbers = halves((from, mask as u16), (from.wrapping_add(16), (mask >> 16) as u16));
                _mm512_mask_storeu_epi16(to.cast(), mask, _mm512_castps_si512(numbers));
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The specification: nearest, to even at ties.
    pub(in crate::kernels) fn rounded(x: f32) -> u16 {
        let bits = x.to_bits();
        (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16
    }

    #[test]
    fn rounding_is_to_nearest_and_even_and_keeps_what_is_no_number() {
        let ties = [0x3f80_7fff, 0x3f80_8000, 0x3f80_8001, 0x3f81_8000, 0x7f7f_ffff, 0xff80_0000, 0x8000_0000];
        let noise = (0..60).map(|i| 0x3f80_0000 + i * 0x1234);
        let x: Vec<f32> = ties.into_iter().chain(noise).map(f32::from_bits).collect();
        for isa in Isa::all() {
            for n in 0..x.len() {
                let mut found = vec![bf16::ONE; n];
                narrow(isa, &x[..n], &mut found);
                let wanted: Vec<u16> = x[..n].iter().map(|&x| rounded(x)).collect();
                assert_eq!(found.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), wanted, "{}", isa.name());
                let mut again = vec![0.0; n];
                widen(isa, &found, &mut again);
                assert!(again.iter().zip(&wanted).all(|(x, &bits)| x.to_bits() == (bits as u32) << 16));
            }
            let mut found = [bf16::ONE; 2];
            narrow(isa, &[f32::NAN, f32::from_bits(0x7f80_0001)], &mut found);
            assert!(found.iter().all(|x| x.is_nan()), "{}", isa.name());
        }
    }

    #[test]
    fn what_is_written_or_changed_as_f32_is_what_is_kept_rounded() {
        let isa = Isa::best();
        let (mut wide, mut narrow) = ([1.5f32, 2.25, 1.0 / 3.0], [1.5, 2.25, 1.0 / 3.0].map(bf16::from_f32));
        change_floats(isa, &mut wide, |x| x.iter_mut().for_each(|x| *x *= 2.0));
        change_floats(isa, &mut narrow, |x| x.iter_mut().for_each(|x| *x *= 2.0));
        assert_eq!(narrow, wide.map(bf16::from_f32));
        write_floats(isa, &mut narrow, |x| x.copy_from_slice(&[3.0, 4.0, 5.0]));
        assert_eq!(narrow, [3.0, 4.0, 5.0].map(bf16::from_f32));
        // One use of scratch inside of another has scratch of its own.
        with_floats(2, |outer| {
            outer.fill(7.0);
            with_floats(2, |inner| inner.fill(8.0));
            assert_eq!(outer, [7.0; 2]);
        });
    }
}
