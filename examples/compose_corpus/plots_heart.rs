//! Plots about feelings: fear, anger, a lie, loneliness, sharing.

use crate::beats::{good_end, opening};
use crate::cast::{EYES, WISE};
use crate::places::{DARK, GRASS, INDOOR, TOWN, WATER};
use crate::scene::Scene;
use crate::skies::{COLD, FAIR, WIND};
use crate::things::{BIG, BREAKS, FOOD, LAMP, TOY};

/// A sound in the night is frightening until somebody looks.
pub(crate) fn night(s: &mut Scene) {
    s.cast("h", |p| p.young() && !p.can(EYES));
    s.cast("k", |p| p.young() && !p.can(EYES));
    s.thing("o", |t| t.is(LAMP));
    s.sky(|w| w.is(FAIR | WIND));
    s.place("p", |p| !p.is(TOWN | WATER));
    s.hour("evening", "[before supper|after supper|in the early evening|late in the day]");
    s.set("noise", "[tap, tap, tap|scratch, scratch|hoo, hoo|knock, knock|creak, creak|drip, drip]");
    s.theme("[the dark|somebody who is afraid of the dark|a strange noise in the night]");
    opening(s);
    s.say(&[
        "{h.he} stayed so long that it [grew|became] dark.",
        "{h+} [played|dreamed|stayed] on and on, until [night came|it was dark].",
        "soon it was dark around {h}, and [no star shone|the moon was hidden].",
        "{h.he} did not see how dark it [was getting|grew].",
        "then [night came|it got dark], and there was no moon.",
    ]);
    s.say(&[
        "~{noise},~ it went [in the dark|behind {h.him}].",
        "then {h+} heard something [in the dark|behind a bush|quite near]. ~{noise}!~",
        "{h+} [stood still|turned around|held {h.his} breath]. ~{noise},~ went something [near|close to] {h.him}.",
        "{suddenly} there was a noise. ~{noise}!~",
        "{noise}! ^what was that?",
    ]);
    s.say(&[
        "{h+} was {afraid}. ~is it a [monster|ghost|giant]?~ {h.he} whispered.",
        "the heart of {h} [beat fast|jumped]. ^{h.he} did not dare to move.",
        "{h+} [shook|hid {h.his} face] and thought of [monsters|big teeth|ghosts].",
    ]);
    s.fact("how did {h} feel in the dark?", "{h.who} was <afraid;scared;frightened>.");
    s.para();
    s.say(&[
        "then {k.full} came with {o.a}. ~why are you shaking, {h}?~ {k.he} asked.",
        "a light came near. it was {k.full}, who [carried|held] {o.a}.",
        "~do not be afraid,~ said a friendly voice. it was {k.full} with {o.a}.",
    ]);
    s.say(&[
        "~there is [something|a monster] out there,~ whispered {h+}. ~let us look {together},~ said {k+}.",
        "{k+} listened too. ~come, we will go and see,~ {k.he} said and took {h} by the arm.",
    ]);
    s.say(&[
        "with {o} in front, they went [nearer and nearer|closer|step by step].",
        "{k+} held up {o}, and they [crept|walked|went] towards the noise.",
    ]);
    match s.branch(5) {
        0 => {
            s.set("cause", "[a branch that moved in the wind|a loose board that moved in the wind]");
        }
        1 => {
            s.set("cause", "[a little frog that was hunting flies|a small beetle that had lost its way]");
        }
        2 => {
            s.set("cause", "[water that fell on a tin pot|drops that fell into a bucket]");
        }
        3 => {
            s.set("cause", "[a baby owl that wanted its supper|a young owl that could not sleep]");
        }
        _ => {
            s.set("cause", "[a hedgehog that was looking for food|an old cat that wanted to come in]");
        }
    }
    s.say(&[
        "and what did they find? only {cause}!",
        "there was no monster at all. it was {cause}.",
        "~look, {h},~ laughed {k+}. it was only {cause}.",
    ]);
    s.fact("[what made the noise|what was the noise|what did they find]?", "it was <{cause}>.");
    s.fact("who came with {o.a}?", "<{k.full}> came with it.");
    s.fact("what did {k} carry?", "{k.who} had <{o.a}>.");
    s.para();
    s.say(&[
        "{h+} [laughed|had to laugh] too, and the fear [was gone|flew away].",
        "~so small, and I was {so-afraid}!~ said {h+}.",
        "~when I know what it is, I am not afraid,~ said {h+}.",
    ]);
    s.extra(&[
        "{k+} gave {o} to {h} [for the way home|to keep|for that night].",
        "~I was a little afraid too,~ {k+} [whispered|said]. ~but two are [braver|stronger] than one.~",
    ]);
    good_end(s);
}

/// Somebody who has food shares it with somebody who has none.
pub(crate) fn share(s: &mut Scene) {
    s.cast("h", |p| p.young());
    s.cast("k", |p| p.young());
    s.thing("o", |t| t.is(FOOD) && t.name != "jar of jam");
    s.sky(|_| true);
    s.place("p", |p| !p.is(DARK));
    s.theme("[sharing|{o.a}|a hungry friend]");
    opening(s);
    s.say(&[
        "in {h.his} bag was {o.a}, and {h.he} had looked forward to it [all {t}|since breakfast|for hours].",
        "{h.he} sat down to eat {h.his} {o.an}. [it smelled so {good}!|yum!|how {good} it looked!]",
        "{h.he} was hungry, and {h.he} had {o.a} for [lunch|later|the way].",
    ]);
    s.fact("[what did {h} have to eat|what food did {h} have]?", "{h.who} had <{o.a}>.");
    s.say(&[
        "just then {k.intro} came by [and stopped|with an empty bag|and looked at {o}].",
        "then {h+} saw {k.full}, who sat [alone|near by] and looked {so-sad}.",
        "~grumble,~ went a stomach. it was the stomach of {k.full}.",
    ]);
    s.set("why", "[lost {k.his} lunch in the river|forgotten {k.his} lunch|given {k.his} lunch to the birds|dropped {k.his} lunch in the mud|not eaten since yesterday]");
    s.say(&[
        "~I have nothing to eat,~ said {k+}, who had {why}. {k.his} voice was [quiet|small|sad].",
        "{k+} had {why}, and now {k.he} was very hungry.",
        "~are you not eating, {k}?~ {asked} {h+}. but {k+} had {why}.",
    ]);
    s.fact("why was {k} hungry?", "[because |]{k.who} had <{why}>.");
    s.fact("who was hungry?", "<{k.full}> was hungry.");
    s.fact("who had nothing to eat?", "<{k.full}> had nothing.");
    s.para();
    s.say(&[
        "{h+} looked at {o}. it was [not big|enough for one]. [should|could] {h.he} give half of it away?",
        "~if I share, I will have only half,~ thought {h+}. ~but {k} has nothing.~",
        "at first {h+} wanted to eat it all alone. but {k} [swallowed hard|looked so hungry].",
    ]);
    match s.branch(3) {
        0 => {
            s.say(&[
                "~sit down with me, {k},~ said {h+}. ~one half for you, and one half for me.~",
                "{h+} made two parts of {o} and gave {k} the bigger one.",
            ]);
            s.say(&[
                "they ate [side by side|and talked], and to {h} nothing had ever tasted so {good}.",
                "{k+} ate [slowly|every bit] and {smiled}.",
            ]);
        }
        1 => {
            s.say(&[
                "~eat, {k},~ said {h+} and held out {o}. ~I can eat later.~",
                "{h+} pushed {o} over to {k}. ~you need it more than I do,~ {h.he} said.",
            ]);
            s.say(&[
                "~no, both of us or nobody,~ said {k+}. so they shared it {together}.",
                "{k+} ate one half and gave the other half back, {smiling}.",
            ]);
        }
        _ => {
            s.thing("u", |t| t.is(FOOD));
            s.say(&["{h+} gave half of {o} to {k}. ~friends share,~ {h.he} said."]);
            s.say(&[
                "the next day {k+} came back with {u.a}. ~now I have something for you, {h},~ {k.he} said.",
                "and the day after, {k} brought {u.a}, and they shared that too.",
            ]);
            s.fact("[what did {k} bring the next day|what did {k} bring later]?", "{k.who} brought <{u.a}>.");
        }
    }
    s.para();
    s.extra(&[
        "~half with a friend is more than a whole alone,~ said {h+}.",
        "{h+} was [not quite full|still a bit hungry], but {h.his} heart was [warm|light].",
    ]);
    good_end(s);
}

/// A borrowed thing breaks; the truth is hard to say and good to have said.
pub(crate) fn truth(s: &mut Scene) {
    s.cast("h", |p| p.young());
    s.cast("k", |_| true);
    s.thing("o", |t| t.is(BREAKS));
    s.sky(|w| w.is(FAIR));
    s.place("p", |p| p.is(INDOOR) && !p.is(DARK));
    s.theme("[telling the truth|a broken {o.n}|somebody who breaks {o.a}]");
    opening(s);
    s.say(&[
        "on a [shelf|table|box] stood {o.a} that belonged to {k.full}.",
        "{k.full} had left {k.his} {o.an} there. ~be careful with it, {h},~ {k.he} had said.",
    ]);
    s.say(&[
        "{h+} only wanted to [look at it|touch it|see it from all sides], but it [fell|slipped] and broke.",
        "{h+} [danced|jumped|turned] around, bumped into it, and crash! ^{o} was broken.",
        "{suddenly} {h+} [sneezed|slipped|tripped]. crash! ^{o} lay on the floor, broken.",
    ]);
    s.fact("what did {h} break?", "{h.who} broke <{o.a}>.");
    s.fact("what was broken?", "it was <{o.a}>.");
    s.fact("who broke {o.n0}?", "<{h}> broke it.");
    s.fact("[whose {o.n} was it|who did {o.n0} belong to]?", "it belonged to <{k}>.");
    s.say(&[
        "~oh no! ^what [will {k} say|shall I do]?~ whispered {h+}.",
        "{h+} hid the pieces {p.spot} and [ran away|sat down].",
        "{h.his} face [grew|was] hot. nobody had seen it.",
    ]);
    s.para();
    s.say(&[
        "{soon} {k+} came [back|in]. ~where is my {o.n}?~ {k.he} asked.",
        "then {k+} came and looked for {o}. ~{h}, was it not here?~",
        "{soon} {h+} heard the steps of {k}. ~I want my {o.n},~ said {k+}.",
        "~have you seen my {o.n}, {h}?~ {asked} {k+} {that-evening}.",
    ]);
    s.say(&[
        "~maybe the [wind|cat] did it,~ {h+} wanted to say. but [the words would not come|it was not true].",
        "{h+} looked at {k} and felt [hot|cold|ill]. ~shall I tell {k.him}?~ {h.he} thought.",
        "~{k} is my friend,~ thought {h+}. ~I must not lie to {k.him}.~",
        "{h+} [looked at {h.his} feet|turned red]. a lie would be easy, but it would [hurt|be wrong].",
        "{h+} swallowed. {h.his} stomach felt [heavy|like a stone].",
    ]);
    s.say(&[
        "~I broke it, {k}. ^I am so sorry,~ {h.he} said [at last|with tears in {h.his} eyes].",
        "~{k}, I broke your {o.n},~ said {h+} [at last|very softly|and cried]. ~forgive me.~",
        "~it was not the wind, {k}. ^it was me,~ said {h+} and [wept|looked down].",
        "{h+} took {k} by the {k.hand}. ~I have broken your {o.n},~ {h.he} said.",
        "then {h+} took a deep breath. ~it was me, {k},~ {h.he} said. ~I am sorry.~",
    ]);
    s.fact("what did {h} tell {k}?", "{h.who} told {k.him} <the truth>.");
    s.say(&[
        "{k+} was quiet [for a moment|for a while]. ~it was brave to tell me,~ {k.he} said.",
        "{k+} put an arm around {h}. ~now I know that I can trust you,~ {k.he} said.",
        "~I am sad about my {o.n},~ said {k+}, ~but I am proud of you, {h}.~",
        "~thank you for the truth,~ said {k+}. ~that is worth more than {a-thing}.~",
        "{k+} was sad about {o}, but {k.he} [took {h} by the hand|was not angry].",
    ]);
    s.para();
    s.say(&[
        "the two of them [glued|put] the pieces {together2}, and {soon} {o} [stood there|was whole] again.",
        "they mended {o} with [glue|wax|string and glue]. one could [hardly|still] see the crack.",
        "{h+} worked [all week|every day] until {h.he} could give {k} a new {o.n}.",
    ]);
    s.say(&[
        "{h+} hugged {k} and was [glad|happy] to have said it.",
        "{h} and {k} [had a cup of tea|went for a walk|played a game], and all was well again.",
        "~the truth is [hard|heavy] at first and light later,~ said {h+} to {k}.",
        "~will you lend me something again, {k}?~ {asked} {h+}. ~of course,~ said {k+}.",
        "that night {h+} slept [well|like a stone], for there was no lie in {h.his} heart.",
        "{h+} felt as light as [a feather|a bird|a leaf], for {h.he} had told the truth.",
        "~next time I will be careful,~ {h+} promised, and {k} {nodded-yes}.",
    ]);
    good_end(s);
}

/// Two want the same thing, quarrel, and find a fair way.
pub(crate) fn quarrel(s: &mut Scene) {
    s.cast("h", |p| p.young());
    s.cast("k", |p| p.young());
    s.cast("f", |p| p.can(WISE));
    s.thing("o", |t| t.is(TOY) && !t.is(BIG) || t.name == "wagon" || t.name == "sled");
    s.sky(|w| w.is(FAIR | COLD));
    s.place("p", |p| p.is(GRASS | INDOOR | TOWN));
    s.theme("[a quarrel|two friends who want the same {o.n}|taking turns]");
    opening(s);
    s.say(&[
        "{k.full} was there too, and between them lay {o.a}.",
        "{h.he} and {k.full} found {o.a} {p.spot}.",
        "{h} and {k.full} had only one toy, {o.a}.",
    ]);
    s.say(&[
        "~I want it first!~ {cried} {h+}. ~no, I do!~ {cried} {k+}.",
        "~it is my turn,~ said {h+}. ~you had it [yesterday|before],~ said {k+}.",
        "{h+} pulled on one side, and {k+} pulled on the other.",
    ]);
    s.fact("[what did {h} and {k} both want|what did they quarrel about]?", "they both wanted <{o.a}>.");
    s.fact("[who stopped the quarrel|who came to help]?", "<{f.full}> did.");
    s.say(&[
        "they pulled so hard that {o} [fell into a puddle|nearly broke|fell down].",
        "~then I will not play with you,~ said {k+} and [turned away|sat down alone].",
        "{soon} both were [angry|red in the face|close to tears], and nobody could play.",
    ]);
    s.para();
    s.say(&[
        "{f.full} had heard the noise. ~what is the matter?~ {f.he} asked.",
        "~stop, stop!~ said {f.full}, who was coming by.",
        "{f.full} came and sat down between {h} and {k}.",
    ]);
    match s.branch(3) {
        0 => {
            s.set("n", "[ten|twenty|fifty]");
            s.say(&[
                "~one plays while the other counts to {n},~ said {f+}. ~then you change.~",
                "{f+} smiled. ~take turns,~ {f.he} said. ~count to {n} and change.~",
            ]);
            s.say(&[
                "so {h+} played and {k+} counted, and then {k} played and {h} counted.",
                "they tried it. [first|at first] {k} counted very fast, and both {smiled}.",
            ]);
            s.fact("what did {f} tell them to do?", "{f.who} told them to <take turns>.");
            s.fact("how far did they count?", "they counted to <{n}>.");
        }
        1 => {
            s.say(&[
                "~can you not use it {together}?~ {asked} {f+}. ~one alone is [dull|no fun].~",
                "~I know a game with {a-o} for two,~ said {f+}.",
            ]);
            s.say(&[
                "{h} and {k} looked at each other. {together} they [made up|thought of|began] a new game with {o}.",
                "so they played with {o} {together}, and it was [much better|twice as much fun].",
            ]);
            s.fact("what did {h} and {k} do in the end?", "they played <together>.");
        }
        _ => {
            s.say(&[
                "~I will keep {o} until you are {friends} again,~ said {f+} [calmly|quietly].",
                "{f+} took {o}. ~which is better,~ {f.he} asked, ~a toy or a friend?~",
            ]);
            s.say(&[
                "{h+} thought about it. ~you may have it first, {k},~ {h.he} said. ~no, you, {h},~ said {k+}.",
                "it was quiet for a while. ~I am sorry, {k},~ said {h+}. ~I am sorry too,~ said {k+}.",
            ]);
            s.fact("who took {o.n0} away?", "<{f.full}> took it.");
        }
    }
    s.para();
    s.extra(&["{f+} {nodded-yes} and went on {f.his} way.", "~that is much better,~ said {f+}."]);
    good_end(s);
}

/// A newcomer is shy until somebody asks the right question.
pub(crate) fn newcomer(s: &mut Scene) {
    s.cast("k", |p| {
        p.young()
            && ["shy", "quiet", "nervous", "serious", "dreamy", "calm", "gentle", "thoughtful"].contains(&p.nature)
    });
    s.cast("h", |p| p.young());
    s.sky(|_| true);
    s.place("p", |p| p.is(GRASS | TOWN | WATER));
    s.theme("[a new friend|{k.intro}|somebody who is new]");
    opening(s);
    s.say(&[
        "there {h.he} saw somebody new, {k.intro}.",
        "somebody was sitting there whom {h} did not know, {k.intro}.",
        "{k.intro} had just come to live {k.home}, and {k.he} knew nobody.",
    ]);
    s.fact("[who was new|who was the new one]?", "<{k.full}> was.");
    s.say(&[
        "~hello!~ said {h+}. but {k+} [looked away|said nothing|hid {k.his} face].",
        "{h+} waved, but {k+} [only looked at the ground|did not wave back].",
        "~do you want to play?~ {asked} {h+}. {k+} shook {k.his} head and [went away|was silent].",
    ]);
    s.say(&[
        "~maybe {k.he} does not like me,~ thought {h+}.",
        "was {k+} [proud|angry]? no, {k.he} was only {afraid}.",
        "{h+} felt {sad2} and wondered what to do.",
    ]);
    s.para();
    match s.branch(3) {
        0 => {
            s.say(&[
                "the next day {h+} [came again|sat down near {k}] and asked, ~what do you like best, {k}?~",
                "then {h+} had an idea and asked, ~what do you like to do, {k}?~",
            ]);
            s.say(&[
                "~I like {k.love},~ said {k+} very softly.",
                "{k+} looked up. ~I like {k.love},~ {k.he} whispered.",
            ]);
            s.say(&[
                "~really? ^show me!~ {cried} {h+}. and {k} [did|showed {h.him}], and {h} {watched}.",
                "~and I like {h.love},~ said {h+}. so they talked about both until {dark-time}.",
            ]);
            s.fact("what did {k} like [best|to do]?", "{k.who} liked <{k.love}>.");
        }
        1 => {
            s.thing("o", |t| t.is(FOOD));
            s.say(&[
                "the next {morning-day} {h+} put {o.a} at the door of {k} and [hid|went away].",
                "{h+} [left|put] {o.a} where {k} would find it, with a [flower|note|red leaf].",
            ]);
            s.say(&[
                "{k+} found it and {smiled-plain}. ~was it you, {h}?~ {k.he} asked. ~that was kind.~",
                "when {k+} saw {o}, {k.he} came to {h} and said, ~let us eat it {together}.~",
            ]);
            s.fact("what did {h} give to {k}?", "{h.who} gave {k.him} <{o.a}>.");
        }
        _ => {
            s.thing("o", |t| t.is(TOY) && !t.is(BIG));
            s.say(&[
                "{h+} began to play with {o.a}, [all alone|not far from {k}].",
                "so {h+} took {o.a} and played [near|beside] {k} without a word.",
            ]);
            s.say(&[
                "[slowly|bit by bit], {k+} came nearer. ~may I try?~ {k.he} asked.",
                "{soon} {k+} [could not sit still|forgot to be shy]. ~can I have a turn?~ {k.he} whispered.",
            ]);
            s.say(&["~of course!~ said {h+} and gave {o} to {k}.", "{h+} held out {o} and {smiled-plain}."]);
            s.fact("what did {h} play with?", "{h.who} played with <{o.a}>.");
        }
    }
    s.para();
    s.say(&[
        "~I was [only shy|afraid that you would laugh],~ said {k+} later. ~now I am not.~",
        "{k+} was not [shy|quiet] any more. ^{k.he} [talked and talked|told jokes|laughed out loud].",
        "the next {morning-day} {k+} was the first to wave.",
    ]);
    good_end(s);
}
