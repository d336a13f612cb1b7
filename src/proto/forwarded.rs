//! What trusted proxies say about the client they speak for: `Forwarded` (RFC 7239) or `X-Forwarded-*`.
//!
//! Every proxy appends what it saw, so the fields are read from their end, and only as far as those who wrote them are
//! trusted: behind the first address that is not of a trusted network, everything may be the client's invention.
//! Something that cannot be understood before that point ends the walk, and the client is then unknown.
#![forbid(unsafe_code)]

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::borrow::Cow;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::http1::{is_host, syntax};
use super::ip_network::IpNetwork;

/// Which fields the trusted proxies write. Those of the other kind are a client's, and are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyFields {
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`, as most proxies write them. The outermost proxy has to
    /// replace or remove the last two: what it passes on of a client's is taken for its own.
    #[default]
    XForwarded,
}

/// What the trusted proxies say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forwarded<'a> {
    /// The address of the client; `None` if a proxy does not know it, hides it, or wrote what cannot be understood.
    pub client: Option<IpAddr>,
    /// `http` or `https`, if the proxies say so.
    pub scheme: Option<&'static str>,
    /// The host that the client asked for, with its port if it was given; valid as a `Host` field.
    pub host: Option<Cow<'a, str>>,
}

/// Elements of the fields that are looked at, from their end: no chain of proxies is longer, and the number of
/// comparisons that a client can cause stays small.
const HOPS_MAX: usize = 32;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What the fields of a request say, which came from a trusted proxy; `None` if the proxy said nothing of whom it speaks
/// for.
#[must_use]
pub fn resolve<'a>(
    headers: &'a HeaderMap,
    fields: ProxyFields,
    trusted: &[IpNetwork],
) -> Option<Forwarded<'a>> {
    match fields {
        ProxyFields::Forwarded => forwarded(headers, trusted),
        ProxyFields::XForwarded => x_forwarded(headers, trusted),
    }
}

fn is_trusted(trusted: &[IpNetwork], address: IpAddr) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

fn forwarded<'a>(headers: &'a HeaderMap, trusted: &[IpNetwork]) -> Option<Forwarded<'a>> {
    let mut found: Option<Forwarded<'a>> = None;
    let mut hops = 0;
    // A line is parsed by itself: what a client leaves open in its own cannot swallow a proxy's.
    for line in headers.get_all(FORWARDED).iter().rev() {
        let Some(elements) = elements(line) else {
            return Some(Forwarded { client: None, ..found.unwrap_or_default() });
        };
        for element in elements.into_iter().rev() {
            hops += 1;
            let found = found.get_or_insert_default();
            found.client = element.client.and_then(|node| address(&node));
            found.scheme = element.proto.and_then(|proto| scheme(proto.as_bytes())).or(found.scheme);
            found.host = element.host.filter(|host| is_host(host.as_bytes())).or(found.host.take());
            if hops == HOPS_MAX || !found.client.is_some_and(|client| is_trusted(trusted, client)) {
                return Some(found.clone());
            }
        }
    }
    found
}

/// The parameters of one `forwarded-element` that are used.
#[derive(Debug, Default)]
struct Element<'a> {
    client: Option<Cow<'a, str>>,
    proto: Option<Cow<'a, str>>,
    host: Option<Cow<'a, str>>,
}

/// The elements of a line (RFC 7239 §4); `None` if it breaks the grammar.
fn elements(line: &HeaderValue) -> Option<Vec<Element<'_>>> {
    let mut rest = str::from_utf8(line.as_bytes()).ok()?;
    let mut elements = Vec::new();
    loop {
        let (element, behind) = element(rest)?;
        elements.extend(element);
        match behind.strip_prefix(',') {
            Some(behind) => rest = behind,
            None => return behind.is_empty().then_some(elements),
        }
    }
}

/// One element, `None` inside if it is empty, and what stands behind it: nothing, or a comma and more.
fn element(text: &str) -> Option<(Option<Element<'_>>, &str)> {
    let mut rest = text.trim_ascii_start();
    let mut element = Element::default();
    let mut is_empty = true;
    loop {
        if !rest.starts_with([',', ';']) && !rest.is_empty() {
            let (name, value, behind) = pair(rest)?;
            let slot = match () {
                () if name.eq_ignore_ascii_case("for") => Some(&mut element.client),
                () if name.eq_ignore_ascii_case("proto") => Some(&mut element.proto),
                () if name.eq_ignore_ascii_case("host") => Some(&mut element.host),
                () => None,
            };
            // RFC 7239 §4: a parameter comes once.
            if slot.is_some_and(|slot| slot.replace(value).is_some()) {
                return None;
            }
            is_empty = false;
            rest = behind.trim_ascii_start();
        }
        match rest.strip_prefix(';') {
            Some(behind) => rest = behind.trim_ascii_start(),
            None if rest.is_empty() || rest.starts_with(',') => {
                return Some(((!is_empty).then_some(element), rest));
            }
            None => return None,
        }
    }
}

/// `token "=" ( token / quoted-string )`, and what stands behind it.
fn pair(text: &str) -> Option<(&str, Cow<'_, str>, &str)> {
    let (name, behind) = text.split_once('=')?;
    if name.is_empty() || !syntax::all(name.as_bytes(), syntax::TOKEN) {
        return None;
    }
    if let Some(quoted) = behind.strip_prefix('"') {
        let (value, behind) = quoted_string(quoted)?;
        return Some((name, value, behind));
    }
    // Colons and brackets must be quoted (RFC 7239 §6), but proxies do forget it, and nothing else can be meant.
    let is_value = |byte: u8| syntax::is(byte, syntax::TOKEN) || matches!(byte, b':' | b'[' | b']');
    let end = behind.bytes().position(|byte| !is_value(byte)).unwrap_or(behind.len());
    (end > 0).then(|| (name, Cow::Borrowed(&behind[..end]), &behind[end..]))
}

/// The text of a quoted string (RFC 9110 §5.6.4) whose opening quote was read, and what stands behind it.
fn quoted_string(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    if text.as_bytes()[end] == b'"' {
        return Some((text[..end].into(), &text[end + 1..]));
    }
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value.into(), &text[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

/// An address as proxies write it (RFC 7239 §6; `unknown` and obfuscated names have none): `192.0.2.7`, `192.0.2.7:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`; a port
/// may be obfuscated (RFC 7239 §6.3).
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Some(behind) = text.strip_prefix('[') {
        let (address, port) = behind.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        return is_port(port).then(|| IpAddr::V6(address).to_canonical());
    }
    let (address, _) = text.split_once(':')?;
    let port = &text[address.len()..];
    let address: Ipv4Addr = address.parse().ok()?;
    is_port(port).then_some(IpAddr::V4(address))
}

/// Nothing, or a colon and a port or an obfuscated one.
fn is_port(text: &str) -> bool {
    let Some(port) = text.strip_prefix(':') else {
        return text.is_empty();
    };
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    match port.strip_prefix('_') {
        Some(name) => is_name(name),
        None => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok(),
    }
}

fn x_forwarded<'a>(headers: &'a HeaderMap, trusted: &[IpNetwork]) -> Option<Forwarded<'a>> {
    let mut client = None;
    let mut hops = 0;
    for item in items(headers, &X_FORWARDED_FOR) {
        hops += 1;
        client = str::from_utf8(item).ok().and_then(address);
        if !client.is_some_and(|client| is_trusted(trusted, client)) || hops == HOPS_MAX {
            break;
        }
    }
    // Some proxies append to these fields, some replace them: there may be fewer values than hops, the first is then the
    // one that was written farthest out.
    let of_outermost = |name| items(headers, name).take(hops.max(1)).last();
    let scheme = of_outermost(&X_FORWARDED_PROTO).and_then(scheme);
    let host = of_outermost(&X_FORWARDED_HOST).filter(|host| is_host(host));
    let host = host.and_then(|host| str::from_utf8(host).ok()).map(Cow::Borrowed);
    (hops > 0 || scheme.is_some() || host.is_some()).then_some(Forwarded { client, scheme, host })
}

/// The elements of all fields of a name, last to first.
fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).iter().rev();
    lines.flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii))
}

fn scheme(text: &[u8]) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme.as_bytes()))
}

/// Whether a peer is one that speaks for others. A peer without an address came over a Unix socket: who may connect to
/// that is the file's permissions, and it is trusted if anybody is.
#[must_use]
pub fn is_proxy(trusted: &[IpNetwork], peer: Option<SocketAddr>) -> bool {
    !trusted.is_empty() && peer.is_none_or(|peer| is_trusted(trusted, peer.ip()))
}

#[cfg(test)]
mod tests;
