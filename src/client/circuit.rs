//! A server that fails is left alone for a while: a circuit breaker for each.
//!
//! A circuit is made when its server fails for the first time, and forgotten when it fares well again, so a client that asks
//! many servers remembers those in trouble only.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use ringhttp_runtime::time::{Instant, Timers};

use super::error::{Error, ErrorKind, Result};
use crate::conn::count;

/// When a server is left alone: see `ClientConfig::circuit_breaker`.
///
/// Requests to each server (scheme, host and port) are counted, from its first failure on. When in `window` at least `failures_min` have failed, and they are
/// at least `failure_percent` of all, the circuit is open: requests fail at once, with
/// [`ErrorKind::CircuitOpen`]. After `open_time` one request is let through; if it goes well the circuit is closed and
/// all is as before, otherwise it stays open for as long again.
///
/// A failure is a connection that is not made or breaks before the head of an answer, a time that is over, a broken protocol, an
/// answer with one of `statuses`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CircuitBreakerConfig {
    /// Failures within `window` below which nothing happens. Default 10. At least 1.
    pub failures_min: u32,
    /// The share of the requests within `window` that has to have failed. Default 50.
    pub failure_percent: u32,
    /// How long a request counts, to a tenth. Default 10 s.
    pub window: Duration,
    /// How long a server is left alone. Default 5 s.
    pub open_time: Duration,
    /// Answers that are failures. Default 502, 503 and 504.
    pub statuses: Vec<StatusCode>,
    /// Servers in trouble that are remembered. Default 1000. Then: others are not left alone.
    pub servers_max: usize,
}

impl Default for CircuitBreakerConfig {
    fn default() -> Self {
        Self {
            failures_min: 10,
            failure_percent: 50,
            window: Duration::from_secs(10),
            open_time: Duration::from_secs(5),
            statuses: vec![
                StatusCode::BAD_GATEWAY,
                StatusCode::SERVICE_UNAVAILABLE,
                StatusCode::GATEWAY_TIMEOUT,
            ],
            servers_max: 1000,
        }
    }
}

impl CircuitBreakerConfig {
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |text: &str| {
            let text = format!("CircuitBreakerConfig::{text}");
            Err(Error::new(ErrorKind::Config).with_text(text))
        };
        if self.failures_min == 0 || self.servers_max == 0 {
            return wrong("failures_min and servers_max must not be 0");
        }
        if self.failure_percent > 100 {
            return wrong("failure_percent must not be more than 100");
        }
        if self.window < Duration::from_millis(100) || self.open_time.is_zero() {
            return wrong("window must not be shorter than 100 ms, nor open_time zero");
        }
        Ok(())
    }
}

/// Whether a server is asked: see [`Client::circuits`](super::Client::circuits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CircuitState {
    /// It has failed lately, and is asked all the same.
    Closed,
    /// It is left alone.
    Open,
    /// It was left alone for long enough: the next request is let through, or one is under way that shows how it fares.
    HalfOpen,
}

/// The circuits of one client.
pub(super) struct Circuits {
    config: CircuitBreakerConfig,
    timers: Timers,
    circuits: RefCell<HashMap<Rc<str>, Rc<Circuit>>>,
    opened: Cell<u64>,
    refused: Cell<u64>,
}

/// What is known of one server in trouble.
struct Circuit {
    state: Cell<State>,
    window: RefCell<Window>,
}

#[derive(Clone, Copy)]
enum State {
    Closed,
    OpenUntil(Instant),
    Probed,
}

/// The right to ask a server. Dropped without a word it says nothing about the server.
pub(super) struct Pass<'a> {
    circuits: &'a Circuits,
    /// The circuit that this request is to close or to open again.
    probed: Option<Rc<Circuit>>,
}

impl Circuits {
    pub(super) fn new(config: &CircuitBreakerConfig, timers: &Timers) -> Self {
        Self {
            config: config.clone(),
            timers: timers.clone(),
            circuits: RefCell::default(),
            opened: Cell::new(0),
            refused: Cell::new(0),
        }
    }

    /// Asks for the right to ask a server.
    ///
    /// # Errors
    /// [`ErrorKind::CircuitOpen`] if it is left alone.
    pub(super) fn enter(&self, origin: &str) -> Result<Pass<'_>> {
        let circuit = self.circuits.borrow().get(origin).map(Rc::clone);
        let Some(circuit) = circuit else { return Ok(Pass { circuits: self, probed: None }) };
        match circuit.state.get() {
            State::Closed => Ok(Pass { circuits: self, probed: None }),
            State::OpenUntil(until) if until <= self.timers.now() => {
                circuit.state.set(State::Probed);
                Ok(Pass { circuits: self, probed: Some(circuit) })
            }
            State::OpenUntil(_) | State::Probed => {
                count(&self.refused);
                Err(Error::new(ErrorKind::CircuitOpen))
            }
        }
    }

    pub(super) fn is_status_of_failure(&self, status: StatusCode) -> bool {
        self.config.statuses.contains(&status)
    }

    fn note(&self, origin: &str, has_failed: bool) {
        let circuit = match self.circuits.borrow().get(origin) {
            Some(circuit) => Rc::clone(circuit),
            None if has_failed => Rc::default(),
            None => return,
        };
        let State::Closed = circuit.state.get() else { return };
        let now = self.timers.now();
        let (requests, failures) = circuit.window.borrow_mut().note(now, self.config.window, has_failed);
        if failures == 0 {
            self.circuits.borrow_mut().remove(origin);
            return;
        }
        let is_share =
            u64::from(failures) * 100 >= u64::from(requests) * u64::from(self.config.failure_percent);
        if has_failed && failures >= self.config.failures_min && is_share {
            self.open(&circuit);
        }
        if has_failed {
            self.remember(origin, circuit);
        }
    }

    fn open(&self, circuit: &Circuit) {
        circuit.state.set(State::OpenUntil(self.timers.now() + self.config.open_time));
        *circuit.window.borrow_mut() = Window::default();
        count(&self.opened);
    }

    fn remember(&self, origin: &str, circuit: Rc<Circuit>) {
        let mut circuits = self.circuits.borrow_mut();
        if circuits.contains_key(origin) {
            return;
        }
        if circuits.len() >= self.config.servers_max {
            let now = self.timers.now();
            circuits.retain(|_, circuit| circuit.is_in_trouble(now, self.config.window));
        }
        if circuits.len() < self.config.servers_max {
            circuits.insert(Rc::from(origin), circuit);
        }
    }

    /// The servers in trouble.
    pub(super) fn states(&self) -> Vec<(String, CircuitState)> {
        let now = self.timers.now();
        let circuits = self.circuits.borrow();
        let in_trouble =
            circuits.iter().filter(|(_, circuit)| circuit.is_in_trouble(now, self.config.window));
        in_trouble.map(|(origin, circuit)| (origin.to_string(), circuit.state(now))).collect()
    }

    /// Servers that are left alone now.
    pub(super) fn open_now(&self) -> usize {
        let now = self.timers.now();
        self.circuits.borrow().values().filter(|circuit| circuit.state(now) != CircuitState::Closed).count()
    }

    /// How often a server began to be left alone, or was for longer.
    pub(super) fn opened(&self) -> u64 {
        self.opened.get()
    }

    /// Requests that were not sent.
    pub(super) fn refused(&self) -> u64 {
        self.refused.get()
    }
}

impl Default for Circuit {
    fn default() -> Self {
        Self { state: Cell::new(State::Closed), window: RefCell::default() }
    }
}

impl Circuit {
    fn state(&self, now: Instant) -> CircuitState {
        match self.state.get() {
            State::Closed => CircuitState::Closed,
            State::OpenUntil(until) if until > now => CircuitState::Open,
            State::OpenUntil(_) | State::Probed => CircuitState::HalfOpen,
        }
    }

    fn is_in_trouble(&self, now: Instant, window: Duration) -> bool {
        self.state(now) != CircuitState::Closed || self.window.borrow_mut().sum(now, window).1 > 0
    }
}

impl Pass<'_> {
    /// Says how the server fared.
    pub(super) fn note(mut self, origin: &str, has_failed: bool) {
        let Some(circuit) = self.probed.take() else { return self.circuits.note(origin, has_failed) };
        if has_failed {
            self.circuits.open(&circuit);
        } else {
            self.circuits.circuits.borrow_mut().remove(origin);
        }
    }
}

/// A probe that nobody has seen the end of: the next request is one.
impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(circuit) = &self.probed {
            circuit.state.set(State::OpenUntil(self.circuits.timers.now()));
        }
    }
}

/// What was counted lately: a ring of slices of the window.
#[derive(Default)]
struct Window {
    /// Requests and failures.
    slices: [(u32, u32); SLICES],
    /// The slice that is counted in, and since when.
    current: usize,
    since: Option<Instant>,
}

impl Window {
    /// Counts a request, and gives the sums.
    fn note(&mut self, now: Instant, window: Duration, has_failed: bool) -> (u32, u32) {
        self.turn(now, window);
        let (requests, failures) = &mut self.slices[self.current];
        *requests = requests.saturating_add(1);
        *failures = failures.saturating_add(u32::from(has_failed));
        self.sums()
    }

    fn sum(&mut self, now: Instant, window: Duration) -> (u32, u32) {
        self.turn(now, window);
        self.sums()
    }

    fn sums(&self) -> (u32, u32) {
        let add = |sum: (u32, u32), slice: &(u32, u32)| {
            (sum.0.saturating_add(slice.0), sum.1.saturating_add(slice.1))
        };
        self.slices.iter().fold((0, 0), add)
    }

    /// Empties the slices whose time is over.
    fn turn(&mut self, now: Instant, window: Duration) {
        let slice = window / SLICES_U32;
        let since = *self.since.get_or_insert(now);
        let passed = (now - since).as_nanos() / slice.as_nanos();
        let turns = usize::try_from(passed).unwrap_or(SLICES).min(SLICES);
        for _ in 0..turns {
            self.current = (self.current + 1) % SLICES;
            self.slices[self.current] = (0, 0);
        }
        match u32::try_from(passed) {
            Ok(passed) if turns < SLICES => self.since = Some(since + slice * passed),
            _ => self.since = Some(now),
        }
    }
}

/// Parts of a window that are forgotten one by one.
const SLICES: usize = 10;
const SLICES_U32: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const ORIGIN: &str = "http://a";

    fn circuits(change: impl FnOnce(&mut CircuitBreakerConfig)) -> (Timers, Circuits) {
        let timers = Timers::new();
        timers.pause();
        let mut config = CircuitBreakerConfig::default();
        config.failures_min = 4;
        change(&mut config);
        config.check().expect("it can work");
        let circuits = Circuits::new(&config, &timers);
        (timers, circuits)
    }

    fn ask(circuits: &Circuits, has_failed: bool) -> bool {
        circuits.enter(ORIGIN).map(|pass| pass.note(ORIGIN, has_failed)).is_ok()
    }

    fn state(circuits: &Circuits) -> Option<CircuitState> {
        circuits.states().first().map(|(origin, state)| {
            assert_eq!(origin, ORIGIN);
            *state
        })
    }

    #[test]
    fn it_opens_lets_one_through_and_closes() {
        let (timers, circuits) = circuits(|_| {});
        assert_eq!(state(&circuits), None);
        for _ in 0..3 {
            assert!(ask(&circuits, true));
        }
        assert_eq!(state(&circuits), Some(CircuitState::Closed));
        assert!(ask(&circuits, true));
        assert_eq!((state(&circuits), circuits.open_now()), (Some(CircuitState::Open), 1));
        assert!(!ask(&circuits, false));
        timers.advance(6 * SECOND);
        assert_eq!(state(&circuits), Some(CircuitState::HalfOpen));
        let probe = circuits.enter(ORIGIN).expect("one is let through");
        assert!(circuits.enter(ORIGIN).is_err(), "one");
        probe.note(ORIGIN, true);
        assert_eq!(state(&circuits), Some(CircuitState::Open));
        assert!(circuits.enter(ORIGIN).is_err());
        timers.advance(6 * SECOND);
        drop(circuits.enter(ORIGIN).expect("one is let through"));
        let probe = circuits.enter(ORIGIN).expect("the one before said nothing");
        probe.note(ORIGIN, false);
        assert_eq!((state(&circuits), circuits.open_now()), (None, 0));
        assert!(ask(&circuits, false));
        assert_eq!((circuits.opened(), circuits.refused()), (2, 3));
    }

    #[test]
    fn a_share_has_to_fail_and_within_a_time() {
        let (timers, circuits) = circuits(|_| {});
        ask(&circuits, true);
        for _ in 0..100 {
            ask(&circuits, false);
        }
        for _ in 0..20 {
            assert!(ask(&circuits, true), "of 121 no half has failed");
        }
        timers.advance(11 * SECOND);
        assert_eq!(state(&circuits), None, "what was is forgotten");
        for _ in 0..20 {
            assert!(ask(&circuits, true), "3 within a window are not 4");
            timers.advance(4 * SECOND);
        }
    }

    #[test]
    fn what_was_begun_before_it_opened_says_nothing_more() {
        let (_, circuits) = circuits(|_| {});
        let late: Vec<_> = (0..4).map(|_| circuits.enter(ORIGIN).expect("it is closed")).collect();
        (0..4).for_each(|_| assert!(ask(&circuits, true)));
        for pass in late {
            pass.note(ORIGIN, false);
        }
        assert_eq!((state(&circuits), circuits.opened()), (Some(CircuitState::Open), 1));
    }

    #[test]
    fn no_more_servers_are_remembered_than_allowed_and_those_that_fare_well_go() {
        let (timers, circuits) = circuits(|config| config.servers_max = 10);
        let fail = |number: u32| {
            let origin = format!("http://{number}");
            circuits.enter(&origin).expect("it is closed").note(&origin, true);
        };
        (0..100).for_each(fail);
        assert_eq!(circuits.states().len(), 10);
        timers.advance(11 * SECOND);
        (200..205).for_each(fail);
        assert_eq!(circuits.states().len(), 5);
    }

    #[test]
    fn values_that_cannot_work_are_named() {
        let refusal = |change: fn(&mut CircuitBreakerConfig)| {
            let mut config = CircuitBreakerConfig::default();
            change(&mut config);
            config.check().expect_err("it cannot work").to_string()
        };
        assert!(refusal(|config| config.failures_min = 0).contains("failures_min"));
        assert!(refusal(|config| config.failure_percent = 101).contains("failure_percent"));
        assert!(refusal(|config| config.window = Duration::ZERO).contains("window"));
        assert!(refusal(|config| config.open_time = Duration::ZERO).contains("open_time"));
    }
}
