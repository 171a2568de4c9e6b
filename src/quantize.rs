//! What storing weights in fewer bits costs: a model beside copies of itself, on text that it has not learned.
//!
//! Both read the same text in windows of the model's context that do not overlap, as everywhere (`training::evaluate`);
//! what is compared are the probabilities of the next token. Bits per byte say what the text costs; the Kullback-Leibler
//! divergence says how far the copy's probabilities are from the model's, whatever the text; agreement is how often both
//! think the same token the most probable. The arithmetic is that of the f32 engine on the rounded weights, so that only
//! the rounding of weights is measured.

use crate::data::loader::TokenSource;
use crate::inference::{Engine, LanguageModel};
use crate::kernels::arg_max::arg_max;
use crate::kernels::{Cpu, Isa};
use crate::model::Mix;
use anyhow::{Context, Result};

/// A copy is as good as the model where it needs no more bits per byte than this share more.
pub const HARMLESS_LOSS: f64 = 0.005;

/// How a copy compares.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Comparison {
    /// The model's bits per byte.
    pub bits_per_byte: f64,
    /// The copy's.
    pub copy_bits_per_byte: f64,
    /// Mean divergence of the copy's probabilities from the model's, in nats a token.
    pub divergence: f64,
    /// Share of tokens for which both think the same one the most probable.
    pub agreement: f64,
    /// Tokens predicted.
    pub n_tokens: usize,
}

impl Comparison {
    /// How many more bits per byte the copy needs, as a share of the model's; negative where it needs fewer.
    pub fn loss(&self) -> f64 {
        self.copy_bits_per_byte / self.bits_per_byte - 1.0
    }
}

/// A model and a text on which copies of it are judged.
pub struct Judge<'a> {
    /// The model as it is.
    pub model: Engine,
    /// The text.
    pub text: &'a dyn TokenSource,
    /// Bytes of text that each token stands for.
    pub token_bytes: &'a [u32],
    /// Tokens judged at most, in windows spread evenly over the text.
    pub max_tokens: usize,
}

impl Judge<'_> {
    /// Compares `copy` with the model. `on_tokens` is told after each window how many more tokens are judged. Fails where
    /// there is nothing to predict.
    pub fn compare(&mut self, copy: &mut Engine, cpu: &Cpu, on_tokens: &mut dyn FnMut(usize)) -> Result<Comparison> {
        let t = self.model.context_len();
        let n_windows = self.text.n_tokens().saturating_sub(1).div_ceil(t);
        let n_taken = n_windows.min((self.max_tokens / t).max(1));
        let mut sums = Sums::default();
        for i in 0..n_taken {
            let start = i * n_windows / n_taken * t;
            let mut ids = vec![0; (t + 1).min(self.text.n_tokens() - start)];
            self.text.copy_tokens(start, &mut ids);
            self.window(copy, cpu, &ids, &mut sums);
            on_tokens(ids.len() - 1);
        }
        sums.comparison().context("there is no held-out text to judge by")
    }

    /// Adds the predictions of all `ids` but the first.
    fn window(&mut self, copy: &mut Engine, cpu: &Cpu, ids: &[u32], sums: &mut Sums) {
        let Some((_, targets)) = ids.split_first() else { return };
        let n = targets.len();
        let mut logits = Vec::with_capacity(n * self.model.vocab_size());
        self.model.truncate(0);
        self.model.feed_each(&ids[..n], &mut |row| logits.extend_from_slice(row));
        let mut copied = Vec::with_capacity(logits.len());
        copy.truncate(0);
        copy.feed_each(&ids[..n], &mut |row| copied.extend_from_slice(row));
        let (v, isa) = (self.model.vocab_size(), cpu.isa);
        let rows = std::sync::Mutex::new(vec![Row::default(); n]);
        cpu.pool.run(n, |r| {
            let range = r * v..(r + 1) * v;
            let row = Row::of(isa, &logits[range.clone()], &copied[range], targets[r] as usize);
            rows.lock().unwrap_or_else(|poisoned| poisoned.into_inner())[r] = row;
        });
        let rows = rows.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        for (row, &target) in rows.iter().zip(targets) {
            sums.add(row, u64::from(self.token_bytes[target as usize]));
        }
    }
}

/// What one prediction adds, in nats.
#[derive(Default, Clone, Copy)]
struct Row {
    nats: f64,
    copy_nats: f64,
    divergence: f64,
    agrees: bool,
}

impl Row {
    fn of(isa: Isa, logits: &[f32], copied: &[f32], target: usize) -> Row {
        let (log_sum, copy_log_sum) = (log_sum_exp(logits), log_sum_exp(copied));
        let divergence = logits.iter().zip(copied).map(|(&x, &y)| {
            let (log_p, log_q) = (f64::from(x) - log_sum, f64::from(y) - copy_log_sum);
            log_p.exp() * (log_p - log_q)
        });
        Row {
            nats: log_sum - f64::from(logits[target]),
            copy_nats: copy_log_sum - f64::from(copied[target]),
            divergence: divergence.sum(),
            agrees: arg_max(isa, logits) == arg_max(isa, copied),
        }
    }
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    most + logits.iter().map(|&x| (f64::from(x) - most).exp()).sum::<f64>().ln()
}

#[derive(Default)]
struct Sums {
    nats: f64,
    copy_nats: f64,
    divergence: f64,
    n_agreed: usize,
    n_tokens: usize,
    n_bytes: u64,
}

impl Sums {
    fn add(&mut self, row: &Row, n_bytes: u64) {
        self.nats += row.nats;
        self.copy_nats += row.copy_nats;
        self.divergence += row.divergence;
        self.n_agreed += usize::from(row.agrees);
        self.n_tokens += 1;
        self.n_bytes += n_bytes;
    }

    fn comparison(&self) -> Option<Comparison> {
        let bits = |nats: f64| nats / std::f64::consts::LN_2 / self.n_bytes as f64;
        (self.n_bytes > 0).then(|| Comparison {
            bits_per_byte: bits(self.nats),
            copy_bits_per_byte: bits(self.copy_nats),
            divergence: self.divergence / self.n_tokens as f64,
            agreement: self.n_agreed as f64 / self.n_tokens as f64,
            n_tokens: self.n_tokens,
        })
    }
}

/// The mixture to choose among those measured, each with its bytes and its comparison: the smallest that is as good as the
/// model ([`HARMLESS_LOSS`]). None where none is.
pub fn smallest_harmless(measured: &[(Mix, usize, Comparison)]) -> Option<Mix> {
    let harmless = measured.iter().filter(|(_, _, comparison)| comparison.loss() < HARMLESS_LOSS);
    harmless.min_by_key(|(_, n_bytes, _)| *n_bytes).map(|(mix, ..)| *mix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Config, Preset, initial_weights};

    fn config() -> Config {
        Config {
            n_layer: 1,
            n_embd: 32,
            n_head: 2,
            n_kv_head: 2,
            head_dim: 16,
            n_ffn: 64,
            ..Preset::Nano.config(40, 16)
        }
    }

    fn engine(scale: f32) -> Engine {
        let weights: Vec<f32> = initial_weights(&config(), 3).iter().map(|w| w * scale).collect();
        Engine::new(&config(), &weights, 16, 1).unwrap()
    }

    fn text() -> Vec<u32> {
        (0..101u32).map(|i| i * i % 40).collect()
    }

    fn compare(copy: f32, max_tokens: usize) -> Comparison {
        let text = text();
        let mut judge = Judge { model: engine(5.0), text: &text, token_bytes: &[2; 40], max_tokens };
        let mut n_told = 0;
        let found = judge.compare(&mut engine(copy), &Cpu::new(2), &mut |n| n_told += n).unwrap();
        assert_eq!(n_told, found.n_tokens);
        found
    }

    #[test]
    fn a_copy_without_loss_costs_nothing() {
        let found = compare(5.0, usize::MAX);
        assert_eq!((found.loss(), found.divergence, found.agreement, found.n_tokens), (0.0, 0.0, 1.0, 100));
        assert_eq!(compare(5.0, 40).n_tokens, 32);
    }

    #[test]
    fn the_figures_are_those_of_their_definitions() {
        let found = compare(0.0, usize::MAX);
        // A model whose weights are all 0 thinks every token equally probable.
        assert!((found.copy_bits_per_byte - 40f64.log2() / 2.0).abs() < 1e-6, "{found:?}");
        let row_of = |logits: &[f32]| Row::of(Isa::best(), logits, &[0.0, 0.0], 1);
        let row = row_of(&[1.0, 0.0]);
        let p = 1.0 / (1.0 + (-1f64).exp());
        assert!((row.divergence - (p * p.ln() + (1.0 - p) * (1.0 - p).ln() + 2f64.ln())).abs() < 1e-12);
        assert!((row.nats + (1.0 - p).ln()).abs() < 1e-12 && (row.copy_nats - 2f64.ln()).abs() < 1e-12);
        assert!(row.agrees && !row_of(&[0.0, 1.0]).agrees);
    }

    #[test]
    fn the_smallest_copy_without_loss_is_chosen() {
        let with_loss = |loss: f64| Comparison {
            bits_per_byte: 2.0,
            copy_bits_per_byte: 2.0 * (1.0 + loss),
            ..Comparison::default()
        };
        let measured = [
            (Mix::F16, 200, with_loss(0.0)),
            (Mix::Q8_0, 100, with_loss(-0.001)),
            (Mix::Q5_0, 60, with_loss(0.0049)),
            (Mix::Q4_0, 50, with_loss(0.0051)),
        ];
        assert_eq!(smallest_harmless(&measured), Some(Mix::Q5_0));
        assert_eq!(smallest_harmless(&measured[3..]), None);
    }

    #[test]
    fn without_text_there_is_an_error() {
        let text = vec![1];
        let mut judge = Judge { model: engine(5.0), text: &text, token_bytes: &[2; 40], max_tokens: 100 };
        assert!(judge.compare(&mut engine(5.0), &Cpu::new(1), &mut |_| ()).is_err());
    }
}
