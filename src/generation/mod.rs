//! From logits to text: the sampler chain, the stop rules, and the session that feeds a model its context.
//!
//! A [`Session`] deals in ids only; [`text::continue_text`] is the one place where they become characters, because a
//! stop string is a rule about characters. Nothing here opens a file, reads a clock or prints.

#[cfg(test)]
pub(crate) mod mock;
pub mod questions;
mod sampler;
mod session;
mod stop;
pub mod text;
mod visible;

pub use sampler::{Sampler, SamplerConfig};
pub use session::{Generation, Limits, PromptTooLong, Session, StopReason};
pub use stop::StopStrings;
pub use visible::visible;
