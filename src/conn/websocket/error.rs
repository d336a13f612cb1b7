//! What can go wrong with a WebSocket, as its user sees it.
#![forbid(unsafe_code)]

use std::fmt;

use crate::proto::Misuse;
use crate::proto::websocket::Fault;

/// Why a WebSocket did not do what it was asked for.
///
/// A peer that goes away is no error for who receives: there are no more messages then, and
/// [`close_code`](crate::WebSocket::close_code) says how it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebSocketError {
    /// The socket is closed, or being closed: nothing can be sent any more.
    Closed,
    /// There is no room for the message in the queue, and its sender did not want to wait.
    Full,
    /// The peer broke the protocol or a limit; the connection is closed with [`Fault::code`].
    Fault(Fault),
    /// The peer was silent for `heartbeat`, and for half of it behind a Ping.
    HeartbeatLost,
    /// No message came within `receive_timeout`. The socket goes on.
    ReceiveTimeout,
    /// The peer took nothing of what waits for it within `write_timeout`, or stopped in the middle of a message for
    /// `stall_timeout`.
    Stalled,
    /// The message cannot be sent as it is: a Ping or Pong of more than 125 bytes, pieces out of order, a close code that may not
    /// be sent.
    Misuse(Misuse),
}

impl fmt::Display for WebSocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the WebSocket is closed"),
            Self::Full => f.write_str("the queue of the WebSocket is full"),
            Self::Fault(fault) => fault.fmt(f),
            Self::HeartbeatLost => f.write_str("the peer is silent"),
            Self::ReceiveTimeout => f.write_str("no message came in time"),
            Self::Stalled => f.write_str("the peer has stalled"),
            Self::Misuse(misuse) => misuse.fmt(f),
        }
    }
}

impl std::error::Error for WebSocketError {}

impl From<Misuse> for WebSocketError {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}
