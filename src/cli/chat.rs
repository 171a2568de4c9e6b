//! `siskin chat`: talk to a model in the terminal, or line by line through a pipe.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};
use clap::Args;
use etcetera::BaseStrategy;

use crate::cli::complete::usage;
use crate::cli::interrupt::ctrl_c_flag;
use crate::cli::loading::{Loaded, load};
use crate::cli::sampling::SamplingArgs;
use crate::cli::{Exit, n_threads};
use crate::repl::{Chat, End, Lines, PipedLines, Settings, Style, TerminalLines};
use crate::tokenizer::{ChatTemplate, Tokenizer};

/// Talk to a model
#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    after_help = "Ctrl-C stops an answer, Ctrl-D leaves, /help lists the commands. Answers go to standard output, all else to
standard error. Through a pipe (echo hello | siskin chat) every line is answered plainly.

Environment: SISKIN_HISTORY is the file of the history (empty: none is kept); NO_COLOR turns colours off."
)]
pub(super) struct ChatArgs {
    /// A directory, a run's name, or hf:owner/name[:file]; the newest run if not given
    #[arg(value_name = "MODEL", conflicts_with = "model")]
    name: Option<String>,
    /// The same as MODEL
    #[arg(short, long)]
    model: Option<String>,
    /// Most tokens of one answer; 512, or 128 for a model that continues text, if not given
    #[arg(short = 'n', long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Write turns by the Jinja template in this file, instead of as the model's own files say
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Keep no history of what is typed
    #[arg(long)]
    no_history: bool,
    /// Threads to compute with; all the machine has if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    #[command(flatten)]
    sampling: SamplingArgs,
}

/// Runs the command.
pub(super) fn run(args: ChatArgs) -> Result<Exit> {
    let sampler = match args.sampling.config() {
        Ok(sampler) => sampler,
        Err(error) => return Ok(usage(&format!("{error:#}"))),
    };
    let model = args.name.as_deref().or(args.model.as_deref());
    let Loaded { name, tokenizer, mut engine, trained_on_messages, chat_template } =
        load(model, n_threads(args.threads))?;
    let template = template(args.template.as_deref(), chat_template, &tokenizer)?;
    let takes_turns = trained_on_messages || template.is_some();
    let max_tokens = args.max_tokens.unwrap_or(if takes_turns { 512 } else { 128 });
    let interactive = io::stdin().is_terminal();
    let (to_terminal, notes_to_terminal) = (io::stdout().is_terminal(), io::stderr().is_terminal());
    let colour = may_colour();
    let style = Style { model: name, interactive, to_terminal, colour: colour && notes_to_terminal };

    let interrupted = ctrl_c_flag()?;
    let (mut out, mut notes) = (io::stdout(), io::stderr());
    let mut lines: Box<dyn Lines> = if interactive {
        let history = if args.no_history { None } else { history_path() };
        Box::new(TerminalLines::open(history.as_deref(), colour, &mut notes)?)
    } else {
        Box::new(PipedLines::new(io::stdin().lock()))
    };
    let settings = Settings { sampler, max_tokens };
    let mut chat =
        Chat::new(&mut engine, &tokenizer, trained_on_messages, settings, style, &interrupted, &mut out, &mut notes)?;
    if let Some(template) = template {
        chat = chat.with_template(template, tokenizer.turn_end_ids());
    }
    Ok(match chat.run(&mut *lines)? {
        End::Left | End::ReaderGone => Exit::Done,
        End::Unanswered => Exit::Failed,
        End::Interrupted => Exit::Interrupted,
    })
}

/// The template in the file that was asked for, else that of the model.
fn template(file: Option<&Path>, of_model: Option<String>, tokenizer: &Tokenizer) -> Result<Option<ChatTemplate>> {
    let source = match file {
        Some(path) => Some(fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?),
        None => of_model,
    };
    source.map(|source| ChatTemplate::new(&source, tokenizer)).transpose()
}

/// Whether the person and the terminal want colours (see no-color.org).
fn may_colour() -> bool {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The file of the history: `SISKIN_HISTORY`, else one in the user's data directory; `None` if neither is known.
fn history_path() -> Option<PathBuf> {
    match env::var_os("SISKIN_HISTORY") {
        Some(path) if path.is_empty() => None,
        Some(path) => Some(PathBuf::from(path)),
        None => Some(etcetera::choose_base_strategy().ok()?.data_dir().join("siskin").join("history")),
    }
}
