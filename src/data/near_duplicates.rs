//! Which documents are nearly the same, so that none of them is asked about in the held-out text after its twin was
//! learned.
//!
//! MinHash over runs of five words (Broder 1997), one permutation with optimal densification (Li, Owen, Zhang 2012;
//! Shrivastava 2017), four bits kept of each minimum (Li, König 2010): 64 bytes a document. Candidates come from banding
//! (Rajaraman, Ullman: "Mining of Massive Datasets", ch. 3) and are checked with the whole signature before they join a
//! group. Nothing depends on the order of the documents.

use crate::kernels::random::mix;

const N_BINS: usize = 128;
/// Runs of five words: stock phrases are shorter, copied sentences are longer.
const SHINGLE_WORDS: usize = 5;
/// Shorter documents have too few runs to tell a twin from a relative.
const MIN_WORDS: u64 = 30;
/// Equal bins from which two documents count as near-duplicates: a Jaccard similarity of 0.7 (128 * (1/16 + 15/16 * 0.7)).
/// The estimate's standard error there is 0.04, so texts that share half of their phrases pass once in a million times.
const MIN_EQUAL_BINS: u32 = 92;
/// Bins in a band: 21 bands of 6 find a pair of similarity 0.8 with probability 0.999, 0.7 with 0.96.
const BAND_BINS: usize = 6;
/// Documents of one bucket that a newcomer is compared with: keeps a corpus of one template from costing n^2.
const MAX_COMPARED: usize = 8;

/// What is kept of a document's runs of words: four bits for each of 128 bins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Signature([u8; N_BINS / 2]);

impl Signature {
    fn bin(&self, i: usize) -> u8 {
        (self.0[i / 2] >> (4 * (i % 2))) & 15
    }

    fn band(&self, band: usize) -> u32 {
        (band * BAND_BINS..(band + 1) * BAND_BINS).fold(0, |key, i| key << 4 | u32::from(self.bin(i)))
    }

    fn is_near(&self, other: &Signature) -> bool {
        let equal = |(a, b): (&u8, &u8)| u32::from((a ^ b) & 0x0f == 0) + u32::from((a ^ b) & 0xf0 == 0);
        self.0.iter().zip(&other.0).map(equal).sum::<u32>() >= MIN_EQUAL_BINS
    }
}

/// Computes a [`Signature`] from text that arrives in pieces.
pub(crate) struct Shingles {
    /// Hash of the word that is being read, 0 between words.
    word: u64,
    n_words: u64,
    last: [u64; SHINGLE_WORDS],
    minima: Box<[u64; N_BINS]>,
}

impl Shingles {
    /// No text yet.
    pub(crate) fn new() -> Shingles {
        Shingles { word: 0, n_words: 0, last: [0; SHINGLE_WORDS], minima: Box::new([u64::MAX; N_BINS]) }
    }

    /// Takes the next piece; a word may reach across.
    pub(crate) fn push(&mut self, text: &str) {
        for &byte in text.as_bytes() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | 0x80..=0xe2 => self.letter(byte),
                b'A'..=b'Z' => self.letter(byte | 0x20),
                // From U+3000 on stand mostly scripts without blanks: there each character counts as a word.
                0xe3.. => {
                    self.end_word();
                    self.letter(byte);
                }
                // Case, punctuation and layout are what differs between copies of one text.
                _ => self.end_word(),
            }
        }
    }

    fn letter(&mut self, byte: u8) {
        // FNV-1a with its 64-bit prime; `mix` makes up for its weak high bits.
        self.word = (self.word ^ u64::from(byte) ^ 0xcbf2_9ce4_8422_2325).wrapping_mul(0x0100_0000_01b3) | 1;
    }

    fn end_word(&mut self) {
        if self.word == 0 {
            return;
        }
        self.last.rotate_left(1);
        self.last[SHINGLE_WORDS - 1] = self.word;
        self.word = 0;
        self.n_words += 1;
        if self.n_words >= SHINGLE_WORDS as u64 {
            let run =
                self.last.iter().fold(0u64, |run, &word| run.rotate_left(9).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ word);
            let run = mix(run);
            let bin = &mut self.minima[(run >> 57) as usize];
            *bin = (*bin).min(run << 7);
        }
    }

    /// The signature, `None` for a document too short to compare; ready for the next document afterwards.
    pub(crate) fn finish(&mut self) -> Option<Signature> {
        self.end_word();
        let Shingles { n_words, minima, .. } = std::mem::replace(self, Shingles::new());
        (n_words >= MIN_WORDS).then(|| densify(&minima))
    }
}

/// Fills each empty bin from a bin drawn by the empty one's number, and keeps four bits of each.
fn densify(minima: &[u64; N_BINS]) -> Signature {
    let mut signature = [0; N_BINS / 2];
    for i in 0..N_BINS {
        let mut from = i;
        let mut attempt = 0;
        // Ends: a document of 30 words has at least one run, and the draws visit every bin sooner or later.
        while minima[from] == u64::MAX {
            attempt += 1;
            from = (mix((i as u64) << 32 | attempt) % N_BINS as u64) as usize;
        }
        signature[i / 2] |= ((mix(minima[from]) >> 60) as u8) << (4 * (i % 2));
    }
    Signature(signature)
}

/// Groups documents, each given by its hash and signature: the number at a document's place is that of its group.
pub(crate) fn group(documents: &[(u128, Option<&Signature>)]) -> Vec<u32> {
    let mut groups = Groups { parent: (0..documents.len() as u32).collect() };
    // By hash, so that what is compared with what does not depend on the order of the files.
    let mut ranked: Vec<(u32, &Signature)> =
        documents.iter().enumerate().filter_map(|(i, (_, s))| Some((i as u32, (*s)?))).collect();
    ranked.sort_unstable_by_key(|(i, _)| documents[*i as usize].0);
    for band in 0..N_BINS / BAND_BINS {
        let mut keys: Vec<(u32, u32)> =
            ranked.iter().enumerate().map(|(rank, (_, s))| (s.band(band), rank as u32)).collect();
        keys.sort_unstable();
        for bucket in keys.chunk_by(|a, b| a.0 == b.0).filter(|bucket| bucket.len() > 1) {
            join_bucket(bucket.iter().map(|&(_, rank)| ranked[rank as usize]), &mut groups);
        }
    }
    (0..documents.len() as u32).map(|i| groups.root(i)).collect()
}

fn join_bucket<'a>(bucket: impl Iterator<Item = (u32, &'a Signature)>, groups: &mut Groups) {
    let mut compared: Vec<(u32, &Signature)> = Vec::with_capacity(MAX_COMPARED);
    for (i, signature) in bucket {
        let twin = compared.iter().find(|(j, other)| groups.root(*j) == groups.root(i) || other.is_near(signature));
        match twin {
            Some(&(j, _)) => groups.join(i, j),
            None if compared.len() < MAX_COMPARED => compared.push((i, signature)),
            None => {}
        }
    }
}

/// Union-find with path halving.
struct Groups {
    parent: Vec<u32>,
}

impl Groups {
    fn root(&mut self, mut i: u32) -> u32 {
        while self.parent[i as usize] != i {
            self.parent[i as usize] = self.parent[self.parent[i as usize] as usize];
            i = self.parent[i as usize];
        }
        i
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b) as usize] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::Random;

    /// Words drawn from a vocabulary of `n_kinds`.
    fn words(seed: u64, n: usize, n_kinds: u64) -> Vec<String> {
        let mut random = Random::new(seed, 0);
        (0..n).map(|_| format!("w{}", random.below(n_kinds))).collect()
    }

    fn signature(text: &str) -> Option<Signature> {
        let mut shingles = Shingles::new();
        shingles.push(text);
        shingles.finish()
    }

    fn groups_of(texts: &[String]) -> Vec<u32> {
        let signatures: Vec<_> = texts.iter().map(|t| signature(t)).collect();
        let documents: Vec<_> = texts.iter().zip(&signatures).map(|(t, s)| (hash(t), s.as_ref())).collect();
        group(&documents)
    }

    fn hash(text: &str) -> u128 {
        u128::from_le_bytes(blake3::hash(text.as_bytes()).as_bytes()[..16].try_into().unwrap())
    }

    #[test]
    fn signatures_do_not_depend_on_pieces_case_or_layout() {
        let text = words(1, 100, 1000).join(" ");
        let mut shingles = Shingles::new();
        for piece in text.as_bytes().chunks(7) {
            shingles.push(std::str::from_utf8(piece).unwrap());
        }
        assert_eq!(shingles.finish(), signature(&text));
        assert_eq!(signature(&text.to_uppercase().replace(' ', ",\n")), signature(&text));
        assert_eq!(shingles.finish(), None, "nothing is left of the document before");
    }

    #[test]
    fn short_documents_are_not_compared() {
        assert!(signature(&words(1, 29, 1000).join(" ")).is_none());
        assert!(signature(&words(1, 30, 1000).join(" ")).is_some());
        assert!(signature(&"日本語".repeat(10)).is_some(), "each character of a script without blanks is a word");
    }

    #[test]
    fn copies_with_a_few_changed_words_are_grouped_and_strangers_are_not() {
        for n in [60, 200, 2000] {
            let original = words(2, n, 5000);
            let mut copy = original.clone();
            for i in (0..n).step_by(n / 2).skip(1) {
                copy[i] = "changed".into();
            }
            let groups = groups_of(&[original.join(" "), words(3, n, 5000).join(" "), copy.join(" ")]);
            assert_eq!(groups, [0, 1, 0], "{n} words");
        }
    }

    #[test]
    fn stories_composed_of_shared_sentences_do_not_chain_into_one_group() {
        // 2000 stories of ten sentences, each one of 40 at its place: any two share a few sentences, none is a copy.
        let mut random = Random::new(5, 0);
        let mut sentence = |place: u64| words(100 * place + random.below(40), 12, 300).join(" ");
        let stories: Vec<String> =
            (0..2000).map(|_| (0..10).map(&mut sentence).collect::<Vec<_>>().join(". ")).collect();
        let groups = groups_of(&stories);
        let largest = (0..2000).map(|g| groups.iter().filter(|&&h| h == g).count()).max().unwrap();
        assert!(largest <= 10, "the largest group has {largest} of 2000 stories");
    }

    #[test]
    fn groups_do_not_depend_on_the_order_of_documents() {
        let mut texts: Vec<String> = (0..40).map(|i| words(i / 4, 60, 500).join(" ") + &format!(" end {i}")).collect();
        let partition = |texts: &[String]| {
            let groups = groups_of(texts);
            let same = |a: &String, b: &String| {
                let at = |t: &String| groups[texts.iter().position(|x| x == t).unwrap()];
                at(a) == at(b)
            };
            let mut sorted = texts.to_vec();
            sorted.sort();
            sorted.iter().flat_map(|a| sorted.iter().map(move |b| (a, b))).map(|(a, b)| same(a, b)).collect::<Vec<_>>()
        };
        let before = partition(&texts);
        texts.reverse();
        texts.rotate_left(7);
        assert_eq!(before, partition(&texts));
        assert_eq!(before.iter().filter(|&&same| same).count(), 10 * 4 * 4);
    }
}
