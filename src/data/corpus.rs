//! A corpus: what is known of its documents after one streaming pass, and the way to read their text again.
//!
//! The text itself is never held; each pass reads the files anew and checks that they still say the same.

use super::cut::CutSearch;
use super::document::{Document, Fate};
use super::files::{self, Found, Source};
use super::near_duplicates::{self, Signature};
use super::pieces::Pieces;
use super::report::{self, CorpusReport};
use super::scan::Scan;
use super::split::{self, Item, SPLIT_VERSION, Side};
use anyhow::{Result, bail, ensure};
use std::collections::HashMap;
use std::path::PathBuf;
use tempfile::NamedTempFile;

/// The documents of some files, split into what is learned and what is held out.
pub struct Corpus {
    name: String,
    pub(super) sources: Vec<Source>,
    /// Documents of each source.
    pub(super) n_documents: Vec<usize>,
    pub(super) documents: Vec<Document>,
    /// Where documents are cut: byte of the text, or number of the message.
    pub(super) cuts: HashMap<usize, u64>,
    report: CorpusReport,
    /// Keeps the copies of streams alive as long as they may be read.
    _spools: Vec<NamedTempFile>,
}

impl Corpus {
    /// Reads all files once and decides what is kept and what is held out.
    ///
    /// Folders are walked; `-` is standard input. `on_bytes` is told, now and then, how many more bytes on disk have
    /// been read. Fails where a path does not exist or cannot be opened, and where no text is left to learn from;
    /// everything else that is wrong with a file is in the report.
    pub fn scan(paths: &[PathBuf], on_bytes: &mut dyn FnMut(u64)) -> Result<Corpus> {
        ensure!(!paths.is_empty(), "no text was named: give files or folders, or - for standard input");
        let Found { sources, other_kinds, n_hidden, unreadable, spools } = files::find(paths)?;
        let report = CorpusReport { other_kinds, n_hidden, ..CorpusReport::default() };
        let mut scan = Scan::new(paths, report);
        for (path, reason) in unreadable {
            scan.skip_file(path, None, reason);
        }
        let mut kept = Vec::new();
        for source in sources {
            if scan.source(&source, on_bytes)? {
                kept.push(source);
            }
        }
        let Scan { documents, n_documents, signatures, report, .. } = scan;
        let (name, cuts) = (files::name_of(paths), HashMap::new());
        let mut corpus = Corpus { name, sources: kept, n_documents, documents, cuts, report, _spools: spools };
        corpus.remove_duplicates();
        corpus.split(&signatures)?;
        corpus.complete_report();
        Ok(corpus)
    }

    /// What was found.
    pub fn report(&self) -> &CorpusReport {
        &self.report
    }

    /// What a run of this corpus is called: the one file's stem or folder's name, else `corpus`.
    pub fn name(&self) -> String {
        self.name.clone()
    }

    /// The pieces of all kept documents on both sides, in the order of the files. Reads the files again; fails, and then
    /// ends, when one of them has changed since the scan.
    pub fn pieces(&self) -> Pieces<'_> {
        Pieces::new(self)
    }

    /// The text to learn from, in pieces of bounded size; conversations without their special tokens.
    pub fn train_texts(&self) -> impl Iterator<Item = Result<String>> + Send + '_ {
        self.texts(Side::Train)
    }

    /// The held-out text, in pieces of bounded size; conversations without their special tokens.
    pub fn valid_texts(&self) -> impl Iterator<Item = Result<String>> + Send + '_ {
        self.texts(Side::Valid)
    }

    fn texts(&self, side: Side) -> impl Iterator<Item = Result<String>> + Send + '_ {
        self.pieces().filter_map(move |piece| match piece {
            Ok(piece) if piece.side != side => None,
            Ok(piece) => Some(Ok(piece.body.into_text())),
            Err(e) => Some(Err(e)),
        })
    }

    /// Of documents with one hash, keeps the first.
    fn remove_duplicates(&mut self) {
        let mut order: Vec<usize> =
            (0..self.documents.len()).filter(|&i| self.documents[i].fate != Fate::Empty).collect();
        order.sort_unstable_by_key(|&i| (self.documents[i].hash, i));
        for pair in order.windows(2) {
            if self.documents[pair[0]].hash == self.documents[pair[1]].hash {
                self.documents[pair[1]].fate = Fate::Duplicate;
                self.report.n_duplicates += 1;
            }
        }
    }

    fn split(&mut self, signatures: &[(usize, Signature)]) -> Result<()> {
        let kept: Vec<usize> = (0..self.documents.len()).filter(|&i| self.is_kept(i)).collect();
        if kept.is_empty() {
            bail!("{}", self.nothing_found());
        }
        let groups = self.groups(&kept, signatures);
        let item = |(&i, &group): (&usize, &u32)| {
            let Document { hash, n_bytes, .. } = self.documents[i];
            Item { hash, n_bytes, group }
        };
        let items: Vec<Item> = kept.iter().zip(&groups).map(item).collect();
        let split = split::split(&items);
        self.report.near_duplicates_parted = split.parted;
        for (&i, &valid) in kept.iter().zip(&split.valid) {
            self.documents[i].fate = Fate::Whole(if valid { Side::Valid } else { Side::Train });
        }
        let tails: Vec<usize> = split.tails.iter().map(|&k| kept[k]).collect();
        self.cut(&tails)
    }

    fn is_kept(&self, i: usize) -> bool {
        matches!(self.documents[i].fate, Fate::Whole(_) | Fate::Cut)
    }

    /// The group of near-duplicates of each kept document.
    fn groups(&mut self, kept: &[usize], signatures: &[(usize, Signature)]) -> Vec<u32> {
        let mut signatures = signatures.iter().peekable();
        let documents: Vec<(u128, Option<&Signature>)> = kept
            .iter()
            .map(|&i| {
                while signatures.next_if(|(j, _)| *j < i).is_some() {}
                (self.documents[i].hash, signatures.next_if(|(j, _)| *j == i).map(|(_, s)| s))
            })
            .collect();
        let groups = near_duplicates::group(&documents);
        let mut sizes = vec![0u32; groups.len()];
        groups.iter().for_each(|&group| sizes[group as usize] += 1);
        self.report.n_near_duplicates = groups.iter().filter(|&&group| sizes[group as usize] > 1).count() as u64;
        groups
    }

    /// The sentence for a corpus without documents; it tells why.
    fn nothing_found(&self) -> String {
        let mut text = String::from("no text to learn from was found");
        for line in self.report.skipped_lines() {
            text += &format!("\n  skipped {line}");
        }
        if self.report.n_empty > 0 {
            text += &format!("\n  {} without text", report::counted(self.report.n_empty, "document"));
        }
        let n_others: u64 = self.report.other_kinds.values().sum();
        if n_others > 0 {
            text += &format!("\n  {} of other kinds", report::counted(n_others, "file"));
        }
        text + "\n  siskin reads .txt, .md and .jsonl, plain or as .gz or .zst, in UTF-8"
    }

    /// Finds where each of these documents is cut, in one more pass over their text.
    fn cut(&mut self, documents: &[usize]) -> Result<()> {
        if documents.is_empty() {
            return Ok(());
        }
        let mut searches: HashMap<usize, CutSearch> = HashMap::new();
        for &i in documents {
            searches.insert(i, CutSearch::new(self.documents[i].n_bytes));
        }
        let mut pieces = self.pieces();
        while let Some(piece) = pieces.next_with_document() {
            let (i, piece) = piece?;
            if let Some(search) = searches.get_mut(&i) {
                search.push(&piece.body);
            }
        }
        // Empty tails can only come of documents of a letter or two; such a document stays whole on the training side.
        self.cuts = searches.iter().filter_map(|(&i, search)| Some((i, search.cut()?))).collect();
        for i in self.cuts.keys() {
            self.documents[*i].fate = Fate::Cut;
        }
        let is_valid = |d: &Document| matches!(d.fate, Fate::Cut | Fate::Whole(Side::Valid));
        ensure!(
            self.documents.iter().any(is_valid),
            "the corpus is too small to hold any of it out: {} of text in a single piece",
            report::human_bytes(self.documents[documents[0]].n_bytes)
        );
        self.measure_cuts(&searches);
        Ok(())
    }

    fn measure_cuts(&mut self, searches: &HashMap<usize, CutSearch>) {
        for i in self.cuts.keys() {
            self.report.n_valid_bytes += self.documents[*i].n_bytes - searches[i].n_train_bytes();
        }
    }

    /// Fills in what follows from the documents' fates.
    fn complete_report(&mut self) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"siskin corpus").update(&SPLIT_VERSION.to_le_bytes());
        let report = &mut self.report;
        for (i, document) in self.documents.iter().enumerate() {
            let mark = match document.fate {
                Fate::Whole(Side::Train) => 0,
                Fate::Whole(Side::Valid) => 1,
                Fate::Cut => 2,
                Fate::Duplicate | Fate::Empty => continue,
            };
            hasher.update(&[mark]).update(&document.hash.to_le_bytes());
            hasher.update(&self.cuts.get(&i).copied().unwrap_or(0).to_le_bytes());
            report.n_documents += 1;
            report.n_bytes += document.n_bytes;
            report.n_train_documents += u64::from(mark != 1);
            report.n_valid_documents += u64::from(mark != 0);
            report.n_cut_documents += u64::from(mark == 2);
            report.n_valid_bytes += if mark == 1 { document.n_bytes } else { 0 };
        }
        report.n_train_bytes = report.n_bytes - report.n_valid_bytes;
        report.content_hash = hasher.finalize().to_hex().to_string();
        report.verdict = report::verdict(report.n_train_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::document::{Body, Piece};
    use crate::data::near_duplicates::Shingles;
    use std::fs;
    use std::path::Path;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new(files: &[(&str, &[u8])]) -> Folder {
            let folder = Folder(tempfile::tempdir().unwrap());
            files.iter().for_each(|(name, bytes)| folder.write(name, bytes));
            folder
        }

        fn path(&self) -> &Path {
            self.0.path()
        }

        fn write(&self, name: &str, bytes: &[u8]) {
            let path = self.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }

        fn scan(&self) -> Corpus {
            self.try_scan().unwrap()
        }

        fn try_scan(&self) -> Result<Corpus> {
            Corpus::scan(&[self.path().to_owned()], &mut |_| {})
        }
    }

    fn texts(corpus: &Corpus, side: Side) -> Vec<String> {
        let mut texts = Vec::new();
        for piece in corpus.pieces().map(Result::unwrap).filter(|piece| piece.side == side) {
            if piece.starts {
                texts.push(String::new());
            }
            *texts.last_mut().unwrap() += &piece.body.into_text();
        }
        texts
    }

    fn story(i: u64) -> String {
        let mut random = crate::kernels::random::Random::new(i, 9);
        let words: Vec<String> = (0..60).map(|_| format!("w{}", random.below(900))).collect();
        format!("{}\n", words.join(" "))
    }

    #[test]
    fn the_split_does_not_change_with_names_or_order_of_files() {
        let stories: Vec<String> = (0..200).map(story).collect();
        let one = Folder::new(&[("a.txt", stories.join("<|endoftext|>\n").as_bytes())]);
        let many = Folder::new(&[]);
        for (i, story) in stories.iter().enumerate() {
            many.write(&format!("{}/{:03}.md", i % 7, 999 - i), story.as_bytes());
        }
        let sorted = |corpus: &Corpus, side| {
            let mut texts = texts(corpus, side);
            texts.sort();
            texts
        };
        let (one, many) = (one.scan(), many.scan());
        assert_eq!(sorted(&one, Side::Valid), sorted(&many, Side::Valid));
        assert_eq!(sorted(&one, Side::Train), sorted(&many, Side::Train));
        let (report, n) = (one.report(), one.report().n_valid_documents);
        assert!((10..=12).contains(&n) && report.n_documents == 200 && report.n_near_duplicates == 0, "{report:?}");
        let n_valid: usize = sorted(&one, Side::Valid).iter().map(String::len).sum();
        assert_eq!((report.n_valid_bytes, report.n_train_bytes), (n_valid as u64, report.n_bytes - n_valid as u64));
    }

    #[test]
    fn exact_duplicates_are_removed_and_near_duplicates_land_on_one_side() {
        let folder = Folder::new(&[]);
        for i in 0..100 {
            let text = story(i / 2).replacen("w1", if i % 2 == 0 { "one" } else { "uno" }, 1);
            folder.write(&format!("{i}.txt"), text.as_bytes());
        }
        folder.write(
            "copy.jsonl",
            serde_json::json!({"text": fs::read_to_string(folder.path().join("7.txt")).unwrap()})
                .to_string()
                .as_bytes(),
        );
        let corpus = folder.scan();
        assert_eq!((corpus.report().n_duplicates, corpus.report().n_documents), (1, 100));
        assert_eq!(corpus.report().n_near_duplicates, 100);
        let signatures = |side| -> Vec<_> {
            let signature = |text: &String| {
                let mut shingles = Shingles::new();
                shingles.push(&text.replace("uno", "one"));
                shingles.finish().unwrap()
            };
            texts(&corpus, side).iter().map(signature).collect()
        };
        let (train, valid) = (signatures(Side::Train), signatures(Side::Valid));
        assert!(!valid.is_empty() && valid.iter().all(|s| !train.contains(s)));
    }

    #[test]
    fn a_single_document_gives_its_last_tenth_cut_at_a_line_end() {
        let lines: String = (0..1000).map(|i| format!("line {i:05}\n")).collect();
        let unbroken = "é".repeat(500);
        let long = (0..200_000).map(|i| format!("a longer line {i}\n")).collect::<String>();
        for text in [&lines, &unbroken, &long, "two", "é é", "a\n\n\n\n\n\n\n\n\n\n"] {
            let folder = Folder::new(&[("a.txt", text.as_bytes())]);
            let corpus = folder.scan();
            let (train, valid) = (texts(&corpus, Side::Train), texts(&corpus, Side::Valid));
            assert_eq!((train.len(), valid.len()), (1, 1));
            assert_eq!(train[0].clone() + &valid[0], *text);
            assert!(text.len() < 100 || (text.len() / 10).abs_diff(valid[0].len()) < 20, "{} held out", valid[0].len());
            assert!(!text.starts_with("line") || train[0].ends_with('\n'));
            let report = corpus.report();
            assert_eq!((report.n_train_bytes, report.n_valid_bytes), (train[0].len() as u64, valid[0].len() as u64));
            assert_eq!((report.n_documents, report.n_valid_documents, report.n_cut_documents), (1, 1, 1));
        }
    }

    #[test]
    fn a_single_conversation_gives_its_last_messages() {
        let message = |i: usize| serde_json::json!({"role": if i.is_multiple_of(2) { "user" } else { "assistant" }, "content": format!("m{i}")});
        let chat = |n: usize| serde_json::json!({"messages": (0..n).map(message).collect::<Vec<_>>()}).to_string();
        let folder = Folder::new(&[("a.jsonl", chat(20).as_bytes())]);
        let corpus = folder.scan();
        let pieces: Vec<Piece> = corpus.pieces().map(Result::unwrap).collect();
        let n = |piece: &Piece| match &piece.body {
            Body::Messages(messages) => messages.len(),
            Body::Text(_) => 0,
        };
        assert_eq!(
            pieces.iter().map(|p| (p.side, n(p), p.starts, p.ends)).collect::<Vec<_>>(),
            [(Side::Train, 18, true, true), (Side::Valid, 2, true, true)]
        );
        assert_eq!(pieces[1].body.clone().into_text(), "user\nm18\nassistant\nm19\n");
        assert!(corpus.report().has_messages);
        assert_eq!(corpus.report().n_valid_bytes, pieces[1].body.n_text_bytes());
        let error = Folder::new(&[("a.jsonl", chat(1).as_bytes())]).try_scan().err().unwrap().to_string();
        assert!(error.contains("too small to hold any of it out"), "{error}");
    }

    #[test]
    fn two_documents_keep_most_to_learn_from() {
        let (a, b) = (story(1).repeat(50), story(2).repeat(50));
        let folder = Folder::new(&[("a.txt", a.as_bytes()), ("b.txt", b.as_bytes())]);
        let corpus = folder.scan();
        let report = corpus.report();
        let share = report.n_valid_bytes as f64 / report.n_bytes as f64;
        assert!((0.08..0.11).contains(&share) && report.n_cut_documents == 2, "{share}");
        let (train, valid) = (texts(&corpus, Side::Train), texts(&corpus, Side::Valid));
        assert_eq!((train[0].clone() + &valid[0], train[1].clone() + &valid[1]), (a, b));
    }

    #[test]
    fn every_reason_for_skipping_is_reported_with_its_place_and_undone() {
        let folder = Folder::new(&[
            ("good.txt", story(1).as_bytes()),
            ("nul.txt", b"kept?\n<|endoftext|>\nno\0"),
            ("latin1.md", b"kept?\n<|endoftext|>\nna\xefve"),
            ("cut.txt.gz", &[0x1f, 0x8b, 8, 0]),
            ("lines.jsonl", b"{\"text\":\"fine\"}\n{\"txt\":1}\n"),
            ("empty.txt", b" \n"),
            ("picture.png", b"\x89PNG"),
        ]);
        let corpus = folder.scan();
        let report = corpus.report();
        let place = |s: &crate::data::Skipped| {
            let name = Path::new(&s.path).file_name().unwrap().to_str().unwrap().to_owned();
            (name, s.line, s.offset, s.reason.split([':', ' ']).next().unwrap().to_owned())
        };
        let places: Vec<_> = report.skipped.iter().map(place).collect();
        let wanted = |name: &str, line, offset, word: &str| (name.to_owned(), line, Some(offset), word.to_owned());
        assert_eq!(
            places,
            [
                wanted("cut.txt.gz", None, 0, "gzip"),
                wanted("latin1.md", None, 22, "not"),
                wanted("lines.jsonl", Some(2), 16, "it"),
                wanted("nul.txt", None, 22, "binary"),
            ]
        );
        assert_eq!((report.n_skipped_files, report.n_skipped_lines, report.n_empty), (3, 1, 1));
        assert_eq!((report.n_documents, report.n_files, report.other_kinds[".png"]), (2, 3, 1));
        let all = [texts(&corpus, Side::Train), texts(&corpus, Side::Valid)].concat().concat();
        assert!(!all.contains("kept?") && all.contains("fine"), "{all}");
    }

    #[test]
    fn a_corpus_without_text_is_an_error_that_tells_why() {
        let error =
            Folder::new(&[("a.txt", b"\0"), ("b.txt", b""), ("c.png", b"")]).try_scan().err().unwrap().to_string();
        for wanted in ["no text", "a.txt, byte 0: binary", "1 document without text", "1 file of other kinds", ".jsonl"]
        {
            assert!(error.contains(wanted), "{error:?} lacks {wanted:?}");
        }
        assert!(Corpus::scan(&[], &mut |_| {}).is_err());
    }

    #[test]
    fn a_file_that_changed_after_the_scan_is_an_error_that_names_it() {
        for changed in ["other text\n", "", "one\n<|endoftext|>\ntwo\n<|endoftext|>\nthree", "on\0", "ö"] {
            let folder = Folder::new(&[("a.txt", b"one\n<|endoftext|>\ntwo\n")]);
            let corpus = folder.scan();
            folder.write("a.txt", changed.as_bytes());
            let error = corpus.pieces().find_map(Result::err).expect(changed).to_string();
            assert!(error.contains("a.txt") && error.contains("changed while"), "{error}");
        }
    }

    #[test]
    fn bytes_on_disk_are_told_as_they_are_read_and_hashed() {
        let text = story(1).repeat(5000);
        let folder = Folder::new(&[("a.txt", text.as_bytes()), ("b.md", b"b")]);
        let (mut n_told, mut n_calls) = (0, 0);
        let corpus =
            Corpus::scan(&[folder.path().to_owned()], &mut |n| (n_told, n_calls) = (n_told + n, n_calls + 1)).unwrap();
        assert!(n_told == text.len() as u64 + 1 && n_calls > 5, "{n_told} bytes in {n_calls} calls");
        let file = &corpus.report().files[0];
        assert_eq!((file.bytes, &file.hash), (text.len() as u64, &blake3::hash(text.as_bytes()).to_hex().to_string()));
    }
}
