//! A corpus to token shards, and the tokenizer trained for it, both in a cache that a second run opens at once.
//!
//! The cache holds a folder for each pair of corpus and tokenizer, and the trained tokenizers beside them:
//!
//! ```text
//! <cache>/<20 digits of the content hash>-<20 digits of the tokenizer's hash>/train.shard, valid.shard
//! <cache>/tokenizer-<version>-<20 digits of the content hash>-<vocabulary size>.json
//! ```
//!
//! Everything is written under a temporary name and renamed, so what has its final name is whole. The whole cache may be
//! deleted at any time. The stream of a side is, for every document, `<|endoftext|>` and then the document's ids.

use super::corpus::Corpus;
use super::document::{Body, Piece};
use super::report::CorpusReport;
use super::split::Side;
use crate::formats::token_shard::{Shard, ShardWriter};
use crate::tokenizer::{Tokenizer, TrainOptions, Trained};
use anyhow::{Context, Result, ensure};
use etcetera::BaseStrategy;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

/// Changes when the same text and tokenizer would give other shards.
const ENCODING_VERSION: u32 = 1;
/// Changes when the same text would give another tokenizer.
const TOKENIZER_VERSION: u32 = 1;
/// Text that is encoded at a time, over all threads: some 20 times as much memory is used meanwhile.
const BATCH_BYTES: u64 = 2 << 20;
/// Names of folders that are being written.
const UNFINISHED: &str = ".preparing-";
/// An unfinished folder of this age was left by a process that was killed.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The two sides of a corpus as ids.
pub struct Prepared {
    /// What the model learns from.
    pub train: Shard,
    /// What is held out.
    pub valid: Shard,
}

/// The folder of the cache: `$SISKIN_CACHE`, else `siskin` in the user's cache folder. It may not exist yet.
pub fn cache_dir() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("SISKIN_CACHE").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let base = etcetera::choose_base_strategy().context("finding your cache folder (set SISKIN_CACHE to name one)")?;
    Ok(base.cache_dir().join("siskin"))
}

/// Opens the shards of a corpus in the cache, or writes them there first.
///
/// `on_bytes` is told how many more bytes of text are encoded, [`n_bytes`](super::CorpusReport::n_bytes) in all, or
/// nothing when the cache has them. Cached shards that are damaged are written anew.
pub fn prepare(
    corpus: &Corpus,
    tokenizer: &Tokenizer,
    cache: &Path,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<Prepared> {
    if let Ok(prepared) = open_prepared(corpus.report(), tokenizer, cache) {
        return Ok(prepared);
    }
    let folder = cache.join(shard_folder(corpus.report(), tokenizer));
    create_cache(cache)?;
    let unfinished = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(cache)
        .with_context(|| format!("creating a folder in {}", cache.display()))?;
    write(corpus, tokenizer, unfinished.path(), on_bytes)?;
    publish(unfinished, &folder)?;
    open_prepared(corpus.report(), tokenizer, cache)
}

/// Opens the shards of a corpus of which only the report is at hand; fails where the cache no longer has them.
pub fn open_prepared(report: &CorpusReport, tokenizer: &Tokenizer, cache: &Path) -> Result<Prepared> {
    let folder = cache.join(shard_folder(report, tokenizer));
    let hash = tokenizer.hash();
    let train = Shard::open(&folder.join("train.shard"), &hash)?;
    let valid = Shard::open(&folder.join("valid.shard"), &hash)?;
    let (found, wanted) = ((train.n_text_bytes(), valid.n_text_bytes()), (report.n_train_bytes, report.n_valid_bytes));
    ensure!(found == wanted, "the shards in {} hold {found:?} bytes of text, the corpus {wanted:?}", folder.display());
    Ok(Prepared { train, valid })
}

fn shard_folder(report: &CorpusReport, tokenizer: &Tokenizer) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&ENCODING_VERSION.to_le_bytes()).update(&tokenizer.hash());
    format!("{}-{}", &report.content_hash[..report.content_hash.len().min(20)], &hasher.finalize().to_hex()[..20])
}

/// Creates the cache and removes what killed processes left in it.
fn create_cache(cache: &Path) -> Result<()> {
    fs::create_dir_all(cache).with_context(|| format!("creating the cache {}", cache.display()))?;
    let Ok(entries) = fs::read_dir(cache) else { return Ok(()) };
    for entry in entries.flatten() {
        let is_unfinished = entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes());
        let modified = entry.metadata().and_then(|m| m.modified()).unwrap_or_else(|_| SystemTime::now());
        if is_unfinished && modified.elapsed().is_ok_and(|age| age > ABANDONED_AFTER) {
            // Only tidying: whatever prevents it will prevent what matters, and be told then.
            let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
        }
    }
    Ok(())
}

/// Gives the finished folder its name. If another process was faster, its folder is as good and is replaced.
fn publish(unfinished: tempfile::TempDir, folder: &Path) -> Result<()> {
    let renamed = fs::rename(unfinished.path(), folder).or_else(|_| {
        fs::remove_dir_all(folder)?;
        fs::rename(unfinished.path(), folder)
    });
    // Lost a race twice: the other process' folder stands, and this one is deleted when it is dropped.
    if renamed.is_err() && folder.join("valid.shard").exists() {
        return Ok(());
    }
    renamed.with_context(|| format!("renaming the finished shards to {}", folder.display()))?;
    // Nothing lies under the temporary name any more.
    let _ = unfinished.keep();
    Ok(())
}

/// Encodes both sides into shards in `folder`.
fn write(corpus: &Corpus, tokenizer: &Tokenizer, folder: &Path, on_bytes: &mut dyn FnMut(u64)) -> Result<()> {
    let create = |name: &str| ShardWriter::create(&folder.join(name), tokenizer.vocab_size(), &tokenizer.hash());
    let mut shards = Shards { train: create("train.shard")?, valid: create("valid.shard")? };
    let mut pieces = corpus.pieces();
    loop {
        let batch = next_batch(&mut pieces)?;
        if batch.is_empty() {
            break;
        }
        let encoded = encode_batch(tokenizer, &batch)?;
        for (piece, ids) in batch.iter().zip(encoded) {
            let n_bytes = piece.body.n_text_bytes();
            shards.of(piece.side).push(&ids, n_bytes)?;
            on_bytes(n_bytes);
        }
    }
    shards.train.finish()?;
    shards.valid.finish()
}

struct Shards {
    train: ShardWriter,
    valid: ShardWriter,
}

impl Shards {
    fn of(&mut self, side: Side) -> &mut ShardWriter {
        match side {
            Side::Train => &mut self.train,
            Side::Valid => &mut self.valid,
        }
    }
}

fn next_batch(pieces: &mut impl Iterator<Item = Result<Piece>>) -> Result<Vec<Piece>> {
    let mut batch = Vec::new();
    let mut n_bytes = 0;
    while n_bytes < BATCH_BYTES
        && let Some(piece) = pieces.next()
    {
        let piece = piece?;
        n_bytes += piece.body.n_text_bytes();
        batch.push(piece);
    }
    Ok(batch)
}

/// Encodes pieces on all cores; the ids are in the pieces' order, whatever the number of threads.
fn encode_batch(tokenizer: &Tokenizer, batch: &[Piece]) -> Result<Vec<Vec<u32>>> {
    let n_threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(batch.len());
    let next = AtomicUsize::new(0);
    // Each thread takes the next piece when it is done with one: pieces differ in length.
    let work = || -> Result<Vec<(usize, Vec<u32>)>> {
        let mut done = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = batch.get(i) else { return Ok(done) };
            done.push((i, encode(tokenizer, piece)?));
        }
    };
    let mut ids = vec![Vec::new(); batch.len()];
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            let done = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            done?.into_iter().for_each(|(i, encoded)| ids[i] = encoded);
        }
        Ok(ids)
    })
}

/// The ids of one piece; a document's first begins with `<|endoftext|>`.
pub(super) fn encode(tokenizer: &Tokenizer, piece: &Piece) -> Result<Vec<u32>> {
    let mut ids = if piece.starts { vec![tokenizer.end_of_text()] } else { vec![] };
    match &piece.body {
        Body::Text(text) => ids.extend(tokenizer.encode(text)?),
        Body::Messages(messages) => ids.extend(tokenizer.render_chat(messages, false)?),
    }
    Ok(ids)
}

/// Opens the tokenizer of a corpus in the cache, or trains it, on the training side only.
///
/// `vocab_size` is the number of entries asked for. `on_bytes` is told how many more bytes of text the training has
/// taken in, or nothing when the cache has the tokenizer. What a person should know about a training (that it took a
/// sample, or found too little text) is added to `notices`. A cached tokenizer that does not load is trained anew.
pub fn tokenizer_for(
    corpus: &Corpus,
    vocab_size: usize,
    cache: &Path,
    notices: &mut Vec<String>,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<Tokenizer> {
    let content = &corpus.report().content_hash[..20];
    let path = cache.join(format!("tokenizer-v{TOKENIZER_VERSION}-{content}-{vocab_size}.json"));
    if let Ok(tokenizer) = Tokenizer::load(&path) {
        return Ok(tokenizer);
    }
    let texts = corpus.train_texts().inspect(|text| on_bytes(text.as_ref().map_or(0, |text| text.len() as u64)));
    let trained = Trained::from_texts(texts, TrainOptions::new(vocab_size)).context("training the tokenizer")?;
    notices.extend(trained.notices());
    create_cache(cache)?;
    let mut file = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempfile_in(cache)
        .with_context(|| format!("creating a file in {}", cache.display()))?;
    let json = trained.tokenizer.to_json()?;
    std::io::Write::write_all(&mut file, &json).with_context(|| format!("writing {}", path.display()))?;
    file.as_file().sync_all().with_context(|| format!("writing {}", path.display()))?;
    file.persist(&path).with_context(|| format!("writing {}", path.display()))?;
    Ok(trained.tokenizer)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        folder: tempfile::TempDir,
    }

    impl Bench {
        fn new(files: &[(&str, &str)]) -> Bench {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("text")).unwrap();
            for (name, text) in files {
                fs::write(folder.path().join("text").join(name), text).unwrap();
            }
            Bench { folder }
        }

        fn corpus(&self) -> Corpus {
            Corpus::scan(&[self.folder.path().join("text")], &mut |_| {}).unwrap()
        }

        fn cache(&self) -> PathBuf {
            self.folder.path().join("cache")
        }

        /// Prepares, and tells how many bytes of text were encoded.
        fn prepare(&self, corpus: &Corpus) -> (Prepared, u64) {
            let tokenizer = tokenizer_for(corpus, 300, &self.cache(), &mut vec![], &mut |_| {}).unwrap();
            let mut n_bytes = 0;
            let prepared = prepare(corpus, &tokenizer, &self.cache(), &mut |n| n_bytes += n).unwrap();
            (prepared, n_bytes)
        }

        fn decode(&self, corpus: &Corpus, shard: &Shard) -> String {
            let tokenizer = tokenizer_for(corpus, 300, &self.cache(), &mut vec![], &mut |_| {}).unwrap();
            let mut ids = vec![0; shard.len()];
            shard.copy(0, &mut ids);
            String::from_utf8(tokenizer.decode(&ids)).unwrap()
        }

        fn shards(&self) -> Vec<PathBuf> {
            let folders = fs::read_dir(self.cache()).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir());
            folders.flat_map(|f| [f.join("train.shard"), f.join("valid.shard")]).collect()
        }
    }

    fn lines(n: usize) -> String {
        (0..n).map(|i| format!("This is line number {i}.\n")).collect()
    }

    #[test]
    fn every_document_comes_back_after_an_end_of_text() {
        let chat = r#"{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"ho"}]}"#;
        let a = lines(30_000);
        let bench =
            Bench::new(&[("a.txt", &a), ("b.jsonl", chat), ("c.txt", &format!("{}<|endoftext|>\nend", lines(9)))]);
        let corpus = bench.corpus();
        let (prepared, n_bytes) = bench.prepare(&corpus);
        let train = bench.decode(&corpus, &prepared.train);
        let valid = bench.decode(&corpus, &prepared.valid);
        let all = format!("{train}{valid}");
        assert!(
            train.starts_with(&format!("<|endoftext|>{}", &a[..a.len() / 2])) && valid.starts_with("<|endoftext|>")
        );
        assert!(all.contains("<|endoftext|><|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nho<|im_end|>\n"));
        assert!(all.contains("<|endoftext|>end"));
        let report = corpus.report();
        assert_eq!(all.matches("<|endoftext|>").count() as u64, report.n_train_documents + report.n_valid_documents);
        assert_eq!(n_bytes, report.n_bytes);
        assert_eq!(
            (prepared.train.n_text_bytes(), prepared.valid.n_text_bytes()),
            (report.n_train_bytes, report.n_valid_bytes)
        );
    }

    #[test]
    fn a_second_preparation_opens_the_cache() {
        let bench = Bench::new(&[("a.txt", &lines(100))]);
        let corpus = bench.corpus();
        assert_eq!(bench.prepare(&corpus).1, corpus.report().n_bytes);
        // Were the text read again, the missing file would be an error.
        fs::remove_dir_all(bench.folder.path().join("text")).unwrap();
        assert_eq!(bench.prepare(&corpus).1, 0);
    }

    #[test]
    fn a_damaged_shard_is_written_anew() {
        let bench = Bench::new(&[("a.txt", &lines(100))]);
        let corpus = bench.corpus();
        bench.prepare(&corpus);
        for shard in bench.shards() {
            let good = fs::read(&shard).unwrap();
            for bad in [&good[..70], b"", &good[1..], &[&good[..56], &[9; 8], &good[64..]].concat()] {
                fs::write(&shard, bad).unwrap();
                assert_eq!(bench.prepare(&corpus).1, corpus.report().n_bytes);
                assert_eq!(fs::read(&shard).unwrap(), good);
            }
        }
    }

    #[test]
    fn another_corpus_or_tokenizer_has_shards_of_its_own() {
        let bench = Bench::new(&[("a.txt", &lines(100))]);
        let corpus = bench.corpus();
        bench.prepare(&corpus);
        fs::write(bench.folder.path().join("text/b.txt"), "more").unwrap();
        bench.prepare(&bench.corpus());
        let narrower = tokenizer_for(&corpus, 270, &bench.cache(), &mut vec![], &mut |_| {}).unwrap();
        fs::write(bench.folder.path().join("text/b.txt"), "").unwrap();
        prepare(&corpus, &narrower, &bench.cache(), &mut |_| {}).unwrap();
        assert_eq!(bench.shards().len(), 6);
    }

    #[test]
    fn a_preparation_that_fails_leaves_nothing_behind() {
        let bench = Bench::new(&[("a.txt", &lines(100))]);
        let corpus = bench.corpus();
        let tokenizer = tokenizer_for(&corpus, 300, &bench.cache(), &mut vec![], &mut |_| {}).unwrap();
        fs::write(bench.folder.path().join("text/a.txt"), lines(90)).unwrap();
        let error = prepare(&corpus, &tokenizer, &bench.cache(), &mut |_| {}).err().unwrap().to_string();
        assert!(error.contains("changed while"), "{error}");
        assert_eq!(bench.shards().len(), 0);
    }

    #[test]
    fn a_tokenizer_is_trained_on_the_training_side_and_cached() {
        let bench = Bench::new(&[("a.txt", &lines(100))]);
        let corpus = bench.corpus();
        let mut n_bytes = 0;
        let first = tokenizer_for(&corpus, 300, &bench.cache(), &mut vec![], &mut |n| n_bytes += n).unwrap();
        assert_eq!(n_bytes, corpus.report().n_train_bytes);
        fs::remove_dir_all(bench.folder.path().join("text")).unwrap();
        let second =
            tokenizer_for(&corpus, 300, &bench.cache(), &mut vec![], &mut |_| panic!("trained again")).unwrap();
        assert_eq!(first.hash(), second.hash());
        let error = tokenizer_for(&corpus, 301, &bench.cache(), &mut vec![], &mut |_| {}).err().unwrap();
        let error = format!("{error:#}");
        assert!(error.contains("a.txt"), "{error}");
    }
}
