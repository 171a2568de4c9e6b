//! `siskin finetune`: a model and conversations in, a model that answers out.

use super::run_args::{RunArgs, encode, facts, read};
use super::train::go;
use super::train_words::introduce;
use super::{Exit, display};
use crate::checkpoint::{self, ModelDir, RUNS};
use crate::data::conversations::Turns;
use crate::kernels::Cpu;
use crate::model::Family;
use crate::training::lora::LoraSettings;
use crate::training::plan::Wishes;
use crate::training::planner;
use crate::training::probe::Here;
use crate::training::run::{Base, Run, Start};
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
  siskin finetune my-texts chats.jsonl --lora 8   learn adapters only, and keep them in adapter/ for peft, too
  siskin train --resume my-texts-chat           go on after Ctrl-C, a crash or a power cut"
)]
pub(super) struct FinetuneArgs {
    /// The model to go on from: a directory, or the name of a run under runs/
    pub(super) model: String,
    /// Files or folders of .jsonl (also as .gz or .zst) with a conversation in each line, or - for standard input
    #[arg(value_name = "DATA", required = true)]
    pub(super) data: Vec<PathBuf>,
    /// Learn adapters of this rank for the matrices inside the blocks (LoRA), and leave the weights as they are; the result
    /// has both in one, and adapter/ the adapters alone
    #[arg(long, value_name = "RANK", conflicts_with_all = [
        "optimizer", "muon_factor", "embed_lr", "momentum", "normuon", "cautious",
    ])]
    pub(super) lora: Option<usize>,
    /// How much adapters count, as a multiple of 1/RANK; twice the rank if not given
    #[arg(long, value_name = "X", requires = "lora")]
    pub(super) lora_alpha: Option<f64>,
    #[command(flatten)]
    pub(super) run: RunArgs,
}

/// What `--lora` and `--lora-alpha` ask for.
pub(super) fn adapters(lora: Option<usize>, alpha: Option<f64>) -> Option<LoraSettings> {
    let settings = LoraSettings::of_rank(lora?);
    Some(LoraSettings { alpha: alpha.unwrap_or(settings.alpha), ..settings })
}

/// Runs the command.
pub(super) fn run(args: FinetuneArgs) -> Result<Exit> {
    let began = Instant::now();
    let run = begin(&args, began)?;
    go(run, began, args.run.n_threads(), args.run.show())
}

fn begin(args: &FinetuneArgs, began: Instant) -> Result<Run> {
    let show = args.run.show();
    let model = ModelDir::open(checkpoint::resolve(Some(&args.model), Path::new(RUNS))?)?;
    let (config, tokenizer) = (model.config()?, model.tokenizer()?);
    ensure!(
        config.family == Family::Qwen3,
        "{} is a {} model, and siskin trains those of the Qwen3 shape, as it makes them itself",
        model.path.display(),
        config.family.name()
    );
    let lora = adapters(args.lora, args.lora_alpha);
    // Before the text is read, which can take a while.
    lora.map_or(Ok(()), |lora| lora.validate_for(&config))?;
    let turns = Turns::of(&tokenizer)?;
    let corpus = read(&args.data, show)?;
    let report = corpus.report();
    ensure!(
        report.has_messages,
        "there is no conversation in what was given: each line must be {{\"messages\": [{{\"role\": ..., \"content\": ...}}, ...]}}; \
         plain text is learned by `siskin train`"
    );
    let text = encode(&corpus, &tokenizer, show)?;
    let cpu = Cpu::new(args.run.n_threads());
    let (wishes, facts) =
        (args.run.wishes(&cpu, Wishes { lora, ..Wishes::default() })?, facts(report, &tokenizer, &text));
    let token_bytes = text_bytes(&tokenizer, config.vocab_size);
    let here = Text { train: &text.train, valid: &text.valid, token_bytes: &token_bytes, turns: Some(&turns) };
    let spent_s = began.elapsed().as_secs_f64();
    let (plan, choice) = planner::fine_tuning(&wishes, &config, facts, spent_s, &mut Here { cpu: &cpu, text: here })?;
    let path = args.run.directory(&format!("{}-chat", model.name()))?;
    display::say(show, &format!("base          {}\n{}", model.path.display(), introduce(&plan, &choice, &[], &path)));
    let base = Some(Base::read(&model, &config)?);
    Run::begin(&path, Start { plan, choice, baselines: Vec::new(), base }, report, tokenizer, text)
}
