//! A connected socket that owns its operations.
//!
//! On io_uring an operation in flight owns its buffer, and dropping the future that waits for it may lose bytes that the
//! kernel has already put there. So a [`Stream`] keeps the one read and the one write it may have in flight itself, in
//! coroutines of its own; callers start an operation and poll for its end. A caller that goes away leaves the operation
//! where it is, and the next one finds its result: nothing is lost by dropping a future.
//!
//! A write asks the socket at once, and mostly that is all there is to it: the kernel copies what is in the processor's cache
//! still, and the buffer is free again. Only what the socket has no room for becomes an operation.
//!
//! Dropping the `Stream` drops the coroutines: the ring is told to cancel what is in flight, and the buffers and the
//! socket are freed when the kernel has let go of them.
#![forbid(unsafe_code)]

mod at_once;
mod send_file;

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use monoio::io::{AsyncReadRent, OwnedWriteHalf, Splitable};
use monoio::net::{TcpStream, UnixStream};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};

use self::at_once::{AtOnce, send_at_once};
pub use self::send_file::FileBatch;
use self::send_file::{Writable, write_file};
use crate::buffer::{Chunks, SharedSocket, WriteBatch, borrow_fd, receive_at_once, socket_of};
use crate::core::Core;
use crate::driver::DriverKind;
use crate::listener::Socket;

/// A connected TCP or Unix socket of this core.
pub struct Stream {
    reader: Coroutine,
    read: Rc<Slot<BytesMut, usize>>,
    socket: WriteHalf,
    /// Made when the socket takes no more, and given up by [`rest`](Self::rest). In a box: most connections never have one.
    writer: Option<Box<Writer>>,
    /// Bytes that were written otherwise than by the present writer.
    written: u64,
}

type Coroutine = Pin<Box<dyn Future<Output = ()>>>;

/// How a write ended: everything was written, or the error that stopped it; and the buffers.
pub type Written = (io::Result<()>, WriteBatch);

/// The coroutine that writes, and what its owner tells it.
struct Writer {
    coroutine: Coroutine,
    state: Rc<WriteState>,
}

/// What the owner and the writer tell each other.
#[derive(Default)]
struct WriteState {
    slot: Slot<WriteBatch, ()>,
    end: Cell<bool>,
    written: Cell<u64>,
}

/// What the writer is to do.
enum NextWrite {
    Batch(WriteBatch),
    End,
}

impl WriteState {
    fn next(&self) -> Poll<NextWrite> {
        if let Some(batch) = self.slot.take_start() {
            return Poll::Ready(NextWrite::Batch(batch));
        }
        if self.end.take() { Poll::Ready(NextWrite::End) } else { Poll::Pending }
    }
}

impl Writer {
    fn new(half: &WriteHalf) -> Self {
        let state = Rc::new(WriteState::default());
        let shared = Rc::clone(&state);
        let coroutine: Coroutine = match half {
            WriteHalf::Tcp(half) => Box::pin(write_on_demand(SharedSocket::of(half), shared)),
            WriteHalf::Unix(half) => Box::pin(write_on_demand(SharedSocket::of(half), shared)),
        };
        Self { coroutine, state }
    }
}

enum WriteHalf {
    Tcp(OwnedWriteHalf<TcpStream>),
    Unix(OwnedWriteHalf<UnixStream>),
}

/// The place of one operation. Where it stands is kept apart from what it carries, so that asking moves nothing.
struct Slot<Buffer, Output> {
    phase: Cell<Phase>,
    buffer: Cell<Option<Buffer>>,
    result: Cell<Option<io::Result<Output>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Empty,
    Start,
    InFlight,
    Done,
}

impl<B, O> Default for Slot<B, O> {
    fn default() -> Self {
        Self { phase: Cell::new(Phase::Empty), buffer: Cell::new(None), result: Cell::new(None) }
    }
}

impl<B, O> Slot<B, O> {
    fn is_busy(&self) -> bool {
        self.phase.get() != Phase::Empty
    }

    fn start(&self, buffer: B) {
        self.buffer.set(Some(buffer));
        self.phase.set(Phase::Start);
    }

    /// Takes the buffer of an operation that was asked for.
    fn take_start(&self) -> Option<B> {
        if self.phase.get() != Phase::Start {
            return None;
        }
        self.phase.set(Phase::InFlight);
        self.buffer.take()
    }

    fn finish(&self, result: io::Result<O>, buffer: B) {
        self.buffer.set(Some(buffer));
        self.result.set(Some(result));
        self.phase.set(Phase::Done);
    }

    fn poll(&self, coroutine: &mut Coroutine, cx: &mut Context<'_>) -> Poll<(io::Result<O>, B)> {
        if self.phase.get() != Phase::Done {
            let _ = coroutine.as_mut().poll(cx);
        }
        if self.phase.get() != Phase::Done {
            return Poll::Pending;
        }
        self.phase.set(Phase::Empty);
        match (self.result.take(), self.buffer.take()) {
            (Some(result), Some(buffer)) => Poll::Ready((result, buffer)),
            _ => unreachable!("a finished operation has a result and a buffer"),
        }
    }
}

impl Stream {
    /// Takes over a TCP socket.
    #[must_use]
    pub fn tcp(socket: TcpStream) -> Self {
        let (reader, writer) = socket.into_split();
        Self::new(reader, WriteHalf::Tcp(writer))
    }

    /// Takes over a Unix socket.
    #[must_use]
    pub fn unix(socket: UnixStream) -> Self {
        let (reader, writer) = socket.into_split();
        Self::new(reader, WriteHalf::Unix(writer))
    }

    fn new(reader: impl AsyncReadRent + 'static, writer: WriteHalf) -> Self {
        let read = Rc::new(Slot::default());
        let reader = Box::pin(read_on_demand(reader, Rc::clone(&read)));
        Self { reader, read, socket: writer, writer: None, written: 0 }
    }

    fn writer(&mut self) -> &mut Writer {
        self.writer.get_or_insert_with(|| Box::new(Writer::new(&self.socket)))
    }

    /// Gives memory up that a connection without anything to write does not need; it is made anew when that is needed.
    pub fn rest(&mut self) {
        if let Some(writer) = self.writer.take_if(|writer| !writer.state.slot.is_busy()) {
            self.written += writer.state.written.get();
        }
    }

    /// Whether a read was started whose result nobody has taken yet.
    #[must_use]
    #[inline(always)]
    pub fn is_reading(&self) -> bool {
        self.read.is_busy()
    }

    /// Starts a read that appends to `buffer`, which is lent to the kernel until [`poll_read`](Self::poll_read) gives it
    /// back. It goes out with the next poll.
    ///
    /// # Panics
    /// If a read is under way already, or if `buffer` has no room (a read of nothing would look like the end).
    #[inline(always)]
    pub fn start_read(&mut self, buffer: BytesMut) {
        assert!(!self.is_reading(), "one read at a time");
        assert!(buffer.capacity() > buffer.len(), "a read needs room");
        self.read.start(buffer);
    }

    /// As [`start_read`](Self::start_read), for when there is probably something to read: on io_uring the socket is asked first,
    /// in a system call of its own, and the read is done if it has something. (On epoll every read begins so.)
    ///
    /// # Panics
    /// As [`start_read`](Self::start_read).
    pub fn start_read_at_once(&mut self, mut buffer: BytesMut) {
        if Core::current().is_some_and(|core| core.driver() == DriverKind::Epoll) {
            return self.start_read(buffer);
        }
        assert!(!self.is_reading(), "one read at a time");
        assert!(buffer.capacity() > buffer.len(), "a read needs room");
        let received = match &self.socket {
            WriteHalf::Tcp(half) => receive_at_once(socket_of(half), &mut buffer),
            WriteHalf::Unix(half) => receive_at_once(socket_of(half), &mut buffer),
        };
        match received {
            Err(Errno::AGAIN | Errno::INTR) => self.read.start(buffer),
            // The kernel says what is wrong once: an operation would find an end.
            received => self.read.finish(received.map_err(io::Error::from), buffer),
        }
    }

    /// The end of the read under way: how many bytes were appended (0: the peer has ended its side), and the buffer.
    /// Pending for ever if no read was started.
    ///
    /// # Cancellation
    /// Nothing is lost: the read goes on, and the next poll finds its result.
    #[inline(always)]
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<(io::Result<usize>, BytesMut)> {
        self.read.poll(&mut self.reader, cx)
    }

    /// Whether a write was started whose end nobody has seen yet.
    #[must_use]
    #[inline(always)]
    pub fn is_writing(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.state.slot.is_busy())
    }

    /// Starts a write of all of `batch`. Ready if the kernel has taken it already, or refuses it; what it has no room for now
    /// goes out with the next [`poll_write`](Self::poll_write).
    ///
    /// # Panics
    /// If a write is under way already.
    #[inline(always)]
    pub fn start_write(&mut self, mut batch: WriteBatch) -> Poll<Written> {
        assert!(!self.is_writing(), "one write at a time");
        let sent = match &self.socket {
            WriteHalf::Tcp(half) => send_at_once(socket_of(half), &mut batch),
            WriteHalf::Unix(half) => send_at_once(socket_of(half), &mut batch),
        };
        match sent {
            AtOnce::All(count) => {
                self.written += count as u64;
                return Poll::Ready((Ok(()), batch));
            }
            AtOnce::Some(count) => self.written += count as u64,
            AtOnce::Failed(error) => return Poll::Ready((Err(error), batch)),
        }
        self.writer().state.slot.start(batch);
        Poll::Pending
    }

    /// The end of the write under way. Pending for ever if there is none.
    ///
    /// # Cancellation
    /// Nothing is lost: the write goes on, and the next poll finds its result.
    #[inline(always)]
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Written> {
        let Some(writer) = &mut self.writer else { return Poll::Pending };
        let Writer { coroutine, state } = &mut **writer;
        state.slot.poll(coroutine, cx)
    }

    /// Bytes that the kernel has taken since the socket was opened.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written + self.writer.as_ref().map_or(0, |writer| writer.state.written.get())
    }

    /// Ends our side of the connection: the peer reads an end of stream after what was written. Takes effect at once
    /// when no write is under way, otherwise right behind it.
    pub fn shutdown_write(&mut self) {
        match &self.writer {
            Some(writer) if self.is_writing() => writer.state.end.set(true),
            _ => match &self.socket {
                WriteHalf::Tcp(half) => shutdown_write(socket_of(half)),
                WriteHalf::Unix(half) => shutdown_write(socket_of(half)),
            },
        }
    }
}

impl From<Socket> for Stream {
    fn from(socket: Socket) -> Self {
        match socket {
            Socket::Tcp(stream) => Self::tcp(stream),
            Socket::Unix(stream) => Self::unix(stream),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("reading", &self.is_reading())
            .field("writing", &self.is_writing())
            .field("written", &self.written())
            .finish_non_exhaustive()
    }
}

#[expect(clippy::manual_async_fn, reason = "an `async fn` would keep room for its arguments twice")]
fn read_on_demand(
    mut socket: impl AsyncReadRent,
    slot: Rc<Slot<BytesMut, usize>>,
) -> impl Future<Output = ()> {
    async move {
        loop {
            // No waker is needed: the owner polls after it has asked.
            let room = poll_fn(|_| slot.take_room().map_or(Poll::Pending, Poll::Ready)).await;
            let (result, filled) = socket.read(room).await;
            slot.finish_read(result, filled);
        }
    }
}

/// The kernel is lent an empty buffer, which takes the coroutine less room than a buffer and a range of it would. What is in the buffer
/// that the owner has given waits in its place.
impl Slot<BytesMut, usize> {
    /// Takes the room behind what is in the buffer of a read that was asked for.
    fn take_room(&self) -> Option<BytesMut> {
        let mut buffer = self.take_start()?;
        if buffer.is_empty() {
            return Some(buffer);
        }
        let room = buffer.split_off(buffer.len());
        self.buffer.set(Some(buffer));
        Some(room)
    }

    fn finish_read(&self, result: io::Result<usize>, filled: BytesMut) {
        let buffer = match self.buffer.take() {
            Some(mut front) => {
                front.unsplit(filled);
                front
            }
            None => filled,
        };
        self.finish(result, buffer);
    }
}

async fn write_on_demand<S: Writable>(mut socket: SharedSocket<S>, state: Rc<WriteState>) {
    loop {
        let (result, batch) = match poll_fn(|_| state.next()).await {
            NextWrite::Batch(WriteBatch::One(buffer)) => {
                write_one(socket.get_mut(), buffer, &state.written).await
            }
            NextWrite::Batch(WriteBatch::Many(chunks)) => {
                write_many(socket.get_mut(), chunks, &state.written).await
            }
            NextWrite::Batch(WriteBatch::File(mut batch)) => {
                // In a box: its state is large, and most connections never send a file.
                let result = Box::pin(write_file(socket.get(), &mut batch, &state.written)).await;
                (result, WriteBatch::File(batch))
            }
            NextWrite::End => {
                shutdown_write(socket.get());
                continue;
            }
        };
        state.slot.finish(result, batch);
    }
}

async fn write_one<S: Writable>(socket: &mut S, mut buffer: BytesMut, written: &Cell<u64>) -> Written {
    while !buffer.is_empty() {
        let result;
        (result, buffer) = socket.write(buffer).await;
        match progress(result, written) {
            Ok(count) => buffer.advance(count),
            Err(error) => return (Err(error), WriteBatch::One(buffer)),
        }
    }
    (Ok(()), WriteBatch::One(buffer))
}

async fn write_many<S: Writable>(socket: &mut S, mut chunks: Box<Chunks>, written: &Cell<u64>) -> Written {
    while chunks.remaining() > 0 {
        chunks.describe();
        let result;
        (result, chunks) = socket.writev(chunks).await;
        match progress(result, written) {
            Ok(count) => chunks.advance(count),
            Err(error) => {
                // They are described anew by whoever writes them.
                chunks.advance(0);
                return (Err(error), WriteBatch::Many(chunks));
            }
        }
    }
    (Ok(()), WriteBatch::Many(chunks))
}

fn shutdown_write<S: Writable>(socket: &S) {
    // An error means that the connection is gone, which the next read or write will say.
    let _ = shutdown(borrow_fd(socket), Shutdown::Write);
}

fn progress(result: io::Result<usize>, written: &Cell<u64>) -> io::Result<usize> {
    let count = result?;
    if count == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    written.set(written.get() + count as u64);
    Ok(count)
}
