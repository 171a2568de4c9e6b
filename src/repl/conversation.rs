//! A conversation as ids: whose turn it is, and what stands between two turns.
//!
//! With a model that has learned from dialogues the turns are ChatML, each rendered once and appended, so that a turn
//! costs only its own tokens. A model from elsewhere brings a template, which writes the whole dialogue anew each time, as
//! it may change what it wrote before; what stays the same is not computed again. Any other model continues one growing
//! text. Nothing is printed here.

use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::generation::text::{Outcome, continue_text};
use crate::generation::{Limits, Sampler, Session, StopReason, StopStrings};
use crate::inference::LanguageModel;
use crate::tokenizer::{ChatTemplate, Message, Tokenizer};

/// How turns are set apart.
enum Style {
    /// ChatML; `close` ends an answer, as in training.
    Dialogue { close: Vec<u32>, end_ids: Vec<u32> },
    /// As a template writes them; `now` is the time at which the conversation was begun.
    Template { template: Box<ChatTemplate>, messages: Vec<Message>, end_ids: Vec<u32>, now: i64 },
    /// One text, to which both add.
    Text { end_ids: [u32; 1] },
}

/// The turns so far, and the model that takes every second one.
pub(super) struct Conversation<'a> {
    session: Session<'a>,
    tokenizer: &'a Tokenizer,
    style: Style,
    /// Ids before the last turn began: what is kept when the turn is taken back.
    n_before: usize,
    /// The model has ended the document, so what follows begins another.
    ended: bool,
    n_turns: usize,
}

impl<'a> Conversation<'a> {
    /// An empty conversation. Dialogue needs a tokenizer with ChatML's marks; without them it is one text.
    pub(super) fn new(model: &'a mut dyn LanguageModel, tokenizer: &'a Tokenizer, dialogue: bool) -> Result<Self> {
        let end_of_text = tokenizer.end_of_text();
        let style = match (tokenizer.im_start(), tokenizer.im_end()) {
            (Some(im_start), Some(im_end)) if dialogue => {
                Style::Dialogue { close: close(tokenizer, im_end)?, end_ids: vec![im_end, im_start, end_of_text] }
            }
            _ => Style::Text { end_ids: [end_of_text] },
        };
        Ok(Conversation { session: Session::new(model), tokenizer, style, n_before: 0, ended: false, n_turns: 0 })
    }

    /// The same, empty, with turns as `template` writes them, which the model ends by one of `end_ids`.
    pub(super) fn with_template(mut self, template: ChatTemplate, end_ids: Vec<u32>) -> Self {
        self.reset();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
        self.style = Style::Template { template: Box::new(template), messages: Vec::new(), end_ids, now };
        self
    }

    /// Whether turns are taken, instead of one text continued.
    pub(super) fn is_dialogue(&self) -> bool {
        !matches!(self.style, Style::Text { .. })
    }

    /// Tokens so far.
    pub(super) fn n_tokens(&self) -> usize {
        self.session.ids().len()
    }

    /// Tokens that fit.
    pub(super) fn n_context(&self) -> usize {
        self.session.n_context()
    }

    /// Turns of the user so far.
    pub(super) fn n_turns(&self) -> usize {
        self.n_turns
    }

    /// Forgets everything.
    pub(super) fn reset(&mut self) {
        self.session.truncate(0);
        if let Style::Template { messages, .. } = &mut self.style {
            messages.clear();
        }
        (self.n_before, self.ended, self.n_turns) = (0, false, 0);
    }

    /// Adds the user's turn. [`crate::generation::PromptTooLong`] when it leaves no room for an answer; then nothing
    /// is added.
    pub(super) fn say(&mut self, text: &str) -> Result<()> {
        let n_before = self.n_tokens();
        match &mut self.style {
            Style::Dialogue { close, .. } => {
                let close = close.clone();
                self.session.extend(&self.dialogue_turn(&close, text)?)?;
            }
            Style::Template { template, messages, now, .. } => {
                messages.push(Message { role: "user".to_string(), content: text.to_string() });
                let ids = self.tokenizer.render_template(template, messages, true, *now);
                let added = ids.and_then(|ids| Ok(self.session.set_prompt(&ids)?));
                if let Err(error) = added {
                    messages.pop();
                    return Err(error);
                }
            }
            Style::Text { .. } => self.session.extend(&self.text_turn(text)?)?,
        }
        (self.n_before, self.ended) = (n_before, false);
        self.n_turns += 1;
        Ok(())
    }

    fn dialogue_turn(&self, close: &[u32], text: &str) -> Result<Vec<u32>> {
        let mut ids = if self.n_tokens() == 0 { vec![self.beginning()] } else { close.to_vec() };
        let message = Message { role: "user".to_string(), content: text.to_string() };
        ids.extend(self.tokenizer.render_chat(&[message], true)?);
        Ok(ids)
    }

    /// What stands before a text: the mark of a vocabulary that has one for this, else the one that ends a text.
    fn beginning(&self) -> u32 {
        self.tokenizer.begin_of_text().unwrap_or(self.tokenizer.end_of_text())
    }

    /// A line of its own after what stands there, at the beginning of a document, or nothing: an empty line lets the
    /// model go on where it stopped.
    fn text_turn(&self, text: &str) -> Result<Vec<u32>> {
        let Some(&last) = self.session.ids().last().filter(|_| !self.ended) else {
            return Ok([vec![self.beginning()], self.tokenizer.encode(text)?].concat());
        };
        let on_new_line = last == self.tokenizer.end_of_text() || self.tokenizer.token_bytes(last).ends_with(b"\n");
        if text.is_empty() || on_new_line {
            self.tokenizer.encode(text)
        } else {
            self.tokenizer.encode(&format!("\n{text}"))
        }
    }

    /// Lets the model take its turn. A turn that was interrupted before its first token is taken back whole.
    pub(super) fn answer(
        &mut self,
        sampler: &mut Sampler,
        max_tokens: usize,
        interrupted: &AtomicBool,
        on_text: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<Outcome> {
        let end_ids = match &self.style {
            Style::Dialogue { end_ids, .. } | Style::Template { end_ids, .. } => &end_ids[..],
            Style::Text { end_ids } => end_ids,
        };
        let limits = Limits { max_tokens, end_ids, interrupted };
        let (session, no_stops) = (&mut self.session, &mut StopStrings::default());
        let mut said = String::new();
        let mut heard = |text: &str| {
            said.push_str(text);
            on_text(text)
        };
        let outcome = continue_text(session, sampler, limits, self.tokenizer, no_stops, &mut heard)?;
        if let Style::Template { messages, .. } = &mut self.style {
            messages.push(Message { role: "assistant".to_string(), content: said });
        }
        self.ended = outcome.stop == StopReason::EndOfText;
        if outcome.stop == StopReason::Interrupted && outcome.n_generated == 0 {
            self.take_back();
        }
        Ok(outcome)
    }

    fn take_back(&mut self) {
        self.session.truncate(self.n_before);
        if let Style::Template { messages, .. } = &mut self.style {
            // The question, and the answer that was not given.
            messages.truncate(messages.len().saturating_sub(2));
        }
        self.n_turns = self.n_turns.saturating_sub(1);
    }
}

/// What ends a turn in ChatML, as the tokenizer renders it: the mark and what follows it.
fn close(tokenizer: &Tokenizer, im_end: u32) -> Result<Vec<u32>> {
    let empty = Message { role: "user".to_string(), content: String::new() };
    let mut rendered = tokenizer.render_chat(&[empty], false)?;
    let mark = rendered.iter().rposition(|&id| id == im_end).unwrap_or(rendered.len());
    Ok(rendered.split_off(mark))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::SamplerConfig;
    use crate::generation::mock::{Mock, tokenizer};
    use crate::tokenizer::CHATML_TEMPLATE;

    fn greedy() -> Sampler {
        Sampler::new(SamplerConfig { temperature: 0.0, ..SamplerConfig::default() }).unwrap()
    }

    fn answer(conversation: &mut Conversation, max_tokens: usize) -> (String, Outcome) {
        let mut text = String::new();
        let outcome = conversation.answer(&mut greedy(), max_tokens, &AtomicBool::new(false), &mut |piece| {
            text.push_str(piece);
            Ok(())
        });
        (text, outcome.unwrap())
    }

    /// Says "ok" after every header of an assistant's turn, then ends it.
    fn polite(tokenizer: &Tokenizer) -> Mock {
        let header = tokenizer.render_chat(&[], true).unwrap();
        let ok = [tokenizer.encode("ok").unwrap(), vec![tokenizer.im_end().unwrap()]].concat();
        Mock::new(tokenizer.vocab_size(), 500, move |ids| {
            let start = ids.windows(header.len()).rposition(|window| window == header).unwrap() + header.len();
            ok[ids.len() - start]
        })
    }

    #[test]
    fn turns_are_those_of_the_training_format_and_each_is_fed_once() {
        let tokenizer = tokenizer();
        let mut model = polite(&tokenizer);
        let n_fed = model.n_fed.clone();
        let mut conversation = Conversation::new(&mut model, &tokenizer, true).unwrap();
        for question in ["hello", "and you?"] {
            conversation.say(question).unwrap();
            assert_eq!(answer(&mut conversation, 50).0, "ok");
        }
        let message = |role: &str, content: &str| Message { role: role.into(), content: content.into() };
        let whole = [
            message("user", "hello"),
            message("assistant", "ok"),
            message("user", "and you?"),
            message("assistant", "ok"),
        ];
        let mut expected = vec![tokenizer.end_of_text()];
        expected.extend(tokenizer.render_chat(&whole, false).unwrap());
        assert!(expected.starts_with(conversation.session.ids()));
        assert_eq!(n_fed.get(), conversation.n_tokens(), "every token was fed exactly once");
    }

    #[test]
    fn turns_by_a_template_are_those_of_the_same_dialogue_and_share_what_was_read() {
        let tokenizer = tokenizer();
        let mut model = polite(&tokenizer);
        let n_fed = model.n_fed.clone();
        let template = ChatTemplate::new(CHATML_TEMPLATE, &tokenizer).unwrap();
        let mut conversation = Conversation::new(&mut model, &tokenizer, false)
            .unwrap()
            .with_template(template, vec![tokenizer.im_end().unwrap()]);
        assert!(conversation.is_dialogue());
        for question in ["hello", "and you?"] {
            conversation.say(question).unwrap();
            assert_eq!(answer(&mut conversation, 50).0, "ok");
        }
        assert_eq!(n_fed.get(), conversation.n_tokens(), "every token was fed exactly once");
        let n_tokens = conversation.n_tokens();
        assert!(conversation.say(&"0".repeat(1000)).unwrap_err().is::<crate::generation::PromptTooLong>());
        conversation.say("never mind").unwrap();
        conversation.answer(&mut greedy(), 5, &AtomicBool::new(true), &mut |_| Ok(())).unwrap();
        assert_eq!((conversation.n_tokens(), conversation.n_turns()), (n_tokens, 2));
        conversation.say("again").unwrap();
        assert_eq!(answer(&mut conversation, 50).0, "ok");
        let message = |role: &str, content: &str| Message { role: role.into(), content: content.into() };
        let questions = ["hello", "and you?", "again"];
        let whole: Vec<Message> =
            questions.iter().flat_map(|text| [message("user", text), message("assistant", "ok")]).collect();
        assert!(tokenizer.render_chat(&whole, false).unwrap().starts_with(conversation.session.ids()));
        conversation.reset();
        conversation.say("hello").unwrap();
        assert_eq!(conversation.n_turns(), 1);
    }

    #[test]
    fn a_turn_too_many_is_refused_and_a_reset_makes_room() {
        let tokenizer = tokenizer();
        let mut model = polite(&tokenizer);
        let mut conversation = Conversation::new(&mut model, &tokenizer, true).unwrap();
        conversation.say("hello").unwrap();
        answer(&mut conversation, 50);
        let n_tokens = conversation.n_tokens();
        assert!(conversation.say(&"0".repeat(1000)).unwrap_err().is::<crate::generation::PromptTooLong>());
        assert_eq!((conversation.n_tokens(), conversation.n_turns()), (n_tokens, 1));
        conversation.reset();
        assert_eq!((conversation.n_tokens(), conversation.n_turns()), (0, 0));
        conversation.say("hello").unwrap();
        assert_eq!(answer(&mut conversation, 50).0, "ok");
    }

    #[test]
    fn a_turn_interrupted_before_its_first_word_is_taken_back() {
        let tokenizer = tokenizer();
        let mut model = polite(&tokenizer);
        let mut conversation = Conversation::new(&mut model, &tokenizer, true).unwrap();
        conversation.say("hello").unwrap();
        conversation.answer(&mut greedy(), 5, &AtomicBool::new(true), &mut |_| Ok(())).unwrap();
        assert_eq!((conversation.n_tokens(), conversation.n_turns()), (0, 0));
    }

    #[test]
    fn a_plain_text_grows_line_by_line_and_goes_on_after_an_empty_line() {
        let tokenizer = tokenizer();
        let (x, newline) = (tokenizer.encode("x").unwrap()[0], tokenizer.encode("\n").unwrap()[0]);
        let end = tokenizer.end_of_text();
        let mut model = Mock::new(tokenizer.vocab_size(), 500, move |ids| match ids.len() {
            0..20 => x,
            20..30 => newline,
            _ => end,
        });
        let mut conversation = Conversation::new(&mut model, &tokenizer, false).unwrap();
        let text =
            |conversation: &Conversation| String::from_utf8(tokenizer.decode(conversation.session.ids())).unwrap();
        conversation.say("a").unwrap();
        answer(&mut conversation, 2);
        conversation.say("b").unwrap();
        answer(&mut conversation, 2);
        conversation.say("").unwrap();
        answer(&mut conversation, 1);
        assert_eq!(text(&conversation), "<|endoftext|>axx\nbxxx");
        while conversation.n_tokens() < 21 {
            answer(&mut conversation, 1);
        }
        conversation.say("c").unwrap();
        assert!(text(&conversation).ends_with("xx\nc"));
        assert_eq!(answer(&mut conversation, 50).1.stop, StopReason::EndOfText);
        conversation.say("d").unwrap();
        assert!(text(&conversation).ends_with("\n<|endoftext|>d"), "after its end a new document begins");
    }
}
