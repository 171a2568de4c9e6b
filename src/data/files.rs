//! The files behind the paths a person named: folders walked in a stable order, kinds told by name, pipes spooled.
//!
//! Does not look into files, except that the kind of a stream without a name is told by its first bytes.

use super::packed::Compression;
use super::reader::{self, Kind};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// One file to read.
#[derive(Debug)]
pub(crate) struct Source {
    /// Where the bytes lie; of a stream, the spooled copy.
    pub(crate) path: PathBuf,
    /// What a person calls it: the path as it was given, `standard input` for `-`.
    pub(crate) name: String,
    /// How its text is laid out.
    pub(crate) kind: Kind,
    /// How its bytes are packed.
    pub(crate) compression: Compression,
}

/// What a walk found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The files to read, in order.
    pub(crate) sources: Vec<Source>,
    /// Files in folders whose names promise no text, counted by extension.
    pub(crate) other_kinds: BTreeMap<String, u64>,
    /// Files and folders whose names start with a dot; such a folder counts as one.
    pub(crate) n_hidden: u64,
    /// Folders that could not be listed, with the reason.
    pub(crate) unreadable: Vec<(String, String)>,
    /// Copies of streams; deleted when dropped.
    pub(crate) spools: Vec<NamedTempFile>,
}

/// Finds the files behind `paths`, sorted by the bytes of their paths, each file once.
///
/// Fails on a path that does not exist, naming it. `-` is standard input.
pub(crate) fn find(paths: &[PathBuf]) -> Result<Found> {
    let mut walk = Walk::default();
    // Sorted, so that `siskin train a b` and `siskin train b a` are the same run.
    let mut paths: Vec<&PathBuf> = paths.iter().collect();
    paths.sort_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    paths.dedup();
    for path in paths {
        walk.named(path)?;
    }
    Ok(walk.found)
}

#[derive(Default)]
struct Walk {
    found: Found,
    /// Resolved paths of all files and folders met: a file named twice is read once, a loop of links ends.
    seen: HashSet<PathBuf>,
}

impl Walk {
    /// A path from the command line: whatever it is, the person wants it read.
    fn named(&mut self, path: &Path) -> Result<()> {
        if path == Path::new("-") {
            return self.spool(&mut std::io::stdin().lock(), "standard input");
        }
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                bail!("{} does not exist: name a file or folder of text, or - for standard input", path.display())
            }
            Err(e) => return Err(e).with_context(|| format!("reading {}", path.display())),
        };
        if metadata.is_dir() {
            self.folder(path);
        } else if metadata.is_file() {
            let (kind, compression) = kind_of(path).unwrap_or((Kind::Text, Compression::None));
            self.file(path, kind, compression);
        } else {
            // A pipe, as of `siskin train <(command)`, can be read only once; siskin reads twice.
            let mut stream = File::open(path).with_context(|| format!("reading {}", path.display()))?;
            self.spool(&mut stream, &path.display().to_string())?;
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, kind: Kind, compression: Compression) {
        // A file that vanishes between listing and resolving is told apart later, when it is opened.
        if self.seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())) {
            let name = path.display().to_string();
            self.found.sources.push(Source { path: path.to_owned(), name, kind, compression });
        }
    }

    /// All files of text under a folder. A stack of its own instead of recursion: depth costs no thread stack.
    fn folder(&mut self, path: &Path) {
        let first = self.found.sources.len();
        let mut pending = vec![path.to_owned()];
        while let Some(folder) = pending.pop() {
            if let Err(e) = self.list(&folder, &mut pending) {
                self.found.unreadable.push((folder.display().to_string(), format!("folder cannot be listed: {e}")));
            }
        }
        self.found.sources[first..].sort_by(|a, b| bytes_of(&a.path).cmp(bytes_of(&b.path)));
    }

    fn list(&mut self, folder: &Path, pending: &mut Vec<PathBuf>) -> std::io::Result<()> {
        if !self.seen.insert(fs::canonicalize(folder)?) {
            return Ok(());
        }
        let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        // Sorted before anything is decided: which of two links to one file is read must not hang on the disk's order.
        paths.sort_by(|a, b| bytes_of(a).cmp(bytes_of(b)));
        for path in paths {
            self.entry(path, pending);
        }
        Ok(())
    }

    fn entry(&mut self, path: PathBuf, pending: &mut Vec<PathBuf>) {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        // A dangling link has no metadata; it is counted among the other kinds.
        let metadata = fs::metadata(&path).ok();
        if hidden {
            self.found.n_hidden += 1;
        } else if metadata.as_ref().is_some_and(|m| m.is_dir()) {
            pending.push(path);
        } else if let Some((kind, compression)) = kind_of(&path).filter(|_| metadata.is_some_and(|m| m.is_file())) {
            self.file(&path, kind, compression);
        } else {
            let extension = path.extension().map(|e| format!(".{}", e.to_string_lossy().to_lowercase()));
            *self.found.other_kinds.entry(extension.unwrap_or_else(|| "no extension".into())).or_default() += 1;
        }
    }

    /// Copies a stream to a temporary file, because a corpus is read more than once.
    fn spool(&mut self, stream: &mut dyn Read, name: &str) -> Result<()> {
        let mut copy = NamedTempFile::new().context("creating a temporary file for standard input")?;
        std::io::copy(stream, &mut copy).with_context(|| format!("copying {name} to a temporary file"))?;
        let path = copy.path().to_owned();
        let (kind, compression) = reader::sniff(&path).with_context(|| format!("reading the copy of {name}"))?;
        self.found.sources.push(Source { path, name: name.to_owned(), kind, compression });
        self.found.spools.push(copy);
        Ok(())
    }
}

fn bytes_of(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

/// What the name of a file promises; `None` for anything but text.
fn kind_of(path: &Path) -> Option<(Kind, Compression)> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let (stem, compression) = match (name.strip_suffix(".gz"), name.strip_suffix(".zst")) {
        (Some(stem), _) => (stem, Compression::Gzip),
        (_, Some(stem)) => (stem, Compression::Zstd),
        _ => (name.as_str(), Compression::None),
    };
    match stem.rsplit_once('.').map(|(_, extension)| extension) {
        Some("txt" | "md") => Some((Kind::Text, compression)),
        Some("jsonl") => Some((Kind::JsonLines, compression)),
        _ => None,
    }
}

/// What a corpus of these paths is called: the one file's stem or folder's name, else `corpus`; safe as a file name.
pub(crate) fn name_of(paths: &[PathBuf]) -> String {
    let [path] = paths else { return "corpus".into() };
    // Resolved first, so that `.` and `..` have names too.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    let mut name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if path.is_file() {
        for suffix in [".gz", ".zst", ".txt", ".md", ".jsonl"] {
            name.truncate(name.len() - if name.to_lowercase().ends_with(suffix) { suffix.len() } else { 0 });
        }
    }
    let safe = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = name.chars().map(safe).collect();
    let name = name.trim_matches(|c| "-_.".contains(c));
    if !path.exists() || name.is_empty() { "corpus".into() } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: &Found, root: &Path) -> Vec<String> {
        let relative = |s: &Source| s.path.strip_prefix(root).unwrap().display().to_string();
        found.sources.iter().map(relative).collect()
    }

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "text").unwrap();
        }
        folder
    }

    #[test]
    fn folders_are_walked_in_the_order_of_path_bytes() {
        let folder = tree(&["b.txt", "a/z.md", "a/b/c.jsonl.gz", "a.TXT.zst", "B.txt"]);
        let found = find(&[folder.path().to_owned()]).unwrap();
        assert_eq!(names(&found, folder.path()), ["B.txt", "a.TXT.zst", "a/b/c.jsonl.gz", "a/z.md", "b.txt"]);
    }

    #[test]
    fn other_kinds_and_hidden_files_are_counted_not_read() {
        let folder = tree(&["a.txt", "x.png", "y.PNG", "z.pdf", "Makefile", ".git/a.txt", ".b.txt"]);
        let found = find(&[folder.path().to_owned()]).unwrap();
        assert_eq!(names(&found, folder.path()), ["a.txt"]);
        let counts: Vec<_> = found.other_kinds.iter().map(|(kind, n)| (kind.as_str(), *n)).collect();
        assert_eq!(counts, [(".pdf", 1), (".png", 2), ("no extension", 1)]);
        assert_eq!(found.n_hidden, 2);
    }

    #[test]
    fn a_file_named_explicitly_is_read_whatever_its_extension() {
        let folder = tree(&["story.abc", ".hidden"]);
        let paths: Vec<_> = ["story.abc", ".hidden"].map(|f| folder.path().join(f)).to_vec();
        assert_eq!(find(&paths).unwrap().sources.len(), 2);
    }

    #[test]
    fn a_missing_path_is_an_error_that_names_it() {
        let message = find(&["no/such/folder".into()]).unwrap_err().to_string();
        assert!(message.starts_with("no/such/folder does not exist"), "{message}");
    }

    #[test]
    fn a_file_named_twice_is_read_once_and_order_does_not_matter() {
        let folder = tree(&["a.txt", "b.txt"]);
        let (all, b) = (folder.path().to_owned(), folder.path().join("b.txt"));
        let one = find(&[all.clone(), b.clone()]).unwrap();
        let other = find(&[b, all]).unwrap();
        assert_eq!(names(&one, folder.path()), ["a.txt", "b.txt"]);
        assert_eq!(names(&one, folder.path()), names(&other, folder.path()));
    }

    #[cfg(unix)]
    #[test]
    fn a_loop_of_links_ends() {
        let folder = tree(&["a/b.txt"]);
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/loop")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("a/dangling.txt")).unwrap();
        let found = find(&[folder.path().to_owned()]).unwrap();
        assert_eq!(names(&found, folder.path()), ["a/b.txt"]);
    }

    #[test]
    fn a_corpus_is_named_after_its_one_file_or_folder() {
        let folder = tree(&["my notes/tiny.shakespeare.txt.gz", "b.md"]);
        let at = |name: &str| folder.path().join(name);
        assert_eq!(name_of(&[at("my notes/tiny.shakespeare.txt.gz")]), "tiny.shakespeare");
        assert_eq!(name_of(&[at("my notes")]), "my-notes");
        assert_eq!(name_of(&[at("my notes/../b.md")]), "b");
        assert_eq!(name_of(&[at("b.md"), at("my notes")]), "corpus");
        assert_eq!(name_of(&["-".into()]), "corpus");
    }
}
