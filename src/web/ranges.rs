//! Parts of bodies (RFC 9110 §14), for any body of known length.
#![forbid(unsafe_code)]

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::time::SystemTime;

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::conditional::{refused, validators};
use crate::conn::{Body, Part, Request, Response};
use crate::proto::conditional::{Validators, range_applies};
use crate::proto::range::{Multipart, RANGES_MAX, Ranges, content_range, unsatisfied_range};

impl Response {
    /// Cuts the body to what the `Range` of a GET asks for: 206 with one range, or with several as
    /// `multipart/byteranges`; 416 if there is none of it; all of it if the request has no range, one that is malformed, more
    /// than [`RANGES_MAX`], or an `If-Range` that names another version than the `ETag` or `Last-Modified` here.
    ///
    /// Only a 200 whose body is of known length is touched: bytes and files, of which nothing is copied, and a
    /// [`Body::stream_of`]. A stream is written from its beginning, up to the end of the range; of a stream several ranges cannot
    /// be given, so all of it is. `Accept-Ranges: bytes` is set.
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
    let body = response.body();
    let (StatusCode::OK, true, Some(length)) = (response.status(), reads && body.can_be_cut(), body.length())
    else {
        return response;
    };
    response.headers_mut().insert(ACCEPT_RANGES, BYTES.clone());
    let ranges = asked(method, headers, &validators(response.headers()), length, ranges_max);
    if ranges == Ranges::Unsatisfiable {
        return unsatisfiable(response, length);
    }
    let body = response.take_body();
    let content_type = response.headers().get(CONTENT_TYPE).cloned();
    let Some(partial) = Partial::of(&ranges, &body, content_type.as_ref()) else {
        return response.with_body(body);
    };
    // What a handler said of the whole. A `Repr-Digest` goes on to be true: it is not about what is sent (RFC 9530 §3).
    response.headers_mut().remove(CONTENT_LENGTH);
    response.headers_mut().remove("content-digest");
    partial.give(response, body)
}

/// The ranges to answer. Only GET has any (RFC 9110 §14.2).
pub(super) fn asked(
    method: &Method,
    headers: &HeaderMap,
    validators: &Validators,
    length: u64,
    ranges_max: usize,
) -> Ranges {
    match headers.get(RANGE) {
        Some(value) if *method == Method::GET && range_applies(headers, validators, SystemTime::now()) => {
            Ranges::parse(value.as_bytes(), length, ranges_max)
        }
        _ => Ranges::Whole,
    }
}

/// The answer where a body of `length` has none of what was asked for, in place of the 200.
pub(super) fn unsatisfiable(response: Response, length: u64) -> Response {
    refused(response, StatusCode::RANGE_NOT_SATISFIABLE)
        .with_header(CONTENT_RANGE, unsatisfied_range(length))
        .with_header(ACCEPT_RANGES, BYTES.clone())
}

/// What a 206 has of a body.
pub(super) enum Partial {
    One(Range<u64>, HeaderValue),
    Several(Vec<Part>, HeaderValue),
}

impl Partial {
    /// `None`: all is to be given.
    pub(super) fn of(ranges: &Ranges, body: &Body, content_type: Option<&HeaderValue>) -> Option<Self> {
        let length = body.length()?;
        match ranges {
            Ranges::Whole | Ranges::Unsatisfiable => None,
            Ranges::One(range) => Some(Self::One(range.clone(), content_range(range, length))),
            Ranges::Several(ranges) => {
                let multipart = Multipart::new(random(), ranges.clone(), length, content_type);
                let mut parts = Vec::new();
                for (head, range) in multipart.parts() {
                    parts.push(Part::Bytes(head));
                    parts.extend(body.slices(&range)?);
                }
                parts.push(Part::Bytes(multipart.end()));
                Some(Self::Several(parts, multipart.content_type()))
            }
        }
    }

    /// Makes a 206 of an answer that has all but its body.
    pub(super) fn give(self, response: Response, body: Body) -> Response {
        let response = response.with_status(StatusCode::PARTIAL_CONTENT);
        match self {
            Self::One(range, field) => response.with_header(CONTENT_RANGE, field).with_body(body.cut(&range)),
            // RFC 9110 §15.3.7.2: no `Content-Range` beside the parts, which have their own.
            Self::Several(parts, field) => {
                response.with_header(CONTENT_TYPE, field).with_body(Body::parts(parts))
            }
        }
    }
}

pub(super) static BYTES: HeaderValue = HeaderValue::from_static("bytes");

/// A number that nobody can have put into a body or a file: the standard library's hashers have keys of their own.
pub(super) fn random() -> u128 {
    let half = || u128::from(RandomState::new().hash_one(0));
    half() << 64 | half()
}
