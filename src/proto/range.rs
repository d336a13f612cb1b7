//! Range requests (RFC 9110 §14): which bytes of a body a client asks for, and how an answer says which it has.
//!
//! Clients may ask for many ranges, and for the same bytes many times over; what is answered is never longer than the body.
#![forbid(unsafe_code)]

use std::ops::Range;

use bytes::Bytes;
use http::HeaderValue;

/// Ranges of one request that are honoured, unless another number is given: no honest client asks for more at once, and each
/// costs the answer some 100 bytes.
pub const RANGES_MAX: usize = 16;

/// Which bytes a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// All of them, by a 200: there is no range, or none that is to be honoured.
    Whole,
    /// These.
    One(Range<u64>),
    /// Two or more that do not touch, in the order they were asked for.
    Several(Vec<Range<u64>>),
    /// None that there are, which is a 416.
    Unsatisfiable,
}

impl Ranges {
    /// Reads the value of a `Range` field for a body of `length` bytes.
    ///
    /// Ignored, so that the whole body is the answer (RFC 9110 §14.2): another unit than `bytes`, what is malformed, more than
    /// `ranges_max` ranges, and any range of an empty body. Ranges that overlap or touch are joined and sorted (RFC 9110 §15.3.7.2).
    /// A position of any number of digits is understood.
    ///
    /// ```
    /// use ringhttp::proto::range::{RANGES_MAX, Ranges};
    ///
    /// assert_eq!(Ranges::parse(b"bytes=0-99", 1000, RANGES_MAX), Ranges::One(0..100));
    /// assert_eq!(Ranges::parse(b"bytes=-10", 1000, RANGES_MAX), Ranges::One(990..1000));
    /// assert_eq!(Ranges::parse(b"bytes=1000-", 1000, RANGES_MAX), Ranges::Unsatisfiable);
    /// assert_eq!(Ranges::parse(b"bytes=9-1", 1000, RANGES_MAX), Ranges::Whole);
    /// ```
    #[must_use]
    pub fn parse(value: &[u8], length: u64, ranges_max: usize) -> Self {
        match satisfiable(value, length, ranges_max) {
            None => Self::Whole,
            Some(ranges) => match <[_; 1]>::try_from(joined(ranges)) {
                Ok([range]) => Self::One(range),
                Err(ranges) if ranges.is_empty() => Self::Unsatisfiable,
                Err(ranges) => Self::Several(ranges),
            },
        }
    }
}

/// The ranges that there are; `None` if the field is to be ignored.
fn satisfiable(value: &[u8], length: u64, ranges_max: usize) -> Option<Vec<Range<u64>>> {
    let (unit, set) = value.split_at(value.iter().position(|&byte| byte == b'=')?);
    if !unit.eq_ignore_ascii_case(b"bytes") || length == 0 {
        return None;
    }
    let mut ranges = Vec::new();
    let mut count = 0;
    // An empty element counts too: the loop ends behind `ranges_max` of whatever was sent.
    for spec in set[1..].split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        count += 1;
        if count > ranges_max {
            return None;
        }
        if spec.is_empty() {
            continue;
        }
        ranges.extend(range(spec, length)?.filter(|range| !range.is_empty()));
    }
    // Of nothing but empty elements nobody knows what it means.
    (set[1..].iter().any(u8::is_ascii_digit)).then_some(ranges)
}

/// One range (RFC 9110 §14.1.2): outer `None` if it is malformed, inner `None` if the body does not have it.
#[expect(clippy::option_option, reason = "malformed and not there are different answers")]
fn range(spec: &[u8], length: u64) -> Option<Option<Range<u64>>> {
    let dash = spec.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    if first.is_empty() {
        let suffix = position(last)?.min(length);
        return Some((suffix > 0).then(|| length - suffix..length));
    }
    let first = position(first)?;
    let end = if last.is_empty() {
        length
    } else {
        let last = position(last)?;
        // Not with saturated numbers: two that are too large cannot be told apart, and neither is there.
        if last < first {
            return None;
        }
        last.saturating_add(1).min(length)
    };
    Some((first < length).then_some(first..end))
}

/// A number of digits. One that is too large for a body is as good as the largest.
fn position(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |number: u64, digit: &u8| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(digits.iter().fold(0, number))
}

/// The ranges as they are if none touches another, else sorted and joined.
fn joined(ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted = ranges.clone();
    sorted.sort_unstable_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    if joined.len() == ranges.len() { ranges } else { joined }
}

/// The value of `Content-Range` in a 206 (RFC 9110 §14.4): `bytes 0-99/1000`.
///
/// # Panics
/// If the range is empty: there is no way to say it.
#[must_use]
pub fn content_range(range: &Range<u64>, length: u64) -> HeaderValue {
    assert!(!range.is_empty(), "a range has at least one byte");
    let text = format!("bytes {}-{}/{length}", range.start, range.end - 1);
    HeaderValue::try_from(text).expect("digits and separators")
}

/// The value of `Content-Range` in a 416 (RFC 9110 §15.5.17): `bytes */1000`.
#[must_use]
pub fn unsatisfied_range(length: u64) -> HeaderValue {
    HeaderValue::try_from(format!("bytes */{length}")).expect("digits and separators")
}

/// What stands between the ranges of a 206 with several of them (`multipart/byteranges`, RFC 9110 §14.6): [`parts`](Self::parts)
/// gives the head of each and its range; the [`end`](Self::end) stands behind the last.
#[derive(Debug)]
pub struct Multipart {
    boundary: String,
    heads: Vec<(Bytes, Range<u64>)>,
}

impl Multipart {
    /// Parts for `ranges` of a body of `length` bytes and of the type `content_type`.
    ///
    /// `boundary`: a number that the body does not contain the hexadecimal digits of, that is, a random one.
    #[must_use]
    pub fn new(
        boundary: u128,
        ranges: Vec<Range<u64>>,
        length: u64,
        content_type: Option<&HeaderValue>,
    ) -> Self {
        let boundary = format!("{boundary:032x}");
        let head = |range: Range<u64>| {
            let mut head = format!("\r\n--{boundary}\r\n").into_bytes();
            if let Some(content_type) = content_type {
                head.extend_from_slice(b"content-type: ");
                head.extend_from_slice(content_type.as_bytes());
                head.extend_from_slice(b"\r\n");
            }
            head.extend_from_slice(b"content-range: ");
            head.extend_from_slice(content_range(&range, length).as_bytes());
            head.extend_from_slice(b"\r\n\r\n");
            (Bytes::from(head), range)
        };
        Self { heads: ranges.into_iter().map(head).collect(), boundary }
    }

    /// The type of the whole.
    #[must_use]
    pub fn content_type(&self) -> HeaderValue {
        let text = format!("multipart/byteranges; boundary={}", self.boundary);
        HeaderValue::try_from(text).expect("letters and digits")
    }

    /// Bytes of the whole.
    #[must_use]
    pub fn length(&self) -> u64 {
        let parts: u64 =
            self.heads.iter().map(|(head, range)| head.len() as u64 + (range.end - range.start)).sum();
        parts + self.end().len() as u64
    }

    /// The parts in order: what goes before each, and the range that goes behind that.
    pub fn parts(&self) -> impl Iterator<Item = (Bytes, Range<u64>)> {
        self.heads.iter().cloned()
    }

    /// What goes behind the last part.
    #[must_use]
    pub fn end(&self) -> Bytes {
        Bytes::from(format!("\r\n--{}--\r\n", self.boundary))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str, length: u64) -> Ranges {
        Ranges::parse(value.as_bytes(), length, RANGES_MAX)
    }

    #[test]
    fn rfc9110_14_1_2_single_ranges() {
        let cases: &[(&str, Option<Range<u64>>)] = &[
            ("bytes=0-499", Some(0..500)),
            ("bytes=500-999", Some(500..1000)),
            ("bytes=-500", Some(500..1000)),
            ("bytes=9-", Some(9..1000)),
            ("Bytes=0-0", Some(0..1)),
            ("bytes=-1", Some(999..1000)),
            ("bytes=-5000", Some(0..1000)),
            ("bytes=0-99999", Some(0..1000)),
            ("bytes=0-18446744073709551615", Some(0..1000)),
            ("bytes=0-99999999999999999999999999999999", Some(0..1000)),
            ("bytes=-99999999999999999999999999999999", Some(0..1000)),
            ("bytes=0000000000000000000000001-00000000000000000000000000002", Some(1..3)),
            ("bytes= 1-2 , ", Some(1..3)),
            ("bytes=,1-2", Some(1..3)),
            ("bytes=1-2,5000-", Some(1..3)),
            ("bytes=1000-", None),
            ("bytes=1000-1000", None),
            ("bytes=-0", None),
            ("bytes=18446744073709551615-", None),
            ("bytes=99999999999999999999999999999999-", None),
            ("bytes=99999999999999999999-99999999999999999998", None),
            ("bytes=-0,5000-", None),
        ];
        for (value, range) in cases {
            let expected = range.clone().map_or(Ranges::Unsatisfiable, Ranges::One);
            assert_eq!(parse(value, 1000), expected, "{value}");
        }
    }

    #[test]
    fn rfc9110_14_2_what_is_malformed_is_ignored() {
        const BAD: &[&str] = &[
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=1-2-3",
            "bytes=--1",
            "bytes=+1-2",
            "bytes=1-+2",
            "bytes=0x1-2",
            "bytes=5-4",
            "bytes=1 - 2",
            "bytes=1-2;3-4",
            "bytes=1-2,x",
            "bytes =1-2",
            " bytes=1-2",
            "lines=1-2",
            "bytes:1-2",
            "bytes=\u{663}-\u{664}",
        ];
        for value in BAD {
            assert_eq!(parse(value, 1000), Ranges::Whole, "{value:?}");
        }
        for value in ["bytes=0-", "bytes=-1", "bytes=5-9"] {
            assert_eq!(parse(value, 0), Ranges::Whole, "{value:?} of nothing");
        }
    }

    #[test]
    fn rfc9110_15_3_7_2_several_ranges_never_give_a_byte_twice() {
        let cases: &[(&str, &[Range<u64>])] = &[
            ("bytes=0-0,-1", &[0..1, 999..1000]),
            ("bytes=500-600,0-9", &[500..601, 0..10]),
            ("bytes=500-600,601-700,0-9", &[0..10, 500..701]),
            ("bytes=0-9,100-,50-60,5-20,900-901", &[0..21, 50..61, 100..1000]),
        ];
        for (value, ranges) in cases {
            assert_eq!(parse(value, 1000), Ranges::Several(ranges.to_vec()), "{value}");
        }
        assert_eq!(parse("bytes=0-,0-,0-,0-", 1000), Ranges::One(0..1000));
        assert_eq!(parse("bytes=0-499,500-", 1000), Ranges::One(0..1000));
    }

    #[test]
    fn too_many_ranges_are_ignored() {
        let of = |count: u32| {
            let ranges: Vec<String> = (0..count).map(|at| format!("{}-{}", 3 * at, 3 * at)).collect();
            parse(&format!("bytes={}", ranges.join(",")), 1_000_000)
        };
        assert!(matches!(of(16), Ranges::Several(ranges) if ranges.len() == 16));
        assert_eq!(of(17), Ranges::Whole);
        assert_eq!(of(10_000), Ranges::Whole);
        assert_eq!(parse(&format!("bytes={}1-2", ",".repeat(16)), 10), Ranges::Whole);
    }

    #[test]
    fn any_body_of_any_ranges_stays_within_its_length() {
        for length in 1..12_u64 {
            for first in 0..13 {
                for last in 0..13 {
                    let value = format!("bytes={first}-{last},-{first}");
                    let ranges = match parse(&value, length) {
                        Ranges::One(range) => vec![range],
                        Ranges::Several(ranges) => ranges,
                        Ranges::Whole | Ranges::Unsatisfiable => continue,
                    };
                    let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
                    assert!(total <= length, "{value} of {length}: {ranges:?}");
                    assert!(ranges.iter().all(|range| range.start < range.end && range.end <= length));
                }
            }
        }
    }

    #[test]
    fn rfc9110_14_6_parts_are_as_long_as_they_say() {
        let body = b"0123456789";
        let content_type = HeaderValue::from_static("text/plain");
        let parts = Multipart::new(0xabc, vec![0..2, 8..10], 10, Some(&content_type));
        let mut whole = Vec::new();
        for (head, range) in parts.parts() {
            whole.extend_from_slice(&head);
            whole.extend_from_slice(
                &body[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()],
            );
        }
        whole.extend_from_slice(&parts.end());
        assert_eq!(whole.len() as u64, parts.length());
        let boundary = format!("{:032x}", 0xabc);
        let expected = format!(
            "\r\n--{boundary}\r\ncontent-type: text/plain\r\ncontent-range: bytes 0-1/10\r\n\r\n01\
             \r\n--{boundary}\r\ncontent-type: text/plain\r\ncontent-range: bytes 8-9/10\r\n\r\n89\
             \r\n--{boundary}--\r\n"
        );
        assert_eq!(String::from_utf8(whole).unwrap(), expected);
        assert_eq!(parts.content_type(), format!("multipart/byteranges; boundary={boundary}"));
        assert_eq!(content_range(&(0..1), 1), "bytes 0-0/1");
        assert_eq!(unsatisfied_range(7), "bytes */7");
    }
}
