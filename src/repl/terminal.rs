//! Lines from a person at a terminal: rustyline, with a history on disk, several lines in one message, and an editor.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use rustyline::config::{Behavior, ColorMode, CompletionType, Config};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{
    Cmd, ConditionalEventHandler, Editor, Event, EventContext, EventHandler, KeyCode, KeyEvent, Modifiers, RepeatCount,
};

use crate::repl::helper::TypingHelper;
use crate::repl::history::create_private;
use crate::repl::paint::{Ink, Paint};
use crate::repl::{Line, Lines, editor, multiline};

/// Messages kept in the history.
const N_HISTORY: usize = 1000;

const PROMPT: &str = "> ";

/// Stands, unseen, between a backslash and the new line that it began (a word joiner): a backslash at a line's end that
/// was pasted stays what it is.
const CONTINUES: char = '\u{2060}';

/// How a person types.
#[derive(Debug, Clone, Default)]
pub struct Typing {
    /// The file of the history; none is kept without one.
    pub history: Option<PathBuf>,
    /// The prompt is in colour.
    pub colour: bool,
    /// The command of the shell that opens the person's editor.
    pub editor: String,
    /// Names that complete after `/set`.
    pub settings: Vec<String>,
    /// The folder whose folders complete after `/model`.
    pub runs: PathBuf,
}

/// A prompt with editing, completion and history.
pub struct TerminalLines {
    editor: Editor<TypingHelper, DefaultHistory>,
    history: Option<PathBuf>,
    /// Plain, and in colour.
    prompt: (&'static str, String),
    /// The person's editor.
    command: String,
    /// Ctrl-G was pressed.
    wants_editor: Arc<AtomicBool>,
}

impl TerminalLines {
    /// Opens the terminal, and the history (created with its folder if need be). A history that cannot be used is no
    /// error of the chat: a warning goes to `notes` and the chat does without.
    pub fn open(typing: Typing, notes: &mut dyn Write) -> Result<TerminalLines> {
        let colour = typing.colour;
        // The terminal even when the answers go to a file; a space in front keeps a line out of the history, as in
        // bash.
        let config = Config::builder().max_history_size(N_HISTORY).context("setting up the history")?;
        let config = config
            .history_ignore_space(true)
            .behavior(Behavior::PreferTerm)
            .completion_type(CompletionType::List)
            .color_mode(if colour { ColorMode::Enabled } else { ColorMode::Disabled })
            .build();
        let mut editor: Editor<TypingHelper, DefaultHistory> =
            Editor::with_config(config).context("opening the terminal")?;
        editor.set_helper(Some(TypingHelper::new(typing.settings, typing.runs, colour)));
        let history = typing.history.filter(|path| match load_history(&mut editor, path) {
            Ok(()) => true,
            Err(error) => {
                let _ = writeln!(notes, "warning: no history is kept: {error:#}");
                false
            }
        });
        let wants_editor = Arc::new(AtomicBool::new(false));
        bind_keys(&mut editor, &wants_editor);
        let prompt = (PROMPT, Paint::new(colour).paint(Ink::Cyan, PROMPT).into_owned());
        Ok(TerminalLines { editor, history, prompt, command: typing.editor, wants_editor })
    }

    fn remember(&mut self, line: &str) {
        // Written line by line, so that nothing is lost when the terminal is closed. A disk that filled up meanwhile
        // must not end the conversation.
        if let (Ok(true), Some(path)) = (self.editor.add_history_entry(line), &self.history) {
            let _ = self.editor.append_history(path);
        }
    }

    fn typed(&mut self, input: String) -> Line {
        let input = input.replace(&format!("\\{CONTINUES}\n"), "\n");
        if self.wants_editor.swap(false, Ordering::Relaxed) {
            return Line::Edit(input);
        }
        self.remember(&input);
        if let Some(helper) = self.editor.helper_mut() {
            helper.greeted();
        }
        match multiline::is_message(&input) {
            true => Line::Message(multiline::unquoted(&input).to_string()),
            false => Line::Text(input),
        }
    }
}

impl Lines for TerminalLines {
    fn next_line(&mut self) -> Result<Line> {
        loop {
            return match self.editor.readline(&self.prompt) {
                Ok(input) => Ok(self.typed(input)),
                Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
                Err(ReadlineError::Eof) => Ok(Line::End),
                // A key that is no UTF-8: ask again rather than leave.
                Err(ReadlineError::Io(error)) if error.kind() == ErrorKind::InvalidData => continue,
                Err(error) => Err(error).context("reading from the terminal"),
            };
        }
    }

    fn compose(&mut self, draft: &str) -> Result<Option<String>> {
        let text = editor::compose(&self.command, draft)?;
        if let Some(text) = &text {
            self.remember(text);
        }
        Ok(text)
    }
}

fn load_history(editor: &mut Editor<TypingHelper, DefaultHistory>, path: &Path) -> Result<()> {
    create_private(path).with_context(|| format!("opening {}", path.display()))?;
    editor.load_history(path).with_context(|| format!("reading {}", path.display()))
}

fn bind_keys(editor: &mut Editor<TypingHelper, DefaultHistory>, wants_editor: &Arc<AtomicBool>) {
    let ctrl_g = EventHandler::Conditional(Box::new(OpenEditor(Arc::clone(wants_editor))));
    editor.bind_sequence(KeyEvent::ctrl('G'), ctrl_g);
    editor.bind_sequence(KeyEvent(KeyCode::Enter, Modifiers::NONE), EventHandler::Conditional(Box::new(Enter)));
    editor.bind_sequence(KeyEvent(KeyCode::Enter, Modifiers::ALT), EventHandler::Simple(Cmd::Newline));
}

/// Ends the line as it is, for the editor to go on with it.
struct OpenEditor(Arc<AtomicBool>);

impl ConditionalEventHandler for OpenEditor {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, _: &EventContext) -> Option<Cmd> {
        self.0.store(true, Ordering::Relaxed);
        Some(Cmd::AcceptLine)
    }
}

/// Begins a new line where a backslash stands before the cursor at the end of what is typed.
struct Enter;

impl ConditionalEventHandler for Enter {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext) -> Option<Cmd> {
        let continues = context.pos() == context.line().len() && context.line().ends_with('\\');
        continues.then(|| Cmd::Insert(1, format!("{CONTINUES}\n")))
    }
}
