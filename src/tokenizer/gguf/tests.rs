//! Vocabularies made here and, where `../shared/data/tokenizers` stands, those of llama.cpp with its test vectors.

use super::super::tests::small;
use super::super::to_gguf::InGguf;
use super::*;
use crate::formats::gguf::{Gguf, Writer};
use crate::kernels::random::Random;
use std::path::Path;

/// A file of metadata alone.
fn file(set: impl FnOnce(&mut Writer) -> Result<()>) -> Vec<u8> {
    let mut writer = Writer::new();
    set(&mut writer).unwrap();
    writer.start(Vec::new()).unwrap().finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<FromGguf> {
    FromGguf::read(Gguf::parse(bytes)?.metadata())
}

fn error(bytes: &[u8]) -> String {
    format!("{:#}", read(bytes).unwrap_err())
}

const TEXTS: [&str; 8] = [
    "",
    " ",
    "Mia wants the red kite, and they're happy in 1984.",
    "  two  spaces\n\nand\tlines\r\n",
    "Grün, 日本語, 🦜!",
    "<|endoftext|> is plain text here",
    "e\u{301}a\u{308}\u{200D}",
    "x",
];

#[test]
fn our_tokenizer_comes_back_from_a_file_with_the_same_ids() {
    let tokenizer = small();
    let with = InGguf { n_rows: 340, begin_of_text: Some(0), chat_template: Some("{{ messages }}") };
    let bytes = file(|writer| tokenizer.to_gguf(writer, with));
    let found = read(&bytes).unwrap();
    for text in TEXTS {
        assert_eq!(found.tokenizer.encode(text).unwrap(), tokenizer.encode(text).unwrap(), "{text:?}");
    }
    assert_eq!(found.tokenizer.special_tokens(), tokenizer.special_tokens());
    assert_eq!((found.tokenizer.end_of_text(), found.tokenizer.begin_of_text()), (0, Some(0)));
    assert_eq!((found.end_ids, found.chat_template.as_deref()), (vec![0, 2], Some("{{ messages }}")));
    let gguf = Gguf::parse(&bytes).unwrap();
    let tokens: Vec<&str> = gguf.metadata().want("tokenizer.ggml.tokens").unwrap();
    let types: Vec<i32> = gguf.metadata().want("tokenizer.ggml.token_type").unwrap();
    assert_eq!((tokens.len(), tokens[339], types[339], types[0], types[300]), (340, "[PAD339]", 5, 3, 1));
    assert_eq!(gguf.metadata().want::<&str>("tokenizer.ggml.pre").unwrap(), "llama-bpe");
}

/// A SentencePiece vocabulary with an entry for every byte and a few pieces of text.
fn pieces() -> Vec<(String, f32)> {
    let bytes = (0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), 0.0));
    let text = [
        "▁the",
        "▁t",
        "he",
        "▁",
        "t",
        "h",
        "e",
        "▁▁",
        "▁▁▁▁",
        "cat",
        "ca",
        "c",
        "a",
        "▁cat",
        "</",
        "s>",
        "<",
        "s",
        "/",
        ">",
    ];
    let scores = (0..).map(|rank| -(rank as f32));
    let named = ["<unk>", "<s>", "</s>"].map(|name| (name.to_owned(), 0.0));
    named.into_iter().chain(bytes).chain(text.map(str::to_owned).into_iter().zip(scores)).collect()
}

fn set_pieces(writer: &mut Writer, pieces: &[(String, f32)]) -> Result<()> {
    let (texts, scores): (Vec<&str>, Vec<f32>) = pieces.iter().map(|(text, score)| (text.as_str(), *score)).unzip();
    let types: Vec<i32> =
        (0..pieces.len()).map(|id| [2, 3, 3].get(id).copied().unwrap_or(if id < 259 { 6 } else { 1 })).collect();
    writer.set("tokenizer.ggml.model", "llama")?;
    writer.set("tokenizer.ggml.tokens", &texts)?;
    writer.set("tokenizer.ggml.scores", &scores)?;
    writer.set("tokenizer.ggml.token_type", &types)
}

fn names(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
    let name = |id| String::from_utf8_lossy(tokenizer.token_bytes(id)).into_owned();
    tokenizer.encode(text).unwrap().into_iter().map(name).collect()
}

#[test]
fn sentence_piece_merges_the_highest_score_first_and_spells_in_bytes() {
    let found = read(&file(|writer| set_pieces(writer, &pieces()))).unwrap();
    let tokenizer = &found.tokenizer;
    assert_eq!(names(tokenizer, "the cat"), [" the", " cat"]);
    assert_eq!(names(tokenizer, "the    cat"), [" the", "    ", "cat"]);
    assert_eq!(tokenizer.encode("the é").unwrap(), [259, 262, 3 + 0xC3, 3 + 0xA9]);
    assert_eq!(tokenizer.decode(&tokenizer.encode("the é\n").unwrap()), " the é\n".as_bytes());
    assert!(tokenizer.encode("").unwrap().is_empty());
    // A mark is never made of text, though its halves are entries.
    assert_eq!(names(tokenizer, "</s>").concat(), " </s>");
    assert!(!tokenizer.encode("</s>").unwrap().contains(&2));
    assert_eq!((tokenizer.begin_of_text(), tokenizer.end_of_text(), found.end_ids), (Some(1), 2, vec![2]));
}

#[test]
fn a_text_gets_no_space_where_the_file_says_so() {
    let found = read(&file(|writer| {
        writer.set("tokenizer.ggml.add_space_prefix", &false)?;
        set_pieces(writer, &pieces())
    }));
    assert_eq!(names(&found.unwrap().tokenizer, "the cat"), ["t", "he", " cat"]);
}

#[test]
fn a_sentence_piece_vocabulary_survives_json_and_a_second_file() {
    let first = read(&file(|writer| set_pieces(writer, &pieces()))).unwrap().tokenizer;
    let from_json = Tokenizer::from_json(&first.to_json().unwrap()).unwrap();
    assert_eq!((from_json.begin_of_text(), from_json.end_of_text()), (Some(1), 2));
    let with = InGguf { n_rows: first.vocab_size(), ..InGguf::default() };
    let second = read(&file(|writer| from_json.to_gguf(writer, with))).unwrap().tokenizer;
    for text in TEXTS.into_iter().chain(["the cat", "cat  the", "thecat    the"]) {
        let ids = first.encode(text).unwrap();
        assert_eq!(from_json.encode(text).unwrap(), ids, "{text:?}");
        assert_eq!(second.encode(text).unwrap(), ids, "{text:?}");
    }
}

#[test]
fn the_end_of_a_turn_stays_what_the_file_says_beside_the_end_of_a_text() {
    let set = |writer: &mut Writer, bos: u32, eos: u32| -> Result<()> {
        writer.set("tokenizer.ggml.bos_token_id", &bos)?;
        writer.set("tokenizer.ggml.eos_token_id", &eos)
    };
    let ours = file(|writer| small().to_gguf(writer, InGguf { n_rows: 330, ..InGguf::default() }));
    let gguf = Gguf::parse(&ours).unwrap();
    let chat = file(|writer| {
        let kept =
            gguf.metadata().iter().filter(|(key, _)| !key.ends_with("os_token_id") && !key.ends_with("eot_token_id"));
        kept.into_iter().try_for_each(|(key, value)| writer.set_value(key, &value))?;
        set(writer, 1, 2)
    });
    let tokenizer = read(&chat).unwrap().tokenizer;
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.end_of_text(), tokenizer.begin_of_text()), (1, 2, 0, None));
    let again = file(|writer| tokenizer.to_gguf(writer, InGguf { n_rows: 330, ..InGguf::default() }));
    let again = read(&again).unwrap().tokenizer;
    assert_eq!((again.bos(), again.eos(), again.end_of_text()), (1, 2, 0));
}

#[test]
fn each_contradiction_is_one_clear_error() {
    let ours = InGguf { n_rows: 330, ..InGguf::default() };
    let with = |key: &'static str, change: &dyn Fn(&mut Writer) -> Result<()>| {
        let whole = file(|writer| small().to_gguf(writer, ours));
        let gguf = Gguf::parse(&whole).unwrap();
        file(|writer| {
            gguf.metadata()
                .iter()
                .filter(|(other, _)| *other != key)
                .try_for_each(|(key, value)| writer.set_value(key, &value))?;
            change(writer)
        })
    };
    let mut long = pieces();
    long[270].0 = "x".repeat(2000);
    let mut not_a_number = pieces();
    not_a_number[270].1 = f32::NAN;
    let cases: [(Vec<u8>, &str); 12] = [
        (file(|_| Ok(())), "the file has no tokenizer inside"),
        (
            with("tokenizer.ggml.model", &|w| w.set("tokenizer.ggml.model", "bert")),
            "kind \"bert\", but the known kinds",
        ),
        (with("tokenizer.ggml.pre", &|w| w.set("tokenizer.ggml.pre", "odd")), "the way \"odd\", but the known ways"),
        (with("tokenizer.ggml.tokens", &|w| w.set("tokenizer.ggml.tokens", &["a"][..])), "1 entries, but 330 types"),
        (with("tokenizer.ggml.tokens", &|_| Ok(())), "no metadata key \"tokenizer.ggml.tokens\""),
        (with("tokenizer.ggml.token_type", &|w| w.set("tokenizer.ggml.token_type", &[9i32; 330][..])), "type 9"),
        (
            with("tokenizer.ggml.merges", &|w| w.set("tokenizer.ggml.merges", &["ab"][..])),
            "merge 0 (\"ab\") has no space",
        ),
        (with("tokenizer.ggml.merges", &|w| w.set("tokenizer.ggml.merges", &["Ġ Ġ"][..])), "\"ĠĠ\", which is no entry"),
        (with("tokenizer.ggml.eos_token_id", &|w| w.set("tokenizer.ggml.eos_token_id", &330u32)), "the id 330"),
        (file(|w| set_pieces(w, &long)), "entry 270 has 2000 bytes, above the limit of 1024"),
        (file(|w| set_pieces(w, &not_a_number)), "the score of entry 270 is not a number"),
        (file(|w| set_pieces(w, &[])), "the vocabulary is empty"),
    ];
    for (bytes, words) in cases {
        let message = error(&bytes);
        assert!(message.contains(words), "{message:?} lacks {words:?}");
    }
}

#[test]
fn no_mutation_of_a_vocabulary_panics() {
    let ours = file(|writer| small().to_gguf(writer, InGguf { n_rows: 330, ..InGguf::default() }));
    let theirs = file(|writer| set_pieces(writer, &pieces()));
    let mut random = Random::new(21, 0);
    let mut n_read = 0;
    for case in 0..3000 {
        let mut bytes = if case % 2 == 0 { ours.clone() } else { theirs.clone() };
        for _ in 0..1 + random.below(4) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.next_u64() as u8;
        }
        let Ok(found) = read(&bytes) else { continue };
        n_read += 1;
        for text in TEXTS {
            let ids = found.tokenizer.encode(text).unwrap();
            assert!(ids.iter().all(|&id| (id as usize) < found.tokenizer.vocab_size()), "case {case}");
        }
    }
    assert!(n_read > 100, "{n_read} of 3000 were read");
}

/// llama.cpp's vectors: texts between marks in one file, a line of ids for each in another.
#[test]
fn the_vocabularies_of_other_models_give_the_ids_of_their_vectors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/tokenizers");
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    for name in ["gpt-2", "falcon", "llama-spm", "phi-3"] {
        let path = folder.join(format!("ggml-vocab-{name}.gguf"));
        let tokenizer = read(&std::fs::read(&path).unwrap()).unwrap().tokenizer;
        let side = |end: &str| std::fs::read_to_string(format!("{}.{end}", path.display())).unwrap();
        let (texts, ids) = (side("inp"), side("out"));
        let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
        let ids: Vec<Vec<u32>> =
            ids.lines().map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect()).collect();
        assert!(ids.len() >= 40 && texts.len() >= ids.len(), "{name}: {} texts, {} lines", texts.len(), ids.len());
        for (text, ids) in texts.iter().zip(&ids) {
            assert_eq!(&tokenizer.encode(text).unwrap(), ids, "{name}: {text:?}");
            let back = tokenizer.decode(ids);
            let back =
                back.strip_prefix(if tokenizer.inner.is_sentence_piece { &b" "[..] } else { b"" }).unwrap_or(&back);
            assert_eq!(String::from_utf8_lossy(back), *text, "{name}");
        }
    }
}

#[test]
fn the_hubs_gpt2_and_the_one_inside_a_gguf_are_one() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/tokenizers");
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    let hub = Tokenizer::load(&folder.join("gpt2.json")).unwrap();
    let bytes = file(|writer| hub.to_gguf(writer, InGguf { n_rows: hub.vocab_size(), ..InGguf::default() }));
    let (written, theirs) =
        (Gguf::parse(&bytes).unwrap(), std::fs::read(folder.join("ggml-vocab-gpt-2.gguf")).unwrap());
    let theirs = Gguf::parse(&theirs).unwrap();
    for key in ["model", "pre", "bos_token_id", "eos_token_id"] {
        let key = format!("tokenizer.ggml.{key}");
        assert_eq!(written.metadata().get(&key), theirs.metadata().get(&key), "{key}");
    }
    for key in ["tokens", "merges"] {
        let key = format!("tokenizer.ggml.{key}");
        let list = |gguf: &Gguf| gguf.metadata().want::<Vec<&str>>(&key).map(|list| list.join("\n")).unwrap();
        assert!(list(&written) == list(&theirs), "{key} differ");
    }
    let types = |gguf: &Gguf| gguf.metadata().want::<Vec<i32>>("tokenizer.ggml.token_type").unwrap();
    assert!(types(&written) == types(&theirs), "types differ");
    let inside = FromGguf::read(theirs.metadata()).unwrap().tokenizer;
    for text in TEXTS {
        assert_eq!(inside.encode(text).unwrap(), hub.encode(text).unwrap(), "{text:?}");
    }
}
