//! The training loop: steps, evaluations, checkpoints, and what to do when something goes wrong.
//!
//! The loop is the one place in training that reads the clock and writes files (through [`ModelDir`] and [`RunLog`]). It
//! says what happens as [`Event`]s and knows nothing of screens. All that decides the next step is in [`Progress`], the
//! weights and the moments, so a run continued from a checkpoint makes the steps that the uninterrupted run would make.
//! The clock has a say in one place only (`timing.rs`): between two steps of a run by minutes it may add a milestone.

mod timing;

pub use timing::Costs;

use super::evaluate::{Evaluation, evaluate};
use super::learner::Learner;
use super::network::{Batch, Network};
use super::observer::{EvalRecord, Event, Observer, StepRecord};
use super::pace::Pace;
use super::recipe::StepShape;
use super::run_log::RunLog;
use super::settings::Settings;
use crate::checkpoint::{ModelDir, ResumeRef, ResumeState};
use crate::data::conversations::Turns;
use crate::data::loader::{Loader, LoaderState, TokenSource};
use crate::kernels::Cpu;
use crate::kernels::attention::Sequences;
use crate::kernels::average::move_towards;
use crate::kernels::cross_entropy::IGNORED;
use crate::kernels::gemm::Precision;
use crate::model::{Config, initial_weights};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use timing::{Clock, Guide};

/// Roll-backs after which a run gives up.
const MAX_ROLLBACKS: u32 = 8;

/// The text of a run as tokens.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    /// What the model learns from.
    pub train: &'a dyn TokenSource,
    /// What it is judged by.
    pub valid: &'a dyn TokenSource,
    /// Bytes of text of each token id.
    pub token_bytes: &'a [u32],
    /// Where only what the assistant says is learned and judged, how its turns are known.
    pub turns: Option<&'a Turns>,
}

/// Where a run stands, apart from weights and moments. Stored with every checkpoint.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Steps made.
    pub step: u64,
    /// Tokens learned from, repeats included.
    pub n_tokens_seen: u64,
    /// Seconds of training with all that belongs to it, earlier sittings included; in a run by the clock also those before
    /// the first step.
    pub elapsed_s: f64,
    /// The milestones passed.
    #[serde(default)]
    pub pace: Pace,
    /// What took how long.
    #[serde(default)]
    pub costs: Costs,
    /// Factor on the learning rate; halved by each roll-back.
    pub lr_scale: f64,
    /// Roll-backs so far.
    pub n_rollbacks: u32,
    /// Where the loader stands.
    pub loader: LoaderState,
    /// The point of the run, from 0 to 1, that has been evaluated.
    #[serde(default)]
    pub evaluated: f64,
    /// The step that was evaluated last.
    pub evaluated_step: u64,
    /// Samples written: fifths of the run that have had theirs.
    pub n_samples: u64,
    /// Evaluations since the best.
    pub n_since_best: u64,
    /// The best evaluation.
    pub best: Option<EvalRecord>,
    /// Training bits per byte around the best evaluation, smoothed.
    pub train_bits_at_best: f64,
    /// Training bits per byte now, smoothed.
    pub train_bits: f64,
    /// Whether the warning about memorising has been given.
    pub warned: bool,
    /// Steps whose weights are in the average.
    #[serde(default)]
    pub n_averaged: u64,
}

impl Progress {
    fn start() -> Progress {
        Progress { lr_scale: 1.0, ..Progress::default() }
    }
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The steps or minutes are used up.
    Complete,
    /// Held-out text has got no better for too long.
    Patience,
    /// A person asked for it; the run can be resumed.
    Interrupted,
}

/// What a finished run is.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Why it ended.
    pub ending: Ending,
    /// Where it stood at the end.
    pub progress: Progress,
    /// The best weights' result on held-out text ([`Settings::last_eval_tokens`]); `None` if there is no such text or the
    /// run was interrupted.
    pub evaluation: Option<Evaluation>,
}

/// What a step found about the text that it learned from.
#[derive(Debug, Clone, Copy, Default)]
struct Learned {
    /// Mean cross-entropy over the batches.
    loss: f64,
    /// Cross-entropies of all tokens that count, added up.
    nats: f64,
    /// Bytes of text of these tokens.
    n_bytes: u64,
}

/// State to return to when a step goes wrong.
struct Snapshot {
    learned: Vec<f32>,
    moment1: Vec<f32>,
    moment2: Vec<f32>,
    average: Vec<f32>,
    progress: Progress,
}

/// What the program itself, its tokenizer and buffers of a fixed size take: the difference that was measured.
const PROGRAM_BYTES: u64 = 25 << 20;

/// Bytes that a run of this shape holds in memory, apart from its text, of which the system keeps what fits.
pub fn trainer_bytes(config: &Config, settings: &Settings) -> u64 {
    // The copies of what is learned: the state to return to, the best, and the average where there is one.
    let n_copies = 3 + 1 + if settings.recipe.average > 0.0 { 2 } else { 0 };
    let n_bytes = Network::bytes_for(config, settings.batch * config.block_size, settings.precision)
        + Learner::bytes_for(config, settings)
        + 4 * n_copies * Learner::n_learned(config, settings);
    PROGRAM_BYTES + n_bytes as u64
}

/// A run under way.
pub struct Trainer<'a> {
    cpu: &'a Cpu,
    settings: Settings,
    text: Text<'a>,
    dir: &'a ModelDir,
    network: Network,
    learner: Learner,
    loader: Loader<'a>,
    progress: Progress,
    /// What had been learned at the best evaluation.
    best: Vec<f32>,
    /// The mean of what is learned over the last steps; empty before it is begun.
    average: Vec<f32>,
    snapshot: Snapshot,
    log: RunLog,
    ids: Vec<u32>,
    targets: Vec<u32>,
    starts: Vec<u32>,
    guide: Guide,
    clock: Clock<'a>,
    /// What the clock said when `elapsed_s` was brought up to date.
    read_at_s: f64,
    /// Seconds that will be needed when the trainer is done.
    reports_s: f64,
}

/// Writes a sample with the weights given.
pub type SampleWriter<'a> = dyn FnMut(&[f32]) -> Result<String> + 'a;

impl<'a> Trainer<'a> {
    /// A new run that writes to `dir`.
    pub fn new(cpu: &'a Cpu, config: &Config, settings: Settings, text: Text<'a>, dir: &'a ModelDir) -> Result<Self> {
        let learned = initial_weights(config, settings.seed);
        let zeros = vec![0.0; learned.len()];
        let log = RunLog::create(&dir.path.join("train.jsonl"))?;
        let (moment1, moment2, average) = (zeros.clone(), zeros, vec![]);
        let snapshot = Snapshot { learned, moment1, moment2, average, progress: Progress::start() };
        Trainer::at(cpu, config, settings, text, dir, snapshot, log)
    }

    /// Makes `dir` that of a run which begins with `weights` instead of such as a seed gives: it is resumed at its beginning.
    pub fn begin_with(dir: &ModelDir, config: &Config, settings: &Settings, weights: &[f32]) -> Result<()> {
        drop(RunLog::create(&dir.path.join("train.jsonl"))?);
        let learned = Learner::begin_with(dir, config, settings, weights)?;
        let (zeros, progress) = (vec![0.0; learned.len()], serde_json::to_value(Progress::start())?);
        let (moment1, moment2) = (&zeros[..], &zeros[..]);
        dir.save_resume(ResumeRef { weights: &learned, moment1, moment2, average: &[], progress: &progress })
    }

    /// The run in `dir`, continued from its last checkpoint.
    pub fn resume(
        cpu: &'a Cpu,
        config: &Config,
        settings: Settings,
        text: Text<'a>,
        dir: &'a ModelDir,
    ) -> Result<Self> {
        let state = dir.load_resume(Learner::n_learned(config, &settings))?;
        let progress: Progress = serde_json::from_value(state.progress)
            .with_context(|| format!("reading the progress in {}", dir.path.join("resume").display()))?;
        let log = RunLog::open_at(&dir.path.join("train.jsonl"), progress.step, progress.evaluated_step)?;
        let ResumeState { weights: learned, moment1, moment2, average, .. } = state;
        let snapshot = Snapshot { learned, moment1, moment2, average, progress };
        let mut trainer = Trainer::at(cpu, config, settings, text, dir, snapshot, log)?;
        if trainer.progress.best.is_some() {
            trainer.best = trainer.learner.load_learned(dir, config)?;
        }
        Ok(trainer)
    }

    fn at(
        cpu: &'a Cpu,
        config: &Config,
        settings: Settings,
        text: Text<'a>,
        dir: &'a ModelDir,
        snapshot: Snapshot,
        log: RunLog,
    ) -> Result<Self> {
        config.validate()?;
        settings.validate()?;
        settings.recipe.validate_for(config.block_size)?;
        let n_rows = settings.batch * config.block_size;
        let loader = Loader::new(
            text.train,
            config.block_size,
            (settings.recipe.order, text.turns),
            settings.seed,
            snapshot.progress.loader,
        )?;
        let precision = available_precision(cpu, &settings);
        let learner = Learner::open(dir, config, &settings, precision)?;
        let mut trainer = Trainer {
            guide: Guide::new(&settings, config, snapshot.progress.costs.step_s),
            clock: timing::since_now(),
            read_at_s: 0.0,
            reports_s: 0.0,
            network: Network::new(config, learner.weights_before(&snapshot.learned), n_rows).with_precision(precision),
            learner,
            progress: snapshot.progress.clone(),
            best: Vec::new(),
            average: Vec::new(),
            ids: vec![0; n_rows],
            targets: vec![0; n_rows],
            starts: vec![0; n_rows],
            cpu,
            settings,
            text,
            dir,
            loader,
            snapshot,
            log,
        };
        trainer.return_to_snapshot();
        Ok(trainer)
    }

    /// Makes what is learned and its moments those of the snapshot.
    fn return_to_snapshot(&mut self) {
        let Snapshot { learned, moment1, moment2, average, .. } = &self.snapshot;
        self.learner.set(self.cpu, &mut self.network, learned);
        self.learner.set_moments([moment1, moment2]);
        self.average.clone_from(average);
    }

    /// The weights as they stand.
    pub fn weights(&self) -> &[f32] {
        &self.network.weights
    }

    /// Steps until the run is complete, `stop` is set, or patience ends. `sample` is called now and then.
    pub fn run(mut self, observer: &mut dyn Observer, stop: &AtomicBool, sample: &mut SampleWriter) -> Result<Outcome> {
        let mut saved_s = self.read_clock();
        self.announce(observer);
        let ending = loop {
            // Before all else, since a run may be resumed from a checkpoint between a step and its evaluation.
            if self.evaluation_is_due() {
                self.evaluate(observer, sample)?;
            }
            if self.settings.patience.is_some_and(|patience| self.progress.n_since_best >= patience) {
                break Ending::Patience;
            }
            // No milestone goes into the checkpoint of an interruption: the run that goes on from it sets its own here.
            let is_interrupted = stop.load(Ordering::Relaxed);
            if !is_interrupted {
                self.pace();
            }
            if self.fraction_done() >= 1.0 {
                break Ending::Complete;
            }
            if is_interrupted {
                self.save_interrupted(observer)?;
                return Ok(Outcome { ending: Ending::Interrupted, progress: self.progress, evaluation: None });
            }
            let began_s = self.read_clock();
            if !self.step(observer)? {
                continue;
            }
            if self.progress.elapsed_s - saved_s >= self.settings.save_every_s {
                self.save(observer)?;
                saved_s = self.progress.elapsed_s;
            } else if self.evaluation_is_due() && self.save_before_evaluating(observer)? {
                saved_s = self.progress.elapsed_s;
            }
            let took_s = self.read_clock() - began_s;
            if let Guide::Clock(pacer) = &mut self.guide {
                pacer.step_took(took_s);
            }
        };
        if self.progress.evaluated_step != self.progress.step {
            self.save_before_evaluating(observer)?;
            self.evaluate(observer, sample)?;
        }
        self.finish(ending, observer)
    }

    fn announce(&self, observer: &mut dyn Observer) {
        if available_precision(self.cpu, &self.settings) != self.settings.precision {
            observer.event(&Event::Notice(&format!(
                "this run began in {}, which this CPU cannot multiply: it goes on in f32, so its numbers will differ \
                 from those of an uninterrupted run",
                self.settings.precision.name()
            )));
        }
        if self.begins_late() {
            observer.event(&Event::Notice(
                "reading the text took more than half of the minutes, and they are nearly over: the next run over the same \
                 text finds it in the cache",
            ));
        }
        let (n_steps, minutes) = self.guide.length(&self.settings);
        observer.event(&Event::Started {
            n_params: self.network.weights.len(),
            n_train_tokens: self.text.train.n_tokens() as u64,
            n_steps,
            minutes,
            first_step: self.progress.step,
        });
        if let Some(best) = &self.progress.best {
            observer.event(&Event::Evaluated(best.clone()));
        }
    }

    fn fraction_done(&self) -> f64 {
        self.progress.pace.fraction(self.progress.step)
    }

    /// What the next step learns from.
    fn step_shape(&self) -> StepShape {
        let s = &self.settings;
        let block_size = self.network.config().block_size;
        s.recipe.step_shape(self.fraction_done(), (s.batch, s.n_accumulate), block_size)
    }

    /// One update. False if it failed and the run went back to the last good state.
    fn step(&mut self, observer: &mut dyn Observer) -> Result<bool> {
        let began_s = self.read_clock();
        let shape = self.step_shape();
        let learned = self.gradients(shape);
        let loss = learned.loss;
        let n_batches = shape.n_batches;
        let grad_norm = self.learner.grad_norm(self.cpu, &self.network, n_batches);
        if !loss.is_finite() || !grad_norm.is_finite() {
            self.roll_back(loss, observer)?;
            return Ok(false);
        }
        let fraction = self.fraction_done();
        let lr =
            self.settings.lr * self.progress.lr_scale * self.settings.schedule.factor(self.progress.step, fraction);
        self.progress.step += 1;
        self.learner.step(self.cpu, &mut self.network, (self.progress.step, lr), (grad_norm, n_batches));
        self.progress.loader = self.loader.state();
        self.update_average();
        let n_tokens = shape.n_batches * shape.batch * self.network.config().block_size;
        let seconds = self.read_clock() - began_s;
        self.report_step(learned, n_tokens as u64, lr, grad_norm, seconds, observer)?;
        Ok(true)
    }

    /// Takes what the step just made has learned into the average, in the last part of the run.
    fn update_average(&mut self) {
        let share = self.settings.recipe.average;
        if share == 0.0 || self.fraction_done() <= 1.0 - share {
            return;
        }
        self.progress.n_averaged += 1;
        let learned = self.learner.learned(&self.network);
        if self.progress.n_averaged == 1 {
            self.average.clear();
            self.average.extend_from_slice(learned);
        } else {
            let share = 1.0 / self.progress.n_averaged as f32;
            move_towards(self.cpu, &mut self.average, learned, share);
        }
    }

    /// Sums up the gradients of the step's batches.
    fn gradients(&mut self, shape: StepShape) -> Learned {
        self.network.clear_gradients(self.cpu);
        let n_rows = shape.batch * self.network.config().block_size;
        let (ids, targets, starts) = (&mut self.ids[..n_rows], &mut self.targets[..n_rows], &mut self.starts[..n_rows]);
        let mut learned = Learned::default();
        for i in 0..shape.n_batches {
            self.loader.fill(ids, targets, starts);
            self.network.dropout = self.settings.recipe.dropout_of(self.settings.seed, self.progress.step, i);
            let starts = self.text.turns.is_some().then_some(&*starts);
            let batch = Batch { ids, targets, sequences: Sequences { n_positions: shape.n_positions, starts } };
            let loss = self.network.loss_and_gradients(self.cpu, batch);
            let counted = targets.iter().filter(|&&target| target != IGNORED);
            learned.loss += loss / shape.n_batches as f64;
            learned.nats += loss * counted.clone().count() as f64;
            learned.n_bytes += counted.map(|&target| self.text.token_bytes[target as usize] as u64).sum::<u64>();
        }
        learned
    }

    fn report_step(
        &mut self,
        learned: Learned,
        n_tokens: u64,
        lr: f64,
        grad_norm: f64,
        seconds: f64,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let bits = learned.nats / std::f64::consts::LN_2 / learned.n_bytes.max(1) as f64;
        let p = &mut self.progress;
        p.n_tokens_seen += n_tokens;
        // A mean over some fifty steps; the first value starts it.
        p.train_bits = if p.step == 1 { bits } else { p.train_bits + (bits - p.train_bits) / 50.0 };
        let record = StepRecord {
            step: p.step,
            n_tokens_seen: p.n_tokens_seen,
            loss: learned.loss,
            bits_per_byte: bits,
            lr,
            grad_norm,
            ms: seconds * 1e3,
            tokens_per_s: n_tokens as f64 / seconds,
            elapsed_s: p.elapsed_s,
            fraction_done: p.pace.fraction(p.step),
        };
        self.log.step(&record)?;
        observer.event(&Event::Step(record));
        Ok(())
    }

    /// Returns to the last checkpoint with half the rate; gives up after too many times.
    fn roll_back(&mut self, loss: f64, observer: &mut dyn Observer) -> Result<()> {
        let failed = self.progress.clone();
        if failed.n_rollbacks >= MAX_ROLLBACKS {
            bail!(
                "the loss is {loss} again at step {} after {MAX_ROLLBACKS} roll-backs: start anew with an --lr well below {}",
                failed.step + 1,
                self.settings.lr * failed.lr_scale
            );
        }
        self.return_to_snapshot();
        self.progress = Progress {
            lr_scale: failed.lr_scale * 0.5,
            n_rollbacks: failed.n_rollbacks + 1,
            // Time does not run backwards, and other text than that which failed comes next.
            elapsed_s: failed.elapsed_s,
            loader: self.loader.state(),
            ..self.snapshot.progress.clone()
        };
        // The next roll-back must not undo what this one learned about the rate.
        self.snapshot.progress.lr_scale = self.progress.lr_scale;
        self.snapshot.progress.n_rollbacks = self.progress.n_rollbacks;
        self.log.rewind(self.progress.step, self.progress.evaluated_step)?;
        observer.event(&Event::Notice(&format!(
            "the loss was no longer a finite number at step {}: went back to step {} and halved the learning rate to {:.2e}",
            failed.step + 1,
            self.progress.step,
            self.settings.lr * self.progress.lr_scale
        )));
        Ok(())
    }

    fn evaluation_is_due(&self) -> bool {
        let p = &self.progress;
        p.evaluated_step != p.step && p.pace.evaluation_is_due(p.step, p.evaluated)
    }

    fn evaluate(&mut self, observer: &mut dyn Observer, sample: &mut SampleWriter) -> Result<()> {
        let began_s = self.read_clock();
        self.progress.evaluated_step = self.progress.step;
        self.progress.evaluated = self.progress.pace.evaluation_point(self.progress.step);
        let Some((found, is_average)) = self.judge(self.settings.n_eval_tokens) else { return Ok(()) };
        let is_best = found.bits_per_byte.is_finite()
            && self.progress.best.as_ref().is_none_or(|best| found.bits_per_byte < best.bits_per_byte);
        let record = EvalRecord {
            step: self.progress.step,
            n_tokens_seen: self.progress.n_tokens_seen,
            bits_per_byte: found.bits_per_byte,
            loss: found.nats_per_token,
            is_best,
            is_average,
            elapsed_s: self.progress.elapsed_s,
        };
        self.log.eval(&record)?;
        observer.event(&Event::Evaluated(record.clone()));
        if is_best {
            self.keep_best(record)?;
        } else {
            self.progress.n_since_best += 1;
            self.warn_of_memorising(found.bits_per_byte, observer);
        }
        // Five samples or so over a run are enough to see it learn.
        let part = (self.fraction_done() * 5.0) as u64;
        if part > self.progress.n_samples {
            self.progress.n_samples = part;
            observer.event(&Event::Sample(&sample(&self.network.weights)?));
        }
        if is_average {
            self.swap_with_average();
        }
        let took_s = self.read_clock() - began_s;
        // Only some write a sample, so the mean of a few.
        self.progress.costs.evaluation_s =
            Some(self.progress.costs.evaluation_s.map_or(took_s, |s| (s + took_s) / 2.0));
        Ok(())
    }

    /// Judges the weights and, once there is one, their average. Where the average is the better, it is left in the
    /// network in place of the weights, and the second of the pair is true.
    fn judge(&mut self, max_tokens: usize) -> Option<(Evaluation, bool)> {
        let found = self.held_out(max_tokens)?;
        if self.progress.n_averaged < 2 {
            return Some((found, false));
        }
        self.swap_with_average();
        let averaged = self.held_out(max_tokens)?;
        if averaged.bits_per_byte < found.bits_per_byte {
            return Some((averaged, true));
        }
        self.swap_with_average();
        Some((found, false))
    }

    fn swap_with_average(&mut self) {
        self.learner.swap(self.cpu, &mut self.network, &mut self.average);
    }

    fn held_out(&mut self, max_tokens: usize) -> Option<Evaluation> {
        let began_s = self.read_clock();
        let Text { valid, token_bytes, turns, .. } = self.text;
        let max_windows = max_tokens.div_ceil(self.network.config().block_size).max(1);
        let found = evaluate(&mut self.network, self.cpu, (valid, turns), token_bytes, max_windows, self.ids.len())?;
        self.progress.costs.token_s = Some((self.read_clock() - began_s) / found.n_tokens as f64);
        Some(found)
    }

    fn keep_best(&mut self, record: EvalRecord) -> Result<()> {
        self.best.clear();
        self.best.extend_from_slice(self.learner.learned(&self.network));
        self.learner.save_model(self.dir, &self.network)?;
        self.progress.best = Some(record);
        self.progress.n_since_best = 0;
        self.progress.train_bits_at_best = self.progress.train_bits;
        Ok(())
    }

    /// Says once, in plain words, that held-out text gets worse while the training text gets better.
    fn warn_of_memorising(&mut self, held_out: f64, observer: &mut dyn Observer) {
        let p = &mut self.progress;
        let best = p.best.as_ref().map_or(f64::INFINITY, |b| b.bits_per_byte);
        // While its own text is the harder one, as under dropout, a rate that is still high explains what gets worse.
        let gets_easier = p.train_bits < p.train_bits_at_best.min(held_out);
        if p.warned || p.n_since_best < 2 || !gets_easier {
            return;
        }
        p.warned = true;
        observer.event(&Event::Notice(&format!(
            "the model is starting to memorise: its own text gets easier ({:.3} bits per byte) while text that it has not \
             seen gets harder ({held_out:.3}, best {best:.3}). The best version is kept; more text or a smaller model would help",
            p.train_bits
        )));
    }

    /// Writes a checkpoint, and keeps the same state in memory for a roll-back.
    fn save(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let began_s = self.read_clock();
        let [moment1, moment2] = self.learner.moments();
        self.snapshot.learned.copy_from_slice(self.learner.learned(&self.network));
        self.snapshot.moment1.copy_from_slice(moment1);
        self.snapshot.moment2.copy_from_slice(moment2);
        self.snapshot.average.clone_from(&self.average);
        self.snapshot.progress = self.progress.clone();
        self.log.sync()?;
        self.dir.save_resume(ResumeRef {
            weights: &self.snapshot.learned,
            moment1: &self.snapshot.moment1,
            moment2: &self.snapshot.moment2,
            average: &self.snapshot.average,
            progress: &serde_json::to_value(&self.progress)?,
        })?;
        observer.event(&Event::Saved { step: self.progress.step });
        let took_s = self.read_clock() - began_s;
        let save_s = &mut self.progress.costs.save_s;
        *save_s = if *save_s == 0.0 { took_s } else { (*save_s + took_s) / 2.0 };
        Ok(())
    }

    /// Leaves a model directory that both answers and resumes.
    fn save_interrupted(&mut self, observer: &mut dyn Observer) -> Result<()> {
        if self.progress.best.is_none() {
            self.learner.save_model(self.dir, &self.network)?;
        }
        self.save(observer)
    }

    fn finish(mut self, ending: Ending, observer: &mut dyn Observer) -> Result<Outcome> {
        self.save(observer)?;
        if self.progress.best.is_some() {
            self.learner.set(self.cpu, &mut self.network, &self.best);
        } else {
            // No held-out text, or a run too short for an evaluation: the last weights, or their average where one was
            // asked for, are what there is.
            if self.progress.n_averaged >= 2 {
                self.swap_with_average();
            }
            self.learner.save_model(self.dir, &self.network)?;
        }
        let evaluation = self.held_out(self.settings.last_eval_tokens(self.progress.n_tokens_seen));
        self.read_clock();
        observer.event(&Event::Finished);
        Ok(Outcome { ending, progress: self.progress, evaluation })
    }
}

/// The run's precision, or f32 where the run came from a CPU that could do more than this one.
fn available_precision(cpu: &Cpu, settings: &Settings) -> Precision {
    if settings.precision.is_available(cpu.isa) { settings.precision } else { Precision::F32 }
}

#[cfg(test)]
mod tests;
