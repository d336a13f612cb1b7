//! How many requests a core works on at a time, how many wait for that, and when it is better to refuse them.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use ringhttp_runtime::sync::{Permit, Semaphore};
use ringhttp_runtime::time::{Elapsed, Instant, Timers};

use super::answered::answered;
use crate::conn::{Request, Response, count};
use crate::error::{Error, Result};
use crate::web::Next;

/// The limits of [`concurrency`], for one core.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConcurrencyConfig {
    /// Requests whose handlers run at a time. Default 1000. Beyond: they wait in line, first come, first served.
    pub limit: usize,
    /// Requests that wait in line. Default 1000. Beyond: 503.
    pub queue_max: usize,
    /// How long the first in line may have waited while newcomers still join. Default 1 s. Beyond: newcomers get 503 until the
    /// line moves on, because whoever joins a line like this waits for nothing.
    pub queue_age_max: Duration,
    /// How long a request waits in line. Default 10 s. Then: 503.
    pub wait_max: Duration,
    /// What the 503s say in `Retry-After` (RFC 9110 §10.2.3), rounded up to whole seconds. Default 1 s.
    pub retry_after: Duration,
}

impl Default for ConcurrencyConfig {
    fn default() -> Self {
        Self {
            limit: 1000,
            queue_max: 1000,
            queue_age_max: Duration::from_secs(1),
            wait_max: Duration::from_secs(10),
            retry_after: Duration::from_secs(1),
        }
    }
}

/// Limits how many requests the handlers behind it work on at a time, and sheds load by the age of those that wait.
///
/// A request counts from its turn until its handler has returned: a streamed body does not, nor a WebSocket once it is open. One whose client goes away, if
/// [`CancelOnDisconnect`](crate::CancelOnDisconnect) says so, leaves the line or gives its place back at once.
///
/// Takes a [`ConcurrencyConfig`], or a [`ConcurrencyGate`] if somebody else is to know how it stands, or several routers
/// share one.
///
/// ```
/// use ringhttp::middleware::{ConcurrencyConfig, ConcurrencyGate, concurrency};
/// use ringhttp::{Request, Router};
///
/// async fn render(_: &(), _: Request) -> &'static str { "a costly page\n" }
///
/// let mut config = ConcurrencyConfig::default();
/// config.limit = 8;
/// config.queue_max = 100;
/// let gate = ConcurrencyGate::new(config);
/// let router = Router::new().get("/", render).with(concurrency(gate.clone()));
/// assert!(!gate.is_shedding());
/// # assert!(router.into_service(()).is_ok());
/// ```
pub fn concurrency<S: 'static>(
    gate: impl Into<ConcurrencyGate>,
) -> impl AsyncFn(&S, Request, Next<'_, S>) -> Result + 'static {
    let gate = gate.into();
    async move |_: &S, request: Request, next: Next<'_, S>| -> Result {
        let Some(permit) = gate.enter(request.timers()).await else {
            count(&gate.0.shed);
            return Ok(gate.refusal());
        };
        let takeover = request.takeover();
        let mut handler = pin!(next.run(request));
        let response = answered(handler.as_mut(), &takeover).await;
        drop(permit);
        match response {
            Some(response) => Ok(response),
            None => Ok(handler.await),
        }
    }
}

/// What a [`concurrency`] of one core lets through. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct ConcurrencyGate(Rc<Inner>);

struct Inner {
    config: ConcurrencyConfig,
    permits: Semaphore,
    line: RefCell<Line>,
    shed: Cell<u64>,
}

/// Since when who waits: by number, in the order they came, so the first is the oldest.
#[derive(Default)]
struct Line {
    since: BTreeMap<u64, Instant>,
    next_number: u64,
    /// The clock of the last request, for those who ask from outside.
    timers: Option<Timers>,
}

/// A place in the line. Dropping it leaves the line.
struct Place<'a> {
    gate: &'a Inner,
    number: u64,
}

impl ConcurrencyGate {
    /// A gate with nobody in it.
    #[must_use]
    pub fn new(config: ConcurrencyConfig) -> Self {
        let permits = Semaphore::new(config.limit);
        Self(Rc::new(Inner { config, permits, line: RefCell::default(), shed: Cell::new(0) }))
    }

    /// Whether a newcomer would be refused now: the line is full, or its first has waited too long. What a readiness check
    /// says.
    #[must_use]
    pub fn is_shedding(&self) -> bool {
        let line = self.0.line.borrow();
        let Some(timers) = &line.timers else {
            return false;
        };
        self.0.sheds(&line, timers.now())
    }

    /// Requests whose handlers run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.0.config.limit - self.0.permits.available()
    }

    /// Requests that wait in line.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.line.borrow().since.len()
    }

    /// Requests that were refused so far.
    #[must_use]
    pub fn shed(&self) -> u64 {
        self.0.shed.get()
    }

    /// Waits for a request's turn; `None` if it is refused.
    async fn enter(&self, timers: &Timers) -> Option<Permit> {
        if let Some(permit) = self.0.permits.try_acquire() {
            return Some(permit);
        }
        let place = self.0.join(timers)?;
        let turn = timers.timeout(self.0.config.wait_max, self.0.permits.acquire()).await;
        drop(place);
        match turn {
            Ok(permit) => permit.ok(),
            Err(Elapsed) => None,
        }
    }

    fn refusal(&self) -> Response {
        let after = self.0.config.retry_after;
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        let error = Error::new(StatusCode::SERVICE_UNAVAILABLE).with_text("too many requests are waiting");
        Response::from(error).with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }
}

impl Inner {
    fn sheds(&self, line: &Line, now: Instant) -> bool {
        let config = &self.config;
        let oldest = line.since.first_key_value().map(|(_, since)| *since);
        let is_old = oldest.is_some_and(|since| now - since > config.queue_age_max);
        let is_full = line.since.len() >= config.queue_max && self.permits.available() == 0;
        is_full || is_old
    }

    fn join(&self, timers: &Timers) -> Option<Place<'_>> {
        let mut line = self.line.borrow_mut();
        if line.timers.is_none() {
            line.timers = Some(timers.clone());
        }
        if self.sheds(&line, timers.now()) {
            return None;
        }
        let number = line.next_number;
        line.next_number += 1;
        line.since.insert(number, timers.now());
        Some(Place { gate: self, number })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.gate.line.borrow_mut().since.remove(&self.number);
    }
}

impl From<ConcurrencyConfig> for ConcurrencyGate {
    fn from(config: ConcurrencyConfig) -> Self {
        Self::new(config)
    }
}

impl fmt::Debug for ConcurrencyGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyGate")
            .field("running", &self.running())
            .field("waiting", &self.waiting())
            .field("shed", &self.shed())
            .finish_non_exhaustive()
    }
}
