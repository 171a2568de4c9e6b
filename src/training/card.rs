//! The model card: the `README.md` of a model directory, in the form that the Hugging Face Hub reads.
//!
//! It states what is known about a run and what such a model cannot do, and nothing else: no path, no file name and no
//! text of the corpus beyond what the model itself wrote. Facts in, Markdown out; opens no file.

use std::fmt::Write;

use crate::checkpoint::{Answers, Verbatim};
use crate::model::Config;
use crate::training::overlap;
use crate::words;

/// Everything a card says; all texts are taken as they are and escaped here.
#[derive(Debug, Clone)]
pub struct CardInputs<'a> {
    /// The run's name: what `siskin chat NAME` takes.
    pub name: &'a str,
    /// Version of siskin that trained it.
    pub siskin_version: &'a str,
    /// The model's shape.
    pub config: &'a Config,
    /// Trainable weights.
    pub n_params: u64,
    /// Documents of the corpus after duplicates were removed, held-out ones included.
    pub n_documents: u64,
    /// Bytes of those documents.
    pub n_bytes: u64,
    /// Exact duplicates that were left out.
    pub n_duplicates: u64,
    /// Documents held out; 1 may be the end of a single document.
    pub n_valid_documents: u64,
    /// Bytes held out.
    pub n_valid_bytes: u64,
    /// Hash of the corpus' content, so that the same text can be recognised.
    pub content_hash: &'a str,
    /// Whether the corpus had dialogues with roles, so that the model can chat.
    pub trained_on_messages: bool,
    /// Training settings as (name, value), in the order to be shown.
    pub settings: &'a [(String, String)],
    /// Seed of weights and data order.
    pub seed: u64,
    /// Optimizer steps done.
    pub n_steps: u64,
    /// Tokens predicted in training, repetitions included.
    pub n_tokens_seen: u64,
    /// Training time in seconds.
    pub wall_s: f64,
    /// The CPU's name.
    pub cpu: &'a str,
    /// Instruction set of the kernels; the same one is needed for the same bytes.
    pub instruction_set: &'a str,
    /// Threads used.
    pub n_threads: usize,
    /// Held-out bits per byte of the weights in this directory.
    pub bits_per_byte: Option<f64>,
    /// Standard error of `bits_per_byte`.
    pub bits_per_byte_error: Option<f64>,
    /// Baselines on the same split as (name, bits per byte).
    pub baselines: &'a [(String, f64)],
    /// What the model writes.
    pub samples: &'a [Sample<'a>],
    /// How much of what it writes it has copied, where that was measured.
    pub verbatim: Option<&'a Verbatim>,
    /// Whether the run reached its end; else the card says that it stopped early.
    pub finished: bool,
}

/// A sample of the model's writing.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// What it was asked to continue; may be empty.
    pub prompt: &'a str,
    /// What it wrote after that.
    pub text: &'a str,
}

/// The card of a run: YAML front matter, then Markdown. `loss.svg` is expected beside it.
pub fn model_card(inputs: &CardInputs<'_>) -> String {
    let sections = [
        front_matter(inputs),
        summary(inputs),
        quality(inputs),
        samples(inputs),
        copying(inputs),
        usage(inputs),
        corpus(inputs),
        training(inputs),
        limits(inputs),
    ];
    let present: Vec<&str> =
        sections.iter().map(|section| section.trim_end()).filter(|section| !section.is_empty()).collect();
    present.join("\n\n") + "\n"
}

const ANSWERS_HEADING: &str = "## How it answers";

/// `card` with a section on the questions that the model has answered, in the place of an earlier one.
pub fn with_answers(card: &str, answers: &Answers) -> String {
    let [n_right, n_asked] = answers.total();
    let share = |[right, asked]: [u64; 2]| format!("{:.1} %", 100.0 * right as f64 / asked.max(1) as f64);
    let mut section = format!(
        "{ANSWERS_HEADING}\n\nOf the {} questions in `{}` it answered {} rightly: **{}**, each at temperature 0 and by the \
         first sentence of its answer.\n\n| kind | questions | right |\n| --- | ---: | ---: |\n",
        words::thousands(n_asked),
        answers.file,
        words::thousands(n_right),
        share([n_right, n_asked]),
    );
    for (kind, &counts) in &answers.by_kind {
        section += &format!("| {} | {} | {} |\n", code(kind), counts[1], share(counts));
    }
    let sections = card.split_inclusive('\n').fold(vec![String::new()], |mut sections, line| {
        if line.starts_with("## ") {
            sections.push(String::new());
        }
        sections.last_mut().expect("there is one").push_str(line);
        sections
    });
    let mut sections: Vec<String> = sections.into_iter().filter(|s| !s.starts_with(ANSWERS_HEADING)).collect();
    let place = sections.iter().position(|s| s.starts_with("## How to use it")).unwrap_or(sections.len());
    sections.insert(place, section + "\n");
    sections.concat()
}

/// The licence of a model of somebody's own text is that somebody's to name, so the card says `unknown`.
fn front_matter(inputs: &CardInputs<'_>) -> String {
    let conversational = if inputs.trained_on_messages { "\n- conversational" } else { "" };
    format!(
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\nlicense: unknown\ntags:\n- siskin\n- qwen3\n- trained-from-scratch{conversational}\n---"
    )
}

fn summary(inputs: &CardInputs<'_>) -> String {
    let c = inputs.config;
    let unfinished = if inputs.finished {
        ""
    } else {
        " The run was stopped before its end; this is the best state it had reached."
    };
    format!(
        "# {}\n\n\
         A small language model with {} parameters, trained from scratch on {} of text with siskin {}.{unfinished}\n\n\
         | shape | |\n|---|---|\n\
         | family | Qwen3 (RMSNorm, rotary positions, grouped-query attention with QK-norm, SwiGLU) |\n\
         | parameters | {} |\n| layers | {} |\n| width | {} |\n| heads | {} of width {}, {} for keys and values |\n\
         | feed-forward width | {} |\n| vocabulary | {} (byte-level BPE, trained on the same text) |\n\
         | context | {} tokens |\n| output head | {} |",
        line(inputs.name),
        words::short_count(inputs.n_params),
        words::bytes(inputs.n_bytes),
        line(inputs.siskin_version),
        words::thousands(inputs.n_params),
        c.n_layer,
        c.n_embd,
        c.n_head,
        c.head_dim,
        c.n_kv_head,
        c.n_ffn,
        words::thousands(c.vocab_size as u64),
        words::thousands(c.block_size as u64),
        if c.tied { "the embedding matrix" } else { "a matrix of its own" },
    )
}

/// The table of bits per byte, sorted so that a baseline which beats the model stands above it.
fn quality(inputs: &CardInputs<'_>) -> String {
    let mut text = String::from(
        "## How good it is\n\n\
         Bits per byte of text that was held out of training: how many bits the model needs, on average, to tell the next byte. \
         Lower is better, and the figure can be compared between models with different vocabularies.\n\n\
         | | held-out bits per byte |\n|---|---:|\n",
    );
    let mut rows: Vec<(f64, String)> = inputs
        .baselines
        .iter()
        .filter(|(_, bits)| bits.is_finite())
        .map(|(name, bits)| (*bits, format!("| {} | {bits:.3} |", cell(name))))
        .collect();
    match inputs.bits_per_byte.filter(|bits| bits.is_finite()) {
        Some(bits) => {
            let error = inputs.bits_per_byte_error.map_or(String::new(), |error| format!(" ± {error:.3}"));
            rows.push((bits, format!("| **this model** | **{bits:.3}{error}** |")));
        }
        None => rows.push((f64::INFINITY, "| **this model** | not measured |".into())),
    }
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    rows.iter().for_each(|(_, row)| push_line(&mut text, row));
    if inputs.bits_per_byte_error.is_some() {
        push_line(&mut text, "\n± is one standard error over the held-out text.");
    }
    push_line(&mut text, "\n![Bits per byte while it learned: training, held out and baselines](loss.svg)");
    text
}

fn samples(inputs: &CardInputs<'_>) -> String {
    if inputs.samples.is_empty() {
        return String::new();
    }
    let mut text = String::from("## What it writes\n\nUnedited, in the order in which they came.\n");
    for sample in inputs.samples {
        if !sample.prompt.is_empty() {
            push_line(&mut text, &format!("\nAfter {}:", code(&line(sample.prompt))));
        }
        let body = visible(sample.text);
        let fence = "`".repeat(longest_run_of_backticks(&body).max(2) + 1);
        push_line(&mut text, &format!("\n{fence}text\n{}\n{fence}", body.trim_end_matches('\n')));
    }
    text
}

fn copying(inputs: &CardInputs<'_>) -> String {
    let Some(v) = inputs.verbatim else { return String::new() };
    let longest = overlap::longest_in_words(v).map_or(String::new(), |words| {
        format!("\n\nIn these texts {words}:\n\n> {}", code(&line(&overlap::longest_run(v))))
    });
    format!(
        "## How much it copies\n\n{}.{longest}\n\n\
         Measured on {} words in {} that it wrote at temperature 1, without any filter. A word is what stands between \
         blanks. At lower temperatures a model usually copies more.",
        capitalised(&overlap::share_in_words(v)),
        words::thousands(v.n_words),
        counted(v.n_texts, "text"),
    )
}

fn usage(inputs: &CardInputs<'_>) -> String {
    let name = shell_word(inputs.name);
    let chat = if inputs.trained_on_messages { "talk to it" } else { "it continues what you write" };
    format!(
        "## How to use it\n\n\
         ```sh\nsiskin chat {name}                                  # {chat}\n\
         echo \"Once upon a time\" | siskin complete -m {name}  # the continuation, on standard output\n\
         siskin info {name}                                  # what is known about it\n```\n\n\
         With the Python package `transformers`, from the folder that holds this file:\n\n\
         ```python\n\
         from transformers import AutoModelForCausalLM, AutoTokenizer\n\n\
         tokenizer = AutoTokenizer.from_pretrained(\".\")\n\
         model = AutoModelForCausalLM.from_pretrained(\".\")\n\
         prompt = tokenizer(\"Once upon a time\", return_tensors=\"pt\", add_special_tokens=False)\n\
         ids = model.generate(**prompt, max_new_tokens=100, do_sample=True, temperature=0.8)\n\
         print(tokenizer.decode(ids[0]))\n```"
    )
}

fn corpus(inputs: &CardInputs<'_>) -> String {
    let share = 100.0 * inputs.n_valid_bytes as f64 / inputs.n_bytes.max(1) as f64;
    let kind = if inputs.trained_on_messages {
        "Dialogues with roles (ChatML)."
    } else {
        "Plain text, no dialogues with roles."
    };
    format!(
        "## What it read\n\n\
         - {} ({}) in {}; exact duplicates left out: {}. {kind}\n\
         - Held out and never trained on: {} ({share:.1} %) of {}, chosen by a hash of the content \
         (of a single document, its end).\n\
         - Content hash: {}",
        words::bytes(inputs.n_bytes),
        counted(inputs.n_bytes, "byte"),
        counted(inputs.n_documents, "document"),
        words::thousands(inputs.n_duplicates),
        words::bytes(inputs.n_valid_bytes),
        counted(inputs.n_valid_documents, "document"),
        code(&line(inputs.content_hash)),
    )
}

fn training(inputs: &CardInputs<'_>) -> String {
    let mut text = format!(
        "## How it was trained\n\n| | |\n|---|---|\n\
         | training time | {} |\n| steps | {} |\n| tokens seen | {} |\n| seed | {} |\n\
         | CPU | {}, {} |\n| instruction set | {} |\n",
        words::duration(inputs.wall_s),
        words::thousands(inputs.n_steps),
        words::thousands(inputs.n_tokens_seen),
        inputs.seed,
        cell(inputs.cpu),
        counted(inputs.n_threads as u64, "thread"),
        cell(inputs.instruction_set),
    );
    for (name, value) in inputs.settings {
        push_line(&mut text, &format!("| {} | {} |", cell(name), cell(value)));
    }
    text.push_str(
        "\nThe same text, settings, seed, siskin version and instruction set give the same weights, byte for byte, when the \
         number of steps decides where the run ends. `train.jsonl` has every step, `run.json` the whole manifest.",
    );
    text
}

fn limits(inputs: &CardInputs<'_>) -> String {
    let chat = if inputs.trained_on_messages {
        "It has seen dialogues and imitates their form; it does not follow instructions in any reliable way."
    } else {
        "It was not trained on dialogues: it continues text and does not answer questions."
    };
    format!(
        "## What it cannot do\n\n\
         - It knows only its corpus. Whatever else it says is an accident, and it states false things as fluently as true ones.\n\
         - It may quote its corpus word for word. Do not share it where you would not share that text; it is not a way to \
         make private text anonymous.\n\
         - It repeats the errors, opinions and prejudices of the text it read.\n\
         - {chat}\n\
         - It sees at most {} tokens at once and forgets what came before.\n\
         - No licence is stated: whose text it learned from decides what may be done with it.",
        words::thousands(inputs.config.block_size as u64)
    )
}

fn push_line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a string cannot fail");
}

/// `1 document`, `1,200 documents`.
fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", words::thousands(count), if count == 1 { "" } else { "s" })
}

fn capitalised(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().collect::<String>() + chars.as_str())
}

/// One line of plain text: control characters made visible, line breaks among them.
fn line(text: &str) -> String {
    visible(text).replace('\n', "\\n")
}

/// Text of a table's cell: one line whose bars do not end the cell and whose markup stays text.
fn cell(text: &str) -> String {
    line(text).replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;")
}

/// `text` without control characters other than line breaks, so that a card is safe to `cat`.
fn visible(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

/// Inline code that may hold backticks.
fn code(text: &str) -> String {
    let fence = "`".repeat(longest_run_of_backticks(text) + 1);
    if text.starts_with('`') || text.ends_with('`') {
        format!("{fence} {text} {fence}")
    } else {
        format!("{fence}{text}{fence}")
    }
}

fn longest_run_of_backticks(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// A name as one word of a POSIX shell, quoted where it needs to be.
fn shell_word(name: &str) -> String {
    let is_plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_./:".contains(c));
    if is_plain && !name.starts_with('-') { name.into() } else { format!("'{}'", line(name).replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Preset;

    fn card(change: impl FnOnce(&mut CardInputs<'_>)) -> String {
        let config = Preset::Nano.config(1024, 256);
        let settings = [("batch".to_string(), "16".to_string()), ("learning rate".into(), "0.003".into())];
        let baselines = [("xz -6".to_string(), 2.517), ("5-gram".into(), 2.278)];
        let samples = [Sample { prompt: "Once", text: " upon a time\nthere was ```a``` fox\u{1b}[2J" }];
        let mut inputs = CardInputs {
            name: "fables",
            siskin_version: "0.1.0",
            config: &config,
            n_params: 1_234_567,
            n_documents: 412,
            n_bytes: 1_115_394,
            n_duplicates: 1,
            n_valid_documents: 20,
            n_valid_bytes: 55_770,
            content_hash: "c0ffee",
            trained_on_messages: false,
            settings: &settings,
            seed: 42,
            n_steps: 1_200,
            n_tokens_seen: 4_915_200,
            wall_s: 125.0,
            cpu: "Some CPU | 3 GHz",
            instruction_set: "avx2",
            n_threads: 2,
            bits_per_byte: Some(1.98765),
            bits_per_byte_error: Some(0.0123),
            baselines: &baselines,
            samples: &samples,
            verbatim: None,
            finished: true,
        };
        change(&mut inputs);
        model_card(&inputs)
    }

    fn verbatim() -> Verbatim {
        Verbatim {
            n_texts: 20,
            n_tokens: 4_000,
            min_run_words: 8,
            n_words: 2_345,
            n_copied_words: 281,
            n_held_out_words: 2_000,
            n_held_out_copied_words: 180,
            longest_run_words: 23,
            longest_run: "once there was a `fox` | who".to_owned(),
        }
    }

    #[test]
    fn a_score_takes_the_place_of_an_earlier_one() {
        let answers = |right| Answers {
            file: "questions.jsonl".to_owned(),
            by_kind: [("fact".to_owned(), [right, 40]), ("sum".to_owned(), [10, 10])].into(),
        };
        let plain = card(|_| {});
        let first = with_answers(&plain, &answers(10));
        assert!(
            first.contains("Of the 50 questions in `questions.jsonl` it answered 20 rightly: **40.0 %**"),
            "{first}"
        );
        assert!(first.find("## How it answers") < first.find("## How to use it"));
        let second = with_answers(&first, &answers(30));
        assert!(second.contains("**80.0 %**") && second.contains("75.0 %") && !second.contains("40.0 %"), "{second}");
        let without: String = second.split("## How it answers").next().unwrap().to_owned()
            + &second[second.find("## How to use it").unwrap()..];
        assert_eq!(without, plain);
    }

    #[test]
    fn a_card_says_how_much_the_model_copies_where_that_is_known() {
        static VERBATIM: std::sync::LazyLock<Verbatim> = std::sync::LazyLock::new(verbatim);
        let text = card(|inputs| inputs.verbatim = Some(&VERBATIM));
        for fact in [
            "## How much it copies",
            "12 % of what it writes stands word for word in its training text, in runs of 8 words or more",
            "held-out text, which it never saw, 9 % does",
            "the longest run has 23 words",
            "> ``once there was a `fox` | who``",
            "2,345 words in 20 texts",
        ] {
            assert!(text.contains(fact), "{fact:?} is not in\n{text}");
        }
        assert!(!card(|_| ()).contains("How much it copies"));
    }

    #[test]
    fn a_card_states_the_facts_of_its_run() {
        let text = card(|_| ());
        let facts = [
            "# fables",
            "1,234,567",
            "1.2 million parameters",
            "1.1 MB",
            "412 documents",
            "duplicates left out: 1",
            "20 documents",
            "(5.0 %)",
            "`c0ffee`",
            "| learning rate | 0.003 |",
            "| seed | 42 |",
            "| steps | 1,200 |",
            "| tokens seen | 4,915,200 |",
            "| training time | 2 min 5 s |",
            "Some CPU \\| 3 GHz, 2 threads",
            "avx2",
            "**1.988 ± 0.012**",
            "| xz -6 | 2.517 |",
            "(loss.svg)",
            "siskin chat fables",
            "siskin complete -m fables",
            "AutoModelForCausalLM",
            "knows only its corpus",
            "word for word",
            "After `Once`:",
        ];
        for fact in facts {
            assert!(text.contains(fact), "the card lacks {fact:?}:\n{text}");
        }
    }

    #[test]
    fn the_front_matter_is_what_the_hub_reads() {
        let text = card(|_| ());
        let (yaml, rest) = text.strip_prefix("---\n").and_then(|text| text.split_once("\n---\n")).unwrap();
        for line in ["library_name: transformers", "pipeline_tag: text-generation", "license: unknown", "- siskin"] {
            assert!(yaml.lines().any(|l| l == line), "no {line:?} in {yaml}");
        }
        assert!(rest.starts_with("\n# fables"));
    }

    #[test]
    fn a_better_baseline_stands_above_the_model() {
        let text = card(|inputs| inputs.bits_per_byte = Some(2.4));
        let place = |words: &str| text.find(words).unwrap_or_else(|| panic!("no {words:?}"));
        assert!(place("| 5-gram |") < place("| **this model** |") && place("| **this model** |") < place("| xz -6 |"));
    }

    #[test]
    fn a_sample_cannot_leave_its_block_or_reach_the_terminal() {
        let text = card(|_| ());
        assert!(text.contains("````text\n upon a time\nthere was ```a``` fox\\u{1b}[2J\n````"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn what_is_not_known_is_not_claimed() {
        let text = card(|inputs| {
            inputs.bits_per_byte = None;
            inputs.bits_per_byte_error = None;
            inputs.samples = &[];
            inputs.finished = false;
            inputs.baselines = &[];
        });
        assert!(text.contains("not measured") && text.contains("stopped before its end"), "{text}");
        assert!(!text.contains("±") && !text.contains("What it writes"), "{text}");
    }

    #[test]
    fn a_name_is_quoted_for_the_shell_where_it_must_be() {
        for (name, word) in
            [("my-run.2", "my-run.2"), ("two words", "'two words'"), ("it's", "'it'\\''s'"), ("-n", "'-n'"), ("", "''")]
        {
            assert_eq!(shell_word(name), word);
        }
    }
}
