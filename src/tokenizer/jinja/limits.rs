//! How much a template may do: instructions, output, depth, seconds and memory.
//!
//! Fuel bounds how many instructions run, but one instruction may join strings of any length, so time and memory are
//! watched too: the template runs in a thread of its own, and who waits for it gives up first. The thread ends at its next
//! output, call or turn of a loop, or with its fuel.

use anyhow::{Result, anyhow, bail};
use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// What a template may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Instructions; a turn of a dialogue takes some 100.
    fuel: u64,
    /// Bytes written, those that are caught in variables and written again counted again.
    n_out_bytes: usize,
    /// Bytes of plain text that the template's own text can come to, repeated for every instruction.
    n_raw_bytes: usize,
    time: Duration,
    /// Bytes that the process may grow by meanwhile, where the system tells.
    n_memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            fuel: 1_000_000,
            n_out_bytes: 8 << 20,
            n_raw_bytes: 256 << 20,
            time: Duration::from_secs(3),
            n_memory_bytes: 512 << 20,
        }
    }
}

/// How deep macros and loops may be called within each other.
const MAX_DEPTH: usize = 200;

/// Most numbers of a `range`.
const MAX_RANGE: i64 = 100_000;

/// Room for [`MAX_DEPTH`] calls.
const STACK_BYTES: usize = 16 << 20;

/// How often the clock and the memory are looked at.
const TICK: Duration = Duration::from_millis(5);

/// What the runner and the one who waits know of each other.
#[derive(Debug, Default)]
pub(super) struct Watch {
    given_up: AtomicBool,
    too_much: AtomicBool,
    n_written: AtomicUsize,
}

impl Watch {
    /// Why nothing more is allowed, if that is so.
    pub(super) fn reason(&self) -> Option<String> {
        let too_much = self.too_much.load(Ordering::Relaxed);
        too_much.then(|| "it writes more than the limit allows".to_owned())
    }

    fn check(&self) -> Result<(), Error> {
        match self.given_up.load(Ordering::Relaxed) {
            true => Err(Error::new(ErrorKind::InvalidOperation, "it was given up")),
            false => Ok(()),
        }
    }

    fn count(&self, n_bytes: usize, limit: usize) -> Result<(), Error> {
        self.check()?;
        if self.n_written.fetch_add(n_bytes, Ordering::Relaxed).saturating_add(n_bytes) > limit {
            self.too_much.store(true, Ordering::Relaxed);
            let words = format!("it writes more than the {limit} bytes that are allowed");
            return Err(Error::new(ErrorKind::InvalidOperation, words));
        }
        Ok(())
    }
}

/// Sets the limits of `environment`, which is to run `source`.
pub(super) fn add(environment: &mut Environment<'static>, limits: Limits, source: &str, watch: &Arc<Watch>) {
    // A loop around a long text writes it once for every few instructions.
    let fuel = limits.fuel.min((limits.n_raw_bytes / longest_text(source).max(1)) as u64);
    environment.set_fuel(Some(fuel));
    environment.set_recursion_limit(MAX_DEPTH);
    let (counting, counted) = (Arc::clone(watch), limits.n_out_bytes);
    environment.set_formatter(move |out, state, value| {
        counting.count(0, counted)?;
        let Some(text) = shown(state, value) else { return Ok(()) };
        counting.count(text.len(), counted)?;
        Ok(out.write_str(&text)?)
    });
    let watch = Arc::clone(watch);
    environment.add_function("range", move |first: i64, second: Option<i64>, step: Option<i64>| {
        let (start, end) = second.map_or((0, first), |end| (first, end));
        range(start, end, step.unwrap_or(1), &watch)
    });
}

/// The most text that stands between two tags.
fn longest_text(source: &str) -> usize {
    let ends = ["%}", "}}", "#}"];
    let next = |text: &str| ["{%", "{{", "{#"].iter().filter_map(|tag| text.find(tag)).min().unwrap_or(text.len());
    let starts = ends.iter().flat_map(|end| source.match_indices(end)).map(|(at, _)| at + 2);
    starts.chain([0]).map(|start| next(&source[start..])).max().unwrap_or(0)
}

/// A value as Python prints it; nothing for one that is not defined.
fn shown(_state: &State, value: &Value) -> Option<String> {
    if value.is_undefined() {
        return None;
    }
    Some(match value.as_str() {
        Some(text) => text.to_owned(),
        None if value.is_none() => "None".to_owned(),
        None => match bool::try_from(value.clone()) {
            Ok(true) if value.kind() == minijinja::value::ValueKind::Bool => "True".to_owned(),
            Ok(false) if value.kind() == minijinja::value::ValueKind::Bool => "False".to_owned(),
            _ => value.to_string(),
        },
    })
}

fn range(start: i64, end: i64, step: i64, watch: &Arc<Watch>) -> Result<Value, Error> {
    let fail = |words: String| Err(Error::new(ErrorKind::InvalidOperation, words));
    if step == 0 {
        return fail("range() has a step of 0".to_owned());
    }
    let n = if step > 0 { end.saturating_sub(start) } else { start.saturating_sub(end) };
    let n = if n <= 0 { 0 } else { (n - 1) / step.saturating_abs() + 1 };
    if n > MAX_RANGE {
        return fail(format!("range() of {n} numbers, above the limit of {MAX_RANGE}"));
    }
    Ok(Value::from_object(Range { start, step, n: n as usize, watch: Arc::clone(watch) }))
}

/// Numbers at which a loop can be ended from outside.
#[derive(Debug)]
struct Range {
    start: i64,
    step: i64,
    n: usize,
    watch: Arc<Watch>,
}

impl Object for Range {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let i = key.as_usize().filter(|&i| i < self.n && self.watch.check().is_ok())?;
        Some(Value::from(self.start + self.step * i as i64))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let this = Arc::clone(self);
        let going = move |i: &usize| *i < this.n && this.watch.check().is_ok();
        let this = Arc::clone(self);
        let numbers = (0..).take_while(going).map(move |i| Value::from(this.start + this.step * i as i64));
        Enumerator::Iter(Box::new(numbers))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.n)
    }
}

/// Where a template writes to. What it writes itself, between its tags, is counted only here.
pub(super) struct Output {
    bytes: Vec<u8>,
    watch: Arc<Watch>,
    limit: usize,
}

impl Output {
    pub(super) fn new(limits: Limits, watch: &Arc<Watch>) -> Output {
        Output { bytes: Vec::new(), watch: Arc::clone(watch), limit: limits.n_out_bytes }
    }

    pub(super) fn text(self) -> Result<String> {
        String::from_utf8(self.bytes).map_err(|_| anyhow!("chat template: it writes no UTF-8"))
    }
}

impl io::Write for &mut Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit || self.watch.check().is_err() {
            self.watch.too_much.store(true, Ordering::Relaxed);
            return Err(io::Error::other(format!("it writes more than the {} bytes that are allowed", self.limit)));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `work` in a thread of its own, and gives it up where it takes too long or too much memory.
pub(super) fn run_watched(
    limits: Limits,
    work: impl FnOnce(Arc<Watch>) -> Result<String> + Send + 'static,
) -> Result<String> {
    let watch = Arc::new(Watch::default());
    let (done, result) = mpsc::channel();
    let (start, before, its_watch) = (Instant::now(), resident_bytes(), Arc::clone(&watch));
    let thread = std::thread::Builder::new().name("chat template".to_owned()).stack_size(STACK_BYTES);
    // An error of `send` means that nobody waits any more.
    thread.spawn(move || _ = done.send(work(its_watch)))?;
    loop {
        match result.recv_timeout(TICK) {
            Ok(result) => return result,
            Err(mpsc::RecvTimeoutError::Disconnected) => bail!("chat template: it could not be run to its end"),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        let grown = resident_bytes().saturating_sub(before);
        let reason = if start.elapsed() > limits.time {
            format!("it takes longer than {} s", limits.time.as_secs())
        } else if grown > limits.n_memory_bytes {
            format!("it takes more than {} MB of memory", limits.n_memory_bytes >> 20)
        } else {
            continue;
        };
        watch.given_up.store(true, Ordering::Relaxed);
        bail!("chat template: {reason}");
    }
}

/// Memory that the process holds, 0 where the system does not tell (Linux: the second number of `statm`, in pages).
fn resident_bytes() -> u64 {
    const PAGE: u64 = 4096;
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).map_or(0, |n| n * PAGE)
}
