//! `siskin chat`: talk to a model in the terminal, or line by line through a pipe.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use etcetera::BaseStrategy;

use crate::checkpoint::{Opened, RUNS};
use crate::cli::Exit;
use crate::cli::complete::usage;
use crate::cli::interrupt::{Interrupts, ctrl_c_flag};
use crate::cli::loading::LoadingArgs;
use crate::cli::sampling::SamplingArgs;
use crate::repl::{
    Chat, ContextPolicy, End, Lines, OneLine, Partner, PipedLines, Settings, Style, TerminalLines, Typing,
};
use crate::tokenizer::{ChatTemplate, Message};

/// Talk to a model
#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    after_help = "Ctrl-C stops an answer, Ctrl-D leaves, /help lists the commands. Answers go to standard output, all
else to standard error. Through a pipe (echo hello | siskin chat) every line is answered plainly.

Environment: SISKIN_HISTORY is the file of the history (empty: none is kept); VISUAL or EDITOR is what /edit and Ctrl-G
open; NO_COLOR turns colours off."
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
    /// Answer this, and leave
    #[arg(long, value_name = "QUESTION")]
    once: Option<String>,
    /// What to do when the context is full
    #[arg(long, value_name = "POLICY", default_value = "stop")]
    context_policy: WhenFull,
    /// Leave it to the terminal to break the lines of answers (so they are copied whole)
    #[arg(long)]
    no_wrap: bool,
    /// Keep no history of what is typed
    #[arg(long)]
    no_history: bool,
    #[command(flatten)]
    loading: LoadingArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WhenFull {
    /// Say so, and go no further
    Stop,
    /// Forget the oldest turns, and say how many
    Slide,
}

/// Runs the command.
pub(super) fn run(args: ChatArgs) -> Result<Exit> {
    let sampler = match args.sampling.config() {
        Ok(sampler) => sampler,
        Err(error) => return Ok(usage(&format!("{error:#}"))),
    };
    let mut opened = args.loading.open(args.name.as_deref().or(args.model.as_deref()))?;
    let max_tokens =
        args.max_tokens.unwrap_or(if opened.takes_turns || opened.chat_template.is_some() { 512 } else { 128 });
    let mut settings = Settings { sampler, max_tokens };
    let interactive = args.once.is_none() && io::stdin().is_terminal();
    let style = style(&args, interactive);
    let interrupts =
        if interactive { Interrupts::of_a_chat()? } else { Interrupts { raised: ctrl_c_flag()?, deadly: None } };
    let mut lines = lines(&args, interactive, &settings)?;
    let mut said: Option<Vec<Message>> = None;
    loop {
        let (mut out, mut notes) = (io::stdout(), io::stderr());
        let partner = partner(&mut opened, args.template.as_deref())?;
        let mut chat = Chat::new(partner, settings.clone(), style.clone(), &interrupts.raised, &mut out, &mut notes)?;
        match said {
            Some(messages) => chat.go_on(&messages),
            None => chat.greet(),
        }
        let next = loop {
            match chat.run(&mut *lines)? {
                End::Left | End::ReaderGone => return Ok(Exit::Done),
                End::Unanswered => return Ok(Exit::Failed),
                End::Interrupted => return Ok(Exit::Interrupted),
                End::Model(name) => match interrupts.deadly_while(|| args.loading.open(Some(&name))) {
                    Ok(next) => break next,
                    Err(error) => chat.error(&format_args!("{error:#}")),
                },
            }
        };
        let (messages, so_far) = chat.said();
        drop(chat);
        (said, settings) = (Some(messages), so_far);
        opened = next;
    }
}

/// The model, as the chat wants it.
fn partner<'a>(opened: &'a mut Opened, template_file: Option<&Path>) -> Result<Partner<'a>> {
    let template = template(template_file, opened)?;
    Ok(Partner {
        name: opened.name.clone(),
        model: &mut *opened.model,
        tokenizer: &opened.tokenizer,
        takes_turns: opened.takes_turns,
        template,
        end_ids: opened.end_ids.clone(),
        folder: folder(&opened.path),
    })
}

/// The directory of the model at `path`, which may be a file within it; `None` for the one inside the program.
fn folder(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.to_path_buf());
    }
    let parent = path.parent().filter(|_| path.is_file())?;
    Some(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_path_buf() })
}

fn style(args: &ChatArgs, interactive: bool) -> Style {
    let policy = match args.context_policy {
        WhenFull::Stop => ContextPolicy::Stop,
        WhenFull::Slide => ContextPolicy::Slide,
    };
    let to_terminal = io::stdout().is_terminal();
    Style {
        interactive,
        to_terminal,
        wrap: to_terminal && !args.no_wrap,
        colour: may_colour() && io::stderr().is_terminal(),
        columns,
        policy,
        home: etcetera::home_dir().ok(),
    }
}

/// Where the lines come from: the command line, a person, or a pipe.
fn lines(args: &ChatArgs, interactive: bool, settings: &Settings) -> Result<Box<dyn Lines>> {
    if let Some(question) = &args.once {
        return Ok(Box::new(OneLine::new(question.clone())));
    }
    if !interactive {
        return Ok(Box::new(PipedLines::new(io::stdin().lock())));
    }
    let typing = Typing {
        history: if args.no_history { None } else { history_path() },
        colour: may_colour(),
        editor: editor(),
        settings: settings.names(),
        runs: PathBuf::from(RUNS),
    };
    Ok(Box::new(TerminalLines::open(typing, &mut io::stderr())?))
}

/// The person's editor: `VISUAL`, else `EDITOR`, else what the system surely has.
fn editor() -> String {
    let named =
        ["VISUAL", "EDITOR"].into_iter().filter_map(|name| env::var(name).ok()).find(|name| !name.trim().is_empty());
    named.unwrap_or_else(|| if cfg!(windows) { "notepad" } else { "vi" }.to_string())
}

/// Columns of the window; as many as a window mostly has, where there is none.
fn columns() -> usize {
    terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| usize::from(width.0))
}

/// The template in the file that was asked for, else that of the model.
fn template(file: Option<&Path>, opened: &Opened) -> Result<Option<ChatTemplate>> {
    let Some(path) = file else { return opened.foreign_template() };
    let source = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    ChatTemplate::new(&source, &opened.tokenizer).map(Some)
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
