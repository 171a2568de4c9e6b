//! The names of the samplers, and the order in which they work.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

/// A sampler of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Repetition, presence and frequency penalties.
    Penalties,
    /// "Don't repeat yourself".
    Dry,
    /// Standard deviations below the highest logit.
    TopNSigma,
    /// The temperature.
    Temperature,
    /// The k most probable.
    TopK,
    /// Nearest to the expected surprise.
    Typical,
    /// The nucleus.
    TopP,
    /// Least share of the best one's probability.
    MinP,
    /// "Exclude top choices".
    Xtc,
    /// Surprise held at a target; only as the last.
    Mirostat,
}

impl Stage {
    /// All of them, in the order that is the default.
    ///
    /// The penalties come first because they are defined on the model's own logits. Temperature comes before the filters,
    /// so that they judge the very distribution that is drawn from, and a warmer setting really lets more tokens through;
    /// top-n-sigma does not care, as a temperature scales what it compares. Top-k is the first of the filters as it bounds
    /// the work of the others. XTC is last, so that it chooses among what was found sensible.
    pub const ALL: [Stage; 10] = [
        Stage::Penalties,
        Stage::Dry,
        Stage::TopNSigma,
        Stage::Temperature,
        Stage::TopK,
        Stage::Typical,
        Stage::TopP,
        Stage::MinP,
        Stage::Xtc,
        Stage::Mirostat,
    ];

    /// Its name in `--samplers`.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Penalties => "penalties",
            Stage::Dry => "dry",
            Stage::TopNSigma => "top-n-sigma",
            Stage::Temperature => "temperature",
            Stage::TopK => "top-k",
            Stage::Typical => "typical",
            Stage::TopP => "top-p",
            Stage::MinP => "min-p",
            Stage::Xtc => "xtc",
            Stage::Mirostat => "mirostat",
        }
    }
}

/// Which samplers work, and in which order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Order {
    /// All in the order of [`Stage::ALL`]; where mirostat is on, it takes the place of the filters, as in its paper.
    #[default]
    Usual,
    /// These, and no others.
    Given(Vec<Stage>),
}

impl Order {
    /// The samplers, first to last.
    pub(super) fn stages(&self, has_mirostat: bool) -> Vec<Stage> {
        match self {
            Order::Given(stages) => stages.clone(),
            Order::Usual if has_mirostat => vec![Stage::Penalties, Stage::Dry, Stage::Temperature, Stage::Mirostat],
            Order::Usual => Stage::ALL[..Stage::ALL.len() - 1].to_vec(),
        }
    }
}

impl FromStr for Order {
    type Err = anyhow::Error;

    /// Names separated by commas or semicolons, or `default`; `none` for the model's own distribution.
    fn from_str(text: &str) -> Result<Order> {
        let mut stages = Vec::new();
        match text.trim() {
            "default" => return Ok(Order::Usual),
            "none" => return Ok(Order::Given(stages)),
            _ => {}
        }
        for name in text.split([',', ';']).map(str::trim) {
            let stage = Stage::ALL.into_iter().find(|stage| stage.name() == name.replace('_', "-"));
            let stage = stage.with_context(|| {
                format!("there is no sampler {name:?}: there are {}", Stage::ALL.map(Stage::name).join(", "))
            })?;
            ensure!(!stages.contains(&stage), "the sampler {name} is named twice");
            stages.push(stage);
        }
        if stages.iter().rev().skip(1).any(|stage| *stage == Stage::Mirostat) {
            bail!("mirostat learns from what it drew, so nothing can come after it: name it last");
        }
        Ok(Order::Given(stages))
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Usual => f.write_str("default"),
            Order::Given(stages) if stages.is_empty() => f.write_str("none"),
            Order::Given(stages) => f.write_str(&stages.iter().map(|s| s.name()).collect::<Vec<_>>().join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_is_written() {
        for text in ["default", "none", "top-k", "temperature,top-p,min-p", "penalties,mirostat"] {
            assert_eq!(text.parse::<Order>().unwrap().to_string(), text);
        }
        assert_eq!("top_k;top_p".parse::<Order>().unwrap().to_string(), "top-k,top-p");
    }

    #[test]
    fn a_wrong_order_says_what_would_be_right() {
        for (text, words) in [
            ("top-q", "there is no sampler \"top-q\": there are penalties, dry"),
            ("", "there is no sampler \"\""),
            ("top-k,top-k", "named twice"),
            ("mirostat,top-k", "name it last"),
        ] {
            let error = text.parse::<Order>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
