//! What one route has of its own: set where it is added, kept beside its handler.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::conn::CancelOnDisconnect;

/// What one route has of its own, set by [`Router::last_route`](crate::Router::last_route). What is `None` is as the router
/// says, or the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteConfig {
    /// The name by which `url_for` finds its path. Default: none. One name may stand for one path only.
    pub name: Option<String>,
    /// Bytes of a request body that its handler can read, in place of
    /// [`Router::body_limit`](crate::Router::body_limit). Default: none of its own. A longer body is answered 413.
    pub body_bytes_max: Option<u64>,
    /// What counts as a client that is gone, upon which the handler is dropped, in place of
    /// `ServerConfig::cancel_on_disconnect`. Default: none of its own.
    pub cancel_on_disconnect: Option<CancelOnDisconnect>,
    /// Time its handler has, as by [`deadline`](crate::middleware::deadline) directly around it: the router's middleware is
    /// outside. Default: none of its own. Then: the handler is dropped, and the answer is 504.
    pub deadline: Option<Duration>,
}
