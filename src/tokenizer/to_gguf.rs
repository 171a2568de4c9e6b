//! A tokenizer as the entries of a GGUF file (`tokenizer.*`), such as llama.cpp reads them.
//!
//! What is written is taken from the `tokenizer.json`, so that any tokenizer that siskin reads can go into a file, as long
//! as llama.cpp has a name for the way in which it splits text.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::vocabulary::EntryKind;
use super::{Tokenizer, bytes, kinds};
use crate::formats::gguf::Writer;

/// What goes into a file beside the vocabulary.
#[derive(Debug, Clone, Copy, Default)]
pub struct InGguf<'a> {
    /// Rows of the model's embedding; ids without an entry are written as unused ones.
    pub n_rows: usize,
    /// What a program that reads the file shall put before each text, where the tokenizer itself does not say.
    pub begin_of_text: Option<u32>,
    /// How a dialogue is written, a Jinja template.
    pub chat_template: Option<&'a str>,
}

impl Tokenizer {
    /// Sets the entries that describe this tokenizer. Fails where its way of splitting text has no name in llama.cpp, or
    /// where it has more entries than `n_rows`.
    pub fn to_gguf(&self, writer: &mut Writer, with: InGguf) -> Result<()> {
        let json: Value = serde_json::from_slice(&self.to_json()?).context("the tokenizer's own JSON")?;
        let (texts, types) = self.entries(&json, with.n_rows)?;
        let merges = merges(&json["model"]["merges"])?;
        if self.inner.is_sentence_piece {
            writer.set("tokenizer.ggml.model", "llama")?;
            writer.set("tokenizer.ggml.pre", "default")?;
            writer.set("tokenizer.ggml.scores", &scores(&texts, &types, &merges))?;
        } else {
            ensure_no_normalizer(&json["normalizer"])?;
            let ignores_merges = json["model"]["ignore_merges"] == true;
            writer.set("tokenizer.ggml.model", "gpt2")?;
            writer.set("tokenizer.ggml.pre", kinds::name_of(&json["pre_tokenizer"], ignores_merges)?)?;
            let lines: Vec<String> = merges.iter().map(|(left, right)| format!("{left} {right}")).collect();
            writer.set("tokenizer.ggml.merges", &lines)?;
        }
        writer.set("tokenizer.ggml.tokens", &texts)?;
        writer.set("tokenizer.ggml.token_type", &types)?;
        if self.inner.is_sentence_piece {
            writer.set("tokenizer.ggml.add_space_prefix", &puts_a_space_before(&json))?;
        }
        self.set_special(writer, with)
    }

    fn set_special(&self, writer: &mut Writer, with: InGguf) -> Result<()> {
        let begin = self.begin_of_text().or(with.begin_of_text);
        writer.set("tokenizer.ggml.bos_token_id", &begin.unwrap_or(self.bos()))?;
        writer.set("tokenizer.ggml.eos_token_id", &self.eos())?;
        if let Some(im_end) = self.im_end().filter(|&id| id != self.eos()) {
            writer.set("tokenizer.ggml.eot_token_id", &im_end)?;
        }
        writer.set("tokenizer.ggml.padding_token_id", &self.end_of_text())?;
        writer.set("tokenizer.ggml.add_bos_token", &begin.is_some())?;
        writer.set("tokenizer.ggml.add_eos_token", &false)?;
        with.chat_template.map_or(Ok(()), |template| writer.set("tokenizer.chat_template", template))
    }

    /// Text and type of each id below `n_rows`.
    fn entries(&self, json: &Value, n_rows: usize) -> Result<(Vec<String>, Vec<i32>)> {
        ensure!(
            self.vocab_size() <= n_rows,
            "the tokenizer has {} entries, but the model knows only {n_rows}",
            self.vocab_size()
        );
        let unused = |id: usize| (format!("[PAD{id}]"), EntryKind::Unused as i32);
        let (mut texts, mut types): (Vec<_>, Vec<_>) = (0..n_rows).map(unused).unzip();
        let mut set = |id: &Value, text: &str, kind: EntryKind| -> Result<()> {
            let id = id.as_u64().context("an id is no number")? as usize;
            (texts[id], types[id]) = (text.to_owned(), kind as i32);
            Ok(())
        };
        let vocab = json["model"]["vocab"].as_object().context("the tokenizer has no vocabulary")?;
        let unknown = json["model"]["unk_token"].as_str();
        for (text, id) in vocab {
            let is_byte = self.inner.is_sentence_piece && bytes::piece_byte(text).is_some();
            set(id, text, if is_byte { EntryKind::Byte } else { EntryKind::Normal })?;
        }
        for token in json["added_tokens"].as_array().map_or(&[][..], Vec::as_slice) {
            let text = token["content"].as_str().unwrap_or_default();
            let kind = match (token["special"] == true, Some(text) == unknown) {
                (true, true) => EntryKind::Unknown,
                (true, false) => EntryKind::Control,
                (false, _) => EntryKind::UserDefined,
            };
            set(&token["id"], text, kind)?;
        }
        Ok((texts, types))
    }
}

fn merges(json: &Value) -> Result<Vec<(String, String)>> {
    let merge = |merge: &Value| match merge {
        Value::String(line) => line
            .split_once(' ')
            .map(|(left, right)| (left.to_owned(), right.to_owned()))
            .context("a merge has no space"),
        pair => match (pair[0].as_str(), pair[1].as_str()) {
            (Some(left), Some(right)) => Ok((left.to_owned(), right.to_owned())),
            _ => bail!("a merge is no pair of entries"),
        },
    };
    json.as_array().map_or(&[][..], Vec::as_slice).iter().map(merge).collect()
}

/// A score for each entry that puts its merges in their order: the first merge has the highest, 0, and what no merge
/// makes has none to speak of. The scores that a vocabulary had elsewhere are not kept in a `tokenizer.json`.
fn scores(texts: &[String], types: &[i32], merges: &[(String, String)]) -> Vec<f32> {
    let mut ranks = ahash::AHashMap::with_capacity(merges.len());
    for (rank, (left, right)) in merges.iter().enumerate() {
        ranks.entry(format!("{left}{right}")).or_insert(rank);
    }
    let lowest = -(merges.len() as f32) - 1.0;
    let score = |(text, kind): (&String, &i32)| match (ranks.get(text), *kind == EntryKind::Normal as i32) {
        (Some(rank), true) => -(*rank as f32),
        (None, true) => lowest,
        (_, false) => 0.0,
    };
    texts.iter().zip(types).map(score).collect()
}

/// Whether a space is put before a text: by a step of its own, or by the step that writes spaces.
fn puts_a_space_before(json: &Value) -> bool {
    let steps = &json["normalizer"]["normalizers"];
    let prepends = |step: &Value| step["type"] == "Prepend";
    let in_normalizer =
        steps.as_array().is_some_and(|steps| steps.iter().any(prepends)) || prepends(&json["normalizer"]);
    let step = &json["pre_tokenizer"];
    in_normalizer || step["type"] == "Metaspace" && step["prepend_scheme"] != "never"
}

/// llama.cpp changes no text before it splits it; composing accents (NFC) changes little enough to be left out.
fn ensure_no_normalizer(normalizer: &Value) -> Result<()> {
    ensure!(
        normalizer.is_null() || normalizer["type"] == "NFC",
        "the tokenizer changes text by {} before it splits it, which cannot be written as GGUF",
        normalizer["type"]
    );
    Ok(())
}
