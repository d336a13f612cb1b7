//! Which codings of an answer a client accepts, and how gladly (`Accept-Encoding`, RFC 9110 §12.5.3).
#![forbid(unsafe_code)]

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// The weight of a coding in thousandths, 0 to 1000; `None` if the client does not speak of it, not even by `*`.
///
/// Of several weights for the same coding the first counts. What is malformed is skipped. The loop is bounded by the size of
/// the head.
#[must_use]
pub fn weight(headers: &HeaderMap, coding: &str) -> Option<u16> {
    let mut any = None;
    for value in headers.get_all(ACCEPT_ENCODING) {
        for item in value.as_bytes().split(|&byte| byte == b',') {
            let mut parts = item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let Some(weight) = parts.next().map_or(Some(1000), parse_weight) else { continue };
            if name.eq_ignore_ascii_case(coding.as_bytes()) {
                return Some(weight);
            }
            if name == b"*" && any.is_none() {
                any = Some(weight);
            }
        }
    }
    any
}

/// `q=` and a number from 0 to 1 with up to three digits behind the point (RFC 9110 §12.4.2).
fn parse_weight(parameter: &[u8]) -> Option<u16> {
    let (b'q' | b'Q', [b'=', number @ ..]) = parameter.split_first().map(|(first, rest)| (*first, rest))?
    else {
        return None;
    };
    let (whole, digits) = match number {
        [whole] => (whole, &[][..]),
        [whole, b'.', digits @ ..] => (whole, digits),
        _ => return None,
    };
    if digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |place: usize| digits.get(place).map_or(0, |digit| u16::from(digit - b'0'));
    let fraction = digit(0) * 100 + digit(1) * 10 + digit(2);
    match (whole, fraction) {
        (b'0', _) => Some(fraction),
        (b'1', 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn rfc9110_12_5_3_weights_of_codings() {
        let cases: &[(&str, &str, Option<u16>)] = &[
            ("gzip", "gzip", Some(1000)),
            ("GZip;Q=0.5", "gzip", Some(500)),
            ("gzip;q=0", "gzip", Some(0)),
            ("gzip;q=0.001", "gzip", Some(1)),
            ("gzip ; q=1.000", "gzip", Some(1000)),
            ("gzip;q=1.", "gzip", Some(1000)),
            ("br, gzip;q=0.8, *;q=0.1", "gzip", Some(800)),
            ("br, gzip;q=0.8, *;q=0.1", "zstd", Some(100)),
            ("*", "zstd", Some(1000)),
            ("*;q=0, gzip", "gzip", Some(1000)),
            ("gzip;q=0.2, gzip", "gzip", Some(200)),
            ("", "gzip", None),
            ("deflate", "gzip", None),
            ("xgzip", "gzip", None),
            ("gzip;q=2", "gzip", None),
            ("gzip;q=1.001", "gzip", None),
            ("gzip;q=0.0001", "gzip", None),
            ("gzip;q=-1", "gzip", None),
            ("gzip;q=", "gzip", None),
            ("gzip;q", "gzip", None),
            ("gzip;level=9", "gzip", None),
            (",,;,gzip,", "gzip", Some(1000)),
        ];
        for (value, coding, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap());
            assert_eq!(weight(&headers, coding), *expected, "{value}: {coding}");
        }
        let mut two = HeaderMap::new();
        two.append(ACCEPT_ENCODING, HeaderValue::from_static("br"));
        two.append(ACCEPT_ENCODING, HeaderValue::from_static("gzip;q=0.5"));
        assert_eq!((weight(&two, "br"), weight(&two, "gzip")), (Some(1000), Some(500)));
        assert_eq!(weight(&HeaderMap::new(), "gzip"), None);
    }
}
