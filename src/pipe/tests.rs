//! The pipe with streams that a test can watch and a model that says what it is told.

use std::io;

use super::*;
use crate::generation::mock::{Mock, tokenizer};

fn settings() -> Settings {
    Settings {
        max_tokens: 20,
        sampler: SamplerConfig::greedy(),
        stops: Vec::new(),
        grammar: None,
        scores: false,
        n_likely: None,
        with_tokens: false,
        truncate_front: false,
        model: "mock".to_string(),
        begin_of_text: Some(tokenizer().end_of_text()),
        end_ids: vec![tokenizer().end_of_text()],
    }
}

fn request(prompt: &str) -> Request {
    Request {
        prompt: prompt.to_string(),
        settings: settings(),
        n_samples: 1,
        separator: "---".to_string(),
        echo: false,
        json: false,
        timings: false,
        to_terminal: false,
    }
}

/// A model that says `text` after a prompt of any length, letter by letter as the prompt's tokens are counted.
fn speaker(tokenizer: &Tokenizer, n_prompt: usize, n_context: usize, text: &str) -> Mock {
    let (ids, end) = (tokenizer.encode(text).unwrap(), tokenizer.end_of_text());
    Mock::new(tokenizer.vocab_size(), n_context, move |fed| {
        fed.len().checked_sub(n_prompt).and_then(|i| ids.get(i)).copied().unwrap_or(end)
    })
}

/// Output and notes of a request to a model that says `text` and has room for `n_context` tokens.
fn run(request: &Request, n_context: usize, text: &str) -> Result<(String, String)> {
    let tokenizer = tokenizer();
    let n_prompt = (tokenizer.encode(&request.prompt)?.len() + 1).min(n_context / 2);
    let mut model = speaker(&tokenizer, n_prompt, n_context, text);
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let end = complete(&mut model, &tokenizer, request, &mut out, &mut notes, &AtomicBool::new(false))?;
    assert_eq!(end, End::Done);
    Ok((String::from_utf8(out)?, String::from_utf8(notes)?))
}

#[test]
fn the_output_is_the_continuation_and_nothing_else() {
    let (out, notes) = run(&request("a b"), 100, " c\x1b[0m\n").unwrap();
    assert_eq!((out.as_str(), notes.as_str()), (" c\x1b[0m\n", ""));
}

#[test]
fn echo_repeats_the_prompt_and_a_terminal_gets_visible_controls_and_a_newline() {
    let echo = Request { echo: true, to_terminal: true, ..request("a b") };
    assert_eq!(run(&echo, 100, " c\x1b[0m").unwrap().0, "a b c^[[0m\n");
}

#[test]
fn an_empty_prompt_begins_a_document() {
    assert_eq!(run(&request(""), 100, "yes").unwrap().0, "yes");
}

#[test]
fn json_holds_text_counts_stop_reason_seed_and_timings() {
    let stopping = Settings { stops: vec!["ND".to_string()], ..settings() };
    let json = Request { json: true, settings: stopping, ..request("") };
    let (out, _) = run(&json, 100, "the END").unwrap();
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["text"], "the E");
    assert_eq!(value["stop_reason"], "stop_string");
    assert_eq!(value["n_prompt_tokens"], 1);
    assert_eq!(value["n_generated_tokens"], tokenizer().encode("the END").unwrap().len());
    assert_eq!((&value["seed"], &value["model"]), (&0.into(), &"mock".into()));
    for key in ["prompt_ms", "prompt_tokens_per_s", "generation_ms", "generation_tokens_per_s"] {
        assert!(value["timings"][key].is_number(), "{key} in {out}");
    }
}

#[test]
fn a_prompt_that_does_not_fit_is_an_error_that_says_by_how_much() {
    let prompt = "0".repeat(300);
    let n_prompt = tokenizer().encode(&prompt).unwrap().len() + 1;
    let error = run(&request(&prompt), 64, "x").unwrap_err().to_string();
    let excess = n_prompt - 63;
    assert!(error.contains(&format!("{n_prompt} tokens")) && error.contains("context is 64"), "{error}");
    assert!(error.contains(&format!("by {excess} ")) && error.contains("--truncate front"), "{error}");
}

#[test]
fn truncation_is_asked_for_and_said() {
    let cutting = Settings { truncate_front: true, max_tokens: 50, ..settings() };
    let long = Request { settings: cutting, ..request(&"0".repeat(300)) };
    let (out, notes) = run(&long, 64, "yes").unwrap();
    assert_eq!(out, "yes");
    assert!(notes.contains("only its last 32 are used"), "{notes}");
}

#[test]
fn a_full_context_is_said() {
    let (out, notes) =
        run(&Request { settings: Settings { max_tokens: 99, ..settings() }, ..request("") }, 11, &"1".repeat(50))
            .unwrap();
    assert!(!out.is_empty() && out.bytes().all(|b| b == b'1'));
    assert!(notes.contains("context of 11 tokens is full: 10 of 99"), "{notes}");
}

/// Lets a number of writes pass, then has no reader any more.
struct Closing(usize);

impl Write for Closing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_leaves_ends_it_at_once_without_an_error() {
    let tokenizer = tokenizer();
    for (json, n_writes) in [(false, 0), (false, 2), (true, 0)] {
        let mut model = speaker(&tokenizer, 1, 100, &"1".repeat(50));
        let request = Request { json, ..request("") };
        let (mut out, mut notes) = (Closing(n_writes), Vec::new());
        let end = complete(&mut model, &tokenizer, &request, &mut out, &mut notes, &AtomicBool::new(false));
        assert_eq!((end.unwrap(), notes.len()), (End::ReaderGone, 0));
        assert!(json || model.n_fed.get() <= n_writes + 1, "{} tokens were fed for nobody", model.n_fed.get());
    }
}

#[test]
fn an_interruption_is_told_apart() {
    let tokenizer = tokenizer();
    let mut model = speaker(&tokenizer, 1, 100, "111");
    let end = complete(&mut model, &tokenizer, &request(""), &mut Vec::new(), &mut Vec::new(), &AtomicBool::new(true));
    assert_eq!(end.unwrap(), End::Interrupted);
}

#[test]
fn samples_are_separated_by_a_line_and_come_in_their_order() {
    let three = Request { n_samples: 3, ..request("") };
    assert_eq!(run(&three, 100, "yes").unwrap().0, "yes\n---\nyes\n---\nyes");
    assert_eq!(run(&three, 100, "line\n").unwrap().0, "line\n---\nline\n---\nline\n");
    let echoed = Request { n_samples: 2, echo: true, separator: "===".to_string(), ..request("a") };
    assert_eq!(run(&echoed, 100, "b").unwrap().0, "ab\n===\nab");
    let json = Request { n_samples: 2, json: true, ..request("") };
    let seeds: Vec<u64> = run(&json, 100, "yes")
        .unwrap()
        .0
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["seed"].as_u64().unwrap())
        .collect();
    assert_eq!(seeds, [0, 1]);
}

#[test]
fn tokens_are_told_in_place_of_the_text() {
    let tokens = Request { settings: Settings { with_tokens: true, ..settings() }, ..request("") };
    let [x, line] = ["x", "\n"].map(|text| tokenizer().encode(text).unwrap()[0]);
    assert_eq!(run(&tokens, 100, "x\n").unwrap().0, format!("{x}\t\"x\"\n{line}\t\"\\n\"\n"));
    let (out, _) = run(&Request { json: true, ..tokens }, 100, "x\n").unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap()["tokens"], serde_json::json!([x, line]));
}

#[test]
fn log_probabilities_are_told_with_the_most_likely_tokens() {
    let likely = Request { json: true, settings: Settings { n_likely: Some(2), ..settings() }, ..request("") };
    let (out, _) = run(&likely, 100, "x").unwrap();
    let found = serde_json::from_str::<serde_json::Value>(&out).unwrap()["logprobs"].clone();
    // The model gives its choice a logit of 10 and all others 0.
    let expected = 10.0 - (10f64.exp() + (tokenizer().vocab_size() - 1) as f64).ln();
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["token"], "x");
    assert!((found[0]["logprob"].as_f64().unwrap() - expected).abs() < 1e-6, "{found}");
    assert_eq!(found[0]["top"].as_array().unwrap().len(), 2);
    assert_eq!(found[0]["top"][0]["token"], "x");
}

#[test]
fn a_score_is_the_log_probability_of_the_text_and_its_bits_per_byte() {
    // The mock expects "xy" after the token that begins a text.
    let scores = Settings { scores: true, ..settings() };
    let expected = |n_right: f64, n_wrong: f64| {
        let sum = (10f64.exp() + (tokenizer().vocab_size() - 1) as f64).ln();
        n_right * (10.0 - sum) - n_wrong * sum
    };
    let tokenizer = tokenizer();
    for (text, n_right, n_wrong) in [("xy", 2.0, 0.0), ("xx", 1.0, 1.0), ("zy", 1.0, 1.0)] {
        let mut model = speaker(&tokenizer, 1, 100, "xy");
        let request = Request { json: true, settings: scores.clone(), ..request(text) };
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        complete(&mut model, &tokenizer, &request, &mut out, &mut notes, &AtomicBool::new(false)).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let expected = expected(n_right, n_wrong);
        assert!((value["log_probability"].as_f64().unwrap() - expected).abs() < 1e-5, "{text}: {value}");
        let bits = -expected / 2.0 / 2f64.ln();
        assert!((value["bits_per_byte"].as_f64().unwrap() - bits).abs() < 1e-5, "{text}: {value}");
        assert_eq!((&value["n_tokens"], &value["n_bytes"]), (&2.into(), &2.into()));
    }
    let nothing = Request { settings: scores, ..request("") };
    assert!(run(&nothing, 100, "").unwrap_err().to_string().contains("no text to judge"));
}

/// The output for lines of `--jsonl`, and the end, by a model that says "yes" after three tokens.
fn run_lines(settings: &Settings, input: &str) -> (Vec<serde_json::Value>, End) {
    let tokenizer = tokenizer();
    let mut model = speaker(&tokenizer, 3, 100, "yes");
    let (mut out, input) = (Vec::new(), Box::new(io::Cursor::new(input.as_bytes().to_vec())));
    let end = complete_lines(&mut model, &tokenizer, settings, input, &mut out, &AtomicBool::new(false)).unwrap();
    let lines = String::from_utf8(out).unwrap();
    (lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), end)
}

#[test]
fn each_line_is_answered_in_order_and_bad_ones_by_an_error() {
    let input = "\"xx\"\n{\"prompt\": \"xz\", \"id\": [7], \"max_tokens\": 2}\nnonsense\n\n{\"id\": 5}\n42\n\
                 {\"prompt\": \"a\", \"temperature\": 1, \"id\": null}\n{\"prompt\": \"xy\", \"id\": \"last\"}";
    let (found, end) = run_lines(&settings(), input);
    assert_eq!(end, End::Unanswered(5));
    assert_eq!(found.len(), 8);
    assert_eq!((&found[0]["text"], found[0].get("id")), (&"yes".into(), None));
    assert_eq!((&found[1]["text"], &found[1]["id"]), (&"ye".into(), &serde_json::json!([7])));
    assert_eq!((&found[7]["text"], &found[7]["id"]), (&"yes".into(), &"last".into()));
    for (line, words) in [(2, "not JSON"), (3, "not JSON"), (4, "missing field `prompt`"), (5, "a string or an object")]
    {
        assert!(found[line]["error"].as_str().unwrap().contains(words), "{}", found[line]);
        assert_eq!(found[line]["line"], line + 1);
    }
    assert_eq!(found[4]["id"], 5);
    assert!(found[6]["error"].as_str().unwrap().contains("unknown field `temperature`"));
    assert!(found[6]["id"].is_null() && found[6].get("id").is_some());
}

#[test]
fn lines_without_a_mistake_end_well_and_none_at_all_too() {
    assert_eq!(run_lines(&settings(), "\"xx\"\n").1, End::Done);
    assert_eq!(run_lines(&settings(), ""), (Vec::new(), End::Done));
}

#[test]
fn lines_can_be_judged_instead_of_continued() {
    let scores = Settings { scores: true, ..settings() };
    let (found, end) = run_lines(&scores, "{\"prompt\": \"xx\", \"id\": 1}\n\"\"\n\"abc\"\n");
    assert_eq!(end, End::Unanswered(1));
    assert_eq!((&found[0]["id"], &found[0]["n_bytes"]), (&1.into(), &2.into()));
    assert!(found[1]["error"].as_str().unwrap().contains("no text to judge"));
    assert!(found[2]["log_probability"].as_f64().unwrap() < 0.0);
}
