//! Ready-made middleware: what [`Router::with`](crate::Router::with) takes. One file each.
//!
//! Each is a function that gives a middleware, over any state; those with much to say take a structure of settings. They
//! work on a whole router and on a nested one. The first one added to a router is the outermost: see the guide's page
//! on [middleware](crate::guide::middleware) for the order that makes sense.

mod answered;
mod auth;
mod body_limit;
mod cache;
mod cancel;
mod catch_panic;
#[cfg(feature = "compression")]
mod compress;
mod concurrency;
mod conditional;
mod cors;
mod csrf;
mod deadline;
#[cfg(feature = "compression")]
mod decompress;
mod default_headers;
mod error_pages;
mod health;
#[cfg(feature = "jwt")]
mod jwt;
#[cfg(feature = "json")]
mod problem_json;
mod ranges;
mod rate_limit;
mod request_id;
mod security_headers;
mod sensitive;
#[cfg(feature = "sessions")]
mod session;
mod timing;

pub use auth::{basic_auth, bearer_auth, same_secret};
pub use body_limit::body_limit;
pub use cache::{ResponseCache, ResponseCacheConfig, cache};
pub use cancel::cancel_on_disconnect;
pub use catch_panic::{Panic, catch_panic};
#[cfg(feature = "compression")]
pub use compress::{CompressConfig, compress, is_compressible};
pub use concurrency::{ConcurrencyConfig, ConcurrencyGate, concurrency};
pub use conditional::{ConditionalConfig, conditional};
pub use cors::{CorsConfig, CorsHeaders, Origins, cors};
pub use csrf::{CsrfConfig, csrf};
pub use deadline::deadline;
#[cfg(feature = "compression")]
pub use decompress::{DecompressConfig, decompress};
pub use default_headers::default_headers;
pub use error_pages::{Failure, error_pages};
pub use health::Health;
#[cfg(feature = "jwt")]
pub use jwt::{JwtConfig, JwtKey, jwt_auth};
#[cfg(feature = "json")]
pub use problem_json::problem_json;
pub use ranges::{RangesConfig, ranges};
pub use rate_limit::{RateLimit, rate_limit, rate_limit_by};
pub use request_id::{RequestIdConfig, request_id};
pub use security_headers::{SecurityHeaders, security_headers};
pub use sensitive::sensitive_headers;
#[cfg(feature = "sessions")]
pub use session::{cookie_sessions, stored_sessions};
pub use timing::{Timing, server_timing, timing};
