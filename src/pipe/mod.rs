//! A prompt in, its continuation out: what `siskin complete` does between a shell's pipes.
//!
//! The output gets the text, byte for byte and whole characters at a time, and nothing else; remarks go to `notes`.
//! Nothing is cut silently, and a reader that leaves is a normal end. Streams are parameters, so that tests can watch;
//! which ones they are, and whether one is a terminal, the caller knows.

use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Serialize;

use crate::generation::text::{Outcome, continue_text};
use crate::generation::{Limits, Sampler, SamplerConfig, Session, StopReason, StopStrings, visible};
use crate::inference::LanguageModel;
use crate::tokenizer::Tokenizer;

/// Longest prompt that is read: far above any context, far below any memory.
const MAX_PROMPT_BYTES: u64 = 16 << 20;

/// What is to be written, and how.
#[derive(Debug, Clone)]
pub struct Request {
    /// The text to continue; empty begins from nothing.
    pub prompt: String,
    /// Most tokens to write.
    pub max_tokens: usize,
    /// How tokens are chosen.
    pub sampler: SamplerConfig,
    /// Texts at which to end, themselves not written.
    pub stops: Vec<String>,
    /// Write the prompt before its continuation.
    pub echo: bool,
    /// Write one JSON object at the end instead of streaming the text.
    pub json: bool,
    /// Drop the beginning of a prompt that does not fit, instead of failing.
    pub truncate_front: bool,
    /// What the JSON calls the model.
    pub model: String,
    /// What stands before each text, if anything does.
    pub begin_of_text: Option<u32>,
    /// Ids at which the model is done.
    pub end_ids: Vec<u32>,
    /// The output is a terminal: control characters are shown instead of obeyed, and a newline ends the text.
    pub to_terminal: bool,
}

/// How a completion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The text is written.
    Done,
    /// The output was closed by its reader.
    ReaderGone,
    /// The user interrupted; what was written until then stands.
    Interrupted,
}

/// The object of `--json`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    model: &'a str,
    text: String,
    /// With the token that begins every document.
    n_prompt_tokens: usize,
    n_generated_tokens: usize,
    stop_reason: StopReason,
    seed: u64,
    timings: Timings,
}

#[derive(Debug, Serialize)]
struct Timings {
    prompt_ms: f64,
    prompt_tokens_per_s: f64,
    generation_ms: f64,
    generation_tokens_per_s: f64,
}

/// Reads a prompt to the end of `input`. One line ending at its end is taken off, so that `echo "Once upon a time"`
/// is a sentence to be continued. Errors: not UTF-8 (with the offset of the first wrong byte), or more than 16 MiB.
pub fn read_prompt(input: &mut dyn Read) -> Result<String> {
    let mut bytes = Vec::new();
    input.take(MAX_PROMPT_BYTES + 1).read_to_end(&mut bytes).context("reading standard input")?;
    ensure!(
        bytes.len() as u64 <= MAX_PROMPT_BYTES,
        "standard input has more than {} MiB, and no model's context holds so much: pipe in less, for example through \
         `tail -c 4000`",
        MAX_PROMPT_BYTES >> 20
    );
    let mut prompt = String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let byte = error.as_bytes()[offset];
        anyhow!(
            "standard input is not UTF-8: byte {offset} is 0x{byte:02x}; convert it first, for example with `iconv`"
        )
    })?;
    if prompt.ends_with('\n') {
        prompt.pop();
        if prompt.ends_with('\r') {
            prompt.pop();
        }
    }
    Ok(prompt)
}

/// Continues `request.prompt`: text (or JSON) to `out`, remarks to `notes`. Raising `interrupted` ends it early.
/// Errors: settings out of range, a prompt that does not fit, broken logits, a failing output.
pub fn complete(
    model: &mut dyn LanguageModel,
    tokenizer: &Tokenizer,
    request: &Request,
    out: &mut dyn Write,
    notes: &mut dyn Write,
    interrupted: &AtomicBool,
) -> Result<End> {
    match write_completion(model, tokenizer, request, out, notes, interrupted) {
        Ok(StopReason::Interrupted) => Ok(End::Interrupted),
        Ok(_) => Ok(End::Done),
        Err(error) if is_broken_pipe(&error) => Ok(End::ReaderGone),
        Err(error) => Err(error),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn write_completion(
    model: &mut dyn LanguageModel,
    tokenizer: &Tokenizer,
    request: &Request,
    out: &mut dyn Write,
    notes: &mut dyn Write,
    interrupted: &AtomicBool,
) -> Result<StopReason> {
    let mut sampler = Sampler::new(request.sampler.clone())?;
    let mut stops = StopStrings::new(request.stops.clone())?;
    let mut session = Session::new(model);
    let n_prompt = set_prompt(&mut session, tokenizer, request, notes)?;
    let limits = Limits { max_tokens: request.max_tokens, end_ids: &request.end_ids, interrupted };

    let mut text = String::new();
    let mut show = |piece: &str| {
        if request.json {
            text.push_str(piece);
            return Ok(());
        }
        let shown = if request.to_terminal { visible(piece) } else { piece.into() };
        out.write_all(shown.as_bytes())?;
        Ok(out.flush()?)
    };
    if request.echo {
        show(&request.prompt)?;
    }
    let start = Instant::now();
    session.prefill(interrupted)?;
    let prompt_time = start.elapsed();
    let start = Instant::now();
    let outcome = continue_text(&mut session, &mut sampler, limits, tokenizer, &mut stops, &mut show)?;
    let timings = timings(n_prompt, prompt_time, outcome.n_generated, start.elapsed());

    if request.json {
        write_report(out, request, text, n_prompt, outcome, timings)?;
    } else if request.to_terminal {
        writeln!(out)?;
        out.flush()?;
    }
    if outcome.stop == StopReason::ContextFull {
        let (n_context, n_written, n_wanted) = (session.n_context(), outcome.n_generated, request.max_tokens);
        note(
            notes,
            format_args!("the context of {n_context} tokens is full: {n_written} of {n_wanted} tokens were written"),
        );
    }
    Ok(outcome.stop)
}

/// Gives the session the prompt as a document begins, cut at the front if that is asked for. Returns its tokens.
fn set_prompt(session: &mut Session, tokenizer: &Tokenizer, request: &Request, notes: &mut dyn Write) -> Result<usize> {
    let mut ids = Vec::from_iter(request.begin_of_text);
    ids.extend(tokenizer.encode(&request.prompt)?);
    if ids.is_empty() {
        // Something has to be continued, and after a text another begins.
        ids.push(tokenizer.end_of_text());
    }
    let (n_prompt, n_context) = (ids.len(), session.n_context());
    if request.truncate_front && n_prompt >= n_context {
        // Room for what is asked for, but never at the price of more than half the context.
        let n_kept = n_context.saturating_sub(request.max_tokens.max(1)).max(n_context / 2);
        ids.drain(..n_prompt - n_kept);
        note(
            notes,
            format_args!("the prompt has {n_prompt} tokens, the context {n_context}: only its last {n_kept} are used"),
        );
    }
    if let Err(error) = session.set_prompt(&ids) {
        bail!("{error}, or keep only its end with --truncate front");
    }
    Ok(ids.len())
}

/// A remark for the person; that it cannot be written is no reason to fail.
fn note(notes: &mut dyn Write, words: std::fmt::Arguments) {
    let _ = writeln!(notes, "note: {words}");
}

fn timings(n_prompt: usize, prompt_time: Duration, n_generated: usize, generation_time: Duration) -> Timings {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    // A clock that did not move would give an infinity, which JSON cannot say.
    let per_s = |n: usize, time: Duration| n as f64 / time.as_secs_f64().max(1e-9);
    Timings {
        prompt_ms: ms(prompt_time),
        prompt_tokens_per_s: per_s(n_prompt, prompt_time),
        generation_ms: ms(generation_time),
        generation_tokens_per_s: per_s(n_generated, generation_time),
    }
}

fn write_report(
    out: &mut dyn Write,
    request: &Request,
    text: String,
    n_prompt_tokens: usize,
    outcome: Outcome,
    timings: Timings,
) -> Result<()> {
    let report = Report {
        model: &request.model,
        text,
        n_prompt_tokens,
        n_generated_tokens: outcome.n_generated,
        stop_reason: outcome.stop,
        seed: request.sampler.seed,
        timings,
    };
    // Through a string, so that a closed pipe arrives as an error of the stream and not of the serializer.
    let mut line = serde_json::to_string(&report)?;
    line.push('\n');
    out.write_all(line.as_bytes())?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::generation::mock::{Mock, tokenizer};

    fn request(prompt: &str) -> Request {
        Request {
            prompt: prompt.to_string(),
            max_tokens: 20,
            sampler: SamplerConfig { temperature: 0.0, ..SamplerConfig::default() },
            stops: Vec::new(),
            echo: false,
            json: false,
            truncate_front: false,
            model: "mock".to_string(),
            begin_of_text: Some(tokenizer().end_of_text()),
            end_ids: vec![tokenizer().end_of_text()],
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
        let json = Request { json: true, stops: vec!["ND".to_string()], ..request("") };
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
        let long = Request { truncate_front: true, max_tokens: 50, ..request(&"0".repeat(300)) };
        let (out, notes) = run(&long, 64, "yes").unwrap();
        assert_eq!(out, "yes");
        assert!(notes.contains("only its last 32 are used"), "{notes}");
    }

    #[test]
    fn a_full_context_is_said() {
        let (out, notes) = run(&Request { max_tokens: 99, ..request("") }, 11, &"1".repeat(50)).unwrap();
        assert!(!out.is_empty() && out.bytes().all(|b| b == b'1'));
        assert!(notes.contains("context of 11 tokens is full: 10 of 99"), "{notes}");
    }

    /// Lets a number of writes pass, then has no reader any more.
    struct Closing(usize);

    impl Write for Closing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(ErrorKind::BrokenPipe)?;
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
        let end =
            complete(&mut model, &tokenizer, &request(""), &mut Vec::new(), &mut Vec::new(), &AtomicBool::new(true));
        assert_eq!(end.unwrap(), End::Interrupted);
    }

    #[test]
    fn one_line_ending_is_taken_off_a_prompt() {
        for (input, prompt) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("", ""), ("\n", "")] {
            assert_eq!(read_prompt(&mut input.as_bytes()).unwrap(), prompt);
        }
    }

    #[test]
    fn a_prompt_that_is_not_utf_8_or_endless_is_refused() {
        let error = read_prompt(&mut &b"ab\xffc"[..]).unwrap_err().to_string();
        assert!(error.contains("byte 2 is 0xff"), "{error}");
        let error = read_prompt(&mut io::repeat(b'y')).unwrap_err().to_string();
        assert!(error.contains("more than 16 MiB"), "{error}");
    }
}
