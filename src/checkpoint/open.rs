//! One place that opens whatever a name means: a network that runs, its tokenizer, and how it is talked to.
//!
//! | a name for | what runs |
//! |---|---|
//! | a `.gguf` file, here or on the Hub | the file, at its bits per weight |
//! | nothing, where nothing was trained yet | the model inside the program |
//! | a model directory | its `model.q8_0.gguf`, unless that is missing, older than the weights, or not wanted; else the weights |
//!
//! Families with a [`Config`] run on the engine of [`crate::inference`], others on candle ([`Backend`]).

use super::bundled::open_bundled;
use super::gguf::GgufWeights;
use super::model_dir::{ModelDir, QUANTIZED};
use super::names::{Found, find};
use super::weights::StoredWeights;
use crate::formats::gguf::Gguf;
use crate::formats::mapped::Mapped;
use crate::inference::bench::Facts;
use crate::inference::candle_backend::{self, CandleModel};
use crate::inference::{Backend, CacheType, Engine, LanguageModel, Lookup, Settings, WeightSource};
use crate::kernels::Isa;
use crate::model::Config;
use crate::tokenizer::{CHATML_TEMPLATE, ChatTemplate, FromGguf, Tokenizer};
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

/// Whether a model guesses ahead from what it has read ([`Lookup`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Drafts {
    /// It computes each token when that is asked for, as whoever measures its speed wants it.
    #[default]
    Never,
    /// Where that was measured to be faster: models whose weights do not fit the caches, from 32 MB on.
    WhereFaster,
    /// Wherever it can.
    Always,
}

/// Bytes of weights from which on guesses pay: they no longer fit the CPU's caches, so that reading them is most of what a
/// token costs, and three tokens at once cost 1.4 to 1.7 times as much as one (15 MB: 1.8 times; 3 MB: 2.5 times).
const WORTH_DRAFTING: usize = 32 << 20;

/// Bytes that the caches of several sequences may take: no machine that runs models is short of so much.
pub(super) const MOST_CACHE: usize = 1 << 30;

/// How a model is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    /// Which weights.
    pub which: Which,
    /// Threads to compute with.
    pub n_threads: usize,
    /// Tokens that the cache holds; the model's whole context where none are given.
    pub context_len: Option<usize>,
    /// Most tokens that the cache holds, whatever the model's context.
    pub longest_context: Option<usize>,
    /// Sequences held side by side, so that their texts are written together: fewer where their caches would take more
    /// than a gigabyte, and one on candle.
    pub n_sequences: usize,
    /// How the cache keeps keys and values.
    pub cache: CacheType,
    /// The instruction set to compute with.
    pub isa: Isa,
    /// Whether it guesses ahead; a model of several sequences never does, nor does candle.
    pub drafts: Drafts,
}

impl OpenOptions {
    /// What chat and complete want: the fastest weights and the whole context.
    pub fn new(n_threads: usize) -> OpenOptions {
        OpenOptions {
            which: Which::Fastest,
            n_threads,
            context_len: None,
            longest_context: None,
            n_sequences: 1,
            cache: CacheType::F16,
            isa: Isa::best(),
            drafts: Drafts::Never,
        }
    }

    /// Whether the engine of `facts`, with these settings, is to guess ahead.
    fn has_drafts(&self, facts: &Facts, settings: &Settings) -> bool {
        settings.n_sequences == 1
            && match self.drafts {
                Drafts::Never => false,
                Drafts::WhereFaster => facts.body_bytes + facts.head_bytes >= WORTH_DRAFTING,
                Drafts::Always => true,
            }
    }

    /// Tokens that the cache of a model holds which was trained for so many.
    fn context_of(&self, trained: usize) -> usize {
        self.context_len.unwrap_or(trained).min(self.longest_context.unwrap_or(usize::MAX))
    }

    fn settings(&self, config: &Config) -> Settings {
        let context_len = self.context_of(config.block_size);
        // Keys and values, of 32 bits at most.
        let per_sequence = 8 * config.n_layer * config.n_kv_head * config.head_dim * context_len;
        let n_sequences = self.n_sequences.min(MOST_CACHE / per_sequence.max(1)).max(1);
        Settings { context_len, n_sequences, n_threads: self.n_threads, cache: self.cache, isa: self.isa }
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
    /// What runs it.
    pub backend: Backend,
    /// Threads that it computes with.
    pub n_threads: usize,
    /// What a pass through it takes.
    pub facts: Facts,
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

impl Opened {
    /// How turns are written, where that is not as siskin writes its own: it does so without a template, which is also proof
    /// against marks in what a person types.
    pub fn foreign_template(&self) -> Result<Option<ChatTemplate>> {
        let source = self.chat_template.as_deref().filter(|source| *source != CHATML_TEMPLATE);
        source.map(|source| ChatTemplate::new(source, &self.tokenizer)).transpose()
    }
}

/// Opens what `name` means (see [`super::resolve`]; `None` is the newest run).
pub fn open(name: Option<&str>, runs: &Path, options: OpenOptions) -> Result<Opened> {
    match find(name, runs)? {
        Found::Directory(path) => open_dir(&ModelDir::open(path)?, options),
        Found::Gguf(path) => open_gguf(&path, options),
        Found::Bundled => open_bundled(options),
    }
}

/// A network that is ready to run, and what is to be known of it.
struct Running {
    model: Box<dyn LanguageModel + Send>,
    backend: Backend,
    n_threads: usize,
    facts: Facts,
}

/// Opens a model directory.
pub fn open_dir(dir: &ModelDir, options: OpenOptions) -> Result<Opened> {
    let (config, tokenizer, manifest) = (dir.config()?, dir.tokenizer()?, dir.manifest()?);
    let quantized = dir.path.join(QUANTIZED);
    let (running, path) = match options.which == Which::Fastest && is_newer(&quantized, dir) {
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
    let Running { model, backend, n_threads, facts } = running;
    Ok(Opened {
        name: dir.name(),
        path,
        model,
        backend,
        n_threads,
        facts,
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
    open_mapped(&Mapped::open(path)?, path, options)
}

/// Opens the GGUF file that was found at `path`.
pub(super) fn open_mapped(file: &Mapped, path: &Path, options: OpenOptions) -> Result<Opened> {
    let opening = || format!("opening {}", path.display());
    let gguf = Gguf::parse(file).with_context(opening)?;
    let text = text_of(&gguf).with_context(opening)?;
    let Running { model, backend, n_threads, facts } = run_parsed(gguf, file, None, options).with_context(opening)?;
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
        backend,
        n_threads,
        facts,
        takes_turns: text.chat_template.as_ref().is_some_and(is_chatml),
        begin_of_text: text.tokenizer.begin_of_text(),
        chat_template: text.chat_template,
        end_ids: text.end_ids,
        tokenizer: text.tokenizer,
    })
}

/// The tokenizer of a file and what belongs to it, once it is known that the network can be run.
fn text_of(gguf: &Gguf) -> Result<FromGguf> {
    Backend::of(gguf.metadata().want("general.architecture")?)?;
    FromGguf::read(gguf.metadata())
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
fn run_gguf(path: &Path, wanted: Option<&Config>, options: OpenOptions) -> Result<Running> {
    let file = Mapped::open(path)?;
    let run = || run_parsed(Gguf::parse(&file)?, &file, wanted, options);
    run().with_context(|| format!("opening {}", path.display()))
}

fn run_parsed(gguf: Gguf, file: &Mapped, wanted: Option<&Config>, options: OpenOptions) -> Result<Running> {
    let architecture: &str = gguf.metadata().want("general.architecture")?;
    match Backend::of(architecture)? {
        Backend::Native => {
            let weights = GgufWeights::new(gguf, file)?;
            let config = weights.config().clone();
            ensure!(wanted.is_none_or(|wanted| *wanted == config), "its shape is not that of the model's config.json");
            run(&config, &weights, options)
        }
        Backend::Candle => run_by_candle(&gguf, architecture, file, options),
    }
}

/// The place of families that the engine does not run.
fn run_by_candle(gguf: &Gguf, architecture: &str, file: &Mapped, options: OpenOptions) -> Result<Running> {
    let trained: usize = gguf.metadata().want(&format!("{architecture}.context_length"))?;
    Ok(Running {
        facts: Facts::of_file(gguf),
        model: Box::new(CandleModel::read(file, options.context_of(trained))?),
        backend: Backend::Candle,
        n_threads: candle_backend::n_threads(),
    })
}

fn run(config: &Config, weights: &dyn WeightSource, options: OpenOptions) -> Result<Running> {
    let settings = options.settings(config);
    let engine = Engine::open(config, weights, settings)?;
    let (facts, n_threads) = (engine.facts(), options.n_threads);
    let mut model: Box<dyn LanguageModel + Send> = Box::new(engine);
    if options.has_drafts(&facts, &settings) {
        model = Box::new(Lookup::new(model));
    }
    Ok(Running { model, backend: Backend::Native, n_threads, facts })
}
