//! A vocabulary as GGUF and llama2.c keep it, entry by entry, and the `tokenizers` tokenizer that it becomes.
//!
//! There are two families. Byte-level BPE has its merges beside the entries. SentencePiece has a score for each entry
//! instead, and merges the pair whose joint entry has the highest (Kudo and Richardson, arXiv 1808.06226); that is BPE
//! whose merges are all ways of cutting an entry into two, the highest score first. A space is written as U+2581, a
//! character without an entry is spelled in entries for bytes, and usually a text begins with a space of its own.

use std::borrow::Cow;
use std::cmp::Reverse;

use ahash::AHashMap;
use anyhow::{Context, Result, anyhow, ensure};
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::replace::{Replace, ReplacePattern};
use tokenizers::normalizers::{Prepend, Sequence as Normalizers};
use tokenizers::processors::template::{SpecialToken, TemplateProcessing};
use tokenizers::{AddedToken, NormalizerWrapper};

use super::kinds::Kind;
use super::{Marks, SPACE, Tokenizer};

/// Most entries of a vocabulary that is believed; the largest in use have some 260,000.
const MAX_ENTRIES: usize = 1 << 22;

/// Longest entry with a score, in bytes: each is cut in as many ways as it has characters. SentencePiece makes none
/// longer than 16 characters unless it is told to.
const MAX_PIECE_BYTES: usize = 1024;

/// What an entry stands for. The numbers are those of GGUF's `tokenizer.ggml.token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    /// A piece of text.
    Normal = 1,
    /// What no entry covers.
    Unknown = 2,
    /// A mark for the program, which no text can write.
    Control = 3,
    /// Text that is taken whole wherever it occurs.
    UserDefined = 4,
    /// Nothing: the number is free.
    Unused = 5,
    /// A byte, written `<0x41>`.
    Byte = 6,
}

impl EntryKind {
    /// The kind with that number.
    pub(super) fn from_number(number: i32) -> Option<EntryKind> {
        use EntryKind::*;
        [Normal, Unknown, Control, UserDefined, Unused, Byte].into_iter().find(|kind| *kind as i32 == number)
    }

    /// Whether it is a mark and no text.
    fn is_special(self) -> bool {
        matches!(self, EntryKind::Unknown | EntryKind::Control)
    }
}

/// An entry of a vocabulary; its id is its place.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) kind: EntryKind,
}

/// Ids by which a file says how texts begin and end.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends {
    /// Stands before a text.
    pub(super) bos: Option<u32>,
    /// Ends what a model writes; the first is the end of a text.
    pub(super) eos: Vec<u32>,
    /// Whether `bos` is put before a text without being asked for.
    pub(super) adds_bos: bool,
}

/// A tokenizer of the byte-level kind. Each merge is two entries with a space between them.
pub(super) fn byte_level(entries: &[Entry], merges: &[&str], kind: &Kind, ends: &Ends) -> Result<Tokenizer> {
    let vocab = vocab(entries)?;
    let mut pairs = Vec::with_capacity(merges.len());
    for (idx, merge) in merges.iter().enumerate() {
        // The second half is never empty and never begins with a space, which is Ġ in this alphabet.
        let (left, right) = merge.split_once(' ').with_context(|| format!("merge {idx} ({merge:?}) has no space"))?;
        for part in [left, right, &format!("{left}{right}")] {
            ensure!(vocab.contains_key(part), "merge {idx} ({merge:?}) names {part:?}, which is no entry");
        }
        pairs.push((left.to_owned(), right.to_owned()));
    }
    let model = BPE::builder().vocab_and_merges(vocab, pairs).ignore_merges(kind.ignores_merges).build();
    let mut hf = tokenizers::Tokenizer::new(model.map_err(|error| anyhow!("the vocabulary is not usable: {error}"))?);
    hf.with_pre_tokenizer(Some(kind.pre_tokenizer()?)).with_decoder(Some(ByteLevel::default()));
    finish(hf, entries, ends)
}

/// A tokenizer of the SentencePiece kind; `scores` has one number for each entry.
pub(super) fn sentence_piece(entries: &[Entry], scores: &[f32], adds_space: bool, ends: &Ends) -> Result<Tokenizer> {
    let vocab = vocab(entries)?;
    let merges = merges_of(entries, scores, &vocab)?;
    let unknown = entries.iter().find(|entry| entry.kind == EntryKind::Unknown || entry.text == "<unk>");
    let mut builder = BPE::builder().byte_fallback(true).fuse_unk(true).vocab_and_merges(vocab, merges);
    if let Some(entry) = unknown {
        builder = builder.unk_token(entry.text.clone().into_owned());
    }
    let mut hf =
        tokenizers::Tokenizer::new(builder.build().map_err(|error| anyhow!("the vocabulary is not usable: {error}"))?);
    let replace = |from: &str, to: &str| {
        Replace::new(ReplacePattern::String(from.to_owned()), to.to_owned()).expect("a fixed string is a pattern")
    };
    let mut steps: Vec<NormalizerWrapper> = vec![replace(" ", SPACE).into()];
    if adds_space {
        steps.insert(0, Prepend::new(SPACE.to_owned()).into());
    }
    let mut back = vec![replace(SPACE, " ").into(), ByteFallback::default().into(), Fuse::default().into()];
    if adds_space {
        back.push(Strip::new(' ', 1, 0).into());
    }
    hf.with_normalizer(Some(Normalizers::new(steps)))
        .map_err(|error| anyhow!("{error}"))?
        .with_decoder(Some(Decoders::new(back)));
    finish(hf, entries, ends)
}

/// Every way of cutting an entry into two entries, the highest score first.
///
/// Among the ways of one entry the longer left half goes first: SentencePiece takes the leftmost of equal pairs, and where
/// pairs of one entry overlap, that is the one whose left half is longer.
fn merges_of(entries: &[Entry], scores: &[f32], vocab: &AHashMap<String, u32>) -> Result<Vec<(String, String)>> {
    let mut ranked: Vec<(f32, usize, usize)> = Vec::new();
    for (id, (entry, &score)) in entries.iter().zip(scores).enumerate() {
        ensure!(!score.is_nan(), "the score of entry {id} is not a number");
        if entry.kind != EntryKind::Normal {
            continue;
        }
        ensure!(
            entry.text.len() <= MAX_PIECE_BYTES,
            "entry {id} has {} bytes, above the limit of {MAX_PIECE_BYTES}",
            entry.text.len()
        );
        let cuts = entry.text.char_indices().skip(1).map(|(at, _)| at);
        let is_text = |half: &str| vocab.get(half).is_some_and(|&id| entries[id as usize].kind == EntryKind::Normal);
        ranked.extend(
            cuts.filter(|&at| is_text(&entry.text[..at]) && is_text(&entry.text[at..])).map(|at| (score, id, at)),
        );
    }
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(Reverse(a.2).cmp(&Reverse(b.2))));
    let halves = |(_, id, at): &(f32, usize, usize)| {
        let (left, right) = entries[*id].text.split_at(*at);
        (left.to_owned(), right.to_owned())
    };
    Ok(ranked.iter().map(halves).collect())
}

/// Entry to id; of equal entries the first counts.
fn vocab(entries: &[Entry]) -> Result<AHashMap<String, u32>> {
    ensure!(!entries.is_empty(), "the vocabulary is empty");
    ensure!(
        entries.len() <= MAX_ENTRIES,
        "the vocabulary has {} entries, above the limit of {MAX_ENTRIES}",
        entries.len()
    );
    let mut vocab = AHashMap::with_capacity(entries.len());
    for (id, entry) in entries.iter().enumerate() {
        vocab.entry(entry.text.clone().into_owned()).or_insert(id as u32);
    }
    Ok(vocab)
}

/// Adds the marks and the texts that are taken whole.
fn finish(mut hf: tokenizers::Tokenizer, entries: &[Entry], ends: &Ends) -> Result<Tokenizer> {
    let name = |id: u32| entries.get(id as usize).map(|entry| entry.text.clone().into_owned());
    for id in ends.bos.iter().chain(&ends.eos) {
        ensure!(
            (*id as usize) < entries.len(),
            "a special token has the id {id}, but there are {} entries",
            entries.len()
        );
    }
    // What a file names as an end is a mark, whatever it says of the entry.
    let is_mark = |id: usize| entries[id].kind.is_special() || ends.eos.contains(&(id as u32));
    let marks = (0..entries.len()).filter(|&id| is_mark(id) || ends.bos == Some(id as u32));
    let added = marks.map(|id| AddedToken::from(entries[id].text.clone().into_owned(), true));
    hf.add_special_tokens(added.collect::<Vec<_>>()).map_err(|error| anyhow!("adding the special tokens: {error}"))?;
    let whole = (0..entries.len()).filter(|&id| entries[id].kind == EntryKind::UserDefined && !is_mark(id));
    let added = whole.map(|id| AddedToken::from(entries[id].text.clone().into_owned(), false).normalized(false));
    hf.add_tokens(added.collect::<Vec<_>>()).map_err(|error| anyhow!("adding the texts taken whole: {error}"))?;
    if let Some((id, name)) = ends.bos.filter(|_| ends.adds_bos).and_then(|id| Some((id, name(id)?))) {
        hf.with_post_processor(Some(put_before(id, &name)?));
    }
    let begin_of_text = ends.bos.filter(|_| ends.adds_bos);
    let marks = Marks { begin_of_text, bos: ends.bos, eos: ends.eos.first().copied() };
    Tokenizer::with_marks(hf, marks)
}

/// The step that puts a mark before a text, for other programs that read the `tokenizer.json`.
fn put_before(id: u32, name: &str) -> Result<TemplateProcessing> {
    let token = SpecialToken::new(name.to_owned(), vec![id], vec![name.to_owned()])
        .map_err(|error| anyhow!("the beginning mark: {error}"))?;
    TemplateProcessing::builder()
        .try_single(vec![format!("{name}:0"), "$A:0".to_owned()])
        .map_err(|error| anyhow!("the beginning mark: {error}"))?
        .try_pair(vec![format!("{name}:0"), "$A:0".to_owned(), "$B:1".to_owned()])
        .map_err(|error| anyhow!("the beginning mark: {error}"))?
        .special_tokens(vec![token])
        .build()
        .map_err(|error| anyhow!("the beginning mark: {error}"))
}
