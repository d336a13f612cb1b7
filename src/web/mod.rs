//! The application layer: routes, middleware, what handlers read and what they return. All of it is optional: a
//! [`Server`](crate::Server) serves any [`Service`](crate::Service).

mod app;
mod attachment;
mod files;
mod handler;
mod into_response;
#[cfg(feature = "json")]
pub mod json_lines;
#[cfg(feature = "json")]
mod json_path;
pub mod middleware;
#[cfg(feature = "json")]
mod problem;
mod read;
mod redirect;
mod refusal;
mod router;
mod serve;
pub mod sse;

pub use app::App;
pub use files::{FileRule, Files, FilesConfig};
pub use handler::Next;
#[cfg(feature = "json")]
pub use into_response::Json;
pub use into_response::{Html, IntoResponse};
#[cfg(feature = "json")]
pub use problem::Problem;
pub use redirect::Redirect;
pub use router::Router;
