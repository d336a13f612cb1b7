//! Conditional requests (RFC 9110 §13): whether a request still makes sense with what the server has now.
#![forbid(unsafe_code)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::etag::{Etag, Tag};

/// What tells versions of a resource apart: a tag, the time of the last change, both or neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// The tag of the present version.
    pub etag: Option<Etag>,
    /// When the present version was made. Compared in whole seconds, as `Last-Modified` says it.
    pub modified: Option<SystemTime>,
}

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request is to be answered as if it had no conditions.
    Proceed,
    /// 304: the client has the present version.
    NotModified,
    /// 412: the client means another version than the present one.
    PreconditionFailed,
}

/// Evaluates the conditions of a request in the order of RFC 9110 §13.2.2, all but `If-Range`.
///
/// `current`: the validators of what the request is about, `None` if there is no such thing (yet). Only evaluate where the
/// answer without conditions would be a 2xx.
///
/// Dates that are none, and dates where there is no time of the last change, are ignored, as the RFC asks. A list of tags
/// that is malformed matches nothing in `If-Match`. In `If-None-Match` it is ignored for GET and HEAD and fails all other methods: they
/// would change something.
#[must_use]
pub fn evaluate(method: &Method, headers: &HeaderMap, current: Option<&Validators>) -> Verdict {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    if headers.contains_key(IF_MATCH) {
        if matches_any(headers, IF_MATCH, current, |own, tag| own.strongly_equals(tag)) != Some(true) {
            return Verdict::PreconditionFailed;
        }
    } else if changed_since(headers, IF_UNMODIFIED_SINCE, current) == Some(true) {
        return Verdict::PreconditionFailed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        return match matches_any(headers, IF_NONE_MATCH, current, |own, tag| own.weakly_equals(tag)) {
            Some(true) if reads => Verdict::NotModified,
            None if reads => Verdict::Proceed,
            Some(false) => Verdict::Proceed,
            Some(true) | None => Verdict::PreconditionFailed,
        };
    }
    if reads && changed_since(headers, IF_MODIFIED_SINCE, current) == Some(false) {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether the `Range` of a request is to be honoured, by its `If-Range` (RFC 9110 §13.1.5): always without one; with one
/// if it names the present version, by a strong tag or by exactly the time of the last change. The time tells versions apart
/// only if it is over: within the second that `now` is in, the same time may come to mean another version (§8.8.2.2).
#[must_use]
pub fn range_applies(headers: &HeaderMap, current: &Validators, now: SystemTime) -> bool {
    let Some(condition) = headers.get(IF_RANGE) else {
        return true;
    };
    if let Ok(tag) = Etag::parse(condition.as_bytes()) {
        return current.etag.as_ref().is_some_and(|etag| etag.strongly_equals(&tag));
    }
    match (date(condition), current.modified) {
        (Some(date), Some(modified)) => {
            seconds(date) == seconds(modified) && seconds(modified) < seconds(now)
        }
        _ => false,
    }
}

/// The value of a `Last-Modified` field in an answer that is made at `now`. `None` while the second of the change is not over, for
/// another version may come that is of it too, and whoever was told of one would take it for the other (RFC 9110 §8.8.2.2); of a
/// time to come (§8.8.2.1); and of one before 1970 or behind the year 9999, which cannot be said.
#[must_use]
pub fn last_modified(time: SystemTime, now: SystemTime) -> Option<HeaderValue> {
    if seconds(time) >= seconds(now) {
        return None;
    }
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    // `httpdate` panics behind the year 9999.
    (since < Duration::from_secs(253_402_300_800))
        .then(|| HeaderValue::try_from(httpdate::fmt_http_date(time)).expect("a date is text"))
}

/// The time that a date field says (RFC 9110 §5.6.7), in any of the three forms.
#[must_use]
pub fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

/// Whether the fields of a name match the present version; `None` if they are malformed.
///
/// The loop is bounded by the size of the head.
fn matches_any(
    headers: &HeaderMap,
    name: HeaderName,
    current: Option<&Validators>,
    equals: fn(Tag<'_>, Tag<'_>) -> bool,
) -> Option<bool> {
    let values = headers.get_all(name);
    if values.iter().any(|value| value.as_bytes() == b"*") {
        return Some(current.is_some());
    }
    let own = current.and_then(|current| current.etag.as_ref()).map(Etag::tag);
    let mut found = false;
    for value in values {
        let mut rest = value.as_bytes();
        loop {
            // Empty elements are skipped (RFC 9110 §5.6.1.2).
            rest = rest.trim_ascii_start();
            if let Some(behind) = rest.strip_prefix(b",") {
                rest = behind;
                continue;
            }
            if rest.is_empty() {
                break;
            }
            let (tag, behind) = Tag::take(rest)?;
            rest = behind.trim_ascii_start();
            if !matches!(rest, [] | [b',', ..]) {
                return None;
            }
            found |= own.is_some_and(|own| equals(own, tag));
        }
    }
    Some(found)
}

/// Whether the last change was after the date of a field; `None` if one of the two is not known.
fn changed_since(headers: &HeaderMap, name: HeaderName, current: Option<&Validators>) -> Option<bool> {
    let date = date(headers.get(name)?)?;
    Some(seconds(current?.modified?) > seconds(date))
}

/// Whole seconds since 1970; what is before counts as 0.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLY: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATE: &str = "Sunday, 06-Nov-94 08:49:38 GMT";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    /// Changed at `SAME`, and a bit: the bit does not count.
    fn current(etag: &str) -> Validators {
        let modified = UNIX_EPOCH + Duration::from_millis(784_111_777_900);
        Validators { etag: etag.parse().ok(), modified: Some(modified) }
    }

    #[test]
    fn rfc9110_13_2_2_order_of_preconditions() {
        use Verdict::{NotModified, PreconditionFailed, Proceed};
        type Case = (&'static str, &'static [(&'static str, &'static str)], Verdict);
        const CASES: &[Case] = &[
            ("GET", &[], Proceed),
            ("PUT", &[("if-match", "\"a\"")], Proceed),
            ("PUT", &[("if-match", "\"b\"")], PreconditionFailed),
            ("GET", &[("if-match", "\"b\", \"c,d\" ,,\"a\"")], Proceed),
            ("PUT", &[("if-match", "\"b\""), ("if-match", "\"a\"")], Proceed),
            ("PUT", &[("if-match", "*")], Proceed),
            ("PUT", &[("if-match", "W/\"a\"")], PreconditionFailed),
            ("PUT", &[("if-match", "a")], PreconditionFailed),
            ("PUT", &[("if-match", "\"a\" \"b\"")], PreconditionFailed),
            ("PUT", &[("if-match", "")], PreconditionFailed),
            // If-Match is there: the date does not count.
            ("PUT", &[("if-match", "\"a\""), ("if-unmodified-since", EARLY)], Proceed),
            ("PUT", &[("if-unmodified-since", EARLY)], PreconditionFailed),
            ("PUT", &[("if-unmodified-since", SAME)], Proceed),
            ("PUT", &[("if-unmodified-since", LATE)], Proceed),
            ("PUT", &[("if-unmodified-since", "yesterday")], Proceed),
            ("GET", &[("if-none-match", "\"a\"")], NotModified),
            ("HEAD", &[("if-none-match", "W/\"a\"")], NotModified),
            ("GET", &[("if-none-match", "\"x\", W/\"a\"")], NotModified),
            ("GET", &[("if-none-match", "*")], NotModified),
            ("GET", &[("if-none-match", "\"b\"")], Proceed),
            ("GET", &[("if-none-match", "a")], Proceed),
            ("PUT", &[("if-none-match", "*")], PreconditionFailed),
            ("PUT", &[("if-none-match", "\"a\"")], PreconditionFailed),
            ("PUT", &[("if-none-match", "\"b\"")], Proceed),
            ("PUT", &[("if-none-match", "b")], PreconditionFailed),
            // If-None-Match is there: the date does not count.
            ("GET", &[("if-none-match", "\"b\""), ("if-modified-since", LATE)], Proceed),
            ("GET", &[("if-modified-since", EARLY)], Proceed),
            ("GET", &[("if-modified-since", SAME)], NotModified),
            ("GET", &[("if-modified-since", LATE)], NotModified),
            ("GET", &[("if-modified-since", "Sun Nov  6 08:49:37 1994")], NotModified),
            ("GET", &[("if-modified-since", "0")], Proceed),
            ("GET", &[("if-modified-since", "Sun, 99 Nov 1994 08:49:37 GMT")], Proceed),
            ("POST", &[("if-modified-since", LATE)], Proceed),
            // 412 goes before 304.
            ("GET", &[("if-match", "\"b\""), ("if-none-match", "\"a\"")], PreconditionFailed),
            ("GET", &[("if-unmodified-since", EARLY), ("if-none-match", "\"a\"")], PreconditionFailed),
        ];
        for &(method, lines, verdict) in CASES {
            let found = evaluate(&method.parse().unwrap(), &headers(lines), Some(&current("\"a\"")));
            assert_eq!(found, verdict, "{method} {lines:?}");
        }
    }

    #[test]
    fn what_does_not_exist_matches_nothing() {
        let cases = [
            ("if-match", "*", Verdict::PreconditionFailed),
            ("if-match", "\"a\"", Verdict::PreconditionFailed),
            ("if-none-match", "*", Verdict::Proceed),
            ("if-unmodified-since", EARLY, Verdict::Proceed),
        ];
        for (name, value, verdict) in cases {
            assert_eq!(evaluate(&Method::PUT, &headers(&[(name, value)]), None), verdict, "{name}: {value}");
        }
    }

    #[test]
    fn without_validators_only_the_star_matches() {
        let none = Validators::default();
        let verdict = |lines| evaluate(&Method::GET, &headers(lines), Some(&none));
        assert_eq!(verdict(&[("if-none-match", "*")]), Verdict::NotModified);
        assert_eq!(verdict(&[("if-none-match", "\"a\"")]), Verdict::Proceed);
        assert_eq!(verdict(&[("if-modified-since", LATE)]), Verdict::Proceed);
        assert_eq!(verdict(&[("if-match", "\"a\"")]), Verdict::PreconditionFailed);
    }

    #[test]
    fn a_thousand_tags_are_compared_one_by_one() {
        let tags: Vec<String> = (0..1000).map(|number| format!("\"{number}\"")).collect();
        let tags = headers(&[("if-none-match", &tags.join(","))]);
        let verdict = |etag: &str| evaluate(&Method::GET, &tags, Some(&current(etag)));
        assert_eq!(verdict("\"999\""), Verdict::NotModified);
        assert_eq!(verdict("\"1000\""), Verdict::Proceed);
    }

    #[test]
    fn rfc9110_13_1_5_if_range() {
        const CASES: &[(&str, &str, bool)] = &[
            ("\"a\"", "\"a\"", true),
            ("\"b\"", "\"a\"", false),
            ("W/\"a\"", "W/\"a\"", false),
            ("\"a\"", "W/\"a\"", false),
            ("\"a\", \"a\"", "\"a\"", false),
            (SAME, "\"a\"", true),
            (EARLY, "\"a\"", false),
            (LATE, "\"a\"", false),
            ("*", "\"a\"", false),
            ("", "\"a\"", false),
        ];
        for &(condition, etag, applies) in CASES {
            let headers = headers(&[("if-range", condition)]);
            let (current, later) = (current(etag), UNIX_EPOCH + Duration::from_secs(784_111_778));
            assert_eq!(range_applies(&headers, &current, later), applies, "{condition} {etag}");
            assert!(!range_applies(&headers, &Validators::default(), later));
        }
        assert!(range_applies(&HeaderMap::new(), &Validators::default(), UNIX_EPOCH));
    }

    #[test]
    fn rfc9110_8_8_2_2_a_date_is_strong_when_its_second_is_over() {
        let date = headers(&[("if-range", SAME)]);
        for (now_millis, applies) in
            [(784_111_776_000, false), (784_111_777_999, false), (784_111_778_000, true)]
        {
            let now = UNIX_EPOCH + Duration::from_millis(now_millis);
            assert_eq!(range_applies(&date, &current("\"a\""), now), applies, "{now_millis}");
        }
        let tag = headers(&[("if-range", "\"a\"")]);
        assert!(range_applies(&tag, &current("\"a\""), UNIX_EPOCH), "a tag is at any time");
    }

    #[test]
    fn dates_that_cannot_be_said_are_left_out() {
        let far = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        let beyond = far + Duration::from_secs(1);
        assert_eq!(last_modified(current("").modified.unwrap(), far).unwrap(), SAME);
        assert_eq!(last_modified(UNIX_EPOCH - Duration::from_secs(1), far), None);
        assert_eq!(last_modified(far, beyond).unwrap(), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(last_modified(beyond, beyond + Duration::from_secs(1)), None);
        assert_eq!(last_modified(UNIX_EPOCH, UNIX_EPOCH), None);
    }

    #[test]
    fn rfc9110_8_8_2_a_second_that_is_not_over_is_not_said() {
        let now = current("").modified.unwrap();
        for (time, at, said) in [
            (now + Duration::from_secs(3600), now, None),
            (now, now, None),
            (now, now + Duration::from_millis(99), None),
            (now, now + Duration::from_millis(100), Some(SAME)),
        ] {
            let value = last_modified(time, at);
            assert_eq!(value.as_ref().map(|value| value.to_str().unwrap()), said, "{time:?} {at:?}");
        }
    }

    /// Two versions of one second: who has a part of the first has no date for it.
    #[test]
    fn rfc9110_8_8_2_2_versions_of_one_second_are_told_apart() {
        let second = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let at = |millis| second + Duration::from_millis(millis);
        for told in [200, 800, 999] {
            assert_eq!(last_modified(at(100), at(told)), None);
        }
        // Once the second is over, its last version is the one that is named.
        let said = last_modified(at(800), at(1000)).unwrap();
        let condition = headers(&[("if-range", said.to_str().unwrap())]);
        let current = Validators { etag: None, modified: Some(at(800)) };
        assert!(range_applies(&condition, &current, at(1000)));
    }
}
