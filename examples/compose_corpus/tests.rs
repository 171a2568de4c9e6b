//! What a reader of the text can rely on.

use std::collections::{HashMap, HashSet};

use crate::facts::plain;
use crate::grammar::takes_an;
use crate::plots::{PLOTS, Story, Teller};
use crate::variety::{runs, words};
use crate::{Corpus, STORY_WORDS, compose, talk};

fn sample() -> Corpus {
    compose(11, 160_000, 250_000)
}

/// Stories as talks tell them.
fn short_stories(seed: u64, n: usize) -> Vec<Story> {
    let mut teller = Teller::new(seed);
    (0..n).map(|_| crate::story_talk::story(&mut teller)).collect()
}

#[test]
fn the_same_seed_writes_the_same_text_and_another_seed_another() {
    let (one, two, other) = (compose(3, 30_000, 10_000), compose(3, 30_000, 10_000), compose(4, 30_000, 10_000));
    let lines = |c: &Corpus| c.talks.iter().map(talk::to_json).collect::<Vec<_>>();
    assert_eq!(one.stories, two.stories);
    assert_eq!(lines(&one), lines(&two));
    assert_eq!(one.questions.len(), two.questions.len());
    assert_ne!(one.stories, other.stories);
    assert_ne!(lines(&one), lines(&other));
}

#[test]
fn no_slot_stays_unfilled_and_no_mark_of_a_template_is_left() {
    let corpus = sample();
    let said = corpus.talks.iter().flatten().flat_map(|e| [&e.user, &e.answer]);
    for text in corpus.stories.iter().chain(said) {
        assert!(!text.contains(['[', ']', '{', '}', '|', '^', '~', '<', '>', ';']), "{text}");
        assert!(!text.contains("?unfilled"), "{text}");
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
    let corpus = sample();
    for text in corpus.stories.iter().chain(corpus.talks.iter().flatten().map(|e| &e.answer)) {
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
        assert!((60..=STORY_WORDS).contains(&n), "{n} words: {text}");
    }
}

#[test]
fn every_plot_is_told() {
    let mut teller = Teller::new(1);
    let told: HashSet<&str> = (0..PLOTS.len() * 2).map(|_| teller.story(false, STORY_WORDS).plot).collect();
    assert_eq!(told.len(), PLOTS.len());
}

#[test]
fn the_answer_to_a_question_about_a_story_is_in_its_text() {
    for story in short_stories(2, 200) {
        let told = format!(" {} ", plain(&story.text));
        for fact in &story.facts {
            let right = &fact.accept[0];
            let yes_or_no = right == "yes" || right == "no";
            assert!(yes_or_no || told.contains(&format!(" {right} ")), "{} {right} in {}", fact.question, story.text);
            assert!(format!(" {} ", plain(&fact.answer)).contains(&format!(" {right} ")), "{}", fact.answer);
        }
    }
}

#[test]
fn a_story_answers_many_questions_of_many_kinds() {
    let stories = short_stories(3, 200);
    let questions: Vec<&str> = stories.iter().flat_map(|s| &s.facts).map(|f| f.question.as_str()).collect();
    assert!(questions.len() >= 6 * stories.len(), "{}", questions.len());
    for word in ["Who", "What", "Where", "When", "Why", "What colour", "How many", "How", "Was"] {
        let n = questions.iter().filter(|q| q.starts_with(&format!("{word} "))).count();
        assert!(n >= 5, "{word}: {n}");
    }
}

#[test]
fn the_same_question_has_many_answers_so_that_it_must_be_looked_up() {
    let mut answers: HashMap<&str, HashSet<&str>> = HashMap::new();
    let stories = short_stories(4, 300);
    for fact in stories.iter().flat_map(|s| &s.facts) {
        answers.entry(fact.question.as_str()).or_default().insert(&fact.accept[0]);
    }
    let looked_up = ["What day was it?", "Who brought the letter?", "What time of year was it?", "Who was hungry?"];
    for question in looked_up {
        let n = answers.get(question).map_or(0, HashSet::len);
        assert!(n >= 3, "{question} {n}");
    }
    assert!(crate::variety::rote(&sample().talks).guessed_share() < 0.3);
}

#[test]
fn a_story_has_what_it_was_asked_to_be_about() {
    for story in short_stories(5, 150) {
        let told = plain(&story.text);
        let names: HashSet<&str> = story.people.iter().map(|p| p.first_name()).collect();
        for theme in &story.themes {
            for name in names.iter().filter(|name| theme.contains(**name)) {
                assert!(told.contains(&name.to_lowercase()), "{theme}: {}", story.text);
            }
        }
    }
}

#[test]
fn user_and_teller_take_turns_and_answers_are_whole_sentences() {
    for exchange in sample().talks.iter().flatten() {
        let said = &exchange.answer;
        assert!(!exchange.user.is_empty(), "{said}");
        assert!(!said.starts_with(char::is_lowercase), "{said}");
        assert!(said.ends_with(['.', '!', '?', '"']), "{said}");
        assert!(!said.replace("...", "").contains(".."), "{said}");
    }
}

#[test]
fn a_talk_fits_into_a_context_of_512_tokens() {
    for talk in sample().talks {
        let n = talk::n_words(&talk);
        assert!(n <= crate::TALK_WORDS, "{n} words: {talk:?}");
    }
}

#[test]
fn an_answer_is_short() {
    for exchange in sample().talks.iter().flatten().filter(|e| e.of_story.is_some()) {
        assert!(words(&exchange.answer).len() <= 22, "{}", exchange.answer);
    }
}

#[test]
fn every_question_of_the_evaluation_is_answered_by_what_is_right() {
    for question in sample().questions {
        let fact = &question.fact;
        assert!(fact.accept.iter().all(|way| *way == plain(way) && !way.is_empty()), "{:?}", fact.accept);
        let first = fact.answer.split_inclusive(['.', '!', '?']).next().unwrap_or_default();
        let said = format!(" {} ", plain(first));
        assert!(fact.accept.iter().any(|way| said.contains(&format!(" {way} "))), "{} {:?}", fact.answer, fact.accept);
    }
}

#[test]
fn stories_of_the_evaluation_share_no_run_of_twelve_words_with_the_corpora() {
    let corpus = sample();
    let talks = corpus.talks.iter().flatten().flat_map(|e| [&e.user, &e.answer]);
    let told: HashSet<u64> = corpus.stories.iter().chain(talks).flat_map(|text| runs(&words(text))).collect();
    for question in corpus.questions.iter().filter(|q| q.kind == "story") {
        let story = question.before.first().map_or(&question.fact.question, |e| &e.answer);
        assert!(runs(&words(story)).iter().all(|run| !told.contains(run)), "{story}");
    }
}

#[test]
fn no_question_of_the_evaluation_is_asked_in_the_same_words_in_the_talks() {
    let corpus = sample();
    let asked: HashSet<String> = corpus.talks.iter().flatten().map(|e| plain(&e.user)).collect();
    for question in corpus.questions.iter().filter(|q| q.kind != "story") {
        assert!(!asked.contains(&plain(&question.fact.question)), "{}", question.fact.question);
    }
}

#[test]
fn what_the_evaluation_asks_is_taught_in_other_words() {
    let mut rng = crate::rng::Rng::new(6);
    let mut taught = HashSet::new();
    for _ in 0..60_000 {
        for subject in [crate::animals::animals, crate::world::world, crate::week::week] {
            taught.insert(crate::lesson::taught(&mut rng, subject).about);
        }
    }
    for question in sample().questions.iter().filter(|q| ["fact", "days"].contains(&q.kind)) {
        // Which of two animals is bigger follows from other pairs.
        let compared = question.about.starts_with("bigger") || question.about.starts_with("smaller");
        assert!(compared || taught.contains(&question.about), "{}", question.about);
    }
}
