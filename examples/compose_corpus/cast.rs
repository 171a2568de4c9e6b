//! Everybody who can be in a story: what they are, how they look, what they can do, where they live, what they love.

/// One character; the same wherever it appears.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) she: bool,
    pub(crate) look: &'static str,
    pub(crate) nature: &'static str,
    pub(crate) home: &'static str,
    pub(crate) love: &'static str,
    pub(crate) rank: u8,
    pub(crate) skills: u32,
}

impl Person {
    /// Whether this character can do any of `skills`.
    pub(crate) fn can(&self, skills: u32) -> bool {
        self.skills & skills != 0
    }

    /// Whether the name itself says what this character is, as in Doctor Fern.
    pub(crate) fn says_kind(&self) -> bool {
        ["Grandma", "Grandpa", "Farmer", "Doctor"].iter().any(|title| self.name.starts_with(title))
    }

    /// Whether this is a child or an animal, so that it can be the hero.
    pub(crate) fn young(&self) -> bool {
        self.rank != GROWN
    }
}

pub(crate) const CHILD: u8 = 0;
pub(crate) const ANIMAL: u8 = 1;
pub(crate) const GROWN: u8 = 2;

pub(crate) const FLY: u32 = 1;
pub(crate) const CLIMB: u32 = 2;
pub(crate) const SWIM: u32 = 4;
pub(crate) const DIG: u32 = 8;
pub(crate) const TALL: u32 = 16;
pub(crate) const STRONG: u32 = 32;
pub(crate) const TINY: u32 = 64;
pub(crate) const NOSE: u32 = 128;
pub(crate) const EYES: u32 = 256;
pub(crate) const FAST: u32 = 512;
pub(crate) const SLOW: u32 = 1024;
pub(crate) const MEND: u32 = 2048;
pub(crate) const COOK: u32 = 4096;
pub(crate) const MUSIC: u32 = 8192;
pub(crate) const HOOF: u32 = 1 << 14;
pub(crate) const WISE: u32 = 1 << 15;
pub(crate) const GROW: u32 = 1 << 16;

const fn a(
    name: &'static str,
    kind: &'static str,
    she: bool,
    look: &'static str,
    nature: &'static str,
    home: &'static str,
    love: &'static str,
    skills: u32,
) -> Person {
    Person { name, kind, she, look, nature, home, love, rank: ANIMAL, skills }
}

const fn c(name: &'static str, she: bool, nature: &'static str, home: &'static str, love: &'static str) -> Person {
    let kind = if she { "girl" } else { "boy" };
    Person { name, kind, she, look: "young", nature, home, love, rank: CHILD, skills: 0 }
}

const fn g(
    name: &'static str,
    kind: &'static str,
    she: bool,
    nature: &'static str,
    home: &'static str,
    love: &'static str,
    skills: u32,
) -> Person {
    Person { name, kind, she, look: "old", nature, home, love, rank: GROWN, skills: skills | TALL }
}

const F: bool = true;
const M: bool = false;

/// The whole cast.
#[rustfmt::skip]
pub(crate) static PEOPLE: &[Person] = &[
    a("Pip", "mouse", M, "tiny", "clever", "in a hole under the old oak", "nibbling seeds", TINY),
    a("Dot", "ladybird", F, "tiny", "cheerful", "on a rose leaf", "counting spots", TINY | FLY),
    a("Moss", "mole", M, "small", "patient", "under the green hill", "digging long tunnels", DIG),
    a("Hazel", "squirrel", F, "red", "quick", "high in a pine tree", "hiding nuts", CLIMB | FAST),
    a("Otto", "otter", M, "brown", "playful", "by the river", "sliding down wet rocks", SWIM | FAST),
    a("Wilma", "duck", F, "white", "friendly", "in the reeds by the pond", "splashing in puddles", SWIM),
    a("Gus", "goose", M, "grey", "proud", "behind the barn", "marching up and down", SWIM),
    a("Bruno", "bear", M, "big", "gentle", "in a warm cave", "eating honey", STRONG | CLIMB | NOSE),
    a("Olive", "owl", F, "grey", "wise", "in a hollow tree", "watching the stars", FLY | EYES | WISE),
    a("Ruby", "robin", F, "little", "brave", "in a nest above the gate", "singing in the rain", FLY | MUSIC),
    a("Felix", "finch", M, "yellow", "merry", "in the apple tree", "making up songs", FLY | MUSIC),
    a("Bella", "cow", F, "big", "calm", "in the red barn", "eating sweet grass", STRONG | HOOF),
    a("Captain", "horse", M, "tall", "proud", "in the stable", "galloping over the fields", STRONG | FAST | HOOF | TALL),
    a("Nina", "goat", F, "white", "stubborn", "on the rocky hill", "jumping from stone to stone", CLIMB | HOOF),
    a("Rusty", "fox", M, "red", "clever", "in a den under the hedge", "running in the moonlight", NOSE | FAST | DIG),
    a("Biscuit", "dog", M, "brown", "faithful", "in the house by the bridge", "chasing sticks", NOSE | FAST | DIG),
    a("Misty", "cat", F, "grey", "quiet", "in the house with the blue door", "sleeping in the sun", CLIMB | EYES),
    a("Thistle", "hedgehog", F, "small", "shy", "under a pile of leaves", "eating ripe berries", NOSE),
    a("Flip", "frog", M, "green", "jolly", "under a water lily", "hopping over puddles", SWIM),
    a("Tuck", "tortoise", M, "old", "patient", "beside the garden wall", "chewing lettuce", SLOW | WISE),
    a("Gerda", "giraffe", F, "tall", "gentle", "beside the tall barn", "looking over roofs", TALL | HOOF),
    a("Ella", "elephant", F, "big", "kind", "near the wide lake", "spraying water", STRONG | TALL | SWIM),
    a("Clover", "rabbit", F, "soft", "nervous", "in a burrow on the hill", "eating crisp carrots", DIG | FAST),
    a("Bramble", "badger", M, "strong", "grumpy", "in a deep den in the forest", "tidying the den", DIG | STRONG | EYES),
    a("Nico", "bat", M, "black", "quiet", "in the church tower", "flying at night", FLY | EYES),
    a("Sally", "seal", F, "shiny", "playful", "on the rocks by the sea", "diving under the waves", SWIM | FAST),
    a("Pearl", "pigeon", F, "grey", "polite", "on the roof of the town hall", "carrying letters", FLY | FAST),
    a("Hetty", "hen", F, "plump", "busy", "in the hen house", "scratching for corn", 0),
    a("Percy", "pig", M, "pink", "hungry", "in the farm yard", "rolling in mud", NOSE | HOOF),
    a("Lulu", "lamb", F, "woolly", "shy", "in the green field", "skipping about", HOOF),
    a("Dusty", "donkey", M, "grey", "stubborn", "in the little stable", "eating thistles", STRONG | SLOW | HOOF),
    a("Winnie", "wren", F, "tiny", "lively", "in the ivy on the wall", "chirping at sunrise", FLY | TINY | MUSIC),
    a("Kit", "crow", M, "black", "curious", "at the top of the elm", "picking up shiny things", FLY),
    a("Bart", "beetle", M, "tiny", "sturdy", "under a flat stone", "polishing his shell", TINY | DIG),
    a("Sol", "snail", M, "little", "calm", "under the cabbage leaves", "looking at the rain", SLOW),
    a("Henry", "heron", M, "tall", "serious", "at the edge of the lake", "standing very still", TALL | FLY),
    a("Basil", "beaver", M, "brown", "busy", "in a house of sticks on the stream", "building dams", SWIM | MEND),
    a("Todd", "toad", M, "plump", "grumpy", "under the garden bench", "humming in the dark", SWIM),
    a("Poppy", "pony", F, "brown", "gentle", "in the meadow", "trotting along the lane", FAST | STRONG | HOOF),
    c("Nell", F, "curious", "in the house by the mill", "asking questions"),
    c("Tom", M, "cheerful", "on the farm", "climbing on gates"),
    c("Mia", F, "quiet", "in the yellow house", "drawing pictures"),
    c("Sam", M, "helpful", "above the bakery", "making things"),
    c("Ivy", F, "brave", "near the forest", "exploring"),
    c("Leo", M, "shy", "at the end of the lane", "reading books"),
    c("Rosa", F, "lively", "next to the market", "dancing"),
    c("Ben", M, "careful", "by the harbour", "watching boats"),
    c("Ada", F, "clever", "beside the school", "solving puzzles"),
    c("Max", M, "hasty", "in the tall house", "running races"),
    c("Lily", F, "gentle", "in the cottage with the roses", "feeding birds"),
    c("Jack", M, "funny", "across from the park", "telling jokes"),
    c("Zoe", F, "bold", "on the hill", "riding her bike"),
    c("Noah", M, "dreamy", "near the sea", "looking at clouds"),
    c("Anna", F, "patient", "by the river", "growing flowers"),
    c("Theo", M, "thoughtful", "in the old tower", "counting stars"),
    c("Maya", F, "merry", "behind the shop", "singing"),
    c("Finn", M, "bold", "on a boat", "catching crabs"),
    c("Jenny", F, "tidy", "in the white house", "sorting shells"),
    c("Oscar", M, "hungry", "over the tea room", "baking biscuits"),
    g("Mrs Plum", "baker", F, "cheerful", "over the bakery", "baking bread", COOK),
    g("Mr Reed", "fisherman", M, "quiet", "in a hut by the lake", "mending nets", MEND | SWIM),
    g("Grandma Ida", "grandmother", F, "kind", "in the little cottage", "knitting", COOK | WISE | MEND),
    g("Grandpa Joe", "grandfather", M, "patient", "in the little cottage", "carving wood", WISE | MEND),
    g("Farmer Holt", "farmer", M, "strong", "on the farm", "driving the tractor", STRONG | GROW),
    g("Aunt May", "gardener", F, "merry", "in the house with the green roof", "planting seeds", GROW | COOK),
    g("Miss Penny", "teacher", F, "gentle", "beside the school", "reading stories", WISE | MUSIC),
    g("Mr Tock", "clockmaker", M, "careful", "behind the clock shop", "winding clocks", MEND),
    g("Mrs Stitch", "tailor", F, "clever", "over the tailor shop", "sewing coats", MEND),
    g("Mr Nail", "carpenter", M, "helpful", "next to the workshop", "building tables", MEND | STRONG),
    g("Doctor Fern", "doctor", F, "calm", "near the square", "helping people", WISE),
    g("Captain Blue", "sailor", M, "bold", "on an old ship", "telling tales of the sea", SWIM | STRONG),
    g("Mr Green", "postman", M, "friendly", "by the post office", "bringing letters", 0),
    g("Mrs Page", "librarian", F, "wise", "above the library", "sharing books", WISE),
    g("Miss Bell", "music teacher", F, "lively", "by the music hall", "playing the piano", MUSIC),
];
