//! Waiting for the next head: idle, then for the rest of it, while the last answer leaves.
#![forbid(unsafe_code)]

use std::task::{Context, Poll};
use std::time::Duration;

use http::StatusCode;
use ringhttp_runtime::time::Instant;

use super::{Connection, Io};
use crate::conn::close_reason::CloseReason;
use crate::conn::request::Exchange;
use crate::conn::server::CycleMethod;
use crate::io::read_buffer::Purpose;
use crate::io::wire::Wire;

/// Where a wait for a head stands.
#[derive(Debug)]
pub(crate) struct HeadWait {
    /// Nothing has been answered on this connection yet: its first head has `head_timeout` from the accept on.
    first: bool,
    stage: HeadStage,
    since: Instant,
    /// What the peer had taken when last looked at, and when that was new.
    written: u64,
    written_at: Instant,
    /// An answer was seen to take its time to leave: the keep-alive time begins when it has.
    was_flushing: bool,
    /// The server stops, and the deadline is the end of its grace.
    stopping: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeadStage {
    /// The poll has not had to wait.
    New,
    /// Nothing of the next head has come.
    Idle,
    /// A part of it has.
    Begun,
}

/// Why no head came.
#[derive(Debug)]
pub(crate) enum NoHead {
    /// The connection ends without another answer.
    Close(CloseReason),
    /// The peer broke the protocol, and is told so by this status, as far as its method has answers with a body.
    Refuse(StatusCode, CycleMethod),
    /// A head had begun and did not end in time: 408.
    TimedOut,
}

impl HeadWait {
    pub(crate) fn new(first: bool) -> Self {
        let never = Instant::default();
        Self {
            first,
            stage: HeadStage::New,
            since: never,
            written: 0,
            written_at: never,
            was_flushing: false,
            stopping: false,
        }
    }
}

impl Connection {
    /// Waits for the next head, while what is queued leaves.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub(crate) fn poll_head(
        &self,
        cx: &mut Context<'_>,
        wait: &mut HeadWait,
    ) -> Poll<Result<Box<Exchange>, NoHead>> {
        let mut io = self.io.borrow_mut();
        let Some(Io { wire, reader, body }) = io.as_deref_mut() else {
            return Poll::Ready(Err(NoHead::Close(CloseReason::Upgraded)));
        };
        loop {
            if !wire.input().is_empty() {
                let mut exchange = self.take_exchange();
                match reader.head_into(wire.input(), &mut exchange.head) {
                    Ok(true) => {
                        body.begin(&exchange.head);
                        return Poll::Ready(Ok(exchange));
                    }
                    Ok(false) if wire.input().is_empty() => {}
                    Ok(false) => self.begin_head(wait),
                    Err(error) => {
                        self.begin_refused_entry(exchange.head.refused_lines(), wire.input());
                        return Poll::Ready(Err(NoHead::Refuse(error.status(), CycleMethod::Other)));
                    }
                }
                self.last.set(Some(exchange));
            }
            self.unflushed.set(0);
            if matches!(wire.poll_flush(cx), Poll::Ready(Err(_))) {
                return Poll::Ready(Err(NoHead::Close(CloseReason::TransportFailed)));
            }
            match wire.poll_fill_or_end(cx, Purpose::NextHead) {
                Poll::Ready(Ok(0)) if wire.is_flushing() => match wire.poll_flush(cx) {
                    Poll::Pending => break,
                    Poll::Ready(_) => {}
                },
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(NoHead::Close(end_without_head(wait)))),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(NoHead::Close(CloseReason::of_failed_read(&error))));
                }
                Poll::Pending => break,
            }
        }
        match self.check_head_wait(cx, wait, wire) {
            Some(reason) => Poll::Ready(Err(reason)),
            None => Poll::Pending,
        }
    }

    /// A part of a head is here: from now on it has `head_timeout`.
    fn begin_head(&self, wait: &mut HeadWait) {
        // The first head's time runs since the connection was accepted.
        let has_time = wait.first && wait.stage == HeadStage::Idle && !wait.stopping;
        if wait.stage != HeadStage::Begun && !has_time {
            wait.since = self.host.timers.now();
            self.deadline.set_at(wait.since + self.host.config.head_timeout);
        }
        wait.stage = HeadStage::Begun;
    }

    /// The reasons not to wait any longer.
    fn check_head_wait(&self, cx: &mut Context<'_>, wait: &mut HeadWait, wire: &mut Wire) -> Option<NoHead> {
        if self.host.is_cut() {
            return Some(NoHead::Close(CloseReason::Cut));
        }
        if wait.stage == HeadStage::New {
            wait.stage = HeadStage::Idle;
            wait.since = self.host.timers.now();
            (wait.written, wait.written_at) = (wire.written(), wait.since);
            self.deadline.set_at(wait.since + self.first_look(wait.first));
        }
        if wait.was_flushing && !wire.is_flushing() {
            wait.was_flushing = false;
            if wait.stage == HeadStage::Idle && !wait.stopping {
                wait.since = self.host.timers.now();
                self.deadline.set_at(wait.since + self.first_look(wait.first));
            }
        }
        let is_idle = wait.stage != HeadStage::Begun && !wire.is_flushing();
        if self.host.is_stopping() && is_idle && !wait.stopping {
            wait.stopping = true;
            self.deadline.set(STOP_GRACE);
        }
        while self.deadline.poll_expired(cx).is_ready() {
            if let Some(reason) = self.head_wait_expired(wait, wire) {
                return Some(reason);
            }
        }
        None
    }

    /// A wait behind an answer is looked at soon, for what an idle connection does not need.
    fn first_look(&self, first: bool) -> Duration {
        let config = &self.host.config;
        if first { config.head_timeout } else { config.keep_alive_timeout.min(FIRST_LOOK) }
    }

    fn head_wait_expired(&self, wait: &mut HeadWait, wire: &mut Wire) -> Option<NoHead> {
        let config = &self.host.config;
        if wait.stage == HeadStage::Begun {
            // What has come of it is with the kernel, in the buffer of the next read.
            self.begin_refused_entry(&[], &[]);
            return Some(NoHead::TimedOut);
        }
        if wait.stopping {
            return Some(NoHead::Close(CloseReason::Stopping));
        }
        if wait.first {
            return Some(NoHead::Close(CloseReason::HeadTimeout));
        }
        let now = self.host.timers.now();
        if wire.is_flushing() {
            wait.was_flushing = true;
            if wire.written() != wait.written {
                (wait.written, wait.written_at) = (wire.written(), now);
            }
            let stalled = wait.written_at + config.write_timeout;
            if now >= stalled {
                return Some(NoHead::Close(CloseReason::WriteStalled));
            }
            self.deadline.set_at(stalled);
            return None;
        }
        wire.rest();
        self.forget_last();
        let end = wait.since + config.keep_alive_timeout;
        if now >= end {
            return Some(NoHead::Close(CloseReason::KeepAliveExpired));
        }
        self.deadline.set_at(end);
        None
    }
}

fn end_without_head(wait: &HeadWait) -> CloseReason {
    if wait.stage == HeadStage::Begun { CloseReason::PeerClosedEarly } else { CloseReason::PeerClosed }
}

/// How long an idle connection is kept when the server stops: a request that was sent before the client could know is
/// in the kernel or on the network still, and closing would lose it.
pub(super) const STOP_GRACE: Duration = Duration::from_millis(100);

/// How soon a wait gives up what an idle connection does not need. Later, and a burst of new connections leaves a larger heap
/// behind; sooner, and busy ones pay for it.
const FIRST_LOOK: Duration = Duration::from_millis(20);
