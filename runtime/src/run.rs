//! The whole life of a run, from configuration to the first error. Owns the threads.
//!
//! Per core: start the driver → open the doorbell → run the body → wait for the other bodies → cancel the tasks → clean up
//! in reverse order → close the doorbell. The driver is dropped only when nothing waits on it any more, because a dropped
//! driver leaks what its tasks hold.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::blocking::BlockingPool;
use crate::config::RuntimeConfig;
use crate::core::{Core, Run};
use crate::driver::{DriverChoice, KernelReport};
use crate::error::RunError;
use crate::lifecycle::{Control, Reached, Stage, Supervisor};
use crate::listener::SharedPorts;
use crate::mailbox::{Mailbox, lock};
use crate::pinning::{choose_cpus, pin_current};
use crate::sync::{Either, race};
use crate::task::{Contained, JoinError, message_of};
use crate::watchdog::{Pulse, Watchdog};

/// Runs `body` once on every core, each on its own thread, and returns when all are done.
///
/// What `body` captures is shared by the cores; what it makes is its core's own. A core whose body has returned keeps its
/// tasks and takes messages until the last body has returned. A body that fails or panics begins the stop of the others.
///
/// The stop is begun by SIGINT, SIGTERM, [`Core::shutdown`] or a failed core. In order: `on_shutdown` hooks run,
/// [`Core::stopping`] resolves, bodies are expected to return; when they have not after `shutdown_timeout`, or at a second
/// signal, [`Core::cut`] resolves, and bodies that do not return at once are dropped, which is no error. Then all tasks
/// are cancelled and clean-ups run, last given first.
///
/// A body, task or clean-up that never gives its thread back cannot be ended: `run` then does not return.
///
/// # Errors
/// The first error of any core, or the [`RunError`] that kept the run from starting.
#[expect(
    clippy::needless_pass_by_value,
    reason = "callers write the configuration in place; nobody needs it back"
)]
pub fn run<F, E>(config: RuntimeConfig, body: F) -> Result<(), E>
where
    F: AsyncFn(Core) -> Result<(), E> + Send + Sync,
    E: From<RunError> + Send + 'static,
{
    config.check()?;
    let cpus = choose_cpus(&config)?;
    let driver = DriverChoice::make(&config)?;
    let (run, ear) = share(&config, KernelReport::new(&driver, &cpus))?;
    tracing::info!(report = %run.report, "starting");

    let watchdog = config
        .watchdog
        .map(|limit| Watchdog::new(limit, config.on_blocked, run.pulses.iter().map(Arc::clone)));
    let supervisor = Supervisor::start(Arc::clone(&run.control), ear, watchdog, config.handle_signals)?;
    let first_error = FirstError(Mutex::new(None));
    thread::scope(|scope| {
        for id in 0..cpus.len() {
            let part = Part { id, run: &run, driver: &driver, body: &body, first_error: &first_error };
            let thread = thread::Builder::new().name(format!("ringhttp-{id}"));
            if let Err(source) = thread.spawn_scoped(scope, move || part.live()) {
                first_error.keep(&run, RunError::CoreStart { core: id, source });
                run.mailboxes[id].close();
                run.control.body_done();
            }
        }
    });
    close_blocking(&run);
    supervisor.finish();
    first_error.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Makes what the cores share, and the supervisor's ear.
fn share(config: &RuntimeConfig, report: KernelReport) -> Result<(Arc<Run>, UnixStream), RunError> {
    let count = report.cpus.len();
    let mailboxes: Box<[Arc<Mailbox>]> = (0..count)
        .map(|_| Mailbox::new(config.mailbox_messages_max).map(Arc::new))
        .collect::<Result<_, _>>()
        .map_err(RunError::setup("a core's doorbell"))?;
    let (commands, ear) = UnixStream::pair().map_err(RunError::setup("the supervisor's socket"))?;
    let control = Arc::new(Control::new(mailboxes.clone(), config.shutdown_timeout, commands));
    let run = Run {
        report,
        mailboxes,
        pulses: (0..count).map(|_| Arc::new(Pulse::default())).collect(),
        control,
        blocking: Arc::new(BlockingPool::new(config.blocking_threads_max, config.blocking_queue_max)),
        blocking_queue_timeout: config.blocking_queue_timeout,
        cleanup_timeout: config.cleanup_timeout,
        ports: SharedPorts::default(),
        shared: Mutex::default(),
    };
    Ok((Arc::new(run), ear))
}

/// Lets blocking calls end in the time a stop has left, or in a time of their own without a stop; a cut leaves them.
fn close_blocking(run: &Run) {
    let own_deadline = Instant::now() + BLOCKING_TIME;
    let patience = || {
        let deadline = run.control.deadline().unwrap_or(own_deadline);
        match run.control.stage() {
            Stage::Cut => Duration::ZERO,
            Stage::Running | Stage::Stopping => deadline.saturating_duration_since(Instant::now()),
        }
    };
    if !run.blocking.close(patience) {
        tracing::warn!("blocking calls were left behind at the end of the run");
    }
}

/// The error that `run` will return.
struct FirstError<E>(Mutex<Option<E>>);

impl<E> FirstError<E> {
    /// Keeps the first error and stops the other cores.
    fn keep(&self, run: &Run, error: impl Into<E>) {
        lock(&self.0).get_or_insert(error.into());
        run.control.begin_stop();
    }
}

/// One core's part of the run.
struct Part<'a, F, E> {
    id: usize,
    run: &'a Arc<Run>,
    driver: &'a DriverChoice,
    body: &'a F,
    first_error: &'a FirstError<E>,
}

impl<F, E> Part<'_, F, E>
where
    F: AsyncFn(Core) -> Result<(), E>,
    E: From<RunError>,
{
    /// The life of the core's thread.
    fn live(&self) {
        let leave = Leave { run: self.run, id: self.id, body_done: Cell::new(false) };
        let lived = catch_unwind(AssertUnwindSafe(|| {
            if let Some(cpu) = self.run.report.cpus[self.id] {
                pin_current(cpu)?;
            }
            self.driver.block_on(self.live_on_driver(&leave))?
        }));
        let error = match lived {
            Ok(Ok(())) => return,
            Ok(Err(source)) => RunError::CoreStart { core: self.id, source },
            Err(payload) => {
                RunError::CorePanicked { core: self.id, message: message_of(&*payload).into_string() }
            }
        };
        self.first_error.keep(self.run, error);
    }

    async fn live_on_driver(&self, leave: &Leave<'_>) -> std::io::Result<()> {
        let core = Core::new(self.id, self.run);
        let doorbell = core.open()?;

        self.run_body(&core).await;
        leave.body_done();
        race(Reached::new(&core, |life| &life.bodies_done), core.cut()).await;

        report_left(&core, core.end_tasks().await);
        clean_up(&core).await;
        // A message that comes from here on would start a task that nobody ends.
        drop(core.mailbox().close());
        report_left(&core, core.end_tasks().await);
        core.close(doorbell).await;
        // The ring takes the closing of the doorbell's socket.
        monoio::time::sleep(Duration::from_millis(1)).await;
        Ok(())
    }

    /// Runs the body until it returns, or until shortly after the cut.
    async fn run_body(&self, core: &Core) {
        // Called inside: a closure that is not async may panic before there is a future.
        let body = Contained::new(core.clone(), "body", Box::pin(async { (self.body)(core.clone()).await }));
        let patience = async {
            core.cut().await;
            monoio::time::sleep(CUT_TIME).await;
        };
        match race(body, patience).await {
            Either::First(Ok(Ok(()))) => {}
            Either::First(Ok(Err(error))) => self.first_error.keep(self.run, error),
            Either::First(Err(JoinError::Panicked(message))) => {
                let error = RunError::CorePanicked { core: self.id, message: message.into_string() };
                self.first_error.keep(self.run, error);
            }
            Either::First(Err(JoinError::Cancelled)) | Either::Second(()) => {
                tracing::warn!(core = self.id, "the body did not return in time and was dropped");
            }
        }
    }
}

/// Runs the clean-ups, last given first, within their time together.
async fn clean_up(core: &Core) {
    let deadline = Instant::now().checked_add(core.cleanup_timeout());
    while let Some(cleanup) = core.life().pop_cleanup() {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let task = core.spawn("on_cleanup", cleanup);
        let Some(left) = left else {
            let _ = task.await;
            continue;
        };
        let timer = monoio::time::sleep(left);
        if let Either::Second(()) = race(task, timer).await {
            tracing::error!(core = core.id(), "a clean-up took too long and was dropped");
            core.end_tasks().await;
        }
    }
}

fn report_left(core: &Core, left: u64) {
    if left > 0 {
        tracing::error!(core = core.id(), tasks = left, "tasks would not end");
    }
}

/// Makes sure that a core that ends in any way is not waited for.
struct Leave<'a> {
    run: &'a Run,
    id: usize,
    body_done: Cell<bool>,
}

impl Leave<'_> {
    fn body_done(&self) {
        if !self.body_done.replace(true) {
            self.run.control.body_done();
        }
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.body_done();
        self.run.mailboxes[self.id].close();
    }
}

// A body that hears of the cut has this long to return by itself.
const CUT_TIME: Duration = Duration::from_millis(50);
// Enough for what was begun on the side; a run that ended by itself should not hang for it.
const BLOCKING_TIME: Duration = Duration::from_secs(10);
