//! Stop strings: texts at which generation ends, also when they arrive in pieces.
//!
//! A piece of text that may be the beginning of a stop is held back until the next piece decides. The stop that is
//! complete first wins (of two complete at the same character, the longer), so the result does not depend on how the
//! text was cut into pieces. Pieces are whole characters; the module knows nothing of tokens.

use anyhow::{Result, ensure};

/// Watches a stream of text for stop strings.
#[derive(Debug, Clone, Default)]
pub struct StopStrings {
    stops: Vec<String>,
    longest: usize,
    held: String,
    stopped: bool,
}

impl StopStrings {
    /// A watcher for any of `stops`; none is allowed, an empty string is not.
    pub fn new(stops: Vec<String>) -> Result<StopStrings> {
        ensure!(stops.iter().all(|stop| !stop.is_empty()), "a stop string is empty, so nothing would ever be written");
        let longest = stops.iter().map(String::len).max().unwrap_or(0);
        Ok(StopStrings { stops, longest, held: String::new(), stopped: false })
    }

    /// Takes the next piece and returns what may be shown now. After a stop it returns nothing more.
    pub fn push(&mut self, piece: &str) -> String {
        if self.stopped {
            return String::new();
        }
        self.held.push_str(piece);
        let mut safe = std::mem::take(&mut self.held);
        if let Some(start) = self.first_stop(&safe) {
            self.stopped = true;
            safe.truncate(start);
        } else {
            self.held = safe.split_off(self.start_of_possible_stop(&safe));
        }
        safe
    }

    /// Whether a stop string has been completed.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// The end of the stream: returns what was held back in vain, and makes the watcher ready for another stream.
    pub fn finish(&mut self) -> String {
        self.stopped = false;
        std::mem::take(&mut self.held)
    }

    /// Where the stop begins that is complete first in `text`.
    fn first_stop(&self, text: &str) -> Option<usize> {
        let found =
            self.stops.iter().filter_map(|stop| text.find(stop.as_str()).map(|start| (start + stop.len(), start)));
        found.min().map(|(_, start)| start)
    }

    /// The start of the longest end of `text` with which a stop begins; the length of `text` if there is none.
    fn start_of_possible_stop(&self, text: &str) -> usize {
        // A possible stop is shorter than the longest one, so only the end of the text is looked at.
        let from = text.len().saturating_sub(self.longest.saturating_sub(1));
        let may_begin =
            |&at: &usize| text.is_char_boundary(at) && self.stops.iter().any(|stop| stop.starts_with(&text[at..]));
        (from..text.len()).find(may_begin).unwrap_or(text.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stops(stops: &[&str]) -> StopStrings {
        StopStrings::new(stops.iter().map(|s| s.to_string()).collect()).unwrap()
    }

    #[test]
    fn a_stop_across_pieces_is_never_shown() {
        let mut watcher = stops(&["\nUser:"]);
        let shown: Vec<String> = ["Hello", "\nU", "se", "r: me"].iter().map(|piece| watcher.push(piece)).collect();
        assert_eq!(shown, ["Hello", "", "", ""]);
        assert!(watcher.stopped());
        assert_eq!(watcher.push("more"), "");
        assert_eq!(watcher.finish(), "");
    }

    #[test]
    fn what_was_held_back_in_vain_is_released() {
        let mut watcher = stops(&["END", "aab"]);
        assert_eq!(watcher.push("the E"), "the ");
        assert_eq!(watcher.push("N"), "");
        assert_eq!(watcher.push("T"), "ENT");
        assert_eq!(watcher.push("aa"), "");
        assert_eq!(watcher.push("a"), "a");
        assert!(!watcher.stopped());
        assert_eq!(watcher.finish(), "aa");
    }

    #[test]
    fn the_stop_that_is_complete_first_wins() {
        for (texts, text, shown) in [
            (&["c", "bcd"][..], "abcd", "ab"),
            (&["bc", "abcd"], "abcd", "a"),
            (&["bc", "abc"], "xabc", "x"),
            (&["é", "ü"], "aüé", "a"),
        ] {
            let mut watcher = stops(texts);
            assert_eq!(watcher.push(text), shown, "{texts:?} in {text:?}");
            assert!(watcher.stopped());
        }
    }

    #[test]
    fn an_empty_stop_string_is_refused() {
        assert!(StopStrings::new(vec![String::new()]).is_err());
    }

    /// What a reader expects: the text up to the first prefix that ends in a stop.
    fn naive(text: &str, stops: &[String]) -> (String, bool) {
        for end in (0..=text.len()).filter(|&end| text.is_char_boundary(end)) {
            let matching = stops.iter().filter(|stop| text[..end].ends_with(stop.as_str()));
            if let Some(longest) = matching.map(String::len).max() {
                return (text[..end - longest].to_string(), true);
            }
        }
        (text.to_string(), false)
    }

    proptest! {
        #[test]
        fn any_cutting_gives_what_the_whole_text_gives(
            text in "[abé→]{0,40}",
            stops in prop::collection::vec("[abé→]{1,5}", 0..4),
            cuts in prop::collection::vec(0usize..5, 0..40),
        ) {
            let mut watcher = StopStrings::new(stops.clone()).unwrap();
            let (expected, stopped) = naive(&text, &stops);
            let characters: Vec<char> = text.chars().collect();
            let (mut shown, mut at) = (String::new(), 0);
            for n in cuts.into_iter().chain([characters.len()]) {
                let end = (at + n).min(characters.len());
                shown += &watcher.push(&characters[at..end].iter().collect::<String>());
                prop_assert!(expected.starts_with(&shown), "{shown:?} was shown, but {expected:?} is all there is");
                at = end;
            }
            prop_assert_eq!(watcher.stopped(), stopped);
            prop_assert_eq!(shown + &watcher.finish(), expected);
        }
    }
}
