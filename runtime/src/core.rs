//! One core as its own code sees it. Owns the handle and what stands behind it.
#![forbid(unsafe_code)]

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use crate::blocking::{Blocking, BlockingPool, BlockingStats};
use crate::buffer::BufferPool;
use crate::doorbell::{Doorbell, YieldNow};
use crate::driver::{DriverKind, KernelReport};
use crate::lifecycle::{Control, Life, Reached, Stage};
use crate::listener::{BindAddress, SharedPorts};
use crate::mailbox::{Invoke, InvokeError, Mailbox, Reply};
use crate::stats::{CoreStats, StatsSnapshot};
use crate::task::{Contained, JoinHandle, TaskList, spawn};
use crate::time::Timers;
use crate::wakers::WakerSet;
use crate::watchdog::{Heart, Pulse};

/// The handle of the core that the code runs on. Cloning it is cheap; it never leaves its thread.
#[derive(Clone)]
pub struct Core(Rc<Inner>);

struct Inner {
    id: usize,
    run: Arc<Run>,
    mailbox: Arc<Mailbox>,
    life: Life,
    tasks: TaskList,
    heart: Heart,
    stats: CoreStats,
    replies: WakerSet,
    doorbell: Doorbell,
    buffers: BufferPool,
    timers: Timers,
    /// How often this core has bound each address.
    binds: RefCell<HashMap<BindAddress, usize>>,
}

/// What the cores of a run share.
pub(crate) struct Run {
    pub(crate) report: KernelReport,
    pub(crate) mailboxes: Box<[Arc<Mailbox>]>,
    pub(crate) pulses: Box<[Arc<Pulse>]>,
    pub(crate) control: Arc<Control>,
    pub(crate) blocking: Arc<BlockingPool>,
    pub(crate) blocking_queue_timeout: Duration,
    pub(crate) cleanup_timeout: Duration,
    pub(crate) ports: SharedPorts,
    pub(crate) shared: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Core>> = const { RefCell::new(None) };
}

impl Core {
    pub(crate) fn new(id: usize, run: &Arc<Run>) -> Self {
        Self(Rc::new(Inner {
            id,
            run: Arc::clone(run),
            mailbox: Arc::clone(&run.mailboxes[id]),
            life: Life::default(),
            tasks: TaskList::default(),
            heart: Heart::new(Arc::clone(&run.pulses[id])),
            stats: CoreStats::default(),
            replies: WakerSet::default(),
            doorbell: Doorbell::default(),
            buffers: BufferPool::new(),
            timers: Timers::new(),
            binds: RefCell::default(),
        }))
    }

    /// The core of the calling thread; `None` on a thread that is none. For code that was not given one: an application has its
    /// core from [`run`](crate::run), and best keeps a clone in its state.
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// This core's number, from 0 to one below [`count`](Self::count).
    pub fn id(&self) -> usize {
        self.0.id
    }

    /// The CPU this core is pinned to, `None` when it may roam.
    pub fn cpu(&self) -> Option<usize> {
        self.report().cpus[self.0.id]
    }

    /// How many cores the run has.
    pub fn count(&self) -> usize {
        self.0.run.mailboxes.len()
    }

    /// The driver all cores of the run use.
    pub fn driver(&self) -> DriverKind {
        self.report().driver
    }

    /// What the kernel gave and refused when the run started.
    pub fn report(&self) -> &KernelReport {
        &self.0.run.report
    }

    /// Starts a task on this core. `name` is what the log and the watchdog call it; use few different ones.
    ///
    /// A panic ends this task only: it is counted, logged, and given by the handle. An `Err` that `future` ends with is given by
    /// the handle and told to nobody else: await it, or log it in the task. The task is cancelled when all bodies
    /// of the run are done, or when the stop is cut. Costs two allocations: the future's box and the executor's.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        spawn(self, name, future)
    }

    /// Runs `work` again and again, `period` after the end of the run before; the first time after one period.
    ///
    /// No run begins once the stop has begun. A panic ends one run only and is counted. Dropping the handle lets it go on.
    pub fn every<W>(&self, name: &'static str, period: Duration, mut work: W) -> JoinHandle<()>
    where
        W: AsyncFnMut() + 'static,
    {
        let core = self.clone();
        self.spawn(name, async move {
            while !core.stop_begins_within(period).await {
                let once = Box::pin(async { work().await });
                // A panic is counted and logged by the wrapper; the next run is due all the same.
                let _ = Contained::new(core.clone(), name, once).await;
            }
        })
    }

    /// Runs `hook` when the stop begins, before anybody who waits for [`stopping`](Self::stopping) goes on. Hooks run one
    /// after the other, in the order they were given; one given after the stop began runs at once.
    pub fn on_shutdown<F: Future<Output = ()> + 'static>(&self, hook: F) {
        if self.life().stop_begun.has_happened() {
            drop(self.spawn("on_shutdown", hook));
        } else {
            self.life().add_shutdown_hook(Box::pin(hook));
        }
    }

    /// Runs `cleanup` at the end of this core, last given first, after its tasks are gone: also when the body failed or
    /// panicked later. All of a core's clean-ups together have `cleanup_timeout`.
    pub fn on_cleanup<F: Future<Output = ()> + 'static>(&self, cleanup: F) {
        self.life().add_cleanup(Box::pin(cleanup));
    }

    /// Begins the stop of the whole run, as SIGTERM does. Returns at once; later calls do nothing.
    pub fn shutdown(&self) {
        self.0.run.control.begin_stop();
    }

    /// Whether the stop has begun, on any core.
    pub fn is_stopping(&self) -> bool {
        self.control().stage() >= Stage::Stopping
    }

    /// Resolves when the stop has begun and this core's `on_shutdown` hooks are done (at the latest when it is cut).
    pub fn stopping(&self) -> Reached {
        Reached::new(self, |life| &life.shutdown_hooks_done)
    }

    /// Whether the stop was cut: its deadline passed or a second signal came.
    pub fn is_cut(&self) -> bool {
        self.control().stage() == Stage::Cut
    }

    /// Resolves when the stop is cut. A body has a moment to return by itself then; what still runs is dropped.
    pub fn cut(&self) -> Reached {
        Reached::new(self, |life| &life.cut)
    }

    /// Runs `call` on another core (or this one) as a task of its own and gives back its result.
    ///
    /// The message leaves at once, whether the future is awaited or not; a core that is given several before it looks is
    /// woken once. A core takes messages until all bodies of the run are done.
    ///
    /// # Errors
    /// The future gives [`InvokeError`].
    pub fn invoke_on<T, F>(&self, core: usize, call: F) -> Invoke<T>
    where
        F: AsyncFnOnce(Self) -> T + Send + 'static,
        T: Send + 'static,
    {
        let Some(mailbox) = self.0.run.mailboxes.get(core) else {
            return Invoke::refused(InvokeError::NoSuchCore);
        };
        let (sender, reply) = Reply::new(self);
        let sent = mailbox.send(Box::new(move |there: &Self| {
            let core = there.clone();
            drop(there.spawn("invoke_on", async move { sender.send(Ok(call(core).await)) }));
        }));
        match sent {
            Ok(()) => Invoke::waiting(reply),
            Err(error) => Invoke::refused(error),
        }
    }

    /// Runs `call` once on every core, this one included, without waiting for it. It is a plain closure: what has to wait
    /// over there, it spawns.
    ///
    /// # Errors
    /// The first core's refusal; the others get the message all the same.
    pub fn broadcast<F>(&self, call: F) -> Result<(), InvokeError>
    where
        F: FnOnce(&Self) + Clone + Send + 'static,
    {
        let mut result = Ok(());
        for mailbox in &self.0.run.mailboxes {
            let call = call.clone();
            let sent = mailbox.send(Box::new(move |there: &Self| {
                let core = there.clone();
                drop(there.spawn("broadcast", async move { call(&core) }));
            }));
            result = result.and(sent);
        }
        result
    }

    /// Runs `call` on every core at the same time and gives the results in the order of the cores.
    ///
    /// # Errors
    /// The first core's [`InvokeError`].
    ///
    /// # Cancellation
    /// The calls go on; their results are dropped.
    pub async fn gather<T, F>(&self, call: F) -> Result<Vec<T>, InvokeError>
    where
        F: AsyncFnOnce(Self) -> T + Clone + Send + 'static,
        T: Send + 'static,
    {
        let calls: Vec<_> = (0..self.count()).map(|core| self.invoke_on(core, call.clone())).collect();
        let mut results = Vec::with_capacity(calls.len());
        for call in calls {
            results.push(call.await?);
        }
        Ok(results)
    }

    /// Runs `call` on a thread that may block. The call is queued at once.
    ///
    /// # Errors
    /// The future gives [`BlockingError`](crate::BlockingError).
    pub fn spawn_blocking<T, F>(&self, call: F) -> Blocking<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.0.run.blocking.call(self, call)
    }

    /// How long who is in the middle of something waits for a place in the queue of blocking work.
    pub(crate) fn blocking_queue_timeout(&self) -> Duration {
        self.0.run.blocking_queue_timeout
    }

    /// Counters of the blocking threads, which all cores share.
    pub fn blocking_stats(&self) -> BlockingStats {
        self.0.run.blocking.stats()
    }

    /// Gives way: every other ready task runs first, then the driver serves sockets, timers and messages, then this goes
    /// on. Tasks that yield in the same turn share one system call.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub fn yield_now(&self) -> YieldNow {
        YieldNow::new(self)
    }

    /// The one `T` that all cores of the run share, made by the first that asks. For start-up: it takes a lock; keep
    /// what it gives.
    ///
    /// # Panics
    /// If `T::default` panicked before.
    #[must_use]
    pub fn shared<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut shared = self.0.run.shared.lock().expect("T::default did not panic");
        let value = shared.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        Arc::clone(value).downcast().expect("stored under its own type")
    }

    /// This core's buffers.
    pub fn buffers(&self) -> &BufferPool {
        &self.0.buffers
    }

    /// This core's clock and timer wheel, which `every` follows too.
    pub fn timers(&self) -> &Timers {
        &self.0.timers
    }

    /// This core's counters.
    pub fn stats(&self) -> &CoreStats {
        &self.0.stats
    }

    /// This core's counters as they stand, to be sent elsewhere or summed.
    pub fn stats_snapshot(&self) -> StatsSnapshot {
        let pulse = &self.0.run.pulses[self.0.id];
        StatsSnapshot::of(&self.0.stats, pulse.blocked_polls.load(Ordering::Relaxed))
    }
}

/// What the modules of this crate need of a core.
impl Core {
    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.0.mailbox
    }

    pub(crate) fn replies(&self) -> &WakerSet {
        &self.0.replies
    }

    pub(crate) fn tasks(&self) -> &TaskList {
        &self.0.tasks
    }

    pub(crate) fn heart(&self) -> &Heart {
        &self.0.heart
    }

    pub(crate) fn life(&self) -> &Life {
        &self.0.life
    }

    pub(crate) fn control(&self) -> &Control {
        &self.0.run.control
    }

    /// How often this core has bound `address` before.
    pub(crate) fn binds_of(&self, address: &BindAddress) -> usize {
        self.0.binds.borrow().get(address).copied().unwrap_or_default()
    }

    /// Counts a bind of `address`.
    pub(crate) fn count_bind(&self, address: &BindAddress) {
        *self.0.binds.borrow_mut().entry(address.clone()).or_default() += 1;
    }

    pub(crate) fn ports(&self) -> &SharedPorts {
        &self.0.run.ports
    }

    pub(crate) fn doorbell(&self) -> &Doorbell {
        &self.0.doorbell
    }

    /// Makes `core` what [`Core::current`] gives on this thread.
    pub(crate) fn set_current(core: Option<Self>) {
        CURRENT.set(core);
    }

    pub(crate) fn cleanup_timeout(&self) -> Duration {
        self.0.run.cleanup_timeout
    }

    /// Lets the kernel take what dropped futures left to do: the cancellation of an operation, its completion, and the
    /// closing of the descriptor it held.
    pub(crate) async fn settle(&self) {
        for _ in 0..SETTLE_TURNS {
            self.yield_now().await;
        }
    }

    /// Cancels all tasks and waits until they are gone. Says how many would not go.
    pub(crate) async fn end_tasks(&self) -> u64 {
        for _ in 0..END_TURNS_MAX {
            if self.0.stats.tasks_alive() == 0 {
                break;
            }
            self.0.tasks.cancel_all();
            self.yield_now().await;
        }
        self.settle().await;
        self.0.stats.tasks_alive()
    }

    /// Waits for `period`; true when the stop began before it was over.
    async fn stop_begins_within(&self, period: Duration) -> bool {
        let mut stop = Reached::new(self, |life| &life.stop_begun);
        let mut sleep = pin!(self.timers().sleep(period));
        poll_fn(|cx| {
            if Pin::new(&mut stop).poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            sleep.as_mut().poll(cx).map(|()| false)
        })
        .await
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("id", &self.id()).field("cpu", &self.cpu()).finish_non_exhaustive()
    }
}

// Cancellation, completion, close: each may need its own way through the ring.
const SETTLE_TURNS: usize = 3;
// A task that ends may start others; one that always does is left to the runtime's end.
const END_TURNS_MAX: usize = 1000;
