//! Ctrl-C as a flag that work looks at between its steps.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use signal_hook::consts::SIGINT;
use signal_hook::flag;

use crate::cli::Exit;

/// A flag that Ctrl-C raises. While it stays raised, a second Ctrl-C ends the process with exit code 130, so nobody is
/// locked in by work that does not look; whoever has acted on it may lower it again.
pub(super) fn ctrl_c_flag() -> Result<Arc<AtomicBool>> {
    let raised = Arc::new(AtomicBool::new(false));
    // Actions run in the order of registration, so the first Ctrl-C finds the flag still lowered.
    flag::register_conditional_shutdown(SIGINT, Exit::Interrupted as i32, Arc::clone(&raised))
        .and_then(|_| flag::register(SIGINT, Arc::clone(&raised)))
        .context("setting up Ctrl-C")?;
    Ok(raised)
}
