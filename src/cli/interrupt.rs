//! Ctrl-C as a flag that work looks at between its steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use signal_hook::consts::SIGINT;
use signal_hook::flag;

use crate::cli::Exit;

/// A flag that Ctrl-C raises. While it stays raised, a second Ctrl-C ends the process with exit code 130, so nobody is
/// locked in by work that does not look; whoever has acted on it may lower it again.
pub(super) fn ctrl_c_flag() -> Result<Arc<AtomicBool>> {
    let raised = Arc::new(AtomicBool::new(false));
    register(&raised, &raised)?;
    Ok(raised)
}

/// Ctrl-C raises `raised`, and ends the process where `deadly` is raised already.
fn register(raised: &Arc<AtomicBool>, deadly: &Arc<AtomicBool>) -> Result<()> {
    // Actions run in the order of registration, so the first Ctrl-C finds the flag still lowered.
    flag::register_conditional_shutdown(SIGINT, Exit::Interrupted as i32, Arc::clone(deadly))
        .and_then(|_| flag::register(SIGINT, Arc::clone(raised)))
        .map(drop)
        .context("setting up Ctrl-C")
}

/// Ctrl-C in a chat: it stops an answer, and never ends the conversation, however often it is pressed. Also while the
/// person is in an editor, where it has a meaning of its own.
pub(super) struct Interrupts {
    /// What Ctrl-C raises.
    pub(super) raised: Arc<AtomicBool>,
    /// Raised while Ctrl-C may end the process; none where that is decided by `raised`.
    pub(super) deadly: Option<Arc<AtomicBool>>,
}

impl Interrupts {
    /// Those of a chat with a person.
    pub(super) fn of_a_chat() -> Result<Interrupts> {
        let (raised, deadly) = (Arc::default(), Arc::default());
        register(&raised, &deadly)?;
        Ok(Interrupts { raised, deadly: Some(deadly) })
    }

    /// Does `work` that does not look at the flag (such as fetching a model), so that Ctrl-C ends the process
    /// meanwhile.
    pub(super) fn deadly_while<T>(&self, work: impl FnOnce() -> T) -> T {
        let set = |value| self.deadly.iter().for_each(|deadly| deadly.store(value, Ordering::Relaxed));
        set(true);
        let done = work();
        set(false);
        done
    }
}
