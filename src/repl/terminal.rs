//! Lines from a person at a terminal (rustyline, with a history on disk), or from a pipe.
//!
//! A chat is private: its history is readable by its owner only.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use rustyline::config::{Behavior, Config};
use rustyline::error::ReadlineError;
use rustyline::{DefaultEditor, Editor};

use crate::repl::{Line, Lines};

/// Lines kept in the history.
const N_HISTORY: usize = 1000;

/// Longest line taken from a pipe: far above any context, far below any memory.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// A prompt with editing and history.
pub struct TerminalLines {
    editor: DefaultEditor,
    history: Option<PathBuf>,
    prompt: (&'static str, &'static str),
}

impl TerminalLines {
    /// Opens the terminal, and the history at `history` (created with its folder if need be). A history that cannot be
    /// used is no error of the chat: a warning goes to `notes` and the chat does without.
    pub fn open(history: Option<&Path>, colour: bool, notes: &mut dyn Write) -> Result<TerminalLines> {
        // The terminal even when the answers go to a file; a space in front keeps a line out of the history, as in bash.
        let config = Config::builder().max_history_size(N_HISTORY).context("setting up the history")?;
        let config = config.history_ignore_space(true).behavior(Behavior::PreferTerm).build();
        let mut editor: DefaultEditor = Editor::with_config(config).context("opening the terminal")?;
        let history = history.filter(|path| match load_history(&mut editor, path) {
            Ok(()) => true,
            Err(error) => {
                let _ = writeln!(notes, "warning: no history is kept: {error:#}");
                false
            }
        });
        let prompt = if colour { ("> ", "\x1b[1;36m> \x1b[0m") } else { ("> ", "> ") };
        Ok(TerminalLines { editor, history: history.map(Path::to_path_buf), prompt })
    }

    fn remember(&mut self, line: &str) {
        // Written line by line, so that nothing is lost when the terminal is closed. A disk that filled up meanwhile
        // must not end the conversation.
        if let (Ok(true), Some(path)) = (self.editor.add_history_entry(line), &self.history) {
            let _ = self.editor.append_history(path);
        }
    }
}

impl Lines for TerminalLines {
    fn next_line(&mut self) -> Result<Line> {
        loop {
            return match self.editor.readline(&self.prompt) {
                Ok(line) => {
                    self.remember(&line);
                    Ok(Line::Text(line))
                }
                Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
                Err(ReadlineError::Eof) => Ok(Line::End),
                // A key that is no UTF-8: ask again rather than leave.
                Err(ReadlineError::Io(error)) if error.kind() == ErrorKind::InvalidData => continue,
                Err(error) => Err(error).context("reading from the terminal"),
            };
        }
    }
}

fn load_history(editor: &mut DefaultEditor, path: &Path) -> Result<()> {
    create_private(path).with_context(|| format!("opening {}", path.display()))?;
    editor.load_history(path).with_context(|| format!("reading {}", path.display()))
}

/// Creates the file where it is missing, and takes from everyone but its owner the right to read it.
fn create_private(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    if file.metadata()?.is_file() {
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    }
    drop(file);
    Ok(())
}

/// Lines of a pipe or file, each an utterance.
pub struct PipedLines<R> {
    input: R,
    n_lines: usize,
}

impl<R: BufRead> PipedLines<R> {
    /// Lines of `input`.
    pub fn new(input: R) -> PipedLines<R> {
        PipedLines { input, n_lines: 0 }
    }
}

impl<R: BufRead> Lines for PipedLines<R> {
    fn next_line(&mut self) -> Result<Line> {
        let mut bytes = Vec::new();
        self.n_lines += 1;
        let n_line = self.n_lines;
        (&mut self.input)
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut bytes)
            .with_context(|| format!("reading line {n_line} of standard input"))?;
        ensure!(
            (bytes.len() as u64) < MAX_LINE_BYTES,
            "line {n_line} of standard input is longer than {} MiB",
            MAX_LINE_BYTES >> 20
        );
        if bytes.is_empty() {
            return Ok(Line::End);
        }
        let line = String::from_utf8(bytes).map_err(|error| {
            anyhow!("line {n_line} of standard input is not UTF-8 at its byte {}", error.utf8_error().valid_up_to())
        })?;
        let line = line.strip_suffix('\n').unwrap_or(&line);
        Ok(Line::Text(line.strip_suffix('\r').unwrap_or(line).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_gives_its_lines_without_their_endings() {
        let mut lines = PipedLines::new(&b"one\ntwo\r\n\nlast"[..]);
        for expected in ["one", "two", "", "last"] {
            assert_eq!(lines.next_line().unwrap(), Line::Text(expected.to_string()));
        }
        assert_eq!(lines.next_line().unwrap(), Line::End);
    }

    #[test]
    fn a_line_that_is_not_utf_8_or_endless_is_refused() {
        let mut lines = PipedLines::new(&b"fine\na\xff\n"[..]);
        lines.next_line().unwrap();
        let error = lines.next_line().unwrap_err().to_string();
        assert!(error.contains("line 2 of standard input is not UTF-8 at its byte 1"), "{error}");
        let endless = std::io::BufReader::new(std::io::repeat(b'y'));
        assert!(PipedLines::new(endless).next_line().unwrap_err().to_string().contains("longer than 16 MiB"));
    }

    #[cfg(unix)]
    #[test]
    fn a_history_is_private_even_if_it_was_not() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let fresh = folder.path().join("deep/down/history");
        create_private(&fresh).unwrap();
        assert_eq!(mode(&fresh), 0o600);
        let old = folder.path().join("history");
        fs::write(&old, "#V2\nhello\n").unwrap();
        fs::set_permissions(&old, fs::Permissions::from_mode(0o644)).unwrap();
        create_private(&old).unwrap();
        assert_eq!((mode(&old), fs::read_to_string(&old).unwrap().as_str()), (0o600, "#V2\nhello\n"));
    }
}
