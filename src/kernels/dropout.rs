//! Dropout (Srivastava et al., JMLR 2014): zeroes elements at random and makes the rest larger, so that means stay.
//!
//! Whether an element is zeroed is a function of a key and its place, so the backward pass, a resumed run and any number
//! of threads find the same ones and no mask is stored. The hash of 32 bits mixes by multiplication and shifts; its
//! constants are those of "lowbias32" (Wellons, "Prospecting for hash functions", nullprogram.com, 2018).

use super::cpu::{Cpu, Isa, for_each_isa};
use super::element::{Element, change_floats};
use super::random::mix;
use super::shared::SharedSlice;

/// Elements a task handles: 64 KB.
const PIECE: usize = 16_384;

/// Which elements are zeroed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Share of elements that is zeroed, from 0 to below 1.
    pub rate: f32,
    /// Decides which: another key, other elements.
    pub key: u64,
}

impl Dropout {
    /// The same rate with the key for part `part` of what this one's key stands for.
    pub fn at(self, part: u64) -> Dropout {
        // The golden ratio's multiples part neighbouring numbers, as in `random`.
        Dropout { key: mix(self.key ^ part.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)), ..self }
    }

    /// Zeroes its elements of `x` and divides the others by 1 - rate: the forward pass, and the backward pass too.
    pub fn apply<E: Element>(self, cpu: &Cpu, x: &mut [E]) {
        let (n, x, isa) = (x.len(), SharedSlice::new(x), cpu.isa);
        cpu.pool.for_pieces(n, PIECE, |_, range| {
            // SAFETY: tasks have disjoint ranges.
            let x = unsafe { x.range(range.clone()) };
            change_floats(isa, x, |x| piece(isa, self, range.start, x));
        });
    }

    /// The same on the calling thread to a part, of which element 0 is element `first` of the whole.
    pub fn apply_to_part(self, isa: Isa, first: usize, x: &mut [f32]) {
        piece(isa, self, first, x);
    }

    /// As [`Dropout::apply`], into `out`, where `x` is still needed as it is.
    pub fn apply_to_copy<E: Element>(self, cpu: &Cpu, x: &[E], out: &mut [E]) {
        assert_eq!(x.len(), out.len(), "a copy of the same length");
        let (out, isa) = (SharedSlice::new(out), cpu.isa);
        cpu.pool.for_pieces(x.len(), PIECE, |_, range| {
            // SAFETY: tasks have disjoint ranges.
            let out = unsafe { out.range(range.clone()) };
            out.copy_from_slice(&x[range.clone()]);
            change_floats(isa, out, |out| piece(isa, self, range.start, out));
        });
    }
}

for_each_isa! {
    /// Elements from `first` on.
    fn piece(dropout: Dropout, first: usize, x: &mut [f32]) {
        let (low, high) = (dropout.key as u32, (dropout.key >> 32) as u32);
        // The share of 2^32 hashes, rounded.
        let threshold = (dropout.rate as f64 * 4_294_967_296.0) as u32;
        let scale = 1.0 / (1.0 - dropout.rate);
        let first = first as u32;
        for (i, x) in x.iter_mut().enumerate() {
            let h = first.wrapping_add(i as u32) ^ low;
            let h = (h ^ (h >> 16)).wrapping_mul(0x7feb_352d) ^ high;
            let h = (h ^ (h >> 15)).wrapping_mul(0x846c_a68b);
            let h = h ^ (h >> 16);
            *x = if h < threshold { 0.0 } else { *x * scale };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Dropout = Dropout { rate: 0.3, key: 77 };

    fn kept(dropout: Dropout, n: usize) -> Vec<bool> {
        let mut x = vec![1.0; n];
        dropout.apply(&Cpu::new(1), &mut x);
        x.iter().map(|&x| x != 0.0).collect()
    }

    #[test]
    fn the_share_that_is_zeroed_is_the_rate_and_the_mean_stays() {
        let n = 200_000;
        for rate in [0.0, 0.1, 0.5, 0.9] {
            let mut x = vec![2.0f32; n];
            Dropout { rate, ..SOME }.apply(&Cpu::new(2), &mut x);
            let share = x.iter().filter(|&&x| x == 0.0).count() as f64 / n as f64;
            // Four standard errors of a share of 200,000.
            assert!((share - rate as f64).abs() < 4.0 * (0.25 / n as f64).sqrt(), "{share} of {rate}");
            let wanted = 2.0 / (1.0 - rate);
            assert!(x.iter().all(|&x| x == 0.0 || (x - wanted).abs() < 1e-5 * wanted));
        }
    }

    #[test]
    fn neighbours_parts_and_keys_are_independent() {
        let n = 100_000;
        let base = kept(SOME, n);
        let others = [kept(SOME.at(0), n), kept(SOME.at(1), n), kept(Dropout { key: 78, ..SOME }, n)];
        let shifted = [1, 2, 64, 384].map(|by| base.iter().cycle().skip(by).take(n).copied().collect::<Vec<_>>());
        for other in others.iter().chain(&shifted) {
            let both = base.iter().zip(other).filter(|(a, b)| **a && **b).count() as f64 / n as f64;
            assert!((both - 0.49).abs() < 0.008, "both are kept {both}, not 0.7 * 0.7");
        }
    }

    #[test]
    fn places_are_the_same_on_every_instruction_set_for_any_threads_and_in_a_copy() {
        let x: Vec<f32> = (0..50_001).map(|i| i as f32 - 25_000.5).collect();
        let mut wanted = x.clone();
        SOME.apply(&Cpu::with_isa(1, Isa::Scalar), &mut wanted);
        for isa in Isa::all() {
            let cpu = Cpu::with_isa(3, isa);
            let (mut found, mut copy) = (x.clone(), vec![0.0; x.len()]);
            SOME.apply(&cpu, &mut found);
            SOME.apply_to_copy(&cpu, &x, &mut copy);
            assert!(found == wanted && copy == wanted, "{}", isa.name());
        }
    }

    #[test]
    fn the_backward_pass_is_the_derivative_of_the_forward_pass() {
        // Linear in x: the derivative by each element is what it does to one.
        let cpu = Cpu::new(1);
        let (mut dx, mut ones) = (vec![1.0; 1000], vec![1.0; 1000]);
        let (mut low, mut high) = (vec![0.5; 1000], vec![1.5; 1000]);
        [&mut dx, &mut ones, &mut low, &mut high].into_iter().for_each(|x| SOME.apply(&cpu, x));
        for i in 0..1000 {
            assert!((high[i] - low[i] - dx[i]).abs() < 1e-6, "element {i}");
        }
    }
}
