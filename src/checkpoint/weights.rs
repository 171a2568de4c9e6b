//! `model.safetensors`: named tensors on disk, one flat block in memory, and every doubt about the file in between.
//!
//! Files may come from strangers, and so may the `config.json` beside them: the shape is compared with the header of the
//! weights file, which has been compared with the file's length, before anything is allocated from it. Large models from
//! elsewhere lie in several such files, with an index that says which; only the names of files are taken from it.

use super::atomic::write_atomic;
use super::model_dir::{CONFIG, WEIGHTS, read_limited};
use crate::formats::blocks::TensorType;
use crate::formats::safetensors::{self, Reader, TensorRef};
use crate::inference::{StoredTensor, WeightSource};
use crate::model::{Config, Layout, TensorSpec};
use anyhow::{Context, Result, ensure};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Component, Path};

/// The index of weights in several files.
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// Longest index that is believed: a thousand layers take about 1 MB.
const MAX_INDEX_BYTES: u64 = 16 << 20;

/// Most files of one model; the largest on the Hub have some two hundred.
const MAX_SHARDS: usize = 1000;

/// Writes the flat block `weights` under the tensors' names.
pub(super) fn save(path: &Path, config: &Config, weights: &[f32]) -> Result<()> {
    let layout = Layout::new(config);
    assert_eq!(weights.len(), layout.n_elements, "the weights do not fit the layout of {config:?}");
    let turned: Vec<Vec<f32>> =
        layout.tensors.iter().map(|tensor| turned(tensor, &weights[tensor.range.clone()])).collect();
    let shapes: Vec<Vec<usize>> = layout.tensors.iter().map(shape_in_file).collect();
    let tensors: Vec<TensorRef> = layout
        .tensors
        .iter()
        .zip(shapes.iter().zip(&turned))
        .map(|(tensor, (shape, turned))| {
            let data = if tensor.is_transposed_in_file { &turned[..] } else { &weights[tensor.range.clone()] };
            TensorRef { name: &tensor.name, shape, data }
        })
        .collect();
    write_atomic(path, |out| safetensors::write(out, &tensors, &[]))
}

/// The tensor the other way round, where the file wants it so.
fn turned(tensor: &TensorSpec, data: &[f32]) -> Vec<f32> {
    if tensor.is_transposed_in_file { transposed(data, tensor.shape[1]) } else { Vec::new() }
}

fn shape_in_file(tensor: &TensorSpec) -> Vec<usize> {
    let mut shape = tensor.shape.clone();
    if tensor.is_transposed_in_file {
        shape.reverse();
    }
    shape
}

/// (rows, `n_columns`) to (`n_columns`, rows).
fn transposed(data: &[f32], n_columns: usize) -> Vec<f32> {
    (0..n_columns).flat_map(|column| data.iter().skip(column).step_by(n_columns)).copied().collect()
}

/// Reads the weights of `config` in `folder` into one flat block.
pub(super) fn load(folder: &Path, config: &Config) -> Result<Vec<f32>> {
    let mut files = Files::open(folder)?;
    read_weights(&mut files, config).with_context(|| format!("reading {}", files.shown(folder)))
}

/// Checks names and shapes without reading the values.
pub(super) fn check(folder: &Path, config: &Config) -> Result<()> {
    let files = Files::open(folder)?;
    checked_layout(&files, config).with_context(|| format!("reading {}", files.shown(folder)))?;
    Ok(())
}

/// The files over which the weights are spread; mostly one.
struct Files<R> {
    /// What to name in an error: the weights' file, or the index.
    source: &'static str,
    readers: Vec<Reader<R>>,
    /// Name of a tensor to its file.
    places: HashMap<String, usize>,
}

impl Files<BufReader<File>> {
    fn open(folder: &Path) -> Result<Self> {
        if folder.join(WEIGHTS).is_file() {
            return Files::new(WEIGHTS, vec![Reader::open(&folder.join(WEIGHTS))?]);
        }
        let path = folder.join(INDEX);
        let names = shard_names(&path).with_context(|| format!("reading {}", path.display()))?;
        let readers = names.iter().map(|name| Reader::open(&folder.join(name))).collect::<Result<_>>()?;
        Files::new(INDEX, readers).with_context(|| format!("reading {}", path.display()))
    }
}

/// The files that an index names: plain names in its own folder.
fn shard_names(path: &Path) -> Result<BTreeSet<String>> {
    let index: serde_json::Value =
        serde_json::from_str(&read_limited(path, MAX_INDEX_BYTES)?).context("it is not JSON")?;
    let map = index["weight_map"].as_object().context("it has no weight_map")?;
    let mut names = BTreeSet::new();
    for (tensor, file) in map {
        let name = file.as_str().with_context(|| format!("the file of {} is no text", tensor.escape_debug()))?;
        let mut components = Path::new(name).components();
        let is_plain = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
        ensure!(is_plain && !name.contains('\\'), "the file {name:?} is not in the index's own folder");
        names.insert(name.to_owned());
    }
    ensure!(!names.is_empty(), "it names no file");
    ensure!(names.len() <= MAX_SHARDS, "it names {} files, above the limit of {MAX_SHARDS}", names.len());
    Ok(names)
}

impl<R: Read + Seek> Files<R> {
    fn new(source: &'static str, readers: Vec<Reader<R>>) -> Result<Files<R>> {
        let mut places = HashMap::new();
        for (idx, reader) in readers.iter().enumerate() {
            for name in reader.names() {
                ensure!(places.insert(name.clone(), idx).is_none(), "two files have a tensor {}", name.escape_debug());
            }
        }
        Ok(Files { source, readers, places })
    }

    fn shown(&self, folder: &Path) -> String {
        folder.join(self.source).display().to_string()
    }

    /// The name under which the files have the tensor called `name`: that, or without its first word (`model.`,
    /// `transformer.`), which is how a network without its head is saved.
    fn found<'n>(&self, name: &'n str) -> Option<&'n str> {
        let short = name.split_once('.').map(|(_, rest)| rest);
        [Some(name), short].into_iter().flatten().find(|name| self.places.contains_key(*name))
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        let name = self.found(name)?;
        self.readers[self.places[name]].shape(name)
    }

    fn read_stored(&mut self, name: &str) -> Result<(TensorType, Vec<u8>)> {
        let name = self.found(name).with_context(|| format!("the file has no tensor {name}"))?;
        self.readers[self.places[name]].read_stored(name)
    }

    fn read_into(&mut self, name: &str, out: &mut [f32]) -> Result<()> {
        let name = self.found(name).with_context(|| format!("the file has no tensor {name}"))?;
        self.readers[self.places[name]].read_into(name, out)
    }
}

/// Weights that are read tensor by tensor as they are stored, so that memory holds one tensor besides the network.
pub(super) struct StoredWeights {
    files: RefCell<Files<BufReader<File>>>,
    shown: String,
}

impl StoredWeights {
    /// Checks names and shapes of the weights of `config` in `folder`.
    pub(super) fn open(folder: &Path, config: &Config) -> Result<StoredWeights> {
        let files = Files::open(folder)?;
        let shown = files.shown(folder);
        checked_layout(&files, config).with_context(|| format!("reading {shown}"))?;
        Ok(StoredWeights { files: RefCell::new(files), shown })
    }
}

impl WeightSource for StoredWeights {
    fn tensor(&self, spec: &TensorSpec) -> Result<StoredTensor<'_>> {
        let mut files = self.files.borrow_mut();
        let mut read = || -> Result<StoredTensor<'_>> {
            if spec.is_transposed_in_file {
                let mut floats = vec![0.0; spec.range.len()];
                files.read_into(&spec.name, &mut floats)?;
                let turned = transposed(&floats, spec.shape[0]);
                let bytes = bytemuck::cast_slice(&turned).to_vec();
                return Ok(StoredTensor { kind: TensorType::F32, bytes: bytes.into(), is_interleaved: false });
            }
            let (kind, bytes) = files.read_stored(&spec.name)?;
            Ok(StoredTensor { kind, bytes: bytes.into(), is_interleaved: false })
        };
        read().with_context(|| format!("reading {}", self.shown))
    }
}

fn read_weights<R: Read + Seek>(files: &mut Files<R>, config: &Config) -> Result<Vec<f32>> {
    let layout = checked_layout(files, config)?;
    let mut weights = vec![0.0; layout.n_elements];
    for tensor in &layout.tensors {
        let out = &mut weights[tensor.range.clone()];
        files.read_into(&tensor.name, out)?;
        if tensor.is_transposed_in_file {
            out.copy_from_slice(&transposed(out, tensor.shape[0]));
        }
    }
    Ok(weights)
}

fn checked_layout<R: Read + Seek>(files: &Files<R>, config: &Config) -> Result<Layout> {
    ensure_believable(config, files.places.len()).context(CONFIG)?;
    let layout = Layout::new(config);
    check_tensors(files, config, &layout)?;
    Ok(layout)
}

/// A layout is only made of as many layers as the (checked) header of a file with so many tensors bears out, and of sizes
/// whose products do not wrap around. Memory for the weights is only asked for when every shape is that of the file.
pub(super) fn ensure_believable(config: &Config, n_tensors: usize) -> Result<()> {
    ensure!(
        config.n_layer <= n_tensors / config.family.tensors_per_layer(),
        "the shape has {} layers, but {n_tensors} tensors are too few for that many",
        config.n_layer
    );
    let [c, q, kv, f, vocab] = [
        config.n_embd as u128,
        config.n_head as u128 * config.head_dim as u128,
        config.n_kv_head as u128 * config.head_dim as u128,
        config.n_ffn as u128,
        config.vocab_size as u128 + config.block_size as u128,
    ];
    // 2^60 weights are more than any file holds, and leave room for the vectors in a sum of 64 bits.
    let n_weights = 2 * vocab * c + config.n_layer as u128 * c * (2 * q + 2 * kv + 3 * f);
    ensure!(n_weights < 1 << 60, "the shape has {n_weights} weights, more than any file holds");
    Ok(())
}

fn check_tensors<R: Read + Seek>(files: &Files<R>, config: &Config, layout: &Layout) -> Result<()> {
    let missing: Vec<&str> =
        layout.tensors.iter().map(|t| t.name.as_str()).filter(|name| files.found(name).is_none()).collect();
    ensure!(missing.is_empty(), "the file lacks {} of the model's tensors: {}", missing.len(), list(&missing));
    for tensor in &layout.tensors {
        let (found, wanted) = (files.shape(&tensor.name).unwrap_or_default(), shape_in_file(tensor));
        ensure!(found == wanted, "{} has the shape {found:?}, but {CONFIG} asks for {wanted:?}", tensor.name);
    }
    let known: HashSet<&str> = layout.tensors.iter().filter_map(|tensor| files.found(&tensor.name)).collect();
    let mut extra: Vec<&str> = files.places.keys().map(String::as_str).filter(|name| !known.contains(name)).collect();
    extra.retain(|name| !is_harmless(files, config, name));
    extra.sort_unstable();
    ensure!(extra.is_empty(), "the file has {} tensors that this model does not use: {}", extra.len(), list(&extra));
    Ok(())
}

/// A second copy of the tied head, and buffers that are computed from the configuration, carry nothing of their own.
fn is_harmless<R: Read + Seek>(files: &Files<R>, config: &Config, name: &str) -> bool {
    let tied_head =
        config.tied && name == "lm_head.weight" && files.shape(name) == Some(&[config.vocab_size, config.n_embd]);
    // The mask of GPT-2's attention, which older files keep.
    let is_mask = !config.family.rotates() && (name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"));
    tied_head || is_mask || name.ends_with("rotary_emb.inv_freq")
}

/// The first few names; escaped, because they come from a file.
pub(super) fn list(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(4).map(|name| name.escape_debug().to_string()).collect();
    let more = if names.len() > shown.len() { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::Random;
    use crate::model::{Family, Preset, initial_weights};
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
        format!("{:#}", load(path.parent().unwrap(), config).unwrap_err())
    }

    /// Spreads the tensors of the file at `path` over two, with an index, and removes the file.
    fn split(path: &Path) {
        let tensors = safetensors::read(path).unwrap();
        let mut map = serde_json::Map::new();
        for (name, half) in [("one.safetensors", 0), ("two.safetensors", 1)] {
            let of_half = || tensors.iter().enumerate().filter(move |(i, _)| i % 2 == half).map(|(_, tensor)| tensor);
            let views: Vec<TensorRef> = of_half().map(|(name, shape, data)| TensorRef { name, shape, data }).collect();
            write_atomic(&path.with_file_name(name), |out| safetensors::write(out, &views, &[])).unwrap();
            map.extend(of_half().map(|(tensor, ..)| (tensor.clone(), name.into())));
        }
        fs::write(path.with_file_name(INDEX), serde_json::json!({ "weight_map": map }).to_string()).unwrap();
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn every_family_comes_back_whether_in_one_file_or_several_and_with_or_without_a_prefix() {
        for (family, tied) in Family::ALL.into_iter().flat_map(|family| [(family, true), (family, false)]) {
            let config = Config { family, tied, n_kv_head: 2, ..config() };
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(WEIGHTS);
            let weights: Vec<f32> = (0..config.n_params()).map(|i| i as f32).collect();
            save(&path, &config, &weights).unwrap();
            assert!(load(folder.path(), &config).unwrap() == weights, "{family:?}");
            write_changed(&path, |tensors| {
                for (name, ..) in tensors.iter_mut().filter(|(name, ..)| name != "lm_head.weight") {
                    *name = name.split_once('.').unwrap().1.to_owned();
                }
            });
            assert!(load(folder.path(), &config).unwrap() == weights, "{family:?} without a prefix");
            split(&path);
            assert!(load(folder.path(), &config).unwrap() == weights, "{family:?} in two files");
        }
    }

    #[test]
    fn gpt2_keeps_its_matrices_the_other_way_round() {
        let config = Config { family: Family::Gpt2, n_kv_head: 2, ..config() };
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(&config);
        let weights: Vec<f32> = (0..config.n_params()).map(|i| i as f32).collect();
        save(&folder.path().join(WEIGHTS), &config, &weights).unwrap();
        let mut reader = Reader::open(&folder.path().join(WEIGHTS)).unwrap();
        let name = "transformer.h.0.attn.c_attn.weight";
        assert_eq!(reader.shape(name).unwrap(), [16, 48]);
        let ours = &weights[layout.layers[0].qkv.clone()];
        let theirs = reader.read(name).unwrap();
        assert_eq!((theirs[1], theirs[48]), (ours[16], ours[1]));
    }

    #[test]
    fn an_index_that_is_damaged_or_leads_elsewhere_is_refused() {
        let (_folder, path) = saved();
        split(&path);
        let index = path.with_file_name(INDEX);
        let good = fs::read_to_string(&index).unwrap();
        let cases = [
            ("nothing".to_owned(), "not JSON"),
            ("{}".to_owned(), "no weight_map"),
            (r#"{"weight_map": {}}"#.to_owned(), "names no file"),
            (good.replace("one.safetensors", "../one.safetensors"), "not in the index's own folder"),
            (good.replace("one.safetensors", "three.safetensors"), "three.safetensors"),
            (good.replace("one.safetensors", "two.safetensors"), "12 tensors are too few"),
        ];
        for (text, words) in cases {
            fs::write(&index, text).unwrap();
            let message = load_error(&path, &config());
            assert!(message.contains(words), "{message:?} lacks {words:?}");
        }
        fs::write(&index, good).unwrap();
        fs::copy(path.with_file_name("one.safetensors"), path.with_file_name("two.safetensors")).unwrap();
        assert!(load_error(&path, &config()).contains("two files have a tensor"));
    }

    #[test]
    fn a_file_of_another_shape_is_refused_by_name() {
        let config = config();
        let (_folder, path) = saved();
        let wider = Config { n_ffn: 250, ..config.clone() };
        assert!(load_error(&path, &wider).contains("mlp.gate_proj.weight has the shape [24, 16]"));
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
        assert_eq!(load(path.parent().unwrap(), &config).unwrap(), weights);
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
                .and_then(|reader| read_weights(&mut Files::new(WEIGHTS, vec![reader])?, &config));
        }
    }
}
