//! Every instruction set against the specification, over awkward sizes; and the independence that decode relies on.

use super::super::random::Random;
use super::super::scalar;
use super::*;

/// Single precision over chains of up to a few hundred products of numbers near 1.
const TOLERANCE: f32 = 2e-4;

fn noise(n: usize, stream: u64) -> Vec<f32> {
    let mut random = Random::new(1, stream);
    (0..n).map(|_| random.normal() as f32).collect()
}

/// Every instruction set with every precision that it has.
fn ways() -> impl Iterator<Item = (Isa, Precision)> {
    let all = Isa::all().into_iter().flat_map(|isa| [(isa, Precision::F32), (isa, Precision::Bf16)]);
    all.filter(|&(isa, precision)| precision.is_available(isa))
}

/// Noise that `precision` holds exactly, so that the plain loops know what is multiplied.
fn operand(precision: Precision, n: usize, stream: u64) -> Vec<f32> {
    let keep = if precision == Precision::Bf16 { 0xffff_0000 } else { !0 };
    noise(n, stream).into_iter().map(|x| f32::from_bits(x.to_bits() & keep)).collect()
}

fn transpose(x: &[f32], n_rows: usize, n_cols: usize) -> Vec<f32> {
    (0..n_rows * n_cols).map(|i| x[i % n_rows * n_cols + i / n_rows]).collect()
}

fn assert_close(found: &[f32], wanted: &[f32], case: &str) {
    for (i, (f, w)) in found.iter().zip(wanted).enumerate() {
        assert!((f - w).abs() <= TOLERANCE * (1.0 + w.abs()), "{case}: element {i} is {f}, not {w}");
    }
}

#[test]
fn every_instruction_set_and_orientation_equals_the_plain_triple_loop() {
    let sizes = [
        (1, 1, 1),
        (1, 32, 7),
        (2, 33, 16),
        (14, 31, 257),
        (15, 64, 256),
        (113, 95, 40),
        (3, 300, 513),
        (57, 1, 5),
        (20, 40, 1031),
    ];
    for (isa, precision) in ways() {
        let cpu = Cpu::with_isa(2, isa);
        for (m, n, k) in sizes {
            let (a, b, add) = (operand(precision, m * k, 1), operand(precision, k * n, 2), noise(m * n, 3));
            let (a_t, b_t) = (transpose(&a, m, k), transpose(&b, k, n));
            let wanted = scalar::matmul(m, n, k, &a, &b, None);
            let with_add = scalar::matmul(m, n, k, &a, &b, Some(&add));
            let views_a = [Matrix::new(&a, m, k), Matrix::new(&a_t, k, m).transposed()];
            let views_b = [Matrix::new(&b, k, n), Matrix::new(&b_t, n, k).transposed()];
            for (ia, view_a) in views_a.into_iter().enumerate() {
                for (ib, view_b) in views_b.into_iter().enumerate() {
                    let case = format!("{} {} {m}x{n}x{k} a{ia} b{ib}", isa.name(), precision.name());
                    let mut c = vec![9.0; m * n];
                    gemm(&cpu, precision, view_a, view_b, &mut c, Start::Zero);
                    assert_close(&c, &wanted, &case);
                    let mut c = add.clone();
                    gemm(&cpu, precision, view_a, view_b, &mut c, Start::Accumulate);
                    assert_close(&c, &with_add, &case);
                    let mut c = vec![9.0; m * n];
                    gemm(&cpu, precision, view_a, view_b, &mut c, Start::From(&add));
                    assert_close(&c, &with_add, &case);
                }
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_alone_in_a_batch_packed_or_on_more_threads() {
    let (m, n, k) = (45, 70, 1300);
    let (a, b) = (noise(m * k, 4), noise(k * n, 5));
    for (isa, precision) in ways() {
        let mut whole = vec![0.0; m * n];
        let one = Cpu::with_isa(1, isa);
        gemm(&one, precision, Matrix::new(&a, m, k), Matrix::new(&b, k, n), &mut whole, Start::Zero);
        let three = Cpu::with_isa(3, isa);
        let mut packed = PackedMatrix::default();
        packed.pack(&three, precision, Matrix::new(&b, k, n));
        for rows in [0..1, 3..5, 7..45] {
            let mut part = vec![0.0; rows.len() * n];
            let a = Matrix::new(&a[rows.start * k..rows.end * k], rows.len(), k);
            gemm_packed(&three, a, &packed, &mut part, Start::Zero);
            assert_eq!(part, whole[rows.start * n..rows.end * n], "{} {} rows {rows:?}", isa.name(), precision.name());
        }
    }
}

#[test]
fn a_product_over_no_inner_elements_leaves_c_alone() {
    let mut c = vec![1.0, 2.0];
    gemm(&Cpu::new(1), Precision::F32, Matrix::new(&[], 1, 0), Matrix::new(&[], 0, 2), &mut c, Start::Accumulate);
    assert_eq!(c, [1.0, 2.0]);
}
