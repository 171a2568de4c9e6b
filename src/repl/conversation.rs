//! A conversation as turns, and as the ids that a model reads of it.
//!
//! What was said is kept as turns, each with the ids of its answer as the model wrote them; the ids of the whole are
//! made of these anew for every answer, and the session computes only what it has not read yet. So taking a turn back,
//! answering again and dropping the oldest turns are changes of a list.
//!
//! With a model that has learned from dialogues the turns are ChatML. A model from elsewhere brings a template, which
//! writes the whole dialogue, and may change what it wrote before. Any other model continues one growing text. Nothing
//! is printed here.

use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail, ensure};

use crate::generation::text::{Outcome, continue_text};
use crate::generation::{Limits, PromptTooLong, Sampler, Session, StopReason, StopStrings};
use crate::inference::{Drafted, LanguageModel};
use crate::tokenizer::{CHATML_TEMPLATE, ChatTemplate, Message, Tokenizer};

/// What happens to a conversation that no longer fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContextPolicy {
    /// Nothing more is said; the person is told.
    #[default]
    Stop,
    /// The oldest turns are forgotten, but never the system message.
    Slide,
}

/// How turns are set apart.
enum Style {
    /// ChatML; `close` ends an answer, as in training.
    Dialogue { close: Vec<u32> },
    /// As a template writes them; `now` is the time at which the conversation was begun.
    Template { template: Box<ChatTemplate>, now: i64 },
    /// One text, to which both add.
    Text,
}

/// What the user said, and what the model did.
#[derive(Debug, Clone, Default)]
struct Turn {
    question: String,
    answer: Answer,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Answer {
    text: String,
    /// As the model wrote it: another way to cut the text into ids would not be what it has read.
    ids: Vec<u32>,
    /// The model has ended it itself.
    ended: bool,
}

/// How an answer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) outcome: Outcome,
    /// Turns forgotten to make room for it.
    pub(super) n_dropped: usize,
    /// Ids that the model read for it; what it remembered does not count.
    pub(super) n_read: usize,
}

/// The turns so far, and the model that takes every second one.
pub(super) struct Conversation<'a> {
    session: Session<'a>,
    tokenizer: &'a Tokenizer,
    style: Style,
    end_ids: Vec<u32>,
    policy: ContextPolicy,
    system: Option<String>,
    turns: Vec<Turn>,
    /// The answer that is being given anew, should it not come to that.
    former: Option<Answer>,
    /// Turns forgotten of which nobody has been told yet.
    n_dropped: usize,
}

impl<'a> Conversation<'a> {
    /// An empty conversation, in which the model ends its turn by one of `end_ids`. Dialogue needs a tokenizer with
    /// ChatML's marks; without them it is one text.
    pub(super) fn new(
        model: &'a mut dyn LanguageModel,
        tokenizer: &'a Tokenizer,
        dialogue: bool,
        mut end_ids: Vec<u32>,
        policy: ContextPolicy,
    ) -> Result<Self> {
        let style = match (tokenizer.im_start(), tokenizer.im_end()) {
            (Some(im_start), Some(im_end)) if dialogue => {
                end_ids.extend([im_end, im_start]);
                Style::Dialogue { close: close(tokenizer, im_end)? }
            }
            _ => Style::Text,
        };
        end_ids.push(tokenizer.end_of_text());
        Ok(Conversation {
            session: Session::new(model),
            tokenizer,
            style,
            end_ids,
            policy,
            system: None,
            turns: Vec::new(),
            former: None,
            n_dropped: 0,
        })
    }

    /// The same, empty, with turns as `template` writes them.
    pub(super) fn with_template(mut self, template: ChatTemplate) -> Self {
        self.reset();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
        self.style = Style::Template { template: Box::new(template), now };
        self
    }

    /// Whether turns are taken, instead of one text continued.
    pub(super) fn is_dialogue(&self) -> bool {
        !matches!(self.style, Style::Text)
    }

    /// The Jinja template by which turns are written; none for a growing text.
    pub(super) fn template(&self) -> Option<&str> {
        match &self.style {
            Style::Dialogue { .. } => Some(CHATML_TEMPLATE),
            Style::Template { template, .. } => Some(template.source()),
            Style::Text => None,
        }
    }

    /// Tokens so far.
    pub(super) fn n_tokens(&self) -> usize {
        self.session.ids().len()
    }

    /// How guesses ahead have fared.
    pub(super) fn drafted(&self) -> Drafted {
        self.session.drafted()
    }

    /// Tokens that fit.
    pub(super) fn n_context(&self) -> usize {
        self.session.n_context()
    }

    /// Turns of the user so far, those that were forgotten left out.
    pub(super) fn n_turns(&self) -> usize {
        self.turns.len()
    }

    /// What the model is told before all turns.
    pub(super) fn system(&self) -> Option<&str> {
        self.system.as_deref()
    }

    /// The text of the last answer; none before the first.
    pub(super) fn last_answer(&self) -> Option<&str> {
        self.turns.last().map(|turn| turn.answer.text.as_str())
    }

    /// Forgets all turns; what the model is told before them stays.
    pub(super) fn reset(&mut self) {
        self.turns.clear();
        self.session.truncate(0);
    }

    /// Tells the model something before all turns, from now on; `None` takes it back. An error where the model takes no
    /// turns, or where there is no room for it; then nothing is changed.
    pub(super) fn set_system(&mut self, text: Option<String>) -> Result<()> {
        ensure!(self.is_dialogue(), "this model continues text, so there is nobody to be told anything");
        self.change(|conversation| conversation.system = text)
    }

    /// Adds the user's turn. [`PromptTooLong`] when it leaves no room for an answer; then nothing is added.
    pub(super) fn say(&mut self, text: &str) -> Result<()> {
        self.change(|conversation| conversation.turns.push(Turn { question: text.to_string(), ..Turn::default() }))
    }

    /// Takes the last turn back; what the user said in it is returned.
    pub(super) fn undo(&mut self) -> Result<Option<String>> {
        let mut question = None;
        self.change(|conversation| question = conversation.turns.pop().map(|turn| turn.question))?;
        Ok(question)
    }

    /// Forgets the last answer, so that [`Conversation::answer`] gives another; false before the first turn.
    pub(super) fn begin_answer_anew(&mut self) -> Result<bool> {
        let Some(turn) = self.turns.last_mut() else { return Ok(false) };
        self.former = Some(std::mem::take(&mut turn.answer));
        self.fit().map(|()| true)
    }

    /// The conversation as messages, the system's first.
    pub(super) fn messages(&self) -> Vec<Message> {
        let mut messages: Vec<Message> = self.system.iter().map(|text| Message::new("system", text)).collect();
        for (i, Turn { question, answer }) in self.turns.iter().enumerate() {
            messages.push(Message::new("user", question));
            // An answer of nothing is one too, but the last may still be to come.
            if i + 1 < self.turns.len() || !answer.text.is_empty() {
                messages.push(Message::new("assistant", &answer.text));
            }
        }
        messages
    }

    /// Replaces everything by `messages`. An error where they are not turns of a user and an assistant, or do not fit;
    /// then nothing is changed.
    pub(super) fn load(&mut self, messages: &[Message]) -> Result<()> {
        let (system, turns) = self.turns_of(messages)?;
        self.change(|conversation| (conversation.system, conversation.turns) = (system, turns))
    }

    /// Turns forgotten since this was last asked for.
    pub(super) fn take_n_dropped(&mut self) -> usize {
        std::mem::take(&mut self.n_dropped)
    }

    fn turns_of(&self, messages: &[Message]) -> Result<(Option<String>, Vec<Turn>)> {
        let (mut system, mut turns, mut before) = (None, Vec::<Turn>::new(), "");
        for (i, Message { role, content }) in messages.iter().enumerate() {
            match (before, role.as_str(), turns.last_mut()) {
                ("", "system", None) => system = Some(content.clone()),
                ("" | "system" | "assistant", "user", _) => {
                    turns.push(Turn { question: content.clone(), ..Turn::default() });
                }
                ("user", "assistant", Some(turn)) => {
                    let ids = self.tokenizer.encode(content)?;
                    turn.answer = Answer { text: content.clone(), ids, ended: self.is_dialogue() };
                }
                _ => bail!(
                    "message {} is of the role {role:?}: user and assistant take turns, after at most one system \
                     message",
                    i + 1
                ),
            }
            before = role;
        }
        Ok((system, turns))
    }

    /// Changes the turns and makes them fit; on an error, which leaves the session alone, all is as it was.
    fn change(&mut self, change: impl FnOnce(&mut Self)) -> Result<()> {
        let before = (self.system.clone(), self.turns.clone(), self.n_dropped);
        change(self);
        let changed = self.fit();
        if changed.is_err() {
            (self.system, self.turns, self.n_dropped) = before;
        }
        changed
    }

    /// Gives the session the ids of all turns. Where they do not fit, the oldest turns are forgotten if that is the
    /// policy, until a quarter of the context is free: the rest has to be read anew, and that should not happen at
    /// every turn.
    fn fit(&mut self) -> Result<()> {
        let n_context = self.n_context();
        let mut wanted = n_context;
        loop {
            let ids = self.ids()?;
            if self.policy == ContextPolicy::Stop || ids.len() < wanted || self.turns.len() < 2 {
                return Ok(self.session.set_prompt(&ids)?);
            }
            wanted = n_context - n_context / 4;
            self.turns.remove(0);
            self.n_dropped += 1;
        }
    }

    /// The ids of everything, up to where the last answer stands.
    fn ids(&self) -> Result<Vec<u32>> {
        let Some(last) = self.turns.last() else { return Ok(Vec::new()) };
        let mut ids = match &self.style {
            Style::Dialogue { close } => self.chatml(close)?,
            Style::Template { template, now } => {
                let mut messages = self.messages();
                messages.truncate(messages.len() - usize::from(!last.answer.text.is_empty()));
                self.tokenizer.render_template(template, &messages, true, *now)?
            }
            Style::Text => self.running_text()?,
        };
        ids.extend_from_slice(&last.answer.ids);
        Ok(ids)
    }

    fn chatml(&self, close: &[u32]) -> Result<Vec<u32>> {
        let system: Vec<Message> = self.system.iter().map(|text| Message::new("system", text)).collect();
        let mut ids = vec![self.beginning()];
        ids.extend(self.tokenizer.render_chat(&system, false)?);
        for (i, turn) in self.turns.iter().enumerate() {
            if i > 0 {
                ids.extend_from_slice(&self.turns[i - 1].answer.ids);
                ids.extend_from_slice(close);
            }
            ids.extend(self.tokenizer.render_chat(&[Message::new("user", &turn.question)], true)?);
        }
        Ok(ids)
    }

    /// What stands before a text: the mark of a vocabulary that has one for this, else the one that ends a text.
    fn beginning(&self) -> u32 {
        self.tokenizer.begin_of_text().unwrap_or(self.tokenizer.end_of_text())
    }

    /// Each line of the user on a line of its own after what stands there, at the beginning of a document, or nothing:
    /// an empty line lets the model go on where it stopped.
    fn running_text(&self) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        let mut ended = true;
        for (i, turn) in self.turns.iter().enumerate() {
            let question = &turn.question;
            let on_new_line = |id: &u32| self.tokenizer.token_bytes(*id).ends_with(b"\n");
            if ended {
                ids.push(self.beginning());
                ids.extend(self.tokenizer.encode(question)?);
            } else if question.is_empty() || ids.last().is_some_and(on_new_line) {
                ids.extend(self.tokenizer.encode(question)?);
            } else {
                ids.extend(self.tokenizer.encode(&format!("\n{question}"))?);
            }
            if i + 1 < self.turns.len() {
                ids.extend_from_slice(&turn.answer.ids);
            }
            ended = turn.answer.ended;
        }
        Ok(ids)
    }

    /// Lets the model take its turn, or go on with it. A turn that was interrupted before its first token is taken back
    /// whole; an answer that was to be given anew then stays what it was.
    pub(super) fn answer(
        &mut self,
        sampler: &mut Sampler,
        max_tokens: usize,
        interrupted: &AtomicBool,
        on_text: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<Answered> {
        let (mut n_generated, n_fed) = (0, self.session.n_fed());
        let stop = loop {
            let Outcome { n_generated: n, stop } =
                self.write(sampler, max_tokens - n_generated, interrupted, on_text)?;
            n_generated += n;
            let may_slide = self.policy == ContextPolicy::Slide && self.turns.len() > 1;
            if stop != StopReason::ContextFull || !may_slide {
                break stop;
            }
            self.fit()?;
        };
        let former = self.former.take();
        if stop == StopReason::Interrupted && self.turns.last().is_some_and(|turn| turn.answer.ids.is_empty()) {
            self.take_back(former)?;
        }
        // The last token of an answer is read before another is asked for, and the end of an answer is such a one.
        let n_own = if stop == StopReason::EndOfText { n_generated } else { n_generated.saturating_sub(1) };
        let n_read = (self.session.n_fed() - n_fed).saturating_sub(n_own);
        Ok(Answered { outcome: Outcome { n_generated, stop }, n_dropped: self.take_n_dropped(), n_read })
    }

    /// Writes on until something ends it, and keeps what was written.
    fn write(
        &mut self,
        sampler: &mut Sampler,
        max_tokens: usize,
        interrupted: &AtomicBool,
        on_text: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<Outcome> {
        let n_before = self.session.ids().len();
        let limits = Limits { max_tokens, end_ids: &self.end_ids, interrupted };
        let mut said = String::new();
        let mut heard = |text: &str| {
            said.push_str(text);
            on_text(text)
        };
        let (session, no_stops) = (&mut self.session, &mut StopStrings::default());
        let outcome = continue_text(session, sampler, limits, self.tokenizer, no_stops, &mut heard)?;
        if let Some(turn) = self.turns.last_mut() {
            turn.answer.ids.extend_from_slice(&self.session.ids()[n_before..]);
            turn.answer.text.push_str(&said);
            turn.answer.ended = outcome.stop == StopReason::EndOfText;
        }
        Ok(outcome)
    }

    fn take_back(&mut self, former: Option<Answer>) -> Result<()> {
        match (former, self.turns.last_mut()) {
            (Some(former), Some(turn)) => turn.answer = former,
            _ => drop(self.turns.pop()),
        }
        self.fit()
    }

    /// Shows `each` the ids of the last answer, each with the model's judgement of what may stand in its place (V);
    /// false when interrupted.
    pub(super) fn replay_answer(
        &mut self,
        interrupted: &AtomicBool,
        each: &mut dyn FnMut(u32, &[f32]) -> Result<()>,
    ) -> Result<bool> {
        let Some(turn) = self.turns.last() else { return Ok(true) };
        let start = self.session.ids().len() - turn.answer.ids.len();
        self.session.replay(start, interrupted, each)
    }
}

/// The tokens and the limit, where `error` is that of a conversation that does not fit.
pub(super) fn too_long(error: &anyhow::Error) -> Option<PromptTooLong> {
    error.downcast_ref().copied()
}

/// What ends a turn in ChatML, as the tokenizer renders it: the mark and what follows it.
fn close(tokenizer: &Tokenizer, im_end: u32) -> Result<Vec<u32>> {
    let empty = Message::new("user", "");
    let mut rendered = tokenizer.render_chat(&[empty], false)?;
    let mark = rendered.iter().rposition(|&id| id == im_end).unwrap_or(rendered.len());
    Ok(rendered.split_off(mark))
}

#[cfg(test)]
mod tests;
