//! A client for the tests: blocking sockets, and the protocol's own reader on the client's side. Whatever fails panics.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use ringhttp::proto::websocket::{Event, Inflaters, Reader, ReaderRules, Role, Takeover};

use super::frame::frame;

pub(crate) const OPENING: &str = "GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";

pub(crate) struct Peer {
    pub(crate) socket: TcpStream,
    input: BytesMut,
    reader: Reader,
    inflaters: Inflaters,
}

impl Peer {
    /// Opens a socket; `behind` is sent in one piece with the request.
    pub(crate) fn open(address: SocketAddr, behind: &[u8]) -> Self {
        Self::open_with(address, "", behind)
    }

    /// The same, with more fields in the request.
    pub(crate) fn open_with(address: SocketAddr, fields: &str, behind: &[u8]) -> Self {
        let mut socket = TcpStream::connect(address).expect("the server listens");
        socket.set_nodelay(true).expect("an open socket");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("an open socket");
        let opening = OPENING.replace("host: a\r\n", &format!("host: a\r\n{fields}"));
        socket.write_all(&[opening.as_bytes(), behind].concat()).expect("the server reads");
        let mut input = BytesMut::new();
        let end = loop {
            if let Some(at) = input.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(fill(&mut socket, &mut input), "no answer: {}", input.escape_ascii());
        };
        let head = input.split_to(end);
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
        let mut rules = ReaderRules::new(Role::Server);
        rules.limits.message_bytes_max = 64 << 20;
        rules.limits.frame_bytes_max = 64 << 20;
        rules.inflate = (!fields.is_empty()).then_some(Takeover::Reset);
        Self { socket, input, reader: Reader::new(rules), inflaters: Inflaters::default() }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("the server reads");
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        self.send(&frame(0x81, text.as_bytes()));
    }

    /// The next event; `None` at the end of the connection.
    pub(crate) fn next(&mut self) -> Option<Event> {
        loop {
            match self
                .reader
                .next(&mut self.input, &mut self.inflaters)
                .expect("a server keeps to the protocol")
            {
                Event::NeedMore { .. } => {
                    if !fill(&mut self.socket, &mut self.input) {
                        return None;
                    }
                }
                Event::Working => {}
                event => return Some(event),
            }
        }
    }

    pub(crate) fn text(&mut self) -> String {
        match self.next() {
            Some(Event::Text(text)) => text.as_str().to_owned(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// The code of the server's Close frame, which is answered; what comes before it is read over.
    pub(crate) fn closed(&mut self) -> u16 {
        loop {
            match self.next() {
                Some(Event::Close(close)) => {
                    let _ = self.socket.write_all(&frame(0x88, &close.code.as_u16().to_be_bytes()));
                    return close.code.as_u16();
                }
                Some(_) => {}
                None => panic!("the connection ended without a Close frame"),
            }
        }
    }
}

/// Reads once; false at the end.
fn fill(socket: &mut TcpStream, input: &mut BytesMut) -> bool {
    let mut bytes = vec![0; 256 * 1024];
    let count = socket.read(&mut bytes).expect("something comes");
    input.extend_from_slice(&bytes[..count]);
    count > 0
}
