//! Everybody who can be in a story: kinds of characters with what they can do, and the making of one character of a
//! kind, whose name, look, nature, home and liking are drawn anew for each story.

use crate::names::{FAMILY, HE, PET_HE, PET_SHE, SHE};
use crate::rng::Rng;

/// A kind of character.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) kind: &'static str,
    rank: u8,
    sex: Sex,
    /// Words for the look, one of which a character has.
    pub(crate) looks: &'static str,
    /// Homes, separated by semicolons.
    homes: &'static str,
    /// What it likes to do, separated by semicolons.
    loves: &'static str,
    pub(crate) skills: u32,
    /// Words before the name, such as "Mrs"; with `Grandma` and the like the name itself says the kind.
    title: &'static str,
}

/// Whether a kind can be "she" or "he".
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sex {
    She,
    He,
    Any,
}

/// One character in one story.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) name: String,
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

    /// Whether the name itself says what this character is, as in Doctor Lane.
    pub(crate) fn says_kind(&self) -> bool {
        ["Grandma", "Grandpa", "Farmer", "Doctor"].iter().any(|title| self.name.starts_with(title))
    }

    /// The name with the kind, as in "Pip the mouse", where the name alone does not say it.
    pub(crate) fn full(&self) -> String {
        if self.rank == CHILD || self.says_kind() {
            self.name.clone()
        } else {
            format!("{} the {}", self.name, self.kind)
        }
    }

    /// The name without a title.
    pub(crate) fn first_name(&self) -> &str {
        self.name.rsplit(' ').next().unwrap_or(&self.name)
    }

    /// Whether this is a child or an animal, so that it can be the hero.
    pub(crate) fn young(&self) -> bool {
        self.rank != GROWN
    }

    /// Somebody: an animal, a child or (less often) a grown-up.
    pub(crate) fn anybody(rng: &mut Rng) -> Person {
        let kinds = match rng.below(100) {
            0..58 => ANIMALS,
            58..84 => CHILDREN,
            _ => GROWN_UPS,
        };
        let kind = rng.pick(kinds).unwrap_or(&ANIMALS[0]);
        Person::of(kind, rng)
    }

    fn of(kind: &'static Kind, rng: &mut Rng) -> Person {
        let she = kind.sex == Sex::She || (kind.sex == Sex::Any && rng.chance(50));
        let natures = if kind.rank == GROWN { GROWN_NATURES } else { NATURES };
        let nature = loop {
            let nature = pick(rng, natures);
            if !(kind.skills & SLOW != 0 && ["quick", "hasty", "lively"].contains(&nature)) {
                break nature;
            }
        };
        let (homes, loves) = match kind.rank {
            CHILD => (CHILD_HOMES, CHILD_LOVES),
            ANIMAL if rng.chance(25) => (kind.homes, ANY_LOVES),
            _ => (kind.homes, kind.loves),
        };
        Person {
            name: name(kind, she, rng),
            kind: kind.kind,
            she,
            look: pick_word(rng, kind.looks),
            nature,
            home: pick_part(rng, homes),
            love: pick_part(rng, loves),
            rank: kind.rank,
            skills: kind.skills,
        }
    }
}

fn name(kind: &Kind, she: bool, rng: &mut Rng) -> String {
    let first = if she { SHE } else { HE };
    match (kind.rank, kind.title) {
        (GROWN, "Mr") => format!("{} {}", if she { pick(rng, &["Mrs", "Miss"]) } else { "Mr" }, pick(rng, FAMILY)),
        (GROWN, title @ ("Farmer" | "Doctor" | "Captain")) => format!("{title} {}", pick(rng, FAMILY)),
        (GROWN, title) => format!("{title} {}", pick(rng, first)),
        (ANIMAL, _) if rng.chance(25) => pick(rng, if she { PET_SHE } else { PET_HE }).to_owned(),
        _ => pick(rng, first).to_owned(),
    }
}

fn pick(rng: &mut Rng, items: &[&'static str]) -> &'static str {
    rng.pick(items).copied().unwrap_or_default()
}

fn pick_word(rng: &mut Rng, words: &'static str) -> &'static str {
    pick(rng, &words.split(' ').collect::<Vec<_>>())
}

fn pick_part(rng: &mut Rng, parts: &'static str) -> &'static str {
    pick(rng, &parts.split(';').map(str::trim).collect::<Vec<_>>())
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

/// How children and animals can be.
static NATURES: &[&str] = &[
    "clever",
    "cheerful",
    "patient",
    "quick",
    "playful",
    "friendly",
    "proud",
    "gentle",
    "brave",
    "merry",
    "calm",
    "stubborn",
    "quiet",
    "shy",
    "jolly",
    "kind",
    "nervous",
    "polite",
    "busy",
    "hungry",
    "lively",
    "curious",
    "serious",
    "helpful",
    "careful",
    "bold",
    "dreamy",
    "funny",
    "thoughtful",
    "tidy",
    "hasty",
    "sleepy",
];

/// How grown-ups can be.
static GROWN_NATURES: &[&str] = &[
    "cheerful", "patient", "quiet", "kind", "gentle", "merry", "careful", "friendly", "clever", "helpful", "calm",
    "wise", "busy", "funny",
];

const CHILD_HOMES: &str =
    "in the house by the mill; on the farm; in the yellow house; above the bakery; near the forest;
    at the end of the lane; next to the market; by the harbour; beside the school; in the tall house;
    in the cottage with the roses; across from the park; on the hill; near the sea; by the river; in the old tower;
    behind the shop; on a boat; in the white house; in the house with the blue door; in the red house by the bridge;
    over the tea room; in the last house of the village; near the church; in a house with a green roof";

const CHILD_LOVES: &str = "asking questions; climbing on gates; drawing pictures; making things; exploring;
    reading books; dancing; watching boats; solving puzzles; running races; feeding birds; telling jokes; riding a bike;
    looking at clouds; growing flowers; counting stars; singing; catching crabs; sorting shells; baking biscuits;
    jumping in puddles; playing ball; building towers; collecting leaves; flying kites; painting; writing letters";

const ANY_LOVES: &str = "telling riddles; playing hide and seek; looking at the moon; collecting round stones;
    dancing in the rain; listening to stories; watching the clouds; sleeping late; making new friends; telling jokes;
    singing old songs; picking berries; rolling down hills; watching the sunset";

const fn a(
    kind: &'static str,
    sex: Sex,
    looks: &'static str,
    homes: &'static str,
    loves: &'static str,
    skills: u32,
) -> Kind {
    Kind { kind, rank: ANIMAL, sex, looks, homes, loves, skills, title: "" }
}

const fn child(kind: &'static str, sex: Sex) -> Kind {
    Kind { kind, rank: CHILD, sex, looks: "young", homes: "", loves: "", skills: 0, title: "" }
}

const fn g(
    title: &'static str,
    kind: &'static str,
    sex: Sex,
    homes: &'static str,
    loves: &'static str,
    skills: u32,
) -> Kind {
    Kind { kind, rank: GROWN, sex, looks: "old", homes, loves, skills: skills | TALL, title }
}

use Sex::{Any, He, She};

static CHILDREN: &[Kind] = &[child("girl", She), child("boy", He)];

/// The kinds of animals.
#[rustfmt::skip]
pub(crate) static ANIMALS: &[Kind] = &[
    a("mouse", Any, "tiny little grey brown", "in a hole under the old oak; behind the stove; under the barn floor", "nibbling seeds; hiding crumbs; running along shelves", TINY),
    a("ladybird", Any, "tiny red little", "on a rose leaf; in a garden bush; under a daisy", "counting spots; walking up stems; sitting on flowers", TINY | FLY),
    a("mole", Any, "small black soft", "under the green hill; under the meadow; beneath the lawn", "digging long tunnels; smelling the earth; hunting worms", DIG),
    a("squirrel", Any, "red quick little brown", "high in a pine tree; in an old oak; in the tallest tree of the park", "hiding nuts; jumping from branch to branch; cracking nuts", CLIMB | FAST),
    a("otter", Any, "brown slim young", "by the river; under the old bridge; on the bank of the stream", "sliding down wet rocks; catching fish; floating on the water", SWIM | FAST),
    a("duck", Any, "white brown plump", "in the reeds by the pond; near the mill; on a small island", "splashing in puddles; swimming in circles; diving for weeds", SWIM),
    a("goose", Any, "grey white big", "behind the barn; by the village pond; next to the duck house", "marching up and down; eating grass; shouting at strangers", SWIM),
    a("bear", Any, "big brown strong", "in a warm cave; in the deep forest; on the mountain", "eating honey; sleeping in winter; scratching trees", STRONG | CLIMB | NOSE),
    a("owl", Any, "grey old white", "in a hollow tree; in the old tower; above the barn door", "watching the stars; reading old books; flying without a sound", FLY | EYES | WISE),
    a("robin", Any, "little red brown", "in a nest above the gate; in the holly bush; in a hole in the wall", "singing in the rain; looking for worms; hopping on the lawn", FLY | MUSIC),
    a("finch", Any, "yellow green little", "in the apple tree; in the hedge; on the roof of the school", "making up songs; eating seeds; whistling in the morning", FLY | MUSIC),
    a("cow", She, "big brown white", "in the red barn; on the wide meadow; at the dairy", "eating sweet grass; giving milk; resting in the shade", STRONG | HOOF),
    a("horse", Any, "tall black brown white", "in the stable; on the farm; in the field by the road", "galloping over the fields; jumping over fences; eating apples", STRONG | FAST | HOOF | TALL),
    a("goat", Any, "white grey brown", "on the rocky hill; behind the cottage; in a shed by the stream", "jumping from stone to stone; eating leaves; standing on walls", CLIMB | HOOF),
    a("fox", Any, "red young thin", "in a den under the hedge; at the edge of the forest; behind the hill", "running in the moonlight; playing tricks; hunting mice", NOSE | FAST | DIG),
    a("dog", Any, "brown black white big", "in the house by the bridge; in a kennel; in the farm yard", "chasing sticks; digging for bones; guarding the door", NOSE | FAST | DIG),
    a("cat", Any, "grey black white orange", "in the house with the blue door; on the window sill; in the bakery", "sleeping in the sun; chasing wool; drinking milk", CLIMB | EYES),
    a("hedgehog", Any, "small brown round", "under a pile of leaves; under the wood pile; in the garden hedge", "eating ripe berries; rolling into a ball; walking at night", NOSE),
    a("frog", Any, "green little brown", "under a water lily; in the ditch; by the garden pond", "hopping over puddles; catching flies; singing in the evening", SWIM),
    a("tortoise", Any, "old slow little", "beside the garden wall; under the fig tree; in a box of straw", "chewing lettuce; sleeping in the sun; taking long walks", SLOW | WISE),
    a("giraffe", Any, "tall yellow young", "beside the tall barn; near the high trees; behind the circus tent", "looking over roofs; eating leaves; watching birds", TALL | HOOF),
    a("elephant", Any, "big grey strong", "near the wide lake; behind the circus tent; in the warm valley", "spraying water; carrying logs; bathing in mud", STRONG | TALL | SWIM),
    a("rabbit", Any, "soft white brown grey", "in a burrow on the hill; under the hedge; at the edge of the wheat field", "eating crisp carrots; jumping in the grass; digging holes", DIG | FAST),
    a("badger", Any, "strong grey striped", "in a deep den in the forest; under the old elm; in the side of the hill", "tidying the den; digging for roots; walking at night", DIG | STRONG | EYES),
    a("bat", Any, "black small brown", "in the church tower; in the dark cave; under the roof of the mill", "flying at night; hanging upside down; catching moths", FLY | EYES),
    a("seal", Any, "shiny grey plump", "on the rocks by the sea; on the sand bank; in the harbour", "diving under the waves; lying on warm stones; chasing fish", SWIM | FAST),
    a("pigeon", Any, "grey white plump", "on the roof of the town hall; in the old loft; on the station clock", "carrying letters; picking up crumbs; flying over the town", FLY | FAST),
    a("hen", She, "plump brown white", "in the hen house; in the farm yard; behind the kitchen", "scratching for corn; sitting in the straw; counting eggs", 0),
    a("pig", Any, "pink fat little", "in the farm yard; in the pig house; behind the barn", "rolling in mud; eating potatoes; sleeping in the straw", NOSE | HOOF),
    a("lamb", Any, "woolly white little", "in the green field; on the hill; in the sheep barn", "skipping about; drinking milk; following the others", HOOF),
    a("donkey", Any, "grey brown old", "in the little stable; by the mill; on the road to the market", "eating thistles; carrying sacks; rolling in the dust", STRONG | SLOW | HOOF),
    a("wren", Any, "tiny brown round", "in the ivy on the wall; in a wood pile; under the bridge", "chirping at sunrise; hiding in bushes; building round nests", FLY | TINY | MUSIC),
    a("crow", Any, "black big young", "at the top of the elm; on the chimney; in the tall pine", "picking up shiny things; solving riddles; riding on the wind", FLY),
    a("beetle", Any, "tiny black shiny green", "under a flat stone; in a rotten log; under the bark", "polishing one leg after the other; climbing stems; pushing crumbs", TINY | DIG),
    a("snail", Any, "little slow brown", "under the cabbage leaves; on the garden wall; behind a flower pot", "looking at the rain; eating lettuce; leaving silver lines", SLOW),
    a("heron", Any, "tall grey thin", "at the edge of the lake; in the marsh; on an island in the river", "standing very still; watching fish; flying at sunrise", TALL | FLY),
    a("beaver", Any, "brown plump young", "in a house of sticks on the stream; by the river; behind the dam", "building dams; cutting trees; swimming under the ice", SWIM | MEND),
    a("toad", Any, "plump brown old", "under the garden bench; in the cellar; under a wet stone", "humming in the dark; catching slugs; sitting in the mud", SWIM),
    a("pony", Any, "brown white spotted", "in the meadow; in the riding school; behind the farm", "trotting along the lane; eating carrots; jumping over logs", FAST | STRONG | HOOF),
    a("kitten", Any, "grey white orange tiny", "in a basket; in the barn; under the kitchen table", "playing with string; climbing curtains; sleeping on cushions", CLIMB),
    a("swan", Any, "white big young", "on the lake; by the castle; on the wide river", "gliding over the water; eating water weeds; looking into the water", SWIM | FLY),
    a("deer", Any, "brown slim young", "in the forest; on the edge of the wood; in the quiet valley", "leaping over logs; eating grass; drinking from the stream", FAST | HOOF),
    a("penguin", Any, "black little round", "on the ice; by the cold sea; in the zoo", "sliding on the ice; swimming far; standing with friends", SWIM),
    a("monkey", Any, "brown little quick", "in the palm tree; in the zoo; in the warm forest", "swinging on ropes; eating bananas; making faces", CLIMB | FAST),
];

/// The kinds of grown-ups.
#[rustfmt::skip]
static GROWN_UPS: &[Kind] = &[
    g("Mr", "baker", Any, "over the bakery; behind the oven", "baking bread; eating warm rolls; getting up early", COOK),
    g("Mr", "fisherman", He, "in a hut by the lake; by the harbour", "mending nets; sitting by the water; catching fish", MEND | SWIM),
    g("Grandma", "grandmother", She, "in the little cottage; by the river; next door", "knitting; making jam; telling old stories", COOK | WISE | MEND),
    g("Grandpa", "grandfather", He, "in the little cottage; by the mill; next door", "carving wood; telling old stories; fixing clocks", WISE | MEND),
    g("Farmer", "farmer", Any, "on the farm; behind the hill", "driving the tractor; feeding the cows; working in the fields", STRONG | GROW),
    g("Aunt", "gardener", She, "in the house with the green roof; near the garden", "planting seeds; picking flowers; drinking tea", GROW | COOK),
    g("Uncle", "cook", He, "behind the inn; above the kitchen", "making soup; tasting sauces; singing in the kitchen", COOK),
    g("Mr", "teacher", Any, "beside the school; in the school house", "reading stories; teaching songs; explaining things", WISE | MUSIC),
    g("Mr", "clockmaker", Any, "behind the clock shop; over the clock shop", "winding clocks; mending watches; being on time", MEND),
    g("Mr", "tailor", Any, "over the tailor shop; on the village square", "sewing coats; choosing buttons; cutting cloth", MEND),
    g("Mr", "carpenter", Any, "next to the workshop; behind the wood yard", "building tables; sawing planks; making chairs", MEND | STRONG),
    g("Doctor", "doctor", Any, "near the square; in the white house", "helping people; reading books; riding a bicycle", WISE),
    g("Captain", "sailor", Any, "on an old ship; by the harbour", "telling tales of the sea; tying knots; looking at maps", SWIM | STRONG),
    g("Mr", "postman", He, "by the post office; in the long street", "bringing letters; ringing bells; walking", 0),
    g("Mr", "librarian", Any, "above the library; in the quiet street", "sharing books; reading; putting books in order", WISE),
    g("Mr", "piano teacher", Any, "by the music hall; in the house with the piano", "playing the piano; singing; listening to music", MUSIC),
    g("Mr", "painter", Any, "in the attic; in the house by the sea", "painting hills; mixing colours; drawing faces", MEND),
    g("Mr", "shepherd", Any, "on the hill; in a hut near the sheep", "counting sheep; playing the pipe; looking at the sky", WISE),
];
