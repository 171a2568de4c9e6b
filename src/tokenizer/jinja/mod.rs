//! Chat templates of models from elsewhere: Jinja, as `transformers` runs it, in a program that trusts nobody.
//!
//! A template is part of a file from anywhere, and Jinja is a programming language. So it runs with fuel (instructions),
//! a limit on what it writes, on how deep it calls, on how long it takes and on how much memory it makes of it, and can
//! reach nothing but the messages. Blocks are trimmed, and names and methods are there, as `transformers` has it
//! (`utils/chat_template_utils.py`): `raise_exception`, `strftime_now`, `tojson`, loop controls, Python's methods of strings
//! and dictionaries.
//!
//! Siskin's own models do not need this: [`Tokenizer::render_chat`] writes ChatML without a template.

mod filters;
mod limits;
mod strftime;
#[cfg(test)]
mod tests;

use super::{Message, Tokenizer};
use anyhow::{Context, Result, ensure};
use limits::{Limits, Watch, run_watched};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, Value, context};
use std::borrow::Cow;
use std::sync::Arc;

/// Longest template that is believed; the longest in use have some 20,000 bytes.
const MAX_TEMPLATE_BYTES: usize = 1 << 18;

/// Stands within the name of a special token that a message spells out, while a template runs: no name matches then. A
/// number that Unicode keeps from ever being a character.
const BREAK: char = '\u{FDD0}';

/// The name of the only template, for errors.
const NAME: &str = "chat template";

/// A template that has been read, ready to write dialogues.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    source: Arc<str>,
    bos: String,
    eos: String,
    /// Names of special tokens, the longest first.
    special: Arc<[String]>,
    limits: Limits,
}

impl ChatTemplate {
    /// Reads the template `source`, which may name the special tokens of `tokenizer`. An error names the line and reason.
    pub fn new(source: &str, tokenizer: &Tokenizer) -> Result<ChatTemplate> {
        ensure!(
            source.len() <= MAX_TEMPLATE_BYTES,
            "the chat template has {} bytes, above the limit of {MAX_TEMPLATE_BYTES}",
            source.len()
        );
        let name = |id: Option<u32>| {
            id.map_or_else(String::new, |id| String::from_utf8_lossy(tokenizer.token_bytes(id)).into_owned())
        };
        let mut special: Vec<String> = tokenizer.special_tokens().iter().map(|(_, name)| name.clone()).collect();
        special.sort_by_key(|name| std::cmp::Reverse(name.len()));
        let template = ChatTemplate {
            source: without_generation_marks(source).into(),
            bos: name(tokenizer.inner.marks.begin_of_text.or(tokenizer.inner.marks.bos)),
            eos: name(Some(tokenizer.eos())),
            special: special.into(),
            limits: Limits::default(),
        };
        // Parsed only to say at once what is wrong with it.
        template.environment(&Arc::default())?;
        Ok(template)
    }

    /// The template as it was written, without the marks that only training needs.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text of a dialogue, and with `add_generation_prompt` of the opening of the assistant's turn. `now` is the time in
    /// seconds since 1970, for templates that write the date (in UTC).
    ///
    /// Fails where the template does, with its line and reason, and where it asks for more than it is allowed.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool, now: i64) -> Result<String> {
        Ok(self.render_guarded(messages, add_generation_prompt, now)?.replace(BREAK, ""))
    }

    /// The same with [`BREAK`] in all names of special tokens that the messages spell out.
    fn render_guarded(&self, messages: &[Message], add_generation_prompt: bool, now: i64) -> Result<String> {
        let message = |message: &Message| {
            Value::from_pairs([("role", self.guarded(&message.role)), ("content", self.guarded(&message.content))])
        };
        let messages: Vec<Value> = messages.iter().map(message).collect();
        // `transformers` has these two even where there are none.
        let root = context! {
            messages, add_generation_prompt,
            bos_token => self.bos.clone(), eos_token => self.eos.clone(),
            tools => Value::from(()), documents => Value::from(()),
        };
        let template = self.clone();
        run_watched(self.limits, move |watch| {
            let mut environment = template.environment(&watch)?;
            environment.add_function("strftime_now", move |format: &str| strftime::strftime(format, now));
            let mut out = limits::Output::new(template.limits, &watch);
            let done = environment.get_template(NAME).and_then(|t| t.render_captured_to(root, &mut out).map(drop));
            done.map_err(|error| described(&error, &watch))?;
            out.text()
        })
    }

    fn guarded(&self, text: &str) -> String {
        let mut text = text.replace(BREAK, "\u{FFFD}");
        for name in self.special.iter().filter(|name| name.chars().nth(1).is_some()) {
            if text.contains(name.as_str()) {
                let n_first = name.chars().next().map_or(0, char::len_utf8);
                text = text.replace(name.as_str(), &format!("{}{BREAK}{}", &name[..n_first], &name[n_first..]));
            }
        }
        text
    }

    fn environment(&self, watch: &Arc<Watch>) -> Result<Environment<'static>> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.context("the syntax is a fixed one")?);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        filters::add(&mut environment);
        limits::add(&mut environment, self.limits, &self.source, watch);
        let added = environment.add_template_owned(NAME, self.source.to_string());
        added.map_err(|error| described(&error, watch))?;
        Ok(environment)
    }
}

impl Tokenizer {
    /// The ids of a dialogue as `template` writes it. Names of special tokens are those tokens where the template writes
    /// them, and plain text where a message does. What the vocabulary wants before a text is there once, whether the
    /// template writes it or not.
    pub fn render_template(
        &self,
        template: &ChatTemplate,
        messages: &[Message],
        add_generation_prompt: bool,
        now: i64,
    ) -> Result<Vec<u32>> {
        let text = template.render_guarded(messages, add_generation_prompt, now)?;
        let mut ids = self.encode_parts(&text, &|part| match part.contains(BREAK) {
            true => Cow::Owned(part.replace(BREAK, "")),
            false => Cow::Borrowed(part),
        })?;
        if let Some(begin) = self.begin_of_text().filter(|begin| ids.first() != Some(begin)) {
            ids.insert(0, begin);
        }
        Ok(ids)
    }

    /// Ids at which a model that answers is done: the end of a text, and the marks by which the known families of models
    /// end a turn, as far as this vocabulary has them.
    pub fn turn_end_ids(&self) -> Vec<u32> {
        const ENDS: [&str; 10] = [
            "<|im_end|>",
            "<|eot_id|>",
            "<|eom_id|>",
            "<|end|>",
            "<end_of_turn>",
            "<|endoftext|>",
            "<|end_of_text|>",
            "<|end_of_role|>",
            "<|user|>",
            "</s>",
        ];
        let named = self.special_tokens().iter().filter(|(_, name)| ENDS.contains(&name.as_str())).map(|(id, _)| *id);
        let mut ids: Vec<u32> = named.chain([self.eos(), self.end_of_text()]).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

/// An error with its line, in words for a person.
fn described(error: &Error, watch: &Watch) -> anyhow::Error {
    let place = error.line().map_or_else(|| NAME.to_owned(), |line| format!("{NAME}, line {line}"));
    // The innermost error says what happened, those around it only where.
    let mut reason =
        watch.reason().unwrap_or_else(|| error.detail().map_or_else(|| error.kind().to_string(), str::to_owned));
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(inner) = inner.downcast_ref::<Error>() {
            reason = inner.detail().map_or_else(|| inner.kind().to_string(), str::to_owned);
        }
        source = inner.source();
    }
    match error.kind() {
        minijinja::ErrorKind::OutOfFuel => anyhow::anyhow!("{place}: it runs for too long: it may never end"),
        kind if reason == kind.to_string() => anyhow::anyhow!("{place}: {reason}"),
        minijinja::ErrorKind::InvalidOperation => anyhow::anyhow!("{place}: {reason}"),
        kind => anyhow::anyhow!("{place}: {kind}: {reason}"),
    }
}

/// `{% generation %}` marks what the assistant says, for those who train; here it is a block like any other.
fn without_generation_marks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        out.push_str(&rest[..at]);
        let tag = rest[at..].find("%}").map_or(&rest[at..], |end| &rest[at..at + end]);
        let word = tag[2..].trim_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '+'));
        let plain = match word {
            "generation" => tag.replacen("generation", "if true", 1),
            "endgeneration" => tag.replacen("endgeneration", "endif", 1),
            _ => tag.to_owned(),
        };
        out.push_str(&plain);
        rest = &rest[at + tag.len()..];
    }
    out + rest
}
