//! Looking after a connection while somebody else is waited for: its handler, or what streams its response.
#![forbid(unsafe_code)]

use std::task::{Context, Poll, ready};
use std::time::Duration;

use ringhttp_runtime::time::Instant;

use super::{Connection, Io};
use crate::conn::close_reason::CloseReason;
use crate::conn::disconnect::CancelOnDisconnect;
use crate::conn::host::count;
use crate::io::read_buffer::Purpose;
use crate::proto::http1::State;

/// A wait during which the connection only has to be looked after.
#[derive(Debug)]
pub(crate) struct Meanwhile {
    /// Until when the one who is waited for has time.
    until: Option<Instant>,
    /// What the peer had taken when last looked at, and until when it has to take more.
    stall: Option<(u64, Instant)>,
    set: Option<Instant>,
    /// The one who is waited for works for the peer, and ends with it if the request says so.
    watches_peer: bool,
}

impl Connection {
    /// Looks after the connection while somebody else is waited for (the handler, a stream): what is queued leaves, a
    /// stalled peer, a passed `deadline` or the cut end the wait.
    pub(crate) fn poll_meanwhile(&self, cx: &mut Context<'_>, wait: &mut Meanwhile) -> Poll<CloseReason> {
        if self.host.is_cut() {
            return Poll::Ready(CloseReason::Cut);
        }
        if wait.watches_peer
            && let Some(reason) = self.find_peer_gone(cx)
        {
            count(&self.host.stats.cancelled);
            return Poll::Ready(reason);
        }
        let mut io = self.io.borrow_mut();
        let (flushing, written) = match io.as_deref_mut() {
            Some(Io { wire, .. }) => {
                if let Poll::Ready(Err(error)) = self.poll_flush(cx, wire) {
                    return Poll::Ready(CloseReason::of_failed_write(&error));
                }
                (wire.is_flushing(), wire.written())
            }
            None => {
                // The handler is a session now, which lasts as long as it likes, and may end before the handler does.
                wait.until = None;
                let _ = self.poll_session_end(cx);
                (false, 0)
            }
        };
        wait.poll(cx, self, flushing, written)
    }

    fn is_read_elsewhere(&self) -> bool {
        self.with_others(|others| others.reader.is_some().then_some(())).is_some()
    }

    /// Whether the peer is gone, as far as the running request asks for that.
    ///
    /// The read that waits for the next head is made now already: it belongs to the connection, and who comes next finds
    /// what it brought. No more than that one read goes ahead, so there is no watch while unread bytes are here.
    fn find_peer_gone(&self, cx: &mut Context<'_>) -> Option<CloseReason> {
        let cancel_on = self.cancel_on.get();
        if cancel_on == CancelOnDisconnect::Off || self.is_read_elsewhere() {
            return None;
        }
        let mut io = self.io.borrow_mut();
        let Io { wire, reader, .. } = io.as_deref_mut()?;
        if wire.has_ended() {
            return (cancel_on == CancelOnDisconnect::End).then_some(CloseReason::PeerClosedEarly);
        }
        if !wire.input().is_empty() {
            return None;
        }
        let in_body = reader.state() != State::Done;
        let purpose = if in_body { Purpose::More } else { Purpose::NextHead };
        match wire.poll_fill_or_end(cx, purpose) {
            Poll::Pending => None,
            Poll::Ready(Err(error)) => Some(CloseReason::of_failed_read(&error)),
            Poll::Ready(Ok(0)) if cancel_on == CancelOnDisconnect::End => Some(CloseReason::PeerClosedEarly),
            Poll::Ready(Ok(_)) => {
                if in_body {
                    // Who waits for the body has asked before it came.
                    cx.waker().wake_by_ref();
                }
                None
            }
        }
    }
}

impl Meanwhile {
    /// A wait that may last for `limit`.
    pub(crate) fn new(connection: &Connection, limit: Option<Duration>) -> Self {
        Self {
            until: limit.map(|limit| connection.host.timers.now() + limit),
            stall: None,
            set: None,
            watches_peer: false,
        }
    }

    /// Ends with the peer, where the request asks for it.
    pub(crate) fn watching_peer(mut self) -> Self {
        self.watches_peer = true;
        self
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
