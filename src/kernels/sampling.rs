//! What choosing a token does to the logits of a whole vocabulary: passes over up to some hundred thousand numbers, for
//! each token that is written.

use super::cpu::for_each_isa;
use super::math::{exp, max};

/// Numbers looked at together.
const CHUNK: usize = 64;

for_each_isa! {
    /// Whether all are numbers below infinity.
    pub fn all_below_infinity(values: &[f32]) -> bool {
        values.iter().fold(true, |all, &x| all & (x < f32::INFINITY))
    }
}

for_each_isa! {
    /// e^(x - highest) of each of `values`, none of which is above `highest`.
    pub fn exps_below(values: &[f32], highest: f32, out: &mut [f32]) {
        for (out, &x) in out.iter_mut().zip(values) {
            *out = exp(x - highest);
        }
    }
}

for_each_isa! {
    /// The sum in double precision, in an order that depends on nothing but the length.
    pub fn sum(values: &[f32]) -> f64 {
        let mut lanes = [0f64; 16];
        let (whole, rest) = values.as_chunks::<16>();
        for chunk in whole {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane += f64::from(x);
            }
        }
        rest.iter().map(|&x| f64::from(x)).chain(lanes).sum()
    }
}

for_each_isa! {
    /// Writes the places of those that are at least `least` to `places`, in ascending order. Fast where they are few.
    pub fn places_at_least(values: &[f32], least: f32, places: &mut Vec<u32>) {
        places.clear();
        for (i, chunk) in values.chunks(CHUNK).enumerate() {
            if chunk.iter().fold(false, |any, &x| any | (x >= least)) {
                let first = (i * CHUNK) as u32;
                places.extend((first..).zip(chunk).filter(|(_, x)| **x >= least).map(|(place, _)| place));
            }
        }
    }
}

for_each_isa! {
    /// Writes the largest of each 64 in turn to `largest`: the n-th largest of these is a bound which at least n of `values`
    /// reach.
    pub fn largest_of_chunks(values: &[f32], largest: &mut Vec<f32>) {
        largest.clear();
        largest.extend(values.chunks(CHUNK).map(max));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Isa;
    use super::super::gradient_check::noise;
    use super::*;

    #[test]
    fn each_pass_does_what_a_plain_loop_does_on_every_instruction_set() {
        for isa in Isa::all() {
            for n in [0usize, 1, 15, 16, 63, 64, 65, 1000] {
                let values = noise(n, n as u64);
                let mut exps = vec![0.0; n];
                exps_below(isa, &values, 3.0, &mut exps);
                for (x, e) in values.iter().zip(&exps) {
                    assert!((f64::from(*e) / (f64::from(*x) - 3.0).exp() - 1.0).abs() < 1e-6, "e^({x} - 3) is not {e}");
                }
                let plain: f64 = values.iter().map(|&x| f64::from(x)).sum();
                assert!((sum(isa, &values) - plain).abs() < 1e-9, "{n} on {}", isa.name());
                let mut places = vec![7];
                for least in [-9.0, 0.3, 9.0] {
                    places_at_least(isa, &values, least, &mut places);
                    let wanted: Vec<u32> = (0..n as u32).filter(|&i| values[i as usize] >= least).collect();
                    assert_eq!(places, wanted, "{n} on {}", isa.name());
                }
                let mut largest = Vec::new();
                largest_of_chunks(isa, &values, &mut largest);
                let plain = |chunk: &[f32]| chunk.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                assert_eq!(largest, values.chunks(64).map(plain).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn what_is_no_number_or_infinite_is_found_wherever_it_is() {
        for isa in Isa::all() {
            let mut values = vec![f32::NEG_INFINITY; 77];
            assert!(all_below_infinity(isa, &values));
            for at in [0, 16, 76] {
                for bad in [f32::NAN, f32::INFINITY] {
                    let good = std::mem::replace(&mut values[at], bad);
                    assert!(!all_below_infinity(isa, &values), "{bad} at {at} on {}", isa.name());
                    values[at] = good;
                }
            }
        }
    }
}
