//! The ways of cutting text before merging that GGUF files name (`tokenizer.ggml.pre`), because llama.cpp carries its
//! patterns in code: from a name to the steps of a `tokenizer.json`, and from such steps to the name.
//!
//! The patterns are those of the models' own `tokenizer.json`; llama.cpp lists the names in `src/llama-vocab.cpp`. A name
//! that stands for several models means one pattern. Where a `tokenizer.json` also normalizes (NFC in Qwen2), llama.cpp
//! does not, and nor does what is read from a GGUF here: a text then comes back as it went in.

use anyhow::{Result, anyhow, bail};
use serde_json::Value;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};

use super::SPLIT_PATTERN;

/// GPT-2's own pattern (`encoder.py`), which the ByteLevel step brings along.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

const DIGIT: &str = r"\p{N}";

const QWEN2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
);

const QWEN35: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*",
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
);

const TEKKEN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

const GPT4O: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// One way of cutting text.
pub(super) struct Kind {
    /// llama.cpp's names; the first is the one that is written.
    names: &'static [&'static str],
    /// What is cut out of the text, step after step.
    splits: &'static [&'static str],
    /// Whether a pre-token that is an entry is taken whole, whatever the merges.
    pub(super) ignores_merges: bool,
    /// Whether a text gets its beginning mark where the file does not say.
    pub(super) adds_bos: bool,
}

const KINDS: [Kind; 9] = [
    Kind {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
        splits: &[SPLIT_PATTERN],
        ignores_merges: true,
        adds_bos: true,
    },
    Kind {
        names: &["dbrx", "smaug-bpe", "chatglm-bpe"],
        splits: &[SPLIT_PATTERN],
        ignores_merges: false,
        adds_bos: false,
    },
    Kind {
        names: &[
            "gpt-2",
            "phi-2",
            "mpt",
            "olmo",
            "jais",
            "exaone4",
            "trillion",
            "granite-docling",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "roberta-bpe",
        ],
        splits: &[GPT2],
        ignores_merges: false,
        adds_bos: false,
    },
    Kind {
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"],
        splits: &[DIGIT, GPT2],
        ignores_merges: false,
        adds_bos: false,
    },
    Kind {
        names: &[
            "qwen2",
            "stablelm2",
            "deepseek-r1-qwen",
            "megrez",
            "hunyuan",
            "solar-open",
            "grok-2",
            "kormo",
            "f2llmv2",
        ],
        splits: &[QWEN2],
        ignores_merges: false,
        adds_bos: false,
    },
    Kind { names: &["qwen35"], splits: &[QWEN35], ignores_merges: false, adds_bos: false },
    Kind { names: &["tekken"], splits: &[TEKKEN], ignores_merges: true, adds_bos: true },
    Kind { names: &["gpt-4o", "llama4", "kanana2"], splits: &[GPT4O], ignores_merges: false, adds_bos: false },
    Kind {
        names: &["falcon"],
        splits: &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
        ignores_merges: false,
        adds_bos: false,
    },
];

/// What llama.cpp does where a file names no kind.
const DEFAULT: Kind = Kind {
    names: &["default"],
    splits: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
    ignores_merges: false,
    adds_bos: false,
};

impl Kind {
    /// The kind called `name`; an error lists those that are known.
    pub(super) fn named(name: &str) -> Result<&'static Kind> {
        let all = || std::iter::once(&DEFAULT).chain(&KINDS);
        all().find(|kind| kind.names.contains(&name)).ok_or_else(|| {
            let known: Vec<&str> = all().map(|kind| kind.names[0]).collect();
            anyhow!("the vocabulary splits text in the way {name:?}, but the known ways are {}", known.join(", "))
        })
    }

    /// What a file without a name means.
    pub(super) fn unnamed() -> &'static Kind {
        &DEFAULT
    }

    /// The steps before the merges.
    pub(super) fn pre_tokenizer(&self) -> Result<PreTokenizerWrapper> {
        let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
        for pattern in self.splits {
            let pattern = SplitPattern::Regex((*pattern).to_owned());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
                .map_err(|error| anyhow!("compiling the splitting pattern: {error}"))?;
            steps.push(split.into());
        }
        steps.push(ByteLevel::new(false, false, false).into());
        Ok(PreTokenizerWrapper::Sequence(Sequence::new(steps)))
    }
}

/// The name under which a GGUF file says how a `tokenizer.json` splits text: `pre_tokenizer` is that part of it.
pub(super) fn name_of(pre_tokenizer: &Value, ignores_merges: bool) -> Result<&'static str> {
    let mut splits = Vec::new();
    collect_splits(pre_tokenizer, &mut splits)?;
    let kinds = KINDS.iter().chain([&DEFAULT]);
    let mut same = kinds.filter(|kind| kind.splits == splits && kind.ignores_merges == ignores_merges);
    match same.next() {
        Some(kind) => Ok(kind.names[0]),
        None => bail!(
            "the tokenizer splits text by {splits:?}, which is no way that llama.cpp has a name for, so that it cannot \
             be written as GGUF"
        ),
    }
}

/// Appends the patterns of a step, in the order in which they cut.
fn collect_splits<'j>(step: &'j Value, splits: &mut Vec<&'j str>) -> Result<()> {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    match step["type"].as_str().unwrap_or("none") {
        "Sequence" => {
            let steps = step["pretokenizers"].as_array().map_or(&[][..], Vec::as_slice);
            steps.iter().try_for_each(|step| collect_splits(step, splits))?;
        }
        "ByteLevel" if step["use_regex"].as_bool().unwrap_or(true) => splits.push(GPT2),
        "ByteLevel" => {}
        "Digits" if step["individual_digits"] == true => splits.push(DIGIT),
        "Split" if text(step, "behavior") == "Isolated" && step["invert"] != true => match &step["pattern"] {
            Value::Object(pattern) if pattern.contains_key("Regex") => {
                splits.push(pattern["Regex"].as_str().unwrap_or_default());
            }
            other => bail!("the tokenizer splits text by {other}, which cannot be written as GGUF"),
        },
        other => bail!("the tokenizer has the step {other} before the merges, which cannot be written as GGUF"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_kind_is_found_by_its_names_and_by_its_steps() {
        let mut seen = std::collections::HashSet::new();
        for kind in KINDS.iter().chain([&DEFAULT]) {
            for name in kind.names {
                assert!(seen.insert(name), "{name} stands for two kinds");
                assert_eq!(Kind::named(name).unwrap().names, kind.names);
            }
            let steps = serde_json::to_value(kind.pre_tokenizer().unwrap()).unwrap();
            assert_eq!(name_of(&steps, kind.ignores_merges).unwrap(), kind.names[0]);
        }
        let message = Kind::named("odd").err().unwrap().to_string();
        assert!(message.contains("\"odd\"") && message.contains("default, llama-bpe, dbrx, gpt-2"), "{message}");
    }

    #[test]
    fn steps_as_other_programs_write_them_have_the_same_name() {
        let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true});
        let digits = json!({"type": "Digits", "individual_digits": true});
        let smollm = json!({"type": "Sequence", "pretokenizers": [digits, byte_level]});
        assert_eq!(name_of(&byte_level, false).unwrap(), "gpt-2");
        assert_eq!(name_of(&smollm, false).unwrap(), "smollm");
        for unknown in
            [json!(null), json!({"type": "Whitespace"}), json!({"type": "Split", "pattern": {"String": " "}})]
        {
            assert!(name_of(&unknown, false).is_err(), "{unknown}");
        }
    }
}
