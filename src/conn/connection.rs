//! One server connection's state, and the waits on it: for a head, for body bytes, for the peer to take what was sent.
//!
//! Everything is a poll on state that the connection owns, so a future above may be dropped at any point: what was read
//! stays in the buffer, what was queued stays queued. One rule for deadlines: whoever waits sets the one it waits under.
#![forbid(unsafe_code)]

mod body_wait;
#[cfg(feature = "rustls")]
mod handshake_wait;
mod head_wait;
mod logging;
mod meanwhile;
mod proxy_wait;

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::header::HOST;
use ringhttp_runtime::file::FileSlice;
use ringhttp_runtime::listener::Socket;
use ringhttp_runtime::stream::Stream;
use ringhttp_runtime::time::Deadline;

use super::access_log::Entry;
use super::close_reason::CloseReason;
use super::disconnect::CancelOnDisconnect;
use super::host::Host;
use super::request::Exchange;
use super::tls::TlsInfo;
use super::upgrade::Session;
use super::waker_cell::WakerCell;
use crate::io::transport::Transport;
use crate::io::wire::Wire;
use crate::io::write_queue::WriteQueue;
use crate::proto::Misuse;
use crate::proto::http1::{RequestHead, RequestReader, State};

use self::body_wait::BodyProgress;
#[cfg(feature = "rustls")]
pub(crate) use self::handshake_wait::{HandshakeWait, NoHandshake};
pub(crate) use self::head_wait::{HeadWait, NoHead};
pub(crate) use self::meanwhile::Meanwhile;
pub(crate) use self::proxy_wait::ProxyWait;

/// A connection that is being served. Shared by the task that serves it and the [`Request`](super::Request) it is about.
pub(crate) struct Connection {
    pub(crate) host: Rc<Host>,
    /// The address of the peer's socket, or the one that a PROXY header gave. So for ours, which all connections of a
    /// listener share.
    pub(crate) peer: Cell<Option<SocketAddr>>,
    local: Cell<Option<Rc<SocketAddr>>>,
    /// What was agreed on, once TLS is spoken.
    pub(crate) tls: OnceCell<Box<TlsInfo>>,
    /// Gone once the handler has taken the connection over.
    io: RefCell<Option<Box<Io>>>,
    deadline: Deadline,
    /// The number of the request that may use the connection: a `Request` that outlives its answer finds another here.
    cycle: Cell<u32>,
    /// The task that serves the connection, to be woken when the server stops.
    task: WakerCell,
    /// Those in other tasks, who wait for what this task does, if there are any.
    others: Cell<Option<Box<Others>>>,
    /// What the handler has made of the connection, if it took it out of HTTP.
    session: Cell<Option<Session>>,
    /// The last request: the next one mostly has the same fields. Given up when the connection turns out to be idle.
    last: Cell<Option<Box<Exchange>>>,
    /// The running request has its response: it cannot take the connection over any more.
    answered: Cell<bool>,
    /// What ends the running request from the other side.
    cancel_on: Cell<CancelOnDisconnect>,
    /// The running request's line in the access log, if there is one.
    entry: Cell<Option<Box<Entry>>>,
    /// Answers that were queued since the queue was last empty.
    unflushed: Cell<u16>,
}

#[cfg(not(test))]
const _: () = assert!(size_of::<Connection>() <= 152);

/// What is behind one borrow: the wire, and the protocol state that goes with its bytes. In a box, of which nothing stays
/// behind when the connection leaves HTTP.
struct Io {
    /// In a box of its own, which a session takes over as it is.
    wire: Box<Wire>,
    reader: RequestReader,
    body: BodyProgress,
}

/// Who waits on a running request in another task than the connection's, or behind a waker of their own. An operation
/// of the transport wakes only whoever polled it last, so writes are left to the task, which wakes the others.
#[derive(Default)]
struct Others {
    reader: Option<Waker>,
    /// With the number of bytes that may still be queued when it goes on.
    writer: Option<(usize, Waker)>,
}

impl Connection {
    /// A connection over a socket that was just accepted.
    pub(crate) fn over_socket(
        host: Rc<Host>,
        socket: Socket,
        peer: Option<SocketAddr>,
        local: Option<Rc<SocketAddr>>,
    ) -> Rc<Self> {
        Self::new(host, Transport::Socket(Stream::from(socket)), peer, local)
    }

    pub(crate) fn new(
        host: Rc<Host>,
        transport: Transport,
        peer: Option<SocketAddr>,
        local: Option<Rc<SocketAddr>>,
    ) -> Rc<Self> {
        let io = Io {
            wire: Box::new(Wire::new(transport, &host.buffers)),
            reader: RequestReader::new(host.limits),
            body: BodyProgress::default(),
        };
        Rc::new(Self {
            peer: Cell::new(peer),
            local: Cell::new(local),
            tls: OnceCell::new(),
            io: RefCell::new(Some(Box::new(io))),
            deadline: host.timers.deadline(),
            cycle: Cell::new(0),
            task: WakerCell::default(),
            others: Cell::default(),
            session: Cell::new(None),
            last: Cell::new(None),
            answered: Cell::new(false),
            cancel_on: Cell::new(host.config.cancel_on_disconnect),
            entry: Cell::new(None),
            unflushed: Cell::new(0),
            host,
        })
    }

    /// The address that the peer connected to.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        let local = self.local.take();
        self.local.set(local.clone());
        local.map(|local| *local)
    }

    /// A PROXY header says between which addresses the connection is.
    pub(crate) fn readdress(&self, peer: Option<SocketAddr>, local: Option<SocketAddr>) {
        self.peer.set(peer);
        self.local.set(local.map(Rc::new));
    }

    /// Whether a request is for a host that this connection is not for: it was made by the rules of another one.
    pub(crate) fn is_misdirected(&self, head: &RequestHead) -> bool {
        self.tls.get().is_some_and(|tls| {
            let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
            host.is_some_and(|host| tls.forbids_host(host))
        })
    }

    /// Remembers the task that serves the connection.
    pub(crate) fn register_task(&self, waker: &Waker) {
        self.task.keep(waker);
    }

    /// Wakes the task that serves the connection.
    pub(crate) fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake();
        }
    }

    pub(super) fn is_polled_by_task(&self, cx: &Context<'_>) -> bool {
        self.task.will_wake(cx.waker())
    }

    /// Sends what is queued, and wakes who waits for it elsewhere. For the connection's own task.
    fn poll_flush(&self, cx: &mut Context<'_>, wire: &mut Wire) -> Poll<io::Result<()>> {
        let flushed = wire.poll_flush(cx);
        let drained = |(queued_max, _): &mut (usize, Waker)| is_drained(wire, *queued_max);
        let writer = self.with_others(|others| others.writer.take_if(drained));
        if let Some((_, writer)) = writer {
            writer.wake();
        }
        flushed
    }

    /// Asks for something of those who wait in other tasks, if there are any.
    fn with_others<T>(&self, ask: impl FnOnce(&mut Others) -> Option<T>) -> Option<T> {
        let mut others = self.others.take()?;
        let answer = ask(&mut others);
        self.others.set(Some(others));
        answer
    }

    /// Somebody waits in another task.
    fn others_or_new(&self, change: impl FnOnce(&mut Others)) {
        let mut others = self.others.take().unwrap_or_default();
        change(&mut others);
        self.others.set(Some(others));
    }

    /// Has the connection's task send what is queued.
    fn leave_flush_to_task(&self, wire: &Wire) {
        if wire.is_flush_due() {
            self.leave_to_task();
        }
    }

    /// Has the connection's task look after it. It is not woken in its own turn, behind which it does so anyway: a task that wakes
    /// itself at every poll has the core to itself.
    pub(super) fn leave_to_task(&self) {
        if !self.host.is_turn_of(self) {
            self.wake();
        }
    }

    /// Polls what the connection's task waits for, behind which it looks after the connection.
    pub(super) fn in_turn<T>(&self, poll: impl FnOnce() -> T) -> T {
        if let Some(Session::WebSocket(session)) = self.session() {
            session.begin_turn();
        }
        let _turn = self.host.begin_turn(self);
        poll()
    }

    fn session(&self) -> Option<Session> {
        let session = self.session.take();
        self.session.set(session.clone());
        session
    }

    /// Whether the handler took the transport.
    pub(crate) fn was_taken(&self) -> bool {
        self.session().is_some()
    }

    /// The connection is a session from now on. Its task looks after it, wherever it was handed over.
    pub(super) fn hand_over(&self, session: Session) {
        if let (Session::WebSocket(session), Some(task)) = (&session, self.task.get()) {
            session.driven_by(&task);
        }
        self.session.set(Some(session));
        self.wake();
    }

    /// Looks after the session; ready when it has ended, or is ended by the cut.
    pub(crate) fn poll_session_end(&self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let Some(session) = self.session() else {
            return Poll::Ready(CloseReason::Upgraded);
        };
        if self.host.is_cut() {
            session.cut();
            return Poll::Ready(CloseReason::Cut);
        }
        if self.host.is_stopping() {
            session.stop();
        }
        session.poll_end(cx).map(|()| CloseReason::Upgraded)
    }

    /// Whether the request of this number may still take the connection over.
    pub(crate) fn may_be_taken(&self, cycle: u32) -> bool {
        cycle == self.cycle.get() && !self.answered.get()
    }

    /// The running request has its response.
    pub(crate) fn begin_answer(&self) {
        self.answered.set(true);
    }

    /// Whether there is a running request that has its response.
    #[cfg(feature = "rustls")]
    pub(crate) fn has_begun_answer(&self) -> bool {
        self.answered.get()
    }

    /// Sets what ends the running request, if it is the one of this number.
    pub(crate) fn cancel_on(&self, cycle: u32, what: CancelOnDisconnect) {
        if cycle == self.cycle.get() {
            self.cancel_on.set(what);
        }
    }

    /// Notices a reset while the answer is made, whatever the request says of clients that are gone.
    pub(crate) fn watch_for_reset(&self) {
        if self.cancel_on.get() == CancelOnDisconnect::Off {
            self.cancel_on.set(CancelOnDisconnect::Reset);
        }
    }

    /// The number of the running request.
    pub(crate) fn cycle(&self) -> u32 {
        self.cycle.get()
    }

    /// Waits until no more than `queued_max` bytes wait for the kernel.
    ///
    /// # Cancellation
    /// Nothing is lost: what is queued leaves all the same.
    pub(crate) fn poll_drained(&self, cx: &mut Context<'_>, queued_max: usize) -> Poll<io::Result<()>> {
        let mut io = self.io.borrow_mut();
        let Some(Io { wire, .. }) = io.as_deref_mut() else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        self.unflushed.set(0);
        if !self.is_polled_by_task(cx) {
            self.leave_flush_to_task(wire);
            if is_drained(wire, queued_max) {
                return Poll::Ready(Ok(()));
            }
            self.others_or_new(|others| others.writer = Some((queued_max, cx.waker().clone())));
            return Poll::Pending;
        }
        match self.poll_flush(cx, wire) {
            Poll::Pending if is_drained(wire, queued_max) => Poll::Ready(Ok(())),
            flushed => flushed,
        }
    }

    /// Runs `change` on the output queue, while the connection is ours.
    pub(crate) fn with_output<T>(&self, change: impl FnOnce(&mut WriteQueue) -> T) -> Option<T> {
        self.io.borrow_mut().as_mut().map(|io| change(io.wire.output()))
    }

    /// Queues a part of a file; gives it back if this connection cannot send it so.
    pub(crate) fn queue_file(&self, slice: FileSlice) -> Option<FileSlice> {
        match self.io.borrow_mut().as_deref_mut() {
            Some(Io { wire, .. }) if wire.takes_files() => wire.output().push_file(slice),
            _ => return Some(slice),
        }
        None
    }

    /// Bytes that wait to be written.
    pub(crate) fn queued(&self) -> usize {
        self.with_output(|output| output.queued()).unwrap_or(0)
    }

    /// Whether a write is under way.
    pub(super) fn is_writing(&self) -> bool {
        self.io.borrow().as_ref().is_some_and(|io| io.wire.is_writing())
    }

    /// Bytes that the kernel has taken.
    pub(crate) fn written(&self) -> u64 {
        self.io.borrow().as_ref().map_or(0, |io| io.wire.written())
    }

    /// Counts an answer that was queued.
    pub(crate) fn count_answer(&self) {
        self.unflushed.set(self.unflushed.get().saturating_add(1));
    }

    /// Whether so many answers wait, or so much of them, that they have to leave before another request is handled.
    pub(crate) fn has_many_answers(&self) -> bool {
        let config = &self.host.config;
        usize::from(self.unflushed.get()) >= config.pipelined_requests_max.min(usize::from(u16::MAX))
            || self.queued() >= config.write_buffer_bytes_max
    }

    /// Ends the cycle: the next head may be read, and what is left of the old request cannot touch the connection.
    pub(crate) fn next_cycle(&self) -> Result<(), Misuse> {
        self.end_cycle();
        self.answered.set(false);
        self.cancel_on.set(self.host.config.cancel_on_disconnect);
        let mut io = self.io.borrow_mut();
        io.as_mut().map_or(Err(Misuse::WrongState), |io| io.reader.start_next().map(drop))
    }

    /// Cuts what is left of the running request off from the connection.
    pub(crate) fn end_cycle(&self) {
        self.cycle.set(self.cycle.get().wrapping_add(1));
        if let Some(others) = self.others.take() {
            let writer = others.writer.map(|(_, writer)| writer);
            others.reader.into_iter().chain(writer).for_each(Waker::wake);
        }
    }

    /// Keeps a request that is done with for the sake of the next one.
    pub(crate) fn keep_exchange(&self, mut exchange: Box<Exchange>, cycle: u32) {
        if cycle == self.cycle.get() {
            self.note_route(exchange.matched());
        }
        // A session has no next request.
        if cycle != self.cycle.get() || self.was_taken() {
            return self.host.give_exchange(exchange);
        }
        exchange.keep_fields();
        if let Some(other) = self.last.replace(Some(exchange)) {
            self.host.give_exchange(other);
        }
    }

    fn take_exchange(&self) -> Box<Exchange> {
        self.last.take().unwrap_or_else(|| self.host.take_exchange())
    }

    /// Gives up what is kept for the next request.
    fn forget_last(&self) {
        if let Some(exchange) = self.last.take() {
            self.host.give_exchange(exchange);
        }
    }

    /// Closes the connection and the session that it may have become: who keeps a request, a body or a session somewhere does
    /// not hold the socket.
    pub(crate) fn close(&self) {
        if let Some(session) = self.session() {
            session.cut();
        }
        self.end_cycle();
        self.end_entry(Some(CloseReason::Cut));
        self.forget_last();
        let io = self.io.take();
        drop(io);
    }

    /// Ends our side of the connection.
    pub(crate) fn shutdown_write(&self, cx: &mut Context<'_>) {
        if let Some(io) = &mut *self.io.borrow_mut() {
            io.wire.shutdown_write(cx);
        }
    }

    /// Whether something has come that nobody will read: closing now would reset the connection.
    pub(crate) fn has_unread_input(&self) -> bool {
        let mut io = self.io.borrow_mut();
        let Some(Io { wire, reader, .. }) = io.as_deref_mut() else { return false };
        let unfinished = reader.state() != State::Done && reader.state() != State::Idle;
        !wire.has_ended() && (unfinished || wire.ends_with_messages() || !wire.input().is_empty())
    }

    /// Reads and forgets; ready with the number of bytes, 0 at the end or on a failure.
    pub(crate) fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<usize> {
        let mut io = self.io.borrow_mut();
        let Some(Io { wire, .. }) = io.as_deref_mut() else {
            return Poll::Ready(0);
        };
        wire.poll_discard(cx).map(|result| result.unwrap_or(0))
    }

    /// Sets the connection's deadline.
    pub(crate) fn set_deadline(&self, after: Duration) {
        self.deadline.set(after);
    }

    pub(crate) fn poll_deadline(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.deadline.poll_expired(cx)
    }

    /// Takes the wire out for somebody else; the connection ends with the running request.
    pub(crate) fn take_wire(&self) -> Option<Box<Wire>> {
        let io = self.io.take()?;
        // Nobody waits on the connection any more but for the session's end.
        self.deadline.release();
        Some(io.wire)
    }
}

fn is_drained(wire: &mut Wire, queued_max: usize) -> bool {
    !wire.is_flushing() || (queued_max > 0 && wire.output().queued() < queued_max)
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer.get())
            .field("cycle", &self.cycle)
            .finish_non_exhaustive()
    }
}
