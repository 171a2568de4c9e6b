//! What a training run tells to whoever watches it: events in, nothing out.
//!
//! The trainer speaks only through [`Observer`]; whether the words end on a terminal, in a pipe or nowhere is not its
//! business. The records are also the lines of `train.jsonl` ([`crate::training::run_log`]).

use serde::{Deserialize, Deserializer, Serialize};

/// Something that happened in a run, in the order in which it happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// Training begins, or goes on after a resume.
    Started {
        /// Trainable weights of the model.
        n_params: usize,
        /// Tokens of the training side, each counted once.
        n_train_tokens: u64,
        /// Steps after which the run ends, where a number of steps was asked for.
        n_steps: Option<u64>,
        /// Minutes after which the run ends, where the clock decides.
        minutes: Option<f64>,
        /// Steps already done by an earlier part of this run; 0 at a fresh start.
        first_step: u64,
    },
    /// One optimizer step is done.
    Step(StepRecord),
    /// The held-out text was measured.
    Evaluated(EvalRecord),
    /// Text that the model wrote just now.
    Sample(&'a str),
    /// Something that the person must know, in plain words and whole sentences.
    Notice(&'a str),
    /// A checkpoint is on disk.
    Saved {
        /// Steps done at that point.
        step: u64,
    },
    /// The run has ended and everything is saved.
    Finished,
}

/// One optimizer step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Steps done, this one included.
    pub step: u64,
    /// Tokens predicted since the run began.
    pub n_tokens_seen: u64,
    /// Mean loss of the step's batch, in nats per token.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
    /// The same loss in bits per byte of the batch's text.
    #[serde(deserialize_with = "null_is_nan")]
    pub bits_per_byte: f64,
    /// Learning rate of the step.
    pub lr: f64,
    /// Norm of the whole gradient before clipping.
    #[serde(deserialize_with = "null_is_nan")]
    pub grad_norm: f64,
    /// Wall time of the step in milliseconds.
    pub ms: f64,
    /// Tokens trained on in a second of this step.
    pub tokens_per_s: f64,
    /// Share of the run that is done, from 0 to 1, by steps or by the clock.
    pub fraction_done: f64,
    /// Training time since the run began in seconds, parts before a resume included.
    pub elapsed_s: f64,
}

/// One measurement on the held-out text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalRecord {
    /// Steps done.
    pub step: u64,
    /// Tokens predicted since the run began.
    pub n_tokens_seen: u64,
    /// Held-out bits per byte.
    #[serde(deserialize_with = "null_is_nan")]
    pub bits_per_byte: f64,
    /// Mean held-out loss in nats per token.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
    /// Whether no earlier evaluation of this run was better.
    pub is_best: bool,
    /// Whether it was the average of the last weights that was judged, as better than the weights themselves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_average: bool,
    /// Training time since the run began in seconds, parts before a resume included.
    pub elapsed_s: f64,
}

/// Watches a run.
pub trait Observer {
    /// Called on the trainer's thread, between steps: it should return soon.
    fn event(&mut self, event: &Event<'_>);
}

/// Hears everything and says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _: &Event<'_>) {}
}

impl<F: FnMut(&Event<'_>)> Observer for F {
    fn event(&mut self, event: &Event<'_>) {
        self(event);
    }
}

/// JSON has no NaN: a loss that was not finite is written as null, and read back as NaN.
fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closure_can_watch_a_run() {
        let mut steps = Vec::new();
        let mut watch = |event: &Event<'_>| {
            if let Event::Saved { step } = event {
                steps.push(*step);
            }
        };
        let observer: &mut dyn Observer = &mut watch;
        observer.event(&Event::Saved { step: 3 });
        observer.event(&Event::Finished);
        assert_eq!(steps, [3]);
    }

    #[test]
    fn a_loss_that_is_not_finite_survives_json() {
        let record = EvalRecord {
            step: 1,
            n_tokens_seen: 2,
            bits_per_byte: f64::NAN,
            loss: f64::INFINITY,
            is_best: false,
            is_average: false,
            elapsed_s: 0.5,
        };
        let text = serde_json::to_string(&record).unwrap();
        let back: EvalRecord = serde_json::from_str(&text).unwrap();
        assert!(back.bits_per_byte.is_nan() && back.loss.is_nan() && back.step == 1, "{text}");
    }
}
