//! Ready-made middleware: what [`Router::with`](crate::Router::with) takes. One file each.

mod error_pages;
#[cfg(feature = "json")]
mod problem_json;

pub use error_pages::{Failure, error_pages};
#[cfg(feature = "json")]
pub use problem_json::problem_json;
