//! A talk: what a user and the teller of stories say in turn, and its line of JSON.

use crate::facts::Fact;
use crate::rng::Rng;
use crate::variety::words;

/// What the user says and what is answered.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) user: String,
    pub(crate) answer: String,
    /// The question without any words around it, where the answer has to be found in a story that stands before it.
    pub(crate) of_story: Option<Fact>,
}

impl Exchange {
    pub(crate) fn new(user: String, answer: String) -> Exchange {
        Exchange { user, answer, of_story: None }
    }

    /// A question about a story that was told, and its answer.
    pub(crate) fn of_story(user: String, fact: Fact) -> Exchange {
        Exchange { user, answer: fact.answer.clone(), of_story: Some(fact) }
    }

    /// The user's words as somebody writes them in a hurry: without the last mark, or all small.
    pub(crate) fn in_a_hurry(mut self, rng: &mut Rng) -> Exchange {
        let has_names = self.user.split_whitespace().skip(1).any(|w| w.starts_with(char::is_uppercase) && w != "I");
        self.user = match rng.below(3) {
            0 => self.user.trim_end_matches(['.', '?', '!']).to_owned(),
            1 if !has_names => self.user.trim_end_matches(['.', '?', '!']).to_lowercase(),
            _ => first_small(&self.user),
        };
        self
    }
}

/// `text` with a small first letter, except where that is a name or the word I.
pub(crate) fn first_small(text: &str) -> String {
    const OPENERS: &[&str] = &[
        "What", "Where", "Who", "Which", "How", "When", "Why", "Whose", "Is", "Was", "Can", "Tell", "Please", "Do",
        "Does", "Hello", "Hi", "Good", "Thank", "Thanks", "Count", "Add", "Are", "The", "A", "Did", "If", "It",
    ];
    let first = text.split([' ', ',', '!', '?', '.']).next().unwrap_or_default();
    if OPENERS.contains(&first) { first.to_lowercase() + &text[first.len()..] } else { text.to_owned() }
}

/// Exchanges in their order.
pub(crate) type Talk = Vec<Exchange>;

/// The words of both sides.
pub(crate) fn n_words(talk: &Talk) -> usize {
    talk.iter().map(|e| words(&e.user).len() + words(&e.answer).len()).sum()
}

/// The talk as one line of JSON.
pub(crate) fn to_json(talk: &Talk) -> String {
    let turns: Vec<String> =
        talk.iter().flat_map(|e| [message("user", &e.user), message("assistant", &e.answer)]).collect();
    format!("{{\"messages\":[{}]}}", turns.join(","))
}

/// One message as JSON.
pub(crate) fn message(role: &str, said: &str) -> String {
    format!("{{\"role\":\"{role}\",\"content\":{}}}", quoted(said))
}

/// A string as JSON.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_escapes_quotation_marks() {
        let line = to_json(&vec![Exchange::new("Hi!".to_owned(), "\"Yes,\" said Pip.".to_owned())]);
        assert_eq!(
            line,
            r#"{"messages":[{"role":"user","content":"Hi!"},{"role":"assistant","content":"\"Yes,\" said Pip."}]}"#
        );
    }

    #[test]
    fn a_name_keeps_its_capital_in_a_hurry() {
        assert_eq!(first_small("Where was Nell?"), "where was Nell?");
        assert_eq!(first_small("Nell was where?"), "Nell was where?");
    }
}
