//! Requests that another site made a browser send are refused (cross-site request forgery).
#![forbid(unsafe_code)]

use std::collections::HashSet;

use http::header::ORIGIN;
use http::{HeaderName, Method, StatusCode};

use crate::conn::Request;
use crate::error::{Error, Result};
use crate::proto::cors::{authority, is_of_host};
use crate::web::Next;

/// Refuses with 403 what a page of another origin made a browser send, by the fields that browsers add and pages cannot
/// change: no token, no cookie. The rules are those of Go's `CrossOriginProtection`:
///
/// 1. GET, HEAD and OPTIONS pass, so their handlers must change nothing; an upgrade (WebSocket) is no such request.
/// 2. `Sec-Fetch-Site: same-origin` or `none` passes; all else (`same-site` too: it may be somebody else's subdomain) is
///    refused unless excepted.
/// 3. Without that field (browsers before 2023, plain HTTP) an `Origin` whose host is that of the request passes; another, and
///    `null`, is refused unless excepted.
/// 4. With neither it was no browser, or one that sends no credentials: it passes.
///
/// Excepted are [`CsrfConfig::trusted_origins`] and [`CsrfConfig::excepted_routes`]. Rule 3 compares with the host that this server
/// was asked for: behind a proxy that changes it, name the public origin among the trusted ones.
///
/// ```
/// use ringhttp::middleware::{self, CsrfConfig};
/// use ringhttp::Router;
///
/// let mut config = CsrfConfig::default();
/// config.trusted_origins = vec!["https://app.example.com".to_owned()];
/// config.excepted_routes = vec!["/webhooks/{name}".to_owned()];
/// let router = Router::new().post("/", async |_: &(), _| "done\n").with(middleware::csrf(config)?);
/// # assert!(router.into_service(()).is_ok());
/// # Ok::<(), ringhttp::Error>(())
/// ```
///
/// # Errors
/// 500 if a trusted origin is none.
pub fn csrf<S: 'static>(
    config: CsrfConfig,
) -> Result<impl AsyncFn(&S, Request, Next<'_, S>) -> Result + 'static> {
    let guard = Guard::new(config)?;
    Ok(async move |_: &S, req: Request, next: Next<'_, S>| {
        if !guard.passes(&req) {
            let refused = Error::new(StatusCode::FORBIDDEN);
            return Err(refused.with_text("the request was made by a page of another origin"));
        }
        Ok(next.run(req).await)
    })
}

/// What passes [`csrf`] though another origin made it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CsrfConfig {
    /// Origins whose pages may: `https://host` or `https://host:port`, as browsers write them. Default: none.
    pub trusted_origins: Vec<String>,
    /// Routes where all may, as `Request::route` gives them: `/webhooks/{name}`. Default: none.
    pub excepted_routes: Vec<String>,
}

struct Guard {
    trusted: HashSet<String>,
    excepted: HashSet<String>,
}

impl Guard {
    fn new(config: CsrfConfig) -> Result<Self> {
        if let Some(wrong) = config.trusted_origins.iter().find(|origin| authority(origin).is_none()) {
            return Err(Error::internal(format!(
                "{wrong:?} is no origin: `scheme://host` or `scheme://host:port`"
            )));
        }
        let trusted = config.trusted_origins.iter().map(|origin| origin.to_ascii_lowercase()).collect();
        Ok(Self { trusted, excepted: config.excepted_routes.into_iter().collect() })
    }

    fn passes(&self, req: &Request) -> bool {
        let safe = matches!(*req.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        (safe && !req.wants_upgrade()) || is_own(req) || self.is_excepted(req)
    }

    fn is_excepted(&self, req: &Request) -> bool {
        let origin = req.header(ORIGIN).and_then(|origin| origin.to_str().ok());
        let trusted = origin.is_some_and(|origin| self.trusted.contains(&origin.to_ascii_lowercase()));
        trusted || (!self.excepted.is_empty() && self.excepted.contains(req.route()))
    }
}

/// Whether the request is of this site's own making, or of no page's.
fn is_own(req: &Request) -> bool {
    let mut sites = req.headers().get_all(&SEC_FETCH_SITE).iter().peekable();
    if sites.peek().is_some() {
        return sites.all(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
    }
    let host = req.own_host().unwrap_or_default();
    req.header(ORIGIN).is_none_or(|origin| origin.to_str().is_ok_and(|origin| is_of_host(origin, host, None)))
}

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn guard() -> Guard {
        let mut config = CsrfConfig::default();
        config.trusted_origins = vec!["https://App.example.com".to_owned(), "http://[::1]:3000".to_owned()];
        Guard::new(config).unwrap()
    }

    #[test]
    fn what_pages_of_other_origins_send_is_refused() {
        let cases: &[(&str, &str, bool)] = &[
            ("POST /", "", true),
            ("GET /", "sec-fetch-site: cross-site\r\norigin: https://evil.com\r\n", true),
            ("HEAD /", "sec-fetch-site: cross-site\r\n", true),
            ("OPTIONS /", "sec-fetch-site: cross-site\r\n", true),
            ("POST /", "sec-fetch-site: same-origin\r\n", true),
            ("POST /", "sec-fetch-site: none\r\n", true),
            ("POST /", "sec-fetch-site: same-site\r\n", false),
            ("POST /", "sec-fetch-site: cross-site\r\n", false),
            ("POST /", "sec-fetch-site:\r\n", false),
            ("POST /", "sec-fetch-site: Same-Origin\r\n", false),
            ("POST /", "sec-fetch-site: same-origin\r\nsec-fetch-site: cross-site\r\n", false),
            ("POST /", "sec-fetch-site: same-origin\r\norigin: https://evil.com\r\n", true),
            ("POST /", "sec-fetch-site: cross-site\r\norigin: https://a.com\r\n", false),
            ("DELETE /", "origin: https://a.com\r\n", true),
            ("PUT /", "origin: http://a.com\r\n", true),
            ("PATCH /", "origin: https://A.com:443\r\n", true),
            ("POST /", "origin: https://a.com:8443\r\n", false),
            ("POST /", "origin: https://a.com.evil.com\r\n", false),
            ("POST /", "origin: https://evil.com/a.com\r\n", false),
            ("POST /", "origin: https://evil@a.com\r\n", false),
            ("POST /", "origin: a.com\r\n", false),
            ("POST /", "origin: null\r\n", false),
            ("POST /", "origin:\r\n", false),
            ("POST /", "origin: https://\u{e4}.com\r\n", false),
            ("POST http://a.com/", "origin: https://a.com\r\n", true),
            ("POST /", "origin: https://app.example.com\r\n", true),
            ("POST /", "origin: http://app.example.com\r\n", false),
            ("POST /", "sec-fetch-site: cross-site\r\norigin: https://app.example.com\r\n", true),
            ("POST /", "sec-fetch-site: cross-site\r\norigin: http://[::1]:3000\r\n", true),
            ("TRACE /", "origin: https://evil.com\r\n", false),
            ("GET /", "connection: upgrade\r\nupgrade: websocket\r\norigin: https://evil.com\r\n", false),
            ("GET /", "connection: upgrade\r\nupgrade: websocket\r\norigin: https://a.com\r\n", true),
        ];
        for (line, fields, passes) in cases {
            let head = format!("{line} HTTP/1.1\r\nhost: a.com\r\n{fields}\r\n");
            let req = testing::request(head.as_bytes());
            assert_eq!(guard().passes(&req), *passes, "{line} {fields}");
        }
    }

    #[test]
    fn the_default_port_is_the_same_host() {
        let cases = [
            ("https://a.com", "a.com:443", true),
            ("http://a.com", "a.com:80", true),
            ("http://a.com", "a.com:443", false),
            ("http://a.com:8080", "a.com:8080", true),
            ("http://[::1]:8080", "[::1]:8080", true),
            ("http://[::80]", "[::80]", true),
            ("http://a.com", "", false),
        ];
        for (origin, host, same) in cases {
            assert_eq!(is_of_host(origin, host, None), same, "{origin} {host}");
        }
    }

    #[test]
    fn a_scheme_that_is_known_is_compared() {
        assert!(is_of_host("https://a.com", "a.com", Some("https")));
        assert!(!is_of_host("http://a.com", "a.com", Some("https")));
    }

    #[test]
    fn trusted_origins_are_origins() {
        for (origin, taken) in [
            ("https://a.com", true),
            ("http://localhost:3000", true),
            ("a.com", false),
            ("https://", false),
            ("https://a.com/", false),
            ("https://a.com?x", false),
            ("https://u@a.com", false),
            ("null", false),
            ("*", false),
        ] {
            let mut config = CsrfConfig::default();
            config.trusted_origins = vec![origin.to_owned()];
            assert_eq!(Guard::new(config).is_ok(), taken, "{origin}");
        }
    }
}
