//! Text as it grows: ids go in one by one, whole characters come out.
//!
//! A token is a run of bytes, and a character may span several tokens. What is held back here is at most the first
//! three bytes of one character.

use super::Tokenizer;

/// Decodes ids one at a time, showing a character only when all of its bytes are there.
///
/// Special tokens add nothing: they are marks for the program, not text. Bytes that can no longer become a character,
/// whatever follows, come out as U+FFFD at once, as in [`String::from_utf8_lossy`].
#[derive(Debug, Clone)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    pending: Vec<u8>,
}

impl<'a> TextStream<'a> {
    /// A stream that has seen nothing yet.
    pub fn new(tokenizer: &'a Tokenizer) -> TextStream<'a> {
        TextStream { tokenizer, pending: Vec::new() }
    }

    /// Takes the next id and returns the text that became whole by it, which may be empty.
    pub fn push(&mut self, id: u32) -> String {
        if self.tokenizer.is_special(id) {
            return String::new();
        }
        self.pending.extend_from_slice(self.tokenizer.token_bytes(id));
        let mut text = String::new();
        loop {
            match std::str::from_utf8(&self.pending) {
                Ok(whole) => {
                    text.push_str(whole);
                    self.pending.clear();
                    return text;
                }
                Err(error) => {
                    let (n_valid, invalid) = (error.valid_up_to(), error.error_len());
                    text.extend(self.pending[..n_valid].utf8_chunks().map(|chunk| chunk.valid()));
                    self.pending.drain(..n_valid + invalid.unwrap_or(0));
                    match invalid {
                        Some(_) => text.push(char::REPLACEMENT_CHARACTER),
                        None => return text,
                    }
                }
            }
        }
    }

    /// Ends the stream: an incomplete character at the end comes out as U+FFFD. The stream can be used anew.
    pub fn finish(&mut self) -> String {
        let tail = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        tail
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::small;
    use super::*;
    use proptest::prelude::*;

    /// Ids of single bytes, so that a test decides where characters break.
    fn byte_ids(tokenizer: &Tokenizer, bytes: &[u8]) -> Vec<u32> {
        let id_of = |byte| (0..tokenizer.vocab_size() as u32).find(|&id| tokenizer.token_bytes(id) == [byte]);
        bytes.iter().map(|&byte| id_of(byte).expect("every byte is an entry")).collect()
    }

    fn stream(bytes: &[u8]) -> Vec<String> {
        let tokenizer = small();
        let mut stream = TextStream::new(tokenizer);
        let mut shown: Vec<String> = byte_ids(tokenizer, bytes).into_iter().map(|id| stream.push(id)).collect();
        shown.push(stream.finish());
        shown
    }

    #[test]
    fn an_emoji_over_four_tokens_appears_with_its_last_byte() {
        assert_eq!(stream("a🦜".as_bytes()), ["a", "", "", "", "🦜", ""]);
    }

    #[test]
    fn a_broken_sequence_shows_as_soon_as_it_is_certain() {
        let cases: [(&[u8], &[&str]); 4] = [
            (b"\xF0\x9Fa", &["", "", "\u{FFFD}a", ""]),
            (b"\xFFa", &["\u{FFFD}", "a", ""]),
            (b"\xE2\x82", &["", "", "\u{FFFD}"]),
            (b"\xC3\xC3\xA9", &["", "\u{FFFD}", "é", ""]),
        ];
        for (bytes, shown) in cases {
            assert_eq!(stream(bytes), shown, "{bytes:x?}");
        }
    }

    #[test]
    fn special_tokens_and_ids_outside_the_vocabulary_show_nothing() {
        let mut stream = TextStream::new(small());
        assert_eq!([stream.push(0), stream.push(2), stream.push(u32::MAX), stream.finish()], [""; 4]);
    }

    proptest! {
        #[test]
        fn what_was_shown_is_the_text(text in any::<String>()) {
            let mut stream = TextStream::new(small());
            let mut shown: String = small().encode(&text).unwrap().into_iter().map(|id| stream.push(id)).collect();
            shown += &stream.finish();
            prop_assert_eq!(shown, text);
        }

        #[test]
        fn any_bytes_show_as_their_lossy_text(bytes in any::<Vec<u8>>()) {
            prop_assert_eq!(stream(&bytes).concat(), String::from_utf8_lossy(&bytes));
        }
    }
}
