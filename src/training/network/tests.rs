//! The whole model against finite differences of itself, and the facts that training relies on.
//! (`tests/candle_oracle.rs` compares it with candle's autograd of the same model.)

use super::*;
use crate::kernels::random::Random;
use crate::model::initial_weights;

/// Small, with every feature: grouped queries, several layers, an untied head, odd sizes.
pub(super) fn small_config(tied: bool) -> Config {
    Config {
        n_layer: 2,
        n_head: 4,
        n_kv_head: 2,
        n_embd: 24,
        head_dim: 6,
        n_ffn: 40,
        vocab_size: 37,
        block_size: 16,
        rope_theta: 10_000.0,
        norm_eps: 1e-6,
        tied,
        family: crate::model::Family::Qwen3,
    }
}

/// Initial weights made ten times larger, so that every nonlinearity is felt.
fn lively_weights(config: &Config) -> Vec<f32> {
    initial_weights(config, 5).iter().map(|&w| if w == 1.0 { w } else { w * 10.0 }).collect()
}

fn random_batch(config: &Config, n_sequences: usize) -> (Vec<u32>, Vec<u32>) {
    let mut random = Random::new(9, 0);
    let mut draw = || -> Vec<u32> {
        (0..n_sequences * config.block_size).map(|_| random.below(config.vocab_size as u64) as u32).collect()
    };
    (draw(), draw())
}

#[test]
fn gradients_agree_with_finite_differences_in_every_tensor() {
    for tied in [true, false] {
        let config = small_config(tied);
        let cpu = Cpu::new(2);
        let (ids, mut targets) = random_batch(&config, 3);
        targets[5] = IGNORED;
        let batch = Batch::of(&ids, &targets, config.block_size);
        let mut network = Network::new(&config, &lively_weights(&config), ids.len());
        network.loss_and_gradients(&cpu, batch);
        let n_counted = (targets.len() - 1) as f64;
        let mut loss_at = |i: usize, w: f32| {
            network.weights[i] = w;
            network.nats(&cpu, batch).iter().map(|&n| n as f64).sum::<f64>() / n_counted
        };
        let reference = Network::new(&config, &lively_weights(&config), ids.len());
        let gradients = {
            let mut again = Network::new(&config, &reference.weights, ids.len());
            again.loss_and_gradients(&cpu, batch);
            again.gradients.to_vec()
        };
        for tensor in &reference.layout().tensors {
            let scale = gradients[tensor.range.clone()].iter().fold(0.0f32, |a, g| a.max(g.abs()));
            for i in tensor.range.clone().step_by(tensor.range.len().div_ceil(7)) {
                let w = reference.weights[i];
                const STEP: f32 = 1.0 / 256.0;
                let wanted = ((loss_at(i, w + STEP) - loss_at(i, w - STEP)) / (2.0 * STEP as f64)) as f32;
                loss_at(i, w);
                let error = (gradients[i] - wanted).abs();
                assert!(
                    error < 0.02 * scale + 2e-5,
                    "{} [{i}]: gradient {}, difference {wanted}",
                    tensor.name,
                    gradients[i]
                );
            }
        }
    }
}

#[test]
fn every_weight_that_is_used_receives_a_finite_and_non_zero_gradient() {
    let config = small_config(false);
    let (mut ids, targets) = random_batch(&config, 8);
    // Every embedding row is used at least once.
    (0..config.vocab_size).for_each(|v| ids[v] = v as u32);
    let mut network = Network::new(&config, &initial_weights(&config, 1), ids.len());
    network.loss_and_gradients(&Cpu::new(1), Batch::of(&ids, &targets, config.block_size));
    for tensor in &network.layout().tensors {
        let gradient = &network.gradients[tensor.range.clone()];
        let n_dead = gradient.iter().filter(|g| !g.is_finite() || **g == 0.0).count();
        assert_eq!(n_dead, 0, "{} has {n_dead} of {} dead gradients", tensor.name, gradient.len());
    }
}

#[test]
fn gradients_have_the_same_bits_for_any_number_of_threads() {
    let config = small_config(true);
    let (ids, targets) = random_batch(&config, 5);
    let batch = Batch::of(&ids, &targets, config.block_size);
    let run = |n_threads| {
        let mut network = Network::new(&config, &lively_weights(&config), ids.len());
        let loss = network.loss_and_gradients(&Cpu::new(n_threads), batch);
        (loss.to_bits(), network.gradients.to_vec())
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn a_sequence_has_the_same_loss_alone_and_in_a_batch() {
    let config = small_config(true);
    let (ids, targets) = random_batch(&config, 3);
    let cpu = Cpu::new(2);
    let mut network = Network::new(&config, &lively_weights(&config), ids.len());
    let n_positions = config.block_size;
    let together = network.nats(&cpu, Batch::of(&ids, &targets, n_positions)).to_vec();
    for (ids, (targets, wanted)) in
        ids.chunks(n_positions).zip(targets.chunks(n_positions).zip(together.chunks(n_positions)))
    {
        assert_eq!(network.nats(&cpu, Batch::of(ids, targets, n_positions)), wanted);
    }
}

#[test]
fn a_batch_too_large_to_be_worked_on_at_once_has_the_gradients_of_its_parts() {
    let config = small_config(true);
    let n_positions = config.block_size;
    // Two parts of two sequences, and one of one; a little more room than that makes no difference.
    let (n_part, n_rows) = (2 * n_positions, 2 * n_positions + 3);
    let (ids, targets) = random_batch(&config, 5);
    let cpu = Cpu::new(2);
    let network = || Network::new(&config, &lively_weights(&config), ids.len());
    let (mut whole, mut parts) = (network(), network());
    whole.sizes = [Sizes::with_rows::<f32>(&config, n_rows), Sizes::with_rows::<bf16>(&config, n_rows)];
    let loss = whole.loss_and_gradients(&cpu, Batch::of(&ids, &targets, n_positions));
    let mut wanted = 0.0;
    let mut gradients = vec![0.0; whole.gradients.len()];
    for (ids, part_targets) in ids.chunks(n_part).zip(targets.chunks(n_part)) {
        // A part's mean, weighed by the rows that count in it.
        let counted = |targets: &[u32]| targets.iter().filter(|&&t| t != IGNORED).count() as f64;
        let weight = counted(part_targets) / counted(&targets);
        parts.clear_gradients(&cpu);
        wanted += weight * parts.loss_and_gradients(&cpu, Batch::of(ids, part_targets, n_positions));
        for (sum, g) in gradients.iter_mut().zip(parts.gradients.iter()) {
            *sum += weight as f32 * g;
        }
    }
    assert!((loss - wanted).abs() < 1e-6, "{loss} and {wanted}");
    let largest = gradients.iter().fold(0.0f32, |m, g| m.max(g.abs()));
    for (found, wanted) in whole.gradients.iter().zip(&gradients) {
        assert!((found - wanted).abs() < 1e-4 * largest, "{found}, not {wanted}");
    }
}

#[test]
fn gradients_with_dropout_agree_with_finite_differences_of_the_same_places() {
    let config = small_config(true);
    let cpu = Cpu::new(2);
    let (ids, targets) = random_batch(&config, 3);
    let batch = Batch::of(&ids, &targets, config.block_size);
    let weights = lively_weights(&config);
    let mut network = Network::new(&config, &weights, ids.len());
    network.dropout = Some(Dropout { rate: 0.3, key: 11 });
    network.loss_and_gradients(&cpu, batch);
    let gradients = network.gradients.to_vec();
    let mut loss_at = |i: usize, w: f32| {
        network.weights[i] = w;
        network.loss_and_gradients(&cpu, batch)
    };
    for tensor in Layout::new(&config).tensors {
        let scale = gradients[tensor.range.clone()].iter().fold(0.0f32, |a, g| a.max(g.abs()));
        for i in tensor.range.clone().step_by(tensor.range.len().div_ceil(7)) {
            const STEP: f32 = 1.0 / 256.0;
            let w = weights[i];
            let wanted = ((loss_at(i, w + STEP) - loss_at(i, w - STEP)) / (2.0 * STEP as f64)) as f32;
            loss_at(i, w);
            let error = (gradients[i] - wanted).abs();
            assert!(error < 0.02 * scale + 2e-5, "{} [{i}]: {}, difference {wanted}", tensor.name, gradients[i]);
        }
    }
}

#[test]
fn dropout_changes_what_is_learned_from_but_never_how_a_model_is_judged() {
    let config = small_config(true);
    let cpu = Cpu::new(1);
    let (ids, targets) = random_batch(&config, 3);
    let batch = Batch::of(&ids, &targets, config.block_size);
    let mut network = Network::new(&config, &lively_weights(&config), ids.len());
    let (plain, judged) = (network.loss_and_gradients(&cpu, batch), network.nats(&cpu, batch).to_vec());
    let mut losses = vec![plain];
    for key in [1, 2] {
        network.dropout = Some(Dropout { rate: 0.2, key });
        losses.push(network.loss_and_gradients(&cpu, batch));
        assert_eq!(network.nats(&cpu, batch), judged);
    }
    assert!(losses[0] != losses[1] && losses[1] != losses[2] && losses[0] != losses[2], "{losses:?}");
}

/// Rounding both operands of a product to 8 bits moves it by less than 1 %, and errors of many products average out.
#[test]
fn gradients_of_rounded_products_point_where_those_in_f32_do_and_do_not_depend_on_threads() {
    let cpu = Cpu::new(2);
    let config = small_config(false);
    let (ids, targets) = random_batch(&config, 5);
    let batch = Batch::of(&ids, &targets, config.block_size);
    let run = |precision, cpu: &Cpu| {
        let mut network = Network::new(&config, &lively_weights(&config), ids.len()).with_precision(precision);
        let loss = network.loss_and_gradients(cpu, batch);
        (loss, network.gradients.to_vec())
    };
    let exact = run(Precision::F32, &cpu);
    for precision in Precision::ALL.into_iter().filter(|p| p.is_available(cpu.isa)) {
        let (name, rounded) = (precision.name(), run(precision, &cpu));
        assert!((exact.0 - rounded.0).abs() < 0.01 * exact.0, "{name}: loss {} is not {}", rounded.0, exact.0);
        assert_eq!(rounded, run(precision, &Cpu::new(1)), "{name}");
        for tensor in &Layout::new(&config).tensors {
            let (a, b) = (&exact.1[tensor.range.clone()], &rounded.1[tensor.range.clone()]);
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a * b) as f64).sum::<f64>();
            let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
            assert!(cosine > 0.995, "{name} {}: cosine {cosine}", tensor.name);
        }
    }
}

#[test]
fn a_network_that_learns_in_bf16_is_judged_in_f32() {
    let cpu = Cpu::new(1);
    let config = small_config(true);
    let (ids, targets) = random_batch(&config, 2);
    let batch = Batch::of(&ids, &targets, config.block_size);
    let network = || Network::new(&config, &lively_weights(&config), ids.len());
    let wanted = network().nats(&cpu, batch).to_vec();
    assert_eq!(network().with_precision(Precision::Bf16).nats(&cpu, batch), wanted);
}
