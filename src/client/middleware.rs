//! What stands between a request and its way to the server: functions around it, as around the handlers of a server, and the
//! ready-made ones.
//!
//! ```
//! use ringhttp::client::{Next, Request, Response, Result};
//! use ringhttp::{Client, HeaderValue};
//!
//! /// Marks what this service asks for.
//! async fn mark(mut request: Request, next: Next<'_>) -> Result<Response> {
//!     request.headers_mut().insert("x-asked-by", HeaderValue::from_static("orders"));
//!     next.run(request).await
//! }
//!
//! fn marking(client: &Client) -> Client {
//!     client.with(mark)
//! }
//! ```
#![forbid(unsafe_code)]

mod bearer_token;
mod logging;
mod rate_limit;

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use http::{HeaderMap, Method};
use ringhttp_runtime::deadline;
use url::Url;

pub use self::bearer_token::bearer_token;
pub use self::logging::logging;
pub(super) use self::rate_limit::RateLimit;
pub use self::rate_limit::rate_limit;
use super::error::{Error, ErrorKind, Result};
use super::outline::Outline;
use super::response::Response;
use super::send;
use super::session::Shared;
use super::trace::Tracer;
use crate::conn::Body;

/// A request on its way through the middleware: see [`Client::with`](super::Client::with).
pub struct Request {
    pub(super) outline: Outline,
}

impl Request {
    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.outline.method
    }

    /// Where it goes.
    #[must_use]
    pub fn url(&self) -> Url {
        self.outline.location.to_url()
    }

    /// Its own fields, without those that all requests of the client have, and without the cookies of the jar.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.outline.headers
    }

    /// Its own fields, to be changed.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.outline.headers
    }

    /// Its body; of one that a function makes ([`body_from`](super::RequestBuilder::body_from)), none.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.outline.body
    }

    /// Sends another body in place of its own.
    pub fn set_body(&mut self, body: impl Into<Body>) {
        self.outline.replace_body(body.into());
    }

    /// The same request once more; `None` if its body can be sent only once.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        Some(Self { outline: self.outline.try_clone()? })
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.outline.method)
            .field("url", &self.outline.location)
            .finish_non_exhaustive()
    }
}

/// The rest of a request's way: the middleware further in, then the server. It can be gone more than once.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    rest: &'a [Rc<dyn Middleware>],
    shared: &'a Rc<Shared>,
    tracer: &'a Tracer,
    /// Tries that were begun.
    tried: &'a Cell<u32>,
}

impl Next<'_> {
    /// Lets the request go on, and gives what came back. Without this call nothing is sent.
    ///
    /// # Errors
    /// As [`RequestBuilder::send`](super::RequestBuilder::send).
    ///
    /// # Cancellation
    /// The request is given up where it is.
    pub async fn run(self, request: Request) -> Result<Response> {
        match self.rest.split_first() {
            Some((first, rest)) => first.call(request, Self { rest, ..self }).await,
            None => Box::pin(send::go(self.shared, request.outline, self.tracer, self.tried)).await,
        }
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").finish_non_exhaustive()
    }
}

/// An async function as a trait object.
pub(super) trait Middleware {
    fn call<'a>(&'a self, request: Request, next: Next<'a>) -> Call<'a>;
}

type Call<'a> = Pin<Box<dyn Future<Output = Result<Response>> + 'a>>;

impl<M: AsyncFn(Request, Next<'_>) -> Result<Response>> Middleware for M {
    fn call<'a>(&'a self, request: Request, next: Next<'a>) -> Call<'a> {
        Box::pin(async move { self(request, next).await })
    }
}

/// Lets a request go through `chain`. Its time is that of all that is done for it.
pub(super) async fn through(
    chain: &[Rc<dyn Middleware>],
    shared: &Rc<Shared>,
    outline: Outline,
    tracer: &Tracer,
) -> Result<Response> {
    let timers = shared.core.timers();
    let until = outline.settings(shared).timeout.map(|timeout| timers.now() + timeout);
    let location = outline.location.clone();
    let going = async {
        let tried = &Cell::new(0);
        let result = Next { rest: chain, shared, tracer, tried }.run(Request { outline }).await;
        result.map_err(|error| error.at(&location))
    };
    let Some(until) = until.into_iter().chain(deadline::current()).min() else { return going.await };
    deadline::within(timers, until, going)
        .await
        .unwrap_or_else(|_| Err(send::failed(shared, tracer, Error::new(ErrorKind::Timeout).at(&location))))
}
