//! Names on the Hugging Face Hub to files on this disk. The only module that reaches the network.
//!
//! hf-hub gives the hub's addresses and the layout of the cache, which the Python tools share; requests and downloads are
//! our own (`link`, `transfer` say why), over the same HTTP library that hf-hub is built on. The usual variables are
//! honoured (`settings`). What the files mean is not known here.

mod link;
mod name;
mod progress;
mod settings;
mod store;
mod transfer;

pub use name::HubName;

use crate::words;
use anyhow::{Context, Result, anyhow, ensure};
use hf_hub::{Repo, RepoType};
use link::{Link, Trouble};
use progress::Bar;
use serde::Deserialize;
use settings::Settings;
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use store::Store;

/// Longest list of files that is read: the largest repositories have some thousand files of 200 bytes each.
const MAX_LIST_BYTES: u64 = 32 << 20;

/// What is asked for first, in words of an error.
const THE_LIST: &str = "the list of files";

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubFile {
    /// Its path in the repository, with slashes.
    pub path: String,
    /// Its size, where it is known.
    pub n_bytes: Option<u64>,
}

/// A state of a repository: a commit and its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    commit: String,
    /// The files, by path.
    pub files: Vec<HubFile>,
}

/// Files that are on this disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The folder that they are in.
    pub folder: PathBuf,
    /// The files, by path.
    pub files: Vec<HubFile>,
}

/// One repository, seen through the settings in the environment.
pub struct Repository {
    name: String,
    settings: Settings,
    store: Store,
}

impl Repository {
    /// The repository of `name`; neither the network nor the disk is touched. An error names the variable of the
    /// environment that makes no sense.
    pub fn open(name: &HubName) -> Result<Repository> {
        let settings = Settings::from_environment()?;
        let store = Store::new(&settings.cache, &name.repo);
        Ok(Repository { name: name.repo.clone(), settings, store })
    }

    /// What the cache has of it.
    pub fn cached(&self) -> Option<Snapshot> {
        let folder = self.store.current()?;
        let file = |(path, n_bytes)| HubFile { path, n_bytes: Some(n_bytes) };
        let files = store::files_below(&folder).into_iter().map(file).collect();
        Some(Snapshot { folder, files })
    }

    /// Whether only the cache may be used.
    pub fn is_offline(&self) -> bool {
        self.settings.offline
    }

    /// Where the cache is.
    pub fn cache_folder(&self) -> PathBuf {
        self.store.root().to_owned()
    }

    /// Asks the hub which files the repository has now.
    pub fn list(&self) -> Result<Listing> {
        let link = self.link()?;
        let path = Repo::new(self.name.clone(), RepoType::Model).api_url();
        let url = format!("{}/api/{path}?blobs=true", self.settings.endpoint);
        let read = || {
            let mut json = Vec::new();
            let body = link.get(&url, None)?.into_reader();
            body.take(MAX_LIST_BYTES + 1).read_to_end(&mut json).map_err(Trouble::reading)?;
            Ok(json)
        };
        let json = read().map_err(|trouble| self.explain(THE_LIST, None, trouble))?;
        ensure!(json.len() as u64 <= MAX_LIST_BYTES, "the list of files of hf:{} is longer than 32 MiB", self.name);
        parse_listing(&json).with_context(|| {
            format!("{} does not answer as a hub does: is HF_ENDPOINT right if it is set", self.settings.endpoint)
        })
    }

    /// Brings `files` of the state `listing` into the cache, where they are not there yet. Returns the folder in which
    /// they lie under their paths, and how many bytes came over the network.
    pub fn download(&self, listing: &Listing, files: &[String]) -> Result<(PathBuf, u64)> {
        let link = self.link()?;
        let mut n_came = 0;
        for file in files {
            n_came += self.bring(&link, &listing.commit, file)?;
        }
        self.store.make_current(&listing.commit)?;
        Ok((self.store.snapshot(&listing.commit), n_came))
    }

    fn link(&self) -> Result<Link> {
        ensure!(!self.settings.offline, "HF_HUB_OFFLINE forbids to ask the hub for hf:{}", self.name);
        Link::new(&self.settings)
    }

    /// Brings one file into the snapshot of `commit`.
    fn bring(&self, link: &Link, commit: &str, file: &str) -> Result<u64> {
        let url = format!("{}/{}/resolve/{commit}/{}", self.settings.endpoint, self.name, name::escaped(file));
        let remote = transfer::describe(link, &url).map_err(|trouble| self.explain(file, None, trouble))?;
        let _held = self.store.lock(&remote.etag, self.settings.patience)?;
        let is_here = fs::metadata(self.store.blob(&remote.etag)).is_ok_and(|blob| blob.len() == remote.n_bytes);
        let mut n_came = 0;
        if !is_here {
            let part = self.store.part(&remote.etag);
            let n_have = || fs::metadata(&part).map_or(0, |part| part.len());
            let bar = Bar::new(file, n_have(), remote.n_bytes);
            let came = transfer::download(link, &url, &remote, &part, self.settings.patience / 60, &bar);
            drop(bar);
            n_came = came.map_err(|trouble| self.explain(file, Some((n_have(), remote.n_bytes)), trouble))?;
            self.store.keep(&remote.etag)?;
        }
        self.store.point(commit, file, &remote.etag)?;
        Ok(n_came)
    }

    /// What went wrong with `what`, of which `so_far` bytes of all are here, and what to do about it.
    fn explain(&self, what: &str, so_far: Option<(u64, u64)>, trouble: Trouble) -> anyhow::Error {
        let (name, endpoint) = (&self.name, &self.settings.endpoint);
        let so_far = so_far.filter(|(n_have, _)| *n_have > 0);
        let here = so_far.map_or_else(String::new, |(n_have, n_bytes)| {
            format!(" after {} of {}", words::bytes(n_have), words::bytes(n_bytes))
        });
        let again = if so_far.is_some() { "try again, it goes on where it stopped" } else { "try again" };
        match trouble {
            Trouble::Refused { status: status @ (401 | 403), .. } if self.settings.token.is_some() => anyhow!(
                "the hub does not show {what} of hf:{name} to the holder of this HF_TOKEN (status {status}): check the \
                 name and the token, and ask for access at {endpoint}/{name}"
            ),
            Trouble::Refused { status: status @ (401 | 403), .. } => anyhow!(
                "the hub does not show {what} of hf:{name} to strangers (status {status}): check the name, or set \
                 HF_TOKEN if it needs permission"
            ),
            Trouble::Refused { status: 404, .. } if what == THE_LIST => {
                anyhow!("there is no hf:{name} on the hub (status 404): check the name at {endpoint}/{name}")
            }
            Trouble::Refused { status: 404, .. } => {
                anyhow!("the hub has no {what} of hf:{name} (status 404): check the name at {endpoint}/{name}")
            }
            Trouble::Refused { status: 429, retry_after_s } => {
                let wait = retry_after_s.map_or_else(|| "some minutes".to_owned(), |s| words::duration(s as f64));
                anyhow!(
                    "the hub has had too many requests from here (status 429): try again in {wait}; with HF_TOKEN set it \
                     allows more"
                )
            }
            Trouble::Refused { status, .. } => {
                anyhow!("the hub refuses {what} of hf:{name} with status {status}{here}: {again} later")
            }
            Trouble::Silent => anyhow!(
                "nothing of {what} of hf:{name} came for {} s{here}: {again}, or be more patient with \
                 HF_HUB_DOWNLOAD_TIMEOUT=SECONDS",
                self.settings.patience.as_secs_f64()
            ),
            Trouble::Broken(cause) if so_far.is_some() => {
                anyhow!("the connection for {what} of hf:{name} broke{here} ({cause}): {again}")
            }
            Trouble::Broken(cause) => anyhow!(
                "{endpoint} cannot be reached for {what} of hf:{name} ({cause}): is this computer online, and HF_ENDPOINT \
                 right if it is set"
            ),
            Trouble::Wrong(fault) => {
                anyhow!(
                    "{what} of hf:{name} does not arrive as it should: {fault}; try again later or another HF_ENDPOINT"
                )
            }
            Trouble::Here(error) => error.context(format!("keeping {what} of hf:{name}{here}")),
        }
    }
}

/// The hub's answer about a repository, as far as it matters here.
#[derive(Deserialize)]
struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
}

/// Files with a path that leads elsewhere are left out: no model has one.
fn parse_listing(json: &[u8]) -> Result<Listing> {
    let answer: Answer = serde_json::from_slice(json)?;
    let commit = answer.sha;
    let is_plain = (1..=64).contains(&commit.len()) && commit.bytes().all(|b| b.is_ascii_alphanumeric());
    ensure!(is_plain, "the commit {:?} is none", commit.chars().take(80).collect::<String>());
    let plain = answer.siblings.into_iter().filter(|sibling| name::is_plain_path(&sibling.rfilename));
    let mut files: Vec<HubFile> =
        plain.map(|sibling| HubFile { path: sibling.rfilename, n_bytes: sibling.size }).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Listing { commit, files })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_has_a_commit_and_the_paths_that_stay_in_the_repository() {
        let json = br#"{"sha": "c0ffee", "private": false, "siblings": [{"rfilename": "b.gguf", "size": 7, "lfs": {}},
                       {"rfilename": "../../a"}, {"rfilename": "/etc/passwd"}, {"rfilename": "a/b.json"}]}"#;
        let listing = parse_listing(json).unwrap();
        let file = |path: &str, n_bytes| HubFile { path: path.to_owned(), n_bytes };
        assert_eq!(listing.files, [file("a/b.json", None), file("b.gguf", Some(7))]);
        for bad in [&b"<html>"[..], b"{}", br#"{"sha": "../x", "siblings": []}"#, br#"{"sha": "", "siblings": []}"#] {
            assert!(parse_listing(bad).is_err());
        }
    }
}
