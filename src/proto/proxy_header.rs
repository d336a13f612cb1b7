//! The PROXY protocol (HAProxy's `proxy-protocol.txt`, versions 1 and 2): the addresses of the client, sent by a proxy
//! ahead of the client's own bytes.
//!
//! What is left out of the standard's choices: datagrams over a stream and unknown commands are refused; TLVs and the
//! addresses of Unix sockets are skipped.
#![forbid(unsafe_code)]

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::fmt;
use std::str::FromStr;

/// The longest header of version 1, line end included (§2.1).
pub const V1_BYTES_MAX: usize = 107;

/// The longest header of version 2 that is taken. Addresses need 232 bytes; TLVs with a client's TLS names some hundred
/// more. A proxy that sends whole certificates is refused.
pub const V2_BYTES_MAX: usize = 4 * 1024;

const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_HEAD_BYTES: usize = 16;
const V1_START: &[u8] = b"PROXY ";

/// What a complete header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyHeader {
    /// Bytes of the header: what follows is the client's.
    pub bytes: usize,
    /// Whom the connection is for.
    pub source: Source,
}

/// Whom a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A client, with its address and the one it connected to.
    Client {
        /// The client's address.
        peer: SocketAddr,
        /// The address it connected to.
        local: SocketAddr,
    },
    /// A client that has no IP address: it came over a Unix socket.
    Unix,
    /// The proxy itself, mostly for a health check, or a client of which it knows nothing: the addresses of the
    /// connection count (`LOCAL`, `UNSPEC`, `UNKNOWN`).
    Proxy,
}

/// Reads a header from the front of `input`, which is left as it is. `None` while it is not complete.
///
/// ```
/// use ringhttp::proto::proxy_header::{Source, parse};
///
/// let input = b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\nGET / HTTP/1.1\r\n";
/// let header = parse(input)?.unwrap();
/// assert!(input[header.bytes..].starts_with(b"GET /"));
/// assert!(matches!(header.source, Source::Client { peer, .. } if peer.port() == 5000));
/// assert_eq!(parse(&input[..20])?, None);
/// # Ok::<_, ringhttp::proto::proxy_header::ProxyHeaderError>(())
/// ```
///
/// # Errors
/// [`ProxyHeaderError`], as soon as it can be no header any more.
pub fn parse(input: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let begins = |start: &[u8]| input.starts_with(start) || start.starts_with(input);
    if begins(V2_SIGNATURE) {
        return parse_v2(input);
    }
    if begins(V1_START) { parse_v1(input) } else { Err(ProxyHeaderError) }
}

fn parse_v1(input: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let window = &input[..input.len().min(V1_BYTES_MAX)];
    let Some(end) = memchr::memchr(b'\n', window) else {
        return if window.len() == V1_BYTES_MAX { Err(ProxyHeaderError) } else { Ok(None) };
    };
    let line = window[..end].strip_suffix(b"\r").ok_or(ProxyHeaderError)?;
    let line = str::from_utf8(line).map_err(|_| ProxyHeaderError)?;
    let source = v1_source(line).ok_or(ProxyHeaderError)?;
    Ok(Some(ProxyHeader { bytes: end + 1, source }))
}

/// §2.1: single spaces; behind `UNKNOWN` anything goes.
fn v1_source(line: &str) -> Option<Source> {
    let rest = line.strip_prefix("PROXY ")?;
    if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
        return Some(Source::Proxy);
    }
    let mut words = rest.split(' ');
    let family = words.next()?;
    let [source, destination, source_port, destination_port] = [(); 4].map(|()| words.next());
    let ip = |word: Option<&str>| match family {
        "TCP4" => word?.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => word?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    };
    let peer = SocketAddr::new(ip(source)?, port(source_port?)?);
    let local = SocketAddr::new(ip(destination)?, port(destination_port?)?);
    words.next().is_none().then_some(Source::Client { peer, local })
}

/// A number without a sign or leading zeros.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    u16::from_str(word).ok().filter(|_| is_plain)
}

fn parse_v2(input: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    // What is wrong is said as soon as it is seen, not when all has come.
    if let Some(&version_command) = input.get(12)
        && !matches!(version_command, 0x20 | 0x21)
    {
        return Err(ProxyHeaderError);
    }
    let Some(head) = input.get(..V2_HEAD_BYTES) else {
        return Ok(None);
    };
    let is_local = head[12] == 0x20;
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    let bytes = V2_HEAD_BYTES + length;
    if bytes > V2_BYTES_MAX {
        return Err(ProxyHeaderError);
    }
    let address_bytes = match head[13] {
        // §2.2: of a local connection the family is to be ignored.
        _ if is_local => 0,
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => return Err(ProxyHeaderError),
    };
    if length < address_bytes {
        return Err(ProxyHeaderError);
    }
    let Some(addresses) = input.get(V2_HEAD_BYTES..bytes) else {
        return Ok(None);
    };
    let source = match address_bytes {
        12 => v2_source::<4>(addresses),
        36 => v2_source::<16>(addresses),
        216 => Source::Unix,
        _ => Source::Proxy,
    };
    Ok(Some(ProxyHeader { bytes, source }))
}

/// Source and destination address of `N` bytes each, then their ports.
fn v2_source<const N: usize>(bytes: &[u8]) -> Source
where
    IpAddr: From<[u8; N]>,
{
    let address = |at: usize| -> IpAddr {
        let bytes: [u8; N] = bytes[at..at + N].try_into().expect("the length was checked");
        IpAddr::from(bytes)
    };
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    Source::Client {
        peer: SocketAddr::new(address(0), port(2 * N)),
        local: SocketAddr::new(address(N), port(2 * N + 2)),
    }
}

/// Bytes that are no header of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeaderError;

impl fmt::Display for ProxyHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("peer sent no valid header of the PROXY protocol")
    }
}

impl std::error::Error for ProxyHeaderError {}

#[cfg(test)]
mod tests;
