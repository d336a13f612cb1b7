//! What handlers read of a request: parameters, query, body. Missing or unreadable input is an [`Error`](crate::Error) with
//! the status that says so.
#![forbid(unsafe_code)]

mod body;
mod content;
mod fields;
mod form;
#[cfg(feature = "json")]
mod json;
mod params;
pub(super) mod pieces;

pub use content::Content;
pub use form::FormConfig;
#[cfg(feature = "json")]
pub(super) use json::from_json;

#[cfg(test)]
mod tests;
