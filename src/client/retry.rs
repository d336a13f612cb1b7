//! When a request that failed is sent once more, and how much of that a client allows itself.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use ringhttp_runtime::time::{Instant, Timers};

use super::error::{Error, ErrorKind, Result};

/// How a request that failed is tried again: see `ClientConfig::retry`.
///
/// What failed and is tried again: a connection that was not made or was lost before the head of an answer came, a time that was
/// over (but that of the whole request and that of the wait for a place among the connections), an answer with one of `statuses`. Not
/// tried again is a body of an answer that breaks off: what was read of it is with the caller.
///
/// A try is made only of a request that does no harm twice: an idempotent one (RFC 9110 §9.2.2), or one that nothing was sent of;
/// only if its body can be sent again (bytes, text, files, [`body_from`](super::RequestBuilder::body_from)); only if the client's
/// [`RetryBudget`] allows it; and never if it would begin after the time of the request is over. Otherwise the caller is
/// given the answer or the error that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryConfig {
    /// Tries in all, the first included. Default 3. At least 1. Then: the last answer or error is what the caller gets. A redirect
    /// goes on with those that are left.
    pub tries_max: u32,
    /// The time before the second try is random, up to this ("full jitter"); before each further one up to twice as long. Default
    /// 100 ms.
    pub delay: Duration,
    /// What that grows to at the most. Default 10 s.
    pub delay_max: Duration,
    /// Answers that are failures. Default 429, 502, 503 and 504.
    pub statuses: Vec<StatusCode>,
    /// How long a server may ask to be left alone by `Retry-After` (RFC 9110 §10.2.3): the next try begins no sooner than that.
    /// Default 30 s. Beyond: its answer is the answer. Zero does not listen to it.
    pub retry_after_max: Duration,
    /// Whether requests that are not idempotent (POST, PATCH) are tried again, too, after they may have been seen. Default false.
    pub non_idempotent: bool,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            tries_max: 3,
            delay: Duration::from_millis(100),
            delay_max: Duration::from_secs(10),
            statuses: vec![
                StatusCode::TOO_MANY_REQUESTS,
                StatusCode::BAD_GATEWAY,
                StatusCode::SERVICE_UNAVAILABLE,
                StatusCode::GATEWAY_TIMEOUT,
            ],
            retry_after_max: Duration::from_secs(30),
            non_idempotent: false,
        }
    }
}

impl RetryConfig {
    pub(super) fn check(&self) -> Result<()> {
        if self.tries_max == 0 {
            let error = Error::new(ErrorKind::Config);
            return Err(error.with_text("RetryConfig::tries_max must not be 0: 1 tries once"));
        }
        Ok(())
    }

    /// Whether an error may pass by itself.
    pub(super) fn is_failure(&self, error: &Error, is_idempotent: bool) -> bool {
        let is_of_server = !matches!(
            error.kind(),
            ErrorKind::CircuitOpen | ErrorKind::PoolFull | ErrorKind::PoolTimeout | ErrorKind::Timeout
        );
        is_of_server && error.may_pass(is_idempotent || self.non_idempotent)
    }

    /// Whether an answer may be another one next time.
    pub(super) fn is_status_of_failure(&self, status: StatusCode, is_idempotent: bool) -> bool {
        (is_idempotent || self.non_idempotent) && self.statuses.contains(&status)
    }

    /// How long to wait before the next try, behind so many; `None` if the server asks for more than is given. `share` of 2^32
    /// is chance.
    pub(super) fn delay_behind(&self, tries: u32, asked: Option<Duration>, share: u32) -> Option<Duration> {
        let factor = 2_u32.saturating_pow(tries.saturating_sub(1));
        let longest = self.delay.saturating_mul(factor).min(self.delay_max);
        let delay = part_of(longest, share);
        match asked {
            Some(_) if self.retry_after_max.is_zero() => Some(delay),
            Some(asked) if asked > self.retry_after_max => None,
            Some(asked) => Some(delay.max(asked)),
            None => Some(delay),
        }
    }
}

/// A part of a time: `share` of 2^32.
pub(super) fn part_of(time: Duration, share: u32) -> Duration {
    let seconds = time.as_secs_f64() * (f64::from(share) / f64::from(u32::MAX));
    Duration::try_from_secs_f64(seconds).unwrap_or(time)
}

/// How long the server asks to be left alone (RFC 9110 §10.2.3): seconds, or a date.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are for ever.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// How many tries beside the first a client allows itself, over all its requests: so that a server that is down is not asked three
/// times as often as one that is well. See `ClientConfig::retry_budget`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryBudget {
    /// Of 100 requests so many may be tried once more. Default 10.
    pub percent: u32,
    /// So many tries in ten seconds are free beside that, for clients that ask seldom. Default 10.
    pub tries_min: u32,
    /// Tries that can be saved up. Default 100. Then: what comes in is lost. At least `tries_min`.
    pub tries_max: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { percent: 10, tries_min: 10, tries_max: 100 }
    }
}

impl RetryBudget {
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |text: &str| Err(Error::new(ErrorKind::Config).with_text(text));
        if self.percent > 100 {
            return wrong("RetryBudget::percent must not be more than 100");
        }
        if self.tries_max < self.tries_min {
            return wrong("RetryBudget::tries_max must not be less than tries_min");
        }
        Ok(())
    }
}

/// What is left of a [`RetryBudget`].
pub(super) struct Allowance {
    budget: RetryBudget,
    timers: Timers,
    /// In parts of a [`TRY`].
    left: Cell<u64>,
    /// When the free ones were last added.
    filled_at: Cell<Instant>,
}

impl Allowance {
    pub(super) fn new(budget: &RetryBudget, timers: &Timers) -> Self {
        let left = Cell::new(u64::from(budget.tries_min) * TRY);
        Self { budget: budget.clone(), timers: timers.clone(), left, filled_at: Cell::new(timers.now()) }
    }

    /// A request is sent for the first time.
    pub(super) fn note_request(&self) {
        self.add(u64::from(self.budget.percent) * TRY / 100);
    }

    /// Takes a try, if there is one.
    pub(super) fn take(&self) -> bool {
        let now = self.timers.now();
        let passed = u64::try_from((now - self.filled_at.replace(now)).as_millis()).unwrap_or(u64::MAX);
        let free = passed.saturating_mul(u64::from(self.budget.tries_min));
        self.add(free);
        let left = self.left.get().checked_sub(TRY);
        left.inspect(|left| self.left.set(*left)).is_some()
    }

    fn add(&self, parts: u64) {
        let most = u64::from(self.budget.tries_max) * TRY;
        self.left.set(self.left.get().saturating_add(parts).min(most));
    }
}

/// A try, in as many parts as the time has milliseconds in which `RetryBudget::tries_min` are free: each millisecond adds `tries_min`
/// parts, and nothing is lost to rounding, however often it is asked.
const TRY: u64 = 10_000;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn delays_double_and_are_random_below() {
        let config = RetryConfig::default();
        let longest = |tries| config.delay_behind(tries, None, u32::MAX).map(|delay| delay.as_millis());
        let delays: Vec<_> = (1..=9).filter_map(longest).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(longest(u32::MAX), Some(10_000));
        assert_eq!(config.delay_behind(5, None, 0), Some(Duration::ZERO));
        let half = config.delay_behind(1, None, u32::MAX / 2).expect("no server asks");
        assert!(half.abs_diff(Duration::from_millis(50)) < Duration::from_millis(1), "{half:?}");
    }

    #[test]
    fn a_server_is_left_alone_as_long_as_it_asks_up_to_a_limit() {
        let mut config = RetryConfig::default();
        assert_eq!(config.delay_behind(1, Some(3 * SECOND), 7), Some(3 * SECOND));
        assert_eq!(config.delay_behind(1, Some(Duration::ZERO), u32::MAX), Some(config.delay));
        assert_eq!(config.delay_behind(1, Some(31 * SECOND), 7), None);
        config.retry_after_max = Duration::ZERO;
        assert_eq!(config.delay_behind(1, Some(31 * SECOND), 0), Some(Duration::ZERO));
    }

    #[test]
    fn rfc9110_10_2_3_values() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
        let cases: &[(&[u8], Option<u64>)] = &[
            (b"0", Some(0)),
            (b"120", Some(120)),
            (b" 7 ", Some(7)),
            (b"99999999999999999999999", Some(u64::MAX)),
            (b"Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            (b"Sun, 06 Nov 1994 08:49:36 GMT", Some(0)),
            (b"-1", None),
            (b"+1", None),
            (b"1.5", None),
            (b"", None),
            (b"soon", None),
            (b"\xff", None),
        ];
        for (value, seconds) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_bytes(value).expect("a value"));
            let asked = retry_after(&headers, now);
            assert_eq!(asked, seconds.map(Duration::from_secs), "{}", value.escape_ascii());
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn what_is_tried_again() {
        let mut config = RetryConfig::default();
        let cases = [
            (ErrorKind::Connect, true, true),
            (ErrorKind::Resolve, true, true),
            (ErrorKind::Disconnected, true, false),
            (ErrorKind::FirstByteTimeout, true, false),
            (ErrorKind::WriteTimeout, true, false),
            (ErrorKind::CircuitOpen, false, false),
            (ErrorKind::PoolTimeout, false, false),
            (ErrorKind::Timeout, false, false),
            (ErrorKind::Protocol, false, false),
            (ErrorKind::Certificate, false, false),
        ];
        for (kind, idempotent, other) in cases {
            let error = Error::new(kind);
            assert_eq!(config.is_failure(&error, true), idempotent, "{kind:?}");
            assert_eq!(config.is_failure(&error, false), other, "{kind:?}");
        }
        assert!(config.is_status_of_failure(StatusCode::BAD_GATEWAY, true));
        assert!(!config.is_status_of_failure(StatusCode::BAD_GATEWAY, false));
        assert!(!config.is_status_of_failure(StatusCode::INTERNAL_SERVER_ERROR, true));
        config.non_idempotent = true;
        assert!(config.is_failure(&Error::new(ErrorKind::Disconnected), false));
        assert!(config.is_status_of_failure(StatusCode::BAD_GATEWAY, false));
    }

    #[test]
    fn a_budget_is_a_part_of_the_requests_and_a_few() {
        let timers = Timers::new();
        timers.pause();
        let allowance = Allowance::new(&RetryBudget::default(), &timers);
        let taken = |allowance: &Allowance| std::iter::from_fn(|| allowance.take().then_some(())).count();
        assert_eq!(taken(&allowance), 10);
        for _ in 0..200 {
            allowance.note_request();
        }
        assert_eq!(taken(&allowance), 20);
        timers.advance(SECOND);
        assert_eq!(taken(&allowance), 1);
        timers.advance(1000 * SECOND);
        assert_eq!(taken(&allowance), 100, "no more are saved up");
        let endless = RetryBudget { percent: 0, tries_min: u32::MAX, tries_max: u32::MAX };
        let endless = Allowance::new(&endless, &timers);
        timers.advance(10_000 * SECOND);
        assert!(endless.take(), "a few hours are no overflow");
        let none = RetryBudget { percent: 0, tries_min: 0, tries_max: 0 };
        assert_eq!(taken(&Allowance::new(&none, &timers)), 0);
        assert!(none.check().is_ok() && RetryBudget { percent: 101, ..none }.check().is_err());
    }

    #[test]
    fn free_tries_come_however_often_they_are_asked_for() {
        let timers = Timers::new();
        timers.pause();
        let budget = RetryBudget { percent: 0, tries_min: 1, tries_max: 1 };
        let allowance = Allowance::new(&budget, &timers);
        assert!(allowance.take());
        let taken = (0..20_000).filter(|_| {
            timers.advance(Duration::from_millis(1));
            allowance.take()
        });
        assert_eq!(taken.count(), 2);
    }

    #[test]
    fn times_are_shared_out() {
        assert_eq!(part_of(SECOND, 0), Duration::ZERO);
        assert_eq!(part_of(SECOND, u32::MAX), SECOND);
        assert_eq!(part_of(Duration::MAX, u32::MAX), Duration::MAX);
    }
}
