//! DRY, "don't repeat yourself": a penalty for the token that would go on with a passage that was there before.

use super::candidates::Candidates;

/// The penalty grows with the length of the repeated passage: multiplier * base^(length - allowed length). So a name or an
/// idiom may come again, while a loop is broken (p-e-w, text-generation-webui pull request 5677, 2024).
pub(super) struct Dry<'a> {
    /// How strong it is; 0 is off.
    pub(super) multiplier: f32,
    /// By how much it grows with each token repeated.
    pub(super) base: f32,
    /// Tokens that may be repeated without a penalty, less one.
    pub(super) allowed_length: usize,
    /// Whether an id breaks passages, as a line's end does: no repetition goes across, and it is never penalised itself.
    pub(super) breaks: &'a dyn Fn(u32) -> bool,
}

/// Buffers kept from token to token.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// At k: how many ids before the last k are the same as at the end. Z-function of the window read backwards.
    matched: Vec<usize>,
}

impl Dry<'_> {
    /// Applies it after the ids of `window`; `longest` is scratch, with a zero for each id of the vocabulary.
    pub(super) fn apply(
        &self,
        candidates: &mut Candidates,
        window: &[u32],
        longest: &mut [u32],
        Scratch { matched }: &mut Scratch,
    ) {
        if self.multiplier == 0.0 {
            return;
        }
        let most = window.iter().rev().take_while(|&&id| !(self.breaks)(id)).count();
        if most < self.allowed_length || window.len() < 2 {
            return;
        }
        let back = |i: usize| window[window.len() - 1 - i];
        z_function(window.len(), back, matched);
        for k in 1..window.len() {
            // After the passage that ends before the last k ids came the k-th last.
            let (id, length) = (back(k - 1), matched[k].min(most));
            if length >= self.allowed_length.max(1)
                && let Some(so_far) = longest.get_mut(id as usize)
            {
                *so_far = (*so_far).max(length as u32);
            }
        }
        candidates.shift(|id, logit| match longest[id as usize] {
            0 => logit,
            _ if (self.breaks)(id) => logit,
            length => logit - self.penalty(length as usize),
        });
        for &id in window {
            if let Some(length) = longest.get_mut(id as usize) {
                *length = 0;
            }
        }
    }

    /// May be infinite; logits have a bound of their own.
    fn penalty(&self, length: usize) -> f32 {
        self.multiplier * self.base.powf((length - self.allowed_length) as f32)
    }
}

/// For each k from 1 on: how far `at(k..)` agrees with `at(0..)`, of `n` ids. Linear: what lies in a stretch that is known
/// to agree with the beginning is copied from there (Gusfield, "Algorithms on Strings, Trees, and Sequences", 1997).
fn z_function(n: usize, at: impl Fn(usize) -> u32, z: &mut Vec<usize>) {
    z.clear();
    z.resize(n, 0);
    let (mut left, mut right) = (0, 0);
    for k in 1..n {
        if k < right {
            z[k] = z[k - left].min(right - k);
        }
        while k + z[k] < n && at(z[k]) == at(k + z[k]) {
            z[k] += 1;
        }
        if k + z[k] > right {
            (left, right) = (k, k + z[k]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agreement_with_the_beginning_is_what_comparing_gives(ids in prop::collection::vec(0u32..3, 1..60)) {
            let mut z = Vec::new();
            z_function(ids.len(), |i| ids[i], &mut z);
            for k in 1..ids.len() {
                let plain = ids.iter().zip(&ids[k..]).take_while(|(a, b)| a == b).count();
                prop_assert_eq!(z[k], plain, "at {}", k);
            }
        }
    }
}
