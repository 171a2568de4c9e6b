//! Text that is to be judged, not learned from: every document of some files as ids, in the order of the files.
//!
//! Nothing is held out, cut or taken for a duplicate, as in a corpus to learn from: whoever asks how well a model knows
//! these files means all of them. The ids lie in memory; judging takes far longer than any text of that size is read.

use super::document::{Body, Piece};
use super::files::{self, Found, Source};
use super::prepare::encode;
use super::reader::{DocumentReader, Event, Fault};
use super::report::Skipped;
use super::split::Side;
use crate::tokenizer::Tokenizer;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;

/// The documents of some files.
#[derive(Debug, Default)]
pub struct Judged {
    /// For every document the token that ends a text, and then the document's ids.
    pub ids: Vec<u32>,
    /// Where each document begins in `ids`.
    pub starts: Vec<usize>,
    /// The files by name, and how many documents each has.
    pub files: Vec<(String, usize)>,
    /// What could not be used, with places and reasons.
    pub skipped: Vec<Skipped>,
}

impl Judged {
    /// Reads all documents of `paths`: files, folders, or `-` for standard input. `on_bytes` is told how many more bytes of
    /// text have been read. Fails where a path does not exist or cannot be opened, and where there is no text at all.
    pub fn read(paths: &[PathBuf], tokenizer: &Tokenizer, on_bytes: &mut dyn FnMut(u64)) -> Result<Judged> {
        // The copies of streams are deleted when `spools` is dropped, so it must stay.
        let Found { sources, unreadable, spools: _spools, .. } = files::find(paths)?;
        let mut judged = Judged::default();
        for (path, reason) in unreadable {
            judged.skipped.push(Skipped { path, line: None, offset: None, reason });
        }
        for source in &sources {
            let (n_ids, n_documents) = (judged.ids.len(), judged.starts.len());
            if let Err(fault) = judged.source(source, tokenizer, on_bytes)? {
                // A file with a fault is no text, or not the text that was meant: nothing of it is used.
                judged.ids.truncate(n_ids);
                judged.starts.truncate(n_documents);
                judged.skip(source, fault);
            }
            judged.files.push((source.name.clone(), judged.starts.len() - n_documents));
        }
        let reasons: String = judged.skipped.iter().take(5).map(|s| format!("\n  skipped {s}")).collect();
        ensure!(!judged.starts.is_empty(), "there is no text to judge in what was named{reasons}");
        Ok(judged)
    }

    /// The file of a document.
    pub fn file_of(&self, document: usize) -> &str {
        let mut n_before = 0;
        let holds = |&&(_, n): &&(String, usize)| {
            n_before += n;
            document < n_before
        };
        self.files.iter().find(holds).map_or("", |(name, _)| name)
    }

    /// The ids of a document without the token before them.
    pub fn document(&self, document: usize) -> &[u32] {
        let end = self.starts.get(document + 1).copied().unwrap_or(self.ids.len());
        &self.ids[self.starts[document] + 1..end]
    }

    fn source(
        &mut self,
        source: &Source,
        tokenizer: &Tokenizer,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<Result<(), Fault>> {
        let mut reader = DocumentReader::open(source).with_context(|| format!("opening {}", source.name))?;
        let mut starts = true;
        loop {
            let (body, ends) = match reader.next_event() {
                Err(fault) => return Ok(Err(fault)),
                Ok(None) => return Ok(Ok(())),
                Ok(Some(Event::Empty)) => continue,
                Ok(Some(Event::BadLine(fault))) => {
                    self.skip(source, fault);
                    continue;
                }
                Ok(Some(Event::Text { text, ends })) => (Body::Text(text), ends),
                Ok(Some(Event::Messages(messages))) => (Body::Messages(messages), true),
            };
            let piece = Piece { side: Side::Valid, starts, ends, body };
            if starts {
                self.starts.push(self.ids.len());
            }
            self.ids.extend(encode(tokenizer, &piece)?);
            on_bytes(piece.body.n_text_bytes());
            starts = ends;
        }
    }

    fn skip(&mut self, source: &Source, Fault { line, offset, reason }: Fault) {
        self.skipped.push(Skipped { path: source.name.clone(), line, offset: Some(offset), reason });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{TrainOptions, train};
    use std::fs;

    fn read(files: &[(&str, &[u8])]) -> (Result<Judged>, Tokenizer) {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, bytes)| fs::write(folder.path().join(name), bytes).unwrap());
        let tokenizer = train(["some text to learn from".to_owned()].into_iter(), TrainOptions::new(300)).unwrap();
        (Judged::read(&[folder.path().to_owned()], &tokenizer, &mut |_| {}), tokenizer)
    }

    #[test]
    fn every_document_is_there_whole_copies_and_short_ones_included() {
        let chat = br#"{"messages":[{"role":"user","content":"hi"}]}"#;
        let long = "a line of a long text\n".repeat(30_000);
        let (judged, tokenizer) = read(&[
            ("a.txt", b"one\n<|endoftext|>\ntwo\n<|endoftext|>\none\n"),
            ("b.jsonl", chat),
            ("c.txt", long.as_bytes()),
        ]);
        let judged = judged.unwrap();
        let text = |i: usize| String::from_utf8(tokenizer.decode(judged.document(i))).unwrap();
        assert_eq!(judged.starts.len(), 5);
        assert_eq!([text(0), text(1), text(2)], ["one\n", "two\n", "one\n"]);
        assert_eq!((text(3).as_str(), text(4)), ("<|im_start|>user\nhi<|im_end|>\n", long));
        assert!(judged.starts.iter().all(|&start| judged.ids[start] == tokenizer.end_of_text()));
        assert_eq!(judged.ids.iter().filter(|&&id| id == tokenizer.end_of_text()).count(), 5);
        let names: Vec<bool> = [(0, "a.txt"), (2, "a.txt"), (3, "b.jsonl"), (4, "c.txt")]
            .map(|(i, name)| judged.file_of(i).ends_with(name))
            .into();
        assert_eq!(names, [true; 4]);
    }

    #[test]
    fn what_cannot_be_used_is_told_and_nothing_of_a_faulty_file_is_kept() {
        let (judged, _) = read(&[("a.txt", b"good"), ("b.txt", b"good\n<|endoftext|>\nbad\0"), ("c.jsonl", b"{}\n")]);
        let judged = judged.unwrap();
        assert_eq!(judged.starts.len(), 1);
        let reasons: Vec<String> = judged.skipped.iter().map(|s| s.to_string()).collect();
        assert!(reasons[0].contains("b.txt, byte 22: binary") && reasons[1].contains("c.jsonl, line 1"), "{reasons:?}");
        let message = read(&[("b.txt", b"\0")]).0.unwrap_err().to_string();
        assert!(message.contains("no text to judge") && message.contains("b.txt"), "{message}");
    }
}
