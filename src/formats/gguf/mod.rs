//! GGUF: metadata and tensors in one file, as llama.cpp and its kin read and write them. Versions 2 and 3 are read,
//! version 3 is written.
//!
//! A file is, all numbers little-endian (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>):
//!
//! ```text
//! "GGUF"  u32 version  u64 number of tensors  u64 number of metadata entries
//! for each entry:   key (string)  u32 value type  value
//! for each tensor:  name (string)  u32 number of dimensions  u64 dimensions, innermost first  u32 type  u64 offset
//! zeros up to a multiple of the alignment (`general.alignment`, else 32)
//! the tensors' bytes, each at its offset from here, which is a multiple of the alignment
//! ```
//!
//! A string is a `u64` length and so many bytes of UTF-8; an array is the `u32` type of its elements, a `u64` count, and
//! the elements.
//!
//! Files are hostile input: every count and length is compared with the bytes that are left before anything is made of
//! it, sums and products are checked, arrays are nested to a limit, and no two keys, names or ranges of bytes may
//! coincide. What is wrong is one error that names the byte, the value and the limit. Nothing is copied but names: the
//! reader borrows the file, which the caller has mapped or read. What keys and tensors mean is the caller's business.

mod cursor;
mod metadata;
mod tensors;
mod value;
mod write;

pub use metadata::{FromValue, Metadata};
pub use tensors::TensorInfo;
pub use value::{Array, Elements, Value, ValueType};
pub use write::{Body, Encode, Writer};

use anyhow::{Context, Result, bail, ensure};
use cursor::Cursor;
use std::collections::HashMap;

/// Longest key that is believed; the format's own limit.
pub const MAX_KEY_BYTES: usize = 65_535;

/// Longest name of a tensor; the format's own limit.
pub const MAX_NAME_BYTES: usize = 64;

/// Most dimensions of a tensor; the format's own limit.
pub const MAX_DIMENSIONS: usize = 4;

/// How deep arrays may be nested; no known file has arrays in arrays.
pub const MAX_NESTING: usize = 8;

/// Largest alignment that is believed; the largest pages of the machines that siskin runs on are no larger.
pub const MAX_ALIGNMENT: usize = 65_536;

/// The alignment where a file does not say.
pub const DEFAULT_ALIGNMENT: usize = 32;

/// The entry that says another alignment.
pub const ALIGNMENT_KEY: &str = "general.alignment";

const MAGIC: [u8; 4] = *b"GGUF";

/// Version that is written.
const VERSION: u32 = 3;

/// A file whose every header field has been checked.
#[derive(Debug)]
pub struct Gguf<'a> {
    bytes: &'a [u8],
    version: u32,
    alignment: usize,
    metadata: Metadata<'a>,
    tensors: Vec<TensorInfo>,
    /// Name to index in `tensors`.
    names: HashMap<String, usize>,
}

impl<'a> Gguf<'a> {
    /// Reads the header of the file that `bytes` holds whole. The error says what is wrong and at which byte.
    pub fn parse(bytes: &'a [u8]) -> Result<Gguf<'a>> {
        let mut cursor = Cursor::new(bytes);
        let version = read_version(&mut cursor)?;
        let n_tensors = cursor.count("the number of tensors", tensors::LEAST_BYTES)?;
        let n_entries = cursor.count("the number of metadata entries", metadata::LEAST_BYTES)?;
        let metadata = Metadata::read(&mut cursor, n_entries)?;
        let alignment = read_alignment(&metadata)?;
        let (tensors, names) = tensors::read(&mut cursor, n_tensors, alignment)?;
        Ok(Gguf { bytes, version, alignment, metadata, tensors, names })
    }

    /// 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// What the offsets of tensors are multiples of.
    pub fn alignment(&self) -> usize {
        self.alignment
    }

    /// The entries before the tensors.
    pub fn metadata(&self) -> &Metadata<'a> {
        &self.metadata
    }

    /// The tensors in the order of the header.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensors, for a caller who keeps the file itself and no borrow of it.
    pub fn into_tensors(self) -> Vec<TensorInfo> {
        self.tensors
    }

    /// The tensor called `name`, if there is one.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.names.get(name).map(|&idx| &self.tensors[idx])
    }

    /// The bytes of a tensor of this file.
    pub fn bytes(&self, tensor: &TensorInfo) -> &'a [u8] {
        &self.bytes[tensor.range.clone()]
    }
}

fn read_version(cursor: &mut Cursor) -> Result<u32> {
    let magic = cursor.array::<4>("the magic").context("no GGUF file")?;
    ensure!(magic == MAGIC, "no GGUF file: it starts with {:?}, not with \"GGUF\"", magic.escape_ascii().to_string());
    let version = cursor.u32("the version")?;
    match version {
        2 | 3 => Ok(version),
        _ if matches!(version.swap_bytes(), 1..=99) => bail!(
            "byte 4: the file is big-endian (version {}), but only little-endian files are read",
            version.swap_bytes()
        ),
        _ => bail!("byte 4: the file has GGUF version {version}, but versions 2 and 3 are read"),
    }
}

fn read_alignment(metadata: &Metadata) -> Result<usize> {
    let alignment = metadata.optional(ALIGNMENT_KEY)?.unwrap_or(DEFAULT_ALIGNMENT);
    check_alignment(alignment).with_context(|| format!("metadata key {}", shown(ALIGNMENT_KEY)))?;
    Ok(alignment)
}

fn check_alignment(alignment: usize) -> Result<()> {
    ensure!(
        alignment.is_power_of_two() && (8..=MAX_ALIGNMENT).contains(&alignment),
        "the alignment is {alignment}, but it must be a power of two from 8 to {MAX_ALIGNMENT}"
    );
    Ok(())
}

/// A key or name of a file for an error: quoted, with control characters escaped, and cut where it is long.
fn shown(name: &str) -> String {
    const MOST: usize = 64;
    match name.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}...", &name[..end]),
        None => format!("{name:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::blocks::TensorType;

    fn string(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
    }

    fn entry(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
        [&string(key), &kind.to_le_bytes()[..], value].concat()
    }

    fn array(kind: u32, len: u64, elements: &[u8]) -> Vec<u8> {
        [&kind.to_le_bytes()[..], &len.to_le_bytes(), elements].concat()
    }

    /// Dimensions as a file has them: innermost first.
    fn tensor(name: &str, dimensions: &[u64], kind: u32, offset: u64) -> Vec<u8> {
        let mut bytes = [&string(name), &(dimensions.len() as u32).to_le_bytes()[..]].concat();
        dimensions.iter().for_each(|n| bytes.extend(n.to_le_bytes()));
        bytes.extend([&kind.to_le_bytes()[..], &offset.to_le_bytes()].concat());
        bytes
    }

    fn file(entries: &[Vec<u8>], tensors: &[Vec<u8>], n_data: usize) -> Vec<u8> {
        let counts = [tensors.len() as u64, entries.len() as u64].map(u64::to_le_bytes).concat();
        let mut bytes = [b"GGUF", &3u32.to_le_bytes()[..], &counts, &entries.concat(), &tensors.concat()].concat();
        if n_data > 0 {
            bytes.resize(bytes.len().next_multiple_of(32) + n_data, 0);
        }
        bytes
    }

    fn error(bytes: &[u8]) -> String {
        format!("{:#}", Gguf::parse(bytes).expect_err("the file is damaged"))
    }

    #[test]
    fn a_file_made_by_hand_is_read() {
        let entries =
            [entry("a", 4, &7u32.to_le_bytes()), entry("b", 9, &array(8, 2, &[string("x"), string("")].concat()))];
        let tensors = [tensor("w", &[64, 3], 2, 32), tensor("n", &[8], 0, 0)];
        let mut bytes = file(&entries, &tensors, 32 + 3 * 36);
        let gguf = Gguf::parse(&bytes).unwrap();
        assert_eq!((gguf.version(), gguf.alignment()), (3, 32));
        assert_eq!(gguf.metadata().want::<u32>("a").unwrap(), 7);
        assert_eq!(gguf.metadata().want::<Vec<&str>>("b").unwrap(), ["x", ""]);
        let w = gguf.tensor("w").unwrap();
        assert_eq!((w.shape.as_slice(), w.kind, w.row_len(), w.n_rows()), (&[3, 64][..], TensorType::Q4_0, 64, 3));
        assert_eq!((w.n_elements(), gguf.bytes(w).len(), w.range.end), (192, 108, bytes.len()));
        assert_eq!(gguf.tensors().iter().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>(), ["w", "n"]);
        bytes[4] = 2;
        assert_eq!(Gguf::parse(&bytes).unwrap().version(), 2);
    }

    #[test]
    fn a_file_of_metadata_alone_needs_no_padding() {
        let bytes = file(&[entry("a", 7, &[1])], &[], 0);
        assert!(Gguf::parse(&bytes).unwrap().metadata().want::<bool>("a").unwrap());
    }

    #[test]
    fn each_kind_of_damage_to_the_front_or_the_metadata_is_told() {
        let with_count = |at: usize, count: u64| {
            let mut bytes = file(&[], &[], 0);
            bytes[at..at + 8].copy_from_slice(&count.to_le_bytes());
            bytes
        };
        let with_entry = |kind: u32, value: &[u8]| file(&[entry("key", kind, value)], &[], 0);
        let nested = |depth: usize| {
            let inner = array(0, 0, &[]);
            with_entry(9, &(1..depth).fold(inner, |inner, _| array(9, 1, &inner)))
        };
        assert!(Gguf::parse(&nested(MAX_NESTING)).is_ok());
        let aligned = |n: u32| file(&[entry(ALIGNMENT_KEY, 4, &n.to_le_bytes())], &[], 0);
        let twice = [entry("key", 7, &[1]), entry("key", 7, &[0])];
        let cases: [(Vec<u8>, &str); 33] = [
            (vec![], "no GGUF file: byte 0: the magic takes 4 bytes, but only 0 are left"),
            (b"ggml    ".to_vec(), "no GGUF file: it starts with \"ggml\""),
            (b"GGUF\x01\0\0\0".to_vec(), "byte 4: the file has GGUF version 1, but versions 2 and 3 are read"),
            (b"GGUF\x04\0\0\0".to_vec(), "GGUF version 4"),
            (b"GGUF\0\0\0\x03".to_vec(), "big-endian (version 3)"),
            (b"GGUF\x03\0\0\0\0".to_vec(), "byte 8: the number of tensors takes 8 bytes, but only 1 are left"),
            (with_count(8, 1), "byte 8: the number of tensors is 1, but the 8 bytes that follow hold 0 at most"),
            (with_count(8, u64::MAX), "the number of tensors is 18446744073709551615"),
            (with_count(16, 1 << 60), "byte 16: the number of metadata entries is 1152921504606846976"),
            (file(&[entry("", 4, &[1; 4])], &[], 0), "byte 24: the key of metadata entry 1 of 1 is empty"),
            (file(&[entry(&"k".repeat(65_536), 7, &[1])], &[], 0), "is 65536, above the limit of 65535"),
            (file(&[[&u64::MAX.to_le_bytes()[..], &[0; 9]].concat()], &[], 0), "is 18446744073709551615, but only 9"),
            (file(&[[&1u64.to_le_bytes()[..], &[0xff, 0, 0, 0, 0, 0]].concat()], &[], 0), "a metadata key is no UTF-8"),
            (file(&twice, &[], 0), "byte 40: metadata key \"key\" occurs a second time"),
            (with_entry(13, &[0; 8]), "key \"key\": byte 35: the value type is 13, but types 0 to 12 exist"),
            (with_entry(u32::MAX, &[0]), "the value type is 4294967295"),
            (with_entry(4, &[0; 3]), "byte 39: a u32 takes 4 bytes, but only 3 are left"),
            (with_entry(12, &[0; 7]), "byte 39: an f64 takes 8 bytes, but only 7 are left"),
            (with_entry(7, &[2]), "byte 39: a bool is 2, but 0 and 1 exist"),
            (with_entry(8, &[5, 0, 0, 0, 0, 0, 0, 0, 65]), "the length of a string is 5, but only 1 bytes are left"),
            (with_entry(8, &[1, 0, 0, 0, 0, 0, 0, 0, 0x80]), "byte 39: a string is no UTF-8"),
            (with_entry(9, &array(14, 0, &[])), "byte 39: the value type is 14"),
            (with_entry(9, &array(0, 2, &[1])), "number of elements is 2, but the 1 bytes that follow hold 1 at most"),
            (with_entry(9, &array(12, 1 << 61, &[0; 8])), "byte 43: the number of elements is 2305843009213693952"),
            (with_entry(9, &array(8, 2, &[0; 15])), "number of elements is 2, but the 15 bytes that follow hold 1"),
            (with_entry(9, &array(8, 1, &[1, 0, 0, 0, 0, 0, 0, 0])), "but only 0 bytes are left"),
            (with_entry(9, &array(7, 3, &[0, 1, 3])), "byte 53: a bool is 3"),
            (nested(MAX_NESTING + 1), "arrays are nested more than 8 deep"),
            (aligned(0), "\"general.alignment\": the alignment is 0, but it must be a power of two from 8 to 65536"),
            (aligned(4), "the alignment is 4"),
            (aligned(48), "the alignment is 48"),
            (aligned(1 << 17), "the alignment is 131072"),
            (file(&[entry(ALIGNMENT_KEY, 8, &string("32"))], &[], 0), "found the string \"32\""),
        ];
        for (bytes, words) in cases {
            let message = error(&bytes);
            assert!(message.contains(words), "{message:?} lacks {words:?}");
        }
    }

    #[test]
    fn each_kind_of_damage_to_the_tensors_is_told() {
        let one = |name: &str, dimensions: &[u64], kind: u32, offset: u64| {
            file(&[], &[tensor(name, dimensions, kind, offset)], 64)
        };
        let two = |first: (u64, u64), second: (u64, u64), name: &str| {
            let [a, b] = [("a", first), (name, second)].map(|(name, (n, offset))| tensor(name, &[n], 0, offset));
            file(&[], &[a, b], 128)
        };
        assert!(Gguf::parse(&two((16, 64), (8, 0), "b")).is_ok());
        let mut no_name = one("a", &[], 0, 0);
        no_name[24] = 0;
        let cases: [(Vec<u8>, &str); 21] = [
            (no_name, "tensor 1 of 1: byte 24: a tensor's name is empty"),
            (one(&"n".repeat(65), &[8], 0, 0), "the length of a tensor's name is 65, above the limit of 64"),
            (two((8, 0), (8, 32), "a"), "byte 57: a second tensor is called \"a\""),
            (one("a", &[1; 5], 0, 0), "\"a\": byte 33: the number of dimensions is 5, above the limit of 4"),
            (one("a", &[8, 0], 0, 0), "byte 45: a dimension is 0"),
            (one("a", &[u64::MAX; 4], 0, 0), "takes more bytes than can be counted"),
            (
                one("a", &[1 << 32, 1 << 32], 1, 0),
                "byte 53: a tensor of shape [4294967296, 4294967296] takes more bytes",
            ),
            (one("a", &[8], 31, 0), "byte 45: it is stored as the unknown type 31, but F32, F16"),
            (one("a", &[8], 23, 0), "it is stored as IQ4_XS, but F32, F16"),
            (one("a", &[33], 8, 0), "a row of 33 elements cannot be Q8_0, which stores blocks of 32 elements"),
            (one("a", &[128, 2], 12, 0), "a row of 128 elements cannot be Q4_K"),
            (one("a", &[], 2, 0), "a row of 1 elements cannot be Q4_0"),
            (one("a", &[8], 0, 16), "tensor \"a\" has offset 16, which is no multiple of the alignment 32"),
            (
                one("a", &[8], 0, 64),
                "takes 32 bytes at offset 64 of the data, which start at byte 64, but the file ends",
            ),
            (one("a", &[17], 0, 0), "takes 68 bytes at offset 0 of the data"),
            (one("a", &[8], 0, u64::MAX - 31), "at offset 18446744073709551584"),
            (one("a", &[1 << 60], 0, 32), "takes 4611686018427387904 bytes"),
            (
                two((9, 0), (8, 32), "b"),
                "byte 128: tensor \"b\" starts within tensor \"a\", which takes bytes 96 to 132",
            ),
            (two((8, 0), (8, 0), "b"), "starts within tensor"),
            (two((8, 32), (16, 0), "b"), "byte 128: tensor \"a\" starts within tensor \"b\""),
            (file(&[], &[tensor("a\u{1b}[31m", &[3], 2, 0)], 0), "tensor \"a\\u{1b}[31m\""),
        ];
        for (bytes, words) in cases {
            let message = error(&bytes);
            assert!(message.contains(words), "{message:?} lacks {words:?}");
        }
    }

    #[test]
    fn a_file_cut_at_any_length_is_an_error() {
        let entries = [entry("a", 8, &string("text")), entry("b", 9, &array(5, 3, &[0; 12]))];
        let bytes = file(&entries, &[tensor("t", &[32], 8, 0), tensor("u", &[32], 2, 64)], 82);
        assert!(Gguf::parse(&bytes).is_ok());
        for length in 0..bytes.len() {
            assert!(Gguf::parse(&bytes[..length]).is_err(), "{length} of {} bytes were read", bytes.len());
        }
    }

    #[test]
    fn a_getter_says_what_was_wanted_and_what_was_found() {
        let entries = [
            entry("n", 4, &u32::MAX.to_le_bytes()),
            entry("minus", 5, &(-1i32).to_le_bytes()),
            entry("text", 8, &string(&"long \u{7}".repeat(40))),
            entry("list", 9, &array(5, 2, &[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])),
            entry("x", 12, &1.5f64.to_le_bytes()),
        ];
        let bytes = file(&entries, &[], 0);
        let gguf = Gguf::parse(&bytes).unwrap();
        let metadata = gguf.metadata();
        assert_eq!(metadata.want::<usize>("n").unwrap(), u32::MAX as usize);
        assert_eq!(metadata.want::<i64>("minus").unwrap(), -1);
        assert_eq!(metadata.want::<f32>("x").unwrap(), 1.5);
        assert_eq!(metadata.want::<Vec<i32>>("list").unwrap(), [1, -1]);
        assert_eq!(metadata.optional::<bool>("none").unwrap(), None);
        assert_eq!(metadata.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["n", "minus", "text", "list", "x"]);
        let cases = [
            (metadata.want::<u32>("none").unwrap_err(), "no metadata key \"none\", which should be an integer from 0"),
            (
                metadata.want::<i32>("n").unwrap_err(),
                "wanted an integer from -2147483648 to 2147483647, found the u32 4294967295",
            ),
            (metadata.want::<u64>("minus").unwrap_err(), "found the i32 -1"),
            (metadata.want::<f32>("n").unwrap_err(), "wanted a floating-point number, found the u32"),
            (metadata.want::<bool>("text").unwrap_err(), "wanted true or false, found the string \"long \\u{7}long"),
            (
                metadata.optional::<Vec<u32>>("list").unwrap_err(),
                "each element is an integer from 0 to 4294967295, found an array of 2 i32",
            ),
            (metadata.want::<Array>("x").unwrap_err(), "wanted an array, found the f64 1.5"),
        ];
        for (error, words) in cases {
            let message = error.to_string();
            assert!(message.contains(words) && message.len() < 200, "{message:?} lacks {words:?}");
        }
    }
}
