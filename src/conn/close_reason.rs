//! Why a connection ended: one value per connection, counted and logged.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::io;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed between two requests.
    PeerClosed,
    /// The peer closed in the middle of a request.
    PeerClosedEarly,
    /// The transport failed while reading or writing: a reset, mostly.
    TransportFailed,
    /// The request said `Connection: close`, or was HTTP/1.0 without keep-alive.
    AskedByPeer,
    /// The response said `Connection: close`, or its end could only be marked by closing.
    AskedByHandler,
    /// No request came within `keep_alive_timeout`.
    KeepAliveExpired,
    /// A head was not complete within `head_timeout`.
    HeadTimeout,
    /// A body stalled or was slower than `body_rate_min`.
    BodyTimeout,
    /// The peer took nothing of what waited for it within `write_timeout`.
    WriteStalled,
    /// The handler took longer than `handler_timeout`.
    HandlerTimeout,
    /// The peer broke the protocol or a limit, and was told so.
    Refused,
    /// The request body was not read to its end, and too long to be drained.
    BodyLeftUnread,
    /// The body of the response failed half way.
    ResponseFailed,
    /// The handler panicked.
    HandlerPanicked,
    /// The handler took the transport over.
    Upgraded,
    /// The connection did not begin with a valid header of the PROXY protocol, or its peer may not send one.
    ProxyHeaderRefused,
    /// The peer spoke HTTP where TLS was expected, and was told so.
    NotTls,
    /// The TLS handshake failed: the two sides do not agree, or one of them is not whom it should be.
    TlsHandshakeFailed,
    /// The TLS handshake was not complete within `TlsConfig::handshake_timeout`.
    TlsHandshakeTimeout,
    /// TLS was broken behind the handshake: by a record that cannot be opened, a message that may not come, or an alert.
    TlsFailed,
    /// The peer ended a TLS connection in the middle of a request without saying so (`close_notify`): by its own will or
    /// another's.
    TlsTruncated,
    /// The server stops, and the connection was idle or had just answered.
    Stopping,
    /// The deadline of the stop passed, or a second signal came.
    Cut,
}

impl CloseReason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 23] = [
        Self::PeerClosed,
        Self::PeerClosedEarly,
        Self::TransportFailed,
        Self::AskedByPeer,
        Self::AskedByHandler,
        Self::KeepAliveExpired,
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::WriteStalled,
        Self::HandlerTimeout,
        Self::Refused,
        Self::BodyLeftUnread,
        Self::ResponseFailed,
        Self::HandlerPanicked,
        Self::Upgraded,
        Self::ProxyHeaderRefused,
        Self::NotTls,
        Self::TlsHandshakeFailed,
        Self::TlsHandshakeTimeout,
        Self::TlsFailed,
        Self::TlsTruncated,
        Self::Stopping,
        Self::Cut,
    ];

    /// Why a read failed. A socket's own errors are never about what the bytes are.
    pub(crate) fn of_failed_read(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::TlsFailed,
            _ => Self::TransportFailed,
        }
    }

    /// Why a write failed. A socket's write never finds an end: that is a file which has become shorter than its answer's
    /// `Content-Length` says.
    pub(crate) fn of_failed_write(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::ResponseFailed,
            io::ErrorKind::InvalidData => Self::TlsFailed,
            _ => Self::TransportFailed,
        }
    }

    /// The reason's name as a counter label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PeerClosed => "peer_closed",
            Self::PeerClosedEarly => "peer_closed_early",
            Self::TransportFailed => "transport_failed",
            Self::AskedByPeer => "asked_by_peer",
            Self::AskedByHandler => "asked_by_handler",
            Self::KeepAliveExpired => "keep_alive_expired",
            Self::HeadTimeout => "head_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::WriteStalled => "write_stalled",
            Self::HandlerTimeout => "handler_timeout",
            Self::Refused => "refused",
            Self::BodyLeftUnread => "body_left_unread",
            Self::ResponseFailed => "response_failed",
            Self::HandlerPanicked => "handler_panicked",
            Self::Upgraded => "upgraded",
            Self::ProxyHeaderRefused => "proxy_header_refused",
            Self::NotTls => "not_tls",
            Self::TlsHandshakeFailed => "tls_handshake_failed",
            Self::TlsHandshakeTimeout => "tls_handshake_timeout",
            Self::TlsFailed => "tls_failed",
            Self::TlsTruncated => "tls_truncated",
            Self::Stopping => "stopping",
            Self::Cut => "cut",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many connections of a core ended for each reason.
#[derive(Debug, Default)]
pub struct CloseCounts([Cell<u64>; CloseReason::ALL.len()]);

impl CloseCounts {
    pub(crate) fn count(&self, reason: CloseReason) {
        let cell = &self.0[reason as usize];
        cell.set(cell.get() + 1);
    }

    /// Connections that ended for `reason`.
    #[must_use]
    pub fn get(&self, reason: CloseReason) -> u64 {
        self.0[reason as usize].get()
    }

    /// The reasons that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (CloseReason, u64)> + '_ {
        CloseReason::ALL.into_iter().map(|reason| (reason, self.get(reason))).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter_and_name() {
        for (index, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
        let mut names: Vec<_> = CloseReason::ALL.map(CloseReason::as_str).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CloseReason::ALL.len());
    }
}
