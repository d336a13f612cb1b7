//! The certificates of a server's TLS listeners: loaded once for all cores, and again when they have changed, while
//! connections go on with what they began with.
#![forbid(unsafe_code)]

mod config;
mod load;
mod set;
mod watch;

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::config::{CertificateConfig, ClientAuth, ClientRoots, TlsConfig, UnknownName};
use self::set::Set;
use self::watch::Stamps;
use crate::conn::Acceptor;
use crate::error::{Error, Result};

/// The certificates of TLS listeners, and all else that [`TlsConfig`] says. Cloning gives another handle to the same.
///
/// Load them before `run`: all cores share them, so that one reload is for all, and a session that began on one core is
/// resumed on another.
///
/// ```no_run
/// use ringhttp::{Certificates, Request, Result, Router, RuntimeConfig, Server, ServerConfig, TlsConfig};
///
/// fn main() -> Result<()> {
///     let certificates = Certificates::load(TlsConfig::from_files("chain.pem", "key.pem"))?;
///     ringhttp::run(RuntimeConfig::default(), async |core| {
///         let routes = Router::new().get("/", async |_: &(), _: Request| "hello over TLS\n");
///         Server::bind_tls("0.0.0.0:8443", ServerConfig::default(), &certificates)?.serve(&core, routes, ()).await
///     })
/// }
/// ```
#[derive(Clone)]
pub struct Certificates(Arc<Shared>);

struct Shared {
    config: TlsConfig,
    current: Mutex<Arc<Set>>,
    /// Counts what was loaded: cores look at it, and take the lock only when it has changed.
    generation: AtomicU64,
    /// The state of the files when they were last loaded, or that was last tried. Held while they are.
    stamps: Mutex<Stamps>,
    /// One core of the process looks after reloads.
    is_watched: AtomicBool,
}

impl Certificates {
    /// Loads everything that `config` names. It reads files: do it before `run`, or on the blocking pool.
    ///
    /// # Errors
    /// If a value in `config` cannot work, if something cannot be read, if a key is encrypted or is not that of its
    /// certificate, or if there is no provider of cryptography. The error says what and where.
    pub fn load(config: TlsConfig) -> Result<Self> {
        config.check().map_err(Error::internal)?;
        let stamps = Stamps::of(&config);
        let set = Set::load(&config, None).map_err(Error::internal)?;
        Ok(Self(Arc::new(Shared {
            config,
            current: Mutex::new(Arc::new(set)),
            generation: AtomicU64::new(1),
            stamps: Mutex::new(stamps),
            is_watched: AtomicBool::new(false),
        })))
    }

    /// Loads everything again. New connections of all cores get the new certificates and rules at once; those that are
    /// open keep what they began with. If anything is wrong, everything stays as it was.
    ///
    /// It reads files: from a core, call it on the blocking pool ([`Core::spawn_blocking`](crate::Core::spawn_blocking)). See
    /// [`TlsConfig::reload_interval`] and [`TlsConfig::reload_on_hangup`] for reloads that come by themselves.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn reload(&self) -> Result<()> {
        self.reload_from(&mut lock(&self.0.stamps))
    }

    /// Loads everything again, one at a time: who began later must not be overtaken by older files.
    fn reload_from(&self, stamps: &mut Stamps) -> Result<()> {
        *stamps = Stamps::of(&self.0.config);
        let set = Set::load(&self.0.config, Some(&self.current())).map_err(Error::internal)?;
        *lock(&self.0.current) = Arc::new(set);
        self.0.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// How often they were loaded: 1 at first.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What makes TLS of one core's connections.
    pub(super) fn acceptor(&self) -> Acceptor {
        let config = &self.0.config;
        let shared = self.clone();
        // What this core knows, and as of when.
        let known = RefCell::new((self.generation(), shared.current()));
        Acceptor::new(
            config.handshakes_max,
            config.handshake_timeout,
            config.handshake_bytes_max,
            move || {
                let generation = shared.generation();
                if known.borrow().0 != generation {
                    known.replace((generation, shared.current()));
                }
                Arc::clone(&known.borrow().1) as _
            },
        )
    }

    fn current(&self) -> Arc<Set> {
        Arc::clone(&lock(&self.0.current))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("config", &self.0.config)
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}
