//! A connected socket that owns its operations.
//!
//! On io_uring an operation in flight owns its buffer, and dropping the future that waits for it may lose bytes that the
//! kernel has already put there. So a [`Stream`] keeps the one read and the one write it may have in flight itself, in
//! two coroutines that are boxed once per connection; callers start an operation and poll for its end. A caller that
//! goes away leaves the operation where it is, and the next one finds its result: nothing is lost by dropping a future.
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
use std::task::{Context, Poll, Waker};

use bytes::{Buf, BytesMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent, OwnedWriteHalf, Splitable};
use monoio::net::{TcpStream, UnixStream};

use self::at_once::{leaves_at_once, send_at_once};
pub use self::send_file::FileBatch;
use self::send_file::{Writable, write_file};
use crate::buffer::{Chunks, WriteBatch};
use crate::listener::Socket;

/// A connected TCP or Unix socket of this core.
pub struct Stream {
    reader: Coroutine,
    read: Rc<Slot<BytesMut, usize>>,
    /// Made with a write, and given up by [`rest`](Self::rest).
    writer: Option<Writer>,
    /// Present while there is no writer.
    resting: Option<WriteHalf>,
    /// Bytes that writers before the present one have written.
    written_before: u64,
}

type Coroutine = Pin<Box<dyn Future<Output = ()>>>;

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
    /// The writer gives its half of the socket back and ends.
    rest: Cell<bool>,
    half: Cell<Option<WriteHalf>>,
    written: Cell<u64>,
}

/// What the writer is to do.
enum NextWrite {
    Batch(WriteBatch),
    End,
    Rest,
}

impl WriteState {
    fn next(&self) -> Poll<NextWrite> {
        if let Some(batch) = self.slot.take_start() {
            return Poll::Ready(NextWrite::Batch(batch));
        }
        if self.end.take() {
            return Poll::Ready(NextWrite::End);
        }
        if self.rest.take() { Poll::Ready(NextWrite::Rest) } else { Poll::Pending }
    }
}

impl Writer {
    fn new(half: WriteHalf) -> Self {
        let state = Rc::new(WriteState::default());
        let shared = Rc::clone(&state);
        let coroutine: Coroutine = match half {
            WriteHalf::Tcp(socket) => Box::pin(write_on_demand(socket, shared, WriteHalf::Tcp)),
            WriteHalf::Unix(socket) => Box::pin(write_on_demand(socket, shared, WriteHalf::Unix)),
        };
        Self { coroutine, state }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.coroutine.as_mut().poll(cx)
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
        let _ = coroutine.as_mut().poll(cx);
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
        Self { reader, read, writer: None, resting: Some(writer), written_before: 0 }
    }

    fn writer(&mut self) -> &mut Writer {
        let resting = &mut self.resting;
        self.writer.get_or_insert_with(|| {
            Writer::new(resting.take().expect("a writer that went to rest gave it back"))
        })
    }

    /// Gives memory up that a connection without anything to write does not need; the next write makes it anew.
    pub fn rest(&mut self) {
        if self.is_writing() {
            return;
        }
        if let Some(writer) = &mut self.writer {
            writer.state.rest.set(true);
            let ended = writer.poll(&mut Context::from_waker(Waker::noop()));
            // A shutdown that is under way keeps it.
            writer.state.rest.set(false);
            if ended.is_ready() {
                self.written_before += writer.state.written.get();
                self.resting = writer.state.half.take();
                self.writer = None;
            }
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

    /// Starts a write of all of `batch`. It goes out with the next poll.
    ///
    /// # Panics
    /// If a write is under way already.
    #[inline(always)]
    pub fn start_write(&mut self, batch: WriteBatch) {
        assert!(!self.is_writing(), "one write at a time");
        self.writer().state.slot.start(batch);
    }

    /// The end of the write under way: everything was written, or the error that stopped it. The buffers come back.
    /// Pending for ever if no write was started.
    ///
    /// # Cancellation
    /// Nothing is lost: the write goes on, and the next poll finds its result.
    #[inline(always)]
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<(io::Result<()>, WriteBatch)> {
        match &mut self.writer {
            Some(Writer { coroutine, state }) => state.slot.poll(coroutine, cx),
            None => Poll::Pending,
        }
    }

    /// Bytes that the kernel has taken since the socket was opened.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written_before + self.writer.as_ref().map_or(0, |writer| writer.state.written.get())
    }

    /// Ends our side of the connection: the peer reads an end of stream after what was written. Takes effect at once
    /// when no write is under way, otherwise with the next poll after its end.
    pub fn shutdown_write(&mut self, cx: &mut Context<'_>) {
        let writer = self.writer();
        writer.state.end.set(true);
        // The shutdown itself is a plain system call that the coroutine makes as soon as it is idle.
        let _ = writer.poll(cx);
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

async fn write_on_demand<S: Writable>(
    mut socket: OwnedWriteHalf<S>,
    state: Rc<WriteState>,
    half: fn(OwnedWriteHalf<S>) -> WriteHalf,
) {
    loop {
        let (result, batch) = match poll_fn(|_| state.next()).await {
            // Here and not in a function of its own: the future of one would be moved, once per answer.
            NextWrite::Batch(WriteBatch::One(mut buffer)) => loop {
                if buffer.is_empty() {
                    break (Ok(()), WriteBatch::One(buffer));
                }
                let result;
                (result, buffer) = socket.write(buffer).await;
                match progress(result, &state.written) {
                    Ok(count) => buffer.advance(count),
                    Err(error) => break (Err(error), WriteBatch::One(buffer)),
                }
            },
            NextWrite::Batch(WriteBatch::Many(chunks)) => {
                write_many(&mut socket, chunks, &state.written).await
            }
            NextWrite::Batch(WriteBatch::File(mut batch)) => {
                // In a box: its state is large, and most connections never send a file.
                let result = Box::pin(write_file(&socket, &mut batch, &state.written)).await;
                (result, WriteBatch::File(batch))
            }
            NextWrite::End => {
                // An error here means that the connection is gone, which the next read or write will say.
                let _ = socket.shutdown().await;
                continue;
            }
            NextWrite::Rest => break,
        };
        state.slot.finish(result, batch);
    }
    state.half.set(Some(half(socket)));
}

async fn write_many<S: Writable>(
    socket: &mut OwnedWriteHalf<S>,
    mut chunks: Box<Chunks>,
    written: &Cell<u64>,
) -> (io::Result<()>, WriteBatch) {
    if leaves_at_once(&mut chunks)
        && let Err(error) = send_at_once(socket, &mut chunks, written)
    {
        return (Err(error), WriteBatch::Many(chunks));
    }
    while chunks.remaining() > 0 {
        chunks.describe();
        let result;
        (result, chunks) = socket.writev(chunks).await;
        match progress(result, written) {
            Ok(count) => chunks.advance(count),
            Err(error) => return (Err(error), WriteBatch::Many(chunks)),
        }
    }
    (Ok(()), WriteBatch::Many(chunks))
}

fn progress(result: io::Result<usize>, written: &Cell<u64>) -> io::Result<usize> {
    let count = result?;
    if count == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    written.set(written.get() + count as u64);
    Ok(count)
}
