//! Request bodies that are streamed.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;

use super::*;
use crate::conn::BodySender;
use crate::error::Error;

/// Bytes that can wait for a server that takes none: with the kernel, queued for it, and queued for that. Each is full
/// behind the piece that fills it.
const WAITING_BYTES_MAX: usize = 3 * (1024 + 100);

#[test]
fn a_stream_is_chunked_and_ends_with_its_trailers() {
    let mut bench = Bench::new();
    let body = Body::stream(async |mut out| {
        out.write("hel").await?;
        out.write("").await?;
        out.write("lo").await?;
        let mut trailers = HeaderMap::new();
        trailers.insert("sum", HeaderValue::from_static("7"));
        out.set_trailers(trailers);
        Ok(())
    });
    bench.begin(&Method::POST, &[], body);
    assert!(bench.head().is_pending());
    assert_eq!(
        bench.received(),
        "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nsum: 7\r\n\r\n"
    );
    bench.far.send(OK);
    assert_eq!(bench.status(), 200);
    assert_eq!(bench.body(), b"hello");
    assert_eq!(bench.connection.finish(), Ok(()));
}

#[test]
fn a_server_that_reads_slowly_slows_the_writer_down() {
    let mut bench = Bench::new();
    bench.far.set_window(0);
    let written = Rc::new(Cell::new(0));
    let count = Rc::clone(&written);
    let body = Body::stream_of(100_000, async move |mut out| {
        for _ in 0..1000 {
            out.write(vec![b'x'; 100]).await?;
            count.set(count.get() + 100);
        }
        Ok(())
    });
    bench.begin(&Method::POST, &[], body);
    assert!(bench.head().is_pending());
    let mut sent = Vec::new();
    while written.get() < 100_000 {
        assert!(written.get() <= sent.len() + WAITING_BYTES_MAX, "{} {}", written.get(), sent.len());
        bench.far.set_window(1000);
        assert!(bench.was_woken());
        assert!(bench.head().is_pending());
        sent.extend(bench.far.received());
    }
    bench.far.set_window(usize::MAX);
    assert!(bench.head().is_pending());
    sent.extend(bench.far.received());
    let sent = String::from_utf8(sent).expect("text");
    let (head, body) = sent.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("content-length: 100000"), "{head}");
    assert_eq!(body.len(), 100_000);
    bench.far.send(OK);
    assert_eq!(bench.status(), 200);
    assert_eq!(bench.body(), b"hello");
    assert_eq!(bench.connection.finish(), Ok(()));
}

#[test]
fn flush_waits_for_the_kernel() {
    let mut bench = Bench::new();
    bench.far.set_window(0);
    let steps = Rc::new(Cell::new(0));
    let step = Rc::clone(&steps);
    let body = Body::stream(async move |mut out: BodySender| {
        out.write("a").await?;
        step.set(1);
        out.flush().await?;
        step.set(2);
        out.write("b").await?;
        out.flush().await?;
        step.set(3);
        Ok(())
    });
    bench.begin(&Method::POST, &[], body);
    assert!(bench.head().is_pending());
    assert_eq!(steps.get(), 1);
    bench.far.set_window(usize::MAX);
    assert!(bench.head().is_pending());
    assert_eq!(steps.get(), 3);
    assert!(bench.received().ends_with("1\r\na\r\n1\r\nb\r\n0\r\n\r\n"));
}

#[test]
fn an_answer_may_come_before_the_request_is_sent() {
    let mut bench = Bench::new();
    bench.far.set_window(200);
    let body = Body::stream_of(100_000, async |mut out| out.write(vec![0; 100_000]).await);
    bench.begin(&Method::POST, &[], body);
    bench.far.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!");
    assert_eq!(bench.status(), 413);
    assert_eq!(bench.body(), b"no!");
    assert_eq!(bench.connection.finish(), Err(CloseReason::RequestUnsent));
}

#[test]
fn an_answer_is_read_from_a_server_that_takes_no_more_of_the_request() {
    for stream in [false, true] {
        let mut bench = Bench::new();
        bench.far.set_window(200);
        let bytes = vec![0; 100_000];
        let body =
            if stream { Body::stream(async |mut out| out.write(bytes).await) } else { Body::from(bytes) };
        bench.begin(&Method::POST, &[], body);
        assert!(bench.head().is_pending());
        bench.far.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!");
        bench.far.break_writes();
        assert_eq!(bench.status(), 413);
        assert_eq!(bench.body(), b"no!");
        assert_eq!(bench.connection.finish(), Err(CloseReason::RequestUnsent));
    }
}

#[test]
fn a_failed_write_is_told_when_no_answer_comes() {
    let mut bench = Bench::new();
    bench.far.set_window(200);
    bench.begin(&Method::POST, &[], vec![0; 100_000]);
    assert!(bench.head().is_pending());
    bench.far.break_writes();
    assert!(bench.head().is_pending());
    bench.far.end();
    assert!(matches!(bench.head(), Poll::Ready(Err(Failure::Write(_)))));
    assert_eq!(bench.connection.unanswered(), Some(Unanswered::Sent));
}

#[test]
fn a_body_that_fails_or_is_not_as_long_as_it_should_be_fails_the_exchange() {
    let cases: [fn() -> Body; 3] = [
        || Body::stream(async |_| Err(Error::bad_request("on purpose"))),
        || Body::stream_of(5, async |mut out| out.write("four").await),
        || Body::stream_of(5, async |mut out| out.write("sixsix").await),
    ];
    for body in cases {
        let mut bench = Bench::new();
        bench.begin(&Method::POST, &[], body());
        assert!(matches!(bench.head(), Poll::Ready(Err(Failure::Upload(_)))));
        assert_eq!(bench.connection.finish(), Err(CloseReason::Failed));
    }
}

/// A body that is written by the test.
fn body_by_hand() -> (Body, Rc<RefCell<Option<BodySender>>>) {
    let sender: Rc<RefCell<Option<BodySender>>> = Rc::default();
    let given = Rc::clone(&sender);
    let body = Body::stream(async move |out: BodySender| {
        *given.borrow_mut() = Some(out);
        std::future::pending().await
    });
    (body, sender)
}

#[test]
fn both_directions_stream_at_once() {
    let mut bench = Bench::new();
    let (body, sender) = body_by_hand();
    bench.begin(&Method::POST, &[], body);
    bench.far.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(bench.status(), 200);
    bench.received();
    let mut out = sender.borrow_mut().take().expect("the function has run");
    let mut cx = Context::from_waker(Waker::noop());
    for round in 0..5 {
        assert!(bench.chunk().is_pending());
        bench.was_woken();
        assert!(pin!(out.write("ping")).as_mut().poll(&mut cx).is_ready());
        assert!(bench.was_woken(), "whoever sends is woken: round {round}");
        assert!(bench.chunk().is_pending());
        assert_eq!(bench.received(), "4\r\nping\r\n");
        bench.far.send(b"4\r\npong\r\n");
        assert!(matches!(bench.chunk(), Poll::Ready(Ok(Some(piece))) if piece == "pong"));
    }
    bench.far.send(b"0\r\n\r\n");
    assert_eq!(bench.body(), b"");
    assert_eq!(bench.connection.finish(), Err(CloseReason::RequestUnsent));
    assert!(matches!(pin!(out.write("late")).as_mut().poll(&mut cx), Poll::Ready(Err(_))));
}

#[test]
fn a_writer_beside_the_request_in_its_task_is_woken_when_there_is_room() {
    let mut bench = Bench::new();
    let (body, sender) = body_by_hand();
    bench.begin(&Method::POST, &[], body);
    assert!(bench.head().is_pending());
    let mut out = sender.borrow_mut().take().expect("the function has run");
    let waker = Waker::from(Arc::clone(&bench.wakes));
    let mut cx = Context::from_waker(&waker);
    // A `join` that polls the writer first, then the request.
    let mut write = Box::pin(out.write(vec![0; 2000]));
    assert!(write.as_mut().poll(&mut cx).is_pending());
    bench.was_woken();
    assert!(bench.head().is_pending());
    assert!(bench.was_woken(), "the kernel has taken all, and nobody else polls the writer");
    assert!(write.as_mut().poll(&mut cx).is_ready());
}

#[test]
fn a_writer_in_another_task_waits_for_room_and_is_told_the_end() {
    let mut bench = Bench::new();
    bench.far.set_window(0);
    let (body, sender) = body_by_hand();
    bench.begin(&Method::POST, &[], body);
    assert!(bench.head().is_pending());
    let mut out = sender.borrow_mut().take().expect("the function has run");
    let other: Arc<Wakes> = Arc::default();
    let waker = Waker::from(Arc::clone(&other));
    let mut cx = Context::from_waker(&waker);
    let mut writes = Box::pin(async move {
        loop {
            if let Err(error) = out.write(vec![0; 500]).await {
                return error;
            }
        }
    });
    assert!(writes.as_mut().poll(&mut cx).is_pending());
    assert!(bench.head().is_pending());
    bench.far.set_window(usize::MAX);
    assert!(bench.head().is_pending());
    assert!(other.0.swap(0, Ordering::Relaxed) > 0, "there is room");
    bench.far.set_window(0);
    for _ in 0..10 {
        assert!(writes.as_mut().poll(&mut cx).is_pending());
        assert!(bench.head().is_pending());
    }
    other.0.store(0, Ordering::Relaxed);
    bench.connection.finish().expect_err("it was left early");
    assert!(other.0.load(Ordering::Relaxed) > 0, "the end wakes the writer");
    assert!(writes.as_mut().poll(&mut cx).is_ready());
}
