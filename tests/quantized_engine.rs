//! Models as files store them: the same bits however they are computed, and close to what their weights stand for.

mod fixture;

use fixture::{text, tiny_model};
use siskin::checkpoint::{Contents, ModelDir, OpenOptions, QUANTIZED, Which, open_dir, open_gguf};
use siskin::inference::{CacheType, Engine, LanguageModel};
use siskin::kernels::random::Random;
use siskin::model::{Config, Family, Mix, Preset};
use siskin::tokenizer::{TrainOptions, train};
use std::fs::File;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A width of one whole block of 256, so that every mixture has its own types; several heads on one key.
fn config(family: Family) -> Config {
    let nano = Preset::Nano.config(320, 96);
    let n_kv_head = if family == Family::Gpt2 { 8 } else { 2 };
    Config { n_layer: 2, n_embd: 256, n_head: 8, n_kv_head, head_dim: 32, n_ffn: 512, family, ..nano }
}

fn weights(config: &Config) -> Vec<f32> {
    let mut random = Random::new(5, 0);
    let scale = (config.n_embd as f32).sqrt().recip();
    let mut weights: Vec<f32> = (0..config.n_params()).map(|_| random.normal() as f32 * scale).collect();
    for tensor in siskin::model::Layout::new(config).tensors {
        let factor = if tensor.name.contains("norm") && !tensor.is_bias { 1.0 } else { 0.0 };
        if !tensor.is_matrix() {
            weights[tensor.range].iter_mut().for_each(|w| *w += factor);
        }
    }
    weights
}

struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Desk {
        Desk { folder: tempfile::tempdir().unwrap() }
    }

    fn write(&self, config: &Config, weights: &[f32], mix: Mix) -> PathBuf {
        let tokenizer = train(std::iter::once(text(20)), TrainOptions::new(300)).unwrap();
        let path = self.folder.path().join(format!("{mix}.gguf"));
        let contents =
            Contents { name: None, config, weights, tokenizer: &tokenizer, chat_template: None, begin_of_text: None };
        contents.write(File::create(&path).unwrap(), mix, 2, &mut |_| ()).unwrap();
        path
    }
}

fn ids() -> Vec<u32> {
    (0..90u32).map(|i| i * i * 7 % 320).collect()
}

fn opened(path: &Path, n_threads: usize, cache: CacheType) -> Box<dyn LanguageModel + Send> {
    open_gguf(path, OpenOptions { cache, ..OpenOptions::new(n_threads) }).unwrap().model
}

/// The logits after each id, read in chunks of `chunk`; the last of each chunk only.
fn logits(model: &mut dyn LanguageModel, ids: &[u32], chunk: usize) -> Vec<Vec<f32>> {
    ids.chunks(chunk).map(|ids| model.feed(ids).to_vec()).collect()
}

#[test]
fn logits_have_the_same_bits_for_any_threads_chunks_and_history_in_every_type() {
    let (desk, config, ids) = (Desk::new(), config(Family::Qwen3), ids());
    let weights = weights(&config);
    for mix in Mix::ALL {
        let path = desk.write(&config, &weights, mix);
        for cache in [CacheType::F16, CacheType::Q8] {
            let wanted = logits(&mut *opened(&path, 1, cache), &ids, 1);
            for (n_threads, chunk) in [(1, 90), (2, 1), (2, 7), (3, 33), (5, 90)] {
                let mut model = opened(&path, n_threads, cache);
                // What the cache held before must not matter.
                model.feed(&ids[20..70]);
                model.truncate(0);
                for (i, found) in logits(&mut *model, &ids, chunk).iter().enumerate() {
                    let last = ((i + 1) * chunk).min(ids.len()) - 1;
                    assert!(*found == wanted[last], "{mix}, {cache:?}, {n_threads} threads, chunks of {chunk}");
                }
                model.truncate(40);
                assert!(model.feed(&ids[40..60]) == wanted[59], "{mix}, {cache:?}: with a prefix that was kept");
            }
        }
    }
}

#[test]
fn every_family_runs_as_its_weights_do_in_full() {
    for family in Family::ALL {
        let (desk, config, ids) = (Desk::new(), config(family), ids());
        let weights = weights(&config);
        let mut full = Engine::new(&config, &weights, config.block_size, 1).unwrap();
        let wanted = logits(&mut full, &ids, 1);
        for (mix, most) in [(Mix::F32, 1e-6), (Mix::F16, 1e-4), (Mix::Q8_0, 2e-3), (Mix::Q6_K, 1e-2)] {
            let path = desk.write(&config, &weights, mix);
            let found = logits(&mut *opened(&path, 2, CacheType::F16), &ids, 1);
            let worst = found.iter().zip(&wanted).map(|(found, wanted)| divergence(wanted, found)).fold(0.0, f64::max);
            assert!(worst < most, "{family:?} {mix}: {worst}");
        }
    }
}

/// The Kullback-Leibler divergence of the probabilities of `found` from those of `wanted`, in nats.
fn divergence(wanted: &[f32], found: &[f32]) -> f64 {
    let log_p = |logits: &[f32]| -> Vec<f64> {
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f64 = logits.iter().map(|&x| f64::from(x - most).exp()).sum();
        logits.iter().map(|&x| f64::from(x - most) - total.ln()).collect()
    };
    log_p(wanted).iter().zip(log_p(found)).map(|(p, q)| p.exp() * (p - q)).sum()
}

#[test]
fn a_quantized_copy_runs_unless_it_is_older_than_the_weights_and_a_damaged_one_says_what_to_do() {
    let desk = Desk::new();
    for entry in std::fs::read_dir(tiny_model()).unwrap().map(Result::unwrap).filter(|e| e.path().is_file()) {
        std::fs::copy(entry.path(), desk.folder.path().join(entry.file_name())).unwrap();
    }
    let dir = ModelDir::open(desk.folder.path()).unwrap();
    let copy = dir.path.join(QUANTIZED);
    let age = |seconds: u64| {
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000 - seconds);
        File::options().append(true).open(&copy).unwrap().set_modified(time).unwrap();
    };
    let weights = File::options().append(true).open(dir.path.join("model.safetensors")).unwrap();
    weights.set_modified(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000)).unwrap();
    let what_runs = |options| open_dir(&dir, options).map(|opened| opened.path);
    age(0);
    assert_eq!(what_runs(OpenOptions::new(1)).unwrap(), copy);
    assert_eq!(what_runs(OpenOptions { which: Which::Full, ..OpenOptions::new(1) }).unwrap(), dir.path);
    age(60);
    assert_eq!(what_runs(OpenOptions::new(1)).unwrap(), dir.path, "a copy of older weights is not what was asked for");
    let bytes = std::fs::read(&copy).unwrap();
    std::fs::write(&copy, &bytes[..bytes.len() / 2]).unwrap();
    let error = format!("{:#}", what_runs(OpenOptions::new(1)).unwrap_err());
    assert!(error.contains("--weights full") && error.contains(QUANTIZED), "{error}");
}
