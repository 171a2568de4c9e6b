//! `siskin train`: text in, a model directory out.

use super::finetune::{self, FinetuneArgs};
use super::recipe::RecipeArgs;
use super::run_args::{RunArgs, encode, facts, read};
use super::shape::{ShapeArgs, preset_parser};
use super::train_words::{conclude, introduce};
use super::{Exit, display, display::ByteProgress, interrupt::ctrl_c_flag, samples::sampler};
use crate::checkpoint::{self, RUNS};
use crate::data::{Corpus, CorpusReport, Prepared, cache_dir, prepare, tokenizer_for};
use crate::kernels::Cpu;
use crate::model::Preset;
use crate::tokenizer::{Tokenizer, vocab_size_for};
use crate::training::baselines;
use crate::training::plan::Wishes;
use crate::training::planner;
use crate::training::probe::Here;
use crate::training::run::{Repeat, Run, Start};
use crate::training::settings::Length;
use crate::training::text::text_bytes;
use crate::training::trainer::Text;
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Share of the minutes that --then-chat takes.
const CHAT_SHARE: f64 = 0.25;

/// Learn from your text: files and folders in, a model under runs/ out
#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    after_help = "Examples:
  siskin train my-texts/                  everything chosen by the size of the text
  siskin train diary.txt --minutes 10     more time, usually a better model
  siskin train chats.jsonl --preset small --steps 5000
  siskin train stories/ --then-chat chats.jsonl   a model that also answers
  siskin train --resume my-texts          go on after Ctrl-C, a crash or a power cut
  siskin train --repeat my-texts          the same model once more, byte for byte

Ctrl-C finishes the step, saves, and prints the command that resumes."
)]
pub(super) struct TrainArgs {
    /// Files or folders of .txt, .md or .jsonl (also as .gz or .zst), or - for standard input
    #[arg(value_name = "PATH", required_unless_present_any = ["resume", "repeat"])]
    paths: Vec<PathBuf>,
    /// Continue this run (a name under runs/, or a directory)
    #[arg(long, value_name = "NAME", conflicts_with_all = ["paths", "out", "preset", "steps", "minutes", "seed"])]
    resume: Option<String>,
    /// Then teach the model to answer from these conversations: `siskin finetune` in one go; a quarter of --minutes is for it
    #[arg(long, value_name = "DATA", conflicts_with_all = ["resume", "repeat"])]
    then_chat: Vec<PathBuf>,
    /// Learn only adapters of this rank from the conversations: see `siskin finetune`
    #[arg(long, value_name = "RANK", requires = "then_chat")]
    lora: Option<usize>,
    /// How much adapters count, as a multiple of 1/RANK; twice the rank if not given
    #[arg(long, value_name = "X", requires = "lora")]
    lora_alpha: Option<f64>,
    /// Take this tokenizer.json instead of making one for the text
    #[arg(long, value_name = "FILE", conflicts_with_all = ["resume", "repeat", "vocab"])]
    tokenizer: Option<PathBuf>,
    /// Train a finished run once more in a new directory: same text, choices and schedule, so the same bytes
    #[arg(long, value_name = "RUN", conflicts_with_all = [
        "paths", "resume", "preset", "ShapeArgs", "batch", "accumulate", "precision", "steps", "minutes", "patience",
        "save_every", "seed", "RecipeArgs",
    ])]
    repeat: Option<String>,
    /// Size of the model; chosen by the size of the text and the minutes if not given: nano 1M, tiny 3M, small 10M, base 30M weights
    #[arg(long, value_parser = preset_parser())]
    preset: Option<Preset>,
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    run: RunArgs,
}

impl TrainArgs {
    /// What is asked for; a part of the minutes is kept for the conversations where there are some.
    fn wishes(&self, cpu: &Cpu) -> Result<Wishes> {
        let mut wishes = self.run.wishes(cpu, self.shape.wishes())?;
        wishes.preset = self.preset;
        if let (false, Some(Length::Minutes(minutes))) = (self.then_chat.is_empty(), &mut wishes.length) {
            *minutes *= 1.0 - CHAT_SHARE;
        }
        Ok(wishes)
    }
}

/// Runs the command.
pub(super) fn run(args: TrainArgs) -> Result<Exit> {
    let began = Instant::now();
    let (n_threads, show) = (args.run.n_threads(), args.run.show());
    let run = match (&args.resume, &args.repeat) {
        (Some(name), _) => resume(name)?,
        (None, Some(name)) => repeat(name, &args.run)?,
        (None, None) => begin(&args, began)?,
    };
    let dir = run.dir.path.clone();
    match go(run, began, n_threads, show)? {
        Exit::Done if !args.then_chat.is_empty() => finetune::run(then_chat(args, &dir)),
        exit => Ok(exit),
    }
}

/// The fine-tuning that follows the training of the model in `dir`.
fn then_chat(args: TrainArgs, dir: &Path) -> FinetuneArgs {
    let mut beside = dir.as_os_str().to_owned();
    beside.push("-chat");
    let run = RunArgs {
        out: args.run.out.as_ref().map(|_| beside.into()),
        minutes: args.run.minutes.map(|minutes| CHAT_SHARE * minutes),
        // The rest was asked for the text, and conversations need something else.
        batch: None,
        accumulate: None,
        steps: None,
        recipe: RecipeArgs::default(),
        ..args.run
    };
    let (lora, lora_alpha) = (args.lora, args.lora_alpha);
    FinetuneArgs { model: dir.display().to_string(), data: args.then_chat, lora, lora_alpha, run }
}

/// Trains a run that is ready, with all the words that go with it.
pub(super) fn go(run: Run, began: Instant, n_threads: usize, show: display::Show) -> Result<Exit> {
    // Only now: until here nothing is lost when Ctrl-C simply ends the process.
    let stop = ctrl_c_flag()?;
    let (dir, name) = (run.dir.path.clone(), run.dir.typed_name());
    let mut sample = sampler(run.manifest.config.clone(), run.tokenizer().clone(), run.manifest.seed, n_threads);
    let mut observer = display::observer(show);
    let report = run.train(began, n_threads, &mut *observer, &stop, &mut sample)?;
    drop(observer);
    Ok(conclude(&report, &dir, &name, show))
}

fn resume(name: &str) -> Result<Run> {
    let path = checkpoint::resolve_resume(Some(name), Path::new(RUNS))?;
    Run::resume(&path, &cache_dir()?, prepare_again)
}

fn repeat(name: &str, args: &RunArgs) -> Result<Run> {
    let path = checkpoint::resolve(Some(name), Path::new(RUNS))?;
    let repeat = Repeat::of(&path, &cache_dir()?, prepare_again)?;
    for difference in repeat.differences(&Cpu::new(args.n_threads())) {
        display::notice(&format!("the bytes may differ from those of {}: {difference}", path.display()));
    }
    let out = args.directory(repeat.name())?;
    display::say(args.show(), &format!("repeating     {}\ndirectory     {}\n", path.display(), out.display()));
    repeat.begin(&out)
}

/// Reads the text of a run anew where the cache has lost it; it must still be the same text.
pub(super) fn prepare_again(report: &CorpusReport, tokenizer: &Tokenizer) -> Result<Prepared> {
    let paths: Vec<PathBuf> = report.files.iter().map(|file| PathBuf::from(&file.path)).collect();
    let corpus = Corpus::scan(&paths, &mut |_| {}).context("reading the text of this run again")?;
    ensure!(
        corpus.report().content_hash == report.content_hash,
        "the text of this run has changed since it began: train anew, or put the old files back"
    );
    prepare(&corpus, tokenizer, &cache_dir()?, &mut |_| {})
}

fn begin(args: &TrainArgs, began: Instant) -> Result<Run> {
    let show = args.run.show();
    let corpus = read(&args.paths, show)?;
    let report = corpus.report();
    let mut notices = Vec::new();
    let tokenizer = match &args.tokenizer {
        Some(path) => Tokenizer::load(path)?,
        None => {
            let vocab_size = args.shape.vocab.unwrap_or_else(|| vocab_size_for(report.n_train_bytes));
            let bar = ByteProgress::new(show, "tokenizer", Some(report.n_train_bytes));
            tokenizer_for(&corpus, vocab_size, &cache_dir()?, &mut notices, &mut |n| bar.add(n))?
        }
    };
    notices.iter().for_each(|notice| display::notice(notice));
    let text = encode(&corpus, &tokenizer, show)?;
    let cpu = Cpu::new(args.run.n_threads());
    let wishes = args.wishes(&cpu)?;
    let baselines = baselines::of_text(&text, &tokenizer);
    let facts = facts(report, &tokenizer, &text);
    let token_bytes = text_bytes(&tokenizer, tokenizer.vocab_size());
    let here = Text { train: &text.train, valid: &text.valid, token_bytes: &token_bytes, turns: None };
    let spent_s = began.elapsed().as_secs_f64();
    let (plan, choice) = planner::choose(&wishes, facts, spent_s, &mut Here { cpu: &cpu, text: here })?;
    // Now, and not when the first model is done.
    finetune::adapters(args.lora, args.lora_alpha).map_or(Ok(()), |lora| lora.validate_for(&plan.config))?;
    let path = args.run.directory(&corpus.name())?;
    display::say(show, &introduce(&plan, &choice, &baselines, &path));
    Run::begin(&path, Start { plan, choice, baselines, base: None }, report, tokenizer, text)
}
