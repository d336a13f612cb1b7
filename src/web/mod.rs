//! The application layer: routes, middleware, what handlers read and what they return. All of it is optional: a
//! [`Server`](crate::Server) serves any [`Service`](crate::Service).

mod app;
mod build;
mod compose;
mod handler;
mod hosts;
mod into_response;
#[cfg(feature = "json")]
mod json_path;
mod limit;
pub mod middleware;
mod names;
mod parts;
mod pattern;
mod read;
mod refusal;
mod route_config;
mod route_info;
mod router;
mod serve;
mod slashes;
mod slot;
mod table;

pub use app::App;
pub use handler::Next;
#[cfg(feature = "json")]
pub use into_response::Json;
pub use into_response::{Html, IntoResponse, Redirect};
pub use route_config::RouteConfig;
pub use route_info::RouteInfo;
pub use router::Router;
