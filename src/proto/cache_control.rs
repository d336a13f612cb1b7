//! What `Cache-Control` says (RFC 9111 §5.2) to a cache that many clients share.
#![forbid(unsafe_code)]

use http::HeaderMap;
use http::header::CACHE_CONTROL;

use super::http1::split_unquoted;

/// The directives of an answer that a shared cache has to know. Those it does not are read over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheControl {
    /// `no-store`, `private` or `no-cache`, each with or without field names: it may not be given to others without asking.
    /// (RFC 9111 §5.2.2.4 would let a cache store some of them and ask again each time; field names may be obeyed in full.)
    pub forbids: bool,
    /// `no-store`, or `private` without field names: all of it is kept by its client's own cache at most.
    pub is_private: bool,
    /// Seconds that it is fresh: `s-maxage`, or else `max-age`. A value that is no number is none at all, so 0
    /// (RFC 9111 §4.2.1).
    pub fresh_seconds: Option<u32>,
}

impl CacheControl {
    /// Reads all `Cache-Control` fields of an answer. Nothing can be wrong with them: what is not understood is read over.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut said = Self::default();
        let (mut shared, mut own) = (None, None);
        for value in headers.get_all(CACHE_CONTROL) {
            for (name, argument) in directives(value.as_bytes()) {
                let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
                if is("no-store") || is("private") || is("no-cache") {
                    said.forbids = true;
                    said.is_private |= is("no-store") || (is("private") && argument.is_empty());
                } else if is("s-maxage") {
                    shorten(&mut shared, seconds(argument));
                } else if is("max-age") {
                    shorten(&mut own, seconds(argument));
                }
            }
        }
        said.fresh_seconds = shared.or(own);
        said
    }
}

/// Of several values of one directive the shortest holds (RFC 9111 §4.2.1).
fn shorten(least: &mut Option<u32>, seconds: u32) {
    *least = Some(least.map_or(seconds, |least| least.min(seconds)));
}

/// Delta-seconds (RFC 9111 §1.2.2): too many are as many as can be told.
fn seconds(argument: &[u8]) -> u32 {
    let digits = argument.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(argument);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let number = digits
        .iter()
        .try_fold(0_u32, |number, digit| number.checked_mul(10)?.checked_add(u32::from(digit - b'0')));
    number.unwrap_or(u32::MAX)
}

/// Names and arguments: `name`, `name=token` and `name="quoted, string"`, with commas between them.
fn directives(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    split_unquoted(value, b',').filter(|directive| !directive.is_empty()).map(|directive| {
        let equals = memchr::memchr(b'=', directive).unwrap_or(directive.len());
        let (name, argument) = directive.split_at(equals);
        (name.trim_ascii(), argument.get(1..).unwrap_or_default().trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(values: &[&[u8]]) -> (bool, Option<u32>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CACHE_CONTROL, HeaderValue::from_bytes(value).unwrap());
        }
        let said = CacheControl::of(&headers);
        (said.forbids, said.fresh_seconds)
    }

    #[test]
    fn directives_are_read_as_they_are_meant() {
        type Case<'a> = (&'a [&'a [u8]], bool, Option<u32>);
        let cases: &[Case<'_>] = &[
            (&[], false, None),
            (&[b""], false, None),
            (&[b"public, max-age=60"], false, Some(60)),
            (&[b"MAX-AGE=60 , Public"], false, Some(60)),
            (&[b"max-age=\"60\""], false, Some(60)),
            (&[b"max-age = 60"], false, Some(60)),
            (&[b"max-age=60, s-maxage=5"], false, Some(5)),
            (&[b"s-maxage=50", b"max-age=6"], false, Some(50)),
            (&[b"max-age=60, max-age=5"], false, Some(5)),
            (&[b"no-store"], true, None),
            (&[b"private, max-age=60"], true, Some(60)),
            (&[b"private=\"set-cookie, x\""], true, None),
            (&[b"No-Cache"], true, None),
            (&[b"x=\"no-store\", max-age=1"], false, Some(1)),
            (&[b"x=\"a, no-store\", max-age=1"], false, Some(1)),
            (&[b"x=\"a\\\", no-store\", max-age=1"], false, Some(1)),
            (&[b"not-no-store, private-key"], false, None),
            (&[b",, ,max-age=1,,"], false, Some(1)),
        ];
        for (values, forbids, seconds) in cases {
            assert_eq!(of(values), (*forbids, *seconds), "{values:?}");
        }
    }

    #[test]
    fn a_shared_cache_may_keep_what_is_only_to_be_asked_for_again() {
        const CASES: &[(&str, bool)] = &[
            ("no-store", true),
            ("Private, max-age=60", true),
            ("no-cache, private", true),
            ("no-cache", false),
            ("private=\"x\"", false),
            ("x=\"a, private, b\"", false),
            ("public", false),
        ];
        for &(value, is_private) in CASES {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
            assert_eq!(CacheControl::of(&headers).is_private, is_private, "{value}");
        }
    }

    #[test]
    fn what_is_no_number_is_stale_and_what_is_too_large_is_long() {
        let cases: &[(&[u8], u32)] = &[
            (b"max-age", 0),
            (b"max-age=", 0),
            (b"max-age=\"", 0),
            (b"max-age=-1", 0),
            (b"max-age=+1", 0),
            (b"max-age=1.5", 0),
            (b"max-age=1 2", 0),
            (b"max-age=\xff", 0),
            (b"max-age=4294967295", u32::MAX),
            (b"max-age=4294967296", u32::MAX),
            (b"max-age=99999999999999999999999999", u32::MAX),
        ];
        for (value, seconds) in cases {
            assert_eq!(of(&[value]), (false, Some(*seconds)), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn an_open_quote_hides_the_rest_and_ends() {
        assert_eq!(of(&[b"max-age=1, x=\"no-store, private"]), (false, Some(1)));
        assert_eq!(of(&[b"\"\\"]), (false, None));
    }
}
