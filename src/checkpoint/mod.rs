//! Model directories: whole or absent, never half.
//!
//! A model is a directory in the Hugging Face layout ([`ModelDir`]) with siskin's own files beside it: the manifest
//! ([`Manifest`], `run.json`), the training log, and what a run needs to go on ([`ResumeState`]). Every file is written
//! to a temporary name, synced and renamed ([`write_atomic`]). [`resolve`] turns what a person types for a model into its
//! directory, [`pull`] fetches one; [`Summary`] is what there is to say about one. How a model is trained or run is not known here.

mod atomic;
mod manifest;
mod model_dir;
mod names;
mod quant_names;
mod remote;
mod resume;
mod summary;
mod weights;

pub use atomic::write_atomic;
pub use manifest::{Manifest, Verbatim};
pub use model_dir::ModelDir;
pub use names::{RUNS, new_run_dir, resolve, resolve_resume};
pub use remote::{Fetched, pull};
pub use resume::{ResumeRef, ResumeState};
pub use summary::{FileSize, Summary, TokenizerSummary};
