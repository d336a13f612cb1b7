//! Listening sockets of one core: bound beside those of the other cores, accepted from by one task, and closed without
//! losing who waits in the backlog.
//!
//! An accept that is dropped half way leaks its socket (io_uring) or panics (epoll) in monoio 0.2.4. So the task that
//! accepts never drops one: [`Listener::close`] cancels it through the ring, and its result is taken whatever it is.
#![forbid(unsafe_code)]

mod address;
mod bind;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use monoio::io::Canceller;
use monoio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use rustix::io::{FdFlags, ioctl_fionbio};

pub use self::address::{BindAddress, BoundAddress};
pub(crate) use self::bind::SharedPorts;
use self::bind::UnixPath;
use crate::buffer::socket_fd;
use crate::core::Core;
use crate::driver::DriverKind;
use crate::sync::{Notify, race};
use crate::time::{Instant, Timers};

/// How a listening socket is set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenerOptions {
    /// Connections that wait to be accepted, per core. Default 1024; the kernel caps it at `net.core.somaxconn`. So many are given out
    /// behind [`Listener::close`], too.
    pub backlog: u32,
    /// Whether small writes leave at once (`TCP_NODELAY`). Default true. Accepted sockets inherit it.
    pub nodelay: bool,
    /// Idle time after which the kernel probes the peer (`SO_KEEPALIVE`). Default 60 s; `None` never does. Accepted
    /// sockets inherit it.
    pub tcp_keepalive: Option<Duration>,
    /// Whether to refuse a port that another process listens on. Default true: with `SO_REUSEPORT`, which the cores
    /// need, the kernel would share it silently. Turn it off to start a successor beside a process that still runs.
    pub exclusive: bool,
    /// The permission bits of a Unix socket's file. Default: what the umask leaves.
    pub unix_mode: Option<u32>,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self {
            backlog: 1024,
            nodelay: true,
            tcp_keepalive: Some(Duration::from_secs(60)),
            exclusive: true,
            unix_mode: None,
        }
    }
}

/// A connected socket that was just accepted.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

/// An accepted connection.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub socket: Socket,
    /// The peer's address; `None` over a Unix socket.
    pub peer: Option<SocketAddr>,
}

/// One listening socket of this core.
pub struct Listener {
    ring: Ring,
    /// The same socket for plain system calls.
    plain: socket2::Socket,
    address: BoundAddress,
    timers: Timers,
    canceller: RefCell<Canceller>,
    closing: Cell<bool>,
    /// Connections that may still be given out then: who comes while they are is not to keep the listener open for ever.
    late: Cell<u32>,
    aborted: Cell<u64>,
    exhausted: Cell<u64>,
    /// When it was out of descriptors or memory last.
    exhausted_at: Cell<Option<Instant>>,
    /// Told by [`close`](Self::close), for an accept that pauses.
    closed: Notify,
    /// Removes the file of a Unix socket behind its last listener.
    _path: Option<Arc<UnixPath>>,
}

enum Ring {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Takes over an open TCP listener.
    ///
    /// # Errors
    /// If the driver does not take it.
    ///
    /// # Panics
    /// Outside a core.
    pub fn from_std_tcp(listener: std::net::TcpListener) -> io::Result<Self> {
        let plain = socket2::Socket::from(listener.try_clone()?);
        let address = BoundAddress::Tcp(listener.local_addr()?);
        set_blocking_for_driver(&plain)?;
        Ok(Self::new(Ring::Tcp(TcpListener::from_std(listener)?), plain, address, None))
    }

    /// Takes over an open Unix listener.
    ///
    /// # Errors
    /// If the driver does not take it.
    ///
    /// # Panics
    /// Outside a core.
    pub fn from_std_unix(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        Self::unix(listener, None)
    }

    fn unix(listener: std::os::unix::net::UnixListener, path: Option<Arc<UnixPath>>) -> io::Result<Self> {
        let plain = socket2::Socket::from(listener.try_clone()?);
        let address = BoundAddress::Unix(listener.local_addr()?.as_pathname().map(ToOwned::to_owned));
        set_blocking_for_driver(&plain)?;
        Ok(Self::new(Ring::Unix(UnixListener::from_std(listener)?), plain, address, path))
    }

    fn new(ring: Ring, plain: socket2::Socket, address: BoundAddress, path: Option<Arc<UnixPath>>) -> Self {
        let timers = Core::current().expect("listeners are made on a core").timers().clone();
        Self {
            ring,
            plain,
            address,
            timers,
            canceller: RefCell::new(Canceller::new()),
            closing: Cell::new(false),
            late: Cell::new(BACKLOG_OF_OTHERS),
            aborted: Cell::new(0),
            exhausted: Cell::new(0),
            exhausted_at: Cell::new(None),
            closed: Notify::new(),
            _path: path,
        }
    }

    /// With the backlog that it was made with.
    fn with_backlog(self, backlog: u32) -> Self {
        // The kernel lets one more wait, and mostly not more than it does by default.
        self.late.set(backlog.min(BACKLOG_OF_OTHERS) + 1);
        self
    }

    /// Where it listens, with the port it got.
    #[must_use]
    pub fn local_addr(&self) -> &BoundAddress {
        &self.address
    }

    /// Connections that were gone before they could be accepted.
    #[must_use]
    pub fn aborted(&self) -> u64 {
        self.aborted.get()
    }

    /// How often accepting had to pause, because the process or the system was out of descriptors or memory.
    #[must_use]
    pub fn exhausted(&self) -> u64 {
        self.exhausted.get()
    }

    /// The next connection; `None` when the listener was closed and its backlog is empty.
    ///
    /// Out of descriptors or memory it pauses, 5 ms at first and up to 1 s, and goes on; other errors of a single
    /// connection are counted.
    ///
    /// # Cancellation
    /// Do not drop it half way: the connection that is being accepted would be lost. End it by [`close`](Self::close).
    pub async fn accept(&self) -> Option<Accepted> {
        let mut pause = PAUSE_MIN;
        loop {
            if self.closing.get() {
                return self.accept_late().await;
            }
            match self.accept_by_ring().await {
                Ok(accepted) => return Some(accepted),
                Err(error) if self.closing.get() || error.raw_os_error() == Some(libc::ECANCELED) => {}
                Err(error) if is_of_one_connection(&error) => self.aborted.set(self.aborted.get() + 1),
                Err(error) => {
                    self.pause(pause, &error).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Waits for descriptors or memory to come back, or for the close.
    async fn pause(&self, pause: Duration, error: &io::Error) {
        self.exhausted.set(self.exhausted.get() + 1);
        let now = self.timers.now();
        let before = self.exhausted_at.replace(Some(now));
        // At the limit, each connection that ends lets one in before the next error; that is one episode.
        if before.is_none_or(|before| now - before > EPISODE_GAP) {
            tracing::warn!(%error, address = %self.address, "accepting pauses");
        }
        race(self.closed.notified(), self.timers.sleep(pause)).await;
    }

    /// Stops accepting: the accept under way ends, those who wait in the backlog are still given out, but no more than fit
    /// into it (4,096 for one that was taken over), then `None`.
    pub fn close(&self) {
        self.closing.set(true);
        self.closed.notify_waiters();
        let canceller = self.canceller.take();
        self.canceller.replace(canceller.cancel());
    }

    async fn accept_by_ring(&self) -> io::Result<Accepted> {
        let handle = self.canceller.borrow().handle();
        let accepted = match &self.ring {
            Ring::Tcp(listener) => {
                let (stream, peer) = listener.cancelable_accept(handle).await?;
                Accepted { socket: Socket::Tcp(stream), peer: Some(peer) }
            }
            Ring::Unix(listener) => {
                let (stream, _) = listener.cancelable_accept(handle).await?;
                Accepted { socket: Socket::Unix(stream), peer: None }
            }
        };
        // The kernel's accept through io_uring, as monoio asks for it, leaves the socket open in child processes.
        rustix::io::fcntl_setfd(socket_fd(&accepted.socket), FdFlags::CLOEXEC)?;
        Ok(accepted)
    }

    /// One of those who waited when it was closed. More may come as long as the socket is open, so there is an end to it.
    async fn accept_late(&self) -> Option<Accepted> {
        let late = self.late.get().checked_sub(1)?;
        self.late.set(late);
        if late.is_multiple_of(LATE_IN_A_TURN)
            && let Some(core) = Core::current()
        {
            core.yield_now().await;
        }
        self.accept_from_backlog()
    }

    fn accept_from_backlog(&self) -> Option<Accepted> {
        self.plain.set_nonblocking(true).ok()?;
        loop {
            match self.plain.accept() {
                Ok((socket, peer)) => match self.take_plain(socket, &peer) {
                    Ok(accepted) => return Some(accepted),
                    Err(_) => self.aborted.set(self.aborted.get() + 1),
                },
                Err(error) if is_of_one_connection(&error) => self.aborted.set(self.aborted.get() + 1),
                // Empty; or out of descriptors, and then nothing can be done for those who wait.
                Err(_) => return None,
            }
        }
    }

    fn take_plain(&self, socket: socket2::Socket, peer: &socket2::SockAddr) -> io::Result<Accepted> {
        set_blocking_for_driver(&socket)?;
        let socket = match self.ring {
            Ring::Tcp(_) => Socket::Tcp(TcpStream::from_std(socket.into())?),
            Ring::Unix(_) => Socket::Unix(UnixStream::from_std(socket.into())?),
        };
        Ok(Accepted { socket, peer: peer.as_socket() })
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The epoll driver wants sockets that do not block; io_uring takes that flag to mean that an operation must not wait.
pub(crate) fn set_blocking_for_driver(socket: impl AsFd) -> io::Result<()> {
    let driver = Core::current().expect("sockets are taken over on a core").driver();
    Ok(ioctl_fionbio(socket, driver == DriverKind::Epoll)?)
}

/// Errors that accept(2) passes on from a connection that is gone already: the next one may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    let of_one = [
        libc::ECONNABORTED,
        libc::EINTR,
        libc::EPROTO,
        libc::EPERM,
        libc::ENETDOWN,
        libc::ENOPROTOOPT,
        libc::EHOSTDOWN,
        libc::ENONET,
        libc::EHOSTUNREACH,
        libc::EOPNOTSUPP,
        libc::ENETUNREACH,
    ];
    error.raw_os_error().is_some_and(|code| of_one.contains(&code))
}

/// The backlog of a listener that was taken over, which the kernel does not tell: as many as it lets wait by default
/// (`net.core.somaxconn`).
const BACKLOG_OF_OTHERS: u32 = 4096;

/// How many of them in a row, before others have their turn.
const LATE_IN_A_TURN: u32 = 64;

/// The first pause of a listener that is out of descriptors or memory; each one in a row is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(5);

/// The longest pause: a server that got its descriptors back is not left waiting for long.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Being out of descriptors again after less than this is reported with the time before: ten of the longest pauses.
const EPISODE_GAP: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
