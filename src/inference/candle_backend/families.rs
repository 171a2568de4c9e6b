//! Which architecture has which tensors and numbers: the checks before candle sees a file, and the loading after them.
//!
//! Keys and names are llama.cpp's (`gguf-py/gguf/constants.py`). What candle-transformers' own models pass over in silence
//! (another rotary base, stretched positions) is refused, as the text would only get worse without a word.

use super::decoder::{Activation, Attention, Convolution, Decoder, Ffn, Layer, Mixer, Norm, Rope};
use super::header::{Header, check_heads, numbers};
use anyhow::{Context, Result, ensure};
use candle_core::quantized::QMatMul;
use candle_core::quantized::gguf_file::Content;
use candle_core::{DType, Device, Tensor};
use candle_transformers::models::{quantized_glm4, quantized_phi, quantized_phi3};
use std::io::Cursor;
use std::sync::Arc;

/// A network of one of the families.
pub(super) enum Network {
    /// One that reads in any chunks and forgets by position.
    Ours(Decoder),
    Phi(Box<quantized_phi::ModelWeights>),
    Phi3(Box<quantized_phi3::ModelWeights>),
    Glm4(Box<quantized_glm4::ModelWeights>),
}

impl Network {
    /// Reads `ids` at the positions from `first` on; the logits after the last of them (V).
    pub(super) fn forward(&mut self, ids: &[u32], first: usize) -> Result<Vec<f32>> {
        let row = |ids: &[u32]| Tensor::new(ids, &Device::Cpu)?.unsqueeze(0);
        let logits = match self {
            Network::Ours(decoder) => return decoder.forward(ids, first),
            Network::Phi(model) => model.forward(&row(ids)?, first)?,
            Network::Phi3(model) => model.forward(&row(ids)?, first)?,
            Network::Glm4(model) => model.forward(&row(ids)?, first)?,
        };
        Ok(logits.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
    }

    /// Whether what was read can be forgotten from any position on, instead of all at once only.
    pub(super) fn forgets_by_position(&self) -> bool {
        matches!(self, Network::Ours(_))
    }
}

/// Loads one family.
type Load = fn(&Header, Source, usize) -> Result<Network>;

/// The families by their name in files.
pub(super) const FAMILIES: [(&str, Load); 5] =
    [("gemma3", gemma3), ("glm4", glm4), ("lfm2", lfm2), ("phi2", phi), ("phi3", phi3)];

/// The file behind the header.
pub(super) struct Source<'a> {
    pub(super) content: Content,
    pub(super) file: Cursor<&'a [u8]>,
}

impl Source<'_> {
    fn matrix(&mut self, name: &str) -> Result<QMatMul> {
        let tensor = self.content.tensor(&mut self.file, name, &Device::Cpu)?;
        Ok(QMatMul::from_qtensor(tensor)?)
    }

    fn plain(&mut self, name: &str) -> Result<Tensor> {
        Ok(self.content.tensor(&mut self.file, name, &Device::Cpu)?.dequantize(&Device::Cpu)?)
    }

    fn norm(&mut self, name: &str, eps: f32) -> Result<Norm> {
        Ok(Norm { weight: self.plain(name)?.flatten_all()?, eps })
    }

    fn ffn(&mut self, layer: usize, activation: Activation) -> Result<Ffn> {
        let mut matrix = |part: &str| self.matrix(&format!("blk.{layer}.ffn_{part}.weight"));
        Ok(Ffn { gate: matrix("gate")?, up: matrix("up")?, down: matrix("down")?, activation })
    }

    fn attention(&mut self, layer: usize, shape: Heads, rope: &Arc<Rope>, n: usize, eps: f32) -> Result<Attention> {
        let name = |part: &str| format!("blk.{layer}.attn_{part}.weight");
        let Heads { n_head, n_kv_head, head_dim, scale, window } = shape;
        let cache = || Tensor::zeros((n_kv_head, n, head_dim), DType::F32, &Device::Cpu);
        Ok(Attention {
            q: self.matrix(&name("q"))?,
            k: self.matrix(&name("k"))?,
            v: self.matrix(&name("v"))?,
            o: self.matrix(&name("output"))?,
            q_norm: self.norm(&name("q_norm"), eps)?,
            k_norm: self.norm(&name("k_norm"), eps)?,
            n_head,
            n_kv_head,
            head_dim,
            scale,
            window,
            rope: Arc::clone(rope),
            keys: cache()?,
            values: cache()?,
        })
    }
}

#[derive(Clone, Copy)]
struct Heads {
    n_head: usize,
    n_kv_head: usize,
    head_dim: usize,
    scale: f64,
    window: Option<usize>,
}

impl Heads {
    fn new(n_head: usize, n_kv_head: usize, head_dim: usize) -> Heads {
        Heads { n_head, n_kv_head, head_dim, scale: 1.0 / (head_dim as f64).sqrt(), window: None }
    }

    /// Checks the attention's tensors of a layer of width `c`.
    fn expect(&self, header: &Header, layer: usize, c: usize) -> Result<()> {
        let (d, q, kv) = (self.head_dim, self.n_head * self.head_dim, self.n_kv_head * self.head_dim);
        header.expect_layer(
            layer,
            &[
                ("attn_q.weight", &[q, c]),
                ("attn_k.weight", &[kv, c]),
                ("attn_v.weight", &[kv, c]),
                ("attn_output.weight", &[c, q]),
                ("attn_q_norm.weight", &[d]),
                ("attn_k_norm.weight", &[d]),
            ],
        )
    }
}

/// Heads are turned in pairs.
fn check_head_dim(head_dim: usize, multiple: usize) -> Result<()> {
    ensure!(
        head_dim > 0 && head_dim.is_multiple_of(multiple),
        "heads of {head_dim} numbers cannot be turned: the width must be a multiple of {multiple}"
    );
    Ok(())
}

fn even_head_dim(c: usize, n_head: usize, multiple: usize) -> Result<usize> {
    ensure!(c.is_multiple_of(n_head), "{c} numbers cannot be shared by {n_head} heads evenly");
    check_head_dim(c / n_head, multiple)?;
    Ok(c / n_head)
}

/// Embedding, last norm and head of width `c`.
fn expect_ends(header: &Header, c: usize) -> Result<()> {
    let v = header.vocab_size()?;
    header.expect("token_embd.weight", &[v, c])?;
    if header.has("output.weight") { header.expect("output.weight", &[v, c]) } else { Ok(()) }
}

fn expect_norms(header: &Header, layer: usize, c: usize, names: &[&str]) -> Result<()> {
    names.iter().try_for_each(|name| header.expect_layer(layer, &[(&format!("{name}.weight"), &[c])]))
}

fn expect_gated_ffn(header: &Header, layer: usize, c: usize) -> Result<()> {
    let f = header.size("feed_forward_length")?;
    let tensors: [(&str, &[usize]); 3] =
        [("ffn_gate.weight", &[f, c]), ("ffn_up.weight", &[f, c]), ("ffn_down.weight", &[c, f])];
    header.expect_layer(layer, &tensors)
}

/// How far positions are stretched; an error where that is not by one factor.
fn stretch(header: &Header) -> Result<f32> {
    let kind: Option<&str> = header.optional("rope.scaling.type")?;
    match kind {
        None | Some("none") => Ok(1.0),
        Some("linear") => header.positive_or("rope.scaling.factor", 1.0),
        Some(other) => anyhow::bail!("positions are scaled by {other:?}, which is not done here: none and linear are"),
    }
}

/// Fails where positions are not plain ones to the base that candle-transformers has as a constant.
fn expect_plain_positions(header: &Header, base: Option<f32>) -> Result<()> {
    let asked = header.positive_or("rope.freq_base", base.unwrap_or(10_000.0))?;
    ensure!(
        base.is_none_or(|base| base == asked),
        "the file asks for rotary positions to the base {asked}, but only the base 10000 is done here for this family"
    );
    let is_scaled = stretch(header)? != 1.0
        || ["rope_factors_long.weight", "rope_factors_short.weight", "rope_freqs.weight"]
            .iter()
            .any(|name| header.has(name));
    ensure!(!is_scaled, "the file asks for scaled rotary positions, which are not done here for this family");
    Ok(())
}

/// Gemma 3, text only (<https://arxiv.org/abs/2503.19786>).
fn gemma3(header: &Header, mut source: Source, n: usize) -> Result<Network> {
    /// Of so many layers one sees the whole text, the others a window.
    const PERIOD: usize = 6;
    /// Layers of the one size that scales its scores by the embedding's share of a head instead of the head's width.
    const N_LAYER_27B: usize = 62;
    let (n_layer, c) = (header.n_layer()?, header.size("embedding_length")?);
    let (n_head, n_kv_head) = header.heads()?;
    let head_dim = header.size("attention.key_length")?;
    check_head_dim(head_dim, 2)?;
    let window = header.size("attention.sliding_window")?;
    let eps = header.positive_or("attention.layer_norm_rms_epsilon", 1e-6)?;
    let mut heads = Heads::new(n_head, n_kv_head, head_dim);
    if n_layer == N_LAYER_27B {
        heads.scale = 1.0 / (c as f64 / n_head as f64).sqrt();
    }
    let softcap: Option<f32> = header.optional("final_logit_softcapping")?;
    ensure!(softcap.unwrap_or(0.0) == 0.0, "the file asks for logits with a soft cap, which is not done here");
    expect_ends(header, c)?;
    header.expect("output_norm.weight", &[c])?;
    for layer in 0..n_layer {
        heads.expect(header, layer, c)?;
        expect_norms(header, layer, c, &["attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"])?;
        expect_gated_ffn(header, layer, c)?;
    }
    let base = header.positive_or("rope.freq_base", 1_000_000.0)?;
    let whole = Arc::new(Rope::new(n, head_dim, base, stretch(header)?)?);
    let local = Arc::new(Rope::new(n, head_dim, header.positive_or("rope.freq_base_swa", 10_000.0)?, 1.0)?);
    let mut layers = Vec::with_capacity(n_layer);
    for l in 0..n_layer {
        let sees_all = (l + 1) % PERIOD == 0;
        let (rope, window) = if sees_all { (&whole, None) } else { (&local, Some(window)) };
        let attention = source.attention(l, Heads { window, ..heads }, rope, n, eps)?;
        let mut norm = |part: &str| source.norm(&format!("blk.{l}.{part}.weight"), eps);
        let (mixer_norm, after_mixer) = (norm("attn_norm")?, Some(norm("post_attention_norm")?));
        let (ffn_norm, after_ffn) = (norm("ffn_norm")?, Some(norm("post_ffw_norm")?));
        let ffn = source.ffn(l, Activation::Gelu)?;
        layers.push(Layer { mixer_norm, mixer: Mixer::Attention(attention), after_mixer, ffn_norm, ffn, after_ffn });
    }
    decoder(header, source, layers, (c as f64).sqrt(), ("output_norm.weight", eps))
}

/// LFM2, dense (<https://arxiv.org/abs/2511.23404>).
fn lfm2(header: &Header, mut source: Source, n: usize) -> Result<Network> {
    /// The last norm has the embedding's name in files.
    const LAST_NORM: &str = "token_embd_norm.weight";
    let (n_layer, c, n_head) =
        (header.n_layer()?, header.size("embedding_length")?, header.size("attention.head_count")?);
    let head_dim = even_head_dim(c, n_head, 2)?;
    let n_taps = header.size("shortconv.l_cache")?;
    let eps = header.positive_or("attention.layer_norm_rms_epsilon", 1e-5)?;
    let n_kv_heads = header.value("attention.head_count_kv")?;
    let n_kv_heads = numbers(n_kv_heads, n_layer).with_context(|| {
        format!("metadata key lfm2.attention.head_count_kv has no number for each of the {n_layer} layers")
    })?;
    let last_norm = if header.has(LAST_NORM) { LAST_NORM } else { "output_norm.weight" };
    expect_ends(header, c)?;
    header.expect(last_norm, &[c])?;
    for (layer, &n_kv_head) in n_kv_heads.iter().enumerate() {
        expect_norms(header, layer, c, &["attn_norm", "ffn_norm"])?;
        expect_gated_ffn(header, layer, c)?;
        if n_kv_head > 0 {
            check_heads(n_head, n_kv_head)?;
            Heads::new(n_head, n_kv_head, head_dim).expect(header, layer, c)?;
        } else {
            let tensors: [(&str, &[usize]); 3] = [
                ("shortconv.in_proj.weight", &[3 * c, c]),
                ("shortconv.out_proj.weight", &[c, c]),
                ("shortconv.conv.weight", &[c, n_taps]),
            ];
            header.expect_layer(layer, &tensors)?;
        }
    }
    expect_plain_positions(header, None)?;
    let rope = Arc::new(Rope::new(n, head_dim, header.positive_or("rope.freq_base", 1_000_000.0)?, 1.0)?);
    let mut layers = Vec::with_capacity(n_layer);
    for (l, &n_kv_head) in n_kv_heads.iter().enumerate() {
        let mixer = if n_kv_head > 0 {
            Mixer::Attention(source.attention(l, Heads::new(n_head, n_kv_head, head_dim), &rope, n, eps)?)
        } else {
            let name = |part: &str| format!("blk.{l}.shortconv.{part}.weight");
            Mixer::Convolution(Convolution {
                inward: source.matrix(&name("in_proj"))?,
                outward: source.matrix(&name("out_proj"))?,
                taps: source.plain(&name("conv"))?.reshape((c, n_taps))?.t()?.contiguous()?,
                past: Tensor::zeros((n_taps - 1 + n, c), DType::F32, &Device::Cpu)?,
            })
        };
        let mut norm = |part: &str| source.norm(&format!("blk.{l}.{part}.weight"), eps);
        let (mixer_norm, ffn_norm) = (norm("attn_norm")?, norm("ffn_norm")?);
        let ffn = source.ffn(l, Activation::Silu)?;
        layers.push(Layer { mixer_norm, mixer, after_mixer: None, ffn_norm, ffn, after_ffn: None });
    }
    decoder(header, source, layers, 1.0, (last_norm, eps))
}

fn decoder(header: &Header, mut source: Source, layers: Vec<Layer>, scale: f64, norm: (&str, f32)) -> Result<Network> {
    let embedding = source.matrix("token_embd.weight")?;
    let head = if header.has("output.weight") { source.matrix("output.weight")? } else { embedding.clone() };
    Ok(Network::Ours(Decoder { embedding, scale, layers, norm: source.norm(norm.0, norm.1)?, head }))
}

/// Phi-1, Phi-1.5 and Phi-2.
fn phi(header: &Header, mut source: Source, n: usize) -> Result<Network> {
    const MOST: usize = quantized_phi::MAX_SEQ_LEN;
    ensure!(n <= MOST, "a context of {n} tokens was asked for, but models of this family are run with up to {MOST}");
    let (n_layer, c, f) = (header.n_layer()?, header.size("embedding_length")?, header.size("feed_forward_length")?);
    let (n_head, n_kv_head) = header.heads()?;
    ensure!(n_head == n_kv_head, "{n_head} heads share {n_kv_head} key/value heads, which is not done for this family");
    let head_dim = even_head_dim(c, n_head, 1)?;
    let turned = header.size("rope.dimension_count")?;
    ensure!(turned.is_multiple_of(2) && turned < head_dim, "{turned} of {head_dim} numbers of a head cannot be turned");
    expect_plain_positions(header, Some(10_000.0))?;
    let v = header.vocab_size()?;
    for (name, rows) in [("token_embd", v), ("output", v)] {
        header.expect(&format!("{name}.weight"), &[rows, c])?;
    }
    let vectors = [("output.bias", v), ("output_norm.weight", c), ("output_norm.bias", c)];
    vectors.iter().try_for_each(|&(name, n)| header.expect(name, &[n]))?;
    for layer in 0..n_layer {
        let tensors: [(&str, &[usize]); 10] = [
            ("attn_norm.weight", &[c]),
            ("attn_norm.bias", &[c]),
            ("attn_qkv.weight", &[3 * c, c]),
            ("attn_qkv.bias", &[3 * c]),
            ("attn_output.weight", &[c, c]),
            ("attn_output.bias", &[c]),
            ("ffn_up.weight", &[f, c]),
            ("ffn_up.bias", &[f]),
            ("ffn_down.weight", &[c, f]),
            ("ffn_down.bias", &[c]),
        ];
        header.expect_layer(layer, &tensors)?;
    }
    let model = quantized_phi::ModelWeights::from_gguf(source.content, &mut source.file, &Device::Cpu)?;
    Ok(Network::Phi(Box::new(model)))
}

/// Phi-3 with 4,096 tokens of context, and what has its shape.
fn phi3(header: &Header, mut source: Source, _n: usize) -> Result<Network> {
    let (n_layer, c, f) = (header.n_layer()?, header.size("embedding_length")?, header.size("feed_forward_length")?);
    let (n_head, n_kv_head) = header.heads()?;
    let head_dim = even_head_dim(c, n_head, 2)?;
    let turned = header.size("rope.dimension_count")?;
    ensure!(turned == head_dim, "{turned} of {head_dim} numbers of a head are turned, which is not done here");
    expect_plain_positions(header, Some(10_000.0))?;
    let v = header.vocab_size()?;
    header.expect("token_embd.weight", &[v, c])?;
    header.expect("output.weight", &[v, c])?;
    header.expect("output_norm.weight", &[c])?;
    let qkv = (n_head + 2 * n_kv_head) * head_dim;
    for layer in 0..n_layer {
        expect_norms(header, layer, c, &["attn_norm", "ffn_norm"])?;
        let tensors: [(&str, &[usize]); 4] = [
            ("attn_qkv.weight", &[qkv, c]),
            ("attn_output.weight", &[c, c]),
            ("ffn_up.weight", &[2 * f, c]),
            ("ffn_down.weight", &[c, f]),
        ];
        header.expect_layer(layer, &tensors)?;
    }
    let model = quantized_phi3::ModelWeights::from_gguf(false, source.content, &mut source.file, &Device::Cpu)?;
    Ok(Network::Phi3(Box::new(model)))
}

/// GLM-4-0414.
fn glm4(header: &Header, mut source: Source, _n: usize) -> Result<Network> {
    let (n_layer, c, f) = (header.n_layer()?, header.size("embedding_length")?, header.size("feed_forward_length")?);
    let (n_head, n_kv_head) = header.heads()?;
    let head_dim = header.size("attention.key_length")?;
    // Half of a head is turned, in pairs.
    check_head_dim(head_dim, 4)?;
    let turned = header.size_or("rope.dimension_count", head_dim / 2)?;
    ensure!(
        turned == head_dim / 2,
        "{turned} of {head_dim} numbers of a head are turned, but half is what is done here"
    );
    expect_plain_positions(header, None)?;
    expect_ends(header, c)?;
    header.expect("output_norm.weight", &[c])?;
    let (q, kv) = (n_head * head_dim, n_kv_head * head_dim);
    for layer in 0..n_layer {
        expect_norms(header, layer, c, &["attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"])?;
        let tensors: [(&str, &[usize]); 6] = [
            ("attn_q.weight", &[q, c]),
            ("attn_k.weight", &[kv, c]),
            ("attn_v.weight", &[kv, c]),
            ("attn_output.weight", &[c, q]),
            ("ffn_up.weight", &[2 * f, c]),
            ("ffn_down.weight", &[c, f]),
        ];
        header.expect_layer(layer, &tensors)?;
        for (name, n) in [("attn_q.bias", q), ("attn_k.bias", kv), ("attn_v.bias", kv)] {
            if header.has(&format!("blk.{layer}.{name}")) {
                header.expect_layer(layer, &[(name, &[n])])?;
            }
        }
    }
    let model = quantized_glm4::ModelWeights::from_gguf(source.content, &mut source.file, &Device::Cpu, DType::F32)?;
    Ok(Network::Glm4(Box::new(model)))
}
