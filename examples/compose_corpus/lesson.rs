//! A lesson: one fact of the story world asked in one of many phrasings, some of which are kept for the evaluation.

use std::collections::HashSet;

use crate::facts::{Fact, plain};
use crate::grammar::tidy;
use crate::rng::Rng;
use crate::scene::Scene;
use crate::variety::hash;

/// One question outside of any story.
#[derive(Clone, Debug)]
pub(crate) struct Lesson {
    /// What kind of question it is, as the evaluation names it.
    pub(crate) kind: &'static str,
    /// What is asked, whatever the words: "3 + 4".
    pub(crate) about: String,
    pub(crate) fact: Fact,
}

/// A subject: draws a lesson.
pub(crate) type Subject = fn(&mut Rng) -> Lesson;

/// A question in this many, chosen by the hash of its words, is kept out of the talks and for the evaluation.
const HELD: u64 = 10;

impl Lesson {
    /// A lesson whose question and answer (with its mark, see [`Fact::parse`]) are drawn from templates.
    pub(crate) fn new(kind: &'static str, about: String, rng: &mut Rng, questions: &str, answers: &str) -> Lesson {
        let fact = Fact::parse(&phrase(rng, questions), &phrase(rng, answers));
        Lesson { kind, about, fact }
    }

    /// Whether the question belongs to the evaluation.
    pub(crate) fn is_held(&self) -> bool {
        hash(plain(&self.fact.question).bytes()).rotate_left(23).is_multiple_of(HELD)
    }
}

/// A lesson that may be taught: not one that is kept for the evaluation.
pub(crate) fn taught(rng: &mut Rng, subject: impl Fn(&mut Rng) -> Lesson) -> Lesson {
    loop {
        let lesson = subject(rng);
        if !lesson.is_held() {
            return lesson;
        }
    }
}

/// A lesson that is kept for the evaluation; `None` when a hundred draws give none.
pub(crate) fn kept(rng: &mut Rng, subject: impl Fn(&mut Rng) -> Lesson) -> Option<Lesson> {
    (0..100).map(|_| subject(rng)).find(Lesson::is_held)
}

/// One reading of a template outside of any story, choices made but not yet tidy.
pub(crate) fn phrase(rng: &mut Rng, template: &str) -> String {
    let nothing_told = HashSet::new();
    Scene::new(rng, &nothing_told, false, usize::MAX).expand(template)
}

/// The same, made tidy.
pub(crate) fn sentence(rng: &mut Rng, template: &str) -> String {
    tidy(&phrase(rng, template))
}
