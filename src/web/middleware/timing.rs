//! How long answers take: told to a function, or to the client.
#![forbid(unsafe_code)]

use std::pin::pin;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::answered::answered;
use crate::conn::{Request, Response};
use crate::web::Next;

/// What is known of a request once it has been answered.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Timing<'request> {
    /// The request's method: what the client wrote, so of no bounded number. For a metric's label there is
    /// [`method_label`](Self::method_label).
    pub method: &'request Method,
    /// The path of its route as it was added, `/users/{id}`: of bounded number, so fit for a metric's label. Empty if no
    /// route matched.
    pub route: &'request str,
    /// The status of the answer.
    pub status: StatusCode,
    /// The time from this middleware to its answer; a streamed body comes later and does not count, and
    /// neither does the life of a WebSocket behind its 101.
    pub elapsed: Duration,
}

impl Timing<'_> {
    /// The method, if it is one of RFC 9110 or PATCH, else `OTHER`: fit for a metric's label, because a client that makes up
    /// methods makes no new ones.
    #[must_use]
    pub fn method_label(&self) -> &'static str {
        match *self.method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::DELETE => "DELETE",
            Method::CONNECT => "CONNECT",
            Method::OPTIONS => "OPTIONS",
            Method::TRACE => "TRACE",
            Method::PATCH => "PATCH",
            _ => "OTHER",
        }
    }
}

/// Tells `seen` about each request that was answered, errors included; not about those whose client went away first.
///
/// ```
/// use std::cell::Cell;
/// use std::time::Duration;
/// use ringhttp::{Router, middleware};
///
/// #[derive(Default)]
/// struct Api { slow: Cell<u32> }
///
/// let router = Router::new().get("/", async |_: &Api, _| "hello").with(middleware::timing(|api: &Api, timing| {
///     if timing.elapsed > Duration::from_millis(100) {
///         api.slow.set(api.slow.get() + 1);
///         println!("slow: {} {} {}", timing.method, timing.route, timing.status);
///     }
/// }));
/// # assert!(router.into_service(Api::default()).is_ok());
/// ```
pub fn timing<S: 'static>(
    seen: impl Fn(&S, &Timing<'_>) + 'static,
) -> impl AsyncFn(&S, Request, Next<'_, S>) -> Response + 'static {
    async move |state: &S, req: Request, next: Next<'_, S>| {
        let start = Instant::now();
        let (method, route) = (req.method().clone(), req.matched().route.clone());
        let takeover = req.takeover();
        let mut handler = pin!(next.run(req));
        let response = answered(handler.as_mut(), &takeover).await;
        let route = route.as_ref().map_or("", |route| route.path());
        let status = takeover.status().or(response.as_ref().map(Response::status)).unwrap_or_default();
        seen(state, &Timing { method: &method, route, status, elapsed: start.elapsed() });
        match response {
            Some(response) => response,
            None => handler.await,
        }
    }
}

/// Tells the client how long its answer took: adds `Server-Timing: app;dur=` with milliseconds (W3C Server Timing) behind
/// those that the handler gave. Browsers show it beside the request.
///
/// ```
/// use ringhttp::{Router, middleware};
///
/// let router = Router::new().get("/", async |_: &(), _| "hello").with(middleware::server_timing());
/// # assert!(router.into_service(()).is_ok());
/// ```
pub fn server_timing<S: 'static>() -> impl AsyncFn(&S, Request, Next<'_, S>) -> Response + 'static {
    async |_: &S, req: Request, next: Next<'_, S>| {
        let start = Instant::now();
        let mut response = next.run(req).await;
        let value = format!("app;dur={:.3}", start.elapsed().as_secs_f64() * 1e3);
        let value = HeaderValue::try_from(value).expect("digits and letters");
        response.headers_mut().append(SERVER_TIMING, value);
        response
    }
}

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
