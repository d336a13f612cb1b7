//! Addresses to bind, and addresses that were bound.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

/// An address to listen on: `127.0.0.1:8080`, `[::1]:0`, `localhost:80` or `unix:/run/app.sock`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BindAddress {
    /// A host, by name or number, and a port. 0 is any free one.
    Tcp(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl FromStr for BindAddress {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err(invalid("the path is empty"))
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(Self::Tcp(text.to_owned()))
            }
            _ => Err(invalid("expected HOST:PORT or unix:PATH")),
        }
    }
}

impl BindAddress {
    /// All socket addresses behind a host. Looks names up, which blocks.
    pub(super) fn resolve(host_and_port: &str) -> io::Result<Vec<SocketAddr>> {
        let mut all: Vec<_> = host_and_port.to_socket_addrs()?.collect();
        all.sort_unstable();
        all.dedup();
        if all.is_empty() { Err(invalid("the name has no address")) } else { Ok(all) }
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BoundAddress {
    /// An IP address and the port.
    Tcp(SocketAddr),
    /// A Unix socket, by its path if it has one.
    Unix(Option<PathBuf>),
}

impl BoundAddress {
    /// The IP address and port; `None` of a Unix socket.
    #[must_use]
    pub fn as_socket(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for BoundAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Self::Unix(None) => f.write_str("unix:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        for tcp in ["127.0.0.1:80", "[::1]:0", "localhost:8080", "[::]:65535"] {
            assert_eq!(tcp.parse::<BindAddress>().expect("valid"), BindAddress::Tcp(tcp.to_owned()));
        }
        assert_eq!("unix:/a b".parse::<BindAddress>().expect("valid"), BindAddress::Unix("/a b".into()));
        for wrong in ["", "80", ":80", "a:", "a:65536", "a:-1", "unix:", "127.0.0.1"] {
            assert!(wrong.parse::<BindAddress>().is_err(), "{wrong}");
        }
    }
}
