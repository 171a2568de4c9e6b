//! `siskin bench MODEL` and `siskin info FILE.gguf`: what the program says of a model's speed and of a file.

mod fixture;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn siskin(folder: &Path, arguments: &[&str]) -> Output {
    let mut command: Command = fixture::siskin(&folder.join("cache"));
    command.current_dir(folder).args(arguments).output().unwrap()
}

fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let output = siskin(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn model() -> &'static str {
    fixture::tiny_model().to_str().unwrap()
}

#[test]
fn a_model_is_timed_in_words_json_and_markdown() {
    let folder = tempfile::tempdir().unwrap();
    let found: serde_json::Value =
        serde_json::from_str(&succeed(folder.path(), &["bench", model(), "--threads", "1", "--json"])).unwrap();
    // The context of 64 tokens has room for the shortest prompt, and for 63 tokens behind the first.
    assert_eq!(found["prefill"].as_array().unwrap().len(), 1);
    assert_eq!((&found["prefill"][0]["tokens"], &found["decode"]["tokens"]), (&32.into(), &63.into()));
    for speed in [&found["prefill"][0], &found["decode"]] {
        for key in ["tokens_per_second", "gb_per_second", "gops", "share_of_memory", "share_of_arithmetic"] {
            assert!(speed[key].as_f64().is_some_and(|x| x > 0.0), "{key} in {speed}");
        }
        let [least, median, most] =
            ["least_tokens_per_second", "tokens_per_second", "most_tokens_per_second"].map(|key| speed[key].as_f64());
        assert!(least <= median && median <= most, "{speed}");
    }
    for key in ["dram_gb_per_second", "cache_gb_per_second", "int8_gops", "f32_gops"] {
        assert!(found["ceilings"][key].as_f64().is_some_and(|x| x > 0.0), "{key} in {found}");
    }
    assert!(found["first_token_ms"].as_f64().is_some_and(|ms| ms > 0.0));
    assert_eq!((&found["n_threads"], &found["backend"]), (&1.into(), &"native".into()));
    if cfg!(target_os = "linux") {
        assert!(found["resident_bytes"].as_u64().is_some_and(|n| n > 1 << 20));
    }
    let words = succeed(folder.path(), &["bench", model()]);
    for part in ["read 32", "write 63", "of memory", "first token after a prompt of", "this machine: memory"] {
        assert!(words.contains(part), "{part:?} is not in\n{words}");
    }
    let markdown = succeed(folder.path(), &["bench", model(), "--markdown"]);
    assert!(markdown.contains("| write 63 |") && markdown.contains("|---|"), "{markdown}");
}

#[test]
fn a_gguf_file_is_described_and_timed() {
    let folder = tempfile::tempdir().unwrap();
    succeed(folder.path(), &["quantize", model(), "--type", "q8_0", "--out", "small.gguf"]);
    let words = succeed(folder.path(), &["info", "small.gguf"]);
    for part in ["qwen3", "native", "Q8_0", "F32", "64 tokens", "320 entries", "bits a weight"] {
        assert!(words.contains(part), "{part:?} is not in\n{words}");
    }
    let found: serde_json::Value =
        serde_json::from_str(&succeed(folder.path(), &["info", "--json", "small.gguf"])).unwrap();
    assert_eq!((&found["backend"], &found["architecture"]), (&"native".into(), &"qwen3".into()));
    assert!(succeed(folder.path(), &["bench", "small.gguf"]).contains("small on native"));
}

#[test]
fn a_file_that_nothing_runs_is_described_with_what_is_known_and_not_timed() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = siskin::formats::gguf::Writer::new();
    writer.set("general.architecture", "mamba\u{1b}[2J").unwrap();
    let bytes = writer.start(Vec::new()).unwrap().finish().unwrap();
    fs::write(folder.path().join("strange.gguf"), bytes).unwrap();
    let words = succeed(folder.path(), &["info", "strange.gguf"]);
    assert!(words.contains("gemma3") && words.contains("qwen3") && !words.contains('\u{1b}'), "{words}");
    let output = siskin(folder.path(), &["bench", "strange.gguf"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && error.contains("strange.gguf") && error.contains("llama"), "{error}");
}
