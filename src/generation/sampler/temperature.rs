//! Temperature: how much the better tokens are preferred to the worse.

use super::candidates::Candidates;

/// Divides the logits: below 1 the probable become more probable, above 1 less; 0 takes the most probable (the
/// distribution of Boltzmann; for networks Ackley et al., "A Learning Algorithm for Boltzmann Machines", 1985).
pub(super) struct Temperature(pub(super) f32);

impl Temperature {
    pub(super) fn apply(&self, candidates: &mut Candidates) {
        if self.0 == 1.0 {
            return;
        }
        let best = candidates.best();
        // So cold that the best logit overflows is as cold as 0.
        if self.0 == 0.0 || !(best.logit / self.0).is_finite() {
            candidates.keep_one(best);
        } else {
            candidates.shift(|_, logit| logit / self.0);
        }
    }
}
