//! What one request is set to: as the client, unless it says otherwise.
#![forbid(unsafe_code)]

use std::rc::Rc;
use std::time::Duration;

use http::HeaderName;
use ringhttp_runtime::pool::Priority;

use super::config::ClientConfig;
use super::location::Location;
use super::pool::Route;
use super::proxy::ProxyRoutes;
use super::retry::RetryConfig;
use super::tls::ClientTls;
#[cfg(feature = "compression")]
use crate::proto::content_coding::{ContentCoding, DecodeLimits, Level};
use crate::proto::http1::Limits;

/// What a single request may be set to in its own way.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) timeout: Option<Duration>,
    pub(super) pool_timeout: Option<Duration>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) tls_timeout: Option<Duration>,
    /// In place of the usual.
    pub(super) tls: Option<ClientTls>,
    pub(super) first_byte_timeout: Option<Duration>,
    pub(super) read_timeout: Option<Duration>,
    pub(super) write_timeout: Option<Duration>,
    pub(super) redirects_max: u32,
    pub(super) expect_continue: bool,
    pub(super) continue_timeout: Duration,
    /// If that is another matter than for the client.
    pub(super) keep_alive: Option<bool>,
    pub(super) body_bytes_max: usize,
    /// Of heads and trailers.
    pub(super) answer_limits: Limits,
    pub(super) write_buffer_bytes_max: usize,
    pub(super) cookies: bool,
    #[cfg(feature = "compression")]
    pub(super) decompress: bool,
    #[cfg(feature = "compression")]
    pub(super) compress: Option<ContentCoding>,
    #[cfg(feature = "compression")]
    pub(super) compress_level: Level,
    #[cfg(feature = "compression")]
    pub(super) compress_bytes_min: u64,
    #[cfg(feature = "compression")]
    pub(super) decode_limits: DecodeLimits,
    pub(super) retry_lost: bool,
    pub(super) retry: Option<Rc<RetryConfig>>,
    pub(super) circuit_breaker: bool,
    pub(super) priority: Priority,
    /// For all requests.
    pub(super) route: Option<Rc<Route>>,
    /// For those to a host whose addresses were named.
    pub(super) to_addresses: Option<(Rc<str>, Rc<Route>)>,
    /// For those that have no route by that.
    pub(super) proxies: Option<Rc<ProxyRoutes>>,
    /// Names of default fields that are left out.
    pub(super) without: Vec<HeaderName>,
}

impl Settings {
    pub(super) fn new(config: &ClientConfig) -> Self {
        let unix_socket = config.unix_socket.as_deref().map(Rc::from);
        Self {
            timeout: config.timeout,
            pool_timeout: config.pool_timeout,
            connect_timeout: config.connect_timeout,
            #[cfg(feature = "rustls")]
            tls_timeout: config.tls_timeout,
            #[cfg(not(feature = "rustls"))]
            tls_timeout: None,
            #[cfg(feature = "rustls")]
            tls: config.tls.clone(),
            #[cfg(not(feature = "rustls"))]
            tls: None,
            first_byte_timeout: config.first_byte_timeout,
            read_timeout: config.read_timeout,
            write_timeout: config.write_timeout,
            redirects_max: config.redirects_max,
            expect_continue: config.expect_continue,
            continue_timeout: config.continue_timeout,
            keep_alive: None,
            body_bytes_max: config.body_bytes_max,
            answer_limits: config.limits(),
            write_buffer_bytes_max: config.write_buffer_bytes_max,
            cookies: config.cookies,
            #[cfg(feature = "compression")]
            decompress: config.decompress,
            #[cfg(feature = "compression")]
            compress: config.compress,
            #[cfg(feature = "compression")]
            compress_level: config.compress_level,
            #[cfg(feature = "compression")]
            compress_bytes_min: config.compress_bytes_min,
            #[cfg(feature = "compression")]
            decode_limits: config.decode_limits,
            retry_lost: config.retry_lost,
            retry: config.retry.clone().map(Rc::new),
            circuit_breaker: config.circuit_breaker.is_some(),
            priority: Priority::Normal,
            route: unix_socket.is_some().then(|| Rc::new(Route { unix_socket, ..Route::default() })),
            to_addresses: None,
            proxies: (!config.proxies.is_none()).then(|| Rc::new(ProxyRoutes::new(&config.proxies))),
            without: Vec::new(),
        }
    }

    /// The way to a URL, if it is not straight.
    pub(super) fn route_to(&self, location: &Location) -> Option<&Rc<Route>> {
        let to_addresses = self.to_addresses.as_ref().filter(|(host, _)| **host == *location.host());
        let named = self.route.as_ref().or(to_addresses.map(|(_, route)| route));
        named.or_else(|| self.proxies.as_ref()?.to(location))
    }
}
