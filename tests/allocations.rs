//! What a request costs in allocations: counted on the core's thread, for a keep-alive GET through the router.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;

use ringhttp::testing::{each_driver, serve_on};
use ringhttp::{Next, Request, Response, Router, ServerConfig};

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
