//! Models that say what a test wants: after each byte the one that a script has next, on every machine and at once.
//!
//! Each token's embedding is a direction of its own, the block adds nothing to it, and the head turns a direction into
//! the token that follows. So what comes next depends on the last token alone: a script must not use a byte twice.

use std::path::Path;

use siskin::checkpoint::{Manifest, ModelDir};
use siskin::data::Corpus;
use siskin::model::{Config, Layout, Preset};
use siskin::tokenizer::{MIN_VOCAB_SIZE, TrainOptions, train};

/// How sure the model is of its script, as logits: of the next byte, and of two others that it prefers to the rest.
const LOGITS: [f32; 3] = [9.0, 7.0, 6.0];

/// Writes a model to `folder` that answers everything by `script`, and ends there or, if it is `endless`, begins anew.
/// Its training text is `text`.
pub(crate) fn write(folder: &Path, script: &str, endless: bool, n_context: usize, text: Option<&Path>) {
    // Too small a vocabulary for any merge: every token is a byte.
    let tokenizer = train(["a".to_owned()].into_iter(), TrainOptions::new(MIN_VOCAB_SIZE)).unwrap();
    let id = |byte: u8| (0..tokenizer.vocab_size() as u32).find(|&id| tokenizer.token_bytes(id) == [byte]).unwrap();
    let config = Config {
        n_layer: 1,
        n_head: 1,
        n_kv_head: 1,
        n_embd: 320,
        head_dim: 32,
        n_ffn: 64,
        tied: false,
        ..Preset::Nano.config(tokenizer.vocab_size(), n_context)
    };
    // Every answer begins after the line end of its header.
    let mut way = vec![id(b'\n')];
    way.extend(script.bytes().map(id));
    way.push(if endless { way[1] } else { tokenizer.im_end().unwrap() });

    let layout = Layout::new(&config);
    let mut weights = vec![0.0; layout.n_elements];
    for tensor in layout.tensors.iter().filter(|tensor| !tensor.is_matrix()) {
        weights[tensor.range.clone()].fill(1.0);
    }
    let place = |row: u32, column: u32| row as usize * config.n_embd + column as usize;
    for id in 0..tokenizer.vocab_size() as u32 {
        weights[layout.embed.start + place(id, id)] = 1.0;
    }
    // What the last norm makes of a single 1.
    let length = (config.n_embd as f32).sqrt();
    for pair in way.windows(2) {
        let [from, to] = [pair[0], pair[1]];
        for (other, logit) in [to, id(b'x'), id(b'y')].into_iter().zip(LOGITS) {
            weights[layout.head.start + place(other, from)] += logit / length;
        }
    }
    let dir = ModelDir::create(folder).unwrap();
    dir.write_description(&config, &tokenizer).unwrap();
    dir.save_weights(&config, &weights).unwrap();
    let corpus = text.map(|path| {
        let corpus = Corpus::scan(&[path.to_path_buf()], &mut |_| {}).unwrap();
        serde_json::to_value(corpus.report()).unwrap()
    });
    let corpus = corpus.unwrap_or_default();
    dir.write_manifest(&Manifest { trained_on_messages: true, corpus, ..Manifest::default() }).unwrap();
}
