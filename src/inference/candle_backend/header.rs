//! What a GGUF file says of its shape, checked before candle sees it, and the header that candle is then given.
//!
//! candle's readers take counts and lengths from the metadata as they are: a file could make them divide by zero, reserve
//! any amount of memory or compute tables for any number of positions. So the file is parsed by [`crate::formats::gguf`]
//! alone, every number is compared with the tensors that are there, and candle gets a header made of nothing but what
//! was found right.

use crate::formats::gguf::{Elements, FromValue, Gguf, Value};
use anyhow::{Context, Result, ensure};
use candle_core::quantized::gguf_file::{Content, TensorInfo, Value as CandleValue, VersionedMagic};
use std::collections::HashMap;

/// Largest size that is believed.
const MOST: usize = 1 << 24;

/// A file of one architecture, and the numbers below its keys.
pub(super) struct Header<'a, 'f> {
    gguf: &'a Gguf<'f>,
    architecture: &'static str,
}

impl<'a, 'f> Header<'a, 'f> {
    pub(super) fn new(gguf: &'a Gguf<'f>, architecture: &'static str) -> Header<'a, 'f> {
        Header { gguf, architecture }
    }

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    /// A count or length from 1 on.
    pub(super) fn size(&self, key: &str) -> Result<usize> {
        let key = self.key(key);
        let n: usize = self.gguf.metadata().want(&key)?;
        ensure!((1..=MOST).contains(&n), "metadata key {key}: {n} is not within 1 to {MOST}");
        Ok(n)
    }

    /// The same where the file may leave it out.
    pub(super) fn size_or(&self, key: &str, otherwise: usize) -> Result<usize> {
        if self.gguf.metadata().get(&self.key(key)).is_some() { self.size(key) } else { Ok(otherwise) }
    }

    /// A positive number, `otherwise` where the file has none.
    pub(super) fn positive_or(&self, key: &str, otherwise: f32) -> Result<f32> {
        let key = self.key(key);
        let x: f32 = self.gguf.metadata().optional(&key)?.unwrap_or(otherwise);
        ensure!(x.is_finite() && x > 0.0, "metadata key {key}: {x} is no positive number");
        Ok(x)
    }

    /// What stands under a key, if anything does.
    pub(super) fn optional<T: FromValue<'f>>(&self, key: &str) -> Result<Option<T>> {
        self.gguf.metadata().optional(&self.key(key))
    }

    /// What stands under a key, which has to be there.
    pub(super) fn value(&self, key: &str) -> Result<Value<'f>> {
        let key = self.key(key);
        self.gguf.metadata().get(&key).with_context(|| format!("the file has no metadata key {key}"))
    }

    /// The number of layers: no more than the file has tensors.
    pub(super) fn n_layer(&self) -> Result<usize> {
        let (n, n_tensors) = (self.size("block_count")?, self.gguf.tensors().len());
        ensure!(n <= n_tensors, "the file says {n} layers, but has only {n_tensors} tensors");
        Ok(n)
    }

    /// The numbers of query heads and of key/value heads; the former is a multiple of the latter.
    pub(super) fn heads(&self) -> Result<(usize, usize)> {
        let n_head = self.size("attention.head_count")?;
        let n_kv_head = self.size_or("attention.head_count_kv", n_head)?;
        check_heads(n_head, n_kv_head)?;
        Ok((n_head, n_kv_head))
    }

    /// Rows of the embedding: the entries of the vocabulary.
    pub(super) fn vocab_size(&self) -> Result<usize> {
        let embedding = self.gguf.tensor("token_embd.weight").context("the file has no tensor token_embd.weight")?;
        Ok(embedding.n_rows())
    }

    /// Whether there is a tensor of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.gguf.tensor(name).is_some()
    }

    /// Fails where a tensor is missing or has another shape, outermost dimension first.
    pub(super) fn expect(&self, name: &str, shape: &[usize]) -> Result<()> {
        let found = &self.gguf.tensor(name).with_context(|| format!("the file has no tensor {name}"))?.shape;
        // A vector may stand as a matrix of one row or column.
        let squeezed = |shape: &[usize]| shape.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
        let same = if found.len() == shape.len() { found == shape } else { squeezed(found) == squeezed(shape) };
        ensure!(same, "tensor {name} has shape {found:?}, but the file's other numbers ask for {shape:?}");
        Ok(())
    }

    /// The same for the tensors of a layer.
    pub(super) fn expect_layer(&self, layer: usize, tensors: &[(&str, &[usize])]) -> Result<()> {
        tensors.iter().try_for_each(|(name, shape)| self.expect(&format!("blk.{layer}.{name}"), shape))
    }

    /// The header for candle: all tensors, and of the metadata the numbers of the architecture, in which the context is
    /// the one that is asked for, as candle makes tables of that length.
    pub(super) fn content(&self, context_len: usize) -> Content {
        let prefix = self.key("");
        let numbers = self.gguf.metadata().iter().filter(|(key, _)| key.starts_with(&prefix));
        let mut metadata: HashMap<String, CandleValue> =
            numbers.filter_map(|(key, value)| Some((key.to_owned(), number(value)?))).collect();
        metadata.insert(self.key("context_length"), CandleValue::U32(context_len as u32));
        let mut tensor_infos = HashMap::new();
        for tensor in self.gguf.tensors() {
            let info = TensorInfo {
                ggml_dtype: tensor.kind.in_candle(),
                shape: tensor.shape.clone().into(),
                offset: tensor.range.start as u64,
            };
            tensor_infos.insert(tensor.name.clone(), info);
        }
        Content { magic: VersionedMagic::GgufV3, metadata, tensor_infos, tensor_data_offset: 0 }
    }
}

/// Fails where query heads cannot share key/value heads evenly.
pub(super) fn check_heads(n_head: usize, n_kv_head: usize) -> Result<()> {
    ensure!(
        n_kv_head > 0 && n_head.is_multiple_of(n_kv_head),
        "{n_head} heads cannot share {n_kv_head} key/value heads evenly"
    );
    Ok(())
}

/// Integers as `u32`, which candle's readers ask for whatever the file chose.
fn number(value: Value) -> Option<CandleValue> {
    match value {
        Value::F32(x) => Some(CandleValue::F32(x)),
        Value::F64(x) => Some(CandleValue::F32(x as f32)),
        _ => value.integer()?.try_into().ok().map(CandleValue::U32),
    }
}

/// The numbers of an array, or `n` times the one number that stands in its place.
pub(super) fn numbers(value: Value, n: usize) -> Option<Vec<usize>> {
    let one = |value: Value| value.integer().and_then(|n| usize::try_from(n).ok()).filter(|&n| n <= MOST);
    match value {
        Value::Array(array) if array.len() == n => {
            let elements: Elements = array.iter();
            elements.map(one).collect()
        }
        Value::Array(_) => None,
        value => Some(vec![one(value)?; n]),
    }
}
