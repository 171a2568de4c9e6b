//! Model directories: whole or absent, never half.
//!
//! A model is a directory in the Hugging Face layout ([`ModelDir`]) with siskin's own files beside it: the manifest
//! ([`Manifest`], `run.json`), the training log, and what a run needs to go on ([`ResumeState`]). Every file is written
//! to a temporary name, synced and renamed ([`write_atomic`]). [`resolve`] turns what a person types for a model into its
//! directory, [`pull`] fetches one, [`open()`] makes one ready to run; [`Summary`] is what there is to say about one. A model goes into a GGUF file as
//! [`Contents`] and comes from other programs' files by [`Imported`]. How a model is trained or run is not known here.

mod adapter;
mod atomic;
mod bundled;
mod gguf;
mod gguf_summary;
mod import;
mod manifest;
mod model_dir;
mod names;
mod open;
mod quant_names;
mod remote;
mod resume;
mod summary;
mod weights;

pub use atomic::write_atomic;
pub use bundled::{BUNDLED, bundled_file, open_bundled};
pub use gguf::{Contents, GgufModel, StoredTensor, Written};
pub use gguf_summary::{GgufSummary, TypeShare};
pub use import::Imported;
pub use manifest::{Answers, BaseModel, Manifest, Verbatim};
pub use model_dir::{ModelDir, QUANTIZED};
pub use names::{Found, RUNS, find, new_run_dir, resolve, resolve_resume};
pub use open::{Drafts, OpenOptions, Opened, Which, open, open_dir, open_gguf};
pub use remote::{Fetched, pull};
pub use resume::{ResumeRef, ResumeState};
pub use summary::{FileSize, Summary, TokenizerSummary};
