//! HTTP/1.1 for Linux: a server and a client, thread-per-core on io_uring, with epoll where the kernel forbids it.
//!
//! Each core has its own listening socket, connections, buffers and timers; nothing on a request's way takes a lock or
//! crosses a core. No bound asks for `Send`: handlers borrow their state, and keep what is theirs in `Cell` and `Rc`.
//!
//! ```no_run
//! use ringhttp::{Request, Result, Router, RuntimeConfig, Server, ServerConfig};
//!
//! async fn hello(_: &(), req: Request) -> Result<String> {
//!     let name: String = req.param("name")?;
//!     Ok(format!("Hello, {name}!\n"))
//! }
//!
//! fn main() -> Result<()> {
//!     ringhttp::run(RuntimeConfig::default(), async |core| {
//!         let routes = Router::new().get("/{name}", hello);
//!         Server::bind("127.0.0.1:8080", ServerConfig::default())?.serve(&core, routes, ()).await
//!     })
//! }
//! ```
//!
//! The pages of the [guide](guide/index.html) say how to do things; [`Router`], [`Request`], [`Response`], [`Error`], [`Core`],
//! [`ServerConfig`] and [`Client`] are the types to know.
//!
//! # Features
//! | feature | on by default | what it adds |
//! |---|---|---|
//! | `json` | yes | `Request::json`, `Json`, `json_lines`, `Problem`, JSON in `testing`, and the guide |
//! | `tls` | yes | HTTPS, with ring's cryptography: `Server::bind_tls`, `Certificates`, `Request::tls` |
//! | `tls-aws-lc` | no | the same with aws-lc-rs', which is used if both are on |
//! | `rustls` | no | the same with what the process has installed for rustls |
//! | `compression` | yes | `middleware::compress` and `decompress` with gzip and deflate, compressed WebSocket messages, compressed answers to the client and requests of it |
//! | `brotli`, `zstd` | no | these two codings beside them (each turns `compression` on) |
//! | `sessions` | no | signed and encrypted cookies, `session`, `middleware::cookie_sessions`, `stored_sessions` (turns `json` on) |
//! | `digest-auth` | no | digest authentication of the client |
//! | `checksum` | no | downloads of the client, checked by SHA-256 |
//! | `jwt` | no | `middleware::jwt_auth` (turns `json` on) |
//! | `psl` | no | the Public Suffix List, for the client's cookies |
//! | `regex` | no | `{name:pattern}` in paths |

#[cfg(not(target_os = "linux"))]
compile_error!("ringhttp runs on Linux only: it is built on io_uring and epoll");

pub mod client;
mod conn;
mod error;
#[cfg(feature = "json")]
pub mod guide;
mod io;
pub mod proto;
mod server;
pub mod testing;
mod web;
pub mod websocket;

pub use bytes::Bytes;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
pub use ringhttp_runtime as runtime;
pub use ringhttp_runtime::{Core, Cores, Driver, RuntimeConfig, cache, deadline, run, time};

pub use crate::client::{Client, ClientConfig};
#[cfg(feature = "rustls")]
pub use crate::client::{ClientTls, ClientTlsConfig};
pub use crate::conn::{
    AccessLog, AccessRecord, Body, BodyError, BodySender, CancelOnDisconnect, CloseCounts, CloseReason,
    Extensions, ProxyProtocol, Request, RequestBody, Response, ServerConfig, ServerStats, Service, Shield,
    Upgraded,
};
#[cfg(feature = "rustls")]
pub use crate::conn::{FileOrBytes, PeerCertificate, TlsInfo, TlsVersion, tls_provider};
pub use crate::error::{Error, Misfit, Result};
pub use crate::proto::cookie::{SameSite, SetCookie};
pub use crate::proto::forwarded::ProxyFields;
pub use crate::proto::ip_network::IpNetwork;
pub use crate::server::Server;
#[cfg(feature = "rustls")]
pub use crate::server::{CertificateConfig, Certificates, ClientAuth, ClientRoots, TlsConfig, UnknownName};
#[cfg(feature = "sessions")]
pub use crate::web::session;
pub use crate::web::{
    App, Content, FileRule, Files, FilesConfig, FormConfig, Html, IntoResponse, Multipart, MultipartConfig,
    Next, Part, Redirect, RouteConfig, RouteInfo, Router, Spooled, middleware, sse,
};
#[cfg(feature = "json")]
pub use crate::web::{Json, Problem, json_lines};
pub use crate::websocket::{WebSocket, WebSocketConfig};

/// The examples of README.md, compiled by the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
