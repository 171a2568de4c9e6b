//! A prompt in, its continuation out: what `siskin complete` does between a shell's pipes.
//!
//! The output gets the text, byte for byte and whole characters at a time, and nothing else; remarks go to `notes`.
//! Nothing is cut silently, and a reader that leaves is a normal end. Streams are parameters, so that tests can watch;
//! which ones they are, and whether one is a terminal, the caller knows.

mod lines;
mod prompt;
mod report;
mod score;

use std::io::Write;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail};
use serde_json::json;

use crate::generation::text::reader_has_gone;
use crate::generation::{Batch, Event, Grammar, GrammarSource, Job, PromptTooLong, SamplerConfig, StopReason, visible};
use crate::inference::LanguageModel;
use crate::tokenizer::Tokenizer;
use report::Record;

pub use lines::complete_lines;
pub use prompt::{join_prompt, read_prompt};

/// How texts are written and told of, whatever the prompt.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Most tokens to write.
    pub max_tokens: usize,
    /// How tokens are chosen.
    pub sampler: SamplerConfig,
    /// Texts at which to end, themselves not written.
    pub stops: Vec<String>,
    /// What each text must be, if anything.
    pub grammar: Option<GrammarSource>,
    /// Judge the given text instead of continuing it.
    pub scores: bool,
    /// How many of the most likely tokens to tell for each token, if it is to be judged at all.
    pub n_likely: Option<usize>,
    /// Tell the tokens.
    pub with_tokens: bool,
    /// Drop the beginning of a prompt that does not fit, instead of failing.
    pub truncate_front: bool,
    /// What the JSON calls the model.
    pub model: String,
    /// What stands before each text, if anything does.
    pub begin_of_text: Option<u32>,
    /// Ids at which the model is done.
    pub end_ids: Vec<u32>,
}

impl Settings {
    fn grammar(&self, tokenizer: &Tokenizer) -> Result<Option<Grammar>> {
        let ready = |source| Grammar::new(source, tokenizer, &self.end_ids);
        self.grammar.as_ref().map(ready).transpose()
    }
}

/// One prompt, and how its continuation is to be shown.
#[derive(Debug, Clone)]
pub struct Request {
    /// The text to continue; empty begins from nothing.
    pub prompt: String,
    /// How.
    pub settings: Settings,
    /// Continuations to write, the k-th with the k-th seed after the first.
    pub n_samples: usize,
    /// The line between two of them.
    pub separator: String,
    /// Write the prompt before its continuation.
    pub echo: bool,
    /// Write one JSON object at the end of each text instead of streaming it.
    pub json: bool,
    /// Tell the notes how long it took.
    pub timings: bool,
    /// The output is a terminal: control characters are shown instead of obeyed, and a newline ends the text.
    pub to_terminal: bool,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All is written.
    Done,
    /// So many lines were answered with an error.
    Unanswered(usize),
    /// The output was closed by its reader.
    ReaderGone,
    /// The user interrupted; what was written until then stands.
    Interrupted,
}

/// Continues or judges `request.prompt`: text (or JSON) to `out`, remarks to `notes`. Raising `interrupted` ends it early.
/// Errors: settings out of range, a prompt that does not fit, broken logits, a failing output.
pub fn complete(
    model: &mut dyn LanguageModel,
    tokenizer: &Tokenizer,
    request: &Request,
    out: &mut dyn Write,
    notes: &mut dyn Write,
    interrupted: &AtomicBool,
) -> Result<End> {
    let end = if request.settings.scores {
        write_score(model, tokenizer, request, out, interrupted)
    } else {
        write_samples(model, tokenizer, request, out, notes, interrupted)
    };
    match end {
        Err(error) if reader_has_gone(&error) => Ok(End::ReaderGone),
        end => end,
    }
}

fn write_score(
    model: &mut dyn LanguageModel,
    tokenizer: &Tokenizer,
    request: &Request,
    out: &mut dyn Write,
    interrupted: &AtomicBool,
) -> Result<End> {
    let Some(score) = score::score(model, tokenizer, &request.prompt, None, &request.settings, interrupted)? else {
        return Ok(End::Interrupted);
    };
    let text = if request.json { score.json() } else { score.lines() };
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(End::Done)
}

fn write_samples(
    model: &mut dyn LanguageModel,
    tokenizer: &Tokenizer,
    request: &Request,
    out: &mut dyn Write,
    notes: &mut dyn Write,
    interrupted: &AtomicBool,
) -> Result<End> {
    let settings = &request.settings;
    let grammar = settings.grammar(tokenizer)?;
    let (ids, cut) = prompt_ids(tokenizer, &request.prompt, settings, (model.context_len(), settings.max_tokens))?;
    if let Some(cut) = cut {
        note(notes, format_args!("{cut}"));
    }
    let mut batch = Batch::new(model, tokenizer, &settings.end_ids, interrupted);
    let mut samples = Samples { request, tokenizer, shown: 0, samples: Vec::new(), out, notes };
    let mut failed = None;
    loop {
        while batch.has_room() && samples.samples.len() < request.n_samples {
            let key = samples.samples.len();
            let seed = settings.sampler.seed.wrapping_add(key as u64);
            batch.add(job(key, ids.clone(), seed, settings.max_tokens, settings, grammar.as_ref()))?;
            samples.begin(ids.len(), seed)?;
        }
        if batch.is_empty() {
            break;
        }
        let n_context = batch.n_context();
        batch.step(&mut |key, event| match event {
            Event::Failed(error) => {
                failed.get_or_insert(error);
                Ok(())
            }
            event => samples.hear(key, event, n_context),
        })?;
        if let Some(error) = failed.take() {
            return Err(error);
        }
        if samples.was_interrupted() {
            return Ok(End::Interrupted);
        }
    }
    Ok(End::Done)
}

/// What a batch is to write after `ids`.
fn job(key: usize, ids: Vec<u32>, seed: u64, max_tokens: usize, settings: &Settings, grammar: Option<&Grammar>) -> Job {
    Job {
        key,
        prompt: ids,
        sampler: SamplerConfig { seed, ..settings.sampler.clone() },
        stops: settings.stops.clone(),
        max_tokens,
        grammar: grammar.cloned(),
        n_likely: settings.n_likely,
    }
}

/// The samples so far, written in their order: the first that has not ended streams, what others have is held back.
struct Samples<'a> {
    request: &'a Request,
    tokenizer: &'a Tokenizer,
    /// The sample that streams.
    shown: usize,
    samples: Vec<Sample>,
    out: &'a mut dyn Write,
    notes: &'a mut dyn Write,
}

struct Sample {
    record: Record,
    /// What waits for its turn.
    held: String,
    ends_line: bool,
}

impl Samples<'_> {
    fn begin(&mut self, n_prompt: usize, seed: u64) -> Result<()> {
        let key = self.samples.len();
        self.samples.push(Sample { record: Record::new(n_prompt, seed), held: String::new(), ends_line: true });
        if self.request.echo && !self.request.prompt.is_empty() {
            self.hear(key, Event::Text(self.request.prompt.clone()), 0)?;
        }
        Ok(())
    }

    fn was_interrupted(&self) -> bool {
        self.samples.iter().any(|sample| sample.record.end().is_some_and(|(_, stop)| stop == StopReason::Interrupted))
    }

    fn hear(&mut self, key: usize, event: Event, n_context: usize) -> Result<()> {
        let (request, sample) = (self.request, &mut self.samples[key]);
        sample.record.hear(&event, &request.settings, request.json);
        match event {
            Event::Token(id, _) if request.settings.with_tokens && !request.json => {
                let text = String::from_utf8_lossy(self.tokenizer.token_bytes(id)).into_owned();
                sample.held.push_str(&format!("{id}\t{}\n", json!(text)));
            }
            Event::Text(piece) if !request.json && !request.settings.with_tokens => sample.held.push_str(&piece),
            Event::End(n_written, stop) => self.end(key, n_written, stop, n_context),
            _ => {}
        }
        if key == self.shown { self.show() } else { Ok(()) }
    }

    fn end(&mut self, key: usize, n_written: usize, stop: StopReason, n_context: usize) {
        let (settings, record) = (&self.request.settings, &self.samples[key].record);
        match stop {
            StopReason::ContextFull => note(
                self.notes,
                format_args!(
                    "the context of {n_context} tokens is full: {n_written} of {} tokens were written",
                    settings.max_tokens
                ),
            ),
            StopReason::Closed => note(
                self.notes,
                format_args!("cut off after {n_written} tokens, and closed as the grammar demands: -n allows more"),
            ),
            _ => {}
        }
        if self.request.timings {
            note(self.notes, format_args!("{record}"));
        }
        if self.request.json && stop != StopReason::Interrupted {
            self.samples[key].held = record.json(None, settings, self.tokenizer);
        }
    }

    /// Writes what is held of the sample whose turn it is, and of those after it while they have ended.
    fn show(&mut self) -> Result<()> {
        while let Some(sample) = self.samples.get_mut(self.shown) {
            let piece = std::mem::take(&mut sample.held);
            if !piece.is_empty() {
                sample.ends_line = piece.ends_with('\n');
                let shown = if self.request.to_terminal { visible(&piece) } else { piece.as_str().into() };
                self.out.write_all(shown.as_bytes())?;
                self.out.flush()?;
            }
            if sample.record.end().is_none() {
                return Ok(());
            }
            let (is_last, ends_line) = (self.shown + 1 == self.request.n_samples, sample.ends_line);
            self.separate(is_last, ends_line)?;
            self.shown += 1;
        }
        Ok(())
    }

    /// What stands after a text: the line between two, or a terminal's newline at the end.
    fn separate(&mut self, is_last: bool, ends_line: bool) -> Result<()> {
        let newline = if ends_line { "" } else { "\n" };
        match (self.request.json, is_last) {
            (true, _) => return Ok(()),
            (false, false) => writeln!(self.out, "{newline}{}", self.request.separator)?,
            (false, true) if self.request.to_terminal => writeln!(self.out)?,
            (false, true) => return Ok(()),
        }
        Ok(self.out.flush()?)
    }
}

/// The ids of a prompt as a document begins, cut at the front if that is asked for and it does not fit; then also what is to
/// be said about it.
fn prompt_ids(
    tokenizer: &Tokenizer,
    prompt: &str,
    settings: &Settings,
    (n_context, max_tokens): (usize, usize),
) -> Result<(Vec<u32>, Option<String>)> {
    let mut ids = Vec::from_iter(settings.begin_of_text);
    ids.extend(tokenizer.encode(prompt)?);
    if ids.is_empty() {
        // Something has to be continued, and after a text another begins.
        ids.push(tokenizer.end_of_text());
    }
    let n_prompt = ids.len();
    if n_prompt < n_context {
        return Ok((ids, None));
    }
    if !settings.truncate_front {
        let error = PromptTooLong { n_prompt, n_context };
        bail!("{error}, or keep only its end with --truncate front");
    }
    // Room for what is asked for, but never at the price of more than half the context.
    let n_kept = n_context.saturating_sub(max_tokens.max(1)).max(n_context / 2);
    ids.drain(..n_prompt - n_kept);
    Ok((
        ids,
        Some(format!("the prompt has {n_prompt} tokens, the context {n_context}: only its last {n_kept} are used")),
    ))
}

/// A remark for the person; that it cannot be written is no reason to fail.
fn note(notes: &mut dyn Write, words: std::fmt::Arguments) {
    let _ = writeln!(notes, "note: {words}");
}

#[cfg(test)]
mod tests;
