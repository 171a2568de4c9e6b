//! The text of a corpus once more: the pieces of its kept documents, each with its side.

use super::corpus::Corpus;
use super::document::{Body, Content, Fate, Piece, char_border_below};
use super::files::Source;
use super::reader::{DocumentReader, Event};
use super::split::Side;
use anyhow::{Context, Result, bail, ensure};
use std::collections::VecDeque;

const CHANGED: &str = "the file changed while siskin was working with it, run the command again";

/// Iterator over the [`Piece`]s of a corpus.
pub struct Pieces<'a> {
    corpus: &'a Corpus,
    /// Sources opened so far; the last of them is being read.
    n_opened: usize,
    reader: Option<DocumentReader>,
    /// Documents that the source being read still has to give.
    n_left: usize,
    /// Number of the document being read, and how far.
    document: usize,
    n_bytes: u64,
    content: Content,
    pending: VecDeque<(usize, Piece)>,
    failed: bool,
}

impl<'a> Pieces<'a> {
    /// From the first document on.
    pub(crate) fn new(corpus: &'a Corpus) -> Pieces<'a> {
        Pieces {
            corpus,
            n_opened: 0,
            reader: None,
            n_left: 0,
            document: 0,
            n_bytes: 0,
            content: Content::new(),
            pending: VecDeque::new(),
            failed: false,
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Result<Piece>> {
        self.next_with_document().map(|result| result.map(|(_, piece)| piece))
    }
}

impl Pieces<'_> {
    /// The next piece and the number of its document.
    pub(crate) fn next_with_document(&mut self) -> Option<Result<(usize, Piece)>> {
        while self.pending.is_empty() {
            if self.failed {
                return None;
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(e) => {
                    self.failed = true;
                    return Some(Err(e));
                }
            }
        }
        self.pending.pop_front().map(Ok)
    }

    /// Takes one event; returns whether there may be more.
    fn advance(&mut self) -> Result<bool> {
        let Some(reader) = &mut self.reader else { return self.open_next() };
        let event = match reader.next_event() {
            Ok(event) => event,
            Err(fault) => bail!("{}, byte {}: {}: {}", self.source().name, fault.offset, CHANGED, fault.reason),
        };
        match event {
            None => {
                ensure!(self.n_left == 0, "{}: {CHANGED}", self.source().name);
                self.reader = None;
            }
            Some(Event::Empty | Event::BadLine(_)) => {}
            Some(Event::Text { text, ends }) => {
                self.content.text(&text);
                self.body(Body::Text(text), ends)?;
            }
            Some(Event::Messages(messages)) => {
                self.content.messages(&messages);
                self.body(Body::Messages(messages), true)?;
            }
        }
        Ok(true)
    }

    fn source(&self) -> &Source {
        &self.corpus.sources[self.n_opened - 1]
    }

    fn open_next(&mut self) -> Result<bool> {
        let Some(source) = self.corpus.sources.get(self.n_opened) else { return Ok(false) };
        self.reader = Some(DocumentReader::open(source).with_context(|| format!("opening {}", source.name))?);
        self.n_left = self.corpus.n_documents[self.n_opened];
        self.n_opened += 1;
        Ok(true)
    }

    /// Passes a part of the current document on, if it is on a side.
    fn body(&mut self, body: Body, ends: bool) -> Result<()> {
        ensure!(self.n_left > 0, "{}: {CHANGED}", self.source().name);
        let start = self.n_bytes;
        self.n_bytes += body.n_text_bytes();
        match self.corpus.documents[self.document].fate {
            Fate::Whole(side) => {
                self.pending.push_back((self.document, Piece { side, starts: start == 0, ends, body }))
            }
            Fate::Cut => self.cut_body(body, start, ends),
            Fate::Duplicate | Fate::Empty => {}
        }
        if ends {
            let (hash, ..) = self.content.finish();
            ensure!(hash == self.corpus.documents[self.document].hash, "{}: {CHANGED}", self.source().name);
            (self.document, self.n_bytes, self.n_left) = (self.document + 1, 0, self.n_left - 1);
        }
        Ok(())
    }

    /// Parts what comes before the cut from what comes behind it.
    fn cut_body(&mut self, body: Body, start: u64, ends: bool) {
        let cut = self.corpus.cuts[&self.document];
        let (train, valid, behind) = match body {
            // Not `split_at` at an unchecked place: a file that changed since the scan may have no character border there.
            Body::Text(text) => {
                let at = char_border_below(&text, cut.saturating_sub(start) as usize);
                let (train, valid) = text.split_at(at);
                (Body::Text(train.into()), Body::Text(valid.into()), start + text.len() as u64)
            }
            Body::Messages(mut messages) => {
                let valid = messages.split_off(messages.len().min(cut as usize));
                (Body::Messages(messages), Body::Messages(valid), u64::MAX)
            }
        };
        if train.n_text_bytes() > 0 {
            let piece = Piece { side: Side::Train, starts: start == 0, ends: behind >= cut, body: train };
            self.pending.push_back((self.document, piece));
        }
        if valid.n_text_bytes() > 0 {
            let piece = Piece { side: Side::Valid, starts: start <= cut, ends, body: valid };
            self.pending.push_back((self.document, piece));
        }
    }
}
