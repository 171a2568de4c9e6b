//! SwiGLU (Shazeer, arXiv 2002.05202): h = silu(gate) * up, forward and backward.
//!
//! silu(x) = x * s with s = 1 / (1 + e^-x); its derivative is s * (1 + x * (1 - s)).

use super::cpu::{Isa, for_each_isa};
use super::element::{Element, change_floats, write_floats};
use super::math::sigmoid;
use std::ops::Range;

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
    /// The gradients of [`swiglu_rows`], which take the place of gate and up (F), and h (F) once more: the backward pass needs
    /// it again, and what it takes is at hand.
    fn backward(gate: &mut [f32], up: &mut [f32], dh: &[f32], h: &mut [f32]) {
        let n = gate.len();
        let (up, dh, h) = (&mut up[..n], &dh[..n], &mut h[..n]);
        for i in 0..n {
            let s = sigmoid(gate[i]);
            let silu = gate[i] * s;
            h[i] = silu * up[i];
            let d_gate = dh[i] * up[i] * s * (1.0 + gate[i] * (1.0 - s));
            up[i] = dh[i] * silu;
            gate[i] = d_gate;
        }
    }
}

/// The gradients of [`swiglu_rows`] for some `columns` of one row, on the calling thread: they take the place of gate and up in
/// `gate_up` (2F), and h (F) is made once more. `dh` is of these columns alone.
pub fn swiglu_backward<E: Element>(isa: Isa, columns: Range<usize>, gate_up: &mut [E], dh: &[f32], h: &mut [E]) {
    let (gate, up) = gate_up.split_at_mut(gate_up.len() / 2);
    let (gate, up, h) = (&mut gate[columns.clone()], &mut up[columns.clone()], &mut h[columns]);
    assert!(gate.len() == dh.len() && up.len() == dh.len(), "gradients of {} columns", dh.len());
    change_floats(isa, gate, |gate| {
        change_floats(isa, up, |up| write_floats(isa, h, |h| backward(isa, gate, up, dh, h)));
    });
}

#[cfg(test)]
mod tests {
    use super::super::element::bf16;
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
        let f = 40;
        for isa in Isa::all() {
            let mut gate_up = noise(2 * f, 1);
            let (mut wanted, mut h) = (vec![0.0; f], vec![0.0; f]);
            swiglu_rows(isa, f, &gate_up, &mut wanted);
            swiglu_backward(isa, 0..f, &mut gate_up, &noise(f, 2), &mut h);
            assert_eq!(h, wanted, "{}", isa.name());
        }
    }

    #[test]
    fn parts_of_a_row_have_the_gradients_of_the_whole_and_in_bf16_they_are_rounded() {
        let f = 40;
        let (wide, narrow): (Vec<f32>, Vec<bf16>) =
            noise(2 * f, 1).into_iter().map(bf16::narrow).map(|x| (x.widen(), x)).unzip();
        let dh = noise(f, 2);
        for isa in Isa::all() {
            let (mut wanted, mut wanted_h) = (wide.clone(), vec![0.0; f]);
            swiglu_backward(isa, 0..f, &mut wanted, &dh, &mut wanted_h);
            let (mut parts, mut h) = (wide.clone(), vec![0.0; f]);
            let (mut rounded, mut rounded_h) = (narrow.clone(), vec![bf16::ZERO; f]);
            for columns in [0..16, 16..35, 35..40] {
                swiglu_backward(isa, columns.clone(), &mut parts, &dh[columns.clone()], &mut h);
                swiglu_backward(isa, columns.clone(), &mut rounded, &dh[columns], &mut rounded_h);
            }
            assert!(parts == wanted && h == wanted_h, "{}", isa.name());
            let round = |x: &[f32]| x.iter().map(|&x| bf16::narrow(x)).collect::<Vec<_>>();
            assert!(rounded == round(&wanted) && rounded_h == round(&wanted_h), "{}", isa.name());
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let f = 17;
        let isa = Isa::best();
        let (gate_up, dh) = (noise(2 * f, 1), noise(f, 2));
        let mut gradient = gate_up.clone();
        swiglu_backward(isa, 0..f, &mut gradient, &dh, &mut vec![0.0; f]);
        check("gate_up", &gate_up, &gradient, &dh, |x| {
            let mut h = vec![0.0; f];
            swiglu_rows(isa, f, x, &mut h);
            h
        });
    }
}
