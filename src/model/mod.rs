//! What a model *is*: its shape ([`Config`]), its presets, and where each named tensor lies ([`Layout`]).
//!
//! The network is the Qwen3 shape: pre-RMSNorm, rotary positions (half rotation), grouped-query attention with QK-norm,
//! SwiGLU, no biases, head tied to the embedding or not. llama.cpp, ollama and transformers load it unchanged.
//! This module holds no weights and does no arithmetic on them, beyond drawing the first ones.

mod config;
mod init;
mod layout;
mod preset;

pub use config::Config;
pub use init::initial_weights;
pub use layout::{Layer, Layout, TensorSpec};
pub use preset::Preset;
