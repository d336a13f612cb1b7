//! Ready-made middleware: what [`Router::with`](crate::Router::with) takes. One file each.

#[cfg(feature = "compression")]
mod compress;
mod conditional;
#[cfg(feature = "compression")]
mod decompress;
mod ranges;

#[cfg(feature = "compression")]
pub use compress::{CompressConfig, compress, is_compressible};
pub use conditional::{ConditionalConfig, conditional};
#[cfg(feature = "compression")]
pub use decompress::{DecompressConfig, decompress};
pub use ranges::{RangesConfig, ranges};
