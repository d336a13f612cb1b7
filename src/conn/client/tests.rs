//! A client's connection on a wire in memory with a paused clock: every wait is stepped by hand.

mod expectations;
mod limits;
mod uploads;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use http::{HeaderValue, StatusCode};

use super::*;
use crate::io::duplex::{Duplex, FarEnd};
use crate::proto::PeerError;

/// A waker that counts its calls.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection under test, with the server's end of its wire.
struct Bench {
    far: FarEnd,
    timers: Timers,
    connection: ClientConnection,
    head: ResponseHead,
    wakes: Arc<Wakes>,
}

impl Bench {
    fn new() -> Self {
        let timers = Timers::new();
        timers.pause();
        let (near, far) = Duplex::pair();
        let buffers = BufferPool::new();
        let connection = ClientConnection::new(Transport::Duplex(near), Limits::default(), &buffers, &timers);
        let mut bench =
            Self { far, timers, connection, head: ResponseHead::default(), wakes: Arc::default() };
        assert!(bench.idle().is_pending());
        bench
    }

    fn with<T>(&mut self, poll: impl FnOnce(&mut ClientConnection, &mut Context<'_>) -> T) -> T {
        let waker = Waker::from(Arc::clone(&self.wakes));
        poll(&mut self.connection, &mut Context::from_waker(&waker))
    }

    fn idle(&mut self) -> Poll<CloseReason> {
        self.with(ClientConnection::poll_idle)
    }

    fn begin(&mut self, method: &Method, headers: &[(&'static str, &'static str)], body: impl Into<Body>) {
        self.begin_within(method, headers, body, ExchangeLimits { queued_max: 1024, ..Default::default() });
    }

    fn begin_within(
        &mut self,
        method: &Method,
        headers: &[(&'static str, &'static str)],
        body: impl Into<Body>,
        limits: ExchangeLimits,
    ) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let request = Outgoing {
            method,
            target: "/",
            headers: &map,
            implied: ImpliedRequest { host: Some("h"), ..ImpliedRequest::default() },
            closes: false,
            continue_wait: map.contains_key(header::EXPECT).then_some(SECOND),
            body: body.into(),
        };
        self.connection.begin(request, limits).expect("a request");
    }

    fn get(&mut self) {
        self.begin(&Method::GET, &[], ());
    }

    fn head(&mut self) -> Poll<Result<(), Failure>> {
        let mut head = std::mem::take(&mut self.head);
        let polled = self.with(|connection, cx| connection.poll_head(cx, &mut head));
        self.head = head;
        polled
    }

    /// The status of an answer that is here.
    fn status(&mut self) -> StatusCode {
        match self.head() {
            Poll::Ready(Ok(())) => self.head.status,
            other => panic!("no head: {other:?}"),
        }
    }

    fn chunk(&mut self) -> Poll<Result<Option<Bytes>, Failure>> {
        self.with(ClientConnection::poll_body)
    }

    /// The rest of a body that is here to its end.
    fn body(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            match self.chunk() {
                Poll::Ready(Ok(Some(piece))) => all.extend_from_slice(&piece),
                Poll::Ready(Ok(None)) => return all,
                other => panic!("{other:?} behind {}", all.escape_ascii()),
            }
        }
    }

    /// Whether the future was woken since it was asked last.
    fn was_woken(&self) -> bool {
        self.wakes.0.swap(0, Ordering::Relaxed) > 0
    }

    fn received(&self) -> String {
        String::from_utf8(self.far.received()).expect("text")
    }

    /// A whole exchange of a GET: its answer's status and body, and what comes behind it.
    fn exchange(&mut self, answer: &[u8]) -> (u16, Vec<u8>, Result<(), CloseReason>) {
        self.get();
        assert!(self.head().is_pending());
        self.far.send(answer);
        let status = self.status().as_u16();
        (status, self.body(), self.connection.finish())
    }
}

const SECOND: Duration = Duration::from_secs(1);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn a_request_leaves_when_its_answer_is_waited_for_and_another_follows() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.get();
        assert_eq!(bench.received(), "");
        assert!(bench.head().is_pending());
        assert_eq!(bench.received(), "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
        assert!(!bench.was_woken(), "nobody is woken for what was sent");
        bench.far.send(OK);
        assert!(bench.was_woken());
        assert_eq!(bench.status(), 200);
        assert_eq!(bench.body(), b"hello");
        assert_eq!(bench.connection.finish(), Ok(()));
        assert!(bench.idle().is_pending());
    }
    assert_eq!(bench.connection.exchanges, 3);
}

#[test]
fn answers_are_read_in_any_pieces() {
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n0\r\nT: u\r\n\r\n";
    for answer in [OK, chunked] {
        for split in 1..answer.len() {
            let mut bench = Bench::new();
            bench.get();
            let (mut all, mut has_head) = (Vec::new(), false);
            for piece in [&answer[..split], &answer[split..]] {
                assert!(if has_head { bench.chunk().is_pending() } else { bench.head().is_pending() });
                bench.far.send(piece);
                has_head = has_head || bench.head().is_ready();
                while has_head && let Poll::Ready(Ok(Some(piece))) = bench.chunk() {
                    all.extend_from_slice(&piece);
                }
            }
            assert_eq!(all, b"hello", "split at {split}");
            let trailers = bench.connection.take_trailers();
            assert_eq!(trailers.is_some_and(|fields| fields["t"] == "u"), answer == chunked);
            assert_eq!(bench.connection.finish(), Ok(()));
        }
    }
}

#[test]
fn whether_another_request_may_follow() {
    const CASES: &[(&[u8], Result<(), CloseReason>)] = &[
        (OK, Ok(())),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Ok(())),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", Ok(())),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            Err(CloseReason::AskedByServer),
        ),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", Err(CloseReason::AskedByServer)),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", Ok(())),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!", Err(CloseReason::ExtraBytes)),
        (b"HTTP/1.1 204 x\r\nContent-Length: 1\r\n\r\nx", Err(CloseReason::ExtraBytes)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\r\n", Err(CloseReason::ExtraBytes)),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            Err(CloseReason::ExtraBytes),
        ),
    ];
    for (answer, expected) in CASES {
        let (_, _, reuse) = Bench::new().exchange(answer);
        assert_eq!(reuse, *expected, "{}", answer.escape_ascii());
    }
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    let mut bench = Bench::new();
    bench.get();
    bench.far.send(b"HTTP/1.1 200 OK\r\n\r\nuntil ");
    assert_eq!(bench.status(), 200);
    assert!(matches!(bench.chunk(), Poll::Ready(Ok(Some(piece))) if piece == "until "));
    assert!(bench.chunk().is_pending());
    assert!(!bench.connection.is_complete());
    bench.far.send(b"the end");
    bench.far.end();
    assert_eq!(bench.body(), b"the end");
    assert_eq!(bench.body(), b"", "the end stays the end");
    assert!(bench.connection.is_complete());
    assert_eq!(bench.connection.finish(), Err(CloseReason::AskedByServer));
}

#[test]
fn a_reset_is_not_the_end_of_a_body_without_a_length() {
    let mut bench = Bench::new();
    bench.get();
    bench.far.send(b"HTTP/1.1 200 OK\r\n\r\n");
    assert_eq!(bench.status(), 200);
    assert!(bench.chunk().is_pending());
    bench.far.reset();
    assert!(matches!(bench.chunk(), Poll::Ready(Err(Failure::Read(Some(_))))));
    assert_eq!(bench.connection.finish(), Err(CloseReason::Failed));
}

#[test]
fn a_reset_that_sending_has_met_is_none_either() {
    for (met, is_end) in [(io::ErrorKind::ConnectionReset, false), (io::ErrorKind::BrokenPipe, true)] {
        let mut bench = Bench::new();
        bench.get();
        bench.far.send(b"HTTP/1.1 200 OK\r\n\r\nhalf");
        assert_eq!(bench.status(), 200);
        assert!(matches!(bench.chunk(), Poll::Ready(Ok(Some(piece))) if piece == "half"));
        bench.connection.write_failure = Some(met.into());
        bench.far.end();
        match bench.chunk() {
            Poll::Ready(Ok(None)) => assert!(is_end, "{met}"),
            Poll::Ready(Err(Failure::Read(_))) => assert!(!is_end, "{met}"),
            other => panic!("{met}: {other:?}"),
        }
    }
}

#[test]
fn answers_to_head_have_no_body_and_say_close_before_it() {
    let mut bench = Bench::new();
    bench.begin(&Method::HEAD, &[], ());
    bench.far.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(bench.status(), 200);
    assert_eq!(bench.body(), b"");
    assert_eq!(bench.connection.finish(), Ok(()));
    // The method of the next request frames its answer.
    assert_eq!(bench.exchange(OK), (200, b"hello".to_vec(), Ok(())));
}

#[test]
fn interim_answers_are_passed_over_and_bounded() {
    let mut bench = Bench::new();
    bench.get();
    bench.far.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
    assert!(bench.head().is_pending());
    bench.far.send(OK);
    assert_eq!(bench.status(), 200);
    assert!(!bench.head.headers.contains_key("link"));
    assert_eq!(bench.connection.interim(), 2);
    assert_eq!(bench.body(), b"hello");
    assert_eq!(bench.connection.finish(), Ok(()));

    bench.get();
    bench.far.send(&b"HTTP/1.1 102 Processing\r\n\r\n".repeat(100));
    assert!(matches!(bench.head(), Poll::Ready(Err(Failure::Protocol(PeerError::InformationalTooMany)))));
    assert_eq!(bench.connection.finish(), Err(CloseReason::Failed));
}

#[test]
fn a_switch_of_protocols_has_to_be_asked_for() {
    const SWITCH: &[u8] =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbytes";
    let mut bench = Bench::new();
    bench.get();
    bench.far.send(SWITCH);
    assert!(matches!(bench.head(), Poll::Ready(Err(Failure::UnaskedSwitch))));

    let mut bench = Bench::new();
    bench.begin(&Method::GET, &[("connection", "Upgrade"), ("upgrade", "x")], ());
    bench.far.send(SWITCH);
    assert_eq!(bench.status(), 101);
    let mut upgraded = bench.connection.into_upgraded(SECOND).expect("switched");
    let mut read = std::pin::pin!(upgraded.read());
    let read = read.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(read, Poll::Ready(Ok(Some(bytes))) if bytes == "bytes"));
}

#[test]
fn a_tunnel_begins_behind_a_success() {
    let mut bench = Bench::new();
    bench.begin(&Method::CONNECT, &[], ());
    bench.far.send(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
    assert_eq!(bench.status(), 200);
    assert_eq!(bench.connection.finish(), Err(CloseReason::Upgraded));
    assert!(bench.connection.into_upgraded(SECOND).is_some());

    let mut bench = Bench::new();
    bench.begin(&Method::CONNECT, &[], ());
    bench.far.send(b"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno");
    assert_eq!(bench.status(), 407);
    assert_eq!(bench.body(), b"no");
    assert_eq!(bench.connection.finish(), Ok(()));

    // Who asks for a tunnel asks for no other protocol.
    let mut bench = Bench::new();
    bench.begin(&Method::CONNECT, &[], ());
    bench.far.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
    assert!(matches!(bench.head(), Poll::Ready(Err(Failure::UnaskedSwitch))));
}

#[test]
fn a_lost_connection_says_how_far_the_exchange_came() {
    // Closed before an answer: the server may have seen the request.
    let mut bench = Bench::new();
    bench.get();
    assert!(bench.head().is_pending());
    bench.far.end();
    assert!(matches!(bench.head(), Poll::Ready(Err(Failure::Read(None)))));
    assert_eq!(bench.connection.unanswered(), Some(Unanswered::Sent));

    // Gone before anything could be written.
    let mut bench = Bench::new();
    bench.far.reset();
    bench.get();
    assert!(matches!(bench.head(), Poll::Ready(Err(failure)) if failure.is_disconnect()));
    assert_eq!(bench.connection.unanswered(), Some(Unanswered::Unsent));

    // In the head, and in the body.
    for answered in [9, OK.len() - 1] {
        let mut bench = Bench::new();
        bench.get();
        bench.far.send(&OK[..answered]);
        bench.far.end();
        let mut failed = bench.head();
        if let Poll::Ready(Ok(())) = failed {
            assert!(matches!(bench.chunk(), Poll::Ready(Ok(Some(_)))));
            failed = bench.chunk().map_ok(drop);
        }
        assert!(matches!(failed, Poll::Ready(Err(Failure::Read(None)))));
        assert_eq!(bench.connection.unanswered(), None);
        assert_eq!(bench.connection.finish(), Err(CloseReason::Failed));
    }
}

#[test]
fn an_idle_connection_tells_its_end() {
    let mut bench = Bench::new();
    assert_eq!(bench.exchange(OK).2, Ok(()));
    assert!(bench.idle().is_pending());
    bench.far.end();
    assert!(bench.was_woken());
    assert_eq!(bench.idle(), Poll::Ready(CloseReason::ServerClosed));

    let mut bench = Bench::new();
    bench.far.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n");
    bench.far.end();
    assert_eq!(bench.idle(), Poll::Ready(CloseReason::ExtraBytes));
}

#[test]
fn an_exchange_that_is_left_early_ends_its_connection() {
    let mut bench = Bench::new();
    bench.get();
    assert_eq!(bench.connection.finish(), Err(CloseReason::Failed));
    let mut bench = Bench::new();
    bench.get();
    assert!(bench.head().is_pending());
    assert_eq!(bench.connection.finish(), Err(CloseReason::Failed));
    let mut bench = Bench::new();
    bench.get();
    bench.far.send(&OK[..OK.len() - 1]);
    assert_eq!(bench.status(), 200);
    assert!(!bench.connection.skip_buffered());
    assert_eq!(bench.connection.finish(), Err(CloseReason::BodyUnread));
}

#[test]
fn a_rest_that_is_here_is_passed_over() {
    let mut bench = Bench::new();
    bench.get();
    bench.far.send(OK);
    assert_eq!(bench.status(), 200);
    assert!(bench.connection.skip_buffered());
    assert_eq!(bench.connection.finish(), Ok(()));
    assert_eq!(bench.exchange(OK).0, 200);
}

#[test]
fn a_request_that_closes_is_the_last() {
    let mut bench = Bench::new();
    bench.begin(&Method::GET, &[("connection", "close")], ());
    assert!(bench.head().is_pending());
    assert!(bench.received().contains("connection: close\r\n"));
    bench.far.send(OK);
    assert_eq!(bench.status(), 200);
    assert_eq!(bench.body(), b"hello");
    assert_eq!(bench.connection.finish(), Err(CloseReason::AskedByClient));
}

#[test]
fn what_is_no_request_is_refused_and_nothing_of_it_is_sent() {
    let mut bench = Bench::new();
    for (target, headers) in [("/ x", HeaderMap::new()), ("/", HeaderMap::new())] {
        let request = Outgoing {
            method: &Method::GET,
            target,
            headers: &headers,
            implied: ImpliedRequest::default(),
            closes: false,
            continue_wait: None,
            body: ().into(),
        };
        let begun = bench.connection.begin(request, ExchangeLimits::default());
        assert!(matches!(begun, Err(Failure::Misuse(_))));
    }
    assert_eq!(bench.exchange(OK).0, 200);
    assert_eq!(bench.received(), "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
}

#[test]
fn bodies_that_are_whole_leave_with_their_head() {
    const CASES: &[(Method, &str, &str)] = &[
        (Method::POST, "abc", "content-length: 3\r\n\r\nabc"),
        (Method::POST, "", "content-length: 0\r\n\r\n"),
        (Method::PUT, "", "content-length: 0\r\n\r\n"),
        (Method::DELETE, "", "host: h\r\n\r\n"),
        (Method::GET, "odd", "content-length: 3\r\n\r\nodd"),
    ];
    for (method, body, end) in CASES {
        let mut bench = Bench::new();
        bench.begin(method, &[], *body);
        assert!(bench.head().is_pending());
        let sent = bench.received();
        assert!(sent.ends_with(end), "{method} {body:?}: {sent}");
        bench.far.send(OK);
        assert_eq!(bench.status(), 200);
        assert_eq!(bench.body(), b"hello");
        assert_eq!(bench.connection.finish(), Ok(()));
    }
}
