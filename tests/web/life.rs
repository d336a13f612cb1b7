//! What becomes of requests whose clients vanish, whose time is over, or that are too many, and answers that are kept: over
//! real sockets, on both drivers.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use ringhttp::cache::{Cache, CacheConfig};
use ringhttp::middleware::{
    ConcurrencyConfig, ConcurrencyGate, ResponseCache, ResponseCacheConfig, cache, cancel_on_disconnect,
    concurrency, deadline,
};
use ringhttp::runtime::sync::Notify;
use ringhttp::testing::{TestClient, TestResponse, each_driver, polled_only};
use ringhttp::{
    CancelOnDisconnect, CloseReason, Core, HeaderValue, IntoResponse, Method, Request, Response, Result,
    Router, Server, ServerConfig, ServerStats, header, time,
};

use crate::common::until;

/// What handlers tell the test, and what the test tells them.
#[derive(Default)]
struct Life {
    open: Cell<bool>,
    opened: Notify,
    begun: Cell<u32>,
    ended: Cell<u32>,
    dropped: Cell<u32>,
    seen: RefCell<Vec<String>>,
}

type State = Rc<Life>;

struct Running<'a>(Option<&'a Life>);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(life) = self.0 {
            life.dropped.set(life.dropped.get() + 1);
        }
    }
}

impl Life {
    /// Waits until the test lets it go; counts how that ended.
    async fn wait(&self) {
        self.begun.set(self.begun.get() + 1);
        let mut running = Running(Some(self));
        loop {
            let opened = self.opened.notified();
            if self.open.get() {
                break;
            }
            opened.await;
        }
        running.0 = None;
        self.ended.set(self.ended.get() + 1);
    }

    fn let_go(&self) {
        self.open.set(true);
        self.opened.notify_waiters();
    }
}

async fn wait(life: &State, _: Request) -> &'static str {
    life.wait().await;
    "waited"
}

/// Runs `body` on each driver against `routes`.
fn each(
    config: &ServerConfig,
    routes: impl Fn() -> Router<State> + Send + Sync,
    body: impl AsyncFn(&Core, TestClient, &State, Rc<ServerStats>) + Send + Sync,
) {
    each_driver(async |core| {
        let life = State::default();
        let server = Server::bind("127.0.0.1:0", config.clone()).expect("a free port");
        let (stats, address) = (server.stats(), server.local_addrs()[0].as_socket().expect("TCP"));
        let (here, state, routes) = (core.clone(), Rc::clone(&life), routes());
        let served = core.spawn("server", async move { server.serve(&here, routes, state).await });
        Box::pin(body(&core, TestClient::new(&core, address), &life, Rc::clone(&stats))).await;
        life.let_go();
        core.shutdown();
        served.await.expect("no panic").expect("no error");
        assert_eq!(stats.active.get(), 0);
    });
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    Close,
    Reset,
}

/// A client that can vanish.
async fn connect(core: &Core, address: SocketAddr, request: impl Into<Vec<u8>>) -> TcpStream {
    let request = request.into();
    let connected = core.spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        stream.write_all(&request).expect("sent");
        stream
    });
    connected.await.expect("the pool works")
}

fn leave(stream: TcpStream, how: Leave) {
    let socket = socket2::Socket::from(OwnedFd::from(stream));
    if how == Leave::Reset {
        socket.set_linger(Some(Duration::ZERO)).expect("set");
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")
}

#[test]
fn a_handler_ends_with_its_client_wherever_that_was_asked_for() {
    let routes = || {
        let asked = Router::new().get("/router", wait).with(cancel_on_disconnect(CancelOnDisconnect::End));
        Router::new()
            .get("/request", async |life: &State, request: Request| {
                request.cancel_on_disconnect(CancelOnDisconnect::End);
                life.wait().await;
            })
            .get("/route", wait)
            .last_route(|route| route.cancel_on_disconnect = Some(CancelOnDisconnect::End))
            .nest("/nested", asked)
            .get("/off", wait)
    };
    each(&ServerConfig::default(), routes, async |core, client, life, stats| {
        let mut cancelled = 0;
        for path in ["/request", "/route", "/nested/router"] {
            for how in [Leave::Close, Leave::Reset] {
                let begun = life.begun.get();
                let stream = connect(core, client.address(), get(path)).await;
                until("the handler begins", || life.begun.get() > begun).await;
                leave(stream, how);
                cancelled += 1;
                until("the handler is dropped", || life.dropped.get() == cancelled).await;
                until("it is counted", || stats.cancelled.get() == u64::from(cancelled)).await;
            }
        }
        until("they are closed", || stats.active.get() == 0).await;
        assert_eq!(stats.closed.get(CloseReason::PeerClosedEarly), 3);
        assert_eq!(stats.closed.get(CloseReason::TransportFailed), 3);
        let begun = life.begun.get();
        leave(connect(core, client.address(), get("/off")).await, Leave::Close);
        until("the handler begins", || life.begun.get() > begun).await;
        life.let_go();
        until("it goes on to its end", || life.ended.get() == 1).await;
        assert_eq!((life.dropped.get(), stats.cancelled.get()), (cancelled, u64::from(cancelled)));
    });
}

#[test]
fn a_half_closed_client_gets_its_answer_when_only_a_reset_counts() {
    let mut config = ServerConfig::default();
    config.cancel_on_disconnect = CancelOnDisconnect::Reset;
    each(
        &config,
        || Router::new().get("/", wait),
        async |core, client, life, stats| {
            let stream = connect(core, client.address(), get("/")).await;
            stream.shutdown(Shutdown::Write).expect("open");
            until("the handler begins", || life.begun.get() == 1).await;
            time::sleep(Duration::from_millis(20)).await;
            assert_eq!((life.dropped.get(), stats.active.get()), (0, 1));
            life.let_go();
            let answer = core.spawn_blocking(move || {
                let mut answer = String::new();
                (&stream).read_to_string(&mut answer).expect("answered");
                answer
            });
            assert!(answer.await.expect("read").ends_with("waited"));

            life.open.set(false);
            let stream = connect(core, client.address(), get("/")).await;
            until("the handler begins", || life.begun.get() == 2).await;
            leave(stream, Leave::Reset);
            until("a reset ends it", || life.dropped.get() == 1).await;
            assert_eq!(stats.cancelled.get(), 1);
        },
    );
}

#[test]
fn what_is_pipelined_while_a_handler_is_watched_is_answered_in_order() {
    let mut config = ServerConfig::default();
    config.cancel_on_disconnect = CancelOnDisconnect::End;
    let routes = || {
        Router::new()
            .get("/wait", wait)
            .get("/{n}", async |_: &State, request: Request| request.param::<String>("n"))
    };
    each(&config, routes, async |_, client, life, _| {
        let mut connection = client.raw(get("/wait")).await;
        until("the handler begins", || life.begun.get() == 1).await;
        for byte in get("/0").bytes() {
            connection.send([byte]).await;
        }
        let more: String = (1..3000).map(|number| get(&format!("/{number}"))).collect();
        connection.send(more).await;
        life.let_go();
        assert_eq!(connection.response(&Method::GET).await.text(), "waited");
        for number in 0..3000 {
            assert_eq!(connection.response(&Method::GET).await.text(), number.to_string());
        }
    });
}

#[test]
fn shielded_work_outlives_its_client_and_is_bounded() {
    let mut config = ServerConfig::default();
    config.cancel_on_disconnect = CancelOnDisconnect::End;
    config.shielded_max = 2;
    let routes = || {
        Router::new()
            .get("/pay", async |life: &State, request: Request| -> Result<&'static str> {
                let (life, running) = (Rc::clone(life), Running(Some(life)));
                request.shield(async move { life.wait().await }).await?;
                drop(running);
                Ok("paid")
            })
            .get("/panic", async |_: &State, request: Request| {
                request.shield(async { panic!("on purpose") }).await.map(|(): ()| "never")
            })
    };
    each(&config, routes, async |core, client, life, stats| {
        assert_eq!(client.get("/panic").await.status, 500);
        for left in 1..=2 {
            let stream = connect(core, client.address(), get("/pay")).await;
            until("the work begins", || life.begun.get() == left).await;
            leave(stream, Leave::Close);
            until("the handler is dropped", || life.dropped.get() == left).await;
        }
        assert_eq!(client.get("/pay").await.status, 503, "as many are shielded as may be");
        assert_eq!((life.begun.get(), life.ended.get(), stats.cancelled.get()), (2, 0, 2));
        life.let_go();
        until("the work is done all the same", || life.ended.get() == 2).await;
        assert_eq!(client.get("/pay").await.text(), "paid");
    });
}

#[test]
fn the_stop_waits_for_shielded_work() {
    each_driver(async |core| {
        let mut config = ServerConfig::default();
        config.cancel_on_disconnect = CancelOnDisconnect::End;
        let routes = Router::new().get("/", async |life: &State, request: Request| {
            let life = Rc::clone(life);
            request.shield(async move { life.wait().await }).await
        });
        let (life, server) = (State::default(), Server::bind("127.0.0.1:0", config).expect("a free port"));
        let (stats, address) = (server.stats(), server.local_addrs()[0].as_socket().expect("TCP"));
        let (here, state) = (core.clone(), Rc::clone(&life));
        let served = core.spawn("server", async move { server.serve(&here, routes, state).await });
        let stream = connect(&core, address, get("/")).await;
        until("the work begins", || life.begun.get() == 1).await;
        leave(stream, Leave::Close);
        until("nobody is connected", || stats.active.get() == 0).await;
        core.shutdown();
        core.stopping().await;
        time::sleep(Duration::from_millis(50)).await;
        assert!(!served.is_finished());
        life.let_go();
        served.await.expect("no panic").expect("no error");
        assert_eq!(life.ended.get(), 1);
    });
}

#[test]
fn a_passed_deadline_is_504_drops_the_handler_and_keeps_the_connection() {
    async fn looks(life: &State, request: Request) -> String {
        let (own, current) = (request.deadline(), ringhttp::deadline::current());
        let mut inner = None;
        if let Some(at) = own {
            let core = Core::current().expect("on a core");
            let late = at + Duration::from_secs(9);
            let within = ringhttp::deadline::within(core.timers(), late, async {
                ringhttp::deadline::current() == Some(at)
            });
            inner = within.await.ok();
        }
        let spawned =
            Core::current().expect("on a core").spawn("spawned", async { ringhttp::deadline::current() });
        life.seen.borrow_mut().push(format!("{inner:?}"));
        format!("{} {}", own.is_some() && own == current, spawned.await.expect("no panic").is_some())
    }
    let routes = || {
        let limited = Router::new()
            .get("/wait", wait)
            .get("/looks", looks)
            .get("/body", async |_: &State, mut request: Request| request.text().await)
            .with(deadline(Duration::from_millis(150)));
        Router::new()
            .nest("/limited", limited)
            .get("/route", wait)
            .last_route(|route| route.deadline = Some(Duration::from_millis(30)))
            .get("/looks", looks)
    };
    each(&ServerConfig::default(), routes, async |_, client, life, stats| {
        let mut connection = client.raw("").await;
        for (number, path) in ["/limited/wait", "/route", "/limited/wait"].into_iter().enumerate() {
            connection.send(get(path)).await;
            let response = connection.response(&Method::GET).await;
            assert_eq!((response.status.as_u16(), response.header("connection")), (504, None), "{path}");
            assert_eq!(life.dropped.get() as usize, number + 1);
        }
        connection.send(get("/limited/looks")).await;
        assert_eq!(connection.response(&Method::GET).await.text(), "true false");
        connection.send(get("/looks")).await;
        assert_eq!(connection.response(&Method::GET).await.text(), "false false");
        assert_eq!(*life.seen.borrow(), ["Some(true)", "None"]);
        assert_eq!(stats.deadlines_passed.get(), 3);
        // A body that stalls is dropped half way, and the connection with it: its rest never comes.
        let mut stalls =
            client.raw("GET /limited/body HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc").await;
        assert_eq!(stalls.response(&Method::GET).await.status.as_u16(), 504);
        life.let_go();
        connection.send(get("/limited/wait")).await;
        assert_eq!(connection.response(&Method::GET).await.text(), "waited");
    });
}

thread_local! {
    /// The gate of the routes that run on this thread.
    static GATE: RefCell<Option<ConcurrencyGate>> = const { RefCell::new(None) };
    static ANSWERS: RefCell<Option<ResponseCache>> = const { RefCell::new(None) };
}

fn gated(change: impl FnOnce(&mut ConcurrencyConfig)) -> Router<State> {
    let mut config = ConcurrencyConfig::default();
    change(&mut config);
    let gate = ConcurrencyGate::new(config);
    GATE.set(Some(gate.clone()));
    Router::new()
        .get("/", wait)
        .get("/panic", async |_: &State, _: Request| -> &'static str { panic!("on purpose") })
        .with(concurrency(gate))
}

fn gate() -> ConcurrencyGate {
    GATE.with_borrow(|gate| gate.clone().expect("made with the routes"))
}

fn is_503(response: &TestResponse, retry_after: &str) {
    assert_eq!(response.status, 503);
    assert_eq!(response.header("retry-after"), Some(retry_after));
}

#[test]
fn requests_beyond_the_limit_wait_in_order_and_beyond_the_line_are_refused() {
    let mut config = ServerConfig::default();
    config.cancel_on_disconnect = CancelOnDisconnect::End;
    let routes = || {
        gated(|config| {
            config.limit = 2;
            config.queue_max = 2;
            config.queue_age_max = Duration::from_secs(60);
            config.retry_after = Duration::from_millis(1500);
        })
    };
    each(&config, routes, async |core, client, life, _| {
        let (gate, mut clients) = (gate(), Vec::new());
        for (number, expected) in [(1, 0), (2, 0), (2, 1), (2, 2)].into_iter() {
            clients.push(connect(core, client.address(), get("/")).await);
            until("they come in", || (gate.running(), gate.waiting()) == (number, expected)).await;
        }
        assert!(gate.is_shedding());
        is_503(&client.get("/").await, "2");
        assert_eq!((gate.shed(), life.begun.get()), (1, 2));
        // One that vanishes from the line leaves it.
        leave(clients.remove(2), Leave::Close);
        until("it left the line", || gate.waiting() == 1).await;
        assert!(!gate.is_shedding());
        // One that vanishes from its handler gives its place to the first in line.
        leave(clients.remove(0), Leave::Reset);
        until("the next begins", || life.begun.get() == 3).await;
        assert_eq!((gate.running(), gate.waiting(), life.dropped.get()), (2, 0, 1));
        life.let_go();
        until("all are done", || gate.running() == 0).await;
        for _ in 0..5 {
            assert_eq!(client.get("/panic").await.status, 500);
        }
        assert_eq!(client.get("/").await.text(), "waited");
        assert_eq!((gate.running(), gate.waiting()), (0, 0), "no permit is lost");
    });
}

#[test]
fn a_line_that_does_not_move_refuses_newcomers_and_then_those_in_it() {
    let routes = || {
        gated(|config| {
            config.limit = 1;
            config.queue_age_max = Duration::from_millis(50);
            config.wait_max = Duration::from_millis(1000);
        })
    };
    each(&ServerConfig::default(), routes, async |core, client, life, _| {
        let gate = gate();
        let first = connect(core, client.address(), get("/")).await;
        until("it runs", || gate.running() == 1).await;
        let waits = client.clone();
        let waits = core.spawn("waits", async move { waits.get("/").await });
        until("it waits", || gate.waiting() == 1).await;
        until("the line is old", || gate.is_shedding()).await;
        is_503(&client.get("/").await, "1");
        is_503(&waits.await.expect("answered"), "1");
        assert!(!gate.is_shedding(), "nobody waits any more");
        assert_eq!((gate.shed(), life.begun.get()), (2, 1));
        life.let_go();
        until("the first is done", || gate.running() == 0).await;
        assert_eq!(client.get("/").await.text(), "waited");
        drop(first);
    });
}

fn kept(change: impl FnOnce(&mut ResponseCacheConfig), router: Router<State>) -> Router<State> {
    let mut config = ResponseCacheConfig::default();
    change(&mut config);
    let answers = ResponseCache::new(config);
    ANSWERS.set(Some(answers.clone()));
    router.with(cache(answers))
}

fn answers() -> ResponseCache {
    ANSWERS.with_borrow(|answers| answers.clone().expect("made with the routes"))
}

/// An answer that tells how many were made, with the fields that the query names (`_` for a space).
async fn numbered(life: &State, request: Request) -> Response {
    life.begun.set(life.begun.get() + 1);
    let language = request.header("accept-language").and_then(|value| value.to_str().ok()).unwrap_or("none");
    let mut response = format!("{} {language}", life.begun.get()).into_response();
    for field in request.query_string().unwrap_or_default().split('&').filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once('=').expect("a field");
        let name: header::HeaderName = name.parse().expect("a name");
        response
            .headers_mut()
            .append(name, HeaderValue::from_str(&value.replace('_', " ")).expect("a value"));
    }
    response
}

#[test]
fn answers_that_may_be_shared_are_kept_and_others_are_not() {
    let routes = || {
        let router = Router::new()
            .get("/", numbered)
            .post("/", async |_: &State, _: Request| ())
            .get("/stream", async |life: &State, _: Request| {
                life.begun.set(life.begun.get() + 1);
                Response::stream(async |mut out| out.write("streamed").await)
            })
            .get("/large", async |life: &State, _: Request| {
                life.begun.set(life.begun.get() + 1);
                "x".repeat(2000)
            })
            .get("/teapot", async |life: &State, _: Request| {
                life.begun.set(life.begun.get() + 1);
                (ringhttp::StatusCode::IM_A_TEAPOT, "short and stout")
            });
        kept(|config| config.body_bytes_max = 1000, router)
    };
    // A path, a field of the request, and whether the second one to ask is given what the first one was.
    const CASES: &[(&str, &str, bool)] = &[
        ("/", "", true),
        ("/?x-kind=a", "", true),
        ("/?cache-control=max-age=60", "", true),
        ("/?expires=Fri,_31_Dec_9999_23:59:59_GMT", "", true),
        ("/?cache-control=max-age=60&expires=0", "", true),
        ("/?expires=0", "", false),
        ("/?expires=Thu,_01_Jan_1970_00:00:00_GMT", "", false),
        ("/?cache-control=max-age=0,s-maxage=60", "", true),
        ("/?vary=x-other", "", true),
        ("/?x-ask=1", "cache-control: no-cache", true),
        ("/?cache-control=no-store", "", false),
        ("/?cache-control=private", "", false),
        ("/?cache-control=no-cache", "", false),
        ("/?cache-control=max-age=0", "", false),
        ("/?cache-control=max-age=60&age=60", "", false),
        ("/?set-cookie=a=b", "", false),
        ("/?vary=*", "", false),
        ("/?connection=close", "", false),
        ("/?x-kind=1", "authorization: Basic YTpi", false),
        ("/?x-kind=2", "cookie: a=b", false),
        ("/?x-kind=3", "range: bytes=0-1", false),
        ("/?x-kind=4", "if-none-match: \"a\"", false),
        ("/stream", "", false),
        ("/large", "", false),
        ("/teapot", "", false),
    ];
    each(&ServerConfig::default(), routes, async |_, client, life, _| {
        for &(path, field, shared) in CASES {
            let (name, value) = field.split_once(": ").unwrap_or(("x", "y"));
            let before = life.begun.get();
            let first = client.request(Method::GET, path).header(name, value).send().await;
            let second = client.request(Method::GET, path).header(name, value).send().await;
            assert_eq!(
                first.body == second.body && second.headers.contains_key("age"),
                shared,
                "{path} {field}"
            );
            assert_eq!(life.begun.get() - before, if shared { 1 } else { 2 }, "{path} {field}");
            assert_eq!(second.status, first.status, "{path}");
            assert_eq!(first.header("age").is_some(), path.contains("age=60&age"), "{path}");
        }
        // What is kept is given to HEAD and to conditional requests, in full.
        let kept = client.get("/").await;
        let head = client.request(Method::HEAD, "/").send().await;
        assert_eq!((head.header("content-length"), head.header("age")), (Some("6"), kept.header("age")));
        let conditional = client.request(Method::GET, "/").header("if-none-match", "\"a\"").send().await;
        assert_eq!(conditional.body, kept.body);
        // A request that changes what is there takes it out, if it succeeds.
        assert_eq!(client.request(Method::PUT, "/").send().await.status, 405);
        assert_eq!(client.get("/").await.body, kept.body);
        assert_eq!(client.request(Method::POST, "/").send().await.status, 204);
        assert_ne!(client.get("/").await.body, kept.body);
    });
}

#[test]
fn answers_are_found_by_host_target_and_the_fields_they_vary_by_and_taken_out() {
    let routes = || kept(|_| (), Router::new().get("/", numbered).get("/other", numbered));
    each(&ServerConfig::default(), routes, async |_, client, life, _| {
        let answers = answers();
        let ask = async |host: &str, target: &str, language: &str| {
            let request = format!(
                "GET {target} HTTP/1.1\r\nhost: {host}\r\naccept-language: {language}\r\nconnection: close\r\n\r\n"
            );
            client.raw(request).await.response(&Method::GET).await.text().to_owned()
        };
        assert_eq!(ask("a", "/", "en").await, "1 en");
        assert_eq!(ask("A", "/", "de").await, "1 en", "it does not vary");
        assert_eq!(ask("x", "http://a/", "de").await, "1 en", "the target names the host");
        assert_eq!(ask("b", "/", "en").await, "2 en");
        assert_eq!(ask("a", "/?", "en").await, "3 en");
        assert_eq!(ask("a", "/other", "en").await, "4 en");
        let varies = "/?vary=accept-language,%20x".replace("%20", "");
        assert_eq!(ask("a", &varies, "en").await, "5 en");
        assert_eq!(ask("a", &varies, "de").await, "6 de");
        assert_eq!(ask("a", &varies, "en").await, "5 en");
        assert_eq!(ask("a", &varies, "de").await, "6 de");
        answers.remove("a", &varies);
        assert_eq!(ask("a", &varies, "de").await, "7 de", "all its variants are gone");
        assert_eq!(ask("a", &varies, "en").await, "8 en");
        answers.remove("A", "/");
        assert_eq!((ask("a", "/", "en").await, ask("b", "/", "en").await), ("9 en".into(), "2 en".into()));
        answers.clear();
        assert!(answers.is_empty() && answers.bytes() == 0);
        assert_eq!(ask("b", "/", "en").await, "10 en");
        assert_eq!(life.begun.get(), 10);
    });
}

#[test]
fn answers_are_kept_for_the_host_and_scheme_that_trusted_proxies_name() {
    let whole =
        async |_: &State, req: Request| format!("{}://{}", req.scheme(), req.host().unwrap_or_default());
    let routes = || kept(|_| (), Router::new().get("/", whole).post("/", async |_: &State, _: Request| ()));
    let mut config = ServerConfig::default();
    config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    each(&config, routes, async |_, client, _, _| {
        let ask = async |method: Method, host: &str, scheme: &str| {
            let request = client.request(method, "/").header("x-forwarded-for", "192.0.2.1");
            request.header("x-forwarded-host", host).header("x-forwarded-proto", scheme).send().await
        };
        for host in ["one.example", "two.example", "one.example"] {
            for scheme in ["https", "http"] {
                let answer = ask(Method::GET, host, scheme).await;
                assert_eq!(answer.text(), format!("{scheme}://{host}"));
            }
        }
        assert_eq!(answers().len(), 4);
        answers().remove("One.example", "/");
        assert_eq!(answers().len(), 2, "of both schemes");
        assert_eq!(ask(Method::POST, "two.example", "https").await.status, 204);
        assert!(answers().is_empty());
    });
}

#[test]
fn ten_thousand_targets_stay_within_the_limits() {
    let routes = || {
        let large = async |_: &State, _: Request| "x".repeat(10_000);
        let change = |config: &mut ResponseCacheConfig| {
            config.entries_max = 100;
            config.bytes_max = 500_000;
        };
        kept(
            change,
            Router::new().get("/{n}", async |_: &State, _: Request| "small").get("/large/{n}", large),
        )
    };
    each(&ServerConfig::default(), routes, async |_, client, _, _| {
        let answers = answers();
        let mut connection = client.raw("").await;
        for (prefix, count) in [("", 10_000), ("/large", 500)] {
            for batch in 0..count / 100 {
                let requests: String =
                    (0..100).map(|number| get(&format!("{prefix}/{}", batch * 100 + number))).collect();
                connection.send(requests).await;
                for _ in 0..100 {
                    assert_eq!(connection.response(&Method::GET).await.status, 200);
                }
                assert!(answers.len() <= 100 && answers.bytes() <= 500_000, "{answers:?}");
            }
        }
        let stats = answers.stats().expect("it was asked");
        assert!(stats.evictions.get() > 10_000);
    });
}

#[test]
fn one_handler_makes_the_answer_for_all_whoever_vanishes() {
    async fn slow(life: &State, request: Request) -> Result<String> {
        life.wait().await;
        if request.query_string() == Some("panic") && life.ended.get() == 1 {
            panic!("on purpose");
        }
        Ok(format!("made by {}", life.ended.get()))
    }
    let mut config = ServerConfig::default();
    config.cancel_on_disconnect = CancelOnDisconnect::End;
    each(
        &config,
        || kept(|_| (), Router::new().get("/", slow)),
        async |core, client, life, stats| {
            let leader = connect(core, client.address(), get("/")).await;
            until("the first one asks the handler", || life.begun.get() == 1).await;
            let follower = connect(core, client.address(), get("/")).await;
            let others: Vec<_> = (0..5)
                .map(|_| {
                    let other = client.clone();
                    core.spawn("client", async move {
                        other.raw(get("/")).await.response(&Method::GET).await.text().to_owned()
                    })
                })
                .collect();
            until("all are here", || stats.requests.get() == 7).await;
            assert_eq!(life.begun.get(), 1);
            leave(follower, Leave::Close);
            until("a follower that vanishes is forgotten", || stats.cancelled.get() == 1).await;
            assert_eq!((life.begun.get(), life.dropped.get()), (1, 0));
            leave(leader, Leave::Reset);
            until("another one takes over", || life.begun.get() == 2).await;
            assert_eq!(life.dropped.get(), 1);
            life.let_go();
            for other in others {
                assert_eq!(other.await.expect("answered"), "made by 1");
            }
            assert_eq!(life.begun.get(), 2);
        },
    );
    each(
        &config,
        || kept(|_| (), Router::new().get("/", slow)),
        async |core, client, life, stats| {
            let asks: Vec<_> = (0..4)
                .map(|_| {
                    let asks = client.clone();
                    core.spawn("client", async move {
                        asks.raw(get("/?panic")).await.response(&Method::GET).await.status.as_u16()
                    })
                })
                .collect();
            until("all are here", || stats.requests.get() == 4).await;
            life.let_go();
            let mut statuses = Vec::new();
            for ask in asks {
                statuses.push(ask.await.expect("answered"));
            }
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 200, 200, 500], "one panicked, the next one made it for the rest");
        },
    );
}

#[test]
fn a_cache_in_the_state_is_filled_once_and_survives_its_first_client() {
    async fn user(life: &State, users: &Cache<u32, Rc<str>, ringhttp::Error>) -> Result<String, u16> {
        let found = users.get_or_fill(7, async || {
            life.wait().await;
            Ok("ada".into())
        });
        found.await.map(|name| name.to_string()).map_err(|error| error.status().as_u16())
    }
    each_driver(async |core| {
        let life = State::default();
        let users = Cache::new(core.timers(), CacheConfig::default());
        let first = core.spawn("first", {
            let (life, users) = (Rc::clone(&life), users.clone());
            async move { user(&life, &users).await }
        });
        until("it fills", || life.begun.get() == 1).await;
        let second = core.spawn("second", {
            let (life, users) = (Rc::clone(&life), users.clone());
            async move { user(&life, &users).await }
        });
        core.yield_now().await;
        let _ = first.cancel_and_wait().await;
        until("the second one fills", || life.begun.get() == 2).await;
        life.let_go();
        assert_eq!(second.await.expect("no panic").as_deref(), Ok("ada"));
        assert_eq!(users.get(&7).as_deref(), Some("ada"));
    });
}

#[test]
fn sleeps_and_timeouts_may_be_dropped_after_any_poll() {
    each_driver(async |core| {
        let timers = core.timers();
        let (millisecond, hour) = (Duration::from_millis(1), Duration::from_secs(3600));
        for round in 0..200 {
            let polls = round % 4;
            let _ = polled_only(polls, timers.sleep(millisecond)).await;
            let _ = polled_only(polls, timers.timeout(millisecond, std::future::pending::<()>())).await;
            let _ = polled_only(polls, timers.timeout(hour, core.yield_now())).await;
            // Nothing would wake these for a second poll.
            let _ = polled_only(polls.min(1), timers.sleep(hour)).await;
            let _ = polled_only(polls.min(1), timers.timeout(hour, std::future::pending::<()>())).await;
        }
        // Those that were dropped fire no more, and those that come after them do.
        timers.sleep(3 * millisecond).await;
        let elapsed = timers.timeout(millisecond, std::future::pending::<()>()).await;
        assert!(elapsed.is_err());
        assert_eq!(timers.timeout(hour, async { 7 }).await, Ok(7));
    });
}

#[test]
fn reads_of_a_body_may_be_dropped_after_any_poll() {
    /// Drops a read after as many polls as the query says, then reads what is left.
    async fn twice(life: &State, mut request: Request) -> Result<String> {
        let polls = request.query_string().and_then(|query| query.parse().ok()).unwrap_or(0);
        let first = match request.path() {
            "/bytes" => polled_only(polls, request.bytes()).await.map(|read| read.map(|bytes| bytes.len())),
            "/text" => polled_only(polls, request.text()).await.map(|read| read.map(|text| text.len())),
            _ => polled_only(polls, request.json::<Vec<u8>>()).await.map(|read| read.map(|list| list.len())),
        };
        life.seen.borrow_mut().push(format!("{:?}", first.is_some()));
        let done = first.is_some();
        drop(first);
        let mut rest = Vec::new();
        while let Some(piece) = request.chunk().await? {
            rest.extend_from_slice(&piece);
        }
        Ok(format!(
            "{done} {}",
            if rest.is_empty() || b"[1,2,3,4]".ends_with(&rest) { "rest" } else { "garbled" }
        ))
    }
    let routes = || Router::new().post("/bytes", twice).post("/text", twice).post("/json", twice);
    each(&ServerConfig::default(), routes, async |_, client, life, _| {
        for path in ["/bytes", "/text", "/json"] {
            let mut connection = client.raw("").await;
            for polls in 0..8 {
                connection
                    .send(format!(
                        "POST {path}?{polls} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n"
                    ))
                    .await;
                for byte in b"[1,2,3,4]" {
                    connection.send([*byte]).await;
                }
                let response = connection.response(&Method::POST).await;
                assert_eq!(response.status, 200, "{path} {polls}");
                assert!(response.text().ends_with(" rest"), "{path} {polls}: {}", response.text());
            }
        }
        assert!(life.seen.borrow().iter().any(|done| done == "false"), "some were dropped before their end");
    });
}
