//! Models from other programs: a directory of the Hub's layout, a GGUF file, or llama2.c's two files, as one thing that
//! can be written as a model directory or as GGUF again.

use super::atomic::write_atomic;
use super::gguf::{Contents, GgufModel, Written};
use super::model_dir::ModelDir;
use crate::formats::llama2c::{Model, Weights, parse_tokenizer};
use crate::model::{Config, Family, Layout, Mix, Part, TensorSpec, deinterleave};
use crate::tokenizer::Tokenizer;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// A model in memory, in siskin's order, wherever it came from.
#[derive(Debug, Clone)]
pub struct Imported {
    /// What to call it: the name of the directory or file.
    pub name: String,
    /// Its shape.
    pub config: Config,
    /// Its weights in the order of [`Layout`].
    pub weights: Vec<f32>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// How a dialogue is written, a Jinja template.
    pub chat_template: Option<String>,
    /// What stands before each text, where the tokenizer does not say.
    pub begin_of_text: Option<u32>,
}

impl Imported {
    /// Reads a model directory, a `.gguf` file or a llama2.c `.bin` file. The tokenizer of the last is the file given as
    /// `tokenizer`, or one beside it: `tokenizer.bin`, or `tokN.bin` for a vocabulary of N entries.
    pub fn read(path: &Path, tokenizer: Option<&Path>) -> Result<Imported> {
        let is_bin = path.extension().is_some_and(|extension| extension == "bin");
        ensure!(
            tokenizer.is_none() || is_bin,
            "{} has its own tokenizer: --tokenizer is for llama2.c's .bin files",
            path.display()
        );
        let read = || match path {
            _ if path.is_dir() => from_dir(path),
            _ if is_bin => from_llama2c(path, tokenizer),
            _ => from_gguf(path),
        };
        read().with_context(|| format!("importing {}", path.display()))
    }

    /// Writes a GGUF file at `path`, whole or not at all. `on_weights` is told now and then how many more weights are done.
    pub fn write_gguf(
        &self,
        path: &Path,
        mix: Mix,
        n_threads: usize,
        on_weights: &mut dyn FnMut(usize),
    ) -> Result<Written> {
        let mut written = None;
        write_atomic(path, |out| {
            written = Some(self.contents().write(out, mix, n_threads, on_weights)?);
            Ok(())
        })?;
        Ok(written.expect("the writer ran to its end"))
    }

    /// Writes a model directory.
    pub fn write(&self, dir: &ModelDir) -> Result<()> {
        dir.describe(&self.config, &self.tokenizer, self.chat_template.as_deref())?;
        dir.save_weights(&self.config, &self.weights)
    }

    /// The same as what goes into a GGUF file.
    pub fn contents(&self) -> Contents<'_> {
        Contents {
            name: Some(&self.name),
            config: &self.config,
            weights: &self.weights,
            tokenizer: &self.tokenizer,
            chat_template: self.chat_template.as_deref(),
            begin_of_text: self.begin_of_text,
        }
    }
}

fn from_dir(path: &Path) -> Result<Imported> {
    let dir = ModelDir::open(path)?;
    let (config, tokenizer) = (dir.config()?, dir.tokenizer()?);
    let weights = dir.load_weights(&config)?;
    let is_ours = dir.manifest()?.is_some();
    Ok(Imported {
        name: dir.name(),
        chat_template: dir.learned_template()?,
        // A model trained here has learned every text behind the mark that ends one.
        begin_of_text: is_ours.then(|| tokenizer.end_of_text()),
        config,
        weights,
        tokenizer,
    })
}

fn from_gguf(path: &Path) -> Result<Imported> {
    let GgufModel { config, weights, text, .. } = GgufModel::read(&fs::read(path)?)?;
    let (tokenizer, chat_template) = (text.tokenizer, text.chat_template);
    Ok(Imported { name: stem(path), config, weights, tokenizer, chat_template, begin_of_text: None })
}

fn from_llama2c(path: &Path, tokenizer: Option<&Path>) -> Result<Imported> {
    let bytes = fs::read(path)?;
    let model = Model::parse(&bytes)?;
    let beside = tokenizer.map_or_else(|| tokenizer_beside(path, model.vocab_size), |path| Ok(path.to_owned()))?;
    let reading = || format!("reading {}", beside.display());
    let pieces = fs::read(&beside).with_context(reading)?;
    let pieces = parse_tokenizer(&pieces, model.vocab_size).with_context(reading)?;
    let tokenizer = Tokenizer::from_llama2c(&pieces).with_context(reading)?;
    let config = config_of(&model);
    config.validate()?;
    let weights = weights_of(&model, &config);
    Ok(Imported { name: stem(path), config, weights, tokenizer, chat_template: None, begin_of_text: None })
}

fn tokenizer_beside(path: &Path, vocab_size: usize) -> Result<PathBuf> {
    let names = ["tokenizer.bin".to_owned(), format!("tok{vocab_size}.bin")];
    match names.iter().map(|name| path.with_file_name(name)).find(|path| path.is_file()) {
        Some(found) => Ok(found),
        None => bail!("there is no {} beside it: name the tokenizer with --tokenizer FILE", names.join(" or ")),
    }
}

fn config_of(model: &Model) -> Config {
    Config {
        n_layer: model.n_layers,
        n_head: model.n_heads,
        n_kv_head: model.n_kv_heads,
        n_embd: model.dim,
        head_dim: model.dim / model.n_heads,
        n_ffn: model.hidden_dim,
        vocab_size: model.vocab_size,
        block_size: model.seq_len,
        // run.c has both as constants.
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
        tied: model.is_shared,
        family: Family::Llama,
    }
}

fn weights_of(model: &Model, config: &Config) -> Vec<f32> {
    let layout = Layout::new(config);
    let mut weights = vec![0.0; layout.n_elements];
    for tensor in &layout.tensors {
        let data = model.read(source(tensor.part), tensor.layer.unwrap_or(0));
        let out = &mut weights[tensor.range.clone()];
        match tensor.part {
            Part::Q | Part::K => out.copy_from_slice(&deinterleave(&data, config.head_dim, columns(tensor))),
            _ => out.copy_from_slice(&data),
        }
    }
    weights
}

fn columns(tensor: &TensorSpec) -> usize {
    *tensor.shape.last().expect("tensors have a dimension")
}

/// llama2.c's name of a part of the llama shape.
fn source(part: Part) -> Weights {
    match part {
        Part::Embed => Weights::Embedding,
        Part::AttnNorm => Weights::AttentionNorms,
        Part::Q => Weights::Wq,
        Part::K => Weights::Wk,
        Part::V => Weights::Wv,
        Part::O => Weights::Wo,
        Part::FfnNorm => Weights::FfnNorms,
        Part::Gate => Weights::W1,
        Part::Down => Weights::W2,
        Part::Up => Weights::W3,
        Part::FinalNorm => Weights::FinalNorm,
        Part::Head => Weights::Head,
        Part::Positions | Part::Qkv | Part::QNorm | Part::KNorm => unreachable!("the llama shape has no {part:?}"),
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "model".to_owned(), |stem| stem.to_string_lossy().into_owned())
}
