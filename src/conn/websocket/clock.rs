//! The deadlines of a WebSocket: heartbeat, stalls, the closing handshake; all on one entry of the core's wheel.
//!
//! What happens on the wire only sets flags. They are looked at every 100 ms while there is something to see, and when a deadline is
//! due: a busy socket costs one look in 100 ms, an idle one none.
#![forbid(unsafe_code)]

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use ringhttp_runtime::time::Instant;

use super::error::WebSocketError;
use super::message::Message;
use super::session::{Inner, Session};
use crate::io::wire::Wire;
use crate::proto::websocket::{CloseCode, State};

/// What the deadlines are counted from.
pub(super) struct Clock {
    /// Something came since the last look.
    heard: bool,
    heard_at: Instant,
    /// Until when something has to come behind a Ping.
    pong_by: Option<Instant>,
    /// What the peer had taken when it was last looked at, and since when that stands.
    stalled: Option<Box<(u64, Instant)>>,
    /// Since when something has come or left that was not looked at.
    active_since: Option<Instant>,
    /// Until when the closing handshake has to be done.
    pub(super) close_by: Option<Instant>,
    /// When the next look is due.
    look_at: Option<Instant>,
}

/// How soon it is looked at what was sent without asking when it is done, and at memory that an idle socket does not need.
const LOOK_AFTER: Duration = Duration::from_millis(100);

/// The same behind the handshake. Short, because many sockets are opened at a time, and few of them speak at once.
const HANDSHAKE_LOOK_AFTER: Duration = Duration::from_millis(20);

impl Clock {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            heard: false,
            heard_at: now,
            pong_by: None,
            stalled: None,
            active_since: None,
            close_by: None,
            look_at: None,
        }
    }
}

impl Session {
    pub(super) fn start_clock(&self) {
        let mut inner = self.inner.borrow_mut();
        // What ended the handshake is leaving: soon it needs no memory any more, unless messages follow.
        let at = self.timers().now() + HANDSHAKE_LOOK_AFTER;
        self.look_at(&mut inner, at);
        if let Some(heartbeat) = self.config.heartbeat {
            let at = self.timers().now() + heartbeat;
            self.look_at(&mut inner, at);
        }
    }

    /// Something came.
    pub(super) fn heard(&self, inner: &mut Inner) {
        inner.talk.clock.heard = true;
        self.touch(inner);
    }

    /// Something came or was sent.
    pub(super) fn touch(&self, inner: &mut Inner) {
        if inner.talk.clock.active_since.is_none() {
            let now = self.timers().now();
            inner.talk.clock.active_since = Some(now);
            self.look_at(inner, now + LOOK_AFTER);
        }
    }

    /// Has the socket looked at then, at the latest.
    pub(super) fn look_at(&self, inner: &mut Inner, at: Instant) {
        if inner.talk.clock.look_at.is_none_or(|known| at < known) {
            inner.talk.clock.look_at = Some(at);
            self.deadline.set_at(at);
        }
    }

    /// The peer does not take what waits for it now: from here on it has `write_timeout`.
    pub(super) fn note_stall(&self, inner: &mut Inner, written: u64) {
        if inner.talk.clock.stalled.is_none() {
            let now = self.timers().now();
            inner.talk.clock.stalled = Some(Box::new((written, now)));
            self.look_at(inner, now + self.config.write_timeout);
        }
    }

    /// All that was to be sent has left. A Ping that was behind it can be answered from here on only.
    pub(super) fn end_stall(&self, inner: &mut Inner) {
        let clock = &mut inner.talk.clock;
        if clock.stalled.take().is_some()
            && let (Some(by), Some(heartbeat)) = (&mut clock.pong_by, self.config.heartbeat)
        {
            *by = (*by).max(self.timers().now() + heartbeat / 2);
        }
    }

    /// Looks at what is due, in the driving task. Ready if something was.
    pub(super) fn poll_clock(&self, inner: &mut Inner, cx: &mut Context<'_>) -> Poll<()> {
        let mut looked = Poll::Pending;
        while inner.wire.is_some() && self.deadline.poll_expired(cx).is_ready() {
            inner.talk.clock.look_at = None;
            if let Some(next) = self.look(inner, cx) {
                self.look_at(inner, next);
            }
            looked = Poll::Ready(());
        }
        looked
    }

    /// Does what is due, and says when something may be next.
    fn look(&self, inner: &mut Inner, cx: &mut Context<'_>) -> Option<Instant> {
        let now = self.timers().now();
        if inner.talk.clock.close_by.is_some_and(|by| now >= by) {
            self.end(inner, None);
            return None;
        }
        if std::mem::take(&mut inner.talk.clock.heard) || self.is_full(inner) {
            // Within 100 ms of what came first, as far as is known. (Who is not read cannot be heard.)
            inner.talk.clock.heard_at =
                inner.talk.clock.active_since.map_or(now, |since| now.min(since + LOOK_AFTER));
            inner.talk.clock.pong_by = None;
        }
        let dues = [
            self.look_at_output(inner, cx, now),
            self.look_at_heartbeat(inner, now),
            self.look_at_message(inner, now),
            Self::look_at_idleness(inner, now),
            inner.talk.clock.close_by,
        ];
        dues.into_iter().flatten().min()
    }

    fn look_at_output(&self, inner: &mut Inner, cx: &mut Context<'_>, now: Instant) -> Option<Instant> {
        self.flush(inner, cx);
        let wire = inner.wire.as_ref().filter(|wire| wire.is_flushing())?;
        let stalled = inner.talk.clock.stalled.get_or_insert_with(|| Box::new((wire.written(), now)));
        let (written, since) = &mut **stalled;
        if *written != wire.written() {
            (*written, *since) = (wire.written(), now);
        }
        let end = *since + self.config.write_timeout;
        if now >= end {
            self.end(inner, Some(WebSocketError::Stalled));
            return None;
        }
        Some(end)
    }

    fn look_at_heartbeat(&self, inner: &mut Inner, now: Instant) -> Option<Instant> {
        let heartbeat = self.config.heartbeat.filter(|_| inner.state == State::Open)?;
        if let Some(by) = inner.talk.clock.pong_by {
            // While a Ping waits behind a long message, that the peer takes this is a sign of life.
            let taking = inner.talk.clock.stalled.as_ref().map(|stalled| stalled.1 + heartbeat / 2);
            let by = taking.map_or(by, |taking| by.max(taking));
            inner.talk.clock.pong_by = Some(by);
            if now >= by {
                self.end(inner, Some(WebSocketError::HeartbeatLost));
                return None;
            }
            return Some(by);
        }
        let due = inner.talk.clock.heard_at + heartbeat;
        if now < due {
            return Some(due);
        }
        self.write_control(inner, Message::Ping(Bytes::new()));
        let by = now + heartbeat / 2;
        inner.talk.clock.pong_by = Some(by);
        Some(by)
    }

    /// RFC 6455 §10.4: a message that has begun holds memory, so it has to go on.
    fn look_at_message(&self, inner: &mut Inner, now: Instant) -> Option<Instant> {
        let is_begun = |wire: &mut Wire| inner.talk.reader.is_within_message() || !wire.input().is_empty();
        if !inner.state.may_receive() || !inner.wire.as_deref_mut().is_some_and(is_begun) {
            return None;
        }
        let end = inner.talk.clock.heard_at + self.config.stall_timeout;
        if now >= end {
            self.fail_with(inner, CloseCode::POLICY, "the message stalled", WebSocketError::Stalled);
            return inner.talk.clock.close_by;
        }
        Some(end)
    }

    /// Gives memory up that an idle socket does not need.
    fn look_at_idleness(inner: &mut Inner, now: Instant) -> Option<Instant> {
        if inner.talk.clock.active_since.take().is_some() {
            return Some(now + LOOK_AFTER);
        }
        if let Some(wire) = inner.wire.as_mut().filter(|wire| !wire.is_flushing()) {
            wire.rest();
        }
        None
    }
}
