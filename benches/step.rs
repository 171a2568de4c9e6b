//! A whole training step of the `nano` preset, and a token of its inference engine.
//!
//! `cargo bench --bench step`; `siskin bench train` times other sizes.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use siskin::inference::{Engine, LanguageModel};
use siskin::kernels::Cpu;
use siskin::model::{Preset, initial_weights};
use siskin::training::network::{Batch, Network};

fn training(c: &mut Criterion) {
    let config = Preset::Nano.config(1024, 64);
    let cpu = Cpu::new(2);
    let ids: Vec<u32> = (0..768).map(|i| i * 13 % 1024).collect();
    let mut network = Network::new(&config, &initial_weights(&config, 1), ids.len());
    let mut group = c.benchmark_group("training");
    group.sample_size(10).throughput(Throughput::Elements(ids.len() as u64));
    group.bench_function("forward and backward", |b| {
        b.iter(|| network.loss_and_gradients(&cpu, Batch::of(&ids, &ids, 64)));
    });
    group.finish();
}

fn decode(c: &mut Criterion) {
    let config = Preset::Nano.config(1024, 256);
    let mut engine = Engine::new(&config, &initial_weights(&config, 1), 256, 1).expect("a valid configuration");
    engine.feed(&[1; 128]);
    let mut group = c.benchmark_group("inference");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one token after 128", |b| {
        b.iter(|| {
            engine.truncate(128);
            engine.feed(&[7]).len()
        });
    });
    group.finish();
}

criterion_group!(benches, training, decode);
criterion_main!(benches);
