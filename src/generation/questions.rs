//! Questions with known answers: what they are, and when an answer is right.
//!
//! A line of a file of questions is `{"kind": …, "messages": […], "answers": […]}`: a talk that ends with the user's
//! question, and what right answers say. An answer is judged by its first sentence: written in small letters, with one
//! blank for each run of anything but letters, digits and apostrophes, it must hold one of `answers` as whole words.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::tokenizer::Message;

/// A question and its answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Question {
    /// What sort of question it is, for the tally.
    #[serde(default)]
    pub kind: String,
    /// The talk; its last turn is the question.
    pub messages: Vec<Message>,
    /// Any of these makes an answer right.
    pub answers: Vec<String>,
}

/// The questions of a file's text; an error names the line.
pub fn parse(text: &str) -> Result<Vec<Question>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let questions: Result<Vec<Question>> =
        lines.map(|(i, line)| one(line).with_context(|| format!("line {}", i + 1))).collect();
    let questions = questions?;
    ensure!(!questions.is_empty(), "there is no question in it");
    Ok(questions)
}

fn one(line: &str) -> Result<Question> {
    let question: Question = serde_json::from_str(line)
        .context("a question is {\"messages\": [{\"role\": ..., \"content\": ...}, ...], \"answers\": [...]}")?;
    let asks = question.messages.last().is_some_and(|message| message.role == "user");
    ensure!(asks, "the last of \"messages\" must be the user's, who asks");
    let empty = question.answers.iter().any(|answer| words(answer).is_empty());
    ensure!(!empty && !question.answers.is_empty(), "\"answers\" must hold at least one, and each at least one word");
    Ok(question)
}

impl Question {
    /// Whether what was `said` is right.
    pub fn is_answered_by(&self, said: &str) -> bool {
        let said = words(first_sentence(said));
        self.answers.iter().any(|answer| {
            let answer = words(answer);
            said.windows(answer.len()).any(|run| run == answer)
        })
    }
}

/// Up to and with the first mark that ends a sentence.
fn first_sentence(text: &str) -> &str {
    text.find(['.', '!', '?']).map_or(text, |end| &text[..=end])
}

/// The words in small letters.
fn words(text: &str) -> Vec<String> {
    let is_between = |c: char| !(c.is_alphanumeric() || c == '\'');
    text.to_lowercase().split(is_between).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(answers: &[&str]) -> Question {
        let messages = vec![Message { role: "user".into(), content: "What was it?".into() }];
        Question { kind: String::new(), messages, answers: answers.iter().map(|&a| a.to_owned()).collect() }
    }

    #[test]
    fn an_answer_is_right_by_whole_words_of_its_first_sentence() {
        let kite = question(&["a red kite", "her kite"]);
        for (said, is_right) in [
            ("It was a red kite.", true),
            ("A RED\nkite!", true),
            ("Her kite", true),
            ("It was a blue kite.", false),
            ("It was a red kitestring.", false),
            ("I am not sure. It was a red kite.", false),
            ("", false),
        ] {
            assert_eq!(kite.is_answered_by(said), is_right, "{said:?}");
        }
        assert!(question(&["don't know"]).is_answered_by("I don't know that."));
        assert!(!question(&["don't know"]).is_answered_by("I don t know that."));
    }

    #[test]
    fn what_is_no_question_is_named_by_its_line() {
        let good = r#"{"messages": [{"role": "user", "content": "Hi?"}], "answers": ["hello"]}"#;
        assert_eq!(parse(&format!("{good}\n\n{good}\n")).unwrap().len(), 2);
        for (line, words) in [
            ("{}", "a question is {\"messages\""),
            (r#"{"messages": [], "answers": ["a"]}"#, "must be the user's"),
            (r#"{"messages": [{"role": "assistant", "content": "Hi?"}], "answers": ["a"]}"#, "must be the user's"),
            (r#"{"messages": [{"role": "user", "content": "Hi?"}], "answers": []}"#, "at least one"),
            (r#"{"messages": [{"role": "user", "content": "Hi?"}], "answers": ["a", "!"]}"#, "at least one word"),
        ] {
            let error = format!("{:#}", parse(&format!("{good}\n{line}")).unwrap_err());
            assert!(error.contains("line 2") && error.contains(words), "{error}");
        }
        assert!(parse("\n").unwrap_err().to_string().contains("no question"));
    }
}
