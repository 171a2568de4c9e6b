//! Logits and greedy tokens of a model directory or GGUF file as JSON, for comparison with other programs
//! (`docs/interop.md`): `cargo run --release --example logits -- MODEL N ID...` prints a row of logits for each id and the N
//! ids that follow. The weights of a directory are used as they were trained, and keys and values in full.

use anyhow::{Context, Result};
use serde_json::json;
use siskin::checkpoint::{self, OpenOptions, Which};
use siskin::inference::CacheType;
use std::path::Path;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let name = args.next().context("the first argument is a model")?;
    let n_greedy: usize = args.next().context("the second is the number of greedy tokens")?.parse()?;
    let ids = args.map(|id| id.parse().context("ids are numbers")).collect::<Result<Vec<u32>>>()?;
    let options = OpenOptions { which: Which::Full, cache: CacheType::F32, ..OpenOptions::new(1) };
    let mut model = checkpoint::open(Some(&name), Path::new(checkpoint::RUNS), options)?.model;
    let mut rows = Vec::new();
    model.feed_each(&ids, &mut |logits| rows.push(logits.to_vec()));
    let mut logits = rows.last().context("at least one id is needed")?.clone();
    let mut greedy = Vec::new();
    for _ in 0..n_greedy {
        let best = (0..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best });
        greedy.push(best as u32);
        logits = model.feed(&[best as u32]).to_vec();
    }
    println!("{}", json!({"logits": rows, "greedy": greedy}));
    Ok(())
}
