//! Percent-encoding of paths (RFC 3986 §2.1, §6.2.2): one spelling for all paths that mean the same, and values made fit
//! for a path.
//!
//! The one spelling: a byte that may stand in a path stands there itself, every other is `%XX` with capitals. `%2F` and
//! `%25` stay what they are, so segments keep their borders and nothing is decoded twice. A percent sign without two
//! digits behind it stands for itself.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use super::syntax::{self, PATH};

/// A path in its one spelling: the same text, borrowed, if it is already.
///
/// Without a percent sign, the path of a request that was accepted always is.
#[must_use]
pub fn canonical_path(path: &str) -> Cow<'_, str> {
    let mut canonical = String::with_capacity(path.len());
    for unit in Units(path.as_bytes()) {
        unit.push_to(&mut canonical);
    }
    if canonical == path { Cow::Borrowed(path) } else { Cow::Owned(canonical) }
}

/// Where in `path` the byte `at` of its canonical form comes from.
#[must_use]
pub fn raw_offset(path: &str, at: usize) -> usize {
    let mut rest = Units(path.as_bytes());
    let mut canonical_bytes = 0;
    while canonical_bytes < at
        && let Some(unit) = rest.next()
    {
        canonical_bytes += unit.canonical_bytes();
    }
    path.len() - rest.0.len()
}

/// Appends a value to a path: what is not allowed in one segment becomes `%XX`. `slashes`: whether a `/` stands for itself.
pub fn push_encoded(path: &mut String, value: &str, slashes: bool) {
    for byte in value.bytes() {
        let stands = match byte {
            b'/' => slashes,
            b'%' => false,
            _ => syntax::is(byte, PATH),
        };
        push_byte(path, byte, stands);
    }
}

/// Bytes of a path, each with what it was written as.
struct Units<'path>(&'path [u8]);

enum Unit {
    Plain(u8),
    Escaped(u8),
}

impl Iterator for Units<'_> {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        if let &[b'%', high, low, ref rest @ ..] = self.0
            && let (Some(high), Some(low)) = (digit(high), digit(low))
        {
            self.0 = rest;
            return Some(Unit::Escaped(high << 4 | low));
        }
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(Unit::Plain(byte))
    }
}

impl Unit {
    fn push_to(&self, path: &mut String) {
        match *self {
            Self::Plain(byte) => push_byte(path, byte, syntax::is(byte, PATH)),
            Self::Escaped(byte) => push_byte(path, byte, may_be_decoded(byte)),
        }
    }

    fn canonical_bytes(&self) -> usize {
        let stands = match *self {
            Self::Plain(byte) => syntax::is(byte, PATH),
            Self::Escaped(byte) => may_be_decoded(byte),
        };
        if stands { 1 } else { "%XX".len() }
    }
}

fn may_be_decoded(byte: u8) -> bool {
    syntax::is(byte, PATH) && !matches!(byte, b'/' | b'%')
}

fn push_byte(path: &mut String, byte: u8, stands: bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if stands {
        path.push(char::from(byte));
    } else {
        path.push('%');
        path.push(char::from(DIGITS[usize::from(byte >> 4)]));
        path.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

fn digit(byte: u8) -> Option<u8> {
    let value = char::from(byte).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3986_6_2_2_one_spelling_for_paths_that_mean_the_same() {
        const CASES: &[(&str, &str)] = &[
            ("/", "/"),
            ("/a/b-c.d~e_f:@!$&'()*+,;=", "/a/b-c.d~e_f:@!$&'()*+,;="),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/caf%C3%A9", "/caf%C3%A9"),
            ("/café", "/caf%C3%A9"),
            ("/%61%62%2f%2F", "/ab%2F%2F"),
            ("/%2e%2E/x", "/../x"),
            ("/%25%32%35", "/%2525"),
            ("/a b{}", "/a%20b%7B%7D"),
            ("/%", "/%"),
            ("/%4", "/%4"),
            ("/%zz%+1", "/%zz%+1"),
            ("/%00%ff", "/%00%FF"),
        ];
        for &(path, canonical) in CASES {
            assert_eq!(canonical_path(path), canonical, "{path}");
            assert_eq!(matches!(canonical_path(path), Cow::Borrowed(_)), path == canonical, "{path}");
        }
    }

    #[test]
    fn every_byte_has_one_spelling_and_finds_its_place() {
        for byte in 0..=255_u8 {
            let (upper, lower) = (format!("/%{byte:02X}z"), format!("/%{byte:02x}z"));
            let canonical = canonical_path(&upper);
            assert_eq!(canonical, canonical_path(&lower));
            let decoded = canonical.len() == "/xz".len();
            assert_eq!(decoded, may_be_decoded(byte), "{byte}");
            assert_eq!(canonical_path(&canonical), canonical, "{byte}: twice is once");
            assert_eq!(raw_offset(&lower, canonical.len() - 1), 4, "{byte}");
            assert_eq!((raw_offset(&lower, 0), raw_offset(&lower, canonical.len())), (0, 5));
        }
    }

    #[test]
    fn values_stay_in_their_segment() {
        const CASES: &[(&str, &str, &str)] = &[
            ("a b/c%é?#", "a%20b%2Fc%25%C3%A9%3F%23", "a%20b/c%25%C3%A9%3F%23"),
            ("x.y-z~", "x.y-z~", "x.y-z~"),
            ("\r\n\0\\", "%0D%0A%00%5C", "%0D%0A%00%5C"),
        ];
        for &(value, segment, rest) in CASES {
            for (slashes, expected) in [(false, segment), (true, rest)] {
                let mut path = String::new();
                push_encoded(&mut path, value, slashes);
                assert_eq!(path, expected);
            }
        }
    }
}
