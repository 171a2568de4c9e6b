//! How likely the model finds a text that is there already: its log-probability, and bits per byte.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::generation::likely;
use crate::inference::LanguageModel;
use crate::tokenizer::Tokenizer;

use super::Settings;
use super::report::TokenReport;

/// The object of `--score --json`.
#[derive(Debug, Serialize)]
pub(super) struct Score {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Value>,
    model: String,
    /// Natural logarithm.
    log_probability: f64,
    bits_per_byte: f64,
    n_tokens: usize,
    n_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<TokenReport>>,
}

impl Score {
    /// Lines of a name, a tab and a value.
    pub(super) fn lines(&self) -> String {
        let mut lines = String::new();
        for token in self.logprobs.iter().flatten() {
            lines += &format!("{}\t{}\t{:.6}\n", token.id, serde_json::json!(token.token), token.logprob);
        }
        let Score { log_probability, bits_per_byte, n_tokens, n_bytes, .. } = self;
        lines
            + &format!(
                "log_probability\t{log_probability:.6}\nbits_per_byte\t{bits_per_byte:.6}\nn_tokens\t{n_tokens}\n\
                 n_bytes\t{n_bytes}\n"
            )
    }

    /// The line of JSON.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers always have a JSON form") + "\n"
    }
}

/// Judges every token of `text` by what stands before it. What is longer than the context is cut into windows, each of which
/// begins as a text does, as in evaluation. `None` if interrupted. An error for an empty text.
pub(super) fn score(
    model: &mut dyn LanguageModel,
    tokenizer: &Tokenizer,
    text: &str,
    id: Option<Value>,
    settings: &Settings,
    interrupted: &AtomicBool,
) -> Result<Option<Score>> {
    let ids = tokenizer.encode(text)?;
    ensure!(!ids.is_empty(), "there is no text to judge");
    let begin = settings.begin_of_text.unwrap_or(tokenizer.end_of_text());
    let wants_tokens = settings.with_tokens || settings.n_likely.is_some();
    let (mut log_probability, mut tokens) = (0.0, Vec::new());
    for window in ids.chunks(model.context_len()) {
        if interrupted.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let read: Vec<u32> = [begin].into_iter().chain(window[..window.len() - 1].iter().copied()).collect();
        let mut next = window.iter();
        model.truncate(0);
        model.feed_each(&read, &mut |logits| {
            let &id = next.next().expect("as many are read as are judged");
            let judged = likely(logits, id, settings.n_likely.unwrap_or(0));
            log_probability += judged.log_probability;
            if wants_tokens {
                tokens.push(TokenReport::new(id, &judged, tokenizer));
            }
        });
    }
    ensure!(
        log_probability.is_finite(),
        "the model's judgement is no number: its weights are broken, retrain or choose another checkpoint"
    );
    Ok(Some(Score {
        id,
        model: settings.model.clone(),
        log_probability,
        bits_per_byte: -log_probability / std::f64::consts::LN_2 / text.len() as f64,
        n_tokens: ids.len(),
        n_bytes: text.len(),
        logprobs: wants_tokens.then_some(tokens),
    }))
}
