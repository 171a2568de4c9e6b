//! The pipe contract, with the real binary and real pipes: what goes in, what comes out, and every exit code.

mod fixture;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// `siskin` with `args`, all three streams piped, and no colours or history of the person who runs the tests.
fn siskin(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_siskin"));
    command.args(args).env("NO_COLOR", "1").env("SISKIN_HISTORY", "");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn model() -> &'static str {
    fixture::tiny_model().to_str().expect("the fixture's path is UTF-8")
}

/// Runs `siskin COMMAND -m TINY ARGS` with `input` on standard input.
fn run(command: &str, args: &[&str], input: &[u8]) -> Output {
    let args = [&[command, "-m", model()], args].concat();
    let mut child = siskin(&args).spawn().unwrap();
    // The process may refuse its arguments and never read: then writing fails, which is not what is tested.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn complete(args: &[&str], input: &str) -> Output {
    run("complete", args, input.as_bytes())
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("standard output is UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn assert_exit(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "stderr: {}", stderr(output));
}

/// The object of `--json`.
#[track_caller]
fn json(args: &[&str], input: &str) -> Value {
    let output = complete(&[&["--json"], args].concat(), input);
    assert_exit(&output, 0);
    serde_json::from_slice(&output.stdout).expect("one JSON object on standard output")
}

#[test]
fn a_prompt_from_a_pipe_and_from_the_arguments_give_the_same_text_and_nothing_else() {
    let flags = ["--seed", "7", "-n", "20"];
    let piped = complete(&flags, "once upon a time\n");
    let given = complete(&[&flags[..], &["once", "upon a time"]].concat(), "");
    assert_exit(&piped, 0);
    assert!(!piped.stdout.is_empty());
    assert_eq!(stdout(&piped), stdout(&given));
    assert_eq!(stderr(&piped), "");
}

#[test]
fn the_same_seed_gives_the_same_text_and_threads_do_not_change_it() {
    let text = |seed: u32, threads: &str| {
        let seed = seed.to_string();
        stdout(&complete(&["-n", "40", "--seed", &seed, "--threads", threads], "the"))
    };
    assert_eq!(text(1, "1"), text(1, "2"));
    assert!((2..9).any(|seed| text(seed, "1") != text(1, "1")), "seven seeds gave one text");
}

#[test]
fn a_text_written_with_guesses_ahead_is_the_same_text() {
    let text = |draft: &str, temperature: &str| {
        let flags = ["-n", "60", "--seed", "4", "--temperature", temperature, "--draft", draft];
        stdout(&complete(&flags, "the cat the cat the cat the cat the cat"))
    };
    for temperature in ["0", "1"] {
        assert_eq!(text("on", temperature), text("off", temperature), "temperature {temperature}");
    }
}

#[test]
fn echo_repeats_the_prompt_before_the_continuation() {
    let flags = ["--seed", "3", "-n", "10", "the cat"];
    let plain = complete(&flags, "");
    let echoed = complete(&[&["--echo"], &flags[..]].concat(), "");
    assert_eq!(stdout(&echoed), format!("the cat{}", stdout(&plain)));
}

#[test]
fn json_is_one_object_with_text_counts_stop_reason_seed_and_timings() {
    let flags = ["--seed", "3", "-n", "10", "the cat"];
    let object = json(&flags, "");
    assert_eq!(object["text"], stdout(&complete(&flags, "")));
    assert_eq!(object["seed"], 3);
    assert!(object["n_prompt_tokens"].as_u64().unwrap() >= 2);
    let (n, stop) = (object["n_generated_tokens"].as_u64().unwrap(), object["stop_reason"].as_str().unwrap());
    assert!((n == 10 && stop == "max_tokens") || (n < 10 && stop == "end_of_text"), "{object}");
    assert!(object["timings"]["generation_tokens_per_s"].as_f64().unwrap() >= 0.0);
    assert!(object["model"].is_string());
}

#[test]
fn a_seed_that_is_not_given_is_told_and_can_be_repeated() {
    let first = json(&["-n", "20", "the"], "");
    let seed = first["seed"].to_string();
    assert_eq!(json(&["-n", "20", "the", "--seed", &seed], "")["text"], first["text"]);
}

#[test]
fn no_input_at_all_begins_from_nothing() {
    let object = json(&["-n", "5", "--seed", "1"], "");
    assert_eq!(object["n_prompt_tokens"], 1, "only the token that begins every document");
    let closed = siskin(&["complete", "-m", model(), "-n", "5"]).stdin(Stdio::null()).output().unwrap();
    assert_exit(&closed, 0);
}

#[test]
fn zero_tokens_are_zero_bytes() {
    let output = complete(&["-n", "0", "the"], "");
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), "");
}

#[test]
fn a_stop_string_ends_the_text_before_it() {
    let flags = ["--seed", "5", "-n", "60", "the"];
    let whole = stdout(&complete(&flags, ""));
    // Two characters of the text itself, so that the stop surely comes, wherever tokens end.
    let stop: String = whole.chars().skip(3).take(2).collect();
    assert_eq!(stop.chars().count(), 2, "the fixture wrote only {whole:?}");
    let expected = whole.split(&stop).next().unwrap();
    let escaped = stop.replace('\\', "\\\\").replace('\n', "\\n");
    let object = json(&[&["--stop", "a text that never comes", "--stop", &escaped], &flags[..]].concat(), "");
    assert_eq!(object["text"], expected);
    assert_eq!(object["stop_reason"], "stop_string");
}

#[test]
fn a_prompt_that_does_not_fit_says_by_how_much_and_how_to_go_on() {
    let long = "the cat sat on the mat. ".repeat(3000);
    let output = complete(&["-n", "3"], &long);
    assert_exit(&output, 1);
    assert_eq!(stdout(&output), "");
    for words in ["the prompt has", "the model's context is", "shorten it by", "--truncate front"] {
        assert!(stderr(&output).contains(words), "{words:?} is missing in {}", stderr(&output));
    }
    let output = complete(&["-n", "3", "--truncate", "front"], &long);
    assert_exit(&output, 0);
    assert!(stderr(&output).contains("only its last"), "{}", stderr(&output));
}

#[test]
fn a_context_that_fills_up_is_said_and_never_slides_in_silence() {
    for seed in 0..20 {
        let output = complete(&["--json", "-n", "1000000", "--temperature", "2", "--seed", &seed.to_string()], "the");
        assert_exit(&output, 0);
        let object: Value = serde_json::from_slice(&output.stdout).unwrap();
        if object["stop_reason"] == "context_full" {
            assert!(stderr(&output).contains("tokens is full"), "{}", stderr(&output));
            return;
        }
        assert_eq!(object["stop_reason"], "end_of_text");
    }
    // A fixture that always ends its documents early has nothing to show here; the unit tests cover the rule.
}

#[test]
fn input_that_is_not_utf_8_names_the_offset() {
    let output = run("complete", &[], b"caf\xe9 au lait");
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("byte 3 is 0xe9"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}

#[test]
fn an_endless_writer_is_refused() {
    let mut child = siskin(&["complete", "-m", model()]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let block = vec![b'y'; 1 << 16];
    while input.write_all(&block).is_ok() {}
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("MiB"), "{}", stderr(&output));
}

#[test]
fn a_missing_model_fails_and_wrong_values_are_wrong_usage() {
    let missing = siskin(&["complete", "-m", "no-such-model", "x"]).output().unwrap();
    assert_exit(&missing, 1);
    assert!(stderr(&missing).contains("no-such-model"), "{}", stderr(&missing));
    for (flags, words) in [
        (&["--temperature", "-1"][..], "from 0 to 100"),
        (&["--temperature", "warm"], "warm"),
        (&["--top-p", "1.5"], "above 0 and at most 1"),
        (&["--min-p", "2"], "from 0 to 1"),
        (&["--repetition-penalty", "0"], "from 0.1 to 10"),
        (&["--stop", ""], "must not be empty"),
        (&["--truncate", "back"], "front"),
        (&["--threads", "0"], "threads"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["--samplers", "magic"], "there is no sampler"),
        (&["--samples", "0"], "--samples"),
        (&["--logprobs", "2"], "--json"),
        (&["--jsonl"], "--jsonl"),
        (&["--grammar", "g.lark", "--stop", "x"], "--stop"),
        (&["--grammar", "g.lark", "--json-schema", "s.json"], "--json-schema"),
        (&["--grammar", "g.lark", "--min-tokens", "2"], "--min-tokens"),
        (&["--score", "--samples", "2"], "--score"),
    ] {
        let output = complete(&[flags, &["x"]].concat(), "");
        assert_exit(&output, 2);
        assert!(stderr(&output).contains(words), "{flags:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn a_reader_that_leaves_is_a_quiet_success() {
    for flags in [&["-n", "1000000"][..], &["-n", "50", "--json"]] {
        let args = [&["complete", "-m", model(), "--seed", "1", "the"], flags].concat();
        let mut child = siskin(&args).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_exit(&output, 0);
        assert_eq!(stderr(&output), "", "{flags:?}");
    }
}

#[test]
fn the_text_streams_and_a_reader_that_has_enough_ends_it() {
    let mut child = siskin(&["complete", "-m", model(), "--seed", "1", "-n", "100000", "the"]).spawn().unwrap();
    drop(child.stdin.take());
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0; 1]).unwrap();
    drop(output);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_pipe_is_answered_line_by_line_in_chat() {
    let output = run("chat", &["-n", "8", "--seed", "1"], b"hello\n\nonce upon\n");
    assert_exit(&output, 0);
    let text = stdout(&output);
    assert!(text.ends_with('\n') && text.lines().count() >= 2, "{text:?}");
    // The text itself may hold any byte; colours and cursor movements begin with ESC and a bracket.
    assert!(!text.contains("> ") && !text.contains("\x1b["), "a pipe gets no decoration: {text:?}");
    let silent = run("chat", &[], b"");
    assert_exit(&silent, 0);
    assert_eq!(stdout(&silent), "");
}

#[test]
fn commands_in_chat_speak_on_standard_error() {
    let output = run("chat", &[], b"/help\n/set temperature 9000\n/stats\n/nonsense\n/quit\nnever answered\n");
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), "");
    for words in
        ["/reset", "temperature is 9000, but must be from 0 to 100", "tokens of context", "there is no command"]
    {
        assert!(stderr(&output).contains(words), "{words:?} is missing in {}", stderr(&output));
    }
}

#[test]
fn a_line_that_does_not_fit_fails_the_chat_of_a_pipe() {
    let output = run("chat", &["-n", "3"], "the cat sat on the mat. ".repeat(3000).as_bytes());
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("/reset"), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_piped_chat_with_130_and_keeps_what_was_written() {
    // Chat lives for as long as its pipe is open, however fast the model is, so the signal surely finds it: while it
    // waits for a line, and the next answer is cut before its first token, or in the middle of an answer.
    let mut child = siskin(&["chat", "-m", model(), "-n", "4", "--seed", "1"]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    writeln!(input, "the cat").unwrap();
    let mut answer = String::new();
    output.read_line(&mut answer).unwrap();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    // A second line may find the pipe closed already, which is just as right.
    let _ = writeln!(input, "and then");
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(answer.ends_with('\n'));
}
