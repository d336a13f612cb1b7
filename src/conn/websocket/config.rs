//! The limits, deadlines and choices of a WebSocket.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::proto::cors::authority;
use crate::proto::websocket::{Accepts, Limits, Offer, Takeover};

/// How a WebSocket is treated, on either side. `Default` is meant to be fit for the open internet.
///
/// ```
/// let mut config = ringhttp::WebSocketConfig::default();
/// config.heartbeat = Some(std::time::Duration::from_secs(30));
/// config.protocols = vec!["chat.v1".to_owned()];
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebSocketConfig {
    /// Subprotocols this side speaks. A server takes the first of the client's list that is among them, a client offers them,
    /// the best first. Default: none, and no `Sec-WebSocket-Protocol`. At most 65,535.
    pub protocols: Vec<String>,
    /// Server: whose pages may open a socket. Default: those of the host that was asked for. Others: 403.
    pub origins: AllowedOrigins,
    /// Bytes of a message that is received, all fragments together, unpacked. Default 4 MiB. Beyond: closed with 1009.
    pub message_bytes_max: usize,
    /// Bytes of a frame that is received. Default: as `message_bytes_max`. Beyond: closed with 1009.
    pub frame_bytes_max: Option<usize>,
    /// Fragments of a message that is received. Default 16,384. Beyond: closed with 1009.
    pub fragment_count_max: usize,
    /// Which kinds of messages are received. Default: both. Others: closed with 1003.
    pub accepts: Accepts,
    /// Whether messages are received in pieces, as they come ([`Message::Piece`](crate::websocket::Message::Piece)), so that a
    /// long one is never in memory. Default: no, they are joined.
    pub pieces: bool,
    /// Whether a Ping is answered by the socket. Default: yes. Otherwise `receive` gives out Pings and Pongs, and the answers are
    /// the application's.
    pub autoping: bool,
    /// How long nothing comes from the peer before it is sent a Ping. If nothing comes then for half of that time, the
    /// connection is dead and ends. Default: off. It is looked at every 100 ms at the most.
    pub heartbeat: Option<Duration>,
    /// How long `receive` waits for a message. Default: for ever. Then: [`WebSocketError::ReceiveTimeout`], and the socket
    /// goes on.
    ///
    /// [`WebSocketError::ReceiveTimeout`]: crate::websocket::WebSocketError::ReceiveTimeout
    pub receive_timeout: Option<Duration>,
    /// How long the peer's Close frame is waited for once ours has left, or once the peer was given up for reading too slowly. Default
    /// 10 s. Then: the connection ends without it.
    pub close_timeout: Duration,
    /// Time a peer may take none of what waits for it. Default 30 s. Then: the connection ends.
    pub write_timeout: Duration,
    /// Time without a byte in the middle of a message that is received. Default 30 s. Then: closed with 1008.
    pub stall_timeout: Duration,
    /// Bytes of messages that are read before the application asks for them. Default 64 KiB. Then: the socket is not read,
    /// and Pings are not answered, until it asks.
    pub read_ahead_bytes_max: usize,
    /// Bytes of messages that wait to be sent. One that is longer is taken if nothing waits. Default 256 KiB. Then: as
    /// `slow_reader` says.
    pub send_queue_bytes_max: usize,
    /// What happens to a message for which there is no room in the queue. Default: its sender waits.
    pub slow_reader: SlowReader,
    /// Compression, if the peer agrees. Default: as [`CompressionConfig`]. `None`, and any value in a build without the feature
    /// `compression`: no message is compressed.
    pub compression: Option<CompressionConfig>,
}

/// Whose pages may open a WebSocket. Browsers send cookies along whoever's page opens one (cross-site WebSocket hijacking), and
/// the same-origin policy does not keep the page from reading the answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AllowedOrigins {
    /// Those of the host that the request is for; programs that are no browsers, and send no `Origin`.
    #[default]
    SameHost,
    /// Those of these origins, written as browsers do (`https://example.org`), beside those of `SameHost`.
    List(Vec<String>),
    /// Everybody's: for services that know who asks by something else than cookies.
    Any,
}

/// What happens to a message for a peer that does not take those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlowReader {
    /// Its sender waits. Who cannot wait gets [`WebSocketError::Full`](crate::websocket::WebSocketError::Full); a hub, which
    /// waits for nobody, treats it as `Close`.
    #[default]
    Wait,
    /// It is dropped.
    DropNewest,
    /// The oldest ones are dropped that have not begun to leave, until it fits.
    DropOldest,
    /// The connection is closed with 1008.
    Close,
}

/// How messages are compressed (permessage-deflate, RFC 7692).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompressionConfig {
    /// How hard to try, 1 to 9. Default 1: messages are compressed while their receiver waits.
    pub level: u8,
    /// Bytes from which on a message is compressed. Default 1 KiB: shorter ones hardly shrink by themselves.
    pub threshold_bytes: usize,
    /// Whether binary messages are compressed too. Default: no, mostly they are already.
    pub binary: bool,
    /// Bytes from which on a message is compressed by the blocking pool, so that the core goes on meanwhile: it is held for no
    /// more than a fraction of a millisecond, at level 1. Default 64 KiB.
    pub blocking_bytes_min: usize,
    /// Whether messages refer to earlier ones of their socket, in each direction that the peer can do it. They get smaller, and
    /// the socket holds a compressor of some 370 KiB (245 with the smallest window) and a decompressor of 46. Default: no; all
    /// sockets of a core share a few.
    pub context_takeover: bool,
    /// Bytes that such sockets of one core may hold together. Default 64 MiB. Then: the next ones are opened without it.
    pub takeover_bytes_max: usize,
    /// The window for what is sent, as an exponent of 2: 9 to 15. Default 15.
    pub window_bits: u8,
    /// The window for what is received, as far as the peer lets itself be asked: 9 to 15. Default 15.
    pub peer_window_bits: u8,
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            protocols: Vec::new(),
            origins: AllowedOrigins::default(),
            message_bytes_max: limits.message_bytes_max,
            frame_bytes_max: None,
            fragment_count_max: limits.fragment_count_max,
            accepts: Accepts::Any,
            pieces: false,
            autoping: true,
            heartbeat: None,
            receive_timeout: None,
            close_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(30),
            read_ahead_bytes_max: 64 * 1024,
            send_queue_bytes_max: 256 * 1024,
            slow_reader: SlowReader::Wait,
            compression: Some(CompressionConfig::default()),
        }
    }
}

impl Default for CompressionConfig {
    fn default() -> Self {
        Self {
            level: 1,
            threshold_bytes: 1024,
            binary: false,
            blocking_bytes_min: 64 * 1024,
            context_takeover: false,
            takeover_bytes_max: 64 << 20,
            window_bits: 15,
            peer_window_bits: 15,
        }
    }
}

thread_local! {
    /// What the last socket of this core was given.
    static LAST: RefCell<Option<Rc<WebSocketConfig>>> = const { RefCell::new(None) };
}

impl WebSocketConfig {
    /// Checked, and one copy for sockets that are configured alike one after another, as those of a route are.
    pub(super) fn shared(self) -> Result<Rc<Self>, String> {
        LAST.with_borrow_mut(|last| {
            if let Some(last) = last.as_ref().filter(|last| ***last == self) {
                return Ok(Rc::clone(last));
            }
            self.check()?;
            Ok(Rc::clone(last.insert(Rc::new(self))))
        })
    }

    /// What the reader of messages has to know.
    pub(super) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.message_bytes_max = self.message_bytes_max;
        limits.frame_bytes_max = self.frame_bytes_max.unwrap_or(self.message_bytes_max);
        limits.fragment_count_max = self.fragment_count_max;
        limits
    }

    /// The name of the first field whose value cannot work, and why.
    pub(crate) fn check(&self) -> Result<(), String> {
        let positive = [
            ("message_bytes_max", self.message_bytes_max),
            ("frame_bytes_max", self.frame_bytes_max.unwrap_or(1)),
            ("fragment_count_max", self.fragment_count_max),
            ("read_ahead_bytes_max", self.read_ahead_bytes_max),
            ("send_queue_bytes_max", self.send_queue_bytes_max),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("WebSocketConfig::{name} must not be 0"));
        }
        if self.protocols.len() > usize::from(u16::MAX) {
            return Err("WebSocketConfig::protocols must not be more than 65,535".to_owned());
        }
        let timeouts = [
            ("heartbeat", self.heartbeat.unwrap_or(Duration::MAX)),
            ("receive_timeout", self.receive_timeout.unwrap_or(Duration::MAX)),
            ("close_timeout", self.close_timeout),
            ("write_timeout", self.write_timeout),
            ("stall_timeout", self.stall_timeout),
        ];
        if let Some((name, _)) = timeouts.iter().find(|(_, value)| value.is_zero()) {
            return Err(format!("WebSocketConfig::{name} must not be zero"));
        }
        if let AllowedOrigins::List(list) = &self.origins
            && let Some(wrong) = list.iter().find(|origin| authority(origin).is_none())
        {
            return Err(format!(
                "WebSocketConfig::origins: {wrong:?} is no origin: `scheme://host` or `scheme://host:port`"
            ));
        }
        self.compression.as_ref().map_or(Ok(()), CompressionConfig::check)
    }
}

impl CompressionConfig {
    fn check(&self) -> Result<(), String> {
        let exponents = [("window_bits", self.window_bits), ("peer_window_bits", self.peer_window_bits)];
        if let Some((name, _)) = exponents.iter().find(|(_, bits)| !(9..=15).contains(bits)) {
            return Err(format!("CompressionConfig::{name} must be 9 to 15"));
        }
        if (1..=9).contains(&self.level) {
            Ok(())
        } else {
            Err("CompressionConfig::level must be 1 to 9".to_owned())
        }
    }

    /// What this side wants, if it may take windows over.
    pub(super) fn offer(&self, has_memory: bool) -> Offer {
        let takeover = if self.context_takeover && has_memory { Takeover::Kept } else { Takeover::Reset };
        let mut offer = Offer::default();
        offer.own = takeover;
        offer.peer = takeover;
        offer.own_window_bits = self.window_bits;
        offer.peer_window_bits = self.peer_window_bits;
        offer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_cannot_work_are_named() {
        assert_eq!(WebSocketConfig::default().check(), Ok(()));
        let mut cases = Vec::new();
        let mut with = |name: &'static str, change: fn(&mut WebSocketConfig)| {
            let mut config = WebSocketConfig::default();
            change(&mut config);
            cases.push((name, config));
        };
        with("message_bytes_max", |config| config.message_bytes_max = 0);
        with("send_queue_bytes_max", |config| config.send_queue_bytes_max = 0);
        with("heartbeat", |config| config.heartbeat = Some(Duration::ZERO));
        with("close_timeout", |config| config.close_timeout = Duration::ZERO);
        with("origins", |config| config.origins = AllowedOrigins::List(vec!["a.example".to_owned()]));
        with("level", |config| config.compression.as_mut().unwrap().level = 0);
        with("window_bits", |config| config.compression.as_mut().unwrap().window_bits = 8);
        for (name, config) in cases {
            assert!(config.check().is_err_and(|error| error.contains(name)), "{name}");
        }
    }
}
