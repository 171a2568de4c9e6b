//! What transformers makes of a model directory: its logits for a small model, committed as a fixture.
//!
//! `tests/fixtures/transformers/` is a directory that `siskin train` wrote and `make_logits.py` beside it ran through
//! transformers' `Qwen3ForCausalLM`; the script says how to make both again.

use serde::Deserialize;
use siskin::checkpoint::ModelDir;
use siskin::inference::{Engine, LanguageModel};
use std::path::Path;

/// What transformers computed.
#[derive(Deserialize)]
struct Theirs {
    text: String,
    ids: Vec<u32>,
    /// Logits after the last id.
    logits: Vec<f32>,
    /// The ids that follow when the most probable is always taken.
    greedy: Vec<u32>,
}

/// Two programs in single precision on different instruction sets; the largest difference seen is 3e-6.
const TOLERANCE: f32 = 1e-4;

#[test]
fn our_ids_logits_and_greedy_continuation_are_those_of_transformers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/transformers");
    let theirs: Theirs = serde_json::from_slice(&std::fs::read(folder.join("logits.json")).unwrap()).unwrap();
    let dir = ModelDir::open(&folder).unwrap();
    let (config, tokenizer) = (dir.config().unwrap(), dir.tokenizer().unwrap());
    assert_eq!(tokenizer.encode(&theirs.text).unwrap(), theirs.ids);
    let weights = dir.load_weights(&config).unwrap();
    let mut engine = Engine::new(&config, &weights, config.block_size, 1).unwrap();
    let mut logits = engine.feed(&theirs.ids).to_vec();
    for (id, (found, wanted)) in logits.iter().zip(&theirs.logits).enumerate() {
        assert!((found - wanted).abs() < TOLERANCE, "logit {id} is {found}, transformers {wanted}");
    }
    for (n, &wanted) in theirs.greedy.iter().enumerate() {
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap() as u32;
        assert_eq!(best, wanted, "greedy token {n}");
        logits = engine.feed(&[best]).to_vec();
    }
}
