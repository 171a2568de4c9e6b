//! `train.jsonl`: one line of JSON for each step and each evaluation, flushed as it is written.
//!
//! A killed run leaves lines after its last checkpoint, and perhaps half a line; resuming drops both, so that the file
//! always tells one story. Lines that stay are kept byte for byte. Knows nothing of how often anything is logged.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::checkpoint::write_atomic;
use crate::training::observer::{EvalRecord, StepRecord};

/// A `train.jsonl` open for appending.
#[derive(Debug)]
pub struct RunLog {
    path: PathBuf,
    file: BufWriter<File>,
}

/// What is written; `kind` tells a line's type to any reader of JSON lines.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line<'a> {
    Step(&'a StepRecord),
    Eval(&'a EvalRecord),
}

/// What is read; a later version's kinds are skipped.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum OwnedLine {
    Step(StepRecord),
    Eval(EvalRecord),
    #[serde(other)]
    Unknown,
}

/// Where a line of any kind stands.
#[derive(Deserialize)]
struct Position {
    kind: String,
    step: u64,
}

impl RunLog {
    /// Starts an empty log at `path`, replacing an older one.
    pub fn create(path: &Path) -> Result<RunLog> {
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        Ok(RunLog { path: path.into(), file: BufWriter::new(file) })
    }

    /// Continues the log at `path` after step `step` and the evaluation of step `evaluated_step`: later lines and torn
    /// ones are dropped first, in one atomic rewrite. A log that is missing is begun.
    pub fn open_at(path: &Path, step: u64, evaluated_step: u64) -> Result<RunLog> {
        match File::open(path) {
            Ok(old) => keep_until(path, BufReader::new(old), step, evaluated_step)
                .with_context(|| format!("rewriting {}", path.display()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("opening {}", path.display())),
        }
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        Ok(RunLog { path: path.into(), file: BufWriter::new(file) })
    }

    /// Appends a step; it has left this process when this returns.
    pub fn step(&mut self, record: &StepRecord) -> Result<()> {
        self.append(&Line::Step(record))
    }

    /// Appends an evaluation; it has left this process when this returns.
    pub fn eval(&mut self, record: &EvalRecord) -> Result<()> {
        self.append(&Line::Eval(record))
    }

    /// Drops the later lines as [`open_at`](RunLog::open_at) does, for a run that goes back to an earlier state.
    pub fn rewind(&mut self, step: u64, evaluated_step: u64) -> Result<()> {
        *self = RunLog::open_at(&self.path, step, evaluated_step)?;
        Ok(())
    }

    /// Returns when the disk has every line: called before a checkpoint that counts on them.
    pub fn sync(&self) -> Result<()> {
        self.file.get_ref().sync_data().with_context(|| format!("writing {}", self.path.display()))
    }

    fn append(&mut self, line: &Line<'_>) -> Result<()> {
        let write = |file: &mut BufWriter<File>| -> Result<()> {
            serde_json::to_writer(&mut *file, line)?;
            file.write_all(b"\n")?;
            Ok(file.flush()?)
        };
        write(&mut self.file).with_context(|| format!("appending to {}", self.path.display()))
    }
}

/// Replaces the file at `path` by those of its lines that are whole and not after `step`, or `evaluated_step` where they
/// tell of an evaluation: a run may have been killed between a checkpoint and the evaluation of the same step.
fn keep_until(path: &Path, mut old: impl BufRead, step: u64, evaluated_step: u64) -> Result<()> {
    write_atomic(path, |new| {
        let mut line = Vec::new();
        while old.read_until(b'\n', &mut line)? > 0 {
            let is_whole = line.ends_with(b"\n");
            let is_before = serde_json::from_slice::<Position>(&line)
                .is_ok_and(|at| at.step <= if at.kind == "eval" { evaluated_step } else { step });
            if is_whole && is_before {
                new.write_all(&line)?;
            }
            line.clear();
        }
        Ok(())
    })
}

/// Reads a log: its steps and its evaluations, in order. A torn last line is ignored; any other line that cannot be read
/// is an error that gives its number.
pub fn read(path: &Path) -> Result<(Vec<StepRecord>, Vec<EvalRecord>)> {
    let mut file = BufReader::new(File::open(path).with_context(|| format!("opening {}", path.display()))?);
    let (mut steps, mut evals) = (Vec::new(), Vec::new());
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if file.read_until(b'\n', &mut line).with_context(|| format!("reading {}", path.display()))? == 0 {
            break;
        }
        match serde_json::from_slice(&line) {
            Ok(OwnedLine::Step(record)) => steps.push(record),
            Ok(OwnedLine::Eval(record)) => evals.push(record),
            Ok(OwnedLine::Unknown) => {}
            Err(_) if is_last(&mut file)? => break,
            Err(error) => bail!("line {number} of {} is no log line: {error}", path.display()),
        }
    }
    Ok((steps, evals))
}

fn is_last(file: &mut impl BufRead) -> Result<bool> {
    Ok(file.fill_buf()?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64) -> StepRecord {
        StepRecord {
            step,
            n_tokens_seen: step * 100,
            loss: 2.0,
            bits_per_byte: 1.5,
            lr: 1e-3,
            grad_norm: 0.5,
            ms: 10.0,
            tokens_per_s: 1e4,
            fraction_done: 0.1,
            elapsed_s: 1.0,
        }
    }

    fn eval(step: u64) -> EvalRecord {
        EvalRecord {
            step,
            n_tokens_seen: step * 100,
            bits_per_byte: 1.6,
            loss: 2.1,
            is_best: true,
            is_average: false,
            elapsed_s: 1.0,
        }
    }

    /// A log of steps 1 to 4 with an evaluation after step 2.
    fn written(dir: &Path) -> PathBuf {
        let path = dir.join("train.jsonl");
        let mut log = RunLog::create(&path).unwrap();
        for number in 1..=4 {
            log.step(&step(number)).unwrap();
            if number == 2 {
                log.eval(&eval(2)).unwrap();
            }
        }
        path
    }

    #[test]
    fn what_is_logged_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let (steps, evals) = read(&written(dir.path())).unwrap();
        assert_eq!(steps, [step(1), step(2), step(3), step(4)]);
        assert_eq!(evals, [eval(2)]);
    }

    #[test]
    fn each_line_names_its_kind() {
        let dir = tempfile::tempdir().unwrap();
        let text = std::fs::read_to_string(written(dir.path())).unwrap();
        assert!(text.starts_with("{\"kind\":\"step\",\"step\":1,"), "{text}");
        assert!(text.contains("\n{\"kind\":\"eval\",\"step\":2,"), "{text}");
    }

    #[test]
    fn opening_at_a_step_drops_what_came_after_it_and_appends() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        RunLog::open_at(&path, 2, 2).unwrap().step(&StepRecord { loss: 9.0, ..step(3) }).unwrap();
        let (steps, evals) = read(&path).unwrap();
        assert_eq!(steps, [step(1), step(2), StepRecord { loss: 9.0, ..step(3) }]);
        assert_eq!(evals, [eval(2)]);
    }

    #[test]
    fn an_evaluation_that_will_be_made_again_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        RunLog::open_at(&path, 2, 1).unwrap();
        assert_eq!(read(&path).unwrap(), (vec![step(1), step(2)], vec![]));
    }

    #[test]
    fn a_torn_last_line_is_ignored_by_reading_and_dropped_by_resuming() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        let whole = std::fs::read_to_string(&path).unwrap();
        for torn in ["{\"kind\":\"step\",\"st", "\0\0\0\0", "{\"kind\":\"eval\",\"step\":2}", "{\"kind\":\"step\"\n"] {
            std::fs::write(&path, format!("{whole}{torn}")).unwrap();
            assert_eq!(read(&path).unwrap().0.len(), 4, "{torn:?}");
            RunLog::open_at(&path, 4, 2).unwrap().step(&step(5)).unwrap();
            assert_eq!(read(&path).unwrap().0.len(), 5, "{torn:?}");
        }
    }

    #[test]
    fn a_bad_line_in_the_middle_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        let text = std::fs::read_to_string(&path).unwrap().replacen("\"loss\"", "\"lost\"", 1);
        std::fs::write(&path, text).unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains("line 1 of") && message.contains("train.jsonl"), "{message}");
    }

    #[test]
    fn kinds_of_a_later_version_are_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train.jsonl");
        std::fs::write(&path, "{\"kind\":\"weather\",\"step\":1,\"sun\":true}\n").unwrap();
        assert_eq!(read(&path).unwrap(), (vec![], vec![]));
    }

    #[test]
    fn a_missing_log_is_begun_by_resuming_and_an_error_for_reading() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train.jsonl");
        assert!(read(&path).unwrap_err().to_string().contains("train.jsonl"));
        RunLog::open_at(&path, 7, 7).unwrap().step(&step(8)).unwrap();
        assert_eq!(read(&path).unwrap().0, [step(8)]);
    }
}
