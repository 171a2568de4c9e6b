//! Windows of whole conversations, in which only what the assistant says is learned.
//!
//! A window holds as many conversations as fit, none of them cut, and what room is left stays empty. Each stands for itself:
//! `starts` says for every place where its conversation begins, so that attention does not look into the one before. A
//! conversation that is longer than a window is taken up to the window's end.
//!
//! Which tokens the assistant says is read off the ids, by ChatML's marks ([`Turns`]): those behind the head of a turn
//! of the assistant's, up to and with the mark that ends the turn, since ending is learned too.

use super::loader::TokenSource;
use super::packing::documents;
use crate::kernels::cross_entropy::IGNORED;
use crate::kernels::random::Random;
use crate::tokenizer::Tokenizer;
use anyhow::{Context, Result};
use std::ops::Range;

/// Conversations to choose from when a window's room is filled.
const POOL: usize = 64;

/// The ids by which the assistant's turns are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turns {
    /// The mark that begins a turn.
    start: u32,
    /// The mark that ends one.
    end: u32,
    /// `assistant` and a line end, which follow the first mark.
    assistant: Vec<u32>,
}

impl Turns {
    /// Those of `tokenizer`; fails where it has no ChatML marks.
    pub fn of(tokenizer: &Tokenizer) -> Result<Turns> {
        let missing = "the tokenizer has no <|im_start|> and <|im_end|>, by which turns of a conversation are known";
        let (start, end) = (tokenizer.im_start().context(missing)?, tokenizer.im_end().context(missing)?);
        Ok(Turns { start, end, assistant: tokenizer.encode("assistant\n")? })
    }

    /// Those of another text than a tokenizer makes: the marks that begin and end a turn, and what follows the first in the
    /// assistant's.
    pub fn from_ids(start: u32, end: u32, assistant: Vec<u32>) -> Turns {
        Turns { start, end, assistant }
    }

    /// Whether each of `ids`, which begin outside of any turn, is said by the assistant.
    pub fn said_by_assistant(&self, ids: &[u32]) -> Vec<bool> {
        let mut said = vec![false; ids.len()];
        let mut at = 0;
        while at < ids.len() {
            let head = at + 1..at + 1 + self.assistant.len();
            if ids[at] != self.start || ids.get(head.clone()) != Some(&self.assistant[..]) {
                at += 1;
                continue;
            }
            let length = ids[head.end..].iter().position(|&id| id == self.end).map_or(ids.len() - head.end, |n| n + 1);
            said[head.end..head.end + length].fill(true);
            at = head.end + length;
        }
        said
    }
}

/// The places of the conversations of each window, all of `source` once: in an order drawn from `random`, or where there is
/// none in that of the text.
pub fn pack(source: &dyn TokenSource, block_size: usize, random: Option<Random>) -> Vec<Vec<Range<usize>>> {
    let mut waiting = Vec::new();
    documents(source, &mut |document| waiting.push(document.start..document.end.min(document.start + block_size)));
    if let Some(mut random) = random {
        random.shuffle(&mut waiting);
    }
    let mut waiting = waiting.into_iter();
    let mut pool: Vec<Range<usize>> = waiting.by_ref().take(POOL).collect();
    let mut windows = Vec::new();
    while !pool.is_empty() {
        // The oldest first, so that none waits for ever, and then the longest that fits.
        let mut window = vec![pool.remove(0)];
        let mut room = block_size - window[0].len();
        let longest = |pool: &[Range<usize>], room| {
            let fitting = pool.iter().enumerate().rev().filter(|(_, c): &(usize, &Range<usize>)| c.len() <= room);
            fitting.max_by_key(|(_, c)| c.len()).map(|(i, _)| i)
        };
        while let Some(i) = longest(&pool, room) {
            room -= pool[i].len();
            window.push(pool.remove(i));
        }
        pool.extend(waiting.by_ref().take(window.len()));
        windows.push(window);
    }
    windows
}

/// Where a window goes: ids, targets and starts (T each).
pub type Out<'a> = (&'a mut [u32], &'a mut [u32], &'a mut [u32]);

/// Copies a window: ids, targets ([`IGNORED`] where nothing is learned), and for each place the one at which its
/// conversation begins (T each).
pub fn copy_window(
    source: &dyn TokenSource,
    turns: &Turns,
    conversations: &[Range<usize>],
    (ids, targets, starts): Out,
) {
    let mut at = 0;
    let mut text = vec![0; ids.len() + 1];
    for conversation in conversations {
        let n = conversation.len();
        // One more, the target of the last.
        let text = &mut text[..n + 1];
        source.copy_tokens(conversation.start, text);
        let said = turns.said_by_assistant(text);
        ids[at..at + n].copy_from_slice(&text[..n]);
        for (i, target) in targets[at..at + n].iter_mut().enumerate() {
            *target = if said[i + 1] { text[i + 1] } else { IGNORED };
        }
        starts[at..at + n].fill(at as u32);
        at += n;
    }
    ids[at..].fill(0);
    targets[at..].fill(IGNORED);
    // What is empty sees what is empty, and nobody looks.
    starts[at..].fill(at as u32);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 begins a conversation, 1 and 2 are the marks, 3 is `assistant` and 4 a line end; words are 10 and above.
    fn turns() -> Turns {
        Turns::from_ids(1, 2, vec![3, 4])
    }

    fn conversation(question: u32, answer: &[u32]) -> Vec<u32> {
        [&[0, 1, 5, 4, question, 2, 4, 1, 3, 4], answer, &[2, 4]].concat()
    }

    #[test]
    fn what_the_assistant_says_and_the_end_of_its_turn_is_learned_and_nothing_else() {
        let ids = [conversation(10, &[11, 12]), conversation(13, &[])].concat();
        let said = turns().said_by_assistant(&ids);
        let learned: Vec<u32> = ids.iter().zip(said).filter(|(_, said)| *said).map(|(&id, _)| id).collect();
        assert_eq!(learned, [11, 12, 2, 2]);
    }

    #[test]
    fn a_turn_that_is_cut_off_is_learned_as_far_as_it_goes() {
        assert_eq!(turns().said_by_assistant(&[0, 1, 3, 4, 11, 12]), [false, false, false, false, true, true]);
        assert_eq!(turns().said_by_assistant(&[0, 1, 3]), [false; 3]);
    }

    #[test]
    fn windows_hold_whole_conversations_each_once() {
        let lengths = [30, 5, 12, 70, 20, 9, 41, 3, 3, 28];
        let source: Vec<u32> =
            lengths.iter().flat_map(|&n| (0..n).map(|i| if i == 0 { 0 } else { 9 })).chain([9]).collect();
        for random in [None, Some(Random::new(3, 0))] {
            let windows = pack(&source, 64, random);
            assert!(windows.iter().all(|w| w.iter().map(Range::len).sum::<usize>() <= 64));
            let mut found: Vec<usize> = windows.iter().flatten().map(Range::len).collect();
            found.sort_unstable();
            assert_eq!(found, [3, 3, 5, 9, 12, 20, 28, 30, 41, 64], "the one of 70 is taken up to the window's end");
            assert!(windows.len() <= 5, "{} windows for 215 tokens", windows.len());
            assert!(windows.iter().flatten().all(|c| source[c.start] == 0));
        }
    }

    #[test]
    fn a_window_says_where_each_conversation_begins_and_what_of_it_is_learned() {
        let source = [conversation(10, &[11]), conversation(13, &[14, 15]), vec![0]].concat();
        let windows = pack(&source, 32, None);
        let (mut ids, mut targets, mut starts) = ([7; 32], [7; 32], [7; 32]);
        copy_window(&source, &turns(), &windows[0], (&mut ids, &mut targets, &mut starts));
        assert_eq!(ids[..27], source[..27]);
        let learned: Vec<u32> = targets.iter().copied().filter(|&t| t != IGNORED).collect();
        assert_eq!(learned, [11, 2, 14, 15, 2]);
        // The target stands one place before what is learned.
        assert_eq!((targets[9], targets[10]), (11, 2));
        assert_eq!((starts[12], starts[13], starts[26], starts[27]), (0, 13, 13, 27));
    }
}
