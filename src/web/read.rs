//! What handlers read of a request: parameters, query, body. Missing or unreadable input is an [`Error`] with the status
//! that says so.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use bytes::{Bytes, BytesMut};
#[cfg(feature = "json")]
use http::StatusCode;
#[cfg(feature = "json")]
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use crate::conn::Request;
use crate::error::{Error, Result};

impl Request {
    /// A path parameter, decoded and parsed.
    ///
    /// # Errors
    /// 400 with the parameter's name, if its value is not UTF-8 or is no `T`; 500 if the route has no such parameter.
    pub fn param<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T> {
        let value = self.param_str(name)?;
        value.parse().map_err(|error| Error::bad_request(format!("path parameter `{name}`: {error}")))
    }

    /// A path parameter, percent-decoded; borrowed from the path if there was nothing to decode. `+` is a plus.
    ///
    /// # Errors
    /// 400 if the value is not UTF-8; 500 if the route has no such parameter.
    pub fn param_str(&self, name: &str) -> Result<Cow<'_, str>> {
        let value = self.raw_param(name).ok_or_else(|| {
            Error::internal(format!("the route `{}` has no parameter `{name}`", self.route()))
        })?;
        let decoded = percent_decode_str(value).decode_utf8();
        decoded.map_err(|_| Error::bad_request(format!("path parameter `{name}` is not UTF-8")))
    }

    /// The path of the route that the request took, as it was added: `/users/{id}`. Empty in a fallback.
    #[must_use]
    pub fn route(&self) -> &str {
        self.matched().route.as_deref().unwrap_or_default()
    }

    /// The query, read into a type by field names. A field that may come several times is a `Vec`, one that may be
    /// missing an `Option` or has `#[serde(default)]`. Values are percent-decoded, and `+` is a space.
    ///
    /// ```
    /// #[derive(serde::Deserialize)]
    /// struct Search { text: String, #[serde(default)] tag: Vec<String>, page: Option<u32> }
    ///
    /// async fn search(_: &(), req: ringhttp::Request) -> ringhttp::Result<String> {
    ///     let search: Search = req.query()?;
    ///     Ok(format!("{} {:?} {:?}", search.text, search.tag, search.page))
    /// }
    /// ```
    ///
    /// # Errors
    /// 400 if it does not fit.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T> {
        let query = self.query_string().unwrap_or_default();
        serde_html_form::from_str(query).map_err(|error| Error::bad_request(format!("query: {error}")))
    }

    /// The whole body: a view of the read buffer if it came in one piece, else its pieces joined. Memory grows with what
    /// has come, not with what was announced.
    ///
    /// # Errors
    /// 413 if the body is longer than the route allows, 400 or 408 if it breaks the protocol, ends early or stalls.
    ///
    /// # Cancellation
    /// What has been read is lost; another read goes on behind it.
    pub async fn bytes(&mut self) -> Result<Bytes> {
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.chunk().await? else {
            return Ok(first);
        };
        let announced = self.body().length().unwrap_or(0);
        let announced = usize::try_from(announced).unwrap_or(usize::MAX).min(RESERVED_BYTES_MAX);
        let mut whole = BytesMut::with_capacity(announced.max(first.len() + second.len()));
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        // The pieces hold on to the buffers they came in.
        drop((first, second));
        while let Some(piece) = self.chunk().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// The whole body as text.
    ///
    /// # Errors
    /// 400 if it is not UTF-8, and as [`bytes`](Self::bytes).
    ///
    /// # Cancellation
    /// As [`bytes`](Self::bytes).
    pub async fn text(&mut self) -> Result<String> {
        let body = self.bytes().await?;
        String::from_utf8(body.into()).map_err(|_| Error::bad_request("the body is not UTF-8"))
    }

    /// The whole body, read from JSON.
    ///
    /// # Errors
    /// 415 if `Content-Type` is neither `application/json` nor another `+json`; 400 with line and column if the body is
    /// not JSON; 422 with the field if it is not a `T`; and as [`bytes`](Self::bytes).
    ///
    /// # Cancellation
    /// As [`bytes`](Self::bytes).
    #[cfg(feature = "json")]
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T> {
        if !self.header(CONTENT_TYPE).is_some_and(|value| is_json(value.as_bytes())) {
            return Err(
                Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE).with_text("the body must be application/json")
            );
        }
        let body = self.bytes().await?;
        serde_json::from_slice(&body).map_err(|error| not_readable(&error, &body))
    }

    pub(super) fn raw_param(&self, name: &str) -> Option<&str> {
        let matched = self.matched();
        let index = matched.names.as_ref()?.iter().position(|other| other == name)?;
        let &(start, end) = matched.values.get(index)?;
        self.path().get(start as usize..end as usize)
    }
}

/// Memory that an announced length gets before its bytes have come: enough for most bodies to be joined without
/// growing, and little enough to be given to anybody who asks.
const RESERVED_BYTES_MAX: usize = 64 * 1024;

/// Whether a `Content-Type` is JSON: `application/json`, or any type with the suffix `+json` (RFC 6839 §3.1).
#[cfg(feature = "json")]
fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let suffix = essence.len().checked_sub(b"+json".len()).and_then(|at| essence.get(at..));
    essence.eq_ignore_ascii_case(b"application/json")
        || (essence.contains(&b'/') && suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json")))
}

#[cfg(feature = "json")]
fn not_readable(error: &serde_json::Error, body: &[u8]) -> Error {
    use serde_json::error::Category;

    match error.classify() {
        Category::Data => {
            let place = super::json_path::path_at(body, error.line(), error.column());
            let text =
                if place.is_empty() { format!("JSON: {error}") } else { format!("JSON: `{place}`: {error}") };
            Error::new(StatusCode::UNPROCESSABLE_ENTITY).with_text(text)
        }
        Category::Syntax | Category::Eof | Category::Io => Error::bad_request(format!("JSON: {error}")),
    }
}

#[cfg(test)]
mod tests;
