//! A tunnel through a proxy: CONNECT, and what comes of it (RFC 9110 §9.3.6).
#![forbid(unsafe_code)]

use std::future::poll_fn;

use http::Method;

use super::error::{Error, ErrorKind};
use super::location::Location;
use super::proxy::Via;
use crate::conn::Body;
use crate::conn::client::{ClientConnection, ExchangeLimits, Failure, Outgoing};
use crate::proto::http1::{ImpliedRequest, Limits, ResponseHead};

/// Asks the proxy at the other end of a connection for a tunnel to where a URL leads, and gives the connection through it; `None` if the
/// proxy asks to be signed in at, which another try does: `met` counts those. The caller sets the time.
///
/// # Cancellation
/// The connection is closed.
pub(super) async fn open(
    mut connection: ClientConnection,
    via: &Via,
    location: &Location,
    limits: Limits,
    met: &mut u32,
) -> Result<Option<ClientConnection>, Error> {
    let target = target(location);
    let fields = via.fields_for(&Method::CONNECT, &target, Some(&[]))?;
    let request = Outgoing {
        method: &Method::CONNECT,
        target: &target,
        headers: &fields,
        implied: ImpliedRequest { host: Some(&target), ..ImpliedRequest::default() },
        closes: false,
        continue_wait: None,
        body: Body::empty(),
    };
    let failed = |failure: Failure| Error::new(ErrorKind::Proxy).with_source(failure);
    connection.begin(request, ExchangeLimits::default()).map_err(failed)?;
    let mut head = ResponseHead::default();
    poll_fn(|cx| connection.poll_head(cx, &mut head)).await.map_err(failed)?;
    if via.can_sign_in(met, head.status, &head.headers, true) {
        // The proxy's answer may have any body: a new connection costs less than to read it.
        return Ok(None);
    }
    if !head.status.is_success() {
        return Err(Error::new(ErrorKind::Proxy).with_status(head.status));
    }
    via.note_next_nonce(&head.headers);
    let tunneled = connection.into_tunneled(limits);
    tunneled.map(Some).ok_or_else(|| Error::new(ErrorKind::Proxy).with_text("the tunnel is not silent"))
}

/// The target of a CONNECT: host and port, the latter always (RFC 9112 §3.2.3).
pub(super) fn target(location: &Location) -> String {
    format!("{}:{}", location.host(), location.port())
}
