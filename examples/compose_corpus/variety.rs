//! How much of the text is said only once: runs of twelve words, compared without case and punctuation.

use std::collections::{BTreeMap, HashSet};

use crate::facts::Fact;
use crate::names::{HE, PET_HE, PET_SHE, SHE};
use crate::talk::Talk;

/// Words in a run.
pub(crate) const RUN: usize = 12;

/// The words of `text`, in lower case and without punctuation.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '\'')).filter(|w| !w.is_empty()).map(str::to_lowercase).collect()
}

/// FNV-1a, which (unlike the standard hasher) is the same in every Rust version.
pub(crate) fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3))
}

/// A hash of each run of twelve words.
pub(crate) fn runs(words: &[String]) -> Vec<u64> {
    words.windows(RUN).map(|run| hash(run.iter().flat_map(|w| w.bytes().chain([b' '])))).collect()
}

/// What holding out some stories shows.
pub(crate) struct HeldOut {
    /// Stories held out.
    pub(crate) held: usize,
    /// Those of them that share no run of twelve words with a story that was kept.
    pub(crate) fresh: usize,
}

/// Holds out one story in twenty by the hash of its text, and counts those that say nothing twelve words long that
/// the others say too.
pub(crate) fn held_out(stories: &[String]) -> HeldOut {
    let is_held = |s: &String| hash(s.bytes()).rotate_left(17).is_multiple_of(20);
    let kept: HashSet<u64> = stories.iter().filter(|s| !is_held(s)).flat_map(|s| runs(&words(s))).collect();
    let held: Vec<&String> = stories.iter().filter(|s| is_held(s)).collect();
    let fresh = held.iter().filter(|s| runs(&words(s)).iter().all(|run| !kept.contains(run))).count();
    HeldOut { held: held.len(), fresh }
}

/// What answers to held-out questions about stories could be given without reading the story.
pub(crate) struct Rote {
    /// Questions held out.
    pub(crate) held: usize,
    /// Those whose answer is somewhere in the other talks, word for word.
    pub(crate) said: usize,
    /// Those that are answered rightly by the commonest answer that the other talks give to the same question.
    pub(crate) guessed: usize,
}

impl Rote {
    /// The share of the questions that the commonest answer gets right.
    pub(crate) fn guessed_share(&self) -> f64 {
        self.guessed as f64 / self.held.max(1) as f64
    }
}

/// Holds out one talk in twenty that is about a story.
pub(crate) fn rote(talks: &[Talk]) -> Rote {
    let is_held = |t: &Talk| hash(t[0].user.bytes()).rotate_left(17).is_multiple_of(20);
    let facts = |t: &Talk| t.iter().filter_map(|e| e.of_story.clone()).collect::<Vec<Fact>>();
    let mut said = HashSet::new();
    let mut usual: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for fact in talks.iter().filter(|t| !is_held(t)).flat_map(facts) {
        *usual.entry(nameless(&fact.question)).or_default().entry(fact.accept[0].clone()).or_default() += 1;
        said.insert(fact.answer);
    }
    let mut out = Rote { held: 0, said: 0, guessed: 0 };
    for fact in talks.iter().filter(|t| is_held(t)).flat_map(facts) {
        let usual = usual.get(&nameless(&fact.question)).and_then(|all| all.iter().max_by_key(|(_, n)| **n));
        out.held += 1;
        out.said += usize::from(said.contains(&fact.answer));
        out.guessed += usize::from(usual.is_some_and(|(answer, _)| *answer == fact.accept[0]));
    }
    out
}

/// A question with all names made the same, so that "Where did Ada live?" and "Where did Ben live?" are one.
fn nameless(question: &str) -> String {
    let is_name =
        |w: &&str| w.starts_with(char::is_uppercase) && [SHE, HE, PET_SHE, PET_HE].iter().any(|n| n.contains(w));
    let bare = |w: &str| w.trim_matches(['?', ',', '.']).to_owned();
    question
        .split(' ')
        .map(bare)
        .map(|w| if is_name(&w.as_str()) { "X".to_owned() } else { w })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lose_case_and_marks() {
        assert_eq!(words("\"It's Pip!\" said Nell."), ["it's", "pip", "said", "nell"]);
    }

    #[test]
    fn a_story_told_twice_is_not_fresh() {
        let story = |n: usize| (0..30).map(|i| format!("w{} ", i * n)).collect::<String>();
        let mut stories: Vec<String> = (1..400).map(story).collect();
        let alone = held_out(&stories);
        assert_eq!(alone.held, alone.fresh);
        stories.iter_mut().for_each(|s| *s = story(3) + s);
        assert_eq!(held_out(&stories).fresh, 0);
    }
}
