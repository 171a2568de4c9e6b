//! A decoder on candle's tensors for the shapes whose quantized form in candle-transformers 0.11.1 cannot be used:
//!
//! - `gemma3`: theirs gates its feed-forward with SiLU, but the network was trained with GELU
//!   (<https://github.com/huggingface/candle/issues/3745>); it fails on a second chunk of several tokens, and makes a table
//!   of 131,072 positions for each layer;
//! - `lfm2`: theirs forgets what stands before a chunk of several tokens, and keeps the convolution's state of the last text.
//!
//! This one reads in any chunks and forgets any number of tokens, as all that it keeps has its place by position. It holds
//! whatever is common to both; which shape has what is `families`' business.

use anyhow::Result;
use candle_core::quantized::QMatMul;
use candle_core::{D, Device, Module, Tensor};
use candle_nn::ops::{rms_norm, silu, softmax_last_dim};
use candle_nn::rotary_emb::rope;
use std::sync::Arc;

/// The whole network and what it has read.
pub(super) struct Decoder {
    pub(super) embedding: QMatMul,
    /// What the embedding is multiplied by.
    pub(super) scale: f64,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Norm,
    pub(super) head: QMatMul,
}

/// RMSNorm.
pub(super) struct Norm {
    pub(super) weight: Tensor,
    pub(super) eps: f32,
}

/// One block: tokens look at each other, then each for itself.
pub(super) struct Layer {
    pub(super) mixer_norm: Norm,
    pub(super) mixer: Mixer,
    pub(super) after_mixer: Option<Norm>,
    pub(super) ffn_norm: Norm,
    pub(super) ffn: Ffn,
    pub(super) after_ffn: Option<Norm>,
}

/// How tokens look at each other.
pub(super) enum Mixer {
    Attention(Attention),
    Convolution(Convolution),
}

/// Grouped-query attention with normalised heads.
pub(super) struct Attention {
    pub(super) q: QMatMul,
    pub(super) k: QMatMul,
    pub(super) v: QMatMul,
    pub(super) o: QMatMul,
    pub(super) q_norm: Norm,
    pub(super) k_norm: Norm,
    pub(super) n_head: usize,
    pub(super) n_kv_head: usize,
    pub(super) head_dim: usize,
    pub(super) scale: f64,
    /// A token sees itself and those before it, this many together; all if none is given.
    pub(super) window: Option<usize>,
    pub(super) rope: Arc<Rope>,
    /// Of all positions, those read and those to come (KV, N, D).
    pub(super) keys: Tensor,
    pub(super) values: Tensor,
}

/// Angles of rotary positions, each (N, D/2).
pub(super) struct Rope {
    pub(super) cos: Tensor,
    pub(super) sin: Tensor,
}

/// A short causal convolution of each channel by itself between two gates (<https://arxiv.org/abs/2511.23404>, LFM2).
pub(super) struct Convolution {
    /// To both gates and the input.
    pub(super) inward: QMatMul,
    pub(super) outward: QMatMul,
    /// The oldest token's factors first (K, C).
    pub(super) taps: Tensor,
    /// The convolution's input at all positions, behind K - 1 rows of zeros (K - 1 + N, C).
    pub(super) past: Tensor,
}

/// A gated feed-forward layer.
pub(super) struct Ffn {
    pub(super) gate: QMatMul,
    pub(super) up: QMatMul,
    pub(super) down: QMatMul,
    pub(super) activation: Activation,
}

/// What the gate goes through.
#[derive(Clone, Copy)]
pub(super) enum Activation {
    Silu,
    /// In its tanh form.
    Gelu,
}

impl Rope {
    /// Angles of heads of `head_dim` for `n` positions, which go by `1 / stretch` each.
    pub(super) fn new(n: usize, head_dim: usize, base: f32, stretch: f32) -> Result<Rope> {
        let half = head_dim / 2;
        let angle = |i: usize| (i / half) as f32 / stretch / base.powf((2 * (i % half)) as f32 / head_dim as f32);
        let angles = Tensor::from_iter((0..n * half).map(angle), &Device::Cpu)?.reshape((n, half))?;
        Ok(Rope { cos: angles.cos()?, sin: angles.sin()? })
    }

    /// Turns `x` (H, T, D), whose first row stands at `first`.
    fn turn(&self, x: &Tensor, first: usize) -> Result<Tensor> {
        let n = x.dim(1)?;
        let (cos, sin) = (self.cos.narrow(0, first, n)?, self.sin.narrow(0, first, n)?);
        Ok(rope(&x.unsqueeze(0)?, &cos, &sin)?.squeeze(0)?)
    }
}

impl Norm {
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        Ok(rms_norm(&x.contiguous()?, &self.weight, self.eps)?)
    }
}

impl Decoder {
    /// Reads `ids` at the positions from `first` on, and returns the logits after the last of them (V).
    pub(super) fn forward(&mut self, ids: &[u32], first: usize) -> Result<Vec<f32>> {
        let ids = Tensor::new(ids, &Device::Cpu)?;
        let mut x = (self.embedding.embedding(&ids)? * self.scale)?; // (T, C)
        for layer in &self.layers {
            x = layer.forward(&x, first)?;
        }
        let last = x.narrow(0, x.dim(0)? - 1, 1)?;
        Ok(self.head.forward(&self.norm.apply(&last)?)?.squeeze(0)?.to_vec1()?)
    }
}

impl Layer {
    fn forward(&self, x: &Tensor, first: usize) -> Result<Tensor> {
        let normed = self.mixer_norm.apply(x)?;
        let mixed = match &self.mixer {
            Mixer::Attention(attention) => attention.forward(&normed, first)?,
            Mixer::Convolution(convolution) => convolution.forward(&normed, first)?,
        };
        let x = (x + after(&self.after_mixer, mixed)?)?;
        let found = self.ffn.forward(&self.ffn_norm.apply(&x)?)?;
        Ok((&x + after(&self.after_ffn, found)?)?)
    }
}

fn after(norm: &Option<Norm>, x: Tensor) -> Result<Tensor> {
    norm.as_ref().map_or(Ok(x.clone()), |norm| norm.apply(&x))
}

impl Attention {
    fn forward(&self, x: &Tensor, first: usize) -> Result<Tensor> {
        let (t, d, kv) = (x.dim(0)?, self.head_dim, self.n_kv_head);
        let (n_group, n) = (self.n_head / kv, first + t);
        let heads = |y: Tensor, n_head: usize| y.reshape((t, n_head, d));
        let q = self.q_norm.apply(&heads(self.q.forward(x)?, self.n_head)?)?.transpose(0, 1)?.contiguous()?;
        let k = self.k_norm.apply(&heads(self.k.forward(x)?, kv)?)?.transpose(0, 1)?.contiguous()?;
        let v = heads(self.v.forward(x)?, kv)?.transpose(0, 1)?.contiguous()?; // (KV, T, D)
        let q = self.rope.turn(&q, first)?.reshape((kv, n_group * t, d))?; // heads of a group behind each other
        self.keys.slice_set(&self.rope.turn(&k, first)?.contiguous()?, 1, first)?;
        self.values.slice_set(&v, 1, first)?;
        let (keys, values) = (self.keys.narrow(1, 0, n)?, self.values.narrow(1, 0, n)?);
        let scores = (q.matmul(&keys.transpose(1, 2)?)? * self.scale)?.reshape((kv, n_group, t, n))?;
        let scores = match mask(t, first, self.window)? {
            Some(mask) => scores.broadcast_add(&mask)?,
            None => scores,
        };
        let weights = softmax_last_dim(&scores)?.reshape((kv, n_group * t, n))?;
        let found = weights.matmul(&values)?.reshape((self.n_head, t, d))?;
        let found = found.transpose(0, 1)?.contiguous()?.reshape((t, self.n_head * d))?;
        Ok(self.o.forward(&found)?)
    }
}

/// What a token may not see is minus infinity (T, N); nothing where each may see all that there is.
fn mask(t: usize, first: usize, window: Option<usize>) -> Result<Option<Tensor>> {
    let n = first + t;
    let window = window.unwrap_or(n);
    if t == 1 && n <= window {
        return Ok(None);
    }
    let sees = |i: usize, j: usize| j <= first + i && first + i - j < window;
    let values = (0..t * n).map(|at| if sees(at / n, at % n) { 0.0 } else { f32::NEG_INFINITY });
    Ok(Some(Tensor::from_iter(values, &Device::Cpu)?.reshape((t, n))?))
}

impl Convolution {
    fn forward(&self, x: &Tensor, first: usize) -> Result<Tensor> {
        let (t, n_taps) = (x.dim(0)?, self.taps.dim(0)?);
        let parts = self.inward.forward(x)?.chunk(3, D::Minus1)?; // three of (T, C)
        let input = (&parts[0] * &parts[2])?.contiguous()?;
        self.past.slice_set(&input, 0, n_taps - 1 + first)?;
        let mut sum = input.zeros_like()?;
        for tap in 0..n_taps {
            sum = (sum + self.past.narrow(0, first + tap, t)?.broadcast_mul(&self.taps.get(tap)?)?)?;
        }
        Ok(self.outward.forward(&(&parts[1] * sum)?)?)
    }
}

impl Ffn {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let gate = self.gate.forward(x)?;
        let gate = match self.activation {
            Activation::Silu => silu(&gate)?,
            Activation::Gelu => gate.gelu()?,
        };
        Ok(self.down.forward(&(gate * self.up.forward(x)?)?)?)
    }
}
