//! Any bytes, read as a token shard, give a value or an error: never a panic, never memory that the file does not justify.

#![no_main]

#[path = "../readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // An error is a right answer; what counts is that there is one.
    let _ = readers::token_shard(bytes);
});
