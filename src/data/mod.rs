//! From files of text to ids on disk: reading, documents, the held-out split, token shards.
//!
//! The way of a corpus, each step in a file of its own:
//!
//! 1. `files` finds the files behind the paths a person named, in a stable order;
//! 2. `packed` decompresses one file and `reader` cuts it into documents, which arrive as pieces of bounded size;
//! 3. `near_duplicates` groups documents that are nearly the same; `split` decides which groups are held out;
//! 4. `scan` and `corpus` do 1 to 3 in one streaming pass ([`Corpus::scan`]); `pieces` delivers the text of either side
//!    again, with the tails of long documents parted where `cut` found a line end;
//! 5. `prepare` turns the text into token shards in a cache ([`prepare`]).
//!
//! `loader` gives windows of the shards to training, and `conversations` those of which only some tokens are learned.
//!
//! `judged` goes a shorter way, for text that is only to be judged: 1 and 2, then ids in memory.
//!
//! Memory is bounded by the largest line of JSON (16 MB) plus about 100 bytes a document; the text itself is never held.
//! Nothing here knows models or training.

mod corpus;
mod cut;
mod document;
mod files;
mod judged;
mod near_duplicates;
mod packed;
mod packing;
mod pieces;
mod prepare;
mod reader;
mod report;
mod scan;
mod split;

pub mod conversations;
pub mod loader;
pub use corpus::Corpus;
pub use document::{Body, Piece};
pub use judged::Judged;
pub use pieces::Pieces;
pub use prepare::{Prepared, cache_dir, open_prepared, prepare, tokenizer_for};
pub use report::{CorpusReport, FileRecord, Skipped};
pub use split::Side;
