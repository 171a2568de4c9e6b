//! Ids of a run's text back to bytes: what each id stands for, and stretches of a shard as the baselines read them.

use crate::data::loader::TokenSource;
use crate::tokenizer::Tokenizer;
use std::ops::Range;

/// Bytes of text that each token id stands for; special tokens are no text.
pub fn text_bytes(tokenizer: &Tokenizer, vocab_size: usize) -> Vec<u32> {
    let bytes = |id: u32| if tokenizer.is_special(id) { 0 } else { tokenizer.token_bytes(id).len() as u32 };
    (0..vocab_size as u32).map(bytes).collect()
}

/// The last `limit` bytes or so of a stream's text.
pub fn tail_bytes(source: &dyn TokenSource, tokenizer: &Tokenizer, limit: usize) -> Vec<u8> {
    // A token is at least one byte of text, or a special one.
    decode(source, tokenizer, source.n_tokens().saturating_sub(limit)..source.n_tokens())
}

/// The first `limit` bytes of a stream's text, or some more.
pub fn head_bytes(source: &dyn TokenSource, tokenizer: &Tokenizer, limit: usize) -> Vec<u8> {
    decode(source, tokenizer, 0..source.n_tokens().min(limit))
}

/// The text of a stretch of ids; documents are parted by a newline, as special tokens are.
pub fn decode(source: &dyn TokenSource, tokenizer: &Tokenizer, range: Range<usize>) -> Vec<u8> {
    let mut ids = vec![0; range.len()];
    source.copy_tokens(range.start, &mut ids);
    let mut text = Vec::new();
    append_text(&ids, tokenizer, &mut text);
    text
}

/// Appends the text of `ids` to `text`, a newline for each special token.
pub fn append_text(ids: &[u32], tokenizer: &Tokenizer, text: &mut Vec<u8>) {
    for &id in ids {
        text.extend_from_slice(if tokenizer.is_special(id) { b"\n" } else { tokenizer.token_bytes(id) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{TrainOptions, train};

    #[test]
    fn special_tokens_are_line_ends_and_no_bytes_of_text() {
        let tokenizer = train(["abc abc".to_owned()].into_iter(), TrainOptions::new(300)).unwrap();
        let ids = [vec![tokenizer.end_of_text()], tokenizer.encode("ab\nc").unwrap()].concat();
        assert_eq!(decode(&ids, &tokenizer, 0..ids.len()), b"\nab\nc");
        assert_eq!(tail_bytes(&ids, &tokenizer, 1), b"c");
        assert_eq!(head_bytes(&ids, &tokenizer, 1), b"\n");
        let bytes = text_bytes(&tokenizer, 310);
        assert_eq!(ids.iter().map(|&id| bytes[id as usize]).sum::<u32>(), 4);
        assert_eq!(bytes.len(), 310);
    }
}
