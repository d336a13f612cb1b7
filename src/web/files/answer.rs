//! From a file to an answer: its fields, the conditions of the request (RFC 9110 §13) and its ranges (§14).
#![forbid(unsafe_code)]

use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, LAST_MODIFIED, RANGE, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, StatusCode};
use mime_guess::MimeGuess;
use ringhttp_runtime::file::{FileSlice, OpenFile};

use super::config::{FileRule, FilesConfig};
use super::find::Coding;
use crate::conn::{Body, Part, Request, Response};
use crate::error::Error;
use crate::proto::Etag;
use crate::proto::conditional::{Validators, Verdict, evaluate, last_modified, range_applies};
use crate::proto::range::{Multipart, Ranges, content_range, unsatisfied_range};
use crate::web::ranges::random;

/// What an answer says about a file.
pub(super) struct Representation {
    length: u64,
    validators: Validators,
    content_type: HeaderValue,
    last_modified: Option<HeaderValue>,
    cache_control: Option<HeaderValue>,
    coding: Option<Coding>,
    /// Whether another client might get another coding.
    varies_by_coding: bool,
    /// Whether it was chosen because the client asked for a page.
    varies_by_type: bool,
}

/// Where the bytes of a file are.
pub(super) enum Content {
    File(OpenFile),
    Bytes(Bytes),
}

impl Representation {
    /// `path`: what the file is called, without the suffix of a `coding`.
    pub(super) fn new(file: &OpenFile, path: &Path, coding: Option<Coding>, config: &FilesConfig) -> Self {
        let content_type = FileRule::find(&config.content_type, path).cloned();
        Self {
            length: file.length(),
            validators: Validators { etag: Some(etag(file, coding)), modified: Some(file.modified()) },
            content_type: content_type.unwrap_or_else(|| guess(path)),
            last_modified: last_modified(file.modified()),
            cache_control: FileRule::find(&config.cache_control, path).cloned(),
            coding,
            varies_by_coding: false,
            varies_by_type: false,
        }
    }

    pub(super) fn with_varying(mut self, by_coding: bool, by_type: bool) -> Self {
        self.varies_by_coding = by_coding;
        self.varies_by_type = by_type;
        self
    }

    /// Sets the fields that tell the file's version. An answer that refuses has no more than these: how long the file may be
    /// kept does not hold for it, and whoever made it with a field of the request would make it for all.
    fn name_version(&self, response: Response) -> Response {
        let mut response = response;
        let headers = response.headers_mut();
        if let Some(etag) = &self.validators.etag {
            headers.insert(ETAG, etag.to_value());
        }
        if let Some(last_modified) = &self.last_modified {
            headers.insert(LAST_MODIFIED, last_modified.clone());
        }
        if let Some(varies) = self.varies() {
            headers.insert(VARY, varies);
        }
        response
    }

    /// Sets the fields that an answer without the file has as well, if it stands for it (RFC 9110 §15.4.5).
    fn describe(&self, response: Response) -> Response {
        let mut response = self.name_version(response);
        if let Some(cache_control) = &self.cache_control {
            response.headers_mut().insert(CACHE_CONTROL, cache_control.clone());
        }
        response
    }

    fn varies(&self) -> Option<HeaderValue> {
        match (self.varies_by_coding, self.varies_by_type) {
            (true, true) => Some(HeaderValue::from_static("accept, accept-encoding")),
            (true, false) => Some(ACCEPT_ENCODING.into()),
            (false, true) => Some(ACCEPT.into()),
            (false, false) => None,
        }
    }

    /// Sets the fields of an answer that has the file, or parts of it.
    fn announce(&self, response: Response) -> Response {
        let mut response = self.describe(response);
        let headers = response.headers_mut();
        headers.entry(CONTENT_TYPE).or_insert_with(|| self.content_type.clone());
        headers.insert(ACCEPT_RANGES, BYTES.clone());
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF.clone());
        if let Some(coding) = self.coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
        response
    }
}

/// Answers GET or HEAD for a file.
pub(super) fn respond(
    request: &Request,
    representation: &Representation,
    content: Content,
    ranges_max: usize,
) -> Response {
    match evaluate(request.method(), request.headers(), Some(&representation.validators)) {
        Verdict::Proceed => {}
        Verdict::NotModified => return representation.describe(Response::empty(StatusCode::NOT_MODIFIED)),
        Verdict::PreconditionFailed => {
            return representation.name_version(Error::new(StatusCode::PRECONDITION_FAILED).into());
        }
    }
    let length = representation.length;
    match ranges(request, representation, ranges_max) {
        Ranges::Whole => representation.announce(Response::new(content.part(0..length))),
        Ranges::One(range) => {
            let field = content_range(&range, length);
            let response = Response::new(content.part(range)).with_status(StatusCode::PARTIAL_CONTENT);
            representation.announce(response.with_header(CONTENT_RANGE, field))
        }
        Ranges::Several(ranges) => several(representation, &content, ranges),
        Ranges::Unsatisfiable => {
            let response = Response::from(Error::new(StatusCode::RANGE_NOT_SATISFIABLE));
            let response = response.with_header(CONTENT_RANGE, unsatisfied_range(length));
            representation.name_version(response.with_header(ACCEPT_RANGES, BYTES.clone()))
        }
    }
}

/// The ranges to answer. Only GET has any (RFC 9110 §14.2).
fn ranges(request: &Request, representation: &Representation, ranges_max: usize) -> Ranges {
    match request.header(RANGE) {
        Some(value)
            if *request.method() == Method::GET
                && range_applies(request.headers(), &representation.validators) =>
        {
            Ranges::parse(value.as_bytes(), representation.length, ranges_max)
        }
        _ => Ranges::Whole,
    }
}

/// RFC 9110 §15.3.7.2: the parts say their own types and ranges.
fn several(representation: &Representation, content: &Content, ranges: Vec<Range<u64>>) -> Response {
    let boundary = random();
    let multipart =
        Multipart::new(boundary, ranges, representation.length, Some(&representation.content_type));
    let mut parts = Vec::new();
    for (head, range) in multipart.parts() {
        parts.push(Part::Bytes(head));
        parts.push(content.slice(range));
    }
    parts.push(Part::Bytes(multipart.end()));
    let response = Response::new(Body::parts(parts)).with_status(StatusCode::PARTIAL_CONTENT);
    representation.announce(response.with_header(CONTENT_TYPE, multipart.content_type()))
}

impl Content {
    fn part(self, range: Range<u64>) -> Body {
        match self.slice(range) {
            Part::Bytes(bytes) => bytes.into(),
            file @ Part::File(_) => Body::parts(vec![file]),
        }
    }

    fn slice(&self, range: Range<u64>) -> Part {
        match self {
            Self::File(file) => Part::File(FileSlice {
                file: file.clone(),
                offset: range.start,
                length: range.end - range.start,
            }),
            Self::Bytes(bytes) => {
                let place = |at: u64| usize::try_from(at).expect("within what is in memory");
                Part::Bytes(bytes.slice(place(range.start)..place(range.end)))
            }
        }
    }
}

/// By the time of the last change, the length and the coding: the same on all machines that have copies of the file.
fn etag(file: &OpenFile, coding: Option<Coding>) -> Etag {
    let (_, modified, length) = file.stamp();
    let coding = coding.map_or("", Coding::suffix);
    Etag::strong(&format!("{modified:x}-{length:x}{coding}")).expect("digits, letters and dots")
}

/// The type that the extension stands for. Text is taken to be UTF-8.
fn guess(path: &Path) -> HeaderValue {
    match MimeGuess::from_path(path).first_raw() {
        None => HeaderValue::from_static("application/octet-stream"),
        Some(text) if text.starts_with("text/") || text.ends_with("/javascript") => {
            HeaderValue::try_from(format!("{text}; charset=utf-8")).expect("types are tokens")
        }
        Some(other) => HeaderValue::from_static(other),
    }
}

static BYTES: HeaderValue = HeaderValue::from_static("bytes");
static NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_guessed_by_extension() {
        let cases = [
            ("index.html", "text/html; charset=utf-8"),
            ("a.TXT", "text/plain; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.png", "image/png"),
            ("a.svg", "image/svg+xml"),
            ("a.wasm", "application/wasm"),
            ("a.tar.gz", "application/gzip"),
            ("a", "application/octet-stream"),
            ("a.unheard-of", "application/octet-stream"),
        ];
        for (path, expected) in cases {
            assert_eq!(guess(Path::new(path)), expected, "{path}");
        }
    }
}
