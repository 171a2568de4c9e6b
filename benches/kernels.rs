//! The kernels that a training step spends its time in, at the sizes of the `tiny` preset.
//!
//! `cargo bench --bench kernels`; as a test (`cargo test --bench kernels`) each runs once.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use siskin::kernels::attention::{Sequences, causal_attention};
use siskin::kernels::ceiling;
use siskin::kernels::gemm::{Matrix, Precision, Start, gemm};
use siskin::kernels::muon::{MatrixPlace, orthogonalise};
use siskin::kernels::qk_norm_rope::Heads;
use siskin::kernels::quantized::{Input, PackedMatrix, Sharing, WeightType, line_buffer, matmul, quantize};
use siskin::kernels::random::Random;
use siskin::kernels::{AlignedBuf, Cpu, Isa};
use std::hint::black_box;
use std::time::Duration;

fn noise(n: usize) -> Vec<f32> {
    let mut random = Random::new(1, 0);
    (0..n).map(|_| random.normal() as f32).collect()
}

/// Every instruction set of this CPU in every precision that it has.
fn ways() -> impl Iterator<Item = (Isa, Precision)> {
    let ways = Isa::all().into_iter().flat_map(|isa| Precision::ALL.map(|precision| (isa, precision)));
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
        b.iter(|| {
            let whole = Sequences::whole(n_positions);
            causal_attention(&cpu, Precision::F32, heads, whole, &qk, &qkv, black_box(&mut out), &mut log_sums)
        });
    });
}

/// Muon's iteration on a feed-forward matrix, on one thread; operations as its plain products would need them.
fn orthogonal_directions(c: &mut Criterion) {
    let (n_rows, n_cols) = (512usize, 192usize);
    let n = n_rows * n_cols;
    let (mut directions, places) = (noise(n), [MatrixPlace { range: 0..n, n_rows }]);
    let n_operations = 5 * 2 * n_cols * (2 * n + n_cols * n_cols);
    let mut group = c.benchmark_group("muon");
    group.throughput(Throughput::Elements(n_operations as u64));
    for (isa, precision) in ways() {
        let cpu = Cpu::with_isa(1, isa);
        group.bench_function(format!("{} {}", isa.name(), precision.name()), |b| {
            b.iter(|| orthogonalise(&cpu, precision, &places, black_box(&mut directions)));
        });
    }
    group.finish();
}

/// Weights as model files store them, on all cores: bytes a second of the weights for one token, operations a second
/// for 128 tokens. `quantize` is what activations cost before either.
fn quantized_products(c: &mut Criterion) {
    let (n_rows, n_columns, n_tokens) = (5632, 2048, 128);
    let n_threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let x = noise(n_tokens * n_columns);
    let mut out = vec![0.0; n_tokens * n_rows];
    let mut group = c.benchmark_group("quantized");
    group.sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(500));
    for isa in Isa::all() {
        let cpu = Cpu::with_isa(n_threads, isa);
        let [mut one, mut many] = [1, n_tokens].map(|n| line_buffer(n, n_columns));
        let mut others = line_buffer(n_tokens, n_columns);
        let one = quantize(&cpu, Sharing::Block, &x[..n_columns], n_columns, &mut one);
        let many = quantize(&cpu, Sharing::Block, &x, n_columns, &mut many);
        group.throughput(Throughput::Elements((n_tokens * n_columns) as u64));
        group.bench_function(BenchmarkId::new("quantize", isa.name()), |b| {
            b.iter(|| {
                black_box(quantize(&cpu, Sharing::Block, black_box(&x), n_columns, &mut others));
            });
        });
        for kind in WeightType::ALL {
            // Any bytes are weights; these are no infinite floats.
            let bytes = vec![0x2b; n_rows * kind.row_bytes(n_columns)];
            let weights = PackedMatrix::pack(&cpu, kind, n_rows, n_columns, &bytes);
            let inputs = match kind.is_quantized() {
                true => [Input::Codes(one), Input::Codes(many)],
                false => [Input::Floats(&x[..n_columns]), Input::Floats(&x)],
            };
            let way = format!("{} {kind:?}", isa.name());
            group.throughput(Throughput::Bytes(weights.n_bytes() as u64));
            group.bench_function(BenchmarkId::new("one token", &way), |b| {
                b.iter(|| matmul(&cpu, &weights, inputs[0], black_box(&mut out[..n_rows])));
            });
            group.throughput(Throughput::Elements(2 * (n_tokens * n_rows * n_columns) as u64));
            group.bench_function(BenchmarkId::new("128 tokens", &way), |b| {
                b.iter(|| matmul(&cpu, &weights, inputs[1], black_box(&mut out)));
            });
        }
    }
    group.finish();
}

/// What the machine can do at most, on all cores.
fn ceilings(c: &mut Criterion) {
    let n_threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut group = c.benchmark_group("ceiling");
    group.sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(500));
    for isa in Isa::all() {
        let cpu = Cpu::with_isa(n_threads, isa);
        group.throughput(Throughput::Elements(ceiling::byte_multiply_adds(&cpu) as u64));
        group.bench_function(BenchmarkId::new("bytes multiplied", isa.name()), |b| {
            b.iter(|| ceiling::byte_multiply_adds(&cpu));
        });
    }
    let cpu = Cpu::new(n_threads);
    for megabytes in [1, 16, 256] {
        let data = AlignedBuf::zeros(megabytes << 18);
        group.throughput(Throughput::Bytes(megabytes as u64 * 1024 * 1024));
        group.bench_function(BenchmarkId::new("read", format!("{megabytes} MB")), |b| {
            b.iter(|| ceiling::read(&cpu, &data, 1));
        });
    }
    group.finish();
}

/// What it costs to have all threads start and finish, and to wait for each other in between.
fn pool(c: &mut Criterion) {
    let n_threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let cpu = Cpu::new(n_threads);
    let mut group = c.benchmark_group("pool");
    group.bench_function("run", |b| {
        b.iter(|| {
            cpu.pool.run(n_threads, |i| {
                black_box(i);
            });
        });
    });
    group.throughput(Throughput::Elements(100));
    group.bench_function("together, 100 barriers", |b| {
        b.iter(|| cpu.pool.together(|member| (0..100).for_each(|_| member.barrier())));
    });
    group.finish();
}

criterion_group!(benches, matrix_products, attention, orthogonal_directions, quantized_products, ceilings, pool);
criterion_main!(benches);
