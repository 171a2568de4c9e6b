//! Where the loop meets the clock: which milestones a run follows, and what is still to be paid for when it sets its own.
//!
//! Times are seconds on a clock that is handed in, so that tests can hand in their own. What is read from it decides the
//! milestones of a run by minutes, and when checkpoints are written; it decides nothing else.

use super::Trainer;
use crate::model::Config;
use crate::training::observer::Observer;
use crate::training::pace::{Milestone, Outlook, Pacer};
use crate::training::settings::{Length, Settings};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Seconds since some moment: where the run is by minutes, the moment from which these count.
pub(super) type Clock<'a> = Box<dyn Fn() -> f64 + 'a>;

/// A clock that starts now.
pub(super) fn since_now() -> Clock<'static> {
    let began = Instant::now();
    Box::new(move || began.elapsed().as_secs_f64())
}

/// What parts of a run took when they were last timed, in seconds; `None` before that. Nothing but the milestones of a run
/// by minutes depends on them.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Costs {
    /// A step.
    pub step_s: Option<f64>,
    /// An evaluation with its sample, over several.
    pub evaluation_s: Option<f64>,
    /// A held-out token.
    pub token_s: Option<f64>,
    /// A checkpoint.
    pub save_s: f64,
}

/// What says where the milestones are.
pub(super) enum Guide {
    /// They are known: the run by steps has one, the run that is repeated had these.
    Recorded(Vec<Milestone>),
    /// The clock.
    Clock(Pacer),
}

impl Guide {
    /// Recorded milestones where there are any; a run by steps has one, with evaluations as its settings say. `step_s` is
    /// what a step took in an earlier sitting.
    pub(super) fn new(settings: &Settings, config: &Config, step_s: Option<f64>) -> Guide {
        match settings.length {
            Length::Steps(end) => {
                let n_evaluations = settings.evaluations_in(end, config);
                Guide::Recorded(vec![Milestone { step: 0, fraction: 0.0, end, n_evaluations }])
            }
            Length::Minutes(minutes) if settings.is_by_clock() => Guide::Clock(Pacer::new(60.0 * minutes, step_s)),
            Length::Minutes(_) => Guide::Recorded(settings.milestones.clone()),
        }
    }

    /// The steps of the run, or its minutes where the clock has a say.
    pub(super) fn length(&self, settings: &Settings) -> (Option<u64>, Option<f64>) {
        match (self, settings.length) {
            (Guide::Clock(_), Length::Minutes(minutes)) => (None, Some(minutes)),
            (Guide::Clock(_), Length::Steps(n_steps)) => (Some(n_steps), None),
            (Guide::Recorded(milestones), _) => (milestones.last().map(|last| last.end), None),
        }
    }
}

impl<'a> Trainer<'a> {
    /// Takes the time from `clock`: in a run by minutes these count from its zero, and the last `reports_s` seconds of them
    /// are left for what follows the training.
    pub fn timed_by(mut self, clock: impl Fn() -> f64 + 'a, reports_s: f64) -> Trainer<'a> {
        self.read_at_s = if matches!(self.guide, Guide::Clock(_)) { 0.0 } else { clock() };
        self.clock = Box::new(clock);
        self.reports_s = reports_s;
        self
    }

    /// Whether most of a run's minutes were gone before its first step.
    pub(super) fn begins_late(&self) -> bool {
        let is_new = self.progress.step == 0 && matches!(self.guide, Guide::Clock(_));
        is_new && matches!(self.settings.length, Length::Minutes(minutes) if self.progress.elapsed_s > 30.0 * minutes)
    }

    /// Brings the elapsed time up to date and returns it.
    pub(super) fn read_clock(&mut self) -> f64 {
        let now_s = (self.clock)();
        self.progress.elapsed_s += now_s - self.read_at_s;
        self.read_at_s = now_s;
        self.progress.elapsed_s
    }

    /// Between two steps: takes the milestones that are recorded for this place, or what the clock says.
    pub(super) fn pace(&mut self) {
        let elapsed_s = self.read_clock();
        let (outlook, progress) = (self.outlook(), &mut self.progress);
        match &mut self.guide {
            Guide::Recorded(milestones) => progress.pace.follow(milestones, progress.step),
            Guide::Clock(pacer) => {
                progress.costs.step_s = pacer.step_s(&progress.pace);
                pacer.set(&mut progress.pace, progress.step, elapsed_s, &outlook);
            }
        }
    }

    /// What is to come apart from steps, as far as it can be told. Before the first evaluation: a token costs a third as
    /// much to judge as to learn from.
    fn outlook(&self) -> Outlook {
        let (settings, costs, n_valid) = (&self.settings, self.progress.costs, self.text.valid.n_tokens());
        let per_step = settings.tokens_per_step(self.network.config()) as f64;
        let learning_s = costs.step_s.unwrap_or(0.0) / per_step;
        let token_s = costs.token_s.unwrap_or(learning_s / 3.0);
        let judging_s = |n_tokens: usize| token_s * n_tokens.min(n_valid) as f64;
        let evaluation_s = costs.evaluation_s.unwrap_or(judging_s(settings.n_eval_tokens));
        // At the end there will be as many more tokens as there is more run; before the first milestone, what fits in.
        let n_seen = match (self.fraction_done(), settings.length) {
            (0.0, Length::Minutes(minutes)) => 60.0 * minutes / learning_s.max(1e-12),
            (fraction, _) => self.progress.n_tokens_seen as f64 / fraction.max(1e-6),
        };
        let last_s = judging_s(settings.last_eval_tokens(n_seen as u64));
        Outlook {
            evaluation_s: evaluation_s + costs.save_s,
            ending_s: evaluation_s + last_s + 2.0 * costs.save_s + self.reports_s,
            max_evaluations: settings.n_evaluations,
        }
    }

    /// In a run by the clock, writes a checkpoint; true if it did. The evaluation may replace the best weights on disk, and
    /// a run killed after that and resumed from an older checkpoint would meet other milestones and never make these
    /// weights again.
    pub(super) fn save_before_evaluating(&mut self, observer: &mut dyn Observer) -> Result<bool> {
        let is_needed = matches!(self.guide, Guide::Clock(_)) && self.text.valid.n_tokens() > 1;
        if is_needed {
            self.save(observer)?;
        }
        Ok(is_needed)
    }
}
