//! Where a request goes: an absolute `http` or `https` URL in the normal form of the URL standard, and where its parts are.
//!
//! Most URLs are in that form already, which is seen in one pass over their bytes; the others are brought into it by the
//! `url` crate. A test compares the two.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use url::{Position, Url};

use super::error::{Error, ErrorKind};

/// An absolute URL without user information.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Location {
    text: Rc<str>,
    parts: Parts,
}

/// Where its parts begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts {
    host: u32,
    host_end: u32,
    /// Scheme, host and port: what makes two URLs the same origin (RFC 6454 §4).
    origin_end: u32,
    path_end: u32,
    /// The fragment begins here, if there is one.
    target_end: u32,
}

/// User and password of a URL, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserInfo {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Location {
    /// Where an absolute URL leads, or with a base one that is relative to it (RFC 3986 §5), and who asks.
    pub(crate) fn parse(text: &str, base: Option<&Url>) -> Result<(Self, Option<UserInfo>), Error> {
        if let Some(parts) = Parts::of_normal(text.as_bytes()) {
            return Ok((Self { text: Rc::from(text), parts }, None));
        }
        let url = Url::options().base_url(base).parse(text);
        Self::of_url(url.map_err(|error| unusable(text).with_source(error))?)
    }

    /// The parts of a URL. User information is taken out of it.
    pub(crate) fn of_url(mut url: Url) -> Result<(Self, Option<UserInfo>), Error> {
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(unusable(url.as_str()));
        }
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let has_user = !url.username().is_empty() || url.password().is_some();
        let user = has_user.then(|| UserInfo {
            user: decode(url.username()),
            password: decode(url.password().unwrap_or_default()),
        });
        if has_user && (url.set_username("").is_err() || url.set_password(None).is_err()) {
            return Err(unusable(url.as_str()));
        }
        let until = |position| u32::try_from(url[..position].len());
        let parts = (|| {
            Ok::<_, std::num::TryFromIntError>(Parts {
                host: until(Position::BeforeHost)?,
                host_end: until(Position::AfterHost)?,
                origin_end: until(Position::AfterPort)?,
                path_end: until(Position::AfterPath)?,
                target_end: until(Position::AfterQuery)?,
            })
        })();
        let parts = parts.map_err(|error| Error::new(ErrorKind::Url).with_source(error))?;
        Ok((Self { text: Rc::from(url.as_str()), parts }, user))
    }

    /// The whole URL.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The whole URL, with all that can be asked of one.
    pub(crate) fn to_url(&self) -> Url {
        Url::parse(&self.text).expect("it is in normal form")
    }

    pub(crate) fn is_https(&self) -> bool {
        self.text.as_bytes()[4] == b's'
    }

    /// Scheme, host and port, without a port that is the scheme's own.
    pub(crate) fn origin(&self) -> &str {
        &self.text[..self.parts.origin_end as usize]
    }

    /// The text that it and all clones share, and how much of it is the origin.
    pub(crate) fn origin_parts(&self) -> (&Rc<str>, usize) {
        (&self.text, self.parts.origin_end as usize)
    }

    /// The host, in brackets if it is an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        &self.text[self.parts.host as usize..self.parts.host_end as usize]
    }

    /// The host if it is an address.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        ip_of_host(self.host())
    }

    /// The host and the port, if that is not the scheme's own: the value of `Host` (RFC 9112 §3.2).
    pub(crate) fn authority(&self) -> &str {
        &self.text[self.parts.host as usize..self.parts.origin_end as usize]
    }

    pub(crate) fn port(&self) -> u16 {
        let default = if self.is_https() { 443 } else { 80 };
        let digits =
            self.text[self.parts.host_end as usize..self.parts.origin_end as usize].strip_prefix(':');
        digits.map_or(default, |digits| digits.parse().expect("it is in normal form"))
    }

    /// The path, as it is sent.
    pub(crate) fn path(&self) -> &str {
        &self.text[self.parts.origin_end as usize..self.parts.path_end as usize]
    }

    /// Path and query: the target of a request to the origin server (RFC 9112 §3.2.1).
    pub(crate) fn target(&self) -> &str {
        &self.text[self.parts.origin_end as usize..self.parts.target_end as usize]
    }

    /// What stands behind `#`.
    pub(crate) fn fragment(&self) -> Option<&str> {
        self.text[self.parts.target_end as usize..].strip_prefix('#')
    }

    /// Without query and fragment, which may hold what is nobody's business: for messages.
    pub(crate) fn display(&self) -> &str {
        &self.text[..self.parts.path_end as usize]
    }

    /// The same with more in its query.
    pub(crate) fn with_query(&self, more: &str) -> Result<Self, Error> {
        let mut url = self.to_url();
        let query = match url.query() {
            Some(query) if !query.is_empty() => format!("{query}&{more}"),
            _ => more.to_owned(),
        };
        url.set_query(Some(&query));
        Self::of_url(url).map(|(location, _)| location)
    }
}

impl Parts {
    /// The parts of a text that is a URL in normal form for sure; `None`: nobody knows.
    fn of_normal(text: &[u8]) -> Option<Self> {
        let host = if text.starts_with(b"http://") {
            7
        } else if text.starts_with(b"https://") {
            8
        } else {
            return None;
        };
        let host_end = host + run(&text[host..], HOST);
        check_host(&text[host..host_end])?;
        let mut at = host_end;
        if text.get(at) == Some(&b':') {
            let digits = text[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            check_port(&text[at + 1..at + 1 + digits], if host == 7 { b"80" } else { b"443" })?;
            at += 1 + digits;
        }
        let origin_end = at;
        if text.get(at) != Some(&b'/') {
            return None;
        }
        at += run(&text[at..], PATH);
        let path = &text[origin_end..at];
        // A segment that begins with a dot may be one that goes away.
        if path.windows(2).any(|pair| pair == b"/.") {
            return None;
        }
        let path_end = at;
        if text.get(at) == Some(&b'?') {
            at += 1 + run(&text[at + 1..], QUERY);
        }
        if at != text.len() {
            return None;
        }
        let end = u32::try_from(at).ok()?;
        let small = |at: usize| u32::try_from(at).unwrap_or(end);
        Some(Self {
            host: small(host),
            host_end: small(host_end),
            origin_end: small(origin_end),
            path_end: small(path_end),
            target_end: end,
        })
    }
}

/// How many bytes at the front are of a class.
fn run(bytes: &[u8], class: u8) -> usize {
    let is_other = |byte: &u8| CLASSES[usize::from(*byte)] & class == 0;
    bytes.iter().position(is_other).unwrap_or(bytes.len())
}

/// A name that nothing is done to: no dot too many, nothing international, no number but an IPv4 address in its usual form.
fn check_host(host: &[u8]) -> Option<()> {
    let is_plain = |label: &[u8]| !label.is_empty() && !label.starts_with(b"xn--");
    let mut labels = host.split(|&byte| byte == b'.');
    if !labels.all(is_plain) {
        return None;
    }
    let last = host.rsplit(|&byte| byte == b'.').next()?;
    if last[0].is_ascii_digit() {
        str::from_utf8(host).ok()?.parse::<Ipv4Addr>().ok()?;
    }
    Some(())
}

fn check_port(digits: &[u8], default: &[u8]) -> Option<()> {
    let has_form = !digits.is_empty() && digits[0] != b'0' && digits != default;
    let port = str::from_utf8(digits).ok()?.parse::<u16>();
    (has_form && port.is_ok()).then_some(())
}

/// A byte of a host that nothing is done to.
const HOST: u8 = 1;
/// A byte of a path that stands for itself; no percent sign, because `%2e` is a dot.
const PATH: u8 = 2;
/// A byte of a query that stands for itself.
const QUERY: u8 = 4;

static CLASSES: [u8; 256] = classes();

#[expect(clippy::cast_possible_truncation, reason = "the loop ends at 255")]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        table[index] = match index as u8 {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' => HOST | PATH | QUERY,
            b'A'..=b'Z'
            | b'_'
            | b'~'
            | b'!'
            | b'$'
            | b'&'
            | b'('
            | b')'
            | b'*'
            | b'+'
            | b','
            | b';'
            | b'='
            | b':'
            | b'@'
            | b'/' => PATH | QUERY,
            b'\'' => PATH,
            b'?' | b'%' => QUERY,
            _ => 0,
        };
        index += 1;
    }
    table
}

/// The error of a URL that cannot be asked for; its query, its fragment and whatever may be a password are left out.
fn unusable(text: &str) -> Error {
    let text = &text[..text.find(['?', '#']).unwrap_or(text.len())];
    let (scheme, rest) = text.split_at(text.find("://").map_or(0, |at| at + 3));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let shown: String = scheme.chars().chain(rest.chars()).take(SHOWN_CHARACTERS_MAX).collect();
    Error::new(ErrorKind::Url).with_text(format!("`{}`", shown.escape_debug()))
}

/// Characters of an unusable URL that are shown.
const SHOWN_CHARACTERS_MAX: usize = 200;

/// The address that a host is, if it is one.
fn ip_of_host(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.parse().ok().map(IpAddr::V6),
        None if host.starts_with(|first: char| first.is_ascii_digit()) => host.parse().ok().map(IpAddr::V4),
        None => None,
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(text: &str) -> Location {
        Location::parse(text, None).unwrap_or_else(|error| panic!("{text}: {error:?}")).0
    }

    #[test]
    fn the_parts_of_a_url() {
        const CASES: &[(&str, &str, &str, u16, &str)] = &[
            ("http://a.example/", "http://a.example", "a.example", 80, "/"),
            ("http://a.example", "http://a.example", "a.example", 80, "/"),
            ("HTTP://A.Example:80/x", "http://a.example", "a.example", 80, "/x"),
            ("https://a:8443/x?y=z", "https://a:8443", "a:8443", 8443, "/x?y=z"),
            ("https://a:443/?", "https://a", "a", 443, "/?"),
            ("http://127.0.0.1:8080/a/b", "http://127.0.0.1:8080", "127.0.0.1:8080", 8080, "/a/b"),
            ("http://0x7f.1/", "http://127.0.0.1", "127.0.0.1", 80, "/"),
            ("http://[::1]:8/", "http://[::1]:8", "[::1]:8", 8, "/"),
            ("http://a/b/../c/./d", "http://a", "a", 80, "/c/d"),
            ("http://a/ b?c d#e f", "http://a", "a", 80, "/%20b?c%20d"),
            ("http://\u{fc}.example/\u{fc}", "http://xn--tda.example", "xn--tda.example", 80, "/%C3%BC"),
        ];
        for (text, origin, authority, port, target) in CASES {
            let location = location(text);
            assert_eq!(location.origin(), *origin, "{text}");
            assert_eq!(location.authority(), *authority, "{text}");
            assert_eq!((location.port(), location.target()), (*port, *target), "{text}");
            assert_eq!(location.is_https(), origin.starts_with("https"), "{text}");
        }
        assert_eq!(location("http://a/b?c#d").fragment(), Some("d"));
        assert_eq!(location("http://a/b?c#d").display(), "http://a/b");
        assert_eq!(location("http://[::1]/").ip(), Some("::1".parse().unwrap()));
        assert_eq!(location("http://10.1/").ip(), Some("10.0.0.1".parse().unwrap()));
        assert_eq!(location("http://a1/").ip(), None);
        assert_eq!(location("http://a/?x=1").with_query("y=2&z").unwrap().target(), "/?x=1&y=2&z");
        assert_eq!(location("http://a/#f").with_query("y=2").unwrap().as_str(), "http://a/?y=2#f");
    }

    #[test]
    fn user_information_is_taken_out() {
        let (location, user) = Location::parse("http://us%65r:p%40ss@a/", None).unwrap();
        assert_eq!(location.as_str(), "http://a/");
        assert_eq!(user, Some(UserInfo { user: "user".to_owned(), password: "p@ss".to_owned() }));
        assert!(
            Location::parse("http://user@a/", None).unwrap().1.is_some_and(|user| user.password.is_empty())
        );
        assert_eq!(Location::parse("http://@a/", None).unwrap().1, None);
    }

    #[test]
    fn what_cannot_be_asked_for() {
        for text in [
            "",
            "a",
            "/a",
            "ftp://a/",
            "file:///etc/passwd",
            "data:,x",
            "http://",
            "http://a b/",
            "http://a:x/",
        ] {
            let error = Location::parse(text, None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Url, "{text}");
        }
        let error = Location::parse("ftp://user:secret@a/b?token=secret", None).unwrap_err().to_string();
        assert!(error.contains("`ftp://a/b`") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn rfc3986_5_references_are_joined_with_a_base() {
        let base = Url::parse("http://a/b/c?d").unwrap();
        for (text, joined) in [
            ("e", "http://a/b/e"),
            ("/e", "http://a/e"),
            ("?e", "http://a/b/c?e"),
            ("../e", "http://a/e"),
            ("//e/f", "http://e/f"),
            ("https://e/", "https://e/"),
            ("", "http://a/b/c?d"),
        ] {
            assert_eq!(Location::parse(text, Some(&base)).unwrap().0.as_str(), joined, "{text}");
        }
    }

    /// What is taken for normal is what the `url` crate makes of it, part by part.
    #[test]
    fn the_short_way_agrees_with_the_long_one() {
        const PIECES: &[&str] = &[
            "http://",
            "https://",
            "a",
            "B",
            "xn--",
            "127.0.0.1",
            "1.2.3",
            "0x1",
            "256.1.1.1",
            "01.2.3.4",
            ".",
            "..",
            "-",
            ":",
            ":80",
            ":443",
            ":8080",
            ":080",
            ":65536",
            "/",
            "/.",
            "/..",
            "/./",
            "%2e",
            "%",
            "?",
            "#",
            "'",
            "\"",
            "^",
            "|",
            "`",
            "{",
            "\\",
            " ",
            "\t",
            "\n",
            "@",
            "~",
            "*",
            "[",
            "[::1]",
            "é",
            "a.b",
            "a1",
            "1a",
            "=",
            "&",
            "+",
            ";",
            ",",
        ];
        let mut state = 0x1234_5678_9abc_def1_u64;
        let mut random = |end: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap() % end
        };
        let mut short = 0;
        for _ in 0..200_000 {
            let mut text = String::from(PIECES[random(2)]);
            for (count, has_slash) in [(random(4), random(8) > 0), (random(4), false)] {
                for _ in 0..count {
                    text.push_str(PIECES[random(PIECES.len())]);
                }
                text.push_str(if has_slash { "/" } else { "" });
            }
            let Some(parts) = Parts::of_normal(text.as_bytes()) else { continue };
            short += 1;
            let url = Url::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(url.as_str(), text);
            let long = Location::of_url(url).unwrap();
            assert_eq!((long.0.parts, long.1), (parts, None), "{text}");
        }
        assert!(short > 2_000, "{short}");
    }
}
