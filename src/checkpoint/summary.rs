//! What there is to say about a model directory, as data; how it is worded is the command line's business.

use super::manifest::Manifest;
use super::model_dir::{ModelDir, name_of};
use crate::model::Config;
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;

/// A model directory at a glance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The directory's name.
    pub name: String,
    /// Where it is.
    pub path: String,
    /// Trainable weights; a tied head counts once.
    pub n_params: u64,
    /// Bytes of all files.
    pub n_bytes: u64,
    /// The model's shape.
    pub config: Config,
    /// Its vocabulary.
    pub tokenizer: TokenizerSummary,
    /// Held-out bits per byte, where siskin trained the model.
    pub bits_per_byte: Option<f64>,
    /// Standard error of `bits_per_byte`.
    pub bits_per_byte_error: Option<f64>,
    /// Held-out bits per byte of simpler methods on the same split, by name.
    pub baselines: BTreeMap<String, f64>,
    /// How the model was trained; none where it comes from elsewhere.
    pub training: Option<Manifest>,
    /// Whether `siskin train --resume` can go on with it.
    pub can_resume: bool,
    /// The files, by name.
    pub files: Vec<FileSize>,
}

/// What a tokenizer knows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenizerSummary {
    /// Entries, special ones included.
    pub vocab_size: usize,
    /// The special entries' names, in the order of their ids.
    pub special_tokens: Vec<String>,
}

/// A file of a model directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileSize {
    /// The path below the directory.
    pub name: String,
    /// Its size.
    pub n_bytes: u64,
}

impl Summary {
    /// Looks at `dir`; the weights' names and shapes are checked, their values are not read.
    pub fn of(dir: &ModelDir) -> Result<Summary> {
        let config = dir.config()?;
        dir.check_weights(&config)?;
        let files = files(dir)?;
        let training = dir.manifest()?;
        let seen = training.as_ref();
        Ok(Summary {
            name: dir.name(),
            path: dir.path.display().to_string(),
            n_params: config.n_params() as u64,
            n_bytes: files.iter().map(|file| file.n_bytes).sum(),
            config,
            tokenizer: tokenizer(dir)?,
            bits_per_byte: seen.and_then(|manifest| manifest.bits_per_byte),
            bits_per_byte_error: seen.and_then(|manifest| manifest.bits_per_byte_error),
            baselines: seen.map(|manifest| manifest.baselines.clone()).unwrap_or_default(),
            training,
            can_resume: dir.has_resume(),
            files,
        })
    }
}

fn tokenizer(dir: &ModelDir) -> Result<TokenizerSummary> {
    let tokenizer = dir.tokenizer()?;
    let ids = 0..tokenizer.vocab_size() as u32;
    let special_tokens = ids.filter(|id| tokenizer.is_special(*id)).map(|id| name_of(&tokenizer, id)).collect();
    Ok(TokenizerSummary { vocab_size: tokenizer.vocab_size(), special_tokens })
}

/// The directory's files and those in `resume/` and `adapter/`, sorted by name.
fn files(dir: &ModelDir) -> Result<Vec<FileSize>> {
    let mut files = Vec::new();
    for below in ["", "resume/", "adapter/"] {
        let folder = dir.path.join(below);
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
            // Through links, which is what the files of a downloaded model are; one that leads nowhere is left out.
            let Some(metadata) = fs::metadata(entry.path()).ok().filter(|metadata| metadata.is_file()) else {
                continue;
            };
            files.push(FileSize {
                name: format!("{below}{}", entry.file_name().to_string_lossy()),
                n_bytes: metadata.len(),
            });
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}
