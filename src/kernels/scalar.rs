//! The specification: each kernel's answer by plain loops in double precision, without any concern for speed.
//!
//! Tests compare every kernel, on every instruction set of the machine, with these. They compile everywhere and call
//! nothing.

/// C (M, N) = A (M, K) · B (K, N) + `add`, all row-major.
pub fn matmul(m: usize, n: usize, k: usize, a: &[f32], b: &[f32], add: Option<&[f32]>) -> Vec<f32> {
    let mut c = Vec::with_capacity(m * n);
    for i in 0..m {
        for j in 0..n {
            let start = add.map_or(0.0, |add| add[i * n + j] as f64);
            let dot: f64 = (0..k).map(|l| a[i * k + l] as f64 * b[l * n + j] as f64).sum();
            c.push((start + dot) as f32);
        }
    }
    c
}

/// RMSNorm of one row (Zhang and Sennrich, arXiv 1910.07467): x / sqrt(mean(x^2) + eps) * weight.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let mean_square = x.iter().map(|&v| (v as f64).powi(2)).sum::<f64>() / x.len() as f64;
    let scale = 1.0 / (mean_square + eps as f64).sqrt();
    x.iter().zip(weight).map(|(&v, &w)| (v as f64 * scale * w as f64) as f32).collect()
}

/// Rotary position `position` of one head (RoFormer, arXiv 2104.09864), in the half-rotation order of GPT-NeoX: element
/// i turns together with element i + D/2 by `position / theta^(2i/D)` radians.
pub fn rope(x: &[f32], position: usize, theta: f32) -> Vec<f32> {
    let half = x.len() / 2;
    let mut y = vec![0.0; x.len()];
    for i in 0..half {
        let angle = position as f64 / (theta as f64).powf(i as f64 / half as f64);
        let (sin, cos) = angle.sin_cos();
        let (a, b) = (x[i] as f64, x[i + half] as f64);
        y[i] = (a * cos - b * sin) as f32;
        y[i + half] = (a * sin + b * cos) as f32;
    }
    y
}

/// Causal attention of one head: queries, keys and values are (T, D); row t sees keys 0..=t.
pub fn attention(q: &[f32], k: &[f32], v: &[f32], head_dim: usize) -> Vec<f32> {
    let n_rows = q.len() / head_dim;
    let scale = 1.0 / (head_dim as f64).sqrt();
    let mut out = Vec::with_capacity(q.len());
    for t in 0..n_rows {
        let scores: Vec<f64> = (0..=t)
            .map(|s| {
                (0..head_dim).map(|d| q[t * head_dim + d] as f64 * k[s * head_dim + d] as f64).sum::<f64>() * scale
            })
            .collect();
        let p = softmax(&scores);
        out.extend(
            (0..head_dim)
                .map(|d| p.iter().enumerate().map(|(s, p)| p * v[s * head_dim + d] as f64).sum::<f64>() as f32),
        );
    }
    out
}

/// SwiGLU (Shazeer, arXiv 2002.05202): silu(gate) * up, with silu(x) = x / (1 + e^-x).
pub fn swiglu(gate: &[f32], up: &[f32]) -> Vec<f32> {
    gate.iter().zip(up).map(|(&g, &u)| (g as f64 / (1.0 + (-g as f64).exp()) * u as f64) as f32).collect()
}

/// Cross-entropy of one row of logits against `target`, in nats.
pub fn cross_entropy(logits: &[f32], target: usize) -> f64 {
    let logits: Vec<f64> = logits.iter().map(|&l| l as f64).collect();
    -softmax(&logits)[target].ln()
}

/// Probabilities of `logits`.
pub fn softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits.iter().map(|l| (l - max).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| w / sum).collect()
}
