//! The web layer over real sockets, on both drivers: one binary, because linking one takes longer than running its tests.
//! `web_files` is another: it counts what its process has open.

mod common;
mod counting;

#[cfg(feature = "json")]
mod answers;
#[cfg(feature = "json")]
mod app;
#[cfg(all(feature = "compression", feature = "sessions"))]
mod attacks;
#[cfg(all(feature = "jwt", feature = "sessions"))]
mod cookies;
mod failures;
#[cfg(feature = "compression")]
mod hostile_heads;
#[cfg(feature = "json")]
mod life;
mod middleware;
mod readers;
mod routing;
#[cfg(feature = "compression")]
mod semantics;
mod sessions_under_limits;
