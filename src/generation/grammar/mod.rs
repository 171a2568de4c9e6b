//! Grammars that hold while text is written: only tokens with which the text can still become whole are allowed.
//!
//! The parser is that of the crate `llguidance`; here a grammar meets a vocabulary. A text that is cut off before it is whole
//! is closed by [`Constraint::close`], so that what was written always parses, however small the model.

mod closing;
mod gbnf;

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, SimpleVob, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use crate::tokenizer::Tokenizer;

/// What marks a special token's name for the parser, so that no text is taken for it. No byte of UTF-8 is like it.
const SPECIAL: u8 = TokTrie::SPECIAL_TOKEN_MARKER;

/// A grammar as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrammarSource {
    /// In llguidance's variant of Lark; the text is what `start` describes.
    Lark(String),
    /// In the GBNF of llama.cpp; the text is what `root` describes.
    Gbnf(String),
    /// A JSON schema: the text is a JSON value that it describes.
    JsonSchema(String),
}

impl GrammarSource {
    /// A grammar in either notation: GBNF defines rules with `::=`, Lark with `:`.
    pub fn of_text(text: String) -> GrammarSource {
        let is_rule = |line: &str| line.split_once("::=").is_some_and(|(name, _)| gbnf::is_name(name.trim()));
        if text.lines().any(is_rule) { GrammarSource::Gbnf(text) } else { GrammarSource::Lark(text) }
    }

    fn compile(&self) -> Result<TopLevelGrammar> {
        Ok(match self {
            GrammarSource::Lark(text) => TopLevelGrammar::from_lark(text.clone()),
            GrammarSource::Gbnf(text) => TopLevelGrammar::from_lark(gbnf::to_lark(text)?),
            GrammarSource::JsonSchema(text) => TopLevelGrammar::from_json_schema(schema(text)?),
        })
    }
}

/// A schema whose texts have one space after each comma and colon and no other: a small model, free to write spaces, may
/// write nothing else. A schema can say otherwise under `x-guidance`, as llguidance documents it.
fn schema(text: &str) -> Result<Value> {
    let mut schema: Value = serde_json::from_str(text).context("the schema is not JSON")?;
    if let Some(object) = schema.as_object_mut() {
        let compact = json!({"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "});
        object.entry("x-guidance").or_insert(compact);
    }
    Ok(schema)
}

/// A grammar ready for a vocabulary. Cloning is cheap.
#[derive(Clone)]
pub struct Grammar {
    start: Arc<Matcher>,
    /// The token of each byte.
    bytes: Arc<[Option<u32>]>,
}

impl Grammar {
    /// Errors: what is wrong with the grammar, with its line where that is known, or a vocabulary of no use for it.
    pub fn new(source: &GrammarSource, tokenizer: &Tokenizer, end_ids: &[u32]) -> Result<Grammar> {
        let trie = trie(tokenizer, end_ids);
        let mut factory = ParserFactory::new_simple(&(Arc::new(ApproximateTokEnv::new(trie)) as _))?;
        factory.quiet().limits_mut().verbose_errors = false;
        let matcher = Matcher::new(factory.create_parser(source.compile()?));
        if let Some(error) = matcher.get_error() {
            return Err(anyhow!("{error}"));
        }
        let mut bytes = vec![None; 256];
        for id in (0..tokenizer.vocab_size() as u32).rev().filter(|&id| !tokenizer.is_special(id)) {
            if let [byte] = tokenizer.token_bytes(id) {
                bytes[usize::from(*byte)] = Some(id);
            }
        }
        Ok(Grammar { start: Arc::new(matcher), bytes: bytes.into() })
    }

    /// For a text that begins now.
    pub fn begin(&self) -> Constraint {
        Constraint { matcher: self.start.deep_clone(), allowed: SimpleVob::new(), bytes: Arc::clone(&self.bytes) }
    }
}

fn trie(tokenizer: &Tokenizer, end_ids: &[u32]) -> TokTrie {
    let word = |id: u32| {
        let bytes = tokenizer.token_bytes(id);
        match tokenizer.is_special(id) {
            true => [&[SPECIAL], bytes].concat(),
            // A byte that is never part of a text.
            false if bytes.first() == Some(&SPECIAL) => Vec::new(),
            false => bytes.to_vec(),
        }
    };
    let words: Vec<Vec<u8>> = (0..tokenizer.vocab_size() as u32).map(word).collect();
    let ends = if end_ids.is_empty() { vec![tokenizer.end_of_text()] } else { end_ids.to_vec() };
    TokTrie::from(&TokRxInfo::new(words.len() as u32, ends[0]), &words).with_eos_tokens(&ends)
}

/// A grammar at some place of a text.
pub struct Constraint {
    matcher: Matcher,
    allowed: SimpleVob,
    bytes: Arc<[Option<u32>]>,
}

impl Constraint {
    /// Finds out which tokens may come next; an end of the text is among them where the text is whole.
    pub fn look(&mut self) -> Result<()> {
        self.allowed = self.matcher.compute_mask_or_eos().context("following the grammar")?;
        Ok(())
    }

    /// Whether `id` may come next, as [`Constraint::look`] found.
    pub fn allows(&self, id: u32) -> bool {
        (id as usize) < self.allowed.len() && self.allowed.is_allowed(id)
    }

    /// Goes on with a token that is allowed.
    pub fn accept(&mut self, id: u32) -> Result<()> {
        self.matcher.consume_token(id).context("following the grammar")?;
        let reason = self.matcher.stop_reason();
        ensure!(reason.is_ok(), "the grammar is too complex to be followed here: {reason}");
        Ok(())
    }

    /// Whether the text is whole and nothing can follow.
    pub fn is_over(&self) -> bool {
        self.matcher.is_stopped()
    }

    /// Whether the text is whole: it may end here.
    pub fn is_whole(&mut self) -> bool {
        self.matcher.is_stopped() || self.matcher.is_accepting().unwrap_or(false)
    }

    /// Tokens of single bytes that make the text whole, few of them. An error if none were found.
    pub fn close(&mut self) -> Result<Vec<u32>> {
        closing::close(&self.matcher, &self.bytes)
    }
}

#[cfg(test)]
mod tests;
