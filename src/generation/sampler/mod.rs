//! From logits to the next id: a chain of filters over the distribution, then one draw.
//!
//! The order is fixed: repetition penalty, temperature, top-k, top-p, min-p. The penalty comes first because it is
//! defined on logits (Keskar et al., "CTRL", arXiv 1909.05858). Temperature comes before the filters, so that top-p
//! (Holtzman et al., arXiv 1904.09751) and min-p (Nguyen et al., arXiv 2407.01082) judge the very distribution that is
//! drawn from, and a warmer setting really lets more tokens through. Top-k comes before top-p because it bounds the
//! work; min-p is last because it only looks at the best candidate, which no other filter removes.
//!
//! Everything is linear in the vocabulary: selection instead of sorting, also for top-p. The module knows nothing of
//! text and of models.

use anyhow::{Result, bail, ensure};

use crate::kernels::random::Random;

/// How the next token is chosen. Every filter has a value that turns it off.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplerConfig {
    /// Divides the logits: below 1 safer, above 1 wilder; 0 always takes the most probable token.
    pub temperature: f32,
    /// Keeps the k most probable tokens; 0 is off.
    pub top_k: usize,
    /// Keeps the fewest most probable tokens that hold this share of the probability; 1 is off.
    pub top_p: f32,
    /// Drops tokens less probable than this share of the best one's probability; 0 is off.
    pub min_p: f32,
    /// Makes tokens of the window less likely by this factor; 1 is off.
    pub repetition_penalty: f32,
    /// How many of the last tokens the penalty looks at.
    pub repetition_window: usize,
    /// The same seed, settings and logits give the same tokens.
    pub seed: u64,
}

impl Default for SamplerConfig {
    fn default() -> SamplerConfig {
        SamplerConfig {
            temperature: 0.8,
            top_k: 0,
            top_p: 0.95,
            min_p: 0.05,
            repetition_penalty: 1.0,
            repetition_window: 64,
            seed: 0,
        }
    }
}

impl SamplerConfig {
    /// Rejects a value outside its range; the error names the setting, the value and the range.
    pub fn validate(&self) -> Result<()> {
        in_range("temperature", self.temperature, 0.0, 100.0, "0 always takes the most probable token")?;
        in_range("top-p", self.top_p, f32::MIN_POSITIVE, 1.0, "1 is off")?;
        in_range("min-p", self.min_p, 0.0, 1.0, "0 is off")?;
        in_range("repetition-penalty", self.repetition_penalty, 0.1, 10.0, "1 is off")
    }
}

fn in_range(name: &str, value: f32, low: f32, high: f32, hint: &str) -> Result<()> {
    // The negated comparison also rejects NaN.
    if !(low..=high).contains(&value) {
        let low = if low == f32::MIN_POSITIVE { "above 0 and at most".to_string() } else { format!("from {low} to") };
        bail!("{name} is {value}, but must be {low} {high} ({hint})");
    }
    Ok(())
}

/// A token that may still be drawn.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    id: u32,
    /// exp((logit - best logit) / temperature): its probability up to a common factor; the best one's is 1.
    weight: f32,
}

/// Most probable first, the lower id first among equals: a total order, so that ties are never left to chance.
fn by_probability(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.weight.total_cmp(&a.weight).then(a.id.cmp(&b.id))
}

/// Draws ids from logits, by a [`SamplerConfig`]. Its buffers are kept from token to token.
pub struct Sampler {
    config: SamplerConfig,
    random: Random,
    logits: Vec<f32>,
    candidates: Vec<Candidate>,
}

impl Sampler {
    /// A sampler at the start of the random stream of `config.seed`; an error for a value outside its range.
    pub fn new(config: SamplerConfig) -> Result<Sampler> {
        config.validate()?;
        let random = Random::new(config.seed, 0);
        Ok(Sampler { config, random, logits: Vec::new(), candidates: Vec::new() })
    }

    /// The settings in force.
    pub fn config(&self) -> &SamplerConfig {
        &self.config
    }

    /// Changes the settings between tokens. The random stream goes on where it is, unless the seed changes.
    pub fn set_config(&mut self, config: SamplerConfig) -> Result<()> {
        config.validate()?;
        if config.seed != self.config.seed {
            self.random = Random::new(config.seed, 0);
        }
        self.config = config;
        Ok(())
    }

    /// The next id after `history` (all ids so far, of which the penalty's window is taken), given the model's
    /// `logits` (V). An error when a logit is not a number, or when no token is possible.
    pub fn sample(&mut self, logits: &[f32], history: &[u32]) -> Result<u32> {
        self.filter(logits, history)?;
        if let [only] = self.candidates[..] {
            return Ok(only.id);
        }
        let mass: f64 = mass(&self.candidates);
        let mut left = self.random.uniform() * mass;
        for candidate in &self.candidates {
            left -= f64::from(candidate.weight);
            if left < 0.0 {
                return Ok(candidate.id);
            }
        }
        // Rounding can leave a crumb after the last one; every candidate has a weight above zero, so any is allowed.
        Ok(self.candidates[self.candidates.len() - 1].id)
    }

    /// The distribution that [`Sampler::sample`] draws from: ids with their probabilities, most probable first.
    pub fn probabilities(&mut self, logits: &[f32], history: &[u32]) -> Result<Vec<(u32, f64)>> {
        self.filter(logits, history)?;
        self.candidates.sort_unstable_by(by_probability);
        let mass = mass(&self.candidates);
        Ok(self.candidates.iter().map(|c| (c.id, f64::from(c.weight) / mass)).collect())
    }

    /// Runs the chain; afterwards `candidates` holds at least one token, each of a weight above zero.
    fn filter(&mut self, logits: &[f32], history: &[u32]) -> Result<()> {
        self.penalise(logits, history);
        let best = best(&self.logits)?;
        self.candidates.clear();
        if self.config.temperature == 0.0 {
            self.candidates.push(Candidate { id: best as u32, weight: 1.0 });
            return Ok(());
        }
        let highest = self.logits[best];
        for (id, &logit) in self.logits.iter().enumerate() {
            // Divided, not multiplied by an inverse: the inverse of a tiny temperature is infinite, and 0 * inf is NaN.
            let weight = ((logit - highest) / self.config.temperature).exp();
            if weight > 0.0 {
                self.candidates.push(Candidate { id: id as u32, weight });
            }
        }
        self.keep_top_k();
        self.keep_top_p();
        let min_p = self.config.min_p;
        self.candidates.retain(|c| c.weight >= min_p); // the best one's weight is 1
        Ok(())
    }

    /// Copies the logits, those of recent tokens pushed down: a positive logit is divided by the penalty, a negative
    /// one multiplied. Computed from the model's own logit, so that a token seen twice is penalised once.
    fn penalise(&mut self, logits: &[f32], history: &[u32]) {
        self.logits.clear();
        self.logits.extend_from_slice(logits);
        let penalty = self.config.repetition_penalty;
        if penalty == 1.0 {
            return;
        }
        let recent = &history[history.len().saturating_sub(self.config.repetition_window)..];
        for &id in recent {
            if let Some(&logit) = logits.get(id as usize) {
                self.logits[id as usize] = if logit > 0.0 { logit / penalty } else { logit * penalty };
            }
        }
    }

    fn keep_top_k(&mut self) {
        let k = self.config.top_k;
        if k > 0 && k < self.candidates.len() {
            self.candidates.select_nth_unstable_by(k - 1, by_probability);
            self.candidates.truncate(k);
        }
    }

    fn keep_top_p(&mut self) {
        if self.config.top_p < 1.0 {
            let wanted = f64::from(self.config.top_p) * mass(&self.candidates);
            let n = nucleus(&mut self.candidates, wanted);
            self.candidates.truncate(n);
        }
    }
}

fn mass(candidates: &[Candidate]) -> f64 {
    candidates.iter().map(|c| f64::from(c.weight)).sum()
}

/// Reorders so that the fewest most probable candidates whose mass reaches `wanted` come first, and returns how many
/// they are (at least one). A binary search whose every step halves what is left to select from: linear, no sort.
fn nucleus(candidates: &mut [Candidate], wanted: f64) -> usize {
    // Always: the first `low` hold less than `wanted`, the first `high` hold it.
    let (mut low, mut high, mut held) = (0, candidates.len(), 0.0);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        candidates[low..high].select_nth_unstable_by(middle - low, by_probability);
        let with_left = held + mass(&candidates[low..middle]);
        if with_left >= wanted {
            high = middle;
        } else {
            (low, held) = (middle, with_left);
        }
    }
    high
}

/// The index of the highest logit, the lowest index on ties.
fn best(logits: &[f32]) -> Result<usize> {
    let mut best = None;
    for (id, &logit) in logits.iter().enumerate() {
        // A diverged training run shows itself here first.
        ensure!(
            !logit.is_nan() && logit < f32::INFINITY,
            "the model's logit of token {id} is {logit}: its weights are broken, retrain or choose another checkpoint"
        );
        if logit > best.map_or(f32::NEG_INFINITY, |b: usize| logits[b]) {
            best = Some(id);
        }
    }
    match best {
        Some(best) => Ok(best),
        None => bail!("none of the model's {} logits is finite: no token can be chosen", logits.len()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Everything off: the plain softmax.
    fn plain() -> SamplerConfig {
        SamplerConfig { temperature: 1.0, top_p: 1.0, min_p: 0.0, ..SamplerConfig::default() }
    }

    /// Logits of the distribution 0.5, 0.25, 0.15, 0.1, out of order.
    fn four() -> Vec<f32> {
        [0.15f32, 0.5, 0.1, 0.25].iter().map(|p| p.ln()).collect()
    }

    fn assert_distribution(config: SamplerConfig, logits: &[f32], history: &[u32], expected: &[(u32, f64)]) {
        let got = Sampler::new(config.clone()).unwrap().probabilities(logits, history).unwrap();
        assert_eq!(
            got.iter().map(|g| g.0).collect::<Vec<_>>(),
            expected.iter().map(|e| e.0).collect::<Vec<_>>(),
            "{config:?}"
        );
        for (got, expected) in got.iter().zip(expected) {
            assert!((got.1 - expected.1).abs() < 1e-6, "{config:?}: {got:?} instead of {expected:?}");
        }
    }

    #[test]
    fn filters_give_the_distributions_computed_by_hand() {
        let all = [(1, 0.5), (3, 0.25), (0, 0.15), (2, 0.1)];
        let two = [(1, 2.0 / 3.0), (3, 1.0 / 3.0)];
        let three = [(1, 0.5 / 0.9), (3, 0.25 / 0.9), (0, 0.15 / 0.9)];
        // Squares of the probabilities: 0.25, 0.0625, 0.0225, 0.01; their sum is 0.345.
        let cold = [(1, 0.25 / 0.345), (3, 0.0625 / 0.345), (0, 0.0225 / 0.345), (2, 0.01 / 0.345)];
        for (config, expected) in [
            (plain(), &all[..]),
            (SamplerConfig { temperature: 0.5, ..plain() }, &cold),
            (SamplerConfig { top_k: 2, ..plain() }, &two),
            (SamplerConfig { top_k: 9, ..plain() }, &all),
            (SamplerConfig { top_p: 0.7, ..plain() }, &two),
            (SamplerConfig { top_p: 0.8, ..plain() }, &three),
            (SamplerConfig { top_p: 0.001, ..plain() }, &[(1, 1.0)]),
            (SamplerConfig { min_p: 0.29, ..plain() }, &three),
            (SamplerConfig { min_p: 0.31, ..plain() }, &two),
            (SamplerConfig { min_p: 1.0, ..plain() }, &[(1, 1.0)]),
            // Top-p sees what top-k left: 0.5 of 0.75 is two thirds, enough for 0.6 alone.
            (SamplerConfig { top_k: 2, top_p: 0.6, ..plain() }, &[(1, 1.0)]),
            // Top-p sees the tempered distribution: 0.25 of 0.345 is above 0.7.
            (SamplerConfig { temperature: 0.5, top_p: 0.7, ..plain() }, &[(1, 1.0)]),
            (SamplerConfig { temperature: 0.0, ..plain() }, &[(1, 1.0)]),
        ] {
            assert_distribution(config, &four(), &[], expected);
        }
    }

    #[test]
    fn the_penalty_divides_positive_and_multiplies_negative_logits_once() {
        let config = SamplerConfig { repetition_penalty: 2.0, repetition_window: 3, ..plain() };
        // Token 0 lies outside the window; 1 and 2 are seen, one of them twice.
        let z = 2f64.exp() + 1f64.exp() + (-2f64).exp();
        let expected = [(0, 2f64.exp() / z), (1, 1f64.exp() / z), (2, (-2f64).exp() / z)];
        assert_distribution(config, &[2.0, 2.0, -1.0], &[0, 1, 2, 1], &expected);
    }

    #[test]
    fn greedy_takes_the_lowest_id_among_equals() {
        let mut sampler = Sampler::new(SamplerConfig { temperature: 0.0, ..plain() }).unwrap();
        assert_eq!(sampler.sample(&[0.0, 3.0, 3.0, 1.0], &[]).unwrap(), 1);
    }

    #[test]
    fn ties_at_the_border_of_a_filter_keep_the_lowest_ids() {
        let expected = [(0, 0.5), (1, 0.5)];
        assert_distribution(SamplerConfig { top_k: 2, ..plain() }, &[1.0; 8], &[], &expected);
        assert_distribution(SamplerConfig { top_p: 0.25, ..plain() }, &[1.0; 8], &[], &expected);
    }

    #[test]
    fn logits_that_are_no_numbers_are_an_error() {
        let mut sampler = Sampler::new(plain()).unwrap();
        for (logits, word) in [
            (vec![0.0, f32::NAN], "token 1 is NaN"),
            (vec![f32::INFINITY, 0.0], "token 0 is inf"),
            (vec![f32::NEG_INFINITY; 2], "none of the model's 2 logits"),
            (vec![], "none of the model's 0 logits"),
        ] {
            let error = sampler.sample(&logits, &[]).unwrap_err().to_string();
            assert!(error.contains(word), "{logits:?}: {error}");
        }
    }

    #[test]
    fn a_value_outside_its_range_is_named_with_the_range() {
        for (config, words) in [
            (SamplerConfig { temperature: -1.0, ..plain() }, ["temperature is -1", "from 0 to 100"]),
            (SamplerConfig { temperature: f32::NAN, ..plain() }, ["temperature is NaN", "from 0 to 100"]),
            (SamplerConfig { top_p: 0.0, ..plain() }, ["top-p is 0", "above 0 and at most 1"]),
            (SamplerConfig { min_p: 1.5, ..plain() }, ["min-p is 1.5", "from 0 to 1"]),
            (SamplerConfig { repetition_penalty: 0.0, ..plain() }, ["repetition-penalty is 0", "from 0.1 to 10"]),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_tokens_as_often_as_their_probabilities_say() {
        let draw = |seed| {
            let mut sampler = Sampler::new(SamplerConfig { seed, ..plain() }).unwrap();
            (0..10_000).map(|_| sampler.sample(&four(), &[]).unwrap()).collect::<Vec<_>>()
        };
        let ids = draw(7);
        assert_eq!(ids, draw(7));
        assert_ne!(ids, draw(8));
        for (id, p) in [(1, 0.5), (3, 0.25), (0, 0.15), (2, 0.1)] {
            let share = ids.iter().filter(|&&i| i == id).count() as f64 / 10_000.0;
            // Four standard errors of a share of 10,000 draws.
            assert!((share - p).abs() < 4.0 * (p * (1.0 - p) / 10_000.0f64).sqrt(), "token {id}: {share}, not {p}");
        }
    }

    #[test]
    fn changed_settings_keep_the_random_stream_unless_the_seed_changes() {
        let mut sampler = Sampler::new(plain()).unwrap();
        sampler.sample(&four(), &[]).unwrap();
        let counter = sampler.random.counter();
        sampler.set_config(SamplerConfig { top_k: 3, ..plain() }).unwrap();
        assert_eq!(sampler.random.counter(), counter);
        sampler.set_config(SamplerConfig { seed: 1, ..plain() }).unwrap();
        assert_eq!(sampler.random.counter(), 0);
        assert!(sampler.set_config(SamplerConfig { top_p: 2.0, ..plain() }).is_err());
        assert_eq!(sampler.config().top_p, 1.0);
    }

    proptest! {
        #[test]
        fn any_setting_leaves_a_proper_distribution_and_draws_from_it(
            logits in prop::collection::vec(prop_oneof![-50f32..50.0, Just(f32::NEG_INFINITY), Just(0.0)], 1..300),
            temperature in prop_oneof![Just(0f32), Just(1e-40), 0.01f32..100.0],
            top_k in 0usize..320,
            top_p in prop_oneof![Just(1.0f32), 1e-6f32..1.0],
            min_p in 0f32..=1.0,
            repetition_penalty in 0.1f32..10.0,
            history in prop::collection::vec(0u32..400, 0..100),
            seed: u64,
        ) {
            prop_assume!(logits.iter().any(|l| l.is_finite()));
            let config = SamplerConfig { temperature, top_k, top_p, min_p, repetition_penalty, repetition_window: 64, seed };
            let mut sampler = Sampler::new(config).unwrap();
            let probabilities = sampler.probabilities(&logits, &history).unwrap();
            prop_assert!(!probabilities.is_empty());
            prop_assert!(top_k == 0 || probabilities.len() <= top_k);
            prop_assert!((probabilities.iter().map(|p| p.1).sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(probabilities.iter().all(|p| p.1 > 0.0));
            let id = sampler.sample(&logits, &history).unwrap();
            prop_assert!(probabilities.iter().any(|p| p.0 == id));
            prop_assert!(logits[id as usize] > f32::NEG_INFINITY);
        }

        #[test]
        fn the_nucleus_is_that_of_a_full_sort(weights in prop::collection::vec(1e-6f32..1.0, 1..200), p in 0.001f64..0.999) {
            let mut candidates: Vec<_> =
                weights.iter().enumerate().map(|(id, &weight)| Candidate { id: id as u32, weight }).collect();
            let mut sorted = candidates.clone();
            sorted.sort_by(by_probability);
            let wanted = p * mass(&candidates);
            let n = nucleus(&mut candidates, wanted);
            // Sums in another order round differently, so the border is judged with a margin.
            prop_assert!(mass(&sorted[..n]) >= wanted - 1e-9);
            prop_assert!(n == 1 || mass(&sorted[..n - 1]) < wanted + 1e-9);
            let ids = |c: &[Candidate]| { let mut ids: Vec<_> = c.iter().map(|c| c.id).collect(); ids.sort(); ids };
            prop_assert_eq!(ids(&candidates[..n]), ids(&sorted[..n]));
        }
    }
}
