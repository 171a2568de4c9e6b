//! Random numbers that are the same on every machine and can be resumed: a counter-based generator.
//!
//! The state is a stream (seed, stream number) and a counter, so position n is reached without drawing the n before it.
//! The mixing function is SplitMix64's finalizer (Steele, Lea, Flood: "Fast splittable pseudorandom number generators",
//! OOPSLA 2014); a multiplication by the golden ratio spreads the counter.

/// A stream of random numbers; its whole state is two numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random {
    key: u64,
    counter: u64,
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's finalizer: a bijection that turns a counter into noise.
pub fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Random {
    /// Stream `stream` of `seed`, at its start.
    pub fn new(seed: u64, stream: u64) -> Random {
        Random { key: mix(mix(seed.wrapping_add(GOLDEN)) ^ stream.wrapping_mul(GOLDEN)), counter: 0 }
    }

    /// How many numbers have been drawn.
    pub fn counter(&self) -> u64 {
        self.counter
    }

    /// Continues after `counter` draws.
    pub fn seek(&mut self, counter: u64) {
        self.counter = counter;
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.counter += 1;
        mix(self.key.wrapping_add(self.counter.wrapping_mul(GOLDEN)))
    }

    /// Uniform in [0, 1), with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in 0..n. `n` must not be 0.
    pub fn below(&mut self, n: u64) -> u64 {
        // Multiply-shift (Lemire 2019); the bias of at most n / 2^64 is far below anything that could be seen here.
        ((self.next_u64() as u128 * n as u128) >> 64) as u64
    }

    /// Puts `values` into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in (1..values.len()).rev() {
            values.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// Standard normal, by Box and Muller (1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_continues_where_it_was_left() {
        let mut whole = Random::new(1, 2);
        whole.next_u64();
        let mut resumed = Random::new(1, 2);
        resumed.seek(whole.counter());
        assert_eq!(whole.next_u64(), resumed.next_u64());
        assert_ne!(Random::new(1, 3).next_u64(), Random::new(1, 2).next_u64());
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        let mut random = Random::new(3, 0);
        let n = 100_000;
        let (mut sum, mut square) = (0.0, 0.0);
        for _ in 0..n {
            let x = random.normal();
            sum += x;
            square += x * x;
        }
        // Three standard errors: 3/sqrt(n) of the mean, 3*sqrt(2/n) of the variance.
        assert!((sum / n as f64).abs() < 0.0095, "mean {}", sum / n as f64);
        assert!((square / n as f64 - 1.0).abs() < 0.0135, "variance {}", square / n as f64);
    }
}
