//! The chain by hand, by chance and by what llama.cpp's samplers make of the same logits.

use proptest::prelude::*;

use super::*;
use crate::generation::mock::tokenizer;

fn plain() -> SamplerConfig {
    SamplerConfig::plain()
}

/// Logits of the distribution 0.5, 0.25, 0.15, 0.1, out of order.
fn four() -> Vec<f32> {
    [0.15f32, 0.5, 0.1, 0.25].iter().map(|p| p.ln()).collect()
}

fn assert_distribution(config: SamplerConfig, logits: &[f32], history: &[u32], expected: &[(u32, f64)]) {
    let got = Sampler::new(config.clone()).unwrap().probabilities(logits, history).unwrap();
    assert_eq!(
        got.iter().map(|g| g.0).collect::<Vec<_>>(),
        expected.iter().map(|e| e.0).collect::<Vec<_>>(),
        "{config:?}"
    );
    for (got, expected) in got.iter().zip(expected) {
        assert!((got.1 - expected.1).abs() < 1e-6, "{config:?}: {got:?} instead of {expected:?}");
    }
}

#[test]
fn filters_give_the_distributions_computed_by_hand() {
    let all = [(1, 0.5), (3, 0.25), (0, 0.15), (2, 0.1)];
    let two = [(1, 2.0 / 3.0), (3, 1.0 / 3.0)];
    let three = [(1, 0.5 / 0.9), (3, 0.25 / 0.9), (0, 0.15 / 0.9)];
    // Squares of the probabilities: 0.25, 0.0625, 0.0225, 0.01; their sum is 0.345.
    let cold = [(1, 0.25 / 0.345), (3, 0.0625 / 0.345), (0, 0.0225 / 0.345), (2, 0.01 / 0.345)];
    for (config, expected) in [
        (plain(), &all[..]),
        (SamplerConfig { temperature: 0.5, ..plain() }, &cold),
        (SamplerConfig { top_k: 2, ..plain() }, &two),
        (SamplerConfig { top_k: 9, ..plain() }, &all),
        (SamplerConfig { top_p: 0.7, ..plain() }, &two),
        (SamplerConfig { top_p: 0.8, ..plain() }, &three),
        (SamplerConfig { top_p: 0.001, ..plain() }, &[(1, 1.0)]),
        (SamplerConfig { min_p: 0.29, ..plain() }, &three),
        (SamplerConfig { min_p: 0.31, ..plain() }, &two),
        (SamplerConfig { min_p: 1.0, ..plain() }, &[(1, 1.0)]),
        // Top-p sees what top-k left: 0.5 of 0.75 is two thirds, enough for 0.6 alone.
        (SamplerConfig { top_k: 2, top_p: 0.6, ..plain() }, &[(1, 1.0)]),
        // Top-p sees the tempered distribution: 0.25 of 0.345 is above 0.7.
        (SamplerConfig { temperature: 0.5, top_p: 0.7, ..plain() }, &[(1, 1.0)]),
        (SamplerConfig { temperature: 0.0, ..plain() }, &[(1, 1.0)]),
    ] {
        assert_distribution(config, &four(), &[], expected);
    }
}

#[test]
fn the_penalty_divides_positive_and_multiplies_negative_logits_once() {
    let config = SamplerConfig { repetition_penalty: 2.0, repetition_window: 3, ..plain() };
    // Token 0 lies outside the window; 1 and 2 are seen, one of them twice.
    let z = 2f64.exp() + 1f64.exp() + (-2f64).exp();
    let expected = [(0, 2f64.exp() / z), (1, 1f64.exp() / z), (2, (-2f64).exp() / z)];
    assert_distribution(config, &[2.0, 2.0, -1.0], &[0, 1, 2, 1], &expected);
}

#[test]
fn greedy_takes_the_lowest_id_among_equals() {
    let mut sampler = Sampler::new(SamplerConfig { temperature: 0.0, ..plain() }).unwrap();
    assert_eq!(sampler.sample(&[0.0, 3.0, 3.0, 1.0], &[]).unwrap(), 1);
}

#[test]
fn ties_at_the_border_of_a_filter_keep_the_lowest_ids() {
    let expected = [(0, 0.5), (1, 0.5)];
    assert_distribution(SamplerConfig { top_k: 2, ..plain() }, &[1.0; 8], &[], &expected);
    assert_distribution(SamplerConfig { top_p: 0.25, ..plain() }, &[1.0; 8], &[], &expected);
}

#[test]
fn logits_that_are_no_numbers_are_an_error() {
    let mut sampler = Sampler::new(plain()).unwrap();
    for (logits, word) in [
        (vec![0.0, f32::NAN], "token 1 is NaN"),
        (vec![f32::INFINITY, 0.0], "token 0 is inf"),
        (vec![f32::NEG_INFINITY; 2], "none of the model's 2 logits"),
        (vec![], "none of the model's 0 logits"),
    ] {
        let error = sampler.sample(&logits, &[]).unwrap_err().to_string();
        assert!(error.contains(word), "{logits:?}: {error}");
    }
}

#[test]
fn the_same_seed_draws_the_same_tokens_as_often_as_their_probabilities_say() {
    let draw = |seed| {
        let mut sampler = Sampler::new(SamplerConfig { seed, ..plain() }).unwrap();
        (0..10_000).map(|_| sampler.sample(&four(), &[]).unwrap()).collect::<Vec<_>>()
    };
    let ids = draw(7);
    assert_eq!(ids, draw(7));
    assert_ne!(ids, draw(8));
    for (id, p) in [(1, 0.5), (3, 0.25), (0, 0.15), (2, 0.1)] {
        let share = ids.iter().filter(|&&i| i == id).count() as f64 / 10_000.0;
        // Four standard errors of a share of 10,000 draws.
        assert!((share - p).abs() < 4.0 * (p * (1.0 - p) / 10_000.0f64).sqrt(), "token {id}: {share}, not {p}");
    }
}

#[test]
fn changed_settings_keep_the_random_stream_unless_the_seed_changes() {
    let mut sampler = Sampler::new(plain()).unwrap();
    sampler.sample(&four(), &[]).unwrap();
    let counter = sampler.random.counter();
    sampler.set_config(SamplerConfig { top_k: 3, ..plain() }).unwrap();
    assert_eq!(sampler.random.counter(), counter);
    sampler.set_config(SamplerConfig { seed: 1, ..plain() }).unwrap();
    assert_eq!(sampler.random.counter(), 0);
    assert!(sampler.set_config(SamplerConfig { top_p: 2.0, ..plain() }).is_err());
    assert_eq!(sampler.config().top_p, 1.0);
}

#[test]
fn typical_keeps_what_is_nearest_to_the_expected_surprise() {
    // Of 0.5, 0.25, 0.15, 0.1 the entropy is 1.208 nats, and surprises are off it by 0.515, 0.178, 0.689, 1.095.
    for (typical_p, expected) in [
        (0.2, &[(3, 1.0)][..]),
        (0.7, &[(1, 2.0 / 3.0), (3, 1.0 / 3.0)]),
        (0.8, &[(1, 0.5 / 0.9), (3, 0.25 / 0.9), (0, 0.15 / 0.9)]),
    ] {
        assert_distribution(SamplerConfig { typical_p, ..plain() }, &four(), &[], expected);
    }
}

#[test]
fn top_n_sigma_keeps_what_is_few_deviations_below_the_best() {
    // Mean 1, standard deviation sqrt(2): one of them below the best is 1.59, two 0.17.
    let logits = [3.0, 2.0, 1.0, 0.0, -1.0];
    let z = |k: usize| (0..k).map(|i| (-(i as f64)).exp()).sum::<f64>();
    let first = |k: usize| (0..k).map(|i| (i as u32, (-(i as f64)).exp() / z(k))).collect::<Vec<_>>();
    for (top_n_sigma, k) in [(0.5, 1), (1.0, 2), (2.0, 3), (3.0, 5)] {
        assert_distribution(SamplerConfig { top_n_sigma, ..plain() }, &logits, &[], &first(k));
    }
}

#[test]
fn xtc_keeps_the_least_of_the_top_choices_as_often_as_it_is_told() {
    let xtc = |xtc_probability, xtc_threshold| SamplerConfig { xtc_probability, xtc_threshold, ..plain() };
    let all = [(1, 0.5), (3, 0.25), (0, 0.15), (2, 0.1)];
    assert_distribution(xtc(1.0, 0.2), &four(), &[], &[(3, 0.5), (0, 0.3), (2, 0.2)]);
    assert_distribution(xtc(1.0, 0.05), &four(), &[], &[(2, 1.0)]);
    assert_distribution(xtc(1.0, 0.3), &four(), &[], &all);
    assert_distribution(xtc(0.0, 0.2), &four(), &[], &all);
    let mut sampler = Sampler::new(xtc(0.25, 0.2)).unwrap();
    let n_left_out = (0..4000).filter(|_| sampler.probabilities(&four(), &[]).unwrap().len() == 3).count();
    // Four standard errors of a share of 4,000 trials.
    assert!((n_left_out as f64 / 4000.0 - 0.25).abs() < 4.0 * (0.25f64 * 0.75 / 4000.0).sqrt(), "{n_left_out}");
}

#[test]
fn presence_is_paid_once_and_frequency_for_each_time() {
    let config = SamplerConfig { presence_penalty: 0.5, frequency_penalty: 0.25, repetition_window: 4, ..plain() };
    // Token 2 lies outside the window, token 1 is there twice: 0.5 + 2 * 0.25.
    let weights = [(-0.75f64).exp(), (-1f64).exp(), 1.0];
    let z: f64 = weights.iter().sum();
    let expected = [(2, weights[2] / z), (0, weights[0] / z), (1, weights[1] / z)];
    assert_distribution(config, &[1.0; 3], &[2, 1, 0, 1, 9], &expected);
}

#[test]
fn dry_holds_back_what_would_go_on_with_a_passage() {
    let dry = SamplerConfig { dry_multiplier: 1.0, dry_base: 2.0, dry_allowed_length: 2, ..plain() };
    // "1 2 3" was followed by 4, and "2 3" alone by 5: three and two tokens are repeated.
    let history = [1, 2, 3, 4, 2, 3, 5, 1, 2, 3];
    let weights = [1.0, 1.0, 1.0, 1.0, (-2f64).exp(), (-1f64).exp()];
    let z: f64 = weights.iter().sum();
    let expected = [0, 1, 2, 3, 5, 4].map(|id| (id, weights[id as usize] / z));
    assert_distribution(dry.clone(), &[0.0; 6], &history, &expected);
    let even = [0, 1, 2, 3, 4, 5].map(|id| (id, 1.0 / 6.0));
    assert_distribution(SamplerConfig { dry_allowed_length: 4, ..dry.clone() }, &[0.0; 6], &history, &even);
    assert_distribution(SamplerConfig { dry_window: 2, ..dry }, &[0.0; 6], &history, &even);
}

#[test]
fn dry_sees_no_repetition_across_the_end_of_a_line() {
    let tokenizer = tokenizer();
    let id = |text: &str| tokenizer.encode(text).unwrap()[0];
    let config = SamplerConfig { dry_multiplier: 5.0, ..plain() };
    let logits = vec![0.0; tokenizer.vocab_size()];
    let is_even = |history: &[u32]| {
        let mut sampler = Sampler::new(config.clone()).unwrap();
        sampler.prepare(&tokenizer).unwrap();
        let p = sampler.probabilities(&logits, history).unwrap();
        (p[0].1 - p[p.len() - 1].1).abs() < 1e-9
    };
    let [x, y, z, q, line] = ["x", "y", "z", "q", "\n"].map(id);
    assert!(!is_even(&[x, y, z, q, x, y, z]));
    assert!(is_even(&[x, y, line, q, x, y, line]));
    assert!(is_even(&[line, y, z, q, y, line, z]));
}

#[test]
fn mirostat_moves_towards_its_target() {
    let mut sampler = Sampler::new(SamplerConfig { mirostat_tau: 1.0, mirostat_eta: 0.5, ..plain() }).unwrap();
    // At first two bits are allowed: a half and a quarter, which renormalised surprise by 0.585 and 1.585 bits.
    assert_eq!(sampler.probabilities(&four(), &[]).unwrap().iter().map(|p| p.0).collect::<Vec<_>>(), [1, 3]);
    let drawn = sampler.sample(&four(), &[]).unwrap();
    // Surprised by less than the target, it allows more, and the other way round.
    let expected: &[u32] = if drawn == 1 { &[1, 3] } else { &[1] };
    assert_eq!(sampler.probabilities(&four(), &[]).unwrap().iter().map(|p| p.0).collect::<Vec<_>>(), expected);
    sampler.start(&[]);
    assert_eq!(sampler.probabilities(&four(), &[]).unwrap().len(), 2, "a new text begins anew");
    let surprise = (0..2000).map(|_| {
        let p = sampler.probabilities(&[0.0; 64], &[]).unwrap().len() as f64;
        sampler.sample(&[0.0; 64], &[]).unwrap();
        p.log2()
    });
    assert!(surprise.sum::<f64>() > 0.0);
}

#[test]
fn the_order_of_samplers_is_the_order_of_work() {
    let config = SamplerConfig { temperature: 0.5, top_p: 0.7, ..plain() };
    let given = |order: &str| SamplerConfig { samplers: order.parse().unwrap(), ..config.clone() };
    // Cold first, the best alone holds 0.7; cold last, two tokens hold it, and then their ratio is squared.
    assert_distribution(given("temperature,top-p"), &four(), &[], &[(1, 1.0)]);
    assert_distribution(given("top-p,temperature"), &four(), &[], &[(1, 0.8), (3, 0.2)]);
    assert_distribution(given("none"), &four(), &[], &[(1, 0.5), (3, 0.25), (0, 0.15), (2, 0.1)]);
}

/// The ids that remain under `config`, after `history`.
fn left(config: SamplerConfig, tokenizer: &Tokenizer, history: &[u32]) -> Vec<u32> {
    let mut sampler = Sampler::new(config).unwrap();
    sampler.prepare(tokenizer).unwrap();
    let logits = vec![0.0; tokenizer.vocab_size()];
    sampler.probabilities(&logits, history).unwrap().iter().map(|p| p.0).collect()
}

#[test]
fn a_bad_word_is_not_completed_however_it_is_cut_into_tokens() {
    let tokenizer = tokenizer();
    let config = SamplerConfig { bad_words: vec!["cat".to_string()], ..plain() };
    let text = |id: u32| String::from_utf8_lossy(tokenizer.token_bytes(id)).into_owned();
    for (written, forbidden) in [("the c", "at"), ("the ca", "t"), ("", "cat")] {
        let history = tokenizer.encode(written).unwrap();
        for id in left(config.clone(), &tokenizer, &history) {
            assert!(!text(id).starts_with(forbidden), "{written:?} may go on with {:?}", text(id));
        }
    }
    let n_free = left(config, &tokenizer, &tokenizer.encode("the co").unwrap()).len();
    assert!(n_free >= tokenizer.vocab_size() - 3, "only {n_free} tokens are left where no word is begun");
}

#[test]
fn a_bad_word_never_forbids_the_end_of_a_text() {
    let tokenizer = tokenizer();
    let config = SamplerConfig { bad_words: vec!["end".to_string(), "|".to_string()], ..plain() };
    assert!(left(config, &tokenizer, &[]).contains(&tokenizer.end_of_text()));
}

#[test]
fn a_bias_is_added_and_minus_infinity_forbids() {
    let tokenizer = tokenizer();
    let x = tokenizer.encode("x").unwrap()[0];
    let text = BiasedToken::Text("x".to_string());
    let config = SamplerConfig { logit_bias: vec![(text.clone(), 2.0), (BiasedToken::Id(3), -1.0)], ..plain() };
    let mut sampler = Sampler::new(config).unwrap();
    let logits = vec![0.0; tokenizer.vocab_size()];
    assert!(sampler.sample(&logits, &[]).unwrap_err().to_string().contains("prepare"));
    sampler.prepare(&tokenizer).unwrap();
    let found = sampler.probabilities(&logits, &[]).unwrap();
    let z = (tokenizer.vocab_size() - 2) as f64 + 2f64.exp() + (-1f64).exp();
    assert!(found[0].0 == x && (found[0].1 - 2f64.exp() / z).abs() < 1e-6, "{:?}", found[0]);
    assert_eq!(found[found.len() - 1].0, 3);
    let forbidden = SamplerConfig { logit_bias: vec![(text, f32::NEG_INFINITY)], ..plain() };
    assert!(!left(forbidden, &tokenizer, &[]).contains(&x));
    for (token, bias, words) in [
        (BiasedToken::Text("xyz".to_string()), 1.0, "\"xyz\" is 3 in this vocabulary"),
        (BiasedToken::Id(70_000), 1.0, "the id 70000, but this vocabulary has"),
        (BiasedToken::Id(1), f32::NAN, "is NaN, but must be a number"),
    ] {
        let config = SamplerConfig { logit_bias: vec![(token, bias)], ..plain() };
        let error = Sampler::new(config).unwrap().prepare(&tokenizer).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_text_does_not_end_before_the_least_number_of_tokens() {
    let mut sampler = Sampler::new(SamplerConfig { min_tokens: 2, temperature: 0.0, ..plain() }).unwrap();
    for _ in 0..2 {
        sampler.start(&[1]);
        let ids = [0; 3].map(|_| sampler.sample(&four(), &[]).unwrap());
        assert_eq!(ids, [3, 3, 1], "1 is the best, and the end");
    }
}

#[test]
fn what_a_grammar_forbids_is_never_drawn_and_nothing_left_is_an_error() {
    let mut sampler = Sampler::new(SamplerConfig::greedy()).unwrap();
    assert_eq!(sampler.sample_allowed(&four(), &[], Some(&|id| id != 1)).unwrap(), 3);
    let error = sampler.sample_allowed(&four(), &[], Some(&|_| false)).unwrap_err().to_string();
    assert!(error.contains("no token is left"), "{error}");
}

/// A case of `tests/fixtures/samplers/llama_cpp.json`.
#[derive(serde::Deserialize)]
struct Case {
    samplers: String,
    settings: std::collections::BTreeMap<String, String>,
    logits: Vec<f32>,
    history: Vec<u32>,
    left: Vec<(u32, f64)>,
}

#[derive(serde::Deserialize)]
struct Draw {
    left: Vec<(u32, f64)>,
    drawn: u32,
}

#[derive(serde::Deserialize)]
struct Run {
    tau: f32,
    eta: f32,
    logits: Vec<f32>,
    draws: Vec<Draw>,
}

#[derive(serde::Deserialize)]
struct Fixtures {
    cases: Vec<Case>,
    mirostat: Vec<Run>,
}

fn fixtures() -> Fixtures {
    serde_json::from_str(include_str!("../../../tests/fixtures/samplers/llama_cpp.json")).unwrap()
}

/// The same ids with the same probabilities, to what f32 sums of another order leave.
#[track_caller]
fn assert_same(found: &[(u32, f64)], expected: &[(u32, f64)], what: &str) {
    let by_id = |list: &[(u32, f64)]| list.iter().copied().collect::<std::collections::BTreeMap<u32, f64>>();
    let (found, expected) = (by_id(found), by_id(expected));
    assert!(found.keys().eq(expected.keys()), "{what}: {:?} instead of {:?}", found.keys(), expected.keys());
    for (id, p) in &expected {
        assert!((found[id] - p).abs() < 1e-5, "{what}: token {id} has {} instead of {p}", found[id]);
    }
}

#[test]
fn every_sampler_leaves_what_llama_cpps_of_the_same_name_leaves() {
    let cases = fixtures().cases;
    assert!(cases.len() >= 50, "{} cases", cases.len());
    for Case { samplers, settings, logits, history, left } in cases {
        let mut config = SamplerConfig { samplers: samplers.parse().unwrap(), ..plain() };
        for (name, value) in &settings {
            Setting::named(name).unwrap().set(&mut config, value).unwrap();
        }
        let found = Sampler::new(config).unwrap().probabilities(&logits, &history).unwrap();
        assert_same(&found, &left, &format!("{samplers} with {settings:?} of {} logits", logits.len()));
    }
}

#[test]
fn mirostat_allows_what_llama_cpps_allows_after_the_same_draws() {
    for Run { tau, eta, logits, draws } in fixtures().mirostat {
        let config = SamplerConfig { mirostat_tau: tau, mirostat_eta: eta, ..plain() };
        let mut sampler = Sampler::new(config).unwrap();
        for (i, Draw { left, drawn }) in draws.into_iter().enumerate() {
            let found = sampler.probabilities(&logits, &[]).unwrap();
            assert_same(&found, &left, &format!("tau {tau}, draw {i}"));
            let probability = found.iter().find(|p| p.0 == drawn).expect("what was drawn is a candidate").1;
            sampler.mirostat.drawn(probability, tau, eta);
        }
    }
}

/// Any settings within their ranges.
fn any_config() -> impl Strategy<Value = SamplerConfig> {
    let temperature = prop_oneof![Just(0f32), Just(1e-40), 0.01f32..100.0];
    let share = || prop_oneof![Just(1.0f32), 1e-6f32..1.0];
    let filters = (temperature, 0usize..320, share(), 0f32..=1.0, share(), prop_oneof![Just(0f32), 0.001f32..4.0]);
    let xtc = (prop_oneof![Just(0f32), Just(1.0)], 0f32..=1.0);
    let penalties = (0.1f32..10.0, -100f32..100.0, -100f32..100.0, 0usize..100);
    let dry = (prop_oneof![Just(0f32), 0.1f32..100.0], 1f32..10.0, 1usize..4, 0usize..100);
    let mirostat = (prop_oneof![Just(0f32), 0.01f32..12.0], 0f32..=1.0);
    let order = Just(Stage::ALL[..9].to_vec()).prop_shuffle();
    (filters, xtc, penalties, dry, mirostat, order, any::<bool>(), any::<u64>()).prop_map(
        |(filters, xtc, penalties, dry, mirostat, order, usual, seed)| SamplerConfig {
            temperature: filters.0,
            top_k: filters.1,
            top_p: filters.2,
            min_p: filters.3,
            typical_p: filters.4,
            top_n_sigma: filters.5,
            xtc_probability: xtc.0,
            xtc_threshold: xtc.1,
            repetition_penalty: penalties.0,
            presence_penalty: penalties.1,
            frequency_penalty: penalties.2,
            repetition_window: penalties.3,
            dry_multiplier: dry.0,
            dry_base: dry.1,
            dry_allowed_length: dry.2,
            dry_window: dry.3,
            mirostat_tau: mirostat.0,
            mirostat_eta: mirostat.1,
            samplers: if usual { Order::Usual } else { Order::Given(order) },
            seed,
            ..plain()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_settings_in_any_order_leave_a_proper_distribution_and_draw_from_it(
        logits in prop::collection::vec(
            prop_oneof![-50f32..50.0, Just(f32::NEG_INFINITY), Just(0.0), Just(f32::MAX), Just(f32::MIN)], 1..200),
        config in any_config(),
        history in prop::collection::vec(prop_oneof![0u32..4, 0u32..300], 0..100),
    ) {
        prop_assume!(logits.iter().any(|l| l.is_finite()));
        let top_k = config.top_k;
        let filters = config.samplers != Order::Usual || config.mirostat_tau == 0.0;
        let mut sampler = Sampler::new(config).unwrap();
        let probabilities = sampler.probabilities(&logits, &history).unwrap();
        prop_assert!(!probabilities.is_empty());
        prop_assert!(top_k == 0 || !filters || probabilities.len() <= top_k);
        prop_assert!((probabilities.iter().map(|p| p.1).sum::<f64>() - 1.0).abs() < 1e-9);
        prop_assert!(probabilities.iter().all(|p| p.1 > 0.0));
        let id = sampler.sample(&logits, &history).unwrap();
        prop_assert!(probabilities.iter().any(|p| p.0 == id));
        prop_assert!(logits[id as usize] > f32::NEG_INFINITY);
        prop_assert!(sampler.counts.iter().all(|&count| count == 0), "scratch is left as it was found");
    }
}
