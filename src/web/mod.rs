//! The application layer: routes, middleware, what handlers read and what they return. All of it is optional: a
//! [`Server`](crate::Server) serves any [`Service`](crate::Service).

mod handler;
mod into_response;

pub use handler::Next;
#[cfg(feature = "json")]
pub use into_response::Json;
pub use into_response::{Html, IntoResponse, Redirect};
