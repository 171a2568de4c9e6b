//! Shapes as Hugging Face's `config.json` has them (transformers: `configuration_{qwen3,llama,qwen2,gpt2}.py`).
//!
//! A file that asks for something that the arithmetic here does not do (scaled rotary positions, a sliding window, another
//! activation) is refused: it would load, and be wrong.

use super::{Config, Family};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

impl Config {
    /// The Hugging Face `config.json` of this model; `begin_of_text` and `end_of_text` are the ids between which a
    /// document stands.
    pub fn to_hf_json(&self, begin_of_text: u32, end_of_text: u32) -> Value {
        let mut json = match self.family {
            Family::Gpt2 => self.gpt2_json(),
            _ => self.llama_json(),
        };
        json["model_type"] = self.family.name().into();
        json["bos_token_id"] = begin_of_text.into();
        json["eos_token_id"] = end_of_text.into();
        json["initializer_range"] = 0.02.into();
        json["tie_word_embeddings"] = self.tied.into();
        json["torch_dtype"] = "float32".into();
        json["use_cache"] = true.into();
        json["vocab_size"] = self.vocab_size.into();
        json
    }

    fn llama_json(&self) -> Value {
        let architecture = match self.family {
            Family::Llama => "LlamaForCausalLM",
            Family::Qwen2 => "Qwen2ForCausalLM",
            _ => "Qwen3ForCausalLM",
        };
        let mut json = json!({
            "architectures": [architecture],
            "attention_dropout": 0.0,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.n_embd,
            "intermediate_size": self.n_ffn,
            "max_position_embeddings": self.block_size,
            "num_attention_heads": self.n_head,
            "num_hidden_layers": self.n_layer,
            "num_key_value_heads": self.n_kv_head,
            // Through the decimal text of the f32: 1e-6 stays 1e-06 instead of 9.999999974752427e-07.
            "rms_norm_eps": decimal(self.norm_eps),
            "rope_scaling": null,
            "rope_theta": decimal(self.rope_theta),
        });
        match self.family {
            Family::Llama => {
                json["attention_bias"] = false.into();
                json["mlp_bias"] = false.into();
            }
            family => {
                if family == Family::Qwen3 {
                    json["attention_bias"] = false.into();
                }
                json["max_window_layers"] = self.n_layer.into();
                json["sliding_window"] = Value::Null;
                json["use_sliding_window"] = false.into();
            }
        }
        json
    }

    fn gpt2_json(&self) -> Value {
        json!({
            "architectures": ["GPT2LMHeadModel"],
            "activation_function": "gelu_new",
            "attn_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "layer_norm_epsilon": decimal(self.norm_eps),
            "n_ctx": self.block_size,
            "n_embd": self.n_embd,
            "n_head": self.n_head,
            "n_inner": self.n_ffn,
            "n_layer": self.n_layer,
            "n_positions": self.block_size,
            "resid_pdrop": 0.0,
        })
    }

    /// Reads a `config.json` and validates it. Fails on a family that is not known, naming those that are, and on what
    /// the family can be asked for but is not done here.
    pub fn from_hf_json(text: &str) -> Result<Config> {
        let json: Value = serde_json::from_str(text).context("config.json is not JSON")?;
        let family = Family::named(json["model_type"].as_str().unwrap_or("none")).context("config.json")?;
        let config = match family {
            Family::Gpt2 => from_gpt2(&json)?,
            _ => from_llama(&json, family)?,
        };
        config.validate()?;
        Ok(config)
    }
}

fn from_llama(json: &Value, family: Family) -> Result<Config> {
    refuse_what_is_not_done(json, family)?;
    let (n_head, n_embd) = (size(json, "num_attention_heads")?, size(json, "hidden_size")?);
    let if_said = |key: &str, otherwise: usize| if json[key].is_null() { Ok(otherwise) } else { size(json, key) };
    Ok(Config {
        n_layer: size(json, "num_hidden_layers")?,
        n_head,
        n_kv_head: if_said("num_key_value_heads", n_head)?,
        n_embd,
        head_dim: match json["head_dim"].is_null() {
            true => Config::even_head_dim(n_embd, n_head)?,
            false => size(json, "head_dim")?,
        },
        n_ffn: size(json, "intermediate_size")?,
        vocab_size: size(json, "vocab_size")?,
        block_size: size(json, "max_position_embeddings")?,
        // transformers 5 moved the base into `rope_parameters`; both places are read.
        rope_theta: json["rope_theta"].as_f64().or(json["rope_parameters"]["rope_theta"].as_f64()).unwrap_or(10_000.0)
            as f32,
        norm_eps: json["rms_norm_eps"].as_f64().unwrap_or(1e-6) as f32,
        tied: json["tie_word_embeddings"].as_bool().unwrap_or(false),
        family,
    })
}

fn from_gpt2(json: &Value) -> Result<Config> {
    let activation = json["activation_function"].as_str().unwrap_or("gelu_new");
    ensure!(
        matches!(activation, "gelu_new" | "gelu_pytorch_tanh"),
        "config.json asks for the activation {activation}, but gpt2 models are run with gelu_new only"
    );
    for key in ["scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "add_cross_attention"] {
        ensure!(json[key] != true, "config.json asks for {key}, which is not done here");
    }
    let (n_head, n_embd) = (size(json, "n_head")?, size(json, "n_embd")?);
    Ok(Config {
        n_layer: size(json, "n_layer")?,
        n_head,
        n_kv_head: n_head,
        n_embd,
        head_dim: Config::even_head_dim(n_embd, n_head)?,
        n_ffn: if json["n_inner"].is_null() { 4 * n_embd } else { size(json, "n_inner")? },
        vocab_size: size(json, "vocab_size")?,
        block_size: size(json, if json["n_positions"].is_null() { "n_ctx" } else { "n_positions" })?,
        rope_theta: 10_000.0, // not used: positions are learned
        norm_eps: json["layer_norm_epsilon"].as_f64().unwrap_or(1e-5) as f32,
        tied: json["tie_word_embeddings"].as_bool().unwrap_or(true),
        family: Family::Gpt2,
    })
}

fn refuse_what_is_not_done(json: &Value, family: Family) -> Result<()> {
    let activation = json["hidden_act"].as_str().unwrap_or("silu");
    ensure!(activation == "silu", "config.json asks for the activation {activation}, but {} uses silu", family.name());
    for scaling in [&json["rope_scaling"], &json["rope_parameters"]] {
        let kind = scaling["rope_type"].as_str().or(scaling["type"].as_str()).unwrap_or("default");
        ensure!(kind == "default", "config.json asks for rotary positions scaled by {kind:?}, which is not done here");
    }
    for key in ["attention_bias", "mlp_bias", "use_sliding_window"] {
        ensure!(json[key] != true, "config.json asks for {key}, which is not done here for {}", family.name());
    }
    match json["partial_rotary_factor"].as_f64() {
        None | Some(1.0) => Ok(()),
        Some(part) => bail!("config.json turns {part} of a head, but only whole heads are turned here"),
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
    fn every_family_round_trips() {
        for family in Family::ALL {
            for tied in [true, false] {
                let config = Config { family, tied, ..Preset::Tiny.config(4096, 256) };
                let json = config.to_hf_json(1, 2).to_string();
                assert_eq!(Config::from_hf_json(&json).unwrap(), config);
            }
        }
    }

    #[test]
    fn a_hostile_config_is_an_error_not_a_panic() {
        for text in ["", "{}", "[]", r#"{"model_type":"qwen3","hidden_size":-1}"#, r#"{"model_type":"gpt9"}"#] {
            assert!(Config::from_hf_json(text).is_err(), "{text:?} was accepted");
        }
        let huge = Preset::Nano
            .config(512, 64)
            .to_hf_json(0, 0)
            .to_string()
            .replace("\"hidden_size\":128", "\"hidden_size\":1e300");
        assert!(Config::from_hf_json(&huge).is_err());
    }

    #[test]
    fn what_is_not_done_here_is_refused_and_not_passed_over() {
        let cases = [
            (Family::Llama, "rope_scaling", json!({"rope_type": "llama3", "factor": 8.0}), "scaled by \"llama3\""),
            (Family::Llama, "rope_parameters", json!({"rope_type": "yarn"}), "scaled by \"yarn\""),
            (Family::Llama, "attention_bias", json!(true), "attention_bias"),
            (Family::Qwen2, "use_sliding_window", json!(true), "use_sliding_window"),
            (Family::Qwen3, "hidden_act", json!("gelu"), "gelu"),
            (Family::Llama, "partial_rotary_factor", json!(0.5), "0.5 of a head"),
            (Family::Gpt2, "activation_function", json!("relu"), "relu"),
            (Family::Gpt2, "n_head", json!(7), "192 is not divisible by 7"),
        ];
        for (family, key, value, words) in cases {
            let mut json = Config { family, ..Preset::Tiny.config(512, 64) }.to_hf_json(0, 0);
            json[key] = value;
            let message = format!("{:#}", Config::from_hf_json(&json.to_string()).unwrap_err());
            assert!(message.contains(words), "{message:?} lacks {words:?}");
        }
        let message = format!("{:#}", Config::from_hf_json(r#"{"model_type":"mamba"}"#).unwrap_err());
        assert!(message.contains("mamba") && message.contains("qwen3, llama, qwen2, gpt2"), "{message}");
    }
}
