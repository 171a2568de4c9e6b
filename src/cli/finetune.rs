//! `siskin finetune`: a model and conversations in, a model that answers out.

use super::recipe::RecipeArgs;
use super::shape::precision_parser;
use super::train::go;
use super::train_words::introduce;
use super::{Exit, display, display::ByteProgress, n_threads};
use crate::checkpoint::{self, ModelDir, RUNS};
use crate::data::conversations::Turns;
use crate::data::{Corpus, cache_dir, prepare};
use crate::kernels::Cpu;
use crate::model::Family;
use crate::training::plan::Wishes;
use crate::training::planner::{self, TextFacts};
use crate::training::precision::PrecisionChoice;
use crate::training::probe::Here;
use crate::training::run::{Base, Run, Start};
use crate::training::settings::Length;
use crate::training::text::text_bytes;
use crate::training::trainer::Text;
use anyhow::{Result, ensure};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Teach a model to answer: conversations in, a new model under runs/ out
#[derive(Args, Debug, Default)]
#[command(
    args_override_self = true,
    after_help = "Each line of DATA is a conversation: {\"messages\": [{\"role\": \"user\", \"content\": \"...\"},
{\"role\": \"assistant\", \"content\": \"...\"}]}. Only what the assistant says is learned, and judged.

Examples:
  siskin finetune my-texts chats.jsonl          three passes over the conversations
  siskin finetune my-texts chats.jsonl --minutes 5
  siskin train --resume my-texts-chat           go on after Ctrl-C, a crash or a power cut"
)]
pub(super) struct FinetuneArgs {
    /// The model to go on from: a directory, or the name of a run under runs/
    pub(super) model: String,
    /// Files or folders of .jsonl (also as .gz or .zst) with a conversation in each line, or - for standard input
    #[arg(value_name = "DATA", required = true)]
    pub(super) data: Vec<PathBuf>,
    /// Sequences in a batch
    #[arg(long, value_name = "B")]
    pub(super) batch: Option<usize>,
    /// Batches whose gradients are added up for one step
    #[arg(long, value_name = "N")]
    pub(super) accumulate: Option<usize>,
    /// What matrix products multiply; `auto` takes the fastest that this CPU has
    #[arg(long, value_parser = precision_parser(), default_value = "auto")]
    pub(super) precision: PrecisionChoice,
    /// Train for so many steps; three passes if neither this nor --minutes is given
    #[arg(long, value_name = "N", conflicts_with = "minutes")]
    pub(super) steps: Option<u64>,
    /// End after so many minutes, reading the text and the last evaluation included
    #[arg(long, value_name = "M")]
    pub(super) minutes: Option<f64>,
    /// Stop after so many evaluations without a better one; never by default where --minutes is given, else 5
    #[arg(long, value_name = "N")]
    pub(super) patience: Option<u64>,
    /// Seconds between checkpoints: the most that a crash can cost
    #[arg(long, value_name = "S")]
    pub(super) save_every: Option<f64>,
    /// Decides the order of the conversations
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Directory of the new model; runs/ and the old one's name with -chat if not given
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Threads to compute with; all the machine has if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) threads: Option<u16>,
    /// Show warnings only
    #[arg(short, long)]
    pub(super) quiet: bool,
    #[command(flatten)]
    pub(super) recipe: RecipeArgs,
}

/// Runs the command.
pub(super) fn run(args: FinetuneArgs) -> Result<Exit> {
    let began = Instant::now();
    let show = if args.quiet { display::Show::Notices } else { display::Show::Progress };
    let run = begin(&args, began, show)?;
    go(run, began, n_threads(args.threads), show)
}

fn begin(args: &FinetuneArgs, began: Instant, show: display::Show) -> Result<Run> {
    let model = ModelDir::open(checkpoint::resolve(Some(&args.model), Path::new(RUNS))?)?;
    let (config, tokenizer) = (model.config()?, model.tokenizer()?);
    ensure!(
        config.family == Family::Qwen3,
        "{} is a {} model, and siskin trains those of the Qwen3 shape, as it makes them itself",
        model.path.display(),
        config.family.name()
    );
    let turns = Turns::of(&tokenizer)?;
    let corpus = {
        let bar = ByteProgress::new(show, "reading", None);
        Corpus::scan(&args.data, &mut |n| bar.add(n))?
    };
    let report = corpus.report();
    display::say(show, &report.to_string());
    ensure!(
        report.has_messages,
        "there is no conversation in what was given: each line must be {{\"messages\": [{{\"role\": ..., \"content\": ...}}, ...]}}; \
         plain text is learned by `siskin train`"
    );
    let text = {
        let bar = ByteProgress::new(show, "encoding", Some(report.n_bytes));
        prepare(&corpus, &tokenizer, &cache_dir()?, &mut |n| bar.add(n))?
    };
    let cpu = Cpu::new(n_threads(args.threads));
    let wishes = Wishes {
        batch: args.batch,
        n_accumulate: args.accumulate,
        lr: args.recipe.lr,
        recipe: args.recipe.wishes(),
        precision: args.precision.resolve(&cpu)?,
        length: args.steps.map(Length::Steps).or(args.minutes.map(Length::Minutes)),
        seed: args.seed,
        patience: args.patience,
        save_every_s: args.save_every,
        ..Wishes::default()
    };
    let facts = TextFacts {
        vocab_size: tokenizer.vocab_size(),
        n_train_bytes: report.n_train_bytes,
        n_train_tokens: text.train.len(),
    };
    let token_bytes = text_bytes(&tokenizer, config.vocab_size);
    let here = Text { train: &text.train, valid: &text.valid, token_bytes: &token_bytes, turns: Some(&turns) };
    let spent_s = began.elapsed().as_secs_f64();
    let (plan, choice) = planner::fine_tuning(&wishes, &config, facts, spent_s, &mut Here { cpu: &cpu, text: here })?;
    let path = match &args.out {
        Some(path) => path.clone(),
        None => checkpoint::new_run_dir(Path::new(RUNS), &format!("{}-chat", model.name()))?,
    };
    display::say(show, &format!("base          {}\n{}", model.path.display(), introduce(&plan, &choice, &[], &path)));
    let base = Some(Base::read(&model, &config)?);
    Run::begin(&path, Start { plan, choice, baselines: Vec::new(), base }, report, tokenizer, text)
}
