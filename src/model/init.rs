//! The weights a model starts from.

use super::{Config, Layout};

/// Draws the first weights: a normal distribution for matrices, ones for norms.
///
/// Embedding and input projections have a deviation of 0.02 (GPT-2); the projections that write into the residual
/// stream are scaled by 1/sqrt(2 * layers), so that its variance does not grow with depth (GPT-2, section 2.3).
pub fn initial_weights(config: &Config, seed: u64) -> Vec<f32> {
    let layout = Layout::new(config);
    let mut weights = vec![1.0; layout.n_elements];
    let residual = 0.02 / (2.0 * config.n_layer as f64).sqrt();
    for (i, tensor) in layout.tensors.iter().enumerate().filter(|(_, t)| t.is_matrix()) {
        let writes_residual = tensor.name.ends_with("o_proj.weight") || tensor.name.ends_with("down_proj.weight");
        let deviation = if writes_residual { residual } else { 0.02 };
        let mut random = crate::kernels::random::Random::new(seed, i as u64);
        for weight in &mut weights[tensor.range.clone()] {
            *weight = (random.normal() * deviation) as f32;
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Preset;

    #[test]
    fn the_seed_decides_the_weights() {
        let config = Preset::Nano.config(64, 16);
        assert_eq!(initial_weights(&config, 7), initial_weights(&config, 7));
        assert_ne!(initial_weights(&config, 7), initial_weights(&config, 8));
    }
}
