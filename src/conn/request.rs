//! A request as its handler sees it: a head whose parts are views of the read buffer, and a body that is read on demand.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{AsHeaderName, Entry};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use ringhttp_runtime::time::{Instant, Timers};

use super::body::{BodyError, RequestBody};
use super::connection::Connection;
use super::disconnect::CancelOnDisconnect;
use super::extensions::Extensions;
use super::host::ServerStats;
use super::shield::Shield;
#[cfg(feature = "rustls")]
use super::tls::TlsInfo;
use super::upgrade::{Upgraded, switching_status};
use crate::error::{Error, Result};
use crate::proto::http1::{Framing, RequestHead, Target};

/// A request, and with it the right to read its body or to take its connection over.
///
/// It may be moved anywhere on its core, but reads of its body fail once it has been answered.
///
/// It is as small as it can be: the future of a handler that takes it keeps room for it as long as it lives.
pub struct Request {
    /// `None` only while it is being dropped.
    exchange: Option<Box<Exchange>>,
}

const _: () = assert!(size_of::<Request>() == size_of::<usize>());

/// What a request consists of. Its memory is used again for later requests of the core.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    pub(super) head: RequestHead,
    /// Present while the exchange is a [`Request`]'s.
    body: Option<RequestBody>,
    matched: Matched,
    /// Of the request before this one, on the same connection.
    matched_before: Matched,
    extensions: Extensions,
    deadline: Option<Instant>,
    /// Values of fields may be marked as sensitive.
    is_marked: bool,
}

/// What routing found out about a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matched {
    /// The route. `Some` for every request that a router has seen.
    pub(crate) route: Option<Rc<dyn MatchedRoute>>,
    /// Where the values of its parameters stand in the path.
    pub(crate) values: Vec<(u32, u32)>,
    /// The numbers by which the router finds it again, if it is one that takes the request.
    pub(crate) numbers: Option<(usize, usize)>,
}

impl Matched {
    fn forget(&mut self) {
        self.route = None;
        self.values.clear();
        self.numbers = None;
    }
}

/// The route that a request took, and those around it.
pub(crate) trait MatchedRoute: fmt::Debug {
    /// The path as it was added. Empty if no route was found.
    fn path(&self) -> &str;

    /// The names of the path's parameters, in order.
    fn names(&self) -> &[String];

    /// The path of the route of a name.
    fn url_for(&self, name: &str, values: &[(&str, &str)]) -> Result<String>;
}

/// Fields that a request may have had room for and its map still be kept for the next ones.
const FIELDS_KEPT_MAX: usize = 64;

impl Request {
    pub(crate) fn new(mut exchange: Box<Exchange>, connection: Rc<Connection>) -> Self {
        let length = match exchange.head.framing {
            Framing::Empty => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        };
        let host = &connection.host;
        exchange.body = Some(RequestBody {
            cycle: connection.cycle(),
            bytes_max: host.config.body_bytes_max,
            length,
            connection,
            ended: Cell::new(false),
            detour: None,
        });
        Self { exchange: Some(exchange) }
    }

    pub(super) fn exchange(&self) -> &Exchange {
        self.exchange.as_deref().expect("present until dropped")
    }

    pub(super) fn exchange_mut(&mut self) -> &mut Exchange {
        self.exchange.as_deref_mut().expect("present until dropped")
    }

    fn unread(&self) -> &RequestBody {
        self.exchange().body.as_ref().expect("present until dropped")
    }

    pub(super) fn connection(&self) -> &Rc<Connection> {
        &self.unread().connection
    }

    /// The number that the connection gave it.
    pub(super) fn cycle(&self) -> u32 {
        self.unread().cycle
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.exchange().head.method
    }

    /// The request target (RFC 9112 §3.2), in whichever of its four forms it came.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.exchange().head.target
    }

    /// The path of the target as it was sent, percent-encoding and all.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target().path()
    }

    /// The query of the target as it was sent, without the `?`.
    #[must_use]
    pub fn query_string(&self) -> Option<&str> {
        self.target().query()
    }

    /// HTTP/1.0 or HTTP/1.1.
    #[must_use]
    pub fn version(&self) -> Version {
        self.exchange().head.version
    }

    /// The fields of the head. Values are views of the read buffer: keeping one keeps the buffer.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.exchange().head.headers
    }

    /// The first field of a name.
    pub fn header(&self, name: impl AsHeaderName) -> Option<&HeaderValue> {
        self.headers().get(name)
    }

    /// The address at the other end of the connection, or the one that a PROXY header gave for it; `None` on a Unix socket.
    /// Behind a proxy it is the proxy's: see [`client_addr`](Self::client_addr).
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.connection().peer.get()
    }

    /// The address that the client connected to; `None` on a Unix socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.connection().local()
    }

    /// The TLS session of its connection: the version, who was asked for, the client's certificates. `None` over plain
    /// HTTP: then a proxy in front may have spoken TLS, see [`scheme`](Self::scheme).
    ///
    /// ```
    /// async fn who(_: &(), req: ringhttp::Request) -> String {
    ///     match req.tls().and_then(|tls| tls.client_certificate()) {
    ///         Some(certificate) => format!("hello {:?}\n", certificate.dns_names()),
    ///         None => "hello whoever you are\n".to_owned(),
    ///     }
    /// }
    /// # let _ = ringhttp::Router::new().get("/", who);
    /// ```
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.connection().tls.get().map(|tls| &**tls)
    }

    /// The body, to be read where it stands.
    pub fn body(&mut self) -> &mut RequestBody {
        self.exchange_mut().body.as_mut().expect("present until dropped")
    }

    /// The body without the head, to be read elsewhere or sent back as the body of the response.
    #[must_use]
    pub fn into_body(mut self) -> RequestBody {
        self.take_apart().expect("present until dropped")
    }

    /// Keeps the memory of the head for the next request of the connection, and gives the body.
    fn take_apart(&mut self) -> Option<RequestBody> {
        let mut exchange = self.exchange.take()?;
        let body = exchange.body.take()?;
        body.connection.keep_exchange(exchange, body.cycle);
        Some(body)
    }

    /// The next piece of the body: see [`RequestBody::chunk`].
    ///
    /// # Errors
    /// As [`RequestBody::chunk`].
    ///
    /// # Cancellation
    /// Nothing is lost: the next call gives the piece that this one would have.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        self.body().chunk().await
    }

    /// The trailers of a chunked body, once it has been read to its end.
    pub fn trailers(&mut self) -> Option<HeaderMap> {
        self.body().trailers()
    }

    /// Whether the client asks to switch to another protocol (`Connection: upgrade` with an `Upgrade` field).
    #[must_use]
    pub fn wants_upgrade(&self) -> bool {
        self.exchange().head.upgrade
    }

    /// Sends `101 Switching Protocols` (RFC 9110 §15.2.2) with `Upgrade: protocol` and `headers`, or `200` to a CONNECT, and
    /// takes the connection out of HTTP. The handler then *is* the session: the connection ends when the handler
    /// returns and `Upgraded` is dropped, and what the handler returns is sent to nobody.
    ///
    /// # Errors
    /// 400 if the client did not ask for it, or if the body of the request was not read to its end; 500 if the request
    /// has been answered, or if the protocol or a field cannot be sent. The connection then stays what it was.
    pub fn upgrade(self, protocol: &str, headers: &HeaderMap) -> Result<Upgraded> {
        let tunnel = self.method() == Method::CONNECT;
        if !tunnel && !self.wants_upgrade() {
            return Err(Error::bad_request("the request does not ask for an upgrade"));
        }
        if !self.connection().may_be_taken(self.cycle()) {
            return Err(Error::internal("the request has been answered"));
        }
        Upgraded::take(self.connection(), tunnel, protocol, headers)
    }

    /// Sets what counts as a client that is gone, upon which the handler of this request is dropped, in place of
    /// `ServerConfig::cancel_on_disconnect`. It has no effect once the request was answered.
    ///
    /// ```
    /// use ringhttp::{CancelOnDisconnect, Request, Result};
    ///
    /// async fn report(_: &(), req: Request) -> Result<String> {
    ///     req.cancel_on_disconnect(CancelOnDisconnect::End);
    ///     Ok("the rows of a long query\n".to_owned())
    /// }
    /// # let _ = ringhttp::Router::new().get("/", report);
    /// ```
    pub fn cancel_on_disconnect(&self, what: CancelOnDisconnect) {
        self.connection().cancel_on(self.cycle(), what);
    }

    /// Runs `work` to its end, whatever becomes of this request: it moves to a task of the core at once. Awaiting gives
    /// its output; when the awaiting side is dropped (the client is gone, a deadline passed) the work goes on. The
    /// stop of the server waits for it, as long as `RuntimeConfig::shutdown_timeout` allows.
    ///
    /// No more than `ServerConfig::shielded_max` such tasks run at a time.
    ///
    /// ```
    /// use ringhttp::{Request, Result};
    ///
    /// async fn pay(_: &(), req: Request) -> Result<String> {
    ///     let receipt = req.shield(async { "paid and written down\n".to_owned() }).await?;
    ///     Ok(receipt)
    /// }
    /// # let _ = ringhttp::Router::new().post("/", pay);
    /// ```
    ///
    /// # Errors
    /// The future gives 500 if the work panicked or was cut off by the end of a stop, and 503 if there are too many such
    /// tasks already: then the work was not begun.
    ///
    /// # Panics
    /// Outside a core.
    pub fn shield<F>(&self, work: F) -> Shield<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        Shield::start(&self.connection().host, work)
    }

    /// Until when the request is to be answered, by the [`deadline`](crate::middleware::deadline) it runs under.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.exchange().deadline
    }

    pub(crate) fn set_deadline(&mut self, at: Instant) {
        self.exchange_mut().deadline = Some(at);
    }

    /// Whether a body comes with it.
    pub(crate) fn has_body(&self) -> bool {
        self.exchange().head.framing != Framing::Empty
    }

    /// The clock of the connection's core.
    pub(crate) fn timers(&self) -> &Timers {
        &self.connection().host.timers
    }

    /// What middleware has put beside the request.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.exchange().extensions
    }

    /// What middleware has put beside the request, to be changed.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.exchange_mut().extensions
    }

    /// What the server on this core has counted so far.
    #[must_use]
    pub fn server_stats(&self) -> Rc<ServerStats> {
        Rc::clone(&self.connection().host.stats)
    }

    /// To be asked whether the connection was taken over, once the request has moved on.
    pub(crate) fn takeover(&self) -> Takeover {
        let is_tunnel = self.method() == Method::CONNECT;
        Takeover { connection: Rc::clone(self.connection()), is_tunnel }
    }

    /// Marks the values of fields as sensitive.
    pub(crate) fn mark_sensitive(&mut self, names: &[HeaderName]) {
        let exchange = self.exchange_mut();
        for name in names {
            if let Entry::Occupied(mut entry) = exchange.head.headers.entry(name) {
                entry.iter_mut().for_each(|value| value.set_sensitive(true));
                exchange.is_marked = true;
            }
        }
    }

    pub(crate) fn matched(&self) -> &Matched {
        &self.exchange().matched
    }

    pub(crate) fn matched_mut(&mut self) -> &mut Matched {
        &mut self.exchange_mut().matched
    }

    /// Whether it has the method and the target of the request before it, on its connection.
    pub(crate) fn repeats_line(&self) -> bool {
        self.exchange().head.repeats_line
    }

    /// What was found for the request before this one, on its connection.
    pub(crate) fn matched_before(&self) -> &Matched {
        &self.exchange().matched_before
    }

    /// What was found for the request before this one is so for this one.
    pub(crate) fn match_again(&mut self) -> &mut Matched {
        let exchange = self.exchange_mut();
        std::mem::swap(&mut exchange.matched, &mut exchange.matched_before);
        &mut exchange.matched
    }

    /// The same, if `matches` says so, which finds the values of this request in its path.
    pub(crate) fn match_again_if(
        &mut self,
        matches: impl FnOnce(&str, &mut Vec<(u32, u32)>) -> bool,
    ) -> Option<&mut Matched> {
        let Exchange { head, matched_before, .. } = self.exchange_mut();
        let does_match = matches(head.target.path(), &mut matched_before.values);
        does_match.then(|| self.match_again())
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.take_apart();
    }
}

impl Exchange {
    /// Lets go of the views of the read buffer; only memory for the next request stays.
    pub(super) fn forget(&mut self) {
        if self.head.headers.capacity() > FIELDS_KEPT_MAX {
            self.head.headers = HeaderMap::new();
        }
        self.head.clear();
        self.is_marked = false;
        self.matched_before.forget();
        self.forget_match();
    }

    /// Keeps what the next request of the connection may have in common with this one.
    pub(super) fn keep_fields(&mut self) {
        self.head.keep_fields();
        if std::mem::take(&mut self.is_marked) {
            // Another route may take the next one.
            self.head.headers.values_mut().for_each(|value| value.set_sensitive(false));
        }
        std::mem::swap(&mut self.matched, &mut self.matched_before);
        self.forget_match();
    }

    pub(super) fn matched(&self) -> &Matched {
        &self.matched
    }

    /// The request that it was the last of; `None` if what was kept of it does not say.
    pub(super) fn answered(&self) -> Option<Answered<'_>> {
        let route = self.matched_before.route.as_ref().map(|route| route.path());
        let (method, target) = (&self.head.method, &self.head.target);
        self.head.is_kept().then(|| Answered { method, path: target.path(), route })
    }

    fn forget_match(&mut self) {
        self.matched.forget();
        self.extensions.clear();
        self.deadline = None;
    }
}

/// Knows whether the handler of a request has taken the connection over.
pub(crate) struct Takeover {
    connection: Rc<Connection>,
    is_tunnel: bool,
}

impl Takeover {
    pub(crate) fn happened(&self) -> bool {
        self.connection.was_taken()
    }

    /// The status of the answer that says so, if it happened.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        self.happened().then(|| switching_status(self.is_tunnel))
    }
}

/// What is known of a request that is done with.
pub(super) struct Answered<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) route: Option<&'a str>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", self.method())
            .field("target", &self.target().as_str())
            .field("headers", self.headers())
            .finish_non_exhaustive()
    }
}
