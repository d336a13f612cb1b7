//! Bodies that are JSON.
#![forbid(unsafe_code)]

use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::conn::Request;
use crate::error::{Error, Result};
use crate::proto::charset::BYTE_ORDER_MARK;
use crate::web::json_path;

impl Request {
    /// The whole body, read from JSON: UTF-8, whatever `charset` says (RFC 8259 §8.1), nested at most 127 levels deep. A byte
    /// order mark is left out.
    ///
    /// # Errors
    /// 415 if `Content-Type` is neither `application/json` nor another `+json`; 400 with line and column if the body is
    /// not JSON, or nested deeper; 422 with the field if it is not a `T`; and as [`bytes`](Self::bytes).
    ///
    /// # Cancellation
    /// As [`bytes`](Self::bytes).
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T> {
        if !self.content_type().is_some_and(|content_type| content_type.is_json()) {
            return Err(
                Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE).with_text("the body must be application/json")
            );
        }
        from_json(&self.bytes().await?)
    }
}

/// Reads a `T` from JSON, and says what is wrong otherwise.
pub(in crate::web) fn from_json<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    // RFC 8259 §8.1: a parser may ignore the mark.
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    serde_json::from_slice(text).map_err(|error| not_readable(&error, text))
}

fn not_readable(error: &serde_json::Error, body: &[u8]) -> Error {
    use serde_json::error::Category;

    match error.classify() {
        Category::Data => {
            let place = json_path::path_at(body, error.line(), error.column());
            let text =
                if place.is_empty() { format!("JSON: {error}") } else { format!("JSON: `{place}`: {error}") };
            Error::new(StatusCode::UNPROCESSABLE_ENTITY).with_text(text)
        }
        Category::Syntax | Category::Eof | Category::Io => Error::bad_request(format!("JSON: {error}")),
    }
}
