//! The talks: which kinds of exchanges come together in one, and how often.

use crate::animals::animals;
use crate::lesson::{Lesson, taught};
use crate::numbers::{Sum, counting};
use crate::plots::Teller;
use crate::rng::Rng;
use crate::small_talk::{about_self, goodbye, greeting, name_again, passing, story_thanks, told_of_self};
use crate::story_talk::{reading, telling};
use crate::talk::{Exchange, Talk};
use crate::unknown::unknown;
use crate::week::week;
use crate::world::world;

/// Holds talks one after another.
pub(crate) struct Talker {
    /// Sums still to be asked in this round, so that all come equally often.
    sums: Vec<Sum>,
}

impl Talker {
    pub(crate) fn new() -> Talker {
        Talker { sums: Vec::new() }
    }

    /// The next talk.
    pub(crate) fn talk(&mut self, teller: &mut Teller) -> Talk {
        let mut talk = match teller.rng().below(100) {
            0..30 => self.about_a_story(teller, true),
            30..43 => self.about_a_story(teller, false),
            43..54 => self.meeting(teller.rng()),
            54..67 => self.reckoning(teller.rng()),
            _ => self.lessons(teller.rng()),
        };
        let rng = teller.rng();
        for exchange in &mut talk {
            if rng.chance(18) && exchange.user.len() < 120 {
                *exchange = exchange.clone().in_a_hurry(rng);
            }
        }
        talk
    }

    fn about_a_story(&mut self, teller: &mut Teller, asked_for: bool) -> Talk {
        let n = 3 + teller.rng().below(4);
        let (hello, name) = match teller.rng().below(100) {
            0..12 => {
                let (hello, name) = greeting(teller.rng());
                (Some(hello), name)
            }
            _ => (None, None),
        };
        let mut talk: Talk = hello.into_iter().collect();
        talk.extend(if asked_for { telling(teller, n) } else { reading(teller, n) });
        let rng = teller.rng();
        if rng.chance(25) {
            let lesson = self.any_lesson(rng);
            talk.push(exchange(lesson));
        }
        if asked_for && rng.chance(20) {
            talk.push(story_thanks(rng));
        }
        if let Some(name) = name.filter(|_| rng.chance(50)) {
            let fact = name_again(rng, name);
            talk.push(Exchange::new(fact.question, fact.answer));
        }
        if rng.chance(12) {
            talk.push(goodbye(rng, name));
        }
        talk
    }

    fn meeting(&mut self, rng: &mut Rng) -> Talk {
        let mut talk = Vec::new();
        let mut name = None;
        if rng.chance(75) {
            let (hello, named) = greeting(rng);
            name = named;
            talk.push(hello);
        }
        let mut later = Vec::new();
        for _ in 0..1 + rng.below(4) {
            match rng.below(100) {
                0..50 => talk.push(passing(rng)),
                50..75 => talk.push(exchange(taught(rng, about_self))),
                75..88 => {
                    let (told, question) = told_of_self(rng);
                    talk.push(told);
                    later.push(question);
                }
                _ => talk.push(exchange(self.any_lesson(rng))),
            }
        }
        if let Some(name) = name.filter(|_| rng.chance(60)) {
            later.push(name_again(rng, name));
        }
        rng.shuffle(&mut later);
        later.dedup_by(|a, b| a.question == b.question);
        talk.extend(later.into_iter().map(|fact| Exchange::new(fact.question, fact.answer)));
        if rng.chance(45) {
            talk.push(goodbye(rng, name));
        }
        talk
    }

    /// A few sums, with counting in between.
    fn reckoning(&mut self, rng: &mut Rng) -> Talk {
        let mut talk = Vec::new();
        for _ in 0..4 + rng.below(5) {
            let lesson = if rng.chance(72) { self.sum(rng) } else { taught(rng, counting) };
            talk.push(exchange(lesson));
        }
        talk
    }

    fn lessons(&mut self, rng: &mut Rng) -> Talk {
        let mut talk: Talk = Vec::new();
        for _ in 0..3 + rng.below(4) {
            let next = exchange(self.any_lesson(rng));
            if !talk.iter().any(|said| said.user == next.user) {
                talk.push(next);
            }
        }
        talk
    }

    fn any_lesson(&mut self, rng: &mut Rng) -> Lesson {
        match rng.below(100) {
            0..28 => taught(rng, animals),
            28..57 => taught(rng, world),
            57..70 => taught(rng, unknown),
            70..80 => taught(rng, week),
            80..86 => taught(rng, counting),
            86..95 => self.sum(rng),
            _ => taught(rng, about_self),
        }
    }

    fn sum(&mut self, rng: &mut Rng) -> Lesson {
        if self.sums.is_empty() {
            self.sums = Sum::all();
            rng.shuffle(&mut self.sums);
        }
        let sum = self.sums.pop().unwrap_or_else(|| Sum::all()[0]);
        taught(rng, |rng| sum.lesson(rng))
    }
}

fn exchange(lesson: Lesson) -> Exchange {
    Exchange::new(lesson.fact.question, lesson.fact.answer)
}
