//! A transformer at rest: weights packed for the CPU, a cache, and the pass of one token or many through all layers.
//!
//! A pass is one job for all threads ([`Pool::together`](super::pool::Pool::together)): they go through it side by
//! side and wait for each other a few times a layer. For one token (`pass` has the details):
//!
//! ```text
//! norm, quantize   each thread all of it, as that takes less than waiting
//! q, k, v          each thread some heads: product, norm, rotation, and into the cache
//! ---------------- barrier
//! attention        each thread some heads
//! ---------------- barrier
//! o, residual      each thread some rows, after quantizing all of attention's output
//! ---------------- barrier
//! gate, up, SwiGLU each thread some rows, after norm and quantizing
//! ---------------- barrier
//! down, residual   as o
//! ---------------- barrier
//! ```
//!
//! Many tokens take the same steps with tokens divided where rows cannot be. Every number is computed in the same order
//! either way, so logits have the same bits for any number of threads and any way of cutting a prompt into chunks.
//!
//! Families differ by what is there: a norm with a bias is LayerNorm and else RMSNorm, a gate makes SwiGLU and else it
//! is GELU, rotary positions or a table of learned ones. Where weights come from is not known here.

mod attend;
mod cache;
mod network;
mod pass;
mod state;
mod vector;

pub use cache::CacheType;
pub use network::{Block, Norm, Projection, Shape, Transformer};
pub use pass::Place;
pub use state::State;
