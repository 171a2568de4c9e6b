//! `siskin pull`: bring a model from the Hugging Face Hub onto this disk.

use super::{Exit, display};
use crate::checkpoint::{self, Fetched};
use crate::hub::HubName;
use crate::words;
use anyhow::Result;
use clap::Args;
use std::io::Write;

/// Fetch a model from the Hugging Face Hub, or bring one up to date
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siskin pull hf:Qwen/Qwen3-0.6B                       a model directory
  siskin pull hf:bartowski/SmolLM2-135M-Instruct-GGUF  lists the GGUF files and recommends one
  siskin pull hf:bartowski/SmolLM2-135M-Instruct-GGUF:SmolLM2-135M-Instruct-Q8_0.gguf
  siskin info $(siskin pull hf:Qwen/Qwen3-0.6B)

Standard output gets the path of what was fetched. Other commands take the same names, and fetch what is not here yet. A \
download that was cut off goes on where it stopped.

Environment: HF_HOME or HF_HUB_CACHE is where files are kept (the cache that the Python tools share); HF_ENDPOINT is \
another hub; HF_TOKEN is for models that need permission; HF_HUB_OFFLINE=1 uses only what is here; \
HF_HUB_DOWNLOAD_TIMEOUT is the seconds after which a silent connection is given up, 60 if not set.")]
pub(super) struct PullArgs {
    /// hf:owner/name, or hf:owner/name:file for one file of it
    #[arg(value_name = "MODEL", value_parser = hub_name)]
    model: HubName,
}

/// Runs the command.
pub(super) fn run(args: PullArgs) -> Result<Exit> {
    let (fetched, n_bytes) = checkpoint::pull(&args.model)?;
    display::notice(&match n_bytes {
        0 => format!("{} is here already", args.model),
        n_bytes => format!("{} is here; {} came over the network", args.model, words::bytes(n_bytes)),
    });
    if matches!(fetched, Fetched::Directory(_)) {
        display::notice(&format!("try:   siskin chat {}", args.model));
    }
    writeln!(std::io::stdout().lock(), "{}", fetched.path().display())?;
    Ok(Exit::Done)
}

fn hub_name(text: &str) -> Result<HubName, String> {
    let hint = || format!("a name on the hub begins with hf:, as in hf:{}", text.escape_debug());
    HubName::parse(text.strip_prefix("hf:").ok_or_else(hint)?).map_err(|error| error.to_string())
}
