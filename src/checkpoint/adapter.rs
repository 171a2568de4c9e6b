//! `adapter/`: what a LoRA run has learned, alone, as the Python library `peft` reads it beside the base model
//! (<https://huggingface.co/docs/peft/developer_guides/checkpoint>).
//!
//! Rows keep the order that `model.safetensors` has them in, so that base and adapter make the model beside them.

use super::atomic::{create_folder_of, write_atomic};
use super::model_dir::ModelDir;
use crate::formats::safetensors::{self, Reader, TensorRef};
use crate::model::{Adapter, AdapterLayout};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ops::Range;

pub(super) const FOLDER: &str = "adapter";
const CONFIG: &str = "adapter/adapter_config.json";
const VALUES: &str = "adapter/adapter_model.safetensors";

impl ModelDir {
    /// Writes what the adapter is: its rank, `alpha` (their quotient is the scale of B · A), and the model that it belongs
    /// to, by the name `base`.
    pub fn write_adapter_config(&self, layout: &AdapterLayout, alpha: f64, base: &str) -> Result<()> {
        create_folder_of(&self.path.join(CONFIG))?;
        let last = |adapter: &Adapter| adapter.module.rsplit('.').next().unwrap_or_default().to_owned();
        let modules: BTreeSet<String> = layout.adapters.iter().map(last).collect();
        // As a person types it: 16 and not 16.0.
        let alpha = if alpha.fract() == 0.0 { Value::from(alpha as u64) } else { Value::from(alpha) };
        let config = json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "r": layout.rank,
            "lora_alpha": alpha,
            "lora_dropout": 0.0,
            "target_modules": modules,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
        });
        self.write_json(CONFIG, &config)
    }

    /// Saves the flat block `values` of all adapters under `peft`'s names, whole or not at all.
    pub fn save_adapter(&self, layout: &AdapterLayout, values: &[f32]) -> Result<()> {
        assert_eq!(values.len(), layout.n_elements, "the values of adapters of rank {}", layout.rank);
        let path = self.path.join(VALUES);
        create_folder_of(&path)?;
        let factors: Vec<Factor> = layout.adapters.iter().flat_map(|adapter| factors(adapter, layout.rank)).collect();
        let tensors: Vec<TensorRef> = factors
            .iter()
            .map(|Factor { name, shape, range }| TensorRef { name, shape, data: &values[range.clone()] })
            .collect();
        write_atomic(&path, |out| safetensors::write(out, &tensors, &[]))
    }

    /// Loads all adapters into one flat block; every name and shape is checked before.
    pub fn load_adapter(&self, layout: &AdapterLayout) -> Result<Vec<f32>> {
        let path = self.path.join(VALUES);
        let mut reader = Reader::open(&path)?;
        let mut values = vec![0.0; layout.n_elements];
        let mut read = || -> Result<()> {
            for factor in layout.adapters.iter().flat_map(|adapter| factors(adapter, layout.rank)) {
                let shape = reader.shape(&factor.name).with_context(|| format!("it has no tensor {}", factor.name))?;
                ensure!(
                    shape == factor.shape,
                    "{} has the shape {shape:?}, but {:?} is wanted: the adapter belongs to another model",
                    factor.name,
                    factor.shape
                );
                reader.read_into(&factor.name, &mut values[factor.range])?;
            }
            Ok(())
        };
        read().with_context(|| format!("reading {}", path.display()))?;
        Ok(values)
    }
}

/// A or B of an adapter, as the file has it.
struct Factor {
    name: String,
    shape: [usize; 2],
    range: Range<usize>,
}

fn factors(adapter: &Adapter, rank: usize) -> [Factor; 2] {
    let name = |letter: char| format!("base_model.model.{}.lora_{letter}.weight", adapter.module);
    [
        Factor { name: name('A'), shape: [rank, adapter.n_in], range: adapter.a.clone() },
        Factor { name: name('B'), shape: [adapter.n_out, rank], range: adapter.b.clone() },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Preset;
    use std::fs;

    fn saved(rank: usize) -> (tempfile::TempDir, ModelDir, AdapterLayout, Vec<f32>) {
        let folder = tempfile::tempdir().unwrap();
        let dir = ModelDir::create(folder.path()).unwrap();
        let layout = AdapterLayout::new(&Preset::Nano.config(64, 16), rank);
        let values: Vec<f32> = (0..layout.n_elements).map(|i| i as f32 - 0.5).collect();
        dir.save_adapter(&layout, &values).unwrap();
        (folder, dir, layout, values)
    }

    #[test]
    fn an_adapter_comes_back_as_it_was_saved_under_the_names_that_peft_gives() {
        let (_folder, dir, layout, values) = saved(2);
        assert_eq!(dir.load_adapter(&layout).unwrap(), values);
        let reader = Reader::open(&dir.path.join(VALUES)).unwrap();
        let down = "base_model.model.model.layers.1.mlp.down_proj";
        let config = Preset::Nano.config(64, 16);
        assert_eq!(reader.shape(&format!("{down}.lora_A.weight")).unwrap(), [2, config.n_ffn]);
        assert_eq!(reader.shape(&format!("{down}.lora_B.weight")).unwrap(), [config.n_embd, 2]);
    }

    #[test]
    fn the_config_says_what_peft_asks_for() {
        let (_folder, dir, layout, _) = saved(4);
        for (alpha, written) in [(8.0, json!(8)), (2.5, json!(2.5))] {
            dir.write_adapter_config(&layout, alpha, "fables").unwrap();
            let config: Value = serde_json::from_slice(&fs::read(dir.path.join(CONFIG)).unwrap()).unwrap();
            assert_eq!((&config["r"], &config["lora_alpha"]), (&json!(4), &written));
            assert_eq!((&config["peft_type"], &config["task_type"]), (&json!("LORA"), &json!("CAUSAL_LM")));
            assert_eq!(config["base_model_name_or_path"], "fables");
            let modules = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"];
            assert_eq!(config["target_modules"], json!(modules));
        }
    }

    #[test]
    fn an_adapter_of_another_rank_is_refused_with_both_shapes() {
        let (_folder, dir, _, _) = saved(2);
        let other = AdapterLayout::new(&Preset::Nano.config(64, 16), 3);
        let message = format!("{:#}", dir.load_adapter(&other).unwrap_err());
        assert!(message.contains("[2, 128]") && message.contains("[3, 128]"), "{message}");
    }
}
