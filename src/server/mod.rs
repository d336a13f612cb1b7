//! A server: listening sockets of this core, and the connections they bring.
#![forbid(unsafe_code)]

mod accept;
mod drain;

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::rc::Rc;

use ringhttp_runtime::Core;
use ringhttp_runtime::listener::{BindAddress, BoundAddress, Listener};

use crate::conn::{Host, ServerConfig, ServerStats, Service};
use crate::error::{Error, Result};

/// A server on one core, bound but not serving yet.
///
/// Every core binds its own: the kernel spreads the connections over the cores' sockets (`SO_REUSEPORT`), and a
/// connection stays on the core that accepted it.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    listeners: Vec<Listener>,
    stats: Rc<ServerStats>,
}

impl Server {
    /// Binds `address`: `"127.0.0.1:8080"`, `"[::]:80"`, `"localhost:0"` or `"unix:/run/app.sock"`. A name is resolved
    /// now, and all its addresses are bound. With port 0 the kernel chooses a port, the same for all cores of the run.
    ///
    /// # Errors
    /// If the address cannot be understood or bound, or if a value in `config` cannot work (the error names the field).
    pub fn bind(address: &str, config: ServerConfig) -> Result<Self> {
        config.check().map_err(Error::internal)?;
        Self { config, listeners: Vec::new(), stats: Rc::default() }.and_bind(address)
    }

    /// Binds one more address.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn and_bind(mut self, address: &str) -> Result<Self> {
        let parsed: BindAddress = address.parse().map_err(|error| cannot_bind(address, &error))?;
        let bound = this_core()?.bind(&parsed, &self.config.listener);
        let bound = bound.map_err(|error| cannot_bind(address, &error))?;
        self.listeners.extend(bound);
        Ok(self)
    }

    /// Serves an open TCP listener. Give each core its own duplicate (`try_clone`).
    ///
    /// # Errors
    /// If the socket cannot be taken over, or if a value in `config` cannot work.
    pub fn from_tcp(listener: TcpListener, config: ServerConfig) -> Result<Self> {
        config.check().map_err(Error::internal)?;
        this_core()?;
        let listener = Listener::from_std_tcp(listener)?;
        Ok(Self { config, listeners: vec![listener], stats: Rc::default() })
    }

    /// Serves an open Unix listener. Give each core its own duplicate (`try_clone`).
    ///
    /// # Errors
    /// If the socket cannot be taken over, or if a value in `config` cannot work.
    pub fn from_unix(listener: UnixListener, config: ServerConfig) -> Result<Self> {
        config.check().map_err(Error::internal)?;
        this_core()?;
        let listener = Listener::from_std_unix(listener)?;
        Ok(Self { config, listeners: vec![listener], stats: Rc::default() })
    }

    /// Serves the sockets that systemd passed to the process (`LISTEN_FDS`), on every core that asks.
    ///
    /// # Errors
    /// If none was passed.
    pub fn activated(config: ServerConfig) -> Result<Self> {
        config.check().map_err(Error::internal)?;
        let listeners = this_core()?.bind_systemd()?;
        Ok(Self { config, listeners, stats: Rc::default() })
    }

    /// Where the server listens, port 0 replaced by the port it got.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<BoundAddress> {
        self.listeners.iter().map(|listener| listener.local_addr().clone()).collect()
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
        accept::serve(core, self.listeners, host, Rc::new(service)).await
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
