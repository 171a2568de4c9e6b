//! A slice that several threads write to at once, each its own part.
//!
//! Rust's borrow checker cannot see that row blocks computed by different threads do not overlap when they interleave
//! in memory (columns of a matrix, heads inside a row). This wrapper moves that promise to the few kernels that need it.

use std::marker::PhantomData;
use std::ops::Range;

/// A mutable slice to be shared among the tasks of one [`super::pool::Pool::run`].
#[derive(Clone, Copy)]
pub struct SharedSlice<'a, T> {
    ptr: *mut T,
    len: usize,
    _borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a borrow of a slice of `T: Send`; access goes through `unsafe` methods whose callers promise that no two
// threads touch the same elements.
unsafe impl<T: Send> Send for SharedSlice<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedSlice<'_, T> {}

impl<'a, T> SharedSlice<'a, T> {
    /// Borrows `slice` for as long as tasks write to it.
    pub fn new(slice: &'a mut [T]) -> SharedSlice<'a, T> {
        SharedSlice { ptr: slice.as_mut_ptr(), len: slice.len(), _borrow: PhantomData }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements of `range`.
    ///
    /// # Safety
    /// While the result lives, no other task reads or writes these elements.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn range(&self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of a slice of {}", self.len);
        // SAFETY: in bounds by the assertion, and unaliased by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(range.start), range.len()) }
    }

    /// The elements of `range`, to be read.
    ///
    /// # Safety
    /// While the result lives, no other task writes these elements.
    pub unsafe fn read(&self, range: Range<usize>) -> &'a [T] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of a slice of {}", self.len);
        // SAFETY: in bounds by the assertion, and not written to by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.ptr.add(range.start), range.len()) }
    }

    /// The elements of `range` as a shared slice of their own.
    pub fn part(&self, range: Range<usize>) -> SharedSlice<'a, T> {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of a slice of {}", self.len);
        SharedSlice { ptr: self.as_ptr_at(range.start), len: range.len(), _borrow: PhantomData }
    }

    /// The address of element `idx`, for strided writes.
    pub fn as_ptr_at(&self, idx: usize) -> *mut T {
        assert!(idx <= self.len, "element {idx} of a slice of {}", self.len);
        // SAFETY: at most one past the end, by the assertion.
        unsafe { self.ptr.add(idx) }
    }
}
