//! What goes straight to its server although there is a proxy: the variable `no_proxy` and its like.
#![forbid(unsafe_code)]

use std::net::IpAddr;

use super::super::error::{Error, ErrorKind, Result};
use super::super::location::Location;
use crate::proto::ip_network::IpNetwork;

/// What does not go through a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exception {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    Network(IpNetwork),
    /// A name without a dot in front, and all below it.
    Domain(Box<str>),
}

impl Exception {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            let text = format!("`{}` is no host, network or `*`", text.escape_debug());
            Error::new(ErrorKind::Config).with_text(text)
        };
        if text == "*" {
            return Ok(Self { hosts: Hosts::All, port: None });
        }
        if let Ok(network) = text.parse() {
            return Ok(Self { hosts: Hosts::Network(network), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if let Ok(network) = in_brackets.unwrap_or(host).parse() {
            return Ok(Self { hosts: Hosts::Network(network), port });
        }
        let name = host.strip_prefix("*.").or_else(|| host.strip_prefix('.')).unwrap_or(host);
        let name = name.strip_suffix('.').unwrap_or(name);
        // As a URL would have it: in lower case, and in ASCII.
        let (location, user) = Location::parse(&format!("http://{name}/"), None).map_err(|_| wrong())?;
        if name.is_empty()
            || user.is_some()
            || location.target() != "/"
            || location.authority() != location.host()
        {
            return Err(wrong());
        }
        Ok(Self { hosts: Hosts::Domain(location.host().into()), port })
    }

    pub(super) fn holds(&self, location: &Location, ip: Option<IpAddr>) -> bool {
        if self.port.is_some_and(|port| port != location.port()) {
            return false;
        }
        match (&self.hosts, ip) {
            (Hosts::All, _) => true,
            (Hosts::Network(network), Some(ip)) => network.contains(ip),
            (Hosts::Network(_), None) | (Hosts::Domain(_), Some(_)) => false,
            (Hosts::Domain(domain), None) => {
                let host = location.host();
                let host = host.strip_suffix('.').unwrap_or(host);
                let rest = host.strip_suffix(&**domain);
                rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        }
    }
}
