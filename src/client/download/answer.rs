//! What an answer to a request for the rest of a content means (RFC 9110 §14).
#![forbid(unsafe_code)]

use std::ops;

use http::header;
use http::{HeaderMap, StatusCode};

use super::content::{Content, number, text};

/// What is to be done with an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Its body follows what there is, up to `end`. The whole has so many bytes, if the server knows.
    Rest { end: u64, total: Option<u64> },
    /// Its body is the whole.
    Whole { total: Option<u64> },
    /// There is no rest: all of it is there.
    Complete,
    /// What there is does not fit: from the start.
    Again,
    /// It is no answer to that.
    Failure,
}

/// What an answer means to who has `have` bytes of a content, and asked for the rest if that is not 0.
pub(super) fn meaning(
    status: StatusCode,
    headers: &HeaderMap,
    have: u64,
    content: Option<&Content>,
) -> Meaning {
    let is_same = |total: Option<u64>| {
        content.is_some_and(|content| {
            content.is_in(headers) && total.is_none_or(|total| content.may_have(total))
        })
    };
    match status {
        StatusCode::OK => Meaning::Whole { total: length(headers) },
        StatusCode::PARTIAL_CONTENT if have > 0 => match content_range(headers) {
            Some(Range { first, end, total }) if first == have && is_same(total) => {
                // A server may have forgotten how long it is.
                let total = total.or(content.and_then(|content| content.total));
                if total.is_some_and(|total| end > total) {
                    Meaning::Again
                } else {
                    Meaning::Rest { end, total }
                }
            }
            _ => Meaning::Again,
        },
        StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
            let total = unsatisfied_total(headers);
            if total == Some(have) && is_same(total) { Meaning::Complete } else { Meaning::Again }
        }
        _ => Meaning::Failure,
    }
}

/// Whether an answer that is a part is the one that was asked for, of the same content.
pub(super) fn is_part(
    headers: &HeaderMap,
    range: &ops::Range<u64>,
    total: u64,
    content: Option<&Content>,
) -> bool {
    let expected = Range { first: range.start, end: range.end, total: Some(total) };
    content_range(headers) == Some(expected) && content.is_some_and(|content| content.is_in(headers))
}

/// Where an answer ends, and the length of the whole, if it is the beginning of that.
pub(super) fn beginning(headers: &HeaderMap) -> Option<(u64, u64)> {
    let range = content_range(headers).filter(|range| range.first == 0)?;
    Some((range.end, range.total?))
}

/// The first byte of a part, the one behind it, and the length of the whole.
#[derive(Debug, PartialEq, Eq)]
struct Range {
    first: u64,
    end: u64,
    total: Option<u64>,
}

/// `bytes 5-9/10`, of one range (RFC 9110 §14.4), and a body that may be as long.
fn content_range(headers: &HeaderMap) -> Option<Range> {
    let (range, total) = text(headers, header::CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, end) = (number(first)?, number(last)?.checked_add(1)?);
    let total = if total == "*" { None } else { Some(number(total)?) };
    let is_possible = first < end && total.is_none_or(|total| end <= total);
    let is_all = length(headers).is_none_or(|length| length == end.saturating_sub(first));
    (is_possible && is_all && !is_multipart(headers)).then_some(Range { first, end, total })
}

/// Of several ranges each has its own head in the body: nobody asked for that (RFC 9110 §15.3.7.2).
fn is_multipart(headers: &HeaderMap) -> bool {
    const KIND: &[u8] = b"multipart/byteranges";
    let of_it = |value: &[u8]| value.get(..KIND.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(KIND));
    headers.get_all(header::CONTENT_TYPE).iter().any(|value| of_it(value.as_bytes()))
}

/// `bytes */10`.
fn unsatisfied_total(headers: &HeaderMap) -> Option<u64> {
    number(text(headers, header::CONTENT_RANGE)?.strip_prefix("bytes */")?)
}

fn length(headers: &HeaderMap) -> Option<u64> {
    number(text(headers, header::CONTENT_LENGTH)?)
}

#[cfg(test)]
pub(super) fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    use http::HeaderValue;
    use http::header::HeaderName;

    let field = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    let mut headers = HeaderMap::new();
    for (name, value) in pairs.iter().map(field) {
        headers.append(name, value);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_14_what_an_answer_means() {
        let rest = |end, total| Meaning::Rest { end, total };
        let known = Content::of(&fields(&[("etag", "\"a\"")]), Some(10)).expect("a name");
        let unknown = Content::of(&fields(&[("etag", "\"a\"")]), None).expect("a name");
        let cases: &[(u16, &[_], u64, &Content, Meaning)] = &[
            (200, &[("content-length", "10")], 5, &known, Meaning::Whole { total: Some(10) }),
            (200, &[], 5, &known, Meaning::Whole { total: None }),
            (206, &[("content-range", "bytes 5-9/10")], 5, &known, rest(10, Some(10))),
            (206, &[("content-range", "bytes 5-7/10"), ("etag", "\"a\"")], 5, &known, rest(8, Some(10))),
            (206, &[("content-range", "bytes 5-9/*")], 5, &known, rest(10, Some(10))),
            (206, &[("content-range", "bytes 5-9/*")], 5, &unknown, rest(10, None)),
            (206, &[("content-range", "bytes 5-8/9")], 5, &unknown, rest(9, Some(9))),
            // Longer, or shorter than it was.
            (206, &[("content-range", "bytes 5-8/9")], 5, &known, Meaning::Again),
            (206, &[("content-range", "bytes 5-9/11")], 5, &known, Meaning::Again),
            (206, &[("content-range", "bytes 5-10/*")], 5, &known, Meaning::Again),
            (206, &[("content-range", "bytes 5-9/10"), ("etag", "\"b\"")], 5, &known, Meaning::Again),
            (206, &[("content-range", "bytes 5-9/10"), ("etag", "W/\"a\"")], 5, &known, Meaning::Again),
            (
                206,
                &[("content-range", "bytes 5-9/10"), ("content-encoding", "gzip")],
                5,
                &known,
                Meaning::Again,
            ),
            (206, &[("content-range", "bytes 5-9/10"), ("content-length", "4")], 5, &known, Meaning::Again),
            (
                206,
                &[("content-range", "bytes 5-9/10"), ("content-range", "bytes 5-9/10")],
                5,
                &known,
                Meaning::Again,
            ),
            (206, &[("content-range", "bytes 4-9/10")], 5, &known, Meaning::Again),
            (206, &[("content-range", "bytes 6-9/10")], 5, &known, Meaning::Again),
            (206, &[("content-range", "bytes 5-10/10")], 5, &known, Meaning::Again),
            (206, &[("content-range", "bytes 5-4/10")], 5, &known, Meaning::Again),
            (206, &[("content-range", "bytes 5-18446744073709551615/*")], 5, &unknown, Meaning::Again),
            (206, &[("content-range", "bytes 5-18446744073709551616/*")], 5, &unknown, Meaning::Again),
            (206, &[("content-range", "bytes -5-9/10")], 5, &known, Meaning::Again),
            (206, &[("content-range", "lines 5-9/10")], 5, &known, Meaning::Again),
            (206, &[], 5, &known, Meaning::Again),
            (206, &[("content-type", "multipart/byteranges; boundary=x")], 5, &known, Meaning::Again),
            (
                206,
                &[("content-type", "Multipart/ByteRanges"), ("content-range", "bytes 5-9/10")],
                5,
                &known,
                Meaning::Again,
            ),
            (206, &[("content-range", "bytes 0-9/10")], 0, &known, Meaning::Failure),
            (416, &[("content-range", "bytes */5")], 5, &unknown, Meaning::Complete),
            (416, &[("content-range", "bytes */5")], 5, &known, Meaning::Again),
            (416, &[("content-range", "bytes */5"), ("etag", "\"b\"")], 5, &unknown, Meaning::Again),
            (416, &[("content-range", "bytes */4")], 5, &unknown, Meaning::Again),
            (416, &[], 0, &known, Meaning::Failure),
            (204, &[], 5, &known, Meaning::Failure),
        ];
        for (status, pairs, have, content, expected) in cases {
            let status = StatusCode::from_u16(*status).expect("a status");
            let found = meaning(status, &fields(pairs), *have, Some(content));
            assert_eq!(found, *expected, "{status} {pairs:?} {have}");
        }
    }

    #[test]
    fn rfc9110_14_4_a_part_is_the_one_that_was_asked_for() {
        let content = Content::of(&fields(&[("etag", "\"a\"")]), Some(10));
        let is = |range, etag| {
            is_part(&fields(&[("content-range", range), ("etag", etag)]), &(5..9), 10, content.as_ref())
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
        let of = |range| beginning(&fields(&[("content-range", range)]));
        assert_eq!(["bytes 0-4/10", "bytes 1-4/10", "bytes 0-4/*"].map(of), [Some((5, 10)), None, None]);
    }
}
