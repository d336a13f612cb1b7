//! What does the router add to a request? Dispatch of one of 300 routes with a parameter, from the parsed request to the
//! handler's response: nanoseconds and allocations.
//!
//! The requests are real ones: they come over a socket, pipelined, and only the dispatch is timed. The cost of reading the
//! clock is measured too, and is part of every figure.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use ringhttp::{App, Core, Cores, Request, Result, Router, RuntimeConfig, Server, ServerConfig, Service};

/// Routes of the table.
const ROUTES: usize = 300;

/// Requests that are on their way at a time.
const PIPELINED: u64 = 16;

/// Allocations that one dispatch may make: the handler's future, and one to spare.
const ALLOCATIONS_MAX: f64 = 2.0;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all calls go to the system's allocator as they are; counting touches a plain thread-local only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract, and the memory came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the state of the measured handlers is: something to borrow.
struct Api {
    answer: &'static str,
}

impl Api {
    async fn user(&self, req: Request) -> Result<&'static str> {
        let id: u64 = req.param("id")?;
        Ok(if id == u64::MAX { "" } else { self.answer })
    }
}

fn app() -> Result<App<Api>> {
    let routes = (0..ROUTES).map(|number| format!("/group{}/resource{number}/{{id}}", number % 20));
    routes.fold(Router::new(), |router, path| router.get(&path, Api::user)).into_service(Api { answer: "ok" })
}

/// What was measured of some requests.
#[derive(Clone, Copy, Default)]
struct Measured {
    requests: u64,
    time: Duration,
    allocations: u64,
}

/// Answers by the app, and measures each dispatch.
async fn serve(core: Core, port: mpsc::Sender<u16>, measured: Rc<Cell<Measured>>) -> Result<()> {
    let app = app()?;
    let server = Server::bind("127.0.0.1:0", ServerConfig::default())?;
    for address in server.local_addrs() {
        // The receiver is gone only if the bench is.
        let _ = port.send(address.as_socket().map_or(0, |address| address.port()));
    }
    let service = async move |request: Request| {
        if request.path() == "/measured" {
            let text = measured.take();
            return ringhttp::Response::text(format!(
                "{} {} {}",
                text.requests,
                text.time.as_nanos(),
                text.allocations
            ));
        }
        let allocations = ALLOCATIONS.get();
        let start = Instant::now();
        let response = app.call(request).await;
        let mut sum = measured.get();
        sum.time += start.elapsed();
        sum.allocations += ALLOCATIONS.get() - allocations;
        sum.requests += 1;
        measured.set(sum);
        response
    };
    server.serve_service(&core, service).await
}

/// Sends `count` requests, and asks the server what they took.
fn measure(socket: &mut TcpStream, count: u64) -> Measured {
    let one = "GET /group7/resource147/123456 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut left = count;
    while left > 0 {
        let batch = left.min(PIPELINED);
        let requests = one.repeat(usize::try_from(batch).expect("a small number"));
        socket.write_all(requests.as_bytes()).expect("the server reads");
        read_answers(socket, batch, b"ok");
        left -= batch;
    }
    socket.write_all(b"GET /measured HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("the server reads");
    let answer = read_answers(socket, 1, b"");
    let text = answer.rsplit("\r\n\r\n").next().expect("a body");
    let mut numbers = text.split(' ').map(|number| number.parse::<u64>().expect("a number"));
    let mut next = || numbers.next().expect("three numbers");
    let measured = Measured { requests: next(), time: Duration::from_nanos(next()), allocations: next() };
    assert_eq!(measured.requests, count);
    measured
}

/// Reads until `count` answers have come that end with `body`.
fn read_answers(socket: &mut TcpStream, count: u64, body: &[u8]) -> String {
    let mut all = Vec::new();
    let mut bytes = [0; 16 * 1024];
    let complete = |all: &[u8]| {
        let heads = all.windows(4).filter(|window| window == b"\r\n\r\n").count() as u64;
        heads == count && all.ends_with(body) && !all.ends_with(b"\r\n\r\n")
    };
    while !complete(&all) {
        let read = socket.read(&mut bytes).expect("the server answers");
        assert!(read > 0, "the server ended the connection");
        all.extend_from_slice(&bytes[..read]);
    }
    String::from_utf8(all).expect("answers are text")
}

#[expect(clippy::print_stdout, reason = "a bench reports to the person who ran it")]
fn dispatch(criterion: &mut Criterion) {
    let (sender, port) = mpsc::channel();
    thread::spawn(move || {
        let mut config = RuntimeConfig::default();
        config.cores = Cores::Count(1);
        config.handle_signals = false;
        let result: Result<()> =
            ringhttp::run(config, async |core| serve(core, sender.clone(), Rc::default()).await);
        result.expect("the server does not fail");
    });
    let port = port.recv().expect("the server listens");
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");

    let warm = measure(&mut socket, 1000);
    let allocations = warm.allocations as f64 / warm.requests as f64;
    println!("allocations per dispatch: {allocations}");
    assert!(allocations <= ALLOCATIONS_MAX, "{allocations} allocations per dispatch");

    let mut group = criterion.benchmark_group("router");
    group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    group.bench_function("dispatch_1_of_300", |bencher| {
        bencher.iter_custom(|count| measure(&mut socket, count).time);
    });
    group.bench_function("reading_the_clock", |bencher| {
        bencher.iter_custom(|count| (0..count).map(|_| Instant::now().elapsed()).sum());
    });
    group.finish();
}

criterion_group!(benches, dispatch);
criterion_main!(benches);
