//! What is true of animals: what they can do, say, eat, where they live, how many legs they have, how big they are.

use crate::grammar::with_article;
use crate::lesson::Lesson;
use crate::rng::Rng;

/// One animal as it really is (the stories are free to give it a coat and a voice).
struct Animal {
    name: &'static str,
    /// Verbs for what it can do, and for what it cannot.
    can: &'static str,
    cannot: &'static str,
    /// "moo"; empty where a child would not know.
    says: &'static str,
    eats: &'static str,
    lives: &'static str,
    legs: usize,
    /// What covers it.
    coat: &'static str,
    young: &'static str,
    /// From 1 (a beetle) to 10 (an elephant); only steps of two or more are compared.
    size: u8,
}

const fn a(
    name: &'static str,
    can: &'static str,
    cannot: &'static str,
    says: &'static str,
    eats: &'static str,
    lives: &'static str,
    legs: usize,
    coat: &'static str,
    young: &'static str,
    size: u8,
) -> Animal {
    Animal { name, can, cannot, says, eats, lives, legs, coat, young, size }
}

#[rustfmt::skip]
static ANIMALS: &[Animal] = &[
    a("mouse", "run climb", "fly", "squeak", "seeds;grain;cheese", "in a hole", 4, "fur", "", 2),
    a("ladybird", "fly crawl", "swim dig", "", "small insects;insects", "on leaves", 6, "", "", 1),
    a("mole", "dig swim", "fly climb", "", "worms", "under the ground;underground;in the ground", 4, "fur", "", 3),
    a("squirrel", "climb jump run", "fly", "", "nuts", "in a tree;in trees", 4, "fur", "", 3),
    a("otter", "swim dive run", "fly", "", "fish", "by the river;in the river;at the river", 4, "fur", "", 5),
    a("duck", "swim fly dive", "climb dig", "quack", "weeds and snails;weeds;snails;bread", "by the pond;on the pond;at the pond", 2, "feathers", "duckling", 4),
    a("goose", "swim fly", "climb dig", "honk", "grass", "by the pond;on the farm", 2, "feathers", "", 4),
    a("bear", "climb swim run", "fly", "growl", "honey and berries;honey;berries;fish", "in a cave;in the forest", 4, "fur", "cub", 9),
    a("owl", "fly", "swim dig", "hoo", "mice", "in a hollow tree;in a tree", 2, "feathers", "", 4),
    a("robin", "fly sing hop", "swim dig", "tweet", "worms", "in a nest", 2, "feathers", "", 2),
    a("finch", "fly sing hop", "swim dig", "tweet", "seeds", "in a nest", 2, "feathers", "", 2),
    a("cow", "walk swim", "fly climb", "moo", "grass", "on a farm;in a barn", 4, "hair", "calf", 9),
    a("horse", "run jump swim", "fly climb", "neigh", "grass and hay;hay;grass;oats", "in a stable", 4, "hair", "foal", 9),
    a("goat", "climb jump run", "fly", "maa", "grass and leaves;leaves;grass", "on the hills;on a farm", 4, "hair", "kid", 6),
    a("fox", "run dig", "fly", "", "mice", "in a den", 4, "fur", "cub", 5),
    a("dog", "run swim dig", "fly climb", "woof", "meat and bones;meat;bones", "in a house;in a kennel", 4, "fur", "puppy", 5),
    a("cat", "climb run jump", "fly", "meow", "mice and fish;mice;fish;meat", "in a house", 4, "fur", "kitten", 4),
    a("hedgehog", "walk swim", "fly", "", "worms and snails;worms;snails;insects", "under leaves", 4, "spines", "", 3),
    a("frog", "hop swim jump", "fly", "croak", "flies;insects", "by the pond;in the pond", 4, "skin", "tadpole", 2),
    a("tortoise", "walk crawl", "fly jump run", "", "lettuce;leaves;grass", "in the garden", 4, "a shell;shell", "", 4),
    a("giraffe", "walk run", "fly climb", "", "leaves", "in a warm land;in africa", 4, "hair", "", 10),
    a("elephant", "walk swim", "fly jump climb", "", "leaves and grass;leaves;grass", "in a warm land;in africa", 4, "skin", "calf", 10),
    a("rabbit", "hop run dig jump", "fly climb", "", "grass and carrots;carrots;grass", "in a burrow", 4, "fur", "", 4),
    a("badger", "dig run walk", "fly", "", "worms and roots;worms;roots", "in a den", 4, "fur", "cub", 5),
    a("bat", "fly", "dig", "", "insects;moths;flies", "in a cave", 2, "fur", "", 2),
    a("seal", "swim dive", "fly climb run", "", "fish", "in the sea;by the sea", 0, "fur", "", 7),
    a("pigeon", "fly walk", "swim dig", "coo", "seeds and crumbs;seeds;crumbs", "on a roof", 2, "feathers", "", 3),
    a("hen", "walk run", "swim dig", "cluck", "corn;seeds", "in a hen house", 2, "feathers", "chick", 4),
    a("pig", "run dig swim", "fly climb", "oink", "potatoes;roots;nearly everything", "on a farm;in a pig house", 4, "hair", "piglet", 6),
    a("sheep", "run walk", "fly dig", "baa", "grass", "on a farm;in the field", 4, "wool", "lamb", 6),
    a("donkey", "walk run", "fly climb", "hee haw", "grass and thistles;grass;thistles;hay", "in a stable", 4, "hair", "foal", 8),
    a("crow", "fly hop", "swim dig", "caw", "nearly everything;seeds;insects", "in a tree", 2, "feathers", "", 3),
    a("beetle", "crawl walk", "sing jump", "", "leaves", "under a stone", 6, "", "", 1),
    a("snail", "crawl", "fly jump run", "", "leaves;lettuce", "in the garden", 0, "a shell;shell", "", 1),
    a("heron", "fly walk", "dig", "", "fish and frogs;fish;frogs", "by the lake;by the water", 2, "feathers", "", 5),
    a("beaver", "swim dive", "fly", "", "bark and leaves;bark;leaves", "in the river;by the river;by the stream", 4, "fur", "", 5),
    a("pony", "run jump walk", "fly climb", "neigh", "grass and hay;grass;hay", "in a stable", 4, "hair", "foal", 8),
    a("bee", "fly", "swim sing", "buzz", "nectar;honey", "in a hive", 6, "", "", 1),
    a("spider", "climb crawl", "fly sing", "", "flies;insects", "in a web", 8, "", "", 1),
    a("fish", "swim dive", "fly walk climb", "", "worms;weeds", "in the water;in water", 0, "", "", 3),
    a("swan", "swim fly", "climb dig", "", "water weeds;weeds", "on the lake;by the lake", 2, "feathers", "", 5),
    a("penguin", "swim dive walk", "fly climb", "", "fish", "on the ice;by the sea", 2, "feathers", "chick", 5),
    a("monkey", "climb jump run", "fly", "", "bananas;fruit", "in a tree;in trees;in the forest", 4, "fur", "", 5),
    a("butterfly", "fly", "swim dig", "", "nectar", "in the meadow;in the garden", 6, "", "caterpillar", 1),
    a("worm", "crawl dig", "fly jump run", "", "earth;leaves", "in the ground;in the earth", 0, "skin", "", 1),
    a("lion", "run jump climb", "fly", "roar", "meat", "in a warm land;in africa", 4, "fur", "cub", 8),
];

/// A question about one animal or two.
pub(crate) fn animals(rng: &mut Rng) -> Lesson {
    loop {
        let animal = rng.pick(ANIMALS).unwrap_or(&ANIMALS[0]);
        let lesson = match rng.below(13) {
            0 | 1 => Some(ability(rng, animal, true)),
            2 | 3 => Some(ability(rng, animal, false)),
            4 => voice(rng, animal),
            5 => who_says(rng, animal),
            6 => Some(food(rng, animal)),
            7 => Some(home(rng, animal)),
            8 => Some(legs(rng, animal)),
            9 => coat(rng, animal),
            10 => young(rng, animal),
            _ => size(rng, animal),
        };
        if let Some(lesson) = lesson {
            return lesson;
        }
    }
}

fn lesson(rng: &mut Rng, about: String, questions: &str, answers: &str) -> Lesson {
    Lesson::new("fact", about, rng, questions, answers)
}

fn ability(rng: &mut Rng, animal: &Animal, can: bool) -> Lesson {
    let verbs: Vec<&str> = if can { animal.can } else { animal.cannot }.split(' ').collect();
    let verb = rng.pick(&verbs).copied().unwrap_or("walk");
    let a = with_article(animal.name);
    let questions = format!(
        "[can {a} {verb}?|is {a} able to {verb}?|do you know if {a} can {verb}?|tell me, can {a} {verb}?|\
         {a} can {verb}, is that right?|can {plural} {verb}?|are {plural} able to {verb}?]",
        plural = plural(animal.name)
    );
    let answers = if can { format!("<yes>, {a} can {verb}.") } else { format!("<no>, {a} cannot {verb}.") };
    lesson(rng, format!("{} {verb}", animal.name), &questions, &answers)
}

fn voice(rng: &mut Rng, animal: &Animal) -> Option<Lesson> {
    let Animal { name, says, .. } = animal;
    if says.is_empty() {
        return None;
    }
    let a = with_article(name);
    let questions = format!(
        "[what does {a} say?|what sound does {a} make?|which sound does {a} make?|how does {a} speak?|\
         what do you hear from {a}?|how does {a} call?]"
    );
    Some(lesson(rng, format!("{name} says"), &questions, &format!("[{a} says|it says] <{says}>.")))
}

fn who_says(rng: &mut Rng, animal: &Animal) -> Option<Lesson> {
    let Animal { name, says, .. } = animal;
    if says.is_empty() {
        return None;
    }
    let all: Vec<&str> = ANIMALS.iter().filter(|b| b.says == *says && b.name != *name).map(|b| b.name).collect();
    let others: String = all.iter().map(|other| format!(";{other}")).collect();
    let questions = format!(
        "[who says {says}?|which animal says {says}?|what animal says {says}?|which animal goes {says}?|who makes the sound {says}?]"
    );
    Some(lesson(rng, format!("who says {says}"), &questions, &format!("[it is|that is|] a <{name}{others}>.")))
}

fn food(rng: &mut Rng, animal: &Animal) -> Lesson {
    let a = with_article(animal.name);
    let questions = format!(
        "[what does {a} eat?|what do {p} eat?|what does {a} like to eat?|what is the food of {a}?|\
         what food do {p} eat?|what can I give {a} to eat?]",
        p = plural(animal.name)
    );
    let eats = animal.eats;
    lesson(rng, format!("{} eats", animal.name), &questions, &format!("[{a} eats |]<{eats}>."))
}

fn home(rng: &mut Rng, animal: &Animal) -> Lesson {
    let a = with_article(animal.name);
    let questions = format!(
        "[where does {a} live?|where do {p} live?|where is the home of {a}?|where can I find {a}?|where does {a} sleep?]",
        p = plural(animal.name)
    );
    let lives = animal.lives;
    lesson(rng, format!("{} lives", animal.name), &questions, &format!("[{a} lives |]<{lives}>."))
}

fn legs(rng: &mut Rng, animal: &Animal) -> Lesson {
    let a = with_article(animal.name);
    let questions = format!(
        "[how many legs does {a} have?|how many legs has {a}?|how many legs do {p} have?|{a} has how many legs?|\
         on how many legs does {a} walk?|do you know how many legs {a} has?]",
        p = plural(animal.name)
    );
    let answers = match animal.legs {
        0 => format!("{a} has <no> legs."),
        n => format!("[{a}|it] has <{}> legs.", crate::facts::NUMBERS[n]),
    };
    lesson(rng, format!("{} legs", animal.name), &questions, &answers)
}

fn coat(rng: &mut Rng, animal: &Animal) -> Option<Lesson> {
    if animal.coat.is_empty() {
        return None;
    }
    let a = with_article(animal.name);
    let wrong = if animal.coat == "feathers" { "fur" } else { "feathers" };
    if rng.chance(50) {
        let right = ["feathers", "fur"].contains(&animal.coat);
        let (asked, answer) = match right && rng.chance(60) {
            true => (animal.coat, format!("<yes>, {a} has {}.", animal.coat)),
            false => (wrong, format!("<no>, {a} has no {wrong}.")),
        };
        let questions = format!(
            "[does {a} have {asked}?|has {a} got {asked}?|do {p} have {asked}?|is {a} covered with {asked}?]",
            p = plural(animal.name)
        );
        return Some(lesson(rng, format!("{} {asked}", animal.name), &questions, &answer));
    }
    let questions = format!("[what covers {a}?|what is {a} covered with?|what does {a} have on its body?]");
    let coat = animal.coat;
    Some(lesson(rng, format!("{} coat", animal.name), &questions, &format!("[{a}|it] has <{coat}>.")))
}

fn young(rng: &mut Rng, animal: &Animal) -> Option<Lesson> {
    let Animal { name, young, .. } = animal;
    if young.is_empty() {
        return None;
    }
    let a = with_article(name);
    let questions = format!(
        "[what is a young {name} called?|what is a baby {name} called?|what do you call a young {name}?|\
         what do you call a baby {name}?|what is the child of {a} called?|what is the baby of {a}?]"
    );
    Some(lesson(rng, format!("young {name}"), &questions, &format!("[it is|it is called] <a {young}>.")))
}

fn size(rng: &mut Rng, animal: &Animal) -> Option<Lesson> {
    let other = rng.pick(ANIMALS)?;
    if animal.size.abs_diff(other.size) < 3 {
        return None;
    }
    let bigger = rng.chance(60);
    let (word, a_wins) =
        if bigger { ("bigger", animal.size > other.size) } else { ("smaller", animal.size < other.size) };
    let (a, b) = (with_article(animal.name), with_article(other.name));
    let about = format!("{word} {} {}", animal.name, other.name);
    if rng.chance(50) {
        let answer = if a_wins { format!("<yes>, {a} is {word}.") } else { format!("<no>, {b} is {word}.") };
        return Some(lesson(
            rng,
            about,
            &format!("[is {a} {word} than {b}?|is it true that {a} is {word} than {b}?]"),
            &answer,
        ));
    }
    let winner = if a_wins { animal.name } else { other.name };
    let questions = format!("[[which|what|who] is {word}, {a} or {b}?|{a} or {b}, which is {word}?]");
    Some(lesson(rng, about, &questions, &format!("{} is {word}.", format_args!("<a {winner}>"))))
}

fn plural(name: &str) -> String {
    match name {
        "mouse" => "mice".to_owned(),
        "goose" => "geese".to_owned(),
        "fish" | "sheep" => name.to_owned(),
        "fox" | "finch" => format!("{name}es"),
        _ if name.ends_with('y') && !name.ends_with("ey") => format!("{}ies", &name[..name.len() - 1]),
        _ => format!("{name}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_animal_both_can_and_cannot_do_a_thing() {
        for animal in ANIMALS {
            assert!(
                animal.can.split(' ').all(|verb| !animal.cannot.split(' ').any(|not| not == verb)),
                "{}",
                animal.name
            );
        }
    }

    #[test]
    fn birds_have_two_legs_and_feathers() {
        for animal in ANIMALS.iter().filter(|animal| animal.coat == "feathers") {
            assert_eq!(animal.legs, 2, "{}", animal.name);
        }
    }

    #[test]
    fn more_than_one_animal_is_named_rightly() {
        assert_eq!(plural("pony"), "ponies");
        assert_eq!(plural("monkey"), "monkeys");
        assert_eq!(plural("mouse"), "mice");
    }
}
