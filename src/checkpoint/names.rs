//! What a person types for a model, and the directory that it means.
//!
//! A name is a directory, a `.gguf` file, the name of a run under `runs/`, `hf:owner/name[:file]` (fetched once, then
//! kept), `siskin` (the model inside the program), or nothing at all: the newest run, or the model inside the program
//! where there is none. A run's name is one plain path component, so that it never leads out of `runs/`.

use super::bundled::BUNDLED;
use super::model_dir::{CONFIG, ModelDir, TOKENIZER, WEIGHTS};
use super::remote::{self, Fetched};
use crate::hub::HubName;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

/// Where runs are kept, below the folder in which siskin is called.
pub const RUNS: &str = "runs";

/// The file that makes a directory usable for a purpose; its modification time says which run is the newest.
#[derive(Clone, Copy)]
struct Purpose {
    file: &'static str,
    nothing_found: &'static str,
}

const USE: Purpose = Purpose { file: WEIGHTS, nothing_found: "no model found" };
const RESUME: Purpose = Purpose { file: "resume/state.safetensors", nothing_found: "no run to resume found" };

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A model directory.
    Directory(PathBuf),
    /// A single GGUF file.
    Gguf(PathBuf),
    /// The model inside the program.
    Bundled,
}

/// What `name` means; `None` means the newest run with weights, finished or not, or where there is none the bundled model.
pub fn find(name: Option<&str>, runs: &Path) -> Result<Found> {
    match name {
        Some(name) if name.starts_with("hf:") => from_hub(&name["hf:".len()..]),
        Some(name) if is_gguf(name) => gguf_file(Path::new(name)),
        None if runs_by_age(runs, USE)?.is_empty() => Ok(Found::Bundled),
        _ => match resolve_local(name, runs, USE) {
            Err(_) if name == Some(BUNDLED) => Ok(Found::Bundled),
            path => path.map(Found::Directory),
        },
    }
}

/// The directory of the model that `name` means, for what cannot be done with a GGUF file.
pub fn resolve(name: Option<&str>, runs: &Path) -> Result<PathBuf> {
    match find(name, runs)? {
        Found::Directory(path) => Ok(path),
        Found::Bundled if name.is_none() => resolve_local(None, runs, USE),
        Found::Bundled => bail!("{BUNDLED} is the model inside the program, but a model directory is needed here"),
        Found::Gguf(path) => bail!(
            "{0} is a GGUF file, but a model directory is needed here: make one of it with `siskin import {0}`",
            path.display()
        ),
    }
}

/// The directory of the run that `name` means and that can be resumed; `None` means the newest such run.
pub fn resolve_resume(name: Option<&str>, runs: &Path) -> Result<PathBuf> {
    resolve_local(name, runs, RESUME)
}

/// Makes a directory for a run called `name` under `runs`: `name`, or the first of `name-2`, `name-3`, ... that is free.
pub fn new_run_dir(runs: &Path, name: &str) -> Result<PathBuf> {
    fs::create_dir_all(runs).with_context(|| format!("creating {}", runs.display()))?;
    let name = file_name(name);
    for number in 1u32.. {
        let path = runs.join(if number == 1 { name.clone() } else { format!("{name}-{number}") });
        match fs::create_dir(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            made => return made.map(|()| path.clone()).with_context(|| format!("creating {}", path.display())),
        }
    }
    bail!("every numbered name after {name} is taken under {}", runs.display())
}

/// `name` with everything replaced that a shell or a file system gives a meaning of its own.
fn file_name(name: &str) -> String {
    let plain: String = name
        .chars()
        .take(64)
        .map(|c| if c.is_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .collect();
    let plain = plain.trim_matches(|c| matches!(c, '.' | '-'));
    if plain.is_empty() { "run".to_owned() } else { plain.to_owned() }
}

fn resolve_local(name: Option<&str>, runs: &Path, purpose: Purpose) -> Result<PathBuf> {
    let known = runs_by_age(runs, purpose)?;
    let Some(name) = name else {
        let newest = known.into_iter().next().map(|(_, run)| runs.join(run));
        return newest.with_context(|| {
            format!("{} under {}/: train one with `siskin train PATH`", purpose.nothing_found, runs.display())
        });
    };
    ensure!(!name.is_empty(), "the model's name is empty: leave it out to use the newest run");
    let (direct, run) = (PathBuf::from(name), run_path(name, runs));
    let usable = |path: &PathBuf| path.join(CONFIG).is_file() || path.join(purpose.file).is_file();
    // A folder of texts may be called like the run that learned them, so a directory must look like a model to win.
    if let Some(path) = [Some(&direct), run.as_ref()].into_iter().flatten().find(|path| usable(path)) {
        return Ok(path.clone());
    }
    ensure!(!direct.is_file(), "{name} is a file, but a model is a directory with {CONFIG}, {WEIGHTS} and {TOKENIZER}");
    ensure!(!direct.is_dir(), "{name} is a directory, but holds no model: {CONFIG} is missing");
    bail!("no model called {name:?}: there is no such directory, and {}", describe(&known, name, runs))
}

/// The path of the run called `name`, unless the name could lead out of `runs`.
fn run_path(name: &str, runs: &Path) -> Option<PathBuf> {
    let mut components = Path::new(name).components();
    let single = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    (single && !name.contains(['/', '\\'])).then(|| runs.join(name))
}

/// The runs that have the purpose's file, newest first; equally old ones by name, so that the order is stable.
fn runs_by_age(runs: &Path, purpose: Purpose) -> Result<Vec<(SystemTime, String)>> {
    let entries = match fs::read_dir(runs) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("reading {}", runs.display()))?,
    };
    let mut found: Vec<(SystemTime, String)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let modified = fs::metadata(entry.path().join(purpose.file)).ok()?.modified().ok()?;
            Some((modified, entry.file_name().into_string().ok()?))
        })
        .collect();
    found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    Ok(found)
}

/// The runs there are, those most like `name` first.
fn describe(known: &[(SystemTime, String)], name: &str, runs: &Path) -> String {
    if known.is_empty() {
        return format!("{}/ has no run: train one with `siskin train PATH`", runs.display());
    }
    let mut names: Vec<&str> = known.iter().map(|(_, run)| run.as_str()).collect();
    names.sort_by_key(|run| distance(run, name));
    let more = if names.len() > 8 { ", ..." } else { "" };
    names.truncate(8);
    format!("{}/ has {}{more}", runs.display(), names.join(", "))
}

/// The number of characters to insert, remove or replace to turn `a` into `b` (Levenshtein 1966).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn is_gguf(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

/// A single GGUF file, wherever it lies.
fn gguf_file(path: &Path) -> Result<Found> {
    ensure!(path.is_file(), "there is no file {}", path.display());
    Ok(Found::Gguf(path.to_owned()))
}

fn from_hub(name: &str) -> Result<Found> {
    let name = HubName::parse(name)?;
    if let Some(file) = name.file.as_ref().filter(|file| !is_gguf(file)) {
        bail!("{name}: {file} is no model; a model is hf:{} or a .gguf file of it", name.repo);
    }
    match remote::fetch(&name)? {
        Fetched::Directory(folder) => Ok(Found::Directory(ModelDir::open(folder)?.path)),
        Fetched::File(file) => gguf_file(&file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A run whose weights are `age_s` seconds old, counted from a fixed day.
    fn add_run(runs: &Path, name: &str, age_s: u64) {
        fs::create_dir_all(runs.join(name)).unwrap();
        let file = fs::File::create(runs.join(name).join(WEIGHTS)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 - age_s)).unwrap();
    }

    fn error(name: Option<&str>, runs: &Path) -> String {
        format!("{:#}", resolve(name, runs).unwrap_err())
    }

    #[test]
    fn where_nothing_was_trained_the_model_inside_the_program_answers() {
        let runs = tempfile::tempdir().unwrap();
        assert_eq!(find(None, runs.path()).unwrap(), Found::Bundled);
        assert_eq!(find(Some("siskin"), runs.path()).unwrap(), Found::Bundled);
        assert!(error(Some("siskin"), runs.path()).contains("a model directory is needed here"));
        add_run(runs.path(), "siskin", 10);
        for name in [None, Some("siskin")] {
            assert_eq!(find(name, runs.path()).unwrap(), Found::Directory(runs.path().join("siskin")));
        }
    }

    #[test]
    fn nothing_means_the_newest_run_that_has_weights() {
        let runs = tempfile::tempdir().unwrap();
        add_run(runs.path(), "old", 50);
        add_run(runs.path(), "new", 10);
        fs::create_dir(runs.path().join("empty")).unwrap();
        assert_eq!(resolve(None, runs.path()).unwrap(), runs.path().join("new"));
    }

    #[test]
    fn without_any_run_the_error_says_how_to_make_one() {
        let folder = tempfile::tempdir().unwrap();
        for runs in [folder.path().to_owned(), folder.path().join("runs")] {
            let message = error(None, &runs);
            assert!(
                message.starts_with("no model found under") && message.contains("`siskin train PATH`"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_name_is_a_directory_first_and_a_run_second() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        add_run(&runs, "fables", 0);
        add_run(folder.path(), "elsewhere", 0);
        assert_eq!(resolve(Some("fables"), &runs).unwrap(), runs.join("fables"));
        let direct = folder.path().join("elsewhere");
        assert_eq!(resolve(direct.to_str(), &runs).unwrap(), direct);
    }

    #[test]
    fn an_unknown_name_lists_the_nearest_runs_first() {
        let runs = tempfile::tempdir().unwrap();
        add_run(runs.path(), "poems", 0);
        add_run(runs.path(), "fables", 9);
        let message = error(Some("fabels"), runs.path());
        assert!(message.contains("\"fabels\"") && message.ends_with("has fables, poems"), "{message}");
    }

    #[test]
    fn a_name_never_leads_out_of_the_runs() {
        let folder = tempfile::tempdir().unwrap();
        add_run(folder.path(), "secret", 0);
        let runs = folder.path().join("runs");
        add_run(&runs, "a", 0);
        for name in ["../secret", "..", ".", "a/../../secret", "", "..\\secret"] {
            assert_eq!(run_path(name, &runs), None, "{name:?}");
        }
        assert!(error(Some("../secret"), &runs).contains("no model called"));
    }

    #[test]
    fn directories_and_files_that_are_no_model_are_said_to_be_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("text.txt");
        fs::write(&file, "x").unwrap();
        for (path, words) in [
            (folder.path(), "holds no model"),
            (file.as_path(), "is a file"),
            (Path::new("some/x.GGUF"), "there is no file"),
        ] {
            let message = error(path.to_str(), &folder.path().join("runs"));
            assert!(message.contains(words) && message.contains(path.to_str().unwrap()), "{message}");
        }
    }

    #[test]
    fn a_run_can_be_resumed_before_it_has_weights() {
        let runs = tempfile::tempdir().unwrap();
        fs::create_dir_all(runs.path().join("young/resume")).unwrap();
        fs::write(runs.path().join("young/resume/state.safetensors"), "").unwrap();
        assert_eq!(resolve_resume(None, runs.path()).unwrap(), runs.path().join("young"));
        assert_eq!(resolve_resume(Some("young"), runs.path()).unwrap(), runs.path().join("young"));
        assert!(resolve(None, runs.path()).is_err());
    }

    #[test]
    fn a_taken_name_is_numbered() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        for expected in ["fables", "fables-2", "fables-3"] {
            assert_eq!(new_run_dir(&runs, "fables").unwrap(), runs.join(expected));
        }
        for (name, expected) in [("../../x", "x"), ("", "run"), ("..", "run"), ("my book", "my-book"), ("a/b", "a-b")] {
            assert_eq!(file_name(name), expected, "{name:?}");
        }
    }

    #[test]
    fn the_distance_counts_edits() {
        for (a, b, n) in [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0)] {
            assert_eq!((distance(a, b), distance(b, a)), (n, n), "{a} {b}");
        }
    }
}
