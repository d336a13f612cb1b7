//! Hostile peers and dropped futures over real sockets, on both drivers: what goes over the wire, and that every connection
//! comes to its end.

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::pin::pin;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use ringhttp::testing::{TestClient, each_driver, serve_on};
use ringhttp::{Method, Request, Response, Result, Router, Server, ServerConfig, time};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn routes() -> Router<()> {
    Router::new()
        .get("/", async |_: &(), _| "hello")
        .post("/", async |_: &(), _| "unread")
        .post("/read", async |_: &(), mut request: Request| request.text().await)
        .post("/echo", async |_: &(), request: Request| Response::new(request.into_body()))
}

fn statuses(answers: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answers);
    text.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].to_owned()).collect()
}

/// What comes behind something refused is never answered; what is legal is, and in order.
#[test]
fn requests_behind_hostile_ones_are_not_smuggled() {
    const CASES: &[(&str, &str, &[&str])] = &[
        (
            "both lengths",
            "POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            &["400"],
        ),
        (
            "two lengths",
            "POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-length: 44\r\n\r\n",
            &["400"],
        ),
        ("a signed length", "POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: +0\r\n\r\n", &["400"]),
        ("chunked in 1.0", "POST /read HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", &["400"]),
        (
            "a hidden coding",
            "POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
            &["400"],
        ),
        (
            "a vertical tab",
            "POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
            &["400"],
        ),
        ("a bare line feed", "GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n", &["400"]),
        (
            "a chunk size that overflows",
            "POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n10000000000000000\r\n",
            &["400"],
        ),
        (
            "a chunk with a sign",
            "POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n-0\r\n\r\n",
            &["400"],
        ),
        (
            "a chunk without its end",
            "POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\naX0\r\n\r\n",
            &["400"],
        ),
        (
            "a broken chunk that nobody reads",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            &["200"],
        ),
        (
            "a trailer that frames",
            "POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\ncontent-length: 9\r\n\r\n",
            &["400"],
        ),
        (
            "a body with an upgrade",
            "POST /read HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: chat\r\ncontent-length: 2\r\n\r\nab",
            &["200", "200"],
        ),
        ("a body with a GET", "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab", &["200", "200"]),
        (
            "a body that nobody reads",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nab\r\n0\r\nz: 1\r\n\r\n",
            &["200", "200"],
        ),
        (
            "an expectation with its body",
            "POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nab",
            &["100", "200", "200"],
        ),
        (
            "an expectation that nobody meets",
            "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 44\r\n\r\n",
            &["200"],
        ),
        ("a close", "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", &["200"]),
        ("HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", &["200"]),
        ("a failed CONNECT", "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n", &["404", "200"]),
    ];
    each_driver(async |core| {
        serve_on(&core, ServerConfig::default(), routes(), (), async |client| {
            for (name, hostile, expected) in CASES {
                let mut connection = client.raw(format!("{hostile}{GET}")).await;
                // The connection ends by itself or behind this one.
                connection.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
                let mut answers = statuses(&connection.receive_all().await);
                if expected.len() > 1 {
                    assert_eq!(answers.pop().as_deref(), Some("200"), "{name}: the last");
                }
                assert_eq!(answers, *expected, "{name}: b\"{}\"", hostile.escape_debug());
            }
        })
        .await;
    });
}

#[test]
fn serving_that_is_dropped_closes_its_listeners_and_connections() {
    each_driver(async |core| {
        let server = Server::bind("127.0.0.1:0", ServerConfig::default()).expect("a free port");
        let address = server.local_addrs()[0].as_socket().expect("over IP");
        let stats = server.stats();
        let routes =
            Router::new().get("/slow", async |_: &(), _| -> &'static str { std::future::pending().await });
        let here = core.clone();
        let served = core.spawn("served", async move {
            time::timeout(Duration::from_millis(200), server.serve(&here, routes, ())).await.is_err()
        });
        let client = TestClient::new(&core, address);
        let mut idle = client.raw("").await;
        let mut busy = client.raw("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(served.await.expect("no panic"), "it was dropped");
        assert_eq!(idle.receive_all().await, b"");
        assert_eq!(busy.receive_all().await, b"");
        time::sleep(Duration::from_millis(50)).await;
        assert_eq!(stats.active.get(), 0);
        assert!(TcpStream::connect(address).is_err(), "nobody listens");
    });
}

/// Polls a future once and drops it: its output, if it had one.
async fn once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Polls futures once each, a little apart, until one is ready.
async fn by_many<T>(mut next: impl AsyncFnMut() -> Option<T>) -> T {
    loop {
        if let Some(output) = next().await {
            return output;
        }
        time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_stream_whose_writes_and_flushes_are_dropped_at_every_await_loses_nothing() {
    const PIECES: usize = 400;
    each_driver(async |core| {
        let routes = Router::new().get("/", async |_: &(), _| {
            Response::stream(async |mut out| {
                for n in 0..PIECES {
                    // A write that is dropped has queued its piece.
                    let piece = vec![b'a' + u8::try_from(n % 26).unwrap_or_default(); 5000];
                    if once(out.write(piece)).await.is_none() {
                        time::sleep(Duration::from_millis(1)).await;
                    }
                }
                by_many(async || once(out.flush()).await).await
            })
        });
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            let body = client.get("/").await.body;
            let expected: Vec<u8> = (0..PIECES)
                .flat_map(|n| vec![b'a' + u8::try_from(n % 26).unwrap_or_default(); 5000])
                .collect();
            assert!(body == expected, "{} of {} bytes", body.len(), expected.len());
        })
        .await;
    });
}

#[test]
fn a_session_whose_operations_are_dropped_at_every_await_loses_nothing() {
    each_driver(async |core| {
        let routes = Router::new().get("/", async |_: &(), request: Request| -> Result<&'static str> {
            let mut session = request.upgrade("chat", &Default::default())?;
            while let Some(bytes) = by_many(async || once(session.read()).await).await? {
                once(session.write(bytes)).await;
            }
            by_many(async || once(session.flush()).await).await?;
            by_many(async || once(session.shutdown()).await).await?;
            time::sleep(Duration::from_millis(20)).await;
            Ok("")
        });
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            let upgrade = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n";
            let mut connection = client.raw(upgrade).await;
            let mut sent = String::new();
            for n in 0..100 {
                let line = format!("line {n}\n").repeat(n);
                connection.send(line.as_str()).await;
                sent += &line;
                if n % 10 == 0 {
                    time::sleep(Duration::from_millis(2)).await;
                }
            }
            connection.end();
            let answer = String::from_utf8(connection.receive_all().await.to_vec()).expect("text");
            let (head, echoed) = answer.split_once("\r\n\r\n").expect("a head");
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            assert!(echoed == sent, "{} of {} bytes", echoed.len(), sent.len());
        })
        .await;
    });
}

#[test]
fn a_body_that_is_collected_again_after_a_dropped_read_goes_on_behind_what_was_lost() {
    each_driver(async |core| {
        let routes = Router::new().post("/", async |_: &(), mut request: Request| -> Result<String> {
            let dropped = time::timeout(Duration::from_millis(30), request.text()).await.is_err();
            Ok(format!("{dropped} {}", request.text().await?))
        });
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            let mut connection =
                client.raw("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc").await;
            time::sleep(Duration::from_millis(100)).await;
            connection.send("def").await;
            assert_eq!(connection.response(&Method::POST).await.text(), "true def");
            connection.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nok").await;
            // It was not dropped, so there is nothing behind it: to ask again is the handler's mistake.
            assert_eq!(connection.response(&Method::POST).await.status, 500);
        })
        .await;
    });
}

/// Sends `count` requests at once, and reads while they leave; gives how many were answered.
fn flood(address: SocketAddr, count: usize) -> usize {
    let mut reader = TcpStream::connect(address).expect("the server listens");
    let mut writer = reader.try_clone().expect("an open socket");
    let sending = thread::spawn(move || {
        writer.write_all(GET.repeat(count).as_bytes()).expect("the server reads");
        writer.shutdown(Shutdown::Write).expect("an open socket");
    });
    let mut answers = Vec::new();
    reader.read_to_end(&mut answers).expect("the server ends the connection");
    sending.join().expect("all was sent");
    statuses(&answers).iter().filter(|status| *status == "200").count()
}

#[test]
fn a_client_that_pipelines_does_not_have_the_core_to_itself() {
    const REQUESTS: usize = 20_000;
    each_driver(async |core| {
        let here = core.clone();
        let config = ServerConfig::default();
        // What is left of each of the reads that a connection makes in a row, and what makes it give way.
        let in_a_row_max = 17 * u64::try_from(config.pipelined_requests_max).expect("a small number");
        let server = Server::bind("127.0.0.1:0", config).expect("a free port");
        let (stats, address) = (server.stats(), server.local_addrs()[0].as_socket().expect("TCP"));
        let served = core.spawn("server", async move { server.serve(&here, routes(), ()).await });
        let mut flooding = pin!(core.spawn_blocking(move || flood(address, REQUESTS)));
        let mut most = 0;
        let answered = loop {
            let before = stats.requests.get();
            core.yield_now().await;
            most = most.max(stats.requests.get() - before);
            if let Poll::Ready(answered) = poll_fn(|cx| Poll::Ready(flooding.as_mut().poll(cx))).await {
                break answered.expect("no panic");
            }
        };
        assert_eq!(answered, REQUESTS);
        assert!(most <= in_a_row_max, "{most} requests before anybody else had a turn");
        core.shutdown();
        served.await.expect("no panic").expect("no error");
    });
}
