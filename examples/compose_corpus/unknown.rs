//! Questions from outside the story world, which are answered with a polite "I do not know".

use crate::lesson::Lesson;
use crate::rng::Rng;

/// What a right refusal has in it. Answers that are given always say one of the first two; the others will do.
pub(crate) const REFUSALS: &str = "do not know;don't know;not sure;no idea;cannot tell;can't tell;cannot say;can't say;\
    cannot help;can't help;only know;never learned;have not learned;cannot answer;can't answer;cannot know;\
    only count to twenty;know nothing;too hard for me;cannot do that;can't do that;have not told me;ask a doctor";

/// A group of questions: templates with `{x}`, what can stand for `{x}`, and what may follow the refusal.
struct Outside {
    asks: &'static str,
    topics: &'static str,
    then: &'static [&'static str],
}

const STORIES: &[&str] = &[
    "[I only know little stories|I only know my little world of stories|I am only a small teller of tales|\
      that is outside of my stories|I know about animals, numbers and stories|my stories do not tell about it]",
    "[but I can tell you a story|shall I tell you a story|ask me about animals or colours|would you like a story]",
];

#[rustfmt::skip]
static OUTSIDE: &[Outside] = &[
    Outside {
        asks: "[where is {x}?|tell me about {x}.|how far is it to {x}?|how many people live in {x}?|what do you know about {x}?|have you been to {x}?|how do I get to {x}?|what is the weather like in {x}?|is {x} a nice place?|how big is {x}?]",
        topics: "Paris;London;Berlin;Rome;Madrid;Vienna;Moscow;Tokyo;New York;China;France;India;Africa;America;Europe;Spain;Italy;Egypt;Canada;Brazil;Germany;Japan;Russia;Mexico;Sweden;Texas;Chicago;Boston",
        then: STORIES,
    },
    Outside {
        asks: "[what is the capital of {x}?|who is the president of {x}?|who rules {x}?|which language do they speak in {x}?|what is the money of {x}?|when did the war in {x} end?|which river runs through {x}?]",
        topics: "France;China;America;India;Spain;Italy;Egypt;Canada;Brazil;Germany;Japan;Russia;Mexico;Sweden;England;Poland;Turkey;Greece",
        then: STORIES,
    },
    Outside {
        asks: "[who won the {x}?|what do you think about the {x}?|tell me about the {x}.|what is new about the {x}?|can you explain the {x} to me?]",
        topics: "election;football match;world cup;war;government;tax law;parliament;court case;film prize;tennis match;car race;vote",
        then: STORIES,
    },
    Outside {
        asks: "[how do I repair my {x}?|how does a {x} work?|which {x} is the best?|my {x} is broken. ^what can I do?|what does a {x} cost?|where can I buy a {x}?|who invented the {x}?|should I buy a new {x}?|can you explain a {x} to me?|what is inside a {x}?]",
        topics: "phone;computer;printer;television;car;camera;radio;robot;rocket;washing machine;laptop;truck;microwave;battery;motorbike;satellite;fridge;bank",
        then: STORIES,
    },
    Outside {
        asks: "[write a {x} for me.|can you write a {x}?|help me with my {x}.|how do I write a {x}?|please check my {x}.|what is a good {x}?|can you make a {x}?|explain this {x} to me.]",
        topics: "computer program;web page;business letter;Python program;Rust program;tax form;Java class;job letter;school essay;contract;password;spreadsheet;speech;poem about war;database",
        then: STORIES,
    },
    Outside {
        asks: "[what helps against a {x}?|which medicine is good for a {x}?|I have a {x}. ^what should I take?|what should I do about my {x}?|how is a {x} treated?|is a {x} dangerous?|which pill is right for a {x}?]",
        topics: "headache;fever;cough;toothache;rash;broken arm;stomach ache;sore throat;bad back;virus;high blood pressure;burn;cold;bite",
        then: &["[please ask a doctor|a doctor can help you with that|a doctor knows more than I do|ask a doctor, and get well soon]"],
    },
    Outside {
        asks: "[what is {x}?|can you explain {x}?|tell me about {x}.|how does {x} work?|who found out about {x}?|why do we have {x}?|what do you know about {x}?]",
        topics: "gravity;electricity;the internet;physics;chemistry;algebra;an atom;oxygen;evolution;democracy;philosophy;a black hole;inflation;insurance;the stock market;religion;radiation;artificial light;steel;software;grammar;petrol;history;a volcano",
        then: STORIES,
    },
    Outside {
        asks: "[who was {x}?|who is {x}?|when did {x} live?|what did {x} do?|tell me about {x}.|what do you know about {x}?|do you know {x}?|where was {x} born?]",
        topics: "Einstein;Mozart;Shakespeare;Napoleon;Caesar;Columbus;Beethoven;Newton;Picasso;Darwin;Lincoln;Cleopatra;Plato;Bach;Galileo;Elvis",
        then: STORIES,
    },
    Outside {
        asks: "[what is {x}?|how much is {x}?|can you work out {x}?|please work out {x}.|{x}?|what do you get for {x}?]",
        topics: "#times;#plus;#root;#half;#minus;#share",
        then: &["[I can only count to twenty|that is too big for me|my numbers end at twenty|I only know the numbers up to twenty|ask me about smaller numbers]"],
    },
    Outside {
        asks: "[what time is it[ now|]?|what is the date today?|which day is it today?|how late is it?|what year is it?|what month is it?|is it late?|how is the weather today?|will it rain tomorrow?|is it raining now?|what is the weather like where I live?]",
        topics: "-",
        then: &["[I have no clock|I cannot see outside|I cannot look out of a window|I have no calendar]"],
    },
    Outside {
        asks: "[where do I live?|how old am I?|what did I eat today?|what is the name of my {x}?|where is my {x}?|how old is my {x}?|what does my {x} look like?|when is the birthday of my {x}?|what does my {x} like?]",
        topics: "sister;brother;mother;father;dog;cat;teacher;friend;aunt;uncle;neighbour;cousin",
        then: &["[you have not told me|you did not tell me that|can you tell me|I would like to hear it from you]"],
    },
    Outside {
        asks: "[how do you say {x} in French?|what is {x} in Spanish?|translate {x} into German.|what does {x} mean in Latin?|say {x} in Chinese.|how is {x} spelled in Italian?]",
        topics: "hello;thank you;cat;dog;good morning;bread;water;house;friend;goodbye;tree;love",
        then: &["[I only speak a little English|I only know simple English words|I speak no other language]"],
    },
    Outside {
        asks: "[how far away is {x}?|how hot is {x}?|how old is {x}?|how big is {x}?|how heavy is {x}?|who was the first man on {x}?|what is {x} made of?]",
        topics: "the moon;the sun;Mars;the earth;Jupiter;Venus;the nearest star;Saturn;the milky way",
        then: STORIES,
    },
    Outside {
        asks: "[who wrote {x}?|what happens in {x}?|have you seen {x}?|have you read {x}?|is {x} a good film?|who plays in {x}?|when was {x} made?]",
        topics: "Hamlet;the Bible;Star Wars;Titanic;Harry Potter;Macbeth;Faust;Don Quixote;King Kong;the Odyssey;Jurassic Park",
        then: STORIES,
    },
    Outside {
        asks: "[how do I cook {x}?|give me a recipe for {x}.|how long must I boil {x}?|is {x} healthy?|how much does {x} cost?|where does {x} come from?|how many calories has {x}?]",
        topics: "pasta;rice;pizza;curry;steak;sushi;lasagne;coffee;whisky;tofu;lobster;mayonnaise",
        then: STORIES,
    },
    Outside {
        asks: "[how can I {x}?|should I {x}?|tell me how to {x}.|is it easy to {x}?|what do I need to {x}?|where can I learn to {x}?]",
        topics: "become rich;find a job;buy a house;sell my car;learn French;drive a truck;get a passport;fly a plane;lose weight;book a hotel;open a bank account;hire a lawyer;invest money;pay my taxes;rent a flat;get a loan",
        then: STORIES,
    },
];

/// A question that lies outside, and a refusal.
pub(crate) fn unknown(rng: &mut Rng) -> Lesson {
    let outside = rng.pick(OUTSIDE).unwrap_or(&OUTSIDE[0]);
    let topics: Vec<&str> = outside.topics.split(';').collect();
    let topic = rng.pick(&topics).copied().unwrap_or_default();
    let topic = big_sum(rng, topic);
    let questions = outside.asks.replace("{x}", &topic);
    let then = match rng.below(100) {
        0..35 => String::new(),
        _ => follow(rng, outside.then),
    };
    let answers = format!(
        "[|||I am sorry, [but |]|sorry, |oh, ]I <[do not|do not|don't] know> \
         [that|that|that|about that|the answer|anything about that|such things|]. {then}"
    );
    let mut lesson = Lesson::new("unknown", format!("{} {topic}", &outside.asks[..12]), rng, &questions, &answers);
    lesson.fact.accept = REFUSALS.split(';').map(|way| way.trim().to_owned()).collect();
    lesson
}

/// One of the things that may follow a refusal, as a sentence.
fn follow(rng: &mut Rng, then: &[&str]) -> String {
    let part = rng.pick(then).copied().unwrap_or_default();
    let said = crate::lesson::phrase(rng, part);
    let asks = ["shall", "would", "can you"].iter().any(|word| said.starts_with(word));
    format!("^{said}{}", if asks { '?' } else { '.' })
}

/// Numbers that are too big, where the topic asks for them.
fn big_sum(rng: &mut Rng, topic: &str) -> String {
    let (a, b) = (21 + rng.below(900), 2 + rng.below(98));
    match topic {
        "#times" => format!("{a} times {b}"),
        "#plus" => format!("{a} plus {b}"),
        "#minus" => format!("{} minus {b}", a + 100),
        "#root" => format!("the square root of {a}"),
        "#half" => format!("half of {a}"),
        "#share" => format!("{a} divided by {b}"),
        _ => topic.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::plain;

    #[test]
    fn a_refusal_is_right_by_its_first_sentence() {
        let mut rng = Rng::new(3);
        for _ in 0..500 {
            let lesson = unknown(&mut rng);
            let first = lesson.fact.answer.split(['.', '!', '?']).next().unwrap_or_default();
            assert!(lesson.fact.accept.iter().any(|way| plain(first).contains(way.as_str())), "{}", lesson.fact.answer);
        }
    }

    #[test]
    fn sums_that_are_too_big_go_beyond_twenty() {
        let mut rng = Rng::new(4);
        for _ in 0..50 {
            let said = big_sum(&mut rng, "#plus");
            assert!(said.split(' ').next().unwrap().parse::<usize>().unwrap() > 20);
        }
    }
}
