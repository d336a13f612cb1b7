//! Which addresses a client may connect to: the guard against requests that somebody else aims at one's own network (SSRF).
//!
//! It is asked for every address that a name leads to and for every address that stands in a URL, of redirects too, right
//! before the connect: a name that leads elsewhere the second time it is looked up gains nothing.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::proto::ip_network::IpNetwork;

/// Which addresses a client may connect to. Unix sockets are not asked for: they never stand in a URL.
///
/// ```
/// use ringhttp::client::AddressFilter;
///
/// let filter = AddressFilter::public().allow("10.1.2.0/24".parse()?);
/// assert!(filter.is_allowed("93.184.216.34".parse()?) && filter.is_allowed("10.1.2.3".parse()?));
/// assert!(!filter.is_allowed("127.0.0.1".parse()?) && !filter.is_allowed("::ffff:169.254.169.254".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct AddressFilter {
    public_only: bool,
    allowed: Vec<IpNetwork>,
    refused: Vec<IpNetwork>,
}

impl AddressFilter {
    /// All addresses: the default of a client.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Only addresses that are reachable over the internet and belong to one host (by IANA's special-purpose registries):
    /// no loopback, private, link-local, shared, reserved, documentation or multicast addresses, and no IPv6 address that
    /// such an IPv4 address is hidden in. For URLs that strangers choose.
    #[must_use]
    pub fn public() -> Self {
        Self { public_only: true, ..Self::default() }
    }

    /// Allows a network whatever else is said.
    #[must_use]
    pub fn allow(mut self, network: IpNetwork) -> Self {
        self.allowed.push(network);
        self
    }

    /// Refuses a network, unless it is in one that is [allowed](Self::allow). Of an IPv6 address that an IPv4 address is hidden in (NAT64,
    /// 6to4) both are looked for.
    #[must_use]
    pub fn refuse(mut self, network: IpNetwork) -> Self {
        self.refused.push(network);
        self
    }

    /// Whether a client may connect to an address.
    #[must_use]
    pub fn is_allowed(&self, address: IpAddr) -> bool {
        let is_in =
            |networks: &[IpNetwork], address| networks.iter().any(|network| network.contains(address));
        if is_in(&self.allowed, address) {
            return true;
        }
        let hidden = hidden_v4(address).map(IpAddr::V4);
        let is_refused =
            is_in(&self.refused, address) || hidden.is_some_and(|hidden| is_in(&self.refused, hidden));
        !(is_refused || self.public_only && !is_public(address))
    }
}

/// The IPv4 address that packets to an IPv6 address end at: NAT64 (RFC 6052), 6to4 (RFC 3056).
fn hidden_v4(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let ([0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..]) = address.segments() else {
        return None;
    };
    Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
}

fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = match a {
        // This network, a private one, loopback; multicast, reserved, broadcast.
        0 | 10 | 127 | 224.. => true,
        100 => b & 0xc0 == 64,
        169 => b == 254,
        172 => b & 0xf0 == 16,
        192 => matches!((b, c), (0, 0 | 2) | (31, 196) | (52, 193) | (88, 99) | (168, _) | (175, 48)),
        198 => b & 0xfe == 18 || (b, c) == (51, 100),
        203 => (b, c) == (0, 113),
        _ => false,
    };
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(hidden) = hidden_v4(IpAddr::V6(address)) {
        return is_public_v4(hidden);
    }
    let [a, b, ..] = address.segments();
    match (a, b) {
        // Protocol assignments, Teredo among them; documentation (RFC 3849, RFC 9637).
        (0x2001, ..0x200 | 0xdb8) | (0x3fff, ..0x1000) => false,
        // Only 2000::/3 is given out; the rest is local, multicast or reserved.
        _ => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        const PUBLIC: &[&str] = &[
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "93.184.216.34",
            "100.63.0.1",
            "100.128.0.1",
            "126.0.0.1",
            "169.253.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1",
            "2001:4860::8888",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
            "::ffff:1.1.1.1",
        ];
        const SPECIAL: &[&str] = &[
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.0.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "5f00::1",
        ];
        let filter = AddressFilter::public();
        for address in PUBLIC {
            assert!(filter.is_allowed(address.parse().unwrap()), "{address}");
        }
        for address in SPECIAL {
            assert!(!filter.is_allowed(address.parse().unwrap()), "{address}");
            assert!(AddressFilter::any().is_allowed(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn what_is_allowed_goes_before_what_is_refused() {
        let filter =
            AddressFilter::any().refuse("10.0.0.0/8".parse().unwrap()).allow("10.1.0.0/16".parse().unwrap());
        for (address, allowed) in [("10.0.0.1", false), ("10.1.0.1", true), ("127.0.0.1", true)] {
            assert_eq!(filter.is_allowed(address.parse().unwrap()), allowed, "{address}");
        }
    }

    #[test]
    fn what_is_refused_is_refused_in_hiding_too() {
        let filter = AddressFilter::any().refuse("10.0.0.0/8".parse().unwrap());
        for (address, allowed) in [
            ("64:ff9b::10.0.0.1", false),
            ("2002:a00:1::1", false),
            ("::ffff:10.0.0.1", false),
            ("64:ff9b::11.0.0.1", true),
            ("2002:b00:1::1", true),
            ("64:ff9b:1::10.0.0.1", true),
        ] {
            assert_eq!(filter.is_allowed(address.parse().unwrap()), allowed, "{address}");
        }
        let filter = filter.allow("64:ff9b::/96".parse().unwrap());
        assert!(filter.is_allowed("64:ff9b::10.0.0.1".parse().unwrap()), "said by name");
    }
}
