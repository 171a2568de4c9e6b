//! Plots about learning, working and waiting.

use crate::beats::{good_end, opening};
use crate::cast::{ANIMAL, CHILD, CLIMB, FLY, GROWN, MUSIC, SWIM, WISE};
use crate::places::{DARK, GRASS, INDOOR, TOWN, TREES};
use crate::scene::Scene;
use crate::skies::{FAIR, RAIN, WIND};
use crate::things::{BIG, BREAKS, FOOD, SHINY, SMALL, TOY};

/// Somebody learns to do a thing that somebody else does well.
pub(crate) fn learn(s: &mut Scene) {
    match s.branch(4) {
        0 => {
            s.cast("k", |p| p.can(SWIM) && p.rank == ANIMAL);
            s.cast("h", |p| p.rank == CHILD || ["bear", "dog", "goat", "fox", "pig"].contains(&p.kind));
            s.place("p", |p| ["the pond", "the lake", "the river"].contains(&p.name));
            s.set("skill", "swim");
            s.set("fail", "[went under|swallowed water|sank like a stone]");
            s.set(
                "tip",
                "[kick with your legs and breathe slowly|lie on the water like a leaf|do not fight the water]",
            );
        }
        1 => {
            s.cast("k", |p| p.can(CLIMB) && p.rank == ANIMAL);
            s.cast("h", |p| p.rank == CHILD);
            s.place("p", |p| p.is(TREES));
            s.set("skill", "climb the big tree");
            s.set("fail", "[slid down again|fell into the leaves|got stuck on the first branch]");
            s.set(
                "tip",
                "[look up and not down|hold on with one hand and reach with the other|take one branch at a time]",
            );
        }
        2 => {
            s.cast("k", |p| p.can(MUSIC));
            s.cast("h", |p| p.young() && !p.can(MUSIC));
            s.place("p", |p| p.is(GRASS | TOWN));
            s.set("skill", "whistle");
            s.set("fail", "[made only wind|could only blow|spat on {h.his} own chin]");
            s.set("tip", "[make a small round mouth and blow softly|wet your mouth and blow like a breeze]");
        }
        _ => {
            s.cast("k", |p| p.rank == GROWN);
            s.cast("h", |p| p.rank == CHILD);
            s.place("p", |p| p.is(TOWN) && !p.is(INDOOR));
            s.set("skill", "ride a bike");
            s.set("fail", "[fell over|rode into a bush|tipped to the left]");
            s.set("tip", "[look far ahead and not at your feet|go a little faster and keep straight]");
        }
    }
    s.sky(|w| w.is(FAIR));
    s.theme("[learning to {skill}|somebody who wants to {skill}|not giving up]");
    opening(s);
    s.say(&[
        "{h.he} saw {k.full} there. ~I wish I could {skill} like {k},~ {h.he} thought.",
        "how well {k.full} could {skill}! ^{h+} wanted to do it too.",
        "~can you teach me to {skill}, {k}?~ {h.he} asked {k.full}.",
    ]);
    s.fact("what did {h} want to learn?", "{h.who} wanted to learn to <{skill}>.");
    s.fact("what did {h} learn in the end?", "{h.who} learned to <{skill}>.");
    s.say(&["the first time, {h+} {fail}.", "{h+} tried at once, and {fail}.", "it looked so easy. but {h+} {fail}."]);
    s.say(&[
        "the second time was [no better|even worse]. ~I [cannot|will never] do it!~ {cried} {h+}.",
        "[some|two] others laughed, and {h+} [wanted to go home|turned red].",
        "~again,~ said {h+}. and again {h.he} {fail}.",
    ]);
    s.para();
    s.say(&[
        "~nobody can do it at once,~ said {k+} {kindly}. ~{tip}.~",
        "~listen, {h},~ said {k+} {kindly}. ~{tip}.~",
        "~I will tell you a secret, {h},~ said {k+}. ~{tip}.~",
        "{k+} put a {k.hand} on {h.his} back. ~{tip}, {h},~ {k.he} said.",
        "{k+} came closer. ~{tip},~ {k.he} said, ~and try [once|one time] more.~",
    ]);
    s.fact("[what did {k} tell {h}|what did {k} say to {h}]?", "{k.who} said, ~<{tip}>.~");
    s.fact("who [taught|helped] {h}?", "<{k.full}> did.");
    s.say(&[
        "{h+} [shut {h.his} mouth and tried|took a deep breath|nodded and tried it].",
        "they [practised|tried] every day, and each day it went a little [better|further].",
        "{h+} listened well and [was calm|did what {k} said].",
    ]);
    s.say(&[
        "and {suddenly} it worked! ~I can {skill}!~ {cried} {h+}.",
        "on the [third|fourth|fifth] day {h+} could {skill}.",
        "~look at me, {k}!~ {h.he} {cried}. ~I can {skill}!~",
    ]);
    s.para();
    s.say(&[
        "~I knew it,~ said {k+} [and clapped|proudly].",
        "{k+} was as proud as {h}.",
        "~you did not give up,~ said {k+}. ~that is the whole secret.~",
    ]);
    s.extra(&["{soon} {h+} taught [a little friend|a small boy|a younger child] to {skill} too."]);
    good_end(s);
}

/// Somebody works to earn a thing, and gives some of it away.
pub(crate) fn earn(s: &mut Scene) {
    s.cast("h", |p| p.young());
    s.cast("k", |p| p.rank == GROWN);
    s.thing("o", |t| t.is(TOY | SHINY) && !t.is(FOOD) && t.name != "coin");
    s.sky(|w| w.is(FAIR));
    s.place("p", |p| p.is(TOWN) && !p.is(INDOOR));
    s.theme("[working for something|somebody who wants {o.a}|{o.a}]");
    opening(s);
    s.say(&[
        "in a window {h.he} saw {o.a}. how {h.he} wanted it!",
        "there, on a table, was {o.a}, and it was for sale.",
        "{k.full} was selling {o.a}, and {h+} could not look away.",
    ]);
    s.fact("what did {h} want[ to buy|]?", "{h.who} wanted <{o.a}>.");
    s.fact("what was for sale?", "it was <{o.a}>.");
    s.set("coins", "[three|four|five|six|seven|eight|nine|ten|twelve|fifteen]");
    s.set("price", "{coins} coins");
    s.say(&[
        "but it cost {price}, and {h+} had [none|only one].",
        "~{price},~ said {k.full}. {h+} had [not one|only a button].",
    ]);
    s.fact("[how much did it cost|how much was {o.n0}|how many coins did it cost]?", "it cost <{coins}> coins.");
    s.fact("who did {h} work for?", "{h.who} worked for <{k.full}>.");
    s.say(&[
        "~can I work for it?~ {asked} {h+}. {k+} {nodded-yes}.",
        "~if you help me, you can earn it,~ said {k.full}.",
    ]);
    s.set("work", "[swept the floor|carried water|fed the hens|washed the windows|picked apples|painted the fence|pulled weeds|stacked wood]");
    s.set("work2", "[polished the lamps|brought the letters|cleaned the pots|watered the roses|sorted the nails|looked after the baby]");
    s.para();
    s.say(&[
        "on the first day {h+} {work}, and on the second {h.he} {work2}.",
        "so {h+} {work}, and [after that|then] {h.he} {work2}.",
    ]);
    s.fact("what work did {h} do [first|on the first day]?", "{h.who} <{work}>.");
    s.say(&[
        "{h.his} back hurt, but [every evening|each day] there was a coin more in the [jar|cup|box].",
        "sometimes {h+} wanted to [play instead|stop]. but then {h.he} thought of {o}.",
        "friends called {h} to play, but {h.he} [said no|worked on].",
    ]);
    s.say(&[
        "{at-last} {h+} had {price}. ^{h.he} ran {p.to} and [put them on the table|held them up].",
        "after [a week|two weeks|nine days] the {price} were there.",
    ]);
    s.say(&[
        "~you worked well,~ said {k+} and gave {o} to {h}.",
        "{k+} counted them. then {k.he} {smiled-plain} and [took|fetched] {o} for {h}.",
    ]);
    s.para();
    s.say(&[
        "{h+} held it {tight}. because {h.he} had worked for it, it was [twice|ten times] as dear to {h.him}.",
        "no {o.n} in the world was [finer|dearer] to {h}.",
        "and {h} let [every friend|all the others] see it too.",
    ]);
    good_end(s);
}

/// Waiting for something in the sky.
pub(crate) fn star(s: &mut Scene) {
    s.cast("h", |p| p.young() && !p.can(FLY));
    s.cast("k", |p| p.can(WISE) || p.kind == "heron");
    s.sky(|w| w.is(FAIR | RAIN | WIND));
    s.place("p", |p| !p.is(INDOOR | DARK));
    s.set(
        "wish",
        "[falling star|rainbow|full moon|double rainbow|flock of swans|comet|golden eagle|pink cloud|red moon]",
    );
    s.theme("[a {wish}|waiting for a {wish}|being patient]");
    opening(s);
    s.say(&[
        "more than anything {h.he} wanted to see a {wish}.",
        "~have you ever seen a {wish}?~ {h.he} asked {k.full}.",
        "{k.full} had told {h.him} about a {wish}, and {h+} could think of nothing else.",
    ]);
    s.fact("what did {h} [want|wish] to see?", "{h.who} wanted to see <a {wish}>.");
    s.fact("what did {h} wait for?", "{h.who} waited for <a {wish}>.");
    s.fact("who waited with {h}?", "<{k.full}> waited with {h.him}.");
    s.say(&[
        "{h.he} looked up, but there were only [clouds|grey clouds|bare branches].",
        "{h+} climbed on a [stone|gate|log] and looked. nothing.",
        "{h+} waited [one day|two days|a whole day], and nothing came.",
    ]);
    s.say(&[
        "~there is no {wish} for me,~ said {h+} {sadly}.",
        "~no {wish} today, and no {wish} yesterday,~ said {h+} {sadly}.",
        "{h+} felt {sad}. where was the {wish}?",
        "~{k} can wait, but I cannot,~ said {h+}. ~when will the {wish} come?~",
        "{h+} [sat down|turned away] {p.at}. ~I have waited so long, and no {wish} comes!~",
        "how slowly the time went! ^{h+} [counted to a hundred|walked up and down] and grew {sad}.",
        "~it will never come,~ said {h+} {sadly}.",
        "~I have no more [time|patience]!~ {cried} {h+} and [kicked a stone|stamped].",
    ]);
    s.para();
    s.say(&[
        "{k.full} came and stood beside {h.him}. ~shall I wait with you, {h}?~",
        "~I also waited long for my first {wish},~ said {k.full} and sat down by {h}.",
        "~wait with me,~ said {k.full}. ~when we talk, time [is short|goes faster].~",
        "{k.full} sat down {p.at}. ~the sky does not hurry for us, {h},~ {k.he} said.",
    ]);
    match s.branch(3) {
        0 => s.say(&[
            "so {k+} told {h} about [the sea|far lands|{k.love}|the old days].",
            "{k+} told a story of [ships|two brothers|a lost ring], and {h} listened.",
        ]),
        1 => s.say(&[
            "they [shared a pear|drank warm milk|ate bread and cheese] and looked at the {p.found}.",
            "they counted [clouds|leaves|steps|birds], up to a hundred and more.",
        ]),
        _ => s.say(&[
            "{h+} put {h.his} head on the arm of {k} and [almost fell asleep|yawned].",
            "it was quiet. {h+} heard [the grass move|a cricket|an owl far away].",
        ]),
    }
    s.say(&[
        "{suddenly} {k+} whispered, ~look up, {h}!~",
        "~now,~ said {k+}. ~open your eyes.~",
        "and then, when {h+} had [stopped waiting|nearly forgotten it], it came.",
    ]);
    s.say(&[
        "there it was, a {wish}, [so bright|so big|more beautiful than in any book]!",
        "{h+} saw it at last. what a {good} {wish}!",
    ]);
    s.say(&[
        "{h+} [held {h.his} breath|could not speak]. it was over {soon2b}, but {h.he} would never forget it.",
        "~oh,~ said {h+} softly. {h.he} [said no more|was too {glad} to say more].",
    ]);
    s.para();
    s.extra(&["~was it worth the wait?~ {asked} {k+}. ~yes,~ said {h+}, ~and the waiting was {good} too.~"]);
    good_end(s);
}

/// The first day of school.
pub(crate) fn school(s: &mut Scene) {
    s.cast("h", |p| p.young());
    s.cast("f", |p| p.rank == GROWN && p.can(WISE) && p.kind != "shepherd");
    s.cast("k", |p| p.young());
    s.sky(|_| true);
    s.place("p", |p| p.name == "the school");
    s.hour("morning", "[after breakfast|early in the morning|at eight]");
    s.theme("[the first day of school|school|{h.intro} at school]");
    opening(s);
    s.say(&[
        "{h+} was going to school for the first time, and {h.his} {cold-part}.",
        "that {t} school began for {h}. ^{h.he} [walked slowly|stopped at the door|held {h.his} bag {tight}].",
        "it was the first day of school, and {h+} [held {h.his} bag {tight}|did not want to go in].",
        "today was the first day. {h.his} stomach [felt strange|hurt a little].",
    ]);
    s.set("fear", "[the others would laugh|nobody would sit with {h.him}|it would be too hard|{h.he} would get lost]");
    s.say(&["{h+} was afraid that {fear}.", "~what if...~ thought {h+}. ^{h.he} was afraid that {fear}."]);
    s.fact("[what was {h} afraid of|why was {h} afraid]?", "{h.who} was afraid that <{fear}>.");
    s.fact("who was the teacher?", "<{f.full}> was the teacher.");
    s.say(&[
        "{f.full} was the teacher. ~[welcome|good morning|come in], {h},~ {f.he} said.",
        "the teacher, {f.full}, took {h.him} by the hand and [showed {h.him} a seat|led {h.him} in].",
        "inside, {f.full} was writing [letters|names|numbers] on the [board|wall] and [nodded|waved] to {h}.",
        "~come in,~ said the teacher of that day, who was {f.full}.",
        "at the door stood {f.full}, who taught there, and [smiled|waved].",
    ]);
    s.say(&[
        "the only free seat was beside {k.full}, so {h+} sat down there.",
        "{h+} [found|chose] a seat near the [window|door|stove]. {k.full} was there already, very [pale|still|quiet].",
        "{h+} sat down in the [last|first|third] row. beside {h.him} sat {k.full}, [who looked pale|very still].",
        "next to {h} sat {k.full}, who [did not say a word|was biting a pencil].",
    ]);
    s.fact("[who sat next to {h}|who sat beside {h}]?", "<{k.full}> did.");
    s.para();
    s.say(&[
        "{k+} looked at {h}. ~is this your first day too?~ ~yes,~ {said} {h+}, ~and I am {afraid}.~",
        "~my knees are shaking,~ [said|whispered] {k+}. ~mine too,~ said {h}, and [both|the two] felt better.",
        "~are you afraid too?~ whispered {h+}. ~[very|a lot],~ whispered {k+}.",
        "~I want to go home,~ whispered {k+}. ~so do I,~ {said} {h+}. and then both had to laugh.",
    ]);
    match s.branch(3) {
        0 => {
            s.say(&[
                "then {f+} asked, ~who knows something about {h.love}?~ nobody spoke. but {h} knew it well!",
                "~today we talk about {h.love},~ said {f+}. ^{h+} put up {h.his} hand at once.",
            ]);
            s.fact("what did {h} know [about|something about]?", "{h.who} knew about <{h.love}>.");
        }
        1 => {
            s.say(&["they had to draw [a house|a tree|the sea], but {k} had no [brush|pencil]. {h+} [broke|cut] {h.his} own in two and gave {k} one half.", "{k+} had forgotten {k.his} [pencil|bread|book], so {h+} shared with {k.him}."]);
        }
        _ => {
            s.say(&["~one and one?~ {asked} {f+}. ~two [friends|of us],~ said {k+} and looked at {h}. everybody liked that.", "they had to find a partner, and {h} and {k} [both said ~you~|took hands] at the same time."]);
        }
    }
    s.say(&[
        "in the break they [played|ran|ate their apples] with [all the others|six others].",
        "{soon} the bell rang. was the day over already?",
        "the time [flew|went by like a song].",
    ]);
    s.para();
    s.say(&[
        "~how was it?~ they asked {h} at home. ~{good}! ^tomorrow I go again,~ {said} {h+}.",
        "{h+} had [learned three new words|learned a song|made a friend], and the fear was gone.",
        "~I am not afraid of tomorrow,~ said {h+} {night}.",
    ]);
    good_end(s);
}

/// A grumpy day is turned by a friend who does not give up.
pub(crate) fn grumpy(s: &mut Scene) {
    s.cast("k", |p| p.young());
    s.cast("h", |p| p.young());
    s.sky(|_| true);
    s.place("p", |p| !p.is(DARK));
    s.theme("[a bad mood|{k.intro} who is angry|cheering up a friend]");
    opening(s);
    s.set("why", "[had slept badly|had spilled {k.his} milk|had lost a game|had a hole in {k.his} bag|had hurt {k.his} foot|had broken {k.his} cup]");
    s.say(&[
        "there sat {k.full} with [a dark face|folded arms]. ~go away,~ said {k+}.",
        "~good {good-day}, {k}!~ said {h+}. ~what is good about it?~ growled {k+}.",
    ]);
    s.say(&["{k+} {why}, and now everything was [wrong|stupid|bad].", "that day {k+} {why}."]);
    s.fact("[why was {k} in a bad mood|why was {k} so angry|why was {k} so grumpy]?", "[because |]{k.who} <{why}>.");
    s.fact("who was in a bad mood?", "<{k.full}> was.");
    s.say(&[
        "{h+} told a [joke|funny riddle], but {k+} [did not laugh|only shook {k.his} head].",
        "~shall we play?~ {asked} {h+}. ~no,~ said {k+}. ~shall we eat?~ ~no!~",
        "{h+} [stood on {h.his} head|pulled a funny face]. {k+} [looked away|sighed].",
    ]);
    s.para();
    match s.branch(3) {
        0 => {
            s.say(&[
                "so {h+} just sat down [beside {k}|next to {k}] and said nothing at all.",
                "then {h+} stopped [talking|trying] and only stayed near.",
            ]);
            s.say(&[
                "after a while {k+} leaned on {h}. ~you are still here,~ {k.he} said.",
                "they looked at the {p.found}. {k+} [sighed|breathed out]. ~it is better with you here,~ {k.he} said.",
            ]);
        }
        1 => {
            s.thing("o", |t| t.is(FOOD) && !t.is(BIG | BREAKS));
            s.say(&[
                "{h+} went away, and {k+} thought, ~now I am alone.~ but {h} came back with {o.a}.",
                "without a word {h+} put {o.a} in front of {k}.",
            ]);
            s.say(&["{k+} took a bite, [and another|then two]. ~it is {good},~ {k.he} said, and the corners of {k.his} mouth [went|moved] up.", "they ate it {together}, and {k+} [told {h} everything|began to talk]."]);
            s.fact("what did {h} bring?", "{h.who} brought <{o.a}>.");
        }
        _ => {
            s.thing("o", |t| t.is(SMALL | TOY) && !t.is(FOOD | BIG));
            s.say(&[
                "then {h+} tripped over {o.a} and [landed in a bush|sat down in a puddle|rolled over twice].",
                "just then {h+} stepped on {o.a}, slipped, and [turned round twice|flew through the air].",
            ]);
            s.say(&[
                "{k+} tried not to laugh. but {k.his} mouth [shook|moved], and out it came. ha, ha, ha!",
                "it looked so funny that {k+} [laughed out loud|laughed until {k.he} cried].",
            ]);
            s.fact("what did {h} [trip over|fall over]?", "{h.who} tripped over <{o.a}>.");
        }
    }
    s.say(&[
        "~I am sorry that I was so [rude|grumpy], {h},~ said {k+}.",
        "~it is not your fault,~ said {k+}. ~forgive me, {h}.~",
        "~[everybody|everyone] has such days,~ said {h+}. ~next time it will be me.~",
    ]);
    s.para();
    good_end(s);
}
