//! What a run should come to: held-out bits per byte as a function of the model, the tokens and the text.
//!
//! The form is that of Hoffmann et al. (arXiv 2203.15556), loss = floor + A / N^a + B / D^b for N weights and D tokens,
//! where tokens seen again count as fewer new ones, after Muennighoff et al. (arXiv 2305.16264, section 5): passes over
//! the text are worth at most some five further ones. Texts differ in how hard they are, and neither xz nor a 5-gram
//! foretells it well enough (of five texts with the same xz, models had 0.68 to 0.92 of the 5-gram's bits). So a short run,
//! the [`Pilot`], says how hard this text is, and the law only by what factor the long run comes lower.
//!
//! The constants were fitted to runs of the recipe in this crate over five texts of 0.2 to 15 MB; docs/recipe.md has the
//! runs, the fit and how far they lie apart. Weights and tokens are in millions.

/// What no number of weights and tokens gets below, in units of the law (a pilot stands at some 2).
const FLOOR: f64 = 1.17;
/// What too few weights cost, at a million, and how fast that falls.
const BY_WEIGHTS: (f64, f64) = (0.191, 0.30);
/// What too few tokens cost, at a million, and how fast that falls.
const BY_TOKENS: (f64, f64) = (0.434, 0.42);
/// What all passes after the first are worth, in passes, if there are many of them. Muennighoff et al. found 15, with far
/// more text; here a text has a few hundred thousand tokens and the smallest model a million weights.
const PASSES_WORTH: f64 = 5.5;
/// Half the width of the interval, as a share, for each factor of e between the tokens of the pilot and those of the run;
/// and its least.
const SPREAD: (f64, f64) = (0.05, 0.03);

/// What a short run came to.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Pilot {
    /// Weights of its model.
    pub n_params: usize,
    /// Tokens that it learned from.
    pub n_tokens: f64,
    /// Held-out bits per byte at its end.
    pub bits_per_byte: f64,
}

/// A run as far as the law knows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prospect {
    /// Weights of the model.
    pub n_params: usize,
    /// Tokens learned from, repeats included.
    pub n_tokens: f64,
    /// Tokens of the training text.
    pub n_text_tokens: usize,
}

/// Held-out bits per byte to be expected.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Forecast {
    /// The lower end of the interval.
    pub low: f64,
    /// The most likely value.
    pub bits_per_byte: f64,
    /// The upper end of the interval.
    pub high: f64,
}

impl Prospect {
    /// How often the text is read.
    pub fn n_passes(&self) -> f64 {
        self.n_tokens / self.n_text_tokens.max(1) as f64
    }

    /// Tokens that would teach as much if all of them were new.
    fn n_effective_tokens(&self) -> f64 {
        let repeats = self.n_passes() - 1.0;
        if repeats <= 0.0 {
            return self.n_tokens;
        }
        self.n_text_tokens as f64 * (1.0 + PASSES_WORTH * (1.0 - (-repeats / PASSES_WORTH).exp()))
    }

    /// What the law gives, as a multiple that differs from text to text.
    fn law(&self) -> f64 {
        let millions = |n: f64| (n / 1e6).max(1e-6);
        let by_weights = BY_WEIGHTS.0 * millions(self.n_params as f64).powf(-BY_WEIGHTS.1);
        let by_tokens = BY_TOKENS.0 * millions(self.n_effective_tokens()).powf(-BY_TOKENS.1);
        FLOOR + by_weights + by_tokens
    }

    /// What the run should come to, when `pilot` was made on the same text.
    pub fn forecast(&self, pilot: &Pilot) -> Forecast {
        let short = Prospect { n_params: pilot.n_params, n_tokens: pilot.n_tokens, ..*self };
        let bits_per_byte = pilot.bits_per_byte * self.law() / short.law();
        let distance = (self.n_tokens / pilot.n_tokens).ln();
        let spread = (SPREAD.0 * distance).max(SPREAD.1);
        Forecast { low: bits_per_byte * (1.0 - spread), bits_per_byte, high: bits_per_byte * (1.0 + spread) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Prospect = Prospect { n_params: 1_000_000, n_tokens: 2e6, n_text_tokens: 400_000 };
    const PILOT: Pilot = Pilot { n_params: 1_000_000, n_tokens: 1e5, bits_per_byte: 2.8 };

    fn bits(run: Prospect) -> f64 {
        run.forecast(&PILOT).bits_per_byte
    }

    #[test]
    fn more_tokens_and_more_weights_promise_fewer_bits_and_a_harder_text_more() {
        assert!(bits(Prospect { n_tokens: 4e6, ..RUN }) < bits(RUN));
        assert!(bits(Prospect { n_params: 3_000_000, ..RUN }) < bits(RUN));
        assert!(RUN.forecast(&Pilot { bits_per_byte: 3.0, ..PILOT }).bits_per_byte > bits(RUN));
    }

    #[test]
    fn the_interval_is_wider_where_the_pilot_tells_less() {
        let width = |n_tokens| {
            let Forecast { low, bits_per_byte, high } = Prospect { n_tokens, ..RUN }.forecast(&PILOT);
            assert!(low < bits_per_byte && bits_per_byte < high);
            (high - low) / bits_per_byte
        };
        assert!(width(1e5) < width(2e6) && width(2e6) < width(2e7));
    }

    #[test]
    fn a_run_like_the_pilot_is_expected_to_end_like_it() {
        let same = Prospect { n_params: PILOT.n_params, n_tokens: PILOT.n_tokens, ..RUN };
        assert!((bits(same) - PILOT.bits_per_byte).abs() < 1e-12);
    }

    #[test]
    fn the_same_tokens_teach_less_when_they_are_read_again_and_in_the_end_nothing() {
        let fresh = Prospect { n_text_tokens: 2_000_000, ..RUN };
        assert!(bits(fresh) < bits(RUN));
        let (many, more) = (Prospect { n_tokens: 80e6, ..RUN }, Prospect { n_tokens: 160e6, ..RUN });
        assert!(bits(many) - bits(more) < 1e-3, "{} {}", bits(many), bits(more));
    }
}
