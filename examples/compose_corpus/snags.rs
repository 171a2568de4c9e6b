//! Ways for a thing to be out of reach, and who can reach it: the wings, the paws or the nose decide.

use crate::cast::{CLIMB, DIG, EYES, FLY, NOSE, Person, STRONG, SWIM, TALL, TINY};
use crate::places::{DARK, GRASS, INDOOR, ROCKS, SAND, TREES, WATER};
use crate::scene::Scene;
use crate::things::{BIG, FLOATS, ROLLS, SHINY, SMALL, Thing};

/// What keeps a thing out of reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Snag {
    High,
    Water,
    Hole,
    Heavy,
    Hidden,
    Dark,
    Buried,
}

const ALL: [Snag; 7] = [Snag::High, Snag::Water, Snag::Hole, Snag::Heavy, Snag::Hidden, Snag::Dark, Snag::Buried];

impl Snag {
    /// The skills of which one solves it.
    pub(crate) fn needs(self) -> u32 {
        match self {
            Snag::High => FLY | CLIMB | TALL,
            Snag::Water => SWIM,
            Snag::Hole => TINY,
            Snag::Heavy => STRONG,
            Snag::Hidden => NOSE,
            Snag::Dark => EYES,
            Snag::Buried => DIG,
        }
    }

    fn place(self) -> u32 {
        match self {
            Snag::High => TREES,
            Snag::Water => WATER,
            Snag::Hole => ROCKS | DARK | TREES | INDOOR,
            Snag::Heavy => ROCKS | TREES,
            Snag::Hidden => GRASS | TREES | INDOOR,
            Snag::Dark => DARK,
            Snag::Buried => SAND | GRASS,
        }
    }

    fn suits(self, who: &Person, thing: &Thing) -> bool {
        let can_be_there = match self {
            Snag::Hole => thing.is(SMALL) && thing.is(ROLLS | SHINY),
            _ => !thing.is(BIG),
        };
        can_be_there && !who.can(self.needs()) && !(self == Snag::Buried && who.can(STRONG))
    }
}

/// Chooses a snag that stops `h` and can hold the thing `o`; casts the place `p` and the helper `k` for it.
pub(crate) fn choose(s: &mut Scene, hero: &Person, thing: &Thing) -> (Snag, Person) {
    let fit: Vec<Snag> = ALL.into_iter().filter(|snag| snag.suits(hero, thing)).collect();
    let n = s.branch(fit.len());
    let Some(&snag) = fit.get(n) else {
        s.failed = true;
        return (Snag::Hidden, hero.clone());
    };
    s.place("p", |p| p.is(snag.place()));
    let helper = s.cast("k", |p| p.can(snag.needs()));
    let (lies, after) = match snag {
        Snag::High => {
            ("[high in a tree|on a high branch|between two high branches]", "[a little scratched|full of leaves]")
        }
        Snag::Water if thing.is(FLOATS) => {
            ("[far out on the water|in the middle of the water]", "[wet|dripping|very wet]")
        }
        Snag::Water => {
            ("[deep in the water|at the bottom of the water|under the water]", "[wet|dripping|cold and wet]")
        }
        Snag::Hole => ("[in a narrow hole|deep in a crack|in a hole as thin as a finger]", "[dusty|a bit dirty|cold]"),
        Snag::Heavy => {
            ("[under a heavy log|under a big stone|under a fallen trunk]", "[flat and dirty|dirty|a bit bent]")
        }
        Snag::Hidden => ("{p.spot}", "[dusty|a little dirty|warm]"),
        Snag::Dark => {
            ("[in the darkest corner|somewhere in the dark|where no light came in]", "[dusty|cold|full of cobwebs]")
        }
        Snag::Buried => (
            "[in a deep hole, under loose earth|in an old fox hole, under the earth|in a ditch, under sand and earth]",
            "[dirty|full of earth|brown with dirt]",
        ),
    };
    s.set("lies", lies);
    s.set("after", after);
    (snag, helper)
}

/// Why `h` alone cannot get the thing.
pub(crate) fn cannot(s: &mut Scene, snag: Snag) {
    match snag {
        Snag::High => s.say(&[
            "{h+} [jumped|stretched|jumped and stretched] [again and again|three times|with all {h.his} might], but the branch was [far|much] too high.",
            "{h+} was [much|far|a little] too small to reach {o}.",
            "{h+} shook the [trunk|tree], but {o} [did not move|stayed up there|only swung a little].",
        ]),
        Snag::Water => s.say(&[
            "{h+} could not swim, and the water was [deep|cold and deep|dark and deep].",
            "{h+} [held out|tried with] a long stick, but it was too short to reach {o}.",
            "[the water was too deep for {h}|{h+} stood at the edge and did not dare to go in], so {o} stayed {lies}.",
        ]),
        Snag::Hole => s.say(&[
            "{h+} was far too big for [the hole|such a small hole|so thin a gap].",
            "{h+} [pushed|poked] a twig in, but {o} only [slid|rolled] deeper.",
            "no matter how {h+} [pushed|tried|turned], {h.he} could not get in.",
        ]),
        Snag::Heavy => s.say(&[
            "{h+} pushed [and pushed|with all {h.his} might|until {h.he} was {tired}], but it did not move.",
            "it was far too heavy for [{h}|a {h.kind}|one small {h.kind}].",
            "{h+} pulled at {o}, but the weight held it [fast|tight].",
        ]),
        Snag::Hidden => s.say(&[
            "{h+} {look} [here and there|high and low|everywhere], but {h.he} could not see {o}.",
            "{h+} {look} among the {p.found}, but [found nothing|{o} was not there].",
            "[up and down|back and forth] went {h+}, and still {o} was gone.",
        ]),
        Snag::Dark => s.say(&[
            "it was so dark {p.at} that {h+} could not see [a thing|{o}|{h.his} own nose].",
            "{h+} [felt around|felt the ground], but in the dark {h.he} found only {p.found}.",
            "without a light, {h+} [did not dare to go on|could not find {o}|saw nothing at all].",
        ]),
        Snag::Buried => s.say(&[
            "{h+} scratched at the ground [for a long time|until {h.he} was {tired}], but the hole was too deep.",
            "{h+} had no spade, and the earth was [hard|heavy|deep].",
            "{h+} tried to dig, but [the earth kept falling back|{h.he} only got dirty].",
        ]),
    }
}

/// How `k` gets the thing.
pub(crate) fn solve(s: &mut Scene, snag: Snag, helper: &Person) {
    match snag {
        Snag::High if helper.can(FLY) => s.say(&[
            "{k+} [spread {k.his} wings|opened {k.his} wings], flew up {fastk} and brought {o} down.",
            "up flew {k+}, [over|past] the leaves, and {soon} {k.he} came back with {o}.",
            "{k+} flew to the branch, took hold of {o}, and let it drop [gently|softly|right] in front of {h}.",
        ]),
        Snag::High if helper.can(CLIMB) => s.say(&[
            "{k+} climbed [from branch to branch|higher and higher|up the trunk] until {k.he} [had|could touch|reached] {o}.",
            "{k+} ran up the tree {fastk} and threw {o} down to {h}.",
        ]),
        Snag::High => s.say(&[
            "{k+} was tall. {k.he} [just stretched up|stood on the tips of {k.his} feet|reached up] and took {o} from the branch.",
            "for tall {k} it was [easy|no trouble|child's play]. ^{k.he} reached up and picked {o} like an apple.",
        ]),
        Snag::Water => s.say(&[
            "{k+} [jumped|dived|slid] into the water, swam [out|a few strokes] and [came back|returned] with {o}.",
            "splash! {k+} was in the water, and {soon} {k.he} [held up|brought back|had] {o}.",
            "{k+} could swim [very well|like a fish|better than anyone], so {k.he} [fetched|got] {o} {fastk}.",
        ]),
        Snag::Hole => s.say(&[
            "{k+} was so small that {k.he} could [slip|crawl|walk] right in, and {soon} {k.he} pushed {o} out.",
            "{k+} [slipped|crept] into the hole. ^{h+} heard [a scratch|a sneeze|some bumps], and then out came {o}.",
        ]),
        Snag::Heavy => s.say(&[
            "{k+} was very strong. {k.he} [lifted|rolled|pushed] the weight aside, and there was {o}.",
            "{k+} took a deep breath and [lifted|heaved|pushed], and {h} [quickly |]pulled out {o}.",
        ]),
        Snag::Hidden => s.say(&[
            "{k+} sniffed [the ground|the air|left and right] and followed the smell, and there {lies} was {o}.",
            "{k+} had a very good nose. sniff, sniff, it went, until {k.he} [stopped|stood still] {p.at} and pulled out {o}.",
            "~I can smell it,~ said {k+}. ^{k.he} put {k.his} nose down and found {o} {lies}.",
        ]),
        Snag::Dark => s.say(&[
            "{k+} could see in the dark. {k.his} eyes [shone|were wide], and {soon} {k.he} came out with {o}.",
            "the dark was no trouble for {k}. ^{k.he} looked around once, went in and [found|brought] {o}.",
        ]),
        Snag::Buried => s.say(&[
            "{k+} began to dig. the earth flew [left and right|high|all around], and {soon} {o} came to light.",
            "{k+} dug [a deep hole|a tunnel|with both paws] {fastk}, and there was {o}.",
        ]),
    }
    s.fact("[where was {o.n0}|where did {o.n0} lie]?", "it was <{lies}>.");
    s.fact("[who got {o.n0} back|who brought {o.n0} back]?", "<{k.full}> got it back.");
    s.fact("who helped {h}?", "<{k.full}> helped {h.him}.");
}
