//! `siskin bench`: how fast a model runs here, and with `train` how fast a training step is.

use crate::cli::bench_model::{self, ModelBenchArgs};
use crate::cli::recipe::OptimizerChoice;
use crate::cli::shape::precision_parser;
use crate::cli::{Exit, n_threads};
use crate::kernels::Cpu;
use crate::kernels::gemm::Precision;
use crate::model::{Config, Preset};
use crate::training::bench::{Measured, measure_training};
use crate::training::optimizer::{MuonSettings, OptimizerSettings};
use crate::training::precision::PrecisionChoice;
use crate::training::profile::PartTime;
use crate::words;
use anyhow::Result;
use clap::{Args, Subcommand};
use std::io::Write;

/// Measure how fast this machine runs a model, or trains one
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    command: Option<BenchCommand>,
    #[command(flatten)]
    model: ModelBenchArgs,
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
    /// What matrix products multiply; `auto` takes the fastest that this CPU has, `float` the fastest without 8-bit codes
    #[arg(long, value_parser = precision_parser(), default_value = "auto")]
    precision: PrecisionChoice,
    /// Which update to make; `adamw` is what other trainers' figures are for
    #[arg(long, value_enum, value_name = "NAME", default_value_t)]
    optimizer: OptimizerChoice,
    /// Also show which part of a step takes how long
    #[arg(long)]
    profile: bool,
    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: BenchArgs) -> Result<Exit> {
    let Some(BenchCommand::Train(args)) = args.command else { return bench_model::run(&args.model) };
    let config = args.shape.apply(args.preset.config(args.shape.vocab.unwrap_or(2048), 256))?;
    let n_threads = n_threads(args.threads);
    let precision = args.precision.resolve(&Cpu::new(n_threads))?;
    let muon = (args.optimizer == OptimizerChoice::Muon).then(MuonSettings::default);
    let optimizer = OptimizerSettings { muon, ..OptimizerSettings::default() };
    let measured = measure_training(&config, args.batch, args.steps, n_threads, precision, optimizer);
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &measured)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", describe(&config, &measured))?;
        if args.profile {
            write!(out, "{}", describe_parts(&measured))?;
        }
    }
    Ok(Exit::Done)
}

fn describe(config: &Config, m: &Measured) -> String {
    let numbers = if m.precision == Precision::Int8.name() { "int8 and floats" } else { m.precision };
    format!(
        "{} layers x {} wide, {} heads, ffn {}, context {}, batch {}, vocabulary {}: {} weights\n\
         {:.1} ms a step (median of {}; {:.1} to {:.1}), {} tokens/s\n\
         {:.0} GFLOP/s (6 x weights x tokens), {:.0} % of the {:.0} that {} reaches in {} on {} threads\n\
         peak memory {}\n",
        config.n_layer,
        config.n_embd,
        config.n_head,
        config.n_ffn,
        config.block_size,
        m.batch,
        config.vocab_size,
        words::short_count(m.n_params as u64),
        m.ms_per_step,
        m.n_steps,
        m.ms_least,
        m.ms_most,
        words::thousands(m.tokens_per_second as u64),
        m.gflops,
        100.0 * m.gflops / m.ceiling_gflops,
        m.ceiling_gflops,
        m.instruction_set,
        numbers,
        m.n_threads,
        words::bytes(m.peak_bytes),
    )
}

fn describe_parts(m: &Measured) -> String {
    let line = |p: &PartTime| format!("  {:<18} {:>9.2} ms {:>6.1} %\n", p.part, p.ms, 100.0 * p.share);
    m.profile.iter().map(line).collect()
}
