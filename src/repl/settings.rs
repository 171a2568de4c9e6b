//! What `/set` changes: the sampler's values and the length of an answer, by the names of the flags.

use anyhow::{Result, anyhow, bail};

use crate::generation::SamplerConfig;
use crate::repl::commands::nearest;

/// The settings of a chat.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How tokens are chosen.
    pub sampler: SamplerConfig,
    /// Most tokens of one answer.
    pub max_tokens: usize,
}

const NAMES: [&str; 8] =
    ["temperature", "top-k", "top-p", "min-p", "repetition-penalty", "repetition-window", "seed", "max-tokens"];

impl Settings {
    /// The settings with `name` changed to `value`; the error names the range, or the settings there are.
    pub(super) fn with(&self, name: &str, value: &str) -> Result<Settings> {
        let name = name.replace('_', "-");
        let mut changed = self.clone();
        let sampler = &mut changed.sampler;
        match name.as_str() {
            "temperature" => sampler.temperature = parse(&name, value, "a number")?,
            "top-k" => sampler.top_k = parse(&name, value, "a whole number")?,
            "top-p" => sampler.top_p = parse(&name, value, "a number")?,
            "min-p" => sampler.min_p = parse(&name, value, "a number")?,
            "repetition-penalty" => sampler.repetition_penalty = parse(&name, value, "a number")?,
            "repetition-window" => sampler.repetition_window = parse(&name, value, "a whole number")?,
            "seed" => sampler.seed = parse(&name, value, "a whole number")?,
            "max-tokens" => changed.max_tokens = parse(&name, value, "a whole number")?,
            _ => match nearest(&name, &NAMES) {
                Some(near) => bail!("there is no setting {name}: did you mean {near}?"),
                None => bail!("there is no setting {name}: there are {}", NAMES.join(", ")),
            },
        }
        changed.sampler.validate()?;
        Ok(changed)
    }

    /// The names of all settings.
    pub fn names(&self) -> Vec<String> {
        NAMES.map(String::from).to_vec()
    }

    /// Every setting with its value, one a line.
    pub(super) fn list(&self) -> String {
        let sampler = &self.sampler;
        let values: [&dyn std::fmt::Display; NAMES.len()] = [
            &sampler.temperature,
            &sampler.top_k,
            &sampler.top_p,
            &sampler.min_p,
            &sampler.repetition_penalty,
            &sampler.repetition_window,
            &sampler.seed,
            &self.max_tokens,
        ];
        let lines: Vec<String> = NAMES.iter().zip(values).map(|(name, value)| format!("{name:18} {value}")).collect();
        lines.join("\n")
    }
}

fn parse<T: std::str::FromStr>(name: &str, value: &str, wanted: &str) -> Result<T> {
    value.parse().map_err(|_| anyhow!("{name} must be {wanted}, but {value:?} is none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { sampler: SamplerConfig::default(), max_tokens: 100 }
    }

    #[test]
    fn every_listed_setting_can_be_set() {
        for name in NAMES {
            let changed = settings().with(name, "1").unwrap();
            let line = changed.list().lines().find(|line| line.starts_with(name)).unwrap().to_string();
            assert!(line.ends_with(" 1"), "{line}");
        }
        assert_eq!(settings().with("top_k", "3").unwrap().sampler.top_k, 3);
    }

    #[test]
    fn a_wrong_setting_says_what_would_be_right() {
        for (name, value, words) in [
            ("temperature", "warm", "temperature must be a number, but \"warm\" is none"),
            ("max-tokens", "-1", "max-tokens must be a whole number"),
            ("top-p", "2", "top-p is 2, but must be above 0 and at most 1"),
            ("temprature", "1", "there is no setting temprature: did you mean temperature?"),
            ("colour", "1", "there is no setting colour: there are temperature, top-k"),
        ] {
            let error = settings().with(name, value).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
