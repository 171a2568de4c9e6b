//! What a model writes while it trains and when it is done: the bridge between training and generation, which do not know
//! each other.

use crate::generation::text::continue_text;
use crate::generation::{Limits, Sampler, SamplerConfig, Session, StopStrings};
use crate::inference::{Engine, LanguageModel};
use crate::model::Config;
use crate::tokenizer::Tokenizer;
use crate::training::run::Writer;
use anyhow::Result;
use std::sync::atomic::AtomicBool;

/// Tokens of a sample: three or four sentences.
const N_TOKENS: usize = 80;
/// Added to the seed for the texts that are measured, so that they are no samples that a person was shown.
const TEXTS_SEED: u64 = 1 << 32;

/// Writes with the weights it is given; each sample uses the next seed.
pub(super) struct Samples {
    config: Config,
    tokenizer: Tokenizer,
    seed: u64,
    n_threads: usize,
    n_written: u64,
}

/// A writer for models of this shape.
pub(super) fn sampler(config: Config, tokenizer: Tokenizer, seed: u64, n_threads: usize) -> Samples {
    Samples { config, tokenizer, seed, n_threads, n_written: 0 }
}

impl Writer for Samples {
    fn sample(&mut self, weights: &[f32]) -> Result<String> {
        self.n_written += 1;
        let mut engine = Engine::new(&self.config, weights, self.config.block_size, self.n_threads)?;
        let seed = self.seed.wrapping_add(self.n_written);
        let settings = SamplerConfig { temperature: 0.7, seed, ..SamplerConfig::default() };
        write(&mut engine, &self.tokenizer, settings)
    }

    /// All texts grow in step, which costs little more than one: the weights are read once for all.
    fn texts(&mut self, weights: &[f32], n_texts: usize, n_tokens: usize) -> Result<Vec<Vec<u32>>> {
        let n_tokens = n_tokens.min(self.config.block_size);
        let mut engine = Engine::in_step(&self.config, weights, n_tokens, n_texts, self.n_threads)?;
        let sampler = |i: usize| {
            let seed = self.seed.wrapping_add(TEXTS_SEED + i as u64);
            Sampler::new(SamplerConfig { seed, ..SamplerConfig::plain() })
        };
        let mut samplers = (0..n_texts).map(sampler).collect::<Result<Vec<Sampler>>>()?;
        let mut texts = vec![Vec::with_capacity(n_tokens); n_texts];
        let mut last = vec![self.tokenizer.end_of_text(); n_texts];
        for _ in 0..n_tokens {
            let logits = engine.step(&last);
            for (i, logits) in logits.chunks_exact(self.config.vocab_size).enumerate() {
                last[i] = samplers[i].sample(logits, &texts[i])?;
                texts[i].push(last[i]);
            }
        }
        Ok(texts)
    }
}

fn write(engine: &mut dyn LanguageModel, tokenizer: &Tokenizer, settings: SamplerConfig) -> Result<String> {
    let end = tokenizer.end_of_text();
    let max_tokens = N_TOKENS.min(engine.context_len() - 1);
    let mut session = Session::new(engine);
    session.set_prompt(&[end])?;
    let never = AtomicBool::new(false);
    let limits = Limits { max_tokens, end_ids: &[end], interrupted: &never };
    let mut text = String::new();
    let mut sampler = Sampler::new(settings)?;
    continue_text(&mut session, &mut sampler, limits, tokenizer, &mut StopStrings::new(vec![])?, &mut |piece| {
        text.push_str(piece);
        Ok(())
    })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Preset, initial_weights};
    use crate::tokenizer::{TrainOptions, train};

    #[test]
    fn texts_are_those_of_the_seed_as_many_and_as_long_as_asked_for_or_as_fit() {
        let tokenizer = train(["a few words".to_owned()].into_iter(), TrainOptions::new(300)).unwrap();
        let config = Preset::Nano.config(300, 32);
        let weights = initial_weights(&config, 1);
        let texts = |seed, n_threads, n_tokens| {
            sampler(config.clone(), tokenizer.clone(), seed, n_threads).texts(&weights, 3, n_tokens).unwrap()
        };
        let first = texts(1, 1, 20);
        assert_eq!(first.iter().map(Vec::len).collect::<Vec<_>>(), [20; 3]);
        assert_eq!(first, texts(1, 2, 20));
        assert_ne!(first, texts(2, 1, 20));
        assert!(first[0] != first[1] && first[1] != first[2]);
        assert_eq!(texts(1, 1, 200).iter().map(Vec::len).collect::<Vec<_>>(), [32; 3]);
    }
}
