//! Taking a connection out of HTTP: what is left is a stream of bytes, beginning with those that had come already.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, Version};
use ringhttp_runtime::time::Deadline;

use super::connection::Connection;
use super::waker_cell::WakerCell;
use super::websocket;
use crate::error::{Error, Result};
use crate::io::read_buffer::Purpose;
use crate::io::wire::Wire;
use crate::proto::http1::{Framing, Implied, encode_response_head};

/// A connection that speaks another protocol now. Dropping it closes the connection; on a server, so does the cut of a stop,
/// wherever it was moved to. Over TLS, a peer that was not told by [`shutdown`](Self::shutdown) before takes that for a cut.
pub struct Upgraded {
    lease: Rc<Lease>,
    /// What was queued last is bounded by this before a writer waits.
    queued_max: usize,
    write_timeout: Duration,
    /// Until when the peer has to take more than `stalled_at` bytes.
    deadline: Deadline,
    stalled_at: Option<u64>,
}

impl Upgraded {
    /// A session on what was a connection: its limits stay those that it had.
    pub(super) fn new(
        wire: Box<Wire>,
        queued_max: usize,
        write_timeout: Duration,
        deadline: Deadline,
    ) -> Self {
        let lease = Rc::new(Lease {
            wire: RefCell::new(Some(wire)),
            user: WakerCell::default(),
            task: WakerCell::default(),
        });
        Self { lease, queued_max, write_timeout, deadline, stalled_at: None }
    }

    /// The wire, for who makes something else of the session.
    pub(crate) fn into_wire(self) -> Option<Box<Wire>> {
        self.lease.wire.take()
    }

    /// Takes a connection from its server, and queues the answer that says so.
    pub(super) fn take(
        connection: &Connection,
        tunnel: bool,
        protocol: &str,
        headers: &HeaderMap,
    ) -> Result<Self> {
        if !connection.body_is_done() {
            return Err(Error::bad_request("the request body must be read before an upgrade"));
        }
        let fields = switching_fields(tunnel, protocol, headers)?;
        let mut head = BytesMut::new();
        encode(&mut head, connection, tunnel, &fields)?;
        // From here on nothing fails: an error must still be answered over HTTP.
        let mut wire =
            connection.take_wire().ok_or_else(|| Error::internal("the connection is taken already"))?;
        wire.output().buffer().extend_from_slice(&head);
        wire.switch();
        connection.note_status(switching_status(tunnel));
        let host = &connection.host;
        let config = &host.config;
        let upgraded =
            Self::new(wire, config.write_buffer_bytes_max, config.write_timeout, host.timers.deadline());
        connection.hand_over(Session::Stream(Rc::clone(&upgraded.lease)));
        Ok(upgraded)
    }

    /// Runs a poll on the wire, unless the session was ended from the connection's side. Who has to wait takes the sending over
    /// from the connection's task.
    fn with_wire<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Wire, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let mut wire = self.lease.wire.borrow_mut();
        let Some(wire) = &mut *wire else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        };
        let polled = poll(wire, cx);
        if polled.is_pending() {
            self.lease.user.keep(cx.waker());
        }
        polled
    }

    /// Gives the sending back to the connection's task once somebody has got what was asked for: that one may not poll again for long.
    fn leave_sending<T>(&self, polled: Poll<T>) -> Poll<T> {
        if polled.is_ready() && self.lease.user.take().is_some() {
            self.lease.wake_to_send();
        }
        polled
    }

    /// Sends what is queued, while the peer takes some of it within every `write_timeout`.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut written = 0;
        let flushed = self.with_wire(cx, |wire, cx| {
            let flushed = wire.poll_flush(cx);
            written = wire.written();
            flushed
        });
        if flushed.is_ready() {
            self.stalled_at = None;
            return flushed;
        }
        if self.stalled_at.replace(written) != Some(written) {
            self.deadline.set(self.write_timeout);
        }
        ready!(self.deadline.poll_expired(cx));
        // A deadline expires once: whoever tries again has a new one.
        self.stalled_at = None;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// The next bytes from the peer, those that came behind its request first; `None` when it has ended its side. It may
    /// take as long as the peer likes: put your own deadline around it.
    ///
    /// # Errors
    /// If the transport failed, or if bytes were queued and the peer took none of them within
    /// `ServerConfig::write_timeout`.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn read(&mut self) -> io::Result<Option<Bytes>> {
        poll_fn(|cx| {
            let read = self.poll_read(cx);
            self.leave_sending(read)
        })
        .await
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            let here = self.with_wire(cx, |wire, _| {
                let is_here = !wire.input().is_empty();
                Poll::Ready(Ok(is_here.then(|| wire.take_input())))
            });
            if let Some(here) = ready!(here)? {
                return Poll::Ready(Ok(Some(here)));
            }
            if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
                return Poll::Ready(Err(error));
            }
            if ready!(self.with_wire(cx, |wire, cx| wire.poll_fill(cx, Purpose::More)))? == 0 {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// Queues bytes for the peer, and waits while more than `ServerConfig::write_buffer_bytes_max` of them wait for the kernel.
    ///
    /// # Errors
    /// If the transport failed, or if the peer took nothing within `ServerConfig::write_timeout`.
    ///
    /// # Cancellation
    /// The bytes are queued by the first poll; they leave with this future or the next call, and on a server behind one that was
    /// ready, too, while nothing else is called: without `write_timeout` then.
    pub async fn write(&mut self, bytes: impl Into<Bytes>) -> io::Result<()> {
        if let Some(wire) = &mut *self.lease.wire.borrow_mut() {
            wire.output().push(bytes.into());
        }
        let queued_max = self.queued_max;
        poll_fn(|cx| {
            let written = match self.poll_flush(cx) {
                Poll::Pending if self.queued() < queued_max => Poll::Ready(Ok(())),
                flushed => flushed,
            };
            self.leave_sending(written)
        })
        .await
    }

    /// Waits until all that was written is with the kernel.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Flushes and ends our side; the peer's can still be read.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    ///
    /// # Cancellation
    /// Nothing is lost; call it again.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        self.flush().await?;
        poll_fn(|cx| {
            let ended = self.with_wire(cx, |wire, cx| {
                wire.shutdown_write(cx);
                Poll::Ready(Ok(()))
            });
            ready!(ended)?;
            // TLS says that it ends.
            self.poll_flush(cx)
        })
        .await
    }

    fn queued(&self) -> usize {
        self.lease.wire.borrow_mut().as_mut().map_or(0, |wire| wire.output().queued())
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        self.lease.end();
    }
}

/// The wire of a session, shared by its user and by the connection that it was: that one keeps its place among the others
/// until the session ends, and ends it when the server is cut.
pub(super) struct Lease {
    wire: RefCell<Option<Box<Wire>>>,
    /// Who waits on the session.
    user: WakerCell,
    /// The connection's task, once it waits for the session's end.
    task: WakerCell,
}

impl Lease {
    /// Closes the connection, and tells both sides.
    fn end(&self) {
        let wire = self.wire.take();
        if wire.is_some() {
            drop(wire);
            [self.user.take(), self.task.take()].into_iter().flatten().for_each(Waker::wake);
        }
    }

    /// Has the connection's task send what is left, if there is something.
    fn wake_to_send(&self) {
        let is_flushing = self.wire.borrow().as_ref().is_some_and(|wire| wire.is_flushing());
        if is_flushing && let Some(task) = self.task.get() {
            task.wake();
        }
    }

    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.wire.borrow().is_none() {
            return Poll::Ready(());
        }
        self.task.keep(cx.waker());
        // While nobody waits on the session nobody else sends what is queued: the answer that began it, and those before.
        if self.user.get().is_none()
            && let Some(wire) = &mut *self.wire.borrow_mut()
        {
            // Whoever uses it next learns of a failure.
            let _ = wire.poll_flush(cx);
        }
        Poll::Pending
    }
}

/// What a connection has become that left HTTP.
#[derive(Clone)]
pub(super) enum Session {
    /// A stream of bytes.
    Stream(Rc<Lease>),
    /// A WebSocket.
    WebSocket(Rc<websocket::Session>),
}

impl Session {
    /// Looks after the session, in the connection's task; ready when it has ended.
    pub(super) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Stream(lease) => lease.poll_end(cx),
            Self::WebSocket(session) => session.poll_drive(cx),
        }
    }

    /// Ends it where it is.
    pub(super) fn cut(&self) {
        match self {
            Self::Stream(lease) => lease.end(),
            Self::WebSocket(session) => session.cut(),
        }
    }

    /// Tells it that the server stops.
    pub(super) fn stop(&self) {
        match self {
            // What its bytes mean is not known here.
            Self::Stream(_) => {}
            Self::WebSocket(session) => session.stop(),
        }
    }
}

/// The fields of the answer that ends HTTP on the connection (RFC 9110 §7.8).
fn switching_fields(tunnel: bool, protocol: &str, headers: &HeaderMap) -> Result<HeaderMap> {
    let mut fields = headers.clone();
    if !tunnel {
        let protocol =
            protocol.try_into().map_err(|_| Error::internal("the protocol's name is no field value"))?;
        fields.insert(http::header::UPGRADE, protocol);
        fields.insert(http::header::CONNECTION, http::HeaderValue::from_static("upgrade"));
    }
    Ok(fields)
}

/// RFC 9110 §9.3.6: a tunnel begins behind a 2xx, another protocol behind 101.
pub(super) fn switching_status(tunnel: bool) -> StatusCode {
    if tunnel { StatusCode::OK } else { StatusCode::SWITCHING_PROTOCOLS }
}

fn encode(out: &mut BytesMut, connection: &Connection, tunnel: bool, fields: &HeaderMap) -> Result<()> {
    let status = switching_status(tunnel);
    let host = &connection.host;
    let closing = host.closing_lines();
    let implied = Implied { closing: Some(&closing), ..Implied::default() };
    encode_response_head(out, Version::HTTP_11, status, None, fields, Framing::Empty, &implied)
        .map_err(Error::internal)
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").finish_non_exhaustive()
    }
}
