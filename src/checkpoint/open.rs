//! One place that opens whatever a name means: a network that runs, its tokenizer, and how it is talked to.
//!
//! | a name for | what runs |
//! |---|---|
//! | a `.gguf` file, here or on the Hub | the file, at its bits per weight |
//! | a model directory | its `model.q8_0.gguf`, unless that is missing, older than the weights, or not wanted; else the weights |
//!
//! Families with a [`Config`] run on the engine of [`crate::inference`]. [`other_family`] is where one that only another
//! backend runs would go.

use super::gguf::GgufWeights;
use super::model_dir::{ModelDir, QUANTIZED};
use super::names::{Found, find};
use super::weights::StoredWeights;
use crate::formats::gguf::Gguf;
use crate::formats::mapped::Mapped;
use crate::inference::{CacheType, Engine, LanguageModel, Settings, WeightSource};
use crate::model::{Config, Family};
use crate::tokenizer::{FromGguf, Tokenizer};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// Which weights of a model directory run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Which {
    /// Those that run fastest.
    #[default]
    Fastest,
    /// Those that were trained, unchanged.
    Full,
}

/// How a model is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    /// Which weights.
    pub which: Which,
    /// Threads to compute with.
    pub n_threads: usize,
    /// Tokens that the cache holds; the model's whole context where none are given.
    pub context_len: Option<usize>,
    /// How the cache keeps keys and values.
    pub cache: CacheType,
}

impl OpenOptions {
    /// What chat and complete want: the fastest weights and the whole context.
    pub fn new(n_threads: usize) -> OpenOptions {
        OpenOptions { which: Which::Fastest, n_threads, context_len: None, cache: CacheType::F16 }
    }

    fn settings(&self, config: &Config) -> Settings {
        let context_len = self.context_len.unwrap_or(config.block_size);
        Settings { context_len, n_sequences: 1, n_threads: self.n_threads, cache: self.cache }
    }
}

/// A model that is ready to be talked to.
pub struct Opened {
    /// What to call it: the name of its directory or file.
    pub name: String,
    /// The file or directory whose weights run.
    pub path: PathBuf,
    /// The network.
    pub model: Box<dyn LanguageModel + Send>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// How a dialogue is written, a Jinja template.
    pub chat_template: Option<String>,
    /// What stands before each text, if anything does.
    pub begin_of_text: Option<u32>,
    /// Ids at which the model stops writing.
    pub end_ids: Vec<u32>,
    /// Whether it has learned from dialogues, so that it can take turns.
    pub takes_turns: bool,
}

/// Opens what `name` means (see [`super::resolve`]; `None` is the newest run).
pub fn open(name: Option<&str>, runs: &Path, options: OpenOptions) -> Result<Opened> {
    match find(name, runs)? {
        Found::Directory(path) => open_dir(&ModelDir::open(path)?, options),
        Found::Gguf(path) => open_gguf(&path, options),
    }
}

/// Opens a model directory.
pub fn open_dir(dir: &ModelDir, options: OpenOptions) -> Result<Opened> {
    let (config, tokenizer, manifest) = (dir.config()?, dir.tokenizer()?, dir.manifest()?);
    let quantized = dir.path.join(QUANTIZED);
    let (model, path) = match options.which == Which::Fastest && is_newer(&quantized, dir) {
        true => {
            let instead = "opening the quantized copy (`--weights full` runs the trained weights instead)";
            (run_gguf(&quantized, Some(&config), options).context(instead)?, quantized)
        }
        false => {
            let weights = StoredWeights::open(&dir.path, &config)?;
            (
                run(&config, &weights, options).with_context(|| format!("preparing {}", dir.path.display()))?,
                dir.path.clone(),
            )
        }
    };
    Ok(Opened {
        name: dir.name(),
        path,
        model,
        chat_template: dir.chat_template()?,
        // A model trained here has learned every text behind the mark that ends one.
        begin_of_text: manifest.as_ref().map(|_| tokenizer.end_of_text()).or(tokenizer.begin_of_text()),
        end_ids: [tokenizer.end_of_text()].into_iter().chain(tokenizer.im_end()).collect(),
        takes_turns: manifest.is_some_and(|manifest| manifest.trained_on_messages),
        tokenizer,
    })
}

/// Opens a GGUF file.
pub fn open_gguf(path: &Path, options: OpenOptions) -> Result<Opened> {
    let opening = || format!("opening {}", path.display());
    let file = Mapped::open(path)?;
    let text = Gguf::parse(&file).and_then(|gguf| FromGguf::read(gguf.metadata())).with_context(opening)?;
    let model = run_mapped(&file, None, options).with_context(opening)?;
    ensure!(
        text.tokenizer.vocab_size() <= model.vocab_size(),
        "{}: the tokenizer has {} entries, but the embedding only {} rows: the file is damaged",
        path.display(),
        text.tokenizer.vocab_size(),
        model.vocab_size()
    );
    let is_chatml = |template: &String| template.contains("<|im_start|>") && text.tokenizer.im_start().is_some();
    Ok(Opened {
        name: path.file_stem().map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned()),
        path: path.to_owned(),
        model,
        takes_turns: text.chat_template.as_ref().is_some_and(is_chatml),
        begin_of_text: text.tokenizer.begin_of_text(),
        chat_template: text.chat_template,
        end_ids: text.end_ids,
        tokenizer: text.tokenizer,
    })
}

/// Whether the quantized copy is there and was not made of older weights.
fn is_newer(quantized: &Path, dir: &ModelDir) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    match (modified(quantized), dir.weights_file().and_then(|weights| modified(&weights))) {
        (Some(copy), Some(weights)) => copy >= weights,
        _ => false,
    }
}

/// The network of a file, which must have the shape that is `wanted`.
fn run_gguf(path: &Path, wanted: Option<&Config>, options: OpenOptions) -> Result<Box<dyn LanguageModel + Send>> {
    run_mapped(&Mapped::open(path)?, wanted, options).with_context(|| format!("opening {}", path.display()))
}

fn run_mapped(file: &Mapped, wanted: Option<&Config>, options: OpenOptions) -> Result<Box<dyn LanguageModel + Send>> {
    let gguf = Gguf::parse(file)?;
    let family: &str = gguf.metadata().want("general.architecture")?;
    if Family::named(family).is_err() {
        return other_family(family);
    }
    let weights = GgufWeights::new(gguf, file)?;
    let config = weights.config().clone();
    ensure!(wanted.is_none_or(|wanted| *wanted == config), "its shape is not that of the model's config.json");
    run(&config, &weights, options)
}

/// The place of families that the engine does not run.
fn other_family(family: &str) -> Result<Box<dyn LanguageModel + Send>> {
    Err(Family::named(family).err().context("only other families come here")?)
}

fn run(config: &Config, weights: &dyn WeightSource, options: OpenOptions) -> Result<Box<dyn LanguageModel + Send>> {
    Ok(Box::new(Engine::open(config, weights, options.settings(config))?))
}
