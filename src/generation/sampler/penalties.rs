//! Penalties for tokens that were written lately, by how often.

use super::candidates::Candidates;

/// Makes tokens of a window less likely.
pub(super) struct Penalties {
    /// A positive logit is divided by it, a negative one multiplied (Keskar et al., "CTRL", arXiv 1909.05858); 1 is off.
    pub(super) repetition: f32,
    /// Taken off the logit of a token that was there, however often (OpenAI's API, 2020); 0 is off.
    pub(super) presence: f32,
    /// Taken off the logit for each time that the token was there (OpenAI's API, 2020); 0 is off.
    pub(super) frequency: f32,
}

impl Penalties {
    /// Applies them for the ids of `window`; `counts` is scratch, with a zero for each id of the vocabulary.
    pub(super) fn apply(&self, candidates: &mut Candidates, window: &[u32], counts: &mut [u32]) {
        if window.is_empty() || (self.repetition == 1.0 && self.presence == 0.0 && self.frequency == 0.0) {
            return;
        }
        for &id in window {
            // An id that is not in the vocabulary cannot be written again.
            if let Some(count) = counts.get_mut(id as usize) {
                *count += 1;
            }
        }
        candidates.shift(|id, logit| match counts[id as usize] {
            0 => logit,
            count => self.penalised(logit, count),
        });
        for &id in window {
            if let Some(count) = counts.get_mut(id as usize) {
                *count = 0;
            }
        }
    }

    fn penalised(&self, logit: f32, count: u32) -> f32 {
        let logit = if logit > 0.0 { logit / self.repetition } else { logit * self.repetition };
        logit - self.presence - self.frequency * count as f32
    }
}
