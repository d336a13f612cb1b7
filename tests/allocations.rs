//! What a request costs in allocations: counted on the core's thread, for a keep-alive GET through the router.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ringhttp::testing::{each_driver, serve_on};
use ringhttp::{Method, Router, ServerConfig};

/// Allocations that a keep-alive GET through the router may cost.
const ALLOCATIONS_MAX: f64 = 4.0;

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
fn a_keep_alive_get_through_the_router_allocates_next_to_nothing() {
    const REQUESTS: usize = 1000;
    each_driver(async |core| {
        let seen = |state: &Cell<u64>| state.set(COUNT.get());
        let routes = Router::new()
            .get("/users/{id}", async |_: &(Cell<u64>, Cell<u64>), _| "hello")
            .get("/first", async move |state: &(Cell<u64>, Cell<u64>), _| seen(&state.0))
            .get("/last", async move |state: &(Cell<u64>, Cell<u64>), _| {
                seen(&state.1);
                (state.1.get() - state.0.get()).to_string()
            });
        let state = (Cell::new(0), Cell::new(0));
        serve_on(&core, ServerConfig::default(), routes, state, async |client| {
            let get = |path: &str| {
                format!("GET {path} HTTP/1.1\r\nhost: a\r\nuser-agent: test\r\naccept: */*\r\n\r\n")
            };
            let mut connection = client.raw(get("/users/7").repeat(100)).await;
            for _ in 0..100 {
                assert_eq!(connection.response(&Method::GET).await.text(), "hello");
            }
            // All in one go: the client's own tasks run on this core too, and are not to be counted in between.
            let batch = get("/first") + &get("/users/7").repeat(REQUESTS) + &get("/last");
            connection.send(batch).await;
            for _ in 0..=REQUESTS {
                connection.response(&Method::GET).await;
            }
            let counted: f64 = connection.response(&Method::GET).await.text().parse().expect("a number");
            let each = counted / REQUESTS as f64;
            assert!(each <= ALLOCATIONS_MAX, "{each} allocations per request");
        })
        .await;
    });
}
