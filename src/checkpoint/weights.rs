//! `model.safetensors`: named tensors on disk, one flat block in memory, and every doubt about the file in between.
//!
//! Files may come from strangers, and so may the `config.json` beside them: the shape is compared with the header of the
//! weights file, which has been compared with the file's length, before anything is allocated from it.

use super::atomic::write_atomic;
use super::model_dir::CONFIG;
use crate::formats::safetensors::{self, Reader, TensorRef};
use crate::model::{Config, Layout};
use anyhow::{Context, Result, ensure};
use std::collections::HashSet;
use std::io::{Read, Seek};
use std::path::Path;

/// Tensors of a block in the Qwen3 shape: so many must be in the file for each layer that `config.json` claims.
const TENSORS_PER_LAYER: usize = 11;

/// Writes the flat block `weights` under the tensors' names.
pub(super) fn save(path: &Path, config: &Config, weights: &[f32]) -> Result<()> {
    let layout = Layout::new(config);
    assert_eq!(weights.len(), layout.n_elements, "the weights do not fit the layout of {config:?}");
    let tensors: Vec<TensorRef> = layout
        .tensors
        .iter()
        .map(|tensor| TensorRef { name: &tensor.name, shape: &tensor.shape, data: &weights[tensor.range.clone()] })
        .collect();
    write_atomic(path, |out| safetensors::write(out, &tensors, &[]))
}

/// Reads the weights of `config` into one flat block.
pub(super) fn load(path: &Path, config: &Config) -> Result<Vec<f32>> {
    let mut reader = Reader::open(path)?;
    read_weights(&mut reader, config).with_context(|| format!("reading {}", path.display()))
}

/// Checks names and shapes without reading the values.
pub(super) fn check(path: &Path, config: &Config) -> Result<()> {
    let reader = Reader::open(path)?;
    checked_layout(&reader, config).with_context(|| format!("reading {}", path.display()))?;
    Ok(())
}

fn read_weights<R: Read + Seek>(reader: &mut Reader<R>, config: &Config) -> Result<Vec<f32>> {
    let layout = checked_layout(reader, config)?;
    let mut weights = vec![0.0; layout.n_elements];
    for tensor in &layout.tensors {
        reader.read_into(&tensor.name, &mut weights[tensor.range.clone()])?;
    }
    Ok(weights)
}

fn checked_layout<R: Read + Seek>(reader: &Reader<R>, config: &Config) -> Result<Layout> {
    ensure_believable(reader, config)?;
    let layout = Layout::new(config);
    check_tensors(reader, config, &layout)?;
    Ok(layout)
}

/// A layout is only made of numbers in `config.json` that the file's own (checked) header bears out: otherwise a small
/// hostile file could ask for sixteen million layers, or for a product that wraps around.
fn ensure_believable<R: Read + Seek>(reader: &Reader<R>, config: &Config) -> Result<()> {
    let n_tensors = reader.names().len();
    ensure!(
        config.n_layer <= n_tensors / TENSORS_PER_LAYER,
        "{CONFIG} says {} layers, but {n_tensors} tensors are too few for that many",
        config.n_layer
    );
    let [c, q, kv, f, vocab] = [
        config.n_embd as u128,
        config.n_head as u128 * config.head_dim as u128,
        config.n_kv_head as u128 * config.head_dim as u128,
        config.n_ffn as u128,
        config.vocab_size as u128,
    ];
    let wanted = vocab * c + config.n_layer as u128 * c * (2 * q + 2 * kv + 3 * f);
    ensure!(
        wanted <= reader.n_elements() as u128,
        "the shape in {CONFIG} has {wanted} weights in its matrices alone, but the file holds {}",
        reader.n_elements()
    );
    Ok(())
}

fn check_tensors<R: Read + Seek>(reader: &Reader<R>, config: &Config, layout: &Layout) -> Result<()> {
    let missing: Vec<&str> =
        layout.tensors.iter().map(|t| t.name.as_str()).filter(|name| reader.shape(name).is_none()).collect();
    ensure!(missing.is_empty(), "the file lacks {} of the model's tensors: {}", missing.len(), list(&missing));
    for tensor in &layout.tensors {
        let found = reader.shape(&tensor.name).unwrap_or_default();
        ensure!(
            found == tensor.shape,
            "{} has the shape {found:?}, but {CONFIG} asks for {:?}",
            tensor.name,
            tensor.shape
        );
    }
    let known: HashSet<&str> = layout.tensors.iter().map(|t| t.name.as_str()).collect();
    let extra: Vec<&str> = reader
        .names()
        .iter()
        .map(String::as_str)
        .filter(|name| !known.contains(name) && !is_harmless(reader, config, name))
        .collect();
    ensure!(extra.is_empty(), "the file has {} tensors that this model does not use: {}", extra.len(), list(&extra));
    Ok(())
}

/// A second copy of the tied head, and buffers that are computed from the configuration, carry nothing of their own.
fn is_harmless<R: Read + Seek>(reader: &Reader<R>, config: &Config, name: &str) -> bool {
    let tied_head =
        config.tied && name == "lm_head.weight" && reader.shape(name) == Some(&[config.vocab_size, config.n_embd]);
    tied_head || name.ends_with("rotary_emb.inv_freq")
}

/// The first few names; escaped, because they come from a file.
fn list(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(4).map(|name| name.escape_debug().to_string()).collect();
    let more = if names.len() > shown.len() { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::Random;
    use crate::model::{Preset, initial_weights};
    use std::fs;
    use std::path::PathBuf;

    fn config() -> Config {
        let nano = Preset::Nano.config(40, 16);
        Config { n_layer: 2, n_embd: 16, n_head: 2, n_kv_head: 1, head_dim: 8, n_ffn: 24, ..nano }
    }

    /// A weights file of `config()`; the folder goes when it is dropped.
    fn saved() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        save(&path, &config(), &initial_weights(&config(), 1)).unwrap();
        (folder, path)
    }

    /// Writes the file's tensors after `change` had its way with them.
    fn write_changed(path: &Path, change: impl FnOnce(&mut Vec<safetensors::NamedTensor>)) {
        let mut tensors = safetensors::read(path).unwrap();
        change(&mut tensors);
        let views: Vec<TensorRef> = tensors.iter().map(|(name, shape, data)| TensorRef { name, shape, data }).collect();
        write_atomic(path, |out| safetensors::write(out, &views, &[])).unwrap();
    }

    fn load_error(path: &Path, config: &Config) -> String {
        format!("{:#}", load(path, config).unwrap_err())
    }

    #[test]
    fn a_file_of_another_shape_is_refused_by_name() {
        let config = config();
        let (_folder, path) = saved();
        let wider = Config { n_ffn: 250, ..config.clone() };
        assert!(load_error(&path, &wider).contains("weights in its matrices alone"));
        let narrower = Config { n_ffn: 23, ..config.clone() };
        let message = load_error(&path, &narrower);
        assert!(
            message.contains("mlp.gate_proj.weight has the shape [24, 16]") && message.contains("[23, 16]"),
            "{message}"
        );
        write_changed(&path, |tensors| tensors[3].0 = "model.odd".to_owned());
        let message = load_error(&path, &config);
        assert!(
            message.contains("lacks 1 of the model's tensors: model.layers.0.self_attn.k_proj.weight"),
            "{message}"
        );
    }

    #[test]
    fn extra_tensors_are_an_error_unless_they_carry_nothing_of_their_own() {
        let config = config();
        let weights = initial_weights(&config, 1);
        let (_folder, path) = saved();
        write_changed(&path, |tensors| {
            tensors.push(("lm_head.weight".to_owned(), vec![40, 16], vec![0.0; 640]));
            tensors.push(("model.layers.0.self_attn.rotary_emb.inv_freq".to_owned(), vec![4], vec![0.0; 4]));
        });
        assert_eq!(load(&path, &config).unwrap(), weights);
        write_changed(&path, |tensors| {
            tensors.push(("model.layers.0.self_attn.q_proj.bias".to_owned(), vec![1], vec![0.0]))
        });
        assert!(load_error(&path, &config).contains("does not use: model.layers.0.self_attn.q_proj.bias"));
    }

    #[test]
    fn a_shape_that_the_file_does_not_bear_out_is_refused_before_anything_is_allocated() {
        let config = config();
        let (_folder, path) = saved();
        let most = 1 << 24;
        let cases = [
            Config { n_layer: most, ..config.clone() },
            Config { vocab_size: most, n_embd: most, ..config.clone() },
            Config { n_head: most, n_kv_head: most, head_dim: most, n_embd: most, ..config.clone() },
        ];
        for hostile in cases {
            hostile.validate().unwrap();
            assert!(load_error(&path, &hostile).contains(CONFIG));
        }
    }

    #[test]
    fn no_mutation_of_a_weights_file_panics() {
        let config = config();
        let (_folder, path) = saved();
        let valid = fs::read(&path).unwrap();
        let n_header = 8 + u64::from_le_bytes(valid[..8].try_into().unwrap());
        let mut random = Random::new(4, 0);
        for _ in 0..3000 {
            let mut bytes = valid.clone();
            for _ in 0..1 + random.below(3) {
                bytes[random.below(n_header) as usize] = random.next_u64() as u8;
            }
            let n_bytes = bytes.len() as u64;
            let _ = Reader::new(std::io::Cursor::new(bytes), n_bytes)
                .and_then(|mut reader| read_weights(&mut reader, &config));
        }
    }
}
