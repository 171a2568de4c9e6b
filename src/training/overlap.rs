//! How much of what a model writes stands word for word in the text that it learned from.
//!
//! A word is what stands between blanks, tabs and line ends, taken byte for byte: punctuation and capitals count. (A
//! language without blanks has very long words then, and little is found.) A run is a stretch of words that a text has
//! in common with one document of the corpus; those of [`MIN_RUN_WORDS`] words or more count, because shorter ones are
//! mostly phrases that belong to the language. The same is measured on held-out text, which was written by whoever wrote
//! the corpus, not copied: what the model exceeds it by is the model's own copying.
//!
//! Exact: no hash stands for a word. The texts are indexed and the corpus streams past them, so memory depends on the
//! texts alone, and the time on the length of the corpus alone.

mod automaton;

use super::text::append_text;
use crate::checkpoint::Verbatim;
use crate::data::loader::TokenSource;
use crate::tokenizer::Tokenizer;
use crate::words;
use ahash::AHashMap;
use automaton::Automaton;
use std::ops::Range;

/// Words of the shortest run that counts.
pub const MIN_RUN_WORDS: usize = 8;
/// Texts that the model is asked for, and as many that are taken from the held-out text.
pub const N_TEXTS: usize = 20;
/// Tokens of each.
pub const N_TEXT_TOKENS: usize = 200;

/// Words of the longest run that are shown: some five lines.
const MAX_SHOWN_WORDS: usize = 60;
/// Ids of the corpus decoded at a time.
const CHUNK: usize = 1 << 16;
/// Stands between two texts, or two documents in one: a number that no word has.
const BORDER: u32 = 0;

/// Looks for the words of some texts in a corpus that passes by.
pub struct Search {
    /// The number of each word of the texts, from 1 on.
    numbers: AHashMap<Vec<u8>, u32>,
    /// The words by their numbers; 0 is [`BORDER`].
    words: Vec<Vec<u8>>,
    /// The texts in numbers, with borders between them, and where each lies.
    sequence: Vec<u32>,
    texts: Vec<Range<usize>>,
    automaton: Automaton,
    cutter: Cutter,
}

/// What was found of one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Words of the text.
    pub n_words: u64,
    /// Those of them that lie in a run of [`MIN_RUN_WORDS`] or more.
    pub n_copied: u64,
    /// The longest run of any length, its words joined by blanks; the first of equally long ones.
    pub longest: String,
    /// Words of that run.
    pub n_longest: u64,
}

impl Search {
    /// A search for `texts`, each of one or more documents that are looked for apart.
    pub fn new<D: AsRef<[u8]>>(texts: &[Vec<D>]) -> Search {
        let (mut numbers, mut words) = (AHashMap::new(), vec![Vec::new()]);
        let (mut sequence, mut ranges) = (Vec::new(), Vec::new());
        for text in texts {
            let first = sequence.len();
            for document in text {
                for word in document.as_ref().split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
                    let number = *numbers.entry(word.to_vec()).or_insert_with(|| {
                        words.push(word.to_vec());
                        words.len() as u32 - 1
                    });
                    sequence.push(number);
                }
                sequence.push(BORDER);
            }
            ranges.push(first..sequence.len());
        }
        let cutter = Cutter { word: Vec::new(), max_bytes: words.iter().map(Vec::len).max().unwrap_or(0) + 1 };
        Search { automaton: Automaton::new(&sequence), numbers, words, sequence, texts: ranges, cutter }
    }

    /// The next piece of a document of the corpus; pieces may be cut anywhere.
    pub fn piece(&mut self, bytes: &[u8]) {
        let Search { automaton, numbers, cutter, .. } = self;
        cutter.piece(bytes, &mut |word| automaton.walk(numbers.get(word).copied()));
    }

    /// A document of the corpus is over: no run reaches into the next.
    pub fn end_document(&mut self) {
        let Search { automaton, numbers, cutter, .. } = self;
        cutter.end(&mut |word| automaton.walk(numbers.get(word).copied()));
        automaton.walk(None);
    }

    /// What was found of each text.
    pub fn finish(mut self) -> Vec<Found> {
        self.end_document();
        let met = self.automaton.met();
        let found = |range: &Range<usize>| {
            let mut copied = vec![false; range.len()];
            let mut longest = 0..0;
            for end in range.clone() {
                let run = end + 1 - met[end]..end + 1;
                if run.len() >= MIN_RUN_WORDS {
                    copied[run.start - range.start..run.end - range.start].fill(true);
                }
                longest = if run.len() > longest.len() { run } else { longest };
            }
            let run: Vec<_> =
                self.sequence[longest].iter().map(|&n| String::from_utf8_lossy(&self.words[n as usize])).collect();
            Found {
                n_words: self.sequence[range.clone()].iter().filter(|&&number| number != BORDER).count() as u64,
                n_copied: copied.iter().filter(|&&is_copied| is_copied).count() as u64,
                longest: run.join(" "),
                n_longest: run.len() as u64,
            }
        };
        self.texts.iter().map(found).collect()
    }
}

/// Cuts text that comes in pieces into words.
struct Cutter {
    /// A word whose end has not come yet.
    word: Vec<u8>,
    /// Of a longer word only so much is kept: it is longer than any that is looked for.
    max_bytes: usize,
}

impl Cutter {
    fn piece(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(&[u8])) {
        while let Some(at) = bytes.iter().position(u8::is_ascii_whitespace) {
            if !self.word.is_empty() {
                self.keep(&bytes[..at]);
                self.end(each);
            } else if at > 0 {
                each(&bytes[..at]);
            }
            bytes = &bytes[at + 1..];
        }
        self.keep(bytes);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let n = bytes.len().min(self.max_bytes.saturating_sub(self.word.len()));
        self.word.extend_from_slice(&bytes[..n]);
    }

    fn end(&mut self, each: &mut dyn FnMut(&[u8])) {
        if !self.word.is_empty() {
            each(&self.word);
            self.word.clear();
        }
    }
}

/// Measures `texts`, which the model wrote, against `train`, and beside them as much of `valid`.
pub fn measure(
    train: &dyn TokenSource,
    valid: &dyn TokenSource,
    tokenizer: &Tokenizer,
    texts: &[Vec<u32>],
) -> Verbatim {
    let mut all: Vec<Vec<Vec<u8>>> = texts.iter().map(|ids| whole_words(ids, tokenizer)).collect();
    all.extend(held_out_texts(valid, tokenizer).iter().map(|ids| whole_words(ids, tokenizer)));
    let mut search = Search::new(&all);
    let mut ids = vec![0; CHUNK.min(train.n_tokens())];
    let mut bytes = Vec::new();
    for start in (0..train.n_tokens()).step_by(CHUNK) {
        let n = CHUNK.min(train.n_tokens() - start);
        train.copy_tokens(start, &mut ids[..n]);
        let mut documents = ids[..n].split(|&id| id == tokenizer.end_of_text());
        documents.next().into_iter().for_each(|first| search.piece(decoded(first, tokenizer, &mut bytes)));
        for document in documents {
            search.end_document();
            search.piece(decoded(document, tokenizer, &mut bytes));
        }
    }
    let found = search.finish();
    let (written, held_out) = found.split_at(texts.len());
    // The first of equally long ones, so that the same run is named whatever comes after.
    let longest = written.iter().rev().max_by_key(|found| found.n_longest);
    let sum = |found: &[Found], of: fn(&Found) -> u64| found.iter().map(of).sum();
    Verbatim {
        n_texts: texts.len() as u64,
        n_tokens: texts.iter().map(|ids| ids.len() as u64).sum(),
        min_run_words: MIN_RUN_WORDS as u64,
        n_words: sum(written, |found| found.n_words),
        n_copied_words: sum(written, |found| found.n_copied),
        n_held_out_words: sum(held_out, |found| found.n_words),
        n_held_out_copied_words: sum(held_out, |found| found.n_copied),
        longest_run_words: longest.map_or(0, |found| found.n_longest),
        longest_run: longest.map_or(String::new(), |found| found.longest.clone()),
    }
}

/// How much of what the model writes is copied, in a sentence or two for a person who will show it to others.
pub fn share_in_words(v: &Verbatim) -> String {
    if v.n_words == 0 {
        return "it wrote no whole word by which copying could be judged".to_owned();
    }
    let beside = match v.n_held_out_words {
        0 => String::new(),
        n => format!("; of held-out text, which it never saw, {} does", share(v.n_held_out_copied_words, n)),
    };
    format!(
        "{} of what it writes stands word for word in its training text, in runs of {} words or more{beside}",
        share(v.n_copied_words, v.n_words),
        v.min_run_words,
    )
}

/// The longest run in words, to stand before the run itself; `None` where there is no run of two words.
pub fn longest_in_words(v: &Verbatim) -> Option<String> {
    (v.longest_run_words > 1).then(|| format!("the longest run has {} words", words::thousands(v.longest_run_words)))
}

/// The longest run, cut after so many words that a person still reads it.
pub fn longest_run(v: &Verbatim) -> String {
    let mut shown: Vec<&str> = v.longest_run.split(' ').take(MAX_SHOWN_WORDS + 1).collect();
    if shown.len() > MAX_SHOWN_WORDS {
        shown[MAX_SHOWN_WORDS] = "…";
    }
    shown.join(" ")
}

/// `12 %`; neither none nor all where it is not quite that.
pub fn share(n: u64, n_all: u64) -> String {
    // A file from elsewhere may say anything.
    let n = n.min(n_all);
    let percent = 100.0 * n as f64 / n_all.max(1) as f64;
    match percent {
        p if n > 0 && p < 1.0 => "less than 1 %".to_owned(),
        p if n < n_all && p > 99.0 => "more than 99 %".to_owned(),
        p => format!("{p:.0} %"),
    }
}

/// The bytes of `ids`, in which other marks of the program than the one that ends a document part words.
fn decoded<'b>(ids: &[u32], tokenizer: &Tokenizer, bytes: &'b mut Vec<u8>) -> &'b [u8] {
    bytes.clear();
    append_text(ids, tokenizer, bytes);
    bytes
}

/// The documents in `ids`, which begin at a word; what follows the last blank may be part of a word, and is left out.
fn whole_words(ids: &[u32], tokenizer: &Tokenizer) -> Vec<Vec<u8>> {
    let parts = ids.split(|&id| id == tokenizer.end_of_text());
    let mut documents: Vec<Vec<u8>> = parts.map(|ids| decoded(ids, tokenizer, &mut Vec::new()).to_vec()).collect();
    if let Some(last) = documents.last_mut() {
        last.truncate(last.iter().rposition(u8::is_ascii_whitespace).map_or(0, |at| at + 1));
    }
    documents
}

/// Texts from places spread evenly over `valid`, from the first word that begins there.
fn held_out_texts(valid: &dyn TokenSource, tokenizer: &Tokenizer) -> Vec<Vec<u32>> {
    let n = N_TEXT_TOKENS.min(valid.n_tokens());
    let n_texts = N_TEXTS.min(valid.n_tokens().checked_div(n).unwrap_or(0));
    let begins =
        |&id: &u32| tokenizer.is_special(id) || tokenizer.token_bytes(id).first().is_some_and(u8::is_ascii_whitespace);
    let text = |i: usize| {
        let mut ids = vec![0; n];
        valid.copy_tokens(i * valid.n_tokens() / n_texts, &mut ids);
        ids.split_off(ids.iter().position(begins).unwrap_or(n))
    };
    (0..n_texts).map(text).collect()
}

#[cfg(test)]
mod tests;
