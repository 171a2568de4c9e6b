//! Tokens per second of a GGUF file: `cargo run --release --example speed -- MODEL.gguf [--threads N] [--repeat N]`
//! prints prefill at 32, 128 and 512 tokens and decode of 64 tokens after a prompt of 128, as medians; with `--all` also
//! each run. Ids are made up: only their number matters.

use anyhow::{Context, Result};
use siskin::checkpoint::{OpenOptions, open_gguf};
use siskin::inference::LanguageModel;
use std::path::Path;
use std::time::Instant;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let path = args.next().context("the first argument is a GGUF file")?;
    let (mut n_threads, mut n_repeats) = (2, 5);
    while let Some(flag) = args.next() {
        let value: usize = args.next().with_context(|| format!("{flag} needs a number"))?.parse()?;
        match flag.as_str() {
            "--threads" => n_threads = value,
            "--repeat" => n_repeats = value,
            _ => anyhow::bail!("{flag} is not known"),
        }
    }
    let start = Instant::now();
    let mut opened =
        open_gguf(Path::new(&path), OpenOptions { context_len: Some(640), ..OpenOptions::new(n_threads) })?;
    let ready_s = start.elapsed().as_secs_f64();
    let model = &mut *opened.model;
    let mut line = format!("ready in {:.3} s", ready_s);
    for n in [32, 128, 512] {
        line += &format!("   prefill {n}: {:.0}", median(n_repeats, || prefill(model, n)));
    }
    line += &format!("   decode 64: {:.1} tokens/s", median(n_repeats, || decode(model, 64)));
    println!("{line}   (medians of {n_repeats}, {n_threads} threads)");
    Ok(())
}

fn ids(n: usize, vocab_size: usize) -> Vec<u32> {
    (0..n).map(|i| (300 + i * 7919 % (vocab_size - 300)) as u32).collect()
}

/// Tokens per second of reading `n` tokens at once.
fn prefill(model: &mut dyn LanguageModel, n: usize) -> f64 {
    let ids = ids(n, model.vocab_size());
    model.truncate(0);
    let start = Instant::now();
    model.feed(&ids);
    n as f64 / start.elapsed().as_secs_f64()
}

/// Tokens per second of reading `n` tokens one by one after a prompt of 128.
fn decode(model: &mut dyn LanguageModel, n: usize) -> f64 {
    let ids = ids(128 + n, model.vocab_size());
    model.truncate(0);
    model.feed(&ids[..128]);
    let start = Instant::now();
    ids[128..].iter().for_each(|&id| {
        model.feed(&[id]);
    });
    n as f64 / start.elapsed().as_secs_f64()
}

/// The median of `n` runs after one that warms up.
fn median(n: usize, mut run: impl FnMut() -> f64) -> f64 {
    run();
    let mut found: Vec<f64> = (0..n).map(|_| run()).collect();
    found.sort_by(f64::total_cmp);
    found[n / 2]
}
