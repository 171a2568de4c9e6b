//! Holds the source to its layers: a module imports lower layers only, by the table at the top of `src/lib.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A file of `src/`.
struct Source {
    path: PathBuf,
    text: String,
    /// Without comments, as a link in the documentation is no import, and without the test module at the end, which may
    /// borrow from a neighbour (such as the seeded random numbers).
    code: String,
}

impl Source {
    /// The top module that the file belongs to; none for `lib.rs` and `main.rs`.
    fn module(&self) -> Option<String> {
        let below = self.path.strip_prefix(root()).unwrap();
        let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (!matches!(name, "lib" | "main")).then(|| name.to_owned())
    }

    fn shown(&self) -> String {
        self.path.strip_prefix(root()).unwrap().display().to_string()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<Source> {
    let (mut found, mut folders) = (Vec::new(), vec![root()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = without_comments(text.split("#[cfg(test)]\nmod ").next().unwrap_or_default());
                found.push(Source { path, text, code });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Drops what follows `//` on each line. A `//` within a string goes too, which hides no import.
fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or("").to_owned() + "\n").collect()
}

/// Module to layer, from the table: rows such as ``//! | 1 | [`tokenizer`], [`hub`] | ... |``.
fn layers() -> BTreeMap<String, u32> {
    let text = fs::read_to_string(root().join("lib.rs")).unwrap();
    let mut layers = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.trim_start_matches("//!").split('|').map(str::trim).collect();
        let Some(layer) = cells.get(1).and_then(|cell| cell.parse().ok()) else { continue };
        for name in cells[2].split(',') {
            layers.insert(name.trim().trim_matches(|c| matches!(c, '[' | ']' | '`')).to_owned(), layer);
        }
    }
    layers
}

/// The top modules that `code` names through the crate's root: in `crate::x::y` and in `use crate::{x, y::z}`.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, prefix) in code.match_indices("crate::").chain(code.match_indices("siskin::")) {
        let starts_a_word = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        let path = &code[at + prefix.len()..];
        if starts_a_word && let Some(group) = path.strip_prefix('{') {
            found.extend(members(group));
        } else if starts_a_word {
            found.push(identifier(path));
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// The first names of the members of a `{...}` group, given what follows its opening brace.
fn members(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut fresh) = (0, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && !c.is_whitespace() => {
                names.push(identifier(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

fn identifier(path: &str) -> String {
    path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn imports_are_found_in_every_form() {
    let code = "use crate::a::B;\nuse crate::{c, d::{e, f}, g as h};\nlet x = siskin::i::j(); macro_crate::k; pub(crate) fn l();";
    assert_eq!(imports(code), ["a", "c", "d", "g", "i"]);
    assert!(imports(&without_comments("//! see [crate::a]\nx(); // crate::b")).is_empty());
}

#[test]
fn every_module_has_a_layer() {
    let layers = layers();
    for source in sources() {
        if let Some(module) = source.module() {
            assert!(layers.contains_key(&module), "{module} is not in the table at the top of src/lib.rs");
        }
    }
}

#[test]
fn modules_import_lower_layers_only() {
    let layers = layers();
    let mut faults = Vec::new();
    for source in sources() {
        let Some(module) = source.module() else { continue };
        for import in imports(&source.code) {
            let Some(layer) = layers.get(&import) else { continue };
            if import != module && *layer >= layers[&module] {
                faults.push(format!("{} (layer {}) names {import} (layer {layer})", source.shown(), layers[&module]));
            }
        }
    }
    assert!(faults.is_empty(), "imports that do not point down:\n{}", faults.join("\n"));
}

#[test]
fn training_and_generation_do_not_know_each_other() {
    for (module, other) in [("training", "generation"), ("generation", "training")] {
        for source in sources().iter().filter(|source| source.module().as_deref() == Some(module)) {
            assert!(!imports(&source.code).iter().any(|name| name == other), "{} names {other}", source.shown());
        }
    }
}

#[test]
fn only_the_hub_reaches_the_network() {
    for source in sources().iter().filter(|source| source.module().as_deref() != Some("hub")) {
        for word in ["hf_hub", "std::net", "ureq::"] {
            assert!(!source.code.contains(word), "{} names {word}, which is the hub's business", source.shown());
        }
    }
}

#[test]
fn unsafe_code_is_allowed_in_the_kernels_and_in_the_file_that_maps_others() {
    for source in sources().iter().filter(|source| source.code.contains("allow(unsafe_code)")) {
        let module = source.module().unwrap_or_default();
        let mapped = source.path.ends_with("formats/mapped.rs");
        // A module's own attribute may stand where it is declared.
        let declared = source.path.ends_with("src/lib.rs") || source.path.ends_with("formats/mod.rs");
        assert!(module == "kernels" || mapped || declared, "{} allows unsafe code", source.shown());
    }
}

#[test]
fn every_file_says_what_it_owns_and_stays_readable() {
    for source in sources() {
        assert!(source.text.starts_with("//!"), "{} does not open with //!", source.shown());
        let n_lines = source.text.lines().count();
        assert!(n_lines <= 700, "{} has {n_lines} lines: more than one idea lives there", source.shown());
    }
}
