//! The flags that say how tokens are chosen, shared by `complete` and `chat`.

use std::hash::{BuildHasher, Hasher, RandomState};

use anyhow::Result;
use clap::Args;

use crate::generation::SamplerConfig;

/// How the next token is chosen.
#[derive(Args, Debug)]
#[command(next_help_heading = "Sampling (applied in this order)")]
pub(super) struct SamplingArgs {
    /// Make tokens written lately less likely by this factor; 1 is off
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, allow_negative_numbers = true)]
    repetition_penalty: f32,
    /// How many of the last tokens the repetition penalty looks at
    #[arg(long, value_name = "TOKENS", default_value_t = 64)]
    repetition_window: usize,
    /// Below 1 safer, above 1 wilder; 0 always takes the most probable token
    #[arg(long, value_name = "T", default_value_t = 0.8, allow_negative_numbers = true)]
    temperature: f32,
    /// Choose among the K most probable tokens; 0 is off
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// Choose among the most probable tokens that hold this share of the probability; 1 is off
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, allow_negative_numbers = true)]
    top_p: f32,
    /// Drop tokens less probable than this share of the best one's probability; 0 is off
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, allow_negative_numbers = true)]
    min_p: f32,
    /// The same seed gives the same text; chosen anew each time if not given
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl SamplingArgs {
    /// The settings, checked: an error is wrong usage and names the range.
    pub(super) fn config(&self) -> Result<SamplerConfig> {
        let config = SamplerConfig {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            repetition_window: self.repetition_window,
            seed: self.seed.unwrap_or_else(random_seed),
        };
        config.validate()?;
        Ok(config)
    }
}

/// A seed nobody chose: 32 bits of the operating system's randomness (which keys every [`RandomState`]), short enough
/// to be typed again.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish() >> 32
}
