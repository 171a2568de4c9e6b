//! `siskin bench [MODEL]`: how fast a model reads and writes here, in words, JSON or Markdown.

use super::{Exit, n_threads};
use crate::checkpoint::{self, OpenOptions, Opened, RUNS};
use crate::inference::bench::{Ceilings, Measured, Speed, ceilings, measure, resident_bytes};
use crate::kernels::cpu::{Isa, cpu_name};
use crate::words;
use anyhow::{Context, Result};
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// Most tokens of context that are made room for: enough for every length that is timed.
const CONTEXT: usize = 1024;

#[derive(clap::Args, Debug)]
pub(super) struct ModelBenchArgs {
    /// A model directory, a .gguf file, a run's name, or hf:owner/name[:file]; the newest run if left out
    #[arg(value_name = "MODEL")]
    model: Option<String>,
    /// Threads to compute with; all the machine has if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Instruction set to use; the best that this CPU has if not given
    #[arg(long, value_name = "NAME", value_parser = ["portable", "avx2", "avx512"])]
    isa: Option<String>,
    /// Write one JSON object
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Write a table in Markdown
    #[arg(long)]
    markdown: bool,
}

/// Runs the command.
pub(super) fn run(args: &ModelBenchArgs) -> Result<Exit> {
    let (isa, n_threads) = (isa(args.isa.as_deref())?, n_threads(args.threads));
    let options = OpenOptions { isa, longest_context: Some(CONTEXT), ..OpenOptions::new(n_threads) };
    let mut subject = checkpoint::open(args.model.as_deref(), Path::new(RUNS), options)?;
    let n_threads = subject.n_threads;
    // Measured before the ceilings are, whose buffers would count as the model's.
    let resident = resident_bytes();
    let ceilings = ceilings(isa, n_threads);
    let mut measured = measure(&mut *subject.model, subject.facts, isa, n_threads, ceilings)?;
    measured.resident_bytes = resident.or(measured.resident_bytes);
    let text = match (args.json, args.markdown) {
        (true, _) => as_json(&subject, &measured)?,
        (_, true) => as_markdown(&subject, &measured),
        _ => describe(&subject, &measured),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Done)
}

/// The instruction set called `name`, or the best; an error where the CPU lacks it.
fn isa(name: Option<&str>) -> Result<Isa> {
    let Some(name) = name else { return Ok(Isa::best()) };
    let known = Isa::all();
    let names = || known.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ");
    let found = known.iter().copied().find(|isa| isa.name() == name);
    found.with_context(|| format!("this CPU has no {name}: it has {}", names()))
}

fn as_json(subject: &Opened, measured: &Measured) -> Result<String> {
    let mut object = serde_json::to_value(measured)?;
    object["model"] = json!(subject.name);
    object["backend"] = json!(subject.backend.name());
    object["cpu"] = json!(cpu_name());
    Ok(serde_json::to_string(&object)? + "\n")
}

/// What each row says, prompts first.
fn rows(measured: &Measured) -> impl Iterator<Item = (String, &Speed)> {
    let prefill = measured.prefill.iter().map(|speed| (format!("read {}", speed.tokens), speed));
    prefill.chain([(format!("write {}", measured.decode.tokens), &measured.decode)])
}

fn describe(subject: &Opened, m: &Measured) -> String {
    let facts = &m.facts;
    let mut page = format!(
        "{} on {} ({}), threads: {}\n{} weights, {} read for each token\n\n",
        subject.name,
        subject.backend.name(),
        m.instruction_set,
        m.n_threads,
        words::short_count((facts.n_body_weights + facts.n_head_weights) as u64),
        words::bytes((facts.body_bytes + facts.head_bytes) as u64),
    );
    page += "              tokens/s  (least to most)           GB/s  of memory     Gop/s  of arithmetic\n";
    for (what, speed) in rows(m) {
        let spread = format!("({:.0} to {:.0})", speed.least_tokens_per_second, speed.most_tokens_per_second);
        _ = writeln!(
            page,
            "  {what:<9} {:>10}  {spread:<22} {:>7.1} {:>9.0} % {:>9.0} {:>13.0} %",
            words::thousands(speed.tokens_per_second.round() as u64),
            speed.gb_per_second,
            100.0 * speed.share_of_memory,
            speed.gops,
            100.0 * speed.share_of_arithmetic,
        );
    }
    _ = writeln!(page, "\nfirst token after a prompt of {}: {:.1} ms", m.first_token_prompt, m.first_token_ms);
    m.resident_bytes.iter().for_each(|n| _ = writeln!(page, "resident memory: {}", words::bytes(*n)));
    page + "this machine: " + &ceilings_in_words(&m.ceilings) + "\n"
}

fn ceilings_in_words(c: &Ceilings) -> String {
    let gops = |name: &str, gops: f64| format!("{name} {gops:.0} Gop/s");
    let mut words = vec![
        format!("memory {:.1} GB/s", c.dram_gb_per_second),
        format!("last cache {:.1} GB/s", c.cache_gb_per_second),
    ];
    words.push(gops("int8", c.int8_gops));
    words.extend(c.bf16_gops.map(|n| gops("bf16", n)));
    words.extend(c.f16_gops.map(|n| gops("f16", n)));
    words.push(gops("f32", c.f32_gops));
    words.join(", ")
}

fn as_markdown(subject: &Opened, m: &Measured) -> String {
    let mut page = format!(
        "{}, {} ({}), threads: {}, {}\n\n| | tokens/s | least to most | GB/s | of memory | Gop/s | of arithmetic |\n|---|---|---|---|---|---|---|\n",
        subject.name,
        subject.backend.name(),
        m.instruction_set,
        m.n_threads,
        cpu_name()
    );
    for (what, s) in rows(m) {
        let (least, most) = (s.least_tokens_per_second, s.most_tokens_per_second);
        _ = writeln!(
            page,
            "| {what} | {:.0} | {least:.0} to {most:.0} | {:.1} | {:.0} % | {:.0} | {:.0} % |",
            s.tokens_per_second,
            s.gb_per_second,
            100.0 * s.share_of_memory,
            s.gops,
            100.0 * s.share_of_arithmetic,
        );
    }
    _ = writeln!(page, "\nFirst token after a prompt of {}: {:.1} ms.", m.first_token_prompt, m.first_token_ms);
    page + "This machine: " + &ceilings_in_words(&m.ceilings) + ".\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_set_that_is_not_there_is_an_error_that_lists_those_that_are() {
        assert_eq!(isa(None).unwrap(), Isa::best());
        assert_eq!(isa(Some(Isa::best().name())).unwrap(), Isa::best());
        assert!(isa(Some("sse9")).unwrap_err().to_string().contains("portable"));
    }
}
