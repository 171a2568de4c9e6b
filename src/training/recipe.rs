//! The learning recipe: what a person may change about how a run learns, and how wishes become settings.
//!
//! Only numbers and switches; what each of them does is described where it is done.

use super::settings::Settings;
use crate::data::loader::Order;
use crate::kernels::dropout::Dropout;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// How a run learns, apart from optimizer and schedule. The default is what runs did before these could be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Recipe {
    /// Share of the run, at its end, over which the mean of the weights after each step is taken (Izmailov et al., arXiv
    /// 1803.05407; for language models Kaddour, arXiv 2209.14981); 0 for none. The mean is judged beside the weights, and
    /// the better is kept.
    pub average: f64,
    /// The order of the text.
    pub order: Order,
    /// Whether the first parts of the run ([`SHORT_CONTEXTS`]) learn from shorter sequences: each window is cut into equal
    /// parts, so that windows, their order and the tokens of a step stay the same.
    pub short_contexts: bool,
    /// Whether the first parts of the run ([`SMALL_BATCHES`]) make steps of fewer sequences, at the same rate.
    pub grow_batch: bool,
    /// Share of the inputs of each block's output layers that is zeroed while learning; 0 for none.
    pub dropout: f32,
}

/// With short contexts: until this share of the run, windows are cut into so many sequences. Afterwards they are whole.
pub const SHORT_CONTEXTS: [(f64, usize); 2] = [(0.2, 4), (0.4, 2)];

/// With batches that grow: until this share of the run, a step has so many quarters of its sequences. Afterwards all.
pub const SMALL_BATCHES: [(f64, usize); 3] = [(0.2, 1), (0.4, 2), (0.6, 3)];

/// What keeps a model from learning its text by heart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Regularisation {
    /// Share of the inputs of each block's output layers that is zeroed.
    pub dropout: f32,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f32,
}

/// Passes over its text from which a run is regularised: after so many, a small model without it begins to learn by
/// heart (docs/recipe.md).
const MANY_PASSES: f64 = 4.0;

impl Regularisation {
    /// What suits a run that reads its text so many times. Each doubling of the passes from four on adds 0.2 of
    /// dropout, and the first of them 0.4 of weight decay; after two doublings it stays as it is.
    pub fn for_passes(n_passes: f64) -> Regularisation {
        let n_doublings = (n_passes / MANY_PASSES).log2().clamp(0.0, 2.0);
        // In hundredths, so that a person can type what a run was made with.
        let hundredths = |x: f64| ((100.0 * x).round() / 100.0) as f32;
        Regularisation {
            dropout: hundredths(0.2 * n_doublings),
            weight_decay: hundredths(0.1 + 0.4 * n_doublings.min(1.0)),
        }
    }
}

/// Parts dropout's random numbers from all others of the same seed.
const DROPOUT_STREAM: u64 = 1 << 33;

/// How one step is made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepShape {
    /// Windows in a batch.
    pub batch: usize,
    /// Batches whose gradients are added up.
    pub n_batches: usize,
    /// Tokens in a sequence: a window or an equal part of one.
    pub n_positions: usize,
}

impl Recipe {
    /// Rejects a recipe with which no run can be made; each error names the value and its limits.
    pub fn validate(&self) -> Result<()> {
        let average = self.average;
        ensure!((0.0..1.0).contains(&average), "average is {average}, but must be at least 0 and below 1");
        let dropout = self.dropout;
        ensure!((0.0..=0.9).contains(&dropout), "dropout is {dropout}, but must be between 0 and 0.9");
        Ok(())
    }

    /// Rejects what does not go with a context of `block_size`.
    pub fn validate_for(&self, block_size: usize) -> Result<()> {
        let n_parts = SHORT_CONTEXTS[0].1;
        ensure!(
            !self.short_contexts || block_size.is_multiple_of(n_parts),
            "--short-contexts cuts windows into {n_parts}, but the context is {block_size}: choose a multiple of {n_parts}"
        );
        Ok(())
    }

    /// The step when `fraction` of the run is done, where a full one has `n_batches` batches of `batch` windows.
    pub fn step_shape(&self, fraction: f64, (batch, n_batches): (usize, usize), block_size: usize) -> StepShape {
        let n_parts = if self.short_contexts { until(&SHORT_CONTEXTS, fraction, 1) } else { 1 };
        let quarters = if self.grow_batch { until(&SMALL_BATCHES, fraction, 4) } else { 4 };
        let n_windows = (batch * n_batches * quarters).div_ceil(4);
        // As few batches as hold the windows, all of one size: their mean is then the mean over all sequences.
        let n_batches = n_windows.div_ceil(batch);
        StepShape { batch: n_windows.div_ceil(n_batches), n_batches, n_positions: block_size / n_parts }
    }

    /// The dropout of batch `batch` of step `step`; nothing if it is off. A roll-back's steps have the numbers of those
    /// undone, so they drop the same places, of other text.
    pub fn dropout_of(&self, seed: u64, step: u64, batch: usize) -> Option<Dropout> {
        let key = Dropout { rate: self.dropout, key: seed }.at(DROPOUT_STREAM).at(step).at(batch as u64);
        (self.dropout > 0.0).then_some(key)
    }

    /// The parts that are on, for the model card: what they are called, and what they do.
    pub fn in_words(&self) -> Vec<(&'static str, String)> {
        let mut words = Vec::new();
        match self.order {
            Order::Shuffled => {}
            Order::Random => words.push(("order", "random windows from anywhere in the text".to_owned())),
            Order::Documents => words.push(("order", "shuffled documents, packed into windows".to_owned())),
            Order::Conversations => {
                words.push(("order", "shuffled conversations; only what the assistant says is learned".to_owned()))
            }
        }
        if self.average > 0.0 {
            words.push((
                "average",
                format!("of the weights of the last {:.0} %, where it is better", self.average * 100.0),
            ));
        }
        if self.short_contexts {
            let parts = SHORT_CONTEXTS.map(|(end, n)| format!("1/{n} until {:.0} % of the run", end * 100.0));
            words.push(("context", parts.join(", ")));
        }
        if self.grow_batch {
            let parts = SMALL_BATCHES.map(|(end, n)| format!("{n}/4 until {:.0} % of the run", end * 100.0));
            words.push(("growing batch", parts.join(", ")));
        }
        if self.dropout > 0.0 {
            words.push(("dropout", format!("{}", self.dropout)));
        }
        words
    }
}

/// The value of the first part of the run that ends after `fraction`; `last` after all of them.
fn until(parts: &[(f64, usize)], fraction: f64, last: usize) -> usize {
    parts.iter().find(|(end, _)| fraction < *end).map_or(last, |&(_, value)| value)
}

/// Parts of the recipe that a person may ask for; whatever is `None` stays as [`Settings::for_model`] has it.
#[derive(Debug, Clone, Default)]
pub struct RecipeWishes {
    /// AdamW for all tensors instead of Muon for the blocks' matrices.
    pub adamw_only: bool,
    /// Muon's rate as a multiple of AdamW's.
    pub muon_factor: Option<f64>,
    /// Muon's decay of the mean of gradients.
    pub momentum: Option<f32>,
    /// Whether Muon divides rows by the root of their mean square.
    pub normalises_rows: Option<bool>,
    /// Whether Muon decays weights only where that does not work against the update.
    pub is_cautious: Option<bool>,
    /// AdamW's decay of the mean of squared gradients.
    pub beta2: Option<f32>,
    /// Rate of embedding and head as a multiple of the learning rate.
    pub embed_lr_factor: Option<f64>,
    /// Decoupled weight decay of matrices.
    pub weight_decay: Option<f32>,
    /// Norm to which longer gradients are scaled down.
    pub max_grad_norm: Option<f64>,
    /// Steps from zero to the full rate.
    pub n_warmup: Option<u64>,
    /// Share of the run, at its end, over which the rate falls.
    pub warmdown: Option<f64>,
    /// Share of the run whose weights are averaged.
    pub average: Option<f64>,
    /// The order of the text.
    pub order: Option<Order>,
    /// Whether shorter sequences come first.
    pub short_contexts: Option<bool>,
    /// Whether smaller steps come first.
    pub grow_batch: Option<bool>,
    /// Share that dropout zeroes.
    pub dropout: Option<f32>,
}

impl RecipeWishes {
    /// Sets what suits a run of `n_passes` over its text, but for what is asked for.
    pub fn regularise(&self, settings: &mut Settings, n_passes: f64) {
        let Regularisation { dropout, weight_decay } = Regularisation::for_passes(n_passes);
        settings.recipe.dropout = self.dropout.unwrap_or(dropout);
        settings.optimizer.weight_decay = self.weight_decay.unwrap_or(weight_decay);
    }

    /// Writes what is asked for into `settings`. Wishes about Muon mean nothing where AdamW updates everything.
    pub fn apply(&self, settings: &mut Settings) {
        let optimizer = &mut settings.optimizer;
        if self.adamw_only {
            optimizer.muon = None;
        }
        if let Some(muon) = &mut optimizer.muon {
            set(&mut muon.lr_factor, self.muon_factor);
            set(&mut muon.momentum, self.momentum);
            set(&mut muon.normalises_rows, self.normalises_rows);
            set(&mut muon.is_cautious, self.is_cautious);
        }
        set(&mut optimizer.beta2, self.beta2);
        set(&mut optimizer.embed_lr_factor, self.embed_lr_factor);
        set(&mut optimizer.weight_decay, self.weight_decay);
        set(&mut optimizer.max_grad_norm, self.max_grad_norm);
        set(&mut settings.schedule.n_warmup, self.n_warmup);
        set(&mut settings.schedule.warmdown, self.warmdown);
        let recipe = &mut settings.recipe;
        set(&mut recipe.average, self.average);
        set(&mut recipe.order, self.order);
        set(&mut recipe.short_contexts, self.short_contexts);
        set(&mut recipe.grow_batch, self.grow_batch);
        set(&mut recipe.dropout, self.dropout);
    }
}

fn set<T>(value: &mut T, wish: Option<T>) {
    if let Some(wish) = wish {
        *value = wish;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_levers_every_step_is_the_same() {
        for fraction in [0.0, 0.3, 1.0] {
            let shape = Recipe::default().step_shape(fraction, (6, 2), 64);
            assert_eq!(shape, StepShape { batch: 6, n_batches: 2, n_positions: 64 });
        }
    }

    #[test]
    fn contexts_grow_and_batches_grow_to_what_was_asked_for() {
        let recipe = Recipe { short_contexts: true, grow_batch: true, ..Recipe::default() };
        // Of 48 windows in batches of 8 at most: 12, 24, 36 and 48.
        let cases = [(0.0, (6, 2, 16)), (0.2, (8, 3, 32)), (0.4, (8, 5, 64)), (0.59, (8, 5, 64)), (0.6, (8, 6, 64))];
        for (fraction, (batch, n_batches, n_positions)) in cases {
            let shape = recipe.step_shape(fraction, (8, 6), 64);
            assert_eq!(shape, StepShape { batch, n_batches, n_positions }, "at {fraction}");
        }
        assert_eq!(recipe.step_shape(0.0, (1, 1), 8), StepShape { batch: 1, n_batches: 1, n_positions: 2 });
    }

    #[test]
    fn the_more_often_a_text_is_read_the_stronger_dropout_and_decay_up_to_a_limit() {
        let cases =
            [(0.5, 0.0, 0.1), (4.0, 0.0, 0.1), (5.0, 0.06, 0.23), (8.0, 0.2, 0.5), (16.0, 0.4, 0.5), (200.0, 0.4, 0.5)];
        for (n_passes, dropout, weight_decay) in cases {
            let suits = Regularisation::for_passes(n_passes);
            assert_eq!(suits, Regularisation { dropout, weight_decay }, "{n_passes} passes");
        }
    }

    #[test]
    fn values_out_of_range_are_errors_that_name_value_and_limits() {
        let message = Recipe { average: 1.0, ..Recipe::default() }.validate().unwrap_err().to_string();
        assert!(message.contains("average is 1") && message.contains("below 1"), "{message}");
        let recipe = Recipe { short_contexts: true, ..Recipe::default() };
        let message = recipe.validate_for(30).unwrap_err().to_string();
        assert!(message.contains("30") && message.contains("multiple of 4"), "{message}");
    }
}
