//! The weights of a transformer, and what of them goes together.

use super::super::qk_norm_rope::{Heads, RopeTable};
use super::super::quantized::{PackedMatrix, Sharing, TILE_ROWS, WeightType};
use std::ops::Range;

/// Sizes that all layers share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Width of the residual stream (C).
    pub n_embd: usize,
    /// Width of the feed-forward layer (F).
    pub n_ffn: usize,
    /// Entries of the vocabulary (V).
    pub vocab_size: usize,
    /// The heads of q, k and v.
    pub heads: Heads,
    /// Added to the mean square, or the variance, under a norm's root.
    pub norm_eps: f32,
}

impl Shape {
    /// Width of all query heads together (H * D).
    pub(super) fn q_width(&self) -> usize {
        self.heads.n_head * self.heads.head_dim
    }
}

/// A norm of rows: RMSNorm, or LayerNorm where it has a bias.
#[derive(Debug, Clone, Default)]
pub struct Norm {
    /// What normalised numbers are multiplied by: (C).
    pub weight: Vec<f32>,
    /// What is added: (C), or empty.
    pub bias: Vec<f32>,
}

/// Matrices that multiply the same activations, under each other, and what is added to the products.
pub struct Projection {
    parts: Vec<PackedMatrix>,
    bias: Vec<f32>,
}

impl Projection {
    /// Parts with equally many columns. The bias is empty or has a number for each row.
    pub fn new(parts: Vec<PackedMatrix>, bias: Vec<f32>) -> Projection {
        let n_rows: usize = parts.iter().map(PackedMatrix::n_rows).sum();
        assert!(parts.windows(2).all(|pair| pair[0].n_columns() == pair[1].n_columns()), "parts of different widths");
        assert!(!parts.is_empty() && (bias.is_empty() || bias.len() == n_rows), "{} biases, {n_rows} rows", bias.len());
        Projection { parts, bias }
    }

    /// Rows, which are outputs.
    pub(super) fn n_rows(&self) -> usize {
        self.parts.iter().map(PackedMatrix::n_rows).sum()
    }

    pub(super) fn n_columns(&self) -> usize {
        self.parts[0].n_columns()
    }

    /// Tiles of all parts, one part after the other.
    pub(super) fn n_tiles(&self) -> usize {
        self.parts.iter().map(PackedMatrix::n_tiles).sum()
    }

    fn n_bytes(&self) -> usize {
        self.parts.iter().map(PackedMatrix::n_bytes).sum()
    }

    pub(super) fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// The parts that `tiles` lie in: which tiles of each, and the row of the projection that the part begins with.
    pub(super) fn parts_of(&self, tiles: Range<usize>) -> impl Iterator<Item = (&PackedMatrix, Range<usize>, usize)> {
        let (mut first_tile, mut first_row) = (0, 0);
        self.parts.iter().filter_map(move |part| {
            let (tile, row) = (first_tile, first_row);
            (first_tile, first_row) = (tile + part.n_tiles(), row + part.n_rows());
            let own = tiles.start.max(tile)..tiles.end.min(first_tile);
            (own.start < own.end).then(|| (part, own.start - tile..own.end - tile, row))
        })
    }

    /// The rows of `tiles`, which follow each other.
    pub(super) fn rows_of(&self, tiles: Range<usize>) -> Range<usize> {
        let of_part = |(part, tiles, row): (&PackedMatrix, Range<usize>, usize)| {
            row + tiles.start * TILE_ROWS..row + (tiles.end * TILE_ROWS).min(part.n_rows())
        };
        let all = self.parts_of(tiles).map(of_part).reduce(|first, last| first.start..last.end);
        all.unwrap_or(0..0)
    }

    fn kinds(&self) -> impl Iterator<Item = WeightType> {
        self.parts.iter().map(PackedMatrix::kind)
    }
}

/// What matrices are multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Needs {
    /// Codes, and how many share a scale.
    pub(super) codes: Option<Sharing>,
    pub(super) floats: bool,
}

impl Needs {
    /// What matrices of these types need of their activations. Scales serve 256 activations only where all matrices have
    /// blocks of 256, as in llama.cpp.
    fn of(kinds: impl Iterator<Item = WeightType>) -> Needs {
        let (mut n_codes, mut n_super_blocks, mut floats) = (0, 0, false);
        for kind in kinds {
            if !kind.is_quantized() {
                floats = true;
                continue;
            }
            n_codes += 1;
            n_super_blocks += usize::from(kind.file_block().0 == 256);
        }
        let sharing = if n_super_blocks == n_codes { Sharing::SuperBlock } else { Sharing::Block };
        Needs { codes: (n_codes > 0).then_some(sharing), floats }
    }
}

/// A layer.
pub struct Block {
    /// Norm before attention.
    pub attn_norm: Norm,
    /// q, k and v: (H*D + 2*KV*D, C).
    pub qkv: Projection,
    /// Weights of RMSNorm of each query head (D) and of each key head (D); empty where heads are not normalised.
    pub qk_norms: [Vec<f32>; 2],
    /// Attention's output projection: (C, H*D).
    pub o: Projection,
    /// Norm before the feed-forward layer.
    pub ffn_norm: Norm,
    /// The gate of SwiGLU: (F, C); none where it is GELU.
    pub gate: Option<Projection>,
    /// (F, C).
    pub up: Projection,
    /// (C, F).
    pub down: Projection,
}

impl Block {
    pub(super) fn ffn_needs(&self) -> Needs {
        Needs::of(self.gate.iter().flat_map(Projection::kinds).chain(self.up.kinds()))
    }

    fn projections(&self) -> impl Iterator<Item = &Projection> {
        [&self.qkv, &self.o, &self.up, &self.down].into_iter().chain(&self.gate)
    }

    fn check(&self, shape: &Shape) {
        let (c, f, width) = (shape.n_embd, shape.n_ffn, shape.q_width());
        let gate = self.gate.as_ref().unwrap_or(&self.up);
        for (name, projection, rows, columns) in [
            ("qkv", &self.qkv, shape.heads.qkv_width(), c),
            ("o", &self.o, c, width),
            ("gate", gate, f, c),
            ("up", &self.up, f, c),
            ("down", &self.down, c, f),
        ] {
            let found = (projection.n_rows(), projection.n_columns());
            assert_eq!(found, (rows, columns), "rows and columns of {name}");
        }
        for norm in [&self.attn_norm, &self.ffn_norm] {
            norm.check(c);
        }
        let d = shape.heads.head_dim;
        assert!(self.qk_norms.iter().all(|norm| norm.is_empty() || norm.len() == d), "norms of heads {d} wide");
    }
}

impl Norm {
    fn check(&self, n: usize) {
        assert!(self.weight.len() == n && (self.bias.is_empty() || self.bias.len() == n), "a norm of {n}");
    }
}

impl Projection {
    pub(super) fn needs(&self) -> Needs {
        Needs::of(self.kinds())
    }
}

/// All weights.
pub struct Transformer {
    pub(super) shape: Shape,
    pub(super) embedding: Option<PackedMatrix>,
    pub(super) positions: Option<PackedMatrix>,
    pub(super) rope: Option<RopeTable>,
    pub(super) blocks: Vec<Block>,
    pub(super) final_norm: Norm,
    pub(super) head: Projection,
}

impl Transformer {
    /// Weights of `shape`. Without an `embedding` (V, C) of its own the head (V, C) is that too. Positions are learned
    /// (T, C) or rotations. Panics where a matrix does not have the shape.
    pub fn new(
        shape: Shape,
        embedding: Option<PackedMatrix>,
        positions: Option<PackedMatrix>,
        rope: Option<RopeTable>,
        blocks: Vec<Block>,
        final_norm: Norm,
        head: PackedMatrix,
    ) -> Transformer {
        let (v, c) = (shape.vocab_size, shape.n_embd);
        for matrix in embedding.iter().chain([&head]) {
            assert_eq!((matrix.n_rows(), matrix.n_columns()), (v, c), "rows and columns of embedding and head");
        }
        assert!(positions.as_ref().is_none_or(|matrix| matrix.n_columns() == c), "positions of {c} columns");
        blocks.iter().for_each(|block| block.check(&shape));
        final_norm.check(c);
        let head = Projection::new(vec![head], Vec::new());
        Transformer { shape, embedding, positions, rope, blocks, final_norm, head }
    }

    /// The sizes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Bytes of all matrices.
    pub fn n_bytes(&self) -> usize {
        let others = self.embedding.iter().chain(&self.positions).map(PackedMatrix::n_bytes).sum::<usize>();
        others + self.bytes_per_token()
    }

    /// Bytes of the matrices that each token is multiplied by: what generating one reads.
    pub fn bytes_per_token(&self) -> usize {
        let blocks = self.blocks.iter().flat_map(Block::projections);
        blocks.chain([&self.head]).map(Projection::n_bytes).sum()
    }

    /// Weights that each token is multiplied by; twice as many are the operations.
    pub fn weights_per_token(&self) -> usize {
        let blocks = self.blocks.iter().flat_map(Block::projections);
        blocks.chain([&self.head]).map(|projection| projection.n_rows() * projection.n_columns()).sum()
    }

    /// Weights of the matrix that makes logits, and their bytes.
    pub fn head_size(&self) -> (usize, usize) {
        (self.head.n_rows() * self.head.n_columns(), self.head.n_bytes())
    }

    /// How the matrices inside the blocks are stored, by that of the first.
    pub fn kind(&self) -> WeightType {
        self.blocks.first().map_or(&self.head, |block| &block.qkv).parts[0].kind()
    }

    /// Row `id` of the embedding, and of the positions if they are learned.
    pub(super) fn embed(&self, id: usize, position: usize, scratch: &mut [f32], x: &mut [f32]) {
        self.embedding.as_ref().unwrap_or(&self.head.parts[0]).row(id, x);
        if let Some(positions) = &self.positions {
            positions.row(position, scratch);
            x.iter_mut().zip(scratch).for_each(|(x, p)| *x += *p);
        }
    }
}
