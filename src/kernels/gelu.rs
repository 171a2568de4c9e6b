//! GELU in its tanh form (Hendrycks and Gimpel, arXiv 1606.08415), which is GPT-2's.
//!
//! x/2 (1 + tanh(u)) with u = sqrt(2/pi) (x + 0.044715 x^3), which is x / (1 + e^-2u): so no tanh is needed.

use super::cpu::for_each_isa;
use super::math::sigmoid;

for_each_isa! {
    /// x = GELU(x)
    pub fn gelu(x: &mut [f32]) {
        const TWICE_ROOT: f32 = 2.0 * 0.797_884_6;
        for x in x.iter_mut() {
            *x *= sigmoid(TWICE_ROOT * (*x + 0.044_715 * *x * *x * *x));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Isa;
    use super::*;

    #[test]
    fn equals_its_definition_on_every_instruction_set() {
        for isa in Isa::all() {
            let inputs: Vec<f32> = (-100..=100).map(|i| i as f32 * 0.11).collect();
            let mut found = inputs.clone();
            gelu(isa, &mut found);
            for (x, found) in inputs.iter().map(|&x| f64::from(x)).zip(found) {
                let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                let wanted = 0.5 * x * (1.0 + u.tanh());
                assert!(
                    (f64::from(found) - wanted).abs() < 1e-6 * (1.0 + x.abs()),
                    "{}: gelu({x}) is {found}",
                    isa.name()
                );
            }
        }
    }
}
