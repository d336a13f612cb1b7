//! TLS of a server's connections: who may shake hands when, what the first byte tells, what was agreed on, and the end.
#![forbid(unsafe_code)]

mod info;
mod peer_certificate;
pub(crate) mod pem;
pub(crate) mod provider;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ringhttp_runtime::sync::{Permit, Semaphore};
use rustls::ServerConfig;

pub use self::info::{TlsInfo, TlsVersion};
pub use self::peer_certificate::PeerCertificate;
pub use self::pem::FileOrBytes;
pub use self::provider::tls_provider;
use super::close_reason::CloseReason;
use super::connection::{Connection, HandshakeWait, NoHandshake};
use super::exchange;
use super::host::count;
pub(crate) use crate::io::tls::note_server_name;
use crate::io::tls::{Handshake, HandshakeError, HelloReader};

/// What makes TLS of a core's new connections.
pub(crate) struct Acceptor {
    /// Who shakes hands holds one; the others wait in line, unread.
    places: Semaphore,
    timeout: Duration,
    bytes_max: usize,
    setup: Box<dyn Fn() -> Arc<dyn TlsSetup>>,
}

/// The certificates and rules of a moment: a connection keeps those that it began with.
pub(crate) trait TlsSetup: Send + Sync {
    /// Whether the rules depend on the name that the client asks for.
    fn has_rules_by_name(&self) -> bool;

    /// The rules for a client that asks for this name.
    fn config_for(&self, server_name: Option<&str>) -> &Arc<ServerConfig>;

    /// Whether a connection for this name must not be used for requests to `host`: it has other rules.
    fn forbids_host(&self, server_name: Option<&str>, host: &str) -> bool;
}

impl Acceptor {
    pub(crate) fn new(
        handshakes_max: usize,
        timeout: Duration,
        bytes_max: usize,
        setup: impl Fn() -> Arc<dyn TlsSetup> + 'static,
    ) -> Self {
        Self { places: Semaphore::new(handshakes_max), timeout, bytes_max, setup: Box::new(setup) }
    }
}

/// Makes TLS of a connection, or says why not.
pub(super) async fn accept(connection: &Rc<Connection>, acceptor: &Acceptor) -> Result<(), CloseReason> {
    let stats = &connection.host.stats;
    let place = wait_for_place(connection, &acceptor.places).await?;
    let under_way = UnderWay::begin(&stats.tls_handshaking);
    let shaken = shake_hands(connection, acceptor).await;
    drop((under_way, place));
    let error = match shaken {
        Ok(info) => {
            count(&stats.tls_handshakes);
            if info.is_resumed() {
                count(&stats.tls_resumptions);
            }
            // Nobody has set it before: a connection shakes hands once.
            let _ = connection.tls.set(Box::new(info));
            return Ok(());
        }
        Err(NoHandshake::Close(reason)) => {
            if reason == CloseReason::TlsHandshakeTimeout {
                count(&stats.tls_handshakes_failed);
            }
            return Err(reason);
        }
        Err(NoHandshake::Plain) => return Err(exchange::refuse_plain(connection).await),
        Err(NoHandshake::Failed(error)) => error,
    };
    count(&stats.tls_handshakes_failed);
    tracing::debug!(
        peer = ?connection.peer.get(),
        error = &error as &dyn std::error::Error,
        "a TLS handshake failed"
    );
    // What we said about it is not to be lost.
    exchange::linger(connection).await;
    Err(CloseReason::TlsHandshakeFailed)
}

/// Counts what is under way, however it ends.
struct UnderWay<'count>(&'count Cell<u64>);

impl<'count> UnderWay<'count> {
    fn begin(cell: &'count Cell<u64>) -> Self {
        count(cell);
        Self(cell)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Waits for a place among those who shake hands. Nothing is read meanwhile.
async fn wait_for_place(connection: &Connection, places: &Semaphore) -> Result<Permit, CloseReason> {
    let mut place = pin!(places.acquire());
    poll_fn(|cx| {
        if connection.host.is_cut() {
            return Poll::Ready(Err(CloseReason::Cut));
        }
        if connection.host.is_stopping() {
            return Poll::Ready(Err(CloseReason::Stopping));
        }
        // It is never closed.
        place.as_mut().poll(cx).map_err(|_| CloseReason::Stopping)
    })
    .await
}

async fn shake_hands(connection: &Connection, acceptor: &Acceptor) -> Result<TlsInfo, NoHandshake> {
    let setup = (acceptor.setup)();
    let by_name = setup.has_rules_by_name();
    let mut wait = HandshakeWait::new(connection, acceptor.timeout);
    let mut hello = by_name.then(|| HelloReader::new(acceptor.bytes_max));
    poll_fn(|cx| {
        let is_enough = |bytes: &[u8]| hello.as_mut().is_none_or(|hello| hello.read(bytes));
        connection.poll_hello(cx, &mut wait, is_enough)
    })
    .await?;
    let server_name = hello.as_ref().and_then(HelloReader::server_name);
    let config = Arc::clone(setup.config_for(server_name));
    drop(hello);
    connection.start_tls(Handshake::server(Arc::clone(&config), acceptor.bytes_max)?);
    let established = poll_fn(|cx| connection.poll_handshake(cx, &mut wait)).await?;
    // Whoever asked in the end for another name than the one that was read has shaken hands under another's rules.
    if !Arc::ptr_eq(setup.config_for(established.server_name.as_deref()), &config) {
        return Err(NoHandshake::Failed(HandshakeError::NameChanged));
    }
    Ok(TlsInfo::new(established, by_name.then_some(setup)))
}

/// Ends TLS on a connection that is not served any more: our `close_notify` leaves, if it has not. Says why the
/// connection ended, if the end of TLS tells more than HTTP could see.
pub(super) async fn end(connection: &Connection, reason: CloseReason) -> CloseReason {
    if reason == CloseReason::Upgraded {
        // Whoever took the connection ends it.
        return reason;
    }
    if connection.tls_has_failed() {
        // What we said about it is not to be lost.
        exchange::linger(connection).await;
        return CloseReason::TlsFailed;
    }
    // RFC 8446 §6.1: behind it, a body that ends with the connection would pass for whole.
    if !may_be_cut_short(connection, reason) {
        exchange::say_goodbye(connection).await;
    }
    match reason {
        CloseReason::PeerClosedEarly if connection.was_cut_off() => CloseReason::TlsTruncated,
        CloseReason::PeerClosed if connection.was_cut_off() => {
            count(&connection.host.stats.tls_unclean_ends);
            reason
        }
        _ => reason,
    }
}

/// Whether the last answer may lack its end. Where it does not, it was sent with the end of our side behind it already.
fn may_be_cut_short(connection: &Connection, reason: CloseReason) -> bool {
    match reason {
        CloseReason::ResponseFailed
        | CloseReason::HandlerPanicked
        | CloseReason::WriteStalled
        | CloseReason::Cut => true,
        // A stream ends with its client, where the request asks for that.
        CloseReason::PeerClosedEarly => connection.has_begun_answer() && !connection.tls_is_ending(),
        _ => false,
    }
}
