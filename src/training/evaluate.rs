//! Bits per byte of held-out text: the measure that compares models with different tokenizers.
//!
//! Total nats over ln 2 over the UTF-8 bytes of the text, in windows of the training context that do not overlap. The
//! end-of-text tokens between documents are predicted and paid for, but are no bytes of text.

use super::network::{Batch, Network};
use crate::data::loader::TokenSource;
use crate::kernels::Cpu;
use crate::kernels::cross_entropy::IGNORED;

/// What an evaluation found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Bits per byte of text.
    pub bits_per_byte: f64,
    /// Its standard error, from the differences between windows.
    pub standard_error: f64,
    /// Mean cross-entropy in nats a token.
    pub nats_per_token: f64,
    /// Tokens predicted.
    pub n_tokens: usize,
    /// Bytes of text that these tokens stand for.
    pub n_bytes: u64,
}

/// One window's cost and size.
#[derive(Default, Clone, Copy)]
struct Window {
    nats: f64,
    n_bytes: u64,
    n_tokens: usize,
}

/// Evaluates `network` on `source`, at most `max_windows` windows spread evenly over it, in batches that fill
/// `max_rows` rows. `token_bytes` gives the bytes of text of each token id. `None` where there is nothing to predict.
pub fn evaluate(
    network: &mut Network,
    cpu: &Cpu,
    source: &dyn TokenSource,
    token_bytes: &[u32],
    max_windows: usize,
    max_rows: usize,
) -> Option<Evaluation> {
    let t = network.config().block_size;
    let n_windows = source.n_tokens().saturating_sub(1).div_ceil(t);
    let n_taken = n_windows.min(max_windows);
    let per_batch = (max_rows / t).max(1);
    let mut windows = Vec::with_capacity(n_taken);
    let (mut ids, mut targets) = (vec![0u32; per_batch * t], vec![0u32; per_batch * t]);
    for first in (0..n_taken).step_by(per_batch) {
        let n = per_batch.min(n_taken - first);
        for (i, (ids, targets)) in ids.chunks_exact_mut(t).zip(targets.chunks_exact_mut(t)).take(n).enumerate() {
            let window = (first + i) * n_windows / n_taken;
            copy_window(source, window * t, ids, targets);
        }
        let batch = Batch { ids: &ids[..n * t], targets: &targets[..n * t], n_positions: t };
        let nats = network.nats(cpu, batch);
        windows.extend(nats.chunks_exact(t).zip(targets.chunks_exact(t)).map(|(n, t)| weigh(n, t, token_bytes)));
    }
    summarise(&windows)
}

/// Copies the window at `start`; a last, shorter one is padded with targets that do not count.
fn copy_window(source: &dyn TokenSource, start: usize, ids: &mut [u32], targets: &mut [u32]) {
    let n = ids.len().min(source.n_tokens() - 1 - start);
    source.copy_tokens(start, &mut ids[..n]);
    source.copy_tokens(start + 1, &mut targets[..n]);
    ids[n..].fill(0);
    targets[n..].fill(IGNORED);
}

fn weigh(nats: &[f32], targets: &[u32], token_bytes: &[u32]) -> Window {
    nats.iter().zip(targets).filter(|&(_, &t)| t != IGNORED).fold(Window::default(), |w, (&nats, &target)| Window {
        nats: w.nats + nats as f64,
        n_bytes: w.n_bytes + token_bytes[target as usize] as u64,
        n_tokens: w.n_tokens + 1,
    })
}

fn summarise(windows: &[Window]) -> Option<Evaluation> {
    let nats: f64 = windows.iter().map(|w| w.nats).sum();
    let n_bytes: u64 = windows.iter().map(|w| w.n_bytes).sum();
    let n_tokens: usize = windows.iter().map(|w| w.n_tokens).sum();
    if n_bytes == 0 {
        return None;
    }
    let nats_per_byte = nats / n_bytes as f64;
    // A ratio estimate: the residual of each window from the common ratio (Cochran, Sampling Techniques, 6.4).
    let square: f64 = windows.iter().map(|w| (w.nats - nats_per_byte * w.n_bytes as f64).powi(2)).sum();
    let n = windows.len() as f64;
    let spread = if windows.len() > 1 { (square * n / (n - 1.0)).sqrt() / n_bytes as f64 } else { 0.0 };
    Some(Evaluation {
        bits_per_byte: nats_per_byte / std::f64::consts::LN_2,
        standard_error: spread / std::f64::consts::LN_2,
        nats_per_token: nats / n_tokens as f64,
        n_tokens,
        n_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Config, Preset};

    fn zero_network() -> (Config, Network) {
        let config = Config { n_layer: 1, vocab_size: 16, block_size: 8, ..Preset::Nano.config(16, 8) };
        let weights = vec![0.0; config.n_params()];
        (config.clone(), Network::new(&config, &weights, 32))
    }

    #[test]
    fn a_model_that_knows_nothing_pays_the_logarithm_of_the_vocabulary_for_every_token() {
        let (_, mut network) = zero_network();
        let source: Vec<u32> = (0..45u32).map(|i| i % 16).collect();
        let found = evaluate(&mut network, &Cpu::new(1), &source, &[2; 16], usize::MAX, 32).unwrap();
        // 44 predictions of 4 bits for 88 bytes.
        assert_eq!((found.n_tokens, found.n_bytes), (44, 88));
        assert!((found.bits_per_byte - 2.0).abs() < 1e-6, "{found:?}");
        assert!(found.standard_error < 1e-6);
    }

    #[test]
    fn fewer_windows_are_spread_and_nothing_to_predict_is_none() {
        let (_, mut network) = zero_network();
        let source: Vec<u32> = vec![1; 81];
        let found = evaluate(&mut network, &Cpu::new(1), &source, &[1; 16], 3, 16).unwrap();
        assert_eq!(found.n_tokens, 24);
        assert_eq!(evaluate(&mut network, &Cpu::new(1), &vec![1u32], &[1; 16], 3, 16), None);
    }
}
