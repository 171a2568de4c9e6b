//! The tokenizer inside a GGUF file: entries, merges or scores, special tokens, the chat template (`tokenizer.*`).
//!
//! The keys are those of <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, and what a missing one means is what
//! llama.cpp takes it to mean (`src/llama-vocab.cpp`). Everything read here may come from anywhere.

use std::borrow::Cow;

use anyhow::{Context, Result, bail, ensure};

use super::Tokenizer;
use super::kinds::Kind;
use super::vocabulary::{self, Ends, Entry, EntryKind};
use crate::formats::gguf::Metadata;

/// Longest chat template that is believed; the longest in use have some 20,000 bytes.
const MAX_TEMPLATE_BYTES: usize = 1 << 20;

/// What a GGUF file says about text.
#[derive(Debug, Clone)]
pub struct FromGguf {
    /// Its tokenizer. [`Tokenizer::begin_of_text`] is what the file wants before a text, if it wants anything.
    pub tokenizer: Tokenizer,
    /// How a dialogue is written, a Jinja template.
    pub chat_template: Option<String>,
    /// Ids at which a model stops writing: the end of a text, of a turn, of a message.
    pub end_ids: Vec<u32>,
}

impl FromGguf {
    /// Reads the tokenizer of a file. Fails on a kind of vocabulary that is not known, naming those that are, and on parts
    /// that contradict each other.
    pub fn read(metadata: &Metadata) -> Result<FromGguf> {
        let model: &str = metadata.want("tokenizer.ggml.model").context("the file has no tokenizer inside")?;
        let entries = entries(metadata)?;
        let tokenizer = match model {
            "gpt2" => byte_level(metadata, &entries)?,
            "llama" => sentence_piece(metadata, &entries)?,
            other => bail!(
                "the vocabulary is of the kind {other:?}, but the known kinds are \"gpt2\" (byte-level BPE) and \"llama\" \
                 (SentencePiece)"
            ),
        };
        let chat_template: Option<&str> = metadata.optional("tokenizer.chat_template")?;
        ensure!(
            chat_template.is_none_or(|template| template.len() <= MAX_TEMPLATE_BYTES),
            "the chat template is longer than the limit of {MAX_TEMPLATE_BYTES} bytes"
        );
        let mut end_ids = vec![tokenizer.end_of_text()];
        end_ids.extend(ends(metadata, false)?.eos.into_iter().chain(tokenizer.im_end()));
        end_ids.sort_unstable();
        end_ids.dedup();
        Ok(FromGguf { tokenizer, chat_template: chat_template.map(str::to_owned), end_ids })
    }
}

fn byte_level(metadata: &Metadata, entries: &[Entry]) -> Result<Tokenizer> {
    let kind = match metadata.optional("tokenizer.ggml.pre")? {
        Some(name) => Kind::named(name)?,
        None => Kind::unnamed(),
    };
    let merges: Vec<&str> = metadata.want("tokenizer.ggml.merges")?;
    vocabulary::byte_level(entries, &merges, kind, &ends(metadata, kind.adds_bos)?)
}

fn sentence_piece(metadata: &Metadata, entries: &[Entry]) -> Result<Tokenizer> {
    let scores: Vec<f32> = metadata.want("tokenizer.ggml.scores")?;
    ensure!(
        scores.len() == entries.len(),
        "the vocabulary has {} entries, but {} scores: the file is damaged",
        entries.len(),
        scores.len()
    );
    let adds_space = metadata.optional("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let mut ends = ends(metadata, true)?;
    // SentencePiece's own numbers, for a file that does not say.
    let known = |id: u32| (id < entries.len() as u32).then_some(id);
    ends.bos = ends.bos.or(known(1));
    if ends.eos.is_empty() {
        ends.eos.extend(known(2));
    }
    vocabulary::sentence_piece(entries, &scores, adds_space, &ends)
}

fn entries<'a>(metadata: &Metadata<'a>) -> Result<Vec<Entry<'a>>> {
    let texts: Vec<&str> = metadata.want("tokenizer.ggml.tokens")?;
    let kinds: Vec<i32> = match metadata.optional("tokenizer.ggml.token_type")? {
        Some(kinds) => kinds,
        None => vec![EntryKind::Normal as i32; texts.len()],
    };
    ensure!(
        kinds.len() == texts.len(),
        "the vocabulary has {} entries, but {} types of entries: the file is damaged",
        texts.len(),
        kinds.len()
    );
    let entry = |(id, (text, number)): (usize, (&'a str, i32))| {
        let kind = EntryKind::from_number(number);
        let kind = kind.with_context(|| format!("entry {id} has the type {number}, but types 1 to 6 exist"))?;
        Ok(Entry { text: Cow::Borrowed(text), kind })
    };
    texts.into_iter().zip(kinds).enumerate().map(entry).collect()
}

fn ends(metadata: &Metadata, adds_bos: bool) -> Result<Ends> {
    let id = |name: &str| metadata.optional::<u32>(&format!("tokenizer.ggml.{name}_token_id"));
    let bos = id("bos")?;
    // The end of a text goes first.
    let mut eos: Vec<u32> = [id("eos")?, id("eot")?, id("eom")?].into_iter().flatten().collect();
    let mut seen = std::collections::HashSet::new();
    eos.retain(|id| seen.insert(*id));
    let adds_bos = metadata.optional("tokenizer.ggml.add_bos_token")?.unwrap_or(adds_bos);
    Ok(Ends { bos, eos, adds_bos })
}

#[cfg(test)]
mod tests;
