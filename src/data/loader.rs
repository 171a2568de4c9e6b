//! Training batches: windows of the token stream in a shuffled order, every token once a pass.
//!
//! A pass begins at a random offset below the window's length and cuts the stream into windows that do not overlap; they
//! are shuffled anew each pass. So a pass sees every token once, later passes see other windows, and the whole order is a
//! function of the seed. The state is two numbers, pass and place, which a checkpoint keeps. The other orders ([`Order`])
//! keep the same state.

use super::conversations::{Turns, copy_window, pack};
use super::packing::{MAX_WINDOW, Packing};
use crate::formats::token_shard::Shard;
use crate::kernels::random::Random;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::ops::Range;

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

/// Which windows a pass gives, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Windows that do not overlap, cut from the whole stream and shuffled.
    #[default]
    Shuffled,
    /// Windows from anywhere, drawn anew each time: some tokens come often, some never. What is customary elsewhere.
    Random,
    /// Windows that begin where documents begin, as far as documents fit into windows; shuffled.
    Documents,
    /// Windows of whole conversations, of which only what the assistant says is learned; shuffled.
    Conversations,
}

/// Gives windows of `block_size` tokens: inputs and, shifted by one, targets.
pub struct Loader<'a> {
    source: &'a dyn TokenSource,
    block_size: usize,
    order: Order,
    /// With [`Order::Conversations`], whose turns are learned.
    turns: Option<&'a Turns>,
    seed: u64,
    state: LoaderState,
    pass: Pass,
    /// The next window's places in the stream.
    parts: Vec<Range<usize>>,
    window: Vec<u32>,
}

/// What is drawn at the beginning of a pass.
enum Pass {
    Shuffled { offset: usize, order: Vec<u32> },
    Random(Random),
    Documents(Packing),
    Conversations(Vec<Vec<Range<usize>>>),
}

/// Random streams of the loader; the initial weights use small stream numbers.
const STREAM: u64 = 1 << 32;

impl<'a> Loader<'a> {
    /// A loader at `state` (the default is the beginning); `turns` go with [`Order::Conversations`].
    pub fn new(
        source: &'a dyn TokenSource,
        block_size: usize,
        (order, turns): (Order, Option<&'a Turns>),
        seed: u64,
        state: LoaderState,
    ) -> Result<Loader<'a>> {
        ensure!(
            (order == Order::Conversations) == turns.is_some(),
            "windows of conversations are made where it is known which turns are learned, and only there"
        );
        let n_tokens = source.n_tokens();
        ensure!(
            n_tokens > block_size || (order == Order::Conversations && n_tokens > 1),
            "the training text has {n_tokens} tokens, but a context of {block_size} needs at least {}: choose a smaller --context",
            block_size + 1
        );
        ensure!(n_tokens / block_size < u32::MAX as usize, "more than 4 billion windows of {block_size} tokens");
        ensure!(
            order != Order::Documents || block_size <= MAX_WINDOW,
            "a context of {block_size} tokens, but --order documents can pack at most {MAX_WINDOW}"
        );
        let pass = Pass::new(source, block_size, order, (seed, state.pass));
        let (parts, window) = (Vec::new(), vec![0; block_size + 1]);
        let mut loader = Loader { source, block_size, order, turns, seed, state, pass, parts, window };
        loader.skip_given();
        Ok(loader)
    }

    /// Where the loader stands now.
    pub fn state(&self) -> LoaderState {
        self.state
    }

    /// Fills `ids` and `targets` (B, T each) with the next B windows; and with [`Order::Conversations`] `starts`, the place
    /// in its window at which each token's conversation begins. Otherwise `starts` stay as they are.
    pub fn fill(&mut self, ids: &mut [u32], targets: &mut [u32], starts: &mut [u32]) {
        let t = self.block_size;
        assert!(targets.len() == ids.len() && starts.len() == ids.len(), "a target and a start for each id");
        let windows = ids.chunks_exact_mut(t).zip(targets.chunks_exact_mut(t)).zip(starts.chunks_exact_mut(t));
        for ((ids, targets), starts) in windows {
            if self.state.n_given == self.n_windows() {
                self.state = LoaderState { pass: self.state.pass + 1, n_given: 0 };
                self.pass = Pass::new(self.source, self.block_size, self.order, (self.seed, self.state.pass));
            }
            self.find_window();
            match self.turns {
                Some(turns) => copy_window(self.source, turns, &self.parts, (ids, targets, starts)),
                None => self.copy_parts(ids, targets),
            }
            self.state.n_given += 1;
        }
    }

    /// Copies the window whose places are in `parts`. Each part's targets are the tokens that follow in the text, also at
    /// its end.
    fn copy_parts(&mut self, ids: &mut [u32], targets: &mut [u32]) {
        let mut at = 0;
        for part in &self.parts {
            let window = &mut self.window[..part.len() + 1];
            self.source.copy_tokens(part.start, window);
            ids[at..at + part.len()].copy_from_slice(&window[..part.len()]);
            targets[at..at + part.len()].copy_from_slice(&window[1..]);
            at += part.len();
        }
    }

    /// Windows that a pass gives.
    fn n_windows(&self) -> usize {
        match &self.pass {
            Pass::Shuffled { order, .. } => order.len(),
            Pass::Conversations(windows) => windows.len(),
            Pass::Random(_) | Pass::Documents(_) => (self.source.n_tokens() - 1) / self.block_size,
        }
    }

    /// Puts the places of window `n_given` of this pass into `parts`.
    fn find_window(&mut self) {
        let start = match &mut self.pass {
            Pass::Shuffled { offset, order } => *offset + order[self.state.n_given] as usize * self.block_size,
            Pass::Random(random) => random.below((self.source.n_tokens() - self.block_size) as u64) as usize,
            Pass::Documents(packing) => return packing.window(&mut self.parts),
            Pass::Conversations(windows) => return self.parts.clone_from(&windows[self.state.n_given]),
        };
        self.parts.clear();
        self.parts.push(start..start + self.block_size);
    }

    /// Brings a new pass to the place where the state stands.
    fn skip_given(&mut self) {
        match &mut self.pass {
            Pass::Shuffled { .. } | Pass::Conversations(_) => {}
            Pass::Random(random) => random.seek(self.state.n_given as u64),
            // Packing is quick beside training: a million windows take about a second.
            Pass::Documents(packing) => (0..self.state.n_given).for_each(|_| packing.window(&mut self.parts)),
        }
    }
}

impl Pass {
    /// Draws pass `pass` of `seed`.
    fn new(source: &dyn TokenSource, block_size: usize, order: Order, (seed, pass): (u64, u64)) -> Pass {
        let mut random = Random::new(seed, STREAM + pass);
        match order {
            Order::Random => Pass::Random(random),
            Order::Documents => Pass::Documents(Packing::new(source, block_size, random)),
            Order::Conversations => Pass::Conversations(pack(source, block_size, Some(random))),
            Order::Shuffled => {
                // The last window needs its target, so room for an offset is what is left after one whole window.
                let room = (source.n_tokens() - 1 - block_size).min(block_size - 1);
                let offset = random.below(room as u64 + 1) as usize;
                let n_windows = (source.n_tokens() - 1 - offset) / block_size;
                let mut order: Vec<u32> = (0..n_windows as u32).collect();
                random.shuffle(&mut order);
                Pass::Shuffled { offset, order }
            }
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
                loader.fill(&mut ids, &mut targets, &mut [0; T]);
                assert_eq!(targets[0], ids[1]);
                assert_eq!(targets[T - 1], ids[T - 1] + 1);
                ids[0]
            })
            .collect()
    }

    #[test]
    fn a_pass_gives_each_window_once_and_the_next_pass_another_order() {
        let source: Vec<u32> = (0..200).collect();
        let mut loader = Loader::new(&source, T, (Order::Shuffled, None), 1, LoaderState::default()).unwrap();
        let n = loader.n_windows();
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
        for order in [Order::Shuffled, Order::Random] {
            let mut whole = Loader::new(&source, T, (order, None), 7, LoaderState::default()).unwrap();
            starts(&mut whole, 17);
            let mut resumed = Loader::new(&source, T, (order, None), 7, whole.state()).unwrap();
            assert_eq!(starts(&mut whole, 20), starts(&mut resumed, 20));
        }
    }

    #[test]
    fn random_windows_begin_anywhere_and_come_again() {
        let source: Vec<u32> = (0..=100).collect();
        let mut loader = Loader::new(&source, T, (Order::Random, None), 1, LoaderState::default()).unwrap();
        let mut starts = starts(&mut loader, 1000);
        starts.sort_unstable();
        starts.dedup();
        // 93 starts are possible, and each is drawn more than ten times on average.
        assert_eq!((starts.len(), starts[0], starts[92]), (93, 0, 92));
    }

    /// Documents of 5, 3 and 12 tokens, again and again, each beginning with 0.
    fn documents() -> Vec<u32> {
        (0..30).flat_map(|i| 0..[5, 3, 12][i % 3]).collect()
    }

    #[test]
    fn in_the_order_of_documents_every_target_follows_its_token_in_the_text() {
        let source = documents();
        let mut loader = Loader::new(&source, T, (Order::Documents, None), 1, LoaderState::default()).unwrap();
        let (mut ids, mut targets) = ([0; T], [0; T]);
        for _ in 0..3 * loader.n_windows() {
            loader.fill(&mut ids, &mut targets, &mut [0; T]);
            for (id, target) in ids.iter().zip(targets) {
                assert!(target == id + 1 || (target == 0 && [4, 2, 11].contains(id)), "{target} after {id}");
            }
        }
        assert_eq!(loader.state().pass, 2);
    }

    #[test]
    fn the_order_of_documents_can_be_resumed_at_any_place_and_changes_from_pass_to_pass() {
        let source = documents();
        let batches = |state, n| {
            let mut loader = Loader::new(&source, T, (Order::Documents, None), 3, state).unwrap();
            let batches: Vec<[[u32; T]; 2]> = (0..n)
                .map(|_| {
                    let (mut ids, mut targets) = ([0; T], [0; T]);
                    loader.fill(&mut ids, &mut targets, &mut [0; T]);
                    [ids, targets]
                })
                .collect();
            (batches, loader.state())
        };
        let n_windows = (source.len() - 1) / T;
        let (whole, _) = batches(LoaderState::default(), 3 * n_windows);
        assert_ne!(whole[..n_windows], whole[n_windows..2 * n_windows]);
        for n in [1, n_windows - 1, n_windows, n_windows + 5] {
            let (_, state) = batches(LoaderState::default(), n);
            assert_eq!(batches(state, n_windows).0, whole[n..n + n_windows], "after {n}");
        }
    }

    #[test]
    fn the_shortest_text_is_one_window_and_a_shorter_one_an_error_with_both_numbers() {
        let source: Vec<u32> = (0..9).collect();
        for order in [Order::Shuffled, Order::Random, Order::Documents] {
            let mut loader = Loader::new(&source, T, (order, None), 1, LoaderState::default()).unwrap();
            let (mut ids, mut targets) = ([0; 2 * T], [0; 2 * T]);
            loader.fill(&mut ids, &mut targets, &mut [0; 2 * T]);
            assert!(ids.iter().zip(targets).all(|(id, target)| target == id + 1));
        }
        let source: Vec<u32> = (0..8).collect();
        let message = Loader::new(&source, T, (Order::Shuffled, None), 1, LoaderState::default())
            .err()
            .expect("too short")
            .to_string();
        assert!(message.contains("8 tokens") && message.contains("at least 9"), "{message}");
    }
}
