//! Clients that are slow on purpose, beside those that are measured: half of them send the head of a request byte by byte, half
//! read a large answer so. A server shall neither be slower for the others nor work for them.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};
use socket2::{Domain, Socket, Type};

use crate::Problem;

/// Open connections of both kinds, until this is dropped.
#[derive(Debug)]
pub(crate) struct Clients {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Clients {
    /// Opens `count` connections of each kind to the server at `port`, and begins to send and to read, from a thread on `cpu`.
    ///
    /// # Errors
    /// One of them cannot be opened, or the thread cannot run there.
    pub(crate) fn open(port: u16, count: u32, cpu: usize) -> Result<Self, Problem> {
        let open = || (0..count).flat_map(|_| [Client::sender(port), Client::reader(port)]).collect();
        let clients: io::Result<Vec<Client>> = open();
        let mut clients = clients.map_err(|error| format!("a slow client: {error}"))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        let (say, pinned) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            // Beside wrk, as all loads are: it would take the server's CPU from it otherwise.
            let _somebody_waits = say.send(pin(cpu));
            while !seen.load(Ordering::Relaxed) {
                for client in &mut clients {
                    client.step(port);
                }
                std::thread::sleep(PAUSE);
            }
        });
        let clients = Self { is_over, thread: Some(thread) };
        let pinned = pinned.recv().map_err(|error| error.to_string())?;
        pinned.map_err(|error| format!("the slow clients on CPU {cpu}: {error}"))?;
        // The server takes them up before its CPU time is first read.
        std::thread::sleep(2 * PAUSE);
        Ok(clients)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Keeps this thread on one CPU.
fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// One connection.
#[derive(Debug)]
struct Client {
    socket: TcpStream,
    /// What is sent byte by byte; nothing of one that reads.
    head: &'static [u8],
    sent: usize,
}

impl Client {
    fn sender(port: u16) -> io::Result<Self> {
        Ok(Self { socket: connect(port)?, head: HEAD, sent: 0 })
    }

    fn reader(port: u16) -> io::Result<Self> {
        let mut socket = connect(port)?;
        socket.write_all(LARGE)?;
        Ok(Self { socket, head: &[], sent: 0 })
    }

    /// A byte more. A server may end a connection that is that slow: then there is another one, and what fails is tried again at the
    /// next step.
    fn step(&mut self, port: u16) {
        let is_sender = !self.head.is_empty();
        let done = if is_sender { self.send() } else { self.socket.read(&mut [0]).map(|read| read > 0) };
        let is_open = match done {
            Ok(is_open) => is_open,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        if !is_open && let Ok(next) = if is_sender { Self::sender(port) } else { Self::reader(port) } {
            *self = next;
        }
    }

    /// False when the head is out: the next one begins on a connection of its own.
    fn send(&mut self) -> io::Result<bool> {
        let Some(byte) = self.head.get(self.sent..=self.sent) else { return Ok(false) };
        self.sent += self.socket.write(byte)?;
        // What a server says to a slow head is not awaited, but its end is seen.
        match self.socket.read(&mut [0; 512]) {
            Ok(0) => Ok(false),
            Ok(_) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// A socket that waits for nothing and takes little at a time, so that a large answer stays with the server.
fn connect(port: u16) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(RECEIVE_BYTES)?;
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

const HEAD: &[u8] =
    b"GET /plaintext HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a slow one\r\nAccept: */*\r\n\r\n";
const LARGE: &[u8] = b"GET /bytes/1048576 HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// Between two bytes.
const PAUSE: Duration = Duration::from_millis(100);
const RECEIVE_BYTES: usize = 4096;

/// A head that arrives byte by byte, an answer that is read so, and a server that is gone.
pub(crate) fn self_check() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let mut sender = Client::sender(port).expect("somebody listens");
    let (mut accepted, _) = listener.accept().expect("it has connected");
    for _ in 0..3 {
        sender.step(port);
    }
    let mut received = [0; 3];
    accepted.read_exact(&mut received).expect("three bytes have come");
    assert_eq!((&received, sender.sent), (b"GET", 3));

    let mut reader = Client::reader(port).expect("somebody listens");
    let (mut accepted, _) = listener.accept().expect("it has connected");
    let mut request = vec![0; LARGE.len()];
    accepted.read_exact(&mut request).expect("the request is sent at once");
    assert_eq!(request, LARGE);
    let before = reader.socket.local_addr().expect("it is open");
    reader.step(port);
    assert_eq!(reader.socket.local_addr().ok(), Some(before), "waiting is no end");
    drop(accepted);
    while reader.socket.local_addr().ok() == Some(before) {
        reader.step(port);
    }
    drop((listener, sender, reader));
    assert!(Clients::open(port, 1, 0).is_err());
    let pinned =
        std::thread::spawn(|| pin(0).and_then(|()| Ok(rustix::thread::sched_getaffinity(None)?.count())));
    let pinned = pinned.join().expect("it does not panic");
    // A machine may keep its first CPU from us.
    assert!(pinned.is_err() || pinned.is_ok_and(|cpus| cpus == 1));
    assert!(pin(CpuSet::MAX_CPU).is_err());
}
