//! What a request of the client costs in allocations: counted on the core's thread, for a keep-alive GET whose answer has
//! eight fields.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use ringhttp::testing::each_driver;
use ringhttp::{Client, ClientConfig};

/// Allocations that a keep-alive GET may cost, its answer's body included.
const ALLOCATIONS_MAX: f64 = 4.0;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\nserver: test\r\n\
    date: Sun, 06 Nov 1994 08:49:37 GMT\r\netag: \"a\"\r\ncache-control: no-store\r\nvary: accept\r\n\
    last-modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nhello";

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

/// A server on threads of its own, so that nothing of it is counted.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a peer");
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                // A request comes in one piece here.
                while socket.read(&mut bytes).is_ok_and(|count| count > 0) {
                    if socket.write_all(ANSWER).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn a_keep_alive_get_allocates_little() {
    const REQUESTS: u32 = 1000;
    each_driver(async |core| {
        let url = format!("http://{}/users/7?page=2", serve());
        let client = Client::new(&core, ClientConfig::default()).expect("a good configuration");
        let ask = async || {
            let answer = client.get(&url).send().await.expect("an answer");
            assert_eq!(answer.headers().len(), 8);
            assert_eq!(answer.bytes().await.expect("a body"), "hello");
        };
        for _ in 0..100 {
            ask().await;
        }
        let before = COUNT.get();
        for _ in 0..REQUESTS {
            ask().await;
        }
        let each = f64::from(u32::try_from(COUNT.get() - before).expect("few")) / f64::from(REQUESTS);
        println!("{each} allocations per request on {}", core.driver());
        assert!(each <= ALLOCATIONS_MAX, "{each} allocations per request");
        assert_eq!(client.stats().made, 1);
    });
}
