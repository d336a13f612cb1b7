//! Bodies that are JSON.
#![forbid(unsafe_code)]

use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::conn::Request;
use crate::error::{Error, Misfit, Result, shorten};
use crate::proto::charset::BYTE_ORDER_MARK;

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
    serde_json::from_slice(text).map_err(|error| not_readable::<T>(error, text))
}

fn not_readable<T: DeserializeOwned>(error: serde_json::Error, text: &[u8]) -> Error {
    use serde_json::error::Category;

    match error.classify() {
        Category::Data => {
            // Where the field stands in the text is nothing to whoever filled it in.
            let (mut reason, place) =
                (error.to_string(), format!(" at line {} column {}", error.line(), error.column()));
            // It may quote all of the text, and is made once more for the path.
            drop(error);
            if reason.ends_with(&place) {
                reason.truncate(reason.len() - place.len());
            }
            let path = path_of_refused::<T>(text);
            Misfit { path, reason }.into_error("JSON", StatusCode::UNPROCESSABLE_ENTITY)
        }
        Category::Syntax | Category::Eof | Category::Io => Error::bad_request(format!("JSON: {error}")),
    }
}

/// The path of the value that was refused, as `items[2].price`; `None` for the outermost. Keeping it costs, so the text is
/// read again for it.
fn path_of_refused<T: DeserializeOwned>(text: &[u8]) -> Option<String> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let error = serde_path_to_error::deserialize::<_, T>(&mut reader).err()?;
    error.path().iter().next()?;
    let mut path = error.path().to_string();
    shorten(&mut path);
    Some(path)
}
