//! Conversations held without a terminal: what is said, what is noted, and how it ends.

use std::io;

use anyhow::bail;

use super::*;
use crate::generation::SamplerConfig;
use crate::generation::mock::{Mock, tokenizer};

/// What a person does, one after the other.
struct Script(std::vec::IntoIter<Line>);

impl Lines for Script {
    fn next_line(&mut self) -> Result<Line> {
        Ok(self.0.next().unwrap_or(Line::End))
    }

    fn compose(&mut self, draft: &str) -> Result<Option<String>> {
        match draft {
            "fail" => bail!("the editor failed"),
            "" => Ok(None),
            draft => Ok(Some(format!("{draft}\nand more"))),
        }
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
        let start =
            fed.windows(header.len()).rposition(|window| window == header).map_or(fed.len(), |at| at + header.len());
        ids.get(fed.len() - start).copied().unwrap_or(ids[0])
    })
}

struct Setting {
    interactive: bool,
    dialogue: bool,
    n_context: usize,
    says: &'static str,
    policy: ContextPolicy,
}

const PERSON: Setting =
    Setting { interactive: true, dialogue: true, n_context: 400, says: "ok", policy: ContextPolicy::Stop };
const PIPE: Setting = Setting { interactive: false, ..PERSON };

fn partner<'a>(model: &'a mut Mock, tokenizer: &'a Tokenizer, takes_turns: bool) -> Partner<'a> {
    let end_ids = tokenizer.im_end().into_iter().collect();
    Partner { name: "mock".into(), model, tokenizer, takes_turns, template: None, end_ids, folder: None }
}

fn style(interactive: bool) -> Style {
    let policy = ContextPolicy::Stop;
    Style { interactive, to_terminal: false, wrap: false, colour: false, columns: || 80, policy, home: None }
}

/// Answers, notes and end of a chat.
fn chat(setting: Setting, mut lines: impl Lines) -> (String, String, End) {
    let tokenizer = tokenizer();
    let mut model = speaker(&tokenizer, setting.n_context, setting.says);
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let settings = Settings { sampler: SamplerConfig { temperature: 0.0, ..SamplerConfig::default() }, max_tokens: 8 };
    let interactive = setting.interactive;
    let style = Style { to_terminal: interactive, policy: setting.policy, ..style(interactive) };
    let interrupted = AtomicBool::new(false);
    let partner = partner(&mut model, &tokenizer, setting.dialogue);
    let mut chat = Chat::new(partner, settings, style, &interrupted, &mut out, &mut notes).unwrap();
    chat.greet();
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
    let lines = ["/help", "/set", "/set temperature 0.5", "/set top-p 7", "/stats", "/reset", "/helo", "//literally"];
    let (out, notes, _) = chat(PIPE, script(&lines));
    assert_eq!(out, "ok\n");
    for words in [
        "/quit            leave",
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
        let partner = partner(&mut model, &tokenizer, true);
        let mut chat = Chat::new(partner, settings, style(interactive), &interrupted, &mut out, &mut notes).unwrap();
        let end = chat.run(&mut script(&["hello", "again"])).unwrap();
        assert_eq!((String::from_utf8(out.1).unwrap().as_str(), end), (written, expected));
    }
}

/// Nobody reads.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_editor_writes_messages_and_its_failure_or_silence_sends_nothing() {
    let lines = vec![Line::Edit("hello".into()), Line::Edit("fail".into()), Line::Text("/edit".into())];
    let (out, notes, end) = chat(PERSON, Script(lines.into_iter()));
    assert_eq!((out.as_str(), end), ("ok\n", End::Left));
    for words in ["> hello\nand more", "error: the editor failed", "nothing was written"] {
        assert!(notes.contains(words), "{words:?} is missing in {notes}");
    }
}

#[test]
fn a_message_is_one_whatever_it_begins_with() {
    let (out, _, _) = chat(PIPE, Script(vec![Line::Message("/help".into())].into_iter()));
    assert_eq!(out, "ok\n");
}

#[test]
fn the_name_of_another_model_ends_the_loop_and_the_chat_can_go_on() {
    let (out, _, end) = chat(PERSON, script(&["hello", "/model other one", "unheard"]));
    assert_eq!((out.as_str(), end), ("ok\n", End::Model("other one".into())));
}

#[test]
fn turns_that_were_forgotten_are_counted_out_loud() {
    let long = "0".repeat(60);
    let setting = Setting { policy: ContextPolicy::Slide, ..PIPE };
    let (out, notes, end) = chat(setting, script(&[long.as_str(); 6]));
    assert_eq!((out.as_str(), end), ("ok\n".repeat(6).as_str(), End::Left));
    assert!(notes.contains("forgotten to make room"), "{notes}");
}

#[test]
fn notes_keep_within_the_window() {
    let (_, notes, _) = chat(PERSON, script(&["/help", "/stats", "/model nobody"]));
    assert!(notes.lines().all(|line| line.chars().count() < 80), "{notes}");
}

#[test]
fn a_reader_that_leaves_ends_the_chat_without_an_error() {
    let tokenizer = tokenizer();
    let mut model = speaker(&tokenizer, 400, "ok");
    let settings = Settings { sampler: SamplerConfig::default(), max_tokens: 8 };
    let (interrupted, mut out, mut notes) = (AtomicBool::new(false), Closed, Vec::new());
    let partner = partner(&mut model, &tokenizer, true);
    let mut chat = Chat::new(partner, settings, style(false), &interrupted, &mut out, &mut notes).unwrap();
    assert_eq!(chat.run(&mut script(&["hello", "again"])).unwrap(), End::ReaderGone);
}
