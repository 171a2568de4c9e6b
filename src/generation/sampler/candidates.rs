//! The tokens that may still be drawn: what every sampler of the chain narrows, shifts or reorders.
//!
//! Selection instead of sorting, so that everything is linear in the vocabulary, and one buffer that is kept from token
//! to token. Weights are exponentials of logits, made only when a sampler asks for them after logits have changed.

use std::cmp::Ordering;

/// Logits are kept within this, so that no arithmetic of a sampler makes an infinity, and no difference of two a NaN.
const LARGEST_LOGIT: f32 = 1e30;

/// A token that may still be drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) id: u32,
    /// Finite.
    pub(super) logit: f32,
    /// exp(logit - highest logit): its probability up to a factor that all share. Only after [`Candidates::weigh`].
    pub(super) weight: f32,
}

/// Most probable first, the lower id first among equals: a total order, so that ties are never left to chance.
pub(super) fn by_logit(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id))
}

/// The candidates for one token; once filled, at least one.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    list: Vec<Candidate>,
    weighed: bool,
}

impl Candidates {
    /// Begins anew with those of `logits` (V) that are above minus infinity and `allowed`, in the order of their ids.
    pub(super) fn fill(&mut self, logits: &[f32], allowed: impl Fn(u32) -> bool) {
        self.list.clear();
        self.list.reserve(logits.len());
        self.weighed = false;
        for (id, &logit) in logits.iter().enumerate() {
            let id = id as u32;
            if logit > f32::NEG_INFINITY && allowed(id) {
                // Adding zero makes the two zeros one, which a total order would tell apart.
                let logit = logit.clamp(-LARGEST_LOGIT, LARGEST_LOGIT) + 0.0;
                self.list.push(Candidate { id, logit, weight: 0.0 });
            }
        }
    }

    pub(super) fn as_slice(&self) -> &[Candidate] {
        &self.list
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The candidate with the highest logit, of the lowest id among equals.
    pub(super) fn best(&self) -> Candidate {
        *self.list.iter().min_by(|a, b| by_logit(a, b)).expect("a sampler leaves at least one candidate")
    }

    /// Gives every candidate the logit that `shift` makes of it.
    pub(super) fn shift(&mut self, shift: impl Fn(&Candidate) -> f32) {
        self.weighed = false;
        for candidate in &mut self.list {
            candidate.logit = shift(candidate).clamp(-LARGEST_LOGIT, LARGEST_LOGIT) + 0.0;
        }
    }

    /// Adds `bias` to the logit of a token, or drops it where that is minus infinity. Only while candidates are in the order
    /// of their ids.
    pub(super) fn bias(&mut self, id: u32, bias: f32) {
        let Ok(i) = self.list.binary_search_by_key(&id, |c| c.id) else { return };
        if bias == f32::NEG_INFINITY {
            self.list.remove(i);
        } else {
            self.list[i].logit = (self.list[i].logit + bias).clamp(-LARGEST_LOGIT, LARGEST_LOGIT);
        }
    }

    /// Keeps those for which `keep` holds.
    pub(super) fn retain(&mut self, keep: impl FnMut(&Candidate) -> bool) {
        self.list.retain(keep);
    }

    /// Keeps only `candidate`.
    pub(super) fn keep_one(&mut self, candidate: Candidate) {
        self.list.clear();
        self.list.push(Candidate { weight: 1.0, ..candidate });
        self.weighed = true;
    }

    /// Sees to it that weights are those of the logits, and drops what is too improbable to have one.
    pub(super) fn weigh(&mut self) {
        if self.weighed {
            return;
        }
        let highest = self.best().logit;
        for candidate in &mut self.list {
            candidate.weight = (candidate.logit - highest).exp();
        }
        self.list.retain(|candidate| candidate.weight > 0.0);
        self.weighed = true;
    }

    /// The sum of all weights; weigh them first.
    pub(super) fn mass(&self) -> f64 {
        mass(&self.list)
    }

    /// Keeps the first `n` in the order of `by`, or all if there are not so many.
    pub(super) fn keep_first(&mut self, n: usize, by: impl FnMut(&Candidate, &Candidate) -> Ordering) {
        if n > 0 && n < self.list.len() {
            self.list.select_nth_unstable_by(n - 1, by);
            self.list.truncate(n);
        }
    }

    /// Keeps the fewest, first ones in the order of `by`, that together hold `share` of the probability.
    pub(super) fn keep_share(&mut self, share: f32, by: impl Fn(&Candidate, &Candidate) -> Ordering) {
        self.weigh();
        let wanted = f64::from(share) * self.mass();
        let n = fewest_holding(&mut self.list, wanted, by);
        self.list.truncate(n);
    }

    /// Most probable first.
    pub(super) fn sort(&mut self) {
        self.list.sort_unstable_by(by_logit);
    }
}

fn mass(candidates: &[Candidate]) -> f64 {
    candidates.iter().map(|c| f64::from(c.weight)).sum()
}

/// Reorders so that the fewest first candidates whose mass reaches `wanted` come first, and returns how many they are
/// (at least one). A binary search whose every step halves what is left to select from: linear, no sort.
fn fewest_holding(candidates: &mut [Candidate], wanted: f64, by: impl Fn(&Candidate, &Candidate) -> Ordering) -> usize {
    // Always: the first `low` hold less than `wanted`, the first `high` hold it.
    let (mut low, mut high, mut held) = (0, candidates.len(), 0.0);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        candidates[low..high].select_nth_unstable_by(middle - low, &by);
        let with_left = held + mass(&candidates[low..middle]);
        if with_left >= wanted {
            high = middle;
        } else {
            (low, held) = (middle, with_left);
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_fewest_that_hold_a_share_are_those_of_a_full_sort(
            weights in prop::collection::vec(1e-6f32..1.0, 1..200),
            share in 0.001f64..0.999,
        ) {
            let mut candidates: Vec<_> =
                weights.iter().enumerate().map(|(id, &w)| Candidate { id: id as u32, logit: w.ln(), weight: w }).collect();
            let mut sorted = candidates.clone();
            sorted.sort_by(by_logit);
            let wanted = share * mass(&candidates);
            let n = fewest_holding(&mut candidates, wanted, by_logit);
            // Sums in another order round differently, so the border is judged with a margin.
            prop_assert!(mass(&sorted[..n]) >= wanted - 1e-9);
            prop_assert!(n == 1 || mass(&sorted[..n - 1]) < wanted + 1e-9);
            let ids = |c: &[Candidate]| { let mut ids: Vec<_> = c.iter().map(|c| c.id).collect(); ids.sort(); ids };
            prop_assert_eq!(ids(&candidates[..n]), ids(&sorted[..n]));
        }
    }

    #[test]
    fn extreme_logits_stay_finite_and_comparable() {
        let mut candidates = Candidates::default();
        candidates.fill(&[f32::MAX, f32::MIN, 0.0, f32::NEG_INFINITY], |_| true);
        assert_eq!(candidates.len(), 3);
        candidates.shift(|c| c.logit * f32::MAX);
        assert!(candidates.as_slice().iter().all(|c| c.logit.is_finite()));
        candidates.weigh();
        assert_eq!(candidates.as_slice().iter().map(|c| c.id).collect::<Vec<_>>(), [0]);
    }
}
