//! Answers of every kind over real sockets, on both drivers: streams of events and lines, errors, interim answers, work
//! behind an answer; and who the client is behind proxies.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ringhttp::middleware::{ConditionalConfig, Failure, conditional, error_pages, problem_json};
use ringhttp::proto::sse::Parser;
use ringhttp::runtime::sync::Notify;
use ringhttp::sse::{self, Event, Sse};
use ringhttp::testing::{self, RawConnection, TestClient};
use ringhttp::{
    Bytes, CloseReason, Core, Error, HeaderMap, HeaderValue, Html, IntoResponse, IpNetwork, Method, Problem,
    ProxyFields, ProxyProtocol, Redirect, Request, Response, Result, Router, Server, ServerConfig,
    ServerStats, StatusCode, header, json_lines, time,
};

use crate::common::{ask, until};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const LAST: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Runs `body` against a router on both drivers.
fn with_router<S: 'static>(
    router: impl Fn() -> Router<S> + Send + Sync,
    state: impl Fn() -> S + Send + Sync,
    body: impl AsyncFn(TestClient) + Send + Sync,
) {
    testing::each_driver(async |core: Core| {
        testing::serve_on(&core, ServerConfig::default(), router(), state(), &body).await;
    });
}

/// Serves on this core while `body` runs, which sees what the server counts.
async fn serve_counted<S: 'static>(
    core: &Core,
    config: ServerConfig,
    router: Router<S>,
    state: S,
    body: impl AsyncFnOnce(TestClient, Rc<ServerStats>),
) {
    let server = Server::bind("127.0.0.1:0", config).expect("127.0.0.1 has a free port");
    let address = server.local_addrs()[0].as_socket().expect("it was bound over IP");
    let stats = server.stats();
    let here = core.clone();
    let served = core.spawn("test server", async move { server.serve(&here, router, state).await });
    body(TestClient::new(core, address), stats).await;
    core.shutdown();
    served.await.expect("the server does not panic").expect("the server does not fail");
}

/// Reads until `text` has come.
async fn receive_through(connection: &mut RawConnection, text: &str) -> String {
    let mut all = Vec::new();
    while !String::from_utf8_lossy(&all).contains(text) {
        let more = connection.receive().await;
        assert!(!more.is_empty(), "the connection ended behind {}", all.escape_ascii());
        all.extend_from_slice(&more);
    }
    String::from_utf8(all).expect("text")
}

fn events_of(body: &Bytes) -> Vec<(String, String, String)> {
    let mut parser = Parser::new(1 << 20);
    parser.push(body.clone());
    let mut events = Vec::new();
    while let Some(message) = parser.next_message().expect("short enough") {
        events.push((message.event, message.data, message.last_event_id));
    }
    events
}

#[test]
fn events_arrive_with_ids_and_go_on_where_the_client_was() {
    async fn from_last(_: &(), req: Request) -> Sse {
        let seen: u32 = req.last_event_id().and_then(|id| id.parse().ok()).unwrap_or(0);
        sse::stream(async move |mut events| {
            events.send(Event::reconnect_after(Duration::from_secs(2))).await?;
            for n in seen + 1..=3 {
                events.send(Event::data(format!("line 1\nline {n}")).id(n.to_string()).event("tick")).await?;
            }
            Ok(())
        })
    }
    with_router(
        || Router::new().get("/", from_last),
        || (),
        async |client| {
            let all = client.get("/").await;
            assert_eq!(all.header("content-type"), Some("text/event-stream"));
            assert_eq!(all.header("cache-control"), Some("no-store"));
            assert_eq!(all.header("x-accel-buffering"), Some("no"));
            let tick = |n: u32| ("tick".to_owned(), format!("line 1\nline {n}"), n.to_string());
            assert_eq!(events_of(&all.body), [tick(1), tick(2), tick(3)]);
            for (id, count) in [("2", 1), ("3", 0), ("", 3), ("x", 3), ("\u{e9}", 3), ("99999999999", 3)] {
                let rest = client.request(Method::GET, "/").header("last-event-id", id).send().await;
                assert_eq!(events_of(&rest.body).len(), count, "{id}");
            }
            let head = client.request(Method::HEAD, "/").send().await;
            assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
        },
    );
}

#[test]
fn an_event_that_would_forge_another_ends_the_stream_instead() {
    async fn forge(_: &(), _: Request) -> Sse {
        sse::stream(async |mut events| {
            assert_eq!(events.send(Event::data("x").id("1\ndata: forged")).await.unwrap_err().status(), 500);
            events.send(Event::data("y").event("a\n\ndata: forged")).await
        })
    }
    with_router(
        || Router::new().get("/", forge),
        || (),
        async |client| {
            let all = client.raw(LAST).await.receive_all().await;
            let all = String::from_utf8(all).unwrap();
            assert!(!all.contains("forged") && !all.ends_with("0\r\n\r\n"), "{all}");
        },
    );
}

#[test]
fn a_quiet_stream_is_kept_open_by_comments_between_events() {
    async fn quiet(_: &(), _: Request) -> Sse {
        sse::stream(async |mut events| {
            for n in 0..3 {
                events.send(Event::data(format!("{n}\n{n}"))).await?;
                time::sleep(Duration::from_millis(120)).await;
            }
            Ok(())
        })
        .with_keep_alive(Duration::from_millis(20))
    }
    async fn silent(_: &(), _: Request) -> Sse {
        sse::stream(async |mut events| {
            time::sleep(Duration::from_millis(100)).await;
            events.send(Event::data("x")).await
        })
        .without_keep_alive()
    }
    with_router(
        || Router::new().get("/", quiet).get("/silent", silent),
        || (),
        async |client| {
            let all = client.get("/").await;
            let mut rest = all.text();
            for n in 0..3 {
                rest = rest.strip_prefix(&format!("data:{n}\ndata:{n}\n\n")).expect("the event comes whole");
                let events = rest.len();
                while let Some(behind) = rest.strip_prefix(":\n\n") {
                    rest = behind;
                }
                assert!(rest.len() < events, "comments stand behind each event: {}", all.text());
            }
            assert_eq!(rest, "");
            assert_eq!(client.get("/silent").await.text(), "data:x\n\n");
        },
    );
}

/// Remembers that it was dropped.
struct Dropped(Rc<Cell<bool>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

async fn endless(dropped: &Rc<Cell<bool>>, _: Request) -> Sse {
    let dropped = Dropped(Rc::clone(dropped));
    sse::stream(async move |mut events| {
        let _dropped = dropped;
        events.send(Event::data("first")).await?;
        std::future::pending().await
    })
    .with_keep_alive(Duration::from_millis(20))
}

#[test]
fn an_endless_stream_ends_properly_when_the_server_stops() {
    testing::each_driver(async |core: Core| {
        let dropped = Rc::new(Cell::new(false));
        let router = Router::new().get("/", endless);
        let mut open = None;
        serve_counted(&core, ServerConfig::default(), router, Rc::clone(&dropped), async |client, _| {
            let mut connection = client.raw(GET).await;
            receive_through(&mut connection, "data:first\n\n").await;
            open = Some(connection);
        })
        .await;
        // Not cut, which would leave the end out.
        let rest = open.unwrap().receive_all().await;
        assert!(rest.ends_with(b"0\r\n\r\n"), "{}", rest.escape_ascii());
        assert!(dropped.get());
    });
}

#[test]
fn an_endless_stream_ends_when_its_client_is_gone() {
    testing::each_driver(async |core: Core| {
        let dropped = Rc::new(Cell::new(false));
        let router = Router::new().get("/", endless);
        testing::serve_on(&core, ServerConfig::default(), router, Rc::clone(&dropped), async |client| {
            let mut connection = client.raw(GET).await;
            receive_through(&mut connection, "data:first\n\n").await;
            drop(connection);
            until("the stream is dropped", || dropped.get()).await;
        })
        .await;
    });
}

#[test]
fn a_slow_receiver_slows_the_events_down() {
    async fn flood(sent: &Rc<Cell<u64>>, _: Request) -> Sse {
        let sent = Rc::clone(sent);
        sse::stream(async move |mut events| {
            let text = "x".repeat(64 * 1024);
            loop {
                events.send(Event::data(text.clone())).await?;
                sent.set(sent.get() + text.len() as u64);
            }
        })
        .with_keep_alive(Duration::from_millis(10))
    }
    testing::each_driver(async |core: Core| {
        let sent = Rc::new(Cell::new(0));
        let router = Router::new().get("/", flood);
        testing::serve_on(&core, ServerConfig::default(), router, Rc::clone(&sent), async |client| {
            let connection = client.raw(GET).await;
            let mut before = u64::MAX;
            while before != sent.get() {
                before = sent.get();
                time::sleep(Duration::from_millis(200)).await;
            }
            // What the kernel's socket buffers take, and no more; without a bound it would be without an end.
            assert!((1..64 << 20).contains(&sent.get()), "{} bytes were sent", sent.get());
            drop(connection);
        })
        .await;
    });
}

#[test]
fn json_lines_go_out_and_come_in() {
    async fn count(_: &(), _: Request) -> Response {
        json_lines::stream(async |mut lines| {
            for n in 0..3 {
                lines.send(&(n, "a\nb")).await?;
            }
            lines.flush().await
        })
    }
    async fn sum(_: &(), mut req: Request) -> Result<String> {
        let mut lines = req.json_lines::<u32>()?.with_line_bytes_max(16);
        let mut sum = 0;
        while let Some(number) = lines.next().await? {
            sum += number;
        }
        Ok(sum.to_string())
    }
    const CASES: &[(&str, &str, u16, &str)] = &[
        ("application/x-ndjson", "1\n2\n3\n", 200, "6"),
        ("Application/JSONL; charset=utf-8", "1\r\n\r\n \n2", 200, "3"),
        ("application/json-lines", "", 200, "0"),
        ("application/x-ndjson", "               1\n", 200, "1"),
        ("application/json", "1\n", 415, "the body must be application/x-ndjson\n"),
        ("application/x-ndjsonx", "1\n", 415, "the body must be application/x-ndjson\n"),
        ("application", "1\n", 415, "the body must be application/x-ndjson\n"),
        ("application/jsonl", "1\n2x\n", 400, "JSON: line 2 column 2: trailing characters\n"),
        ("application/jsonl", "1\n\"a\n", 400, "JSON: line 2 column 2: EOF while parsing a string\n"),
        (
            "application/jsonl",
            "\n\n\"a\"\n",
            422,
            "JSON: line 3 column 3: invalid type: string \"a\", expected u32\n",
        ),
        ("application/jsonl", "1\n                1\n", 413, "a line is longer than 16 bytes\n"),
        (
            "application/jsonl",
            "11111111111111111111111111111111111111",
            413,
            "a line is longer than 16 bytes\n",
        ),
        ("application/jsonl", "1\n\0\n", 400, "JSON: line 2 column 1: expected value\n"),
    ];
    with_router(
        || Router::new().get("/", count).post("/", sum),
        || (),
        async |client| {
            let lines = client.get("/").await;
            assert_eq!(lines.text(), "[0,\"a\\nb\"]\n[1,\"a\\nb\"]\n[2,\"a\\nb\"]\n");
            assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
            for (content_type, body, status, text) in CASES {
                let request = client.request(Method::POST, "/").header("content-type", content_type);
                let answer = request.body(*body).send().await;
                assert_eq!(
                    (answer.status.as_u16(), answer.text()),
                    (*status, *text),
                    "{content_type} {body:?}"
                );
            }
        },
    );
}

#[test]
fn lines_are_read_while_they_come() {
    async fn first(_: &(), mut req: Request) -> Result<String> {
        let line: Option<u8> = req.json_lines()?.next().await?;
        Ok(format!("{line:?}"))
    }
    with_router(
        || Router::new().post("/", first),
        || (),
        async |client| {
            let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/jsonl\r\nContent-Length: 100\r\n\r\n";
            let mut connection = client.raw(head).await;
            connection.send("4").await;
            connection.send("2\n\"").await;
            assert_eq!(connection.response(&Method::POST).await.text(), "Some(42)");
        },
    );
}

#[test]
fn files_redirects_reasons_and_trailers() {
    #[derive(serde::Deserialize)]
    struct Next {
        next: String,
    }
    async fn trailers(_: &(), _: Request) -> Result {
        let response = Response::stream(async |mut out| {
            out.write("body").await?;
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", HeaderValue::from_static("4"));
            out.set_trailers(trailers);
            Ok(())
        });
        response.with_reason("Quite Fine")
    }
    with_router(
        || {
            Router::new()
                .get("/save", async |_: &(), _| {
                    Response::text("a").with_attachment("ä\r\nset-cookie: a=1.txt")
                })
                .get("/show", async |_: &(), _| Response::text("a").with_inline_name("a.txt"))
                .get("/moved", async |_: &(), _| Redirect::moved("/a"))
                .get("/found", async |_: &(), _| Redirect::found("/a"))
                .get("/next", async |_: &(), req: Request| Redirect::local(req.query::<Next>()?.next))
                .get("/", trailers)
        },
        || (),
        async |client| {
            let saved = client.get("/save").await;
            let expected = "attachment; filename=\"___set-cookie: a=1.txt\"; filename*=UTF-8''%C3%A4__set-cookie%3A%20a%3D1.txt";
            assert_eq!(saved.header("content-disposition"), Some(expected));
            assert_eq!(saved.header("set-cookie"), None);
            assert_eq!(
                client.get("/show").await.header("content-disposition"),
                Some("inline; filename=\"a.txt\"")
            );
            for (path, status) in [("/moved", 301), ("/found", 302), ("/next?next=/a", 303)] {
                let answer = client.get(path).await;
                assert_eq!(
                    (answer.status.as_u16(), answer.header("location")),
                    (status, Some("/a")),
                    "{path}"
                );
            }
            for next in ["//evil", "/%5Cevil", "/%09/evil", "https://evil", "/a%0d%0ab"] {
                let answer = client.get(&format!("/next?next={next}")).await;
                assert_eq!((answer.status.as_u16(), answer.header("location")), (400, None), "{next}");
            }
            let raw = client.raw(LAST).await.receive_all().await;
            let raw = String::from_utf8(raw).unwrap();
            assert!(raw.starts_with("HTTP/1.1 200 Quite Fine\r\n"), "{raw}");
            assert!(raw.ends_with("\r\n4\r\nbody\r\n0\r\nx-sum: 4\r\n\r\n"), "{raw}");
            let old = client.raw("GET / HTTP/1.0\r\n\r\n").await.receive_all().await;
            assert!(old.ends_with(b"\r\n\r\nbody"), "no chunks, no trailers: {}", old.escape_ascii());
        },
    );
}

async fn secret(_: &(), _: Request) -> Result<String> {
    let error = Error::new(StatusCode::UNAUTHORIZED).with_text("who are you?");
    Err(error.with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
}

async fn own(_: &(), _: Request) -> Result<String> {
    let csv = Response::text("no;credit\n").with_status(StatusCode::PAYMENT_REQUIRED);
    Err(csv
        .with_header(header::CONTENT_TYPE, HeaderValue::from_static("text/csv"))
        .with_reason("No Money")?)?
}

async fn problem(_: &(), _: Request) -> Result<String> {
    Err(Problem::new(StatusCode::CONFLICT).with_detail("it is there").with_member("id", 7))?
}

async fn bare(_: &(), _: Request) -> StatusCode {
    StatusCode::IM_A_TEAPOT
}

async fn streamed(_: &(), _: Request) -> Result<String> {
    Err(Response::stream(async |mut out| out.write("x").await))?
}

async fn too_large(_: &(), mut req: Request) -> Result<String> {
    req.text().await
}

fn failing() -> Router<()> {
    let limited = Router::new().post("/", too_large).body_limit(2);
    Router::new()
        .get("/secret", secret)
        .get("/own", own)
        .get("/problem", problem)
        .get("/bare", bare)
        .get("/streamed", streamed)
        .get("/fine", async |_: &(), _| "fine")
        .nest("/limited", limited)
}

#[test]
fn errors_are_answers() {
    with_router(
        failing,
        || (),
        async |client| {
            let cases = [
                ("/secret", 401, "text/plain; charset=utf-8", "who are you?\n"),
                ("/own", 402, "text/csv", "no;credit\n"),
                ("/streamed", 500, "text/plain; charset=utf-8", "Internal Server Error\n"),
            ];
            for (path, status, content_type, text) in cases {
                let answer = client.get(path).await;
                assert_eq!((answer.status.as_u16(), answer.text()), (status, text), "{path}");
                assert_eq!(answer.headers.get_all("content-type").iter().collect::<Vec<_>>(), [content_type]);
            }
            assert_eq!(client.get("/secret").await.header("www-authenticate"), Some("Bearer"));
            let raw = client
                .raw("GET /own HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                .await
                .receive_all()
                .await;
            assert!(raw.starts_with(b"HTTP/1.1 402 No Money\r\n"), "{}", raw.escape_ascii());
            let answer = client.get("/problem").await;
            assert_eq!(
                (answer.status.as_u16(), answer.header("content-type")),
                (409, Some("application/problem+json"))
            );
            assert_eq!(answer.text(), r#"{"detail":"it is there","id":7,"status":409,"title":"Conflict"}"#);
        },
    );
}

#[test]
fn all_failures_become_problems_if_asked() {
    let router = || failing().with(problem_json);
    with_router(
        router,
        || (),
        async |client| {
            const TYPE: Option<&str> = Some("application/problem+json");
            let cases = [
                ("GET", "/secret", 401, r#"{"detail":"who are you?","status":401,"title":"Unauthorized"}"#),
                ("GET", "/nothing", 404, r#"{"status":404,"title":"Not Found"}"#),
                ("DELETE", "/secret", 405, r#"{"status":405,"title":"Method Not Allowed"}"#),
                ("GET", "/bare", 418, r#"{"status":418,"title":"I'm a teapot"}"#),
                (
                    "GET",
                    "/problem",
                    409,
                    r#"{"detail":"it is there","id":7,"status":409,"title":"Conflict"}"#,
                ),
                ("GET", "/streamed", 500, r#"{"status":500,"title":"Internal Server Error"}"#),
            ];
            for (method, path, status, text) in cases {
                let answer = client.request(method.parse().unwrap(), path).send().await;
                assert_eq!((answer.status.as_u16(), answer.text()), (status, text), "{path}");
                assert_eq!(answer.header("content-type"), TYPE, "{path}");
            }
            assert_eq!(client.get("/secret").await.header("www-authenticate"), Some("Bearer"));
            assert!(client.request(Method::DELETE, "/secret").send().await.header("allow").is_some());
            assert_eq!(client.get("/own").await.text(), "no;credit\n", "a body of one's own stays");
            assert_eq!(client.get("/fine").await.text(), "fine");
            let large = client.raw("POST /limited HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").await;
            let large = { large }.receive_all().await;
            let large = String::from_utf8(large).unwrap();
            assert!(large.starts_with("HTTP/1.1 413 ") && large.contains("connection: close\r\n"), "{large}");
        },
    );
}

#[test]
fn failures_are_shown_by_a_page_of_the_application() {
    struct Site(&'static str);
    async fn page(site: &Site, failure: &Failure) -> Option<Response> {
        if failure.status == StatusCode::CONFLICT {
            return Some(Response::text("gone, really").with_status(StatusCode::GONE));
        }
        let page = || Html(format!("{}: {} {} {}", site.0, failure.method, failure.path(), failure.text));
        failure.wants_html().then(|| page().into_response())
    }
    let router = || {
        Router::new()
            .get("/conflict", async |_: &Site, _| StatusCode::CONFLICT)
            .get("/none-of-it", async |_: &Site, _| {
                let refused = Response::from(Error::new(StatusCode::RANGE_NOT_SATISFIABLE));
                let refused = refused.with_header("content-range", HeaderValue::from_static("bytes */10"));
                let refused = refused.with_header("content-language", HeaderValue::from_static("en"));
                refused.with_header("content-security-policy", HeaderValue::from_static("default-src 'none'"))
            })
            .get("/secret", async |_: &Site, req| secret(&(), req).await)
            .with(error_pages(page))
    };
    with_router(
        router,
        || Site("shop"),
        async |client| {
            let ask = |method: Method, path: &str, accept: &str| {
                client.request(method, path).header("accept", accept).send()
            };
            let html = ask(Method::GET, "/no?x", "application/json;q=0.2, TEXT/HTML;q=0.9").await;
            assert_eq!((html.status.as_u16(), html.text()), (404, "shop: GET /no Not Found"));
            assert_eq!(
                html.headers.get_all("content-type").iter().collect::<Vec<_>>(),
                ["text/html; charset=utf-8"]
            );
            assert_eq!(html.header("vary"), Some("accept"), "who asked otherwise got another");
            let refused = ask(Method::PUT, "/secret", "text/html").await;
            assert_eq!((refused.status.as_u16(), refused.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
            let secret = ask(Method::GET, "/secret", "text/html").await;
            assert_eq!(
                (secret.text(), secret.header("www-authenticate")),
                ("shop: GET /secret who are you?", Some("Bearer"))
            );
            assert_eq!(ask(Method::GET, "/no", "text/plain, text/htmlx").await.text(), "Not Found\n");
            assert_eq!(client.get("/no").await.text(), "Not Found\n");
            let none = ask(Method::GET, "/none-of-it", "text/html").await;
            let kept = ["content-range", "content-security-policy", "content-language"]
                .map(|name| none.header(name));
            assert_eq!(
                kept,
                [Some("bytes */10"), Some("default-src 'none'"), None],
                "what is not of the content"
            );
            assert_eq!(client.get("/no").await.header("vary"), Some("accept"));
            let gone = client.get("/conflict").await;
            assert_eq!(gone.header("vary"), None);
            assert_eq!((gone.status.as_u16(), gone.text()), (410, "gone, really"));
        },
    );
}

#[test]
fn a_page_of_a_failure_takes_no_cookie_of_the_answer_away() {
    async fn signed_out(_: &(), _: Request) -> Response {
        Response::from(Error::new(StatusCode::UNAUTHORIZED))
            .with_header("set-cookie", HeaderValue::from_static("session=; Max-Age=0"))
            .with_header("vary", HeaderValue::from_static("cookie"))
            .with_header("x-shown", HeaderValue::from_static("answer"))
    }
    async fn page(_: &(), _: &Failure) -> Option<Response> {
        let page = Response::text("who are you?")
            .with_header("set-cookie", HeaderValue::from_static("seen=1"))
            .with_header("vary", HeaderValue::from_static("accept-language"))
            .with_header("x-shown", HeaderValue::from_static("page"));
        Some(page)
    }
    with_router(
        || Router::new().get("/", signed_out).with(error_pages(page)),
        || (),
        async |client| {
            let answer = client.get("/").await;
            assert_eq!((answer.status.as_u16(), answer.text()), (401, "who are you?"));
            for (name, values) in [
                ("set-cookie", &["session=; Max-Age=0", "seen=1"][..]),
                ("vary", &["cookie", "accept-language"]),
                ("x-shown", &["page"]),
            ] {
                assert_eq!(answer.headers.get_all(name).iter().collect::<Vec<_>>(), values, "{name}");
            }
        },
    );
}

fn link() -> HeaderMap {
    let mut hints = HeaderMap::new();
    hints.append(header::LINK, HeaderValue::from_static("</a.css>; rel=preload"));
    hints.append(header::LINK, HeaderValue::from_static("</b.js>; rel=preload"));
    hints
}

#[test]
fn early_hints_leave_at_once_and_in_order() {
    /// The page waits until the client has its hints.
    async fn page(seen: &Notify, req: Request) -> Result<&'static str> {
        req.early_hints(&link()).await?;
        seen.notified().await;
        Ok("page")
    }
    async fn seen(seen: &Notify, _: Request) {
        seen.notify_one();
    }
    with_router(
        || Router::new().get("/", page).get("/seen", seen).get("/fast", async |_: &Notify, _| "fast"),
        Notify::new,
        async |client| {
            let mut connection = client
                .raw(
                    ["GET /fast HTTP/1.1\r\nHost: a\r\n\r\n", GET, "GET /fast HTTP/1.1\r\nHost: a\r\n\r\n"]
                        .concat(),
                )
                .await;
            assert_eq!(connection.response(&Method::GET).await.text(), "fast");
            let hints = connection.response(&Method::GET).await;
            assert_eq!(hints.status, 103);
            let links: Vec<_> = hints.headers.get_all("link").iter().collect();
            assert_eq!((links.len(), hints.headers.len()), (2, 2), "links and nothing else: {hints:?}");
            assert_eq!(client.get("/seen").await.status, 204);
            assert_eq!(connection.response(&Method::GET).await.text(), "page");
            assert_eq!(connection.response(&Method::GET).await.text(), "fast");
            // HTTP/1.0 knows no interim answers.
            assert_eq!(client.get("/seen").await.status, 204);
            let old = client.raw("GET / HTTP/1.0\r\n\r\n").await.receive_all().await;
            assert!(old.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", old.escape_ascii());
        },
    );
}

#[test]
fn interim_answers_that_cannot_be_are_refused() {
    async fn all(_: &(), req: Request) -> String {
        let mut refused = Vec::new();
        for status in [100, 101, 102, 103, 199, 200, 204, 304, 500] {
            if req.send_interim(StatusCode::from_u16(status).unwrap(), &HeaderMap::new()).await.is_err() {
                refused.push(status);
            }
        }
        let mut framed = HeaderMap::new();
        framed.insert(header::CONTENT_LENGTH, HeaderValue::from_static("3"));
        assert_eq!(req.early_hints(&framed).await.unwrap_err().status(), 500);
        let refused = format!("{refused:?}");
        // Somebody who still has the request when it is answered.
        let late = Core::current().unwrap().spawn("late", async move {
            time::sleep(Duration::from_millis(20)).await;
            assert_eq!(req.early_hints(&link()).await.unwrap_err().status(), 500);
        });
        drop(late);
        refused
    }
    with_router(
        || Router::new().get("/", all).post("/", all),
        || (),
        async |client| {
            let mut connection = client.raw(GET).await;
            for status in [102, 103, 199] {
                assert_eq!(connection.response(&Method::GET).await.status, status);
            }
            assert_eq!(connection.response(&Method::GET).await.text(), "[101, 200, 204, 304, 500]");
            time::sleep(Duration::from_millis(50)).await;
            connection.send(LAST).await;
            assert_eq!(connection.response(&Method::GET).await.status, 102, "nothing came between");
            let asking = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
            let mut connection = client.raw(asking).await;
            for status in [100, 102, 103, 199, 200] {
                assert_eq!(connection.response(&Method::POST).await.status, status);
            }
        },
    );
}

/// What work behind answers has done.
#[derive(Default)]
struct Work {
    go: Notify,
    begun: Cell<u32>,
    done: Cell<u32>,
}

async fn with_work(work: &Rc<Work>, req: Request) -> Response {
    let work = Rc::clone(work);
    let response = if req.path() == "/long" {
        // More than the buffers of two sockets.
        Response::bytes(vec![0; 16 << 20])
    } else if req.path() == "/large" {
        Response::stream(async |mut out| {
            loop {
                out.write(vec![0; 1 << 16]).await?;
            }
        })
    } else {
        Response::text("answer")
    };
    response.after(async move {
        work.begun.set(work.begun.get() + 1);
        work.go.notified().await;
        work.done.set(work.done.get() + 1);
    })
}

fn with_work_at_both() -> Router<Rc<Work>> {
    Router::new().get("/", with_work).get("/large", with_work).get("/long", with_work)
}

#[test]
fn work_begins_when_the_answer_is_sent_and_the_stop_waits_for_it() {
    testing::each_driver(async |core: Core| {
        let work = Rc::new(Work::default());
        let config = ServerConfig::default();
        serve_counted(&core, config, with_work_at_both(), Rc::clone(&work), async |client, _| {
            let mut connection = client.raw([GET, GET].concat()).await;
            assert_eq!(connection.response(&Method::GET).await.text(), "answer");
            assert_eq!(connection.response(&Method::GET).await.text(), "answer", "nobody waits for the work");
            until("both works begin", || work.begun.get() == 2).await;
            assert_eq!(work.done.get(), 0);
            let here = Rc::clone(&work);
            let stopping = core.stopping();
            drop(core.spawn("later", async move {
                stopping.await;
                time::sleep(Duration::from_millis(50)).await;
                here.go.notify_waiters();
            }));
        })
        .await;
        assert_eq!(work.done.get(), 2, "serving ends behind the work");
    });
}

#[test]
fn work_is_done_when_the_client_does_not_take_the_answer() {
    testing::each_driver(async |core: Core| {
        let work = Rc::new(Work::default());
        let config = ServerConfig::default();
        testing::serve_on(&core, config, with_work_at_both(), Rc::clone(&work), async |client| {
            let mut connection = client.raw("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
            connection.receive().await;
            assert_eq!(work.begun.get(), 0, "the answer has no end yet");
            drop(connection);
            until("the work begins", || work.begun.get() == 1).await;
            work.go.notify_one();
            until("the work is done", || work.done.get() == 1).await;
        })
        .await;
    });
}

#[test]
fn work_is_done_behind_what_a_condition_has_made_of_its_answer() {
    testing::each_driver(async |core: Core| {
        let work = Rc::new(Work::default());
        let routes = with_work_at_both().with(conditional(ConditionalConfig::default()));
        testing::serve_on(&core, ServerConfig::default(), routes, Rc::clone(&work), async |client| {
            for (done, name, value, status) in
                [(1, "if-match", "\"other\"", 412), (2, "if-none-match", "*", 304)]
            {
                let answer = ask(&client, "GET", "/", &[(name, value)]).await;
                assert_eq!(answer.status.as_u16(), status);
                work.go.notify_one();
                until("the work is done", || work.done.get() == done).await;
            }
        })
        .await;
    });
}

#[test]
fn answers_wait_while_too_much_work_goes_on() {
    testing::each_driver(async |core: Core| {
        let work = Rc::new(Work::default());
        let mut config = ServerConfig::default();
        config.after_answer_max = 1;
        testing::serve_on(&core, config, with_work_at_both(), Rc::clone(&work), async |client| {
            let mut first = client.raw(GET).await;
            assert_eq!(first.response(&Method::GET).await.text(), "answer");
            until("the work begins", || work.begun.get() == 1).await;
            let mut second = client.raw(GET).await;
            time::sleep(Duration::from_millis(50)).await;
            assert_eq!(work.begun.get(), 1);
            work.go.notify_one();
            assert_eq!(second.response(&Method::GET).await.text(), "answer");
            until("both works begin", || work.begun.get() == 2).await;
            work.go.notify_one();
        })
        .await;
    });
}

#[test]
fn answers_that_leave_together_keep_to_the_limit_of_work_too() {
    testing::each_driver(async |core: Core| {
        let work = Rc::new(Work::default());
        let mut config = ServerConfig::default();
        config.after_answer_max = 1;
        serve_counted(&core, config, with_work_at_both(), Rc::clone(&work), async |client, stats| {
            // All of them are on their way before the work of the first begins.
            let mut clients = Vec::new();
            for _ in 0..3 {
                clients.push(client.raw("GET /long HTTP/1.1\r\nHost: a\r\n\r\n").await);
            }
            until("the third request has come", || stats.requests.get() == 3).await;
            for connection in &mut clients {
                connection.response(&Method::GET).await;
            }
            for begun in 1..=3 {
                until("work begins", || work.begun.get() == begun).await;
                time::sleep(Duration::from_millis(20)).await;
                assert_eq!((work.begun.get(), work.done.get()), (begun, begun - 1));
                work.go.notify_one();
            }
        })
        .await;
    });
}

#[test]
fn clients_that_break_off_keep_to_the_limit_of_work_too() {
    testing::each_driver(async |core: Core| {
        let work = Rc::new(Work::default());
        let mut config = ServerConfig::default();
        config.after_answer_max = 1;
        testing::serve_on(&core, config, with_work_at_both(), Rc::clone(&work), async |client| {
            // All of them are on their way before the first fails.
            let mut clients = Vec::new();
            for _ in 0..3 {
                let mut connection = client.raw("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
                connection.receive().await;
                clients.push(connection);
            }
            drop(clients);
            for begun in 1..=3 {
                until("work begins", || work.begun.get() == begun).await;
                time::sleep(Duration::from_millis(50)).await;
                assert_eq!((work.begun.get(), work.done.get()), (begun, begun - 1));
                work.go.notify_one();
            }
            until("all is done", || work.done.get() == 3).await;
        })
        .await;
    });
}

/// Says whom the server takes the client for.
async fn who(_: &(), req: Request) -> String {
    let client = req.client_addr().map_or("unknown".to_owned(), |client| client.to_string());
    format!("{client} {} {}", req.scheme(), req.host().unwrap_or("-".into()))
}

async fn peer(_: &(), req: Request) -> String {
    let local = req.local_addr().expect("it came over IP");
    format!("{} {}", req.peer_addr().expect("it came over IP"), if local.port() == 80 { "80" } else { "own" })
}

fn networks(texts: &[&str]) -> Vec<IpNetwork> {
    texts.iter().map(|text| text.parse().expect("a network")).collect()
}

#[test]
fn only_trusted_proxies_say_who_the_client_is() {
    const LOOPBACK: &[&str] = &["127.0.0.0/8", "10.0.0.0/8"];
    const OTHER: &[&str] = &["10.0.0.0/8"];
    const X: ProxyFields = ProxyFields::XForwarded;
    const F: ProxyFields = ProxyFields::Forwarded;
    type Case<'a> = (&'a [&'a str], ProxyFields, &'a [(&'a str, &'a str)], &'a str);
    const CASES: &[Case<'_>] = &[
        (
            &[],
            X,
            &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-proto", "https")],
            "127.0.0.1 http own.example",
        ),
        (
            OTHER,
            X,
            &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-host", "evil")],
            "127.0.0.1 http own.example",
        ),
        (OTHER, F, &[("forwarded", "for=6.6.6.6;proto=https;host=evil")], "127.0.0.1 http own.example"),
        (LOOPBACK, X, &[], "127.0.0.1 http own.example"),
        (LOOPBACK, X, &[("x-forwarded-for", "6.6.6.6, 192.0.2.1, 10.0.0.9")], "192.0.2.1 http own.example"),
        (
            LOOPBACK,
            X,
            &[
                ("x-forwarded-for", "192.0.2.1"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "a:8443"),
            ],
            "192.0.2.1 https a:8443",
        ),
        (LOOPBACK, X, &[("forwarded", "for=6.6.6.6;proto=https")], "127.0.0.1 http own.example"),
        (LOOPBACK, X, &[("x-forwarded-for", "192.0.2.1, x")], "unknown http own.example"),
        (LOOPBACK, F, &[("forwarded", "for=\"[2001:db8::1]:80\";proto=https;host=b")], "2001:db8::1 https b"),
        (LOOPBACK, F, &[("forwarded", "for=_hidden;proto=https")], "unknown https own.example"),
        (LOOPBACK, F, &[("forwarded", "for=\"")], "unknown http own.example"),
        (LOOPBACK, F, &[("x-forwarded-for", "6.6.6.6")], "127.0.0.1 http own.example"),
    ];
    testing::each_driver(async |core: Core| {
        // One run has one stop, so all of them are served side by side.
        for (trusted, fields, lines, expected) in CASES {
            let mut config = ServerConfig::default();
            config.trusted_proxies = networks(trusted);
            config.proxy_fields = *fields;
            let server = Server::bind("127.0.0.1:0", config).unwrap();
            let address = server.local_addrs()[0].as_socket().unwrap();
            let here = core.clone();
            drop(core.spawn("test server", async move {
                server.serve(&here, Router::new().get("/", who), ()).await
            }));
            let fields: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let message = format!("GET / HTTP/1.1\r\nHost: own.example\r\nConnection: close\r\n{fields}\r\n");
            let answer = TestClient::new(&core, address).raw(message).await.response(&Method::GET).await;
            assert_eq!(answer.text(), *expected, "{trusted:?} {lines:?}");
        }
        core.shutdown();
    });
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("it fits").to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, rest].concat()
}

fn proxied(trusted: &[&str]) -> ServerConfig {
    let mut config = ServerConfig::default();
    config.proxy_protocol = ProxyProtocol::Required;
    config.trusted_proxies = networks(trusted);
    config
}

#[test]
fn a_proxy_header_gives_the_clients_address() {
    let v4 = v2(0x21, 0x11, &[192, 0, 2, 7, 10, 0, 0, 1, 0x13, 0x88, 0, 80, 4, 0, 1, 9]);
    let headers: &[(&[u8], &str)] = &[
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 80\r\n", "192.0.2.7:5000 80"),
        (b"PROXY TCP6 2001:db8::7 ::1 5000 80\r\n", "[2001:db8::7]:5000 80"),
        (&v4, "192.0.2.7:5000 80"),
    ];
    testing::each_driver(async |core: Core| {
        let router = Router::new().get("/", peer);
        serve_counted(&core, proxied(&["127.0.0.1"]), router, (), async |client, stats| {
            for (header, expected) in headers {
                let mut connection = client.raw([header, GET.as_bytes(), LAST.as_bytes()].concat()).await;
                assert_eq!(connection.response(&Method::GET).await.text(), *expected);
                assert_eq!(connection.response(&Method::GET).await.text(), *expected);
                let (front, back) = header.split_at(header.len() - 3);
                let mut connection = client.raw(front).await;
                time::sleep(Duration::from_millis(10)).await;
                connection.send([back, LAST.as_bytes()].concat()).await;
                assert_eq!(connection.response(&Method::GET).await.text(), *expected, "in two pieces");
            }
            for local in [b"PROXY UNKNOWN\r\n".to_vec(), v2(0x20, 0, b""), v2(0x21, 0, b"")] {
                let mut connection = client.raw([&local[..], LAST.as_bytes()].concat()).await;
                let answer = connection.response(&Method::GET).await;
                assert!(
                    answer.text().starts_with("127.0.0.1:") && answer.text().ends_with(" own"),
                    "{answer:?}"
                );
            }
            assert_eq!(stats.closed.get(CloseReason::ProxyHeaderRefused), 0);
        })
        .await;
    });
}

#[test]
fn connections_without_a_valid_proxy_header_are_closed_unanswered() {
    let hostile: &[&[u8]] = &[
        GET.as_bytes(),
        b"PROXY TCP4 1.1.1.1 1.1.1.1 1 70000\r\n",
        b"PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n",
        &[b"PROXY UNKNOWN ".as_slice(), &vec![b'x'; 100_000]].concat(),
        &v2(0x22, 0x11, &[0; 12]),
        &v2(0x21, 0x11, &[0; 11]),
        &v2(0x21, 0x11, &vec![0; 65_535]),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ];
    testing::each_driver(async |core: Core| {
        let mut config = proxied(&[]);
        config.head_timeout = Duration::from_millis(200);
        serve_counted(&core, config, Router::new().get("/", peer), (), async |client, stats| {
            for (index, bytes) in hostile.iter().enumerate() {
                let answer = client.raw(*bytes).await.receive_all().await;
                assert_eq!(answer, b"", "{}", bytes[..bytes.len().min(40)].escape_ascii());
                let refused = index as u64 + 1;
                until("it is closed", || stats.closed.get(CloseReason::ProxyHeaderRefused) == refused).await;
            }
            let unfinished = client.raw("PROXY TCP4 1.1.").await.receive_all().await;
            assert_eq!(unfinished, b"");
            until("the head is late", || stats.closed.get(CloseReason::HeadTimeout) == 1).await;
            let mut ended = client.raw("PROXY").await;
            ended.end();
            assert_eq!(ended.receive_all().await, b"");
            until("the end is seen", || stats.closed.get(CloseReason::PeerClosedEarly) == 1).await;
            let fine = ["PROXY TCP4 192.0.2.7 10.0.0.1 5000 80\r\n", LAST].concat();
            assert_eq!(client.raw(fine).await.response(&Method::GET).await.text(), "192.0.2.7:5000 80");
            assert_eq!(stats.requests.get(), 1);
        })
        .await;
    });
}

#[test]
fn a_proxy_header_from_elsewhere_is_not_read() {
    testing::each_driver(async |core: Core| {
        serve_counted(
            &core,
            proxied(&["10.0.0.0/8"]),
            Router::new().get("/", peer),
            (),
            async |client, stats| {
                let message = ["PROXY TCP4 192.0.2.7 10.0.0.1 5000 80\r\n", LAST].concat();
                assert_eq!(client.raw(message).await.receive_all().await, b"");
                until("it is closed", || stats.closed.get(CloseReason::ProxyHeaderRefused) == 1).await;
                assert_eq!(stats.requests.get(), 0);
            },
        )
        .await;
    });
    // Nor where none is expected.
    with_router(
        || Router::new().get("/", peer),
        || (),
        async |client| {
            let answer =
                client.raw("PROXY TCP4 192.0.2.7 10.0.0.1 5000 80\r\n\r\n").await.receive_all().await;
            assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", answer.escape_ascii());
        },
    );
}

#[test]
fn a_connection_that_sends_no_proxy_header_does_not_hold_up_the_stop() {
    testing::each_driver(async |core: Core| {
        let mut stats = None;
        let mut silent = None;
        serve_counted(&core, proxied(&[]), Router::new().get("/", peer), (), async |client, counted| {
            silent = Some(client.raw("").await);
            until("it is accepted", || counted.active.get() == 1).await;
            stats = Some(counted);
        })
        .await;
        assert_eq!(stats.unwrap().closed.get(CloseReason::Stopping), 1);
        assert_eq!(silent.unwrap().receive_all().await, b"");
    });
}

#[test]
fn a_field_that_does_not_fit_is_told_apart_from_why() {
    #[derive(serde::Deserialize)]
    struct Order {
        items: Vec<u32>,
    }
    #[derive(serde::Deserialize)]
    struct Page {
        n: u32,
    }
    async fn order(_: &(), mut req: Request) -> Result<String> {
        let order: Order = req.json().await?;
        Ok(order.items.len().to_string())
    }
    async fn page(_: &(), req: Request) -> Result<String> {
        Ok(req.query::<Page>()?.n.to_string())
    }
    async fn show(_: &(), req: Request, next: ringhttp::Next<'_, ()>) -> Response {
        let response = next.run(req).await;
        match response.extensions().get::<ringhttp::Misfit>() {
            Some(misfit) => {
                let text = format!("{:?} {}", misfit.path(), misfit.reason());
                response.with_body(text)
            }
            None => response,
        }
    }
    testing::each_driver(async |core| {
        let router = Router::new().post("/order", order).get("/page", page).with(show);
        testing::serve_on(&core, ServerConfig::default(), router, (), async |client| {
            let bad = client.request(Method::POST, "/order").json(&serde_json::json!({"items": [1, "x"]}));
            let bad = bad.send().await;
            let reason = "Some(\"items[1]\") invalid type: string \"x\", expected u32";
            assert_eq!((bad.status.as_u16(), bad.text()), (422, reason));
            let twice = client.get("/page?n=1&n=2").await;
            assert_eq!((twice.status.as_u16(), twice.text()), (400, "Some(\"n\") given more than once"));
        })
        .await;
    });
}
