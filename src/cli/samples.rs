//! Samples of the model's writing while it trains: the bridge between training and generation, which do not know each
//! other.

use crate::generation::text::continue_text;
use crate::generation::{Limits, Sampler, SamplerConfig, Session, StopStrings};
use crate::inference::{Engine, LanguageModel};
use crate::model::Config;
use crate::tokenizer::Tokenizer;
use anyhow::Result;
use std::sync::atomic::AtomicBool;

/// Tokens of a sample: three or four sentences.
const N_TOKENS: usize = 80;

/// A function that writes a sample with the weights it is given; each call uses the next seed.
pub(super) fn sampler(
    config: Config,
    tokenizer: Tokenizer,
    seed: u64,
    n_threads: usize,
) -> impl FnMut(&[f32]) -> Result<String> {
    let mut n_written = 0;
    move |weights| {
        n_written += 1;
        let mut engine = Engine::new(&config, weights, config.block_size, n_threads)?;
        let settings =
            SamplerConfig { temperature: 0.7, seed: seed.wrapping_add(n_written), ..SamplerConfig::default() };
        write(&mut engine, &tokenizer, settings)
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
