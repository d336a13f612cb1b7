//! The error that handlers see and return: a status for the client, a text for the client, a source for the log.
#![forbid(unsafe_code)]

use std::error::Error as StdError;
use std::fmt;
use std::io;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, IntoHeaderName, InvalidHeaderName, InvalidHeaderValue, ToStrError};
use http::{HeaderMap, HeaderValue, StatusCode};
use ringhttp_runtime::sync::Closed;
use ringhttp_runtime::time::Elapsed;
use ringhttp_runtime::{BlockingError, InvokeError, JoinError, RunError};

use crate::conn::websocket::WebSocketError;
use crate::conn::{BodyError, CloseReason};

/// A result whose error is an [`Error`]; by default of a [`Response`](crate::Response), as middleware returns it.
pub type Result<T = crate::Response, E = Error> = std::result::Result<T, E>;

/// What a handler could not do, and what its client is told about it.
///
/// Returned from a handler it becomes an answer with its status and its public text. The source never leaves the
/// process: it is for the log.
///
/// `?` makes one of
///
/// - a [`StatusCode`] and a [`BodyError`]: the status they name;
/// - a field value that is no text (`ToStrError`): 400, because what a handler reads is what its client sent;
/// - what is over or full ([`Elapsed`], a full mailbox or blocking queue): 503;
/// - `io::Error`, `fmt::Error`, `serde_json::Error`, invalid field names and values, failed calls to cores, tasks and
///   blocking threads, and `Box<dyn Error + Send + Sync>`: 500, with the error as source.
///
/// Whose fault any other error is only the handler knows: `.map_err(Error::internal)?`, or
/// `.map_err(|error| Error::bad_request(error.to_string()))?`.
pub struct Error(Box<Inner>);

struct Inner {
    status: StatusCode,
    text: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    close: Option<CloseReason>,
    answer: Option<Answer>,
    misfit: Option<Misfit>,
}

/// Which field of what a client sent does not fit its type, and why: of the errors of [`Request::json`](crate::Request::json),
/// `query` and `form`, by [`Error::misfit`], and among the [extensions](crate::Response::extensions) of the response that such an
/// error becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    pub(crate) path: Option<String>,
    pub(crate) reason: String,
}

impl Misfit {
    /// The field, as `items[2].price`; `None` if it is the whole, or cannot be told.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// What is wrong with it: `invalid value: string "x", expected u32`. Of a longer one than 200 bytes the beginning.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The error that says it; `what` is how the whole is called.
    pub(crate) fn into_error(mut self, what: &str, status: StatusCode) -> Error {
        shorten(&mut self.reason);
        let Self { path, reason } = &self;
        let text = match path {
            Some(path) => format!("{what}: `{path}`: {reason}"),
            None => format!("{what}: {reason}"),
        };
        let mut error = Error::new(status).with_text(text);
        error.0.misfit = Some(self);
        error
    }
}

/// Cuts what quotes a peer to 200 bytes and a sign that there was more: beyond, the peer would only read back what it sent,
/// and quoted it is up to six times as long.
pub(crate) fn shorten(text: &mut String) {
    if text.len() > QUOTED_BYTES_MAX {
        let end = (0..=QUOTED_BYTES_MAX).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
        text.shrink_to_fit();
    }
}

const QUOTED_BYTES_MAX: usize = 200;

/// What the answer of an error has beside its status and text.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) reason: Option<Box<str>>,
    /// In place of the text.
    pub(crate) body: Option<Bytes>,
    /// The body is the error's text.
    pub(crate) body_is_text: bool,
}

impl Error {
    /// An error that is answered with `status` and the status's own reason as text.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self(Box::new(Inner { status, text: None, source: None, close: None, answer: None, misfit: None }))
    }

    /// 400, with a text that the client sees.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST).with_text(text)
    }

    /// 404, with a text that the client sees.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND).with_text(text)
    }

    /// 500, with a source that only the log sees.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR).with_source(source)
    }

    /// Sets the text that the client sees.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.0.text = Some(text.into());
        self
    }

    /// Sets the cause, for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Sets a field of the answer, replacing those of the same name: `WWW-Authenticate`, `Retry-After`.
    ///
    /// ```
    /// use ringhttp::{Error, HeaderValue, Response, StatusCode, header};
    ///
    /// let error = Error::new(StatusCode::UNAUTHORIZED)
    ///     .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    /// assert_eq!(Response::from(error).headers()[header::WWW_AUTHENTICATE], "Bearer");
    /// ```
    ///
    /// # Panics
    /// If a name given as text is no lower-case field name.
    #[must_use]
    pub fn with_header(mut self, name: impl IntoHeaderName, value: HeaderValue) -> Self {
        self.answer_mut().headers.insert(name, value);
        self
    }

    /// Sets the body of the answer, in place of the text, with its type.
    #[must_use]
    pub fn with_body(mut self, content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        let answer = self.answer_mut();
        answer.headers.insert(CONTENT_TYPE, content_type);
        answer.body = Some(body.into());
        answer.body_is_text = false;
        self
    }

    /// The field that does not fit, if that is what is wrong.
    ///
    /// ```
    /// #[derive(serde::Deserialize)]
    /// struct Order { count: u32 }
    ///
    /// async fn order(_: &(), mut req: ringhttp::Request) -> ringhttp::Result<String> {
    ///     let order: Order = req.json().await.map_err(|error| match error.misfit() {
    ///         Some(misfit) => ringhttp::Error::bad_request(format!("{:?}: {}", misfit.path(), misfit.reason())),
    ///         None => error,
    ///     })?;
    ///     Ok(order.count.to_string())
    /// }
    /// # ringhttp::Router::new().post("/", order);
    /// ```
    #[must_use]
    pub fn misfit(&self) -> Option<&Misfit> {
        self.0.misfit.as_ref()
    }

    pub(crate) fn take_misfit(&mut self) -> Option<Misfit> {
        self.0.misfit.take()
    }

    fn answer_mut(&mut self) -> &mut Answer {
        self.0.answer.get_or_insert_with(|| Answer { body_is_text: true, ..Answer::default() })
    }

    pub(crate) fn take_answer(&mut self) -> Answer {
        self.0.answer.take().unwrap_or_else(|| Answer { body_is_text: true, ..Answer::default() })
    }

    pub(crate) fn take_source(&mut self) -> Option<Box<dyn StdError + Send + Sync>> {
        self.0.source.take()
    }

    pub(crate) fn with_answer(status: StatusCode, answer: Answer, close: Option<CloseReason>) -> Self {
        Self(Box::new(Inner { status, text: None, source: None, close, answer: Some(answer), misfit: None }))
    }

    /// Ends the connection after the answer, for `reason`.
    pub(crate) fn with_close(mut self, reason: CloseReason) -> Self {
        self.0.close = Some(reason);
        self
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The text of the answer.
    #[must_use]
    pub fn text(&self) -> &str {
        let reason = self.0.status.canonical_reason().unwrap_or("error");
        self.0.text.as_deref().unwrap_or(reason)
    }

    /// Why the connection ends after the answer, if it does.
    pub(crate) fn closes(&self) -> Option<CloseReason> {
        self.0.close
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.status.as_u16(), self.text())
    }
}

/// With all causes. An error that says nothing but its cause, as those of start-up do, is shown by the cause alone: this is
/// what a `main` prints that returns it.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cause = self.source();
        match cause {
            Some(error) if self.0.text.is_none() && self.0.status == StatusCode::INTERNAL_SERVER_ERROR => {
                write!(f, "{error}")?;
                cause = error.source();
            }
            _ => write!(f, "{self}")?,
        }
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<StatusCode> for Error {
    fn from(status: StatusCode) -> Self {
        Self::new(status)
    }
}

impl From<Box<dyn StdError + Send + Sync>> for Error {
    fn from(source: Box<dyn StdError + Send + Sync>) -> Self {
        Self::internal(source)
    }
}

impl From<BlockingError> for Error {
    fn from(error: BlockingError) -> Self {
        match error {
            BlockingError::QueueFull => Self::new(StatusCode::SERVICE_UNAVAILABLE).with_source(error),
            _ => Self::internal(error),
        }
    }
}

impl From<InvokeError> for Error {
    fn from(error: InvokeError) -> Self {
        match error {
            InvokeError::Full => Self::new(StatusCode::SERVICE_UNAVAILABLE).with_source(error),
            _ => Self::internal(error),
        }
    }
}

impl From<Elapsed> for Error {
    fn from(error: Elapsed) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE).with_source(error)
    }
}

impl From<ToStrError> for Error {
    fn from(_: ToStrError) -> Self {
        // Without a source: a client's mistake is nothing for the log.
        Self::bad_request("a header field is not plain text")
    }
}

/// Errors that are the server's own: answered with 500.
macro_rules! internal {
    ($($(#[$attribute:meta])* $error:ty,)*) => {$(
        $(#[$attribute])*
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::internal(error)
            }
        }
    )*};
}

internal! {
    fmt::Error,
    io::Error,
    InvalidHeaderName,
    InvalidHeaderValue,
    JoinError,
    RunError,
    Closed,
    #[cfg(feature = "json")]
    serde_json::Error,
}

impl From<WebSocketError> for Error {
    fn from(error: WebSocketError) -> Self {
        // Sent to nobody, since the connection is none of HTTP any more. Without a source, unless it is our own mistake: what
        // peers do is nothing for the log.
        match error {
            WebSocketError::Misuse(_) => Self::internal(error),
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR).with_text(error.to_string()),
        }
    }
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        // After a body that could not be read, nobody knows where the next message begins.
        Self::new(error.status()).with_text(error.to_string()).with_close(error.close_reason())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn errors_of_others_become_the_status_of_who_is_at_fault() {
        let no_text = HeaderValue::from_bytes(b"\xe9").expect("obs-text is allowed");
        let no_value = HeaderValue::from_str("a\nb").expect_err("it has a line break");
        let cases: [(Error, u16); 8] = [
            (StatusCode::CONFLICT.into(), 409),
            (BodyError::TooLarge.into(), 413),
            (no_text.to_str().expect_err("it is not ASCII").into(), 400),
            (Elapsed.into(), 503),
            (InvokeError::Full.into(), 503),
            (InvokeError::Panicked.into(), 500),
            (BlockingError::QueueFull.into(), 503),
            (no_value.into(), 500),
        ];
        for (error, status) in cases {
            assert_eq!(error.status(), status, "{error:?}");
        }
    }

    #[test]
    fn the_source_is_for_the_log_only() {
        let error = Error::from(io::Error::other("disk on fire"));
        assert_eq!(error.text(), "Internal Server Error");
        assert_eq!(error.to_string(), "500: Internal Server Error");
        assert_eq!(format!("{error:?}"), "disk on fire");
        let error = Error::bad_request("no such disk").with_source(io::Error::other("on fire"));
        assert_eq!(format!("{error:?}"), "400: no such disk: on fire");
    }
}
