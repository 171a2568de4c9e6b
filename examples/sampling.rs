//! What settings of the sampler do to the texts of a model: the table of `docs/sampling.md`.
//!
//! ```text
//! cargo run --release --example sampling -- MODEL HELD_OUT.txt
//! ```
//!
//! For each setting it writes texts after beginnings from the held-out file, and judges the rest of that file:
//!
//! - repeated: the share of 4-grams of tokens that were in the same text before;
//! - distinct-2: different pairs of tokens among all pairs, over all texts;
//! - reach: the share of the held-out tokens that the sampler could have drawn where they stand;
//! - bits: the mean surprise of a held-out token, by 99 parts of the sampler's distribution and one of the model's own, so
//!   that a token out of reach costs much but not all;
//! - self: the mean surprise of the written tokens by the model's own distribution, to be compared with the same of the
//!   held-out text (the row `held-out text`): below it texts are more predictable than real ones, above it less.

use anyhow::{Context, Result, ensure};
use siskin::checkpoint::{OpenOptions, Opened, open};
use siskin::generation::{SETTINGS, Sampler, SamplerConfig, Setting, likely};
use siskin::inference::LanguageModel;
use std::collections::HashSet;
use std::path::Path;

/// Beginnings that texts continue, and tokens of each.
const N_TEXTS: usize = 48;
const N_BEGINNING: usize = 16;

/// Tokens of a text.
const N_WRITTEN: usize = 128;

/// Tokens of each held-out window that are judged, the beginning of a document among them.
const N_JUDGED: usize = 96;

/// Settings that are compared, beside everything off.
const TRIED: &[&str] = &[
    "temperature=0",
    "temperature=0.5",
    "temperature=0.6",
    "temperature=0.7",
    "temperature=0.8",
    "temperature=0.9",
    "top-k=10",
    "top-k=40",
    "top-p=0.8",
    "top-p=0.9",
    "top-p=0.95",
    "min-p=0.02",
    "min-p=0.05",
    "min-p=0.1",
    "typical-p=0.9",
    "top-n-sigma=1",
    "top-n-sigma=2",
    "temperature=0.8 min-p=0.05",
    "temperature=0.8 top-p=0.95 min-p=0.05",
    "temperature=0.9 min-p=0.05",
    "temperature=0.8 repetition-penalty=1.1",
    "temperature=0.8 repetition-penalty=1.3",
    "temperature=0.8 dry-multiplier=0.8 dry-allowed-length=4",
    "temperature=0.8 xtc-probability=0.5",
    "mirostat-tau=2",
    "mirostat-tau=3",
];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, held_out] = &args[..] else { anyhow::bail!("usage: sampling MODEL HELD_OUT.txt") };
    let Opened { tokenizer, mut model, .. } = open(Some(model), Path::new("runs"), OpenOptions::new(2))?;
    let text = std::fs::read_to_string(held_out).with_context(|| format!("reading {held_out}"))?;
    let begin = tokenizer.end_of_text();
    let mut windows = Vec::new();
    for document in text.split("<|endoftext|>").map(str::trim_start).filter(|document| document.len() > 200) {
        let ids = tokenizer.encode(document)?;
        windows.push(Vec::from_iter([begin].into_iter().chain(ids.into_iter().take(N_JUDGED))));
    }
    let windows: Vec<Vec<u32>> = windows.into_iter().take(N_TEXTS).collect();
    ensure!(!windows.is_empty(), "{held_out} has no document of 200 bytes");

    let judged: Vec<Vec<Vec<f32>>> = windows.iter().map(|ids| all_logits(&mut *model, ids)).collect();
    println!("| setting | repeated | distinct-2 | reach | bits | self |\n|---|---|---|---|---|---|");
    let real: Vec<&[u32]> = windows.iter().map(|ids| &ids[1..]).collect();
    let surprise = mean(windows.iter().zip(&judged).flat_map(|(ids, logits)| own_surprise(&ids[1..], logits)));
    println!("| held-out text | {:.3} | {:.3} | | | {surprise:.2} |", repeated(&real), distinct(&real));
    for tried in ["", "default"].iter().chain(TRIED) {
        let config = config(tried)?;
        let (reach, bits) = held_out_bits(&config, &windows, &judged, &tokenizer)?;
        let mut texts = Vec::new();
        let mut surprises = Vec::new();
        for (i, window) in windows.iter().enumerate() {
            let mut sampler = Sampler::new(SamplerConfig { seed: i as u64, ..config.clone() })?;
            sampler.prepare(&tokenizer)?;
            let (ids, own) = write(&mut *model, &mut sampler, &window[..(1 + N_BEGINNING).min(window.len())])?;
            surprises.extend(own);
            texts.push(ids);
        }
        let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let (repeated, distinct, own) = (repeated(&texts), distinct(&texts), mean(surprises.into_iter()));
        let name = if tried.is_empty() { "everything off" } else { tried };
        println!("| {name} | {repeated:.3} | {distinct:.3} | {:.1} % | {bits:.3} | {own:.2} |", 100.0 * reach);
    }
    Ok(())
}

/// Everything off but what `tried` names, as `name=value`, apart by spaces.
fn config(tried: &str) -> Result<SamplerConfig> {
    if tried == "default" {
        return Ok(SamplerConfig::default());
    }
    let mut config = SamplerConfig::plain();
    for part in tried.split_whitespace() {
        let (name, value) = part.split_once('=').context("name=value")?;
        let names = || SETTINGS.iter().map(|setting| setting.name).collect::<Vec<_>>().join(", ");
        Setting::named(name).with_context(names)?.set(&mut config, value)?;
    }
    Ok(config)
}

/// The logits that follow each id but the last.
fn all_logits(model: &mut dyn LanguageModel, ids: &[u32]) -> Vec<Vec<f32>> {
    let mut found = Vec::new();
    model.truncate(0);
    model.feed_each(&ids[..ids.len() - 1], &mut |logits| found.push(logits.to_vec()));
    found
}

/// Bits of surprise of each id by the logits before it.
fn own_surprise(ids: &[u32], logits: &[Vec<f32>]) -> Vec<f64> {
    ids.iter()
        .zip(logits)
        .map(|(&id, logits)| -likely(logits, id, 0).log_probability / std::f64::consts::LN_2)
        .collect()
}

/// The share of held-out tokens within reach, and their mean surprise by the mixture.
fn held_out_bits(
    config: &SamplerConfig,
    windows: &[Vec<u32>],
    judged: &[Vec<Vec<f32>>],
    tokenizer: &siskin::tokenizer::Tokenizer,
) -> Result<(f64, f64)> {
    let (mut within, mut bits) = (Vec::new(), Vec::new());
    for (ids, logits) in windows.iter().zip(judged) {
        let mut sampler = Sampler::new(config.clone())?;
        sampler.prepare(tokenizer)?;
        for (i, logits) in logits.iter().enumerate() {
            let id = ids[i + 1];
            let drawn = sampler.probabilities(logits, &ids[..=i])?.iter().find(|p| p.0 == id).map_or(0.0, |p| p.1);
            let own = likely(logits, id, 0).log_probability.exp();
            within.push(f64::from(drawn > 0.0));
            bits.push(-(0.99 * drawn + 0.01 * own).log2());
        }
    }
    Ok((mean(within.into_iter()), mean(bits.into_iter())))
}

/// What the model writes after `beginning`, and its own surprise at each token.
fn write(model: &mut dyn LanguageModel, sampler: &mut Sampler, beginning: &[u32]) -> Result<(Vec<u32>, Vec<f64>)> {
    model.truncate(0);
    sampler.start(&[]);
    let mut ids = beginning.to_vec();
    let mut own = Vec::new();
    let mut logits = model.feed(beginning).to_vec();
    while own.len() < N_WRITTEN && ids.len() < model.context_len() {
        let id = sampler.sample(&logits, &ids)?;
        own.push(-likely(&logits, id, 0).log_probability / std::f64::consts::LN_2);
        ids.push(id);
        logits = model.feed(&[id]).to_vec();
    }
    Ok((ids[beginning.len()..].to_vec(), own))
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
    sum / f64::from(n.max(1))
}

fn repeated(texts: &[&[u32]]) -> f64 {
    let of_text = |ids: &&[u32]| {
        let grams: Vec<&[u32]> = ids.windows(4).collect();
        let different: HashSet<&[u32]> = grams.iter().copied().collect();
        1.0 - different.len() as f64 / grams.len().max(1) as f64
    };
    mean(texts.iter().map(of_text))
}

fn distinct(texts: &[&[u32]]) -> f64 {
    let pairs: Vec<&[u32]> = texts.iter().flat_map(|ids| ids.windows(2)).collect();
    let different: HashSet<&[u32]> = pairs.iter().copied().collect();
    different.len() as f64 / pairs.len().max(1) as f64
}
