//! Where stories happen, what is found there, and where a thing can slip out of sight.

/// One place.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: &'static str,
    /// The preposition for being there.
    pub(crate) prep: &'static str,
    /// What there is to find, in the plural.
    pub(crate) found: &'static str,
    /// Hiding spots, separated by commas.
    pub(crate) spots: &'static str,
    pub(crate) tags: u32,
}

impl Place {
    /// Whether the place has any of `tags`.
    pub(crate) fn is(&self, tags: u32) -> bool {
        self.tags & tags != 0
    }
}

pub(crate) const WATER: u32 = 1;
pub(crate) const TREES: u32 = 2;
pub(crate) const INDOOR: u32 = 4;
pub(crate) const DARK: u32 = 8;
pub(crate) const GRASS: u32 = 16;
pub(crate) const ROCKS: u32 = 32;
pub(crate) const TOWN: u32 = 64;
pub(crate) const SAND: u32 = 128;

const fn p(name: &'static str, prep: &'static str, found: &'static str, spots: &'static str, tags: u32) -> Place {
    Place { name, prep, found, spots, tags }
}

/// Every place.
#[rustfmt::skip]
pub(crate) static PLACES: &[Place] = &[
    p("the pond", "by", "[water lilies|tadpoles|green reeds]", "behind the reeds, under a lily leaf", WATER | GRASS),
    p("the river", "by", "[smooth stones|silver fish|willow leaves]", "behind a big stone, under the willow", WATER | TREES),
    p("the lake", "by", "[wild ducks|white stones|tall reeds]", "under the old boat, behind the hut", WATER),
    p("the stream", "by", "[little fish|round stones|wet ferns]", "behind a root, under the ferns", WATER | ROCKS | TREES),
    p("the forest", "in", "[mushrooms|pine cones|acorns]", "under a fern, behind a thick trunk", TREES | DARK),
    p("the meadow", "in", "[daisies|bees|butterflies]", "under the tall clover, behind a bush", GRASS),
    p("the garden", "in", "[beans|roses|cabbages]", "under the cabbages, behind the water barrel", GRASS | TREES),
    p("the orchard", "in", "[apples|pears|plums]", "behind a basket, under the pear tree", TREES | GRASS),
    p("the park", "in", "[benches|chestnuts|pigeons]", "under a bench, behind the fountain", TREES | GRASS | TOWN),
    p("the beach", "on", "[shells|crabs|seaweed]", "under the seaweed, behind a rock", SAND | WATER | ROCKS),
    p("the harbour", "at", "[boats|ropes|gulls]", "behind a barrel, under a net", WATER | TOWN),
    p("the market", "at", "[apples and cheese|flowers|fresh bread]", "under a table, behind a cart", TOWN),
    p("the farm yard", "in", "[hens|buckets|straw]", "behind the cart, under the straw", GRASS | TOWN),
    p("the barn", "in", "[hay|sacks|old ropes]", "under the hay, behind a sack", INDOOR | DARK),
    p("the mill", "by", "[sacks of flour|white dust|heavy stones]", "behind the wheel, under a sack", WATER | TOWN),
    p("the school", "at", "[books|pencils|small chairs]", "under a chair, behind the door", INDOOR | TOWN),
    p("the library", "in", "[books|maps|pictures]", "behind a tall shelf, under the desk", INDOOR | TOWN),
    p("the bakery", "in", "[buns|loaves|pies]", "under the counter, behind the flour sack", INDOOR | TOWN),
    p("the workshop", "in", "[nails|planks|paint pots]", "under the bench, behind the planks", INDOOR | TOWN),
    p("the kitchen", "in", "[pots|spoons|bowls]", "under the stove, behind the bread box", INDOOR),
    p("the attic", "in", "[old chests|dusty books|cobwebs]", "behind a chest, under an old rug", INDOOR | DARK),
    p("the cellar", "in", "[jars|potatoes|barrels]", "behind the barrels, under a shelf", INDOOR | DARK),
    p("the cave", "in", "[smooth stones|bats|cold puddles]", "behind a rock, in a dark corner", DARK | ROCKS),
    p("the green hill", "on", "[wild flowers|rabbits|soft grass]", "behind the hedge, under a bush", GRASS),
    p("the rocky hill", "on", "[grey stones|goats|little caves]", "behind a rock, in a crack", ROCKS | GRASS),
    p("the old bridge", "by", "[swallows|mossy stones|reeds]", "under the arch, behind the railing", WATER | ROCKS),
    p("the village square", "in", "[benches|pigeons|sparrows]", "under a bench, behind the well", TOWN),
    p("the train station", "at", "[bags|clocks|busy people]", "under a bench, behind the big clock", TOWN),
    p("the old tower", "at", "[stairs|pigeons|broken bricks]", "behind the stairs, under a loose stone", DARK | ROCKS),
    p("the wheat field", "in", "[poppies|mice|golden wheat]", "behind a stack of wheat, under a poppy", GRASS),
    p("the playground", "at", "[swings|slides|happy children]", "under the slide, behind the swings", GRASS | TOWN),
    p("the marsh", "by", "[frogs|dragonflies|soft mud]", "under the reeds, behind a rotten log", WATER),
];
