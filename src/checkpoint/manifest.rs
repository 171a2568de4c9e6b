//! `run.json`: how a model came to be.
//!
//! Every field has a default, so that a file written by an older version, or with fields that a newer one added, loads.

use crate::model::{Config, Family};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a training run was given, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// The version of siskin that trained the model.
    pub siskin_version: String,
    /// The run's name.
    pub name: String,
    /// The corpus report: files with hashes, documents, bytes, split.
    pub corpus: Value,
    /// BLAKE3 of `tokenizer.json`, in hexadecimal.
    pub tokenizer_hash: String,
    /// The model's shape.
    pub config: Config,
    /// Trainable weights.
    pub n_params: u64,
    /// The training settings: batch, rates, schedule, patience. Of a finished run by minutes also its milestones, so that
    /// these settings make the same run again.
    pub settings: Value,
    /// How the planner came to shape and settings: what it weighed, and what it expected. None for repeated runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice: Option<Value>,
    /// The model that a fine-tuning began with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseModel>,
    /// The seed of weights, batches and samples.
    pub seed: u64,
    /// The processor's name.
    pub cpu: String,
    /// The instruction set that the kernels used.
    pub instruction_set: String,
    /// Worker threads.
    pub n_threads: usize,
    /// Seconds of training, over all resumed parts.
    pub wall_s: f64,
    /// Optimizer steps taken.
    pub n_steps: u64,
    /// Training tokens seen, repeats included.
    pub n_tokens_seen: u64,
    /// Times that the run went back to a checkpoint because the loss was no longer a number.
    pub n_rollbacks: u32,
    /// Held-out bits per byte of the saved weights.
    pub bits_per_byte: Option<f64>,
    /// Standard error of `bits_per_byte`.
    pub bits_per_byte_error: Option<f64>,
    /// Held-out bits per byte of simpler methods, by name.
    pub baselines: BTreeMap<String, f64>,
    /// How much of what the model writes it has copied; none where that was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbatim: Option<Verbatim>,
    /// How many questions the model has answered rightly; none where it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
    /// Whether the corpus held dialogues, so that the model answers instead of continuing.
    pub trained_on_messages: bool,
    /// Whether the run came to its end, as opposed to being interrupted.
    pub finished: bool,
}

/// The model that a fine-tuning began with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BaseModel {
    /// Its directory.
    pub path: String,
    /// BLAKE3 of its weights as `f32` in the order of the layout, in hexadecimal.
    pub weights_hash: String,
}

/// Words that a model's texts have in common with its training text, in runs of several.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Verbatim {
    /// Texts that the model wrote for this, at temperature 1.
    pub n_texts: u64,
    /// Tokens of these texts.
    pub n_tokens: u64,
    /// Words of the shortest run that counts.
    pub min_run_words: u64,
    /// Words of the texts.
    pub n_words: u64,
    /// Those of them that lie in a run.
    pub n_copied_words: u64,
    /// Words of held-out text that were measured in the same way.
    pub n_held_out_words: u64,
    /// Those of them that lie in a run.
    pub n_held_out_copied_words: u64,
    /// Words of the longest run in the model's texts, counted even where it is shorter than `min_run_words`.
    pub longest_run_words: u64,
    /// That run, its words joined by blanks.
    pub longest_run: String,
}

/// The tally of an examination.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Answers {
    /// The name of the file of questions.
    pub file: String,
    /// Right answers and questions, by the kind of question.
    pub by_kind: BTreeMap<String, [u64; 2]>,
}

impl Answers {
    /// Right answers and questions of all kinds.
    pub fn total(&self) -> [u64; 2] {
        self.by_kind.values().fold([0, 0], |[right, asked], [r, a]| [right + r, asked + a])
    }
}

impl Default for Manifest {
    fn default() -> Manifest {
        Manifest {
            siskin_version: String::new(),
            name: String::new(),
            corpus: Value::Null,
            tokenizer_hash: String::new(),
            config: no_shape(),
            n_params: 0,
            settings: Value::Null,
            choice: None,
            base: None,
            seed: 0,
            cpu: String::new(),
            instruction_set: String::new(),
            n_threads: 0,
            wall_s: 0.0,
            n_steps: 0,
            n_tokens_seen: 0,
            n_rollbacks: 0,
            bits_per_byte: None,
            bits_per_byte_error: None,
            baselines: BTreeMap::new(),
            verbatim: None,
            answers: None,
            trained_on_messages: false,
            finished: false,
        }
    }
}

/// The shape in a manifest that does not say one: nothing of everything, which no model can be mistaken for.
fn no_shape() -> Config {
    Config {
        n_layer: 0,
        n_head: 0,
        n_kv_head: 0,
        n_embd: 0,
        head_dim: 0,
        n_ffn: 0,
        vocab_size: 0,
        block_size: 0,
        rope_theta: 0.0,
        norm_eps: 0.0,
        tied: false,
        family: Family::Qwen3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Preset;

    #[test]
    fn a_manifest_round_trips() {
        let manifest = Manifest {
            name: "fables".to_owned(),
            config: Preset::Nano.config(512, 64),
            seed: u64::MAX,
            bits_per_byte: Some(1.0625),
            baselines: BTreeMap::from([("xz".to_owned(), 2.5)]),
            verbatim: Some(Verbatim { n_words: 12, longest_run: "a b".to_owned(), ..Verbatim::default() }),
            ..Manifest::default()
        };
        let text = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest);
    }

    #[test]
    fn files_of_older_and_newer_versions_load() {
        for text in ["{}", r#"{"name":"x","added_later":[1]}"#, r#"{"verbatim":{"n_words":3}}"#] {
            assert!(serde_json::from_str::<Manifest>(text).is_ok(), "{text}");
        }
    }
}
