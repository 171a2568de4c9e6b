//! How much of the text is said only once: runs of twelve words, compared without case and punctuation.

use std::collections::HashSet;

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

/// The answers of a talk that had to be found in its story.
pub(crate) fn story_answers(talk: &Talk) -> Vec<String> {
    talk.iter().filter(|e| e.of_story).map(|e| e.answer.clone()).collect()
}

/// Holds out the answers of one talk in twenty, and counts those that no other talk gives in the same words.
pub(crate) fn answers_said_elsewhere(talks: &[Vec<String>]) -> HeldOut {
    let is_held = |t: &Vec<String>| hash(t.concat().bytes()).rotate_left(17).is_multiple_of(20);
    let kept: HashSet<&String> = talks.iter().filter(|t| !is_held(t)).flatten().collect();
    let held: Vec<&String> = talks.iter().filter(|t| !t.is_empty() && is_held(t)).flatten().collect();
    HeldOut { held: held.len(), fresh: held.iter().filter(|answer| !kept.contains(*answer)).count() }
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
