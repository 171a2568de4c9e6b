//! The suffix automaton of a sequence of numbers, with a memory of which stretches a second sequence has in common with it.
//!
//! The automaton is that of Blumer et al., "The smallest automaton recognizing the subwords of a text" (Theoretical
//! Computer Science 40, 1985): every stretch of the first sequence is a path from the root. A second sequence walks
//! through it and stands, after each number, at the longest stretch that ends there and occurs in the first. Both take
//! time in proportion to the sequence, however often it repeats itself, and memory grows with the first one only.

use ahash::AHashMap;

const ROOT: usize = 0;

/// Stretches that end at the same places of the sequence.
#[derive(Debug, Clone, Default)]
struct State {
    /// The longest of them.
    n_longest: usize,
    /// The state of the longest ending of these that also ends elsewhere; of the root, itself.
    link: usize,
    edges: AHashMap<u32, usize>,
    /// The longest of them that the walk has met; 0 for none.
    n_met: usize,
}

/// The automaton, and the place of the walk in it.
#[derive(Debug)]
pub(super) struct Automaton {
    states: Vec<State>,
    /// For each number of the sequence, the state of all that comes before and the number itself.
    prefixes: Vec<usize>,
    state: usize,
    n_matched: usize,
}

impl Automaton {
    /// The automaton of `sequence`, with the walk at the root.
    pub(super) fn new(sequence: &[u32]) -> Automaton {
        let mut automaton =
            Automaton { states: vec![State::default()], prefixes: Vec::new(), state: ROOT, n_matched: 0 };
        sequence.iter().for_each(|&number| automaton.append(number));
        automaton
    }

    fn append(&mut self, number: u32) {
        let last = self.prefixes.last().copied();
        let new = self.states.len();
        self.states.push(State { n_longest: self.prefixes.len() + 1, ..State::default() });
        self.prefixes.push(new);
        let mut from = Some(last.unwrap_or(ROOT));
        while let Some(state) = from.filter(|&state| !self.states[state].edges.contains_key(&number)) {
            self.states[state].edges.insert(number, new);
            from = (state != ROOT).then(|| self.states[state].link);
        }
        self.states[new].link = from.map_or(ROOT, |state| self.only_from(state, number));
    }

    /// The state to which `number` leads from `from`, parted from the longer stretches that do not end there.
    fn only_from(&mut self, from: usize, number: u32) -> usize {
        let target = self.states[from].edges[&number];
        let n_longest = self.states[from].n_longest + 1;
        if self.states[target].n_longest == n_longest {
            return target;
        }
        let shorter = self.states.len();
        self.states.push(State { n_longest, ..self.states[target].clone() });
        self.states[target].link = shorter;
        let mut state = Some(from);
        while let Some(at) = state.filter(|&at| self.states[at].edges.get(&number) == Some(&target)) {
            self.states[at].edges.insert(number, shorter);
            state = (at != ROOT).then(|| self.states[at].link);
        }
        shorter
    }

    /// The next number of the walk; `None` is one that the sequence does not have.
    pub(super) fn walk(&mut self, number: Option<u32>) {
        let Some(number) = number else {
            (self.state, self.n_matched) = (ROOT, 0);
            return;
        };
        loop {
            let State { link, ref edges, .. } = self.states[self.state];
            if let Some(&next) = edges.get(&number) {
                (self.state, self.n_matched) = (next, self.n_matched + 1);
                break;
            }
            if self.state == ROOT {
                break;
            }
            (self.state, self.n_matched) = (link, self.states[link].n_longest);
        }
        let met = &mut self.states[self.state].n_met;
        *met = self.n_matched.max(*met);
    }

    /// For each place of the sequence: the longest stretch ending there that the walk has met.
    pub(super) fn met(mut self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.states.len()).collect();
        order.sort_unstable_by_key(|&state| std::cmp::Reverse(self.states[state].n_longest));
        // Whoever met a stretch met all its endings.
        for state in order {
            let State { n_met, link, .. } = self.states[state];
            if n_met > 0 && state != ROOT {
                self.states[link].n_met = self.states[link].n_longest;
            }
        }
        let longest = |&prefix: &usize| {
            let mut state = prefix;
            while self.states[state].n_met == 0 && state != ROOT {
                state = self.states[state].link;
            }
            self.states[state].n_met
        };
        self.prefixes.iter().map(longest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::Random;

    /// The same by trying every stretch.
    fn met_by_hand(sequence: &[u32], walk: &[u32]) -> Vec<usize> {
        let ends = |end: usize| {
            let fits = |n: &usize| walk.windows(*n).any(|stretch| stretch == &sequence[end + 1 - n..=end]);
            (1..=end + 1).rev().find(fits).unwrap_or(0)
        };
        (0..sequence.len()).map(ends).collect()
    }

    #[test]
    fn the_longest_common_endings_are_those_found_by_trying_all() {
        for seed in 0..40 {
            let mut random = Random::new(seed, 0);
            let n_numbers = 2 + seed % 4;
            let mut numbers = |n: usize| (0..n).map(|_| random.below(n_numbers) as u32).collect::<Vec<_>>();
            let (sequence, walk) = (numbers(60), numbers(40));
            let mut automaton = Automaton::new(&sequence);
            walk.iter().for_each(|&number| automaton.walk(Some(number)));
            assert_eq!(automaton.met(), met_by_hand(&sequence, &walk), "{sequence:?} and {walk:?}");
        }
    }

    #[test]
    fn an_unknown_number_ends_a_stretch() {
        let mut automaton = Automaton::new(&[1, 2, 3, 4]);
        for number in [Some(1), Some(2), None, Some(3), Some(4)] {
            automaton.walk(number);
        }
        assert_eq!(automaton.met(), [1, 2, 1, 2]);
        assert!(Automaton::new(&[]).met().is_empty());
    }
}
