//! The inference engine against the trainer's forward pass, which has no cache: the same to single precision. The two
//! have kernels of their own, one for few rows and one for many.

use siskin::inference::{Engine, LanguageModel};
use siskin::kernels::Cpu;
use siskin::kernels::cross_entropy::cross_entropy;
use siskin::model::{Config, Preset, initial_weights};
use siskin::training::network::{Batch, Network};

const N_TOKENS: usize = 100;

/// Sums in different orders; the largest difference seen is 5e-6.
const TOLERANCE: f32 = 5e-5;

fn config() -> Config {
    Config { n_kv_head: 2, ..Preset::Nano.config(500, 128) }
}

/// What the engine, fed in chunks of `chunk`, pays for each next token.
fn nats_by_engine(config: &Config, weights: &[f32], ids: &[u32], targets: &[u32], chunk: usize) -> Vec<f32> {
    let cpu = Cpu::new(1);
    let mut engine = Engine::new(config, weights, config.block_size, 2).unwrap();
    let mut nats = Vec::new();
    for (ids, targets) in ids.chunks(chunk).zip(targets.chunks(chunk)) {
        // Logits come for the last token of a chunk only.
        let mut logits = engine.feed(ids).to_vec();
        let mut paid = [0.0];
        cross_entropy(&cpu, &mut logits, &targets[targets.len() - 1..], 1.0, &mut paid);
        nats.push(paid[0]);
    }
    nats
}

#[test]
fn prefill_in_chunks_and_decode_pay_what_the_uncached_forward_pass_pays() {
    let config = config();
    let weights: Vec<f32> = initial_weights(&config, 2).iter().map(|w| w * 4.0).collect();
    let ids: Vec<u32> = (0..N_TOKENS as u32).map(|i| i * i * 31 % 500).collect();
    let targets: Vec<u32> = ids.iter().map(|id| (id + 7) % 500).collect();
    let mut network = Network::new(&config, &weights, N_TOKENS);
    let batch = Batch::of(&ids, &targets, N_TOKENS);
    let uncached = network.nats(&Cpu::new(1), batch).to_vec();
    for chunk in [1, 7, 33, N_TOKENS] {
        let wanted: Vec<f32> =
            (0..N_TOKENS).filter(|i| (i + 1) % chunk == 0 || i + 1 == N_TOKENS).map(|i| uncached[i]).collect();
        let found = nats_by_engine(&config, &weights, &ids, &targets, chunk);
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() < TOLERANCE * (1.0 + wanted), "{found}, not {wanted}: chunks of {chunk}");
        }
    }
}
