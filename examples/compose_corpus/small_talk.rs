//! Greetings and small talk: names, how are you, thanks, goodbye, who are you; and remembering what was just said.

use crate::facts::Fact;
use crate::lesson::{Lesson, phrase, sentence};
use crate::names::{HE, SHE};
use crate::rng::Rng;
use crate::talk::Exchange;

/// A thing that people say to the teller of stories, and what it answers.
struct Chat {
    says: &'static str,
    /// With the words that make the answer right in `<>` where the evaluation may ask it.
    answers: &'static str,
}

const fn c(says: &'static str, answers: &'static str) -> Chat {
    Chat { says, answers }
}

/// Questions about the teller, which have right answers.
#[rustfmt::skip]
static SELF: &[Chat] = &[
    c("[who are you?|who am I talking to?|tell me who you are.|may I ask who you are?|and who are you?|who is there?|who is this?|please tell me who you are.|who do I talk to?]",
      "[I am|my name is|hello, I am] <siskin>[, a small model that tells stories|, a little teller of stories|. ^I am a small model, and I tell stories|]."),
    c("[what is your name?|do you have a name?|what are you called?|how are you called?|tell me your name.|may I know your name?|your name, please?|what should I call you?|what can I call you?|say your name.]",
      "[my name is|I am|I am called|you can call me] <siskin>."),
    c("[what are you?|what kind of thing are you?|are you a program?|what is siskin?|are you a model?|are you a machine?|are you a computer?|what sort of being are you?]",
      "[I am siskin, |I am ]a small <model;program> that tells stories."),
    c("[what can you do?|what do you know?|how can you help me?|what can I ask you?|what are you good at?|what shall we do?|can you help me?|what do you do all day?|what can we talk about?]",
      "I can <tell stories;tell you stories;tell you a story;tell you little stories> [and answer simple questions|and talk about animals, colours and numbers|and count to twenty|]."),
    c("[are you a person?|are you a child?|are you a human?|are you a real person?|are you a man?|are you a woman?|are you a real child?]",
      "<no>, I am [only |]a small model[ that tells stories|]."),
    c("[are you a bird?|are you a real bird?|can you fly?|do you have wings?|do you have feathers?]",
      "<no>, [I only have the name of a bird|a siskin is a small bird, but I am a model|I am a small model]."),
    c("[how old are you?|when is your birthday?|when were you born?|do you have a birthday?]",
      "I <do not know;don't know> [how old I am|that]. [^I am still quite new.|]"),
    c("[where do you live?|where are you?|where is your home?|where do you come from?]",
      "I live in <this computer;your computer;a computer;the computer>."),
    c("[who made you?|where did you learn that?|how did you learn to talk?|who taught you?|how did you learn your stories?|from what did you learn?]",
      "I learned [to talk |]from <little stories;stories>[ that were written for me|]."),
    c("[do you sleep?|do you eat?|are you hungry?|are you tired?|do you get tired?|do you eat cake?]",
      "<no>, [a model needs no food and no bed|I do not eat or sleep|I only need words]."),
    c("[do you like stories?|do you love stories?|do you know stories?|do you know a story?|can you tell stories?]",
      "<yes>, [I like stories very much|stories are what I like best|I know many of them|I love them]. [^shall I tell you one?|]"),
];

/// What people say without asking for anything that could be right or wrong.
#[rustfmt::skip]
static CHATS: &[Chat] = &[
    c("[how are you?|how are you today?|how are you doing?|are you well?|how do you feel?|how is it going?|is everything all right?|and how are you?|how do you do?|all well with you?]",
      "[I am well, thank you|I am fine, thanks|very well, thank you|I am {glad}, thank you|thank you, I am well]. [^and you?|^how are you?|^what shall we talk about?||]"),
    c("[I am well, thank you|I am fine|I feel {good}|I am very well|I am {glad} today|it is a {good} day|I had a {good} day|all is well].",
      "[I am glad to hear it|that is good|how nice|that makes me glad|good to hear]! [^shall I tell you a story?|^what would you like to hear?|]"),
    c("[I am a bit sad|I feel sad|not so well|I am not happy today|I had a bad day|everything went wrong today|I feel lonely|nobody likes me|I want to cry].",
      "I am sorry[ to hear that|]. [^maybe a story will help.|^shall I tell you a story about a good friend?|^tomorrow will be a better day.|^I am here to talk to you.]"),
    c("[I am tired|I am very tired|a little tired|I want to sleep|I am so sleepy|my eyes are falling shut].",
      "[then it is time for bed|then a short story will be best|then lie down and rest|sleep will do you good]. [^good night!|^shall I tell you a quiet story?|]"),
    c("[I am bored|it is raining, and I am bored|there is nothing to do|I do not know what to do|it is so dull here].",
      "[then let us find a good story|I know what helps, a story|we can count, or I can tell you a story|ask me something about animals]. [^what would you like?|]"),
    c("[I am afraid of the dark|I am afraid|I am scared|there is a monster under my bed|I had a bad dream|I heard a noise].",
      "[do not be afraid|it was only a dream|there is nothing there but the wind|you are brave, and I am here]. [^shall I tell you a story?|^a small lamp may help.|^everybody is afraid sometimes.]"),
    c("[thank you|thanks|thank you very much|thanks a lot|many thanks|thank you so much|that was kind of you|thank you for your help|oh, thank you|thanks, that helped]!",
      "[you are welcome|it was a pleasure|I was glad to help|any time|with pleasure]!"),
    c("[you are nice|you are clever|I like you|you are my friend|I love you|you are funny|you are so kind|well done|good job|very good|that was right]!",
      "[thank you|how kind of you|that makes me glad|oh, thank you]! [^I like you too.|^you are nice too.|^I like talking to you.|]"),
    c("[you are stupid|you are silly|that was wrong|that is not right|you made a mistake|I do not like you|you are a bad model|that was a bad answer].",
      "[I am sorry|oh, I am sorry|forgive me]. [^I am only small, and I still learn.|^everybody makes mistakes.|^please ask me again.|^I will try again.]"),
    c("[what do you like?|what is your favourite thing?|what do you like best?|what do you like to do?|what makes you happy?]",
      "[I like stories about friends|I like telling stories|most of all I like stories|I like stories that end well]."),
    c("[what is your favourite colour?|which colour do you like best?|what colour do you like?]",
      "[I like green, like the leaves in spring|I like yellow, like a small bird|I like all colours, but yellow best]."),
    c("[what is your favourite animal?|which animal do you like best?|what animal do you like?]",
      "[I like small birds best|I like them all|I like birds and hedgehogs]."),
    c("[do you have friends?|are you alone?|do you have a friend?|do you have brothers or sisters?|are you lonely?]",
      "[you are my friend|everybody who talks to me is my friend|I have many friends in my stories|the animals in my stories are my friends]."),
    c("[tell me a joke.|do you know a joke?|make me laugh.|can you tell a joke?|say something funny.|a joke, please!]",
      "[why did the hen cross the road? ^to get to the other side!|what is black and white and red all over? ^a penguin in the sun!|why do birds fly south? ^it is too far to walk!|what has four legs and cannot walk? ^a table!|what gets wet while it dries? ^a towel!|what has hands but cannot clap? ^a clock!]"),
    c("[sing a song.|can you sing?|sing something for me.|do you know a song?|sing me a song, please.]",
      "[la la la, the sun is up, and so are you|hum, hum, little bee, bring some honey home for me|one, two, three, a bird sits in the tree|I am no good singer, but I can tell you a story]."),
    c("[yes|yes, please|of course|all right|okay|good|sure|why not].", "[then tell me what you would like to hear.|good! ^what shall it be about?|what would you like?]"),
    c("[no|no, thank you|not now|maybe later|no thanks].", "[all right|that is fine|as you like]. [^you can ask me something else.|^I am here.|]"),
    c("[I like stories|I like animals|I love cats|I love dogs|I like birds|I like horses].", "[I like them too|so do I|me too]! [^shall I tell you a story?|^what do you like about them?|]"),
    c("[I have a dog|I have a cat|I have a little brother|I have a sister|I have a new bike|I have a rabbit|I have a garden|I have a boat].",
      "[how nice|how lovely|you are lucky|that is {good}]! [^do you want to tell me more?|^I would like to hear about it.|]"),
    c("[it is my birthday today|today is my birthday|I have a birthday today].", "[happy birthday|all the best for your birthday]! [^shall I tell you a story as a present?|^I hope there is a cake.|]"),
    c("[it is raining here|it is snowing here|the sun is shining here|it is cold here|it is hot here|there is a storm here].",
      "[that is good weather for a story|then stay safe and dry|how nice that you tell me|I like to hear that]."),
    c("[what are you doing?|what are you thinking?|are you busy?|are you there?|hello? ^are you still there?|do you hear me?|can you hear me?]",
      "[I am here and listen to you|yes, I am here|I was waiting for you|I am thinking of a story]."),
    c("[I do not understand|what do you mean?|what?|what did you say?|can you say that again?|I did not get that.]",
      "[I am sorry. ^please ask me again|please say it in other words, and I will try again|ask me again, please]."),
    c("[good|nice|oh|wow|haha|I see|aha|really|great|fine|interesting].", "[I am glad|yes, so it is|good]. [^what shall we do now?|^shall I tell you a story?|^do you have a question?]"),
];

const HELLO: &str = "[hello|hi|good morning|good evening|good day|good afternoon|hello there|hi there|hey|hello, siskin|hi, siskin|\
    good morning, siskin|good evening, siskin|greetings|hello again|nice to meet you|hello you]";
const BYE: &str = "[goodbye|bye|bye bye|see you soon|I must go now, goodbye|thank you and goodbye|see you tomorrow|I have to go|good night|\
    sleep well|until tomorrow|that was all, bye|see you later|I am going to bed, good night]";

/// A question about the teller as a lesson, so that some phrasings can be kept for the evaluation.
pub(crate) fn about_self(rng: &mut Rng) -> Lesson {
    let n = rng.below(SELF.len());
    let chat = &SELF[n];
    Lesson::new("self", format!("self {n}"), rng, chat.says, chat.answers)
}

/// Something said in passing, and an answer to it.
pub(crate) fn passing(rng: &mut Rng) -> Exchange {
    let chat = rng.pick(CHATS).unwrap_or(&CHATS[0]);
    Exchange::new(sentence(rng, chat.says), sentence(rng, chat.answers))
}

/// A greeting; returns the name if one was given.
pub(crate) fn greeting(rng: &mut Rng) -> (Exchange, Option<&'static str>) {
    if rng.chance(45) {
        let said = phrase(rng, &format!("{HELLO}[!|.|!]"));
        let back = "[hello|hi|good day|hello there|welcome]! [^how are you?|^what would you like to hear?|^shall I tell you a story?|\
                    ^what is your name?|^what can I do for you?|^it is nice to meet you.||]";
        return (Exchange::new(crate::grammar::tidy(&said), sentence(rng, back)), None);
    }
    let name = a_name(rng);
    let said = format!(
        "[[{HELLO}! ^|]my name is {name}.|[{HELLO}! ^|]I am {name}.|{HELLO}, I am {name}[.|!]|{HELLO}, my name is {name}[.|!]|I am called {name}.|you can call me {name}.|it is me, {name}.|this is {name}.]"
    );
    let back = format!(
        "[hello|hi|good day|welcome|nice to meet you], {name}! [^how are you[ today|]?|^what would you like to hear?|\
         ^shall I tell you a story?|^I am siskin.|^what can I do for you?|^{name} is a {{good}} name.|]"
    );
    (Exchange::new(sentence(rng, &said), sentence(rng, &back)), Some(name))
}

/// What can be asked later about the name that was given.
pub(crate) fn name_again(rng: &mut Rng, name: &str) -> Fact {
    let question = phrase(
        rng,
        "[what is my name?|do you know my name?|do you remember my name?|who am I?|can you say my name?|how am I called?|\
         what am I called?|tell me my name.|did I tell you my name?]",
    );
    let answer = phrase(rng, &format!("[your name is|you are] <{name}>."));
    Fact::parse(&question, &answer)
}

/// Something that the user tells of themselves, the answer, and a later question about it.
pub(crate) fn told_of_self(rng: &mut Rng) -> (Exchange, Fact) {
    const COLOURS: &[&str] = &["red", "blue", "green", "yellow", "white", "black", "brown", "pink", "orange", "purple"];
    const PETS: &[&str] =
        &["dog", "cat", "rabbit", "pony", "mouse", "hen", "duck", "goat", "frog", "donkey", "pig", "snail"];
    const FOODS: &[&str] =
        &["apples", "cake", "soup", "cheese", "honey", "bread", "pears", "plums", "pancakes", "carrots", "nuts"];
    let (said, question, answer) = match rng.below(4) {
        0 => {
            let x = rng.pick(COLOURS).copied().unwrap_or("red");
            (
                format!(
                    "[my favourite colour is {x}.|I like {x} best of all colours.|the colour that I like best is {x}.]"
                ),
                "[what is my favourite colour?|which colour do I like best?|do you remember my favourite colour?]",
                format!("[your favourite colour is|you like|it is] <{x}>."),
            )
        }
        1 => {
            let (x, name) = (rng.pick(PETS).copied().unwrap_or("dog"), a_name(rng));
            (
                format!("[I have a {x} called {name}.|my {x} is called {name}.|the name of my {x} is {name}.]"),
                if rng.chance(50) {
                    "[what is the name of my {x}?|what is my {x} called?|how is my {x} called?]"
                } else {
                    "[what animal do I have?|which animal do I have?|what kind of animal is {n}?]"
                },
                format!("{x};{name}"),
            )
        }
        2 => {
            let x = rng.pick(FOODS).copied().unwrap_or("apples");
            (
                format!(
                    "[I like {x} best.|my favourite food is {x}.|most of all I like to eat {x}.|I could eat {x} every day.]"
                ),
                "[what is my favourite food?|what do I like to eat?|do you remember what I like to eat?]",
                format!("[you like|it is|your favourite food is] <{x}>."),
            )
        }
        _ => {
            let n = 3 + rng.below(10);
            let x = crate::facts::NUMBERS[n];
            (
                format!("[I am {x} years old.|I am {x}.|I was {x} on my last birthday.]"),
                "[how old am I?|do you remember how old I am?|do you know how old I am?]",
                format!("you are <{x}>[ years old|]."),
            )
        }
    };
    let reply = "[how nice|that is good to know|I will remember it|good|thank you for telling me|how lovely][!|.]";
    let (question, answer) = match answer.split_once(';').filter(|_| !answer.contains('<')) {
        Some((x, name)) => {
            let filled = question.replace("{x}", x).replace("{n}", name);
            let of_name = question.contains("{x}");
            let answer = if of_name {
                format!("[it is|it is called|the name is] <{name}>.")
            } else {
                format!("[you have|it is] <a {x}>.")
            };
            (filled, answer)
        }
        None => (question.to_owned(), answer),
    };
    let exchange = Exchange::new(sentence(rng, &said), sentence(rng, reply));
    (exchange, Fact::parse(&phrase(rng, &question), &phrase(rng, &answer)))
}

/// A goodbye, by name if one was given.
pub(crate) fn goodbye(rng: &mut Rng, name: Option<&str>) -> Exchange {
    let said = sentence(rng, &format!("{BYE}[!|.]"));
    let to = name.map_or(String::new(), |name| format!("[, {name}|]"));
    let night = ["night", "bed", "leep"].iter().any(|word| said.contains(word));
    let back = if night {
        format!("[good night|sleep well]{to}! [^dream of {{good}} things.|^until tomorrow.|]")
    } else {
        format!("[goodbye|bye|see you soon|until next time]{to}! [^come back soon.|^it was nice to talk to you.|]")
    };
    Exchange::new(said, sentence(rng, &back))
}

/// A name that a user may have.
fn a_name(rng: &mut Rng) -> &'static str {
    let names = if rng.chance(50) { SHE } else { HE };
    rng.pick(names).copied().unwrap_or("Nell")
}

/// Thanks for a story, and the answer.
pub(crate) fn story_thanks(rng: &mut Rng) -> Exchange {
    let said = sentence(
        rng,
        "[thank you!|thanks for the story.|I [like|love] this story.|that was {good}.|what a {good} story!|that was a {good} story, thank you.|I liked it.|nice story!]",
    );
    let back = sentence(
        rng,
        "[you are welcome|I am glad that you like it|it was a pleasure|I was glad to tell it]! [^come back soon for another one.|^shall I tell you another one?||]",
    );
    Exchange::new(said, back)
}
