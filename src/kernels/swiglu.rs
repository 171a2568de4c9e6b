//! SwiGLU (Shazeer, arXiv 2002.05202): h = silu(gate) * up, forward and backward.
//!
//! silu(x) = x * s with s = 1 / (1 + e^-x); its derivative is s * (1 + x * (1 - s)).

use super::cpu::{Cpu, for_each_isa};
use super::math::sigmoid;
use super::norm::ROWS_PER_TASK;
use super::shared::SharedSlice;

/// h (N, F) = silu of the first half of each row of `gate_up` (N, 2F) times the second half.
pub fn swiglu(cpu: &Cpu, n_ffn: usize, gate_up: &[f32], h: &mut [f32]) {
    assert_eq!(gate_up.len(), 2 * h.len(), "gate and up are twice as wide as what they make");
    let (h, isa) = (SharedSlice::new(h), cpu.isa);
    cpu.pool.for_pieces(h.len() / n_ffn, ROWS_PER_TASK, |_, rows| {
        for row in rows {
            // SAFETY: tasks have disjoint rows.
            let h = unsafe { h.range(row * n_ffn..(row + 1) * n_ffn) };
            let (gate, up) = gate_up[2 * row * n_ffn..2 * (row + 1) * n_ffn].split_at(n_ffn);
            forward_row(isa, gate, up, h);
        }
    });
}

/// The gradients of [`swiglu`], which take the place of `gate_up` (N, 2F).
pub fn swiglu_backward(cpu: &Cpu, n_ffn: usize, gate_up: &mut [f32], dh: &[f32]) {
    assert_eq!(gate_up.len(), 2 * dh.len(), "gate and up are twice as wide as what they make");
    let (gate_up, isa) = (SharedSlice::new(gate_up), cpu.isa);
    cpu.pool.for_pieces(dh.len() / n_ffn, ROWS_PER_TASK, |_, rows| {
        for row in rows {
            // SAFETY: tasks have disjoint rows.
            let (gate, up) = unsafe { gate_up.range(2 * row * n_ffn..2 * (row + 1) * n_ffn) }.split_at_mut(n_ffn);
            backward_row(isa, gate, up, &dh[row * n_ffn..(row + 1) * n_ffn]);
        }
    });
}

for_each_isa! {
    fn forward_row(gate: &[f32], up: &[f32], h: &mut [f32]) {
        let n = h.len();
        let (gate, up) = (&gate[..n], &up[..n]);
        for i in 0..n {
            h[i] = gate[i] * sigmoid(gate[i]) * up[i];
        }
    }
}

for_each_isa! {
    /// gate = silu(gate) * up, with the bits of [`swiglu`].
    pub(super) fn swiglu_in_place(gate: &mut [f32], up: &[f32]) {
        for (gate, up) in gate.iter_mut().zip(up) {
            *gate = *gate * sigmoid(*gate) * *up;
        }
    }
}

for_each_isa! {
    fn backward_row(gate: &mut [f32], up: &mut [f32], dh: &[f32]) {
        let n = dh.len();
        let (gate, up) = (&mut gate[..n], &mut up[..n]);
        for i in 0..n {
            let s = sigmoid(gate[i]);
            let d_gate = dh[i] * up[i] * s * (1.0 + gate[i] * (1.0 - s));
            up[i] = dh[i] * gate[i] * s;
            gate[i] = d_gate;
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
                swiglu(&Cpu::with_isa(2, isa), f, &gate_up, &mut h);
                for (row, h) in gate_up.chunks(2 * f).zip(h.chunks(f)) {
                    for (found, wanted) in h.iter().zip(scalar::swiglu(&row[..f], &row[f..])) {
                        assert!((found - wanted).abs() < 1e-5 * (1.0 + wanted.abs()), "{} width {f}", isa.name());
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let (n, f) = (3, 17);
        let cpu = Cpu::new(2);
        let (gate_up, dh) = (noise(2 * n * f, 1), noise(n * f, 2));
        let mut gradient = gate_up.clone();
        swiglu_backward(&cpu, f, &mut gradient, &dh);
        check("gate_up", &gate_up, &gradient, &dh, |x| {
            let mut h = vec![0.0; n * f];
            swiglu(&cpu, f, x, &mut h);
            h
        });
    }
}
