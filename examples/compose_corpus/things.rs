//! The things that stories are about: how they look, what they are made of, what they are for, what can happen to them.

/// One kind of thing.
#[derive(Debug)]
pub(crate) struct Thing {
    pub(crate) name: &'static str,
    /// Words for its look, one of which a story chooses and keeps.
    pub(crate) looks: &'static str,
    /// What it is made of; for food, what is in it.
    pub(crate) made: &'static str,
    /// Completes "it is good for ...".
    pub(crate) purpose: &'static str,
    pub(crate) tags: u32,
}

impl Thing {
    /// Whether the thing has any of `tags`.
    pub(crate) fn is(&self, tags: u32) -> bool {
        self.tags & tags != 0
    }
}

pub(crate) const TOY: u32 = 1;
pub(crate) const FOOD: u32 = 2;
pub(crate) const WEAR: u32 = 4;
pub(crate) const TOOL: u32 = 8;
/// Light enough for the wind to take.
pub(crate) const LIGHT: u32 = 16;
pub(crate) const FLOATS: u32 = 32;
pub(crate) const SHINY: u32 = 64;
pub(crate) const BREAKS: u32 = 128;
pub(crate) const SOUNDS: u32 = 256;
pub(crate) const ROLLS: u32 = 512;
/// Big: too heavy for a child to carry.
pub(crate) const BIG: u32 = 1024;
pub(crate) const LAMP: u32 = 2048;
/// Small enough to be lost.
pub(crate) const SMALL: u32 = 4096;
/// Cloth or wool, which can tear.
pub(crate) const CLOTH: u32 = 8192;

const fn t(name: &'static str, looks: &'static str, made: &'static str, purpose: &'static str, tags: u32) -> Thing {
    Thing { name, looks, made, purpose, tags }
}

/// Every thing.
#[rustfmt::skip]
pub(crate) static THINGS: &[Thing] = &[
    t("kite", "red blue yellow green", "paper", "flying on windy days", TOY | LIGHT | BREAKS),
    t("ball", "red blue striped yellow", "rubber", "throwing and catching", TOY | FLOATS | ROLLS | SMALL),
    t("doll", "little old pretty", "cloth", "playing house", TOY | SMALL | CLOTH),
    t("toy boat", "blue red white green", "wood", "sailing on the pond", TOY | FLOATS | SMALL),
    t("toy train", "green black red", "wood", "carrying toy animals", TOY | SMALL | BREAKS),
    t("teddy", "brown soft old", "cloth", "hugging at night", TOY | SMALL | CLOTH),
    t("marble", "green blue shiny striped", "glass", "rolling games", TOY | SMALL | ROLLS | SHINY),
    t("spinning top", "red painted striped yellow", "wood", "spinning on the floor", TOY | SMALL),
    t("hoop", "yellow red big blue", "wood", "rolling along the lane", TOY | ROLLS),
    t("balloon", "red blue orange pink", "rubber", "parties", TOY | LIGHT),
    t("paper plane", "white long yellow", "paper", "flying across the room", TOY | LIGHT),
    t("puppet", "funny little striped", "cloth", "telling tales", TOY | SMALL | CLOTH),
    t("jump rope", "long blue red", "string", "skipping in the yard", TOY | SMALL),
    t("paper boat", "white yellow blue", "paper", "sailing down a stream", TOY | LIGHT | FLOATS),
    t("wooden horse", "brown little painted", "wood", "playing farm", TOY | SMALL | BREAKS),
    t("toy drum", "red little round", "wood", "making noise", TOY | SOUNDS | BREAKS),
    t("whistle", "silver tin green", "metal", "calling friends", SMALL | SOUNDS | SHINY),
    t("flute", "wooden silver long", "wood", "playing soft tunes", SOUNDS | SMALL),
    t("bell", "little silver golden", "metal", "ringing", SMALL | SOUNDS | SHINY),
    t("drum", "big red round", "wood", "beating time", SOUNDS | BREAKS),
    t("fiddle", "brown old small", "wood", "playing dances", SOUNDS | BREAKS),
    t("horn", "golden long shiny", "metal", "blowing loud notes", SOUNDS | SHINY),
    t("hat", "green straw red tall", "straw", "keeping off the sun", WEAR | LIGHT | CLOTH),
    t("cap", "blue woolly red", "wool", "keeping ears warm", WEAR | LIGHT | SMALL | CLOTH),
    t("scarf", "long striped red woolly", "wool", "keeping warm", WEAR | LIGHT | CLOTH),
    t("mitten", "red woolly white blue", "wool", "keeping fingers warm", WEAR | SMALL | CLOTH),
    t("boot", "yellow rubber brown", "rubber", "stepping in puddles", WEAR),
    t("coat", "warm brown green red", "wool", "cold days", WEAR | CLOTH),
    t("ribbon", "pink blue yellow red", "silk", "tying bows", WEAR | LIGHT | SMALL | CLOTH),
    t("button", "blue shiny round white", "bone", "closing a coat", SMALL | ROLLS | SHINY),
    t("ring", "golden thin silver", "metal", "wearing on feast days", SMALL | SHINY | ROLLS | WEAR),
    t("necklace", "green pretty bead", "glass", "wearing at parties", SMALL | SHINY | WEAR),
    t("feather", "white blue long striped", "down", "tickling noses", SMALL | LIGHT | FLOATS),
    t("umbrella", "yellow big black red", "cloth", "keeping off the rain", TOOL | LIGHT | CLOTH),
    t("lantern", "tin old bright", "tin and glass", "seeing in the dark", TOOL | LAMP | BREAKS),
    t("candle", "white thick yellow", "wax", "lighting a room", TOOL | LAMP | SMALL),
    t("torch", "small black bright", "metal", "looking into dark corners", TOOL | LAMP | SMALL | SHINY),
    t("key", "golden old little rusty", "iron", "opening a door", TOOL | SMALL | SHINY),
    t("spade", "iron little blue", "iron", "digging", TOOL),
    t("bucket", "red tin blue green", "tin", "carrying water", TOOL | FLOATS),
    t("basket", "round brown big straw", "straw", "carrying fruit", TOOL | FLOATS),
    t("rope", "long strong thick", "string", "pulling and tying", TOOL),
    t("ladder", "long wooden tall", "wood", "reaching high places", TOOL | BIG),
    t("net", "long green wide", "string", "catching fish", TOOL | CLOTH),
    t("hammer", "small iron heavy", "iron", "hitting nails", TOOL),
    t("brush", "soft wide thin", "hair", "painting", TOOL | SMALL),
    t("pencil", "red short yellow blue", "wood", "drawing and writing", TOOL | SMALL | ROLLS),
    t("book", "thick blue old brown", "paper", "reading at bedtime", SMALL | CLOTH),
    t("map", "old yellow folded", "paper", "finding the way", TOOL | LIGHT | SMALL),
    t("letter", "long white secret", "paper", "sending news", LIGHT | SMALL),
    t("picture", "bright little painted", "paper", "hanging on the wall", LIGHT | SMALL),
    t("cup", "blue white painted yellow", "clay", "drinking milk", BREAKS | SMALL),
    t("bowl", "green wooden brown", "clay", "eating soup", BREAKS),
    t("plate", "white blue painted", "clay", "serving cake", BREAKS),
    t("vase", "tall blue green", "glass", "holding flowers", BREAKS | SHINY),
    t("clock", "round old little", "wood and metal", "telling the time", BREAKS),
    t("mirror", "round little silver", "glass", "seeing your face", BREAKS | SHINY),
    t("jar", "glass big round", "glass", "keeping jam", BREAKS | SHINY),
    t("teapot", "brown round white", "clay", "making tea", BREAKS),
    t("spoon", "silver wooden long", "metal", "stirring soup", TOOL | SMALL | SHINY),
    t("blanket", "soft blue warm striped", "wool", "sleeping under", CLOTH | WEAR),
    t("pillow", "soft white blue", "down", "resting a tired head", CLOTH),
    t("box", "small painted wooden red", "wood", "keeping treasures", BREAKS),
    t("purse", "brown little red", "leather", "keeping coins", SMALL | WEAR),
    t("coin", "golden shiny old silver", "metal", "buying things", SMALL | SHINY | ROLLS),
    t("shell", "pink white striped", "pearl", "hearing the sea", SMALL | SHINY),
    t("acorn", "brown round smooth", "nut", "planting a tree", SMALL | ROLLS),
    t("compass", "brass little old", "brass", "finding north", TOOL | SMALL | SHINY),
    t("wheelbarrow", "green old wooden", "wood", "moving heavy loads", TOOL | BIG),
    t("sled", "red wooden fast", "wood", "sliding down hills", TOY | BIG),
    t("wagon", "red little wooden", "wood", "pulling heavy loads", TOY | BIG),
    t("apple", "red green sweet", "", "eating", FOOD | ROLLS | SMALL),
    t("pear", "green yellow ripe", "", "eating", FOOD | SMALL),
    t("plum", "purple ripe sweet", "", "eating", FOOD | SMALL | ROLLS),
    t("cake", "round lemon honey chocolate", "flour and eggs", "birthdays", FOOD),
    t("loaf of bread", "warm brown fresh", "flour", "breakfast", FOOD),
    t("berry pie", "warm sweet big", "flour and berries", "sharing", FOOD),
    t("pancake", "golden thin round", "flour and milk", "breakfast", FOOD),
    t("bun", "sticky sweet warm", "flour", "a snack", FOOD | SMALL),
    t("honey cake", "golden sticky small", "flour and honey", "a feast", FOOD),
    t("piece of cheese", "yellow big hard", "milk", "lunch", FOOD | SMALL),
    t("carrot", "orange long crisp", "", "lunch", FOOD | SMALL),
    t("biscuit", "crisp round ginger", "flour and butter", "a snack", FOOD | SMALL),
    t("bowl of soup", "big full small", "vegetables", "cold days", FOOD),
    t("bag of nuts", "big brown small", "", "a snack", FOOD),
    t("jar of jam", "red big sweet", "plums and sugar", "bread", FOOD),
];
