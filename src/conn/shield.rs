//! Work that goes on when its client is gone: tasks of the core, which the stop of the server waits for.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use ringhttp_runtime::{Core, JoinHandle};

use super::host::Host;
use crate::error::{Error, Result};

/// The output to come of work that is shielded: see [`Request::shield`](crate::Request::shield).
///
/// # Cancellation
/// The work goes on; its output is dropped.
#[must_use = "dropping it lets the work go on, unseen"]
pub struct Shield<T>(Option<JoinHandle<T>>);

impl<T: 'static> Shield<T> {
    pub(super) fn start(host: &Host, work: impl Future<Output = T> + 'static) -> Self {
        if host.shielded.running() >= host.config.shielded_max {
            return Self(None);
        }
        let running = host.shielded.begin();
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

impl<T> fmt::Debug for Shield<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield").field("begun", &self.0.is_some()).finish_non_exhaustive()
    }
}
