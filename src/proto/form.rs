//! Forms and queries: `name=value&name=value`, percent-encoded, with `+` for a space (the WHATWG's URL standard §5,
//! `application/x-www-form-urlencoded`).
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

/// Names and values as a query or a form: the other way round than [`fields`].
///
/// ```
/// let next = ringhttp::proto::form::encode([("text", "rock & roll"), ("page", &3.to_string())]);
/// assert_eq!(format!("/search?{next}"), "/search?text=rock+%26+roll&page=3");
/// ```
#[must_use]
pub fn encode<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> String {
    let mut encoded = String::new();
    for (name, value) in pairs {
        if !encoded.is_empty() {
            encoded.push('&');
        }
        push_encoded(&mut encoded, name.as_ref());
        encoded.push('=');
        push_encoded(&mut encoded, value.as_ref());
    }
    encoded
}

fn push_encoded(out: &mut String, text: &str) {
    for (index, word) in text.split(' ').enumerate() {
        out.push_str(if index > 0 { "+" } else { "" });
        out.extend(utf8_percent_encode(word, ENCODED));
    }
}

/// What is not of the `application/x-www-form-urlencoded` percent-encode set stays.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

/// The fields of `input`, in their order, decoded; borrowed where there was nothing to decode.
///
/// A name without `=` has an empty value, empty fields (`&&`) are none, and a percent sign that is followed by no two digits
/// stays.
///
/// ```
/// let fields = ringhttp::proto::form::fields(b"a=1&b=x+y%26z&&c").collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(fields, [("a".into(), "1".into()), ("b".into(), "x y&z".into()), ("c".into(), "".into())]);
/// # Ok::<(), ringhttp::proto::form::NotUtf8>(())
/// ```
pub fn fields(input: &[u8]) -> Fields<'_> {
    Fields { rest: input }
}

/// The iterator of [`fields`].
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(Cow<'a, str>, Cow<'a, str>), NotUtf8>;

    fn next(&mut self) -> Option<Self::Item> {
        while let [b'&', rest @ ..] = self.rest {
            self.rest = rest;
        }
        if self.rest.is_empty() {
            return None;
        }
        let (field, rest) = split(self.rest, b'&');
        self.rest = rest;
        let (name, value) = split(field, b'=');
        let pair = decoded(name).zip(decoded(value));
        Some(pair.ok_or_else(|| NotUtf8 { field: shown(name) }))
    }
}

/// A field whose name or value is not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotUtf8 {
    field: String,
}

impl fmt::Display for NotUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not UTF-8", self.field)
    }
}

impl Error for NotUtf8 {}

/// What stands before the first `separator` and behind it.
fn split(bytes: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match memchr::memchr(separator, bytes) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}

fn decoded(bytes: &[u8]) -> Option<Cow<'_, str>> {
    if memchr::memchr2(b'+', b'%', bytes).is_none() {
        return str::from_utf8(bytes).ok().map(Cow::Borrowed);
    }
    let spaced: Vec<u8> = bytes.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    let decoded = match percent_decode(&spaced).into() {
        Cow::Borrowed(_) => spaced,
        Cow::Owned(decoded) => decoded,
    };
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

/// A name as far as it is worth showing to who sent it.
fn shown(name: &[u8]) -> String {
    let end = name.len().min(SHOWN_BYTES_MAX);
    percent_decode(&name[..end]).decode_utf8_lossy().into_owned()
}

/// Bytes of a name that are shown: beyond, a client would only read back what it sent.
const SHOWN_BYTES_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_and_decoded() {
        type Case = (&'static [u8], &'static [(&'static str, &'static str)]);
        const CASES: &[Case] = &[
            (b"", &[]),
            (b"&&&", &[]),
            (b"=", &[("", "")]),
            (b"a", &[("a", "")]),
            (b"a=", &[("a", "")]),
            (b"=b", &[("", "b")]),
            (b"a=b=c", &[("a", "b=c")]),
            (b"a=1&a=2&", &[("a", "1"), ("a", "2")]),
            (b"a+b=c%2Bd%20e", &[("a b", "c+d e")]),
            (b"%C3%A4=%c3%a4", &[("\u{e4}", "\u{e4}")]),
            (b"\xc3\xa4=100%", &[("\u{e4}", "100%")]),
            (b"a=%zz%4", &[("a", "%zz%4")]),
            (b"a%00b=%00", &[("a\0b", "\0")]),
            (b"a;b=c?d/e", &[("a;b", "c?d/e")]),
        ];
        for (input, expected) in CASES {
            let found: Vec<_> = fields(input).map(|field| field.expect("it is UTF-8")).collect();
            let expected: Vec<(Cow<'_, str>, Cow<'_, str>)> =
                expected.iter().map(|&(name, value)| (name.into(), value.into())).collect();
            assert_eq!(found, expected, "{}", input.escape_ascii());
            let encoded = encode(expected.iter().cloned());
            let again: Vec<_> = fields(encoded.as_bytes()).map(|field| field.expect("it is UTF-8")).collect();
            assert_eq!(again, expected, "{encoded}");
        }
    }

    #[test]
    fn what_is_not_utf8_is_named() {
        for (input, text) in [
            (&b"a=%FF"[..], "`a` is not UTF-8"),
            (b"a=\xff", "`a` is not UTF-8"),
            (b"a=%C3", "`a` is not UTF-8"),
            (b"a=%ED%A0%80", "`a` is not UTF-8"),
            (b"a=%C0%AF", "`a` is not UTF-8"),
            (b"b%FF=a", "`b\u{fffd}` is not UTF-8"),
        ] {
            let error = fields(input).next().unwrap().unwrap_err();
            assert_eq!(error.to_string(), text, "{}", input.escape_ascii());
        }
        let long = [vec![b'x'; 100_000].as_slice(), b"\xff=a"].concat();
        assert!(fields(&long).next().unwrap().unwrap_err().to_string().len() < 200);
    }
}
