//! `siskin chat`: talk to a model in the terminal, or line by line through a pipe.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};
use clap::Args;
use etcetera::BaseStrategy;

use crate::checkpoint::Opened;
use crate::cli::Exit;
use crate::cli::complete::usage;
use crate::cli::interrupt::ctrl_c_flag;
use crate::cli::loading::LoadingArgs;
use crate::cli::sampling::SamplingArgs;
use crate::repl::{Chat, End, Lines, PipedLines, Settings, Style, TerminalLines};
use crate::tokenizer::{CHATML_TEMPLATE, ChatTemplate, Tokenizer};

/// Talk to a model
#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    after_help = "Ctrl-C stops an answer, Ctrl-D leaves, /help lists the commands. Answers go to standard output, all else to
standard error. Through a pipe (echo hello | siskin chat) every line is answered plainly.

Environment: SISKIN_HISTORY is the file of the history (empty: none is kept); NO_COLOR turns colours off."
)]
pub(super) struct ChatArgs {
    /// A directory, a .gguf file, a run's name, or hf:owner/name[:file]; the newest run if not given
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
    #[command(flatten)]
    loading: LoadingArgs,
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
    let Opened { name, tokenizer, model: mut engine, takes_turns, chat_template, .. } = args.loading.open(model)?;
    let template = template(args.template.as_deref(), chat_template, &tokenizer)?;
    let takes_turns = takes_turns || template.is_some();
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
        Chat::new(&mut *engine, &tokenizer, takes_turns, settings, style, &interrupted, &mut out, &mut notes)?;
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
        // siskin's own is written without a template, which is also proof against marks in what a person types.
        None => of_model.filter(|template| template != CHATML_TEMPLATE),
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
