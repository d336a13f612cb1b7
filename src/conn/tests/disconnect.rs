//! Handlers that end with their clients: what is noticed, what is not lost by looking, and how much is read ahead.
#![forbid(unsafe_code)]

use ringhttp_runtime::time::Deadline;

use super::*;
use crate::conn::CancelOnDisconnect::{self, End, Off, Reset};

/// A service whose handler waits until it is let go, and says how it ended.
#[derive(Clone, Default)]
struct Waiting {
    open: Rc<Cell<bool>>,
    dropped: Rc<Cell<u32>>,
    task: Rc<RefCell<Option<Waker>>>,
}

/// Counts that it was dropped, unless it was told that all is well.
struct CountsDrop(Rc<Cell<u32>>);

impl CountsDrop {
    fn forget(mut self) {
        self.0 = Rc::default();
    }
}

impl Drop for CountsDrop {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

impl Waiting {
    fn service(&self) -> impl Service + use<> {
        let waiting = self.clone();
        async move |request: Request| {
            let counts = CountsDrop(Rc::clone(&waiting.dropped));
            waiting.wait().await;
            counts.forget();
            drop(request);
            Response::text("waited")
        }
    }

    async fn wait(&self) {
        std::future::poll_fn(|cx| {
            *self.task.borrow_mut() = Some(cx.waker().clone());
            if self.open.get() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn let_go(&self, bench: &mut Bench) -> String {
        self.open.set(true);
        if let Some(task) = self.task.take() {
            task.wake();
        }
        bench.run();
        bench.received()
    }
}

fn bench_of(waiting: &Waiting, cancel_on: CancelOnDisconnect) -> Bench {
    let mut config = ServerConfig::default();
    config.cancel_on_disconnect = cancel_on;
    Bench::with_config(config, waiting.service())
}

#[test]
fn an_end_and_a_reset_are_what_the_setting_says() {
    type Leave = fn(&FarEnd);
    let leaves: [(Leave, [Option<CloseReason>; 3]); 2] = [
        (FarEnd::end, [None, None, Some(CloseReason::PeerClosedEarly)]),
        (FarEnd::reset, [None, Some(CloseReason::TransportFailed), Some(CloseReason::TransportFailed)]),
    ];
    for (leave, expected) in leaves {
        for (cancel_on, expected) in [Off, Reset, End].into_iter().zip(expected) {
            let waiting = Waiting::default();
            let mut bench = bench_of(&waiting, cancel_on);
            bench.send(GET);
            leave(&bench.far);
            bench.run();
            assert_eq!(bench.ended, expected, "{cancel_on:?}");
            let cancelled = u64::from(expected.is_some());
            assert_eq!(bench.host.stats.cancelled.get(), cancelled);
            assert_eq!(u64::from(waiting.dropped.get()), cancelled);
        }
    }
}

#[test]
fn a_client_that_has_ended_its_side_gets_its_answer_unless_that_counts_as_gone() {
    for cancel_on in [Off, Reset] {
        let waiting = Waiting::default();
        let mut bench = bench_of(&waiting, cancel_on);
        bench.send(GET);
        bench.far.end();
        bench.run();
        assert!(waiting.let_go(&mut bench).ends_with("waited"), "{cancel_on:?}");
        assert_eq!(bench.ended, Some(CloseReason::PeerClosed));
    }
}

#[test]
fn a_request_that_comes_while_it_is_watched_is_not_lost_wherever_it_is_split() {
    for split in 0..=GET.len() {
        let waiting = Waiting::default();
        let mut bench = bench_of(&waiting, End);
        bench.send(GET);
        bench.send(&GET[..split]);
        assert_eq!(statuses(&waiting.let_go(&mut bench)).len(), 1 + split / GET.len(), "{split}");
        let rest = bench.send(&GET[split..]);
        assert_eq!(statuses(&rest).len(), 1 - split / GET.len(), "{split}");
        assert_eq!(bench.ended, None);
    }
}

#[test]
fn no_more_than_one_read_goes_ahead() {
    let waiting = Waiting::default();
    let mut bench = bench_of(&waiting, End);
    bench.send(GET);
    let pipelined = GET.repeat(10_000);
    bench.far.send(&pipelined);
    for _ in 0..100 {
        bench.run();
    }
    assert!(bench.far.unread() >= pipelined.len() - 4096, "{} bytes are left", bench.far.unread());
    waiting.open.set(true);
    bench.run();
    let mut answers = statuses(&bench.received()).len();
    while bench.far.unread() > 0 {
        bench.run();
        answers += statuses(&bench.received()).len();
    }
    assert_eq!(answers, 10_001);
}

#[test]
fn a_body_that_comes_while_the_handler_waits_is_there_when_it_asks() {
    for limit in [1, 3, usize::MAX] {
        let mut config = ServerConfig::default();
        config.cancel_on_disconnect = End;
        let waiting = Waiting::default();
        let first = waiting.clone();
        let mut bench = Bench::with_config(config, async move |request: Request| {
            first.wait().await;
            echo(request).await
        });
        bench.far.limit_reads(limit);
        bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
        bench.send(b"01234");
        waiting.let_go(&mut bench);
        assert!(bench.send(b"56789").ends_with("0123456789"), "{limit}");
        assert_eq!(
            statuses(&bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")),
            ["200"]
        );
    }
}

#[test]
fn a_body_that_is_complete_ends_at_once_behind_a_wait_of_the_handler() {
    for cancel_on in [Reset, End] {
        let mut config = ServerConfig::default();
        config.cancel_on_disconnect = cancel_on;
        let waiting = Waiting::default();
        let first = waiting.clone();
        let mut bench = Bench::with_config(config, async move |request: Request| {
            first.wait().await;
            match request.path() {
                "/pass" => Response::new(request.into_body()),
                _ => echo(request).await,
            }
        });
        bench.send(GET);
        assert_eq!(statuses(&waiting.let_go(&mut bench)), ["200"], "{cancel_on:?}");
        waiting.open.set(false);
        bench.send(b"GET /pass HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(statuses(&waiting.let_go(&mut bench)), ["200"], "{cancel_on:?}");
        assert_eq!(statuses(&bench.send(GET)), ["200"], "the read that was under way brings the next head");
    }
}

#[test]
fn the_end_of_a_body_is_seen_behind_a_wait_between_its_pieces() {
    // Whether the handler asks for the end, or leaves it to the connection.
    for asks in [true, false] {
        let mut config = ServerConfig::default();
        config.cancel_on_disconnect = End;
        let waiting = Waiting::default();
        let first = waiting.clone();
        let mut bench = Bench::with_config(config, async move |mut request: Request| {
            let piece = request.chunk().await.expect("read");
            first.wait().await;
            if asks {
                assert_eq!(request.chunk().await, Ok(None));
            }
            Response::text(piece.unwrap_or_default())
        });
        bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert!(waiting.let_go(&mut bench).ends_with("abc"), "{asks}");
        assert_eq!(statuses(&bench.send(GET)), ["200"], "{asks}");
    }
}

#[test]
fn a_read_behind_another_waker_that_was_given_up_does_not_end_the_watch() {
    for reads_again in [true, false] {
        let mut config = ServerConfig::default();
        config.cancel_on_disconnect = End;
        let mut bench = Bench::with_config(config, async move |mut request: Request| {
            let elsewhere = std::pin::pin!(request.chunk()).poll(&mut Context::from_waker(Waker::noop()));
            assert!(elsewhere.is_pending());
            if reads_again {
                std::future::poll_fn(|cx| {
                    assert!(std::pin::pin!(request.chunk()).poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
            }
            std::future::pending::<Response>().await
        });
        bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
        bench.far.end();
        bench.run();
        assert_eq!(bench.ended, Some(CloseReason::PeerClosedEarly), "{reads_again}");
    }
}

#[test]
fn a_stream_that_waits_ends_with_its_client() {
    let dropped = Rc::new(Cell::new(0));
    let counter = Rc::clone(&dropped);
    let mut bench = Bench::new(async move |request: Request| {
        request.cancel_on_disconnect(End);
        let counts = CountsDrop(Rc::clone(&counter));
        Response::stream(async move |mut out| {
            out.write("first").await?;
            std::future::pending::<()>().await;
            drop(counts);
            Ok(())
        })
    });
    assert!(bench.send(GET).contains("first"));
    bench.far.end();
    bench.run();
    assert_eq!((bench.ended, dropped.get()), (Some(CloseReason::PeerClosedEarly), 1));
}

#[test]
fn the_setting_of_one_request_is_not_that_of_the_next() {
    let waiting = Waiting::default();
    let inner = waiting.clone();
    let first = Cell::new(true);
    let mut bench = Bench::new(async move |request: Request| {
        if first.replace(false) {
            request.cancel_on_disconnect(End);
            return Response::text("first");
        }
        inner.wait().await;
        Response::text("second")
    });
    bench.send(GET);
    bench.send(GET);
    bench.far.end();
    bench.run();
    assert_eq!(bench.ended, None);
    assert!(waiting.let_go(&mut bench).ends_with("second"));
}

#[test]
fn a_handler_that_takes_the_connection_over_gets_what_was_read_ahead() {
    let waiting = Waiting::default();
    let inner = waiting.clone();
    let mut config = ServerConfig::default();
    config.cancel_on_disconnect = End;
    let mut bench = Bench::with_config(config, async move |request: Request| {
        inner.wait().await;
        let mut session = request.upgrade("echo", &http::HeaderMap::new()).expect("it asks for it");
        while let Ok(Some(bytes)) = session.read().await {
            let _ = session.write(bytes).await;
        }
        Response::text("")
    });
    bench.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    bench.send(b"ahead ");
    assert!(waiting.let_go(&mut bench).ends_with("\r\n\r\nahead "));
    assert_eq!(bench.send(b"behind"), "behind");
}

#[test]
fn a_wait_of_the_handler_goes_on_beside_the_watch() {
    let mut config = ServerConfig::default();
    config.cancel_on_disconnect = End;
    let timer: Rc<RefCell<Option<Deadline>>> = Rc::default();
    let inner = Rc::clone(&timer);
    let mut bench = Bench::with_config(config, async move |_: Request| {
        std::future::poll_fn(|cx| inner.borrow().as_ref().expect("set").poll_expired(cx)).await;
        Response::text("slept")
    });
    let deadline = bench.host.timers.deadline();
    deadline.set(SECOND);
    *timer.borrow_mut() = Some(deadline);
    assert_eq!(bench.send(GET), "");
    assert!(bench.advance(SECOND).ends_with("slept"));
}
