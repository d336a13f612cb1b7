//! Ready-made middleware and the access log over real sockets, on both drivers.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use ringhttp::middleware::{self, CorsConfig, CorsHeaders, Health, Origins, RateLimit, SecurityHeaders};
use ringhttp::testing::{TestClient, TestResponse, drivers, each_driver, serve_on};
use ringhttp::{
    AccessLog, Core, Cores, Driver, Error, Request, Response, Result, Router, RuntimeConfig, Server,
    ServerConfig,
};

/// Why a lock is never poisoned.
const WHOLE: &str = "nobody panics while holding it";

/// Runs `body` against a router on both drivers.
fn with_router(router: impl Fn() -> Router<()> + Send + Sync, body: impl AsyncFn(TestClient) + Send + Sync) {
    each_driver(async |core: Core| {
        serve_on(&core, ServerConfig::default(), router(), (), &body).await;
    });
}

#[derive(Default)]
struct Seen(RefCell<Vec<String>>);

#[test]
fn timing_sees_every_answer_with_its_route() {
    each_driver(async |core: Core| {
        let seen = Rc::new(Seen::default());
        let inner = Router::new().get("/{id}", async |_: &Rc<Seen>, _| "user").with(middleware::timing(
            |seen: &Rc<Seen>, timing| {
                seen.0.borrow_mut().push(format!("inner {}", timing.route));
            },
        ));
        let router = Router::new()
            .nest("/users", inner)
            .get("/fails", async |_: &Rc<Seen>, _| -> Result { Err(Error::not_found("nothing")) })
            .with(middleware::server_timing())
            .with(middleware::timing(|seen: &Rc<Seen>, timing| {
                assert!(timing.elapsed < Duration::from_secs(10));
                let (method, route, status) = (timing.method_label(), timing.route, timing.status.as_u16());
                seen.0.borrow_mut().push(format!("{method} {route} {status}"));
            }));
        serve_on(&core, ServerConfig::default(), router, Rc::clone(&seen), async |client| {
            for path in ["/users/7", "/fails", "/nowhere"] {
                let response = client.get(path).await;
                let value = response.header("server-timing").expect("every answer has it");
                let millis = value.strip_prefix("app;dur=").and_then(|rest| rest.parse::<f64>().ok());
                assert!(millis.is_some_and(|millis| millis < 10_000.0), "{value}");
            }
            client.request(Method::POST, "/users/7").send().await;
            client.request("MADEUP".parse().expect("a token"), "/users/7").send().await;
        })
        .await;
        let expected = [
            "inner /users/{id}",
            "GET /users/{id} 200",
            "GET /fails 404",
            "GET  404",
            "inner /users/{id}",
            "POST /users/{id} 405",
            "inner /users/{id}",
            "OTHER /users/{id} 405",
        ];
        assert_eq!(*seen.0.borrow(), expected);
    });
}

#[test]
fn a_panic_is_answered_and_the_connection_goes_on() {
    each_driver(async |core: Core| {
        let router = Router::new()
            .get("/now", async |_: &(), req: Request| -> &str { panic!("at {}", req.path()) })
            .get("/later", async |(): &(), _| -> &str {
                ringhttp::time::sleep(Duration::from_millis(1)).await;
                panic!("later")
            })
            .get("/fine", async |_: &(), req: Request| req.server_stats().panics.get().to_string())
            .with(middleware::catch_panic(|(): &(), panic| {
                (StatusCode::INTERNAL_SERVER_ERROR, format!("caught: {}", panic.message()))
            }));
        serve_on(&core, ServerConfig::default(), router, (), async |client| {
            let mut connection = client.raw("").await;
            for (path, status, text) in
                [("/now", 500, "caught: at /now"), ("/later", 500, "caught: later"), ("/fine", 200, "2")]
            {
                connection.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
                let response = connection.response(&Method::GET).await;
                assert_eq!((response.status.as_u16(), response.text()), (status, text));
            }
        })
        .await;
    });
}

#[test]
fn a_request_has_one_id() {
    let router = || {
        Router::new()
            .get("/", async |(): &(), req: Request| req.request_id().unwrap_or_default().to_owned())
            .with(middleware::request_id(Default::default()))
    };
    with_router(router, async |client| {
        let asked = async |id: &str| client.request(Method::GET, "/").header("x-request-id", id).send().await;
        let taken = asked("abc-1").await;
        assert_eq!((taken.text(), taken.header("x-request-id")), ("abc-1", Some("abc-1")));
        let (first, second) = (client.get("/").await, client.get("/").await);
        assert_eq!(first.header("x-request-id"), Some(first.text()));
        assert!(first.text().len() == 32 && first.text() != second.text());
        for hostile in ["a\"b", "a b", &"a".repeat(129), "\u{e4}", "<script>"] {
            let response = asked(hostile).await;
            assert_eq!((response.status.as_u16(), response.text().len()), (200, 32), "{hostile:?}");
        }
        assert_eq!(client.get("/nowhere").await.header("x-request-id").map(str::len), Some(32));
    });
}

#[test]
fn fields_are_added_where_they_are_missing() {
    let router = || {
        let mut defaults = HeaderMap::new();
        defaults.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        defaults.append("x-two", HeaderValue::from_static("1"));
        defaults.append("x-two", HeaderValue::from_static("2"));
        let mut security = SecurityHeaders::default();
        security.hsts_max_age = Some(Duration::from_secs(60));
        security.opener_policy = None;
        let own = async |(): &(), _: Request| {
            Response::text("own")
                .with_header(header::CACHE_CONTROL, HeaderValue::from_static("max-age=5"))
                .with_header(header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"))
        };
        let inner = Router::new().get("/own", own).with(middleware::default_headers(defaults));
        Router::new().nest("/inner", inner).with(middleware::security_headers(security))
    };
    with_router(router, async |client| {
        let own = client.get("/inner/own").await;
        assert_eq!(own.header("cache-control"), Some("max-age=5"));
        assert_eq!(own.headers.get_all("x-two").iter().count(), 2);
        assert_eq!(own.header("x-frame-options"), Some("SAMEORIGIN"));
        let missing = client.get("/elsewhere").await;
        assert_eq!(missing.status, StatusCode::NOT_FOUND);
        let expected = [
            ("cache-control", None),
            ("strict-transport-security", Some("max-age=60; includeSubDomains")),
            ("x-content-type-options", Some("nosniff")),
            ("referrer-policy", Some("no-referrer")),
            ("x-frame-options", Some("DENY")),
            ("content-security-policy", Some("frame-ancestors 'none'")),
            ("cross-origin-opener-policy", None),
            ("cross-origin-resource-policy", Some("same-origin")),
            ("permissions-policy", None),
        ];
        for (name, value) in expected {
            assert_eq!(missing.header(name), value, "{name}");
        }
    });
}

#[test]
fn a_body_beyond_the_limit_is_refused() {
    let router = || {
        let read =
            async |(): &(), mut req: Request| -> Result<String> { Ok(req.bytes().await?.len().to_string()) };
        let inner = Router::new().post("/small", read).with(middleware::body_limit(4));
        Router::new().post("/large", read).nest("/inner", inner).with(middleware::body_limit(10))
    };
    with_router(router, async |client| {
        let chunked = "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
        let cases = [
            ("/large", "content-length: 10\r\n\r\n0123456789", 200),
            ("/large", "content-length: 11\r\n\r\n0123456789a", 413),
            ("/large", "content-length: 99999999999\r\nexpect: 100-continue\r\n\r\n", 413),
            ("/large", chunked, 413),
            ("/inner/small", "content-length: 4\r\n\r\n0123", 200),
            ("/inner/small", "content-length: 5\r\n\r\n01234", 413),
        ];
        for (path, rest, status) in cases {
            let mut connection = client.raw(format!("POST {path} HTTP/1.1\r\nhost: a\r\n{rest}")).await;
            let response = connection.response(&Method::POST).await;
            assert_eq!(response.status.as_u16(), status, "{path} {rest}");
        }
    });
}

/// A preflight of `origin` for `method` and `headers`.
async fn preflight(client: &TestClient, origin: &str, method: &str, headers: &str) -> TestResponse {
    let request = client.request(Method::OPTIONS, "/things").header("origin", origin);
    let request = request.header("access-control-request-method", method);
    let request =
        if headers.is_empty() { request } else { request.header("access-control-request-headers", headers) };
    request.send().await
}

#[test]
fn other_origins_are_allowed_as_configured() {
    let router = || {
        let mut config = CorsConfig::default();
        config.origins =
            Origins::List(vec!["https://app.example".to_owned(), "http://localhost:3000".to_owned()]);
        config.methods.push(Method::DELETE);
        config.credentials = true;
        config.expose = vec![HeaderName::from_static("x-total")];
        config.private_network = true;
        let routes = Router::new().get("/things", async |(): &(), _| "things");
        routes.with(middleware::cors(config).expect("a good configuration"))
    };
    with_router(router, async |client| {
        let allowed = preflight(&client, "https://app.example", "DELETE", "Content-Type").await;
        let expected = [
            ("access-control-allow-origin", Some("https://app.example")),
            ("access-control-allow-credentials", Some("true")),
            ("access-control-allow-methods", Some("GET, HEAD, POST, DELETE")),
            ("access-control-allow-headers", Some("content-type")),
            ("access-control-max-age", Some("3600")),
            ("access-control-allow-private-network", None),
        ];
        assert_eq!(allowed.status, StatusCode::NO_CONTENT);
        for (name, value) in expected {
            assert_eq!(allowed.header(name), value, "{name}");
        }
        let vary: Vec<_> =
            allowed.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(vary.join(", "), "origin, access-control-request-method, access-control-request-headers");

        let refused = [
            ("https://other.example", "GET", "", "this origin is not allowed"),
            ("https://app.example.evil", "GET", "", "this origin is not allowed"),
            ("http://app.example", "GET", "", "this origin is not allowed"),
            ("null", "GET", "", "this origin is not allowed"),
            ("https://app.example", "PATCH", "", "this method is not allowed"),
            ("https://app.example", "get", "", "this method is not allowed"),
            ("https://app.example", "GET", "x-other", "the header `x-other` is not allowed"),
            ("https://app.example", "GET", "a b", "the requested headers are no list of names"),
            ("https://app.example", "GET", &"x,".repeat(65), "the requested headers are no list of names"),
        ];
        for (origin, method, headers, why) in refused {
            let response = preflight(&client, origin, method, headers).await;
            assert_eq!(response.status, StatusCode::FORBIDDEN, "{origin} {method} {headers}");
            assert_eq!(response.text(), format!("CORS: {why}\n"));
            assert_eq!(response.header("access-control-allow-origin"), None);
            assert!(response.headers.contains_key("vary"));
        }

        for (path, status) in [("/things", 200), ("/nowhere", 404)] {
            let ask = |origin| client.request(Method::GET, path).header("origin", origin).send();
            let (ours, theirs) = (ask("http://localhost:3000").await, ask("https://other.example").await);
            assert_eq!((ours.status.as_u16(), theirs.status.as_u16()), (status, status));
            assert_eq!(ours.header("access-control-allow-origin"), Some("http://localhost:3000"));
            assert_eq!(ours.header("access-control-expose-headers"), Some("x-total"));
            assert_eq!(theirs.header("access-control-allow-origin"), None);
            let none = client.get(path).await;
            assert_eq!(none.header("access-control-allow-origin"), None);
            assert!([ours, theirs, none].iter().all(|response| response.header("vary") == Some("origin")));
        }
        let plain =
            client.request(Method::OPTIONS, "/things").header("origin", "http://localhost:3000").send().await;
        assert_eq!((plain.status.as_u16(), plain.header("allow")), (204, Some("GET, HEAD, OPTIONS")));
        let private = client
            .request(Method::OPTIONS, "/things")
            .header("origin", "http://localhost:3000")
            .header("access-control-request-method", "GET")
            .header("access-control-request-private-network", "true");
        assert_eq!(private.send().await.header("access-control-allow-private-network"), Some("true"));
    });
}

#[test]
fn any_origin_is_a_star_and_goes_without_credentials() {
    let any = |credentials: bool| {
        let mut config = CorsConfig::default();
        config.origins = Origins::Any;
        config.headers = CorsHeaders::Any;
        config.credentials = credentials;
        config
    };
    assert!(middleware::cors::<()>(any(true)).is_err());
    for wrong in ["https://example.org/", "example.org", "https://Example.org", "*"] {
        let mut config = CorsConfig::default();
        config.origins = Origins::List(vec![wrong.to_owned()]);
        assert!(middleware::cors::<()>(config).is_err(), "{wrong}");
    }
    let router = || {
        let mut by_function = CorsConfig::default();
        by_function.origins = Origins::Where(Rc::new(|origin| origin.ends_with(".example")));
        let inner =
            Router::new().get("/", async |(): &(), _| "").with(middleware::cors(by_function).unwrap());
        let open = Router::new().get("/", async |(): &(), _| "").with(middleware::cors(any(false)).unwrap());
        Router::new().nest("/function", inner).nest("/things", open)
    };
    with_router(router, async |client| {
        let response = preflight(&client, "null", "POST", "authorization, x-a").await;
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        assert_eq!(response.header("access-control-allow-headers"), Some("authorization, x-a"));
        assert_eq!(response.header("access-control-allow-credentials"), None);
        let asked = async |origin: &str| {
            let response = client.request(Method::GET, "/function").header("origin", origin).send().await;
            response.header("access-control-allow-origin").map(str::to_owned)
        };
        assert_eq!(asked("https://a.example").await.as_deref(), Some("https://a.example"));
        assert_eq!(asked("https://a.example.org").await, None);
    });
}

#[test]
fn readiness_ends_with_the_first_step_of_the_stop() {
    each_driver(async |core: Core| {
        let passes = Rc::new(Cell::new(false));
        let health = Health::new()
            .check("data", Duration::from_secs(5), async |passes: &Rc<Cell<bool>>| {
                let failed = || Error::new(StatusCode::SERVICE_UNAVAILABLE).with_text("\"no\" data");
                if passes.get() { Ok(()) } else { Err(failed()) }
            })
            .check("slow", Duration::from_millis(5), async |passes: &Rc<Cell<bool>>| {
                if !passes.get() {
                    std::future::pending::<()>().await;
                }
                Ok(())
            })
            .drain_delay(&core, Duration::from_secs(1));
        let router = Router::new().nest("/", health.routes());
        let stop = core.clone();
        serve_on(&core, ServerConfig::default(), router, Rc::clone(&passes), async |client| {
            let refused = client.get("/ready").await;
            assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
            let expected =
                "{\"status\":\"not ready\",\"failed\":{\"data\":\"\\\"no\\\" data\",\"slow\":\"takes too long\"}}\n";
            assert_eq!(refused.text(), expected);
            passes.set(true);
            let ready = client.get("/ready").await;
            assert_eq!((ready.status, ready.text()), (StatusCode::OK, "{\"status\":\"ready\"}\n"));
            let health = client.get("/health").await;
            assert!(health.text().starts_with("{\"status\":\"ok\",\"uptime_seconds\":"), "{}", health.text());
            assert!(health.text().ends_with("\"core\":0,\"cores\":1,\"request_count\":3,\"connections\":1,\"panics\":0}\n"));
            assert_eq!(health.header("content-type"), Some("application/json"));
            stop.shutdown();
            // On new connections: the listener is open still.
            let stopping = client.get("/ready").await;
            assert_eq!((stopping.status.as_u16(), stopping.text()), (503, "{\"status\":\"stopping\"}\n"));
            let alive = client.get("/health").await;
            assert_eq!(alive.status, StatusCode::OK);
            assert!(alive.text().starts_with("{\"status\":\"stopping\""));
        })
        .await;
    });
}

fn limited(limit: &RateLimit) -> Router<()> {
    let by_name = middleware::rate_limit_by(limit.clone(), |(): &(), req: &Request| {
        Some(req.header("x-name")?.to_str().ok()?.to_owned())
    });
    let named = Router::new().get("/", async |(): &(), _| "named").with(by_name.expect("a good limit"));
    let inner = Router::new().get("/", async |(): &(), _| "hello");
    let other = RateLimit::new("address", limit.limit, limit.window);
    let inner = inner.with(middleware::rate_limit(other).expect("a good limit"));
    Router::new().nest("/named", named).nest("/", inner)
}

#[test]
fn too_many_requests_are_refused_and_come_back_with_time() {
    each_driver(async |core: Core| {
        let router = limited(&RateLimit::new("api", 50, Duration::from_secs(16)));
        let timers = core.timers().clone();
        serve_on(&core, ServerConfig::default(), router, (), async |client| {
            timers.pause();
            for left in (0..50).rev() {
                let response = client.get("/").await;
                assert_eq!(response.status, StatusCode::OK, "{left} left");
                assert_eq!(response.header("ratelimit-policy"), Some("\"address\";q=50;w=16"));
                let state = response.header("ratelimit").expect("every answer has it");
                assert!(state.starts_with(&format!("\"address\";r={left};t=")), "{state}");
            }
            let refused = client.get("/").await;
            assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
            let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
            assert!((16..=17).contains(&after), "{after}");
            assert_eq!(refused.header("ratelimit"), Some(&*format!("\"address\";r=0;t={after}")));
            // Who is named is another key of another policy, and who is not named is not limited.
            let named = client.request(Method::GET, "/named").header("x-name", "ada").send().await;
            assert!(named.header("ratelimit").unwrap().starts_with("\"api\";r=49;"));
            assert_eq!(client.get("/named").await.header("ratelimit"), None);

            timers.advance(Duration::from_secs(after - 2));
            assert_eq!(client.get("/").await.status, StatusCode::TOO_MANY_REQUESTS);
            timers.advance(Duration::from_secs(2));
            assert_eq!(client.get("/").await.status, StatusCode::OK);
        })
        .await;
    });
}

#[test]
fn a_limit_that_cannot_work_is_refused() {
    let minute = Duration::from_secs(60);
    let refused = [
        RateLimit::new("", 1, minute),
        RateLimit::new("a\"b", 1, minute),
        RateLimit::new("a\r\nb", 1, minute),
        RateLimit::new("api", 0, minute),
        RateLimit::new("api", 1, Duration::from_millis(99)),
    ];
    for limit in refused {
        assert!(middleware::rate_limit::<()>(limit.clone()).is_err(), "{limit:?}");
    }
}

/// What a client saw of two cores' limit.
#[derive(Default)]
struct Tally {
    passed: AtomicU32,
    refused: AtomicU32,
    by_core: [AtomicU32; 2],
}

/// Serves a limit of 50 on two cores; each connection sends requests for `name` until it is refused.
fn two_cores(driver: Driver, name: &'static str, connections: u16) -> Arc<Tally> {
    let mut config = RuntimeConfig::default();
    config.cores = Cores::Count(2);
    config.driver = driver;
    config.pin = false;
    config.handle_signals = false;
    let tally = Arc::new(Tally::default());
    let seen = Arc::clone(&tally);
    let (address, bound) = (Mutex::new(None::<SocketAddr>), AtomicUsize::new(0));
    let result: Result<()> = ringhttp::run(config, async move |core| {
        let routes = limited(&RateLimit::new("api", 50, Duration::from_secs(60)));
        let own = core.id();
        let routes = routes.with(async move |(): &(), req: Request, next: ringhttp::Next<'_, ()>| {
            let mut response = next.run(req).await;
            response.headers_mut().insert("x-core", HeaderValue::from(own));
            response
        });
        let server = Server::bind("127.0.0.1:0", ServerConfig::default())?;
        *address.lock().expect(WHOLE) = server.local_addrs()[0].as_socket();
        bound.fetch_add(1, Ordering::SeqCst);
        if core.id() == 0 {
            while bound.load(Ordering::SeqCst) < core.count() {
                ringhttp::time::sleep(Duration::from_millis(1)).await;
            }
            let (stop, address, seen) =
                (core.clone(), address.lock().expect(WHOLE).expect("it is bound"), Arc::clone(&seen));
            let asking = core.spawn_blocking(move || ask_all(address, name, connections, &seen));
            drop(core.spawn("client", async move {
                let asked = asking.await;
                stop.shutdown();
                asked.expect("the client does not panic");
            }));
        }
        server.serve(&core, routes, ()).await
    });
    result.expect("the run ends well");
    tally
}

fn ask_all(address: SocketAddr, name: &str, connections: u16, tally: &Tally) {
    // Turn by turn, so that both cores are asked all along.
    let mut open: Vec<_> =
        (0..connections).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    for _ in 0..80 {
        for socket in &mut open {
            let head = format!("GET /named HTTP/1.1\r\nhost: a\r\nx-name: {name}\r\n\r\n");
            socket.write_all(head.as_bytes()).expect("the server reads");
            let mut answer = [0; 2048];
            let count = io::Read::read(socket, &mut answer).expect("the server answers");
            let answer = std::str::from_utf8(&answer[..count]).expect("text");
            let core =
                answer.split_once("x-core: ").and_then(|(_, rest)| rest.chars().next()).expect("its core");
            if answer.starts_with("HTTP/1.1 200 ") {
                tally.passed.fetch_add(1, Ordering::Relaxed);
                tally.by_core[usize::from(core == '1')].fetch_add(1, Ordering::Relaxed);
            } else {
                assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
                tally.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[test]
fn the_limit_holds_over_two_cores() {
    for driver in drivers() {
        let mut both_served = false;
        for name in ["ada", "grace", "edsger"] {
            // Of many connections, some land on each core.
            let tally = two_cores(driver, name, 12);
            let (passed, refused) =
                (tally.passed.load(Ordering::Relaxed), tally.refused.load(Ordering::Relaxed));
            assert_eq!(passed + refused, 12 * 80);
            // One other core, which can keep no more than 15 unused.
            assert!((35..=50).contains(&passed), "{driver:?} {name}: {passed} passed");
            both_served |= tally.by_core.iter().all(|core| core.load(Ordering::Relaxed) > 0);
        }
        assert!(both_served, "{driver:?}: in no run had both cores a part");
    }
}

#[test]
fn an_idle_core_keeps_nothing_from_the_others() {
    for driver in drivers() {
        for name in ["ada", "grace", "edsger", "barbara"] {
            // One connection is on one core, which owns the key or has to ask for each lease.
            let tally = two_cores(driver, name, 1);
            assert_eq!(tally.passed.load(Ordering::Relaxed), 50, "{driver:?} {name}");
        }
    }
}

/// A log whose lines are kept.
fn kept_lines(format: &str) -> (AccessLog, Arc<Mutex<Vec<String>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&lines);
    let log =
        if format == "json" { AccessLog::json() } else { AccessLog::new(format).expect("a good format") };
    (log.to_fn(move |line, _| keep.lock().expect(WHOLE).push(line.to_owned())), lines)
}

fn logged_routes() -> Router<()> {
    Router::new()
        .get("/hello", async |(): &(), _| "hello")
        .get("/panics", async |(): &(), _| -> &str { panic!("asked to") })
        .get("/stream", async |(): &(), _| {
            Response::stream(async |mut out| {
                out.write("0123456789").await?;
                out.write("0123456789").await
            })
        })
        .get("/fails", async |(): &(), _| {
            Response::stream(async |mut out| {
                out.write("0123456789").await?;
                Err(Error::internal("no more"))
            })
        })
        .get("/file", async |(): &(), req: Request| Response::file(&req, "Cargo.lock").await)
        .post("/echo", async |(): &(), req: Request| Response::new(req.into_body()))
        .get("/switch", async |(): &(), req: Request| -> Result {
            drop(req.upgrade("chat", &HeaderMap::new())?);
            Ok(Response::empty(StatusCode::OK))
        })
        .get("/waits", async |(): &(), mut req: Request| -> Result<&str> {
            req.chunk().await?;
            Ok("done")
        })
}

#[test]
fn every_answer_and_every_refused_head_has_its_line() {
    each_driver(async |core: Core| {
        let (log, lines) = kept_lines("\"%r\" %s %b %X %{Referer}i");
        let mut config = ServerConfig::default();
        config.access_log = Some(log);
        config.head_timeout = Duration::from_millis(300);
        config.target_bytes_max = 100;
        config.head_bytes_max = 1000;
        serve_on(&core, config, logged_routes(), (), async |client| {
            let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(200));
            let fields = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "a".repeat(2000));
            let bomb = format!("\r\nGET{} HTTP/1.1\r\n\r\n", "\x1b[2J\"\\".repeat(1000));
            let long_line = format!("\"{}\" 414 13 refused -", long.lines().next().unwrap());
            let file_bytes = std::fs::metadata("Cargo.lock").expect("it is there").len();
            let file_line = format!("\"GET /file HTTP/1.1\" 200 {file_bytes} - -");
            let cases: &[(&str, &str)] = &[
                ("GET /file HTTP/1.1\r\nhost: a\r\n\r\n", &file_line),
                (
                    "GET /file HTTP/1.1\r\nhost: a\r\nrange: bytes=1-9\r\n\r\n",
                    "\"GET /file HTTP/1.1\" 206 9 - -",
                ),
                (
                    "GET /hello?a=\"b\" HTTP/1.1\r\nhost: a\r\nreferer: http://x/\"\\\r\n\r\n",
                    "\"GET /hello?a=\\\"b\\\" HTTP/1.1\" 400 12 refused -",
                ),
                (
                    "GET /hello HTTP/1.1\r\nhost: a\r\nreferer: x\"\\y\u{e4}\r\n\r\n",
                    "\"GET /hello HTTP/1.1\" 200 5 - x\\\"\\\\y\\xc3\\xa4",
                ),
                ("HEAD /hello HTTP/1.1\r\nhost: a\r\n\r\n", "\"HEAD /hello HTTP/1.1\" 200 0 - -"),
                ("GET /hello HTTP/1.0\r\n\r\n", "\"GET /hello HTTP/1.0\" 200 5 asked_by_peer -"),
                ("GET /stream HTTP/1.1\r\nhost: a\r\n\r\n", "\"GET /stream HTTP/1.1\" 200 20 - -"),
                (
                    "GET /fails HTTP/1.1\r\nhost: a\r\n\r\n",
                    "\"GET /fails HTTP/1.1\" 200 10 response_failed -",
                ),
                (
                    "GET /panics HTTP/1.1\r\nhost: a\r\n\r\n",
                    "\"GET /panics HTTP/1.1\" 500 22 handler_panicked -",
                ),
                (
                    "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
                    "\"POST /echo HTTP/1.1\" 200 3 - -",
                ),
                ("GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n", "\"GET /nowhere HTTP/1.1\" 404 10 - -"),
                (
                    "GET /switch HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n",
                    "\"GET /switch HTTP/1.1\" 101 0 upgraded -",
                ),
                ("GET /hello\r\n\r\n", "\"GET /hello\" 400 12 refused -"),
                ("GET /hello HTTP/1.1\r\n\r\n", "\"GET /hello HTTP/1.1\" 400 12 refused -"),
                ("GET /hel", "\"-\" 408 16 head_timeout -"),
                (&long, &long_line),
                (&fields, "\"GET / HTTP/1.1\" 431 32 refused -"),
            ];
            for (request, expected) in cases {
                // The connection may be reset where the peer sent more than was read.
                let mut connection = client.raw(*request).await;
                // Who ends in the middle of a head gets no answer, and has no line.
                if !expected.contains(" 408 ") {
                    connection.end();
                }
                connection.receive_all().await;
                let all = std::mem::take(&mut *lines.lock().unwrap());
                assert_eq!(all.len(), 1, "{request:?}: {all:?}");
                assert_eq!(all[0], *expected, "{request:?}");
            }
            // Nothing of the request before is in the line of the one that is refused.
            let second = [long.as_str(), "GET\r\n\r\n"];
            for (refused, line) in second.iter().zip([&*long_line, "\"GET\" 400 12 refused -"]) {
                let before = "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n";
                client.raw(format!("{before}{before}{refused}")).await.receive_all().await;
                let all = std::mem::take(&mut *lines.lock().unwrap());
                assert_eq!((all.len(), all[2].as_str()), (3, line));
            }
            let mut connection = client.raw(bomb).await;
            connection.receive_all().await;
            let all = std::mem::take(&mut *lines.lock().unwrap());
            assert_eq!(all.len(), 1);
            assert!(
                all[0].len() < 5 * 1024 && all[0].bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                "{all:?}"
            );
            assert!(all[0].starts_with("\"GET\\x1b[2J\\\"\\\\"), "{}", all[0]);
        })
        .await;
    });
}

#[test]
fn secrets_are_not_logged() {
    each_driver(async |core: Core| {
        let format =
            "%{Authorization}i %{Cookie}i %{X-Key}i %{X-Other}i %{Set-Cookie}o %{X-Token}o %{x-request-id}o";
        let (log, lines) = kept_lines(format);
        let mut config = ServerConfig::default();
        config.access_log = Some(log.mask(&HeaderName::from_static("x-other")));
        let names = [HeaderName::from_static("x-key"), HeaderName::from_static("x-token")];
        let router = Router::new()
            .get("/", async |(): &(), req: Request| {
                assert!(format!("{:?}", req.headers()).contains("\"x-key\": Sensitive"));
                Response::text(format!("{:?}", req.header("x-key").unwrap().as_bytes().len()))
                    .with_header("x-token", HeaderValue::from_static("secret"))
                    .with_header(header::SET_COOKIE, HeaderValue::from_static("secret=1"))
            })
            .with(middleware::sensitive_headers(names))
            .with(middleware::request_id(Default::default()));
        serve_on(&core, config, router, (), async |client| {
            let mut request = client.request(Method::GET, "/").header("x-request-id", "id-1");
            for name in ["authorization", "cookie", "x-key", "x-other"] {
                request = request.header(name, "secret");
            }
            let response = request.send().await;
            assert_eq!((response.text(), response.header("x-token")), ("6", Some("secret")));
            assert_eq!(*lines.lock().unwrap(), ["*** *** *** *** *** *** id-1"]);
        })
        .await;
    });
}

#[test]
fn an_unanswered_request_is_logged_without_a_status() {
    each_driver(async |core: Core| {
        let (log, lines) = kept_lines("json");
        let mut config = ServerConfig::default();
        config.access_log = Some(log);
        let server = Server::bind("127.0.0.1:0", config).unwrap();
        let client = TestClient::new(&core, server.local_addrs()[0].as_socket().unwrap());
        let began = Rc::new(ringhttp::runtime::sync::Notify::new());
        let router =
            Router::new().get("/waits", async |began: &Rc<ringhttp::runtime::sync::Notify>, _| -> &str {
                began.notify_one();
                std::future::pending().await
            });
        let (here, waits) = (core.clone(), Rc::clone(&began));
        let serving = core.spawn("server", async move { server.serve(&here, router, waits).await });
        let _connection = client.raw("GET /waits HTTP/1.1\r\nhost: a\r\nuser-agent: test\r\n\r\n").await;
        began.notified().await;
        serving.cancel();
        let _ = serving.await;
        // Its connections end in a task of their own.
        while lines.lock().unwrap().is_empty() {
            core.yield_now().await;
        }
        let line = lines.lock().unwrap().remove(0);
        assert!(
            line.contains(
                "\"method\":\"GET\",\"target\":\"/waits\",\"version\":\"HTTP/1.1\",\"route\":\"/waits\",\"body_bytes\":0,"
            ),
            "{line}"
        );
        assert!(line.ends_with("\"close\":\"cut\",\"host\":\"a\",\"user_agent\":\"test\"}"), "{line}");
        core.shutdown();
    });
}

/// A writer that can be held up.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    closed: bool,
    fails: bool,
    written: Vec<u8>,
}

impl Gate {
    fn set(&self, change: impl FnOnce(&mut GateState)) {
        change(&mut self.0.0.lock().expect(WHOLE));
        self.0.1.notify_all();
    }

    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.0.lock().expect(WHOLE).written.clone()).expect("lines are text");
        text.lines().map(str::to_owned).collect()
    }
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state =
            self.0.1.wait_while(self.0.0.lock().expect(WHOLE), |state| state.closed).expect(WHOLE);
        if state.fails {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_slow_writer_loses_lines_and_holds_up_nobody() {
    each_driver(async |core: Core| {
        let gate = Gate::default();
        gate.set(|state| state.closed = true);
        let dropped = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&dropped);
        let mut config = ServerConfig::default();
        let log = AccessLog::new("%r").unwrap().to_writer(gate.clone());
        config.access_log = Some(log.buffer_bytes_max(10 * 20));
        let router = Router::new().get("/{n}", async move |(): &(), req: Request| {
            seen.store(req.server_stats().log_lines_dropped.get(), Ordering::Relaxed);
            "hello"
        });
        serve_on(&core, config, router, (), async |client| {
            for number in 0..100 {
                // 20 bytes with the line's end.
                assert_eq!(client.get(&format!("/{number:05}")).await.status, StatusCode::OK);
            }
            // Once 10 lines wait in the core and some are with the writer, the rest is lost.
            let lost = dropped.load(Ordering::Relaxed);
            assert!((70..=89).contains(&lost), "{lost}");
            gate.set(|state| state.closed = false);
        })
        .await;
        // The server has ended: what it had is written.
        let lines = gate.lines();
        let lost = dropped.load(Ordering::Relaxed);
        assert!(lines.len() as u64 >= 100 - lost - 1, "{} lines, {lost} lost", lines.len());
        assert_eq!(lines[0], "GET /00000 HTTP/1.1");
        assert!(lines.is_sorted(), "in order");
    });
}

#[test]
fn a_writer_that_fails_is_counted() {
    each_driver(async |core: Core| {
        let gate = Gate::default();
        gate.set(|state| state.fails = true);
        let mut config = ServerConfig::default();
        config.access_log = Some(AccessLog::common().to_writer(gate.clone()));
        let server = Server::bind("127.0.0.1:0", config).unwrap();
        let (stats, here) = (server.stats(), core.clone());
        let client = TestClient::new(&core, server.local_addrs()[0].as_socket().unwrap());
        let serving = core.spawn("server", async move { server.serve(&here, logged_routes(), ()).await });
        for _ in 0..3 {
            assert_eq!(client.get("/hello").await.text(), "hello");
        }
        core.shutdown();
        assert!(serving.await.is_ok_and(|served| served.is_ok()));
        assert_eq!(stats.log_lines_dropped.get(), 3);
    });
}
