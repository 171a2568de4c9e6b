//! Texts written side by side: prompts in, pieces of text out, one token of each text at a time.
//!
//! The model reads its weights once for all texts, which is what makes a batch faster than its texts one after the other;
//! as logits do not depend on what is computed beside them, each text is the one it would be alone. A text that ends makes
//! room for another at once. A model that holds one sequence writes one text at a time, by the same code.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};

use crate::generation::grammar::{Constraint, Grammar};
use crate::generation::likely::{Likely, likely};
use crate::generation::session::N_CHUNK;
use crate::generation::{PromptTooLong, Sampler, SamplerConfig, StopReason, StopStrings};
use crate::inference::LanguageModel;
use crate::tokenizer::{TextStream, Tokenizer};

/// A text that is to be written.
pub struct Job {
    /// What the caller calls it.
    pub key: usize,
    /// The ids to continue; at least one.
    pub prompt: Vec<u32>,
    /// How tokens are chosen.
    pub sampler: SamplerConfig,
    /// Texts at which it ends, themselves not written.
    pub stops: Vec<String>,
    /// Most tokens to write.
    pub max_tokens: usize,
    /// What it must be, if anything.
    pub grammar: Option<Grammar>,
    /// How many of the most likely tokens to tell for each token; none for no judgement at all.
    pub n_likely: Option<usize>,
}

/// What happens to a text.
pub enum Event {
    /// A token was chosen: its id, and how likely the model found it, if that was asked for.
    Token(u32, Option<Likely>),
    /// More of the text, in whole characters.
    Text(String),
    /// It ends: after so many tokens, for this reason.
    End(usize, StopReason),
    /// It cannot go on.
    Failed(anyhow::Error),
}

/// Texts in progress, each in a sequence of the model's.
pub struct Batch<'a> {
    model: &'a mut dyn LanguageModel,
    tokenizer: &'a Tokenizer,
    end_ids: &'a [u32],
    interrupted: &'a AtomicBool,
    slots: Vec<Option<Writing<'a>>>,
    /// The sequences of a step with their ids: kept from step to step.
    next: Vec<(usize, u32)>,
}

/// A text in progress.
struct Writing<'a> {
    key: usize,
    ids: Vec<u32>,
    n_prompt: usize,
    sampler: Sampler,
    stops: StopStrings,
    characters: TextStream<'a>,
    constraint: Option<Constraint>,
    max_tokens: usize,
    n_likely: Option<usize>,
    is_fed: bool,
}

/// Where events go; an error of it ends everything.
type Sink<'s> = &'s mut dyn FnMut(usize, Event) -> Result<()>;

impl<'a> Batch<'a> {
    /// No texts yet. Each ends with one of `end_ids` or earlier; raising `interrupted` ends all of them.
    pub fn new(
        model: &'a mut dyn LanguageModel,
        tokenizer: &'a Tokenizer,
        end_ids: &'a [u32],
        interrupted: &'a AtomicBool,
    ) -> Batch<'a> {
        let slots = (0..model.n_sequences()).map(|_| None).collect();
        Batch { model, tokenizer, end_ids, interrupted, slots, next: Vec::new() }
    }

    /// Tokens that fit a sequence.
    pub fn n_context(&self) -> usize {
        self.model.context_len()
    }

    /// Whether no text is in progress.
    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    /// Whether another text can be added.
    pub fn has_room(&self) -> bool {
        self.slots.iter().any(Option::is_none)
    }

    /// Begins a text; the caller sees to it that there is room. Errors: settings out of range, or a prompt that leaves no
    /// room for an answer ([`PromptTooLong`]).
    pub fn add(&mut self, job: Job) -> Result<()> {
        let (n_prompt, n_context) = (job.prompt.len(), self.n_context());
        ensure!(n_prompt > 0, "there is no token to continue");
        if n_prompt >= n_context {
            return Err(PromptTooLong { n_prompt, n_context }.into());
        }
        let mut sampler = Sampler::new(job.sampler)?;
        sampler.prepare(self.tokenizer)?;
        sampler.start(self.end_ids);
        let slot = self.slots.iter().position(Option::is_none).expect("the caller looks for room");
        self.model.truncate_sequence(slot, 0);
        self.slots[slot] = Some(Writing {
            key: job.key,
            n_prompt,
            ids: job.prompt,
            sampler,
            stops: StopStrings::new(job.stops)?,
            characters: TextStream::new(self.tokenizer),
            constraint: job.grammar.map(|grammar| grammar.begin()),
            max_tokens: job.max_tokens,
            n_likely: job.n_likely,
            is_fed: false,
        });
        Ok(())
    }

    /// Reads the prompts of new texts and writes a token of each text, telling `sink` by key what happens.
    pub fn step(&mut self, sink: Sink) -> Result<()> {
        for slot in 0..self.slots.len() {
            let Some(writing) = &mut self.slots[slot] else { continue };
            if let Some(reason) = writing.limit(self.model.context_len(), self.interrupted) {
                writing.end(reason, sink)?;
                self.slots[slot] = None;
            } else if !writing.is_fed {
                self.read(slot, sink)?;
            }
        }
        self.next.clear();
        // A text that was just read has its first token already, and goes on with the others.
        let waiting = self.slots.iter().enumerate().filter_map(|(slot, w)| w.as_ref().map(|w| (slot, w)));
        self.next.extend(waiting.filter(|(_, w)| w.may_go_on(self.model.context_len())).map(|(i, w)| (i, w.last())));
        if self.next.is_empty() {
            return Ok(());
        }
        let v = self.model.vocab_size();
        let logits = self.model.step_sequences(&self.next)?;
        for (&(slot, _), logits) in self.next.iter().zip(logits.chunks_exact(v)) {
            let writing = self.slots[slot].as_mut().expect("only texts in progress took the step");
            if writing.take(logits, self.end_ids, sink)? {
                self.slots[slot] = None;
            }
        }
        Ok(())
    }

    /// Feeds a prompt in chunks, so that an interruption is felt at once, and takes the first token.
    fn read(&mut self, slot: usize, sink: Sink) -> Result<()> {
        let writing = self.slots[slot].as_mut().expect("the text is in progress");
        let mut chunks = writing.ids.chunks(N_CHUNK).peekable();
        while let Some(chunk) = chunks.next() {
            if self.interrupted.load(Ordering::Relaxed) {
                return Ok(()); // the next step ends it
            }
            let logits = self.model.feed_sequence(slot, chunk)?;
            if chunks.peek().is_none() {
                writing.is_fed = true;
                if writing.take(logits, self.end_ids, sink)? {
                    self.slots[slot] = None;
                }
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Writing<'_> {
    fn n_generated(&self) -> usize {
        self.ids.len() - self.n_prompt
    }

    fn last(&self) -> u32 {
        self.ids[self.ids.len() - 1]
    }

    /// The reason for which no further token may be computed, if there is one.
    fn limit(&self, n_context: usize, interrupted: &AtomicBool) -> Option<StopReason> {
        if interrupted.load(Ordering::Relaxed) {
            Some(StopReason::Interrupted)
        } else if self.n_generated() >= self.max_tokens {
            Some(StopReason::MaxTokens)
        } else if self.ids.len() >= n_context {
            Some(StopReason::ContextFull)
        } else {
            None
        }
    }

    /// Whether the step under way has a token for it: it has been read, and no limit is reached.
    fn may_go_on(&self, n_context: usize) -> bool {
        self.is_fed && self.n_generated() < self.max_tokens && self.ids.len() < n_context
    }

    /// Chooses the token that follows by `logits`; true if the text ends.
    fn take(&mut self, logits: &[f32], end_ids: &[u32], sink: Sink) -> Result<bool> {
        match self.choose(logits) {
            Ok(id) if end_ids.contains(&id) => self.end(StopReason::EndOfText, sink).map(|()| true),
            Ok(id) => {
                let judged = self.n_likely.map(|n| likely(logits, id, n));
                sink(self.key, Event::Token(id, judged))?;
                self.write(id, sink)
            }
            Err(error) => sink(self.key, Event::Failed(error)).map(|()| true),
        }
    }

    fn choose(&mut self, logits: &[f32]) -> Result<u32> {
        let Some(constraint) = &mut self.constraint else { return self.sampler.sample(logits, &self.ids) };
        constraint.look()?;
        self.sampler.sample_allowed(logits, &self.ids, Some(&|id| constraint.allows(id)))
    }

    fn write(&mut self, id: u32, sink: Sink) -> Result<bool> {
        self.ids.push(id);
        self.show(id, sink)?;
        if self.stops.stopped() {
            self.end(StopReason::StopString, sink)?;
            return Ok(true);
        }
        let accepted = self.constraint.as_mut().map_or(Ok(()), |constraint| constraint.accept(id));
        if let Err(error) = accepted {
            sink(self.key, Event::Failed(error))?;
            return Ok(true);
        }
        let is_over = self.constraint.as_ref().is_some_and(Constraint::is_over);
        if is_over {
            self.end(StopReason::Whole, sink)?;
        }
        Ok(is_over)
    }

    fn show(&mut self, id: u32, sink: Sink) -> Result<()> {
        let text = self.stops.push(&self.characters.push(id));
        if text.is_empty() { Ok(()) } else { sink(self.key, Event::Text(text)) }
    }

    /// Writes what is held back, and what a grammar still owes.
    fn end(&mut self, reason: StopReason, sink: Sink) -> Result<()> {
        let n_generated = self.n_generated();
        let mut reason = reason;
        if matches!(reason, StopReason::MaxTokens | StopReason::ContextFull)
            && let Some(constraint) = &mut self.constraint
        {
            match constraint.close() {
                Ok(ids) => {
                    reason = if ids.is_empty() { reason } else { StopReason::Closed };
                    ids.into_iter().try_for_each(|id| self.show(id, sink))?;
                }
                Err(error) => return sink(self.key, Event::Failed(error)),
            }
        }
        let mut rest = self.stops.push(&self.characters.finish());
        reason = if self.stops.stopped() { StopReason::StopString } else { reason };
        rest += &self.stops.finish();
        if !rest.is_empty() {
            sink(self.key, Event::Text(rest))?;
        }
        sink(self.key, Event::End(n_generated, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::mock::{Mock, tokenizer};

    fn job(key: usize, tokenizer: &Tokenizer, prompt: &str, max_tokens: usize) -> Job {
        let mut ids = vec![tokenizer.end_of_text()];
        ids.extend(tokenizer.encode(prompt).unwrap());
        let sampler = SamplerConfig::greedy();
        Job { key, prompt: ids, sampler, stops: Vec::new(), max_tokens, grammar: None, n_likely: None }
    }

    /// The text and the end of a job, by a model that says `said` after the prompt.
    fn run(job: Job, n_context: usize, said: &str) -> (String, Option<(usize, StopReason)>) {
        let tokenizer = tokenizer();
        let (ids, end, n_prompt) = (tokenizer.encode(said).unwrap(), tokenizer.end_of_text(), job.prompt.len());
        let mut model = Mock::new(tokenizer.vocab_size(), n_context, move |fed| {
            fed.len().checked_sub(n_prompt).and_then(|i| ids.get(i)).copied().unwrap_or(end)
        });
        let (never, ends) = (AtomicBool::new(false), [end]);
        let mut batch = Batch::new(&mut model, &tokenizer, &ends, &never);
        let (mut text, mut ended) = (String::new(), None);
        batch.add(job).unwrap();
        while !batch.is_empty() {
            let sink: Sink = &mut |_, event| {
                match event {
                    Event::Text(piece) => text += &piece,
                    Event::End(n, reason) => ended = Some((n, reason)),
                    Event::Token(..) => {}
                    Event::Failed(error) => return Err(error),
                }
                Ok(())
            };
            batch.step(sink).unwrap();
        }
        (text, ended)
    }

    #[test]
    fn a_text_ends_for_the_reason_that_comes_first() {
        let tokenizer = tokenizer();
        let n = tokenizer.encode("the cat sat").unwrap().len();
        let job = |n| job(0, &tokenizer, "a", n);
        assert_eq!(run(job(99), 200, "the cat sat"), ("the cat sat".to_string(), Some((n, StopReason::EndOfText))));
        assert_eq!(run(job(0), 200, "the cat sat"), (String::new(), Some((0, StopReason::MaxTokens))));
        assert_eq!(run(job(3), 200, "12345"), ("123".to_string(), Some((3, StopReason::MaxTokens))));
        assert_eq!(run(job(9), 5, "12345"), ("123".to_string(), Some((3, StopReason::ContextFull))));
        let stops = Job { stops: vec!["34".to_string()], ..job(9) };
        assert_eq!(run(stops, 99, "12345"), ("12".to_string(), Some((4, StopReason::StopString))));
    }

    #[test]
    fn a_text_that_a_grammar_describes_ends_whole() {
        let tokenizer = tokenizer();
        let source = crate::generation::GrammarSource::of_text("root ::= \"(\" [0-9]+ \")\"\n".to_string());
        let grammar = Grammar::new(&source, &tokenizer, &[tokenizer.end_of_text()]).unwrap();
        let job = |n| Job { grammar: Some(grammar.clone()), ..job(0, &tokenizer, "a", n) };
        assert_eq!(run(job(99), 200, "(12)34"), ("(12)".to_string(), Some((4, StopReason::Whole))));
        assert_eq!(run(job(3), 200, "(12)"), ("(12)".to_string(), Some((3, StopReason::Closed))));
        let (text, end) = run(job(0), 200, "(12)");
        assert_eq!((text.as_str(), end), ("(0)", Some((0, StopReason::Closed))));
    }

    #[test]
    fn broken_logits_fail_their_text_and_a_long_prompt_is_refused() {
        let tokenizer = tokenizer();
        let mut model = Mock::new(tokenizer.vocab_size(), 10, |_| u32::MAX);
        let never = AtomicBool::new(false);
        let mut batch = Batch::new(&mut model, &tokenizer, &[], &never);
        let error = batch.add(job(0, &tokenizer, "0123456789", 5)).unwrap_err();
        assert!(error.downcast_ref::<PromptTooLong>().is_some());
        batch.add(job(7, &tokenizer, "a", 5)).unwrap();
        let mut failed = None;
        batch
            .step(&mut |key, event| {
                failed = matches!(event, Event::Failed(_)).then_some(key);
                Ok(())
            })
            .unwrap();
        assert_eq!(failed, Some(7));
        assert!(batch.is_empty());
    }
}
