//! What the loop promises: it learns, it survives numbers that are no numbers, it says when it memorises.

use super::*;
use crate::model::Preset;
use crate::training::plan::{Wishes, plan};
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
        let text = Text { train: &self.train, valid: &self.valid, token_bytes: &self.token_bytes };
        Trainer::new(&self.cpu, &Bench::config(), settings, text, dir).unwrap()
    }

    fn dir(&self) -> ModelDir {
        ModelDir::create(self.folder.path().join("run")).unwrap()
    }
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
    trainer.snapshot.weights[40] = f32::NAN;
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
        (settings.lr, settings.schedule.warmdown, settings.patience) = (0.04, 0.0, 1000);
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
