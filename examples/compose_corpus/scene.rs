//! One story while it is being told: who is in it, what they hold, where they are, and the text so far.
//!
//! A beat is written as a few variants of a template. `[a|b|]` is a choice (it may be empty and may hold further
//! choices), `{key}` a slot. A role such as `h` fills `{h}` (the name), `{h+}` (the name or "the small mouse"),
//! `{h.he}`, `{h.him}`, `{h.his}`, `{h.who}` (the name or "she"), `{h.intro}`, `{h.kind}`, `{h.home}`, `{h.love}`; a thing such as `o` fills `{o}`
//! ("the kite"), `{o.a}` ("a red kite"), `{o.n}`, `{o.adj}`, `{o.made}`, `{o.for}`; a place fills `{p}`, `{p.at}`,
//! `{p.to}`, `{p.found}`; the sky fills `{w.is}`, `{w.adj}` and `{t}`.

use std::collections::{HashMap, HashSet};

use crate::cast::{ANIMAL, CHILD, GROWN, Person};
use crate::facts::Fact;
use crate::grammar::{tidy, with_article};
use crate::lists::list;
use crate::places::{PLACES, Place};
use crate::rng::Rng;
use crate::skies::{SKIES, Sky, TIMES};
use crate::things::{THINGS, Thing};
use crate::variety::{RUN, runs, words};

/// The state of one story.
pub(crate) struct Scene<'a> {
    rng: &'a mut Rng,
    told: &'a HashSet<u64>,
    slots: HashMap<String, String>,
    /// Who is in the story, with the role that each plays.
    pub(crate) people: Vec<(String, Person)>,
    /// What is in the story, each thing with the word for its look.
    pub(crate) things: Vec<(&'static Thing, &'static str)>,
    places: Vec<&'static Place>,
    tail: Vec<String>,
    /// The text so far.
    pub(crate) text: String,
    /// Questions that the text answers.
    pub(crate) facts: Vec<Fact>,
    /// How many of them, the first ones, belong to the plot; the others could be asked about any story.
    pub(crate) n_own_facts: usize,
    /// What a listener might have asked for ("a story about ...").
    pub(crate) themes: Vec<String>,
    /// Whether the story is to be short: optional beats are left out.
    pub(crate) brief: bool,
    /// Most words that the story may have; with one more it has failed.
    most_words: usize,
    n_words: usize,
    /// Whether some beat could not be said in words that no other story uses, or some role found nobody.
    pub(crate) failed: bool,
}

impl<'a> Scene<'a> {
    /// An empty scene; `told` holds the runs of words that earlier stories used.
    pub(crate) fn new(rng: &'a mut Rng, told: &'a HashSet<u64>, brief: bool, most_words: usize) -> Scene<'a> {
        Scene {
            rng,
            told,
            slots: HashMap::new(),
            people: Vec::new(),
            things: Vec::new(),
            places: Vec::new(),
            tail: Vec::new(),
            text: String::new(),
            facts: Vec::new(),
            n_own_facts: 0,
            themes: Vec::new(),
            brief,
            most_words,
            n_words: 0,
            failed: false,
        }
    }

    /// True in `percent` of 100 calls.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.rng.chance(percent)
    }

    /// A number below `n`, to choose between branches of a plot.
    pub(crate) fn branch(&mut self, n: usize) -> usize {
        self.rng.below(n)
    }

    /// One of `items`, for what a plot keeps in a table of its own.
    pub(crate) fn choose<'b, T>(&mut self, items: &'b [T]) -> Option<&'b T> {
        self.rng.pick(items)
    }

    /// Gives a role to somebody who fits, with a name that is not yet in the story and, for an animal, of a kind that
    /// is not yet in it either.
    pub(crate) fn cast(&mut self, role: &str, fits: impl Fn(&Person) -> bool) -> Person {
        for _ in 0..600 {
            let who = Person::anybody(self.rng);
            let taken = |q: &Person| q.first_name() == who.first_name() || (q.kind == who.kind && who.rank != CHILD);
            if !fits(&who) || self.people.iter().any(|(_, q)| taken(q)) {
                continue;
            }
            // Two girls: from now on "the girl" could mean either, so both go by their names.
            for (other, q) in self.people.iter().filter(|(_, q)| q.kind == who.kind) {
                self.slots.insert(format!("{other}+"), q.name.clone());
            }
            let alike = self.people.iter().any(|(_, q)| q.kind == who.kind);
            self.person_slots(role, &who, alike);
            self.people.push((role.to_owned(), who.clone()));
            return who;
        }
        self.failed = true;
        Person::anybody(self.rng)
    }

    fn person_slots(&mut self, role: &str, who: &Person, alike: bool) {
        let (he, him, his) = if who.she { ("she", "her", "her") } else { ("he", "him", "his") };
        let mut put = |key: &str, value: String| {
            self.slots.insert(format!("{role}{key}"), value);
        };
        put("", who.name.clone());
        put(".who", format!("[{0}|{0}|{he}]", who.name));
        put(
            "+",
            match (who.rank, alike) {
                (ANIMAL, false) => format!("[{0}|{0}|{0}|the {1}|the {2} {1}]", who.name, who.kind, who.look),
                (CHILD, false) => format!("[{0}|{0}|{0}|the {1}|the {2} {1}]", who.name, who.kind, who.nature),
                (GROWN, false) if who.name.contains(' ') => {
                    format!("[{0}|{0}|the {1}|the {2} {1}]", who.name, who.kind, who.nature)
                }
                _ => who.name.clone(),
            },
        );
        put(
            ".intro",
            match who.rank {
                GROWN if who.says_kind() => who.name.clone(),
                GROWN => format!("{} the {}", who.name, who.kind),
                ANIMAL => format!(
                    "a [{look}|{look}|{look} and {nature}|{nature}] {kind} [named|called] {name}",
                    look = who.look,
                    nature = who.nature,
                    kind = who.kind,
                    name = who.name
                ),
                _ => format!("a [{0}|{0}|young|little] {1} [named|called] {2}", who.nature, who.kind, who.name),
            },
        );
        put(".full", who.full());
        put(".he", he.to_owned());
        put(".him", him.to_owned());
        put(".his", his.to_owned());
        put(".self", format!("{him}self"));
        put(".kind", who.kind.to_owned());
        put(".nature", who.nature.to_owned());
        put(".home", who.home.to_owned());
        put(".love", who.love.to_owned());
        put(".hand", if who.rank == ANIMAL { paw(who) } else { "hand" }.to_owned());
    }

    /// The name of the thing in a role, or nothing.
    pub(crate) fn thing_name(&self, role: &str) -> &'static str {
        let name = self.slots.get(&format!("{role}.n")).map_or("", String::as_str);
        THINGS.iter().find(|t| t.name == name).map_or("", |t| t.name)
    }

    /// What a slot holds now, choices not yet made.
    pub(crate) fn slot(&self, key: &str) -> &str {
        self.slots.get(key).map_or("", String::as_str)
    }

    /// Gives the role of a thing to one that fits and is not yet in the story.
    pub(crate) fn thing(&mut self, role: &str, fits: impl Fn(&Thing) -> bool) -> &'static Thing {
        let free: Vec<&'static Thing> =
            THINGS.iter().filter(|t| fits(t) && !self.things.iter().any(|(u, _)| u.name == t.name)).collect();
        let Some(&thing) = self.rng.pick(&free) else {
            self.failed = true;
            return &THINGS[0];
        };
        let looks: Vec<&str> = thing.looks.split(' ').collect();
        let adj = self.rng.pick(&looks).copied().unwrap_or("small");
        self.things.push((thing, adj));
        for (key, value) in [
            ("", format!("[the {0}|the {0}|the {adj} {0}]", thing.name)),
            (".a", with_article(&format!("{adj} {}", thing.name))),
            (".n", thing.name.to_owned()),
            (".n0", format!("the {}", thing.name)),
            (".adj", adj.to_owned()),
            (".an", format!("{adj} {}", thing.name)),
            (".made", thing.made.to_owned()),
            (".for", thing.purpose.to_owned()),
        ] {
            self.slots.insert(format!("{role}{key}"), value);
        }
        thing
    }

    /// Gives the role of a place to one that fits.
    pub(crate) fn place(&mut self, role: &str, fits: impl Fn(&Place) -> bool) -> &'static Place {
        let free: Vec<&'static Place> =
            PLACES.iter().filter(|p| fits(p) && !self.places.iter().any(|q| q.name == p.name)).collect();
        let Some(&place) = self.rng.pick(&free) else {
            self.failed = true;
            return &PLACES[0];
        };
        self.places.push(place);
        let spots: Vec<&str> = place.spots.split(',').map(str::trim).collect();
        let spot = self.rng.pick(&spots).copied().unwrap_or("under a stone");
        for (key, value) in [
            ("", place.name.to_owned()),
            (".prep", place.prep.to_owned()),
            (".at", format!("{} {}", place.prep, place.name)),
            (".to", format!("to {}", place.name)),
            (".found", place.found.to_owned()),
            (".spot", spot.to_owned()),
        ] {
            self.slots.insert(format!("{role}{key}"), value);
        }
        place
    }

    /// Whether the place that was given last has any of `tags`.
    pub(crate) fn place_is(&self, tags: u32) -> bool {
        self.places.last().is_some_and(|p| p.is(tags))
    }

    /// Chooses the weather and the time of day.
    pub(crate) fn sky(&mut self, fits: impl Fn(&Sky) -> bool) -> &'static Sky {
        let free: Vec<&'static Sky> = SKIES.iter().filter(|s| fits(s)).collect();
        let Some(&sky) = self.rng.pick(&free) else {
            self.failed = true;
            return &SKIES[0];
        };
        self.slots.insert("w.adj".into(), sky.adj.into());
        self.slots.insert("w.is".into(), sky.is.into());
        let time = self.rng.pick(TIMES).copied().unwrap_or(("morning", "in the morning"));
        self.slots.insert("t".into(), time.0.into());
        self.slots.insert("t.at".into(), time.1.into());
        sky
    }

    /// Sets the time of day where a plot needs a certain one.
    pub(crate) fn hour(&mut self, part: &str, when: &str) {
        self.set("t", part);
        self.set("t.at", when);
    }

    /// Fills a slot with one reading of `template`, the same wherever the story uses it.
    pub(crate) fn set(&mut self, key: &str, template: &str) {
        let value = self.expand(template);
        self.slots.insert(key.to_owned(), value);
    }

    /// Tells a beat in one of its variants, in words that no earlier story used.
    pub(crate) fn say(&mut self, variants: &[&str]) {
        if self.failed {
            return;
        }
        for _ in 0..40 {
            let Some(&template) = self.rng.pick(variants) else { return };
            let sentence = tidy(&self.expand(template));
            let new = words(&sentence);
            let n_new = new.len();
            let mut near = self.tail.clone();
            near.extend(new);
            if runs(&near).iter().any(|run| self.told.contains(run)) {
                continue;
            }
            if !self.text.is_empty() && !self.text.ends_with('\n') {
                self.text.push(' ');
            }
            self.text.push_str(&sentence);
            self.tail = near.split_off(near.len().saturating_sub(RUN - 1));
            self.n_words += n_new;
            self.failed = self.n_words > self.most_words;
            return;
        }
        self.failed = true;
    }

    /// Tells a beat that the story can do without; a brief story does.
    pub(crate) fn extra(&mut self, variants: &[&str]) {
        if !self.brief && self.rng.chance(75) {
            self.say(variants);
        }
    }

    /// Starts a new paragraph.
    pub(crate) fn para(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push_str("\n\n");
        }
    }

    /// Notes a question that the text answers. In the answer, `<red;the red one>` marks the words that make it right,
    /// as they are said, and after semicolons others that will do.
    pub(crate) fn fact(&mut self, question: &str, answer: &str) {
        let (question, answer) = (self.expand(question), self.expand(answer));
        let fact = Fact::parse(&question, &answer).naming(self.people.iter().map(|(_, p)| p));
        self.facts.push(fact);
    }

    /// Notes what the story is about.
    pub(crate) fn theme(&mut self, theme: &str) {
        let theme = self.expand(theme);
        self.themes.push(theme);
    }

    /// One reading of a template, choices made and slots filled.
    pub(crate) fn expand(&mut self, template: &str) -> String {
        let mut out = String::new();
        let mut rest = template;
        while let Some(at) = rest.find(['[', '{']) {
            out.push_str(&rest[..at]);
            let open = rest.as_bytes()[at];
            let end = closing(&rest[at..]) + at;
            let inner = &rest[at + 1..end];
            if open == b'[' {
                let options = split_choices(inner);
                let choice = self.rng.pick(&options).copied().unwrap_or("");
                out.push_str(&self.expand(choice));
            } else {
                let value = self.slots.get(inner).cloned().or_else(|| list(inner).map(str::to_owned));
                match value {
                    Some(value) => out.push_str(&self.expand(&value)),
                    // Left visible, so that the test for unfilled slots names it.
                    None => out.push_str(&format!("?unfilled {inner}?")),
                }
            }
            rest = &rest[end + 1..];
        }
        out.push_str(rest);
        out
    }
}

fn paw(who: &Person) -> &'static str {
    use crate::cast::{FLY, HOOF};
    match who.skills {
        s if s & FLY != 0 => "wing",
        s if s & HOOF != 0 => "hoof",
        _ => "paw",
    }
}

/// The byte position of the bracket that closes the one at the start of `text`, or the end of `text`.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    for (i, c) in text.char_indices() {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => {
                depth -= 1;
                if depth == 0 {
                    return i;
                }
            }
            _ => {}
        }
    }
    text.len() - 1
}

/// Splits at each `|` that is not inside a further bracket.
fn split_choices(inner: &str) -> Vec<&str> {
    let mut depth = 0;
    let mut start = 0;
    let mut out = Vec::new();
    for (i, c) in inner.char_indices() {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            '|' if depth == 0 => {
                out.push(&inner[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    out.push(&inner[start..]);
    out
}
