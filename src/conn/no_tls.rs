//! What stands in for TLS in builds without it: acceptors and sessions that nobody can have.
#![forbid(unsafe_code)]

use std::rc::Rc;

use super::close_reason::CloseReason;
use super::connection::Connection;

/// What makes TLS of a connection.
pub(crate) enum Acceptor {}

/// What was agreed on.
pub(crate) enum TlsInfo {}

impl TlsInfo {
    pub(super) fn forbids_host(&self, _: &str) -> bool {
        match *self {}
    }
}

#[expect(clippy::unused_async, reason = "the one with TLS waits")]
pub(super) async fn accept(_: &Rc<Connection>, acceptor: &Acceptor) -> Result<(), CloseReason> {
    match *acceptor {}
}

#[expect(clippy::unused_async, reason = "the one with TLS waits")]
pub(super) async fn end(_: &Connection, reason: CloseReason) -> CloseReason {
    reason
}
