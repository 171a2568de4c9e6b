//! `siskin tokenizer`: train one, look at one, and send text through it in either direction.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::Exit;
use crate::checkpoint;
use crate::data::Corpus;
use crate::tokenizer::{Tokenizer, TrainOptions, Trained, vocab_size_for};

/// Entries that `show` lists as the longest.
const N_LONGEST: usize = 12;

/// Train a tokenizer, show one, or turn text into ids and back
#[derive(Debug, clap::Args)]
pub(super) struct TokenizerArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Learn a vocabulary from files and folders of text
    Train(TrainArgs),
    /// Print the ids of a text
    Encode(EncodeArgs),
    /// Print the text of ids, byte for byte
    Decode(DecodeArgs),
    /// Describe a tokenizer, or show how it cuts a text
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
struct TrainArgs {
    /// Files and folders of text, or - for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Entries of the vocabulary, at least 264 [default: by the size of the text]
    #[arg(long, value_name = "N")]
    vocab: Option<usize>,
    /// Where to write the tokenizer
    #[arg(long, value_name = "FILE", default_value = "tokenizer.json")]
    out: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Choice {
    /// A tokenizer.json, a model directory or a run's name [default: the newest run]
    #[arg(long, short = 't', value_name = "FILE|MODEL")]
    tokenizer: Option<String>,
}

#[derive(Debug, clap::Args)]
struct EncodeArgs {
    #[command(flatten)]
    choice: Choice,
    /// The text; standard input when it is left out or -
    text: Option<String>,
    /// Read names such as <|endoftext|> as the special tokens they name
    #[arg(long)]
    special: bool,
    /// Print one JSON object with ids and counts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct DecodeArgs {
    #[command(flatten)]
    choice: Choice,
    /// The ids; standard input when they are left out
    ids: Vec<u32>,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    #[command(flatten)]
    choice: Choice,
    /// Measure how many bytes of this file one token carries
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Show how this text is cut into tokens
    #[arg(long, value_name = "TEXT")]
    tokens: Option<String>,
}

/// Runs `siskin tokenizer`.
pub(super) fn run(args: TokenizerArgs) -> Result<Exit> {
    match args.command {
        Command::Train(args) => train(&args),
        Command::Encode(args) => encode(args),
        Command::Decode(args) => decode(args),
        Command::Show(args) => show(&args),
    }?;
    Ok(Exit::Done)
}

fn train(args: &TrainArgs) -> Result<()> {
    let corpus = Corpus::scan(&args.paths, &mut |_| {})?;
    let vocab_size = args.vocab.unwrap_or_else(|| vocab_size_for(corpus.report().n_train_bytes));
    let trained = Trained::from_texts(corpus.train_texts(), TrainOptions::new(vocab_size))?;
    for notice in trained.notices() {
        eprintln!("{notice}");
    }
    let json = trained.tokenizer.to_json()?;
    checkpoint::write_atomic(&args.out, |file| Ok(file.write_all(&json)?))?;
    eprintln!(
        "wrote {}: {} entries, learned from {} bytes",
        args.out.display(),
        trained.tokenizer.vocab_size(),
        trained.n_bytes_used
    );
    Ok(())
}

fn encode(args: EncodeArgs) -> Result<()> {
    let tokenizer = args.choice.load()?;
    let text = match args.text {
        Some(text) if text != "-" => text,
        _ => utf8(read_stdin()?, "standard input")?,
    };
    let ids = if args.special { tokenizer.encode_with_special(&text)? } else { tokenizer.encode(&text)? };
    if args.json {
        return print(format!("{}\n", json!({ "ids": ids, "n_tokens": ids.len(), "n_bytes": text.len() })).as_bytes());
    }
    let words: Vec<String> = ids.iter().map(u32::to_string).collect();
    print(format!("{}\n", words.join(" ")).as_bytes())
}

fn decode(args: DecodeArgs) -> Result<()> {
    let tokenizer = args.choice.load()?;
    let ids = if args.ids.is_empty() { parse_ids(&utf8(read_stdin()?, "standard input")?)? } else { args.ids };
    for &id in &ids {
        ensure!(
            (id as usize) < tokenizer.vocab_size(),
            "the id {id} is outside the vocabulary of {} entries",
            tokenizer.vocab_size()
        );
    }
    print(&tokenizer.decode(&ids))
}

fn show(args: &ShowArgs) -> Result<()> {
    let tokenizer = args.choice.load()?;
    if let Some(text) = &args.tokens {
        let ids = tokenizer.encode(text)?;
        let cut: Vec<String> = ids.iter().map(|&id| visible(tokenizer.token_bytes(id))).collect();
        return print(format!("{}\n", cut.join("|")).as_bytes());
    }
    let mut lines = describe(&tokenizer);
    if let Some(path) = &args.text {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let text = utf8(bytes, &path.display().to_string())?;
        let n_tokens = tokenizer.encode(&text)?.len();
        let each = text.len() as f64 / n_tokens.max(1) as f64;
        lines.push(format!("text            {} bytes in {n_tokens} tokens, {each:.2} bytes per token", text.len()));
    }
    print(format!("{}\n", lines.join("\n")).as_bytes())
}

/// What `show` says of a tokenizer, line by line.
fn describe(tokenizer: &Tokenizer) -> Vec<String> {
    let special: Vec<String> = tokenizer.special_tokens().iter().map(|(id, name)| format!("{name} {id}")).collect();
    let ordinary = (0..tokenizer.vocab_size() as u32).filter(|&id| !tokenizer.is_special(id));
    let by_length: BTreeSet<_> = ordinary.map(|id| (std::cmp::Reverse(tokenizer.token_bytes(id).len()), id)).collect();
    let longest: Vec<String> =
        by_length.iter().take(N_LONGEST).map(|&(_, id)| visible(tokenizer.token_bytes(id))).collect();
    vec![
        format!("vocabulary      {} entries", tokenizer.vocab_size()),
        format!("special tokens  {}", special.join(", ")),
        format!("longest tokens  {}", longest.join("|")),
    ]
}

/// A token for the eye: control characters and the bar that separates tokens escaped, bytes of a part of a character
/// as `\xF0`.
fn visible(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '|' | '\\' => shown.extend(['\\', c]),
                c if c.is_control() => shown.extend(c.escape_default()),
                c => shown.push(c),
            }
        }
        shown.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")));
    }
    shown
}

impl Choice {
    fn load(&self) -> Result<Tokenizer> {
        if let Some(file) = self.tokenizer.as_deref().map(Path::new).filter(|path| path.is_file()) {
            return Tokenizer::load(file);
        }
        let dir = checkpoint::resolve(self.tokenizer.as_deref(), Path::new("runs"))?;
        Tokenizer::load(&dir.join("tokenizer.json"))
    }
}

/// Ids as numbers with anything between them that JSON or a person puts there.
fn parse_ids(text: &str) -> Result<Vec<u32>> {
    text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']'))
        .filter(|word| !word.is_empty())
        .map(|word| word.parse().with_context(|| format!("{word:?} is not an id: give whole numbers")))
        .collect()
}

fn read_stdin() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).context("reading standard input")?;
    Ok(bytes)
}

fn utf8(bytes: Vec<u8>, name: &str) -> Result<String> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => {
            bail!("{name} is not UTF-8: byte {} cannot be read as a character", error.utf8_error().valid_up_to())
        }
    }
}

/// Writes to standard output; a reader that has gone away is no error.
fn print(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("writing to standard output"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_words_lines_or_json() {
        for text in ["1 22 333", "1\n22\n333\n", "[1, 22,333]"] {
            assert_eq!(parse_ids(text).unwrap(), [1, 22, 333], "{text:?}");
        }
        assert!(parse_ids("1 two").unwrap_err().to_string().contains("two"));
        assert!(parse_ids("-1").is_err());
    }

    #[test]
    fn a_token_is_shown_without_raw_control_characters() {
        let cases: [(&[u8], &str); 4] =
            [(b" the", " the"), (b"\n\x1b", "\\n\\u{1b}"), (b"\xF0\x9F", "\\xF0\\x9F"), (b"a|b\\", "a\\|b\\\\")];
        for (bytes, shown) in cases {
            assert_eq!(visible(bytes), shown, "{bytes:x?}");
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_an_error_that_names_the_byte() {
        let error = utf8(b"ab\xFF".to_vec(), "standard input").unwrap_err().to_string();
        assert!(error.contains("standard input") && error.contains("byte 2"), "{error}");
    }
}
