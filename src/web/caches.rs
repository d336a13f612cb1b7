//! What answers say to caches that many clients share, beside their `Cache-Control`.
#![forbid(unsafe_code)]

use http::{HeaderMap, HeaderName};

/// Removes the fields that go before `Cache-Control` in some caches: the targeted ones (RFC 9213), as `CDN-Cache-Control`, and
/// those of the time before them. Says whether there was one.
pub(super) fn remove_targeted(headers: &mut HeaderMap) -> bool {
    let targeted: Vec<HeaderName> = headers.keys().filter(|name| is_targeted(name)).cloned().collect();
    for name in &targeted {
        headers.remove(name);
    }
    !targeted.is_empty()
}

fn is_targeted(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.ends_with("-cache-control")
        || matches!(name, "surrogate-control" | "edge-control" | "x-accel-expires")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn fields_for_some_caches_are_removed_and_nothing_else() {
        const CASES: &[(&str, bool)] = &[
            ("cdn-cache-control", true),
            ("cloudflare-cdn-cache-control", true),
            ("surrogate-control", true),
            ("x-accel-expires", true),
            ("cache-control", false),
            ("expires", false),
            ("x-accel-buffering", false),
            ("surrogate-key", false),
        ];
        for &(name, is_targeted) in CASES {
            let mut headers = HeaderMap::new();
            headers.append(name, HeaderValue::from_static("max-age=60"));
            headers.append(name, HeaderValue::from_static("max-age=61"));
            assert_eq!(remove_targeted(&mut headers), is_targeted, "{name}");
            assert_eq!(headers.is_empty(), is_targeted, "{name}");
        }
    }
}
