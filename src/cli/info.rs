//! `siskin info`: what a model directory holds and how it came to be, or what a GGUF file is made of.

use super::Exit;
use super::display::wrapped;
use crate::checkpoint::{BUNDLED, Found, GgufSummary, Manifest, ModelDir, RUNS, Summary, Verbatim, bundled_file, find};
use crate::inference::Backend;
use crate::training::overlap;
use anyhow::Result;
use indicatif::{DecimalBytes, HumanCount, HumanDuration};
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::time::Duration;

/// Width of a paragraph beside the labels, so that the page fits 96 columns.
const TEXT_WIDTH: usize = 82;

/// Describe a model: size, shape, tokenizer, how it was trained, how well it predicts
#[derive(Debug, clap::Args)]
pub(super) struct InfoArgs {
    /// A model directory, a .gguf file, a run's name, or hf:owner/name[:file]; the newest run if left out
    pub model: Option<String>,
    /// Print one JSON object instead
    #[arg(long)]
    pub json: bool,
}

/// Prints the description to standard output.
pub(super) fn run(args: InfoArgs) -> Result<Exit> {
    let text = match find(args.model.as_deref(), Path::new(RUNS))? {
        Found::Gguf(path) => shown(&GgufSummary::of(&path)?, args.json, describe_gguf)?,
        Found::Bundled => shown(&GgufSummary::of_bytes(bundled_file(), Path::new(BUNDLED))?, args.json, describe_gguf)?,
        Found::Directory(path) => shown(&Summary::of(&ModelDir::open(path)?)?, args.json, describe)?,
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever reads the other end of the pipe has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Exit::Done),
        written => Ok(written.map(|()| Exit::Done)?),
    }
}

/// A summary as JSON, or as `describe` has it.
fn shown<T: serde::Serialize>(summary: &T, json: bool, describe: impl Fn(&T) -> String) -> Result<String> {
    Ok(if json { serde_json::to_string_pretty(summary)? + "\n" } else { describe(summary) })
}

/// The description of a GGUF file.
fn describe_gguf(file: &GgufSummary) -> String {
    let mut page = Page(format!("{}  ({})\n\n", plain(&file.name), plain(&file.path)));
    file.title.iter().for_each(|title| page.line("Model", plain(title)));
    page.line("Family", plain(&file.architecture));
    page.line(
        "Runs on",
        match file.backend {
            Some("native") => "native: siskin's own engine".to_owned(),
            Some(backend) => format!("{backend}: slower than siskin's own engine"),
            None => Backend::of(&file.architecture).map_or_else(|error| plain(&error.to_string()), |_| String::new()),
        },
    );
    page.line("Weights", format!("{} ({} on disk)", HumanCount(file.n_weights), DecimalBytes(file.n_bytes)));
    if let (Some(n_layer), Some(n_embd)) = (file.n_layer, file.n_embd) {
        page.line("Shape", format!("{n_layer} layers, {n_embd} wide"));
    }
    file.context_len.iter().for_each(|n| page.line("Context", format!("{} tokens", HumanCount(*n))));
    let kind = file.tokenizer.as_ref().map_or("none inside".to_owned(), |kind| format!("of the kind {}", plain(kind)));
    let n_entries = file.vocab_size.map_or(String::new(), |n| format!("{} entries, ", HumanCount(n as u64)));
    page.line("Vocabulary", format!("{n_entries}tokenizer {kind}"));
    page.line(
        "Dialogues",
        if file.has_chat_template { "by the file's own template" } else { "no template" }.to_owned(),
    );
    for (i, share) in file.types.iter().enumerate() {
        let bits = 8.0 * share.n_bytes as f64 / share.n_weights.max(1) as f64;
        let (n, size) = (share.n_tensors, DecimalBytes(share.n_bytes).to_string());
        page.line(
            if i == 0 { "Tensors" } else { "" },
            format!("{:<5} {n:>5}  {size:>10}  {bits:>6.3} bits a weight", share.name),
        );
    }
    page.0
}

/// The description for a person: a label, then what there is to say, line by line.
fn describe(summary: &Summary) -> String {
    let mut page = Page(format!("{}  ({})\n\n", plain(&summary.name), plain(&summary.path)));
    let config = &summary.config;
    let head = if config.tied { "the embedding" } else { "its own matrix" };
    page.line("Weights", format!("{} ({} on disk)", HumanCount(summary.n_params), DecimalBytes(summary.n_bytes)));
    page.line("Shape", format!("{} layers, {} wide, feed-forward {}", config.n_layer, config.n_embd, config.n_ffn));
    page.line(
        "",
        format!(
            "{} heads of {} over {} key/value heads, output head: {head}",
            config.n_head, config.head_dim, config.n_kv_head
        ),
    );
    page.line("Context", format!("{} tokens", HumanCount(config.block_size as u64)));
    let special = &summary.tokenizer.special_tokens;
    page.line(
        "Vocabulary",
        format!("{} entries, {} of them special", HumanCount(summary.tokenizer.vocab_size as u64), special.len()),
    );
    for names in special.chunks(4) {
        page.line("", plain(&names.join(" ")));
    }
    page.0.push('\n');
    match &summary.training {
        Some(manifest) => training(&mut page, summary, manifest),
        None => page.line("Trained", "elsewhere (there is no run.json)".to_owned()),
    }
    page.0.push('\n');
    let width = summary.files.iter().map(|file| plain(&file.name).chars().count()).max().unwrap_or(0);
    for (i, file) in summary.files.iter().enumerate() {
        let size = DecimalBytes(file.n_bytes).to_string();
        page.line(if i == 0 { "Files" } else { "" }, format!("{:<width$}  {size:>10}", plain(&file.name)));
    }
    page.0
}

fn training(page: &mut Page, summary: &Summary, manifest: &Manifest) {
    page.line("Trained on", corpus(manifest));
    let time = HumanDuration(Duration::from_secs_f64(manifest.wall_s.clamp(0.0, 1e9)));
    page.line(
        "",
        format!("{} steps, {} tokens, {time}", HumanCount(manifest.n_steps), HumanCount(manifest.n_tokens_seen)),
    );
    if !manifest.finished {
        let how = if summary.can_resume {
            format!("; `siskin train --resume {}` continues", plain(&summary.name))
        } else {
            String::new()
        };
        page.line("", format!("not finished{how}"));
    }
    page.line("Seed", manifest.seed.to_string());
    page.line(
        "Processor",
        format!("{} ({}, threads: {})", plain(&manifest.cpu), plain(&manifest.instruction_set), manifest.n_threads),
    );
    page.line("By", format!("siskin {}", plain(&manifest.siskin_version)));
    page.0.push('\n');
    let Some(bits) = summary.bits_per_byte else { return page.line("Held out", "not measured yet".to_owned()) };
    let error = summary.bits_per_byte_error.map(|error| format!(" (standard error {error:.3})")).unwrap_or_default();
    page.line("Held out", format!("{bits:.3} bits per byte{error}"));
    for (name, bits) in &summary.baselines {
        page.line("", format!("{bits:.3} by {}", plain(name)));
    }
    if let Some(answers) = &manifest.answers {
        let [n_right, n_asked] = answers.total();
        page.line("Answers", format!("{n_right} of {n_asked} questions in {} rightly", plain(&answers.file)));
    }
    manifest.verbatim.iter().for_each(|verbatim| copying(page, verbatim));
}

fn copying(page: &mut Page, verbatim: &Verbatim) {
    page.0.push('\n');
    let mut sentence = overlap::share_in_words(verbatim);
    let longest = overlap::longest_in_words(verbatim);
    sentence.extend(longest.map(|longest| format!("; {longest}: \"{}\"", plain(&overlap::longest_run(verbatim)))));
    for (i, line) in wrapped(&sentence, TEXT_WIDTH).iter().enumerate() {
        page.line(if i == 0 { "Copies" } else { "" }, line.clone());
    }
}

/// What the corpus report says; absent numbers are left out, because the report is another version's business.
fn corpus(manifest: &Manifest) -> String {
    let number = |key: &str| manifest.corpus[key].as_u64();
    let mut words = Vec::new();
    words.extend(number("n_documents").map(|n| format!("{} documents", HumanCount(n))));
    words.extend(number("n_bytes").map(|n| DecimalBytes(n).to_string()));
    if let (Some(valid), Some(train)) = (number("n_valid_bytes"), number("n_train_bytes")) {
        let share = 100.0 * valid as f64 / (valid as f64 + train as f64).max(1.0);
        words.push(format!("{share:.1} % held out"));
    }
    words.extend(manifest.trained_on_messages.then(|| "with dialogues".to_owned()));
    if words.is_empty() { "a corpus that run.json does not describe".to_owned() } else { words.join(", ") }
}

/// Text from a file with control characters written out, so that it cannot command the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

struct Page(String);

impl Page {
    fn line(&mut self, label: &str, text: String) {
        writeln!(self.0, "  {label:<12}{text}").expect("writing to a string cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{FileSize, TokenizerSummary};
    use crate::model::Preset;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn summary(training: Option<Manifest>) -> Summary {
        let config = Preset::Nano.config(1024, 256);
        Summary {
            name: "fables\u{1b}[2J".to_owned(),
            path: "runs/fables".to_owned(),
            n_params: config.n_params() as u64,
            n_bytes: 4_200_000,
            config,
            tokenizer: TokenizerSummary { vocab_size: 1024, special_tokens: vec!["<|endoftext|>".to_owned()] },
            bits_per_byte: training.as_ref().map(|_| 1.25),
            bits_per_byte_error: None,
            baselines: BTreeMap::from([("xz".to_owned(), 2.5)]),
            training,
            can_resume: true,
            files: vec![FileSize { name: "model.safetensors".to_owned(), n_bytes: 4_194_304 }],
        }
    }

    #[test]
    fn the_description_says_what_a_person_asks_and_nothing_to_the_terminal() {
        let corpus =
            json!({"n_documents": 1200, "n_bytes": 1_000_000, "n_valid_bytes": 50_000, "n_train_bytes": 950_000});
        let manifest = Manifest { corpus, n_steps: 2400, wall_s: 120.0, seed: 7, ..Manifest::default() };
        let text = describe(&summary(Some(manifest)));
        for words in [
            "1,200 documents, 1.00 MB, 5.0 % held out",
            "2,400 steps",
            "2 minutes",
            "1.250 bits per byte",
            "2.500 by xz",
            "--resume",
            "4.19 MB",
        ] {
            assert!(text.contains(words), "{words:?} is not in\n{text}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn how_much_a_model_copies_is_said_in_lines_that_fit_and_only_where_it_is_known() {
        let verbatim = Verbatim {
            min_run_words: 8,
            n_words: 2_000,
            n_copied_words: 240,
            longest_run_words: 23,
            longest_run: "once upon \u{1b}[2J a time ".repeat(6).trim_end().to_owned(),
            ..Verbatim::default()
        };
        let known = Manifest { bits_per_byte: Some(1.25), verbatim: Some(verbatim), ..Manifest::default() };
        let text = describe(&summary(Some(known)));
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in ["Copies 12 % of what it writes stands word for word", "the longest run has 23 words: \"once upon"]
        {
            assert!(flat.contains(words), "{words:?} is not in\n{text}");
        }
        assert!(!text.contains('\u{1b}') && text.lines().all(|line| line.chars().count() <= 96), "{text}");
        assert!(!describe(&summary(Some(Manifest::default()))).contains("Copies"));
    }

    #[test]
    fn a_model_from_elsewhere_is_described_too() {
        assert!(describe(&summary(None)).contains("elsewhere"));
        assert!(describe(&summary(Some(Manifest::default()))).contains("does not describe"));
    }
}
