//! From the name of a model to one that is ready to write, shared by `complete` and `chat`.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::checkpoint::{self, ModelDir};
use crate::inference::Engine;
use crate::tokenizer::Tokenizer;

/// A model in memory.
pub(super) struct Loaded {
    /// The name of its directory.
    pub(super) name: String,
    /// Its tokenizer.
    pub(super) tokenizer: Tokenizer,
    /// The network, with room for its whole context.
    pub(super) engine: Engine,
    /// Whether it has learned from dialogues, so that it can take turns.
    pub(super) trained_on_messages: bool,
    /// How a model from elsewhere writes a dialogue, a Jinja template.
    pub(super) chat_template: Option<String>,
}

/// Loads the model that `name` means (see [`checkpoint::resolve`]), to run on `n_threads`.
pub(super) fn load(name: Option<&str>, n_threads: usize) -> Result<Loaded> {
    let path = checkpoint::resolve(name, Path::new("runs"))?;
    let dir = ModelDir::open(&path)?;
    let (config, tokenizer) = (dir.config()?, dir.tokenizer()?);
    ensure!(
        tokenizer.vocab_size() <= config.vocab_size,
        "{}: the tokenizer has {} entries, but the model knows only {}: the two do not belong together",
        path.display(),
        tokenizer.vocab_size(),
        config.vocab_size
    );
    let weights = dir.load_weights(&config)?;
    let engine = Engine::new(&config, &weights, config.block_size, n_threads)
        .with_context(|| format!("preparing {}", path.display()))?;
    let manifest = dir.manifest()?;
    // A model trained here has ChatML in its files, whether it has learned it or not.
    let chat_template = if manifest.is_none() { dir.chat_template()? } else { None };
    let trained_on_messages = manifest.is_some_and(|manifest| manifest.trained_on_messages);
    let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    Ok(Loaded { name, tokenizer, engine, trained_on_messages, chat_template })
}
