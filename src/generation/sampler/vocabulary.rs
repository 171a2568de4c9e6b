//! What settings that are texts mean in a vocabulary: words that are never written, tokens that break passages, biases.
//!
//! Made once for a vocabulary and its settings, so that a token costs no search through the vocabulary.

use anyhow::{Result, bail, ensure};

use super::config::{BiasedToken, SamplerConfig};
use crate::tokenizer::Tokenizer;

/// The texts of the settings as ids.
pub(super) struct Vocabulary {
    tokenizer: Tokenizer,
    words: Vec<BadWord>,
    /// The end of the text, last byte first: kept from token to token.
    tail: Vec<u8>,
    breakers: Vec<bool>,
    bias: Vec<(u32, f32)>,
}

/// A text that must not be completed.
struct BadWord {
    bytes: Vec<u8>,
    /// At i: the tokens that complete it after its first i bytes. At 0 those that hold it whole.
    completing: Vec<Vec<u32>>,
}

impl Vocabulary {
    /// Whether anything in `config` needs one.
    pub(super) fn is_needed(config: &SamplerConfig) -> bool {
        !config.bad_words.is_empty() || !config.logit_bias.is_empty() || config.dry_multiplier != 0.0
    }

    /// Errors: a bias of a text that is not one token or of an id that is none, or that is no number; an empty word.
    pub(super) fn new(config: &SamplerConfig, tokenizer: &Tokenizer) -> Result<Vocabulary> {
        let words = config.bad_words.iter().map(|word| BadWord::new(word, tokenizer)).collect::<Result<_>>()?;
        let breaks = |id: u32| {
            let text = tokenizer.token_bytes(id);
            tokenizer.is_special(id) || config.dry_breakers.iter().any(|b| contains(text, b.as_bytes()))
        };
        let n_breakable = if config.dry_multiplier == 0.0 { 0 } else { tokenizer.vocab_size() as u32 };
        let breakers = (0..n_breakable).map(breaks).collect();
        let bias =
            config.logit_bias.iter().map(|(token, bias)| biased(token, *bias, tokenizer)).collect::<Result<_>>()?;
        Ok(Vocabulary { tokenizer: tokenizer.clone(), words, tail: Vec::new(), breakers, bias })
    }

    /// Whether DRY sees no repetition across a token.
    pub(super) fn breaks(&self, id: u32) -> bool {
        self.breakers.get(id as usize).is_some_and(|&breaks| breaks)
    }

    /// What is added to logits.
    pub(super) fn bias(&self) -> &[(u32, f32)] {
        &self.bias
    }

    /// Gives `ban` every token that would complete a bad word after `history`.
    pub(super) fn each_bad(&mut self, history: &[u32], mut ban: impl FnMut(u32)) {
        let longest = self.words.iter().map(|word| word.bytes.len()).max().unwrap_or(0);
        self.tail.clear();
        for &id in history.iter().rev() {
            if self.tail.len() >= longest || self.tokenizer.is_special(id) {
                break;
            }
            self.tail.extend(self.tokenizer.token_bytes(id).iter().rev());
        }
        for word in &self.words {
            for (n_written, ids) in word.completing.iter().enumerate() {
                if word.bytes[..n_written].iter().rev().eq(self.tail.iter().take(n_written)) {
                    ids.iter().for_each(|&id| ban(id));
                }
            }
        }
    }
}

impl BadWord {
    fn new(word: &str, tokenizer: &Tokenizer) -> Result<BadWord> {
        ensure!(!word.is_empty(), "a bad word is empty, so nothing could be written");
        let bytes = word.as_bytes().to_vec();
        let texts = || (0..tokenizer.vocab_size() as u32).filter(|&id| !tokenizer.is_special(id));
        let completing = (0..bytes.len()).map(|n_written| {
            let rest = &bytes[n_written..];
            let completes = |&id: &u32| {
                let text = tokenizer.token_bytes(id);
                if n_written == 0 { contains(text, rest) } else { text.starts_with(rest) }
            };
            texts().filter(completes).collect()
        });
        Ok(BadWord { completing: completing.collect(), bytes })
    }
}

fn biased(token: &BiasedToken, bias: f32, tokenizer: &Tokenizer) -> Result<(u32, f32)> {
    let n_vocab = tokenizer.vocab_size();
    let id = match token {
        BiasedToken::Id(id) => *id,
        BiasedToken::Text(text) => match tokenizer.encode_with_special(text)?[..] {
            [id] => id,
            ref ids => bail!(
                "a bias is for one token, but {text:?} is {} in this vocabulary: give ids, or use a bad word to forbid a text",
                ids.len()
            ),
        },
    };
    ensure!((id as usize) < n_vocab, "a bias is given for the id {id}, but this vocabulary has {n_vocab}");
    ensure!(
        !bias.is_nan() && bias < f32::INFINITY,
        "the bias of the id {id} is {bias}, but must be a number, or -inf to forbid the token"
    );
    Ok((id, bias))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}
