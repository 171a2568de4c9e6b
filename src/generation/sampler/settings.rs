//! One table of all settings that are a number or a name: what the command line's flags and the chat's `/set` share.

use std::str::FromStr;

use anyhow::{Result, anyhow, bail};

use super::config::SamplerConfig;
use super::order::Order;

/// A setting: its name, what it is for, its range, and where it is kept.
pub struct Setting {
    /// The name, as in `--top-k` and `/set top-k`.
    pub name: &'static str,
    /// What stands for its value in a line of help.
    pub value_name: &'static str,
    /// A sentence for the user.
    pub help: &'static str,
    access: Access,
}

enum Access {
    Number { low: f32, high: f32, off: &'static str, get: fn(&SamplerConfig) -> f32, set: fn(&mut SamplerConfig, f32) },
    Count { low: usize, get: fn(&SamplerConfig) -> usize, set: fn(&mut SamplerConfig, usize) },
    Seed,
    Order,
}

/// A row of the table for a number from `low` to `high`; `above` excludes the low end.
macro_rules! number {
    ($name:literal, $value:literal, $field:ident, $low:expr, $high:expr, $off:literal, $help:literal) => {
        Setting {
            name: $name,
            value_name: $value,
            help: $help,
            access: Access::Number {
                low: $low,
                high: $high,
                off: $off,
                get: |config| config.$field,
                set: |config, value| config.$field = value,
            },
        }
    };
}

/// A row for a whole number from `low` on.
macro_rules! count {
    ($name:literal, $value:literal, $field:ident, $low:literal, $help:literal) => {
        Setting {
            name: $name,
            value_name: $value,
            help: $help,
            access: Access::Count {
                low: $low,
                get: |config| config.$field,
                set: |config, value| config.$field = value,
            },
        }
    };
}

/// Stands for "above 0".
const ABOVE_0: f32 = f32::MIN_POSITIVE;

/// All settings, in the order in which the samplers work unless another is given.
#[rustfmt::skip]
pub const SETTINGS: &[Setting] = &[
    number!("repetition-penalty", "FACTOR", repetition_penalty, 0.1, 10.0, "1 is off",
        "Make tokens written lately less likely by this factor"),
    number!("presence-penalty", "LOGITS", presence_penalty, -100.0, 100.0, "0 is off",
        "Make tokens written lately less likely by this much"),
    number!("frequency-penalty", "LOGITS", frequency_penalty, -100.0, 100.0, "0 is off",
        "Make tokens written lately less likely by this much for each time they were written"),
    count!("repetition-window", "TOKENS", repetition_window, 0,
        "How many of the last tokens these three penalties look at"),
    number!("dry-multiplier", "LOGITS", dry_multiplier, 0.0, 100.0, "0 is off",
        "Hold back the token that would repeat a passage, this much for the shortest (0.8 is usual)"),
    number!("dry-base", "FACTOR", dry_base, 1.0, 10.0, "1 is the same for every length",
        "What this grows by with each token of the passage"),
    count!("dry-allowed-length", "TOKENS", dry_allowed_length, 1,
        "The length of a passage from which on it is held back"),
    count!("dry-window", "TOKENS", dry_window, 0,
        "How many of the last tokens are searched for passages; 0 is all"),
    number!("top-n-sigma", "N", top_n_sigma, 0.0, 100.0, "0 is off",
        "Drop tokens whose logit is more than N standard deviations below the best one's"),
    number!("temperature", "T", temperature, 0.0, 100.0, "0 always takes the most probable token",
        "Below 1 safer, above 1 wilder"),
    count!("top-k", "K", top_k, 0,
        "Choose among the K most probable tokens; 0 is off"),
    number!("typical-p", "SHARE", typical_p, ABOVE_0, 1.0, "1 is off",
        "Choose among the tokens of about the expected probability that hold this share of it"),
    number!("top-p", "SHARE", top_p, ABOVE_0, 1.0, "1 is off",
        "Choose among the most probable tokens that hold this share of the probability"),
    number!("min-p", "SHARE", min_p, 0.0, 1.0, "0 is off",
        "Drop tokens less probable than this share of the best one's probability"),
    number!("xtc-probability", "SHARE", xtc_probability, 0.0, 1.0, "0 is off",
        "How often to leave out all top choices but the least of them"),
    number!("xtc-threshold", "SHARE", xtc_threshold, 0.0, 1.0, "above 0.5 is off",
        "The least probability of such a top choice"),
    number!("mirostat-tau", "BITS", mirostat_tau, 0.0, 100.0, "0 is off",
        "Hold the surprise of each token at so many bits, instead of dropping the improbable"),
    number!("mirostat-eta", "RATE", mirostat_eta, 0.0, 1.0, "0 never learns",
        "How fast this learns from what was drawn"),
    Setting { name: "samplers", value_name: "NAMES", access: Access::Order,
        help: "Which samplers work, in which order, with commas: penalties, dry, top-n-sigma, temperature, top-k, typical, \
               top-p, min-p, xtc, mirostat; or none, or default" },
    count!("min-tokens", "N", min_tokens, 0,
        "Do not let the model end its text before so many tokens"),
    Setting { name: "seed", value_name: "N", access: Access::Seed,
        help: "The same seed gives the same text" },
];

impl Setting {
    /// The setting of that name, written with hyphens or underscores.
    pub fn named(name: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.name == name.replace('_', "-"))
    }

    /// Its value, as a person writes it.
    pub fn get(&self, config: &SamplerConfig) -> String {
        match &self.access {
            Access::Number { get, .. } => get(config).to_string(),
            Access::Count { get, .. } => get(config).to_string(),
            Access::Seed => config.seed.to_string(),
            Access::Order => config.samplers.to_string(),
        }
    }

    /// Reads `value` into `config`. The error says what the value must be; then nothing is changed.
    pub fn set(&self, config: &mut SamplerConfig, value: &str) -> Result<()> {
        match &self.access {
            Access::Number { low, high, off, set, .. } => {
                let number: f32 = self.parse(value, "a number")?;
                self.in_range(number, *low, *high, off)?;
                set(config, number);
            }
            Access::Count { low, set, .. } => {
                let count: usize = self.parse(value, "a whole number")?;
                self.at_least(count, *low)?;
                set(config, count);
            }
            Access::Seed => config.seed = self.parse(value, "a whole number")?,
            Access::Order => config.samplers = value.parse::<Order>()?,
        }
        Ok(())
    }

    /// Rejects a value in `config` that is outside the range.
    pub(super) fn check(&self, config: &SamplerConfig) -> Result<()> {
        match &self.access {
            Access::Number { low, high, off, get, .. } => self.in_range(get(config), *low, *high, off),
            Access::Count { low, get, .. } => self.at_least(get(config), *low),
            Access::Seed | Access::Order => Ok(()),
        }
    }

    /// What turns it off, where a word must be said about it.
    pub fn off(&self) -> Option<&'static str> {
        match &self.access {
            Access::Number { off, .. } => Some(off),
            _ => None,
        }
    }

    fn parse<T: FromStr>(&self, value: &str, wanted: &str) -> Result<T> {
        value.parse().map_err(|_| anyhow!("{} must be {wanted}, but {value:?} is none", self.name))
    }

    fn in_range(&self, value: f32, low: f32, high: f32, off: &str) -> Result<()> {
        // The negated comparison also rejects NaN.
        if !(low..=high).contains(&value) {
            let low = if low == ABOVE_0 { "above 0 and at most".to_string() } else { format!("from {low} to") };
            bail!("{} is {value}, but must be {low} {high} ({off})", self.name);
        }
        Ok(())
    }

    fn at_least(&self, value: usize, low: usize) -> Result<()> {
        if value < low {
            bail!("{} is {value}, but must be at least {low}", self.name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_takes_the_value_that_it_shows() {
        for setting in SETTINGS {
            let mut config = SamplerConfig::default();
            let shown = setting.get(&config);
            setting.set(&mut config, &shown).unwrap();
            assert_eq!(config, SamplerConfig::default(), "{}", setting.name);
            let other = if setting.name == "samplers" { "top-k" } else { "0.9" };
            let other = if setting.set(&mut config, other).is_ok() { other } else { "7" };
            setting.set(&mut config, other).unwrap();
            assert_eq!(setting.get(&config), other, "{}", setting.name);
            assert_ne!(config, SamplerConfig::default(), "{}", setting.name);
        }
    }

    #[test]
    fn a_wrong_value_changes_nothing_and_says_what_would_be_right() {
        for (name, value, words) in [
            ("top-p", "2", "top-p is 2, but must be above 0 and at most 1 (1 is off)"),
            ("top_k", "-1", "top-k must be a whole number, but \"-1\" is none"),
            ("dry-allowed-length", "0", "must be at least 1"),
            ("seed", "x", "seed must be a whole number"),
            ("samplers", "magic", "there is no sampler \"magic\""),
        ] {
            let mut config = SamplerConfig::default();
            let error = Setting::named(name).unwrap().set(&mut config, value).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert_eq!(config, SamplerConfig::default());
        }
    }
}
