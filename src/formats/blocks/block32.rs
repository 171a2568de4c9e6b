//! The types with blocks of 32 elements: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1.
//!
//! Layouts (ggml `src/ggml-common.h`), all numbers little-endian:
//!
//! ```text
//! Q8_0  f16 d, 32 x i8                                        value d q
//! Q4_0  f16 d,        16 bytes of nibbles                     value d (q - 8)
//! Q4_1  f16 d, f16 m, 16 bytes of nibbles                     value d q + m
//! Q5_0  f16 d,        u32 of fifth bits, 16 bytes of nibbles  value d (q - 16)
//! Q5_1  f16 d, f16 m, u32 of fifth bits, 16 bytes of nibbles  value d q + m
//! ```
//!
//! Byte j of the nibbles holds element j in its low half and element j + 16 in its high half; bit j of the fifth bits
//! belongs to element j. The scale comes from the extreme values alone and codes are rounded to nearest, by ggml's
//! reference formulas and in their order of operations, so that a file made here equals one made by llama.cpp.

use super::search::{extreme, inverse};
use half::f16;

const LEN: usize = 32;

/// Bytes of a block of each type.
pub(super) const Q8_0_BYTES: usize = 2 + LEN;
pub(super) const Q4_0_BYTES: usize = 2 + LEN / 2;
pub(super) const Q4_1_BYTES: usize = 4 + LEN / 2;
pub(super) const Q5_0_BYTES: usize = 2 + 4 + LEN / 2;
pub(super) const Q5_1_BYTES: usize = 4 + 4 + LEN / 2;

/// One code for each element; what is written has 4 or 5 bits of it.
type Codes = [u8; LEN];

pub(super) fn dequantize_q8_0(block: &[u8; Q8_0_BYTES], out: &mut [f32; LEN]) {
    let d = f16_at(block, 0);
    for (value, code) in out.iter_mut().zip(&block[2..]) {
        *value = d * f32::from(*code as i8);
    }
}

pub(super) fn dequantize_q4_0(block: &[u8; Q4_0_BYTES], out: &mut [f32; LEN]) {
    let d = f16_at(block, 0);
    for (value, code) in out.iter_mut().zip(nibbles(&block[2..])) {
        *value = d * (f32::from(code) - 8.0);
    }
}

pub(super) fn dequantize_q4_1(block: &[u8; Q4_1_BYTES], out: &mut [f32; LEN]) {
    let (d, m) = (f16_at(block, 0), f16_at(block, 2));
    for (value, code) in out.iter_mut().zip(nibbles(&block[4..])) {
        *value = d * f32::from(code) + m;
    }
}

pub(super) fn dequantize_q5_0(block: &[u8; Q5_0_BYTES], out: &mut [f32; LEN]) {
    let d = f16_at(block, 0);
    for (value, code) in out.iter_mut().zip(five_bits(&block[2..])) {
        *value = d * (f32::from(code) - 16.0);
    }
}

pub(super) fn dequantize_q5_1(block: &[u8; Q5_1_BYTES], out: &mut [f32; LEN]) {
    let (d, m) = (f16_at(block, 0), f16_at(block, 2));
    for (value, code) in out.iter_mut().zip(five_bits(&block[4..])) {
        *value = d * f32::from(code) + m;
    }
}

pub(super) fn quantize_q8_0(x: &[f32; LEN], block: &mut [u8; Q8_0_BYTES]) {
    let d = extreme(x.iter().copied()).abs() / 127.0;
    let inverse = inverse(d);
    put_f16(block, 0, d);
    for (code, value) in block[2..].iter_mut().zip(x) {
        *code = (value * inverse).round() as i8 as u8;
    }
}

pub(super) fn quantize_q4_0(x: &[f32; LEN], block: &mut [u8; Q4_0_BYTES]) {
    let (d, codes) = around_zero(x, 8.0);
    put_f16(block, 0, d);
    put_nibbles(&mut block[2..], &codes);
}

pub(super) fn quantize_q4_1(x: &[f32; LEN], block: &mut [u8; Q4_1_BYTES]) {
    let (d, m, codes) = from_least(x, 15.0);
    put_f16(block, 0, d);
    put_f16(block, 2, m);
    put_nibbles(&mut block[4..], &codes);
}

pub(super) fn quantize_q5_0(x: &[f32; LEN], block: &mut [u8; Q5_0_BYTES]) {
    let (d, codes) = around_zero(x, 16.0);
    put_f16(block, 0, d);
    put_five_bits(&mut block[2..], &codes);
}

pub(super) fn quantize_q5_1(x: &[f32; LEN], block: &mut [u8; Q5_1_BYTES]) {
    let (d, m, codes) = from_least(x, 31.0);
    put_f16(block, 0, d);
    put_f16(block, 2, m);
    put_five_bits(&mut block[4..], &codes);
}

/// Scale and codes 0 to 2 `middle` - 1 for values `d (q - middle)`. The sign of `d` is chosen such that the element of
/// largest magnitude gets code 0, as there is one more code below the middle than above it.
fn around_zero(x: &[f32; LEN], middle: f32) -> (f32, Codes) {
    let d = extreme(x.iter().copied()) / -middle;
    let inverse = inverse(d);
    let highest = 2 * middle as u8 - 1;
    (d, x.map(|value| ((value * inverse + (middle + 0.5)) as u8).min(highest)))
}

/// Scale, offset and codes 0 to `highest` for values `d q + m`, with `m` the least element.
fn from_least(x: &[f32; LEN], highest: f32) -> (f32, f32, Codes) {
    let (min, max) = x.iter().fold((f32::MAX, f32::MIN), |(min, max), &value| (value.min(min), value.max(max)));
    let d = (max - min) / highest;
    let inverse = inverse(d);
    (d, min, x.map(|value| (((value - min) * inverse + 0.5) as u8).min(highest as u8)))
}

/// The 32 codes of 16 bytes.
fn nibbles(bytes: &[u8]) -> Codes {
    std::array::from_fn(|i| if i < LEN / 2 { bytes[i] & 15 } else { bytes[i - LEN / 2] >> 4 })
}

fn put_nibbles(bytes: &mut [u8], codes: &Codes) {
    for (j, byte) in bytes.iter_mut().enumerate() {
        *byte = codes[j] & 15 | codes[j + LEN / 2] << 4;
    }
}

/// The 32 codes of 4 bytes of fifth bits and 16 bytes of nibbles.
fn five_bits(bytes: &[u8]) -> Codes {
    let low = nibbles(&bytes[4..]);
    std::array::from_fn(|i| low[i] | (bytes[i / 8] >> (i % 8) & 1) << 4)
}

fn put_five_bits(bytes: &mut [u8], codes: &Codes) {
    bytes[..4].fill(0);
    for (i, code) in codes.iter().enumerate() {
        bytes[i / 8] |= (code >> 4) << (i % 8);
    }
    put_nibbles(&mut bytes[4..], codes);
}

/// The f16 at byte `at`, widened.
pub(super) fn f16_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Stores `value`, rounded to the nearest f16, at byte `at`.
pub(super) fn put_f16(block: &mut [u8], at: usize, value: f32) {
    block[at..at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
}
