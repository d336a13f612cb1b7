//! What a client has done, and how it fares.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use crate::conn::client::CloseCounts;

/// What one core's client counts.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: Cell<u64>,
    pub(super) errors: Cell<u64>,
    pub(super) redirects: Cell<u64>,
    pub(super) resent: Cell<u64>,
    pub(super) retries: Cell<u64>,
    pub(super) retries_refused: Cell<u64>,
}

/// What one core's client has done, and what it has now: see [`Client::stats`](super::Client::stats).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ClientStats {
    /// Requests that were begun; a redirected one is one.
    pub requests: u64,
    /// Requests that failed, and answers whose body did. A status of failure is none.
    pub errors: u64,
    /// Redirects that were followed.
    pub redirects: u64,
    /// Requests that were sent once more because their connection was gone: see `ClientConfig::retry_lost`.
    pub resent: u64,
    /// Tries behind the first: see `ClientConfig::retry`.
    pub retries: u64,
    /// Tries that were not made because `ClientConfig::retry_budget` was used up.
    pub retries_refused: u64,
    /// How often a server began to be left alone, or was for longer: see `ClientConfig::circuit_breaker`.
    pub circuits_opened: u64,
    /// Requests that were not sent because of that.
    pub circuit_refusals: u64,
    /// Servers that are left alone now.
    pub circuits_open: usize,
    /// How often the limit of a server became more: see `ClientConfig::adaptive_limit`.
    pub limits_raised: u64,
    /// How often one became less.
    pub limits_lowered: u64,
    /// Connections that were given to requests.
    pub acquired: u64,
    /// Of those, the ones that had been used before.
    pub reused: u64,
    /// Connections that were made.
    pub made: u64,
    /// Requests that had to wait for a connection because of a limit.
    pub waits: u64,
    /// How long those have waited who were given one, together.
    pub waited: Duration,
    /// Waits that were too long.
    pub wait_timeouts: u64,
    /// Names whose addresses were known.
    pub dns_hits: u64,
    /// Names that were looked up.
    pub dns_lookups: u64,
    /// Connections that are used, or made, now.
    pub in_use: usize,
    /// Connections that are idle now.
    pub idle: usize,
    /// Requests that wait for a connection now.
    pub waiting: usize,
    /// Why connections ended.
    pub closed: CloseCounts,
}

impl ClientStats {
    /// The share of requests that went over a connection that had been used before, from 0 to 1; 1 before the first. Healthy
    /// above 0.7.
    #[must_use]
    pub fn reuse_rate(&self) -> f64 {
        if self.acquired == 0 { 1.0 } else { ratio(self.reused, self.acquired) }
    }

    /// How long requests wait for a connection because of a limit, those that do not wait included. Healthy below 50 ms.
    #[must_use]
    pub fn mean_wait(&self) -> Duration {
        let count = u32::try_from(self.acquired.max(1)).unwrap_or(u32::MAX);
        self.waited / count
    }

    /// Connections made per request, from 0 to 1. Healthy below 0.1.
    #[must_use]
    pub fn new_connection_rate(&self) -> f64 {
        ratio(self.made, self.acquired)
    }

    /// The share of requests that failed, from 0 to 1. Healthy below 0.01.
    #[must_use]
    pub fn error_rate(&self) -> f64 {
        ratio(self.errors, self.requests)
    }

    /// Whether all four are healthy. A client that has just begun is not: all its connections are new.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.ratings().iter().all(|(_, is_healthy)| *is_healthy)
    }

    /// The four values as text, with whether each is healthy.
    fn ratings(&self) -> [(String, bool); 4] {
        let percent = |rate: f64| format!("{:.1} %", rate * 100.0);
        let wait = self.mean_wait();
        [
            (format!("reuse {}", percent(self.reuse_rate())), self.reuse_rate() > REUSE_RATE_MIN),
            (format!("wait {:.1} ms", wait.as_secs_f64() * 1000.0), wait < MEAN_WAIT_MAX),
            (
                format!("new {}", percent(self.new_connection_rate())),
                self.new_connection_rate() < NEW_CONNECTION_RATE_MAX,
            ),
            (format!("errors {}", percent(self.error_rate())), self.error_rate() < ERROR_RATE_MAX),
        ]
    }
}

/// One line: the four values, those that are not healthy with `(!)`, and the connections.
///
/// `reuse 99.0 %, wait 0.0 ms, new 1.0 %, errors 2.0 % (!); 3 in use, 7 idle, 0 waiting`
impl fmt::Display for ClientStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (text, is_healthy)) in self.ratings().iter().enumerate() {
            let (before, behind) = (if index > 0 { ", " } else { "" }, if *is_healthy { "" } else { " (!)" });
            write!(f, "{before}{text}{behind}")?;
        }
        write!(f, "; {} in use, {} idle, {} waiting", self.in_use, self.idle, self.waiting)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counters stay below 2^53")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

const REUSE_RATE_MIN: f64 = 0.7;
const MEAN_WAIT_MAX: Duration = Duration::from_millis(50);
const NEW_CONNECTION_RATE_MAX: f64 = 0.1;
const ERROR_RATE_MAX: f64 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_one_line() {
        let stats = ClientStats {
            requests: 1000,
            errors: 20,
            acquired: 1000,
            reused: 990,
            made: 10,
            waited: Duration::from_secs(3),
            in_use: 3,
            idle: 7,
            ..ClientStats::default()
        };
        assert_eq!(
            stats.to_string(),
            "reuse 99.0 %, wait 3.0 ms, new 1.0 %, errors 2.0 % (!); 3 in use, 7 idle, 0 waiting"
        );
        assert!(!stats.is_healthy());
        assert!(ClientStats { errors: 9, ..stats.clone() }.is_healthy());
        assert!(!ClientStats { errors: 0, waited: Duration::from_secs(60), ..stats }.is_healthy());
    }

    #[test]
    fn a_client_that_has_done_nothing_is_well() {
        assert!(ClientStats::default().is_healthy());
    }
}
