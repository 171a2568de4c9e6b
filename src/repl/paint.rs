//! Words in colour, and words cut to a window: what the terminal's columns and the wish for colours ask of a line.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Colours words, or leaves them as they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    on: bool,
}

/// How words stand out. The sixteen colours that every terminal has, so that they suit the person's own theme.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ink {
    Dim,
    Bold,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Paint {
    /// Colours if `on`.
    pub(super) fn new(on: bool) -> Paint {
        Paint { on }
    }

    /// `words` in `ink`, each line by itself, as a pager would lose a colour at a line's end.
    pub(super) fn paint<'w>(self, ink: Ink, words: &'w str) -> Cow<'w, str> {
        if !self.on || words.is_empty() {
            return Cow::Borrowed(words);
        }
        let code = match ink {
            Ink::Dim => "2",
            Ink::Bold => "1",
            Ink::Red => "31",
            Ink::Green => "32",
            Ink::Yellow => "33",
            Ink::Cyan => "1;36",
        };
        let lines: Vec<String> = words.split('\n').map(|line| format!("\x1b[{code}m{line}\x1b[0m")).collect();
        Cow::Owned(lines.join("\n"))
    }
}

/// `words` cut to so many columns, the last of them an ellipsis where something is missing.
pub(super) fn cut(words: &str, columns: usize) -> Cow<'_, str> {
    if words.width() <= columns {
        return Cow::Borrowed(words);
    }
    let mut left = columns.saturating_sub(1);
    let fits = |c: &char| {
        let width = c.width().unwrap_or(0);
        let fits = width <= left;
        left = left.saturating_sub(width);
        fits
    };
    let mut kept: String = words.chars().take_while(fits).collect();
    kept.push('…');
    Cow::Owned(kept)
}

/// `words` followed by blanks up to so many columns.
pub(super) fn padded(words: &str, columns: usize) -> String {
    format!("{words}{:1$}", "", columns.saturating_sub(words.width()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_there_only_when_they_are_wanted() {
        assert_eq!(Paint::new(false).paint(Ink::Red, "a\nb"), "a\nb");
        assert_eq!(Paint::new(true).paint(Ink::Red, "a\nb"), "\x1b[31ma\x1b[0m\n\x1b[31mb\x1b[0m");
    }

    #[test]
    fn what_is_cut_and_padded_is_counted_in_columns() {
        for (words, columns, shown) in [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("鳥鳥", 3, "鳥…"), ("鳥鳥", 2, "…")]
        {
            assert_eq!(cut(words, columns), shown);
        }
        assert_eq!(padded("鳥", 4), "鳥  ");
        assert_eq!(padded("abc", 2), "abc");
    }
}
