//! A document: what its text is made of, and what is kept of it once the text has passed by.

use super::split::Side;
use crate::tokenizer::Message;

/// A part of a document on one side.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// The side it lies on.
    pub side: Side,
    /// Whether it is the first of its document on this side.
    pub starts: bool,
    /// Whether it is the last of its document on this side.
    pub ends: bool,
    /// The text.
    pub body: Body,
}

/// What a piece says.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Plain text.
    Text(String),
    /// Messages of a conversation, in order.
    Messages(Vec<Message>),
}

impl Body {
    /// UTF-8 bytes of the text; of messages, of each role, line end, content and line end, without special tokens.
    pub fn n_text_bytes(&self) -> u64 {
        match self {
            Body::Text(text) => text.len() as u64,
            Body::Messages(messages) => messages.iter().map(n_message_bytes).sum(),
        }
    }

    /// The text as the tokenizer is trained on it: messages without their special tokens.
    pub fn into_text(self) -> String {
        match self {
            Body::Text(text) => text,
            Body::Messages(messages) => messages.iter().map(|m| format!("{}\n{}\n", m.role, m.content)).collect(),
        }
    }
}

/// Bytes of a message as [`Body::n_text_bytes`] counts them.
pub(crate) fn n_message_bytes(message: &Message) -> u64 {
    (message.role.len() + message.content.len() + 2) as u64
}

/// The last character border of `text` at or before byte `at`.
pub(crate) fn char_border_below(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

/// What is kept of a document: 32 bytes, and a signature while the split is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Document {
    /// 128 bits of the BLAKE3 hash of its content.
    pub(crate) hash: u128,
    /// Bytes of its text.
    pub(crate) n_bytes: u64,
    /// What becomes of it.
    pub(crate) fate: Fate,
}

/// What becomes of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It lies on one side.
    Whole(Side),
    /// Its end is held out.
    Cut,
    /// Its content was there before.
    Duplicate,
    /// It is nothing but blanks.
    Empty,
}

/// Hash and size of a document whose text passes by.
pub(crate) struct Content {
    hasher: blake3::Hasher,
    n_bytes: u64,
    is_empty: bool,
}

impl Content {
    /// No text yet.
    pub(crate) fn new() -> Content {
        Content { hasher: blake3::Hasher::new(), n_bytes: 0, is_empty: true }
    }

    /// Takes the next piece of a text.
    pub(crate) fn text(&mut self, text: &str) {
        self.hasher.update(text.as_bytes());
        self.n_bytes += text.len() as u64;
        self.is_empty = self.is_empty && text.trim_ascii().is_empty();
    }

    /// A conversation is not a duplicate of a text that reads like it: its hash begins with what no text contains.
    pub(crate) fn messages(&mut self, messages: &[Message]) {
        self.hasher.update(b"\0messages");
        for message in messages {
            for part in [&message.role, &message.content] {
                self.hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
            }
            self.n_bytes += n_message_bytes(message);
        }
        self.is_empty = false;
    }

    /// Hash, bytes, and whether there is nothing but blanks; ready for the next document afterwards.
    pub(crate) fn finish(&mut self) -> (u128, u64, bool) {
        let Content { hasher, n_bytes, is_empty } = std::mem::replace(self, Content::new());
        let hash = hasher.finalize();
        let half = hash.as_bytes()[..16].try_into().expect("a hash has 32 bytes");
        (u128::from_be_bytes(half), n_bytes, is_empty)
    }
}
