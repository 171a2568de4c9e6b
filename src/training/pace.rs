//! The pace of a run: which fraction of it is done after so many steps, and how many evaluations it has.
//!
//! The pace is a list of milestones. Each says at which step the run is expected to end, and until the next one the
//! fraction grows in a straight line from what it was towards 1 at that step: an end and not a rate, so that the line meets 1
//! after a whole number of steps whatever rounding does. Whatever follows the progress of a run (learning rate, phases of the
//! recipe, evaluations, the end) asks only for the fraction at a step, so milestones and seed decide the run. A run by
//! steps has one milestone. In a run by minutes the [`Pacer`] sets them from the times it is told; written down, they
//! make the same run again without a clock. This module reads no clock itself.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Steps that are timed before the first milestone, unless they take a tenth of the run.
const N_FIRST_STEPS: u64 = 3;
/// The clock is consulted again after this share of the run's steps. It costs nothing; but each milestone is kept.
const STRIDE: f64 = 0.02;
/// And after this share of the steps that are left, so that the end is met closely.
const STRIDE_OF_REST: f64 = 0.25;
/// And as soon as a stride has taken so many times as long as was expected.
const LATE: f64 = 1.5;
/// An end that would be missed by less than this share of the run's time is left as it is.
const TOLERANCE: f64 = 0.002;
/// The last steps from which the time of the next ones is estimated: at most so many, and this share of the run.
const MAX_RECENT: usize = 63;
const RECENT_SHARE: u64 = 32;
/// Share of the time for evaluations on the way; only beyond the second are there made fewer of them.
const EVALUATING: f64 = 0.05;
const EVALUATING_AT_MOST: f64 = 0.065;

/// From here the run goes on in a straight line.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Milestone {
    /// Steps made when it was set.
    pub step: u64,
    /// The fraction of the run that is done at `step`.
    pub fraction: f64,
    /// Steps after which the run is expected to be done.
    pub end: u64,
    /// Evaluations over a whole run at the spacing that holds from here.
    pub n_evaluations: u64,
}

impl Milestone {
    fn fraction(&self, step: u64) -> f64 {
        if step >= self.end {
            return 1.0;
        }
        let share = step.saturating_sub(self.step) as f64 / (self.end - self.step) as f64;
        self.fraction + (1.0 - self.fraction) * share
    }
}

/// The milestones that a run has passed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pace {
    /// In the order in which they were set; none as long as it is not known how many steps there will be.
    pub milestones: Vec<Milestone>,
}

impl Pace {
    /// The fraction of the run that is done after `step` steps, from 0 to 1. `step` is not before the last milestone.
    pub fn fraction(&self, step: u64) -> f64 {
        self.milestones.last().map_or(0.0, |milestone| milestone.fraction(step))
    }

    /// Takes over those of the `recorded` milestones that were set by `step`.
    pub fn follow(&mut self, recorded: &[Milestone], step: u64) {
        let next = recorded.iter().skip(self.milestones.len()).take_while(|milestone| milestone.step <= step);
        self.milestones.extend(next);
    }

    /// Whether it is time for an evaluation after `step` steps, where the last one was for the point `evaluated`.
    pub fn evaluation_is_due(&self, step: u64, evaluated: f64) -> bool {
        let Some(milestone) = self.milestones.last() else { return false };
        milestone.fraction(step) + ROUNDING >= evaluated + 1.0 / milestone.n_evaluations.max(1) as f64
    }

    /// The point of the run for which an evaluation after `step` steps counts: where steps are long, several can fall
    /// due at once, and one serves for all.
    pub fn evaluation_point(&self, step: u64) -> f64 {
        self.milestones.last().map_or(0.0, |milestone| {
            let n = milestone.n_evaluations.max(1) as f64;
            (milestone.fraction(step) * n + ROUNDING).floor() / n
        })
    }
}

/// More than sums of fractions lose in f64, less than any step.
const ROUNDING: f64 = 1e-9;

/// What the rest of a run costs apart from its steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// Seconds of an evaluation on the way.
    pub evaluation_s: f64,
    /// Seconds from the last step to the end of the run.
    pub ending_s: f64,
    /// Evaluations that the run is to have if they are cheap.
    pub max_evaluations: u64,
}

/// Sets the milestones of a run that is to last so many seconds.
#[derive(Debug, Clone)]
pub struct Pacer {
    budget_s: f64,
    recent: VecDeque<f64>,
    n_timed: u64,
    next_step: u64,
    next_s: f64,
}

impl Pacer {
    /// A pacer for a run of `budget_s` seconds. `step_s` is what steps took in an earlier sitting, if there was one.
    pub fn new(budget_s: f64, step_s: Option<f64>) -> Pacer {
        let recent = step_s.into_iter().collect();
        Pacer { budget_s, recent, n_timed: 0, next_step: 0, next_s: 0.0 }
    }

    /// A step took so many seconds.
    pub fn step_took(&mut self, seconds: f64) {
        self.n_timed += 1;
        // The first step of a sitting touches all memory for the first time, so it says little about the others.
        if self.n_timed == 2 || self.recent.len() == MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(seconds);
    }

    /// Seconds that a step takes at present; `None` before the first.
    pub fn step_s(&self, pace: &Pace) -> Option<f64> {
        let n_steps = pace.milestones.last().map_or(0, |milestone| milestone.end);
        let n = self.recent.len().min((n_steps / RECENT_SHARE).max(N_FIRST_STEPS) as usize);
        let mut times: Vec<f64> = self.recent.iter().rev().take(n).copied().collect();
        times.sort_by(f64::total_cmp);
        // The mean of the middle half: a program that woke up for a moment must not shorten the run.
        let middle = &times[n.div_ceil(4).min(n.saturating_sub(1) / 2)..];
        let middle = &middle[..middle.len() - (n - middle.len())];
        (n > 0).then(|| middle.iter().sum::<f64>() / middle.len() as f64)
    }

    /// Sets a milestone where one is needed, `elapsed_s` seconds into the run and after `step` steps.
    pub fn set(&mut self, pace: &mut Pace, step: u64, elapsed_s: f64, outlook: &Outlook) {
        let fraction = pace.fraction(step);
        let Some(step_s) = self.step_s(pace).filter(|_| fraction < 1.0 && self.is_time(pace, step, elapsed_s)) else {
            return;
        };
        let last = pace.milestones.last().copied();
        let n_evaluations = self.n_evaluations(last, outlook);
        let n_between = ((1.0 - fraction) * n_evaluations as f64 - ROUNDING).ceil() - 1.0;
        let left_s = self.budget_s - elapsed_s - outlook.ending_s - n_between.max(0.0) * outlook.evaluation_s;
        let n_left = (left_s / step_s.max(1e-9)).round().max(0.0) as u64;
        let end = step + n_left;
        let is_needed = last.is_none_or(|last| {
            let missed_s = end.abs_diff(last.end) as f64 * step_s;
            n_left == 0 || missed_s > TOLERANCE * self.budget_s || last.n_evaluations != n_evaluations
        });
        if is_needed {
            // As if the first steps had been made at the pace that is now known.
            let fraction = if last.is_none() { step as f64 / end.max(1) as f64 } else { fraction };
            pace.milestones.push(Milestone { step, fraction, end, n_evaluations });
        }
        let stride = (STRIDE * end as f64).min(STRIDE_OF_REST * n_left as f64).min(self.n_timed as f64).max(1.0);
        self.next_step = step + stride as u64;
        self.next_s = elapsed_s + LATE * stride * step_s;
    }

    fn is_time(&self, pace: &Pace, step: u64, elapsed_s: f64) -> bool {
        match pace.milestones.is_empty() {
            true => self.n_timed >= N_FIRST_STEPS || elapsed_s >= 0.1 * self.budget_s,
            false => step >= self.next_step || elapsed_s >= self.next_s,
        }
    }

    /// As many evaluations as the time for them allows; a number once chosen stays unless it is clearly wrong.
    fn n_evaluations(&self, last: Option<Milestone>, outlook: &Outlook) -> u64 {
        let affordable = (EVALUATING * self.budget_s / outlook.evaluation_s.max(1e-9)) as u64;
        let affordable = affordable.min(outlook.max_evaluations).max(1);
        let Some(Milestone { n_evaluations: n, .. }) = last else { return affordable };
        let is_too_many = n as f64 * outlook.evaluation_s > EVALUATING_AT_MOST * self.budget_s;
        if is_too_many || 2 * affordable >= 3 * n { affordable } else { n }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run on a clock made by hand: what was seen of it.
    struct Seen {
        elapsed_s: f64,
        n_steps: u64,
        n_evaluations: u64,
        pace: Pace,
        fractions: Vec<f64>,
    }

    fn outlook(evaluation_s: f64) -> Outlook {
        Outlook { evaluation_s, ending_s: 1.5 * evaluation_s, max_evaluations: 25 }
    }

    /// Runs `budget_s` seconds of steps that take `step_s(step, elapsed_s)`, as the trainer does.
    fn run(budget_s: f64, evaluation_s: f64, step_s: impl Fn(u64, f64) -> f64) -> Seen {
        let outlook = outlook(evaluation_s);
        let (mut pacer, mut evaluated) = (Pacer::new(budget_s, None), 0.0);
        let mut seen = Seen { elapsed_s: 0.0, n_steps: 0, n_evaluations: 0, pace: Pace::default(), fractions: vec![] };
        loop {
            if seen.pace.evaluation_is_due(seen.n_steps, evaluated) {
                evaluated = seen.pace.evaluation_point(seen.n_steps);
                seen.n_evaluations += 1;
                // The last one is part of the ending.
                seen.elapsed_s += if evaluated < 1.0 { evaluation_s } else { 0.0 };
            }
            pacer.set(&mut seen.pace, seen.n_steps, seen.elapsed_s, &outlook);
            seen.fractions.push(seen.pace.fraction(seen.n_steps));
            if seen.pace.fraction(seen.n_steps) >= 1.0 {
                break;
            }
            let took = step_s(seen.n_steps, seen.elapsed_s);
            seen.elapsed_s += took;
            seen.n_steps += 1;
            pacer.step_took(took);
        }
        seen.elapsed_s += outlook.ending_s;
        seen
    }

    fn jitter(step: u64) -> f64 {
        1.0 + 0.2 * ((step * 7919 % 101) as f64 / 101.0 - 0.5)
    }

    #[test]
    fn a_run_ends_within_a_twentieth_of_its_time_whatever_its_steps_cost() {
        let slower_midway = |s: f64| move |step, now| if now > 30.0 { 2.0 * s } else { s } * jitter(step);
        let cases: [(&str, Seen); 9] = [
            ("short steps", run(60.0, 0.1, |step, _| 0.01 * jitter(step))),
            ("a second each", run(60.0, 0.3, |step, _| jitter(step))),
            ("six seconds each", run(60.0, 0.3, |_, _| 6.0)),
            ("cost doubles", run(60.0, 0.2, slower_midway(0.05))),
            ("cost doubles, long steps", run(60.0, 0.2, slower_midway(1.0))),
            ("slow first step", run(60.0, 0.2, |step, _| if step == 0 { 2.0 } else { 0.1 })),
            ("one slow step", run(60.0, 0.2, |step, _| if step == 300 { 12.0 } else { 0.1 })),
            ("dear evaluations", run(60.0, 4.0, |step, _| 0.1 * jitter(step))),
            ("three hours", run(10_800.0, 5.0, |step, now| (0.5 + now / 10_800.0) * jitter(step))),
        ];
        for (name, seen) in cases {
            let budget_s = if name == "three hours" { 10_800.0 } else { 60.0 };
            let error = seen.elapsed_s / budget_s - 1.0;
            assert!(error.abs() <= 0.05, "{name}: {:.2} s of {budget_s}", seen.elapsed_s);
            assert!(seen.fractions.is_sorted(), "{name}: the run went back");
            assert!(seen.pace.milestones.len() < 120, "{name}: {} milestones", seen.pace.milestones.len());
            // The end is approached, not jumped to: the rate must have time to fall.
            let last = seen.fractions[seen.fractions.len() - 2];
            let n_steps = seen.n_steps as f64;
            assert!(1.0 - last <= 0.02 + 2.5 / n_steps, "{name}: from {last} to the end, {n_steps} steps");
        }
    }

    #[test]
    fn the_same_milestones_make_the_same_run_without_a_clock() {
        let seen = run(60.0, 0.2, |step, now| if now > 20.0 { 0.3 } else { 0.1 } * jitter(step));
        assert!(seen.pace.milestones.len() > 5);
        let text = serde_json::to_string(&seen.pace).unwrap();
        let recorded: Pace = serde_json::from_str(&text).unwrap();
        let (mut pace, mut evaluated, mut n_evaluations) = (Pace::default(), 0.0, 0);
        for step in 0..=seen.n_steps {
            if pace.evaluation_is_due(step, evaluated) {
                (evaluated, n_evaluations) = (pace.evaluation_point(step), n_evaluations + 1);
            }
            pace.follow(&recorded.milestones, step);
            assert_eq!(pace.fraction(step), seen.fractions[step as usize], "after {step} steps");
        }
        assert_eq!((pace, n_evaluations), (seen.pace, seen.n_evaluations));
    }

    #[test]
    fn evaluations_are_as_many_as_the_time_for_them_allows() {
        let n = |evaluation_s| run(60.0, evaluation_s, |_, _| 0.05).n_evaluations;
        assert_eq!(n(0.0), 25);
        assert_eq!(n(0.1), 25);
        assert_eq!(n(0.3), 10);
        assert_eq!(n(10.0), 1);
        // Steps so long that several evaluations fall due at once; after the first nothing was known yet.
        assert_eq!(run(60.0, 0.0, |_, _| 6.0).n_evaluations, 9);
    }

    #[test]
    fn one_slow_step_hardly_shortens_the_rest() {
        let steady = run(60.0, 0.0, |_, _| 0.1);
        let disturbed = run(60.0, 0.0, |step, _| if step == 200 { 6.0 } else { 0.1 });
        // Six seconds are sixty steps; the rest of the time goes on as before.
        assert!(steady.n_steps - disturbed.n_steps <= 63, "{} and {} steps", steady.n_steps, disturbed.n_steps);
        let most = disturbed.fractions[3..].windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        assert!(most < 1.5 / steady.n_steps as f64, "a step stood for {most} of the run");
    }

    #[test]
    fn a_sitting_later_the_time_already_spent_counts() {
        let mut pace = run(60.0, 0.0, |_, _| 0.1).pace;
        pace.milestones.retain(|milestone| milestone.step < 300);
        // 300 steps took 30 s, 25 s went by otherwise; 5 s are left for 50 steps.
        let fraction = pace.fraction(300);
        Pacer::new(60.0, Some(0.1)).set(&mut pace, 300, 55.0, &outlook(0.0));
        let milestone = pace.milestones.last().unwrap();
        assert_eq!((milestone.step, milestone.end, milestone.fraction), (300, 350, fraction));
    }

    #[test]
    fn a_run_by_steps_is_one_straight_line() {
        let pace = Pace { milestones: vec![Milestone { step: 0, fraction: 0.0, end: 40, n_evaluations: 4 }] };
        for step in 0..=41 {
            assert_eq!(pace.fraction(step), (step as f64 / 40.0).min(1.0));
        }
        let due: Vec<u64> = (0..40).filter(|step| pace.evaluation_is_due(*step, 0.25)).collect();
        assert_eq!((due[0], pace.evaluation_point(20), pace.evaluation_point(19)), (20, 0.5, 0.25));
    }
}
