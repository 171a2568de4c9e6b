//! Text of a model made safe for a terminal: control characters are shown, not obeyed.
//!
//! A model can repeat escape sequences of its training text, and a terminal would obey them: change its title, write
//! the clipboard (OSC 52), hide text. Pipes get the raw bytes; only what goes to a terminal passes here.

use std::borrow::Cow;
use std::fmt::Write;

/// `text` with every control character but newline and tab written out: `^[` for escape, `\u{9b}` for one above ASCII.
/// Characters that reorder what is around them (Unicode's bidirectional overrides) are written out too.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            _ if !is_hidden(c) => shown.push(c),
            // Caret notation: the letter 64 above the control character, `?` for DEL.
            '\0'..='\x1f' | '\x7f' => shown.extend(['^', char::from(c as u8 ^ 64)]),
            _ => write!(shown, "\\u{{{:x}}}", c as u32).expect("writing to a string cannot fail"),
        }
    }
    Cow::Owned(shown)
}

fn is_hidden(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out_and_all_else_is_kept() {
        for (text, shown) in [
            ("plain\n\ttext é → 鳥", "plain\n\ttext é → 鳥"),
            ("\x1b]0;title\x07", "^[]0;title^G"),
            ("a\rb\x08\x7f\0", "a^Mb^H^?^@"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{202e}abc", "\\u{202e}abc"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }
}
