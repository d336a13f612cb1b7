//! Answers that a client has already are not sent again.
#![forbid(unsafe_code)]

use http::header::{ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName, Method, StatusCode};

use crate::conn::{Request, Response};
use crate::error::Result;
use crate::proto::Etag;
use crate::proto::conditional::{Verdict, evaluate};
use crate::web::Next;
use crate::web::conditional::{not_modified, refused, validators};

/// How [`conditional`] knows versions apart.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ConditionalConfig {
    /// Bytes of the largest body that gets an `ETag` made of its bytes if its handler gave it none
    /// ([`Etag::of_bytes`]); larger ones, and streams, get none. 0: none is made. Default: 1 MiB, about a millisecond.
    pub etag_bytes_max: usize,
}

impl Default for ConditionalConfig {
    fn default() -> Self {
        Self { etag_bytes_max: 1024 * 1024 }
    }
}

/// Answers GET and HEAD with 304 if the client has what the handler gave already, and with 412 if it asks for another version,
/// by the `ETag` and `Last-Modified` of the handler's answer of 200 (RFC 9110 §13).
///
/// The handler's work is done all the same: only sending is saved. To save the work, and for all other methods, which must
/// be stopped before they change something, a handler asks [`Request::check_conditional`] first.
///
/// A 304 keeps the fields of the 200 that do not describe its body (RFC 9110 §15.4.5), and so does a 412. It belongs inside of
/// [`ranges`](super::ranges), and that inside of [`compress`](super::compress): the first added is the outermost.
///
/// ```
/// use ringhttp::Router;
/// use ringhttp::middleware::{ConditionalConfig, conditional};
///
/// let router = Router::new()
///     .get("/", async |_: &(), _| "the same for everybody")
///     .with(conditional(ConditionalConfig::default()));
/// # assert!(router.into_service(()).is_ok());
/// ```
pub fn conditional<S: 'static>(
    config: ConditionalConfig,
) -> impl AsyncFn(&S, Request, Next<'_, S>) -> Result + 'static {
    async move |_: &S, request: Request, next: Next<'_, S>| {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(next.run(request).await);
        }
        let (method, conditions) = (request.method().clone(), copied(request.headers(), &CONDITIONS));
        let mut response = next.run(request).await;
        if response.status() != StatusCode::OK {
            return Ok(response);
        }
        add_etag(&mut response, config.etag_bytes_max);
        if conditions.is_empty() {
            return Ok(response);
        }
        match evaluate(&method, &conditions, Some(&validators(response.headers()))) {
            Verdict::Proceed => Ok(response),
            Verdict::NotModified => Ok(not_modified(response)),
            Verdict::PreconditionFailed => Ok(refused(response, StatusCode::PRECONDITION_FAILED)),
        }
    }
}

fn add_etag(response: &mut Response, bytes_max: usize) {
    let body = response.body().as_bytes();
    let tag = body.filter(|body| (1..=bytes_max).contains(&body.len())).map(Etag::of_bytes);
    if let Some(tag) = tag
        && !response.headers().contains_key(ETAG)
    {
        response.headers_mut().insert(ETAG, tag.to_value());
    }
}

/// The fields of these names: the request itself goes on to the handler.
pub(super) fn copied(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let mut copied = HeaderMap::new();
    for name in names {
        for value in headers.get_all(name) {
            copied.append(name, value.clone());
        }
    }
    copied
}

const CONDITIONS: [HeaderName; 4] = [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE];
