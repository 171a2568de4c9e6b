//! Any bytes, read as llama2.c's model and as its tokenizer, give values or errors: never a panic, never memory that the
//! file does not justify.

#![no_main]

#[path = "../readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // An error is a right answer; what counts is that there is one.
    let _ = readers::llama2c(bytes);
});
