//! What requests do, told as it happens, and how long each phase took.
#![forbid(unsafe_code)]

use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};

use super::error::Error;

/// Is told what requests do: aiohttp's signals. Every method does nothing unless it is written. Without a trace nothing is
/// told, and it costs nothing.
///
/// ```
/// use std::cell::Cell;
/// use ringhttp::client::{RequestId, Trace};
///
/// #[derive(Default)]
/// struct Reused(Cell<u64>);
///
/// impl Trace for Reused {
///     fn connection_reused(&self, _: RequestId) {
///         self.0.set(self.0.get() + 1);
///     }
/// }
/// # fn example(client: ringhttp::Client) -> ringhttp::Client {
/// client.with_trace(Reused::default())
/// # }
/// ```
pub trait Trace {
    /// A request begins.
    fn request_start(&self, request: RequestId, method: &Method, url: &str) {
        let _ = (request, method, url);
    }

    /// Its head was queued to be sent: again for each redirect, and if it is sent again because its connection was gone.
    fn request_headers_sent(&self, request: RequestId) {
        let _ = request;
    }

    /// More of it is with the kernel: so many bytes in all.
    fn request_chunk_sent(&self, request: RequestId, bytes: u64) {
        let _ = (request, bytes);
    }

    /// It is redirected.
    fn request_redirect(&self, request: RequestId, status: StatusCode, url: &str) {
        let _ = (request, status, url);
    }

    /// It failed, and is tried again by `ClientConfig::retry`, in so long: `tries` were made so far, and the last one ended in an
    /// answer or in an error.
    fn request_retry(
        &self,
        request: RequestId,
        tries: u32,
        after: Duration,
        failure: Result<StatusCode, &Error>,
    ) {
        let _ = (request, tries, after, failure);
    }

    /// The head of its answer is here.
    fn request_end(&self, request: RequestId, status: StatusCode, timings: &Timings) {
        let _ = (request, status, timings);
    }

    /// It failed, or the body of its answer did.
    fn request_exception(&self, request: RequestId, error: &Error) {
        let _ = (request, error);
    }

    /// A piece of the answer's body was read, of so many bytes.
    fn response_chunk_received(&self, request: RequestId, bytes: usize) {
        let _ = (request, bytes);
    }

    /// It has to wait for a connection, because of a limit.
    fn connection_queued_start(&self, request: RequestId) {
        let _ = request;
    }

    /// It waits no more.
    fn connection_queued_end(&self, request: RequestId) {
        let _ = request;
    }

    /// A connection is made for it.
    fn connection_create_start(&self, request: RequestId) {
        let _ = request;
    }

    /// The connection is there.
    fn connection_create_end(&self, request: RequestId) {
        let _ = request;
    }

    /// It goes over a connection that was used before.
    fn connection_reused(&self, request: RequestId) {
        let _ = request;
    }

    /// The connection is there and is being secured, as an `https` URL asks for: the handshake of TLS.
    fn tls_start(&self, request: RequestId, host: &str) {
        let _ = (request, host);
    }

    /// The handshake is over, or has failed.
    fn tls_end(&self, request: RequestId, host: &str) {
        let _ = (request, host);
    }

    /// A name is looked up.
    fn dns_resolve_start(&self, request: RequestId, host: &str) {
        let _ = (request, host);
    }

    /// The name was looked up.
    fn dns_resolve_end(&self, request: RequestId, host: &str) {
        let _ = (request, host);
    }

    /// The addresses of a name were known.
    fn dns_cache_hit(&self, request: RequestId, host: &str) {
        let _ = (request, host);
    }

    /// They were not.
    fn dns_cache_miss(&self, request: RequestId, host: &str) {
        let _ = (request, host);
    }
}

/// Tells the requests of a client apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How long the phases of a request took; of a redirected one, those of its last part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// Waiting for a connection, because of a limit.
    pub pool_wait: Duration,
    /// Looking the name up, if a connection was made and the name was not known.
    pub dns: Option<Duration>,
    /// Connecting, if a connection was made.
    pub connect: Option<Duration>,
    /// Securing the connection, if one was made for an `https` URL: with the server's certificate, or with an earlier session.
    pub tls: Option<Duration>,
    /// From the moment that there was a connection to the head of the answer.
    pub first_byte: Duration,
    /// From the beginning of the request to the head of its answer, redirects included.
    pub total: Duration,
    /// Whether the connection had been used before.
    pub reused: bool,
}

/// Whom to tell, about which request.
#[derive(Clone, Default)]
pub(crate) struct Tracer {
    trace: Option<Rc<dyn Trace>>,
    request: RequestId,
}

impl Tracer {
    pub(crate) fn new(trace: Option<&Rc<dyn Trace>>, request: RequestId) -> Self {
        Self { trace: trace.cloned(), request }
    }

    pub(crate) fn is_set(&self) -> bool {
        self.trace.is_some()
    }

    pub(crate) fn tell(&self, tell: impl FnOnce(&dyn Trace, RequestId)) {
        if let Some(trace) = &self.trace {
            tell(&**trace, self.request);
        }
    }
}

/// The exact time: the core's clock lags by some milliseconds, which is as long as many requests take.
pub(crate) fn now() -> Instant {
    Instant::now()
}
