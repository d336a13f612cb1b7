//! How to do things with ringhttp: one page a subject, each with code that is compiled by the tests.
//!
//! Begin with [`quickstart`] and [`cores_and_state`]; [`from_axum`] and [`from_aiohttp`] are for those who come from there.
//! What leads to a handler is in [`routing`], what a request brings in [`reading`], what goes back in [`answers`],
//! [`streaming`] and [`files`]. Asking others is in [`client`].
#![forbid(unsafe_code)]

#[doc = include_str!("../docs/guide/quickstart.md")]
pub mod quickstart {}

#[doc = include_str!("../docs/guide/cores_and_state.md")]
pub mod cores_and_state {}

#[doc = include_str!("../docs/guide/routing.md")]
pub mod routing {}

#[doc = include_str!("../docs/guide/reading.md")]
pub mod reading {}

#[doc = include_str!("../docs/guide/answers.md")]
pub mod answers {}

#[doc = include_str!("../docs/guide/streaming.md")]
pub mod streaming {}

#[doc = include_str!("../docs/guide/websocket.md")]
pub mod websocket {}

#[cfg(feature = "compression")]
#[doc = include_str!("../docs/guide/http_semantics.md")]
pub mod http_semantics {}

#[doc = include_str!("../docs/guide/files.md")]
pub mod files {}

#[cfg(all(feature = "jwt", feature = "sessions"))]
#[doc = include_str!("../docs/guide/cookies_and_auth.md")]
pub mod cookies_and_auth {}

#[doc = include_str!("../docs/guide/client.md")]
pub mod client {}

#[doc = include_str!("../docs/guide/middleware.md")]
pub mod middleware {}

#[doc = include_str!("../docs/guide/behind_a_proxy.md")]
pub mod behind_a_proxy {}

#[cfg(feature = "rustls")]
#[doc = include_str!("../docs/guide/tls.md")]
pub mod tls {}

#[doc = include_str!("../docs/guide/cancellation_and_load.md")]
pub mod cancellation_and_load {}

#[doc = include_str!("../docs/guide/lifecycle.md")]
pub mod lifecycle {}

#[doc = include_str!("../docs/guide/deployment.md")]
pub mod deployment {}

#[doc = include_str!("../docs/guide/testing.md")]
pub mod testing {}

#[doc = include_str!("../docs/guide/tuning.md")]
pub mod tuning {}

#[doc = include_str!("../docs/guide/wire_strictness.md")]
pub mod wire_strictness {}

#[doc = include_str!("../docs/guide/from_aiohttp.md")]
pub mod from_aiohttp {}

#[doc = include_str!("../docs/guide/from_axum.md")]
pub mod from_axum {}
