//! A language model for tests: a rule instead of weights, and a count of what it was fed.

use std::cell::Cell;
use std::rc::Rc;

use crate::inference::LanguageModel;
use crate::tokenizer::{self, Tokenizer};

/// The id that follows all ids so far.
type Rule = Box<dyn Fn(&[u32]) -> u32>;

/// Answers all ids so far with the one that its rule names; an id outside the vocabulary makes the logits NaN.
pub(crate) struct Mock {
    rule: Rule,
    n_context: usize,
    cached: Vec<u32>,
    logits: Vec<f32>,
    /// Ids fed so far, those fed again counted again.
    pub(crate) n_fed: Rc<Cell<usize>>,
}

impl Mock {
    /// A model of `vocab_size` ids and `n_context` positions.
    pub(crate) fn new(vocab_size: usize, n_context: usize, rule: impl Fn(&[u32]) -> u32 + 'static) -> Mock {
        let (cached, logits) = (Vec::new(), vec![0.0; vocab_size]);
        Mock { rule: Box::new(rule), n_context, cached, logits, n_fed: Rc::default() }
    }
}

impl LanguageModel for Mock {
    fn vocab_size(&self) -> usize {
        self.logits.len()
    }

    fn context_len(&self) -> usize {
        self.n_context
    }

    fn n_cached(&self) -> usize {
        self.cached.len()
    }

    fn truncate(&mut self, n_tokens: usize) {
        self.cached.truncate(n_tokens);
    }

    fn feed(&mut self, ids: &[u32]) -> &[f32] {
        assert!(!ids.is_empty() && self.cached.len() + ids.len() <= self.n_context, "{} ids", ids.len());
        self.cached.extend_from_slice(ids);
        self.n_fed.set(self.n_fed.get() + ids.len());
        let next = (self.rule)(&self.cached) as usize;
        let background = if next < self.logits.len() { 0.0 } else { f32::NAN };
        self.logits.fill(background);
        if let Some(logit) = self.logits.get_mut(next) {
            *logit = 10.0;
        }
        &self.logits
    }
}

/// A small tokenizer of the real kind.
pub(crate) fn tokenizer() -> Tokenizer {
    let texts = ["the cat sat on the mat".to_string()];
    tokenizer::train(texts.into_iter(), tokenizer::TrainOptions { vocab_size: 300, max_bytes: 1 << 20 })
        .expect("a tokenizer can be trained on any text")
}
