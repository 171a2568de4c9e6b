//! Questions that can be asked about any story: who somebody is, what colour a thing has, when it was, what is not told.

use crate::cast::{ANIMAL, ANIMALS, CHILD, Person};
use crate::facts::plain;
use crate::grammar::with_article;
use crate::scene::Scene;

/// Words for a look that are colours.
pub(crate) const COLOURS: &[&str] = &[
    "red", "blue", "yellow", "green", "orange", "pink", "black", "white", "brown", "grey", "purple", "golden", "silver",
];

/// Adjectives of the sky that tell the weather, and those that tell the time of year.
const WEATHER: &[&str] = &[
    "sunny", "warm", "hot", "cloudy", "windy", "gusty", "blowy", "rainy", "wet", "snowy", "frosty", "foggy", "misty",
    "stormy",
];
const SEASONS: &[&str] = &["spring", "summer", "autumn", "winter"];
const DAYS: &[&str] = &["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const PARTS: &[&str] = &["morning", "afternoon", "evening"];

/// Notes what the finished text of `s` answers, drops what it does not answer after all, and notes its themes.
pub(crate) fn about_any_story(s: &mut Scene) {
    let told = format!(" {} ", plain(&s.text));
    let text = s.text.clone();
    s.facts.retain(|fact| fact.is_told_in(&text));
    s.n_own_facts = s.facts.len();
    for (role, who) in s.people.clone() {
        about_somebody(s, &told, &role, &who);
    }
    about_the_time(s, &told);
    about_things(s, &told);
    s.facts.retain(|fact| fact.is_told_in(&text));
    themes(s, &told);
}

fn says(told: &str, words: &str) -> bool {
    told.contains(&format!(" {} ", plain(words)))
}

fn about_somebody(s: &mut Scene, told: &str, role: &str, who: &Person) {
    let Person { name, kind, look, nature, .. } = who;
    let of_kind = s.people.iter().filter(|(_, p)| p.kind == *kind).count();
    let named = [format!("{name} the {kind}"), format!("{kind} named {name}"), format!("{kind} called {name}")];
    if !named.iter().any(|words| says(told, words)) && !says(told, &format!("{name} was a {nature} {kind}")) {
        return;
    }
    let is_she = format!("{{{role}.he}}");
    match who.rank {
        ANIMAL => {
            s.fact(&format!("what [kind of |]animal [is|was] {name}?"), &format!("[{name}|{is_she}] was a <{kind}>."))
        }
        CHILD => s.fact(&format!("was {name} a girl or a boy?"), &format!("{name} was a <{kind}>.")),
        _ => s.fact(&format!("what was the work of {name}?"), &format!("{name} was a <{kind}>.")),
    }
    if of_kind == 1 && !who.says_kind() {
        s.fact(
            &format!("[what was the name of the {kind}|what was the {kind} called|who was the {kind}]?"),
            &format!("[the {kind} was called|it was] <{name}>."),
        );
    }
    if says(told, &format!("{nature} {kind}")) {
        s.fact(&format!("what was {name} like?"), &format!("{name} was <{nature};{look}>."));
    }
    let colour_told = says(told, &format!("{look} {kind}")) || says(told, &format!("{look} and {nature} {kind}"));
    if COLOURS.contains(look) && colour_told {
        s.fact(&format!("[what|which] colour was {name}?"), &format!("{name} was <{look}>."));
    }
    about_whether(s, told, who);
}

/// Questions whose answer is a yes or a no.
fn about_whether(s: &mut Scene, told: &str, who: &Person) {
    if who.rank != ANIMAL {
        return;
    }
    let (name, kind) = (&who.name, who.kind);
    let Some(other) = s.choose(ANIMALS).map(|k| k.kind) else { return };
    match s.branch(4) {
        0 => s.fact(&format!("was {name} {}?", with_article(kind)), &format!("<yes>, {name} was a {kind}.")),
        1 if other != kind => {
            s.fact(&format!("was {name} {}?", with_article(other)), &format!("<no>, {name} was a {kind}."));
        }
        2 if !told.contains(other) => s.fact(
            &format!("[is|was] there {} in the story?", with_article(other)),
            &format!("<no>, there was no {other} in the story."),
        ),
        _ => s.fact(
            &format!("[is|was] there {} in the story?", with_article(kind)),
            &format!("<yes>, the {kind} was called {name}."),
        ),
    }
}

fn about_the_time(s: &mut Scene, told: &str) {
    let (sky, time) = (s.slot("w.adj").to_owned(), s.slot("t").to_owned());
    let both = says(told, &format!("{sky} {time}"));
    if WEATHER.contains(&sky.as_str()) && both {
        s.fact("[what was the weather like|how was the weather]?", &format!("it was <{sky}>."));
    }
    if SEASONS.contains(&sky.as_str()) && both {
        s.fact("what time of year was it?", &format!("it was <{sky}>."));
    }
    if DAYS.contains(&time.as_str()) && says(told, &time) {
        let days_told = DAYS.iter().filter(|day| says(told, day)).count();
        if days_told == 1 {
            s.fact("[what|which] day was it?", &format!("it was <{time}>."));
        }
    }
    if PARTS.contains(&time.as_str()) && both {
        s.fact("[what time of day was it|when did the story begin]?", &format!("it was <{time}>."));
    }
}

fn about_things(s: &mut Scene, told: &str) {
    for (thing, look) in s.things.clone() {
        let name = thing.name;
        if !COLOURS.contains(&look) || !says(told, &format!("{look} {name}")) {
            continue;
        }
        s.fact(
            &format!("[what colour was|which colour was|what was the colour of] the {name}?"),
            &format!("[it|the {name}] was <{look}>."),
        );
        let Some(other) = s.choose(COLOURS).copied() else { continue };
        if other != look && s.chance(40) {
            s.fact(&format!("was the {name} {other}?"), &format!("<no>, it was {look}."));
        } else if s.chance(40) {
            s.fact(&format!("was the {name} {look}?"), &format!("<yes>, it was {look}."));
        }
    }
}

/// Questions of a kind that no story answers.
pub(crate) const UNTOLD: &[&str] = &[
    "how old was {h}?",
    "what did {h} [eat for breakfast|have for breakfast|eat for supper]?",
    "what was the name of {h's} [mother|father|sister|brother|aunt|best toy]?",
    "how tall was {h}?",
    "when was {h} born?",
    "what did {h} dream about [that night|the next night]?",
    "how many [brothers|sisters|toys|cousins] did {h} have?",
    "what was the favourite [song|colour|number|book] of {h}?",
    "what was {h} wearing on {his} feet?",
    "what did the mother of {h} say?",
    "what [was|is] the name of the village?",
    "how many houses were there in the village?",
    "what did {h} do [the next week|one year later|on {his} birthday]?",
    "which song did {h} like best?",
    "how much did {h} weigh?",
    "what was the name of the [king|queen|mayor]?",
];

/// What the story has in it, as somebody might ask for it.
fn themes(s: &mut Scene, told: &str) {
    let mut themes = Vec::new();
    if let Some((_, hero)) = s.people.first().cloned() {
        themes.push(hero.name.clone());
        if hero.rank != CHILD && !hero.says_kind() {
            themes.push(with_article(hero.kind));
            themes.push(hero.full());
            themes.push(format!("{} called {}", with_article(hero.kind), hero.name));
        }
        if let Some((_, friend)) = s.people.get(1) {
            if says(told, &friend.name) && says(told, &hero.name) {
                themes.push(format!("{} and {}", hero.name, friend.name));
            }
            if friend.rank == ANIMAL {
                themes.push(format!("{} and {}", hero.name, with_article(friend.kind)));
            }
        }
        for (thing, look) in s.things.clone() {
            if says(told, thing.name) {
                themes.push(with_article(thing.name));
                themes.push(format!("{} and {}", hero.name, with_article(thing.name)));
            }
            if says(told, &format!("{look} {}", thing.name)) {
                themes.push(with_article(&format!("{look} {}", thing.name)));
            }
        }
    }
    let place = s.slot("p").to_owned();
    if says(told, &place) {
        themes.push(place);
    }
    // Half of the time the plot's own theme, "a race", and otherwise somebody or something in it.
    let own: Vec<String> = s.themes.iter().flat_map(|theme| vec![theme.clone(); themes.len().div_ceil(2)]).collect();
    s.themes = themes.into_iter().filter(|theme| is_in(told, theme)).chain(own).collect();
}

/// Whether every name and noun of a theme is in the text.
fn is_in(told: &str, theme: &str) -> bool {
    plain(theme).split(' ').filter(|w| !["a", "an", "the", "and", "called"].contains(w)).all(|w| says(told, w))
}
