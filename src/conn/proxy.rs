//! The PROXY protocol's header ahead of a connection's first request: whom the connection is for.
#![forbid(unsafe_code)]

use std::future::poll_fn;

use super::close_reason::CloseReason;
use super::connection::{Connection, ProxyWait};
use crate::proto::forwarded::is_proxy;
use crate::proto::proxy_header::Source;

/// Reads the header and takes the addresses in it for the connection's own.
pub(super) async fn read_header(connection: &Connection) -> Result<(), CloseReason> {
    let trusted = &connection.host.config.trusted_proxies;
    if !trusted.is_empty() && !is_proxy(trusted, connection.peer.get()) {
        return Err(CloseReason::ProxyHeaderRefused);
    }
    let mut wait = ProxyWait::new(connection);
    match poll_fn(|cx| connection.poll_proxy_header(cx, &mut wait)).await? {
        Source::Client { peer, local } => connection.readdress(Some(peer), Some(local)),
        Source::Unix => connection.readdress(None, None),
        Source::Proxy => {}
    }
    Ok(())
}
