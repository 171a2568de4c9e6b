//! Simple facts of the world around: colours, weather, things and what they are for, opposites, what is what.

use crate::grammar::with_article;
use crate::lesson::Lesson;
use crate::places::PLACES;
use crate::rng::Rng;
use crate::things::{FOOD, THINGS};

/// What has which colour: the thing with its article, and the colour (further ones that will do after semicolons).
#[rustfmt::skip]
static COLOURS: &[(&str, &str)] = &[
    ("grass", "green"), ("snow", "white"), ("the sky on a sunny day", "blue"), ("the sun", "yellow;golden;orange"),
    ("coal", "black"), ("a lemon", "yellow"), ("a carrot", "orange"), ("a strawberry", "red"), ("a tomato", "red"),
    ("milk", "white"), ("a crow", "black"), ("a swan", "white"), ("a pig", "pink"), ("an elephant", "grey"),
    ("a cherry", "red"), ("a plum", "purple;blue"), ("an orange", "orange"), ("chocolate", "brown"),
    ("sand", "yellow;brown;golden"), ("a leaf in summer", "green"), ("a banana", "yellow"), ("a frog", "green"),
    ("a fox", "red;orange"), ("a bear", "brown;black"), ("the night", "black;dark"), ("a pea", "green"),
    ("a pumpkin", "orange"), ("flour", "white"), ("salt", "white"), ("a cucumber", "green"), ("a mole", "black"),
    ("the trunk of a tree", "brown"), ("an acorn", "brown;green"), ("a sunflower", "yellow"), ("a ladybird", "red"),
    ("honey", "golden;yellow;brown"), ("a cloud on a fine day", "white"), ("a storm cloud", "grey;black;dark"),
    ("the sea", "blue;green"), ("gold", "yellow;golden"), ("a donkey", "grey"), ("cheese", "yellow"),
    ("a penguin", "black and white;black;white"), ("an egg", "white;brown"), ("soot", "black"), ("a fir tree", "green"),
];

/// What two colours make together.
const MIXES: &[(&str, &str, &str)] = &[
    ("blue", "yellow", "green"),
    ("red", "yellow", "orange"),
    ("red", "blue", "purple"),
    ("red", "white", "pink"),
    ("black", "white", "grey"),
    ("green", "red", "brown"),
];

/// Questions about the weather and the sky, in several wordings, with the answer.
#[rustfmt::skip]
static WEATHER: &[(&str, &str)] = &[
    ("[what falls from the clouds when it rains?|what comes down when it rains?|what is rain made of?|what falls when it is rainy?|what do clouds bring when they are grey?]", "[it is|] <water;rain;drops>."),
    ("[what do you need when it rains?|what keeps you dry in the rain?|what do you hold up when it rains?|what helps against the rain?|what do people carry in the rain?]", "[you need|] <an umbrella;a coat;boots>."),
    ("[what can you build from snow?|what can you make from snow?|what do children make from snow?|what do you build when snow lies on the ground?|what stands in the garden in winter and is made of snow?]", "<a snowman>."),
    ("[when do you see a rainbow?|when does a rainbow come?|when can I see a rainbow?|when is there a rainbow in the sky?|what weather makes a rainbow?]", "[you see it|it comes] when there is <sun and rain;rain and sun;sun after rain>."),
    ("[what shines in the day?|what shines in the sky by day?|what makes the day bright?|what gives us light in the day?|what warms us on a fine day?]", "<the sun> does."),
    ("[what shines at night?|what can you see in the sky at night?|what shines in the dark sky?|what gives us light at night?|what is in the sky when it is dark?]", "<the moon and the stars;the moon;the stars;moon and stars>."),
    ("[is it cold or warm in winter?|is winter cold or warm?|how is the winter, cold or warm?|is it warm or cold in winter?]", "it is <cold>."),
    ("[is it cold or hot in summer?|is summer hot or cold?|how is the summer, hot or cold?|is it hot or cold in summer?]", "it is <hot;warm>."),
    ("[when do the leaves fall?|in which season do the leaves fall?|when do trees lose their leaves?|which season makes the leaves fall?|what season is it when the leaves turn red?]", "in <autumn>."),
    ("[when do the first flowers come?|in which season do flowers open first?|when do trees get new leaves?|which season comes with new leaves?|when do birds build nests?]", "in <spring>."),
    ("[when does snow fall?|in which season does it snow?|when can you make a snowman?|which season brings snow?|when is there ice on the pond?]", "in <winter>."),
    ("[when can you swim in the lake?|which season is the warmest?|what is the hottest season?|in which season is it very hot?|when are the days long and hot?]", "in <summer>."),
    ("[what comes with thunder?|what flashes in a storm?|what do you see before the thunder?|what bright thing comes in a storm?|what goes together with thunder?]", "<lightning>."),
    ("[what moves the leaves?|what makes a kite fly?|what moves the clouds?|what blows hats away?|what pushes a sailing boat?]", "<the wind> does."),
    ("[what happens to snow in the sun?|what does snow do when it is warm?|what does ice do in the sun?|what happens to a snowman in spring?|what happens to ice when it gets warm?]", "it <melts>."),
    ("[what does water become when it is very cold?|what is frozen water?|what is on the pond in winter?|what is hard, cold and made of water?|what does a puddle become in the frost?]", "[it is|] <ice>."),
    ("[why is it hard to see in fog?|why can you not see far in fog?|why do people walk slowly in fog?|why is fog hard for walkers?]", "because fog is <thick;white;like a cloud>."),
    ("[when does the sun rise?|when does the sun come up?|when does it get light?|at what time of day does the sun rise?|when does the day begin?]", "in the <morning>."),
    ("[when does the sun set?|when does the sun go down?|when does it get dark?|at what time of day does the sun set?|when does the day end?]", "in the <evening>."),
    ("[when do you sleep?|when do children sleep?|when is it dark outside?|when do owls fly?|when can you see the stars?]", "at <night>."),
    ("[when do you eat breakfast?|when do we have breakfast?|at what time of day is breakfast?|when does one eat breakfast?]", "in the <morning>."),
    ("[what do you wear when it is cold?|what keeps you warm in winter?|what should I put on in the snow?|what do I wear in the frost?|what is good to wear in winter?]", "[you wear|] <a warm coat;a coat;a scarf;mittens;a cap>."),
];

/// Riddles about who or what does a thing.
#[rustfmt::skip]
static WHO: &[(&str, &str)] = &[
    ("[who makes honey?|which animal makes honey?|where does honey come from?|who brings us honey?|what animal gives us honey?]", "<bees;a bee;the bee>."),
    ("[who gives us milk?|which animal gives milk?|what animal gives us milk?|who has milk for us?]", "<a cow;cows;the cow;a goat>."),
    ("[who lays eggs for us?|which animal lays eggs on the farm?|what animal gives us eggs?|who sits on eggs in the hen house?]", "<a hen;hens;the hen>."),
    ("[who gives us wool?|which animal gives wool?|what animal has wool?|who has wool for our scarves?]", "<a sheep;sheep;the sheep>."),
    ("[who spins a web?|which animal makes a web?|what animal sits in a web?|who catches flies in a web?|who makes a net of thin threads?]", "<a spider;spiders;the spider>."),
    ("[who builds dams?|which animal builds a dam?|what animal cuts trees with its teeth?|who makes a house of sticks in the water?]", "<a beaver;beavers;the beaver>."),
    ("[who carries its house on its back?|which animal has its house with it?|what animal has a house on its back?|who is slow and has a shell?]", "<a snail;snails;the snail;a tortoise>."),
    ("[who rolls into a ball?|which animal is full of spines?|what animal rolls up and has spines?|who has many spines?]", "<a hedgehog;hedgehogs;the hedgehog>."),
    ("[who has a long neck?|which animal has a very long neck?|what animal can eat from the top of trees?|who has the longest neck?]", "<a giraffe;giraffes;the giraffe>."),
    ("[who has a trunk?|which animal has a long trunk?|what animal sprays water with its nose?|which animal has a very long nose?]", "<an elephant;elephants;the elephant>."),
    ("[who hangs upside down?|which animal sleeps upside down?|what animal flies at night and has fur?|who sleeps with its head down?]", "<a bat;bats;the bat>."),
    ("[who hides nuts for the winter?|which animal hides nuts?|what animal has a thick tail and eats nuts?|who jumps from tree to tree and likes nuts?]", "<a squirrel;squirrels;the squirrel>."),
    ("[who bakes bread?|who makes bread and buns?|who works in a bakery?|who gets up early to bake?]", "<a baker;the baker>."),
    ("[who brings letters?|who brings the post?|who comes to the door with letters?|who carries letters to us?]", "<a postman;the postman>."),
    ("[who teaches children?|who works in a school?|who shows children how to read?|who helps you to learn at school?]", "<a teacher;the teacher>."),
    ("[who catches fish for us?|who goes out in a boat to catch fish?|who mends nets by the harbour?]", "<a fisherman;the fisherman>."),
    ("[who grows corn?|who works in the fields?|who drives a tractor?|who keeps cows and hens?]", "<a farmer;the farmer>."),
    ("[who mends clocks?|who makes clocks?|who winds old clocks?|who can mend my watch?]", "<a clockmaker;the clockmaker>."),
    ("[who sews coats?|who makes coats and trousers?|who works with needle and cloth?|who can sew a coat for me?]", "<a tailor;the tailor>."),
    ("[who builds tables?|who makes chairs and tables?|who works with wood?|who saws planks?]", "<a carpenter;the carpenter>."),
    ("[who has the books in a library?|who works in a library?|who lends us books?]", "<a librarian;the librarian>."),
    ("[who looks after sheep?|who walks with the sheep on the hill?|who keeps the sheep together?]", "<a shepherd;the shepherd>."),
];

/// Words and their opposites.
#[rustfmt::skip]
static OPPOSITES: &[(&str, &str)] = &[
    ("big", "small;little"), ("small", "big;large"), ("hot", "cold"), ("cold", "hot;warm"), ("long", "short"), ("short", "long;tall"),
    ("high", "low"), ("low", "high"), ("old", "young;new"), ("young", "old"), ("new", "old"), ("fast", "slow"), ("slow", "fast;quick"),
    ("day", "night"), ("night", "day"), ("up", "down"), ("down", "up"), ("left", "right"), ("right", "left;wrong"),
    ("open", "closed;shut"), ("wet", "dry"), ("dry", "wet"), ("full", "empty"), ("empty", "full"), ("happy", "sad;unhappy"),
    ("sad", "happy;glad"), ("good", "bad"), ("bad", "good"), ("black", "white"), ("white", "black"), ("dark", "bright;light"),
    ("bright", "dark"), ("heavy", "light"), ("light", "heavy;dark"), ("loud", "quiet"), ("quiet", "loud"), ("thick", "thin"), ("thin", "thick"),
    ("near", "far"), ("far", "near"), ("hard", "soft;easy"), ("soft", "hard"), ("early", "late"), ("late", "early"),
    ("strong", "weak"), ("weak", "strong"), ("first", "last"), ("last", "first"), ("clean", "dirty"), ("dirty", "clean"),
    ("rich", "poor"), ("brave", "afraid"), ("warm", "cold;cool"), ("summer", "winter"), ("winter", "summer"), ("yes", "no"),
];

/// What belongs to which group.
#[rustfmt::skip]
static GROUPS: &[(&str, &str, &str)] = &[
    ("bird", "robin finch owl duck goose hen pigeon crow swan heron wren penguin", "cat mouse frog apple bee fish cow table"),
    ("fruit", "apple pear plum cherry banana lemon orange strawberry", "carrot stone hat fish potato dog"),
    ("animal", "dog cat horse cow fox bear frog mouse lamb pig", "table flower spoon hat stone house ball tree"),
    ("toy", "doll ball kite teddy marble puppet", "cow river cloud carrot tree spoon"),
    ("colour", "red blue green yellow white black brown pink", "table dog seven Monday river"),
    ("number", "two five seven ten twelve eight", "red dog Sunday chair apple"),
    ("day", "Monday Tuesday Wednesday Thursday Friday Saturday Sunday", "apple seven cat summer blue"),
    ("season", "spring summer autumn winter", "Monday noon rain red five"),
    ("tree", "oak elm pine willow", "rose carrot stone cat"),
    ("flower", "rose daisy poppy sunflower", "oak carrot stone dog"),
];

/// Things of which it is well known what they are made of.
const MADE: &[&str] = &[
    "kite",
    "ball",
    "toy boat",
    "marble",
    "paper plane",
    "paper boat",
    "wooden horse",
    "flute",
    "drum",
    "scarf",
    "mitten",
    "boot",
    "coat",
    "ring",
    "candle",
    "key",
    "bucket",
    "basket",
    "ladder",
    "hammer",
    "book",
    "map",
    "letter",
    "cup",
    "plate",
    "vase",
    "mirror",
    "jar",
    "spoon",
    "blanket",
    "sled",
    "wagon",
    "coin",
    "horn",
    "pancake",
    "cap",
    "net",
];

/// A question about the world that is not about animals.
pub(crate) fn world(rng: &mut Rng) -> Lesson {
    match rng.below(13) {
        0..3 => colour(rng),
        3 => mix(rng),
        4 | 5 => listed(rng, WEATHER),
        6 => listed(rng, WHO),
        7 | 8 => opposite(rng),
        9 => group(rng),
        10 => made(rng),
        11 => purpose(rng),
        _ => place(rng),
    }
}

fn lesson(rng: &mut Rng, about: String, questions: &str, answers: &str) -> Lesson {
    Lesson::new("fact", about, rng, questions, answers)
}

fn colour(rng: &mut Rng) -> Lesson {
    let &(thing, colour) = rng.pick(COLOURS).unwrap_or(&COLOURS[0]);
    let questions = format!(
        "[[what|which] colour is {thing}?|what is the colour of {thing}?|[what|which] colour does {thing} have?|\
         tell me the colour of {thing}.|do you know the colour of {thing}?|[what|which] colour has {thing}?]"
    );
    lesson(rng, format!("colour of {thing}"), &questions, &format!("[{thing}|it] is <{colour}>."))
}

fn mix(rng: &mut Rng) -> Lesson {
    let &(one, two, both) = rng.pick(MIXES).unwrap_or(&MIXES[0]);
    let (a, b) = if rng.chance(50) { (one, two) } else { (two, one) };
    let questions = format!(
        "[what do {a} and {b} make?|which colour do you get from {a} and {b}?|I mix {a} and {b}. ^what do I get?|\
         mix {a} with {b}. ^[what|which] colour is it?|what colour do {a} and {b} make?]"
    );
    lesson(rng, format!("mix {one} {two}"), &questions, &format!("[it is|they make|you get] <{both}>."))
}

fn listed(rng: &mut Rng, list: &[(&str, &str)]) -> Lesson {
    let &(questions, answers) = rng.pick(list).unwrap_or(&list[0]);
    lesson(rng, answers.to_owned() + &questions[..20], questions, answers)
}

fn opposite(rng: &mut Rng) -> Lesson {
    let &(word, other) = rng.pick(OPPOSITES).unwrap_or(&OPPOSITES[0]);
    let questions = format!(
        "[what is the opposite of {word}?|tell me the opposite of {word}.|do you know the opposite of {word}?|\
         which word is the opposite of {word}?|the opposite of {word} is what?]"
    );
    lesson(rng, format!("opposite of {word}"), &questions, &format!("[it is|the opposite is|] <{other}>."))
}

fn group(rng: &mut Rng) -> Lesson {
    let &(group, members, others) = rng.pick(GROUPS).unwrap_or(&GROUPS[0]);
    let belongs = rng.chance(55);
    let words: Vec<&str> = if belongs { members } else { others }.split(' ').collect();
    let word = rng.pick(&words).copied().unwrap_or("dog");
    let (one, a) = (thing_word(word), with_article(group));
    let questions = format!(
        "[is {one} {a}?|is it true that {one} is {a}?|would you say that {one} is {a}?|do you think {one} is {a}?]"
    );
    let answers = if belongs { format!("<yes>, {one} is {a}.") } else { format!("<no>, {one} is not {a}.") };
    lesson(rng, format!("{word} {group}"), &questions, &answers)
}

/// A word with its article, if it takes one.
fn thing_word(word: &str) -> String {
    let bare = word.starts_with(char::is_uppercase)
        || crate::questions::COLOURS.contains(&word) && word != "orange"
        || crate::facts::NUMBERS.contains(&word)
        || ["spring", "summer", "autumn", "winter", "noon", "rain"].contains(&word);
    if bare { word.to_owned() } else { with_article(word) }
}

fn made(rng: &mut Rng) -> Lesson {
    let name = rng.pick(MADE).copied().unwrap_or("kite");
    let thing = THINGS.iter().find(|t| t.name == name).unwrap_or(&THINGS[0]);
    let a = with_article(name);
    let questions = format!("[what is {a} made of?|what is {a} made from?|from what is {a} made?]");
    lesson(rng, format!("{name} made"), &questions, &format!("[{a}|it] is [often |]made of <{}>.", thing.made))
}

fn purpose(rng: &mut Rng) -> Lesson {
    let things: Vec<_> = THINGS.iter().filter(|t| !t.is(FOOD)).collect();
    let thing = rng.pick(&things).copied().unwrap_or(&THINGS[0]);
    let a = with_article(thing.name);
    let questions = format!(
        "[what is {a} for?|what is {a} good for?|what do you use {a} for?|what can I do with {a}?|why do people have {a}?]"
    );
    lesson(rng, format!("{} for", thing.name), &questions, &format!("[{a}|it] is [good |]for <{}>.", thing.purpose))
}

fn place(rng: &mut Rng) -> Lesson {
    let place = rng.pick(PLACES).unwrap_or(&PLACES[0]);
    let found: Vec<&str> = place.found.trim_matches(['[', ']']).split('|').collect();
    let first = rng.below(found.len());
    let ways: Vec<&str> = (0..found.len()).map(|i| found[(first + i) % found.len()]).collect();
    let at = format!("{} {}", place.prep, place.name);
    let questions = format!(
        "[what [can I find|can you see|is there|can you find] {at}?|what would I see {at}?|tell me what there is {at}.]"
    );
    lesson(
        rng,
        format!("found {at}"),
        &questions,
        &format!("[there are|you can see|you can find] <{}> {at}.", ways.join(";")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_and_is_not_in_a_group() {
        for (group, members, others) in GROUPS {
            assert!(members.split(' ').all(|one| !others.split(' ').any(|not| not == one)), "{group}");
        }
    }

    #[test]
    fn an_opposite_of_an_opposite_is_the_word_again() {
        for (word, others) in OPPOSITES {
            for other in others.split(';') {
                let back = OPPOSITES.iter().find(|(w, _)| *w == other);
                assert!(back.is_none_or(|(_, b)| b.split(';').any(|b| b == *word)), "{word}: {other}");
            }
        }
    }

    #[test]
    fn what_a_thing_is_made_of_is_known() {
        for name in MADE {
            assert!(THINGS.iter().any(|t| t.name == *name && !t.made.is_empty()), "{name}");
        }
    }
}
