//! The chat: lines of a person in, answers of a model out.
//!
//! The loop knows neither the terminal nor rustyline: lines come from any [`Lines`], answers go to one writer and all
//! else (notes, help, errors) to another, so that tests can hold a conversation. What the model says reaches a terminal
//! only through [`visible`].
//!
//! | file | owns |
//! |---|---|
//! | `conversation` | turns, and the ids that the model reads of them |
//! | `commands`, `obey` | what a line with a slash means, and doing it |
//! | `terminal`, `helper`, `multiline`, `editor`, `history`, `hush` | a person who types |
//! | `piped` | lines without a person |
//! | `paint`, `wrap` | colours, and lines that fit the window |
//! | `why`, `source`, `transcript` | what `/why`, `/source`, `/save` and `/load` know |

mod commands;
mod conversation;
mod editor;
mod helper;
mod history;
mod hush;
mod multiline;
mod obey;
mod paint;
mod piped;
mod settings;
mod source;
mod terminal;
#[cfg(test)]
mod tests;
mod transcript;
mod why;
mod wrap;

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use unicode_width::UnicodeWidthStr;

use crate::generation::text::reader_has_gone;
use crate::generation::{Sampler, StopReason, visible};
use crate::inference::LanguageModel;
use crate::tokenizer::{ChatTemplate, Message, Tokenizer};
use commands::{Command, wrapped};
use conversation::{Answered, Conversation, too_long};
use hush::Hush;
use obey::Next;
use paint::{Ink, Paint};
use source::Source;
use wrap::Wrap;

pub use conversation::ContextPolicy;
pub use piped::{OneLine, PipedLines};
pub use settings::Settings;
pub use terminal::{TerminalLines, Typing};

/// What a person may do at the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A line, without its ending; one that begins with a slash is a command.
    Text(String),
    /// A message, whatever it begins with.
    Message(String),
    /// The person wants to go on with this in an editor.
    Edit(String),
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D, or the end of a pipe.
    End,
}

/// Where lines come from.
pub trait Lines {
    /// The next line; an error when none can be read.
    fn next_line(&mut self) -> Result<Line>;
    /// A message that the person writes in an editor, which begins with `draft`; `None` if nothing is to be sent. An
    /// error is for the person to read, and the chat goes on.
    fn compose(&mut self, draft: &str) -> Result<Option<String>>;
}

/// A model to talk to.
pub struct Partner<'a> {
    /// What the notes call it.
    pub name: String,
    /// The network.
    pub model: &'a mut dyn LanguageModel,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// It was trained on dialogues: without a template, turns are written in ChatML.
    pub takes_turns: bool,
    /// How turns are written, where it is not in siskin's own way.
    pub template: Option<ChatTemplate>,
    /// Ids at which it stops.
    pub end_ids: Vec<u32>,
    /// The directory that says what text it learned from.
    pub folder: Option<PathBuf>,
}

/// How the chat speaks.
#[derive(Debug, Clone)]
pub struct Style {
    /// A person is typing: greet and remark. Otherwise every line is answered plainly.
    pub interactive: bool,
    /// Answers go to a terminal: control characters are shown instead of obeyed.
    pub to_terminal: bool,
    /// Lines of answers end between words.
    pub wrap: bool,
    /// Notes are in colour.
    pub colour: bool,
    /// Columns of the window, which may change from one moment to the next.
    pub columns: fn() -> usize,
    /// What happens when the context is full.
    pub policy: ContextPolicy,
    /// The person's home, which is `~` in the names of files.
    pub home: Option<PathBuf>,
}

/// How a chat ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The person left, and every line had its answer.
    Left,
    /// The lines ended, but at least one could not be answered.
    Unanswered,
    /// The reader of the answers is gone.
    ReaderGone,
    /// Ctrl-C while the lines came from a pipe.
    Interrupted,
    /// The person wants to talk to the model of this name. The chat goes on if it is run again.
    Model(String),
}

/// How the last answer went.
struct Timing {
    answered: Answered,
    to_first: Duration,
    whole: Duration,
}

/// A running chat.
pub struct Chat<'a> {
    name: String,
    tokenizer: &'a Tokenizer,
    folder: Option<PathBuf>,
    conversation: Conversation<'a>,
    sampler: Sampler,
    settings: Settings,
    style: Style,
    interrupted: &'a AtomicBool,
    out: &'a mut dyn Write,
    notes: &'a mut dyn Write,
    last: Option<Timing>,
    /// The training text, once it has been asked for.
    source: Option<Source>,
    n_unanswered: usize,
}

impl<'a> Chat<'a> {
    /// A chat with `partner`: in turns if it takes them, else as one text that both continue. Answers go to `out`, all
    /// else to `notes`; raising `interrupted` stops an answer. An error for settings out of range.
    pub fn new(
        partner: Partner<'a>,
        settings: Settings,
        style: Style,
        interrupted: &'a AtomicBool,
        out: &'a mut dyn Write,
        notes: &'a mut dyn Write,
    ) -> Result<Chat<'a>> {
        let Partner { name, model, tokenizer, takes_turns, template, end_ids, folder } = partner;
        let mut conversation = Conversation::new(model, tokenizer, takes_turns, end_ids, style.policy)?;
        if let Some(template) = template {
            conversation = conversation.with_template(template);
        }
        Ok(Chat {
            name,
            tokenizer,
            folder,
            conversation,
            sampler: Sampler::new(settings.sampler.clone())?,
            settings,
            style,
            interrupted,
            out,
            notes,
            last: None,
            source: None,
            n_unanswered: 0,
        })
    }

    /// Says who is there, as a chat begins.
    pub fn greet(&mut self) {
        let (name, n_context) = (self.name.clone(), self.conversation.n_context());
        if self.style.interactive {
            self.note(format_args!(
                "{name}, with a context of {n_context} tokens. /help lists the commands, Ctrl-D leaves."
            ));
        }
        if !self.conversation.is_dialogue() {
            self.note(format_args!(
                "{name} has learned from plain text, not from dialogues: it continues what you write."
            ));
            if self.style.interactive {
                self.note("Enter on an empty line lets it go on.");
            }
        }
    }

    /// Answers line after line until they end or the person leaves.
    pub fn run(&mut self, lines: &mut dyn Lines) -> Result<End> {
        match self.answer_lines(lines) {
            Err(error) if reader_has_gone(&error) => Ok(End::ReaderGone),
            end => end,
        }
    }

    /// What has been said so far, and how it is to be said: what another chat needs to go on with it.
    pub fn said(&self) -> (Vec<Message>, Settings) {
        (self.conversation.messages(), self.settings.clone())
    }

    /// Goes on with what was said to another model. What this one cannot go on with is left out, and said.
    pub fn go_on(&mut self, messages: &[Message]) {
        let name = self.name.clone();
        match self.conversation.load(messages) {
            Ok(()) if messages.is_empty() => self.note(format_args!("the model is {name} now")),
            Ok(()) => self.note(format_args!(
                "the model is {name} now, and the conversation goes on: /regen asks it the last question, \
                 /reset begins anew"
            )),
            Err(_) => self.note(format_args!("the model is {name} now; a new conversation begins")),
        }
        self.note_dropped();
    }

    /// Shows an error in the chat, which goes on.
    pub fn error(&mut self, words: &dyn Display) {
        const LABEL: &str = "error:";
        let words = self.fitted(&format!("{LABEL} {}", visible(&words.to_string())));
        let label = self.paint().paint(Ink::Red, LABEL).into_owned();
        self.show(&words.replacen(LABEL, &label, 1));
    }

    fn answer_lines(&mut self, lines: &mut dyn Lines) -> Result<End> {
        loop {
            let answered = match lines.next_line()? {
                Line::End => break,
                Line::Interrupted => {
                    self.note("Ctrl-D or /quit leaves");
                    None
                }
                Line::Text(line) if commands::is_command(&line) => match commands::parse(&line) {
                    Ok(Command::Edit(draft)) => self.compose(lines, &draft)?,
                    Ok(command) => match self.obey(command)? {
                        Next::Line => None,
                        Next::Answer => self.take_turn_again()?,
                        Next::Model(name) => return Ok(End::Model(name)),
                        Next::Leave => break,
                    },
                    Err(error) => {
                        self.error(&error);
                        None
                    }
                },
                Line::Edit(draft) => self.compose(lines, &draft)?,
                Line::Text(line) => self.take_turn(line.strip_prefix('/').unwrap_or(&line))?,
                Line::Message(message) => self.take_turn(&message)?,
            };
            if answered.is_some_and(|answered| answered.outcome.stop == StopReason::Interrupted)
                && !self.style.interactive
            {
                return Ok(End::Interrupted);
            }
        }
        Ok(if self.n_unanswered > 0 && !self.style.interactive { End::Unanswered } else { End::Left })
    }

    /// A turn whose message is written in an editor, which then stands on the screen as if it had been typed.
    fn compose(&mut self, lines: &mut dyn Lines, draft: &str) -> Result<Option<Answered>> {
        match lines.compose(draft) {
            Ok(Some(message)) => {
                self.note(format_args!("> {}", visible(&message)));
                self.take_turn(&message)
            }
            Ok(None) => {
                self.note("nothing was written, so nothing is sent");
                Ok(None)
            }
            Err(error) => {
                self.error(&format_args!("{error:#}"));
                Ok(None)
            }
        }
    }

    /// One turn of each; `None` if there was nothing to answer or no room for it (which is said).
    fn take_turn(&mut self, text: &str) -> Result<Option<Answered>> {
        let goes_on = self.style.interactive && !self.conversation.is_dialogue();
        if text.trim().is_empty() && !goes_on {
            return Ok(None);
        }
        match self.conversation.say(if goes_on && text.trim().is_empty() { "" } else { text }) {
            Ok(()) => self.take_turn_again(),
            Err(error) => {
                self.n_unanswered += 1;
                self.not_added(&error);
                Ok(None)
            }
        }
    }

    /// The model's turn, after whatever has been said.
    fn take_turn_again(&mut self) -> Result<Option<Answered>> {
        let answered = self.stream_answer()?;
        self.remark(answered);
        Ok(Some(answered))
    }

    /// Why a message or a conversation was not taken up.
    fn not_added(&mut self, error: &anyhow::Error) {
        let Some(too_long) = too_long(error) else { return self.error(&format_args!("{error:#}")) };
        self.error(&format_args!(
            "with this the conversation has {} tokens, but the model's context is {}: it was not added; write less, or \
             begin a new conversation with /reset",
            too_long.n_prompt, too_long.n_context
        ));
    }

    fn stream_answer(&mut self) -> Result<Answered> {
        self.forget_interruption();
        let _hush = self.style.interactive.then(Hush::begin);
        let (out, to_terminal) = (&mut *self.out, self.style.to_terminal);
        let start = Instant::now();
        let (mut to_first, mut on_new_line) = (None, false);
        let mut wrap = self.style.wrap.then(|| Wrap::new(self.style.columns));
        let mut show = |text: &str| {
            to_first.get_or_insert_with(|| start.elapsed());
            on_new_line = text.ends_with('\n');
            let shown = if to_terminal { visible(text) } else { text.into() };
            match &mut wrap {
                Some(wrap) => out.write_all(wrap.push(&shown).as_bytes())?,
                None => out.write_all(shown.as_bytes())?,
            }
            Ok(out.flush()?)
        };
        let answered =
            self.conversation.answer(&mut self.sampler, self.settings.max_tokens, self.interrupted, &mut show)?;
        let whole = start.elapsed();
        if let Some(mut wrap) = wrap {
            self.out.write_all(wrap.finish().as_bytes())?;
        }
        self.last = Some(Timing { answered, to_first: to_first.unwrap_or(whole), whole });
        if !on_new_line {
            writeln!(self.out)?;
        }
        self.out.flush()?;
        self.forget_interruption();
        Ok(answered)
    }

    /// A Ctrl-C of before must not stop what comes now; one that ends a pipe's work must stay.
    fn forget_interruption(&self) {
        if self.style.interactive {
            self.interrupted.store(false, Ordering::Relaxed);
        }
    }

    /// Says what the answer's end does not show by itself.
    fn remark(&mut self, answered: Answered) {
        let (dialogue, n_context) = (self.conversation.is_dialogue(), self.conversation.n_context());
        let n_generated = answered.outcome.n_generated;
        self.note_n_dropped(answered.n_dropped);
        match answered.outcome.stop {
            StopReason::ContextFull => self.note(format_args!(
                "the context of {n_context} tokens is full, so the answer ends here: /reset begins a new conversation"
            )),
            _ if !self.style.interactive => {}
            StopReason::MaxTokens if dialogue => self
                .note(format_args!("cut after {n_generated} tokens: /continue goes on, /set max-tokens N allows more")),
            StopReason::Interrupted if n_generated == 0 => self.note("stopped before the first word: nothing is kept"),
            StopReason::Interrupted => self.note("stopped"),
            StopReason::EndOfText if !dialogue => {
                self.note("the model ends its text here: what you write next begins another");
            }
            StopReason::EndOfText if n_generated == 0 => self.note("the model has nothing to say"),
            _ => {}
        }
    }

    fn note_dropped(&mut self) {
        let n_dropped = self.conversation.take_n_dropped();
        self.note_n_dropped(n_dropped);
    }

    fn note_n_dropped(&mut self, n_dropped: usize) {
        match n_dropped {
            0 => {}
            1 => self.note("the context is full: the oldest turn was forgotten to make room"),
            n => self.note(format_args!("the context is full: the {n} oldest turns were forgotten to make room")),
        }
    }

    /// A remark for the person, in lines that fit the window; that it cannot be written is no reason to stop.
    fn note(&mut self, words: impl Display) {
        let words = self.fitted(&words.to_string());
        let shown = self.paint().paint(Ink::Dim, &words).into_owned();
        self.show(&shown);
    }

    /// `words` in lines that fit the window of a person.
    fn fitted(&self, words: &str) -> String {
        let columns = if self.style.interactive { (self.style.columns)().saturating_sub(1) } else { usize::MAX };
        let fitted = |line: &str| match line.width() <= columns {
            true => vec![line.to_string()],
            false => wrapped(line, columns),
        };
        words.split('\n').flat_map(fitted).collect::<Vec<_>>().join("\n")
    }

    /// Something that was asked for, in colours of its own.
    fn show(&mut self, words: &str) {
        let _ = writeln!(self.notes, "{words}").and_then(|()| self.notes.flush());
    }

    fn paint(&self) -> Paint {
        Paint::new(self.style.colour)
    }
}
