//! The connection driver on a wire in memory with a paused clock: every wait is stepped by hand.

mod disconnect;
mod hostile;
#[cfg(feature = "rustls")]
mod tls;
mod websocket;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use ringhttp_runtime::buffer::BufferPool;
use ringhttp_runtime::file::OpenFile;
use ringhttp_runtime::time::Timers;

use super::{
    Acceptor, Body, CloseReason, Connection, Host, Request, Response, ServerConfig, Service, serve_connection,
};
use crate::error::Result;
use crate::io::duplex::{Duplex, FarEnd};
use crate::io::transport::Transport;

/// A waker that remembers that it was called.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

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
fn lingering_ends_at_its_deadline_and_at_its_limit_of_bytes() {
    for flood in [false, true] {
        let mut bench = Bench::new(hello);
        bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n12345");
        if flood {
            bench.send(&vec![b'x'; 300 * 1024]);
        } else {
            bench.advance(6 * SECOND);
        }
        assert_eq!(bench.ended, Some(CloseReason::BodyLeftUnread));
    }
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
fn the_first_head_has_its_deadline_from_the_accept_on() {
    let mut bench = Bench::new(hello);
    assert_eq!(bench.advance(11 * SECOND), "");
    assert_eq!(bench.ended, Some(CloseReason::HeadTimeout));
}

#[test]
fn a_head_that_trickles_is_answered_with_408() {
    let mut bench = Bench::new(hello);
    bench.send(GET);
    bench.advance(20 * SECOND);
    for byte in &GET[..9] {
        bench.send(&[*byte]);
        assert_eq!(bench.ended, None);
        bench.advance(SECOND);
    }
    let answer = bench.advance(2 * SECOND);
    assert_eq!(statuses(&answer), ["408"]);
    bench.far.end();
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::HeadTimeout));
}

#[test]
fn an_idle_connection_is_kept_for_the_keep_alive_time_and_no_longer() {
    let mut bench = Bench::new(hello);
    bench.send(GET);
    for _ in 0..74 {
        bench.advance(SECOND);
        assert_eq!(bench.ended, None);
    }
    assert_eq!(bench.advance(2 * SECOND), "");
    assert_eq!(bench.ended, Some(CloseReason::KeepAliveExpired));
}

#[test]
fn a_body_that_stalls_is_answered_with_408() {
    let mut bench = Bench::new(echo);
    bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123");
    bench.advance(9 * SECOND);
    assert_eq!(statuses(&bench.send(b"4")), Vec::<&str>::new());
    let answer = bench.advance(11 * SECOND);
    assert_eq!(statuses(&answer), ["408"]);
}

#[test]
fn a_body_below_the_least_rate_is_answered_with_408() {
    let mut bench = Bench::new(echo);
    bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    let mut answer = String::new();
    for _ in 0..20 {
        answer += &bench.advance(SECOND);
        answer += &bench.send(b"x");
    }
    assert_eq!(statuses(&answer), ["408"]);
}

#[test]
fn a_peer_that_takes_nothing_is_cut_after_the_write_timeout() {
    for body in [100, 1_000_000] {
        let mut bench = Bench::new(async move |_: Request| Response::bytes(vec![0; body]));
        bench.far.set_window(50);
        bench.send(GET);
        bench.advance(29 * SECOND);
        assert_eq!(bench.ended, None);
        bench.far.set_window(10);
        bench.run();
        bench.advance(29 * SECOND);
        assert_eq!(bench.ended, None, "it took something");
        bench.advance(32 * SECOND);
        assert_eq!(bench.ended, Some(CloseReason::WriteStalled), "{body}");
    }
}

#[test]
fn a_handler_over_its_deadline_is_dropped_and_answered_with_503() {
    let mut config = ServerConfig::default();
    config.handler_timeout = Some(3 * SECOND);
    let mut bench = Bench::with_config(config, async |_: Request| std::future::pending::<Response>().await);
    assert_eq!(bench.send(GET), "");
    let answer = bench.advance(4 * SECOND);
    assert_eq!(statuses(&answer), ["503"]);
    bench.far.end();
    bench.run();
    assert!(bench.ended.is_some());
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
fn a_client_that_ends_its_side_still_gets_its_answers() {
    let mut bench = Bench::new(hello);
    bench.far.send(&[GET, GET].concat());
    bench.far.end();
    bench.run();
    assert_eq!(statuses(&bench.received()), ["200", "200"]);
    assert_eq!(bench.ended, Some(CloseReason::PeerClosed));
}

#[test]
fn a_client_that_ends_its_side_gets_its_answer_through_a_full_window() {
    let mut bench = Bench::new(hello);
    bench.far.set_window(10);
    bench.far.send(GET);
    bench.far.end();
    bench.run();
    assert_eq!(bench.ended, None, "the answer has not left");
    bench.far.set_window(1000);
    bench.run();
    assert!(bench.received().ends_with("hello"));
    assert_eq!(bench.ended, Some(CloseReason::PeerClosed));
}

#[test]
fn an_end_in_the_middle_of_a_head_or_a_body_is_told_apart() {
    let mut bench = Bench::new(hello);
    bench.far.send(&GET[..9]);
    bench.far.end();
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::PeerClosedEarly));

    let failed = Rc::new(Cell::new(None));
    let seen = Rc::clone(&failed);
    let mut bench = Bench::new(async move |mut request: Request| {
        while let Ok(Some(_)) = request.chunk().await {}
        seen.set(request.chunk().await.err());
        Response::empty(http::StatusCode::OK)
    });
    bench.far.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123");
    bench.far.end();
    bench.run();
    assert_eq!(failed.get(), Some(super::BodyError::Disconnected));
    assert!(bench.ended.is_some());
}

#[test]
fn a_reset_ends_the_connection() {
    let mut bench = Bench::new(hello);
    bench.far.reset();
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::TransportFailed));
}

#[test]
fn connection_close_of_either_side_ends_the_connection_after_the_answer() {
    let mut bench = Bench::new(hello);
    let answer = bench.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert_eq!(bench.ended, Some(CloseReason::AskedByPeer));

    let mut bench = Bench::new(async |_: Request| {
        Response::text("bye").with_header(http::header::CONNECTION, http::HeaderValue::from_static("Close"))
    });
    let answer = bench.send(GET);
    assert_eq!(answer.to_ascii_lowercase().matches("connection: close\r\n").count(), 1, "{answer}");
    bench.far.end();
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::AskedByHandler));
}

#[test]
fn a_stream_leaves_chunked_and_piece_by_piece() {
    let (pieces, next) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(None::<Waker>)));
    let (source, waiter) = (Rc::clone(&pieces), Rc::clone(&next));
    let mut bench = Bench::new(async move |_: Request| {
        let (source, waiter) = (Rc::clone(&source), Rc::clone(&waiter));
        Response::stream(async move |mut out| {
            loop {
                let piece: &'static str = std::future::poll_fn(|cx| match source.borrow_mut().pop() {
                    Some(piece) => Poll::Ready(piece),
                    None => {
                        *waiter.borrow_mut() = Some(cx.waker().clone());
                        Poll::Pending
                    }
                })
                .await;
                if piece.is_empty() {
                    return Ok(());
                }
                out.write(piece).await?;
            }
        })
    });
    let head = bench.send(GET);
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    for (piece, chunk) in [("one", "3\r\none\r\n"), ("three", "5\r\nthree\r\n"), ("", "0\r\n\r\n")] {
        pieces.borrow_mut().push(piece);
        if let Some(waker) = next.borrow_mut().take() {
            waker.wake();
        }
        bench.run();
        assert_eq!(bench.received(), chunk);
    }
    assert_eq!(statuses(&bench.send(GET)), ["200"]);
}

#[test]
fn a_stream_waits_for_a_peer_that_does_not_read() {
    let written = Rc::new(Cell::new(0));
    let counter = Rc::clone(&written);
    let mut bench = Bench::new(async move |_: Request| {
        let counter = Rc::clone(&counter);
        Response::stream(async move |mut out| {
            for _ in 0..1000 {
                out.write(Bytes::from_static(&[b'x'; 10_000])).await?;
                counter.set(counter.get() + 1);
            }
            Ok(())
        })
    });
    bench.far.set_window(0);
    bench.send(GET);
    assert!(written.get() < 30, "{} pieces were queued", written.get());
    bench.far.set_window(usize::MAX);
    bench.run();
    assert_eq!(written.get(), 1000);
}

#[test]
fn a_failed_stream_leaves_no_end() {
    for length in [None, Some(10)] {
        let mut bench = Bench::new(async move |_: Request| {
            let write = async |mut out: super::BodySender| -> Result<()> {
                out.write("part").await?;
                Err(crate::Error::internal("the source broke"))
            };
            Response::new(match length {
                None => Body::stream(write),
                Some(length) => Body::stream_of(length, write),
            })
        });
        let answer = bench.send(GET);
        assert!(answer.contains("part"), "{answer}");
        assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
        assert_eq!(bench.ended, Some(CloseReason::ResponseFailed));
    }
}

#[test]
fn a_stream_that_does_not_keep_its_length_ends_the_connection() {
    for (length, text) in [(3, "four"), (5, "four")] {
        let mut bench = Bench::new(async move |_: Request| {
            Response::new(Body::stream_of(length, async move |mut out| out.write(text).await))
        });
        bench.send(GET);
        assert_eq!(bench.ended, Some(CloseReason::ResponseFailed), "{length} {text}");
    }
}

#[test]
fn a_request_body_passes_through_as_the_response() {
    let mut bench = Bench::new(async |request: Request| Response::new(request.into_body()));
    let answer = bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
    assert!(answer.contains("content-length: 10\r\n") && answer.ends_with("12345"), "{answer}");
    assert_eq!(bench.send(b"67890"), "67890");
    let answer =
        bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    assert!(answer.ends_with("3\r\nabc\r\n0\r\n\r\n"), "{answer}");
    assert_eq!(bench.ended, None);
}

/// A file of a test's own, removed at the end.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str, content: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("ringhttp-conn-{name}-{}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_file_passes_through_memory_where_the_kernel_cannot_send_it() {
    let content: Vec<u8> = (0..200_000_u32).map(|at| b'a' + (at / 7 % 26) as u8).collect();
    let scratch = Scratch::new("memory", &content);
    let path = scratch.0.clone();
    let mut bench = Bench::new(async move |_: Request| {
        let file = OpenFile::open(&path).await.unwrap();
        Response::new(Body::file(file))
    });
    bench.far.set_window(100_000);
    let mut received = bench.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(received.len(), 100_000);
    assert!(bench.connection.queued() <= bench.host.config.write_buffer_bytes_max);
    bench.far.set_window(usize::MAX);
    bench.run();
    received.push_str(&bench.received());
    let (head, body) = received.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-length: 200000"), "{head}");
    assert!(body.as_bytes() == content);
    assert!(bench.send(b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").ends_with("\r\n\r\n"));
    assert_eq!(bench.ended, None);
}

#[test]
fn a_file_that_shrinks_before_it_is_sent_ends_the_connection_early() {
    let scratch = Scratch::new("shrinks", &vec![b'x'; 100_000]);
    let path = scratch.0.clone();
    let mut bench = Bench::new(async move |_: Request| {
        let file = OpenFile::open(&path).await.unwrap();
        std::fs::write(&path, vec![b'x'; 80_000]).unwrap();
        Response::new(Body::file(file))
    });
    let received = bench.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let (head, body) = received.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-length: 100000") && body.len() < 100_000, "{head} {}", body.len());
    assert_eq!(bench.ended, Some(CloseReason::ResponseFailed));
}

#[test]
fn a_body_over_the_limit_is_not_passed_through() {
    let mut config = ServerConfig::default();
    config.body_bytes_max = 4;
    let mut bench = Bench::with_config(config, async |request: Request| Response::new(request.into_body()));
    let answer = bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(statuses(&answer), ["413"], "{answer}");
}

#[test]
fn trailers_travel_both_ways() {
    let mut bench = Bench::new(async |mut request: Request| {
        while let Ok(Some(_)) = request.chunk().await {}
        let trailers = request.trailers().expect("trailers");
        Response::stream(async move |mut out| {
            out.write("body").await?;
            out.set_trailers(trailers);
            Ok(())
        })
    });
    let answer = bench.send(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-sum: 7\r\n\r\n",
    );
    assert!(answer.ends_with("4\r\nbody\r\n0\r\nx-sum: 7\r\n\r\n"), "{answer}");
}

#[test]
fn a_body_read_after_the_answer_is_gone_and_touches_nothing() {
    let kept = Rc::new(RefCell::new(None));
    let keep = Rc::clone(&kept);
    let mut bench = Bench::new(async move |request: Request| {
        keep.borrow_mut().get_or_insert(request);
        Response::text("early")
    });
    bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    bench.far.send(b"GET / HTTP/1.1\r\n");
    bench.run();
    let mut old: Request = kept.borrow_mut().take().expect("kept");
    let mut read = std::pin::pin!(old.chunk());
    let polled = read.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(polled, Poll::Ready(Err(super::BodyError::Gone)));
    assert_eq!(statuses(&bench.send(b"Host: a\r\n\r\n")), ["200"]);
}

#[test]
fn dropping_a_read_of_the_body_at_every_await_loses_nothing() {
    let mut bench = Bench::new(async |mut request: Request| {
        let mut all = Vec::new();
        loop {
            // Each future is polled once and dropped; the next one takes over.
            let polled = std::future::poll_fn(|cx| {
                let polled = std::pin::pin!(request.chunk()).poll(cx);
                Poll::Ready(polled)
            })
            .await;
            match polled {
                Poll::Ready(Ok(Some(piece))) => all.extend_from_slice(&piece),
                Poll::Ready(_) => return Response::text(all),
                Poll::Pending => yield_once().await,
            }
        }
    });
    bench.far.limit_reads(1);
    let mut answer = String::new();
    let body: String = ('a'..='z').collect();
    for byte in format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 26\r\n\r\n{body}").bytes() {
        answer += &bench.send(&[byte]);
    }
    assert!(answer.ends_with(&body), "{answer}");
}

/// Waits for the next wake-up of the task.
async fn yield_once() {
    let mut waited = false;
    std::future::poll_fn(
        |_| {
            if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
        },
    )
    .await;
}

#[test]
fn a_stopping_server_closes_idle_connections_and_answers_the_others() {
    let mut bench = Bench::new(hello);
    bench.send(GET);
    bench.host.stop();
    bench.connection.wake();
    bench.run();
    bench.advance(SECOND);
    assert_eq!(bench.ended, Some(CloseReason::Stopping));

    let mut bench = Bench::new(echo);
    bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na");
    bench.host.stop();
    bench.connection.wake();
    bench.run();
    assert_eq!(bench.ended, None);
    let answer = bench.send(b"b");
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("ab"), "{answer}");
    bench.far.end();
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::Stopping));
}

#[test]
fn the_cut_ends_a_connection_wherever_it_is() {
    for request in [&b""[..], b"GET", GET] {
        let mut bench = Bench::new(async |_: Request| std::future::pending::<Response>().await);
        bench.send(request);
        bench.host.stop();
        bench.host.cut();
        bench.connection.wake();
        bench.run();
        assert_eq!(bench.ended, Some(CloseReason::Cut));
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
