//! What an answer to a request for the rest of a content means (RFC 9110 §14).
#![forbid(unsafe_code)]

use std::ops;
use std::time::Duration;

use http::header::{self, HeaderName};
use http::{HeaderMap, StatusCode};

/// What is to be done with an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Its body follows what there is. The whole has so many bytes, if the server knows.
    Rest { total: Option<u64> },
    /// Its body is the whole.
    Whole { total: Option<u64> },
    /// There is no rest: all of it is there.
    Complete,
    /// What there is does not fit: from the start.
    Again,
    /// It is no answer to that.
    Failure,
}

/// What an answer means to who has `have` bytes of a content known by `validator`, and asked for the rest if that is not 0.
pub(super) fn meaning(
    status: StatusCode,
    headers: &HeaderMap,
    have: u64,
    validator: Option<&str>,
) -> Meaning {
    match status {
        StatusCode::OK => Meaning::Whole { total: length(headers) },
        StatusCode::PARTIAL_CONTENT if have > 0 => match content_range(headers) {
            Some(Range { first, total, .. }) if first == have && is_same(headers, validator) => {
                Meaning::Rest { total }
            }
            _ => Meaning::Again,
        },
        StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
            if unsatisfied_total(headers) == Some(have) {
                Meaning::Complete
            } else {
                Meaning::Again
            }
        }
        _ => Meaning::Failure,
    }
}

/// Whether an answer that is a part is the one that was asked for, of the same content.
pub(super) fn is_part(
    headers: &HeaderMap,
    range: &ops::Range<u64>,
    total: u64,
    validator: Option<&str>,
) -> bool {
    let is_range = content_range(headers).is_some_and(|found| {
        (found.first, found.total) == (range.start, Some(total)) && found.last == range.end - 1
    });
    is_range && is_same(headers, validator)
}

/// The length of the whole, if an answer is the beginning of it.
pub(super) fn total_of_beginning(headers: &HeaderMap) -> Option<u64> {
    content_range(headers).filter(|range| range.first == 0)?.total
}

/// The first and the last byte of a part, and the length of the whole.
struct Range {
    first: u64,
    last: u64,
    total: Option<u64>,
}

/// `bytes 5-9/10`, of one range (RFC 9110 §14.4).
fn content_range(headers: &HeaderMap) -> Option<Range> {
    let (range, total) = text(headers, header::CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let total = if total == "*" { None } else { Some(number(total)?) };
    let is_possible = first <= last && total.is_none_or(|total| last < total);
    is_possible.then_some(Range { first, last, total })
}

/// `bytes */10`.
fn unsatisfied_total(headers: &HeaderMap) -> Option<u64> {
    number(text(headers, header::CONTENT_RANGE)?.strip_prefix("bytes */")?)
}

fn length(headers: &HeaderMap) -> Option<u64> {
    number(text(headers, header::CONTENT_LENGTH)?)
}

/// Whether a part is one of the content that is known. A server that does not understand `If-Range` says by its `ETag`.
fn is_same(headers: &HeaderMap, validator: Option<&str>) -> bool {
    match (text(headers, header::ETAG), validator) {
        (Some(etag), Some(validator)) if validator.starts_with('"') => etag == validator,
        _ => true,
    }
}

/// What `If-Range` may name (RFC 9110 §13.1.5): a strong entity tag, or a date that is as good as one (§8.8.2.2).
pub(super) fn validator(headers: &HeaderMap) -> Option<String> {
    if let Some(etag) = text(headers, header::ETAG) {
        return (etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"')).then(|| etag.to_owned());
    }
    let modified = text(headers, header::LAST_MODIFIED)?;
    let date = |text| httpdate::parse_http_date(text).ok();
    let age = date(text(headers, header::DATE)?)?.duration_since(date(modified)?).ok()?;
    (age >= Duration::from_secs(1)).then(|| modified.to_owned())
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn rfc9110_14_what_answers_mean() {
        type Case = (u16, &'static [(&'static str, &'static str)], u64, Meaning);
        let cases: [Case; 17] = [
            (200, &[("content-length", "10")], 0, Meaning::Whole { total: Some(10) }),
            (200, &[("content-length", "10")], 5, Meaning::Whole { total: Some(10) }),
            (200, &[], 5, Meaning::Whole { total: None }),
            (206, &[("content-range", "bytes 5-9/10")], 5, Meaning::Rest { total: Some(10) }),
            (
                206,
                &[("content-range", "bytes 5-7/10"), ("etag", "\"a\"")],
                5,
                Meaning::Rest { total: Some(10) },
            ),
            (206, &[("content-range", "bytes 5-9/*")], 5, Meaning::Rest { total: None }),
            (206, &[("content-range", "bytes 5-9/10"), ("etag", "\"b\"")], 5, Meaning::Again),
            (206, &[("content-range", "bytes 4-9/10")], 5, Meaning::Again),
            (206, &[("content-range", "bytes 5-10/10")], 5, Meaning::Again),
            (206, &[("content-range", "bytes 5-4/10")], 5, Meaning::Again),
            (206, &[("content-range", "lines 5-9/10")], 5, Meaning::Again),
            (206, &[("content-type", "multipart/byteranges; boundary=x")], 5, Meaning::Again),
            (206, &[("content-range", "bytes 0-9/10")], 0, Meaning::Failure),
            (416, &[("content-range", "bytes */5")], 5, Meaning::Complete),
            (416, &[("content-range", "bytes */4")], 5, Meaning::Again),
            (416, &[], 0, Meaning::Failure),
            (204, &[], 5, Meaning::Failure),
        ];
        for (status, pairs, have, expected) in cases {
            let status = StatusCode::from_u16(status).expect("a status");
            let found = meaning(status, &fields(pairs), have, Some("\"a\""));
            assert_eq!(found, expected, "{status} {pairs:?} {have}");
        }
    }

    #[test]
    fn rfc9110_14_4_a_part_is_the_one_that_was_asked_for() {
        let is = |range, etag| {
            is_part(&fields(&[("content-range", range), ("etag", etag)]), &(5..9), 10, Some("\"a\""))
        };
        assert!(is("bytes 5-8/10", "\"a\""));
        for range in [
            "bytes 5-9/10",
            "bytes 4-8/10",
            "bytes 5-7/10",
            "bytes 5-8/11",
            "bytes 5-8/*",
            "bytes */10",
            "bytes 5-18446744073709551615/*",
        ] {
            assert!(!is(range, "\"a\""), "{range}");
        }
        assert!(!is("bytes 5-8/10", "\"b\""));
        let total = |range| total_of_beginning(&fields(&[("content-range", range)]));
        assert_eq!(["bytes 0-4/10", "bytes 1-4/10", "bytes 0-4/*"].map(total), [Some(10), None, None]);
    }

    #[test]
    fn rfc9110_13_1_5_what_if_range_may_name() {
        let (earlier, later) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(validator(&fields(&[("etag", "\"a\"")])).as_deref(), Some("\"a\""));
        assert_eq!(validator(&fields(&[("etag", "W/\"a\"")])), None);
        assert_eq!(validator(&fields(&[("etag", "\"\"")])), None);
        assert_eq!(
            validator(&fields(&[("last-modified", earlier), ("date", later)])).as_deref(),
            Some(earlier)
        );
        assert_eq!(validator(&fields(&[("last-modified", later), ("date", later)])), None);
        assert_eq!(validator(&fields(&[("last-modified", earlier)])), None);
        assert_eq!(validator(&fields(&[])), None);
    }
}
