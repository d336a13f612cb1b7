//! TLS over another transport, with the same interface: records that came are opened where they landed, so that the
//! parser and the user get views of the memory that the kernel filled; what is written leaves in records that are sized
//! to the write.
//!
//! Reading copies nothing, but for what has to be joined: an unread piece of a head with the next record's, and the
//! beginning of a record with its end when its buffer is full. Writing copies once, into the memory that is encrypted.
//! All state is here and none in the futures that poll it.
#![forbid(unsafe_code)]

mod cipher;
mod handshake;
mod hello;
mod reading;
mod record;
mod session;
#[cfg(test)]
pub(crate) mod tests;
mod violation;
mod writing;

use std::fmt;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use ringhttp_runtime::buffer::WriteBatch;

use self::handshake::Progress;
pub(crate) use self::handshake::{Established, Handshake, HandshakeError, note_server_name};
pub(crate) use self::hello::HelloReader;
use self::session::Session;
use self::writing::SMALL_BYTES_FIRST;
use super::read_buffer::{Purpose, ReadBuffer};
use super::transport::Transport;
use super::turn::{Streak, Turn};

/// A carrier that speaks TLS.
pub(crate) struct Tls {
    carrier: Transport,
    state: State,
    /// What has come and is not opened.
    received: ReadBuffer,
    /// What the read under way is for.
    reading: Option<Purpose>,
    /// Bytes that are here of a record whose end is missing.
    unopened: u32,
    /// What was unread when it began: lent to it.
    unread: BytesMut,
    /// Sealed already, and next to leave: flights of the handshake, alerts, key updates.
    sealed: Vec<Bytes>,
    /// What is being written.
    sending: Option<WriteBatch>,
    /// A write is under way whose end nobody will be told of.
    writes_quietly: bool,
    end: End,
    /// Bytes that still leave in small records.
    small_left: u16,
    /// Since when nothing is written, if that is a while.
    rested_at: Option<Instant>,
    /// What comes is thrown away unopened.
    discards: bool,
    carrier_ended: bool,
    /// It ended, and the peer had not said that it would.
    cut_off: bool,
    turn: Turn,
    streak: Streak,
}

enum State {
    Handshake(Box<Handshake>),
    Open(Box<Session>),
    /// Nothing can be read or written any more.
    Failed,
}

/// How far the end of our side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Open,
    /// It was asked for, behind what is being written.
    Asked,
    /// The peer is told: the carrier's end comes next.
    Told,
    Done,
}

impl Tls {
    /// TLS over `carrier`, which has read nothing that is not in `received`.
    pub(crate) fn new(carrier: Transport, received: ReadBuffer, handshake: Handshake) -> Self {
        debug_assert!(!carrier.is_reading() && !carrier.is_writing(), "the carrier is at rest");
        Self {
            carrier,
            state: State::Handshake(Box::new(handshake)),
            received,
            reading: None,
            unopened: 0,
            unread: BytesMut::new(),
            sealed: Vec::new(),
            sending: None,
            writes_quietly: false,
            end: End::Open,
            small_left: SMALL_BYTES_FIRST,
            rested_at: None,
            discards: false,
            carrier_ended: false,
            cut_off: false,
            turn: Turn::default(),
            streak: Streak::default(),
        }
    }

    /// Brings the handshake to its end. Our last flight may still be on its way then.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub(crate) fn poll_handshake(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Established, HandshakeError>> {
        loop {
            let State::Handshake(handshake) = &mut self.state else {
                return Poll::Ready(Err(HandshakeError::Ended));
            };
            if !self.carrier.is_reading() {
                let mut flight = BytesMut::new();
                let progress = handshake.advance(self.received.bytes(), &mut flight);
                self.queue_sealed(flight.freeze());
                match progress {
                    Ok(Progress::Missing(missing)) => self.received.expect_record(missing),
                    Ok(Progress::Done) => return Poll::Ready(self.finish_handshake()),
                    Err(error) => return Poll::Ready(Err(self.fail_handshake(error))),
                }
            }
            if let Poll::Ready(Err(error)) = self.poll_sent(cx) {
                return Poll::Ready(Err(self.fail_handshake(HandshakeError::Carrier(error))));
            }
            let error = match ready!(self.poll_received(cx, Purpose::More)) {
                Ok(1..) => continue,
                Ok(0) => HandshakeError::Ended,
                Err(error) => HandshakeError::Carrier(error),
            };
            return Poll::Ready(Err(self.fail_handshake(error)));
        }
    }

    fn finish_handshake(&mut self) -> Result<Established, HandshakeError> {
        let State::Handshake(handshake) = std::mem::replace(&mut self.state, State::Failed) else {
            unreachable!("only called during one")
        };
        let (session, established) = handshake.finish()?;
        self.state = State::Open(Box::new(session));
        self.send_quietly();
        Ok(established)
    }

    fn fail_handshake(&mut self, error: HandshakeError) -> HandshakeError {
        self.state = State::Failed;
        self.send_quietly();
        error
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Handshake(_) => "handshake",
            State::Open(_) => "open",
            State::Failed => "failed",
        };
        f.debug_struct("Tls").field("state", &state).field("end", &self.end).finish_non_exhaustive()
    }
}
