//! Looking after a connection while somebody else is waited for: its handler, or what streams its response.
#![forbid(unsafe_code)]

use std::task::{Context, Poll, ready};
use std::time::Duration;

use ringhttp_runtime::time::Instant;

use super::Connection;
use crate::conn::close_reason::CloseReason;

/// A wait during which the connection only has to be looked after.
#[derive(Debug)]
pub(crate) struct Meanwhile {
    /// Until when the one who is waited for has time.
    until: Option<Instant>,
    /// What the peer had taken when last looked at, and until when it has to take more.
    stall: Option<(u64, Instant)>,
    set: Option<Instant>,
}

impl Connection {
    /// Looks after the connection while somebody else is waited for (the handler, a stream): what is queued leaves, a
    /// stalled peer, a passed `deadline` or the cut end the wait.
    pub(crate) fn poll_meanwhile(&self, cx: &mut Context<'_>, wait: &mut Meanwhile) -> Poll<CloseReason> {
        if self.host.is_cut() {
            return Poll::Ready(CloseReason::Cut);
        }
        let mut io = self.io.borrow_mut();
        let (flushing, written) = match &mut io.wire {
            Some(wire) => {
                if let Poll::Ready(Err(error)) = self.poll_flush(cx, wire) {
                    return Poll::Ready(CloseReason::of_failed_write(&error));
                }
                (wire.is_flushing(), wire.written())
            }
            None => {
                // The handler is a session now, which lasts as long as it likes.
                wait.until = None;
                (false, 0)
            }
        };
        wait.poll(cx, self, flushing, written)
    }
}

impl Meanwhile {
    /// A wait that may last for `limit`.
    pub(crate) fn new(connection: &Connection, limit: Option<Duration>) -> Self {
        Self { until: limit.map(|limit| connection.host.timers.now() + limit), stall: None, set: None }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Connection,
        flushing: bool,
        written: u64,
    ) -> Poll<CloseReason> {
        if !flushing {
            self.stall = None;
        } else if self.stall.is_none_or(|(before, _)| before != written) {
            let host = &connection.host;
            self.stall = Some((written, host.timers.now() + host.config.write_timeout));
        }
        let stalled_at = self.stall.map(|(_, at)| at);
        let Some(next) = self.until.into_iter().chain(stalled_at).min() else {
            return Poll::Pending;
        };
        if self.set.replace(next) != Some(next) {
            connection.deadline.set_at(next);
        }
        ready!(connection.deadline.poll_expired(cx));
        Poll::Ready(if self.until == Some(next) {
            CloseReason::HandlerTimeout
        } else {
            CloseReason::WriteStalled
        })
    }
}
