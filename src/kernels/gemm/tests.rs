//! Every instruction set against the specification, over awkward sizes; and the independence that decode relies on.

use super::super::element::bf16;
use super::super::random::Random;
use super::super::scalar;
use super::*;

/// How far a sum of `k` products of numbers near 1 may be from that of the plain loops.
fn tolerance(precision: Precision, k: usize) -> f32 {
    match precision {
        // Operands are exact, and sums are single precision.
        Precision::F32 | Precision::Bf16 => 2e-4,
        // Six times the error that sums of 64 in 11 bits have on average.
        Precision::F16 => 6.0 * 0.0012 * (k as f32).sqrt(),
        // Seven times the error that operands of a normal distribution have on average.
        Precision::Int8 => 7.0 * 0.011 * (k as f32).sqrt(),
    }
}

fn noise(n: usize, stream: u64) -> Vec<f32> {
    let mut random = Random::new(1, stream);
    (0..n).map(|_| random.normal() as f32).collect()
}

/// Every instruction set with every precision that it has.
fn ways() -> impl Iterator<Item = (Isa, Precision)> {
    let all = Isa::all().into_iter().flat_map(|isa| Precision::ALL.map(|precision| (isa, precision)));
    all.filter(|&(isa, precision)| precision.is_available(isa))
}

/// Noise, which `precision` holds exactly unless its steps depend on a whole row, so that the plain loops know what is multiplied.
fn operand(precision: Precision, n: usize, stream: u64) -> Vec<f32> {
    let keep = match precision {
        Precision::F32 | Precision::Int8 => !0,
        Precision::Bf16 => 0xffff_0000,
        Precision::F16 => 0xffff_e000,
    };
    noise(n, stream).into_iter().map(|x| f32::from_bits(x.to_bits() & keep)).collect()
}

fn transpose(x: &[f32], n_rows: usize, n_cols: usize) -> Vec<f32> {
    (0..n_rows * n_cols).map(|i| x[i % n_rows * n_cols + i / n_rows]).collect()
}

fn assert_close(found: &[f32], wanted: &[f32], tolerance: f32, case: &str) {
    for (i, (f, w)) in found.iter().zip(wanted).enumerate() {
        assert!((f - w).abs() <= tolerance * (1.0 + w.abs()), "{case}: element {i} is {f}, not {w}");
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
                    assert_close(&c, &wanted, tolerance(precision, k), &case);
                    let mut c = add.clone();
                    gemm(&cpu, precision, view_a, view_b, &mut c, Start::Accumulate);
                    assert_close(&c, &with_add, tolerance(precision, k), &case);
                    let mut c = vec![9.0; m * n];
                    gemm(&cpu, precision, view_a, view_b, &mut c, Start::From(&add));
                    assert_close(&c, &with_add, tolerance(precision, k), &case);
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
fn on_one_thread_a_product_has_the_same_bits_and_half_of_a_symmetric_one_is_enough() {
    let (m, k) = (77, 1100);
    let a = noise(m * k, 6);
    let rows = Matrix::new(&a, m, k);
    for (isa, precision) in ways() {
        let [mut wanted, mut whole, mut half] = [(); 3].map(|()| vec![0.5; m * m]);
        let mut buf = AlignedBuf::default();
        gemm(&Cpu::with_isa(2, isa), precision, rows, rows.transposed(), &mut wanted, Start::Zero);
        gemm_on_thread((isa, precision), rows, rows.transposed(), &mut whole, Start::Zero, &mut buf);
        symmetric_on_thread((isa, precision), rows, rows.transposed(), &mut half, &mut buf);
        assert!(wanted == whole && wanted == half, "{} {}", isa.name(), precision.name());
    }
}

/// Sizes where tasks make whole rows, groups of panels, and rows in more than one block of inner elements.
const WAYS_TO_DIVIDE: [(usize, usize, usize); 5] =
    [(500, 70, 40), (3, 300, 64), (70, 90, 3100), (64, 64, 96), (260, 1344, 400)];

#[test]
fn what_comes_then_sees_every_row_once_whether_c_is_kept_rounded_or_lost() {
    for (isa, precision) in ways() {
        let cpu = Cpu::with_isa(2, isa);
        for (m, n, k) in WAYS_TO_DIVIDE {
            let (a, b) = (noise(m * k, 1), noise(k * n, 2));
            let (a, b) = (Matrix::new(&a, m, k), Matrix::new(&b, k, n));
            let mut wanted = vec![0.0; m * n];
            gemm(&cpu, precision, a, b, &mut wanted, Start::Zero);
            let case = format!("{} {} {m}x{n}x{k}", isa.name(), precision.name());
            // Beside each row what was seen of it, in the places of its columns.
            let rounded: Vec<bf16> = wanted.iter().map(|&x| bf16::narrow(x)).collect();
            let [mut kept, mut narrow] = [(); 2].map(|()| vec![0.0; m * n]);
            let whole = |piece: Piece, c: &mut [f32], [seen]: [&mut [f32]; 1]| {
                assert_eq!(piece.columns, 0..n, "{case}");
                seen.iter_mut().zip(c).for_each(|(seen, c)| *seen += *c);
            };
            let mut c = vec![9.0; m * n];
            gemm_then(&cpu, precision, a, b, &mut c, Start::Zero, [&mut kept], whole);
            assert!(c == wanted && kept == wanted, "{case}");
            for cut in [Cut::ANYWHERE, Cut { columns: 10, parts: 1 }, Cut { columns: 1, parts: 2 }] {
                let (part, case) = (n / cut.parts, format!("{case} {cut:?}"));
                let pieces = |piece: Piece, c: &mut [f32], [seen]: [&mut [f32]; 1]| {
                    let Piece { columns, .. } = piece;
                    let is_between = |column: usize| column == part || column.is_multiple_of(cut.columns);
                    assert!(is_between(columns.start) && is_between(columns.end), "{case}: {columns:?}");
                    for (i, c) in c.chunks_exact(columns.len()).enumerate() {
                        let first = i / cut.parts * n + i % cut.parts * part;
                        let seen = &mut seen[first + columns.start..first + columns.end];
                        seen.iter_mut().zip(c).for_each(|(seen, c)| *seen += *c);
                    }
                };
                let mut c = vec![bf16::ONE; m * n];
                narrow.fill(0.0);
                gemm_into(&cpu, precision, a, b, &mut c, cut, [&mut narrow], pieces);
                assert!(c == rounded && narrow == wanted, "{case}");
                narrow.fill(0.0);
                gemm_passing(&cpu, precision, a, b, cut, [&mut narrow], pieces);
                assert!(narrow == wanted, "{case}");
                let mut c = vec![9.0; m * n];
                narrow.fill(0.0);
                gemm_into(&cpu, precision, a, b, &mut c, cut, [&mut narrow], pieces);
                assert!(c == wanted && narrow == wanted, "{case}");
            }
        }
    }
}

#[test]
fn a_matrix_in_bf16_has_the_products_of_the_same_numbers_in_f32() {
    for (isa, precision) in ways().filter(|way| way.1 == Precision::Bf16) {
        let cpu = Cpu::with_isa(2, isa);
        for (m, n, k) in WAYS_TO_DIVIDE {
            let (a, b) = (operand(precision, m * k, 1), operand(precision, k * n, 2));
            let [a_narrow, b_narrow] = [&a, &b].map(|x| x.iter().map(|&x| bf16::narrow(x)).collect::<Vec<_>>());
            let product = |a: Matrix, b: Matrix| {
                let mut c = vec![9.0; m * n];
                gemm(&cpu, precision, a, b, &mut c, Start::Zero);
                c
            };
            let case = format!("{} {m}x{n}x{k}", isa.name());
            let wanted = product(Matrix::new(&a, m, k), Matrix::new(&b, k, n));
            assert_eq!(product(Matrix::new(&a_narrow, m, k), Matrix::new(&b_narrow, k, n)), wanted, "{case}");
            assert_eq!(product(Matrix::new(&a_narrow, m, k), Matrix::new(&b, k, n)), wanted, "{case}");
            // The same elements as matrices of the other shapes, mirrored.
            let mirrored = |a: Matrix, b: Matrix| {
                let mut c = vec![9.0; m * n];
                gemm(&cpu, precision, a.transposed(), b.transposed(), &mut c, Start::Zero);
                c
            };
            let wanted = mirrored(Matrix::new(&a, k, m), Matrix::new(&b, n, k));
            assert_eq!(mirrored(Matrix::new(&a_narrow, k, m), Matrix::new(&b_narrow, n, k)), wanted, "{case}");
        }
    }
}

#[test]
fn a_product_over_no_inner_elements_leaves_c_alone() {
    let mut c = vec![1.0, 2.0];
    gemm(
        &Cpu::new(1),
        Precision::F32,
        Matrix::new::<f32>(&[], 1, 0),
        Matrix::new::<f32>(&[], 0, 2),
        &mut c,
        Start::Accumulate,
    );
    assert_eq!(c, [1.0, 2.0]);
}

/// The plain loops of a product in f16: scaled operands, sums of up to 64 in f16, one over the even inner elements and
/// one over the odd, which are added up in f32.
#[cfg(target_arch = "x86_64")]
mod f16 {
    use super::*;

    /// Inner elements of a block: as good as equal parts of at most 1,024.
    fn block(k: usize) -> usize {
        k.div_ceil(k.div_ceil(1024)).next_multiple_of(2)
    }

    /// The nearest f16; ties go to the even one.
    fn rounded(x: f64) -> f64 {
        if x == 0.0 {
            return x;
        }
        let unit = 2f64.powi((x.abs().log2().floor() as i32).max(-14) - 10);
        (x / unit).round_ties_even() * unit
    }

    /// What brings the largest of `x` to between 8 and 16.
    fn scale(x: impl Iterator<Item = f32>) -> f64 {
        let largest = x.fold(0.0f32, |m, x| m.max(x.abs()));
        2f64.powi(3 - (largest as f64).log2().floor() as i32)
    }

    fn matmul((m, n, k): (usize, usize, usize), a: &[f32], b: &[f32]) -> Vec<f32> {
        let mut c = vec![0.0f32; m * n];
        for (i, c) in c.iter_mut().enumerate() {
            let (row, col) = (i / n, i % n);
            for first in (0..k).step_by(block(k)) {
                let inner = first..(first + block(k)).min(k);
                let (a, b) = (|j: usize| a[row * k + j], |j: usize| b[j * n + col]);
                let (scale_a, scale_b) = (scale(inner.clone().map(a)), scale(inner.clone().map(b)));
                let mut sums = [0.0f32; 2];
                for chain in inner.clone().step_by(128) {
                    let mut chains = [0.0f64; 2];
                    for j in chain..(chain + 128).min(inner.end) {
                        let product = rounded(a(j) as f64 * scale_a) * rounded(b(j) as f64 * scale_b);
                        chains[(j - chain) % 2] = rounded(chains[(j - chain) % 2] + product);
                    }
                    sums = [sums[0] + chains[0] as f32, sums[1] + chains[1] as f32];
                }
                *c = (sums[0] + sums[1]).mul_add((1.0 / (scale_a * scale_b)) as f32, *c);
            }
        }
        c
    }

    #[test]
    fn products_have_the_bits_of_the_plain_loops() {
        let cpu = Cpu::new(2);
        if !Precision::F16.is_available(cpu.isa) {
            return;
        }
        for (m, n, k) in [(15, 33, 130), (3, 40, 1031), (29, 5, 64)] {
            // Rows and columns of very different size.
            let (mut a, mut b) = (noise(m * k, 6), noise(k * n, 7));
            a.iter_mut().enumerate().for_each(|(i, x)| *x *= 10f32.powi((i / k) as i32 % 9 - 6));
            b.iter_mut().enumerate().for_each(|(i, x)| *x *= 10f32.powi((i % n) as i32 % 7 - 4));
            let mut c = vec![0.0; m * n];
            gemm(&cpu, Precision::F16, Matrix::new(&a, m, k), Matrix::new(&b, k, n), &mut c, Start::Zero);
            assert_eq!(c, matmul((m, n, k), &a, &b), "{m}x{n}x{k}");
        }
    }

    #[test]
    fn numbers_beyond_the_range_of_f16_are_multiplied_and_nan_and_infinity_are_not_hidden() {
        let cpu = Cpu::new(1);
        if !Precision::F16.is_available(cpu.isa) {
            return;
        }
        let product = |a: [f32; 2], b: [f32; 2]| {
            let mut c = [0.0];
            gemm(&cpu, Precision::F16, Matrix::new(&a, 1, 2), Matrix::new(&b, 2, 1), &mut c, Start::Zero);
            c[0]
        };
        let large = product([1e30, 2e30], [1.0, 1.0]);
        assert!((large / 3e30 - 1.0).abs() < 1e-3, "{large:e}");
        assert_eq!(product([0.0, 0.0], [5.0, 1.0]), 0.0);
        assert!(product([f32::NAN, 1.0], [1.0, 1.0]).is_nan());
        assert!(!product([f32::INFINITY, 1.0], [1.0, 1.0]).is_finite());
    }
}

/// The plain loops of a product of 8-bit codes: both operands in steps of 1/127 of their largest, exact sums.
#[cfg(target_arch = "x86_64")]
mod int8 {
    use super::*;

    const BLOCK: usize = 2048;

    /// The codes of `x` and their step.
    fn codes(x: impl Iterator<Item = f32> + Clone) -> (Vec<i64>, f32) {
        let largest = x.clone().fold(0.0f32, |m, x| m.max(x.abs()));
        (x.map(|x| (x * (127.0 / largest)).round_ties_even() as i64).collect(), largest / 127.0)
    }

    fn matmul((m, n, k): (usize, usize, usize), a: &[f32], b: &[f32], start: &[f32]) -> Vec<f32> {
        let mut c = start.to_vec();
        // Blocks are as good as equal.
        let block = k.div_ceil(k.div_ceil(BLOCK)).next_multiple_of(2);
        for (i, c) in c.iter_mut().enumerate() {
            let (row, col) = (i / n, i % n);
            assert_eq!(start.len(), m * n);
            for first in (0..k).step_by(block) {
                let inner = first..(first + block).min(k);
                let (a, step_a) = codes(inner.clone().map(|j| a[row * k + j]));
                let (b, step_b) = codes(inner.clone().map(|j| b[j * n + col]));
                let sum: i64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
                *c = (sum as f32).mul_add(step_a * step_b, *c);
            }
        }
        c
    }

    #[test]
    fn products_have_the_bits_of_the_plain_loops() {
        let cpu = Cpu::new(2);
        if !Precision::Int8.is_available(cpu.isa) {
            return;
        }
        for (m, n, k) in [(15, 33, 130), (3, 40, 2031), (29, 5, 64), (17, 70, 4100), (1, 1, 3)] {
            // Rows and columns of very different size, some of them nearly all zeros.
            let (mut a, mut b, start) = (noise(m * k, 6), noise(k * n, 7), noise(m * n, 8));
            a.iter_mut().enumerate().for_each(|(i, x)| *x *= 10f32.powi((i / k) as i32 % 9 - 6));
            b.iter_mut().enumerate().for_each(|(i, x)| *x *= 10f32.powi((i % n) as i32 % 7 - 4));
            a.iter_mut().step_by(97).for_each(|x| *x *= 1e4);
            let wanted = matmul((m, n, k), &a, &b, &start);
            let b_t = transpose(&b, k, n);
            for b in [Matrix::new(&b, k, n), Matrix::new(&b_t, n, k).transposed()] {
                let mut c = vec![0.0; m * n];
                gemm(&cpu, Precision::Int8, Matrix::new(&a, m, k), b, &mut c, Start::From(&start));
                assert_eq!(c, wanted, "{m}x{n}x{k}");
            }
        }
    }

    #[test]
    fn zeros_give_zeros_and_nan_and_infinity_are_not_hidden() {
        let cpu = Cpu::new(1);
        if !Precision::Int8.is_available(cpu.isa) {
            return;
        }
        let product = |a: [f32; 2], b: [f32; 2]| {
            let mut c = [0.0];
            gemm(&cpu, Precision::Int8, Matrix::new(&a, 1, 2), Matrix::new(&b, 2, 1), &mut c, Start::Zero);
            c[0]
        };
        assert_eq!((product([0.0, 0.0], [5.0, 1.0]), product([5.0, 1.0], [0.0, 1e-45])), (0.0, 0.0));
        assert!((product([1e30, 2e30], [1.0, 1.0]) / 3e30 - 1.0).abs() < 2e-2);
        for bad in [f32::NAN, f32::INFINITY] {
            assert!(!product([bad, 1.0], [1.0, 1.0]).is_finite());
            assert!(!product([1.0, 1.0], [1.0, bad]).is_finite());
        }
    }
}
