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
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no counter any more, and nothing to count.
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
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
                for _ in 0..100 {
                    ask(&mut socket, "/users/7");
                }
                ask(&mut socket, "/first");
                for _ in 0..REQUESTS {
                    ask(&mut socket, "/users/7");
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

/// Allocations that a message of 16 bytes may cost that is received and sent back.
const ECHO_ALLOCATIONS_MAX: f64 = 0.05;

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

/// A middleware that does nothing.
async fn pass<S>(_: &S, request: Request, next: Next<'_, S>) -> Response {
    next.run(request).await
}

/// Asks for a path and gives the body of the answer, or nothing if it has none.
fn ask(socket: &mut TcpStream, path: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nuser-agent: test\r\naccept: */*\r\n\r\n");
    socket.write_all(head.as_bytes()).expect("the server reads");
    let mut answer = [0; 1024];
    let count = socket.read(&mut answer).expect("the server answers");
    let answer = std::str::from_utf8(&answer[..count]).expect("text");
    answer.split_once("\r\n\r\n").expect("a small answer comes in one piece").1.to_owned()
}
