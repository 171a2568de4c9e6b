//! `--jsonl`: a prompt a line in, an object a line out, in the same order, however many and however slowly they come.
//!
//! A thread reads lines into a short queue, so that texts under way do not wait for a slow writer, nor a writer that waits for
//! its answer for a batch to fill. What ends before its turn is held back, and so few texts are under way that memory stays
//! flat. A bad line is answered by an object with an `error`.

use std::collections::VecDeque;
use std::io::{BufReader, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::generation::text::reader_has_gone;
use crate::generation::{Batch, Event, Grammar};
use crate::inference::LanguageModel;
use crate::tokenizer::Tokenizer;

use super::prompt::next_line;
use super::report::Record;
use super::score::score;
use super::{End, Settings, job, prompt_ids};

/// Texts under way or done out of turn, for each sequence of the model.
const WINDOW: usize = 4;

/// How often a wait for the next line looks whether it was interrupted.
const LOOK: Duration = Duration::from_millis(50);

/// A line of input that is an object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    prompt: String,
    #[serde(default)]
    max_tokens: Option<usize>,
}

/// A line of input: its number, and its text or what is wrong with it.
type Line = (usize, Result<String, String>);

/// A line under way.
struct Entry {
    id: Option<Value>,
    record: Record,
    /// The line of output, once it is known.
    answer: Option<String>,
}

/// The lines under way, first to last, and what is written.
struct Answers<'a> {
    entries: VecDeque<Entry>,
    /// The key of the first entry.
    first: usize,
    n_failed: usize,
    settings: &'a Settings,
    tokenizer: &'a Tokenizer,
    out: &'a mut dyn Write,
}

/// Answers every line of `input`. See [`super::complete`] for the rest.
pub fn complete_lines(
    model: &mut dyn LanguageModel,
    tokenizer: &Tokenizer,
    settings: &Settings,
    input: Box<dyn Read + Send>,
    out: &mut dyn Write,
    interrupted: &AtomicBool,
) -> Result<End> {
    let grammar = settings.grammar(tokenizer)?;
    let (n_sequences, lines) = (model.n_sequences(), read_lines(input, model.n_sequences())?);
    let mut answers = Answers { entries: VecDeque::new(), first: 0, n_failed: 0, settings, tokenizer, out };
    let result = if settings.scores {
        score_lines(model, &lines, &mut answers, interrupted)
    } else {
        let mut batch = Batch::new(model, tokenizer, &settings.end_ids, interrupted);
        write_lines(&mut batch, &lines, &mut answers, (WINDOW * n_sequences, grammar.as_ref()), interrupted)
    };
    match result {
        Err(error) if reader_has_gone(&error) => Ok(End::ReaderGone),
        result => result,
    }
}

/// A thread that reads lines ahead, as many as wait; it ends with the input or the process.
fn read_lines(input: Box<dyn Read + Send>, n_ahead: usize) -> Result<Receiver<Result<Line>>> {
    let (sender, receiver) = sync_channel(n_ahead);
    let read = move || {
        let mut input = BufReader::new(input);
        for number in 1.. {
            let line = match next_line(&mut input) {
                Ok(None) => return,
                Ok(Some(line)) => Ok((number, line)),
                Err(error) => Err(error).context("reading standard input"),
            };
            let is_last = line.is_err();
            if sender.send(line).is_err() || is_last {
                return;
            }
        }
    };
    std::thread::Builder::new().name("lines".to_string()).spawn(read).context("starting a thread")?;
    Ok(receiver)
}

/// What the queue of lines has.
enum Next {
    Line(Line),
    /// Nothing yet.
    Nothing,
    /// Nothing any more.
    End,
}

/// The next line: after a short wait, if `waits`.
fn next(lines: &Receiver<Result<Line>>, waits: bool) -> Result<Next> {
    let found = if waits {
        lines.recv_timeout(LOOK)
    } else {
        lines.try_recv().map_err(|error| match error {
            TryRecvError::Empty => RecvTimeoutError::Timeout,
            TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
        })
    };
    Ok(match found {
        Ok(line) => Next::Line(line?),
        Err(RecvTimeoutError::Timeout) => Next::Nothing,
        Err(RecvTimeoutError::Disconnected) => Next::End,
    })
}

fn write_lines(
    batch: &mut Batch,
    lines: &Receiver<Result<Line>>,
    answers: &mut Answers,
    (window, grammar): (usize, Option<&Grammar>),
    interrupted: &AtomicBool,
) -> Result<End> {
    let mut has_ended = false;
    while !interrupted.load(Ordering::Relaxed) {
        while !has_ended && batch.has_room() && answers.entries.len() < window {
            match next(lines, batch.is_empty())? {
                Next::Line(line) => answers.begin(batch, line, grammar),
                Next::Nothing => break,
                Next::End => has_ended = true,
            }
        }
        answers.write()?;
        if batch.is_empty() {
            if has_ended {
                return Ok(answers.end());
            }
            continue;
        }
        batch.step(&mut |key, event| {
            answers.hear(key, event);
            Ok(())
        })?;
    }
    Ok(End::Interrupted)
}

fn score_lines(
    model: &mut dyn LanguageModel,
    lines: &Receiver<Result<Line>>,
    answers: &mut Answers,
    interrupted: &AtomicBool,
) -> Result<End> {
    while !interrupted.load(Ordering::Relaxed) {
        let (number, line) = match next(lines, true)? {
            Next::Line(line) => line,
            Next::Nothing => continue,
            Next::End => return Ok(answers.end()),
        };
        let answer = line.map_err(|error| (None, error)).and_then(|line| parse(&line)).and_then(|(asked, id)| {
            match score(model, answers.tokenizer, &asked.prompt, id.clone(), answers.settings, interrupted) {
                Ok(score) => Ok(score.map(|score| score.json())),
                Err(error) => Err((id, format!("{error:#}"))),
            }
        });
        match answer {
            Ok(Some(json)) => answers.out.write_all(json.as_bytes())?,
            Ok(None) => break,
            Err((id, error)) => {
                answers.n_failed += 1;
                answers.out.write_all(failure(id.as_ref(), number, &error).as_bytes())?;
            }
        }
        answers.out.flush()?;
    }
    Ok(End::Interrupted)
}

/// What a line asks for, and its id; or its id as far as it is known, and what is wrong with it.
fn parse(line: &str) -> Result<(Asked, Option<Value>), (Option<Value>, String)> {
    let wrong = |id: Option<Value>, why: String| (id, why);
    let mut value: Value =
        serde_json::from_str(line).map_err(|error| wrong(None, format!("the line is not JSON: {error}")))?;
    if let Value::String(prompt) = value {
        return Ok((Asked { prompt, max_tokens: None }, None));
    }
    // Taken out first, so that it is known of a line with a mistake elsewhere.
    let Some(id) = value.as_object_mut().map(|object| object.remove("id")) else {
        return Err(wrong(None, "the line must be a string or an object with a prompt".to_string()));
    };
    match serde_json::from_value(value) {
        Ok(asked) => Ok((asked, id)),
        Err(error) => Err(wrong(id, error.to_string())),
    }
}

fn failure(id: Option<&Value>, line: usize, error: &str) -> String {
    let mut object = json!({"line": line, "error": error});
    if let Some(id) = id {
        object["id"] = id.clone();
    }
    format!("{object}\n")
}

impl Answers<'_> {
    /// Begins the text that a line asks for, or answers it with what is wrong.
    fn begin(&mut self, batch: &mut Batch, (number, line): Line, grammar: Option<&Grammar>) {
        let key = self.first + self.entries.len();
        let seed = self.settings.sampler.seed;
        let begun = line.map_err(|error| (None, error)).and_then(|line| parse(&line)).and_then(|(asked, id)| {
            let max_tokens = asked.max_tokens.unwrap_or(self.settings.max_tokens);
            let ids = prompt_ids(self.tokenizer, &asked.prompt, self.settings, (batch.n_context(), max_tokens));
            let added = ids.and_then(|(ids, _)| {
                let n_prompt = ids.len();
                batch.add(job(key, ids, seed, max_tokens, self.settings, grammar))?;
                Ok(n_prompt)
            });
            added.map(|n| (n, id.clone())).map_err(|error| (id, format!("{error:#}")))
        });
        let entry = match begun {
            Ok((n_prompt, id)) => Entry { id, record: Record::new(n_prompt, seed), answer: None },
            Err((id, error)) => {
                self.n_failed += 1;
                let answer = Some(failure(id.as_ref(), number, &error));
                Entry { id, record: Record::new(0, seed), answer }
            }
        };
        self.entries.push_back(entry);
    }

    fn hear(&mut self, key: usize, event: Event) {
        let entry = &mut self.entries[key - self.first];
        entry.record.hear(&event, self.settings, true);
        match event {
            Event::End(..) => entry.answer = Some(entry.record.json(entry.id.as_ref(), self.settings, self.tokenizer)),
            Event::Failed(error) => {
                self.n_failed += 1;
                entry.answer = Some(failure(entry.id.as_ref(), key + 1, &format!("{error:#}")));
            }
            Event::Token(..) | Event::Text(_) => {}
        }
    }

    /// Writes what is done and whose turn it is.
    fn write(&mut self) -> Result<()> {
        let mut has_written = false;
        while let Some(answer) = self.entries.front_mut().and_then(|entry| entry.answer.take()) {
            self.entries.pop_front();
            self.first += 1;
            self.out.write_all(answer.as_bytes())?;
            has_written = true;
        }
        if has_written {
            self.out.flush()?;
        }
        Ok(())
    }

    fn end(&self) -> End {
        if self.n_failed > 0 { End::Unanswered(self.n_failed) } else { End::Done }
    }
}
