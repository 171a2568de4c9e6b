//! Files that may come from anywhere give a value or an error, whatever their bytes: never a panic, never memory that the
//! file does not justify. The corpus of the fuzz targets is replayed, and valid GGUF files are damaged in thousands of
//! ways that know where a header has its counts, lengths, types and offsets.

#[path = "../fuzz/readers.rs"]
mod readers;

use siskin::checkpoint::Contents;
use siskin::formats::blocks::TensorType;
use siskin::formats::gguf::{Gguf, Writer};
use siskin::formats::safetensors::{self, TensorRef};
use siskin::formats::token_shard::ShardWriter;
use siskin::kernels::random::Random;
use siskin::model::{Config, Family, Mix, Preset};
use siskin::tokenizer::{TrainOptions, train};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

/// The system's allocator, counting each thread's bytes.
struct Counting;

thread_local! {
    static N_ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator unchanged.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        N_ALLOCATED.with(|n| n.set(n.get() + layout.size()));
        // SAFETY: passed on from the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: passed on from the caller.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Reader = fn(&[u8]) -> anyhow::Result<()>;

const READERS: [(&str, Reader); 5] = [
    ("gguf", readers::gguf),
    ("gguf_model", readers::gguf_model),
    ("llama2c", readers::llama2c),
    ("safetensors", readers::safetensors),
    ("token_shard", readers::token_shard),
];

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

/// A GGUF file with entries of many kinds and a tensor of each type; `random` chooses among them.
fn gguf_file(random: &mut Random, types: &[TensorType]) -> Vec<u8> {
    let mut writer = Writer::with_alignment([8, 16, 32, 64][random.below(4) as usize]).unwrap();
    writer.set("general.architecture", "qwen3").unwrap();
    writer.set("qwen3.block_count", &(random.below(40) as u32)).unwrap();
    writer.set("qwen3.rope.freq_base", &10_000f32).unwrap();
    let tokens: Vec<String> = (0..random.below(12)).map(|i| format!("token {i}")).collect();
    writer.set("tokenizer.ggml.tokens", &tokens).unwrap();
    writer.set("tokenizer.ggml.scores", &vec![-1.5f32; tokens.len()]).unwrap();
    writer.set("tokenizer.ggml.add_bos_token", &true).unwrap();
    writer.set("nested", &vec![vec![true, false], vec![]]).unwrap();
    writer.set("wide", &[u64::MAX, 1][..]).unwrap();
    writer.set("small", &-3i8).unwrap();
    for kind in types {
        let shape = [1 + random.below(3) as usize, kind.block_len() * (1 + random.below(2) as usize)];
        writer.add_tensor(&format!("blk.0.{kind}.weight"), &shape[random.below(2) as usize..], *kind).unwrap();
    }
    let mut expected = Vec::new();
    writer.add_tensor("output_norm.weight", &[5], TensorType::F32).unwrap();
    let mut body = writer.start(&mut expected).unwrap();
    for kind in types {
        // Parts are written until the tensor is full, whatever its shape.
        let name = format!("blk.0.{kind}.weight");
        while body.write(&name, &vec![random.next_u64() as u8; kind.block_bytes()]).is_ok() {}
    }
    body.write("output_norm.weight", &[0; 20]).unwrap();
    body.finish().unwrap();
    expected
}

/// A whole model of a family in a GGUF file, with a tokenizer of no more than the bytes.
fn model_file(family: Family, mix: Mix) -> Vec<u8> {
    let tokenizer = train(std::iter::once("ab ab".to_owned()), TrainOptions::new(264)).unwrap();
    let n_kv_head = if family == Family::Gpt2 { 2 } else { 1 };
    let nano = Preset::Nano.config(tokenizer.vocab_size(), 8);
    let config = Config { n_layer: 1, n_embd: 4, n_head: 2, n_kv_head, head_dim: 2, n_ffn: 4, family, ..nano };
    let weights = vec![0.5; config.n_params()];
    let contents = Contents {
        name: Some("seed"),
        config: &config,
        weights: &weights,
        tokenizer: &tokenizer,
        chat_template: None,
        begin_of_text: Some(0),
    };
    let mut bytes = Vec::new();
    contents.write(&mut bytes, mix, 1, &mut |_| ()).unwrap();
    bytes
}

/// llama2.c's model of one layer, with a head of its own where `vocab_size` is negative.
fn llama2c_model(vocab_size: i32) -> Vec<u8> {
    let n = 3 * 4 + 4 + 16 + 8 + 8 + 16 + 4 + 3 * 4 * 6 + 4 + 5 * 2 + if vocab_size < 0 { 12 } else { 0 };
    let header = [4, 6, 1, 2, 1, vocab_size, 5].map(i32::to_le_bytes).concat();
    header.into_iter().chain((0..n).flat_map(|i| (i as f32).to_le_bytes())).collect()
}

fn llama2c_tokenizer(entries: &[(&str, f32)]) -> Vec<u8> {
    let entry = |(text, score): &(&str, f32)| {
        [&score.to_le_bytes()[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
    };
    [4u32.to_le_bytes().to_vec(), entries.iter().flat_map(entry).collect()].concat()
}

/// Reader, file name and content of the seeds. Those that start with `bad` are damaged.
fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut random = Random::new(1, 0);
    let floats = gguf_file(&mut random, &[TensorType::F32, TensorType::F16, TensorType::BF16]);
    let blocks = gguf_file(&mut random, &TensorType::ALL[3..8]);
    let super_blocks = gguf_file(&mut random, &[TensorType::Q4_K, TensorType::Q6_K]);
    let mut version_2 = floats.clone();
    version_2[4] = 2;
    let mut count = floats.clone();
    count[8..16].fill(0xff);
    let empty = Writer::new().start(Vec::new()).unwrap().finish().unwrap();

    let mut tensors = Vec::new();
    let one = TensorRef { name: "w", shape: &[2, 2], data: &[1.0, -2.0, 0.5, 0.0] };
    let other = TensorRef { name: "n", shape: &[], data: &[3.0] };
    safetensors::write(&mut tensors, &[one, other], &[("k", "v")]).unwrap();

    let mut no_tensors = Vec::new();
    safetensors::write(&mut no_tensors, &[], &[]).unwrap();

    let shard = |vocab_size: usize, ids: &[u32]| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shard");
        let mut writer = ShardWriter::create(&path, vocab_size, &readers::TOKENIZER_HASH).unwrap();
        writer.push(ids, 9).unwrap();
        writer.finish().unwrap();
        fs::read(path).unwrap()
    };
    let wide = shard(70_000, &[65_999, 1]);
    let mut no_layers = model_file(Family::Llama, Mix::F32);
    no_layers.truncate(no_layers.len() - 64);
    vec![
        ("gguf_model", "bad-cut", no_layers),
        ("gguf_model", "gpt2", model_file(Family::Gpt2, Mix::BF16)),
        ("gguf_model", "llama", model_file(Family::Llama, Mix::F32)),
        ("gguf_model", "qwen3", model_file(Family::Qwen3, Mix::Q8_0)),
        ("llama2c", "bad-cut", llama2c_model(3)[..80].to_vec()),
        ("llama2c", "model", llama2c_model(3)),
        ("llama2c", "own-head", llama2c_model(-3)),
        ("llama2c", "tokenizer", llama2c_tokenizer(&[("<unk>", 0.0), (" a", -1.0), ("\u{e9}", -2.5)])),
        ("gguf", "bad-count", count),
        ("gguf", "bad-cut", blocks[..blocks.len() / 2].to_vec()),
        ("gguf", "empty", empty),
        ("gguf", "floats", floats),
        ("gguf", "blocks", blocks),
        ("gguf", "super-blocks", super_blocks),
        ("gguf", "version-2", version_2),
        ("safetensors", "bad-cut", tensors[..tensors.len() - 1].to_vec()),
        ("safetensors", "none", no_tensors),
        ("safetensors", "two", tensors),
        ("token_shard", "bad-cut", wide[..70].to_vec()),
        ("token_shard", "narrow", shard(300, &[1, 2, 299])),
        ("token_shard", "wide", wide),
    ]
}

#[test]
fn the_corpus_holds_what_the_writers_make() {
    for (reader, name, bytes) in seeds() {
        let path = corpus().join(reader).join(name);
        let found = fs::read(&path).unwrap_or_default();
        assert!(
            found == bytes,
            "{} is not what the writer makes: cargo test --test hostile_files -- --ignored the_seeds_are_written_anew",
            path.display()
        );
    }
}

#[test]
#[ignore = "writes into fuzz/corpus"]
fn the_seeds_are_written_anew() {
    for (reader, name, bytes) in seeds() {
        let path = corpus().join(reader).join(name);
        // A file that is right stays untouched, as another test may be reading it.
        if fs::read(&path).ok().as_ref() != Some(&bytes) {
            fs::create_dir_all(corpus().join(reader)).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}

#[test]
fn the_corpus_is_read_or_refused_but_never_breaks_a_reader() {
    for (name, read) in READERS {
        let mut n_files = 0;
        for file in fs::read_dir(corpus().join(name)).unwrap() {
            let path = file.unwrap().path();
            let result = read(&fs::read(&path).unwrap());
            let bad = path.file_name().unwrap().to_string_lossy().starts_with("bad");
            // What a fuzzer has added has a hash for a name and may be either.
            if bad || seeds().iter().any(|(reader, seed, _)| *reader == name && path.ends_with(seed)) {
                assert_eq!(result.is_err(), bad, "{}: {result:?}", path.display());
            }
            n_files += 1;
        }
        assert!(n_files >= 3, "the corpus of {name} has only {n_files} files");
    }
}

/// The numbers of a valid header and the spans of its entries and descriptions, found by a walk of its own.
#[derive(Default)]
struct Map {
    /// Offset and width in bytes.
    numbers: Vec<(usize, usize)>,
    entries: Vec<(usize, usize)>,
    tensors: Vec<(usize, usize)>,
    end: usize,
}

impl Map {
    fn of(bytes: &[u8]) -> Map {
        let mut map = Map { numbers: vec![(4, 4)], end: 8, ..Map::default() };
        let (n_tensors, n_entries) = (map.number(bytes, 8), map.number(bytes, 8));
        for _ in 0..n_entries {
            let start = map.end;
            map.text(bytes);
            let kind = map.number(bytes, 4);
            map.value(bytes, kind);
            map.entries.push((start, map.end));
        }
        for _ in 0..n_tensors {
            let start = map.end;
            map.text(bytes);
            for _ in 0..map.number(bytes, 4) {
                map.number(bytes, 8);
            }
            map.number(bytes, 4);
            map.number(bytes, 8);
            map.tensors.push((start, map.end));
        }
        map
    }

    fn number(&mut self, bytes: &[u8], width: usize) -> u64 {
        let mut eight = [0; 8];
        eight[..width].copy_from_slice(&bytes[self.end..self.end + width]);
        self.numbers.push((self.end, width));
        self.end += width;
        u64::from_le_bytes(eight)
    }

    fn text(&mut self, bytes: &[u8]) {
        self.end += self.number(bytes, 8) as usize;
    }

    fn value(&mut self, bytes: &[u8], kind: u64) {
        match kind {
            0 | 1 | 7 => self.end += 1,
            2 | 3 => self.end += 2,
            4..=6 => _ = self.number(bytes, 4),
            8 => self.text(bytes),
            9 => {
                let (kind, n) = (self.number(bytes, 4), self.number(bytes, 8));
                (0..n).for_each(|_| self.value(bytes, kind));
            }
            _ => _ = self.number(bytes, 8),
        }
    }
}

fn one_of<T: Copy>(random: &mut Random, all: &[T]) -> T {
    all[random.below(all.len() as u64) as usize]
}

/// A number that a careless reader would stumble over, given the one that stands there.
fn awkward(random: &mut Random, old: u64, n_bytes: u64) -> u64 {
    let near = one_of(
        random,
        &[0, 1, 2, 3, 4, 8, 9, 13, 30, 31, 32, 64, n_bytes, 1 << 31, 1 << 32, 1 << 61, 1 << 63, u64::MAX],
    );
    match random.below(5) {
        0 => old.wrapping_add(1),
        1 => old.wrapping_sub(1),
        2 => old.wrapping_add(near),
        3 => near.wrapping_sub(random.below(3)),
        _ => near,
    }
}

fn set_number(bytes: &mut [u8], (at, width): (usize, usize), value: u64) {
    bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
}

fn number(bytes: &[u8], (at, width): (usize, usize)) -> u64 {
    bytes[at..at + width].iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte))
}

/// Damages a valid file, or changes it into another valid one, in one way.
fn mutate(bytes: &mut Vec<u8>, map: &Map, random: &mut Random) {
    match random.below(10) {
        0..4 => {
            let field = one_of(random, &map.numbers);
            let value = awkward(random, number(bytes, field), bytes.len() as u64);
            set_number(bytes, field, value);
        }
        4 => {
            let (one, other) = (one_of(random, &map.numbers), one_of(random, &map.numbers));
            let value = number(bytes, other);
            set_number(bytes, one, value);
        }
        5 => {
            let at = random.below(map.end as u64) as usize;
            bytes[at] = random.next_u64() as u8;
        }
        6 => bytes.truncate(random.below(bytes.len() as u64) as usize),
        7 => {
            let at = random.below(map.end as u64) as usize;
            let n = 1 + random.below(40) as usize;
            bytes.splice(at..at, std::iter::repeat_n(random.next_u64() as u8, n));
        }
        8 => {
            // An entry or a description more (the same twice), with or without the count.
            let (spans, count_at) = one_of(random, &[(&map.entries, 16), (&map.tensors, 8)]);
            let (start, end) = one_of(random, spans);
            let again = bytes[start..end].to_vec();
            bytes.splice(end..end, again);
            if random.below(2) == 0 {
                set_number(bytes, (count_at, 8), spans.len() as u64 + 1);
            }
        }
        _ => {
            // One less, with or without the count.
            let (spans, count_at) = one_of(random, &[(&map.entries, 16), (&map.tensors, 8)]);
            let (start, end) = one_of(random, spans);
            bytes.drain(start..end);
            if random.below(2) == 0 {
                set_number(bytes, (count_at, 8), spans.len() as u64 - 1);
            }
        }
    }
}

#[test]
fn no_mutation_of_a_gguf_file_panics_or_asks_for_memory_that_the_file_does_not_justify() {
    let mut random = Random::new(12, 0);
    let (mut n_errors, n_cases) = (0, 8000);
    for case in 0..n_cases {
        let first = random.below(TensorType::ALL.len() as u64 - 1) as usize;
        let mut bytes = gguf_file(&mut random, &TensorType::ALL[first..][..2]);
        let map = Map::of(&bytes);
        mutate(&mut bytes, &map, &mut random);
        // A second one where the first has moved nothing, so that the map still holds.
        if case % 3 == 0 && bytes.len() > map.end {
            mutate(&mut bytes, &map, &mut random);
        }
        let before = N_ALLOCATED.get();
        _ = Gguf::parse(&bytes);
        let n_allocated = N_ALLOCATED.get() - before;
        assert!(
            n_allocated <= 20 * bytes.len() + 2000,
            "{n_allocated} bytes for a file of {}, case {case}",
            bytes.len()
        );
        n_errors += usize::from(readers::gguf(&bytes).is_err());
    }
    assert!((n_cases / 2..n_cases * 9 / 10).contains(&n_errors), "{n_errors} of {n_cases} mutations were noticed");
}

#[test]
fn no_mutation_of_a_model_in_a_gguf_file_panics_or_asks_for_memory_that_the_file_does_not_justify() {
    let mut random = Random::new(13, 0);
    let valid = [model_file(Family::Llama, Mix::F32), model_file(Family::Gpt2, Mix::F16)];
    let n_allocated = |bytes: &[u8]| {
        let before = N_ALLOCATED.get();
        let is_read = readers::gguf_model(bytes).is_ok();
        (N_ALLOCATED.get() - before, is_read)
    };
    // Compiling the pattern that splits text takes megabytes, whatever the file holds.
    let n_whole = valid.each_ref().map(|bytes| n_allocated(bytes).0).into_iter().max().expect("there are two");
    let (mut n_errors, n_cases) = (0, 1500);
    for case in 0..n_cases {
        let mut bytes = valid[case % 2].clone();
        let map = Map::of(&bytes);
        mutate(&mut bytes, &map, &mut random);
        let (n, is_read) = n_allocated(&bytes);
        n_errors += usize::from(!is_read);
        assert!(n <= n_whole + 200 * bytes.len(), "{n} bytes for a file of {}, case {case}", bytes.len());
    }
    assert!((n_cases / 2..n_cases).contains(&n_errors), "{n_errors} of {n_cases} mutations were noticed");
}
