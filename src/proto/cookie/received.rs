//! A `Set-Cookie` field as a client reads it (RFC 6265bis §5.6): as lenient as browsers are.
#![forbid(unsafe_code)]

use std::time::{Duration, SystemTime};

use super::{ATTRIBUTE_BYTES_MAX, MAX_AGE_MAX, PAIR_BYTES_MAX, Prefix, SameSite, date};

/// What a server asks a client to keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedCookie {
    /// Its name; empty for a field without `=`.
    pub name: String,
    /// Its value, quotes and all.
    pub value: String,
    /// `Domain`, in lower case and without a dot in front.
    pub domain: Option<String>,
    /// `Path`, if it begins with `/`.
    pub path: Option<String>,
    /// `Max-Age`, at most 400 days; zero removes the cookie. Goes before `expires`.
    pub max_age: Option<Duration>,
    /// `Expires`.
    pub expires: Option<SystemTime>,
    /// `Secure`.
    pub secure: bool,
    /// `HttpOnly`.
    pub http_only: bool,
    /// `SameSite`, if it is one of the three.
    pub same_site: Option<SameSite>,
}

impl ReceivedCookie {
    /// Reads the value of a field. `None`: it is to be ignored, because it is no UTF-8, has control characters, is empty or too
    /// long, or has no name and a value that would be taken for a name when it comes back. Whether the server may set this cookie is for whoever keeps it to say; that a `__Secure-` or `__Host-` name keeps its
    /// promise is said by [`keeps_prefix`](Self::keeps_prefix).
    ///
    /// ```
    /// use ringhttp::proto::cookie::ReceivedCookie;
    ///
    /// let cookie = ReceivedCookie::parse(b"id=a3; Path=/docs; Max-Age=60; secure").unwrap();
    /// assert_eq!((&*cookie.name, &*cookie.value, cookie.path.as_deref()), ("id", "a3", Some("/docs")));
    /// assert!(cookie.secure && !cookie.http_only);
    /// ```
    #[must_use]
    pub fn parse(field: &[u8]) -> Option<Self> {
        let text = str::from_utf8(field).ok()?;
        if text.chars().any(|character| character.is_ascii_control() && character != '\t') {
            return None;
        }
        let (pair, attributes) = text.split_once(';').unwrap_or((text, ""));
        let (name, value) = pair.split_once('=').unwrap_or(("", pair));
        let (name, value) = (trim(name), trim(value));
        let is_empty = name.is_empty() && value.is_empty();
        // A value without a name would come back looking like the cookie of another name, or of one that promises something.
        let hides_name = name.is_empty() && (value.contains('=') || Prefix::of(value).is_some());
        if is_empty || hides_name || name.len() + value.len() > PAIR_BYTES_MAX {
            return None;
        }
        let mut cookie = Self { name: name.to_owned(), value: value.to_owned(), ..Self::default() };
        for attribute in attributes.split(';') {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            cookie.set(trim(name), trim(value));
        }
        Some(cookie)
    }

    /// Whether the attributes keep what the prefix of the name promises, compared in any case.
    #[must_use]
    pub fn keeps_prefix(&self) -> bool {
        match Prefix::of(&self.name) {
            None => true,
            Some(Prefix::Secure) => self.secure,
            Some(Prefix::Host) => self.secure && self.domain.is_none() && self.path.as_deref() == Some("/"),
        }
    }

    /// Takes one attribute; the last of a name counts.
    fn set(&mut self, name: &str, value: &str) {
        if value.len() > ATTRIBUTE_BYTES_MAX {
            return;
        }
        let is = |attribute: &str| name.eq_ignore_ascii_case(attribute);
        if is("expires") {
            self.expires = date::parse(value).or(self.expires);
        } else if is("max-age") {
            self.max_age = max_age(value).or(self.max_age);
        } else if is("domain") {
            let domain = value.strip_prefix('.').unwrap_or(value).to_ascii_lowercase();
            self.domain = Some(domain).filter(|domain| !domain.is_empty());
        } else if is("path") {
            self.path = Some(value.to_owned()).filter(|path| path.starts_with('/'));
        } else if is("secure") {
            self.secure = true;
        } else if is("httponly") {
            self.http_only = true;
        } else if is("samesite") {
            self.same_site = same_site(value);
        }
    }
}

/// `1*DIGIT`, or one with a minus sign, which is over already.
fn max_age(value: &str) -> Option<Duration> {
    let (is_negative, digits) = match value.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // More digits than fit are a very long time.
    let seconds = digits.parse().unwrap_or(u64::MAX);
    let age = if is_negative { Duration::ZERO } else { Duration::from_secs(seconds) };
    Some(age.min(MAX_AGE_MAX))
}

fn same_site(value: &str) -> Option<SameSite> {
    let names = [("strict", SameSite::Strict), ("lax", SameSite::Lax), ("none", SameSite::None)];
    names.into_iter().find(|(name, _)| value.eq_ignore_ascii_case(name)).map(|(_, same_site)| same_site)
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(field: &str) -> Option<(String, String)> {
        ReceivedCookie::parse(field.as_bytes()).map(|cookie| (cookie.name, cookie.value))
    }

    #[test]
    fn rfc6265_5_2_names_and_values() {
        const CASES: &[(&str, Option<(&str, &str)>)] = &[
            ("a=b", Some(("a", "b"))),
            (" a = b ; x", Some(("a", "b"))),
            ("a=b=c", Some(("a", "b=c"))),
            ("a=\"b c\"", Some(("a", "\"b c\""))),
            ("a=", Some(("a", ""))),
            ("a", Some(("", "a"))),
            ("=a", Some(("", "a"))),
            ("=a=b", None),
            ("\u{e9}=\u{fc}", Some(("\u{e9}", "\u{fc}"))),
            ("=", None),
            ("", None),
            ("; path=/", None),
            ("__Host-a", None),
            ("=__secure-a=b", None),
            ("a=b\0", None),
            ("a=b\r\nc: d", None),
        ];
        for (field, expected) in CASES {
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(pair(field), expected, "{field:?}");
        }
        assert_eq!(pair(&format!("a={}", "b".repeat(4095))).map(|(_, value)| value.len()), Some(4095));
        assert_eq!(pair(&format!("a={}", "b".repeat(4096))), None);
        assert_eq!(ReceivedCookie::parse(b"a=\xff"), None);
    }

    #[test]
    fn rfc6265_5_2_attributes() {
        let parse = |field: &str| ReceivedCookie::parse(field.as_bytes()).unwrap();
        let cookie = parse(
            "a=b; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Max-Age=9; DOMAIN=.Example.COM; Path=/x; Secure; HttpOnly=1; SameSite=LAX",
        );
        assert_eq!(cookie.domain.as_deref(), Some("example.com"));
        assert_eq!(cookie.path.as_deref(), Some("/x"));
        assert_eq!(cookie.max_age, Some(Duration::from_secs(9)));
        assert!(cookie.expires.is_some() && cookie.secure && cookie.http_only);
        assert_eq!(cookie.same_site, Some(SameSite::Lax));

        assert_eq!(parse("a=b; path=x").path, None);
        assert_eq!(parse("a=b; path=/x; path=/y; path=z").path, None, "the last one counts");
        assert_eq!(parse("a=b; domain=").domain, None);
        assert_eq!(parse("a=b; expires=never").expires, None);
        let ages = [("-1", Some(0)), ("0", Some(0)), ("1x", None), ("", None), ("+1", None), ("-", None)];
        for (text, expected) in ages {
            let age = parse(&format!("a=b; max-age={text}")).max_age;
            assert_eq!(age.map(|age| age.as_secs()), expected, "{text}");
        }
        let longest = parse("a=b; max-age=99999999999999999999999").max_age;
        assert_eq!(longest, Some(MAX_AGE_MAX));
        let long = format!("a=b; path=/{}", "x".repeat(1024));
        assert_eq!(parse(&long).path, None, "passed over");
    }

    #[test]
    fn rfc6265bis_4_1_3_prefixes() {
        const CASES: &[(&str, bool)] = &[
            ("a=b", true),
            ("__Secure-a=b; secure", true),
            ("__Secure-a=b", false),
            ("__secure-a=b", false),
            ("__Host-a=b; secure; path=/", true),
            ("__HOST-a=b; secure", false),
            ("__Host-a=b; secure; path=/x", false),
            ("__Host-a=b; path=/", false),
            ("__Host-a=b; secure; path=/; domain=a.example", false),
        ];
        for (field, keeps) in CASES {
            let cookie = ReceivedCookie::parse(field.as_bytes()).unwrap();
            assert_eq!(cookie.keeps_prefix(), *keeps, "{field}");
        }
    }
}
