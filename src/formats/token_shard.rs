//! A token shard: the ids of one side of a corpus in one file, written once, then memory-mapped.
//!
//! All numbers are little-endian. The header is 64 bytes long, so that ids of both widths are aligned behind it:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `SISKSHRD` |
//! | 8 | 4 | version, 1 |
//! | 12 | 4 | bytes of an id: 2 for a vocabulary of up to 65,536 entries, else 4 |
//! | 16 | 32 | BLAKE3 hash of the tokenizer that made the ids |
//! | 48 | 8 | number of ids |
//! | 56 | 8 | UTF-8 bytes of the text that the ids stand for, special tokens not counted |
//!
//! This file does not know documents, sides or tokenizers; those are `data`'s.

use super::mapped::Mapped;
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes of the header; the ids start here.
pub const HEADER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"SISKSHRD";
const VERSION: u32 = 1;

/// Writes a shard from front to back; nothing at the path is a valid shard before [`ShardWriter::finish`].
pub struct ShardWriter {
    path: PathBuf,
    out: BufWriter<File>,
    id_width: usize,
    vocab_size: usize,
    tokenizer_hash: [u8; 32],
    n_tokens: u64,
    n_text_bytes: u64,
}

impl ShardWriter {
    /// Creates the file, or empties it, for ids below `vocab_size` of the tokenizer with this hash.
    pub fn create(path: &Path, vocab_size: usize, tokenizer_hash: &[u8; 32]) -> Result<ShardWriter> {
        let file = File::create(path).with_context(|| format!("creating token shard {}", path.display()))?;
        let mut out = BufWriter::with_capacity(1 << 18, file);
        // Zeros, not the header: a file whose writer was killed does not even have the magic.
        out.write_all(&[0; HEADER_BYTES]).with_context(|| writing(path))?;
        Ok(ShardWriter {
            path: path.to_owned(),
            out,
            id_width: if vocab_size <= 1 << 16 { 2 } else { 4 },
            vocab_size,
            tokenizer_hash: *tokenizer_hash,
            n_tokens: 0,
            n_text_bytes: 0,
        })
    }

    /// Appends ids that stand for `n_text_bytes` bytes of UTF-8 text. Fails on an id outside the vocabulary.
    pub fn push(&mut self, ids: &[u32], n_text_bytes: u64) -> Result<()> {
        for &id in ids {
            ensure!(
                (id as usize) < self.vocab_size,
                "token id {id} is outside the vocabulary of {} entries",
                self.vocab_size
            );
            self.out.write_all(&id.to_le_bytes()[..self.id_width]).with_context(|| writing(&self.path))?;
        }
        self.n_tokens += ids.len() as u64;
        self.n_text_bytes += n_text_bytes;
        Ok(())
    }

    /// Ids written so far.
    pub fn n_tokens(&self) -> u64 {
        self.n_tokens
    }

    /// Writes the header and syncs the file to disk.
    pub fn finish(mut self) -> Result<()> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend(MAGIC);
        header.extend(VERSION.to_le_bytes());
        header.extend((self.id_width as u32).to_le_bytes());
        header.extend(self.tokenizer_hash);
        header.extend(self.n_tokens.to_le_bytes());
        header.extend(self.n_text_bytes.to_le_bytes());
        let mut finish = || -> std::io::Result<()> {
            self.out.seek(SeekFrom::Start(0))?;
            self.out.write_all(&header)?;
            self.out.flush()?;
            self.out.get_ref().sync_all()
        };
        finish().with_context(|| writing(&self.path))
    }
}

fn writing(path: &Path) -> String {
    format!("writing token shard {}", path.display())
}

/// A memory-mapped shard whose header has been checked against the file.
pub struct Shard {
    map: Mapped,
    id_width: usize,
    n_tokens: usize,
    n_text_bytes: u64,
}

impl Shard {
    /// Opens a shard made by the tokenizer with this hash; any fault of the header is one error that names the file.
    pub fn open(path: &Path, tokenizer_hash: &[u8; 32]) -> Result<Shard> {
        let file = File::open(path).with_context(|| format!("opening token shard {}", path.display()))?;
        let map = Mapped::new(&file).with_context(|| format!("mapping token shard {}", path.display()))?;
        let (id_width, n_tokens, n_text_bytes) =
            check_header(&map, tokenizer_hash).with_context(|| format!("token shard {}", path.display()))?;
        Ok(Shard { map, id_width, n_tokens, n_text_bytes })
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.n_tokens
    }

    /// Whether the shard has no ids.
    pub fn is_empty(&self) -> bool {
        self.n_tokens == 0
    }

    /// UTF-8 bytes of the text that the ids stand for, special tokens not counted: what bits per byte divides by.
    pub fn n_text_bytes(&self) -> u64 {
        self.n_text_bytes
    }

    /// Copies the ids from `start` on into `out`. `start + out.len()` must not exceed [`Shard::len`].
    pub fn copy(&self, start: usize, out: &mut [u32]) {
        let end = start.checked_add(out.len()).filter(|&end| end <= self.n_tokens);
        assert!(end.is_some(), "ids {start} to {start} + {} of a shard of {}", out.len(), self.n_tokens);
        let bytes = &self.map[HEADER_BYTES + start * self.id_width..][..out.len() * self.id_width];
        if self.id_width == 2 {
            for (id, bytes) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *id = u16::from_le_bytes(*bytes).into();
            }
        } else {
            for (id, bytes) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *id = u32::from_le_bytes(*bytes);
            }
        }
    }
}

/// Checks every field against the bytes that are there; returns the id width, the number of ids, the bytes of text.
fn check_header(bytes: &[u8], tokenizer_hash: &[u8; 32]) -> Result<(usize, usize, u64)> {
    let n_bytes = bytes.len();
    ensure!(n_bytes >= HEADER_BYTES, "has {n_bytes} bytes, but the header alone takes {HEADER_BYTES}");
    ensure!(bytes[..8] == MAGIC, "does not start with the magic of a token shard");
    let version = u32_at(bytes, 8);
    ensure!(version == VERSION, "has version {version}, but this siskin reads version {VERSION}");
    let id_width = match u32_at(bytes, 12) {
        width @ (2 | 4) => width as usize,
        width => bail!("says that an id takes {width} bytes, but only 2 and 4 exist"),
    };
    ensure!(bytes[16..48] == tokenizer_hash[..], "was made by another tokenizer");
    let n_tokens = u64_at(bytes, 48);
    let wanted = n_tokens.checked_mul(id_width as u64).and_then(|n| n.checked_add(HEADER_BYTES as u64));
    ensure!(
        wanted == Some(n_bytes as u64),
        "says that it holds {n_tokens} ids of {id_width} bytes, but the file has {n_bytes} bytes"
    );
    Ok((id_width, usize::try_from(n_tokens)?, u64_at(bytes, 56)))
}

/// The caller has checked that the header is there.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a slice of four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("a slice of eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: [u8; 32] = [7; 32];

    fn write(path: &Path, vocab_size: usize, ids: &[u32]) {
        let mut writer = ShardWriter::create(path, vocab_size, &HASH).unwrap();
        writer.push(ids, 5).unwrap();
        writer.finish().unwrap();
    }

    #[test]
    fn ids_come_back_in_both_widths() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.shard");
        for (vocab_size, ids, n_bytes) in
            [(1 << 16, vec![], 64), (1 << 16, vec![0, 65_535, 3], 70), ((1 << 16) + 1, vec![65_536, 1], 72)]
        {
            write(&path, vocab_size, &ids);
            assert_eq!(std::fs::metadata(&path).unwrap().len(), n_bytes, "vocabulary of {vocab_size}");
            let shard = Shard::open(&path, &HASH).unwrap();
            assert_eq!((shard.len(), shard.is_empty(), shard.n_text_bytes()), (ids.len(), ids.is_empty(), 5));
            for start in 0..=ids.len() {
                let mut out = vec![0; ids.len() - start];
                shard.copy(start, &mut out);
                assert_eq!(out, ids[start..]);
            }
        }
    }

    #[test]
    fn an_id_outside_the_vocabulary_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = ShardWriter::create(&folder.path().join("a"), 300, &HASH).unwrap();
        let message = writer.push(&[299, 300], 0).unwrap_err().to_string();
        assert!(message.contains("id 300") && message.contains("300 entries"), "{message}");
    }

    #[test]
    fn a_writer_that_was_killed_leaves_nothing_that_opens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut writer = ShardWriter::create(&path, 300, &HASH).unwrap();
        writer.push(&[1; 200_000], 0).unwrap();
        drop(writer);
        assert!(Shard::open(&path, &HASH).is_err());
    }

    #[test]
    fn a_hostile_header_is_an_error_whatever_field_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, 300, &[1, 2, 3]);
        let good = std::fs::read(&path).unwrap();
        let cases: [(&str, usize, &[u8]); 8] = [
            ("magic", 0, b"GGUF"),
            ("version", 8, &[2]),
            ("says that an id takes 0", 12, &[0]),
            ("says that an id takes 3", 12, &[3]),
            ("another tokenizer", 16, &[8]),
            ("holds 2 ids", 48, &[2]),
            // 2^63 ids of two bytes: the product wraps to 0 where it is not checked.
            ("holds 9223372036854775808 ids", 48, &[0, 0, 0, 0, 0, 0, 0, 0x80]),
            ("holds 18446744073709551615 ids", 48, &[0xff; 8]),
        ];
        for (wanted, at, bytes) in cases {
            let mut bad = good.clone();
            bad[at..at + bytes.len()].copy_from_slice(bytes);
            std::fs::write(&path, bad).unwrap();
            let message = format!("{:#}", Shard::open(&path, &HASH).err().expect(wanted));
            assert!(message.contains(wanted), "{message:?} lacks {wanted:?}");
        }
    }

    #[test]
    fn a_shard_cut_at_any_length_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, 300, &[1, 2, 3]);
        let good = std::fs::read(&path).unwrap();
        for length in 0..good.len() {
            std::fs::write(&path, &good[..length]).unwrap();
            assert!(Shard::open(&path, &HASH).is_err(), "{length} of {} bytes opened", good.len());
        }
        std::fs::write(&path, [&good[..], &[0]].concat()).unwrap();
        assert!(Shard::open(&path, &HASH).is_err(), "a byte too many opened");
    }
}
