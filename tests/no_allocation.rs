//! A training step and a token, once the first has made its buffers, ask the system for no memory.

use siskin::generation::{Sampler, SamplerConfig};
use siskin::inference::{CacheType, Engine, FlatWeights, LanguageModel, Settings};
use siskin::kernels::{Cpu, Isa};
use siskin::model::{Preset, initial_weights};
use siskin::training::network::{Batch, Network};
use siskin::training::optimizer::{MuonSettings, Optimizer, OptimizerSettings};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, counting.
struct Counting;

static N_ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

/// Held by the test that counts.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

// SAFETY: every call is passed on to the system's allocator unchanged.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        N_ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on from the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: passed on from the caller.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_step_after_the_first_allocates_nothing() {
    let _counting = ONE_AT_A_TIME.lock().unwrap();
    let config = Preset::Nano.config(300, 32);
    // One thread: with two, which of them meets a task first decides when a thread's own scratch is made.
    let cpu = Cpu::new(1);
    let ids: Vec<u32> = (0..128).map(|i| i * 7 % 300).collect();
    let mut network = Network::new(&config, &initial_weights(&config, 1), ids.len());
    let muon = Some(MuonSettings::default());
    let settings = OptimizerSettings { muon, ..OptimizerSettings::default() };
    let mut optimizer = Optimizer::new(settings, network.layout());
    let mut counts = [0; 3];
    for (step, count) in counts.iter_mut().enumerate() {
        let before = N_ALLOCATIONS.load(Ordering::Relaxed);
        network.gradients.fill(0.0);
        network.loss_and_gradients(&cpu, Batch::of(&ids, &ids, 32));
        let norm = optimizer.grad_norm(&cpu, &network.gradients, 1);
        optimizer.step(&cpu, network.parts(), (step as u64 + 1, 1e-3), (norm, 1));
        *count = N_ALLOCATIONS.load(Ordering::Relaxed) - before;
    }
    assert!(counts[0] > 0, "the first step makes its buffers, so the counter must have seen some");
    assert_eq!(counts[1..], [0, 0]);
}

#[test]
fn a_token_and_a_chunk_after_the_first_allocate_nothing() {
    let _counting = ONE_AT_A_TIME.lock().unwrap();
    let config = Preset::Nano.config(300, 128);
    let weights = initial_weights(&config, 1);
    for (n_threads, cache) in [(1, CacheType::F16), (2, CacheType::F16), (2, CacheType::Q8)] {
        let settings = Settings { context_len: 128, n_sequences: 1, n_threads, cache, isa: Isa::best() };
        let mut engine = Engine::open(&config, &FlatWeights(&weights), settings).unwrap();
        let mut read = |ids: &[u32]| {
            let before = N_ALLOCATIONS.load(Ordering::Relaxed);
            engine.feed(ids);
            N_ALLOCATIONS.load(Ordering::Relaxed) - before
        };
        // Each thread makes what it keeps for itself.
        read(&[1; 20]);
        read(&[2]);
        let counts: Vec<usize> = (0..10).map(|id| read(&[id])).collect();
        assert_eq!((counts, read(&[3; 20])), (vec![0; 10], 0), "{n_threads} threads, {cache:?}");
    }
}

#[test]
fn drawing_a_token_after_the_first_allocates_nothing_whatever_the_samplers() {
    let _counting = ONE_AT_A_TIME.lock().unwrap();
    let plain = SamplerConfig::plain;
    let filters = SamplerConfig { top_k: 200, top_p: 0.9, typical_p: 0.9, top_n_sigma: 3.0, min_p: 0.001, ..plain() };
    let penalties = SamplerConfig { repetition_penalty: 1.2, dry_multiplier: 0.8, ..filters.clone() };
    let xtc = SamplerConfig { xtc_probability: 0.5, xtc_threshold: 0.01, temperature: 0.7, ..penalties.clone() };
    let mirostat = SamplerConfig { mirostat_tau: 3.0, dry_multiplier: 0.8, ..plain() };
    let logits: Vec<f32> = (0..1000u32).map(|i| (i * i % 97) as f32 * 0.1).collect();
    let history: Vec<u32> = (0..200).map(|i| i * i % 23).collect();
    for config in [plain(), filters, penalties, xtc, mirostat, SamplerConfig::greedy()] {
        let mut sampler = Sampler::new(config.clone()).unwrap();
        // Histories of the longest length first, as a buffer grows with them.
        let counts = [200, 200, 10, 150, 200, 1].map(|n| {
            let before = N_ALLOCATIONS.load(Ordering::Relaxed);
            sampler.sample(&logits, &history[..n]).unwrap();
            N_ALLOCATIONS.load(Ordering::Relaxed) - before
        });
        assert_eq!(counts[1..], [0; 5], "{config:?}");
    }
}
