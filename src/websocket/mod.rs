//! WebSockets (RFC 6455), with compression (RFC 7692), heartbeats, and rooms across all cores.
//!
//! ```
//! use ringhttp::{Request, Result, WebSocketConfig, websocket::Closed};
//!
//! async fn echo(_: &(), req: Request) -> Result<Closed> {
//!     let mut socket = req.websocket(WebSocketConfig::default()).await?;
//!     while let Some(message) = socket.receive().await? {
//!         socket.send(message).await?;
//!     }
//!     Ok(socket.close().await?)
//! }
//! # let _ = ringhttp::Router::new().get("/ws", echo);
//! ```
//!
//! The handler is the session. Pings are answered, queued messages leave, heartbeats and deadlines hold wherever it is waiting,
//! and no future of a socket loses anything when it is dropped. See the guide's page on WebSockets (`ringhttp::guide::websocket`).

mod closed;
mod hub;
mod sender;
mod server;
mod socket;

pub use closed::Closed;
pub use hub::{Hub, HubConfig, HubEvent, Member, Membership, OnEvent};
pub use sender::Sender;
pub use socket::WebSocket;

pub use crate::conn::websocket::{
    AllowedOrigins, Compression, CompressionConfig, Durations, Encoded, Message, SlowReader, WebSocketConfig,
    WebSocketError, WebSocketStats,
};
pub use crate::proto::websocket::{
    Accepts, AnswerFault, CloseCode, CloseFrame, Fault, NotUtf8, Piece, Utf8Bytes,
};
