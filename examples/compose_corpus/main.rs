//! Composes siskin's English text: short stories and talks about them, in a child's words, from hand-written parts.
//!
//! `cargo run --release --example compose_corpus -- OUT_DIR [--seed N] [--check]` writes `stories.txt`,
//! `dialogues.jsonl`, `more_dialogues.jsonl` and `questions.jsonl`; the same seed always writes the same bytes. With
//! `--check` it also prints what was measured: sizes, distinct words, and how much of what is held out is said word for
//! word elsewhere.

mod animals;
mod beats;
mod cast;
mod dialogues;
mod evaluation;
mod facts;
mod grammar;
mod lesson;
mod lists;
mod names;
mod numbers;
mod places;
mod plots;
mod plots_heart;
mod plots_help;
mod plots_learn;
mod plots_lost;
mod plots_make;
mod plots_play;
mod plots_road;
mod questions;
mod report;
mod rng;
mod scene;
mod skies;
mod small_talk;
mod snags;
mod story_talk;
mod talk;
#[cfg(test)]
mod tests;
mod things;
mod unknown;
mod variety;
mod week;
mod world;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::dialogues::Talker;
use crate::evaluation::Question;
use crate::plots::Teller;
use crate::talk::Talk;

/// The line that ends a document.
const END: &str = "<|endoftext|>";
/// Bytes of stories after which no further one is told.
const STORY_BYTES: usize = 3_010_000;
/// Bytes of talks after which no further one is held.
const TALK_BYTES: usize = 24_000_000;
/// Bytes of talks after which they go into a second file: what a person reads, and what one has a model read.
const FIRST_TALK_BYTES: usize = 4_650_000;
/// The seed of the text that the project ships.
const SEED: u64 = 2026;
/// Most words of a story that stands alone.
const STORY_WORDS: usize = 230;
/// Most words of a talk: with the committed tokenizer 241 words came to 494 tokens, and 512 are to hold a talk.
const TALK_WORDS: usize = 245;

/// Everything that is written.
struct Corpus {
    stories: Vec<String>,
    /// The plot of each story.
    plots: Vec<&'static str>,
    talks: Vec<Talk>,
    questions: Vec<Question>,
}

fn compose(seed: u64, story_bytes: usize, talk_bytes: usize) -> Corpus {
    let mut teller = Teller::new(seed);
    let (mut stories, mut plots) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    while bytes < story_bytes {
        let story = teller.story(false, STORY_WORDS);
        bytes += story.text.len() + END.len() + 2;
        stories.push(story.text);
        plots.push(story.plot);
    }
    let (mut talks, mut talker) = (Vec::new(), Talker::new());
    let mut seen = HashSet::new();
    bytes = 0;
    while bytes < talk_bytes {
        let talk = talker.talk(&mut teller);
        let line = talk::to_json(&talk);
        if talk::n_words(&talk) <= TALK_WORDS && seen.insert(line.clone()) {
            bytes += line.len() + 1;
            talks.push(talk);
        }
    }
    let questions = evaluation::questions(&mut teller.reseeded(seed + 1));
    Corpus { stories, plots, talks, questions }
}

fn write(corpus: &Corpus, dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let stories: String = corpus.stories.iter().map(|s| format!("{s}\n{END}\n")).collect();
    std::fs::write(dir.join("stories.txt"), stories)?;
    let (mut talks, mut more_talks) = (String::new(), String::new());
    for talk in &corpus.talks {
        let file = if talks.len() < FIRST_TALK_BYTES { &mut talks } else { &mut more_talks };
        *file += &talk::to_json(talk);
        file.push('\n');
    }
    std::fs::write(dir.join("dialogues.jsonl"), talks)?;
    std::fs::write(dir.join("more_dialogues.jsonl"), more_talks)?;
    let questions: String = corpus.questions.iter().map(|q| evaluation::to_json(q) + "\n").collect();
    std::fs::write(dir.join("questions.jsonl"), questions)
}

/// What the command line asks for.
struct Args {
    dir: PathBuf,
    seed: u64,
    check: bool,
}

fn args() -> Result<Args, String> {
    let mut out = Args { dir: PathBuf::from("corpora"), seed: SEED, check: false };
    let mut given = std::env::args().skip(1);
    while let Some(arg) = given.next() {
        match arg.as_str() {
            "--check" => out.check = true,
            "--seed" => {
                let text = given.next().ok_or("--seed needs a whole number after it")?;
                out.seed = text.parse().map_err(|_| format!("--seed is '{text}', but must be a whole number"))?;
            }
            flag if flag.starts_with('-') => return Err(format!("unknown option '{flag}'; known: --seed N, --check")),
            dir => out.dir = PathBuf::from(dir),
        }
    }
    Ok(out)
}

fn main() -> ExitCode {
    let run = || -> Result<(), String> {
        let args = args()?;
        let corpus = compose(args.seed, STORY_BYTES, TALK_BYTES);
        write(&corpus, &args.dir).map_err(|e| format!("cannot write to '{}': {e}", args.dir.display()))?;
        if args.check {
            report::print(&corpus);
        }
        Ok(())
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
