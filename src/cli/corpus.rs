//! `siskin corpus`: what siskin makes of some text, without training on it.

use super::Exit;
use crate::data::Corpus;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use std::io::{self, Write};
use std::path::PathBuf;

/// Look at text before training on it
#[derive(Debug, Args)]
pub(super) struct CorpusArgs {
    #[command(subcommand)]
    command: CorpusCommand,
}

#[derive(Debug, Subcommand)]
enum CorpusCommand {
    /// Tell what was found in files and folders, what was left out and why, and what it can teach
    Stats(StatsArgs),
}

#[derive(Debug, Args)]
struct StatsArgs {
    /// Files or folders of .txt, .md or .jsonl (also as .gz or .zst), or - for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print one JSON object instead
    #[arg(long)]
    json: bool,
}

/// Runs `siskin corpus`.
pub(super) fn run(args: CorpusArgs) -> Result<Exit> {
    let CorpusCommand::Stats(args) = args.command;
    let corpus = Corpus::scan(&args.paths, &mut |_| {})?;
    let text = if args.json {
        format!("{}\n", serde_json::to_string_pretty(corpus.report())?)
    } else {
        corpus.report().to_string()
    };
    match io::stdout().write_all(text.as_bytes()) {
        // The reader has seen enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        written => written.map(|()| Exit::Done).context("writing to standard output"),
    }
}
