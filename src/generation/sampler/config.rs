//! How the next token is chosen: every setting of the chain, with the value that turns it off.

use anyhow::Result;

use super::order::Order;
use super::settings::SETTINGS;

/// How the next token is chosen. Every sampler has a value that turns it off.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplerConfig {
    /// Divides the logits: below 1 safer, above 1 wilder; 0 always takes the most probable token.
    pub temperature: f32,
    /// Keeps the k most probable tokens; 0 is off.
    pub top_k: usize,
    /// Keeps the fewest most probable tokens that hold this share of the probability; 1 is off.
    pub top_p: f32,
    /// Drops tokens less probable than this share of the best one's probability; 0 is off.
    pub min_p: f32,
    /// Keeps the tokens nearest to the expected surprise that hold this share of the probability; 1 is off.
    pub typical_p: f32,
    /// Keeps tokens this many standard deviations below the best one; 0 is off.
    pub top_n_sigma: f32,
    /// How often XTC leaves out top choices; 0 is off.
    pub xtc_probability: f32,
    /// The least probability of what XTC calls a top choice.
    pub xtc_threshold: f32,
    /// How strongly DRY holds back what would repeat a passage; 0 is off.
    pub dry_multiplier: f32,
    /// By how much DRY's penalty grows with each token repeated.
    pub dry_base: f32,
    /// The length from which DRY holds repetitions back.
    pub dry_allowed_length: usize,
    /// How many of the last tokens DRY looks at; 0 is all.
    pub dry_window: usize,
    /// Texts that DRY sees no repetition across: a token breaks passages if it holds one of them.
    pub dry_breakers: Vec<String>,
    /// The surprise in bits that mirostat holds, in place of the filters; 0 is off.
    pub mirostat_tau: f32,
    /// How fast mirostat learns.
    pub mirostat_eta: f32,
    /// Makes tokens of the window less likely by this factor; 1 is off.
    pub repetition_penalty: f32,
    /// Taken off the logits of tokens of the window; 0 is off.
    pub presence_penalty: f32,
    /// Taken off the logits of tokens of the window for each time that they are there; 0 is off.
    pub frequency_penalty: f32,
    /// How many of the last tokens the penalties look at.
    pub repetition_window: usize,
    /// Which samplers work, in which order.
    pub samplers: Order,
    /// Before so many tokens are written the text does not end.
    pub min_tokens: usize,
    /// Added to the logits of tokens.
    pub logit_bias: Vec<(BiasedToken, f32)>,
    /// Texts that are never written.
    pub bad_words: Vec<String>,
    /// The same seed, settings and logits give the same tokens.
    pub seed: u64,
}

/// A token that a person names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BiasedToken {
    /// By its id.
    Id(u32),
    /// By its text.
    Text(String),
}

impl Default for SamplerConfig {
    /// What small models write best with, as measured: see `docs/sampling.md`.
    fn default() -> SamplerConfig {
        SamplerConfig { temperature: 0.8, top_p: 0.95, min_p: 0.05, ..SamplerConfig::plain() }
    }
}

impl SamplerConfig {
    /// Everything off: the model's own distribution.
    pub fn plain() -> SamplerConfig {
        SamplerConfig {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            top_n_sigma: 0.0,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            dry_multiplier: 0.0,
            dry_base: 1.75,
            dry_allowed_length: 2,
            dry_window: 0,
            // As its author chose them: what ends a line, a speaker's name, a quotation or an emphasis.
            dry_breakers: ["\n", ":", "\"", "*"].map(String::from).to_vec(),
            mirostat_tau: 0.0,
            mirostat_eta: 0.1,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            repetition_window: 64,
            samplers: Order::Usual,
            min_tokens: 0,
            logit_bias: Vec::new(),
            bad_words: Vec::new(),
            seed: 0,
        }
    }

    /// Always the most probable token.
    pub fn greedy() -> SamplerConfig {
        SamplerConfig { temperature: 0.0, ..SamplerConfig::plain() }
    }

    /// Rejects a value outside its range; the error names the setting, the value and the range.
    pub fn validate(&self) -> Result<()> {
        SETTINGS.iter().try_for_each(|setting| setting.check(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_outside_its_range_is_named_with_the_range() {
        let plain = SamplerConfig::plain;
        for (config, words) in [
            (SamplerConfig { temperature: -1.0, ..plain() }, ["temperature is -1", "from 0 to 100"]),
            (SamplerConfig { temperature: f32::NAN, ..plain() }, ["temperature is NaN", "from 0 to 100"]),
            (SamplerConfig { top_p: 0.0, ..plain() }, ["top-p is 0", "above 0 and at most 1"]),
            (SamplerConfig { min_p: 1.5, ..plain() }, ["min-p is 1.5", "from 0 to 1"]),
            (SamplerConfig { repetition_penalty: 0.0, ..plain() }, ["repetition-penalty is 0", "from 0.1 to 10"]),
            (SamplerConfig { dry_base: 0.5, ..plain() }, ["dry-base is 0.5", "from 1 to 10"]),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
        assert!(SamplerConfig::default().validate().is_ok() && SamplerConfig::greedy().validate().is_ok());
    }
}
