//! Connection drivers: the only place where transport, protocol and application meet.
//!
//! The spine is [`server::serve_connection`]; `connection.rs` holds what it works on, `exchange.rs` its steps.

mod access_log;
mod after;
mod background;
mod body;
pub(crate) mod client;
mod close_reason;
mod config;
mod connection;
mod cut;
mod decoding_turn;
mod disconnect;
mod exchange;
mod extensions;
mod host;
mod interim;
mod origin;
mod proxy;
mod request;
mod response;
mod rewrite;
mod sender;
mod server;
mod shield;
mod spare;
mod stage;
#[cfg(test)]
mod tests;
#[cfg(feature = "rustls")]
mod tls;
#[cfg(not(feature = "rustls"))]
#[path = "no_tls.rs"]
mod tls;
mod upgrade;
mod waker_cell;
pub(crate) mod websocket;

pub use access_log::{AccessLog, AccessRecord};
pub use body::{Body, BodyError, RequestBody};
pub use close_reason::{CloseCounts, CloseReason};
pub use config::{ProxyProtocol, ServerConfig};
pub use disconnect::CancelOnDisconnect;
pub use extensions::Extensions;
pub use host::ServerStats;
pub use request::Request;
pub use response::Response;
pub use sender::BodySender;
pub use server::Service;
pub use shield::Shield;
#[cfg(feature = "rustls")]
pub use tls::{FileOrBytes, PeerCertificate, TlsInfo, TlsVersion, tls_provider};
pub use upgrade::Upgraded;

#[cfg(feature = "rustls")]
pub(crate) use crate::io::tls::HandshakeError;
pub(crate) use access_log::SensitiveHeaders;
pub(crate) use body::Part;
pub(crate) use connection::Connection;
#[cfg(feature = "compression")]
pub(crate) use decoding_turn::DecodingTurn;
pub(crate) use host::{Host, count};
pub(crate) use request::{MatchedRoute, Takeover};
pub(crate) use server::serve_connection;
#[cfg(feature = "compression")]
pub(crate) use stage::EncodeStage;
pub(crate) use stage::{DecodeStage, Decoding};
pub(crate) use tls::Acceptor;
#[cfg(feature = "rustls")]
pub(crate) use tls::{TlsSetup, note_server_name, pem, provider};
