//! A server whose every byte is the test's: blocking sockets of the standard library on threads, so that it shares nothing
//! with the client that is tested against it.
#![forbid(unsafe_code)]

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ringhttp_runtime::connect::reset_on_close;

/// A server that does with each connection what a function says: for clients that are to be tested against peers that
/// break off, stall, reset, or lie.
///
/// ```
/// use ringhttp::testing::{RawServer, each_driver};
/// use ringhttp::{Client, ClientConfig};
///
/// each_driver(async |core| {
///     let server = RawServer::start(|mut peer| {
///         while let Some(head) = peer.read_head() {
///             assert!(head.starts_with("GET /half HTTP/1.1\r\n"));
///             peer.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
///             return peer.reset();
///         }
///     });
///     let client = Client::new(&core, ClientConfig::default()).expect("a good configuration");
///     let answer = client.get(server.url("/half")).send().await.expect("a head");
///     assert!(answer.bytes().await.is_err());
/// });
/// ```
pub struct RawServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    accepted: AtomicUsize,
    open: AtomicUsize,
    stopped: AtomicBool,
}

impl RawServer {
    /// Starts on a free port of 127.0.0.1. `script` is run for each connection, on a thread of its own; the connection is
    /// closed when it returns.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn start(script: impl Fn(RawPeer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("127.0.0.1 has a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared: Arc<Shared> = Arc::default();
        let (own, script) = (Arc::clone(&shared), Arc::new(script));
        thread::spawn(move || {
            for socket in listener.incoming() {
                if own.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(socket) = socket else { continue };
                let number = own.accepted.fetch_add(1, Ordering::SeqCst);
                own.open.fetch_add(1, Ordering::SeqCst);
                let (shared, script) = (Arc::clone(&own), Arc::clone(&script));
                thread::spawn(move || {
                    let _open = Open(&shared);
                    script(RawPeer::new(socket, number));
                });
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path on it, which begins with `/`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Connections that were accepted so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Connections whose script has not returned.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }
}

/// One connection's script runs.
struct Open<'a>(&'a Shared);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// No more connections are accepted; scripts go on.
impl Drop for RawServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts, which sees that it is to end.
        let _ = TcpStream::connect_timeout(&self.address, PATIENCE);
    }
}

impl fmt::Debug for RawServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawServer").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The client's end of a connection, as the script of a [`RawServer`] has it.
#[derive(Debug)]
pub struct RawPeer {
    socket: TcpStream,
    number: usize,
    unread: Vec<u8>,
}

impl RawPeer {
    fn new(socket: TcpStream, number: usize) -> Self {
        socket.set_nodelay(true).expect("an open socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("an open socket");
        socket.set_write_timeout(Some(PATIENCE)).expect("an open socket");
        Self { socket, number, unread: Vec::new() }
    }

    /// Which connection of the server it is, from 0.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The lines of the next head, the empty one included; `None` if the client has ended the connection, or reset it, before
    /// one was complete.
    ///
    /// # Panics
    /// If nothing comes for 10 s.
    pub fn read_head(&mut self) -> Option<String> {
        const END: &[u8] = b"\r\n\r\n";
        loop {
            if let Some(at) = self.unread.windows(END.len()).position(|window| window == END) {
                let head = self.take(at + END.len());
                return Some(String::from_utf8_lossy(&head).into_owned());
            }
            if self.fill() == 0 {
                return None;
            }
        }
    }

    /// So many bytes; fewer if the client ends the connection, or resets it, before they have come.
    ///
    /// # Panics
    /// If nothing comes for 10 s.
    pub fn read(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count && self.fill() > 0 {}
        self.take(count.min(self.unread.len()))
    }

    /// All that comes until the client ends the connection or resets it.
    ///
    /// # Panics
    /// If nothing comes for 10 s.
    pub fn read_all(&mut self) -> Vec<u8> {
        self.read(usize::MAX)
    }

    /// Sends bytes as they are. False if the client is gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.socket.write_all(bytes.as_ref()).is_ok()
    }

    /// Waits.
    pub fn wait(&self, time: Duration) {
        thread::sleep(time);
    }

    /// Ends this side: the client reads an end, and may still send.
    pub fn end(&self) {
        // If the client has reset the connection, its end is known.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Resets the connection: what has not reached the client is lost.
    pub fn reset(self) {
        reset_on_close(&self.socket).expect("an open socket");
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.unread.split_off(count);
        std::mem::replace(&mut self.unread, rest)
    }

    /// Reads once, and says how many bytes came; a connection that was reset has ended.
    fn fill(&mut self) -> usize {
        let mut bytes = [0; 16 * 1024];
        match self.socket.read(&mut bytes) {
            Ok(count) => {
                self.unread.extend_from_slice(&bytes[..count]);
                count
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came; unread: {}", self.unread.escape_ascii())
            }
            Err(_) => 0,
        }
    }
}

/// How long a script waits for a byte.
const PATIENCE: Duration = Duration::from_secs(10);
