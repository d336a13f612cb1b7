//! Parts of bodies (RFC 9110 §14), for any body that is in memory.
#![forbid(unsafe_code)]

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::conditional::validators;
use crate::conn::{Body, Request, Response};
use crate::error::Error;
use crate::proto::conditional::range_applies;
use crate::proto::range::{Multipart, RANGES_MAX, Ranges, content_range, unsatisfied_range};

impl Response {
    /// Cuts the body to what the `Range` of a GET asks for: 206 with one range, or with several as
    /// `multipart/byteranges`; 416 if there is none of it; all of it if the request has no range, one that is malformed, more
    /// than [`RANGES_MAX`], or an `If-Range` that names another version than the `ETag` or `Last-Modified` here.
    ///
    /// Only a 200 whose body is in memory is touched; nothing is copied. `Accept-Ranges: bytes` is set on it.
    ///
    /// ```
    /// use ringhttp::{Request, Response};
    ///
    /// async fn numbers(_: &(), req: Request) -> Response {
    ///     Response::text("0123456789").with_ranges(&req)
    /// }
    /// # let _ = ringhttp::Router::new().get("/", numbers);
    /// ```
    #[must_use]
    pub fn with_ranges(self, request: &Request) -> Self {
        with_ranges(self, request.method(), request.headers(), RANGES_MAX)
    }
}

/// As [`Response::with_ranges`], with the `Range` and `If-Range` of `headers`.
pub(super) fn with_ranges(
    mut response: Response,
    method: &Method,
    headers: &HeaderMap,
    ranges_max: usize,
) -> Response {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let (StatusCode::OK, true, Some(body)) = (response.status(), reads, response.body().to_bytes()) else {
        return response;
    };
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // RFC 9110 §14.2: a range is defined for GET only.
    let Some(range) = headers.get(RANGE).filter(|_| *method == Method::GET) else {
        return response;
    };
    if !range_applies(headers, &validators(response.headers())) {
        return response;
    }
    let length = body.len() as u64;
    let ranges = Ranges::parse(range.as_bytes(), length, ranges_max);
    if ranges != Ranges::Whole {
        // What a handler said of the whole.
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    match ranges {
        Ranges::Whole => response,
        Ranges::One(range) => partial(response, content_range(&range, length), cut(&body, &range)),
        Ranges::Several(ranges) => several(response, &body, ranges),
        Ranges::Unsatisfiable => {
            let refusal = Response::from(Error::new(StatusCode::RANGE_NOT_SATISFIABLE));
            refusal
                .with_header(CONTENT_RANGE, unsatisfied_range(length))
                .with_header(ACCEPT_RANGES, HeaderValue::from_static("bytes"))
        }
    }
}

fn partial(response: Response, content_range: HeaderValue, body: Bytes) -> Response {
    response
        .with_status(StatusCode::PARTIAL_CONTENT)
        .with_header(CONTENT_RANGE, content_range)
        .with_body(body)
}

/// RFC 9110 §15.3.7.2: no `Content-Range` beside the parts, which have their own.
fn several(response: Response, body: &Bytes, ranges: Vec<Range<u64>>) -> Response {
    let content_type = response.headers().get(CONTENT_TYPE);
    let parts = Multipart::new(random(), ranges, body.len() as u64, content_type);
    let mut pieces: Vec<Bytes> = Vec::new();
    for (head, range) in parts.parts() {
        pieces.extend([head, cut(body, &range)]);
    }
    pieces.push(parts.end());
    let stream = Body::stream_of(parts.length(), async move |mut out| {
        for piece in pieces {
            out.write(piece).await?;
        }
        Ok(())
    });
    response
        .with_status(StatusCode::PARTIAL_CONTENT)
        .with_header(CONTENT_TYPE, parts.content_type())
        .with_body(stream)
}

fn cut(body: &Bytes, range: &Range<u64>) -> Bytes {
    let index = |position: u64| usize::try_from(position).expect("within the body");
    body.slice(index(range.start)..index(range.end))
}

/// A number that nobody can have put into a body or a file: the standard library's hashers have keys of their own.
pub(super) fn random() -> u128 {
    let half = || u128::from(RandomState::new().hash_one(0));
    half() << 64 | half()
}
