//! How a WebSocket ends: by either side's Close frame, by a fault of the peer, by the stop of the server, by being dropped.
#![forbid(unsafe_code)]

use std::task::{Context, Poll};

use super::error::WebSocketError;
use super::outbound::close_frame;
use super::session::{Inner, Session};
use crate::io::wire::Wire;
use crate::proto::websocket::{CloseCode, CloseFrame, Fault, Role, State, Step, after};

/// What is known about the end.
#[derive(Default)]
pub(super) struct Closing {
    /// The peer's Close frame.
    pub(super) theirs: Option<Box<CloseFrame>>,
    /// The code of ours, if we began.
    ours: Option<CloseCode>,
    /// What the receiver is told, once.
    pub(super) error: Option<WebSocketError>,
    /// Nobody wants the messages that still come.
    pub(super) discards: bool,
    /// Our side of the transport is ended.
    shut: bool,
    /// Bytes that were thrown away since.
    discarded: usize,
}

/// Bytes of a failed connection that are read and thrown away, so that a reset does not take the Close frame away from its peer.
const LINGER_BYTES_MAX: usize = 4 << 20;

impl Session {
    /// Begins the closing handshake, unless it has begun. Who closes gets no error: a frame that may not be sent
    /// is made one that may be.
    pub(crate) fn close(&self, frame: CloseFrame) {
        let mut inner = self.inner.borrow_mut();
        inner.talk.closing.discards = true;
        inner.inbox.clear();
        self.begin_close(&mut inner, frame.made_sendable());
        self.wake_driver();
    }

    /// What its user's going without closing it means to the peer: a handler has failed, or a client is no longer interested.
    pub(crate) fn code_of_drop(&self) -> CloseCode {
        match self.role {
            Role::Client => CloseCode::GOING_AWAY,
            Role::Server => CloseCode::INTERNAL,
        }
    }

    /// Its user has gone without closing it.
    pub(crate) fn abandon(&self, code: CloseCode) {
        if self.inner.borrow().wire.is_some() {
            self.close(close_frame(code, ""));
        }
    }

    /// The server stops, or the client is closed. The user may go on receiving until the peer has answered.
    pub(crate) fn stop(&self) {
        let mut inner = self.inner.borrow_mut();
        if inner.state.may_send() {
            let reason = match self.role {
                Role::Client => "the client stops",
                Role::Server => "the server stops",
            };
            self.begin_close(&mut inner, close_frame(CloseCode::GOING_AWAY, reason));
            self.wake_driver();
        }
    }

    /// Waits until the closing handshake is done, or cannot be done any more.
    ///
    /// # Cancellation
    /// Nothing is lost: the closing goes on.
    pub(crate) fn poll_closed(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.inner.borrow().state.may_receive() {
            return Poll::Ready(());
        }
        self.remember_receiver(cx);
        Poll::Pending
    }

    /// Waits until nothing can be sent any more.
    pub(crate) fn poll_unsendable(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_open() {
            return Poll::Ready(());
        }
        self.remember_other(cx);
        Poll::Pending
    }

    /// The peer's Close frame, if one came.
    pub(crate) fn peer_close(&self) -> Option<CloseFrame> {
        self.inner.borrow().talk.closing.theirs.as_deref().cloned()
    }

    /// Why it was closed; `None` while it is open.
    pub(crate) fn close_code(&self) -> Option<CloseCode> {
        let inner = self.inner.borrow();
        let theirs = inner.talk.closing.theirs.as_ref().map(|frame| frame.code);
        let failed = inner.talk.closing.ours.filter(|_| inner.state == State::Failed);
        let ended =
            (inner.state == State::Ended).then_some(inner.talk.closing.ours.unwrap_or(CloseCode::ABNORMAL));
        theirs.or(failed).or(ended)
    }

    pub(super) fn begin_close(&self, inner: &mut Inner, frame: CloseFrame) {
        let Some(next) = after(inner.state, Step::SendClose).filter(|_| inner.state == State::Open) else {
            return;
        };
        inner.state = next;
        inner.talk.closing.ours = Some(frame.code);
        self.put_close(inner, frame);
        self.limit_closing(inner);
        self.wake_others();
    }

    /// The peer's Close frame has come: it gets ours, behind what is queued (RFC 6455 §5.5.1).
    pub(super) fn take_close(&self, inner: &mut Inner, frame: Box<CloseFrame>) {
        let Some(next) = after(inner.state, Step::ReceiveClose) else { return };
        inner.state = next;
        if let Some(closed) = after(next, Step::SendClose) {
            inner.state = closed;
            self.put_close(inner, close_frame(frame.code, ""));
        }
        inner.talk.closing.theirs = Some(frame);
        self.limit_closing(inner);
        self.wake_receiver();
        self.wake_others();
    }

    /// The peer broke the protocol.
    pub(super) fn fail(&self, inner: &mut Inner, fault: Fault) {
        self.fail_with(inner, fault.code(), &fault.to_string(), WebSocketError::Fault(fault));
    }

    /// RFC 6455 §7.1.7: it is told so, and no more is read.
    pub(super) fn fail_with(&self, inner: &mut Inner, code: CloseCode, reason: &str, error: WebSocketError) {
        let has_sent_close = inner.state != State::Open;
        let Some(failed) = after(inner.state, Step::Fault) else { return };
        inner.state = failed;
        inner.talk.closing.error = Some(error);
        if !has_sent_close {
            inner.talk.closing.ours = Some(code);
            inner.outbox.clear();
            self.put_close(inner, close_frame(code, reason));
        }
        self.limit_closing(inner);
        self.wake_receiver();
        self.wake_others();
    }

    /// From now on the closing handshake has `close_timeout`. Who has not taken our Close frame yet, and what is before it, cannot
    /// answer it: until then it has `write_timeout`.
    pub(super) fn limit_closing(&self, inner: &mut Inner) {
        if inner.state != State::CloseSent || inner.is_flushed() {
            self.begin_close_timeout(inner);
        }
    }

    /// From now on, whatever has left, the connection has `close_timeout`.
    pub(super) fn begin_close_timeout(&self, inner: &mut Inner) {
        if inner.talk.clock.close_by.is_none() {
            let by = self.timers().now() + self.config.close_timeout;
            inner.talk.clock.close_by = Some(by);
            self.look_at(inner, by);
        }
    }

    /// Ends the transport when both sides have said all they had to, in the driving task.
    pub(super) fn poll_finish(&self, inner: &mut Inner, cx: &mut Context<'_>) {
        if !matches!(inner.state, State::Closed | State::Failed) {
            return;
        }
        self.flush(inner, cx);
        let before = inner.backlog();
        if inner.outbox.is_empty() && self.poll_transport_end(inner, cx).is_ready() {
            self.end(inner, None);
        } else if inner.backlog() != before {
            self.wake_others();
        }
    }

    fn poll_transport_end(&self, inner: &mut Inner, cx: &mut Context<'_>) -> Poll<()> {
        let Inner { wire: Some(wire), talk, state, .. } = &mut *inner else {
            return Poll::Ready(());
        };
        let closing = &mut talk.closing;
        if wire.is_flushing() && wire.poll_flush(cx).is_pending() {
            return Poll::Pending;
        }
        if !closing.shut {
            closing.shut = true;
            wire.shutdown_write(cx);
            // TLS says that it ends.
            if wire.is_flushing() && wire.poll_flush(cx).is_pending() {
                return Poll::Pending;
            }
        }
        // RFC 6455 §7.1.1: the server closes first. Who has been failed may still be sending, and whoever speaks TLS answers
        // its end: a reset would take the Close frame away from it.
        if *state == State::Failed || self.role == Role::Client || wire.ends_with_messages() {
            discard(wire, closing, cx)
        } else {
            Poll::Ready(())
        }
    }
}

/// Reads and forgets until the peer has ended its side.
fn discard(wire: &mut Wire, closing: &mut Closing, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        match wire.poll_discard(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(count @ 1..)) if closing.discarded < LINGER_BYTES_MAX => {
                closing.discarded += count;
            }
            Poll::Ready(_) => return Poll::Ready(()),
        }
    }
}
