//! The learning recipe: what a person may change about how a run learns, and how wishes become settings.
//!
//! Only numbers and switches; what each of them does is described where it is done.

use super::settings::Settings;
use crate::data::loader::Order;
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
}

impl Recipe {
    /// Rejects a recipe with which no run can be made; each error names the value and its limits.
    pub fn validate(&self) -> Result<()> {
        let average = self.average;
        ensure!((0.0..1.0).contains(&average), "average is {average}, but must be at least 0 and below 1");
        Ok(())
    }

    /// The parts that are on, for the model card: what they are called, and what they do.
    pub fn in_words(&self) -> Vec<(&'static str, String)> {
        let mut words = Vec::new();
        match self.order {
            Order::Shuffled => {}
            Order::Random => words.push(("order", "random windows from anywhere in the text".to_owned())),
            Order::Documents => words.push(("order", "shuffled documents, packed into windows".to_owned())),
        }
        if self.average > 0.0 {
            words.push((
                "average",
                format!("of the weights of the last {:.0} %, where it is better", self.average * 100.0),
            ));
        }
        words
    }
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
}

impl RecipeWishes {
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
    }
}

fn set<T>(value: &mut T, wish: Option<T>) {
    if let Some(wish) = wish {
        *value = wish;
    }
}
