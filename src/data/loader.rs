//! Training batches: windows of the token stream in a shuffled order, every window once a pass.
//!
//! A pass begins at a random offset below the window's length and cuts the stream into windows that do not overlap; they
//! are shuffled anew each pass. So a pass sees every token once, later passes see other windows, and the whole order is a
//! function of the seed. The state is two numbers, pass and place, which a checkpoint keeps.

use crate::formats::token_shard::Shard;
use crate::kernels::random::Random;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// A stream of token ids that can be read from anywhere.
pub trait TokenSource: Sync {
    /// Number of tokens.
    fn n_tokens(&self) -> usize;
    /// Copies `out.len()` tokens from `start`; the caller stays within `n_tokens`.
    fn copy_tokens(&self, start: usize, out: &mut [u32]);
}

impl TokenSource for Vec<u32> {
    fn n_tokens(&self) -> usize {
        self.len()
    }

    fn copy_tokens(&self, start: usize, out: &mut [u32]) {
        out.copy_from_slice(&self[start..start + out.len()]);
    }
}

impl TokenSource for Shard {
    fn n_tokens(&self) -> usize {
        self.len()
    }

    fn copy_tokens(&self, start: usize, out: &mut [u32]) {
        self.copy(start, out);
    }
}

/// Where a loader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LoaderState {
    /// Passes over the text completed.
    pub pass: u64,
    /// Windows of this pass already given.
    pub n_given: usize,
}

/// Gives shuffled windows of `block_size + 1` tokens: inputs and, shifted by one, targets.
pub struct Loader<'a> {
    source: &'a dyn TokenSource,
    block_size: usize,
    seed: u64,
    state: LoaderState,
    offset: usize,
    order: Vec<u32>,
    window: Vec<u32>,
}

/// Random streams of the loader; the initial weights use small stream numbers.
const STREAM: u64 = 1 << 32;

impl<'a> Loader<'a> {
    /// A loader at `state` (the default is the beginning).
    pub fn new(source: &'a dyn TokenSource, block_size: usize, seed: u64, state: LoaderState) -> Result<Loader<'a>> {
        ensure!(
            source.n_tokens() > block_size,
            "the training text has {} tokens, but a context of {block_size} needs at least {}: choose a smaller --context",
            source.n_tokens(),
            block_size + 1
        );
        ensure!(
            source.n_tokens() / block_size < u32::MAX as usize,
            "more than 4 billion windows of {block_size} tokens"
        );
        let window = vec![0; block_size + 1];
        let mut loader = Loader { source, block_size, seed, state, offset: 0, order: Vec::new(), window };
        loader.shuffle();
        Ok(loader)
    }

    /// Where the loader stands now.
    pub fn state(&self) -> LoaderState {
        self.state
    }

    /// Fills `ids` and `targets` (B, T each) with the next B windows.
    pub fn fill(&mut self, ids: &mut [u32], targets: &mut [u32]) {
        for (ids, targets) in ids.chunks_exact_mut(self.block_size).zip(targets.chunks_exact_mut(self.block_size)) {
            if self.state.n_given == self.order.len() {
                self.state = LoaderState { pass: self.state.pass + 1, n_given: 0 };
                self.shuffle();
            }
            let start = self.offset + self.order[self.state.n_given] as usize * self.block_size;
            self.source.copy_tokens(start, &mut self.window);
            ids.copy_from_slice(&self.window[..self.block_size]);
            targets.copy_from_slice(&self.window[1..]);
            self.state.n_given += 1;
        }
    }

    /// Draws this pass' offset and order (Fisher and Yates).
    fn shuffle(&mut self) {
        let mut random = Random::new(self.seed, STREAM + self.state.pass);
        // The last window needs its target, so room for an offset is what is left after one whole window.
        let room = (self.source.n_tokens() - 1 - self.block_size).min(self.block_size - 1);
        self.offset = random.below(room as u64 + 1) as usize;
        let n_windows = (self.source.n_tokens() - 1 - self.offset) / self.block_size;
        self.order.clear();
        self.order.extend(0..n_windows as u32);
        for i in (1..n_windows).rev() {
            self.order.swap(i, random.below(i as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: usize = 8;

    fn starts(loader: &mut Loader, n: usize) -> Vec<u32> {
        (0..n)
            .map(|_| {
                let (mut ids, mut targets) = ([0; T], [0; T]);
                loader.fill(&mut ids, &mut targets);
                assert_eq!(targets[0], ids[1]);
                assert_eq!(targets[T - 1], ids[T - 1] + 1);
                ids[0]
            })
            .collect()
    }

    #[test]
    fn a_pass_gives_each_window_once_and_the_next_pass_another_order() {
        let source: Vec<u32> = (0..200).collect();
        let mut loader = Loader::new(&source, T, 1, LoaderState::default()).unwrap();
        let n = loader.order.len();
        let first = starts(&mut loader, n);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|w| w[1] - w[0] == T as u32), "{sorted:?} overlap or leave gaps");
        assert!(n >= 23, "{n} windows of a possible 24");
        assert_ne!(starts(&mut loader, n), first);
    }

    #[test]
    fn a_resumed_loader_continues_where_it_was_left() {
        let source: Vec<u32> = (0..100).collect();
        let mut whole = Loader::new(&source, T, 7, LoaderState::default()).unwrap();
        starts(&mut whole, 17);
        let mut resumed = Loader::new(&source, T, 7, whole.state()).unwrap();
        assert_eq!(starts(&mut whole, 20), starts(&mut resumed, 20));
    }

    #[test]
    fn the_shortest_text_is_one_window_and_a_shorter_one_an_error_with_both_numbers() {
        let source: Vec<u32> = (0..9).collect();
        assert_eq!(starts(&mut Loader::new(&source, T, 1, LoaderState::default()).unwrap(), 2), [0, 0]);
        let source: Vec<u32> = (0..8).collect();
        let message = Loader::new(&source, T, 1, LoaderState::default()).err().expect("too short").to_string();
        assert!(message.contains("8 tokens") && message.contains("at least 9"), "{message}");
    }
}
