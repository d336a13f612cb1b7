//! How an exchange ends, and what becomes of its connection.
#![forbid(unsafe_code)]

use std::task::{Context, Waker};
use std::time::Duration;

use super::{ClientConnection, CloseReason, Phase, Unanswered};
use crate::conn::upgrade::Upgraded;
use crate::proto::http1::{Limits, ResponseReader, State};

impl ClientConnection {
    /// What became of a request whose connection was lost before a byte of an answer came; `None` if one came.
    pub(crate) fn unanswered(&mut self) -> Option<Unanswered> {
        if self.is_answered {
            return None;
        }
        // A write that nobody has asked about may have ended by now.
        let flushed = self.wire.poll_flush(&mut Context::from_waker(Waker::noop()));
        let is_unsent = self.sent() == 0 && flushed.is_ready();
        Some(if is_unsent { Unanswered::Unsent } else { Unanswered::Sent })
    }

    /// Says that it ends, before it is dropped: over TLS, and only between two exchanges, for a message that was cut off must not look
    /// like one that is whole. Nobody waits for it.
    #[cfg_attr(
        not(feature = "rustls"),
        expect(clippy::unused_self, clippy::needless_pass_by_ref_mut, reason = "TLS says that it ends")
    )]
    pub(crate) fn say_goodbye(&mut self) {
        #[cfg(feature = "rustls")]
        if self.upload.is_none() && (self.is_idle() || self.is_complete()) {
            self.wire.say_goodbye();
        }
    }

    /// Ends the exchange: `Ok` if another may follow, which it then waits for.
    ///
    /// # Errors
    /// Why the connection has to be closed.
    pub(crate) fn finish(&mut self) -> Result<(), CloseReason> {
        self.wait.end();
        // Dropped now: its writer may be in another task, and is told.
        let upload = self.upload.take();
        let held = self.held.take();
        if matches!(self.phase, Phase::Begun | Phase::Waiting | Phase::Head | Phase::Failed) {
            return Err(CloseReason::Failed);
        }
        match self.reader.state() {
            State::Done => {}
            State::Body => return Err(CloseReason::BodyUnread),
            State::Switched => return Err(CloseReason::Upgraded),
            _ => return Err(CloseReason::AskedByServer),
        }
        // A server that is owed a body takes whatever comes for it.
        if upload.is_some() || held.is_some() || self.write_failure.is_some() || !self.is_flushed() {
            return Err(CloseReason::RequestUnsent);
        }
        if self.asks_close {
            return Err(CloseReason::AskedByClient);
        }
        if self.wire.has_ended() {
            return Err(CloseReason::ServerClosed);
        }
        if !self.wire.input().is_empty() {
            return Err(CloseReason::ExtraBytes);
        }
        if self.reader.start_next() != Ok(State::Idle) {
            return Err(CloseReason::AskedByServer);
        }
        self.phase = Phase::Idle;
        Ok(())
    }

    /// The connection to the server at the other end of the tunnel that this one has become, behind a 2xx to CONNECT; `None`
    /// elsewhere, and if the other end has spoken already, which no server of HTTP does.
    pub(crate) fn into_tunneled(mut self, limits: Limits) -> Option<Self> {
        self.wait.end();
        let is_silent = !self.wire.is_filling() && self.wire.input().is_empty() && !self.wire.has_ended();
        let is_through = self.is_switched() && self.is_flushed() && is_silent;
        is_through.then(|| Self {
            reader: ResponseReader::new(limits),
            phase: Phase::Idle,
            exchanges: 0,
            ..self
        })
    }

    /// The stream of bytes that the connection is behind a 101, or behind a 2xx to CONNECT; `None` elsewhere.
    pub(crate) fn into_upgraded(mut self, write_timeout: Duration) -> Option<Upgraded> {
        let deadline = self.wait.timers().deadline();
        let is_sent = self.upload.take().is_none() && self.held.is_none() && self.write_failure.is_none();
        let is_switched = is_sent && self.reader.state() == State::Switched;
        is_switched
            .then(|| Upgraded::new(Box::new(self.wire), self.limits.queued_max, write_timeout, deadline))
    }
}
