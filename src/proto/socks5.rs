//! SOCKS 5 (RFC 1928) with user and password (RFC 1929), the client's half: questions are written, replies are read.
//!
//! ```text
//! greeting ──▶ method ──(user and password)──▶ signed in ──▶ request ──▶ reply: the connection leads to the target
//!                 └───────────(none)──────────────────────────▲
//! ```
#![forbid(unsafe_code)]

use core::net::{IpAddr, SocketAddr};
use std::error::Error;
use std::fmt;

const VERSION: u8 = 5;
/// RFC 1929 §2.
const SIGN_IN_VERSION: u8 = 1;
const WITHOUT_SIGNING_IN: u8 = 0;
const BY_PASSWORD: u8 = 2;

/// Where a connection is to lead.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    Address(SocketAddr),
    /// A name that the proxy looks up.
    Name(&'a str, u16),
}

/// User and password.
pub(crate) type Credentials<'a> = (&'a str, &'a str);

/// The first message: the ways to sign in that are offered.
pub(crate) fn greeting(has_credentials: bool) -> Vec<u8> {
    if has_credentials {
        vec![VERSION, 2, WITHOUT_SIGNING_IN, BY_PASSWORD]
    } else {
        vec![VERSION, 1, WITHOUT_SIGNING_IN]
    }
}

/// What of the input the reply to the greeting takes, and whether it asks for user and password; `None`: not all of it is here.
pub(crate) fn read_method(input: &[u8], has_credentials: bool) -> Result<Option<(usize, bool)>, Socks5Error> {
    check_version(input)?;
    match input {
        [_, WITHOUT_SIGNING_IN, ..] => Ok(Some((2, false))),
        [_, BY_PASSWORD, ..] if has_credentials => Ok(Some((2, true))),
        [_, _, ..] => Err(Socks5Error::NoMethod),
        _ => Ok(None),
    }
}

/// User and password (RFC 1929 §2).
pub(crate) fn sign_in((user, password): Credentials<'_>) -> Result<Vec<u8>, Socks5Error> {
    let mut out = vec![SIGN_IN_VERSION];
    put_short(&mut out, user).ok_or(Socks5Error::CredentialsTooLong)?;
    put_short(&mut out, password).ok_or(Socks5Error::CredentialsTooLong)?;
    Ok(out)
}

/// What of the input the reply to user and password takes.
pub(crate) fn read_signed_in(input: &[u8]) -> Result<Option<(usize, ())>, Socks5Error> {
    match input {
        // Some proxies write the other version here.
        [_, 0, ..] => Ok(Some((2, ()))),
        [_, _, ..] => Err(Socks5Error::CredentialsRefused),
        _ => Ok(None),
    }
}

/// The request for a connection (RFC 1928 §4).
pub(crate) fn connect(target: Target<'_>) -> Result<Vec<u8>, Socks5Error> {
    let mut out = vec![VERSION, CONNECT, 0];
    let port = match target {
        Target::Address(address) => {
            match address.ip().to_canonical() {
                IpAddr::V4(ip) => {
                    out.push(OF_V4);
                    out.extend(ip.octets());
                }
                IpAddr::V6(ip) => {
                    out.push(OF_V6);
                    out.extend(ip.octets());
                }
            }
            address.port()
        }
        Target::Name(name, port) => {
            out.push(OF_NAME);
            put_short(&mut out, name).ok_or(Socks5Error::NameTooLong)?;
            port
        }
    };
    out.extend(port.to_be_bytes());
    Ok(out)
}

const CONNECT: u8 = 1;
const OF_V4: u8 = 1;
const OF_NAME: u8 = 3;
const OF_V6: u8 = 4;

/// What of the input the reply to the request takes (RFC 1928 §6).
pub(crate) fn read_connected(input: &[u8]) -> Result<Option<(usize, ())>, Socks5Error> {
    check_version(input)?;
    let address = match input {
        // Who refuses need not say more: some proxies do not.
        [_, code, ..] if *code > 0 => return Err(Socks5Error::Refused(Refusal::of_code(*code))),
        [] | [_] | [_, _] | [_, _, _] | [_, _, _, OF_NAME] => return Ok(None),
        [_, _, _, OF_V4, ..] => 4,
        [_, _, _, OF_V6, ..] => 16,
        [_, _, _, OF_NAME, length, ..] => 1 + usize::from(*length),
        _ => return Err(Socks5Error::Malformed),
    };
    let length = 4 + address + 2;
    Ok((input.len() >= length).then_some((length, ())))
}

fn check_version(input: &[u8]) -> Result<(), Socks5Error> {
    if input.first().is_none_or(|version| *version == VERSION) { Ok(()) } else { Err(Socks5Error::Malformed) }
}

/// A text behind its length, which is one byte; `None`: it is longer, or empty.
fn put_short(out: &mut Vec<u8>, text: &str) -> Option<()> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length > 0)?;
    out.push(length);
    out.extend_from_slice(text.as_bytes());
    Some(())
}

/// Why a proxy makes no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socks5Error {
    CredentialsRefused,
    CredentialsTooLong,
    Malformed,
    NameTooLong,
    NoMethod,
    Refused(Refusal),
}

/// What a proxy says about the target (RFC 1928 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    GeneralFailure,
    NotAllowed,
    NetworkUnreachable,
    HostUnreachable,
    ConnectionRefused,
    TtlExpired,
    CommandNotSupported,
    AddressTypeNotSupported,
    Unassigned(u8),
}

impl Refusal {
    fn of_code(code: u8) -> Self {
        match code {
            1 => Self::GeneralFailure,
            2 => Self::NotAllowed,
            3 => Self::NetworkUnreachable,
            4 => Self::HostUnreachable,
            5 => Self::ConnectionRefused,
            6 => Self::TtlExpired,
            7 => Self::CommandNotSupported,
            8 => Self::AddressTypeNotSupported,
            code => Self::Unassigned(code),
        }
    }
}

impl fmt::Display for Socks5Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CredentialsRefused => "it does not accept user and password",
            Self::CredentialsTooLong => "user and password have 1 to 255 bytes each",
            Self::Malformed => "it does not speak SOCKS 5",
            Self::NameTooLong => "the name has more than 255 bytes",
            Self::NoMethod => "it accepts none of the ways to sign in that were offered",
            Self::Refused(refusal) => return refusal.fmt(f),
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GeneralFailure => "general failure",
            Self::NotAllowed => "its rules do not allow the connection",
            Self::NetworkUnreachable => "the network is unreachable",
            Self::HostUnreachable => "the host is unreachable",
            Self::ConnectionRefused => "the connection was refused",
            Self::TtlExpired => "the time to live expired",
            Self::CommandNotSupported => "it does not support the command",
            Self::AddressTypeNotSupported => "it does not support the type of the address",
            Self::Unassigned(code) => return write!(f, "reply {code}, which means nothing"),
        })
    }
}

impl Error for Socks5Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc1928_3_and_rfc1929_2_greeting_and_signing_in() {
        assert_eq!(greeting(false), [5, 1, 0]);
        assert_eq!(greeting(true), [5, 2, 0, 2]);
        type Case = (&'static [u8], bool, Result<Option<(usize, bool)>, Socks5Error>);
        const CASES: &[Case] = &[
            (b"", true, Ok(None)),
            (b"\x05", true, Ok(None)),
            (b"\x05\x00", false, Ok(Some((2, false)))),
            (b"\x05\x00\x01", true, Ok(Some((2, false)))),
            (b"\x05\x02", true, Ok(Some((2, true)))),
            (b"\x05\x02", false, Err(Socks5Error::NoMethod)),
            (b"\x05\x01", true, Err(Socks5Error::NoMethod)),
            (b"\x05\xff", true, Err(Socks5Error::NoMethod)),
            (b"H", true, Err(Socks5Error::Malformed)),
            (b"\x04\x00", true, Err(Socks5Error::Malformed)),
        ];
        for (input, has_credentials, expected) in CASES {
            assert_eq!(read_method(input, *has_credentials), *expected, "{}", input.escape_ascii());
        }
        assert_eq!(sign_in(("ada", "pw")).as_deref(), Ok(&b"\x01\x03ada\x02pw"[..]));
        let long = "x".repeat(256);
        for credentials in [("", "a"), ("a", ""), (&long, "a"), ("a", &long)] {
            assert_eq!(sign_in(credentials), Err(Socks5Error::CredentialsTooLong));
        }
        assert_eq!(read_signed_in(b"\x01"), Ok(None));
        assert_eq!(read_signed_in(b"\x01\x00"), Ok(Some((2, ()))));
        assert_eq!(read_signed_in(b"\x01\x01"), Err(Socks5Error::CredentialsRefused));
    }

    #[test]
    fn rfc1928_4_requests() {
        let address = |text: &str| connect(Target::Address(text.parse().expect("an address")));
        assert_eq!(address("1.2.3.4:258").as_deref(), Ok(&b"\x05\x01\x00\x01\x01\x02\x03\x04\x01\x02"[..]));
        assert_eq!(
            address("[::ffff:1.2.3.4]:80").as_deref(),
            Ok(&b"\x05\x01\x00\x01\x01\x02\x03\x04\x00\x50"[..])
        );
        let v6 = address("[::1]:80").expect("it can be written");
        assert!(
            v6.starts_with(b"\x05\x01\x00\x04\x00\x00") && v6.ends_with(b"\x01\x00\x50") && v6.len() == 22
        );
        assert_eq!(connect(Target::Name("a.b", 80)).as_deref(), Ok(&b"\x05\x01\x00\x03\x03a.b\x00\x50"[..]));
        assert_eq!(connect(Target::Name(&"x".repeat(256), 80)), Err(Socks5Error::NameTooLong));
    }

    #[test]
    fn rfc1928_6_replies_however_they_are_cut() {
        for reply in [
            &b"\x05\x00\x00\x01\x7f\x00\x00\x01\x1f\x90"[..],
            b"\x05\x00\x00\x03\x03a.b\x1f\x90",
            b"\x05\x00\x00\x03\x00\x1f\x90",
            b"\x05\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x1f\x90",
        ] {
            for length in 0..reply.len() {
                assert_eq!(
                    read_connected(&reply[..length]),
                    Ok(None),
                    "{length} of {}",
                    reply.escape_ascii()
                );
            }
            assert_eq!(read_connected(reply), Ok(Some((reply.len(), ()))));
            assert_eq!(read_connected(&[reply, b"more"].concat()), Ok(Some((reply.len(), ()))));
        }
        for (input, expected) in [
            (&b"\x05\x00\x00\x02"[..], Socks5Error::Malformed),
            (b"HTTP/1.1 400", Socks5Error::Malformed),
            (b"\x05\x01", Socks5Error::Refused(Refusal::GeneralFailure)),
            (b"\x05\x05\x00\x01", Socks5Error::Refused(Refusal::ConnectionRefused)),
            (b"\x05\x09", Socks5Error::Refused(Refusal::Unassigned(9))),
        ] {
            assert_eq!(read_connected(input), Err(expected), "{}", input.escape_ascii());
        }
        let texts: Vec<_> =
            (1..=9).map(|code| Socks5Error::Refused(Refusal::of_code(code)).to_string()).collect();
        let different: std::collections::HashSet<_> = texts.iter().collect();
        assert_eq!(different.len(), 9, "{texts:?}");
    }
}
