//! The server over real sockets, on both drivers: what goes over the wire, what becomes of hostile peers, and that nothing
//! is left behind.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use ringhttp::testing::{TestClient, each_driver, serve_on};
use ringhttp::{
    Body, Core, Method, Request, Response, Result, Router, Server, ServerConfig, StatusCode, time,
};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn routes() -> Router<()> {
    Router::new().get("/", hello).post("/echo", echo).post("/length", length).get("/bytes/{n}", bytes)
}

async fn hello(_: &(), _: Request) -> &'static str {
    "hello"
}

async fn echo(_: &(), request: Request) -> Response {
    Response::new(request.into_body())
}

async fn length(_: &(), mut request: Request) -> Result<String> {
    let mut length = 0;
    while let Some(piece) = request.chunk().await? {
        length += piece.len();
    }
    Ok(length.to_string())
}

async fn bytes(_: &(), request: Request) -> Result<Response> {
    let count: usize = request.param("n")?;
    Ok(Response::bytes(vec![b'x'; count]))
}

/// Runs `body` against `routes` on each driver.
fn each(body: impl AsyncFn(TestClient) + Send + Sync) {
    each_with(&ServerConfig::default(), body);
}

fn each_with(config: &ServerConfig, body: impl AsyncFn(TestClient) + Send + Sync) {
    each_driver(async |core| serve_on(&core, config.clone(), routes(), (), &body).await);
}

fn head_and_body(answer: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

#[test]
fn an_answer_has_the_fields_it_should() {
    each(async |client| {
        let mut connection = client.raw(GET).await;
        let (head, body) = head_and_body(&connection.receive().await);
        let mut lines: Vec<_> = head.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        assert_eq!(lines[0], "HTTP/1.1 200 OK");
        assert_eq!(lines[1], "content-length: 5");
        assert_eq!(lines[2], "content-type: text/plain; charset=utf-8");
        assert!(lines[3].starts_with("date: ") && lines[3].ends_with(" GMT"), "{head}");
        assert_eq!(lines[4], "server: ringhttp");
        assert_eq!(lines.len(), 5, "{head}");
        assert_eq!(body, "hello");
    });
}

#[test]
fn one_connection_serves_many_requests_one_by_one_and_pipelined() {
    each(async |client| {
        let mut connection = client.raw("").await;
        for _ in 0..50 {
            connection.send(GET).await;
            assert_eq!(connection.response(&Method::GET).await.text(), "hello");
        }
        connection.send(GET.repeat(500)).await;
        for _ in 0..500 {
            assert_eq!(connection.response(&Method::GET).await.text(), "hello");
        }
    });
}

#[test]
fn a_request_may_come_byte_by_byte() {
    each(async |client| {
        let mut connection = client.raw("").await;
        for byte in
            "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                .bytes()
        {
            connection.send([byte]).await;
        }
        assert_eq!(connection.response(&Method::POST).await.text(), "abc");
    });
}

#[test]
fn large_bodies_travel_both_ways() {
    let mut config = ServerConfig::default();
    config.body_bytes_max = 64 << 20;
    each_with(&config, async |client| {
        let body: Vec<u8> = (0..20_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
        let response = client.request(Method::POST, "/echo").body(body.clone()).send().await;
        assert_eq!(response.status, StatusCode::OK);
        assert!(response.body == body, "the body came back as it was sent");
        assert_eq!(client.get("/bytes/30000000").await.body.len(), 30_000_000);
    });
}

#[test]
fn a_refused_body_gets_its_answer_although_the_client_still_sends() {
    each(async |client| {
        // Without lingering the connection would be reset, and the answer lost with it.
        for _ in 0..10 {
            let response = client.request(Method::POST, "/length").body(vec![b'x'; 5_000_000]).send().await;
            assert_eq!(response.status, StatusCode::PAYLOAD_TOO_LARGE);
            let response = client.request(Method::POST, "/nowhere").body(vec![b'x'; 200_000]).send().await;
            assert_eq!(response.status, StatusCode::NOT_FOUND);
        }
    });
}

#[test]
fn hostile_heads_are_refused_and_closed() {
    const HEADS: &[(&str, u16)] = &[
        ("GARBAGE\r\n\r\n", 400),
        ("\u{16}\u{3}\u{1}\0\u{5}", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\nhost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\n folded\r\n\r\n", 400),
        ("GET http://a/#f HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n", 501),
        ("POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nhost: a\r\n\r\n", 505),
        ("GET / HTTP/1.1\r\nhost: a\r\nexpect: a-pony\r\n\r\n", 417),
    ];
    each(async |client| {
        for &(head, status) in HEADS {
            let mut connection = client.raw(head).await;
            let response = connection.response(&Method::GET).await;
            assert_eq!(response.status.as_u16(), status, "{head:?}");
            assert_eq!(response.header("connection"), Some("close"), "{head:?}");
            assert_eq!(connection.receive_all().await, b"", "{head:?}");
        }
        let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(10_000));
        assert_eq!(client.raw(long).await.response(&Method::GET).await.status.as_u16(), 414);
        let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(200));
        assert_eq!(client.raw(many).await.response(&Method::GET).await.status.as_u16(), 431);
        let endless = format!("GET / HTTP/1.1\r\nhost: a\r\n{}", "x: y\r\n".repeat(20_000));
        assert_eq!(client.raw(endless).await.response(&Method::GET).await.status.as_u16(), 431);
        assert_eq!(client.get("/").await.text(), "hello", "the server still serves");
    });
}

#[test]
fn deadlines_hold_on_the_real_clock() {
    let mut config = ServerConfig::default();
    config.head_timeout = Duration::from_millis(100);
    config.body_timeout = Duration::from_millis(100);
    config.keep_alive_timeout = Duration::from_millis(200);
    each_with(&config, async |client| {
        assert_eq!(client.raw("").await.receive_all().await, b"", "no head at all");
        let (head, _) = head_and_body(&client.raw("GET / HT").await.receive_all().await);
        assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
        let body = "POST /length HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc";
        let (head, _) = head_and_body(&client.raw(body).await.receive_all().await);
        assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
        let (head, _) = head_and_body(&client.raw(GET).await.receive_all().await);
        assert!(head.starts_with("HTTP/1.1 200 "), "kept for a while, then closed: {head}");
    });
}

#[test]
fn a_client_that_never_reads_is_cut_off_and_its_memory_is_bounded() {
    each_driver(async |core| {
        let mut config = ServerConfig::default();
        config.write_timeout = Duration::from_millis(300);
        let written = Rc::new(Cell::new(0_usize));
        let counter = Rc::clone(&written);
        let routes = Router::new().get("/endless", async move |_: &(), _| {
            let counter = Rc::clone(&counter);
            Response::stream(async move |mut out| {
                loop {
                    out.write(vec![0_u8; 50_000]).await?;
                    counter.set(counter.get() + 50_000);
                }
            })
        });
        serve_on(&core, config, routes, (), async |client| {
            let _connection = client.raw("GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await;
            time::sleep(Duration::from_millis(200)).await;
            let queued = written.get();
            assert!(queued > 0 && queued < 64 << 20, "{queued} bytes went into the kernel");
            time::sleep(Duration::from_millis(600)).await;
            assert_eq!(written.get(), queued, "the writer was dropped");
        })
        .await;
    });
}

#[test]
fn connections_beyond_the_cap_wait_until_one_ends() {
    let mut config = ServerConfig::default();
    config.connections_max = 2;
    each_with(&config, async |client| {
        let mut first = client.raw(GET).await;
        let mut second = client.raw(GET).await;
        assert_eq!(first.response(&Method::GET).await.text(), "hello");
        assert_eq!(second.response(&Method::GET).await.text(), "hello");
        let mut third = client.raw(GET).await;
        let early = time::timeout(Duration::from_millis(150), third.response(&Method::GET)).await;
        assert!(early.is_err(), "two is the limit");
        let mut fourth = client.raw(GET).await;
        first.end();
        second.end();
        assert_eq!(fourth.response(&Method::GET).await.text(), "hello");
    });
}

#[test]
fn the_cap_of_all_cores_is_kept_together() {
    let mut config = ServerConfig::default();
    config.connections_total_max = Some(1);
    each_with(&config, async |client| {
        let mut first = client.raw(GET).await;
        assert_eq!(first.response(&Method::GET).await.text(), "hello");
        let mut second = client.raw(GET).await;
        time::sleep(Duration::from_millis(100)).await;
        first.end();
        assert_eq!(second.response(&Method::GET).await.text(), "hello");
    });
}

#[test]
fn a_stop_answers_what_is_in_flight_and_what_waits_in_the_backlog() {
    each_driver(async |core| {
        let entered = Rc::new(Cell::new(0));
        let counter = Rc::clone(&entered);
        let routes = Router::new().get("/slow", async move |_: &(), _| {
            counter.set(counter.get() + 1);
            time::sleep(Duration::from_millis(200)).await;
            "done"
        });
        let stopping = core.clone();
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            let mut idle = client.raw("").await;
            let slow = "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n";
            let mut busy = client.raw(slow).await;
            while entered.get() == 0 {
                time::sleep(Duration::from_millis(5)).await;
            }
            stopping.shutdown();
            assert_eq!(idle.receive_all().await, b"", "an idle connection is closed at once");
            let response = busy.response(&Method::GET).await;
            assert_eq!((response.text(), response.header("connection")), ("done", Some("close")));
            assert_eq!(busy.receive_all().await, b"");
        })
        .await;
    });
}

#[test]
fn a_unix_socket_serves_like_any_other_and_its_file_goes() {
    each_driver(async |core| {
        let path = format!("/tmp/ringhttp-test-{}-{:?}.sock", std::process::id(), core.driver());
        let server = Server::bind(&format!("unix:{path}"), ServerConfig::default()).expect("bound");
        let here = core.clone();
        let served = core.spawn("server", async move { server.serve(&here, routes(), ()).await });
        let socket = path.clone();
        let answer = core.spawn_blocking(move || {
            let mut stream = UnixStream::connect(socket).expect("connected");
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("answered");
            answer
        });
        assert!(answer.await.expect("ran").ends_with("hello"));
        core.shutdown();
        served.await.expect("no panic").expect("no error");
        assert!(fs::metadata(&path).is_err(), "the file is gone");
    });
}

#[test]
fn an_open_listener_is_taken_over() {
    each_driver(async |core| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = Server::from_tcp(listener, ServerConfig::default()).expect("taken");
        let here = core.clone();
        let served = core.spawn("server", async move { server.serve(&here, routes(), ()).await });
        assert_eq!(TestClient::new(&core, address).get("/").await.text(), "hello");
        core.shutdown();
        served.await.expect("no panic").expect("no error");
    });
}

#[test]
fn a_second_server_on_the_same_port_is_refused() {
    each_driver(async |core| {
        serve_on(&core, ServerConfig::default(), routes(), (), async |client| {
            let address = client.address().to_string();
            let error = Server::bind(&address, ServerConfig::default()).expect_err("taken");
            assert!(format!("{error:?}").contains(&address), "{error:?}");
        })
        .await;
    });
}

#[test]
fn a_config_that_cannot_work_names_its_field() {
    each_driver(async |_| {
        let mut config = ServerConfig::default();
        config.pipelined_requests_max = 0;
        let error = Server::bind("127.0.0.1:0", config).expect_err("refused");
        assert!(format!("{error:?}").contains("pipelined_requests_max"), "{error:?}");
        assert!(Server::bind("nonsense", ServerConfig::default()).is_err());
    });
}

#[test]
fn peers_that_vanish_leave_no_descriptor() {
    each_driver(async |core| {
        serve_on(&core, ServerConfig::default(), routes(), (), async |client| {
            assert_eq!(client.get("/").await.text(), "hello");
            let before = open_fds();
            for round in 0..100 {
                let request = match round % 4 {
                    0 => "",
                    1 => "GET / HTTP/1.1\r\nho",
                    2 => "POST /length HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nabc",
                    _ => "GET /bytes/10000000 HTTP/1.1\r\nhost: a\r\n\r\n",
                };
                let address = client.address();
                let vanish = core.spawn_blocking(move || {
                    let mut stream = std::net::TcpStream::connect(address).expect("accepted");
                    stream.write_all(request.as_bytes()).expect("sent");
                    let socket = socket2::Socket::from(OwnedFd::from(stream));
                    if round % 8 > 3 {
                        socket.set_linger(Some(Duration::ZERO)).expect("set");
                    }
                });
                vanish.await.expect("ran");
            }
            let mut after = open_fds();
            for _ in 0..100 {
                if after <= before {
                    break;
                }
                time::sleep(Duration::from_millis(20)).await;
                after = open_fds();
            }
            assert!(after <= before, "{before} descriptors before, {after} after");
            assert_eq!(client.get("/").await.text(), "hello");
        })
        .await;
    });
}

#[test]
fn an_upgraded_connection_is_a_stream_of_bytes() {
    each_driver(async |core| {
        let routes = Router::new().get("/shout", async |_: &(), request: Request| -> Result<()> {
            let mut session = request.upgrade("shout", &ringhttp::HeaderMap::new())?;
            while let Some(bytes) = session.read().await? {
                session.write(bytes.to_ascii_uppercase()).await?;
                session.flush().await?;
            }
            session.shutdown().await?;
            Ok(())
        });
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            let head = "GET /shout HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: shout\r\n\r\n";
            let mut connection = client.raw(format!("{head}early")).await;
            let response = connection.response(&Method::GET).await;
            assert_eq!(response.status, StatusCode::SWITCHING_PROTOCOLS);
            assert_eq!(response.header("upgrade"), Some("shout"));
            let mut heard = connection.receive().await;
            connection.send("late").await;
            connection.end();
            heard.extend(connection.receive_all().await);
            assert_eq!(heard, b"EARLYLATE");
        })
        .await;
    });
}

#[test]
fn a_stream_is_dropped_when_its_client_goes() {
    each_driver(async |core| {
        let dropped = Rc::new(Cell::new(false));
        let flag = Rc::clone(&dropped);
        let routes = Router::new().get("/ticks", async move |_: &(), _| {
            let guard = SetOnDrop(Rc::clone(&flag));
            Response::stream(async move |mut out| {
                let _guard = guard;
                loop {
                    out.write("tick\n").await?;
                    time::sleep(Duration::from_millis(5)).await;
                }
            })
        });
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            let mut connection = client.raw("GET /ticks HTTP/1.1\r\nhost: a\r\n\r\n").await;
            assert!(!connection.receive().await.is_empty());
            drop(connection);
            for _ in 0..200 {
                if dropped.get() {
                    return;
                }
                time::sleep(Duration::from_millis(10)).await;
            }
            panic!("the stream goes on without its client");
        })
        .await;
    });
}

struct SetOnDrop(Rc<Cell<bool>>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn a_body_read_that_loses_a_race_again_and_again_loses_nothing() {
    each_driver(async |core| {
        let routes = Router::new().post("/racy", async |_: &(), mut request: Request| -> Result<String> {
            let mut all = Vec::new();
            loop {
                match time::timeout(Duration::from_millis(1), request.chunk()).await {
                    Ok(Ok(Some(piece))) => all.extend_from_slice(&piece),
                    Ok(Ok(None)) => return Ok(String::from_utf8_lossy(&all).into_owned()),
                    Ok(Err(error)) => return Err(error.into()),
                    Err(_) => {}
                }
            }
        });
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            let body: String = (0..200).map(|n| format!("{n},")).collect();
            let head = format!("POST /racy HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
            let mut connection = client.raw(head).await;
            for piece in body.as_bytes().chunks(7) {
                connection.send(piece).await;
                time::sleep(Duration::from_millis(2)).await;
            }
            assert_eq!(connection.response(&Method::POST).await.text(), body);
        })
        .await;
    });
}

#[test]
fn one_connection_that_never_pauses_does_not_starve_the_others() {
    let mut config = ServerConfig::default();
    config.body_bytes_max = u64::MAX;
    each_with(&config, async |client| {
        let mut flood =
            client.raw("POST /length HTTP/1.1\r\nhost: a\r\ncontent-length: 400000000\r\n\r\n").await;
        let flooding = async {
            for _ in 0..400 {
                flood.send(vec![b'x'; 1_000_000]).await;
            }
            flood.response(&Method::POST).await.text().to_owned()
        };
        let asking = async {
            for _ in 0..20 {
                assert_eq!(client.get("/").await.text(), "hello");
            }
        };
        let (flooded, ()) = both(flooding, asking).await;
        assert_eq!(flooded, "400000000");
    });
}

#[test]
fn a_writer_whose_client_takes_all_gives_the_others_their_turn() {
    each_driver(async |core| {
        let turns = Rc::new(Cell::new(0));
        let (turning, yielder) = (Rc::clone(&turns), core.clone());
        let others = core.spawn("others", async move {
            loop {
                yielder.yield_now().await;
                turning.set(turning.get() + 1);
            }
        });
        let meanwhile = Rc::new(Cell::new(0));
        let seen = Rc::clone(&meanwhile);
        let routes = Router::new().get("/bytes", async move |_: &(), _| {
            let (turns, seen) = (Rc::clone(&turns), Rc::clone(&seen));
            Response::stream(async move |mut out| {
                let before = turns.get();
                for _ in 0..500 {
                    // So little that no buffer is ever full.
                    out.write("x").await?;
                    out.flush().await?;
                }
                seen.set(turns.get() - before);
                Ok(())
            })
        });
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            assert_eq!(client.get("/bytes").await.text(), "x".repeat(500));
        })
        .await;
        assert!(meanwhile.get() >= 10, "{} turns during 500 writes", meanwhile.get());
        others.cancel();
    });
}

/// Waits for both.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (Box::pin(a), Box::pin(b));
    let (mut done_a, mut done_b) = (None, None);
    std::future::poll_fn(|cx| {
        if done_a.is_none()
            && let std::task::Poll::Ready(output) = a.as_mut().poll(cx)
        {
            done_a = Some(output);
        }
        if done_b.is_none()
            && let std::task::Poll::Ready(output) = b.as_mut().poll(cx)
        {
            done_b = Some(output);
        }
        match (done_a.take(), done_b.take()) {
            (Some(a), Some(b)) => std::task::Poll::Ready((a, b)),
            (a, b) => {
                (done_a, done_b) = (a, b);
                std::task::Poll::Pending
            }
        }
    })
    .await
}

#[test]
fn a_handler_that_panics_costs_one_connection_only() {
    each_driver(async |core| {
        let routes =
            Router::new().get("/", hello).get("/panic", async |_: &(), _: Request| -> &'static str {
                panic!("on purpose");
            });
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            assert_eq!(client.get("/panic").await.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(client.get("/").await.text(), "hello");
        })
        .await;
    });
}

#[test]
fn a_body_of_known_length_is_streamed_with_it() {
    each_driver(async |core| {
        let routes = Router::new().get("/", async |_: &(), _| {
            Response::new(Body::stream_of(10, async |mut out| {
                out.write("12345").await?;
                out.flush().await?;
                out.write("67890").await
            }))
        });
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            let response = client.get("/").await;
            assert_eq!((response.text(), response.header("content-length")), ("1234567890", Some("10")));
        })
        .await;
    });
}

#[test]
fn every_core_answers_on_the_port_that_the_first_one_got() {
    let mut config = ringhttp::RuntimeConfig::default();
    config.cores = ringhttp::Cores::Count(2);
    config.handle_signals = false;
    let addresses = std::sync::Mutex::new(Vec::new());
    let run: Result<()> = ringhttp::run(config, async |core: Core| {
        let server = Server::bind("127.0.0.1:0", ServerConfig::default())?;
        let address = server.local_addrs()[0].as_socket().expect("TCP");
        addresses.lock().expect("no panic").push(address);
        let routes = Router::new().get("/", async |core: &Core, _| core.id().to_string());
        let here = core.clone();
        let served = core.spawn("server", async move { server.serve(&here, routes, here.clone()).await });
        if core.id() == 0 {
            time::sleep(Duration::from_millis(100)).await;
            let seen = RefCell::new(std::collections::HashSet::new());
            for _ in 0..200 {
                let answer = TestClient::new(&core, address).get("/").await;
                seen.borrow_mut().insert(answer.text().to_owned());
                if seen.borrow().len() == 2 {
                    break;
                }
            }
            assert_eq!(seen.borrow().len(), 2, "both cores are asked");
            core.shutdown();
        }
        served.await.map_err(ringhttp::Error::internal)?
    });
    run.expect("no error");
    let addresses = addresses.into_inner().expect("no panic");
    assert_eq!(addresses[0], addresses[1]);
}

fn open_fds() -> usize {
    fs::read_dir("/proc/self/fd").expect("procfs").count()
}
