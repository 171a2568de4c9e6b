//! A whole file as bytes in memory, which the operating system reads as they are looked at.

use anyhow::{Context, Result};
use memmap2::Mmap;
use std::fs::File;
use std::ops::{Deref, Range};
use std::path::Path;

/// A memory-mapped file, or one inside the program; dereferences to its bytes.
#[derive(Debug)]
pub struct Mapped {
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    File(Mmap),
    Program(&'static [u8]),
}

impl Mapped {
    /// Maps the file at `path`; an error names it.
    pub fn open(path: &Path) -> Result<Mapped> {
        let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        Mapped::new(&file).with_context(|| format!("mapping {}", path.display()))
    }

    /// Maps a whole file for reading.
    #[allow(unsafe_code)]
    pub fn new(file: &File) -> std::io::Result<Mapped> {
        // SAFETY: the mapping is sound as long as nobody changes or truncates the file while it is mapped. siskin writes
        // files under a temporary name, renames them once they are whole, and never opens them for writing again;
        // replacing one unlinks it, which leaves this mapping its old pages. The files are the user's who runs siskin, so
        // only a deliberate edit in place by that user could break this; the operating system offers no lock against
        // that. Reads go through `&[u8]` with bounds checks, and every bit pattern is a valid `u8`.
        Ok(Mapped { bytes: Bytes::File(unsafe { Mmap::map(file)? }) })
    }

    /// Bytes that are part of the program, which is itself a mapped file.
    pub fn of_program(bytes: &'static [u8]) -> Mapped {
        Mapped { bytes: Bytes::Program(bytes) }
    }

    /// Gives the memory of these bytes back; they would be read from the file again.
    #[allow(unsafe_code)]
    pub fn release(&self, bytes: Range<usize>) {
        let Bytes::File(map) = &self.bytes else { return };
        let bytes = bytes.start.min(map.len())..bytes.end.min(map.len());
        #[cfg(unix)]
        if bytes.start < bytes.end {
            // SAFETY: pages of a file that is mapped for reading only hold nothing that the file does not; they come back
            // with the same bytes when they are looked at.
            let advice =
                unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, bytes.start, bytes.len()) };
            // Advice that is not taken costs memory and nothing else.
            let _ = advice;
        }
        let _ = bytes;
    }
}

impl Deref for Mapped {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::File(map) => map,
            Bytes::Program(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_were_released_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let bytes: Vec<u8> = (0..20_000u32).map(|i| i as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let mapped = Mapped::open(&path).unwrap();
        for range in [0..20_000, 5000..5001, 19_999..30_000, 7..7] {
            assert!(mapped[..] == bytes);
            mapped.release(range);
            assert!(mapped[..] == bytes);
        }
        assert!(Mapped::open(&folder.path().join("y")).unwrap_err().to_string().ends_with("y"));
    }
}
