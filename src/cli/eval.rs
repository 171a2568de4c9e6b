//! `siskin eval`: how well a model knows a text, beside what xz and a 5-gram make of it.

use super::display::{self, ByteProgress, Show, TokenProgress};
use super::eval_words::{Beside, Verdict};
use super::train::prepare_again;
use super::{Exit, eval_chat, n_threads};
use crate::checkpoint::{self, Found, ModelDir, OpenOptions, Opened, RUNS, Which};
use crate::data::{CorpusReport, Judged, Prepared, cache_dir, open_prepared};
use crate::inference::LanguageModel;
use crate::kernels::Cpu;
use crate::model::Family;
use crate::tokenizer::Tokenizer;
use crate::training::baselines;
use crate::training::evaluate::{ByDocument, evaluate_by_document, evaluate_model_by_document};
use crate::training::network::Network;
use crate::training::text::{head_bytes, tail_bytes, text_bytes};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Measure how well a model knows a text it has not seen: bits per byte, less is better
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siskin eval my-texts other-text.txt              the model runs/my-texts on one file
  siskin eval runs/my-texts folder/ --by-document  and which documents it knows worst and best
  siskin eval small.q4_k_m.gguf other-text.txt     a GGUF file at its bits per weight
  siskin eval my-texts other-text.txt --json
  siskin eval my-chat --chat questions.jsonl       how many questions it answers rightly

All of the text is judged, in windows of the model's context (--window) that do not overlap. The standard error is over \
documents, which end where a file ends or at a line <|endoftext|>; of a single document it is over windows. xz and \
the 5-gram pay for the same text (its first MB) after they have read the end of what the model learned from (4 and \
16 MB). Where that text is no longer there, xz compresses the judged text alone, and there is no 5-gram.")]
pub(super) struct EvalArgs {
    /// The model: a directory, a run's name, a .gguf file, or hf:owner/name[:file]
    #[arg(value_name = "MODEL")]
    pub(super) model: String,
    /// Files or folders of text, or - for standard input; all of it is judged
    #[arg(required_unless_present = "chat", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Instead ask the questions of this file, lines of {"messages": [...], "answers": [...]}, and count right answers
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "by_document", "window"])]
    chat: Option<PathBuf>,
    /// With --chat: list each question with what was said
    #[arg(long, requires = "chat", conflicts_with = "json")]
    pub(super) answers: bool,
    /// With --chat: write the score to the model's run.json and card
    #[arg(long, requires = "chat")]
    pub(super) record: bool,
    /// List the documents that the model knows worst and best
    #[arg(long)]
    by_document: bool,
    /// Tokens read at once, if not as many as the model's context holds
    #[arg(long, value_name = "N")]
    window: Option<usize>,
    /// Threads to compute with; all the machine has if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) threads: Option<u16>,
    /// Write one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// Runs the command.
pub(super) fn run(args: EvalArgs) -> Result<Exit> {
    if let Some(questions) = &args.chat {
        return eval_chat::run(&args, questions);
    }
    let found = checkpoint::find(Some(&args.model), Path::new(RUNS))
        .context("the first argument names the model, as in `siskin eval MODEL FILE`")?;
    let mut judged = Subject::open(&found, n_threads(args.threads), args.window)?;
    let tokenizer = &judged.tokenizer;
    let text = {
        let bar = ByteProgress::new(Show::Progress, "reading", None);
        Judged::read(&args.files, tokenizer, &mut |n| bar.add(n))?
    };
    text.skipped.iter().for_each(|skipped| display::notice(&format!("skipped {skipped}")));
    let began = Instant::now();
    let by_document = judged.how.judge(&judged.tokenizer, &text, n_threads(args.threads))?;
    let verdict = Verdict {
        model: judged.name,
        text: &text,
        tokenizer: &judged.tokenizer,
        found: by_document,
        seconds: began.elapsed().as_secs_f64(),
        beside: beside(judged.dir.as_ref(), &judged.tokenizer, &text)?,
    };
    let words = if args.json { verdict.json().to_string() + "\n" } else { verdict.words(args.by_document) };
    std::io::stdout().lock().write_all(words.as_bytes())?;
    Ok(Exit::Done)
}

/// What is judged.
struct Subject {
    name: String,
    tokenizer: Tokenizer,
    /// Where it was trained, if that is known.
    dir: Option<ModelDir>,
    how: How,
}

/// How a model reads: the trainer's forward pass for what is trained here, else as it is run.
enum How {
    Trained { dir: ModelDir, n_window: Option<usize> },
    Run { model: Box<dyn LanguageModel + Send>, n_window: usize },
}

impl Subject {
    fn open(found: &Found, n_threads: usize, n_window: Option<usize>) -> Result<Subject> {
        ensure!(n_window != Some(0), "a window of 0 tokens predicts nothing");
        // A window is all that the cache must hold.
        let options = |context_len| OpenOptions { which: Which::Full, context_len, ..OpenOptions::new(n_threads) };
        let run = |Opened { name, model, tokenizer, .. }: Opened, dir| {
            let n_window = n_window.unwrap_or(model.context_len()).min(model.context_len());
            Subject { name, tokenizer, dir, how: How::Run { model, n_window } }
        };
        match found {
            Found::Gguf(path) => Ok(run(checkpoint::open_gguf(path, options(None))?, None)),
            Found::Bundled => Ok(run(checkpoint::open_bundled(options(None))?, None)),
            Found::Directory(path) => {
                let dir = ModelDir::open(path)?;
                if dir.config()?.family != Family::Qwen3 {
                    return Ok(run(checkpoint::open_dir(&dir, options(None))?, Some(dir)));
                }
                let (name, tokenizer) = (dir.name(), dir.tokenizer()?);
                Ok(Subject { name, tokenizer, dir: Some(dir.clone()), how: How::Trained { dir, n_window } })
            }
        }
    }
}

impl How {
    fn judge(&mut self, tokenizer: &Tokenizer, text: &Judged, n_threads: usize) -> Result<ByDocument> {
        let bar = TokenProgress::new("judging", text.ids.len() as u64 - 1);
        let mut on_tokens = |n: usize| bar.add(n as u64);
        let found = match self {
            How::Trained { dir, n_window } => {
                let mut config = dir.config()?;
                let weights = dir.load_weights(&config)?;
                config.block_size = n_window.unwrap_or(config.block_size).clamp(2, config.block_size);
                // Some 4,096 rows at a time keep the matrix products efficient.
                let n_rows = (4096 / config.block_size).max(1) * config.block_size;
                let mut network = Network::new(&config, &weights, n_rows);
                let (cpu, token_bytes) = (Cpu::new(n_threads), text_bytes(tokenizer, config.vocab_size));
                let (ids, starts) = (&text.ids, &text.starts);
                evaluate_by_document(&mut network, &cpu, ids, &token_bytes, starts, n_rows, &mut on_tokens)
            }
            How::Run { model, n_window } => {
                let token_bytes = text_bytes(tokenizer, model.vocab_size());
                let (ids, starts) = (&text.ids, &text.starts);
                evaluate_model_by_document(&mut **model, *n_window, ids, &token_bytes, starts, &mut on_tokens)
            }
        };
        found.context("there is no text to judge: at least one byte is needed")
    }
}

/// What simpler methods make of the same text.
fn beside(dir: Option<&ModelDir>, tokenizer: &Tokenizer, text: &Judged) -> Result<Beside> {
    let mut judged = head_bytes(&text.ids, tokenizer, baselines::VALID_LIMIT);
    judged.truncate(baselines::VALID_LIMIT);
    let n_bytes = judged.len() as u64;
    let learned = match dir {
        Some(dir) => learned_from(dir, tokenizer),
        None => Err(anyhow::anyhow!("a file does not say what its model has learned from")),
    };
    Ok(match learned {
        Ok(learned) => {
            let limit = baselines::XZ_TRAIN_LIMIT.max(baselines::FIVE_GRAM_TRAIN_LIMIT);
            let train = tail_bytes(&learned.train, tokenizer, limit);
            Beside { figures: baselines::beside(&train, &judged), n_bytes, without: None }
        }
        Err(error) => {
            let alone = baselines::xz_bits_per_byte(&[], &judged)?.map(|bits| ("xz".to_owned(), bits));
            Beside { figures: alone.into_iter().collect(), n_bytes, without: Some(format!("{error:#}")) }
        }
    })
}

/// The text that the model learned from, of the cache, or read again where its files are still the same.
pub(super) fn learned_from(dir: &ModelDir, tokenizer: &Tokenizer) -> Result<Prepared> {
    let manifest = dir.manifest()?.context("there is no run.json that says what it was")?;
    let report: CorpusReport = serde_json::from_value(manifest.corpus).context("run.json does not say what it was")?;
    let cache = cache_dir()?;
    open_prepared(&report, tokenizer, &cache).or_else(|_| prepare_again(&report, tokenizer))
}
