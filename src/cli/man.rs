//! `siskin man`: the manual pages, made of what `--help` says.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use crate::cli::{Cli, Exit};

/// Print a manual page: `siskin man | man -l -`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siskin man complete | man -l -
  siskin man --dir ~/.local/share/man/man1       all pages, for `man siskin` and `man siskin-complete`")]
pub(super) struct ManArgs {
    /// The page of this command; of siskin itself if not given
    command: Option<String>,
    /// Write the pages of all commands into this directory
    #[arg(long, value_name = "DIR", conflicts_with = "command", value_hint = clap::ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: ManArgs) -> Result<Exit> {
    let mut siskin = Cli::command();
    siskin.build(); // names the pages of commands siskin-complete and so on
    match args.dir {
        Some(dir) => {
            fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
            clap_mangen::generate_to(siskin, &dir).with_context(|| format!("writing to {}", dir.display()))?;
        }
        None => {
            let Some(command) = page(&siskin, args.command.as_deref()) else {
                let names: Vec<&str> = siskin.get_subcommands().map(Command::get_name).collect();
                let words =
                    format!("there is no command {}: there are {}", args.command.unwrap_or_default(), names.join(", "));
                return Ok(super::complete::usage(&words));
            };
            let mut text = Vec::new();
            Man::new(command.clone()).render(&mut text)?;
            io::stdout().write_all(&text)?;
        }
    }
    Ok(Exit::Done)
}

fn page<'c>(siskin: &'c Command, name: Option<&str>) -> Option<&'c Command> {
    name.map_or(Some(siskin), |name| siskin.find_subcommand(name))
}
