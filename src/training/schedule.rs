//! The learning rate over a run: a short warm-up, a plateau, and a linear warm-down to nearly nothing.
//!
//! Warm-down over the last part of the run is what lets a run of any length end well (Hägele et al., arXiv 2405.18392).
//! The fraction that is done may come from steps or from the clock; this module reads neither.

use serde::{Deserialize, Serialize};

/// The shape of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Steps from zero to the full rate.
    pub n_warmup: u64,
    /// Share of the run, at its end, over which the rate falls.
    pub warmdown: f64,
    /// The factor at the very end.
    pub last: f64,
}

impl Schedule {
    /// The factor on the learning rate for `step` (from 0) when `fraction` of the run is done.
    pub fn factor(&self, step: u64, fraction: f64) -> f64 {
        let warmup = ((step + 1) as f64 / (self.n_warmup + 1) as f64).min(1.0);
        let left = ((1.0 - fraction) / self.warmdown.max(1e-9)).clamp(0.0, 1.0);
        warmup * (self.last + (1.0 - self.last) * left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_stays_and_falls() {
        let schedule = Schedule { n_warmup: 9, warmdown: 0.5, last: 0.1 };
        let cases = [
            (0, 0.0, 0.1),
            (4, 0.0, 0.5),
            (9, 0.1, 1.0),
            (50, 0.5, 1.0),
            (75, 0.75, 0.55),
            (100, 1.0, 0.1),
            (101, 1.1, 0.1),
        ];
        for (step, fraction, wanted) in cases {
            let found = schedule.factor(step, fraction);
            assert!((found - wanted).abs() < 1e-12, "step {step} at {fraction}: {found}, not {wanted}");
        }
    }
}
