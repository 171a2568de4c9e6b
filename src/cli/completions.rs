//! `siskin completions`: a script for the shell, which asks siskin itself what could stand at the cursor.
//!
//! So commands, flags, values and the names of models complete, and the script need not know them: it is made anew only when
//! siskin's way of talking to it changes.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use clap::builder::PossibleValuesParser;
use clap::{Args, Command, CommandFactory};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};
use clap_complete::env::Shells;

use crate::checkpoint::RUNS;
use crate::cli::{Cli, Exit};

/// By this variable the script asks; the value is the shell's name.
const VARIABLE: &str = "SISKIN_COMPLETE";

/// Print a script with which a shell completes commands, flags and names of models
#[derive(Args, Debug)]
#[command(after_help = "Add to ~/.bashrc:             source <(siskin completions bash)
Add to ~/.zshrc:              source <(siskin completions zsh)
Add to config.fish:           siskin completions fish | source
Add to $PROFILE (PowerShell): siskin completions powershell | Out-String | Invoke-Expression")]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_parser = PossibleValuesParser::new(["bash", "zsh", "fish", "powershell", "elvish"]))]
    shell: String,
}

/// Runs the command.
pub(super) fn run(args: CompletionsArgs) -> Result<Exit> {
    let shells = Shells::builtins();
    let shell = shells.completer(&args.shell).with_context(|| format!("there is no script for {}", args.shell))?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "siskin", "siskin", "siskin", &mut script)?;
    io::stdout().write_all(&script)?;
    Ok(Exit::Done)
}

/// Answers the script where it asks, and ends the process then.
pub fn answer_shell() {
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

/// The command line, with names of models wherever one is wanted.
fn command() -> Command {
    let names: Vec<String> = Cli::command().get_subcommands().map(|command| command.get_name().to_string()).collect();
    names.into_iter().fold(Cli::command(), |command, name| command.mut_subcommand(name, with_models))
}

fn with_models(command: Command) -> Command {
    command.mut_args(|arg| {
        let wants_model = arg.get_id() == "model" || arg.get_value_names().is_some_and(|names| names == ["MODEL"]);
        if wants_model { arg.add(ArgValueCompleter::new(ModelCompleter)) } else { arg }
    })
}

/// Runs by their names, then files and directories.
struct ModelCompleter;

impl ValueCompleter for ModelCompleter {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        let begun = current.to_string_lossy();
        let runs = run_names(Path::new(RUNS)).into_iter().filter(|name| name.starts_with(&*begun));
        let is_model = |path: &Path| path.is_dir() || path.extension().is_some_and(|extension| extension == "gguf");
        runs.map(CompletionCandidate::new).chain(PathCompleter::any().filter(is_model).complete(current)).collect()
    }
}

/// The names under `runs`, sorted; none where it cannot be read.
fn run_names(runs: &Path) -> Vec<String> {
    let entries = fs::read_dir(runs).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_takes_a_model_completes_its_name() {
        let command = command();
        for name in ["chat", "complete", "info", "eval", "quantize", "export", "finetune", "bench"] {
            let arg =
                command.find_subcommand(name).unwrap().get_arguments().find(|arg| {
                    arg.get_id() == "model" || arg.get_value_names().is_some_and(|names| names == ["MODEL"])
                });
            assert!(arg.is_some_and(|arg| arg.get::<ArgValueCompleter>().is_some()), "siskin {name}");
        }
    }

    #[test]
    fn runs_are_listed_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b", "a"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("note.txt"), "no run").unwrap();
        assert_eq!(run_names(folder.path()), ["a", "b"]);
        assert!(run_names(&folder.path().join("none")).is_empty());
    }
}
