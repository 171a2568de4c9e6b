//! A model directory: which files it has, and how each is written and read.
//!
//! The layout is that of the Hugging Face Hub, so that transformers loads it unchanged. What is in the larger files is
//! known to `weights` and `resume`. Directories may come from strangers, so text files are read up to a limit.

use super::atomic::{remove_leftovers, write_atomic};
use super::manifest::Manifest;
use super::names::RUNS;
use super::resume::{self, ResumeRef, ResumeState};
use super::{adapter, gguf, weights};
use crate::model::{Config, Mix};
use crate::tokenizer::{CHATML_TEMPLATE, SpecialNames, Tokenizer};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

pub(super) const CONFIG: &str = "config.json";
pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
pub(super) const GENERATION_CONFIG: &str = "generation_config.json";
pub(super) const CHAT_TEMPLATE: &str = "chat_template.jinja";
/// The quantized copy that training leaves.
pub const QUANTIZED: &str = "model.q8_0.gguf";
const MANIFEST: &str = "run.json";
const RESUME: &str = "resume/state.safetensors";
const FROZEN: &str = "resume/base.safetensors";

/// Longest JSON file that is read whole: a vocabulary of 256 thousand entries takes about 30 MB, and is not read here.
const MAX_JSON_BYTES: u64 = 16 << 20;

/// A directory that holds a model, or will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelDir {
    /// Where it is.
    pub path: PathBuf,
}

impl ModelDir {
    /// Makes the directory if it does not exist, and removes temporary files that a killed run left in it.
    pub fn create(path: impl Into<PathBuf>) -> Result<ModelDir> {
        let path = path.into();
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        remove_leftovers(&path)?;
        remove_leftovers(&path.join("resume"))?;
        remove_leftovers(&path.join(adapter::FOLDER))?;
        Ok(ModelDir { path })
    }

    /// Opens a directory that holds a whole model; an error says what is missing.
    pub fn open(path: impl Into<PathBuf>) -> Result<ModelDir> {
        let dir = ModelDir { path: path.into() };
        let shown = dir.path.display();
        ensure!(
            dir.path.is_dir(),
            "{shown} is not a directory: a model is a directory with {CONFIG}, {WEIGHTS} and {TOKENIZER}"
        );
        let missing: Vec<&str> = [CONFIG, WEIGHTS, TOKENIZER].into_iter().filter(|name| !dir.has_file(name)).collect();
        ensure!(missing.is_empty(), "{shown} is not a whole model directory: it lacks {}", missing.join(" and "));
        Ok(dir)
    }

    /// Whether the file is there; weights may also be in several files, with an index.
    fn has_file(&self, name: &str) -> bool {
        self.path.join(name).is_file() || name == WEIGHTS && self.path.join(weights::INDEX).is_file()
    }

    /// The directory's own name, which is the run's name.
    pub fn name(&self) -> String {
        let absolute = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        absolute.file_name().map_or_else(|| self.path.display().to_string(), |name| name.to_string_lossy().into_owned())
    }

    /// What a person types to name this model: its name if it lies under `runs/`, else its path.
    pub fn typed_name(&self) -> String {
        let is_run = self.path.parent() == Some(Path::new(RUNS));
        if is_run { self.name() } else { self.path.display().to_string() }
    }

    /// Whether weights have been saved.
    pub fn has_weights(&self) -> bool {
        self.path.join(WEIGHTS).is_file()
    }

    /// The file that says when the weights were written: they themselves, or the index of several files.
    pub(super) fn weights_file(&self) -> Option<PathBuf> {
        [WEIGHTS, weights::INDEX].map(|name| self.path.join(name)).into_iter().find(|path| path.is_file())
    }

    /// Writes what a model trained here is: `config.json`, `tokenizer.json`, `tokenizer_config.json` with the chat template,
    /// and `generation_config.json`.
    pub fn write_description(&self, config: &Config, tokenizer: &Tokenizer) -> Result<()> {
        // Every text is learned behind the mark that ends one.
        self.describe_with(config, tokenizer, Some(CHATML_TEMPLATE), true)
    }

    /// The same for a model from elsewhere, which has a chat template of its own or none.
    pub fn describe(&self, config: &Config, tokenizer: &Tokenizer, chat_template: Option<&str>) -> Result<()> {
        self.describe_with(config, tokenizer, chat_template, tokenizer.begin_of_text().is_some())
    }

    fn describe_with(
        &self,
        config: &Config,
        tokenizer: &Tokenizer,
        chat_template: Option<&str>,
        adds_bos: bool,
    ) -> Result<()> {
        let tokenizer_json = tokenizer.to_json()?;
        write_atomic(&self.path.join(TOKENIZER), |out| Ok(out.write_all(&tokenizer_json)?))?;
        self.write_json(TOKENIZER_CONFIG, &tokenizer_config(config, tokenizer, chat_template, adds_bos))?;
        self.write_json(GENERATION_CONFIG, &generation_config(tokenizer))?;
        self.write_json(CONFIG, &config.to_hf_json(tokenizer.bos(), tokenizer.eos()))
    }

    /// The model's shape.
    pub fn config(&self) -> Result<Config> {
        let text = self.read_text(CONFIG)?;
        Config::from_hf_json(&text).with_context(|| format!("reading {}", self.path.join(CONFIG).display()))
    }

    /// The model's tokenizer, all of whose ids have a row in the model's embedding.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        let settings = self.tokenizer_settings()?;
        // Older files have a table in the place of the name.
        let name = |key: &str| settings[key].as_str().or(settings[key]["content"].as_str());
        let adds_bos = settings["add_bos_token"].as_bool().unwrap_or(false);
        let names = SpecialNames { bos: name("bos_token"), eos: name("eos_token"), adds_bos };
        let tokenizer = Tokenizer::load_with(&self.path.join(TOKENIZER), names)?;
        let (n_entries, n_rows) = (tokenizer.vocab_size(), self.config()?.vocab_size);
        ensure!(
            n_entries <= n_rows,
            "{} has {n_entries} entries, but {CONFIG} says vocab_size {n_rows}: they belong to different models",
            self.path.join(TOKENIZER).display()
        );
        Ok(tokenizer)
    }

    /// How a dialogue is written, a Jinja template: of `tokenizer_config.json`, or the file that newer models have for it.
    pub fn chat_template(&self) -> Result<Option<String>> {
        if self.path.join(CHAT_TEMPLATE).is_file() {
            return self.read_text(CHAT_TEMPLATE).map(Some);
        }
        let settings = self.tokenizer_settings()?;
        let template = match &settings["chat_template"] {
            // Several templates by name.
            Value::Array(named) => {
                named.iter().find(|named| named["name"] == "default").map(|named| &named["template"])
            }
            template => Some(template),
        };
        Ok(template.and_then(Value::as_str).map(str::to_owned))
    }

    /// The chat template, unless the model was trained here on plain text: it would be taken for one that answers.
    pub fn learned_template(&self) -> Result<Option<String>> {
        let takes_turns = self.manifest()?.is_none_or(|manifest| manifest.trained_on_messages);
        Ok(self.chat_template()?.filter(|_| takes_turns))
    }

    /// `tokenizer_config.json`; null where there is none.
    fn tokenizer_settings(&self) -> Result<Value> {
        if !self.path.join(TOKENIZER_CONFIG).is_file() {
            return Ok(Value::Null);
        }
        let text = self.read_text(TOKENIZER_CONFIG)?;
        serde_json::from_str(&text).with_context(|| format!("reading {}", self.path.join(TOKENIZER_CONFIG).display()))
    }

    /// Saves the flat block `weights` under the tensors' names, whole or not at all. A tied head is not written: the
    /// embedding stands for it, as `config.json` says. What was made of other weights ([`QUANTIZED`]) goes.
    pub fn save_weights(&self, config: &Config, weights: &[f32]) -> Result<()> {
        let quantized = self.path.join(QUANTIZED);
        if quantized.exists() {
            fs::remove_file(&quantized).with_context(|| format!("removing {}", quantized.display()))?;
        }
        weights::save(&self.path.join(WEIGHTS), config, weights).with_context(|| self.saving())
    }

    /// Loads the weights of `config` into one flat block; every name and shape is checked before.
    pub fn load_weights(&self, config: &Config) -> Result<Vec<f32>> {
        weights::load(&self.path, config)
    }

    /// Checks that the weights file has every tensor of `config` in its shape, without reading their values.
    pub fn check_weights(&self, config: &Config) -> Result<()> {
        weights::check(&self.path, config)
    }

    /// Writes the quantized copy of a model that was trained here ([`QUANTIZED`]), whole or not at all. It does not say the
    /// run's name, so that the same run under another name gives the same bytes.
    pub fn write_quantized(&self, n_threads: usize) -> Result<()> {
        let (config, tokenizer, template) = (self.config()?, self.tokenizer()?, self.learned_template()?);
        let weights = self.load_weights(&config)?;
        let contents = gguf::Contents {
            name: None,
            config: &config,
            weights: &weights,
            tokenizer: &tokenizer,
            chat_template: template.as_deref(),
            // A model trained here has learned every text behind the mark that ends one.
            begin_of_text: Some(tokenizer.end_of_text()),
        };
        write_atomic(&self.path.join(QUANTIZED), |out| contents.write(out, Mix::Q8_0, n_threads, &mut |_| ()).map(drop))
    }

    /// How the model was trained; `None` where siskin did not train it.
    pub fn manifest(&self) -> Result<Option<Manifest>> {
        if !self.path.join(MANIFEST).exists() {
            return Ok(None);
        }
        let text = self.read_text(MANIFEST)?;
        let manifest =
            serde_json::from_str(&text).with_context(|| format!("reading {}", self.path.join(MANIFEST).display()))?;
        Ok(Some(manifest))
    }

    /// Writes `run.json`.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        self.write_json(MANIFEST, manifest)
    }

    /// Saves what the run needs to go on.
    pub fn save_resume(&self, state: ResumeRef) -> Result<()> {
        resume::save(&self.path.join(RESUME), state).with_context(|| self.saving())
    }

    /// Loads what the run needs to go on, of which `n_learned` numbers are learned: all weights, or adapters.
    pub fn load_resume(&self, n_learned: usize) -> Result<ResumeState> {
        ensure!(
            self.has_resume(),
            "{} has no {RESUME}, so there is nothing to resume: train anew with `siskin train PATH`",
            self.path.display()
        );
        resume::load(&self.path.join(RESUME), n_learned)
    }

    /// Saves weights that stay as they are while adapters learn: once, since checkpoints need not repeat them.
    pub fn save_frozen(&self, weights: &[f32]) -> Result<()> {
        resume::save_frozen(&self.path.join(FROZEN), weights).with_context(|| self.saving())
    }

    /// Loads what [`ModelDir::save_frozen`] saved; the model must have `n_params` weights.
    pub fn load_frozen(&self, n_params: usize) -> Result<Vec<f32>> {
        resume::load_frozen(&self.path.join(FROZEN), n_params)
    }

    /// Whether a run can go on here.
    pub fn has_resume(&self) -> bool {
        self.path.join(RESUME).is_file()
    }

    fn saving(&self) -> String {
        let name = self.typed_name();
        format!("saving {name} failed, its last save is whole, and `siskin train --resume {name}` continues from that")
    }

    pub(super) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        write_atomic(&self.path.join(name), |out| {
            serde_json::to_writer_pretty(&mut *out, value)?;
            Ok(out.write_all(b"\n")?)
        })
    }

    fn read_text(&self, name: &str) -> Result<String> {
        read_limited(&self.path.join(name), MAX_JSON_BYTES)
    }
}

/// Reads a text file of at most `limit` bytes.
pub(super) fn read_limited(path: &Path, limit: u64) -> Result<String> {
    let read = || -> Result<String> {
        let mut text = String::new();
        let n = File::open(path)?.take(limit + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
            ErrorKind::InvalidData => anyhow::anyhow!("the file is not UTF-8 text"),
            _ => error.into(),
        })?;
        ensure!(n as u64 <= limit, "the file is larger than the limit of {limit} bytes");
        Ok(text)
    };
    read().with_context(|| format!("reading {}", path.display()))
}

/// Settings that make transformers treat the tokenizer as siskin does.
fn tokenizer_config(config: &Config, tokenizer: &Tokenizer, chat_template: Option<&str>, adds_bos: bool) -> Value {
    let mut json = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": name_of(tokenizer, tokenizer.bos()),
        "add_bos_token": adds_bos,
        "eos_token": name_of(tokenizer, tokenizer.eos()),
        "pad_token": name_of(tokenizer, tokenizer.end_of_text()),
        "unk_token": null,
        "model_max_length": config.block_size,
        "clean_up_tokenization_spaces": false,
    });
    if let Some(template) = chat_template {
        json["chat_template"] = template.into();
    }
    json
}

/// How transformers should sample: as `generation` does by default, until the document or the answer ends.
fn generation_config(tokenizer: &Tokenizer) -> Value {
    let end_of_text = tokenizer.end_of_text();
    let mut ends: Vec<u32> = [Some(end_of_text), tokenizer.im_end()].into_iter().flatten().collect();
    ends.extend(Some(tokenizer.eos()).filter(|eos| !ends.contains(eos)));
    json!({
        "bos_token_id": tokenizer.bos(),
        "eos_token_id": ends,
        "pad_token_id": end_of_text,
        "do_sample": true,
        "temperature": 0.8,
        "top_p": 0.95,
        "min_p": 0.05,
    })
}

pub(super) fn name_of(tokenizer: &Tokenizer, id: u32) -> String {
    String::from_utf8_lossy(&tokenizer.decode(&[id])).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Preset, initial_weights};
    use crate::tokenizer::TrainOptions;

    fn config(tied: bool) -> Config {
        Config {
            n_layer: 2,
            n_embd: 16,
            n_head: 2,
            n_kv_head: 1,
            head_dim: 8,
            n_ffn: 24,
            tied,
            ..Preset::Nano.config(40, 16)
        }
    }

    /// A directory with a `config.json` and weights, and a tokenizer that is only there.
    fn saved(config: &Config, weights: &[f32]) -> (tempfile::TempDir, ModelDir) {
        let folder = tempfile::tempdir().unwrap();
        let dir = ModelDir::create(folder.path().join("m")).unwrap();
        dir.write_json(CONFIG, &config.to_hf_json(0, 0)).unwrap();
        dir.save_weights(config, weights).unwrap();
        fs::write(dir.path.join(TOKENIZER), "{}").unwrap();
        (folder, dir)
    }

    #[test]
    fn weights_and_shape_come_back_as_they_were_saved() {
        for tied in [true, false] {
            let config = config(tied);
            let weights = initial_weights(&config, 5);
            let (_folder, dir) = saved(&config, &weights);
            assert_eq!(dir.load_weights(&config).unwrap(), weights, "tied: {tied}");
            assert_eq!(ModelDir::open(&dir.path).unwrap().config().unwrap(), config);
            let names = crate::formats::safetensors::Reader::open(&dir.path.join(WEIGHTS)).unwrap().names().to_vec();
            assert_eq!(names.iter().any(|name| name == "lm_head.weight"), !tied);
        }
    }

    #[test]
    fn opening_says_what_is_missing() {
        let config = config(true);
        let (_folder, dir) = saved(&config, &initial_weights(&config, 1));
        fs::remove_file(dir.path.join(TOKENIZER)).unwrap();
        let message = ModelDir::open(&dir.path).unwrap_err().to_string();
        assert!(message.ends_with("it lacks tokenizer.json"), "{message}");
        assert!(ModelDir::open(dir.path.join("no")).unwrap_err().to_string().contains("is not a directory"));
    }

    #[test]
    fn a_failed_save_names_the_command_that_continues() {
        // Neither folder exists, so neither can be written to.
        for (path, typed) in [("runs/no such run", "no such run"), ("no such folder/fables", "no such folder/fables")] {
            let dir = ModelDir { path: path.into() };
            let message =
                format!("{:#}", dir.save_weights(&config(true), &initial_weights(&config(true), 1)).unwrap_err());
            assert!(
                message.contains(&format!("`siskin train --resume {typed}`")) && message.contains(WEIGHTS),
                "{message}"
            );
        }
    }

    #[test]
    fn a_model_without_a_manifest_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let dir = ModelDir::create(folder.path()).unwrap();
        assert_eq!(dir.manifest().unwrap(), None);
        let manifest = Manifest { name: "x".to_owned(), ..Manifest::default() };
        dir.write_manifest(&manifest).unwrap();
        assert_eq!(dir.manifest().unwrap(), Some(manifest));
    }

    #[test]
    fn huge_or_binary_json_files_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        fs::write(&path, [b'['; 101]).unwrap();
        assert!(format!("{:#}", read_limited(&path, 100).unwrap_err()).contains("limit of 100 bytes"));
        fs::write(&path, [0xff]).unwrap();
        assert!(format!("{:#}", read_limited(&path, 100).unwrap_err()).contains("not UTF-8"));
    }

    #[test]
    fn the_description_lets_transformers_sample_and_chat_as_siskin_does() {
        let options = TrainOptions { vocab_size: 300, max_bytes: 1 << 20 };
        let tokenizer = crate::tokenizer::train(["one two three, one two".to_owned()].into_iter(), options).unwrap();
        let config = Config { vocab_size: tokenizer.vocab_size(), ..config(true) };
        let folder = tempfile::tempdir().unwrap();
        let dir = ModelDir::create(folder.path()).unwrap();
        dir.write_description(&config, &tokenizer).unwrap();
        let json = |name: &str| serde_json::from_str::<Value>(&dir.read_text(name).unwrap()).unwrap();
        let (for_tokenizer, for_sampling) = (json(TOKENIZER_CONFIG), json(GENERATION_CONFIG));
        assert_eq!(for_tokenizer["eos_token"], "<|endoftext|>");
        assert_eq!(for_tokenizer["chat_template"], CHATML_TEMPLATE);
        assert_eq!(for_tokenizer["add_bos_token"], true);
        assert_eq!(dir.tokenizer().unwrap().begin_of_text(), Some(tokenizer.end_of_text()));
        assert_eq!(for_sampling["eos_token_id"], json!([tokenizer.end_of_text(), tokenizer.im_end()]));
        assert_eq!((dir.config().unwrap(), dir.tokenizer().unwrap().hash()), (config.clone(), tokenizer.hash()));
        dir.write_json(CONFIG, &Config { vocab_size: 5, ..config }.to_hf_json(0, 0)).unwrap();
        let message = dir.tokenizer().err().unwrap().to_string();
        assert!(message.contains("vocab_size 5"), "{message}");
    }
}
