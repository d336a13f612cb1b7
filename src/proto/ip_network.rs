//! Networks in CIDR form (RFC 4632 §3.1, RFC 4291 §2.3), to say which peers are trusted.
#![forbid(unsafe_code)]

use core::net::{IpAddr, Ipv6Addr};
use std::fmt;
use std::str::FromStr;

/// A network, or a single address.
///
/// ```
/// use ringhttp::IpNetwork;
///
/// let network: IpNetwork = "10.0.0.0/8".parse()?;
/// assert!(network.contains("10.1.2.3".parse()?));
/// assert!("fe80::/64".parse::<IpNetwork>().is_ok() && "10.0.0.1/8".parse::<IpNetwork>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpNetwork {
    address: IpAddr,
    prefix_bits: u8,
}

impl IpNetwork {
    /// Whether an address belongs to it. An IPv4 address that comes mapped into IPv6 (`::ffff:10.0.0.1`, as sockets that
    /// speak both give them) is compared as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let bits = u32::from(network) ^ u32::from(address);
                bits.leading_zeros() >= u32::from(self.prefix_bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let bits = u128::from(network) ^ u128::from(address);
                bits.leading_zeros() >= u32::from(self.prefix_bits)
            }
            _ => false,
        }
    }

    fn new(address: IpAddr, prefix_bits: u8) -> Option<Self> {
        let host_bits = match address {
            IpAddr::V4(address) if prefix_bits <= 32 => {
                u128::from(u32::from(address).checked_shl(u32::from(prefix_bits)).unwrap_or(0))
            }
            IpAddr::V6(address) if prefix_bits <= 128 => {
                u128::from(address).checked_shl(u32::from(prefix_bits)).unwrap_or(0)
            }
            _ => return None,
        };
        (host_bits == 0).then_some(Self { address, prefix_bits })
    }
}

impl From<IpAddr> for IpNetwork {
    /// The address alone.
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, prefix_bits: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for IpNetwork {
    type Err = IpNetworkError;

    /// `10.0.0.0/8`, `fd00::/8`, or an address alone. An address with bits behind the prefix is refused: it was meant to be
    /// something else. So are networks of mapped addresses (`::ffff:…`).
    fn from_str(text: &str) -> Result<Self, IpNetworkError> {
        let Some((address, bits)) = text.split_once('/') else {
            return text.parse::<IpAddr>().map(Self::from).map_err(|_| IpNetworkError);
        };
        let address: IpAddr = address.parse().map_err(|_| IpNetworkError)?;
        let is_number = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
        let is_mapped = matches!(address, IpAddr::V6(address) if is_mapped(address));
        let bits = bits.parse().ok().filter(|_| is_number && !is_mapped);
        bits.and_then(|bits| Self::new(address, bits)).ok_or(IpNetworkError)
    }
}

fn is_mapped(address: Ipv6Addr) -> bool {
    address.to_ipv4_mapped().is_some()
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

/// A text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpNetworkError;

impl fmt::Display for IpNetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a network like 10.0.0.0/8, fd00::/8 or ::1")
    }
}

impl std::error::Error for IpNetworkError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses() {
        const CASES: &[(&str, &str, bool)] = &[
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "::10.1.2.3", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("192.0.2.8/31", "192.0.2.9", true),
            ("192.0.2.8/31", "192.0.2.10", false),
            ("::1", "::1", true),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
        ];
        for (network, address, expected) in CASES {
            let parsed: IpNetwork = network.parse().unwrap();
            assert_eq!(parsed.contains(address.parse().unwrap()), *expected, "{network} {address}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        const BAD: &[&str] = &[
            "",
            "/",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.0/8 ",
            "10.0.0.0/8/8",
            "10.0.0.0/256",
            "10.0.0.1/8",
            "10.0.0",
            "10.0.0.256",
            "::1/127",
            "::/129",
            "::ffff:10.0.0.0/104",
            "fe80::1%eth0",
            "localhost",
        ];
        for text in BAD {
            assert_eq!(text.parse::<IpNetwork>(), Err(IpNetworkError), "{text:?}");
        }
    }
}
