//! An answer: its head at once, its body as it is read.
#![forbid(unsafe_code)]

use std::cell::OnceCell;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, CONTENT_LENGTH};
use http::{HeaderMap, StatusCode, Version};
use url::Url;

#[cfg(feature = "compression")]
use super::decode::Decoding;
use super::drain;
use super::error::{Error, ErrorKind, Result};
use super::location::Location;
use super::pool::Lease;
use super::redirect::Redirected;
use super::session::Shared;
use super::settings::Settings;
use super::spare;
use super::trace::{Timings, Tracer};
use crate::conn::client::Failure;
use crate::conn::{Body, Upgraded, count};
use crate::proto::http1::ResponseHead;
use crate::proto::link::{self, Link};
use crate::proto::websocket::AnswerFault;
use crate::proto::{ContentDisposition, ContentType, charset};

/// An answer.
///
/// Its body is read on demand: nothing is taken from the server before somebody asks, but what came with the head. When it is
/// read to its end, or dropped with all of it here, the connection serves the next request; dropped earlier, it is closed.
pub struct Response {
    /// `None` only while it is being dropped.
    parts: Option<Box<Parts>>,
    body: AnswerBody,
    #[cfg(feature = "compression")]
    decoding: Option<Box<Decoding>>,
    failed: Option<ErrorKind>,
    history: Vec<Redirected>,
    bytes_max: usize,
    /// Bytes of the body that were given to who reads it.
    given: u64,
    /// Of the connection, when it has become a stream of bytes.
    write_timeout: Option<Duration>,
    tracer: Tracer,
}

/// What an answer consists of, but for its body. Its memory is used again.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) head: ResponseHead,
    pub(super) timings: Timings,
    pub(super) interim: u8,
    pub(super) attempts: u32,
    location: Option<Location>,
    url: OnceCell<Url>,
}

/// An exchange whose answer's head is here.
pub(super) struct Answer {
    pub(super) parts: Box<Parts>,
    pub(super) lease: Lease,
}

/// The body, as it comes over the connection.
struct AnswerBody {
    /// Until the end of the body.
    lease: Option<Lease>,
    shared: Rc<Shared>,
    /// How long the server keeps the connection when it is idle.
    idle_timeout: Option<Duration>,
    trailers: Option<HeaderMap>,
}

impl Parts {
    /// Makes it as good as new, but for its memory.
    pub(super) fn reset(&mut self) {
        self.head.forget_values();
        self.timings = Timings::default();
        self.attempts = 0;
        self.location = None;
        self.url = OnceCell::new();
    }
}

impl Response {
    pub(super) fn new(
        shared: &Rc<Shared>,
        answer: Answer,
        location: Location,
        settings: &Settings,
        tracer: &Tracer,
        history: Vec<Redirected>,
    ) -> Result<Self> {
        let Answer { mut parts, mut lease } = answer;
        let connection = lease.connection().expect("an exchange is under way");
        let is_complete = connection.is_complete();
        // It is one of the compressed whole: its coding is that of the whole (RFC 9110 §8.4, §15.3.7).
        #[cfg(feature = "compression")]
        let is_part = parts.head.status == StatusCode::PARTIAL_CONTENT;
        #[cfg(feature = "compression")]
        let decoding = if settings.decompress && !is_complete && !is_part {
            let decoding = Decoding::of_answer(&mut parts.head.headers, settings.decode_limits);
            decoding.map_err(|error| error.at(&location))?.map(Box::new)
        } else {
            None
        };
        let mut body = AnswerBody {
            idle_timeout: parts.head.idle_timeout,
            lease: Some(lease),
            shared: Rc::clone(shared),
            trailers: None,
        };
        if is_complete {
            body.end();
        }
        parts.location = Some(location);
        Ok(Self {
            parts: Some(parts),
            body,
            #[cfg(feature = "compression")]
            decoding,
            failed: None,
            history,
            bytes_max: settings.body_bytes_max,
            given: 0,
            write_timeout: settings.write_timeout,
            tracer: tracer.clone(),
        })
    }

    fn parts(&self) -> &Parts {
        self.parts.as_deref().expect("present until dropped")
    }

    pub(super) fn location(&self) -> &Location {
        self.parts().location.as_ref().expect("set when the answer was made")
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.parts().head.status
    }

    /// The reason phrase as it was sent; empty if there is none.
    #[must_use]
    pub fn reason(&self) -> &str {
        str::from_utf8(&self.parts().head.reason).unwrap_or_default()
    }

    /// HTTP/1.0 or HTTP/1.1.
    #[must_use]
    pub fn version(&self) -> Version {
        self.parts().head.version
    }

    /// The fields. Of a body that is decompressed, `Content-Encoding` and `Content-Length` are left out: what is read is neither.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.parts().head.headers
    }

    /// The URL that answered: of a redirected request the last one.
    #[must_use]
    pub fn url(&self) -> &Url {
        self.parts().url.get_or_init(|| self.location().to_url())
    }

    /// The redirects that led here, the first one first.
    #[must_use]
    pub fn history(&self) -> &[Redirected] {
        &self.history
    }

    /// How long it took, phase by phase, and whether the connection had been used before.
    #[must_use]
    pub fn timings(&self) -> &Timings {
        &self.parts().timings
    }

    /// Interim answers (1xx) that came before this one. They are passed over.
    #[must_use]
    pub fn interim(&self) -> u8 {
        self.parts().interim
    }

    /// How often the request was tried: 1, and one more for each try by `ClientConfig::retry` and each time that a
    /// [middleware](super::middleware) sends it once more, with a new token, say. What is sent again because its
    /// connection was gone (`retry_lost`), to sign in by digest, or where a redirect leads, is the same try.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.parts().attempts
    }

    /// Bytes of the body by its `Content-Length`; `None` if the server does not say, and of a body that is decompressed.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// The media type of the body.
    #[must_use]
    pub fn content_type(&self) -> Option<ContentType<'_>> {
        ContentType::parse(self.headers().get(header::CONTENT_TYPE)?.as_bytes())
    }

    /// What is to be done with the body, and its file name (RFC 6266).
    #[must_use]
    pub fn content_disposition(&self) -> Option<ContentDisposition> {
        ContentDisposition::parse(self.headers().get(header::CONTENT_DISPOSITION)?.as_bytes())
    }

    /// The `Link` fields (RFC 8288), in order. Targets are relative to [`url`](Self::url): `answer.url().join(&link.target)`.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        let fields = self.headers().get_all(header::LINK);
        fields.into_iter().flat_map(|field| link::parse(field.as_bytes())).collect()
    }

    /// The answer itself, unless its status is one of failure.
    ///
    /// # Errors
    /// [`ErrorKind::Status`] for 4xx and 5xx.
    pub fn error_for_status(self) -> Result<Self> {
        let status = self.status();
        if status.is_client_error() || status.is_server_error() {
            return Err(Error::new(ErrorKind::Status).with_status(status).at(self.location()));
        }
        Ok(self)
    }

    /// The next piece of the body, decompressed if it was compressed; `None` at the end. Without compression it is a view of the
    /// read buffer, and holding on to it holds on to that.
    ///
    /// # Errors
    /// If the body breaks off, comes too late or is malformed. Every later call fails, too.
    ///
    /// # Cancellation
    /// Nothing is lost: the next call gives the piece that this one would have.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        if let Some(kind) = self.failed {
            return Poll::Ready(Err(Error::new(kind).at(self.location())));
        }
        let body = &mut self.body;
        #[cfg(feature = "compression")]
        let result = match &mut self.decoding {
            Some(decoding) => decoding.poll_chunk(cx, |cx| body.poll_chunk(cx)),
            None => body.poll_chunk(cx),
        };
        #[cfg(not(feature = "compression"))]
        let result = body.poll_chunk(cx);
        let result = ready!(result).map_err(|error| self.fail(error));
        if let Ok(Some(piece)) = &result {
            let bytes = piece.len();
            self.given = self.given.saturating_add(bytes as u64);
            self.tracer.tell(|trace, request| trace.response_chunk_received(request, bytes));
        }
        Poll::Ready(result)
    }

    /// The body is of no use any more; its connection is closed.
    fn fail(&mut self, error: Error) -> Error {
        let error = error.at(self.location());
        self.failed = Some(error.kind());
        if let Some(lease) = self.body.lease.take() {
            lease.note_broken_body(error.kind());
        }
        count(&self.body.shared.counters.errors);
        self.tracer.tell(|trace, request| trace.request_exception(request, &error));
        error
    }

    /// The trailers of a chunked body (RFC 9112 §7.1.2), once it has been read to its end.
    pub fn trailers(&mut self) -> Option<HeaderMap> {
        self.body.trailers.take()
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`ErrorKind::BodyTooLarge`] if it has more than `ClientConfig::body_bytes_max`, and as [`chunk`](Self::chunk).
    ///
    /// # Cancellation
    /// What was read is dropped, and the connection closed.
    pub async fn bytes(mut self) -> Result<Bytes> {
        self.gather().await
    }

    async fn gather(&mut self) -> Result<Bytes> {
        // The length of an answer to HEAD, or of a 304, is that of a body that does not come.
        let length = self.length().filter(|_| self.body.lease.is_some());
        let length = length.map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
        if length > self.bytes_max {
            return Err(self.fail(Error::new(ErrorKind::BodyTooLarge)));
        }
        let Some(first) = self.chunk_within(0).await? else { return Ok(Bytes::new()) };
        let Some(second) = self.chunk_within(first.len()).await? else { return Ok(first) };
        // What is announced costs nothing until it comes.
        let here = first.len() + second.len();
        let mut all = BytesMut::with_capacity(length.clamp(here, here + AHEAD_BYTES_MAX));
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(piece) = self.chunk_within(all.len()).await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// The next piece, if so many bytes leave room for it.
    async fn chunk_within(&mut self, gathered: usize) -> Result<Option<Bytes>> {
        let piece = self.chunk().await?;
        let total = gathered + piece.as_ref().map_or(0, Bytes::len);
        if total > self.bytes_max { Err(self.fail(Error::new(ErrorKind::BodyTooLarge))) } else { Ok(piece) }
    }

    /// The whole body as text, in the character set that its `Content-Type` names, or UTF-8: see [`charset::decode`].
    ///
    /// # Errors
    /// [`ErrorKind::Decode`] if it is not of its character set, or if that is not known; and as [`bytes`](Self::bytes).
    ///
    /// # Cancellation
    /// As [`bytes`](Self::bytes).
    pub async fn text(mut self) -> Result<String> {
        let bytes = self.gather().await?;
        let charset = self.content_type().and_then(|content_type| content_type.charset());
        charset::decode(charset.as_deref(), bytes.into())
            .map_err(|error| Error::new(ErrorKind::Decode).with_source(error).at(self.location()))
    }

    /// The whole body, read from JSON.
    ///
    /// # Errors
    /// [`ErrorKind::Decode`] if its `Content-Type` is neither `application/json` nor another `+json`, if it is no JSON, or not that of
    /// a `T`; and as [`bytes`](Self::bytes).
    ///
    /// # Cancellation
    /// As [`bytes`](Self::bytes).
    #[cfg(feature = "json")]
    pub async fn json<T: serde::de::DeserializeOwned>(self) -> Result<T> {
        if !self.content_type().is_some_and(|content_type| content_type.is_json()) {
            let found = self.headers().get(header::CONTENT_TYPE);
            let found = found.map_or("nothing".into(), |value| String::from_utf8_lossy(value.as_bytes()));
            let text = format!("its type is `{}`, not JSON", found.escape_debug());
            return Err(Error::new(ErrorKind::Decode).with_text(text).at(self.location()));
        }
        self.json_of_any_type().await
    }

    /// As [`json`](Self::json), whatever the `Content-Type` says.
    ///
    /// # Errors
    /// As [`json`](Self::json).
    ///
    /// # Cancellation
    /// As [`bytes`](Self::bytes).
    #[cfg(feature = "json")]
    pub async fn json_of_any_type<T: serde::de::DeserializeOwned>(mut self) -> Result<T> {
        let bytes = self.gather().await?;
        // RFC 8259 §8.1: a parser may ignore the mark.
        let text = bytes.strip_prefix(charset::BYTE_ORDER_MARK).unwrap_or(&bytes);
        serde_json::from_slice(text)
            .map_err(|error| Error::new(ErrorKind::Decode).with_source(error).at(self.location()))
    }

    /// Reads what is left of the body, to no end but that the connection can be used again. Of a body with more than
    /// `ClientConfig::drain_bytes_max` bytes left the connection is closed.
    ///
    /// # Cancellation
    /// The connection is closed.
    pub async fn discard(mut self) {
        let shared = Rc::clone(&self.body.shared);
        drain::drains(&shared, |cx| self.body.poll_chunk(cx)).await;
    }

    /// The body, or what is left of it, as that of another message, to be passed on while it is read: of an answer of one's own,
    /// or of a request.
    #[must_use]
    pub fn into_body(mut self) -> Body {
        let length = self.length().map(|length| length.saturating_sub(self.given));
        let write = async move |mut out: crate::BodySender| {
            while let Some(piece) = self.chunk().await? {
                out.write(piece).await?;
            }
            Ok(())
        };
        match length {
            Some(length) => Body::stream_of(length, write),
            None => Body::stream(write),
        }
    }

    /// The stream of bytes that the connection has become, behind a 101 or a 2xx to CONNECT.
    ///
    /// # Errors
    /// [`ErrorKind::Upgrade`] of any other answer.
    pub fn upgrade(self) -> Result<Upgraded> {
        self.upgrade_in_place().map(|(upgraded, _)| upgraded)
    }

    /// As [`upgrade`](Self::upgrade), with the connection's place: it counts until that is dropped.
    pub(super) fn upgrade_in_place(mut self) -> Result<(Upgraded, Lease)> {
        let write_timeout = self.write_timeout.unwrap_or(FOR_EVER);
        let lease = self
            .body
            .lease
            .take_if(|lease| lease.connection().is_some_and(|connection| connection.is_switched()));
        lease
            .and_then(|mut lease| {
                let connection = lease.take_connection()?;
                Some((connection.into_upgraded(write_timeout)?, lease))
            })
            .ok_or_else(|| Error::new(ErrorKind::Upgrade).with_status(self.status()).at(self.location()))
    }

    /// What an answer that opens no WebSocket is an error of.
    pub(super) fn no_websocket(mut self, fault: AnswerFault) -> Error {
        let error = Error::new(ErrorKind::WebSocket).with_source(fault).at(self.location());
        let error = error.with_status(self.status());
        let headers = self.parts.as_mut().map(|parts| std::mem::take(&mut parts.head.headers));
        let error = error.with_headers(headers.unwrap_or_default());
        count(&self.body.shared.counters.errors);
        self.tracer.tell(|trace, request| trace.request_exception(request, &error));
        error
    }
}

/// Memory that is taken for an announced body ahead of what has come of it: a server may say any number.
const AHEAD_BYTES_MAX: usize = 1024 * 1024;

/// A hundred years.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl AnswerBody {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        let Some(connection) = self.lease.as_mut().and_then(Lease::connection) else {
            return Poll::Ready(Ok(None));
        };
        if connection.is_switched() {
            return Poll::Ready(Ok(None));
        }
        match ready!(connection.poll_body(cx)) {
            Ok(None) => {
                self.end();
                Poll::Ready(Ok(None))
            }
            Ok(piece) => Poll::Ready(Ok(piece)),
            Err(failure) => Poll::Ready(Err(broken_off(failure))),
        }
    }

    /// The body was read to its end.
    fn end(&mut self) {
        let Some(mut lease) = self.lease.take() else { return };
        self.trailers = lease.connection().and_then(|connection| connection.take_trailers());
        lease.release(self.idle_timeout);
    }
}

fn broken_off(failure: Failure) -> Error {
    Error::of_failure(failure, true)
}

impl Drop for Response {
    fn drop(&mut self) {
        let body = &mut self.body;
        if body
            .lease
            .as_mut()
            .and_then(Lease::connection)
            .is_some_and(|connection| connection.skip_buffered())
        {
            body.end();
        }
        if let Some(parts) = self.parts.take() {
            spare::give(parts);
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status())
            .field("url", self.location())
            .field("headers", self.headers())
            .finish_non_exhaustive()
    }
}
