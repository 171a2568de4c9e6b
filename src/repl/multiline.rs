//! When a typed message is whole, and what of it is meant: several lines between `"""` and `"""` are one message.
//!
//! (A backslash before Enter also begins a new line; that is a key, and `terminal` knows it.)

use crate::repl::commands;

const QUOTES: &str = "\"\"\"";

/// Whether `input` has opened quotes that it has not closed, so that Enter begins another line of it.
pub(super) fn is_open(input: &str) -> bool {
    let body = body(input).trim();
    body.starts_with(QUOTES) && (body.len() < 2 * QUOTES.len() || !body.ends_with(QUOTES))
}

/// What stands between the quotes, without the line ends next to them; a text without quotes as it is.
pub(super) fn unquoted(text: &str) -> &str {
    let inner = text.trim().strip_prefix(QUOTES).and_then(|text| text.strip_suffix(QUOTES));
    inner.map_or(text, |inner| {
        let inner = inner.strip_prefix('\n').unwrap_or(inner);
        inner.strip_suffix('\n').unwrap_or(inner)
    })
}

/// Whether all of `input` is meant for the model, as no single line of it could be a command.
pub(super) fn is_message(input: &str) -> bool {
    !commands::is_command(input) && (input.contains('\n') || unquoted(input) != input)
}

/// The text in which quotes count: all of it, or what follows a command that takes text.
fn body(input: &str) -> &str {
    commands::text_of(input).unwrap_or(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_stay_open_until_they_are_closed() {
        for (input, open) in [
            ("\"\"\"", true),
            ("\"\"\"one\ntwo", true),
            ("\"\"\"\"\"", true),
            ("\"\"\"one\ntwo\"\"\" ", false),
            ("\"\"\"one\"\"\"", false),
            ("\"\"\"\"\"\"", false),
            ("plain", false),
            ("say \"\"\"", false),
            ("/system \"\"\"be", true),
            ("/system \"\"\"be\nkind\"\"\"", false),
            ("/help \"\"\"", false),
        ] {
            assert_eq!(is_open(input), open, "{input:?}");
        }
    }

    #[test]
    fn quotes_and_the_line_ends_next_to_them_are_no_part_of_the_message() {
        for (input, text) in [
            ("\"\"\"\none\ntwo\n\"\"\"", "one\ntwo"),
            (" \"\"\"one\n\ntwo\"\"\"", "one\n\ntwo"),
            ("\"\"\"\"\"\"", ""),
            ("say \"\"\"x\"\"\"", "say \"\"\"x\"\"\""),
            ("\"\"\"open", "\"\"\"open"),
        ] {
            assert_eq!(unquoted(input), text);
        }
    }

    #[test]
    fn several_lines_are_a_message_unless_a_command_that_takes_text_begins_them() {
        for (input, message) in [
            ("one\ntwo", true),
            ("/etc/hosts\n/etc/passwd", true),
            ("\"\"\"/help\"\"\"", true),
            ("one", false),
            ("/help", false),
            ("/system \"\"\"be\nkind\"\"\"", false),
        ] {
            assert_eq!(is_message(input), message, "{input:?}");
        }
    }
}
