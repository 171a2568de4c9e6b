//! Which documents are held out: about 5 % of the bytes, by the hash of their content.
//!
//! Groups of near-duplicates stay on one side. The choice is a function of the set of documents: file names, folders and
//! order have no say in it. Does not know how hashes or groups come about.

use serde::Serialize;

/// Changes when the same documents would be split in another way; part of the corpus' content hash.
pub(crate) const SPLIT_VERSION: u32 = 1;

/// The two sides of a corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// What the model learns from.
    Train,
    /// What it is measured on: held out.
    Valid,
}

/// A document as the split sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    /// Hash of the content.
    pub(crate) hash: u128,
    /// Bytes of text.
    pub(crate) n_bytes: u64,
    /// Number of its group of near-duplicates; what the number is does not matter.
    pub(crate) group: u32,
}

/// The decision for every item.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// Whether an item is held out as a whole.
    pub(crate) valid: Vec<bool>,
    /// Items of which the last tenth is held out, because whole documents would take too much.
    pub(crate) tails: Vec<usize>,
    /// Whether near-duplicates had to be parted, because nearly everything was one group.
    pub(crate) parted: bool,
}

/// Decides. The shares, in per mille of all bytes:
///
/// 1. groups by their smallest hash, until 50 is reached; a group that would lead farther away from 50 is passed over;
/// 2. if that gave less than 20: the smallest group, if it leads to at most 200;
/// 3. else the same two steps with single documents (then near-duplicates are parted);
/// 4. else what is left are fewer than six long documents: the last tenth of each.
pub(crate) fn split(items: &[Item]) -> Split {
    let by_group = units(items, |item| item.group);
    if let Some(valid) = choose(items, &by_group) {
        return Split { valid, tails: vec![], parted: false };
    }
    let mut number = 0..;
    let singles = units(items, |_| number.next().expect("numbers do not end"));
    if singles.len() > by_group.len()
        && let Some(valid) = choose(items, &singles)
    {
        return Split { valid, tails: vec![], parted: true };
    }
    let mut valid = vec![false; items.len()];
    greedy(items, &singles, &mut valid);
    let tails = (0..items.len()).filter(|&i| !valid[i]).collect();
    Split { valid, tails, parted: singles.len() > by_group.len() }
}

/// Documents that go to one side together.
struct Unit {
    /// The smallest hash among them.
    hash: u128,
    n_bytes: u64,
    members: Vec<usize>,
}

/// Units by their hash.
fn units(items: &[Item], mut key: impl FnMut(&Item) -> u32) -> Vec<Unit> {
    let mut keyed: Vec<(u32, usize)> = items.iter().enumerate().map(|(i, item)| (key(item), i)).collect();
    keyed.sort_unstable();
    let unit = |members: &[(u32, usize)]| Unit {
        hash: members.iter().map(|&(_, i)| items[i].hash).min().expect("a chunk is never empty"),
        n_bytes: members.iter().map(|&(_, i)| items[i].n_bytes).sum(),
        members: members.iter().map(|&(_, i)| i).collect(),
    };
    let mut units: Vec<Unit> = keyed.chunk_by(|a, b| a.0 == b.0).map(unit).collect();
    units.sort_unstable_by_key(|unit| unit.hash);
    units
}

/// Step 1; returns the bytes held out.
fn greedy(items: &[Item], units: &[Unit], valid: &mut [bool]) -> u64 {
    let n_all = total(items);
    let mut n_valid = 0;
    for unit in units {
        if at_least(n_valid, n_all, 50) {
            break;
        }
        // Whether |n_valid + n - 5 %| is at most |n_valid - 5 %|: the first unit may be 10 %, later ones less.
        if !above(2 * n_valid + unit.n_bytes, n_all, 100) {
            n_valid += unit.n_bytes;
            unit.members.iter().for_each(|&i| valid[i] = true);
        }
    }
    n_valid
}

/// Steps 1 and 2.
fn choose(items: &[Item], units: &[Unit]) -> Option<Vec<bool>> {
    let n_all = total(items);
    let mut valid = vec![false; items.len()];
    let n_valid = greedy(items, units, &mut valid);
    if at_least(n_valid, n_all, 20) {
        return Some(valid);
    }
    let rest = units.iter().filter(|unit| !valid[unit.members[0]]);
    let smallest =
        rest.min_by_key(|unit| (unit.n_bytes, unit.hash)).filter(|u| !above(n_valid + u.n_bytes, n_all, 200))?;
    smallest.members.iter().for_each(|&i| valid[i] = true);
    Some(valid)
}

fn total(items: &[Item]) -> u64 {
    items.iter().map(|item| item.n_bytes).sum()
}

/// Whether `part` of `all` is at least this many per mille; in 128 bits, so that no corpus is too large.
fn at_least(part: u64, all: u64, per_mille: u64) -> bool {
    u128::from(part) * 1000 >= u128::from(all) * u128::from(per_mille)
}

fn above(part: u64, all: u64, per_mille: u64) -> bool {
    u128::from(part) * 1000 > u128::from(all) * u128::from(per_mille)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::Random;

    fn items(n_bytes: &[u64]) -> Vec<Item> {
        let mut random = Random::new(1, 0);
        let mut item = |(i, &n_bytes): (usize, &u64)| Item { hash: random.next_u64().into(), n_bytes, group: i as u32 };
        n_bytes.iter().enumerate().map(&mut item).collect()
    }

    fn share(items: &[Item], split: &Split) -> f64 {
        let n_valid: u64 = items.iter().zip(&split.valid).filter(|(_, v)| **v).map(|(item, _)| item.n_bytes).sum();
        n_valid as f64 / total(items) as f64
    }

    #[test]
    fn about_a_twentieth_is_held_out() {
        let mut random = Random::new(2, 0);
        for n in [20, 100, 5000] {
            let sizes: Vec<u64> = (0..n).map(|_| 500 + random.below(2000)).collect();
            let items = items(&sizes);
            let split = split(&items);
            let share = share(&items, &split);
            assert!(
                (0.025..=0.075).contains(&share) && split.tails.is_empty() && !split.parted,
                "{n} documents: {share}"
            );
            assert!(n < 1000 || (0.049..0.051).contains(&share), "{n} documents: {share}");
        }
    }

    #[test]
    fn the_split_is_a_function_of_the_set_of_documents() {
        let mut items = items(&(0..300).map(|i| 100 + 13 * i).collect::<Vec<_>>());
        for i in 0..300 {
            items[i].group = (i / 3) as u32;
        }
        let held = |items: &[Item]| {
            let split = split(items);
            let mut hashes: Vec<_> =
                items.iter().zip(split.valid).filter(|(_, v)| *v).map(|(item, _)| item.hash).collect();
            hashes.sort();
            hashes
        };
        let before = held(&items);
        items.reverse();
        items.iter_mut().for_each(|item| item.group = 1000 - item.group);
        items.rotate_left(77);
        assert_eq!(before, held(&items));
    }

    #[test]
    fn near_duplicates_stay_on_one_side() {
        let mut items = items(&[1000; 400]);
        for i in 0..400 {
            items[i].group = (i % 100) as u32;
        }
        let split = split(&items);
        assert!((0..400).all(|i| split.valid[i] == split.valid[i % 100]) && !split.parted);
        assert_eq!(share(&items, &split), 0.05);
    }

    #[test]
    fn few_documents_are_split_sensibly() {
        // Sizes; how many are held out whole; how many give their tail.
        for (sizes, n_whole, n_tails) in [
            (vec![1000], 0, 1),
            (vec![1000, 1000], 0, 2),
            (vec![900, 100], 1, 0),
            (vec![850, 150], 1, 0),
            (vec![1_000_000, 5], 1, 1),
            (vec![1000, 1000, 1000], 0, 3),
            (vec![1000; 5], 1, 0),
            (vec![1000; 20], 1, 0),
        ] {
            let items = items(&sizes);
            let split = split(&items);
            let n_valid = split.valid.iter().filter(|&&v| v).count();
            assert_eq!((n_valid, split.tails.len()), (n_whole, n_tails), "{sizes:?}");
        }
    }

    #[test]
    fn a_group_that_would_take_too_much_is_passed_over() {
        let mut items = items(&[1000; 100]);
        for i in 0..60 {
            items[i].group = 0;
        }
        let split = split(&items);
        assert!(split.valid[..60].iter().all(|v| !v) && !split.parted);
        assert_eq!(share(&items, &split), 0.05);
    }

    #[test]
    fn where_everything_is_one_group_it_is_parted_and_said() {
        let mut items = items(&[1000; 100]);
        items.iter_mut().for_each(|item| item.group = 7);
        let split = split(&items);
        assert!(split.parted);
        assert_eq!(share(&items, &split), 0.05);
    }
}
