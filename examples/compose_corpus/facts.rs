//! A question with its answer and with what makes an answer right.

use crate::cast::Person;
use crate::grammar::{tidy, with_article};
use crate::things::THINGS;

/// A question, its answer in a whole sentence, and the runs of words of which a right answer has one.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) question: String,
    pub(crate) answer: String,
    /// In lower case and without punctuation, see [`plain`]; the first is what `answer` says.
    pub(crate) accept: Vec<String>,
}

impl Fact {
    /// Reads a question and an answer that marks what makes it right: `it was <red;the red one>.` says "It was red."
    /// and takes "red" and "the red one" for right.
    pub(crate) fn parse(question: &str, answer: &str) -> Fact {
        let (before, rest) = answer.split_once('<').unwrap_or(("", answer));
        let (marked, after) = rest.split_once('>').unwrap_or((rest.trim_end_matches('.'), "."));
        let ways: Vec<&str> = marked.split(';').collect();
        let mut accept = Vec::new();
        for way in &ways {
            accept.extend(ways_to_say(&plain(&tidy(way))));
        }
        accept.dedup();
        Fact { question: tidy(question), answer: tidy(&format!("{before}{}{after}", ways[0])), accept }
    }

    /// Takes the name alone, or "the mouse", where the answer says "Pip the mouse".
    pub(crate) fn naming<'a>(mut self, people: impl Iterator<Item = &'a Person>) -> Fact {
        for who in people {
            if self.accept.first().is_some_and(|said| *said == plain(&who.full())) && who.full() != who.name {
                self.accept.extend([plain(&who.name), format!("the {}", who.kind)]);
            }
        }
        self
    }

    /// Whether `text` says the answer in the same words, or the answer is a yes or a no.
    pub(crate) fn is_told_in(&self, text: &str) -> bool {
        let told = format!(" {} ", plain(text));
        self.accept.first().is_some_and(|said| said == "yes" || said == "no" || told.contains(&format!(" {said} ")))
    }
}

/// Text as answers are compared: lower case, and every run of other signs than letters, digits and apostrophes one space.
pub(crate) fn plain(text: &str) -> String {
    let kept: String =
        text.chars().map(|c| if c.is_alphanumeric() || c == '\'' { c } else { ' ' }).collect::<String>().to_lowercase();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The numbers up to twenty in words.
pub(crate) const NUMBERS: [&str; 21] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
];

/// `said` without its article, and what means the same: digits for a number, "the kite" for "a red kite" (but not "a
/// blue kite", which is why the article stays there).
fn ways_to_say(said: &str) -> Vec<String> {
    let core = ["a ", "an ", "the "].iter().find_map(|article| said.strip_prefix(article)).unwrap_or(said);
    let mut ways = vec![core.to_owned()];
    if let Some(n) = NUMBERS.iter().position(|word| *word == core) {
        ways.push(n.to_string());
    }
    let thing = THINGS.iter().find(|t| core.strip_suffix(t.name).is_some_and(|look| look.ends_with(' ')));
    if let Some(thing) = thing.filter(|_| core.split(' ').count() == thing.map_or(0, |t| t.name.split(' ').count() + 1))
    {
        ways.push(with_article(thing.name));
        ways.extend(["the", "his", "her"].map(|whose| format!("{whose} {}", thing.name)));
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marked_words_make_an_answer_right() {
        let fact = Fact::parse("who had it?", "it was <the crow;a bird>.");
        assert_eq!(fact.answer, "It was the crow.");
        assert_eq!(fact.accept, ["crow", "bird"]);
    }

    #[test]
    fn a_thing_may_be_named_without_its_colour_but_not_with_another() {
        let fact = Fact::parse("what did Ada lose?", "Ada lost <a red kite>.");
        assert_eq!(fact.accept, ["red kite", "a kite", "the kite", "his kite", "her kite"]);
    }

    #[test]
    fn a_number_may_be_given_in_digits() {
        assert_eq!(Fact::parse("how many?", "there were <seven> ducks.").accept, ["seven", "7"]);
    }
}
