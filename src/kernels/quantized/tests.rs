//! Every type on every instruction set against plain sums over dequantized numbers, and the independence that decode
//! and chunked prompts rely on.

use super::super::gradient_check::noise;
use super::super::random::Random;
use super::*;
use half::f16;

/// `n_rows` rows of a file: any bytes are codes; the f16 factors among them are made of ordinary size.
fn file_rows(kind: WeightType, n_rows: usize, n_columns: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed, 5);
    let mut bytes: Vec<u8> = (0..n_rows * kind.row_bytes(n_columns)).map(|_| random.next_u64() as u8).collect();
    let factors: &[usize] = match kind {
        WeightType::Q8_0 | WeightType::Q4_0 | WeightType::Q5_0 => &[0],
        WeightType::Q4_1 | WeightType::Q5_1 | WeightType::Q4_K | WeightType::Q5_K => &[0, 2],
        WeightType::Q6_K => &[208],
        WeightType::F32 | WeightType::F16 | WeightType::BF16 => &[],
    };
    for block in bytes.chunks_exact_mut(kind.file_block().1) {
        for &at in factors {
            block[at..at + 2].copy_from_slice(&f16::from_f64(random.normal() * 0.02).to_le_bytes());
        }
    }
    bytes
}

/// Types of codes.
fn coded() -> impl Iterator<Item = WeightType> {
    WeightType::ALL.into_iter().filter(|kind| kind.is_quantized())
}

/// Quantizes `x` and multiplies on `n_threads`.
fn product(isa: Isa, weights: &PackedMatrix, x: &[f32], n_threads: usize) -> Vec<f32> {
    let n_tokens = x.len() / weights.n_columns();
    let mut lines = line_buffer(n_tokens, weights.n_columns());
    let view = Activations::new(SharedSlice::new(&mut lines), n_tokens, weights.n_columns());
    for (token, x) in x.chunks_exact(weights.n_columns()).enumerate() {
        // SAFETY: one thread.
        unsafe { view.quantize(isa, Sharing::Block, token, 0, x) };
    }
    let mut out = vec![f32::NAN; n_tokens * weights.n_rows()];
    matmul(&Cpu::with_isa(n_threads, isa), weights, Input::Codes(view), &mut out);
    out
}

/// The values that the activations stand for once they are quantized.
fn rounded(x: &[f32], n_columns: usize) -> Vec<f32> {
    let mut lines = line_buffer(1, n_columns);
    let view = Activations::new(SharedSlice::new(&mut lines), 1, n_columns);
    x.chunks_exact(n_columns)
        .flat_map(|x| {
            // SAFETY: one thread.
            unsafe {
                view.quantize(Isa::Scalar, Sharing::Block, 0, 0, x);
                view.dequantize(0)
            }
        })
        .collect()
}

fn dequantized(weights: &PackedMatrix) -> Vec<f32> {
    let mut all = vec![0.0; weights.n_rows() * weights.n_columns()];
    for (row, out) in all.chunks_exact_mut(weights.n_columns()).enumerate() {
        weights.row(row, out);
    }
    all
}

/// Sizes with tiles in part, tiles alone, several panels, and groups of every size.
const SIZES: [(usize, usize, usize); 8] =
    [(1, 256, 1), (15, 512, 2), (16, 256, 3), (17, 768, 4), (47, 256, 5), (33, 1280, 6), (64, 512, 7), (81, 1024, 25)];

#[test]
fn products_are_those_of_the_dequantized_numbers() {
    for kind in coded() {
        for (n_rows, n_columns, n_tokens) in SIZES {
            let cpu = Cpu::new(1);
            let weights = PackedMatrix::pack(&cpu, kind, n_rows, n_columns, &file_rows(kind, n_rows, n_columns, 1));
            let x = noise(n_tokens * n_columns, 2);
            let (w, rounded) = (dequantized(&weights), rounded(&x, n_columns));
            let found = product(Isa::Scalar, &weights, &x, 1);
            for (i, found) in found.iter().enumerate() {
                let (token, row) = (i / n_rows, i % n_rows);
                let (a, w) = (&rounded[token * n_columns..][..n_columns], &w[row * n_columns..][..n_columns]);
                let terms = || a.iter().zip(w).map(|(&a, &w)| f64::from(a) * f64::from(w));
                let (wanted, size) = (terms().sum::<f64>(), terms().map(f64::abs).sum::<f64>());
                let error = (f64::from(*found) - wanted).abs();
                assert!(error < 1e-5 * size, "{kind:?} {n_rows}x{n_columns}, {token}: {found}, not {wanted}");
            }
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    for kind in coded() {
        for (n_rows, n_columns, n_tokens) in SIZES {
            let cpu = Cpu::new(2);
            let weights = PackedMatrix::pack(&cpu, kind, n_rows, n_columns, &file_rows(kind, n_rows, n_columns, 3));
            let x = noise(n_tokens * n_columns, 4);
            let wanted = product(Isa::Scalar, &weights, &x, 1);
            for isa in Isa::all() {
                let found = product(isa, &weights, &x, 2);
                assert!(found == wanted, "{kind:?} on {}: {n_rows}x{n_columns}, {n_tokens} tokens", isa.name());
            }
        }
    }
}

#[test]
fn a_token_has_the_same_bits_alone_and_in_any_company() {
    let (n_rows, n_columns, n_tokens) = (70, 768, 23);
    for kind in coded() {
        let weights =
            PackedMatrix::pack(&Cpu::new(1), kind, n_rows, n_columns, &file_rows(kind, n_rows, n_columns, 6));
        let x = noise(n_tokens * n_columns, 7);
        for isa in Isa::all() {
            let together = product(isa, &weights, &x, 1);
            for chunk in [1, 2, 5, 7, 16] {
                let parts: Vec<f32> =
                    x.chunks(chunk * n_columns).flat_map(|x| product(isa, &weights, x, 3)).collect();
                assert!(parts == together, "{kind:?} on {} by {chunk}", isa.name());
            }
        }
    }
}

#[test]
fn a_range_of_tiles_writes_its_own_rows_only() {
    let (n_rows, n_columns) = (70, 256);
    for isa in Isa::all() {
        for n_tokens in [1, 3] {
            let kind = WeightType::Q4_0;
            let bytes = file_rows(kind, n_rows, n_columns, 8);
            let weights = PackedMatrix::pack(&Cpu::new(1), kind, n_rows, n_columns, &bytes);
            let mut lines = line_buffer(n_tokens, n_columns);
            let view = Activations::new(SharedSlice::new(&mut lines), n_tokens, n_columns);
            let mut out = vec![f32::NAN; n_tokens * 100];
            let output = Output { values: SharedSlice::new(&mut out), stride: 100 };
            // SAFETY: one thread.
            unsafe { weights.multiply(isa, 3..5, Input::Codes(view), output) };
            for (i, x) in out.iter().enumerate() {
                assert_eq!(x.is_nan(), !(48..70).contains(&(i % 100)), "{} {n_tokens}: {i}", isa.name());
            }
        }
    }
}
