//! The same model in candle, from plain differentiable operations: candle's autograd is the oracle for the hand-written
//! backward pass, and candle-transformers' Qwen3 for what a model directory means.

use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::{VarBuilder, ops::softmax};
use candle_transformers::models::qwen3;
use siskin::checkpoint::ModelDir;
use siskin::inference::{Engine, LanguageModel};
use siskin::kernels::Cpu;
use siskin::kernels::random::Random;
use siskin::model::{Config, Family, Layout, initial_weights};
use siskin::training::network::{Batch, Network};
use std::collections::HashMap;

const N_SEQUENCES: usize = 3;

/// Grouped queries, several layers, sizes that are no multiples of a vector.
fn config(tied: bool) -> Config {
    Config {
        n_layer: 3,
        n_head: 6,
        n_kv_head: 2,
        n_embd: 60,
        head_dim: 10,
        n_ffn: 100,
        vocab_size: 301,
        block_size: 24,
        rope_theta: 10_000.0,
        norm_eps: 1e-6,
        tied,
        family: Family::Qwen3,
    }
}

/// Initial weights, enlarged so that every nonlinearity is felt, with norms that are not all one.
fn weights(config: &Config) -> Vec<f32> {
    let mut random = Random::new(4, 77);
    let first = initial_weights(config, 3);
    first.iter().map(|&w| if w == 1.0 { 1.0 + 0.2 * random.normal() as f32 } else { w * 6.0 }).collect()
}

fn ids(config: &Config, stream: u64) -> Vec<u32> {
    let mut random = Random::new(8, stream);
    (0..N_SEQUENCES * config.block_size).map(|_| random.below(config.vocab_size as u64) as u32).collect()
}

/// The model in candle: a variable for each tensor.
struct Oracle {
    config: Config,
    vars: HashMap<String, Var>,
}

type Result<T> = candle_core::Result<T>;

impl Oracle {
    fn new(config: &Config, weights: &[f32]) -> Result<Oracle> {
        let mut vars = HashMap::new();
        for tensor in Layout::new(config).tensors {
            let data = Tensor::from_slice(&weights[tensor.range], tensor.shape, &Device::Cpu)?;
            vars.insert(tensor.name, Var::from_tensor(&data)?);
        }
        Ok(Oracle { config: config.clone(), vars })
    }

    fn var(&self, name: &str) -> &Tensor {
        self.vars[name].as_tensor()
    }

    /// Not candle_nn's `rms_norm`, which has no backward pass.
    fn norm(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let mean_square = x.sqr()?.mean_keepdim(D::Minus1)?;
        x.broadcast_div(&(mean_square + self.config.norm_eps as f64)?.sqrt()?)?.broadcast_mul(weight)
    }

    /// (B, H, T, D), turned by position.
    fn rope(&self, x: &Tensor) -> Result<Tensor> {
        let (t, half) = (x.dim(2)?, self.config.head_dim / 2);
        let angle = |i: usize| (i / half) as f32 / self.config.rope_theta.powf((i % half) as f32 / half as f32);
        let angles = Tensor::from_iter((0..t * half).map(angle), &Device::Cpu)?.reshape((t, half))?;
        let (cos, sin) = (angles.cos()?, angles.sin()?);
        let (a, b) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
        let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        let second = (a.broadcast_mul(&sin)? + b.broadcast_mul(&cos)?)?;
        Tensor::cat(&[first, second], D::Minus1)
    }

    fn heads(&self, x: &Tensor, weight: &str, n_head: usize) -> Result<Tensor> {
        let (b, t, _) = x.dims3()?;
        let y = x.broadcast_matmul(&self.var(weight).t()?)?;
        y.reshape((b, t, n_head, self.config.head_dim))?.transpose(1, 2)?.contiguous() // (B, H, T, D)
    }

    fn attention(&self, x: &Tensor, p: &str) -> Result<Tensor> {
        let (b, t, _) = x.dims3()?;
        let (h, kv, d) = (self.config.n_head, self.config.n_kv_head, self.config.head_dim);
        let q = self.heads(x, &format!("{p}.q_proj.weight"), h)?;
        let k = self.heads(x, &format!("{p}.k_proj.weight"), kv)?;
        let v = self.heads(x, &format!("{p}.v_proj.weight"), kv)?;
        let q = self.rope(&self.norm(&q, self.var(&format!("{p}.q_norm.weight")))?)?;
        let k = self.rope(&self.norm(&k, self.var(&format!("{p}.k_norm.weight")))?)?;
        let repeat = |x: Tensor| x.unsqueeze(2)?.expand((b, kv, h / kv, t, d))?.contiguous()?.reshape((b, h, t, d));
        let (k, v) = (repeat(k)?, repeat(v)?);
        let scores = (q.matmul(&k.transpose(2, 3)?.contiguous()?)? / (d as f64).sqrt())?;
        let mask =
            Tensor::from_iter((0..t * t).map(|i| if i % t > i / t { f32::NEG_INFINITY } else { 0.0 }), &Device::Cpu)?;
        let p_out = softmax(&scores.broadcast_add(&mask.reshape((t, t))?)?, D::Minus1)?.matmul(&v)?;
        let joined = p_out.transpose(1, 2)?.contiguous()?.reshape((b, t, h * d))?;
        joined.broadcast_matmul(&self.var(&format!("{p}.o_proj.weight")).t()?)
    }

    fn ffn(&self, x: &Tensor, p: &str) -> Result<Tensor> {
        let project = |x: &Tensor, name: &str| x.broadcast_matmul(&self.var(&format!("{p}.{name}.weight")).t()?);
        let hidden = (project(x, "gate_proj")?.silu()? * project(x, "up_proj")?)?;
        project(&hidden, "down_proj")
    }

    /// Mean cross-entropy over (B, T).
    fn loss(&self, ids: &[u32], targets: &[u32]) -> Result<Tensor> {
        let (c, t) = (self.config.n_embd, self.config.block_size);
        let index = Tensor::from_slice(ids, ids.len(), &Device::Cpu)?;
        let mut x = self.var("model.embed_tokens.weight").index_select(&index, 0)?.reshape((ids.len() / t, t, c))?;
        for l in 0..self.config.n_layer {
            let p = format!("model.layers.{l}");
            let normed = self.norm(&x, self.var(&format!("{p}.input_layernorm.weight")))?;
            x = (&x + self.attention(&normed, &format!("{p}.self_attn"))?)?;
            let normed = self.norm(&x, self.var(&format!("{p}.post_attention_layernorm.weight")))?;
            x = (&x + self.ffn(&normed, &format!("{p}.mlp"))?)?;
        }
        let head = if self.config.tied { "model.embed_tokens.weight" } else { "lm_head.weight" };
        let x = self.norm(&x, self.var("model.norm.weight"))?.reshape((ids.len(), c))?;
        let logits = x.matmul(&self.var(head).t()?)?;
        candle_nn::loss::cross_entropy(&logits, &Tensor::from_slice(targets, targets.len(), &Device::Cpu)?)
    }
}

/// Single precision through three layers: the largest difference seen is some 2e-6 of a tensor's largest gradient.
const TOLERANCE: f32 = 2e-5;

#[test]
fn loss_and_all_gradients_agree_with_candle() {
    for tied in [true, false] {
        let config = config(tied);
        let (weights, ids, targets) = (weights(&config), ids(&config, 0), ids(&config, 1));
        let oracle = Oracle::new(&config, &weights).unwrap();
        let wanted_loss = oracle.loss(&ids, &targets).unwrap();
        let wanted = wanted_loss.backward().unwrap();
        let mut network = Network::new(&config, &weights, ids.len());
        let batch = Batch::of(&ids, &targets, config.block_size);
        let loss = network.loss_and_gradients(&Cpu::new(2), batch);
        let wanted_loss = wanted_loss.to_scalar::<f32>().unwrap();
        assert!((loss as f32 - wanted_loss).abs() < TOLERANCE * wanted_loss, "loss {loss}, candle {wanted_loss}");
        for tensor in &network.layout().tensors {
            let wanted = wanted.get(&oracle.vars[&tensor.name]).expect("candle has a gradient for every variable");
            let wanted: Vec<f32> = wanted.flatten_all().unwrap().to_vec1().unwrap();
            let scale = wanted.iter().fold(0.0f32, |a, g| a.max(g.abs()));
            for (i, (found, wanted)) in network.gradients[tensor.range.clone()].iter().zip(&wanted).enumerate() {
                let error = (found - wanted).abs();
                assert!(error <= TOLERANCE * scale, "{} [{i}]: {found}, candle {wanted} (of {scale})", tensor.name);
            }
        }
    }
}

#[test]
fn candle_transformers_reads_a_model_directory_and_gives_the_same_logits() {
    let config = config(false);
    let weights = weights(&config);
    let folder = tempfile::tempdir().unwrap();
    let dir = ModelDir::create(folder.path()).unwrap();
    dir.save_weights(&config, &weights).unwrap();
    let json = config.to_hf_json(0, 0);
    let their_config: qwen3::Config = serde_json::from_value(json).unwrap();
    let file = std::fs::read(folder.path().join("model.safetensors")).unwrap();
    let vars = VarBuilder::from_buffered_safetensors(file, DType::F32, &Device::Cpu).unwrap();
    let mut theirs = qwen3::ModelForCausalLM::new(&their_config, vars).unwrap();
    let mut ours = Engine::new(&config, &weights, config.block_size, 1).unwrap();
    let prompt = &ids(&config, 5)[..config.block_size];
    let wanted = theirs.forward(&Tensor::new(prompt, &Device::Cpu).unwrap().unsqueeze(0).unwrap(), 0).unwrap();
    let wanted: Vec<f32> = wanted.flatten_all().unwrap().to_vec1().unwrap();
    let scale = wanted.iter().fold(0.0f32, |a, l| a.max(l.abs()));
    for (id, (found, wanted)) in ours.feed(prompt).iter().zip(&wanted).enumerate() {
        assert!((found - wanted).abs() < 1e-4 * scale, "logit {id}: {found}, candle-transformers {wanted}");
    }
}
