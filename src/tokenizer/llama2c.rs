//! The vocabulary of llama2.c (`tokenizer.bin`): SentencePiece's entries and scores.
//!
//! Entry 0 stands for the unknown, 1 and 2 for the ends of a text, 3 to 258 for the bytes, as in Llama 2's vocabulary.
//! Spaces are written as they are (<https://github.com/karpathy/llama2.c>, `tokenizer.py`).

use std::borrow::Cow;

use anyhow::Result;

use super::vocabulary::{self, Ends, Entry, EntryKind};
use super::{SPACE, Tokenizer, bytes};

impl Tokenizer {
    /// The tokenizer of a llama2.c model: text and score of each entry.
    pub fn from_llama2c(pieces: &[(&str, f32)]) -> Result<Tokenizer> {
        let entries: Vec<Entry> = pieces.iter().enumerate().map(|(id, (text, _))| entry(id, text)).collect();
        let scores: Vec<f32> = pieces.iter().map(|&(_, score)| score).collect();
        vocabulary::sentence_piece(&entries, &scores, true, &Ends { bos: Some(1), eos: vec![2], adds_bos: true })
    }
}

fn entry(id: usize, text: &str) -> Entry<'static> {
    let (text, kind) = match id {
        0 => ("<unk>".to_owned(), EntryKind::Unknown),
        1 => ("<s>".to_owned(), EntryKind::Control),
        2 => ("</s>".to_owned(), EntryKind::Control),
        _ if bytes::piece_byte(text).is_some() => (text.to_owned(), EntryKind::Byte),
        _ => (text.replace(' ', SPACE), EntryKind::Normal),
    };
    Entry { text: Cow::Owned(text), kind }
}
