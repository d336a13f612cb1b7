//! A request body on its way into the output queue of its connection: whatever it is made of, it is asked for a piece
//! when there is room for one.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use ringhttp_runtime::file::FileSlice;
use ringhttp_runtime::time::Timers;

use crate::conn::body::{Encoded, Kind, Part, RequestBody, Stream};
use crate::conn::sender::BodySender;
use crate::conn::stage::EncodeStage;
use crate::conn::waker_cell::wakes_the_same;
use crate::error::{Error, Result};
use crate::io::wire::Wire;
use crate::proto::http1::{BodyWriter, Framing};

/// A body that is not sent whole with its head.
pub(super) struct Upload {
    source: Source,
    writer: BodyWriter,
    is_chunked: bool,
    encoder: Option<Box<dyn EncodeStage>>,
    /// The encoder may hold something back.
    holds_back: bool,
    /// What is still to be encoded.
    unencoded: Bytes,
    /// Bytes that were encoded since others had their turn.
    in_a_row: usize,
}

/// What the body is made of.
enum Source {
    Incoming(RequestBody),
    Parts { left: VecDeque<Part>, reading: Option<Reading> },
    Stream { writing: Option<Writing>, queue: Rc<UploadQueue> },
}

type Reading = Pin<Box<dyn Future<Output = io::Result<Bytes>>>>;
type Writing = Pin<Box<dyn Future<Output = Result<()>>>>;

/// A piece on its way.
enum Piece {
    Bytes(Bytes),
    /// For sockets, which send files by themselves.
    File(FileSlice),
}

impl Upload {
    /// The body `kind` in its framing; `None` if it is whole already.
    pub(super) fn new(kind: Kind, framing: Framing, queued_max: usize, timers: &Timers) -> Option<Self> {
        let (kind, encoder) = match kind {
            Kind::Encoded(encoded) => {
                let Encoded { inner, encoder } = *encoded;
                (inner, Some(encoder))
            }
            kind => (kind, None),
        };
        let source = match kind {
            Kind::Empty | Kind::Bytes(_) | Kind::Encoded(_) => return None,
            Kind::Incoming(body) => Source::Incoming(body),
            Kind::File(parts) => Source::Parts { left: parts.into(), reading: None },
            Kind::Stream(Stream { start, .. }) => {
                let queue = Rc::new(UploadQueue::new(queued_max, timers.clone()));
                let writing = Some(start(BodySender::of_upload(Rc::clone(&queue))));
                Source::Stream { writing, queue }
            }
        };
        let writer = BodyWriter::new(framing);
        Some(Self {
            source,
            writer,
            is_chunked: framing == Framing::Chunked,
            encoder,
            holds_back: false,
            unencoded: Bytes::new(),
            in_a_row: 0,
        })
    }

    /// Queues pieces on `wire` while it has room. Ready with true when the last one is queued, with false when there is
    /// no more room now; pending while the next piece is waited for.
    pub(super) fn poll_queue(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut Wire,
        queued_max: usize,
    ) -> Poll<Result<bool>> {
        loop {
            let is_full = wire.output().queued() >= queued_max || wire.output().has_file();
            if is_full || self.in_a_row >= IN_A_ROW_BYTES_MAX {
                return Poll::Ready(Ok(false));
            }
            if !self.unencoded.is_empty() {
                self.encode_next(wire)?;
                continue;
            }
            match self.source.poll_piece(cx, wire.takes_files() && !self.is_chunked) {
                Poll::Pending => {
                    self.flush_encoder(wire)?;
                    return Poll::Pending;
                }
                Poll::Ready(piece) => match piece? {
                    Some(Piece::Bytes(piece)) => self.push(wire, piece)?,
                    Some(Piece::File(slice)) => {
                        let length = usize::try_from(slice.length).map_err(Error::internal)?;
                        self.writer.data(length).map_err(Error::internal)?;
                        wire.output().push_file(slice);
                    }
                    None => {
                        self.end(wire)?;
                        return Poll::Ready(Ok(true));
                    }
                },
            }
        }
    }

    /// Everything that was queued is with the kernel: whether a writer that waited for that is to be polled.
    pub(super) fn note_flushed(&self, cx: &Context<'_>) -> bool {
        match &self.source {
            Source::Stream { queue, .. } => queue.note_flushed(cx),
            Source::Incoming(_) | Source::Parts { .. } => false,
        }
    }

    /// Whether so much was encoded that others are to have their turn, which is asked once.
    pub(super) fn gives_way(&mut self) -> bool {
        let gives_way = self.in_a_row >= IN_A_ROW_BYTES_MAX;
        if gives_way {
            self.in_a_row = 0;
        }
        gives_way
    }

    fn push(&mut self, wire: &mut Wire, piece: Bytes) -> Result<()> {
        if self.encoder.is_some() {
            self.unencoded = piece;
            return Ok(());
        }
        self.frame(wire, piece)
    }

    fn encode_next(&mut self, wire: &mut Wire) -> Result<()> {
        let piece = self.unencoded.split_to(self.unencoded.len().min(ENCODED_PIECE_BYTES));
        let encoder = self.encoder.as_mut().expect("nothing else is to be encoded");
        let mut encoded = Vec::new();
        encoder.write(&piece, &mut encoded);
        self.holds_back = true;
        self.in_a_row += piece.len();
        self.frame(wire, encoded.into())
    }

    /// The source waits: what the encoder holds back is not to wait with it. (A file waits for the disk only, and not for long.)
    fn flush_encoder(&mut self, wire: &mut Wire) -> Result<()> {
        let may_wait_long = !matches!(self.source, Source::Parts { .. });
        let Some(encoder) = self.encoder.as_mut().filter(|_| self.holds_back && may_wait_long) else {
            return Ok(());
        };
        let mut encoded = Vec::new();
        encoder.flush(&mut encoded);
        self.holds_back = false;
        self.frame(wire, encoded.into())
    }

    fn frame(&mut self, wire: &mut Wire, piece: Bytes) -> Result<()> {
        let (head, tail) = self.writer.data(piece.len()).map_err(Error::internal)?;
        let output = wire.output();
        if !head.is_empty() {
            output.buffer().extend_from_slice(&head);
        }
        output.push(piece);
        if !tail.is_empty() {
            output.buffer().extend_from_slice(tail);
        }
        Ok(())
    }

    fn end(&mut self, wire: &mut Wire) -> Result<()> {
        if let Some(mut encoder) = self.encoder.take() {
            let mut encoded = Vec::new();
            encoder.finish(&mut encoded);
            self.frame(wire, encoded.into())?;
        }
        if !self.is_chunked {
            return self.writer.end(&mut BytesMut::new(), None).map_err(Error::internal);
        }
        let trailers = self.source.take_trailers();
        self.writer.end(wire.output().buffer(), trailers.as_ref()).map_err(Error::internal)
    }
}

impl Source {
    /// The next piece; `None` at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>, takes_files: bool) -> Poll<Result<Option<Piece>>> {
        match self {
            Self::Incoming(body) => {
                let chunk = ready!(body.poll_chunk(cx))?;
                Poll::Ready(Ok(chunk.map(Piece::Bytes)))
            }
            Self::Parts { left, reading } => poll_part(cx, left, reading, takes_files).map_err(Error::from),
            Self::Stream { writing, queue } => poll_stream(cx, writing, queue),
        }
    }

    fn take_trailers(&mut self) -> Option<HeaderMap> {
        match self {
            Self::Incoming(body) => body.trailers(),
            Self::Parts { .. } => None,
            Self::Stream { queue, .. } => queue.trailers.take(),
        }
    }
}

fn poll_part(
    cx: &mut Context<'_>,
    left: &mut VecDeque<Part>,
    reading: &mut Option<Reading>,
    takes_files: bool,
) -> Poll<io::Result<Option<Piece>>> {
    loop {
        if let Some(read) = reading {
            let bytes = ready!(read.as_mut().poll(cx))?;
            *reading = None;
            return Poll::Ready(Ok(Some(Piece::Bytes(bytes))));
        }
        match left.pop_front() {
            None => return Poll::Ready(Ok(None)),
            Some(Part::Bytes(bytes)) => return Poll::Ready(Ok(Some(Piece::Bytes(bytes)))),
            Some(Part::File(slice)) if slice.length == 0 => {}
            Some(Part::File(slice)) if takes_files => return Poll::Ready(Ok(Some(Piece::File(slice)))),
            Some(Part::File(mut slice)) => {
                let length = slice.length.min(FILE_PIECE_BYTES);
                let (file, offset) = (slice.file.clone(), slice.offset);
                let count = usize::try_from(length).unwrap_or(usize::MAX);
                *reading = Some(Box::pin(async move { file.read(offset, count).await }));
                slice.offset += length;
                slice.length -= length;
                left.push_front(Part::File(slice));
            }
        }
    }
}

fn poll_stream(
    cx: &mut Context<'_>,
    writing: &mut Option<Writing>,
    queue: &UploadQueue,
) -> Poll<Result<Option<Piece>>> {
    loop {
        if let Some(piece) = queue.pop(cx) {
            return Poll::Ready(Ok(Some(Piece::Bytes(piece))));
        }
        let Some(write) = writing else {
            return Poll::Ready(Ok(None));
        };
        match queue.poll_writing(cx, write) {
            Poll::Ready(written) => {
                *writing = None;
                written?;
            }
            Poll::Pending if queue.is_empty() => {
                queue.wait_for_pieces(cx);
                return Poll::Pending;
            }
            Poll::Pending => {}
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        match &self.source {
            Source::Stream { queue, .. } => queue.close(),
            Source::Incoming(body) => body.stop_waiting(),
            Source::Parts { .. } => {}
        }
    }
}

/// The pieces between the function that writes a body and the connection that sends it.
pub(in crate::conn) struct UploadQueue {
    pieces: RefCell<VecDeque<Bytes>>,
    bytes: Cell<usize>,
    bytes_max: usize,
    trailers: Cell<Option<HeaderMap>>,
    /// Something was written that is not with the kernel yet.
    unflushed: Cell<bool>,
    /// The exchange is over.
    closed: Cell<bool>,
    /// Who writes, and waits.
    writer: Cell<Option<Writer>>,
    /// The function that writes is being polled.
    is_polling: Cell<bool>,
    /// Who sends, and waits for pieces.
    sender: Cell<Option<Waker>>,
    timers: Timers,
}

/// A writer that waits.
struct Writer {
    waker: Waker,
    /// It is polled by the function that writes, which the sender polls: it has not been given away.
    is_inside: bool,
}

impl UploadQueue {
    fn new(bytes_max: usize, timers: Timers) -> Self {
        Self {
            pieces: RefCell::default(),
            bytes: Cell::new(0),
            bytes_max,
            trailers: Cell::new(None),
            unflushed: Cell::new(false),
            closed: Cell::new(false),
            writer: Cell::new(None),
            is_polling: Cell::new(false),
            sender: Cell::new(None),
            timers,
        }
    }

    pub(in crate::conn) fn timers(&self) -> &Timers {
        &self.timers
    }

    pub(in crate::conn) fn set_trailers(&self, trailers: HeaderMap) {
        self.trailers.set(Some(trailers));
    }

    /// Queues a piece.
    pub(in crate::conn) fn push(&self, piece: Bytes) -> Result<()> {
        self.check_open()?;
        if !piece.is_empty() {
            self.bytes.set(self.bytes.get() + piece.len());
            self.unflushed.set(true);
            self.pieces.borrow_mut().push_back(piece);
            if let Some(sender) = self.sender.take() {
                sender.wake();
            }
        }
        Ok(())
    }

    /// Waits until there is room for more.
    pub(in crate::conn) fn poll_room(&self, cx: &Context<'_>) -> Poll<Result<()>> {
        self.check_open()?;
        if self.bytes.get() < self.bytes_max {
            return Poll::Ready(Ok(()));
        }
        self.wait(cx)
    }

    /// Waits until everything is with the kernel.
    pub(in crate::conn) fn poll_flushed(&self, cx: &Context<'_>) -> Poll<Result<()>> {
        self.check_open()?;
        if !self.unflushed.get() {
            return Poll::Ready(Ok(()));
        }
        self.wait(cx)
    }

    fn wait(&self, cx: &Context<'_>) -> Poll<Result<()>> {
        self.writer.set(Some(Writer { waker: cx.waker().clone(), is_inside: self.is_polling.get() }));
        Poll::Pending
    }

    fn poll_writing(&self, cx: &mut Context<'_>, writing: &mut Writing) -> Poll<Result<()>> {
        self.is_polling.set(true);
        let polled = writing.as_mut().poll(cx);
        self.is_polling.set(false);
        polled
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.get() { Err(Error::internal("the request is over")) } else { Ok(()) }
    }

    fn is_empty(&self) -> bool {
        self.pieces.borrow().is_empty()
    }

    fn pop(&self, cx: &Context<'_>) -> Option<Bytes> {
        let piece = self.pieces.borrow_mut().pop_front()?;
        self.bytes.set(self.bytes.get() - piece.len());
        if self.bytes.get() < self.bytes_max {
            // One in the function that writes is polled when its queue is empty.
            self.wake_writer(cx);
        }
        Some(piece)
    }

    fn note_flushed(&self, cx: &Context<'_>) -> bool {
        if !self.is_empty() || !self.unflushed.replace(false) {
            return false;
        }
        self.wake_writer(cx)
    }

    /// Lets the writer go on. One in the function that writes is polled by the sender, and needs no wake-up: true. One that was
    /// given away does, in the sender's own task too, for it may have been polled there before the sender.
    fn wake_writer(&self, cx: &Context<'_>) -> bool {
        match self.writer.take() {
            Some(writer) if writer.is_inside && wakes_the_same(&writer.waker, cx.waker()) => return true,
            Some(writer) => writer.waker.wake(),
            None => {}
        }
        false
    }

    fn wait_for_pieces(&self, cx: &Context<'_>) {
        self.sender.set(Some(cx.waker().clone()));
    }

    fn close(&self) {
        self.closed.set(true);
        if let Some(writer) = self.writer.take() {
            writer.waker.wake();
        }
    }
}

/// Bytes that are encoded at once, so that the output is looked at between them.
const ENCODED_PIECE_BYTES: usize = 16 * 1024;

/// Bytes that are encoded before others have their turn: that takes about a millisecond, whatever little comes of it.
const IN_A_ROW_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a file that are read at once where they have to pass through memory.
pub(in crate::conn) const FILE_PIECE_BYTES: u64 = 64 * 1024;
