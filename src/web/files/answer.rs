//! From a file to an answer: its fields, the conditions of the request (RFC 9110 §13) and its ranges (§14).
#![forbid(unsafe_code)]

use std::cell::OnceCell;
use std::path::Path;
use std::time::SystemTime;

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG,
    LAST_MODIFIED, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use mime_guess::MimeGuess;
use ringhttp_runtime::file::OpenFile;

use super::config::{FileRule, FilesConfig};
use super::find::Coding;
use crate::conn::{Body, Request, Response};
use crate::error::Error;
use crate::proto::Etag;
use crate::proto::conditional::{Validators, Verdict, evaluate, last_modified};
use crate::proto::range::Ranges;
use crate::web::ranges::{self, BYTES, Partial};

/// What an answer says about a file.
pub(super) struct Representation {
    validators: Validators,
    content_type: HeaderValue,
    /// What `Last-Modified` says when the second of the change is over.
    last_modified: OnceCell<HeaderValue>,
    cache_control: Option<HeaderValue>,
    coding: Option<Coding>,
    /// Whether another client might get another coding.
    varies_by_coding: bool,
    /// Whether it was chosen because the client asked for a page.
    varies_by_type: bool,
}

impl Representation {
    /// `path`: what the file is called, without the suffix of a `coding`.
    pub(super) fn new(file: &OpenFile, path: &Path, coding: Option<Coding>, config: &FilesConfig) -> Self {
        let content_type = FileRule::find(&config.content_type, path).cloned();
        Self {
            validators: Validators { etag: Some(etag(file, coding)), modified: Some(file.modified()) },
            content_type: content_type.unwrap_or_else(|| guess(path)),
            last_modified: OnceCell::new(),
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
        if let Some(last_modified) = self.last_modified(SystemTime::now) {
            headers.insert(LAST_MODIFIED, last_modified);
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

    /// What `Last-Modified` says: nothing yet of a file that was changed just now, which may be kept for longer than that.
    fn last_modified(&self, now: impl FnOnce() -> SystemTime) -> Option<HeaderValue> {
        if let Some(said) = self.last_modified.get() {
            return Some(said.clone());
        }
        let said = last_modified(self.validators.modified?, now())?;
        Some(self.last_modified.get_or_init(|| said).clone())
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

/// Answers GET or HEAD for a file, whose bytes are `body`.
pub(super) fn respond(
    request: &Request,
    representation: &Representation,
    body: impl Into<Body>,
    ranges_max: usize,
) -> Response {
    let (method, headers) = (request.method(), request.headers());
    let validators = &representation.validators;
    match evaluate(method, headers, Some(validators)) {
        Verdict::Proceed => {}
        Verdict::NotModified => return representation.describe(Response::empty(StatusCode::NOT_MODIFIED)),
        Verdict::PreconditionFailed => {
            return representation.name_version(Error::new(StatusCode::PRECONDITION_FAILED).into());
        }
    }
    let body = body.into();
    let length = body.length().unwrap_or_default();
    let ranges = ranges::asked(method, headers, validators, length, ranges_max);
    if ranges == Ranges::Unsatisfiable {
        return representation.name_version(ranges::unsatisfiable(Response::new(()), length));
    }
    let response = Response::new(());
    representation.announce(match Partial::of(&ranges, &body, Some(&representation.content_type)) {
        Some(partial) => partial.give(response, body),
        None => response.with_body(body),
    })
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

static NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_file_that_is_kept_says_when_it_was_changed_once_that_can_be_said() {
        let modified = UNIX_EPOCH + Duration::from_millis(784_111_777_500);
        let representation = Representation {
            validators: Validators { etag: None, modified: Some(modified) },
            content_type: guess(Path::new("a.txt")),
            last_modified: OnceCell::new(),
            cache_control: None,
            coding: None,
            varies_by_coding: false,
            varies_by_type: false,
        };
        for (millis, said) in [
            (0, None),
            (499, None),
            (500, Some("Sun, 06 Nov 1994 08:49:37 GMT")),
            (5000, Some("Sun, 06 Nov 1994 08:49:37 GMT")),
        ] {
            let said_now = representation.last_modified(|| modified + Duration::from_millis(millis));
            assert_eq!(said_now.as_ref().map(|said| said.to_str().unwrap()), said, "{millis}");
        }
        let kept = representation.last_modified(|| unreachable!("it is known")).unwrap();
        assert_eq!(kept, "Sun, 06 Nov 1994 08:49:37 GMT");
    }

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
