//! What a model *is*: its shape ([`Config`]), its presets, and where each named tensor lies ([`Layout`]),
//! its adapters' too ([`AdapterLayout`]).
//!
//! The network that is trained is the Qwen3 shape: pre-RMSNorm, rotary positions (half rotation), grouped-query attention
//! with QK-norm, SwiGLU, no biases, head tied to the embedding or not. llama.cpp, ollama and transformers load it
//! unchanged. Other families ([`Family`]) come from elsewhere. How a shape is written in `config.json` and in GGUF files
//! stands here too. This module holds no weights and does no arithmetic on them, beyond drawing the first ones.

mod adapters;
mod config;
mod family;
mod gguf;
mod hf_config;
mod init;
mod layout;
mod mix;
mod preset;

pub use adapters::{Adapter, AdapterLayout};
pub use config::Config;
pub use family::{Family, deinterleave, deinterleaved_row, interleave};
pub use init::initial_weights;
pub use layout::{Layer, Layout, Part, TensorSpec};
pub use mix::{Mix, Stored};
pub use preset::Preset;
