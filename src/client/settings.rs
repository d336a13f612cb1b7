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
use crate::proto::content_coding::{ContentCoding, Level};

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
    pub(super) body_bytes_max: usize,
    pub(super) cookies: bool,
    #[cfg(feature = "compression")]
    pub(super) decompress: bool,
    #[cfg(feature = "compression")]
    pub(super) compress: Option<ContentCoding>,
    #[cfg(feature = "compression")]
    pub(super) compress_level: Level,
    #[cfg(feature = "compression")]
    pub(super) compress_bytes_min: u64,
    pub(super) retry_lost: bool,
    pub(super) retry: Option<Rc<RetryConfig>>,
    pub(super) circuit_breaker: bool,
    pub(super) priority: Priority,
    /// For all requests.
    pub(super) route: Option<Rc<Route>>,
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
            body_bytes_max: config.body_bytes_max,
            cookies: config.cookies,
            #[cfg(feature = "compression")]
            decompress: config.decompress,
            #[cfg(feature = "compression")]
            compress: config.compress,
            #[cfg(feature = "compression")]
            compress_level: config.compress_level,
            #[cfg(feature = "compression")]
            compress_bytes_min: config.compress_bytes_min,
            retry_lost: config.retry_lost,
            retry: config.retry.clone().map(Rc::new),
            circuit_breaker: config.circuit_breaker.is_some(),
            priority: Priority::Normal,
            route: unix_socket.is_some().then(|| Rc::new(Route { unix_socket, via: None })),
            proxies: (!config.proxies.is_none()).then(|| Rc::new(ProxyRoutes::new(&config.proxies))),
            without: Vec::new(),
        }
    }

    /// The way to a URL, if it is not straight.
    pub(super) fn route_to(&self, location: &Location) -> Option<&Rc<Route>> {
        self.route.as_ref().or_else(|| self.proxies.as_ref()?.to(location))
    }
}
