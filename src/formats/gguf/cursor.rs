//! A place in a file that moves forward by checked steps: nothing is taken that is not there.

use anyhow::{Context, Result, ensure};

/// The next byte to be read of a file, or of an array within one.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    /// The offset of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Length of the file.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// All bytes that were taken since offset `start`.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `n` bytes, which are `what`.
    pub(super) fn take(&mut self, n: usize, what: &str) -> Result<&'a [u8]> {
        ensure!(
            n <= self.left(),
            "byte {}: {what} takes {n} bytes, but only {} are left: the file is cut short or damaged",
            self.at,
            self.left()
        );
        let taken = &self.bytes[self.at..self.at + n];
        self.at += n;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        Ok(self.take(N, what)?.try_into().expect("a slice of N bytes"))
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A `u64` that counts things of which each takes at least `least_bytes` of what follows.
    pub(super) fn count(&mut self, what: &str, least_bytes: usize) -> Result<usize> {
        let at = self.at;
        let n = self.u64(what)?;
        let most = self.left() / least_bytes;
        ensure!(
            n <= most as u64,
            "byte {at}: {what} is {n}, but the {} bytes that follow hold {most} at most",
            self.left()
        );
        Ok(n as usize)
    }

    /// A `u64` length of at most `limit` and so many bytes of UTF-8.
    pub(super) fn string(&mut self, what: &str, limit: usize) -> Result<&'a str> {
        let at = self.at;
        let n = self.u64(what)?;
        ensure!(
            n <= self.left() as u64,
            "byte {at}: the length of {what} is {n}, but only {} bytes are left",
            self.left()
        );
        ensure!(n <= limit as u64, "byte {at}: the length of {what} is {n}, above the limit of {limit}");
        let text = std::str::from_utf8(self.take(n as usize, what)?);
        text.with_context(|| format!("byte {at}: {what} is no UTF-8"))
    }
}
