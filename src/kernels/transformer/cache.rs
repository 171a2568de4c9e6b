//! The keys and values of what was read, in memory that is allocated once.
//!
//! ```text
//! keys     for each layer, sequence and key/value head: | positions 0..32 | positions 32..64 | ...
//!          a panel of 32 positions: for each of D dimensions, that of 32 keys side by side
//! values   for each layer, sequence and key/value head: | position 0 | position 1 | ...
//!          a row of D numbers, filled up to whole vectors of 16
//! ```
//!
//! So the lanes of a vector are positions while scores are computed, and dimensions while values are mixed, and both are
//! read from front to back. Numbers are f16, f32, or codes of 8 bits with a scale for each key and value.

use super::super::aligned::AlignedBuf;
use super::super::shared::SharedSlice;
use super::vector::{LANES, Vector, for_each_vector};
use crate::kernels::cpu::Isa;

/// Positions of a panel of keys.
pub(super) const PANEL: usize = 32;

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheType {
    /// As they are computed.
    F32,
    /// In half precision: half the memory, and no loss that is seen in what a model writes.
    #[default]
    F16,
    /// In 8 bits, with a scale for the key and one for the value of each position and head.
    Q8,
}

impl CacheType {
    /// Bytes of a number.
    pub(super) fn size(self) -> usize {
        match self {
            CacheType::F32 => 4,
            CacheType::F16 => 2,
            CacheType::Q8 => 1,
        }
    }
}

/// What a cache has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) n_layer: usize,
    pub(super) n_sequences: usize,
    pub(super) n_kv_head: usize,
    pub(super) head_dim: usize,
    /// Positions, a multiple of [`PANEL`].
    pub(super) capacity: usize,
}

/// The cache of all layers, sequences and heads.
pub(super) struct KvCache {
    kind: CacheType,
    room: Room,
    keys: AlignedBuf,
    values: AlignedBuf,
    /// For each head and position the scale of its key, and behind all of them those of the values; empty but for codes.
    scales: AlignedBuf,
}

impl KvCache {
    pub(super) fn new(kind: CacheType, room: Room) -> KvCache {
        assert!(room.capacity.is_multiple_of(PANEL), "{} positions are no whole panels", room.capacity);
        let n_positions = room.n_layer * room.n_sequences * room.n_kv_head * room.capacity;
        let words = |width: usize| (n_positions * width * kind.size()).div_ceil(size_of::<f32>());
        KvCache {
            kind,
            room,
            keys: AlignedBuf::zeros(words(room.head_dim)),
            values: AlignedBuf::zeros(words(room.value_stride())),
            scales: AlignedBuf::zeros(if kind == CacheType::Q8 { 2 * n_positions } else { 0 }),
        }
    }

    /// Bytes that are kept.
    pub(super) fn n_bytes(&self) -> usize {
        4 * (self.keys.len() + self.values.len() + self.scales.len())
    }

    /// A view for the threads of a pass.
    pub(super) fn view(&mut self) -> CacheView<'_> {
        CacheView {
            kind: self.kind,
            room: self.room,
            keys: SharedSlice::new(bytemuck::cast_slice_mut(&mut self.keys)),
            values: SharedSlice::new(bytemuck::cast_slice_mut(&mut self.values)),
            scales: SharedSlice::new(&mut self.scales),
        }
    }
}

impl Room {
    /// Numbers from one value to the next.
    pub(super) fn value_stride(&self) -> usize {
        self.head_dim.next_multiple_of(LANES)
    }
}

/// One key/value head of one sequence in one layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) layer: usize,
    pub(super) sequence: usize,
    pub(super) head: usize,
}

/// A cache that several threads store to and read from, each its own positions and heads.
#[derive(Clone, Copy)]
pub(super) struct CacheView<'a> {
    kind: CacheType,
    room: Room,
    keys: SharedSlice<'a, u8>,
    values: SharedSlice<'a, u8>,
    scales: SharedSlice<'a, f32>,
}

/// Where the numbers of one slot begin.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    pub(super) kind: CacheType,
    pub(super) head_dim: usize,
    pub(super) keys: *const u8,
    pub(super) values: *const u8,
    pub(super) value_stride: usize,
    /// Scales of keys and of values, by position.
    pub(super) key_scales: *const f32,
    pub(super) value_scales: *const f32,
}

impl CacheView<'_> {
    fn index(&self, slot: Slot) -> usize {
        let room = self.room;
        assert!(
            slot.layer < room.n_layer && slot.sequence < room.n_sequences && slot.head < room.n_kv_head,
            "{slot:?}"
        );
        (slot.layer * room.n_sequences + slot.sequence) * room.n_kv_head + slot.head
    }

    /// Where the first numbers of a slot are.
    pub(super) fn stored(&self, slot: Slot) -> Stored {
        let (first, size) = (self.index(slot) * self.room.capacity, self.kind.size());
        let scales = |first: usize| self.scales.as_ptr_at(if self.scales.is_empty() { 0 } else { first });
        Stored {
            kind: self.kind,
            head_dim: self.room.head_dim,
            keys: self.keys.as_ptr_at(first * self.room.head_dim * size),
            values: self.values.as_ptr_at(first * self.room.value_stride() * size),
            value_stride: self.room.value_stride(),
            key_scales: scales(first),
            value_scales: scales(self.scales.len() / 2 + first),
        }
    }

    /// Stores the key (D) of `position`.
    ///
    /// # Safety
    /// Meanwhile no other thread reads or writes the key of this position of the slot.
    pub(super) unsafe fn store_key(&self, isa: Isa, slot: Slot, position: usize, key: &[f32]) {
        let (to, d) = (self.checked(slot, position, key), self.room.head_dim);
        // SAFETY: the position is within the slot, and the caller promises that it is ours.
        unsafe {
            let scale = put(isa, to.kind, to.keys, key, |i| (position / PANEL * d + i) * PANEL + position % PANEL);
            if to.kind == CacheType::Q8 {
                to.key_scales.cast_mut().add(position).write(scale);
            }
        }
    }

    /// Stores the value (D) of `position`.
    ///
    /// # Safety
    /// As for [`store_key`](Self::store_key), of the value.
    pub(super) unsafe fn store_value(&self, isa: Isa, slot: Slot, position: usize, value: &[f32]) {
        let to = self.checked(slot, position, value);
        // SAFETY: as above.
        unsafe {
            let scale = put(isa, to.kind, to.values, value, |i| position * to.value_stride + i);
            if to.kind == CacheType::Q8 {
                to.value_scales.cast_mut().add(position).write(scale);
            }
        }
    }

    fn checked(&self, slot: Slot, position: usize, x: &[f32]) -> Stored {
        let Room { head_dim, capacity, .. } = self.room;
        assert!(position < capacity, "position {position} of a cache for {capacity}");
        assert_eq!(x.len(), head_dim, "numbers of a head");
        self.stored(slot)
    }
}

/// Writes `x` in the cache's type, element i at index `at(i)`; returns what codes are multiplied by.
///
/// # Safety
/// The indices are within what `to` points at, which is aligned for the type and the caller's to write.
#[inline(always)]
unsafe fn put(isa: Isa, kind: CacheType, to: *const u8, x: &[f32], at: impl Fn(usize) -> usize) -> f32 {
    let to = to.cast_mut();
    // SAFETY: passed on from the caller.
    unsafe {
        match kind {
            CacheType::F32 => {
                x.iter().enumerate().for_each(|(i, &x)| to.cast::<f32>().add(at(i)).write(x));
                1.0
            }
            CacheType::F16 => {
                put_halves(isa, to.cast(), x, at);
                1.0
            }
            CacheType::Q8 => {
                let scale = scale(x);
                x.iter().enumerate().for_each(|(i, &x)| to.cast::<i8>().add(at(i)).write(code(x, scale)));
                scale
            }
        }
    }
}

/// As [`put`], in half precision.
///
/// # Safety
/// As for [`put`].
#[inline(always)]
unsafe fn put_halves(isa: Isa, to: *mut u16, x: &[f32], at: impl Fn(usize) -> usize) {
    const MOST: usize = 4 * LANES;
    let (mut wide, mut halves) = ([0.0f32; MOST], [0u16; MOST]);
    for (c, x) in x.chunks(MOST).enumerate() {
        wide[..x.len()].copy_from_slice(x);
        // SAFETY: both arrays have so many elements.
        unsafe { convert(isa, wide.as_ptr(), halves.as_mut_ptr(), MOST) };
        for (i, &half) in halves[..x.len()].iter().enumerate() {
            // SAFETY: passed on from the caller.
            unsafe { to.add(at(c * MOST + i)).write(half) };
        }
    }
}

for_each_vector! {
    /// # Safety
    /// `n` elements, a multiple of 16, are readable and writable.
    unsafe fn convert(from: *const f32, to: *mut u16, n: usize) => convert_as;
}

/// # Safety
/// As for [`convert`]; the CPU has the instruction set.
#[inline(always)]
unsafe fn convert_as<V: Vector>(from: *const f32, to: *mut u16, n: usize) {
    for i in (0..n).step_by(LANES) {
        // SAFETY: passed on from the caller.
        unsafe { V::load(from.add(i)).store_half(to.add(i)) };
    }
}

/// What codes of `x` up to 127 are multiplied by.
fn scale(x: &[f32]) -> f32 {
    x.iter().fold(0.0f32, |most, x| most.max(x.abs())) / 127.0
}

fn code(x: f32, scale: f32) -> i8 {
    // Rounds half away from zero; what is not finite becomes 0 or the largest code, but leaves its trace in the scale.
    if scale == 0.0 { 0 } else { (x / scale).round() as i8 }
}
