//! Lines without a person at a keyboard: those of a pipe, or the one question of the command line.

use std::io::{BufRead, Read};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::repl::{Line, Lines};

/// Longest line taken from a pipe: far above any context, far below any memory.
const MAX_LINE_BYTES: u64 = 16 << 20;

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
    fn compose(&mut self, _: &str) -> Result<Option<String>> {
        bail!("an editor needs a terminal")
    }

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

/// One message, and then the end.
pub struct OneLine {
    message: Option<String>,
}

impl OneLine {
    /// The message, which is no command whatever it begins with.
    pub fn new(message: String) -> OneLine {
        OneLine { message: Some(message) }
    }
}

impl Lines for OneLine {
    fn next_line(&mut self) -> Result<Line> {
        Ok(self.message.take().map_or(Line::End, Line::Message))
    }

    fn compose(&mut self, _: &str) -> Result<Option<String>> {
        bail!("an editor needs a terminal")
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

    #[test]
    fn one_message_is_one_message() {
        let mut lines = OneLine::new("/help".to_string());
        assert_eq!(lines.next_line().unwrap(), Line::Message("/help".to_string()));
        assert_eq!(lines.next_line().unwrap(), Line::End);
        assert!(lines.compose("").is_err());
    }
}
