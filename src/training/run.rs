//! A whole run, from prepared text to a finished model directory: what lies around the training loop.
//!
//! [`Run::begin`] makes the directory and describes it before the first step, so that a run killed at any moment can be
//! resumed; [`Run::resume`] finds everything there again; [`Repeat`] begins what another run was; [`Run::train`] runs the
//! loop and writes the reports.

use super::baselines;
use super::card::{CardInputs, Sample, model_card};
use super::observer::{Event, Observer};
use super::optimizer::OptimizerSettings;
use super::overlap;
use super::plan::Plan;
use super::planner::Choice;
use super::plot::loss_svg;
use super::run_log;
use super::settings::{Length, Settings};
use super::text::text_bytes;
use super::trainer::{Ending, Outcome, Text, Trainer};
use crate::checkpoint::{BaseModel, Manifest, ModelDir, QUANTIZED, Verbatim, write_atomic};
use crate::data::conversations::Turns;
use crate::data::loader::Order;
use crate::data::{CorpusReport, Prepared, open_prepared};
use crate::kernels::Cpu;
use crate::kernels::cpu::cpu_name;
use crate::model::Config;
use crate::tokenizer::Tokenizer;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Prompts of the samples in the model card; nothing, so that the model begins as its documents do.
const N_CARD_SAMPLES: usize = 3;

/// Tokens of each text from which the time of whole texts is told.
const N_REHEARSED_TOKENS: usize = 8;

/// Reports may take so much of the minutes of a run before it ends late because of them.
const MAX_REPORTS_SHARE: f64 = 0.25;

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

/// The text of a run, found again.
type Found = Result<Prepared>;

/// All that `run.json` and the files beside it tell of a run.
struct Recorded {
    manifest: Manifest,
    report: CorpusReport,
    tokenizer: Tokenizer,
    text: Prepared,
    settings: Settings,
}

impl Recorded {
    fn read(
        dir: &ModelDir,
        cache: &Path,
        prepare: impl FnOnce(&CorpusReport, &Tokenizer) -> Found,
    ) -> Result<Recorded> {
        let path = &dir.path;
        let manifest = dir.manifest()?.with_context(|| {
            format!("{} has no run.json: it was not trained here, so it cannot be resumed or repeated", path.display())
        })?;
        let tokenizer = dir.tokenizer()?;
        let broken = || format!("reading {}", path.join("run.json").display());
        let report: CorpusReport = serde_json::from_value(manifest.corpus.clone()).with_context(broken)?;
        let settings: Settings = serde_json::from_value(manifest.settings.clone()).with_context(broken)?;
        let text = match open_prepared(&report, &tokenizer, cache) {
            Ok(text) => text,
            Err(_) => prepare(&report, &tokenizer)?,
        };
        Ok(Recorded { manifest, report, tokenizer, text, settings })
    }
}

/// A finished run that is to be made once more, as it was: same text, tokenizer, shape, settings and milestones.
pub struct Repeat(Recorded);

impl Repeat {
    /// Reads the run in `path`. `prepare` is asked for the text only where the cache at `cache` no longer has it.
    pub fn of(path: &Path, cache: &Path, prepare: impl FnOnce(&CorpusReport, &Tokenizer) -> Found) -> Result<Repeat> {
        let dir = ModelDir::open(path)?;
        let recorded = Recorded::read(&dir, cache, prepare)?;
        let (manifest, settings) = (&recorded.manifest, &recorded.settings);
        ensure!(
            manifest.finished,
            "{} has not come to its end, so there is nothing to repeat yet: go on with `siskin train --resume {}`",
            path.display(),
            dir.typed_name()
        );
        ensure!(
            hex(&recorded.tokenizer.hash()) == manifest.tokenizer_hash,
            "{} is not the tokenizer that the run was made with: put the old file back",
            path.join("tokenizer.json").display()
        );
        ensure!(
            !matches!(settings.length, Length::Minutes(_)) || !settings.milestones.is_empty(),
            "{} has no milestones: the run was made by an older siskin, which followed the clock, and cannot be repeated",
            path.join("run.json").display()
        );
        Ok(Repeat(recorded))
    }

    /// The name of the run that is repeated.
    pub fn name(&self) -> &str {
        &self.0.manifest.name
    }

    /// Why the bytes of the repeated run will differ on `cpu`, or may; empty where they will be the same.
    pub fn differences(&self, cpu: &Cpu) -> Vec<String> {
        let Recorded { manifest: m, settings, .. } = &self.0;
        let mut found = Vec::new();
        let (here, version) = (cpu.isa.name(), env!("CARGO_PKG_VERSION"));
        if m.instruction_set != here {
            found.push(format!("it was made with {}, and this machine computes with {here}", m.instruction_set));
        }
        if !settings.precision.is_available(cpu.isa) {
            found.push(format!("its matrix products are in {}, which {here} cannot do", settings.precision.name()));
        }
        if m.siskin_version != version {
            found.push(format!("it was made by siskin {}, and this is {version}", m.siskin_version));
        }
        if m.n_rollbacks > 0 {
            found.push("it went back to a checkpoint after a step that failed, and the clock chose which".to_owned());
        }
        found
    }

    /// Creates a model directory for the run at `path` and writes all that describes it.
    pub fn begin(self, path: &Path) -> Result<Run> {
        let Recorded { manifest, report, tokenizer, text, settings } = self.0;
        let base = manifest.base.map(Base::read_again).transpose()?;
        let known = Manifest { base: base.as_ref().map(|base| base.recorded.clone()), ..Manifest::default() };
        Run::describe(path, manifest.config, settings, known, &report, tokenizer, text)?.beginning_with(base)
    }
}

/// The model that a fine-tuning begins with.
pub struct Base {
    recorded: BaseModel,
    weights: Vec<f32>,
}

impl Base {
    /// That in `dir`, which has the shape `config`.
    pub fn read(dir: &ModelDir, config: &Config) -> Result<Base> {
        let weights = dir.load_weights(config)?;
        let weights_hash = blake3::hash(bytemuck::cast_slice(&weights)).to_hex().to_string();
        Ok(Base { recorded: BaseModel { path: dir.path.display().to_string(), weights_hash }, weights })
    }

    /// The one that an earlier run began with; an error where it is no longer the same.
    fn read_again(recorded: BaseModel) -> Result<Base> {
        let path = &recorded.path;
        let dir = ModelDir::open(path).with_context(|| format!("the run began with the model in {path}"))?;
        let base = Base::read(&dir, &dir.config()?)?;
        ensure!(
            base.recorded.weights_hash == recorded.weights_hash,
            "the weights in {path} are no longer those that the run began with: put the old files back"
        );
        Ok(base)
    }
}

/// How a new run begins.
pub struct Start {
    /// The shape and the settings.
    pub plan: Plan,
    /// How the planner came to them.
    pub choice: Choice,
    /// What simpler methods make of the held-out text ([`baselines::of_text`]).
    pub baselines: Vec<(String, f64)>,
    /// The model to go on from; nothing for weights drawn by the seed.
    pub base: Option<Base>,
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
    pub fn begin(
        path: &Path,
        start: Start,
        report: &CorpusReport,
        tokenizer: Tokenizer,
        text: Prepared,
    ) -> Result<Run> {
        let Start { plan, choice, baselines, base } = start;
        let known = Manifest {
            choice: Some(serde_json::to_value(choice)?),
            baselines: baselines.into_iter().collect(),
            base: base.as_ref().map(|base| base.recorded.clone()),
            ..Manifest::default()
        };
        Run::describe(path, plan.config, plan.settings, known, report, tokenizer, text)?.beginning_with(base)
    }

    /// The same with the weights of `base`, kept in the run's own directory: it can be resumed when the base is gone.
    fn beginning_with(self, base: Option<Base>) -> Result<Run> {
        let Some(base) = base else { return Ok(self) };
        let config = &self.manifest.config;
        if let Some(lora) = self.settings.lora {
            let name = ModelDir { path: base.recorded.path.clone().into() }.name();
            self.dir.write_adapter_config(&lora.layout(config), lora.alpha, &name)?;
        }
        Trainer::begin_with(&self.dir, config, &self.settings, &base.weights)?;
        Ok(Run { is_resumed: true, ..self })
    }

    /// How the turns of conversations are known, in a run that learns only what the assistant says.
    fn turns(&self) -> Result<Option<Turns>> {
        let is_of_conversations = self.settings.recipe.order == Order::Conversations;
        is_of_conversations.then(|| Turns::of(&self.tokenizer)).transpose()
    }

    /// Makes the directory of a run; `known` is what the manifest says beyond the other arguments.
    fn describe(
        path: &Path,
        config: Config,
        settings: Settings,
        known: Manifest,
        report: &CorpusReport,
        tokenizer: Tokenizer,
        text: Prepared,
    ) -> Result<Run> {
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
            n_params: config.n_params() as u64,
            settings: serde_json::to_value(&settings)?,
            seed: settings.seed,
            cpu: cpu_name(),
            trained_on_messages: report.has_messages,
            config: config.clone(),
            ..known
        };
        dir.write_description(&config, &tokenizer)?;
        dir.write_manifest(&manifest)?;
        Ok(Run { dir, manifest, tokenizer, text, settings, is_resumed: false })
    }

    /// Opens the run in `path`. `prepare` is asked for the text only where the cache at `cache` no longer has it.
    pub fn resume(path: &Path, cache: &Path, prepare: impl FnOnce(&CorpusReport, &Tokenizer) -> Found) -> Result<Run> {
        let dir = ModelDir::create(path)?;
        let Recorded { manifest, tokenizer, text, settings, .. } = Recorded::read(&dir, cache, prepare)?;
        Ok(Run { dir, manifest, tokenizer, text, settings, is_resumed: true })
    }

    /// The run's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Trains to the end, or until `stop`, and writes the reports into the model directory. Minutes count from `began`.
    pub fn train(
        mut self,
        began: Instant,
        n_threads: usize,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
        writer: &mut dyn Writer,
    ) -> Result<RunReport> {
        let cpu = Cpu::new(n_threads);
        let (config, settings) = (self.manifest.config.clone(), self.settings.clone());
        let (token_bytes, turns) = (text_bytes(&self.tokenizer, config.vocab_size), self.turns()?);
        let (train, valid) = (&self.text.train, &self.text.valid);
        let text = Text { train, valid, token_bytes: &token_bytes, turns: turns.as_ref() };
        let trainer = if self.is_resumed && self.dir.has_resume() {
            Trainer::resume(&cpu, &config, settings, text, &self.dir)?
        } else {
            ensure!(
                self.manifest.base.is_none(),
                "{} was stopped before it was made ready: remove it, and begin anew with `siskin finetune`",
                self.dir.path.display()
            );
            // Killed before its first checkpoint: the seed makes the same beginning again.
            Trainer::new(&cpu, &config, settings, text, &self.dir)?
        };
        let mut reports_s = 0.0;
        if self.settings.is_by_clock() && !stop.load(Ordering::Relaxed) {
            reports_s = self.rehearse(trainer.weights(), writer)?;
        }
        let trainer = trainer.timed_by(|| began.elapsed().as_secs_f64(), reports_s);
        let outcome = trainer.run(observer, stop, &mut |weights| writer.sample(weights))?;
        let is_over = outcome.ending != Ending::Interrupted;
        let baselines = self.baselines();
        self.complete_manifest(&outcome, &baselines, &cpu)?;
        self.manifest.verbatim = is_over.then(|| self.verbatim(observer, writer)).flatten();
        self.dir.write_manifest(&self.manifest)?;
        self.write_plot(&baselines)?;
        if is_over {
            self.write_card(&baselines, writer)?;
            self.write_quantized(n_threads, observer);
        }
        Ok(RunReport { outcome, baselines, verbatim: self.manifest.verbatim })
    }

    /// Seconds that the reports will take after the training, found by making a small part of them: they are to be over
    /// when the minutes are. Never more than a share of the minutes, since a model that learned nothing needs no report.
    fn rehearse(&self, weights: &[f32], writer: &mut dyn Writer) -> Result<f64> {
        let mut seconds = |n_texts, n_tokens| -> Result<(f64, Vec<Vec<u32>>)> {
            let began = Instant::now();
            let texts = writer.texts(weights, n_texts, n_tokens)?;
            Ok((began.elapsed().as_secs_f64(), texts))
        };
        let (few_s, _) = seconds(overlap::N_TEXTS, 1)?;
        let (more_s, texts) = seconds(overlap::N_TEXTS, 1 + N_REHEARSED_TOKENS)?;
        let per_token_s = (more_s - few_s).max(0.0) / N_REHEARSED_TOKENS as f64;
        let writing_s = few_s + per_token_s * overlap::N_TEXT_TOKENS as f64;
        // The held-out text stands for the training text, of which it is some twentieth.
        let (n_train, n_valid) = (self.text.train.len(), self.text.valid.len());
        let began = Instant::now();
        overlap::measure(&self.text.valid, &self.text.valid, &self.tokenizer, &texts);
        let searching_s = began.elapsed().as_secs_f64() * n_train as f64 / n_valid.max(1) as f64;
        // A sample is one text of half the length, alone; the card's take about as long together as the texts in step.
        let reports_s = 2.0 * writing_s + if n_valid > 0 { searching_s } else { 0.0 };
        let Length::Minutes(minutes) = self.settings.length else { return Ok(reports_s) };
        Ok(reports_s.min(60.0 * minutes * MAX_REPORTS_SHARE))
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

    /// Leaves a quantized copy, which other programs run too. Where it cannot be made the model stands all the same.
    fn write_quantized(&self, n_threads: usize, observer: &mut dyn Observer) {
        if let Err(error) = self.dir.write_quantized(n_threads) {
            observer.event(&Event::Notice(&format!("{QUANTIZED} could not be written: {error:#}")));
        }
    }

    fn complete_manifest(&mut self, outcome: &Outcome, baselines: &[(String, f64)], cpu: &Cpu) -> Result<()> {
        let is_over = outcome.ending != Ending::Interrupted;
        if is_over && matches!(self.settings.length, Length::Minutes(_)) {
            self.settings.milestones.clone_from(&outcome.progress.pace.milestones);
        }
        let m = &mut self.manifest;
        m.settings = serde_json::to_value(&self.settings)?;
        m.n_rollbacks = outcome.progress.n_rollbacks;
        m.instruction_set = cpu.isa.name().to_owned();
        m.n_threads = cpu.n_threads();
        m.wall_s = outcome.progress.elapsed_s;
        m.n_steps = outcome.progress.step;
        m.n_tokens_seen = outcome.progress.n_tokens_seen;
        m.bits_per_byte = outcome.evaluation.map(|e| e.bits_per_byte);
        m.bits_per_byte_error = outcome.evaluation.map(|e| e.standard_error);
        m.baselines = baselines.iter().cloned().collect();
        m.finished = is_over;
        Ok(())
    }

    /// What xz and a 5-gram make of the same held-out text. A new run was told; a repeated or older one finds out.
    fn baselines(&self) -> Vec<(String, f64)> {
        // The manifest has them by name; reports name xz first.
        let known = &self.manifest.baselines;
        // Other methods cannot be asked about answers alone.
        if self.settings.recipe.order == Order::Conversations {
            return Vec::new();
        }
        if known.is_empty() {
            return baselines::of_text(&self.text, &self.tokenizer);
        }
        known.iter().map(|(name, bits)| (name.clone(), *bits)).rev().collect()
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
    if let Some(lora) = s.lora {
        let what =
            format!("rank {}, alpha {}, for the matrices inside the blocks; all else is frozen", lora.rank, lora.alpha);
        words.insert(0, ("adapters", what));
    }
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
