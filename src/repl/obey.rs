//! What each command does.

use anyhow::{Context, Result, anyhow, ensure};

use super::commands::{self, Command, wrapped};
use super::paint::{Ink, cut};
use super::source::{self, Nearest, Source};
use super::transcript::{Transcript, typed_path};
use super::{Chat, Timing, why};
use crate::generation::visible;
use crate::inference::Drafted;
use crate::training::overlap;

/// What comes after a command.
pub(super) enum Next {
    /// The next line.
    Line,
    /// The model's turn.
    Answer,
    /// Another model.
    Model(String),
    /// Nothing any more.
    Leave,
}

impl Chat<'_> {
    /// Does what `command` says; what is wrong with it is told to the person and no error here.
    pub(super) fn obey(&mut self, command: Command) -> Result<Next> {
        let done = match command {
            Command::Quit => return Ok(Next::Leave),
            Command::Model(Some(name)) => return Ok(Next::Model(name)),
            Command::Regen => match self.regen() {
                Ok(()) => return Ok(Next::Answer),
                error => error,
            },
            Command::Continue => match self.must_have_answered() {
                Ok(()) => return Ok(Next::Answer),
                error => error,
            },
            command => self.obey_at_once(command),
        };
        if let Err(error) = done {
            self.not_added(&error);
        }
        Ok(Next::Line)
    }

    fn obey_at_once(&mut self, command: Command) -> Result<()> {
        match command {
            Command::Help => self.note(commands::help((self.style.columns)())),
            Command::System(None) => self.note(self.system_in_words()),
            Command::System(Some(text)) => self.tell(text)?,
            Command::ShowSettings => self.note(self.settings.list()),
            Command::Set { name, value } => {
                self.set(&name, &value)?;
                self.note(format_args!("{name} is {value}"));
            }
            Command::Show => self.note(self.everything()),
            Command::Undo => self.undo()?,
            Command::Save(path) => self.save(&path)?,
            Command::Load(path) => self.load(&path)?,
            Command::Model(_) => {
                let words = format!("the model is {}; /model NAME talks to another", self.name);
                self.note(words);
            }
            Command::Template => self.show_template(),
            Command::Tokens(text) => self.show_tokens(&text)?,
            Command::Why => self.explain()?,
            Command::Source(path) => self.show_source(path.as_deref())?,
            Command::Stats => self.note(self.stats()),
            Command::Reset => {
                self.conversation.reset();
                let kept = if self.conversation.system().is_some() { "; the system message stays" } else { "" };
                self.note(format_args!("a new conversation begins{kept}"));
            }
            // Those that do not end here.
            Command::Quit | Command::Regen | Command::Continue | Command::Edit(_) => {}
        }
        Ok(())
    }

    fn must_have_answered(&self) -> Result<()> {
        ensure!(self.conversation.n_turns() > 0, "nothing has been said yet");
        Ok(())
    }

    fn regen(&mut self) -> Result<()> {
        self.must_have_answered()?;
        self.conversation.begin_answer_anew().map(drop)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let changed = self.settings.with(name, value)?;
        self.sampler.set_config(changed.sampler.clone())?;
        self.settings = changed;
        Ok(())
    }

    fn tell(&mut self, text: String) -> Result<()> {
        let text = Some(text).filter(|text| text != "none");
        let words = if text.is_some() { "the model is told so from now on" } else { "there is no system message now" };
        self.conversation.set_system(text)?;
        self.note(words);
        self.note_dropped();
        Ok(())
    }

    fn system_in_words(&self) -> String {
        match self.conversation.system() {
            Some(text) => format!("system message: {}", visible(text)),
            None => "there is no system message: /system TEXT sets one".to_string(),
        }
    }

    fn undo(&mut self) -> Result<()> {
        let question = self.conversation.undo()?.context("nothing has been said yet")?;
        let first = visible(question.lines().next().unwrap_or_default()).into_owned();
        let taken = format!("taken back: {first}");
        let columns = (self.style.columns)().saturating_sub(1);
        self.note(cut(&taken, columns));
        Ok(())
    }

    fn save(&mut self, path: &str) -> Result<()> {
        let path = typed_path(path, self.style.home.as_deref());
        let transcript = Transcript { messages: self.conversation.messages(), model: Some(self.name.clone()) };
        transcript.save(&path)?;
        let n = transcript.messages.len();
        self.note(format_args!("{n} messages are kept in {}", visible(&path.display().to_string())));
        Ok(())
    }

    fn load(&mut self, path: &str) -> Result<()> {
        let path = typed_path(path, self.style.home.as_deref());
        let transcript = Transcript::load(&path)?;
        self.conversation.load(&transcript.messages)?;
        self.note_dropped();
        let n = transcript.messages.len();
        self.note(format_args!("{n} messages of {}:", visible(&path.display().to_string())));
        if let Some(message) = transcript.messages.last() {
            let last = format!("{}: {}", message.role, message.content);
            self.note(visible(&last));
            if message.role == "user" {
                self.note("/regen answers it");
            }
        }
        Ok(())
    }

    fn show_template(&mut self) {
        match self.conversation.template() {
            Some(template) => {
                let template = visible(template).into_owned();
                self.note(template);
            }
            None => self.note("there is none: this model continues one text, to which you both add"),
        }
    }

    fn show_tokens(&mut self, text: &str) -> Result<()> {
        let ids = self.tokenizer.encode(text)?;
        let names: Vec<String> = ids.iter().map(|&id| format!("{} {id}", why::name_of(id, self.tokenizer))).collect();
        let shown = in_columns(&names, (self.style.columns)());
        self.note(format_args!("{shown}\n{} tokens, {} characters", ids.len(), text.chars().count()));
        Ok(())
    }

    /// Every token of the last answer, with what the model thought of it.
    fn explain(&mut self) -> Result<()> {
        self.must_have_answered()?;
        self.forget_interruption();
        let mut tokens = Vec::new();
        let mut judge = |id: u32, logits: &[f32]| {
            tokens.push(why::judged(id, logits));
            Ok(())
        };
        let whole = self.conversation.replay_answer(self.interrupted, &mut judge)?;
        let rows = why::table(&tokens, self.tokenizer, (self.style.columns)(), self.paint());
        if !rows.is_empty() {
            self.show(&rows.join("\n"));
        }
        if !whole {
            self.note("stopped");
        } else if tokens.is_empty() {
            self.note("the last answer is empty");
        } else {
            self.note("how probable each token was to the model itself, before any setting, and the three next to it");
        }
        self.forget_interruption();
        Ok(())
    }

    fn show_source(&mut self, path: Option<&str>) -> Result<()> {
        self.must_have_answered()?;
        self.forget_interruption();
        if path.is_some() || self.source.is_none() {
            let source = match path {
                Some(path) => Source::of_text(&typed_path(path, self.style.home.as_deref()))?,
                None => self.known_source().map_err(|error| anyhow!("{error:#}; /source PATH names a text"))?,
            };
            source.remarks.iter().for_each(|remark| self.note(remark));
            self.source = Some(source);
        }
        let answer = self.conversation.last_answer().unwrap_or_default();
        let found = self.source.as_ref().map(|source| source.nearest(answer, self.interrupted)).transpose()?.flatten();
        let answer = answer.to_string();
        match found {
            Some(nearest) => self.show_nearest(&nearest, &answer),
            None => self.note("stopped"),
        }
        self.forget_interruption();
        Ok(())
    }

    /// The text that the model's folder names.
    fn known_source(&self) -> Result<Source> {
        let unknown = || format!("nothing is known of the text that {} learned from", self.name);
        Source::open(self.folder.as_deref().with_context(unknown)?)
    }

    fn show_nearest(&mut self, nearest: &Nearest, answer: &str) {
        let columns = (self.style.columns)();
        let run = &nearest.run;
        if run.n_longest > 1 {
            self.note(format_args!(
                "word for word, {} of its {} words in a row stand in the training text:",
                run.n_longest, run.n_words
            ));
            let shown = wrapped(&visible(&run.longest), columns.saturating_sub(3)).join("\n  ");
            self.show(&format!("  {shown}"));
            let least = overlap::MIN_RUN_WORDS;
            if run.n_words >= least as u64 {
                let share = overlap::share(run.n_copied, run.n_words);
                self.note(format_args!("{share} of its words stand there in runs of {least} or more"));
            }
        } else {
            self.note("no two words of it stand in a row in the training text");
        }
        self.note(match nearest.passages.is_empty() {
            true => "nothing in the training text is near to it",
            false => "the nearest passages, with the share of its words and pairs of words that they have:",
        });
        for (share, passage) in &nearest.passages {
            let label = format!("{:>4.0} %  ", 100.0 * share);
            let shown = self.in_common(passage, answer, columns.saturating_sub(label.len() + 1));
            self.show(&format!("{label}{}", shown.join(&format!("\n{:1$}", "", label.len()))));
        }
    }

    /// A passage in lines, the words that `answer` has too in bold.
    fn in_common(&self, passage: &str, answer: &str, columns: usize) -> Vec<String> {
        let of_answer: ahash::AHashSet<String> = source::words(answer).collect();
        let paint = self.paint();
        let word = |word: &str| match source::words(word).any(|word| of_answer.contains(&word)) {
            true => paint.paint(Ink::Bold, word).into_owned(),
            false => word.to_string(),
        };
        let lines = passage.lines().flat_map(|line| wrapped(&visible(line), columns.max(8)));
        lines.map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" ")).collect()
    }

    fn everything(&self) -> String {
        let conversation = &self.conversation;
        let turns = match conversation.template() {
            Some(_) => "it takes turns (/template shows how they are written)",
            None => "it continues one text",
        };
        format!(
            "model: {}; {turns}\n{}\n{}\n{}",
            self.name,
            self.system_in_words(),
            self.context_in_words(),
            self.settings.list()
        )
    }

    fn context_in_words(&self) -> String {
        let conversation = &self.conversation;
        let (n_turns, n_tokens, n_context) =
            (conversation.n_turns(), conversation.n_tokens(), conversation.n_context());
        format!("turns: {n_turns}, {n_tokens} of {n_context} tokens of context used")
    }

    fn stats(&self) -> String {
        let mut stats = format!("{}, seed {}", self.context_in_words(), self.settings.sampler.seed);
        if let Some(Timing { answered, to_first, whole }) = &self.last {
            // The first token waits for the prompt, so it says nothing about the speed of writing.
            let rest = (*whole - *to_first).as_secs_f64().max(1e-9);
            let n_generated = answered.outcome.n_generated;
            let (to_first, speed) = (to_first.as_secs_f64(), n_generated.saturating_sub(1) as f64 / rest);
            stats += &format!(
                "\nlast answer: {} tokens read, the rest of the conversation remembered; {n_generated} written, the \
                 first after {to_first:.2} s, then {speed:.0} tokens/s",
                answered.n_read
            );
        }
        let Drafted { n_guessed, n_right } = self.conversation.drafted();
        if n_guessed > 0 {
            stats += &format!("\nguessed ahead: {n_guessed} tokens, {n_right} of them rightly");
        }
        stats
    }
}

/// `words` one after the other, three blanks apart, in lines that fit the window.
fn in_columns(words: &[String], columns: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut().filter(|line| line.chars().count() + 3 + word.chars().count() < columns) {
            Some(line) => line.extend(["   ", word]),
            None => lines.push(word.clone()),
        }
    }
    lines.join("\n")
}
