//! The flags that say what shape a model has, shared by `train` and `bench train`.

use crate::model::{Config, Preset};
use crate::training::plan::Wishes;
use crate::training::precision::PrecisionChoice;
use anyhow::Result;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Single numbers of a model's shape.
#[derive(Args, Debug, Default)]
pub(super) struct ShapeArgs {
    /// Transformer blocks
    #[arg(long, value_name = "N")]
    layers: Option<usize>,
    /// Width of the model
    #[arg(long, value_name = "N")]
    width: Option<usize>,
    /// Attention heads; must divide the width
    #[arg(long, value_name = "N")]
    heads: Option<usize>,
    /// Key/value heads; must divide the heads
    #[arg(long, value_name = "N")]
    kv_heads: Option<usize>,
    /// Width of the feed-forward layer
    #[arg(long, value_name = "N")]
    ffn: Option<usize>,
    /// Entries of the vocabulary; chosen by the size of the text if not given
    #[arg(long, value_name = "N")]
    pub(super) vocab: Option<usize>,
    /// Longest context in tokens
    #[arg(long, value_name = "N")]
    context: Option<usize>,
    /// Give the output head its own weights instead of the embedding's
    #[arg(long)]
    untied: bool,
}

impl ShapeArgs {
    /// `config` with the numbers that were typed.
    pub(super) fn apply(&self, config: Config) -> Result<Config> {
        self.wishes().reshape(config)
    }

    /// The same numbers as wishes.
    pub(super) fn wishes(&self) -> Wishes {
        Wishes {
            n_layer: self.layers,
            n_embd: self.width,
            n_head: self.heads,
            n_kv_head: self.kv_heads,
            n_ffn: self.ffn,
            block_size: self.context,
            untied: self.untied,
            ..Wishes::default()
        }
    }
}

/// Accepts the names of presets.
pub(super) fn preset_parser() -> impl TypedValueParser<Value = Preset> {
    PossibleValuesParser::new(Preset::ALL.map(Preset::name)).map(|name| Preset::named(&name).expect("a listed name"))
}

/// Accepts the names of precisions.
pub(super) fn precision_parser() -> impl TypedValueParser<Value = PrecisionChoice> {
    PossibleValuesParser::new(PrecisionChoice::NAMES).map(|name| PrecisionChoice::named(&name).expect("a listed name"))
}
