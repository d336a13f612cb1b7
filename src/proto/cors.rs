//! The texts of the CORS protocol (Fetch §3.3): origins as browsers send them, whose they are, and the field names they ask for.
#![forbid(unsafe_code)]

use http::{HeaderName, HeaderValue, Uri};

use super::http1::list;

/// Field names that one preflight may ask for. A browser names those that a script set: a handful.
const REQUESTED_NAMES_MAX: usize = 64;

/// Whether `text` is an origin as a browser writes it: a scheme, a host in lower case and a port that is not the scheme's
/// own, nothing behind (RFC 6454 §6.2). Any other text would never be equal to one.
pub(crate) fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else {
        return false;
    };
    let scheme_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    let scheme_ok =
        scheme.starts_with(|first: char| first.is_ascii_lowercase()) && scheme.bytes().all(scheme_byte);
    scheme_ok && is_host(scheme, host)
}

fn is_host(scheme: &str, text: &str) -> bool {
    let (host, port) = match text.rfind(':') {
        Some(at) if !text.ends_with(']') => (&text[..at], Some(&text[at + 1..])),
        _ => (text, None),
    };
    let port_ok = port.is_none_or(|port| {
        let own = match scheme {
            "http" => "80",
            "https" => "443",
            _ => "",
        };
        port != own && !port.starts_with('0') && port.parse::<u16>().is_ok()
    });
    let name_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    let host_ok = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(address) => {
            address.parse::<core::net::Ipv6Addr>().is_ok_and(|parsed| parsed.to_string() == address)
        }
        None => !host.is_empty() && host.bytes().all(name_byte),
    };
    port_ok && host_ok
}

/// The field names of `Access-Control-Request-Headers`; `None` if it is no list of names, or an absurdly long one.
pub(crate) fn requested_names(value: Option<&HeaderValue>) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for name in value.into_iter().flat_map(|value| list(value.as_bytes())) {
        if names.len() == REQUESTED_NAMES_MAX {
            return None;
        }
        names.push(HeaderName::from_bytes(name).ok()?);
    }
    Some(names)
}

/// Whether an origin is a page of `host`, and of `reached_by`, if that is known: behind a proxy that says nothing, the scheme is
/// not compared.
pub(crate) fn is_of_host(origin: &str, host: &str, reached_by: Option<&str>) -> bool {
    let Some((scheme, authority)) = authority(origin) else { return false };
    if reached_by.is_some_and(|known| !known.eq_ignore_ascii_case(scheme)) {
        return false;
    }
    // Browsers leave the scheme's own port out of the origin.
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let host = host.strip_suffix(port).unwrap_or(host);
    !host.is_empty() && authority.strip_suffix(port).unwrap_or(authority).eq_ignore_ascii_case(host)
}

/// Scheme and authority of an origin (RFC 6454 §6.2); `None` if it is something else, or `null`.
pub(crate) fn authority(origin: &str) -> Option<(&str, &str)> {
    let (scheme, authority) = origin.split_once("://")?;
    let uri = Uri::try_from(origin).ok()?;
    // Nothing but the two: no user, no path, no query.
    let whole = uri.authority().is_some_and(|found| found.as_str() == authority);
    (whole && !authority.contains('@') && !uri.host()?.is_empty()).then_some((scheme, authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        let accepted = [
            "https://example.org",
            "http://localhost:3000",
            "http://127.0.0.1:8080",
            "http://[::1]:3000",
            "https://[2001:db8::1]",
            "chrome-extension://abcdefghijklmnop",
        ];
        let refused = [
            "",
            "*",
            "null",
            "example.org",
            "https://",
            "https://example.org/",
            "https://example.org/path",
            "https://Example.org",
            "HTTPS://example.org",
            "https://example.org:443",
            "http://example.org:80",
            "https://example.org:",
            "https://example.org:0443",
            "https://example.org:70000",
            "https://user@example.org",
            "https://exa mple.org",
            "https://ex\u{e4}mple.org",
            "http://[::1",
            "http://[0:0::1]",
            "://example.org",
        ];
        for origin in accepted {
            assert!(is_origin(origin), "{origin}");
        }
        for origin in refused {
            assert!(!is_origin(origin), "{origin}");
        }
    }

    #[test]
    fn requested_names_are_names() {
        let names = |text: &str| requested_names(Some(&HeaderValue::from_str(text).unwrap()));
        assert_eq!(requested_names(None), Some(vec![]));
        let two = vec![HeaderName::from_static("x-a"), HeaderName::from_static("content-type")];
        assert_eq!(names("X-A,, Content-Type "), Some(two));
        let many = |count: usize| vec!["x-a"; count].join(",");
        assert_eq!(names(&many(64)).map(|names| names.len()), Some(64));
        for refused in ["x a", "x-a, \u{7f}b", "(x)", &many(65)] {
            let value = HeaderValue::from_bytes(refused.as_bytes());
            assert!(value.is_err() || requested_names(Some(&value.unwrap())).is_none(), "{refused}");
        }
    }
}
