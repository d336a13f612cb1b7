//! WebSockets over TLS are what they are without: messages, closing, cuts.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::BytesMut;
use ringhttp::proto::websocket::{Event, Inflaters, Reader, ReaderRules, Role, Takeover};
use ringhttp::testing::each_driver;
use ringhttp::websocket::{Closed, CompressionConfig};
use ringhttp::{CloseReason, Request, Result, Router, ServerConfig, WebSocketConfig, time};
use rustls::ClientConfig;

use super::common::{Authority, BOTH, Client, client_config, on_thread, serve, until};
use super::frame::frame;

const OPENING: &str = "GET /ws HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n";

/// The client's side. It blocks: it is for threads.
struct Peer {
    client: Client,
    input: BytesMut,
    reader: Reader,
    inflaters: Inflaters,
}

impl Peer {
    /// Opens a socket, with more fields in the request; `behind` is sent in one piece with it.
    fn open(site: &Address, fields: &str, behind: &[u8]) -> Self {
        let mut client = Client::connect(site.address, &site.config, "localhost").expect("a handshake");
        client.send([OPENING.as_bytes(), fields.as_bytes(), b"\r\n", behind].concat());
        assert_eq!(client.answer().expect("an answer").status, 101);
        let input = BytesMut::from(&client.take_unread()[..]);
        let mut rules = ReaderRules::new(Role::Server);
        rules.limits.message_bytes_max = 64 << 20;
        rules.limits.frame_bytes_max = 64 << 20;
        rules.inflate = (!fields.is_empty()).then_some(Takeover::Reset);
        Self { client, input, reader: Reader::new(rules), inflaters: Inflaters::default() }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.client.send(bytes);
    }

    /// The next event; `None` at the end of the connection, which the server has to say.
    fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.reader.next(&mut self.input, &mut self.inflaters);
            match event.expect("a server keeps to the protocol") {
                Event::NeedMore { .. } => {
                    let mut piece = [0; 16 * 1024];
                    match self.client.stream.read(&mut piece).expect("no end that was not said") {
                        0 => return None,
                        count => self.input.extend_from_slice(&piece[..count]),
                    }
                }
                Event::Working => {}
                event => return Some(event),
            }
        }
    }

    fn text(&mut self) -> String {
        match self.next() {
            Some(Event::Text(text)) => text.as_str().to_owned(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// The code of the server's Close frame, behind which it ends TLS and the connection.
    fn closed(&mut self) -> u16 {
        let code = loop {
            match self.next() {
                Some(Event::Close(close)) => break close.code.as_u16(),
                Some(_) => {}
                None => panic!("the connection ended without a Close frame"),
            }
        };
        // It may have had the client's already.
        let _ = self.client.stream.write_all(&frame(0x88, &code.to_be_bytes()));
        assert_eq!(self.next(), None);
        code
    }
}

/// Where a server is, and how to speak to it: for threads.
#[derive(Clone)]
struct Address {
    address: SocketAddr,
    config: Arc<ClientConfig>,
}

/// Has `peer` run on a thread against `routes`, over both versions of TLS and on both drivers.
fn each(routes: fn() -> Router<()>, peer: fn(&Address)) {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    for version in BOTH {
        each_driver(async |core| {
            serve(&core, identity.config(), ServerConfig::default(), routes(), (), async |site| {
                let config = Arc::new(client_config(&authority, &[version], None));
                let address = Address { address: site.address, config };
                on_thread(&core, move || peer(&address)).await;
                until("all are gone", || site.stats.active.get() == 0).await;
                assert_eq!(site.stats.websockets.active.get(), 0);
                assert_eq!(site.stats.closed.get(CloseReason::Upgraded), site.stats.tls_handshakes.get());
            })
            .await;
        });
    }
}

async fn echo(_: &(), req: Request) -> Result<Closed> {
    let mut config = WebSocketConfig::default();
    config.message_bytes_max = 16 << 20;
    config.compression = Some(CompressionConfig::default());
    let mut socket = req.websocket(config).await?;
    while let Some(message) = socket.receive().await? {
        socket.send(message).await?;
    }
    Ok(socket.close().await?)
}

fn echoes() -> Router<()> {
    Router::new().get("/ws", echo)
}

#[test]
fn messages_of_all_sizes_come_back_and_both_sides_say_the_end() {
    each(echoes, |address| {
        let mut peer = Peer::open(address, "", b"");
        for bytes in [0, 1, 125, 126, 5_000, 16_384, 65_535, 65_536, 200_000, 1 << 20, 5_000_000, 3] {
            let payload: Vec<u8> = (0..bytes).map(|n: u32| n.to_le_bytes()[(n % 3) as usize]).collect();
            for _ in 0..2 {
                peer.send(&frame(0x82, &payload));
                assert!(peer.next() == Some(Event::Binary(payload.clone().into())), "{bytes} bytes");
            }
        }
        peer.send(&frame(0x88, b"\x03\xe8"));
        assert_eq!(peer.closed(), 1000);
    });
}

#[test]
fn small_messages_behind_the_handshake_and_frames_over_records_are_answered_in_order() {
    each(echoes, |address| {
        let mut batch = Vec::new();
        for n in 0..2_000 {
            batch.extend(frame(0x81, n.to_string().as_bytes()));
        }
        let mut peer = Peer::open(address, "", &batch);
        for n in 0..2_000 {
            assert_eq!(peer.text(), n.to_string());
        }
        // A record for each byte, and one for each of some pieces.
        let long = "long ".repeat(5_000);
        for (text, piece_bytes) in
            [("short", 1), ("a bit longer, 126 bytes and more: ".repeat(9).as_str(), 7), (&long, 1000)]
        {
            for piece in frame(0x81, text.as_bytes()).chunks(piece_bytes) {
                peer.send(piece);
            }
            assert_eq!(peer.text(), text);
        }
        peer.send(&frame(0x88, b""));
        assert_eq!(peer.closed(), 1005);
    });
}

#[test]
fn compressed_messages_come_back() {
    each(echoes, |address| {
        let extension = "sec-websocket-extensions: permessage-deflate; server_no_context_takeover\r\n";
        let mut peer = Peer::open(address, extension, b"");
        // As plain ones are taken too, what comes back is what was compressed.
        let text = "again and ".repeat(10_000);
        peer.send(&frame(0x81, text.as_bytes()));
        assert!(peer.text() == text);
        peer.send(&frame(0x88, b"\x03\xe8"));
        assert_eq!(peer.closed(), 1000);
    });
}

#[test]
fn a_peer_at_fault_is_told_so_while_it_goes_on_sending() {
    each(echoes, |address| {
        let mut peer = Peer::open(address, "", b"");
        peer.send(&[frame(0x81, b"fine"), frame(0xa1, b"bad")].concat());
        let more = frame(0x82, &[7; 10_000]);
        for _ in 0..50 {
            peer.send(&more);
        }
        assert_eq!(peer.text(), "fine");
        assert_eq!(peer.closed(), 1002);
    });
}

#[test]
fn receiving_that_is_dropped_over_and_over_loses_nothing() {
    let routes = || {
        Router::new().get("/ws", async |_: &(), req: Request| -> Result<Closed> {
            let mut socket = req.websocket(WebSocketConfig::default()).await?;
            loop {
                match time::timeout(Duration::from_millis(1), socket.receive()).await {
                    Err(_) => {}
                    Ok(received) => match received? {
                        Some(message) => socket.send(message).await?,
                        None => return Ok(socket.close().await?),
                    },
                }
            }
        })
    };
    each(routes, |address| {
        let mut peer = Peer::open(address, "", b"");
        for n in 0..40_usize {
            let text = "x".repeat(n * 500);
            let sent = frame(0x81, text.as_bytes());
            let (first, second) = sent.split_at(sent.len() / 2);
            peer.send(first);
            std::thread::sleep(Duration::from_millis(3));
            peer.send(second);
            assert_eq!(peer.text().len(), text.len());
        }
        peer.send(&frame(0x88, b"\x03\xe8"));
        assert_eq!(peer.closed(), 1000);
    });
}

#[test]
fn a_socket_that_is_cut_off_is_known_to_be_so_however_tls_ended() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        let (ended, ends) = mpsc::channel();
        let routes = Router::new().get("/ws", async move |_: &(), req: Request| -> Result<Closed> {
            let mut socket = req.websocket(WebSocketConfig::default()).await?;
            while socket.receive().await?.is_some() {}
            ended.send(socket.close_code().map(|code| code.as_u16())).expect("the test listens");
            Ok(socket.close().await?)
        });
        serve(&core, identity.config(), ServerConfig::default(), routes, (), async |site| {
            for version in BOTH {
                let config = Arc::new(client_config(&authority, &[version], None));
                let address = Address { address: site.address, config };
                on_thread(&core, move || {
                    // In the middle of a message: by an end of TCP, by one of TLS, by a broken record.
                    for way in 0..3 {
                        let mut peer = Peer::open(&address, "", b"");
                        peer.send(&frame(0x81, b"all of it"));
                        peer.send(&frame(0x81, b"half of it")[..8]);
                        match way {
                            0 => peer.client.stream.sock.shutdown(Shutdown::Write).expect("an open socket"),
                            1 => {
                                peer.client.stream.conn.send_close_notify();
                                peer.client.stream.flush().expect("the server reads");
                            }
                            _ => {
                                let garbage = b"\x17\x03\x03\x00\x14twenty bytes of junk";
                                peer.client.stream.sock.write_all(garbage).expect("the server reads");
                            }
                        }
                        let _ = peer.client.stream.sock.read_to_end(&mut Vec::new());
                    }
                })
                .await;
            }
            until("all are gone", || site.stats.active.get() == 0).await;
            assert_eq!(ends.try_iter().collect::<Vec<_>>(), [Some(1006); 6]);
        })
        .await;
    });
}

#[test]
fn a_stop_closes_them_and_ends_tls() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    for version in BOTH {
        each_driver(async |core| {
            serve(&core, identity.config(), ServerConfig::default(), echoes(), (), async |site| {
                let config = Arc::new(client_config(&authority, &[version], None));
                let address = Address { address: site.address, config };
                let mut peer = on_thread(&core, move || Peer::open(&address, "", b"")).await;
                core.shutdown();
                assert_eq!(on_thread(&core, move || peer.closed()).await, 1001);
                until("it is gone", || site.stats.active.get() == 0).await;
            })
            .await;
        });
    }
}
