//! The threads that share a loop: whoever starts it works itself, and helpers, who wait a moment for the next loop before they sleep, join in.
//!
//! A training step is a hundred loops of some 10 µs with short pauses between them. To wake a sleeping thread takes longer than such a loop,
//! so a helper looks for work [`LOOKS`] times before it goes to sleep, and a loop begins before any helper has come. A general pool of threads
//! costs more here: a thread outside of it has to hand its work over and be woken again (22 µs with rayon on a virtual machine of two cores), and
//! its members sleep as soon as they find nothing (25 µs for each pause of 20 µs).
//!
//! There is one team and it shares one loop at a time. A loop that is started inside of another, or while another thread's is shared, runs on
//! its own thread alone.
//!
//! ```text
//! the starter    takes the lock · describes the loop · opens the gate · works · closes the gate · waits until nobody is inside · unlocks
//! a helper       sees that the gate was opened · enters, if it is open and there is room · works · leaves
//! ```

#![allow(unsafe_code)] // a loop lives on its starter's stack, and helpers call it there

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

/// How often a helper that has nothing to do looks for the next loop before it sleeps: some 200 µs, for a look takes 20 to 50 ns.
const LOOKS: usize = 5000;

/// Most threads that work together, and lanes that a loop is cut into.
const MOST: usize = 64;

/// Bits of [`Team::gate`] that say how many helpers are inside. The bits above say how many may be: none while it is closed.
const INSIDE_BITS: u32 = 16;

thread_local! {
    /// How many threads this one's loops may be shared by; 0 for as many as there are cores.
    static LIMIT: Cell<usize> = const { Cell::new(0) };
    /// Whether this thread works on a shared loop.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// How many threads share this thread's loops.
pub(crate) fn threads() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    match LIMIT.get() {
        0 => *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from).min(MOST)),
        limit => limit.min(MOST),
    }
}

/// Calls `f`, whose loops are shared by `threads` threads.
pub(crate) fn with_threads<R>(threads: usize, f: impl FnOnce() -> R) -> R {
    let _back = Restore { cell: &LIMIT, before: LIMIT.replace(threads.max(1)) };
    f()
}

/// Puts a thread's setting back, after a panic too.
struct Restore<T: Copy + 'static> {
    cell: &'static std::thread::LocalKey<Cell<T>>,
    before: T,
}

impl<T: Copy + 'static> Drop for Restore<T> {
    fn drop(&mut self) {
        self.cell.set(self.before);
    }
}

/// Calls `work` on this thread and, at the same time, on up to `threads() − 1` others, until all indices `0 … n − 1` are taken; each call
/// takes indices from its `Indices`. A panic in any of them comes out here when all have ended.
pub(crate) fn share(n: usize, work: impl Fn(Indices<'_>) + Sync) {
    let threads = threads().min(n);
    let guard = if threads < 2 || INSIDE.get() { None } else { Team::get().try_lock() };
    match guard {
        Some(mut helpers) => Team::get().share(&mut helpers, threads, n, &work),
        None => work(Indices { lanes: &[Lane::new(0, n)], first: 0 }),
    }
}

/// A part of the indices, and which of them is next.
#[repr(align(64))] // a cache line of its own
struct Lane {
    next: AtomicUsize,
    end: usize,
}

impl Lane {
    fn new(first: usize, end: usize) -> Self {
        Lane { next: AtomicUsize::new(first), end }
    }
}

/// The indices that one thread takes: first from its own part, which lies near what it had in its caches from the last loop, then from those
/// of threads that are late.
pub(crate) struct Indices<'a> {
    lanes: &'a [Lane],
    first: usize,
}

impl Iterator for Indices<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while let Some(lane) = self.lanes.get(self.first % self.lanes.len()) {
            let i = lane.next.fetch_add(1, Relaxed);
            if i < lane.end {
                return Some(i);
            }
            let others = self.lanes.iter().any(|lane| lane.next.load(Relaxed) < lane.end);
            if !others {
                return None;
            }
            self.first += 1;
        }
        None
    }
}

/// A loop that is being shared.
#[derive(Clone, Copy)]
struct Job {
    /// Calls the starter's `work` on the lanes, beginning with one.
    call: unsafe fn(*const (), *const [Lane], usize),
    work: *const (),
    lanes: *const [Lane],
}

struct Team {
    /// Held while a loop is shared; how many helpers there are.
    lock: Mutex<usize>,
    /// The loop. Written with the lock, while the gate is closed and nobody inside; read by who has entered.
    job: JobCell,
    /// How many helpers may be inside, and how many are: one number, so that nobody enters by the room of another loop.
    gate: AtomicUsize,
    /// Counts the loops, so that a helper sees a new one.
    count: AtomicUsize,
    /// How many helpers sleep.
    sleepers: AtomicUsize,
    bed: Mutex<()>,
    bell: Condvar,
    /// What a helper's panic said.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

struct JobCell(std::cell::UnsafeCell<Option<Job>>);
// SAFETY: written by the one thread that holds the lock while no helper is inside; read by helpers that are. The gate's atomics order the two.
unsafe impl Sync for JobCell {}
// SAFETY: as above.
unsafe impl Send for JobCell {}

/// Nothing of ours panics while it holds a lock, so what a poisoned one guards is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Team {
    fn get() -> &'static Team {
        static TEAM: Team = Team {
            lock: Mutex::new(0),
            job: JobCell(std::cell::UnsafeCell::new(None)),
            gate: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            sleepers: AtomicUsize::new(0),
            bed: Mutex::new(()),
            bell: Condvar::new(),
            panic: Mutex::new(None),
        };
        &TEAM
    }

    /// The right to share a loop, unless another thread has it.
    fn try_lock(&self) -> Option<MutexGuard<'_, usize>> {
        match self.lock.try_lock() {
            Ok(helpers) => Some(helpers),
            Err(TryLockError::Poisoned(helpers)) => Some(helpers.into_inner()), // a loop panicked, when all had ended
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn share<W: Fn(Indices<'_>) + Sync>(&'static self, helpers: &mut usize, threads: usize, n: usize, work: &W) {
        while *helpers + 1 < threads {
            let name = format!("nyang-{}", *helpers + 1);
            let lane = *helpers + 1;
            if std::thread::Builder::new().name(name).spawn(move || self.help(lane)).is_err() {
                break; // fewer threads, the same result
            }
            *helpers += 1;
        }
        // as many lanes as threads, whatever their number: who takes an index changes no bit
        let mut lanes = [const { Lane { next: AtomicUsize::new(0), end: 0 } }; MOST];
        for (i, lane) in lanes[..threads].iter_mut().enumerate() {
            *lane = Lane::new(n * i / threads, n * (i + 1) / threads);
        }
        /// # Safety
        /// Both pointers come from references that are still alive.
        unsafe fn call<W: Fn(Indices<'_>)>(work: *const (), lanes: *const [Lane], first: usize) {
            // SAFETY: `share` does not return, nor unwind, before the last helper has left; its `work` and `lanes` live as long.
            let (work, lanes) = unsafe { (&*work.cast::<W>(), &*lanes) };
            work(Indices { lanes, first });
        }
        let job = Job { call: call::<W>, work: std::ptr::from_ref(work).cast(), lanes: &raw const lanes[..threads] };
        // SAFETY: this thread has the lock, the gate is closed and nobody inside: `close` saw to that.
        unsafe { *self.job.0.get() = Some(job) };
        self.gate.store((threads - 1) << INSIDE_BITS, Release);
        self.count.fetch_add(1, SeqCst);
        if self.sleepers.load(SeqCst) > 0 {
            drop(lock(&self.bed)); // who counted itself, but does not listen yet, does then
            self.bell.notify_all();
        }
        let own = {
            let _back = Restore { cell: &INSIDE, before: INSIDE.replace(true) };
            catch_unwind(AssertUnwindSafe(|| work(Indices { lanes: &lanes[..threads], first: 0 })))
        };
        self.close();
        let other = lock(&self.panic).take();
        if let Some(payload) = own.err().or(other) {
            resume_unwind(payload);
        }
    }

    /// Lets no more helpers in, and waits until those inside have left.
    fn close(&self) {
        self.gate.fetch_and((1 << INSIDE_BITS) - 1, AcqRel);
        let mut looks = 0u32;
        while self.gate.load(Acquire) != 0 {
            looks += 1;
            // one that lost its core, to a loader's thread say, needs ours
            if looks < 2000 { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }

    /// A helper's life.
    fn help(&self, lane: usize) {
        INSIDE.set(true);
        let mut seen = 0;
        loop {
            seen = self.next_loop(seen);
            if !self.enter() {
                continue;
            }
            // SAFETY: it was written before the gate was opened, and nobody writes while somebody is inside.
            let job = unsafe { *self.job.0.get() };
            if let Some(job) = job {
                // SAFETY: its starter waits until this thread has left.
                let call = AssertUnwindSafe(|| unsafe { (job.call)(job.work, job.lanes, lane) });
                if let Err(payload) = catch_unwind(call) {
                    *lock(&self.panic) = Some(payload);
                }
            }
            self.gate.fetch_sub(1, Release);
        }
    }

    /// Waits until there was another loop than the one that was seen last; its number.
    fn next_loop(&self, seen: usize) -> usize {
        for _ in 0..LOOKS {
            let count = self.count.load(SeqCst);
            if count != seen {
                return count;
            }
            std::hint::spin_loop();
        }
        let mut bed = lock(&self.bed);
        self.sleepers.fetch_add(1, SeqCst);
        while self.count.load(SeqCst) == seen {
            bed = self.bell.wait(bed).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, SeqCst);
        self.count.load(SeqCst)
    }

    /// Goes inside, if the gate is open and there is room.
    fn enter(&self) -> bool {
        let is_room = |gate: usize| gate & ((1 << INSIDE_BITS) - 1) < gate >> INSIDE_BITS;
        self.gate.fetch_update(AcqRel, Acquire, |gate| is_room(gate).then_some(gate + 1)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::atomic::AtomicU32;
    use std::time::{Duration, Instant};

    fn visits(n: usize) -> Vec<u32> {
        let seen: Vec<AtomicU32> = (0..n).map(|_| AtomicU32::new(0)).collect();
        share(n, |indices| {
            indices.for_each(|i| {
                seen[i].fetch_add(1, Relaxed);
            })
        });
        seen.into_iter().map(AtomicU32::into_inner).collect()
    }

    #[test]
    fn every_index_is_taken_once_by_any_number_of_threads() {
        for threads in [1, 2, 3, 8, 100] {
            for n in [0, 1, 2, 7, 1000] {
                assert_eq!(with_threads(threads, || visits(n)), vec![1; n], "{n} indices, {threads} threads");
            }
        }
    }

    #[test]
    fn thousands_of_short_loops_from_several_threads_are_whole() {
        std::thread::scope(|scope| {
            for starter in 0..4 {
                scope.spawn(move || {
                    (0..2000).for_each(|i| assert_eq!(with_threads(1 + (starter + i) % 4, || visits(i % 37)), vec![1; i % 37]))
                });
            }
        });
    }

    /// Each index waits for the other to be taken. Other tests may have the team just now, hence several tries.
    #[test]
    fn the_work_is_shared_and_sleeping_helpers_are_woken() {
        let meet = || {
            let (taken, threads) = (AtomicU32::new(0), Mutex::new(HashSet::new()));
            let work = |indices: Indices<'_>| {
                indices.for_each(|_| {
                    lock(&threads).insert(std::thread::current().id());
                    taken.fetch_add(1, SeqCst);
                    let start = Instant::now();
                    while taken.load(SeqCst) < 2 && start.elapsed() < Duration::from_millis(200) {
                        std::thread::yield_now();
                    }
                });
            };
            with_threads(2, || share(2, work));
            lock(&threads).len() == 2
        };
        for pause in [0, 1, 5] {
            std::thread::sleep(Duration::from_millis(pause)); // they linger for less
            assert!((0..50).any(|_| meet()), "one thread took both, fifty times");
        }
    }

    /// Seven helpers stand ready; a loop for two threads lets in one, the loops for eight between them notwithstanding.
    #[test]
    fn no_more_threads_take_part_than_were_asked_for() {
        for i in 0..3000 {
            let threads = [8, 2, 3][i % 3];
            let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
            with_threads(threads, || {
                share(64, |indices| {
                    most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                    indices.for_each(|_| std::hint::spin_loop());
                    inside.fetch_sub(1, SeqCst);
                });
            });
            assert!(most.into_inner() as usize <= threads);
        }
    }

    #[test]
    fn a_loop_inside_a_loop_runs_on_one_thread() {
        with_threads(4, || {
            share(8, |indices| {
                for _ in indices {
                    let me = std::thread::current().id();
                    share(8, |inner| inner.for_each(|_| assert_eq!(std::thread::current().id(), me)));
                }
            });
        });
    }

    #[test]
    fn a_panic_comes_out_after_all_have_ended_and_the_team_goes_on() {
        for at in [0, 99] {
            let ended = catch_unwind(|| with_threads(2, || share(100, |indices| indices.for_each(|i| assert_ne!(i, at, "index {at}")))));
            let said = ended.unwrap_err();
            assert!(said.downcast_ref::<String>().is_some_and(|s| s.contains(&format!("index {at}"))));
            assert_eq!(with_threads(2, || visits(100)), vec![1; 100]);
        }
    }

    #[test]
    fn the_number_of_threads_is_put_back() {
        let before = threads();
        with_threads(3, || {
            assert_eq!(threads(), 3);
            with_threads(0, || assert_eq!(threads(), 1));
            let _ = catch_unwind(|| with_threads(7, || panic!("on purpose")));
            assert_eq!(threads(), 3);
        });
        assert_eq!(threads(), before);
    }
}
