//! The committed evaluation: questions whose stories, or whose words, are in neither corpus, with their right answers.

use crate::animals::animals;
use crate::facts::Fact;
use crate::lesson::{Lesson, Subject, kept};
use crate::numbers::{Sum, counting};
use crate::plots::Teller;
use crate::rng::Rng;
use crate::small_talk::about_self;
use crate::story_talk::examined;
use crate::talk::{Exchange, Talk, message, quoted};
use crate::unknown::unknown;
use crate::week::week;
use crate::world::world;

/// How many questions there are of each kind.
#[rustfmt::skip]
const COUNTS: &[(&str, usize)] =
    &[("story", 200), ("fact", 100), ("sum", 60), ("counting", 40), ("days", 40), ("unknown", 50), ("self", 10)];

/// One question of the evaluation.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) kind: &'static str,
    /// What a lesson was about; empty for a story.
    pub(crate) about: String,
    /// What was said before.
    pub(crate) before: Talk,
    pub(crate) fact: Fact,
}

/// The questions; `teller` has told all stories of the corpora and tells none in words that they used.
pub(crate) fn questions(teller: &mut Teller) -> Vec<Question> {
    let mut out: Vec<Question> = Vec::new();
    for &(kind, n) in COUNTS {
        let mut found = 0;
        // A kind with few phrasings runs out of new ones before it has `n`.
        for _ in 0..20 * n {
            if found == n {
                break;
            }
            let question = next(kind, teller);
            let asked = |q: &Question| q.before.is_empty() && q.fact.question == question.fact.question;
            if !out.iter().any(asked) {
                out.push(question);
                found += 1;
            }
        }
    }
    out
}

fn next(kind: &'static str, teller: &mut Teller) -> Question {
    if kind == "story" {
        let (before, fact) = examined(teller);
        return Question { kind, about: String::new(), before, fact };
    }
    loop {
        let rng = teller.rng();
        let lesson = match kind {
            "sum" => kept(rng, any_sum),
            "counting" => kept(rng, counting as Subject),
            "days" => kept(rng, week as Subject),
            "unknown" => kept(rng, unknown as Subject),
            "self" => kept(rng, about_self as Subject),
            _ if rng.chance(50) => kept(rng, animals as Subject),
            _ => kept(rng, world as Subject),
        };
        if let Some(Lesson { kind, about, fact }) = lesson {
            return Question { kind, about, before: Vec::new(), fact };
        }
    }
}

/// A sum whose result is not a part of the question.
fn any_sum(rng: &mut Rng) -> Lesson {
    let all = Sum::all();
    loop {
        let sum = all[rng.below(all.len())];
        if sum.is_telling() {
            return sum.lesson(rng);
        }
    }
}

/// The question as one line of JSON.
pub(crate) fn to_json(question: &Question) -> String {
    let mut messages: Vec<String> = question
        .before
        .iter()
        .flat_map(|Exchange { user, answer, .. }| [message("user", user), message("assistant", answer)])
        .collect();
    messages.push(message("user", &question.fact.question));
    let answers: Vec<String> = question.fact.accept.iter().map(|way| quoted(way)).collect();
    format!(
        "{{\"kind\":\"{}\",\"messages\":[{}],\"answers\":[{}]}}",
        question.kind,
        messages.join(","),
        answers.join(",")
    )
}
