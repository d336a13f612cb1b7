//! What does an application cost around its handler? One of 300 routes with a parameter, behind three middlewares, from the
//! parsed request to the handler's response: nanoseconds and allocations, ours and axum's in one run.
//!
//! Ours: real requests, that come over a socket, pipelined; only the dispatch is timed, and the clock's cost is part of
//! the figure (it is measured too). axum's: the same router called in a loop with a request made beforehand, timed as a
//! whole batch, so its figure is without the clock; making and dropping requests and responses is outside for both.
//!
//! Each request asks for another resource than the one before it, of one route: ours then looks no further than whether it is
//! that route again. `all_routes` goes through the whole table, another route each time, whose memory comes from further
//! away. `repeated` asks for the same resource again and again.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use ringhttp::{
    App, Core, Cores, Next, Request, Response, Result, RuntimeConfig, Server, ServerConfig, Service,
};

/// Routes of the table.
const ROUTES: usize = 300;

/// How far the route of a request is from the one before it, in the table.
const STRIDE: usize = 149;

/// Requests that are on their way at a time.
const PIPELINED: u64 = 16;

/// Allocations that one of our dispatches may make.
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

/// What the requests of a connection ask for, one after the other.
#[derive(Clone, Copy)]
enum Targets {
    OneRoute,
    AllRoutes,
    Repeated,
}

impl Targets {
    /// As it stands in the names of figures.
    fn suffix(self) -> &'static str {
        match self {
            Self::OneRoute => "",
            Self::AllRoutes => "_all_routes",
            Self::Repeated => "_repeated",
        }
    }

    fn get(self, number: usize) -> String {
        let (route, id) = match self {
            Self::OneRoute => (STRIDE, 123_456 + number % 1000),
            Self::AllRoutes => (number * STRIDE % ROUTES, 123_456),
            Self::Repeated => (STRIDE, 123_456),
        };
        format!("/group{}/resource{route}/{id}", route % 20)
    }
}

fn paths() -> impl Iterator<Item = String> {
    (0..ROUTES).map(|number| format!("/group{}/resource{number}/{{id}}", number % 20))
}

/// What was measured of some requests.
#[derive(Clone, Copy, Default)]
struct Measured {
    requests: u64,
    time: Duration,
    allocations: u64,
}

/// The state of the measured handlers.
struct Api {
    answer: &'static str,
    passed: Cell<u64>,
}

impl Api {
    async fn user(&self, req: Request) -> Result<&'static str> {
        let id: u64 = req.param("id")?;
        Ok(if id == u64::MAX { "" } else { self.answer })
    }

    /// A middleware that does next to nothing.
    async fn pass(&self, req: Request, next: Next<'_, Self>) -> Response {
        let response = next.run(req).await;
        self.passed.set(self.passed.get() + 1);
        response
    }
}

fn ours(middlewares: usize) -> Result<App<Api>> {
    let router = paths().fold(ringhttp::Router::new(), |router, path| router.get(&path, Api::user));
    let router = (0..middlewares).fold(router, |router, _| router.with(Api::pass));
    router.into_service(Api { answer: "ok", passed: Cell::new(0) })
}

/// Answers by our router, and measures each dispatch.
async fn serve(core: Core, app: App<Api>, port: mpsc::Sender<u16>) -> Result<()> {
    let measured = Rc::new(Cell::new(Measured::default()));
    let server = Server::bind("127.0.0.1:0", ServerConfig::default())?;
    for address in server.local_addrs() {
        // The receiver is gone only if the bench is.
        let _ = port.send(address.as_socket().map_or(0, |address| address.port()));
    }
    let service = async move |request: Request| {
        if request.path() == "/measured" {
            let sum = measured.take();
            return Response::text(format!("{} {} {}", sum.requests, sum.time.as_nanos(), sum.allocations));
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

/// A server of ours with so many middlewares, and a connection to it.
fn start_ours(middlewares: usize) -> TcpStream {
    let (sender, port) = mpsc::channel();
    thread::spawn(move || {
        let mut config = RuntimeConfig::default();
        config.cores = Cores::Count(1);
        config.handle_signals = false;
        let result: Result<()> =
            ringhttp::run(config, async |core| serve(core, ours(middlewares)?, sender.clone()).await);
        result.expect("the server does not fail");
    });
    let port = port.recv().expect("the server listens");
    TcpStream::connect(("127.0.0.1", port)).expect("the server listens")
}

/// Sends `count` requests to ours, and asks it what they took.
fn measure_ours(socket: &mut TcpStream, targets: Targets, count: u64) -> Measured {
    let request = |number| format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", targets.get(number));
    let mut requests = (0..).map(request);
    let mut left = count;
    while left > 0 {
        let batch = left.min(PIPELINED);
        let requests: String = requests.by_ref().take(batch as usize).collect();
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

type AxumRequest = axum::http::Request<axum::body::Body>;

/// The state of axum's handlers: as usual, shared.
#[derive(Clone)]
struct Shared(std::sync::Arc<&'static str>);

async fn axum_user(
    axum::extract::State(state): axum::extract::State<Shared>,
    axum::extract::Path(id): axum::extract::Path<u64>,
) -> &'static str {
    if id == u64::MAX { "" } else { *state.0 }
}

async fn axum_pass(request: AxumRequest, next: axum::middleware::Next) -> axum::response::Response {
    next.run(request).await
}

fn axums(middlewares: usize) -> axum::Router {
    let router =
        paths().fold(axum::Router::new(), |router, path| router.route(&path, axum::routing::get(axum_user)));
    let router = router.with_state(Shared(std::sync::Arc::new("ok")));
    (0..middlewares).fold(router, |router, _| router.layer(axum::middleware::from_fn(axum_pass)))
}

/// Calls axum's router so often. Requests are made before the clock starts, responses dropped after it has stopped.
fn measure_axum(router: &mut axum::Router, targets: Targets, count: u64) -> Measured {
    let mut measured = Measured { requests: count, ..Measured::default() };
    let mut requests = (0..).map(|number| {
        let request = axum::http::Request::get(targets.get(number)).header("host", "localhost");
        request.body(axum::body::Body::empty()).expect("valid")
    });
    let mut left = count;
    while left > 0 {
        let batch = left.min(PIPELINED);
        let requests: Vec<AxumRequest> = requests.by_ref().take(batch as usize).collect();
        let mut responses = Vec::with_capacity(requests.len());
        let allocations = ALLOCATIONS.get();
        let start = Instant::now();
        for request in requests {
            let mut call = pin!(tower_service::Service::call(router, request));
            let Poll::Ready(Ok(response)) = call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            else {
                panic!("the handler does not wait");
            };
            responses.push(response);
        }
        measured.time += start.elapsed();
        measured.allocations += ALLOCATIONS.get() - allocations;
        assert!(responses.iter().all(|response| response.status() == 200));
        left -= batch;
    }
    measured
}

fn per_request(measured: Measured) -> f64 {
    measured.allocations as f64 / measured.requests as f64
}

fn dispatch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dispatch");
    group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    for middlewares in [0, 3] {
        let mut socket = start_ours(middlewares);
        let mut router = axums(middlewares);
        // Each route's memory is there after its first request.
        measure_ours(&mut socket, Targets::AllRoutes, ROUTES as u64);
        let allocations = per_request(measure_ours(&mut socket, Targets::AllRoutes, 1000));
        println!("ringhttp, {middlewares} middlewares: {allocations} allocations");
        assert!(allocations <= ALLOCATIONS_MAX, "{allocations} allocations per dispatch");
        let allocations = per_request(measure_axum(&mut router, Targets::AllRoutes, 1000));
        println!("axum, {middlewares} middlewares: {allocations} allocations");
        for targets in [Targets::OneRoute, Targets::AllRoutes, Targets::Repeated] {
            let name = format!("{middlewares}_middlewares{}", targets.suffix());
            group.bench_function(format!("ringhttp_{name}"), |bencher| {
                bencher.iter_custom(|count| measure_ours(&mut socket, targets, count).time);
            });
            group.bench_function(format!("axum_{name}"), |bencher| {
                bencher.iter_custom(|count| measure_axum(&mut router, targets, count).time);
            });
        }
    }
    group.bench_function("reading_the_clock", |bencher| {
        bencher.iter_custom(|count| (0..count).map(|_| Instant::now().elapsed()).sum());
    });
    group.finish();
}

criterion_group!(benches, dispatch);
criterion_main!(benches);
