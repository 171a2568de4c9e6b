//! Shares and runs worked out by hand, on corpora small enough to read.

use super::*;
use crate::tokenizer::{TrainOptions, train};

/// Words `first` to `last` of an endless text in which no word comes twice.
fn words(range: Range<usize>) -> String {
    range.map(|i| format!("w{i}")).collect::<Vec<_>>().join(" ")
}

fn find(texts: &[&str], corpus: &[&str]) -> Vec<Found> {
    let texts: Vec<Vec<&str>> = texts.iter().map(|text| text.split("<|endoftext|>").collect()).collect();
    let mut search = Search::new(&texts);
    for document in corpus {
        search.piece(document.as_bytes());
        search.end_document();
    }
    search.finish()
}

fn found(n_words: u64, n_copied: u64, longest: Range<usize>) -> Found {
    Found { n_words, n_copied, n_longest: longest.len() as u64, longest: words(longest) }
}

#[test]
fn only_runs_of_eight_words_or_more_count_and_the_longest_is_told_in_any_case() {
    let corpus = words(0..100);
    for (text, expected) in [
        (words(10..18), found(8, 8, 10..18)),
        (words(10..17), found(7, 0, 10..17)),
        (format!("new {} other {} end", words(10..20), words(50..57)), found(20, 10, 10..20)),
        (format!("{} {}", words(30..40), words(20..35)), found(25, 25, 20..35)),
        ("nothing of it".to_owned(), found(3, 0, 0..0)),
        (String::new(), found(0, 0, 0..0)),
        ("w3".to_owned(), found(1, 0, 3..4)),
    ] {
        assert_eq!(find(&[&text], &[&corpus]), [expected], "{text:?}");
    }
}

#[test]
fn runs_that_overlap_in_the_text_count_each_word_once() {
    // Words 10 to 19 stand in one document, 14 to 25 in another: the text has both in one stretch of 16.
    let corpus = [words(0..20), words(14..26)];
    let text = words(10..26);
    assert_eq!(find(&[&text], &[&corpus[0], &corpus[1]]), [found(16, 16, 14..26)]);
}

#[test]
fn a_run_ends_where_a_document_ends_on_either_side() {
    let halves = [words(0..5), words(5..10)];
    assert_eq!(find(&[&words(0..10)], &[&halves[0], &halves[1]]), [found(10, 0, 0..5)]);
    let parted = format!("{}<|endoftext|>{}", halves[0], halves[1]);
    assert_eq!(find(&[&parted], &[&words(0..10)]), [found(10, 0, 0..5)]);
    // Nor does it reach from one text into the next.
    assert_eq!(find(&[&halves[0], &halves[1]], &[&words(0..10)]), [found(5, 0, 0..5), found(5, 0, 5..10)]);
}

#[test]
fn blanks_do_not_matter_and_punctuation_does() {
    let text = "one two three four five six seven eight";
    let spread = "One one\n two\tthree  four\r\nfive six seven\n\n eight nine";
    assert_eq!(find(&[text], &[spread])[0].n_copied, 8);
    assert_eq!(find(&[text], &[&spread.replace("seven", "seven,")])[0].n_copied, 0);
}

#[test]
fn pieces_may_be_cut_anywhere() {
    let corpus = format!("ähm {} schön{}", words(0..30), "x".repeat(300));
    let text = vec![vec![format!("{} schön und", words(5..30))]];
    for n_bytes in 1..corpus.len() {
        let mut search = Search::new(&text);
        corpus.as_bytes().chunks(n_bytes).for_each(|piece| search.piece(piece));
        let found = search.finish().remove(0);
        // The last word of the corpus only begins like the one of the text.
        assert_eq!((found.n_words, found.n_copied, found.n_longest), (27, 25, 25), "pieces of {n_bytes} bytes");
    }
}

#[test]
fn a_text_that_repeats_itself_is_measured_in_time_that_stays_short() {
    // 3,000 equal words in text and corpus: every stretch of one is a stretch of the other.
    let text = "la ".repeat(3_000);
    let found = find(&[&text], &[&"la ".repeat(200_000)]).remove(0);
    assert_eq!((found.n_words, found.n_copied, found.n_longest), (3_000, 3_000, 3_000));
}

#[test]
fn tokens_are_measured_across_the_borders_of_chunks_and_beside_held_out_text() {
    let corpus: Vec<String> = (0..9).map(|i| words(i * 4_000..(i + 1) * 4_000)).collect();
    let tokenizer = train(corpus.iter().cloned(), TrainOptions::new(400)).unwrap();
    let end = tokenizer.end_of_text();
    let ids = |text: &str| tokenizer.encode(text).unwrap();
    let stream = |documents: &[String]| documents.iter().flat_map(|d| [vec![end], ids(d)].concat()).collect::<Vec<_>>();
    let train = stream(&corpus);
    assert!(train.len() > CHUNK, "{} tokens", train.len());
    // The run that lies across the border of the first two chunks, and 5 words of a document before the end of another.
    let around = tokenizer.decode(&train[CHUNK - 60..CHUNK + 60]);
    let around = String::from_utf8(around).unwrap();
    let run: Vec<&str> = around.split(' ').skip(1).take(12).collect();
    let text = format!("{} {} ", run.join(" "), words(0..5));
    let texts = [ids(&text), [ids("a short one"), vec![end], ids(&words(7..12))].concat()];
    let valid = stream(&[words(0..300), (0..300).map(|i| format!("v{i} ")).collect()]);
    let measured = measure(&train, &valid, &tokenizer, &texts);
    assert_eq!((measured.n_texts, measured.n_tokens), (2, texts.iter().map(|ids| ids.len() as u64).sum()));
    // The last word of the second text may be half of one, so it does not count.
    assert_eq!((measured.n_words, measured.n_copied_words), (12 + 5 + 3 + 4, 12));
    assert_eq!((measured.longest_run_words, measured.longest_run), (12, run.join(" ")));
    let share = measured.n_held_out_copied_words as f64 / measured.n_held_out_words as f64;
    assert!(measured.n_held_out_words > 300 && (0.4..0.6).contains(&share), "{share} of {}", measured.n_held_out_words);
}

#[test]
fn the_words_for_a_person_neither_hide_a_little_nor_boast_of_all() {
    for (n, n_all, words) in [
        (0, 500, "0 %"),
        (1, 500, "less than 1 %"),
        (5, 500, "1 %"),
        (60, 500, "12 %"),
        (499, 500, "more than 99 %"),
        (500, 500, "100 %"),
        (7, 0, "0 %"),
        (9, 3, "100 %"),
    ] {
        assert_eq!(share(n, n_all), words, "{n} of {n_all}");
    }
    let none = Verbatim::default();
    assert!(share_in_words(&none).contains("no whole word") && longest_in_words(&none).is_none());
    let long = Verbatim { longest_run: words(0..100), longest_run_words: 100, ..none };
    assert_eq!(longest_run(&long), format!("{} …", words(0..60)));
}

#[test]
fn nothing_to_measure_is_nothing_found() {
    let tokenizer = train(["a b c".to_owned()].into_iter(), TrainOptions::new(300)).unwrap();
    let measured = measure(&vec![], &vec![], &tokenizer, &[]);
    assert_eq!((measured.n_words, measured.n_copied_words, measured.n_held_out_words), (0, 0, 0));
    assert_eq!((measured.longest_run_words, measured.longest_run.as_str()), (0, ""));
}
