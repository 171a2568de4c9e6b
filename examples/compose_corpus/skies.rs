//! The weather and the time of day, with a few ways to say each.

/// One kind of weather.
#[derive(Debug)]
pub(crate) struct Sky {
    pub(crate) adj: &'static str,
    /// Clauses that can stand alone.
    pub(crate) is: &'static str,
    pub(crate) tags: u32,
}

impl Sky {
    /// Whether the weather has any of `tags`.
    pub(crate) fn is(&self, tags: u32) -> bool {
        self.tags & tags != 0
    }
}

pub(crate) const FAIR: u32 = 1;
pub(crate) const WIND: u32 = 2;
pub(crate) const RAIN: u32 = 4;
pub(crate) const SNOW: u32 = 8;
pub(crate) const FOG: u32 = 16;
pub(crate) const STORM: u32 = 32;
pub(crate) const COLD: u32 = 64;

/// Every kind of weather.
#[rustfmt::skip]
pub(crate) static SKIES: &[Sky] = &[
    Sky { adj: "sunny", is: "[the sun was shining|the sun shone warmly|there was not a cloud above]", tags: FAIR },
    Sky { adj: "warm", is: "[the air was warm|a warm breeze was blowing|it was warm in the sun]", tags: FAIR },
    Sky { adj: "bright", is: "[the sky was blue|the whole sky was bright|the light was golden]", tags: FAIR },
    Sky { adj: "hot", is: "[it was hot|the air was hot|everybody looked for shade]", tags: FAIR },
    Sky { adj: "quiet", is: "[the air was still|no leaf was moving|it was calm and quiet]", tags: FAIR },
    Sky { adj: "spring", is: "[the birds were singing|the first flowers were open|the buds were green]", tags: FAIR },
    Sky { adj: "summer", is: "[the bees were humming|the grass was warm|the berries were ripe]", tags: FAIR },
    Sky { adj: "autumn", is: "[the leaves were red and gold|leaves were falling|the air smelled of apples]", tags: FAIR },
    Sky { adj: "cloudy", is: "[white clouds were passing|the clouds hung low|the sky was full of clouds]", tags: FAIR },
    Sky { adj: "fresh", is: "[the grass was wet with dew|the air was fresh|everything smelled new]", tags: FAIR },
    Sky { adj: "windy", is: "[the wind was strong|the wind shook the trees|the wind pulled at every leaf]", tags: WIND },
    Sky { adj: "gusty", is: "[the wind came in gusts|the wind whistled|leaves flew through the air]", tags: WIND },
    Sky { adj: "blowy", is: "[a wild wind was blowing|the wind made the gates bang|the wind chased the clouds]", tags: WIND },
    Sky { adj: "rainy", is: "[it was raining|rain was falling softly|the rain made puddles]", tags: RAIN },
    Sky { adj: "wet", is: "[drops fell from every leaf|the rain would not stop|the paths were wet]", tags: RAIN },
    Sky { adj: "grey", is: "[the sky was grey and it drizzled|a fine rain was falling|grey clouds brought rain]", tags: RAIN },
    Sky { adj: "snowy", is: "[snow lay on the ground|the snow was deep|everything was white]", tags: SNOW | COLD },
    Sky { adj: "frosty", is: "[there was frost on the grass|the puddles were frozen|ice shone on the roofs]", tags: SNOW | COLD },
    Sky { adj: "winter", is: "[the air was icy|big flakes were falling|the trees were bare and white]", tags: SNOW | COLD },
    Sky { adj: "foggy", is: "[the fog was thick|a white fog hid the path|the trees were only shadows]", tags: FOG },
    Sky { adj: "misty", is: "[mist lay over the fields|the mist came up from the water|it was hard to see far]", tags: FOG },
    Sky { adj: "stormy", is: "[thunder rolled|a storm was coming|black clouds were gathering]", tags: STORM },
];

/// Times of day: the part of the day, and words for when.
#[rustfmt::skip]
pub(crate) static TIMES: &[(&str, &str)] = &[
    ("morning", "early in the morning"), ("morning", "right after breakfast"), ("morning", "when the day began"),
    ("morning", "before school"), ("morning", "when the rooster crowed"), ("day", "at noon"),
    ("afternoon", "after lunch"), ("afternoon", "late in the afternoon"), ("afternoon", "after school"),
    ("afternoon", "when the clock struck three"), ("day", "in the middle of the day"), ("evening", "before supper"),
    ("evening", "in the early evening"), ("evening", "at the end of the day"), ("Sunday", "on Sunday"),
    ("Monday", "on Monday"), ("Saturday", "on Saturday"), ("Friday", "on Friday"), ("Tuesday", "on Tuesday"),
    ("Wednesday", "on Wednesday"), ("Thursday", "on Thursday"), ("afternoon", "when the work was done"),
    ("morning", "when everybody was still yawning"), ("day", "on the first day of the holidays"),
];
