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

mod send_file;

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, BytesMut};
use monoio::buf::SliceMut;
use monoio::io::{AsyncReadRent, AsyncWriteRent, OwnedWriteHalf, Splitable};
use monoio::net::{TcpStream, UnixStream};

pub use self::send_file::FileBatch;
use self::send_file::{Writable, write_file};
use crate::buffer::{Chunks, WriteBatch};
use crate::listener::Socket;

/// A connected TCP or Unix socket of this core.
pub struct Stream {
    reader: Coroutine,
    /// Made with a write, and given up by [`rest`](Stream::rest).
    writer: Option<Coroutine>,
    shared: Rc<Shared>,
}

type Coroutine = Pin<Box<dyn Future<Output = ()>>>;

/// What the owner and its two coroutines tell each other.
#[derive(Default)]
struct Shared {
    read: Slot<BytesMut, usize>,
    write: Slot<WriteBatch, ()>,
    write_end: Cell<bool>,
    written: Cell<u64>,
    /// The writer gives its half of the socket back and ends.
    write_rest: Cell<bool>,
    /// Present while there is no writer.
    write_half: Cell<Option<WriteHalf>>,
}

/// What the writer is to do.
enum NextWrite {
    Batch(WriteBatch),
    End,
    Rest,
}

impl Shared {
    fn next_write(&self) -> Poll<NextWrite> {
        if let Some(batch) = self.write.take_start() {
            return Poll::Ready(NextWrite::Batch(batch));
        }
        if self.write_end.take() {
            return Poll::Ready(NextWrite::End);
        }
        if self.write_rest.take() { Poll::Ready(NextWrite::Rest) } else { Poll::Pending }
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
        let shared = Rc::new(Shared::default());
        shared.write_half.set(Some(writer));
        let reader = Box::pin(read_on_demand(reader, Rc::clone(&shared)));
        Self { reader, writer: None, shared }
    }

    fn writer(&mut self) -> &mut Coroutine {
        self.writer.get_or_insert_with(|| {
            let shared = Rc::clone(&self.shared);
            match self.shared.write_half.take().expect("a resting writer gave it back") {
                WriteHalf::Tcp(socket) => Box::pin(write_on_demand(socket, shared, WriteHalf::Tcp)),
                WriteHalf::Unix(socket) => Box::pin(write_on_demand(socket, shared, WriteHalf::Unix)),
            }
        })
    }

    /// Gives memory up that a connection without anything to write does not need; the next write makes it anew.
    pub fn rest(&mut self) {
        if self.is_writing() {
            return;
        }
        if let Some(writer) = &mut self.writer {
            self.shared.write_rest.set(true);
            let ended = writer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if ended.is_ready() {
                self.writer = None;
            }
            // A shutdown that is under way keeps it.
            self.shared.write_rest.set(false);
        }
    }

    /// Whether a read was started whose result nobody has taken yet.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.shared.read.is_busy()
    }

    /// Starts a read that appends to `buffer`, which is lent to the kernel until [`poll_read`](Self::poll_read) gives it
    /// back. It goes out with the next poll.
    ///
    /// # Panics
    /// If a read is under way already, or if `buffer` has no room (a read of nothing would look like the end).
    pub fn start_read(&mut self, buffer: BytesMut) {
        assert!(!self.is_reading(), "one read at a time");
        assert!(buffer.capacity() > buffer.len(), "a read needs room");
        self.shared.read.start(buffer);
    }

    /// The end of the read under way: how many bytes were appended (0: the peer has ended its side), and the buffer.
    /// Pending for ever if no read was started.
    ///
    /// # Cancellation
    /// Nothing is lost: the read goes on, and the next poll finds its result.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<(io::Result<usize>, BytesMut)> {
        self.shared.read.poll(&mut self.reader, cx)
    }

    /// Whether a write was started whose end nobody has seen yet.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.shared.write.is_busy()
    }

    /// Starts a write of all of `batch`. It goes out with the next poll.
    ///
    /// # Panics
    /// If a write is under way already.
    pub fn start_write(&mut self, batch: WriteBatch) {
        assert!(!self.is_writing(), "one write at a time");
        self.shared.write.start(batch);
    }

    /// The end of the write under way: everything was written, or the error that stopped it. The buffers come back.
    /// Pending for ever if no write was started.
    ///
    /// # Cancellation
    /// Nothing is lost: the write goes on, and the next poll finds its result.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<(io::Result<()>, WriteBatch)> {
        if self.writer.is_none() {
            self.writer();
        }
        let writer = self.writer.as_mut().expect("made above");
        self.shared.write.poll(writer, cx)
    }

    /// Bytes that the kernel has taken since the socket was opened.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.shared.written.get()
    }

    /// Ends our side of the connection: the peer reads an end of stream after what was written. Takes effect at once
    /// when no write is under way, otherwise with the next poll after its end.
    pub fn shutdown_write(&mut self, cx: &mut Context<'_>) {
        self.shared.write_end.set(true);
        // The shutdown itself is a plain system call that the coroutine makes as soon as it is idle.
        let _ = self.writer().as_mut().poll(cx);
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

async fn read_on_demand(mut socket: impl AsyncReadRent, shared: Rc<Shared>) {
    loop {
        // No waker is needed: the owner polls after it has asked.
        let buffer = poll_fn(|_| shared.read.take_start().map_or(Poll::Pending, Poll::Ready)).await;
        let (start, end) = (buffer.len(), buffer.capacity());
        let (result, slice) = socket.read(SliceMut::new(buffer, start, end)).await;
        shared.read.finish(result, slice.into_inner());
    }
}

async fn write_on_demand<S: Writable>(
    mut socket: OwnedWriteHalf<S>,
    shared: Rc<Shared>,
    half: fn(OwnedWriteHalf<S>) -> WriteHalf,
) {
    loop {
        let (result, batch) = match poll_fn(|_| shared.next_write()).await {
            NextWrite::Batch(WriteBatch::One(buffer)) => {
                write_one(&mut socket, buffer, &shared.written).await
            }
            NextWrite::Batch(WriteBatch::Many(chunks)) => {
                write_many(&mut socket, chunks, &shared.written).await
            }
            NextWrite::Batch(WriteBatch::File(mut batch)) => {
                // In a box: its state is large, and most connections never send a file.
                let result = Box::pin(write_file(&socket, &mut batch, &shared.written)).await;
                (result, WriteBatch::File(batch))
            }
            NextWrite::End => {
                // An error here means that the connection is gone, which the next read or write will say.
                let _ = socket.shutdown().await;
                continue;
            }
            NextWrite::Rest => break,
        };
        shared.write.finish(result, batch);
    }
    shared.write_half.set(Some(half(socket)));
}

async fn write_one(
    socket: &mut impl AsyncWriteRent,
    mut buffer: BytesMut,
    written: &Cell<u64>,
) -> (io::Result<()>, WriteBatch) {
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

async fn write_many(
    socket: &mut impl AsyncWriteRent,
    mut chunks: Box<Chunks>,
    written: &Cell<u64>,
) -> (io::Result<()>, WriteBatch) {
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
