//! The model that comes with the program, inside it: somebody to talk to before anything was trained.
//!
//! `make model` makes it from `corpora/`; `model/README.md` is its card.

use super::open::{OpenOptions, Opened, open_mapped};
use crate::formats::mapped::Mapped;
use anyhow::Result;
use std::path::Path;

/// What it is called where a model is named; a run or directory of that name goes before it.
pub const BUNDLED: &str = "siskin";

/// Tensors in a GGUF file are aligned to its beginning, so that must be aligned too.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!("../../model/siskin.q8_0.gguf"));

/// The file, as a whole.
pub fn bundled_file() -> &'static [u8] {
    &FILE.0
}

/// Opens it.
pub fn open_bundled(options: OpenOptions) -> Result<Opened> {
    open_mapped(&Mapped::of_program(bundled_file()), Path::new(BUNDLED), options)
}
