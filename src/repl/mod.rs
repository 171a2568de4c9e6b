//! The chat: lines of a person in, answers of a model out.
//!
//! The loop knows neither the terminal nor rustyline: lines come from any [`Lines`], answers go to one writer and all
//! else (notes, help, errors) to another, so that tests can hold a conversation. What the model says reaches a terminal
//! only through [`visible`].

mod commands;
mod conversation;
mod settings;
mod terminal;

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::generation::text::Outcome;
use crate::generation::{PromptTooLong, Sampler, StopReason, visible};
use crate::inference::LanguageModel;
use crate::tokenizer::{ChatTemplate, Tokenizer};
use commands::Command;
use conversation::Conversation;

pub use settings::Settings;
pub use terminal::{PipedLines, TerminalLines};

/// What a person may do at the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A line, without its ending.
    Text(String),
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D, or the end of a pipe.
    End,
}

/// Where lines come from.
pub trait Lines {
    /// The next line; an error when none can be read.
    fn next_line(&mut self) -> Result<Line>;
}

/// How the chat speaks.
#[derive(Debug, Clone)]
pub struct Style {
    /// What the notes call the model.
    pub model: String,
    /// A person is typing: greet and remark. Otherwise every line is answered plainly.
    pub interactive: bool,
    /// Answers go to a terminal: control characters are shown instead of obeyed.
    pub to_terminal: bool,
    /// Notes are dimmed.
    pub colour: bool,
}

/// How a chat ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The person left, and every line had its answer.
    Left,
    /// The lines ended, but at least one could not be answered.
    Unanswered,
    /// The reader of the answers is gone.
    ReaderGone,
    /// Ctrl-C while the lines came from a pipe.
    Interrupted,
}

/// How the last answer went.
struct Timing {
    n_generated: usize,
    to_first: Duration,
    whole: Duration,
}

/// A running chat.
pub struct Chat<'a> {
    conversation: Conversation<'a>,
    sampler: Sampler,
    settings: Settings,
    style: Style,
    interrupted: &'a AtomicBool,
    out: &'a mut dyn Write,
    notes: &'a mut dyn Write,
    last: Option<Timing>,
    n_unanswered: usize,
}

impl<'a> Chat<'a> {
    /// A chat with `model`: in turns if `dialogue` (it was trained on them), else as one text that both continue.
    /// Answers go to `out`, all else to `notes`; raising `interrupted` stops an answer. An error for settings out of
    /// range.
    pub fn new(
        model: &'a mut dyn LanguageModel,
        tokenizer: &'a Tokenizer,
        dialogue: bool,
        settings: Settings,
        style: Style,
        interrupted: &'a AtomicBool,
        out: &'a mut dyn Write,
        notes: &'a mut dyn Write,
    ) -> Result<Chat<'a>> {
        let conversation = Conversation::new(model, tokenizer, dialogue)?;
        let sampler = Sampler::new(settings.sampler.clone())?;
        Ok(Chat { conversation, sampler, settings, style, interrupted, out, notes, last: None, n_unanswered: 0 })
    }

    /// The same with turns as `template` writes them; the model ends a turn by one of `end_ids`.
    pub fn with_template(mut self, template: ChatTemplate, end_ids: Vec<u32>) -> Chat<'a> {
        self.conversation = self.conversation.with_template(template, end_ids);
        self
    }

    /// Answers line after line until they end or the person leaves.
    pub fn run(&mut self, lines: &mut dyn Lines) -> Result<End> {
        match self.answer_lines(lines) {
            Err(error) if is_broken_pipe(&error) => Ok(End::ReaderGone),
            end => end,
        }
    }

    fn answer_lines(&mut self, lines: &mut dyn Lines) -> Result<End> {
        self.greet();
        loop {
            match lines.next_line()? {
                Line::End => break,
                Line::Interrupted => self.note("Ctrl-D or /quit leaves"),
                Line::Text(line) if line.starts_with('/') && !line.starts_with("//") => match commands::parse(&line) {
                    Ok(Command::Quit) => break,
                    Ok(command) => self.obey(command),
                    Err(error) => self.error(&error),
                },
                Line::Text(line) => {
                    let text = line.strip_prefix('/').unwrap_or(&line);
                    let outcome = self.take_turn(text)?;
                    if outcome.is_some_and(|o| o.stop == StopReason::Interrupted) && !self.style.interactive {
                        return Ok(End::Interrupted);
                    }
                }
            }
        }
        Ok(if self.n_unanswered > 0 && !self.style.interactive { End::Unanswered } else { End::Left })
    }

    fn greet(&mut self) {
        let model = self.style.model.clone();
        if self.style.interactive {
            let n_context = self.conversation.n_context();
            self.note(format_args!(
                "{model}, with a context of {n_context} tokens. /help lists the commands, Ctrl-D leaves."
            ));
        }
        if !self.conversation.is_dialogue() {
            self.note(format_args!(
                "{model} has learned from plain text, not from dialogues: it continues what you write."
            ));
            if self.style.interactive {
                self.note("Enter on an empty line lets it go on.");
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Help => self.note(commands::HELP),
            Command::Reset => {
                self.conversation.reset();
                self.note("a new conversation begins");
            }
            Command::ShowSettings => self.note(self.settings.list()),
            Command::Set { name, value } => match self.set(&name, &value) {
                Ok(()) => self.note(format_args!("{name} is {value}")),
                Err(error) => self.error(&error),
            },
            Command::Stats => self.note(self.stats()),
            Command::Quit => {}
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let changed = self.settings.with(name, value)?;
        self.sampler.set_config(changed.sampler.clone())?;
        self.settings = changed;
        Ok(())
    }

    fn stats(&self) -> String {
        let conversation = &self.conversation;
        let (n_tokens, n_context) = (conversation.n_tokens(), conversation.n_context());
        let mut stats = format!(
            "turns: {}, {n_tokens} of {n_context} tokens of context used, seed {}",
            conversation.n_turns(),
            self.settings.sampler.seed
        );
        if let Some(last) = &self.last {
            // The first token waits for the prompt, so it says nothing about the speed of writing.
            let rest = (last.whole - last.to_first).as_secs_f64().max(1e-9);
            let n_rest = last.n_generated.saturating_sub(1);
            let (to_first, speed) = (last.to_first.as_secs_f64(), n_rest as f64 / rest);
            stats += &format!(
                "\nlast answer: {} tokens, the first after {to_first:.2} s, then {speed:.0} tokens/s",
                last.n_generated
            );
        }
        stats
    }

    /// One turn of each; `None` if there was nothing to answer or no room for it (which is said).
    fn take_turn(&mut self, text: &str) -> Result<Option<Outcome>> {
        let goes_on = self.style.interactive && !self.conversation.is_dialogue();
        if text.trim().is_empty() && !goes_on {
            return Ok(None);
        }
        if let Err(error) = self.conversation.say(if goes_on && text.trim().is_empty() { "" } else { text }) {
            let Some(PromptTooLong { n_prompt, n_context }) = error.downcast_ref() else { return Err(error) };
            self.n_unanswered += 1;
            let words = format!(
                "with this the conversation has {n_prompt} tokens, but the model's context is {n_context}: it was not \
                 added; write less, or begin a new conversation with /reset"
            );
            self.error(&words);
            return Ok(None);
        }
        let outcome = self.stream_answer()?;
        self.remark(outcome);
        Ok(Some(outcome))
    }

    fn stream_answer(&mut self) -> Result<Outcome> {
        if self.style.interactive {
            self.interrupted.store(false, Ordering::Relaxed); // an old Ctrl-C must not stop a new answer
        }
        let (out, to_terminal) = (&mut *self.out, self.style.to_terminal);
        let start = Instant::now();
        let (mut to_first, mut on_new_line) = (None, false);
        let mut show = |text: &str| {
            to_first.get_or_insert_with(|| start.elapsed());
            on_new_line = text.ends_with('\n');
            let shown = if to_terminal { visible(text) } else { text.into() };
            out.write_all(shown.as_bytes())?;
            Ok(out.flush()?)
        };
        let outcome =
            self.conversation.answer(&mut self.sampler, self.settings.max_tokens, self.interrupted, &mut show)?;
        let whole = start.elapsed();
        self.last = Some(Timing { n_generated: outcome.n_generated, to_first: to_first.unwrap_or(whole), whole });
        if !on_new_line {
            writeln!(self.out)?;
        }
        self.out.flush()?;
        if self.style.interactive {
            self.interrupted.store(false, Ordering::Relaxed);
        }
        Ok(outcome)
    }

    /// Says what the answer's end does not show by itself.
    fn remark(&mut self, outcome: Outcome) {
        let (dialogue, n_context) = (self.conversation.is_dialogue(), self.conversation.n_context());
        let n_generated = outcome.n_generated;
        match outcome.stop {
            StopReason::ContextFull => self.note(format_args!(
                "the context of {n_context} tokens is full, so the answer ends here: /reset begins a new conversation"
            )),
            _ if !self.style.interactive => {}
            StopReason::MaxTokens if dialogue => {
                self.note(format_args!("cut after {n_generated} tokens: /set max-tokens N allows more"));
            }
            StopReason::Interrupted => self.note("stopped"),
            StopReason::EndOfText if !dialogue => {
                self.note("the model ends its text here: what you write next begins another");
            }
            StopReason::EndOfText if n_generated == 0 => self.note("the model has nothing to say"),
            _ => {}
        }
    }

    /// A remark for the person; that it cannot be written is no reason to stop.
    fn note(&mut self, words: impl Display) {
        let (dim, plain) = if self.style.colour { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        let _ = writeln!(self.notes, "{dim}{words}{plain}").and_then(|()| self.notes.flush());
    }

    fn error(&mut self, words: &dyn Display) {
        let words = words.to_string();
        self.note(format_args!("error: {}", visible(&words)));
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::generation::SamplerConfig;
    use crate::generation::mock::{Mock, tokenizer};

    /// What a person does, one after the other.
    struct Script(std::vec::IntoIter<Line>);

    impl Lines for Script {
        fn next_line(&mut self) -> Result<Line> {
            Ok(self.0.next().unwrap_or(Line::End))
        }
    }

    fn script(lines: &[&str]) -> Script {
        Script(lines.iter().map(|line| Line::Text(line.to_string())).collect::<Vec<_>>().into_iter())
    }

    /// Answers every question with `text`.
    fn speaker(tokenizer: &Tokenizer, n_context: usize, text: &str) -> Mock {
        let header = tokenizer.render_chat(&[], true).unwrap();
        let ids = [tokenizer.encode(text).unwrap(), vec![tokenizer.im_end().unwrap()]].concat();
        Mock::new(tokenizer.vocab_size(), n_context, move |fed| {
            let start = fed
                .windows(header.len())
                .rposition(|window| window == header)
                .map_or(fed.len(), |at| at + header.len());
            ids.get(fed.len() - start).copied().unwrap_or(ids[0])
        })
    }

    struct Setting {
        interactive: bool,
        dialogue: bool,
        n_context: usize,
        says: &'static str,
    }

    const PERSON: Setting = Setting { interactive: true, dialogue: true, n_context: 400, says: "ok" };
    const PIPE: Setting = Setting { interactive: false, ..PERSON };

    /// Answers, notes and end of a chat.
    fn chat(setting: Setting, mut lines: impl Lines) -> (String, String, End) {
        let tokenizer = tokenizer();
        let mut model = speaker(&tokenizer, setting.n_context, setting.says);
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let settings =
            Settings { sampler: SamplerConfig { temperature: 0.0, ..SamplerConfig::default() }, max_tokens: 8 };
        let interactive = setting.interactive;
        let style = Style { model: "mock".into(), interactive, to_terminal: interactive, colour: false };
        let interrupted = AtomicBool::new(false);
        let mut chat =
            Chat::new(&mut model, &tokenizer, setting.dialogue, settings, style, &interrupted, &mut out, &mut notes)
                .unwrap();
        let end = chat.run(&mut lines).unwrap();
        (String::from_utf8(out).unwrap(), String::from_utf8(notes).unwrap(), end)
    }

    #[test]
    fn lines_from_a_pipe_are_answered_plainly() {
        let (out, notes, end) = chat(PIPE, script(&["hello", "", "again"]));
        assert_eq!((out.as_str(), notes.as_str(), end), ("ok\nok\n", "", End::Left));
    }

    #[test]
    fn a_person_is_greeted_and_may_leave_by_a_command() {
        let (out, notes, end) = chat(PERSON, script(&["hello", "/quit", "unheard"]));
        assert_eq!((out.as_str(), end), ("ok\n", End::Left));
        assert!(notes.contains("mock, with a context of 400 tokens. /help lists"), "{notes}");
    }

    #[test]
    fn commands_answer_on_the_notes_and_never_on_the_output() {
        let lines =
            ["/help", "/set", "/set temperature 0.5", "/set top-p 7", "/stats", "/reset", "/helo", "//literally"];
        let (out, notes, _) = chat(PIPE, script(&lines));
        assert_eq!(out, "ok\n");
        for words in [
            "/quit              leave",
            "max-tokens         8",
            "temperature is 0.5",
            "top-p is 7, but must be above 0 and at most 1",
            "turns: 0, 0 of 400 tokens",
            "a new conversation begins",
            "did you mean /help?",
        ] {
            assert!(notes.contains(words), "{words:?} is missing in {notes}");
        }
    }

    #[test]
    fn a_model_without_dialogues_says_so_once_and_continues_the_text() {
        let setting = Setting { dialogue: false, ..PIPE };
        let (out, notes, _) = chat(setting, script(&["once", "more"]));
        assert_eq!(out, "oooooooo\noooooooo\n");
        assert_eq!(notes.matches("has learned from plain text").count(), 1);
    }

    #[test]
    fn ctrl_c_at_the_prompt_hints_at_ctrl_d_and_stays() {
        let lines = vec![Line::Interrupted, Line::Text("hello".into()), Line::End];
        let (out, notes, _) = chat(PERSON, Script(lines.into_iter()));
        assert_eq!(out, "ok\n");
        assert!(notes.contains("Ctrl-D or /quit leaves"), "{notes}");
    }

    #[test]
    fn a_line_that_does_not_fit_is_refused_and_a_pipe_then_fails() {
        let long = "0".repeat(1000);
        let (out, notes, end) = chat(PIPE, script(&[&long, "short"]));
        assert_eq!((out.as_str(), end), ("ok\n", End::Unanswered));
        assert!(notes.contains("context is 400: it was not added") && notes.contains("/reset"), "{notes}");
        assert_eq!(chat(PERSON, script(&[&long])).2, End::Left);
    }

    #[test]
    fn an_answer_that_fills_the_context_or_is_cut_says_so() {
        let tokenizer = tokenizer();
        let message = crate::tokenizer::Message { role: "user".into(), content: "a".into() };
        let n_context = 1 + tokenizer.render_chat(&[message], true).unwrap().len() + 3;
        let (out, notes, _) = chat(Setting { n_context, says: "0\u{1b}234567890", ..PERSON }, script(&["a"]));
        assert_eq!(out, "0^[2\n");
        assert!(notes.contains(&format!("context of {n_context} tokens is full")), "{notes}");
        let (_, notes, _) = chat(Setting { says: "01234567890", ..PERSON }, script(&["a"]));
        assert!(notes.contains("cut after 8 tokens"), "{notes}");
    }

    /// Raises the flag with its first write, as a person does who has read enough.
    struct Impatient<'a>(&'a AtomicBool, Vec<u8>);

    impl Write for Impatient<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.store(true, Ordering::Relaxed);
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn ctrl_c_stops_the_answer_and_the_chat_goes_on() {
        let tokenizer = tokenizer();
        for (interactive, written, expected) in [(true, "0\n0\n", End::Left), (false, "0\n", End::Interrupted)] {
            let mut model = speaker(&tokenizer, 400, "0123");
            let interrupted = AtomicBool::new(false);
            let (mut out, mut notes) = (Impatient(&interrupted, Vec::new()), Vec::new());
            let settings =
                Settings { sampler: SamplerConfig { temperature: 0.0, ..SamplerConfig::default() }, max_tokens: 8 };
            let style = Style { model: "mock".into(), interactive, to_terminal: false, colour: false };
            let mut chat =
                Chat::new(&mut model, &tokenizer, true, settings, style, &interrupted, &mut out, &mut notes).unwrap();
            let end = chat.run(&mut script(&["hello", "again"])).unwrap();
            assert_eq!((String::from_utf8(out.1).unwrap().as_str(), end), (written, expected));
        }
    }

    /// Nobody reads.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_leaves_ends_the_chat_without_an_error() {
        let tokenizer = tokenizer();
        let mut model = speaker(&tokenizer, 400, "ok");
        let settings = Settings { sampler: SamplerConfig::default(), max_tokens: 8 };
        let style = Style { model: "mock".into(), interactive: false, to_terminal: false, colour: false };
        let (interrupted, mut out, mut notes) = (AtomicBool::new(false), Closed, Vec::new());
        let mut chat =
            Chat::new(&mut model, &tokenizer, true, settings, style, &interrupted, &mut out, &mut notes).unwrap();
        assert_eq!(chat.run(&mut script(&["hello", "again"])).unwrap(), End::ReaderGone);
    }
}
