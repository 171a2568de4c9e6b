//! The small English rules that hold whatever is filled into a sentence: a or an, capitals, spaces.

/// Whether `word` starts with the sound of a vowel, so that it takes "an".
pub(crate) fn takes_an(word: &str) -> bool {
    let w: String = word.chars().filter(|c| c.is_alphabetic()).collect::<String>().to_lowercase();
    if w.starts_with("hour") {
        return true;
    }
    if w.starts_with("use") || w.starts_with("one") || w.starts_with("uni") {
        return false;
    }
    w.starts_with(['a', 'e', 'i', 'o', 'u'])
}

/// "a" or "an" in front of `noun`.
pub(crate) fn with_article(noun: &str) -> String {
    format!("{} {noun}", if takes_an(noun) { "an" } else { "a" })
}

/// Filled-in text made tidy: single spaces, "a" or "an" as the next word asks, and a capital at the start of each
/// sentence and of each speech. Templates write `~` for a quotation mark; a `^` asks for a capital where the rule cannot know (after `!"` and `?"`).
pub(crate) fn tidy(raw: &str) -> String {
    capitals(&articles(&spaces(&raw.replace('~', "\""))))
}

fn spaces(raw: &str) -> String {
    let mut out = raw.split_whitespace().collect::<Vec<_>>().join(" ");
    for mark in [",", ".", "!", "?"] {
        out = out.replace(&format!(" {mark}"), mark);
    }
    out
}

fn articles(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let mut out = Vec::with_capacity(words.len());
    for (i, &word) in words.iter().enumerate() {
        let bare = word.trim_start_matches(['"', '^']);
        let next_takes_an = words.get(i + 1).is_some_and(|next| takes_an(next));
        let fixed = match (bare, next_takes_an) {
            ("a", true) => format!("{word}n"),
            ("A", true) => format!("{word}n"),
            ("an", false) | ("An", false) => word.trim_end_matches('n').to_owned(),
            _ => word.to_owned(),
        };
        out.push(fixed);
    }
    out.join(" ")
}

/// The verbs that carry a speech on: after `!"` they keep the sentence going.
const SPEAKING: &[&str] = &[
    "said",
    "asked",
    "cried",
    "called",
    "shouted",
    "answered",
    "replied",
    "wondered",
    "thought",
    "laughed",
    "whispered",
    "sneezed",
    "growled",
    "begged",
    "went",
];

/// Whether what follows a closing `!"` or `?"` tells who spoke.
fn tells_who(rest: &str) -> bool {
    let clause: String = rest.chars().take_while(|c| !",.!?\"^".contains(*c)).collect();
    clause.split_whitespace().take(4).any(|w| SPEAKING.contains(&w))
}

fn capitals(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut raise, mut in_speech, mut spoken) = (true, false, false);
    let mut last = ' ';
    for (i, c) in text.char_indices() {
        match c {
            '^' => raise = true,
            '"' if in_speech => {
                in_speech = false;
                let stopped = last == '.' && !text[..i].ends_with("...");
                let ends = stopped || (last != ',' && !tells_who(&text[i + 1..]));
                (raise, spoken) = (ends, !ends);
                out.push(c);
            }
            '"' => {
                in_speech = true;
                // A speech that goes on after `he said,` is in the middle of its sentence.
                raise = raise || !spoken;
                out.push(c);
            }
            '.' | '!' | '?' => {
                raise = true;
                spoken = spoken && in_speech;
                out.push(c);
            }
            ' ' => out.push(c),
            _ if raise => {
                out.extend(c.to_uppercase());
                raise = false;
            }
            _ => out.push(c),
        }
        if c != ' ' && c != '^' {
            last = c;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_becomes_an_before_a_vowel_sound() {
        assert_eq!(tidy("a [old] owl saw an cat").replace(['[', ']'], ""), "An old owl saw a cat");
        assert_eq!(tidy("it took a hour with a useful rope."), "It took an hour with a useful rope.");
    }

    #[test]
    fn a_sentence_and_a_speech_begin_with_a_capital() {
        assert_eq!(tidy("he said, \"come in.\" then he sat ."), "He said, \"Come in.\" Then he sat.");
        assert_eq!(tidy("\"who is it?\" asked the hen. ^nobody spoke"), "\"Who is it?\" asked the hen. Nobody spoke");
    }

    #[test]
    fn a_speech_that_goes_on_keeps_its_small_letter() {
        assert_eq!(
            tidy("~I am stuck,~ said Moss, ~and cold.~ he sat."),
            "\"I am stuck,\" said Moss, \"and cold.\" He sat."
        );
        assert_eq!(tidy("~help!~ it came from a hole."), "\"Help!\" It came from a hole.");
        assert_eq!(tidy("~what if...~ thought Pip. he sat."), "\"What if...\" thought Pip. He sat.");
    }
}
