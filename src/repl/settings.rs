//! What `/set` changes: the sampler's values and the length of an answer, by the names of the flags.

use anyhow::{Context, Result, bail};

use crate::generation::{SETTINGS, SamplerConfig, Setting};
use crate::repl::commands::nearest;

/// The settings of a chat.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How tokens are chosen.
    pub sampler: SamplerConfig,
    /// Most tokens of one answer.
    pub max_tokens: usize,
}

/// What a chat has beside the sampler's settings.
const MAX_TOKENS: &str = "max-tokens";

/// The names of all settings, in the order in which they are listed.
fn names() -> Vec<&'static str> {
    SETTINGS.iter().map(|setting| setting.name).chain([MAX_TOKENS]).collect()
}

impl Settings {
    /// The settings with `name` changed to `value`; the error names the range, or the settings there are.
    pub(super) fn with(&self, name: &str, value: &str) -> Result<Settings> {
        let mut changed = self.clone();
        let name = name.replace('_', "-");
        if let Some(setting) = Setting::named(&name) {
            setting.set(&mut changed.sampler, value)?;
        } else if name == MAX_TOKENS {
            let wanted = || format!("{name} must be a whole number, but {value:?} is none");
            changed.max_tokens = value.parse().with_context(wanted)?;
        } else {
            match nearest(&name, &names()) {
                Some(near) => bail!("there is no setting {name}: did you mean {near}?"),
                None => bail!("there is no setting {name}: there are {}", names().join(", ")),
            }
        }
        Ok(changed)
    }

    /// The names of all settings.
    pub fn names(&self) -> Vec<String> {
        names().into_iter().map(String::from).collect()
    }

    /// Every setting with its value, one a line.
    pub(super) fn list(&self) -> String {
        let values = SETTINGS.iter().map(|setting| setting.get(&self.sampler)).chain([self.max_tokens.to_string()]);
        let lines: Vec<String> = names().iter().zip(values).map(|(name, value)| format!("{name:18} {value}")).collect();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { sampler: SamplerConfig::default(), max_tokens: 100 }
    }

    #[test]
    fn every_listed_setting_can_be_set() {
        for name in names() {
            let value = if name == "samplers" { "top-k,temperature" } else { "1" };
            let changed = settings().with(name, value).unwrap();
            let line = changed.list().lines().find(|line| line.starts_with(name)).unwrap().to_string();
            assert!(line.ends_with(&format!(" {value}")), "{line}");
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
            ("colour", "1", "there is no setting colour: there are repetition-penalty, "),
        ] {
            let error = settings().with(name, value).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
