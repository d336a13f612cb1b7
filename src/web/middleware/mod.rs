//! Ready-made middleware: what [`Router::with`](crate::Router::with) takes. One file each.

mod auth;
mod cache;
mod cancel;
mod concurrency;
mod csrf;
mod deadline;
mod error_pages;
#[cfg(feature = "jwt")]
mod jwt;
#[cfg(feature = "json")]
mod problem_json;
#[cfg(feature = "sessions")]
mod session;

pub use auth::{basic_auth, bearer_auth, same_secret};
pub use cache::{ResponseCache, ResponseCacheConfig, cache};
pub use cancel::cancel_on_disconnect;
pub use concurrency::{ConcurrencyConfig, ConcurrencyGate, concurrency};
pub use csrf::{CsrfConfig, csrf};
pub use deadline::deadline;
pub use error_pages::{Failure, error_pages};
#[cfg(feature = "jwt")]
pub use jwt::{JwtConfig, JwtKey, jwt_auth};
#[cfg(feature = "json")]
pub use problem_json::problem_json;
#[cfg(feature = "sessions")]
pub use session::{cookie_sessions, stored_sessions};
