//! What a person types while an answer is written waits, unseen, for the next prompt: echoed, it would stand in the answer.

#[cfg(unix)]
use std::io::stdin;

#[cfg(unix)]
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// The terminal without its echo, until this is dropped. Where there is no terminal, nothing.
pub(super) struct Hush {
    #[cfg(unix)]
    before: Termios,
}

impl Hush {
    #[cfg(unix)]
    pub(super) fn begin() -> Option<Hush> {
        let before = tcgetattr(stdin()).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin(), OptionalActions::Now, &silent).ok()?;
        Some(Hush { before })
    }

    #[cfg(not(unix))]
    pub(super) fn begin() -> Option<Hush> {
        None
    }
}

#[cfg(unix)]
impl Drop for Hush {
    fn drop(&mut self) {
        // A terminal that is gone has no echo either.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}
