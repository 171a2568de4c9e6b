//! A whole model in a GGUF file: shape, weights, tokenizer and chat template, written and read.
//!
//! Keys and names are those of llama.cpp, so that its programs run what is written here, and what they write is read. Rows
//! are converted in parallel; the bytes depend on nothing but the model and the mixture.

use super::weights::{ensure_believable, list};
use crate::formats::blocks::{self, TensorType};
use crate::formats::gguf::{Gguf, TensorInfo, Writer};
use crate::formats::mapped::Mapped;
use crate::inference::{self, WeightSource};
use crate::model::{Config, Layout, Mix, Part, Stored, TensorSpec, deinterleave, interleave};
use crate::tokenizer::{FromGguf, InGguf, Tokenizer};
use anyhow::{Context, Result, ensure};
use std::borrow::Cow;
use std::collections::HashSet;
use std::io::Write;
use std::ops::Range;

/// Version of the block types that the quantized ones have (`GGML_QNT_VERSION`).
const QUANTIZATION_VERSION: u32 = 2;

/// What goes into a file.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// The model's name for people, if the file shall say one.
    pub name: Option<&'a str>,
    /// Its shape.
    pub config: &'a Config,
    /// Its weights in the order of [`Layout`].
    pub weights: &'a [f32],
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// How a dialogue is written, a Jinja template.
    pub chat_template: Option<&'a str>,
    /// What stands before each text, where the tokenizer does not say.
    pub begin_of_text: Option<u32>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Bytes of the file.
    pub n_bytes: usize,
    /// Weights in it.
    pub n_weights: usize,
    /// Bytes of the weights alone.
    pub n_weight_bytes: usize,
    /// How each tensor is stored, in the order of the file.
    pub tensors: Vec<StoredTensor>,
}

/// How one tensor is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTensor {
    /// Its name in the file.
    pub name: String,
    /// Elements of a row.
    pub row_len: usize,
    /// Its type.
    pub stored: Stored,
}

impl Written {
    /// Bits of storage for one weight, scales included.
    pub fn bits_per_weight(&self) -> f64 {
        8.0 * self.n_weight_bytes as f64 / self.n_weights as f64
    }

    /// Tensors that another type is stored in than the mixture has for them.
    pub fn fallen_back(&self) -> impl Iterator<Item = &StoredTensor> {
        self.tensors.iter().filter(|tensor| tensor.stored.instead_of.is_some())
    }
}

impl Contents<'_> {
    /// Writes the file to `out`, its matrices stored by `mix`. `on_weights` is told after each tensor how many more weights
    /// are done.
    pub fn write(
        &self,
        out: impl Write,
        mix: Mix,
        n_threads: usize,
        on_weights: &mut dyn FnMut(usize),
    ) -> Result<Written> {
        let (config, layout) = (self.config, Layout::new(self.config));
        ensure!(
            self.weights.len() == layout.n_elements,
            "{} weights given, but this shape has {}",
            self.weights.len(),
            layout.n_elements
        );
        let mut writer = self.described(mix)?;
        let mut written = Written { n_bytes: 0, n_weights: layout.n_elements, n_weight_bytes: 0, tensors: Vec::new() };
        for tensor in &layout.tensors {
            let stored = mix.stored(config, tensor);
            let (name, row_len) = (tensor.gguf_name(), *tensor.shape.last().expect("tensors have a dimension"));
            writer.add_tensor(&name, &tensor.shape, stored.kind)?;
            written.n_weight_bytes += stored.kind.tensor_bytes(&tensor.shape)?;
            written.tensors.push(StoredTensor { name, row_len, stored });
        }
        written.n_bytes = writer.file_bytes();
        let mut body = writer.start(out)?;
        for (tensor, StoredTensor { name, row_len, stored }) in layout.tensors.iter().zip(&written.tensors) {
            let data = in_file_order(config, tensor, &self.weights[tensor.range.clone()]);
            let bytes = store(stored.kind, &data, *row_len, n_threads).with_context(|| format!("tensor {name}"))?;
            body.write(name, &bytes)?;
            on_weights(data.len());
        }
        body.finish()?;
        Ok(written)
    }

    /// A header with everything but the tensors.
    fn described(&self, mix: Mix) -> Result<Writer> {
        let mut writer = Writer::new();
        self.config.to_gguf(&mut writer)?;
        writer.set("general.type", "model")?;
        self.name.map_or(Ok(()), |name| writer.set("general.name", name))?;
        writer.set("general.file_type", &mix.file_type())?;
        writer.set("general.quantization_version", &QUANTIZATION_VERSION)?;
        let (n_rows, begin_of_text) = (self.config.vocab_size, self.begin_of_text);
        self.tokenizer.to_gguf(&mut writer, InGguf { n_rows, begin_of_text, chat_template: self.chat_template })?;
        Ok(writer)
    }
}

/// q and k of some families stand in another order in files.
fn in_file_order<'w>(config: &Config, tensor: &TensorSpec, data: &'w [f32]) -> Cow<'w, [f32]> {
    match is_reordered(config, tensor) {
        true => Cow::Owned(interleave(data, config.head_dim, data.len() / tensor.shape[0])),
        false => Cow::Borrowed(data),
    }
}

fn is_reordered(config: &Config, tensor: &TensorSpec) -> bool {
    config.family.is_interleaved_in_gguf() && matches!(tensor.part, Part::Q | Part::K)
}

/// Rows of `row_len` as `kind`, an equal share on each thread.
fn store(kind: TensorType, data: &[f32], row_len: usize, n_threads: usize) -> Result<Vec<u8>> {
    let (n_rows, row_bytes) = (data.len() / row_len, kind.row_bytes(row_len)?);
    let mut bytes = vec![0; n_rows * row_bytes];
    let n_each = n_rows.div_ceil(n_threads.max(1));
    std::thread::scope(|scope| {
        let parts = data.chunks(n_each * row_len).zip(bytes.chunks_mut(n_each * row_bytes));
        let threads: Vec<_> =
            parts.map(|(data, bytes)| scope.spawn(move || blocks::quantize(kind, data, bytes))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("conversion does not panic"))
    })?;
    Ok(bytes)
}

/// A model that a file holds.
#[derive(Debug, Clone)]
pub struct GgufModel {
    /// Its name for people, where the file has one.
    pub name: Option<String>,
    /// Its shape.
    pub config: Config,
    /// Its weights, widened, in the order of [`Layout`].
    pub weights: Vec<f32>,
    /// Its tokenizer and chat template.
    pub text: FromGguf,
}

impl GgufModel {
    /// Reads the file that `bytes` holds whole. Fails on a family that is not known, naming those that are, and on any
    /// tensor that is missing, of another shape, or of no use to the family.
    pub fn read(bytes: &[u8]) -> Result<GgufModel> {
        let gguf = Gguf::parse(bytes)?;
        let config = Config::from_gguf(&gguf)?;
        let layout = checked_layout(&gguf, &config)?;
        let text = FromGguf::read(gguf.metadata())?;
        ensure!(
            text.tokenizer.vocab_size() <= config.vocab_size,
            "the tokenizer has {} entries, but the embedding only {} rows: the file is damaged",
            text.tokenizer.vocab_size(),
            config.vocab_size
        );
        let mut weights = vec![0.0; layout.n_elements];
        for tensor in &layout.tensors {
            let info = gguf.tensor(&tensor.gguf_name()).expect("names have been checked");
            let out = &mut weights[tensor.range.clone()];
            blocks::dequantize(info.kind, gguf.bytes(info), out);
            if is_reordered(&config, tensor) {
                out.copy_from_slice(&deinterleave(out, config.head_dim, out.len() / tensor.shape[0]));
            }
        }
        let name: Option<&str> = gguf.metadata().optional("general.name")?;
        Ok(GgufModel { name: name.map(str::to_owned), config, weights, text })
    }
}

/// The weights of a file as they are stored in it, to be run and not changed.
pub(super) struct GgufWeights<'a> {
    gguf: Gguf<'a>,
    config: Config,
    file: &'a Mapped,
}

impl<'a> GgufWeights<'a> {
    /// Checks names and shapes of a file of a family that is run here; the errors are those of [`GgufModel::read`].
    pub(super) fn new(gguf: Gguf<'a>, file: &'a Mapped) -> Result<GgufWeights<'a>> {
        let config = Config::from_gguf(&gguf)?;
        checked_layout(&gguf, &config)?;
        Ok(GgufWeights { gguf, config, file })
    }

    /// The shape of the model.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    fn info(&self, spec: &TensorSpec) -> &TensorInfo {
        self.gguf.tensor(&spec.gguf_name()).expect("names have been checked")
    }
}

impl WeightSource for GgufWeights<'_> {
    fn tensor(&self, spec: &TensorSpec) -> Result<inference::StoredTensor<'_>> {
        let info = self.info(spec);
        let bytes = Cow::Borrowed(self.gguf.bytes(info));
        let is_interleaved = is_reordered(&self.config, spec);
        Ok(inference::StoredTensor { kind: info.kind, bytes, is_interleaved })
    }

    fn forget(&self, spec: &TensorSpec, bytes: Range<usize>) {
        let first = self.info(spec).range.start;
        self.file.release(first + bytes.start..first + bytes.end);
    }
}

fn checked_layout(gguf: &Gguf, config: &Config) -> Result<Layout> {
    ensure_believable(config, gguf.tensors().len())?;
    let layout = Layout::new(config);
    let names: Vec<String> = layout.tensors.iter().map(TensorSpec::gguf_name).collect();
    let missing: Vec<&str> = names.iter().map(String::as_str).filter(|name| gguf.tensor(name).is_none()).collect();
    ensure!(missing.is_empty(), "the file lacks {} of the model's tensors: {}", missing.len(), list(&missing));
    for (tensor, name) in layout.tensors.iter().zip(&names) {
        let found = &gguf.tensor(name).expect("none is missing").shape;
        ensure!(
            *found == tensor.shape,
            "tensor {name} has the shape {found:?}, but the metadata ask for {:?}",
            tensor.shape
        );
    }
    let known: HashSet<&str> = names.iter().map(String::as_str).collect();
    let extra: Vec<&str> =
        gguf.tensors().iter().map(|tensor| tensor.name.as_str()).filter(|name| !known.contains(name)).collect();
    ensure!(extra.is_empty(), "the file has {} tensors that this model does not use: {}", extra.len(), list(&extra));
    Ok(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::Random;
    use crate::model::{Family, Preset};
    use crate::tokenizer::{TrainOptions, train};

    fn tokenizer() -> Tokenizer {
        train(["one two three, one two".to_owned()].into_iter(), TrainOptions::new(300)).unwrap()
    }

    fn config(family: Family, tied: bool) -> Config {
        let nano = Preset::Nano.config(310, 16);
        let n_kv_head = if family == Family::Gpt2 { 2 } else { 1 };
        Config { n_layer: 2, n_embd: 32, n_head: 2, n_kv_head, head_dim: 16, n_ffn: 64, tied, family, ..nano }
    }

    fn written(config: &Config, weights: &[f32], mix: Mix, n_threads: usize) -> (Vec<u8>, Written) {
        let tokenizer = tokenizer();
        let mut bytes = Vec::new();
        let contents = Contents {
            name: Some("n"),
            config,
            weights,
            tokenizer: &tokenizer,
            chat_template: None,
            begin_of_text: Some(0),
        };
        let written = contents.write(&mut bytes, mix, n_threads, &mut |_| ()).unwrap();
        assert_eq!(bytes.len(), written.n_bytes);
        (bytes, written)
    }

    fn noise(n: usize) -> Vec<f32> {
        let mut random = Random::new(3, 0);
        (0..n).map(|_| random.normal() as f32).collect()
    }

    #[test]
    fn every_family_comes_back_with_the_same_weights() {
        for (family, tied) in Family::ALL.into_iter().flat_map(|family| [(family, true), (family, false)]) {
            let config = config(family, tied);
            let weights = noise(config.n_params());
            let (bytes, written) = written(&config, &weights, Mix::F32, 2);
            let found = GgufModel::read(&bytes).unwrap();
            assert_eq!((&found.config, found.name.as_deref(), written.bits_per_weight()), (&config, Some("n"), 32.0));
            assert!(found.weights == weights, "{family:?}, tied: {tied}");
            assert_eq!(found.text.tokenizer.begin_of_text(), Some(0));
        }
    }

    #[test]
    fn llamas_queries_have_neighbours_where_halves_were() {
        let config = config(Family::Llama, true);
        let weights = noise(config.n_params());
        let (bytes, _) = written(&config, &weights, Mix::F32, 1);
        let gguf = Gguf::parse(&bytes).unwrap();
        let mut q = vec![0.0; 32 * 32];
        blocks::dequantize(TensorType::F32, gguf.bytes(gguf.tensor("blk.0.attn_q.weight").unwrap()), &mut q);
        let ours = &weights[Layout::new(&config).layers[0].qkv.start..];
        assert_eq!(q[32..64], ours[8 * 32..9 * 32]);
        assert_eq!(q[64..96], ours[32..64]);
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_threads_and_say_which_types_fell_back() {
        let config = Config { n_embd: 96, head_dim: 48, n_ffn: 256, ..config(Family::Qwen3, true) };
        let weights = noise(config.n_params());
        for mix in Mix::ALL {
            let ((one, _), (three, written)) = (written(&config, &weights, mix, 1), written(&config, &weights, mix, 3));
            assert!(one == three, "{mix}");
            let n_expected = match mix {
                Mix::Q4_K_M | Mix::Q5_K_M | Mix::Q6_K => 1 + 2 * 6, // all but the way down, whose rows are 256 long
                Mix::Q4_0 | Mix::Q4_1 | Mix::Q5_0 | Mix::Q5_1 => 1, // the head, which would be Q6_K
                _ => 0,
            };
            assert_eq!(written.fallen_back().count(), n_expected, "{mix}");
            let found = GgufModel::read(&one).unwrap().weights;
            let square = |x: f32, y: f32| f64::from(x - y).powi(2);
            let error: f64 = found.iter().zip(&weights).map(|(&x, &y)| square(x, y)).sum::<f64>() / found.len() as f64;
            assert!(error.sqrt() < 0.1, "{mix}: {error}");
        }
    }

    #[test]
    fn a_tensor_that_is_missing_of_another_shape_or_of_no_use_is_named() {
        let config = config(Family::Llama, false);
        let (bytes, _) = written(&config, &noise(config.n_params()), Mix::Q8_0, 1);
        let gguf = Gguf::parse(&bytes).unwrap();
        // The same file with one tensor left out, cut, or called otherwise.
        let changed = |change: &dyn Fn(&str, &mut Vec<usize>) -> Option<String>, key: &str, value: u32| {
            let mut writer = Writer::new();
            for (other, old) in gguf.metadata().iter() {
                if other == key { writer.set(key, &value).unwrap() } else { writer.set_value(other, &old).unwrap() }
            }
            let mut kept = Vec::new();
            for tensor in gguf.tensors() {
                let mut shape = tensor.shape.clone();
                let Some(name) = change(&tensor.name, &mut shape) else { continue };
                writer.add_tensor(&name, &shape, tensor.kind).unwrap();
                kept.push((name, tensor.kind.tensor_bytes(&shape).unwrap(), tensor));
            }
            let mut body = writer.start(Vec::new()).unwrap();
            kept.iter().for_each(|(name, n, tensor)| body.write(name, &gguf.bytes(tensor)[..*n]).unwrap());
            format!("{:#}", GgufModel::read(&body.finish().unwrap()).unwrap_err())
        };
        let same = |name: &str, _: &mut Vec<usize>| Some(name.to_owned());
        let without = |name: &str, _: &mut Vec<usize>| (name != "blk.1.ffn_up.weight").then(|| name.to_owned());
        let cut = |name: &str, shape: &mut Vec<usize>| {
            if name == "blk.0.attn_k.weight" {
                shape[0] -= 1;
            }
            Some(name.to_owned())
        };
        let renamed = |name: &str, _: &mut Vec<usize>| Some(name.replace("blk.0.ffn_gate", "blk.0.odd"));
        let cases: [(String, &str); 6] = [
            (changed(&without, "", 0), "lacks 1 of the model's tensors: blk.1.ffn_up.weight"),
            (
                changed(&cut, "", 0),
                "tensor blk.0.attn_k.weight has the shape [15, 32], but the metadata ask for [16, 32]",
            ),
            (changed(&renamed, "", 0), "lacks 1 of the model's tensors: blk.0.ffn_gate.weight"),
            (changed(&same, "llama.block_count", 1), "does not use: blk.1.attn_norm.weight"),
            (changed(&same, "llama.block_count", 9_000_000), "9000000 layers, but 21 tensors are too few"),
            (changed(&same, "llama.feed_forward_length", 1 << 24), "ffn_gate.weight has the shape [64, 32]"),
        ];
        for (message, words) in cases {
            assert!(message.contains(words), "{message:?} lacks {words:?}");
        }
    }

    #[test]
    fn a_weight_that_a_type_cannot_hold_is_named() {
        let config = config(Family::Qwen3, true);
        let mut weights = noise(config.n_params());
        weights[5] = 1e6;
        let tokenizer = tokenizer();
        let contents = Contents {
            name: Some("n"),
            config: &config,
            weights: &weights,
            tokenizer: &tokenizer,
            chat_template: None,
            begin_of_text: None,
        };
        let error = contents.write(Vec::new(), Mix::F16, 1, &mut |_| ()).unwrap_err();
        assert!(format!("{error:#}").contains("token_embd.weight: element 5 is 1000000"), "{error:#}");
    }
}
