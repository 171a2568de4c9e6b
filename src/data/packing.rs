//! Windows that begin where documents begin: each pass shuffles the documents and packs them, so that every token is in
//! one window.
//!
//! A document that fits into a window is one piece. A longer one is cut at a random offset and then every window's
//! length, so that passes differ; one long document alone thus becomes shuffled windows. Pieces are shuffled, and a window
//! is filled with the longest piece among the next ones that fits into what room is left (best fit, as in Ding et al., "Fewer
//! truncations improve language modeling", arXiv 2404.10830); where none fits, one is cut, and its rest fills some later
//! window's room. So every window begins with the beginning of a document, or in one longer than a window, and there is
//! never more than one rest. A token's target is the one that follows it in the text, whatever stands beside it in the window.
//!
//! Every document begins with the token that the text begins with.

use super::loader::TokenSource;
use crate::kernels::random::Random;
use std::ops::Range;

/// Pieces to choose from: with so many, a piece that fits exactly is there in most cases.
const POOL: usize = 64;

/// Tokens read at a time in the search for documents.
const CHUNK: usize = 1 << 16;

/// A piece's length is in the lower bits of a number, its start in the upper ones: 8 bytes for each document.
const LENGTH_BITS: u32 = 20;

/// The longest window that pieces can have.
pub(super) const MAX_WINDOW: usize = (1 << LENGTH_BITS) - 1;

/// Tokens that stand together, waiting for a window.
#[derive(Debug, Clone, Copy)]
struct Piece {
    start: usize,
    len: usize,
    /// Whether it was cut off a piece for want of room.
    is_rest: bool,
}

/// One pass: the windows that are still to be given.
#[derive(Debug)]
pub(super) struct Packing {
    block_size: usize,
    /// Shuffled pieces; those from `next` on have not been in the pool.
    pieces: Vec<u64>,
    next: usize,
    pool: Vec<Piece>,
}

impl Packing {
    /// The pass whose cuts and order come from `random`.
    pub(super) fn new(source: &dyn TokenSource, block_size: usize, mut random: Random) -> Packing {
        let mut pieces = Vec::new();
        let mut cut = |document: Range<usize>| {
            let mut start = document.start;
            if document.len() > block_size {
                let head = 1 + random.below(block_size as u64) as usize;
                pieces.push(packed(start, head));
                start += head;
            }
            while start < document.end {
                let len = block_size.min(document.end - start);
                pieces.push(packed(start, len));
                start += len;
            }
        };
        documents(source, &mut cut);
        random.shuffle(&mut pieces);
        Packing { block_size, pieces, next: 0, pool: Vec::with_capacity(POOL) }
    }

    /// The next window as ranges of the text, in `parts`. The caller stops while a whole window is left.
    pub(super) fn window(&mut self, parts: &mut Vec<Range<usize>>) {
        parts.clear();
        let mut room = self.block_size;
        while room > 0 {
            self.refill();
            let i = if room == self.block_size { self.first() } else { self.best_fit(room) };
            let piece = &mut self.pool[i];
            let len = piece.len.min(room);
            parts.push(piece.start..piece.start + len);
            room -= len;
            if len < piece.len {
                *piece = Piece { start: piece.start + len, len: piece.len - len, is_rest: true };
            } else {
                self.pool.remove(i);
            }
        }
    }

    fn refill(&mut self) {
        while self.pool.len() < POOL && self.next < self.pieces.len() {
            let piece = self.pieces[self.next];
            let (start, len) = ((piece >> LENGTH_BITS) as usize, piece as usize & MAX_WINDOW);
            self.pool.push(Piece { start, len, is_rest: false });
            self.next += 1;
        }
    }

    /// The piece that a window begins with: the oldest that is no rest.
    fn first(&self) -> usize {
        self.pool.iter().position(|piece| !piece.is_rest).expect("a rest is shorter than a window")
    }

    /// The longest piece that fits, or else one to cut: the rest, so that there is never a second one, or the oldest.
    fn best_fit(&self, room: usize) -> usize {
        let fitting = self.pool.iter().enumerate().rev().filter(|(_, piece)| piece.len <= room);
        let best = fitting.max_by_key(|(_, piece)| piece.len).map(|(i, _)| i);
        best.unwrap_or_else(|| self.pool.iter().position(|piece| piece.is_rest).unwrap_or(0))
    }
}

fn packed(start: usize, len: usize) -> u64 {
    (start as u64) << LENGTH_BITS | len as u64
}

/// Calls `each` with the places of all documents, in order. The text's last token is in none: it has no target.
pub(super) fn documents(source: &dyn TokenSource, each: &mut dyn FnMut(Range<usize>)) {
    let n = source.n_tokens() - 1;
    let mut chunk = vec![0; CHUNK.min(n)];
    let (mut mark, mut begun) = (None, 0);
    for first in (0..n).step_by(CHUNK) {
        let chunk = &mut chunk[..CHUNK.min(n - first)];
        source.copy_tokens(first, chunk);
        let mark = *mark.get_or_insert(chunk[0]);
        for i in chunk.iter().enumerate().filter(|&(_, &token)| token == mark).map(|(i, _)| first + i) {
            if i > begun {
                each(begun..i);
                begun = i;
            }
        }
    }
    each(begun..n);
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: usize = 16;

    /// A text of documents with these many tokens each; token 0 begins each.
    fn text(lengths: &[usize]) -> Vec<u32> {
        lengths.iter().flat_map(|&n| (0..n as u32).map(|i| i.min(1))).collect()
    }

    fn windows(source: &Vec<u32>, seed: u64) -> Vec<Vec<Range<usize>>> {
        let mut packing = Packing::new(source, T, Random::new(seed, 0));
        let mut parts = Vec::new();
        let mut next = || {
            packing.window(&mut parts);
            parts.clone()
        };
        (0..(source.len() - 1) / T).map(|_| next()).collect()
    }

    #[test]
    fn every_token_is_in_one_window_and_every_window_begins_a_document_or_goes_on_in_a_long_one() {
        let mut random = Random::new(1, 0);
        for longest in [6, 15, 40] {
            let lengths: Vec<usize> = (0..300).map(|_| 2 + random.below(longest) as usize).collect();
            let source = text(&lengths);
            let windows = windows(&source, 5);
            let mut n_seen = vec![0; source.len()];
            for parts in &windows {
                assert_eq!(parts.iter().map(Range::len).sum::<usize>(), T);
                parts.iter().flat_map(Clone::clone).for_each(|i| n_seen[i] += 1);
                let start = parts[0].start;
                let document = source[..=start].iter().rposition(|&t| t == 0).unwrap();
                let end = source[start + 1..].iter().position(|&t| t == 0).map_or(source.len(), |i| start + 1 + i);
                assert!(document == start || end - document > T, "a window begins at {start} in {document}..{end}");
            }
            assert!(n_seen.iter().all(|&n| n <= 1));
            let n_missed = n_seen.iter().filter(|&&n| n == 0).count();
            assert!(n_missed <= T, "{n_missed} tokens in no window");
        }
    }

    #[test]
    fn short_documents_are_seldom_cut() {
        let lengths: Vec<usize> = (0..400).map(|i| 2 + i * 7 % 9).collect();
        let windows = windows(&text(&lengths), 2);
        let n_parts: usize = windows.iter().map(Vec::len).sum();
        // One document after another would be cut at the end of nearly every window.
        assert!(n_parts < 400 + windows.len() / 4, "{n_parts} parts of 400 documents in {} windows", windows.len());
    }

    #[test]
    fn one_long_document_becomes_shuffled_windows_cut_elsewhere_in_each_pass() {
        let source = text(&[T * 50 + 5]);
        let (first, second) = (windows(&source, 1), windows(&source, 2));
        let n_whole = first.iter().filter(|parts| parts.len() == 1).count();
        assert!(n_whole >= first.len() - 2, "{n_whole} of {} windows are whole", first.len());
        assert!(first.windows(2).filter(|w| w[0][0].end == w[1][0].start).count() < 10, "they are in order");
        assert_ne!(first[0][0].start % T, second[0][0].start % T);
    }
}
