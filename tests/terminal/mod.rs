//! A pseudo-terminal with a program in it: keys go in, and what stands on the screen is read as a person sees it.

use std::io::{Read, Write};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};
use vt100::{Parser, Screen};

/// Far more than anything takes on a busy machine: what comes later never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program in a window.
pub(crate) struct Terminal {
    pty: Arc<Pty>,
    child: Child,
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

struct Seen {
    parser: Parser,
    bytes: Vec<u8>,
    closed: bool,
}

impl Terminal {
    /// Starts `command` in a window of so many rows and columns.
    pub(crate) fn start(command: Command, rows: u16, columns: u16) -> Terminal {
        let (pty, pts) = open().expect("a pseudo-terminal");
        pty.resize(Size::new(rows, columns)).expect("a size");
        let child = command.env("TERM", "xterm-256color").spawn(pts).expect("the program starts");
        let (rows, columns) = (rows.try_into().unwrap(), columns.try_into().unwrap());
        let parser = Parser::new(rows, columns, 0);
        let seen = Arc::new((Mutex::new(Seen { parser, bytes: Vec::new(), closed: false }), Condvar::new()));
        let pty = Arc::new(pty);
        let (reading, watched) = (Arc::clone(&pty), Arc::clone(&seen));
        std::thread::spawn(move || read(&reading, &watched));
        Terminal { pty, child, seen }
    }

    /// Presses keys, as the bytes that a terminal sends for them.
    pub(crate) fn press(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).expect("the program has a terminal");
    }

    /// Waits until the screen is as `wanted`; `what` says in words what that is.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, wanted: impl Fn(&Screen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let (lock, changed) = &*self.seen;
        let mut seen = lock.lock().unwrap_or_else(PoisonError::into_inner);
        while !wanted(seen.parser.screen()) {
            let left = deadline.saturating_duration_since(Instant::now());
            let contents = || seen.parser.screen().contents();
            assert!(!seen.closed, "the program ended before {what}; the screen was\n{}", contents());
            assert!(!left.is_zero(), "waited in vain until {what}; the screen is\n{}", contents());
            seen = changed.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until `text` stands on the screen.
    #[track_caller]
    pub(crate) fn sees(&self, text: &str) {
        self.until(&format!("the screen shows {text:?}"), |screen| screen.contents().contains(text));
    }

    /// Waits for an empty prompt that takes keys.
    #[track_caller]
    pub(crate) fn at_prompt(&self) {
        self.until("there is an empty prompt", |screen| {
            let line = line_of_cursor(screen);
            // Pasting in brackets is on as long as keys are read one by one, and no longer.
            let empty = line.trim() == ">" || line.starts_with("> /help lists");
            screen.bracketed_paste() && empty && screen.cursor_position().1 == 2
        });
    }

    /// Types `text` at the prompt and presses Enter.
    #[track_caller]
    pub(crate) fn say(&self, text: &str) {
        self.at_prompt();
        self.press(text);
        let end: String = text.chars().skip(text.chars().count().saturating_sub(4)).collect();
        // Not before it is there: an empty prompt after it is then surely another one.
        // (A hint may stand after it.)
        self.until("what was typed is there", |screen| lines_of_cursor(screen).contains(end.trim_end()));
        self.press("\r");
    }

    /// Says `text` and waits until `answer` stands on the screen and the next line may be typed.
    #[track_caller]
    pub(crate) fn say_and_see(&self, text: &str, answer: &str) {
        self.say(text);
        self.sees(answer);
        self.at_prompt();
    }

    /// What stands on the screen.
    pub(crate) fn contents(&self) -> String {
        self.seen.0.lock().unwrap_or_else(PoisonError::into_inner).parser.screen().contents()
    }

    /// What `ask` finds on the screen.
    pub(crate) fn screen<T>(&self, ask: impl Fn(&Screen) -> T) -> T {
        ask(self.seen.0.lock().unwrap_or_else(PoisonError::into_inner).parser.screen())
    }

    /// Every byte that the program has sent.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.seen.0.lock().unwrap_or_else(PoisonError::into_inner).bytes.clone()
    }

    /// Gives the window another size.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let (to_rows, to_columns) = (rows.try_into().unwrap(), columns.try_into().unwrap());
        self.seen.0.lock().unwrap_or_else(PoisonError::into_inner).parser.screen_mut().set_size(to_rows, to_columns);
        self.pty.resize(Size::new(rows, columns)).expect("a size");
    }

    /// Waits until the program has left.
    #[track_caller]
    pub(crate) fn left(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        let (lock, changed) = &*self.seen;
        let mut seen = lock.lock().unwrap_or_else(PoisonError::into_inner);
        while !seen.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it does not leave; the screen is\n{}", seen.parser.screen().contents());
            seen = changed.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(seen);
        self.child.wait().expect("the program was started")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The row in which the cursor stands.
pub(crate) fn line_of_cursor(screen: &Screen) -> String {
    let (row, columns) = (screen.cursor_position().0, screen.size().1.get());
    screen.rows(0, columns).nth(usize::from(row)).unwrap_or_default()
}

/// The same after the row above it, on which a line may have begun that is longer than the window is wide.
fn lines_of_cursor(screen: &Screen) -> String {
    let (row, columns) = (screen.cursor_position().0, screen.size().1.get());
    let above = usize::from(row.saturating_sub(1));
    screen.rows(0, columns).skip(above).take(usize::from(row) - above + 1).collect()
}

fn read(mut pty: &Pty, seen: &(Mutex<Seen>, Condvar)) {
    let mut buffer = [0; 1 << 14];
    loop {
        // Linux says with an error that the last program has closed its side.
        let n = pty.read(&mut buffer).unwrap_or(0);
        let mut now = seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.parser.process(&buffer[..n]);
        now.bytes.extend_from_slice(&buffer[..n]);
        now.closed = n == 0;
        seen.1.notify_all();
        if n == 0 {
            return;
        }
    }
}
