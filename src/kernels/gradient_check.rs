//! Test support: hand-written gradients against central finite differences.

use super::random::Random;

/// `n` standard normal numbers.
pub(crate) fn noise(n: usize, stream: u64) -> Vec<f32> {
    let mut random = Random::new(11, stream);
    (0..n).map(|_| random.normal() as f32).collect()
}

/// Asserts that `gradient` is the gradient of `sum(forward(input) * d_output)` with respect to `input`, at up to 60
/// elements spread over it.
///
/// The tolerance covers single-precision noise of the difference: outputs near 1 carry errors near 1e-7, which the
/// step of 1/256 magnifies to about 3e-5 an output.
pub(crate) fn check(
    name: &str,
    input: &[f32],
    gradient: &[f32],
    d_output: &[f32],
    mut forward: impl FnMut(&[f32]) -> Vec<f32>,
) {
    const STEP: f32 = 1.0 / 256.0;
    let scale = gradient.iter().fold(0.0f32, |a, g| a.max(g.abs()));
    assert!(scale > 0.0, "the gradient of {name} is zero everywhere");
    let mut moved = input.to_vec();
    for i in (0..input.len()).step_by(input.len().div_ceil(60)) {
        moved[i] = input[i] + STEP;
        let above = forward(&moved);
        moved[i] = input[i] - STEP;
        let below = forward(&moved);
        moved[i] = input[i];
        let difference: f64 =
            (0..d_output.len()).map(|o| (above[o] as f64 - below[o] as f64) * d_output[o] as f64).sum();
        let wanted = (difference / (2.0 * STEP as f64)) as f32;
        let error = (gradient[i] - wanted).abs();
        assert!(error < 3e-3 * (scale + wanted.abs()), "{name}[{i}]: gradient {} but difference {wanted}", gradient[i]);
    }
}
