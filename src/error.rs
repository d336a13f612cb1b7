//! The error that handlers see and return: a status for the client, a text for the client, a source for the log.
#![forbid(unsafe_code)]

use std::error::Error as StdError;
use std::fmt;
use std::io;

use http::StatusCode;

use crate::conn::{BodyError, CloseReason};

/// A result whose error is an [`Error`]; by default of a [`Response`](crate::Response), as middleware returns it.
pub type Result<T = crate::Response, E = Error> = std::result::Result<T, E>;

/// What a handler could not do, and what its client is told about it.
///
/// Returned from a handler it becomes an answer with its status and its public text. The source never leaves the
/// process: it is for the log. `?` turns `io::Error` and most others into a 500 with that source, a
/// [`BodyError`] and a [`StatusCode`] into what they say.
pub struct Error(Box<Inner>);

struct Inner {
    status: StatusCode,
    text: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    close: Option<CloseReason>,
}

impl Error {
    /// An error that is answered with `status` and the status's own reason as text.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self(Box::new(Inner { status, text: None, source: None, close: None }))
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

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut source = self.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
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

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::internal(error)
    }
}

impl From<Box<dyn StdError + Send + Sync>> for Error {
    fn from(source: Box<dyn StdError + Send + Sync>) -> Self {
        Self::internal(source)
    }
}

impl From<ringhttp_runtime::RunError> for Error {
    fn from(error: ringhttp_runtime::RunError) -> Self {
        Self::internal(error)
    }
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        // After a body that could not be read, nobody knows where the next message begins.
        Self::new(error.status()).with_text(error.to_string()).with_close(error.close_reason())
    }
}
