//! Ready-made middleware: what [`Router::with`](crate::Router::with) takes. One file each.

mod auth;
mod csrf;
mod error_pages;
#[cfg(feature = "jwt")]
mod jwt;
#[cfg(feature = "json")]
mod problem_json;
#[cfg(feature = "sessions")]
mod session;

pub use auth::{basic_auth, bearer_auth, same_secret};
pub use csrf::{CsrfConfig, csrf};
pub use error_pages::{Failure, error_pages};
#[cfg(feature = "jwt")]
pub use jwt::{JwtConfig, JwtKey, jwt_auth};
#[cfg(feature = "json")]
pub use problem_json::problem_json;
#[cfg(feature = "sessions")]
pub use session::{cookie_sessions, stored_sessions};
