//! The first pass over a corpus: every document's hash, size and signature, and what was left out.
//!
//! Does not know duplicates or the split; those need all documents.

use super::document::{Content, Document, Fate};
use super::files::Source;
use super::near_duplicates::{Shingles, Signature};
use super::reader::{DocumentReader, Event, Fault};
use super::report::{CorpusReport, FileRecord, Skipped};
use super::split::Side;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// Reasons for skipping that are kept in the report; a broken file of a million lines must not fill memory with them.
const MAX_SKIPPED_KEPT: usize = 1000;

/// The first pass: documents' hashes, sizes and signatures, file by file.
pub(crate) struct Scan<'a> {
    named: &'a [PathBuf],
    /// All documents, in order.
    pub(crate) documents: Vec<Document>,
    /// Documents of each file that was taken.
    pub(crate) n_documents: Vec<usize>,
    /// Of the documents long enough to have one, by the document's number.
    pub(crate) signatures: Vec<(usize, Signature)>,
    content: Content,
    shingles: Shingles,
    /// What was found so far.
    pub(crate) report: CorpusReport,
}

impl<'a> Scan<'a> {
    /// Nothing read yet; `named` are the paths that the person named, where a failure is an error.
    pub(crate) fn new(named: &'a [PathBuf], report: CorpusReport) -> Scan<'a> {
        Scan {
            named,
            documents: Vec::new(),
            n_documents: Vec::new(),
            signatures: Vec::new(),
            content: Content::new(),
            shingles: Shingles::new(),
            report,
        }
    }

    /// Takes one file, or, if it has a fault, nothing of it. Returns whether it was taken.
    pub(crate) fn source(&mut self, source: &Source, on_bytes: &mut dyn FnMut(u64)) -> Result<bool> {
        let (n_documents, n_signatures) = (self.documents.len(), self.signatures.len());
        let before =
            (self.report.n_empty, self.report.n_skipped_lines, self.report.skipped.len(), self.report.has_messages);
        let mut reader = match DocumentReader::open(source) {
            Ok(reader) => reader,
            Err(e) if self.named.contains(&source.path) => {
                return Err(e).with_context(|| format!("opening {}", source.name));
            }
            Err(e) => {
                self.skip_file(source.name.clone(), None, format!("cannot be opened: {e}"));
                return Ok(false);
            }
        };
        match self.events(source, &mut reader, on_bytes) {
            Ok(()) => {
                self.n_documents.push(self.documents.len() - n_documents);
                self.report.n_files += 1;
                let (bytes, hash) = (reader.raw().n_bytes(), reader.raw().hash());
                self.report.files.push(FileRecord { path: source.name.clone(), bytes, hash });
                Ok(true)
            }
            Err(fault) => {
                self.documents.truncate(n_documents);
                self.signatures.truncate(n_signatures);
                (self.report.n_empty, self.report.n_skipped_lines) = (before.0, before.1);
                self.report.skipped.truncate(before.2);
                self.report.has_messages = before.3;
                (self.content, self.shingles) = (Content::new(), Shingles::new());
                self.skip_file(source.name.clone(), Some(fault.offset), fault.reason);
                Ok(false)
            }
        }
    }

    fn events(
        &mut self,
        source: &Source,
        reader: &mut DocumentReader,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(), Fault> {
        let mut n_told = 0;
        while let Some(event) = reader.next_event()? {
            self.event(source, event);
            let n_read = reader.raw().n_bytes();
            if n_read > n_told {
                on_bytes(n_read - n_told);
                n_told = n_read;
            }
        }
        on_bytes(reader.raw().n_bytes() - n_told);
        Ok(())
    }

    fn event(&mut self, source: &Source, event: Event) {
        match event {
            Event::Empty => self.report.n_empty += 1,
            Event::BadLine(Fault { line, offset, reason }) => {
                self.report.n_skipped_lines += 1;
                self.skip(Skipped { path: source.name.clone(), line, offset: Some(offset), reason });
            }
            Event::Messages(messages) => {
                self.report.has_messages = true;
                messages.iter().for_each(|message| self.shingles.push(&message.content));
                self.content.messages(&messages);
                self.end_document();
            }
            Event::Text { text, ends } => {
                self.shingles.push(&text);
                self.content.text(&text);
                if ends {
                    self.end_document();
                }
            }
        }
    }

    fn end_document(&mut self) {
        let (hash, n_bytes, is_empty) = self.content.finish();
        let signature = self.shingles.finish();
        let fate = if is_empty { Fate::Empty } else { Fate::Whole(Side::Train) };
        if is_empty {
            self.report.n_empty += 1;
        } else if let Some(signature) = signature {
            self.signatures.push((self.documents.len(), signature));
        }
        self.documents.push(Document { hash, n_bytes, fate });
    }

    /// Notes that a file is left out.
    pub(crate) fn skip_file(&mut self, path: String, offset: Option<u64>, reason: String) {
        self.report.n_skipped_files += 1;
        self.skip(Skipped { path, line: None, offset, reason });
    }

    fn skip(&mut self, skipped: Skipped) {
        if self.report.skipped.len() < MAX_SKIPPED_KEPT {
            self.report.skipped.push(skipped);
        }
    }
}
