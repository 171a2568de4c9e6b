//! Where a step's time goes: a stopwatch that charges the time since its last reading to a part of the step.
//!
//! A reading costs some 30 ns and a step makes a few hundred, so it is always on.

use serde::Serialize;
use std::cell::Cell;
use std::time::Instant;

/// A part of a training step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Linear layers and the head: forward, input gradient, weight gradient.
    Matmul,
    /// Causal attention, forward and backward.
    Attention,
    /// Softmax and cross-entropy of the logits.
    CrossEntropy,
    /// RMSNorm of the residual stream.
    Norm,
    /// QK-norm and rotary positions.
    Rope,
    /// The gated activation.
    SwiGlu,
    /// Rows of the embedding, and their gradient.
    Embedding,
    /// Matrix products of the optimizer: those that make Muon's directions orthogonal.
    Muon,
    /// Clearing and clipping gradients, and the rest of the update.
    Optimizer,
}

impl Part {
    /// All parts, in the order of a step.
    pub const ALL: [Part; 9] = [
        Part::Matmul,
        Part::Attention,
        Part::CrossEntropy,
        Part::Norm,
        Part::Rope,
        Part::SwiGlu,
        Part::Embedding,
        Part::Muon,
        Part::Optimizer,
    ];

    /// The name that reports show.
    pub fn name(self) -> &'static str {
        match self {
            Part::Matmul => "matmul",
            Part::Attention => "attention",
            Part::CrossEntropy => "cross-entropy",
            Part::Norm => "norm",
            Part::Rope => "qk-norm and rope",
            Part::SwiGlu => "swiglu",
            Part::Embedding => "embedding",
            Part::Muon => "matmul of Muon",
            Part::Optimizer => "optimizer",
        }
    }
}

/// A part and its time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartTime {
    /// The part's name.
    pub part: &'static str,
    /// Milliseconds a step.
    pub ms: f64,
    /// Share of the step, 0 to 1.
    pub share: f64,
}

/// The stopwatch.
#[derive(Debug)]
pub struct Profile {
    seconds: [Cell<f64>; Part::ALL.len()],
    last: Cell<Instant>,
}

impl Default for Profile {
    fn default() -> Profile {
        Profile { seconds: Default::default(), last: Cell::new(Instant::now()) }
    }
}

impl Profile {
    /// Starts a stretch of time; what passed since the last reading is charged to nothing.
    pub fn start(&self) {
        self.last.set(Instant::now());
    }

    /// Charges the time since the last reading to `part`.
    pub fn lap(&self, part: Part) {
        let now = Instant::now();
        let seconds = &self.seconds[part as usize];
        seconds.set(seconds.get() + (now - self.last.get()).as_secs_f64());
        self.last.set(now);
    }

    /// Forgets all times.
    pub fn clear(&self) {
        self.seconds.iter().for_each(|seconds| seconds.set(0.0));
        self.start();
    }

    /// The times of `n_steps` steps, a mean over them.
    pub fn parts(&self, n_steps: usize) -> Vec<PartTime> {
        let total: f64 = self.seconds.iter().map(Cell::get).sum();
        let time = |part: Part| {
            let seconds = self.seconds[part as usize].get();
            PartTime {
                part: part.name(),
                ms: seconds * 1e3 / n_steps.max(1) as f64,
                share: seconds / total.max(f64::MIN_POSITIVE),
            }
        };
        Part::ALL.map(time).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn time_is_charged_to_the_part_that_ends_with_the_reading() {
        let profile = Profile::default();
        profile.clear();
        std::thread::sleep(Duration::from_millis(20));
        profile.lap(Part::Attention);
        profile.lap(Part::Norm);
        let parts = profile.parts(2);
        let share = |part: Part| parts.iter().find(|p| p.part == part.name()).unwrap().share;
        assert!(share(Part::Attention) > 0.9 && share(Part::Norm) < 0.1, "{parts:?}");
        assert!(parts[Part::Attention as usize].ms >= 10.0, "{parts:?}");
        assert!((parts.iter().map(|p| p.share).sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn parts_are_listed_in_the_order_of_their_numbers() {
        assert!(Part::ALL.iter().enumerate().all(|(i, &part)| part as usize == i));
    }
}
