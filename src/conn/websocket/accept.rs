//! The server's side of the opening handshake: a request becomes a session.
#![forbid(unsafe_code)]

use std::rc::Rc;

use http::header::ORIGIN;
use http::{HeaderMap, StatusCode};

use super::codec::has_memory_for_takeover;
use super::config::{AllowedOrigins, WebSocketConfig};
use super::opening::OWN_FIELDS;
use super::session::{Agreed, Session};
use crate::conn::request::Request;
use crate::conn::upgrade;
use crate::error::{Error, Result};
use crate::proto::cors::is_of_host;
use crate::proto::websocket::{Refusal, Role, accept_offer, accepted_fields, check_request, choose_protocol};

impl Session {
    /// Answers a request with 101, with `more` fields beside those of the handshake, and makes a session of its connection.
    pub(crate) fn accept(request: Request, config: WebSocketConfig, more: &HeaderMap) -> Result<Rc<Self>> {
        let config = config.shared().map_err(Error::internal)?;
        check_request(request.method(), request.version(), request.headers()).map_err(refused)?;
        if !is_allowed(&request, &config.origins) {
            let error = Error::new(StatusCode::FORBIDDEN);
            return Err(error.with_text("pages of this origin may not open a WebSocket here"));
        }
        let headers = request.headers();
        let deflate = match &config.compression {
            Some(own) if cfg!(feature = "compression") => {
                accept_offer(headers, &own.offer(has_memory_for_takeover(own)))
            }
            _ => None,
        };
        let protocol = choose_protocol(headers, &config.protocols).map(str::to_owned);
        let mut fields = more.clone();
        for name in OWN_FIELDS {
            fields.remove(name);
        }
        fields.extend(accepted_fields(headers, protocol.as_deref(), deflate.as_ref()));
        let connection = Rc::clone(request.connection());
        let upgraded = request.upgrade("websocket", &fields)?;
        let wire = upgraded.into_wire().ok_or_else(|| Error::internal("the server was cut"))?;
        let host = &connection.host;
        let stats = Rc::clone(&host.stats.websockets);
        let session =
            Self::new(wire, Role::Server, config, Agreed { protocol, deflate }, &host.timers, stats);
        connection.hand_over(upgrade::Session::WebSocket(Rc::clone(&session)));
        Ok(session)
    }
}

fn refused(refusal: Refusal) -> Error {
    let error = Error::new(refusal.status()).with_text(refusal.to_string());
    refusal.fields().into_iter().fold(error, |error, (name, value)| error.with_header(name, value))
}

/// Whether a page of the request's origin may open a socket, or it was no page.
fn is_allowed(request: &Request, allowed: &AllowedOrigins) -> bool {
    let Some(origin) = request.header(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return *allowed == AllowedOrigins::Any };
    let is_same_host =
        || request.host().is_some_and(|host| is_of_host(origin, &host, request.known_scheme()));
    match allowed {
        AllowedOrigins::Any => true,
        AllowedOrigins::SameHost => is_same_host(),
        AllowedOrigins::List(list) => {
            list.iter().any(|one| one.eq_ignore_ascii_case(origin)) || is_same_host()
        }
    }
}

/// A session whose transport is in memory, and its peer's end of it.
#[cfg(test)]
pub(crate) fn in_memory(
    role: Role,
    config: WebSocketConfig,
    timers: &ringhttp_runtime::time::Timers,
) -> (Rc<Session>, super::FarEnd) {
    let (near, far) = crate::io::duplex::Duplex::pair();
    let wire = crate::io::wire::Wire::new(
        crate::io::transport::Transport::Duplex(near),
        &ringhttp_runtime::buffer::BufferPool::new(),
    );
    let config = config.shared().expect("the values can work");
    (Session::new(Box::new(wire), role, config, Agreed::default(), timers, Rc::default()), far)
}
