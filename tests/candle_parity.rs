//! Small random models in GGUF files of the types that people use: siskin's engine gives the logits that
//! candle-transformers' quantized models give, at every position.

use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Tensor};
use candle_transformers::models::{quantized_llama, quantized_qwen3};
use siskin::checkpoint::{Contents, OpenOptions, open_gguf};
use siskin::inference::LanguageModel;
use siskin::kernels::random::Random;
use siskin::model::{Config, Family, Layout, Mix, Part, Preset, initial_weights};
use siskin::tokenizer::{TrainOptions, train};
use std::io::Cursor;

/// Most that the judgements of what follows may differ, in nats, on average over the positions.
const MOST_NATS: f64 = 1e-3;

/// Positions that are judged.
const N_POSITIONS: usize = 12;

const TYPES: [Mix; 5] = [Mix::F16, Mix::Q8_0, Mix::Q4_0, Mix::Q4_K_M, Mix::Q6_K];

/// Rows of 256 and more, so that blocks of 256 elements are used where a type has them.
fn config(family: Family) -> Config {
    let nano = Preset::Nano.config(320, 64);
    Config { n_layer: 2, n_embd: 256, n_head: 4, n_kv_head: 2, head_dim: 64, n_ffn: 512, family, tied: false, ..nano }
}

/// A whole file with random weights, norms that are not all one, and a head that tells tokens apart.
fn file(family: Family, mix: Mix) -> Vec<u8> {
    let config = config(family);
    let tokenizer = train(std::iter::once("a b a b".to_owned()), TrainOptions::new(264)).unwrap();
    let mut random = Random::new(11, 3);
    let mut weights = initial_weights(&config, 5);
    let layout = Layout::new(&config);
    for tensor in &layout.tensors {
        let scale = match tensor.part {
            Part::Embed => 4.0,
            Part::Head => 0.5,
            _ => 1.5,
        };
        for w in &mut weights[tensor.range.clone()] {
            *w = if *w == 1.0 { 1.0 + 0.2 * random.normal() as f32 } else { *w * scale };
        }
    }
    // Each token expects another one most, so that which is the top does not hang on the last bits.
    let (v, c) = (config.vocab_size, config.n_embd);
    for token in 0..v {
        for i in 0..c {
            weights[layout.head.start + (token * 7 + 3) % v * c + i] +=
                0.8 * weights[layout.embed.start + token * c + i];
        }
    }
    let contents = Contents {
        name: None,
        config: &config,
        weights: &weights,
        tokenizer: &tokenizer,
        chat_template: None,
        begin_of_text: None,
    };
    let mut bytes = Vec::new();
    contents.write(&mut bytes, mix, 1, &mut |_| ()).unwrap();
    bytes
}

/// siskin's engine on the file.
fn ours(bytes: &[u8]) -> Box<dyn LanguageModel + Send> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    open_gguf(&path, OpenOptions::new(2)).unwrap().model
}

/// candle-transformers' model of the file.
enum Theirs {
    Llama(Box<quantized_llama::ModelWeights>),
    Qwen3(Box<quantized_qwen3::ModelWeights>),
}

impl Theirs {
    fn read(family: Family, bytes: &[u8]) -> Theirs {
        let mut file = Cursor::new(bytes);
        let content = Content::read(&mut file).unwrap();
        match family {
            Family::Llama => Theirs::Llama(Box::new(
                quantized_llama::ModelWeights::from_gguf(content, &mut file, &Device::Cpu).unwrap(),
            )),
            _ => Theirs::Qwen3(Box::new(
                quantized_qwen3::ModelWeights::from_gguf(content, &mut file, &Device::Cpu).unwrap(),
            )),
        }
    }

    fn feed(&mut self, id: u32, position: usize) -> Vec<f32> {
        let id = Tensor::new(&[[id]], &Device::Cpu).unwrap();
        let logits = match self {
            Theirs::Llama(model) => model.forward(&id, position),
            Theirs::Qwen3(model) => model.forward(&id, position),
        };
        logits.unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }
}

fn log_probabilities(logits: &[f32]) -> Vec<f64> {
    let most = logits.iter().fold(f64::NEG_INFINITY, |most, &x| most.max(x.into()));
    let log_sum = logits.iter().map(|&x| (f64::from(x) - most).exp()).sum::<f64>().ln() + most;
    logits.iter().map(|&x| f64::from(x) - log_sum).collect()
}

fn kl_divergence(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum()
}

fn top(x: &[f64]) -> usize {
    (0..x.len()).max_by(|&a, &b| x[a].total_cmp(&x[b])).unwrap()
}

#[test]
fn quantized_files_mean_to_siskin_what_they_mean_to_candle() {
    for family in [Family::Llama, Family::Qwen3] {
        for mix in TYPES {
            let bytes = file(family, mix);
            let (mut ours, mut theirs) = (ours(&bytes), Theirs::read(family, &bytes));
            let mut random = Random::new(2, 8);
            let (mut nats, mut entropy) = (0.0, 0.0);
            for position in 0..N_POSITIONS {
                let id = random.below(ours.vocab_size() as u64) as u32;
                let wanted = log_probabilities(&theirs.feed(id, position));
                let found = log_probabilities(ours.feed(&[id]));
                nats += kl_divergence(&wanted, &found) / N_POSITIONS as f64;
                assert_eq!(top(&found), top(&wanted), "{} as {} at {position}", family.name(), mix.name());
                entropy -= wanted.iter().map(|p| p.exp() * p).sum::<f64>();
            }
            assert!(nats < MOST_NATS, "{} as {}: {nats} nats apart", family.name(), mix.name());
            // A model that holds all tokens for alike would agree with any other of its kind.
            let (mean, most) = (entropy / N_POSITIONS as f64, (ours.vocab_size() as f64).ln());
            assert!(mean < 0.9 * most, "{}: {mean} of {most} nats", family.name());
        }
    }
}
