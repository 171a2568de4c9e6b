//! The Muon update of weight matrices: momentum, made orthogonal, with a rate for each neuron.
//!
//! An update is [`momentum`], [`orthogonalise`], [`apply`], of which the second is nearly all of the work.
//!
//! Muon (Jordan et al., 2024, kellerjordan.github.io/posts/muon) replaces a matrix's momentum by the nearest matrix whose
//! singular values are all about one, by a few steps of a Newton-Schulz iteration. NorMuon (Li et al., arXiv 2510.05491)
//! then divides each row by the root of its own running mean square, and scales the whole so that its mean square is that
//! of the orthogonal matrix before. The factor 0.2 sqrt(max(rows, columns)) gives updates the size of AdamW's (Moonlight,
//! arXiv 2502.16982), so that rates transfer over shapes.
//!
//! A task handles one matrix on one thread, so results do not depend on the number of threads.

use super::aligned::AlignedBuf;
use super::cpu::{Cpu, Isa, for_each_isa};
use super::gemm::transpose::transpose;
use super::gemm::{Matrix, Precision, Start, gemm_on_thread, symmetric_on_thread};
use super::math::sum;
use super::shared::SharedSlice;
use std::cell::RefCell;
use std::ops::Range;

/// Iterations between two looks at the matrix itself; the coefficients below are made for five of them.
///
/// In between, only its gram matrix is multiplied, whose side is the matrix's shorter one: two thirds of the work of five
/// iterations on the whole for the matrices of a transformer, and half for those whose longer side is five times the
/// shorter. But rounding can leave the gram matrix eigenvalues a little below zero, which each iteration makes twelve
/// times larger; so it is made anew after three.
const ROUNDS: [usize; 2] = [3, 2];

/// x -> a x + b x^3 + c x^5 brings singular values from (0, 1] near 1 quickly, if not exactly (Jordan et al.).
const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];

/// What an update needs besides the tensors.
#[derive(Debug, Clone, Copy)]
pub struct Muon {
    /// Learning rate.
    pub lr: f32,
    /// Decay of the mean of gradients.
    pub momentum: f32,
    /// Decay of each row's mean square.
    pub beta2: f32,
    /// Whether rows are divided by the root of their mean square (NorMuon), or all have the rate of the matrix.
    pub normalises_rows: bool,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Whether a weight decays only where that does not work against its update (after arXiv 2411.16085).
    pub is_cautious: bool,
    /// Updates made so far, this one included.
    pub step: u64,
    /// Factor on the gradient.
    pub gradient_scale: f32,
}

/// A matrix's place in the flat blocks.
#[derive(Debug, Clone)]
pub struct MatrixPlace {
    /// Its elements.
    pub range: Range<usize>,
    /// Its rows: outputs of the linear layer.
    pub n_rows: usize,
}

/// Buffers of one thread for one matrix.
#[derive(Default)]
struct Scratch {
    x: AlignedBuf,
    next: AlignedBuf,
    panels: AlignedBuf,
    /// Square matrices of the shorter side.
    small: [AlignedBuf; 4],
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Makes `gradients` of the matrices at `places` the directions of an update: the momentum one step ahead.
pub fn momentum(cpu: &Cpu, s: Muon, places: &[MatrixPlace], gradients: &mut [f32], moment1: &mut [f32]) {
    let isa = cpu.isa;
    for_each_matrix(cpu, places, [gradients, moment1], |_, [gradient, moment1]| {
        nesterov(isa, s.momentum, s.gradient_scale, gradient, moment1);
    });
}

/// Brings the singular values of the matrices at `places` near one.
///
/// Products are in `precision`, which must be available, but in f16 or else f32 where that is bf16: 400 steps of `nano` on tiny
/// Shakespeare ended at 3.3 bits per byte with bf16 here, at 2.23 with f32. The likely cause is what `ROUNDS` says of
/// rounding, which 8 bits make worse; peers, who use bf16, iterate on the whole matrix.
pub fn orthogonalise(cpu: &Cpu, precision: Precision, places: &[MatrixPlace], directions: &mut [f32]) {
    let (isa, precision) = (cpu.isa, precision.of_floats(cpu.isa));
    let precision = match precision {
        Precision::Bf16 if Precision::F16.is_available(isa) => Precision::F16,
        Precision::Bf16 => Precision::F32,
        other => other,
    };
    for_each_matrix(cpu, places, [directions], |n_rows, [direction]| {
        let n_cols = direction.len() / n_rows;
        SCRATCH.with_borrow_mut(|scratch| {
            // The iteration works on the smaller side, so a tall matrix goes through it lying down.
            if n_rows > n_cols {
                transpose(isa, (direction, n_cols), (n_rows, n_cols), (scratch.x.at_least(direction.len()), n_rows));
                bring_to_one((isa, precision), n_cols, n_rows, scratch);
                transpose(isa, (&scratch.x, n_rows), (n_cols, n_rows), (direction, n_cols));
            } else {
                scratch.x.at_least(direction.len()).copy_from_slice(direction);
                bring_to_one((isa, precision), n_rows, n_cols, scratch);
                direction.copy_from_slice(&scratch.x[..direction.len()]);
            }
        });
    });
}

/// Moves the weights of the matrices at `places` along their orthogonal `directions`, which are destroyed. The first
/// elements of each matrix's range of `moment2` hold its rows' mean squares.
pub fn apply(
    cpu: &Cpu,
    s: Muon,
    places: &[MatrixPlace],
    weights: &mut [f32],
    directions: &mut [f32],
    moment2: &mut [f32],
) {
    let isa = cpu.isa;
    for_each_matrix(cpu, places, [weights, directions, moment2], |n_rows, [weight, direction, row_squares]| {
        let n_cols = weight.len() / n_rows;
        if s.normalises_rows {
            let correction = 1.0 - (s.beta2 as f64).powf(s.step as f64) as f32;
            normalise_rows(isa, direction, n_cols, &mut row_squares[..n_rows], s.beta2, correction);
        }
        let size = 0.2 * (n_rows.max(n_cols) as f32).sqrt();
        let (step, decay) = (s.lr * size, s.lr * s.weight_decay);
        match s.is_cautious {
            true => apply_and_decay_cautiously(isa, weight, direction, step, decay),
            false => apply_and_decay(isa, weight, direction, step, decay),
        }
    });
}

/// Calls `f` with the number of rows of each matrix and its parts of the `flat` blocks, a matrix at a time on each thread.
fn for_each_matrix<const N: usize>(
    cpu: &Cpu,
    places: &[MatrixPlace],
    flat: [&mut [f32]; N],
    f: impl Fn(usize, [&mut [f32]; N]) + Sync,
) {
    let flat = flat.map(SharedSlice::new);
    cpu.pool.run(places.len(), |task| {
        let MatrixPlace { range, n_rows } = &places[task];
        // SAFETY: matrices do not overlap, and each is handled by one task.
        f(*n_rows, flat.each_ref().map(|flat| unsafe { flat.range(range.clone()) }));
    });
}

for_each_isa! {
    /// momentum = its decayed mean with the gradient; gradient = that mean one step ahead (Nesterov).
    fn nesterov(decay: f32, scale: f32, gradient: &mut [f32], momentum: &mut [f32]) {
        for (gradient, momentum) in gradient.iter_mut().zip(momentum) {
            let g = *gradient * scale;
            let m = decay * *momentum + (1.0 - decay) * g;
            *momentum = m;
            *gradient = decay * m + (1.0 - decay) * g;
        }
    }
}

/// Brings the singular values of `scratch.x` (m, n), m <= n, near one.
fn bring_to_one(unit: (Isa, Precision), m: usize, n: usize, scratch: &mut Scratch) {
    scale_to_unit_norm(unit.0, &mut scratch.x[..m * n]);
    scratch.next.at_least(m * n);
    for n_iterations in ROUNDS {
        let Scratch { x, next, panels, small } = scratch;
        let x_matrix = Matrix::new(x, m, n);
        let [gram, rest @ ..] = small.each_mut().map(|buf| &mut buf.at_least(m * m)[..m * m]);
        symmetric_on_thread(unit, x_matrix, x_matrix.transposed(), gram, panels); // X · X^T
        let factor = factor_of(unit, m, n_iterations, gram, rest, panels);
        gemm_on_thread(unit, Matrix::new(factor, m, m), x_matrix, &mut next[..m * n], Start::Zero, panels);
        std::mem::swap(x, next);
    }
}

/// What `n_iterations` multiply a matrix by whose `gram` matrix (m, m) is given, which is destroyed.
///
/// An iteration multiplies it by P = a + b G + c G^2, and G by P twice. All of these are polynomials of the first G: they
/// are symmetric and change places in products, so each product is one of symmetric matrices with a symmetric result.
fn factor_of<'a>(
    unit: (Isa, Precision),
    m: usize,
    n_iterations: usize,
    gram: &mut [f32],
    [mut factor, mut polynomial, mut spare]: [&'a mut [f32]; 3],
    panels: &mut AlignedBuf,
) -> &'a [f32] {
    let [a, b, c] = COEFFICIENTS;
    let mut product = |x: &[f32], y: &[f32], out: &mut [f32]| {
        symmetric_on_thread(unit, Matrix::new(x, m, m), Matrix::new(y, m, m), out, panels);
    };
    for iteration in 0..n_iterations {
        product(gram, gram, polynomial);
        combine(unit.0, polynomial, gram, c, b);
        polynomial.iter_mut().step_by(m + 1).for_each(|on_diagonal| *on_diagonal += a);
        if iteration + 1 < n_iterations {
            product(polynomial, gram, spare);
            product(polynomial, spare, gram);
        }
        if iteration == 0 {
            std::mem::swap(&mut factor, &mut polynomial);
        } else {
            product(polynomial, factor, spare);
            std::mem::swap(&mut factor, &mut spare);
        }
    }
    factor
}

for_each_isa! {
    fn scale_to_unit_norm(x: &mut [f32]) {
        let norm = sum([x], |[x]| x * x).sqrt();
        let factor = 1.0 / (norm + 1e-12);
        for v in x.iter_mut() {
            *v *= factor;
        }
    }
}

for_each_isa! {
    /// x = p x + q y.
    fn combine(x: &mut [f32], y: &[f32], p: f32, q: f32) {
        for (x, y) in x.iter_mut().zip(y) {
            *x = p * *x + q * y;
        }
    }
}

for_each_isa! {
    /// Divides each row by the root of its running mean square, then scales the whole back to its mean square.
    fn normalise_rows(x: &mut [f32], n_cols: usize, squares: &mut [f32], beta2: f32, correction: f32) {
        let before = sum([x], |[x]| x * x);
        for (row, square) in x.chunks_exact_mut(n_cols).zip(squares.iter_mut()) {
            let mean = sum([row], |[x]| x * x) / n_cols as f32;
            *square = beta2 * *square + (1.0 - beta2) * mean;
            let factor = 1.0 / ((*square / correction).sqrt() + 1e-10);
            for v in row.iter_mut() {
                *v *= factor;
            }
        }
        let after = sum([x], |[x]| x * x);
        let factor = (before / (after + 1e-20)).sqrt();
        for v in x.iter_mut() {
            *v *= factor;
        }
    }
}

for_each_isa! {
    /// weight -= step * update, and decays by `decay` of itself where the update points the same way.
    fn apply_and_decay_cautiously(weight: &mut [f32], update: &[f32], step: f32, decay: f32) {
        for (w, u) in weight.iter_mut().zip(update) {
            let shrink = if *w * u > 0.0 { decay } else { 0.0 };
            *w -= step * u + shrink * *w;
        }
    }
}

for_each_isa! {
    /// weight -= step * update, and decays by `decay` of itself wherever the update points.
    fn apply_and_decay(weight: &mut [f32], update: &[f32], step: f32, decay: f32) {
        for (w, u) in weight.iter_mut().zip(update) {
            *w -= step * u + decay * *w;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::noise;
    use super::super::scalar::matmul;
    use super::*;

    fn orthogonal(unit: (Isa, Precision), m: usize, n: usize, x: &[f32]) -> Vec<f32> {
        let mut scratch = Scratch { x: x.into(), ..Scratch::default() };
        bring_to_one(unit, m, n, &mut scratch);
        scratch.x[..m * n].to_vec()
    }

    /// The iteration by plain loops.
    fn specification(m: usize, n: usize, x: &[f32]) -> Vec<f32> {
        let norm = x.iter().map(|&v| (v as f64).powi(2)).sum::<f64>().sqrt();
        let mut x: Vec<f32> = x.iter().map(|&v| (v as f64 / norm) as f32).collect();
        let [a, b, c] = COEFFICIENTS;
        for _ in 0..ROUNDS.iter().sum() {
            let mut x_t = vec![0.0; m * n];
            transpose(Isa::Scalar, (&x, n), (m, n), (&mut x_t, m));
            let gram = matmul(m, m, n, &x, &x_t, None);
            let square = matmul(m, m, m, &gram, &gram, None);
            let polynomial: Vec<f32> = gram.iter().zip(&square).map(|(g, s)| b * g + c * s).collect();
            let scaled: Vec<f32> = x.iter().map(|v| a * v).collect();
            x = matmul(m, n, m, &polynomial, &x, Some(&scaled));
        }
        x
    }

    #[test]
    fn the_iteration_equals_the_specification_on_every_instruction_set() {
        // What rounding leaves of singular values that the iteration has just moved by a factor of three and more.
        for (precision, tolerance) in [(Precision::F32, 2e-3), (Precision::F16, 1e-2), (Precision::Bf16, 4e-2)] {
            for isa in Isa::all().into_iter().filter(|&isa| precision.is_available(isa)) {
                for (m, n) in [(1, 1), (3, 40), (33, 33), (100, 170)] {
                    let x = noise(m * n, 1);
                    for (found, wanted) in orthogonal((isa, precision), m, n, &x).iter().zip(specification(m, n, &x)) {
                        let name = (isa.name(), precision.name());
                        assert!((found - wanted).abs() < tolerance, "{name:?} {m}x{n}: {found} is not {wanted}");
                    }
                }
            }
        }
    }

    #[test]
    fn singular_values_come_near_one() {
        let (m, n) = (24, 60);
        let x = orthogonal((Isa::best(), Precision::F32), m, n, &noise(m * n, 2));
        let mut x_t = vec![0.0; m * n];
        transpose(Isa::Scalar, (&x, n), (m, n), (&mut x_t, m));
        let gram = matmul(m, m, n, &x, &x_t, None);
        for i in 0..m {
            // The coefficients leave singular values between about 0.7 and 1.2.
            assert!((0.4..1.5).contains(&gram[i * m + i]), "row {i} has the square {}", gram[i * m + i]);
        }
    }

    #[test]
    fn a_matrix_of_few_directions_keeps_to_them_in_every_precision() {
        let (m, n, rank) = (128, 384, 3);
        let x = matmul(m, n, rank, &noise(m * rank, 4), &noise(rank * n, 5), None);
        for precision in [Precision::F32, Precision::F16, Precision::Bf16] {
            for isa in Isa::all().into_iter().filter(|&isa| precision.is_available(isa)) {
                let squares: f32 = orthogonal((isa, precision), m, n, &x).iter().map(|v| v * v).sum();
                let name = (isa.name(), precision.name());
                // Three singular values between about 0.7 and 1.2, and all others still next to nothing.
                assert!((1.2..4.5).contains(&squares), "{name:?}: {squares}");
            }
        }
    }

    const SETTINGS: Muon = Muon {
        lr: 0.1,
        momentum: 0.9,
        beta2: 0.95,
        normalises_rows: true,
        weight_decay: 0.0,
        is_cautious: true,
        step: 1,
        gradient_scale: 1.0,
    };

    fn update(s: Muon, place: MatrixPlace, w: &mut [f32], gradient: &mut [f32], m1: &mut [f32], m2: &mut [f32]) {
        let (cpu, places) = (Cpu::new(2), [place]);
        momentum(&cpu, s, &places, gradient, m1);
        orthogonalise(&cpu, Precision::F32, &places, gradient);
        apply(&cpu, s, &places, w, gradient, m2);
    }

    /// One update of weights that are all `start`, by noise.
    fn updated(s: Muon, start: f32, n_rows: usize, n_cols: usize) -> Vec<f32> {
        let n = n_rows * n_cols;
        let (mut w, mut m1, mut m2) = (vec![start; n], vec![0.0; n], vec![0.0; n]);
        let place = MatrixPlace { range: 0..n, n_rows };
        update(s, place, &mut w, &mut noise(n, 3), &mut m1, &mut m2);
        w
    }

    #[test]
    fn a_network_that_learns_in_bf16_gets_directions_computed_in_f16_or_else_in_f32() {
        let cpu = Cpu::new(1);
        if !Precision::Bf16.is_available(cpu.isa) {
            return;
        }
        let (n_rows, n_cols) = (20, 36);
        let places = [MatrixPlace { range: 0..n_rows * n_cols, n_rows }];
        let finer = if Precision::F16.is_available(cpu.isa) { Precision::F16 } else { Precision::F32 };
        let [finer, half] = [finer, Precision::Bf16].map(|precision| {
            let mut directions = noise(n_rows * n_cols, 4);
            orthogonalise(&cpu, precision, &places, &mut directions);
            directions
        });
        assert!(finer == half, "other directions");
    }

    #[test]
    fn without_row_normalisation_rows_keep_the_sizes_that_the_iteration_gives_them() {
        let (n_rows, n_cols) = (20, 8);
        let squares = |w: &[f32]| -> Vec<f32> { w.chunks(n_cols).map(|r| r.iter().map(|w| w * w).sum()).collect() };
        let spread = |s: &[f32]| s.iter().fold(0.0f32, |a, &b| a.max(b)) / s.iter().fold(f32::MAX, |a, &b| a.min(b));
        let even = squares(&updated(SETTINGS, 0.0, n_rows, n_cols));
        let raw = squares(&updated(Muon { normalises_rows: false, ..SETTINGS }, 0.0, n_rows, n_cols));
        assert!(spread(&even) < 1.001 && spread(&raw) > 1.5, "{} and {}", spread(&even), spread(&raw));
        let (a, b): (f32, f32) = (even.iter().sum(), raw.iter().sum());
        assert!((a / b - 1.0).abs() < 1e-3, "the whole has the same size: {a} and {b}");
    }

    #[test]
    fn cautious_decay_spares_the_weights_that_an_update_makes_larger() {
        let at = |weight_decay, is_cautious| updated(Muon { weight_decay, is_cautious, ..SETTINGS }, 1.0, 8, 20);
        let (free, plain, cautious) = (at(0.0, true), at(0.5, false), at(0.5, true));
        for ((free, plain), cautious) in free.iter().zip(&plain).zip(&cautious) {
            let wanted = if *free < 1.0 { free - 0.05 } else { *free };
            assert!((plain - (free - 0.05)).abs() < 1e-6, "{plain}");
            assert!((cautious - wanted).abs() < 1e-6, "{cautious}, not {wanted}");
        }
        assert!(free.iter().any(|&w| w < 1.0) && free.iter().any(|&w| w > 1.0));
    }

    #[test]
    fn an_update_moves_against_the_gradient_by_a_fifth_of_the_rate() {
        let s = SETTINGS;
        for (n_rows, n_cols) in [(8, 20), (20, 8)] {
            let gradient = noise(n_rows * n_cols, 3);
            let (mut w, mut m1, mut m2) =
                (vec![0.0; gradient.len()], vec![0.0; gradient.len()], vec![0.0; gradient.len()]);
            let place = MatrixPlace { range: 0..gradient.len(), n_rows };
            update(s, place, &mut w, &mut gradient.clone(), &mut m1, &mut m2);
            let along: f32 = w.iter().zip(&gradient).map(|(w, g)| w * g).sum();
            let size = (w.iter().map(|w| w * w).sum::<f32>() / w.len() as f32).sqrt();
            assert!(along < 0.0, "{n_rows}x{n_cols} moved along the gradient");
            // 0.2 times the rate, up to the spread of the singular values.
            assert!((0.013..0.027).contains(&size), "{n_rows}x{n_cols} moved by {size} a weight");
        }
    }
}
