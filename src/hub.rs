//! Names on the Hugging Face Hub to files on this disk. The only module that reaches the network.
//!
//! Downloads are kept in the cache that the Python tools share, and a file that is there is never asked for again. The
//! usual variables are honoured: `HF_HOME` (where the cache is), `HF_ENDPOINT` (a mirror), `HF_TOKEN` (for models that
//! need permission), `HF_HUB_OFFLINE` (only what is already there). What the files mean is not known here.

use anyhow::{Result, anyhow, ensure};
use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};
use indicatif::ProgressBar;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// A link that brings nothing for so long is given up: hf-hub 0.5 itself has no time limit and would wait for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// The local paths of `files` of the repository `owner/name`, downloaded where they are not in the cache yet.
pub fn fetch(repo: &str, files: &[&str]) -> Result<Vec<PathBuf>> {
    fetch_with_optional(repo, files, &[])
}

/// As [`fetch`], and asks for `optional` files first, whose absence is no error; the paths of `files` are returned. When
/// all of `files` are in the cache, the network is not touched.
pub fn fetch_with_optional(repo: &str, files: &[&str], optional: &[&str]) -> Result<Vec<PathBuf>> {
    check_name(repo)?;
    let hub = Hub::from_environment(repo);
    if let Some(paths) = hub.all_cached(files) {
        return Ok(paths);
    }
    ensure!(
        !hub.offline,
        "{repo} is not in the cache at {}, and HF_HUB_OFFLINE forbids to download it",
        hub.cache.path().display()
    );
    for file in optional {
        match hub.get(file) {
            Err(Failure::Absent) | Ok(_) => {}
            Err(failure) => return Err(hub.explain(file, failure)),
        }
    }
    files.iter().map(|file| hub.get(file).map_err(|failure| hub.explain(file, failure))).collect()
}

/// A repository's name must be `owner/name` in the Hub's alphabet, so that it can become neither a path nor a query.
fn check_name(repo: &str) -> Result<()> {
    let plain = |part: &str| {
        !part.is_empty()
            && part.len() <= 96
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    let good = repo.split_once('/').is_some_and(|(owner, name)| plain(owner) && plain(name));
    ensure!(good, "hf:{} is not of the form hf:owner/name", repo.escape_debug());
    Ok(())
}

/// One repository, seen through the settings in the environment.
struct Hub {
    repo: String,
    cache: Cache,
    endpoint: Option<String>,
    token: Option<String>,
    offline: bool,
}

/// Why a file did not come.
enum Failure {
    /// The repository has no such file.
    Absent,
    /// The repository does not exist, or is hidden from strangers.
    Forbidden,
    /// Nothing arrived for [`PATIENCE`].
    Stalled,
    /// Anything else.
    Other(ApiError),
}

impl Hub {
    fn from_environment(repo: &str) -> Hub {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        Hub {
            repo: repo.to_owned(),
            cache: Cache::from_env(),
            endpoint: set("HF_ENDPOINT").map(|url| url.trim_end_matches('/').to_owned()),
            token: set("HF_TOKEN").map(|token| token.trim().to_owned()),
            offline: set("HF_HUB_OFFLINE").is_some_and(|value| means_yes(&value)),
        }
    }

    fn all_cached(&self, files: &[&str]) -> Option<Vec<PathBuf>> {
        let repo = self.cache.repo(Repo::new(self.repo.clone(), RepoType::Model));
        files.iter().map(|file| repo.get(file)).collect()
    }

    fn api(&self) -> Result<Api, ApiError> {
        let mut builder = ApiBuilder::from_cache(self.cache.clone()).with_retries(3);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        if self.token.is_some() {
            builder = builder.with_token(self.token.clone());
        }
        builder.with_user_agent("siskin", env!("CARGO_PKG_VERSION")).build()
    }

    /// Downloads one file on a thread of its own, so that a stalled link can be given up.
    fn get(&self, file: &str) -> Result<PathBuf, Failure> {
        if let Some(mut paths) = self.all_cached(&[file]) {
            return Ok(paths.remove(0));
        }
        let api = self.api().map_err(Failure::Other)?;
        let (sender, receiver) = channel();
        let (repo, file) = (self.repo.clone(), file.to_owned());
        std::thread::spawn(move || {
            let meter = Meter { bar: ProgressBar::new(0), sender: sender.clone() };
            let outcome = api.model(repo).download_with_progress(&file, meter);
            // Nobody listens any more when the link was given up; then there is nobody to tell.
            let _ = sender.send(Some(outcome));
        });
        loop {
            match receiver.recv_timeout(PATIENCE) {
                Ok(None) => {}
                Ok(Some(outcome)) => return outcome.map_err(classify),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Err(Failure::Stalled),
            }
        }
    }

    fn explain(&self, file: &str, failure: Failure) -> anyhow::Error {
        let repo = &self.repo;
        match failure {
            Failure::Absent => anyhow!(
                "{repo} on the hub has no {file}: either the name is wrong, or it is no model that siskin can run"
            ),
            Failure::Forbidden if self.token.is_some() => {
                anyhow!(
                    "the hub does not show {repo} to the holder of HF_TOKEN: check the name, and ask for access on its page"
                )
            }
            Failure::Forbidden => anyhow!(
                "the hub does not show {repo} to strangers: check the name, or set HF_TOKEN if it needs permission"
            ),
            Failure::Stalled => anyhow!(
                "nothing of {file} arrived for {} s: try again, it goes on where it stopped",
                PATIENCE.as_secs()
            ),
            Failure::Other(error) => anyhow::Error::new(error).context(format!(
                "downloading {file} of {repo} failed: is this computer online, and HF_ENDPOINT right if it is set"
            )),
        }
    }
}

fn means_yes(value: &str) -> bool {
    matches!(value.trim().to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
}

fn classify(error: ApiError) -> Failure {
    // ureq's error type is not ours to name (it is hf-hub's dependency), but its words hold the status.
    match &error {
        ApiError::RequestError(cause) if cause.to_string().ends_with("404") => Failure::Absent,
        ApiError::RequestError(cause) if cause.to_string().ends_with("401") || cause.to_string().ends_with("403") => {
            Failure::Forbidden
        }
        _ => Failure::Other(error),
    }
}

/// Shows the download on a terminal, and tells the waiting thread that it is alive.
struct Meter {
    bar: ProgressBar,
    sender: Sender<Option<Result<PathBuf, ApiError>>>,
}

impl Progress for Meter {
    fn init(&mut self, size: usize, filename: &str) {
        Progress::init(&mut self.bar, size, filename);
    }

    fn update(&mut self, size: usize) {
        Progress::update(&mut self.bar, size);
        let _ = self.sender.send(None);
    }

    fn finish(&mut self) {
        Progress::finish(&mut self.bar);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn cached(folder: &std::path::Path, files: &[&str]) -> Hub {
        let root = folder.join("models--a--b");
        fs::create_dir_all(root.join("refs")).unwrap();
        fs::write(root.join("refs/main"), "c0ffee").unwrap();
        fs::create_dir_all(root.join("snapshots/c0ffee")).unwrap();
        for file in files {
            fs::write(root.join("snapshots/c0ffee").join(file), "x").unwrap();
        }
        Hub { repo: "a/b".to_owned(), cache: Cache::new(folder.to_owned()), endpoint: None, token: None, offline: true }
    }

    #[test]
    fn files_in_the_cache_are_found_together_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let hub = cached(folder.path(), &["config.json", "model.safetensors"]);
        let paths = hub.all_cached(&["config.json", "model.safetensors"]).unwrap();
        assert!(paths[1].ends_with("snapshots/c0ffee/model.safetensors"));
        assert_eq!(hub.all_cached(&["config.json", "tokenizer.json"]), None);
    }

    #[test]
    fn only_owner_slash_name_is_a_repository() {
        assert!(check_name("Qwen/Qwen3-0.6B").is_ok());
        for name in ["", "a", "a/", "/b", "a/b/c", "../b", "a/..", "a/b?x=1", "a b/c", "a/b\u{1b}[2J"] {
            let message = check_name(name).unwrap_err().to_string();
            assert!(message.contains("hf:owner/name") && !message.contains('\u{1b}'), "{message}");
        }
    }

    #[test]
    fn failures_are_explained_in_plain_words() {
        let folder = tempfile::tempdir().unwrap();
        let hub = cached(folder.path(), &[]);
        let cases = [
            (Failure::Absent, "has no model.safetensors"),
            (Failure::Forbidden, "set HF_TOKEN"),
            (Failure::Stalled, "arrived for 60 s"),
            (Failure::Other(ApiError::InvalidResume), "is this computer online"),
        ];
        for (failure, words) in cases {
            let message = hub.explain("model.safetensors", failure).to_string();
            assert!(message.contains(words), "{message}");
        }
    }
}
