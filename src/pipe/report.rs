//! What is told of a text that was written: the object of `--json`, and the line of `--timings`.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use crate::generation::{Event, Likely, StopReason};
use crate::tokenizer::Tokenizer;

use super::Settings;

/// A text as it is written.
pub(super) struct Record {
    pub(super) text: String,
    n_prompt_tokens: usize,
    seed: u64,
    tokens: Vec<(u32, Option<Likely>)>,
    begun: Instant,
    first: Option<Instant>,
    ended: Option<(Instant, usize, StopReason)>,
}

/// The object of `--json`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Value>,
    model: &'a str,
    text: &'a str,
    /// With the token that begins every document.
    n_prompt_tokens: usize,
    n_generated_tokens: usize,
    stop_reason: StopReason,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<TokenReport>>,
    timings: Timings,
}

/// A token and the model's own judgement of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct TokenReport {
    pub(super) id: u32,
    pub(super) token: String,
    pub(super) logprob: f64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) top: Vec<TopToken>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct TopToken {
    id: u32,
    token: String,
    logprob: f64,
}

/// How long it took; of texts that are written together, each with the others' work.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Timings {
    prompt_ms: f64,
    prompt_tokens_per_s: f64,
    generation_ms: f64,
    generation_tokens_per_s: f64,
}

impl Record {
    /// A text that begins now.
    pub(super) fn new(n_prompt_tokens: usize, seed: u64) -> Record {
        let (text, tokens, begun) = (String::new(), Vec::new(), Instant::now());
        Record { text, n_prompt_tokens, seed, tokens, begun, first: None, ended: None }
    }

    /// Keeps what `settings` want to be told of an event; the text only if `keeps_text`.
    pub(super) fn hear(&mut self, event: &Event, settings: &Settings, keeps_text: bool) {
        match event {
            Event::Token(id, judged) => {
                self.first.get_or_insert_with(Instant::now);
                if settings.with_tokens || judged.is_some() {
                    self.tokens.push((*id, judged.clone()));
                }
            }
            Event::Text(piece) if keeps_text => self.text.push_str(piece),
            Event::End(n_generated, reason) => self.ended = Some((Instant::now(), *n_generated, *reason)),
            _ => {}
        }
    }

    /// Tokens written and why it ended, once it has.
    pub(super) fn end(&self) -> Option<(usize, StopReason)> {
        self.ended.map(|(_, n_generated, reason)| (n_generated, reason))
    }

    /// The line of JSON.
    pub(super) fn json(&self, id: Option<&Value>, settings: &Settings, tokenizer: &Tokenizer) -> String {
        let (n_generated_tokens, stop_reason) = self.end().unwrap_or((0, StopReason::Interrupted));
        let judged =
            |(id, judged): &(u32, Option<Likely>)| judged.as_ref().map(|j| TokenReport::new(*id, j, tokenizer));
        let report = Report {
            id,
            model: &settings.model,
            text: &self.text,
            n_prompt_tokens: self.n_prompt_tokens,
            n_generated_tokens,
            stop_reason,
            seed: self.seed,
            tokens: settings.with_tokens.then(|| self.tokens.iter().map(|(id, _)| *id).collect()),
            logprobs: settings.n_likely.map(|_| self.tokens.iter().filter_map(judged).collect()),
            timings: self.timings(),
        };
        serde_json::to_string(&report).expect("strings and numbers always have a JSON form") + "\n"
    }

    pub(super) fn timings(&self) -> Timings {
        let now = Instant::now();
        let (ended, n_generated) = self.ended.map_or((now, 0), |(ended, n, _)| (ended, n));
        // The first token comes with the prompt, so what follows is one fewer.
        let (first, n_rest) = (self.first.unwrap_or(ended), n_generated.saturating_sub(1));
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        // A clock that did not move would give an infinity, which JSON cannot say.
        let per_s = |n: usize, time: Duration| n as f64 / time.as_secs_f64().max(1e-9);
        let (prompt_time, rest_time) = (first - self.begun, ended - first);
        Timings {
            prompt_ms: ms(prompt_time),
            prompt_tokens_per_s: per_s(self.n_prompt_tokens, prompt_time),
            generation_ms: ms(rest_time),
            generation_tokens_per_s: if n_rest == 0 { 0.0 } else { per_s(n_rest, rest_time) },
        }
    }
}

impl fmt::Display for Record {
    /// The line of `--timings`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (t, n) = (self.timings(), self.end().map_or(0, |(n, _)| n));
        write!(
            f,
            "prompt: {} tokens in {:.1} ms ({:.0} tokens/s); text: {n} tokens in {:.1} ms more ({:.0} tokens/s)",
            self.n_prompt_tokens, t.prompt_ms, t.prompt_tokens_per_s, t.generation_ms, t.generation_tokens_per_s
        )
    }
}

impl TokenReport {
    pub(super) fn new(id: u32, judged: &Likely, tokenizer: &Tokenizer) -> TokenReport {
        let token = |id| String::from_utf8_lossy(tokenizer.token_bytes(id)).into_owned();
        let top = judged.top.iter().map(|&(id, logprob)| TopToken { id, token: token(id), logprob }).collect();
        TokenReport { id, token: token(id), logprob: judged.log_probability, top }
    }
}
