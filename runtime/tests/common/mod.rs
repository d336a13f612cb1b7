//! What the runtime's tests share: a run on each driver, bounded in time.
#![expect(dead_code, reason = "each test file uses its part of this")]

pub(crate) mod drivers;

use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, fs, panic, process, thread};

use ringhttp_runtime::{Core, Cores, Driver, RunError, RuntimeConfig, run};

/// An error of a body under test.
#[derive(Debug)]
pub(crate) enum TestError {
    Run(RunError),
    Body(&'static str),
}

impl From<RunError> for TestError {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

pub(crate) type TestResult = Result<(), TestError>;

/// A configuration for tests: `count` cores, no signal handlers, a short stop.
pub(crate) fn config(driver: Driver, count: usize) -> RuntimeConfig {
    let mut config = RuntimeConfig::default();
    config.driver = driver;
    config.cores = Cores::Count(count);
    config.handle_signals = false;
    config.shutdown_timeout = Duration::from_secs(5);
    config
}

/// The drivers under test.
pub(crate) fn drivers() -> Vec<Driver> {
    drivers::names().iter().map(|name| driver_named(name)).collect()
}

/// Runs `body` on `count` cores of each driver.
pub(crate) fn each_driver<F>(count: usize, body: F)
where
    F: AsyncFn(Core) -> TestResult + Send + Sync + Clone + 'static,
{
    for driver in drivers() {
        let body = body.clone();
        let result = within(Duration::from_secs(20), move || run(config(driver, count), body));
        assert!(result.is_ok(), "{driver:?}: {result:?}");
    }
}

/// Fails when `work` takes longer than `limit`.
pub(crate) fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || sender.send(work()));
    match receiver.recv_timeout(limit) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("not done after {limit:?}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            panic::resume_unwind(thread.join().expect_err("it ended without a value"))
        }
    }
}

/// Waits on this core until `done` says so.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(5), "never came: {what}");
        monoio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Open descriptors of this process.
pub(crate) fn open_fds() -> usize {
    fs::read_dir("/proc/self/fd").expect("proc is mounted").count()
}

/// Runs the test `name` of this file again, alone in a child process that can tell by `is_child`. Tests that change or
/// count what belongs to a whole process live in such children.
pub(crate) fn child(name: &str, what: &str) -> process::Command {
    let mut command = process::Command::new(env::current_exe().expect("a test has a file"));
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, what);
    command
}

/// What this child is to do; `None` in the parent.
pub(crate) fn child_part() -> Option<String> {
    env::var(CHILD).ok()
}

/// Runs a child to its end, which must be a good one, and gives its output.
pub(crate) fn run_child(name: &str, what: &str) -> String {
    let output = child(name, what).output().expect("the child starts");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "child `{what}`: {}\n{text}", output.status);
    text
}

/// As [`run_child`], in one child after the other: each is to use the driver with the name that it is given.
pub(crate) fn run_child_on_each_driver(name: &str) {
    for driver in drivers::names() {
        run_child(name, &driver);
    }
}

/// The driver with this name.
pub(crate) fn driver_named(name: &str) -> Driver {
    name.parse().expect("names of drivers, from the environment too")
}

const CHILD: &str = "RINGHTTP_TEST_CHILD";
