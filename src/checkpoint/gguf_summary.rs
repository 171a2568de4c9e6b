//! What there is to say about a GGUF file, as data: its header is read, its weights are not. How it is worded is the
//! command line's business.

use crate::formats::gguf::Gguf;
use crate::formats::mapped::Mapped;
use crate::inference::Backend;
use anyhow::{Context, Result};
use serde::Serialize;
use std::path::Path;

/// A GGUF file at a glance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GgufSummary {
    /// The file's name.
    pub name: String,
    /// Where it is.
    pub path: String,
    /// What the file calls the model, if it does.
    pub title: Option<String>,
    /// Bytes of the file.
    pub n_bytes: u64,
    /// Version of the format.
    pub version: u32,
    /// The family of models (`general.architecture`).
    pub architecture: String,
    /// What runs it: `native` (siskin's own engine) or `candle`; none where nothing here does.
    pub backend: Option<&'static str>,
    /// Tokens of context that the model was trained for.
    pub context_len: Option<u64>,
    /// Layers.
    pub n_layer: Option<u64>,
    /// Width.
    pub n_embd: Option<u64>,
    /// Weights in all tensors.
    pub n_weights: u64,
    /// How the tensors are stored, the type with the most bytes first.
    pub types: Vec<TypeShare>,
    /// The kind of tokenizer (`tokenizer.ggml.model`), if there is one inside.
    pub tokenizer: Option<String>,
    /// Entries of the vocabulary.
    pub vocab_size: Option<usize>,
    /// Whether the file says how a dialogue is written.
    pub has_chat_template: bool,
}

/// Tensors of one type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TypeShare {
    /// ggml's name of it.
    pub name: &'static str,
    /// Tensors.
    pub n_tensors: usize,
    /// Their weights.
    pub n_weights: u64,
    /// Their bytes.
    pub n_bytes: u64,
}

impl GgufSummary {
    /// Looks at the file at `path`.
    pub fn of(path: &Path) -> Result<GgufSummary> {
        GgufSummary::of_bytes(&Mapped::open(path)?, path)
    }

    /// Looks at the bytes of a file that was found at `path`.
    pub fn of_bytes(file: &[u8], path: &Path) -> Result<GgufSummary> {
        let mut summary = GgufSummary::read(file).with_context(|| format!("reading {}", path.display()))?;
        summary.name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        summary.path = path.display().to_string();
        Ok(summary)
    }

    /// The same of a file that `bytes` holds whole.
    fn read(bytes: &[u8]) -> Result<GgufSummary> {
        let gguf = Gguf::parse(bytes)?;
        let metadata = gguf.metadata();
        let architecture: &str = metadata.want("general.architecture")?;
        let number = |key: &str| metadata.optional::<u64>(&format!("{architecture}.{key}"));
        let text = |key: &str| Ok::<_, anyhow::Error>(metadata.optional::<&str>(key)?.map(str::to_owned));
        Ok(GgufSummary {
            name: String::new(),
            path: String::new(),
            title: text("general.name")?,
            n_bytes: bytes.len() as u64,
            version: gguf.version(),
            backend: Backend::of(architecture).ok().map(Backend::name),
            context_len: number("context_length")?,
            n_layer: number("block_count")?,
            n_embd: number("embedding_length")?,
            n_weights: gguf.tensors().iter().map(|tensor| tensor.n_elements() as u64).sum(),
            types: types(&gguf),
            tokenizer: text("tokenizer.ggml.model")?,
            vocab_size: gguf.tensor("token_embd.weight").map(|tensor| tensor.n_rows()),
            has_chat_template: metadata.get("tokenizer.chat_template").is_some(),
            architecture: architecture.to_owned(),
        })
    }
}

fn types(gguf: &Gguf) -> Vec<TypeShare> {
    let mut types: Vec<TypeShare> = Vec::new();
    for tensor in gguf.tensors() {
        let name = tensor.kind.name();
        let at = types.iter().position(|share| share.name == name).unwrap_or_else(|| {
            types.push(TypeShare { name, n_tensors: 0, n_weights: 0, n_bytes: 0 });
            types.len() - 1
        });
        types[at].n_tensors += 1;
        types[at].n_weights += tensor.n_elements() as u64;
        types[at].n_bytes += tensor.range.len() as u64;
    }
    types.sort_by_key(|share| (std::cmp::Reverse(share.n_bytes), share.name));
    types
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::blocks::TensorType;
    use crate::formats::gguf::Writer;

    fn file(architecture: &str) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.set("general.architecture", architecture).unwrap();
        writer.set(&format!("{architecture}.context_length"), &512u32).unwrap();
        writer.set("tokenizer.chat_template", "{{ messages }}").unwrap();
        writer.add_tensor("norm", &[32], TensorType::F32).unwrap();
        writer.add_tensor("token_embd.weight", &[10, 32], TensorType::Q8_0).unwrap();
        let mut body = writer.start(Vec::new()).unwrap();
        body.write("norm", &[0; 128]).unwrap();
        body.write("token_embd.weight", &[0; 340]).unwrap();
        body.finish().unwrap()
    }

    #[test]
    fn a_file_is_described_by_its_header() {
        for (architecture, backend) in [("llama", Some("native")), ("gemma3", Some("candle")), ("mamba", None)] {
            let found = GgufSummary::read(&file(architecture)).unwrap();
            assert_eq!((found.architecture.as_str(), found.backend), (architecture, backend));
            assert_eq!((found.context_len, found.n_layer, found.vocab_size), (Some(512), None, Some(10)));
            assert!(found.has_chat_template && found.tokenizer.is_none() && found.n_weights == 352);
            let share = |name, n_weights, n_bytes| TypeShare { name, n_tensors: 1, n_weights, n_bytes };
            assert_eq!(found.types, [share("Q8_0", 320, 340), share("F32", 32, 128)]);
        }
    }

    #[test]
    fn a_damaged_file_is_named() {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), b"GGUF").unwrap();
        let message = format!("{:#}", GgufSummary::of(path.path()).unwrap_err());
        assert!(message.contains(&path.path().display().to_string()) && message.contains("version"), "{message}");
    }
}
