//! From the name of a model to one that is ready to write, shared by `complete` and `chat`.

use std::path::Path;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::n_threads;
use super::recipe::Switch;
use crate::checkpoint::{self, Drafts, OpenOptions, Opened, RUNS, Which};
use crate::inference::CacheType;

/// How a model is run.
#[derive(Args, Debug)]
pub(super) struct LoadingArgs {
    /// Which weights of a model directory to run
    #[arg(long, value_name = "WHICH", default_value = "fastest")]
    weights: Weights,
    /// How what was read is remembered: 8 bits take half the memory of 16
    #[arg(long, value_name = "TYPE", default_value = "f16")]
    cache: Cache,
    /// Guess what was said before to be said again, and check the guess in one pass: the same text, sooner where it
    /// repeats itself; on for models above 32 MB if not given
    #[arg(long, value_enum, value_name = "on|off", hide_possible_values = true)]
    draft: Option<Switch>,
    /// Threads to compute with; all the machine has if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Weights {
    /// The quantized copy that training leaves, where there is one
    Fastest,
    /// Those that were trained, unchanged
    Full,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Cache {
    /// 32 bits a number
    F32,
    /// 16 bits
    F16,
    /// 8 bits, with scales
    Q8,
}

impl LoadingArgs {
    /// Opens the model that `name` means (see [`checkpoint::find`]).
    pub(super) fn open(&self, name: Option<&str>) -> Result<Opened> {
        self.open_for(name, 1)
    }

    /// The same for `n_sequences` texts that are written together.
    pub(super) fn open_for(&self, name: Option<&str>, n_sequences: usize) -> Result<Opened> {
        let which = match self.weights {
            Weights::Fastest => Which::Fastest,
            Weights::Full => Which::Full,
        };
        let cache = match self.cache {
            Cache::F32 => CacheType::F32,
            Cache::F16 => CacheType::F16,
            Cache::Q8 => CacheType::Q8,
        };
        let drafts = match self.draft {
            None => Drafts::WhereFaster,
            Some(Switch::On) => Drafts::Always,
            Some(Switch::Off) => Drafts::Never,
        };
        let options = OpenOptions { which, cache, n_sequences, drafts, ..OpenOptions::new(n_threads(self.threads)) };
        checkpoint::open(name, Path::new(RUNS), options)
    }
}
