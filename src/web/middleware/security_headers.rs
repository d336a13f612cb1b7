//! Fields that tell browsers to be careful.
#![forbid(unsafe_code)]

use std::time::Duration;

use http::header::{
    CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::default_headers::add_missing;
use crate::conn::{Request, Response};
use crate::web::Next;

/// What [`security_headers`] adds. `None` leaves a field out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SecurityHeaders {
    /// `Strict-Transport-Security` (RFC 6797): for how long a browser uses nothing but HTTPS here; whole seconds. Default
    /// `None`: only who serves the host over TLS, or stands behind a proxy that does, can promise it. Browsers ignore
    /// it over plain HTTP. A year is usual: `Duration::from_secs(31_536_000)`.
    pub hsts_max_age: Option<Duration>,
    /// Whether that holds for all subdomains. Default true.
    pub hsts_subdomains: bool,
    /// `X-Content-Type-Options: nosniff`: a browser believes `Content-Type`. Default true.
    pub nosniff: bool,
    /// `Referrer-Policy`. Default `no-referrer`.
    pub referrer_policy: Option<HeaderValue>,
    /// `X-Frame-Options`, for browsers that do not know `frame-ancestors`. Default `DENY`.
    pub frame_options: Option<HeaderValue>,
    /// `Content-Security-Policy`. Default `frame-ancestors 'none'`: no other page shows this one in a frame. Scripts and
    /// styles are for the application to list.
    pub content_security_policy: Option<HeaderValue>,
    /// `Cross-Origin-Opener-Policy`. Default `same-origin`.
    pub opener_policy: Option<HeaderValue>,
    /// `Cross-Origin-Resource-Policy`. Default `same-origin`; an interface for other origins (see
    /// [`cors`](super::cors())) does not need it changed, images and scripts for other pages do.
    pub resource_policy: Option<HeaderValue>,
    /// `Permissions-Policy`. Default `None`.
    pub permissions_policy: Option<HeaderValue>,
}

impl Default for SecurityHeaders {
    fn default() -> Self {
        let value = |text| Some(HeaderValue::from_static(text));
        Self {
            hsts_max_age: None,
            hsts_subdomains: true,
            nosniff: true,
            referrer_policy: value("no-referrer"),
            frame_options: value("DENY"),
            content_security_policy: value("frame-ancestors 'none'"),
            opener_policy: value("same-origin"),
            resource_policy: value("same-origin"),
            permissions_policy: None,
        }
    }
}

impl SecurityHeaders {
    fn fields(self) -> HeaderMap {
        let hsts = self.hsts_max_age.map(|max_age| {
            let subdomains = if self.hsts_subdomains { "; includeSubDomains" } else { "" };
            let text = format!("max-age={}{subdomains}", max_age.as_secs());
            HeaderValue::try_from(text).expect("digits and letters")
        });
        let values = [
            (STRICT_TRANSPORT_SECURITY, hsts),
            (X_CONTENT_TYPE_OPTIONS, self.nosniff.then(|| HeaderValue::from_static("nosniff"))),
            (REFERRER_POLICY, self.referrer_policy),
            (X_FRAME_OPTIONS, self.frame_options),
            (CONTENT_SECURITY_POLICY, self.content_security_policy),
            (OPENER_POLICY, self.opener_policy),
            (RESOURCE_POLICY, self.resource_policy),
            (PERMISSIONS_POLICY, self.permissions_policy),
        ];
        values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// Adds fields that tell browsers to be careful, but for those that the answer has already.
///
/// ```
/// use std::time::Duration;
/// use ringhttp::middleware::{self, SecurityHeaders};
/// use ringhttp::{HeaderValue, Router};
///
/// let mut headers = SecurityHeaders::default();
/// headers.hsts_max_age = Some(Duration::from_secs(31_536_000));
/// headers.content_security_policy = Some(HeaderValue::from_static("default-src 'self'; frame-ancestors 'none'"));
/// let router = Router::new().get("/", async |_: &(), _| "hello").with(middleware::security_headers(headers));
/// # assert!(router.into_service(()).is_ok());
/// ```
pub fn security_headers<S: 'static>(
    headers: SecurityHeaders,
) -> impl AsyncFn(&S, Request, Next<'_, S>) -> Response + 'static {
    let fields = headers.fields();
    async move |_: &S, req: Request, next: Next<'_, S>| {
        let mut response = next.run(req).await;
        add_missing(response.headers_mut(), &fields);
        response
    }
}

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
