//! Plots in which two do something for the joy of it: a race, a song, a boat, a figure of snow.

use crate::beats::{around, good_end, opening};
use crate::cast::{ANIMAL, FAST, GROWN, MUSIC, SLOW};
use crate::places::{DARK, GRASS, INDOOR, TOWN, WATER};
use crate::scene::Scene;
use crate::skies::{COLD, FAIR, WIND};
use crate::things::{BIG, CLOTH, FOOD, SHINY, TOY, WEAR};

/// A boast, a race, and a lesson about being fast.
pub(crate) fn race(s: &mut Scene) {
    s.cast("h", |p| p.young() && p.can(FAST));
    s.cast("k", |p| p.young() && !p.can(FAST) && (p.can(SLOW) || p.rank == ANIMAL));
    s.sky(|w| w.is(FAIR | WIND));
    s.place("p", |p| p.is(GRASS));
    s.place("q", |p| !p.is(INDOOR | DARK));
    s.theme("[a race|a race between {h} and {k}|{h.intro} who is very fast]");
    opening(s);
    s.say(&[
        "~nobody is [as fast as I am|faster than I am],~ {h+} told everybody.",
        "{h+} could run [very fast|like the wind], and {h.he} said so every day.",
    ]);
    s.say(&[
        "{k.full} heard it. ~are you faster than I am? ^let us run {q.to}!~",
        "~prove it, {h},~ said {k.full}. ~run with me {q.to}!~",
        "{k.full} smiled at {h}. ~let us race {q.to} and see,~ {k.he} said.",
        "one {good-day} {k.full} said, ~{h}, let us see who is the first {q.at}.~",
        "and {k.full}? ^{k.he} only said, ~then let us race {q.to}, {h}.~",
        "~shall we race {q.to}?~ {asked} {k.full}.",
        "~then run against me,~ said {k.full}. ~the first one {q.at} wins.~",
    ]);
    s.fact("[where did they race to|where did they run to]?", "they [raced|ran] to <{q}>.");
    s.fact("who said that {h.he} was very fast?", "<{h}> did.");
    s.say(&[
        "{h+} laughed. ~you, {k}? ^you are [not fast|slow]!~",
        "everybody [came to watch|cheered]. ~one, two, three, go!~",
    ]);
    s.para();
    match s.branch(2) {
        0 => {
            s.say(&["{h+} was far ahead when {h.he} [stepped on a thorn|fell over a root|fell into a ditch]. ~ouch! ^my foot!~", "off ran {h}, but {h.he} did not look where {h.he} was going and [fell|hurt {h.his} foot]."]);
            s.say(&[
                "{soon} {k+} came along. ^{k.he} could have [run past|won] now, but {k.he} stopped.",
                "~you can win now, {k},~ said {h+}. but {k+} [stood still|sat down beside {h}].",
            ]);
            s.say(&["~winning alone is no fun,~ said {k+} and helped {h} [up|to stand].", "{k+} [took out the thorn|tied a cool leaf around the foot|cleaned the foot]. ~lean on me,~ {k.he} said."]);
            s.say(&[
                "side by side they came {q.to}, and everybody cheered for [both|{k}].",
                "arm in arm {h} and {k} [walked|came] {q.to}, and nobody asked who was first.",
                "{k} and {h} were both last and both first {q.at}, and [people cheered|all clapped].",
                "so they crossed the line {q.at} at the same time.",
            ]);
            s.fact("[who stopped to help|who helped {h}]?", "<{k.full}> did.");
            s.fact("who hurt {h.his} foot?", "<{h}> did.");
        }
        _ => {
            s.say(&[
                "{h+} ran, but the way {q.to} was [full of mud|hidden by tall grass|steep and narrow].",
                "{h+} ran so fast that {h.he} missed the turn and got lost.",
            ]);
            s.say(&[
                "{k+} went slowly and looked [where to step|at every sign].",
                "{k+} knew the path well and took [one careful step after another|the short way].",
            ]);
            s.say(&[
                "when {h+} came {q.to} at last, {k} was already there, eating [an apple|a plum|some nuts].",
                "who sat {q.at}, {smiling}? it was {k}, and {h} was second.",
            ]);
            s.fact("who won[ the race|]?", "<{k.full}> won[ the race|].");
            s.fact("who was there first?", "<{k.full}> was.");
            s.fact("who was second?", "<{h}> was second.");
        }
    }
    s.para();
    s.say(&[
        "~I [talked|boasted] too much,~ said {h+}. ~you are a {good} runner, {k}.~",
        "{h+} never laughed at [slow friends|{k}] again.",
        "~being fast is not everything,~ said {h+}, and {k} {nodded-yes}.",
    ]);
    good_end(s);
}

/// A shy singer finds a voice.
pub(crate) fn song(s: &mut Scene) {
    s.cast("h", |p| p.rank != GROWN && !p.can(MUSIC));
    s.cast("k", |p| p.can(MUSIC));
    s.sky(|_| true);
    s.place("p", |p| p.is(GRASS | WATER | DARK));
    s.place("q", |p| p.is(TOWN));
    s.theme("[a song|somebody who is too shy to sing|a feast with music]");
    opening(s);
    around(s);
    s.say(&[
        "when {h+} was alone, {h.he} sang [like a bird|all day|softly]. but in front of others {h.his} voice [went away|was gone].",
        "alone in [the bath|bed|the woods|a corner], {h+} sang [well|loud and clear|sweetly]. but {h.he} was too shy to let [anyone|a soul] hear it.",
        "{h+} sang only when {h.he} was alone, [softly|under a blanket|far from home], for {h.he} was shy.",
        "{h+} had a {good} voice, but {h.he} sang only when nobody [heard|could hear] {h.him}.",
    ]);
    s.fact("when did {h} sing at first?", "{h.who} sang when {h.he} was <alone>.");
    s.fact("who heard {h} sing?", "<{k.full}> heard {h.him}.");
    s.say(&[
        "that {t-time} {k.full} was near and heard every note.",
        "{k.full} [came by|was picking flowers|sat behind a hedge] just then and heard {h} [sing|from afar].",
        "but {k.full} had [sharp|good|big] ears and [stopped|stood still] when {h} sang.",
        "~what a {good} voice, {h}!~ said {k.full}, who had [listened|come near] without a sound.",
        "{h+} did not see {k.full}, who [listened|heard it all] from [behind a tree|the path|the other side].",
        "~who sings so well?~ said {k.full} and [stepped out|came nearer].",
    ]);
    s.say(&[
        "~on {feast-day} we [have|hold] a feast {q.at}, {h}. we need a voice like yours,~ said {k+}.",
        "{k+} asked {h.him} to [come|sing] {q.at} on {feast-day}.",
        "~everybody {q.at} should hear you,~ {said} {k+}. ~come on {feast-day}, {h}!~",
        "{k+} {smiled-plain}. ~{h}, you must sing {q.at} on {feast-day}!~",
        "~sing with us at the feast {q.at}, {h},~ said {k+}.",
        "~on {feast-day} there is a feast {q.at},~ said {k+}. ~will you sing there?~",
    ]);
    s.say(&[
        "~me? {q.at}? ^never!~ {cried} {h+}.",
        "{h+} wanted to [hide|run away]. sing {q.at}, in front of [everyone|so many]?",
        "~[no, no|please, no],~ {said} {h+}, ~my voice would [shake|go away].~",
        "~oh no! ^everybody would look at me,~ said {h+}.",
        "{h+} [turned red|shook {h.his} head]. ~I [cannot|do not dare to],~ {h.he} whispered.",
    ]);
    s.para();
    match s.branch(3) {
        0 => {
            s.say(&[
                "~you need not look at the others, {h},~ said {k+}. ~look at [me|my face] and forget the rest.~",
                "{k+} [thought about it|took {h} aside]. ~when you are {q.at}, look at me alone,~ {k.he} said.",
                "~then look only at me,~ said {k+}. ~sing for me, as you did today.~",
            ]);
            s.set("way", "[looked only at {k}|looked at {k} and at nobody else]");
        }
        1 => {
            s.say(&[
                "{k+} had {good} advice. ~shut your eyes, {h}, and {p} will be [around you|there].~",
                "~close your eyes,~ said {k+}, ~and think of {p}.~",
                "~shut your eyes and think that you are {p.at},~ said {k+}.",
            ]);
            s.set("way", "[closed {h.his} eyes|shut {h.his} eyes and thought of {p}]");
        }
        _ => {
            s.say(&["~and if we are two?~ {asked} {k+}. ~I start, {h}, and you follow [when you like|after me].~", "{k+} [thought about it|hummed]. ~{h}, I will be the first to sing, and you [join|come] in,~ {k.he} said.", "~we can sing it {together},~ said {k+}. ~I begin, and you come in.~"]);
            s.set("way", "[sang together with {k}|waited until {k} began]");
        }
    }
    s.say(&[
        "on the day of the feast {q} was full. {h+} was {afraid}, but {h.he} {way}.",
        "at the feast the knees of {h} [shook|were weak]. but {h.he} {way}.",
    ]);
    s.fact("what did {h} do at the feast?", "{h.who} <{way}>.");
    s.fact("where was the feast?", "it was {q.prep} <{q}>.");
    s.say(&[
        "and then {h+} sang, first [softly|like a mouse], then [loud|clear as a bell].",
        "the song [came by itself|rose up] and filled the air {q.at}.",
    ]);
    s.say(&[
        "when it was over, it was quiet. then everybody clapped [for {h}|and called for more].",
        "~more! ^more!~ they {cried}, and {h} [sang again|bowed|laughed].",
    ]);
    s.para();
    s.extra(&[
        "~you see?~ said {k+}. ~your voice was only [asleep|hiding].~",
        "~I was afraid, and I did it,~ said {h+}.",
    ]);
    good_end(s);
}

/// A boat or raft is built and tried, and the first try sinks.
pub(crate) fn boat(s: &mut Scene) {
    s.cast("h", |p| p.young());
    s.cast("k", |p| p.young());
    s.sky(|w| w.is(FAIR | WIND));
    s.place("p", |p| ["the pond", "the lake", "the river", "the harbour", "the beach"].contains(&p.name));
    s.thing("o", |t| {
        t.is(CLOTH) && (t.is(WEAR) || t.name == "net") && !["mitten", "ribbon", "cap", "hat"].contains(&t.name)
    });
    s.theme("[a boat|building a raft|sailing {p.at}]");
    opening(s);
    around(s);
    s.say(&[
        "~I would love to [sail|see the other side],~ said {h+} to {k.full}.",
        "{k.full} and {h} looked over the water. ~if only we had a boat!~ said {k+}.",
    ]);
    s.say(&[
        "so they built a raft from [old boards|logs|barrels and boards].",
        "they tied [some logs|four logs|six thick branches] together and made a raft.",
    ]);
    s.fact("what did {h} and {k} build?", "they built a <raft>.");
    match s.branch(3) {
        0 => {
            s.say(&[
                "{soon} {k+} had wet feet, for water was coming in [everywhere|from below].",
                "but water came up between the boards. ~we are sinking!~ {cried} {k+}.",
                "gurgle, gurgle! ^{soon} the feet of {k} were under water.",
            ]);
            s.say(&[
                "{h+} {idea}. ^{h.he} [fetched|took] [wax|tar|clay] and filled all the gaps.",
                "~there are holes,~ said {h+}. ~we must fill them with [clay|wax|tar].~",
            ]);
            s.fact("what was wrong with the raft?", "<water> came in.");
        }
        1 => {
            s.say(&[
                "they sat down and called ~go!~ but the raft did not go [anywhere|one bit].",
                "~why do we not move, {k}?~ {asked} {h+}. the raft only [turned|stood still].",
                "{h} pushed, {k} paddled with {k.his} feet, but the raft [hardly moved|was too slow].",
                "there was [wind|some wind] {p.at}, but the raft had no sail, and {k+} was {sad}.",
                "but the raft did not move. there was nothing to catch the wind.",
                "they sat on it and waited, but the raft [stayed|lay] where it was.",
            ]);
            s.say(&[
                "~a sail!~ {cried} {h+}. ^{h.he} had {o.a}, and {k} tied it to a stick.",
                "{k+} pointed at {h.his} {o.an}. ~that can be our sail!~",
            ]);
            s.fact("[what was the sail|what did they use as a sail]?", "[the sail|it] was <{o.a}>.");
        }
        _ => {
            s.say(&[
                "{h} and {k} [jumped on|climbed on] from the same side, and over it went!",
                "but they both sat on one side, and the raft [turned over|tipped]. splash!",
                "{k+} jumped on it, and the raft tipped. splash! both were wet.",
            ]);
            s.say(&[
                "~this way, {k},~ {said} {h+}. ~you on one side, I on the other.~",
                "{h+} [laughed|wrung out {h.his} clothes]. ~now let us sit on two sides, {k}!~",
                "~you sit on the left, {k}, and I sit on the right,~ said {h+}.",
                "~we must sit [in the middle|one on each side],~ said {h+} and shook the water off.",
            ]);
        }
    }
    s.say(&[
        "{then} the raft [moved|glided] over the water, [slowly at first|as light as a leaf].",
        "off went {h} and {k} on their raft, [over the waves|over the water|with a song].",
        "~now it goes!~ {cried} {k+}, and {h} [steered|held on|sang].",
        "and now it [floated|sailed]! ~hurrah!~ {cried} {h} and {k}.",
    ]);
    s.para();
    s.say(&[
        "they sailed past {p.found} and [waved to the ducks|sang a song of the sea].",
        "on the other side they found [blackberries|a tiny bay|a nest of swans] and [stayed until evening|had a rest].",
        "{k+} was the captain first, and then {h} was.",
    ]);
    s.say(&[
        "~we made this ourselves,~ said {h+} proudly.",
        "~what shall we build next?~ {asked} {k+}.",
        "{that-evening} they tied the raft to a [tree|post|stone]. ~tomorrow we sail again,~ said {k+}.",
    ]);
    good_end(s);
}

/// A figure of snow or sand, and somebody who wants to spoil or to share it.
pub(crate) fn figure(s: &mut Scene) {
    s.cast("h", |p| p.young());
    s.cast("k", |p| p.young());
    let snow = s.chance(60);
    if snow {
        s.sky(|w| w.is(COLD));
        s.place("p", |p| p.is(GRASS) && !p.is(WATER | INDOOR));
        s.set("what", "[snowman|snow bear|snow queen|snow cat]");
        s.set("stuff", "snow");
    } else {
        s.sky(|w| w.is(FAIR));
        s.place("p", |p| p.name == "the beach");
        s.set("what", "[sand castle|sand tower|sand whale|sand ship]");
        s.set("stuff", "sand");
    }
    s.thing("o", |t| t.is(WEAR) && t.is(CLOTH) || t.is(SHINY) && t.is(WEAR) && !t.is(TOY | FOOD | BIG));
    s.theme("[a {what}|playing in the {stuff}|something made of {stuff}]");
    opening(s);
    s.say(&[
        "{h.he} wanted to make a {what}, the biggest [of all|in the world|{p.at}].",
        "~{k}, watch me make a {what}!~ said {h+} to {k.full}.",
        "{h+} began to make a {what}, [as big as a house|like in a picture|with a happy face].",
        "~I am going to make a {what},~ {h.he} told {k.full}.",
    ]);
    s.fact("what did {h} want to make?", "{h.who} wanted to make <a {what}>.");
    s.fact("what did they make?", "they made <a {what}>.");
    s.fact("what was the {what} made of?", "it was made of <{stuff}>.");
    s.say(&["{h+} [pushed|piled up] the {stuff} [with both hands|until it was high], but [it kept falling down|the top fell off].", "it was hard work for one, and the {stuff} [slid|fell] down again and again."]);
    s.say(&[
        "{k.full} was there too and made another {what} [near by|not far off].",
        "and {k.full}? ^{k.he} was building a {what} of {k.his} own, [even higher|just as hard].",
        "not far from {h}, {k.full} was piling up {stuff} as well.",
        "then {h+} saw that {k.full} was making a {what} too, [and it fell down as well|with just as much trouble].",
        "{k.full} was making one too, not far away. ~mine will be bigger,~ said {k+}.",
        "near by, {k.full} [had the same trouble|was at work too].",
    ]);
    s.say(&[
        "{soon} {h} and {k} were [cold|{tired}], and each had [only half a {what}|just a little heap].",
        "~mine is too small,~ {said} {h+}. ~and mine is crooked,~ {said} {k+}.",
        "[{soon}|at noon] both had only a small heap and cold [fingers|feet].",
        "{h+} looked at {k}, and {k+} looked at {h}. both were {tired}.",
    ]);
    s.para();
    s.say(&[
        "then {k+} {idea-k}. ~one {what} for both of us!~",
        "~two can build higher than one, {k},~ said {h+}.",
        "~come over here, {h},~ {cried} {k+}. ~we make a single {what}!~",
        "~what if we make one {together}?~ {asked} {h+}.",
        "~I have [no more|too little] {stuff},~ said {k+}. ~take mine,~ said {h+}.",
    ]);
    s.say(&[
        "now they worked {together}. {h} was good at the [lower part|sides], and {k} did the rest.",
        "{h} and {k} pushed {stuff} from [both|all] sides until it was [taller than they were|high enough].",
        "so {h} [made|built] the lower part, and {k} [made|built] the top.",
        "{k+} brought [pebbles|sticks|leaves], and {h+} [made the front|smoothed the sides].",
    ]);
    s.say(&[
        "{at-last} {h+} put {h.his} {o.an} on it, and it looked [{good}|almost alive].",
        "one thing was missing. {k+} took {o.a} and put it on top.",
    ]);
    s.fact("what did they put on [the {what}|top]?", "they put <{o.a}> on it.");
    s.say(&["everybody who came by [stopped|smiled|clapped]. ~who made this {what}?~ they asked. ~we did!~ said {h} and {k}.",
        "[many|ten children|all the neighbours|friends] came to look at the {what} of {h} and {k}, and all [clapped|smiled|were amazed].",
        "~we made it {together},~ said {h} and {k} to [a little boy|an old man|a passing dog|the neighbours] who [stopped|asked].",
        "{h} stepped back and looked. ~{k}, our {what} is [the best|a wonder|as {good} as a dream]!~",
        "the {what} of {h} and {k} was [the talk of the village|so {good} that nobody walked past it].",
        "{k+} danced around the {what} with {h}, [round and round|hand in hand|until they fell down].", "it was the finest {what} that anybody had seen {p.at}."]);
    s.para();
    if snow {
        s.say(&["[in spring|some days later] it melted, but {h} and {k} did not mind. ~next winter we make two,~ said {k+}.",
            "one day the sun melted the {what}. ~it was {good} while it lasted, {h},~ said {k+}.",
            "when [spring|warm weather] came, only {o} was left of the {what}, and {h} took it home."]);
    } else {
        s.say(&[
            "{that-evening} the sea took it away, but {h} and {k} did not mind. ~tomorrow we build again,~ said {k+}.",
        ]);
    }
    good_end(s);
}
