//! What one request does otherwise than its client.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ringhttp_runtime::pool::Priority;

use super::super::error::{Error, ErrorKind};
use super::super::pool::Route;
use super::super::proxy::{Proxies, ProxyRoutes};
use super::super::retry::RetryConfig;
use super::super::settings::Settings;
use super::RequestBuilder;
#[cfg(feature = "compression")]
use crate::proto::content_coding::{ContentCoding, DecodeLimits, Level};

/// In place of what the client is set to.
impl RequestBuilder {
    /// Sets the time of the request, in place of `ClientConfig::timeout`; `None` takes it away.
    pub fn timeout(self, timeout: Option<Duration>) -> Self {
        self.set(|settings| settings.timeout = timeout)
    }

    /// Sets the time to wait for a connection, in place of `ClientConfig::pool_timeout`.
    pub fn pool_timeout(self, timeout: Option<Duration>) -> Self {
        self.set(|settings| settings.pool_timeout = timeout)
    }

    /// Sets the time of a connect, in place of `ClientConfig::connect_timeout`.
    pub fn connect_timeout(self, timeout: Option<Duration>) -> Self {
        self.set(|settings| settings.connect_timeout = timeout)
    }

    /// Sets the time of securing a connection, in place of `ClientConfig::tls_timeout`.
    #[cfg(feature = "rustls")]
    pub fn tls_timeout(self, timeout: Option<Duration>) -> Self {
        self.set(|settings| settings.tls_timeout = timeout)
    }

    /// Sets how TLS is spoken, also where redirects lead, in place of `ClientConfig::tls`.
    #[cfg(feature = "rustls")]
    pub fn tls(self, tls: &super::super::ClientTls) -> Self {
        self.set(|settings| settings.tls = Some(tls.clone()))
    }

    /// Sets the time to the first byte, in place of `ClientConfig::first_byte_timeout`.
    pub fn first_byte_timeout(self, timeout: Option<Duration>) -> Self {
        self.set(|settings| settings.first_byte_timeout = timeout)
    }

    /// Sets the time between two reads, in place of `ClientConfig::read_timeout`.
    pub fn read_timeout(self, timeout: Option<Duration>) -> Self {
        self.set(|settings| settings.read_timeout = timeout)
    }

    /// Sets the time without the server taking anything, in place of `ClientConfig::write_timeout`.
    pub fn write_timeout(self, timeout: Option<Duration>) -> Self {
        self.set(|settings| settings.write_timeout = timeout)
    }

    /// Sets how many redirects are followed, in place of `ClientConfig::redirects_max`; 0 gives the redirect itself.
    pub fn redirects_max(self, redirects_max: u32) -> Self {
        self.set(|settings| settings.redirects_max = redirects_max)
    }

    /// Sets whether the server is asked first if it wants the body, in place of `ClientConfig::expect_continue`. Of a request with
    /// a field `Expect: 100-continue` of its own it is asked in any case.
    ///
    /// The body begins to leave when the server says `100 Continue`, or nothing for as long as `ClientConfig::continue_timeout`. If
    /// it answers before, the body is not sent, and as the server may still wait for it, the connection is closed. A 417 is followed
    /// by one more try that does not ask.
    pub fn expect_continue(self, expect_continue: bool) -> Self {
        self.set(|settings| settings.expect_continue = expect_continue)
    }

    /// Sets how long a body waits for the server's word, in place of `ClientConfig::continue_timeout`.
    pub fn continue_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.continue_timeout = timeout)
    }

    /// Sets whether its connection may be used again, in place of `ClientConfig::keep_alive`.
    pub fn keep_alive(self, keep_alive: bool) -> Self {
        self.set(|settings| settings.keep_alive = Some(keep_alive))
    }

    /// Sets how many bytes of a request wait for the kernel before the writer of its body has to wait too, in place of
    /// `ClientConfig::write_buffer_bytes_max`. At least 1.
    pub fn write_buffer_bytes_max(self, bytes_max: usize) -> Self {
        self.set_positive("write_buffer_bytes_max", bytes_max, |settings| {
            settings.write_buffer_bytes_max = bytes_max;
        })
    }

    /// Sets how many bytes a head of an answer may have, in place of `ClientConfig::head_bytes_max`. At least 1.
    pub fn head_bytes_max(self, bytes_max: usize) -> Self {
        self.set_positive("head_bytes_max", bytes_max, |settings| {
            settings.answer_limits.head_bytes_max = bytes_max;
        })
    }

    /// Sets how many fields a head of an answer may have, in place of `ClientConfig::header_count_max`. At least 1.
    pub fn header_count_max(self, count_max: usize) -> Self {
        self.set_positive("header_count_max", count_max, |settings| {
            settings.answer_limits.header_count_max = count_max;
        })
    }

    /// Sets how many bytes the trailers of an answer may have, in place of `ClientConfig::trailer_bytes_max`.
    pub fn trailer_bytes_max(self, bytes_max: usize) -> Self {
        self.set(|settings| settings.answer_limits.trailer_bytes_max = bytes_max)
    }

    fn set_positive(self, name: &str, value: usize, set: impl FnOnce(&mut Settings)) -> Self {
        let checked = self.change(|_| match value {
            0 => Err(Error::new(ErrorKind::Request).with_text(format!("{name} must not be 0"))),
            _ => Ok(()),
        });
        checked.set(set)
    }

    /// Sets how many bytes of the answer's body are gathered, in place of `ClientConfig::body_bytes_max`.
    pub fn body_bytes_max(self, bytes_max: usize) -> Self {
        self.set(|settings| settings.body_bytes_max = bytes_max)
    }

    /// Sets whether cookies are kept and sent, in place of `ClientConfig::cookies`.
    pub fn cookies(self, cookies: bool) -> Self {
        self.set(|settings| settings.cookies = cookies)
    }

    /// Sets whether the answer's body is decompressed, in place of `ClientConfig::decompress`.
    #[cfg(feature = "compression")]
    pub fn decompress(self, decompress: bool) -> Self {
        self.set(|settings| settings.decompress = decompress)
    }

    /// Sets how its body is compressed, however short it is, in place of `ClientConfig::compress`; `None` sends it as it is.
    #[cfg(feature = "compression")]
    pub fn compress(self, coding: Option<ContentCoding>) -> Self {
        self.set(|settings| {
            settings.compress = coding;
            settings.compress_bytes_min = 0;
        })
    }

    /// Sets how hard to try to make its body shorter, in place of `ClientConfig::compress_level`.
    #[cfg(feature = "compression")]
    pub fn compress_level(self, level: Level) -> Self {
        self.set(|settings| settings.compress_level = level)
    }

    /// Sets how much a decompressed body may be of how little, in place of `ClientConfig::decode_limits`.
    #[cfg(feature = "compression")]
    pub fn decode_limits(self, limits: DecodeLimits) -> Self {
        self.set(|settings| settings.decode_limits = limits)
    }

    /// Sets whether it is sent once more if its connection is gone, in place of `ClientConfig::retry_lost`.
    pub fn retry_lost(self, retry_lost: bool) -> Self {
        self.set(|settings| settings.retry_lost = retry_lost)
    }

    /// Sets how it is tried again if it fails, in place of `ClientConfig::retry`; `None`: not at all. What is tried counts towards the
    /// client's `retry_budget`.
    pub fn retry(self, retry: Option<RetryConfig>) -> Self {
        let checked = self.change(|_| retry.as_ref().map_or(Ok(()), RetryConfig::check));
        checked.set(|settings| settings.retry = retry.map(Rc::new))
    }

    /// Sets whether it heeds `ClientConfig::circuit_breaker`, and counts for it: a look at how a server fares may not want to. Default:
    /// true.
    pub fn circuit_breaker(self, circuit_breaker: bool) -> Self {
        self.set(|settings| settings.circuit_breaker = circuit_breaker)
    }

    /// Sets who is served first when requests wait for a connection. Default: [`Priority::Normal`].
    pub fn priority(self, priority: Priority) -> Self {
        self.set(|settings| settings.priority = priority)
    }

    /// Sets the addresses of the URL's host, in place of those that its name or `ClientConfig::host_overrides` lead to: which of several
    /// servers is asked, say. The port of the URL is used where that of an address is 0. What `ClientConfig::addresses` does not allow is
    /// left out.
    ///
    /// Connections that are made so serve only requests with the same addresses. A proxy is passed by; a Unix socket goes before. Where
    /// redirects lead to other hosts it does not hold.
    pub fn host_addresses(self, addresses: &[SocketAddr]) -> Self {
        let mut host = None;
        let found = self.change(|outline| {
            host = Some(Rc::from(outline.location.host()));
            match addresses {
                [] => Err(Error::new(ErrorKind::Request).with_text("host_addresses must name one")),
                _ => Ok(()),
            }
        });
        let route = Rc::new(Route { addresses: Some(addresses.into()), ..Route::default() });
        found.set(|settings| settings.to_addresses = host.map(|host| (host, route)))
    }

    /// Sends it to a Unix socket, whatever host the URL names, in place of `ClientConfig::unix_socket`.
    pub fn unix_socket(self, path: impl AsRef<Path>) -> Self {
        let unix_socket = Some(Rc::from(path.as_ref()));
        self.set(|settings| settings.route = Some(Rc::new(Route { unix_socket, ..Route::default() })))
    }

    /// Sends it, and where redirects lead, through these proxies, in place of `ClientConfig::proxies`; [`Proxies::none`] sends it
    /// straight to its server. A Unix socket goes before them.
    pub fn proxies(self, proxies: &Proxies) -> Self {
        let routes = (!proxies.is_none()).then(|| Rc::new(ProxyRoutes::new(proxies)));
        self.set(|settings| settings.proxies = routes)
    }
}
