//! `siskin import`: a model from another program as a model directory.

use super::{Exit, display};
use crate::checkpoint::{Imported, ModelDir, RUNS, new_run_dir};
use crate::words;
use anyhow::{Result, ensure};
use clap::Args;
use std::path::{Path, PathBuf};

/// Make a model directory of a model from elsewhere: GGUF, Hugging Face, llama2.c
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siskin import SmolLM2-135M.Q8_0.gguf             becomes runs/SmolLM2-135M.Q8_0
  siskin import downloads/Qwen2.5-0.5B --name qwen a directory with config.json and .safetensors files
  siskin import stories260K.bin --tokenizer tok512.bin

The weights are kept as 32-bit floats, so the directory of a quantized file is larger than the file. Known are models of \
the shapes llama, qwen2, qwen3 and gpt2.")]
pub(super) struct ImportArgs {
    /// A .gguf file, a directory of the Hub's layout, or llama2.c's .bin file
    #[arg(value_name = "FILE_OR_DIR")]
    source: PathBuf,
    /// Name of the model under runs/; the file's own if not given
    #[arg(long, conflicts_with = "out")]
    name: Option<String>,
    /// Where to write the model directory instead
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The tokenizer of a .bin file; tokenizer.bin beside it if not given
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: ImportArgs) -> Result<Exit> {
    let imported = Imported::read(&args.source, args.tokenizer.as_deref())?;
    let path = match args.out {
        Some(path) => path,
        None => new_run_dir(Path::new(RUNS), args.name.as_deref().unwrap_or(&imported.name))?,
    };
    ensure_free(&path)?;
    let dir = ModelDir::create(&path)?;
    imported.write(&dir)?;
    let n_params = imported.config.n_params() as u64;
    display::notice(&format!(
        "{} weights of the family {} are in {}",
        words::short_count(n_params),
        imported.config.family.name(),
        path.display()
    ));
    Ok(Exit::Done)
}

/// A model is never written over another.
pub(super) fn ensure_free(path: &Path) -> Result<()> {
    let is_taken = ["config.json", "model.safetensors", "run.json"].iter().any(|name| path.join(name).exists());
    ensure!(!is_taken, "{} already holds a model: choose another directory", path.display());
    Ok(())
}
