//! Composes siskin's English text: short stories and talks about them, in a child's words, from hand-written parts.
//!
//! `cargo run --release --example compose_corpus -- OUT_DIR [--seed N] [--check]` writes `stories.txt` and
//! `dialogues.jsonl`; the same seed always writes the same bytes. With `--check` it also prints what was measured:
//! sizes, distinct words, and how many held-out stories share no run of twelve words with the others.

mod beats;
mod cast;
mod dialogues;
mod grammar;
mod lists;
mod places;
mod plots;
mod plots_heart;
mod plots_help;
mod plots_learn;
mod plots_lost;
mod plots_make;
mod plots_play;
mod plots_road;
mod rng;
mod scene;
mod skies;
mod snags;
#[cfg(test)]
mod tests;
mod things;
mod variety;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::plots::{PLOTS, Teller};

/// The line that ends a document.
const END: &str = "<|endoftext|>";
/// Bytes of stories after which no further one is told.
const STORY_BYTES: usize = 1_500_000;
/// Bytes of talks after which no further one is held.
const TALK_BYTES: usize = 420_000;
/// The seed of the text that the project ships.
const SEED: u64 = 2026;

/// Everything that is written.
struct Corpus {
    stories: Vec<String>,
    /// The plot of each story.
    plots: Vec<&'static str>,
    talks: Vec<String>,
}

fn compose(seed: u64, story_bytes: usize, talk_bytes: usize) -> Corpus {
    let mut teller = Teller::new(seed);
    let (mut stories, mut plots) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    while bytes < story_bytes {
        let story = teller.story(false, 230);
        bytes += story.text.len() + END.len() + 2;
        stories.push(story.text);
        plots.push(story.plot);
    }
    let mut talks = Vec::new();
    let mut seen = HashSet::new();
    bytes = 0;
    while bytes < talk_bytes {
        let line = dialogues::to_json(&dialogues::talk(&mut teller));
        if seen.insert(line.clone()) {
            bytes += line.len() + 1;
            talks.push(line);
        }
    }
    Corpus { stories, plots, talks }
}

fn write(corpus: &Corpus, dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let stories: String = corpus.stories.iter().map(|s| format!("{s}\n{END}\n")).collect();
    std::fs::write(dir.join("stories.txt"), stories)?;
    let talks: String = corpus.talks.iter().map(|t| format!("{t}\n")).collect();
    std::fs::write(dir.join("dialogues.jsonl"), talks)
}

fn report(corpus: &Corpus) {
    let words: Vec<String> = corpus.stories.iter().flat_map(|s| variety::words(s)).collect();
    let distinct: BTreeSet<&String> = words.iter().collect();
    let whole: HashSet<&String> = corpus.stories.iter().collect();
    let held = variety::held_out(&corpus.stories);
    println!(
        "plots: {}, characters: {}, things: {}, places: {}",
        PLOTS.len(),
        cast::PEOPLE.len(),
        things::THINGS.len(),
        places::PLACES.len()
    );
    println!("stories: {}, of them distinct: {}", corpus.stories.len(), whole.len());
    for (name, _) in PLOTS {
        print!("{name} {}, ", corpus.plots.iter().filter(|p| *p == name).count());
    }
    println!("each plot so often");
    println!(
        "words: {}, distinct: {}, a story has {} on average",
        words.len(),
        distinct.len(),
        words.len() / corpus.stories.len().max(1)
    );
    println!("talks: {}", corpus.talks.len());
    println!(
        "held out: {}, of them without a shared run of {} words: {} ({:.1} %)",
        held.held,
        variety::RUN,
        held.fresh,
        100.0 * held.fresh as f64 / held.held.max(1) as f64
    );
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
            report(&corpus);
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
