//! What the planner finds out by doing: how long steps take on this machine, and what a short run makes of this text.

use super::bench::time_steps;
use super::evaluate::evaluate;
use super::forecast::Pilot;
use super::network::{Batch, Network};
use super::optimizer::Optimizer;
use super::plan::Plan;
use super::trainer::Text;
use crate::data::loader::{Loader, LoaderState};
use crate::kernels::Cpu;
use crate::model::{Layout, initial_weights};
use anyhow::Result;
use std::time::Instant;

/// Steps that are timed, after [`N_WARMUP`](super::bench::N_WARMUP) others.
pub const N_TIMED: usize = 3;

/// Steps of a pilot: enough that the text shows its nature, few enough that they cost little where steps are short.
const PILOT_STEPS: (u64, u64) = (12, 400);

/// Steps from zero to the full rate.
const PILOT_WARMUP: u64 = 10;

/// Share of a pilot's time that its steps take; evaluating takes the rest.
const PILOT_LEARNING_SHARE: f64 = 0.8;

/// Where the planner's questions are answered.
pub trait Probe {
    /// Seconds of one of the plan's steps.
    fn step_s(&mut self, plan: &Plan) -> f64;

    /// A run of about `seconds` in the manner of `plan`; `None` where no text is held out.
    fn pilot(&mut self, plan: &Plan, seconds: f64) -> Result<Option<Pilot>>;
}

/// This machine and this text.
pub struct Here<'a> {
    /// The machine.
    pub cpu: &'a Cpu,
    /// The text.
    pub text: Text<'a>,
}

impl Probe for Here<'_> {
    fn step_s(&mut self, plan: &Plan) -> f64 {
        let s = &plan.settings;
        let timed = time_steps(self.cpu, &plan.config, s.batch, N_TIMED, s.precision, s.optimizer);
        timed.median_s() * s.n_accumulate as f64
    }

    fn pilot(&mut self, plan: &Plan, seconds: f64) -> Result<Option<Pilot>> {
        let began = Instant::now();
        let (config, settings) = (&plan.config, &plan.settings);
        let n_rows = settings.batch * config.block_size;
        let weights = initial_weights(config, settings.seed);
        let mut network = Network::new(config, &weights, n_rows).with_precision(settings.precision);
        let mut optimizer = Optimizer::new(settings.optimizer, &Layout::new(config)).with_precision(settings.precision);
        let state = LoaderState::default();
        let mut loader =
            Loader::new(self.text.train, config.block_size, (settings.recipe.order, None), settings.seed, state)?;
        let (mut ids, mut targets, mut starts) = (vec![0; n_rows], vec![0; n_rows], vec![0; n_rows]);
        let (mut step, mut n_tokens, mut schedule) = (0, 0, settings.schedule);
        schedule.n_warmup = PILOT_WARMUP;
        loop {
            // By the clock, from the beginning: the first steps are the slowest and would promise too few.
            let by_time = began.elapsed().as_secs_f64() / (PILOT_LEARNING_SHARE * seconds);
            let fraction = by_time.min(step as f64 / PILOT_STEPS.0 as f64).max(step as f64 / PILOT_STEPS.1 as f64);
            if fraction >= 1.0 {
                break;
            }
            let shape = settings.recipe.step_shape(fraction, (settings.batch, 1), config.block_size);
            loader.fill(&mut ids, &mut targets, &mut starts);
            let batch = Batch::of(&ids, &targets, shape.n_positions);
            let lr = settings.lr * schedule.factor(step, fraction);
            optimizer.learn(self.cpu, &mut network, batch, (step + 1, lr));
            step += 1;
            n_tokens += n_rows;
        }
        let n_windows = settings.n_eval_tokens.div_ceil(config.block_size);
        let found = evaluate(&mut network, self.cpu, (self.text.valid, None), self.text.token_bytes, n_windows, n_rows);
        let n_params = config.n_params();
        Ok(found.map(|found| Pilot { n_params, n_tokens: n_tokens as f64, bits_per_byte: found.bits_per_byte }))
    }
}
