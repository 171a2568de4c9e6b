//! Plots in which something is made or mended: a present, a house, a cake, a garden.

use crate::beats::{good_end, opening, thanks};
use crate::cast::{COOK, GROW, GROWN, MEND, STRONG};
use crate::places::{DARK, GRASS, TOWN, TREES, WATER};
use crate::scene::Scene;
use crate::skies::{FAIR, RAIN};
use crate::things::{CLOTH, TOY, WEAR};

/// A birthday without money for a present, so the present is made.
pub(crate) fn gift(s: &mut Scene) {
    s.cast("h", |p| p.young());
    s.cast("k", |_| true);
    s.sky(|_| true);
    s.place("p", |p| !p.is(DARK));
    s.theme("[a birthday|a present that is made by hand|the birthday of {k}]");
    let (made, from, how) = *s
        .choose(&[
            ("necklace", "[red|brown|shiny] [seeds|berries|nuts]", "put them on a [thin|long|blue] thread"),
            ("crown", "[yellow|white|blue] flowers", "tied the stems [together|one by one]"),
            ("picture", "[red|yellow|brown] leaves", "glued them on [white|blue|thick] paper"),
            ("basket", "[thin|green|long] willow twigs", "bent them [in and out|over and under]"),
            ("little boat", "[bark|nut shells|an old box]", "[set|put] a leaf on top for a sail"),
            ("lamp", "[an old jar|a glass jar]", "painted [stars|suns|birds] on the glass"),
            ("doll", "[old cloth|wool|straw]", "sewed on two [buttons|beads] for eyes"),
            ("whistle", "[a reed|a thin branch|wood]", "cut [three|four|two] small holes in it"),
        ])
        .unwrap_or(&("crown", "yellow flowers", "tied the stems together"));
    s.set("made", made);
    s.set("from", from);
    s.set("how", how);
    opening(s);
    s.say(&[
        "tomorrow was the birthday of {k.full}, but {h+} had no present.",
        "~[tomorrow|next Sunday|today] is the birthday of {k},~ {h.he} thought. ~what can I give {k.him}?~",
        "{k.full} had a birthday, and {h+} wanted to bring {k.him} something {good}.",
    ]);
    s.fact("who was the present for?", "it was for <{k.full}>.");
    s.fact("[whose birthday was it|who had a birthday]?", "it was the birthday of <{k.full}>.");
    s.say(&[
        "{h.he} had no money, not [a single|even one] coin.",
        "{h+} looked for money [in every pocket|under the bed|in a jar], but there was none.",
        "how could {h} buy something for {k}? ^{h.he} had not one coin.",
        "in {h.his} purse was [only a button|nothing but a hole|no coin at all].",
        "in the shops [everything cost too much|there was nothing that {h} could pay for].",
    ]);
    s.extra(&[
        "{h+} [walked up and down|sat down|scratched {h.his} head] and thought. ~a present need not cost money.~",
    ]);
    s.para();
    s.say(&[
        "then {h+} {idea}. ^{h.he} would make a {made}!",
        "~I will make a {made} [myself|with my own hands]!~ {h.he} {cried}.",
        "{p.at}, {h+} saw what {h.he} needed for a {made}.",
    ]);
    s.say(&["{h.he} took {from} and {how}.", "[first|so] {h+} looked for {from}. then {h.he} {how}."]);
    s.fact("what did {h} make?", "{h.who} made <a {made}>.");
    s.fact("what was the present?", "it was <a {made}>.");
    s.fact("what did {h} make [it|the {made}] from?", "{h.who} made it from <{from}>.");
    s.say(&[
        "it did not go well at first, but {h+} [tried again|did not give up|began again].",
        "{h+} worked {allday}, and [forgot to eat|did not stop once].",
        "it was not [perfect|easy], but it was made with love.",
    ]);
    s.para();
    s.say(&[
        "at the party others gave {k} [books and balls|cakes and hats|big boxes], and {h} [grew shy|held {h.his} present behind {h.his} back].",
        "~it is only [small|a small thing],~ said {h+} and gave the {made} to {k}.",
        "{h+} knocked at the door of {k}. ~this is for you,~ {h.he} said.",
    ]);
    s.say(&[
        "{k+} looked at it for a long time. ~you made this [for me|yourself], {h}? it is the best present of all!~",
        "~a {made}!~ {cried} {k+}. ~nobody else has one like it!~",
        "{k+} was {glad} and [showed it to everybody|would not put it down]. ~thank you, {h}!~",
    ]);
    good_end(s);
}

/// Friends build a house, and the weather tests it.
pub(crate) fn house(s: &mut Scene) {
    s.cast("h", |p| p.young());
    s.cast("k", |p| p.young());
    s.cast("f", |p| p.can(MEND | STRONG));
    s.sky(|w| w.is(FAIR));
    s.place("p", |p| p.is(TREES | GRASS) && !p.is(TOWN));
    s.set("house", "[hut|den|little house|tree house|play house]");
    s.theme("[building a {house}|a {house}|three friends who build something]");
    opening(s);
    s.say(&[
        "~let us build a {house}!~ said {k.full}, who had come along.",
        "{k.full} came with an armful of [sticks|boards|straw]. ~shall we build a {house}?~",
    ]);
    s.fact("what did {h} and {k} build?", "they built <a {house}>.");
    s.set("walls", "[sticks|branches|straw|boards]");
    s.set("cover", "[leaves|grass|moss|ferns]");
    s.say(&[
        "they made the walls of {walls} and the roof of {cover}.",
        "{h+} carried {walls} for the walls, and {k+} put {cover} on top.",
    ]);
    s.fact("what was the roof made of?", "[the roof|it] was made of <{cover}>.");
    s.fact("what were the walls made of?", "[the walls|they] were made of <{walls}>.");
    s.say(&[
        "~now nothing can happen to us,~ said {k+} [proudly|and sat down inside].",
        "it was [small|a bit crooked], but {h+} was {glad}.",
        "{together} they sat inside and ate [nuts|apples|bread].",
    ]);
    s.para();
    s.say(&[
        "but {soon} the wind came, and it was a [wild|strong|cold] wind.",
        "then {h} felt the first [gust|drops], and {soon} there was a [storm|strong wind].",
        "but {k+} looked up. ~the wind is coming, {h}!~ and come it did.",
        "that night {h+} heard the wind [howl|whistle] {p.at}.",
        "but in the night [a storm came|the wind grew strong|it rained and rained].",
        "the next day a [strong|wild] wind [blew|came up].",
    ]);
    s.say(&[
        "whoosh! the {cover} flew away, and the {walls} fell [down|over].",
        "{h} and {k} saw the {cover} fly off, and the {walls} [fell|came down] after it.",
        "~oh no, {k}!~ {cried} {h+}. the {house} [fell down|was flat], and the {cover} was gone.",
        "when {h+} came back, there was only a heap of {walls}.",
    ]);
    s.say(&[
        "~all our work!~ {cried} {k+} and [wanted to go home|sat down in the mud].",
        "{h+} was {sad}. ~we shall never have a {house},~ {h.he} said.",
    ]);
    s.para();
    s.say(&[
        "{f.full} was {busy} near by and came to see what {h} had built.",
        "~good {good-day}, {h},~ said {f.full}. ~was that your {house}?~",
        "{soon} {f.full} stood there and [turned over|looked at] the {walls}. ~I see why it fell,~ {f.he} said.",
        "~ask {f},~ said {k+}. and {f.full} came at once to look.",
        "{f.full} came by and looked at the heap. ~do you want to know why it fell?~ {f.he} asked.",
        "~what happened here?~ {asked} {f.full}. ~the wind took our {house},~ said {h+}.",
    ]);
    match s.branch(3) {
        0 => {
            s.set("trick", "tie the corners with rope");
        }
        1 => {
            s.set("trick", "set four strong posts in the ground");
        }
        _ => {
            s.set("trick", "put big stones along the walls");
        }
    }
    s.say(&[
        "~a house must [stand fast|be strong],~ said {f+}. ~first you {trick}.~",
        "{f+} shook {f.his} head. ~{h}, {k}, you must {trick},~ {f.he} said.",
        "~it is easy, {h},~ said {f+}. ~just {trick}.~",
        "~I will show you,~ said {f+}. ~you must {trick}.~",
    ]);
    s.fact("[what did {f} tell them to do|what was the advice of {f}]?", "{f.who} told them to <{trick}>.");
    s.fact("who showed them how to build?", "<{f.full}> did.");
    s.say(&[
        "now they built it a second time. {h} brought {walls}, {f} showed {k} how to [tie|stack] them.",
        "this time {f} was there to help, and {k} and {h} [listened|did as {f.he} said].",
        "so they began again. {h} [held|carried], {k} [tied|pushed], and {f} [helped|looked on].",
        "all three worked until {dark-time}, and {k+} sang [at work|a song].",
    ]);
    s.say(&[
        "that night the wind came back. it [pushed|pulled] and blew, but the {house} stood.",
        "once more [a storm came|the wind blew], but {h} and {k} [sat|slept] safe and dry in the {house}.",
        "~blow, wind, blow!~ {cried} {k+} that night. but the {house} of {h} and {k} stood.",
        "[three|two|ten] storms came, and {h} and {k} [laughed at them|heard them from inside], for the {house} [stood|held].",
        "the next storm [shook|tried] the {house} in vain. ~{f} taught us well,~ said {h+}.",
        "the wind tried once more, but now the {house} [did not move|only creaked|stood fast].",
    ]);
    good_end(s);
}

/// Baking goes wrong in one way and right in another.
pub(crate) fn bake(s: &mut Scene) {
    s.cast("h", |p| p.young());
    s.cast("k", |p| p.can(COOK));
    s.thing("o", |t| {
        ["cake", "berry pie", "bun", "honey cake", "pancake", "biscuit", "loaf of bread"].contains(&t.name)
    });
    s.sky(|_| true);
    s.place("p", |p| ["the kitchen", "the bakery"].contains(&p.name));
    s.theme("[baking|{o.a}|a mistake in the kitchen]");
    opening(s);
    s.say(&[
        "~today I will bake {o.a},~ {h.he} said.",
        "{h.he} wanted to bake {o.a} for {h.his} [mother|father|friends|family].",
        "for the [feast|party] {h+} had to bake {o.a}.",
    ]);
    s.fact("[what did {h} want to bake|what did {h} bake]?", "{h.who} wanted to bake <{o.a}>.");
    s.say(&[
        "{h.he} put [flour|eggs and flour|butter and flour] into a bowl and [stirred|mixed it all].",
        "flour flew everywhere, even on the nose of {h}.",
        "{h+} mixed [flour and milk|eggs and milk|flour and butter] and [hummed|sang a song].",
    ]);
    match s.branch(3) {
        0 => {
            s.say(&[
                "but {h+} took the salt and not the sugar!",
                "{h+} did not read the label, and in went salt instead of sugar.",
            ]);
            s.fact("[what went wrong|what was the mistake]?", "{h.who} took <salt> instead of sugar.");
            s.say(&[
                "{h.he} tasted it. ~[ugh|brr]! it is like the sea!~",
                "~it tastes [terrible|like sea water]!~ {cried} {h+}.",
            ]);
            s.set("fix", "[begin again and taste first|make a new one and read the label]");
        }
        1 => {
            s.say(&[
                "then {h+} [went out to play|looked out of the window|read a book] and forgot the oven.",
                "while it was in the oven, {h+} [fell asleep|played a game].",
            ]);
            s.fact("what happened to {o.n0} in the oven?", "it was <burnt;black;hard>.");
            s.say(&[
                "black smoke filled the room. {o} was as [black|hard] as coal!",
                "when {h+} opened the oven, {o} was burnt.",
            ]);
            s.set("fix", "[cut off the black part and put jam on top|make another and stay near the oven]");
        }
        _ => {
            s.say(&[
                "but there was only one egg left, and it [rolled off the table|fell down]. splat!",
                "{h+} reached for the eggs, slipped, and they all broke.",
            ]);

            s.say(&[
                "how can one bake {o.a} without eggs? ^{h+} did not know.",
                "~{o.a} needs eggs,~ said {h+} {sadly}. ~and I have none.~",
                "{h+} [sat down on the floor|looked into every pot]. [no more eggs|not one egg] for {h.his} {o.n}!",
                "~no eggs, no {o.n}!~ said {h+} and was {sad}.",
                "{h+} looked at the floor. ~now I [can|shall] never bake it,~ {h.he} said.",
            ]);
            s.set("fix", "[take a soft apple instead of an egg|use honey and milk instead]");
        }
    }
    s.para();
    s.say(&[
        "{k.full} came in and [saw it all|saw {h.his} face]. ~oh, {h}, that happens to everybody,~ {k.he} said.",
        "{k.full} heard {h} [cry|sigh] and came to look.",
        "~do not cry, {h},~ said {k.full}. ~I made that mistake too when I was young.~",
    ]);
    s.say(&[
        "~there is a way, {h},~ said {k+}. ~we [can|shall] {fix}.~",
        "~listen, {h},~ {k+} [whispered|said]. ~what if we {fix}?~",
        "{k+} [rolled up {k.his} sleeves|put on an apron]. ~now we {fix},~ {k.he} said.",
        "~we can {fix},~ said {k+}.",
        "{k+} {idea-k}. ~let us {fix}.~",
    ]);
    s.fact("[what was the idea of {k}|what did {k} want to do]?", "{k.who} wanted to <{fix}>.");
    s.fact("who helped {h}?", "<{k.full}> helped {h.him}.");
    s.say(&[
        "{together} they set to work, and {soon} the room smelled [sweet|{good}|of warm sugar].",
        "{h+} did it alone, and {k} only [watched|gave advice|held the bowl].",
    ]);
    s.say(&[
        "this time {o} was [{good}|golden and soft|the best of all].",
        "out of the oven came {o}, [brown and sweet|as it should be].",
    ]);
    s.para();
    s.say(&[
        "everybody wanted a [second|third] piece, and {h+} [blushed|was proud].",
        "~a mistake is [only a start|how we learn],~ said {k+} and took a big bite.",
        "{h+} cut it and gave the first piece to {k}.",
    ]);
    good_end(s);
}

/// A seed is planted, and waiting is the hardest work.
pub(crate) fn seed(s: &mut Scene) {
    s.cast("h", |p| p.young());
    s.cast("k", |p| p.can(GROW) || p.kind == "tortoise");
    s.sky(|w| w.is(FAIR | RAIN));
    s.place("p", |p| ["the garden", "the meadow", "the orchard", "the green hill", "the farm yard"].contains(&p.name));
    s.set("plant", "[sunflower|bean|pumpkin|tomato|rose|cherry tree|strawberry|carrot|pea]");
    s.theme("[a seed|waiting|a {plant}]");
    opening(s);
    s.say(&[
        "{k.full} gave {h.him} a [tiny|round|small|brown] seed. ~plant it, and it will be a {plant},~ {k.he} said.",
        "~here is a {plant} seed for you, {h},~ said {k.full}. ~plant it well.~",
        "{h+} held out {h.his} {h.hand}, and {k.full} put a {plant} seed into it.",
        "{h.he} had a {plant} seed, a present from {k.full}.",
    ]);
    s.fact("what kind of seed [was it|did {h} have|did {h} plant]?", "it was a <{plant}> seed.");
    s.fact("who gave {h} the seed?", "<{k.full}> gave it to {h.him}.");
    s.say(&[
        "{h+} [dug|made] a hole, put the seed in, and [gave it water|covered it with earth].",
        "in a sunny corner {h+} planted it and gave it a cup of water.",
    ]);
    s.say(&[
        "{h+} waited for [one day|two days|three days], but no {plant} came up.",
        "~where are you, little {plant}?~ {asked} {h+} the next {morning-day}.",
        "every {morning-day} {h+} ran {p.to}, and every {morning-day} there was only earth.",
        "{h+} lay down {p.at} and watched the ground. [not a leaf|nothing green] was to be seen.",
        "then {h+} sat down and waited. one hour, two hours. nothing came.",
        "the next {morning-day} {h+} ran out to look. but there was only [brown|bare] earth.",
        "~grow, grow!~ said {h+} [to the ground|every day]. nothing happened.",
    ]);
    s.para();
    match s.branch(3) {
        0 => {
            s.say(&["{h+} [brought a spade|began to dig]. ~what are you doing?~ {asked} {k+}. ~the {plant} is still asleep!~", "~I will dig it up and see,~ said {h+}. ~no,~ {cried} {k}, ~then it will never grow!~", "{h+} wanted to dig it up again, but {k+} [held {h.his} arm|stopped {h.him}]."]);
            s.set("rule", "leave it in the earth and wait");
        }
        1 => {
            s.say(&["{h+} brought [two|three|four] buckets of water for the {plant}. ~that is too much, {h},~ said {k+}.", "~more water!~ {cried} {h+} and poured and poured. but {k+} [shook {k.his} head|took the bucket away].", "so {h+} gave it a whole bucket of water, [three times a day|and another]. ~stop,~ said {k+}, ~it will drown!~"]);
            s.set("rule", "give it only a little water");
        }
        _ => {
            s.say(&[
                "so that the {plant} would be warm, {h+} [covered the place|hid it] with [a box|a blanket|a hat].",
                "{h+} hid the place under [a box|leaves|a blanket], but {k+} took it away again.",
                "{h+} put [a box|a blanket|a hat] over it, to keep it warm. ~but it needs light,~ said {k+}.",
            ]);
            s.set("rule", "let the sun shine on it");
        }
    }
    s.say(&["~you must {rule},~ said {k+} {kindly}.", "{k+} told {h} to {rule}."]);
    s.fact("what did {k} tell {h} to do?", "{k.who} told {h.him} to <{rule}>.");
    s.say(&["so {h+} [learned to wait|waited]. it rained, and the sun shone, and {h.he} [sang to the seed|played with {k}|counted the days].", "a week went by, [then another|and two more days]. {h+} [looked every day|did not give up]."]);
    s.para();
    s.say(&[
        "one {morning-day} there was something green, as thin as [a hair|a thread].",
        "then, one {morning-day}, {h} saw [a green tip|a tiny leaf|a thin stem] and ran to tell {k}.",
        "~{k}, come quickly!~ {cried} {h+}. ~my {plant} is [up|growing|here]!~",
        "and there it was. {h+} [knelt down|could not believe it], for the {plant} had [two|three] green leaves.",
        "~look, {k}!~ {cried} {h+}. ~a tiny green leaf!~",
    ]);
    s.say(&["it grew [day by day|higher and higher], and by the end of summer the {plant} was [a joy to see|big and strong|the finest of all].",
        "the {plant} of {h} grew and grew, and {k} said that it was [the finest in the village|the best of all].",
        "{h} watered it, {k} [pulled the weeds|watched it], and the {plant} grew [tall|strong|big].",
        "by [the end of summer|autumn|July] {h} had [a big|a fine|a lovely] {plant}, and {k} clapped.",
        "when {k} came again, the {plant} of {h} was [as high as a gate|full of leaves|big and green].", "in the summer {h} had a {plant} that [everybody came to see|made everybody smile]."]);
    s.say(&[
        "~the waiting was [long|hard], but it was worth it,~ said {h+}.",
        "{h+} kept one seed and gave it to [a friend|a small child|the next one who asked].",
        "~good things take time,~ said {k+}, and {h} {nodded-yes}.",
    ]);
    good_end(s);
}

/// Something old is to be thrown away, and somebody sees what it can be.
pub(crate) fn mend(s: &mut Scene) {
    s.cast("h", |p| p.young());
    s.cast("k", |p| p.can(MEND) || (p.rank == GROWN && p.can(COOK)));
    s.thing("o", |t| t.is(CLOTH) && t.is(TOY | WEAR) && t.name != "hat");
    s.sky(|_| true);
    s.place("p", |p| !p.is(DARK | WATER));
    s.theme("[mending|a torn {o.n}|something old that is made new]");
    opening(s);
    s.say(&[
        "{h.he} had {o.a} that {h.he} loved, for it was [a present|from long ago|always with {h.him}].",
        "{h.his} {o.an} went everywhere with {h.him}.",
    ]);
    s.say(&[
        "rip! {p.at} it got caught on a [nail|thorn|hook], and now there was a [big|wide|round] hole.",
        "while {h.he} was {busy}, {o} [caught|stayed behind] on a [nail|hook|thorn], and rip!",
        "{h+} [climbed over a fence|crept through a hedge], and rip! ^{o} had a [hole|tear].",
        "one pull, one rip, and {o} was torn [in the middle|at the side].",
        "rip! it caught on a [nail|thorn|gate] and got a big hole.",
        "{suddenly} it caught on [a nail|a branch|a fence], and there was a long tear in it.",
    ]);
    s.fact("what was torn?", "it was <{o.a}>.");
    s.fact("who mended {o.n0}?", "<{k.full}> mended it.");
    s.say(&[
        "~torn! ^my {good} {o.n} is torn!~ {cried} {h+}.",
        "{h+} looked at {o} {sadly}. nobody could [use|love] it like that.",
        "~so this is the end of my {o.n},~ said {h+} {sadly}.",
        "~my poor {o.n}!~ said {h+} {sadly}. ~now I must throw it away.~",
        "{h+} [held the two ends|looked at the hole] and was {sad}.",
    ]);
    s.para();
    s.say(&[
        "{k.full} [came by|was there] and looked at {o}. ~that is not so bad, {h},~ {k.he} said.",
        "~may I see your {o.n}, {h}?~ {asked} {k.full} and took out a [needle|thread and needle].",
        "{k.full} saw it. ~throw it away? no, no,~ {k.he} said. ~give me a [needle|thread].~",
        "~wait,~ said {k.full}. ~a patient hand can mend anything.~",
        "so {h+} {went} to {k.full}. ~can you mend my {o.n}?~ {h.he} asked.",
    ]);
    s.set("patch", "[heart|star|moon|flower|fish|leaf]");
    s.say(&[
        "{k+} had some [red|blue|green|yellow] cloth. ^{k.he} cut out a {patch} and sewed it on {o}.",
        "a [red|blue|green|yellow] {patch} would hide the hole, thought {k}, and {k.he} sewed it on.",
        "{k+} cut a [red|blue|green|yellow] {patch} from an old [coat|curtain|sack] and sewed it over the hole.",
        "over the hole {k+} sewed a {patch}, [stitch by stitch|with tiny stitches].",
    ]);
    s.fact(
        "[what did {k} sew over the hole|what was sewed over the hole|what did {k} cut out]?",
        "it was <a {patch}>.",
    );
    s.say(&[
        "{h+} [watched|held the thread|was allowed to make the last stitch].",
        "~in and out goes the needle,~ sang {k+}, and {h} sang too.",
    ]);
    s.say(&[
        "now {o} was [more beautiful than before|like no other]. ~the {patch} is the best part,~ said {h+}.",
        "{h+} [touched|stroked] the {patch}. ~it is even better than new!~",
    ]);
    s.para();
    thanks(s);
    s.extra(&[
        "the next time something broke, {h+} did not cry. ^{h.he} took [a needle|some thread] and tried.",
        "{soon} all the others wanted a {patch} too.",
    ]);
    good_end(s);
}
