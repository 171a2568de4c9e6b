//! The list of plots, and the telling of one story: a plot is drawn, told in a scene, and kept when it came out new.

use std::collections::HashSet;

use crate::cast::Person;
use crate::facts::Fact;
use crate::questions;
use crate::rng::Rng;
use crate::scene::Scene;
use crate::variety::{runs, words};
use crate::{plots_heart, plots_help, plots_learn, plots_lost, plots_make, plots_play, plots_road};

/// A plot tells itself into a scene.
pub(crate) type Plot = fn(&mut Scene);

/// Every plot, with its name.
pub(crate) static PLOTS: &[(&str, Plot)] = &[
    ("lost", plots_lost::lost),
    ("wind", plots_road::wind),
    ("owner", plots_lost::owner),
    ("fog", plots_lost::fog),
    ("hide", plots_lost::hide),
    ("swap", plots_lost::swap),
    ("stuck", plots_help::stuck),
    ("ill", plots_help::ill),
    ("heavy", plots_help::heavy),
    ("nest", plots_help::nest),
    ("bridge", plots_road::bridge),
    ("shelter", plots_help::shelter),
    ("night", plots_heart::night),
    ("share", plots_heart::share),
    ("truth", plots_heart::truth),
    ("quarrel", plots_heart::quarrel),
    ("newcomer", plots_heart::newcomer),
    ("race", plots_play::race),
    ("song", plots_play::song),
    ("gift", plots_make::gift),
    ("house", plots_make::house),
    ("bake", plots_make::bake),
    ("seed", plots_make::seed),
    ("boat", plots_play::boat),
    ("figure", plots_play::figure),
    ("mend", plots_make::mend),
    ("learn", plots_learn::learn),
    ("errand", plots_road::errand),
    ("earn", plots_learn::earn),
    ("star", plots_learn::star),
    ("letter", plots_road::letter),
    ("school", plots_learn::school),
    ("grumpy", plots_learn::grumpy),
    ("trail", plots_road::trail),
];

/// A finished story.
pub(crate) struct Story {
    pub(crate) plot: &'static str,
    pub(crate) text: String,
    pub(crate) facts: Vec<Fact>,
    /// How many of them, the first ones, belong to the plot.
    pub(crate) n_own_facts: usize,
    pub(crate) themes: Vec<String>,
    pub(crate) people: Vec<Person>,
}

/// Tells stories, none of which shares a run of twelve words with another.
pub(crate) struct Teller {
    rng: Rng,
    told: HashSet<u64>,
    bag: Vec<usize>,
}

impl Teller {
    /// A teller whose stories follow from `seed`.
    pub(crate) fn new(seed: u64) -> Teller {
        Teller { rng: Rng::new(seed), told: HashSet::new(), bag: Vec::new() }
    }

    /// The same teller with a new seed: what it tells now shares no run of twelve words with what it told before.
    pub(crate) fn reseeded(self, seed: u64) -> Teller {
        Teller { rng: Rng::new(seed), bag: Vec::new(), ..self }
    }

    /// The generator, for choices outside of stories.
    pub(crate) fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// The next story; its plot is drawn from a bag that holds each plot once, so that all come equally often.
    pub(crate) fn story(&mut self, brief: bool, most_words: usize) -> Story {
        loop {
            if self.bag.is_empty() {
                self.bag = (0..PLOTS.len()).collect();
                self.rng.shuffle(&mut self.bag);
            }
            let (plot, tell) = PLOTS[self.bag.pop().unwrap_or(0)];
            for _ in 0..8 {
                let mut scene = Scene::new(&mut self.rng, &self.told, brief, most_words);
                tell(&mut scene);
                if !scene.failed {
                    let said = words(&scene.text);
                    questions::about_any_story(&mut scene);
                    let Scene { text, facts, n_own_facts, themes, people, .. } = scene;
                    self.told.extend(runs(&said));
                    let people = people.into_iter().map(|(_, who)| who).collect();
                    return Story { plot, text, facts, n_own_facts, themes, people };
                }
            }
        }
    }
}
