//! How likely the model finds a token, whatever the samplers make of it.

use std::cmp::Ordering;

/// The model's own judgement of a token.
#[derive(Debug, Clone, PartialEq)]
pub struct Likely {
    /// The natural logarithm of its probability.
    pub log_probability: f64,
    /// The most likely tokens with theirs, most likely first.
    pub top: Vec<(u32, f64)>,
}

/// The judgement of `id` by `logits` (V), and the `n` most likely tokens.
pub fn likely(logits: &[f32], id: u32, n: usize) -> Likely {
    let log_sum = log_sum_exp(logits);
    let log_probability = |id: u32| f64::from(logits[id as usize]) - log_sum;
    let by_logit =
        |a: &u32, b: &u32| -> Ordering { logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b)) };
    let mut ids: Vec<u32> = if n == 0 { Vec::new() } else { (0..logits.len() as u32).collect() };
    if n > 0 && n < ids.len() {
        ids.select_nth_unstable_by(n - 1, by_logit);
        ids.truncate(n);
    }
    ids.sort_unstable_by(by_logit);
    Likely { log_probability: log_probability(id), top: ids.iter().map(|&id| (id, log_probability(id))).collect() }
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - highest).exp()).sum();
    f64::from(highest) + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_those_of_the_softmax() {
        let logits: Vec<f32> = [0.15f32, 0.5, 0.1, 0.25].iter().map(|p| p.ln() + 3.0).collect();
        let found = likely(&logits, 2, 2);
        assert!((found.log_probability.exp() - 0.1).abs() < 1e-6);
        assert_eq!(found.top.iter().map(|t| t.0).collect::<Vec<_>>(), [1, 3]);
        assert!((found.top[1].1.exp() - 0.25).abs() < 1e-6);
        assert!(likely(&logits, 0, 0).top.is_empty());
        assert_eq!(likely(&logits, 0, 9).top.len(), 4);
    }
}
