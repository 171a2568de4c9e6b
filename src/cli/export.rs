//! `siskin export`: a model in the form that other programs read.

use super::display::{self, TokenProgress};
use super::import::ensure_free;
use super::{Exit, n_threads};
use crate::checkpoint::{self, Imported, ModelDir, RUNS};
use crate::model::Mix;
use crate::words;
use anyhow::{Context, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use std::fs;
use std::path::{Path, PathBuf};

/// Write a model for other programs: GGUF for llama.cpp and ollama, a directory for transformers
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siskin export my-texts --to gguf my-texts.gguf          for llama.cpp, all weights as they are
  siskin export my-texts --to gguf out/ --type f16        becomes out/my-texts.f16.gguf
  siskin export my-texts --to hf for-transformers/        only what transformers reads

docs/interop.md says how to check what comes out. Smaller files come from `siskin quantize`.")]
pub(super) struct ExportArgs {
    /// The model: a directory, a run's name, hf:owner/name, or a file that `siskin import` reads
    #[arg(value_name = "MODEL")]
    model: String,
    /// The form
    #[arg(long, value_enum, value_name = "FORM")]
    to: Form,
    /// A directory, or for GGUF a file that ends in .gguf
    #[arg(value_name = "DIR")]
    out: PathBuf,
    /// How weights are stored in a GGUF file
    #[arg(long = "type", value_name = "TYPE", default_value = "f32", value_parser = mix_parser())]
    mix: Mix,
    /// Threads to compute with; all the machine has if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    /// One file with everything inside
    Gguf,
    /// A directory in the Hugging Face layout
    Hf,
}

/// Runs the command.
pub(super) fn run(args: ExportArgs) -> Result<Exit> {
    let model = read(&args.model)?;
    let path = match args.to {
        Form::Hf => {
            ensure_free(&args.out)?;
            model.write(&ModelDir::create(&args.out)?)?;
            args.out
        }
        Form::Gguf => {
            let path = gguf_path(args.out, &model.name, args.mix)?;
            write_gguf(&model, &path, args.mix, n_threads(args.threads))?;
            path
        }
    };
    display::notice(&format!("wrote {}", path.display()));
    Ok(Exit::Done)
}

/// The model that `name` means: what `siskin import` reads if it is such a file, else as everywhere.
pub(super) fn read(name: &str) -> Result<Imported> {
    let path = Path::new(name);
    let is_file = path.extension().is_some_and(|end| end == "gguf" || end == "bin") && path.is_file();
    let path = if is_file { path.to_owned() } else { checkpoint::resolve(Some(name), Path::new(RUNS))? };
    Imported::read(&path, None)
}

/// Writes `model` at `path` with a bar, and says what was written.
pub(super) fn write_gguf(model: &Imported, path: &Path, mix: Mix, n_threads: usize) -> Result<checkpoint::Written> {
    let bar = TokenProgress::of("writing", model.weights.len() as u64, "weights");
    let written = model.write_gguf(path, mix, n_threads, &mut |n| bar.add(n as u64))?;
    drop(bar);
    let size = words::bytes(written.n_bytes as u64);
    display::notice(&format!("{}: {size}, {:.2} bits per weight", path.display(), written.bits_per_weight()));
    Ok(written)
}

fn gguf_path(out: PathBuf, name: &str, mix: Mix) -> Result<PathBuf> {
    if out.extension().is_some_and(|extension| extension == "gguf") {
        return Ok(out);
    }
    fs::create_dir_all(&out).with_context(|| format!("creating {}", out.display()))?;
    Ok(out.join(format!("{name}.{mix}.gguf")))
}

/// Parses a mixture's name.
pub(super) fn mix_parser() -> impl TypedValueParser<Value = Mix> {
    PossibleValuesParser::new(Mix::ALL.map(Mix::name)).map(|name| Mix::named(&name).expect("only known names pass"))
}
