//! What a person sees of a download: a bar on a terminal, one line elsewhere. All of it on standard error.

use crate::words;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write, stderr};

/// Longest file name that leaves room for the bar in 80 columns.
const MAX_NAME: usize = 28;

/// The progress of one file. Dropped, it leaves nothing behind.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// For `file` of `n_bytes`, of which `n_have` are here.
    pub(super) fn new(file: &str, n_have: u64, n_bytes: u64) -> Bar {
        if !stderr().is_terminal() {
            // Nobody is left to tell where standard error is closed.
            let _ = writeln!(stderr(), "{}", line(file, n_have, n_bytes));
            return Bar(ProgressBar::hidden());
        }
        let template =
            "{msg:28} {wide_bar} {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";
        let bar = ProgressBar::new(n_bytes).with_position(n_have);
        bar.set_style(ProgressStyle::with_template(template).expect("a valid template").progress_chars("━━─"));
        bar.set_message(shortened(file));
        // What was here before says nothing about how fast the rest will come.
        bar.reset_eta();
        Bar(bar)
    }

    /// `n_have` bytes are here now.
    pub(super) fn set(&self, n_have: u64) {
        self.0.set_position(n_have);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn line(file: &str, n_have: u64, n_bytes: u64) -> String {
    let whole = words::bytes(n_bytes);
    match n_have {
        0 => format!("fetching {file} ({whole})"),
        n_have => format!("fetching {file} ({whole}), going on after {}", words::bytes(n_have)),
    }
}

/// The end of a long name, where files of one repository differ.
fn shortened(file: &str) -> String {
    let n_chars = file.chars().count();
    if n_chars <= MAX_NAME {
        return file.to_owned();
    }
    format!("…{}", file.chars().skip(n_chars - MAX_NAME + 1).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_comes_and_from_where_it_goes_on() {
        assert_eq!(line("a.gguf", 0, 145_000_000), "fetching a.gguf (145 MB)");
        assert_eq!(line("a.gguf", 60_000_000, 145_000_000), "fetching a.gguf (145 MB), going on after 60 MB");
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        assert_eq!(shortened("model.gguf"), "model.gguf");
        let short = shortened("SmolLM2-135M-Instruct-with-a-long-name-Q4_K_M.gguf");
        assert!(short.starts_with('…') && short.ends_with("Q4_K_M.gguf"), "{short}");
        assert_eq!(short.chars().count(), MAX_NAME);
    }
}
