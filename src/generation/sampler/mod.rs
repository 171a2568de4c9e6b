//! From logits to the next id: a chain of samplers over the distribution, then one draw.
//!
//! Before the chain come the rules that hold whatever the distribution: what a grammar allows, biases, bad words, and that
//! a text does not end too early. Then the samplers work in the order of [`Order`], each on what the one before it left.
//! All is linear in the vocabulary, and a token allocates nothing once the buffers have grown.
//!
//! The module knows nothing of models, and of text only what [`Sampler::prepare`] looks up in a vocabulary.

mod candidates;
mod config;
mod dry;
mod mirostat;
mod order;
mod penalties;
mod settings;
mod temperature;
#[cfg(test)]
mod tests;
mod truncation;
mod vocabulary;
mod xtc;

use anyhow::{Result, bail, ensure};

use crate::kernels::Isa;
use crate::kernels::random::Random;
use crate::kernels::sampling::all_below_infinity;
use crate::tokenizer::Tokenizer;
use candidates::{Candidate, Candidates, by_logit};
use dry::Dry;
use mirostat::Mirostat;
use penalties::Penalties;
use temperature::Temperature;
use truncation::{MinP, TopK, TopNSigma, TopP, Typical};
use vocabulary::Vocabulary;
use xtc::Xtc;

pub use config::{BiasedToken, SamplerConfig};
pub use order::{Order, Stage};
pub use settings::{SETTINGS, Setting};

/// Draws ids from logits, by a [`SamplerConfig`]. Its buffers are kept from token to token.
pub struct Sampler {
    config: SamplerConfig,
    stages: Vec<Stage>,
    random: Random,
    candidates: Candidates,
    /// A zero for each id, between uses.
    counts: Vec<u32>,
    passages: dry::Scratch,
    mirostat: Mirostat,
    vocabulary: Option<Vocabulary>,
    /// Ids that end the text, and tokens drawn of it so far.
    end_ids: Vec<u32>,
    n_drawn: usize,
}

impl Sampler {
    /// A sampler at the start of the random stream of `config.seed`; an error for a value outside its range.
    pub fn new(config: SamplerConfig) -> Result<Sampler> {
        config.validate()?;
        Ok(Sampler {
            stages: config.samplers.stages(config.mirostat_tau > 0.0),
            random: Random::new(config.seed, 0),
            candidates: Candidates::new(),
            counts: Vec::new(),
            passages: dry::Scratch::default(),
            mirostat: Mirostat::new(config.mirostat_tau),
            vocabulary: None,
            end_ids: Vec::new(),
            n_drawn: 0,
            config,
        })
    }

    /// The settings in force.
    pub fn config(&self) -> &SamplerConfig {
        &self.config
    }

    /// Changes the settings between tokens. The random stream goes on where it is, unless the seed changes. What was looked
    /// up in a vocabulary is forgotten.
    pub fn set_config(&mut self, config: SamplerConfig) -> Result<()> {
        let fresh = Sampler::new(config)?;
        let random = if fresh.config.seed == self.config.seed { self.random.clone() } else { fresh.random.clone() };
        *self = Sampler { random, ..fresh };
        Ok(())
    }

    /// Looks up in `tokenizer` what the settings say in words (bad words, biases, what breaks passages for DRY). To be
    /// called before the first token where there is any of these; it costs nothing where there is none, and nothing again.
    pub fn prepare(&mut self, tokenizer: &Tokenizer) -> Result<()> {
        if self.vocabulary.is_none() && Vocabulary::is_needed(&self.config) {
            self.vocabulary = Some(Vocabulary::new(&self.config, tokenizer)?);
        }
        Ok(())
    }

    /// A text begins that ends with one of `end_ids`: mirostat and the least number of tokens begin anew.
    pub fn start(&mut self, end_ids: &[u32]) {
        self.end_ids.clear();
        self.end_ids.extend_from_slice(end_ids);
        self.n_drawn = 0;
        self.mirostat = Mirostat::new(self.config.mirostat_tau);
    }

    /// The next id after `history` (all ids so far), given the model's `logits` (V). An error when a logit is not a number,
    /// or when no token is possible.
    pub fn sample(&mut self, logits: &[f32], history: &[u32]) -> Result<u32> {
        self.sample_allowed(logits, history, None)
    }

    /// The same where only some ids are allowed, as by a grammar.
    pub fn sample_allowed(
        &mut self,
        logits: &[f32],
        history: &[u32],
        allowed: Option<&dyn Fn(u32) -> bool>,
    ) -> Result<u32> {
        self.narrow(logits, history, allowed)?;
        let mass = self.candidates.mass();
        let drawn = self.draw(mass);
        if self.stages.last() == Some(&Stage::Mirostat) {
            let SamplerConfig { mirostat_tau, mirostat_eta, .. } = self.config;
            self.mirostat.drawn(f64::from(drawn.weight) / mass, mirostat_tau, mirostat_eta);
        }
        self.n_drawn += 1;
        Ok(drawn.id)
    }

    /// The distribution that [`Sampler::sample`] draws from: ids with their probabilities, most probable first.
    pub fn probabilities(&mut self, logits: &[f32], history: &[u32]) -> Result<Vec<(u32, f64)>> {
        self.narrow(logits, history, None)?;
        let (mass, mut sorted) = (self.candidates.mass(), self.candidates.iter().collect::<Vec<_>>());
        sorted.sort_unstable_by(by_logit);
        Ok(sorted.iter().map(|c| (c.id, f64::from(c.weight) / mass)).collect())
    }

    fn draw(&mut self, mass: f64) -> Candidate {
        if self.candidates.len() == 1 {
            return self.candidates.best();
        }
        let mut left = self.random.uniform() * mass;
        let drawn = self.candidates.iter().find(|candidate| {
            left -= f64::from(candidate.weight);
            left < 0.0
        });
        // Rounding can leave a crumb after the last one; every candidate has a weight above zero, so any is allowed.
        drawn.or_else(|| self.candidates.iter().last()).expect("there is a candidate")
    }

    /// Runs the rules and the chain; afterwards there is at least one candidate, and all have weights above zero.
    fn narrow(&mut self, logits: &[f32], history: &[u32], allowed: Option<&dyn Fn(u32) -> bool>) -> Result<()> {
        check(logits)?;
        ensure!(
            self.vocabulary.is_some() || (self.config.bad_words.is_empty() && self.config.logit_bias.is_empty()),
            "bad words and biases need a vocabulary: prepare the sampler first"
        );
        self.counts.resize(logits.len(), 0);
        self.candidates.fill(logits, allowed);
        self.forbid(history);
        if self.candidates.len() == 0 {
            bail!("no token is left that could be written: bad words, biases and the grammar forbid all of them");
        }
        for i in 0..self.stages.len() {
            self.apply(self.stages[i], history);
        }
        self.candidates.weigh();
        Ok(())
    }

    /// Biases, bad words, and no end before the least number of tokens.
    fn forbid(&mut self, history: &[u32]) {
        let (candidates, counts) = (&mut self.candidates, &mut self.counts);
        if let Some(vocabulary) = &mut self.vocabulary {
            vocabulary.bias().iter().for_each(|&(id, bias)| candidates.bias(id, bias));
            if !self.config.bad_words.is_empty() {
                vocabulary.each_bad(history, |id| counts[id as usize] = 1);
                candidates.retain(|c| counts[c.id as usize] == 0);
                counts.fill(0);
            }
        }
        if self.n_drawn < self.config.min_tokens {
            self.end_ids.iter().for_each(|&id| candidates.drop_id(id));
        }
    }

    fn apply(&mut self, stage: Stage, history: &[u32]) {
        let (config, candidates) = (&self.config, &mut self.candidates);
        match stage {
            Stage::Penalties => Penalties {
                repetition: config.repetition_penalty,
                presence: config.presence_penalty,
                frequency: config.frequency_penalty,
            }
            .apply(candidates, last(history, config.repetition_window), &mut self.counts),
            Stage::Dry => {
                let window = if config.dry_window == 0 { usize::MAX } else { config.dry_window };
                let vocabulary = self.vocabulary.as_ref();
                Dry {
                    multiplier: config.dry_multiplier,
                    base: config.dry_base,
                    allowed_length: config.dry_allowed_length,
                    breaks: &|id| vocabulary.is_some_and(|vocabulary| vocabulary.breaks(id)),
                }
                .apply(candidates, last(history, window), &mut self.counts, &mut self.passages);
            }
            Stage::TopNSigma => TopNSigma(config.top_n_sigma).apply(candidates),
            Stage::Temperature => Temperature(config.temperature).apply(candidates),
            Stage::TopK => TopK(config.top_k).apply(candidates),
            Stage::Typical => Typical(config.typical_p).apply(candidates),
            Stage::TopP => TopP(config.top_p).apply(candidates),
            Stage::MinP => MinP(config.min_p).apply(candidates),
            Stage::Xtc => {
                if config.xtc_probability > 0.0 && self.random.uniform() < f64::from(config.xtc_probability) {
                    Xtc { threshold: config.xtc_threshold }.apply(candidates);
                }
            }
            Stage::Mirostat if config.mirostat_tau > 0.0 => self.mirostat.apply(candidates),
            Stage::Mirostat => {}
        }
    }
}

/// The last `n` of `history`, or all.
fn last(history: &[u32], n: usize) -> &[u32] {
    &history[history.len().saturating_sub(n)..]
}

/// Rejects logits that nothing can be drawn from.
fn check(logits: &[f32]) -> Result<()> {
    if !all_below_infinity(Isa::best(), logits) {
        // A diverged training run shows itself here first.
        let (id, logit) = logits
            .iter()
            .enumerate()
            .find(|(_, logit)| logit.is_nan() || **logit == f32::INFINITY)
            .expect("not all are");
        bail!(
            "the model's logit of token {id} is {logit}: its weights are broken, retrain or choose another checkpoint"
        );
    }
    ensure!(
        logits.iter().any(|&logit| logit > f32::NEG_INFINITY),
        "none of the model's {} logits is finite: no token can be chosen",
        logits.len()
    );
    Ok(())
}
