//! Plots in which somebody is in trouble and somebody else helps.

use crate::beats::{around, good_end, opening, thanks};
use crate::cast::{ANIMAL, CLIMB, FLY, GROWN, STRONG, SWIM, TALL, TINY};
use crate::places::{DARK, GRASS, INDOOR, TOWN, TREES};
use crate::scene::Scene;
use crate::skies::{COLD, FAIR, RAIN, STORM, WIND};
use crate::things::{BIG, CLOTH, TOOL};

/// Somebody is stuck, and the right tool or the right strength frees them.
pub(crate) fn stuck(s: &mut Scene) {
    s.cast("k", |p| p.young() && p.rank == ANIMAL && !p.can(FLY | STRONG | TINY));
    s.cast("h", |p| p.young());
    s.sky(|w| w.is(FAIR | RAIN));
    s.place("p", |p| !p.is(INDOOR | TOWN | DARK));
    let rope = s.chance(50);
    s.thing("o", |t| t.name == if rope { "rope" } else { "spade" });
    s.theme("[somebody who is stuck|{k.intro}|a rescue]");
    opening(s);
    s.say(&[
        "~help! ^help!~ somebody {cried}. it was {k.full}.",
        "{suddenly} {h.he} heard a cry. ~please, is anybody there?~ it came from {k.full}.",
        "what was that noise? ^{k.full} was calling for help!",
    ]);
    s.set("trap", "[in deep mud|between two roots|in a deep ditch|in a thorn bush|under an old fence]");
    s.say(&[
        "{k+} was stuck {trap}.",
        "poor {k}! ^{k.he} had [slipped|fallen] and was stuck {trap}.",
        "~I am stuck {trap},~ {said} {k+}, ~and I cannot [move|get out|turn].~",
    ]);
    s.fact("who was stuck?", "<{k.full}> was stuck.");
    s.fact("who [needed|called for] help?", "<{k.full}> did.");
    s.fact("where was {k} stuck?", "{k.who} was stuck <{trap}>.");
    s.fact("why did {k} need help?", "[because |]{k.who} was <stuck>.");
    s.para();
    s.say(&[
        "{h+} [took|held] {k} by the [foot|front legs] and pulled, but it [did not help|was no use].",
        "{h+} pulled [and pulled|until {h.he} was {tired}], but {k} did not [move|come free].",
        "~do not be {so-afraid}, {k},~ said {h+}. ~I will [get|find] help.~",
    ]);
    match s.branch(3) {
        0 => {
            s.cast("f", |p| p.can(STRONG));
            s.say(&[
                "{h+} {hurried} to {f.full}, who was very strong. ~[come|come quickly], {f}!~",
                "{soon} {f.full} came by. ~you are strong, {f}! ^please help us,~ {cried} {h+}.",
            ]);
            s.say(&[
                "{f+} [took a deep breath|set {f.his} feet apart] and pulled once, and {k} was free.",
                "with one [mighty|great|strong] pull, {f+} had {k} out.",
            ]);
            s.fact("who pulled {k} out?", "<{f.full}> pulled {k.him} out.");
        }
        1 => {
            s.say(&[
                "then {h+} remembered {h.his} {o.an}. ^{h.he} {hurried} {home} to get it.",
                "{h+} {idea}. ^{h.he} {hurried} away and came back with {o.a}.",
            ]);
            if rope {
                s.say(&[
                    "~hold {o} in your [mouth|paws], {k},~ said {h+}, and tied the other end to a [tree|post].",
                    "{h+} threw one end of {o} to {k} and pulled at the other.",
                ]);
            } else {
                s.say(&[
                    "with {o}, {h+} dug [all around|next to] {k}, [very slowly|bit by bit|with care].",
                    "{h+} dug and dug with {o} until there was room for {k}.",
                ]);
            }
            s.say(&[
                "pop! out came {k}.",
                "[at last|after a long time] {k} was free.",
                "one more time, and {k} [came loose|rolled out|was free].",
            ]);
            s.fact("what did {h} use to help {k}?", "{h.who} used <{o.a}>.");
        }
        _ => {
            s.cast("f", |p| p.young());
            s.say(&[
                "{h+} called {f.full}, and [they pulled {together}|both pulled with all their might].",
                "{f.full} heard them and came. ~one alone is too weak,~ said {f+}. ~but two may do it.~",
            ]);
            s.say(&[
                "~one, two, three, [pull|up]!~ {cried} {f+}, and {k} [was free|flew out like a cork|rolled out].",
                "they counted to three and pulled, and {k} came free with a [plop|bump].",
            ]);
            s.fact("who helped {h}?", "<{f.full}> helped {h.him}.");
        }
    }
    s.para();
    s.extra(&[
        "{k+} was [dirty|shaking|{tired}], but {k.he} was not hurt.",
        "{h+} [washed|cleaned] {k} and gave {k.him} some water.",
    ]);
    s.say(&[
        "~thank you, {h}! ^I was {so-afraid},~ said {k+}.",
        "~you did not leave me alone,~ said {k+}. ~I will never forget it, {h}.~",
        "{k+} [hugged|thanked] {h} [again and again|with all {k.his} heart].",
    ]);
    good_end(s);
}

/// A friend is ill in bed and is cheered with food and company.
pub(crate) fn ill(s: &mut Scene) {
    s.cast("h", |p| p.young());
    s.cast("k", |p| p.young());
    s.thing("o", |t| ["bowl of soup", "honey cake", "jar of jam", "pear", "apple", "loaf of bread"].contains(&t.name));
    s.thing("u", |t| ["book", "puppet", "flute", "blanket", "teddy", "picture", "shell"].contains(&t.name));
    s.sky(|_| true);
    s.place("p", |p| !p.is(DARK | INDOOR));
    s.theme("[a sick friend|{k.intro} who is ill|being kind]");
    opening(s);
    s.say(&[
        "{h.he} waited for {k.full}, but {k} did not come.",
        "[every day|most days] {k.full} came too, but today [nobody came|{k} was not there].",
        "~where is {k}?~ {h.he} wondered. {k.full} was never late.",
    ]);
    s.say(&[
        "so {h+} {went} to the home of {k}, {k.home}, and [found|saw] {k.him} in bed.",
        "{k} lay ill in bed, {k.home}. when {h} came in, {k.he} said, ~I have a [cold|fever|sore throat].~",
        "~I am ill,~ said {k+} when {h} came to see {k.him}. ~my head is [hot|heavy] and my legs are weak.~",
    ]);
    s.fact("why did {k} not come?", "[because |]{k.who} was <in bed;ill;sick>.");
    s.fact("who was ill?", "<{k.full}> was ill.");
    s.fact("where did {k} live?", "{k.who} lived <{k.home}>.");
    s.para();
    s.say(&[
        "{h+} felt sorry for {k} and {idea}.",
        "~poor {k}! ^wait here,~ said {h+}.",
        "~I will be back {soon2},~ {h+} promised.",
    ]);
    s.say(&[
        "{h.he} {hurried} {home} and came back with {o.a} and {u.a}.",
        "with {o.a} and {u.a} {h+} came back to {k}.",
        "then {h+} brought {o.a} and {u.a} to the bed of {k}.",
        "~see what I have for you, {k},~ said {h+}. it was {o.a} and {u.a}.",
        "{soon} {h+} stood at the door with {o.a} and {u.a}.",
    ]);
    s.fact("what did {h} bring?", "{h.who} brought <{o.a} and {u.a};{o.n} and a {u.n}>.");
    s.say(&[
        "first {k+} ate [a little of|all of|some of] {o}, and [it tasted {good}|{k.he} felt warm inside].",
        "~eat {o},~ said {h+}. ~it will make you strong.~ so {k} ate it [slowly|all up].",
    ]);
    match s.thing_name("u") {
        "book" => s.say(&[
            "then {h+} read to {k} from {u} [until the candle was low|for an hour].",
            "{h+} opened {u} and read about [pirates|a brave ant|a ship|two bears] to {k}.",
        ]),
        "flute" => s.say(&["then {h+} played a [soft|slow|sweet] tune for {k} on {u}."]),
        "blanket" | "teddy" => s.say(&[
            "then {h+} put {u} [next to|around] {k}, and {k.he} was warm.",
            "with {u} in bed, {k} [felt safe|was cosy|could sleep well].",
        ]),
        _ => s.say(&[
            "then {h+} [showed|gave] {u} to {k}, and {k} {smiled} for the first time that day.",
            "{k+} held {u} in bed and [looked at it|smiled at it] for a long time.",
        ]),
    }
    s.para();
    s.say(&[
        "the next [morning|day], {k} felt [better|much better|a little better].",
        "after [two|three|four] days {k} was well again.",
        "{soon} {k+} fell asleep, and when {k.he} woke up, the [fever|pain] was gone.",
    ]);
    s.say(&[
        "~the best medicine was you, {h},~ {said} {k+}.",
        "{k+} laughed again. ~you made me well, {h},~ {k.he} said.",
        "~I am not ill any more,~ said {k+}. ~tomorrow I will play with you, {h}.~",
        "~your {u.n} was {good},~ said {k+}, ~but best of all was that you came, {h}.~",
        "~next time you are ill, {h}, I will come to you,~ said {k+}.",
    ]);
    good_end(s);
}

/// A load too heavy for one is moved, by many or by wheels.
pub(crate) fn heavy(s: &mut Scene) {
    s.cast("h", |p| p.young() && !p.can(STRONG));
    s.cast("k", |p| p.young());
    s.sky(|w| w.is(FAIR));
    s.place("p", |p| p.is(GRASS));
    s.set("load", "[pumpkin|melon|sack of potatoes|log|cabbage|bag of apples|pot of honey]");
    s.set("size", "[huge|very big|giant|heavy]");
    s.theme("[a heavy {load}|a {size} {load}|working together]");
    opening(s);
    s.say(&[
        "there {h.he} found a {size} {load}. ~my [mother|grandmother|family] will be {glad} when I bring it home,~ {h.he} thought.",
        "[a farmer|a kind man|an old woman] had given {h.him} a {size} {load} for the [feast|winter|family].",
        "{h.he} wanted to bring a {size} {load} {home} for [the feast|supper|the winter].",
    ]);
    s.fact("[what did {h} want to bring home|what was so heavy]?", "it was a {size} <{load}>.");
    s.fact("what was the {load} like?", "it was <{size}>.");
    s.say(&[
        "{h+} [pushed|pulled] the {load} [with all {h.his} might|until {h.his} arms hurt], but it [hardly moved|stayed where it was].",
        "~come on, {load}!~ {cried} {h+} and [pushed|pulled]. but it [stayed|did not move].",
        "{h+} [pushed from the left|pushed from the right|kicked it|turned it], but the {load} was too heavy.",
        "but how? the {load} was [heavier|bigger] than {h}!",
        "{h+} tried to lift it. ~oof!~ the {load} did not move [at all|one bit].",
    ]);
    s.para();
    s.say(&[
        "{soon} {k.intro} came by and saw {h} [puffing|sitting on the {load}].",
        "~what have you got there, {h}?~ {asked} {k.full}, who [came along|walked by].",
        "{h+} saw {k.full} on the path. ~{k}, can you help me?~ {h.he} called.",
        "{k.full} was {busy} near by and saw it. ~do you need help?~ {k.he} {asked}.",
    ]);
    match s.branch(3) {
        0 => {
            s.thing("o", |t| ["wheelbarrow", "wagon", "sled"].contains(&t.name));
            s.say(&[
                "~I have {o.a},~ said {k+}. ~it is [just right|made] for heavy things.~",
                "~wait,~ said {k+}, and {fast-k} {k.he} came back with {o.a}.",
            ]);
            s.say(&[
                "{together} they rolled the {load} onto {o}, and {h+} [pulled|pushed].",
                "they put the {load} on {o}. ^now it was [light|easy], and {h+} [sang|hummed] on the way.",
            ]);
            s.fact("how did they move the {load}?", "they moved it with <{o.a}>.");
        }
        1 => {
            s.cast("f", |p| p.can(STRONG) && p.rank != GROWN);
            s.say(&[
                "~I am not strong,~ {said} {k+}, ~but I know somebody who is.~ and {k.he} {hurried} to {f.full}.",
                "{k+} called {f.full}, who was as strong as [ten|six|five] others.",
            ]);
            s.say(&[
                "{f+} [laughed|nodded] and lifted the {load} like a [feather|nut|leaf].",
                "for {f} the {load} was [nothing|as light as a leaf]. ^{f.he} carried it {home}.",
            ]);
            s.fact("who carried the {load}?", "<{f.full}> carried it.");
        }
        _ => {
            s.set("roll", "[some round sticks|three round branches|two long poles]");
            s.say(&["{k+} {idea-k}. ~we need {roll},~ {k.he} said.", "~let us put {roll} under it,~ said {k+}."]);
            s.say(&[
                "they put {roll} under the {load} and pushed, and [slowly|little by little] it moved.",
                "with {roll} under the {load}, {h} and {k} could [push|move] it {together}.",
            ]);
            s.fact("what did they put under the {load}?", "they put <{roll}> under it.");
        }
    }
    s.para();
    s.say(&[
        "at the home of {h}, {h.home}, everybody [clapped|cheered|cried ~hurrah~].",
        "{that-evening} there was [soup|a feast|a big supper] at the home of {h}, and {k} [sat at the table too|was the guest|ate most of all].",
        "{h+} gave {k} a big [plate|bowl|share] of what was cooked that night.",
    ]);
    good_end(s);
}

/// A chick has fallen from its nest and must get up again.
pub(crate) fn nest(s: &mut Scene) {
    s.cast("h", |p| p.young() && !p.can(FLY | CLIMB | TALL));
    let k = s.cast("k", |p| p.can(FLY | CLIMB | TALL) && !p.can(TINY));
    s.sky(|w| w.is(FAIR | WIND));
    s.place("p", |p| p.is(TREES));
    s.theme("[a little bird|a bird that falls from its nest|{h.intro} and a baby bird]");
    opening(s);
    around(s);
    s.say(&[
        "peep, peep! ^{p.spot} sat a [tiny|little|small] bird, [all alone|far from its nest].",
        "then {h.he} heard a [thin|weak|small] peep. {p.spot} sat a baby bird.",
        "something [small|soft] was moving {p.spot}. it was a young bird that had fallen [from its nest|out of a tree].",
    ]);
    s.fact("what did {h} find {p.spot}?", "{h.who} found a little <bird>.");
    s.fact("where did {h} find the bird?", "{h.who} found it <{p.spot}>.");
    s.say(&[
        "~poor little thing,~ said {h+}. ~you [are too young to fly|want your mother].~",
        "{h+} put it on a [soft leaf|bed of moss|warm scarf] and [looked up|looked for the nest].",
    ]);
    s.say(&[
        "far above {h} was the nest, on [the last branch|a thin branch|a swaying branch].",
        "where was the nest? ^{h+} looked up. there, but [oh, so high|much too high for a {h.kind}]!",
        "{h+} [jumped|stretched], but the nest was [high|far] above {h.his} head.",
        "~I must get you up there,~ {h.he} told the bird, ~but I cannot [fly|climb].~",
        "[the nest was high above|high above was the nest], and {h} could not [fly|climb|reach it].",
        "{h+} saw the nest on a high branch, but {h.he} could not get up there.",
    ]);
    s.para();
    s.say(&[
        "~{k} will know what to do,~ thought {h+}, and {h.he} {hurried} to {k.full}.",
        "{h+} called {k.full}, who came {fast-k}.",
        "just then {k.intro} came along. ~please help, {k},~ said {h+}.",
    ]);
    if k.can(FLY) {
        s.say(&[
            "{k+} took the bird on {k.his} back and flew up, [slowly and carefully|as softly as a cloud].",
            "with the small bird [between {k.his} feet|on {k.his} back], {k+} flew up to the nest.",
        ]);
    } else if k.can(CLIMB) {
        s.say(&[
            "{k+} climbed [the tree|from branch to branch] with the bird [in a little bag|on {k.his} back].",
            "the little bird sat on the head of {k}, who climbed up [slowly|very carefully].",
        ]);
    } else {
        s.say(&["{k+} was so tall that {k.he} only had to [reach|stretch] up to put the bird [back|into the nest].", "{h+} set the bird on the head of tall {k}. ^{k.he} [stretched|stood very straight], and the bird hopped into its nest."]);
    }
    s.fact(
        "[who brought the bird back to its nest|who helped the bird|who brought the bird home]?",
        "<{k.full}> [brought it back|did].",
    );
    s.say(&[
        "[{soon}|just then] the mother bird came [home|back] and sang for {h} and {k}.",
        "up there, the mother bird [thanked|sang to|nodded to] {k}, and {h} [clapped|waved|danced].",
        "~well done, {k}!~ {cried} {h+}, and the [mother bird|little bird] sang [three notes|a song|for joy].",
        "{h+} saw how the little bird [sat down|hid] under the wing of its mother. ~thanks to you, {k}!~",
        "when the mother bird came back, {h} and {k} [stood below|kept very still|were still there] and listened to her song.",
        "the other little birds [chirped|peeped] with joy, and {h+} waved to them.",
        "~peep!~ said the little bird from above. it meant ~thank you.~",
    ]);
    s.para();
    s.say(&[
        "[some weeks later|in the summer|one month later], the bird could fly and [came to visit|came and sang for] {h}.",
        "and when the bird was big, it [sat on the hand of|sang every day for|brought a berry to] {h}.",
        "{h} and {k} came back [every day|each week|on Sunday] to see how the bird [was|grew].",
        "~it waved to me!~ said {h+} to {k} [later|a week later|that evening], and maybe it was true.",
        "every [day|morning] {h+} came to look, and one day the young bird [flew|could fly].",
        "{h+} put some [crumbs|seeds|water] under the tree for the [birds|whole family].",
    ]);
    good_end(s);
}

/// A storm or rain comes, and strangers share a roof.
pub(crate) fn shelter(s: &mut Scene) {
    s.cast("h", |p| p.young() && !p.can(SWIM));
    s.cast("k", |p| p.rank == ANIMAL);
    s.sky(|w| w.is(RAIN | STORM | COLD));
    s.place("p", |p| !p.is(INDOOR | DARK | TOWN));
    s.thing("o", |t| {
        t.is(CLOTH) && ["blanket", "scarf", "coat"].contains(&t.name) || t.is(TOOL) && t.name == "lantern" && !t.is(BIG)
    });
    s.set("roof", "[an old shed|a hollow tree|a small hut|a little cave|an empty barn|a tent|an upturned boat]");
    s.theme("[bad weather|finding a dry place|two who share {roof}]");
    opening(s);
    s.say(&[
        "{h+} was still far from home, [and there was no roof|with no coat].",
        "[soon|then] it got worse and worse, and {h+} was [wet|cold] from head to foot.",
        "{h.he} had [not looked at the sky|gone too far from home], and now {h.he} was [wet|cold] and {tired}.",
    ]);
    s.say(&[
        "{h+} [looked around|ran on] and found {roof}, where it was [dry|dark and dry].",
        "~{roof}!~ {h.he} thought. ~in there I will be [dry|safe|warm].~",
        "but what was that, [near {p}|not far from {p}]? {roof}!",
        "{soon} {h+} [found|came to] {roof} and slipped in.",
        "at last {h.he} saw {roof} and [crept|ran|went] inside.",
        "[near the path|not far away|a bit further on] was {roof}, and in {h.he} went.",
    ]);
    s.fact("where did {h} [find shelter|find a dry place|hide from the weather]?", "in <{roof}>.");
    s.fact("who was there already?", "<{k.full}> was there.");
    s.say(&[
        "~good {good-day},~ said somebody in the dark. {h+} [jumped|started]. it was {k.full}.",
        "{k.full} had come there [first|before {h.him}] and did not [look|seem] {glad}.",
        "~who is there?~ [said|asked|growled] a voice. it was {k.full}.",
        "but somebody was there already. two eyes shone in the dark. they belonged to {k.full}.",
        "in a corner sat {k.intro}. ~this is my place,~ said {k+}.",
    ]);
    s.para();
    s.say(&[
        "~please let me stay, {k},~ [begged|said|whispered] {h+}. ~it is so {bad} outside.~",
        "~may I come in, {k}?~ {asked} {h+}. ~I am [wet|cold] and [far from home|{tired}].~",
        "{h+} looked at {k}. ~I have nowhere [else |]to go,~ {h.he} said {sadly}.",
        "~is there room for me, {k}?~ {asked} {h+}, and {h.his} [teeth|knees] shook.",
        "{h+} [shook with cold|was shy]. ~I can go away again,~ {h.he} said, ~but I am [wet|cold].~",
    ]);
    match s.branch(2) {
        0 => {
            s.say(&[
                "{k+} looked at [the rain|the wet face of {h}] and [moved|made room].",
                "~come in, there is room for two,~ said {k+} after a while.",
            ]);
            s.say(&[
                "{h+} had {o.a}, and they used it {together}.",
                "to say thanks, {h+} shared {h.his} {o.an} with {k}.",
            ]);
            s.fact("what did {h} share with {k}?", "{h.who} shared <{o.a}>.");
        }
        _ => {
            s.say(&[
                "~only if you tell me a story,~ said {k+}. ~I am [bored|alone so often].~",
                "~can you sing?~ {asked} {k+}. ~it is [dull|lonely] here when it is dark.~",
            ]);
            s.say(&[
                "so {h+} told {k} about {h.love} {until-rain}.",
                "{h+} told [a long tale|jokes|six riddles] until {k+} {smiled}.",
            ]);
            s.fact("what did {k} want to hear?", "{k.who} wanted to hear a <story;tale>.");
        }
    }
    s.say(&[
        "[the two|{h} and {k}] sat [close|side by side] and [listened to|heard] the weather outside.",
        "it was [warm|dry|cosy] in there now, and {h+} [was no longer afraid|felt safe|began to yawn].",
    ]);
    s.para();
    s.say(&[
        "when {h+} [woke up|looked out] again, the sun was shining.",
        "{at-last} [the clouds went away|it was over], and a [rainbow|clear sky|bright star] stood above {p}.",
    ]);
    thanks(s);
    good_end(s);
}
