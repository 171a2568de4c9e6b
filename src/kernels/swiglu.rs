//! SwiGLU (Shazeer, arXiv 2002.05202): h = silu(gate) * up, forward and backward.
//!
//! silu(x) = x * s with s = 1 / (1 + e^-x); its derivative is s * (1 + x * (1 - s)).

use super::cpu::for_each_isa;
use super::math::sigmoid;

for_each_isa! {
    /// h (N, F) = silu of the first half of each row of `gate_up` (N, 2F) times the second half, on the calling thread.
    pub fn swiglu_rows(n_ffn: usize, gate_up: &[f32], h: &mut [f32]) {
        for (gate_up, h) in gate_up.chunks_exact(2 * n_ffn).zip(h.chunks_exact_mut(n_ffn)) {
            let (gate, up) = gate_up.split_at(n_ffn);
            for i in 0..n_ffn {
                h[i] = gate[i] * sigmoid(gate[i]) * up[i];
            }
        }
    }
}

for_each_isa! {
    /// gate = silu(gate) * up, with the bits of [`swiglu_rows`].
    pub(super) fn swiglu_in_place(gate: &mut [f32], up: &[f32]) {
        for (gate, up) in gate.iter_mut().zip(up) {
            *gate = *gate * sigmoid(*gate) * *up;
        }
    }
}

for_each_isa! {
    /// The gradients of [`swiglu_rows`], which take the place of `gate_up` (N, 2F), and h (N, F) once more: the backward
    /// pass needs it again, and what it takes is at hand.
    pub fn swiglu_backward_rows(n_ffn: usize, gate_up: &mut [f32], dh: &[f32], h: &mut [f32]) {
        let rows = gate_up.chunks_exact_mut(2 * n_ffn).zip(dh.chunks_exact(n_ffn)).zip(h.chunks_exact_mut(n_ffn));
        for ((gate_up, dh), h) in rows {
            let (gate, up) = gate_up.split_at_mut(n_ffn);
            for i in 0..n_ffn {
                let s = sigmoid(gate[i]);
                let silu = gate[i] * s;
                h[i] = silu * up[i];
                let d_gate = dh[i] * up[i] * s * (1.0 + gate[i] * (1.0 - s));
                up[i] = dh[i] * silu;
                gate[i] = d_gate;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{check, noise};
    use super::super::{Isa, scalar};
    use super::*;

    #[test]
    fn equals_the_specification_on_every_instruction_set() {
        for isa in Isa::all() {
            for f in [1, 15, 16, 17, 100] {
                let gate_up: Vec<f32> = noise(2 * f * 3, 1).iter().map(|x| x * 8.0).collect();
                let mut h = vec![0.0; 3 * f];
                swiglu_rows(isa, f, &gate_up, &mut h);
                for (row, h) in gate_up.chunks(2 * f).zip(h.chunks(f)) {
                    for (found, wanted) in h.iter().zip(scalar::swiglu(&row[..f], &row[f..])) {
                        assert!((found - wanted).abs() < 1e-5 * (1.0 + wanted.abs()), "{} width {f}", isa.name());
                    }
                }
            }
        }
    }

    #[test]
    fn the_backward_pass_makes_the_same_again() {
        let (n, f) = (3, 40);
        let mut gate_up = noise(2 * n * f, 1);
        let (mut wanted, mut h) = (vec![0.0; n * f], vec![0.0; n * f]);
        for isa in Isa::all() {
            swiglu_rows(isa, f, &gate_up, &mut wanted);
            swiglu_backward_rows(isa, f, &mut gate_up, &noise(n * f, 2), &mut h);
            assert_eq!(h, wanted, "{}", isa.name());
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let (n, f) = (3, 17);
        let isa = Isa::best();
        let (gate_up, dh) = (noise(2 * n * f, 1), noise(n * f, 2));
        let mut gradient = gate_up.clone();
        let mut h = vec![0.0; n * f];
        swiglu_backward_rows(isa, f, &mut gradient, &dh, &mut h);
        check("gate_up", &gate_up, &gradient, &dh, |x| {
            let mut h = vec![0.0; n * f];
            swiglu_rows(isa, f, x, &mut h);
            h
        });
    }
}
