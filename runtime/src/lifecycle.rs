//! From start to end. Owns the stage that all cores of a run share, the hooks of each core, signals and deadlines.
//!
//! A run goes through three stages, never back: running, stopping (begun by a signal, [`Core::shutdown`], or a core that
//! failed), cut (the deadline passed or a second signal came). One thread, the supervisor, waits for signals and the
//! deadline and lends its idle time to the watchdog.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::future::Future;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use std::{fmt, io, mem, thread};

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::core::Core;
use crate::error::RunError;
use crate::mailbox::{Mailbox, lock};
use crate::wakers::Event;
use crate::watchdog::Watchdog;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Stage {
    Running = 0,
    Stopping = 1,
    Cut = 2,
}

/// The stage of a run, shared by its cores.
pub(crate) struct Control {
    stage: AtomicU8,
    bodies_left: AtomicUsize,
    deadline: Mutex<Option<Instant>>,
    shutdown_timeout: Duration,
    mailboxes: Box<[Arc<Mailbox>]>,
    supervisor: UnixStream,
}

impl Control {
    pub(crate) fn new(
        mailboxes: Box<[Arc<Mailbox>]>,
        shutdown_timeout: Duration,
        supervisor: UnixStream,
    ) -> Self {
        Self {
            stage: AtomicU8::new(Stage::Running as u8),
            bodies_left: AtomicUsize::new(mailboxes.len()),
            deadline: Mutex::new(None),
            shutdown_timeout,
            mailboxes,
            supervisor,
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Running,
            1 => Stage::Stopping,
            _ => Stage::Cut,
        }
    }

    /// Begins the stop on all cores, once.
    pub(crate) fn begin_stop(&self) {
        let mut deadline = lock(&self.deadline);
        if self.stage() > Stage::Running {
            return;
        }
        // A time too far away to be told is no deadline.
        *deadline = Instant::now().checked_add(self.shutdown_timeout);
        self.stage.store(Stage::Stopping as u8, Ordering::Release);
        drop(deadline);
        self.nudge_all();
        let _ = (&self.supervisor).write(&[LOOK_AGAIN]);
    }

    /// Ends the patience of the stop.
    pub(crate) fn cut(&self) {
        let _deadline = lock(&self.deadline);
        self.stage.store(Stage::Cut as u8, Ordering::Release);
        self.nudge_all();
    }

    /// Says that the body of one core is over.
    pub(crate) fn body_done(&self) {
        if self.bodies_left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.nudge_all();
        }
    }

    pub(crate) fn all_bodies_done(&self) -> bool {
        self.bodies_left.load(Ordering::Acquire) == 0
    }

    /// When the stop is cut; `None` before it began, or when it never is.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        *lock(&self.deadline)
    }

    fn nudge_all(&self) {
        for mailbox in &self.mailboxes {
            mailbox.nudge();
        }
    }
}

/// What a core does at the ends of its life, and the moments its tasks can wait for.
#[derive(Default)]
pub(crate) struct Life {
    pub(crate) stop_begun: Event,
    pub(crate) shutdown_hooks_done: Event,
    pub(crate) cut: Event,
    pub(crate) bodies_done: Event,
    on_shutdown: RefCell<Vec<Hook>>,
    on_cleanup: RefCell<Vec<Hook>>,
}

type Hook = Pin<Box<dyn Future<Output = ()>>>;

impl Life {
    pub(crate) fn add_shutdown_hook(&self, hook: Hook) {
        self.on_shutdown.borrow_mut().push(hook);
    }

    pub(crate) fn add_cleanup(&self, hook: Hook) {
        self.on_cleanup.borrow_mut().push(hook);
    }

    pub(crate) fn pop_cleanup(&self) -> Option<Hook> {
        self.on_cleanup.borrow_mut().pop()
    }

    /// Brings this core to where the run stands. Called in the doorbell's turn.
    pub(crate) fn follow(&self, core: &Core, control: &Control) {
        let stage = control.stage();
        if stage >= Stage::Stopping && !self.stop_begun.has_happened() {
            self.stop_begun.happen();
            let hooks = mem::take(&mut *self.on_shutdown.borrow_mut());
            drop(core.spawn("on_shutdown", run_shutdown_hooks(core.clone(), hooks)));
        }
        if stage == Stage::Cut {
            self.shutdown_hooks_done.happen();
            self.cut.happen();
        }
        if control.all_bodies_done() {
            self.bodies_done.happen();
        }
    }
}

async fn run_shutdown_hooks(core: Core, hooks: Vec<Hook>) {
    for hook in hooks {
        // A hook that panics is counted and logged by its task; the stop goes on.
        let _ = core.spawn("on_shutdown", hook).await;
    }
    core.life().shutdown_hooks_done.happen();
}

/// Resolves when this core's life reaches a certain point; at once when it has.
///
/// # Cancellation
/// Nothing is lost.
#[must_use = "futures do nothing unless awaited"]
pub struct Reached {
    core: Core,
    event: fn(&Life) -> &Event,
    key: Option<usize>,
}

impl Reached {
    pub(crate) fn new(core: &Core, event: fn(&Life) -> &Event) -> Self {
        Self { core: core.clone(), event, key: None }
    }
}

impl Future for Reached {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let event = (this.event)(this.core.life());
        if event.has_happened() {
            return Poll::Ready(());
        }
        let key = *this.key.get_or_insert_with(|| event.waiters.insert());
        event.waiters.store(key, cx.waker());
        Poll::Pending
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            (self.event)(self.core.life()).waiters.remove(key);
        }
    }
}

impl fmt::Debug for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let happened = (self.event)(self.core.life()).has_happened();
        f.debug_struct("Reached").field("happened", &happened).finish_non_exhaustive()
    }
}

/// The thread that waits for signals and deadlines.
pub(crate) struct Supervisor {
    thread: thread::JoinHandle<()>,
    commands: UnixStream,
    signals: Option<Signals>,
}

impl Supervisor {
    /// Starts the thread. `commands` is the other end of what [`Control`] writes to, `ear` the end to read.
    pub(crate) fn start(
        control: Arc<Control>,
        ear: UnixStream,
        watchdog: Option<Watchdog>,
        handle_signals: bool,
    ) -> Result<Self, RunError> {
        let commands = control.supervisor.try_clone().map_err(RunError::setup("the supervisor's socket"))?;
        let signals = if handle_signals {
            Some(Signals::register(&commands).map_err(RunError::setup("the signal handlers"))?)
        } else {
            None
        };
        let thread = thread::Builder::new()
            .name("ringhttp-watch".to_owned())
            .spawn(move || supervise(&control, ear, watchdog))
            .map_err(RunError::setup("the supervisor's thread"))?;
        Ok(Self { thread, commands, signals })
    }

    /// Ends the thread and gives the signals back.
    pub(crate) fn finish(self) {
        drop(self.signals);
        let _ = (&self.commands).write(&[QUIT]);
        let _ = self.thread.join();
    }
}

fn supervise(control: &Control, mut ear: UnixStream, mut watchdog: Option<Watchdog>) {
    let mut commands = [0; 16];
    // A stop may have been begun without one: then the first signal, which asks for the same, cuts nothing.
    let mut was_signalled = false;
    loop {
        if ear.set_read_timeout(next_look(control, watchdog.as_ref())).is_err() {
            return;
        }
        match ear.read(&mut commands) {
            Ok(0) => return,
            Ok(length) => {
                for command in &commands[..length] {
                    match *command {
                        QUIT => return,
                        SIGNAL if !mem::replace(&mut was_signalled, true) => control.begin_stop(),
                        SIGNAL => control.cut(),
                        _ => {}
                    }
                }
            }
            Err(error) if is_timeout(&error) => {}
            Err(_) => return,
        }
        let now = Instant::now();
        if control.stage() == Stage::Stopping && control.deadline().is_some_and(|deadline| deadline <= now) {
            tracing::warn!("the shutdown timeout has passed: what still runs is cut off");
            control.cut();
        }
        if let Some(watchdog) = &mut watchdog {
            watchdog.look(now);
        }
    }
}

/// How long the supervisor may sleep; `None` is until somebody writes.
fn next_look(control: &Control, watchdog: Option<&Watchdog>) -> Option<Duration> {
    let deadline = control.deadline().filter(|_| control.stage() == Stage::Stopping);
    let until_deadline = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let until_look = watchdog.map(Watchdog::interval);
    // A socket refuses a timeout of zero.
    [until_deadline, until_look].into_iter().flatten().min().map(|time| time.max(Duration::from_millis(1)))
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// SIGINT and SIGTERM, as long as a run wants them. Several runs at once all hear them.
struct Signals(Vec<SigId>);

impl Signals {
    fn register(supervisor: &UnixStream) -> io::Result<Self> {
        let mut runs = lock(&RUNS);
        if runs.unused.is_none() {
            // Handlers stay in the process for good. While no run uses them, a signal is to end the process as ever.
            let unused = Arc::new(AtomicBool::new(false));
            for signal in [SIGINT, SIGTERM] {
                flag::register_conditional_default(signal, Arc::clone(&unused))?;
            }
            runs.unused = Some(unused);
        }
        runs.count += 1;
        runs.set_unused();
        drop(runs);
        // From here on dropping the value takes everything back.
        let mut signals = Self(Vec::new());
        for signal in [SIGINT, SIGTERM] {
            signals.0.push(low_level::pipe::register(signal, supervisor.try_clone()?)?);
        }
        Ok(signals)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.0.drain(..) {
            low_level::unregister(id);
        }
        let mut runs = lock(&RUNS);
        runs.count -= 1;
        runs.set_unused();
    }
}

/// Runs of this process that handle signals.
struct SignalRuns {
    count: usize,
    unused: Option<Arc<AtomicBool>>,
}

impl SignalRuns {
    fn set_unused(&self) {
        if let Some(unused) = &self.unused {
            unused.store(self.count == 0, Ordering::SeqCst);
        }
    }
}

static RUNS: Mutex<SignalRuns> = Mutex::new(SignalRuns { count: 0, unused: None });

// What the supervisor reads. `SIGNAL` is the byte that signal-hook writes.
const SIGNAL: u8 = b'X';
const LOOK_AGAIN: u8 = b'l';
const QUIT: u8 = b'q';
