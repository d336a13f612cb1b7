//! Ready-made middleware: what [`Router::with`](crate::Router::with) takes. One file each.

mod cache;
mod cancel;
mod concurrency;
mod deadline;

pub use cache::{ResponseCache, ResponseCacheConfig, cache};
pub use cancel::cancel_on_disconnect;
pub use concurrency::{ConcurrencyConfig, ConcurrencyGate, concurrency};
pub use deadline::deadline;
