//! Ready-made middleware: what [`Router::with`](crate::Router::with) takes. One file each.

#[cfg(feature = "compression")]
mod compress;
mod conditional;
#[cfg(feature = "compression")]
mod decompress;
mod error_pages;
#[cfg(feature = "json")]
mod problem_json;
mod ranges;

#[cfg(feature = "compression")]
pub use compress::{CompressConfig, compress, is_compressible};
pub use conditional::{ConditionalConfig, conditional};
#[cfg(feature = "compression")]
pub use decompress::{DecompressConfig, decompress};
pub use error_pages::{Failure, error_pages};
#[cfg(feature = "json")]
pub use problem_json::problem_json;
pub use ranges::{RangesConfig, ranges};
