//! The flags of `train` that change how a run learns.

use crate::data::loader::Order;
use crate::training::recipe::RecipeWishes;
use clap::{Args, ValueEnum};

/// Parts of the learning recipe.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Recipe")]
pub(super) struct RecipeArgs {
    /// Highest learning rate
    #[arg(long, value_name = "X")]
    pub(super) lr: Option<f64>,
    /// What updates the matrices inside the blocks
    #[arg(long, value_enum, default_value = "muon")]
    optimizer: OptimizerChoice,
    /// Muon's learning rate as a multiple of --lr
    #[arg(long, value_name = "X")]
    muon_factor: Option<f64>,
    /// Rate of embedding and head as a multiple of --lr
    #[arg(long, value_name = "X")]
    embed_lr: Option<f64>,
    /// Muon's momentum
    #[arg(long, value_name = "X")]
    momentum: Option<f32>,
    /// Muon: give every neuron updates of the same size; on if not given
    #[arg(long, value_enum, value_name = "on|off", hide_possible_values = true)]
    normuon: Option<Switch>,
    /// Muon: decay a weight only where that does not work against its update; off if not given
    #[arg(long, value_enum, value_name = "on|off", hide_possible_values = true)]
    cautious: Option<Switch>,
    /// AdamW's memory of squared gradients
    #[arg(long, value_name = "X")]
    beta2: Option<f32>,
    /// Decay of matrices, as a multiple of the rate; if not given, 0.5 where the text is read four times or more, else 0.1
    #[arg(long, value_name = "X")]
    weight_decay: Option<f32>,
    /// Norm to which longer gradients are cut
    #[arg(long, value_name = "X")]
    max_grad_norm: Option<f64>,
    /// Steps until the full rate is reached
    #[arg(long, value_name = "N")]
    warmup: Option<u64>,
    /// Share of the run, at its end, over which the rate falls (0 to 1)
    #[arg(long, value_name = "X")]
    warmdown: Option<f64>,
    /// Share of the run, at its end, whose weights are averaged (0 to below 1); 0 if not given
    #[arg(long, value_name = "X")]
    average: Option<f64>,
    /// Order of the text: shuffled windows (if not given), windows packed from documents, or random windows
    #[arg(long, value_enum, hide_possible_values = true, value_name = "shuffled|documents|random")]
    order: Option<OrderChoice>,
    /// Learn from a quarter, then half of the context in the first parts of the run; on if not given
    #[arg(long, value_enum, value_name = "on|off", hide_possible_values = true)]
    short_contexts: Option<Switch>,
    /// Make smaller steps in the first parts of the run; off if not given
    #[arg(long, value_enum, value_name = "on|off", hide_possible_values = true)]
    grow_batch: Option<Switch>,
    /// Share of each block's inner activations zeroed while learning (0 to 0.9); if not given, 0.2 where the text is read
    /// four times or more, else 0
    #[arg(long, value_name = "P")]
    dropout: Option<f32>,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum OptimizerChoice {
    /// Orthogonalised momentum: learns more from each token
    #[default]
    Muon,
    /// The customary one
    Adamw,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum OrderChoice {
    Shuffled,
    Documents,
    Random,
}

/// A part that can be on or off.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Switch {
    On,
    Off,
}

impl Switch {
    fn is_on(self) -> bool {
        self == Switch::On
    }
}

impl RecipeArgs {
    /// What was typed, as wishes.
    pub(super) fn wishes(&self) -> RecipeWishes {
        RecipeWishes {
            adamw_only: self.optimizer == OptimizerChoice::Adamw,
            muon_factor: self.muon_factor,
            momentum: self.momentum,
            normalises_rows: self.normuon.map(Switch::is_on),
            is_cautious: self.cautious.map(Switch::is_on),
            beta2: self.beta2,
            embed_lr_factor: self.embed_lr,
            weight_decay: self.weight_decay,
            max_grad_norm: self.max_grad_norm,
            n_warmup: self.warmup,
            warmdown: self.warmdown,
            average: self.average,
            order: self.order.map(|order| match order {
                OrderChoice::Shuffled => Order::Shuffled,
                OrderChoice::Documents => Order::Documents,
                OrderChoice::Random => Order::Random,
            }),
            short_contexts: self.short_contexts.map(Switch::is_on),
            grow_batch: self.grow_batch.map(Switch::is_on),
            dropout: self.dropout,
        }
    }
}
