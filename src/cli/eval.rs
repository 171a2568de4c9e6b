//! `siskin eval`: bits per byte of a text under a model.

use super::{Exit, n_threads};
use crate::checkpoint::{self, ModelDir, RUNS};
use crate::data::Corpus;
use crate::kernels::Cpu;
use crate::training::evaluate::evaluate;
use crate::training::network::Network;
use crate::training::run::text_bytes;
use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Measure how well a model knows a text it has not seen: bits per byte, less is better
#[derive(Args, Debug)]
pub(super) struct EvalArgs {
    /// Files or folders of text; all of it is judged
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A directory, a run's name, or hf:owner/name; the newest run if not given
    #[arg(short, long)]
    model: Option<String>,
    /// Threads to compute with; all the machine has if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: EvalArgs) -> Result<Exit> {
    let dir = ModelDir::open(checkpoint::resolve(args.model.as_deref(), Path::new(RUNS))?)?;
    let (config, tokenizer) = (dir.config()?, dir.tokenizer()?);
    let weights = dir.load_weights(&config)?;
    let ids = Corpus::scan(&args.paths, &mut |_| {})?.all_ids(&tokenizer)?;
    // Some 4,096 rows at a time keep the matrix products efficient.
    let n_rows = (4096 / config.block_size).max(1) * config.block_size;
    let mut network = Network::new(&config, &weights, n_rows);
    let cpu = Cpu::new(n_threads(args.threads));
    let token_bytes = text_bytes(&tokenizer, config.vocab_size);
    let found = evaluate(&mut network, &cpu, &ids, &token_bytes, usize::MAX, n_rows)
        .context("there is no text to judge: at least two tokens are needed")?;
    let mut out = std::io::stdout().lock();
    if args.json {
        let object = json!({
            "model": dir.name(),
            "bits_per_byte": found.bits_per_byte,
            "standard_error": found.standard_error,
            "nats_per_token": found.nats_per_token,
            "tokens": found.n_tokens,
            "bytes": found.n_bytes,
        });
        writeln!(out, "{object}")?;
    } else {
        writeln!(
            out,
            "{:.4} ± {:.4} bits per byte ({:.4} nats a token) over {} bytes",
            found.bits_per_byte, found.standard_error, found.nats_per_token, found.n_bytes
        )?;
    }
    Ok(Exit::Done)
}
