//! Answers in lines that end between words, as they stream in: a word is held back until it is known to be whole.
//!
//! Only what a person sees is broken so; what is kept, piped or copied by `/save` has the model's own lines.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns from one tab stop to the next.
const TAB: usize = 8;

/// The line of an answer that is being written.
pub(super) struct Wrap {
    /// Columns of the window at this moment.
    columns: fn() -> usize,
    /// Columns that are taken.
    column: usize,
    /// Blanks before the word; a line that ends here goes without them.
    gap: String,
    /// The word so far.
    word: String,
}

impl Wrap {
    pub(super) fn new(columns: fn() -> usize) -> Wrap {
        Wrap { columns, column: 0, gap: String::new(), word: String::new() }
    }

    /// What may be written now that `text` has come.
    pub(super) fn push(&mut self, text: &str) -> String {
        let mut ready = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '\n' => {
                    self.finish_into(&mut ready);
                    ready.push(c);
                    self.column = 0;
                }
                '\t' => {
                    self.finish_into(&mut ready);
                    ready.push(c);
                    self.column = (self.column + 1).next_multiple_of(TAB);
                }
                ' ' => {
                    self.end_word(&mut ready);
                    self.gap.push(c);
                }
                // Chinese and Japanese have no blanks: a line may end at any of their characters.
                _ => {
                    if is_wide(c) || (c.width() != Some(0) && self.word.chars().next_back().is_some_and(is_wide)) {
                        self.end_word(&mut ready);
                    }
                    self.word.push(c);
                }
            }
        }
        ready
    }

    /// All that is still held back.
    pub(super) fn finish(&mut self) -> String {
        let mut rest = String::new();
        self.finish_into(&mut rest);
        rest
    }

    fn finish_into(&mut self, ready: &mut String) {
        self.end_word(ready);
        self.end_gap(ready);
    }

    fn end_gap(&mut self, ready: &mut String) {
        self.column += self.gap.len();
        ready.push_str(&self.gap);
        self.gap.clear();
    }

    fn end_word(&mut self, ready: &mut String) {
        if self.word.is_empty() {
            return;
        }
        // The last column stays free: some terminals begin a new line as soon as it is taken.
        let columns = (self.columns)().saturating_sub(1).max(1);
        let width = self.word.width();
        if self.column > 0 && self.column + self.gap.len() + width > columns {
            ready.push('\n');
            self.column = 0;
            self.gap.clear();
        } else {
            self.end_gap(ready);
        }
        ready.push_str(&self.word);
        // The terminal breaks a word that no line can hold.
        self.column = (self.column + width) % (columns + 1);
        self.word.clear();
    }
}

fn is_wide(c: char) -> bool {
    c.width() == Some(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `text` as it stands in a window of 20 columns, whatever the pieces in which it comes.
    fn shown(text: &str) -> String {
        let whole = in_pieces(&[text]);
        let characters: Vec<String> = text.chars().map(String::from).collect();
        assert_eq!(in_pieces(&characters.iter().map(String::as_str).collect::<Vec<_>>()), whole);
        whole
    }

    fn in_pieces(pieces: &[&str]) -> String {
        let mut wrap = Wrap::new(|| 20);
        let streamed: String = pieces.iter().map(|piece| wrap.push(piece)).collect();
        streamed + &wrap.finish()
    }

    #[test]
    fn lines_end_between_words() {
        assert_eq!(shown("One warm day a young fox was walking."), "One warm day a\nyoung fox was\nwalking.");
        assert_eq!(shown("exactly nineteen ab cd"), "exactly nineteen ab\ncd");
    }

    #[test]
    fn the_lines_of_the_text_stay_with_their_blanks() {
        let poem = "  roses\n\n    red\tthey are  \n";
        assert_eq!(shown(poem), poem);
    }

    #[test]
    fn a_word_that_no_line_holds_is_left_to_the_terminal() {
        assert_eq!(shown("a http://example.org/long/path b"), "a\nhttp://example.org/long/path b");
    }

    #[test]
    fn wide_characters_may_end_a_line_and_accents_stay_with_their_letter() {
        assert_eq!(shown("鳥鳥鳥鳥鳥鳥鳥鳥鳥鳥鳥鳥"), "鳥鳥鳥鳥鳥鳥鳥鳥鳥\n鳥鳥鳥");
        assert_eq!(shown("one word before cafe\u{301}s"), "one word before\ncafe\u{301}s");
    }

    #[test]
    fn a_word_is_held_until_it_is_whole() {
        let mut wrap = Wrap::new(|| 20);
        assert_eq!(wrap.push("walk"), "");
        assert_eq!(wrap.push("ing "), "walking");
        assert_eq!(wrap.push("on"), "");
        assert_eq!(wrap.finish(), " on");
    }
}
