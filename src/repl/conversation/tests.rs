//! What the model reads of a conversation, turn by turn, and what is left of it when turns are taken back or forgotten.

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
    (text, outcome.unwrap().outcome)
}

fn conversation<'a>(model: &'a mut Mock, tokenizer: &'a Tokenizer, dialogue: bool) -> Conversation<'a> {
    with_policy(model, tokenizer, dialogue, ContextPolicy::Stop)
}

fn with_policy<'a>(
    model: &'a mut Mock,
    tokenizer: &'a Tokenizer,
    dialogue: bool,
    policy: ContextPolicy,
) -> Conversation<'a> {
    let end_ids = tokenizer.im_end().into_iter().collect();
    Conversation::new(model, tokenizer, dialogue, end_ids, policy).unwrap()
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
    let mut conversation = conversation(&mut model, &tokenizer, true);
    for question in ["hello", "and you?"] {
        conversation.say(question).unwrap();
        assert_eq!(answer(&mut conversation, 50).0, "ok");
    }
    let message = Message::new;
    let whole =
        [message("user", "hello"), message("assistant", "ok"), message("user", "and you?"), message("assistant", "ok")];
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
    let mut conversation = conversation(&mut model, &tokenizer, false).with_template(template);
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
    let message = Message::new;
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
    let mut conversation = conversation(&mut model, &tokenizer, true);
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
    let mut conversation = conversation(&mut model, &tokenizer, true);
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
    let mut conversation = conversation(&mut model, &tokenizer, false);
    let text = |conversation: &Conversation| String::from_utf8(tokenizer.decode(conversation.session.ids())).unwrap();
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

fn said(conversation: &Conversation) -> Vec<String> {
    conversation.messages().into_iter().map(|message| message.content).collect()
}

#[test]
fn a_turn_is_taken_back_and_the_question_returned() {
    let tokenizer = tokenizer();
    let mut model = polite(&tokenizer);
    let mut conversation = conversation(&mut model, &tokenizer, true);
    for question in ["one", "two"] {
        conversation.say(question).unwrap();
        answer(&mut conversation, 50);
    }
    let n_tokens = conversation.n_tokens();
    assert_eq!(conversation.undo().unwrap().as_deref(), Some("two"));
    assert!(conversation.n_tokens() < n_tokens);
    assert_eq!(said(&conversation), ["one", "ok"]);
    conversation.undo().unwrap();
    assert_eq!((conversation.undo().unwrap(), conversation.n_tokens()), (None, 0));
}

#[test]
fn another_answer_costs_no_reading_and_an_interrupted_one_leaves_the_old() {
    let tokenizer = tokenizer();
    let mut model = polite(&tokenizer);
    let mut conversation = conversation(&mut model, &tokenizer, true);
    assert!(!conversation.begin_answer_anew().unwrap());
    conversation.say("one").unwrap();
    answer(&mut conversation, 50);
    assert!(conversation.begin_answer_anew().unwrap());
    let running = AtomicBool::new(false);
    let again = conversation.answer(&mut greedy(), 50, &running, &mut |_| Ok(())).unwrap();
    // What was read before is remembered, but the last token is read again for its judgement.
    assert_eq!((again.n_read, said(&conversation)), (1, vec!["one".to_string(), "ok".to_string()]));
    conversation.begin_answer_anew().unwrap();
    running.store(true, std::sync::atomic::Ordering::Relaxed);
    conversation.answer(&mut greedy(), 50, &running, &mut |_| Ok(())).unwrap();
    assert_eq!(said(&conversation), ["one", "ok"]);
}

#[test]
fn a_cut_answer_goes_on_where_it_stopped() {
    let tokenizer = tokenizer();
    let mut model = polite(&tokenizer);
    let mut conversation = conversation(&mut model, &tokenizer, true);
    conversation.say("one").unwrap();
    assert_eq!(answer(&mut conversation, 1).1.stop, StopReason::MaxTokens);
    assert_eq!(answer(&mut conversation, 5).0, "k");
    assert_eq!(said(&conversation), ["one", "ok"]);
    assert_eq!(answer(&mut conversation, 0).1.stop, StopReason::MaxTokens);
}

#[test]
fn the_system_message_stands_before_all_turns_and_survives_a_reset() {
    let tokenizer = tokenizer();
    let mut model = polite(&tokenizer);
    let mut conversation = conversation(&mut model, &tokenizer, true);
    conversation.say("one").unwrap();
    answer(&mut conversation, 50);
    conversation.set_system(Some("be kind".to_string())).unwrap();
    let text = String::from_utf8(tokenizer.decode(conversation.session.ids())).unwrap();
    assert!(text.starts_with("<|endoftext|><|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\none"), "{text}");
    assert!(conversation.set_system(Some("0".repeat(1000))).is_err());
    conversation.reset();
    assert_eq!(conversation.system(), Some("be kind"));
    conversation.set_system(None).unwrap();
    assert!(conversation.messages().is_empty());
}

#[test]
fn a_loaded_conversation_goes_on_as_the_one_that_was_held() {
    let tokenizer = tokenizer();
    let (mut model, mut other) = (polite(&tokenizer), polite(&tokenizer));
    let mut held = conversation(&mut model, &tokenizer, true);
    held.set_system(Some("be kind".to_string())).unwrap();
    for question in ["one", "two"] {
        held.say(question).unwrap();
        answer(&mut held, 50);
    }
    let mut loaded = conversation(&mut other, &tokenizer, true);
    loaded.load(&held.messages()).unwrap();
    assert_eq!(loaded.session.ids(), held.session.ids());
    loaded.say("three").unwrap();
    assert_eq!(answer(&mut loaded, 50).0, "ok");
    let message = |role: &str| Message { role: role.into(), content: "x".into() };
    for wrong in [vec!["assistant"], vec!["user", "user"], vec!["user", "system"], vec!["tool"]] {
        let messages: Vec<Message> = wrong.iter().map(|role| message(role)).collect();
        let error = loaded.load(&messages).unwrap_err().to_string();
        assert!(error.contains(&format!("message {} is of the role", wrong.len())), "{error}");
    }
    assert_eq!(loaded.n_turns(), 3);
}

#[test]
fn a_sliding_conversation_forgets_its_oldest_turns_and_counts_them() {
    let tokenizer = tokenizer();
    let mut model = polite(&tokenizer);
    let mut conversation = with_policy(&mut model, &tokenizer, true, ContextPolicy::Slide);
    conversation.set_system(Some("be kind".to_string())).unwrap();
    let (mut n_dropped, mut n_said) = (0, 0);
    while n_dropped == 0 {
        conversation.say(&"0".repeat(50)).unwrap();
        n_said += 1;
        let answered = conversation.answer(&mut greedy(), 50, &AtomicBool::new(false), &mut |_| Ok(())).unwrap();
        n_dropped += answered.n_dropped;
    }
    assert_eq!(conversation.n_turns(), n_said - n_dropped);
    assert!(conversation.n_tokens() <= 500 - 500 / 4 + 2, "{} tokens", conversation.n_tokens());
    assert_eq!((said(&conversation)[0].as_str(), conversation.last_answer()), ("be kind", Some("ok")));
    assert!(too_long(&conversation.say(&"0".repeat(1000)).unwrap_err()).is_some());
    assert_eq!(conversation.n_turns(), n_said - n_dropped, "what does not fit by itself costs no turns");
}

#[test]
fn an_answer_that_fills_a_sliding_context_goes_on_without_the_oldest_turns() {
    let tokenizer = tokenizer();
    let zero = tokenizer.encode("0").unwrap()[0];
    let mut model = Mock::new(tokenizer.vocab_size(), 100, move |_| zero);
    let mut conversation = with_policy(&mut model, &tokenizer, true, ContextPolicy::Slide);
    for n_tokens in [20, 90] {
        conversation.say("on").unwrap();
        let (running, mut n) = (AtomicBool::new(false), 0);
        let mut count = |text: &str| {
            n += text.len();
            Ok(())
        };
        let answered = conversation.answer(&mut greedy(), n_tokens, &running, &mut count).unwrap();
        let expected = if n_tokens == 20 { (StopReason::MaxTokens, 0) } else { (StopReason::ContextFull, 1) };
        assert_eq!((answered.outcome.stop, answered.n_dropped), expected);
        assert_eq!(n, answered.outcome.n_generated);
    }
    assert_eq!((conversation.n_turns(), conversation.n_tokens()), (1, 100));
}

#[test]
fn a_replay_judges_the_last_answer_alone() {
    let tokenizer = tokenizer();
    let mut model = polite(&tokenizer);
    let mut conversation = conversation(&mut model, &tokenizer, true);
    conversation.say("one").unwrap();
    answer(&mut conversation, 50);
    let mut ids = Vec::new();
    let mut each = |id: u32, _: &[f32]| {
        ids.push(id);
        Ok(())
    };
    assert!(conversation.replay_answer(&AtomicBool::new(false), &mut each).unwrap());
    assert_eq!(tokenizer.decode(&ids), b"ok");
}
