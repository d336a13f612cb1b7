//! A response: status, fields, body.
#![forbid(unsafe_code)]

mod fields;

use std::error::Error as StdError;
use std::future::Future;
use std::mem;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, IntoHeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::after::After;
use super::body::{Body, Kind};
use super::close_reason::CloseReason;
use super::extensions::Extensions;
use super::sender::BodySender;
use super::spare;
use crate::error::{Answer, Error, Result};
use crate::proto::http1::ContentTypeLine;
use fields::Fields;

/// A response.
///
/// `Content-Length` or `Transfer-Encoding`, `Date`, `Server` and `Connection` are added when it is sent. A
/// `Connection: close` among its fields ends the connection after it.
///
/// ```
/// use ringhttp::{Response, StatusCode};
///
/// let response = Response::text("made\n").with_status(StatusCode::CREATED);
/// assert_eq!(response.status(), StatusCode::CREATED);
/// ```
#[derive(Debug)]
pub struct Response(pub(super) Box<Parts>);

// Checked when they are compiled, not for each response.
static TEXT_PLAIN: ContentTypeLine = ContentTypeLine::new("content-type: text/plain; charset=utf-8\r\n");
static OCTET_STREAM: ContentTypeLine = ContentTypeLine::new("content-type: application/octet-stream\r\n");

/// Fields that a response may have had room for and its map still be kept.
const FIELDS_KEPT_MAX: usize = 64;

/// What a response consists of.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) status: StatusCode,
    pub(super) reason: Option<Box<str>>,
    pub(super) fields: Fields,
    pub(super) body: Body,
    /// Why the connection ends after it, whatever its fields say.
    pub(super) close: Option<CloseReason>,
    pub(super) extensions: Extensions,
    /// What is to be done when it has been sent.
    pub(super) after: After,
    /// Its body is the text of an [`Error`].
    is_plain_error: bool,
    /// The source of the error that became it: logged when it is sent.
    pub(super) error_source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Parts {
    /// Makes it as good as new, but for its memory.
    pub(super) fn reset(&mut self) {
        self.status = StatusCode::OK;
        self.reason = None;
        self.fields.reset(FIELDS_KEPT_MAX);
        self.body = Body::empty();
        self.close = None;
        self.extensions.clear();
        self.after = After::default();
        self.is_plain_error = false;
        self.error_source = None;
    }
}

impl Response {
    /// A response of status 200 with no fields.
    pub fn new(body: impl Into<Body>) -> Self {
        let mut parts = spare::take_response();
        parts.body = body.into();
        Self(parts)
    }

    /// A response of nothing but a status.
    #[must_use]
    pub fn empty(status: StatusCode) -> Self {
        Self::new(()).with_status(status)
    }

    /// Text, as `text/plain; charset=utf-8`.
    pub fn text(text: impl Into<Body>) -> Self {
        Self::new(text).with_content_type(&TEXT_PLAIN)
    }

    /// Bytes, as `application/octet-stream`.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::new(bytes.into()).with_content_type(&OCTET_STREAM)
    }

    /// A body that `write` produces while it is sent: see [`Body::stream`].
    pub fn stream(write: impl AsyncFnOnce(BodySender) -> Result<()> + 'static) -> Self {
        Self::new(Body::stream(write))
    }

    /// Sets the status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// Sets the reason phrase behind the status (RFC 9112 §4), in place of the usual one.
    ///
    /// # Errors
    /// If it contains a control character.
    pub fn with_reason(mut self, reason: impl Into<Box<str>>) -> Result<Self> {
        let reason = reason.into();
        if reason.chars().any(|character| character.is_ascii_control() && character != '\t') {
            return Err(Error::internal("a reason phrase must not contain control characters"));
        }
        self.0.reason = Some(reason);
        Ok(self)
    }

    /// Sets a field, replacing those of the same name. The name is one of [`header`](crate::header), or a text known when
    /// the program is compiled, in lower case.
    ///
    /// ```
    /// use ringhttp::{HeaderValue, Response, header};
    ///
    /// let response = Response::text("<p>hello</p>")
    ///     .with_header(header::CONTENT_TYPE, HeaderValue::from_static("text/html"))
    ///     .with_header("x-served-by", HeaderValue::from_static("core 0"));
    /// assert_eq!(response.headers().len(), 2);
    /// ```
    ///
    /// # Panics
    /// If a name given as text is no lower-case field name.
    #[must_use]
    pub fn with_header(mut self, name: impl IntoHeaderName, value: HeaderValue) -> Self {
        self.headers_mut().insert(name, value);
        self
    }

    /// Sets the `Content-Type` to one of the few that are known when the program is compiled.
    pub(crate) fn with_content_type(mut self, value: &'static ContentTypeLine) -> Self {
        self.0.fields.set_content_type(value);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.0.is_plain_error = false;
        self.0.body = body.into();
        self
    }

    /// Adds work that begins when the answer has been sent: when its last byte is with the kernel, or its connection has
    /// failed. Each piece is a task of the core (`after answer`) that the connection does not wait for and the stop of the
    /// server does, as long as `RuntimeConfig::shutdown_timeout` allows. It is not begun if this response is never sent,
    /// because a middleware answers something else, say.
    ///
    /// No more than `ServerConfig::after_answer_max` pieces go on at a time: then the answer waits, or the
    /// connection behind it.
    ///
    /// ```
    /// use ringhttp::{Request, Response};
    ///
    /// async fn order(_: &(), _: Request) -> Response {
    ///     Response::text("ordered\n").after(async { /* write the mail */ })
    /// }
    /// # ringhttp::Router::new().post("/", order);
    /// ```
    #[must_use]
    pub fn after(mut self, work: impl Future<Output = ()> + 'static) -> Self {
        self.0.after.add(work);
        self
    }

    /// The public text of an [`Error`] that became this response with nothing else in its body: what a middleware needs that
    /// shows errors in another form.
    #[must_use]
    pub fn error_text(&self) -> Option<&str> {
        let text = self.0.body.as_bytes().filter(|_| self.0.is_plain_error)?;
        str::from_utf8(text).ok().map(str::trim_ascii_end)
    }

    /// The source of an [`Error`] that became this response: what only the log sees, and what a middleware needs that reports
    /// failures elsewhere. It stays when the status, the fields or the body are changed.
    ///
    /// It is logged when the response is sent, with the request that it belongs to. A middleware that answers something else
    /// in its place has to log it itself.
    ///
    /// ```
    /// use ringhttp::{Next, Request, Response, Router};
    ///
    /// async fn report(_: &(), req: Request, next: Next<'_, ()>) -> Response {
    ///     let (method, route) = (req.method().clone(), req.route().to_owned());
    ///     let response = next.run(req).await;
    ///     if let Some(source) = response.error_source() {
    ///         println!("{method} {route}: {source}"); // or to Sentry
    ///     }
    ///     response
    /// }
    /// # assert!(Router::new().with(report).into_service(()).is_ok());
    /// ```
    #[must_use]
    pub fn error_source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.error_source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The status, to be changed.
    pub fn status_mut(&mut self) -> &mut StatusCode {
        &mut self.0.status
    }

    /// The fields.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.0.fields.map()
    }

    /// The fields, to be changed.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        self.0.fields.map_mut()
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.0.body
    }

    /// What handlers and middleware have put beside the response; none of it is sent.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.0.extensions
    }

    /// What handlers and middleware have put beside the response, to be changed.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.0.extensions
    }

    /// Takes the body out, leaving an empty one.
    pub fn take_body(&mut self) -> Body {
        self.0.is_plain_error = false;
        mem::take(&mut self.0.body)
    }

    /// Takes over what stands beside and behind another answer, in whose place this one is sent: values, work, and why the
    /// connection ends.
    pub(crate) fn take_over(&mut self, other: &mut Self) {
        mem::swap(&mut self.0.extensions, &mut other.0.extensions);
        mem::swap(&mut self.0.after, &mut other.0.after);
        self.0.close = self.0.close.or(other.0.close);
    }

    /// Takes the body, and gives the memory of the rest back once it is sent.
    pub(super) fn into_body_kind(mut self) -> Kind {
        let kind = mem::take(&mut self.0.body.0);
        spare::give_response(self.0);
        kind
    }
}

impl From<Error> for Response {
    /// The error's status, fields and body, or its public text. Its source goes with it, and is logged when it is sent.
    fn from(mut error: Error) -> Self {
        let answer = error.take_answer();
        let mut response = match answer.body {
            Some(body) => Self::new(body),
            None => Self::text(format!("{}\n", error.text())),
        };
        if answer.headers.contains_key(CONTENT_TYPE) {
            response.headers_mut().remove(CONTENT_TYPE);
        }
        for (name, value) in &answer.headers {
            response.headers_mut().append(name, value.clone());
        }
        response.0.is_plain_error = answer.body_is_text;
        response.0.status = error.status();
        response.0.reason = answer.reason;
        response.0.close = error.closes();
        response.0.error_source = error.take_source();
        if let Some(misfit) = error.take_misfit() {
            response.extensions_mut().insert(misfit);
        }
        response
    }
}

impl From<Response> for Error {
    /// An error that is answered with this response: its status, reason, fields, body and source. Values beside it and work behind
    /// it are left out, and a body that is streamed cannot be kept: then the error is a 500.
    ///
    /// ```
    /// use ringhttp::{IntoResponse, Redirect, Request, Result};
    ///
    /// fn user(req: &Request) -> Result<&str> {
    ///     let cookie = req.header("cookie").ok_or_else(|| Redirect::see_other("/login").into_response())?;
    ///     Ok(cookie.to_str()?)
    /// }
    /// # let _ = user;
    /// ```
    fn from(mut response: Response) -> Self {
        let Kind::Bytes(body) = mem::take(&mut response.0.body.0).whole() else {
            return Self::internal("a streamed body cannot be kept in an error");
        };
        let headers = mem::take(response.headers_mut());
        let parts = &mut response.0;
        let answer = Answer {
            headers,
            reason: parts.reason.take(),
            body_is_text: parts.is_plain_error,
            body: Some(body),
        };
        let error = Self::with_answer(parts.status, answer, parts.close);
        match parts.error_source.take() {
            Some(source) => error.with_source(source),
            None => error,
        }
    }
}
