//! The largest of many numbers and where it is: what greedy decoding wants of the logits. Of equal ones the first wins; NaN
//! is never the largest.
//!
//! It is looked for after the pass, by one thread, and not by all threads with the products: 32,000 logits take 4 us of the
//! 330 that a token of a model with 15 million weights takes, 49,152 take 5 us of the 4,400 of 135 million.

use super::cpu::for_each_isa;
use super::math::max;

for_each_isa! {
    /// Where the largest of `values` is; nowhere if there is none.
    pub fn arg_max(values: &[f32]) -> Option<usize> {
        // Two passes that the compiler makes vector instructions of: one that kept indices would be slower than both.
        let value = max(values);
        values.iter().position(|&x| x == value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Isa;
    use super::super::gradient_check::noise;
    use super::*;

    #[test]
    fn the_largest_is_found_at_its_first_place() {
        for isa in Isa::all() {
            for n in [1, 2, 15, 16, 17, 100, 1000] {
                let mut values = noise(n, n as u64);
                for at in [0, n / 2, n - 1] {
                    values[at] = 100.0;
                    values[n - 1] = 100.0;
                    let wanted = values.iter().position(|&x| x == 100.0);
                    assert_eq!(arg_max(isa, &values), wanted, "{n} on {}", isa.name());
                    values[at] = 0.0;
                }
            }
        }
    }

    #[test]
    fn nan_and_nothing_are_never_the_largest() {
        for isa in Isa::all() {
            assert_eq!(arg_max(isa, &[]), None);
            assert_eq!(arg_max(isa, &[f32::NAN; 20]), None);
            assert_eq!(arg_max(isa, &[f32::NAN, -3.0, f32::NAN]), Some(1));
        }
    }
}
