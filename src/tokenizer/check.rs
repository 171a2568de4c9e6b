//! A `tokenizer.json` is judged before it is believed: siskin runs byte-level BPE without a prefix space and BPE of
//! SentencePiece's kind, and the parser behind it trusts its input (it indexes by the length of the longest entry, and
//! counts on ids to be small).

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use super::bytes::BYTE_TO_CHAR;

/// Ids lie below this; the largest vocabularies in use have some 260,000 entries.
const MAX_ID: u64 = 1 << 24;

/// Rejects a file that is no byte-level BPE, or whose parts contradict each other.
pub(super) fn check_json(bytes: &[u8]) -> Result<()> {
    let json: Value = serde_json::from_slice(bytes).context("the tokenizer is not JSON")?;
    let model = &json["model"];
    let kind = model["type"].as_str().unwrap_or("BPE");
    ensure!(kind == "BPE", "the tokenizer's model is {kind}, but siskin runs BPE only");
    let vocab = model["vocab"].as_object().context("the tokenizer has no model.vocab")?;
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
        ensure!(
            model[key].as_str().unwrap_or("").is_empty(),
            "the tokenizer has a {key}, which byte-level BPE does not use"
        );
    }
    ensure!(
        model["dropout"].as_f64().unwrap_or(0.0) == 0.0,
        "the tokenizer has dropout, so its ids would change from call to call"
    );
    check_ids(vocab, &json["added_tokens"])?;
    let is_sentence_piece = model["byte_fallback"] == true;
    if is_sentence_piece {
        check_pieces(vocab, &json["pre_tokenizer"])?;
    } else {
        check_alphabet(vocab)?;
    }
    check_merges(vocab, &model["merges"])?;
    if is_sentence_piece {
        return Ok(());
    }
    match prefix_space(&json["pre_tokenizer"]) {
        None => bail!("the tokenizer has no ByteLevel pre-tokenizer: siskin runs byte-level BPE only"),
        Some(true) => bail!(
            "the tokenizer puts a space before the text (add_prefix_space), so text would not come back as it went in"
        ),
        Some(false) => Ok(()),
    }
}

fn check_ids(vocab: &Map<String, Value>, added: &Value) -> Result<()> {
    let added = added.as_array().map_or(&[][..], Vec::as_slice);
    let n_entries = (vocab.len() + added.len()) as u64;
    let named = added.iter().map(|token| (token["content"].as_str().unwrap_or(""), &token["id"]));
    for (entry, id) in vocab.iter().map(|(entry, id)| (entry.as_str(), id)).chain(named) {
        let id = id
            .as_u64()
            .with_context(|| format!("the tokenizer's entry {entry:?} has the id {id}, not a whole number"))?;
        // A table is laid out by id: holes may exist, but not more of them than entries.
        ensure!(
            id < MAX_ID && id < 2 * n_entries + 1024,
            "the tokenizer's entry {entry:?} has the id {id}, but there are only {n_entries} entries"
        );
    }
    Ok(())
}

/// SentencePiece's kind: a character without an entry is spelled in bytes, so every byte needs one.
fn check_pieces(vocab: &Map<String, Value>, pre_tokenizer: &Value) -> Result<()> {
    ensure!(
        pre_tokenizer.is_null() || pre_tokenizer["type"] == "Metaspace",
        "the tokenizer falls back to bytes, but has the step {} before the merges, which siskin does not run there",
        pre_tokenizer["type"]
    );
    for byte in 0..=255u8 {
        let name = format!("<0x{byte:02X}>");
        ensure!(vocab.contains_key(&name), "the tokenizer has no entry {name} for the byte {byte:#04x}");
    }
    Ok(())
}

fn check_alphabet(vocab: &Map<String, Value>) -> Result<()> {
    let mut buffer = [0; 4];
    // Vocabularies that were made without the whole alphabet (SmolLM2's) lack bytes that their text did not have, such as
    // rare control characters, which are then left out of what is encoded, as by other programs.
    let is_needed = |byte: usize| matches!(byte, 0x0A | 0x20..=0x7E);
    for (byte, c) in BYTE_TO_CHAR.iter().enumerate().filter(|(byte, _)| is_needed(*byte)) {
        ensure!(
            vocab.contains_key(&*c.encode_utf8(&mut buffer)),
            "the tokenizer has no entry {c:?} for the byte {byte:#04x}"
        );
    }
    Ok(())
}

fn check_merges(vocab: &Map<String, Value>, merges: &Value) -> Result<()> {
    let merges = merges.as_array().context("the tokenizer has no model.merges")?;
    for (idx, merge) in merges.iter().enumerate() {
        let (left, right) = match merge {
            Value::String(line) if line.starts_with("#version") => continue,
            Value::String(line) => line.split_once(' ').unwrap_or(("", "")),
            pair => (pair[0].as_str().unwrap_or(""), pair[1].as_str().unwrap_or("")),
        };
        for entry in [left, right, &format!("{left}{right}")] {
            ensure!(
                vocab.contains_key(entry),
                "the tokenizer's merge {idx} ({merge}) names {entry:?}, which is no entry"
            );
        }
    }
    Ok(())
}

/// What the ByteLevel step says of a prefix space, or `None` where there is no such step.
fn prefix_space(step: &Value) -> Option<bool> {
    match step["type"].as_str()? {
        "ByteLevel" => Some(step["add_prefix_space"].as_bool().unwrap_or(true)),
        "Sequence" => step["pretokenizers"].as_array()?.iter().find_map(prefix_space),
        _ => None,
    }
}
