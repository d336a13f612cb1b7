//! The `Content-Type` field: a media type and its parameters (RFC 9110 §8.3).
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt;

use super::http1::syntax;
use super::parameters::Parameters;

/// A media type as a message names it, and its parameters.
///
/// ```
/// use ringhttp::proto::ContentType;
///
/// let of_form = ContentType::parse(b"multipart/form-data; boundary=\"a b\"").unwrap();
/// assert!(of_form.is("multipart/form-data") && of_form.is_multipart());
/// assert_eq!(of_form.parameter("boundary").as_deref(), Some("a b"));
///
/// assert_eq!(ContentType::parse(b"Text/HTML;charset=Latin1").unwrap().charset().as_deref(), Some("Latin1"));
/// assert!(ContentType::parse(b"nothing of the kind").is_none());
/// ```
#[derive(Clone, Copy)]
pub struct ContentType<'a> {
    essence: &'a str,
    pub(super) parameters: Parameters<'a>,
}

impl<'a> ContentType<'a> {
    /// Reads the value of a field. `None` if it does not begin with `type/subtype`.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let (essence, rest) = value.split_at(memchr::memchr(b';', value).unwrap_or(value.len()));
        let essence = essence.trim_ascii();
        let (main, sub) = essence.split_at(memchr::memchr(b'/', essence)?);
        let is_token = |part: &[u8]| !part.is_empty() && syntax::all(part, syntax::TOKEN);
        if !is_token(main) || !is_token(&sub[1..]) {
            return None;
        }
        Some(Self { essence: str::from_utf8(essence).ok()?, parameters: Parameters { rest } })
    }

    /// `type/subtype` as it was sent, in any case; without parameters.
    #[must_use]
    pub fn essence(&self) -> &'a str {
        self.essence
    }

    /// Whether this is the media type `essence`, in any case (RFC 9110 §8.3.1).
    #[must_use]
    pub fn is(&self, essence: &str) -> bool {
        self.essence.eq_ignore_ascii_case(essence)
    }

    /// Whether it is one of `multipart/*`.
    #[must_use]
    pub fn is_multipart(&self) -> bool {
        let main = self.essence.split('/').next().unwrap_or_default();
        main.eq_ignore_ascii_case("multipart")
    }

    /// Whether it is `application/json`, or any type with the suffix `+json` (RFC 6839 §3.1).
    #[must_use]
    pub fn is_json(&self) -> bool {
        let suffix = self.essence.rsplit_once('+').map(|(_, suffix)| suffix);
        self.is("application/json") || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("json"))
    }

    /// The first parameter of a name (in any case), without its quotes. One that is not UTF-8 or malformed is passed over.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<Cow<'a, str>> {
        let found = self.parameters.flatten().find(|(found, _)| found.eq_ignore_ascii_case(name))?.1;
        match found {
            Cow::Borrowed(bytes) => str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        }
    }

    /// The parameter `charset`: see [`charset::decode`](super::charset::decode).
    #[must_use]
    pub fn charset(&self) -> Option<Cow<'a, str>> {
        self.parameter("charset")
    }
}

impl fmt::Debug for ContentType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentType({}{})", self.essence, self.parameters.rest.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_8_3_media_types() {
        const GOOD: &[(&str, &str)] = &[
            ("text/plain", "text/plain"),
            (" text/plain ;", "text/plain"),
            ("Application/Vnd.api+JSON;a=b", "Application/Vnd.api+JSON"),
        ];
        for (value, essence) in GOOD {
            assert_eq!(ContentType::parse(value.as_bytes()).unwrap().essence(), *essence, "{value:?}");
        }
        for bad in
            ["", "/", "text", "text/", "/plain", "te xt/plain", "text/pl ain", "a/b/c", ";a=b", "tëxt/plain"]
        {
            assert!(ContentType::parse(bad.as_bytes()).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn parameters_are_found_by_name_in_any_case() {
        let found = |value: &str, name: &str| {
            let content_type = ContentType::parse(value.as_bytes()).unwrap();
            content_type.parameter(name).map(Cow::into_owned)
        };
        assert_eq!(found("a/b; CharSet=UTF-8", "charset").as_deref(), Some("UTF-8"));
        assert_eq!(found("a/b; x; charset=\"a\\\"b\"", "charset").as_deref(), Some("a\"b"));
        assert_eq!(found("a/b; charset=one; charset=two", "charset").as_deref(), Some("one"));
        assert_eq!(found("a/b; charset", "charset"), None);
        assert_eq!(found("a/b", "charset"), None);
        let broken = ContentType::parse(b"a/b; charset=\xff").unwrap();
        assert_eq!(broken.charset(), None);
    }

    #[test]
    fn rfc6839_3_1_json() {
        for (value, is_json) in [
            ("application/json", true),
            ("application/problem+JSON", true),
            ("text/json", false),
            ("application/jsonx", false),
            ("application/x+json+xml", false),
        ] {
            assert_eq!(ContentType::parse(value.as_bytes()).unwrap().is_json(), is_json, "{value}");
        }
    }
}
