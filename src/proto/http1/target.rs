//! The request target (RFC 9112 §3.2): which of the four forms it has and where its parts are.
//!
//! The target is checked and split in one pass; the parts are offsets into one text. It is a copy in memory that is used
//! again, not a view of the read buffer: most targets are shorter than the bookkeeping of a view. The rules:
//! `CONNECT` takes the authority form only, `*` goes with `OPTIONS` only, an absolute target is `http` or `https` with
//! a host and without user information, and no form has a fragment. A percent sign is not checked for its two digits:
//! whoever decodes the path has to.
#![forbid(unsafe_code)]

use std::fmt;

use http::uri::{InvalidUri, Uri};
use http::{HeaderValue, Method};

use super::syntax::{self, PATH, QUERY};
use crate::proto::PeerError;

/// The target of a request, checked, with its parts found.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    raw: String,
    parts: Parts,
}

/// Where the parts of a target end.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Parts {
    form: TargetForm,
    /// Length of the scheme, 0 without one.
    scheme_end: u32,
    authority_end: u32,
    path_end: u32,
}

impl Parts {
    const ORIGIN: Self = Self { form: TargetForm::Origin, scheme_end: 0, authority_end: 0, path_end: 0 };

    /// Of the three forms that few requests have.
    fn of_rare(raw: &[u8], method: &Method) -> Option<Self> {
        let end = u32::try_from(raw.len()).ok()?;
        if *method == Method::CONNECT {
            // RFC 9110 §9.3.6: the port has no default.
            syntax::host_port(raw).filter(|known| known.host_bytes > 0 && known.port.is_some())?;
            return Some(Self {
                form: TargetForm::Authority,
                scheme_end: 0,
                authority_end: end,
                path_end: end,
            });
        }
        if raw == b"*" {
            let form = (*method == Method::OPTIONS).then_some(TargetForm::Asterisk)?;
            return Some(Self { form, scheme_end: 0, authority_end: 0, path_end: end });
        }
        let scheme_end = scheme(raw)?;
        let start = scheme_end + SCHEME_END.len();
        let authority = &raw[start..];
        let length = authority.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(authority.len());
        // RFC 9110 §4.2.1: an empty host is refused.
        syntax::host_port(&authority[..length]).filter(|known| known.host_bytes > 0)?;
        Some(Self {
            form: TargetForm::Absolute,
            scheme_end: u32::try_from(scheme_end).ok()?,
            authority_end: u32::try_from(start + length).ok()?,
            path_end: path_and_query(raw, start + length)?,
        })
    }
}

/// The four forms of RFC 9112 §3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetForm {
    /// `/path?query`, nearly every request.
    Origin,
    /// `http://host/path?query`, as sent to proxies.
    Absolute,
    /// `host:port`, with CONNECT.
    Authority,
    /// `*`, with OPTIONS.
    Asterisk,
}

impl Target {
    /// Checks and splits `target`, the second word of the request line, and becomes it. `method`: the first word.
    ///
    /// # Errors
    /// [`PeerError::TargetInvalid`].
    #[inline]
    pub(super) fn read(&mut self, target: &str, method: &Method) -> Result<(), PeerError> {
        let raw = target.as_bytes();
        let parts = if raw.first() == Some(&b'/') && *method != Method::CONNECT {
            path_and_query(raw, 0).map(|path_end| Parts { path_end, ..Parts::ORIGIN })
        } else {
            Parts::of_rare(raw, method)
        };
        self.parts = parts.ok_or(PeerError::TargetInvalid)?;
        self.raw.clear();
        self.raw.push_str(target);
        Ok(())
    }

    /// Gives the memory of an unusually long target up.
    pub(super) fn shrink(&mut self) {
        if self.raw.capacity() > BYTES_KEPT_MAX {
            *self = Self::default();
        }
    }

    /// Which of the four forms it has.
    #[must_use]
    pub fn form(&self) -> TargetForm {
        self.parts.form
    }

    /// All of it, as it was sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// The path, still percent-encoded. `/` when an absolute target has none, `*` for the asterisk form, empty for the
    /// authority form.
    #[must_use]
    pub fn path(&self) -> &str {
        let path = &self.raw[self.parts.authority_end as usize..self.parts.path_end as usize];
        if path.is_empty() && self.parts.form == TargetForm::Absolute { "/" } else { path }
    }

    /// What stands after the first `?`, still percent-encoded. `Some("")` for a target that ends in `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.raw.get(self.parts.path_end as usize + 1..)
    }

    /// Host and port of the absolute and the authority form.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        let start = match self.parts.form {
            TargetForm::Origin | TargetForm::Asterisk => return None,
            TargetForm::Authority => 0,
            TargetForm::Absolute => self.parts.scheme_end as usize + SCHEME_END.len(),
        };
        Some(&self.raw[start..self.parts.authority_end as usize])
    }

    /// The scheme of the absolute form as it was sent: `http` or `https` in any case.
    #[must_use]
    pub fn scheme(&self) -> Option<&str> {
        (self.parts.form == TargetForm::Absolute).then(|| &self.raw[..self.parts.scheme_end as usize])
    }

    /// The same as an [`http::Uri`]. Parses again: not for the hot path.
    ///
    /// # Errors
    /// When the target is longer than the 65,534 bytes a `Uri` can hold.
    pub fn to_uri(&self) -> Result<Uri, InvalidUri> {
        self.raw.parse()
    }

    /// What an absolute target says about the host, as the value that replaces Host (RFC 9112 §3.2.2).
    pub(super) fn host_value(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(self.authority()?).ok()
    }
}

impl Default for Target {
    /// `/`, in origin form.
    fn default() -> Self {
        Self { raw: "/".to_owned(), parts: Parts { path_end: 1, ..Parts::ORIGIN } }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({:?}, {:?})", self.parts.form, self.as_str())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Checks path and query from `start` on, in one pass; gives the end of the path.
#[inline]
fn path_and_query(raw: &[u8], start: usize) -> Option<u32> {
    let path_end = start + syntax::run(&raw[start..], PATH);
    match &raw[path_end..] {
        [] => {}
        [b'?', query @ ..] if syntax::all(query, QUERY) => {}
        _ => return None,
    }
    u32::try_from(path_end).ok()
}

/// Length of the scheme if it is one we serve and `://` follows it.
fn scheme(raw: &[u8]) -> Option<usize> {
    ["http", "https"].into_iter().map(str::len).find(|&length| {
        raw.len() > length + SCHEME_END.len()
            && (raw[..length].eq_ignore_ascii_case(b"http") || raw[..length].eq_ignore_ascii_case(b"https"))
            && raw[length..].starts_with(SCHEME_END)
    })
}

/// Memory that a target may have needed and still be kept for the next one.
const BYTES_KEPT_MAX: usize = 512;

const SCHEME_END: &[u8] = b"://";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &Method, raw: &'static str) -> Result<Target, PeerError> {
        let mut target = Target::default();
        target.read(raw, method).map(|()| target)
    }

    #[test]
    fn rfc9112_3_2_1_origin_form() {
        const CASES: &[(&str, &str, Option<&str>)] = &[
            ("/", "/", None),
            ("/a/b%20c", "/a/b%20c", None),
            ("/a?", "/a", Some("")),
            ("/a?b=c&d=?/", "/a", Some("b=c&d=?/")),
            ("//double", "//double", None),
            ("/a?q={", "/a", Some("q={")),
            ("/a|b[1]?x=[1]|`\\", "/a|b[1]", Some("x=[1]|`\\")),
            ("/:@!$&'()*+,;=~", "/:@!$&'()*+,;=~", None),
        ];
        for &(raw, path, query) in CASES {
            let target = parse(&Method::GET, raw).unwrap();
            assert_eq!(
                (target.form(), target.path(), target.query()),
                (TargetForm::Origin, path, query),
                "{raw:?}"
            );
            assert_eq!((target.as_str(), target.authority(), target.scheme()), (raw, None, None));
            assert_eq!(target.to_uri().unwrap().path(), path, "{raw:?}");
        }
    }

    #[test]
    fn rfc9112_3_2_2_absolute_form() {
        const CASES: &[(&str, &str, &str, &str, Option<&str>)] = &[
            ("http://a.example/b?c", "http", "a.example", "/b", Some("c")),
            ("HTTPS://a.example:8443", "HTTPS", "a.example:8443", "/", None),
            ("http://[::1]:80/", "http", "[::1]:80", "/", None),
            ("http://a?b", "http", "a", "/", Some("b")),
        ];
        for &(raw, scheme, authority, path, query) in CASES {
            let target = parse(&Method::GET, raw).unwrap();
            assert_eq!(target.form(), TargetForm::Absolute, "{raw:?}");
            assert_eq!((target.scheme(), target.authority()), (Some(scheme), Some(authority)), "{raw:?}");
            assert_eq!((target.path(), target.query()), (path, query), "{raw:?}");
            assert!(target.to_uri().is_ok(), "{raw:?}");
        }
    }

    #[test]
    fn rfc9112_3_2_3_authority_form_goes_with_connect_only() {
        let target = parse(&Method::CONNECT, "a.example:443").unwrap();
        assert_eq!((target.form(), target.authority()), (TargetForm::Authority, Some("a.example:443")));
        assert_eq!((target.path(), target.query(), target.scheme()), ("", None, None));
        for raw in
            ["a.example", "a.example:", ":443", "/", "*", "http://a.example:443", "u@a:1", "a:1/", "a:1?b"]
        {
            assert_eq!(parse(&Method::CONNECT, raw), Err(PeerError::TargetInvalid), "{raw:?}");
        }
        assert_eq!(parse(&Method::GET, "a.example:443"), Err(PeerError::TargetInvalid));
    }

    #[test]
    fn rfc9112_3_2_4_asterisk_goes_with_options_only() {
        let target = parse(&Method::OPTIONS, "*").unwrap();
        assert_eq!((target.form(), target.path(), target.query()), (TargetForm::Asterisk, "*", None));
        assert_eq!(parse(&Method::GET, "*"), Err(PeerError::TargetInvalid));
        assert_eq!(parse(&Method::OPTIONS, "*?a"), Err(PeerError::TargetInvalid));
    }

    #[test]
    fn rfc9112_3_2_invalid_targets_are_refused() {
        const CASES: &[&str] = &[
            "",
            "a",
            "?a",
            "/a#b",
            "/a?b#c",
            "/<",
            "/>",
            "/\"",
            "/\\",
            "/a{b}",
            "/`",
            "/?\"",
            "/?<",
            "/\u{e9}",
            "/?\u{e9}",
            "http:/a",
            "http://",
            "http:///a",
            "http://u@a/",
            "http://u:p@a/",
            "ftp://a/",
            "://a/",
            "http://a:x/",
            "http://a/#f",
            "http://a#f",
            "http://[::1/",
            "/\u{7f}",
        ];
        for raw in CASES {
            assert_eq!(parse(&Method::GET, raw), Err(PeerError::TargetInvalid), "{raw:?}");
        }
    }
}
