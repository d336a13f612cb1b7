//! Connecting to TCP and Unix sockets, by address: looking names up blocks, and is done elsewhere.
//!
//! monoio's own connect leaves its socket open when it is cancelled too late. Here the socket is made and connected by
//! plain system calls that do not block, and only its readiness is waited for, which can be given up at any moment.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use monoio::net::{TcpStream, UnixStream};
use rustix::net::sockopt::{set_socket_linger, socket_error};
use socket2::{Domain, Protocol, SockAddr, TcpKeepalive, Type};

use crate::buffer::borrow_fd;
use crate::core::Core;
use crate::listener::{Socket, set_blocking_for_driver};

/// How a connecting socket is set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Whether small writes leave at once (`TCP_NODELAY`). Default true.
    pub nodelay: bool,
    /// Idle time after which the kernel probes the peer (`SO_KEEPALIVE`). Default 60 s; `None` never does.
    pub tcp_keepalive: Option<Duration>,
    /// The address to connect from. Peers of the other family cannot be reached then. Default: the kernel chooses.
    pub local_address: Option<IpAddr>,
    /// The network device to connect through, as `eth0` (`SO_BINDTODEVICE`). Default: the kernel chooses.
    pub device: Option<String>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            nodelay: true,
            tcp_keepalive: Some(Duration::from_secs(60)),
            local_address: None,
            device: None,
        }
    }
}

impl Core {
    /// Connects to a TCP socket. The kernel gives up after some minutes: put a deadline around it.
    ///
    /// # Errors
    /// If the peer refuses or cannot be reached, or if the socket cannot be set up as `options` say.
    ///
    /// # Cancellation
    /// The attempt is given up, and its socket closed.
    pub async fn connect_tcp(&self, address: SocketAddr, options: &ConnectOptions) -> io::Result<Socket> {
        let plain = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        set_up(&plain, address, options)?;
        let begun = begin(&plain, &address.into())?;
        // Taken over when the connect has begun: epoll would report a fresh socket as hung up.
        let stream = TcpStream::from_std(OwnedFd::from(plain).into())?;
        if begun == Begun::InProgress {
            stream.writable(false).await?;
            socket_error(borrow_fd(&stream))?.map_err(io::Error::from)?;
        }
        if stream.local_addr()? == stream.peer_addr()? {
            // RFC 9293 §3.5 lets a socket connect to itself, when the kernel chose the very port that nobody listens on.
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        set_blocking_for_driver(borrow_fd(&stream))?;
        Ok(Socket::Tcp(stream))
    }

    /// Connects to a Unix socket. While its backlog is full it is tried again: put a deadline around it.
    ///
    /// # Errors
    /// If nobody listens there.
    ///
    /// # Cancellation
    /// The attempt is given up, and its socket closed.
    pub async fn connect_unix(&self, path: &Path) -> io::Result<Socket> {
        let address = SockAddr::unix(path)?;
        let plain = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        plain.set_nonblocking(true)?;
        let mut pause = PAUSE_MIN;
        // The kernel tells nobody when there is room in a backlog.
        while let Err(error) = plain.connect(&address) {
            if error.kind() != io::ErrorKind::WouldBlock {
                return Err(error);
            }
            self.timers().sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        let stream = UnixStream::from_std(OwnedFd::from(plain).into())?;
        set_blocking_for_driver(borrow_fd(&stream))?;
        Ok(Socket::Unix(stream))
    }
}

/// Has the kernel reset the connection when the socket is closed, and forget what has not reached the peer (`SO_LINGER`
/// with no time).
///
/// # Errors
/// If it is no socket.
pub fn reset_on_close(socket: impl AsFd) -> io::Result<()> {
    Ok(set_socket_linger(socket, Some(Duration::ZERO))?)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    Connected,
    InProgress,
}

fn begin(plain: &socket2::Socket, address: &SockAddr) -> io::Result<Begun> {
    match plain.connect(address) {
        Ok(()) => Ok(Begun::Connected),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(Begun::InProgress),
        Err(error) => Err(error),
    }
}

fn set_up(plain: &socket2::Socket, address: SocketAddr, options: &ConnectOptions) -> io::Result<()> {
    plain.set_nonblocking(true)?;
    plain.set_nodelay(options.nodelay)?;
    if let Some(idle) = options.tcp_keepalive {
        plain.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))?;
    }
    if let Some(device) = &options.device {
        plain.bind_device(Some(device.as_bytes()))?;
    }
    match options.local_address {
        Some(local) if local.is_ipv4() == address.is_ipv4() => plain.bind(&SocketAddr::new(local, 0).into()),
        Some(_) => Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            "the local address is of another family than the peer's",
        )),
        None => Ok(()),
    }
}

/// The first pause before a full backlog is tried again; each one in a row is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(50);
