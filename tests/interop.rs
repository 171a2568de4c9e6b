//! Models on their way to and from other programs, with the real program: what a person who exports, quantizes and imports
//! will find.

mod fixture;

use fixture::{siskin, text, tiny_model};
use serde_json::{Value, json};
use siskin::checkpoint::{GgufModel, ModelDir};
use siskin::formats::gguf::Gguf;
use siskin::formats::safetensors::{self, TensorRef};
use siskin::model::{Config, Family, Layout, Preset};
use siskin::tokenizer::{TrainOptions, train};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Desk {
        Desk { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn siskin(&self, args: &[&str]) -> Output {
        siskin(&self.path("cache")).args(args).current_dir(self.folder.path()).output().unwrap()
    }

    /// Standard output of a call that succeeds.
    #[track_caller]
    fn succeed(&self, args: &[&str]) -> String {
        let output = self.siskin(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The error of a call that fails.
    #[track_caller]
    fn fail(&self, args: &[&str]) -> String {
        let output = self.siskin(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn tensors(&self, name: &str) -> Vec<safetensors::NamedTensor> {
        let mut tensors = safetensors::read(&self.path(name).join("model.safetensors")).unwrap();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        tensors
    }

    /// A model directory of a family, such as transformers would write it.
    fn write_model(&self, name: &str, family: Family, tied: bool) -> Config {
        let tokenizer = train(std::iter::once(text(20)), TrainOptions::new(300)).unwrap();
        let n_kv_head = if family == Family::Gpt2 { 2 } else { 1 };
        let nano = Preset::Nano.config(tokenizer.vocab_size(), 32);
        let config =
            Config { n_layer: 2, n_embd: 32, n_head: 2, n_kv_head, head_dim: 16, n_ffn: 64, tied, family, ..nano };
        let dir = ModelDir::create(self.path(name)).unwrap();
        dir.describe(&config, &tokenizer, Some("{{ messages[0]['content'] }}")).unwrap();
        let weights: Vec<f32> = (0..config.n_params()).map(|i| ((i * 37 % 101) as f32 - 50.0) / 64.0).collect();
        dir.save_weights(&config, &weights).unwrap();
        config
    }
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn from_a_directory_to_gguf_and_back_every_family_keeps_its_weights_names_and_shapes() {
    for (family, tied) in Family::ALL.into_iter().flat_map(|family| [(family, true), (family, false)]) {
        let desk = Desk::new();
        desk.write_model("first", family, tied);
        desk.succeed(&["export", "first", "--to", "gguf", "model.gguf"]);
        desk.succeed(&["import", "model.gguf", "--out", "second"]);
        desk.succeed(&["export", "second", "--to", "hf", "third"]);
        assert!(desk.tensors("first") == desk.tensors("third"), "{family:?}, tied: {tied}");
        for name in ["config.json", "tokenizer_config.json"] {
            assert_eq!(json_of(&desk.path("first").join(name)), json_of(&desk.path("third").join(name)), "{family:?}");
        }
    }
}

#[test]
fn weights_in_several_files_and_in_half_precision_are_imported() {
    let desk = Desk::new();
    let config = desk.write_model("first", Family::Qwen2, false);
    // All weights are multiples of 1/64 below 1, which every type can hold.
    let tensors = desk.tensors("first");
    let mut map = serde_json::Map::new();
    for (half, name) in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"].into_iter().enumerate()
    {
        let dtype = ["F16", "BF16"][half];
        let of_half: Vec<_> =
            tensors.iter().enumerate().filter(|(i, _)| i % 2 == half).map(|(_, tensor)| tensor).collect();
        write_narrow(&desk.path("first").join(name), &of_half, dtype);
        map.extend(of_half.iter().map(|(tensor, ..)| (tensor.clone(), name.into())));
    }
    fs::write(desk.path("first/model.safetensors.index.json"), json!({ "weight_map": map }).to_string()).unwrap();
    fs::remove_file(desk.path("first/model.safetensors")).unwrap();
    desk.succeed(&["import", "first", "--name", "whole"]);
    assert!(desk.tensors("runs/whole") == tensors);
    assert_eq!(ModelDir::open(desk.path("runs/whole")).unwrap().config().unwrap(), config);
}

/// Writes tensors in half precision; siskin itself writes none.
fn write_narrow(path: &Path, tensors: &[&safetensors::NamedTensor], dtype: &str) {
    let mut header = serde_json::Map::new();
    let mut data: Vec<u8> = Vec::new();
    for (name, shape, values) in tensors {
        let start = data.len();
        for &value in values {
            let bits = if dtype == "F16" {
                half::f16::from_f32(value).to_bits()
            } else {
                half::bf16::from_f32(value).to_bits()
            };
            data.extend(bits.to_le_bytes());
        }
        header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": [start, data.len()]}));
    }
    let header = Value::Object(header).to_string();
    fs::write(path, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()).unwrap();
}

#[test]
fn what_is_missing_or_does_not_fit_or_is_not_known_is_one_clear_error() {
    let desk = Desk::new();
    desk.write_model("model", Family::Llama, true);
    let tensors = desk.tensors("model");
    let write = |change: &dyn Fn(&str, &mut Vec<usize>) -> bool| {
        let mut kept = tensors.clone();
        kept.retain_mut(|(name, shape, _)| change(name, shape));
        let views: Vec<TensorRef> = kept.iter().map(|(name, shape, data)| TensorRef { name, shape, data }).collect();
        let mut bytes = Vec::new();
        safetensors::write(&mut bytes, &views, &[]).unwrap();
        fs::write(desk.path("model/model.safetensors"), bytes).unwrap();
        desk.fail(&["import", "model", "--out", "other"])
    };
    let missing = write(&|name, _| name != "model.layers.1.mlp.up_proj.weight");
    assert!(missing.contains("lacks 1 of the model's tensors: model.layers.1.mlp.up_proj.weight"), "{missing}");
    let turned = write(&|name, shape| {
        if name == "model.layers.0.mlp.up_proj.weight" {
            shape.reverse();
        }
        true
    });
    assert!(turned.contains("up_proj.weight has the shape [32, 64], but config.json asks for [64, 32]"), "{turned}");
    let config = fs::read_to_string(desk.path("model/config.json")).unwrap();
    fs::write(desk.path("model/config.json"), config.replace("\"llama\"", "\"mamba\"")).unwrap();
    let unknown = desk.fail(&["import", "model", "--out", "other"]);
    assert!(unknown.contains("\"mamba\"") && unknown.contains("qwen3, llama, qwen2, gpt2"), "{unknown}");
    assert!(!desk.path("other").exists(), "nothing is written before all is checked");
    fs::write(desk.path("odd.gguf"), b"GGUF\x03\0\0\0").unwrap();
    let cut = desk.fail(&["import", "odd.gguf"]);
    assert!(cut.contains("importing odd.gguf: byte 8: the number of tensors"), "{cut}");
    assert!(!desk.path("runs").exists());
}

#[test]
fn a_trained_model_has_a_quantized_copy_with_its_tokenizer_and_without_turns_that_it_has_not_learned() {
    let bytes = fs::read(tiny_model().join("model.q8_0.gguf")).unwrap();
    let (dir, copy) = (ModelDir::open(tiny_model()).unwrap(), GgufModel::read(&bytes).unwrap());
    let config = dir.config().unwrap();
    assert_eq!(copy.config, config);
    let weights = dir.load_weights(&config).unwrap();
    let largest = weights.iter().zip(&copy.weights).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    assert!(largest > 0.0 && largest < 0.02, "weights are off by {largest}");
    let sentence = "The cat sat on the mat. Number 12.";
    let tokenizer = dir.tokenizer().unwrap();
    assert_eq!(copy.text.tokenizer.encode(sentence).unwrap(), tokenizer.encode(sentence).unwrap());
    // Documents were learned behind the mark that ends one, so another program must put it there.
    assert_eq!(copy.text.tokenizer.begin_of_text(), Some(tokenizer.end_of_text()));
    // It was trained on plain text: a template would make a model of it that answers.
    assert!(dir.chat_template().unwrap().is_some() && copy.text.chat_template.is_none());
    let gguf = Gguf::parse(&bytes).unwrap();
    assert_eq!(gguf.metadata().want::<&str>("general.architecture").unwrap(), "qwen3");
    assert_eq!(gguf.metadata().want::<u32>("general.file_type").unwrap(), 7);
}

#[test]
fn quantizing_tells_what_it_costs_on_held_out_text() {
    let desk = Desk::new();
    let model = tiny_model().to_str().unwrap();
    let cache = tiny_model().parent().unwrap().join("cache");
    let quantize = |args: &[&str]| {
        let output =
            siskin(&cache).arg("quantize").arg(model).args(args).current_dir(desk.folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let one = quantize(&["--type", "q4_k_m", "--out", "small.gguf"]);
    let row = one.lines().find(|line| line.starts_with("q4_k_m")).unwrap();
    assert!(row.contains('%') && one.contains("instead of Q4_K, whose blocks do not fit rows of 32"), "{one}");
    assert_eq!(GgufModel::read(&fs::read(desk.path("small.gguf")).unwrap()).unwrap().config.n_embd, 32);
    let all = quantize(&["--table"]);
    assert_eq!(all.lines().filter(|line| line.contains("smallest without loss")).count(), 1, "{all}");
    let figures = |name: &str| -> Vec<f64> {
        let row = all.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        row.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    // Bits per weight, bits per byte, loss, KL, agreement are the last five numbers; f32 is the model itself.
    let (whole, q8, q4) = (figures("f32"), figures("q8_0"), figures("q4_0"));
    assert_eq!((whole[1], whole[3], whole[4], whole[5]), (32.0, 0.0, 0.0, 100.0), "{all}");
    assert!(q8[4] > 0.0 && q4[4] > 5.0 * q8[4], "{all}");
    assert_eq!(fs::read_dir(desk.folder.path()).unwrap().count(), 1, "a table writes no file");
}

#[test]
fn a_model_is_never_written_over_another() {
    let desk = Desk::new();
    desk.write_model("first", Family::Qwen3, true);
    desk.write_model("second", Family::Qwen3, true);
    for args in [["import", "first", "--out", "second"].as_slice(), &["export", "first", "--to", "hf", "second"]] {
        assert!(desk.fail(args).contains("second already holds a model"), "{args:?}");
    }
    desk.succeed(&["import", "first", "--name", "same"]);
    desk.succeed(&["import", "first", "--name", "same"]);
    assert!(desk.path("runs/same-2/model.safetensors").is_file());
}

#[test]
fn an_imported_llama_writes_and_is_described() {
    let desk = Desk::new();
    desk.write_model("first", Family::Llama, false);
    desk.succeed(&["export", "first", "--to", "gguf", "q.gguf", "--type", "q8_0"]);
    desk.succeed(&["import", "q.gguf"]);
    let written = desk.succeed(&["complete", "-m", "q", "-n", "5", "--seed", "1", "The cat"]);
    assert!(!written.is_empty());
    assert!(desk.succeed(&["info", "q"]).contains("elsewhere"));
    let layout = Layout::new(&ModelDir::open(desk.path("runs/q")).unwrap().config().unwrap());
    assert_eq!(layout.tensors.len(), desk.tensors("runs/q").len());
}

/// llama2.c's own small model, where it is at hand: weights, tokenizer, and a story.
#[test]
fn stories260k_is_imported_and_tells_a_story() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/weights");
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    let desk = Desk::new();
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    desk.succeed(&["import", &file("stories260K.bin"), "--tokenizer", &file("tok512.bin")]);
    let story = desk.succeed(&["complete", "-m", "stories260K", "-n", "60", "--temperature", "0", "Once upon a time"]);
    // What transformers and llama.cpp write too (docs/interop.md).
    assert!(
        story.starts_with(", there was a little girl named Lily. She loved to play outside in the park."),
        "{story:?}"
    );
    desk.succeed(&["export", "stories260K", "--to", "gguf", "s.gguf"]);
    desk.succeed(&["import", "s.gguf", "--out", "again"]);
    assert!(desk.tensors("runs/stories260K") == desk.tensors("again"));
}
