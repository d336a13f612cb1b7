//! Binding, so that the cores of a run share what they should: a TCP port by a socket each, a Unix socket and a socket
//! that systemd passed by duplicates of one.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use listenfd::ListenFd;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::{BindAddress, Listener, ListenerOptions};
use crate::core::Core;

/// What the cores of a run have bound. Used at start-up only.
#[derive(Default)]
pub(crate) struct SharedPorts {
    bound: Mutex<HashMap<Key, Bound>>,
}

/// An address and how often the same core has bound it before: the n-th binds of all cores belong together.
type Key = (BindAddress, usize);

enum Bound {
    Tcp(Vec<SocketAddr>),
    Unix(Weak<UnixPath>),
}

/// A bound Unix socket. Its file goes when the last listener on it does.
pub(super) struct UnixPath {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        // Somebody may have removed it already, which is as good.
        let _ = fs::remove_file(&self.path);
    }
}

impl Core {
    /// Binds `address` on this core: all socket addresses of a name. The other cores of the run that bind the same get the
    /// same port, also when the kernel chose it.
    ///
    /// # Errors
    /// If the address is in use (by another process, or by a listener of this run that does not belong together with
    /// it), or cannot be bound.
    pub fn bind(&self, address: &BindAddress, options: &ListenerOptions) -> io::Result<Vec<Listener>> {
        let key = (address.clone(), self.binds_of(address));
        let mut bound = self.ports().bound.lock().unwrap_or_else(PoisonError::into_inner);
        let listeners = match address {
            BindAddress::Tcp(host) => bind_host(&mut bound, key, host, options)?,
            BindAddress::Unix(path) => vec![bind_path(&mut bound, key, path, options)?],
        };
        // One that failed and is tried again still belongs together with the first of the other cores.
        self.count_bind(address);
        Ok(listeners)
    }

    /// The listening sockets that systemd passed to the process (`LISTEN_FDS`), duplicated for this core.
    ///
    /// # Errors
    /// `NotFound` if none was passed; an error if one is no stream listener.
    pub fn bind_systemd(&self) -> io::Result<Vec<Listener>> {
        static PASSED: OnceLock<Option<Vec<OwnedFd>>> = OnceLock::new();
        let Some(passed) = PASSED.get_or_init(take_passed) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a passed descriptor is neither a TCP nor a Unix stream socket",
            ));
        };
        if passed.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no socket was passed (LISTEN_FDS)"));
        }
        passed.iter().map(|fd| Listener::from_fd(fd.try_clone()?)).collect()
    }
}

impl Listener {
    /// Takes over an open listening socket, TCP or Unix.
    ///
    /// # Errors
    /// If it is neither.
    ///
    /// # Panics
    /// Outside a core.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(fd);
        if !socket.is_listener()? || socket.r#type()? != Type::STREAM {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a listening stream socket"));
        }
        match socket.domain()? {
            Domain::IPV4 | Domain::IPV6 => Self::from_std_tcp(socket.into()),
            Domain::UNIX => Self::from_std_unix(OwnedFd::from(socket).into()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a TCP nor a Unix socket")),
        }
    }
}

/// All that was passed; `None` if one is no stream socket, which would be missed silently otherwise.
fn take_passed() -> Option<Vec<OwnedFd>> {
    let mut passed = ListenFd::from_env();
    (0..passed.len())
        .map(|index| {
            let tcp = passed.take_tcp_listener(index).ok().flatten().map(OwnedFd::from);
            tcp.or_else(|| passed.take_unix_listener(index).ok().flatten().map(OwnedFd::from))
        })
        .collect()
}

fn bind_host(
    bound: &mut HashMap<Key, Bound>,
    key: Key,
    host: &str,
    options: &ListenerOptions,
) -> io::Result<Vec<Listener>> {
    if let Some(Bound::Tcp(addresses)) = bound.get(&key) {
        return addresses.iter().map(|&address| listen_tcp(address, options)).collect();
    }
    let mut listeners = Vec::new();
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for mut address in BindAddress::resolve(host)? {
        // A name with several addresses gets one port for all of them.
        if address.port() == 0 {
            address.set_port(addresses.first().map_or(0, SocketAddr::port));
        }
        if options.exclusive && address.port() != 0 {
            refuse_shared(address)?;
        }
        let listener = listen_tcp(address, options)?;
        addresses.extend(listener.local_addr().as_socket());
        listeners.push(listener);
    }
    bound.insert(key, Bound::Tcp(addresses));
    Ok(listeners)
}

/// Binds the port without `SO_REUSEPORT`, which fails if somebody listens on it, and lets go of it again.
fn refuse_shared(address: SocketAddr) -> io::Result<()> {
    let probe = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    probe.set_reuse_address(true)?;
    if address.is_ipv6() {
        probe.set_only_v6(true)?;
    }
    probe.bind(&address.into())
}

fn listen_tcp(address: SocketAddr, options: &ListenerOptions) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        // `0.0.0.0` and `[::]` can then be bound side by side, whatever the system's default is.
        socket.set_only_v6(true)?;
    }
    socket.set_nodelay(options.nodelay)?;
    if let Some(idle) = options.tcp_keepalive {
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(Listener::from_std_tcp(socket.into())?.with_backlog(options.backlog))
}

fn bind_path(
    bound: &mut HashMap<Key, Bound>,
    key: Key,
    path: &Path,
    options: &ListenerOptions,
) -> io::Result<Listener> {
    let shared = match bound.get(&key) {
        Some(Bound::Unix(shared)) => shared.upgrade(),
        _ => None,
    };
    let shared = match shared {
        Some(shared) => shared,
        None => Arc::new(listen_unix(path, options)?),
    };
    bound.insert(key, Bound::Unix(Arc::downgrade(&shared)));
    Ok(Listener::unix(shared.listener.try_clone()?, Some(shared))?.with_backlog(options.backlog))
}

fn listen_unix(path: &Path, options: &ListenerOptions) -> io::Result<UnixPath> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    // From here on, a failure removes the file again.
    let bound = UnixPath { listener: OwnedFd::from(socket.try_clone()?).into(), path: path.to_owned() };
    if let Some(mode) = options.unix_mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(bound)
}

/// Removes the socket of a process that is gone; refuses to take one that somebody listens on, or a file of another kind.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path is taken, and not by a socket"));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Who listens with a full backlog would be waited for.
    probe.set_nonblocking(true)?;
    match probe.connect(&socket2::SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there")),
    }
}
