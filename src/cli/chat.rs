//! `siskin chat`: talk to a model in the terminal, or line by line through a pipe.

use std::env;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use etcetera::BaseStrategy;

use crate::checkpoint::Opened;
use crate::cli::Exit;
use crate::cli::complete::usage;
use crate::cli::interrupt::ctrl_c_flag;
use crate::cli::loading::LoadingArgs;
use crate::cli::sampling::SamplingArgs;
use crate::repl::{Chat, End, Lines, PipedLines, Settings, Style, TerminalLines};

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
    let Opened { name, tokenizer, model: mut engine, takes_turns, .. } = args.loading.open(model)?;
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
    Ok(match chat.run(&mut *lines)? {
        End::Left | End::ReaderGone => Exit::Done,
        End::Unanswered => Exit::Failed,
        End::Interrupted => Exit::Interrupted,
    })
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
