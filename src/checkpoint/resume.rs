//! `resume/state.safetensors`: all that a run needs to go on as if it had never stopped.
//!
//! It is one file, because two files written one after the other can come from different steps when the process is
//! killed between them. Every f32 keeps its bits. What the progress says is the trainer's business. Weights that no step
//! changes (`resume/base.safetensors`, where only adapters learn) are written once, before the first state.

use super::atomic::{create_folder_of, write_atomic};
use crate::formats::safetensors::{self, Reader, TensorRef};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::io::{Read, Seek};
use std::path::Path;

/// The state of a run between two steps.
#[derive(Debug, Clone, PartialEq)]
pub struct ResumeState {
    /// What is learned, as the last step left it: the weights, or the adapters of a LoRA run.
    pub weights: Vec<f32>,
    /// AdamW's running mean of the gradient.
    pub moment1: Vec<f32>,
    /// AdamW's running mean of the squared gradient.
    pub moment2: Vec<f32>,
    /// The average of the last weights; empty before one is begun.
    pub average: Vec<f32>,
    /// Step, data position, schedule, random state: as JSON.
    pub progress: Value,
}

/// A [`ResumeState`] that lies in somebody else's memory, so that saving it copies nothing.
#[derive(Debug, Clone, Copy)]
pub struct ResumeRef<'a> {
    /// See [`ResumeState::weights`].
    pub weights: &'a [f32],
    /// See [`ResumeState::moment1`].
    pub moment1: &'a [f32],
    /// See [`ResumeState::moment2`].
    pub moment2: &'a [f32],
    /// See [`ResumeState::average`].
    pub average: &'a [f32],
    /// See [`ResumeState::progress`].
    pub progress: &'a Value,
}

#[cfg(test)]
impl ResumeState {
    /// The same state, borrowed.
    pub(super) fn borrowed(&self) -> ResumeRef<'_> {
        ResumeRef {
            weights: &self.weights,
            moment1: &self.moment1,
            moment2: &self.moment2,
            average: &self.average,
            progress: &self.progress,
        }
    }
}

/// Writes `state` to `path`, whole or not at all; creates the folder.
pub(super) fn save(path: &Path, state: ResumeRef) -> Result<()> {
    create_folder_of(path)?;
    let shape = [state.weights.len()];
    let parts = [
        ("weights", state.weights),
        ("moment1", state.moment1),
        ("moment2", state.moment2),
        ("average", state.average),
    ];
    let parts = parts.iter().filter(|(_, data)| !data.is_empty());
    let tensors: Vec<TensorRef> = parts.map(|(name, data)| TensorRef { name, shape: &shape, data }).collect();
    let progress = state.progress.to_string();
    write_atomic(path, |out| safetensors::write(out, &tensors, &[("progress", &progress)]))
}

/// Reads the state of a run that learns `n_learned` numbers from `path`.
pub(super) fn load(path: &Path, n_learned: usize) -> Result<ResumeState> {
    let mut reader = Reader::open(path)?;
    read(&mut reader, n_learned).with_context(|| format!("reading {}", path.display()))
}

fn read<R: Read + Seek>(reader: &mut Reader<R>, n_learned: usize) -> Result<ResumeState> {
    let progress = reader.metadata("progress").context("the file has no progress: it was not written by siskin")?;
    let progress = serde_json::from_str(progress).context("the progress is not JSON")?;
    Ok(ResumeState {
        weights: part(reader, "weights", n_learned)?,
        moment1: part(reader, "moment1", n_learned)?,
        moment2: part(reader, "moment2", n_learned)?,
        average: if reader.names().iter().any(|n| n == "average") {
            part(reader, "average", n_learned)?
        } else {
            vec![]
        },
        progress,
    })
}

/// Writes weights that no step changes to `path`, whole or not at all; creates the folder.
pub(super) fn save_frozen(path: &Path, weights: &[f32]) -> Result<()> {
    create_folder_of(path)?;
    let tensor = TensorRef { name: "weights", shape: &[weights.len()], data: weights };
    write_atomic(path, |out| safetensors::write(out, &[tensor], &[]))
}

/// Reads what [`save_frozen`] wrote, of a model with `n_params` weights.
pub(super) fn load_frozen(path: &Path, n_params: usize) -> Result<Vec<f32>> {
    let mut reader = Reader::open(path)?;
    part(&mut reader, "weights", n_params).with_context(|| format!("reading {}", path.display()))
}

fn part<R: Read + Seek>(reader: &mut Reader<R>, name: &str, n_wanted: usize) -> Result<Vec<f32>> {
    let shape = reader.shape(name).with_context(|| format!("the file has no {name}: it was not written by siskin"))?;
    ensure!(
        shape == [n_wanted],
        "{name} has the shape {shape:?}, but {n_wanted} weights are wanted: the state belongs to another model"
    );
    reader.read(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;

    fn state() -> ResumeState {
        ResumeState {
            weights: vec![1.0, f32::from_bits(0x7fc0_0001), -0.0],
            moment1: vec![f32::MIN_POSITIVE / 2.0, 2.0, 3.0],
            moment2: vec![4.0, 5.0, 6.0],
            average: vec![],
            progress: json!({"step": 12, "best_bits_per_byte": 0.1 + 0.2, "random": u64::MAX}),
        }
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn every_bit_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resume/state.safetensors");
        for average in [vec![], vec![0.5, -0.0, 7.0]] {
            let saved = ResumeState { average, ..state() };
            save(&path, saved.borrowed()).unwrap();
            let loaded = load(&path, 3).unwrap();
            assert_eq!(bits(&loaded.weights), bits(&saved.weights));
            assert_eq!((bits(&loaded.moment1), &loaded.moment2), (bits(&saved.moment1), &saved.moment2));
            assert_eq!(bits(&loaded.average), bits(&saved.average));
            assert_eq!(loaded.progress, saved.progress);
        }
    }

    #[test]
    fn the_same_state_gives_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        for path in &paths {
            save(path, state().borrowed()).unwrap();
        }
        assert_eq!(fs::read(&paths[0]).unwrap(), fs::read(&paths[1]).unwrap());
    }

    #[test]
    fn a_state_of_another_model_is_refused_with_both_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.safetensors");
        save(&path, state().borrowed()).unwrap();
        let message = format!("{:#}", load(&path, 4).unwrap_err());
        assert!(
            message.contains("[3]") && message.contains("4 weights") && message.contains("state.safetensors"),
            "{message}"
        );
        let model = [TensorRef { name: "weights", shape: &[3], data: &[1.0, 2.0, 3.0] }];
        write_atomic(&path, |out| safetensors::write(out, &model, &[])).unwrap();
        assert!(format!("{:#}", load(&path, 3).unwrap_err()).contains("no progress"));
    }
}
