//! The kernels that a training step spends its time in, at the sizes of the `tiny` preset.
//!
//! `cargo bench --bench kernels`; as a test (`cargo test --bench kernels`) each runs once.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use siskin::kernels::attention::causal_attention;
use siskin::kernels::gemm::{Matrix, Precision, Start, gemm};
use siskin::kernels::muon::{MatrixPlace, Muon, muon};
use siskin::kernels::qk_norm_rope::Heads;
use siskin::kernels::random::Random;
use siskin::kernels::{Cpu, Isa};
use std::hint::black_box;

fn noise(n: usize) -> Vec<f32> {
    let mut random = Random::new(1, 0);
    (0..n).map(|_| random.normal() as f32).collect()
}

/// Every instruction set of this CPU in every precision that it has.
fn ways() -> impl Iterator<Item = (Isa, Precision)> {
    let precisions = [Precision::F32, Precision::Bf16, Precision::F16];
    let ways = Isa::all().into_iter().flat_map(move |isa| precisions.map(|precision| (isa, precision)));
    ways.filter(|&(isa, precision)| precision.is_available(isa))
}

/// The three products of a linear layer, on one thread: operations a second tell how near the ceiling they are.
fn matrix_products(c: &mut Criterion) {
    let (rows, n_in, n_out) = (1024, 192, 1024);
    let (x, w, dy) = (noise(rows * n_in), noise(n_out * n_in), noise(rows * n_out));
    let (mut y, mut dx, mut dw) = (vec![0.0; rows * n_out], vec![0.0; rows * n_in], vec![0.0; n_out * n_in]);
    let mut group = c.benchmark_group("gemm");
    group.throughput(Throughput::Elements(2 * (rows * n_in * n_out) as u64));
    for (isa, precision) in ways() {
        let cpu = Cpu::with_isa(1, isa);
        let way = format!("{} {}", isa.name(), precision.name());
        let (x, dy) = (Matrix::new(&x, rows, n_in), Matrix::new(&dy, rows, n_out));
        let w = Matrix::new(&w, n_out, n_in);
        group.bench_function(BenchmarkId::new("forward", &way), |b| {
            b.iter(|| gemm(&cpu, precision, x, w.transposed(), black_box(&mut y), Start::Zero));
        });
        group.bench_function(BenchmarkId::new("input gradient", &way), |b| {
            b.iter(|| gemm(&cpu, precision, dy, w, black_box(&mut dx), Start::Zero));
        });
        group.bench_function(BenchmarkId::new("weight gradient", &way), |b| {
            b.iter(|| gemm(&cpu, precision, dy.transposed(), x, black_box(&mut dw), Start::Accumulate));
        });
    }
    group.finish();
}

fn attention(c: &mut Criterion) {
    let heads = Heads { n_head: 6, n_kv_head: 6, head_dim: 32 };
    let (n_positions, n_rows) = (256, 1024);
    let (qk, qkv) = (noise(n_rows * heads.qk_width()), noise(n_rows * heads.qkv_width()));
    let (mut out, mut log_sums) = (vec![0.0; n_rows * 192], vec![0.0; n_rows * 6]);
    let cpu = Cpu::new(1);
    c.bench_function("causal attention", |b| {
        b.iter(|| causal_attention(&cpu, heads, n_positions, &qk, &qkv, black_box(&mut out), &mut log_sums));
    });
}

/// The update of a feed-forward matrix on one thread; operations as the iteration's plain products would need them.
fn muon_update(c: &mut Criterion) {
    let (n_rows, n_cols) = (512usize, 192usize);
    let n = n_rows * n_cols;
    let (gradients, places) = (noise(n), [MatrixPlace { range: 0..n, n_rows }]);
    let (mut weights, mut moment1, mut moment2) = (noise(n), vec![0.0; n], vec![0.0; n]);
    let constants = Muon {
        lr: 1e-3,
        momentum: 0.95,
        beta2: 0.95,
        normalises_rows: true,
        weight_decay: 0.1,
        is_cautious: true,
        step: 1,
        gradient_scale: 1.0,
    };
    let n_operations = 5 * 2 * n_cols * (2 * n + n_cols * n_cols);
    let mut group = c.benchmark_group("muon");
    group.throughput(Throughput::Elements(n_operations as u64));
    for (isa, precision) in ways() {
        let cpu = Cpu::with_isa(1, isa);
        group.bench_function(format!("{} {}", isa.name(), precision.name()), |b| {
            let weights = black_box(&mut weights);
            b.iter(|| muon(&cpu, precision, constants, &places, weights, &gradients, &mut moment1, &mut moment2));
        });
    }
    group.finish();
}

criterion_group!(benches, matrix_products, attention, muon_update);
criterion_main!(benches);
