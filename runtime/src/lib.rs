//! One core = one thread = one ring: the runtime under `ringhttp`. It knows nothing of HTTP.

pub mod buffer;
pub mod stream;
pub mod time;
