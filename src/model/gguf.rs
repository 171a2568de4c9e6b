//! Shapes and names of tensors as GGUF files have them (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>; the
//! names of tensors are llama.cpp's, `gguf-py/gguf/constants.py`).

use super::{Config, Family, Part, TensorSpec};
use crate::formats::gguf::{Gguf, Metadata, Writer};
use anyhow::{Context, Result, ensure};

/// Largest size that is believed.
const MOST: usize = 1 << 24;

impl Config {
    /// Sets the entries that describe this shape, `general.architecture` among them.
    pub fn to_gguf(&self, writer: &mut Writer) -> Result<()> {
        let family = self.family.name();
        writer.set("general.architecture", family)?;
        let mut set = |key: &str, value: usize| writer.set(&format!("{family}.{key}"), &(value as u32));
        set("block_count", self.n_layer)?;
        set("context_length", self.block_size)?;
        set("embedding_length", self.n_embd)?;
        set("feed_forward_length", self.n_ffn)?;
        set("attention.head_count", self.n_head)?;
        set("attention.head_count_kv", self.n_kv_head)?;
        set("vocab_size", self.vocab_size)?;
        if self.family.rotates() {
            set("attention.key_length", self.head_dim)?;
            set("attention.value_length", self.head_dim)?;
            set("rope.dimension_count", self.head_dim)?;
            writer.set(&format!("{family}.rope.freq_base"), &self.rope_theta)?;
        }
        writer.set(&format!("{family}.{}", epsilon_key(self.family)), &self.norm_eps)
    }

    /// The shape of the model in a file, validated. The vocabulary's size is that of the embedding, and a head is tied
    /// where there is none of its own.
    pub fn from_gguf(gguf: &Gguf) -> Result<Config> {
        let metadata = gguf.metadata();
        let family = Family::named(metadata.want("general.architecture")?)?;
        refuse_what_is_not_done(gguf, family)?;
        let key = |key: &str| format!("{}.{key}", family.name());
        let size = |name: &str| size(metadata, &key(name));
        let size_or = |name: &str, otherwise: usize| {
            if metadata.get(&key(name)).is_some() { size(name) } else { Ok(otherwise) }
        };
        let (n_head, n_embd) = (size("attention.head_count")?, size("embedding_length")?);
        let embedding = gguf.tensor("token_embd.weight").context("the file has no tensor token_embd.weight")?;
        let head_dim = match metadata.get(&key("attention.key_length")) {
            Some(_) => size("attention.key_length")?,
            None => Config::even_head_dim(n_embd, n_head)?,
        };
        for (name, what) in [("attention.value_length", "values"), ("rope.dimension_count", "rotary positions")] {
            let n = size_or(name, head_dim)?;
            ensure!(n == head_dim, "heads are {head_dim} wide, but their {what} {n}, which is not done here");
        }
        let config = Config {
            n_layer: size("block_count")?,
            n_head,
            n_kv_head: size_or("attention.head_count_kv", n_head)?,
            n_embd,
            head_dim,
            n_ffn: size("feed_forward_length")?,
            vocab_size: embedding.n_rows(),
            block_size: size("context_length")?,
            rope_theta: metadata.optional(&key("rope.freq_base"))?.unwrap_or(10_000.0),
            norm_eps: metadata.want(&key(epsilon_key(family)))?,
            tied: gguf.tensor("output.weight").is_none(),
            family,
        };
        config.validate()?;
        Ok(config)
    }
}

fn epsilon_key(family: Family) -> &'static str {
    match family {
        Family::Gpt2 => "attention.layer_norm_epsilon",
        _ => "attention.layer_norm_rms_epsilon",
    }
}

fn size(metadata: &Metadata, key: &str) -> Result<usize> {
    let n: usize = metadata.want(key)?;
    ensure!(n <= MOST, "metadata key {key}: {n} is above the limit of {MOST}");
    Ok(n)
}

/// What a file of a known family can ask for, and what would be wrong in silence if it were passed over.
fn refuse_what_is_not_done(gguf: &Gguf, family: Family) -> Result<()> {
    let metadata = gguf.metadata();
    let scaling: Option<&str> = metadata.optional(&format!("{}.rope.scaling.type", family.name()))?;
    let is_scaled = scaling.is_some_and(|kind| kind != "none") || gguf.tensor("rope_freqs.weight").is_some();
    ensure!(!is_scaled, "the file asks for scaled rotary positions, which are not done here");
    let n_experts: Option<usize> = metadata.optional(&format!("{}.expert_count", family.name()))?;
    ensure!(n_experts.unwrap_or(0) == 0, "the model is a mixture of experts, which is not done here");
    Ok(())
}

impl TensorSpec {
    /// The name in a GGUF file, such as `blk.0.attn_q.weight`.
    pub fn gguf_name(&self) -> String {
        let part = match self.part {
            Part::Embed => "token_embd",
            Part::Positions => "position_embd",
            Part::AttnNorm => "attn_norm",
            Part::Q => "attn_q",
            Part::K => "attn_k",
            Part::V => "attn_v",
            Part::Qkv => "attn_qkv",
            Part::QNorm => "attn_q_norm",
            Part::KNorm => "attn_k_norm",
            Part::O => "attn_output",
            Part::FfnNorm => "ffn_norm",
            Part::Gate => "ffn_gate",
            Part::Up => "ffn_up",
            Part::Down => "ffn_down",
            Part::FinalNorm => "output_norm",
            Part::Head => "output",
        };
        let kind = if self.is_bias { "bias" } else { "weight" };
        match self.layer {
            Some(layer) => format!("blk.{layer}.{part}.{kind}"),
            None => format!("{part}.{kind}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::blocks::TensorType;
    use crate::model::Preset;

    /// A file of the shape without blocks, with what `change` adds.
    fn file(config: &Config, change: impl FnOnce(&mut Writer) -> Result<()>) -> Vec<u8> {
        let mut writer = Writer::new();
        change(&mut writer).unwrap();
        config.to_gguf(&mut writer).unwrap();
        writer.add_tensor("token_embd.weight", &[config.vocab_size, 1], TensorType::F16).unwrap();
        if !config.tied {
            writer.add_tensor("output.weight", &[1], TensorType::F32).unwrap();
        }
        let mut body = writer.start(Vec::new()).unwrap();
        body.write("token_embd.weight", &vec![0; 2 * config.vocab_size]).unwrap();
        _ = body.write("output.weight", &[0; 4]);
        body.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Config> {
        Config::from_gguf(&Gguf::parse(bytes)?)
    }

    #[test]
    fn every_family_round_trips() {
        for family in Family::ALL {
            for tied in [true, false] {
                let config = Config { family, tied, n_kv_head: 3, ..Preset::Tiny.config(500, 256) };
                assert_eq!(read(&file(&config, |_| Ok(()))).unwrap(), config);
            }
        }
    }

    #[test]
    fn what_is_not_done_here_is_refused_and_not_passed_over() {
        let llama = Config { family: Family::Llama, ..Preset::Tiny.config(500, 256) };
        let scaled = file(&llama, |w| w.set("llama.rope.scaling.type", "yarn"));
        let experts = file(&llama, |w| w.set("llama.expert_count", &8u32));
        for (bytes, words) in
            [(scaled, "scaled rotary"), (experts, "mixture of experts"), (b"GGUF".to_vec(), "version")]
        {
            let message = format!("{:#}", read(&bytes).unwrap_err());
            assert!(message.contains(words), "{message:?} lacks {words:?}");
        }
        let huge = Config { n_ffn: 1 << 25, ..llama };
        assert!(read(&file(&huge, |_| Ok(()))).unwrap_err().to_string().contains("above the limit"));
    }
}
