//! Entity tags (RFC 9110 §8.8.3): the names of a resource's versions, and how two of them are compared.
#![forbid(unsafe_code)]

use std::fmt;
use std::hash::Hasher;
use std::str::FromStr;

use http::HeaderValue;

/// An entity tag (RFC 9110 §8.8.3): `"v1"` if it is strong, `W/"v1"` if it is weak.
///
/// A strong tag changes whenever a byte of the body does; a weak one when the change matters.
///
/// ```
/// use ringhttp::proto::Etag;
///
/// let tag = Etag::strong("v1")?;
/// assert_eq!(tag.to_string(), "\"v1\"");
/// assert!(tag.strongly_equals(&"\"v1\"".parse()?));
/// assert!(!tag.strongly_equals(&"W/\"v1\"".parse()?));
/// assert!(tag.weakly_equals(&"W/\"v1\"".parse()?));
/// # Ok::<(), ringhttp::proto::EtagInvalid>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Etag {
    /// As it is sent.
    value: HeaderValue,
}

/// A text that cannot be an entity tag: quotes, spaces and control characters have no place in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EtagInvalid;

impl Etag {
    /// A strong tag of a text, which is put in quotes.
    ///
    /// # Errors
    /// [`EtagInvalid`] if the text has a quote, a space or a control character.
    pub fn strong(text: &str) -> Result<Self, EtagInvalid> {
        Self::parse(format!("\"{text}\"").as_bytes())
    }

    /// A weak tag of a text, which is put in quotes.
    ///
    /// # Errors
    /// As [`strong`](Self::strong).
    pub fn weak(text: &str) -> Result<Self, EtagInvalid> {
        Self::parse(format!("W/\"{text}\"").as_bytes())
    }

    /// A strong tag of a body: its length and 64 bits of a hash of it.
    ///
    /// The hash is no cryptographic one: who may choose the body can make two with the same tag. It may change with the
    /// version of the compiler, and then all clients fetch once more.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        // With fixed keys: all cores, and all servers of one build, agree.
        #[expect(deprecated, reason = "DefaultHasher names no algorithm, and may be keyed one day")]
        let mut hasher = std::hash::SipHasher::new();
        hasher.write(bytes);
        let text = format!("\"{:x}-{:016x}\"", bytes.len(), hasher.finish());
        Self { value: HeaderValue::try_from(text).expect("hexadecimal digits and a dash") }
    }

    /// A tag as it stands in a field, quotes and `W/` included.
    ///
    /// # Errors
    /// [`EtagInvalid`] if it is not one tag.
    pub fn parse(bytes: &[u8]) -> Result<Self, EtagInvalid> {
        match Tag::take(bytes) {
            Some((_, [])) => {
                HeaderValue::from_bytes(bytes).map(|value| Self { value }).map_err(|_| EtagInvalid)
            }
            _ => Err(EtagInvalid),
        }
    }

    /// Whether it is a weak one.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.value.as_bytes().starts_with(b"W/")
    }

    /// The weak tag of the same text: for a body that means the same, but has other bytes.
    #[must_use]
    pub fn to_weak(&self) -> Self {
        if self.is_weak() {
            return self.clone();
        }
        let value = [b"W/", self.value.as_bytes()].concat();
        Self { value: HeaderValue::from_bytes(&value).expect("a field value behind two letters") }
    }

    /// As the value of an `ETag` field.
    #[must_use]
    pub fn to_value(&self) -> HeaderValue {
        self.value.clone()
    }

    /// Whether both are strong and have the same text (RFC 9110 §8.8.3.2).
    #[must_use]
    pub fn strongly_equals(&self, other: &Self) -> bool {
        self.tag().strongly_equals(other.tag())
    }

    /// Whether both have the same text (RFC 9110 §8.8.3.2).
    #[must_use]
    pub fn weakly_equals(&self, other: &Self) -> bool {
        self.tag().text == other.tag().text
    }

    pub(super) fn tag(&self) -> Tag<'_> {
        Tag::take(self.value.as_bytes()).expect("checked when it was made").0
    }
}

impl FromStr for Etag {
    type Err = EtagInvalid;

    fn from_str(text: &str) -> Result<Self, EtagInvalid> {
        Self::parse(text.as_bytes())
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.value.as_bytes()))
    }
}

impl fmt::Debug for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Etag({self})")
    }
}

impl fmt::Display for EtagInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this cannot be an entity tag")
    }
}

impl std::error::Error for EtagInvalid {}

/// A tag where it stands in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag<'field> {
    weak: bool,
    /// With its quotes.
    text: &'field [u8],
}

impl<'field> Tag<'field> {
    /// Takes one tag off the front; gives what stands behind it.
    pub(super) fn take(bytes: &'field [u8]) -> Option<(Self, &'field [u8])> {
        let weak = bytes.starts_with(b"W/");
        let quoted = if weak { &bytes[2..] } else { bytes };
        let inner = quoted.strip_prefix(b"\"")?;
        // RFC 9110 §8.8.3: etagc is a visible character but the quote, or obs-text. A backslash escapes nothing.
        let end = inner.iter().position(|&byte| !matches!(byte, b'!' | b'#'..=b'~' | 0x80..))?;
        (inner[end] == b'"').then(|| {
            let (text, rest) = quoted.split_at(end + 2);
            (Self { weak, text }, rest)
        })
    }

    pub(super) fn strongly_equals(self, other: Self) -> bool {
        !self.weak && !other.weak && self.text == other.text
    }

    pub(super) fn weakly_equals(self, other: Self) -> bool {
        self.text == other.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_8_8_3_tags_are_quoted_visible_characters() {
        for good in ["\"\"", "\"a\"", "W/\"a\"", "\"!#$%&'()*+,-./\\~\"", "\"\u{e4}\""] {
            assert_eq!(good.parse::<Etag>().expect(good).to_string(), good);
        }
        let bad = [
            "", "a", "\"", "W/", "W/a", "w/\"a\"", "\"a\"b", "\"a b\"", "\"a\"\"", "*", " \"a\"", "\"\x7f\"",
        ];
        for bad in bad {
            assert_eq!(bad.parse::<Etag>(), Err(EtagInvalid), "{bad:?}");
        }
        assert_eq!(Etag::strong("a\"b"), Err(EtagInvalid));
        assert_eq!(Etag::weak("a\r\nb"), Err(EtagInvalid));
    }

    #[test]
    fn rfc9110_8_8_3_2_comparison() {
        const CASES: &[(&str, &str, bool, bool)] = &[
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ];
        for &(left, right, strong, weak) in CASES {
            let (one, two) = (left.parse::<Etag>().unwrap(), right.parse::<Etag>().unwrap());
            let found = (one.strongly_equals(&two), one.weakly_equals(&two));
            assert_eq!(found, (strong, weak), "{left} {right}");
        }
    }

    #[test]
    fn tags_of_bodies_differ_when_the_bodies_do() {
        assert_eq!(Etag::of_bytes(b"a"), Etag::of_bytes(b"a"));
        assert_ne!(Etag::of_bytes(b"a"), Etag::of_bytes(b"b"));
        assert_eq!(Etag::of_bytes(b"").to_weak().to_weak(), Etag::of_bytes(b"").to_weak());
        assert!(Etag::of_bytes(b"a").to_weak().to_string().starts_with("W/\"1-"));
    }
}
