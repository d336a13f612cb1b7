//! A WebSocket after its handshake, both roles: a session on what was a connection.
//!
//! One task drives it: on a server the connection's own, which runs the handler too; on a client one of its own. That task
//! alone polls the transport, so Pings are answered, queued messages leave and deadlines hold wherever the application is
//! waiting. If it is the driving task that receives, it reads the message right off the wire; everybody else finds messages in
//! the inbox, which is read ahead up to a limit. A future that is dropped has nothing: there is nothing to lose.
//!
//! [`Session`] holds the state; `inbound.rs` and `outbound.rs` are the two directions (`writing.rs` makes the frames), `closing.rs` the ways to end,
//! `clock.rs` the deadlines.

mod accept;
mod clock;
mod closing;
mod codec;
mod config;
mod encoded;
mod error;
mod inbound;
mod message;
mod opening;
mod outbound;
mod queue;
mod session;
mod stats;
mod writing;

pub use config::{AllowedOrigins, CompressionConfig, SlowReader, WebSocketConfig};
pub use encoded::Encoded;
pub use error::WebSocketError;
pub use message::{Compression, Message};
pub use stats::{Durations, WebSocketStats};

pub(crate) use opening::Opening;
pub(crate) use outbound::Outgoing;

#[cfg(test)]
pub(crate) use crate::io::duplex::FarEnd;
#[cfg(test)]
pub(crate) use accept::in_memory;
pub(crate) use session::Session;
