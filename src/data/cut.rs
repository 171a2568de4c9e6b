//! Where a long document is cut, so that its last tenth can be held out.

use super::document::{Body, char_border_below, n_message_bytes};
use crate::tokenizer::Message;

/// Finds where a document's last tenth begins, at a line end if there is one near, while its text passes by.
pub(crate) struct CutSearch {
    n_bytes: u64,
    position: u64,
    /// The last character border up to nine tenths, and the first after them: at least one lies inside the text.
    below: u64,
    above: Option<u64>,
    line_end: Option<u64>,
    /// Of a conversation: number of the message, and bytes before it.
    message: Option<(u64, u64)>,
}

impl CutSearch {
    /// For a document of this many bytes of text.
    pub(crate) fn new(n_bytes: u64) -> CutSearch {
        CutSearch { n_bytes, position: 0, below: 0, above: None, line_end: None, message: None }
    }

    fn target(&self) -> u64 {
        self.n_bytes - self.n_bytes.div_ceil(10)
    }

    /// Takes the next piece.
    pub(crate) fn push(&mut self, body: &Body) {
        match body {
            Body::Text(text) => self.text(text),
            Body::Messages(messages) => self.messages(messages),
        }
    }

    fn text(&mut self, text: &str) {
        let (start, target) = (self.position, self.target());
        self.position += text.len() as u64;
        if self.position < target {
            return;
        }
        let from = target.saturating_sub(start) as usize;
        self.below = self.below.max(start + char_border_below(text, from) as u64);
        self.above =
            self.above.or((from..=text.len()).find(|&at| text.is_char_boundary(at)).map(|at| start + at as u64));
        // A line that ends exactly at the target counts.
        let bytes = text.as_bytes();
        let end =
            bytes[from.saturating_sub(1)..].iter().position(|&b| b == b'\n').map(|at| from.saturating_sub(1) + at + 1);
        self.line_end = self.line_end.or(end.map(|end| start + end as u64));
    }

    /// Nine tenths of the messages; of a single one, nothing can be held out.
    fn messages(&mut self, messages: &[Message]) {
        let n_train = (messages.len() * 9 / 10).max(1);
        if n_train < messages.len() {
            let n_bytes = messages[..n_train].iter().map(n_message_bytes).sum();
            self.message = Some((n_train as u64, n_bytes));
        }
        self.position = self.n_bytes;
    }

    /// Byte of the text or number of the message where the document is cut.
    pub(crate) fn cut(&self) -> Option<u64> {
        self.message.map(|(number, _)| number).or(self.text_cut())
    }

    fn text_cut(&self) -> Option<u64> {
        // A line end is taken if at least half of the tail remains behind it.
        let near = self.line_end.filter(|&end| end <= self.n_bytes - self.n_bytes / 20 && end < self.n_bytes);
        let above = self.above.filter(|&at| at < self.n_bytes);
        near.or(above).or(Some(self.below)).filter(|&at| at > 0)
    }

    /// Bytes before the cut.
    pub(crate) fn n_train_bytes(&self) -> u64 {
        self.message.map(|(_, n_bytes)| n_bytes).or(self.text_cut()).unwrap_or(self.n_bytes)
    }
}
