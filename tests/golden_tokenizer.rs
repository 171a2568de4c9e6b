//! The committed tokenizer must not drift: its file, its ids, and the training that makes it.

use serde::Deserialize;
use siskin::data::Corpus;
use siskin::tokenizer::{Tokenizer, TrainOptions, Trained};
use std::path::PathBuf;

/// A text and the ids that it must always have.
#[derive(Deserialize)]
struct Golden {
    text: String,
    ids: Vec<u32>,
}

fn in_project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_golden_ids_of_the_committed_tokenizer_have_not_changed() {
    let tokenizer = Tokenizer::load(&in_project("tokenizer/tokenizer.json")).unwrap();
    let golden = std::fs::read(in_project("tokenizer/golden.json")).unwrap();
    let golden: Vec<Golden> = serde_json::from_slice(&golden).unwrap();
    assert!(golden.len() >= 10, "{} golden texts", golden.len());
    for Golden { text, ids } in golden {
        assert_eq!(tokenizer.encode(&text).unwrap(), ids, "{text:?}");
        assert_eq!(tokenizer.decode(&ids), text.as_bytes(), "{text:?}");
    }
}

#[test]
fn training_on_the_bundled_text_makes_the_committed_tokenizer_again() {
    let paths = ["corpora/stories.txt", "corpora/dialogues.jsonl"].map(in_project);
    let corpus = Corpus::scan(&paths, &mut |_| {}).unwrap();
    let trained = Trained::from_texts(corpus.train_texts(), TrainOptions::new(2048)).unwrap();
    let committed = std::fs::read(in_project("tokenizer/tokenizer.json")).unwrap();
    assert!(trained.tokenizer.to_json().unwrap() == committed, "the trained tokenizer differs from the committed one");
}
