//! Help while a person types: completion, hints, colours, and whether Enter ends the message.

use std::borrow::Cow;
use std::fs;
use std::path::PathBuf;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use crate::repl::commands::{self, COMMANDS, Known, Takes};
use crate::repl::multiline;
use crate::repl::paint::{Ink, Paint};

/// Shown on an empty line until something has been typed.
const FIRST_HINT: &str = "/help lists commands";

/// What is known of commands, settings, runs and files.
pub(super) struct TypingHelper {
    settings: Vec<String>,
    runs: PathBuf,
    files: FilenameCompleter,
    paint: Paint,
    is_new: bool,
}

impl TypingHelper {
    pub(super) fn new(settings: Vec<String>, runs: PathBuf, colour: bool) -> TypingHelper {
        TypingHelper { settings, runs, files: FilenameCompleter::new(), paint: Paint::new(colour), is_new: true }
    }

    /// Something has been typed, so the first hint has done its work.
    pub(super) fn greeted(&mut self) {
        self.is_new = false;
    }

    /// The start of the word at `pos`, and what it may become.
    fn candidates(&self, line: &str, pos: usize) -> (usize, Vec<Pair>) {
        let typed = &line[..pos];
        let Some((name, rest)) = typed.split_once(char::is_whitespace) else {
            let found = COMMANDS.iter().filter(|known| known.name.starts_with(typed)).map(|known| Pair {
                display: known.name.to_string(),
                replacement: format!("{}{}", known.name, if known.usage.is_empty() { "" } else { " " }),
            });
            return (0, found.collect());
        };
        let takes = COMMANDS.iter().find(|known| known.name == name).map_or(Takes::Nothing, |known| known.takes);
        let start = pos - rest.trim_start().len();
        match takes {
            Takes::Setting if !rest.trim_start().contains(char::is_whitespace) => {
                (start, beginning_with(&typed[start..], self.settings.iter().map(String::as_str), " "))
            }
            Takes::File => self.files.complete_path(line, pos).unwrap_or_default(),
            Takes::Model => {
                let runs = self.run_names();
                let found = beginning_with(&typed[start..], runs.iter().map(String::as_str), "");
                if found.is_empty() { self.files.complete_path(line, pos).unwrap_or_default() } else { (start, found) }
            }
            _ => (pos, Vec::new()),
        }
    }

    fn run_names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.runs).into_iter().flatten().flatten();
        let runs = entries.filter(|entry| entry.path().join("config.json").is_file());
        let mut names: Vec<String> = runs.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }
}

/// The `words` that begin as `typed` does, each followed by `after`.
fn beginning_with<'w>(typed: &str, words: impl Iterator<Item = &'w str>, after: &str) -> Vec<Pair> {
    let pair = |word: &str| Pair { display: word.to_string(), replacement: format!("{word}{after}") };
    words.filter(|word| word.starts_with(typed)).map(pair).collect()
}

/// The command that `line` begins with, if it is one.
fn known(line: &str) -> Option<&'static Known> {
    let name = line.split(char::is_whitespace).next()?;
    COMMANDS.iter().find(|known| known.name == name)
}

/// Words after the cursor, of which a part may be taken over.
#[derive(Debug, PartialEq)]
pub(super) struct TypingHint {
    shown: String,
    n_completing: usize,
}

impl Hint for TypingHint {
    fn display(&self) -> &str {
        &self.shown
    }

    fn completion(&self) -> Option<&str> {
        (self.n_completing > 0).then(|| &self.shown[..self.n_completing])
    }
}

impl TypingHelper {
    fn hint_at(&self, line: &str, pos: usize) -> Option<TypingHint> {
        let only_shown = |shown: &str| TypingHint { shown: shown.to_string(), n_completing: 0 };
        if pos < line.len() || line.contains('\n') {
            return None;
        }
        if line.is_empty() {
            return self.is_new.then(|| only_shown(FIRST_HINT));
        }
        if let Some(known) = known(line).filter(|known| line.len() <= known.name.len() + 1) {
            // Without the blank, once that is there.
            let usage = known.usage.get(line.len() - known.name.len()..).filter(|usage| !usage.is_empty());
            return usage.map(only_shown);
        }
        // Names of files would need the disk at every key.
        let has_names = line.len() > 1 && known(line).is_none_or(|known| known.takes == Takes::Setting);
        let (start, found) =
            if has_names && line.starts_with('/') { self.candidates(line, pos) } else { (pos, Vec::new()) };
        let rest = found.first()?.display.get(pos - start..).filter(|rest| !rest.is_empty() && pos > start)?;
        Some(TypingHint { shown: rest.to_string(), n_completing: rest.len() })
    }
}

impl Helper for TypingHelper {}

impl Completer for TypingHelper {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context) -> rustyline::Result<(usize, Vec<Pair>)> {
        if commands::is_command(line) { Ok(self.candidates(line, pos)) } else { Ok((pos, Vec::new())) }
    }
}

impl Hinter for TypingHelper {
    type Hint = TypingHint;

    fn hint(&self, line: &str, pos: usize, _: &Context) -> Option<TypingHint> {
        self.hint_at(line, pos)
    }
}

impl Highlighter for TypingHelper {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        match known(line).filter(|_| commands::is_command(line)) {
            Some(known) => {
                let (name, rest) = line.split_at(known.name.len());
                Cow::Owned(format!("{}{rest}", self.paint.paint(Ink::Bold, name)))
            }
            None => Cow::Borrowed(line),
        }
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        self.paint.paint(Ink::Dim, hint)
    }

    fn highlight_char(&self, line: &str, _: usize, _: CmdKind) -> bool {
        line.starts_with('/')
    }
}

impl Validator for TypingHelper {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        match multiline::is_open(context.input()) {
            true => Ok(ValidationResult::Incomplete),
            false => Ok(ValidationResult::Valid(None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn helper() -> TypingHelper {
        let settings = ["temperature", "top-k", "top-p"].map(String::from).to_vec();
        TypingHelper::new(settings, PathBuf::from("no such folder"), true)
    }

    fn completed(helper: &TypingHelper, line: &str) -> Vec<String> {
        let (start, found) = helper.candidates(line, line.len());
        found.into_iter().map(|pair| format!("{}{}", &line[..start], pair.replacement)).collect()
    }

    #[test]
    fn commands_and_settings_complete() {
        for (line, expected) in [
            ("/te", &["/template"][..]),
            ("/st", &["/stats"]),
            ("/s", &["/system ", "/set ", "/show", "/save ", "/source ", "/stats"]),
            ("/set te", &["/set temperature "]),
            ("/set top", &["/set top-k ", "/set top-p "]),
            ("/set  top-k", &["/set  top-k "]),
            ("/set top-k 1", &[]),
            ("/tokens te", &[]),
            ("/xyz", &[]),
        ] {
            assert_eq!(completed(&helper(), line), expected, "{line}");
        }
    }

    #[test]
    fn files_and_runs_complete() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("fables")).unwrap();
        fs::write(folder.path().join("fables/config.json"), "{}").unwrap();
        fs::create_dir_all(folder.path().join("no-model")).unwrap();
        fs::write(folder.path().join("my chat.json"), "").unwrap();
        let helper = TypingHelper { runs: folder.path().to_path_buf(), ..helper() };
        assert_eq!(completed(&helper, "/model "), ["/model fables"]);
        assert_eq!(completed(&helper, "/model f"), ["/model fables"]);
        let typed = format!("/load {}/my", folder.path().display());
        assert_eq!(completed(&helper, &typed), [format!("/load {}/my\\ chat.json", folder.path().display())]);
    }

    #[test]
    fn hints_say_what_may_follow() {
        let helper = helper();
        let hint = |line: &str| helper.hint_at(line, line.len()).map(|hint| (hint.shown, hint.n_completing));
        for (line, expected) in [
            ("", Some((FIRST_HINT, 0))),
            ("/", None),
            ("/he", Some(("lp", 2))),
            ("/help", None),
            ("/help ", None),
            ("/save", Some((" FILE", 0))),
            ("/save ", Some(("FILE", 0))),
            ("/save x", None),
            ("/set tem", Some(("perature", 8))),
            ("hello", None),
        ] {
            assert_eq!(hint(line), expected.map(|(shown, n)| (shown.to_string(), n)), "{line:?}");
        }
        assert_eq!(helper.hint_at("/help", 2), None, "only at the line's end");
    }

    #[test]
    fn a_command_is_coloured_once_it_is_one() {
        for (line, shown) in
            [("/help", "\x1b[1m/help\x1b[0m"), ("/hel", "/hel"), ("/tokens a", "\x1b[1m/tokens\x1b[0m a")]
        {
            assert_eq!(helper().highlight(line, 0), shown);
        }
        let plain = TypingHelper::new(Vec::new(), PathBuf::new(), false);
        assert_eq!(plain.highlight("/help", 0), "/help");
    }
}
