//! Peers and handlers that use a connection against its grain: what must be refused, ended or held back.
#![forbid(unsafe_code)]

use std::sync::atomic::AtomicBool;

use super::*;
use crate::conn::{BodySender, RequestBody};

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n";
const EXPECTING: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";

#[test]
fn rfc9110_10_1_1_a_100_never_stands_inside_the_answer_that_passes_the_body_on() {
    let mut bench = Bench::new(async |request: Request| Response::new(request.into_body()));
    let answer = bench.send(EXPECTING);
    assert_eq!(statuses(&answer), ["100", "200"], "{answer}");
    assert_eq!(bench.send(b"abc"), "abc");
    assert_eq!(statuses(&bench.send(GET)), ["200"]);
}

#[test]
fn rfc9110_10_1_1_a_stream_may_read_the_body_of_who_waits_for_a_100() {
    let mut bench = Bench::new(async |request: Request| {
        let mut body = request.into_body();
        Response::stream(async move |mut out| {
            while let Some(piece) = body.chunk().await? {
                out.write(piece).await?;
            }
            Ok(())
        })
    });
    let answer = bench.send(EXPECTING);
    assert_eq!(statuses(&answer), ["100", "200"], "{answer}");
    assert_eq!(bench.send(b"abc"), "3\r\nabc\r\n0\r\n\r\n");
}

#[test]
fn rfc9110_10_1_1_no_100_follows_the_answer_of_a_stream_that_reads_nothing() {
    let mut bench = Bench::new(async |_: Request| Response::stream(async |mut out| out.write("no").await));
    let answer = bench.send(EXPECTING);
    assert!(answer.ends_with("2\r\nno\r\n0\r\n\r\n"), "{answer}");
    assert_eq!(statuses(&answer).last(), Some(&"200"), "{answer}");
}

#[test]
fn a_request_that_is_kept_does_not_keep_the_socket_open() {
    let kept = Rc::new(RefCell::new(Vec::new()));
    let keep = Rc::clone(&kept);
    let mut bench = Bench::new(async move |request: Request| {
        keep.borrow_mut().push(request);
        Response::text("bye")
    });
    let answer = bench.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(statuses(&answer), ["200"]);
    assert!(bench.ended.is_some());
    assert!(bench.far.near_has_ended(), "the socket is closed");
    assert_eq!(kept.borrow().len(), 1);
}

/// A second task of the core, polled by hand.
struct Other<T> {
    task: Pin<Box<dyn Future<Output = T>>>,
    flag: Arc<Flag>,
}

impl<T> Other<T> {
    fn new(task: impl Future<Output = T> + 'static) -> Self {
        Self { task: Box::pin(task), flag: Arc::new(Flag(AtomicBool::new(true))) }
    }

    /// Polls the task if it was woken.
    fn run(&mut self) -> Poll<T> {
        while self.flag.0.swap(false, Ordering::Relaxed) {
            let waker = Waker::from(Arc::clone(&self.flag));
            if let Poll::Ready(output) = self.task.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(output);
            }
        }
        Poll::Pending
    }
}

impl Bench {
    /// Runs the connection's task if it was woken, as an executor would.
    fn run_if_woken(&mut self) {
        if self.flag.0.load(Ordering::Relaxed) {
            self.run();
        }
    }
}

/// A handler that gives its request's body to another task and answers.
fn giving_away(given: &Rc<RefCell<Option<RequestBody>>>) -> impl Service {
    let given = Rc::clone(given);
    async move |request: Request| {
        given.borrow_mut().get_or_insert(request.into_body());
        Response::text("early")
    }
}

const TWO_BYTES: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";

#[test]
fn a_reader_in_another_task_cannot_hold_up_what_follows_the_answer() {
    let given = Rc::default();
    let mut bench = Bench::new(giving_away(&given));
    assert_eq!(statuses(&bench.send(TWO_BYTES)), ["200"]);
    let mut body = given.borrow_mut().take().expect("given");
    let mut other = Other::new(async move { body.chunk().await });
    let read = other.run();
    drop(other);
    assert_eq!(read, Poll::Ready(Err(crate::conn::BodyError::Gone)));
    bench.far.send(b"ab");
    bench.far.send(GET);
    bench.run_if_woken();
    assert_eq!(statuses(&bench.received()), ["200"], "the connection was woken");
}

#[test]
fn a_reader_in_another_task_is_told_when_its_request_is_answered() {
    let given: Rc<RefCell<Option<RequestBody>>> = Rc::default();
    let (release, released) = (Rc::new(Cell::new(false)), Rc::new(RefCell::new(None::<Waker>)));
    let (go, waiter, give) = (Rc::clone(&release), Rc::clone(&released), Rc::clone(&given));
    let mut bench = Bench::new(async move |request: Request| {
        *give.borrow_mut() = Some(request.into_body());
        std::future::poll_fn(|cx| {
            *waiter.borrow_mut() = Some(cx.waker().clone());
            if go.get() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        Response::text("done")
    });
    bench.send(TWO_BYTES);
    let mut body = given.borrow_mut().take().expect("given");
    let mut other = Other::new(async move { body.chunk().await });
    assert_eq!(other.run(), Poll::Pending);
    release.set(true);
    released.borrow_mut().take().expect("waits").wake();
    bench.run_if_woken();
    assert_eq!(statuses(&bench.received()), ["200"]);
    assert_eq!(other.run(), Poll::Ready(Err(crate::conn::BodyError::Gone)));
}

/// A handler whose stream gives its sender to another task, and waits for ever.
fn sending_away(given: &Rc<RefCell<Option<BodySender>>>) -> impl Service {
    let given = Rc::clone(given);
    async move |_: Request| {
        let given = Rc::clone(&given);
        Response::stream(async move |out| {
            *given.borrow_mut() = Some(out);
            std::future::pending().await
        })
    }
}

async fn write_and_flush(mut out: BodySender) -> Result<()> {
    out.write(vec![b'x'; 100_000]).await?;
    out.flush().await
}

#[test]
fn a_writer_in_another_task_has_the_write_deadline_too() {
    let given = Rc::default();
    let mut bench = Bench::new(sending_away(&given));
    bench.send(GET);
    bench.far.set_window(0);
    let mut other = Other::new(write_and_flush(given.borrow_mut().take().expect("given")));
    assert!(other.run().is_pending());
    bench.run_if_woken();
    bench.host.timers.advance(31 * SECOND);
    bench.run_if_woken();
    assert_eq!(bench.ended, Some(CloseReason::WriteStalled));
    assert!(matches!(other.run(), Poll::Ready(Err(_))), "the writer is told");
}

#[test]
fn a_writer_in_another_task_and_the_connection_wake_each_other() {
    let given = Rc::default();
    let mut bench = Bench::new(sending_away(&given));
    bench.send(GET);
    bench.far.set_window(0);
    let mut other = Other::new(write_and_flush(given.borrow_mut().take().expect("given")));
    assert!(other.run().is_pending());
    bench.run();
    bench.far.set_window(usize::MAX);
    bench.run_if_woken();
    assert!(matches!(other.run(), Poll::Ready(Ok(()))), "the writer goes on");
}

#[test]
fn an_upgrade_is_answered_though_nobody_uses_the_session_yet() {
    let mut bench = Bench::new(async |request: Request| {
        if !request.wants_upgrade() {
            return Response::text("before");
        }
        let _session = request.upgrade("chat", &http::HeaderMap::new()).expect("asked for");
        std::future::pending().await
    });
    bench.far.set_window(10);
    let mut answers = bench.send(&[GET, UPGRADE].concat());
    bench.far.set_window(usize::MAX);
    bench.run_if_woken();
    answers += &bench.received();
    assert_eq!(statuses(&answers), ["200", "101"], "{answers}");
    assert_eq!(bench.ended, None);
}

#[derive(Clone, Copy, Debug)]
enum SessionOperation {
    Write,
    Flush,
    Shutdown,
    Read,
}

#[test]
fn a_session_whose_peer_takes_nothing_ends_after_the_write_timeout() {
    use SessionOperation::{Flush, Read, Shutdown, Write};
    for operation in [Write, Flush, Shutdown, Read] {
        let failed = Rc::new(Cell::new(None));
        let told = Rc::clone(&failed);
        let mut bench = Bench::new(async move |request: Request| {
            let mut session = request.upgrade("chat", &http::HeaderMap::new()).expect("asked for");
            let result = match operation {
                Write => loop {
                    if let Err(error) = session.write(vec![b'x'; 200_000]).await {
                        break Err(error);
                    }
                },
                Flush => session.flush().await,
                Shutdown => session.shutdown().await,
                Read => session.read().await.map(drop),
            };
            told.set(result.err().map(|error| error.kind()));
            Response::text("")
        });
        bench.far.set_window(0);
        bench.send(UPGRADE);
        bench.advance(29 * SECOND);
        bench.far.set_window(1);
        bench.run();
        bench.advance(29 * SECOND);
        assert_eq!(failed.get(), None, "{operation:?}: the peer took a byte");
        bench.advance(2 * SECOND);
        assert_eq!(failed.get(), Some(std::io::ErrorKind::TimedOut), "{operation:?}");
        assert_eq!(bench.ended, Some(CloseReason::Upgraded), "{operation:?}");
    }
}

#[test]
fn a_session_outlives_the_deadline_of_handlers() {
    let mut config = ServerConfig::default();
    config.handler_timeout = Some(SECOND);
    let mut bench = Bench::with_config(config, async |request: Request| {
        let mut session = request.upgrade("chat", &http::HeaderMap::new()).expect("asked for");
        while let Ok(Some(bytes)) = session.read().await {
            session.write(bytes).await.expect("queued");
        }
        Response::text("")
    });
    bench.send(UPGRADE);
    bench.advance(2 * SECOND);
    assert_eq!(bench.send(b"still here"), "still here");
}

#[test]
fn a_request_that_is_answered_cannot_take_the_connection_over() {
    let kept = Rc::new(RefCell::new(Vec::new()));
    let keep = Rc::clone(&kept);
    let mut bench = Bench::new(async move |request: Request| {
        if request.path() == "/keep" {
            keep.borrow_mut().push(request);
            return Response::text("kept");
        }
        let old: Request = keep.borrow_mut().pop().expect("kept");
        let refused = old.upgrade("chat", &http::HeaderMap::new()).is_err();
        Response::text(if refused { "refused" } else { "taken" })
    });
    bench.send(b"GET /keep HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n");
    assert!(bench.send(GET).ends_with("refused"));
}

#[test]
fn a_request_cannot_be_upgraded_while_it_is_answered() {
    let mut bench = Bench::new(async |request: Request| {
        Response::stream(async move |mut out| {
            let refused = request.upgrade("chat", &http::HeaderMap::new()).is_err();
            out.write(if refused { "refused" } else { "taken" }).await
        })
    });
    let answer = bench.send(UPGRADE);
    assert!(answer.ends_with("7\r\nrefused\r\n0\r\n\r\n"), "{answer}");
}

#[test]
fn an_upgrade_that_cannot_be_answered_leaves_the_connection_to_http() {
    let mut length = http::HeaderMap::new();
    length.insert(http::header::CONTENT_LENGTH, http::HeaderValue::from_static("5"));
    for (protocol, headers) in [("bad\r\nname", http::HeaderMap::new()), ("chat", length)] {
        let mut bench = Bench::new(async move |request: Request| match request.upgrade(protocol, &headers) {
            Ok(_) => Response::text("upgraded"),
            Err(error) => error.into(),
        });
        assert_eq!(statuses(&bench.send(UPGRADE)), ["500"]);
        assert_eq!(statuses(&bench.send(GET)), ["400"], "it is still HTTP");
    }
}

#[test]
fn answers_leave_before_a_session_that_has_read_what_came_with_its_request_and_waits() {
    let mut bench = Bench::new(async |request: Request| {
        if request.header(http::header::UPGRADE).is_none() {
            return Response::text("before");
        }
        let mut session = request.upgrade("chat", &http::HeaderMap::new()).expect("asked for");
        let early = session.read().await.expect("read");
        assert_eq!(early.as_deref(), Some(&b"early"[..]));
        std::future::pending().await
    });
    let answers = bench.send(&[GET, UPGRADE, b"early"].concat());
    assert_eq!(statuses(&answers), ["200", "101"], "{answers}");
}

#[test]
fn what_a_session_has_queued_leaves_while_it_waits_for_something_else() {
    for reads in [false, true] {
        let mut bench = Bench::new(async move |request: Request| {
            if request.header(http::header::UPGRADE).is_none() {
                return Response::text("before");
            }
            let mut session = request.upgrade("chat", &http::HeaderMap::new()).expect("asked for");
            if reads {
                assert_eq!(session.read().await.expect("read").as_deref(), Some(&b"late"[..]));
            } else {
                session.write("bytes").await.expect("there is room");
            }
            std::future::pending().await
        });
        bench.far.set_window(0);
        assert_eq!(bench.send(&[GET, UPGRADE].concat()), "");
        if reads {
            bench.send(b"late");
        }
        bench.far.set_window(usize::MAX);
        assert!(bench.flag.0.load(Ordering::Relaxed), "somebody waits for room");
        bench.run();
        let answers = bench.received();
        assert_eq!(statuses(&answers), ["200", "101"], "{answers}");
        assert_eq!(answers.ends_with("bytes"), !reads, "{answers}");
    }
}

#[test]
fn rfc9110_9_3_6_a_connect_that_succeeds_is_followed_by_no_request() {
    let mut bench = Bench::new(hello);
    let answer = bench.send(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(statuses(&answer), ["200"], "what the tunnel carries is no request: {answer}");
    assert!(bench.far.near_has_ended());
}

#[test]
fn a_body_that_was_read_in_part_passes_its_rest_on() {
    let mut bench = Bench::new(async |mut request: Request| {
        let first = request.chunk().await;
        assert!(matches!(first, Ok(Some(_))));
        Response::new(request.into_body())
    });
    bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    let answer = bench.send(b"cde");
    assert!(answer.ends_with("cde"), "{answer}");
    assert_eq!(bench.ended, None);
}

#[test]
fn rfc9112_9_6_what_is_pipelined_behind_a_last_answer_does_not_reset_it_away() {
    for stop in [false, true] {
        let mut bench = Bench::new(async |request: Request| {
            let mut response = Response::text("last");
            if request.path() == "/close" {
                response =
                    response.with_header(http::header::CONNECTION, http::HeaderValue::from_static("close"));
            }
            response
        });
        let first: &[u8] = if stop {
            b"GET /stay HTTP/1.1\r\nHost: a\r\n\r\n"
        } else {
            b"GET /close HTTP/1.1\r\nHost: a\r\n\r\n"
        };
        if stop {
            bench.far.send(&first[..5]);
            bench.run();
            bench.host.stop();
        }
        // The rest is not read with the first request: it waits in the kernel.
        bench.far.limit_reads(if stop { first.len() - 5 } else { first.len() });
        bench.far.send(if stop { &first[5..] } else { first });
        let answer = bench.send(GET);
        assert_eq!(statuses(&answer), ["200"]);
        assert!(bench.far.near_has_ended());
        assert_eq!(bench.ended, None, "it reads on until the peer has seen the end");
        bench.far.end();
        bench.run();
        assert!(bench.ended.is_some());
    }
}

#[test]
fn a_request_on_its_way_when_the_server_stops_is_answered() {
    for first in [false, true] {
        let mut bench = Bench::new(hello);
        if !first {
            bench.send(GET);
        }
        bench.host.stop();
        bench.connection.wake();
        bench.run();
        assert_eq!(bench.ended, None, "a request may be in the kernel or on the network");
        bench.send(&GET[..7]);
        bench.advance(SECOND);
        let answer = bench.send(&GET[7..]);
        assert_eq!(statuses(&answer), ["200"]);
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
}
