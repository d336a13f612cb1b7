//! What a client is set to.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use ringhttp_runtime::connect::ConnectOptions;
use ringhttp_runtime::pool::{PoolConfig, ReuseOrder, SharedLimit};
use url::Url;

use super::adaptive_limit::AdaptiveLimit;
use super::address_filter::AddressFilter;
use super::circuit::CircuitBreakerConfig;
use super::error::{Error, ErrorKind, Result};
use super::netrc::Netrc;
use super::proxy::Proxies;
use super::resolver::Resolve;
use super::retry::{RetryBudget, RetryConfig};
#[cfg(feature = "rustls")]
use super::tls::ClientTls;
#[cfg(feature = "compression")]
use crate::proto::content_coding::{ContentCoding, DecodeLimits, Level};
use crate::proto::http1::Limits;

/// What a [`Client`](super::Client) is set to. It is cloned to every core, each of which makes a client of its own.
///
/// ```
/// use std::time::Duration;
/// use ringhttp::ClientConfig;
///
/// let mut config = ClientConfig::default();
/// config.limit_per_host = 10;
/// config.timeout = Some(Duration::from_secs(20));
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    /// What relative URLs are relative to (RFC 3986 §5). Default: none, so all must be absolute.
    pub base_url: Option<Url>,
    /// Fields of every request, each unless the request has one of its name. Default: none.
    pub default_headers: HeaderMap,
    /// The `User-Agent` of every request. Default `ringhttp/` and the version; `None` sends no such field.
    pub user_agent: Option<HeaderValue>,

    /// The time of a request, from its beginning to the end of its answer's body, redirects included. Default 300 s. Then:
    /// [`ErrorKind::Timeout`]. A [`deadline`](crate::deadline) around the request shortens it.
    pub timeout: Option<Duration>,
    /// The time that a request waits for a connection because of a limit. Default: no limit of its own. Then:
    /// [`ErrorKind::PoolTimeout`].
    pub pool_timeout: Option<Duration>,
    /// The time of making a connection: its name, all its addresses, the tunnel of a proxy. Default 30 s. Then:
    /// [`ErrorKind::ConnectTimeout`].
    pub connect_timeout: Option<Duration>,
    /// The time of securing a connection that was made: the handshake of TLS. Default 30 s. Then:
    /// [`ErrorKind::TlsTimeout`].
    #[cfg(feature = "rustls")]
    pub tls_timeout: Option<Duration>,
    /// The time from the end of a request to the first byte of its answer. Default: no limit of its own. Then:
    /// [`ErrorKind::FirstByteTimeout`].
    pub first_byte_timeout: Option<Duration>,
    /// The time between two reads of an answer. Default 60 s. Then: [`ErrorKind::ReadTimeout`].
    pub read_timeout: Option<Duration>,
    /// The time without the server taking any of a request that waits for it. Default 60 s. Then: [`ErrorKind::WriteTimeout`].
    pub write_timeout: Option<Duration>,

    /// Connections of this client, idle ones included. Default 100. Then: an idle one to another server goes, or the request
    /// waits in line.
    pub limit: usize,
    /// Connections to one server: scheme, host and port. Default 0: no limit of its own; 10 to 30 is kind to a server that is
    /// not yours. Then: the request waits in line.
    pub limit_per_host: usize,
    /// How many requests may be under way to one server at a time, found out by how it fares. Default: not, so the limits above hold alone.
    /// Then: the request waits in line.
    pub adaptive_limit: Option<AdaptiveLimit>,
    /// Connections of the clients of all cores together. Default: none. Then: as `limit`, and other cores give up idle ones.
    pub limit_total: Option<SharedLimit>,
    /// Requests that wait for a connection. Default 10,000. Then: [`ErrorKind::PoolFull`].
    pub waiting_max: usize,
    /// Whether connections are used again. Default true. False asks the server to close each behind its answer.
    pub keep_alive: bool,
    /// How long an idle connection is kept. Default 15 s. A server that says how long it waits (`Keep-Alive: timeout=5`) is not
    /// waited for longer than that, less a second.
    pub keep_alive_timeout: Duration,
    /// How old a connection may be to be used again, less up to a tenth. Default: any age; 10 minutes follow changes of DNS
    /// and reach servers that came later.
    pub connection_age_max: Option<Duration>,
    /// Connections that are kept idle. Default: as many as `limit` allows. Beyond: the one not used for longest goes.
    pub idle_max: Option<usize>,
    /// Which idle connection is used first. Default: the one that was used last.
    pub reuse_order: ReuseOrder,
    /// Whether a request is sent once more if its connection had been idle before and is gone before any byte of an answer
    /// comes. Only a request that nothing was sent of, or an idempotent one (RFC 9110 §9.2.2) whose body can be sent again.
    /// Default true.
    pub retry_lost: bool,
    /// How requests that fail are tried again, beside `retry_lost`. Default: not at all.
    pub retry: Option<RetryConfig>,
    /// How much of that the client allows itself. Then: an answer or error is given as it is.
    pub retry_budget: RetryBudget,
    /// When a server that fails is left alone for a while. Default: never. Then: [`ErrorKind::CircuitOpen`].
    pub circuit_breaker: Option<CircuitBreakerConfig>,

    /// Looks names up. Default: the system's resolver (`getaddrinfo`), on the blocking threads.
    pub resolver: Option<Arc<dyn Resolve>>,
    /// How long the addresses of a name are kept. Default 10 s. Zero keeps none.
    pub dns_ttl: Duration,
    /// How long it is remembered that a name could not be resolved. Default 1 s.
    pub dns_failure_ttl: Duration,
    /// Names whose addresses are kept. Default 1000. Then: the least recently used goes.
    pub dns_entries_max: usize,
    /// The addresses of hosts that are not looked up, by the host as it stands in the URL. The port of the URL is used where
    /// the one here is 0. Default: none. Each has one address at least.
    pub host_overrides: HashMap<String, Vec<SocketAddr>>,
    /// Which addresses may be connected to. Default: all. [`AddressFilter::public`] for URLs that strangers choose. Beyond:
    /// [`ErrorKind::AddressRefused`].
    pub addresses: AddressFilter,
    /// How long one address of a name is tried before the next one is tried beside it (RFC 8305). Default 250 ms.
    pub happy_eyeballs_delay: Duration,
    /// How sockets are set up: `TCP_NODELAY`, keep-alive probes, the local address, the device.
    pub socket: ConnectOptions,
    /// A Unix socket that all requests go to, whatever host they name. Default: none.
    pub unix_socket: Option<PathBuf>,
    /// Which requests go through which proxy. Default: none; [`Proxies::from_env`] takes what the environment says. The proxy looks
    /// names up then: `addresses` is asked for addresses that stand in URLs only, and not for the proxy's own.
    pub proxies: Proxies,
    /// Users and passwords by host, for requests that do not say who asks (RFC 7617). Not for where redirects lead, nor for
    /// a request that leaves out `Authorization`. Default: none;
    /// [`Netrc::from_env`] reads the usual file.
    pub netrc: Netrc,

    /// How TLS is spoken for `https` URLs. Default `None`: as [`ClientTlsConfig`](super::ClientTlsConfig) is by default, with the
    /// system's authorities, which the first request of the process reads on a blocking thread.
    #[cfg(feature = "rustls")]
    pub tls: Option<ClientTls>,

    /// Redirects that are followed. Default 10. Then: [`ErrorKind::Redirect`]. 0 follows none, and gives the redirect itself.
    pub redirects_max: u32,
    /// Whether a request asks the server first if it wants the body (`Expect: 100-continue`, RFC 9110 §10.1.1), so that one that
    /// refuses says so before the body is sent. Default false: it costs a round trip. A request without a body never asks.
    pub expect_continue: bool,
    /// How long a request that asks waits for the server's word. Default 1 s. Then: the body is sent all the same.
    pub continue_timeout: Duration,
    /// Whether cookies are kept and sent back. Default false: a service that asks in the name of many must not mix them up.
    pub cookies: bool,
    /// Whether bodies of answers are decompressed, and `Accept-Encoding` says so. Default true (feature `compression`). A part (206) is
    /// given as it comes, and a request with a `Range` asks for what is not compressed.
    #[cfg(feature = "compression")]
    pub decompress: bool,
    /// How bodies of requests are compressed while they leave, if the server is known to take that: there is no way to ask it first.
    /// Default `None`: they are not (feature `compression`). A request that has a `Content-Encoding` of its own is left as it is.
    #[cfg(feature = "compression")]
    pub compress: Option<ContentCoding>,
    /// How hard to try. Default: [`Level::Balanced`].
    #[cfg(feature = "compression")]
    pub compress_level: Level,
    /// Bytes of the smallest body that is compressed because of `compress`; smaller ones hardly gain. Those of unknown length
    /// count as large. Default 1024.
    #[cfg(feature = "compression")]
    pub compress_bytes_min: u64,
    /// How much a decompressed body may be of how little: beyond it [`ErrorKind::Decode`].
    #[cfg(feature = "compression")]
    pub decode_limits: DecodeLimits,
    /// Bytes of a body that [`Response::bytes`](super::Response::bytes) and those built on it gather. Default 16 MiB. Beyond:
    /// [`ErrorKind::BodyTooLarge`].
    pub body_bytes_max: usize,
    /// Bytes of the body of an answer that nobody is given, as a redirect's, that are read so that the connection can be used
    /// again. Default 64 KiB. Beyond: it is closed.
    pub drain_bytes_max: u64,
    /// How long such a body is read, in all. Default 1 s; zero takes what is here already. Beyond, and when the request's own time is
    /// over: it is closed.
    pub drain_timeout: Duration,
    /// Bytes of an answer's head. Default 64 KiB. Beyond: [`ErrorKind::Protocol`].
    pub head_bytes_max: usize,
    /// Fields of an answer's head. Default 128. Beyond: [`ErrorKind::Protocol`].
    pub header_count_max: usize,
    /// Bytes of the trailers of an answer. Default 8 KiB. Beyond: [`ErrorKind::Protocol`].
    pub trailer_bytes_max: usize,
    /// Bytes of a request that wait for the kernel before the writer of its body has to wait too. Default 64 KiB.
    pub write_buffer_bytes_max: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            base_url: None,
            default_headers: HeaderMap::new(),
            user_agent: Some(HeaderValue::from_static(USER_AGENT)),
            timeout: Some(Duration::from_secs(300)),
            pool_timeout: None,
            connect_timeout: Some(Duration::from_secs(30)),
            #[cfg(feature = "rustls")]
            tls_timeout: Some(Duration::from_secs(30)),
            first_byte_timeout: None,
            read_timeout: Some(Duration::from_secs(60)),
            write_timeout: Some(Duration::from_secs(60)),
            limit: 100,
            limit_per_host: 0,
            adaptive_limit: None,
            limit_total: None,
            waiting_max: 10_000,
            keep_alive: true,
            keep_alive_timeout: Duration::from_secs(15),
            connection_age_max: None,
            idle_max: None,
            reuse_order: ReuseOrder::default(),
            retry_lost: true,
            retry: None,
            retry_budget: RetryBudget::default(),
            circuit_breaker: None,
            resolver: None,
            dns_ttl: Duration::from_secs(10),
            dns_failure_ttl: Duration::from_secs(1),
            dns_entries_max: 1000,
            host_overrides: HashMap::new(),
            addresses: AddressFilter::any(),
            happy_eyeballs_delay: Duration::from_millis(250),
            socket: ConnectOptions::default(),
            unix_socket: None,
            proxies: Proxies::none(),
            netrc: Netrc::default(),
            #[cfg(feature = "rustls")]
            tls: None,
            redirects_max: 10,
            expect_continue: false,
            continue_timeout: Duration::from_secs(1),
            cookies: false,
            #[cfg(feature = "compression")]
            decompress: true,
            #[cfg(feature = "compression")]
            compress: None,
            #[cfg(feature = "compression")]
            compress_level: Level::default(),
            #[cfg(feature = "compression")]
            compress_bytes_min: 1024,
            #[cfg(feature = "compression")]
            decode_limits: DecodeLimits::default(),
            body_bytes_max: 16 * 1024 * 1024,
            drain_bytes_max: 64 * 1024,
            drain_timeout: Duration::from_secs(1),
            head_bytes_max: limits.head_bytes_max,
            header_count_max: 128,
            trailer_bytes_max: limits.trailer_bytes_max,
            write_buffer_bytes_max: 64 * 1024,
        }
    }
}

const USER_AGENT: &str = concat!("ringhttp/", env!("CARGO_PKG_VERSION"));

impl ClientConfig {
    /// What the reader of answers has to know.
    pub(super) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.head_bytes_max = self.head_bytes_max;
        limits.header_count_max = self.header_count_max;
        limits.trailer_bytes_max = self.trailer_bytes_max;
        limits
    }

    pub(super) fn pool(&self) -> PoolConfig {
        let mut pool = PoolConfig::default();
        pool.limit = self.limit;
        pool.limit_per_key = self.limit_per_host;
        pool.idle_max = self.idle_max;
        pool.idle_timeout = self.keep_alive_timeout;
        pool.age_max = self.connection_age_max;
        pool.order = self.reuse_order;
        pool.waiting_max = self.waiting_max;
        pool.shared_limit.clone_from(&self.limit_total);
        pool
    }

    /// The fields that requests have beside their own.
    pub(super) fn fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        fields.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        if let Some(user_agent) = &self.user_agent {
            fields.insert(header::USER_AGENT, user_agent.clone());
        }
        #[cfg(feature = "compression")]
        if self.decompress {
            fields.insert(header::ACCEPT_ENCODING, super::decode::accepted());
        }
        if !self.keep_alive {
            fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        // In place of the ones above, and all that there are of a name.
        for name in self.default_headers.keys() {
            fields.remove(name);
        }
        for (name, value) in &self.default_headers {
            fields.append(name, value.clone());
        }
        fields
    }

    /// The name of the first field whose value cannot work, and why.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |text: String| Error::new(ErrorKind::Config).with_text(text);
        let positive = [
            ("limit", self.limit),
            ("limit_total", self.limit_total.as_ref().map_or(1, SharedLimit::limit)),
            ("waiting_max", self.waiting_max),
            ("dns_entries_max", self.dns_entries_max),
            ("head_bytes_max", self.head_bytes_max),
            ("header_count_max", self.header_count_max),
            ("write_buffer_bytes_max", self.write_buffer_bytes_max),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(wrong(format!("ClientConfig::{name} must not be 0")));
        }
        let timeouts = [
            ("timeout", self.timeout),
            ("pool_timeout", self.pool_timeout),
            ("connect_timeout", self.connect_timeout),
            #[cfg(feature = "rustls")]
            ("tls_timeout", self.tls_timeout),
            ("first_byte_timeout", self.first_byte_timeout),
            ("read_timeout", self.read_timeout),
            ("write_timeout", self.write_timeout),
        ];
        let is_zero = |timeout: &Option<Duration>| timeout.is_some_and(|timeout| timeout.is_zero());
        if let Some((name, _)) = timeouts.iter().find(|(_, timeout)| is_zero(timeout)) {
            return Err(wrong(format!("ClientConfig::{name} must not be zero: `None` is no limit")));
        }
        self.retry.as_ref().map_or(Ok(()), RetryConfig::check)?;
        self.retry_budget.check()?;
        self.circuit_breaker.as_ref().map_or(Ok(()), CircuitBreakerConfig::check)?;
        self.adaptive_limit.as_ref().map_or(Ok(()), AdaptiveLimit::check)?;
        if let Some(base) = &self.base_url
            && (!matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base())
        {
            return Err(wrong("ClientConfig::base_url must be http or https".to_owned()));
        }
        if let Some((host, _)) = self.host_overrides.iter().find(|(_, addresses)| addresses.is_empty()) {
            return Err(wrong(format!("ClientConfig::host_overrides must name an address of `{host}`")));
        }
        let refused = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::HOST];
        match refused.iter().find(|name| self.default_headers.contains_key(*name)) {
            Some(name) => Err(wrong(format!("ClientConfig::default_headers must not have `{name}`"))),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the fields: they may hold credentials.
        f.debug_struct("ClientConfig")
            .field("timeout", &self.timeout)
            .field("limit", &self.limit)
            .field("limit_per_host", &self.limit_per_host)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut ClientConfig)) -> Option<String> {
        let mut config = ClientConfig::default();
        change(&mut config);
        config.check().err().map(|error| error.to_string())
    }

    #[test]
    fn a_value_that_cannot_work_is_named() {
        assert_eq!(refusal(|_| {}), None);
        type Change = fn(&mut ClientConfig);
        let cases: [(&str, Change); 7] = [
            ("limit must", |config| config.limit = 0),
            ("limit_total must", |config| config.limit_total = Some(SharedLimit::new(0))),
            ("read_timeout must", |config| config.read_timeout = Some(Duration::ZERO)),
            ("header_count_max must", |config| config.header_count_max = 0),
            ("base_url must", |config| config.base_url = Url::parse("ftp://a/").ok()),
            ("host_overrides must", |config| {
                config.host_overrides.insert("a".to_owned(), Vec::new());
            }),
            ("default_headers must", |config| {
                config.default_headers.insert(header::HOST, HeaderValue::from_static("a"));
            }),
        ];
        for (name, change) in cases {
            let text = refusal(change).unwrap();
            assert!(text.contains(&format!("ClientConfig::{name}")), "{text}");
        }
    }

    #[test]
    fn it_goes_to_other_threads() {
        fn is_sendable<T: Send + Clone>() {}
        is_sendable::<ClientConfig>();
    }

    #[test]
    fn own_fields_take_the_place_of_the_usual_ones() {
        let mut config = ClientConfig::default();
        let fields = config.fields();
        assert_eq!(fields["user-agent"], USER_AGENT);
        assert_eq!(fields["accept"], "*/*");
        config.default_headers.append(header::ACCEPT, HeaderValue::from_static("a/b"));
        config.default_headers.append(header::ACCEPT, HeaderValue::from_static("c/d"));
        config.user_agent = None;
        config.keep_alive = false;
        let fields = config.fields();
        assert_eq!(fields.get_all("accept").iter().collect::<Vec<_>>(), ["a/b", "c/d"]);
        assert!(!fields.contains_key("user-agent"));
        assert_eq!(fields["connection"], "close");
    }
}
