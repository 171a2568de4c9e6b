//! XTC, "exclude top choices": now and then leaves out the obvious, for prose that is less predictable.

use super::candidates::{Candidate, Candidates, by_logit};

/// Of the tokens that have at least the threshold's probability all but the least probable are left out; the chain decides
/// by chance whether it happens (p-e-w, text-generation-webui pull request 6335, 2024).
///
/// As there must be two tokens of that probability for anything to be left out, a threshold above 0.5 does nothing, and what
/// is left is always a sensible choice.
pub(super) struct Xtc {
    /// Least probability of a top choice.
    pub(super) threshold: f32,
}

impl Xtc {
    pub(super) fn apply(&self, candidates: &mut Candidates) {
        if candidates.len() < 2 {
            return;
        }
        candidates.weigh();
        let least = f64::from(self.threshold) * candidates.mass();
        let is_top = |c: &Candidate| f64::from(c.weight) >= least;
        let last_top = candidates.iter().filter(is_top).max_by(by_logit);
        if let Some(last) = last_top.map(|c| c.id) {
            candidates.retain(|c| c.id == last || !is_top(c));
        }
    }
}
