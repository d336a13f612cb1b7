//! What the header fields say about the message itself: host, framing, persistence, expectations; and which fields may
//! appear only once or not in trailers.
//!
//! [`Notes`] are taken while the header map is filled, so no field is looked up again afterwards.
#![forbid(unsafe_code)]

use std::time::Duration;

use http::{HeaderMap, HeaderName, header};

use super::syntax;
use crate::proto::PeerError;

/// What was seen of the fields that steer a message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Notes<'head> {
    pub(super) host: Option<&'head [u8]>,
    pub(super) content_length: Option<&'head [u8]>,
    pub(super) transfer_encoding: Option<&'head [u8]>,
    /// `Connection: close`.
    pub(super) close: bool,
    /// `Connection: keep-alive`.
    pub(super) keep_alive: bool,
    /// The parameters of `Keep-Alive`.
    pub(super) keep_alive_field: Option<&'head [u8]>,
    /// `Connection: upgrade`.
    pub(super) connection_upgrade: bool,
    /// An `Upgrade` field.
    pub(super) upgrade: bool,
    pub(super) expect: Expect,
}

/// What the `Expect` fields ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Expect {
    #[default]
    Nothing,
    Continue,
    Unknown,
}

impl<'head> Notes<'head> {
    /// Takes note of one field, and gives its name if it is one of those that are noted. That `Host` and the framing
    /// fields are not repeated is the caller's to check.
    #[inline]
    pub(super) fn take(&mut self, name: &str, value: &'head [u8]) -> Option<HeaderName> {
        // The length alone excludes nearly every other field.
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => {
                self.host = Some(value);
                Some(header::HOST)
            }
            6 if name.eq_ignore_ascii_case("expect") => {
                self.expect(value);
                Some(header::EXPECT)
            }
            7 if name.eq_ignore_ascii_case("upgrade") => {
                self.upgrade = true;
                Some(header::UPGRADE)
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                self.connection(value);
                Some(header::CONNECTION)
            }
            10 if name.eq_ignore_ascii_case("keep-alive") => {
                self.keep_alive_field = Some(value);
                None
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                self.content_length = Some(value);
                Some(header::CONTENT_LENGTH)
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                self.transfer_encoding = Some(value);
                Some(header::TRANSFER_ENCODING)
            }
            _ => None,
        }
    }

    /// RFC 9112 §9.3: whether the connection persists after this message, as far as the fields say.
    pub(super) fn persists(&self, version: http::Version) -> bool {
        !self.close && (version == http::Version::HTTP_11 || self.keep_alive)
    }

    /// How long the peer keeps the connection when it is idle: `Keep-Alive: timeout=5, max=100`, which no RFC defines and
    /// many servers send.
    pub(super) fn idle_timeout(&self) -> Option<Duration> {
        let seconds = list(self.keep_alive_field?).find_map(|part| {
            let (name, value) = part.split_at(memchr::memchr(b'=', part)?);
            let is_timeout = name.trim_ascii().eq_ignore_ascii_case(b"timeout");
            is_timeout.then(|| str::from_utf8(value[1..].trim_ascii()).ok()?.parse().ok())?
        })?;
        Some(Duration::from_secs(seconds))
    }

    fn connection(&mut self, value: &[u8]) {
        for option in list(value) {
            match option.len() {
                5 if option.eq_ignore_ascii_case(b"close") => self.close = true,
                7 if option.eq_ignore_ascii_case(b"upgrade") => self.connection_upgrade = true,
                10 if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                _ => {}
            }
        }
    }

    fn expect(&mut self, value: &[u8]) {
        for expectation in list(value) {
            if !expectation.eq_ignore_ascii_case(b"100-continue") {
                self.expect = Expect::Unknown;
            } else if self.expect == Expect::Nothing {
                self.expect = Expect::Continue;
            }
        }
    }
}

/// The elements of a comma-separated list, without the empty ones (RFC 9110 §5.6.1).
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// The elements of all fields of a name, in order, where none of them can be a quoted string.
pub(crate) fn elements(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    headers.get_all(name).into_iter().flat_map(|value| list(value.as_bytes()))
}

/// The parts between `separator`s that stand in no quoted string (RFC 9110 §5.6.4), trimmed; empty ones too.
pub(in crate::proto) fn split_unquoted(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = bytes.split(move |&byte| {
        if std::mem::take(&mut escaped) {
            return false;
        }
        escaped = quoted && byte == b'\\';
        quoted ^= byte == b'"';
        byte == separator && !quoted
    });
    parts.map(<[u8]>::trim_ascii)
}

/// The error for a second field `name` in a request; `None` if it may be repeated.
///
/// Every name here has a single value by its definition, and two values would be read differently by different
/// recipients of the same request (RFC 9110 §5.3).
#[cold]
pub(super) fn repeated_in_request(name: &str) -> Option<PeerError> {
    match name.to_ascii_lowercase().as_str() {
        "host" => Some(PeerError::HostRepeated),
        "content-length" => Some(PeerError::ContentLengthInvalid),
        "transfer-encoding" => Some(PeerError::TransferCodingInvalid),
        lower if REQUEST_SINGLETONS.contains(&lower) => Some(PeerError::FieldRepeated),
        _ => None,
    }
}

/// The error for a second field `name` in a response; `None` if it may be repeated.
///
/// Only what decides how the body is read or where a client goes next: servers do repeat other fields.
#[cold]
pub(super) fn repeated_in_response(name: &str) -> Option<PeerError> {
    repeated_in_response_lower(&name.to_ascii_lowercase())
}

/// As [`repeated_in_response`], for a name in lower case.
pub(super) fn repeated_in_response_lower(name: &str) -> Option<PeerError> {
    match name {
        "content-length" => Some(PeerError::ContentLengthInvalid),
        "transfer-encoding" => Some(PeerError::TransferCodingInvalid),
        "content-range" | "content-type" | "location" => Some(PeerError::FieldRepeated),
        _ => None,
    }
}

const REQUEST_SINGLETONS: &[&str] = &[
    "authorization",
    "content-location",
    "content-range",
    "content-type",
    "date",
    "etag",
    "from",
    "if-modified-since",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "origin",
    "proxy-authorization",
    "range",
    "referer",
    "server",
    "user-agent",
];

/// Whether `name` (any case) may not stand in trailers: framing, routing, authentication, request modifiers and
/// descriptions of the content (RFC 9110 §6.5.1).
pub(super) fn forbidden_in_trailers(name: &str) -> bool {
    FORBIDDEN_IN_TRAILERS.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}

const FORBIDDEN_IN_TRAILERS: &[&str] = &[
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
];

/// Finds out why the field lines in `lines` (the end of the head included) are not valid. The parser only says that
/// they are not.
#[cold]
pub(super) fn blame(lines: &[u8]) -> PeerError {
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        if let Some(error) = blame_line(line) {
            return error;
        }
    }
    PeerError::FieldNameInvalid
}

fn blame_line(line: &[u8]) -> Option<PeerError> {
    if line.contains(&b'\r') {
        return Some(PeerError::BareCr);
    }
    if matches!(line[0], b' ' | b'\t') {
        return Some(PeerError::ObsFold);
    }
    let name_bytes = syntax::run(line, syntax::TOKEN);
    let (name, rest) = line.split_at(name_bytes);
    match rest {
        [b' ' | b'\t', ..] if rest.trim_ascii_start().first() == Some(&b':') => {
            Some(PeerError::SpaceBeforeColon)
        }
        [b':', value @ ..] if !name.is_empty() => {
            (!syntax::all(value, syntax::VALUE)).then_some(PeerError::FieldValueInvalid)
        }
        _ => Some(PeerError::FieldNameInvalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_5_6_1_empty_list_elements_are_skipped() {
        assert_eq!(list(b" a ,, b\t,").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(list(b" , ").count(), 0);
    }

    #[test]
    fn rfc9110_5_6_4_separators_in_quotes_separate_nothing() {
        const CASES: &[(&[u8], &[&[u8]])] = &[
            (b"", &[b""]),
            (b" a , b ", &[b"a", b"b"]),
            (b"a=\"x,y\",b", &[b"a=\"x,y\"", b"b"]),
            (br#"a="x\",y",b"#, &[br#"a="x\",y""#, b"b"]),
            (br#"a="x\\",b"#, &[br#"a="x\\""#, b"b"]),
            (br"a\,b", &[br"a\", b"b"]),
            (b"a=\"x,b", &[b"a=\"x,b"]),
            (b",", &[b"", b""]),
        ];
        for (value, parts) in CASES {
            let found: Vec<&[u8]> = split_unquoted(value, b',').collect();
            assert_eq!(found, *parts, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn elements_of_all_fields_of_a_name_are_one_list() {
        let mut headers = HeaderMap::new();
        for value in ["a, b", "", "c"] {
            headers.append(header::VARY, value.parse().unwrap());
        }
        assert_eq!(elements(&headers, header::VARY).collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        assert_eq!(elements(&headers, header::ACCEPT).count(), 0);
    }

    #[test]
    fn rfc9112_9_3_persistence() {
        use http::Version;
        const CASES: &[(&[u8], Version, bool)] = &[
            (b"", Version::HTTP_11, true),
            (b"close", Version::HTTP_11, false),
            (b"keep-alive, CLOSE", Version::HTTP_11, false),
            (b"closed, xclose", Version::HTTP_11, true),
            (b"", Version::HTTP_10, false),
            (b"Keep-Alive", Version::HTTP_10, true),
            (b"upgrade,keep-alive", Version::HTTP_10, true),
            (b"keep-alive, close", Version::HTTP_10, false),
        ];
        for &(value, version, persists) in CASES {
            let mut notes = Notes::default();
            notes.take("Connection", value);
            assert_eq!(notes.persists(version), persists, "{version:?} b\"{}\"", value.escape_ascii());
        }
    }

    #[test]
    fn what_a_server_says_of_its_patience() {
        const CASES: &[(&[u8], Option<u64>)] = &[
            (b"timeout=5, max=100", Some(5)),
            (b"max=1,Timeout = 60", Some(60)),
            (b"timeout=0", Some(0)),
            (b"max=1", None),
            (b"timeout", None),
            (b"timeout=-1", None),
            (b"timeout=99999999999999999999", None),
            (b"", None),
        ];
        for &(value, seconds) in CASES {
            let mut notes = Notes::default();
            assert!(notes.take("Keep-Alive", value).is_none());
            assert_eq!(notes.idle_timeout().map(|time| time.as_secs()), seconds, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn names_in_the_lists_are_lower_case_and_sorted() {
        for names in [REQUEST_SINGLETONS, FORBIDDEN_IN_TRAILERS] {
            assert!(names.is_sorted());
            assert!(names.iter().all(|name| name.to_ascii_lowercase() == *name));
        }
    }
}
