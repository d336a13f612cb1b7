//! JSON lines (NDJSON), out and in: one JSON text per line, none of them kept longer than it is needed.
#![forbid(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::read::Content;
use crate::conn::{BodySender, Request, Response};
use crate::error::{Error, Result, shorten};

/// An answer of JSON lines (`application/x-ndjson`), which `write` sends one by one. As [`Response::stream`].
///
/// ```
/// use ringhttp::{Request, Response, json_lines};
///
/// async fn numbers(_: &(), _: Request) -> Response {
///     json_lines::stream(async |mut lines| {
///         for n in 0..1_000_000 {
///             lines.send(&n).await?; // waits while 64 KiB wait for the kernel
///         }
///         Ok(())
///     })
/// }
/// # ringhttp::Router::new().get("/numbers", numbers);
/// ```
pub fn stream(write: impl AsyncFnOnce(Lines) -> Result<()> + 'static) -> Response {
    Response::stream(async move |out| write(Lines { out }).await)
        .with_header(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))
}

/// Sends values as JSON lines.
#[derive(Debug)]
pub struct Lines {
    out: BodySender,
}

impl Lines {
    /// Queues a value as one line, and waits while more than `ServerConfig::write_buffer_bytes_max` bytes wait for the kernel.
    ///
    /// # Errors
    /// If the client is gone; 500 if the value cannot be serialized.
    ///
    /// # Cancellation
    /// The line is queued by the first poll; dropping the future after that loses nothing.
    pub async fn send(&mut self, value: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.out.write(line).await
    }

    /// Waits until all lines are with the kernel.
    ///
    /// # Errors
    /// If the client is gone.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn flush(&mut self) -> Result<()> {
        self.out.flush().await
    }
}

/// The lines of a request body: see [`Request::json_lines`].
pub struct JsonLines<'req, T> {
    content: Content<'req>,
    /// Lines that were read.
    count: u64,
    item: PhantomData<fn() -> T>,
}

impl Request {
    /// The body, read as JSON lines, one by one while they come. Empty lines are skipped.
    ///
    /// ```
    /// use ringhttp::{Request, Result};
    ///
    /// async fn sum(_: &(), mut req: Request) -> Result<String> {
    ///     let mut sum = 0;
    ///     let mut lines = req.json_lines::<u32>()?;
    ///     while let Some(number) = lines.next().await? {
    ///         sum += u64::from(number);
    ///     }
    ///     Ok(format!("{sum}\n"))
    /// }
    /// # ringhttp::Router::new().post("/sum", sum);
    /// ```
    ///
    /// # Errors
    /// 415 if `Content-Type` is none of the names in use: `application/x-ndjson`, `ndjson`, `jsonl`, `x-jsonl`, `jsonlines`,
    /// `x-jsonlines`, `json-lines`.
    pub fn json_lines<T: DeserializeOwned>(&mut self) -> Result<JsonLines<'_, T>> {
        if !self.content_type().is_some_and(|sent| MEDIA_TYPES.iter().any(|known| sent.is(known))) {
            let error = Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE);
            return Err(error.with_text("the body must be application/x-ndjson"));
        }
        self.body().check_unread()?;
        Ok(JsonLines { content: self.content(), count: 0, item: PhantomData })
    }
}

impl<T: DeserializeOwned> JsonLines<'_, T> {
    /// Sets how many bytes a line may have. Default 64 KiB. Beyond: 413.
    #[must_use]
    pub fn with_line_bytes_max(mut self, bytes: usize) -> Self {
        self.content.set_line_limit(bytes);
        self
    }

    /// The next line's value; `None` at the end of the body. It is no iterator, because it waits.
    ///
    /// # Errors
    /// 400 with line and column if a line is not JSON, 422 if it is not a `T`; 413 if it is too long, or the body is; 400 or 408
    /// if the body breaks the protocol, ends early or stalls. After a 422 the lines behind can be read.
    ///
    /// # Cancellation
    /// Nothing is lost: the next call gives the line.
    pub async fn next(&mut self) -> Result<Option<T>> {
        while let Some(line) = self.content.line().await? {
            self.count += 1;
            if !line.trim_ascii().is_empty() {
                return serde_json::from_slice(&line).map(Some).map_err(|error| self.not_readable(&error));
            }
        }
        Ok(None)
    }

    fn not_readable(&self, error: &serde_json::Error) -> Error {
        let mut what = error.to_string();
        // The error counts lines within the line.
        if let Some(at) = what.rfind(" at line ") {
            what.truncate(at);
        }
        shorten(&mut what);
        let text = format!("JSON: line {} column {}: {what}", self.count, error.column());
        let status = if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
        Error::new(status).with_text(text)
    }
}

impl<T> fmt::Debug for JsonLines<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonLines").field("count", &self.count).finish_non_exhaustive()
    }
}

/// The media types in use; none of them is registered.
const MEDIA_TYPES: [&str; 7] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonl",
    "application/jsonlines",
    "application/x-jsonlines",
    "application/json-lines",
];
