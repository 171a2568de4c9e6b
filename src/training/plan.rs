//! From a corpus and what a person asked for to a shape and settings: what a corpus of this size deserves.
//!
//! Only arithmetic on sizes; nothing is read, timed or printed here.

use super::lora::LoraSettings;
use super::recipe::RecipeWishes;
use super::settings::{Length, Settings};
use crate::data::loader::Order;
use crate::kernels::gemm::Precision;
use crate::model::{Config, Preset};
use anyhow::{Result, ensure};

/// What a person may ask for; whatever is `None` is chosen.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// A named size.
    pub preset: Option<Preset>,
    /// Blocks.
    pub n_layer: Option<usize>,
    /// Width.
    pub n_embd: Option<usize>,
    /// Query heads.
    pub n_head: Option<usize>,
    /// Key/value heads.
    pub n_kv_head: Option<usize>,
    /// Feed-forward width.
    pub n_ffn: Option<usize>,
    /// Context in tokens.
    pub block_size: Option<usize>,
    /// An output head of its own instead of the embedding.
    pub untied: bool,
    /// Sequences in a batch.
    pub batch: Option<usize>,
    /// Batches a step.
    pub n_accumulate: Option<usize>,
    /// Highest learning rate.
    pub lr: Option<f64>,
    /// The parts of the learning recipe.
    pub recipe: RecipeWishes,
    /// Adapters to learn in a fine-tuning, instead of all weights.
    pub lora: Option<LoraSettings>,
    /// What matrix products multiply.
    pub precision: Precision,
    /// End of the run.
    pub length: Option<Length>,
    /// Seed.
    pub seed: u64,
    /// Evaluations without a new best before the run stops.
    pub patience: Option<u64>,
    /// Seconds between checkpoints.
    pub save_every_s: Option<f64>,
}

impl Wishes {
    /// Whether nothing was asked for that decides how many weights the blocks have.
    pub fn leaves_the_size_open(&self) -> bool {
        let sizes = [self.n_layer, self.n_embd, self.n_head, self.n_kv_head, self.n_ffn];
        self.preset.is_none() && sizes.iter().all(Option::is_none)
    }

    /// Changes single numbers of `config` and checks that they still make a model.
    pub fn reshape(&self, mut config: Config) -> Result<Config> {
        config.n_layer = self.n_layer.unwrap_or(config.n_layer);
        config.block_size = self.block_size.unwrap_or(config.block_size);
        if let Some(n_embd) = self.n_embd {
            config.n_embd = n_embd;
            // SwiGLU's usual 8/3 of the width, in whole cache lines.
            config.n_ffn = (n_embd * 8 / 3).next_multiple_of(64);
            // Heads stay about as wide as they were; the count must divide the width.
            if self.n_head.is_none() {
                let wanted = (n_embd / config.head_dim).max(1);
                config.n_head = (1..=wanted)
                    .rev()
                    .find(|&h| (n_embd / h).is_multiple_of(2) && n_embd.is_multiple_of(h))
                    .unwrap_or(1);
            }
        }
        config.n_head = self.n_head.unwrap_or(config.n_head);
        config.n_kv_head = self.n_kv_head.unwrap_or(config.n_head);
        config.n_ffn = self.n_ffn.unwrap_or(config.n_ffn);
        config.head_dim = Config::even_head_dim(config.n_embd, config.n_head)?;
        config.tied = !self.untied;
        config.validate()?;
        Ok(config)
    }

    /// Changes what was asked for in `settings`, all but their length.
    fn apply(&self, settings: &mut Settings) {
        settings.batch = self.batch.unwrap_or(settings.batch);
        settings.n_accumulate = self.n_accumulate.unwrap_or(settings.n_accumulate);
        settings.lr = self.lr.unwrap_or(settings.lr);
        self.recipe.apply(settings);
        settings.precision = self.precision;
        // Minutes that a person gave are used up: the rate falls at their end, which is when held-out text gains most.
        let gave_minutes = matches!(self.length, Some(Length::Minutes(_)));
        if gave_minutes || self.patience.is_some() {
            settings.patience = self.patience;
        }
        settings.save_every_s = self.save_every_s.unwrap_or(settings.save_every_s);
    }
}

/// A model and a way to train it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The shape.
    pub config: Config,
    /// The way.
    pub settings: Settings,
}

/// Plans a run on `n_train_tokens` tokens (of `n_train_bytes` bytes) with a vocabulary of `vocab_size`.
pub fn plan(wishes: &Wishes, vocab_size: usize, n_train_bytes: u64, n_train_tokens: usize) -> Result<Plan> {
    let minutes = match wishes.length {
        Some(Length::Minutes(minutes)) => Some(minutes),
        _ => None,
    };
    let preset = wishes.preset.unwrap_or(Preset::for_run(n_train_bytes, minutes));
    let config = wishes.reshape(preset.config(vocab_size, context_for(n_train_tokens)))?;
    ensure!(
        n_train_tokens > config.block_size,
        "the training text has {n_train_tokens} tokens, but a context of {} needs at least {}: add text, or choose a smaller --context",
        config.block_size,
        config.block_size + 1
    );
    let length = wishes.length.unwrap_or(Length::Minutes(minutes_for(preset)));
    let mut settings = Settings::for_model(&config, length, wishes.seed);
    wishes.apply(&mut settings);
    settings.validate()?;
    settings.recipe.validate_for(config.block_size)?;
    Ok(Plan { config, settings })
}

/// How often the conversations of a fine-tuning are read where a person says nothing.
const FINE_TUNING_PASSES: f64 = 3.0;

/// The rate of a fine-tuning as a share of that of a first training: what was learned is to be kept.
const FINE_TUNING_RATE: f64 = 0.3;

/// The rate of adapters as a share of that of a first training. They begin from nothing, so they take more than
/// weights do (docs/recipe.md).
const ADAPTER_RATE: f64 = 1.0;

/// Plans the fine-tuning of a model of shape `config` on conversations of `n_train_tokens` tokens.
pub fn fine_tuning(wishes: &Wishes, config: &Config, n_train_tokens: usize) -> Result<Plan> {
    let mut settings = Settings::for_model(config, Length::Steps(1), wishes.seed);
    settings.lr *= if wishes.lora.is_some() { ADAPTER_RATE } else { FINE_TUNING_RATE };
    if let Some(lora) = wishes.lora {
        lora.validate_for(config)?;
        settings.optimizer.muon = None;
        settings.lora = Some(lora);
    }
    settings.recipe.short_contexts = false;
    wishes.apply(&mut settings);
    settings.recipe.order = Order::Conversations;
    let n_steps = FINE_TUNING_PASSES * n_train_tokens as f64 / settings.tokens_per_step(config).max(1) as f64;
    settings.length = wishes.length.unwrap_or(Length::Steps((n_steps.ceil() as u64).max(1)));
    settings.validate()?;
    Ok(Plan { config: config.clone(), settings })
}

/// 256 tokens, some two hundred words, unless the text is too short to fill some dozens of such windows.
fn context_for(n_train_tokens: usize) -> usize {
    match n_train_tokens {
        0..1_000 => 32,
        1_000..10_000 => 64,
        10_000..50_000 => 128,
        _ => 256,
    }
}

/// Minutes after which a model of this size has usually learned most of what its corpus teaches, on two cores.
fn minutes_for(preset: Preset) -> f64 {
    match preset {
        Preset::Nano => 2.0,
        Preset::Tiny => 5.0,
        Preset::Small => 30.0,
        Preset::Base => 180.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_overrides_what_the_corpus_would_choose() {
        let chosen = plan(&Wishes::default(), 1024, 1_000_000, 300_000).unwrap();
        assert_eq!((chosen.config.block_size, chosen.config.n_embd), (256, 192));
        let wishes =
            Wishes { n_embd: Some(256), n_head: Some(4), block_size: Some(128), batch: Some(3), ..Wishes::default() };
        let asked = plan(&wishes, 1024, 1_000_000, 300_000).unwrap();
        assert_eq!((asked.config.n_embd, asked.config.head_dim, asked.config.n_ffn), (256, 64, 704));
        assert_eq!((asked.config.block_size, asked.settings.batch), (128, 3));
    }

    #[test]
    fn minutes_that_were_given_are_used_up_and_others_end_when_nothing_is_gained() {
        let patience = |wishes: Wishes| plan(&wishes, 1024, 1_000_000, 300_000).unwrap().settings.patience;
        let length = Some(Length::Minutes(5.0));
        assert_eq!(patience(Wishes::default()), Some(5));
        assert_eq!(patience(Wishes { length, ..Wishes::default() }), None);
        assert_eq!(patience(Wishes { length, patience: Some(3), ..Wishes::default() }), Some(3));
    }

    #[test]
    fn a_fine_tuning_keeps_the_shape_and_reads_its_conversations_three_times_at_a_lower_rate() {
        let config = Preset::Nano.config(1024, 256);
        let first =
            plan(&Wishes { preset: Some(Preset::Nano), ..Wishes::default() }, 1024, 1_000_000, 300_000).unwrap();
        let tuned = fine_tuning(&Wishes::default(), &config, 100_000).unwrap();
        assert_eq!(tuned.config, config);
        assert_eq!(tuned.settings.length, Length::Steps(293)); // 3 x 100,000 / 1,024
        assert!(tuned.settings.lr < 0.5 * first.settings.lr);
        assert_eq!(tuned.settings.recipe.order, Order::Conversations);
    }

    #[test]
    fn adapters_are_learned_by_adamw_at_a_higher_rate_than_all_weights() {
        let config = Preset::Nano.config(1024, 256);
        let lora = Some(LoraSettings::of_rank(8));
        let all = fine_tuning(&Wishes::default(), &config, 100_000).unwrap().settings;
        let adapters = fine_tuning(&Wishes { lora, ..Wishes::default() }, &config, 100_000).unwrap().settings;
        assert_eq!((all.lora, adapters.lora), (None, lora));
        assert!(adapters.lr > all.lr && adapters.optimizer.muon.is_none());
        let lora = Some(LoraSettings::of_rank(1000));
        assert!(fine_tuning(&Wishes { lora, ..Wishes::default() }, &config, 100_000).is_err());
    }

    #[test]
    fn impossible_wishes_are_errors_that_name_both_numbers() {
        let cases: [(Wishes, &[&str]); 3] = [
            (Wishes { n_embd: Some(250), n_head: Some(4), ..Wishes::default() }, &["250", "4"]),
            (Wishes { block_size: Some(400), ..Wishes::default() }, &["300 tokens", "401"]),
            (Wishes { batch: Some(0), ..Wishes::default() }, &["batch is 0"]),
        ];
        for (wishes, words) in cases {
            let message = plan(&wishes, 512, 1000, 300).unwrap_err().to_string();
            assert!(words.iter().all(|w| message.contains(w)), "{message:?} lacks one of {words:?}");
        }
    }
}
