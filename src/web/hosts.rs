//! Which host a request is for: tables of routes by name and by mask.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use http::header::HOST;

use super::table::Table;
use crate::conn::Request;

/// Tables of routes by host.
#[derive(Default)]
pub(super) struct Hosts {
    exact: HashMap<Box<str>, Table>,
    /// By what stands behind the `*.`.
    masks: HashMap<Box<str>, Table>,
}

impl Hosts {
    /// Adds a host or a mask.
    ///
    /// # Errors
    /// If it is neither, or if it is there already.
    pub(super) fn add(&mut self, host: &str, table: Table) -> Result<(), String> {
        let (name, tables) = match host.strip_prefix("*.") {
            Some(name) => (name, &mut self.masks),
            None => (host, &mut self.exact),
        };
        if !is_name(name) {
            return Err(format!(
                "host {host:?} is neither a name, an address, nor `*.` before a name (no port)"
            ));
        }
        match tables.insert(plain(name).to_ascii_lowercase().into(), table) {
            Some(_) => Err(format!("host {host:?} has routes already")),
            None => Ok(()),
        }
    }

    /// The table of the host that the request is for; of masks, that of the longest.
    pub(super) fn find(&self, request: &Request) -> Option<&Table> {
        if self.exact.is_empty() && self.masks.is_empty() {
            return None;
        }
        // RFC 9112 §3.2.2: an absolute target has replaced the field by now.
        let host = request.header(HOST)?.as_bytes();
        let mut lower = [0; HOST_BYTES_MAX];
        let lower = lower.get_mut(..host.len())?;
        lower.copy_from_slice(host);
        lower.make_ascii_lowercase();
        self.named(plain(without_port(str::from_utf8(lower).ok()?)))
    }

    fn named(&self, host: &str) -> Option<&Table> {
        if let Some(table) = self.exact.get(host) {
            return Some(table);
        }
        let dots = host.match_indices('.').filter(|(at, _)| *at > 0);
        dots.map(|(at, _)| &host[at + 1..]).find_map(|name| self.masks.get(name))
    }
}

/// The longest host with a port: names have 253 bytes at most (RFC 1035 §2.3.4). What is longer is none of ours.
const HOST_BYTES_MAX: usize = 272;

/// A host without its port. The field has been checked when the head was read.
fn without_port(host: &str) -> &str {
    let end = host.find(']').map_or(0, |bracket| bracket + 1);
    match host[end..].find(':') {
        Some(colon) => &host[..end + colon],
        None => host,
    }
}

/// A name without the dot that may stand at its end (RFC 3986 §3.2.2).
fn plain(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

fn is_name(name: &str) -> bool {
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    if let Some(address) = address {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !plain(name).is_empty() && name.len() < HOST_BYTES_MAX && name.bytes().all(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lose_their_port() {
        for (host, name) in [
            ("a.example", "a.example"),
            ("a.example:80", "a.example"),
            ("a.example:", "a.example"),
            ("a.example.:80", "a.example"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(plain(without_port(host)), name, "{host}");
        }
    }

    #[test]
    fn names_of_hosts() {
        for (name, good) in [
            ("a.example", true),
            ("a.example.", true),
            ("under_score", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("::1", false),
            ("[::1", false),
            ("a.example:80", false),
            ("a/b", false),
            ("*", false),
            ("a.*", false),
            ("", false),
            (".", false),
        ] {
            assert_eq!(is_name(name), good, "{name}");
        }
    }
}
