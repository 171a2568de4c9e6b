//! How a text that was cut off is made whole: the quotation mark, the brackets, and what else is still owed.
//!
//! A grammar says what may come next, not what is the shortest way out. So several ways are tried, byte by byte, each with
//! another order of what it would rather write, and the shortest that ends is taken. No model is asked: a context that is full
//! is no hindrance.

use anyhow::{Result, bail};
use llguidance::Matcher;

use crate::kernels::random::Random;

/// Bytes that a way out by rule may have. JSON of a few dozen required fields needs some thousand.
const MOST_BYTES: usize = 2048;

/// Ways that are tried by chance after those by rule, and bytes that each may have.
const N_RANDOM: u64 = 16;
const MOST_RANDOM: usize = 256;

/// What to rather write, first to last: what closes, then what separates, then what fills.
const CLOSING_FIRST: &[u8] = b"\"'}])>;.\n,: 0aA";

/// The same where a quotation is open and its end not allowed yet: letters before brackets, which would only be text there.
const FILLING_FIRST: &[u8] = b"\"'a0A}])>;.\n,: ";

/// Tokens (one for each of `bytes`) that make the text after `matcher` whole.
pub(super) fn close(matcher: &Matcher, bytes: &[Option<u32>]) -> Result<Vec<u32>> {
    let mut random = Random::new(0, 0);
    let mut shortest: Option<Vec<u32>> = None;
    for attempt in 0..2 + N_RANDOM {
        if attempt >= 2 && shortest.is_some() {
            break;
        }
        let most = if attempt < 2 { MOST_BYTES } else { MOST_RANDOM };
        let most = shortest.as_ref().map_or(most, Vec::len);
        let found = match attempt {
            0 => way_out(matcher, bytes, most, &mut || in_order(FILLING_FIRST)),
            1 => way_out(matcher, bytes, most, &mut || in_order(CLOSING_FIRST)),
            // Every byte by chance gets out of any loop that a fixed order runs in, sooner or later.
            _ => way_out(matcher, bytes, most, &mut || {
                let mut order = in_order(CLOSING_FIRST);
                random.shuffle(&mut order);
                order
            }),
        };
        shortest = found.or(shortest);
    }
    match shortest {
        Some(ids) => Ok(ids),
        None => bail!("the text was cut off, and no way to end it as the grammar demands was found"),
    }
}

/// All bytes, those of `first` before the others.
fn in_order(first: &[u8]) -> Vec<u8> {
    let others = (0..=255).filter(|byte| !first.contains(byte));
    first.iter().copied().chain(others).collect()
}

/// Writes what is forced, and else the first byte that is allowed; `None` if that takes `most` bytes or more.
fn way_out(
    matcher: &Matcher,
    bytes: &[Option<u32>],
    most: usize,
    preferred: &mut dyn FnMut() -> Vec<u8>,
) -> Option<Vec<u32>> {
    let mut matcher = matcher.deep_clone();
    let mut written = Vec::new();
    while written.len() < most {
        if matcher.is_stopped() || matcher.is_accepting().ok()? {
            return Some(written);
        }
        let order = preferred();
        let mut ids = order.iter().filter_map(|&byte| bytes[usize::from(byte)]);
        let id = ids.find(|&id| matches!(matcher.try_consume_tokens(&[id]), Ok(1)))?;
        written.push(id);
    }
    None
}
