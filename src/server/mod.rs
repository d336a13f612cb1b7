//! A server: listening sockets of this core, and the connections they bring.
#![forbid(unsafe_code)]

mod accept;
#[cfg(feature = "rustls")]
mod certificates;
mod drain;

use std::fmt;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::rc::Rc;

use ringhttp_runtime::Core;
use ringhttp_runtime::listener::{BindAddress, BoundAddress, Listener};

#[cfg(feature = "rustls")]
pub use self::certificates::{
    CertificateConfig, Certificates, ClientAuth, ClientRoots, TlsConfig, UnknownName,
};
use crate::conn::{Acceptor, Host, ServerConfig, ServerStats, Service};
use crate::error::{Error, Result};

/// A server on one core, bound but not serving yet.
///
/// Every core binds its own: the kernel spreads the connections over the cores' sockets (`SO_REUSEPORT`), and a
/// connection stays on the core that accepted it.
pub struct Server {
    config: ServerConfig,
    listeners: Vec<Bound>,
    stats: Rc<ServerStats>,
    /// Those that the listeners use, each with what makes TLS of this core's connections.
    #[cfg(feature = "rustls")]
    certificates: Vec<(Certificates, Rc<Acceptor>)>,
}

/// A listening socket, and what makes TLS of its connections.
struct Bound {
    listener: Listener,
    acceptor: Option<Rc<Acceptor>>,
}

impl From<Listener> for Bound {
    fn from(listener: Listener) -> Self {
        Self { listener, acceptor: None }
    }
}

impl Server {
    /// Binds `address`: `"127.0.0.1:8080"`, `"[::]:80"`, `"localhost:0"` or `"unix:/run/app.sock"`. A name is resolved
    /// now, and all its addresses are bound. With port 0 the kernel chooses a port, the same for all cores of the run.
    ///
    /// # Errors
    /// If the address cannot be understood or bound, or if a value in `config` cannot work (the error names the field).
    pub fn bind(address: &str, config: ServerConfig) -> Result<Self> {
        Self::new(config, Vec::new())?.and_bind(address)
    }

    fn new(config: ServerConfig, listeners: Vec<Listener>) -> Result<Self> {
        config.check().map_err(Error::internal)?;
        Ok(Self {
            config,
            listeners: listeners.into_iter().map(Bound::from).collect(),
            stats: Rc::default(),
            #[cfg(feature = "rustls")]
            certificates: Vec::new(),
        })
    }

    /// Binds one more address.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn and_bind(mut self, address: &str) -> Result<Self> {
        let parsed: BindAddress = address.parse().map_err(|error| cannot_bind(address, &error))?;
        let bound = this_core()?.bind(&parsed, &self.config.listener);
        let bound = bound.map_err(|error| cannot_bind(address, &error))?;
        self.listeners.extend(bound.into_iter().map(Bound::from));
        Ok(self)
    }

    /// Serves an open TCP listener. Give each core its own duplicate (`try_clone`).
    ///
    /// # Errors
    /// If the socket cannot be taken over, or if a value in `config` cannot work.
    pub fn from_tcp(listener: TcpListener, config: ServerConfig) -> Result<Self> {
        this_core()?;
        Self::new(config, vec![Listener::from_std_tcp(listener)?])
    }

    /// Serves an open Unix listener. Give each core its own duplicate (`try_clone`).
    ///
    /// # Errors
    /// If the socket cannot be taken over, or if a value in `config` cannot work.
    pub fn from_unix(listener: UnixListener, config: ServerConfig) -> Result<Self> {
        this_core()?;
        Self::new(config, vec![Listener::from_std_unix(listener)?])
    }

    /// Serves the sockets that systemd passed to the process (`LISTEN_FDS`), on every core that asks.
    ///
    /// # Errors
    /// If none was passed.
    pub fn activated(config: ServerConfig) -> Result<Self> {
        Self::new(config, this_core()?.bind_systemd()?)
    }

    /// Where the server listens, port 0 replaced by the port it got.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<BoundAddress> {
        self.listeners.iter().map(|bound| bound.listener.local_addr().clone()).collect()
    }

    /// What this core's server counts, now and while it serves.
    #[must_use]
    pub fn stats(&self) -> Rc<ServerStats> {
        Rc::clone(&self.stats)
    }

    /// Answers requests by `service` until the run stops, then drains: no more connections, idle ones closed, the others
    /// after their answer, which says `Connection: close`. Returns when all are done, or were cut because
    /// `RuntimeConfig::shutdown_timeout` passed or a second signal came.
    ///
    /// # Errors
    /// If a listener fails for good.
    ///
    /// # Cancellation
    /// The listeners close, and the connections end where they are.
    pub async fn serve_service(self, core: &Core, service: impl Service) -> Result<()> {
        let host = Rc::new(Host::new(self.config, self.stats, core.buffers().clone(), core.timers().clone()));
        if let Some(log) = host.access_log.clone() {
            // For what is logged when this future is dropped, or when the stop is cut.
            core.on_cleanup(async move { log.flush().await });
        }
        #[cfg(feature = "rustls")]
        for (certificates, _) in &self.certificates {
            certificates.watch(core)?;
        }
        accept::serve(core, self.listeners, host, Rc::new(service)).await
    }
}

/// TLS, on listeners of its own or on those there are.
#[cfg(feature = "rustls")]
impl Server {
    /// Binds an address, as [`bind`](Self::bind), where TLS is spoken.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_tls(address: &str, config: ServerConfig, certificates: &Certificates) -> Result<Self> {
        Self::new(config, Vec::new())?.and_bind_tls(address, certificates)
    }

    /// Binds one more address, where TLS is spoken: a server may speak TLS on one port and plain HTTP on another.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn and_bind_tls(self, address: &str, certificates: &Certificates) -> Result<Self> {
        let before = self.listeners.len();
        Ok(self.and_bind(address)?.speak_tls(before, certificates))
    }

    /// Has TLS spoken on all listeners that were given so far: for those of [`from_tcp`](Self::from_tcp),
    /// [`from_unix`](Self::from_unix) and [`activated`](Self::activated).
    #[must_use]
    pub fn with_tls(self, certificates: &Certificates) -> Self {
        self.speak_tls(0, certificates)
    }

    /// Has TLS spoken on the listeners from the one of this index on.
    fn speak_tls(mut self, first: usize, certificates: &Certificates) -> Self {
        let known = self.certificates.iter().find(|(known, _)| known.is_same(certificates));
        let acceptor = known.map(|(_, acceptor)| Rc::clone(acceptor)).unwrap_or_else(|| {
            let acceptor = Rc::new(certificates.acceptor());
            self.certificates.push((certificates.clone(), Rc::clone(&acceptor)));
            acceptor
        });
        for bound in &mut self.listeners[first..] {
            bound.acceptor = Some(Rc::clone(&acceptor));
        }
        self
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("listeners", &self.local_addrs()).finish_non_exhaustive()
    }
}

/// A socket belongs to the core that makes it.
fn this_core() -> Result<Core> {
    Core::current()
        .ok_or_else(|| Error::internal("a server is bound on a core: inside the closure given to `run`"))
}

fn cannot_bind(address: &str, error: &std::io::Error) -> Error {
    Error::internal(std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}
