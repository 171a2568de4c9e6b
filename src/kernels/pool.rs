//! A fixed pool of threads for short parallel loops.
//!
//! A training step is a few hundred parallel loops of 10 us to 10 ms each. The workers therefore wait by spinning for a
//! moment before they sleep, so that handing over the next loop costs about a microsecond.
//!
//! Each thread begins with a share of its own, the same stretch of the tasks in every loop: loops go over the rows of a
//! batch in the same order, so what a thread wrote in one loop it finds in its own cache in the next. A thread that is
//! done with its share takes from the ends of the others'. So which thread runs which task varies; tasks must not depend
//! on it, and in this crate they never do.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

/// Spins before a waiting thread sleeps: about 50 us, longer than the serial stretches between loops of a step.
const N_SPINS: u32 = 20_000;

/// A loop body that lives on the caller's stack for the duration of [`Pool::run`].
type Task<'a> = dyn Fn(usize) + Sync + 'a;

struct Shared {
    /// Counts loops handed out; a change wakes the workers.
    generation: AtomicU64,
    /// The body of the loop under way. Written by the caller before `generation` changes.
    task: Mutex<Option<*const Task<'static>>>,
    /// The tasks that are left, in one share for each thread.
    shares: Box<[Share]>,
    /// Workers that have not finished with the loop under way.
    n_busy: AtomicUsize,
    stop: AtomicBool,
    sleep: Mutex<()>,
    wake: Condvar,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// A stretch of tasks, from which the owner takes the first and others the last. On a cache line of its own.
#[repr(align(64))]
struct Share(AtomicU64);

impl Share {
    /// Both ends in one word, so that they change together.
    fn pack(next: u32, end: u32) -> u64 {
        (next as u64) << 32 | end as u64
    }

    fn set(&self, tasks: Range<usize>) {
        self.0.store(Share::pack(tasks.start as u32, tasks.end as u32), Ordering::Relaxed);
    }

    fn take(&self, first: bool) -> Option<usize> {
        let ends = |word: u64| ((word >> 32) as u32, word as u32);
        let shorter = |word: u64| match ends(word) {
            (next, end) if next >= end => None,
            (next, end) if first => Some(Share::pack(next + 1, end)),
            (next, end) => Some(Share::pack(next, end - 1)),
        };
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, shorter).ok()?;
        let (next, end) = ends(before);
        Some(if first { next } else { end - 1 } as usize)
    }
}

// SAFETY: the raw pointer in `task` is dereferenced only between the hand-over in `run` and the end of that same call,
// while the closure it points to is alive and is `Sync`.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// A pool of threads; dropped, it ends them.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Serialises callers: one loop at a time.
    caller: Mutex<()>,
}

impl Pool {
    /// A pool of `n_threads` threads, the calling one included: `n_threads - 1` are started. At least 1.
    pub fn new(n_threads: usize) -> Pool {
        let shared = Arc::new(Shared {
            generation: AtomicU64::new(0),
            task: Mutex::new(None),
            shares: (0..n_threads.max(1)).map(|_| Share(AtomicU64::new(0))).collect(),
            n_busy: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            panic: Mutex::new(None),
        });
        let workers = (1..n_threads)
            .map(|thread| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.work(thread))
            })
            .collect();
        Pool { shared, workers, caller: Mutex::new(()) }
    }

    /// Threads, the calling one included.
    pub fn n_threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task(i)` for each `i` in `0..n_tasks`, on all threads, and returns when all are done. A panic in a task
    /// is raised again here.
    pub fn run(&self, n_tasks: usize, task: impl Fn(usize) + Sync) {
        if self.workers.is_empty() || n_tasks <= 1 {
            (0..n_tasks).for_each(task);
            return;
        }
        let _one_loop_at_a_time = self.caller.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let shared = &*self.shared;
        let task: &Task = &task;
        let pointer = std::ptr::from_ref(task);
        // SAFETY: only the lifetime changes. Workers use the pointer until `n_busy` is 0, and this function does not
        // return (nor unwind: tasks run under `catch_unwind`) before that.
        let pointer = unsafe { std::mem::transmute::<*const Task<'_>, *const Task<'static>>(pointer) };
        *lock(&shared.task) = Some(pointer);
        assert!(n_tasks <= u32::MAX as usize, "{n_tasks} tasks in one loop");
        let n_shares = shared.shares.len();
        for (thread, share) in shared.shares.iter().enumerate() {
            share.set(thread * n_tasks / n_shares..(thread + 1) * n_tasks / n_shares);
        }
        shared.n_busy.store(self.workers.len(), Ordering::Relaxed);
        {
            // Under the lock, so that a worker about to sleep cannot miss the change.
            let _guard = lock(&shared.sleep);
            shared.generation.fetch_add(1, Ordering::Release);
        }
        shared.wake.notify_all();
        shared.take_tasks(task, 0);
        let mut n_spins = 0u32;
        while shared.n_busy.load(Ordering::Acquire) > 0 {
            n_spins += 1;
            if n_spins.is_multiple_of(N_SPINS) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        if let Some(panic) = lock(&shared.panic).take() {
            resume_unwind(panic);
        }
    }

    /// Splits `len` elements into pieces of `piece` and calls `task(piece index, range)` for each.
    pub fn for_pieces(&self, len: usize, piece: usize, task: impl Fn(usize, Range<usize>) + Sync) {
        self.run(len.div_ceil(piece), |i| task(i, i * piece..((i + 1) * piece).min(len)));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        {
            let _guard = lock(&self.shared.sleep);
            self.shared.generation.fetch_add(1, Ordering::Release);
        }
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its tasks, so joining cannot fail.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn work(&self, thread: usize) {
        let mut seen = 0;
        loop {
            seen = self.wait_for_change(seen);
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let pointer = lock(&self.task).expect("a loop was handed out with its body");
            // SAFETY: `run` keeps the closure alive until this worker has decremented `n_busy`.
            let task = unsafe { &*pointer };
            self.take_tasks(task, thread);
            self.n_busy.fetch_sub(1, Ordering::Release);
        }
    }

    fn wait_for_change(&self, seen: u64) -> u64 {
        for _ in 0..N_SPINS {
            let now = self.generation.load(Ordering::Acquire);
            if now != seen {
                return now;
            }
            std::hint::spin_loop();
        }
        let mut guard = lock(&self.sleep);
        loop {
            let now = self.generation.load(Ordering::Acquire);
            if now != seen {
                return now;
            }
            guard = self.wake.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    fn take_tasks(&self, task: &Task, thread: usize) {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            for i in 0..self.shares.len() {
                let share = &self.shares[(thread + i) % self.shares.len()];
                while let Some(task_index) = share.take(i == 0) {
                    task(task_index);
                }
            }
        }));
        if let Err(panic) = outcome {
            self.shares.iter().for_each(|share| share.set(0..0));
            lock(&self.panic).get_or_insert(panic);
        }
    }
}

/// A mutex here guards plain values that are valid at any time, so a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_task_runs_exactly_once() {
        for n_threads in [1, 2, 5] {
            let pool = Pool::new(n_threads);
            for n_tasks in [0, 1, 2, 7, 1000] {
                let counts: Vec<AtomicUsize> = (0..n_tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(n_tasks, |i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1), "{n_threads} threads, {n_tasks} tasks");
            }
        }
    }

    #[test]
    fn a_panic_in_a_task_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(3);
        let outcome = catch_unwind(AssertUnwindSafe(|| pool.run(100, |i| assert_ne!(i, 57))));
        assert!(outcome.is_err());
        let sum = AtomicUsize::new(0);
        pool.run(10, |i| {
            sum.fetch_add(i, Ordering::Relaxed);
        });
        assert_eq!(sum.load(Ordering::Relaxed), 45);
    }
}
