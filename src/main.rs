//! The program: parse, run, say what went wrong, and leave with the right exit code.

use clap::Parser;
use siskin::cli::{Cli, Exit};
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    siskin::cli::answer_shell();
    let exit = match siskin::cli::run(Cli::parse()) {
        Ok(exit) => exit,
        // `siskin complete | head -1`: the reader has what it wanted. Rust ignores SIGPIPE, so a closed pipe arrives here
        // as an error of some write instead of ending the process.
        Err(error) if is_broken_pipe(&error) => Exit::Done,
        Err(error) => {
            // Not `eprintln!`, which panics where standard error is closed.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            Exit::Failed
        }
    };
    ExitCode::from(exit as u8)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(|e| e.kind() == ErrorKind::BrokenPipe)
}
