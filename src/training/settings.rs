//! What a person (or a preset) decides about a run, apart from the shape of the model.

use super::lora::LoraSettings;
use super::optimizer::{MuonSettings, OptimizerSettings};
use super::pace::Milestone;
use super::recipe::Recipe;
use super::schedule::Schedule;
use crate::kernels::gemm::Precision;
use crate::model::Config;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Held-out tokens that an evaluation during the run looks at: enough to tell 1 % apart on most texts.
const N_EVAL_TOKENS: usize = 16_384;

/// The last evaluation of a run by minutes looks at this many held-out tokens for each one learned from.
const LAST_EVAL_SHARE: f64 = 0.3;

/// Evaluations over a run, where they cost little beside the training.
const N_EVALUATIONS: u64 = 25;

/// When a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// After so many steps: the result is a function of the seed.
    Steps(u64),
    /// After so many minutes from the start of the command: the clock sets the pace, so two runs differ a little, unless
    /// one is given the milestones of the other.
    Minutes(f64),
}

/// Everything about a run that a resumed run must know again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Sequences in a batch (B).
    pub batch: usize,
    /// Batches whose gradients are added up for one step.
    pub n_accumulate: usize,
    /// Learning rate at its highest.
    pub lr: f64,
    /// The rate over the run.
    pub schedule: Schedule,
    /// AdamW's constants.
    pub optimizer: OptimizerSettings,
    /// The other parts of the learning recipe.
    #[serde(default)]
    pub recipe: Recipe,
    /// Adapters to learn, instead of all weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraSettings>,
    /// What matrix products multiply.
    #[serde(default)]
    pub precision: Precision,
    /// When the run ends.
    pub length: Length,
    /// The milestones of a run by minutes, to be followed instead of the clock; empty while the clock has yet to set them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub milestones: Vec<Milestone>,
    /// Decides the first weights and the order of the text.
    pub seed: u64,
    /// Evaluations over the run, evenly spread.
    pub n_evaluations: u64,
    /// Held-out tokens an evaluation during the run looks at; for the last one see
    /// [`last_eval_tokens`](Settings::last_eval_tokens).
    pub n_eval_tokens: usize,
    /// Evaluations without a new best after which the run stops; none never stops it.
    pub patience: Option<u64>,
    /// Seconds between checkpoints: what a power cut can cost.
    pub save_every_s: f64,
}

impl Settings {
    /// Settings that suit most corpora, for a model of shape `config`.
    ///
    /// The rate falls with the root of the width from 4e-3 at 128, which QK-norm tolerates: on tiny Shakespeare, after a
    /// minute of `nano` with AdamW, it gave 2.41 held-out bits per byte where 8e-3 gave 2.45. With the same rate Muon for the
    /// blocks' matrices gave 0.486 after 45 seconds on the bundled stories, AdamW throughout 0.592, twice the rate 0.495.
    pub fn for_model(config: &Config, length: Length, seed: u64) -> Settings {
        Settings {
            batch: (tokens_per_step_for(config.n_embd) / config.block_size).max(1),
            n_accumulate: 1,
            lr: 4e-3 * (128.0 / config.n_embd as f64).sqrt(),
            schedule: Schedule { n_warmup: 40, warmdown: 0.6, last: 0.02 },
            optimizer: OptimizerSettings {
                beta2: 0.98,
                muon: Some(MuonSettings::default()),
                ..OptimizerSettings::default()
            },
            recipe: Recipe { short_contexts: config.block_size.is_multiple_of(4), ..Recipe::default() },
            lora: None,
            precision: Precision::F32,
            length,
            milestones: vec![],
            seed,
            n_evaluations: N_EVALUATIONS,
            n_eval_tokens: N_EVAL_TOKENS,
            patience: Some(5),
            save_every_s: 20.0,
        }
    }

    /// Rejects settings with which no run can be made; each error names the value and its limits.
    pub fn validate(&self) -> Result<()> {
        ensure!(self.batch >= 1, "batch is 0, but a step needs at least 1 sequence");
        ensure!(self.n_accumulate >= 1, "accumulate is 0, but a step needs at least 1 batch");
        ensure!(self.lr > 0.0 && self.lr <= 1.0, "lr is {}, but must be above 0 and at most 1", self.lr);
        let warmdown = self.schedule.warmdown;
        ensure!((0.0..=1.0).contains(&warmdown), "warmdown is {warmdown}, but must be between 0 and 1");
        self.optimizer.validate()?;
        self.recipe.validate()?;
        ensure!(self.patience != Some(0), "patience is 0, but at least 1 evaluation must pass before a stop");
        match self.length {
            Length::Steps(n) => ensure!(n >= 1, "steps is 0, but a run needs at least 1"),
            Length::Minutes(m) => {
                ensure!(m > 0.0 && m.is_finite(), "minutes is {m}, but must be above 0");
            }
        }
        for pair in self.milestones.windows(2) {
            let goes_on = pair[0].step <= pair[1].step && pair[0].fraction <= pair[1].fraction;
            ensure!(goes_on, "the milestones go back after step {}: run.json is not as it was written", pair[0].step);
        }
        let is_sound = |m: &Milestone| m.step <= m.end && (0.0..=1.0).contains(&m.fraction);
        ensure!(self.milestones.iter().all(is_sound), "a milestone ends before it begins: run.json was changed");
        Ok(())
    }

    /// Evaluations over a run of `n_steps`, so few that they cost some 5 % of its time: a token costs a third as much to
    /// judge as to learn from.
    pub fn evaluations_in(&self, n_steps: u64, config: &Config) -> u64 {
        let n_affordable = n_steps * self.tokens_per_step(config) * 3 / 20 / self.n_eval_tokens.max(1) as u64;
        n_affordable.clamp(4, self.n_evaluations.max(4))
    }

    /// Whether the clock has yet to say how many steps the run has.
    pub fn is_by_clock(&self) -> bool {
        matches!(self.length, Length::Minutes(_)) && self.milestones.is_empty()
    }

    /// Held-out tokens that the last evaluation of a run that saw `n_tokens_seen` looks at: all, but in a run by minutes no
    /// more than take about a tenth of the time of the learning. A function of the run and not of the clock.
    pub fn last_eval_tokens(&self, n_tokens_seen: u64) -> usize {
        match self.length {
            Length::Steps(_) => usize::MAX,
            Length::Minutes(_) => self.n_eval_tokens.max((n_tokens_seen as f64 * LAST_EVAL_SHARE) as usize),
        }
    }

    /// Tokens that one step learns from.
    pub fn tokens_per_step(&self, config: &Config) -> u64 {
        (self.batch * self.n_accumulate * config.block_size) as u64
    }
}

/// Tokens a step. Small models get short runs, and many small steps learn most from those (45 seconds of `nano` on the
/// bundled stories: 0.486 held-out bits per byte with 1,024 tokens a step, 0.492 with 2,048); larger ones get longer runs,
/// where steadier gradients and the better use of the matrix kernels count for more.
fn tokens_per_step_for(width: usize) -> usize {
    match width {
        0..=192 => 1024,
        193..=384 => 2048,
        _ => 4096,
    }
}
