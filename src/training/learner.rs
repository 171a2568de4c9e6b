//! What a run learns: all weights of the network, or adapters beside frozen ones. The loop need not know which.
//!
//! What is learned is one flat block of numbers with two moments for each. Adapters are merged into the network's weights
//! whenever they change, so these are always the model's.

use super::lora::{self, Lora, initial_adapters};
use super::network::Network;
use super::optimizer::Optimizer;
use super::settings::Settings;
use crate::checkpoint::ModelDir;
use crate::kernels::Cpu;
use crate::kernels::gemm::Precision;
use crate::model::{Config, Layout};
use anyhow::Result;
use std::borrow::Cow;

/// What is learned, and what updates it.
pub enum Learner {
    /// All weights, which lie in the network.
    Weights(Box<Optimizer>),
    /// Adapters.
    Adapters(Box<Lora>),
}

impl Learner {
    /// Numbers that are learned in a run with `settings` of a model of shape `config`.
    pub fn n_learned(config: &Config, settings: &Settings) -> usize {
        settings.lora.map_or(config.n_params(), |lora| lora.layout(config).n_elements)
    }

    /// Bytes that it holds beside the network.
    pub fn bytes_for(config: &Config, settings: &Settings) -> usize {
        settings.lora.map_or(8 * config.n_params(), |lora| lora::bytes_for(&lora, config))
    }

    /// Keeps in `dir` what of `weights` a run that goes on from them will not change. Returns the numbers to begin with.
    pub fn begin_with<'w>(
        dir: &ModelDir,
        config: &Config,
        settings: &Settings,
        weights: &'w [f32],
    ) -> Result<Cow<'w, [f32]>> {
        let Some(lora) = settings.lora else { return Ok(Cow::Borrowed(weights)) };
        dir.save_frozen(weights)?;
        Ok(Cow::Owned(initial_adapters(&lora.layout(config), settings.seed)))
    }

    /// That of the run in `dir`, with fresh moments; Muon's products are in `precision`.
    pub fn open(dir: &ModelDir, config: &Config, settings: &Settings, precision: Precision) -> Result<Learner> {
        let optimizer = settings.optimizer;
        Ok(match settings.lora {
            None => {
                let optimizer = Optimizer::new(optimizer, &Layout::new(config)).with_precision(precision);
                Learner::Weights(Box::new(optimizer))
            }
            Some(lora) => {
                lora.validate_for(config)?;
                let frozen = dir.load_frozen(config.n_params())?;
                Learner::Adapters(Box::new(Lora::new(lora, optimizer, config, frozen)))
            }
        })
    }

    /// The weights of a network in which `learned` is to be set.
    pub fn weights_before<'a>(&'a self, learned: &'a [f32]) -> &'a [f32] {
        match self {
            Learner::Weights(_) => learned,
            Learner::Adapters(lora) => lora.frozen(),
        }
    }

    /// What is learned, as it stands.
    pub fn learned<'a>(&'a self, network: &'a Network) -> &'a [f32] {
        match self {
            Learner::Weights(_) => &network.weights,
            Learner::Adapters(lora) => &lora.values,
        }
    }

    /// Makes `learned` what is learned.
    pub fn set(&mut self, cpu: &Cpu, network: &mut Network, learned: &[f32]) {
        match self {
            Learner::Weights(_) => network.weights.copy_from_slice(learned),
            Learner::Adapters(lora) => {
                lora.values.copy_from_slice(learned);
                lora.merge(cpu, &mut network.weights);
            }
        }
    }

    /// Exchanges what is learned and `other`.
    pub fn swap(&mut self, cpu: &Cpu, network: &mut Network, other: &mut [f32]) {
        match self {
            Learner::Weights(_) => network.weights.swap_with_slice(other),
            Learner::Adapters(lora) => {
                lora.values.swap_with_slice(other);
                lora.merge(cpu, &mut network.weights);
            }
        }
    }

    /// The two moments of what is learned.
    pub fn moments(&self) -> [&[f32]; 2] {
        match self {
            Learner::Weights(optimizer) => [&optimizer.moment1, &optimizer.moment2],
            Learner::Adapters(lora) => [&lora.moment1, &lora.moment2],
        }
    }

    /// Makes `moments` those of what is learned.
    pub fn set_moments(&mut self, moments: [&[f32]; 2]) {
        let own = match self {
            Learner::Weights(optimizer) => [&mut optimizer.moment1, &mut optimizer.moment2],
            Learner::Adapters(lora) => [&mut lora.moment1, &mut lora.moment2],
        };
        own.into_iter().zip(moments).for_each(|(own, moment)| own.copy_from_slice(moment));
    }

    /// The norm of the mean gradient of what is learned, where the network has the sum over `n_batches`.
    pub fn grad_norm(&mut self, cpu: &Cpu, network: &Network, n_batches: usize) -> f64 {
        match self {
            Learner::Weights(optimizer) => optimizer.grad_norm(cpu, &network.gradients, n_batches),
            Learner::Adapters(lora) => lora.grad_norm(cpu, &network.gradients, n_batches),
        }
    }

    /// Makes update number `step` (from 1) with rate `lr`, by gradients of which [`Learner::grad_norm`] gave the norm.
    pub fn step(&mut self, cpu: &Cpu, network: &mut Network, at: (u64, f64), norm: (f64, usize)) {
        let (weights, gradients, profile) = network.parts();
        match self {
            Learner::Weights(optimizer) => optimizer.step(cpu, (weights, gradients, profile), at, norm),
            Learner::Adapters(lora) => lora.step(cpu, (weights, profile), at, norm),
        }
    }

    /// Saves the model, and adapters beside it.
    pub fn save_model(&self, dir: &ModelDir, network: &Network) -> Result<()> {
        if let Learner::Adapters(lora) = self {
            dir.save_adapter(lora.layout(), &lora.values)?;
        }
        dir.save_weights(network.config(), &network.weights)
    }

    /// What was learned when [`Learner::save_model`] saved it.
    pub fn load_learned(&self, dir: &ModelDir, config: &Config) -> Result<Vec<f32>> {
        match self {
            Learner::Weights(_) => dir.load_weights(config),
            Learner::Adapters(lora) => dir.load_adapter(lora.layout()),
        }
    }
}
