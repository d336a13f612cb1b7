//! The application layer: routes, middleware, what handlers read and what they return. All of it is optional: a
//! [`Server`](crate::Server) serves any [`Service`](crate::Service).

mod accept;
mod app;
mod attachment;
mod build;
mod caches;
#[cfg(feature = "compression")]
mod coders;
mod compose;
mod conditional;
mod cookies;
mod files;
mod handler;
mod hosts;
mod into_response;
#[cfg(feature = "json")]
pub mod json_lines;
mod limit;
pub mod middleware;
mod multipart;
mod names;
mod parts;
mod pattern;
#[cfg(feature = "json")]
mod problem;
mod ranges;
mod read;
mod redirect;
mod refusal;
mod route_config;
mod route_info;
mod router;
mod serve;
#[cfg(feature = "sessions")]
pub mod session;
mod slashes;
mod slot;
mod spool;
pub mod sse;
mod table;

pub use app::App;
pub use files::{FileRule, Files, FilesConfig};
pub use handler::Next;
#[cfg(feature = "json")]
pub use into_response::Json;
pub use into_response::{Html, IntoResponse};
pub use multipart::{Multipart, MultipartConfig, Part};
#[cfg(feature = "json")]
pub use problem::Problem;
pub use read::{Content, FormConfig};
pub use redirect::Redirect;
pub use route_config::RouteConfig;
pub use route_info::RouteInfo;
pub use router::Router;
pub use spool::Spooled;
