//! The name in a client's hello, read before there is a handshake: whose configuration it takes depends on it.
#![forbid(unsafe_code)]

use rustls::server::Acceptor;

/// Reads a hello as it comes. What it reads stays where it is, for the handshake.
pub(crate) struct HelloReader {
    acceptor: Acceptor,
    /// Bytes it has seen.
    seen: usize,
    bytes_max: usize,
    server_name: Option<Box<str>>,
}

impl HelloReader {
    /// A reader that gives up behind `bytes_max`.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { acceptor: Acceptor::default(), seen: 0, bytes_max, server_name: None }
    }

    /// Reads on in all that has `received` so far. Says whether that is enough: the name is known, or there will be none.
    /// What is no hello is for the handshake to refuse.
    pub(crate) fn read(&mut self, received: &[u8]) -> bool {
        let mut unseen = &received[self.seen.min(received.len())..];
        while !unseen.is_empty() {
            match self.acceptor.read_tls(&mut unseen) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return true,
            }
            match self.acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    self.server_name = accepted.client_hello().server_name().map(Into::into);
                    return true;
                }
                Err(_) => return true,
            }
        }
        self.seen = received.len();
        self.seen >= self.bytes_max
    }

    /// The name, if it was read and there is one.
    pub(crate) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }
}
