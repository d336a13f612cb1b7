//! The client's side of the opening handshake: what it asks for, and what a server's answer agrees to.
#![forbid(unsafe_code)]

use std::rc::Rc;

use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use ringhttp_runtime::time::Timers;

use super::codec::has_memory_for_takeover;
use super::config::WebSocketConfig;
use super::session::{Agreed, Session};
use super::stats::WebSocketStats;
use crate::conn::upgrade::Upgraded;
use crate::proto::websocket::{
    AnswerFault, Offer, Role, check_answer, is_protocol_name, key_of, opening_fields,
};

/// A handshake that a client has begun, or is about to.
pub(crate) struct Opening {
    config: Rc<WebSocketConfig>,
    key: HeaderValue,
    offer: Option<Offer>,
}

impl Opening {
    /// # Errors
    /// What in `config` cannot work: the text names the field.
    pub(crate) fn new(config: WebSocketConfig) -> Result<Self, String> {
        let config = config.shared()?;
        if let Some(name) = config.protocols.iter().find(|name| !is_protocol_name(name)) {
            let name = name.escape_debug();
            return Err(format!("WebSocketConfig::protocols: `{name}` is not the name of a protocol"));
        }
        let offer = match &config.compression {
            Some(own) if cfg!(feature = "compression") => Some(own.offer(has_memory_for_takeover(own))),
            _ => None,
        };
        let key = key_of(ringhttp_runtime::random::bytes());
        Ok(Self { config, key, offer })
    }

    /// Makes a GET ask for a WebSocket.
    pub(crate) fn ask(&self, fields: &mut HeaderMap) {
        for name in OWN_FIELDS {
            fields.remove(name);
        }
        fields.extend(opening_fields(&self.key, &self.config.protocols, self.offer.as_ref()));
    }

    /// What the answer agrees to (RFC 6455 §4.1).
    ///
    /// # Errors
    /// If it opens no WebSocket.
    pub(crate) fn check(&self, status: StatusCode, fields: &HeaderMap) -> Result<Agreed, AnswerFault> {
        let (protocol, deflate) =
            check_answer(status, fields, &self.key, &self.config.protocols, self.offer.as_ref())?;
        Ok(Agreed { protocol, deflate })
    }

    /// The session on a connection that has switched. Somebody has to drive it.
    pub(crate) fn session(
        self,
        upgraded: Upgraded,
        agreed: Agreed,
        timers: &Timers,
        stats: Rc<WebSocketStats>,
    ) -> Option<Rc<Session>> {
        let wire = upgraded.into_wire()?;
        Some(Session::new(wire, Role::Client, self.config, agreed, timers, stats))
    }
}

/// What is the handshake's own business, of either side.
pub(super) const OWN_FIELDS: [http::HeaderName; 7] = [
    CONNECTION,
    SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION,
    UPGRADE,
];
