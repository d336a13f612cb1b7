//! The proof that a socket was closed.
#![forbid(unsafe_code)]

use crate::proto::websocket::CloseCode;

/// A WebSocket that was closed. A handler that returns one cannot have forgotten to: there is no other way to get it.
///
/// As a response it stands for the 101 that was sent; middleware sees it as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    code: CloseCode,
}

impl Closed {
    pub(super) const fn new(code: CloseCode) -> Self {
        Self { code }
    }

    /// Why: the peer's code, ours if the peer broke the protocol, or [`CloseCode::ABNORMAL`] if the connection ended without the peer's
    /// Close frame.
    #[must_use]
    pub const fn code(&self) -> CloseCode {
        self.code
    }
}
