//! Work that goes on when its client is gone: tasks of the core, which the stop of the server waits for.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use ringhttp_runtime::sync::Notify;
use ringhttp_runtime::{Core, JoinHandle};

use super::host::Host;
use crate::error::{Error, Result};

/// The output to come of work that is shielded: see [`Request::shield`](crate::Request::shield).
///
/// # Cancellation
/// The work goes on; its output is dropped.
#[must_use = "dropping it lets the work go on, unseen"]
pub struct Shield<T>(Option<JoinHandle<T>>);

/// The shielded work of one core's server.
#[derive(Default)]
pub(crate) struct Shielded {
    running: Cell<usize>,
    ended: Notify,
}

/// Counts one piece of work while it runs, however it ends.
struct Running(Rc<Shielded>);

impl<T: 'static> Shield<T> {
    pub(super) fn start(host: &Host, work: impl Future<Output = T> + 'static) -> Self {
        if host.shielded.running.get() >= host.config.shielded_max {
            return Self(None);
        }
        let running = Running::new(&host.shielded);
        let core = Core::current().expect("a request is handled on a core");
        Self(Some(core.spawn("shielded", async move {
            let output = work.await;
            drop(running);
            output
        })))
    }
}

impl<T> Future for Shield<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(task) = &mut self.0 else {
            let error = Error::new(StatusCode::SERVICE_UNAVAILABLE);
            return Poll::Ready(Err(error.with_source("as many tasks are shielded as may be")));
        };
        Poll::Ready(ready!(Pin::new(task).poll(cx)).map_err(Error::from))
    }
}

impl Shielded {
    /// Waits until no work is left.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub(crate) async fn all_ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.running.get() == 0 {
                return;
            }
            ended.await;
        }
    }
}

impl Running {
    fn new(all: &Rc<Shielded>) -> Self {
        all.running.set(all.running.get() + 1);
        Self(Rc::clone(all))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        self.0.ended.notify_waiters();
    }
}

impl<T> fmt::Debug for Shield<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield").field("begun", &self.0.is_some()).finish_non_exhaustive()
    }
}
