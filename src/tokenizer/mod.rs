//! Text to ids and back: byte-level BPE, trained, read and written as the `tokenizer.json` of the `tokenizers` crate.
//!
//! Every byte is an entry, so any text can be encoded and decoding gives it back byte for byte. The vocabulary is laid
//! out as special tokens, the 256 bytes in the order of their visible characters, then merges in the order learned.
//! Models from elsewhere bring vocabularies of two kinds, as `tokenizer.json`, inside a GGUF file or in llama2.c's
//! `tokenizer.bin`: byte-level BPE with other ways of cutting text, and SentencePiece's, which puts a space before a text.
//! Knows nothing of documents (`data`) or of which id comes next (`generation`).

mod bytes;
mod chat_template;
mod check;
mod gguf;
mod jinja;
mod kinds;
mod llama2c;
mod split;
mod stream;
mod to_gguf;
mod train;
mod vocabulary;

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use ahash::AHashMap;
use anyhow::{Context, Result, anyhow};
use tokenizers::utils::SysRegex;
use tokenizers::utils::padding::PaddingParams;
use tokenizers::{Model, ModelWrapper, PostProcessorWrapper};

pub use chat_template::{CHATML_TEMPLATE, Message};
pub use gguf::FromGguf;
pub use jinja::ChatTemplate;
pub use split::SPLIT_PATTERN;
pub use stream::TextStream;
pub use to_gguf::InGguf;
pub use train::{MIN_VOCAB_SIZE, TrainOptions, Trained, train, vocab_size_for};

/// Stands before each document, and is what a model writes when it has nothing to add.
pub const END_OF_TEXT: &str = "<|endoftext|>";
/// Opens a message of a dialogue.
pub const IM_START: &str = "<|im_start|>";
/// Closes a message of a dialogue.
pub const IM_END: &str = "<|im_end|>";

/// How other tokenizers name the end of a text, tried after [`END_OF_TEXT`] (Llama 3, then SentencePiece's heirs).
const OTHER_ENDS: [&str; 2] = ["<|end_of_text|>", "</s>"];

/// What SentencePiece writes for a space.
const SPACE: &str = "\u{2581}";

/// Distinct pre-tokens remembered while one text is encoded; it covers a book, and bounds memory on a long text.
const MAX_REMEMBERED: usize = 1 << 16;

/// A tokenizer. Cloning is cheap: clones share everything.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
}

struct Inner {
    /// Set to treat text that looks like a special token as plain text.
    hf: tokenizers::Tokenizer,
    /// The compiled [`SPLIT_PATTERN`] where `hf` splits by it and does nothing else to text: the fast way.
    splitter: Option<SysRegex>,
    /// Whether entries are SentencePiece's: spaces written as [`SPACE`], bytes as `<0x41>`, words not cut before merging.
    is_sentence_piece: bool,
    /// Bytes of all entries, id after id; entry `id` is `entries[starts[id]..starts[id + 1]]`.
    entries: Vec<u8>,
    starts: Vec<usize>,
    /// Special tokens in the order of their ids.
    special: Vec<(u32, String)>,
    marks: Marks,
    end_of_text: u32,
    im_start: Option<u32>,
    im_end: Option<u32>,
    hash: OnceLock<[u8; 32]>,
}

/// What a file says of how texts begin and end, where it does.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    /// Put before each text.
    begin_of_text: Option<u32>,
    /// Called the beginning, whether it is put there or not.
    bos: Option<u32>,
    /// Called the end: of a text, or of a turn where a model answers.
    eos: Option<u32>,
}

/// What a `tokenizer_config.json` says of the ends of a text.
#[derive(Debug, Clone, Copy, Default)]
pub struct SpecialNames<'a> {
    /// The special token that begins a text (`bos_token`).
    pub bos: Option<&'a str>,
    /// The special token that ends one (`eos_token`).
    pub eos: Option<&'a str>,
    /// Whether the model has learned every text behind `bos` (`add_bos_token`).
    pub adds_bos: bool,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size()).finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    pub fn load(path: &Path) -> Result<Tokenizer> {
        Tokenizer::load_with(path, SpecialNames::default())
    }

    /// The same where a file beside it names the special tokens that begin and end a text.
    pub fn load_with(path: &Path, names: SpecialNames) -> Result<Tokenizer> {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        Tokenizer::from_json_with(&bytes, names).with_context(|| format!("reading {}", path.display()))
    }

    /// Reads the bytes of a `tokenizer.json`; anything but byte-level BPE without a prefix space, or BPE of SentencePiece's
    /// kind with an entry for every byte, is an error.
    pub fn from_json(bytes: &[u8]) -> Result<Tokenizer> {
        Tokenizer::from_json_with(bytes, SpecialNames::default())
    }

    fn from_json_with(bytes: &[u8], names: SpecialNames) -> Result<Tokenizer> {
        check::check_json(bytes)?;
        let hf = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|error| anyhow!("the tokenizer is not usable: {error}"))?;
        let special = hf.get_added_tokens_decoder();
        let is_special = |id: &u32| special.get(id).is_some_and(|token| token.special);
        let named = |name: Option<&str>| name.and_then(|name| hf.token_to_id(name)).filter(is_special);
        let bos = named(names.bos);
        let marks = Marks { begin_of_text: bos.filter(|_| names.adds_bos), bos, eos: named(names.eos) };
        Tokenizer::with_marks(hf, marks)
    }

    /// Wraps a tokenizer whose JSON was checked or that was trained here.
    fn new(hf: tokenizers::Tokenizer) -> Result<Tokenizer> {
        Tokenizer::with_marks(hf, Marks::default())
    }

    /// The same where a file says which ids begin and end a text; the ids are entries.
    fn with_marks(mut hf: tokenizers::Tokenizer, marks: Marks) -> Result<Tokenizer> {
        // A file may ask to cut or fill every text to one length, which is a training habit and not part of the code.
        hf.with_truncation(None).map_err(|error| anyhow!("{error}"))?.with_padding(None::<PaddingParams>);
        hf.set_encode_special_tokens(true);
        let is_sentence_piece = matches!(hf.get_model(), ModelWrapper::BPE(model) if model.byte_fallback);
        let (entries, starts) = entry_table(&hf, is_sentence_piece);
        let mut special: Vec<(u32, String)> = hf
            .get_added_tokens_decoder()
            .into_iter()
            .filter(|(_, token)| token.special)
            .map(|(id, token)| (id, token.content))
            .collect();
        special.sort_unstable();
        let id_of = |name: &str| special.iter().find(|(_, content)| content == name).map(|&(id, _)| id);
        let by_name = || std::iter::once(END_OF_TEXT).chain(OTHER_ENDS).find_map(id_of);
        let end_of_text = id_of(END_OF_TEXT).or(marks.eos).or_else(by_name).with_context(|| {
            format!(
                "the tokenizer has no special token that ends a text: looked for {END_OF_TEXT}, {}",
                OTHER_ENDS.join(", ")
            )
        })?;
        let is_special = |id: &u32| special.iter().any(|(special, _)| special == id);
        let begin_of_text = marks.begin_of_text.or_else(|| put_before(&hf).filter(is_special));
        let marks = Marks { begin_of_text, ..marks };
        let (im_start, im_end) = (id_of(IM_START), id_of(IM_END));
        let splitter = if splits_as_siskin(&hf) { Some(compile(SPLIT_PATTERN)?) } else { None };
        let hash = OnceLock::new();
        Ok(Tokenizer {
            inner: Arc::new(Inner {
                hf,
                splitter,
                is_sentence_piece,
                entries,
                starts,
                special,
                marks,
                end_of_text,
                im_start,
                im_end,
                hash,
            }),
        })
    }

    /// The `tokenizer.json`, indented; the same tokenizer always gives the same bytes.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let text = self.inner.hf.to_string(true).map_err(|error| anyhow!("writing the tokenizer as JSON: {error}"))?;
        Ok(text.into_bytes())
    }

    /// The BLAKE3 hash of [`Tokenizer::to_json`]: what token files are tied to.
    pub fn hash(&self) -> [u8; 32] {
        *self.inner.hash.get_or_init(|| {
            let json = self.to_json().expect("maps of strings and numbers always have a JSON form");
            *blake3::hash(&json).as_bytes()
        })
    }

    /// Entries of the vocabulary, special tokens among them: every id lies below this.
    pub fn vocab_size(&self) -> usize {
        self.inner.starts.len() - 1
    }

    /// The ids of `text`. What looks like a special token is plain text: nobody can end a document by writing its mark.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        self.encode_into(text, &mut ids)?;
        Ok(ids)
    }

    /// The ids of `text` in which the names of special tokens are those tokens; the longest name wins.
    pub fn encode_with_special(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_parts(text, &|part| Cow::Borrowed(part))
    }

    /// The same where the text between special tokens is what `plain` makes of it.
    fn encode_parts<'t>(&self, text: &'t str, plain: &dyn Fn(&'t str) -> Cow<'t, str>) -> Result<Vec<u32>> {
        let mut found: Vec<(usize, std::cmp::Reverse<usize>, u32)> = Vec::new();
        for (id, name) in &self.inner.special {
            found.extend(
                text.match_indices(name.as_str()).map(|(start, _)| (start, std::cmp::Reverse(name.len()), *id)),
            );
        }
        found.sort_unstable();
        let (mut ids, mut n_done) = (Vec::with_capacity(text.len() / 3), 0);
        for (start, std::cmp::Reverse(len), id) in found {
            if start >= n_done {
                self.encode_into(&plain(&text[n_done..start]), &mut ids)?;
                ids.push(id);
                n_done = start + len;
            }
        }
        self.encode_into(&plain(&text[n_done..]), &mut ids)?;
        Ok(ids)
    }

    fn encode_into(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        if self.inner.is_sentence_piece {
            // Cut anywhere, each part would begin with a space of its own.
            return self.encode_whole(text, ids);
        }
        let mut remembered = AHashMap::new();
        for piece in split::pieces(text, split::MAX_PIECE_BYTES) {
            match &self.inner.splitter {
                Some(splitter) => self.encode_words(splitter, piece, &mut remembered, ids)?,
                None => self.encode_whole(piece, ids)?,
            }
        }
        Ok(())
    }

    fn encode_whole(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        let encoding = self.inner.hf.encode_fast(text, false).map_err(|error| anyhow!("encoding text: {error}"))?;
        ids.extend_from_slice(encoding.get_ids());
        Ok(())
    }

    /// Encodes by pre-tokens, copying the ids of each one that this text held before: most words of a text are old.
    /// It gives the ids of `encode_fast` (a test compares them) without that one's record of every character.
    fn encode_words<'t>(
        &self,
        splitter: &SysRegex,
        text: &'t str,
        remembered: &mut AHashMap<&'t str, (usize, usize)>,
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        let mut visible = String::new();
        for word in pre_tokens(splitter, text) {
            if let Some(&(start, end)) = remembered.get(word) {
                ids.extend_from_within(start..end);
                continue;
            }
            bytes::write_visible(word, &mut visible);
            let tokens =
                self.inner.hf.get_model().tokenize(&visible).map_err(|error| anyhow!("encoding text: {error}"))?;
            let start = ids.len();
            ids.extend(tokens.iter().map(|token| token.id));
            if remembered.len() == MAX_REMEMBERED {
                remembered.clear();
            }
            remembered.insert(word, (start, ids.len()));
        }
        Ok(())
    }

    /// The exact bytes of `ids`, special tokens as their names. They need not be UTF-8: a model may write any bytes. A
    /// vocabulary of SentencePiece's kind puts a space before a text that it encodes, which comes back here too.
    pub fn decode(&self, ids: &[u32]) -> Vec<u8> {
        ids.iter().flat_map(|&id| self.token_bytes(id)).copied().collect()
    }

    /// The bytes of one entry; empty for an id outside the vocabulary.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        let id = id as usize;
        match self.inner.starts.get(id..).and_then(|starts| starts.get(..2)) {
            Some(&[start, end]) => &self.inner.entries[start..end],
            _ => &[],
        }
    }

    /// Whether `id` is a mark for the program and no text.
    pub fn is_special(&self, id: u32) -> bool {
        self.inner.special.binary_search_by_key(&id, |&(special, _)| special).is_ok()
    }

    /// Special tokens, id and name, in the order of their ids.
    pub fn special_tokens(&self) -> &[(u32, String)] {
        &self.inner.special
    }

    /// The id that stands before a text, where the file that brought the vocabulary says that one does. A model trained
    /// here has [`Tokenizer::end_of_text`] there, which its file does not say.
    pub fn begin_of_text(&self) -> Option<u32> {
        self.inner.marks.begin_of_text
    }

    /// The id that other programs are told begins a text, whether they put it there or not.
    pub fn bos(&self) -> u32 {
        self.begin_of_text().or(self.inner.marks.bos).unwrap_or(self.end_of_text())
    }

    /// The id that other programs are told ends what a model writes: a text, or a turn of a model that answers.
    pub fn eos(&self) -> u32 {
        self.inner.marks.eos.unwrap_or(self.end_of_text())
    }

    /// The id that ends a text.
    pub fn end_of_text(&self) -> u32 {
        self.inner.end_of_text
    }

    /// The id that opens a message, where the vocabulary knows ChatML.
    pub fn im_start(&self) -> Option<u32> {
        self.inner.im_start
    }

    /// The id that closes a message, where the vocabulary knows ChatML.
    pub fn im_end(&self) -> Option<u32> {
        self.inner.im_end
    }
}

/// The pre-tokens of `text`, which cover it: should the expression give up, the rest is one pre-token.
fn pre_tokens<'t>(splitter: &SysRegex, text: &'t str) -> impl Iterator<Item = &'t str> {
    let mut n_done = 0;
    let mut found = splitter.find_iter(text);
    std::iter::from_fn(move || {
        let end = found.next().map_or(text.len(), |(_, end)| end);
        let word = &text[n_done..end];
        n_done = end;
        (!word.is_empty()).then_some(word)
    })
}

fn compile(pattern: &str) -> Result<SysRegex> {
    SysRegex::new(pattern).map_err(|error| anyhow!("compiling the splitting pattern: {error}"))
}

/// The bytes of every id, one after the other, and where each starts.
fn entry_table(hf: &tokenizers::Tokenizer, is_sentence_piece: bool) -> (Vec<u8>, Vec<usize>) {
    let added = hf.get_added_tokens_decoder();
    let mut by_id: Vec<(u32, String)> = hf.get_vocab(true).into_iter().map(|(entry, id)| (id, entry)).collect();
    by_id.sort_unstable();
    let n_ids = by_id.last().map_or(0, |&(id, _)| id as usize + 1);
    let (mut entries, mut starts) = (Vec::new(), Vec::with_capacity(n_ids + 1));
    for (id, entry) in by_id {
        if (id as usize) < starts.len() {
            continue; // two entries claim one id: the first in the alphabet has it
        }
        starts.resize(id as usize + 1, entries.len());
        // Added tokens are matched in the text itself, so their names are not written in the byte alphabet.
        match added.get(&id) {
            Some(token) => entries.extend_from_slice(token.content.as_bytes()),
            None if is_sentence_piece => bytes::append_piece(&entry, &mut entries),
            None => bytes::append_bytes(&entry, &mut entries),
        }
    }
    starts.push(entries.len());
    (entries, starts)
}

/// The id that `hf` puts before a text, where that is all it adds in front.
fn put_before(hf: &tokenizers::Tokenizer) -> Option<u32> {
    let Some(PostProcessorWrapper::Template(template)) = hf.get_post_processor() else { return None };
    let json = serde_json::to_value(template).ok()?;
    let name = json["single"][0]["SpecialToken"]["id"].as_str()?;
    hf.token_to_id(name)
}

/// Whether `hf` is split as siskin splits its own, with nothing else done to a text, so that words can go straight to
/// the merges. An added token that is not special is found in plain text too, so there must be none.
fn splits_as_siskin(hf: &tokenizers::Tokenizer) -> bool {
    let is_ours = hf.get_pre_tokenizer().is_some_and(|step| *step == train::pre_tokenizer());
    is_ours && hf.get_normalizer().is_none() && hf.get_added_tokens_decoder().values().all(|token| token.special)
}

#[cfg(test)]
mod tests;
