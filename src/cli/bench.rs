//! `siskin bench train`: how fast a training step is here.

use crate::cli::{Exit, n_threads};
use crate::model::{Config, Preset};
use crate::training::bench::{Measured, measure_training};
use anyhow::Result;
use clap::{Args, Subcommand};
use std::io::Write;

/// Measure how fast this machine trains
#[derive(Args, Debug)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Subcommand, Debug)]
enum BenchCommand {
    Train(TrainBenchArgs),
}

/// Time training steps of a model on random tokens
#[derive(Args, Debug)]
struct TrainBenchArgs {
    /// Size of the model; the options below change single numbers of it
    #[arg(long, value_parser = super::shape::preset_parser(), default_value = "tiny")]
    preset: Preset,
    #[command(flatten)]
    shape: super::shape::ShapeArgs,
    /// Sequences in a batch
    #[arg(long, value_name = "B", default_value_t = 16)]
    batch: usize,
    /// Steps to time, after two that are not counted
    #[arg(long, value_name = "N", default_value_t = 10)]
    steps: usize,
    /// Threads to compute with; all the machine has if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: BenchArgs) -> Result<Exit> {
    let BenchCommand::Train(args) = args.command;
    let config = args.shape.apply(args.preset.config(args.shape.vocab.unwrap_or(2048), 256))?;
    let measured = measure_training(&config, args.batch, args.steps, n_threads(args.threads));
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &measured)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", describe(&config, &measured))?;
    }
    Ok(Exit::Done)
}

fn describe(config: &Config, m: &Measured) -> String {
    format!(
        "{} layers x {} wide, {} heads, ffn {}, context {}, batch {}, vocabulary {}: {:.2} million weights\n\
         {:.1} ms a step (median of {}; {:.1} to {:.1}), {:.0} tokens/s, {:.0} GFLOP/s ({}, {} threads, {} MB)\n",
        config.n_layer,
        config.n_embd,
        config.n_head,
        config.n_ffn,
        config.block_size,
        m.batch,
        config.vocab_size,
        m.n_params as f64 / 1e6,
        m.ms_per_step,
        m.n_steps,
        m.ms_least,
        m.ms_most,
        m.tokens_per_second,
        m.gflops,
        m.instruction_set,
        m.n_threads,
        m.arena_bytes / 1_000_000,
    )
}
