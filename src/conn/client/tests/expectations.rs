//! Bodies that wait for `100 Continue`.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::rc::Rc;

use super::*;

const EXPECT: &[(&str, &str)] = &[("expect", "100-continue")];

const HEAD: &str = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n";

/// A body that says when it is asked for.
fn stream(is_asked: &Rc<Cell<bool>>) -> Body {
    let is_asked = Rc::clone(is_asked);
    Body::stream_of(3, async move |mut out| {
        is_asked.set(true);
        out.write("abc").await
    })
}

#[test]
fn a_body_leaves_when_the_server_says_so() {
    for is_stream in [false, true] {
        let (mut bench, is_asked) = (Bench::new(), Rc::default());
        let body = if is_stream { stream(&is_asked) } else { Body::from("abc") };
        bench.begin(&Method::POST, EXPECT, body);
        assert!(bench.head().is_pending());
        let head = bench.received();
        assert!(head.ends_with("\r\n\r\n") && head.contains("expect: 100-continue"), "{head}");
        assert_eq!(head.len(), HEAD.len());
        bench.far.send(b"HTTP/1.1 103 Early Hints\r\n\r\n");
        assert!(bench.head().is_pending());
        assert_eq!((bench.received().as_str(), is_asked.get()), ("", false), "that is another word");
        bench.far.send(b"HTTP/1.1 100 Continue\r\n\r\n");
        assert!(bench.head().is_pending());
        assert_eq!(bench.received(), "abc");
        bench.far.send(OK);
        assert_eq!(bench.status(), 200);
        assert_eq!((bench.body(), bench.connection.interim()), (b"hello".to_vec(), 2));
        assert!(bench.connection.take_unsent_body().is_none());
        assert_eq!(bench.connection.finish(), Ok(()));
    }
}

#[test]
fn a_silent_server_is_sent_the_body_after_a_while() {
    let mut bench = Bench::new();
    bench.begin(&Method::POST, EXPECT, "abc");
    assert!(bench.head().is_pending());
    bench.timers.advance(SECOND / 2);
    assert!(bench.head().is_pending());
    assert!(!bench.received().ends_with("abc"));
    bench.timers.advance(SECOND);
    assert!(bench.was_woken());
    assert!(bench.head().is_pending());
    assert_eq!(bench.received(), "abc");
    // What comes too late does no harm.
    bench.far.send(b"HTTP/1.1 100 Continue\r\n\r\n");
    bench.far.send(OK);
    assert_eq!(bench.status(), 200);
    assert_eq!((bench.body(), bench.received().as_str()), (b"hello".to_vec(), ""));
    assert_eq!(bench.connection.finish(), Ok(()));
}

#[test]
fn an_answer_that_comes_first_leaves_the_body_unsent_and_the_connection_of_no_use() {
    let (mut bench, is_asked) = (Bench::new(), Rc::default());
    bench.begin(&Method::POST, EXPECT, stream(&is_asked));
    assert!(bench.head().is_pending());
    bench.far.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(bench.status(), 413);
    assert!(bench.chunk().is_pending());
    bench.timers.advance(2 * SECOND);
    assert!(bench.chunk().is_pending());
    bench.far.send(b"no!");
    assert_eq!(bench.body(), b"no!");
    assert!(!bench.received().ends_with("abc") && !is_asked.get());
    assert_eq!(bench.connection.take_unsent_body().and_then(|body| body.length()), Some(3));
    assert!(bench.connection.take_unsent_body().is_none(), "once");
    assert_eq!(bench.connection.finish(), Err(CloseReason::RequestUnsent));
}

#[test]
fn the_first_byte_is_waited_for_behind_the_body() {
    let mut bench = Bench::new();
    let limits = ExchangeLimits { first_byte: Some(SECOND / 2), queued_max: 1024, ..Default::default() };
    bench.begin_within(&Method::POST, EXPECT, "abc", limits);
    assert!(bench.head().is_pending());
    bench.timers.advance(SECOND / 2 + SECOND / 4);
    assert!(bench.head().is_pending(), "the server has not had the body");
    bench.timers.advance(SECOND / 2);
    assert!(bench.head().is_pending());
    bench.timers.advance(SECOND);
    assert!(matches!(bench.head(), Poll::Ready(Err(Failure::Timeout(Waited::FirstByte)))));
}

#[test]
fn without_a_body_nothing_is_waited_for() {
    let mut bench = Bench::new();
    bench.begin(&Method::POST, EXPECT, ());
    assert!(bench.head().is_pending());
    bench.far.send(OK);
    assert_eq!(bench.status(), 200);
    assert_eq!(bench.body(), b"hello");
    assert_eq!(bench.connection.finish(), Ok(()));
}
