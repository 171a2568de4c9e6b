//! The flags that say how tokens are chosen, shared by `complete` and `chat`: made from the table of [`SETTINGS`].

use std::hash::{BuildHasher, Hasher, RandomState};

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::generation::{BiasedToken, SETTINGS, SamplerConfig, Setting};

/// How the next token is chosen.
#[derive(Debug)]
pub(super) struct SamplingArgs {
    config: SamplerConfig,
}

impl SamplingArgs {
    /// The settings, checked: an error is wrong usage and names the range.
    pub(super) fn config(&self) -> Result<SamplerConfig> {
        self.config.validate()?;
        Ok(self.config.clone())
    }
}

impl FromArgMatches for SamplingArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = SamplingArgs { config: SamplerConfig { seed: random_seed(), ..SamplerConfig::default() } };
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let config = &mut self.config;
        for setting in SETTINGS {
            if let Some(value) = matches.get_one::<String>(setting.name) {
                setting.set(config, value).map_err(|e| clap::Error::raw(clap::error::ErrorKind::ValueValidation, e))?;
            }
        }
        let texts = |name| matches.get_many::<String>(name).map(|texts| texts.cloned().collect::<Vec<_>>());
        if let Some(breakers) = texts("dry-breaker") {
            config.dry_breakers = breakers;
        }
        config.bad_words.extend(texts("bad-word").unwrap_or_default());
        config.logit_bias.extend(matches.get_many("logit-bias").into_iter().flatten().cloned());
        Ok(())
    }
}

impl Args for SamplingArgs {
    fn augment_args(command: Command) -> Command {
        let command = command.next_help_heading("Sampling (in this order, unless --samplers gives another)");
        let command = SETTINGS.iter().fold(command, |command, setting| command.arg(flag(setting)));
        let text = |name: &'static str, help| {
            let arg = Arg::new(name).long(name).value_name("TEXT").value_parser(unescape).help(help);
            arg.allow_hyphen_values(true).action(ArgAction::Append)
        };
        let bias = Arg::new("logit-bias").long("logit-bias").value_name("TOKEN=BIAS").action(ArgAction::Append);
        let bias = bias.value_parser(bias_of).help(
            "Add this to the logit of a token, an id or its text: 42=-1.5, or \" cat\"=2; -inf forbids it. May be given \
             several times",
        );
        command
            .arg(text("bad-word", "Never write this text, however it is cut into tokens; may be given several times"))
            .arg(bias)
            .arg(text(
                "dry-breaker",
                "DRY sees no repetition across a token with this text; may be given several times [default: \\n : \" *]",
            ))
            .next_help_heading(None::<&str>)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn flag(setting: &'static Setting) -> Arg {
    let off = setting.off().map_or(String::new(), |off| format!("; {off}"));
    let default = match setting.name {
        "seed" => "; chosen anew each time if not given".to_string(),
        _ => format!(" [default: {}]", setting.get(&SamplerConfig::default())),
    };
    let check = |value: &str| setting.set(&mut SamplerConfig::plain(), value).map(|()| value.to_string());
    Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.value_name)
        .allow_negative_numbers(true)
        .value_parser(move |value: &str| check(value).map_err(|error| error.to_string()))
        .help(format!("{}{off}{default}", setting.help))
}

/// `TOKEN=BIAS`, where all digits are an id and anything else, quoted or not, is a text.
fn bias_of(given: &str) -> Result<(BiasedToken, f32), String> {
    let (token, bias) = given.rsplit_once('=').ok_or("a bias is written TOKEN=BIAS, for example 42=-1.5")?;
    let bias = bias.parse().map_err(|_| format!("the bias must be a number, but {bias:?} is none"))?;
    let quoted = token.len() > 1 && token.starts_with('"') && token.ends_with('"');
    let token = match token.parse() {
        Ok(id) => BiasedToken::Id(id),
        Err(_) if quoted => BiasedToken::Text(unescape(&token[1..token.len() - 1])?),
        Err(_) => BiasedToken::Text(unescape(token)?),
    };
    Ok((token, bias))
}

/// Shells pass a newline in quotes only with effort, and a newline is the commonest stop.
pub(super) fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        plain.push(match c {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('\\') => '\\',
                other => {
                    let other = other.map_or(String::new(), String::from);
                    return Err(format!("\\{other} is not known: use \\n, \\t or \\\\"));
                }
            },
            c => c,
        });
    }
    if plain.is_empty() { Err("the text must not be empty".to_string()) } else { Ok(plain) }
}

/// A seed nobody chose: 32 bits of the operating system's randomness (which keys every [`RandomState`]), short enough
/// to be typed again.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish() >> 32
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    #[command(args_override_self = true)]
    struct Line {
        #[command(flatten)]
        sampling: SamplingArgs,
    }

    fn config(args: &[&str]) -> Result<SamplerConfig, String> {
        let line = Line::try_parse_from([&["siskin"], args].concat()).map_err(|error| error.to_string())?;
        line.sampling.config().map_err(|error| error.to_string())
    }

    #[test]
    fn without_flags_the_settings_are_the_defaults_and_a_seed_nobody_chose() {
        let (first, second) = (config(&[]).unwrap(), config(&[]).unwrap());
        assert_eq!(SamplerConfig { seed: 0, ..first.clone() }, SamplerConfig::default());
        assert_ne!(first.seed, second.seed);
    }

    #[test]
    fn every_setting_is_a_flag() {
        for setting in SETTINGS {
            let value = if setting.name == "samplers" { "top-k,temperature" } else { "1" };
            let found = config(&[&format!("--{}", setting.name), value]).unwrap();
            assert_eq!(setting.get(&found), value, "{}", setting.name);
        }
        assert_eq!(config(&["--presence-penalty", "-1.5"]).unwrap().presence_penalty, -1.5);
        assert_eq!(config(&["--top-k", "3", "--top-k", "5"]).unwrap().top_k, 5, "the last counts");
    }

    #[test]
    fn texts_and_biases_add_up() {
        let found =
            config(&["--bad-word", "a\\n", "--bad-word", "b", "--logit-bias", "7=-1", "--logit-bias", "\" x\"=-inf"]);
        let found = found.unwrap();
        assert_eq!(found.bad_words, ["a\n", "b"]);
        let text = BiasedToken::Text(" x".to_string());
        assert_eq!(found.logit_bias, [(BiasedToken::Id(7), -1.0), (text, f32::NEG_INFINITY)]);
        assert_eq!(config(&["--dry-breaker", "---"]).unwrap().dry_breakers, ["---"]);
        assert_eq!(config(&["--logit-bias", "===2"]).unwrap().logit_bias[0].0, BiasedToken::Text("==".to_string()));
    }

    #[test]
    fn a_wrong_value_names_the_flag_and_the_range() {
        for (args, words) in [
            (["--temperature", "-1"], ["--temperature", "from 0 to 100"]),
            (["--logit-bias", "7"], ["--logit-bias", "TOKEN=BIAS"]),
            (["--logit-bias", "7=much"], ["--logit-bias", "must be a number"]),
            (["--samplers", "top-q"], ["--samplers", "there is no sampler"]),
            (["--bad-word", ""], ["--bad-word", "must not be empty"]),
        ] {
            let error = config(&args).unwrap_err();
            assert!(words.iter().all(|word| error.contains(word)), "{args:?}: {error}");
        }
    }
}
