//! Threads for calls that block. Owns the pool of a run: its bounded queue, its threads, its counters.
//!
//! Threads start when work waits and none is idle, up to the configured maximum, and end after a while without work. They
//! run where the starter of the run may run, not on the CPU of the core that happened to need them.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use std::{error, fmt, thread};

use crate::core::Core;
use crate::mailbox::{Lost, Reply, lock};
use crate::pinning::Unpinned;

/// Why a blocking call has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockingError {
    /// The run ended before the call was started.
    Cancelled,
    /// The call panicked; its thread goes on.
    Panicked,
    /// `blocking_queue_max` calls wait already, or no thread could be started; the call was not queued.
    QueueFull,
}

impl fmt::Display for BlockingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "the run ended before the blocking call",
            Self::Panicked => "the blocking call panicked",
            Self::QueueFull => "too many blocking calls wait",
        })
    }
}

impl error::Error for BlockingError {}

/// Counters of the blocking pool at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockingStats {
    /// Threads that exist.
    pub threads: usize,
    /// Calls that wait for a thread.
    pub queued: usize,
    /// Calls that run.
    pub running: usize,
    /// Calls that are done, panicked ones included.
    pub done: u64,
    /// Calls that panicked.
    pub panicked: u64,
    /// Calls that were refused because the queue was full.
    pub refused: u64,
}

/// The result of a blocking call.
///
/// # Cancellation
/// The work goes on: a call that was queued runs, and its result is dropped.
#[must_use = "the call is queued at once, but its result is only known by awaiting this"]
pub struct Blocking<T>(Queued<T>);

enum Queued<T> {
    Waiting(Reply<T>),
    Refused,
}

impl<T> Future for Blocking<T> {
    type Output = Result<T, BlockingError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            Queued::Refused => Poll::Ready(Err(BlockingError::QueueFull)),
            Queued::Waiting(reply) => Pin::new(reply).poll(cx).map_err(|lost| match lost {
                Lost::Dropped => BlockingError::Cancelled,
                Lost::Panicked => BlockingError::Panicked,
            }),
        }
    }
}

impl<T> fmt::Debug for Blocking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Queued::Waiting(_) => "Blocking(waiting)",
            Queued::Refused => "Blocking(refused)",
        })
    }
}

type Job = Box<dyn FnOnce() -> Result<(), Lost> + Send>;

/// The pool of one run.
pub(crate) struct BlockingPool {
    state: Mutex<State>,
    work: Condvar,
    quiet: Condvar,
    threads_max: usize,
    queue_max: usize,
    home: Unpinned,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    idle: usize,
    closed: bool,
    stats: BlockingStats,
}

impl BlockingPool {
    pub(crate) fn new(threads_max: usize, queue_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            quiet: Condvar::new(),
            threads_max,
            queue_max,
            home: Unpinned::of_current(),
        }
    }

    /// Queues a call and gives the future of its result.
    pub(crate) fn call<T, F>(self: &Arc<Self>, core: &Core, call: F) -> Blocking<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (sender, reply) = Reply::new(core);
        let job: Job = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(call)).map_err(|_| Lost::Panicked);
            let end = if result.is_ok() { Ok(()) } else { Err(Lost::Panicked) };
            sender.send(result);
            end
        });
        if self.enqueue(job) { Blocking(Queued::Waiting(reply)) } else { Blocking(Queued::Refused) }
    }

    pub(crate) fn stats(&self) -> BlockingStats {
        let state = lock(&self.state);
        BlockingStats { queued: state.queue.len(), ..state.stats }
    }

    /// Waits until everything queued is done, as long as `patience` gives time; what has not started then is dropped, and
    /// what still runs is left to end by itself. Says whether nothing was left.
    pub(crate) fn close(&self, patience: impl Fn() -> Duration) -> bool {
        let mut state = lock(&self.state);
        state.closed = true;
        self.work.notify_all();
        while state.stats.running > 0 || !state.queue.is_empty() {
            let left = patience();
            if left.is_zero() {
                break;
            }
            state = wait(&self.quiet, state, left.min(PATIENCE_STEP));
        }
        let dropped = std::mem::take(&mut state.queue);
        let clean = dropped.is_empty() && state.stats.running == 0;
        drop(state);
        drop(dropped);
        clean
    }

    /// Says whether the call was taken.
    fn enqueue(self: &Arc<Self>, job: Job) -> bool {
        let mut state = lock(&self.state);
        // An idle thread takes what is queued, so waiting calls are those beyond the idle threads.
        let needs_thread = state.idle <= state.queue.len();
        // Those that a thread will take, one that waits or one that is to be started, do not wait for others to end.
        let takers = self.threads_max.saturating_sub(state.stats.running);
        if state.closed || state.queue.len() >= self.queue_max.saturating_add(takers) {
            state.stats.refused += 1;
            return false;
        }
        if needs_thread && state.stats.threads < self.threads_max {
            let pool = Arc::clone(self);
            let started =
                thread::Builder::new().name("ringhttp-blocking".to_owned()).spawn(move || pool.work());
            if started.is_ok() {
                state.stats.threads += 1;
            } else if state.stats.threads == 0 {
                state.stats.refused += 1;
                return false;
            }
        }
        state.queue.push_back(job);
        drop(state);
        self.work.notify_one();
        true
    }

    /// The life of one thread.
    fn work(&self) {
        self.home.apply();
        let mut state = lock(&self.state);
        while let Some((job, mut running)) = self.next_job(state) {
            running.stats.running += 1;
            drop(running);
            // A result that nobody takes is dropped by the job, and its destructor may panic.
            let end = catch_unwind(AssertUnwindSafe(job)).unwrap_or(Err(Lost::Panicked));
            state = lock(&self.state);
            state.stats.running -= 1;
            state.stats.done += 1;
            state.stats.panicked += u64::from(end.is_err());
            if state.closed {
                self.quiet.notify_all();
            }
        }
    }

    /// Waits for work; `None` when the thread is to end.
    fn next_job<'a>(&'a self, mut state: MutexGuard<'a, State>) -> Option<(Job, MutexGuard<'a, State>)> {
        let idle_until = Instant::now() + IDLE_TIME;
        loop {
            if let Some(job) = state.queue.pop_front() {
                return Some((job, state));
            }
            let left = idle_until.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                state.stats.threads -= 1;
                return None;
            }
            state.idle += 1;
            state = wait(&self.work, state, left);
            state.idle -= 1;
        }
    }
}

fn wait<'a>(condvar: &Condvar, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
    condvar.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
}

// How late the end of a run may notice that its patience was cut short.
const PATIENCE_STEP: Duration = Duration::from_millis(50);
// Long enough to keep threads through a burst, short enough to give their memory back.
const IDLE_TIME: Duration = Duration::from_secs(10);
