//! Waiting for the header of the PROXY protocol, under the deadline of a head.
#![forbid(unsafe_code)]

use std::task::{Context, Poll, ready};

use bytes::Buf;

use super::head_wait::STOP_GRACE;
use super::{Connection, Io};
use crate::conn::close_reason::CloseReason;
use crate::io::read_buffer::Purpose;
use crate::proto::proxy_header::{self, Source};

/// Where the wait for a connection's PROXY header stands.
#[derive(Debug)]
pub(crate) struct ProxyWait {
    /// The server stops, and the deadline is the end of its grace.
    stopping: bool,
}

impl ProxyWait {
    pub(crate) fn new(connection: &Connection) -> Self {
        connection.set_deadline(connection.host.config.head_timeout);
        Self { stopping: false }
    }
}

impl Connection {
    /// Waits for the header, and takes it out of what is unread. The bytes of an unfinished one are bounded by its parser.
    pub(crate) fn poll_proxy_header(
        &self,
        cx: &mut Context<'_>,
        wait: &mut ProxyWait,
    ) -> Poll<Result<Source, CloseReason>> {
        let mut io = self.io.borrow_mut();
        let Some(Io { wire, .. }) = io.as_deref_mut() else {
            return Poll::Ready(Err(CloseReason::TransportFailed));
        };
        loop {
            if !wire.is_filling() {
                match proxy_header::parse(wire.input()) {
                    Ok(Some(header)) => {
                        wire.input().advance(header.bytes);
                        return Poll::Ready(Ok(header.source));
                    }
                    Ok(None) => {}
                    Err(_) => return Poll::Ready(Err(CloseReason::ProxyHeaderRefused)),
                }
            }
            match wire.poll_fill(cx, Purpose::NextHead) {
                Poll::Ready(Ok(0)) if wire.input().is_empty() => {
                    return Poll::Ready(Err(CloseReason::PeerClosed));
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(CloseReason::PeerClosedEarly)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(CloseReason::TransportFailed)),
                Poll::Pending => break,
            }
        }
        if self.host.is_cut() {
            return Poll::Ready(Err(CloseReason::Cut));
        }
        if self.host.is_stopping() && !wait.stopping {
            wait.stopping = true;
            self.deadline.set(STOP_GRACE);
        }
        ready!(self.deadline.poll_expired(cx));
        Poll::Ready(Err(if wait.stopping { CloseReason::Stopping } else { CloseReason::HeadTimeout }))
    }
}
