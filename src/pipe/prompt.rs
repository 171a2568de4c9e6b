//! Where prompts come from: a stream to its end, or one line after the other.

use std::io::{BufRead, Read};

use anyhow::{Context, Result, anyhow, ensure};

/// Longest prompt that is read: far above any context, far below any memory.
const MAX_PROMPT_BYTES: u64 = 16 << 20;

/// Longest line of `--jsonl`: several wait at a time, so it is less than a prompt that comes alone.
pub(super) const MAX_LINE_BYTES: u64 = 1 << 20;

/// Reads a prompt to the end of `input`, which errors call `name`. Errors: not UTF-8 (with the offset of the first wrong
/// byte), or more than 16 MiB.
pub fn read_prompt(input: &mut dyn Read, name: &str) -> Result<String> {
    let mut bytes = Vec::new();
    input.take(MAX_PROMPT_BYTES + 1).read_to_end(&mut bytes).with_context(|| format!("reading {name}"))?;
    ensure!(
        bytes.len() as u64 <= MAX_PROMPT_BYTES,
        "{name} has more than {} MiB, and no model's context holds so much: pipe in less, for example through \
         `tail -c 4000`",
        MAX_PROMPT_BYTES >> 20
    );
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let byte = error.as_bytes()[offset];
        anyhow!("{name} is not UTF-8: byte {offset} is 0x{byte:02x}; convert it first, for example with `iconv`")
    })
}

/// What was read with `words` after it, byte for byte. Without words, one line ending at the end of what was read is taken
/// off, so that `echo "Once upon a time"` is a sentence to be continued.
pub fn join_prompt(mut read: String, words: &str) -> String {
    if words.is_empty() && read.ends_with('\n') {
        read.pop();
        if read.ends_with('\r') {
            read.pop();
        }
    }
    read + words
}

/// The next line without its ending, or what is wrong with it; `None` at the end. A line that is too long is read past.
pub(super) fn next_line(input: &mut dyn BufRead) -> std::io::Result<Option<Result<String, String>>> {
    let mut bytes = Vec::new();
    if input.take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    } else if bytes.len() as u64 > MAX_LINE_BYTES {
        skip_line(input)?;
        return Ok(Some(Err(format!("the line has more than {} MiB", MAX_LINE_BYTES >> 20))));
    }
    Ok(Some(String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        format!("the line is not UTF-8: byte {offset} is 0x{:02x}", error.as_bytes()[offset])
    })))
}

fn skip_line(input: &mut dyn BufRead) -> std::io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let (n, is_end) = match buffer.iter().position(|&byte| byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(n);
        if is_end {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, BufReader};

    use super::*;

    #[test]
    fn one_line_ending_is_taken_off_a_prompt_that_nothing_follows() {
        for (input, prompt) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("", ""), ("\n", "")] {
            assert_eq!(join_prompt(input.to_string(), ""), prompt);
        }
        assert_eq!(join_prompt("a\n".to_string(), "b"), "a\nb");
        assert_eq!(join_prompt(String::new(), "b"), "b");
    }

    #[test]
    fn a_prompt_that_is_not_utf_8_or_endless_is_refused() {
        let error = read_prompt(&mut &b"ab\xffc"[..], "standard input").unwrap_err().to_string();
        assert!(error.contains("byte 2 is 0xff"), "{error}");
        let error = read_prompt(&mut io::repeat(b'y'), "standard input").unwrap_err().to_string();
        assert!(error.contains("more than 16 MiB"), "{error}");
    }

    #[test]
    fn lines_are_read_one_by_one_and_bad_ones_are_told() {
        let long = "x".repeat(MAX_LINE_BYTES as usize + 5);
        let fits = "y".repeat(MAX_LINE_BYTES as usize);
        let bytes = [b"a\n\n\xff\n".as_slice(), long.as_bytes(), b"\n", fits.as_bytes(), b"\nb"].concat();
        let mut input = BufReader::new(&bytes[..]);
        let mut next = || next_line(&mut input).unwrap();
        assert_eq!(next(), Some(Ok("a".to_string())));
        assert_eq!(next(), Some(Ok(String::new())));
        assert!(next().unwrap().unwrap_err().contains("byte 0 is 0xff"));
        assert!(next().unwrap().unwrap_err().contains("more than 1 MiB"));
        assert_eq!(next().unwrap().unwrap().len(), fits.len());
        assert_eq!(next(), Some(Ok("b".to_string())));
        assert_eq!(next(), None);
    }
}
