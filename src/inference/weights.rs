//! From tensors, wherever they lie, to a network at rest.
//!
//! Weights keep the type that they are stored in: each matrix is packed by itself, a few megabytes at a time, and what
//! it was packed from can go before the next is looked at.

use crate::formats::blocks::{self, TensorType};
use crate::kernels::Cpu;
use crate::kernels::qk_norm_rope::{Heads, RopeTable};
use crate::kernels::quantized::{PackedMatrix, WeightType};
use crate::kernels::transformer::{Block, Norm, Projection, Shape, Transformer};
use crate::model::{Config, Layout, Part, TensorSpec, deinterleaved_row};
use anyhow::{Context, Result, ensure};
use std::borrow::Cow;
use std::ops::Range;

/// A tensor as it is stored, row after row.
#[derive(Debug, Clone)]
pub struct StoredTensor<'a> {
    /// How its elements are stored.
    pub kind: TensorType,
    /// All of them, little-endian.
    pub bytes: Cow<'a, [u8]>,
    /// Whether the rows of a head lie in Meta's order (see [`crate::model::deinterleave`]).
    pub is_interleaved: bool,
}

/// Where weights come from.
pub trait WeightSource {
    /// The tensor in the order and shape of [`Layout`].
    fn tensor(&self, spec: &TensorSpec) -> Result<StoredTensor<'_>>;

    /// Told that these bytes of a tensor will not be looked at again.
    fn forget(&self, _spec: &TensorSpec, _bytes: Range<usize>) {}
}

/// All weights in one block of floats, in the order of [`Layout`].
pub struct FlatWeights<'a>(pub &'a [f32]);

impl WeightSource for FlatWeights<'_> {
    fn tensor(&self, spec: &TensorSpec) -> Result<StoredTensor<'_>> {
        let floats = self.0.get(spec.range.clone());
        let floats = floats.with_context(|| format!("there are only {} weights", self.0.len()))?;
        let bytes = Cow::Borrowed(bytemuck::cast_slice(floats));
        Ok(StoredTensor { kind: TensorType::F32, bytes, is_interleaved: false })
    }
}

/// The network of `config` with the weights of `source`, for contexts of up to `context_len`.
pub(super) fn pack(cpu: &Cpu, config: &Config, source: &dyn WeightSource, context_len: usize) -> Result<Transformer> {
    let layout = Layout::new(config);
    let reader = Reader { cpu, config, source, layout: &layout };
    let blocks = (0..config.n_layer).map(|layer| reader.block(layer)).collect::<Result<_>>()?;
    let rope = config.family.rotates().then(|| RopeTable::new(context_len, config.head_dim, config.rope_theta));
    let embedding = reader.matrix(None, Part::Embed)?;
    let (embedding, head) = match config.tied {
        true => (None, embedding),
        false => (Some(embedding), reader.matrix(None, Part::Head)?),
    };
    let positions = if rope.is_none() { Some(reader.matrix(None, Part::Positions)?) } else { None };
    Ok(Transformer::new(shape(config), embedding, positions, rope, blocks, reader.norm(None, Part::FinalNorm)?, head))
}

fn shape(config: &Config) -> Shape {
    Shape {
        n_embd: config.n_embd,
        n_ffn: config.n_ffn,
        vocab_size: config.vocab_size,
        heads: Heads { n_head: config.n_head, n_kv_head: config.n_kv_head, head_dim: config.head_dim },
        norm_eps: config.norm_eps,
    }
}

struct Reader<'a> {
    cpu: &'a Cpu,
    config: &'a Config,
    source: &'a dyn WeightSource,
    layout: &'a Layout,
}

impl Reader<'_> {
    fn block(&self, layer: usize) -> Result<Block> {
        let (family, at) = (self.config.family, Some(layer));
        let gate = if family.n_ffn_matrices() == 3 { Some(self.projection(at, &[Part::Gate])?) } else { None };
        let qkv: &[Part] = if self.has(at, Part::Qkv) { &[Part::Qkv] } else { &[Part::Q, Part::K, Part::V] };
        Ok(Block {
            attn_norm: self.norm(at, Part::AttnNorm)?,
            qkv: self.projection(at, qkv)?,
            qk_norms: [self.vector(at, Part::QNorm, false)?, self.vector(at, Part::KNorm, false)?],
            o: self.projection(at, &[Part::O])?,
            ffn_norm: self.norm(at, Part::FfnNorm)?,
            gate,
            up: self.projection(at, &[Part::Up])?,
            down: self.projection(at, &[Part::Down])?,
        })
    }

    fn find(&self, layer: Option<usize>, part: Part, is_bias: bool) -> Option<&TensorSpec> {
        let fits = |spec: &&TensorSpec| spec.layer == layer && spec.part == part && spec.is_bias == is_bias;
        self.layout.tensors.iter().find(fits)
    }

    fn has(&self, layer: Option<usize>, part: Part) -> bool {
        self.find(layer, part, false).is_some()
    }

    fn projection(&self, layer: Option<usize>, parts: &[Part]) -> Result<Projection> {
        let mut bias = Vec::new();
        for &part in parts {
            bias.extend(self.vector(layer, part, true)?);
        }
        let matrices = parts.iter().map(|&part| self.matrix(layer, part)).collect::<Result<_>>()?;
        Ok(Projection::new(matrices, bias))
    }

    fn norm(&self, layer: Option<usize>, part: Part) -> Result<Norm> {
        Ok(Norm { weight: self.vector(layer, part, false)?, bias: self.vector(layer, part, true)? })
    }

    /// A norm's weights or a bias; empty where the family has none.
    fn vector(&self, layer: Option<usize>, part: Part, is_bias: bool) -> Result<Vec<f32>> {
        let Some(spec) = self.find(layer, part, is_bias) else { return Ok(Vec::new()) };
        let stored = self.source.tensor(spec)?;
        let mut out = vec![0.0; spec.range.len()];
        check_bytes(spec, &stored, out.len())?;
        blocks::dequantize(stored.kind, &stored.bytes, &mut out);
        Ok(out)
    }

    fn matrix(&self, layer: Option<usize>, part: Part) -> Result<PackedMatrix> {
        let spec = self.find(layer, part, false).expect("the layout has every matrix of the family");
        let [n_rows, n_columns] = spec.shape[..] else { unreachable!("{} is a matrix", spec.name) };
        let stored = self.source.tensor(spec)?;
        let row_bytes = check_bytes(spec, &stored, n_columns)?;
        let (bytes, d) = (&*stored.bytes, self.config.head_dim);
        let from = |r: usize| if stored.is_interleaved { deinterleaved_row(r, d) } else { r };
        let row = |r: usize| &bytes[from(r) * row_bytes..(from(r) + 1) * row_bytes];
        let mut forget = |rows: Range<usize>| {
            // Rows of a head are packed from others of the same.
            let whole = |r: usize| if stored.is_interleaved { r / d * d } else { r };
            self.source.forget(spec, whole(rows.start) * row_bytes..whole(rows.end) * row_bytes);
        };
        let kind = weight_type(stored.kind);
        Ok(PackedMatrix::pack_rows(self.cpu, kind, (n_rows, n_columns), &row, &mut forget))
    }
}

/// Compares the bytes of a tensor with its shape; returns those of a row.
fn check_bytes(spec: &TensorSpec, stored: &StoredTensor, row_len: usize) -> Result<usize> {
    let row_bytes = stored.kind.row_bytes(row_len).with_context(|| format!("tensor {}", spec.name))?;
    let (wanted, found) = (spec.range.len() / row_len * row_bytes, stored.bytes.len());
    ensure!(wanted == found, "tensor {} takes {wanted} bytes as {}, not {found}", spec.name, stored.kind.name());
    Ok(row_bytes)
}

/// The kernels' name of a type of the file formats, which know nothing of each other.
pub fn weight_type(kind: TensorType) -> WeightType {
    match kind {
        TensorType::F32 => WeightType::F32,
        TensorType::F16 => WeightType::F16,
        TensorType::BF16 => WeightType::BF16,
        TensorType::Q8_0 => WeightType::Q8_0,
        TensorType::Q4_0 => WeightType::Q4_0,
        TensorType::Q4_1 => WeightType::Q4_1,
        TensorType::Q5_0 => WeightType::Q5_0,
        TensorType::Q5_1 => WeightType::Q5_1,
        TensorType::Q4_K => WeightType::Q4_K,
        TensorType::Q5_K => WeightType::Q5_K,
        TensorType::Q6_K => WeightType::Q6_K,
    }
}
