//! Grammars with a vocabulary: what may be written, by the worst of models, and how it ends.

use super::*;
use crate::generation::mock::tokenizer;
use crate::kernels::random::Random;

/// What a model writes that draws evenly from what is allowed, cut off after `n` tokens and closed.
fn write(grammar: &Grammar, tokenizer: &Tokenizer, seed: u64, n: usize) -> String {
    let (mut random, mut constraint) = (Random::new(seed, 0), grammar.begin());
    let mut ids = Vec::new();
    while ids.len() < n && !constraint.is_over() {
        constraint.look().unwrap();
        let allowed: Vec<u32> = (0..tokenizer.vocab_size() as u32).filter(|&id| constraint.allows(id)).collect();
        assert!(!allowed.is_empty(), "nothing is allowed after {:?}", text(tokenizer, &ids));
        let id = allowed[random.below(allowed.len() as u64) as usize];
        if id == tokenizer.end_of_text() {
            assert!(constraint.is_whole());
            return text(tokenizer, &ids);
        }
        constraint.accept(id).unwrap();
        ids.push(id);
    }
    ids.extend(constraint.close().unwrap());
    text(tokenizer, &ids)
}

fn text(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    String::from_utf8(tokenizer.decode(ids)).expect("a grammar describes text")
}

fn grammar(source: GrammarSource) -> Grammar {
    let tokenizer = tokenizer();
    Grammar::new(&source, &tokenizer, &[tokenizer.end_of_text()]).unwrap()
}

#[test]
fn json_by_a_schema_always_parses_wherever_it_is_cut_off() {
    let schema = r##"{
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 3},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "tags": {"type": "array", "items": {"enum": ["red", "green"]}, "minItems": 1},
            "inner": {"$ref": "#/$defs/point"}
        },
        "required": ["name", "age", "tags", "inner"],
        "additionalProperties": false,
        "$defs": {"point": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}}
    }"##;
    let (grammar, tokenizer) = (grammar(GrammarSource::JsonSchema(schema.to_string())), tokenizer());
    for seed in 0..12 {
        for n in [0, 1, 2, 3, 5, 8, 13, 40] {
            let text = write(&grammar, &tokenizer, seed, n);
            let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert!(value["name"].as_str().unwrap().chars().count() >= 3, "{text}");
            assert!(value["age"].as_u64().unwrap() <= 120, "{text}");
            let tags = value["tags"].as_array().unwrap();
            assert!(!tags.is_empty() && tags.iter().all(|tag| tag == "red" || tag == "green"), "{text}");
            assert!(value["inner"]["x"].is_number(), "{text}");
        }
    }
}

#[test]
fn any_json_value_can_be_closed() {
    let (grammar, tokenizer) = (grammar(GrammarSource::JsonSchema("{}".to_string())), tokenizer());
    for seed in 0..20 {
        for n in [1, 4, 9, 30] {
            let text = write(&grammar, &tokenizer, seed, n);
            // A number may be too large for a program's own, which is no fault of the text.
            let parsed = serde_json::from_str::<Value>(&text)
                .map(|_| ())
                .or_else(|error| if error.to_string().contains("number out of range") { Ok(()) } else { Err(error) });
            parsed.unwrap_or_else(|error| panic!("{error}: {text}"));
        }
    }
}

#[test]
fn lark_describes_the_text_from_start_on() {
    let lark = "start: greeting \", \" NAME \"!\"\ngreeting: \"Hello\" | \"Good day\"\nNAME: /[A-Z][a-z]{2,8}/\n";
    let (grammar, tokenizer) = (grammar(GrammarSource::of_text(lark.to_string())), tokenizer());
    for seed in 0..20 {
        let text = write(&grammar, &tokenizer, seed, 1 + seed as usize);
        let name = text.strip_prefix("Hello, ").or(text.strip_prefix("Good day, ")).unwrap_or_else(|| panic!("{text}"));
        let name = name.strip_suffix('!').unwrap_or_else(|| panic!("{text}"));
        assert!((3..=9).contains(&name.len()) && name.is_ascii(), "{text}");
    }
}

#[test]
fn gbnf_describes_characters_and_not_words() {
    let (tokenizer, source) = (tokenizer(), |text: &str| GrammarSource::of_text(text.to_string()));
    // Read word by word, "abd" could not be written.
    let ambiguous = grammar(source("root ::= \"a\" \"bd\" | \"ab\" \"c\"\n"));
    let mut found: Vec<String> = (0..40).map(|seed| write(&ambiguous, &tokenizer, seed, 9)).collect();
    found.sort();
    found.dedup();
    assert_eq!(found, ["abc", "abd"]);
    let sum = grammar(source("root ::= term (\" + \" term)*\nterm ::= [0-9]{1,3} | \"(\" root \")\" | [éü]\n"));
    for seed in 0..30 {
        let text = write(&sum, &tokenizer, seed, seed as usize);
        assert_eq!(text.matches('(').count(), text.matches(')').count(), "{text}");
        assert!(text.split([' ', '+', '(', ')']).all(|term| term.chars().count() <= 3), "{text}");
        assert!(!text.is_empty() && !text.ends_with(['+', ' ']), "{text}");
    }
}

#[test]
fn what_cannot_end_is_an_error_and_not_an_endless_search() {
    let grammar = grammar(GrammarSource::of_text("root ::= \"a\" root\n".to_string()));
    let error = grammar.begin().close().unwrap_err().to_string();
    assert!(error.contains("no way to end it"), "{error}");
}

#[test]
fn a_wrong_grammar_is_refused_with_its_reason() {
    let tokenizer = tokenizer();
    for (source, words) in [
        (GrammarSource::Lark("start: nowhere".to_string()), "nowhere"),
        (GrammarSource::Lark("start: \"a".to_string()), "1("),
        (GrammarSource::JsonSchema("{\"type\": ".to_string()), "the schema is not JSON"),
        (GrammarSource::JsonSchema("{\"type\": \"nonsense\"}".to_string()), "nonsense"),
        (GrammarSource::Gbnf("root ::= nowhere".to_string()), "nowhere"),
    ] {
        let error = Grammar::new(&source, &tokenizer, &[]).err().map(|error| format!("{error:#}")).unwrap_or_default();
        assert!(error.contains(words), "{source:?}: {error}");
    }
}
