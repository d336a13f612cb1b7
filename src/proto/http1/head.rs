//! Heads: where one ends, and what its lines say.
//!
//! [`Scan`] looks for the end and remembers how far it looked, so bytes that arrive in pieces are searched once; it
//! notices on the way what no later byte can mend: a bare line feed, a line or a head beyond its limit. A complete head
//! is parsed once by `httparse`, and its values become views of the read buffer.
#![forbid(unsafe_code)]

use std::mem::MaybeUninit;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};

use super::Limits;
use super::fields::{self, Expect, Notes};
use super::framing::{self, Framing};
use super::syntax;
use super::target::{Target, TargetForm};
use crate::proto::PeerError;

/// The head of a request, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestHead {
    /// The method, known or not.
    pub method: Method,
    /// The target, in any of its four forms.
    pub target: Target,
    /// `HTTP_10` or `HTTP_11`.
    pub version: Version,
    /// All fields. Host is the one of the target when that is absolute (RFC 9112 §3.2.2).
    pub headers: HeaderMap,
    /// Where the body ends: never [`Framing::UntilClose`].
    pub framing: Framing,
    /// Whether the client wants to send another request (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body. Never set without a body or in HTTP/1.0.
    pub expect_continue: bool,
    /// `Connection: upgrade` with an `Upgrade` field, in HTTP/1.1 (RFC 9110 §7.8).
    pub upgrade: bool,
    /// The lines that `headers` and all that follows from them were made of, the empty one included.
    pub(super) field_lines: Bytes,
    /// Those lines, once something was changed; or all lines of a head that was refused.
    pub(super) changed_lines: Bytes,
    /// Whether the request line is that of the head which was read into the same memory before.
    pub(crate) repeats_line: bool,
}

impl RequestHead {
    /// Keeps the fields for a head that may have the same, and lets go of the rest of the buffer.
    pub(crate) fn keep_fields(&mut self) {
        if !is_origin(self) || self.field_lines.is_empty() {
            self.clear();
        }
    }

    /// Whether it still is what was read: not cleared, and not of a request whose fields are not kept.
    pub(crate) fn is_kept(&self) -> bool {
        !self.field_lines.is_empty()
    }

    /// Keeps the lines of a head that was refused.
    pub(super) fn refuse(&mut self, lines: Bytes) {
        self.clear();
        // Not as the lines of its fields: a later head could have them, and would pass for this one.
        self.changed_lines = lines;
    }

    /// The lines of a head that was complete, but refused; empty if it was refused before its end came.
    pub(crate) fn refused_lines(&self) -> &[u8] {
        &self.changed_lines
    }

    /// Lets go of the views of the read buffer; the memory of the map stays.
    pub(crate) fn clear(&mut self) {
        self.headers.clear();
        self.target.shrink();
        self.method = Method::GET;
        self.field_lines = Bytes::new();
        self.changed_lines = Bytes::new();
        self.repeats_line = false;
    }
}

impl Default for RequestHead {
    /// `GET /` in HTTP/1.1, without a field: a head to be filled.
    fn default() -> Self {
        Self {
            method: Method::GET,
            target: Target::default(),
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
            framing: Framing::Empty,
            keep_alive: true,
            expect_continue: false,
            upgrade: false,
            field_lines: Bytes::new(),
            changed_lines: Bytes::new(),
            repeats_line: false,
        }
    }
}

/// The head of a response, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseHead {
    /// `HTTP_10` or `HTTP_11`.
    pub version: Version,
    /// The status. A 1xx other than 101 is an interim response: read the next head.
    pub status: StatusCode,
    /// The reason phrase as it was sent, empty if there is none or if it is not ASCII.
    pub reason: Bytes,
    /// All fields.
    pub headers: HeaderMap,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the connection can serve another request when the body was read.
    pub keep_alive: bool,
    /// How long the server says that it keeps the connection when it is idle.
    pub idle_timeout: Option<Duration>,
}

impl ResponseHead {
    /// Lets go of the views of the read buffer; the memory of the map stays.
    pub(super) fn clear(&mut self) {
        self.headers.clear();
        self.reason = Bytes::new();
    }

    /// Lets go of the views of the read buffer; the map stays, for a head with the same names.
    pub(crate) fn forget_values(&mut self) {
        self.headers.values_mut().for_each(|value| *value = HeaderValue::from_static(""));
        self.reason = Bytes::new();
    }

    /// Takes what the fields say of the connection, behind the framing.
    pub(super) fn end(&mut self, notes: &Notes<'_>) {
        self.keep_alive = self.framing != Framing::UntilClose && notes.persists(self.version);
        self.idle_timeout = notes.idle_timeout();
    }
}

impl Default for ResponseHead {
    /// `HTTP/1.1 200`, without a field: a head to be filled.
    fn default() -> Self {
        Self {
            version: Version::HTTP_11,
            status: StatusCode::OK,
            reason: Bytes::new(),
            headers: HeaderMap::new(),
            framing: Framing::Empty,
            keep_alive: true,
            idle_timeout: None,
        }
    }
}

/// How far the lines of a head or of trailers were searched.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    searched: usize,
    line_start: usize,
}

/// The limits of one run of lines, with the error for each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    pub(super) first_line_max: usize,
    pub(super) first_line_error: PeerError,
    pub(super) bytes_max: usize,
    pub(super) bytes_error: PeerError,
}

impl Section {
    pub(super) fn request(limits: &Limits) -> Self {
        Self {
            first_line_max: limits
                .target_bytes_max
                .saturating_add(REQUEST_LINE_REST_MAX)
                .min(limits.head_bytes_max),
            first_line_error: PeerError::TargetTooLong,
            bytes_max: limits.head_bytes_max,
            bytes_error: PeerError::HeadTooLarge,
        }
    }

    pub(super) fn response(limits: &Limits) -> Self {
        Self::plain(limits.head_bytes_max, PeerError::HeadTooLarge)
    }

    pub(super) fn trailers(limits: &Limits) -> Self {
        Self::plain(limits.trailer_bytes_max, PeerError::TrailersTooLarge)
    }

    /// Whether a first line and all lines together keep to the limits.
    fn check(&self, first_line: usize, bytes: usize) -> Option<()> {
        (first_line <= self.first_line_max && bytes <= self.bytes_max).then_some(())
    }

    fn plain(max: usize, error: PeerError) -> Self {
        Self { first_line_max: max, first_line_error: error, bytes_max: max, bytes_error: error }
    }
}

impl Scan {
    /// Whether nothing of the lines has been searched yet.
    pub(super) fn is_new(&self) -> bool {
        self.searched == 0
    }

    /// Length of the lines at the front of `input`, the empty line that ends them included. `None`: more is needed.
    #[inline]
    pub(super) fn end(&mut self, input: &[u8], section: &Section) -> Result<Option<usize>, PeerError> {
        while let Some(offset) = memchr::memchr(b'\n', &input[self.searched..]) {
            let at = self.searched + offset;
            self.check(at + 1, section)?;
            if at == 0 || input[at - 1] != b'\r' {
                return Err(PeerError::BareLf);
            }
            let is_empty_line = at == self.line_start + 1;
            self.searched = at + 1;
            self.line_start = at + 1;
            if is_empty_line {
                *self = Self::default();
                return Ok(Some(at + 1));
            }
        }
        self.searched = input.len();
        self.check(input.len(), section)?;
        Ok(None)
    }

    /// Refuses as soon as the limit is passed, whether the line has ended or not: any split gives the same error.
    #[inline]
    fn check(&self, bytes: usize, section: &Section) -> Result<(), PeerError> {
        if self.line_start == 0 && bytes > section.first_line_max {
            return Err(section.first_line_error);
        }
        if bytes > section.bytes_max {
            return Err(section.bytes_error);
        }
        Ok(())
    }
}

/// Parses `head`, which [`Scan`] found to be complete, into `into`, whose header map is empty. In place: a head is large,
/// and a move costs as much as a field.
pub(super) fn parse_request(head: &Bytes, limits: &Limits, into: &mut RequestHead) -> Result<(), PeerError> {
    if limits.header_count_max > SLOTS {
        // A field takes at least four bytes of the head: no more slots than it can fill.
        let mut slots = vec![MaybeUninit::uninit(); limits.header_count_max.min(head.len() / 4)];
        return request_in(head, &mut slots, limits, into);
    }
    let mut slots = [const { MaybeUninit::uninit() }; SLOTS];
    request_in(head, &mut slots[..limits.header_count_max], limits, into)
}

/// Reads the head at the front of `input` if its field lines are those that `into` was made of, byte for byte: clients mostly
/// repeat theirs on a connection. Gives the length of the head; `None`: it is another or not all there, and nothing is
/// known about it.
pub(super) fn read_again(input: &[u8], limits: &Limits, into: &mut RequestHead) -> Option<usize> {
    if into.field_lines.is_empty() || into.version != Version::HTTP_11 || !is_origin(into) {
        return None;
    }
    let line_end = memchr::memchr(b'\n', input)? + 1;
    if !input[line_end..].starts_with(&into.field_lines) {
        return None;
    }
    // Whatever is unusual about the line is left to the parser, which finds the right error for it.
    let end = line_end + into.field_lines.len();
    Section::request(limits).check(line_end, end)?;
    let line = input[..line_end].strip_suffix(b" HTTP/1.1\r\n")?;
    into.repeats_line = has_line(into, line);
    if into.repeats_line {
        return Some(end);
    }
    let space = line.iter().position(|&byte| byte == b' ')?;
    let method = Method::from_bytes(&line[..space]).ok()?;
    let target = str::from_utf8(&line[space + 1..]).ok()?;
    if !target.starts_with('/') || target.len() > limits.target_bytes_max {
        return None;
    }
    into.target.read(target, &method).ok()?;
    into.method = method;
    Some(end)
}

/// Whether the method and the target of a head are those of a request line, whose version has been cut off.
fn has_line(head: &RequestHead, line: &[u8]) -> bool {
    let rest = line.strip_prefix(head.method.as_str().as_bytes());
    rest.and_then(|rest| rest.strip_prefix(b" ")) == Some(head.target.as_str().as_bytes())
}

/// An absolute target has changed the Host field, so its fields are not what its lines say.
fn is_origin(head: &RequestHead) -> bool {
    head.target.form() == TargetForm::Origin
}

#[inline]
fn request_in<'head>(
    head: &'head Bytes,
    slots: &mut [MaybeUninit<httparse::Header<'head>>],
    limits: &Limits,
    into: &mut RequestHead,
) -> Result<(), PeerError> {
    let mut parsed = httparse::Request::new(&mut []);
    let complete = parsed.parse_with_uninit_headers(head, slots);
    let (Ok(httparse::Status::Complete(_)), Some(method), Some(target), Some(minor)) =
        (complete, parsed.method, parsed.path, parsed.version)
    else {
        return Err(blame_request(head, complete.err()));
    };
    if target.len() > limits.target_bytes_max {
        return Err(PeerError::TargetTooLong);
    }
    into.method = Method::from_bytes(method.as_bytes()).map_err(|_| PeerError::MethodInvalid)?;
    into.target.read(target, &into.method)?;
    into.version = version(minor);

    let mut notes = Notes::default();
    fill(&mut into.headers, &mut notes, head, parsed.headers, fields::repeated_in_request)?;
    check_host(&notes, into.version)?;
    if into.target.form() == TargetForm::Absolute
        && let Some(host) = into.target.host_value()
    {
        // RFC 9112 §3.2.2: the target wins over the Host field.
        into.headers.insert(header::HOST, host);
    }
    into.framing = framing::of_request(&notes, into.version)?;
    let is_11 = into.version == Version::HTTP_11;
    // RFC 9110 §10.1.1: a server ignores the expectations of HTTP/1.0.
    if is_11 && notes.expect == Expect::Unknown {
        return Err(PeerError::ExpectationUnknown);
    }
    let has_body = !matches!(into.framing, Framing::Empty | Framing::Length(0));
    into.keep_alive = notes.persists(into.version);
    into.expect_continue = is_11 && has_body && notes.expect == Expect::Continue;
    into.upgrade = is_11 && notes.upgrade && notes.connection_upgrade;
    let line_end = memchr::memchr(b'\n', head).map_or(head.len(), |at| at + 1);
    into.field_lines = head.slice(line_end..);
    Ok(())
}

/// Parses `head`, which [`Scan`] found to be complete, into `into`, whose header map is empty. `request_method`: of the
/// request that it answers.
pub(super) fn parse_response(
    head: &Bytes,
    limits: &Limits,
    request_method: &Method,
    into: &mut ResponseHead,
) -> Result<(), PeerError> {
    if limits.header_count_max > SLOTS {
        let mut slots = vec![MaybeUninit::uninit(); limits.header_count_max.min(head.len() / 4)];
        return response_in(head, &mut slots, request_method, into);
    }
    let mut slots = [const { MaybeUninit::uninit() }; SLOTS];
    response_in(head, &mut slots[..limits.header_count_max], request_method, into)
}

fn response_in<'head>(
    head: &'head Bytes,
    slots: &mut [MaybeUninit<httparse::Header<'head>>],
    request_method: &Method,
    into: &mut ResponseHead,
) -> Result<(), PeerError> {
    let mut parsed = httparse::Response::new(&mut []);
    let complete =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, head, slots);
    let (Ok(httparse::Status::Complete(_)), Some(code), Some(minor)) =
        (complete, parsed.code, parsed.version)
    else {
        return Err(blame_response(head, complete.err()));
    };
    into.status = StatusCode::from_u16(code).map_err(|_| PeerError::StatusLineInvalid)?;
    into.version = version(minor);
    into.reason = parsed.reason.map_or_else(Bytes::new, |reason| head.slice_ref(reason.as_bytes()));
    let mut notes = Notes::default();
    fill(&mut into.headers, &mut notes, head, parsed.headers, fields::repeated_in_response)?;
    into.framing = framing::of_response(&notes, into.version, into.status, request_method)?;
    into.end(&notes);
    Ok(())
}

/// Parses the trailer section `lines`, which [`Scan`] found to be complete.
pub(super) fn parse_trailers(lines: &Bytes, limits: &Limits) -> Result<HeaderMap, PeerError> {
    let mut slots = vec![httparse::EMPTY_HEADER; limits.trailer_count_max];
    let parsed = match httparse::parse_headers(lines, &mut slots) {
        Ok(httparse::Status::Complete((_, parsed))) => parsed,
        Err(httparse::Error::TooManyHeaders) => return Err(PeerError::TrailersTooLarge),
        _ => return Err(fields::blame(lines)),
    };
    if parsed.iter().any(|field| fields::forbidden_in_trailers(field.name)) {
        return Err(PeerError::TrailerForbidden);
    }
    let mut trailers = HeaderMap::with_capacity(parsed.len());
    fill(&mut trailers, &mut Notes::default(), lines, parsed, |_| None)?;
    Ok(trailers)
}

/// Puts the parsed fields into `headers`, and notes what they say about the message.
#[inline]
fn fill<'head>(
    headers: &mut HeaderMap,
    notes: &mut Notes<'head>,
    head: &Bytes,
    fields: &[httparse::Header<'head>],
    repeated: fn(&str) -> Option<PeerError>,
) -> Result<(), PeerError> {
    for field in fields {
        let name = match notes.take(field.name, field.value) {
            Some(name) => name,
            None => HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| PeerError::FieldNameInvalid)?,
        };
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value))
            .map_err(|_| PeerError::FieldValueInvalid)?;
        match headers.try_append(name, value) {
            Ok(false) => {}
            Ok(true) => repeated(field.name).map_or(Ok(()), Err)?,
            Err(_) => return Err(PeerError::HeaderCountTooLarge),
        }
    }
    Ok(())
}

/// RFC 9112 §3.2: exactly one valid Host in HTTP/1.1; a repeated one was refused before.
#[inline]
fn check_host(notes: &Notes<'_>, version: Version) -> Result<(), PeerError> {
    match notes.host {
        Some(host) if syntax::host_port(host).is_none() => Err(PeerError::HostInvalid),
        None if version == Version::HTTP_11 => Err(PeerError::HostMissing),
        _ => Ok(()),
    }
}

fn version(minor: u8) -> Version {
    if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 }
}

/// Finds out what is wrong with a request head that does not parse.
#[cold]
fn blame_request(head: &[u8], error: Option<httparse::Error>) -> PeerError {
    if error == Some(httparse::Error::TooManyHeaders) {
        return PeerError::HeaderCountTooLarge;
    }
    let (line, rest) = first_line(head);
    if line.contains(&b'\r') {
        return PeerError::BareCr;
    }
    let mut words = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return PeerError::RequestLineInvalid;
    };
    if method.is_empty() || !syntax::all(method, syntax::TOKEN) {
        return PeerError::MethodInvalid;
    }
    if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return PeerError::TargetInvalid;
    }
    blame_version(version).unwrap_or_else(|| fields::blame(rest))
}

/// Finds out what is wrong with a response head that does not parse.
#[cold]
fn blame_response(head: &[u8], error: Option<httparse::Error>) -> PeerError {
    if error == Some(httparse::Error::TooManyHeaders) {
        return PeerError::HeaderCountTooLarge;
    }
    let (line, rest) = first_line(head);
    let version = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    match error {
        _ if line.contains(&b'\r') => PeerError::BareCr,
        Some(httparse::Error::Version) => blame_version(version).unwrap_or(PeerError::StatusLineInvalid),
        Some(httparse::Error::Status | httparse::Error::Token) | None => PeerError::StatusLineInvalid,
        Some(_) => fields::blame(rest),
    }
}

/// RFC 9112 §2.3: `HTTP/` and a digit on both sides of a point; of those we speak two.
fn blame_version(version: &[u8]) -> Option<PeerError> {
    match version {
        b"HTTP/1.0" | b"HTTP/1.1" => None,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Some(PeerError::VersionUnsupported),
        _ => Some(PeerError::VersionInvalid),
    }
}

fn first_line(head: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memmem::find(head, b"\r\n").unwrap_or(head.len());
    (&head[..end], head.get(end + 2..).unwrap_or_default())
}

/// Slots for fields on the stack: the default `header_count_max` fits. They are not initialised, so they cost nothing.
const SLOTS: usize = 128;

/// What a request line may have beside its target: a method, two spaces, the version, the line's end. The longest
/// registered method has 17 letters.
const REQUEST_LINE_REST_MAX: usize = 128;
