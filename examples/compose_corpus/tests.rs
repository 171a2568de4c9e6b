//! What a reader of the text can rely on.

use std::collections::HashSet;

use crate::grammar::takes_an;
use crate::plots::PLOTS;
use crate::variety::words;
use crate::{Corpus, compose};

fn sample() -> Corpus {
    compose(11, 160_000, 40_000)
}

#[test]
fn the_same_seed_writes_the_same_text_and_another_seed_another() {
    let (one, two, other) = (compose(3, 30_000, 10_000), compose(3, 30_000, 10_000), compose(4, 30_000, 10_000));
    assert_eq!(one.stories, two.stories);
    assert_eq!(one.talks, two.talks);
    assert_ne!(one.stories, other.stories);
}

#[test]
fn no_slot_stays_unfilled_and_no_mark_of_a_template_is_left() {
    for text in sample().stories {
        assert!(!text.contains(['[', ']', '{', '}', '|', '^', '~', '<', '>']), "{text}");
    }
}

#[test]
fn sentences_begin_with_a_capital_and_end_with_a_mark() {
    for text in sample().stories {
        for paragraph in text.split("\n\n") {
            let first = paragraph.trim_start_matches('"').chars().next();
            assert!(first.is_some_and(char::is_uppercase), "{paragraph}");
            assert!(paragraph.trim_end_matches('"').ends_with(['.', '!', '?']), "{paragraph}");
            let chars: Vec<char> = paragraph.chars().collect();
            for three in chars.windows(3) {
                let small_after_stop = matches!(three[0], '.') && three[1] == ' ' && three[2].is_lowercase();
                assert!(!small_after_stop || paragraph.contains("... "), "{paragraph}");
            }
        }
    }
}

#[test]
fn quotation_marks_come_in_pairs() {
    for text in sample().stories {
        for paragraph in text.split("\n\n") {
            assert_eq!(paragraph.matches('"').count() % 2, 0, "{paragraph}");
        }
    }
}

#[test]
fn no_word_is_doubled_by_mistake() {
    for text in sample().stories {
        let said: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        for pair in said.windows(2) {
            assert!(pair[0] != pair[1] || pair[0].ends_with(','), "'{} {}' in {text}", pair[0], pair[1]);
        }
    }
}

#[test]
fn a_and_an_follow_the_next_word() {
    for text in sample().stories {
        let said: Vec<&str> = text.split_whitespace().collect();
        for pair in said.windows(2) {
            match pair[0].trim_start_matches('"') {
                "a" | "A" => assert!(!takes_an(pair[1]), "{pair:?} in {text}"),
                "an" | "An" => assert!(takes_an(pair[1]), "{pair:?} in {text}"),
                _ => {}
            }
        }
    }
}

#[test]
fn no_story_is_told_twice_and_each_has_the_length_of_a_short_story() {
    let stories = sample().stories;
    let distinct: HashSet<&String> = stories.iter().collect();
    assert_eq!(distinct.len(), stories.len());
    for text in &stories {
        let n = words(text).len();
        assert!((60..=230).contains(&n), "{n} words: {text}");
    }
}

#[test]
fn every_plot_is_told() {
    let mut teller = crate::plots::Teller::new(1);
    let told: HashSet<&str> = (0..PLOTS.len() * 2).map(|_| teller.story(false, 230).plot).collect();
    assert_eq!(told.len(), PLOTS.len());
}

#[test]
fn answers_name_what_the_story_says() {
    let mut teller = crate::plots::Teller::new(2);
    for _ in 0..60 {
        let story = teller.story(true, 200);
        assert!(!story.facts.is_empty(), "{}", story.plot);
        let said: HashSet<String> = words(&story.text).into_iter().collect();
        let names = crate::cast::PEOPLE.iter().filter(|p| !p.name.contains(' '));
        for person in names {
            let asked = story.facts.iter().any(|(q, a)| {
                words(q).contains(&person.name.to_lowercase()) || words(a).contains(&person.name.to_lowercase())
            });
            assert!(
                !asked || said.iter().any(|w| w.trim_end_matches("'s") == person.name.to_lowercase()),
                "{}",
                story.text
            );
        }
    }
}
