//! The writing end of a streamed body: a response's, or a request's that a client sends.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use ringhttp_runtime::Core;
use ringhttp_runtime::file::FileSlice;
use ringhttp_runtime::time::Timers;

use super::body::{Body, Kind, Part, Stream};
use super::client::{FILE_PIECE_BYTES, UploadQueue};
use super::connection::Connection;
use super::cut::Window;
use super::stage::EncodeStage;
use crate::error::{Error, Result};
use crate::io::write_queue::WriteQueue;
use crate::proto::http1::{BodyWriter, Framing};

/// Writes a streamed body; handed to the function given to [`Body::stream`](super::Body::stream).
pub struct BodySender {
    to: To,
    /// What is still to be written of a body within a body, if its length is known.
    left: Option<Rc<Cell<u64>>>,
}

/// Where the body goes.
enum To {
    /// To a client, as a response.
    Answer(AnswerSender),
    /// To a server, as a request.
    Upload(Rc<UploadQueue>),
}

/// Writes the body of a response.
struct AnswerSender {
    connection: Rc<Connection>,
    cycle: u32,
    output: Rc<RefCell<BodyOutput>>,
}

impl BodySender {
    pub(super) fn new(connection: Rc<Connection>, output: Rc<RefCell<BodyOutput>>) -> Self {
        let to = To::Answer(AnswerSender { cycle: connection.cycle(), connection, output });
        Self { to, left: None }
    }

    pub(super) fn of_upload(queue: Rc<UploadQueue>) -> Self {
        Self { to: To::Upload(queue), left: None }
    }

    /// Queues a piece of the body, and waits while too many bytes wait for the kernel (of a response more than
    /// `ServerConfig::write_buffer_bytes_max`, of a request more than `ClientConfig::write_buffer_bytes_max`): a peer that
    /// reads slowly slows its writer down. An empty piece does nothing.
    ///
    /// What is queued leaves as soon as the writer waits for something, whatever that is.
    ///
    /// # Errors
    /// If the peer is gone, if the body becomes longer than the length it was given, or if only a range of it was asked for,
    /// which has been written.
    ///
    /// # Cancellation
    /// The piece is queued by the first poll; dropping the future after that loses nothing.
    pub async fn write(&mut self, piece: impl Into<Bytes>) -> Result<()> {
        let piece = piece.into();
        self.count(piece.len())?;
        match &self.to {
            To::Answer(answer) => {
                answer.queue(piece)?;
                let queued_max = answer.connection.host.config.write_buffer_bytes_max;
                answer.drained(queued_max).await
            }
            To::Upload(queue) => {
                queue.push(piece)?;
                poll_fn(|cx| queue.poll_room(cx)).await
            }
        }
    }

    /// Waits until all that was written is with the kernel.
    ///
    /// # Errors
    /// If the peer is gone.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn flush(&mut self) -> Result<()> {
        match &self.to {
            To::Answer(answer) => {
                answer.check_cycle()?;
                answer.output.borrow_mut().flush_encoder(&answer.connection)?;
                answer.drained(0).await
            }
            To::Upload(queue) => poll_fn(|cx| queue.poll_flushed(cx)).await,
        }
    }

    /// Another writer of the same body.
    pub(crate) fn twin(&self) -> Self {
        let to = match &self.to {
            To::Answer(answer) => To::Answer(AnswerSender {
                connection: Rc::clone(&answer.connection),
                cycle: answer.cycle,
                output: Rc::clone(&answer.output),
            }),
            To::Upload(queue) => To::Upload(Rc::clone(queue)),
        };
        Self { to, left: self.left.clone() }
    }

    /// Writes all of another body: files are read piece by piece, a stream writes for itself.
    pub(crate) async fn write_body(&mut self, body: Body) -> Result<()> {
        match body.0 {
            Kind::Empty => {}
            Kind::Bytes(bytes) => self.write(bytes).await?,
            Kind::File(parts) => {
                for part in parts {
                    self.write_part(part).await?;
                }
            }
            Kind::Incoming(mut body) => {
                while let Some(piece) = body.chunk().await? {
                    self.write(piece).await?;
                }
            }
            Kind::Stream(Stream { length, window, start }) => {
                assert!(window.is_none(), "only answers are cut");
                let left = length.map(|length| Rc::new(Cell::new(length)));
                let sender = Self { left: left.clone(), ..self.twin() };
                start(sender).await?;
                if let Some(length) = length {
                    self.count(usize::try_from(length).map_err(Error::internal)?)?;
                }
                if left.is_some_and(|left| left.get() > 0) {
                    return Err(Error::internal("a body is shorter than the length it was given"));
                }
            }
            Kind::Encoded(_) => return Err(Error::internal("a body within a body is not encoded")),
        }
        Ok(())
    }

    async fn write_part(&mut self, part: Part) -> Result<()> {
        match part {
            Part::Bytes(bytes) => self.write(bytes).await,
            Part::File(FileSlice { file, mut offset, length }) => {
                let end = offset + length;
                while offset < end {
                    let count = (end - offset).min(FILE_PIECE_BYTES);
                    let piece = file.read(offset, usize::try_from(count).map_err(Error::internal)?).await?;
                    self.write(piece).await?;
                    offset += count;
                }
                Ok(())
            }
        }
    }

    /// Counts what is written of a body within a body.
    fn count(&self, bytes: usize) -> Result<()> {
        if let Some(left) = &self.left {
            let rest = left.get().checked_sub(bytes as u64);
            left.set(rest.ok_or_else(|| Error::internal("a body is longer than the length it was given"))?);
        }
        Ok(())
    }

    /// The clock of the connection's core.
    pub(crate) fn timers(&self) -> &Timers {
        match &self.to {
            To::Answer(answer) => &answer.connection.host.timers,
            To::Upload(queue) => queue.timers(),
        }
    }

    /// Waits until the server begins to stop, which wakes the task of every connection. A request's body has none.
    pub(crate) async fn stopping(&self) {
        let is_stopping = || match &self.to {
            To::Answer(answer) => answer.connection.host.is_stopping(),
            To::Upload(_) => false,
        };
        poll_fn(|_| if is_stopping() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Sets the trailers (RFC 9110 §6.5) that follow a chunked body. Where the body is not chunked (towards HTTP/1.0, or
    /// with a known length) there is no place for them, and they are left out.
    pub fn set_trailers(&mut self, trailers: HeaderMap) {
        match &self.to {
            To::Answer(answer) => answer.output.borrow_mut().trailers = Some(trailers),
            To::Upload(queue) => queue.set_trailers(trailers),
        }
    }
}

impl AnswerSender {
    async fn drained(&self, queued_max: usize) -> Result<()> {
        let gives_way = self.output.borrow_mut().gives_way();
        if gives_way && let Some(core) = Core::current() {
            core.yield_now().await;
        }
        poll_fn(|cx| {
            self.check_cycle()?;
            if self.output.borrow().holds_back && !self.connection.is_polled_by_task(cx) {
                // It is the connection's task that flushes the encoder when its writer waits.
                self.connection.leave_to_task();
            }
            if self.connection.queued() < queued_max && self.connection.is_polled_by_task(cx) {
                // It leaves with what the writer adds before it waits.
                return Poll::Ready(Ok(()));
            }
            self.connection.poll_drained(cx, queued_max).map_err(client_gone)
        })
        .await
    }

    fn queue(&self, piece: Bytes) -> Result<()> {
        self.check_cycle()?;
        let mut output = self.output.borrow_mut();
        if output.is_over() {
            return Err(Error::internal("no more of the body was asked for"));
        }
        output.push(&self.connection, piece)
    }

    fn check_cycle(&self) -> Result<()> {
        if self.cycle == self.connection.cycle() {
            Ok(())
        } else {
            Err(Error::internal("the response is over"))
        }
    }
}

/// The body of a response on its way into the output queue.
pub(super) struct BodyOutput {
    writer: BodyWriter,
    chunked: bool,
    trailers: Option<HeaderMap>,
    /// What of the body is sent, if that is not all.
    window: Option<Window>,
    encoder: Option<Box<dyn EncodeStage>>,
    /// The encoder may hold something back.
    holds_back: bool,
}

impl BodyOutput {
    pub(super) fn new(framing: Framing, encoder: Option<Box<dyn EncodeStage>>) -> Self {
        Self {
            writer: BodyWriter::new(framing),
            chunked: framing == Framing::Chunked,
            trailers: None,
            window: None,
            encoder,
            holds_back: false,
        }
    }

    /// Lets pass only what a window shows.
    pub(super) fn with_window(mut self, window: Option<Window>) -> Self {
        self.window = window;
        self
    }

    /// Whether nothing more of the body is wanted: its writer may end as it likes.
    pub(super) fn is_over(&self) -> bool {
        self.window.as_ref().is_some_and(Window::is_over)
    }

    fn gives_way(&mut self) -> bool {
        self.window.as_mut().is_some_and(Window::gives_way)
    }

    /// Queues one piece, encoded if the body is.
    pub(super) fn push(&mut self, connection: &Connection, mut piece: Bytes) -> Result<()> {
        if let Some(window) = &mut self.window {
            piece = window.cut(piece);
        }
        let Some(encoder) = &mut self.encoder else {
            return self.frame(connection, piece);
        };
        let mut encoded = Vec::new();
        encoder.write(&piece, &mut encoded);
        self.holds_back = true;
        self.frame(connection, encoded.into())
    }

    /// Queues what the encoder holds back.
    fn flush_encoder(&mut self, connection: &Connection) -> Result<()> {
        let Some(encoder) = self.encoder.as_mut().filter(|_| self.holds_back) else {
            return Ok(());
        };
        let mut encoded = Vec::new();
        encoder.flush(&mut encoded);
        self.holds_back = false;
        self.frame(connection, encoded.into())
    }

    /// The writer waits. If that is not for the peer, what the encoder holds back is to leave, lest it waits as well.
    pub(super) fn writer_waits(&mut self, connection: &Connection, cx: &mut Context<'_>) -> Result<()> {
        let queued_max = connection.host.config.write_buffer_bytes_max;
        if self.holds_back && connection.poll_drained(cx, queued_max).is_ready() {
            self.flush_encoder(connection)?;
        }
        Ok(())
    }

    /// Queues one piece in the framing of its message.
    fn frame(&mut self, connection: &Connection, piece: Bytes) -> Result<()> {
        let (head, tail) = self.writer.data(piece.len()).map_err(Error::internal)?;
        connection.note_sent(piece.len() as u64);
        with_output(connection, |output| {
            if !head.is_empty() {
                output.buffer().extend_from_slice(&head);
            }
            output.push(piece);
            if !tail.is_empty() {
                output.buffer().extend_from_slice(tail);
            }
        })
    }

    /// Queues what ends the body.
    pub(super) fn end(&mut self, connection: &Connection) -> Result<()> {
        if let Some(mut encoder) = self.encoder.take() {
            let mut encoded = Vec::new();
            encoder.finish(&mut encoded);
            self.frame(connection, encoded.into())?;
        }
        let trailers = self.trailers.take().filter(|_| self.chunked);
        if !self.chunked {
            return self.writer.end(&mut BytesMut::new(), None).map_err(Error::internal);
        }
        with_output(connection, |output| self.writer.end(output.buffer(), trailers.as_ref()))?
            .map_err(Error::internal)
    }
}

fn with_output<T>(connection: &Connection, change: impl FnOnce(&mut WriteQueue) -> T) -> Result<T> {
    connection.with_output(change).ok_or_else(|| Error::internal("the connection was taken over"))
}

pub(super) fn client_gone(error: std::io::Error) -> Error {
    Error::new(StatusCode::BAD_GATEWAY).with_text("the client is gone").with_source(error)
}

impl fmt::Debug for BodySender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodySender").finish_non_exhaustive()
    }
}
