//! A name for each request, by which its traces are found again in logs.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use http::{HeaderName, HeaderValue};

use crate::conn::{Request, Response};
use crate::web::Next;

/// How [`request_id`] names requests.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RequestIdConfig {
    /// The field that brings an id and takes it back. Default `x-request-id`.
    pub header: HeaderName,
    /// Whether the id that a request brings is taken. Default true: right behind a proxy that sets it, and harmless
    /// elsewhere, because only ids of plain characters are taken.
    pub accept_incoming: bool,
    /// Bytes of an id that a request brings. Default 128. Beyond: it gets a new one.
    pub bytes_max: usize,
}

impl Default for RequestIdConfig {
    fn default() -> Self {
        Self { header: HeaderName::from_static("x-request-id"), accept_incoming: true, bytes_max: 128 }
    }
}

/// The id of a request, among its extensions.
struct RequestId(HeaderValue);

/// Gives each request an id: the one it brings, if it consists of letters, digits and `-_.:/+=@`, or 32 random hexadecimal
/// digits. Handlers read it by [`Request::request_id`], the client in the answer, and the access log as
/// `%{x-request-id}o`. A new id is hard to come by twice, but no secret.
///
/// ```
/// use ringhttp::{Request, Router, middleware};
///
/// let router = Router::new()
///     .get("/", async |_: &(), req: Request| req.request_id().unwrap_or_default().to_owned())
///     .with(middleware::request_id(Default::default()));
/// # assert!(router.into_service(()).is_ok());
/// ```
pub fn request_id<S: 'static>(
    config: RequestIdConfig,
) -> impl AsyncFn(&S, Request, Next<'_, S>) -> Response + 'static {
    let ids = Ids::default();
    async move |_: &S, mut req: Request, next: Next<'_, S>| {
        let brought = req.header(&config.header).filter(|id| config.accept_incoming && is_plain(id, &config));
        // A copy: the value is a view of the read buffer, and stays until the answer.
        let copied = brought.and_then(|id| HeaderValue::from_bytes(id.as_bytes()).ok());
        let id = copied.unwrap_or_else(|| ids.next());
        req.extensions_mut().insert(RequestId(id.clone()));
        let mut response = next.run(req).await;
        response.headers_mut().entry(&config.header).or_insert(id);
        response
    }
}

impl Request {
    /// The id that the middleware [`request_id`](crate::middleware::request_id) gave this request.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.extensions().get::<RequestId>()?.0.to_str().ok()
    }
}

fn is_plain(id: &HeaderValue, config: &RequestIdConfig) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    (1..=config.bytes_max).contains(&id.len()) && id.as_bytes().iter().all(plain)
}

/// Ids of one core: a counter, keyed with the process's randomness.
#[derive(Default)]
struct Ids {
    keys: [RandomState; 2],
    count: Cell<u64>,
}

impl Ids {
    fn next(&self) -> HeaderValue {
        let count = self.count.get();
        self.count.set(count.wrapping_add(1));
        let [high, low] = &self.keys;
        let text = format!("{:016x}{:016x}", high.hash_one(count), low.hash_one(count));
        HeaderValue::try_from(text).expect("hexadecimal digits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ() {
        let ids = Ids::default();
        let (first, second) = (ids.next(), ids.next());
        assert_eq!(first.len(), 32);
        assert!(first != second && first != Ids::default().next());
    }

    #[test]
    fn only_plain_ids_are_taken() {
        let config = RequestIdConfig::default();
        let long = "a".repeat(129);
        let cases = [
            ("abc-123", true),
            ("Root=1-67891233-abcdef012345678912345678", true),
            (&long[1..], true),
            (&long, false),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            ("a\tb", false),
            ("é", false),
        ];
        for (id, taken) in cases {
            let value = HeaderValue::from_bytes(id.as_bytes()).unwrap();
            assert_eq!(is_plain(&value, &config), taken, "{id:?}");
        }
    }
}
