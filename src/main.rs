//! The program: parse, run, say what went wrong, and leave with the right exit code.

use clap::Parser;
use siskin::cli::{Cli, Exit};
use siskin::generation::text::reader_has_gone;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    siskin::cli::answer_shell();
    let exit = match siskin::cli::run(Cli::parse()) {
        Ok(exit) => exit,
        Err(error) if reader_has_gone(&error) => Exit::Done,
        Err(error) => {
            // Not `eprintln!`, which panics where standard error is closed.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            Exit::Failed
        }
    };
    ExitCode::from(exit as u8)
}
