//! Mirostat: a surprise that is held at a target, whatever the text does.

use super::candidates::Candidates;

/// Version 2: tokens more surprising than `most` bits are dropped, and after each draw `most` moves towards the target by
/// what was missed (Basu et al., "Mirostat", arXiv 2007.14966, algorithm 2).
#[derive(Debug, Clone, Copy)]
pub(super) struct Mirostat {
    /// Bits of surprise that are allowed at most; mu in the paper.
    most: f64,
}

/// Bits that a surprise may be off, since weights are rounded: what is just as surprising as allowed is kept.
const ROUNDING: f64 = 1e-6;

impl Mirostat {
    /// At the start of a text: twice the target `tau`, as in the paper.
    pub(super) fn new(tau: f32) -> Mirostat {
        Mirostat { most: 2.0 * f64::from(tau) }
    }

    pub(super) fn apply(&self, candidates: &mut Candidates) {
        candidates.weigh();
        let (mass, best) = (candidates.mass(), candidates.best().id);
        candidates.retain(|c| c.id == best || -(f64::from(c.weight) / mass).log2() <= self.most + ROUNDING);
    }

    /// Learns from a token that was drawn with `probability`, at the rate `eta`.
    pub(super) fn drawn(&mut self, probability: f64, tau: f32, eta: f32) {
        self.most -= f64::from(eta) * (-probability.log2() - f64::from(tau));
    }
}
