//! Ready-made middleware: what [`Router::with`](crate::Router::with) takes. One file each.
//!
//! Each is a function that gives a middleware, over any state; those with much to say take a structure of settings. They
//! work on a whole router and on a nested one. The first one added to a router is the outermost: see the guide's page
//! on [middleware](crate::guide::middleware) for the order that makes sense.

mod body_limit;
mod catch_panic;
mod cors;
mod default_headers;
mod error_pages;
mod health;
#[cfg(feature = "json")]
mod problem_json;
mod rate_limit;
mod request_id;
mod security_headers;
mod sensitive;
mod timing;

pub use body_limit::body_limit;
pub use catch_panic::{Panic, catch_panic};
pub use cors::{CorsConfig, CorsHeaders, Origins, cors};
pub use default_headers::default_headers;
pub use error_pages::{Failure, error_pages};
pub use health::Health;
#[cfg(feature = "json")]
pub use problem_json::problem_json;
pub use rate_limit::{RateLimit, rate_limit, rate_limit_by};
pub use request_id::{RequestIdConfig, request_id};
pub use security_headers::{SecurityHeaders, security_headers};
pub use sensitive::sensitive_headers;
pub use timing::{Timing, server_timing, timing};
