//! Fields whose values no log may show.
#![forbid(unsafe_code)]

use std::rc::Rc;

use http::HeaderName;

use crate::conn::{Request, Response, SensitiveHeaders};
use crate::web::Next;

/// Marks the values of `names` as sensitive, in requests and in answers: `{:?}` of a header map shows `Sensitive` in
/// their place ([`HeaderValue::set_sensitive`](crate::HeaderValue::set_sensitive)), and the access log `***`.
///
/// The access log hides `Authorization`, `Proxy-Authorization`, `Cookie` and `Set-Cookie` in any case, and those that
/// [`AccessLog::mask`](crate::AccessLog::mask) names even where no answer comes from this router.
///
/// ```
/// use ringhttp::{HeaderName, Router, header, middleware};
///
/// let names = [header::AUTHORIZATION, header::COOKIE, HeaderName::from_static("x-api-key")];
/// let router = Router::new().get("/", async |_: &(), _| "hello").with(middleware::sensitive_headers(names));
/// # assert!(router.into_service(()).is_ok());
/// ```
pub fn sensitive_headers<S: 'static>(
    names: impl IntoIterator<Item = HeaderName>,
) -> impl AsyncFn(&S, Request, Next<'_, S>) -> Response + 'static {
    let names: Rc<[HeaderName]> = names.into_iter().collect();
    async move |_: &S, mut req: Request, next: Next<'_, S>| {
        req.mark_sensitive(&names);
        let mut response = next.run(req).await;
        for name in &*names {
            if let http::header::Entry::Occupied(mut entry) = response.headers_mut().entry(name) {
                entry.iter_mut().for_each(|value| value.set_sensitive(true));
            }
        }
        let marked = response.extensions_mut().get_or_insert_with(SensitiveHeaders::default);
        marked.add(&names);
        response
    }
}
