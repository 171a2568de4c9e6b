//! What was found in a corpus, as JSON for programs and as lines for a person, with a plain sentence on what it can teach.

use crate::words::thousands;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What [`Corpus::scan`](super::Corpus::scan) found. Bytes are UTF-8 bytes of text unless said otherwise.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CorpusReport {
    /// Files whose text is used.
    pub n_files: u64,
    /// Documents that are kept, on both sides.
    pub n_documents: u64,
    /// Bytes of the kept documents; of a conversation, the bytes of its roles and contents as the template joins them,
    /// without the special tokens.
    pub n_bytes: u64,
    /// Exact copies of other documents, removed.
    pub n_duplicates: u64,
    /// Documents that have a near-duplicate; all are kept, each group on one side.
    pub n_near_duplicates: u64,
    /// Whether near-duplicates had to be put on both sides, because nearly all documents resemble each other.
    pub near_duplicates_parted: bool,
    /// Documents without text, dropped.
    pub n_empty: u64,
    /// Files left out because of their content.
    pub n_skipped_files: u64,
    /// Lines of JSON left out.
    pub n_skipped_lines: u64,
    /// The first of what was left out, with places and reasons; the two counts tell all.
    pub skipped: Vec<Skipped>,
    /// Files in folders that are not of a kind siskin reads, counted by extension.
    pub other_kinds: BTreeMap<String, u64>,
    /// Hidden files and folders, not looked into.
    pub n_hidden: u64,
    /// Documents on the training side; one that is cut counts on both sides.
    pub n_train_documents: u64,
    /// Bytes on the training side.
    pub n_train_bytes: u64,
    /// Documents held out, or cut so that their last tenth is.
    pub n_valid_documents: u64,
    /// Bytes held out.
    pub n_valid_bytes: u64,
    /// Documents that are cut: their first nine tenths are learned, the last tenth is held out.
    pub n_cut_documents: u64,
    /// Whether there are conversations among the documents.
    pub has_messages: bool,
    /// BLAKE3 hash, in hexadecimal, of the kept documents' hashes in reading order with the side of each. Names of files
    /// do not enter it; order does, because shards made of the documents depend on it.
    pub content_hash: String,
    /// What a corpus of this size can teach.
    pub verdict: String,
    /// The files that are used.
    pub files: Vec<FileRecord>,
}

/// A file whose text is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// The path as it was given or found.
    pub path: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// BLAKE3 hash of these bytes, in hexadecimal (what `b3sum` prints).
    pub hash: String,
}

/// A file or line that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The file.
    pub path: String,
    /// The line, counted from 1, if only a line was left out.
    pub line: Option<u64>,
    /// Offset of the fault in the (decompressed) file, in bytes.
    pub offset: Option<u64>,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        if let Some(line) = self.line {
            write!(f, ", line {}", thousands(line))?;
        }
        if let Some(offset) = self.offset {
            write!(f, ", byte {}", thousands(offset))?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Reasons for leaving something out that are shown on the screen.
const MAX_SHOWN: usize = 5;
/// Width to which the lines are wrapped: fits a terminal of 100 columns.
const WIDTH: usize = 98;
/// Width of the first column.
const LABEL: usize = 14;

impl CorpusReport {
    /// Reasons and places of what was left out, a handful, then the number of the rest; empty if all was taken.
    pub fn skipped_lines(&self) -> Vec<String> {
        let n_all = (self.n_skipped_files + self.n_skipped_lines) as usize;
        let mut lines: Vec<String> = self.skipped.iter().take(MAX_SHOWN).map(|s| s.to_string()).collect();
        if n_all > lines.len() {
            lines.push(format!("and {} more", thousands((n_all - lines.len()) as u64)));
        }
        lines
    }

    fn text_row(&self) -> String {
        let kinds = if self.has_messages { ", conversations among them" } else { "" };
        let (documents, files) = (counted(self.n_documents, "document"), counted(self.n_files, "file"));
        let exact = if self.n_bytes < 1000 { String::new() } else { format!(" ({} bytes)", thousands(self.n_bytes)) };
        format!("{documents} in {files}, {}{exact}{kinds}", human_bytes(self.n_bytes))
    }

    fn copies_row(&self) -> Option<String> {
        let exact = match self.n_duplicates {
            0 => "no exact duplicates".into(),
            1 => "1 exact duplicate removed".into(),
            n => format!("{} exact duplicates removed", thousands(n)),
        };
        match self.n_near_duplicates {
            0 if self.n_documents + self.n_duplicates < 2 => None,
            0 => Some(exact),
            n if self.near_duplicates_parted => {
                let near =
                    format!("{} documents resemble each other, and lie on both sides of the split", thousands(n));
                Some(format!("{exact}; {near}: held-out figures will look too good"))
            }
            n => Some(format!("{exact}; {} near-duplicates, each group kept on one side", thousands(n))),
        }
    }

    fn skipped_row(&self) -> Option<String> {
        let counts = [(self.n_skipped_files, "file"), (self.n_skipped_lines, "line")];
        let counts: Vec<String> =
            counts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| counted(n, what)).collect();
        (!counts.is_empty()).then(|| counts.join(" and "))
    }

    fn left_out_row(&self) -> Option<String> {
        let mut parts = Vec::new();
        let n_others: u64 = self.other_kinds.values().sum();
        if n_others > 0 {
            let mut kinds: Vec<_> = self.other_kinds.iter().collect();
            kinds.sort_by_key(|(kind, n)| (std::cmp::Reverse(**n), kind.to_owned()));
            let mut shown: Vec<String> =
                kinds.iter().take(6).map(|(kind, n)| format!("{kind} {}", thousands(**n))).collect();
            if kinds.len() > shown.len() {
                shown.push(format!("{} kinds more", kinds.len() - shown.len()));
            }
            parts.push(format!("{} of other kinds: {}", counted(n_others, "file"), shown.join(", ")));
        }
        if self.n_hidden > 0 {
            parts.push(format!("{} hidden", thousands(self.n_hidden)));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    fn held_out_row(&self) -> String {
        let share = 100.0 * self.n_valid_bytes as f64 / self.n_bytes.max(1) as f64;
        let n_whole = self.n_valid_documents - self.n_cut_documents;
        let mut parts = Vec::new();
        if n_whole > 0 {
            parts.push(format!("{}, chosen by hash", counted(n_whole, "whole document")));
        }
        match self.n_cut_documents {
            0 => {}
            1 if self.n_documents == 1 => parts.push("the last tenth of the one document".into()),
            1 => parts.push("the last tenth of the one long document".into()),
            n => parts.push(format!("the last tenth of each of {n} long documents")),
        }
        format!("{} ({share:.1} %): {}", human_bytes(self.n_valid_bytes), parts.join(", and "))
    }
}

impl fmt::Display for CorpusReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        row(f, "found", &self.text_row())?;
        if let Some(text) = self.copies_row() {
            row(f, "copies", &text)?;
        }
        if self.n_empty > 0 {
            row(f, "empty", &format!("{} without text dropped", counted(self.n_empty, "document")))?;
        }
        if let Some(text) = self.skipped_row() {
            row(f, "skipped", &text)?;
            for line in self.skipped_lines() {
                row(f, "", &format!("- {line}"))?;
            }
        }
        if let Some(text) = self.left_out_row() {
            row(f, "left out", &text)?;
        }
        let train = counted(self.n_train_documents, "document");
        row(f, "to learn from", &format!("{} in {train}", human_bytes(self.n_train_bytes)))?;
        row(f, "held out", &self.held_out_row())?;
        row(f, "verdict", &self.verdict)
    }
}

/// A label and its text, wrapped under itself.
fn row(f: &mut fmt::Formatter<'_>, label: &str, text: &str) -> fmt::Result {
    write!(f, "{label:<LABEL$}")?;
    let mut column = LABEL;
    for (i, word) in visible(text).split(' ').enumerate() {
        let width = word.chars().count();
        if i > 0 && column + 1 + width > WIDTH {
            write!(f, "\n{:LABEL$}", "")?;
            column = LABEL;
        } else if i > 0 {
            f.write_str(" ")?;
            column += 1;
        }
        f.write_str(word)?;
        column += width;
    }
    writeln!(f)
}

/// Names of files and parts of texts stand in the report: their control characters must not reach a terminal.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// What a corpus with this much text to learn from can teach a small model, plainly.
///
/// The steps are rules of thumb: children's stories need some 10 MB before a model of a few million parameters keeps a
/// thread (Eldan, Li: "TinyStories", arXiv 2305.07759, with far more); facts take billions of bytes.
pub(crate) fn verdict(n_train_bytes: u64) -> String {
    let taught = match n_train_bytes {
        0..20_000 => "very little: a model can only learn these lines by heart; add text, 1 MB is a good beginning",
        20_000..200_000 => {
            "spelling and a few turns of phrase; it will soon repeat its text, and its sentences will not make sense"
        }
        200_000..1_000_000 => {
            "words, punctuation and the look of the text; its sentences will mostly sound right and mean little"
        }
        1_000_000..10_000_000 => {
            "a style and mostly whole sentences; in a narrow world, such as children's stories, they make sense; no facts"
        }
        10_000_000..100_000_000 => {
            "a style, whole sentences and the topics of the text, which it keeps to for a paragraph; no reliable facts"
        }
        _ => "fluent paragraphs in the manner and on the topics of the text; do not trust what it states as fact",
    };
    format!("{} to learn from can teach {taught}", human_bytes(n_train_bytes))
}

/// Bytes as a person reads them, in steps of 1000: `1.1 MB`.
pub(crate) fn human_bytes(n: u64) -> String {
    // 999.95 KB would be printed as 1000.0 KB.
    match n {
        0..1000 => counted(n, "byte"),
        1000..999_950 => format!("{:.1} KB", n as f64 / 1e3),
        999_950..999_950_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.1} GB", n as f64 / 1e9),
    }
}

pub(crate) fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (n, wanted) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_115_394, "1,115,394")] {
            assert_eq!(thousands(n), wanted);
        }
        for (n, wanted) in
            [(1, "1 byte"), (999, "999 bytes"), (1000, "1.0 KB"), (999_949, "999.9 KB"), (999_950, "1.0 MB")]
        {
            assert_eq!(human_bytes(n), wanted);
        }
        assert_eq!(human_bytes(1_115_394), "1.1 MB");
        assert_eq!(human_bytes(12_345_678_901), "12.3 GB");
    }

    #[test]
    fn the_report_is_aligned_and_tells_a_handful_of_reasons() {
        let skipped = |i: u64| Skipped {
            path: "a\u{1b}.jsonl".into(),
            line: Some(i),
            offset: Some(1000 * i),
            reason: "bad".into(),
        };
        let report = CorpusReport {
            n_files: 3,
            n_documents: 1234,
            n_bytes: 1_115_394,
            n_duplicates: 2,
            n_near_duplicates: 12,
            n_empty: 1,
            n_skipped_lines: 9,
            n_skipped_files: 1,
            skipped: (1..=10).map(skipped).collect(),
            other_kinds: [(".pdf".into(), 2), (".png".into(), 10)].into(),
            n_train_documents: 1172,
            n_train_bytes: 1_060_000,
            n_valid_documents: 62,
            n_valid_bytes: 55_394,
            verdict: verdict(1_060_000),
            ..CorpusReport::default()
        };
        let text = report.to_string();
        for wanted in [
            "found         1,234 documents in 3 files, 1.1 MB (1,115,394 bytes)\n",
            "copies        2 exact duplicates removed; 12 near-duplicates, each group kept on one side\n",
            "empty         1 document without text dropped\n",
            "skipped       1 file and 9 lines\n              - a\u{fffd}.jsonl, line 1, byte 1,000: bad\n",
            "              - and 5 more\n",
            "left out      12 files of other kinds: .png 10, .pdf 2\n",
            "held out      55.4 KB (5.0 %): 62 whole documents, chosen by hash\n",
        ] {
            assert!(text.contains(wanted), "{text}\nlacks {wanted}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH && !line.ends_with(' ')), "{text}");
    }

    #[test]
    fn more_text_is_promised_to_teach_more() {
        let verdicts: Vec<String> = [5_000, 50_000, 500_000, 5_000_000, 50_000_000, 500_000_000].map(verdict).into();
        assert!(verdicts.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(verdicts[3].contains("no facts"), "{}", verdicts[3]);
    }
}
