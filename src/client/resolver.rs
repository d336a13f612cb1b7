//! From a name to addresses: what the configuration says, what is known already, or what the system's resolver says, which
//! blocks and is asked on the blocking threads.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use ringhttp_runtime::Core;
use ringhttp_runtime::cache::{Cache, CacheConfig, CacheStats};

use super::address_filter::AddressFilter;
use super::config::ClientConfig;
use super::error::{Error, ErrorKind};
use super::location::Location;
use super::trace::Tracer;

/// Looks names up, in place of the system's resolver.
///
/// ```
/// use std::io;
/// use std::net::{IpAddr, Ipv4Addr};
/// use std::sync::Arc;
/// use ringhttp::ClientConfig;
/// use ringhttp::client::{LookUp, Resolve};
///
/// /// Every name is this machine.
/// struct Here;
///
/// impl Resolve for Here {
///     fn resolve<'a>(&'a self, _: &'a str) -> LookUp<'a> {
///         Box::pin(async { Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]) })
///     }
/// }
///
/// let mut config = ClientConfig::default();
/// config.resolver = Some(Arc::new(Here));
/// ```
pub trait Resolve: Send + Sync {
    /// The addresses of a name, the best first. What it gives is kept for `ClientConfig::dns_ttl`.
    fn resolve<'a>(&'a self, name: &'a str) -> LookUp<'a>;
}

/// A look-up under way.
pub type LookUp<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + 'a>>;

/// The names of one client.
pub(crate) struct Resolver {
    core: Core,
    custom: Option<Arc<dyn Resolve>>,
    overrides: HashMap<String, Vec<SocketAddr>>,
    filter: AddressFilter,
    known: Cache<Rc<str>, Rc<Found>, io::Error>,
}

/// The addresses of a name.
struct Found {
    addresses: Vec<IpAddr>,
    /// How often they were asked for: each time another one is the first.
    turn: Cell<usize>,
}

impl Resolver {
    pub(crate) fn new(core: &Core, config: &ClientConfig) -> Self {
        let mut limits = CacheConfig::default();
        limits.entries_max = config.dns_entries_max;
        limits.ttl = config.dns_ttl;
        limits.failure_ttl = config.dns_failure_ttl;
        let overrides = config.host_overrides.iter();
        Self {
            core: core.clone(),
            custom: config.resolver.clone(),
            overrides: overrides
                .map(|(host, addresses)| (host.to_ascii_lowercase(), addresses.clone()))
                .collect(),
            filter: config.addresses.clone(),
            known: Cache::new(core.timers(), limits),
        }
    }

    /// The addresses to connect to, in the order in which to try them, those left out that may not be connected to. Never empty.
    ///
    /// # Cancellation
    /// The look-up goes on, and whoever asks next finds its outcome, if another one waits for it.
    pub(crate) async fn resolve(
        &self,
        location: &Location,
        tracer: &Tracer,
    ) -> Result<Vec<SocketAddr>, Error> {
        let addresses = self.resolve_any(location, tracer).await?;
        self.allowed(location, &addresses)
    }

    /// Of addresses of a URL's host, those that may be connected to. Never empty.
    pub(crate) fn allowed(
        &self,
        location: &Location,
        addresses: &[SocketAddr],
    ) -> Result<Vec<SocketAddr>, Error> {
        let allowed = addresses.iter().filter(|address| self.filter.is_allowed(address.ip()));
        let allowed: Vec<_> = allowed.map(|address| with_port(*address, location.port())).collect();
        if allowed.is_empty() { Err(Error::new(ErrorKind::AddressRefused)) } else { Ok(allowed) }
    }

    /// Refuses a URL with an address in it that may not be connected to: for what somebody else connects to.
    pub(crate) fn check(&self, location: &Location) -> Result<(), Error> {
        match location.ip() {
            Some(ip) if !self.filter.is_allowed(ip) => Err(Error::new(ErrorKind::AddressRefused)),
            _ => Ok(()),
        }
    }

    /// As [`resolve`](Self::resolve), whatever may be connected to: for what the configuration names.
    pub(crate) async fn resolve_any(
        &self,
        location: &Location,
        tracer: &Tracer,
    ) -> Result<Vec<SocketAddr>, Error> {
        let (host, port) = (location.host(), location.port());
        let addresses = if let Some(overrides) = self.overrides.get(host) {
            overrides.iter().map(|address| with_port(*address, port)).collect()
        } else if let Some(ip) = location.ip() {
            vec![SocketAddr::new(ip, port)]
        } else {
            let found = self.look_up(host, tracer).await.map_err(|error| {
                let source = io::Error::new(error.kind(), error.to_string());
                Error::new(ErrorKind::Resolve).with_source(source)
            })?;
            found.in_turn().into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
        };
        Ok(addresses)
    }

    pub(crate) fn stats(&self) -> &CacheStats {
        self.known.stats()
    }

    async fn look_up(&self, host: &str, tracer: &Tracer) -> Result<Rc<Found>, Rc<io::Error>> {
        let missed = Cell::new(false);
        let found = self
            .known
            .get_or_fill(Rc::from(host), async || {
                missed.set(true);
                tracer.tell(|trace, request| trace.dns_cache_miss(request, host));
                tracer.tell(|trace, request| trace.dns_resolve_start(request, host));
                let addresses = self.ask(host).await;
                tracer.tell(|trace, request| trace.dns_resolve_end(request, host));
                let mut addresses = addresses?;
                addresses.truncate(ADDRESSES_MAX);
                if addresses.is_empty() {
                    return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
                }
                Ok(Rc::new(Found { addresses, turn: Cell::new(0) }))
            })
            .await;
        if !missed.get() {
            tracer.tell(|trace, request| trace.dns_cache_hit(request, host));
        }
        found
    }

    async fn ask(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        if let Some(custom) = &self.custom {
            return custom.resolve(host).await;
        }
        let name = host.to_owned();
        let answer = self.core.spawn_blocking(move || {
            let found = (name.as_str(), 0).to_socket_addrs()?;
            Ok::<Vec<IpAddr>, io::Error>(found.map(|address| address.ip()).collect())
        });
        let mut addresses = answer.await.map_err(io::Error::other)??;
        // Some resolvers give an address once for each protocol.
        let mut seen = std::collections::HashSet::new();
        addresses.retain(|address| seen.insert(*address));
        Ok(addresses)
    }
}

/// An address, with the port of a URL if it has none.
fn with_port(address: SocketAddr, port: u16) -> SocketAddr {
    if address.port() == 0 { SocketAddr::new(address.ip(), port) } else { address }
}

impl Found {
    /// The addresses, another one of each family in front each time, and the families in turn (RFC 8305 §4): the one that the
    /// resolver prefers first.
    fn in_turn(&self) -> Vec<IpAddr> {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let prefers_v6 = self.addresses[0].is_ipv6();
        let (mut preferred, mut other): (Vec<_>, Vec<_>) =
            self.addresses.iter().copied().partition(|address| address.is_ipv6() == prefers_v6);
        for family in [&mut preferred, &mut other] {
            if !family.is_empty() {
                let start = turn % family.len();
                family.rotate_left(start);
            }
        }
        let mut all = Vec::with_capacity(self.addresses.len());
        let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
        loop {
            let pair = [preferred.next(), other.next()];
            if pair == [None, None] {
                return all;
            }
            all.extend(pair.into_iter().flatten());
        }
    }
}

/// Addresses of a name that are kept and tried: whoever owns a name decides how many it has.
const ADDRESSES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc8305_4_families_take_turns_and_so_do_addresses() {
        let addresses: Vec<IpAddr> =
            ["::1", "::2", "1.0.0.1", "::3", "1.0.0.2"].iter().map(|text| text.parse().unwrap()).collect();
        let found = Found { addresses, turn: Cell::new(0) };
        let orders: Vec<Vec<String>> =
            (0..4).map(|_| found.in_turn().iter().map(ToString::to_string).collect()).collect();
        assert_eq!(orders[0], ["::1", "1.0.0.1", "::2", "1.0.0.2", "::3"]);
        assert_eq!(orders[1], ["::2", "1.0.0.2", "::3", "1.0.0.1", "::1"]);
        assert_eq!(orders[2], ["::3", "1.0.0.1", "::1", "1.0.0.2", "::2"]);
        assert_eq!(orders[3][0], "::1");
        let one = Found { addresses: vec!["1.0.0.1".parse().unwrap()], turn: Cell::new(usize::MAX) };
        assert_eq!((one.in_turn().len(), one.in_turn().len()), (1, 1));
    }
}
