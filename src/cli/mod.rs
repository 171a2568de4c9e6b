//! The command line: one file a command, each an `Args` struct and a `run` that turns it into one call below.
//!
//! Standard output carries what was asked for (text, JSON) and nothing else; all other words go to standard error.

mod bench;
mod bench_model;
mod chat;
mod complete;
mod completions;
mod corpus;
mod display;
mod eval;
mod eval_chat;
mod eval_words;
mod export;
mod finetune;
mod import;
mod info;
mod interrupt;
mod loading;
mod man;
mod pull;
mod quantize;
mod quantize_words;
mod recipe;
mod run_args;
mod samples;
mod sampling;
mod shape;
mod tokenizer;
mod train;
mod train_words;

use anyhow::Result;
use clap::{Parser, Subcommand};

pub use completions::answer_shell;

/// Exit codes of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked (a reader that closed its pipe early included).
    Done = 0,
    /// It could not.
    Failed = 1,
    /// The command line made no sense; clap uses the same code.
    Usage = 2,
    /// Ctrl-C.
    Interrupted = 130,
}

/// From a folder of your own text to a small GPT that you can talk to, on an ordinary CPU
#[derive(Parser, Debug)]
#[command(
    name = "siskin",
    version,
    max_term_width = 100,
    after_help = "Start here:
  siskin train my-texts/            learn from a folder of .txt, .md or .jsonl files
  siskin chat                       talk to the newest model
  echo \"Once upon a time\" | siskin complete

Models are directories under runs/, or hf:owner/name on the Hugging Face Hub. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Train(Box<train::TrainArgs>),
    Finetune(Box<finetune::FinetuneArgs>),
    Chat(chat::ChatArgs),
    Complete(Box<complete::CompleteArgs>),
    Info(info::InfoArgs),
    Eval(eval::EvalArgs),
    Quantize(quantize::QuantizeArgs),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Corpus(corpus::CorpusArgs),
    Tokenizer(tokenizer::TokenizerArgs),
    Bench(bench::BenchArgs),
    Pull(pull::PullArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Runs the command that was typed.
pub fn run(cli: Cli) -> Result<Exit> {
    match cli.command {
        Command::Train(args) => train::run(*args),
        Command::Finetune(args) => finetune::run(*args),
        Command::Chat(args) => chat::run(args),
        Command::Complete(args) => complete::run(*args),
        Command::Info(args) => info::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Quantize(args) => quantize::run(args),
        Command::Export(args) => export::run(args),
        Command::Import(args) => import::run(args),
        Command::Corpus(args) => corpus::run(args),
        Command::Tokenizer(args) => tokenizer::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Pull(args) => pull::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    }
}

/// Threads to compute with: as asked, else all that the machine has.
fn n_threads(asked: Option<u16>) -> usize {
    asked.map_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get), usize::from)
}
