//! Beats that many plots share: how a story opens, how it thanks, how it ends.

use crate::places::{DARK, INDOOR};
use crate::scene::Scene;

/// Opens a story: who (`h`), where (`p`) and when; all three are cast already.
pub(crate) fn opening(s: &mut Scene) {
    match s.branch(5) {
        0 => {
            s.say(&[
                "[once|once upon a time|long ago|some time ago|many days ago], [there was|there lived] {h.intro}.",
                "there once was {h.intro}.",
                "this is [a|the] story of {h.intro}.",
            ]);
            s.say(&[
                "one {w.adj} {t}, {h.he} was {busy} {p.at}.",
                "{h.his} home was {h.home}, but [on this|that] {w.adj} {t} {h.he} was {p.at}.",
                "{t.at}, while {w.is}, {h.he} [came|{went}] {p.to}.",
                "[it was|it happened on] a {w.adj} {t}, and {h.he} was {busy} {p.at}.",
            ]);
        }
        1 => s.say(&[
            "one {w.adj} {t}, {h.intro} {went} {p.to}.",
            "one {w.adj} {t}, {h.intro} was {busy} {p.at}.",
            "{t.at}, {h.intro} was {busy} {p.at}, and {w.is}.",
            "{h.intro} was {busy} {p.at} [one|on a] {w.adj} {t}.",
        ]),
        2 => {
            s.say(&["it was a {w.adj} {t}, and {w.is}.", "[that|one] {t}, {w.is}.", "{w.is} {t.at}."]);
            s.say(&[
                "{h.intro} {went} {p.to}[ to see the {p.found}| to look for {p.found}|].",
                "{h.intro} was {busy} {p.at}[ among the {p.found}|].",
                "{p.at}, {h.intro} was {busy}.",
            ]);
        }
        3 => {
            s.say(&[
                "{h.intro} lived {h.home}.",
                "{h.home} lived {h.intro}.",
                "[everybody|everyone] knew {h.full}, who lived {h.home}.",
            ]);
            s.fact("[where did {h} live|where was the home of {h}]?", "{h.who} lived <{h.home}>.");
            s.say(&[
                "[one|on a] {w.adj} {t}, {h+} {went} {p.to}.",
                "{t.at}, {h.he} {went} {p.to}, and {w.is}.",
                "{w.is}, and {h.he} was {busy} {p.at}.",
            ]);
        }
        _ => {
            s.say(&[
                "{h} was a {h.nature} {h.kind} who {liked} {h.love}.",
                "{h.full} {liked} {h.love} [more than anything|very much|most of all].",
                "[most of all|more than anything], {h.intro} {liked} {h.love}.",
            ]);
            s.fact("[what did {h} like|what did {h} like to do|what did {h} love]?", "{h.who} liked <{h.love}>.");
            s.say(&[
                "[one|on a] {w.adj} {t}, {h.he} {went} {p.to}.",
                "one {w.adj} {t}, {h.he} was {busy} {p.at} instead.",
                "{t.at}, {h+} was {busy} {p.at}, and {w.is}.",
            ]);
        }
    }
    if s.chance(75) {
        s.fact("where was {h}[ at the beginning| at first|]?", "{h.who} was {p.prep} <{p};{h.home}>.");
    } else {
        s.fact("where did the story begin?", "[it|the story] began {p.prep} <{p};{h.home}>.");
    }
    if s.chance(30) {
        counted(s);
    }
}

/// Something that can be counted, so that somebody can be asked how many there were.
fn counted(s: &mut Scene) {
    let cold = ["snowy", "frosty", "winter"].contains(&s.slot("w.adj"));
    let what = if s.place_is(INDOOR | DARK) {
        "[boxes|spiders|windows|bottles|spoons|buttons|cups|candles|chairs|baskets|flies|nails]"
    } else if cold {
        "[birds|sparrows|white stones|clouds|gates|carts|crows|trees|pigeons|benches]"
    } else {
        "[birds|sparrows|white stones|snails|bees|butterflies|clouds|feathers|flowers|gates|carts|puddles|crows|trees]"
    };
    s.set("these", what);
    s.set("count", "[two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|twenty]");
    s.say(&[
        "there were {count} {these} {p.at}.",
        "{h.he} [saw|counted|could see] {count} {these} there.",
        "{h.he} counted the {these}. there were {count}.",
        "~{count} {these},~ {h.he} counted [softly|aloud|to {h.self}].",
        "{count} {these} were there too, for {h+} had counted them.",
    ]);
    s.fact(
        "how many {these} [were there|did {h} see|did {h} count]?",
        "[there were|{h.who} saw|{h.who} counted] <{count}> {these}.",
    );
}

/// A look around the place, for stories that have the room.
pub(crate) fn around(s: &mut Scene) {
    s.extra(&[
        "there were {p.found} [everywhere|all around|wherever {h.he} looked].",
        "{h.he} saw {p.found} [and smiled|and stopped to look|near the path].",
        "the [air|place] smelled [good|sweet|fresh], and {h+} [hummed a tune|sang a little song|felt well].",
        "[nobody else|no one else] was there, only [a sleepy|a yellow|a blue|an old] [butterfly|beetle|bee|snail].",
        "[far away|somewhere near], a [bell rang|bird called|dog barked|cart rolled by].",
    ]);
}

/// `h` says thanks to `k`, who answers.
pub(crate) fn thanks(s: &mut Scene) {
    s.say(&[
        "~[thank you|oh, thank you|thank you so much|thanks], {k}!~ {cried} {h+}.",
        "~[how kind you are|you are so kind|you are a true friend|you are wonderful], {k},~ said {h+}.",
        "{h+} [thanked {k} again and again|gave {k} a big hug|hugged {k}|thanked {k} with all {h.his} heart].",
        "~without you, {k}, I [could not have done it|would have been lost|would have given up],~ said {h+}.",
    ]);
    s.extra(&[
        "~it was [easy|nothing|a pleasure|my pleasure],~ {said} {k+}.",
        "{k+} [only |]smiled. ~[friends help each other|that is what friends are for|I like to help|you would do the same for me].~",
        "~[any time|you are welcome|I was glad to do it|next time you can help me],~ {said} {k+}.",
    ]);
}

/// Ends a story about two friends, `h` and `k`, with a feeling.
pub(crate) fn good_end(s: &mut Scene) {
    s.say(&[
        "{h+} and {k} {went2} {home} [together|side by side], and both were {glad}.",
        "from that [day|{t}] on, {h} and {k} were {friends}.",
        "{night}, {h+} [thought of|dreamed of|smiled about] {k} and felt {glad}.",
        "{h+} was {glad}, and {k} was {glad} too.",
        "then {h} and {k} [sat down {p.at}|had some tea|told jokes|sang a song] and [laughed|felt {glad}|rested].",
        "what a {good} {t} it was for {h} and {k}!",
        "{h+} went to bed {tired} but {glad}, because {k} was [a true friend|a good friend|{h.his} friend now].",
        "and whenever {h+} came {p.to} again, {h.he} [thought of {k}|looked for {k}|waved to {k}|remembered {k}] and smiled.",
    ]);
}
