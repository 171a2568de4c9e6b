//! Learning: the network's forward and backward passes, the optimizer and its schedule, the loop, and what it reports.
//!
//! Read in this order: [`network`] (the arithmetic), [`optimizer`], [`pace`], [`schedule`] and [`recipe`], [`trainer`] (the
//! loop), [`learner`] and [`lora`] (adapters instead of all weights), [`evaluate`] and [`baselines`] (how good it is), [`plan`] (what a corpus deserves),
//! [`probe`], [`forecast`] and [`planner`] (what the minutes deserve), then the reports.
//! [`overlap`] tells how much of what a finished model writes is copied.

mod activations;
pub mod baselines;
pub mod bench;
pub mod card;
pub mod evaluate;
pub mod forecast;
pub mod learner;
pub mod lora;
pub mod network;
pub mod observer;
pub mod optimizer;
pub mod overlap;
pub mod pace;
pub mod plan;
pub mod planner;
pub mod plot;
pub mod precision;
pub mod probe;
pub mod profile;
pub mod recipe;
pub mod run;
pub mod run_log;
pub mod schedule;
pub mod settings;
pub mod text;
pub mod trainer;
