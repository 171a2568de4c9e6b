//! The cache on this disk, in the layout that hf-hub and the Python tools share.
//!
//! A repository has `blobs/` (contents, by ETag), `snapshots/COMMIT/` (names that point to blobs) and `refs/main` (the
//! commit that counts). `refs/main` moves last, when all that was asked for is there, so a snapshot never looks whole
//! before it is.

use anyhow::{Context, Result, bail};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often one looks whether another program has finished with a file.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Folders in folders that are looked through in a snapshot; the hub's models have one or two.
const MAX_DEPTH: usize = 8;

/// The cache of one repository.
pub(super) struct Store {
    cache: Cache,
    repo: Repo,
}

impl Store {
    /// The part of `cache` that belongs to `owner/name`.
    pub(super) fn new(cache: &Cache, repo: &str) -> Store {
        Store { cache: cache.clone(), repo: Repo::new(repo.to_owned(), RepoType::Model) }
    }

    fn cached(&self) -> CacheRepo {
        self.cache.repo(self.repo.clone())
    }

    /// Where the cache is.
    pub(super) fn root(&self) -> &Path {
        self.cache.path()
    }

    /// The folder of the snapshot that counts, if there is one.
    pub(super) fn current(&self) -> Option<PathBuf> {
        let reference = self.root().join(self.repo.folder_name()).join("refs").join(self.repo.revision());
        let commit = fs::read_to_string(reference).ok()?;
        let is_plain = !commit.is_empty() && commit.bytes().all(|b| b.is_ascii_alphanumeric());
        is_plain.then(|| self.snapshot(&commit)).filter(|folder| folder.is_dir())
    }

    /// The folder of a snapshot.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.cached().pointer_path(commit)
    }

    /// Makes the snapshot of `commit` the one that counts.
    pub(super) fn make_current(&self, commit: &str) -> Result<()> {
        self.cached().create_ref(commit).with_context(|| format!("writing to the cache at {}", self.root().display()))
    }

    /// The path of a content.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.cached().blob_path(etag)
    }

    /// The path of a content that is not whole yet; hf-hub uses the same one.
    pub(super) fn part(&self, etag: &str) -> PathBuf {
        self.blob(etag).with_extension("part")
    }

    /// Keeps other programs away from the content `etag` until the answer is dropped. Waits for one that is at it as long
    /// as its part file grows at least once in `patience`.
    pub(super) fn lock(&self, etag: &str, patience: Duration) -> Result<File> {
        let path = self.blob(etag).with_extension("lock");
        let folder = path.parent().context("a blob lies in a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = opened.with_context(|| format!("opening {}", path.display()))?;
        let size = || fs::metadata(self.part(etag)).map_or(0, |part| part.len());
        let (mut seen, mut since) = (size(), Instant::now());
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if since.elapsed() < patience => std::thread::sleep(LOOK_INTERVAL),
                Err(TryLockError::WouldBlock) => bail!(
                    "another program downloads the same file, but has got nothing for {} s: end it and try again \
                     (it holds {})",
                    patience.as_secs_f64(),
                    path.display()
                ),
                // A file system without locks, such as some network ones: nothing can be kept away there.
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => return Ok(file),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("locking {}", path.display()));
                }
            }
            if size() != seen {
                (seen, since) = (size(), Instant::now());
            }
        }
    }

    /// Turns a part file that is whole into the content `etag`.
    pub(super) fn keep(&self, etag: &str) -> Result<()> {
        let (part, blob) = (self.part(etag), self.blob(etag));
        fs::rename(&part, &blob).with_context(|| format!("renaming {} to {}", part.display(), blob.display()))
    }

    /// Lets `file` in the snapshot of `commit` mean the content `etag`.
    pub(super) fn point(&self, commit: &str, file: &str, etag: &str) -> Result<()> {
        let path = self.snapshot(commit).join(file);
        let folder = path.parent().context("a file lies in a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        // A name that points to nothing or to another content would otherwise stand in the way for ever.
        let removed = fs::remove_file(&path).or_else(|error| match error.kind() {
            ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        });
        let placed = removed.and_then(|()| place(&self.blob(etag), &path, file));
        placed.with_context(|| format!("creating {}", path.display()))
    }
}

/// A link that stays right when the whole cache is moved: up from the file's folder to the repository's, and into `blobs`.
#[cfg(unix)]
fn place(blob: &Path, path: &Path, file: &str) -> std::io::Result<()> {
    let up = "../".repeat(2 + file.matches('/').count());
    std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(blob.file_name().unwrap_or_default()), path)
}

/// Links need a privilege on Windows, so a name there is the content itself.
#[cfg(not(unix))]
fn place(blob: &Path, path: &Path, _file: &str) -> std::io::Result<()> {
    fs::hard_link(blob, path).or_else(|_| fs::copy(blob, path).map(|_| ()))
}

/// The files below `folder`, as paths with slashes, with their sizes.
pub(super) fn files_below(folder: &Path) -> Vec<(String, u64)> {
    let (mut found, mut folders) = (Vec::new(), vec![(String::new(), 0)]);
    while let Some((below, depth)) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder.join(&below)) else { continue };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = format!("{below}{name}");
            // Follows the link to its blob; one that points to nothing is no file.
            match fs::metadata(entry.path()) {
                Ok(about) if about.is_file() => found.push((path, about.len())),
                Ok(about) if about.is_dir() && depth < MAX_DEPTH => folders.push((path + "/", depth + 1)),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(folder: &Path) -> Store {
        Store::new(&Cache::new(folder.to_owned()), "a/b")
    }

    fn put(store: &Store, etag: &str, content: &str) {
        fs::create_dir_all(store.blob(etag).parent().unwrap()).unwrap();
        fs::write(store.part(etag), content).unwrap();
        store.keep(etag).unwrap();
    }

    #[test]
    fn a_snapshot_counts_once_it_is_made_current() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        put(&store, "e1", "one");
        put(&store, "e2", "twos");
        store.point("c0ffee", "config.json", "e1").unwrap();
        store.point("c0ffee", "Q8_0/deep/model.gguf", "e2").unwrap();
        assert_eq!(store.current(), None);
        store.make_current("c0ffee").unwrap();
        let current = store.current().unwrap();
        assert!(current.ends_with("models--a--b/snapshots/c0ffee"), "{}", current.display());
        assert_eq!(files_below(&current), [("Q8_0/deep/model.gguf".to_owned(), 4), ("config.json".to_owned(), 3)]);
        assert_eq!(fs::read_to_string(current.join("Q8_0/deep/model.gguf")).unwrap(), "twos");
    }

    #[test]
    fn a_name_may_come_to_mean_another_content() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        put(&store, "e1", "old");
        put(&store, "e2", "new");
        for (etag, content) in [("e1", "old"), ("e2", "new")] {
            store.point("c0ffee", "config.json", etag).unwrap();
            assert_eq!(fs::read_to_string(store.snapshot("c0ffee").join("config.json")).unwrap(), content);
        }
    }

    #[test]
    fn a_reference_that_leads_elsewhere_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        for odd in ["", "../../..", "/", "a/b"] {
            store.make_current(odd).unwrap();
            assert_eq!(store.current(), None, "{odd:?}");
        }
    }

    #[test]
    fn a_file_that_another_program_holds_is_waited_for_and_then_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let held = store.lock("e1", Duration::ZERO).unwrap();
        let message = store.lock("e1", Duration::from_millis(1)).unwrap_err().to_string();
        assert!(message.contains("another program") && message.contains("e1.lock"), "{message}");
        drop(held);
        store.lock("e1", Duration::ZERO).unwrap();
    }
}
