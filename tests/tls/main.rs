//! TLS over real sockets, on both drivers, with rustls' own client on the other side.

mod client;
mod common;
#[path = "../websocket/frame.rs"]
mod frame;

mod hostile;
mod identity;
mod load;
mod ocsp;
mod reload;
mod talk;
mod through;
mod websocket;
