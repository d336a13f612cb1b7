//! HTTP/1.1 for Linux, thread-per-core on io_uring.

pub mod proto;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
