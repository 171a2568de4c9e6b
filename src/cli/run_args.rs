//! What `train` and `finetune` have in common: how a run is made, how long it takes, and where it goes.

use super::display::{self, ByteProgress, Show};
use super::n_threads;
use super::recipe::RecipeArgs;
use super::shape::precision_parser;
use crate::checkpoint::{self, RUNS};
use crate::data::{Corpus, CorpusReport, Prepared, cache_dir, prepare};
use crate::kernels::Cpu;
use crate::tokenizer::Tokenizer;
use crate::training::plan::Wishes;
use crate::training::planner::TextFacts;
use crate::training::precision::PrecisionChoice;
use crate::training::settings::Length;
use anyhow::Result;
use clap::Args;
use std::path::{Path, PathBuf};

/// How a run is made.
#[derive(Args, Debug, Default)]
pub(super) struct RunArgs {
    /// Sequences in a batch
    #[arg(long, value_name = "B")]
    pub(super) batch: Option<usize>,
    /// Batches whose gradients are added up for one step
    #[arg(long, value_name = "N")]
    pub(super) accumulate: Option<usize>,
    /// What matrix products multiply; `auto` takes the fastest that this CPU has, `float` the fastest without 8-bit codes
    #[arg(long, value_parser = precision_parser(), default_value = "auto")]
    pub(super) precision: PrecisionChoice,
    /// End after so many steps; the seed then decides the result (with --minutes also the clock does: see train --repeat)
    #[arg(long, value_name = "N", conflicts_with = "minutes")]
    pub(super) steps: Option<u64>,
    /// End after so many minutes, reading the text and the last evaluation included
    #[arg(long, value_name = "M")]
    pub(super) minutes: Option<f64>,
    /// Stop after so many evaluations (of 25) without a better one; never by default where --minutes is given, else 5
    #[arg(long, value_name = "N")]
    pub(super) patience: Option<u64>,
    /// Seconds between checkpoints: the most that a crash can cost
    #[arg(long, value_name = "S")]
    pub(super) save_every: Option<f64>,
    /// Decides the first weights and the order of the text
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Directory of the new model; under runs/ if not given, with the name of the text, or of the old model and -chat
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

impl RunArgs {
    pub(super) fn show(&self) -> Show {
        if self.quiet { Show::Notices } else { Show::Progress }
    }

    pub(super) fn n_threads(&self) -> usize {
        n_threads(self.threads)
    }

    /// What is asked for here, beside the shape that is asked for elsewhere.
    pub(super) fn wishes(&self, cpu: &Cpu, shape: Wishes) -> Result<Wishes> {
        Ok(Wishes {
            batch: self.batch,
            n_accumulate: self.accumulate,
            lr: self.recipe.lr,
            recipe: self.recipe.wishes(),
            precision: self.precision.resolve(cpu)?,
            length: self.steps.map(Length::Steps).or(self.minutes.map(Length::Minutes)),
            seed: self.seed,
            patience: self.patience,
            save_every_s: self.save_every,
            ..shape
        })
    }

    /// The directory of the new model, which is called `name` where nothing else is asked for.
    pub(super) fn directory(&self, name: &str) -> Result<PathBuf> {
        match &self.out {
            Some(path) => Ok(path.clone()),
            None => checkpoint::new_run_dir(Path::new(RUNS), name),
        }
    }
}

/// Finds and reads the files under `paths`, and says what is in them.
pub(super) fn read(paths: &[PathBuf], show: Show) -> Result<Corpus> {
    let corpus = {
        let bar = ByteProgress::new(show, "reading", None);
        Corpus::scan(paths, &mut |n| bar.add(n))?
    };
    display::say(show, &corpus.report().to_string());
    Ok(corpus)
}

/// Turns a corpus into tokens, or finds them in the cache.
pub(super) fn encode(corpus: &Corpus, tokenizer: &Tokenizer, show: Show) -> Result<Prepared> {
    let bar = ByteProgress::new(show, "encoding", Some(corpus.report().n_bytes));
    prepare(corpus, tokenizer, &cache_dir()?, &mut |n| bar.add(n))
}

/// What the planner wants to know of a text.
pub(super) fn facts(report: &CorpusReport, tokenizer: &Tokenizer, text: &Prepared) -> TextFacts {
    TextFacts {
        vocab_size: tokenizer.vocab_size(),
        n_train_bytes: report.n_train_bytes,
        n_train_tokens: text.train.len(),
    }
}
