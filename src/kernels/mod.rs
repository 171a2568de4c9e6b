//! The arithmetic: slices in, slices out. No file, clock or environment is touched here, and nothing is printed.
//!
//! This is the only home of intrinsics and (but for the one file that maps token shards) of `unsafe`. Each kernel is
//! written once and compiled for every instruction set ([`cpu::Isa`]); the matrix product, which gains most, has a
//! hand-written micro-kernel for each (`gemm/`; `quantized/` for weights as model files store them), and [`scalar`] holds the plain loops that say what the answer is.
//!
//! Results do not depend on the number of threads, on how many rows are computed together, or on what was computed
//! before: work is cut into pieces of fixed size, each output element is one chain of additions in a fixed order, and
//! partial sums are added in the order of the pieces.
#![allow(unsafe_code)]

pub mod adamw;
pub mod aligned;
pub mod arg_max;
pub mod attention;
pub mod average;
pub mod ceiling;
pub mod cpu;
pub mod cross_entropy;
pub mod dropout;
pub mod element;
pub mod embedding;
pub mod fill;
pub mod gelu;
pub mod gemm;
#[cfg(test)]
pub(crate) mod gradient_check;
mod math;
pub mod muon;
pub mod norm;
pub mod pool;
pub mod qk_norm_rope;
pub mod quantized;
pub mod random;
pub mod sampling;
pub mod scalar;
pub mod shared;
pub mod swiglu;
pub mod transformer;

pub use aligned::AlignedBuf;
pub use cpu::{Cpu, Isa};
