//! What a request costs in allocations, counted on the core's thread: a keep-alive GET through the router, and a message of a
//! WebSocket.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;

use ringhttp::testing::{each_driver, serve_on};
use ringhttp::websocket::Closed;
use ringhttp::{Next, Request, Response, Router, ServerConfig, WebSocketConfig};

/// Allocations that a keep-alive GET through the router and three middlewares may cost.
const ALLOCATIONS_MAX: f64 = 0.1;

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no counter any more, and nothing to count.
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        let _ = BYTES.try_with(|bytes| bytes.set(bytes.get() + layout.size() as u64));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_keep_alive_get_through_the_router_and_its_middleware_allocates_next_to_nothing() {
    const REQUESTS: u32 = 1000;
    each_driver(async |core| {
        let seen = |state: &Cell<u64>| state.set(COUNT.get());
        let routes = Router::new()
            .get("/users/{id}", async |_: &(Cell<u64>, Cell<u64>), _| "hello")
            .get("/items/{id}/parts/{part}", async |_: &(Cell<u64>, Cell<u64>), _| "hello")
            .get("/first", async move |state: &(Cell<u64>, Cell<u64>), _| seen(&state.0))
            .get("/last", async move |state: &(Cell<u64>, Cell<u64>), _| {
                seen(&state.1);
                (state.1.get() - state.0.get()).to_string()
            })
            .with(pass)
            .with(pass)
            .with(pass);
        let state = (Cell::new(0), Cell::new(0));
        serve_on(&core, ServerConfig::default(), routes, state, async |client| {
            // On a thread of its own: nothing of the client is to be counted.
            let address = client.address();
            let counted = core.spawn_blocking(move || {
                let mut socket = TcpStream::connect(address).expect("the server listens");
                // The same again, another one of its route, and another route.
                let mut paths = ["/users/7", "/users/7", "/users/8", "/items/7/parts/9"].iter().cycle();
                for path in paths.by_ref().take(100) {
                    ask(&mut socket, path);
                }
                ask(&mut socket, "/first");
                for path in paths.by_ref().take(REQUESTS as usize) {
                    ask(&mut socket, path);
                }
                ask(&mut socket, "/last")
            });
            let counted: u32 = counted.await.expect("no panic").parse().expect("a number");
            let each = f64::from(counted) / f64::from(REQUESTS);
            assert!(each <= ALLOCATIONS_MAX, "{each} allocations per request");
        })
        .await;
    });
}

/// Allocations that a message of 16 bytes may cost that is received and sent back. It is none, but for sockets that give their
/// memory up when a busy machine leaves them idle for a moment.
const ECHO_ALLOCATIONS_MAX: f64 = 0.5;

#[test]
fn a_small_message_that_is_echoed_allocates_next_to_nothing() {
    const MESSAGES: u32 = 1000;
    each_driver(async |core| {
        let routes = Router::new().get("/ws", async |_: &(), req: Request| -> ringhttp::Result<Closed> {
            let mut socket = req.websocket(WebSocketConfig::default()).await?;
            let mut before = 0;
            for n in 0.. {
                let Some(message) = socket.receive().await? else { break };
                if n == 100 {
                    before = COUNT.get();
                }
                if n == 100 + MESSAGES {
                    socket.send((COUNT.get() - before).to_string()).await?;
                    break;
                }
                socket.send(message).await?;
            }
            Ok(socket.close().await?)
        });
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            let address = client.address();
            let counted = core.spawn_blocking(move || {
                let mut socket = TcpStream::connect(address).expect("the server listens");
                let opening = "GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
                socket.write_all(opening.as_bytes()).expect("the server reads");
                let mut answer = [0; 1024];
                let count = socket.read(&mut answer).expect("the server answers");
                assert!(answer[..count].ends_with(b"\r\n\r\n"));
                // 16 bytes, masked with zeros.
                let message = b"\x82\x90\x00\x00\x00\x000123456789abcdef";
                for _ in 0..100 + MESSAGES {
                    socket.write_all(message).expect("the server reads");
                    let count = socket.read(&mut answer).expect("the server answers");
                    assert_eq!(&answer[..count], b"\x82\x100123456789abcdef");
                }
                socket.write_all(message).expect("the server reads");
                let count = socket.read(&mut answer).expect("the server answers");
                let end = answer[..count].windows(2).position(|end| end[0] == 0x88).unwrap_or(count);
                std::str::from_utf8(&answer[2..end]).expect("a number").to_owned()
            });
            let counted: u32 = counted.await.expect("no panic").parse().expect("a number");
            let each = f64::from(counted) / f64::from(MESSAGES);
            assert!(each <= ECHO_ALLOCATIONS_MAX, "{each} allocations per message");
        })
        .await;
    });
}

/// What a request over TLS costs.
#[cfg(feature = "tls")]
mod tls {
    use std::sync::Arc;

    use bytes::Bytes;
    use ringhttp::{Certificates, Result, Server, TlsConfig};
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

    use super::*;

    const BODY_BYTES: usize = 1 << 20;

    /// Has `ask` called on a thread, with a connection behind its handshake; gives what it gives.
    fn each_driver_asks(ask: fn(&mut StreamOwned<ClientConnection, TcpStream>) -> f64) -> Vec<f64> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Arc::new(client);
        let (give, given) = std::sync::mpsc::channel();
        each_driver(async |core| {
            let large = Bytes::from(vec![7; BODY_BYTES]);
            let routes = Router::new()
                .get("/users/{id}", async |_: &(), _| "hello")
                .get("/count", async |_: &(), _| format!("{} {}", COUNT.get(), BYTES.get()))
                .get("/large", async move |_: &(), _| large.clone())
                .post("/read", async |_: &(), mut request: Request| -> Result<String> {
                    let mut read = 0;
                    while let Some(piece) = request.chunk().await? {
                        read += piece.len();
                    }
                    Ok(read.to_string())
                });
            let tls = TlsConfig::from_pem(made.cert.pem(), made.signing_key.serialize_pem());
            let certificates = Certificates::load(tls).expect("it can be used");
            let config = ServerConfig::default();
            let server = Server::bind_tls("127.0.0.1:0", config, &certificates).expect("a port");
            let address = server.local_addrs()[0].as_socket().expect("IP");
            let here = core.clone();
            let served = core.spawn("server", async move { server.serve(&here, routes, ()).await });
            let client = Arc::clone(&client);
            let asked = core.spawn_blocking(move || {
                let name = ServerName::try_from("localhost").expect("a name");
                let connection = ClientConnection::new(client, name).expect("a client");
                let socket = TcpStream::connect(address).expect("it listens");
                ask(&mut StreamOwned::new(connection, socket))
            });
            give.send(asked.await.expect("no panic")).expect("the test waits");
            core.shutdown();
            served.await.expect("no panic").expect("no error");
        });
        drop(give);
        given.iter().collect()
    }

    /// Allocations, and their bytes, so far.
    fn counted(stream: &mut (impl Read + Write)) -> (f64, f64) {
        let text = ask(stream, "/count");
        let (count, bytes) = text.split_once(' ').expect("two numbers");
        (count.parse().expect("a number"), bytes.parse().expect("a number"))
    }

    /// The one is the record that leaves, whose memory the provider of cryptography makes.
    #[test]
    fn a_keep_alive_get_allocates_its_answers_record() {
        const REQUESTS: u32 = 1000;
        let costs = each_driver_asks(|stream| {
            for _ in 0..100 {
                ask(stream, "/users/7");
            }
            let (before, _) = counted(stream);
            for _ in 0..REQUESTS {
                ask(stream, "/users/7");
            }
            (counted(stream).0 - before) / f64::from(REQUESTS)
        });
        assert!(costs.iter().all(|&cost| cost <= 1.1), "{costs:?} allocations per request");
    }

    /// The bytes that are allocated for each byte of five bodies, which `transfer` moves, behind some that warm up.
    fn bytes_per_byte<S: Read + Write>(stream: &mut S, transfer: fn(&mut S)) -> f64 {
        (0..3).for_each(|_| transfer(stream));
        let (_, before) = counted(stream);
        (0..5).for_each(|_| transfer(stream));
        (counted(stream).1 - before) / (5.0 * BODY_BYTES as f64)
    }

    /// Each byte that is sent is in memory once more, encrypted: nothing else is made of it on its way.
    #[test]
    fn a_byte_that_is_sent_is_copied_once() {
        let costs = each_driver_asks(|stream| {
            bytes_per_byte(stream, |stream| {
                stream.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").expect("the server reads");
                let mut answer = Vec::new();
                let mut piece = vec![0; 1 << 16];
                let whole = |answer: &[u8]| {
                    let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
                    head.is_some_and(|head| answer.len() == head + 4 + BODY_BYTES)
                };
                while !whole(&answer) {
                    let count = stream.read(&mut piece).expect("the server answers");
                    answer.extend_from_slice(&piece[..count]);
                }
            })
        });
        assert!(costs.iter().all(|cost| (1.0..1.02).contains(cost)), "{costs:?} bytes per byte");
    }

    /// Received bytes are decrypted where they are, in buffers that are used again.
    #[test]
    fn a_byte_that_is_received_is_not_copied() {
        let costs = each_driver_asks(|stream| {
            bytes_per_byte(stream, |stream| {
                let head = format!("POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: {BODY_BYTES}\r\n\r\n");
                stream.write_all(head.as_bytes()).expect("the server reads");
                stream.write_all(&vec![7; BODY_BYTES]).expect("the server reads");
                let mut answer = [0; 1024];
                let count = stream.read(&mut answer).expect("the server answers");
                assert!(answer[..count].ends_with(BODY_BYTES.to_string().as_bytes()));
            })
        });
        assert!(costs.iter().all(|cost| *cost <= 0.2), "{costs:?} bytes per byte");
    }
}

/// A middleware that does nothing.
async fn pass<S>(_: &S, request: Request, next: Next<'_, S>) -> Response {
    next.run(request).await
}

/// Asks for a path and gives the body of the answer, or nothing if it has none.
fn ask(socket: &mut (impl Read + Write), path: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nuser-agent: test\r\naccept: */*\r\n\r\n");
    socket.write_all(head.as_bytes()).expect("the server reads");
    let mut answer = [0; 1024];
    let count = socket.read(&mut answer).expect("the server answers");
    let answer = std::str::from_utf8(&answer[..count]).expect("text");
    answer.split_once("\r\n\r\n").expect("a small answer comes in one piece").1.to_owned()
}
