//! Talks about a story: somebody asks for it or brings it along, and then asks questions that it answers.

use crate::facts::Fact;
use crate::lesson::{phrase, sentence};
use crate::plots::{Story, Teller};
use crate::questions::UNTOLD;
use crate::rng::Rng;
use crate::talk::{Exchange, Talk, first_small};

/// Fewest and most words of a story in a talk, so that the story and several questions fit into 512 tokens.
pub(crate) const STORY_WORDS: std::ops::RangeInclusive<usize> = 60..=130;

/// In how many of a hundred cases a question is one of the plot's own, and not one that fits any story.
const OWN: usize = 65;

/// How a story is asked for; `{x}` is what it shall be about.
const ASKS: &str = "[please tell me a [short |little |nice |]story about {x}.|\
    tell me a [short |little |nice |]story about {x}[, please|].|\
    [can|could|will|would] you tell me a [short |little |]story about {x}[, please|]?|\
    I want to hear a [short |]story about {x}.|I would like [to hear |]a story about {x}[, please|].|\
    do you know a [good |]story about {x}?|a story about {x}, please[!|.]|\
    hello! ^[please |]tell me a story about {x}.|hi! ^can you tell me a story about {x}?|\
    it is bedtime. ^tell me [a story |]about {x}, please.|write a [short|little] story about {x}.|\
    could I have a story about {x}?|may I hear a story about {x}?|make up a story about {x}.|\
    tell me something about {x}.|what about a story about {x}?|I like {x}. ^do you know a story about it?|\
    please make a story with {x} in it.|is there a story about {x}?|I am in the mood for a story about {x}.|\
    let me hear a story about {x}.|tell a story about {x}.|story about {x}|one story about {x}, please.]";

/// How a story is asked for when it may be about anything.
const ANY: &str = "[please tell me a [short |little |]story.|tell me a [short |little |]story[, please|].|\
    can you tell me a story?|I want to hear a story.|tell me another story.|a story, please!|do you know a story?|\
    I would like to hear a story.|one more story, please.|tell me something nice.|it is bedtime. ^a story, please.|\
    what story can you tell me?|yes, tell me a story.]";

/// A story for a talk, in one paragraph.
pub(crate) fn story(teller: &mut Teller) -> Story {
    loop {
        let mut story = teller.story(true, *STORY_WORDS.end());
        if crate::variety::words(&story.text).len() >= *STORY_WORDS.start() && story.facts.len() >= 3 {
            story.text = story.text.replace("\n\n", " ");
            return story;
        }
    }
}

/// Somebody asks for a story and gets it.
pub(crate) fn asked_for(rng: &mut Rng, story: &Story) -> Exchange {
    let theme = rng.pick(&story.themes).cloned();
    let ask = match theme {
        Some(theme) if rng.chance(90) => {
            let no_it = theme.contains(" and ") || !(theme.starts_with("a ") || theme.starts_with("an "));
            let asks =
                if no_it { ASKS.replace("|I like {x}. ^do you know a story about it?", "") } else { ASKS.to_owned() };
            sentence(rng, &asks.replace("{x}", &theme))
        }
        _ => sentence(rng, ANY),
    };
    Exchange::new(ask, story.text.clone())
}

/// Somebody tells a story and asks a first question about it.
fn brought_along(rng: &mut Rng, story: &Story, first: &Fact) -> Exchange {
    let (text, question) = (&story.text, &first.question);
    let user = match rng.below(4) {
        0 => {
            let lead = "[listen to this story.|here is a story.|I have read this story.|this is my story.|read this.|I know a story.|listen.|this is a story from my book.]";
            format!("{} {text} {question}", sentence(rng, lead))
        }
        1 => {
            let lead = "[now tell me|my question is|please answer|now|tell me]";
            format!("{text} {}: {}", sentence(rng, lead), first_small(question))
        }
        _ => format!("{text} {question}"),
    };
    Exchange::of_story(user, first.clone())
}

/// Questions about the story in a random order, `n` at most, no two with the same words.
fn some_questions(rng: &mut Rng, story: &Story, n: usize) -> Vec<Fact> {
    let mut own = story.facts.clone();
    let mut general = own.split_off(story.n_own_facts);
    rng.shuffle(&mut own);
    rng.shuffle(&mut general);
    let mut chosen: Vec<Fact> = Vec::new();
    while chosen.len() < n {
        let (first, second) = if rng.chance(OWN) { (&mut own, &mut general) } else { (&mut general, &mut own) };
        let Some(fact) = first.pop().or_else(|| second.pop()) else { break };
        if !chosen.iter().any(|f| f.question == fact.question) {
            chosen.push(fact);
        }
    }
    if rng.chance(18) {
        let at = rng.below(chosen.len() + 1);
        chosen.insert(at, untold(rng, story));
        chosen.truncate(n.max(2));
    }
    chosen
}

/// A question that the story does not answer.
pub(crate) fn untold(rng: &mut Rng, story: &Story) -> Fact {
    let who = &story.people[0];
    let template = rng.pick(UNTOLD).copied().unwrap_or("how old was {h}?");
    let his = if who.she { "her" } else { "his" };
    // "of his sister" would need to say whose; "the sister of Nell" does not.
    let asked = match template.split_once("{h's} ") {
        Some((before, after)) => format!("{before}the {}", after.replace('?', &format!(" of {}?", who.name))),
        None => template.to_owned(),
    };
    let question = phrase(rng, &asked.replace("{h}", &who.name).replace("{his}", his));
    let answer = "[the story|it|sorry, the story] <does not say>[ that|].";
    let mut fact = Fact::parse(&question, &phrase(rng, answer));
    fact.accept = ["does not say", "doesn't say", "does not tell", "doesn't tell", "is not told", "not in the story"]
        .map(str::to_owned)
        .to_vec();
    fact.accept.extend(["do not know", "don't know", "cannot say", "cannot tell"].map(str::to_owned));
    fact
}

/// Puts a few words before a question now and then.
fn led_in(rng: &mut Rng, question: &str) -> String {
    let lead = sentence(
        rng,
        "[[what a {good} story!|thank you!|I like that.|tell me,|one question.|and|now|one more question.|okay,|so,|good.]|||||||]",
    );
    match lead.as_str() {
        "" => question.to_owned(),
        lead if lead.ends_with(['.', '!']) => format!("{lead} {question}"),
        lead => format!("{lead} {}", first_small(question)),
    }
}

/// A story that is asked for, with questions.
pub(crate) fn telling(teller: &mut Teller, n_questions: usize) -> Talk {
    let story = story(teller);
    let rng = teller.rng();
    let mut talk = vec![asked_for(rng, &story)];
    for fact in some_questions(rng, &story, n_questions) {
        talk.push(Exchange::of_story(led_in(rng, &fact.question), fact));
    }
    talk
}

/// A story that the user brings along, with questions.
pub(crate) fn reading(teller: &mut Teller, n_questions: usize) -> Talk {
    let story = story(teller);
    let rng = teller.rng();
    let mut facts = some_questions(rng, &story, n_questions.max(1)).into_iter();
    let mut talk: Talk = facts.next().iter().map(|first| brought_along(rng, &story, first)).collect();
    for fact in facts {
        talk.push(Exchange::of_story(led_in(rng, &fact.question), fact));
    }
    talk
}

/// A story with questions, of which the last is for the evaluation and is returned apart.
pub(crate) fn examined(teller: &mut Teller) -> (Talk, Fact) {
    let story = story(teller);
    let rng = teller.rng();
    let n = 1 + rng.below(3);
    let mut facts = some_questions(rng, &story, n);
    let last = facts.pop().unwrap_or_else(|| story.facts[0].clone());
    let mut talk = vec![asked_for(rng, &story)];
    if rng.chance(35) {
        // The story in the user's own words, with the question right behind it.
        let asked = brought_along(rng, &story, &last);
        return (Vec::new(), Fact { question: asked.user, ..last });
    }
    talk.extend(facts.into_iter().map(|fact| Exchange::of_story(fact.question.clone(), fact)));
    (talk, last)
}
