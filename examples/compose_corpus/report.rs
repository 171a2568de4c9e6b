//! What `--check` prints about a corpus.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::Corpus;
use crate::facts::plain;
use crate::plots::PLOTS;
use crate::{talk, variety};

/// Prints sizes, distinct words, and how much of what is held out is said elsewhere.
pub(crate) fn print(corpus: &Corpus) {
    stories(corpus);
    talks(corpus);
    questions(corpus);
}

fn percent(part: usize, of: usize) -> f64 {
    100.0 * part as f64 / of.max(1) as f64
}

fn stories(corpus: &Corpus) {
    let words: Vec<String> = corpus.stories.iter().flat_map(|s| variety::words(s)).collect();
    let distinct: BTreeSet<&String> = words.iter().collect();
    let whole: HashSet<&String> = corpus.stories.iter().collect();
    let lengths: Vec<usize> = corpus.stories.iter().map(|s| variety::words(s).len()).collect();
    println!("stories: {}, of them distinct: {}", corpus.stories.len(), whole.len());
    for (name, _) in PLOTS {
        print!("{name} {}, ", corpus.plots.iter().filter(|p| *p == name).count());
    }
    println!("each plot so often");
    println!(
        "words: {}, distinct: {}; in a story: {} to {}, {} on average",
        words.len(),
        distinct.len(),
        lengths.iter().min().unwrap_or(&0),
        lengths.iter().max().unwrap_or(&0),
        words.len() / lengths.len().max(1)
    );
    let held = variety::held_out(&corpus.stories);
    println!(
        "stories held out: {}, of them without a shared run of {} words: {} ({:.1} %)",
        held.held,
        variety::RUN,
        held.fresh,
        percent(held.fresh, held.held)
    );
}

fn talks(corpus: &Corpus) {
    let said: Vec<String> = corpus.talks.iter().flatten().flat_map(|e| [e.user.clone(), e.answer.clone()]).collect();
    let all: BTreeSet<String> = said.iter().chain(&corpus.stories).flat_map(|s| variety::words(s)).collect();
    let longest = corpus.talks.iter().map(talk::n_words);
    println!(
        "talks: {}, exchanges: {}, most words in one: {}; distinct words of stories and talks together: {}",
        corpus.talks.len(),
        said.len() / 2,
        longest.max().unwrap_or(0),
        all.len()
    );
    let rote = variety::rote(&corpus.talks);
    println!(
        "answers about stories held out: {}, of them word for word in other talks: {} ({:.1} %), \
         the same as the commonest answer to that question: {} ({:.1} %)",
        rote.held,
        rote.said,
        percent(rote.said, rote.held),
        rote.guessed,
        100.0 * rote.guessed_share()
    );
    let about_stories = corpus.talks.iter().flatten().filter(|e| e.of_story.is_some()).count();
    println!("questions about stories: {about_stories}");
}

fn questions(corpus: &Corpus) {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for question in &corpus.questions {
        *kinds.entry(question.kind).or_default() += 1;
    }
    println!("questions: {}, by kind: {kinds:?}", corpus.questions.len());
    let about: HashSet<&str> = corpus.questions.iter().filter(|q| q.kind != "story").map(|q| &*q.about).collect();
    println!("facts asked outside of stories: {}", about.len());
    let asked: HashSet<String> = corpus.talks.iter().flatten().map(|e| plain(&e.user)).collect();
    let lessons: Vec<_> = corpus.questions.iter().filter(|q| q.kind != "story").collect();
    let seen = lessons.iter().filter(|q| asked.contains(&plain(&q.fact.question))).count();
    println!("questions outside of stories: {}, of them asked in the same words in the talks: {seen}", lessons.len());
}
