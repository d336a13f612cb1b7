//! What a run may be told. Owns [`RuntimeConfig`] and the values of its fields.
#![forbid(unsafe_code)]

use std::str::FromStr;
use std::time::Duration;

use crate::error::RunError;
use crate::watchdog::BlockedReport;

/// Settings of one [`run`](crate::run). Start from `default()` and change fields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RuntimeConfig {
    /// Which cores to run on. Default: [`Cores::Auto`].
    pub cores: Cores,
    /// Which kernel interface to use. Default: [`Driver::Auto`].
    pub driver: Driver,
    /// Entries of each core's submission ring, 256 or more. Default: 1024. It does not limit connections; a full ring is
    /// handed to the kernel early. Without meaning on epoll.
    pub ring_entries: u32,
    /// Time from the begin of a stop until everything still running is cut off. Default: 60 s.
    pub shutdown_timeout: Duration,
    /// Time for all clean-ups of one core together; then the rest of them is given up. Default: 10 s.
    pub cleanup_timeout: Duration,
    /// Whether SIGINT and SIGTERM begin a stop (the second one cuts at once). Default: true.
    pub handle_signals: bool,
    /// Threads for blocking work, all cores together. Default: 64. They start on demand and end after 10 s without work.
    pub blocking_threads_max: usize,
    /// Blocking calls that may wait for a thread, all cores together; one more is refused. Default: 1024.
    pub blocking_queue_max: usize,
    /// How long who is in the middle of a file waits for room in that queue, where anybody else is refused. Default: 30 s.
    pub blocking_queue_timeout: Duration,
    /// Messages that may wait in one core's mailbox; one more is refused. Default: 65 536.
    pub mailbox_messages_max: usize,
    /// A task that runs longer than this without waiting is reported; `None` turns the watchdog off. Default: 100 ms.
    pub watchdog: Option<Duration>,
    /// Called by the watchdog's thread for each report, beside the log line. Default: none.
    pub on_blocked: Option<fn(&BlockedReport)>,
    /// Whether each core's thread is pinned to its CPU. Default: true.
    pub pin: bool,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            cores: Cores::Auto,
            driver: Driver::Auto,
            ring_entries: 1024,
            shutdown_timeout: Duration::from_secs(60),
            cleanup_timeout: Duration::from_secs(10),
            handle_signals: true,
            blocking_threads_max: 64,
            blocking_queue_max: 1024,
            blocking_queue_timeout: Duration::from_secs(30),
            mailbox_messages_max: 65_536,
            watchdog: Some(Duration::from_millis(100)),
            on_blocked: None,
            pin: true,
        }
    }
}

impl RuntimeConfig {
    /// Refuses values that no run can use.
    pub(crate) fn check(&self) -> Result<(), RunError> {
        if !(RING_ENTRIES_MIN..=RING_ENTRIES_MAX).contains(&self.ring_entries) {
            return Err(RunError::config(
                "ring_entries",
                format!("{} is not in {RING_ENTRIES_MIN}..={RING_ENTRIES_MAX}", self.ring_entries),
            ));
        }
        if self.blocking_threads_max == 0 {
            return Err(RunError::config("blocking_threads_max", "must be 1 or more"));
        }
        if self.mailbox_messages_max == 0 {
            return Err(RunError::config("mailbox_messages_max", "must be 1 or more"));
        }
        if self.watchdog.is_some_and(|limit| limit < WATCHDOG_MIN) {
            return Err(RunError::config("watchdog", "must be 1 ms or more"));
        }
        Ok(())
    }
}

/// How many cores, and which CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cores {
    /// The CPUs of the affinity mask, but no more than the cgroup's CPU quota pays for. Where the quota is the smaller number, no core
    /// is pinned: other containers of the machine would be pinned to the same first CPUs.
    #[default]
    Auto,
    /// This many, on the first CPUs of the affinity mask, which another process may have taken too: then turn pinning off, or name CPUs
    /// by `List`. More than the mask has CPUs means that none is pinned.
    Count(usize),
    /// One core on each of these CPUs, in this order. A CPU outside the affinity mask is an error.
    List(Vec<usize>),
}

/// Which kernel interface is asked for. Parsed from `auto`, `io_uring` or `epoll`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// What the environment variable `RINGHTTP_DRIVER` names; else io_uring where the kernel allows it, else epoll.
    #[default]
    Auto,
    /// io_uring, or an error.
    IoUring,
    /// epoll.
    Epoll,
}

impl FromStr for Driver {
    type Err = RunError;

    fn from_str(name: &str) -> Result<Self, RunError> {
        match name {
            "auto" => Ok(Self::Auto),
            "io_uring" => Ok(Self::IoUring),
            "epoll" => Ok(Self::Epoll),
            other => {
                Err(RunError::config("driver", format!("`{other}` is none of auto, io_uring and epoll")))
            }
        }
    }
}

// monoio raises smaller rings to this size by itself.
const RING_ENTRIES_MIN: u32 = 256;
// The kernel's own maximum (IORING_MAX_ENTRIES).
const RING_ENTRIES_MAX: u32 = 32_768;
// The watchdog looks twice per limit; a finer look would cost a core's time of its own.
const WATCHDOG_MIN: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_is_parsed_by_its_name_only() {
        let cases: &[(&str, Option<Driver>)] = &[
            ("auto", Some(Driver::Auto)),
            ("io_uring", Some(Driver::IoUring)),
            ("epoll", Some(Driver::Epoll)),
            ("Epoll", None),
            ("uring", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(name.parse::<Driver>().ok(), *expected, "{name:?}");
        }
    }

    #[test]
    fn unusable_values_are_refused_by_name() {
        type Change = fn(&mut RuntimeConfig);
        let changes: &[(&str, Change)] = &[
            ("ring_entries", |config| config.ring_entries = 0),
            ("ring_entries", |config| config.ring_entries = 65_536),
            ("blocking_threads_max", |config| config.blocking_threads_max = 0),
            ("mailbox_messages_max", |config| config.mailbox_messages_max = 0),
            ("watchdog", |config| config.watchdog = Some(Duration::ZERO)),
        ];
        assert!(RuntimeConfig::default().check().is_ok());
        for (field, change) in changes {
            let mut config = RuntimeConfig::default();
            change(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.starts_with(field), "{field}: {error}");
        }
    }
}
