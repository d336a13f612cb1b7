//! What all peers share: the command line, the pinning, the listening socket and the bodies they answer with.
//!
//! Every peer is called `PEER --port N --cores CPU`, runs on that one CPU and serves the surface of ringhttp's
//! `plaintext` example. Parts that would differ between peers only by accident (backlog, TCP_NODELAY, the bytes
//! of a body) live here, so that a measured difference is the peer's own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use socket2::{Domain, Protocol, Socket, Type};

/// Body of `GET /`.
pub const INDEX: &str = "It works.\n";
/// Body of `GET /plaintext`.
pub const HELLO: &str = "Hello, World!";
/// Body of `GET /json`.
pub const JSON: &str = r#"{"message":"Hello, World!"}"#;
/// Largest `n` of `GET /bytes/{n}`: 1 MiB, the largest body that is measured. Above it: 404.
pub const STATIC_BYTES_MAX: usize = 1 << 20;
/// Largest body of `POST /echo`: 64 MiB. Above it: 413.
pub const ECHO_BYTES_MAX: u64 = 64 << 20;
/// Source of every `GET /bytes/{n}`. Not zero: untouched zero pages would all be one page of the cache.
pub static STATIC_BYTES: [u8; STATIC_BYTES_MAX] = [b'x'; STATIC_BYTES_MAX];

/// The first `n` bytes of [`STATIC_BYTES`] for the `{n}` of a path, `None` when it is no number or too large.
pub fn static_bytes(n: &str) -> Option<&'static [u8]> {
    STATIC_BYTES.get(..n.parse().ok()?)
}

/// The parsed command line.
#[derive(Debug)]
pub struct Options {
    pub port: u16,
    pub cpu: usize,
    /// `--pipeline-flush on`: hyper's setting of that name; the other peers refuse the flag.
    pub pipeline_flush: Option<bool>,
    /// `--cert FILE`, `--key FILE`: of the peers that speak TLS.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// `--directory DIR`: of the peers that serve files.
    pub directory: Option<PathBuf>,
}

impl Options {
    /// Reads the command line, pins the process to its CPU and raises the limit on open files.
    ///
    /// To be called first in `main`: threads started later inherit the pinning. A wrong command line ends the process.
    pub fn start() -> Self {
        let options = Self::parse(std::env::args().skip(1)).unwrap_or_else(|problem| {
            eprintln!("{problem}\nusage: PEER --port N --cores CPU");
            std::process::exit(2)
        });
        pin(options.cpu).expect("the CPU of --cores is usable");
        raise_open_files();
        options
    }

    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut port, mut cpu, mut pipeline_flush) = (None, None, None);
        let (mut cert, mut key, mut directory) = (None, None, None);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or(format!("{name} needs a value"))?;
            let wrong = || format!("{name}: {value} is not understood");
            match name.as_str() {
                "--port" => port = Some(value.parse().map_err(|_| wrong())?),
                "--cores" => cpu = Some(value.parse().map_err(|_| wrong())?),
                "--pipeline-flush" if value == "on" || value == "off" => pipeline_flush = Some(value == "on"),
                "--cert" => cert = Some(value.into()),
                "--key" => key = Some(value.into()),
                "--directory" => directory = Some(value.into()),
                _ => return Err(wrong()),
            }
        }
        Ok(Self {
            port: port.ok_or("--port is missing")?,
            cpu: cpu.ok_or("--cores is missing")?,
            pipeline_flush,
            cert,
            key,
            directory,
        })
    }
}

/// A listening, non-blocking socket on 127.0.0.1. Accepted sockets inherit its TCP_NODELAY.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Lets this process open as many files as the hard limit allows; staying at the soft limit is no error.
pub fn raise_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live `rlimit`.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0 {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: as above; the call only reads.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    }
}

/// Keeps this thread, and those it starts, on one CPU.
pub fn pin(cpu: usize) -> io::Result<()> {
    assert!(cpu < libc::CPU_SETSIZE as usize, "CPU number too large for a cpu_set_t");
    // SAFETY: `cpu_set_t` is a plain array of bits; all zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` is inside the set, checked above.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the pointer and the size describe `set`; 0 is the calling thread.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Connections the kernel holds for us between two accepts; the system's `somaxconn` caps it.
const BACKLOG: i32 = 4096;
