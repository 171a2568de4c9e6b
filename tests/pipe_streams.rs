//! The pipe at length, with the real binary: many lines, slow and endless company, grammars, samples, scores.

mod fixture;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use serde_json::{Value, json};

fn siskin(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_siskin"));
    command.args(args).env("NO_COLOR", "1").env_remove("RUST_BACKTRACE");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn complete(args: &[&str], input: &[u8]) -> Output {
    let mut child = start(args);
    // The process may be done before it has read all: then writing fails, which is not what is tested.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn start(args: &[&str]) -> Child {
    let model = fixture::tiny_model().to_str().expect("the fixture's path is UTF-8");
    siskin(&[&["complete", "-m", model], args].concat()).spawn().unwrap()
}

/// Runs it, expects it to end well, and returns the text.
#[track_caller]
fn text(args: &[&str], input: &str) -> String {
    let output = complete(args, input.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("standard output is UTF-8")
}

/// The objects on standard output, one a line.
fn objects(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).expect("standard output is UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
}

/// A process that answers lines, and both ends of its pipe.
fn start_lines(args: &[&str]) -> (Child, ChildStdin, BufReader<ChildStdout>) {
    let mut child = start(&[&["--jsonl", "--seed", "1"], args].concat());
    let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    (child, input, BufReader::new(output))
}

fn answer(output: &mut impl BufRead) -> Value {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

#[test]
fn arguments_stand_after_what_is_piped_or_in_a_file() {
    let flags = ["--seed", "7", "-n", "20", "--echo"];
    let with = |args: &[&str], input: &str| text(&[&flags[..], args].concat(), input);
    let whole = with(&["The cat sat"], "");
    assert!(whole.starts_with("The cat sat"));
    assert_eq!(with(&[" sat"], "The cat"), whole);
    assert_eq!(with(&[], "The cat sat\n"), whole);
    assert!(with(&["sat"], "The cat\n").starts_with("The cat\nsat"), "what is piped stays as it is");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prompt.txt");
    fs::write(&file, "The cat").unwrap();
    assert_eq!(with(&["--file", file.to_str().unwrap(), " sat"], "this is not read"), whole);
    let missing = complete(&["--file", "no-such-file"], b"");
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("opening no-such-file"));
}

#[test]
fn samples_are_those_of_their_seeds_written_together_or_alone() {
    let one = |seed: &str| text(&["--seed", seed, "-n", "20", "--temperature", "1.2", "The"], "");
    let singles = ["5", "6", "7"].map(one);
    let expected: Vec<&str> = singles.iter().map(|text| text.strip_suffix('\n').unwrap_or(text)).collect();
    for batch in ["1", "2", "8"] {
        let flags = ["--seed", "5", "-n", "20", "--temperature", "1.2", "--samples", "3", "--batch", batch, "The"];
        let three = text(&[&flags[..], &["--separator", "--~"]].concat(), "");
        let found: Vec<&str> = three.split("\n--~\n").collect();
        assert_eq!(found.len(), 3, "{three:?}");
        let found: Vec<&str> = found.iter().map(|text| text.strip_suffix('\n').unwrap_or(text)).collect();
        assert_eq!(found, expected, "{batch} together");
        let output = complete(&[&flags[..], &["--json"]].concat(), b"");
        let texts: Vec<String> = objects(&output).iter().map(|o| o["text"].as_str().unwrap().to_string()).collect();
        assert_eq!(texts, singles, "{batch} together, as JSON");
    }
}

#[test]
fn lines_are_answered_in_order_with_the_texts_they_have_alone() {
    let prompts: Vec<String> = (0..24).map(|i| "The cat sat on ".chars().take(1 + i * 5 % 14).collect()).collect();
    let lines: Vec<String> = prompts
        .iter()
        .enumerate()
        .map(|(i, prompt)| json!({"prompt": prompt, "id": i, "max_tokens": 1 + i * 7 % 20}).to_string())
        .collect();
    let output = complete(&["--jsonl", "--seed", "3", "--batch", "5"], lines.join("\n").as_bytes());
    assert_eq!(output.status.code(), Some(0));
    let found = objects(&output);
    assert_eq!(found.iter().map(|o| o["id"].as_u64().unwrap()).collect::<Vec<_>>(), (0..24).collect::<Vec<_>>());
    for i in [0, 5, 11, 23] {
        let n = (1 + i * 7 % 20).to_string();
        assert_eq!(found[i]["text"], text(&["--seed", "3", "-n", &n, &prompts[i]], ""), "line {i}");
    }
}

#[test]
fn bad_lines_are_answered_by_an_error_and_exit_code_1_and_the_others_all_the_same() {
    let long = "the cat sat on the mat. ".repeat(3000);
    let long = json!(long).to_string();
    let bytes = [b"\"The\"\nnonsense\n\xff\xfe\n\x00\n".as_slice(), long.as_bytes(), b"\n\"The\"\n"];
    let output = complete(&["--jsonl", "--seed", "1", "-n", "5"], &bytes.concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("4 lines could not be answered"));
    let found = objects(&output);
    assert_eq!(found.len(), 6);
    assert_eq!(found[0]["text"], found[5]["text"]);
    for (i, words) in [(1, "not JSON"), (2, "not UTF-8: byte 0 is 0xff"), (3, "not JSON"), (4, "the prompt has")] {
        assert!(found[i]["error"].as_str().unwrap().contains(words), "{}", found[i]);
        assert_eq!(found[i]["line"], i + 1);
    }
}

#[test]
fn a_writer_that_waits_for_each_answer_gets_it() {
    let (mut child, mut input, mut output) = start_lines(&["-n", "4", "--batch", "8"]);
    for i in 0..5 {
        writeln!(input, "{}", json!({"prompt": "The cat", "id": i})).unwrap();
        assert_eq!(answer(&mut output)["id"], i);
    }
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// The most memory that a process has held, in KiB.
#[cfg(target_os = "linux")]
fn peak_memory(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux tells it");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn ten_thousand_lines_keep_their_order_and_memory_stays_flat() {
    let (mut child, mut input, mut output) = start_lines(&["-n", "1", "--threads", "1"]);
    let writer = std::thread::spawn(move || {
        for i in 0..10_000 {
            writeln!(input, "{}", json!({"prompt": "The", "id": i})).unwrap();
        }
        input
    });
    let mut early = 0;
    for i in 0..10_000 {
        assert_eq!(answer(&mut output)["id"], i);
        if i == 500 {
            early = peak_memory(&child);
        }
    }
    let late = peak_memory(&child);
    drop(writer.join().unwrap());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(late < early + 8 * 1024, "{early} KiB after 500 lines, {late} KiB after 10,000");
}

#[test]
fn an_endless_writer_is_held_back_by_a_slow_reader_and_ends_when_that_leaves() {
    let (mut child, mut input, mut output) = start_lines(&["-n", "2"]);
    // Ends only when nobody reads any more.
    let writer = std::thread::spawn(move || {
        let mut n_lines = 0u64;
        while writeln!(input, "\"The\"").is_ok() {
            n_lines += 1;
        }
        n_lines
    });
    for _ in 0..20 {
        assert!(answer(&mut output)["text"].is_string());
    }
    drop(output);
    assert_eq!(child.wait().unwrap().code(), Some(0), "a reader that has enough is a good end");
    assert!(writer.join().unwrap() >= 20);
}

#[test]
fn the_first_line_is_enough_for_head() {
    let mut child = start(&["--samples", "500", "--seed", "1", "The"]);
    drop(child.stdin.take());
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    drop(output);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut words = String::new();
    child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert_eq!(words, "");
}

#[cfg(unix)]
#[test]
fn a_signal_in_the_middle_of_the_lines_ends_them_with_130_and_whole_objects() {
    let (mut child, mut input, mut output) = start_lines(&["-n", "4"]);
    for _ in 0..3 {
        writeln!(input, "\"The cat\"").unwrap();
    }
    answer(&mut output);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    // The input stays open: nothing but the signal ends it.
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(input);
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    rest.lines().for_each(|line| assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}"));
}

#[test]
fn a_schema_gives_json_that_parses_however_few_tokens_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("schema.json");
    let schema = json!({
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "likes": {"type": "array", "items": {"type": "string"}}},
        "required": ["name", "age", "likes"],
        "additionalProperties": false
    });
    fs::write(&file, schema.to_string()).unwrap();
    let flags = ["--json-schema", file.to_str().unwrap(), "--temperature", "1.5", "The cat: "];
    for (seed, n) in [("1", "0"), ("2", "1"), ("3", "7"), ("4", "20"), ("5", "500")] {
        let output = complete(&[&flags[..], &["--seed", seed, "-n", n]].concat(), b"");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(value["name"].is_string() && value["age"].is_i64() && value["likes"].is_array(), "{text}");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(n != "1" || words.contains("closed as the grammar demands"), "{words}");
    }
    let lines = complete(&["--jsonl", "--json-schema", file.to_str().unwrap(), "-n", "9"], b"\"a\"\n\"b\"\n");
    for object in objects(&lines) {
        assert!(serde_json::from_str::<Value>(object["text"].as_str().unwrap()).is_ok(), "{object}");
        assert!(["closed", "whole"].contains(&object["stop_reason"].as_str().unwrap()), "{object}");
    }
}

#[test]
fn grammars_in_both_notations_are_followed_and_wrong_ones_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("grammar");
    let flags = ["--grammar", file.to_str().unwrap(), "--seed", "1", "--json", "The"];
    for grammar in ["root ::= (\"yes\" | \"no\") \"!\"?\n", "start: (\"yes\" | \"no\") \"!\"?\n"] {
        fs::write(&file, grammar).unwrap();
        let object: Value = serde_json::from_str(&text(&flags, "")).unwrap();
        assert!(["yes", "no", "yes!", "no!"].contains(&object["text"].as_str().unwrap()), "{object}");
    }
    fs::write(&file, "root ::= item\n").unwrap();
    let output = complete(&flags, b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("uses a rule item"));
}

#[test]
fn a_score_is_the_sum_of_what_each_token_has() {
    let output = complete(&["--score", "--json", "--logprobs", "3", "The cat sat on the mat."], b"");
    let object = &objects(&output)[0];
    let tokens = object["logprobs"].as_array().unwrap();
    let sum: f64 = tokens.iter().map(|token| token["logprob"].as_f64().unwrap()).sum();
    let total = object["log_probability"].as_f64().unwrap();
    assert!((sum - total).abs() < 1e-9 * total.abs(), "{sum} and {total}");
    assert!((object["bits_per_byte"].as_f64().unwrap() + total / 2f64.ln() / 23.0).abs() < 1e-9);
    let written: String = tokens.iter().map(|token| token["token"].as_str().unwrap()).collect();
    assert_eq!((written.as_str(), tokens[0]["top"].as_array().unwrap().len()), ("The cat sat on the mat.", 3));
    let plain = text(&["--score"], "The cat sat on the mat.\n");
    let names: Vec<&str> = plain.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(names, ["log_probability", "bits_per_byte", "n_tokens", "n_bytes"]);
    let strange = text(&["--score", "--json"], "xq zvw kjqq xzz");
    let strange: Value = serde_json::from_str(&strange).unwrap();
    assert!(strange["bits_per_byte"].as_f64() > object["bits_per_byte"].as_f64(), "{strange}");
    assert_eq!(complete(&["--score"], b"").status.code(), Some(1), "there is no text");
    // Longer than the context of 64 tokens.
    text(&["--score"], &"The cat sat on the mat. ".repeat(100));
}

#[test]
fn notes_are_for_those_who_want_them() {
    let stderr = |args: &[&str]| String::from_utf8_lossy(&complete(args, b"").stderr).into_owned();
    let long = "the cat sat on the mat. ".repeat(100);
    assert!(stderr(&["--truncate", "front", "-n", "3", &long]).contains("only its last"));
    assert_eq!(stderr(&["--truncate", "front", "-n", "3", "--quiet", &long]), "");
    let timings = stderr(&["--timings", "-n", "3", "The"]);
    assert!(timings.contains("tokens/s") && timings.contains("prompt: "), "{timings}");
}

#[test]
fn words_can_be_forbidden_and_the_end_put_off() {
    let plain = text(&["--temperature", "0", "-n", "30", "The"], "");
    let word: String = plain.split_whitespace().next().unwrap().to_string();
    let without = text(&["--temperature", "0", "-n", "30", "--bad-word", &word, "The"], "");
    assert!(!without.contains(&word), "{word:?} in {without:?}");
    let flags = ["--json", "-n", "40", "--seed", "1", "--min-tokens", "40", "The"];
    let object: Value = serde_json::from_str(&text(&flags, "")).unwrap();
    assert_eq!(object["n_generated_tokens"], 40, "{object}");
}

#[test]
fn shells_get_a_script_and_answers_with_names_of_models() {
    for (shell, words) in [("bash", "complete "), ("zsh", "compdef"), ("fish", "complete"), ("powershell", "Register-")]
    {
        let output = siskin(&["completions", shell]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains(words) && script.contains("siskin"), "{shell}: {script}");
    }
    assert_eq!(siskin(&["completions", "tcsh"]).output().unwrap().status.code(), Some(2));
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("runs/my-diary")).unwrap();
    let asked = |words: &[&str]| {
        let args = [&["--", "siskin"], words].concat();
        let output = siskin(&args).env("SISKIN_COMPLETE", "fish").current_dir(folder.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(asked(&["complete", "--model", "my"]).contains("my-diary"));
    assert!(asked(&["chat", "my"]).contains("my-diary"));
    assert!(asked(&["complete", "--xtc"]).contains("--xtc-threshold"));
    assert!(asked(&["quan"]).contains("quantize"));
}

#[test]
fn manual_pages_are_printed_or_written() {
    let page = |args: &[&str]| {
        let output = siskin(&[&["man"], args].concat()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, siskin_page) = page(&[]);
    assert!(code == Some(0) && siskin_page.contains(".TH siskin 1"), "{siskin_page}");
    let (code, complete_page) = page(&["complete"]);
    assert!(code == Some(0) && complete_page.contains("json\\-schema"), "{complete_page}");
    assert_eq!(page(&["nonsense"]).0, Some(2));
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(page(&["--dir", folder.path().to_str().unwrap()]).0, Some(0));
    for name in ["siskin.1", "siskin-complete.1", "siskin-train.1"] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
}
