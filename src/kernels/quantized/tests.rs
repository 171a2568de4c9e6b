//! Every type on every instruction set against plain sums over dequantized numbers, and the independence that decode
//! and chunked prompts rely on.

use super::super::gradient_check::noise;
use super::super::random::Random;
use super::*;
use half::{bf16, f16};
use proptest::prelude::*;

/// Every instruction set of this CPU, and those of AVX-512 machines before VNNI.
fn isas() -> Vec<Isa> {
    let mut isas = Isa::all();
    if let Isa::Avx512(token) = Isa::best() {
        isas.push(Isa::Avx512(token.without_vnni()));
    }
    isas
}

/// Where the f16 factors of a block are.
fn factor_places(kind: WeightType) -> &'static [usize] {
    match kind {
        WeightType::Q8_0 | WeightType::Q4_0 | WeightType::Q5_0 => &[0],
        WeightType::Q4_1 | WeightType::Q5_1 | WeightType::Q4_K | WeightType::Q5_K => &[0, 2],
        WeightType::Q6_K => &[208],
        WeightType::F32 | WeightType::F16 | WeightType::BF16 => &[],
    }
}

/// `n_rows` rows of a file: any bytes are codes; floats, and the f16 factors of blocks, are of ordinary size.
fn file_rows(kind: WeightType, n_rows: usize, n_columns: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed, 5);
    let values = noise(if kind.is_quantized() { 0 } else { n_rows * n_columns }, seed);
    match kind {
        WeightType::F32 => return values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        WeightType::F16 => return values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
        WeightType::BF16 => return values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
        _ => {}
    }
    let mut bytes: Vec<u8> = (0..n_rows * kind.row_bytes(n_columns)).map(|_| random.next_u64() as u8).collect();
    for block in bytes.chunks_exact_mut(kind.file_block().1) {
        for &at in factor_places(kind) {
            block[at..at + 2].copy_from_slice(&f16::from_f64(random.normal() * 0.02).to_le_bytes());
        }
    }
    bytes
}

/// A packed matrix of such rows.
fn matrix(kind: WeightType, n_rows: usize, n_columns: usize, seed: u64) -> PackedMatrix {
    PackedMatrix::pack(&Cpu::new(2), kind, n_rows, n_columns, &file_rows(kind, n_rows, n_columns, seed))
}

/// Products of `x`, quantized where that is what the weights need, on `n_threads`.
fn product(isa: Isa, weights: &PackedMatrix, x: &[f32], n_threads: usize) -> Vec<f32> {
    let n_tokens = x.len() / weights.n_columns();
    let (cpu, mut out) = (Cpu::with_isa(n_threads, isa), vec![f32::NAN; n_tokens * weights.n_rows()]);
    if !weights.kind().is_quantized() {
        matmul(&cpu, weights, Input::Floats(x), &mut out);
        return out;
    }
    let mut lines = line_buffer(n_tokens, weights.n_columns());
    let x = quantize(&cpu, Sharing::Block, x, weights.n_columns(), &mut lines);
    matmul(&cpu, weights, Input::Codes(x), &mut out);
    out
}

/// The values that the activations stand for once they are quantized.
fn rounded(kind: WeightType, x: &[f32], n_columns: usize) -> Vec<f32> {
    if !kind.is_quantized() {
        return x.to_vec();
    }
    let (n_tokens, cpu) = (x.len() / n_columns, Cpu::with_isa(1, Isa::Scalar));
    let mut lines = line_buffer(n_tokens, n_columns);
    let view = quantize(&cpu, Sharing::Block, x, n_columns, &mut lines);
    // SAFETY: one thread.
    (0..n_tokens).flat_map(|token| unsafe { view.dequantize(token) }).collect()
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

/// Whether `found` is the product of `weights`, as they stand, with `x`: to rounding of f32.
fn assert_products(weights: &PackedMatrix, x: &[f32], found: &[f32], case: &str) {
    let (n_rows, n_columns) = (weights.n_rows(), weights.n_columns());
    let w = dequantized(weights);
    for (i, found) in found.iter().enumerate() {
        let (token, row) = (i / n_rows, i % n_rows);
        let (a, w) = (&x[token * n_columns..][..n_columns], &w[row * n_columns..][..n_columns]);
        let terms = || a.iter().zip(w).map(|(&a, &w)| f64::from(a) * f64::from(w));
        let (wanted, size) = (terms().sum::<f64>(), terms().map(f64::abs).sum::<f64>());
        let error = (f64::from(*found) - wanted).abs();
        assert!(error <= 1e-5 * size + 1e-30, "{case}, token {token} row {row}: {found:e}, not {wanted:e}");
    }
}

#[test]
fn products_are_those_of_the_dequantized_numbers() {
    for kind in WeightType::ALL {
        for (n_rows, n_columns, n_tokens) in SIZES {
            let weights = matrix(kind, n_rows, n_columns, 1);
            let x = noise(n_tokens * n_columns, 2);
            let found = product(Isa::Scalar, &weights, &x, 1);
            let case = format!("{kind:?} {n_rows}x{n_columns}");
            assert_products(&weights, &rounded(kind, &x, n_columns), &found, &case);
        }
    }
}

#[test]
fn products_are_near_those_of_activations_that_were_not_quantized() {
    let (n_rows, n_columns, n_tokens) = (40, 1024, 3);
    for kind in WeightType::ALL {
        let weights = matrix(kind, n_rows, n_columns, 9);
        let x = noise(n_tokens * n_columns, 10);
        let (found, w) = (product(Isa::best(), &weights, &x, 1), dequantized(&weights));
        let (mut error, mut size) = (0.0, 0.0);
        for (x, found) in x.chunks(n_columns).zip(found.chunks(n_rows)) {
            for (w, found) in w.chunks(n_columns).zip(found) {
                let wanted: f64 = x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
                error += (f64::from(*found) - wanted).powi(2);
                size += wanted.powi(2);
            }
        }
        // Codes of normal numbers, 32 of which share a scale, are off by 0.5 % of their size on average.
        let wanted = if kind.is_quantized() { 0.008 } else { 1e-6 };
        assert!((error / size).sqrt() < wanted, "{kind:?}: {}", (error / size).sqrt());
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    for kind in WeightType::ALL {
        for (n_rows, n_columns, n_tokens) in SIZES {
            let weights = matrix(kind, n_rows, n_columns, 3);
            let x = noise(n_tokens * n_columns, 4);
            let wanted = product(Isa::Scalar, &weights, &x, 1);
            for isa in isas() {
                let found = product(isa, &weights, &x, 2);
                assert!(found == wanted, "{kind:?} on {}: {n_rows}x{n_columns}, {n_tokens} tokens", isa.name());
            }
        }
    }
}

#[test]
fn rows_of_floats_may_have_any_number_of_columns_and_rows_of_blocks_any_number_of_blocks() {
    for (kind, n_columns) in [
        (WeightType::F32, 1),
        (WeightType::F16, 127),
        (WeightType::BF16, 129),
        (WeightType::F16, 301),
        (WeightType::Q8_0, 32),
        (WeightType::Q4_0, 288),
        (WeightType::Q5_0, 544),
        (WeightType::Q4_1, 576),
        (WeightType::Q5_1, 1056),
    ] {
        let (weights, x) = (matrix(kind, 35, n_columns, 5), noise(8 * n_columns, 6));
        for isa in isas() {
            let case = format!("{kind:?} of {n_columns} on {}", isa.name());
            let found = product(isa, &weights, &x, 1);
            assert_products(&weights, &rounded(kind, &x, n_columns), &found, &case);
            let alone: Vec<f32> = x.chunks(n_columns).flat_map(|x| product(isa, &weights, x, 1)).collect();
            assert!(alone == found, "{case}");
        }
    }
}

#[test]
fn a_token_has_the_same_bits_alone_and_in_any_company() {
    let (n_rows, n_columns, n_tokens) = (70, 768, 23);
    for kind in WeightType::ALL {
        let weights = matrix(kind, n_rows, n_columns, 6);
        let x = noise(n_tokens * n_columns, 7);
        for isa in isas() {
            let together = product(isa, &weights, &x, 1);
            for chunk in [1, 2, 5, 7, 16] {
                let parts: Vec<f32> = x.chunks(chunk * n_columns).flat_map(|x| product(isa, &weights, x, 3)).collect();
                assert!(parts == together, "{kind:?} on {} by {chunk}", isa.name());
            }
        }
    }
}

/// Rows whose codes are all `code`, and whose scales and offsets are as large as their types can hold.
fn extreme_rows(kind: WeightType, n_bytes: usize, code: u8, factor: f16) -> Vec<u8> {
    let (len, block_bytes) = kind.file_block();
    let mut bytes = vec![code; n_bytes];
    for block in bytes.chunks_exact_mut(block_bytes).filter(|_| len > 1) {
        for &at in factor_places(kind) {
            block[at..at + 2].copy_from_slice(&factor.to_le_bytes());
        }
    }
    bytes
}

#[test]
fn the_largest_codes_scales_and_activations_do_not_overflow_and_zeros_stay_zeros() {
    let (n_rows, n_columns) = (16, 512);
    for kind in WeightType::ALL.into_iter().filter(|kind| kind.is_quantized()) {
        for (code, factor, size) in [
            (0x00, f16::MAX, 1e3),
            (0x7f, f16::MAX, 1e3),
            (0x80, f16::MAX, 1e3),
            (0x3b, f16::from_bits(1), 1e-30),
            (0x2a, f16::ZERO, 1.0),
        ] {
            let bytes = extreme_rows(kind, n_rows * kind.row_bytes(n_columns), code, factor);
            let weights = PackedMatrix::pack(&Cpu::new(1), kind, n_rows, n_columns, &bytes);
            for x in [vec![size; 7 * n_columns], vec![-size; 7 * n_columns], vec![0.0; 7 * n_columns]] {
                for isa in isas() {
                    let found = product(isa, &weights, &x, 1);
                    let case = format!("{kind:?} code {code:x} factor {factor} on {}", isa.name());
                    assert_products(&weights, &rounded(kind, &x, n_columns), &found, &case);
                }
            }
        }
    }
}

#[test]
fn an_activation_that_is_not_a_number_reaches_all_products_of_its_token_and_of_no_other() {
    let (n_rows, n_columns) = (20, 256);
    for kind in WeightType::ALL {
        let weights = matrix(kind, n_rows, n_columns, 8);
        for isa in isas() {
            let mut x = noise(3 * n_columns, 1);
            x[n_columns + 100] = f32::NAN;
            for (i, y) in product(isa, &weights, &x, 1).iter().enumerate() {
                let own = i / n_rows == 1;
                // Bytes at random may be floats that are no numbers themselves.
                assert!(y.is_nan() == own || !kind.is_quantized(), "{kind:?} on {}: {i}", isa.name());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn any_bytes_and_shape_give_the_same_bits_on_every_instruction_set(
        kind in proptest::sample::select(&WeightType::ALL[3..]),
        (n_rows, n_blocks, n_tokens) in (1usize..50, 1usize..6, 1usize..15),
        (seed, size) in (0u64..1000, -20i32..20),
    ) {
        let n_columns = n_blocks * kind.file_block().0;
        let weights = matrix(kind, n_rows, n_columns, seed);
        let x: Vec<f32> = noise(n_tokens * n_columns, seed).iter().map(|x| x * 2f32.powi(size)).collect();
        let wanted = product(Isa::Scalar, &weights, &x, 1);
        assert_products(&weights, &rounded(kind, &x, n_columns), &wanted, &format!("{kind:?}"));
        for isa in isas() {
            prop_assert!(product(isa, &weights, &x, 2) == wanted, "{:?} on {}", kind, isa.name());
        }
    }
}

#[test]
fn a_range_of_tiles_writes_its_own_rows_only() {
    let (n_rows, n_columns) = (70, 256);
    for isa in isas() {
        for n_tokens in [1, 3] {
            let weights = matrix(WeightType::Q4_0, n_rows, n_columns, 8);
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

#[test]
fn what_is_asked_for_ahead_are_all_bytes_of_a_tile_each_once() {
    for kind in &WeightType::ALL[3..] {
        let coding = kind.coding().expect("a type of codes");
        for n_blocks in [8, 16, 24, 40] {
            let panels = (0..n_blocks).step_by(PANEL_BLOCKS).map(|first| first..(first + PANEL_BLOCKS).min(n_blocks));
            let [mut scales_end, mut codes_end] = [0, coding.scales.plane_bytes(n_blocks)];
            for panel in panels {
                let [scales, codes] = coding.stretches(panel, n_blocks);
                assert_eq!((scales.start, codes.start), (scales_end, codes_end), "{kind:?}, {n_blocks} blocks");
                (scales_end, codes_end) = (scales.end, codes.end);
            }
            // A plane of scales is filled up to whole lines.
            assert_eq!(scales_end.next_multiple_of(64), coding.scales.plane_bytes(n_blocks), "{kind:?}");
            assert_eq!(codes_end, coding.tile_bytes(n_blocks), "{kind:?}");
        }
    }
}
