//! Plots in which somebody is on the way: with an errand, a letter, over a bridge, along a trail, after the wind.

use crate::beats::{around, good_end, opening, thanks};
use crate::cast::{FLY, GROWN, MEND, STRONG, SWIM};
use crate::places::{DARK, INDOOR, TOWN};
use crate::scene::Scene;
use crate::skies::{FAIR, RAIN, STORM, WIND};
use crate::things::{FOOD, LIGHT};

/// An errand with three things to remember.
pub(crate) fn errand(s: &mut Scene) {
    s.cast("h", |p| p.young());
    s.cast("f", |p| p.rank == GROWN);
    s.cast("k", |p| p.young());
    s.sky(|_| true);
    s.place("p", |p| !p.is(INDOOR | DARK | TOWN));
    s.place("q", |p| ["the market", "the bakery", "the farm yard", "the harbour", "the mill"].contains(&p.name));
    for (key, list) in [
        ("one", "[milk|butter|salt|flour]"),
        ("two", "[apples|eggs|plums|carrots]"),
        ("three", "[thread|soap|paper|nails]"),
    ] {
        s.set(key, list);
    }
    s.theme("[an errand|remembering three things|buying {one}, {two} and {three}]");
    s.say(&[
        "~{h}, please go {q.to},~ said {f.full} one {w.adj} {t}. ~bring me {one}, {two} and {three}.~",
        "one {w.adj} {t}, {f.full} sent {h.intro} {q.to} for {one}, {two} and {three}.",
    ]);
    s.fact("what did {f} want?", "{f.who} wanted <{one}, {two} and {three}>.");
    s.fact("what did {h} have to [buy|bring]?", "it was <{one}, {two} and {three}>.");
    s.fact("who sent {h}?", "<{f.full}> sent {h.him}.");
    s.fact("where did {h} [go|have to go]?", "{h.who} went to <{q}>.");
    s.say(&[
        "~{one}, {two}, {three},~ said {h+} [to {h.self}|over and over|with every step].",
        "~I will not forget it,~ said {h+} and {hurried} off.",
    ]);
    s.say(&[
        "{w.is}, and {p.at} there were so many {p.found}!",
        "but on the way, {p.at}, {h+} saw {p.found} and [stopped|looked at them].",
        "{p.at}, {h+} met {k.full}, and they [talked|played] for a while.",
    ]);
    s.say(&[
        "when {h.he} came {q.to}, {h.he} remembered only {one}. what were the other two?",
        "~what do you want?~ they asked {q.at}. {h+} thought. ~{one} and... and...~",
        "{q.at}, {h+} opened {h.his} mouth, but the words were gone.",
    ]);
    s.para();
    match s.branch(3) {
        0 => {
            s.say(&["{h+} walked back in {h.his} mind, past {p}, to the door of {f}. ~{one}, {two}, {three}!~ ^now {h.he} [knew it|had it].", "{h+} [shut {h.his} eyes|stood still] and thought of the voice of {f}. then it [came back|all came back]."]);

            s.say(&[
                "~next time I will make a song of it,~ said {h+} to {k.full}, whom {h.he} met on the way home.",
                "on the way home {k.full} carried half of it.",
            ]);
        }
        1 => {
            s.say(&[
                "{k.full} was there too. ~I heard you on the way,~ said {k+}. ~you said {one}, {two} and {three}.~",
                "luckily {k.full} had heard {h.him}. ~it was {one}, {two} and {three},~ {k.he} said.",
            ]);
            s.fact("who helped {h} to remember?", "<{k.full}> helped {h.him}.");
            s.say(&[
                "~you have a {good} memory, {k}!~ said {h+}.",
                "how {glad} {h} was! ^{h.he} bought it all {fast}.",
            ]);
        }
        _ => {
            s.say(&["{h+} walked {q.to} a second time with {k.full}, and this time they sang it, ~{one}, {two}, {three}!~", "~we will sing it,~ said {k.full}. so they [went back to ask|asked {f} again] and sang, ~{one}, {two}, {three}!~"]);
            s.fact("what did they sing?", "they sang ~<{one}, {two}, {three};{one}, {two} and {three}>.~");
            s.say(&[
                "a song is hard to forget. {h+} [bought|got] it all.",
                "they sang so [loud|well] that [people laughed|dogs barked|a cart stopped].",
            ]);
        }
    }
    s.para();
    s.say(&[
        "{f+} looked into the basket. ~nothing is missing. well done, {h}!~",
        "{f+} was {glad} and baked [pancakes|a cake|biscuits] for {h} and {k}.",
        "~and here is [a coin|a plum|a bun] for each of you,~ said {f+}.",
    ]);
    good_end(s);
}

/// A letter must be brought, whatever comes in between.
pub(crate) fn letter(s: &mut Scene) {
    s.cast("h", |p| p.young());
    s.cast("f", |_| true);
    s.cast("k", |_| true);
    s.sky(|w| w.is(RAIN | WIND | STORM | FAIR));
    s.place("p", |p| !p.is(INDOOR | DARK));
    s.theme("[a letter|bringing a letter to {f}|{h.intro} who brings a letter]");
    opening(s);
    s.say(&[
        "{h.he} had a letter for {f.full}. it was from {k.full}.",
        "~take this letter to {f.full}, please,~ {k.full} had said. ~it is important.~",
    ]);
    s.fact("who was the letter for?", "it was for <{f.full}>.");
    s.fact("who got the letter?", "<{f.full}> did.");
    s.fact("[who was the letter from|who wrote the letter|who was it from]?", "it was from <{k.full}>.");
    s.fact("who brought the letter?", "<{h}> brought it.");
    s.set("news", "[come to my party on Sunday|I miss you, please visit me|there is cake at four, please come|I am sorry, let us be {friends} again]");
    match s.branch(3) {
        0 => {
            s.say(&[
                "then {h+} [slipped|fell], and the letter landed in a puddle. the ink ran, and the words were gone.",
                "but {h+} dropped the letter of {k} in [a puddle|the mud|a stream], and now it was only wet paper.",
                "rain fell on the letter. when {h+} looked at it, the words of {k} were [gone|washed away].",
                "the rain got into the bag, and [soon|in no time] nobody could read the letter.",
            ]);
            s.say(&[
                "~oh dear!~ said {h+}. but {k} had read it aloud, and {h+} knew it by heart.",
                "luckily {h+} [had a good memory|never forgot a word], and {k} had read it to {h.him}.",
                "{h+} [thought hard|did not turn back]. ^{h.he} had heard {k} say the words while {k.he} wrote them.",
            ]);

            s.para();
            s.say(&[
                "so at the door of {f} {h+} said, ~{k} wants to tell you, {news}.~",
                "~the paper is wet, {f},~ said {h+}, ~but it says, {news}.~",
            ]);
        }
        1 => {
            s.say(&[
                "a gust pulled it out of {h.his} bag, and it [sailed|flew] {p.spot}.",
                "{h+} [ran|played] a little and lost it {p.at}.",
            ]);
            s.say(&[
                "{h+} looked for it until {dark-time}, and {at-last} {h.he} [had|found] it again {p.spot}.",
                "back went {h}, step by step, and there {p.spot} was the letter.",
            ]);
            s.fact("where did {h} find the letter again?", "{h.who} found it <{p.spot}>.");
            s.para();
            s.say(&["{f+} opened it. ~{news},~ it said.", "{f+} read it aloud, ~{news}.~"]);
        }
        _ => {
            s.say(&[
                "but a big dog [stood|lay] in the way and growled. {h+} was {afraid}.",
                "the gate was shut, and behind it a strange dog [barked|growled] at {h}.",
            ]);
            s.say(&["~[good|nice] dog,~ said {h+} and gave it [a bone|some bread|half of {h.his} lunch]. the dog [wagged its tail|let {h.him} pass].", "{h+} stood still and spoke softly, until the dog [sat down|stopped barking|licked {h.his} hand]."]);
            s.fact("what was in the way?", "it was a <dog>.");
            s.para();
            s.say(&[
                "{f+} took the letter and read, ~{news}.~",
                "{at-last} {f+} had the letter in {f.his} hands. ~{news},~ it said.",
            ]);
        }
    }
    s.fact("[what did the letter say|what was in the letter]?", "it said, ~<{news}>.~");
    s.say(&[
        "{f+} was {glad} and [put on a coat|went at once|ran to {k}]. ~come with me, {h}!~",
        "~what {good} news!~ {cried} {f+}. ~thank you, {h}!~",
        "tears of joy came into the eyes of {f}, and {f.he} hugged {h}.",
    ]);
    s.extra(&["~a letter is [more than paper|a little bridge],~ said {f+}, and {h} understood."]);
    good_end(s);
}

/// A trail of prints leads to a surprise.
pub(crate) fn trail(s: &mut Scene) {
    s.cast("h", |p| p.young());
    s.cast("k", |p| p.young());
    s.cast("f", |_| true);
    s.sky(|_| true);
    s.place("p", |p| !p.is(INDOOR | DARK));
    s.place("q", |p| !p.is(INDOOR));
    s.set(
        "sign",
        "[strange prints|white pebbles|blue feathers|drops of paint|bits of red wool|crumbs of bread|yellow petals]",
    );
    s.theme("[a trail of {sign}|a surprise|following {sign}]");
    opening(s);
    s.say(&[
        "on the ground {h.he} saw {sign}, one [step|foot] after another.",
        "~what is this?~ said {h+}. {sign} [lay in a row|made a long line].",
    ]);
    s.fact("what did {h} see on the ground?", "{h.who} saw <{sign}>.");
    s.fact("what was the trail made of?", "it was made of <{sign}>.");
    s.say(&[
        "{h+} called {k.full}, and they [followed|went along] the trail {together}.",
        "~who made them?~ {asked} {k.full}, who had come along. ~let us find out,~ said {h+}.",
    ]);
    s.say(&[
        "the trail of {sign} went [past a well|over a fence|through a hedge|along a wall], then {q.to}.",
        "they followed the {sign} [past a well|over a fence|through a hedge|along a wall] until they were {q.at}.",
        "{at-last} {h} and {k} came {q.to}, where the [line|trail] turned left.",
        "the {sign} led them [past a well|over a fence|through a gap in the hedge|along a wall] and on {q.to}.",
        "on and on they went, [uphill and down|left and right], and came {q.to}.",
    ]);
    s.say(&[
        "~maybe it is a [giant|thief|dragon],~ whispered {k+}.",
        "{k+} [took|held] {h} by the arm. ~shall we turn back?~ {k.he} whispered.",
        "~I am {afraid},~ said {k+}. ~me too,~ said {h}, ~but I want to know.~",
    ]);
    s.fact("where did the trail lead?", "it led to <{q}>.");
    s.para();
    match s.branch(3) {
        0 => {
            s.say(&[
                "and there, {q.spot}, sat {f.full} with a [big cake|feast|table full of food]. ~surprise!~",
                "~surprise!~ {cried} {f.full} and jumped up. ~I made the trail for you!~",
            ]);
            s.say(&[
                "~today is [your|a] special day, {h},~ said {f+}. ~did you forget it?~",
                "~I have been waiting for you, {h},~ laughed {f+}. ~and for you, {k}!~",
                "~{h}! ^{k}! ^come and eat,~ {cried} {f+}. ~it is all for you.~",
                "~I wanted to give you a party, {h},~ said {f+}.",
            ]);
            s.fact("who made the trail?", "<{f.full}> [made it|did].");
        }
        1 => {
            s.say(&[
                "the trail ended {q.spot}. there sat {f.full} with a hole in {f.his} bag.",
                "{q.at} they found {f.full}, whose bag had a big hole.",
            ]);
            s.say(&[
                "~so that is where they went!~ {cried} {f+}. ~I lost them all on the way.~",
                "~oh, my bag!~ said {f+}. ~thank you, {h}! ^thank you, {k}!~",
                "{h+} showed {f} the hole. ~oh dear,~ {f.he} laughed, ~now I see!~",
                "~my bag is empty, and I did not know why!~ said {f+}.",
            ]);
            s.say(&[
                "{h} and {k} laughed and helped {f} to [pick up everything|mend the bag|carry the rest].",
                "so {h} held the bag of {f}, and {k} sewed up the hole.",
                "{k} ran back with {h} and [found|brought] all that {f} had lost.",
            ]);
            s.fact("why was there a trail?", "[because |]{f} had a <hole> in {f.his} bag.");
            s.fact("who had a hole in the bag?", "<{f.full}> had one.");
        }
        _ => {
            s.say(&[
                "{q.spot} they found [three kittens|a lost puppy|two baby rabbits] with {f.full}.",
                "{f.full} was there, taking care of [three kittens|a lost puppy|five ducklings].",
            ]);
            s.say(&[
                "~they needed help, and I could not leave,~ said {f+}. ~so I hoped somebody would see the trail.~",
                "~I hoped that somebody would follow,~ said {f+}. ~will you help me?~",
            ]);
            s.say(&[
                "of course they did. {k} brought [milk|straw|water], and {h} brought [a blanket|a basket|food].",
                "so {h} fetched [milk|water|bread], and {k} stayed with {f} and [sang|kept watch].",
                "~we will help you, {f},~ said {h} and {k}, and they [did|stayed all day].",
            ]);
            s.fact("who was at the end of the trail?", "<{f.full}> was there.");
        }
    }
    s.para();
    around(s);
    s.say(&[
        "~I am glad that we did not turn back,~ said {k+}.",
        "~and I thought of giants!~ laughed {k+}.",
        "~a good trail has a good end,~ said {h+}.",
    ]);
    if s.chance(20) {
        thanks(s);
    }
    good_end(s);
}

/// A broken bridge, and a way to make it whole.
pub(crate) fn bridge(s: &mut Scene) {
    s.cast("h", |p| p.young() && !p.can(FLY | SWIM));
    s.cast("f", |p| p.rank == GROWN || p.young());
    let k = s.cast("k", |p| p.can(MEND | STRONG));
    s.thing("o", |t| t.is(FOOD) && !t.name.contains("soup"));
    s.sky(|w| w.is(FAIR | WIND));
    s.place("p", |p| ["the stream", "the river"].contains(&p.name));
    s.theme("[a broken bridge|building a bridge|how to cross the water]");
    opening(s);
    s.say(&[
        "{h.he} wanted to bring {o.a} to {f.full} on the other side.",
        "on the other side lived {f}, and {h.he} had {o.a} for {f.him}.",
    ]);
    s.fact("[what did {h} have for {f}|what did {h} want to bring to {f}]?", "{h.who} had <{o.a}> for {f.him}.");
    s.say(&[
        "but the bridge {p.at} [was broken|had a big hole], because the [storm|flood|wind] had [pulled at it|taken {its-planks}].",
        "{h+} stopped. the bridge to {f} was [broken|gone|under water].",
        "~the bridge!~ {cried} {h+}. [a flood|a storm|the wind] had broken it, and {f} could not come over.", "but when {h+} came to the bridge, half of it was gone.", "but today nobody could cross. the [storm|flood|wind] had broken the bridge, and {f} was [far away|on the wrong side].", "but where was the bridge? only [two posts|a few boards|one rope] could be seen.", "but the little bridge was [gone|broken]. the [storm|flood|wind] had taken {its-planks}.",
        "but [some planks|three boards|half] of the little bridge had [fallen into the water|broken in the night].",
    ]);
    s.say(&[
        "~I [must|want to] bring {f} {o.a},~ said {h+}, ~but how?~",
        "{h+} [called|waved] to {f} over the water. ~I cannot come, {f}!~",
        "~how can I get across?~ {h.he} wondered. ~I cannot [swim|fly].~",
        "{h+} put one foot in the water. it was [icy|too deep|much too fast].",
        "{f} waved from the other side. ~the bridge is broken, {h}!~ {f.he} called.",
    ]);
    s.para();
    s.say(&[
        "{k.full} was {busy} near by. ~what are you looking at, {h}?~ {k.he} asked.",
        "~{k} will know what to do,~ thought {h+} and went to get {k.him}.",
        "{k.intro} heard {h} [sigh|call] and came to see.",
        "{h+} {hurried} to {k.full}. ~we need a new bridge, {k},~ {h.he} said.",
    ]);
    if k.can(MEND) {
        s.say(&[
            "~I know how to build,~ {said} {k+}. ~but you must [help me|carry the wood|hold the planks].~",
            "{k+} could build anything. ~bring me [wood and rope|boards and nails|strong sticks],~ {k.he} said.",
        ]);
        s.say(&[
            "all {t} they worked. {k} [tied|hammered|set] the planks, and {h} [carried|held] them.",
            "{h+} carried [boards|wood|planks] until {h.he} was {tired}, and {k} put them in their place.",
        ]);
        s.say(&[
            "{at-last} a new bridge stood there, [strong and straight|better than the old one].",
            "{k+} [jumped|stamped] on it to test it. it [held|did not move].",
        ]);
    } else {
        s.say(&[
            "~do you see that old trunk?~ {asked} {k+}. ~I can [push|roll|pull] it.~",
            "{k+} [looked around|walked up and down]. an old [trunk|log] lay near {p}, and {k} was very strong.",
            "{k+} was strong, and near the water lay a long [trunk|log].",
        ]);
        s.say(&[
            "{k+} pushed the log [to the water|over the edge], and {h} showed {k.him} [the way|where to stop].",
            "with a [loud splash|bump] the trunk fell from one side to the other, [thanks to|pushed by] {k}.",
        ]);
        s.say(&[
            "it was a {good} bridge, [wide|flat] and strong.",
            "{h+} [held out {h.his} arms|put one foot before the other] and walked across.",
        ]);
    }
    s.fact("[who helped {h} to make a bridge|who helped {h}]?", "<{k.full}> helped {h.him}.");
    s.fact("what was broken?", "it was the <bridge>.");
    s.para();
    s.say(&[
        "on the other side, {f+} [hugged|welcomed] {h}, and all three ate {o}.",
        "{f+} was so {glad} to see {h} that {f.he} [cried|danced], and {k} got a piece of {o} too.",
        "~you came, {h}!~ {cried} {f+}. and {f}, {h} and {k} sat down and ate {o}.",
        "{h+} gave {o} to {f}, and {f.he} cut it into three parts, [one for each|one of them for {k}].",
    ]);
    good_end(s);
}

/// The wind takes something light; it is followed from place to place.
pub(crate) fn wind(s: &mut Scene) {
    s.cast("h", |p| p.young() && !p.can(FLY));
    s.cast("k", |p| p.young());
    s.thing("o", |t| t.is(LIGHT));
    s.sky(|w| w.is(WIND));
    s.place("p", |p| !p.is(INDOOR | DARK));
    s.place("q", |p| !p.is(INDOOR | DARK));
    s.theme("[the wind|a windy day|{o.a} in the wind]");
    opening(s);
    s.say(&[
        "{h.he} was holding {o.a} {tight}.",
        "{h.he} had {o.a}, {a-gift}.",
        "in the wind {h.he} held on to {h.his} {o.an}.",
    ]);
    s.say(&[
        "whoosh! a [big|strong|sudden] gust [took|grabbed|pulled away] {o}, and off it went.",
        "{suddenly} the wind {took} {o} and carried it [high|far] over [the fence|the roofs|the hedge|the trees].",
        "but the wind was [stronger|quicker] than {h}. ^it {took} {o}.",
    ]);
    s.fact("what did the wind take?", "[the wind|it] took <{o.a}>.");
    s.para();
    s.say(&[
        "~stop! ^come back!~ {cried} {h+}, but [the wind did not listen|wind has no ears|{o} flew on].",
        "{h+} ran after it [as fast as {h.he} could|a long way|and called and called].",
    ]);
    s.say(&[
        "{h+} ran [all the way|on and on] {q.to}, where {k.intro} was {busy}.",
        "{q.at}, {h+} met {k.intro}.",
        "the wind blew it {q.to}. there {k.full} was {busy}.",
    ]);
    s.say(&["~have you seen {o.a}?~ asked {h+}.", "~did {o.a} fly by?~ {asked} {h+}, [out of breath|{tired}|{sad}]."]);
    match s.branch(3) {
        0 => {
            s.say(&[
                "~yes,~ said {k+}. ~it fell down {q.spot}. ^come, I will show you.~",
                "{k+} {nodded-yes}. ~I saw it come down {q.spot},~ {k.he} said.",
            ]);
            s.say(&[
                "they looked {together}, and there {q.spot} lay {o}.",
                "{k+} [ran ahead|led the way], and {soon} {h+} had {o} in {h.his} arms.",
            ]);
            s.fact("where did the wind put {o.n0}?", "it fell down <{q.spot}>.");
        }
        1 => {
            s.say(&[
                "~here it is!~ laughed {k+}. ~it landed right on my [head|nose|back].~",
                "{k+} turned around, and {o} was [on {k.his} back|on {k.his} head]! ~so that is what it was,~ {k.he} said.",
            ]);
            s.say(&[
                "both of them laughed until they [were {tired}|had to sit down].",
                "{h+} had to laugh too.",
                "how {h} and {k} laughed!",
            ]);
            s.fact("who had {o.n0}?", "<{k.full}> had it.");
        }
        _ => {
            s.say(&[
                "~look up!~ {cried} {k+}. ~there it is, [dancing|turning|sailing] above {q}!~",
                "~it is still in the air,~ {said} {k+}. ~we must wait {q.at} until the wind [sleeps|rests].~",
            ]);
            s.say(&[
                "{h} and {k} waited [and watched|hand in hand|for an hour]. at last the wind grew {tired-wind}, and {o} came down {softly}.",
                "then the wind stopped, and {o} [dropped|sank|came down] {softly} [at their feet|beside {k}|beside {h}].",
            ]);
        }
    }
    thanks(s);
    s.extra(&[
        "~next time I will [tie|hold] it [well|better|with a string],~ said {h+}.",
        "{h+} tied {o} to {h.his} [arm|bag|belt] with a [piece of string|strong string|ribbon].",
    ]);
    good_end(s);
}
