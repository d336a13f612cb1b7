//! Waiting for a client's first bytes and for its TLS handshake, under one deadline.
#![forbid(unsafe_code)]

use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::head_wait::STOP_GRACE;
use super::{Connection, Io};
use crate::conn::close_reason::CloseReason;
use crate::io::read_buffer::Purpose;
use crate::io::tls::{Established, Handshake, HandshakeError, Tls};
use crate::io::wire::Wire;

/// Where the wait for a connection's handshake stands.
#[derive(Debug)]
pub(crate) struct HandshakeWait {
    /// The server stops, and the deadline is the end of its grace.
    stopping: bool,
}

/// Why there is no TLS.
#[derive(Debug)]
pub(crate) enum NoHandshake {
    /// The connection ends without another word.
    Close(CloseReason),
    /// The handshake failed; what is to be said about it is queued.
    Failed(HandshakeError),
    /// The client speaks HTTP.
    Plain,
}

impl HandshakeWait {
    pub(crate) fn new(connection: &Connection, timeout: Duration) -> Self {
        connection.set_deadline(timeout);
        Self { stopping: false }
    }
}

impl Connection {
    /// Waits for the client's first bytes, as many as `is_enough` asks for.
    pub(crate) fn poll_hello(
        &self,
        cx: &mut Context<'_>,
        wait: &mut HandshakeWait,
        mut is_enough: impl FnMut(&[u8]) -> bool,
    ) -> Poll<Result<(), NoHandshake>> {
        self.poll_shaking(cx, wait, |wire, cx| {
            loop {
                if !wire.is_filling() {
                    let input = wire.input();
                    // RFC 8446 §5.1: no record begins so, and all methods do.
                    if input.first().is_some_and(u8::is_ascii_uppercase) {
                        self.begin_refused_entry(&[], input);
                        return Poll::Ready(Err(NoHandshake::Plain));
                    }
                    if !input.is_empty() && is_enough(input) {
                        return Poll::Ready(Ok(()));
                    }
                }
                match ready!(wire.poll_fill(cx, Purpose::More)) {
                    Ok(1..) => {}
                    Ok(0) if wire.input().is_empty() => {
                        return Poll::Ready(Err(NoHandshake::Close(CloseReason::PeerClosed)));
                    }
                    Ok(0) => return Poll::Ready(Err(HandshakeError::Ended.into())),
                    Err(_) => return Poll::Ready(Err(NoHandshake::Close(CloseReason::TransportFailed))),
                }
            }
        })
    }

    /// Makes TLS of the connection: what is unread is the beginning of the handshake.
    pub(crate) fn start_tls(&self, handshake: Handshake) {
        let mut io = self.io.borrow_mut();
        *io = io.take().map(|io| {
            let Io { wire, reader, body } = *io;
            Box::new(Io { wire: Box::new(wire.into_tls(handshake)), reader, body })
        });
    }

    /// Waits for the end of the handshake.
    pub(crate) fn poll_handshake(
        &self,
        cx: &mut Context<'_>,
        wait: &mut HandshakeWait,
    ) -> Poll<Result<Established, NoHandshake>> {
        self.poll_shaking(cx, wait, |wire, cx| wire.poll_handshake(cx).map_err(NoHandshake::from))
    }

    /// Polls for something, unless there are reasons not to wait any longer.
    fn poll_shaking<T>(
        &self,
        cx: &mut Context<'_>,
        wait: &mut HandshakeWait,
        poll: impl FnOnce(&mut Wire, &mut Context<'_>) -> Poll<Result<T, NoHandshake>>,
    ) -> Poll<Result<T, NoHandshake>> {
        let mut io = self.io.borrow_mut();
        let Some(Io { wire, .. }) = io.as_deref_mut() else {
            return Poll::Ready(Err(NoHandshake::Close(CloseReason::TransportFailed)));
        };
        if let Poll::Ready(result) = poll(wire, cx) {
            return Poll::Ready(result);
        }
        if self.host.is_cut() {
            return Poll::Ready(Err(NoHandshake::Close(CloseReason::Cut)));
        }
        if self.host.is_stopping() && !wait.stopping {
            wait.stopping = true;
            self.deadline.set(STOP_GRACE);
        }
        ready!(self.deadline.poll_expired(cx));
        Poll::Ready(Err(NoHandshake::Close(if wait.stopping {
            CloseReason::Stopping
        } else {
            CloseReason::TlsHandshakeTimeout
        })))
    }

    /// Whether TLS was broken off, by one side or the other.
    pub(crate) fn tls_has_failed(&self) -> bool {
        self.io.borrow().as_ref().and_then(|io| io.wire.tls()).is_some_and(Tls::has_failed)
    }

    /// Whether our side ends already, behind what was sent.
    pub(crate) fn tls_is_ending(&self) -> bool {
        self.io.borrow().as_ref().and_then(|io| io.wire.tls()).is_some_and(Tls::is_ending)
    }

    /// Whether the peer ended its side without saying so where it should have.
    pub(crate) fn was_cut_off(&self) -> bool {
        self.io.borrow().as_ref().and_then(|io| io.wire.tls()).is_some_and(Tls::was_cut_off)
    }
}

impl From<HandshakeError> for NoHandshake {
    fn from(error: HandshakeError) -> Self {
        Self::Failed(error)
    }
}
