//! Waiting for a place in a pool.
#![forbid(unsafe_code)]

use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::grant::{Aftermath, Grant, Granted};
use super::{Inner, Place, PoolError, Priority};
use crate::stats::count;
use crate::time::{Deadline, Instant};

/// How to ask for a place.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct AcquireOptions {
    /// Who is served first. Default: [`Priority::Normal`].
    pub priority: Priority,
    /// Until when to wait. Default: for ever.
    pub until: Option<Instant>,
}

/// Waits for a place: see [`Pool::acquire`](super::Pool::acquire).
#[must_use = "futures do nothing unless awaited"]
pub struct Acquire<K: Clone + Eq + Hash, T> {
    pool: Rc<Inner<K, T>>,
    state: State<K, T>,
    until: Option<Instant>,
    deadline: Option<Deadline>,
}

enum State<K: Clone + Eq + Hash, T> {
    /// It was had at once, or refused.
    Ready(Option<Result<Place<K, T>, PoolError>>),
    /// It has to wait, and has not been polled yet.
    New {
        key: K,
        priority: Priority,
    },
    Waiting {
        waiter: usize,
    },
}

impl<K: Clone + Eq + Hash, T> Unpin for Acquire<K, T> {}

impl<K: Clone + Eq + Hash, T> Acquire<K, T> {
    pub(super) fn ready(pool: &Rc<Inner<K, T>>, result: Result<Place<K, T>, PoolError>) -> Self {
        Self { pool: Rc::clone(pool), state: State::Ready(Some(result)), until: None, deadline: None }
    }

    pub(super) fn waiting(pool: &Rc<Inner<K, T>>, key: K, options: AcquireOptions) -> Self {
        let state = State::New { key, priority: options.priority };
        Self { pool: Rc::clone(pool), state, until: options.until, deadline: None }
    }

    fn join(&mut self, cx: &Context<'_>) -> Poll<Result<Place<K, T>, PoolError>> {
        let State::New { key, priority } = &self.state else { unreachable!("it joins once") };
        let priority = *priority;
        // Something may have come free since it was made.
        let slot = match self.pool.take_now(key) {
            Ok(place) => return Poll::Ready(Ok(place)),
            Err(Ok(slot)) => slot,
            Err(Err(error)) => return Poll::Ready(Err(error)),
        };
        let (now, config) = (self.pool.timers.now(), &self.pool.config);
        let waiter = self.pool.table.borrow_mut().join(slot, priority, config, now, cx.waker());
        count(&self.pool.stats.waits);
        self.state = State::Waiting { waiter };
        if let Some(until) = self.until {
            let deadline = self.pool.timers.deadline();
            deadline.set_at(until);
            self.deadline = Some(deadline);
        }
        self.poll_waiting(waiter, cx)
    }

    fn poll_waiting(&mut self, waiter: usize, cx: &Context<'_>) -> Poll<Result<Place<K, T>, PoolError>> {
        let pool = Rc::clone(&self.pool);
        let granted = pool.table.borrow_mut().poll(waiter, cx.waker());
        if let Some(Granted { slot, grant, since }) = granted {
            self.state = State::Ready(None);
            let waited = pool.timers.now() - since;
            pool.stats.waited.set(pool.stats.waited.get() + waited);
            return Poll::Ready(Ok(Place::new(&pool, slot, grant)));
        }
        let error = if pool.table.borrow().closed {
            PoolError::Closed
        } else if self.is_late(cx) {
            count(&pool.stats.timeouts);
            PoolError::Timeout
        } else {
            return Poll::Pending;
        };
        self.leave();
        Poll::Ready(Err(error))
    }

    fn is_late(&self, cx: &Context<'_>) -> bool {
        let mut cx = Context::from_waker(cx.waker());
        self.deadline.as_ref().is_some_and(|deadline| deadline.poll_expired(&mut cx).is_ready())
    }

    /// Leaves the line; what was given meanwhile goes to the next.
    fn leave(&mut self) {
        let State::Waiting { waiter } = self.state else { return };
        self.state = State::Ready(None);
        let left = self.pool.table.borrow_mut().leave(waiter, &self.pool.config);
        let Some(Granted { slot, grant, .. }) = left else { return };
        let mut after = Aftermath::default();
        let pool = &self.pool;
        match grant {
            Grant::Item { item, old_at, until } => {
                let left = until.map_or(Duration::ZERO, |until| until - pool.timers.now());
                pool.take_back(slot, item, old_at, Some(left), &mut after);
            }
            Grant::Room => pool.table.borrow_mut().give_up(slot, &pool.config, &mut after),
        }
        pool.follow(after);
    }
}

impl<K: Clone + Eq + Hash, T> Future for Acquire<K, T> {
    type Output = Result<Place<K, T>, PoolError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Ready(result) => Poll::Ready(result.take().expect("polled again after it was ready")),
            State::New { .. } => self.join(cx),
            State::Waiting { waiter } => {
                let waiter = *waiter;
                self.poll_waiting(waiter, cx)
            }
        }
    }
}

impl<K: Clone + Eq + Hash, T> Drop for Acquire<K, T> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<K: Clone + Eq + Hash, T> std::fmt::Debug for Acquire<K, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let waits = matches!(self.state, State::Waiting { .. });
        f.debug_struct("Acquire").field("waits", &waits).finish_non_exhaustive()
    }
}
