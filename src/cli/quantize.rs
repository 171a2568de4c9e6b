//! `siskin quantize`: a model in fewer bits, and what they cost.

use super::display::TokenProgress;
use super::eval::learned_from;
use super::export::{self, mix_parser};
use super::quantize_words::{Row, table};
use super::{Exit, n_threads};
use crate::checkpoint::{self, GgufModel, Imported, ModelDir, OpenOptions, RUNS, Written};
use crate::data::Prepared;
use crate::inference::Engine;
use crate::inference::bench::writing_speed;
use crate::kernels::Cpu;
use crate::model::{Config, Mix};
use crate::quantize::{Comparison, Judge};
use crate::training::text::text_bytes;
use anyhow::{Context, Result};
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Tokens of held-out text that a type is judged by: enough to see a loss of a thousandth, few enough to wait for.
const MAX_TOKENS: usize = 1 << 15;

/// Write a model in fewer bits as GGUF, and tell what that costs
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siskin quantize my-texts                     writes runs/my-texts/model.q4_k_m.gguf
  siskin quantize my-texts --type q8_0 --out small.gguf
  siskin quantize my-texts --table             compares all types and writes nothing

The table has the size, the bits per weight, and, where the model's own held-out text is at hand, its bits per byte, the \
divergence of its probabilities from the model's (KL, in nats a token) and how often both think the same token the most \
probable. Rows of a width that is no multiple of 256 get a type of 32-element blocks, and the table says so.")]
pub(super) struct QuantizeArgs {
    /// The model: a directory, a run's name, hf:owner/name, or a file that `siskin import` reads
    #[arg(value_name = "MODEL")]
    model: String,
    /// How weights are stored
    #[arg(long = "type", value_name = "TYPE", default_value = "q4_k_m", value_parser = mix_parser())]
    mix: Mix,
    /// The file to write; model.TYPE.gguf in the model's directory, or NAME.TYPE.gguf beside its file, if not given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Compare all types and mark the smallest that loses less than 0.5 % bits per byte
    #[arg(long, conflicts_with_all = ["mix", "out"])]
    table: bool,
    /// Threads to compute with; all the machine has if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// Runs the command.
pub(super) fn run(args: QuantizeArgs) -> Result<Exit> {
    let model = export::read(&args.model)?;
    let n_threads = n_threads(args.threads);
    let held_out = held_out(&args.model, &model);
    let token_bytes = text_bytes(&model.tokenizer, model.config.vocab_size);
    let mut judging =
        held_out.as_ref().ok().map(|text| Judging::new(&model, text, &token_bytes, n_threads)).transpose()?;
    let mut row = |mix, written, path: &Path, n_threads, label| -> Result<Row> {
        let copy = std::fs::read(path).with_context(|| format!("reading {} again", path.display()))?;
        let comparison = judging.as_mut().map(|judging| judging.compare(&copy, label)).transpose()?;
        let tokens_per_s = writing_speed(&mut *checkpoint::open_gguf(path, OpenOptions::new(n_threads))?.model)?;
        Ok(Row { mix, written, tokens_per_s, comparison })
    };
    let mut rows = Vec::new();
    if args.table {
        for mix in Mix::ALL {
            // In a file of its own, so that its speed is that of a file.
            let mut file = tempfile::NamedTempFile::with_suffix(".gguf").context("making a temporary file")?;
            let written = model.contents().write(&mut file, mix, n_threads, &mut |_| ())?;
            rows.push(row(mix, written, file.path(), n_threads, mix.name())?);
        }
    } else {
        let path = args.out.unwrap_or_else(|| beside(&args.model, &model, args.mix));
        let written: Written = export::write_gguf(&model, &path, args.mix, n_threads)?;
        rows.push(row(args.mix, written, &path, n_threads, "judging")?);
    }
    let reason = held_out.as_ref().err().map(|error| format!("{error:#}"));
    std::io::stdout().lock().write_all(table(&rows, reason.as_deref()).as_bytes())?;
    Ok(Exit::Done)
}

/// The held-out text of a model that was trained here.
fn held_out(name: &str, model: &Imported) -> Result<Prepared> {
    let path = checkpoint::resolve(Some(name), Path::new(RUNS))
        .map_err(|_| anyhow::anyhow!("a file does not say what its model has learned from"))?;
    learned_from(&ModelDir::open(path)?, &model.tokenizer)
}

/// The model, ready to have copies compared with it.
struct Judging<'a> {
    model: &'a Imported,
    judge: Judge<'a>,
    cpu: Cpu,
}

impl<'a> Judging<'a> {
    fn new(model: &'a Imported, text: &'a Prepared, token_bytes: &'a [u32], n_threads: usize) -> Result<Judging<'a>> {
        let cpu = Cpu::new(n_threads);
        let engine = engine(&model.config, &model.weights, n_threads)?;
        let judge = Judge { model: engine, text: &text.valid, token_bytes, max_tokens: MAX_TOKENS };
        Ok(Judging { model, judge, cpu })
    }

    /// What the file `copy` makes of the held-out text, beside the model.
    fn compare(&mut self, copy: &[u8], label: &'static str) -> Result<Comparison> {
        let copy = GgufModel::read(copy).context("reading what was written")?;
        let mut copy = engine(&self.model.config, &copy.weights, self.cpu.n_threads())?;
        let n_tokens = self.judge.text.n_tokens().saturating_sub(1).min(MAX_TOKENS);
        let bar = TokenProgress::new(label, n_tokens as u64);
        self.judge.compare(&mut copy, &self.cpu, &mut |n| bar.add(n as u64))
    }
}

fn engine(config: &Config, weights: &[f32], n_threads: usize) -> Result<Engine> {
    Engine::new(config, weights, config.block_size, n_threads)
}

/// In the model's directory, or beside its file; of a model of the Hub here, as its directory is a cache.
fn beside(name: &str, model: &Imported, mix: Mix) -> PathBuf {
    if name.starts_with("hf:") {
        return PathBuf::from(format!("{}.{mix}.gguf", model.name));
    }
    match checkpoint::resolve(Some(name), Path::new(RUNS)) {
        Ok(dir) => dir.join(format!("model.{mix}.gguf")),
        Err(_) => Path::new(name).with_file_name(format!("{}.{mix}.gguf", model.name)),
    }
}
