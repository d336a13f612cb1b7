//! The connection driver on a wire in memory with a paused clock: every wait is stepped by hand.

mod bodies;
mod deadlines;
mod disconnect;
mod ends;
mod hostile;
#[cfg(feature = "rustls")]
mod tls;
mod websocket;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use ringhttp_runtime::buffer::BufferPool;
use ringhttp_runtime::file::OpenFile;
use ringhttp_runtime::time::Timers;

use super::{
    Acceptor, Body, CloseReason, Connection, Host, Request, Response, ServerConfig, Service, serve_connection,
};
use crate::error::Result;
use crate::io::duplex::{Duplex, FarEnd, Flag};
use crate::io::transport::Transport;

/// A connection under test, with the peer's end of its wire.
struct Bench {
    far: FarEnd,
    host: Rc<Host>,
    connection: Rc<Connection>,
    task: Option<Pin<Box<dyn Future<Output = CloseReason>>>>,
    ended: Option<CloseReason>,
    flag: Arc<Flag>,
    /// Bytes that came behind what was looked at.
    left: Vec<u8>,
}

impl Bench {
    fn new(service: impl Service) -> Self {
        Self::with_config(ServerConfig::default(), service)
    }

    fn with_config(config: ServerConfig, service: impl Service) -> Self {
        let timers = Timers::new();
        timers.pause();
        let host = Rc::new(Host::new(config, Rc::default(), BufferPool::new(), timers));
        Self::on(host, None, service)
    }

    /// One of several connections of a server.
    fn on(host: Rc<Host>, acceptor: Option<Rc<Acceptor>>, service: impl Service) -> Self {
        let (near, far) = Duplex::pair();
        let connection = Connection::new(Rc::clone(&host), Transport::Duplex(near), None, None);
        let served = Rc::clone(&connection);
        let task: Pin<Box<dyn Future<Output = CloseReason>>> =
            Box::pin(async move { serve_connection(served, acceptor, &service, |reason| reason).await });
        let mut bench = Self {
            far,
            host,
            connection,
            task: Some(task),
            ended: None,
            flag: Arc::default(),
            left: Vec::new(),
        };
        bench.run();
        bench
    }

    /// Polls the connection's task until it waits.
    fn run(&mut self) {
        let waker = Waker::from(Arc::clone(&self.flag));
        let mut cx = Context::from_waker(&waker);
        for _ in 0..1000 {
            self.flag.0.store(false, Ordering::Relaxed);
            let Some(task) = &mut self.task else { return };
            if let Poll::Ready(reason) = task.as_mut().poll(&mut cx) {
                self.ended = Some(reason);
                self.task = None;
            }
            if !self.flag.0.load(Ordering::Relaxed) {
                return;
            }
        }
        panic!("the connection spins");
    }

    fn send(&mut self, bytes: &[u8]) -> String {
        self.far.send(bytes);
        self.run();
        self.received()
    }

    fn received(&self) -> String {
        String::from_utf8(self.far.received()).expect("text")
    }

    fn advance(&mut self, by: Duration) -> String {
        self.host.timers.advance(by);
        self.run();
        self.received()
    }
}

async fn hello(_: Request) -> Response {
    Response::text("hello")
}

async fn echo(mut request: Request) -> Response {
    let mut all = Vec::new();
    loop {
        match request.chunk().await {
            Ok(Some(piece)) => all.extend_from_slice(&piece),
            Ok(None) => return Response::text(all),
            Err(error) => return crate::Error::from(error).into(),
        }
    }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const SECOND: Duration = Duration::from_secs(1);

fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

#[test]
fn a_request_is_answered_and_the_connection_waits_for_the_next() {
    let mut bench = Bench::new(hello);
    let answer = bench.send(GET);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-length: 5\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    assert_eq!(statuses(&bench.send(GET)), ["200"]);
    assert_eq!(bench.ended, None);
}

#[test]
fn requests_split_at_every_byte_get_the_same_answer() {
    // The second may change meanwhile.
    let undated = |answer: &str| -> Vec<String> {
        answer.lines().filter(|line| !line.starts_with("date: ")).map(str::to_owned).collect()
    };
    let whole = Bench::new(echo).send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert!(whole.ends_with("hello"));
    for limit in 1..60 {
        let mut bench = Bench::new(echo);
        bench.far.limit_reads(limit);
        let answer = bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(undated(&answer), undated(&whole), "{limit} bytes at a time");
    }
}

#[test]
fn a_pipelined_batch_is_answered_in_order() {
    let mut bench = Bench::new(async |request: Request| Response::text(request.path().to_owned()));
    let mut batch = Vec::new();
    for n in 0..100 {
        batch.extend_from_slice(format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    }
    let answers = bench.send(&batch);
    let bodies: Vec<_> =
        answers.split("HTTP/1.1 ").skip(1).map(|a| a.rsplit("\r\n\r\n").next().unwrap()).collect();
    let expected: Vec<_> = (0..100).map(|n| format!("/{n}")).collect();
    assert_eq!(bodies, expected);
}

#[test]
fn an_earlier_answer_leaves_while_a_later_handler_waits() {
    let release = Rc::new(Cell::new(false));
    let released = Rc::clone(&release);
    let mut bench = Bench::new(async move |request: Request| {
        if request.path() == "/slow" {
            std::future::poll_fn(|_| if released.get() { Poll::Ready(()) } else { Poll::Pending }).await;
        }
        Response::text("done")
    });
    let answer = bench.send(b"GET /fast HTTP/1.1\r\nHost: a\r\n\r\nGET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(statuses(&answer), ["200"]);
    release.set(true);
    bench.run();
    assert_eq!(statuses(&bench.received()), ["200"]);
}

#[test]
fn head_is_answered_without_the_body() {
    let mut bench = Bench::new(hello);
    let answer = bench.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.contains("content-length: 5\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(statuses(&bench.send(GET)), ["200"]);
}

#[test]
fn rfc9110_8_6_an_answer_to_head_says_the_length_that_the_handler_says_or_none() {
    let mut bench = Bench::new(async |request: Request| {
        let response = Response::empty(http::StatusCode::OK);
        match request.path() {
            "/known" => {
                response.with_header(http::header::CONTENT_LENGTH, http::HeaderValue::from_static("12345"))
            }
            _ => response,
        }
    });
    let answer = bench.send(b"HEAD /known HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.contains("content-length: 12345\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    let answer = bench.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(statuses(&answer), ["200"]);
    assert!(!answer.contains("content-length"), "{answer}");
    assert!(bench.send(GET).contains("content-length: 0\r\n"));
}

#[test]
fn rfc9110_15_3_6_a_205_is_sent_without_the_body_that_it_was_given() {
    let mut bench = Bench::new(async |_: Request| {
        Response::text("not to be sent").with_status(http::StatusCode::RESET_CONTENT)
    });
    for _ in 0..2 {
        let answer = bench.send(GET);
        assert_eq!(statuses(&answer), ["205"]);
        assert!(answer.contains("content-length: 0\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[test]
fn fields_that_were_marked_as_sensitive_are_not_in_the_next_request() {
    let mut bench = Bench::new(async |mut request: Request| {
        let is_marked = request.header(http::header::HOST).is_some_and(http::HeaderValue::is_sensitive);
        request.mark_sensitive(&[http::header::HOST]);
        Response::text(is_marked.to_string())
    });
    for _ in 0..3 {
        assert!(bench.send(GET).ends_with("false"));
    }
}

#[test]
fn rfc9112_9_3_http_1_0_closes_unless_it_asks_to_be_kept() {
    let mut bench = Bench::new(hello);
    let answer = bench.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(answer.contains("connection: keep-alive\r\n"), "{answer}");
    assert_eq!(bench.ended, None);
    let answer = bench.send(b"GET / HTTP/1.0\r\n\r\n");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert_eq!(bench.ended, Some(CloseReason::AskedByPeer));
}

#[test]
fn rfc9110_10_1_1_a_100_is_sent_when_the_handler_asks_for_the_body() {
    let mut bench = Bench::new(echo);
    let interim =
        bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(bench.send(b"ab").ends_with("\r\n\r\nab"));
    assert_eq!(bench.ended, None);
}

#[test]
fn a_client_that_waits_for_a_100_in_vain_gets_the_answer_and_the_end() {
    let mut bench = Bench::new(hello);
    let answer =
        bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(statuses(&answer), ["200"]);
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(bench.far.near_has_ended());
}

#[test]
fn an_unread_body_is_drained_and_the_next_request_answered() {
    let mut bench = Bench::new(hello);
    let answer = bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
    assert_eq!(statuses(&answer), ["200"]);
    assert_eq!(statuses(&bench.send(b"67890")), Vec::<&str>::new());
    assert_eq!(statuses(&bench.send(GET)), ["200"]);
}

#[test]
fn a_body_too_long_to_drain_closes_after_the_answer_and_is_read_for_a_while() {
    let mut bench = Bench::new(hello);
    let answer = bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n12345");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(bench.far.near_has_ended());
    assert_eq!(bench.ended, None, "it lingers");
    bench.send(&[b'x'; 5000]);
    assert_eq!(bench.ended, None, "it lingers");
    bench.far.end();
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::BodyLeftUnread));
}

#[test]
fn a_refused_head_is_answered_and_closed() {
    let mut bench = Bench::new(hello);
    let answer = bench.send(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(statuses(&answer), ["400"]);
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(bench.far.near_has_ended());
    bench.far.end();
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::Refused));
    assert_eq!(bench.host.stats.refused.get(), 1);
}

#[test]
fn answers_before_a_refused_head_are_not_lost() {
    let mut bench = Bench::new(hello);
    let answers = bench.send(&[GET, b"GARBAGE\r\n\r\n"].concat());
    assert_eq!(statuses(&answers), ["200", "400"]);
}

#[test]
fn a_body_over_the_limit_is_refused_with_413() {
    let mut config = ServerConfig::default();
    config.body_bytes_max = 4;
    for request in [
        &b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"[..],
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    ] {
        let mut bench = Bench::with_config(config.clone(), echo);
        let answer = bench.send(request);
        assert_eq!(statuses(&answer), ["413"], "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
}

#[test]
fn a_panicking_handler_is_answered_with_500() {
    let mut bench = Bench::new(async |request: Request| match request.path() {
        "/" => panic!("handler"),
        _ => Response::empty(http::StatusCode::OK),
    });
    assert_eq!(statuses(&bench.send(GET)), ["500"]);
    assert_eq!(bench.host.stats.panics.get(), 1);
    bench.far.end();
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::HandlerPanicked));
}

#[test]
fn a_panicking_stream_ends_the_connection_without_the_end_of_the_body() {
    let mut bench = Bench::new(async |_: Request| {
        Response::stream(async |mut out| {
            out.write("part").await?;
            panic!("stream");
        })
    });
    let answer = bench.send(GET);
    assert!(answer.ends_with("part\r\n"), "{answer}");
    assert_eq!(bench.ended, Some(CloseReason::HandlerPanicked));
    assert_eq!(bench.host.stats.panics.get(), 1);
}

#[test]
fn an_interim_status_is_no_response() {
    for status in [100, 101, 103] {
        let status = http::StatusCode::from_u16(status).expect("valid");
        let mut bench = Bench::new(async move |_: Request| Response::empty(status));
        assert_eq!(statuses(&bench.send(GET)), ["500"]);
        assert_eq!(statuses(&bench.send(GET)), ["500"], "the connection goes on");
    }
}

#[test]
fn an_upgraded_connection_keeps_what_came_behind_the_request() {
    let mut bench = Bench::new(async |request: Request| {
        let mut session = request.upgrade("chat", &http::HeaderMap::new()).expect("asked for");
        while let Ok(Some(bytes)) = session.read().await {
            session.write(bytes.to_ascii_uppercase()).await.expect("written");
            session.flush().await.expect("flushed");
        }
        Response::empty(http::StatusCode::OK)
    });
    let answer =
        bench.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nfirst");
    assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nFIRST"), "{answer}");
    assert_eq!(bench.send(b"second"), "SECOND");
    bench.far.end();
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::Upgraded));
    assert_eq!(bench.received(), "");
}

#[test]
fn an_idle_connection_costs_little() {
    assert!(size_of::<Connection>() <= 768, "{}", size_of::<Connection>());
    let buffers = BufferPool::new();
    let host = Rc::new(Host::new(ServerConfig::default(), Rc::default(), buffers, Timers::new()));
    let (near, _far) = Duplex::pair();
    let connection = Connection::new(host, Transport::Duplex(near), None, None);
    let future = serve_connection(connection, None, &hello, |reason| reason);
    assert!(size_of_val(&future) <= 1400, "{}", size_of_val(&future));
}
