//! Bodies: what a response carries, and what is read of a request.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use ringhttp_runtime::file::{FileSlice, OpenFile};

use super::close_reason::CloseReason;
use super::connection::Connection;
use super::cut::Window;
use super::sender::BodySender;
#[cfg(feature = "compression")]
use super::stage::DecodeStage;
use super::stage::{Detour, EncodeStage};
use crate::error::{Error, Result};
use crate::proto::PeerError;

/// The body of a [`Response`](crate::Response).
///
/// Made from strings, bytes, a stream ([`Body::stream`]), files ([`Body::file`]) or a request's own body, which is then
/// passed through.
#[derive(Default)]
pub struct Body(pub(crate) Kind);

#[derive(Default)]
pub(crate) enum Kind {
    #[default]
    Empty,
    Bytes(Bytes),
    Stream(Stream),
    Incoming(RequestBody),
    File(Vec<Part>),
    #[cfg_attr(not(feature = "compression"), expect(dead_code, reason = "nothing else encodes"))]
    Encoded(Box<Encoded>),
}

/// A piece of a body that is in files.
#[derive(Clone)]
pub(crate) enum Part {
    Bytes(Bytes),
    File(FileSlice),
}

impl Part {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(slice) => slice.length,
        }
    }
}

/// A body that passes an encoder while it is sent.
pub(crate) struct Encoded {
    pub(super) inner: Kind,
    pub(super) encoder: Box<dyn EncodeStage>,
}

impl Kind {
    /// The same body, as bytes if it is known already.
    pub(super) fn whole(self) -> Self {
        match self {
            Self::Empty => Self::Bytes(Bytes::new()),
            other => other,
        }
    }
}

/// A body that a function writes while it is sent.
pub(crate) struct Stream {
    pub(super) length: Option<u64>,
    /// What of it is sent, if that is not all.
    pub(super) window: Option<Window>,
    pub(super) start: Start,
}

type Start = Box<dyn FnOnce(BodySender) -> Writing>;
type Writing = Pin<Box<dyn Future<Output = Result<()>>>>;

impl Body {
    /// A body of nothing.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// A body that `write` produces while it is sent. It leaves chunked to an HTTP/1.1 client, and ended by closing the
    /// connection to an HTTP/1.0 one.
    ///
    /// `write` starts when the head is queued, is dropped when the client is gone or stalls, and is not started at all for
    /// HEAD. Where only a range of the body is sent, it is dropped where that ends. An error ends the connection without the body's end, so that the client notices.
    pub fn stream(write: impl AsyncFnOnce(BodySender) -> Result<()> + 'static) -> Self {
        Self(Kind::Stream(Stream {
            length: None,
            window: None,
            start: Box::new(move |sender| Box::pin(async move { write(sender).await })),
        }))
    }

    /// As [`stream`](Self::stream), for a body whose length is known: it leaves with a `Content-Length`.
    /// Writing more or less than `length` bytes is an error that ends the connection.
    pub fn stream_of(length: u64, write: impl AsyncFnOnce(BodySender) -> Result<()> + 'static) -> Self {
        let mut body = Self::stream(write);
        if let Kind::Stream(stream) = &mut body.0 {
            stream.length = Some(length);
        }
        body
    }

    /// All of a file. On a socket its bytes go from the page cache to the peer without passing through this process.
    ///
    /// It leaves with the length that the file had when it was opened. If it has become shorter when it is sent, the
    /// connection is closed without the body's end, so that the client notices.
    #[must_use]
    pub fn file(file: OpenFile) -> Self {
        let length = file.length();
        Self::parts(vec![Part::File(FileSlice { file, offset: 0, length })])
    }

    /// Pieces of files and of memory, in order.
    pub(crate) fn parts(mut parts: Vec<Part>) -> Self {
        parts.retain(|part| part.length() > 0);
        // Nothing, and that is known: it is what an answer to HEAD tells of an empty file.
        if parts.is_empty() { Bytes::new().into() } else { Self(Kind::File(parts)) }
    }

    /// Several bodies behind one another. What is in memory and in files stays that: it can be sent again, and files go to a socket
    /// without passing through memory. With a stream among them it is one itself, of known length if all lengths are known.
    pub(crate) fn join(bodies: Vec<Self>) -> Self {
        let is_stored = |body: &Self| matches!(body.0, Kind::Empty | Kind::Bytes(_) | Kind::File(_));
        if bodies.iter().all(is_stored) {
            return Self::parts(bodies.into_iter().flat_map(Self::into_parts).collect());
        }
        let length = bodies.iter().try_fold(0_u64, |sum, body| sum.checked_add(body.length()?));
        let write = async move |mut out: BodySender| {
            for body in bodies {
                out.write_body(body).await?;
            }
            Ok(())
        };
        match length {
            Some(length) => Self::stream_of(length, write),
            None => Self::stream(write),
        }
    }

    /// The pieces of memory and of files that it is made of; of a stream none.
    pub(crate) fn into_parts(self) -> Vec<Part> {
        match self.0 {
            Kind::Bytes(bytes) => vec![Part::Bytes(bytes)],
            Kind::File(parts) => parts,
            Kind::Empty | Kind::Stream(_) | Kind::Incoming(_) | Kind::Encoded(_) => Vec::new(),
        }
    }

    /// A stream, or a request's own body, that passes an encoder while it is sent. Other bodies stay what they are.
    #[cfg(feature = "compression")]
    pub(crate) fn encoded(self, encoder: impl FnOnce() -> Box<dyn EncodeStage>) -> Self {
        match self.0 {
            inner @ (Kind::Stream(_) | Kind::Incoming(_)) => {
                Self(Kind::Encoded(Box::new(Encoded { inner, encoder: encoder() })))
            }
            other => Self(other),
        }
    }

    /// A body of a request, whatever it is made of, that passes an encoder while it is sent.
    #[cfg(feature = "compression")]
    pub(crate) fn encoded_upload(self, encoder: Box<dyn EncodeStage>) -> Self {
        let inner = match self.0 {
            Kind::Bytes(bytes) => Kind::File(vec![Part::Bytes(bytes)]),
            other => other,
        };
        Self(Kind::Encoded(Box::new(Encoded { inner, encoder })))
    }

    /// Whether it passes an encoder.
    #[cfg(feature = "compression")]
    pub(crate) fn is_encoded(&self) -> bool {
        matches!(self.0, Kind::Encoded(_))
    }

    /// The body as one piece, if it is one, without copying it.
    #[cfg(feature = "compression")]
    pub(crate) fn to_bytes(&self) -> Option<Bytes> {
        match &self.0 {
            Kind::Empty => Some(Bytes::new()),
            Kind::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }

    /// The same body once more; `None` if it can be sent only once.
    pub(crate) fn try_clone(&self) -> Option<Self> {
        match &self.0 {
            Kind::Empty => Some(Self::empty()),
            Kind::Bytes(bytes) => Some(Self(Kind::Bytes(bytes.clone()))),
            Kind::File(parts) => Some(Self(Kind::File(parts.clone()))),
            Kind::Stream(_) | Kind::Incoming(_) | Kind::Encoded(_) => None,
        }
    }

    /// The request's body that it passes through, if it is one.
    pub(super) fn incoming(&self) -> Option<&RequestBody> {
        match &self.0 {
            Kind::Incoming(body) => Some(body),
            Kind::Encoded(encoded) => match &encoded.inner {
                Kind::Incoming(body) => Some(body),
                _ => None,
            },
            _ => None,
        }
    }

    /// Bytes of the body, if they are known before it is sent.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match &self.0 {
            Kind::Empty => Some(0),
            Kind::Bytes(bytes) => Some(bytes.len() as u64),
            Kind::Stream(stream) => stream.length,
            Kind::Incoming(body) => body.rest(),
            Kind::File(parts) => Some(parts.iter().map(Part::length).sum()),
            Kind::Encoded(_) => None,
        }
    }

    /// The body as one piece, if it is one.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Empty => Some(&[]),
            Kind::Bytes(bytes) => Some(bytes),
            Kind::Stream(_) | Kind::Incoming(_) | Kind::File(_) | Kind::Encoded(_) => None,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::Empty => "empty",
            Kind::Bytes(_) => "bytes",
            Kind::Stream(_) => "stream",
            Kind::Incoming(_) => "incoming",
            Kind::File(_) => "file",
            Kind::Encoded(_) => "encoded",
        };
        f.debug_struct("Body").field("kind", &kind).field("length", &self.length()).finish()
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Bytes(bytes))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<OpenFile> for Body {
    fn from(file: OpenFile) -> Self {
        Self::file(file)
    }
}

impl From<RequestBody> for Body {
    fn from(body: RequestBody) -> Self {
        Self(Kind::Incoming(body))
    }
}

/// The body of a request, read in pieces.
///
/// Nothing is read from the client before somebody asks, and no more than one buffer ahead of who reads: that is the
/// back-pressure. A client that waits for a `100 Continue` gets it with the first ask.
pub struct RequestBody {
    pub(super) connection: Rc<Connection>,
    pub(super) cycle: u32,
    pub(super) bytes_max: u64,
    pub(super) length: Option<u64>,
    /// Somebody was told that it has ended.
    pub(super) ended: Cell<bool>,
    /// What stands between it and its reader, shared with those who read on.
    pub(super) detour: Option<Rc<RefCell<Detour>>>,
}

impl RequestBody {
    /// The next piece, a view of the read buffer; `None` at the end of the body.
    ///
    /// Holding on to pieces holds on to the buffers they are in.
    ///
    /// # Errors
    /// [`BodyError`]: the body is malformed, too large, too slow, or its connection is gone. Every later call returns the
    /// same, and `?` in a handler answers with the matching status and closes the connection.
    ///
    /// # Cancellation
    /// Nothing is lost: the next call gives the piece that this one would have. Between the two the client has no time limit.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        let reader = Reader(self);
        poll_fn(|cx| reader.0.poll_chunk(cx)).await
    }

    pub(crate) fn poll_chunk(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        let polled = self.poll_next(cx);
        if let Poll::Ready(Ok(None)) = polled {
            self.ended.set(true);
        }
        polled
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        let (connection, cycle) = (&self.connection, self.cycle);
        let Some(detour) = &self.detour else {
            return connection.poll_body(cx, cycle, self.bytes_max);
        };
        if cycle != connection.cycle() {
            return Poll::Ready(Err(BodyError::Gone));
        }
        let mut read = |cx: &mut Context<'_>| connection.poll_body(cx, cycle, self.bytes_max);
        detour.borrow_mut().poll_chunk(cx, self.bytes_max, &mut read)
    }

    /// Whoever waited for a piece does so no more.
    pub(crate) fn stop_waiting(&self) {
        self.connection.stop_waiting_for_body(self.cycle);
    }

    /// Puts bytes back, to be read next: those that were read, for others to read them too, or others in their place.
    /// Several are read in the reverse order of this. They count towards no limit.
    ///
    /// ```
    /// use ringhttp::{Next, Request, Result, Router, StatusCode};
    ///
    /// /// Whoever made the request knows the secret: the check needs the whole body, and so does the handler.
    /// async fn signed(_: &(), mut req: Request, next: Next<'_, ()>) -> Result {
    ///     let body = req.bytes().await?;
    ///     if req.header("x-signature").is_none_or(|sent| sent.as_bytes() != signature(&body)) {
    ///         return Err(StatusCode::FORBIDDEN.into());
    ///     }
    ///     req.body().unread(body);
    ///     Ok(next.run(req).await)
    /// }
    /// # fn signature(body: &[u8]) -> &[u8] { body }
    ///
    /// let router = Router::new().post("/", async |_: &(), mut req: Request| req.text().await).with(signed);
    /// # assert!(router.into_service(()).is_ok());
    /// ```
    pub fn unread(&mut self, bytes: Bytes) {
        self.ended.set(false);
        self.detour().borrow_mut().unread(bytes);
    }

    /// Fails if somebody has read it to its end: what it was is gone, and another reader would take it for empty.
    pub(crate) fn check_unread(&self) -> Result<()> {
        let is_current = self.connection.cycle() == self.cycle;
        if is_current && self.ended.get() && self.connection.body_bytes() > 0 {
            return Err(Error::internal(
                "the body was read already, and not put back by `RequestBody::unread`",
            ));
        }
        Ok(())
    }

    fn detour(&mut self) -> &RefCell<Detour> {
        self.detour.get_or_insert_default()
    }

    /// The trailers of a chunked body (RFC 9112 §7.1.2), once it has been read to its end.
    pub fn trailers(&mut self) -> Option<HeaderMap> {
        (self.connection.cycle() == self.cycle).then(|| self.connection.take_trailers())?
    }

    /// Has all that is still to be read pass `stage`. The limit then holds before and behind it.
    #[cfg(feature = "compression")]
    pub(crate) fn decode(&mut self, stage: Box<dyn DecodeStage>) {
        self.length = None;
        self.detour().borrow_mut().decode(stage);
    }

    /// Bytes of the body by its `Content-Length`; `None` for a chunked one, and for one that is decompressed.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Bytes that are still to be read, if their number is known.
    fn rest(&self) -> Option<u64> {
        let length = self.length?;
        let is_current = self.connection.cycle() == self.cycle;
        let coming = if is_current { length - self.connection.body_bytes() } else { length };
        Some(coming + self.detour.as_ref().map_or(0, |detour| detour.borrow().unread_bytes()))
    }

    /// Whether it is known already that it is longer than its limit.
    pub(super) fn exceeds_limit(&self) -> bool {
        self.length.is_some_and(|length| length > self.bytes_max)
    }

    /// How many bytes may be read.
    pub(crate) fn limit(&self) -> u64 {
        self.bytes_max
    }

    /// Sets how many bytes may be read, in place of `ServerConfig::body_bytes_max`.
    pub fn set_limit(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("length", &self.length).finish_non_exhaustive()
    }
}

/// Somebody who waits for a piece, until it is dropped.
struct Reader<'body>(&'body RequestBody);

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.stop_waiting();
    }
}

/// Why a request body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// The client went away, or the server was cut off, before the body's end.
    Disconnected,
    /// The request has been answered, or its connection was taken over: there is nothing to read any more.
    Gone,
    /// The body breaks the protocol.
    Malformed(PeerError),
    /// The body is compressed further than is taken for honest: see `DecompressConfig`.
    TooDense,
    /// The body is not of its content coding, or ends before that does.
    Undecodable,
    /// The client stalled, or was slower than `ServerConfig::body_rate_min`.
    Timeout,
    /// The body is longer than its limit.
    TooLarge,
}

impl BodyError {
    /// Why the connection ends behind it.
    pub(crate) fn close_reason(self) -> CloseReason {
        match self {
            Self::Disconnected => CloseReason::PeerClosedEarly,
            Self::Gone => CloseReason::AskedByHandler,
            Self::Malformed(_) | Self::TooDense | Self::TooLarge | Self::Undecodable => CloseReason::Refused,
            Self::Timeout => CloseReason::BodyTimeout,
        }
    }

    /// The status to answer with.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Disconnected | Self::Undecodable => StatusCode::BAD_REQUEST,
            Self::Gone => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Malformed(error) => error.status(),
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooDense | Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected => f.write_str("the connection ended before the request body did"),
            Self::Gone => f.write_str("the request body is gone"),
            Self::Malformed(error) => error.fmt(f),
            Self::Timeout => f.write_str("the request body came too slowly"),
            Self::TooDense => f.write_str("the request body is compressed too far"),
            Self::Undecodable => f.write_str("the request body is not of its content coding"),
            Self::TooLarge => f.write_str("the request body is too large"),
        }
    }
}

impl std::error::Error for BodyError {}
