//! A limit of requests per time and client, over all cores.
#![forbid(unsafe_code)]

mod account;
mod limiter;
mod recent;

use std::cell::OnceCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, StatusCode};
use ringhttp_runtime::Core;

use self::limiter::{Limiter, Verdict};
use crate::conn::{Request, Response};
use crate::error::{Error, Result};
use crate::web::Next;

/// How many requests [`rate_limit`] lets through.
///
/// The limit holds over all cores of the run: in no interval of `window` are more than `limit` requests of a key let
/// through (counted where the key is owned, by a clock that is exact to a tick of the kernel, 10 ms at most). It errs
/// on the other side: a request comes back to its key up to `window / 16` late, and up to `lease_max - 1` per other
/// core may lie there unused until they do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RateLimit {
    /// What the policy is called in `RateLimit-Policy`. Limits of the same name, `limit` and `window` are one limit, wherever
    /// in the application they are used.
    pub name: String,
    /// Requests of one key per `window`.
    pub limit: u32,
    /// How long a request counts. At least 100 ms.
    pub window: Duration,
    /// Requests that a core may be lent by the one that owns their key: a message between them lets so many through. Default
    /// 16; never more than what is left divided by twice the cores. 1 is exact, at a message per request.
    pub lease_max: u32,
    /// Keys that one core remembers. Default 10,000, of about 200 bytes. Beyond: the older half is forgotten, and its keys
    /// begin anew.
    pub keys_max: usize,
}

impl RateLimit {
    /// `limit` requests per `window`.
    #[must_use]
    pub fn new(name: impl Into<String>, limit: u32, window: Duration) -> Self {
        Self { name: name.into(), limit, window, lease_max: 16, keys_max: 10_000 }
    }

    fn check(self) -> Result<Policy> {
        let name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/ ".contains(&byte);
        let wrong = if self.name.is_empty() || !self.name.bytes().all(name_byte) {
            "name must be of letters, digits and `-_.:/ `"
        } else if self.limit == 0 || self.lease_max == 0 || self.keys_max == 0 {
            "limit, lease_max and keys_max must not be 0"
        } else if self.window < Duration::from_millis(100) {
            "window must not be shorter than 100 ms"
        } else {
            let Self { name, limit, window, lease_max, keys_max } = self;
            return Ok(Policy { name, limit, window, lease_max, keys_max });
        };
        Err(Error::internal(format!("RateLimit: {wrong}")))
    }
}

/// A limit that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Policy {
    name: String,
    limit: u32,
    window: Duration,
    lease_max: u32,
    keys_max: usize,
}

/// Who is counted: a hash of what the application says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key(u128);

impl Key {
    /// The core that counts it.
    fn owner(self, cores: usize) -> usize {
        usize::try_from(self.0 % cores as u128).expect("smaller than the number of cores")
    }
}

/// Limits the requests of each client by its address ([`Request::client_addr`], so name the proxies that are trusted): one of
/// IPv4, a /64 of IPv6, which is what one subscriber has. Those whose address is not known, because they come over a Unix
/// socket or a proxy does not tell, share one limit.
///
/// What is too much is answered 429 with `Retry-After`, before anything further in sees it. All answers have
/// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers): requests left, and seconds until more come back.
///
/// ```
/// use std::time::Duration;
/// use ringhttp::middleware::{self, RateLimit};
/// use ringhttp::Router;
///
/// let limit = RateLimit::new("api", 50, Duration::from_secs(60));
/// let router = Router::new().get("/", async |_: &(), _| "hello").with(middleware::rate_limit(limit)?);
/// # assert!(router.into_service(()).is_ok());
/// # Ok::<(), ringhttp::Error>(())
/// ```
///
/// # Errors
/// If a value cannot work; the error names it.
pub fn rate_limit<S: 'static>(
    limit: RateLimit,
) -> Result<impl AsyncFn(&S, Request, Next<'_, S>) -> Result + 'static> {
    rate_limit_by(limit, |_, req| Some(client(req)))
}

/// Limits the requests of each key that `key` gives; where it gives none, requests are not limited. A key may be of any
/// length: it is hashed.
///
/// ```
/// use std::time::Duration;
/// use ringhttp::middleware::{self, RateLimit};
/// use ringhttp::{Request, Router};
///
/// fn account(_: &(), req: &Request) -> Option<String> {
///     Some(req.header("x-api-key")?.to_str().ok()?.to_owned())
/// }
///
/// let limit = RateLimit::new("account", 1000, Duration::from_secs(3600));
/// let router = Router::new().get("/", async |_: &(), _| "hello").with(middleware::rate_limit_by(limit, account)?);
/// # assert!(router.into_service(()).is_ok());
/// # Ok::<(), ringhttp::Error>(())
/// ```
///
/// # Errors
/// As [`rate_limit`].
pub fn rate_limit_by<S: 'static>(
    limit: RateLimit,
    key: impl Fn(&S, &Request) -> Option<String> + 'static,
) -> Result<impl AsyncFn(&S, Request, Next<'_, S>) -> Result + 'static> {
    let policy = Arc::new(limit.check()?);
    let policy_value = policy.field_value();
    let limiter: OnceCell<Rc<Limiter>> = OnceCell::new();
    Ok(async move |state: &S, req: Request, next: Next<'_, S>| {
        let Some(key) = key(state, &req) else {
            return Ok(next.run(req).await);
        };
        let limiter = match limiter.get() {
            Some(limiter) => limiter,
            None => {
                let core = Core::current().ok_or_else(|| Error::internal("a rate limit needs a core"))?;
                limiter.get_or_init(|| Limiter::of(&core, &policy))
            }
        };
        let verdict = limiter.admit(limiter.key(key)).await?;
        let mut response = if verdict.admitted { next.run(req).await } else { refusal(&verdict) };
        // Lists, to which other limits add theirs.
        response.headers_mut().append(RATE_LIMIT_POLICY, policy_value.clone());
        response.headers_mut().append(RATE_LIMIT, policy.state_value(&verdict));
        Ok(response)
    })
}

impl Policy {
    fn field_value(&self) -> HeaderValue {
        let window = self.window.as_millis().div_ceil(1000);
        field_value(format!("\"{}\";q={};w={window}", self.name, self.limit))
    }

    fn state_value(&self, verdict: &Verdict) -> HeaderValue {
        field_value(format!("\"{}\";r={};t={}", self.name, verdict.left, seconds(verdict)))
    }
}

fn refusal(verdict: &Verdict) -> Response {
    let error = Error::new(StatusCode::TOO_MANY_REQUESTS).with_text("too many requests");
    Response::from(error).with_header(RETRY_AFTER, seconds(verdict).into())
}

/// Whole seconds, so rounded up, so that who comes back then is not too early.
fn seconds(verdict: &Verdict) -> u64 {
    u64::try_from(verdict.reset.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1)
}

fn field_value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("the name was checked, the rest is digits")
}

fn client(request: &Request) -> String {
    match request.client_addr() {
        None => "unknown".to_owned(),
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}")
        }
    }
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
