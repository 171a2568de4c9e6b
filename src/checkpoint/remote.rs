//! Which files of a repository on the hub make a model, and which GGUF of several to take.
//!
//! A repository with `model.safetensors` (or its parts) is a model directory; one without is as many models as it has GGUF
//! files, and a person has to say which. Files that are in the cache are used without a question to the hub, except by
//! [`pull`], which asks for the newest. How files travel is the hub's business.

use super::model_dir::{CHAT_TEMPLATE, CONFIG, GENERATION_CONFIG, TOKENIZER, TOKENIZER_CONFIG, WEIGHTS};
use super::quant_names::{QuantName, recommended};
use super::weights::INDEX;
use crate::hub::{HubFile, HubName, Repository};
use crate::words;
use anyhow::{Result, bail, ensure};
use std::path::PathBuf;

/// Most names in an error about a file that is not there.
const MAX_NAMES: usize = 12;

/// A model, or a file of a repository, on this disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// A folder in the layout of a model directory.
    Directory(PathBuf),
    /// One file.
    File(PathBuf),
}

impl Fetched {
    /// Where it is.
    pub fn path(&self) -> &PathBuf {
        match self {
            Fetched::Directory(path) | Fetched::File(path) => path,
        }
    }
}

/// What `name` means, out of the cache where it is whole there, else from the hub.
pub(super) fn fetch(name: &HubName) -> Result<Fetched> {
    let repository = Repository::open(name)?;
    if let Some(found) = cached(&repository, name) {
        return found;
    }
    ensure!(
        !repository.is_offline(),
        "{name} is not in the cache at {}, and HF_HUB_OFFLINE forbids to download it",
        repository.cache_folder().display()
    );
    newest(&repository, name).map(|(fetched, _)| fetched)
}

/// Brings the newest state of what `name` means into the cache, and says how many bytes came for that. Without a network
/// by `HF_HUB_OFFLINE`, what the cache has is taken.
pub fn pull(name: &HubName) -> Result<(Fetched, u64)> {
    let repository = Repository::open(name)?;
    if repository.is_offline() {
        return fetch(name).map(|fetched| (fetched, 0));
    }
    newest(&repository, name)
}

fn newest(repository: &Repository, name: &HubName) -> Result<(Fetched, u64)> {
    let listing = repository.list()?;
    let choice = choose(&listing.files, name)?;
    let (folder, n_bytes) = repository.download(&listing, choice.files())?;
    Ok((choice.found_in(folder), n_bytes))
}

/// What the cache has of `name`: nothing, a model, or several from which a person has to choose. A file that another
/// command fetched alone does not stand for the whole repository, unless it is a model by itself.
fn cached(repository: &Repository, name: &HubName) -> Option<Result<Fetched>> {
    let snapshot = repository.cached()?;
    let choice = choose(&snapshot.files, name);
    match choice {
        Ok(choice) => Some(Ok(choice.found_in(snapshot.folder))),
        // Offline, the choice is among what is here, and the list of that is the answer.
        Err(error) if repository.is_offline() && name.file.is_none() && ggufs(&snapshot.files).len() > 1 => {
            Some(Err(error))
        }
        Err(_) => None,
    }
}

/// The files that are to be fetched for a name.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    Directory(Vec<String>),
    File([String; 1]),
}

impl Choice {
    fn files(&self) -> &[String] {
        match self {
            Choice::Directory(files) => files,
            Choice::File(file) => file,
        }
    }

    fn found_in(self, folder: PathBuf) -> Fetched {
        match self {
            Choice::Directory(_) => Fetched::Directory(folder),
            Choice::File([file]) => Fetched::File(folder.join(file)),
        }
    }
}

fn choose(files: &[HubFile], name: &HubName) -> Result<Choice> {
    let has = |path: &str| files.iter().any(|file| file.path == path);
    if let Some(file) = &name.file {
        ensure!(has(file), "hf:{} has no {file}: it has {}", name.repo, some_names(files, file));
        return Ok(Choice::File([file.clone()]));
    }
    let weights = weights(files);
    let required = [CONFIG, TOKENIZER];
    if !weights.is_empty() && required.into_iter().all(has) {
        // The weights go last: what is wrong with the rest shows before the long wait.
        let small = [CHAT_TEMPLATE, TOKENIZER_CONFIG, GENERATION_CONFIG, CONFIG, TOKENIZER]
            .into_iter()
            .filter(|file| has(file));
        return Ok(Choice::Directory(small.map(str::to_owned).chain(weights).collect()));
    }
    match ggufs(files)[..] {
        [only] => Ok(Choice::File([only.path.clone()])),
        [] if !weights.is_empty() => {
            let missing: Vec<&str> = required.into_iter().filter(|file| !has(file)).collect();
            bail!("{name} has weights, but lacks {}: siskin cannot run it", missing.join(" and "))
        }
        [] => bail!(
            "{name} has neither {WEIGHTS} nor a GGUF file: it has {}; hf:{}:FILE fetches a file as it is",
            some_names(files, ".gguf"),
            name.repo
        ),
        ref several => bail!(which_gguf(several, &name.repo)),
    }
}

/// The weights of a model directory: one file, or its list and all of its parts; nothing where some are missing.
fn weights(files: &[HubFile]) -> Vec<String> {
    let has = |path: &str| files.iter().any(|file| file.path == path);
    if has(WEIGHTS) {
        return vec![WEIGHTS.to_owned()];
    }
    let parts = || {
        let named = files.iter().map(|file| &file.path).filter(|path| path.starts_with("model-"));
        named.filter_map(|path| Some((path, n_parts(path, ".safetensors")?)))
    };
    let n_found = parts().count();
    let all_agree = parts().all(|(_, n_parts)| n_parts == n_found);
    if !has(INDEX) || n_found == 0 || !all_agree {
        return Vec::new();
    }
    std::iter::once(INDEX.to_owned()).chain(parts().map(|(path, _)| path.clone())).collect()
}

/// The 3 of `…-00001-of-00003SUFFIX`.
fn n_parts(path: &str, suffix: &str) -> Option<usize> {
    let (head, whole) = path.strip_suffix(suffix)?.rsplit_once("-of-")?;
    let (_, number) = head.rsplit_once('-')?;
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
    (is_number(number) && is_number(whole)).then(|| whole.parse().ok())?
}

/// The GGUF files that are models: no image encoders (`mmproj`) and no statistics of quantizers (`imatrix`).
fn ggufs(files: &[HubFile]) -> Vec<&HubFile> {
    let is_model = |file: &&HubFile| {
        let lower = file.path.to_ascii_lowercase();
        lower.ends_with(".gguf") && !lower.contains("mmproj") && !lower.contains("imatrix")
    };
    files.iter().filter(is_model).collect()
}

/// The list of GGUF files with their sizes, the one to take marked, and the name to type for it.
fn which_gguf(files: &[&HubFile], repo: &str) -> String {
    let known: Vec<(Option<QuantName>, Option<u64>)> =
        files.iter().map(|file| (quant_name(&file.path), file.n_bytes)).collect();
    let best = recommended(&known);
    let size = |file: &HubFile| file.n_bytes.map_or_else(|| "?".to_owned(), words::bytes);
    let mut text = format!("hf:{repo} has {} GGUF files; add the one to take:\n", files.len());
    for (i, file) in files.iter().enumerate() {
        let note = match known[i].0 {
            _ if Some(i) == best.as_ref().map(|best| best.index) => "   <- recommended",
            _ if n_parts(&file.path, ".gguf").is_some() => "   (a part of several: not run by siskin)",
            Some(name) if !name.runs() => "   (a type that siskin does not run)",
            _ => "",
        };
        text.push_str(&format!("  {:>10}  {}{note}\n", size(file), file.path));
    }
    match best {
        Some(best) => text.push_str(&format!("for example hf:{repo}:{} ({})", files[best.index].path, best.reason)),
        None => text.push_str(&format!("for example hf:{repo}:{}", files[0].path)),
    }
    text
}

/// The quantization in a file's name; none for a part of several.
fn quant_name(path: &str) -> Option<QuantName> {
    if n_parts(path, ".gguf").is_some() { None } else { QuantName::in_file_name(path) }
}

/// Names for an error: those that end as `wanted` does first.
fn some_names(files: &[HubFile], wanted: &str) -> String {
    let ending = wanted.rsplit('.').next().unwrap_or_default();
    let mut names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    names.sort_by_key(|name| !name.ends_with(ending));
    let n_more = names.len().saturating_sub(MAX_NAMES);
    names.truncate(MAX_NAMES);
    match (names.is_empty(), n_more) {
        (true, _) => "no files".to_owned(),
        (false, 0) => names.join(", "),
        (false, n_more) => format!("{} and {n_more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<HubFile> {
        paths.iter().map(|path| HubFile { path: (*path).to_owned(), n_bytes: Some(1_000) }).collect()
    }

    fn chosen(paths: &[&str], name: &str) -> Result<Vec<String>> {
        choose(&files(paths), &HubName::parse(name).unwrap()).map(|choice| choice.files().to_vec())
    }

    fn refused(paths: &[&str], name: &str) -> String {
        chosen(paths, name).unwrap_err().to_string()
    }

    #[test]
    fn safetensors_are_taken_before_ggufs_and_only_what_a_model_needs() {
        let paths =
            ["README.md", CONFIG, "extra.bin", WEIGHTS, "model.gguf", TOKENIZER, TOKENIZER_CONFIG, "onnx/m.onnx"];
        assert_eq!(chosen(&paths, "a/b").unwrap(), [TOKENIZER_CONFIG, CONFIG, TOKENIZER, WEIGHTS]);
        let paths = [CONFIG, WEIGHTS, TOKENIZER, CHAT_TEMPLATE];
        assert_eq!(chosen(&paths, "a/b").unwrap(), [CHAT_TEMPLATE, CONFIG, TOKENIZER, WEIGHTS]);
    }

    #[test]
    fn weights_in_parts_are_taken_when_all_parts_are_there() {
        let (one, two) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
        let whole = chosen(&[CONFIG, one, two, INDEX, TOKENIZER], "a/b").unwrap();
        assert_eq!(whole, [CONFIG, TOKENIZER, INDEX, one, two]);
        assert!(refused(&[CONFIG, one, INDEX, TOKENIZER], "a/b").contains("neither"));
        assert!(refused(&[CONFIG, one, two, TOKENIZER], "a/b").contains("neither"));
    }

    #[test]
    fn a_single_gguf_needs_no_name_and_a_named_file_is_taken_as_it_is() {
        let paths = ["README.md", "mmproj-f16.gguf", "model.Q8_0.GGUF", "imatrix.gguf"];
        assert_eq!(chosen(&paths, "a/b").unwrap(), ["model.Q8_0.GGUF"]);
        assert_eq!(chosen(&paths, "a/b:README.md").unwrap(), ["README.md"]);
    }

    #[test]
    fn what_is_missing_is_said_with_what_is_there() {
        assert!(refused(&[WEIGHTS, CONFIG], "a/b").contains("hf:a/b has weights, but lacks tokenizer.json"));
        assert!(refused(&["x.bin"], "a/b").contains("neither model.safetensors nor a GGUF file: it has x.bin"));
        let message = refused(&["README.md", "b-Q8_0.gguf"], "a/b:b-Q4_0.gguf");
        assert_eq!(message, "hf:a/b has no b-Q4_0.gguf: it has b-Q8_0.gguf, README.md");
        assert!(refused(&[], "a/b").contains("it has no files"));
    }

    #[test]
    fn several_ggufs_are_listed_with_sizes_and_one_is_recommended() {
        let sizes =
            [("m-IQ2_XS.gguf", 50), ("m-Q4_K_M.gguf", 105), ("m-Q8_0.gguf", 145), ("m-f16-00001-of-00002.gguf", 9)];
        let files: Vec<HubFile> = sizes
            .iter()
            .map(|(path, mb)| HubFile { path: (*path).to_owned(), n_bytes: Some(mb * 1_000_000) })
            .collect();
        let text = choose(&files, &HubName::parse("a/b").unwrap()).unwrap_err().to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "hf:a/b has 4 GGUF files; add the one to take:");
        assert_eq!(lines[1], "       50 MB  m-IQ2_XS.gguf   (a type that siskin does not run)");
        assert_eq!(lines[2], "      105 MB  m-Q4_K_M.gguf");
        assert_eq!(lines[3], "      145 MB  m-Q8_0.gguf   <- recommended");
        assert!(lines[4].ends_with("(a part of several: not run by siskin)"), "{text}");
        assert!(lines[5].starts_with("for example hf:a/b:m-Q8_0.gguf ("), "{text}");
    }

    #[test]
    fn parts_are_counted_by_their_names_alone() {
        for (path, n) in [
            ("model-00001-of-00012.safetensors", Some(12)),
            ("Q8_0/x-Q8_0-00002-of-00003.safetensors", Some(3)),
            ("model.safetensors", None),
            ("model-1-of-2.safetensors", None),
            ("model-00001-of-00002.gguf", None),
        ] {
            assert_eq!(n_parts(path, ".safetensors"), n, "{path}");
        }
    }
}
