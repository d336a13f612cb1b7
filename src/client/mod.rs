//! A client: requests on one core, over connections that belong to it.
//!
//! ```no_run
//! use ringhttp::{Client, ClientConfig, Result, RuntimeConfig};
//!
//! fn main() -> Result<()> {
//!     ringhttp::run(RuntimeConfig::default(), async |core| {
//!         let client = Client::new(&core, ClientConfig::default())?;
//!         let answer = client.get("http://127.0.0.1:8080/hello").send().await?.error_for_status()?;
//!         println!("{}", answer.text().await?);
//!         client.close().await;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! A request is followed from `send.rs`: its deadline, its cookies, a connection of `pool.rs` or a new one of `connector.rs`, the
//! exchange on it (`conn/client.rs`), redirects.

mod adaptive_limit;
mod address_filter;
mod batch;
mod certificate_fault;
mod circuit;
#[cfg(feature = "compression")]
mod compress;
mod config;
mod connector;
mod cookie_jar;
#[cfg(feature = "compression")]
mod decode;
#[cfg(feature = "digest-auth")]
mod digest_auth;
mod download;
mod error;
mod form_data;
mod location;
pub mod middleware;
mod netrc;
mod outline;
mod pool;
mod proxy;
mod reconnect;
mod redirect;
mod request;
mod resolver;
mod response;
mod retry;
mod send;
mod session;
mod settings;
mod sockets;
mod socks;
mod spare;
mod stats;
#[cfg(feature = "rustls")]
mod tls;
#[cfg(not(feature = "rustls"))]
#[path = "no_tls.rs"]
mod tls;
mod trace;
mod tunnel;
mod websocket;

pub use url::Url;

pub use self::adaptive_limit::{AdaptiveLimit, HostLimit};
pub use self::address_filter::AddressFilter;
pub use self::batch::Batch;
pub use self::certificate_fault::CertificateFault;
pub use self::circuit::{CircuitBreakerConfig, CircuitState};
pub use self::config::ClientConfig;
pub use self::cookie_jar::{CookieJar, CookieRefused, StoredCookie};
#[cfg(feature = "digest-auth")]
pub use self::digest_auth::DigestAuth;
pub use self::download::{Download, Downloaded, Progress};
pub use self::error::{Error, ErrorKind, Result};
pub use self::form_data::{FormData, FormPart};
pub use self::middleware::{Next, Request};
pub use self::netrc::Netrc;
pub use self::proxy::{Proxies, Proxy};
pub use self::reconnect::{ReconnectConfig, ReconnectEvent, ReconnectingWebSocket};
pub use self::redirect::Redirected;
pub use self::request::RequestBuilder;
pub use self::resolver::{LookUp, Resolve};
pub use self::response::Response;
pub use self::retry::{RetryBudget, RetryConfig};
pub use self::session::Client;
pub use self::stats::ClientStats;
#[cfg(feature = "rustls")]
pub use self::tls::{ClientCertificate, ClientTls, ClientTlsConfig, OcspStaple};
pub use self::trace::{RequestId, Timings, Trace};
pub use self::websocket::WebSocketRequest;
pub use crate::conn::client::{CloseCounts, CloseReason};
pub use ringhttp_runtime::connect::ConnectOptions;
pub use ringhttp_runtime::pool::{Priority, ReuseOrder, SharedLimit};
