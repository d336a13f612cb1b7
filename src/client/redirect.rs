//! Where a redirect leads, and what goes along (RFC 9110 §15.4).
#![forbid(unsafe_code)]

use http::header::{self, HeaderName};
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use super::error::{Error, ErrorKind, Result};
use super::location::Location;

/// A redirect that was followed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Redirected {
    /// What was asked for.
    pub url: Url,
    /// The status of the answer.
    pub status: StatusCode,
    /// Its fields.
    pub headers: HeaderMap,
}

/// What a redirect asks for.
pub(super) struct Next {
    pub(super) location: Location,
    pub(super) method: Method,
    /// The body goes along.
    pub(super) keeps_body: bool,
}

/// Where the answer to a request leads; `None` if it is no redirect, or does not say where. Who asks for a WebSocket may be led to
/// `ws` and `wss` URLs, too: they name the same servers in other words (RFC 6455 §3).
///
/// # Errors
/// If it leads to no `http` or `https` URL.
pub(super) fn next(
    from: &Location,
    method: &Method,
    status: StatusCode,
    headers: &HeaderMap,
    asks_for_websocket: bool,
) -> Result<Option<Next>> {
    let Some((method, keeps_body)) = method_behind(status, method) else { return Ok(None) };
    let mut targets = headers.get_all(header::LOCATION).iter();
    let Some(target) = targets.next() else { return Ok(None) };
    let wrong = |text: &str| Error::new(ErrorKind::Redirect).with_text(text);
    if targets.any(|other| other != target) {
        // What stands before us may have looked at another one than we would.
        return Err(wrong("it leads to several places"));
    }
    // Servers send what they should have encoded; a URL is text in any case.
    let target = str::from_utf8(target.as_bytes()).map_err(|_| wrong("its location is no text"))?;
    let joined = from.to_url().join(target);
    let mut url = joined.map_err(|error| wrong("its location is no URL").with_source(error))?;
    let in_words_of_http = match url.scheme() {
        "ws" if asks_for_websocket => Some("http"),
        "wss" if asks_for_websocket => Some("https"),
        _ => None,
    };
    if let Some(scheme) = in_words_of_http {
        url.set_scheme(scheme).map_err(|()| wrong("its location is no URL"))?;
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("it leads to what is neither http nor https"));
    }
    if url.fragment().is_none() {
        // RFC 9110 §10.2.2.
        url.set_fragment(from.fragment());
    }
    // Credentials that somebody else wrote into a URL are not ours to send.
    let (location, _) = Location::of_url(url)?;
    Ok(Some(Next { location, method, keeps_body }))
}

/// The method of the next request, and whether the body goes along; `None` if the status is no redirect to follow.
fn method_behind(status: StatusCode, method: &Method) -> Option<(Method, bool)> {
    match status.as_u16() {
        // RFC 9110 §15.4.2: for historical reasons POST becomes GET.
        301 | 302 if *method == Method::POST => Some((Method::GET, false)),
        301 | 302 | 307 | 308 => Some((method.clone(), true)),
        303 if *method == Method::HEAD => Some((Method::HEAD, false)),
        303 => Some((Method::GET, false)),
        _ => None,
    }
}

/// Takes out what must not go along: what describes a body that does not, and credentials that another origin has no
/// business with.
pub(super) fn strip(headers: &mut HeaderMap, keeps_body: bool, is_same_origin: bool) {
    if headers.is_empty() {
        return;
    }
    if !keeps_body {
        OF_A_BODY.iter().for_each(|name| drop(headers.remove(name)));
    }
    if !is_same_origin {
        CREDENTIALS.iter().for_each(|name| drop(headers.remove(name)));
        // What was said of one host is not true of another.
        headers.remove(header::HOST);
    }
}

const OF_A_BODY: [HeaderName; 12] = [
    HeaderName::from_static("content-digest"),
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LENGTH,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    HeaderName::from_static("digest"),
    header::EXPECT,
    header::LAST_MODIFIED,
    HeaderName::from_static("repr-digest"),
    header::TRANSFER_ENCODING,
];

pub(super) const CREDENTIALS: [HeaderName; 3] =
    [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn follow(from: &str, method: &Method, status: u16, location: &[u8]) -> Result<Option<Next>> {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_bytes(location).unwrap());
        let from = Location::parse(from, None).unwrap().0;
        next(&from, method, StatusCode::from_u16(status).unwrap(), &headers, false)
    }

    /// The next method, and whether the body goes along.
    type Followed = Option<(Method, bool)>;

    #[test]
    fn rfc9110_15_4_methods_and_bodies() {
        const CASES: &[(u16, Method, Followed)] = &[
            (301, Method::GET, Some((Method::GET, true))),
            (301, Method::POST, Some((Method::GET, false))),
            (302, Method::POST, Some((Method::GET, false))),
            (302, Method::PUT, Some((Method::PUT, true))),
            (302, Method::HEAD, Some((Method::HEAD, true))),
            (303, Method::POST, Some((Method::GET, false))),
            (303, Method::DELETE, Some((Method::GET, false))),
            (303, Method::HEAD, Some((Method::HEAD, false))),
            (307, Method::POST, Some((Method::POST, true))),
            (308, Method::DELETE, Some((Method::DELETE, true))),
            (300, Method::GET, None),
            (304, Method::GET, None),
            (305, Method::GET, None),
            (200, Method::GET, None),
        ];
        for (status, method, expected) in CASES {
            let next = follow("http://a/", method, *status, b"/b").unwrap();
            let next = next.map(|next| (next.method, next.keeps_body));
            assert_eq!(next, *expected, "{status} {method}");
        }
    }

    #[test]
    fn rfc9110_10_2_2_locations() {
        const CASES: &[(&[u8], &str)] = &[
            (b"/c", "http://a/c#f"),
            (b"c#g", "http://a/c#g"),
            (b"?d", "http://a/b?d#f"),
            (b"//h/x", "http://h/x#f"),
            (b"https://h", "https://h/#f"),
            (b"http://user:password@a/c", "http://a/c#f"),
            (b"/\xc3\xbc b", "http://a/%C3%BC%20b#f"),
            (b"", "http://a/b#f"),
        ];
        for (location, expected) in CASES {
            let next = follow("http://a/b#f", &Method::GET, 302, location).unwrap().unwrap();
            assert_eq!(next.location.as_str(), *expected, "{}", location.escape_ascii());
        }
    }

    #[test]
    fn what_is_not_followed() {
        for location in [
            &b"file:///etc/passwd"[..],
            b"ftp://a/",
            b"javascript:alert(1)",
            b"data:,x",
            b"ws://a/",
            b"wss://a/",
            b"http://",
            b"http://a:x/",
            b"\xff",
        ] {
            let error = follow("http://a/", &Method::GET, 302, location).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Redirect, "{}", location.escape_ascii());
        }
        let from = Location::parse("http://a/", None).unwrap().0;
        assert!(next(&from, &Method::GET, StatusCode::FOUND, &HeaderMap::new(), false).unwrap().is_none());
        let twice = |other: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(header::LOCATION, HeaderValue::from_static("/b"));
            headers.append(header::LOCATION, HeaderValue::from_static(other));
            next(&from, &Method::GET, StatusCode::FOUND, &headers, false).is_ok()
        };
        assert!(twice("/b") && !twice("/c"));
    }

    #[test]
    fn rfc6455_3_a_websocket_is_led_to_urls_of_either_kind() {
        let from = Location::parse("https://a/b", None).unwrap().0;
        let follow = |location: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::LOCATION, HeaderValue::from_static(location));
            let next = next(&from, &Method::GET, StatusCode::FOUND, &headers, true);
            next.map(|next| next.unwrap().location.as_str().to_owned()).map_err(|error| error.kind())
        };
        for (location, expected) in [
            ("ws://c/d?e", "http://c/d?e"),
            ("WSS://c:444/d", "https://c:444/d"),
            ("wss://c:443", "https://c/"),
            ("ws://user:pw@c:443/", "http://c:443/"),
            ("http://c/", "http://c/"),
            ("//c/d", "https://c/d"),
            ("/d", "https://a/d"),
        ] {
            assert_eq!(follow(location).as_deref(), Ok(expected), "{location}");
        }
        for location in ["wsx://c/", "ftp://c/", "ws://"] {
            assert_eq!(follow(location), Err(ErrorKind::Redirect), "{location}");
        }
    }

    #[test]
    fn credentials_stay_with_their_origin_and_types_with_their_body() {
        let mut all = HeaderMap::new();
        for name in CREDENTIALS.into_iter().chain(OF_A_BODY).chain([header::HOST, header::ACCEPT]) {
            all.insert(name, HeaderValue::from_static("x"));
        }
        let left = |keeps_body, is_same_origin| {
            let mut headers = all.clone();
            strip(&mut headers, keeps_body, is_same_origin);
            headers.len()
        };
        assert_eq!(left(true, true), 17);
        assert_eq!(left(false, true), 17 - OF_A_BODY.len());
        assert_eq!(left(true, false), 17 - CREDENTIALS.len() - 1);
        assert_eq!(left(false, false), 1);
    }
}
