//! Bytes between the protocol and the kernel: where they land, how they leave, and over what.

#[cfg(test)]
pub(crate) mod duplex;
pub(crate) mod read_buffer;
#[cfg(feature = "rustls")]
pub(crate) mod tls;
pub(crate) mod transport;
mod turn;
pub(crate) mod wire;
pub(crate) mod write_queue;
