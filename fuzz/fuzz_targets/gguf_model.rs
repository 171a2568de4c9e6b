//! Any bytes, read as a model in a GGUF file with its tokenizer, give a value or an error: never a panic, never memory that
//! the file does not justify.

#![no_main]

#[path = "../readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // An error is a right answer; what counts is that there is one.
    let _ = readers::gguf_model(bytes);
});
