//! The character classes of RFC 9110 and RFC 3986, and the `host[:port]` grammar built on them.
//!
//! One table of bit sets answers "may this byte stand here" with one load.
#![forbid(unsafe_code)]

use core::net::Ipv6Addr;

/// A `token` byte: method, field name (RFC 9110 §5.6.2).
pub(in crate::proto) const TOKEN: u8 = 1;
/// A path byte (RFC 3986 §3.3), and `[ ] ^ |`, which browsers send without escaping them.
pub(super) const PATH: u8 = 2;
/// A query byte (RFC 3986 §3.4), and ``[ ] ^ | ` { } \``, which browsers send without escaping them.
pub(super) const QUERY: u8 = 4;
/// A byte of a registered name (RFC 3986 §3.2.2).
pub(super) const REG_NAME: u8 = 8;
/// A byte of a field value (RFC 9110 §5.5): visible, space, tab or obs-text.
pub(super) const VALUE: u8 = 16;
/// A hexadecimal digit.
pub(super) const HEX: u8 = 32;

/// Whether `byte` is in `class`.
#[inline]
pub(in crate::proto) const fn is(byte: u8, class: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

/// Whether all of `bytes` are in `class`.
#[inline]
pub(in crate::proto) fn all(bytes: &[u8], class: u8) -> bool {
    bytes.iter().all(|&byte| is(byte, class))
}

/// Index of the first byte that is not in `class`, or the length.
#[inline]
pub(in crate::proto) fn run(bytes: &[u8], class: u8) -> usize {
    bytes.iter().position(|&byte| !is(byte, class)).unwrap_or(bytes.len())
}

/// What is known of a valid `uri-host [ ":" port ]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HostPort {
    /// Length of the host, brackets included.
    pub(super) host_bytes: usize,
    /// The port, if one was given with at least one digit.
    pub(super) port: Option<u16>,
}

/// Checks `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2.2). `None`: not valid.
///
/// User information (`@`), IPv6 zones, IPvFuture and ports above 65535 are refused.
pub(super) fn host_port(bytes: &[u8]) -> Option<HostPort> {
    let host_bytes = match bytes.first() {
        Some(b'[') => ip_literal(bytes)?,
        _ => reg_name(bytes)?,
    };
    let port = match &bytes[host_bytes..] {
        [] | [b':'] => None,
        [b':', digits @ ..] => Some(port(digits)?),
        _ => return None,
    };
    Some(HostPort { host_bytes, port })
}

/// Whether `bytes` are a host that is not empty, with or without a port.
pub(in crate::proto) fn is_host(bytes: &[u8]) -> bool {
    host_port(bytes).is_some_and(|known| known.host_bytes > 0)
}

fn ip_literal(bytes: &[u8]) -> Option<usize> {
    let close = memchr::memchr(b']', bytes)?;
    let address = str::from_utf8(&bytes[1..close]).ok()?;
    address.parse::<Ipv6Addr>().ok()?;
    Some(close + 1)
}

fn reg_name(bytes: &[u8]) -> Option<usize> {
    let mut at = run(bytes, REG_NAME);
    // A percent sign is no byte of the class: it takes two digits with it.
    while let Some(b'%') = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3)?;
        if !all(digits, HEX) {
            return None;
        }
        at += 3 + run(&bytes[at + 3..], REG_NAME);
    }
    Some(at)
}

fn port(digits: &[u8]) -> Option<u16> {
    if digits.len() > PORT_DIGITS_MAX {
        return None;
    }
    digits.iter().try_fold(0_u16, |port, digit| match digit {
        b'0'..=b'9' => port.checked_mul(10)?.checked_add(u16::from(digit - b'0')),
        _ => None,
    })
}

/// 65535 has five.
const PORT_DIGITS_MAX: usize = 5;

static CLASSES: [u8; 256] = classes();

#[expect(clippy::cast_possible_truncation, reason = "the loop ends at 255")]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        table[index] = class_of(index as u8);
        index += 1;
    }
    table
}

const fn class_of(byte: u8) -> u8 {
    let mut class = match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            TOKEN | PATH | QUERY | REG_NAME
        }
        b'!' | b'$' | b'&' | b'\'' | b'*' | b'+' => TOKEN | PATH | QUERY | REG_NAME,
        b'(' | b')' | b',' | b';' | b'=' => PATH | QUERY | REG_NAME,
        b'%' | b'^' | b'|' => TOKEN | PATH | QUERY,
        b':' | b'@' | b'/' | b'[' | b']' => PATH | QUERY,
        b'?' | b'{' | b'}' | b'\\' => QUERY,
        b'`' => TOKEN | QUERY,
        b'#' => TOKEN,
        _ => 0,
    };
    if byte.is_ascii_hexdigit() {
        class |= HEX;
    }
    if matches!(byte, b'\t' | b' '..=b'~' | 0x80..) {
        class |= VALUE;
    }
    class
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_every_byte_are_those_of_the_grammar() {
        for byte in 0..=255_u8 {
            let char = char::from(byte);
            let unreserved = byte.is_ascii_alphanumeric() || "-._~".contains(char);
            let sub_delims = byte.is_ascii() && "!$&'()*+,;=".contains(char);
            let pchar = unreserved || sub_delims || ":@%".contains(char);
            let token = byte.is_ascii_alphanumeric() || (byte.is_ascii() && "!#$%&'*+-.^_`|~".contains(char));
            assert_eq!(is(byte, TOKEN), token, "token {byte:#x}");
            assert_eq!(is(byte, REG_NAME), unreserved || sub_delims, "reg-name {byte:#x}");
            assert_eq!(is(byte, PATH), pchar || "/[]^|".contains(char), "path {byte:#x}");
            assert_eq!(is(byte, QUERY), pchar || "/?[]^|`{}\\".contains(char), "query {byte:#x}");
            assert_eq!(is(byte, HEX), byte.is_ascii_hexdigit(), "hex {byte:#x}");
            assert_eq!(is(byte, VALUE), byte == 9 || (byte >= 32 && byte != 127), "value {byte:#x}");
        }
    }

    #[test]
    fn rfc9110_7_2_hosts() {
        const GOOD: &[(&str, usize, Option<u16>)] = &[
            ("", 0, None),
            ("localhost", 9, None),
            ("localhost:8080", 9, Some(8080)),
            ("localhost:", 9, None),
            ("a.example:65535", 9, Some(65535)),
            ("127.0.0.1:80", 9, Some(80)),
            ("[::1]", 5, None),
            ("[::1]:443", 5, Some(443)),
            ("[2001:db8::7]", 13, None),
            ("[::ffff:192.0.2.1]:1", 18, Some(1)),
            ("a%20b", 5, None),
            ("under_score.example", 19, None),
        ];
        const BAD: &[&str] = &[
            "user@host",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "a:b",
            "a:80:80",
            "a:65536",
            "a:000080",
            "a:-1",
            "a:+1",
            "a,b c",
            "[::1",
            "[]",
            "[::g]",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "[::1]80",
            "[::1]:x",
            "a%2",
            "a%zz",
            "a%",
            "\u{e9}",
            "a\tb",
            "a\\b",
            "<a>",
            "\"a\"",
            "::1",
        ];
        for &(host, host_bytes, port) in GOOD {
            assert_eq!(host_port(host.as_bytes()), Some(HostPort { host_bytes, port }), "{host:?}");
        }
        for host in BAD {
            assert_eq!(host_port(host.as_bytes()), None, "{host:?}");
        }
    }
}
