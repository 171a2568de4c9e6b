//! llama2.c's own two files: the legacy model (`.bin`, seven numbers and all weights as f32) and its `tokenizer.bin`.
//!
//! ```text
//! model:      i32 dim  hidden_dim  n_layers  n_heads  n_kv_heads  vocab_size (negative: head not shared)  seq_len
//!             f32 token embedding, then of all layers together: attention norms, wq, wk, wv, wo, feed-forward norms,
//!             w1, w2, w3; last norm, cosines and sines of the rotary positions, head if it is not shared
//! tokenizer:  u32 longest entry, then for each entry  f32 score  i32 length  bytes
//! ```
//!
//! Matrices are (out, in); the rows of wq and wk are in Meta's order. From <https://github.com/karpathy/llama2.c>
//! (`export.py`, `run.c`). Neither file says what it is, so the sizes must agree to the byte. Files are hostile input: all
//! sizes are compared with the file's length before anything is made of them, and nothing is copied.

use anyhow::{Context, Result, ensure};
use std::ops::Range;

const HEADER_BYTES: usize = 7 * 4;

/// Largest size in a header that is believed.
const MOST: i64 = 1 << 24;

/// A model file whose sizes agree.
#[derive(Debug, Clone)]
pub struct Model<'a> {
    /// Width of the residual stream.
    pub dim: usize,
    /// Width of the feed-forward layer.
    pub hidden_dim: usize,
    /// Blocks.
    pub n_layers: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key/value heads.
    pub n_kv_heads: usize,
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Longest context in tokens.
    pub seq_len: usize,
    /// Whether the output head is the embedding.
    pub is_shared: bool,
    bytes: &'a [u8],
    parts: Vec<(Weights, Range<usize>)>,
}

/// The weights of a model file; those of blocks for all blocks together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // Named as in llama2.c.
pub enum Weights {
    Embedding,
    AttentionNorms,
    Wq,
    Wk,
    Wv,
    Wo,
    FfnNorms,
    W1,
    W2,
    W3,
    FinalNorm,
    Positions,
    Head,
}

impl<'a> Model<'a> {
    /// Reads the header of the file that `bytes` holds whole, and finds the weights. Fails where the sizes in the header do
    /// not make a file of this length.
    pub fn parse(bytes: &'a [u8]) -> Result<Model<'a>> {
        let header = bytes.get(..HEADER_BYTES).with_context(|| {
            format!("{} bytes are too few for a llama2.c model, which starts with {HEADER_BYTES}", bytes.len())
        })?;
        let number = |i: usize| i32::from_le_bytes([0, 1, 2, 3].map(|k| header[4 * i + k]));
        let names = ["dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len"];
        for (i, name) in names.iter().enumerate() {
            let value = i64::from(number(i));
            let size = if *name == "vocab_size" { value.abs() } else { value };
            ensure!(
                (1..=MOST).contains(&size),
                "the header says {name} = {value}, but 1 to {MOST} can be: no llama2.c model"
            );
        }
        let size = |i: usize| number(i).unsigned_abs() as usize;
        let (dim, n_heads, n_kv_heads) = (size(0), size(3), size(4));
        ensure!(
            dim.is_multiple_of(n_heads) && (dim / n_heads).is_multiple_of(2) && n_heads.is_multiple_of(n_kv_heads),
            "the header says dim = {dim}, n_heads = {n_heads}, n_kv_heads = {n_kv_heads}, which no model can have"
        );
        let mut model = Model {
            dim,
            hidden_dim: size(1),
            n_layers: size(2),
            n_heads,
            n_kv_heads,
            vocab_size: size(5),
            seq_len: size(6),
            is_shared: number(5) > 0,
            bytes,
            parts: Vec::new(),
        };
        model.find_parts()?;
        Ok(model)
    }

    fn find_parts(&mut self) -> Result<()> {
        let (c, f, l, v) = (self.dim as u128, self.hidden_dim as u128, self.n_layers as u128, self.vocab_size as u128);
        let kv = c / self.n_heads as u128 * self.n_kv_heads as u128;
        let positions = self.seq_len as u128 * (c / self.n_heads as u128);
        let sizes = [
            (Weights::Embedding, v * c),
            (Weights::AttentionNorms, l * c),
            (Weights::Wq, l * c * c),
            (Weights::Wk, l * c * kv),
            (Weights::Wv, l * c * kv),
            (Weights::Wo, l * c * c),
            (Weights::FfnNorms, l * c),
            (Weights::W1, l * c * f),
            (Weights::W2, l * c * f),
            (Weights::W3, l * c * f),
            (Weights::FinalNorm, c),
            (Weights::Positions, positions),
            (Weights::Head, if self.is_shared { 0 } else { v * c }),
        ];
        let wanted = HEADER_BYTES as u128 + 4 * sizes.iter().map(|(_, n)| n).sum::<u128>();
        ensure!(
            wanted == self.bytes.len() as u128,
            "the header describes a llama2.c model of {wanted} bytes, but the file has {}",
            self.bytes.len()
        );
        let mut end = HEADER_BYTES;
        for (part, n) in sizes {
            let start = end;
            end += 4 * n as usize;
            self.parts.push((part, start..end));
        }
        Ok(())
    }

    /// The values of `part`; for a part of the blocks those of block `layer`, else `layer` is 0.
    pub fn read(&self, part: Weights, layer: usize) -> Vec<f32> {
        let range =
            self.parts.iter().find(|(other, _)| *other == part).map(|(_, range)| range.clone()).unwrap_or_default();
        let is_of_blocks =
            !matches!(part, Weights::Embedding | Weights::FinalNorm | Weights::Positions | Weights::Head);
        let n_bytes = range.len() / if is_of_blocks { self.n_layers } else { 1 };
        let bytes = &self.bytes[range][layer * n_bytes..][..n_bytes];
        bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }
}

/// The `n` entries of a `tokenizer.bin`, text and score. Fails where the file has more or fewer.
pub fn parse_tokenizer(bytes: &[u8], n: usize) -> Result<Vec<(&str, f32)>> {
    let mut at = 4;
    let mut entries = Vec::new();
    for idx in 0..n {
        let head = bytes.get(at..at + 8).with_context(|| {
            format!("the tokenizer ends after {idx} entries, but the model has {n}: the two do not belong together")
        })?;
        let word = |i: usize| [0, 1, 2, 3].map(|k| head[i + k]);
        let (score, len) = (f32::from_le_bytes(word(0)), u32::from_le_bytes(word(4)) as usize);
        let text = (at + 8).checked_add(len).and_then(|end| bytes.get(at + 8..end));
        let text = text.with_context(|| {
            format!("byte {at}: entry {idx} has {len} bytes, but only {} are left", bytes.len() - at - 8)
        })?;
        let text = std::str::from_utf8(text).with_context(|| format!("byte {at}: entry {idx} is no UTF-8"))?;
        entries.push((text, score));
        at += 8 + len;
    }
    ensure!(
        at == bytes.len(),
        "the tokenizer has more than the model's {n} entries ({} bytes are left): the two do not belong together",
        bytes.len().saturating_sub(at)
    );
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::Random;

    /// Two layers of width 4, two heads, one of them for keys; weights are 0, 1, 2, ...
    fn model(vocab_size: i32) -> Vec<u8> {
        let n = 3 * 4 + 2 * 4 + 2 * (16 + 8 + 8 + 16) + 2 * 4 + 3 * 2 * 4 * 6 + 4 + 5 * 2;
        let n = n + if vocab_size < 0 { 12 } else { 0 };
        let header = [4, 6, 2, 2, 1, vocab_size, 5].map(i32::to_le_bytes).concat();
        header.into_iter().chain((0..n).flat_map(|i| (i as f32).to_le_bytes())).collect()
    }

    fn tokenizer(entries: &[(&str, f32)]) -> Vec<u8> {
        let entry = |(text, score): &(&str, f32)| {
            [&score.to_le_bytes()[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
        };
        [3u32.to_le_bytes().to_vec(), entries.iter().flat_map(entry).collect()].concat()
    }

    #[test]
    fn weights_are_found_by_part_and_layer() {
        for vocab_size in [3, -3] {
            let bytes = model(vocab_size);
            let model = Model::parse(&bytes).unwrap();
            assert_eq!((model.vocab_size, model.is_shared, model.seq_len), (3, vocab_size > 0, 5));
            assert_eq!(model.read(Weights::Embedding, 0), (0..12).map(|i| i as f32).collect::<Vec<_>>());
            assert_eq!(model.read(Weights::AttentionNorms, 1), [16.0, 17.0, 18.0, 19.0]);
            assert_eq!(model.read(Weights::Wk, 1)[0], (12 + 8 + 32 + 8) as f32);
            assert_eq!(model.read(Weights::Head, 0).len(), if vocab_size > 0 { 0 } else { 12 });
        }
    }

    #[test]
    fn each_contradiction_is_told() {
        let with = |at: usize, value: i32| {
            let mut bytes = model(3);
            bytes[4 * at..4 * at + 4].copy_from_slice(&value.to_le_bytes());
            bytes
        };
        let cases: [(Vec<u8>, &str); 7] = [
            (vec![0; 27], "27 bytes are too few"),
            (with(0, -4), "dim = -4, but 1 to 16777216 can be"),
            (with(5, i32::MIN), "vocab_size = -2147483648"),
            (with(2, 1 << 24), "bytes, but the file has"),
            (with(3, 3), "n_heads = 3"),
            (with(0, 1 << 24), "but the file has"),
            (model(3)[..100].to_vec(), "but the file has 100"),
        ];
        for (bytes, words) in cases {
            let message = Model::parse(&bytes).unwrap_err().to_string();
            assert!(message.contains(words), "{message:?} lacks {words:?}");
        }
    }

    #[test]
    fn the_tokenizers_entries_are_read_and_counted() {
        let entries = [("a", -1.0), ("", 0.5), ("é", 2.0)];
        let bytes = tokenizer(&entries);
        assert_eq!(parse_tokenizer(&bytes, 3).unwrap(), entries);
        let mut no_text = bytes.clone();
        no_text[12] = 0xff;
        for (bytes, n, words) in [
            (&bytes[..], 4, "ends after 3 entries, but the model has 4"),
            (&bytes, 2, "more than the model's 2 entries"),
            (&bytes[..bytes.len() - 1], 3, "entry 2 has 2 bytes, but only 1 are left"),
            (&no_text, 3, "entry 0 is no UTF-8"),
            (&[], 1, "ends after 0 entries"),
        ] {
            let message = format!("{:#}", parse_tokenizer(bytes, n).unwrap_err());
            assert!(message.contains(words), "{message:?} lacks {words:?}");
        }
    }

    #[test]
    fn no_mutation_panics() {
        let (valid, entries) = (model(-3), tokenizer(&[("abc", 1.0), ("d", 2.0)]));
        let mut random = Random::new(8, 0);
        for _ in 0..3000 {
            let mut bytes = valid.clone();
            bytes[random.below(28) as usize] = random.next_u64() as u8;
            bytes.truncate(bytes.len() - (random.below(8) as usize).saturating_sub(5) * 4);
            if let Ok(model) = Model::parse(&bytes) {
                (0..model.n_layers).for_each(|layer| drop(model.read(Weights::W2, layer)));
            }
            let mut bytes = entries.clone();
            bytes[random.below(entries.len() as u64) as usize] = random.next_u64() as u8;
            _ = parse_tokenizer(&bytes, 1 + random.below(3) as usize);
        }
    }
}
