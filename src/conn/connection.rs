//! One server connection's state, and the waits on it: for a head, for body bytes, for the peer to take what was sent.
//!
//! Everything is a poll on state that the connection owns, so a future above may be dropped at any point: what was read
//! stays in the buffer, what was queued stays queued. One rule for deadlines: whoever waits sets the one it waits under.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use ringhttp_runtime::listener::Socket;
use ringhttp_runtime::stream::Stream;
use ringhttp_runtime::time::{Deadline, Instant, Timers};

use super::body::BodyError;
use super::close_reason::CloseReason;
use super::host::Host;
use super::request::Exchange;
use crate::io::read_buffer::Purpose;
use crate::io::transport::Transport;
use crate::io::wire::Wire;
use crate::io::write_queue::WriteQueue;
use crate::proto::http1::{BodyEvent, CONTINUE, Framing, RequestHead, RequestReader, State};
use crate::proto::{Misuse, PeerError};

/// A connection that is being served. Shared by the task that serves it and the [`Request`](super::Request) it is about.
pub(crate) struct Connection {
    pub(crate) host: Rc<Host>,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    io: RefCell<Io>,
    deadline: Deadline,
    /// The number of the request that may use the connection: a `Request` that outlives its answer finds another here.
    cycle: Cell<u32>,
    /// The task that serves the connection, to be woken when the server stops.
    task: RefCell<Option<Waker>>,
    /// Those in other tasks, who wait for what this task does.
    others: RefCell<Others>,
    taken: Cell<bool>,
    /// The running request has its response: it cannot take the connection over any more.
    answered: Cell<bool>,
    /// Answers that were queued since the queue was last empty.
    unflushed: Cell<usize>,
}

/// What is behind one borrow: the wire, and the protocol state that goes with its bytes.
struct Io {
    /// Gone once the handler has taken the connection over.
    wire: Option<Wire>,
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

/// How the reading of the current request body goes.
#[derive(Default)]
struct BodyProgress {
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
}

/// Where a wait for a head stands.
#[derive(Debug)]
pub(crate) struct HeadWait {
    /// Nothing has been answered on this connection yet: its first head has `head_timeout` from the accept on.
    first: bool,
    stage: HeadStage,
    since: Instant,
    /// What the peer had taken when last looked at, and when that was new.
    written: u64,
    written_at: Instant,
    /// The server stops, and the deadline is the end of its grace.
    stopping: bool,
}

/// How long an idle connection is kept when the server stops: a request that was sent before the client could know is
/// in the kernel or on the network still, and closing would lose it.
const STOP_GRACE: Duration = Duration::from_millis(100);

/// How soon a wait looks whether an answer has left whose write it did not ask about.
const QUIET_LOOK: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeadStage {
    /// The poll has not had to wait.
    New,
    /// Nothing of the next head has come.
    Idle,
    /// A part of it has.
    Begun,
}

impl HeadWait {
    pub(crate) fn new(first: bool) -> Self {
        let never = Instant::default();
        Self { first, stage: HeadStage::New, since: never, written: 0, written_at: never, stopping: false }
    }
}

/// Why no head came.
#[derive(Debug)]
pub(crate) enum NoHead {
    /// The connection ends without another answer.
    Close(CloseReason),
    /// The peer broke the protocol and is told so.
    Refuse(PeerError),
    /// A head had begun and did not end in time: 408.
    TimedOut,
}

impl Connection {
    /// A connection over a socket that was just accepted.
    pub(crate) fn over_socket(
        host: Rc<Host>,
        socket: Socket,
        peer: Option<SocketAddr>,
        local: Option<SocketAddr>,
    ) -> Rc<Self> {
        Self::new(host, Transport::Socket(Stream::from(socket)), peer, local)
    }

    pub(crate) fn new(
        host: Rc<Host>,
        transport: Transport,
        peer: Option<SocketAddr>,
        local: Option<SocketAddr>,
    ) -> Rc<Self> {
        let io = Io {
            wire: Some(Wire::new(transport, &host.buffers)),
            reader: RequestReader::new(host.limits),
            body: BodyProgress::default(),
        };
        Rc::new(Self {
            peer,
            local,
            io: RefCell::new(io),
            deadline: host.timers.deadline(),
            cycle: Cell::new(0),
            task: RefCell::new(None),
            others: RefCell::default(),
            taken: Cell::new(false),
            answered: Cell::new(false),
            unflushed: Cell::new(0),
            host,
        })
    }

    /// Remembers the task that serves the connection.
    pub(crate) fn register_task(&self, waker: &Waker) {
        *self.task.borrow_mut() = Some(waker.clone());
    }

    /// Wakes the task that serves the connection.
    pub(crate) fn wake(&self) {
        let task = self.task.borrow().clone();
        if let Some(task) = task {
            task.wake();
        }
    }

    fn is_polled_by_task(&self, cx: &Context<'_>) -> bool {
        self.task.borrow().as_ref().is_some_and(|task| task.will_wake(cx.waker()))
    }

    /// Sends what is queued, and wakes who waits for it elsewhere. For the connection's own task.
    fn poll_flush(&self, cx: &mut Context<'_>, wire: &mut Wire) -> Poll<io::Result<()>> {
        let flushed = wire.poll_flush(cx);
        let writer = self.others.borrow_mut().writer.take_if(|(queued_max, _)| is_drained(wire, *queued_max));
        if let Some((_, writer)) = writer {
            writer.wake();
        }
        flushed
    }

    /// Has the connection's task send what is queued.
    fn leave_flush_to_task(&self, wire: &Wire) {
        if wire.is_flush_due() {
            self.wake();
        }
    }

    /// Whether the handler took the transport.
    pub(crate) fn was_taken(&self) -> bool {
        self.taken.get()
    }

    /// Whether the request of this number may still take the connection over.
    pub(crate) fn may_be_taken(&self, cycle: u32) -> bool {
        cycle == self.cycle.get() && !self.answered.get()
    }

    /// The running request has its response.
    pub(crate) fn begin_answer(&self) {
        self.answered.set(true);
    }

    /// The number of the running request.
    pub(crate) fn cycle(&self) -> u32 {
        self.cycle.get()
    }

    /// Waits for the next head, while what is queued leaves.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub(crate) fn poll_head(
        &self,
        cx: &mut Context<'_>,
        wait: &mut HeadWait,
    ) -> Poll<Result<Box<Exchange>, NoHead>> {
        let mut io = self.io.borrow_mut();
        let Io { wire: Some(wire), reader, body } = &mut *io else {
            return Poll::Ready(Err(NoHead::Close(CloseReason::Upgraded)));
        };
        loop {
            if !wire.input().is_empty() {
                let mut exchange = self.host.take_exchange();
                match reader.head_into(wire.input(), &mut exchange.head) {
                    Ok(true) => {
                        body.begin(&exchange.head);
                        return Poll::Ready(Ok(exchange));
                    }
                    Ok(false) if wire.input().is_empty() => {}
                    Ok(false) => self.begin_head(wait),
                    Err(error) => return Poll::Ready(Err(NoHead::Refuse(error))),
                }
                self.host.give_exchange(exchange);
            }
            self.unflushed.set(0);
            let quietly = wait.stage != HeadStage::Begun && wire.flush_quietly();
            if !quietly && matches!(wire.poll_flush(cx), Poll::Ready(Err(_))) {
                return Poll::Ready(Err(NoHead::Close(CloseReason::TransportFailed)));
            }
            match wire.poll_fill(cx, Purpose::NextHead) {
                Poll::Ready(Ok(0)) if wire.is_flushing() => match wire.poll_flush(cx) {
                    Poll::Pending => break,
                    Poll::Ready(_) => {}
                },
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(NoHead::Close(end_without_head(wait)))),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(NoHead::Close(CloseReason::TransportFailed))),
                Poll::Pending => break,
            }
        }
        match self.check_head_wait(cx, wait, wire) {
            Some(reason) => Poll::Ready(Err(reason)),
            None => Poll::Pending,
        }
    }

    /// A part of a head is here: from now on it has `head_timeout`.
    fn begin_head(&self, wait: &mut HeadWait) {
        // The first head's time runs since the connection was accepted.
        let has_time = wait.first && wait.stage == HeadStage::Idle && !wait.stopping;
        if wait.stage != HeadStage::Begun && !has_time {
            wait.since = self.host.timers.now();
            self.deadline.set_at(wait.since + self.host.config.head_timeout);
        }
        wait.stage = HeadStage::Begun;
    }

    /// The reasons not to wait any longer.
    fn check_head_wait(&self, cx: &mut Context<'_>, wait: &mut HeadWait, wire: &mut Wire) -> Option<NoHead> {
        if self.host.is_cut() {
            return Some(NoHead::Close(CloseReason::Cut));
        }
        if wait.stage == HeadStage::New {
            wait.stage = HeadStage::Idle;
            wait.since = self.host.timers.now();
            (wait.written, wait.written_at) = (wire.written(), wait.since);
            self.deadline.set_at(wait.since + self.first_look(wait.first));
        }
        let is_idle = wait.stage != HeadStage::Begun && !wire.is_flushing();
        if self.host.is_stopping() && is_idle && !wait.stopping {
            wait.stopping = true;
            self.deadline.set(STOP_GRACE);
        }
        while self.deadline.poll_expired(cx).is_ready() {
            if let Some(reason) = self.head_wait_expired(wait, wire) {
                return Some(reason);
            }
        }
        None
    }

    /// A wait behind an answer is looked at soon: whether the answer has left, which nobody tells if it left quietly, and
    /// for what an idle connection does not need.
    fn first_look(&self, first: bool) -> Duration {
        let config = &self.host.config;
        if first { config.head_timeout } else { config.keep_alive_timeout.min(QUIET_LOOK) }
    }

    fn head_wait_expired(&self, wait: &mut HeadWait, wire: &mut Wire) -> Option<NoHead> {
        let config = &self.host.config;
        if wait.stage == HeadStage::Begun {
            return Some(NoHead::TimedOut);
        }
        if wait.stopping {
            return Some(NoHead::Close(CloseReason::Stopping));
        }
        if wait.first {
            return Some(NoHead::Close(CloseReason::HeadTimeout));
        }
        let now = self.host.timers.now();
        if wire.is_flushing() {
            if wire.written() != wait.written {
                (wait.written, wait.written_at) = (wire.written(), now);
            }
            let stalled = wait.written_at + config.write_timeout;
            if now >= stalled {
                return Some(NoHead::Close(CloseReason::WriteStalled));
            }
            self.deadline.set_at(stalled);
            return None;
        }
        wire.rest();
        let end = wait.since + config.keep_alive_timeout;
        if now >= end {
            return Some(NoHead::Close(CloseReason::KeepAliveExpired));
        }
        self.deadline.set_at(end);
        None
    }

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
        let mut io = self.io.borrow_mut();
        let Io { wire: Some(wire), reader, body } = &mut *io else {
            return Poll::Ready(Err(BodyError::Gone));
        };
        let result = match body.failure {
            Some(failure) => Err(failure),
            None => match self.read_body(cx, wire, reader, body, bytes_max) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(result) => result,
            },
        };
        if let Some(wait) = &mut body.wait {
            wait.pause(self.host.timers.now());
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
            // While a read is under way the unread bytes are lent out: there is nothing to look at.
            let event = if wire.is_filling() { Ok(BodyEvent::NeedMore) } else { reader.body(wire.input()) };
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
            if std::mem::take(&mut body.awaits_continue) {
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
            Box::new(BodyWait { deadline: host.timers.deadline(), since: None, waited: Duration::ZERO })
        });
        let now = host.timers.now();
        if wait.since.is_none() {
            wait.since = Some(now);
            wait.deadline.set_at(now + host.config.body_timeout);
        }
        if wait.deadline.poll_expired(cx).is_ready() || wait.is_too_slow(now, body.bytes, host) {
            return Poll::Ready(Err(BodyError::Timeout));
        }
        if !self.is_polled_by_task(cx) {
            self.others.borrow_mut().reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Queues the 100 that the peer waits for, if it does and has not got it.
    pub(crate) fn send_continue(&self) {
        let mut io = self.io.borrow_mut();
        if let Io { wire: Some(wire), body, .. } = &mut *io
            && std::mem::take(&mut body.awaits_continue)
        {
            wire.output().buffer().extend_from_slice(CONTINUE);
        }
    }

    /// Waits until no more than `queued_max` bytes wait for the kernel.
    ///
    /// # Cancellation
    /// Nothing is lost: what is queued leaves all the same.
    pub(crate) fn poll_drained(&self, cx: &mut Context<'_>, queued_max: usize) -> Poll<io::Result<()>> {
        let mut io = self.io.borrow_mut();
        let Some(wire) = &mut io.wire else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        self.unflushed.set(0);
        if !self.is_polled_by_task(cx) {
            self.leave_flush_to_task(wire);
            if is_drained(wire, queued_max) {
                return Poll::Ready(Ok(()));
            }
            self.others.borrow_mut().writer = Some((queued_max, cx.waker().clone()));
            return Poll::Pending;
        }
        match self.poll_flush(cx, wire) {
            Poll::Pending if is_drained(wire, queued_max) => Poll::Ready(Ok(())),
            flushed => flushed,
        }
    }

    /// Looks after the connection while somebody else is waited for (the handler, a stream): what is queued leaves, a
    /// stalled peer, a passed `deadline` or the cut end the wait.
    pub(crate) fn poll_meanwhile(&self, cx: &mut Context<'_>, wait: &mut Meanwhile) -> Poll<CloseReason> {
        if self.host.is_cut() {
            return Poll::Ready(CloseReason::Cut);
        }
        let mut io = self.io.borrow_mut();
        let (flushing, written) = match &mut io.wire {
            Some(wire) => {
                if let Poll::Ready(Err(_)) = self.poll_flush(cx, wire) {
                    return Poll::Ready(CloseReason::TransportFailed);
                }
                (wire.is_flushing(), wire.written())
            }
            None => {
                // The handler is a session now, which lasts as long as it likes.
                wait.until = None;
                (false, 0)
            }
        };
        wait.poll(cx, self, flushing, written)
    }

    /// Runs `change` on the output queue, while the connection is ours.
    pub(crate) fn with_output<T>(&self, change: impl FnOnce(&mut WriteQueue) -> T) -> Option<T> {
        self.io.borrow_mut().wire.as_mut().map(|wire| change(wire.output()))
    }

    /// Bytes that wait to be written.
    pub(crate) fn queued(&self) -> usize {
        self.with_output(|output| output.queued()).unwrap_or(0)
    }

    /// Counts an answer that was queued; whether it is time to let the queue shrink before the next request.
    pub(crate) fn count_answer(&self, answers_max: usize, bytes_max: usize) -> bool {
        self.unflushed.set(self.unflushed.get() + 1);
        self.unflushed.get() >= answers_max || self.queued() >= bytes_max
    }

    /// Whether the running request's body has been read to its end.
    pub(crate) fn body_is_done(&self) -> bool {
        self.io.borrow().reader.state() == State::Done
    }

    /// Whether the rest of the body can be expected to come and is worth reading: it is not too long, nothing is wrong
    /// with it, and the peer does not wait for a 100 that it will not get.
    pub(crate) fn body_can_be_drained(&self) -> bool {
        let io = self.io.borrow();
        let left = io.body.length.saturating_sub(io.body.bytes);
        io.body.failure.is_none() && !io.body.awaits_continue && left <= self.host.config.drain_bytes_max
    }

    /// Bytes of the running request's body that have been read.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.io.borrow().body.bytes
    }

    /// The trailers of the body that was read.
    pub(crate) fn take_trailers(&self) -> Option<HeaderMap> {
        self.io.borrow_mut().reader.trailers()
    }

    /// Ends the cycle: the next head may be read, and what is left of the old request cannot touch the connection.
    pub(crate) fn next_cycle(&self) -> Result<(), Misuse> {
        self.end_cycle();
        self.answered.set(false);
        self.io.borrow_mut().reader.start_next().map(drop)
    }

    /// Cuts what is left of the running request off from the connection.
    pub(crate) fn end_cycle(&self) {
        self.cycle.set(self.cycle.get().wrapping_add(1));
        let Others { reader, writer } = self.others.take();
        reader.into_iter().chain(writer.map(|(_, writer)| writer)).for_each(Waker::wake);
    }

    /// Closes the connection, unless it was taken over: requests and bodies that are kept somewhere do not hold the socket.
    pub(crate) fn close(&self) {
        self.end_cycle();
        let wire = self.io.borrow_mut().wire.take();
        drop(wire);
    }

    /// Ends our side of the connection.
    pub(crate) fn shutdown_write(&self, cx: &mut Context<'_>) {
        if let Some(wire) = &mut self.io.borrow_mut().wire {
            wire.shutdown_write(cx);
        }
    }

    /// Whether something has come that nobody will read: closing now would reset the connection.
    pub(crate) fn has_unread_input(&self) -> bool {
        let mut io = self.io.borrow_mut();
        let unfinished = io.reader.state() != State::Done && io.reader.state() != State::Idle;
        io.wire.as_mut().is_some_and(|wire| !wire.has_ended() && (unfinished || !wire.input().is_empty()))
    }

    /// Reads and forgets; ready with the number of bytes, 0 at the end or on a failure.
    pub(crate) fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<usize> {
        let mut io = self.io.borrow_mut();
        let Some(wire) = &mut io.wire else {
            return Poll::Ready(0);
        };
        wire.discard_input();
        wire.poll_fill(cx, Purpose::More).map(|result| result.unwrap_or(0))
    }

    /// Sets the connection's deadline.
    pub(crate) fn set_deadline(&self, after: Duration) {
        self.deadline.set(after);
    }

    pub(crate) fn poll_deadline(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.deadline.poll_expired(cx)
    }

    /// Takes the wire out for somebody else; the connection ends with the running request.
    pub(crate) fn take_wire(&self) -> Option<Wire> {
        let wire = self.io.borrow_mut().wire.take();
        self.taken.set(wire.is_some());
        wire
    }
}

/// A wait during which the connection only has to be looked after.
#[derive(Debug)]
pub(crate) struct Meanwhile {
    /// Until when the one who is waited for has time.
    until: Option<Instant>,
    /// What the peer had taken when last looked at, and until when it has to take more.
    stall: Option<(u64, Instant)>,
    set: Option<Instant>,
}

impl Meanwhile {
    /// A wait that may last for `limit`.
    pub(crate) fn new(connection: &Connection, limit: Option<Duration>) -> Self {
        Self { until: limit.map(|limit| connection.host.timers.now() + limit), stall: None, set: None }
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

impl BodyProgress {
    fn begin(&mut self, head: &RequestHead) {
        self.bytes = 0;
        self.length = if let Framing::Length(length) = head.framing { length } else { 0 };
        self.awaits_continue = head.expect_continue;
        self.failure = None;
        self.wait = None;
    }

    /// Bytes came: the next wait begins anew.
    fn arrived(&mut self, timers: &Timers) {
        if let Some(wait) = &mut self.wait {
            wait.pause(timers.now());
        }
    }
}

impl BodyWait {
    fn pause(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.waited += now - since;
            self.deadline.clear();
        }
    }

    /// Whether the body comes slower than the least rate, over the time that it was waited for.
    fn is_too_slow(&self, now: Instant, bytes: u64, host: &Host) -> bool {
        let waited = self.waited + self.since.map_or(Duration::ZERO, |since| now - since);
        waited > host.config.body_timeout && bytes < waited.as_secs() * host.config.body_rate_min
    }
}

fn is_drained(wire: &mut Wire, queued_max: usize) -> bool {
    !wire.is_flushing() || (queued_max > 0 && wire.output().queued() < queued_max)
}

fn end_without_head(wait: &HeadWait) -> CloseReason {
    if wait.stage == HeadStage::Begun { CloseReason::PeerClosedEarly } else { CloseReason::PeerClosed }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .field("cycle", &self.cycle)
            .finish_non_exhaustive()
    }
}
