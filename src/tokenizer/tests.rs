//! What must hold for the tokenizer as a whole; parts are tested beside their code.

use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const STORY: &str = "Mia wants the red kite. The kite flies over the hill and the hill hides the kite. \
    \"Where is the kite?\" asks Mia. Tom finds the kite in the tree in 1984, and they're happy.\n\n\
    Tom wants the little boat. The boat floats over the lake, and the lake hides the boat.\r\n\tGrün, 日本語, 🦜!\n";

fn learn(text: &str, vocab_size: usize) -> Trained {
    Trained::from_texts(std::iter::once(Ok(text.to_owned())), TrainOptions::new(vocab_size)).unwrap()
}

/// A tokenizer with some merges, trained once for all tests.
pub(super) fn small() -> &'static Tokenizer {
    static SMALL: OnceLock<Tokenizer> = OnceLock::new();
    SMALL.get_or_init(|| learn(&STORY.repeat(3), 330).tokenizer)
}

/// The ids that the `tokenizers` crate gives without siskin's own way through the words.
fn reference_ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.inner.hf.encode_fast(text, false).unwrap().get_ids().to_vec()
}

const NASTY: [&str; 12] = [
    "",
    " ",
    "\0",
    "a\r\nb\rc\n\n\nd",
    "🦜👩‍👩‍👧‍👦🇩🇪",
    "e\u{301}a\u{308}\u{200D}\u{FEFF}",
    "<|endoftext|><|im_start|>user\n<|im_end|>",
    "<|endoftext",
    "\t\t  \u{A0}\u{3000} x  ",
    "1234567 ٣٤٥٦",
    "I'LL they've DON'T ''s",
    "\u{FFFD}\u{10FFFF}",
];

#[test]
fn decoding_gives_back_awkward_texts() {
    for text in NASTY {
        let ids = small().encode(text).unwrap();
        assert_eq!(small().decode(&ids), text.as_bytes(), "{text:?}");
        assert_eq!(ids, reference_ids(small(), text), "{text:?}");
        assert!(!ids.iter().any(|&id| small().is_special(id)), "{text:?}");
    }
}

proptest! {
    #[test]
    fn decoding_gives_back_any_text(text in any::<String>()) {
        let ids = small().encode(&text).unwrap();
        prop_assert_eq!(small().decode(&ids), text.as_bytes());
        prop_assert_eq!(ids, reference_ids(small(), &text));
    }

    #[test]
    fn decoding_gives_back_texts_made_of_awkward_parts(parts in prop::collection::vec(prop::sample::select(&NASTY[1..]), 0..8)) {
        let text = parts.concat();
        let ids = small().encode(&text).unwrap();
        prop_assert_eq!(small().decode(&ids), text.as_bytes());
        prop_assert_eq!(ids, reference_ids(small(), &text));
        let ids = small().encode_with_special(&text).unwrap();
        prop_assert_eq!(small().decode(&ids), text.as_bytes());
    }
}

#[test]
fn special_tokens_come_first_then_the_bytes() {
    let tokenizer = small();
    let names: Vec<&str> = tokenizer.special_tokens().iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names[..4], [END_OF_TEXT, IM_START, IM_END, "<|reserved_0|>"]);
    assert_eq!(tokenizer.special_tokens().iter().map(|&(id, _)| id).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
    assert_eq!((tokenizer.end_of_text(), tokenizer.im_start(), tokenizer.im_end()), (0, Some(1), Some(2)));
    let mut bytes: Vec<&[u8]> = (8..264).map(|id| tokenizer.token_bytes(id)).collect();
    assert_eq!((bytes[0], bytes[255]), (&b"!"[..], &b"\xAD"[..]));
    bytes.sort_unstable();
    assert!(bytes.iter().enumerate().all(|(byte, entry)| entry == &[byte as u8]));
    assert!(tokenizer.token_bytes(264).len() > 1);
    assert_eq!(tokenizer.vocab_size(), 330);
}

#[test]
fn special_tokens_are_read_only_when_asked_for() {
    let text = "a<|im_start|>b<|im_start|><|endoftext|>";
    assert!(small().encode(text).unwrap().iter().all(|&id| !small().is_special(id)));
    let ids = small().encode_with_special(text).unwrap();
    let a_and_b = [small().encode("a").unwrap(), small().encode("b").unwrap()].concat();
    assert_eq!(ids, [a_and_b[0], 1, a_and_b[1], 1, 0]);
}

#[test]
fn an_id_outside_the_vocabulary_has_no_bytes() {
    assert_eq!(small().token_bytes(330), b"");
    assert_eq!(small().token_bytes(u32::MAX), b"");
    assert_eq!(small().decode(&[u32::MAX, 0]), END_OF_TEXT.as_bytes());
}

#[test]
fn training_twice_gives_the_same_bytes() {
    let again = learn(&STORY.repeat(3), 330).tokenizer;
    assert_eq!(again.to_json().unwrap(), small().to_json().unwrap());
    assert_eq!(again.hash(), small().hash());
}

#[test]
fn the_json_reads_back_as_the_same_tokenizer() {
    let json = small().to_json().unwrap();
    let read = Tokenizer::from_json(&json).unwrap();
    assert_eq!(read.to_json().unwrap(), json);
    assert_eq!(read.encode(STORY).unwrap(), small().encode(STORY).unwrap());
    assert!(read.inner.splitter.is_some(), "a tokenizer trained here takes the fast way when it is read back");
}

#[test]
fn a_vocabulary_too_small_for_the_bytes_is_an_error_with_both_numbers() {
    let error = train(std::iter::empty(), TrainOptions::new(263)).unwrap_err().to_string();
    assert!(error.contains("263") && error.contains("264"), "{error}");
    assert!(train(std::iter::empty(), TrainOptions::new(1 << 40)).is_err());
}

#[test]
fn a_text_too_small_for_the_vocabulary_gives_fewer_entries_and_says_so() {
    let trained = learn("a b c", 400);
    assert_eq!((trained.tokenizer.vocab_size(), trained.is_full), (264, false));
    assert!(trained.notices()[0].contains("264 entries"));
    assert!(learn(STORY, 264).notices().is_empty());
    assert_eq!(train(std::iter::empty(), TrainOptions::new(264)).unwrap().vocab_size(), 264);
}

#[test]
fn an_error_among_the_texts_ends_the_training() {
    let texts = [Ok("a".to_owned()), Err(anyhow!("disk gone"))];
    assert_eq!(Trained::from_texts(texts.into_iter(), TrainOptions::new(300)).unwrap_err().to_string(), "disk gone");
}

#[test]
fn a_large_text_is_sampled_evenly() {
    // Lines are numbered, so the sample can be placed.
    let text: String = (0..400_000).map(|line| format!("line {line:06}\n")).collect();
    let options = TrainOptions { vocab_size: 300, max_bytes: 1 << 20 };
    let trained = Trained::from_texts(std::iter::once(Ok(text.clone())), options).unwrap();
    assert_eq!(trained.n_bytes_seen, text.len() as u64);
    assert!((1 << 18..=1 << 20).contains(&trained.n_bytes_used), "{}", trained.n_bytes_used);
    assert!(trained.notices()[0].contains("sample"));
}

#[test]
fn a_text_of_one_repeated_sentence_is_thinned_and_not_dropped() {
    let text = "all work and no play\n".repeat(200_000);
    let options = TrainOptions { vocab_size: 300, max_bytes: 1 << 20 };
    assert!(Trained::from_texts(std::iter::once(Ok(text)), options).unwrap().n_bytes_used > 0);
}

#[test]
fn runs_of_a_megabyte_are_encoded_and_learned_from() {
    let n = 1 << 20;
    for text in [
        "a".repeat(n),
        "^".repeat(n),
        " ".repeat(n),
        "\n".repeat(n),
        "7".repeat(n),
        "日".repeat(n / 3),
        "ab^ 1".repeat(n / 5),
    ] {
        let ids = small().encode(&text).unwrap();
        assert!(small().decode(&ids) == text.as_bytes(), "{:?} does not come back", &text[..9]);
        assert!(learn(&text, 270).tokenizer.vocab_size() > 264);
    }
}

#[test]
fn a_larger_text_has_a_larger_vocabulary() {
    let sizes: Vec<usize> =
        [0, 199_999, 200_000, 1_100_000, 5_000_000, 50_000_000, u64::MAX].into_iter().map(vocab_size_for).collect();
    assert_eq!(sizes, [512, 512, 1024, 2048, 4096, 8192, 16_384]);
}

/// A change to the JSON of the small tokenizer, and a word of the error that it must give.
type Damage = (fn(&mut Value), &'static str);

#[test]
fn a_hostile_file_is_one_clear_error() {
    let cases: [Damage; 11] = [
        (|json| json["model"]["type"] = json!("Unigram"), "Unigram"),
        (|json| json["model"]["vocab"] = json!([]), "model.vocab"),
        (|json| json["model"]["vocab"]["!"] = json!(4_000_000_000u32), "4000000000"),
        (|json| json["model"]["vocab"]["!"] = json!(-1), "-1"),
        (|json| json["added_tokens"][0]["id"] = json!(4_294_967_295u32), "4294967295"),
        (|json| drop(json["model"]["vocab"].as_object_mut().map(|vocab| vocab.remove("!"))), "0x21"),
        (|json| json["model"]["merges"][0] = json!([END_OF_TEXT, END_OF_TEXT]), "no entry"),
        (|json| json["model"]["merges"] = json!(7), "model.merges"),
        (|json| json["model"]["dropout"] = json!(0.1), "dropout"),
        (|json| json["pre_tokenizer"] = Value::Null, "ByteLevel"),
        (|json| json["added_tokens"] = json!([]), "ends a text"),
    ];
    let good: Value = serde_json::from_slice(&small().to_json().unwrap()).unwrap();
    for (damage, word) in cases {
        let mut json = good.clone();
        damage(&mut json);
        let error = Tokenizer::from_json(json.to_string().as_bytes()).unwrap_err();
        assert!(format!("{error:#}").contains(word), "{error:#} does not name {word}");
    }
    assert!(Tokenizer::from_json(b"").is_err());
    assert!(Tokenizer::from_json("[".repeat(100_000).as_bytes()).is_err());
}

#[test]
fn a_file_that_asks_to_cut_texts_is_read_without_that() {
    let mut json: Value = serde_json::from_slice(&small().to_json().unwrap()).unwrap();
    json["truncation"] = json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
    let tokenizer = Tokenizer::from_json(json.to_string().as_bytes()).unwrap();
    assert_eq!(tokenizer.encode(STORY).unwrap(), small().encode(STORY).unwrap());
}

#[test]
fn a_tokenizer_that_splits_as_gpt2_did_is_read_too() {
    let mut json: Value = serde_json::from_slice(&small().to_json().unwrap()).unwrap();
    json["pre_tokenizer"] =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let tokenizer = Tokenizer::from_json(json.to_string().as_bytes()).unwrap();
    assert!(tokenizer.inner.splitter.is_none());
    let text = STORY.repeat(600);
    assert_eq!(tokenizer.decode(&tokenizer.encode(&text).unwrap()), text.as_bytes());
}
