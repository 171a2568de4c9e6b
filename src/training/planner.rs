//! Minutes in, model out: which size should come to the fewest held-out bits per byte when the time is up.
//!
//! A pilot, a short run of the smallest shape, tells how hard the text is. Then the planner goes up a ladder of shapes. It
//! times a few steps of each, as they will be made, so it knows how many tokens the minutes hold, and asks the law of
//! [`super::forecast`] what that many tokens make of that many weights. It stops where the next shape promises less or where
//! timing it would cost too much, and takes the smallest of those that promise as good as the best. The choice and all that
//! was weighed go into run.json; the shape, once chosen, is as good as one that was typed.

use super::bench::N_WARMUP;
use super::forecast::{Forecast, Pilot, Prospect};
use super::plan::{self, Plan, Wishes, plan};
use super::probe::{N_TIMED, Probe};
use super::settings::Length;
use super::trainer::trainer_bytes;
use crate::model::Config;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// Layers and width of the shapes that are weighed. Few layers, because on a CPU wide matrices run nearer to the ceiling.
const LADDER: [(usize, usize); 7] = [(4, 128), (5, 192), (6, 256), (6, 320), (7, 384), (8, 448), (8, 512)];

/// What a forecast may be above the least and still count as equal. The forecasts are wrong by ten times as much, and the smaller
/// shape answers faster; the one time that two so near were both trained, it was also 1.8 % better (`docs/recipe.md`).
const AS_GOOD: f64 = 1.01;

/// Share of a run's minutes that steps take; evaluations, checkpoints and reports take the rest.
const LEARNING_SHARE: f64 = 0.8;

/// Share of the time left that the pilot may take, and its most seconds.
const PILOT_SHARE: f64 = 0.04;
const PILOT_S: f64 = 30.0;

/// Share of the time left that timing one shape may take.
const TIMING_SHARE: f64 = 0.02;

/// What is known of the text before the plan is made.
#[derive(Debug, Clone, Copy)]
pub struct TextFacts {
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Bytes of the training text.
    pub n_train_bytes: u64,
    /// Tokens of the training text.
    pub n_train_tokens: usize,
}

/// A shape that was weighed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Blocks.
    pub n_layer: usize,
    /// Width.
    pub n_embd: usize,
    /// Weights.
    pub n_params: usize,
    /// Tokens a second that steps were timed at; none in a run by steps.
    pub tokens_per_second: Option<f64>,
    /// Tokens that it would learn from.
    pub n_tokens: f64,
    /// What that should come to; none where no text is held out, and in a run by steps, which makes no pilot.
    pub expected: Option<Forecast>,
}

/// What the planner chose, and from what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The shape that the run has.
    pub chosen: Candidate,
    /// How often the text will be read.
    pub n_passes: f64,
    /// Bytes that the run will hold in memory.
    pub memory_bytes: u64,
    /// What the short run came to.
    pub pilot: Option<Pilot>,
    /// All that were weighed.
    pub candidates: Vec<Candidate>,
}

/// Chooses what `wishes` leave open, and says what is to be expected of the run. Its minutes count from `spent_s` seconds
/// ago.
pub fn choose(wishes: &Wishes, text: TextFacts, spent_s: f64, probe: &mut dyn Probe) -> Result<(Plan, Choice)> {
    let plan = |wishes: &Wishes| plan(wishes, text.vocab_size, text.n_train_bytes, text.n_train_tokens);
    let typed = plan(wishes)?;
    let (mut seconds_left, mut pilot, mut shapes) = (f64::INFINITY, None, vec![wishes.clone()]);
    if let Length::Minutes(minutes) = typed.settings.length {
        seconds_left = (60.0 * minutes - spent_s).max(0.0);
        let smallest = plan(&with_shape(&without_size(wishes), LADDER[0]))?;
        pilot = probe.pilot(&smallest, (PILOT_SHARE * seconds_left).min(PILOT_S))?;
        if wishes.leaves_the_size_open() {
            shapes = LADDER.iter().map(|&shape| with_shape(wishes, shape)).collect();
        }
    }
    let mut weighed: Vec<(Plan, Candidate)> = Vec::new();
    for shape in &shapes {
        let plan = plan(shape)?;
        if weighed.last().is_some_and(|last| costs_too_much(last, &plan, seconds_left)) {
            break;
        }
        let candidate = weigh(&plan, text, pilot.as_ref(), seconds_left, probe);
        let is_worse = weighed.last().is_some_and(|(_, last)| bits(&candidate) > bits(last));
        weighed.push((plan, candidate));
        if is_worse {
            break;
        }
    }
    let candidates: Vec<Candidate> = weighed.iter().map(|(_, candidate)| candidate.clone()).collect();
    let least = candidates.iter().map(bits).fold(f64::INFINITY, f64::min);
    // Shapes were weighed from the smallest on.
    let first = weighed.into_iter().find(|(_, candidate)| bits(candidate) <= AS_GOOD * least);
    let (mut plan, chosen) = first.expect("at least one shape was weighed");
    let n_passes = chosen.n_tokens / text.n_train_tokens.max(1) as f64;
    wishes.recipe.regularise(&mut plan.settings, n_passes);
    let memory_bytes = trainer_bytes(&plan.config, &plan.settings);
    Ok((plan, Choice { chosen, n_passes, memory_bytes, pilot, candidates }))
}

/// The plan for a fine-tuning of a model of shape `config`: nothing is left open but how long it takes, and by that how often
/// its text is read. Its minutes count from `spent_s` seconds ago.
pub fn fine_tuning(
    wishes: &Wishes,
    config: &Config,
    text: TextFacts,
    spent_s: f64,
    probe: &mut dyn Probe,
) -> Result<(Plan, Choice)> {
    let mut plan = plan::fine_tuning(wishes, config, text.n_train_tokens)?;
    let seconds_left = match plan.settings.length {
        Length::Minutes(minutes) => (60.0 * minutes - spent_s).max(0.0),
        Length::Steps(_) => f64::INFINITY,
    };
    let chosen = weigh(&plan, text, None, seconds_left, probe);
    let n_passes = chosen.n_tokens / text.n_train_tokens.max(1) as f64;
    wishes.recipe.regularise(&mut plan.settings, n_passes);
    let memory_bytes = trainer_bytes(&plan.config, &plan.settings);
    Ok((plan, Choice { candidates: vec![chosen.clone()], chosen, n_passes, memory_bytes, pilot: None }))
}

/// The figure to be least. Without held-out text nothing can be forecast, and the smallest shape is taken.
fn bits(candidate: &Candidate) -> f64 {
    candidate.expected.map_or(candidate.n_params as f64, |forecast| forecast.bits_per_byte)
}

fn with_shape(wishes: &Wishes, (n_layer, n_embd): (usize, usize)) -> Wishes {
    Wishes { n_layer: Some(n_layer), n_embd: Some(n_embd), ..wishes.clone() }
}

/// The wishes that have nothing to do with the size of model and steps.
fn without_size(wishes: &Wishes) -> Wishes {
    let (preset, n_head, n_kv_head, n_ffn, batch, n_accumulate) = (None, None, None, None, None, None);
    Wishes { preset, n_head, n_kv_head, n_ffn, batch, n_accumulate, ..wishes.clone() }
}

fn weigh(plan: &Plan, text: TextFacts, pilot: Option<&Pilot>, seconds_left: f64, probe: &mut dyn Probe) -> Candidate {
    let (config, settings) = (&plan.config, &plan.settings);
    let per_step = settings.tokens_per_step(config) as f64;
    let (tokens_per_second, n_tokens) = match settings.length {
        Length::Steps(n_steps) => (None, n_steps as f64 * per_step),
        Length::Minutes(_) => {
            let speed = per_step / probe.step_s(plan).max(1e-9);
            (Some(speed), speed * seconds_left * LEARNING_SHARE)
        }
    };
    let n_params = config.n_params();
    let prospect = Prospect { n_params, n_tokens, n_text_tokens: text.n_train_tokens };
    let expected = pilot.map(|pilot| prospect.forecast(pilot));
    Candidate { n_layer: config.n_layer, n_embd: config.n_embd, n_params, tokens_per_second, n_tokens, expected }
}

/// Whether timing `next` would take too much of the time, to judge by the shape before it.
fn costs_too_much((last, candidate): &(Plan, Candidate), next: &Plan, seconds_left: f64) -> bool {
    let Some(speed) = candidate.tokens_per_second else { return false };
    let work = |plan: &Plan| plan.config.n_params() as f64 * plan.settings.tokens_per_step(&plan.config) as f64;
    let last_s = last.settings.tokens_per_step(&last.config) as f64 / speed;
    last_s * work(next) / work(last) * (N_WARMUP + N_TIMED) as f64 > TIMING_SHARE * seconds_left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::recipe::{RecipeWishes, Regularisation};

    const TEXT: TextFacts = TextFacts { vocab_size: 1024, n_train_bytes: 1_000_000, n_train_tokens: 400_000 };

    /// A machine that makes so many operations a second, and the time it was kept.
    struct Machine {
        gflops: f64,
        spent_s: f64,
    }

    impl Probe for Machine {
        fn step_s(&mut self, plan: &Plan) -> f64 {
            let n_tokens = plan.settings.tokens_per_step(&plan.config) as f64;
            let step_s = 6.0 * plan.config.n_params() as f64 * n_tokens / (self.gflops * 1e9);
            self.spent_s += step_s * (N_WARMUP + N_TIMED) as f64;
            step_s
        }

        fn pilot(&mut self, plan: &Plan, seconds: f64) -> Result<Option<Pilot>> {
            self.spent_s += seconds;
            Ok(Some(Pilot { n_params: plan.config.n_params(), n_tokens: 1e5, bits_per_byte: 2.8 }))
        }
    }

    fn choice(wishes: &Wishes, minutes: f64, gflops: f64) -> (Choice, Machine) {
        let wishes = Wishes { length: Some(Length::Minutes(minutes)), ..wishes.clone() };
        let mut machine = Machine { gflops, spent_s: 0.0 };
        (choose(&wishes, TEXT, 0.0, &mut machine).unwrap().1, machine)
    }

    #[test]
    fn more_time_or_a_faster_machine_makes_no_smaller_model() {
        let size = |minutes, gflops| choice(&Wishes::default(), minutes, gflops).0.chosen.n_params;
        let sizes = [1.0, 10.0, 60.0, 180.0].map(|minutes| size(minutes, 150.0));
        assert!(sizes.is_sorted() && sizes[0] < sizes[3], "{sizes:?}");
        let sizes = [20.0, 200.0, 2000.0].map(|gflops| size(10.0, gflops));
        assert!(sizes.is_sorted() && sizes[0] < sizes[2], "{sizes:?}");
    }

    #[test]
    fn what_is_chosen_is_the_smallest_that_promises_as_good_as_the_best_of_all_that_was_weighed() {
        let of_minutes = |minutes| choice(&Wishes::default(), minutes, 150.0).0;
        let (mut n_least, mut n_smaller) = (0, 0);
        for choice in (5..60).map(|minutes| of_minutes(minutes as f64)) {
            let least = choice.candidates.iter().map(bits).fold(f64::INFINITY, f64::min);
            let as_good = choice.candidates.iter().filter(|candidate| bits(candidate) <= AS_GOOD * least);
            assert_eq!(choice.chosen.n_params, as_good.map(|candidate| candidate.n_params).min().unwrap());
            *if bits(&choice.chosen) == least { &mut n_least } else { &mut n_smaller } += 1;
        }
        assert!(n_least > 0 && n_smaller > 0, "{n_least} times the best, {n_smaller} times a smaller one");
        let choice = of_minutes(10.0);
        assert!(choice.candidates.len() > 1);
        assert!((choice.n_passes - choice.chosen.n_tokens / 400_000.0).abs() < 1e-9);
        assert!(choice.memory_bytes > 10_000_000);
    }

    #[test]
    fn a_size_that_was_typed_is_taken_and_what_it_should_come_to_is_said() {
        let wishes = Wishes { n_layer: Some(3), n_embd: Some(64), ..Wishes::default() };
        let (choice, _) = choice(&wishes, 10.0, 150.0);
        assert_eq!((choice.chosen.n_layer, choice.chosen.n_embd, choice.candidates.len()), (3, 64, 1));
        assert!(choice.chosen.expected.is_some());
    }

    #[test]
    fn a_run_by_steps_is_not_timed() {
        let wishes = Wishes { length: Some(Length::Steps(100)), ..Wishes::default() };
        let mut machine = Machine { gflops: 100.0, spent_s: 0.0 };
        let (plan, choice) = choose(&wishes, TEXT, 0.0, &mut machine).unwrap();
        assert_eq!(choice.chosen.n_tokens, 100.0 * plan.settings.tokens_per_step(&plan.config) as f64);
        assert_eq!((choice.chosen.tokens_per_second, choice.pilot, machine.spent_s), (None, None, 0.0));
    }

    #[test]
    fn text_that_is_read_many_times_is_learned_with_dropout_and_decay_unless_a_person_says_otherwise() {
        let plan = |minutes, dropout: Option<f32>| {
            let recipe = RecipeWishes { dropout, ..RecipeWishes::default() };
            let wishes = Wishes { length: Some(Length::Minutes(minutes)), recipe, ..Wishes::default() };
            choose(&wishes, TEXT, 0.0, &mut Machine { gflops: 150.0, spent_s: 0.0 }).unwrap()
        };
        for (minutes, dropout) in [(1.0, None), (60.0, None), (60.0, Some(0.3))] {
            let (plan, choice) = plan(minutes, dropout);
            let suits = Regularisation::for_passes(choice.n_passes);
            assert_eq!(plan.settings.recipe.dropout, dropout.unwrap_or(suits.dropout), "{minutes} minutes");
            assert_eq!(plan.settings.optimizer.weight_decay, suits.weight_decay, "{minutes} minutes");
            assert_eq!(suits.dropout > 0.0, minutes > 10.0);
        }
    }

    #[test]
    fn planning_never_takes_much_of_the_minutes() {
        for gflops in [5.0, 50.0, 500.0] {
            let (_, machine) = choice(&Wishes::default(), 1.0, gflops);
            assert!(machine.spent_s < 0.2 * 60.0, "{} seconds at {gflops} GFLOP/s", machine.spent_s);
        }
    }
}
