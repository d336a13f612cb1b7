//! Reading the running request's body, under its deadline, its least rate and its limit.
#![forbid(unsafe_code)]

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use ringhttp_runtime::time::{Deadline, Instant, Timers};

use super::{Connection, Io};
use crate::conn::body::BodyError;
use crate::conn::host::Host;
use crate::io::read_buffer::Purpose;
use crate::io::wire::Wire;
use crate::proto::http1::{BodyEvent, CONTINUE, Framing, RequestHead, RequestReader, State};

/// How the reading of the current request body goes.
#[derive(Default)]
pub(super) struct BodyProgress {
    bytes: u64,
    /// Bytes it should have, by its `Content-Length`; 0 for a chunked one.
    length: u64,
    /// The peer waits for a 100 before it sends the body.
    awaits_continue: bool,
    failure: Option<BodyError>,
    wait: Option<Box<BodyWait>>,
}

/// The waits of one body's reader, and the deadline they share.
struct BodyWait {
    deadline: Deadline,
    since: Option<Instant>,
    waited: Duration,
    /// How much of it passed since the last byte came.
    silent: Duration,
    /// What had come of a record when last looked at.
    unopened: u32,
}

impl Connection {
    /// Waits for the next piece of the running request's body: a view of the read buffer, `None` at the end.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub(crate) fn poll_body(
        &self,
        cx: &mut Context<'_>,
        cycle: u32,
        bytes_max: u64,
    ) -> Poll<Result<Option<Bytes>, BodyError>> {
        if cycle != self.cycle.get() {
            return Poll::Ready(Err(BodyError::Gone));
        }
        if self.is_polled_by_task(cx) {
            // A read behind another waker was given up: whoever watches for the peer's end may do so again.
            self.take_other_reader();
        }
        let mut io = self.io.borrow_mut();
        let Some(Io { wire, reader, body }) = io.as_deref_mut() else {
            return Poll::Ready(Err(BodyError::Gone));
        };
        let result = match body.failure {
            Some(failure) => Err(failure),
            None => match self.read_body(cx, wire, reader, body, bytes_max) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(result) => result,
            },
        };
        body.arrived(&self.host.timers);
        if !self.is_polled_by_task(cx) && self.take_other_reader().is_some() {
            // It is not read elsewhere any more: whoever watches for the peer's end may do so again.
            self.leave_to_task();
        }
        body.failure = result.as_ref().err().copied();
        Poll::Ready(result)
    }

    fn read_body(
        &self,
        cx: &mut Context<'_>,
        wire: &mut Wire,
        reader: &mut RequestReader,
        body: &mut BodyProgress,
        bytes_max: u64,
    ) -> Poll<Result<Option<Bytes>, BodyError>> {
        if body.length > bytes_max {
            return Poll::Ready(Err(BodyError::TooLarge));
        }
        loop {
            // While a read is under way the unread bytes are lent out: there is nothing to look at. A body that is
            // complete needs none; the read is that of the next head then.
            let is_lent = wire.is_filling() && reader.needs_bytes();
            let event = if is_lent { Ok(BodyEvent::NeedMore) } else { reader.body(wire.input()) };
            match event {
                Ok(BodyEvent::Data(data)) => {
                    body.awaits_continue = false;
                    body.bytes += data.len() as u64;
                    let fits = body.bytes <= bytes_max;
                    return Poll::Ready(if fits { Ok(Some(data)) } else { Err(BodyError::TooLarge) });
                }
                Ok(BodyEvent::End) => return Poll::Ready(Ok(None)),
                Ok(BodyEvent::NeedMore) => {}
                Err(error) => return Poll::Ready(Err(BodyError::Malformed(error))),
            }
            // None in the middle of an answer: what may read on behind its head has had the 100 sent before.
            if !self.answered.get() && std::mem::take(&mut body.awaits_continue) {
                wire.output().buffer().extend_from_slice(CONTINUE);
            }
            if !self.is_polled_by_task(cx) {
                self.leave_flush_to_task(wire);
            } else if let Poll::Ready(Err(_)) = self.poll_flush(cx, wire) {
                return Poll::Ready(Err(BodyError::Disconnected));
            }
            match wire.poll_fill(cx, Purpose::More) {
                Poll::Ready(Ok(1..)) => body.arrived(&self.host.timers),
                Poll::Ready(_) => return Poll::Ready(Err(BodyError::Disconnected)),
                Poll::Pending => break,
            }
        }
        let host = &self.host;
        if host.is_cut() {
            return Poll::Ready(Err(BodyError::Disconnected));
        }
        let wait = body.wait.get_or_insert_with(|| {
            Box::new(BodyWait {
                deadline: host.timers.deadline(),
                since: None,
                waited: Duration::ZERO,
                silent: Duration::ZERO,
                unopened: 0,
            })
        });
        let now = host.timers.now();
        let unopened = wire.unopened();
        if std::mem::replace(&mut wait.unopened, unopened) != unopened {
            // A peer that sends long records is not silent before they end.
            wait.arrived(now);
        }
        if wait.since.is_none() {
            wait.since = Some(now);
            wait.deadline.set_at(now + host.config.body_timeout.saturating_sub(wait.silent));
        }
        let bytes = body.bytes + u64::from(unopened);
        if wait.deadline.poll_expired(cx).is_ready() || wait.is_too_slow(now, bytes, host) {
            return Poll::Ready(Err(BodyError::Timeout));
        }
        if !self.is_polled_by_task(cx) {
            self.others_or_new(|others| others.reader = Some(cx.waker().clone()));
        }
        Poll::Pending
    }

    /// Whoever waited for the next piece does so no more: until somebody waits again no time counts.
    pub(crate) fn stop_waiting_for_body(&self, cycle: u32) {
        if cycle != self.cycle.get() {
            return;
        }
        // A waker that is replaced amid a poll may own the reader, whose time goes on then.
        if let Ok(mut io) = self.io.try_borrow_mut()
            && let Some(Io { body, .. }) = io.as_deref_mut()
            && let Some(wait) = &mut body.wait
        {
            wait.pause(self.host.timers.now());
        }
        if self.take_other_reader().is_some() {
            // It is not read elsewhere any more: whoever watches for the peer's end may do so again.
            self.leave_to_task();
        }
    }

    fn take_other_reader(&self) -> Option<Waker> {
        self.with_others(|others| others.reader.take())
    }

    /// Queues the 100 that the peer waits for, if it does and has not got it.
    pub(crate) fn send_continue(&self) {
        let mut io = self.io.borrow_mut();
        if let Some(Io { wire, body, .. }) = io.as_deref_mut()
            && std::mem::take(&mut body.awaits_continue)
        {
            wire.output().buffer().extend_from_slice(CONTINUE);
        }
    }

    /// Whether the running request's body has been read to its end.
    pub(crate) fn body_is_done(&self) -> bool {
        self.io.borrow().as_ref().is_none_or(|io| io.reader.state() == State::Done)
    }

    /// Whether the rest of the body can be expected to come and is worth reading: it is not too long, nothing is wrong
    /// with it, and the peer does not wait for a 100 that it will not get.
    pub(crate) fn body_can_be_drained(&self) -> bool {
        let io = self.io.borrow();
        let Some(Io { body, .. }) = io.as_deref() else { return false };
        let left = body.length.saturating_sub(body.bytes);
        body.failure.is_none() && !body.awaits_continue && left <= self.host.config.drain_bytes_max
    }

    /// Bytes of the running request's body that have been read.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.io.borrow().as_ref().map_or(0, |io| io.body.bytes)
    }

    /// The trailers of the body that was read.
    pub(crate) fn take_trailers(&self) -> Option<HeaderMap> {
        self.io.borrow_mut().as_mut().and_then(|io| io.reader.trailers())
    }
}

impl BodyProgress {
    pub(super) fn begin(&mut self, head: &RequestHead) {
        self.bytes = 0;
        self.length = if let Framing::Length(length) = head.framing { length } else { 0 };
        self.awaits_continue = head.expect_continue;
        self.failure = None;
        self.wait = None;
    }

    /// Bytes came: the next wait begins anew.
    fn arrived(&mut self, timers: &Timers) {
        if let Some(wait) = &mut self.wait {
            wait.arrived(timers.now());
        }
    }
}

impl BodyWait {
    /// Nobody waits any more. Who does so later has what is left of the time: a peer is not waited for the longer, the
    /// more often that is given up and begun anew.
    fn pause(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.waited += now - since;
            self.silent += now - since;
            self.deadline.clear();
        }
    }

    fn arrived(&mut self, now: Instant) {
        self.pause(now);
        self.silent = Duration::ZERO;
    }

    /// Whether the body comes slower than the least rate, over the time that it was waited for.
    fn is_too_slow(&self, now: Instant, bytes: u64, host: &Host) -> bool {
        let waited = self.waited + self.since.map_or(Duration::ZERO, |since| now - since);
        waited > host.config.body_timeout && bytes < waited.as_secs() * host.config.body_rate_min
    }
}
