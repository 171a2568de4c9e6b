//! Plots in which a thing or somebody is lost and found.

use crate::beats::{around, good_end, opening, thanks};
use crate::cast::{FLY, TINY};
use crate::places::{DARK, GRASS, INDOOR, TREES, WATER};
use crate::scene::Scene;
use crate::skies::{FAIR, FOG, WIND};
use crate::snags;
use crate::things::{BIG, FOOD, LAMP, SHINY, SMALL, SOUNDS, TOY, WEAR};

/// A thing slips away to where its owner cannot reach, and somebody else can.
pub(crate) fn lost(s: &mut Scene) {
    let h = s.cast("h", |p| p.young());
    let o = s.thing("o", |t| t.is(TOY | WEAR | SMALL) && !t.is(BIG | FOOD));
    s.sky(|w| w.is(FAIR | WIND));
    let (snag, k) = snags::choose(s, &h, o);
    s.theme("[somebody who loses {o.a}|{h.intro}|{o.a}]");
    opening(s);
    s.say(&[
        "{h.he} had {o.a} with {h.him}, [{a-gift}|and it was {good}].",
        "{h.he} had brought {h.his} {o.an}, [{a-gift}|because {h.he} liked it so much].",
        "with {h.him} was {h.his} {o.an}, {a-gift}.",
        "{h.he} was {glad}, because {h.his} {o.an} was [new|with {h.him}|so {good}].",
    ]);
    around(s);
    s.para();
    s.say(&[
        "{suddenly}, {h+} [tripped|slipped|stumbled|sneezed], and {o} [flew away|was gone|slipped away].",
        "but when {h+} [looked up|turned around|wanted to go {home}], {o} was gone.",
        "then {h+} [put it down|let go of it] for [a moment|one minute], and {o} [disappeared|was gone].",
    ]);
    s.fact("what did {h} lose?", "{h.who} lost <{o.a}>.");
    s.fact("what was lost?", "it was <{o.a}>.");
    s.fact("why was {h} sad?", "[because |]{h.who} had lost {h.his} <{o.n}>.");
    s.say(&[
        "~[oh no|oh dear|help]! ^where is my {o.n}?~ {cried} {h+}.",
        "~my {o.n}! ^my {good} {o.n}!~ {cried} {h+}.",
        "{h+} felt {sad}. ~I have lost my {o.n},~ {h.he} said.",
    ]);
    if snag != snags::Snag::Hidden {
        s.say(&[
            "it had [landed|ended up] {lies}.",
            "now it was {lies}.",
            "{at-last} {h+} understood. it was {lies}.",
            "{o} had [slipped and was|landed] {lies}.",
        ]);
    }
    snags::cannot(s, snag);
    s.para();
    s.say(&[
        "{soon}, {k.intro} came by. ~why are you {so-sad}, {h}?~ asked {k+}.",
        "{k.intro} heard {h} and came {near}. ~what is wrong?~ {k.he} asked.",
        "along came {k.intro}. ~can I help you, {h}?~ {asked} {k+} {kindly}.",
        "{h+} {hurried} to {k.full}. ~please help me, {k}!~ {h.he} said.",
    ]);
    s.say(&[
        "{h+} {told} {k} [what had happened|about {o}|everything].",
        "~I want my {o.n} back,~ said {h+} {sadly}.",
        "~it is my {o.n},~ {said} {h+}. ~I cannot [get|reach] it.~",
    ]);
    snags::solve(s, snag, &k);
    s.say(&[
        "{o} was {after}, but it was [whole|not broken|as {good} as before].",
        "it was {after}, but {h+} did not mind.",
        "{h+} [wiped|cleaned|dried] {o}, which was {after}, and held it {tight}.",
    ]);
    s.fact("[how was {o.n0} when it came back|what did {o.n0} look like then]?", "it was <{after}>.");
    thanks(s);
    s.para();
    s.extra(&[
        "from then on, {h+} [always kept|kept|carried] {h.his} {o.n} [in a safe place|in a bag|close to {h.him}].",
        "{h+} let {k} [hold|try|look at] {o} too, and {k+} was {glad}.",
    ]);
    good_end(s);
}

/// Somebody finds a thing, wants to keep it, and looks for its owner.
pub(crate) fn owner(s: &mut Scene) {
    s.cast("h", |p| p.young());
    s.thing("o", |t| t.is(SMALL) && !t.is(FOOD));
    s.sky(|w| w.is(FAIR));
    s.place("p", |p| !p.is(DARK));
    s.cast("f", |p| p.rank != 2);
    s.cast("k", |_| true);
    s.theme("[somebody who finds {o.a}|finding {o.a}]");
    opening(s);
    s.say(&[
        "{p.spot} {h.he} saw something. ^it was {o.a}!",
        "there, {p.spot}, lay {o.a}.",
        "{suddenly} {h.his} foot touched {o.a}.",
    ]);
    s.fact("what did {h} find?", "{h.who} found <{o.a}>.");
    s.fact("where did {h} find {o.n0}?", "{h.who} found it {p.prep} <{p}>.");
    s.say(&[
        "~how {good}!~ {h.he} thought. ~it is just right for {o.for}. ^may I keep it?~",
        "{h+} had always wanted {a-n}. ^{h.he} [turned it around|held it up|looked at it] and {smiled}.",
        "~finders are lucky,~ said {h+}. but then {h.he} thought, ~somebody may be {so-sad} without it.~",
    ]);
    s.para();
    s.say(&[
        "first {h+} {asked2} {f.full}. ~is this your {o.n}?~",
        "{h+} {went} to {f.full} and held up {o}. ~have you lost this?~",
    ]);
    s.say(&[
        "~no,~ {said} {f+}. ~my {o.n} is [bigger|smaller|older|not like that]. ^ask {k.full}.~",
        "~it is not mine,~ said {f+}, ~but {k} has been looking for something [all day|since {yesterday}].~",
        "{f+} shook {f.his} head. ~I think I have seen it with {k},~ {f.he} said.",
    ]);
    s.say(&[
        "so {h+} [went on|looked for {k}|walked on] until {h.he} [found|met] {k.full}, who looked {so-sad}.",
        "{k.full} was sitting [on a step|on a stone|by the path] and [sighed|looked at the ground|cried a little].",
    ]);
    s.say(&["~is this {o.n} yours?~ {asked} {h+}.", "{h+} held out {o} [and waited|without a word]."]);
    s.say(&[
        "{k+} jumped up. ~my {o.n}! ^I thought it was gone for ever!~ {k.he} {cried}.",
        "the eyes of {k} [shone|grew big]. ~yes! ^I lost it {p.at}!~ {k.he} {cried}.",
        "~oh, {h}, you have found my {o.n}!~ {cried} {k+} and [danced|jumped for joy|hugged {h}].",
    ]);
    s.fact("[whose {o.n} was it|who did {o.n0} belong to|who had lost {o.n0}]?", "it belonged to <{k}>.");
    s.fact("who did {h} ask first?", "{h.who} asked <{f.full}> first.");
    s.para();
    s.say(&[
        "{h+} no longer wanted to keep {o}. seeing {k} so {glad} was [better|much better|the best present].",
        "~because you were honest, you may [play with|use|borrow] it [on Sundays|whenever you like],~ said {k+}.",
        "{k+} gave {h} [a sweet bun|an apple|a big kiss|half of {k.his} cake] to say thanks.",
    ]);
    good_end(s);
}

/// A small one is lost in the fog, and a sound or a light shows the way.
pub(crate) fn fog(s: &mut Scene) {
    s.cast("h", |p| p.young());
    s.cast("k", |p| {
        p.rank == 1 && p.can(TINY) || ["lamb", "hedgehog", "rabbit", "frog", "hen", "duck"].contains(&p.kind)
    });
    let light = s.chance(50);
    s.thing("o", |t| if light { t.is(LAMP) } else { t.is(SOUNDS) && (t.is(SMALL) || t.name == "horn") });
    s.sky(|w| w.is(FOG));
    s.place("p", |p| !p.is(INDOOR | DARK));
    s.theme("[the fog|somebody who is lost in the fog|{k.intro}]");
    opening(s);
    s.say(&[
        "{suddenly} {h.he} heard a small voice in the fog. ~where am I? ^where is my home?~",
        "somewhere in the {white} fog somebody was crying.",
        "~hello? ^is anybody there?~ [called|cried] a [thin|small|frightened] voice from far away.",
    ]);
    s.say(&[
        "it was {k.full}, who had lost the way.",
        "~that is {k}!~ thought {h+}. ~{k.he} must be lost.~",
        "{h+} knew that voice. it was {k.full}.",
    ]);
    s.fact("[who was lost|who had lost the way|who was crying in the fog]?", "<{k.full}> was.");
    s.say(&[
        "{h+} could not see {k}, and {k} could not see {h}.",
        "{h+} took one step, [then two|and another], but there was only fog.",
        "~stay where you are, {k}!~ {cried} {h+}, but the fog [hid everything|was too thick].",
    ]);
    s.para();
    s.say(&[
        "then {h+} {idea}.",
        "{h+} [stood still and thought|thought for a moment].",
        "what could {h} do? ^{h.he} {idea}.",
    ]);
    if light {
        s.say(&[
            "{h.he} {hurried} {home}, fetched {o.a} and held it up {high}.",
            "{h.he} had {o.a} in {h.his} bag. ^{h.he} lit it and [swung it|held it high|put it on a post].",
        ]);
        s.say(&[
            "~walk to the light, {k}!~ {h.he} {cried}.",
            "~{k}, do you see my light?~ {h.he} {cried}. ~come to it!~",
            "{h+} [held|swung] {o} {high} and called the name of {k}.",
            "~this way, {k}!~ {cried} {h+} and [held|swung] {o} [from side to side|{high}].",
            "in the fog it [looked like|was like] a little [moon|star|sun]. ~can you see it, {k}?~ {asked} {h+}.",
        ]);
        s.say(&[
            "~yes! ^I see something [bright|yellow|shining]!~ called {k+}, and [slowly|step by step] {k.he} came {near}.",
            "{k+} saw the [glow|light] and followed it, [one step|hop by hop|a little] at a time.",
        ]);
        s.fact("how did {k} find the way?", "{k.who} followed the <light;glow;{o.n}>.");
        s.fact("what did {h} hold up?", "{h.who} had <{o.a}>.");
    } else {
        s.say(&[
            "{h.he} took {h.his} {o.an} and [made it sound|began to play|played three notes].",
            "in {h.his} bag was {o.a}. ^{h.he} [took it out|got it] and made a loud [sound|noise].",
        ]);
        s.say(&[
            "~come to the sound, {k}!~ {h.he} {cried}, and {o} sounded again.",
            "~{k}, do you hear this?~ {cried} {h+} and [played|sounded] {o} again.",
            "~follow the sound, {k}!~ {h.he} {cried}. ~I am here!~",
            "again and again {h+} [played|sounded] {o} for {k}.",
            "loud and clear, {o} called through the fog.",
        ]);
        s.say(&[
            "{k+} [pricked up {k.his} ears|listened]. [left|right]? no, straight on! {slowly2} {k.he} came {near}.",
            "{k+} followed the sound, [step by step|through the wet grass], until {k.he} [bumped into|stood before] {h}.",
        ]);
        s.fact("how did {k} find the way?", "{k.who} followed the <sound;{o.n}>.");
        s.fact("what did {h} make a sound with?", "[it was|with] <{o.a}>.");
    }
    s.para();
    s.say(&[
        "~there you are!~ {cried} {h+} and [hugged {k}|took {k} in both arms].",
        "~I was {so-afraid},~ said {k+}, ~but then I knew that you were there.~",
        "{k+} [was shaking|shook with cold], so {h} gave {k.him} [a warm scarf|hot milk|a blanket].",
    ]);
    s.say(&[
        "{together}, they walked to the home of {k}, {k.home}.",
        "{h+} took {k} {home}, {k.home}, where it was [warm|safe|dry].",
    ]);
    s.fact("[where did {k} live|where was the home of {k}]?", "{k.who} lived <{k.home}>.");
    good_end(s);
}

/// Hide and seek: one hides so well that nobody finds them.
pub(crate) fn hide(s: &mut Scene) {
    s.cast("h", |p| p.young());
    s.cast("k", |p| p.young());
    s.cast("f", |p| p.young());
    s.sky(|w| w.is(FAIR));
    s.place("p", |p| p.is(GRASS | TREES | INDOOR) && !p.is(WATER));
    s.theme("[hide and seek|a game {p.at}|{h}, {k} and {f}]");
    opening(s);
    s.say(&[
        "{k.full} and {f.full} were there too. ~let us play hide and seek,~ said {f+}.",
        "{h.he} was not alone. {k.full} and {f.full} wanted to play hide and seek.",
    ]);
    s.say(&[
        "{f+} [shut {f.his} eyes|turned to the wall] and counted to [ten|twenty|thirty].",
        "~I will count,~ said {f+}. ~one, two, three...~ and [off they ran|everybody ran].",
    ]);
    s.say(&[
        "{k+} hid [behind a barrel|behind a door|under a rug|behind a tree], but {k.his} [foot|nose|back] could be seen, and {f+} found {k.him} {fast2}.",
        "{k+} began to giggle, so {f+} found {k.him} {fast2}.",
    ]);
    s.say(&[
        "{h+} hid {p.spot} and [did not move|kept very still|made no sound].",
        "but {h+} had [crept|slipped] {p.spot}, and [nobody|no one] saw {h.him}.",
    ]);
    s.fact("where did {h} hide?", "{h.who} hid <{p.spot}>.");
    s.fact("[who counted|who had to look for the others]?", "<{f.full}> counted.");
    s.fact("who was found first?", "<{k}> was found first.");
    s.para();
    s.say(&[
        "{f} and {k} {look} everywhere. ~{h}! ^where are you?~ they called.",
        "~where can {h} be?~ {asked} {k+}. they {look} among the {p.found}, but {h} was not there.",
    ]);
    match s.branch(3) {
        0 => {
            s.say(&[
                "it was so [warm|soft|quiet] there that {h} had fallen asleep.",
                "{h} did not hear them, for {h.he} had fallen [fast |]asleep.",
            ]);
            s.say(&[
                "then {f+} heard [a snore|somebody snoring|a funny noise]. ~{p.spot}!~ {f.he} whispered.",
                "~listen,~ said {k+}. ~what is that? ^somebody is snoring {p.spot}!~",
            ]);
            s.fact("[what did {h} do there|why did {h} not hear them]?", "{h.who} had fallen <asleep>.");
        }
        1 => {
            s.say(&[
                "time went by, and {h+} began to feel [lonely|cold|hungry]. it was [no fun|dull] to be hidden so well.",
                "at first {h+} was proud. but {soon} {h.he} felt {lonely}.",
            ]);
            s.say(&[
                "so {h+} began to [sing|hum|whistle] [very softly|a little tune].",
                "~{cuckoo}!~ called {h+} from {h.his} hiding place.",
            ]);
            s.fact("how did {h} feel?", "{h.who} felt <lonely;alone;cold;hungry>.");
        }
        _ => {
            s.say(&[
                "then a [feather|leaf|bit of dust] [tickled|touched] the nose of {h}. ~atchoo!~ {h.he} sneezed.",
                "{h+} tried not to sneeze, but [it was no use|{h.he} could not stop it]. ~atchoo!~",
            ]);
            s.fact("how was {h} found?", "{h.who} <sneezed>.");
        }
    }
    s.say(&[
        "~[found you|there you are|we have got you]!~ {cried} {f} and {k}, and {h+} [laughed|came out|rubbed {h.his} eyes].",
        "{k+} looked {p.spot} and [found|pulled out] {h}. everybody laughed.",
    ]);
    s.para();
    s.say(&[
        "~you [hide|are hidden] better than anyone, {h},~ said {f+}. ~next time I will [take a lamp|look there first].~",
        "~now it is my turn to count,~ said {h+}, and the game began again.",
        "~you win, {h}!~ said {k+}, and they shared [apples|nuts|some cake|a jug of milk].",
    ]);
    good_end(s);
}

/// A bird with an eye for bright things has taken one, and a fair swap brings it back.
pub(crate) fn swap(s: &mut Scene) {
    s.cast("k", |p| ["crow", "pigeon", "finch"].contains(&p.kind));
    s.cast("h", |p| p.young() && !p.can(FLY));
    s.cast("f", |p| p.rank == 2);
    s.thing("o", |t| t.is(SHINY) && t.is(SMALL));
    s.thing("u", |t| t.is(SHINY) && t.is(SMALL));
    s.sky(|w| w.is(FAIR));
    s.place("p", |p| p.is(TREES | GRASS));
    s.theme("[{k.intro}|a bird that takes {o.a}|a fair swap]");
    opening(s);
    s.say(&[
        "{f.full} had lent {h.him} {o.a}. ~take good care of it,~ {f.he} had said.",
        "{h.he} was carrying {o.a} that belonged to {f.full}.",
    ]);
    s.say(&[
        "{h+} laid it [on a stone|in the grass|on a bench] and [looked at|counted] the {p.found}.",
        "because {h.he} was [hot|{tired}], {h+} put {o} down and [rested|closed {h.his} eyes].",
    ]);
    s.say(&[
        "down came {k.intro}, [snatched|picked up|took] {o}, and flew off!",
        "flap, flap! ^{k.intro} {took} {o} and was gone.",
    ]);
    s.fact("[who took {o.n0}|who flew away with {o.n0}]?", "<{k.full}> took it.");
    s.fact("what did {k} take?", "{k.who} took <{o.a}>.");
    s.fact("who did {o.n0} belong to?", "it belonged to <{f.full}>.");
    s.para();
    s.say(&[
        "~that is not yours, {k}!~ {cried} {h+}.",
        "~give it back, {k}!~ {cried} {h+} [and ran after the bird|and stamped on the ground].",
    ]);
    s.say(&[
        "~I found it,~ {said} {k+} [from above|from a branch|from the roof], ~and it shines so well!~",
        "{k+} [hopped|flew] to a [branch|post|roof] with {o}. ~nothing else shines like that,~ {k.he} said.",
        "~please, {h}, let me keep {o},~ begged {k+}. ~my nest is so [dark|plain].~",
        "~but it is so bright,~ {said} {k+} from [a branch|the roof|a post]. ~I have nothing bright at home.~",
        "{k+} sat [in a tree|on the fence]. ~I only wanted to look at something that shines,~ {k.he} said.",
    ]);
    s.say(&[
        "{h+} {idea}. ~would you like {u.a} instead?~ {h.he} asked. ~it is mine, and I can give it away.~",
        "~look, {k}, I have {u.a},~ said {h+}. ~will you take it [instead|and give me {o.n0}]?~",
        "so {h+} held up {u.a}. ~{k}, this is for you, if you give {o} back!~",
        "~this {u.n} [shines|is bright] too, {k},~ said {h+} and showed {u.a}.",
        "{h+} felt in {h.his} bag and found {u.a}. ~let us swap,~ {h.he} said {kindly}.",
    ]);
    s.fact("what did {h} give to {k}?", "{h.who} gave {k.him} <{u.a}>.");
    s.fact("what did {k} get instead?", "{k.who} got <{u.a}>.");
    s.say(&[
        "{k+} turned {k.his} head [left and right|to one side]. ~{u.a}? ^oh yes!~ and down {k.he} came with {o}.",
        "{k+} could not say no to {h}. ^{k.he} [hopped|flew] down, put {o} on the ground and took the {u.n}.",
        "~agreed, {h}!~ {cried} {k+}. so {k} got the {u.n}, and {h} got {o} back.",
        "{k+} looked at {u} for a long time. then {k.he} {nodded-yes} and gave back {o}.",
    ]);
    s.extra(&[
        "~I am sorry,~ said {k+}. ~next time I will ask.~",
        "~it was wrong to take it,~ said {k+}. ~please do not be angry, {h}.~",
    ]);
    s.para();
    s.say(&[
        "{h+} {hurried} to {f.full} with {o} and {told} {f.him} everything.",
        "{that-evening}, {h+} brought {o} to {f.full}.",
    ]);
    s.say(&[
        "~you [did well|were clever], {h},~ said {f+}, and [gave {h.him} a plum|patted {h.his} head|was {glad}].",
        "{f+} laughed. ~now {k} has a treasure, and I have mine,~ {f.he} said.",
    ]);
    good_end(s);
}
