//! A fixed pool of threads for short parallel loops.
//!
//! A training step is a few hundred parallel loops of 10 us to 10 ms each. The workers therefore wait by spinning for a
//! moment before they sleep, so that handing over the next loop costs about a microsecond.
//!
//! Each thread begins with a share of its own, the same stretch of the tasks in every loop: loops go over the rows of a
//! batch in the same order, so what a thread wrote in one loop it finds in its own cache in the next. A thread that is
//! done with its share takes from the ends of the others'. So which thread runs which task varies; tasks must not
//! depend on it, and in this crate they never do.
//!
//! Generating a token is some hundred steps of 1 to 50 us each. It is one call of [`Pool::together`]: all threads go
//! through it side by side, and wait for each other at the [`Member::barrier`]s between its steps, which cost a
//! fraction of a microsecond. Nothing is allocated, and no lock is taken, from one barrier to the next.

use std::any::Any;
use std::cell::UnsafeCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

/// Spins before a waiting thread sleeps: about 50 us, longer than the serial stretches between loops of a step.
const N_SPINS: u32 = 20_000;

/// A loop body that lives on the caller's stack for the duration of [`Pool::run`].
type Task<'a> = dyn Fn(usize) + Sync + 'a;

/// What is handed to the workers.
#[derive(Clone, Copy)]
struct Job {
    /// The body of a loop, or what each thread does with its own number.
    task: *const Task<'static>,
    /// Whether each thread calls the task once, instead of taking from the shares.
    is_side_by_side: bool,
}

struct Shared {
    /// Counts jobs handed out; a change wakes the workers.
    generation: AtomicU64,
    /// The job under way. Written by the caller before `generation` changes, while no worker is busy.
    job: UnsafeCell<Option<Job>>,
    barrier: Barrier,
    /// The tasks that are left, in one share for each thread.
    shares: Box<[Share]>,
    /// Workers that have not finished with the loop under way.
    n_busy: AtomicUsize,
    /// Workers that sleep or are about to: without any, nobody need be woken, which is a system call.
    n_asleep: AtomicUsize,
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

// SAFETY: the raw pointer in `job` is dereferenced only between the hand-over and the end of the same call, while the
// closure it points to is alive and is `Sync`. `job` itself is written by the one caller that holds `Pool::caller`,
// while `n_busy` is 0, and read by workers after they see the change of `generation` that follows.
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
            job: UnsafeCell::new(None),
            barrier: Barrier::new(n_threads.max(1)),
            shares: (0..n_threads.max(1)).map(|_| Share(AtomicU64::new(0))).collect(),
            n_busy: AtomicUsize::new(0),
            n_asleep: AtomicUsize::new(0),
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
        assert!(n_tasks <= u32::MAX as usize, "{n_tasks} tasks in one loop");
        self.hand_over(&task, false, |shared| {
            let n_shares = shared.shares.len();
            for (thread, share) in shared.shares.iter().enumerate() {
                share.set(thread * n_tasks / n_shares..(thread + 1) * n_tasks / n_shares);
            }
        });
    }

    /// Calls `body` once on each thread, all at the same time, and returns when all are done. A panic of one ends the
    /// others at their next barrier, and is raised again here. The threads are taken: `body` must not call the pool.
    pub fn together(&self, body: impl Fn(Member) + Sync) {
        let (barrier, n_threads) = (&self.shared.barrier, self.n_threads());
        let task = |thread| body(Member { thread, n_threads, barrier });
        if self.workers.is_empty() {
            return task(0);
        }
        self.hand_over(&task, true, |shared| shared.barrier.reset());
    }

    /// Has all threads do a job, which `prepare` sets up once it is this caller's turn.
    fn hand_over(&self, task: &Task, is_side_by_side: bool, prepare: impl FnOnce(&Shared)) {
        let _one_job_at_a_time = lock(&self.caller);
        let shared = &*self.shared;
        prepare(shared);
        let pointer = std::ptr::from_ref(task);
        // SAFETY: only the lifetime changes. Workers use the pointer until `n_busy` is 0, and this function does not
        // return (nor unwind: tasks run under `catch_unwind`) before that.
        let pointer = unsafe { std::mem::transmute::<*const Task<'_>, *const Task<'static>>(pointer) };
        let job = Job { task: pointer, is_side_by_side };
        // SAFETY: no worker is busy, so none reads it.
        unsafe { *shared.job.get() = Some(job) };
        shared.n_busy.store(self.workers.len(), Ordering::Relaxed);
        shared.announce();
        shared.work_on(task, is_side_by_side, 0);
        wait_until(|| shared.n_busy.load(Ordering::Acquire) == 0);
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
        self.shared.announce();
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
            // SAFETY: the caller wrote it before the change that this worker saw, and does not write again before this
            // worker has decremented `n_busy`.
            let job = unsafe { *self.job.get() }.expect("what was announced is a job");
            // SAFETY: the caller keeps the closure alive for as long.
            let task = unsafe { &*job.task };
            self.work_on(task, job.is_side_by_side, thread);
            self.n_busy.fetch_sub(1, Ordering::Release);
        }
    }

    /// Lets the workers see that there is something new.
    fn announce(&self) {
        // In one order with the worker that goes to sleep: it counts itself and then looks for a change, this makes the
        // change and then looks for sleepers. So one of them sees the other.
        self.generation.fetch_add(1, Ordering::SeqCst);
        if self.n_asleep.load(Ordering::SeqCst) > 0 {
            // Under the lock, which the worker holds from its look until it sleeps.
            let _guard = lock(&self.sleep);
            self.wake.notify_all();
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
        self.n_asleep.fetch_add(1, Ordering::SeqCst);
        loop {
            let now = self.generation.load(Ordering::SeqCst);
            if now != seen {
                self.n_asleep.fetch_sub(1, Ordering::SeqCst);
                return now;
            }
            guard = self.wake.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    fn work_on(&self, task: &Task, is_side_by_side: bool, thread: usize) {
        let outcome = catch_unwind(AssertUnwindSafe(|| match is_side_by_side {
            true => task(thread),
            false => self.take_tasks(task, thread),
        }));
        if let Err(panic) = outcome {
            self.shares.iter().for_each(|share| share.set(0..0));
            lock(&self.panic).get_or_insert(panic);
            // After the panic was kept, so that it is the first and not one that this causes.
            self.barrier.is_broken.store(true, Ordering::Release);
        }
    }

    fn take_tasks(&self, task: &Task, thread: usize) {
        for i in 0..self.shares.len() {
            let share = &self.shares[(thread + i) % self.shares.len()];
            while let Some(task_index) = share.take(i == 0) {
                task(task_index);
            }
        }
    }
}

/// One of the threads that are in [`Pool::together`].
#[derive(Clone, Copy)]
pub struct Member<'a> {
    /// Its number; 0 is the caller.
    pub thread: usize,
    /// How many there are.
    pub n_threads: usize,
    barrier: &'a Barrier,
}

impl Member<'_> {
    /// Waits until all threads are here. What each wrote before, all see after.
    pub fn barrier(&self) {
        self.barrier.wait(self.thread);
    }

    /// This thread's part of `n` things: the parts are next to each other and as equal as can be.
    pub fn part(&self, n: usize) -> Range<usize> {
        self.thread * n / self.n_threads..(self.thread + 1) * n / self.n_threads
    }
}

/// Where threads wait for each other. Each writes a cache line of its own and watches those of the others, so that of
/// two threads neither waits for more than one line to come over.
struct Barrier {
    arrivals: Box<[Arrivals]>,
    is_broken: AtomicBool,
}

/// How often a thread has arrived.
#[derive(Default)]
#[repr(align(128))]
struct Arrivals(AtomicUsize);

impl Barrier {
    fn new(n_threads: usize) -> Barrier {
        Barrier { arrivals: (0..n_threads).map(|_| Arrivals::default()).collect(), is_broken: AtomicBool::new(false) }
    }

    /// Before use, as a panic may have left threads in it.
    fn reset(&self) {
        self.arrivals.iter().for_each(|arrivals| arrivals.0.store(0, Ordering::Relaxed));
        self.is_broken.store(false, Ordering::Relaxed);
    }

    fn wait(&self, thread: usize) {
        let own = self.arrivals[thread].0.load(Ordering::Relaxed) + 1;
        self.arrivals[thread].0.store(own, Ordering::Release);
        for other in &self.arrivals {
            let has_arrived = || other.0.load(Ordering::Acquire) >= own;
            wait_until(|| has_arrived() || self.is_broken.load(Ordering::Relaxed));
            assert!(has_arrived(), "another thread failed before the barrier");
        }
    }
}

/// Spins for a moment, and after that lets others have the core again and again: with more threads than cores, one of
/// them may be waited for.
fn wait_until(is_done: impl Fn() -> bool) {
    let mut n_spins = 0u32;
    while !is_done() {
        n_spins += 1;
        if n_spins < N_SPINS / 4 { std::hint::spin_loop() } else { std::thread::yield_now() }
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

    #[test]
    fn a_loop_wakes_workers_that_have_gone_to_sleep() {
        let pool = Pool::new(3);
        for _ in 0..3 {
            until_all_sleep(&pool);
            let sum = AtomicUsize::new(0);
            pool.run(100, |i| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
            assert_eq!(sum.load(Ordering::Relaxed), 4950);
        }
    }

    /// Waits until all workers are asleep.
    fn until_all_sleep(pool: &Pool) {
        wait_until(|| pool.shared.n_asleep.load(Ordering::SeqCst) == pool.workers.len());
    }

    #[test]
    fn threads_that_go_side_by_side_see_at_a_barrier_what_the_others_wrote_before_it() {
        for n_threads in [1, 2, 5] {
            let pool = Pool::new(n_threads);
            let cells: Vec<AtomicUsize> = (0..n_threads).map(|_| AtomicUsize::new(0)).collect();
            for _ in 0..3 {
                pool.together(|member| {
                    for step in 1..50 {
                        cells[member.thread].store(step, Ordering::Relaxed);
                        member.barrier();
                        assert!(cells.iter().all(|cell| cell.load(Ordering::Relaxed) == step), "{n_threads} threads");
                        member.barrier();
                    }
                });
            }
        }
    }

    #[test]
    fn parts_cover_everything_once() {
        let pool = Pool::new(3);
        for n in [0, 1, 2, 3, 100] {
            let counts: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
            pool.together(|member| {
                for i in member.part(n) {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                }
            });
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{n}");
        }
    }

    #[test]
    fn a_panic_before_a_barrier_ends_all_threads_and_reaches_the_caller() {
        let pool = Pool::new(3);
        for failing in 0..3 {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                pool.together(|member| {
                    member.barrier();
                    assert_ne!(member.thread, failing, "as planned");
                    member.barrier();
                });
            }));
            let panic = *outcome.expect_err("one thread fails").downcast::<String>().unwrap();
            assert!(panic.contains("as planned"), "{panic}");
            let sum = AtomicUsize::new(0);
            pool.together(|member| {
                member.barrier();
                sum.fetch_add(member.thread, Ordering::Relaxed);
            });
            assert_eq!(sum.load(Ordering::Relaxed), 3);
        }
    }
}
