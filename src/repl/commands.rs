//! The lines that begin with a slash: what they mean, and what to say when they mean nothing.

use anyhow::{Result, bail, ensure};

use crate::repl::multiline::unquoted;

/// A line that is an order to the program and no word to the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    /// What the model is told before all turns; nothing shows it.
    System(Option<String>),
    Set {
        name: String,
        value: String,
    },
    ShowSettings,
    Show,
    Regen,
    Undo,
    /// Opens an editor, with this in it.
    Edit(String),
    Continue,
    Save(String),
    Load(String),
    /// Another model; nothing says which one it is.
    Model(Option<String>),
    Template,
    Tokens(String),
    Why,
    /// Where the training text is, if it is not to be looked for.
    Source(Option<String>),
    Stats,
    Reset,
    Quit,
}

/// What may follow a command's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing,
    /// A setting and its value.
    Setting,
    /// Any text, also of several lines.
    Text,
    File,
    Model,
}

/// A command as a person sees it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) takes: Takes,
    /// What follows the name, in words.
    pub(super) usage: &'static str,
    help: &'static str,
}

const fn known(name: &'static str, takes: Takes, usage: &'static str, help: &'static str) -> Known {
    Known { name, takes, usage, help }
}

/// All commands, in the order of `/help`.
pub(super) const COMMANDS: [Known; 18] = [
    known("/help", Takes::Nothing, "", "this list"),
    known("/system", Takes::Text, " TEXT", "what the model is told before all turns; `none` takes it back"),
    known("/set", Takes::Setting, " NAME VALUE", "change a setting: /set temperature 0.5; alone, show them all"),
    known("/show", Takes::Nothing, "", "the model, the conversation and the settings"),
    known("/regen", Takes::Nothing, "", "another answer to the last question"),
    known("/undo", Takes::Nothing, "", "take the last question and its answer back"),
    known("/edit", Takes::Text, " TEXT", "write in your editor (so does Ctrl-G); saving sends, an empty file does not"),
    known("/continue", Takes::Nothing, "", "let the last answer go on"),
    known("/save", Takes::File, " FILE", "keep the conversation as JSON, a line that `siskin finetune` reads too"),
    known("/load", Takes::File, " FILE", "go on with a conversation that was kept"),
    known("/model", Takes::Model, " NAME", "talk to another model; the conversation stays"),
    known("/template", Takes::Nothing, "", "how turns are written for this model"),
    known("/tokens", Takes::Text, " TEXT", "the tokens of a text, with their ids"),
    known("/why", Takes::Nothing, "", "how probable each token of the last answer was, and the runners-up"),
    known("/source", Takes::File, " PATH", "what in the training text (of PATH) comes nearest to the last answer"),
    known("/stats", Takes::Nothing, "", "tokens, context and speed"),
    known("/reset", Takes::Nothing, "", "forget all turns and begin anew"),
    known("/quit", Takes::Nothing, "", "leave (so does Ctrl-D)"),
];

/// Stands below the list of commands.
const KEYS: &str = "Ctrl-C stops an answer. \"\"\" begins a message of several lines and \"\"\" ends it; so does a \
                    backslash before Enter, or Alt-Enter. Tab completes. A line that begins with // is sent with one \
                    slash.";

/// What `/help` shows in a window of so many columns.
pub(super) fn help(columns: usize) -> String {
    let label = |known: &Known| format!("{}{}", known.name, known.usage);
    let n_label = COMMANDS.iter().map(|known| label(known).len()).max().unwrap_or(0) + 2;
    // Where the second column would be a trickle, the words stand below the name.
    let narrow = columns < n_label + 30;
    let mut lines = Vec::new();
    for known in &COMMANDS {
        let indent = if narrow { 2 } else { n_label };
        let mut words = wrapped(known.help, columns.saturating_sub(indent + 1)).into_iter();
        match narrow {
            true => lines.push(label(known)),
            false => lines.push(format!("{:n_label$}{}", label(known), words.next().unwrap_or_default())),
        }
        lines.extend(words.map(|line| format!("{:indent$}{line}", "")));
    }
    lines.extend(wrapped(KEYS, columns.saturating_sub(1)));
    lines.join("\n")
}

/// `text` in lines of at most `width` characters; a longer word stands alone.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut().filter(|line| line.chars().count() + 1 + word.chars().count() <= width) {
            Some(line) => line.extend([" ", word]),
            None => lines.push(word.to_string()),
        }
    }
    lines
}

/// Whether `input` is an order and no message. Only an order that takes text may have several lines.
pub(super) fn is_command(input: &str) -> bool {
    let looks = input.starts_with('/') && !input.starts_with("//");
    looks && (!input.contains('\n') || text_of(input).is_some())
}

/// What follows the name of a command that takes text.
pub(super) fn text_of(input: &str) -> Option<&str> {
    let (name, rest) = split(input);
    COMMANDS.iter().any(|known| known.name == name && known.takes == Takes::Text).then_some(rest)
}

fn split(input: &str) -> (&str, &str) {
    input.split_once(char::is_whitespace).unwrap_or((input, ""))
}

/// The command on `input`, which begins with a slash; the error says which command was probably meant.
pub(super) fn parse(input: &str) -> Result<Command> {
    let (name, rest) = split(input);
    let rest = rest.trim();
    let some = || (!rest.is_empty()).then(|| rest.to_string());
    let text = || unquoted(rest).to_string();
    Ok(match name {
        "/help" | "/?" => alone("/help", rest, Command::Help)?,
        "/system" => Command::System(some().map(|_| text())),
        "/set" => set(rest)?,
        "/show" => alone(name, rest, Command::Show)?,
        "/regen" => alone(name, rest, Command::Regen)?,
        "/undo" => alone(name, rest, Command::Undo)?,
        "/edit" => Command::Edit(text()),
        "/continue" => alone(name, rest, Command::Continue)?,
        "/save" => Command::Save(wanted(name, rest, "a file, for example /save chat.json")?),
        "/load" => Command::Load(wanted(name, rest, "a file, for example /load chat.json")?),
        "/model" => Command::Model(some()),
        "/template" => alone(name, rest, Command::Template)?,
        "/tokens" => Command::Tokens(wanted(name, &text(), "a text, for example /tokens hello")?),
        "/why" => alone(name, rest, Command::Why)?,
        "/source" => Command::Source(some()),
        "/stats" => alone(name, rest, Command::Stats)?,
        "/reset" | "/clear" => alone(name, rest, Command::Reset)?,
        "/quit" | "/exit" | "/bye" => alone(name, rest, Command::Quit)?,
        "/" => bail!("a slash begins a command: /help lists them"),
        _ => match nearest(name, &COMMANDS.each_ref().map(|known| known.name)) {
            Some(near) => bail!("there is no command {name}: did you mean {near}?"),
            None => bail!("there is no command {name}: /help lists them, and // sends a line that begins with /"),
        },
    })
}

fn alone(name: &str, rest: &str, command: Command) -> Result<Command> {
    ensure!(rest.is_empty(), "{name} takes nothing after it");
    Ok(command)
}

fn wanted(name: &str, rest: &str, what: &str) -> Result<String> {
    ensure!(!rest.is_empty(), "{name} takes {what}");
    Ok(rest.to_string())
}

fn set(rest: &str) -> Result<Command> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    match words[..] {
        [] => Ok(Command::ShowSettings),
        [name, value] => Ok(Command::Set { name: name.to_string(), value: value.to_string() }),
        _ => bail!("/set takes a name and a value, for example /set temperature 0.5"),
    }
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
            ("/system Be kind, always.", Command::System(Some("Be kind, always.".into()))),
            ("/system", Command::System(None)),
            ("/system \"\"\"Be\nkind.\"\"\"", Command::System(Some("Be\nkind.".into()))),
            ("/save my chat.json", Command::Save("my chat.json".into())),
            ("/model", Command::Model(None)),
            ("/source", Command::Source(None)),
            ("/source my texts", Command::Source(Some("my texts".into()))),
            ("/tokens  a  b ", Command::Tokens("a  b".into())),
            ("/edit", Command::Edit(String::new())),
        ] {
            assert_eq!(parse(line).unwrap(), command, "{line}");
        }
    }

    #[test]
    fn every_listed_command_is_one() {
        for known in &COMMANDS {
            let argument = if known.takes == Takes::Setting { "seed 1" } else { "x" };
            let line =
                if known.takes == Takes::Nothing { known.name.into() } else { format!("{} {argument}", known.name) };
            assert!(parse(&line).is_ok(), "{line}");
            assert_eq!(known.takes == Takes::Nothing, known.usage.is_empty(), "{}", known.name);
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
            ("/save", "/save takes a file"),
            ("/tokens", "/tokens takes a text"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
    }

    #[test]
    fn help_fits_any_window() {
        for columns in [20, 40, 60, 80, 200] {
            let help = help(columns);
            let longest = help.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(longest < columns, "{longest} of {columns} columns:\n{help}");
            assert!(COMMANDS.iter().all(|known| help.contains(known.name)));
        }
    }

    #[test]
    fn the_distance_counts_letters() {
        for (a, b, expected) in [("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3), ("flaw", "lawn", 2)] {
            assert_eq!(distance(a, b), expected);
        }
    }
}
