//! The model inside the program: who answers where nothing was trained yet.

mod fixture;

use siskin::checkpoint::{GgufModel, bundled_file};
use siskin::tokenizer::Tokenizer;
use std::path::Path;
use std::process::Stdio;

/// Standard output of the program in an empty folder.
fn said(args: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = fixture::siskin(&folder.path().join("cache"));
    let output = command.current_dir(folder.path()).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn it_answers_where_nothing_was_trained_and_by_its_name() {
    let question = ["--temperature", "0", "--once", "What day comes after Monday?"];
    assert!(said(&[&["chat"][..], &question].concat()).contains("Tuesday"));
    assert!(said(&[&["chat", "siskin"][..], &question].concat()).contains("Tuesday"));
    assert!(!said(&["complete", "--seed", "1", "-n", "20", "One sunny morning, a little"]).trim().is_empty());
    assert!(said(&["info", "siskin"]).contains("Q8_0"));
}

#[test]
fn it_is_small_and_has_the_tokenizer_of_this_repository() {
    assert!(bundled_file().len() <= 8_000_000, "{} bytes", bundled_file().len());
    let model = GgufModel::read(bundled_file()).unwrap();
    assert!(model.text.chat_template.is_some(), "it takes turns");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tokenizer = Tokenizer::load(&root.join("tokenizer/tokenizer.json")).unwrap();
    assert_eq!(model.text.tokenizer.vocab_size(), tokenizer.vocab_size());
    let text = std::fs::read_to_string(root.join("corpora/stories.txt")).unwrap();
    let head = &text[..text.floor_char_boundary(20_000)];
    assert_eq!(model.text.tokenizer.encode(head).unwrap(), tokenizer.encode(head).unwrap());
}
