//! A growable block of `f32` that starts on a cache line, so that no vector load straddles two.

use std::ops::{Deref, DerefMut};

/// One cache line of floats.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// A block of `f32` aligned to 64 bytes. Dereferences to a slice.
#[derive(Debug, Clone, Default)]
pub struct AlignedBuf {
    lines: Vec<Line>,
    len: usize,
}

impl AlignedBuf {
    /// `len` zeros.
    pub fn zeros(len: usize) -> AlignedBuf {
        AlignedBuf { lines: vec![Line::default(); len.div_ceil(16)], len }
    }

    /// At least `len` floats of unspecified value: grows when too small and never shrinks, so that a buffer used again
    /// and again allocates only until it has seen its largest job.
    pub fn at_least(&mut self, len: usize) -> &mut [f32] {
        if self.len < len {
            *self = AlignedBuf::zeros(len);
        }
        &mut self[..len]
    }
}

impl From<&[f32]> for AlignedBuf {
    fn from(values: &[f32]) -> AlignedBuf {
        let mut buf = AlignedBuf::zeros(values.len());
        buf.copy_from_slice(values);
        buf
    }
}

impl Deref for AlignedBuf {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: `Line` is a `repr(C)` array of 16 floats without padding, and `len` never exceeds 16 per line.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as for `deref`; the exclusive borrow of `self` covers the lines.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_starts_on_a_cache_line_and_grows_only_when_it_must() {
        let mut buf = AlignedBuf::default();
        for len in [0, 1, 17, 5, 1000] {
            assert_eq!(buf.at_least(len).len(), len);
            assert_eq!(buf.as_ptr() as usize % 64, 0, "length {len}");
        }
        let before = buf.as_ptr();
        buf.at_least(999);
        assert_eq!(buf.as_ptr(), before);
    }
}
