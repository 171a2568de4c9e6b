//! What the held-out text costs without a neural network, in bits per byte: the figures a person can set a model beside.
//!
//! Both baselines see the training text and then pay for the held-out text, as the model does. `xz` is LZMA2 at preset 6
//! with a dictionary that holds everything it was shown. The 5-gram is a byte model of order five with interpolated
//! Kneser-Ney smoothing (Kneser and Ney 1995; the form is that of Chen and Goodman, "An empirical study of smoothing
//! techniques for language modeling", TR-10-98, 1998, section 3.1, with one absolute discount an order, D = n1 / (n1 + 2 n2)).
//!
//! Time and memory are bounded by what each baseline is shown: the *end* of the training text and the *start* of the
//! held-out text, each up to a limit below. No clock.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::Write;

use anyhow::{Context, Result};
use lzma_rust2::{Lzma2Options, Lzma2Writer};

use super::text::{head_bytes, tail_bytes};
use crate::data::Prepared;
use crate::kernels::random::mix;
use crate::tokenizer::Tokenizer;

/// Training bytes shown to xz (the last ones): LZMA2 reads about 2 MB/s, and nobody should wait much longer than two seconds.
pub const XZ_TRAIN_LIMIT: usize = 4 << 20;
/// Training bytes shown to the 5-gram (the last ones): well under a second for prose.
pub const FIVE_GRAM_TRAIN_LIMIT: usize = 16 << 20;
/// Held-out bytes (the first ones) that either baseline is measured on; half a million would already give three digits.
pub const VALID_LIMIT: usize = 1 << 20;
/// Different 5-grams held, so that memory is bounded for any text: counting stops there, which ordinary text does not reach.
/// It is 7/8 of 4 Mi, where the hash table would double; with all its orders the model then takes at most 0.5 GB.
const MAX_GRAMS: usize = 7 << 19;

/// What reports call the 5-gram.
pub const FIVE_GRAM: &str = "5-gram";

/// Bits per byte that LZMA2 at preset 6 spends on `valid` after it has compressed `train`; None for an empty `valid`.
///
/// One stream compresses both texts and is flushed between them, so its growth after the flush is the cost of `valid`
/// alone; the container's few constant bytes are not counted.
pub fn xz_bits_per_byte(train: &[u8], valid: &[u8]) -> Result<Option<f64>> {
    let (train, valid) = (last(train, XZ_TRAIN_LIMIT), first(valid, VALID_LIMIT));
    if valid.is_empty() {
        return Ok(None);
    }
    let mut options = Lzma2Options::with_preset(6);
    // The preset's 8 MiB would forget the oldest training text while the held-out text is read.
    options.lzma_options.dict_size = (train.len() + valid.len()).next_power_of_two().max(1 << 16) as u32;
    let compress = || -> std::io::Result<u64> {
        let mut stream = Lzma2Writer::new(ByteCounter(0), options);
        stream.write_all(train)?;
        stream.flush()?;
        let n_before = stream.inner().0;
        stream.write_all(valid)?;
        Ok(stream.finish()?.0 - n_before)
    };
    let n_bytes = compress().context("compressing the corpus for the xz baseline")?;
    Ok(Some(8.0 * n_bytes as f64 / valid.len() as f64))
}

/// Bits per byte that a 5-gram of `train`'s bytes spends on `valid`; None for an empty `valid`.
pub fn five_gram_bits_per_byte(train: &[u8], valid: &[u8]) -> Option<f64> {
    let valid = first(valid, VALID_LIMIT);
    if valid.is_empty() {
        return None;
    }
    let model = FiveGram::new(last(train, FIVE_GRAM_TRAIN_LIMIT));
    let bits = |i: usize| -model.probability(&valid[i.saturating_sub(4)..i], valid[i]).log2();
    Some((0..valid.len()).map(bits).sum::<f64>() / valid.len() as f64)
}

/// Both, by name, on `valid` after each has seen `train`; one that cannot be computed is left out.
pub fn beside(train: &[u8], valid: &[u8]) -> Vec<(String, f64)> {
    let xz = xz_bits_per_byte(train, valid).ok().flatten();
    let both = [("xz", xz), (FIVE_GRAM, five_gram_bits_per_byte(train, valid))];
    both.into_iter().filter_map(|(name, bits)| Some((name.to_owned(), bits?))).collect()
}

/// [`beside`] for prepared text, within the limits above.
pub fn of_text(text: &Prepared, tokenizer: &Tokenizer) -> Vec<(String, f64)> {
    let train = tail_bytes(&text.train, tokenizer, XZ_TRAIN_LIMIT.max(FIVE_GRAM_TRAIN_LIMIT));
    beside(&train, &head_bytes(&text.valid, tokenizer, VALID_LIMIT))
}

/// A byte model of order five: the last four bytes predict the next.
#[derive(Debug)]
pub struct FiveGram {
    /// Orders 1 to 5: order n predicts from the last n - 1 bytes.
    orders: Vec<Order>,
}

/// The counts of one order.
#[derive(Debug, Default)]
struct Order {
    /// Count of each n-gram. At the highest order how often it occurs; below it, how many different bytes precede it.
    grams: Counts<u32>,
    /// For each context: the sum of its n-grams' counts, and how many of them there are.
    contexts: Counts<(u32, u32)>,
    /// The absolute discount D taken from each count.
    discount: f64,
}

/// Counts by n-gram, whose bytes are packed into a `u64` with the last one lowest.
type Counts<T> = HashMap<u64, T, BuildHasherDefault<PackedHasher>>;

const N_ORDERS: usize = 5;

impl FiveGram {
    /// Counts the n-grams of `text`; an empty text gives the uniform model.
    pub fn new(text: &[u8]) -> FiveGram {
        let mut grams: Counts<u32> = Counts::default();
        let mut packed = 0;
        for (i, &byte) in text.iter().enumerate() {
            packed = (packed << 8 | u64::from(byte)) & mask(N_ORDERS);
            if grams.len() == MAX_GRAMS {
                break;
            }
            if i + 1 >= N_ORDERS {
                *grams.entry(packed).or_default() += 1;
            }
        }
        let mut orders = Vec::with_capacity(N_ORDERS);
        for n in (1..N_ORDERS).rev() {
            // Each distinct (n+1)-gram is one more byte that precedes its n-byte ending.
            let mut lower: Counts<u32> = Counts::default();
            grams.keys().for_each(|gram| *lower.entry(gram & mask(n)).or_default() += 1);
            orders.push(Order::new(std::mem::replace(&mut grams, lower)));
        }
        orders.push(Order::new(grams));
        orders.reverse();
        FiveGram { orders }
    }

    /// The probability of `byte` after `context`, of which the last four bytes count (a text's start has fewer).
    /// Never 0; over the 256 bytes it sums to one.
    pub fn probability(&self, context: &[u8], byte: u8) -> f64 {
        let context = last(context, N_ORDERS - 1);
        let packed = context.iter().fold(0, |packed, &b| packed << 8 | u64::from(b));
        let uniform = 1.0 / 256.0;
        self.orders[..=context.len()]
            .iter()
            .enumerate()
            .fold(uniform, |lower, (n_context, order)| order.probability(packed & mask(n_context), byte, lower))
    }
}

impl Order {
    fn new(grams: Counts<u32>) -> Order {
        let mut contexts: Counts<(u32, u32)> = Counts::default();
        let (mut n_once, mut n_twice) = (0_u32, 0_u32);
        for (gram, &count) in &grams {
            let (sum, n_distinct) = contexts.entry(gram >> 8).or_default();
            *sum += count;
            *n_distinct += 1;
            n_once += u32::from(count == 1);
            n_twice += u32::from(count == 2);
        }
        Order { grams, contexts, discount: discount(n_once, n_twice) }
    }

    /// (count - D)+ / sum, plus the discounted mass spread as the lower order has it.
    fn probability(&self, context: u64, byte: u8, lower: f64) -> f64 {
        let Some(&(sum, n_distinct)) = self.contexts.get(&context) else {
            return lower;
        };
        let count = self.grams.get(&(context << 8 | u64::from(byte))).copied().unwrap_or(0);
        let kept = (f64::from(count) - self.discount).max(0.0);
        (kept + self.discount * f64::from(n_distinct) * lower) / f64::from(sum)
    }
}

/// Chen and Goodman's D = n1 / (n1 + 2 n2), kept inside [0.1, 1]: a tiny or very regular text has no n-gram seen once,
/// and without any discount a byte that is new in its context would have probability 0.
fn discount(n_once: u32, n_twice: u32) -> f64 {
    let (once, twice) = (f64::from(n_once), f64::from(n_twice));
    if once == 0.0 { 0.1 } else { (once / (once + 2.0 * twice)).max(0.1) }
}

/// The bits that `n` packed bytes take.
fn mask(n: usize) -> u64 {
    (1 << (8 * n)) - 1
}

fn last(bytes: &[u8], limit: usize) -> &[u8] {
    &bytes[bytes.len().saturating_sub(limit)..]
}

fn first(bytes: &[u8], limit: usize) -> &[u8] {
    &bytes[..bytes.len().min(limit)]
}

/// Hashes one packed n-gram. The default SipHash guards against chosen keys, at several times the cost of a lookup;
/// here the person who chooses the text is the one who waits for it.
#[derive(Debug, Default)]
struct PackedHasher(u64);

impl Hasher for PackedHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u64(&mut self, packed: u64) {
        self.0 = mix(self.0 ^ packed);
    }
}

/// Swallows a stream and remembers its length.
struct ByteCounter(u64);

impl Write for ByteCounter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::Random;

    fn random_bytes(n_bytes: usize, n_symbols: u64, seed: u64) -> Vec<u8> {
        let mut random = Random::new(seed, 0);
        (0..n_bytes).map(|_| (random.next_u64() % n_symbols) as u8).collect()
    }

    #[test]
    fn the_five_gram_is_a_distribution_after_every_context() {
        let texts =
            [vec![], b"a".to_vec(), b"aaaaaaaa".to_vec(), b"to be or not to be".to_vec(), random_bytes(5_000, 4, 1)];
        for text in &texts {
            let model = FiveGram::new(text);
            for (i, context) in random_bytes(400, 5, 2).chunks(4).chain(text.windows(4)).take(200).enumerate() {
                let context = &context[..context.len().min(i % 5)];
                let sum: f64 = (0..=255).map(|byte| model.probability(context, byte)).sum();
                assert!((sum - 1.0).abs() < 1e-9, "sum {sum} after {context:?} in a text of {} bytes", text.len());
                assert!((0..=255).all(|byte| model.probability(context, byte) > 0.0), "a zero after {context:?}");
            }
        }
    }

    #[test]
    fn a_text_of_two_five_grams_gives_the_probabilities_worked_out_by_hand() {
        // "abcdex" holds abcde and bcdex, each once, so D = 1 / (1 + 0) = 1 in every order, and a seen n-gram keeps 0.
        // Order 1: e and x each have one predecessor: (0 + 1 * 2 / 256) / 2 = 1/256. Higher orders pass it on.
        let model = FiveGram::new(b"abcdex");
        assert!((model.probability(b"abcd", b'e') - 1.0 / 256.0).abs() < 1e-12);

        // "abcdeabcde": abcde twice; bcdea, cdeab, deabc, eabcd once. Order 5: n1 = 4, n2 = 1, D = 4/6.
        // Orders 4 to 1 count each of their five n-grams once: D = 1, which passes the uniform 1/256 up unchanged.
        // P(e | abcd) = (2 - 4/6) / 2 + (4/6 * 1 / 2) / 256.
        let model = FiveGram::new(b"abcdeabcde");
        let expected = (2.0 - 4.0 / 6.0) / 2.0 + (4.0 / 6.0) / 2.0 / 256.0;
        let found = model.probability(b"abcd", b'e');
        assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
    }

    #[test]
    fn an_unseen_context_falls_back_to_a_shorter_one() {
        let model = FiveGram::new(b"the cat and the dog and the cat");
        assert_eq!(model.probability(b"zzhe", b' '), model.probability(b"he", b' '));
        assert_eq!(model.probability(b"long ago in the", b' '), model.probability(b" the", b' '));
    }

    #[test]
    fn random_text_costs_its_entropy_and_repeated_text_almost_nothing() {
        let (train, valid) = (random_bytes(40_000, 4, 1), random_bytes(10_000, 4, 2));
        let five_gram = five_gram_bits_per_byte(&train, &valid).unwrap();
        assert!((1.98..2.1).contains(&five_gram), "5-gram: {five_gram}");
        let xz = xz_bits_per_byte(&train, &valid).unwrap().unwrap();
        assert!((2.0..2.6).contains(&xz), "xz: {xz}");
        let repeated = xz_bits_per_byte(&train, &train[..20_000]).unwrap().unwrap();
        assert!(repeated < 0.05, "xz of text it has seen: {repeated}");
    }

    #[test]
    fn xz_costs_what_two_separate_runs_differ_by() {
        let text: Vec<u8> = (0..3_000).flat_map(|i| format!("{} sheep, ", i * i % 977).into_bytes()).collect();
        let (train, valid) = text.split_at(text.len() * 9 / 10);
        let size = |bytes: &[u8]| {
            let mut stream = Lzma2Writer::new(ByteCounter(0), Lzma2Options::with_preset(6));
            stream.write_all(bytes).unwrap();
            stream.finish().unwrap().0 as f64
        };
        let by_difference = 8.0 * (size(&text) - size(train)) / valid.len() as f64;
        let found = xz_bits_per_byte(train, valid).unwrap().unwrap();
        assert!((found - by_difference).abs() < 0.1, "{found} is not near {by_difference}");
    }

    #[test]
    fn nothing_held_out_has_no_cost() {
        assert!(xz_bits_per_byte(b"text", b"").unwrap().is_none());
        assert!(five_gram_bits_per_byte(b"text", b"").is_none());
        assert!(five_gram_bits_per_byte(b"", b"text").is_some_and(|bits| (bits - 8.0).abs() < 1e-9));
        assert!(xz_bits_per_byte(b"", b"text").unwrap().is_some_and(f64::is_finite));
    }
}
