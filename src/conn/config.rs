//! The limits and deadlines of a server's connections. They stand here and not in `server/`, because the connection
//! driver is what keeps them.
#![forbid(unsafe_code)]

use std::time::Duration;

use http::HeaderValue;
use ringhttp_runtime::listener::ListenerOptions;

use super::access_log::AccessLog;
use super::disconnect::CancelOnDisconnect;
use crate::proto::forwarded::ProxyFields;
use crate::proto::http1::Limits;
use crate::proto::ip_network::IpNetwork;

/// How a [`Server`](crate::Server) treats its connections. `Default` is meant to be fit for the open internet.
///
/// ```
/// let mut config = ringhttp::ServerConfig::default();
/// config.keep_alive_timeout = std::time::Duration::from_secs(30);
/// config.body_bytes_max = 8 << 20;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Time from the first byte of a head to its last, and from the accept of a connection to its first head.
    /// Default 10 s. Then: 408 if a head had begun, and the connection is closed.
    pub head_timeout: Duration,
    /// Time a reader of the request body waits for the next byte. Default 10 s. Then: the reader gets
    /// [`BodyError::Timeout`](crate::BodyError::Timeout), which is answered with 408, and the connection is closed.
    pub body_timeout: Duration,
    /// Bytes per second that a request body must bring on average, counted over the time that somebody waits for it,
    /// once that has been longer than `body_timeout`. Default 256. Then: as `body_timeout`. 0 turns it off.
    pub body_rate_min: u64,
    /// Time a peer may take none of the bytes that wait for it. Default 30 s. Then: the connection is closed.
    pub write_timeout: Duration,
    /// Time between an answer and the first byte of the next request. Default 75 s. Then: the connection is closed.
    pub keep_alive_timeout: Duration,
    /// Time a handler may take until it returns its response. Default: no limit. Then: it is dropped, and the
    /// answer is 503. It does not count for a handler that has taken the connection over.
    pub handler_timeout: Option<Duration>,
    /// What counts as a client that is gone, upon which its handler is dropped; a router or a request may set its own.
    /// Default: nothing.
    pub cancel_on_disconnect: CancelOnDisconnect,
    /// Tasks of [`Request::shield`](crate::Request::shield) that one core runs at a time. Default 10,000. Beyond: the work is
    /// not begun, and whoever awaits it gets 503.
    pub shielded_max: usize,
    /// Time for reading what a peer still sends after its connection's last answer, so that a reset does not take the
    /// answer away from it. Default 5 s.
    pub linger_timeout: Duration,
    /// Bytes read and thrown away: of a body that the handler left unread, and after a connection's last answer.
    /// Default 256 KiB. Beyond: the connection is closed.
    pub drain_bytes_max: u64,
    /// Bytes of a request head, request line included. Default 64 KiB. Beyond: 431, closed.
    pub head_bytes_max: usize,
    /// Fields of a request head. Default 100. Beyond: 431, closed.
    pub header_count_max: usize,
    /// Bytes of a request target. Default 8 KiB. Beyond: 414, closed.
    pub target_bytes_max: usize,
    /// Bytes of the trailer section of a chunked body. Default 8 KiB. Beyond: 431 for its reader, closed.
    pub trailer_bytes_max: usize,
    /// Bytes of a request body that a handler can read; a route may set its own. Default 1 MiB. Beyond: 413 for its
    /// reader, closed.
    pub body_bytes_max: u64,
    /// Answers that are gathered for one write while pipelined requests wait in the buffer. Default 32.
    /// Then: they are written, and other connections have their turn, before the next request is handled.
    pub pipelined_requests_max: usize,
    /// Bytes of answers that wait for the kernel before a writer has to wait too. Default 64 KiB.
    pub write_buffer_bytes_max: usize,
    /// Pieces of work of one core that go on behind their answers ([`Response::after`](crate::Response::after)). Default
    /// 1,000. Then: the next answers with such work wait until one ends.
    pub after_answer_max: usize,
    /// Connections of one core. Default 25,000. Then: no more are accepted until one ends.
    pub connections_max: usize,
    /// Connections of all cores and servers of the run together. Default: no limit. Then: as `connections_max`. Cores that
    /// accept in the same moment may exceed it by one each.
    pub connections_total_max: Option<usize>,
    /// The `Server` field of every answer that has none. Default `ringhttp`; `None` sends no such field.
    pub server_header: Option<HeaderValue>,
    /// Where every answer and every refused head is logged. Default `None`: nowhere, at no cost.
    pub access_log: Option<AccessLog>,
    /// Networks of the proxies in front of the server, whose word about the client is taken: see
    /// [`Request::client_addr`](crate::Request::client_addr). Default: none, and nobody's word is taken. If there are any,
    /// a peer on a Unix socket is trusted too.
    pub trusted_proxies: Vec<IpNetwork>,
    /// Which fields those proxies write. Default: `X-Forwarded-*`. The fields of the other kind are ignored.
    pub proxy_fields: ProxyFields,
    /// Whether connections begin with a header of the PROXY protocol. Default: off.
    pub proxy_protocol: ProxyProtocol,
    /// How the listening sockets are set up.
    pub listener: ListenerOptions,
}

/// Whether connections begin with a header of the PROXY protocol, by which a proxy that passes bytes on tells the
/// client's address (HAProxy's `proxy-protocol.txt`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyProtocol {
    /// No connection does.
    #[default]
    Off,
    /// Every connection does, in version 1 or 2, and the header is complete within `head_timeout`. A connection without a
    /// valid one is closed unanswered, as is one from outside `trusted_proxies` if there are any. Without them every peer
    /// can say what it likes: then only the proxies may be able to reach the port.
    Required,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            body_rate_min: 256,
            write_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(75),
            handler_timeout: None,
            cancel_on_disconnect: CancelOnDisconnect::Off,
            shielded_max: 10_000,
            linger_timeout: Duration::from_secs(5),
            drain_bytes_max: 256 * 1024,
            head_bytes_max: limits.head_bytes_max,
            header_count_max: limits.header_count_max,
            target_bytes_max: limits.target_bytes_max,
            trailer_bytes_max: limits.trailer_bytes_max,
            body_bytes_max: 1024 * 1024,
            pipelined_requests_max: 32,
            write_buffer_bytes_max: 64 * 1024,
            after_answer_max: 1_000,
            connections_max: 25_000,
            connections_total_max: None,
            server_header: Some(HeaderValue::from_static("ringhttp")),
            access_log: None,
            trusted_proxies: Vec::new(),
            proxy_fields: ProxyFields::default(),
            proxy_protocol: ProxyProtocol::default(),
            listener: ListenerOptions::default(),
        }
    }
}

impl ServerConfig {
    /// What the reader of heads and bodies has to know.
    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.head_bytes_max = self.head_bytes_max;
        limits.header_count_max = self.header_count_max;
        limits.target_bytes_max = self.target_bytes_max;
        // A body without trailers ends with an empty line as well.
        limits.trailer_bytes_max = self.trailer_bytes_max.max("\r\n".len());
        limits
    }

    /// The name of the first field whose value cannot work, and why.
    pub(crate) fn check(&self) -> Result<(), String> {
        let positive = [
            ("head_bytes_max", self.head_bytes_max),
            ("header_count_max", self.header_count_max),
            ("target_bytes_max", self.target_bytes_max),
            ("pipelined_requests_max", self.pipelined_requests_max),
            ("write_buffer_bytes_max", self.write_buffer_bytes_max),
            ("after_answer_max", self.after_answer_max),
            ("connections_max", self.connections_max),
            ("connections_total_max", self.connections_total_max.unwrap_or(1)),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("ServerConfig::{name} must not be 0"));
        }
        let timeouts = [
            ("head_timeout", self.head_timeout),
            ("body_timeout", self.body_timeout),
            ("write_timeout", self.write_timeout),
            ("keep_alive_timeout", self.keep_alive_timeout),
        ];
        match timeouts.iter().find(|(_, value)| value.is_zero()) {
            Some((name, _)) => Err(format!("ServerConfig::{name} must not be zero")),
            None => Ok(()),
        }
    }
}
