//! Where an answer may come from: passages of the training text that are nearest to it, and the longest run of words
//! that it has in common with that text.
//!
//! The text is found by the model's manifest, and by those of the models that it was fine-tuned from, or is where the
//! person says, and is read again; only its training side counts, as the rest was held out. Nearness is the share of
//! the answer's words and pairs of neighbouring words that a passage has too, each weighed by how rare it is (the
//! inverse document frequency of Spärck Jones, Journal of Documentation 28, 1972).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use ahash::{AHashMap, AHashSet};
use anyhow::{Context, Result, bail, ensure};

use crate::checkpoint::{Manifest, ModelDir};
use crate::data::{Body, Corpus, CorpusReport, Side};
use crate::tokenizer::Message;
use crate::training::overlap::{Found, Search};

/// Passages that are shown.
const N_PASSAGES: usize = 3;
/// Words of the longest passage: some five lines.
const MAX_PASSAGE_WORDS: usize = 60;
/// Fine-tunings of fine-tunings that are followed back.
const MAX_BASES: usize = 8;

/// The text that a model learned from.
pub(super) struct Source {
    corpora: Vec<Corpus>,
    /// What a person should know of it.
    pub(super) remarks: Vec<String>,
}

/// What of the training text is near to an answer.
#[derive(Debug)]
pub(super) struct Nearest {
    /// The longest run of words in common.
    pub(super) run: Found,
    /// The nearest passages, the nearest first, with the share of the answer that each has too (0 to 1).
    pub(super) passages: Vec<(f64, String)>,
}

impl Source {
    /// The text of the model in `folder`; an error where it is not known or not at hand.
    pub(super) fn open(folder: &Path) -> Result<Source> {
        let (mut corpora, mut remarks) = (Vec::new(), Vec::new());
        for (folder, manifest) in manifests(folder)? {
            let unknown = || format!("{} does not say what text it learned from", folder.join("run.json").display());
            ensure!(!manifest.corpus.is_null(), unknown());
            let report: CorpusReport = serde_json::from_value(manifest.corpus)
                .with_context(|| format!("reading {}", folder.join("run.json").display()))?;
            let paths = report.files.iter().map(|file| at_hand(&file.path, &folder)).collect::<Result<Vec<_>>>()?;
            let corpus = Corpus::scan(&paths, &mut |_| {})?;
            if corpus.report().content_hash != report.content_hash {
                remarks.push(format!("{} has changed since it was learned", corpus.name()));
            }
            corpora.push(corpus);
        }
        Ok(Source { corpora, remarks })
    }

    /// The text at `path`, a file or a folder of them, whatever the model learned from.
    pub(super) fn of_text(path: &Path) -> Result<Source> {
        // By way of the folder, so that `-` is a file and not what the person types next.
        let corpus = Corpus::scan(&[Path::new(".").join(path)], &mut |_| {})?;
        Ok(Source { corpora: vec![corpus], remarks: Vec::new() })
    }

    /// What is nearest to `answer`; `None` when interrupted.
    pub(super) fn nearest(&self, answer: &str, interrupted: &AtomicBool) -> Result<Option<Nearest>> {
        let mut search = Search::new(&[vec![answer]]);
        let mut features = Features::of(answer);
        let counted = self.read(interrupted, &mut |text, ends| {
            search.piece(text.as_bytes());
            if ends {
                search.end_document();
            }
            passages(text).for_each(|passage| features.count(passage));
        })?;
        let mut best: Vec<(f64, String)> = Vec::new();
        let ranked = counted
            && self.read(interrupted, &mut |text, _| {
                passages(text).for_each(|passage| keep_best(&mut best, features.share(passage), passage));
            })?;
        let Some(run) = search.finish().into_iter().next().filter(|_| ranked) else { return Ok(None) };
        Ok(Some(Nearest { run, passages: best }))
    }

    /// Reads the training side, piece by piece, with whether a document ends there; false when interrupted.
    fn read(&self, interrupted: &AtomicBool, each: &mut dyn FnMut(&str, bool)) -> Result<bool> {
        for piece in self.corpora.iter().flat_map(Corpus::pieces) {
            let piece = piece?;
            if interrupted.load(Ordering::Relaxed) {
                return Ok(false);
            }
            if piece.side == Side::Train {
                each(&as_text(piece.body), piece.ends);
            }
        }
        Ok(true)
    }
}

/// What is said, with who says it: a conversation in pairs of turns, each a paragraph.
fn as_text(body: Body) -> String {
    match body {
        Body::Text(text) => text,
        Body::Messages(messages) => {
            let line = |message: &Message| format!("{}: {}", message.role, message.content);
            let pair = |pair: &[Message]| pair.iter().map(line).collect::<Vec<_>>().join("\n");
            messages.chunks(2).map(pair).collect::<Vec<_>>().join("\n\n")
        }
    }
}

/// The manifest of the model in `folder`, and those of the models that it was made of.
fn manifests(folder: &Path) -> Result<Vec<(PathBuf, Manifest)>> {
    let mut found = Vec::new();
    let mut next = Some(folder.to_path_buf());
    while let Some(folder) = next.take().filter(|_| found.len() < MAX_BASES) {
        let Some(manifest) = (ModelDir { path: folder.clone() }).manifest()? else {
            ensure!(found.is_empty(), "{} is gone, and with it what is known of its text", folder.display());
            bail!("{} has no run.json, so nothing is known of the text that it learned from", folder.display());
        };
        next = manifest.base.as_ref().map(|base| PathBuf::from(&base.path));
        found.push((folder, manifest));
    }
    Ok(found)
}

/// The path of a file of the training text: as it was given then, or beside the folder of the runs.
fn at_hand(path: &str, folder: &Path) -> Result<PathBuf> {
    let beside = folder.ancestors().nth(2).map(|project| project.join(path));
    let places = [Some(PathBuf::from(path)), beside];
    places.into_iter().flatten().find(|place| place.is_file()).with_context(|| {
        format!("the training text is not at hand: there is no file {path} any more (it is looked for from here)")
    })
}

/// The passages of a text: its paragraphs, the long ones in parts.
fn passages(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").flat_map(parts).filter(|passage| !passage.is_empty())
}

fn parts(paragraph: &str) -> Vec<&str> {
    let mut rest = paragraph.trim();
    let mut parts = Vec::new();
    while let Some(at) = end_of_words(rest, MAX_PASSAGE_WORDS) {
        parts.push(&rest[..at]);
        rest = rest[at..].trim_start();
    }
    parts.push(rest);
    parts
}

/// Where the first `n` words of `text` end; `None` if it has no more than these.
fn end_of_words(text: &str, n: usize) -> Option<usize> {
    let ends = text.char_indices().zip(text.chars().skip(1));
    let mut ends = ends.filter(|((_, c), next)| !c.is_whitespace() && next.is_whitespace());
    ends.nth(n - 1).map(|((at, c), _)| at + c.len_utf8()).filter(|&at| !text[at..].trim().is_empty())
}

/// The words of a text as they are compared: without what surrounds them, and without capitals.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    let plain = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    text.split_whitespace().map(plain).filter(|word| !word.is_empty())
}

/// Words and pairs of words of an answer, and how many passages have each.
struct Features {
    /// Numbers of the words.
    words: AHashMap<String, usize>,
    /// Numbers of the pairs, which go on after those of the words.
    pairs: AHashMap<(usize, usize), usize>,
    n_passages_with: Vec<u64>,
    n_passages: u64,
}

impl Features {
    fn of(answer: &str) -> Features {
        let (mut numbers, mut sequence) = (AHashMap::new(), Vec::new());
        for word in words(answer) {
            let n = numbers.len();
            sequence.push(*numbers.entry(word).or_insert(n));
        }
        let mut pairs = AHashMap::new();
        for pair in sequence.windows(2) {
            let n = numbers.len() + pairs.len();
            pairs.entry((pair[0], pair[1])).or_insert(n);
        }
        let n_passages_with = vec![0; numbers.len() + pairs.len()];
        Features { words: numbers, pairs, n_passages_with, n_passages: 0 }
    }

    /// The features that `passage` has too.
    fn shared(&self, passage: &str) -> AHashSet<usize> {
        let mut shared = AHashSet::new();
        let mut before = None;
        for word in words(passage) {
            let number = self.words.get(&word).copied();
            shared.extend(number);
            shared.extend(before.zip(number).and_then(|pair| self.pairs.get(&pair)));
            before = number;
        }
        shared
    }

    fn count(&mut self, passage: &str) {
        self.n_passages += 1;
        for feature in self.shared(passage) {
            self.n_passages_with[feature] += 1;
        }
    }

    /// The share of the answer that `passage` has too, once all passages are counted.
    fn share(&self, passage: &str) -> f64 {
        // In the order of their numbers: a sum in the order of a hash map would differ from run to run.
        let mut shared: Vec<usize> = self.shared(passage).into_iter().collect();
        shared.sort_unstable();
        let all: f64 = (0..self.n_passages_with.len()).map(|feature| self.weight(feature)).sum();
        shared.into_iter().map(|feature| self.weight(feature)).sum::<f64>() / all.max(f64::MIN_POSITIVE)
    }

    fn weight(&self, feature: usize) -> f64 {
        ((self.n_passages as f64 + 1.0) / (self.n_passages_with[feature] as f64 + 0.5)).ln()
    }
}

fn keep_best(best: &mut Vec<(f64, String)>, share: f64, passage: &str) {
    let at = best.partition_point(|(better, _)| *better >= share);
    if share > 0.0 && at < N_PASSAGES && best.iter().all(|(_, known)| known != passage) {
        best.insert(at, (share, passage.to_string()));
        best.truncate(N_PASSAGES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;

    const TEXT: &str = "The red hen found a seed in the yard.\n\nA dog sat by the door and slept all day long.\n\n\
                        The moon rose over the quiet sea that night.\n\
                        <|endoftext|>\nThe dog and the hen were friends.\n";

    /// A run whose manifest names a text of some documents, and the folder of both.
    fn run(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (file, run) = (folder.path().join("text.txt"), folder.path().join("runs/tiny"));
        // Enough documents for a split to hold some out.
        let rest: String = (0..30).map(|i| format!("<|endoftext|>\nSentence {i} stands here alone.\n")).collect();
        fs::write(&file, format!("{text}{rest}")).unwrap();
        fs::create_dir_all(&run).unwrap();
        let corpus = Corpus::scan(&[file], &mut |_| {}).unwrap();
        fs::write(run.join("run.json"), json!({ "corpus": corpus.report() }).to_string()).unwrap();
        (folder, run)
    }

    #[test]
    fn the_nearest_passage_comes_first_and_the_longest_run_is_word_for_word() {
        let (_folder, run) = run(TEXT);
        let source = Source::open(&run).unwrap();
        let answer = "Once the red hen found a seed in her garden.";
        let nearest = source.nearest(answer, &AtomicBool::new(false)).unwrap().unwrap();
        assert!(source.remarks.is_empty());
        // The document may have been held out, as a hash decides it; then there is nothing of it to be found.
        let learned = source.corpora[0].train_texts().any(|text| text.unwrap().contains("red hen"));
        assert!(learned, "choose another text: this one is held out");
        assert!(nearest.passages[0].1.starts_with("The red hen found a seed"), "{:?}", nearest.passages);
        assert!(nearest.passages[0].0 > nearest.passages[1].0 && nearest.passages[0].0 < 1.0);
        assert_eq!((nearest.run.longest.as_str(), nearest.run.n_longest), ("red hen found a seed in", 6));
        assert!(source.nearest(answer, &AtomicBool::new(true)).unwrap().is_none());
    }

    #[test]
    fn a_text_that_has_changed_is_said_and_one_that_is_gone_is_an_error() {
        let (folder, run) = run(TEXT);
        let file = folder.path().join("text.txt");
        fs::write(&file, format!("{}<|endoftext|>\nmore\n", fs::read_to_string(&file).unwrap())).unwrap();
        assert!(Source::open(&run).unwrap().remarks[0].contains("has changed since it was learned"));
        fs::remove_file(&file).unwrap();
        assert!(Source::open(&run).err().unwrap().to_string().contains("the training text is not at hand"));
        fs::write(run.join("run.json"), "{}").unwrap();
        assert!(Source::open(&run).err().unwrap().to_string().contains("does not say what text"));
        fs::remove_file(run.join("run.json")).unwrap();
        assert!(Source::open(&run).err().unwrap().to_string().contains("has no run.json"));
    }

    #[test]
    fn the_text_of_the_model_that_was_fine_tuned_counts_too() {
        let (folder, base) = run(TEXT);
        let tuned = folder.path().join("runs/tuned");
        fs::create_dir_all(&tuned).unwrap();
        let manifest: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(base.join("run.json")).unwrap()).unwrap();
        let manifest = json!({ "corpus": manifest["corpus"], "base": { "path": base, "weights_hash": "" } });
        fs::write(tuned.join("run.json"), manifest.to_string()).unwrap();
        assert_eq!(Source::open(&tuned).unwrap().corpora.len(), 2);
    }

    #[test]
    fn passages_are_paragraphs_and_long_ones_are_cut_between_words() {
        assert_eq!(passages("one two\n\n\n three\n").collect::<Vec<_>>(), ["one two", "three"]);
        let long = "wörd ".repeat(150);
        let lengths: Vec<usize> = passages(&long).map(|passage| passage.split_whitespace().count()).collect();
        assert_eq!(lengths, [60, 60, 30]);
        assert_eq!(passages(&"x ".repeat(60)).count(), 1);
    }

    #[test]
    fn a_conversation_has_a_passage_for_each_pair_of_turns() {
        let message = |role: &str| Message { role: role.into(), content: "hi".into() };
        let text = as_text(Body::Messages(["user", "assistant", "user"].map(message).to_vec()));
        assert_eq!(passages(&text).collect::<Vec<_>>(), ["user: hi\nassistant: hi", "user: hi"]);
    }

    #[test]
    fn words_are_compared_without_capitals_and_what_surrounds_them() {
        assert_eq!(words("\"Hello,\" -- said ÉVA's dog…").collect::<Vec<_>>(), ["hello", "said", "éva's", "dog"]);
    }
}
