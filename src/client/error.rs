//! What a request could not do: in which phase, for which URL, and why.
#![forbid(unsafe_code)]

use std::error::Error as StdError;
use std::fmt;

use http::{HeaderMap, HeaderValue, StatusCode};
use ringhttp_runtime::pool::PoolError;

use super::certificate_fault::CertificateFault;
use super::location::Location;
use crate::conn::client::{Failure, Waited};

/// A result of the client.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request failed, or its answer could not be read.
///
/// In a handler `?` makes a [`crate::Error`] of it: 504 of a time that was over, 502 of what the other server did, 503 if
/// there was no connection to be had, 500 of a request that could not be sent as it was. What it says goes to the log, not
/// to the client.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    /// Without query and fragment.
    url: Option<Box<str>>,
    text: Option<Box<str>>,
    status: Option<StatusCode>,
    headers: Option<HeaderMap>,
    certificate_fault: Option<CertificateFault>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    is_retryable: bool,
}

/// What failed, by phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The name leads to addresses that `ClientConfig::addresses` does not allow.
    AddressRefused,
    /// The answer broke off in its body.
    Body,
    /// The body of the answer is longer than `ClientConfig::body_bytes_max`.
    BodyTooLarge,
    /// The certificate of the server is not accepted: see [`Error::certificate_fault`].
    Certificate,
    /// The server failed so often that it is left alone for a while: see `ClientConfig::circuit_breaker`. Nothing was sent.
    CircuitOpen,
    /// A file that was downloaded is not the one that was meant: `Download::sha256`.
    Checksum,
    /// The client was closed.
    Closed,
    /// A value in `ClientConfig` cannot work; the text names the field.
    Config,
    /// No connection could be made.
    Connect,
    /// No connection was made within `connect_timeout`.
    ConnectTimeout,
    /// The body of the answer is not of its content coding, character set or type, or not what was expected in it.
    Decode,
    /// The connection was lost before an answer came.
    Disconnected,
    /// A file could not be read or written: the cause says why.
    File,
    /// No answer came within `first_byte_timeout`.
    FirstByteTimeout,
    /// A [middleware](super::middleware) failed, or refused the request.
    Middleware,
    /// Too many requests wait for a connection.
    PoolFull,
    /// No connection was to be had within `pool_timeout`.
    PoolTimeout,
    /// The answer broke the protocol, or one of its limits.
    Protocol,
    /// The proxy opened no tunnel: [`Error::status`] is its answer, if it gave one.
    Proxy,
    /// Nothing more of the answer came within `read_timeout`.
    ReadTimeout,
    /// There were too many redirects, one that leads where none may lead, or one that would have to send a body again that
    /// cannot be sent again.
    Redirect,
    /// The request cannot be written as one.
    Request,
    /// The name has no address.
    Resolve,
    /// The answer has a status of failure: see [`Response::error_for_status`](super::Response::error_for_status).
    Status,
    /// The request was not over within `timeout`, or within the deadline around it.
    Timeout,
    /// The connection could not be secured.
    Tls,
    /// The connection was not secured within `tls_timeout`.
    TlsTimeout,
    /// The answer does not switch protocols.
    Upgrade,
    /// The body of the request failed.
    Upload,
    /// The URL cannot be asked for.
    Url,
    /// The server opened no WebSocket: [`Error::status`] and [`Error::headers`] are its answer, and the cause says what is wrong
    /// with it.
    WebSocket,
    /// The connection was lost while the request was sent.
    Write,
    /// The server took nothing of the request within `write_timeout`.
    WriteTimeout,
}

impl ErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::AddressRefused => "the server's address is not allowed",
            Self::Body => "the answer broke off",
            Self::BodyTooLarge => "the body of the answer is too large",
            Self::Certificate => "the server's certificate is not accepted",
            Self::CircuitOpen => "the server has failed too often, and is left alone for a while",
            Self::Checksum => "the file is not the one that was meant",
            Self::Closed => "the client is closed",
            Self::Config => "the client's configuration cannot work",
            Self::Connect => "no connection could be made",
            Self::ConnectTimeout => "no connection was made in time",
            Self::Decode => "the body of the answer cannot be read as what it should be",
            Self::Disconnected => "the connection was lost before an answer came",
            Self::File => "a file could not be read or written",
            Self::FirstByteTimeout => "no answer came in time",
            Self::Middleware => "what stands before the request failed",
            Self::PoolFull => "too many requests wait for a connection",
            Self::PoolTimeout => "no connection was free in time",
            Self::Protocol => "the answer broke the protocol",
            Self::Proxy => "the proxy opened no tunnel",
            Self::ReadTimeout => "nothing more of the answer came in time",
            Self::Redirect => "a redirect could not be followed",
            Self::Request => "the request cannot be written as one",
            Self::Resolve => "the server's name could not be resolved",
            Self::Status => "the answer is a failure",
            Self::Timeout => "the request was not over in time",
            Self::Tls => "the connection could not be secured",
            Self::TlsTimeout => "the connection was not secured in time",
            Self::Upgrade => "the answer does not switch protocols",
            Self::Upload => "the body of the request failed",
            Self::Url => "the URL cannot be asked for",
            Self::WebSocket => "the server opened no WebSocket",
            Self::Write => "the connection was lost while the request was sent",
            Self::WriteTimeout => "the server took nothing of the request in time",
        }
    }

    const fn is_timeout(self) -> bool {
        matches!(
            self,
            Self::ConnectTimeout
                | Self::FirstByteTimeout
                | Self::PoolTimeout
                | Self::ReadTimeout
                | Self::Timeout
                | Self::TlsTimeout
                | Self::WriteTimeout
        )
    }

    const fn is_connect(self) -> bool {
        matches!(
            self,
            Self::AddressRefused
                | Self::Certificate
                | Self::Connect
                | Self::ConnectTimeout
                | Self::Proxy
                | Self::Resolve
                | Self::Tls
                | Self::TlsTimeout
        )
    }

    /// Whether nothing of the request was sent, so that it may be sent again whatever it is.
    const fn is_before_sending(self) -> bool {
        matches!(
            self,
            Self::CircuitOpen
                | Self::Connect
                | Self::ConnectTimeout
                | Self::PoolFull
                | Self::PoolTimeout
                | Self::Resolve
                | Self::TlsTimeout
        )
    }

    /// Whether the server or the way to it is at fault. A time that was over is, if the server had been turned to.
    pub(super) const fn is_of_server(self) -> bool {
        let is_of_client = matches!(
            self,
            Self::AddressRefused
                | Self::CircuitOpen
                | Self::Closed
                | Self::Config
                | Self::File
                | Self::Middleware
                | Self::PoolFull
                | Self::PoolTimeout
                | Self::Redirect
                | Self::Request
                | Self::Upload
                | Self::Url
        );
        !is_of_client
    }

    /// Whether it may go better another time.
    const fn is_passing(self) -> bool {
        let is_lost = matches!(self, Self::Body | Self::Disconnected | Self::Write);
        self.is_before_sending() || self.is_timeout() || is_lost
    }

    /// The status of an answer that could not be given because of it.
    const fn status(self) -> StatusCode {
        match self {
            Self::Closed | Self::Config | Self::File | Self::Request | Self::Upload | Self::Url => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::CircuitOpen | Self::PoolFull => StatusCode::SERVICE_UNAVAILABLE,
            _ if self.is_timeout() => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Error {
    #[cold]
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner {
            kind,
            url: None,
            text: None,
            status: None,
            headers: None,
            certificate_fault: None,
            source: None,
            is_retryable: kind.is_before_sending(),
        }))
    }

    /// The error of a [middleware](super::middleware) that fails, or refuses a request: [`ErrorKind::Middleware`].
    #[must_use]
    pub fn middleware(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Middleware).with_source(source)
    }

    /// What a failed exchange is an error of; `has_head`: its answer had begun.
    pub(crate) fn of_failure(failure: Failure, has_head: bool) -> Self {
        let kind = match &failure {
            Failure::Misuse(_) => ErrorKind::Request,
            Failure::Protocol(_) | Failure::UnaskedSwitch => ErrorKind::Protocol,
            Failure::Read(_) if has_head => ErrorKind::Body,
            Failure::Read(_) => ErrorKind::Disconnected,
            Failure::Timeout(Waited::FirstByte) => ErrorKind::FirstByteTimeout,
            Failure::Timeout(Waited::Read) => ErrorKind::ReadTimeout,
            Failure::Timeout(Waited::Total) => ErrorKind::Timeout,
            Failure::Timeout(Waited::Write) => ErrorKind::WriteTimeout,
            Failure::Upload(_) => ErrorKind::Upload,
            Failure::Write(_) => ErrorKind::Write,
        };
        let error = Self::new(kind);
        match failure {
            Failure::Misuse(misuse) => error.with_source(misuse),
            Failure::Protocol(broken) => error.with_source(broken),
            Failure::Read(Some(source)) | Failure::Write(source) => error.with_source(source),
            Failure::Upload(source) => error.with_source(source),
            Failure::Read(None) | Failure::Timeout(_) => error,
            Failure::UnaskedSwitch => error.with_text("it switches protocols, which nobody asked for"),
        }
    }

    pub(crate) fn with_text(mut self, text: impl Into<Box<str>>) -> Self {
        self.0.text = Some(text.into());
        self
    }

    pub(crate) fn has_text(&self) -> bool {
        self.0.text.is_some()
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = Some(status);
        self
    }

    pub(crate) fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.0.headers = Some(headers);
        self
    }

    #[cfg(feature = "rustls")]
    pub(crate) fn with_certificate_fault(mut self, fault: CertificateFault) -> Self {
        self.0.certificate_fault = Some(fault);
        self
    }

    /// Names the URL, unless it is named already.
    pub(crate) fn at(mut self, location: &Location) -> Self {
        self.0.url.get_or_insert_with(|| location.display().into());
        self
    }

    /// Says whether the request may be sent twice.
    pub(crate) fn of_request(mut self, is_idempotent: bool) -> Self {
        self.0.is_retryable = self.may_pass(is_idempotent);
        self
    }

    /// Whether the request may be sent again, and may go better then.
    pub(super) fn may_pass(&self, is_harmless: bool) -> bool {
        self.0.kind.is_passing() && (is_harmless || self.0.kind.is_before_sending())
    }

    /// What failed.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Which URL, without query and fragment: of a redirect the one that it led to.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.0.url.as_deref()
    }

    /// The status of the answer, the server's or the proxy's, if it is the status that makes it an error.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// The fields of the answer that opened no WebSocket: where to sign in, when to come again.
    #[must_use]
    pub fn headers(&self) -> Option<&HeaderMap> {
        self.0.headers.as_ref()
    }

    /// What is wrong with the server's certificate, if that is what is wrong ([`ErrorKind::Certificate`]).
    #[must_use]
    pub fn certificate_fault(&self) -> Option<CertificateFault> {
        self.0.certificate_fault
    }

    /// Whether a time was over: one of the seven timeouts of [`ClientConfig`](super::ClientConfig), or the deadline around the
    /// request.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.0.kind.is_timeout()
    }

    /// Whether there was no connection: the name, the address, the connect, the proxy, TLS.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.0.kind.is_connect()
    }

    /// Whether the same request may be sent again and may go better then: nothing of it was sent, or it is idempotent (RFC
    /// 9110 §9.2.2) and what failed was a connection or a time.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.is_retryable
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.kind.text())?;
        if let Some(status) = self.0.status {
            write!(f, " ({status})")?;
        }
        if let Some(text) = &self.0.text {
            write!(f, ": {text}")?;
        }
        if let Some(url) = &self.0.url {
            write!(f, ", for {url}")?;
        }
        Ok(())
    }
}

/// With all causes.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = self.source();
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

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        Self::new(match error {
            PoolError::Closed => ErrorKind::Closed,
            PoolError::Timeout => ErrorKind::PoolTimeout,
            _ => ErrorKind::PoolFull,
        })
    }
}

impl From<Error> for crate::Error {
    fn from(mut error: Error) -> Self {
        if error.0.kind == ErrorKind::Upload {
            // What the body was made of knows better whose fault it is: the request's own body, say, that is passed on.
            match error.0.source.take().map(|source| source.downcast::<Self>()) {
                Some(Ok(source)) => return *source,
                Some(Err(source)) => error.0.source = Some(source),
                None => {}
            }
        }
        let answer = Self::new(error.0.kind.status());
        let is_overload = matches!(error.0.kind, ErrorKind::CircuitOpen | ErrorKind::PoolFull);
        let answer = answer.with_source(error);
        if is_overload {
            answer.with_header(http::header::RETRY_AFTER, HeaderValue::from_static("1"))
        } else {
            answer
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_phase_its_url_and_its_cause_and_no_secret() {
        let (location, _) =
            Location::parse("http://user:password@a.example:81/x?token=secret", None).unwrap();
        let cause = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = Error::new(ErrorKind::Connect).with_source(cause).at(&location);
        assert_eq!(error.to_string(), "no connection could be made, for http://a.example:81/x");
        assert_eq!(
            format!("{error:?}"),
            "no connection could be made, for http://a.example:81/x: connection refused"
        );
        assert_eq!(error.url(), Some("http://a.example:81/x"));
        assert!(error.is_connect() && !error.is_timeout());
    }

    #[test]
    fn what_may_be_tried_again() {
        let cases = [
            (ErrorKind::Connect, true, true),
            (ErrorKind::PoolTimeout, true, true),
            (ErrorKind::Disconnected, true, false),
            (ErrorKind::FirstByteTimeout, true, false),
            (ErrorKind::Body, true, false),
            (ErrorKind::Protocol, false, false),
            (ErrorKind::Redirect, false, false),
            (ErrorKind::Upload, false, false),
        ];
        for (kind, idempotent, other) in cases {
            assert_eq!(Error::new(kind).of_request(true).is_retryable(), idempotent, "{kind:?}");
            assert_eq!(Error::new(kind).of_request(false).is_retryable(), other, "{kind:?}");
        }
    }

    #[test]
    fn what_a_handler_answers() {
        let cases = [
            (ErrorKind::Timeout, 504),
            (ErrorKind::PoolTimeout, 504),
            (ErrorKind::Disconnected, 502),
            (ErrorKind::Status, 502),
            (ErrorKind::PoolFull, 503),
            (ErrorKind::CircuitOpen, 503),
            (ErrorKind::Request, 500),
        ];
        for (kind, status) in cases {
            let answer = crate::Error::from(Error::new(kind).with_text("secret"));
            assert_eq!(answer.status(), status, "{kind:?}");
            assert!(!answer.text().contains("secret"));
            assert!(format!("{answer:?}").contains("secret"), "the log has it");
        }
        let upload = crate::Error::new(StatusCode::PAYLOAD_TOO_LARGE).with_text("the body is too long");
        let error = Error::of_failure(Failure::Upload(upload), false);
        let answer = crate::Error::from(error);
        assert_eq!((answer.status().as_u16(), answer.text()), (413, "the body is too long"));
    }
}
