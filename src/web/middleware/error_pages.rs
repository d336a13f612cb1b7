//! Failures shown in a form of the application's own.
#![forbid(unsafe_code)]

use std::cell::Cell;

use http::header::{
    ACCEPT, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
    CONTENT_TYPE, SET_COOKIE, VARY,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::conn::{Request, Response};
use crate::proto::ContentType;
use crate::proto::http1::{Target, list};
use crate::web::{IntoResponse, Next};

/// A failure that a page is wanted for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The status of the answer.
    pub status: StatusCode,
    /// The public text: of the error, or the reason of the status. Often a piece of what the client sent is in it: escape it
    /// before it stands in HTML.
    pub text: String,
    /// The method of the request.
    pub method: Method,
    target: Target,
    accept: Option<HeaderValue>,
    /// Whether it was asked what the client wants.
    asked: Cell<bool>,
}

impl Failure {
    /// The path of the request as it was sent. Escape it before it stands in HTML.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.path()
    }

    /// Whether the client names `text/html` among what it accepts, as browsers do.
    #[must_use]
    pub fn wants_html(&self) -> bool {
        self.asked.set(true);
        let accept = self.accept.as_ref().map_or(&b""[..], |accept| accept.as_bytes());
        list(accept).filter_map(ContentType::parse).any(|range| range.is("text/html"))
    }
}

/// A middleware that lets `page` show failures: answers of 4xx and 5xx that are the text of an
/// [`Error`](crate::Error) (the router's 404 and 405 too) or have no body. `None` leaves the answer as it is, as do answers with
/// a body of their own. Fields of the answer stay, but for those about its content and those that the page has too: of these
/// `Set-Cookie` and `Vary` are added, all others replaced. A status that the page sets counts.
///
/// Failures that happen before there is a request, like a malformed head, do not come this way.
///
/// ```
/// use ringhttp::middleware::{Failure, error_pages};
/// use ringhttp::{Html, Router};
///
/// struct Site { name: &'static str }
///
/// async fn page(site: &Site, failure: &Failure) -> Option<Html<String>> {
///     failure.wants_html().then(|| Html(format!("<h1>{}: {}</h1>", site.name, failure.status)))
/// }
///
/// let router: Router<Site> = Router::new().with(error_pages(page));
/// ```
pub fn error_pages<S: 'static, R: IntoResponse + 'static>(
    page: impl AsyncFn(&S, &Failure) -> Option<R> + 'static,
) -> impl AsyncFn(&S, Request, Next<'_, S>) -> Response + 'static {
    async move |state: &S, request: Request, next: Next<'_, S>| {
        let method = request.method().clone();
        let target = request.target().clone();
        let accept = request.header(ACCEPT).cloned();
        let response = next.run(request).await;
        let Some(text) = failure_text(&response) else {
            return response;
        };
        let failure =
            Failure { status: response.status(), text, method, target, accept, asked: Cell::default() };
        let mut response = match page(state, &failure).await {
            Some(shown) => replace(response, shown.into_response()),
            None => response,
        };
        if failure.asked.get() {
            response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
        }
        response
    }
}

/// The text of an answer that is a failure and no more than that.
pub(super) fn failure_text(response: &Response) -> Option<String> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    let reason = || status.canonical_reason().unwrap_or("Error").to_owned();
    match response.error_text() {
        Some(text) => Some(text.to_owned()),
        None => (response.body().length() == Some(0)).then(reason),
    }
}

/// Gives an answer another content. It stays the same otherwise: what it says about its connection is kept.
pub(super) fn replace(mut response: Response, mut shown: Response) -> Response {
    if shown.status() != StatusCode::OK {
        *response.status_mut() = shown.status();
    }
    for name in &OF_THE_BODY {
        response.headers_mut().remove(name);
    }
    // What both may say beside each other: cookies, and what either depends on.
    let adds = |name: &HeaderName| *name == SET_COOKIE || *name == VARY;
    for name in shown.headers().keys().filter(|name| !adds(name)) {
        response.headers_mut().remove(name);
    }
    for (name, value) in shown.headers() {
        response.headers_mut().append(name.clone(), value.clone());
    }
    response.with_body(shown.take_body())
}

/// What a content says of itself. Not all that begins with `content-` does: `Content-Security-Policy` is about its page, and
/// `Content-Range` of a 416 about the file.
const OF_THE_BODY: [HeaderName; 8] = [
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_TYPE,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];
