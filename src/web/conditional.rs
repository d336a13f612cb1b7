//! Conditional requests (RFC 9110 §13) for handlers: 304 and 412 before the work is done.
#![forbid(unsafe_code)]

use std::time::SystemTime;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::caches::remove_targeted;
use crate::conn::{Request, Response};
use crate::error::Error;
use crate::proto::Etag;
use crate::proto::conditional::{self, Validators, Verdict};

impl Request {
    /// The answer to this request if its conditions (`If-Match`, `If-None-Match`, `If-Modified-Since`, `If-Unmodified-Since`) make an end
    /// of it: 304 with the validators, or 412. `None`: go on.
    ///
    /// `current`: what is known of the version that there is; `None` if there is none, as before a PUT that creates.
    ///
    /// ```
    /// use ringhttp::proto::Etag;
    /// use ringhttp::proto::conditional::Validators;
    /// use ringhttp::{Request, Response, Result};
    ///
    /// async fn rename(_: &(), req: Request) -> Result<Response> {
    ///     let current = Validators { etag: Etag::strong("v7").ok(), ..Validators::default() };
    ///     if let Some(answer) = req.check_conditional(Some(&current)) {
    ///         return Ok(answer);
    ///     }
    ///     Ok(Response::text("renamed\n"))
    /// }
    /// # let _ = ringhttp::Router::new().put("/", rename);
    /// ```
    ///
    /// RFC 9110 §13.2.2.
    #[must_use]
    pub fn check_conditional(&self, current: Option<&Validators>) -> Option<Response> {
        match conditional::evaluate(self.method(), self.headers(), current) {
            Verdict::Proceed => None,
            Verdict::NotModified => {
                let response = Response::empty(StatusCode::NOT_MODIFIED);
                Some(current.into_iter().fold(response, Response::with_validators))
            }
            Verdict::PreconditionFailed => Some(Error::new(StatusCode::PRECONDITION_FAILED).into()),
        }
    }
}

impl Response {
    /// Sets `ETag` and `Last-Modified`, as far as they are known. A time within the present second is not said yet: see
    /// [`last_modified`](conditional::last_modified).
    #[must_use]
    pub fn with_validators(mut self, validators: &Validators) -> Self {
        let headers = self.headers_mut();
        if let Some(etag) = &validators.etag {
            headers.insert(ETAG, etag.to_value());
        }
        let said = |modified| conditional::last_modified(modified, SystemTime::now());
        if let Some(modified) = validators.modified.and_then(said) {
            headers.insert(LAST_MODIFIED, modified);
        }
        self
    }
}

/// What the fields of a response say about its version.
pub(super) fn validators(headers: &HeaderMap) -> Validators {
    Validators {
        etag: headers.get(ETAG).and_then(|value| Etag::parse(value.as_bytes()).ok()),
        modified: headers.get(LAST_MODIFIED).and_then(conditional::date),
    }
}

/// Makes a 304 of a 200: what describes the body goes with it (RFC 9110 §15.4.5).
pub(super) fn not_modified(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for name in &OF_THE_BODY {
        headers.remove(name);
    }
    if headers.contains_key(ETAG) {
        headers.remove(LAST_MODIFIED);
    }
    response.with_status(StatusCode::NOT_MODIFIED).with_body(())
}

/// Makes a refusal of a 200, whose body will not be sent. What the answer says beside its body stays, as a cookie that is set,
/// and so does the work behind it; how long it may be kept does not hold for the refusal: whoever made it with a field of the
/// request would make it for all.
pub(super) fn refused(mut response: Response, status: StatusCode) -> Response {
    let mut refusal = Response::from(Error::new(status));
    refusal.take_over(&mut response);
    let headers = refusal.headers_mut();
    for (name, value) in response.headers() {
        if !OF_THE_BODY.contains(name) && !OF_THE_WHOLE.contains(name) {
            headers.append(name, value.clone());
        }
    }
    let (was_targeted, expired) = (remove_targeted(headers), headers.remove(EXPIRES).is_some());
    if was_targeted || expired || headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    refusal
}

/// What a 304 says, and a refusal does not.
const OF_THE_WHOLE: [HeaderName; 3] =
    [CONTENT_LOCATION, HeaderName::from_static("content-digest"), HeaderName::from_static("repr-digest")];

const OF_THE_BODY: [HeaderName; 7] = [
    ACCEPT_RANGES,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
];
