//! siskin: from a folder of your own text to a small GPT that you can talk to, on an ordinary CPU, in one binary.
//!
//! The data walks through the crate in one direction:
//!
//! ```text
//! text files -> data (documents, split) -> tokenizer -> token shards -> loader (B, T)
//!   -> training (forward, backward, optimizer) -> checkpoint (a model directory)
//!   -> inference (prefill, decode, KV cache) -> generation (sampler chain, stops)
//!   -> text stream -> repl (chat) | pipe (complete)
//! ```
//!
//! Modules form layers, and a module imports lower layers only (`tests/layering.rs` holds them to it):
//!
//! | layer | modules | own |
//! |---|---|---|
//! | 6 | [`cli`] | clap commands: arguments to a config, one call, the words on the screen |
//! | 5 | [`repl`], [`pipe`] | the chat in the terminal; standard input to standard output |
//! | 4 | [`training`], [`generation`] | learning; sampling. Neither knows of the other |
//! | 4 | [`quantize`] | what storing weights in fewer bits costs: a model beside its quantized copies |
//! | 3 | [`checkpoint`] | model directories: whole or absent, never half; models in GGUF and from other programs |
//! | 2 | [`inference`], [`data`] | the network at rest, and the text it learns from |
//! | 1 | [`model`], [`tokenizer`], [`hub`] | shapes and names of weights; text to ids and back; the Hugging Face Hub |
//! | 0 | [`formats`], [`kernels`], [`words`] | bytes to checked values; slices in, slices out; numbers for people |

pub mod checkpoint;
pub mod cli;
pub mod data;
pub mod formats;
pub mod generation;
pub mod hub;
pub mod inference;
pub mod kernels;
pub mod model;
pub mod pipe;
pub mod quantize;
pub mod repl;
pub mod tokenizer;
pub mod training;
pub mod words;
