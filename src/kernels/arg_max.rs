//! The largest of many numbers and where it is: what greedy decoding wants of the logits.
//!
//! Threads find the largest of their parts and join what they found; of equal ones the first wins, so the answer does
//! not depend on the parts. NaN is never the largest.

use super::cpu::for_each_isa;
use super::math::max;

/// A number and its index.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Largest {
    /// Where it is.
    pub index: usize,
    /// The number.
    pub value: f32,
}

impl Largest {
    /// Less than any other.
    pub const NONE: Largest = Largest { index: usize::MAX, value: f32::NEG_INFINITY };

    /// The larger of two; of equals, that with the lower index.
    pub fn join(self, other: Largest) -> Largest {
        let is_better = other.value > self.value || (other.value == self.value && other.index < self.index);
        if is_better { other } else { self }
    }
}

for_each_isa! {
    /// The largest of `values`, of which the first has index `first`; [`Largest::NONE`] for none.
    pub fn arg_max(values: &[f32], first: usize) -> Largest {
        // Two passes that the compiler makes vector instructions of: one that kept indices would be slower than both.
        let value = max(values);
        match values.iter().position(|&x| x == value) {
            Some(at) => Largest { index: first + at, value },
            None => Largest::NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Isa;
    use super::super::gradient_check::noise;
    use super::*;

    #[test]
    fn the_largest_is_found_at_its_first_place_whatever_the_parts() {
        for isa in Isa::all() {
            for n in [1, 2, 15, 16, 17, 100, 1000] {
                let mut values = noise(n, n as u64);
                for at in [0, n / 2, n - 1] {
                    values[at] = 100.0;
                    values[n - 1] = 100.0;
                    let wanted = Largest { index: values.iter().position(|&x| x == 100.0).unwrap(), value: 100.0 };
                    assert_eq!(arg_max(isa, &values, 0), wanted, "{n} on {}", isa.name());
                    for part in [1, 7, 64] {
                        let parts = values.chunks(part).enumerate().map(|(i, x)| arg_max(isa, x, i * part));
                        assert_eq!(parts.fold(Largest::NONE, Largest::join), wanted);
                        let parts = values.chunks(part).enumerate().map(|(i, x)| arg_max(isa, x, i * part));
                        assert_eq!(parts.fold(Largest::NONE, |a, b| b.join(a)), wanted);
                    }
                    values[at] = 0.0;
                }
            }
        }
    }

    #[test]
    fn nan_and_nothing_are_never_the_largest() {
        for isa in Isa::all() {
            assert_eq!(arg_max(isa, &[], 5), Largest::NONE);
            assert_eq!(arg_max(isa, &[f32::NAN; 20], 5), Largest::NONE);
            assert_eq!(arg_max(isa, &[f32::NAN, -3.0, f32::NAN], 5), Largest { index: 6, value: -3.0 });
        }
    }
}
