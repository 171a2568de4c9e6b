//! From logits to text: the sampler chain, the stop rules, and the session that feeds a model its context.
//!
//! A [`Batch`] writes texts side by side, for pipes; a [`Session`] holds one conversation, whose beginning is not computed
//! again. A [`Session`] deals in ids only; [`text::continue_text`] is the one place where they become characters, because a
//! stop string is a rule about characters. Nothing here opens a file, reads a clock or prints.

mod batch;
mod grammar;
mod likely;
#[cfg(test)]
pub(crate) mod mock;
pub mod questions;
mod sampler;
mod session;
mod stop;
pub mod text;
mod visible;

pub use batch::{Batch, Event, Job};
pub use grammar::{Constraint, Grammar, GrammarSource};
pub use likely::{Likely, likely};
pub use sampler::{BiasedToken, Order, SETTINGS, Sampler, SamplerConfig, Setting, Stage};
pub use session::{Generation, Limits, PromptTooLong, Session, StopReason};
pub use stop::StopStrings;
pub use visible::visible;
