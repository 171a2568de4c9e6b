//! `siskin train`: text in, a model directory out.

use super::{Exit, display, display::ByteProgress, interrupt::ctrl_c_flag, n_threads, samples::sampler};
use crate::checkpoint::{self, RUNS};
use crate::data::{Corpus, CorpusReport, Prepared, cache_dir, prepare, tokenizer_for};
use crate::model::{Config, Preset};
use crate::tokenizer::{Tokenizer, vocab_size_for};
use crate::training::plan::{Plan, Wishes, plan};
use crate::training::run::{Run, RunReport};
use crate::training::settings::Length;
use crate::training::trainer::Ending;
use crate::training::words;
use anyhow::{Context, Result, ensure};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::path::{Path, PathBuf};

/// Learn from your text: files and folders in, a model under runs/ out
#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    after_help = "Examples:
  siskin train my-texts/                  everything chosen by the size of the text
  siskin train diary.txt --minutes 10     more time, usually a better model
  siskin train chats.jsonl --preset small --steps 5000
  siskin train --resume my-texts          go on after Ctrl-C, a crash or a power cut

Ctrl-C finishes the step, saves, and prints the command that resumes."
)]
pub(super) struct TrainArgs {
    /// Files or folders of .txt, .md or .jsonl (also as .gz or .zst), or - for standard input
    #[arg(value_name = "PATH", required_unless_present = "resume")]
    paths: Vec<PathBuf>,
    /// Continue this run (a name under runs/, or a directory)
    #[arg(long, value_name = "NAME", conflicts_with_all = ["paths", "out", "preset", "steps", "minutes", "seed"])]
    resume: Option<String>,
    /// Size of the model; chosen by the size of the text and the minutes if not given: nano 1M, tiny 3M, small 10M, base 30M weights
    #[arg(long, value_parser = preset_parser())]
    preset: Option<Preset>,
    #[command(flatten)]
    shape: ShapeArgs,
    /// Sequences in a batch
    #[arg(long, value_name = "B")]
    batch: Option<usize>,
    /// Batches whose gradients are added up for one step
    #[arg(long, value_name = "N")]
    accumulate: Option<usize>,
    /// Highest learning rate
    #[arg(long)]
    lr: Option<f64>,
    /// Train for so many steps; the result is then a function of the seed
    #[arg(long, value_name = "N", conflicts_with = "minutes")]
    steps: Option<u64>,
    /// Train for so many minutes
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// Stop after so many evaluations (of 25) without a better one
    #[arg(long, value_name = "N")]
    patience: Option<u64>,
    /// Seconds between checkpoints: the most that a crash can cost
    #[arg(long, value_name = "S")]
    save_every: Option<f64>,
    /// Decides the first weights and the order of the text
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Directory of the model; runs/ and the name of the text if not given
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Threads to compute with; all the machine has if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Show warnings only
    #[arg(short, long)]
    quiet: bool,
}

/// Single numbers of a model's shape.
#[derive(Args, Debug, Default)]
pub(super) struct ShapeArgs {
    /// Transformer blocks
    #[arg(long, value_name = "N")]
    layers: Option<usize>,
    /// Width of the model
    #[arg(long, value_name = "N")]
    width: Option<usize>,
    /// Attention heads; must divide the width
    #[arg(long, value_name = "N")]
    heads: Option<usize>,
    /// Key/value heads; must divide the heads
    #[arg(long, value_name = "N")]
    kv_heads: Option<usize>,
    /// Width of the feed-forward layer
    #[arg(long, value_name = "N")]
    ffn: Option<usize>,
    /// Entries of the vocabulary; chosen by the size of the text if not given
    #[arg(long, value_name = "N")]
    pub(super) vocab: Option<usize>,
    /// Longest context in tokens
    #[arg(long, value_name = "N")]
    context: Option<usize>,
    /// Give the output head its own weights instead of the embedding's
    #[arg(long)]
    untied: bool,
}

impl ShapeArgs {
    /// `config` with the numbers that were typed.
    pub(super) fn apply(&self, config: Config) -> Result<Config> {
        self.wishes().reshape(config)
    }

    fn wishes(&self) -> Wishes {
        Wishes {
            n_layer: self.layers,
            n_embd: self.width,
            n_head: self.heads,
            n_kv_head: self.kv_heads,
            n_ffn: self.ffn,
            block_size: self.context,
            untied: self.untied,
            ..Wishes::default()
        }
    }
}

/// Accepts the names of presets.
pub(super) fn preset_parser() -> impl TypedValueParser<Value = Preset> {
    PossibleValuesParser::new(Preset::ALL.map(Preset::name)).map(|name| Preset::named(&name).expect("a listed name"))
}

/// Runs the command.
pub(super) fn run(args: TrainArgs) -> Result<Exit> {
    let stop = ctrl_c_flag()?;
    let show = if args.quiet { display::Show::Notices } else { display::Show::Progress };
    let run = match &args.resume {
        Some(name) => resume(name)?,
        None => begin(&args, show)?,
    };
    let (dir, name) = (run.dir.path.clone(), run_name(&run.dir.path));
    let n_threads = n_threads(args.threads);
    let mut sample = sampler(run.manifest.config.clone(), run.tokenizer().clone(), run.manifest.seed, n_threads);
    let mut observer = display::observer(show);
    let report = run.train(n_threads, &mut *observer, &stop, &mut sample)?;
    drop(observer);
    Ok(conclude(&report, &dir, &name, show))
}

fn resume(name: &str) -> Result<Run> {
    let path = checkpoint::resolve_resume(Some(name), Path::new(RUNS))?;
    Run::resume(&path, &cache_dir()?, prepare_again)
}

/// Reads the text of a run anew where the cache has lost it; it must still be the same text.
fn prepare_again(report: &CorpusReport, tokenizer: &Tokenizer) -> Result<Prepared> {
    let paths: Vec<PathBuf> = report.files.iter().map(|file| PathBuf::from(&file.path)).collect();
    let corpus = Corpus::scan(&paths, &mut |_| {}).context("reading the text of this run again")?;
    ensure!(
        corpus.report().content_hash == report.content_hash,
        "the text of this run has changed since it began: train anew, or put the old files back"
    );
    prepare(&corpus, tokenizer, &cache_dir()?, &mut |_| {})
}

fn begin(args: &TrainArgs, show: display::Show) -> Result<Run> {
    let cache = cache_dir()?;
    let corpus = {
        let bar = ByteProgress::new(show, "reading", None);
        Corpus::scan(&args.paths, &mut |n| bar.add(n))?
    };
    let report = corpus.report();
    display::say(show, &report.to_string());
    let mut notices = Vec::new();
    let vocab_size = args.shape.vocab.unwrap_or_else(|| vocab_size_for(report.n_train_bytes));
    let tokenizer = {
        let bar = ByteProgress::new(show, "tokenizer", Some(report.n_train_bytes));
        tokenizer_for(&corpus, vocab_size, &cache, &mut notices, &mut |n| bar.add(n))?
    };
    notices.iter().for_each(|notice| display::notice(notice));
    let text = {
        let bar = ByteProgress::new(show, "encoding", Some(report.n_bytes));
        prepare(&corpus, &tokenizer, &cache, &mut |n| bar.add(n))?
    };
    let wishes = Wishes {
        preset: args.preset,
        batch: args.batch,
        n_accumulate: args.accumulate,
        lr: args.lr,
        length: args.steps.map(Length::Steps).or(args.minutes.map(Length::Minutes)),
        seed: args.seed,
        patience: args.patience,
        save_every_s: args.save_every,
        ..args.shape.wishes()
    };
    let plan = plan(&wishes, tokenizer.vocab_size(), report.n_train_bytes, text.train.len())?;
    let path = match &args.out {
        Some(path) => path.clone(),
        None => checkpoint::new_run_dir(Path::new(RUNS), &corpus.name())?,
    };
    display::say(show, &introduce(&plan, text.train.len(), &path, wishes.preset.is_none()));
    Run::begin(&path, plan, report, tokenizer, text)
}

fn introduce(plan: &Plan, n_train_tokens: usize, path: &Path, is_chosen: bool) -> String {
    let c = &plan.config;
    let why = if is_chosen { ", chosen by the text and the time" } else { "" };
    let length = match plan.settings.length {
        Length::Steps(n) => format!("{} steps", words::thousands(n)),
        Length::Minutes(m) => words::duration(m * 60.0),
    };
    format!(
        "model      {} ({} weights{why}): {} layers, {} wide, {} heads, vocabulary {}, context {}\n\
         training   {length}, {} tokens a step of {} in the text, seed {}\n\
         directory  {}\n",
        plan.preset.name(),
        words::short_count(c.n_params() as u64),
        c.n_layer,
        c.n_embd,
        c.n_head,
        words::thousands(c.vocab_size as u64),
        c.block_size,
        words::thousands(plan.settings.tokens_per_step(c)),
        words::thousands(n_train_tokens as u64),
        plan.settings.seed,
        path.display(),
    )
}

/// The words at the end, and the exit code.
fn conclude(report: &RunReport, dir: &Path, name: &str, show: display::Show) -> Exit {
    let progress = &report.outcome.progress;
    let spent = format!(
        "{} of training, {} steps, {} tokens seen",
        words::duration(progress.elapsed_s),
        words::thousands(progress.step),
        words::thousands(progress.n_tokens_seen)
    );
    if report.outcome.ending == Ending::Interrupted {
        display::notice(&format!("saved after {spent}. Go on with: siskin train --resume {name}\n"));
        return Exit::Interrupted;
    }
    let mut lines = match report.outcome.ending {
        Ending::Patience => format!("stopped early, since held-out text got no better: {spent}\n"),
        _ => format!("done: {spent}\n"),
    };
    if let Some(found) = &report.outcome.evaluation {
        lines += &format!("held-out bits per byte: {:.3} ± {:.3}", found.bits_per_byte, found.standard_error);
        for (name, bits) in &report.baselines {
            lines += &format!(", {name} {bits:.3}");
        }
        lines += " (less is better)\n";
    }
    lines +=
        &format!("model: {}\ntry:   siskin chat {name}\n       siskin complete -m {name} \"...\"\n", dir.display());
    display::say(show, &lines);
    Exit::Done
}

/// What a person types to name the run: its name if it lies under runs/, else its path.
fn run_name(path: &Path) -> String {
    let is_run = path.parent() == Some(Path::new(RUNS));
    let name = path.file_name().filter(|_| is_run).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| path.display().to_string())
}
