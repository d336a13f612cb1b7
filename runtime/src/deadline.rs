//! A deadline that travels: what is polled under one can ask for it, however deep it lies, without being handed it.
//!
//! It is a cell of the thread that is set while a future is polled, and set back behind each poll, so concurrent tasks
//! of a core never see each other's. A task that is spawned begins without one.
//!
//! ```
//! # use std::time::Duration;
//! use ringhttp_runtime::deadline;
//!
//! # async fn example(timers: &ringhttp_runtime::time::Timers) {
//! let until = timers.now() + Duration::from_secs(1);
//! let seen = deadline::within(timers, until, async { deadline::current() }).await;
//! assert_eq!(seen, Ok(Some(until)));
//! assert_eq!(deadline::current(), None);
//! # }
//! ```
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::time::{Elapsed, Instant, Timers};

thread_local! {
    static CURRENT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The deadline under which the calling code is polled: the earliest of those around it.
#[must_use]
pub fn current() -> Option<Instant> {
    CURRENT.get()
}

/// The time that is left by `timers` until [`current`], zero if it has passed.
#[must_use]
pub fn remaining(timers: &Timers) -> Option<Duration> {
    current().map(|at| at - timers.now())
}

/// Waits for `future`, but no longer than until `at`, nor than until the deadline around this call; both are
/// [`current`] for what `future` does.
///
/// # Errors
/// [`Elapsed`] when the time is over; `future` is dropped then.
///
/// # Cancellation
/// `future` is dropped.
pub async fn within<F: Future>(timers: &Timers, at: Instant, future: F) -> Result<F::Output, Elapsed> {
    let at = current().map_or(at, |outer| outer.min(at));
    let deadline = timers.deadline();
    deadline.set_at(at);
    let mut future = pin!(future);
    poll_fn(|cx| {
        let scope = Scope::enter(at);
        let polled = future.as_mut().poll(cx);
        drop(scope);
        match polled {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => deadline.poll_expired(cx).map(|()| Err(Elapsed)),
        }
    })
    .await
}

/// Sets the cell back when it goes, by a panic too.
struct Scope(Option<Instant>);

impl Scope {
    fn enter(at: Instant) -> Self {
        Self(CURRENT.replace(Some(at)))
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::task::{Context, Waker};

    use super::*;

    fn paused() -> Timers {
        let timers = Timers::new();
        timers.pause();
        timers
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_earliest_of_nested_deadlines_is_current_and_none_is_left_behind() {
        let timers = paused();
        let now = timers.now();
        let (nearest, near, far) = (now + SECOND / 2, now + SECOND, now + 2 * SECOND);
        let seen = RefCell::new(Vec::new());
        let look = || seen.borrow_mut().push(current());
        let mut outer = pin!(within(&timers, near, async {
            look();
            let _ = within(&timers, far, async { look() }).await;
            let _ = within(&timers, nearest, async { look() }).await;
            look();
            pending::<()>().await;
        }));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(outer.as_mut().poll(&mut cx).is_pending());
        assert_eq!(*seen.borrow(), [Some(near), Some(near), Some(nearest), Some(near)]);
        assert_eq!(current(), None);
    }

    #[test]
    fn the_future_is_dropped_at_the_earlier_deadline() {
        let timers = paused();
        let (near, far) = (timers.now() + SECOND, timers.now() + 9 * SECOND);
        let mut inner_end = None;
        {
            let mut both = pin!(within(&timers, near, async {
                inner_end = Some(within(&timers, far, pending::<()>()).await);
                pending::<()>().await;
            }));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(both.as_mut().poll(&mut cx).is_pending());
            timers.advance(SECOND);
            assert_eq!(both.as_mut().poll(&mut cx), Poll::Ready(Err(Elapsed)));
        }
        assert_eq!(inner_end, Some(Err(Elapsed)), "the inner one ends no later than the outer one");
    }

    #[test]
    fn a_panic_takes_its_deadline_with_it() {
        let timers = paused();
        let mut panics = pin!(within(&timers, timers.now() + SECOND, async { panic!("on purpose") }));
        let mut cx = Context::from_waker(Waker::noop());
        let poll =
            catch_unwind(AssertUnwindSafe(|| panics.as_mut().poll(&mut cx).map(|_: Result<(), _>| ())));
        assert!(poll.is_err());
        assert_eq!(current(), None);
    }

    #[test]
    fn what_is_left_is_told() {
        let timers = paused();
        assert_eq!(remaining(&timers), None);
        let mut future =
            pin!(within(&timers, timers.now() + SECOND, async { (remaining(&timers), timers.now()) }));
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(Ok((Some(SECOND), timers.now()))));
    }
}
