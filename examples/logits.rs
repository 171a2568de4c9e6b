//! Logits and greedy tokens of a model directory as JSON, for comparison with other programs (`docs/interop.md`):
//! `cargo run --release --example logits -- DIR N ID...` prints a row of logits for each id and the N ids that follow.

use anyhow::{Context, Result};
use serde_json::json;
use siskin::checkpoint::ModelDir;
use siskin::inference::{Engine, LanguageModel};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let dir = ModelDir::open(args.next().context("the first argument is a model directory")?)?;
    let n_greedy: usize = args.next().context("the second is the number of greedy tokens")?.parse()?;
    let ids = args.map(|id| id.parse().context("ids are numbers")).collect::<Result<Vec<u32>>>()?;
    let config = dir.config()?;
    let mut engine = Engine::new(&config, &dir.load_weights(&config)?, config.block_size, 1)?;
    let mut rows = Vec::new();
    engine.feed_each(&ids, &mut |logits| rows.push(logits.to_vec()));
    let mut logits = rows.last().context("at least one id is needed")?.clone();
    let mut greedy = Vec::new();
    for _ in 0..n_greedy {
        let best = (0..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best });
        greedy.push(best as u32);
        logits = engine.feed(&[best as u32]).to_vec();
    }
    println!("{}", json!({"logits": rows, "greedy": greedy}));
    Ok(())
}
