//! Every family on small random files: against itself in other chunks, against other implementations of the same network, and
//! with headers that lie.

use super::*;
use crate::formats::blocks::{self, TensorType};
use crate::formats::gguf::Writer;
use crate::inference::Backend;
use crate::kernels::random::Random;
use candle_core::quantized::gguf_file::Content;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{gemma3, quantized_lfm2};
use std::collections::HashMap;

const CONTEXT: usize = 48;
const VOCAB: usize = 96;
const C: usize = 64;
const F: usize = 96;

/// A file in the making.
struct File {
    writer: Writer,
    architecture: &'static str,
    /// Matrices are stored as asked for, the rest in single precision.
    tensors: Vec<(String, Vec<usize>)>,
}

impl File {
    fn new(architecture: &'static str, sizes: &[(&str, u32)]) -> File {
        let mut writer = Writer::new();
        writer.set("general.architecture", architecture).unwrap();
        let common = [("context_length", 2 * CONTEXT as u32), ("embedding_length", C as u32)];
        for (key, n) in sizes.iter().chain(&common).chain(&[("feed_forward_length", F as u32)]) {
            writer.set(&format!("{architecture}.{key}"), n).unwrap();
        }
        let mut file = File { writer, architecture, tensors: Vec::new() };
        file.add("token_embd.weight", &[VOCAB, C]);
        file
    }

    fn float(mut self, key: &str, x: f32) -> File {
        self.writer.set(&format!("{}.{key}", self.architecture), &x).unwrap();
        self
    }

    fn add(&mut self, name: &str, shape: &[usize]) {
        self.tensors.push((name.to_owned(), shape.to_vec()));
    }

    fn vectors(&mut self, prefix: &str, parts: &[(&str, usize)]) {
        parts.iter().for_each(|(part, n)| self.add(&format!("{prefix}{part}"), &[*n]));
    }

    fn matrices(&mut self, prefix: &str, parts: &[(&str, [usize; 2])]) {
        parts.iter().for_each(|(part, shape)| self.add(&format!("{prefix}{part}.weight"), shape));
    }

    /// The file with its matrices as `kind`, and the values of its tensors.
    fn bytes(mut self, kind: TensorType) -> (Vec<u8>, HashMap<String, Tensor>) {
        // A row of three, of a convolution, is no whole block.
        let kind = |shape: &[usize]| if shape.len() > 1 && shape[1] > 3 { kind } else { TensorType::F32 };
        self.tensors.iter().for_each(|(name, shape)| self.writer.add_tensor(name, shape, kind(shape)).unwrap());
        let (mut body, mut values) = (self.writer.start(Vec::new()).unwrap(), HashMap::new());
        let mut random = Random::new(3, 5);
        for (name, shape) in self.tensors {
            let (n, n_in, kind) = (shape.iter().product(), *shape.last().unwrap(), kind(&shape));
            let is_norm = name.ends_with("norm.weight");
            let scale = if shape.len() > 1 { 1.5 / (n_in as f32).sqrt() } else { 0.2 };
            let x: Vec<f32> = (0..n).map(|_| f32::from(u8::from(is_norm)) + scale * random.normal() as f32).collect();
            let mut stored = vec![0; kind.tensor_bytes(&shape).unwrap()];
            blocks::quantize(kind, &x, &mut stored).unwrap();
            body.write(&name, &stored).unwrap();
            values.insert(name, Tensor::from_vec(x, shape, &Device::Cpu).unwrap());
        }
        (body.finish().unwrap(), values)
    }

    /// The file in single precision, which leaves nothing to be rounded.
    fn exact(self) -> Vec<u8> {
        self.bytes(TensorType::F32).0
    }
}

fn gemma3(n_kv_head: u32) -> File {
    const WINDOW: u32 = 7;
    let sizes = [
        ("block_count", 6),
        ("attention.head_count", 4),
        ("attention.head_count_kv", n_kv_head),
        ("attention.key_length", 32),
        ("attention.value_length", 32),
        ("attention.sliding_window", WINDOW),
    ];
    let mut file = File::new("gemma3", &sizes)
        .float("attention.layer_norm_rms_epsilon", 1e-6)
        .float("rope.freq_base", 1_000_000.0);
    for l in 0..6 {
        let prefix = format!("blk.{l}.");
        let kv = 32 * n_kv_head as usize;
        let heads = [("attn_q", [128, C]), ("attn_k", [kv, C]), ("attn_v", [kv, C]), ("attn_output", [C, 128])];
        file.matrices(&prefix, &heads);
        file.matrices(&prefix, &[("ffn_gate", [F, C]), ("ffn_up", [F, C]), ("ffn_down", [C, F])]);
        let norms = ["attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"];
        norms.iter().for_each(|norm| file.vectors(&prefix, &[(&format!("{norm}.weight"), C)]));
        file.vectors(&prefix, &[("attn_q_norm.weight", 32), ("attn_k_norm.weight", 32)]);
    }
    file.vectors("", &[("output_norm.weight", C)]);
    file
}

fn lfm2() -> File {
    let sizes = [("block_count", 3), ("attention.head_count", 4), ("shortconv.l_cache", 3)];
    let mut file =
        File::new("lfm2", &sizes).float("attention.layer_norm_rms_epsilon", 1e-5).float("rope.freq_base", 1_000_000.0);
    file.writer.set("lfm2.attention.head_count_kv", &vec![0u32, 2, 0]).unwrap();
    for l in 0..3 {
        let prefix = format!("blk.{l}.");
        if l == 1 {
            file.matrices(&prefix, &[("attn_q", [C, C]), ("attn_k", [32, C]), ("attn_v", [32, C])]);
            file.matrices(&prefix, &[("attn_output", [C, C])]);
            file.vectors(&prefix, &[("attn_q_norm.weight", 16), ("attn_k_norm.weight", 16)]);
        } else {
            file.matrices(&prefix, &[("shortconv.in_proj", [3 * C, C]), ("shortconv.out_proj", [C, C])]);
            file.add(&format!("{prefix}shortconv.conv.weight"), &[C, 3]);
        }
        file.matrices(&prefix, &[("ffn_gate", [F, C]), ("ffn_up", [F, C]), ("ffn_down", [C, F])]);
        file.vectors(&prefix, &[("attn_norm.weight", C), ("ffn_norm.weight", C)]);
    }
    file.vectors("", &[("token_embd_norm.weight", C)]);
    file
}

fn phi2() -> File {
    let sizes = [("block_count", 2), ("attention.head_count", 4), ("attention.head_count_kv", 4)];
    let mut file = File::new("phi2", &sizes).float("attention.layer_norm_epsilon", 1e-5);
    file.writer.set("phi2.rope.dimension_count", &8u32).unwrap();
    for l in 0..2 {
        let prefix = format!("blk.{l}.");
        let parts = [("attn_qkv", [3 * C, C]), ("attn_output", [C, C]), ("ffn_up", [F, C]), ("ffn_down", [C, F])];
        file.matrices(&prefix, &parts);
        file.vectors(&prefix, &[("attn_qkv.bias", 3 * C), ("attn_output.bias", C), ("ffn_up.bias", F)]);
        file.vectors(&prefix, &[("ffn_down.bias", C), ("attn_norm.weight", C), ("attn_norm.bias", C)]);
    }
    file.vectors("", &[("output_norm.weight", C), ("output_norm.bias", C), ("output.bias", VOCAB)]);
    file.add("output.weight", &[VOCAB, C]);
    file
}

fn phi3() -> File {
    let sizes = [("block_count", 2), ("attention.head_count", 4), ("attention.head_count_kv", 2)];
    let mut file = File::new("phi3", &sizes).float("attention.layer_norm_rms_epsilon", 1e-5);
    file.writer.set("phi3.rope.dimension_count", &16u32).unwrap();
    for l in 0..2 {
        let prefix = format!("blk.{l}.");
        let parts = [("attn_qkv", [2 * C, C]), ("attn_output", [C, C]), ("ffn_up", [2 * F, C]), ("ffn_down", [C, F])];
        file.matrices(&prefix, &parts);
        file.vectors(&prefix, &[("attn_norm.weight", C), ("ffn_norm.weight", C)]);
    }
    file.vectors("", &[("output_norm.weight", C)]);
    file.add("output.weight", &[VOCAB, C]);
    file
}

fn glm4() -> File {
    let sizes = [
        ("block_count", 2),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 2),
        ("attention.key_length", 16),
        ("rope.dimension_count", 8),
    ];
    let mut file =
        File::new("glm4", &sizes).float("attention.layer_norm_rms_epsilon", 1e-5).float("rope.freq_base", 10_000.0);
    for l in 0..2 {
        let prefix = format!("blk.{l}.");
        file.matrices(&prefix, &[("attn_q", [C, C]), ("attn_k", [32, C]), ("attn_v", [32, C])]);
        file.matrices(&prefix, &[("attn_output", [C, C]), ("ffn_up", [2 * F, C]), ("ffn_down", [C, F])]);
        let norms = ["attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"];
        norms.iter().for_each(|norm| file.vectors(&prefix, &[(&format!("{norm}.weight"), C)]));
        file.vectors(&prefix, &[("attn_q.bias", C), ("attn_k.bias", 32), ("attn_v.bias", 32)]);
    }
    file.vectors("", &[("output_norm.weight", C)]);
    file
}

fn files() -> [(&'static str, File); 5] {
    [("gemma3", gemma3(2)), ("glm4", glm4()), ("lfm2", lfm2()), ("phi2", phi2()), ("phi3", phi3())]
}

fn ids(n: usize) -> Vec<u32> {
    let mut random = Random::new(1, 9);
    (0..n).map(|_| random.below(VOCAB as u64) as u32).collect()
}

/// Single precision: sums in another order differ in their last bits.
fn assert_near(found: &[f32], wanted: &[f32], tolerance: f32, what: &str) {
    let scale = wanted.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    assert!(scale > 0.1 && found.len() == wanted.len(), "{what}: {scale}");
    for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!((found - wanted).abs() <= tolerance * scale, "{what}: logit {i} is {found}, not {wanted} (of {scale})");
    }
}

#[test]
fn every_family_reads_alike_in_one_chunk_and_in_many_and_after_it_has_forgotten() {
    for (name, file) in files() {
        let bytes = file.exact();
        let mut model = CandleModel::read(&bytes, CONTEXT).unwrap();
        assert_eq!((model.vocab_size(), model.context_len(), model.n_cached()), (VOCAB, CONTEXT, 0));
        let ids = ids(14);
        let whole = model.try_feed(&ids).unwrap().to_vec();
        for n_chunk in [1, 5] {
            model.truncate(0);
            let mut logits = Vec::new();
            ids.chunks(n_chunk).for_each(|chunk| logits = model.feed(chunk).to_vec());
            assert_near(&logits, &whole, 1e-4, &format!("{name} in chunks of {n_chunk}"));
            assert_eq!(model.n_cached(), ids.len());
        }
        // Something else is read and forgotten, down to the middle and to the last id.
        for n_kept in [0, 9] {
            model.truncate(n_kept);
            model.feed(&[7, 7, 7]);
            model.truncate(n_kept);
            assert_near(model.feed(&ids[n_kept..]), &whole, 1e-4, &format!("{name} after forgetting to {n_kept}"));
        }
    }
}

#[test]
fn what_does_not_fit_is_an_error_and_changes_nothing() {
    for (name, file) in files() {
        let mut model = CandleModel::read(&file.exact(), CONTEXT).unwrap();
        let ids = ids(9);
        let wanted = model.feed(&ids).to_vec();
        model.truncate(5);
        for bad in [vec![], vec![1; CONTEXT], vec![VOCAB as u32]] {
            assert!(model.try_feed(&bad).is_err() && model.n_cached() == 5, "{name}");
        }
        assert!(model.feed(&[u32::MAX]).iter().all(|logit| logit.is_nan()));
        assert_near(model.feed(&ids[5..]), &wanted, 1e-4, name);
    }
}

#[test]
fn quantized_matrices_cost_little_of_the_logits() {
    for ((name, exact), (_, quantized)) in files().into_iter().zip(files()) {
        let ids = ids(6);
        let wanted = CandleModel::read(&exact.exact(), CONTEXT).unwrap().feed(&ids).to_vec();
        let bytes = quantized.bytes(TensorType::Q8_0).0;
        // Products of 8-bit codes, a few layers deep.
        assert_near(CandleModel::read(&bytes, CONTEXT).unwrap().feed(&ids), &wanted, 0.1, name);
    }
}

#[test]
fn a_model_can_be_handed_to_another_thread() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&CandleModel::read(&phi3().exact(), CONTEXT).unwrap());
}

#[test]
fn a_whole_context_fits() {
    for (name, file) in files() {
        let mut model = CandleModel::read(&file.exact(), CONTEXT).unwrap();
        assert!(model.feed(&ids(CONTEXT)).iter().all(|logit| logit.is_finite()), "{name}");
    }
}

/// gemma3 with its matrices widened, as candle-transformers runs it from safetensors, where norms are stored less one.
fn their_gemma3(values: &HashMap<String, Tensor>) -> gemma3::Model {
    let mut tensors = HashMap::new();
    for (name, value) in values {
        let their = match name.as_str() {
            "token_embd.weight" => "model.embed_tokens.weight".to_owned(),
            "output_norm.weight" => "model.norm.weight".to_owned(),
            _ => {
                let (layer, part) = name["blk.".len()..].split_once('.').unwrap();
                let part = match part.trim_end_matches(".weight") {
                    "attn_norm" => "input_layernorm",
                    "post_attention_norm" => "post_attention_layernorm",
                    "ffn_norm" => "pre_feedforward_layernorm",
                    "post_ffw_norm" => "post_feedforward_layernorm",
                    "attn_q_norm" => "self_attn.q_norm",
                    "attn_k_norm" => "self_attn.k_norm",
                    "attn_q" => "self_attn.q_proj",
                    "attn_k" => "self_attn.k_proj",
                    "attn_v" => "self_attn.v_proj",
                    "attn_output" => "self_attn.o_proj",
                    "ffn_gate" => "mlp.gate_proj",
                    "ffn_up" => "mlp.up_proj",
                    "ffn_down" => "mlp.down_proj",
                    other => panic!("{other}"),
                };
                format!("model.layers.{layer}.{part}.weight")
            }
        };
        let is_norm = value.rank() == 1;
        tensors.insert(their, if is_norm { (value - 1.0).unwrap() } else { value.clone() });
    }
    let config = gemma3::Config {
        attention_bias: false,
        head_dim: 32,
        hidden_activation: candle_nn::Activation::GeluPytorchTanh,
        hidden_size: C,
        intermediate_size: F,
        num_attention_heads: 4,
        num_hidden_layers: 6,
        num_key_value_heads: 1,
        rms_norm_eps: 1e-6,
        rope_theta: 1_000_000.0,
        rope_local_base_freq: 10_000.0,
        vocab_size: VOCAB,
        final_logit_softcapping: None,
        attn_logit_softcapping: None,
        query_pre_attn_scalar: 32,
        // Theirs lets a token see one more than the window.
        sliding_window: 6,
        sliding_window_pattern: 6,
        max_position_embeddings: CONTEXT,
    };
    gemma3::Model::new(false, &config, VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)).unwrap()
}

#[test]
fn gemma3_agrees_with_the_same_network_in_single_precision() {
    // Theirs caches only what one key/value head makes.
    let (bytes, values) = gemma3(1).bytes(TensorType::F32);
    let mut ours = CandleModel::read(&bytes, CONTEXT).unwrap();
    let ids = ids(20);
    let mut theirs = their_gemma3(&values);
    let wanted = theirs.forward(&Tensor::new(&ids[..], &Device::Cpu).unwrap().unsqueeze(0).unwrap(), 0).unwrap();
    let wanted: Vec<f32> = wanted.flatten_all().unwrap().to_vec1().unwrap();
    assert_near(ours.feed(&ids), &wanted, 1e-4, "gemma3");
}

#[test]
fn lfm2_agrees_with_candle_transformers_where_theirs_reads_all_at_once() {
    let bytes = lfm2().exact();
    let ids = ids(20);
    let mut file = Cursor::new(&bytes);
    let content = Content::read(&mut file).unwrap();
    let mut theirs = quantized_lfm2::ModelWeights::from_gguf(content, &mut file, &Device::Cpu).unwrap();
    let wanted = theirs.forward(&Tensor::new(&ids[..], &Device::Cpu).unwrap().unsqueeze(0).unwrap(), 0).unwrap();
    let wanted: Vec<f32> = wanted.flatten_all().unwrap().to_vec1().unwrap();
    assert_near(CandleModel::read(&bytes, CONTEXT).unwrap().feed(&ids), &wanted, 1e-4, "lfm2");
}

#[test]
fn a_file_is_refused_with_a_reason_before_candle_sees_it() {
    fn error(bytes: &[u8], context_len: usize) -> String {
        format!("{:#}", CandleModel::read(bytes, context_len).expect_err("the file is not usable"))
    }
    let refuse = |file: File, words: &str| {
        let message = error(&file.exact(), CONTEXT);
        assert!(message.contains(words), "{message:?} lacks {words:?}");
    };
    assert!(error(b"GGUF", CONTEXT).contains("version"));
    assert!(error(&gemma3(2).exact(), 2 * CONTEXT + 1).contains("trained for 1 to 96"));
    assert!(error(&gemma3(2).exact(), 0).contains("a context of 0 tokens"));
    refuse(File::new("mamba", &[]), "candle runs here are gemma3, glm4, lfm2, phi2, phi3");
    refuse(File::new("phi3", &[]), "phi3.block_count");
    let heads = |n_head: u32, n_kv_head: u32| {
        let sizes = [("block_count", 1), ("attention.head_count", n_head), ("attention.head_count_kv", n_kv_head)];
        File::new("phi3", &sizes)
    };
    refuse(heads(4, 3), "4 heads cannot share 3 key/value heads evenly");
    refuse(heads(4, 0), "0 is not within 1 to");
    refuse(heads(5, 5), "64 numbers cannot be shared by 5 heads evenly");
    refuse(File::new("glm4", &[("block_count", u32::MAX)]), "is not within 1 to");
    refuse(File::new("glm4", &[("block_count", 3)]), "says 3 layers, but has only 1 tensors");
    refuse(phi3().float("rope.freq_base", 250_000.0), "to the base 250000");
    let mut long = phi3();
    long.vectors("", &[("rope_factors_long.weight", 8)]);
    refuse(long, "scaled rotary positions");
    let mut strange = gemma3(2);
    strange.writer.set("gemma3.rope.scaling.type", "yarn").unwrap();
    refuse(strange, "scaled by \"yarn\"");
    let mut wide = lfm2();
    wide.vectors("", &[("output.weight", C)]);
    refuse(wide, "tensor output.weight has shape [64]");
}

#[test]
fn an_unknown_architecture_is_told_all_that_are_known() {
    assert_eq!(Backend::of("llama").unwrap(), Backend::Native);
    assert_eq!(Backend::of("gemma3").unwrap(), Backend::Candle);
    let message = Backend::of("mamba").unwrap_err().to_string();
    for name in ["mamba", "qwen3", "llama", "gpt2", "gemma3", "phi3", "glm4", "lfm2"] {
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn no_number_in_a_header_makes_it_panic() {
    let integers =
        [0, 1, 2, 3, 5, 7, 8, 12, 16, 31, 48, 62, 63, 65, 127, 192, 1 << 16, 1 << 24, i32::MAX as u32, u32::MAX];
    let floats = [0.0, -1.0, 1e-30, 1e30, f32::MAX, f32::INFINITY, f32::NAN].map(f32::to_bits);
    let (mut n_refused, mut n_run) = (0, 0);
    for (name, file) in files() {
        let bytes = file.exact();
        let gguf = Gguf::parse(&bytes).unwrap();
        let numbers =
            gguf.metadata().iter().filter(|(key, _)| key.starts_with(name) && !key.ends_with("context_length"));
        // An array begins with the type of its elements and their number.
        let places = numbers.flat_map(|(key, value)| {
            let value_at =
                bytes.windows(key.len()).position(|window| window == key.as_bytes()).unwrap() + key.len() + 4;
            match value {
                crate::formats::gguf::Value::Array(array) => {
                    (0..array.len()).map(|i| value_at + 12 + 4 * i).collect::<Vec<_>>()
                }
                _ => vec![value_at],
            }
        });
        for at in places {
            for value in integers.iter().chain(&floats) {
                let mut changed = bytes.clone();
                changed[at..at + 4].copy_from_slice(&value.to_le_bytes());
                match CandleModel::read(&changed, 8) {
                    Err(_) => n_refused += 1,
                    Ok(mut model) => {
                        n_run += 1;
                        _ = model.try_feed(&[1, 2, 3]);
                        _ = model.try_feed(&[4]);
                    }
                }
            }
        }
    }
    assert!(n_refused > 500 && n_run > 100, "{n_refused} refused, {n_run} run");
}
