//! The tokens that may still be drawn: what every sampler of the chain narrows or shifts.
//!
//! At first that is a whole vocabulary, at the end often a handful. So ids, logits and weights lie side by side, for passes
//! of vector instructions ([`sampling`]), always in the order of ids; and what a sampler cannot keep is dropped by a bound
//! before the few that are left are selected from. No sort, nothing allocated once the buffers have grown. Weights are
//! exponentials of logits, made only when a sampler asks for them after logits have changed.

use std::cmp::Ordering;

use crate::kernels::arg_max::arg_max;
use crate::kernels::{Isa, sampling};

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
#[derive(Debug)]
pub(super) struct Candidates {
    isa: Isa,
    /// Ascending.
    ids: Vec<u32>,
    logits: Vec<f32>,
    weights: Vec<f32>,
    weighed: bool,
    /// Scratch: places among the candidates.
    places: Vec<u32>,
    /// Scratch: logits to select from.
    selection: Vec<f32>,
}

impl Candidates {
    /// None yet.
    pub(super) fn new() -> Candidates {
        let (ids, places) = (Vec::new(), Vec::new());
        let (logits, weights, selection) = (Vec::new(), Vec::new(), Vec::new());
        Candidates { isa: Isa::best(), ids, logits, weights, weighed: false, places, selection }
    }

    /// Begins anew with those of `logits` (V) that are above minus infinity and `allowed`.
    pub(super) fn fill(&mut self, logits: &[f32], allowed: Option<&dyn Fn(u32) -> bool>) {
        self.weighed = false;
        self.ids.clear();
        self.ids.extend(0..logits.len() as u32);
        self.logits.clear();
        self.logits.extend(logits.iter().map(|&logit| bounded(logit)));
        self.weights.resize(logits.len(), 0.0);
        let has_impossible = logits.iter().fold(false, |any, &logit| any | (logit == f32::NEG_INFINITY));
        if has_impossible || allowed.is_some() {
            self.retain(|c| logits[c.id as usize] > f32::NEG_INFINITY && allowed.is_none_or(|allowed| allowed(c.id)));
        }
    }

    /// All of them, in the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = Candidate> {
        (0..self.len()).map(|place| self.at(place))
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    fn at(&self, place: usize) -> Candidate {
        Candidate { id: self.ids[place], logit: self.logits[place], weight: self.weights[place] }
    }

    /// The candidate with the highest logit, of the lowest id among equals.
    pub(super) fn best(&self) -> Candidate {
        self.at(arg_max(self.isa, &self.logits).expect("a sampler leaves at least one candidate"))
    }

    /// Gives every candidate the logit that `shift` makes of it.
    pub(super) fn shift(&mut self, shift: impl Fn(u32, f32) -> f32) {
        self.weighed = false;
        for (&id, logit) in self.ids.iter().zip(&mut self.logits) {
            *logit = bounded(shift(id, *logit));
        }
    }

    /// Adds `bias` to the logit of a token, or drops it where that is minus infinity.
    pub(super) fn bias(&mut self, id: u32, bias: f32) {
        if bias == f32::NEG_INFINITY {
            self.drop_id(id);
        } else if let Ok(place) = self.ids.binary_search(&id) {
            self.logits[place] = bounded(self.logits[place] + bias);
        }
    }

    /// Drops one token, if it is there.
    pub(super) fn drop_id(&mut self, id: u32) {
        if let Ok(place) = self.ids.binary_search(&id) {
            self.ids.remove(place);
            self.logits.remove(place);
            self.weights.remove(place);
        }
    }

    /// Keeps those for which `keep` holds.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Candidate) -> bool) {
        let mut places = std::mem::take(&mut self.places);
        places.clear();
        places.extend((0..self.len() as u32).filter(|&place| keep(&self.at(place as usize))));
        self.keep_places(places);
    }

    /// Keeps those whose logit is at least `least`.
    pub(super) fn retain_logits(&mut self, least: f32) {
        let mut places = std::mem::take(&mut self.places);
        sampling::places_at_least(self.isa, &self.logits, least, &mut places);
        self.keep_places(places);
    }

    /// Keeps those whose weight is at least `least`; weigh them first.
    fn retain_weights(&mut self, least: f32) {
        let mut places = std::mem::take(&mut self.places);
        sampling::places_at_least(self.isa, &self.weights, least, &mut places);
        self.keep_places(places);
    }

    /// Keeps those at `places`, which are ascending, and takes the buffer back.
    fn keep_places(&mut self, places: Vec<u32>) {
        if places.len() < self.len() {
            for (to, &from) in places.iter().enumerate() {
                let from = from as usize;
                self.ids[to] = self.ids[from];
                self.logits[to] = self.logits[from];
                self.weights[to] = self.weights[from];
            }
            self.truncate(places.len());
        }
        self.places = places;
    }

    fn truncate(&mut self, n: usize) {
        self.ids.truncate(n);
        self.logits.truncate(n);
        self.weights.truncate(n);
    }

    /// Keeps only `candidate`.
    pub(super) fn keep_one(&mut self, candidate: Candidate) {
        self.truncate(1);
        (self.ids[0], self.logits[0], self.weights[0]) = (candidate.id, candidate.logit, 1.0);
        self.weighed = true;
    }

    /// Sees to it that weights are those of the logits, and drops what is too improbable to have one.
    pub(super) fn weigh(&mut self) {
        if self.weighed {
            return;
        }
        let highest = self.best().logit;
        sampling::exps_below(self.isa, &self.logits, highest, &mut self.weights);
        self.weighed = true;
        if self.weights.contains(&0.0) {
            self.retain_weights(f32::MIN_POSITIVE);
        }
    }

    /// The sum of all weights; weigh them first.
    pub(super) fn mass(&self) -> f64 {
        sampling::sum(self.isa, &self.weights)
    }

    /// Keeps the `n` most probable, or all if there are not so many; of equals those of the lowest ids.
    pub(super) fn keep_first(&mut self, n: usize) {
        if n == 0 || n >= self.len() {
            return;
        }
        sampling::largest_of_chunks(self.isa, &self.logits, &mut self.selection);
        if n < self.selection.len() {
            let least = nth_largest(&mut self.selection, n);
            self.retain_logits(least);
        }
        self.selection.clear();
        self.selection.extend_from_slice(&self.logits);
        let least = nth_largest(&mut self.selection, n);
        let n_above = self.logits.iter().filter(|&&logit| logit > least).count();
        let mut n_equal = n - n_above;
        self.retain(|c| {
            let is_kept = c.logit > least || (c.logit == least && n_equal > 0);
            n_equal -= usize::from(is_kept && c.logit == least);
            is_kept
        });
    }

    /// Keeps the fewest, most probable ones that together hold `share` (below 1) of the probability.
    pub(super) fn keep_most_probable(&mut self, share: f32) {
        self.weigh();
        let mass = self.mass();
        // All that are below this hold less, together, than what may be dropped. A little less, as it is rounded.
        let least = (1.0 - f64::from(share)) * mass / self.len() as f64;
        self.retain_weights((0.999 * least) as f32);
        self.keep_fewest(f64::from(share) * mass, by_logit);
    }

    /// Keeps the fewest, first ones in the order of `by`, that together hold `share` of the probability.
    pub(super) fn keep_share(&mut self, share: f32, by: impl Fn(&Candidate, &Candidate) -> Ordering) {
        self.weigh();
        self.keep_fewest(f64::from(share) * self.mass(), by);
    }

    fn keep_fewest(&mut self, wanted: f64, by: impl Fn(&Candidate, &Candidate) -> Ordering) {
        let mut places = std::mem::take(&mut self.places);
        places.clear();
        places.extend(0..self.len() as u32);
        let at = |place: &u32| self.at(*place as usize);
        let n = fewest_holding(&mut places, wanted, |place| at(place).weight, |a, b| by(&at(a), &at(b)));
        places.truncate(n);
        places.sort_unstable();
        self.keep_places(places);
    }
}

/// Within the bound; adding zero makes the two zeros one, which a total order would tell apart.
fn bounded(logit: f32) -> f32 {
    logit.clamp(-LARGEST_LOGIT, LARGEST_LOGIT) + 0.0
}

/// The n-th largest (from 1) of `values`, which are reordered.
fn nth_largest(values: &mut [f32], n: usize) -> f32 {
    *values.select_nth_unstable_by(n - 1, |a, b| b.total_cmp(a)).1
}

/// Reorders so that the fewest first places whose weights reach `wanted` come first, and returns how many they are (at
/// least one). A binary search whose every step halves what is left to select from: linear, no sort.
fn fewest_holding(
    places: &mut [u32],
    wanted: f64,
    weight: impl Fn(&u32) -> f32,
    by: impl Fn(&u32, &u32) -> Ordering,
) -> usize {
    // Always: the first `low` hold less than `wanted`, the first `high` hold it.
    let (mut low, mut high, mut held) = (0, places.len(), 0.0);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        places[low..high].select_nth_unstable_by(middle - low, &by);
        let with_left = held + places[low..middle].iter().map(|place| f64::from(weight(place))).sum::<f64>();
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

    fn of(logits: &[f32]) -> Candidates {
        let mut candidates = Candidates::new();
        candidates.fill(logits, None);
        candidates
    }

    fn ids(candidates: &Candidates) -> Vec<u32> {
        candidates.iter().map(|c| c.id).collect()
    }

    /// The first `n` ids of a full sort, ascending.
    fn first_of_sort(logits: &[f32], n: usize) -> Vec<u32> {
        let mut sorted: Vec<u32> = (0..logits.len() as u32).collect();
        sorted.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
        sorted.truncate(n);
        sorted.sort_unstable();
        sorted
    }

    proptest! {
        #[test]
        fn the_first_are_those_of_a_full_sort_and_of_equals_the_lowest_ids(
            // Few values, so that there are many equals.
            logits in prop::collection::vec((-20i8..20).prop_map(f32::from), 1..700),
            n in 1usize..100,
        ) {
            let mut candidates = of(&logits);
            candidates.keep_first(n);
            prop_assert_eq!(ids(&candidates), first_of_sort(&logits, n));
        }

        #[test]
        fn the_fewest_that_hold_a_share_are_those_of_a_full_sort(
            logits in prop::collection::vec(-12f32..3.0, 1..700),
            share in 0.001f32..0.999,
        ) {
            let mut candidates = of(&logits);
            candidates.weigh();
            let (mass, weights) = (candidates.mass(), candidates.weights.clone());
            candidates.keep_most_probable(share);
            let n = candidates.len();
            prop_assert_eq!(ids(&candidates), first_of_sort(&logits, n));
            // Sums in another order round differently, so the border is judged with a margin.
            let held = |n| first_of_sort(&logits, n).iter().map(|&id| f64::from(weights[id as usize])).sum::<f64>() / mass;
            prop_assert!(held(n) >= f64::from(share) - 1e-9, "{} hold {}", n, held(n));
            prop_assert!(n == 1 || held(n - 1) < f64::from(share) + 1e-9, "{} hold {}", n - 1, held(n - 1));
        }
    }

    #[test]
    fn extreme_logits_stay_finite_and_comparable() {
        let mut candidates = of(&[f32::MAX, f32::MIN, 0.0, f32::NEG_INFINITY]);
        assert_eq!(ids(&candidates), [0, 1, 2]);
        candidates.shift(|_, logit| logit * f32::MAX);
        assert!(candidates.iter().all(|c| c.logit.is_finite()));
        candidates.weigh();
        assert_eq!(ids(&candidates), [0]);
    }

    #[test]
    fn what_is_forbidden_or_impossible_is_no_candidate() {
        let mut candidates = Candidates::new();
        candidates.fill(&[1.0, f32::NEG_INFINITY, 2.0, 3.0, 0.5], Some(&|id| id != 3));
        assert_eq!(ids(&candidates), [0, 2, 4]);
        assert_eq!(candidates.best().id, 2);
        candidates.bias(4, 10.0);
        candidates.bias(2, f32::NEG_INFINITY);
        candidates.bias(3, 50.0);
        assert_eq!((ids(&candidates), candidates.best().id), (vec![0, 4], 4));
    }
}
