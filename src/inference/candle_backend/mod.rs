//! Families that [`super::Engine`] does not run, on candle's tensors: gemma3 and lfm2 by a decoder of our own on candle-core,
//! phi2, phi3 and glm4 by candle-transformers' quantized models.
//!
//! The weights stay as the file has them. candle decides by itself how many threads compute: as many as the machine has
//! cores, or as `RAYON_NUM_THREADS` says when the program is started. Its products of matrices do not keep decision 7: the
//! logits of a chunk may differ in their last bits from those of the same ids read in other chunks.
//!
//! candle-transformers' models can forget what they have read only altogether. So [`CandleModel`] keeps the ids: after
//! [`LanguageModel::truncate`] to anything but what was read, those that are left are read again with the next ids that
//! are fed. The decoder of our own forgets from any position on and reads nothing twice.

mod decoder;
mod families;
mod header;
#[cfg(test)]
mod tests;

use super::LanguageModel;
use crate::formats::gguf::Gguf;
use anyhow::{Context, Result, ensure};
use families::{FAMILIES, Network, Source};
use header::Header;
use std::io::Cursor;
use std::path::Path;

/// Ids that are read together: enough to use each weight well, few enough that scores of attention stay small.
const CHUNK: usize = 256;

/// Whether files of this architecture (`general.architecture`) are run here.
pub fn supports(architecture: &str) -> bool {
    architectures().any(|known| known == architecture)
}

/// The architectures that are run here, by their name in files.
pub fn architectures() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|(name, _)| *name)
}

/// Threads that candle computes with, which it takes from the environment: see the module.
pub fn n_threads() -> usize {
    candle_core::utils::get_num_threads()
}

/// A model that candle runs.
pub struct CandleModel {
    network: Network,
    architecture: &'static str,
    vocab_size: usize,
    context_len: usize,
    /// What was fed and not forgotten.
    ids: Vec<u32>,
    /// How many of `ids` the network has read.
    n_read: usize,
    logits: Vec<f32>,
}

impl std::fmt::Debug for CandleModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CandleModel").field("architecture", &self.architecture).finish_non_exhaustive()
    }
}

impl CandleModel {
    /// Reads the GGUF file at `path`, for `context_len` tokens at most: see [`CandleModel::read`].
    pub fn open(path: &Path, context_len: usize) -> Result<CandleModel> {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        CandleModel::read(&bytes, context_len).with_context(|| format!("reading {}", path.display()))
    }

    /// Makes a model of the GGUF file that `bytes` holds whole, with room for `context_len` tokens. Nothing is borrowed.
    ///
    /// Fails on an architecture that is not run here, on damage, on tensors that are missing or contradict the file's
    /// numbers, and on a context that the model was not trained for.
    pub fn read(bytes: &[u8], context_len: usize) -> Result<CandleModel> {
        let gguf = Gguf::parse(bytes)?;
        let named: &str = gguf.metadata().want("general.architecture")?;
        let (architecture, load) = *FAMILIES.iter().find(|(name, _)| *name == named).with_context(|| {
            let known = architectures().collect::<Vec<_>>().join(", ");
            format!("the file's architecture is {named:?}, but those that candle runs here are {known}")
        })?;
        let header = Header::new(&gguf, architecture);
        let trained = header.size("context_length")?;
        ensure!(
            (1..=trained).contains(&context_len),
            "a context of {context_len} tokens was asked for, but this model was trained for 1 to {trained}"
        );
        let source = Source { content: header.content(context_len), file: Cursor::new(bytes) };
        let network = load(&header, source, context_len).with_context(|| format!("loading a {architecture} model"))?;
        let vocab_size = header.vocab_size()?;
        Ok(CandleModel {
            network,
            architecture,
            vocab_size,
            context_len,
            ids: Vec::new(),
            n_read: 0,
            logits: Vec::new(),
        })
    }

    /// The name of its family in files.
    pub fn architecture(&self) -> &'static str {
        self.architecture
    }

    /// Reads all of `ids` that the network has not read yet.
    fn read_on(&mut self) -> Result<()> {
        while self.n_read < self.ids.len() {
            let end = self.ids.len().min(self.n_read + CHUNK);
            self.logits = self.network.forward(&self.ids[self.n_read..end], self.n_read)?;
            ensure!(
                self.logits.len() == self.vocab_size,
                "{} logits came, but the vocabulary has {} entries",
                self.logits.len(),
                self.vocab_size
            );
            self.n_read = end;
        }
        Ok(())
    }

    /// Forgets the ids after the first `n`, and what the network has of them.
    fn forget(&mut self, n: usize) {
        self.ids.truncate(n);
        if self.n_read > n {
            self.n_read = if self.network.forgets_by_position() { n } else { 0 };
        }
    }
}

impl LanguageModel for CandleModel {
    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn context_len(&self) -> usize {
        self.context_len
    }

    fn n_cached(&self) -> usize {
        self.ids.len()
    }

    fn truncate(&mut self, n_tokens: usize) {
        self.forget(n_tokens);
    }

    /// An error leaves the model as it was before, and shows here as logits that are no numbers.
    fn feed(&mut self, ids: &[u32]) -> &[f32] {
        if self.try_feed(ids).is_err() {
            self.logits.clear();
            self.logits.resize(self.vocab_size, f32::NAN);
        }
        &self.logits
    }

    fn try_feed(&mut self, ids: &[u32]) -> Result<&[f32]> {
        let n_before = self.ids.len();
        ensure!(!ids.is_empty() && n_before + ids.len() <= self.context_len, "{} ids do not fit", ids.len());
        if let Some(id) = ids.iter().find(|&&id| id as usize >= self.vocab_size) {
            anyhow::bail!("the id {id} is outside the vocabulary of {} entries", self.vocab_size);
        }
        self.ids.extend_from_slice(ids);
        if let Err(error) = self.read_on() {
            // Layers may have read unequally far: what candle-transformers has read is begun anew.
            self.ids.truncate(n_before);
            self.n_read = if self.network.forgets_by_position() { self.n_read.min(n_before) } else { 0 };
            return Err(error.context(format!("running a {} model with candle", self.architecture)));
        }
        Ok(&self.logits)
    }
}
