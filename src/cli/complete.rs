//! `siskin complete`: continue a prompt, from the arguments or from a pipe.

use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::checkpoint::Opened;
use crate::cli::Exit;
use crate::cli::interrupt::ctrl_c_flag;
use crate::cli::loading::LoadingArgs;
use crate::cli::sampling::SamplingArgs;
use crate::pipe::{self, End, Request};

/// Continue a text: a prompt in, its continuation out
#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    after_help = "Examples:
  siskin complete \"Once upon a time\"
  echo \"Once upon a time\" | siskin complete -n 60 --temperature 0.5
  siskin complete --json --seed 1 --stop \"\\n\" \"The cat\"

Standard output gets the text and nothing else. One line ending at the end of standard input is not part of the prompt.
Exit codes: 0 done (also when the reader of a pipe leaves), 1 failed, 2 wrong usage, 130 interrupted."
)]
pub(super) struct CompleteArgs {
    /// The text to continue; without it, standard input is read
    prompt: Vec<String>,
    /// A directory, a .gguf file, a run's name, or hf:owner/name[:file]; the newest run if not given
    #[arg(short, long)]
    model: Option<String>,
    /// Most tokens to write
    #[arg(short = 'n', long, value_name = "N", default_value_t = 128)]
    max_tokens: usize,
    /// End before this text; may be given several times (\n, \t and \\ are understood)
    #[arg(long, value_name = "TEXT", value_parser = unescape)]
    stop: Vec<String>,
    /// Write the prompt too, before its continuation
    #[arg(long)]
    echo: bool,
    /// Write one JSON object at the end: text, token counts, stop reason, seed, timings
    #[arg(long)]
    json: bool,
    /// For a prompt longer than the model's context: drop its beginning instead of failing
    #[arg(long, value_name = "SIDE")]
    truncate: Option<Truncate>,
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

/// Shells pass a newline in quotes only with effort, and a newline is the commonest stop.
fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        plain.push(match c {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('\\') => '\\',
                other => {
                    return Err(format!(
                        "\\{} is not known: use \\n, \\t or \\\\",
                        other.map_or(String::new(), String::from)
                    ));
                }
            },
            c => c,
        });
    }
    if plain.is_empty() { Err("a stop must not be empty".to_string()) } else { Ok(plain) }
}

/// Runs the command.
pub(super) fn run(args: CompleteArgs) -> Result<Exit> {
    let sampler = match args.sampling.config() {
        Ok(sampler) => sampler,
        Err(error) => return Ok(usage(&format!("{error:#}"))),
    };
    if args.prompt.is_empty() && io::stdin().is_terminal() {
        return Ok(usage("there is no prompt: give one, `siskin complete \"Once upon a time\"`, or pipe one in"));
    }
    let opened = args.loading.open(args.model.as_deref())?;
    let Opened { name, tokenizer, model: mut engine, begin_of_text, end_ids, .. } = opened;
    // Read after the model is found, so that a wrong name is told before anybody types or waits.
    let prompt =
        if args.prompt.is_empty() { pipe::read_prompt(&mut io::stdin().lock())? } else { args.prompt.join(" ") };
    let request = Request {
        prompt,
        max_tokens: args.max_tokens,
        sampler,
        stops: args.stop,
        echo: args.echo,
        json: args.json,
        truncate_front: args.truncate.is_some(),
        model: name,
        begin_of_text,
        end_ids,
        to_terminal: io::stdout().is_terminal(),
    };
    let interrupted = ctrl_c_flag()?;
    let (mut out, mut notes) = (io::stdout().lock(), io::stderr().lock());
    Ok(match pipe::complete(&mut *engine, &tokenizer, &request, &mut out, &mut notes, &interrupted)? {
        End::Done | End::ReaderGone => Exit::Done,
        End::Interrupted => Exit::Interrupted,
    })
}

/// Says what is wrong with the command line as clap says it.
pub(super) fn usage(message: &str) -> Exit {
    let _ = writeln!(io::stderr(), "error: {message}\n\nFor more information, try '--help'.");
    Exit::Usage
}
