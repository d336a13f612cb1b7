//! The protocols, without I/O: bytes in, events out.
//!
//! Nothing here is asynchronous, opens a socket, reads a clock or shares memory between owners: every function takes
//! the bytes it may look at and says what it made of them. So each rule can be tested with a table, and the same code
//! serves io_uring, epoll, TLS and a test's byte string.
#![forbid(unsafe_code)]

pub mod attachment;
pub mod auth;
pub mod cache_control;
pub mod charset;
pub mod conditional;
#[cfg(feature = "compression")]
pub mod content_coding;
mod content_type;
pub mod cookie;
pub(crate) mod cors;
#[cfg(feature = "rustls")]
pub(crate) mod der;
#[cfg(feature = "digest-auth")]
pub(crate) mod digest_auth;
mod disposition;
mod error;
pub(crate) mod escape;
mod etag;
pub mod form;
pub mod forwarded;
pub mod http1;
pub mod ip_network;
pub mod link;
pub mod multipart;
pub mod negotiation;
#[cfg(feature = "rustls")]
pub(crate) mod ocsp;
mod parameters;
pub mod proxy_header;
pub mod range;
pub(crate) mod socks5;
pub mod sse;
pub mod websocket;
#[cfg(feature = "rustls")]
pub(crate) mod x509;
#[cfg(feature = "rustls")]
pub(crate) mod x509_name;

pub use content_type::ContentType;
pub use disposition::ContentDisposition;
pub use error::{Misuse, PeerError};
pub use etag::{Etag, EtagInvalid};
