//! How many requests may be under way to one server, found out by how it fares: the limits of one client, and who tells them.
//!
//! What a limit makes of what it is told is `adaptive_limit/rule.rs`; who waits because of one waits in the pool's line.
#![forbid(unsafe_code)]

mod rule;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant as ExactInstant};

use http::StatusCode;

use self::rule::{Change, Rule, Sample};
use super::error::{Error, ErrorKind, Result};
use super::pool::Key;
use super::trace::now;
use crate::conn::count;

/// How many requests may be under way to one server at a time, found out while they are: see `ClientConfig::adaptive_limit`.
///
/// Each server (what shares connections: scheme, host and port, or the proxy that forwards) has a limit of its own on each core. While requests wait for it
/// and are answered as quickly as usual it grows, at first twofold with each round of as many answers as it lets through, then by
/// one. It shrinks by `backoff_ratio`, once for all that was under way, when a request fails: a connection is not made or breaks, a time
/// is over, an answer has one of `statuses`; and when most answers of a round are slow: their first byte takes `latency_ratio_max` times as long
/// as usual. What is usual is learnt where the limit is not what makes answers late: at `min`, and while it is not reached; so that a server that has
/// become slower for good is asked little for a while, and then as much as it bears.
///
/// A request is under way from when it has its place until the head of its answer is here; the body that follows counts as a connection only (`limit`,
/// `limit_per_host`), though one that breaks is a failure. One that is dropped before tells that it was given up after so long. Who waits does so as for a connection: in the same line, with its priorities,
/// `waiting_max`, `pool_timeout` and their errors. It shows where many requests go to one server: `batch`, a proxy, a service behind a queue.
///
/// ```
/// use ringhttp::ClientConfig;
/// use ringhttp::client::AdaptiveLimit;
///
/// let mut config = ClientConfig::default();
/// let mut adaptive = AdaptiveLimit::default();
/// adaptive.max = 50;
/// config.adaptive_limit = Some(adaptive);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AdaptiveLimit {
    /// What the limit is at first. Default 1, which answers double soon. From `min` to `max`. More than the server bears with ease, and its
    /// being slow is taken for usual.
    pub initial: usize,
    /// What it never falls below. Default 1. At least 1.
    pub min: usize,
    /// What it never grows beyond. Default 200. `ClientConfig::limit` and `limit_per_host` hold beside it.
    pub max: usize,
    /// What is left of the limit when it shrinks, by one at least. Default 0.9. Above 0 and below 1. It is half, if that is less, where it has
    /// only doubled so far.
    pub backoff_ratio: f64,
    /// How many times as long as usual the first byte of a slow answer takes. Default 2. Above 1; `f64::INFINITY` does not look at times.
    pub latency_ratio_max: f64,
    /// What an answer has to be late beside that to be slow: times that are short differ by chance. Default 10 ms.
    pub latency_slack: Duration,
    /// Answers that are failures. Default 429 and 503.
    pub statuses: Vec<StatusCode>,
    /// Servers whose limits are remembered. Default 1000. Then: that of the one that was asked longest ago is forgotten; if all are being
    /// asked, another one has no limit.
    pub servers_max: usize,
}

impl Default for AdaptiveLimit {
    fn default() -> Self {
        Self {
            initial: 1,
            min: 1,
            max: 200,
            backoff_ratio: 0.9,
            latency_ratio_max: 2.0,
            latency_slack: Duration::from_millis(10),
            statuses: vec![StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE],
            servers_max: 1000,
        }
    }
}

impl AdaptiveLimit {
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |text: &str| {
            let text = format!("AdaptiveLimit::{text}");
            Err(Error::new(ErrorKind::Config).with_text(text))
        };
        if self.min == 0 || self.servers_max == 0 {
            return wrong("min and servers_max must not be 0");
        }
        if self.initial < self.min || self.initial > self.max {
            return wrong("initial must be from min to max");
        }
        if !(self.backoff_ratio > 0.0 && self.backoff_ratio < 1.0) {
            return wrong("backoff_ratio must be above 0 and below 1");
        }
        if self.latency_ratio_max <= 1.0 || self.latency_ratio_max.is_nan() {
            return wrong("latency_ratio_max must be above 1");
        }
        Ok(())
    }
}

/// What one server may be asked at a time, now: see [`Client::host_limits`](super::Client::host_limits).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostLimit {
    /// `scheme://host:port`, of the proxy if that forwards.
    pub host: String,
    /// Requests that may be under way.
    pub limit: usize,
    /// Those that are.
    pub in_flight: usize,
    /// Those that wait for a place.
    pub waiting: usize,
    /// How long a first byte usually takes; `None` before it is known.
    pub first_byte: Option<Duration>,
}

/// The limits of one client.
pub(super) struct AdaptiveLimits {
    config: AdaptiveLimit,
    servers: RefCell<HashMap<Key, Rc<Server>>>,
    asked: Cell<u64>,
    raised: Cell<u64>,
    lowered: Cell<u64>,
}

/// What is known of one server.
pub(super) struct Server {
    pub(super) key: Key,
    rule: RefCell<Rule>,
    /// The number of the request that asked for it last.
    asked: Cell<u64>,
}

impl AdaptiveLimits {
    pub(super) fn new(config: &AdaptiveLimit) -> Self {
        Self {
            config: config.clone(),
            servers: RefCell::default(),
            asked: Cell::new(0),
            raised: Cell::new(0),
            lowered: Cell::new(0),
        }
    }

    /// The server of a key, while it is held; `None` if it is one too many. `set` is told of limits that begin, and of those that end.
    pub(super) fn server(&self, key: &Key, set: impl Fn(&Key, Option<usize>)) -> Option<Rc<Server>> {
        count(&self.asked);
        let found = self.servers.borrow().get(key).map(Rc::clone);
        if let Some(server) = found {
            server.asked.set(self.asked.get());
            return Some(server);
        }
        if self.servers.borrow().len() >= self.config.servers_max {
            let forgotten = self.forget_one()?;
            set(&forgotten.key, None);
        }
        let server = Rc::new(Server {
            key: key.clone(),
            rule: RefCell::new(Rule::new(&self.config)),
            asked: Cell::new(self.asked.get()),
        });
        self.servers.borrow_mut().insert(server.key.clone(), Rc::clone(&server));
        set(&server.key, Some(self.config.initial));
        Some(server)
    }

    /// Forgets the server that was asked longest ago, of those that are not being asked.
    fn forget_one(&self) -> Option<Rc<Server>> {
        let mut servers = self.servers.borrow_mut();
        let unused = servers.values().filter(|server| Rc::strong_count(server) == 1);
        let server = Rc::clone(unused.min_by_key(|server| server.asked.get())?);
        servers.remove(&server.key);
        Some(server)
    }

    /// How often a limit became more, and less.
    pub(super) fn changes(&self) -> (u64, u64) {
        (self.raised.get(), self.lowered.get())
    }

    /// The servers, each with its limit and what is usual.
    pub(super) fn each(&self, mut tell: impl FnMut(&Key, usize, Option<Duration>)) {
        for server in self.servers.borrow().values() {
            let rule = server.rule.borrow();
            tell(&server.key, rule.limit(), rule.usual());
        }
    }
}

/// A request that is under way to a server with a limit: whoever has it tells how it went.
pub(super) struct Watch {
    limits: Rc<AdaptiveLimits>,
    server: Rc<Server>,
    /// As many changes for the worse had been seen when it began.
    epoch: u64,
    since: ExactInstant,
    /// It was told how it went.
    is_told: Cell<bool>,
}

impl Watch {
    /// `in_flight`: with this one.
    pub(super) fn new(limits: &Rc<AdaptiveLimits>, server: Rc<Server>, in_flight: usize) -> Self {
        let epoch = server.rule.borrow_mut().begin(in_flight);
        Self { limits: Rc::clone(limits), server, epoch, since: now(), is_told: Cell::new(false) }
    }

    pub(super) fn key(&self) -> &Key {
        &self.server.key
    }

    /// An answer came: gives the limit if that is another one now.
    pub(super) fn note_answer(&self, status: StatusCode, first_byte: Duration) -> Option<usize> {
        self.is_told.set(true);
        let is_failure = self.limits.config.statuses.contains(&status);
        self.note(if is_failure { Sample::Failure } else { Sample::Answer(first_byte) })
    }

    /// It failed before.
    pub(super) fn note_error(&self, error: &Error) -> Option<usize> {
        self.is_told.set(true);
        let is_refused = error.status().is_some_and(|status| self.limits.config.statuses.contains(&status));
        match error.kind() {
            // What was left of its time was perhaps too short for any answer.
            ErrorKind::Timeout => self.note(Sample::GivenUp(self.since.elapsed())),
            kind if is_refused || is_pressure(kind) => self.note(Sample::Failure),
            _ => None,
        }
    }

    /// It was dropped: a server that hangs shows by that only, where callers have times of their own.
    pub(super) fn note_drop(&self) -> Option<usize> {
        if self.is_told.get() { None } else { self.note(Sample::GivenUp(self.since.elapsed())) }
    }

    /// The body of its answer failed.
    pub(super) fn note_broken_body(&self, kind: ErrorKind) -> Option<usize> {
        if is_pressure(kind) { self.note(Sample::Failure) } else { None }
    }

    fn note(&self, sample: Sample) -> Option<usize> {
        let mut rule = self.server.rule.borrow_mut();
        count(match rule.note(&self.limits.config, self.epoch, sample)? {
            Change::Raised => &self.limits.raised,
            Change::Lowered => &self.limits.lowered,
        });
        Some(rule.limit())
    }
}

/// What a server that is asked too much does.
fn is_pressure(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Body
            | ErrorKind::Connect
            | ErrorKind::ConnectTimeout
            | ErrorKind::Disconnected
            | ErrorKind::FirstByteTimeout
            | ErrorKind::ReadTimeout
            | ErrorKind::TlsTimeout
            | ErrorKind::Write
            | ErrorKind::WriteTimeout
    )
}

#[cfg(test)]
mod tests {
    use super::super::location::Location;
    use super::*;

    fn key(number: usize) -> Key {
        let location = Location::parse(&format!("http://{number}.example/"), None).expect("a URL").0;
        Key::new(&location, None, None)
    }

    #[test]
    fn no_more_servers_are_remembered_than_allowed_and_none_that_is_asked_is_forgotten() {
        let mut config = AdaptiveLimit::default();
        config.servers_max = 3;
        let limits = AdaptiveLimits::new(&config);
        let set: RefCell<Vec<(String, Option<usize>)>> = RefCell::default();
        let ask = |number| {
            limits.server(&key(number), |key, limit| set.borrow_mut().push((format!("{key:?}"), limit)))
        };
        let held: Vec<_> = (0..2).map(|number| ask(number).expect("there is room")).collect();
        drop(ask(2));
        drop(ask(3).expect("the one that nobody asks goes"));
        assert_eq!(
            set.borrow()[3..],
            [("http://2.example".to_owned(), None), ("http://3.example".to_owned(), Some(1))]
        );
        let third = ask(4).expect("there is room");
        assert!(ask(5).is_none(), "all are asked");
        drop((held, third));
        drop(ask(0).expect("it is remembered"));
        drop(ask(5));
        assert!(set.borrow().contains(&("http://1.example".to_owned(), None)), "asked longest ago");
        assert_eq!(limits.servers.borrow().len(), 3);
    }

    #[test]
    fn values_that_cannot_work_are_named() {
        let refusal = |change: fn(&mut AdaptiveLimit)| {
            let mut config = AdaptiveLimit::default();
            change(&mut config);
            config.check().expect_err("it cannot work").to_string()
        };
        assert!(refusal(|config| config.min = 0).contains("AdaptiveLimit::min"));
        assert!(refusal(|config| config.servers_max = 0).contains("servers_max"));
        assert!(refusal(|config| config.initial = 201).contains("AdaptiveLimit::initial"));
        assert!(refusal(|config| config.min = 2).contains("AdaptiveLimit::initial"));
        assert!(refusal(|config| config.backoff_ratio = 1.0).contains("backoff_ratio"));
        assert!(refusal(|config| config.backoff_ratio = f64::NAN).contains("backoff_ratio"));
        assert!(refusal(|config| config.latency_ratio_max = 1.0).contains("latency_ratio_max"));
        let mut config = AdaptiveLimit::default();
        config.latency_ratio_max = f64::INFINITY;
        assert!(config.check().is_ok());
    }
}
