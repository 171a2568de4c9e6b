//! What is done with the bytes of a file that may come from anywhere: they are read, and everything that was read is
//! looked at. Shared by the fuzz targets and by `tests/hostile_files.rs`.

#![allow(dead_code)] // Each fuzz target uses one of these.

use anyhow::{Result, bail};
use siskin::checkpoint::GgufModel;
use siskin::formats::gguf::{Gguf, Value, Writer};
use siskin::formats::{blocks, llama2c, safetensors, token_shard};
use std::io::{Cursor, Write};

/// The hash that shards of the corpus carry.
pub(crate) const TOKENIZER_HASH: [u8; 32] = [7; 32];

/// Reads a GGUF file: every entry, every element of every array, the values of small tensors; then writes what was read
/// and asserts that it reads back the same.
pub(crate) fn gguf(bytes: &[u8]) -> Result<()> {
    let gguf = Gguf::parse(bytes)?;
    for (_, value) in gguf.metadata().iter() {
        assert!(value.to_string().len() < 1000, "a message shows a value, and it must stay short");
        whole(&value);
    }
    let mut last_end = 0;
    let mut by_place: Vec<_> = gguf.tensors().iter().collect();
    by_place.sort_by_key(|tensor| tensor.range.start);
    for tensor in by_place {
        assert!(tensor.range.start >= last_end && tensor.range.end <= bytes.len(), "{tensor:?} is not its own");
        assert_eq!(gguf.bytes(tensor).len(), tensor.kind.tensor_bytes(&tensor.shape)?);
        assert_eq!(gguf.tensor(&tensor.name), Some(tensor));
        last_end = tensor.range.end;
        let mut row = vec![0.0; tensor.row_len()];
        blocks::dequantize(tensor.kind, &gguf.bytes(tensor)[..tensor.kind.row_bytes(row.len())?], &mut row);
    }
    if gguf.tensors().iter().all(|tensor| tensor.name.len() < 64) {
        assert_copy_is_equal(&gguf);
    }
    Ok(())
}

/// The value and all elements of arrays as text, in which, unlike by `==`, a NaN equals itself.
fn whole(value: &Value) -> String {
    let Value::Array(array) = value else { return format!("{value:?}") };
    let elements: Vec<String> = array.iter().map(|element| whole(&element)).collect();
    assert_eq!(elements.len(), array.len());
    format!("{array:?} {elements:?}")
}

fn assert_copy_is_equal(gguf: &Gguf) {
    let mut writer = Writer::with_alignment(gguf.alignment()).expect("the reader accepts no other alignment");
    let entries = || gguf.metadata().iter().filter(|(key, _)| *key != "general.alignment");
    for (key, value) in entries() {
        writer.set_value(key, &value).expect("what can be read can be written");
    }
    for tensor in gguf.tensors() {
        writer.add_tensor(&tensor.name, &tensor.shape, tensor.kind).expect("what can be read can be written");
    }
    let mut body = writer.start(Vec::new()).expect("memory takes all");
    for tensor in gguf.tensors() {
        body.write(&tensor.name, gguf.bytes(tensor)).expect("tensors come in order");
    }
    let copied = body.finish().expect("all were written");
    let copy = Gguf::parse(&copied).expect("what was written can be read");
    assert_eq!(copy.tensors().len(), gguf.tensors().len());
    for (key, value) in entries() {
        assert_eq!(copy.metadata().get(key).as_ref().map(whole), Some(whole(&value)), "{key}");
    }
    for (one, other) in gguf.tensors().iter().zip(copy.tensors()) {
        assert_eq!((&one.name, &one.shape, one.kind), (&other.name, &other.shape, other.kind));
        assert!(gguf.bytes(one) == copy.bytes(other), "the bytes of {} differ", one.name);
    }
}

/// Reads a model with its tokenizer from a GGUF file, and writes some text with it.
pub(crate) fn gguf_model(bytes: &[u8]) -> Result<()> {
    let model = GgufModel::read(bytes)?;
    assert_eq!(model.weights.len(), model.config.n_params());
    let ids = model.text.tokenizer.encode("A text, 12 \u{1f426}.\n")?;
    assert!(ids.iter().all(|&id| (id as usize) < model.config.vocab_size), "{ids:?}");
    model.text.tokenizer.decode(&ids);
    Ok(())
}

/// Reads the weights of a llama2.c model, and else entries of a llama2.c tokenizer.
pub(crate) fn llama2c(bytes: &[u8]) -> Result<()> {
    match (llama2c::Model::parse(bytes), llama2c::parse_tokenizer(bytes, 3)) {
        (Ok(model), _) => {
            let last = model.n_layers - 1;
            assert_eq!(model.read(llama2c::Weights::W2, last).len(), model.dim * model.hidden_dim);
            Ok(())
        }
        (_, Ok(entries)) => {
            assert_eq!(entries.len(), 3);
            Ok(())
        }
        (Err(error), Err(other)) => bail!("{error:#}; {other:#}"),
    }
}

/// Reads every tensor of a safetensors file.
pub(crate) fn safetensors(bytes: &[u8]) -> Result<()> {
    let mut reader = safetensors::Reader::new(Cursor::new(bytes), bytes.len() as u64)?;
    for name in reader.names().to_vec() {
        let n: usize = reader.shape(&name).expect("a name of the file").iter().product();
        assert_eq!(reader.read(&name)?.len(), n, "{name}");
    }
    Ok(())
}

/// Maps a token shard and copies all its ids.
pub(crate) fn token_shard(bytes: &[u8]) -> Result<()> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(bytes)?;
    let shard = token_shard::Shard::open(file.path(), &TOKENIZER_HASH)?;
    shard.copy(0, &mut vec![0; shard.len()]);
    Ok(())
}
