//! File formats: bytes to checked values. Every length in a header is compared with the bytes that are there before it
//! is believed.

pub mod blocks;
pub mod gguf;
pub mod llama2c;
pub mod mapped;
pub mod safetensors;
pub mod token_shard;
