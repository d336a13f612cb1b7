//! Messages to bytes: heads, chunk heads, trailers.
//!
//! What is written is always valid: values are checked by their types, the rest here, and a body cannot be longer or
//! shorter than its head announced. An encoder that gives [`Misuse`] leaves `out` as it was.
#![forbid(unsafe_code)]

mod request;

use std::fmt;

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};

use super::fields;
use super::framing::{Framing, is_bodiless};
use super::syntax;
use crate::proto::Misuse;

pub use self::request::{DefaultFields, ImpliedRequest, encode_request_head};

/// The interim response that asks for the body (RFC 9110 §15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What follows the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Fields that the server's writer adds by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Implied<'a> {
    /// `Content-Type`. Written beside one of the handler's.
    pub content_type: Option<&'a ContentTypeLine>,
    /// `Connection`. Written beside one of the handler's.
    pub connection: ConnectionField,
    /// `Server` and `Date`, each unless the handler set it.
    pub closing: Option<&'a ClosingLines>,
}

/// A `Content-Type` that is known when the program is compiled, as the line it becomes.
#[derive(Debug, PartialEq, Eq)]
pub struct ContentTypeLine {
    value: HeaderValue,
    line: &'static str,
}

impl ContentTypeLine {
    /// `line`: `content-type: `, the type, and the end of the line.
    ///
    /// # Panics
    /// If the line does not begin or end so: when the program is compiled, for one that is a `static`.
    #[must_use]
    pub const fn new(line: &'static str) -> Self {
        let (name, rest) = line.split_at(CONTENT_TYPE.len());
        let (value, end) = rest.split_at(rest.len() - 2);
        assert!(is_same(name.as_bytes(), CONTENT_TYPE.as_bytes()) && is_same(end.as_bytes(), b"\r\n"));
        Self { value: HeaderValue::from_static(value), line }
    }

    /// The type.
    #[must_use]
    pub fn value(&self) -> &HeaderValue {
        &self.value
    }
}

const CONTENT_TYPE: &str = "content-type: ";

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// `Server` and `Date` as the lines that end a head, put together once for all answers of a second.
#[derive(Clone, Debug)]
pub struct ClosingLines {
    server: Option<HeaderValue>,
    date: [u8; 29],
    lines: Vec<u8>,
}

impl ClosingLines {
    /// The lines of a server and of a moment, formatted (RFC 9110 §5.6.7).
    #[must_use]
    pub fn new(server: Option<HeaderValue>, date: [u8; 29]) -> Self {
        let mut lines = Self { server, date, lines: Vec::new() };
        lines.put_together();
        lines
    }

    /// Sets the moment.
    #[inline]
    pub fn set_date(&mut self, date: [u8; 29]) {
        if self.date != date {
            self.date = date;
            self.put_together();
        }
    }

    #[cold]
    fn put_together(&mut self) {
        let mut out = BytesMut::new();
        self.write(&mut out, true, true);
        self.lines.clear();
        self.lines.extend_from_slice(&out);
    }

    #[cold]
    fn write(&self, out: &mut BytesMut, server: bool, date: bool) {
        if let Some(value) = self.server.as_ref().filter(|_| server) {
            field(out, &header::SERVER, value);
        }
        if date {
            out.extend_from_slice(b"date: ");
            out.extend_from_slice(&self.date);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Which `Connection` field the writer adds (RFC 9112 §9.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ConnectionField {
    /// None: HTTP/1.1 persists by default.
    #[default]
    Absent,
    /// `close`.
    Close,
    /// `keep-alive`, for HTTP/1.0 clients that asked for it.
    KeepAlive,
}

/// Appends a response head to `out`.
///
/// `reason`: `None` writes the standard phrase. `framing`: what the head announces, see
/// [`response_framing`](super::response_framing). `headers` need no framing fields; a `Content-Length` that says the same
/// as `framing` is tolerated, and with [`Framing::Empty`] it is written (answers to HEAD, and 304).
///
/// # Errors
/// [`Misuse::ReasonInvalid`], or [`Misuse::FramingConflict`]: see there. `out` is left as it was.
pub fn encode_response_head(
    out: &mut BytesMut,
    version: Version,
    status: StatusCode,
    reason: Option<&str>,
    headers: &HeaderMap,
    framing: Framing,
    implied: &Implied<'_>,
) -> Result<(), Misuse> {
    check_response_framing(version, status, framing)?;
    let start = out.len();
    out.reserve(HEAD_BYTES_GUESS);
    let result = status_line(out, version, status, reason)
        .and_then(|()| response_fields(out, status, headers, framing, implied));
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn status_line(
    out: &mut BytesMut,
    version: Version,
    status: StatusCode,
    reason: Option<&str>,
) -> Result<(), Misuse> {
    if status == StatusCode::OK && reason.is_none() && version == Version::HTTP_11 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return Ok(());
    }
    let reason = reason.unwrap_or_else(|| status.canonical_reason().unwrap_or_default()).as_bytes();
    if !syntax::all(reason, syntax::VALUE) {
        return Err(Misuse::ReasonInvalid);
    }
    out.extend_from_slice(if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.extend_from_slice(status.as_str().as_bytes());
    // RFC 9112 §4: the space stays when the phrase is empty.
    out.extend_from_slice(b" ");
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// RFC 9110 §8.6 and RFC 9112 §6.1: which statuses and versions cannot announce a body.
fn check_response_framing(version: Version, status: StatusCode, framing: Framing) -> Result<(), Misuse> {
    let is_possible = match framing {
        Framing::Empty => true,
        Framing::Length(_) | Framing::UntilClose => !is_bodiless(status),
        Framing::Chunked => !is_bodiless(status) && version == Version::HTTP_11,
    };
    if is_possible { Ok(()) } else { Err(Misuse::FramingConflict) }
}

fn response_fields(
    out: &mut BytesMut,
    status: StatusCode,
    headers: &HeaderMap,
    framing: Framing,
    implied: &Implied<'_>,
) -> Result<(), Misuse> {
    if let Some(content_type) = implied.content_type {
        out.extend_from_slice(content_type.line.as_bytes());
    }
    let (mut date, mut server) = (true, true);
    for (name, value) in headers {
        match special(name) {
            Some(Special::ContentLength) if framing == Framing::Empty => {
                // RFC 9110 §8.6: never in 1xx and 204.
                if is_bodiless(status) && status != StatusCode::NOT_MODIFIED {
                    return Err(Misuse::FramingConflict);
                }
                field(out, name, value);
                continue;
            }
            Some(Special::ContentLength) => {
                agrees(value, framing)?;
                continue;
            }
            Some(Special::TransferEncoding) => return Err(Misuse::FramingConflict),
            Some(Special::Date) => date = false,
            Some(Special::Server) => server = false,
            Some(Special::Host) | None => {}
        }
        field(out, name, value);
    }
    framing_field(out, framing);
    match implied.connection {
        ConnectionField::Absent => {}
        ConnectionField::Close => out.extend_from_slice(b"connection: close\r\n"),
        ConnectionField::KeepAlive => out.extend_from_slice(b"connection: keep-alive\r\n"),
    }
    match implied.closing {
        Some(closing) if date && server => out.extend_from_slice(&closing.lines),
        Some(closing) => closing.write(out, server, date),
        None => out.extend_from_slice(b"\r\n"),
    }
    Ok(())
}

/// The fields that the encoders treat in a way of their own.
enum Special {
    ContentLength,
    Date,
    Host,
    Server,
    TransferEncoding,
}

#[inline]
fn special(name: &HeaderName) -> Option<Special> {
    let name = name.as_str();
    // The length alone excludes nearly every other field; names are lower case.
    match name.len() {
        4 if name == "date" => Some(Special::Date),
        4 if name == "host" => Some(Special::Host),
        6 if name == "server" => Some(Special::Server),
        14 if name == "content-length" => Some(Special::ContentLength),
        17 if name == "transfer-encoding" => Some(Special::TransferEncoding),
        _ => None,
    }
}

/// Whether a `Content-Length` of the caller says what the framing says.
fn agrees(value: &HeaderValue, framing: Framing) -> Result<(), Misuse> {
    match framing {
        Framing::Length(length) if value.as_bytes() == itoa::Buffer::new().format(length).as_bytes() => {
            Ok(())
        }
        _ => Err(Misuse::FramingConflict),
    }
}

#[inline]
fn field(out: &mut BytesMut, name: &HeaderName, value: &HeaderValue) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[inline]
fn framing_field(out: &mut BytesMut, framing: Framing) {
    match framing {
        Framing::Empty | Framing::UntilClose => {}
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::Length(length) => content_length(out, length),
    }
}

/// Put together first: one append costs less than three.
#[inline]
fn content_length(out: &mut BytesMut, length: u64) {
    const NAME: &[u8; 16] = b"content-length: ";
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(length).as_bytes();
    let mut line = [0; NAME.len() + MAX_DIGITS + 2];
    line[..NAME.len()].copy_from_slice(NAME);
    let end = NAME.len() + digits.len();
    line[NAME.len()..end].copy_from_slice(digits);
    line[end..end + 2].copy_from_slice(b"\r\n");
    out.extend_from_slice(&line[..end + 2]);
}

/// Of an `u64`.
const MAX_DIGITS: usize = 20;

/// Encodes the pieces of one body and counts them.
///
/// The data itself stays where it is: write [`data`](Self::data)'s head, the data, and its tail with one `writev`; or let
/// [`encode`](Self::encode) copy small pieces.
#[derive(Debug)]
#[must_use]
pub struct BodyWriter {
    left: Left,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Bytes(u64),
    Chunks,
    UntilClose,
    /// Nothing: there is no body, or it was ended.
    Nothing,
}

impl BodyWriter {
    /// A writer for a body with this framing.
    pub fn new(framing: Framing) -> Self {
        Self {
            left: match framing {
                Framing::Empty => Left::Nothing,
                Framing::Length(length) => Left::Bytes(length),
                Framing::Chunked => Left::Chunks,
                Framing::UntilClose => Left::UntilClose,
            },
        }
    }

    /// Announces `length` bytes of data; gives what goes before them and after them. For `length` 0 both are empty.
    ///
    /// # Errors
    /// [`Misuse::BodyTooLong`], [`Misuse::BodyUnexpected`].
    #[inline]
    pub fn data(&mut self, length: usize) -> Result<(ChunkHead, &'static [u8]), Misuse> {
        if length == 0 {
            // An empty chunk would end the body.
            return Ok((ChunkHead::EMPTY, b""));
        }
        match &mut self.left {
            Left::Chunks => return Ok((ChunkHead::new(length), CHUNK_END)),
            Left::Bytes(left) => *left = left.checked_sub(length as u64).ok_or(Misuse::BodyTooLong)?,
            Left::UntilClose => {}
            Left::Nothing => return Err(Misuse::BodyUnexpected),
        }
        Ok((ChunkHead::EMPTY, b""))
    }

    /// Appends a piece of the body to `out`, framed.
    ///
    /// # Errors
    /// As [`data`](Self::data); `out` is left as it was.
    pub fn encode(&mut self, out: &mut BytesMut, data: &[u8]) -> Result<(), Misuse> {
        let (head, tail) = self.data(data.len())?;
        out.reserve(head.len() + data.len() + tail.len());
        out.extend_from_slice(&head);
        out.extend_from_slice(data);
        out.extend_from_slice(tail);
        Ok(())
    }

    /// Ends the body: appends the last chunk and the trailers to `out` if it is chunked.
    ///
    /// # Errors
    /// [`Misuse::BodyTooShort`], [`Misuse::TrailersUnframed`], [`Misuse::TrailerForbidden`] (RFC 9110 §6.5.1); `out` and
    /// the writer are left as they were.
    pub fn end(&mut self, out: &mut BytesMut, trailers: Option<&HeaderMap>) -> Result<(), Misuse> {
        let trailers = trailers.filter(|trailers| !trailers.is_empty());
        match (self.left, trailers) {
            (Left::Bytes(1..), _) => return Err(Misuse::BodyTooShort),
            (Left::Chunks, None) => out.extend_from_slice(b"0\r\n\r\n"),
            (Left::Chunks, Some(trailers)) => last_chunk(out, trailers)?,
            (_, Some(_)) => return Err(Misuse::TrailersUnframed),
            (_, None) => {}
        }
        self.left = Left::Nothing;
        Ok(())
    }

    /// Bytes that are still owed; `None` if the length was not announced.
    #[must_use]
    pub fn owed(&self) -> Option<u64> {
        match self.left {
            Left::Bytes(left) => Some(left),
            Left::Nothing => Some(0),
            Left::Chunks | Left::UntilClose => None,
        }
    }

    /// Whether nothing more may be written: the body was ended or there is none.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.left == Left::Nothing
    }
}

fn last_chunk(out: &mut BytesMut, trailers: &HeaderMap) -> Result<(), Misuse> {
    if trailers.keys().any(|name| fields::forbidden_in_trailers(name.as_str())) {
        return Err(Misuse::TrailerForbidden);
    }
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// The line before a chunk's data: the size in hexadecimal. Empty for framings without chunks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChunkHead {
    bytes: [u8; Self::BYTES_MAX],
    start: u8,
}

impl ChunkHead {
    const EMPTY: Self = Self { bytes: [0; Self::BYTES_MAX], start: Self::BYTES_MAX_U8 };

    #[expect(clippy::cast_possible_truncation, reason = "start is below 18")]
    fn new(mut length: usize) -> Self {
        let mut bytes = [b'\r'; Self::BYTES_MAX];
        bytes[Self::BYTES_MAX - 1] = b'\n';
        let mut start = Self::BYTES_MAX - CHUNK_END.len();
        while length > 0 {
            start -= 1;
            bytes[start] = b"0123456789abcdef"[length & 0xf];
            length >>= 4;
        }
        Self { bytes, start: start as u8 }
    }

    /// Sixteen digits and the line end.
    const BYTES_MAX: usize = 18;
    const BYTES_MAX_U8: u8 = 18;
}

impl std::ops::Deref for ChunkHead {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..]
    }
}

impl AsRef<[u8]> for ChunkHead {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for ChunkHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkHead(b\"{}\")", self.escape_ascii())
    }
}

/// Room for a usual head, so that its fields do not grow the buffer one by one.
const HEAD_BYTES_GUESS: usize = 256;

#[cfg(test)]
mod tests;
