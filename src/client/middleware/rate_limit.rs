//! Requests to one server are sent no faster than it likes.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use ringhttp_runtime::sync::Semaphore;
use ringhttp_runtime::time::{Instant, Timers};

use super::super::error::{Error, ErrorKind, Result};
use super::super::response::Response;
use super::{Next, Request};

/// Sends no more than `requests` in `per` to one server (scheme, host and port): what is too much waits in a fair line, for as long
/// as its own time lasts. A server that was left alone for `per` is sent `requests` at once; each `per / requests` allows
/// another one.
///
/// Everything counts that is sent, for the server that it is sent to: each try by `ClientConfig::retry`, what a redirect leads to, what is sent again
/// to sign in, by this middleware or another; but not what is sent over a new connection because the one before was gone (`retry_lost`). So a request waits
/// just before it is sent, further in than all middleware.
///
/// It holds for the core and for the handle that it is given to, with its clones.
///
/// ```
/// # fn example(client: ringhttp::Client) -> ringhttp::client::Result<ringhttp::Client> {
/// use std::time::Duration;
/// use ringhttp::client::middleware;
///
/// Ok(client.with(middleware::rate_limit(10, Duration::from_secs(1))?))
/// # }
/// ```
///
/// # Errors
/// [`ErrorKind::Config`] if `requests` or `per` is zero.
pub fn rate_limit(
    requests: u32,
    per: Duration,
) -> Result<impl AsyncFn(Request, Next<'_>) -> Result<Response> + 'static> {
    if requests == 0 || per.is_zero() {
        return Err(Error::new(ErrorKind::Config).with_text("rate_limit: neither value may be zero"));
    }
    let pace = Pace { interval: per / requests, burst: per - per / requests };
    let limit = Rc::new(RateLimit { pace, lines: RefCell::default(), prune_at: Cell::new(PRUNE_AT_MIN) });
    Ok(async move |mut request: Request, next: Next<'_>| {
        request.outline.rate_limits.push(Rc::clone(&limit));
        next.run(request).await
    })
}

/// How fast requests may follow each other.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// A request uses up so much time.
    interval: Duration,
    /// Time may be used up so far ahead.
    burst: Duration,
}

/// How fast requests follow each other, for each server.
pub(in super::super) struct RateLimit {
    pace: Pace,
    lines: RefCell<HashMap<Rc<str>, Rc<Line>>>,
    /// Servers that are known when those are forgotten that nobody asks.
    prune_at: Cell<usize>,
}

/// Those who wait to ask one server.
struct Line {
    /// The first one in the line has it, and waits for time to pass.
    turn: Semaphore,
    /// The time is used up to here, since the clock's zero. Not in the clock's whole milliseconds: several requests may share one.
    used_until: Cell<Duration>,
}

impl RateLimit {
    /// Waits until one more may be sent to a server.
    pub(in super::super) async fn wait(&self, timers: &Timers, origin: &str) {
        let line = self.line(timers, origin);
        // It is never closed.
        let _turn = line.turn.acquire().await;
        let now = since_zero(timers);
        let used_until = line.used_until.get().max(now);
        let ahead = used_until - now;
        if ahead > self.pace.burst {
            timers.sleep(ahead - self.pace.burst).await;
        }
        // Only now: who goes away before uses nothing up.
        line.used_until.set(used_until.saturating_add(self.pace.interval));
    }

    fn line(&self, timers: &Timers, origin: &str) -> Rc<Line> {
        let mut lines = self.lines.borrow_mut();
        if let Some(line) = lines.get(origin) {
            return Rc::clone(line);
        }
        if lines.len() >= self.prune_at.get() {
            let now = since_zero(timers);
            let is_used = |line: &Rc<Line>| line.used_until.get() > now;
            lines.retain(|_, line| Rc::strong_count(line) > 1 || is_used(line));
            self.prune_at.set(PRUNE_AT_MIN.max(2 * lines.len()));
        }
        let line = Rc::new(Line { turn: Semaphore::new(1), used_until: Cell::default() });
        lines.insert(Rc::from(origin), Rc::clone(&line));
        line
    }
}

fn since_zero(timers: &Timers) -> Duration {
    timers.now() - Instant::default()
}

/// Fewer servers than that are not worth looking through.
const PRUNE_AT_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn servers(requests: u32) -> RateLimit {
        let pace = Pace { interval: SECOND / requests, burst: SECOND - SECOND / requests };
        RateLimit { pace, lines: RefCell::default(), prune_at: Cell::new(PRUNE_AT_MIN) }
    }

    fn paused() -> Timers {
        let timers = Timers::new();
        timers.pause();
        timers
    }

    fn poll(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> Poll<()> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_burst_then_an_even_pace_for_each_server() {
        let (timers, servers) = (paused(), servers(4));
        for _ in 0..4 {
            assert!(poll(pin!(servers.wait(&timers, "http://a"))).is_ready());
        }
        let (mut fifth, mut sixth) =
            (pin!(servers.wait(&timers, "http://a")), pin!(servers.wait(&timers, "http://a")));
        assert!(poll(fifth.as_mut()).is_pending() && poll(sixth.as_mut()).is_pending());
        assert!(poll(pin!(servers.wait(&timers, "http://b"))).is_ready(), "another server has another line");
        timers.advance(SECOND / 4 + Duration::from_millis(20));
        assert!(poll(fifth.as_mut()).is_ready());
        assert!(poll(sixth.as_mut()).is_pending());
        timers.advance(SECOND / 4);
        assert!(poll(sixth.as_mut()).is_ready());
    }

    #[test]
    fn a_pace_of_less_than_a_millisecond_is_kept() {
        let (timers, servers) = (paused(), servers(3000));
        let mut sent = 0;
        let mut send_all = || {
            while poll(pin!(servers.wait(&timers, "http://a"))).is_ready() {
                sent += 1;
            }
            sent
        };
        assert_eq!(send_all(), 3000);
        for _ in 0..1000 {
            timers.advance(SECOND / 1000);
            send_all();
        }
        assert_eq!(send_all(), 6000);
    }

    #[test]
    fn who_goes_away_uses_nothing_up() {
        let (timers, servers) = (paused(), servers(1));
        assert!(poll(pin!(servers.wait(&timers, "http://a"))).is_ready());
        for _ in 0..10 {
            assert!(poll(pin!(servers.wait(&timers, "http://a"))).is_pending());
        }
        timers.advance(SECOND + Duration::from_millis(20));
        assert!(poll(pin!(servers.wait(&timers, "http://a"))).is_ready());
    }

    #[test]
    fn servers_that_nobody_asks_are_forgotten() {
        let (timers, servers) = (paused(), servers(1));
        for number in 0..10_000 {
            assert!(poll(pin!(servers.wait(&timers, &format!("http://{number}")))).is_ready());
            timers.advance(SECOND);
        }
        assert!(servers.lines.borrow().len() <= PRUNE_AT_MIN);
    }
}
