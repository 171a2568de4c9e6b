//! One file of text to documents: decompression, document borders, pieces of bounded size, faults with their places.
//!
//! A document of text ends at the file's end or at a line that is exactly `<|endoftext|>`; a line of JSON is a document.
//! Text arrives as pieces, cut where a tokenizer cuts too, so that the pieces' ids are the whole text's ids. Where pieces
//! are cut depends on the document's bytes only: not on what stands before it, nor on how the disk delivers bytes.
//!
//! Does not know which documents are kept or held out.

use super::files::Source;
use super::packed::{Compression, Counted, RawBytes, decompress};
use crate::tokenizer::Message;
use anyhow::Result;
use serde::Deserialize;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// How the text of a file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Plain text, with `<|endoftext|>` lines between documents.
    Text,
    /// One JSON object a line: `{"text": …}` or `{"messages": […]}`.
    JsonLines,
}

/// The line that ends a document.
const DELIMITER: &[u8] = b"<|endoftext|>";

/// Text is cut into pieces of about this size (at most twice): a tokenizer needs some twenty times the text in memory.
pub(crate) const PIECE_BYTES: usize = 1 << 18;

/// A longer line of JSON is left out: a conversation must be in memory to be parsed.
const MAX_JSON_LINE_BYTES: u64 = 16 << 20;

/// What comes next out of a file.
#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    /// A piece of a document of text, never empty; `ends` on its last one.
    Text {
        /// The piece.
        text: String,
        /// Whether the document ends with it.
        ends: bool,
    },
    /// A whole conversation.
    Messages(Vec<Message>),
    /// A document without any text; nothing else comes of it.
    Empty,
    /// A line of JSON that is no document.
    BadLine(Fault),
}

/// What is wrong, and where.
#[derive(Debug, PartialEq)]
pub(crate) struct Fault {
    /// Line number from 1, for lines of JSON.
    pub(crate) line: Option<u64>,
    /// Byte offset in the (decompressed) file.
    pub(crate) offset: u64,
    /// What is wrong, in words.
    pub(crate) reason: String,
}

/// Tells what a stream without a name holds, by its first bytes.
pub(crate) fn sniff(path: &Path) -> io::Result<(Kind, Compression)> {
    let mut magic = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut magic)?;
    let compression = match magic[..] {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
        _ => Compression::None,
    };
    let mut line = Vec::new();
    let stream = decompress(BufReader::new(File::open(path)?), compression);
    // Damage is told with its place when the stream is read in earnest.
    let _ = stream.take(MAX_JSON_LINE_BYTES).read_until(b'\n', &mut line);
    let is_document = std::str::from_utf8(&line).is_ok_and(|line| parse_json_line(line).is_ok());
    Ok((if is_document { Kind::JsonLines } else { Kind::Text }, compression))
}

/// Reads one file as a sequence of [`Event`]s.
pub(crate) struct DocumentReader {
    input: Box<dyn BufRead + Send>,
    kind: Kind,
    compression: Compression,
    /// Bytes that are read but not yet delivered.
    buffer: Vec<u8>,
    /// Offset of the buffer's first byte in the decompressed file.
    offset: u64,
    n_lines: u64,
    at_line_start: bool,
    /// Whether a piece of the current document has been delivered.
    in_document: bool,
    at_end: bool,
    pending: VecDeque<Event>,
    raw: RawBytes,
}

impl DocumentReader {
    /// Opens a file; the error is the operating system's.
    pub(crate) fn open(source: &Source) -> io::Result<DocumentReader> {
        let raw = RawBytes::default();
        let file = Counted { file: File::open(&source.path)?, raw: raw.clone() };
        Ok(DocumentReader {
            input: decompress(BufReader::with_capacity(1 << 17, file), source.compression),
            kind: source.kind,
            compression: source.compression,
            buffer: Vec::new(),
            offset: 0,
            n_lines: 0,
            at_line_start: true,
            in_document: false,
            at_end: false,
            pending: VecDeque::new(),
            raw,
        })
    }

    /// What has been read of the file as it lies on disk.
    pub(crate) fn raw(&self) -> &RawBytes {
        &self.raw
    }

    /// The next event, `None` at the file's end. A fault means that no part of the file should be used.
    pub(crate) fn next_event(&mut self) -> Result<Option<Event>, Fault> {
        if self.offset == 0 && self.buffer.is_empty() && !self.at_end {
            self.skip_byte_order_mark()?;
        }
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(Some(event));
            }
            if self.at_end {
                return Ok(None);
            }
            match self.kind {
                Kind::Text => self.read_text()?,
                Kind::JsonLines => self.read_json_line()?,
            }
        }
    }

    fn skip_byte_order_mark(&mut self) -> Result<(), Fault> {
        let mut start = Vec::new();
        (&mut self.input).take(3).read_to_end(&mut start).map_err(|e| self.damaged(0, &e))?;
        if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
            return Err(fault(0, "UTF-16 text, not UTF-8: convert it with iconv -f UTF-16 -t UTF-8".into()));
        }
        if start == [0xef, 0xbb, 0xbf] {
            self.offset = 3;
            return Ok(());
        }
        // The three bytes are the beginning of the text, so they go back in front of the rest.
        let rest = std::mem::replace(&mut self.input, Box::new(io::empty()));
        self.input = Box::new(io::Cursor::new(start).chain(rest));
        Ok(())
    }

    fn damaged(&self, offset: u64, error: &io::Error) -> Fault {
        let reason = match self.compression {
            Compression::None => format!("cannot be read to its end: {error}"),
            Compression::Gzip => format!("gzip data cannot be unpacked further: {error}"),
            Compression::Zstd => format!("zstd data cannot be unpacked further: {error}"),
        };
        fault(offset, reason)
    }

    /// Reads a line, or as much of a long one as fits a piece, and delivers what has become certain.
    fn read_text(&mut self) -> Result<(), Fault> {
        let start = self.buffer.len();
        let read = (&mut self.input).take(PIECE_BYTES as u64).read_until(b'\n', &mut self.buffer);
        let n = read.map_err(|e| self.damaged(self.offset + self.buffer.len() as u64, &e))?;
        if n == 0 {
            self.at_end = true;
            return self.end_document(0);
        }
        if self.at_line_start && is_delimiter(&self.buffer[start..]) {
            let n_line = self.buffer.len() - start;
            self.buffer.truncate(start);
            return self.end_document(n_line);
        }
        self.at_line_start = self.buffer.ends_with(b"\n");
        if self.buffer.len() >= PIECE_BYTES {
            let cut = cut_point(&self.buffer);
            self.deliver(cut, false)?;
        }
        Ok(())
    }

    /// Delivers the buffer as a document's last piece and passes over the `n_delimiter` bytes behind it.
    fn end_document(&mut self, n_delimiter: usize) -> Result<(), Fault> {
        if !self.in_document && self.buffer.trim_ascii().is_empty() {
            // An empty file and the nothing after the last delimiter are no documents at all.
            if !self.buffer.is_empty() || n_delimiter > 0 || self.offset == 0 {
                self.pending.push_back(Event::Empty);
            }
            self.offset += self.buffer.len() as u64;
            self.buffer.clear();
        } else {
            self.deliver(self.buffer.len(), true)?;
        }
        self.offset += n_delimiter as u64;
        self.at_line_start = true;
        Ok(())
    }

    /// Moves the buffer's first `n` bytes, checked, to the events.
    fn deliver(&mut self, n: usize, ends: bool) -> Result<(), Fault> {
        let rest = self.buffer.split_off(n);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        let text = check_text(bytes, self.offset)?;
        self.offset += n as u64;
        self.in_document = !ends;
        self.pending.push_back(Event::Text { text, ends });
        Ok(())
    }

    /// Reads one line of JSON and delivers its document, or what is wrong with it.
    fn read_json_line(&mut self) -> Result<(), Fault> {
        self.buffer.clear();
        let start = self.offset;
        let n_max = MAX_JSON_LINE_BYTES + 1;
        let read = (&mut self.input).take(n_max).read_until(b'\n', &mut self.buffer);
        self.offset += read.map_err(|e| self.damaged(start + self.buffer.len() as u64, &e))? as u64;
        if self.buffer.is_empty() {
            self.at_end = true;
            return Ok(());
        }
        self.n_lines += 1;
        if let Some(at) = self.buffer.iter().position(|&b| b == 0) {
            return Err(fault(start + at as u64, BINARY.into()));
        }
        if self.buffer.len() as u64 == n_max && !self.buffer.ends_with(b"\n") {
            self.skip_line()?;
            let reason = format!("the line is longer than {} MB", MAX_JSON_LINE_BYTES >> 20);
            self.bad_line(start, reason);
            return Ok(());
        }
        let line = std::mem::take(&mut self.buffer);
        match std::str::from_utf8(&line) {
            Err(e) => self.bad_line(start + e.valid_up_to() as u64, NOT_UTF8.into()),
            Ok(line) if line.trim().is_empty() => {}
            Ok(line) => match parse_json_line(line) {
                Err(reason) => self.bad_line(start, reason),
                Ok(document) => self.deliver_json(document),
            },
        }
        Ok(())
    }

    /// Passes over the rest of a line that is too long to hold.
    fn skip_line(&mut self) -> Result<(), Fault> {
        loop {
            self.buffer.clear();
            let read = (&mut self.input).take(1 << 16).read_until(b'\n', &mut self.buffer);
            let n = read.map_err(|e| self.damaged(self.offset, &e))?;
            self.offset += n as u64;
            if n == 0 || self.buffer.ends_with(b"\n") {
                return Ok(());
            }
        }
    }

    fn bad_line(&mut self, offset: u64, reason: String) {
        self.pending.push_back(Event::BadLine(Fault { line: Some(self.n_lines), offset, reason }));
    }

    fn deliver_json(&mut self, document: JsonDocument) {
        match document {
            JsonDocument::Messages(messages) if messages.iter().all(|m| m.content.trim().is_empty()) => {
                self.pending.push_back(Event::Empty);
            }
            JsonDocument::Messages(messages) => self.pending.push_back(Event::Messages(messages)),
            JsonDocument::Text(text) if text.trim_ascii().is_empty() => self.pending.push_back(Event::Empty),
            JsonDocument::Text(mut text) => {
                while text.len() > 2 * PIECE_BYTES {
                    let rest = text.split_off(cut_point(&text.as_bytes()[..PIECE_BYTES]));
                    let piece = std::mem::replace(&mut text, rest);
                    self.pending.push_back(Event::Text { text: piece, ends: false });
                }
                self.pending.push_back(Event::Text { text, ends: true });
            }
        }
    }
}

const BINARY: &str = "binary: it holds a NUL byte";
const NOT_UTF8: &str = "not UTF-8";

fn fault(offset: u64, reason: String) -> Fault {
    Fault { line: None, offset, reason }
}

fn is_delimiter(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line) == DELIMITER
}

/// Takes bytes for text if they are UTF-8 without NUL; `offset` is where they lie in the file.
fn check_text(bytes: Vec<u8>, offset: u64) -> Result<String, Fault> {
    // NUL first: in a picture or a program both faults occur, and "binary" says more.
    if let Some(at) = bytes.iter().position(|&b| b == 0) {
        return Err(fault(offset + at as u64, BINARY.into()));
    }
    String::from_utf8(bytes).map_err(|e| fault(offset + e.utf8_error().valid_up_to() as u64, NOT_UTF8.into()))
}

/// Where to cut a piece off `bytes`, in 1..len: at the latest place where no tokenizer's word reaches across.
///
/// After a line end before a visible character; else before a single blank between visible characters; else between
/// any two characters. Splitting patterns like GPT-2's begin a new word at the first two, so the ids do not change.
fn cut_point(bytes: &[u8]) -> usize {
    // First bytes of characters that are surely no blanks: 0xc2 and 0xe1 to 0xe3 begin the blanks beyond ASCII.
    let visible = |b: u8| !b.is_ascii_whitespace() && !matches!(b, 0x80..=0xc2 | 0xe1..=0xe3);
    let last = |fits: &dyn Fn(usize) -> bool| (1..bytes.len() - 1).rev().find(|&i| fits(i));
    last(&|i| bytes[i - 1] == b'\n' && visible(bytes[i]))
        .or_else(|| last(&|i| bytes[i] == b' ' && !bytes[i - 1].is_ascii_whitespace() && visible(bytes[i + 1])))
        .or_else(|| last(&|i| bytes[i] & 0xc0 != 0x80))
        .unwrap_or(bytes.len() - 1)
}

enum JsonDocument {
    Text(String),
    Messages(Vec<Message>),
}

#[derive(Deserialize)]
struct JsonLine {
    text: Option<String>,
    messages: Option<Vec<Message>>,
}

/// The document of a line, or what is wrong with the line. Where a line has both fields, the messages are the document.
fn parse_json_line(line: &str) -> Result<JsonDocument, String> {
    let line: JsonLine = serde_json::from_str(line).map_err(|e| json_reason(&e))?;
    match line {
        JsonLine { messages: Some(messages), .. } if messages.is_empty() => Err("\"messages\" is an empty list".into()),
        JsonLine { messages: Some(messages), .. } => match messages.iter().find(|m| !is_role(&m.role)) {
            Some(message) => Err(format!("the role {:?} is not a word of at most 32 letters", message.role)),
            None => Ok(JsonDocument::Messages(messages)),
        },
        JsonLine { text: Some(text), .. } => Ok(JsonDocument::Text(text)),
        _ => Err("it has neither \"text\" nor \"messages\"".into()),
    }
}

/// A role stands on a line of its own in the chat template, so it must not bring a line end or a special token along.
fn is_role(role: &str) -> bool {
    (1..=32).contains(&role.len()) && role.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// serde's message with the place in the file's own terms: the line number there is always 1.
fn json_reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let what = message.split(" at line ").next().unwrap_or_default();
    format!(
        "{} at column {}",
        if error.is_data() { what.to_owned() } else { format!("no valid JSON: {what}") },
        error.column()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read_as(bytes: &[u8], kind: Kind, compression: Compression) -> Result<Vec<Event>, Fault> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let source = Source { path: file.path().to_owned(), name: "a".into(), kind, compression };
        let mut reader = DocumentReader::open(&source).unwrap();
        std::iter::from_fn(|| reader.next_event().transpose()).collect()
    }

    fn read_text(bytes: &[u8]) -> Result<Vec<Event>, Fault> {
        read_as(bytes, Kind::Text, Compression::None)
    }

    fn read_json(lines: &str) -> Vec<Event> {
        read_as(lines.as_bytes(), Kind::JsonLines, Compression::None).unwrap()
    }

    fn whole(text: &str) -> Event {
        Event::Text { text: text.into(), ends: true }
    }

    #[test]
    fn documents_end_at_a_delimiter_line_or_at_the_end_of_the_file() {
        for (bytes, wanted) in [
            ("a\nb", vec![whole("a\nb")]),
            ("a\n<|endoftext|>\nb\n", vec![whole("a\n"), whole("b\n")]),
            ("a\r\n<|endoftext|>\r\nb", vec![whole("a\r\n"), whole("b")]),
            ("a\n<|endoftext|>", vec![whole("a\n")]),
            ("a\n<|endoftext|>\n", vec![whole("a\n")]),
            ("a<|endoftext|>\n <|endoftext|>\n", vec![whole("a<|endoftext|>\n <|endoftext|>\n")]),
            ("", vec![Event::Empty]),
            (" \n\t", vec![Event::Empty]),
            ("<|endoftext|>\n \n<|endoftext|>\na", vec![Event::Empty, Event::Empty, whole("a")]),
        ] {
            assert_eq!(read_text(bytes.as_bytes()).unwrap(), wanted, "{bytes:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_text() {
        assert_eq!(read_text(b"\xef\xbb\xbfa").unwrap(), [whole("a")]);
        assert_eq!(read_text(b"\xef\xbb\xbf<|endoftext|>\nb").unwrap(), [Event::Empty, whole("b")]);
        let json = read_as(b"\xef\xbb\xbf{\"text\":\"a\"}", Kind::JsonLines, Compression::None).unwrap();
        assert_eq!(json, [whole("a")]);
    }

    #[test]
    fn text_that_is_none_is_a_fault_with_its_offset() {
        let late = [&b"line\n".repeat(100_000)[..], b"\xe4h"].concat();
        let cases: [(&[u8], u64, &str); 6] = [
            (b"ab\0c", 2, "binary"),
            (b"\x89PNG\r\n\x1a\n\0", 8, "binary"),
            (b"na\xefve", 2, "not UTF-8"),
            (b"\xef\xbb\xbfna\xefve", 5, "not UTF-8"),
            (b"a\n<|endoftext|>\n\xff", 16, "not UTF-8"),
            (&late, 500_000, "not UTF-8"),
        ];
        for (bytes, offset, reason) in cases {
            let fault = read_text(bytes).unwrap_err();
            assert!(fault.offset == offset && fault.reason.contains(reason), "{fault:?}, wanted {reason} at {offset}");
        }
        assert!(read_text(b"\xff\xfeh\0i\0").unwrap_err().reason.contains("UTF-16"));
    }

    #[test]
    fn pieces_rebuild_the_exact_text_and_are_bounded() {
        let lines = "A line of text, ünïcode too.\r\n".repeat(60_000);
        let words = "word ".repeat(400_000);
        let unbroken = "é".repeat(1_000_000);
        let blanks = format!("{}x", " \n".repeat(500_000));
        for text in [lines, words, unbroken, blanks] {
            let json = serde_json::json!({"text": text}).to_string();
            for events in [read_text(text.as_bytes()).unwrap(), read_json(&json)] {
                let mut rebuilt = String::new();
                let n = events.len();
                for (i, event) in events.into_iter().enumerate() {
                    let Event::Text { text, ends } = event else { panic!("{event:?}") };
                    assert!(!text.is_empty() && text.len() <= 2 * PIECE_BYTES && ends == (i + 1 == n));
                    rebuilt += &text;
                }
                assert!(n > 2 && rebuilt == text, "{n} pieces");
            }
        }
    }

    #[test]
    fn pieces_are_cut_before_a_word_so_that_ids_do_not_change() {
        for (text, cut) in [
            ("one\n\ntwo\nthree\n", 9),
            ("one two  three", 3),
            ("eins\nüben", 5),
            ("ja über", 2),
            ("a\n\u{3000}b c", 6),
            ("ééé", 4),
            ("ab", 1),
        ] {
            assert_eq!(cut_point(text.as_bytes()), cut, "{text:?}");
        }
    }

    #[test]
    fn json_lines_are_documents() {
        let message = Message::new;
        let lines = r#"{"text":"a\nb","id":3}

{"messages":[{"role":"user","content":"hi","name":"x"},{"role":"assistant","content":"ho"}]}
{"text":" "}
{"messages":[{"role":"user","content":""}]}"#;
        let chat = Event::Messages(vec![message("user", "hi"), message("assistant", "ho")]);
        assert_eq!(read_json(lines), [whole("a\nb"), chat, Event::Empty, Event::Empty]);
    }

    #[test]
    fn a_bad_line_names_its_number_and_offset_and_the_next_is_read() {
        let cases = [
            ("{", "no valid JSON"),
            ("[1]", "expected a string"),
            (r#"{"text":3}"#, "expected a string"),
            (r#"{"prompt":"a"}"#, "neither \"text\" nor \"messages\""),
            (r#"{"messages":[]}"#, "empty list"),
            (r#"{"messages":[{"role":"user"}]}"#, "content"),
            (r#"{"messages":[{"role":"us\ner","content":"a"}]}"#, "role"),
            (r#"{"text":"\ud800"}"#, "no valid JSON"),
            (&"[".repeat(100_000), ""),
        ];
        for (bad, reason) in cases {
            let events = read_json(&format!("{{\"text\":\"a\"}}\n{bad}\n{{\"text\":\"b\"}}\n"));
            let [a, Event::BadLine(fault), b] = &events[..] else { panic!("{bad}: {events:?}") };
            assert_eq!((a, b), (&whole("a"), &whole("b")));
            assert_eq!((fault.line, fault.offset), (Some(2), 13), "{bad}");
            assert!(fault.reason.contains(reason), "{:?} lacks {reason:?}", fault.reason);
        }
        let events = read_as(b"{\"text\":\"a\"}\n{\"text\":\"\xff\"}\n", Kind::JsonLines, Compression::None).unwrap();
        assert!(matches!(&events[1], Event::BadLine(Fault { line: Some(2), offset: 22, .. })), "{events:?}");
    }

    #[test]
    fn a_line_of_json_too_long_to_hold_is_left_out() {
        let long = "x".repeat(MAX_JSON_LINE_BYTES as usize + 100_000);
        let events = read_json(&format!("{{\"text\":\"{long}\"}}\n{{\"text\":\"b\"}}"));
        assert!(matches!(&events[0], Event::BadLine(f) if f.reason.contains("16 MB")), "{:?}", events.len());
        assert_eq!(events[1..], [whole("b")]);
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn compressed_files_of_one_part_or_several_equal_plain_ones() {
        let (front, back) = ("one\n<|endoftext|>\nt".repeat(50_000), "wo\n".repeat(300_000));
        let plain = read_text(format!("{front}{back}").as_bytes()).unwrap();
        let (front, back) = (front.as_bytes(), back.as_bytes());
        let skippable: &[u8] = &[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        for (compression, bytes) in [
            (Compression::Gzip, gzip(&[front, back].concat())),
            (Compression::Gzip, [gzip(front), gzip(back)].concat()),
            (Compression::Zstd, zstd(&[front, back].concat())),
            (Compression::Zstd, [&zstd(front)[..], skippable, &zstd(back)].concat()),
        ] {
            assert!(read_as(&bytes, Kind::Text, compression).unwrap() == plain, "{compression:?}");
        }
    }

    #[test]
    fn a_damaged_compressed_file_is_a_fault_not_a_shorter_text() {
        let text: Vec<u8> =
            (0..200_000u32).flat_map(|i| format!("{}\n", i.wrapping_mul(2_654_435_761)).into_bytes()).collect();
        for (compression, bytes, word) in
            [(Compression::Gzip, gzip(&text), "gzip"), (Compression::Zstd, zstd(&text), "zstd")]
        {
            for n in [3, 10, bytes.len() / 2, bytes.len() - 1] {
                let fault = read_as(&bytes[..n], Kind::Text, compression).expect_err("cut");
                assert!(fault.reason.contains(word), "{fault:?}");
            }
            let mut flipped = bytes.clone();
            flipped[bytes.len() / 2] ^= 0x55;
            assert!(read_as(&flipped, Kind::Text, compression).is_err(), "{compression:?}");
            assert!(read_as(b"plain text", Kind::Text, compression).is_err(), "{compression:?}");
        }
    }

    #[test]
    fn a_stream_is_told_by_its_first_bytes() {
        for (bytes, wanted) in [
            (b"once".to_vec(), (Kind::Text, Compression::None)),
            (b"{\"text\":\"a\"}\n{".to_vec(), (Kind::JsonLines, Compression::None)),
            (b"{\"a\":1}\n".to_vec(), (Kind::Text, Compression::None)),
            (gzip(b"once"), (Kind::Text, Compression::Gzip)),
            (zstd(b"{\"text\":\"a\"}"), (Kind::JsonLines, Compression::Zstd)),
            (vec![], (Kind::Text, Compression::None)),
        ] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&bytes).unwrap();
            assert_eq!(sniff(file.path()).unwrap(), wanted, "{bytes:?}");
        }
    }
}
