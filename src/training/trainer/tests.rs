//! What the loop promises: it learns, it survives numbers that are no numbers, it says when it memorises.

mod adapters;

use super::*;
use crate::model::Preset;
use crate::training::plan::{Wishes, plan};
use crate::training::settings::Length;
use std::cell::Cell;
use tempfile::TempDir;

const VOCAB: usize = 32;

/// A run on token ids made by hand.
struct Bench {
    folder: TempDir,
    cpu: Cpu,
    train: Vec<u32>,
    valid: Vec<u32>,
    token_bytes: Vec<u32>,
}

impl Bench {
    fn new(train: Vec<u32>, valid: Vec<u32>) -> Bench {
        Bench { folder: tempfile::tempdir().unwrap(), cpu: Cpu::new(1), train, valid, token_bytes: vec![1; VOCAB] }
    }

    fn config() -> Config {
        let wishes =
            Wishes { n_layer: Some(1), n_embd: Some(32), n_head: Some(2), n_ffn: Some(64), ..Wishes::default() };
        wishes.reshape(Preset::Nano.config(VOCAB, 16)).unwrap()
    }

    fn settings(n_steps: u64) -> Settings {
        let wishes = Wishes {
            block_size: Some(16),
            batch: Some(4),
            lr: Some(0.01),
            length: Some(Length::Steps(n_steps)),
            save_every_s: Some(0.0),
            ..Wishes::default()
        };
        // The held-out text is short, so a few of its tokens serve for an evaluation.
        Settings { n_eval_tokens: 256, ..plan(&wishes, VOCAB, 1000, 1000).unwrap().settings }
    }

    fn trainer<'a>(&'a self, dir: &'a ModelDir, settings: Settings) -> Trainer<'a> {
        let text = Text { train: &self.train, valid: &self.valid, token_bytes: &self.token_bytes, turns: None };
        Trainer::new(&self.cpu, &Bench::config(), settings, text, dir).unwrap()
    }

    fn resumed<'a>(&'a self, dir: &'a ModelDir, settings: Settings) -> Trainer<'a> {
        let text = Text { train: &self.train, valid: &self.valid, token_bytes: &self.token_bytes, turns: None };
        Trainer::resume(&self.cpu, &Bench::config(), settings, text, dir).unwrap()
    }

    /// A minute of steps that change their cost, and all the rest that follows the progress of a run.
    fn a_minute() -> Settings {
        let mut settings = Settings { length: Length::Minutes(1.0), patience: None, ..Bench::settings(1) };
        settings.recipe.average = 0.3;
        (settings.recipe.grow_batch, settings.recipe.short_contexts) = (true, true);
        settings
    }

    fn dir(&self) -> ModelDir {
        self.dir_of("run")
    }

    fn dir_of(&self, name: &str) -> ModelDir {
        ModelDir::create(self.folder.path().join(name)).unwrap()
    }
}

/// A clock that stands at `at_s` and goes on by `tick_s` whenever it is read.
fn clock(at_s: f64, tick_s: f64) -> impl Fn() -> f64 {
    let now_s = Cell::new(at_s);
    move || {
        now_s.set(now_s.get() + tick_s);
        now_s.get()
    }
}

/// Runs until `step` steps are made, and is interrupted then.
fn run_until(trainer: Trainer, step: u64) -> Outcome {
    let stop = AtomicBool::new(false);
    let mut observer = |event: &Event| {
        if matches!(event, Event::Step(record) if record.step == step) {
            stop.store(true, Ordering::Relaxed);
        }
    };
    trainer.run(&mut observer, &stop, &mut |_| Ok(String::new())).unwrap()
}

/// What two runs have in common that are the same: the weights that were kept, the milestones, and the log but for times.
fn essence(dir: &ModelDir, outcome: &Outcome) -> impl PartialEq + std::fmt::Debug + use<> {
    let (steps, evals) = super::super::run_log::read(&dir.path.join("train.jsonl")).unwrap();
    let steps: Vec<_> = steps.iter().map(|s| (s.step, s.n_tokens_seen, s.loss, s.lr, s.fraction_done)).collect();
    let evals: Vec<_> = evals.iter().map(|e| (e.step, e.bits_per_byte, e.is_best, e.is_average)).collect();
    let weights = std::fs::read(dir.path.join("model.safetensors")).unwrap();
    (weights, steps, evals, outcome.progress.pace.clone(), outcome.evaluation)
}

/// A sequence that no rule gives: only memory helps.
fn noise(n: u64, seed: u64) -> Vec<u32> {
    let mut random = crate::kernels::random::Random::new(seed, 0);
    (0..n).map(|_| random.below(VOCAB as u64) as u32).collect()
}

/// Runs to the end; returns the outcome and the notices.
fn run(trainer: Trainer) -> (Outcome, Vec<String>) {
    let mut notices = Vec::new();
    let mut observer = |event: &Event| {
        if let Event::Notice(text) = event {
            notices.push(text.to_string());
        }
    };
    let outcome = trainer.run(&mut observer, &AtomicBool::new(false), &mut |_| Ok(String::new())).unwrap();
    (outcome, notices)
}

#[test]
fn one_batch_is_learned_by_heart() {
    // 17 tokens are one window, so every sequence of every batch is the same.
    // (No token twice: one layer cannot tell "a" from "a a", whose values are the same wherever it looks.)
    let bench = Bench::new((0..17).map(|i| i * 7 % VOCAB as u32).collect(), vec![]);
    let dir = bench.dir();
    let (outcome, _) = run(bench.trainer(&dir, Bench::settings(300)));
    let (steps, _) = super::super::run_log::read(&dir.path.join("train.jsonl")).unwrap();
    assert_eq!((outcome.ending, steps.len()), (Ending::Complete, 300));
    assert!(steps[0].loss > 3.0, "it begins knowing nothing: {} nats", steps[0].loss);
    assert!(steps[299].loss < 0.01, "after 300 steps it still pays {} nats", steps[299].loss);
}

/// A sequence in which most tokens follow from the one before, so that much can be learned and something never: some two of
/// five bits are left.
fn rule(n: usize, seed: u64) -> Vec<u32> {
    let mut random = crate::kernels::random::Random::new(seed, 0);
    let next = |last: &u32| match random.below(4) {
        0 => Some(random.below(VOCAB as u64) as u32),
        _ => Some((5 * last + 3) % VOCAB as u32),
    };
    std::iter::successors(Some(1), next).take(n).collect()
}

#[test]
fn learning_with_rounded_products_ends_where_learning_in_single_precision_does() {
    let bench = Bench::new(rule(20_000, 1), rule(600, 2));
    let of_run = |precision: Precision| {
        let dir = bench.dir_of(precision.name());
        let settings = Settings { precision, patience: None, save_every_s: 1e9, ..Bench::settings(400) };
        run(bench.trainer(&dir, settings)).0.evaluation.expect("there is held-out text").bits_per_byte
    };
    let wanted = of_run(Precision::F32);
    assert!(wanted < 2.6, "the rule is learned: {wanted} of 5 bits");
    for precision in Precision::ALL.into_iter().skip(1).filter(|p| p.is_available(bench.cpu.isa)) {
        let found = of_run(precision);
        assert!((found / wanted - 1.0).abs() < 0.01, "{} {found}, f32 {wanted}", precision.name());
    }
}

#[test]
fn a_loss_that_is_not_finite_goes_back_halves_the_rate_and_says_so() {
    let bench = Bench::new(noise(400, 1), noise(100, 2));
    let dir = bench.dir();
    let mut trainer = bench.trainer(&dir, Bench::settings(30));
    // As if an update had gone wrong: the state to go back to is still the good one.
    trainer.network.weights[40] = f32::NAN;
    let (outcome, notices) = run(trainer);
    assert_eq!((outcome.progress.step, outcome.progress.n_rollbacks, outcome.progress.lr_scale), (30, 1, 0.5));
    assert!(outcome.evaluation.unwrap().bits_per_byte.is_finite());
    assert_eq!(notices.iter().filter(|n| n.contains("halved")).count(), 1, "{notices:?}");
}

#[test]
fn a_run_that_never_gets_a_finite_loss_gives_up_with_advice() {
    let bench = Bench::new(noise(400, 1), vec![]);
    let dir = bench.dir();
    let mut trainer = bench.trainer(&dir, Bench::settings(30));
    trainer.snapshot.learned[40] = f32::NAN;
    trainer.network.weights[40] = f32::NAN;
    let mut silent = |_: &Event| {};
    let error = trainer.run(&mut silent, &AtomicBool::new(false), &mut |_| Ok(String::new())).unwrap_err();
    assert!(error.to_string().contains("--lr"), "{error}");
}

#[test]
fn memorising_is_said_once_the_best_version_kept_and_patience_ends_the_run() {
    // Training text without a rule, held-out text that is other noise: all that is learned is memory.
    let bench = Bench::new(noise(130, 1), noise(200, 2));
    let dir = bench.dir();
    let (outcome, notices) = run(bench.trainer(&dir, Bench::settings(2000)));
    assert_eq!(outcome.ending, Ending::Patience);
    assert_eq!(notices.iter().filter(|n| n.contains("memorise")).count(), 1, "{notices:?}");
    let (_, evals) = super::super::run_log::read(&dir.path.join("train.jsonl")).unwrap();
    let least = evals.iter().map(|e| e.bits_per_byte).fold(f64::INFINITY, f64::min);
    let kept = outcome.evaluation.unwrap().bits_per_byte;
    assert!((kept - least).abs() < 1e-9, "kept {kept}, best seen {least}");
    assert!(evals.last().unwrap().bits_per_byte > kept);
}

#[test]
fn where_the_last_steps_only_wander_their_average_is_kept() {
    // A rule to be learned, and a rate that stays far too high to settle on it.
    let text: Vec<u32> = noise(500, 1).iter().flat_map(|&t| [t, (t * 5 + 3) % VOCAB as u32]).collect();
    let bench = Bench::new(text, noise(150, 2).iter().flat_map(|&t| [t, (t * 5 + 3) % VOCAB as u32]).collect());
    let dir = bench.dir();
    let settings = |average| {
        let mut settings = Bench::settings(200);
        (settings.lr, settings.schedule.warmdown, settings.patience) = (0.04, 0.0, None);
        settings.recipe.average = average;
        settings
    };
    let (plain, _) = run(bench.trainer(&dir, settings(0.0)));
    let (averaged, _) = run(bench.trainer(&dir, settings(0.4)));
    assert_eq!((plain.progress.n_averaged, averaged.progress.n_averaged), (0, 80));
    let (plain, best) = (plain.progress.best.unwrap(), averaged.progress.best.unwrap());
    assert!(best.is_average && !plain.is_average, "{best:?}");
    assert!(best.bits_per_byte < plain.bits_per_byte, "{best:?} beside {plain:?}");
    // What is judged at the end is what was kept.
    let found = averaged.evaluation.unwrap().bits_per_byte;
    assert!((found - best.bits_per_byte).abs() < 0.05 * found, "{found} beside {best:?}");
}

#[test]
fn a_run_by_minutes_ends_in_time_with_what_comes_before_and_after_the_training() {
    let bench = Bench::new(noise(400, 1), noise(300, 2));
    for (i, (before_s, tick_s, reports_s)) in
        [(0.0, 0.02, 0.0), (12.0, 0.02, 9.0), (2.0, 0.2, 3.0)].into_iter().enumerate()
    {
        let dir = bench.dir_of(&i.to_string());
        let trainer = bench.trainer(&dir, Bench::a_minute()).timed_by(clock(before_s, tick_s), reports_s);
        let (outcome, notices) = run(trainer);
        let ended_s = outcome.progress.elapsed_s + reports_s;
        assert!((ended_s - 60.0).abs() <= 3.0, "{before_s} s before, ticks of {tick_s} s: ended after {ended_s} s");
        assert_eq!(outcome.ending, Ending::Complete);
        assert!(!notices.iter().any(|notice| notice.contains("in the cache")), "{notices:?}");
        assert_eq!(outcome.progress.pace.fraction(outcome.progress.step), 1.0);
    }
}

#[test]
fn very_much_held_out_text_does_not_end_a_run_by_minutes_early() {
    // Judging all of it would take far longer than the minute.
    let bench = Bench::new(noise(400, 1), noise(40_000, 2));
    let dir = bench.dir();
    let (outcome, _) = run(bench.trainer(&dir, Bench::a_minute()).timed_by(clock(0.0, 0.5), 0.0));
    assert!(outcome.progress.step >= 10, "{} steps", outcome.progress.step);
    assert!((outcome.evaluation.unwrap().n_tokens as u64) < 40_000);
}

#[test]
fn a_minute_used_up_by_reading_still_gives_a_model_and_says_why_it_is_poor() {
    let bench = Bench::new(noise(400, 1), noise(300, 2));
    let dir = bench.dir();
    let (outcome, notices) = run(bench.trainer(&dir, Bench::a_minute()).timed_by(clock(80.0, 0.1), 5.0));
    assert!((1..=3).contains(&outcome.progress.step) && outcome.ending == Ending::Complete);
    assert!(dir.path.join("model.safetensors").exists());
    assert!(notices[0].contains("in the cache"), "{notices:?}");
}

#[test]
fn with_the_milestones_of_another_run_no_clock_has_a_say() {
    let bench = Bench::new(noise(400, 1), noise(300, 2));
    let (first, again) = (bench.dir_of("first"), bench.dir_of("again"));
    let (outcome, _) = run(bench.trainer(&first, Bench::a_minute()).timed_by(clock(7.0, 0.02), 4.0));
    let milestones = outcome.progress.pace.milestones.clone();
    assert!(milestones.len() > 3, "{milestones:?}");
    let settings = Settings { milestones, save_every_s: 1.0, ..Bench::a_minute() };
    let (repeated, _) = run(bench.trainer(&again, settings).timed_by(clock(500.0, 30.0), 100.0));
    assert_eq!(essence(&again, &repeated), essence(&first, &outcome));
}

#[test]
fn a_run_by_minutes_that_was_interrupted_at_any_step_is_repeated_by_its_milestones() {
    let bench = Bench::new(noise(400, 1), noise(300, 2));
    for step in [1, 2, 3, 4, 11, 12, 13, 30] {
        let (first, again) = (bench.dir_of(&format!("first-{step}")), bench.dir_of(&format!("again-{step}")));
        let stopped = run_until(bench.trainer(&first, Bench::a_minute()).timed_by(clock(3.0, 0.16), 2.0), step);
        assert_eq!((stopped.ending, stopped.progress.step), (Ending::Interrupted, step));
        // On a machine that is three times as fast by now.
        let (outcome, _) = run(bench.resumed(&first, Bench::a_minute()).timed_by(clock(3.0, 0.05), 2.0));
        let ended_s = outcome.progress.elapsed_s + 2.0;
        assert!((ended_s - 60.0).abs() <= 3.0, "interrupted after {step} steps, ended after {ended_s} s");
        let settings = Settings { milestones: outcome.progress.pace.milestones.clone(), ..Bench::a_minute() };
        // The repeated run may be interrupted as well.
        run_until(bench.trainer(&again, settings.clone()), step + 5);
        let (repeated, _) = run(bench.resumed(&again, settings));
        assert_eq!(essence(&again, &repeated), essence(&first, &outcome), "interrupted after {step} steps");
    }
}

#[test]
fn a_checkpoint_from_before_there_were_milestones_goes_on() {
    let bench = Bench::new(noise(400, 1), noise(300, 2));
    for (name, settings) in [("steps", Bench::settings(40)), ("minutes", Bench::a_minute())] {
        let dir = bench.dir_of(name);
        run_until(bench.trainer(&dir, settings.clone()).timed_by(clock(0.0, 0.04), 0.0), 20);
        let ResumeState { weights, moment1, moment2, average, mut progress } =
            dir.load_resume(Bench::config().n_params()).unwrap();
        let fields = progress.as_object_mut().unwrap();
        assert!(["pace", "costs", "evaluated"].iter().all(|new| fields.remove(*new).is_some()));
        fields.extend([("evaluating_s".to_owned(), 0.5.into()), ("n_evaluated".to_owned(), 1.into())]);
        let old = ResumeRef {
            weights: &weights,
            moment1: &moment1,
            moment2: &moment2,
            average: &average,
            progress: &progress,
        };
        dir.save_resume(old).unwrap();
        let (outcome, _) = run(bench.resumed(&dir, settings).timed_by(clock(0.0, 0.04), 0.0));
        assert!(outcome.ending == Ending::Complete && outcome.progress.step > 20);
        match name {
            "steps" => assert_eq!(outcome.progress.step, 40),
            _ => assert!((outcome.progress.elapsed_s - 60.0).abs() <= 3.0, "{} s", outcome.progress.elapsed_s),
        }
    }
}
