//! Samplers that drop tokens by how probable they are: top-k, top-p, min-p, typical and top-n-sigma.
//!
//! Each judges the distribution that the samplers before it left, and leaves at least one token.

use super::candidates::{Candidate, Candidates, by_logit};

/// Keeps the k most probable tokens (Fan et al., "Hierarchical Neural Story Generation", arXiv 1805.04833).
pub(super) struct TopK(pub(super) usize);

impl TopK {
    pub(super) fn apply(&self, candidates: &mut Candidates) {
        candidates.keep_first(self.0);
    }
}

/// Keeps the fewest most probable tokens that hold a share of the probability, the nucleus (Holtzman et al., "The Curious
/// Case of Neural Text Degeneration", arXiv 1904.09751).
pub(super) struct TopP(pub(super) f32);

impl TopP {
    pub(super) fn apply(&self, candidates: &mut Candidates) {
        if self.0 < 1.0 {
            candidates.keep_most_probable(self.0);
        }
    }
}

/// Drops tokens less probable than a share of the best one's probability (Nguyen et al., "Turning Up the Heat: Min-p
/// Sampling", arXiv 2407.01082).
pub(super) struct MinP(pub(super) f32);

impl MinP {
    pub(super) fn apply(&self, candidates: &mut Candidates) {
        if self.0 > 0.0 {
            let least = candidates.best().logit + self.0.ln();
            candidates.retain_logits(least);
        }
    }
}

/// Keeps the tokens whose surprise is nearest to what the distribution lets expect (its entropy), the fewest that hold a
/// share of the probability: neither the improbable nor the all too obvious (Meister et al., "Locally Typical Sampling",
/// arXiv 2202.00666).
pub(super) struct Typical(pub(super) f32);

impl Typical {
    pub(super) fn apply(&self, candidates: &mut Candidates) {
        if self.0 >= 1.0 {
            return;
        }
        candidates.weigh();
        // With Z the mass and l the logit above the highest, -ln p = ln Z - l, so the entropy is ln Z - E[l], and a
        // token's surprise is off by |E[l] - l|.
        let highest = candidates.best().logit;
        let below = |c: &Candidate| f64::from(c.logit) - f64::from(highest);
        let sum: f64 = candidates.iter().map(|c| f64::from(c.weight) * below(&c)).sum();
        let expected = sum / candidates.mass();
        let off = |c: &Candidate| (expected - below(c)).abs();
        candidates.keep_share(self.0, |a, b| off(a).total_cmp(&off(b)).then(by_logit(a, b)));
    }
}

/// Keeps the tokens whose logit is at most n standard deviations (of all logits) below the highest: the noise of the many
/// is told from the few that mean something (Tang et al., "Top-nσ: Not All Logits Are You Need", arXiv 2411.07641).
pub(super) struct TopNSigma(pub(super) f32);

impl TopNSigma {
    pub(super) fn apply(&self, candidates: &mut Candidates) {
        if self.0 <= 0.0 || candidates.len() < 2 {
            return;
        }
        let n = candidates.len() as f64;
        let logits = || candidates.iter().map(|c| f64::from(c.logit));
        let mean = logits().sum::<f64>() / n;
        let deviation = (logits().map(|logit| (logit - mean).powi(2)).sum::<f64>() / n).sqrt();
        let least = f64::from(candidates.best().logit) - f64::from(self.0) * deviation;
        candidates.retain(|c| f64::from(c.logit) >= least);
    }
}
