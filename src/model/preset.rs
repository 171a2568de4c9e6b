//! Named sizes, from about one to thirty million weights, and which of them a corpus deserves.

use super::{Config, Family};

/// A model size with a name. The weights are counted at a vocabulary fit for the size, with a tied head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preset {
    /// About 1 million weights: learns a style in a minute or two.
    Nano,
    /// About 3 million weights: whole sentences from a megabyte or more.
    Tiny,
    /// About 10 million weights: worth it from some ten megabytes.
    Small,
    /// About 30 million weights: a hundred megabytes and hours of patience.
    Base,
}

impl Preset {
    /// All presets, the smallest first.
    pub const ALL: [Preset; 4] = [Preset::Nano, Preset::Tiny, Preset::Small, Preset::Base];

    /// The preset of that name.
    pub fn named(name: &str) -> Option<Preset> {
        Preset::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// The shape of this preset for a vocabulary of `vocab_size` entries and a context of `block_size` tokens.
    ///
    /// Heads are 64 wide (on the bundled stories, after a minute of `nano`, two such heads stood at 0.479 held-out bits per
    /// byte where four of 32 stood at 0.524: fewer, wider heads are also cheaper), and the feed-forward layer is 8/3 of the width, rounded to 64 (SwiGLU's usual ratio,
    /// arXiv 2002.05202); few layers, because on a CPU wide matrices run nearer to the arithmetic ceiling.
    pub fn config(self, vocab_size: usize, block_size: usize) -> Config {
        let (n_layer, n_embd, n_head, n_ffn) = match self {
            Preset::Nano => (4, 128, 2, 384),
            Preset::Tiny => (5, 192, 3, 512),
            Preset::Small => (6, 320, 5, 896),
            Preset::Base => (8, 512, 8, 1408),
        };
        Config {
            n_layer,
            n_head,
            n_kv_head: n_head,
            n_embd,
            head_dim: n_embd / n_head,
            n_ffn,
            vocab_size,
            block_size,
            rope_theta: 10_000.0,
            norm_eps: 1e-6,
            tied: true,
            family: Family::Qwen3,
        }
    }

    /// The preset for `n_bytes` of training text and, where they are limited, `minutes` of training.
    ///
    /// A model must see enough text in its time: on two cores `tiny` sees some half a million tokens a minute and `nano`
    /// three times as many, and after one minute on tiny Shakespeare `nano` stood at 2.43 bits per byte where `tiny` stood at
    /// 2.58. The limits of time are where the larger one was seen, or by its speed is expected, to draw level.
    pub fn for_run(n_bytes: u64, minutes: Option<f64>) -> Preset {
        let by_time = match minutes.unwrap_or(f64::INFINITY) {
            m if m < 4.0 => Preset::Nano,
            m if m < 20.0 => Preset::Tiny,
            m if m < 90.0 => Preset::Small,
            _ => Preset::Base,
        };
        Preset::for_corpus(n_bytes).min(by_time)
    }

    /// The preset that `n_bytes` of training text deserve when time does not matter.
    ///
    /// The limits keep between about two and ten bytes of text per weight at the lower end of each range: below that a
    /// larger model only memorises sooner, and takes longer over it.
    fn for_corpus(n_bytes: u64) -> Preset {
        match n_bytes {
            0..400_000 => Preset::Nano,
            400_000..15_000_000 => Preset::Tiny,
            15_000_000..100_000_000 => Preset::Small,
            _ => Preset::Base,
        }
    }

    /// The name as typed on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Nano => "nano",
            Preset::Tiny => "tiny",
            Preset::Small => "small",
            Preset::Base => "base",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_text_or_little_time_makes_a_small_model() {
        let cases = [
            (10_000, None, "nano"),
            (1_000_000, None, "tiny"),
            (1_000_000, Some(3.0), "nano"),
            (50_000_000, Some(60.0), "small"),
        ];
        for (n_bytes, minutes, wanted) in cases {
            assert_eq!(Preset::for_run(n_bytes, minutes).name(), wanted, "{n_bytes} bytes, {minutes:?} minutes");
        }
    }

    #[test]
    fn presets_have_about_the_size_their_name_promises() {
        for (preset, vocab, millions) in [
            (Preset::Nano, 1024, 1.0),
            (Preset::Tiny, 2048, 3.0),
            (Preset::Small, 4096, 10.0),
            (Preset::Base, 8192, 30.0),
        ] {
            let config = preset.config(vocab, 256);
            config.validate().unwrap();
            let found = config.n_params() as f64 / 1e6;
            assert!(
                (found / millions - 1.0).abs() < 0.2,
                "{} has {found:.2} million weights, not about {millions}",
                preset.name()
            );
        }
    }
}
