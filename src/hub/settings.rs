//! The hub's settings in the environment, by the names that the Python tools use.
//!
//! `HF_HOME` and `HF_HUB_CACHE` say where files are kept, `HF_ENDPOINT` which hub is asked, `HF_TOKEN` (or the file that
//! `hf auth login` leaves) who asks, `HF_HUB_OFFLINE` that nobody is asked, and `HF_HUB_DOWNLOAD_TIMEOUT` for how many
//! seconds a silent connection is borne.

use anyhow::{Context, Result, ensure};
use hf_hub::Cache;
use std::path::PathBuf;
use std::time::Duration;

const ENDPOINT: &str = "https://huggingface.co";

/// A connection that brings nothing for so long is given up, where `HF_HUB_DOWNLOAD_TIMEOUT` says nothing else. The Python
/// tools' 10 s are too few for a mirror that fetches a file itself before it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the environment says.
#[derive(Debug)]
pub(super) struct Settings {
    /// Where files are kept.
    pub(super) cache: Cache,
    /// The hub's address, without a slash at its end.
    pub(super) endpoint: String,
    /// Who asks. Goes to the endpoint and nowhere else.
    pub(super) token: Option<String>,
    /// Whether the network is forbidden.
    pub(super) offline: bool,
    /// For how long a connection may be silent.
    pub(super) patience: Duration,
}

impl Settings {
    /// The settings of this process.
    pub(super) fn from_environment() -> Result<Settings> {
        Settings::read(|name| std::env::var(name).ok())
    }

    /// The settings among the variables that `variable` looks up; an error names the variable that makes no sense.
    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Settings> {
        let set = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let home = match set("HF_HOME") {
            Some(home) => PathBuf::from(home),
            None => std::env::home_dir()
                .context("there is no home directory for downloads: set HF_HOME to a folder for them")?
                .join(".cache/huggingface"),
        };
        let usual = Cache::new(home.join("hub"));
        Ok(Settings {
            endpoint: endpoint(set("HF_ENDPOINT"))?,
            token: token(set("HF_TOKEN").or_else(|| usual.token()))?,
            offline: set("HF_HUB_OFFLINE").is_some_and(|value| means_yes(&value)),
            patience: patience(set("HF_HUB_DOWNLOAD_TIMEOUT"))?,
            cache: set("HF_HUB_CACHE").map_or(usual, |folder| Cache::new(PathBuf::from(folder))),
        })
    }
}

fn endpoint(url: Option<String>) -> Result<String> {
    let url = url.unwrap_or_else(|| ENDPOINT.to_owned());
    let has_scheme = ["https://", "http://"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme));
    ensure!(has_scheme, "HF_ENDPOINT is {url:?}, but an address begins with https:// or http://");
    Ok(url.trim_end_matches('/').to_owned())
}

/// A token travels in a header line, so a character that ends the line must not be in it. It is never printed.
fn token(token: Option<String>) -> Result<Option<String>> {
    let plain = token.as_ref().is_none_or(|token| token.bytes().all(|b| b.is_ascii_graphic()));
    ensure!(plain, "HF_TOKEN holds characters that no token has: copy it again from the hub's page on access tokens");
    Ok(token)
}

fn patience(seconds: Option<String>) -> Result<Duration> {
    let Some(text) = seconds else { return Ok(PATIENCE) };
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .with_context(|| format!("HF_HUB_DOWNLOAD_TIMEOUT is {text:?}, but must be from 0.1 to 86400 seconds"))
}

fn means_yes(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings> {
        Settings::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned()).or_else(|| (name == "HF_HOME").then(|| "/nowhere".to_owned()))
        })
    }

    #[test]
    fn nothing_set_means_the_public_hub_a_minute_of_patience_and_no_token() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.endpoint, ENDPOINT);
        assert_eq!((settings.patience, settings.offline, settings.token), (PATIENCE, false, None));
        assert_eq!(settings.cache.path(), &PathBuf::from("/nowhere/hub"));
    }

    #[test]
    fn every_variable_is_honoured() {
        let settings = read(&[
            ("HF_ENDPOINT", "http://127.0.0.1:8/"),
            ("HF_TOKEN", " secret\n"),
            ("HF_HUB_OFFLINE", "TRUE"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "2.5"),
            ("HF_HUB_CACHE", "/elsewhere"),
        ])
        .unwrap();
        assert_eq!((settings.endpoint.as_str(), settings.token.as_deref()), ("http://127.0.0.1:8", Some("secret")));
        assert_eq!((settings.offline, settings.patience), (true, Duration::from_millis(2_500)));
        assert_eq!(settings.cache.path(), &PathBuf::from("/elsewhere"));
    }

    #[test]
    fn the_token_that_a_login_left_is_used() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "kept\n").unwrap();
        let settings = read(&[("HF_HOME", home.path().to_str().unwrap())]).unwrap();
        assert_eq!(settings.token.as_deref(), Some("kept"));
    }

    #[test]
    fn a_value_that_makes_no_sense_names_its_variable_and_never_shows_the_token() {
        for (name, value, words) in [
            ("HF_ENDPOINT", "huggingface.co", "begins with https://"),
            ("HF_ENDPOINT", "https://", "begins with https://"),
            ("HF_TOKEN", "hf_abc\u{7}def", "characters that no token has"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "soon", "0.1 to 86400 seconds"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "0", "0.1 to 86400 seconds"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "NaN", "0.1 to 86400 seconds"),
        ] {
            let message = read(&[(name, value)]).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains(words) && !message.contains("hf_abc"), "{message}");
        }
    }
}
