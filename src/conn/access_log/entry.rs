//! What is known of one answer.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, StatusCode, Version};
use ringhttp_runtime::time::DATE_BYTES;

use super::LogOutput;
use super::format::{Field, Format};
use crate::conn::close_reason::CloseReason;
use crate::conn::request::MatchedRoute;
use crate::conn::response::Response;
use crate::proto::http1::RequestHead;

/// Fields that a middleware marked as sensitive, among the extensions of a response.
#[derive(Clone, Default)]
pub(crate) struct SensitiveHeaders(Vec<Rc<[HeaderName]>>);

impl SensitiveHeaders {
    pub(crate) fn add(&mut self, names: &Rc<[HeaderName]>) {
        self.0.push(Rc::clone(names));
    }

    fn contains(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|names| names.contains(name))
    }
}

/// What is known of one answer, or of a request that got none.
pub struct AccessRecord {
    pub(super) peer: Option<SocketAddr>,
    /// Who asked, by what, as far as proxies are trusted; `None` if the head was refused.
    pub(super) client: Option<IpAddr>,
    pub(super) scheme: Option<&'static str>,
    pub(super) route: Option<Rc<dyn MatchedRoute>>,
    pub(super) date: [u8; DATE_BYTES],
    /// Method, target and version with a space between them; of a refused head what came of its first line.
    pub(super) request_line: Vec<u8>,
    /// Where method and target end, if the head was read.
    pub(super) parts: Option<(usize, usize)>,
    /// The values of the format's request and response fields.
    pub(super) request_fields: Vec<Value>,
    pub(super) response_fields: Vec<Value>,
    pub(super) status: Option<StatusCode>,
    pub(super) body_bytes: u64,
    pub(super) first_byte: Option<Duration>,
    pub(super) elapsed: Duration,
    pub(super) close: Option<CloseReason>,
}

/// A field's value as far as a log may show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Missing,
    Masked,
    Shown(Box<[u8]>),
}

impl AccessRecord {
    /// The peer's address; `None` on a Unix socket.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The client's address: as [`Request::client_addr`](crate::Request::client_addr); `None` if the head was refused.
    #[must_use]
    pub fn client_addr(&self) -> Option<IpAddr> {
        self.client
    }

    /// The method; `None` if the head was refused.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        let (method, _) = self.parts?;
        str::from_utf8(&self.request_line[..method]).ok()
    }

    /// The request target, query and all; `None` if the head was refused.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        let (method, target) = self.parts?;
        str::from_utf8(&self.request_line[method + 1..target]).ok()
    }

    /// The path of the route as it was added, `/users/{id}`: of bounded number, so fit for a metric's label. `None` if no route
    /// was found, or if somebody has kept the request until behind its answer.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        self.route.as_ref().map(|route| route.path()).filter(|path| !path.is_empty())
    }

    /// The request line as it came, or what came of it: bytes of the client's choice.
    #[must_use]
    pub fn request_line(&self) -> &[u8] {
        &self.request_line
    }

    /// The status of the answer; `None` if there was none.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Bytes of the answer's body that were sent, without chunk framing; of a connection that was taken over, 0.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// The time from the request's head to the answer's.
    #[must_use]
    pub fn first_byte(&self) -> Option<Duration> {
        self.first_byte
    }

    /// The time from the request's head until the answer was complete and on its way, or until the connection ended.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Why the connection ended with this request, if it did.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.close
    }
}

impl fmt::Debug for AccessRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessRecord")
            .field("peer", &self.peer)
            .field("request_line", &self.request_line.escape_ascii().to_string())
            .field("status", &self.status)
            .field("close", &self.close)
            .finish_non_exhaustive()
    }
}

/// A record in the making.
pub(crate) struct Entry {
    output: Rc<LogOutput>,
    start: Instant,
    record: AccessRecord,
}

impl Entry {
    pub(crate) fn new(output: &Rc<LogOutput>, peer: Option<SocketAddr>, date: [u8; DATE_BYTES]) -> Self {
        let missing = |fields: &[Field]| vec![Value::Missing; fields.len()];
        let Format { request_fields, response_fields, .. } = &*output.format;
        Self {
            start: Instant::now(),
            record: AccessRecord {
                peer,
                client: None,
                scheme: None,
                route: None,
                date,
                request_line: Vec::new(),
                parts: None,
                request_fields: missing(request_fields),
                response_fields: missing(response_fields),
                status: None,
                body_bytes: 0,
                first_byte: None,
                elapsed: Duration::ZERO,
                close: None,
            },
            output: Rc::clone(output),
        }
    }

    /// Notes a request's head. Copies: its views of the read buffer are not to outlive the request.
    pub(crate) fn note_request(&mut self, head: &RequestHead) {
        let version = if head.version == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" };
        let (method, target) = (head.method.as_str(), head.target.as_str());
        self.record.request_line = [method, target, version].join(" ").into_bytes();
        self.record.parts = Some((method.len(), method.len() + 1 + target.len()));
        let fields = &self.output.format.request_fields;
        self.record.request_fields = fields.iter().map(|field| field.read(&head.headers)).collect();
    }

    /// Notes who asked, and by what.
    pub(crate) fn note_client(&mut self, client: Option<IpAddr>, scheme: &'static str) {
        (self.record.client, self.record.scheme) = (client, Some(scheme));
    }

    /// Notes the route that was found.
    pub(crate) fn note_route(&mut self, route: &Rc<dyn MatchedRoute>) {
        self.record.route = Some(Rc::clone(route));
    }

    /// Notes the beginning of a head that was refused.
    pub(crate) fn note_refused(&mut self, unread: &[u8]) {
        let start = unread.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(unread.len());
        let line = unread[start..].split(|&byte| byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.record.request_line = line[..line.len().min(REFUSED_BYTES_MAX)].to_vec();
    }

    /// Notes the head of a response that is sent now.
    pub(crate) fn note_response(&mut self, response: &Response) {
        self.note_status(response.status());
        let Format { request_fields, response_fields, .. } = &*self.output.format;
        self.record.response_fields =
            response_fields.iter().map(|field| field.read(response.headers())).collect();
        let Some(marked) = response.extensions().get::<SensitiveHeaders>() else {
            return;
        };
        for (field, value) in request_fields.iter().zip(&mut self.record.request_fields) {
            if *value != Value::Missing && marked.contains(&field.name) {
                *value = Value::Masked;
            }
        }
    }

    /// Notes a status that is sent now.
    pub(crate) fn note_status(&mut self, status: StatusCode) {
        self.record.status = Some(status);
        self.record.first_byte.get_or_insert_with(|| self.start.elapsed());
    }

    /// Notes bytes of the body.
    pub(crate) fn note_sent(&mut self, bytes: u64) {
        self.record.body_bytes += bytes;
    }

    /// The answer is complete: what may follow, as the rest of the request's body, takes none of its time.
    pub(crate) fn complete(&mut self) {
        self.record.elapsed = self.start.elapsed();
    }

    /// Writes the record.
    pub(crate) fn end(mut self, close: Option<CloseReason>) {
        if self.record.elapsed.is_zero() {
            self.complete();
        }
        self.record.close = close;
        self.output.write(&self.record);
    }
}

impl Field {
    fn read(&self, headers: &http::HeaderMap) -> Value {
        match headers.get(&self.name) {
            None => Value::Missing,
            Some(value) if self.masked || HeaderValue::is_sensitive(value) => Value::Masked,
            Some(value) => Value::Shown(value.as_bytes()[..value.len().min(FIELD_BYTES_MAX)].into()),
        }
    }
}

/// Bytes of a field's value that are logged: more than honest ones have. A head of the longest ones, escaped, would take the room
/// of a thousand lines.
const FIELD_BYTES_MAX: usize = 1024;

/// Bytes of a refused head's first line that are logged: enough to see what it was.
const REFUSED_BYTES_MAX: usize = 1024;
