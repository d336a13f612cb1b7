//! Fields that every answer has unless it says otherwise.
#![forbid(unsafe_code)]

use http::HeaderMap;

use crate::conn::{Request, Response};
use crate::web::Next;

/// Adds those of `headers` whose names the answer does not have. Errors and refusals get them too.
///
/// ```
/// use ringhttp::{HeaderMap, HeaderValue, Router, header, middleware};
///
/// let mut headers = HeaderMap::new();
/// headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
/// let router = Router::new().get("/", async |_: &(), _| "hello").with(middleware::default_headers(headers));
/// # assert!(router.into_service(()).is_ok());
/// ```
pub fn default_headers<S: 'static>(
    headers: HeaderMap,
) -> impl AsyncFn(&S, Request, Next<'_, S>) -> Response + 'static {
    async move |_: &S, req: Request, next: Next<'_, S>| {
        let mut response = next.run(req).await;
        add_missing(response.headers_mut(), &headers);
        response
    }
}

/// Adds the fields of `defaults` whose names `headers` does not have.
pub(super) fn add_missing(headers: &mut HeaderMap, defaults: &HeaderMap) {
    for name in defaults.keys() {
        if headers.contains_key(name) {
            continue;
        }
        for value in defaults.get_all(name) {
            headers.append(name, value.clone());
        }
    }
}
