//! A whole run, from prepared text to a finished model directory: what lies around the training loop.
//!
//! [`Run::begin`] makes the directory and describes it before the first step, so that a run killed at any moment can be
//! resumed; [`Run::resume`] finds everything there again; [`Run::train`] runs the loop and writes the reports.

use super::baselines;
use super::card::{CardInputs, Sample, model_card};
use super::observer::{Event, Observer};
use super::optimizer::OptimizerSettings;
use super::overlap;
use super::plan::Plan;
use super::plot::loss_svg;
use super::run_log;
use super::settings::Settings;
use super::text::{head_bytes, tail_bytes, text_bytes};
use super::trainer::{Ending, Outcome, Text, Trainer};
use crate::checkpoint::{Manifest, ModelDir, Verbatim, write_atomic};
use crate::data::{CorpusReport, Prepared, open_prepared};
use crate::kernels::Cpu;
use crate::kernels::cpu::cpu_name;
use crate::tokenizer::Tokenizer;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Prompts of the samples in the model card; nothing, so that the model begins as its documents do.
const N_CARD_SAMPLES: usize = 3;

/// A run that is ready to be trained.
pub struct Run {
    /// Where the model lives.
    pub dir: ModelDir,
    /// What is known of the run; completed at its end.
    pub manifest: Manifest,
    tokenizer: Tokenizer,
    text: Prepared,
    settings: Settings,
    is_resumed: bool,
}

/// What a person is told at the end.
pub struct RunReport {
    /// How the loop ended and where it stood.
    pub outcome: Outcome,
    /// Other ways to compress the same held-out text: name and bits per byte.
    pub baselines: Vec<(String, f64)>,
    /// How much of what the model writes it has copied.
    pub verbatim: Option<Verbatim>,
}

/// What a run asks of generation, of which training knows nothing.
pub trait Writer {
    /// A short text, as a person would be shown it.
    fn sample(&mut self, weights: &[f32]) -> Result<String>;

    /// The ids of `n_texts` texts of `n_tokens` each, or as many as the context holds, each begun as a document begins and
    /// drawn from the model's own distribution: temperature 1 and no filter. Tokens that end a text are among them.
    fn texts(&mut self, weights: &[f32], n_texts: usize, n_tokens: usize) -> Result<Vec<Vec<u32>>>;
}

impl Run {
    /// Creates a model directory for `plan` at `path` and writes all that describes it.
    pub fn begin(path: &Path, plan: Plan, report: &CorpusReport, tokenizer: Tokenizer, text: Prepared) -> Result<Run> {
        ensure!(
            !path.join("run.json").exists() && !path.join("model.safetensors").exists(),
            "{} already holds a model: choose another directory, or continue it with `siskin train --resume {}`",
            path.display(),
            path.display()
        );
        let dir = ModelDir::create(path)?;
        let manifest = Manifest {
            siskin_version: env!("CARGO_PKG_VERSION").to_owned(),
            name: dir.name(),
            corpus: serde_json::to_value(report)?,
            tokenizer_hash: hex(&tokenizer.hash()),
            n_params: plan.config.n_params() as u64,
            settings: serde_json::to_value(&plan.settings)?,
            seed: plan.settings.seed,
            cpu: cpu_name(),
            trained_on_messages: report.has_messages,
            config: plan.config.clone(),
            ..Manifest::default()
        };
        dir.write_description(&plan.config, &tokenizer)?;
        dir.write_manifest(&manifest)?;
        Ok(Run { dir, manifest, tokenizer, text, settings: plan.settings, is_resumed: false })
    }

    /// Opens the run in `path`. `prepare` is asked for the text only where the cache at `cache` no longer has it.
    pub fn resume(
        path: &Path,
        cache: &Path,
        prepare: impl FnOnce(&CorpusReport, &Tokenizer) -> Result<Prepared>,
    ) -> Result<Run> {
        let dir = ModelDir::create(path)?;
        let manifest = dir.manifest()?.with_context(|| {
            format!("{} has no run.json: it was not trained here, so it cannot be resumed", path.display())
        })?;
        let tokenizer = dir.tokenizer()?;
        let broken = || format!("reading {}", path.join("run.json").display());
        let report: CorpusReport = serde_json::from_value(manifest.corpus.clone()).with_context(broken)?;
        let settings: Settings = serde_json::from_value(manifest.settings.clone()).with_context(broken)?;
        let text = match open_prepared(&report, &tokenizer, cache) {
            Ok(text) => text,
            Err(_) => prepare(&report, &tokenizer)?,
        };
        Ok(Run { dir, manifest, tokenizer, text, settings, is_resumed: true })
    }

    /// The run's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Trains to the end, or until `stop`, and writes the reports into the model directory.
    pub fn train(
        mut self,
        n_threads: usize,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
        writer: &mut dyn Writer,
    ) -> Result<RunReport> {
        let cpu = Cpu::new(n_threads);
        let (config, settings) = (self.manifest.config.clone(), self.settings.clone());
        let token_bytes = text_bytes(&self.tokenizer, config.vocab_size);
        let text = Text { train: &self.text.train, valid: &self.text.valid, token_bytes: &token_bytes };
        let trainer = if self.is_resumed && self.dir.has_resume() {
            Trainer::resume(&cpu, &config, settings, text, &self.dir)?
        } else {
            // Killed before its first checkpoint: the seed makes the same beginning again.
            Trainer::new(&cpu, &config, settings, text, &self.dir)?
        };
        let outcome = trainer.run(observer, stop, &mut |weights| writer.sample(weights))?;
        let is_over = outcome.ending != Ending::Interrupted;
        let baselines = if is_over { self.baselines() } else { vec![] };
        self.complete_manifest(&outcome, &baselines, &cpu);
        self.manifest.verbatim = is_over.then(|| self.verbatim(observer, writer)).flatten();
        self.dir.write_manifest(&self.manifest)?;
        self.write_plot(&baselines)?;
        if is_over {
            self.write_card(&baselines, writer)?;
        }
        Ok(RunReport { outcome, baselines, verbatim: self.manifest.verbatim })
    }

    /// How much the finished model copies. Where that cannot be measured the model stands all the same, and it is said.
    fn verbatim(&self, observer: &mut dyn Observer, writer: &mut dyn Writer) -> Option<Verbatim> {
        let mut measure = || -> Result<Verbatim> {
            let weights = self.dir.load_weights(&self.manifest.config)?;
            let texts = writer.texts(&weights, overlap::N_TEXTS, overlap::N_TEXT_TOKENS)?;
            Ok(overlap::measure(&self.text.train, &self.text.valid, &self.tokenizer, &texts))
        };
        let measured = measure();
        if let Err(error) = &measured {
            observer.event(&Event::Notice(&format!("how much the model copies could not be measured: {error:#}")));
        }
        measured.ok()
    }

    fn complete_manifest(&mut self, outcome: &Outcome, baselines: &[(String, f64)], cpu: &Cpu) {
        let m = &mut self.manifest;
        m.instruction_set = cpu.isa.name().to_owned();
        m.n_threads = cpu.n_threads();
        m.wall_s = outcome.progress.elapsed_s;
        m.n_steps = outcome.progress.step;
        m.n_tokens_seen = outcome.progress.n_tokens_seen;
        m.bits_per_byte = outcome.evaluation.map(|e| e.bits_per_byte);
        m.bits_per_byte_error = outcome.evaluation.map(|e| e.standard_error);
        m.baselines = baselines.iter().cloned().collect();
        m.finished = outcome.ending != Ending::Interrupted;
    }

    /// What xz and a 5-gram make of the same held-out text.
    fn baselines(&self) -> Vec<(String, f64)> {
        let limit = baselines::XZ_TRAIN_LIMIT.max(baselines::FIVE_GRAM_TRAIN_LIMIT);
        let train = tail_bytes(&self.text.train, &self.tokenizer, limit);
        let valid = head_bytes(&self.text.valid, &self.tokenizer, baselines::VALID_LIMIT);
        baselines::beside(&train, &valid)
    }

    fn write_plot(&self, baselines: &[(String, f64)]) -> Result<()> {
        let (steps, evals) = run_log::read(&self.dir.path.join("train.jsonl"))?;
        let svg = loss_svg(&self.manifest.name, &steps, &evals, baselines);
        write_atomic(&self.dir.path.join("loss.svg"), |file| Ok(file.write_all(svg.as_bytes())?))
    }

    fn write_card(&self, baselines: &[(String, f64)], writer: &mut dyn Writer) -> Result<()> {
        let weights = self.dir.load_weights(&self.manifest.config)?;
        let texts = (0..N_CARD_SAMPLES).map(|_| writer.sample(&weights)).collect::<Result<Vec<_>>>()?;
        let samples: Vec<Sample> = texts.iter().map(|text| Sample { prompt: "", text }).collect();
        let report: CorpusReport = serde_json::from_value(self.manifest.corpus.clone())?;
        let (m, settings) = (&self.manifest, settings_in_words(&self.settings));
        let card = model_card(&CardInputs {
            name: &m.name,
            siskin_version: &m.siskin_version,
            config: &m.config,
            n_params: m.n_params,
            n_documents: report.n_documents,
            n_bytes: report.n_bytes,
            n_duplicates: report.n_duplicates,
            n_valid_documents: report.n_valid_documents,
            n_valid_bytes: report.n_valid_bytes,
            content_hash: &report.content_hash,
            trained_on_messages: m.trained_on_messages,
            settings: &settings,
            seed: m.seed,
            n_steps: m.n_steps,
            n_tokens_seen: m.n_tokens_seen,
            wall_s: m.wall_s,
            cpu: &m.cpu,
            instruction_set: &m.instruction_set,
            n_threads: m.n_threads,
            bits_per_byte: m.bits_per_byte,
            bits_per_byte_error: m.bits_per_byte_error,
            baselines,
            samples: &samples,
            verbatim: m.verbatim.as_ref(),
            finished: m.finished,
        });
        write_atomic(&self.dir.path.join("README.md"), |file| Ok(file.write_all(card.as_bytes())?))
    }
}

fn settings_in_words(s: &Settings) -> Vec<(String, String)> {
    let n = &s.optimizer;
    let mut words = vec![
        ("batch", format!("{} sequences, {} a step", s.batch, s.batch * s.n_accumulate)),
        ("optimizer", optimizer_in_words(&s.optimizer)),
        (
            "learning rate",
            format!(
                "{:.2e}, {} steps of warm-up, linear to {} of it over the last {:.0} %",
                s.lr,
                s.schedule.n_warmup,
                s.schedule.last,
                s.schedule.warmdown * 100.0
            ),
        ),
        ("matrix products", s.precision.name().to_owned()),
        ("gradient clipping", format!("norm {}", n.max_grad_norm)),
    ];
    words.extend(s.recipe.in_words());
    words.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn optimizer_in_words(s: &OptimizerSettings) -> String {
    let adamw = format!("AdamW (betas {} and {})", s.beta1, s.beta2);
    let embed = match s.embed_lr_factor {
        1.0 => String::new(),
        factor => format!(" (rate times {factor})"),
    };
    match s.muon {
        Some(m) => {
            let rows = if m.normalises_rows { "" } else { ", rows not normalised" };
            let decay = if m.is_cautious { "cautious" } else { "plain" };
            format!(
                "Muon (momentum {}{rows}), {adamw} for embedding{embed} and norms, {decay} weight decay {}",
                m.momentum, s.weight_decay
            )
        }
        None => format!("{adamw}{embed}, weight decay {}", s.weight_decay),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
