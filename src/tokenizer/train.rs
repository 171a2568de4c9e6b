//! Learning a vocabulary from text: pre-tokens are counted in a sample of bounded size, then the trainer of the
//! `tokenizers` crate merges the most frequent pairs.
//!
//! Memory is bounded at three places, because the trainer keeps some 100 bytes for each byte of distinct pre-tokens
//! (measured on Chinese text): the sample holds at most [`TrainOptions::max_bytes`], pre-tokens are cut at
//! `MAX_WORD_BYTES`, and the most frequent ones are kept up to `MAX_DISTINCT_BYTES`. The same texts in the same order
//! give the same vocabulary.

use std::cmp::Reverse;

use ahash::AHashMap;
use anyhow::{Result, anyhow, ensure};
use compact_str::CompactString;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, PreTokenizerWrapper, SplitDelimiterBehavior};

use super::{END_OF_TEXT, IM_END, IM_START, SPLIT_PATTERN, Tokenizer, bytes, compile, pre_tokens, split};

/// Marks kept free for later uses, so that they need no new vocabulary.
const N_RESERVED: usize = 5;

/// The smallest vocabulary: the special tokens and one entry for each byte.
pub const MIN_VOCAB_SIZE: usize = 3 + N_RESERVED + 256;

/// The largest vocabulary that can be asked for; room is set aside for it before the text is seen.
const MAX_VOCAB_SIZE: usize = 1 << 20;

/// Bytes that are kept or left out of the sample together: small, so that a sample draws from everywhere.
const SAMPLE_PIECE_BYTES: usize = 16 << 10;

/// Longest pre-token that is learned from, in bytes. Longer ones are no words (rows of dashes, base64, one-line data),
/// and the trainer needs time quadratic in their length.
const MAX_WORD_BYTES: usize = 64;

/// Distinct pre-tokens are kept up to this many bytes in all. English stays below 2 MB of them in any sample; text
/// written without spaces can reach the size of the sample itself.
const MAX_DISTINCT_BYTES: usize = 4 << 20;

/// What to learn, and from how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainOptions {
    /// Entries wanted, special tokens and bytes included.
    pub vocab_size: usize,
    /// Bytes of text that are used at most; a larger text is sampled evenly.
    pub max_bytes: u64,
}

impl TrainOptions {
    /// Options for a vocabulary of `vocab_size` entries, from a sample of at most 64 MiB: frequencies of the pairs
    /// that reach even a large vocabulary no longer move beyond that.
    pub fn new(vocab_size: usize) -> TrainOptions {
        TrainOptions { vocab_size, max_bytes: 64 << 20 }
    }
}

/// A new tokenizer, and what it was learned from.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// Bytes of text that were counted.
    pub n_bytes_used: u64,
    /// Bytes of text that were offered.
    pub n_bytes_seen: u64,
    /// Whether the vocabulary has as many entries as wanted; a small text holds fewer pairs that come up twice.
    pub is_full: bool,
}

impl Trained {
    /// Learns a vocabulary from `texts`, which are read once, in order; the first error among them ends it.
    pub fn from_texts(texts: impl Iterator<Item = Result<String>>, options: TrainOptions) -> Result<Trained> {
        let vocab_size = options.vocab_size;
        ensure!(
            vocab_size >= MIN_VOCAB_SIZE,
            "a vocabulary of {vocab_size} entries cannot hold the 256 bytes and {} special tokens: ask for at least {MIN_VOCAB_SIZE}",
            MIN_VOCAB_SIZE - 256
        );
        ensure!(
            vocab_size <= MAX_VOCAB_SIZE,
            "a vocabulary of {vocab_size} entries is above the limit of {MAX_VOCAB_SIZE}"
        );
        let mut sample = Sample::new(options.max_bytes);
        for text in texts {
            sample.add(&text?);
        }
        let tokenizer = Tokenizer::new(learn(&sample, vocab_size)?)?;
        let is_full = tokenizer.vocab_size() >= vocab_size;
        Ok(Trained { tokenizer, n_bytes_used: sample.n_bytes, n_bytes_seen: sample.n_bytes_seen, is_full })
    }

    /// What a person should know about how this was learned, in plain words; empty when all went as asked.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        if self.n_bytes_used < self.n_bytes_seen {
            notices.push(format!(
                "the vocabulary was learned from an even sample: {} of {} bytes",
                self.n_bytes_used, self.n_bytes_seen
            ));
        }
        if !self.is_full {
            notices.push(format!(
                "the text is too small for the vocabulary asked for: it has {} entries, because no further pair comes up twice",
                self.tokenizer.vocab_size()
            ));
        }
        notices
    }
}

/// Entries that suit a text of `n_bytes`.
///
/// An entry must be seen some hundreds of times before a model has learned what it means, and each one costs a row of
/// the embedding, which a small model lacks elsewhere; on the other hand a larger vocabulary makes a text shorter, so
/// that a context reaches further and a step learns from more of it. From 1 MB on the table leaves at least 150 tokens
/// of text for each entry; below that the bytes alone take a part that cannot shrink:
///
/// | text below | entries |
/// |---|---|
/// | 200 KB | 512 |
/// | 1 MB | 1,024 |
/// | 5 MB | 2,048 |
/// | 20 MB | 4,096 |
/// | 100 MB | 8,192 |
/// | anything larger | 16,384 |
pub fn vocab_size_for(n_bytes: u64) -> usize {
    match n_bytes {
        0..200_000 => 512,
        200_000..1_000_000 => 1024,
        1_000_000..5_000_000 => 2048,
        5_000_000..20_000_000 => 4096,
        20_000_000..100_000_000 => 8192,
        _ => 16_384,
    }
}

/// Learns a tokenizer from texts at hand. [`Trained::from_texts`] also says how much of them was used.
pub fn train(texts: impl Iterator<Item = String>, options: TrainOptions) -> Result<Tokenizer> {
    Ok(Trained::from_texts(texts.map(Ok), options)?.tokenizer)
}

fn learn(sample: &Sample, vocab_size: usize) -> Result<tokenizers::Tokenizer> {
    let special: Vec<AddedToken> = special_names().into_iter().map(|name| AddedToken::from(name, true)).collect();
    let trainer = BpeTrainer::builder()
        .vocab_size(vocab_size)
        .min_frequency(2) // a pair that was seen once would be learned by heart, not by use
        .special_tokens(special.clone())
        .initial_alphabet(bytes::BYTE_TO_CHAR.into_iter().collect())
        .show_progress(false)
        .build();
    let mut model = BPE::default();
    trainer.do_train(&count_words(sample)?, &mut model).map_err(|error| anyhow!("learning the vocabulary: {error}"))?;
    // A pre-token that is an entry is that entry, without merging: so llama.cpp reads this kind (`llama-bpe`).
    model.ignore_merges = true;
    let mut hf = tokenizers::Tokenizer::new(model);
    hf.with_pre_tokenizer(Some(pre_tokenizer())).with_decoder(Some(ByteLevel::default()));
    hf.add_special_tokens(special).map_err(|error| anyhow!("adding the special tokens: {error}"))?;
    Ok(hf)
}

fn special_names() -> Vec<String> {
    let named = [END_OF_TEXT, IM_START, IM_END].map(String::from);
    named.into_iter().chain((0..N_RESERVED).map(|idx| format!("<|reserved_{idx}|>"))).collect()
}

/// How every tokenizer trained here splits text before merging.
pub(super) fn pre_tokenizer() -> PreTokenizerWrapper {
    let pattern = SplitPattern::Regex(SPLIT_PATTERN.to_owned());
    let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).expect("the fixed pattern compiles");
    let byte_level = ByteLevel::new(false, false, false);
    PreTokenizerWrapper::Sequence(Sequence::new(vec![split.into(), byte_level.into()]))
}

/// How often each pre-token of the sample occurs, written in the byte alphabet.
fn count_words(sample: &Sample) -> Result<AHashMap<CompactString, u64>> {
    let splitter = compile(SPLIT_PATTERN)?;
    let mut counts: AHashMap<&str, u64> = AHashMap::new();
    for (_, text) in &sample.pieces {
        for word in pre_tokens(&splitter, text).flat_map(|word| split::pieces(word, MAX_WORD_BYTES)) {
            *counts.entry(word).or_default() += 1;
        }
    }
    let mut counts: Vec<(&str, u64)> = counts.into_iter().collect();
    let n_bytes: usize = counts.iter().map(|(word, _)| word.len()).sum();
    if n_bytes > MAX_DISTINCT_BYTES {
        // Among equals a hash decides, lest the first letters of the alphabet be preferred.
        counts.sort_by_cached_key(|&(word, count)| (Reverse(count), hash(word), word));
    }
    let mut visible = String::new();
    let mut n_bytes = 0;
    let kept = counts.into_iter().take_while(|(word, _)| {
        n_bytes += word.len();
        n_bytes <= MAX_DISTINCT_BYTES
    });
    Ok(kept
        .map(|(word, count)| {
            bytes::write_visible(word, &mut visible);
            (CompactString::from(&visible), count)
        })
        .collect())
}

fn hash(text: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(text.as_bytes()).as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// An even sample of a text of unknown length, in one pass: a piece stays while its hash has enough trailing zero bits,
/// and each time the sample outgrows its limit one more bit must be zero, which drops about half of it.
struct Sample {
    max_bytes: u64,
    n_zero_bits: u32,
    pieces: Vec<(u32, String)>,
    n_bytes: u64,
    n_bytes_seen: u64,
}

impl Sample {
    fn new(max_bytes: u64) -> Sample {
        Sample { max_bytes, n_zero_bits: 0, pieces: Vec::new(), n_bytes: 0, n_bytes_seen: 0 }
    }

    fn add(&mut self, text: &str) {
        for piece in split::pieces(text, SAMPLE_PIECE_BYTES) {
            // By place as well as by content: one sentence repeated for a gigabyte is thinned, not dropped as a whole.
            let n_zero_bits = (hash(piece) ^ hash(&self.n_bytes_seen.to_string())).trailing_zeros();
            self.n_bytes_seen += piece.len() as u64;
            if n_zero_bits >= self.n_zero_bits {
                self.n_bytes += piece.len() as u64;
                self.pieces.push((n_zero_bits, piece.to_owned()));
                self.shrink();
            }
        }
    }

    fn shrink(&mut self) {
        while self.n_bytes > self.max_bytes && self.n_zero_bits < u64::BITS {
            self.n_zero_bits += 1;
            self.pieces.retain(|&(n_zero_bits, _)| n_zero_bits >= self.n_zero_bits);
            self.n_bytes = self.pieces.iter().map(|(_, piece)| piece.len() as u64).sum();
        }
    }
}
