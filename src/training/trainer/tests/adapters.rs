//! What the loop promises where only adapters learn: all that it promises elsewhere, and a base that stays as it was.

use super::*;
use crate::model::{Adapter, AdapterLayout, Layout};
use crate::training::lora::LoraSettings;

const LORA: LoraSettings = LoraSettings { rank: 3, alpha: 6.0 };

fn settings(n_steps: u64) -> Settings {
    let mut settings = Settings { lora: Some(LORA), patience: None, ..Bench::settings(n_steps) };
    settings.optimizer.muon = None;
    settings.recipe.average = 0.4;
    settings
}

fn bench(n_threads: usize) -> Bench {
    // A rule to be learned: each second token follows from the one before it.
    let text = |n, seed| noise(n, seed).iter().flat_map(|&t| [t, (t * 5 + 3) % VOCAB as u32]).collect();
    Bench { cpu: Cpu::new(n_threads), ..Bench::new(text(400, 1), text(100, 2)) }
}

fn base() -> Vec<f32> {
    initial_weights(&Bench::config(), 9)
}

fn begun<'a>(bench: &'a Bench, dir: &'a ModelDir, settings: Settings) -> Trainer<'a> {
    Trainer::begin_with(dir, &Bench::config(), &settings, &base()).unwrap();
    bench.resumed(dir, settings)
}

fn layout() -> AdapterLayout {
    LORA.layout(&Bench::config())
}

fn adapter_bytes(dir: &ModelDir) -> Vec<u8> {
    std::fs::read(dir.path.join("adapter/adapter_model.safetensors")).unwrap()
}

#[test]
fn adapters_learn_and_the_model_is_its_base_and_the_saved_adapters() {
    let bench = bench(1);
    let dir = bench.dir();
    let (outcome, _) = run(begun(&bench, &dir, settings(120)));
    let (steps, _) = super::super::super::run_log::read(&dir.path.join("train.jsonl")).unwrap();
    assert!(steps[119].loss < steps[0].loss - 0.1, "from {} to {} nats", steps[0].loss, steps[119].loss);
    assert!(outcome.evaluation.unwrap().bits_per_byte.is_finite());
    let (values, weights) = (dir.load_adapter(&layout()).unwrap(), dir.load_weights(&Bench::config()).unwrap());
    let (mut wanted, scale) = (base(), 2.0);
    for Adapter { weight, n_in, a, b, .. } in &layout().adapters {
        assert!(weights[weight.clone()] != wanted[weight.clone()], "a matrix has not changed");
        for (i, weight) in wanted[weight.clone()].iter_mut().enumerate() {
            let (row, col) = (i / n_in, i % n_in);
            *weight +=
                (0..3).map(|k| scale * values[b.start + 3 * row + k] * values[a.start + k * n_in + col]).sum::<f32>();
        }
    }
    let adapted: Vec<_> = layout().adapters.into_iter().map(|adapter| adapter.weight).collect();
    for tensor in Layout::new(&Bench::config()).tensors {
        let tolerance = if adapted.contains(&tensor.range) { 1e-5 } else { 0.0 };
        let differ = |i: &usize| (weights[*i] - wanted[*i]).abs() > tolerance;
        assert_eq!(tensor.range.clone().find(differ), None, "{}", tensor.name);
    }
}

#[test]
fn a_run_interrupted_at_any_step_ends_in_the_same_bytes_whatever_the_number_of_threads() {
    let whole = bench(1);
    let dir = whole.dir();
    let (outcome, _) = run(begun(&whole, &dir, settings(40)));
    for (step, n_threads) in [(1, 1), (17, 3), (30, 3)] {
        let bench = bench(n_threads);
        let again = bench.dir();
        let stopped = run_until(begun(&bench, &again, settings(40)), step);
        assert_eq!((stopped.ending, stopped.progress.step), (Ending::Interrupted, step));
        let (resumed, _) = run(bench.resumed(&again, settings(40)));
        assert_eq!(essence(&again, &resumed), essence(&dir, &outcome), "interrupted after {step} steps");
        assert!(adapter_bytes(&again) == adapter_bytes(&dir), "interrupted after {step} steps");
    }
}

#[test]
fn adapters_that_are_no_longer_numbers_go_back_to_the_last_checkpoint() {
    let bench = bench(1);
    let dir = bench.dir();
    let mut trainer = begun(&bench, &dir, settings(20));
    let Learner::Adapters(lora) = &mut trainer.learner else { panic!("all weights are learned") };
    lora.values[0] = f32::NAN;
    lora.merge(&bench.cpu, &mut trainer.network.weights);
    let (outcome, _) = run(trainer);
    assert_eq!((outcome.progress.step, outcome.progress.n_rollbacks, outcome.progress.lr_scale), (20, 1, 0.5));
    assert!(outcome.evaluation.unwrap().bits_per_byte.is_finite());
}

#[test]
fn adapters_take_less_memory_and_smaller_checkpoints_than_all_weights() {
    let (config, few) = (Preset::Tiny.config(1024, 64), settings(10));
    let all = Settings { lora: None, ..few.clone() };
    let spared = trainer_bytes(&config, &all) - trainer_bytes(&config, &few);
    assert!(spared > 4 * 5 * config.n_params() as u64, "{spared} bytes less for {} weights", config.n_params());
    let bench = bench(1);
    let size = |name: &str, settings: Settings| {
        let dir = bench.dir_of(name);
        Trainer::begin_with(&dir, &Bench::config(), &settings, &base()).unwrap();
        std::fs::metadata(dir.path.join("resume/state.safetensors")).unwrap().len()
    };
    assert!(3 * size("few", settings(10)) < size("all", Bench::settings(10)));
}
