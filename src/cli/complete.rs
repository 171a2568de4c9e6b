//! `siskin complete`: continue a prompt, from the arguments or from a pipe.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::checkpoint::Opened;
use crate::cli::Exit;
use crate::cli::interrupt::ctrl_c_flag;
use crate::cli::loading::LoadingArgs;
use crate::cli::sampling::{SamplingArgs, unescape};
use crate::generation::GrammarSource;
use crate::pipe::{self, End, Request, Settings};

/// Continue a text: a prompt in, its continuation out
#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    after_help = "Examples:
  siskin complete \"Once upon a time\"
  git log --oneline | siskin complete -n 60 \"In short:\"
  siskin complete --json --seed 1 --stop \"\\n\" \"The cat\"
  siskin complete --json-schema person.json \"Anna is 12 years old. As JSON: \"
  siskin complete --jsonl < prompts.jsonl > texts.jsonl

Standard output gets the text and nothing else. The prompt is --file, or what a pipe or file gives on standard input, with the
arguments after it; in a loop over lines give `< /dev/null`, or the first turn reads them all. One line ending at the end of
a prompt is not part of it, unless arguments follow.
Exit codes: 0 done (also when the reader of a pipe leaves), 1 failed, 2 wrong usage, 130 interrupted."
)]
pub(super) struct CompleteArgs {
    /// The text to continue; it stands after what standard input or --file gives
    prompt: Vec<String>,
    /// A directory, a .gguf file, a run's name, or hf:owner/name[:file]; the newest run if not given
    #[arg(short, long, value_hint = clap::ValueHint::AnyPath)]
    model: Option<String>,
    /// Read the prompt from this file, and not from standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Most tokens to write
    #[arg(short = 'n', long, value_name = "N", default_value_t = 128)]
    max_tokens: usize,
    /// End before this text; may be given several times (\n, \t and \\ are understood)
    #[arg(long, value_name = "TEXT", value_parser = unescape, allow_hyphen_values = true)]
    #[arg(conflicts_with_all = ["grammar", "json_schema"])]
    stop: Vec<String>,
    /// Write K texts, the first with the seed, the next with the next seed
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// The line between two texts
    #[arg(long, value_name = "LINE", default_value = "---", allow_hyphen_values = true)]
    separator: String,
    /// Write the prompt too, before its continuation
    #[arg(long)]
    echo: bool,
    /// Write one JSON object for each text: text, token counts, stop reason, seed, timings
    #[arg(long)]
    json: bool,
    /// Answer each line of standard input, a JSON string or {"prompt", "id", "max_tokens"}, by one such object, in order
    #[arg(long, conflicts_with_all = ["prompt", "file", "samples", "echo"])]
    jsonl: bool,
    /// Tell for each token how likely the model found it, and the K most likely ones (in JSON)
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(0..=1000))]
    logprobs: Option<u32>,
    /// Tell how likely the model finds the given text, instead of continuing it: log-probability, bits per byte
    #[arg(long, conflicts_with_all = ["samples", "echo", "stop", "grammar", "json_schema"])]
    score: bool,
    /// Tell the tokens: a line for each in place of the text, or a list in the JSON
    #[arg(long)]
    tokens: bool,
    /// Tell standard error how long it took
    #[arg(long)]
    timings: bool,
    /// Write only what the grammar in this file allows (Lark, or GBNF as llama.cpp has it)
    #[arg(long, value_name = "FILE", conflicts_with = "json_schema")]
    grammar: Option<PathBuf>,
    /// Write only JSON that the schema in this file allows
    #[arg(long, value_name = "FILE")]
    json_schema: Option<PathBuf>,
    /// For a prompt longer than the model's context: drop its beginning instead of failing
    #[arg(long, value_name = "SIDE")]
    truncate: Option<Truncate>,
    /// Texts written together, for --jsonl and --samples; fewer where their memory would be too much
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    batch: u16,
    /// No notes on standard error, only errors
    #[arg(short, long, conflicts_with = "timings")]
    quiet: bool,
    #[command(flatten)]
    loading: LoadingArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Truncate {
    /// Keep the end of the prompt
    Front,
}

/// Runs the command.
pub(super) fn run(args: CompleteArgs) -> Result<Exit> {
    if let Some(wrong) = args.wrong_usage() {
        return Ok(usage(&wrong));
    }
    let grammar = args.grammar_source()?;
    let n_together = if args.jsonl && !args.score {
        usize::from(args.batch)
    } else {
        u32::from(args.batch).min(args.samples) as usize
    };
    let opened = args.loading.open_for(args.model.as_deref(), n_together)?;
    let Opened { name, tokenizer, model: mut engine, begin_of_text, end_ids, .. } = opened;
    let settings = args.settings(name, (begin_of_text, end_ids), grammar)?;
    let (mut out, mut stderr, mut silence) = (io::stdout().lock(), io::stderr().lock(), io::sink());
    let notes: &mut dyn Write = if args.quiet { &mut silence } else { &mut stderr };
    let end = if args.jsonl {
        let interrupted = ctrl_c_flag()?;
        let input = Box::new(io::stdin());
        pipe::complete_lines(&mut *engine, &tokenizer, &settings, input, &mut out, &interrupted)?
    } else {
        // Read after the model is found, so that a wrong name is told before anybody types or waits; and before Ctrl-C is
        // caught, so that it ends a wait.
        let request = args.request(settings)?;
        let interrupted = ctrl_c_flag()?;
        pipe::complete(&mut *engine, &tokenizer, &request, &mut out, notes, &interrupted)?
    };
    Ok(match end {
        End::Done | End::ReaderGone => Exit::Done,
        End::Unanswered(n) => {
            let lines = if n == 1 { "line" } else { "lines" };
            let _ = writeln!(stderr, "error: {n} {lines} could not be answered: the objects say why");
            Exit::Failed
        }
        End::Interrupted => Exit::Interrupted,
    })
}

impl CompleteArgs {
    /// What clap cannot know to be wrong.
    fn wrong_usage(&self) -> Option<String> {
        let sampler = match self.sampling.config() {
            Ok(sampler) => sampler,
            Err(error) => return Some(format!("{error:#}")),
        };
        let nothing = self.prompt.is_empty() && self.file.is_none() && !self.jsonl && io::stdin().is_terminal();
        if nothing {
            return Some(
                "there is no prompt: give one, `siskin complete \"Once upon a time\"`, or pipe one in".to_string(),
            );
        }
        if self.logprobs.is_some() && !(self.json || self.jsonl || self.score) {
            return Some("--logprobs is told in JSON: give --json or --jsonl too".to_string());
        }
        if sampler.min_tokens > 0 && (self.grammar.is_some() || self.json_schema.is_some()) {
            return Some("a grammar says where a text ends, so --min-tokens cannot".to_string());
        }
        None
    }

    fn grammar_source(&self) -> Result<Option<GrammarSource>> {
        let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("reading {}", path.display()));
        Ok(match (&self.grammar, &self.json_schema) {
            (Some(path), _) => Some(GrammarSource::of_text(read(path)?)),
            (None, Some(path)) => Some(GrammarSource::JsonSchema(read(path)?)),
            (None, None) => None,
        })
    }

    fn settings(
        &self,
        model: String,
        (begin_of_text, end_ids): (Option<u32>, Vec<u32>),
        grammar: Option<GrammarSource>,
    ) -> Result<Settings> {
        Ok(Settings {
            max_tokens: self.max_tokens,
            sampler: self.sampling.config()?,
            stops: self.stop.clone(),
            grammar,
            scores: self.score,
            n_likely: self.logprobs.map(|n| n as usize),
            with_tokens: self.tokens,
            truncate_front: self.truncate.is_some(),
            model,
            begin_of_text,
            end_ids,
        })
    }

    fn request(&self, settings: Settings) -> Result<Request> {
        let words = self.prompt.join(" ");
        let read = match &self.file {
            Some(path) => {
                let mut file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
                pipe::read_prompt(&mut file, &path.display().to_string())?
            }
            None if io::stdin().is_terminal() => String::new(),
            None => pipe::read_prompt(&mut io::stdin().lock(), "standard input")?,
        };
        Ok(Request {
            prompt: pipe::join_prompt(read, &words),
            settings,
            n_samples: self.samples as usize,
            separator: self.separator.clone(),
            echo: self.echo,
            json: self.json,
            timings: self.timings,
            to_terminal: io::stdout().is_terminal(),
        })
    }
}

/// Says what is wrong with the command line as clap says it.
pub(super) fn usage(message: &str) -> Exit {
    let _ = writeln!(io::stderr(), "error: {message}\n\nFor more information, try '--help'.");
    Exit::Usage
}
