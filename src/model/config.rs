//! The shape of a model, its validation, and its Hugging Face `config.json`.
//!
//! Field names follow nanoGPT. The JSON is that of `Qwen3ForCausalLM` (transformers, `configuration_qwen3.py`).

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The shape of a model: everything needed to know how many weights there are and how they are used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Transformer blocks.
    pub n_layer: usize,
    /// Query heads in a block.
    pub n_head: usize,
    /// Key/value heads in a block; divides `n_head`.
    pub n_kv_head: usize,
    /// Width of the residual stream (C).
    pub n_embd: usize,
    /// Width of a head (D); even, because rotary positions turn pairs.
    pub head_dim: usize,
    /// Width of the feed-forward layer (F).
    pub n_ffn: usize,
    /// Entries of the vocabulary (V).
    pub vocab_size: usize,
    /// Longest context in tokens (T).
    pub block_size: usize,
    /// Base of the rotary frequencies (10,000 in the RoFormer paper, arXiv 2104.09864).
    pub rope_theta: f32,
    /// Added to the mean square under RMSNorm's root.
    pub norm_eps: f32,
    /// Whether the output head is the embedding matrix.
    pub tied: bool,
}

impl Config {
    /// Rejects a shape that no model can have; each error names both numbers.
    pub fn validate(&self) -> Result<()> {
        for (name, value) in [
            ("layers", self.n_layer),
            ("heads", self.n_head),
            ("kv-heads", self.n_kv_head),
            ("width", self.n_embd),
            ("head width", self.head_dim),
            ("ffn", self.n_ffn),
            ("vocab", self.vocab_size),
        ] {
            ensure!(value > 0, "{name} is 0, but a model needs at least 1");
            ensure!(value <= 1 << 24, "{name} is {value}, above the limit of {}", 1 << 24);
        }
        ensure!(
            self.block_size >= 2,
            "context is {}, but learning to continue needs at least 2 tokens",
            self.block_size
        );
        ensure!(
            self.n_head.is_multiple_of(self.n_kv_head),
            "{} heads cannot share {} kv-heads evenly: choose a divisor of {}",
            self.n_head,
            self.n_kv_head,
            self.n_head
        );
        ensure!(
            self.head_dim.is_multiple_of(2),
            "a head is {} wide, but rotary positions turn pairs: width {} over {} heads must be even",
            self.head_dim,
            self.n_embd,
            self.n_head
        );
        ensure!(
            self.rope_theta > 1.0 && self.rope_theta.is_finite(),
            "rope theta is {}, but must be above 1",
            self.rope_theta
        );
        ensure!(
            self.norm_eps > 0.0 && self.norm_eps < 1.0,
            "norm epsilon is {}, but must lie in (0, 1)",
            self.norm_eps
        );
        Ok(())
    }

    /// The width of a head when `n_embd` is split evenly, or an error that names both numbers.
    pub fn even_head_dim(n_embd: usize, n_head: usize) -> Result<usize> {
        ensure!(n_head > 0, "heads is 0, but a model needs at least 1");
        if !n_embd.is_multiple_of(n_head) {
            bail!("width {n_embd} is not divisible by {n_head} heads");
        }
        Ok(n_embd / n_head)
    }

    /// Width of all query heads together (H * D).
    pub fn q_dim(&self) -> usize {
        self.n_head * self.head_dim
    }

    /// Width of all key heads together (KV * D).
    pub fn kv_dim(&self) -> usize {
        self.n_kv_head * self.head_dim
    }

    /// Number of trainable weights; a tied head is counted once.
    pub fn n_params(&self) -> usize {
        let attention = self.n_embd * (2 * self.q_dim() + 2 * self.kv_dim()) + 2 * self.head_dim;
        let ffn = 3 * self.n_embd * self.n_ffn;
        let block = attention + ffn + 2 * self.n_embd;
        let heads = if self.tied { 1 } else { 2 };
        heads * self.vocab_size * self.n_embd + self.n_layer * block + self.n_embd
    }

    /// The Hugging Face `config.json` of this model; `end_of_text` is the id that ends a document.
    pub fn to_hf_json(&self, end_of_text: u32) -> Value {
        json!({
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "attention_bias": false,
            "attention_dropout": 0.0,
            "bos_token_id": end_of_text,
            "eos_token_id": end_of_text,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.n_embd,
            "initializer_range": 0.02,
            "intermediate_size": self.n_ffn,
            "max_position_embeddings": self.block_size,
            "max_window_layers": self.n_layer,
            "num_attention_heads": self.n_head,
            "num_hidden_layers": self.n_layer,
            "num_key_value_heads": self.n_kv_head,
            // Through the decimal text of the f32: 1e-6 stays 1e-06 instead of 9.999999974752427e-07.
            "rms_norm_eps": decimal(self.norm_eps),
            "rope_scaling": null,
            "rope_theta": decimal(self.rope_theta),
            "sliding_window": null,
            "tie_word_embeddings": self.tied,
            "torch_dtype": "float32",
            "use_cache": true,
            "use_sliding_window": false,
            "vocab_size": self.vocab_size,
        })
    }

    /// Reads a `config.json` of the Qwen3 shape and validates it.
    pub fn from_hf_json(text: &str) -> Result<Config> {
        let json: Value = serde_json::from_str(text).context("config.json is not JSON")?;
        let family = json["model_type"].as_str().unwrap_or("none");
        ensure!(family == "qwen3", "model_type is {family:?}, but this version runs qwen3 only");
        let n_head = size(&json, "num_attention_heads")?;
        let n_embd = size(&json, "hidden_size")?;
        let config = Config {
            n_layer: size(&json, "num_hidden_layers")?,
            n_head,
            n_kv_head: if json["num_key_value_heads"].is_null() { n_head } else { size(&json, "num_key_value_heads")? },
            n_embd,
            head_dim: if json["head_dim"].is_null() {
                Config::even_head_dim(n_embd, n_head)?
            } else {
                size(&json, "head_dim")?
            },
            n_ffn: size(&json, "intermediate_size")?,
            vocab_size: size(&json, "vocab_size")?,
            block_size: size(&json, "max_position_embeddings")?,
            // transformers 5 moved the base into `rope_parameters`; both places are read.
            rope_theta: json["rope_theta"]
                .as_f64()
                .or(json["rope_parameters"]["rope_theta"].as_f64())
                .unwrap_or(10_000.0) as f32,
            norm_eps: json["rms_norm_eps"].as_f64().unwrap_or(1e-6) as f32,
            tied: json["tie_word_embeddings"].as_bool().unwrap_or(false),
        };
        config.validate()?;
        Ok(config)
    }
}

fn decimal(value: f32) -> f64 {
    value.to_string().parse().expect("a printed float parses")
}

fn size(json: &Value, key: &str) -> Result<usize> {
    let value =
        json[key].as_u64().with_context(|| format!("config.json has no whole number {key:?} (found {})", json[key]))?;
    ensure!(value <= 1 << 24, "config.json says {key} = {value}, above the limit of {}", 1 << 24);
    Ok(value as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Preset;

    #[test]
    fn hugging_face_json_round_trips() {
        let config = Preset::Tiny.config(4096, 256);
        let json = config.to_hf_json(0).to_string();
        assert_eq!(Config::from_hf_json(&json).unwrap(), config);
    }

    #[test]
    fn shape_errors_name_both_numbers() {
        let good = Preset::Nano.config(512, 64);
        let cases: [(Config, &[&str]); 3] = [
            (Config { n_head: 6, n_kv_head: 4, ..good.clone() }, &["6 heads", "4 kv-heads"]),
            (Config { head_dim: 33, ..good.clone() }, &["33 wide", "over 2 heads"]),
            (Config { block_size: 1, ..good.clone() }, &["context is 1", "at least 2"]),
        ];
        for (config, words) in cases {
            let message = config.validate().unwrap_err().to_string();
            assert!(words.iter().all(|w| message.contains(w)), "{message:?} lacks one of {words:?}");
        }
        let message = Config::even_head_dim(250, 4).unwrap_err().to_string();
        assert!(message.contains("250") && message.contains('4'), "{message}");
    }

    #[test]
    fn a_hostile_config_is_an_error_not_a_panic() {
        for text in ["", "{}", "[]", r#"{"model_type":"qwen3","hidden_size":-1}"#, r#"{"model_type":"gpt9"}"#] {
            assert!(Config::from_hf_json(text).is_err(), "{text:?} was accepted");
        }
        let huge = Preset::Nano
            .config(512, 64)
            .to_hf_json(0)
            .to_string()
            .replace("\"hidden_size\":128", "\"hidden_size\":1e300");
        assert!(Config::from_hf_json(&huge).is_err());
    }
}
