//! Ready-made middleware: what [`Router::with`](crate::Router::with) takes. One file each.

mod auth;
mod csrf;
#[cfg(feature = "jwt")]
mod jwt;
#[cfg(feature = "sessions")]
mod session;

pub use auth::{basic_auth, bearer_auth, same_secret};
pub use csrf::{CsrfConfig, csrf};
#[cfg(feature = "jwt")]
pub use jwt::{JwtConfig, JwtKey, jwt_auth};
#[cfg(feature = "sessions")]
pub use session::{cookie_sessions, stored_sessions};
