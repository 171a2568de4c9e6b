//! `siskin eval MODEL --chat FILE`: how many questions a model answers rightly.

use super::display::{TokenProgress, notice};
use super::eval::EvalArgs;
use super::{Exit, n_threads};
use crate::checkpoint::{self, Answers, ModelDir, OpenOptions, Opened, RUNS};
use crate::generation::questions::{Question, parse};
use crate::generation::text::continue_text;
use crate::generation::{Limits, Sampler, SamplerConfig, Session, StopStrings, visible};
use crate::tokenizer::ChatTemplate;
use crate::training::card::with_answers;
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Tokens of an answer, of which the first sentence is judged.
const MAX_TOKENS: usize = 64;

/// Runs the command.
pub(super) fn run(args: &EvalArgs, file: &Path) -> Result<Exit> {
    let opening = || format!("reading {}", file.display());
    let questions = parse(&std::fs::read_to_string(file).with_context(opening)?).with_context(opening)?;
    let mut opened = checkpoint::open(Some(&args.model), Path::new(RUNS), OpenOptions::new(n_threads(args.threads)))?;
    let template = opened.foreign_template()?;
    let bar = TokenProgress::new("asking", questions.len() as u64);
    let mut exam = Exam { name: opened.name.clone(), file: name_of(file), asked: Vec::new() };
    for question in questions {
        let said = answer(&mut opened, template.as_ref(), &question).context("asking")?;
        exam.asked.push((question, said));
        bar.add(1);
    }
    drop(bar);
    if args.record {
        record(&opened.path, &exam.answers())?;
    }
    let page = if args.json { exam.json().to_string() + "\n" } else { exam.words(args.answers) };
    std::io::stdout().lock().write_all(page.as_bytes())?;
    Ok(Exit::Done)
}

fn name_of(file: &Path) -> String {
    file.file_name().map_or_else(|| file.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The most probable answer to a question.
fn answer(opened: &mut Opened, template: Option<&ChatTemplate>, question: &Question) -> Result<String> {
    let Opened { model, tokenizer, end_ids, begin_of_text, .. } = opened;
    let ids = match template {
        Some(template) => tokenizer.render_template(template, &question.messages, true, 0)?,
        None => {
            let begin = begin_of_text.unwrap_or(tokenizer.end_of_text());
            [vec![begin], tokenizer.render_chat(&question.messages, true)?].concat()
        }
    };
    let mut session = Session::new(&mut **model);
    if let Err(too_long) = session.set_prompt(&ids) {
        // A question that does not fit is not answered, which is what a person would see.
        notice(&format!("a question has no room: {too_long}"));
        return Ok(String::new());
    }
    let mut sampler = Sampler::new(SamplerConfig { temperature: 0.0, ..SamplerConfig::default() })?;
    let limits = Limits { max_tokens: MAX_TOKENS, end_ids, interrupted: &AtomicBool::new(false) };
    let mut said = String::new();
    continue_text(&mut session, &mut sampler, limits, tokenizer, &mut StopStrings::default(), &mut |text| {
        said.push_str(text);
        Ok(())
    })?;
    Ok(said)
}

/// Writes the score to the model's `run.json` and card.
fn record(path: &Path, answers: &Answers) -> Result<()> {
    // A quantized copy lies in the directory of the model that it is a copy of.
    let dir = if path.is_file() { path.parent().unwrap_or(Path::new(".")) } else { path };
    let dir = ModelDir::open(dir).context("--record writes to the directory of a model that was trained here")?;
    let Some(mut manifest) = dir.manifest()? else { bail!("{} has no run.json to record it in", dir.path.display()) };
    manifest.answers = Some(answers.clone());
    dir.write_manifest(&manifest)?;
    let card = dir.path.join("README.md");
    ensure!(card.is_file(), "{} is missing: a run writes it at its end", card.display());
    let text = std::fs::read_to_string(&card).with_context(|| format!("reading {}", card.display()))?;
    checkpoint::write_atomic(&card, |file| Ok(file.write_all(with_answers(&text, answers).as_bytes())?))
}

/// What was asked, and what was said.
struct Exam {
    name: String,
    file: String,
    asked: Vec<(Question, String)>,
}

impl Exam {
    fn answers(&self) -> Answers {
        let mut by_kind: BTreeMap<String, [u64; 2]> = BTreeMap::new();
        for (question, said) in &self.asked {
            let [n_right, n_asked] = by_kind.entry(question.kind.clone()).or_default();
            *n_right += u64::from(question.is_answered_by(said));
            *n_asked += 1;
        }
        Answers { file: self.file.clone(), by_kind }
    }

    fn words(&self, with_all: bool) -> String {
        let answers = self.answers();
        let mut page = String::new();
        let mut row = |what: &str, [n_right, n_asked]: [u64; 2]| {
            let share = 100.0 * n_right as f64 / n_asked as f64;
            _ = writeln!(page, "{what:<14} {n_right:>5} of {n_asked:>4}  {share:>6.1} %");
        };
        answers.by_kind.iter().for_each(|(kind, &counts)| row(if kind.is_empty() { "other" } else { kind }, counts));
        row("right", answers.total());
        if with_all {
            for (question, said) in &self.asked {
                let mark = if question.is_answered_by(said) { "right" } else { "WRONG" };
                let asked = question.messages.last().map_or("", |message| &message.content);
                let short: String =
                    visible(asked).chars().rev().take(90).collect::<Vec<_>>().into_iter().rev().collect();
                _ = writeln!(page, "\n{mark}  {short}\n       {}", visible(said.trim()).replace('\n', " "));
            }
        }
        page
    }

    fn json(&self) -> serde_json::Value {
        let answers = self.answers();
        let [n_right, n_asked] = answers.total();
        let each = self.asked.iter().map(
            |(question, said)| json!({ "kind": question.kind, "said": said, "right": question.is_answered_by(said) }),
        );
        let each: Vec<_> = each.collect();
        json!({
            "model": self.name, "file": self.file, "right": n_right, "asked": n_asked,
            "share": n_right as f64 / n_asked as f64, "by_kind": answers.by_kind, "answers": each,
        })
    }
}
