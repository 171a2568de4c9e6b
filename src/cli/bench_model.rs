//! `siskin bench [MODEL]`: how fast a model reads and writes here, in words, JSON or Markdown.

use super::{Exit, info::is_gguf, n_threads};
use crate::checkpoint::{GgufModel, ModelDir, RUNS, resolve};
use crate::formats::gguf::Gguf;
use crate::inference::bench::{Arithmetic, Ceilings, Facts, Measured, Speed, ceilings, measure};
use crate::inference::candle_backend::{self, CandleModel};
use crate::inference::{Backend, Engine, LanguageModel};
use crate::kernels::cpu::{Isa, cpu_name};
use crate::model::Config;
use crate::words;
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

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

/// A model that is ready to be timed.
struct Subject {
    name: String,
    backend: Backend,
    model: Box<dyn LanguageModel>,
    facts: Facts,
    n_threads: usize,
}

/// Runs the command.
pub(super) fn run(args: &ModelBenchArgs) -> Result<Exit> {
    let (isa, n_threads) = (isa(args.isa.as_deref())?, n_threads(args.threads));
    let mut subject = open(args.model.as_deref(), isa, n_threads)?;
    let n_threads = subject.n_threads;
    // Measured before the ceilings are, whose buffers would count as the model's.
    let resident = crate::inference::bench::resident_bytes();
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

/// The instruction set called `name`, or the best; an error where the CPU lacks it, or the engine cannot be told to use it.
fn isa(name: Option<&str>) -> Result<Isa> {
    let best = Isa::best();
    let Some(name) = name else { return Ok(best) };
    let known = Isa::all();
    let Some(&isa) = known.iter().find(|isa| isa.name() == name) else {
        let names = known.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ");
        bail!("this CPU has no {name}: it has {names}");
    };
    if isa != best {
        bail!("models run on the best instruction set of the CPU, which is {}, in this version", best.name());
    }
    Ok(isa)
}

fn open(name: Option<&str>, _isa: Isa, n_threads: usize) -> Result<Subject> {
    match name.map(Path::new).filter(|path| is_gguf(path)) {
        Some(path) => open_gguf(path, n_threads),
        None => open_directory(resolve(name, Path::new(RUNS))?, n_threads),
    }
}

fn open_directory(path: PathBuf, n_threads: usize) -> Result<Subject> {
    let dir = ModelDir::open(&path)?;
    let config = dir.config()?;
    let weights = dir.load_weights(&config)?;
    native(dir.name(), &config, &weights, n_threads).with_context(|| format!("preparing {}", path.display()))
}

fn open_gguf(path: &Path, n_threads: usize) -> Result<Subject> {
    let reading = || format!("reading {}", path.display());
    let bytes = std::fs::read(path).with_context(reading)?;
    let gguf = Gguf::parse(&bytes).with_context(reading)?;
    let architecture: &str = gguf.metadata().want("general.architecture").with_context(reading)?;
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    if Backend::of(architecture).with_context(reading)? == Backend::Native {
        let GgufModel { config, weights, .. } = GgufModel::read(&bytes).with_context(reading)?;
        return native(name, &config, &weights, n_threads).with_context(reading);
    }
    let trained: usize = gguf.metadata().want(&format!("{architecture}.context_length")).with_context(reading)?;
    let model = CandleModel::read(&bytes, trained.min(CONTEXT)).with_context(reading)?;
    let (n_threads, facts) = (candle_backend::n_threads(), facts_of_file(&gguf));
    Ok(Subject { name, backend: Backend::Candle, model: Box::new(model), facts, n_threads })
}

fn native(name: String, config: &Config, weights: &[f32], n_threads: usize) -> Result<Subject> {
    let model = Engine::new(config, weights, config.block_size.min(CONTEXT), n_threads)?;
    let facts = facts_of_f32(config);
    Ok(Subject { name, backend: Backend::Native, model: Box::new(model), facts, n_threads })
}

/// All weights in single precision.
fn facts_of_f32(config: &Config) -> Facts {
    let n_head_weights = config.vocab_size * config.n_embd;
    let n_embeddings = if config.tied { 1 } else { 2 } * n_head_weights;
    let n_body_weights = config.n_params() - n_embeddings;
    Facts {
        n_body_weights,
        body_bytes: 4 * n_body_weights,
        n_head_weights,
        head_bytes: 4 * n_head_weights,
        arithmetic: Arithmetic::F32,
    }
}

/// Weights as a file stores them.
fn facts_of_file(gguf: &Gguf) -> Facts {
    let head = gguf.tensor("output.weight").or(gguf.tensor("token_embd.weight"));
    let sizes = |name: Option<&str>| {
        let body = |tensor: &&crate::formats::gguf::TensorInfo| {
            tensor.shape.len() > 1 && tensor.name != "token_embd.weight" && tensor.name != "output.weight"
        };
        let chosen = gguf.tensors().iter().filter(|t| name.map_or_else(|| body(t), |name| t.name == name));
        chosen.fold((0, 0), |(n, bytes), tensor| (n + tensor.n_elements(), bytes + tensor.range.len()))
    };
    let (n_body_weights, body_bytes) = sizes(None);
    let (n_head_weights, head_bytes) = sizes(head.map(|tensor| tensor.name.as_str()));
    Facts { n_body_weights, body_bytes, n_head_weights, head_bytes, arithmetic: Arithmetic::Int8 }
}

fn as_json(subject: &Subject, measured: &Measured) -> Result<String> {
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

fn describe(subject: &Subject, m: &Measured) -> String {
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

fn as_markdown(subject: &Subject, m: &Measured) -> String {
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
    use crate::model::Preset;

    #[test]
    fn a_tied_head_is_read_once_and_an_embedding_of_its_own_not_at_all() {
        let tied = Preset::Tiny.config(500, 64);
        let untied = Config { tied: false, ..tied.clone() };
        let (a, b) = (facts_of_f32(&tied), facts_of_f32(&untied));
        assert_eq!((a.n_body_weights, a.n_head_weights), (tied.n_params() - 500 * tied.n_embd, 500 * tied.n_embd));
        assert_eq!((a.n_body_weights, a.n_head_weights), (b.n_body_weights, b.n_head_weights));
        assert_eq!(a.body_bytes, 4 * a.n_body_weights);
    }

    #[test]
    fn an_instruction_set_that_is_not_there_is_an_error_that_lists_those_that_are() {
        assert_eq!(isa(None).unwrap(), Isa::best());
        assert_eq!(isa(Some(Isa::best().name())).unwrap(), Isa::best());
        assert!(isa(Some("sse9")).unwrap_err().to_string().contains("portable"));
    }
}
