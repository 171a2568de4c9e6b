//! A running mean of weights.

use super::cpu::{Cpu, for_each_isa};
use super::shared::SharedSlice;

/// Elements a task handles: 64 KB each of both.
const PIECE: usize = 16_384;

/// Moves `mean` towards `x`, of the same length, by `share` of the way: 1/n makes it the mean of n values.
pub fn move_towards(cpu: &Cpu, mean: &mut [f32], x: &[f32], share: f32) {
    assert_eq!(mean.len(), x.len(), "a mean of weights of one model");
    let (n, mean, isa) = (mean.len(), SharedSlice::new(mean), cpu.isa);
    cpu.pool.for_pieces(n, PIECE, |_, range| {
        // SAFETY: tasks have disjoint ranges.
        let mean = unsafe { mean.range(range.clone()) };
        piece(isa, mean, &x[range], share);
    });
}

for_each_isa! {
    fn piece(mean: &mut [f32], x: &[f32], share: f32) {
        for (mean, x) in mean.iter_mut().zip(x) {
            *mean += share * (x - *mean);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Isa;
    use super::super::gradient_check::noise;
    use super::*;

    #[test]
    fn shares_of_one_over_n_give_the_mean_on_every_instruction_set() {
        let n = 40_001;
        let values: Vec<Vec<f32>> = (0..5).map(|seed| noise(n, seed)).collect();
        for isa in Isa::all() {
            for n_threads in [1, 3] {
                let cpu = Cpu::with_isa(n_threads, isa);
                let mut mean = vec![f32::MAX; n];
                mean.copy_from_slice(&values[0]);
                for (i, x) in values.iter().enumerate().skip(1) {
                    move_towards(&cpu, &mut mean, x, 1.0 / (i + 1) as f32);
                }
                for i in 0..n {
                    let wanted = values.iter().map(|x| x[i] as f64).sum::<f64>() / 5.0;
                    assert!((mean[i] as f64 - wanted).abs() < 1e-6, "{} element {i}", isa.name());
                }
            }
        }
    }
}
