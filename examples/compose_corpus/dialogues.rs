//! Short talks about the stories and their world: asking for a story, questions about it, greetings, simple facts.

use std::collections::HashSet;

use crate::cast::{ANIMAL, CHILD, GROWN, PEOPLE, Person};
use crate::cast::{CLIMB, DIG, EYES, FAST, FLY, NOSE, STRONG, SWIM};
use crate::grammar::{tidy, with_article};
use crate::places::PLACES;
use crate::plots::{Story, Teller};
use crate::rng::Rng;
use crate::scene::{Fact, Scene};
use crate::things::THINGS;

/// Most words of a story that is told in a talk, so that the whole talk stays short.
const STORY_WORDS: usize = 125;

/// One talk: what the two say in turn, the user first.
pub(crate) type Talk = Vec<String>;

/// The next talk.
pub(crate) fn talk(teller: &mut Teller) -> Talk {
    match teller.rng().below(100) {
        0..55 => story_talk(teller),
        55..72 => reading_talk(teller),
        72..82 => greeting_talk(teller.rng()),
        _ => fact_talk(teller.rng()),
    }
}

/// The talk as one line of JSON.
pub(crate) fn to_json(talk: &Talk) -> String {
    let turns: Vec<String> = talk
        .iter()
        .enumerate()
        .map(|(i, said)| {
            let role = if i % 2 == 0 { "user" } else { "assistant" };
            format!("{{\"role\":\"{role}\",\"content\":\"{}\"}}", escaped(said))
        })
        .collect();
    format!("{{\"messages\":[{}]}}", turns.join(","))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// One reading of a template outside of any story, made tidy.
fn phrase(rng: &mut Rng, template: &str) -> String {
    let nothing_told = HashSet::new();
    let mut scene = Scene::new(rng, &nothing_told, false);
    tidy(&scene.expand(template))
}

fn one_paragraph(story: &Story) -> String {
    story.text.replace("\n\n", " ")
}

fn some_facts(rng: &mut Rng, story: &Story, most: usize) -> Vec<Fact> {
    let mut facts = story.facts.clone();
    rng.shuffle(&mut facts);
    facts.truncate(1 + rng.below(most));
    facts
}

fn story_talk(teller: &mut Teller) -> Talk {
    let story = teller.story(true, STORY_WORDS);
    let rng = teller.rng();
    let theme = rng.pick(&story.themes).cloned().unwrap_or_else(|| "a friend".to_owned());
    let asks = [
        "[please |]tell me a story about {x}[, please|].",
        "can you tell me a [short |]story about {x}?",
        "I want to hear a story about {x}.",
        "do you know a story about {x}?",
        "a story about {x}, please!",
        "hello! ^[please |]tell me a story about {x}.",
        "it is bedtime. ^tell me about {x}, please.",
        "write a [short|little] story about {x}.",
        "could I have a story about {x}?",
    ];
    let ask = rng.pick(&asks).copied().unwrap_or("tell me a story about {x}.").replace("{x}", &theme);
    let mut talk = vec![phrase(rng, &ask), one_paragraph(&story)];
    for (question, answer) in some_facts(rng, &story, 3) {
        let lead = phrase(rng, "[[what a {good} story!|thank you!|I like that.|tell me,|one question.]|||]");
        let question = match lead.as_str() {
            "" => question,
            lead if lead.ends_with(',') => {
                format!("{lead} {}{}", question[..1].to_lowercase(), &question[1..])
            }
            lead => format!("{lead} {question}"),
        };
        talk.push(question);
        talk.push(answer);
    }
    if rng.chance(30) {
        talk.push(phrase(
            rng,
            "[thank you!|thanks for the story.|I {liked-it} this story.|that was {good}.|good night!]",
        ));
        let thanks = talk.last().is_some_and(|t| t.starts_with("Good night"));
        talk.push(phrase(rng, if thanks { "[good night! ^sleep well.|sleep well and dream of {good} things.]" } else {
            "[you are welcome!|I am glad that you like it.|come back soon for another one!|it was a pleasure. ^shall I tell you another one?]"
        }));
    }
    talk
}

fn reading_talk(teller: &mut Teller) -> Talk {
    let story = teller.story(true, STORY_WORDS);
    let rng = teller.rng();
    let text = one_paragraph(&story);
    let facts = some_facts(rng, &story, 3);
    let mut talk = Vec::new();
    for (i, (question, answer)) in facts.into_iter().enumerate() {
        let said = match (i, rng.below(3)) {
            (0, 0) => format!(
                "{} {text} {question}",
                phrase(rng, "[listen to this story.|here is a story.|I have read this story.|this is my story.]")
            ),
            (0, 1) => format!("{text} {}: {question}", phrase(rng, "[now tell me|my question is|please answer]")),
            (0, _) => format!("{text} {question}"),
            _ => question,
        };
        talk.push(said);
        talk.push(answer);
    }
    talk
}

fn greeting_talk(rng: &mut Rng) -> Talk {
    let children: Vec<&Person> = PEOPLE.iter().filter(|p| p.rank == CHILD).collect();
    let name = rng.pick(&children).map_or("Nell", |p| p.name);
    let mut talk = Vec::new();
    let named = rng.chance(60);
    let (hello, back) = if named {
        (
            "[hello|hi|good morning|good evening|good day]! ^[my name is {n}|I am {n}].",
            "[hello|hi|good day], {n}! ^[how are you|how are you today|what would you like to hear|shall I tell you a story|it is nice to meet you. ^what shall we talk about]?",
        )
    } else {
        (
            "[hello|hi|good morning|good evening|good day][ to you|]!",
            "[hello|hi|good day]! ^[how are you|how are you today|what is your name|what would you like to hear|shall I tell you a story]?",
        )
    };
    talk.push(phrase(rng, &hello.replace("{n}", name)));
    talk.push(phrase(rng, &back.replace("{n}", name)));
    let asked_name = talk[1].contains("your name");
    let asked_how = talk[1].contains("how are you") || talk[1].contains("How are you");
    if asked_name {
        talk.push(phrase(rng, &"[my name is {n}|I am {n}|it is {n}].".replace("{n}", name)));
        talk.push(phrase(rng, &"[{n} is a {good} name|what a {good} name, {n}|nice to meet you, {n}]! ^what [shall I tell you|would you like to know]?".replace("{n}", name)));
    } else if asked_how {
        let (mood, answer) = *rng
            .pick(&[
                ("[I am well, thank you|I am fine|very well|I am {glad} today].", "[I am glad to hear it|that is good|how nice]! ^what [shall I tell you|would you like to hear]?"),
                ("[I am a bit sad|I feel sad|not so well].", "I am sorry[ to hear that|]. ^[maybe a story will help|shall I tell you a story about a good friend|do you want to tell me why]?"),
                ("[I am tired|I am very tired|a little tired].", "then [it is time for bed|a short story will be best|lie down, and I will tell you something quiet]."),
                ("[I am bored|it is raining, and I am bored].", "[then let us find a good story|how about a story of a great race|I know what helps, a story]."),
            ])
            .unwrap_or(&("I am fine.", "that is good!"));
        talk.push(phrase(rng, mood));
        talk.push(phrase(rng, answer));
    }
    for _ in 0..rng.below(3) {
        let (question, answer) = fact(rng);
        talk.push(question);
        talk.push(answer);
    }
    if rng.chance(60) {
        talk.push(phrase(rng, "[goodbye|bye|see you soon|I must go now, goodbye|thank you and goodbye]!"));
        talk.push(phrase(rng, &(if named || asked_name { "[goodbye, {n}|bye, {n}|see you soon, {n}]! ^[come back soon|it was nice to talk to you|sleep well tonight]." } else { "[goodbye|bye|see you soon]! ^[come back soon|it was nice to talk to you]." }).replace("{n}", name)));
    }
    talk
}

fn fact_talk(rng: &mut Rng) -> Talk {
    let mut talk: Talk = Vec::new();
    for _ in 0..2 + rng.below(3) {
        let (question, answer) = fact(rng);
        if !talk.contains(&question) {
            talk.push(question);
            talk.push(answer);
        }
    }
    talk
}

/// A question about the world of the stories, and its answer.
fn fact(rng: &mut Rng) -> Fact {
    let (question, answer) = match rng.below(4) {
        0 => person_fact(rng),
        1 => skill_fact(rng),
        2 => thing_fact(rng),
        _ => place_fact(rng),
    };
    (phrase(rng, &question), phrase(rng, &answer))
}

fn person_fact(rng: &mut Rng) -> Fact {
    let who = rng.pick(PEOPLE).unwrap_or(&PEOPLE[0]);
    let full = match who.rank {
        ANIMAL => format!("{} the {}", who.name, who.kind),
        _ => who.name.to_owned(),
    };
    let he = if who.she { "she" } else { "he" };
    match rng.below(4) {
        0 => (
            format!("where does {full} live?"),
            format!("[{full} lives {home}|{he} lives {home}|{name} lives {home}].", home = who.home, name = who.name),
        ),
        1 => (
            format!("what does {full} like [to do|best]?"),
            format!(
                "[{} likes {love}|{full} likes {love} best|most of all, {he} likes {love}].",
                who.name,
                love = who.love
            ),
        ),
        2 => (
            format!("who is {}?", who.name),
            match who.rank {
                GROWN if who.says_kind() => format!("{} is a {} {}.", who.name, who.nature, who.kind),
                GROWN => format!("{} is [the {kind}|a {} {kind}].", who.name, who.nature, kind = who.kind),
                _ => format!("{} is a {} {} who lives {}.", who.name, who.nature, who.kind, who.home),
            },
        ),
        _ => (
            format!("what is {full} like?"),
            match who.rank {
                ANIMAL => format!("{} is {} and {}.", who.name, who.look, who.nature),
                _ => format!("{} is {}.", who.name, who.nature),
            },
        ),
    }
}

fn skill_fact(rng: &mut Rng) -> Fact {
    let skills = [
        (FLY, "fly", "in the air"),
        (SWIM, "swim", "in deep water"),
        (CLIMB, "climb", "up a tree or a rock"),
        (DIG, "dig", "in the earth"),
        (STRONG, "carry heavy things", "without help"),
        (FAST, "run or move fast", "when there is hurry"),
        (NOSE, "smell things from far away", "with a good nose"),
        (EYES, "see in the dark", "at night"),
    ];
    let &(skill, verb, _) = rng.pick(&skills).unwrap_or(&skills[0]);
    let can: Vec<&Person> = PEOPLE.iter().filter(|p| p.rank == ANIMAL && p.can(skill)).collect();
    let cannot: Vec<&Person> = PEOPLE.iter().filter(|p| p.rank == ANIMAL && !p.can(skill)).collect();
    let (Some(one), Some(other)) = (rng.pick(&can), rng.pick(&cannot)) else { return person_fact(rng) };
    match rng.below(3) {
        0 => (format!("can {} the {} {verb}?", one.name, one.kind), format!("yes, {} can {verb}.", one.name)),
        1 => (
            format!("can {} the {} {verb}?", other.name, other.kind),
            format!("no, {} [cannot {verb}|cannot do that], but {} the {} can.", other.name, one.name, one.kind),
        ),
        _ => (format!("who can {verb}?"), format!("{} the {} can {verb}.", one.name, one.kind)),
    }
}

fn thing_fact(rng: &mut Rng) -> Fact {
    let thing = rng.pick(THINGS).unwrap_or(&THINGS[0]);
    let a = with_article(thing.name);
    let is_food = thing.is(crate::things::FOOD);
    if !thing.made.is_empty() && rng.chance(45) {
        return (format!("what is {a} made of?"), format!("[{}|it] is [often |]made of {}.", a, thing.made));
    }
    if is_food {
        return (format!("is {a} to eat?"), format!("yes, {a} is good for {}.", thing.purpose));
    }
    (format!("what is {a} [good |]for?"), format!("[{a}|it] is [good |]for {}.", thing.purpose))
}

fn place_fact(rng: &mut Rng) -> Fact {
    let place = rng.pick(PLACES).unwrap_or(&PLACES[0]);
    (
        format!("what [can I find|can you see|is there] {} {}?", place.prep, place.name),
        format!(
            "[{at}, there are {f}|there are {f} {at}|you can find {f} {at}].",
            at = format_args!("{} {}", place.prep, place.name),
            f = place.found
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talks() -> Vec<Talk> {
        let mut teller = Teller::new(5);
        (0..150).map(|_| talk(&mut teller)).collect()
    }

    #[test]
    fn user_and_assistant_take_turns_and_the_assistant_has_the_last_word() {
        for talk in talks() {
            assert!(talk.len() >= 2 && talk.len() % 2 == 0, "{talk:?}");
        }
    }

    #[test]
    fn every_turn_is_a_whole_sentence() {
        for said in talks().into_iter().flatten() {
            assert!(!said.starts_with(char::is_lowercase), "{said}");
            assert!(said.ends_with(['.', '!', '?', '"']), "{said}");
            assert!(!said.contains(['[', ']', '{', '}', '|', '^', '~', '<']), "{said}");
        }
    }

    #[test]
    fn json_escapes_quotation_marks() {
        let line = to_json(&vec!["Hi!".to_owned(), "\"Yes,\" said Pip.".to_owned()]);
        assert_eq!(
            line,
            r#"{"messages":[{"role":"user","content":"Hi!"},{"role":"assistant","content":"\"Yes,\" said Pip."}]}"#
        );
    }
}
