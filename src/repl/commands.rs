//! The lines that begin with a slash: what they mean, and what to say when they mean nothing.

use anyhow::{Result, bail};

/// A line that is an order to the program and no word to the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    Reset,
    /// All settings are to be shown.
    ShowSettings,
    Set {
        name: String,
        value: String,
    },
    Stats,
    Quit,
}

/// What `/help` shows.
pub(super) const HELP: &str = "\
/help              this list
/reset             forget the conversation and begin a new one
/set               show the settings
/set NAME VALUE    change one, for example /set temperature 0.5
/stats             tokens, context and speed
/quit              leave (so does Ctrl-D)
Ctrl-C stops an answer. A line that begins with // is sent with one slash.";

const NAMES: [&str; 5] = ["/help", "/reset", "/set", "/stats", "/quit"];

/// The command on `line`, which begins with a slash; the error says which command was probably meant.
pub(super) fn parse(line: &str) -> Result<Command> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Ok(match words[..] {
        ["/help" | "/?"] => Command::Help,
        ["/reset"] => Command::Reset,
        ["/set"] => Command::ShowSettings,
        ["/set", name, value] => Command::Set { name: name.to_string(), value: value.to_string() },
        ["/set", ..] => bail!("/set takes a name and a value, for example /set temperature 0.5"),
        ["/stats"] => Command::Stats,
        ["/quit" | "/exit" | "/bye"] => Command::Quit,
        [name, ..] if NAMES.contains(&name) => bail!("{name} takes nothing after it"),
        [name, ..] => match nearest(name, &NAMES) {
            Some(near) => bail!("there is no command {name}: did you mean {near}?"),
            None => bail!("there is no command {name}: /help lists them, and // sends a line that begins with /"),
        },
        [] => bail!("a slash begins a command: /help lists them"),
    })
}

/// The one of `names` that `word` was probably meant to be: it begins so, or is at most two letters away.
pub(super) fn nearest<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let begun = names.iter().find(|name| word.chars().count() > 1 && name.starts_with(word));
    let near =
        || names.iter().map(|name| (distance(word, name), name)).filter(|(d, _)| *d <= 2).min_by_key(|(d, _)| *d);
    begun.or_else(|| near().map(|(_, name)| name)).copied()
}

/// Levenshtein's distance: how many letters must be added, removed or replaced.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_commands() {
        let set = Command::Set { name: "top-k".into(), value: "3".into() };
        for (line, command) in [
            ("/help", Command::Help),
            ("/reset ", Command::Reset),
            ("/set", Command::ShowSettings),
            ("/set  top-k 3", set),
            ("/stats", Command::Stats),
            ("/exit", Command::Quit),
        ] {
            assert_eq!(parse(line).unwrap(), command, "{line}");
        }
    }

    #[test]
    fn a_wrong_command_is_told_what_was_probably_meant() {
        for (line, words) in [
            ("/hlep", "did you mean /help?"),
            ("/q", "did you mean /quit?"),
            ("/rest", "did you mean /reset?"),
            ("/xyzzy", "/help lists them"),
            ("/", "/help lists them"),
            ("/set temperature", "a name and a value"),
            ("/quit now", "/quit takes nothing after it"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
    }

    #[test]
    fn the_distance_counts_letters() {
        for (a, b, expected) in [("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3), ("flaw", "lawn", 2)] {
            assert_eq!(distance(a, b), expected);
        }
    }
}
