//! Elementary functions that the compiler can vectorise: no branch, no table, no call into the C library.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m128, _mm_add_ps, _mm_cvtss_f32, _mm_max_ps, _mm_movehl_ps, _mm_shuffle_ps};

/// e^x to within 3 units in the last place over the range of normal results; 0 below and infinity above it.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Beyond these the result leaves the normal range: exp(88.72) overflows and exp(-87.33) is the smallest normal.
    let (p, n) = exp_parts(x.clamp(-87.33, 88.7));
    // n lies in -126..=128; 128 is reached in two factors.
    let half = n >> 1;
    let scale = |k: i32| f32::from_bits((k.wrapping_add(127) as u32) << 23);
    let y = p * scale(half) * scale(n - half);
    if x < -87.33 { 0.0 } else { y }
}

/// [`exp`] for x between -80 and 80.
#[inline(always)]
fn exp_within(x: f32) -> f32 {
    let (p, n) = exp_parts(x);
    f32::from_bits(p.to_bits().wrapping_add((n as u32) << 23))
}

/// (p, n) with e^x = p * 2^n and p between 0.7 and 1.42.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2 (n found by adding and subtracting 1.5 * 2^23, which rounds to nearest), and p is
/// e^r by its Taylor polynomial of degree 7 (remainder below 6e-9 at that |r|). Tested in this file against the C
/// library's double-precision `exp`.
#[inline(always)]
fn exp_parts(x: f32) -> (f32, i32) {
    const ROUND: f32 = 12_582_912.0;
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    // ln 2 in two parts (Cody and Waite): the first has few bits, so that n times it is exact.
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    // Estrin's scheme: in Horner's each of fourteen operations waits for the one before, and the loops wait with them.
    let r2 = r * r;
    let low = (1.0 + r) + r2 * (0.5 + r * (1.0 / 6.0));
    let high = (1.0 / 24.0 + r * (1.0 / 120.0)) + r2 * (1.0 / 720.0 + r * (1.0 / 5040.0));
    let p = low + r2 * r2 * high;
    // After the rounding the lowest bits of the float are n. (`n as i32` saturates, which keeps the loop from being
    // vectorised: that alone cost a tenth of a training step.)
    (p, rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32)
}

/// 1 / x for normal x between 1 and 2^120, to within 3e-7 of it.
///
/// Halving and negating the exponent is a subtraction from a constant, which leaves an error of an eighth; each of
/// Newton's steps squares it.
#[inline(always)]
fn reciprocal(x: f32) -> f32 {
    let y = f32::from_bits(0x7ef3_11c7 - x.to_bits());
    let y = y * (2.0 - x * y);
    let y = y * (2.0 - x * y);
    y * (2.0 - x * y)
}

/// 1 / (1 + e^-x), to within 5e-7 of it.
///
/// It is made for loops that evaluate nothing else: without the ends of [`exp`]'s range, since beyond 80 it no longer
/// changes, and without a division, which takes as long as all the rest.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    let x = if x < 80.0 { x } else { 80.0 };
    let x = if x > -80.0 { x } else { -80.0 };
    reciprocal(1.0 + exp_within(-x))
}

/// The sum of `f` over the elements of `inputs`, taken together from all of them, in an order that does not depend on the
/// instruction set: sixteen interleaved partial sums, then a tree over them. The inputs are as long as the first.
///
/// It takes slices and cuts them into whole chunks itself: with an index handed to `f`, each access would be checked
/// against its slice's length, and the loop stay scalar.
#[inline(always)]
pub(super) fn sum<const N: usize>(inputs: [&[f32]; N], f: impl Fn([f32; N]) -> f32) -> f32 {
    let n = inputs[0].len();
    let parts = inputs.map(|x| x[..n].as_chunks::<16>());
    let mut lanes = [0.0f32; 16];
    for i in 0..n / 16 {
        let chunks = parts.map(|(chunks, _)| &chunks[i]);
        for l in 0..16 {
            lanes[l] += f(chunks.map(|chunk| chunk[l]));
        }
    }
    for l in 0..n % 16 {
        lanes[l] += f(parts.map(|(_, rest)| rest[l]));
    }
    sum_of_lanes(lanes)
}

/// The sum of sixteen, always in the same order: halves are added to each other.
#[inline(always)]
pub(super) fn sum_of_lanes(lanes: [f32; 16]) -> f32 {
    // SAFETY: every CPU of this kind has SSE.
    #[cfg(target_arch = "x86_64")]
    return fold_quads(lanes, |a, b| unsafe { _mm_add_ps(a, b) });
    #[cfg(not(target_arch = "x86_64"))]
    fold_halves(lanes, |a, b| a + b)
}

/// The largest of sixteen, none of which is a NaN.
#[inline(always)]
fn max_of_lanes(lanes: [f32; 16]) -> f32 {
    // SAFETY: every CPU of this kind has SSE.
    #[cfg(target_arch = "x86_64")]
    return fold_quads(lanes, |a, b| unsafe { _mm_max_ps(a, b) });
    #[cfg(not(target_arch = "x86_64"))]
    fold_halves(lanes, |a, b| if b > a { b } else { a })
}

/// Sixteen become one: halves are combined with each other.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn fold_halves(mut lanes: [f32; 16], combine: impl Fn(f32, f32) -> f32) -> f32 {
    for width in [8, 4, 2, 1] {
        for l in 0..width {
            lanes[l] = combine(lanes[l], lanes[l + width]);
        }
    }
    lanes[0]
}

/// [`fold_halves`] in registers of four, which every CPU of this kind has. The compiler makes of those loops a walk through
/// memory, with bounds checked; a softmax over 64 keys took a quarter more time with it, and the norm of a head twice as
/// much.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn fold_quads(lanes: [f32; 16], combine: impl Fn(__m128, __m128) -> __m128) -> f32 {
    // SAFETY: both are sixteen floats, and any bits are a float; every CPU of this kind has SSE.
    unsafe {
        let [a, b, c, d] = std::mem::transmute::<[f32; 16], [__m128; 4]>(lanes);
        let four = combine(combine(a, c), combine(b, d));
        let two = combine(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(combine(two, _mm_shuffle_ps::<1>(two, two)))
    }
}

/// The largest of `values`, or negative infinity for none.
#[inline(always)]
pub(super) fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (chunks, tail) = values.as_chunks::<16>();
    for chunk in chunks {
        for l in 0..16 {
            lanes[l] = if chunk[l] > lanes[l] { chunk[l] } else { lanes[l] };
        }
    }
    tail.iter().fold(max_of_lanes(lanes), |a, &b| if b > a { b } else { a })
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::noise;
    use super::*;

    #[test]
    fn exp_is_within_three_units_in_the_last_place() {
        let mut x = -87.0f32;
        while x < 88.6 {
            let want = (x as f64).exp();
            let ulp = (want as f32).to_bits().abs_diff(exp(x).to_bits());
            assert!(ulp <= 3, "exp({x}) = {} is {ulp} units from {want}", exp(x));
            x += 0.001_37;
        }
    }

    #[test]
    fn exp_saturates_without_nan() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1000.0), 0.0);
        assert!(exp(1000.0) > 3e38);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn lanes_are_folded_by_halves_to_the_bit() {
        for seed in 0..100 {
            let lanes = noise(16, seed).try_into().unwrap();
            assert_eq!(sum_of_lanes(lanes).to_bits(), fold_halves(lanes, |a, b| a + b).to_bits());
            assert_eq!(max_of_lanes(lanes), lanes.into_iter().reduce(f32::max).unwrap());
        }
    }

    #[test]
    fn sums_take_every_element_once() {
        for n in [0usize, 1, 15, 16, 17, 100] {
            let x: Vec<f32> = (0..n).map(|i| i as f32).collect();
            assert_eq!(sum([&x], |[x]| x), (n * n.saturating_sub(1) / 2) as f32, "{n} elements");
        }
    }
}
